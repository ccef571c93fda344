/* svc/http/compress: content codings as streams: gzip, deflate, brotli, zstd [RFC 9110 8.4.1].
 *
 * Encoding for devices that accept it, decoding of request bodies for origins that cannot. A codec is
 * driven like the others: bytes in, bytes out, no I/O. Decoders stop at a bound, so that a small body
 * cannot become a huge one.
 */
#pragma once
#include "base/err.h"
#include "wire/http1.h"

struct rf_codec;
enum rf_coding { RF_CODING_NONE, RF_CODING_GZIP, RF_CODING_BROTLI, RF_CODING_ZSTD, RF_CODING_DEFLATE, RF_CODINGS };
enum rf_codec_mode { RF_CODEC_RUN, RF_CODEC_FLUSH /* give out all that was taken */, RF_CODEC_FINISH /* no more comes */ };

const char *rf_coding_name(enum rf_coding c); /* "gzip", "br", "zstd", "deflate"; "" for none */
/* By name, "x-gzip" included; RF_CODING_NONE for "identity" and ""; RF_CODINGS for one that is not known. */
enum rf_coding rf_coding_of(struct rf_str name);
/* The best coding that all Accept-Encoding headers of the request allow [RFC 9110 12.5.3]. */
enum rf_coding rf_coding_accepted(const struct rf_http_head *request);
/* Does the client take this one? */
bool rf_coding_takes(const struct rf_http_head *request, enum rf_coding c);
/* Is a response of this media type worth it? Texts and the like are, pictures are not. */
bool rf_coding_worth(struct rf_str content_type);

struct rf_codec *rf_codec_encoder(enum rf_coding c);                 /* NULL without memory, or for NONE */
struct rf_codec *rf_codec_decoder(enum rf_coding c, uint64_t bound); /* bound: bytes given out; 0: any */
void rf_codec_free(struct rf_codec *c);                              /* NULL is fine */

/* Take from the front of *in, write at most `room` bytes to `to`, their number in *ret_n. RF_OK: call
 * again, with room. RF_E_AGAIN: all of *in was taken, give more (after FLUSH: all is out). RF_E_EOF:
 * finished. RF_E_INVALID: not of this coding, or cut short. RF_E_TOO_LARGE: past the bound.
 * RF_E_NOMEM. */
int rf_codec_run(struct rf_codec *c, struct rf_str *in, enum rf_codec_mode mode, char *to, size_t room, size_t *ret_n);
bool rf_codec_done(const struct rf_codec *c);
