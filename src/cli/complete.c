/* cli/complete: completion for shells, made from the table of commands.
 *
 * bash and zsh share one function of words (zsh through bashcompinit); fish takes a line a word. Names of objects are not
 * completed: they would need the API at every keystroke.
 */
#include "cli/cli.h"

static bool is_argument(const struct cli_option *o) { return o->name[0] >= 'A' && o->name[0] <= 'Z'; }

static void globals(FILE *to)
{
	for (const struct cli_option *o = cli_global_options; o->name; o++)
		fprintf(to, " --%s", o->name);
}

static void verbs(FILE *to, const char *noun)
{
	for (size_t i = 0; i < cli_command_count; i++)
		if (strcmp(cli_commands[i].noun, noun) == 0 && cli_commands[i].verb[0])
			fprintf(to, " %s", cli_commands[i].verb);
}

static void bash(FILE *to)
{
	fprintf(to, "_ringfence() {\n\tlocal word=${COMP_WORDS[COMP_CWORD]} noun=${COMP_WORDS[1]} verb=${COMP_WORDS[2]} words=\n"
		"\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\twords=\"");
	for (size_t i = 0; i < cli_noun_count; i++)
		fprintf(to, "%s%s", i ? " " : "", cli_nouns[i].name);
	fprintf(to, "\"\n\telse\n\t\tcase \"$noun $verb\" in\n");
	for (size_t i = 0; i < cli_command_count; i++) {
		const struct cli_command *m = &cli_commands[i];
		fprintf(to, "\t\t\"%s %s\"%s) words=\"", m->noun, m->verb, m->verb[0] ? "" : "*");
		for (const struct cli_option *o = m->options; o && o->name; o++)
			if (!is_argument(o))
				fprintf(to, " --%s", o->name);
		globals(to);
		fprintf(to, "\" ;;\n");
	}
	fprintf(to, "\t\tesac\n\t\tif [ \"$COMP_CWORD\" -eq 2 ]; then\n\t\t\tcase \"$noun\" in\n");
	for (size_t i = 0; i < cli_noun_count; i++) {
		fprintf(to, "\t\t\t%s) words=\"$words", cli_nouns[i].name);
		verbs(to, cli_nouns[i].name);
		fprintf(to, "\" ;;\n");
	}
	fprintf(to, "\t\t\tesac\n\t\tfi\n\tfi\n\tCOMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
		"\t[ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- \"$word\"))\n}\ncomplete -F _ringfence ringfence\n");
}

static void fish_text(FILE *to, const char *s)
{
	fputc('\'', to);
	for (; *s; s++)
		fprintf(to, *s == '\'' || *s == '\\' ? "\\%c" : "%c", *s);
	fputc('\'', to);
}

static void fish(FILE *to)
{
	for (size_t i = 0; i < cli_noun_count; i++) {
		fprintf(to, "complete -c ringfence -n __fish_use_subcommand -a %s -d ", cli_nouns[i].name);
		fish_text(to, cli_nouns[i].summary);
		fputc('\n', to);
	}
	for (size_t i = 0; i < cli_command_count; i++) {
		const struct cli_command *m = &cli_commands[i];
		if (m->verb[0]) {
			fprintf(to, "complete -c ringfence -n '__fish_seen_subcommand_from %s' -a %s -d ", m->noun, m->verb);
			fish_text(to, m->summary);
			fputc('\n', to);
		}
		for (const struct cli_option *o = m->options; o && o->name; o++) {
			if (is_argument(o))
				continue;
			fprintf(to, "complete -c ringfence -n '__fish_seen_subcommand_from %s; and __fish_seen_subcommand_from %s' -l %s %s-d ",
				m->noun, m->verb[0] ? m->verb : m->noun, o->name, o->value ? "-r " : "");
			fish_text(to, o->doc);
			fputc('\n', to);
		}
	}
}

int cli_run_completion(struct cli *c)
{
	const char *shell = cli_get(c, "SHELL");
	if (strcmp(shell, "zsh") == 0)
		fprintf(c->out, "autoload -Uz bashcompinit && bashcompinit\n");
	if (strcmp(shell, "bash") == 0 || strcmp(shell, "zsh") == 0)
		bash(c->out);
	else if (strcmp(shell, "fish") == 0)
		fish(c->out);
	else
		return cli_wrong(c, RF_E_UNKNOWN, "there is no completion for \"%s\"; bash, zsh and fish have one", shell);
	return RF_OK;
}
