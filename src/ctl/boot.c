/* ctl/boot: see boot.h.
 *
 * rf_boot_load: defaults of all rows -> the file, its includes, conf.d in the order of names -> what follows from other
 * settings (paths beneath data_dir and run_dir) -> checks that concern several settings -> warnings. The boot is built aside
 * and handed over when it is whole.
 *
 * Not here: YAML (boot_yaml.c), values (boot_value.c), what the settings do.
 */
#include "ctl/boot.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "bpf/filter.h"
#include "ctl/boot_in.h"
#include "monitor/kernel.h"
#include "wire/portspec.h"

#define LIVE BOOT_LIVE
#define RESTART BOOT_RESTART
const struct boot_row rf_boot_rows[BOOT_ROWS] = {
#define RF_SETTING(member, path, type, def, least, most, when, doc) \
	{ path, def, least, most, doc, BOOT_##type, when, offsetof(struct rf_boot, member), sizeof((struct rf_boot *)0)->member },
#include "tbl/settings.def"
#undef RF_SETTING
};
const struct boot_row rf_boot_listener_rows[BOOT_LISTENER_ROWS] = {
#define RF_LISTENER(member, path, type, def, least, most, when, doc) \
	{ path, def, least, most, doc, BOOT_##type, when, offsetof(struct rf_boot_listener, member), \
	  sizeof((struct rf_boot_listener *)0)->member },
#include "tbl/settings.def"
#undef RF_LISTENER
};
#undef LIVE
#undef RESTART

static int in_file(struct rf_err *e, const struct rf_boot *b, struct rf_boot_source at, int r)
{
	const char *name = b->own->file_count ? b->own->files[at.line ? at.file : 0] : "";
	size_t n = strlen(name), room = sizeof e->file - 1;
	memcpy(e->file, name + (n > room ? n - room : 0), n > room ? room + 1 : n + 1);
	e->line = at.line ? at.line : 1;
	e->column = at.line ? at.column : 1;
	return r;
}

static int start(struct rf_boot **ret, bool on_disk, struct rf_err *e)
{
	struct rf_boot *b = calloc(1, sizeof *b);
	struct rf_boot_own *own = calloc(1, sizeof *own);
	if (!b || !own) {
		free(b);
		free(own);
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	}
	b->own = own;
	own->on_disk = on_disk;
	rf_arena_init(&own->arena, BOOT_MEMORY_MAX);
	b->listeners = rf_arena_array(&own->arena, RF_BOOT_LISTENERS_MAX, sizeof *b->listeners);
	int r = b->listeners ? RF_OK : rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	for (size_t i = 0; i < BOOT_ROWS && r == RF_OK; i++)
		r = rf_boot_value(&own->arena, &rf_boot_rows[i], rf_str_z(rf_boot_rows[i].def), "", false,
				  (char *)b + rf_boot_rows[i].offset, e);
	if (r != RF_OK)
		rf_boot_free(b);
	else
		*ret = b;
	return r;
}

void rf_boot_free(struct rf_boot *b)
{
	if (!b)
		return;
	rf_arena_fini(&b->own->arena);
	free(b->own);
	free(b);
}

static int read_file(const char *path, struct rf_buf *out, struct rf_err *e)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return rf_fail(e, errno == EACCES ? RF_E_DENIED : RF_E_NOT_FOUND, "%s cannot be opened: %s", path, strerror(errno));
	int r = RF_OK;
	ssize_t n = 0;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		r = rf_fail(e, RF_E_TYPE, "%s is not a file", path);
	while (r == RF_OK) {
		char *to = rf_buf_room(out, 16384);
		if (!to || (n = read(fd, to, 16384)) <= 0)
			break;
		out->n += (size_t)n;
		if (out->n > BOOT_FILE_BYTES_MAX)
			r = rf_fail(e, RF_E_TOO_LARGE, "%s is larger than %d bytes", path, BOOT_FILE_BYTES_MAX);
	}
	if (r == RF_OK && (n < 0 || out->bad))
		r = rf_fail(e, out->bad ? RF_E_NOMEM : RF_E_IO, "%s cannot be read", path);
	close(fd);
	return r;
}

int rf_boot_file(struct rf_boot *b, const char *path, unsigned depth, struct rf_err *e)
{
	RF_BUF_AUTO text = { 0 };
	int r = read_file(path, &text, e);
	return r == RF_OK ? rf_boot_yaml(b, rf_buf_str(&text), path, depth, e) : r;
}

