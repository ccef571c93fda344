/* ctl/wall: see wall.h. */
#include "ctl/wall.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "bpf/filter.h"
#include "ctl/packets.h"
#include "ctl/private.h"
#include "monitor/client.h"
#include "monitor/nft_homes.h"
#include "monitor/nft_policy.h"
#include "records/log.h"
#include "shield/homes.h"
#include "shield/shield.h"

enum { STANDING = 32768 };

static struct rf_ip way_of_operator(const struct rf_ctl *c)
{
	const struct rf_boot_address *api = &c->boot->api_listen;
	static const uint8_t any[16];
	struct rf_ip ip = api->ip;
	if (memcmp(ip.b, any, sizeof any) == 0)
		ip.family = 0;
	return ip;
}

static void limits_of(const struct rf_boot *b, struct rf_shield_limits *ret)
{
	struct rf_str bad;
	*ret = (struct rf_shield_limits){ .source = b->shield_source, .prefix = b->shield_prefix, .target = b->shield_target,
		.syn = b->shield_syn, .cookies = (enum rf_shield_cookies)b->shield_cookies, .samples = (unsigned)b->shield_samples };
	rf_boot_reflection(b, ret->reflect, &bad);
	rf_boot_fleet_ports(b, ret->ban, &bad);
	rf_boot_fleet_scanned(b, ret->scan, &bad);
	rf_boot_fleet_networks(b, ret->fleet, sizeof ret->fleet / sizeof *ret->fleet, &ret->fleet_count, &bad);
}

/* --- nft --- */

static int add_rule(void *arg, const struct rf_prefix *at, enum rf_shield_mode mode)
{
	struct rf_buf *to = arg;
	struct rf_nft_rule r = { .family = at->ip.family, .bits = at->bits, .mode = mode == RF_SHIELD_DENY ? RF_NFT_DENY : RF_NFT_ALLOW };
	memcpy(r.address, at->ip.b, sizeof r.address);
	rf_buf_add(to, (struct rf_str){ (const char *)&r, sizeof r });
	return to->bad ? RF_E_NOMEM : RF_OK;
}

static int policy_of(const struct rf_ctl *c, struct rf_buf *to, struct rf_err *e)
{
	struct rf_shield_limits l;
	size_t ops;
	const struct rf_nft_op *op = rf_packets_ops(c, &ops);
	struct rf_ip way = way_of_operator(c);
	limits_of(c->boot, &l);
	struct rf_nft_head h = { .magic = RF_NFT_MAGIC, .source = l.source, .prefix = l.prefix, .target = l.target,
		.samples = l.samples, .cookies = (uint32_t)l.cookies, .syn = (uint32_t)l.syn, .ops = (uint32_t)ops, .capture_rule = c->priv->nft_capture.rule, .capture_why = c->priv->nft_capture.reasons,
		.spare_port = c->boot->api_listen.port, .spare_family = way.family };
	memcpy(h.spare, way.b, sizeof h.spare);
	memcpy(h.reflect, l.reflect, sizeof h.reflect);
	memcpy(h.ban, l.ban, sizeof h.ban);
	h.fleet_count = (uint32_t)l.fleet_count;
	for (size_t i = 0; i < l.fleet_count; i++) {
		h.fleet[i] = (struct rf_nft_net){ .family = l.fleet[i].ip.family, .bits = l.fleet[i].bits };
		memcpy(h.fleet[i].address, l.fleet[i].ip.b, sizeof h.fleet[i].address);
	}
	rf_buf_add(to, (struct rf_str){ (const char *)&h, sizeof h });
	int rc = rf_shield_each(c->shield, add_rule, to);
	if (rc != RF_OK || to->bad)
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	size_t n = (to->n - sizeof h) / sizeof(struct rf_nft_rule);
	if (n > RF_NFT_RULES_MAX)
		return rf_fail(e, RF_E_FULL, "nft takes at most %d prefixes, and access rules come to %zu", RF_NFT_RULES_MAX, n);
	h.count = (uint32_t)n;
	memcpy(to->p, &h, sizeof h);
	rf_buf_add(to, (struct rf_str){ (const char *)op, ops * sizeof *op });
	return to->bad ? rf_fail(e, RF_E_NOMEM, "memory is exhausted") : RF_OK;
}

