/* wire/http1_body: the chunked transfer coding, both ways [RFC 9112 7.1].
 *
 *   SIZE -> (EXT_NAME -> EXT_VALUE -> EXT_TOKEN | EXT_QUOTED <-> EXT_PAIR -> EXT_END)* -> SIZE_LF
 *     size > 0: DATA -> DATA_CR -> DATA_LF -> SIZE
 *     size = 0: TRAILER (line by line) -> DONE
 *
 * Every byte outside data passes one step function of its state, so that pieces of any size give
 * the same verdict. Trailer lines are the exception: they are parsed whole, by the parser of heads.
 *
 * Invariants: data + overhead is the number of bytes used. BAD and DONE are final.
 */
#include "wire/http1_body.h"
#include "wire/http1_int.h"

enum {
	SIZE, EXT_NAME, EXT_NAME_ON, EXT_VALUE, EXT_TOKEN, EXT_QUOTED, EXT_PAIR, EXT_END, SIZE_LF, DATA, DATA_CR, DATA_LF,
	TRAILER, DONE, BAD
};

void rf_chunked_init(struct rf_chunked *c, const struct rf_http_limits *lim)
{
	*c = (struct rf_chunked){ .lim = lim };
}

static int refuse(struct rf_chunked *c, enum rf_http_reject why)
{
	c->state = BAD;
	c->reject = (uint8_t)why;
	return RF_E_INVALID;
}

static enum rf_http_reject size_step(struct rf_chunked *c, char b)
{
	if (http_is(b, CLASS_HEX)) {
		if (c->digits >= c->lim->chunk_digits || c->digits >= 15)
			return RF_REJECT_CHUNK_SIZE_OVERFLOW;
		c->digits++;
		c->left = c->left << 4 | (uint64_t)(http_is(b, CLASS_DIGIT) ? b - '0' : (b | 0x20) - 'a' + 10);
		return RF_HTTP_ACCEPTED;
	}
	if (c->digits == 0 || (b != ';' && b != '\r'))
		return b == '\n' ? RF_REJECT_BARE_LF : RF_REJECT_CHUNK_SIZE;
	c->state = b == ';' ? EXT_NAME : SIZE_LF;
	return RF_HTTP_ACCEPTED;
}

/* What may follow a complete extension: another, or the end of the line. */
static enum rf_http_reject ext_end(struct rf_chunked *c, char b)
{
	if (b != ';' && b != '\r')
		return RF_REJECT_CHUNK_EXTENSION;
	c->state = b == ';' ? EXT_NAME : SIZE_LF;
	return RF_HTTP_ACCEPTED;
}

static bool quotable(char b)
{
	unsigned char c = (unsigned char)b;
	return c == '\t' || (c >= 0x20 && c != 0x7f);
}

/* chunk-ext = *( ";" name [ "=" ( token / quoted-string ) ] ), without the optional white space [RFC 9112 7.1.1] */
static enum rf_http_reject ext_step(struct rf_chunked *c, char b)
{
	if (++c->ext > c->lim->chunk_ext)
		return RF_REJECT_CHUNK_EXTENSION_LENGTH;
	if (b == '\n')
		return RF_REJECT_BARE_LF;
	switch (c->state) {
	case EXT_NAME:
		c->state = EXT_NAME_ON;
		return http_is(b, CLASS_TOKEN) ? RF_HTTP_ACCEPTED : RF_REJECT_CHUNK_EXTENSION;
	case EXT_NAME_ON:
		if (http_is(b, CLASS_TOKEN))
			return RF_HTTP_ACCEPTED;
		if (b != '=')
			return ext_end(c, b);
		c->state = EXT_VALUE;
		return RF_HTTP_ACCEPTED;
	case EXT_VALUE:
		c->state = b == '"' ? EXT_QUOTED : EXT_TOKEN;
		return b == '"' || http_is(b, CLASS_TOKEN) ? RF_HTTP_ACCEPTED : RF_REJECT_CHUNK_EXTENSION;
	case EXT_TOKEN:
		return http_is(b, CLASS_TOKEN) ? RF_HTTP_ACCEPTED : ext_end(c, b);
	case EXT_QUOTED:
		c->state = b == '"' ? EXT_END : b == '\\' ? EXT_PAIR : EXT_QUOTED;
		return quotable(b) ? RF_HTTP_ACCEPTED : RF_REJECT_CHUNK_EXTENSION;
	case EXT_PAIR:
		c->state = EXT_QUOTED;
		return quotable(b) ? RF_HTTP_ACCEPTED : RF_REJECT_CHUNK_EXTENSION;
	default:
		return ext_end(c, b);
	}
}

