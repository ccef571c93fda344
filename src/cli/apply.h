/* cli/apply: what the parts of `ringfence apply` share: the file, the state that was read, the batch that grows of the two. */
#pragma once
#include "cli/state.h"

struct apply {
	struct cli *c;
	const json_t *doc;
	json_t *roots;        /* as they are, for names of roots */
	bool prune;
	size_t changes;
	json_t *parts;        /* of the batch */
	json_int_t revision;  /* of the state as it was read */
	unsigned confirm;     /* seconds that the changes wait to be confirmed; 0: they do not */
};

/* What will be made has no id yet, but a reference to the part that makes it. */
static inline bool apply_fresh(const char *id) { return id[0] == '~'; }

/* A text of an object; "" where it has none of that name. */
static inline const char *apply_text(const json_t *o, const char *name)
{
	const char *z = json_string_value(json_object_get(o, name));
	return z ? z : "";
}

/* A line about a change: '+' made, '~' changed, '-' deleted. */
void apply_say(struct apply *a, char sign, const char *kind, const char *name, const char *more);
/* The object of an array with this name, or NULL. */
const json_t *apply_named(const json_t *array, const char *name);
/* One part more; `as`, where not NULL, names the id that it will give. RF_E_NOMEM. */
int apply_request(struct apply *a, const char *method, const char *path, const json_t *body, const char *as);

/* Objects of a kind, `wanted` as the file has them, in zone `zone_id` (NULL: of the account), with all that is below them. */
int apply_kind(struct apply *a, const struct state_kind *k, const json_t *wanted, const char *zone_id);
/* Rules by phase, of a zone or of the account (zone_id NULL); `where` is its name for messages. */
int apply_rules(struct apply *a, const json_t *wanted, const char *zone_id, const char *where);
/* Compile the rules as they would be, and run the file's tests over them. RF_E_CONFLICT: one fails. */
int apply_rehearse(struct apply *a);

/* The changes are in force and wait: ask on a terminal whether to keep them, and say elsewhere how to. `made` is the apply. */
int apply_wait(struct cli *c, const json_t *made);
