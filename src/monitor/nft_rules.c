/* monitor/nft_rules: see nft_rules.h.
 *
 *   operation: looked at alone -> chains and counters added -> matches gathered until what ends them -> one rule of nft
 */
#include "monitor/nft_rules.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/ip.h"
#include "bpf/facts.h"
#include "bpf/filter.h"
#include "monitor/nft_policy.h"

enum { CHAIN_DIGITS = 5, KEY_DIGITS = 16 };

static const struct { const char *says; uint64_t most; unsigned family; } fields[RF_NFT_FIELDS] = {
	[RF_NFT_FAMILY] = { "meta protocol", 6, 0 }, [RF_NFT_PROTO] = { "meta l4proto", 255, 0 },
	[RF_NFT_SRC4] = { "ip saddr", UINT32_MAX, 4 }, [RF_NFT_DST4] = { "ip daddr", UINT32_MAX, 4 },
	[RF_NFT_SRC6] = { "ip6 saddr", UINT64_MAX, 6 }, [RF_NFT_DST6] = { "ip6 daddr", UINT64_MAX, 6 },
	[RF_NFT_LEN4] = { "ip length", 65535, 0 }, [RF_NFT_LEN6] = { "ip6 length", 65535, 0 },
	[RF_NFT_TTL4] = { "ip ttl", 255, 0 }, [RF_NFT_TTL6] = { "ip6 hoplimit", 255, 0 },
	[RF_NFT_IHL4] = { "ip hdrlength", 15, 0 }, [RF_NFT_NEXT6] = { "ip6 nexthdr", 255, 0 },
	[RF_NFT_NETWORK] = { "@nh", 0, 0 }, [RF_NFT_TRANSPORT] = { "@th", 0, 0 },
};

/* --- what is refused --- */

static bool bits_field(const struct rf_nft_op *o) { return o->field == RF_NFT_NETWORK || o->field == RF_NFT_TRANSPORT; }

static uint64_t all_of(const struct rf_nft_op *o) { return (1ull << 8 * o->bytes) - 1; }

static bool range_ok(const struct rf_nft_op *o)
{
	if (o->field >= RF_NFT_FIELDS)
		return false;
	if (bits_field(o) && (!o->bytes || o->bytes > RF_NFT_BITS_BYTES || o->at > RF_NFT_BITS_AT || !o->key || o->key > all_of(o)))
		return false;
	uint64_t most = bits_field(o) ? all_of(o) : fields[o->field].most;
	if (fields[o->field].family == 6)
		return o->from_hi < o->to_hi || (o->from_hi == o->to_hi && o->from <= o->until);
	if (o->field == RF_NFT_FAMILY && (o->from != o->until || (o->from != 4 && o->from != 6)))
		return false;
	return !o->from_hi && !o->to_hi && o->from <= o->until && o->until <= most;
}

static bool same_match(const struct rf_nft_op *a, const struct rf_nft_op *b)
{
	return a->field == b->field && a->bytes == b->bytes && a->at == b->at && a->key == b->key && a->field != RF_NFT_FAMILY;
}

static bool op_ok(const struct rf_nft_op *o, const struct rf_nft_op *before, uint32_t chains)
{
	switch (o->op) {
	case RF_NFT_CHAIN: case RF_NFT_GO: case RF_NFT_CALL:
		return o->to < chains;
	case RF_NFT_MATCH:
		return range_ok(o);
	case RF_NFT_RANGE:
		return range_ok(o) && before && (before->op == RF_NFT_MATCH || before->op == RF_NFT_RANGE) && same_match(before, o);
	case RF_NFT_HIT:
		return o->to < RF_PACKET_RULES && !(before && (before->op == RF_NFT_MATCH || before->op == RF_NFT_RANGE));
	default:
		return o->op < RF_NFT_OPS;
	}
}

/* The last match must lead somewhere. */
static bool ends_match(const struct rf_nft_op *o) { return o->op != RF_NFT_MATCH && o->op != RF_NFT_RANGE && o->op != RF_NFT_CHAIN; }

