/* gendoc: manual pages from templates and the tables.
 *
 * gendoc TEMPLATE: copies an mdoc template to the output; a line "@NAME@" gives way to what the table of that
 * name says. gendoc --ringfence: the page of the command-line tool, from its table of commands.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"

/* Text that the formatter takes as it is. */
static void text(const char *s)
{
	if (*s == '.' || *s == '\'')
		fputs("\\&", stdout);
	for (; *s; s++) {
		if (*s == '\\')
			fputs("\\e", stdout);
		else if (*s == '"')
			fputs("\\(dq", stdout);
		else if (*s == '\'')
			fputs("\\(aq", stdout);
		else if (*s == '-')
			fputs("\\-", stdout);
		else
			putchar(*s);
	}
}

static void item(const char *name)
{
	fputs(".It Sy \"", stdout);
	text(name);
	fputs("\"\n", stdout);
}

static void sentence(const char *s)
{
	if (*s)
		text(s);
	if (*s)
		putchar('\n');
}

static void row(const char *name, const char *what, const char *doc)
{
	item(name);
	if (*what)
		printf("(%s)\n", what);
	sentence(*doc ? doc : "");
	if (!*what && !*doc)
		printf("\\&\n");
}

static void setting(const char *path, const char *type, const char *def, const char *least, const char *when, const char *doc)
{
	char what[256];
	snprintf(what, sizeof what, "%s%s%s%s, %s", strcmp(type, "CHOICE") == 0 ? least : type, *def ? ", " : "", *def ? "default " : "", def,
		 strcmp(when, "LIVE") == 0 ? "in force after a reload" : "needs a restart");
	item(path);
	putchar('(');
	text(what);
	printf(")\n");
	sentence(doc);
}

static void settings(void)
{
#define RF_SETTING(member, path, type, def, least, most, when, doc) setting(path, #type, def, least, #when, doc);
#include "tbl/settings.def"
#undef RF_SETTING
}

static void listeners(void)
{
#define RF_LISTENER(member, path, type, def, least, most, when, doc) setting(path, #type, def, least, #when, doc);
#include "tbl/settings.def"
#undef RF_LISTENER
}

static void phases_of(const char *letters, char to[64])
{
	static const struct { char letter; const char *words; } known[] = {
		{ 'C', "connection" }, { 'H', "http" }, { 'B', "http, before it is forwarded" }, { 'R', "response" },
		{ 'P', "packet" } };
	to[0] = '\0';
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strchr(letters, known[i].letter))
			snprintf(to + strlen(to), 64 - strlen(to), "%s%s", to[0] ? ", " : "", known[i].words);
}

static void field(const char *name, const char *type, const char *letters, const char *absent, const char *doc)
{
	static const struct { const char *type, *words; } types[] = {
		{ "BOOL", "boolean" }, { "INT", "integer" }, { "STR", "string" }, { "IP", "address" }, { "VERSION", "version" },
		{ "A_STR", "array of strings" }, { "M_STR", "map of strings" }, { "M_A_STR", "map of arrays of strings" },
		{ "A_INT", "array of integers" }, { "A_A_STR", "array of arrays of strings" },
		{ "M_A_INT", "map of arrays of integers" },
	};
	char phases[64], what[160];
	phases_of(letters, phases);
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (strcmp(types[i].type, type) == 0)
			type = types[i].words;
	snprintf(what, sizeof what, "%s; %s%s", type, phases, strcmp(absent, "MISSING") == 0 ? "; may be missing" : "");
	row(name, what, doc);
}

static void alias(const char *name, const char *of, const char *more)
{
	item(name);
	printf("is\n.Sy ");
	text(of);
	printf("%s\n", more);
}

static const char *field_name(const char *id)
{
	static const struct { const char *id, *name; } names[] = {
#define RF_NEED(name, sentence)
#define RF_FIELD(id, name, type, phases, absent, need, doc) { #id, name },
#define RF_FIELD_ALIAS(name, id, old)
#include "tbl/fields.def"
#undef RF_NEED
#undef RF_FIELD
#undef RF_FIELD_ALIAS
	};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(names[i].id, id) == 0)
			return names[i].name;
	return id;
}

