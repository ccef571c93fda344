/* cli/double: a thread that takes one request a connection and gives the answer that fits. */
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "cli/double.h"

static const struct canned *answer_to(const struct api_double *d, const char *method, const char *target)
{
	for (const struct canned *a = d->answers; a->method; a++) {
		size_t n = strlen(a->target);
		bool open = n && a->target[n - 1] == '*';
		if (strcmp(a->method, method) == 0 &&
		    (open ? strncmp(a->target, target, n - 1) == 0 : strcmp(a->target, target) == 0))
			return a;
	}
	return NULL;
}

static size_t length_of(const char *head)
{
	const char *at = strstr(head, "Content-Length: ");
	return at ? strtoul(at + 16, NULL, 10) : 0;
}

static void serve(struct api_double *d, int fd)
{
	char *text = calloc(1, 1 << 20), *end = NULL;
	size_t n = 0;
	ssize_t got;
	while (n < (1 << 20) - 1 && (got = read(fd, text + n, (1 << 20) - 1 - n)) > 0) {
		n += (size_t)got;
		text[n] = '\0';
		end = strstr(text, "\r\n\r\n");
		if (end && n >= (size_t)(end + 4 - text) + length_of(text))
			break;
	}
	struct asked *q = &d->asked[d->count];
	if (end && d->count < DOUBLE_ASKED_MAX && sscanf(text, "%7s %511s", q->method, q->target) == 2) {
		const struct canned *a = answer_to(d, q->method, q->target);
		const char *body = a ? a->body : "{\"success\":false,\"errors\":[{\"code\":1,\"message\":\"the double knows no answer\"}]}";
		q->body = strdup(end + 4);
		d->count++;
		dprintf(fd, "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
			a ? a->status : 599, strlen(body), body);
	}
	free(text);
	close(fd);
}

static void *run(void *arg)
{
	struct api_double *d = arg;
	for (;;) {
		int fd = accept(d->fd, NULL, NULL);
		if (fd < 0)
			return NULL;
		serve(d, fd);
	}
}

void double_start(struct api_double *d, const struct canned *answers)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	pthread_t t;
	*d = (struct api_double){ .answers = answers, .dir = "/tmp/rf-cli-XXXXXX" };
	char *dir = mkdtemp(d->dir);
	assert(dir);
	snprintf(d->socket, sizeof d->socket, "%s/api.sock", dir);
	snprintf(at.sun_path, sizeof at.sun_path, "%s", d->socket);
	d->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc = bind(d->fd, (struct sockaddr *)&at, sizeof at);
	rc = rc == 0 ? listen(d->fd, 16) : rc;
	rc = rc == 0 ? pthread_create(&t, NULL, run, d) : rc;
	assert(rc == 0);
	(void)rc;
	d->thread = t;
}

void double_stop(struct api_double *d)
{
	shutdown(d->fd, SHUT_RDWR);
	pthread_join(d->thread, NULL);
	close(d->fd);
	unlink(d->socket);
	rmdir(d->dir);
	for (size_t i = 0; i < d->count; i++)
		free(d->asked[i].body);
}

static void no_sleep(unsigned ms) { (void)ms; }
static bool stop_at_once(void)
{
	static unsigned asked;
	return ++asked % 3 == 0; /* two polls */
}

static bool never(void) { return false; }

struct ran double_run(struct api_double *d, const char *const *args)
{
	char *argv[32] = { "ringfence" };
	int argc = 1;
	struct ran r = { 0 };
	size_t n;
	while (args[argc - 1]) {
		argv[argc] = (char *)args[argc - 1];
		argc++;
	}
	struct cli c = { .in = stdin, .clock = rf_clock_system, .sleep_ms = no_sleep, .stop = stop_at_once, .socket = d->socket };
	int pipes[2];
	if (d->typed && pipe(pipes) == 0) {
		c.asks = write(pipes[1], d->typed, strlen(d->typed)) == (ssize_t)strlen(d->typed);
		close(pipes[1]);
		c.in = fdopen(pipes[0], "r");
		c.stop = never;
	}
	c.out = open_memstream(&r.out, &n);
	c.err = open_memstream(&r.err, &n);
	r.status = cli_main(&c, argc, argv);
	fclose(c.out);
	fclose(c.err);
	if (c.in != stdin)
		fclose(c.in);
	return r;
}

void ran_free(struct ran *r)
{
	free(r->out);
	free(r->err);
}
