/* ctl/plan: see plan.h. Strings are copied, so that the plan outlives the boot. */
#include "ctl/plan.h"
#include <libgen.h>
#include <stdlib.h>
#include <unistd.h>
#include "ctl/boot_in.h"
#include "monitor/kernel.h"

struct making { struct rf_plan *p; bool bad; };

static const char *keep(struct making *k, const char *z)
{
	struct rf_str s = rf_arena_dup(&k->p->arena, rf_str_z(z));
	k->bad |= !s.p;
	return s.p;
}

static const char *parent(struct making *k, const char *path)
{
	const char *copy = keep(k, path);
	return copy ? dirname((char *)(uintptr_t)copy) : "";
}

static struct rf_plan_listener *listener(struct making *k, const char *name)
{
	struct rf_plan_listener *l = &k->p->listeners[k->p->listener_count++]; /* RF_BOOT_LISTENERS_MAX and two */
	*l = (struct rf_plan_listener){ .name = keep(k, name), .group = "", .sockets = 1, .backlog = 256 };
	return l;
}
_Static_assert(RF_BOOT_LISTENERS_MAX + 2 <= RF_PLAN_LISTENERS_MAX, "listeners of a plan");

static void listeners(struct making *k, const struct rf_boot *b, unsigned workers)
{
	for (size_t i = 0; i < b->listener_count; i++) {
		const struct rf_boot_listener *from = &b->listeners[i];
		struct rf_plan_listener *l = listener(k, from->name);
		l->ip = from->address.ip;
		l->port = from->address.port;
		l->sockets = workers;
		l->backlog = (int)from->backlog;
		l->ports = from->protocol == RF_PROTO_PORTS;
		l->transparent = from->transparent;
	}
	struct rf_plan_listener *local = listener(k, "api.socket");
	local->path = keep(k, b->api_socket);
	local->group = keep(k, b->api_group);
	if (b->api_listen.ip.family) {
		struct rf_plan_listener *l = listener(k, "api.listen");
		l->ip = b->api_listen.ip;
		l->port = b->api_listen.port;
	}
}

static void file(struct making *k, const char *path)
{
	if (!*path || rf_plan_file(k->p, path) >= 0)
		return;
	if (k->p->file_count == RF_PLAN_FILES_MAX)
		k->bad = true;
	else
		k->p->files[k->p->file_count++] = keep(k, path);
}
_Static_assert(2 * RF_BOOT_LISTENERS_MAX + 16 <= RF_PLAN_FILES_MAX, "files of a plan");

static void files(struct making *k, const struct rf_boot *b)
{
	for (size_t i = 0; i < BOOT_ROWS; i++)
		if (rf_boot_rows[i].type == BOOT_FILE)
			file(k, *(const char *const *)((const char *)b + rf_boot_rows[i].offset));
	for (size_t i = 0; i < b->listener_count; i++) {
		file(k, b->listeners[i].certificate);
		file(k, b->listeners[i].key);
	}
}

static void writable(struct making *k, const char *path, bool owned)
{
	if (!*path || strcmp(path, "/") == 0)
		return;
	if (k->p->writable_count == RF_PLAN_PATHS_MAX)
		k->bad = true;
	else
		k->p->writable[k->p->writable_count++] = (struct rf_plan_path){ keep(k, path), owned };
}

static void readable(struct making *k, const char *path)
{
	if (k->p->readable_count == RF_PLAN_PATHS_MAX)
		k->bad = true;
	else
		k->p->readable[k->p->readable_count++] = keep(k, path);
}

static void paths(struct making *k, const struct rf_boot *b)
{
	struct rf_str rest = rf_str_z(b->sandbox_read), part;
	writable(k, b->data_dir, true);
	writable(k, parent(k, b->store_file), false);
	writable(k, b->ca_dir, false);
	if (*b->records_file)
		writable(k, parent(k, b->records_file), false);
	if (*b->records_samples)
		writable(k, parent(k, b->records_samples), false);
	if (*b->log_file)
		writable(k, parent(k, b->log_file), false);
	while (rf_str_split(&rest, ':', &part))
		if (part.n)
			readable(k, rf_arena_dup(&k->p->arena, part).p);
	rest = rf_str_z(b->sandbox_write);
	while (rf_str_split(&rest, ':', &part))
		if (part.n)
			writable(k, rf_arena_dup(&k->p->arena, part).p, false);
}

static void interfaces(struct making *k, const struct rf_boot *b)
{
	struct rf_str rest = rf_str_z(b->shield_interfaces), part;
	k->p->filter_dir = keep(k, b->shield_pins);
	k->p->gate = (enum rf_gate_want)b->shield_mode;
	k->p->cookies = b->shield_cookies != 0;
	k->bad |= rf_kernel_words(rf_str_z(b->shield_without), &k->p->without, &part) != RF_OK;
	while (rf_str_split(&rest, ':', &part)) {
		if (!part.n)
			continue;
		if (k->p->interface_count == RF_PLAN_INTERFACES_MAX)
			k->bad = true;
		else
			k->p->interfaces[k->p->interface_count++] = rf_arena_dup(&k->p->arena, part).p;
	}
}

static uint64_t descriptors(const struct rf_boot *b)
{
	return b->limits_descriptors ? b->limits_descriptors :
		2 * b->limits_connections + b->limits_udp_sessions + b->limits_api_connections + 4096;
}

int rf_plan_from_boot(const struct rf_boot *b, unsigned workers, struct rf_plan **ret, struct rf_err *e)
{
	struct rf_plan *p = calloc(1, sizeof *p);
	RF_BUF_AUTO text = { 0 };
	if (!p)
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	rf_arena_init(&p->arena, 4 * BOOT_MEMORY_MAX);
	struct making k = { p, false };
	listeners(&k, b, workers);
	files(&k, b);
	paths(&k, b);
	interfaces(&k, b);
	struct rf_str unused;
	rf_boot_ports(b, p->ports_allowed, &unused);
	p->steer = b->ports_steer;
	p->user = keep(&k, b->user);
	p->run_dir = keep(&k, b->run_dir);
	p->drain_ns = b->drain_timeout;
	p->unconfined = !b->sandbox_enforce;
	p->descriptors = descriptors(b);
	p->pid_file = rf_arena_printf(&p->arena, "%s/ringfenced.pid", b->run_dir).p;
	rf_boot_dump(b, &text);
	p->text = rf_arena_dup(&p->arena, rf_buf_str(&text));
	if (k.bad || text.bad || !p->pid_file || !p->text.p) {
		rf_plan_free(p);
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted, or the boot file names too many files and directories");
	}
	*ret = p;
	return RF_OK;
}

unsigned rf_boot_workers(const struct rf_boot *b)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	if (b->workers)
		return (unsigned)b->workers;
	return processors < 1 ? 1 : processors > RF_PLAN_SOCKETS_MAX ? RF_PLAN_SOCKETS_MAX : (unsigned)processors;
}

int rf_plan_listener_api_socket(const struct rf_boot *b) { return (int)b->listener_count; }

int rf_plan_listener_api(const struct rf_boot *b)
{
	return b->api_listen.ip.family ? (int)b->listener_count + 1 : -1;
}

int rf_plan_file(const struct rf_plan *p, const char *path)
{
	for (size_t i = 0; i < p->file_count; i++)
		if (strcmp(p->files[i], path) == 0)
			return (int)i;
	return -1;
}
