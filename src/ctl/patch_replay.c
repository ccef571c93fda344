/* ctl/patch_replay: see patch_replay.h.
 *
 *   sources: samples.1, samples, records.1, records (or the records in memory)
 *   a line -> JSON -> facts, with what is not known -> class and until of the patch -> its expression, in three values
 *   -> counted by device, host and path; every request counts for whether its device looks healthy
 *
 * A request that was sampled is in the records too: the sample comes first and its record is left out, by its RayID.
 */
#include "ctl/patch_replay.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "ctl/doc.h"
#include "ctl/private.h"
#include "ctl/record_facts.h"
#include "ctl/samples.h"
#include "device/facts.h"
#include "policy/patch.h"
#include "records/format.h"
#include "records/log.h"

enum { SOURCES = 5, CHUNK = 64 << 10, MEMORY = 4 << 20, HEALTHY_OF = 10, RAYS_MAX = 200000, RECENT_STEP = 64, PAUSE_NS = 1000000, SLICE_NS = 2000000 };

struct source {
	char path[512];
	int fd;            /* -1: not open */
	bool memory;
	off_t size, from, read; /* in bytes; of memory in records */
	uint64_t last;     /* record of memory that was read last */
	uint64_t line;
};

/* A device, host or path of the traffic. */
struct named {
	struct rf_map_node node;
	json_int_t stopped, total, good;
	char class_name[64];
	char key[];
};

struct names {
	struct rf_map map;
	size_t most;
};

struct replay {
	struct rf_node node;
	struct rf_replays *of;
	char id[RF_ID_LEN + 1];
	int64_t began_s, since_s;
	off_t bytes;
	enum rf_phase phase;
	struct rf_expr *x;
	struct rf_patch_scope scope;
	json_t *doc;                /* whose classes the scope borrows */
	struct rf_lists *lists;
	struct source sources[SOURCES];
	size_t source_count, at;
	struct rf_buf in;
	bool skipping;              /* within a line that is too long, or the first one of a tail */
	enum { RUNNING, DONE, CANCELLED } status;
	json_int_t lines, bad, requests, would_stop, already, unknown;
	json_t *bad_at;
	struct names devices, hosts, paths, rays;
	json_int_t missed[RF_FIELD_COUNT];
	struct rf_arena arena;
};

struct rf_replays {
	struct rf_ctl *c;
	struct rf_recent *recent;
	struct rf_node all;
	struct rf_timer timer;
};

/* --- names --- */

static struct named *name(struct names *n, struct rf_str key)
{
	struct rf_map_node *there = rf_map_find(&n->map, key);
	if (there)
		return RF_CONTAINER(there, struct named, node);
	struct named *v = n->map.count < n->most ? calloc(1, sizeof *v + key.n + 1) : NULL;
	if (!v)
		return NULL;
	memcpy(v->key, key.p ? key.p : "", key.n);
	rf_map_add(&n->map, &v->node, (struct rf_str){ v->key, key.n });
	return v;
}

static void names_fini(struct names *n)
{
	struct rf_map_node *v;
	while ((v = rf_map_next(&n->map, NULL))) {
		rf_map_del(&n->map, v);
		free(RF_CONTAINER(v, struct named, node));
	}
	rf_map_fini(&n->map);
}

/* --- one line --- */

static void bad_line(struct replay *r, const struct source *s, const char *why)
{
	r->bad++;
	if (json_array_size(r->bad_at) < RF_REPLAY_BAD_SHOWN)
		json_array_append_new(r->bad_at, json_sprintf("%s:%llu: %s", s->path, (unsigned long long)s->line, why));
}

/* Does the patch concern who sent this, and is it not fixed? */
static bool concerned(struct replay *r, const struct rf_device *d, struct rf_str class_name)
{
	struct rf_device_facts of = { d, class_name };
	struct rf_facts f;
	if (!rf_patch_class(&r->scope, class_name))
		return false;
	rf_facts_init(&f, &rf_device_facts_ops, &of, &r->arena, r->lists, 0);
	return !rf_patch_fixed(&r->scope, &f);
}

static void count(struct names *n, struct rf_str key)
{
	struct named *v = name(n, key);
	if (v)
		v->stopped++;
}

static void stops(struct replay *r, struct rf_record_facts *f, struct named *device)
{
	r->would_stop++;
	r->already += rf_str_eq(f->action, RF_STR("block"));
	count(&r->hosts, f->host);
	count(&r->paths, f->path);
	if (device)
		device->stopped++;
}