uint32_t rf_nft_rules_chains(const struct rf_nft_op *v, size_t n)
{
	uint32_t most = 0;
	for (size_t i = 0; i < n; i++)
		if (v[i].op == RF_NFT_CHAIN && v[i].to >= most && v[i].to < RF_NFT_CHAINS_MAX)
			most = v[i].to + 1;
	return most;
}

int rf_nft_rules_check(const struct rf_nft_op *v, size_t n, struct rf_err *e)
{
	uint32_t chains = rf_nft_rules_chains(v, n);
	bool open = false;
	if (n > RF_NFT_OPS_MAX || (n && (v[0].op != RF_NFT_CHAIN || v[0].to)))
		return rf_fail(e, RF_E_INVALID, "rules for nft are too many, or begin in no chain");
	for (size_t i = 0; i < n; i++) {
		bool match = v[i].op == RF_NFT_MATCH || v[i].op == RF_NFT_RANGE;
		if (v[i].unused || !op_ok(&v[i], i ? &v[i - 1] : NULL, chains) || (open && !match && !ends_match(&v[i])))
			return rf_fail(e, RF_E_INVALID, "operation %zu of the rules for nft is none", i);
		open = match;
	}
	return open ? rf_fail(e, RF_E_INVALID, "the rules for nft end within one") : RF_OK;
}

/* --- names --- */

const char *rf_nft_chain_name(uint32_t chain, char to[RF_NFT_NAME])
{
	snprintf(to, RF_NFT_NAME, "rules_%0*x", CHAIN_DIGITS, chain);
	return to;
}

const char *rf_nft_rule_name(uint64_t key, char to[RF_NFT_NAME])
{
	snprintf(to, RF_NFT_NAME, "rule_%0*llx", KEY_DIGITS, (unsigned long long)key);
	return to;
}

static bool named(struct rf_str name, struct rf_str first, size_t digits, uint64_t *ret)
{
	char text[RF_NFT_NAME], *end;
	if (!rf_str_starts(name, first) || name.n != first.n + digits)
		return false;
	memcpy(text, name.p + first.n, digits);
	text[digits] = 0;
	*ret = strtoull(text, &end, 16);
	return *end == 0;
}

bool rf_nft_rule_named(struct rf_str name, uint64_t *ret) { return named(name, RF_STR("rule_"), KEY_DIGITS, ret); }

bool rf_nft_chain_named(struct rf_str name, uint32_t *ret)
{
	uint64_t v = 0;
	bool is = named(name, RF_STR("rules_"), CHAIN_DIGITS, &v);
	if (is)
		*ret = (uint32_t)v;
	return is;
}

/* --- text --- */

void rf_nft_show_text(const struct rf_nft_shown *s, const char *chain, unsigned why, unsigned rule, unsigned kind, struct rf_buf *to)
{
	bool capture = kind == RF_SAMPLE_CAPTURE;
	unsigned rate = capture ? RF_NFT_CAPTURE_RATE : s->samples;
	if (!s->group || !rate)
		return;
	rf_buf_printf(to, "add rule " RF_NFT_TABLE " %s limit rate %u/second burst %u packets log prefix \"%u %u %u\" group %u snaplen %u\n", chain,
		rate, rate, why, rule, kind, s->group, capture ? RF_SAMPLE_BYTES : RF_SAMPLE_HEAD);
}

static void put_address(uint64_t hi, uint64_t lo, unsigned family, struct rf_buf *to)
{
	char text[RF_IP_TEXT];
	struct rf_ip ip = { .family = (uint8_t)family };
	for (int i = 0; i < 4 && family == 4; i++)
		ip.b[i] = (uint8_t)(lo >> (24 - 8 * i));
	for (int i = 0; i < 16 && family == 6; i++)
		ip.b[i] = (uint8_t)((i < 8 ? hi : lo) >> (56 - 8 * (i % 8)));
	rf_buf_printf(to, "%s", rf_ip_str(&ip, text));
}

static void put_value(const struct rf_nft_op *o, bool last, struct rf_buf *to)
{
	uint64_t hi = last ? o->to_hi : o->from_hi, lo = last ? o->until : o->from;
	if (o->field == RF_NFT_FAMILY)
		rf_buf_printf(to, lo == 4 ? "ip" : "ip6");
	else if (fields[o->field].family)
		put_address(hi, lo, fields[o->field].family, to);
	else
		rf_buf_printf(to, "%llu", (unsigned long long)lo);
}

