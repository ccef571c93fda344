/* api/api: the REST API of /client/v4, whatever the transport.
 *
 * The way of a request: the transport (api/server, or a test) fills a struct rf_api_request -> rf_api_handle: route ->
 * credential and scope -> account or zone of the path -> JSON body against its shape -> the route's handler,
 * which reads the store or writes it between begin and commit -> envelope. Runs on the control thread and
 * returns when the answer is complete; what it acknowledges is in force.
 *
 * Not here: sockets and HTTP (api/server), what objects mean at run time (ctl/build).
 */
#pragma once
#include <jansson.h>
#include "base/buf.h"
#include "base/clock.h"
#include "base/ip.h"
#include "ctl/store.h"
#include "wire/http1_names.h"

enum {
	RF_API_BODY_MAX = 8 << 20,   /* bytes of a request's body, where the configuration does not say */
	RF_API_DEPTH_MAX = 32,       /* nesting of its JSON */
	RF_API_PER_PAGE = 20,        /* where the request does not say */
	RF_API_PER_PAGE_MAX = 1000,
	RF_API_RATE_WINDOW_S = 300,
};

struct rf_api;
struct rf_ca;
struct rf_loop;

/* How the API changes the state: filled over ctl/control in the daemon, by a double in tests. */
struct rf_api_state {
	int (*begin)(void *ctx, const char *actor, struct rf_err *e);
	int (*touch)(void *ctx, enum rf_kind kind, const char *id, struct rf_err *e);
	int (*commit)(void *ctx, bool dry_run, struct rf_err *e);
	void (*abort)(void *ctx);
	int (*reload)(void *ctx, struct rf_buf *later, struct rf_err *e);
	void *ctx;
	void (*catch_up)(void *ctx); /* before a request is answered: what devices have caused is in the store. NULL: it always is */
};

/* What other parts answer; a NULL member makes its route say that it is not available. */
struct rf_api_hooks {
	void *ctx;
	bool (*ready)(void *ctx, const char **ret_why);
	void (*metrics)(void *ctx, struct rf_buf *to);
	/* Adds members to the object of GET status: workers, generation, crls, ... */
	int (*status)(void *ctx, json_t *object, struct rf_err *e);
	/* Adds live facts of a device: {connections, requests, last_seen, ...}; leaves it empty when it is not known. */
	void (*live)(void *ctx, const char *device_id, json_t *object);
	json_t *(*addresses)(void *ctx, const char *device_id); /* where the device is */
	/* Appends to *array the newest `limit` records that match, newest first. `filter`: JSON names of records, or "since",
	 * to texts. */
	int (*records)(void *ctx, const json_t *filter, size_t limit, json_t *array, struct rf_err *e);
	/* Appends verified certificates that no device has, newest first. */
	int (*unknown)(void *ctx, size_t limit, json_t *array, struct rf_err *e);
	/* The body of POST explain or rules/test to its result. */
	int (*explain)(void *ctx, const char *account_id, const json_t *body, json_t **ret, struct rf_err *e);
	/* The stored record of a request by its RayID; it held against rulesets as told (rf_ctl_explain_past). */
	int (*record)(void *ctx, const char *ray, json_t **ret, struct rf_err *e);
	int (*explain_past)(void *ctx, const json_t *line, const json_t *told, json_t **ret, struct rf_err *e);
	/* The kernel filter: where it stands and what it counted. NULL without memory. */
	json_t *(*shield)(void *ctx);
	int (*rules_test)(void *ctx, const char *account_id, const json_t *body, json_t **ret, struct rf_err *e);
	/* GET rules/lint; there is no body. */
	int (*rules_lint)(void *ctx, const char *account_id, const json_t *body, json_t **ret, struct rf_err *e);
	const struct rf_api_patch_hooks *patches;
	const struct rf_api_pack_hooks *packs;
	const struct rf_api_attack_hooks *attacks;
	const struct rf_api_packet_hooks *packets;
	const struct rf_api_apply_hooks *applies;
};

/* Changes that wait to be confirmed (ctl/applies). */
struct rf_api_apply_hooks {
	int (*watch)(void *ctx, struct rf_err *e);
	int (*keep)(void *ctx, const char *actor, unsigned seconds, char id[33], struct rf_err *e);
	void (*look)(void *ctx);
	/* The id of the one that waits, or NULL. */
	const char *(*pending)(void *ctx, int64_t *ret_left_s, const char **ret_error);
	int (*end)(void *ctx, const char *id, bool confirm, const char *actor, struct rf_err *e);
};

/* What the running edge says of attacks (ctl/attacks). */
struct rf_api_attack_hooks {
	/* Sets the members of one that is on as they are now; leaves the object as it is where it is over. */
	void (*live)(void *ctx, const char *id, json_t *object);
	/* Never raise its signatures again; take an exception back. */
	int (*drop)(void *ctx, const char *id, const char *actor, bool dry_run, struct rf_err *e);
	int (*forget)(void *ctx, const char *exception, const char *actor, bool dry_run, struct rf_err *e);
};

