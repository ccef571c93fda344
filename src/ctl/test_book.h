/* ctl/test_book: what the tests of books share: a store in a folder of its own, with one ruleset, and rows for it. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <sqlite3.h>
#include "ctl/book.h"
#include "ctl/store.h"

static int64_t now_s = 1800000000;
static int64_t wall(void *ctx) { (void)ctx; return now_s * (int64_t)RF_NS_S; }
static uint64_t mono(void *ctx) { (void)ctx; return 0; }
static const struct rf_clock test_clock = { mono, wall, NULL };

struct fixture {
	char dir[64], path[96], account[33], set[33];
	struct rf_store *s;
	struct rf_err e;
};

#define GOOD(call) do { int rc_ = (call); if (rc_ != RF_OK) fail_msg("%s: %s", #call, f->e.text); } while (0)

__attribute__((unused)) static void put_object(struct fixture *f, enum rf_kind k, const char *parent, const char *name, char id[33])
{
	RF_OBJECT_AUTO o = { .doc = json_object() };
	snprintf(o.parent, sizeof o.parent, "%s", parent);
	snprintf(o.name, sizeof o.name, "%s", name);
	GOOD(rf_store_begin(f->s, "test", &f->e));
	GOOD(rf_store_put(f->s, k, &o, 0, &f->e));
	GOOD(rf_store_commit(f->s, &f->e));
	memcpy(id, o.id, 33);
}

__attribute__((unused)) static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	snprintf(f->dir, sizeof f->dir, "/tmp/rf-book-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof f->path, "%s/state.db", f->dir);
	GOOD(rf_store_open(f->path, &test_clock, &f->s, &f->e));
	put_object(f, RF_KIND_ACCOUNT, "", "a", f->account);
	put_object(f, RF_KIND_RULESET, f->account, "root:http_request", f->set);
	*state = f;
	return 0;
}

__attribute__((unused)) static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];
	rf_store_close(f->s);
	snprintf(command, sizeof command, "rm -r %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

__attribute__((unused)) static void reopen(struct fixture *f)
{
	rf_store_close(f->s);
	GOOD(rf_store_open(f->path, &test_clock, &f->s, &f->e));
}

__attribute__((unused)) static json_t *doc_of(unsigned text)
{
	char *t = malloc(text + 1);
	memset(t, 'x', text);
	t[text] = '\0';
	json_t *doc = json_pack("{s:s}", "t", t);
	free(t);
	return doc;
}

__attribute__((unused)) static void text_of(struct rf_buf *texts, struct rf_store_child *c, unsigned text, const char *name)
{
	json_t *doc = doc_of(text);
	char *t = json_dumps(doc, JSON_COMPACT);
	c->doc_n = (uint32_t)strlen(t);
	c->doc = texts->p + texts->n;
	rf_buf_add(texts, rf_str_z(t));
	free(t);
	json_decref(doc);
	if (!name)
		return;
	c->name_n = (uint16_t)strlen(name);
	c->name = texts->p + texts->n;
	rf_buf_add(texts, (struct rf_str){ name, strlen(name) + 1 });
}

__attribute__((unused)) static size_t rows_left(struct fixture *f)
{
	size_t n = 0;
	GOOD(rf_store_count(f->s, RF_KIND_RULE, &(struct rf_store_query){ 0 }, &n, &f->e));
	return n;
}
