/* monitor/nft_homes: see nft_homes.h.
 *
 *   fleet: source in home4, home6? -> exempt: back, whatever it sends -> held: nothing leaves
 *                                  -> slow: `tries` (SYNs, datagrams, pings) and other frames, each with a rate for each device there
 */
#include "monitor/nft_homes.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/ip.h"
#include "bpf/filter.h"
#include "monitor/nft_policy.h"

enum { TRIES = 5, FRAMES = 100, BURST = 5 }; /* a second, for each device; as RF_HOME_ATTEMPT_NS and RF_HOME_FRAME_NS */

/* --- records --- */

static bool home_ok(const struct rf_nft_home *r)
{
	static const uint8_t zero[16];
	bool state = !r->state || r->state == RF_HOME_EXEMPT || r->state == RF_HOME_SLOW || r->state == RF_HOME_HELD;
	if (!state || r->unused || r->share < 1 || r->share > RF_NFT_SHARES)
		return false;
	return r->family == 6 || (r->family == 4 && memcmp(r->address + 4, zero, 12) == 0);
}

static int by_address(const void *a, const void *b)
{
	const struct rf_nft_home *x = a, *y = b;
	return x->family != y->family ? (int)x->family - (int)y->family : memcmp(x->address, y->address, sizeof x->address);
}

static int check(const struct rf_nft_homes *h, struct rf_err *e)
{
	for (size_t i = 0; i < h->n; i++)
		if (!home_ok(&h->v[i]))
			return rf_fail(e, RF_E_INVALID, "record %zu of addresses for nft is none", i);
	if (h->n)
		qsort(h->v, h->n, sizeof *h->v, by_address);
	for (size_t i = 1; i < h->n; i++)
		if (by_address(&h->v[i - 1], &h->v[i]) == 0)
			return rf_fail(e, RF_E_INVALID, "addresses for nft have one twice");
	return RF_OK;
}

int rf_nft_homes_read(int fd, struct rf_nft_homes *ret, struct rf_err *e)
{
	const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
	struct rf_nft_homes h = { NULL, 0 };
	struct stat st;
	int has = fd >= 0 ? fcntl(fd, F_GET_SEALS) : -1;
	if (has < 0 || (has & seals) != seals || fstat(fd, &st) != 0 || st.st_size % (off_t)sizeof *h.v)
		return rf_fail(e, RF_E_INVALID, "addresses for nft should come in a sealed file of whole records");
	h.n = (size_t)st.st_size / sizeof *h.v;
	if (h.n > RF_NFT_HOMES_MAX)
		return rf_fail(e, RF_E_TOO_LARGE, "nft is given at most %d addresses of devices", RF_NFT_HOMES_MAX);
	h.v = malloc((size_t)st.st_size + 1);
	if (!h.v)
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	int rc = pread(fd, h.v, (size_t)st.st_size, 0) == st.st_size ? check(&h, e) : rf_fail(e, RF_E_IO, "addresses for nft cannot be read");
	if (rc == RF_OK)
		*ret = h;
	else
		rf_nft_homes_fini(&h);
	return rc;
}

void rf_nft_homes_fini(struct rf_nft_homes *h)
{
	free(h->v);
	*h = (struct rf_nft_homes){ NULL, 0 };
}

static bool in(const struct rf_nft_homes *h, size_t n, const struct rf_nft_home *r)
{
	return bsearch(r, h->v, n, sizeof *h->v, by_address) != NULL;
}

int rf_nft_homes_merge(struct rf_nft_homes *h, const struct rf_nft_homes *left)
{
	size_t n = h->n, kept = 0;
	struct rf_nft_home *v = realloc(h->v, (n + left->n + 1) * sizeof *v);
	if (!v)
		return RF_E_NOMEM;
	h->v = v;
	for (size_t i = 0; i < left->n; i++)
		if (!in(h, n, &left->v[i]))
			v[h->n++] = left->v[i];
	for (size_t i = 0; i < h->n; i++)
		if (v[i].state)
			v[kept++] = v[i];
	h->n = kept;
	if (kept)
		qsort(v, kept, sizeof *v, by_address);
	return RF_OK;
}

bool rf_nft_homes_same(const struct rf_nft_homes *a, const struct rf_nft_homes *b)
{
	return a->n == b->n && (!a->n || memcmp(a->v, b->v, a->n * sizeof *a->v) == 0);
}

/* --- text --- */

#define T RF_NFT_TABLE

static void slow_chains(int family, unsigned share, struct rf_buf *to)
{
	const char *ip = family == 4 ? "ip" : "ip6", *type = family == 4 ? "ipv4_addr" : "ipv6_addr";
	static const char *const words[] = { "try", "sent" };
	for (size_t i = 0; i < 2; i++)
		rf_buf_printf(to, "add set " T " %s%dx%u { type %s; size 65536; flags dynamic,timeout; timeout 10s; }\nadd chain " T " %s%dx%u\n"
			"add rule " T " %s%dx%u update @%s%dx%u { %s saddr limit rate over %u/second burst %d packets } goto end_fleet\n", words[i],
			family, share, type, words[i], family, share, words[i], family, share, words[i], family, share, ip,
			(i ? FRAMES : TRIES) * share, BURST);
	rf_buf_printf(to, "add chain " T " slow%dx%u\nadd rule " T " slow%dx%u fib daddr . iif type local return\n"
		"add rule " T " slow%dx%u tcp dport @ban goto end_fleet_port\n", family, share, family, share, family, share);
	static const char *const tries[] = { "meta l4proto udp", "tcp flags & (syn | ack) == syn", NULL };
	for (size_t i = 0; i < 3; i++)
		rf_buf_printf(to, "add rule " T " slow%dx%u %s goto try%dx%u\n", family, share,
			tries[i] ? tries[i] : family == 4 ? "icmp type echo-request" : "icmpv6 type echo-request", family, share);
	rf_buf_printf(to, "add rule " T " slow%dx%u goto sent%dx%u\n", family, share, family, share);
}

void rf_nft_homes_chains(struct rf_buf *to)
{
	rf_buf_printf(to, "add chain " T " fleet\nadd chain " T " held\nadd rule " T " held fib daddr . iif type != local goto end_fleet\n");
	for (int family = 4; family <= 6; family += 2) {
		for (unsigned share = 1; share <= RF_NFT_SHARES; share++)
			slow_chains(family, share, to);
		rf_buf_printf(to, "add map " T " home%d { type %s : verdict; }\n", family, family == 4 ? "ipv4_addr" : "ipv6_addr");
	}
}

void rf_nft_homes_rules(struct rf_buf *to)
{
	rf_buf_printf(to, "add rule " T " fleet ip saddr vmap @home4\nadd rule " T " fleet ip6 saddr vmap @home6\n");
}

static void element(const struct rf_nft_home *r, struct rf_buf *to)
{
	char text[RF_IP_TEXT];
	struct rf_ip ip = { .family = r->family };
	memcpy(ip.b, r->address, sizeof ip.b);
	rf_buf_printf(to, "add element " T " home%d { %s : ", r->family, rf_ip_str(&ip, text));
	if (r->state == RF_HOME_SLOW)
		rf_buf_printf(to, "goto slow%dx%u }\n", r->family, r->share);
	else
		rf_buf_printf(to, r->state == RF_HOME_HELD ? "goto held }\n" : "return }\n");
}

void rf_nft_homes_text(const struct rf_nft_homes *h, struct rf_buf *to)
{
	rf_buf_printf(to, "flush map " T " home4\nflush map " T " home6\n");
	for (size_t i = 0; i < h->n; i++)
		element(&h->v[i], to);
}