static void fields(void)
{
#define RF_NEED(name, sentence)
#define RF_FIELD(id, name, type, phases, absent, need, doc) field(name, #type, #phases, #absent, doc);
#define RF_FIELD_ALIAS(name, id, old) alias(name, field_name(#id), strcmp(#old, "true") == 0 ? " , an old name" : "");
#include "tbl/fields.def"
#undef RF_NEED
#undef RF_FIELD
#undef RF_FIELD_ALIAS
}

static void functions(void)
{
#define RF_FUNC(id, name, returns, signature, doc) row(name "()", #returns, doc);
#include "tbl/functions.def"
#undef RF_FUNC
}

static void actions(void)
{
#define RF_ACTION(id, name, kind, doc) row(name, strcmp(#kind, "REFUSED") == 0 ? "refused" : "", doc);
#include "tbl/actions.def"
#undef RF_ACTION
}

static void phases(void)
{
#define RF_PHASE(id, name, letters, can, doc) row(name, strcmp(#can, "NOTHING") == 0 ? "not supported by this version" : "", doc);
#define RF_PHASE_ALIAS(name, id, doc) row(name, "", doc);
#include "tbl/phases.def"
#undef RF_PHASE
#undef RF_PHASE_ALIAS
}

static void route(const char *method, const char *path, const char *noun, const char *access, const char *request, const char *doc)
{
	char line[256], what[160];
	snprintf(line, sizeof line, "%s %s", method, path);
	if (strcmp(access, "PUBLIC") == 0 || strcmp(access, "ANY") == 0)
		snprintf(what, sizeof what, "%s", strcmp(access, "PUBLIC") == 0 ? "no credential" : "any valid credential");
	else
		snprintf(what, sizeof what, "%s:%s", noun, strcmp(access, "READ") == 0 ? "read" : "write");
	if (strcmp(request, "NONE") != 0)
		snprintf(what + strlen(what), sizeof what - strlen(what), "; body %s", request);
	row(line, what, doc);
}

