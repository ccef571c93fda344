/* ctl/boot_in: what the files of the boot reader share (boot.c, boot_yaml.c, boot_value.c); nobody else includes it. */
#pragma once
#include "base/arena.h"
#include "ctl/boot.h"

enum boot_type {
	BOOT_STR, BOOT_PATH, BOOT_FILE, BOOT_U64, BOOT_SIZE, BOOT_DURATION, BOOT_BOOL, BOOT_CHOICE, BOOT_ADDRESS, BOOT_PREFIXES,
};
enum boot_when { BOOT_LIVE, BOOT_RESTART };

struct boot_row {
	const char *path, *def, *least, *most, *doc;
	enum boot_type type;
	enum boot_when when;
	size_t offset, size; /* of the member */
};

enum {
#define RF_SETTING(member, path, type, def, least, most, when, doc) BOOT_AT_##member,
#include "tbl/settings.def"
#undef RF_SETTING
	BOOT_ROWS
};
enum {
#define RF_LISTENER(member, path, type, def, least, most, when, doc) BOOT_LISTENER_AT_##member,
#include "tbl/settings.def"
#undef RF_LISTENER
	BOOT_LISTENER_ROWS
};
extern const struct boot_row rf_boot_rows[BOOT_ROWS], rf_boot_listener_rows[BOOT_LISTENER_ROWS];

enum { BOOT_FILE_BYTES_MAX = 1 << 20, BOOT_MEMORY_MAX = 16 << 20, BOOT_INCLUDE_DEPTH = 8, BOOT_NEST_MAX = 8, BOOT_LIST_MAX = 1024 };

struct rf_boot_own {
	struct rf_arena arena;
	const char *files[RF_BOOT_FILES_MAX];
	unsigned file_count;
	struct rf_boot_source source[BOOT_ROWS];
	struct rf_boot_source listener_source[RF_BOOT_LISTENERS_MAX][BOOT_LISTENER_ROWS];
	bool on_disk; /* files and includes are looked up */
};

/* boot_value.c: `text` as the type of `row` into `to`; relative paths start at `dir`. e gets code and text, no place. */
int rf_boot_value(struct rf_arena *a, const struct boot_row *row, struct rf_str text, const char *dir, bool on_disk,
		  void *to, struct rf_err *e);
/* One more prefix of a list. */
int rf_boot_prefix(struct rf_str text, struct rf_prefix *ret, struct rf_err *e);
/* ${NAME}, ${NAME:-default}, $${ for a literal ${. */
int rf_boot_expand(struct rf_arena *a, struct rf_str text, struct rf_str *ret, struct rf_err *e);
/* The value as YAML that reads back the same. */
void rf_boot_value_print(struct rf_buf *out, const struct boot_row *row, const void *from);

/* boot_yaml.c: read one file (`text`, called `name`) into b. */
int rf_boot_yaml(struct rf_boot *b, struct rf_str text, const char *name, unsigned depth, struct rf_err *e);
/* boot.c: read a file of at most BOOT_FILE_BYTES_MAX bytes and give it to rf_boot_yaml. */
int rf_boot_file(struct rf_boot *b, const char *path, unsigned depth, struct rf_err *e);
