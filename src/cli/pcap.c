/* cli/pcap: capture what a rule of packets, or a reason of the kernel filter, hits, into a file as it comes. */
#include "cli/cli.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/enc.h"
#include "wire/pcapng.h"

enum { FRAME_BYTES = 4096, LOOK_MS = 200 };

struct writing {
	FILE *to;
	char base[256]; /* path of the capture */
	size_t n;
};

static int put(struct cli *c, struct writing *w, const struct rf_buf *b)
{
	if (b->bad || fwrite(b->p, 1, b->n, w->to) != b->n || fflush(w->to) != 0)
		return rf_fail(&c->e, RF_E_IO, "the capture cannot be written");
	return RF_OK;
}

static int put_frame(struct cli *c, struct writing *w, const json_t *f)
{
	char bytes[FRAME_BYTES], why[128];
	RF_BUF_AUTO b = { 0 };
	const char *data = json_string_value(json_object_get(f, "data")), *rule = json_string_value(json_object_get(f, "rule"));
	const char *reason = json_string_value(json_object_get(f, "reason"));
	ssize_t n = data ? rf_unb64(rf_str_z(data), bytes, sizeof bytes) : -1;
	if (n < 0 || !rule || !reason)
		return rf_fail(&c->e, RF_E_SYNTAX, "the API gave a frame that cannot be read");
	snprintf(why, sizeof why, "%.60s %.60s", reason, rule);
	rf_pcapng_frame(&b, json_integer_value(json_object_get(f, "at_ns")), (uint32_t)json_integer_value(json_object_get(f, "size")),
		(struct rf_str){ bytes, (size_t)n }, rf_str_z(why));
	w->n++;
	return put(c, w, &b);
}

/* What has come since; *ret_over: and no more will. */
static int more(struct cli *c, struct writing *w, bool *ret_over)
{
	char path[320];
	json_t *state = NULL, *frames = NULL, *f;
	size_t i;
	int rc = cli_result(c, "GET", w->base, NULL, &state);
	snprintf(path, sizeof path, "%s/frames?from=%zu", w->base, w->n);
	if (rc == RF_OK)
		rc = cli_result(c, "GET", path, NULL, &frames);
	json_array_foreach(frames, i, f)
		if (rc == RF_OK)
			rc = put_frame(c, w, f);
	const char *status = json_string_value(json_object_get(state, "status"));
	*ret_over = status && strcmp(status, "running") != 0 && (size_t)json_integer_value(json_object_get(state, "packets")) == w->n;
	json_decref(state);
	json_decref(frames);
	return rc;
}

static int begin(struct cli *c, struct writing *w)
{
	RF_BUF_AUTO path = { 0 };
	const char *rule = cli_get(c, "rule"), *reason = cli_get(c, "reason"), *count = cli_get(c, "count"), *seconds = cli_get(c, "seconds");
	json_t *body = json_object(), *made = NULL;
	if (rule || reason)
		json_object_set_new(body, rule ? "rule" : "reason", json_string(rule ? rule : reason));
	else
		json_object_set_new(body, "reason", json_string("rule"));
	if (count)
		json_object_set_new(body, "packet_limit", json_integer(atoll(count)));
	if (seconds)
		json_object_set_new(body, "time_limit", json_integer(atoll(seconds)));
	int rc = cli_path(c, c->command->path, NULL, NULL, &path);
	if (rc == RF_OK)
		rc = cli_result(c, "POST", rf_buf_z(&path), body, &made);
	const char *id = json_string_value(json_object_get(made, "id"));
	snprintf(w->base, sizeof w->base, "%s/%s", rf_buf_z(&path), id ? id : "");
	json_decref(body);
	json_decref(made);
	return rc;
}

/* Until it is over, somebody interrupts, or what reads it is gone; then it is ended, so that the next can begin. */
static int follow(struct cli *c, struct writing *w)
{
	bool over = false;
	json_t *state = NULL;
	char path[320];
	int rc = RF_OK;
	while (rc == RF_OK && !over && !c->stop()) {
		rc = more(c, w, &over);
		if (rc == RF_OK && !over)
			c->sleep_ms(LOOK_MS);
	}
	if (over)
		return rc;
	struct rf_err unused = c->e;
	snprintf(path, sizeof path, "%s/stop", w->base);
	cli_result(c, "PUT", path, NULL, &state);
	json_decref(state);
	c->e = unused;
	return rc;
}

int cli_run_shield_pcap(struct cli *c)
{
	const char *name = cli_get(c, "write");
	bool file = name && strcmp(name, "-") != 0;
	struct writing w = { .to = file ? fopen(name, "wbe") : c->out };
	RF_BUF_AUTO head = { 0 };
	if (!w.to)
		return rf_fail(&c->e, RF_E_IO, "%s cannot be written", name);
	if (!file && isatty(fileno(w.to)))
		return cli_wrong(c, RF_E_INVALID, "a capture is nothing to look at: give --write FILE, or a pipe such as | tcpdump -r -");
	signal(SIGPIPE, SIG_IGN);
	int rc = begin(c, &w);
	rf_pcapng_begin(&head, FRAME_BYTES);
	if (rc == RF_OK && (rc = put(c, &w, &head)) == RF_OK)
		rc = follow(c, &w);
	if (file && fclose(w.to) != 0 && rc == RF_OK)
		rc = rf_fail(&c->e, RF_E_IO, "%s cannot be written", name);
	if (rc == RF_OK && file && !c->quiet)
		fprintf(c->out, "%zu frames in %s\n", w.n, name);
	return rc;
}