static enum rf_http_reject end_step(struct rf_chunked *c, char b)
{
	if (c->state == DATA_CR) {
		c->state = DATA_LF;
		return b == '\r' ? RF_HTTP_ACCEPTED : RF_REJECT_CHUNK_END;
	}
	if (b != '\n')
		return RF_REJECT_BARE_CR;
	if (c->state == DATA_LF)
		c->left = c->digits = 0, c->state = SIZE;
	else
		c->state = c->left ? DATA : TRAILER;
	c->ext = 0;
	return RF_HTTP_ACCEPTED;
}

/* One byte that is neither data nor trailer. */
static enum rf_http_reject step(struct rf_chunked *c, char b)
{
	if (++c->overhead > c->data * 8 + c->lim->chunk_overhead)
		return RF_REJECT_CHUNK_OVERHEAD;
	if (c->state == SIZE)
		return size_step(c, b);
	if (c->state < SIZE_LF)
		return ext_step(c, b);
	return end_step(c, b);
}

/* Fields that frame, route, authenticate or are for the edge have no place in trailers [RFC 9110 6.5.1]. */
static enum rf_http_reject trailer(struct rf_chunked *c, const char *line, const char *end)
{
	struct rf_http_header f;
	enum rf_http_reject why = http_parse_field(&line, end, c->lim, &f);
	if (why)
		return why;
	if (rf_http_header_flags((enum rf_http_header_id)f.id))
		return RF_REJECT_TRAILER;
	if (++c->trailers > c->lim->headers)
		return RF_REJECT_TRAILER_LENGTH;
	if (c->on_trailer)
		c->on_trailer(c->ctx, &f);
	return RF_HTTP_ACCEPTED;
}

/* One line of the trailer section; RF_OK when one was used. */
static int trailer_line(struct rf_chunked *c, struct rf_str *in)
{
	size_t room = c->lim->trailers - c->trailer_bytes, n = in->n < room ? in->n : room;
	const char *lf = n > c->looked ? memchr(in->p + c->looked, '\n', n - c->looked) : NULL;
	if (!lf && in->n >= room)
		return refuse(c, RF_REJECT_TRAILER_LENGTH);
	c->looked = (uint32_t)n;
	if (!lf)
		return RF_E_AGAIN;
	if (lf == in->p || lf[-1] != '\r')
		return refuse(c, RF_REJECT_BARE_LF);
	size_t size = (size_t)(lf + 1 - in->p);
	enum rf_http_reject why = size == 2 ? RF_HTTP_ACCEPTED : trailer(c, in->p, lf + 1);
	if (why)
		return refuse(c, why);
	c->looked = 0;
	c->trailer_bytes += (uint32_t)size;
	c->overhead += size;
	*in = rf_str_skip(*in, size);
	if (size == 2)
		c->state = DONE;
	return RF_OK;
}

static struct rf_str take_data(struct rf_chunked *c, struct rf_str *in)
{
	struct rf_str data = { in->p, in->n < c->left ? in->n : (size_t)c->left };
	c->left -= data.n;
	c->data += data.n;
	if (c->left == 0)
		c->state = DATA_CR;
	*in = rf_str_skip(*in, data.n);
	return data;
}

int rf_chunked_feed(struct rf_chunked *c, struct rf_str *in, struct rf_str *ret_data)
{
	for (;;) {
		if (c->state == DONE)
			return RF_E_EOF;
		if (c->state == BAD)
			return RF_E_INVALID;
		if (in->n == 0)
			return RF_E_AGAIN;
		if (c->state == DATA) {
			*ret_data = take_data(c, in);
			return RF_OK;
		}
		if (c->state == TRAILER) {
			int r = trailer_line(c, in);
			if (r)
				return r;
			continue;
		}
		enum rf_http_reject why = step(c, in->p[0]);
		if (why)
			return refuse(c, why);
		*in = rf_str_skip(*in, 1);
	}
}

size_t rf_chunk_head(char to[RF_CHUNK_HEAD_MAX], uint64_t n)
{
	size_t digits = 1;
	while (digits < 16 && n >> (4 * digits))
		digits++;
	for (size_t i = 0; i < digits; i++)
		to[i] = "0123456789abcdef"[n >> (4 * (digits - 1 - i)) & 15];
	to[digits] = '\r';
	to[digits + 1] = '\n';
	return digits + 2;
}
