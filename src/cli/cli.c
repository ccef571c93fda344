/* cli/cli: one run of the tool: words, options of every command, the command, its errors and exit status. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "cli/cli.h"

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

static bool stop(void) { return interrupted; }

static void sleep_ms(unsigned ms)
{
	struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };
	nanosleep(&t, NULL);
}

static const char *env(const char *name)
{
	const char *v = getenv(name);
	return v && *v ? v : NULL;
}

void cli_init(struct cli *c)
{
	struct winsize size;
	struct sigaction act = { .sa_handler = on_interrupt };
	*c = (struct cli){ .in = stdin, .out = stdout, .err = stderr, .clock = rf_clock_system, .sleep_ms = sleep_ms, .stop = stop };
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	c->terminal = isatty(STDOUT_FILENO);
	c->asks = c->terminal && isatty(STDIN_FILENO);
	c->colour = c->terminal && !env("NO_COLOR");
	if (env("COLUMNS"))
		c->width = (unsigned)strtoul(env("COLUMNS"), NULL, 10);
	else if (c->terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
		c->width = size.ws_col ? size.ws_col : CLI_WIDTH;
	c->socket = env("RINGFENCE_SOCKET");
	c->url = env("RINGFENCE_URL");
	c->token = env("RINGFENCE_TOKEN");
	c->ca = env("RINGFENCE_CA");
	c->account = env("RINGFENCE_ACCOUNT");
}

static int read_all(struct cli *c, FILE *f, const char *name, struct rf_buf *b)
{
	b->bound = CLI_FILE_MAX;
	for (;;) {
		char *room = rf_buf_room(b, 65536);
		if (!room)
			return rf_fail(&c->e, RF_E_TOO_LARGE, "%s is larger than %d bytes", name, CLI_FILE_MAX);
		size_t n = fread(room, 1, 65536, f);
		b->n += n;
		if (n == 0)
			return ferror(f) ? rf_fail(&c->e, RF_E_IO, "cannot read %s: %s", name, strerror(errno)) : RF_OK;
	}
}

int cli_file(struct cli *c, const char *path, struct rf_buf *ret)
{
	struct rf_buf b = { 0 };
	bool input = strcmp(path, "-") == 0;
	FILE *f = input ? c->in : fopen(path, "re");
	if (!f)
		return rf_fail(&c->e, errno == ENOENT ? RF_E_NOT_FOUND : RF_E_IO, "cannot open %s: %s", path, strerror(errno));
	int rc = read_all(c, f, input ? "the input" : path, &b);
	if (!input)
		fclose(f);
	if (rc == RF_OK && rf_str_find(rf_buf_str(&b), '\0') < b.n)
		rc = rf_fail(&c->e, RF_E_SYNTAX, "%s holds a NUL byte and is no text", path);
	if (rc != RF_OK) {
		rf_buf_fini(&b);
		return rc;
	}
	*ret = b;
	return RF_OK;
}

int cli_file_json(struct cli *c, const char *path, json_t **ret)
{
	RF_BUF_AUTO b = { 0 };
	int rc = cli_file(c, path, &b);
	return rc == RF_OK ? cli_yaml_read(rf_buf_str(&b), path, ret, &c->e) : rc;
}

int cli_wrong(struct cli *c, int code, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	c->usage = true;
	return rf_fail(&c->e, code, "%s", text);
}

static int token_file(struct cli *c, const char *path)
{
	static char token[512]; /* lives as long as the run */
	RF_BUF_AUTO b = { 0 };
	int rc = cli_file(c, path, &b);
	if (rc != RF_OK)
		return rc;
	struct rf_str s = rf_buf_str(&b);
	s.n = rf_str_find(s, '\n');
	s = rf_str_trim(s);
	if (!s.n || s.n >= sizeof token)
		return rf_fail(&c->e, RF_E_INVALID, "%s holds no token in its first line", path);
	snprintf(token, sizeof token, "%.*s", RF_ARG(s));
	explicit_bzero(b.p, b.n);
	c->token = token;
	return RF_OK;
}

static int set_format(struct cli *c)
{
	const char *word = cli_get(c, "output");
	if (cli_has(c, "json"))
		c->format = CLI_JSON;
	if (!word)
		return RF_OK;
	static const char *const words[] = { "table", "json", "yaml" };
	for (unsigned i = 0; i < 3; i++)
		if (strcmp(word, words[i]) == 0) {
			c->format = (enum cli_format)i;
			return RF_OK;
		}
	return rf_fail(&c->e, RF_E_UNKNOWN, "--output is table, json or yaml, not \"%s\"", word);
}

static int set_globals(struct cli *c)
{
	const char *v;
	c->quiet = cli_has(c, "quiet");
	c->dry_run = cli_has(c, "dry-run");
	if ((v = cli_get(c, "socket"))) {
		c->socket = v;
		c->url = NULL;
	}
	if (!c->socket)
		c->socket = "/run/ringfence/api.sock";
	if ((v = cli_get(c, "url")))
		c->url = v;
	if ((v = cli_get(c, "ca")))
		c->ca = v;
	if ((v = cli_get(c, "account")))
		c->account = v;
	if (c->url && strncmp(c->url, "https://", 8) != 0)
		return rf_fail(&c->e, RF_E_INVALID, "--url wants https://host:port, not \"%s\"; a token must not travel in the clear", c->url);
	int rc = set_format(c);
	if (rc == RF_OK && (v = cli_get(c, "token-file")))
		rc = token_file(c, v);
	return rc;
}

static void print_errors(struct cli *c)
{
	char text[1024];
	size_t i;
	json_t *one;
	bool shown = false;
	json_array_foreach(c->errors, i, one) {
		const char *message = json_string_value(json_object_get(one, "message"));
		const char *pointer = json_string_value(json_object_get(json_object_get(one, "source"), "pointer"));
		if (!message)
			continue;
		cli_note(c, "ringfence: %s%s%s", pointer ? pointer : "", pointer ? ": " : "", message);
		shown = true;
	}
	if (!shown)
		cli_note(c, "ringfence: %s", rf_err_str(&c->e, text, sizeof text));
}

static int run(struct cli *c, int argc, char **argv)
{
	const char *noun = NULL;
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		fprintf(c->out, "ringfence " RF_VERSION "\n");
		return RF_OK;
	}
	int rc = cli_args(c, argc, argv, &noun);
	c->usage = rc != RF_OK;
	if (rc == RF_OK && (c->help || !c->command)) {
		cli_help(c->help ? c->out : c->err, noun, c->command ? c->command->verb : NULL);
		c->usage = !c->help;
		return c->help ? RF_OK : RF_E_MISSING;
	}
	if (rc == RF_OK) {
		rc = set_globals(c);
		c->usage = rc != RF_OK;
	}
	if (rc == RF_OK)
		rc = c->command->run(c);
	if (rc == RF_OK && (fflush(c->out) != 0 || ferror(c->out)))
		rc = rf_fail(&c->e, RF_E_IO, "cannot write the answer: %s", strerror(errno));
	if (rc != RF_OK)
		print_errors(c);
	return rc;
}

int cli_main(struct cli *c, int argc, char **argv)
{
	int rc = run(c, argc, argv);
	cli_http_close(c);
	json_decref(c->errors);
	c->errors = NULL;
	return rc == RF_OK ? 0 : c->usage ? 2 : rc == RF_E_NOT_FOUND ? 3 : 1;
}