/* What the running edge says of packets (the kernel filter). */
struct rf_api_packet_hooks {
	/* Rules of the phase packet in order, with what they have counted. NULL without memory. */
	json_t *(*rules)(void *ctx);
	/* Why rules of the phase are not in force here; NULL: they are. */
	const char *(*missing)(void *ctx);
	/* ctl/captures: all captures; begin one; show one, or end it; its frames from the `from`th on; all of them as a file. */
	json_t *(*captures)(void *ctx);
	int (*capture)(void *ctx, const json_t *body, json_t **ret, struct rf_err *e);
	int (*captured)(void *ctx, const char *id, bool stop, json_t **ret, struct rf_err *e);
	int (*frames)(void *ctx, const char *id, size_t from, json_t **ret, struct rf_err *e);
	int (*file)(void *ctx, const char *id, struct rf_buf *to, struct rf_err *e);
};

/* What the running edge says of a virtual patch (ctl/patches). `doc` is its document, `id` "" while it is new. */
struct rf_api_patch_hooks {
	/* {attacks, harmless, failed: [{kind, index, why}]}: its own tests. */
	int (*test)(void *ctx, const json_t *doc, json_t **ret, struct rf_err *e);
	/* {concerned, fixed, needed, canary, unknown_firmware}: devices of the registry. */
	int (*fleet)(void *ctx, const json_t *doc, const char *id, json_t **ret, struct rf_err *e);
	/* May it be asked for every patch of a list? It walks over all devices each time. */
	bool (*fleet_is_small)(void *ctx);
	/* Adds what was counted since it was last moved; leaves the object empty where nothing was. */
	void (*live)(void *ctx, const char *id, json_t *object);
	/* Start, look at, end a replay. */
	int (*replay)(void *ctx, const json_t *doc, const char *id, const json_t *body, json_t **ret, struct rf_err *e);
	int (*replay_get)(void *ctx, const char *id, json_t **ret, struct rf_err *e);
	int (*replay_cancel)(void *ctx, const char *id, json_t **ret, struct rf_err *e);
	/* An array, one object a CVE; `devices`: with the devices. */
	int (*exposure)(void *ctx, bool devices, json_t **ret, struct rf_err *e);
};

/* What the running edge says of packs (ctl/pack_fetch). */
struct rf_api_pack_hooks {
	/* Appends the public keys that are trusted, PEM; nothing where none is. */
	int (*keys)(void *ctx, struct rf_buf *pem, struct rf_err *e);
	/* Fetch the pack of patches.url now; its end is in the status. */
	int (*update)(void *ctx, struct rf_err *e);
	/* Adds update: {url, last_success, last_error} where there is a URL. */
	void (*status)(void *ctx, json_t *object);
};

struct rf_api_conf {
	struct rf_store *store;
	struct rf_api_state state;
	struct rf_api_hooks hooks;
	struct rf_clock clock;
	const struct rf_ca *ca;      /* our device CA; NULL: nothing can be issued */
	unsigned rate;               /* requests of a token in RF_API_RATE_WINDOW_S; 0: no bound */
	size_t body_max;             /* bytes of a request's body; 0: RF_API_BODY_MAX */
	struct rf_loop *loop;        /* of the control thread; NULL: large changes of lists are done within their call (tests) */
	const char *version;
};

struct rf_api *rf_api_new(const struct rf_api_conf *conf, struct rf_err *e);
void rf_api_free(struct rf_api *a);
size_t rf_api_body_max(const struct rf_api *a);
/* As much may the body of this request have: more than that where it has entries of a list. */
size_t rf_api_body_bound(const struct rf_api *a, enum rf_http_method m, struct rf_str target);

struct rf_api_request {
	enum rf_http_method method;
	struct rf_str target;        /* path and query as sent */
	struct rf_str authorization, auth_email, auth_key, if_match, if_none_match, content_type, prefer; /* "" where absent */
	struct rf_str body;
	const char *local;           /* not NULL: a local administrator, who may do all; named so in the audit */
	struct rf_ip src;            /* family 0: local */
};

struct rf_api_answer {
	int status;
	const char *content_type;    /* static; NULL: no body */
	struct rf_buf body;
	struct rf_buf headers;       /* further header lines, each with its CRLF */
};

/* Always gives an answer; the caller owns it. */
void rf_api_handle(struct rf_api *a, const struct rf_api_request *q, struct rf_api_answer *ret);
void rf_api_answer_fini(struct rf_api_answer *r);

/* Make a token that may do everything, for the first administrator, in the account: the text is in value. */
int rf_api_first_token(struct rf_api *a, const char *account_id, const char *name, char value[64], struct rf_err *e);
