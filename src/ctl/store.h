/* ctl/store: the state as objects in tables, behind the narrow interface that a cluster's key-value
 * store can also fill.
 *
 * An object is (kind, id, parent, name, JSON document, revision, times). The kinds, their parents
 * (deleting a parent deletes its children) and which names must be unique are rows of tbl/kinds.def. The embedded store
 * is SQLite in WAL mode with synchronous=FULL: what rf_store_commit returned RF_OK for is there after a power cut,
 * what it did not is absent. Used by the control thread only (one writer).
 *
 * Kinds that are PLACED, of which a parent can have a hundred thousand that change at once, are held in memory and kept in pages of
 * about a hundred (ctl/book.h); they are listed by parent, offset and limit alone. A document of theirs need not say "id" and "ref",
 * which are the row's id and name: as an object it has them.
 *
 * Every write is audited in the same transaction: who, when, what, old and new revision. (Entries of lists (ctl/entries.h) are
 * not, one by one, nor are rules: whoever changes them also puts their list or ruleset, which is.) The newest RF_STORE_AUDIT_MAX
 * entries are kept.
 *
 * The file is made with mode 0600: private keys that operators upload are in it as they came.
 */
#pragma once
#include <jansson.h>
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"

enum rf_kind {
#define RF_KIND(id, table, parent, unique, doc) RF_KIND_##id,
#include "tbl/kinds.def"
#undef RF_KIND
	RF_KIND_COUNT
};

struct rf_object {
	char id[33];
	char parent[33];    /* "" for a root */
	char name[320];     /* unique within (kind, parent) where the table says so; "" allowed elsewhere */
	uint64_t revision;  /* grows with every write of the whole store; the ETag */
	int64_t place;      /* among the parent's children, for kinds that are PLACED; else 0 */
	int64_t created_s, modified_s;
	json_t *doc;        /* owned by the object; rf_object_fini */
};
void rf_object_fini(struct rf_object *o);
#define RF_OBJECT_AUTO __attribute__((cleanup(rf_object_fini))) struct rf_object

enum { RF_STORE_AUDIT_MAX = 100000, RF_STORE_MATCH_MAX = 4 };

struct rf_store;
/* Opens or makes the file and brings it to the present version. RF_E_UNSUPPORTED: written by a newer release;
 * RF_E_INVALID: not a state file of ours; RF_E_DISK: damaged, full or not writable. */
int rf_store_open(const char *path, const struct rf_clock *clock, struct rf_store **ret, struct rf_err *e);
void rf_store_close(struct rf_store *s);
/* From now on a thread of its own carries the log over into the file (ctl/store_log.h); before, who commits does. */
enum {
	RF_STORE_LOG_PAGES = 1000, /* what wakes it */
	RF_STORE_LOG_MAX = 16384,  /* 64 MB: whoever commits carries over what the thread has not, before it goes on */
};
int rf_store_apart(struct rf_store *s, int pages, int max, struct rf_err *e);

/* Where ids come from; getrandom(2) unless a test says otherwise. Returns 0 on success. */
void rf_store_random(struct rf_store *s, int (*fill)(void *ctx, void *to, size_t n), void *ctx);

/* A fresh id, as rf_store_put draws them. RF_E_CRYPTO. */
int rf_store_draw_id(struct rf_store *s, char to[33], struct rf_err *e);

/* One transaction at a time; every write must be in one. `actor` goes into the audit. */
int rf_store_begin(struct rf_store *s, const char *actor, struct rf_err *e);
int rf_store_commit(struct rf_store *s, struct rf_err *e);   /* RF_E_DISK: nothing of it happened */
void rf_store_rollback(struct rf_store *s);                   /* harmless outside a transaction */

/* Reads. RF_E_NOT_FOUND. In rf_store_find, parent NULL means any (the oldest, where names are not unique). */
int rf_store_get(struct rf_store *s, enum rf_kind k, const char *id, struct rf_object *ret, struct rf_err *e);
int rf_store_find(struct rf_store *s, enum rf_kind k, const char *parent, const char *name, struct rf_object *ret,
		  struct rf_err *e);

struct rf_store_query {
	const char *parent;   /* NULL: any */
	const char *name;     /* NULL: any */
	const char *search;   /* NULL; else a substring of the name */
	struct { const char *field, *value; } match[RF_STORE_MATCH_MAX]; /* top-level texts of the document; NULL: end */
	size_t offset, limit; /* limit 0: all */
	bool descending;      /* ascending by default */
	bool by_place;        /* in order of place (with parent), which placed kinds always are; by creation by default */
};
/* Calls `each` in the order of the query; it may keep nothing of the object but by json_incref. Stops on != 0 and returns it.
 * *ret_total (may be NULL): how many there are without offset and limit. */
int rf_store_list(struct rf_store *s, enum rf_kind k, const struct rf_store_query *q,
		  int (*each)(const struct rf_object *o, void *arg), void *arg, size_t *ret_total, struct rf_err *e);

