/* cli/cli: the command-line tool: one run of it, and what its parts share.
 *
 * The way of a command: main -> cli_main: words are held against the table of commands (args) -> names become ids
 * (resolve) -> the request is built from the table's row, or by the command's own function -> the API answers
 * (http) -> the answer is printed as a table, JSON or YAML (out). Help, completion and the manual page are made from the
 * same table (help, complete, manual).
 *
 * Everything that a run uses is in struct cli, so that tests run it with streams and sockets of their own.
 */
#pragma once
#include <jansson.h>
#include <stdio.h>
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"

enum {
	CLI_VALUES_MAX = 64,          /* options and arguments of one command */
	CLI_REPEATS_MAX = 256,        /* repetitions of one option */
	CLI_FILE_MAX = 64 << 20,      /* bytes of a file that is read */
	CLI_ANSWER_MAX = 256 << 20,   /* bytes of an answer of the API */
	CLI_PAGE = 1000,              /* objects asked for at once */
	CLI_WIDTH = 80,               /* of help, and of a terminal that does not say */
	CLI_COLUMNS_MAX = 16,         /* of a table */
};

enum cli_format { CLI_TABLE, CLI_JSON, CLI_YAML };

/* What the value of an option or argument is used for. */
enum cli_use {
	CLI_LOCAL,    /* the command's own function reads it */
	CLI_TEXT,     /* member `to` of the body: a string */
	CLI_INT,      /* an integer */
	CLI_TRUE,     /* a switch: true */
	CLI_FALSE,    /* a switch: false */
	CLI_EACH,     /* repeatable: strings of an array */
	CLI_ROOTS,    /* repeatable: roots by id or name, or device_ca */
	CLI_FILE,     /* the text of the named file */
	CLI_SET,      /* repeatable: "member/of/it=value", where the value is JSON, or else a text */
	CLI_QUERY,    /* parameter `to` of the query */
	CLI_OBJECT,   /* id or name of an object of kind `to`; fills {to} of the path */
	CLI_OBJECT_ID,/* the same, as member `to`_id of the body */
};

struct cli_option {
	const char *name;    /* "DEVICE": an argument in its place; "class": --class; NULL ends the array */
	const char *value;   /* what help calls the value; NULL: a switch (or an argument) */
	enum cli_use use;
	const char *to;
	const char *doc;
	bool required, many;
};

struct cli;

struct cli_command {
	const char *noun, *verb;     /* verb "": the noun alone is the command */
	const char *summary;
	int (*run)(struct cli *c);
	const char *method, *path;   /* below /client/v4 */
	const char *columns;         /* of a table: "name class live.requests=requests" */
	const char *done;            /* "device %s added" */
	const struct cli_option *options;
	const char *example;         /* lines, each a whole command */
	const char *also;            /* options of this noun's same verb are taken too: its objects may be meant. NULL: none */
};
extern const struct cli_command cli_commands[];
extern const size_t cli_command_count;

struct cli_noun { const char *name, *summary; };
extern const struct cli_noun cli_nouns[];
extern const size_t cli_noun_count;

/* Options that every command takes. */
extern const struct cli_option cli_global_options[];

struct cli_value { const struct cli_option *option; const char *text; };

struct cli_http;

struct cli {
	FILE *in, *out, *err;
	struct rf_clock clock;
	void (*sleep_ms)(unsigned ms);
	bool (*stop)(void);          /* asked between polls of `record tail` */
	bool terminal, colour;
	bool asks;                   /* somebody is there to answer */
	unsigned width;              /* columns; 0: never cut */
	enum cli_format format;
	bool quiet, dry_run, help;
	bool usage;                  /* the failure is one of the command line */
	const char *socket, *url, *token, *ca, *account;
	const struct cli_command *command;
	struct cli_value values[CLI_VALUES_MAX + CLI_REPEATS_MAX];
	size_t value_count;
	struct cli_http *http;
	char account_id[33], zone_id[33];
	json_t *errors;              /* of the last answer; NULL: none */
	struct rf_err e;
};

