/* cli/args: words of the command line against the table of commands.
 *
 * Options may stand anywhere: --name VALUE, --name=VALUE, -x VALUE for the short forms of global ones; "--" ends them.
 * Words that are no option fill the command's arguments in order; the last one may take many. What does not fit is
 * refused with the nearest name.
 */
#include <stdlib.h>
#include "base/near.h"
#include "cli/cli.h"

const struct cli_option cli_global_options[] = {
	{ .name = "output", .value = "FORMAT", .to = "o", .doc = "table, json or yaml" },
	{ .name = "json", .value = NULL, .to = NULL, .doc = "short for --output json" },
	{ .name = "quiet", .value = NULL, .to = "q", .doc = "print ids only" },
	{ .name = "socket", .value = "PATH", .to = NULL, .doc = "Unix socket of the API ($RINGFENCE_SOCKET)" },
	{ .name = "url", .value = "URL", .to = NULL, .doc = "the API over TLS instead, https://host:port ($RINGFENCE_URL)" },
	{ .name = "token-file", .value = "FILE", .to = NULL, .doc = "token for it, \"-\" is the input ($RINGFENCE_TOKEN)" },
	{ .name = "ca", .value = "FILE", .to = NULL, .doc = "roots to verify it with, PEM ($RINGFENCE_CA)" },
	{ .name = "account", .value = "ACCOUNT", .to = NULL, .doc = "name or id, where there are several" },
	{ .name = "help", .value = NULL, .to = "h", .doc = "this text" },
	{ .name = NULL },
};

static bool is_argument(const struct cli_option *o) { return o->name[0] >= 'A' && o->name[0] <= 'Z'; }

static const struct cli_option *find(const struct cli_option *table, struct rf_str name)
{
	for (const struct cli_option *o = table; o && o->name; o++)
		if (!is_argument(o) && rf_str_eq(rf_str_z(o->name), name))
			return o;
	return NULL;
}

static const struct cli_option *find_short(char letter)
{
	for (const struct cli_option *o = cli_global_options; o->name; o++)
		if (o->to && o->to[0] == letter)
			return o;
	return NULL;
}

static int set(struct cli *c, const struct cli_option *o, const char *text)
{
	size_t same = 0;
	for (size_t i = 0; i < c->value_count; i++)
		same += c->values[i].option == o;
	if (same && !o->many)
		return rf_fail(&c->e, RF_E_INVALID, "%s%s is given twice", is_argument(o) ? "" : "--", o->name);
	if (same >= CLI_REPEATS_MAX || c->value_count == sizeof c->values / sizeof *c->values)
		return rf_fail(&c->e, RF_E_TOO_LARGE, "--%s is given too often", o->name);
	c->values[c->value_count++] = (struct cli_value){ o, text };
	return RF_OK;
}

static int unknown_option(struct cli *c, struct rf_str name)
{
	const char *names[CLI_VALUES_MAX];
	size_t n = 0;
	for (const struct cli_option *o = cli_global_options; o->name && n < CLI_VALUES_MAX; o++)
		names[n++] = o->name;
	for (const struct cli_option *o = c->command ? c->command->options : NULL; o && o->name && n < CLI_VALUES_MAX; o++)
		if (!is_argument(o))
			names[n++] = o->name;
	const char *near = rf_near(name, names, n);
	return rf_fail(&c->e, RF_E_UNKNOWN, "unknown option --%.*s%s%s%s", RF_ARG(name), near ? "; did you mean --" : "",
		       near ? near : "", near ? "?" : "; see --help");
}

/* One word that begins with a dash; *i moves over its value. */
static int option(struct cli *c, int argc, char **argv, int *i)
{
	const char *word = argv[*i];
	struct rf_str name = rf_str_z(word + 2);
	const char *text = NULL;
	const struct cli_option *o;
	if (word[1] != '-') {
		o = find_short(word[1]);
		name = rf_str_z(word + 1);
		if (o && word[2])
			text = word + 2;
		if (!o && word[1] == 'H')
			o = find(c->command->options, RF_STR("header"));
		if (!o && word[1] == 'f')
			o = find(c->command->options, RF_STR("file"));
	} else {
		size_t eq = rf_str_find(name, '=');
		if (eq < name.n) {
			text = name.p + eq + 1;
			name.n = eq;
		}
		o = find(cli_global_options, name);
		if (!o)
			o = find(c->command->options, name);
		const struct cli_command *also = !o && c->command->also ? cli_command_of(c->command->also, c->command->verb) : NULL;
		if (also)
			o = find(also->options, name);
	}
	if (!o)
		return unknown_option(c, name);
	if (!o->value) {
		if (text)
			return rf_fail(&c->e, RF_E_INVALID, "--%s takes no value", o->name);
		return set(c, o, "");
	}
	if (!text && *i + 1 >= argc)
		return rf_fail(&c->e, RF_E_MISSING, "--%s wants a value: %s", o->name, o->value);
	return set(c, o, text ? text : argv[++*i]);
}

static int argument(struct cli *c, const char *word)
{
	for (const struct cli_option *o = c->command->options; o && o->name; o++)
		if (is_argument(o) && (o->many || !cli_get(c, o->name)))
			return set(c, o, word);
	return rf_fail(&c->e, RF_E_INVALID, "\"%s\" is one argument too many for ringfence %s %s", word, c->command->noun,
		       c->command->verb);
}

