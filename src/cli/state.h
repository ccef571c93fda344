/* cli/state: the whole state as one document, in the form of files of apply. */
#pragma once
#include "cli/cli.h"

/* One kind of object of a file, in the order in which apply makes them. */
struct state_kind {
	const char *section;     /* "classes" */
	const char *kind;        /* "class": of cli_resolve and messages */
	const char *resource;    /* tbl/resources.def */
	const char *path;        /* collection */
	const char *edit;        /* method of a change */
	const char *also[5];     /* members of the file that are no members of the object */
	bool in_zone;
};
extern const struct state_kind state_kinds[];
extern const size_t state_kind_count;
const struct state_kind *state_kind(const char *kind);
/* What an object is known by: its name, or the source that an access rule is about; "" where it has neither. */
const char *state_name(const json_t *object);

/* Current objects of a kind as the API shows them; in zones, of zone `zone_id`. The caller owns *ret. */
int state_objects(struct cli *c, const struct state_kind *k, const char *zone_id, json_t **ret);
/* {phase: [rules]} as the API shows them, of the account where zone_id is NULL. */
int state_rules(struct cli *c, const char *zone_id, json_t **ret);
/* Entries of a list as the API shows them. */
int state_items(struct cli *c, const char *list_id, json_t **ret);
/* What a device is named by. */
int state_credentials(struct cli *c, const char *device_id, json_t **ret);
/* Names of roots by id and the reverse, "device_ca" as itself: members "roots" of classes and apps, in place. */
int state_roots_to(struct cli *c, json_t *object, const json_t *roots, bool to_ids);
/* What of the state is not read: what may be many, or want a scope that who tests rules has not. */
enum { STATE_NO_DEVICES = 1, STATE_NO_ACCESS = 2 };
/* Everything but what `without` names. */
int state_read(struct cli *c, unsigned without, json_t **ret);
/* The parts of a rule that a file holds. */
void state_strip_rule(json_t *rule);