static void put_range(const struct rf_nft_op *o, struct rf_buf *to)
{
	put_value(o, false, to);
	if (o->from_hi == o->to_hi && o->from == o->until)
		return;
	rf_buf_printf(to, "-");
	put_value(o, true, to);
}

/* A match with all its ranges; says how many operations that were. */
static size_t put_match(const struct rf_nft_op *v, size_t n, struct rf_buf *to)
{
	size_t count = 1;
	rf_buf_printf(to, " %s", fields[v->field].says);
	if (bits_field(v))
		rf_buf_printf(to, ",%u,%u", v->at * 8, v->bytes * 8u);
	if (bits_field(v) && v->key != all_of(v))
		rf_buf_printf(to, " & 0x%llx", (unsigned long long)v->key);
	while (count < n && v[count].op == RF_NFT_RANGE)
		count++;
	rf_buf_printf(to, count > 1 ? " { " : " ");
	for (size_t i = 0; i < count; i++) {
		rf_buf_printf(to, i ? ", " : "");
		put_range(&v[i], to);
	}
	rf_buf_printf(to, count > 1 ? " }" : "");
	return count;
}

static void put_hit(const struct rf_nft_op *o, bool blocks, const char *chain, const struct rf_nft_shown *s, struct rf_buf *to)
{
	char name[RF_NFT_NAME];
	unsigned why = blocks ? RF_DROP_RULE : RF_DROP_PASS;
	rf_buf_printf(to, "add rule " RF_NFT_TABLE " %s counter name \"%s\"\n", chain, rf_nft_rule_name(o->key, name));
	if (s->rule == o->to + 1)
		rf_nft_show_text(s, chain, why, o->to + 1, RF_SAMPLE_CAPTURE, to);
	if (o->flags & RF_NFT_SHOWN)
		rf_nft_show_text(s, chain, why, o->to + 1, RF_SAMPLE_RECORD, to);
}

static void put_verdict(const struct rf_nft_op *o, struct rf_buf *to)
{
	char name[RF_NFT_NAME];
	switch (o->op) {
	case RF_NFT_GO:
		rf_buf_printf(to, " goto %s\n", rf_nft_chain_name(o->to, name));
		return;
	case RF_NFT_CALL:
		rf_buf_printf(to, " jump %s\n", rf_nft_chain_name(o->to, name));
		return;
	default:
		rf_buf_printf(to, o->op == RF_NFT_RETURN ? " return\n" : o->op == RF_NFT_BLOCK ? " goto end_by_rule\n" : " goto after\n");
	}
}

static void add_names(const struct rf_nft_op *v, size_t n, struct rf_buf *to)
{
	char name[RF_NFT_NAME];
	uint32_t chains = rf_nft_rules_chains(v, n);
	for (uint32_t i = 0; i < chains; i++)
		rf_buf_printf(to, "add chain " RF_NFT_TABLE " %s\n", rf_nft_chain_name(i, name));
	for (size_t i = 0; i < n; i++)
		if (v[i].op == RF_NFT_HIT)
			rf_buf_printf(to, "add counter " RF_NFT_TABLE " %s\n", rf_nft_rule_name(v[i].key, name));
}

void rf_nft_rules_text(const struct rf_nft_op *v, size_t n, const struct rf_nft_shown *s, struct rf_buf *to)
{
	char chain[RF_NFT_NAME] = "";
	bool open = false; /* a rule of nft has begun */
	add_names(v, n, to);
	for (size_t i = 0; i < n;) {
		const struct rf_nft_op *o = &v[i];
		bool match = o->op == RF_NFT_MATCH;
		if (o->op == RF_NFT_CHAIN)
			rf_nft_chain_name(o->to, chain);
		else if (o->op == RF_NFT_HIT)
			put_hit(o, i + 1 < n && o[1].op == RF_NFT_BLOCK, chain, s, to);
		else {
			if (!open)
				rf_buf_printf(to, "add rule " RF_NFT_TABLE " %s", chain);
			i += match ? put_match(o, n - i, to) : 1;
			if (!match)
				put_verdict(o, to);
			open = match;
			continue;
		}
		i++;
	}
}