static void unknown(struct replay *r, const struct rf_record_facts *f)
{
	r->unknown++;
	for (int i = 0; i < RF_FIELD_COUNT; i++)
		r->missed[i] += f->know.missed[i >> 6] >> (i & 63) & 1;
}

static struct named *device_of(struct replay *r, const struct rf_record_facts *f)
{
	struct named *v = f->device_id.n ? name(&r->devices, f->device_id) : NULL;
	if (v && !v->class_name[0])
		snprintf(v->class_name, sizeof v->class_name, "%.*s", RF_ARG(f->class_name));
	return v;
}

static void judge(struct replay *r, const struct source *s, struct rf_record_facts *f, const struct rf_device *d)
{
	enum rf_known known = RF_HOLDS_NOT;
	struct named *v = device_of(r, f);
	bool in = concerned(r, d, f->class_name);
	int rc = in ? rf_expr_know(r->x, &f->facts, &f->know, &known) : RF_OK;
	r->requests++;
	if (rc != RF_OK)
		bad_line(r, s, rf_code_sentence(rc));
	if (known == RF_HOLDS)
		stops(r, f, v);
	else if (known == RF_HOLDS_UNKNOWN)
		unknown(r, f);
	if (v && known != RF_HOLDS) {
		v->total++;
		v->good += f->status >= 100 && f->status < 400;
	}
}

/* Seen as a sample already? */
static bool again(struct replay *r, const struct rf_record_facts *f)
{
	if (!f->ray.n)
		return false;
	if (f->sample)
		return name(&r->rays, f->ray) == NULL;
	return rf_map_find(&r->rays.map, f->ray) != NULL;
}

static const char *kind_of(const struct replay *r)
{
	return r->phase == RF_PHASE_CONNECTION ? "connection" : "request";
}

static void take(struct replay *r, const struct source *s, const json_t *line)
{
	struct rf_record_facts f;
	struct rf_err e;
	struct rf_str id = doc_str(line, "DeviceID");
	const struct rf_device *d = id.n ? rf_device_find(r->of->c->devices, id) : NULL;
	const struct rf_snap *snap = rf_snap_now();
	const struct rf_class *class = d ? rf_snap_class(snap, rf_device_class_slot(d)) : NULL;
	int rc = rf_record_facts(line, d, class ? class->name : RF_STR(""), true, &r->arena, r->lists, &f, &e);
	if (rc != RF_OK)
		bad_line(r, s, e.text);
	else if (rf_str_eq(f.type, rf_str_z(kind_of(r))) && f.at_s >= r->since_s && !again(r, &f))
		judge(r, s, &f, d);
	rf_record_facts_fini(&f);
	rf_arena_reset(&r->arena);
}

static void one_line(struct replay *r, struct source *s, struct rf_str line)
{
	json_error_t why;
	s->line++;
	r->lines++;
	line = rf_str_trim(line);
	if (!line.n)
		return;
	json_t *j = json_loadb(line.p, line.n, 0, &why);
	if (!j) {
		bad_line(r, s, why.text);
		return;
	}
	take(r, s, j);
	json_decref(j);
}

/* --- sources --- */

static void add_file(struct replay *r, const char *path)
{
	if (path[0] && r->source_count < SOURCES) {
		struct source *s = &r->sources[r->source_count++];
		*s = (struct source){ .fd = -1 };
		snprintf(s->path, sizeof s->path, "%s", path);
	}
}

static void before(struct replay *r, const char *path)
{
	char old[512];
	snprintf(old, sizeof old, "%s.1", path);
	if (path[0])
		add_file(r, old);
}

static void to_lines(void *arg, uint64_t id, const struct rf_record *rec)
{
	struct rf_buf *b = arg;
	rf_record_json(b, rec, id);
	rf_buf_addc(b, '\n');
}

static void choose(struct replay *r)
{
	const struct rf_boot *b = r->of->c->boot;
	char samples[512] = "";
	rf_samples_path(b, samples, sizeof samples);
	before(r, samples);
	add_file(r, samples);
	before(r, b->records_file);
	add_file(r, b->records_file);
	if (b->records_file[0] || !r->of->recent)
		return;
	add_file(r, "records in memory");
	r->sources[r->source_count - 1].memory = true;
	r->sources[r->source_count - 1].size = (off_t)b->records_recent;
}

