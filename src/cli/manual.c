/* cli/manual: the manual page ringfence(1) in mdoc, made from the table of commands. */
#include "cli/cli.h"

static bool is_argument(const struct cli_option *o) { return o->name[0] >= 'A' && o->name[0] <= 'Z'; }

/* Text that the formatter takes as it is: no control lines, no escapes, macro words kept apart. */
static void text(FILE *to, const char *s)
{
	if (*s == '.' || *s == '\'')
		fputs("\\&", to);
	for (; *s; s++) {
		if (*s == '\\')
			fputs("\\e", to);
		else if (*s == '"')
			fputs("\\(dq", to);
		else if (*s == '-')
			fputs("\\-", to);
		else if (*s == '\'')
			fputs("\\(aq", to);
		else
			fputc(*s, to);
	}
}

static void item(FILE *to, const struct cli_option *o)
{
	if (is_argument(o))
		fprintf(to, ".It Ar %s\n", o->name);
	else if (o->value)
		fprintf(to, ".It Fl \\-%s Ar %s\n", o->name, o->value);
	else
		fprintf(to, ".It Fl \\-%s\n", o->name);
	text(to, o->doc);
	fprintf(to, ".\n");
}

static void command(FILE *to, const struct cli_command *m)
{
	RF_BUF_AUTO usage = { 0 };
	cli_usage(&usage, m);
	fprintf(to, ".It Xo\n.Cm \"");
	text(to, rf_buf_z(&usage) + strlen("ringfence "));
	fprintf(to, "\"\n.Xc\n");
	text(to, m->summary);
	fprintf(to, ".\n");
	if (m->options) {
		fprintf(to, ".Bl -tag -width indent -compact\n");
		for (const struct cli_option *o = m->options; o->name; o++)
			item(to, o);
		fprintf(to, ".El\n");
	}
	fprintf(to, ".Bd -literal -compact\n");
	struct rf_str rest = rf_str_z(m->example), one;
	while (rf_str_split(&rest, '\n', &one)) {
		char line[256];
		snprintf(line, sizeof line, "%.*s", RF_ARG(one));
		text(to, line);
		fputc('\n', to);
	}
	fprintf(to, ".Ed\n");
}

static const char ending[] =
	".Sh ENVIRONMENT\n.Bl -tag -width RINGFENCE_SOCKET\n"
	".It Ev RINGFENCE_SOCKET\nUnix socket of the API;\n.Pa /run/ringfence/api.sock\nwhere it is not set.\n"
	".It Ev RINGFENCE_URL\nThe API over TLS, instead of the socket.\n"
	".It Ev RINGFENCE_TOKEN\nToken for it.\nTokens are never taken from the command line, which others can see.\n"
	".It Ev RINGFENCE_CA\nRoots to verify it with.\n"
	".It Ev RINGFENCE_ACCOUNT\nAccount, by name or id.\n"
	".It Ev NO_COLOR\nNo colours, whatever the terminal.\n.It Ev COLUMNS\nWidth of tables.\n.El\n"
	".Sh EXIT STATUS\n.Bl -tag -width 1n -compact\n.It 0\nIt was done.\n.It 1\nIt failed, or was refused; the reason is on the error stream.\n"
	".It 2\nThe command line was wrong.\n.It 3\nAn object was not found.\n.El\n"
	".Sh FILES FOR APPLY\nA mapping of the sections\n.Cm lists , classes , devices , roots , zones , rules\nand\n.Cm tests .\n"
	"Each section but\n.Cm rules\nis a sequence of objects with the members of\n.Xr ringfence-api 7 ,\nknown by their names.\n"
	"A zone has\n.Cm apps\nand\n.Cm rules\nof its own; rules are sequences by phase, in order.\n"
	"A list has\n.Cm items ;\na device its\n.Cm credentials .\n"
	"What an object of the file does not name is left as it is; what the file does not name is left too, but for\n.Fl \\-prune .\n"
	"Rules of\n.Cm tests\nare tried against the state as it would be; one that fails refuses the whole file.\n"
	".Sh SEE ALSO\n.Xr ringfence-rules 5 ,\n.Xr ringfence.yaml 5 ,\n.Xr ringfence-api 7 ,\n.Xr ringfence-records 7 ,\n"
	".Xr ringfence-tls 7 ,\n.Xr ringfenced 8\n";

void cli_manual(FILE *to)
{
	fprintf(to, ".Dd November 21, 2026\n.Dt RINGFENCE 1\n.Os\n.Sh NAME\n.Nm ringfence\n.Nd ask and change a Ringfence edge\n"
		".Sh SYNOPSIS\n.Nm\n.Ar noun\n.Ar verb\n.Op Ar arguments\n.Op Ar options\n.Sh DESCRIPTION\n.Nm\n"
		"talks to the API of\n.Xr ringfenced 8 ,\nover its Unix socket or over TLS.\nObjects are named by id or by name.\n"
		"Answers are tables on a terminal, or JSON or YAML.\n.Pp\nOptions of every command:\n.Bl -tag -width indent\n");
	for (const struct cli_option *o = cli_global_options; o->name; o++)
		item(to, o);
	fprintf(to, ".El\n.Sh COMMANDS\n");
	for (size_t n = 0; n < cli_noun_count; n++) {
		fprintf(to, ".Ss %s\n", cli_nouns[n].name);
		fprintf(to, ".Bl -tag -width indent\n");
		for (size_t i = 0; i < cli_command_count; i++)
			if (strcmp(cli_commands[i].noun, cli_nouns[n].name) == 0)
				command(to, &cli_commands[i]);
		fprintf(to, ".El\n");
	}
	fputs(ending, to);
}
