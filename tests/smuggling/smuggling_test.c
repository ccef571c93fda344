/* Runs every case of tests/smuggling/cases through the parser of heads and the decoder of chunks.
 *
 * The format is described in tests/smuggling/format.md. Each case is fed at once and byte by byte,
 * and must give the verdict of its `expect` line both times. The reader of bodies here is the least
 * that an honest server does: what the head says, in the order of the bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/buf.h"
#include "base/err.h"
#include "wire/http1_body.h"

#define CASES "tests/smuggling/cases"
enum { CASES_MIN = 170, CASE_MAX = 1 << 20 };

/* What a connection has come to. */
struct outcome {
	unsigned complete;       /* requests */
	enum rf_http_reject why; /* of the refused one */
	const char *rest;        /* "", "refuse", "wait", "closed" or "tunnel" */
};

/* One connection; `used` bytes of the input are behind it. */
struct reader {
	struct outcome o;
	size_t used;
	struct rf_http_scan scan;
	struct rf_http_head head;
	struct rf_chunked chunked;
	struct rf_arena arena;
	uint64_t left;
	bool in_body;
};

static void refuse(struct reader *r, unsigned why)
{
	r->o.rest = "refuse";
	r->o.why = (enum rf_http_reject)why;
}

static void request_done(struct reader *r)
{
	r->o.complete++;
	r->in_body = false;
	r->scan = (struct rf_http_scan){ 0 };
	if (r->head.upgrade == RF_UPGRADE_WEBSOCKET || r->head.method == RF_HTTP_CONNECT)
		r->o.rest = "tunnel";
	else if (!r->head.keep_alive)
		r->o.rest = "closed";
}

static bool read_head(struct reader *r, struct rf_str in)
{
	int e = rf_http_parse_request(&r->scan, in, &rf_http_limits_default, &r->arena, &r->head);
	if (e == RF_E_AGAIN)
		return false;
	if (e) {
		refuse(r, r->scan.reject);
		return false;
	}
	r->used += r->head.size;
	r->in_body = true;
	r->left = r->head.body == RF_BODY_LENGTH ? r->head.content_length : 0;
	rf_chunked_init(&r->chunked, &rf_http_limits_default);
	return true;
}

static bool read_body(struct reader *r, struct rf_str in)
{
	if (r->head.body != RF_BODY_CHUNKED) {
		size_t n = in.n < r->left ? in.n : (size_t)r->left;
		r->used += n;
		r->left -= n;
		if (r->left == 0)
			request_done(r);
		return r->left == 0;
	}
	struct rf_str rest = in, data;
	int e;
	while ((e = rf_chunked_feed(&r->chunked, &rest, &data)) == RF_OK)
		;
	r->used += in.n - rest.n;
	if (e == RF_E_EOF)
		request_done(r);
	else if (e == RF_E_INVALID)
		refuse(r, r->chunked.reject);
	return e == RF_E_EOF;
}

/* Read as far as in[0..n) allows. */
static void advance(struct reader *r, struct rf_str in)
{
	bool more = true;
	while (more && !*r->o.rest && (r->used < in.n || r->in_body)) {
		struct rf_str from = rf_str_skip(in, r->used);
		more = r->in_body ? read_body(r, from) : read_head(r, from);
	}
}

static struct outcome run(struct rf_str in, size_t step)
{
	struct reader r = { .o = { .rest = "" } };
	rf_arena_init(&r.arena, 1 << 20);
	for (size_t n = 0; n < in.n && !*r.o.rest;) {
		n = in.n - n < step ? in.n : n + step;
		char *exact = malloc(n); /* overreads are seen */
		memcpy(exact, in.p, n);
		advance(&r, (struct rf_str){ exact, n });
		free(exact);
	}
	if (!*r.o.rest && (r.used < in.n || r.in_body))
		r.o.rest = "wait";
	rf_arena_fini(&r.arena);
	return r.o;
}

/* In the words of the expect line. */
static const char *describe(const struct outcome *o, char *to, size_t size)
{
	const char *why = o->why ? rf_http_reject_name(o->why) : "", *space = o->why ? " " : "";
	if (!*o->rest)
		snprintf(to, size, "accept %u", o->complete);
	else if (o->complete == 0 && o->why)
		snprintf(to, size, "refuse %s", why);
	else
		snprintf(to, size, "accept %u, %s%s%s", o->complete, o->rest, space, why);
	return to;
}

/* One escape after the backslash at p; returns what follows it, NULL when there is no such escape. */
static const char *escape(const char *p, struct rf_buf *out)
{
	static const char letters[] = "rnt\\", bytes[] = "\r\n\t\\";
	unsigned v, n;
	char c;
	int used = 0;
	const char *letter = *p ? strchr(letters, *p) : NULL;
	if (letter) {
		rf_buf_addc(out, bytes[letter - letters]);
		return p + 1;
	}
	if (sscanf(p, "x%2x%n", &v, &used) == 1 && used == 3) {
		rf_buf_addc(out, (char)v);
		return p + 3;
	}
	if (sscanf(p, "{%c*%u}%n", &c, &n, &used) != 2 || !used)
		return NULL;
	while (n--)
		rf_buf_addc(out, c);
	return p + used;
}

static bool unescape(const char *p, struct rf_buf *out)
{
	while (p && *p) {
		if (*p == '\\')
			p = escape(p + 1, out);
		else if (*p++ != '\n')
			rf_buf_addc(out, p[-1]);
	}
	return p && !out->bad;
}

static char *load(const char *name)
{
	char path[512];
	snprintf(path, sizeof path, CASES "/%s", name);
	FILE *f = fopen(path, "rb");
	char *text = calloc(1, CASE_MAX + 1);
	if (!f || !text)
		fail_msg("%s: cannot be read", path);
	size_t n = fread(text, 1, CASE_MAX, f);
	fclose(f);
	assert_true(n < CASE_MAX && n == strlen(text));
	return text;
}

static unsigned check(const char *name)
{
	char *text = load(name), *expect = strstr(text, "\nexpect: "), *bytes = strstr(text, "\n---\n");
	RF_BUF_AUTO raw = { 0 };
	unsigned failed = 0;
	if (text[0] != '#' || !expect || !bytes || expect > bytes || !unescape(bytes + 5, &raw))
		fail_msg("%s does not follow tests/smuggling/format.md", name);
	expect += strlen("\nexpect: ");
	*strchr(expect, '\n') = '\0';
	const char *want = strcmp(expect, "one-request") == 0 ? "accept 1" : expect;
	static const size_t steps[] = { CASE_MAX, 1, 7 };
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		char got[128];
		if (raw.n > 4096 && steps[i] < 64) /* a copy for each byte would take its time */
			continue;
		struct outcome o = run(rf_buf_str(&raw), steps[i]);
		if (strcmp(describe(&o, got, sizeof got), want) != 0) {
			print_error("%s: %s instead of %s\n", name, got, want);
			failed = 1;
		}
	}
	free(text);
	return failed;
}

static void all_cases(void **state)
{
	(void)state;
	unsigned failed = 0, count = 0;
	DIR *dir = opendir(CASES);
	assert_non_null(dir);
	for (struct dirent *d; (d = readdir(dir));)
		if (rf_str_ends(rf_str_z(d->d_name), RF_STR(".case"))) {
			failed += check(d->d_name);
			count++;
		}
	closedir(dir);
	print_message("%u cases\n", count);
	assert_true(count >= CASES_MIN);
	assert_int_equal(failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(all_cases) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