/* Run one command line; argv[0] is the program. The exit status. */
int cli_main(struct cli *c, int argc, char **argv);
/* Streams of the process, environment, terminal. */
void cli_init(struct cli *c);

/* args: fill the command and values. RF_E_UNKNOWN, RF_E_MISSING, RF_E_SYNTAX with the reason in c->e. */
int cli_args(struct cli *c, int argc, char **argv, const char **ret_noun);
/* Fail because of the command line: exit status 2. */
int cli_wrong(struct cli *c, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The value of an option or argument, NULL where it was not given; the i-th of a repeated one. */
const char *cli_get(const struct cli *c, const char *name);
const char *cli_get_nth(const struct cli *c, const char *name, size_t i);
static inline bool cli_has(const struct cli *c, const char *name) { return cli_get(c, name) != NULL; }

/* http: one request. `path` is below /client/v4 (or absolute where it begins "//"). `body` is borrowed, NULL: none.
 * The caller owns *ret, the envelope (or a string where the answer is not JSON). On an error answer c->errors and
 * c->e tell why. */
int cli_call(struct cli *c, const char *method, const char *path, const json_t *body, json_t **ret);
/* As cli_call, the envelope's result only. */
int cli_result(struct cli *c, const char *method, const char *path, const json_t *body, json_t **ret);
/* As cli_result, with a whole file as the body, which is told of on the way. */
int cli_upload(struct cli *c, const char *method, const char *path, FILE *body,
	       void (*progress)(struct cli *c, const char *what, long long done, long long of), json_t **ret);
/* All pages of a list as one array. */
int cli_all(struct cli *c, const char *path, json_t **ret);
/* The same, one object at a time; stops where `each` fails. */
int cli_each(struct cli *c, const char *path, int (*each)(struct cli *c, json_t *object, void *arg), void *arg);
void cli_http_close(struct cli *c);
/* Append `text` percent-encoded for a query or a path segment. */
void cli_escape(struct rf_buf *to, const char *text);

/* resolve: names to ids. */
int cli_account(struct cli *c);
/* The zone that --zone names, or the only one. Fills c->zone_id. */
int cli_zone(struct cli *c);
/* The zone of --zone, or the one that covers the host; made where there is none. */
int cli_zone_for(struct cli *c, const char *host);
/* The id of the object of a kind ("device", "class", "app", ...) by id or name; for what lives in zones, c->zone_id too. */
int cli_resolve(struct cli *c, const char *kind, const char *name, char ret_id[33]);
/* The path with {account} and {zone} filled and, where id is not NULL, {kind}. */
int cli_path(struct cli *c, const char *tmpl, const char *kind, const char *id, struct rf_buf *to);
/* The collection of a kind, such as "/accounts/{account}/devices"; NULL for an unknown kind. */
const char *cli_collection(const char *kind);

/* out: answers. */
int cli_print_list(struct cli *c, const json_t *array, const char *columns);
int cli_print_object(struct cli *c, const json_t *object);
int cli_print(struct cli *c, const json_t *value); /* JSON or YAML as asked; JSON for a table */
/* A scalar, or a short form of anything else, for a cell; control bytes replaced. */
void cli_cell(struct rf_buf *to, const json_t *value);
/* The value at a path "live.requests". */
const json_t *cli_at(const json_t *object, const char *path, size_t n);
/* Columns that a text takes on a terminal. */
size_t cli_columns(struct rf_str s);
/* "device lamp-1 added (id)"; the object in JSON or YAML, its id where quiet. */
int cli_print_done(struct cli *c, const char *sentence, const json_t *object);
/* Lines on the error stream: a note for a person, never part of the result. */
void cli_note(struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* yaml: JSON values from and to YAML. Aliases are refused, names are unique, depth is bounded. `name` is for messages. */
int cli_yaml_read(struct rf_str text, const char *name, json_t **ret, struct rf_err *e);
int cli_yaml_write(const json_t *value, FILE *to);
/* A whole file, "-" is the input. The caller frees *ret. */
int cli_file(struct cli *c, const char *path, struct rf_buf *ret);
int cli_file_json(struct cli *c, const char *path, json_t **ret);

/* help: one screen each. noun or verb NULL: a level up. */
void cli_help(FILE *to, const char *noun, const char *verb);
void cli_usage(struct rf_buf *to, const struct cli_command *cmd);
/* The manual page ringfence(1), mdoc. */
void cli_manual(FILE *to);

/* Commands. */
int cli_run_generic(struct cli *c);
int cli_run_completion(struct cli *c);
int cli_run_status(struct cli *c);
int cli_run_device_add(struct cli *c);
int cli_run_device_bind(struct cli *c);
int cli_run_app_list(struct cli *c);
int cli_run_app_add(struct cli *c);
int cli_run_app(struct cli *c);
int cli_run_port(struct cli *c); /* the command of the noun `port`, for what was said of an app */
/* NULL where there is none; arguments are options too. */
const struct cli_command *cli_command_of(const char *noun, const char *verb);
const struct cli_option *cli_option_of(const struct cli_command *m, const char *name);
int cli_run_port_put(struct cli *c);
int cli_run_zone_pause(struct cli *c);
int cli_run_origin_list(struct cli *c);
int cli_run_origin_add(struct cli *c);
int cli_run_origin_edit(struct cli *c);
int cli_run_origin_delete(struct cli *c);
int cli_run_rule_list(struct cli *c);
int cli_run_rule_show(struct cli *c);
int cli_run_rule_add(struct cli *c);
int cli_run_rule_edit(struct cli *c);
int cli_run_rule_delete(struct cli *c);

int cli_run_rule_test(struct cli *c);
int cli_run_rule_lint(struct cli *c);
int cli_run_apply(struct cli *c);
int cli_run_apply_confirm(struct cli *c);
int cli_run_apply_rollback(struct cli *c);
int cli_run_apply_pending(struct cli *c);
int cli_run_export(struct cli *c);
int cli_run_access_list(struct cli *c);
int cli_run_access_put(struct cli *c);
int cli_run_access_remove(struct cli *c);
int cli_run_shield_pcap(struct cli *c);
int cli_run_shield_status(struct cli *c);
int cli_run_list_items(struct cli *c);
int cli_run_list_put(struct cli *c);
int cli_run_list_push(struct cli *c);
int cli_run_list_remove(struct cli *c);
int cli_run_ca_show(struct cli *c);
int cli_run_ca_issue(struct cli *c);
int cli_run_ca_token(struct cli *c);
int cli_run_ca_upload(struct cli *c);
int cli_run_ca_crl(struct cli *c);
int cli_run_ca_associate(struct cli *c);
int cli_run_token_add(struct cli *c);
int cli_run_patch_new(struct cli *c);
int cli_run_patch_canary(struct cli *c);
int cli_run_patch_replay(struct cli *c);
int cli_run_patch_test(struct cli *c);
int cli_run_patch_exposure(struct cli *c);
int cli_run_record_list(struct cli *c);
int cli_run_record_tail(struct cli *c);
int cli_run_explain(struct cli *c);
int cli_run_pack_key(struct cli *c);
int cli_run_pack_build(struct cli *c);
int cli_run_pack_verify(struct cli *c);
int cli_run_pack_measure(struct cli *c);
int cli_run_pack_install(struct cli *c);
int cli_run_pack_change(struct cli *c);

/* Whether a file for apply has the right shape. */
int cli_apply_check(struct cli *c, const json_t *doc);

/* The body of a request from the values of a command. The caller owns *ret. */
int cli_body(struct cli *c, json_t **ret);