/* False: it is not there, which is no error: it may not have been written yet. */
static bool open_source(struct replay *r, struct source *s)
{
	struct stat st;
	s->fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (s->fd < 0 || fstat(s->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		if (s->fd >= 0 || errno != ENOENT)
			bad_line(r, s, s->fd >= 0 ? "this is no file" : strerror(errno));
		return false;
	}
	s->size = st.st_size;
	s->from = s->read = s->size > r->bytes ? s->size - r->bytes : 0;
	r->skipping = s->from > 0;
	return lseek(s->fd, s->from, SEEK_SET) == s->from;
}

static void close_source(struct replay *r, struct source *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	rf_buf_clear(&r->in);
	r->skipping = false;
	r->at++;
}

/* Lines of what has been read; a rest without its end stays. */
static void cut_lines(struct replay *r, struct source *s, bool end)
{
	struct rf_str rest = rf_buf_str(&r->in);
	while (rest.n) {
		size_t n = rf_str_find(rest, '\n');
		if (n == rest.n && !end)
			break;
		if (r->skipping)
			s->line++;
		else
			one_line(r, s, (struct rf_str){ rest.p, n });
		r->skipping = false;
		rest = rf_str_skip(rest, n + 1);
	}
	if (rest.n > RF_REPLAY_LINE_MAX && !r->skipping) {
		bad_line(r, s, "the line is too long");
		r->skipping = true;
	}
	rf_buf_eat(&r->in, r->skipping ? r->in.n : r->in.n - rest.n);
}

/* The next few records in memory, no more than there could be at the start: others come meanwhile. */
static void read_memory(struct replay *r, struct source *s)
{
	struct rf_recent_filter next = { .kind = -1, .since = s->last, .limit = RECENT_STEP };
	s->last = rf_recent_read(r->of->recent, &next, to_lines, &r->in);
	bool over = !r->in.n || s->read >= s->size;
	s->read += RECENT_STEP;
	cut_lines(r, s, true);
	if (over)
		close_source(r, s);
}

static void read_some(struct replay *r)
{
	struct source *s = &r->sources[r->at];
	if (s->memory) {
		read_memory(r, s);
		return;
	}
	if (s->fd < 0 && !open_source(r, s)) {
		close_source(r, s);
		return;
	}
	char *room = rf_buf_room(&r->in, CHUNK);
	ssize_t n = room ? read(s->fd, room, CHUNK) : 0;
	if (n > 0) {
		r->in.n += (size_t)n;
		s->read += n;
	}
	cut_lines(r, s, n <= 0);
	if (n < 0)
		bad_line(r, s, strerror(errno));
	if (n <= 0)
		close_source(r, s);
}

/* --- what was found --- */

static bool healthy(const struct named *v) { return v->total >= HEALTHY_OF && v->good * 10 >= v->total * 9; }

static int most_stopped(const void *a, const void *b)
{
	const struct named *x = *(struct named *const *)a, *y = *(struct named *const *)b;
	return x->stopped != y->stopped ? (x->stopped < y->stopped ? 1 : -1) : strcmp(x->key, y->key);
}

static json_t *device_json(struct replay *r, const struct named *v)
{
	const struct rf_device *d = rf_device_find(r->of->c->devices, rf_str_z(v->key));
	struct rf_str n = d ? rf_device_text(d)->name : RF_STR("");
	return json_pack("{s:s, s:s%, s:s, s:b, s:I}", "id", v->key, "name", n.p ? n.p : "", n.n, "class", v->class_name, "healthy",
			 healthy(v), "requests", v->stopped);
}

static json_t *top(struct replay *r, struct names *n, const char *member, json_int_t *ret_healthy)
{
	json_t *all = json_array();
	struct named **v = calloc(n->map.count + 1, sizeof *v);
	size_t count = 0;
	for (struct rf_map_node *i = v ? rf_map_next(&n->map, NULL) : NULL; i; i = rf_map_next(&n->map, i)) {
		struct named *one = RF_CONTAINER(i, struct named, node);
		if (one->stopped)
			v[count++] = one;
	}
	if (count)
		qsort(v, count, sizeof *v, most_stopped);
	for (size_t i = 0; i < count; i++) {
		if (ret_healthy)
			*ret_healthy += healthy(v[i]);
		if (i < RF_REPLAY_SHOWN)
			json_array_append_new(all, ret_healthy ? device_json(r, v[i]) : json_pack("{s:s, s:I}", member, v[i]->key,
				"requests", v[i]->stopped));
	}
	free(v);
	return all;
}

static json_t *missed(const struct replay *r)
{
	json_t *all = json_array();
	for (int i = 0; i < RF_FIELD_COUNT; i++)
		if (r->missed[i])
			json_array_append_new(all, json_pack("{s:s, s:I}", "field", rf_fields[i].name, "requests", r->missed[i]));
	return all;
}

static int percent(const struct replay *r)
{
	double done = (double)r->at;
	if (r->at < r->source_count && r->sources[r->at].size > r->sources[r->at].from)
		done += (double)(r->sources[r->at].read - r->sources[r->at].from) /
			(double)(r->sources[r->at].size - r->sources[r->at].from);
	return r->status == DONE ? 100 : r->source_count ? (int)(done * 100 / (double)r->source_count) : 0;
}

static json_t *found(struct replay *r)
{
	static const char *const words[] = { [RUNNING] = "running", [DONE] = "done", [CANCELLED] = "cancelled" };
	char at[RF_RFC3339_SIZE];
	json_int_t good = 0;
	json_t *j = json_pack("{s:s, s:i, s:s, s:I, s:I, s:O, s:I, s:I, s:I, s:I}", "status", words[r->status], "percent", percent(r),
			      "began", rf_rfc3339(r->began_s * (int64_t)RF_NS_S, 0, at), "lines", r->lines, "bad_lines", r->bad, "bad_at",
			      r->bad_at, "requests", r->requests, "would_stop", r->would_stop, "already_blocked", r->already,
			      "cannot_know", r->unknown);
	json_t *files = json_array(), *devices = top(r, &r->devices, "id", &good);
	for (size_t i = 0; i < r->source_count; i++)
		if (r->sources[i].size || r->sources[i].memory)
			json_array_append_new(files, json_string(r->sources[i].path));
	const struct { const char *name; json_t *v; } rows[] = {
		{ "healthy_devices", json_integer(good) }, { "devices", devices }, { "hosts", top(r, &r->hosts, "host", NULL) },
		{ "paths", top(r, &r->paths, "path", NULL) }, { "unknown_fields", missed(r) }, { "files", files } };
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (j)
			json_object_set_new(j, rows[i].name, rows[i].v);
		else
			json_decref(rows[i].v);
	return j;
}

/* Kept with the patch, so that it outlives the daemon. */
static void keep(struct replay *r)
{
	struct rf_ctl *c = r->of->c;
	RF_OBJECT_AUTO o = { 0 };
	struct rf_err e;
	int rc = rf_ctl_begin(c, "replay", &e);
	if (rc == RF_OK)
		rc = rf_store_get(c->store, RF_KIND_PATCH, r->id, &o, &e);
	if (rc == RF_OK && json_object_set_new(o.doc, "replay", found(r)) != 0)
		rc = rf_fail(&e, RF_E_NOMEM, "memory is exhausted");
	if (rc == RF_OK)
		rc = rf_store_put(c->store, RF_KIND_PATCH, &o, 0, &e);
	if (rc == RF_OK)
		rc = rf_ctl_touch(c, RF_KIND_PATCH, r->id, &e);
	if (rc == RF_OK)
		rc = rf_ctl_commit(c, false, &e);
	if (rc == RF_OK)
		return;
	rf_ctl_abort(c);
	if (rc != RF_E_NOT_FOUND)
		rf_log(RF_LOG_ERROR, "patches", "what the replay of patch %s found was not kept: %s", r->id, e.text);
}

/* --- life --- */

static void replay_free(struct replay *r)
{
	rf_list_del(&r->node);
	for (size_t i = 0; i < r->source_count; i++)
		if (r->sources[i].fd >= 0)
			close(r->sources[i].fd);
	rf_expr_put(r->x);
	rf_patch_scope_fini(&r->scope);
	rf_lists_put(r->lists);
	json_decref(r->doc);
	json_decref(r->bad_at);
	names_fini(&r->devices);
	names_fini(&r->hosts);
	names_fini(&r->paths);
	names_fini(&r->rays);
	rf_buf_fini(&r->in);
	rf_arena_fini(&r->arena);
	free(r);
}

static struct replay *find(struct rf_replays *all, const char *id)
{
	RF_LIST_EACH(it, &all->all) {
		struct replay *r = RF_CONTAINER(it, struct replay, node);
		if (strcmp(r->id, id) == 0)
			return r;
	}
	return NULL;
}

static void slice(struct replay *r, uint64_t slice_ns)
{
	const struct rf_clock *clock = &rf_clock_system;
	uint64_t end = clock->mono(clock->ctx) + slice_ns;
	do
		read_some(r);
	while (r->at < r->source_count && clock->mono(clock->ctx) < end);
	if (r->at < r->source_count)
		return;
	r->status = DONE;
	keep(r);
}

bool rf_replays_turn(struct rf_replays *all, uint64_t slice_ns)
{
	bool more = false;
	RF_LIST_EACH(it, &all->all) {
		struct replay *r = RF_CONTAINER(it, struct replay, node);
		if (r->status == RUNNING)
			slice(r, slice_ns);
		more |= r->status == RUNNING;
	}
	return more;
}

static void on_time(struct rf_timer *t)
{
	struct rf_replays *all = RF_CONTAINER(t, struct rf_replays, timer);
	if (rf_replays_turn(all, SLICE_NS))
		rf_timer_set(all->c->loop, t, rf_loop_now(all->c->loop) + PAUSE_NS);
}

struct rf_replays *rf_replays_new(struct rf_ctl *c, struct rf_recent *recent)
{
	struct rf_replays *all = calloc(1, sizeof *all);
	if (!all)
		return NULL;
	*all = (struct rf_replays){ .c = c, .recent = recent, .timer = { .fire = on_time } };
	rf_list_init(&all->all);
	return all;
}

void rf_replays_free(struct rf_replays *all)
{
	if (!all)
		return;
	rf_timer_stop(all->c->loop, &all->timer);
	RF_LIST_EACH(it, &all->all)
		replay_free(RF_CONTAINER(it, struct replay, node));
	free(all);
}

/* Room for one more: what has ended goes first. */
static int room(struct rf_replays *all, struct rf_err *e)
{
	size_t n = 0;
	RF_LIST_EACH(it, &all->all)
		n++;
	RF_LIST_EACH(it, &all->all) {
		struct replay *r = RF_CONTAINER(it, struct replay, node);
		if (n >= RF_REPLAYS_MAX && r->status != RUNNING) {
			replay_free(r);
			n--;
		}
	}
	return n < RF_REPLAYS_MAX ? RF_OK : rf_fail(e, RF_E_FULL, "%d replays run at once at most; wait for one, or cancel it", RF_REPLAYS_MAX);
}

static int compile(struct replay *r, struct rf_err *e)
{
	struct rf_rule_env env = { r->lists, rf_build_have(r->of->c) };
	int rc = rf_patch_phase(r->doc, &r->phase, e);
	if (rc == RF_OK)
		rc = rf_expr_compile(&env, r->phase, doc_str(r->doc, "expression"), &r->x, e);
	return rc == RF_OK ? rf_patch_scope_make(&env, r->doc, r->id, &r->scope, e) : rc;
}

static struct replay *replay_new(struct rf_replays *all, const json_t *doc, const char *id, const json_t *body)
{
	struct replay *r = calloc(1, sizeof *r);
	if (!r)
		return NULL;
	r->of = all;
	snprintf(r->id, sizeof r->id, "%s", id);
	r->began_s = all->c->clock.wall(all->c->clock.ctx) / (int64_t)RF_NS_S;
	if (doc_str(body, "since").n)
		rf_rfc3339_parse(doc_str(body, "since").p, &r->since_s);
	r->bytes = (off_t)doc_int(body, "bytes", 1 << 30);
	r->doc = json_deep_copy(doc);
	r->bad_at = json_array();
	r->lists = rf_snap_now()->lists ? rf_lists_get(rf_snap_now()->lists) : NULL;
	r->devices.most = RF_REPLAY_DEVICES;
	r->hosts.most = r->paths.most = RF_REPLAY_NAMES;
	r->rays.most = RAYS_MAX;
	r->in.bound = 64 << 20;
	rf_arena_init(&r->arena, MEMORY);
	rf_list_push(&all->all, &r->node);
	return r;
}

int rf_replay_start(struct rf_replays *all, const json_t *doc, const char *id, const json_t *body, json_t **ret, struct rf_err *e)
{
	struct replay *r = find(all, id);
	if (r)
		replay_free(r);
	int rc = room(all, e);
	if (rc != RF_OK)
		return rc;
	r = replay_new(all, doc, id, body);
	if (!r)
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	rc = compile(r, e);
	if (rc != RF_OK) {
		replay_free(r);
		return rc;
	}
	choose(r);
	rf_timer_set(all->c->loop, &all->timer, rf_loop_now(all->c->loop) + PAUSE_NS);
	return rf_replay_get(all, id, ret, e);
}

int rf_replay_get(struct rf_replays *all, const char *id, json_t **ret, struct rf_err *e)
{
	struct replay *r = find(all, id);
	if (!r)
		return rf_fail(e, RF_E_NOT_FOUND, "this patch has not been replayed since the daemon started");
	*ret = found(r);
	return *ret ? RF_OK : rf_fail(e, RF_E_NOMEM, "memory is exhausted");
}

int rf_replay_cancel(struct rf_replays *all, const char *id, json_t **ret, struct rf_err *e)
{
	struct replay *r = find(all, id);
	if (r && r->status == RUNNING)
		r->status = CANCELLED;
	return rf_replay_get(all, id, ret, e);
}
