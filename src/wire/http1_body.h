/* wire/http1_body: the chunked transfer coding, both ways [RFC 9112 7.1].
 *
 * The decoder takes bytes as they come and hands out the data in place. It is as strict as the head
 * parser: white space, signs, "0x", lone LFs, unknown bytes in extensions and trailers that belong
 * in a head are refused with a reason of tbl/rejects.def.
 */
#pragma once
#include "wire/http1.h"

struct rf_chunked {
	const struct rf_http_limits *lim;
	/* Called for every trailer; the slices are valid during the call. NULL: they are checked and dropped. */
	void (*on_trailer)(void *ctx, const struct rf_http_header *f);
	void *ctx;
	uint8_t state;       /* private to http1_body.c */
	uint8_t digits;
	uint8_t reject;      /* enum rf_http_reject, set with RF_E_INVALID */
	uint16_t ext;        /* bytes of extensions of this chunk */
	uint16_t trailers;   /* count */
	uint32_t trailer_bytes;
	uint32_t looked;     /* bytes of an incomplete trailer line already searched */
	uint64_t left;       /* data of this chunk still to come */
	uint64_t data;       /* bytes of data so far: the body's size at the end */
	uint64_t overhead;   /* bytes of everything else */
};

/* `lim` must outlive c. Set on_trailer and ctx afterwards where wanted. */
void rf_chunked_init(struct rf_chunked *c, const struct rf_http_limits *lim);

/* Decode from the front of *in, which moves past what was used.
 *
 * RF_OK: *ret_data is the next run of data, inside the input; call again. RF_E_AGAIN: more bytes are
 * needed; what is left in *in (only an incomplete trailer line) must be given again with them.
 * RF_E_EOF: the body is complete and *in starts at the next message. RF_E_INVALID: refused for
 * c->reject, now and at every further call. */
int rf_chunked_feed(struct rf_chunked *c, struct rf_str *in, struct rf_str *ret_data);

#define RF_CHUNK_HEAD_MAX 18
/* Write the line that goes before n > 0 bytes of data (which CRLF must follow); its length. */
size_t rf_chunk_head(char to[RF_CHUNK_HEAD_MAX], uint64_t n);
/* The end of a body without trailers. */
#define RF_CHUNK_LAST RF_STR("0\r\n\r\n")