/* As rf_store_list, but the document is handed over as text, not parsed: for loading what can be millions. */
struct rf_raw_object {
	const char *id, *parent, *name; /* valid during the call */
	struct rf_str doc;
	uint64_t revision;
	int64_t place;
	int64_t created_s, modified_s;
	uint64_t *note;    /* of placed kinds, whose texts stay until the next transaction begins (in one: until it ends): a number that
			    * whoever reads may keep there while the object is as it is; 0 at first. Else NULL */
};
int rf_store_scan(struct rf_store *s, enum rf_kind k, const struct rf_store_query *q,
		  int (*each)(const struct rf_raw_object *o, void *arg), void *arg, struct rf_err *e);
/* An object of a placed kind; what is in it stays as it is until the next transaction begins. RF_E_NOT_FOUND. */
int rf_store_raw(struct rf_store *s, enum rf_kind k, const char *id, struct rf_raw_object *ret, struct rf_err *e);
/* Put into the document of an object of a placed kind what it leaves to the row. False without memory. */
bool rf_store_say(json_t *doc, const char *id, const char *name);
/* Bytes of memory that the children of a parent of a placed kind take here; 0 where they are not loaded. */
size_t rf_store_held(const struct rf_store *s, const char *parent);
/* How many a query finds, without its offset and limit. */
int rf_store_count(struct rf_store *s, enum rf_kind k, const struct rf_store_query *q, size_t *ret, struct rf_err *e);

/* A document as text, behind what is in `to`; it makes way for workers (base/way). False without memory. */
bool rf_doc_write(struct rf_buf *to, const json_t *doc);

/* Writes, in a transaction. id "" in `put` for a new object: one is drawn and set. if_revision 0: whatever
 * is there; else RF_E_STALE unless it is the present one. RF_E_EXISTS on a name that is taken, RF_E_CONFLICT on a parent that is absent. */
int rf_store_put(struct rf_store *s, enum rf_kind k, struct rf_object *o, uint64_t if_revision, struct rf_err *e);
/* The same, of a document that is text already; not looked at. */
int rf_store_put_text(struct rf_store *s, enum rf_kind k, struct rf_object *o, struct rf_str doc, uint64_t if_revision, struct rf_err *e);
int rf_store_del(struct rf_store *s, enum rf_kind k, const char *id, uint64_t if_revision, struct rf_err *e);

/* A child of a placed kind, without its document. */
struct rf_placed {
	char id[33];
	int64_t place;
};
/* One of all the children of a parent of a placed kind, which are put at once. */
struct rf_store_child {
	char id[33];
	bool fresh : 1;         /* its id is drawn just now */
	bool kept : 1, alone : 1; /* the store's own, as are the last three */
	uint16_t name_n;
	uint32_t doc_n;         /* 0: it is there, and keeps name and document */
	const char *name, *doc; /* in the texts; behind a name is a zero; NULL: its name is its id */
	int64_t place;
	uint64_t note;          /* see rf_raw_object; where the document is given */
	uint64_t revision;
	int64_t created_s, modified_s;
};
/* All children of `parent` of a placed kind: those before are gone but for what is in `v`, by place. In a transaction. Where it succeeds,
 * the array and what is in `texts` are the store's from then on: *v is NULL and *texts is empty. RF_E_CONFLICT where two have one
 * place, or none is there by that id. */
int rf_store_fill(struct rf_store *s, enum rf_kind k, const char *parent, struct rf_store_child **v, size_t n, struct rf_buf *texts,
		  struct rf_err *e);
/* The children of `parent` next to a place, nearest first: those before it (place < `place`) or after it (place > `place`).
 * At most `room`; *ret_count says how many there are. */
int rf_store_beside(struct rf_store *s, enum rf_kind k, const char *parent, int64_t place, bool before, struct rf_placed *ret,
		    size_t room, size_t *ret_count, struct rf_err *e);
/* Give an object another place, in a transaction: its revision grows, its document stays. RF_E_NOT_FOUND. */
int rf_store_move(struct rf_store *s, enum rf_kind k, const char *id, int64_t place, struct rf_err *e);

uint64_t rf_store_revision(struct rf_store *s); /* of the last write */
const char *rf_store_path(const struct rf_store *s);

struct rf_audit {
	uint64_t seq;
	int64_t at_s;
	const char *actor, *kind, *id, *action; /* action: create, update, delete; valid during the call */
	uint64_t old_revision, new_revision;    /* 0: was not there; is no more */
};
/* Newest first. Stops on != 0 and returns it. *ret_total may be NULL. */
int rf_store_audit(struct rf_store *s, size_t offset, size_t limit, int (*each)(const struct rf_audit *a, void *arg),
		   void *arg, size_t *ret_total, struct rf_err *e);

const char *rf_kind_name(enum rf_kind k);   /* its table: "devices" */
