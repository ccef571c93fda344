/* Ports and endpoints as people write them. Beliefs: a range is within 1..65535 and ascends; a protocol is a range behind its transport;
 * what is read of an endpoint stands in it, and reads the same written anew. */
#include <stdio.h>
#include <stdlib.h>
#include "wire/portspec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(belief) do { if (!(belief)) abort(); } while (0)

static void sound(struct rf_port_range r) { CHECK(r.low >= 1 && r.low <= r.high); }

static bool same(struct rf_port_range a, struct rf_port_range b) { return a.low == b.low && a.high == b.high; }

static void write_anew(const struct rf_endpoint *e)
{
	char text[4096];
	struct rf_endpoint again;
	bool six = rf_str_find(e->host, ':') < e->host.n;
	int n = snprintf(text, sizeof text, "%s://%s%.*s%s", e->udp ? "udp" : "tcp", six ? "[" : "", RF_ARG(e->host), six ? "]" : "");
	if (n < 0 || n + 16 > (int)sizeof text)
		return;
	if (e->ports.low)
		n += snprintf(text + n, sizeof text - (size_t)n, ":%u-%u", e->ports.low, e->ports.high);
	CHECK(rf_endpoint_parse((struct rf_str){ text, (size_t)n }, &again));
	CHECK(again.udp == e->udp && rf_str_eq(again.host, e->host) && same(again.ports, e->ports));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rf_str in = { (const char *)data, size };
	struct rf_port_range r, behind;
	struct rf_endpoint e;
	bool udp;
	if (rf_port_range_parse(in, &r))
		sound(r);
	if (rf_protocol_parse(in, &udp, &r)) {
		sound(r);
		CHECK(rf_port_range_parse(rf_str_skip(in, 4), &behind) && same(r, behind));
	}
	if (rf_endpoint_parse(in, &e)) {
		CHECK(e.host.n && e.host.p >= in.p && e.host.p + e.host.n <= in.p + in.n);
		if (e.ports.low)
			sound(e.ports);
		write_anew(&e);
	}
	return 0;
}