static int all_there(struct cli *c)
{
	for (const struct cli_option *o = c->command->options; o && o->name; o++)
		if (o->required && !cli_get(c, o->name))
			return rf_fail(&c->e, RF_E_MISSING, "%s%s is missing: %s", is_argument(o) ? "" : "--", o->name, o->doc);
	return RF_OK;
}

const struct cli_command *cli_command_of(const char *noun, const char *verb)
{
	for (size_t i = 0; i < cli_command_count; i++)
		if (strcmp(cli_commands[i].noun, noun) == 0 && strcmp(cli_commands[i].verb, verb) == 0)
			return &cli_commands[i];
	return NULL;
}

const struct cli_option *cli_option_of(const struct cli_command *m, const char *name)
{
	for (const struct cli_option *o = m->options; o && o->name; o++)
		if (strcmp(o->name, name) == 0)
			return o;
	return NULL;
}

static int find_verb(struct cli *c, const char *noun, const char *verb)
{
	const char *verbs[64];
	size_t n = 0;
	for (size_t i = 0; i < cli_command_count; i++) {
		if (strcmp(cli_commands[i].noun, noun) != 0)
			continue;
		if (strcmp(cli_commands[i].verb, verb) == 0) {
			c->command = &cli_commands[i];
			return RF_OK;
		}
		if (n < 64)
			verbs[n++] = cli_commands[i].verb;
	}
	const char *near = rf_near(rf_str_z(verb), verbs, n);
	if (!verb[0])
		return rf_fail(&c->e, RF_E_MISSING, "ringfence %s wants a verb; see ringfence %s --help", noun, noun);
	return rf_fail(&c->e, RF_E_UNKNOWN, "ringfence %s has no verb \"%s\"%s%s%s", noun, verb,
		       near ? "; did you mean " : "", near ? near : "", near ? "?" : "; see --help");
}

static int find_noun(struct cli *c, const char *noun)
{
	const char *names[64];
	size_t n = 0;
	for (size_t i = 0; i < cli_noun_count; i++) {
		if (strcmp(cli_nouns[i].name, noun) == 0)
			return RF_OK;
		if (n < 64)
			names[n++] = cli_nouns[i].name;
	}
	const char *near = rf_near(rf_str_z(noun), names, n);
	return rf_fail(&c->e, RF_E_UNKNOWN, "there is no command \"%s\"%s%s%s", noun, near ? "; did you mean " : "",
		       near ? near : "", near ? "?" : "; see ringfence --help");
}

static bool wants_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* Whether there is a command of this noun and verb; verb "": the noun is one by itself. */
static bool is_command(const char *noun, const char *verb)
{
	for (size_t i = 0; i < cli_command_count; i++)
		if (strcmp(cli_commands[i].noun, noun) == 0 && strcmp(cli_commands[i].verb, verb) == 0)
			return true;
	return false;
}

/* Whether the noun is the whole command before `next`, the word behind it. */
static bool alone(const char *noun, const char *next)
{
	return is_command(noun, "") && !(next && next[0] != '-' && is_command(noun, next));
}

/* The noun and the verb may have global options in front; gives the index of the first word after the command. */
static int command(struct cli *c, int argc, char **argv, int *ret_at, const char **ret_noun)
{
	static const struct cli_command none = { "", "", "", NULL, NULL, NULL, NULL, NULL, NULL, NULL };
	const char *words[2] = { NULL, NULL };
	int i = 1, rc = RF_OK;
	c->command = &none;
	for (size_t n = 0; i < argc && rc == RF_OK; i++) {
		if (wants_help(argv[i])) {
			c->help = true;
		} else if (argv[i][0] == '-' && argv[i][1]) {
			rc = option(c, argc, argv, &i);
		} else {
			words[n++] = argv[i];
			if (n == 1) {
				*ret_noun = argv[i];
				rc = find_noun(c, argv[i]);
			}
			if (rc != RF_OK || n == 2 || alone(words[0], i + 1 < argc ? argv[i + 1] : NULL))
				break;
		}
	}
	*ret_at = i < argc ? i + 1 : argc;
	c->command = NULL;
	if (rc != RF_OK || !words[0] || (c->help && !words[1] && !is_command(words[0], "")))
		return rc;
	return find_verb(c, words[0], words[1] ? words[1] : "");
}

int cli_args(struct cli *c, int argc, char **argv, const char **ret_noun)
{
	int at = 1;
	bool words_only = false;
	*ret_noun = NULL;
	int rc = command(c, argc, argv, &at, ret_noun);
	for (int i = at; rc == RF_OK && c->command && i < argc; i++) {
		if (!words_only && strcmp(argv[i], "--") == 0)
			words_only = true;
		else if (!words_only && wants_help(argv[i]))
			c->help = true;
		else if (!words_only && argv[i][0] == '-' && argv[i][1])
			rc = option(c, argc, argv, &i);
		else
			rc = argument(c, argv[i]);
	}
	if (rc == RF_OK && c->command && !c->help)
		rc = all_there(c);
	return rc;
}

const char *cli_get_nth(const struct cli *c, const char *name, size_t i)
{
	for (size_t k = 0; k < c->value_count; k++)
		if (strcmp(c->values[k].option->name, name) == 0 && i-- == 0)
			return c->values[k].text;
	return NULL;
}

const char *cli_get(const struct cli *c, const char *name)
{
	return cli_get_nth(c, name, 0);
}