static void routes(void)
{
#define RF_ROUTE(method, path, noun, access, handler, request, response, shape, doc) \
	route(#method, path, noun, #access, #request, doc);
#include "tbl/routes.def"
#undef RF_ROUTE
}

static void resource(const char *id, const char *name, const char *doc)
{
	static bool open;
	if (open)
		printf(".El\n");
	open = id != NULL;
	if (!open)
		return;
	printf(".Ss %s (%s)\n", id, name);
	if (*doc) {
		text(doc);
		printf(".\n");
	}
	printf(".Bl -tag -width indent -compact\n");
}

static void member(const char *name, const char *type, const char *ref, const char *flag, const char *check, const char *def, const char *doc)
{
	static const struct { const char *flag, *words; } flags[] = {
		{ "REQ", ", required" }, { "RO", ", computed" }, { "WO", ", never shown" }, { "WREQ", ", required, never shown" },
	};
	char what[512];
	const char *words = "";
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		if (strcmp(flags[i].flag, flag) == 0)
			words = flags[i].words;
	bool nested = strcmp(ref, "NONE") != 0, choice = *check && *check != '@';
	snprintf(what, sizeof what, "%s%s%s%s%s%s%s", nested ? ref : type, strcmp(type, "OBJS") == 0 ? " array" : "", words,
		 choice ? "; " : "", choice ? check : "", *def ? "; default " : "", def);
	item(name);
	putchar('(');
	text(what);
	printf(")\n");
	sentence(doc);
}

static void resources(void)
{
#define RF_RESOURCE(id, name, policy, doc) resource(#id, name, doc);
#define RF_FIELD(res, name, type, ref, flag, least, most, check, def, doc) member(name, #type, #ref, #flag, check, def, doc);
#include "tbl/resources.def"
	resource(NULL, NULL, NULL);
}

static void api_codes(void)
{
	char number[16];
#define RF_API_CODE(id, n) snprintf(number, sizeof number, "%d", n); row(number, "", rf_code_sentence(RF_E_##id));
#include "tbl/api_codes.def"
#undef RF_API_CODE
}

static void records(void)
{
#define RF_REC_STR(id, json, doc) row(json, "text", doc);
#define RF_REC_U64(id, json, doc) row(json, "number", doc);
#define RF_REC_IP(id, json, doc) row(json, "address", doc);
#define RF_REC_TIME(id, json, doc) row(json, "RFC 3339 time", doc);
#include "tbl/records.def"
}

static void endings(void)
{
	static const char *const events[] = {
#define RF_L4_EVENT(id, name, doc) name,
#include "tbl/l4_status.def"
#undef RF_L4_EVENT
	};
	enum {
#define RF_L4_EVENT(id, name, doc) id,
#include "tbl/l4_status.def"
#undef RF_L4_EVENT
	};
	char number[16];
#define RF_L4_STATUS(id, code, event, doc) snprintf(number, sizeof number, "%d", code); row(number, events[event], doc);
#include "tbl/l4_status.def"
#undef RF_L4_STATUS
}

static void reasons(void)
{
#define RF_REASON(id, layer, reason, words) row(reason, layer, words);
#include "tbl/reasons.def"
#undef RF_REASON
}

static void traits(void)
{
#define RF_TRAIT(id, name, piece, weight, expression, doc) row(name, "", doc);
#include "tbl/traits.def"
#undef RF_TRAIT
}

static void bots(void)
{
#define RF_BOT(bot, piece, text, doc) row(text, bot, doc);
#include "tbl/bots.def"
#undef RF_BOT
}

static void vectors(void)
{
#define RF_VECTOR(name, word, kind, port, doc) row(word, #port[0] == '0' ? "" : "port " #port, doc);
#include "tbl/vectors.def"
#undef RF_VECTOR
}

static void counter(const char *name, const char *labels, const char *help)
{
	char line[200];
	snprintf(line, sizeof line, "%s%s%s%s", name, *labels ? "{" : "", labels, *labels ? "}" : "");
	row(line, "", help);
}

static void counters(void)
{
#define RF_COUNTER(id, name, labels, help) counter(name, labels, help);
#define RF_HISTOGRAM(id, name, labels, help) counter(name, labels, help);
#include "tbl/counters.def"
#undef RF_COUNTER
#undef RF_HISTOGRAM
}

static const struct { const char *name; void (*print)(void); } tables[] = {
	{ "settings", settings }, { "listeners", listeners }, { "fields", fields }, { "functions", functions }, { "actions", actions },
	{ "phases", phases }, { "routes", routes }, { "api_codes", api_codes }, { "records", records },
	{ "endings", endings }, { "reasons", reasons }, { "traits", traits }, { "bots", bots }, { "vectors", vectors }, { "counters", counters },
};

static int table(const char *line)
{
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
		size_t n = strlen(tables[i].name);
		if (strncmp(line + 1, tables[i].name, n) == 0 && line[n + 1] == '@') {
			printf(".Bl -tag -width indent -compact\n");
			tables[i].print();
			printf(".El\n");
			return 0;
		}
	}
	fprintf(stderr, "gendoc: no table for %s", line);
	return 1;
}

int main(int argc, char **argv)
{
	char line[2048];
	int wrong = 0;
	if (argc == 2 && strcmp(argv[1], "--ringfence") == 0) {
		cli_manual(stdout);
		return 0;
	}
	FILE *f = argc == 2 ? fopen(argv[1], "re") : NULL;
	if (!f) {
		fprintf(stderr, "usage: gendoc TEMPLATE | --ringfence\n");
		return 2;
	}
	while (fgets(line, sizeof line, f)) {
		if (strcmp(line, "@resources@\n") == 0)
			resources();
		else if (line[0] == '@')
			wrong |= table(line);
		else
			fputs(line, stdout);
	}
	fclose(f);
	return wrong;
}