static int sealed(struct rf_str text, struct rf_err *e)
{
	int fd = memfd_create("policy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ssize_t n = 1;
	while (fd >= 0 && text.n && (n = write(fd, text.p, text.n)) > 0)
		text = rf_str_skip(text, (size_t)n);
	if (fd >= 0 && !text.n && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	return -1;
}

static int publish(struct rf_ctl *c, struct rf_err *e)
{
	RF_BUF_AUTO policy = { 0 };
	uint64_t changes = rf_shield_changes(c->shield);
	int rc = policy_of(c, &policy, e);
	if (rc != RF_OK)
		return rc;
	int fd = sealed(rf_buf_str(&policy), e);
	if (fd < 0)
		return e->code;
	rc = rf_monitor_policy(c->priv->monitor_fd, fd, e);
	close(fd);
	if (rc == RF_OK)
		c->priv->nft_has = changes;
	c->priv->nft_given = true;
	return rc;
}

int rf_wall_rules(struct rf_ctl *c, struct rf_err *e) { return c->priv->nft_given ? publish(c, e) : RF_OK; }

int rf_wall_capture(struct rf_ctl *c, unsigned rule, uint64_t reasons, struct rf_err *e)
{
	rf_shield_capture(c->shield, rule, reasons);
	if (!c->priv->nft)
		return RF_OK;
	bool change = c->priv->nft_capture.rule != rule || c->priv->nft_capture.reasons != reasons;
	c->priv->nft_capture.rule = rule;
	c->priv->nft_capture.reasons = reasons;
	return change && c->priv->nft_given ? publish(c, e) : RF_OK;
}

static int homes_of(const struct rf_ctl *c, struct rf_buf *to)
{
	struct rf_homes_done *v = calloc(RF_NFT_HOMES_MAX, sizeof *v);
	size_t n = v ? rf_homes_done(rf_shield_homes(c->shield), v, RF_NFT_HOMES_MAX) : 0;
	for (size_t i = 0; i < n; i++) {
		uint32_t share = v[i].share < RF_NFT_SHARES ? v[i].share : RF_NFT_SHARES;
		struct rf_nft_home r = { .family = v[i].ip.family, .state = (uint8_t)v[i].state, .share = (uint8_t)share };
		memcpy(r.address, v[i].ip.b, sizeof r.address);
		rf_buf_add(to, (struct rf_str){ (const char *)&r, sizeof r });
	}
	free(v);
	return v && !to->bad ? RF_OK : RF_E_NOMEM;
}

void rf_wall_homes(struct rf_ctl *c)
{
	RF_BUF_AUTO homes = { 0 };
	struct rf_err e = { 0 };
	uint64_t changes = c->priv->nft ? rf_homes_changes(rf_shield_homes(c->shield)) : 0;
	if (!c->priv->nft_given || changes == c->priv->nft_homes)
		return;
	int rc = homes_of(c, &homes) == RF_OK ? RF_OK : rf_fail(&e, RF_E_NOMEM, "memory is exhausted");
	int fd = rc == RF_OK ? sealed(rf_buf_str(&homes), &e) : -1;
	if (fd >= 0) {
		rc = rf_monitor_homes(c->priv->monitor_fd, fd, &e);
		close(fd);
	} else
		rc = e.code;
	c->priv->nft_homes = changes;
	if (rc != RF_OK)
		rf_log(RF_LOG_ERROR, "shield", "nft does not hold devices as it should: %s", e.text);
}

int rf_wall_publish(struct rf_ctl *c, struct rf_err *e)
{
	return c->priv->nft && c->priv->nft_has != rf_shield_changes(c->shield) ? publish(c, e) : RF_OK;
}

static void count_all(const struct rf_ctl *c, int fd)
{
	struct rf_filter_counts now = { 0 };
	struct rf_nft_counted one;
	for (off_t at = 0; pread(fd, &one, sizeof one, at) == (ssize_t)sizeof one; at += (off_t)sizeof one)
		if (one.is_rule)
			rf_packets_told(c, one.key, one.frames, one.bytes);
		else if (one.why < RF_DROP_COUNT) {
			now.frames[one.why] = one.frames;
			now.bytes[one.why] = one.bytes;
		}
	rf_shield_told(c->shield, &now);
}

void rf_wall_count(const struct rf_ctl *c)
{
	struct rf_err e;
	int fd = -1;
	if (!c->priv->nft || rf_monitor_counts(c->priv->monitor_fd, &fd, &e) != RF_OK || fd < 0)
		return;
	count_all(c, fd);
	close(fd);
}

/* --- both --- */

void rf_wall_follow(struct rf_ctl *c)
{
	struct rf_shield_limits l;
	struct rf_ip way = way_of_operator(c);
	struct rf_err e;
	limits_of(c->boot, &l);
	rf_shield_limit(c->shield, &l);
	rf_shield_spare(c->shield, &way, c->boot->api_listen.port);
	if (!c->priv->nft)
		return;
	int rc = publish(c, &e);
	size_t ops;
	rf_packets_ops(c, &ops);
	if (rc != RF_OK && ops) { /* better without rules of packets than without anything */
		rf_log(RF_LOG_ERROR, "shield", "rules of packets are not in force: %s", e.text);
		rf_packets_without(c, e.text);
		rc = publish(c, &e);
	}
	if (rc != RF_OK)
		rf_log(RF_LOG_ERROR, "shield", "nft has not the policy that it should have; sources are refused when they connect: %s", e.text);
}

void rf_wall_gate(const struct rf_ctl *c, char to[RF_WALL_TEXT])
{
	struct rf_err unused;
	to[0] = 0;
	if (c->priv->monitor_fd >= 0)
		rf_monitor_gate(c->priv->monitor_fd, to, RF_WALL_TEXT, &unused);
}

/* Of what the filter does. */
static const char *const nft_lacks[] = {
	"kinds of floods of frames, and stops of what they consist of: an attack is named by the counter that it moves",
	"rates under spoofed sources: 65,536 sources at a time have theirs, further ones none",
	"scans, floods and bots of devices by their frames: fleet.networks are held to fleet.ports, devices that are throttled or in quarantine as such",
	"malformed frames, but for sources that no host has and TCP flags that no connection has",
};

static struct rf_str next_part(struct rf_str *line)
{
	struct rf_str part = { "", 0 };
	rf_str_split(line, '\t', &part);
	return part;
}

static json_t *text_of(struct rf_str *line)
{
	struct rf_str part = next_part(line);
	return json_stringn(part.p, part.n);
}

static void read_line(struct rf_str line, json_t *to)
{
	struct rf_str kind = next_part(&line);
	json_t *a = text_of(&line), *b = text_of(&line), *d = text_of(&line);
	if (rf_str_eq(kind, RF_STR("filter")))
		json_object_update_new(to, json_pack("{s:O, s:O}", "filter", a, "reason", b));
	else if (rf_str_eq(kind, RF_STR("interface")))
		json_array_append_new(json_object_get(to, "interfaces"), json_pack("{s:O, s:O, s:O}", "name", a, "mode", b, "reason", d));
	else if (rf_str_eq(kind, RF_STR("cookies")))
		json_object_update_new(to, json_pack("{s:O, s:O}", "syn_cookies", a, "syn_cookies_reason", b));
	else if (rf_str_eq(kind, RF_STR("missing")))
		json_array_append_new(json_object_get(to, "missing"), json_pack("{s:O, s:O, s:O}", "what", a, "for", b, "instead", d));
	json_decref(a);
	json_decref(b);
	json_decref(d);
}

json_t *rf_wall_standing(const struct rf_ctl *c)
{
	static char text[STANDING];
	struct rf_err e;
	int fd = -1;
	ssize_t n = 0;
	json_t *to = json_pack("{s:s, s:s, s:[], s:s, s:s, s:[], s:[]}", "filter", "none", "reason", "the monitor does not say", "interfaces",
		"syn_cookies", "off", "syn_cookies_reason", "", "missing", "lacks");
	if (c->priv->monitor_fd >= 0 && rf_monitor_standing(c->priv->monitor_fd, &fd, &e) == RF_OK && fd >= 0)
		n = pread(fd, text, sizeof text, 0);
	if (fd >= 0)
		close(fd);
	struct rf_str all = { text, n > 0 ? (size_t)n : 0 }, line;
	while (to && rf_str_split(&all, '\n', &line))
		read_line(line, to);
	for (size_t i = 0; to && c->priv->nft && i < sizeof nft_lacks / sizeof *nft_lacks; i++)
		json_array_append_new(json_object_get(to, "lacks"), json_string(nft_lacks[i]));
	return to;
}
