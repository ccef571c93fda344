/* svc/http/compress: content codings behind one small interface: a row of functions a library.
 *
 * Qualities are those that pay on a proxy: zlib 5, brotli 4, zstd 3. Memory of a codec is that of its
 * library (zlib ~260 KiB to encode, brotli ~1 MiB, zstd ~1.3 MiB); the number of codecs is bounded by
 * the requests under way.
 */
#include "svc/http/compress.h"
#include <brotli/decode.h>
#include <brotli/encode.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>
#include "wire/accept.h"

enum { BROTLI_QUALITY = 4, BROTLI_WINDOW = 18, ZLIB_LEVEL = 5, ZSTD_LEVEL = 3, ZSTD_WINDOW_MAX = 23 };

struct run {
	struct rf_str *in;
	enum rf_codec_mode mode;
	char *to;
	size_t room, n;
};

struct ops {
	int (*run)(struct rf_codec *c, struct run *r);
	void (*free)(struct rf_codec *c);
};

struct rf_codec {
	const struct ops *ops;
	bool done;
	bool raw_tried; /* deflate: the variant without a zlib header is being tried */
	bool began;     /* bytes were taken */
	uint64_t bound, out;
	union {
		z_stream z;
		BrotliEncoderState *be;
		BrotliDecoderState *bd;
		ZSTD_CCtx *zc;
		ZSTD_DCtx *zd;
	};
};

static const char *const names[RF_CODINGS] = { "", "gzip", "br", "zstd", "deflate" };

const char *rf_coding_name(enum rf_coding c)
{
	return c < RF_CODINGS ? names[c] : "";
}

enum rf_coding rf_coding_of(struct rf_str name)
{
	if (!name.n || rf_str_ieq(name, RF_STR("identity")))
		return RF_CODING_NONE;
	if (rf_str_ieq(name, RF_STR("x-gzip"))) /* [RFC 9110 8.4.1.3] */
		return RF_CODING_GZIP;
	for (int c = RF_CODING_GZIP; c < RF_CODINGS; c++)
		if (rf_str_ieq(name, rf_str_z(names[c])))
			return (enum rf_coding)c;
	return RF_CODINGS;
}

enum rf_coding rf_coding_accepted(const struct rf_http_head *request)
{
	static const char *const have[] = { "zstd", "br", "gzip" };
	static const enum rf_coding codings[] = { RF_CODING_ZSTD, RF_CODING_BROTLI, RF_CODING_GZIP };
	const struct rf_http_header *h = rf_http_header(request, RF_HDR_ACCEPT_ENCODING);
	if (!h || rf_http_header_next(request, h)) /* said twice: not worth joining */
		return RF_CODING_NONE;
	int i = rf_accept_coding(h->value, have, sizeof have / sizeof *have);
	return i < 0 ? RF_CODING_NONE : codings[i];
}

bool rf_coding_takes(const struct rf_http_head *request, enum rf_coding c)
{
	const struct rf_http_header *h = rf_http_header(request, RF_HDR_ACCEPT_ENCODING);
	const char *have[] = { rf_coding_name(c) };
	return h && !rf_http_header_next(request, h) && rf_accept_coding(h->value, have, 1) == 0;
}

bool rf_coding_worth(struct rf_str type)
{
	static const char *const worth[] = { "application/json", "application/javascript", "application/xml",
					     "application/wasm", "application/cbor", "application/senml+json",
					     "application/x-ndjson", "image/svg+xml", "application/problem+json" };
	type = rf_media_essence(type);
	if (type.n > 5 && rf_str_ieq((struct rf_str){ type.p, 5 }, RF_STR("text/")))
		return !rf_str_ieq(type, RF_STR("text/event-stream"));
	for (size_t i = 0; i < sizeof worth / sizeof *worth; i++)
		if (rf_str_ieq(type, rf_str_z(worth[i])))
			return true;
	return false;
}

static int zlib_mode(enum rf_codec_mode m)
{
	return m == RF_CODEC_FINISH ? Z_FINISH : m == RF_CODEC_FLUSH ? Z_SYNC_FLUSH : Z_NO_FLUSH;
}

static void zlib_in(struct rf_codec *c, struct run *r)
{
	c->z.next_in = (Bytef *)(uintptr_t)r->in->p;
	c->z.avail_in = (uInt)r->in->n;
	c->z.next_out = (Bytef *)r->to;
	c->z.avail_out = (uInt)r->room;
}

static void zlib_out(struct rf_codec *c, struct run *r)
{
	*r->in = rf_str_skip(*r->in, r->in->n - c->z.avail_in);
	r->n = r->room - c->z.avail_out;
}