static int is_drop_in(const struct dirent *d)
{
	struct rf_str name = rf_str_z(d->d_name);
	return name.n && name.p[0] != '.' && (rf_str_ends(name, RF_STR(".yaml")) || rf_str_ends(name, RF_STR(".conf")));
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int drop_ins(struct rf_boot *b, const char *path, struct rf_err *e)
{
	struct rf_arena *a = &b->own->arena;
	struct rf_str copy = rf_arena_dup(a, rf_str_z(path));
	struct rf_str dir = copy.p ? rf_arena_printf(a, "%s/conf.d", dirname((char *)(uintptr_t)copy.p)) : copy;
	if (!dir.p)
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	struct dirent **names;
	int r = RF_OK, n = scandir(dir.p, &names, is_drop_in, by_name);
	if (n < 0)
		return errno == ENOENT ? RF_OK : rf_fail(e, RF_E_IO, "%s cannot be read: %s", dir.p, strerror(errno));
	for (int i = 0; i < n; i++) {
		struct rf_str full = r == RF_OK ? rf_arena_printf(a, "%s/%s", dir.p, names[i]->d_name) : (struct rf_str){ 0 };
		if (r == RF_OK)
			r = full.p ? rf_boot_file(b, full.p, 1, e) : rf_fail(e, RF_E_NOMEM, "memory is exhausted");
		free(names[i]);
	}
	free(names);
	return r;
}

static int beneath(struct rf_boot *b, const char **member, const char *dir, const char *name, struct rf_err *e)
{
	if (**member)
		return RF_OK;
	struct rf_str s = rf_arena_printf(&b->own->arena, "%s/%s", dir, name);
	if (!s.p)
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	*member = s.p;
	return RF_OK;
}

static int derive(struct rf_boot *b, struct rf_err *e)
{
	int r;
	if ((r = beneath(b, &b->store_file, b->data_dir, "state.db", e)) != RF_OK ||
	    (r = beneath(b, &b->ca_dir, b->data_dir, "ca", e)) != RF_OK ||
	    (r = beneath(b, &b->api_socket, b->run_dir, "api.sock", e)) != RF_OK)
		return r;
	for (size_t i = 0; i < b->listener_count; i++) {
		struct rf_boot_listener *l = &b->listeners[i];
		char ip[RF_IP_TEXT];
		if (*l->name || !l->address.ip.family)
			continue;
		struct rf_str s = rf_arena_printf(&b->own->arena, l->address.ip.family == 6 ? "[%s]:%u" : "%s:%u",
						  rf_ip_str(&l->address.ip, ip), l->address.port);
		if (!s.p)
			return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
		l->name = s.p;
	}
	return RF_OK;
}

static void warn(struct rf_boot *b, const char *fmt, const char *what)
{
	struct rf_str s = { 0 };
	if (b->warning_count < RF_BOOT_WARNINGS_MAX)
		s = rf_arena_printf(&b->own->arena, "%s%s", what, fmt);
	if (s.p)
		b->warnings[b->warning_count++] = s.p;
}

static bool same_address(const struct rf_boot_address *a, const struct rf_boot_address *b)
{
	return a->ip.family && rf_ip_eq(&a->ip, &b->ip) && a->port == b->port;
}

/* What is for one protocol only: of `ports` the port is 0, unless it is for what nftables hands over. */
static int check_protocol(struct rf_boot *b, const struct rf_boot_listener *l, const struct rf_boot_source *src, struct rf_err *e)
{
	bool ports = l->protocol == RF_PROTO_PORTS;
	if (!ports && !l->address.port)
		return in_file(e, b, src[BOOT_LISTENER_AT_address],
			       rf_fail(e, RF_E_RANGE, "address needs a port between 1 and 65535; only a listener of protocol ports has port 0"));
	if (ports && l->address.port && !l->transparent)
		return in_file(e, b, src[BOOT_LISTENER_AT_address],
			       rf_fail(e, RF_E_RANGE, "a listener of protocol ports has port 0, because the apps say which; another one only with transparent"));
	if (!ports && l->transparent)
		return in_file(e, b, src[BOOT_LISTENER_AT_transparent], rf_fail(e, RF_E_INVALID, "transparent is for listeners of protocol ports"));
	if (ports && l->proxy_protocol)
		return in_file(e, b, src[BOOT_LISTENER_AT_proxy_protocol],
			       rf_fail(e, RF_E_INVALID, "a listener of protocol ports takes no PROXY header"));
	if (l->protocol != RF_PROTO_HTTPS && *l->certificate)
		return in_file(e, b, src[BOOT_LISTENER_AT_certificate],
			       rf_fail(e, RF_E_INVALID, "a listener of protocol %s has no use for tls.certificate", ports ? "ports" : "http"));
	return RF_OK;
}

/* One listener by itself and against those before it. */
static int check_listener(struct rf_boot *b, size_t i, struct rf_err *e)
{
	const struct rf_boot_listener *l = &b->listeners[i];
	const struct rf_boot_source *src = b->own->listener_source[i];
	if (!l->address.ip.family)
		return in_file(e, b, l->at, rf_fail(e, RF_E_MISSING, "the listener has no address"));
	if (!*l->certificate != !*l->key)
		return in_file(e, b, l->at, rf_fail(e, RF_E_MISSING, "tls.certificate and tls.key belong together; one of them is missing"));
	int r = check_protocol(b, l, src, e);
	if (r != RF_OK)
		return r;
	if (l->proxy_protocol && l->trusted.n == 0)
		return in_file(e, b, src[BOOT_LISTENER_AT_proxy_protocol],
			       rf_fail(e, RF_E_MISSING, "proxy_protocol needs trusted_proxies, or anybody could claim any address"));
	for (size_t k = 0; k < i; k++) {
		if (same_address(&l->address, &b->listeners[k].address))
			return in_file(e, b, src[BOOT_LISTENER_AT_address],
				       rf_fail(e, RF_E_EXISTS, "another listener has this address already (line %u)", b->listeners[k].at.line));
		if (strcmp(l->name, b->listeners[k].name) == 0)
			return in_file(e, b, l->at, rf_fail(e, RF_E_EXISTS, "another listener is called %s already (line %u)", l->name,
							     b->listeners[k].at.line));
	}
	if (same_address(&l->address, &b->api_listen))
		return in_file(e, b, src[BOOT_LISTENER_AT_address], rf_fail(e, RF_E_EXISTS, "api.listen has this address already"));
	if (l->protocol == RF_PROTO_HTTPS && l->min_version < RF_BOOT_TLS_1_2)
		warn(b, " accepts TLS below 1.2, which is broken: devices and their data there can be attacked", l->name);
	return RF_OK;
}

static bool port_bits(const char *text, uint64_t *ports, struct rf_str *ret_bad)
{
	struct rf_str rest = rf_str_z(text), part;
	uint64_t port;
	while (rf_str_split(&rest, ':', &part)) {
		if (!part.n)
			continue;
		if (!rf_str_u64(part, &port) || port < 1 || port > UINT16_MAX) {
			*ret_bad = part;
			return false;
		}
		if (ports)
			ports[port / 64] |= 1ull << port % 64;
	}
	return true;
}

bool rf_boot_reflection(const struct rf_boot *b, uint64_t *ports, struct rf_str *ret_bad)
{
	return port_bits(b->shield_reflection, ports, ret_bad);
}

bool rf_boot_fleet_ports(const struct rf_boot *b, uint64_t *ports, struct rf_str *ret_bad)
{
	return port_bits(b->fleet_ports, ports, ret_bad);
}

bool rf_boot_fleet_scanned(const struct rf_boot *b, uint64_t *ports, struct rf_str *ret_bad)
{
	return port_bits(b->fleet_scanned, ports, ret_bad);
}

bool rf_boot_fleet_networks(const struct rf_boot *b, struct rf_prefix *v, size_t room, size_t *ret_count, struct rf_str *ret_bad)
{
	struct rf_str rest = rf_str_z(b->fleet_networks), part;
	struct rf_prefix one;
	size_t n = 0;
	while (rf_str_split(&rest, ' ', &part)) {
		if (!part.n)
			continue;
		if (!rf_prefix_parse(part, true, &one) || n == room) {
			*ret_bad = part;
			return false;
		}
		v[n++] = one;
	}
	*ret_count = n;
	return true;
}

bool rf_boot_ports(const struct rf_boot *b, uint64_t *ports, struct rf_str *ret_bad)
{
	struct rf_str rest = rf_str_z(b->ports_allowed), part;
	struct rf_port_range r;
	while (rf_str_split(&rest, ':', &part)) {
		if (!part.n)
			continue;
		if (!rf_port_range_parse(part, &r)) {
			*ret_bad = part;
			return false;
		}
		for (unsigned port = r.low; ports && port <= r.high; port++)
			ports[port / 64] |= 1ull << port % 64;
	}
	return true;
}

static int check_ports(struct rf_boot *b, struct rf_err *e)
{
	struct rf_str bad;
	struct rf_prefix nets[RF_HOME_NETS];
	size_t n;
	if (!rf_boot_ports(b, NULL, &bad))
		return in_file(e, b, b->own->source[BOOT_AT_ports_allowed],
			rf_fail(e, RF_E_RANGE, "ports.allowed has \"%.*s\", which is no port and no range such as 1000-2000", RF_ARG(bad)));
	if (!rf_boot_fleet_ports(b, NULL, &bad))
		return in_file(e, b, b->own->source[BOOT_AT_fleet_ports],
			rf_fail(e, RF_E_RANGE, "fleet.ports has \"%.*s\", which is no port", RF_ARG(bad)));
	if (!rf_boot_fleet_scanned(b, NULL, &bad))
		return in_file(e, b, b->own->source[BOOT_AT_fleet_scanned],
			rf_fail(e, RF_E_RANGE, "fleet.scan_ports has \"%.*s\", which is no port", RF_ARG(bad)));
	if (!rf_boot_fleet_networks(b, nets, RF_HOME_NETS, &n, &bad))
		return in_file(e, b, b->own->source[BOOT_AT_fleet_networks], rf_fail(e, RF_E_RANGE,
			"fleet.networks has \"%.*s\", which is no network such as 10.0.0.0/8, or one more than %d", RF_ARG(bad), RF_HOME_NETS));
	uint32_t unused;
	if (rf_kernel_words(rf_str_z(b->shield_without), &unused, &bad) != RF_OK)
		return in_file(e, b, b->own->source[BOOT_AT_shield_without], rf_fail(e, RF_E_RANGE,
			"shield.without has \"%.*s\", which is nothing that is used of a kernel (such as xdp, btf, ringbuf, nft)", RF_ARG(bad)));
	if (rf_boot_reflection(b, NULL, &bad))
		return RF_OK;
	return in_file(e, b, b->own->source[BOOT_AT_shield_reflection],
		rf_fail(e, RF_E_RANGE, "shield.reflection_ports has \"%.*s\", which is no port", RF_ARG(bad)));
}

static bool one_of(const char *z, const char *a, const char *b)
{
	return !*z || rf_str_starts(rf_str_z(z), rf_str_z(a)) || rf_str_starts(rf_str_z(z), rf_str_z(b));
}

static int check(struct rf_boot *b, struct rf_err *e)
{
	const struct rf_boot_source *src = b->own->source;
	if (b->listener_count == 0)
		return in_file(e, b, (struct rf_boot_source){ 0 }, rf_fail(e, RF_E_MISSING, "there are no listeners; add at least\n"
			       "listeners:\n  - address: \"0.0.0.0:443\""));
	for (size_t i = 0; i < b->listener_count; i++) {
		int r = check_listener(b, i, e);
		if (r != RF_OK)
			return r;
	}
	if (b->api_listen.ip.family && !b->api_listen.port)
		return in_file(e, b, src[BOOT_AT_api_listen], rf_fail(e, RF_E_RANGE, "api.listen needs a port between 1 and 65535"));
	if (!*b->api_certificate != !*b->api_key)
		return in_file(e, b, src[*b->api_key ? BOOT_AT_api_key : BOOT_AT_api_certificate],
			       rf_fail(e, RF_E_MISSING, "api.certificate and api.key belong together; one of them is missing"));
	if (!one_of(b->records_syslog, "unix:/", "udp:"))
		return in_file(e, b, src[BOOT_AT_records_syslog],
			       rf_fail(e, RF_E_TYPE, "records.syslog must be unix:/dev/log or udp:ADDRESS:PORT"));
	if (!one_of(b->ca_key, "pkcs11:", "pkcs11:"))
		return in_file(e, b, src[BOOT_AT_ca_key],
			       rf_fail(e, RF_E_TYPE, "ca.intermediate_key must be a pkcs11: URI; a key in a file belongs into ca.directory"));
	if (!one_of(b->ca_base_url, "http://", "https://"))
		return in_file(e, b, src[BOOT_AT_ca_base_url], rf_fail(e, RF_E_TYPE, "ca.base_url must begin with http:// or https://"));
	if (strcmp(b->user, "root") == 0)
		warn(b, ": the engine keeps the rights of root over files; name a user of its own", "user");
	if (!b->sandbox_enforce)
		warn(b, ": the engine runs without its sandbox and keeps all rights of who started it", "sandbox.enforce");
	return check_ports(b, e);
}

static int finish(struct rf_boot *b, struct rf_boot **ret, int r, struct rf_err *e)
{
	if (r == RF_OK)
		r = derive(b, e);
	if (r == RF_OK)
		r = check(b, e);
	if (r != RF_OK)
		rf_boot_free(b);
	else
		*ret = b;
	return r;
}

int rf_boot_load(const char *path, struct rf_boot **ret, struct rf_err *e)
{
	struct rf_boot *b;
	int r = start(&b, true, e);
	if (r != RF_OK)
		return r;
	char *full = realpath(path, NULL);
	struct rf_str copy = rf_arena_dup(&b->own->arena, rf_str_z(full ? full : path));
	free(full);
	b->path = copy.p;
	r = copy.p ? rf_boot_file(b, copy.p, 0, e) : rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	if (r == RF_OK)
		r = drop_ins(b, b->path, e);
	return finish(b, ret, r, e);
}

int rf_boot_parse(struct rf_str text, const char *name, struct rf_boot **ret, struct rf_err *e)
{
	struct rf_boot *b;
	int r = start(&b, false, e);
	if (r != RF_OK)
		return r;
	struct rf_str copy = rf_arena_dup(&b->own->arena, rf_str_z(name));
	b->path = copy.p;
	if (text.n > BOOT_FILE_BYTES_MAX)
		r = rf_fail(e, RF_E_TOO_LARGE, "%s is larger than %d bytes", name, BOOT_FILE_BYTES_MAX);
	else
		r = copy.p ? rf_boot_yaml(b, text, copy.p, 0, e) : rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	return finish(b, ret, r, e);
}

/* Rows with their groups: "tls.key" stands below "tls:", which is written when it changes. */
static void dump_rows(struct rf_buf *out, const struct rf_boot *b, const struct boot_row *rows, size_t count, const void *base,
		      const struct rf_boot_source *src, const char *indent)
{
	const char *group = "";
	size_t group_n = 0;
	for (size_t i = 0; i < count; i++) {
		size_t n = strcspn(rows[i].path, ".");
		bool grouped = rows[i].path[n] == '.';
		if (grouped && (n != group_n || memcmp(group, rows[i].path, n) != 0))
			rf_buf_printf(out, "%s%.*s:\n", indent, (int)n, rows[i].path);
		group = rows[i].path;
		group_n = grouped ? n : 0;
		rf_buf_printf(out, "%s%s%s: ", indent, grouped ? "  " : "", rows[i].path + (grouped ? n + 1 : 0));
		rf_boot_value_print(out, &rows[i], (const char *)base + rows[i].offset);
		if (src[i].line)
			rf_buf_printf(out, "  # %s:%u\n", b->own->files[src[i].file], src[i].line);
		else
			rf_buf_printf(out, "  # default\n");
	}
}

void rf_boot_dump(const struct rf_boot *b, struct rf_buf *out)
{
	dump_rows(out, b, rf_boot_rows, BOOT_ROWS, b, b->own->source, "");
	rf_buf_printf(out, "listeners:\n");
	for (size_t i = 0; i < b->listener_count; i++) {
		rf_buf_printf(out, "  -\n");
		dump_rows(out, b, rf_boot_listener_rows, BOOT_LISTENER_ROWS, &b->listeners[i], b->own->listener_source[i], "    ");
	}
}

void rf_boot_restart_needed(const struct rf_boot *old, const struct rf_boot *now, struct rf_buf *out)
{
	for (size_t i = 0; i < BOOT_ROWS; i++) {
		const struct boot_row *row = &rf_boot_rows[i];
		RF_BUF_AUTO a = { 0 };
		RF_BUF_AUTO b = { 0 };
		rf_boot_value_print(&a, row, (const char *)old + row->offset);
		rf_boot_value_print(&b, row, (const char *)now + row->offset);
		if (row->when == BOOT_RESTART && !rf_str_eq(rf_buf_str(&a), rf_buf_str(&b)))
			rf_buf_printf(out, "%s%s", out->n ? ", " : "", row->path);
	}
}

static void manual_row(struct rf_buf *out, const char *prefix, const struct boot_row *row)
{
	rf_buf_printf(out, "- `%s%s`: %s.", prefix, row->path, row->doc);
	if (row->type == BOOT_CHOICE)
		rf_buf_printf(out, " One of `%s`.", row->least);
	else if (*row->least)
		rf_buf_printf(out, " From %s to %s.", row->least, row->most);
	if (*row->def)
		rf_buf_printf(out, " Default `%s`.", row->def);
	rf_buf_printf(out, "%s\n", row->when == BOOT_RESTART ? " In force after a restart." : "");
}

void rf_boot_manual(struct rf_buf *out)
{
	for (size_t i = 0; i < BOOT_ROWS; i++)
		manual_row(out, "", &rf_boot_rows[i]);
	for (size_t i = 0; i < BOOT_LISTENER_ROWS; i++)
		manual_row(out, "listeners[].", &rf_boot_listener_rows[i]);
}
