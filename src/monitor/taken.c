/* monitor/taken: see taken.h. A table of /proc/net is read line by line; a line that is none is left out.
 *
 * A socket at [::] may also receive IPv4, and the table does not say: it is taken for one that does.
 */
#include "monitor/taken.h"
#include <stdio.h>

enum { LISTENS = 10, CLOSED = 7 }; /* states in the tables: TCP that listens, UDP that is connected to nobody */

struct entry {
	struct rf_ip ip;
	unsigned port, far_port, state;
	unsigned long long inode;
};

/* "0100007F:0016 00000000:0000 0A ...": addresses are words of 32 bits as the machine prints them. */
static bool read_entry(const char *line, struct entry *ret)
{
	char address[33];
	if (sscanf(line, " %*u: %32[0-9A-Fa-f]:%4x %*32[0-9A-Fa-f]:%4x %2x %*x:%*x %*x:%*x %*x %*u %*u %llu", address, &ret->port, &ret->far_port,
		   &ret->state, &ret->inode) != 5)
		return false;
	size_t n = strlen(address);
	struct rf_ip ip = { .family = n == 8 ? 4 : 6 };
	for (size_t i = 0; i < n / 8; i++) {
		unsigned word;
		if (sscanf(address + 8 * i, "%8x", &word) != 1)
			return false;
		memcpy(ip.b + 4 * i, &word, sizeof word);
	}
	ret->ip = rf_ip_unmap(ip);
	return (n == 8 || n == 32) && ret->port < 65536;
}

static bool receives_at(const struct rf_ip *socket, const struct rf_ip *at)
{
	if (socket->family != at->family)
		return socket->family == 6 && rf_ip_unspecified(socket);
	return rf_ip_unspecified(socket) || rf_ip_unspecified(at) || rf_ip_eq(socket, at);
}

static bool is_own(const struct rf_port_sockets *own, const struct entry *e, bool udp)
{
	for (size_t i = 0; i < own->count; i++)
		if (own->v[i].udp == udp && own->v[i].port == e->port && rf_ip_eq(&own->v[i].ip, &e->ip))
			return true;
	for (size_t i = 0; udp && i < RF_PORT_REPLIES_KEPT; i++)
		if (own->replies[i] == e->inode && e->inode)
			return true;
	return false;
}

static int read_table(const char *dir, const char *name, bool udp, const struct rf_ip *at, const struct rf_port_sockets *own,
		      uint64_t *words)
{
	char path[128], line[512];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *f = fopen(path, "re");
	if (!f)
		return RF_E_IO;
	while (fgets(line, sizeof line, f)) {
		struct entry e;
		if (read_entry(line, &e) && (udp ? e.state == CLOSED && !e.far_port : e.state == LISTENS) && receives_at(&e.ip, at) &&
		    !is_own(own, &e, udp))
			words[e.port / 64] |= 1ull << e.port % 64;
	}
	int r = ferror(f) ? RF_E_IO : RF_OK;
	fclose(f);
	return r;
}

int rf_ports_taken(const char *dir, const struct rf_ip *at, const struct rf_port_sockets *own, uint64_t words[2 * 1024])
{
	memset(words, 0, 2 * 1024 * sizeof *words);
	int r = read_table(dir, "tcp", false, at, own, words);
	if (r == RF_OK)
		r = read_table(dir, "udp", true, at, own, words + 1024);
	read_table(dir, "tcp6", false, at, own, words); /* a machine may have no IPv6 */
	read_table(dir, "udp6", true, at, own, words + 1024);
	return r;
}