static int gzip_run(struct rf_codec *c, struct run *r)
{
	zlib_in(c, r);
	int z = deflate(&c->z, zlib_mode(r->mode));
	zlib_out(c, r);
	if (z == Z_STREAM_END)
		return RF_E_EOF;
	if (z != Z_OK && z != Z_BUF_ERROR)
		return RF_E_INVALID;
	return c->z.avail_out ? RF_E_AGAIN : RF_OK;
}

/* Many servers and clients send "deflate" without the zlib header that [RFC 9110 8.4.1.2] wants. */
static bool raw_deflate(struct rf_codec *c)
{
	if (!c->raw_tried || c->began)
		return false;
	c->raw_tried = false;
	return inflateReset2(&c->z, -MAX_WBITS) == Z_OK;
}

static int inflate_run(struct rf_codec *c, struct run *r)
{
	zlib_in(c, r);
	int z = inflate(&c->z, Z_NO_FLUSH);
	if (z == Z_DATA_ERROR && raw_deflate(c)) {
		zlib_in(c, r);
		z = inflate(&c->z, Z_NO_FLUSH);
	}
	c->began |= c->z.avail_in < r->in->n;
	zlib_out(c, r);
	if (z == Z_STREAM_END)
		return r->in->n ? RF_E_INVALID : RF_E_EOF; /* bytes behind the end */
	if (z == Z_MEM_ERROR)
		return RF_E_NOMEM;
	if (z != Z_OK && z != Z_BUF_ERROR)
		return RF_E_INVALID;
	if (!c->z.avail_out)
		return RF_OK;
	return r->mode == RF_CODEC_FINISH ? RF_E_INVALID : RF_E_AGAIN;
}

static void deflate_free(struct rf_codec *c) { deflateEnd(&c->z); }
static void inflate_free(struct rf_codec *c) { inflateEnd(&c->z); }

static int brotli_encode(struct rf_codec *c, struct run *r)
{
	const uint8_t *in = (const uint8_t *)r->in->p;
	size_t left = r->in->n, room = r->room;
	uint8_t *to = (uint8_t *)r->to;
	BrotliEncoderOperation op = r->mode == RF_CODEC_FINISH ? BROTLI_OPERATION_FINISH :
		r->mode == RF_CODEC_FLUSH ? BROTLI_OPERATION_FLUSH : BROTLI_OPERATION_PROCESS;
	if (!BrotliEncoderCompressStream(c->be, op, &left, &in, &room, &to, NULL))
		return RF_E_INVALID;
	*r->in = rf_str_skip(*r->in, r->in->n - left);
	r->n = r->room - room;
	if (BrotliEncoderIsFinished(c->be))
		return RF_E_EOF;
	return BrotliEncoderHasMoreOutput(c->be) || left ? RF_OK : RF_E_AGAIN;
}

static int brotli_decode(struct rf_codec *c, struct run *r)
{
	const uint8_t *in = (const uint8_t *)r->in->p;
	size_t left = r->in->n, room = r->room;
	uint8_t *to = (uint8_t *)r->to;
	BrotliDecoderResult z = BrotliDecoderDecompressStream(c->bd, &left, &in, &room, &to, NULL);
	*r->in = rf_str_skip(*r->in, r->in->n - left);
	r->n = r->room - room;
	if (z == BROTLI_DECODER_RESULT_SUCCESS)
		return left ? RF_E_INVALID : RF_E_EOF;
	if (z == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT)
		return RF_OK;
	if (z == BROTLI_DECODER_RESULT_ERROR)
		return RF_E_INVALID;
	return r->mode == RF_CODEC_FINISH ? RF_E_INVALID : RF_E_AGAIN;
}

static void brotli_encode_free(struct rf_codec *c) { BrotliEncoderDestroyInstance(c->be); }
static void brotli_decode_free(struct rf_codec *c) { BrotliDecoderDestroyInstance(c->bd); }

static int zstd_encode(struct rf_codec *c, struct run *r)
{
	ZSTD_inBuffer in = { r->in->p, r->in->n, 0 };
	ZSTD_outBuffer out = { r->to, r->room, 0 };
	ZSTD_EndDirective end = r->mode == RF_CODEC_FINISH ? ZSTD_e_end : r->mode == RF_CODEC_FLUSH ? ZSTD_e_flush
												  : ZSTD_e_continue;
	size_t left = ZSTD_compressStream2(c->zc, &out, &in, end);
	if (ZSTD_isError(left))
		return RF_E_INVALID;
	*r->in = rf_str_skip(*r->in, in.pos);
	r->n = out.pos;
	if (end == ZSTD_e_end)
		return left ? RF_OK : RF_E_EOF;
	return r->in->n || (end == ZSTD_e_flush && left) ? RF_OK : RF_E_AGAIN;
}

