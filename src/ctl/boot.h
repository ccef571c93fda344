/* ctl/boot: the boot file: what must be known before the state can be opened.
 *
 * `ringfence.yaml` and, beside it, conf.d/ (files that end in .yaml or .conf, in the order of their names), read into one immutable
 * struct rf_boot. The settings are the rows of tbl/settings.def, which also make the checks, the dump and the manual.
 * A scalar may say ${NAME} or ${NAME:-default} for a variable of the environment. A later file may set again what an
 * earlier one set (the last wins; the dump shows from where); within one file that is an error. Entries of
 * `listeners` add up over all files.
 *
 * Nothing is half loaded: any error leaves the caller's boot as it was and says file, line and column.
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "base/ip.h"

/* The order of the words in tbl/settings.def. */
enum rf_boot_protocol { RF_PROTO_HTTPS, RF_PROTO_HTTP, RF_PROTO_PORTS };
enum rf_boot_tls_version { RF_BOOT_TLS_1_0, RF_BOOT_TLS_1_1, RF_BOOT_TLS_1_2, RF_BOOT_TLS_1_3 };
enum rf_boot_floods { RF_FLOODS_BLOCK, RF_FLOODS_REPORT, RF_FLOODS_OFF };
enum rf_boot_stdout { RF_STDOUT_AUTO, RF_STDOUT_OFF, RF_STDOUT_JSON, RF_STDOUT_HUMAN };

struct rf_boot_address { struct rf_ip ip; uint16_t port; }; /* ip.family 0: not set */
struct rf_boot_prefixes { const struct rf_prefix *v; size_t n; };

/* C types of the setting types. Strings are never NULL ("": not set) and end with NUL. */
#define RF_BOOT_C_STR const char *
#define RF_BOOT_C_PATH const char *
#define RF_BOOT_C_FILE const char *
#define RF_BOOT_C_U64 uint64_t
#define RF_BOOT_C_SIZE uint64_t
#define RF_BOOT_C_DURATION uint64_t /* ns */
#define RF_BOOT_C_BOOL bool
#define RF_BOOT_C_CHOICE int
#define RF_BOOT_C_ADDRESS struct rf_boot_address
#define RF_BOOT_C_PREFIXES struct rf_boot_prefixes

struct rf_boot_source { unsigned file, line, column; }; /* line 0: the default */

struct rf_boot_listener {
#define RF_LISTENER(member, path, type, def, least, most, when, doc) RF_BOOT_C_##type member;
#include "tbl/settings.def"
#undef RF_LISTENER
	struct rf_boot_source at; /* where the entry begins */
};

enum { RF_BOOT_LISTENERS_MAX = 64, RF_BOOT_FILES_MAX = 64, RF_BOOT_WARNINGS_MAX = 16 };

struct rf_boot {
#define RF_SETTING(member, path, type, def, least, most, when, doc) RF_BOOT_C_##type member;
#include "tbl/settings.def"
#undef RF_SETTING
	struct rf_boot_listener *listeners;
	size_t listener_count;
	const char *warnings[RF_BOOT_WARNINGS_MAX]; /* what is allowed but unwise, each a sentence */
	size_t warning_count;
	const char *path;         /* as given to rf_boot_load, absolute */
	struct rf_boot_own *own;  /* memory, files, sources */
};

/* Read `path` and its conf.d. RF_E_NOT_FOUND, RF_E_SYNTAX, RF_E_UNKNOWN, RF_E_TYPE, RF_E_RANGE, RF_E_EXISTS (a key
 * given twice), RF_E_MISSING, RF_E_TOO_LARGE with the place in *e. The caller frees *ret. */
int rf_boot_load(const char *path, struct rf_boot **ret, struct rf_err *e);
/* As rf_boot_load, from text that calls itself `name`; no conf.d, no includes, and files named need not exist. */
int rf_boot_parse(struct rf_str text, const char *name, struct rf_boot **ret, struct rf_err *e);
void rf_boot_free(struct rf_boot *b); /* NULL is harmless */

/* Set the bits of shield.reflection_ports, 64 a word (NULL: only look at them). False and what is no port, never after a load. */
bool rf_boot_reflection(const struct rf_boot *b, uint64_t *ports, struct rf_str *ret_bad);

/* The same of fleet.ports. */
bool rf_boot_fleet_ports(const struct rf_boot *b, uint64_t *ports, struct rf_str *ret_bad);
/* The same of fleet.scan_ports. */
bool rf_boot_fleet_scanned(const struct rf_boot *b, uint64_t *ports, struct rf_str *ret_bad);
/* fleet.networks, at most `room`. False and what is no network, or too much, never after a load. */
bool rf_boot_fleet_networks(const struct rf_boot *b, struct rf_prefix *v, size_t room, size_t *ret_count, struct rf_str *ret_bad);

/* Set the bits of ports.allowed, 64 a word (NULL: only look at it). False and what is no port or range, never after a load. */
bool rf_boot_ports(const struct rf_boot *b, uint64_t *ports, struct rf_str *ret_bad);

/* All settings in force as YAML that rf_boot_load takes, each with its source as a comment. */
void rf_boot_dump(const struct rf_boot *b, struct rf_buf *out);

/* The settings that differ between `old` and `now` and that only a restart puts in force, ", " between; empty: none. */
void rf_boot_restart_needed(const struct rf_boot *old, const struct rf_boot *now, struct rf_buf *out);

/* Manual of the settings in Markdown. */
void rf_boot_manual(struct rf_buf *out);
