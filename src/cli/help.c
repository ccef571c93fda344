/* cli/help: help of each level on one screen, made from the table of commands. */
#include "cli/cli.h"

enum { HELP_LEFT = 26, EXAMPLE_BESIDE = 70 /* bytes of an example that stands beside the word */ };

static bool is_argument(const struct cli_option *o) { return o->name[0] >= 'A' && o->name[0] <= 'Z'; }

void cli_usage(struct rf_buf *to, const struct cli_command *m)
{
	bool others = false;
	rf_buf_printf(to, "ringfence %s%s%s", m->noun, m->verb[0] ? " " : "", m->verb);
	for (const struct cli_option *o = m->options; o && o->name; o++) {
		const char *dots = o->many ? "..." : "";
		if (is_argument(o) && o->required)
			rf_buf_printf(to, " %s%s", o->name, dots);
		else if (is_argument(o))
			rf_buf_printf(to, " [%s%s]", o->name, dots);
		else if (o->required)
			rf_buf_printf(to, " --%s %s%s", o->name, o->value, dots);
		else
			others = true;
	}
	if (others)
		rf_buf_printf(to, " [options]");
}

static void line(FILE *to, const char *left, const char *right)
{
	int room = CLI_WIDTH - HELP_LEFT - 3;
	size_t n = strlen(right);
	bool cut = n > (size_t)room;
	fprintf(to, "  %-*s %.*s%s\n", HELP_LEFT, left, cut ? room - 3 : room, right, cut ? "..." : "");
}

static void option_line(FILE *to, const struct cli_option *o)
{
	RF_BUF_AUTO left = { 0 };
	if (is_argument(o))
		rf_buf_printf(&left, "%s", o->name);
	else if (o->value)
		rf_buf_printf(&left, "--%s %s", o->name, o->value);
	else
		rf_buf_printf(&left, "--%s", o->name);
	line(to, rf_buf_z(&left), o->doc);
}

static void examples(FILE *to, const char *lines)
{
	struct rf_str rest = rf_str_z(lines), one;
	while (rf_str_split(&rest, '\n', &one))
		fprintf(to, "  %.*s\n", RF_ARG(one));
}

/* The verbs of a noun that is a command by itself, too. */
static void also(FILE *to, const char *noun)
{
	for (size_t i = 0; i < cli_command_count; i++)
		if (strcmp(cli_commands[i].noun, noun) == 0 && cli_commands[i].verb[0])
			line(to, cli_commands[i].verb, cli_commands[i].summary);
}

static void help_command(FILE *to, const struct cli_command *m)
{
	RF_BUF_AUTO usage = { 0 };
	cli_usage(&usage, m);
	fprintf(to, "%s.\n\nUsage: %s\n\n", m->summary, rf_buf_z(&usage));
	bool any = false; /* member may be set: the last line says so */
	for (const struct cli_option *o = m->options; o && o->name; o++) {
		any |= o->use == CLI_SET;
		if (o->use != CLI_SET)
			option_line(to, o);
	}
	if (!m->verb[0])
		also(to, m->noun);
	fprintf(to, "%s", m->options ? "\n" : "");
	if (strchr(m->example, '\n') || strlen(m->example) > EXAMPLE_BESIDE) {
		fprintf(to, "Examples:\n");
		examples(to, m->example);
	} else {
		fprintf(to, "Example: %s\n", m->example);
	}
	fprintf(to, "%sOptions of every command: ringfence --help\n", any ? "Any other member: --set a/b=VALUE. " : "");
}

static void help_noun(FILE *to, const char *noun)
{
	for (size_t i = 0; i < cli_noun_count; i++)
		if (strcmp(cli_nouns[i].name, noun) == 0)
			fprintf(to, "ringfence %s: %s.\n\n", noun, cli_nouns[i].summary);
	const char *example = NULL;
	for (size_t i = 0; i < cli_command_count; i++) {
		const struct cli_command *m = &cli_commands[i];
		if (strcmp(m->noun, noun) != 0)
			continue;
		line(to, m->verb, m->summary);
		if (!example || strcmp(m->verb, "add") == 0)
			example = m->example;
	}
	fprintf(to, "\nExamples:\n");
	examples(to, example ? example : "");
	fprintf(to, "\nringfence %s VERB --help tells more.\n", noun);
}

static bool wants_verb(const char *noun)
{
	for (size_t i = 0; i < cli_command_count; i++)
		if (strcmp(cli_commands[i].noun, noun) == 0 && !cli_commands[i].verb[0])
			return false;
	return true;
}

static void help_top(FILE *to)
{
	fprintf(to, "Usage: ringfence NOUN VERB [arguments] [options]\n");
	for (size_t i = 0; i < cli_noun_count; i++)
		if (wants_verb(cli_nouns[i].name))
			fprintf(to, "  %-8s %.*s\n", cli_nouns[i].name, CLI_WIDTH - 12, cli_nouns[i].summary);
	fprintf(to, "\nWithout a verb:");
	for (size_t i = 0; i < cli_noun_count; i++)
		if (!wants_verb(cli_nouns[i].name))
			fprintf(to, " %s", cli_nouns[i].name);
	fprintf(to, "\nOf every command: -o table|json|yaml  --json  -q: ids only  --socket PATH\n"
		    "  --url URL  --token-file FILE  --ca FILE  --account ACCOUNT  (NOUN --help)\n");
}

void cli_help(FILE *to, const char *noun, const char *verb)
{
	for (size_t i = 0; noun && i < cli_command_count; i++) {
		const struct cli_command *m = &cli_commands[i];
		if (strcmp(m->noun, noun) == 0 && strcmp(m->verb, verb ? verb : "") == 0) {
			help_command(to, m);
			return;
		}
	}
	if (noun)
		help_noun(to, noun);
	else
		help_top(to);
}