static int zstd_decode(struct rf_codec *c, struct run *r)
{
	ZSTD_inBuffer in = { r->in->p, r->in->n, 0 };
	ZSTD_outBuffer out = { r->to, r->room, 0 };
	size_t left = ZSTD_decompressStream(c->zd, &out, &in);
	if (ZSTD_isError(left))
		return RF_E_INVALID;
	*r->in = rf_str_skip(*r->in, in.pos);
	r->n = out.pos;
	if (!left)
		return r->in->n ? RF_E_INVALID : RF_E_EOF;
	if (out.pos == r->room)
		return RF_OK;
	return r->mode == RF_CODEC_FINISH ? RF_E_INVALID : RF_E_AGAIN;
}

static void zstd_encode_free(struct rf_codec *c) { ZSTD_freeCCtx(c->zc); }
static void zstd_decode_free(struct rf_codec *c) { ZSTD_freeDCtx(c->zd); }

static const struct ops gzip_encode_ops = { gzip_run, deflate_free }, inflate_ops = { inflate_run, inflate_free },
	brotli_encode_ops = { brotli_encode, brotli_encode_free }, brotli_decode_ops = { brotli_decode, brotli_decode_free },
	zstd_encode_ops = { zstd_encode, zstd_encode_free }, zstd_decode_ops = { zstd_decode, zstd_decode_free };

static bool encoder_init(struct rf_codec *c, enum rf_coding coding)
{
	switch (coding) {
	case RF_CODING_GZIP:
		c->ops = &gzip_encode_ops;
		return deflateInit2(&c->z, ZLIB_LEVEL, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK;
	case RF_CODING_BROTLI:
		c->ops = &brotli_encode_ops;
		c->be = BrotliEncoderCreateInstance(NULL, NULL, NULL);
		return c->be && BrotliEncoderSetParameter(c->be, BROTLI_PARAM_QUALITY, BROTLI_QUALITY) &&
		       BrotliEncoderSetParameter(c->be, BROTLI_PARAM_LGWIN, BROTLI_WINDOW);
	case RF_CODING_ZSTD:
		c->ops = &zstd_encode_ops;
		c->zc = ZSTD_createCCtx();
		return c->zc && !ZSTD_isError(ZSTD_CCtx_setParameter(c->zc, ZSTD_c_compressionLevel, ZSTD_LEVEL));
	default:
		return false;
	}
}

static bool decoder_init(struct rf_codec *c, enum rf_coding coding)
{
	switch (coding) {
	case RF_CODING_GZIP:
	case RF_CODING_DEFLATE:
		c->ops = &inflate_ops;
		c->raw_tried = coding == RF_CODING_DEFLATE;
		return inflateInit2(&c->z, coding == RF_CODING_GZIP ? MAX_WBITS + 16 : MAX_WBITS) == Z_OK;
	case RF_CODING_BROTLI:
		c->ops = &brotli_decode_ops;
		c->bd = BrotliDecoderCreateInstance(NULL, NULL, NULL);
		return c->bd;
	case RF_CODING_ZSTD:
		c->ops = &zstd_decode_ops;
		c->zd = ZSTD_createDCtx();
		return c->zd && !ZSTD_isError(ZSTD_DCtx_setParameter(c->zd, ZSTD_d_windowLogMax, ZSTD_WINDOW_MAX));
	default:
		return false;
	}
}

static struct rf_codec *made(struct rf_codec *c, bool ok)
{
	if (c && !ok) {
		if (c->ops && c->ops != &gzip_encode_ops && c->ops != &inflate_ops)
			c->ops->free(c); /* zlib frees what a failed init took */
		free(c);
		return NULL;
	}
	return c;
}

struct rf_codec *rf_codec_encoder(enum rf_coding coding)
{
	struct rf_codec *c = calloc(1, sizeof *c);
	return made(c, c && encoder_init(c, coding));
}

struct rf_codec *rf_codec_decoder(enum rf_coding coding, uint64_t bound)
{
	struct rf_codec *c = calloc(1, sizeof *c);
	if (c)
		c->bound = bound;
	return made(c, c && decoder_init(c, coding));
}

void rf_codec_free(struct rf_codec *c)
{
	if (!c)
		return;
	c->ops->free(c);
	free(c);
}

int rf_codec_run(struct rf_codec *c, struct rf_str *in, enum rf_codec_mode mode, char *to, size_t room, size_t *ret_n)
{
	if (c->done)
		return in->n ? RF_E_INVALID : RF_E_EOF;
	struct run r = { in, mode, to, room, 0 };
	int z = c->ops->run(c, &r);
	if (z < 0 && z != RF_E_AGAIN && z != RF_E_EOF)
		return z;
	c->out += r.n;
	if (c->bound && c->out > c->bound)
		return RF_E_TOO_LARGE;
	c->done = z == RF_E_EOF;
	*ret_n = r.n;
	return z;
}

bool rf_codec_done(const struct rf_codec *c)
{
	return c->done;
}
