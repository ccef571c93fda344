/* wire/guard: the walk from frame to frame that all protocols share.
 *
 *   head of a frame -> its size -> that many bytes pass -> the next head
 *
 * Not here: what a head looks like (guard_ssh, guard_mqtt, guard_modbus, guard_dns, guard_tls).
 */
#include "wire/guard_int.h"

static int guard_none(struct rf_guard *g, struct rf_str in, uint64_t *ret_size)
{
	(void)g, (void)in;
	*ret_size = GUARD_ALL;
	return RF_OK;
}

static const struct {
	const char *name;
	int (*head)(struct rf_guard *g, struct rf_str in, uint64_t *ret_size);
} kinds[RF_GUARDS] = {
	[RF_GUARD_NONE] = { "", guard_none },
	[RF_GUARD_SSH] = { "ssh", guard_ssh },
	[RF_GUARD_MQTT] = { "mqtt", guard_mqtt },
	[RF_GUARD_MODBUS] = { "modbus", guard_modbus },
	[RF_GUARD_DNS] = { "dns", guard_dns },
	[RF_GUARD_TLS] = { "tls", guard_tls },
};

const char *rf_guard_name(enum rf_guard_kind kind)
{
	return kinds[kind].name;
}

int rf_guard_feed(struct rf_guard *g, struct rf_str in, size_t *ret_pass)
{
	size_t at = 0;
	int r = RF_OK;
	while (at < in.n) {
		if (!g->left) { /* a head that is refused leaves it 0 */
			struct rf_str rest = rf_str_skip(in, at);
			r = kinds[g->kind].head(g, rest, &g->left);
			if (r == RF_E_AGAIN && rest.n >= RF_GUARD_HELD)
				r = guard_bad(g, "the head of a frame is larger than any sane one");
			if (r)
				break;
			g->frames++;
		}
		size_t n = g->left < in.n - at ? (size_t)g->left : in.n - at;
		at += n;
		g->left -= g->left == GUARD_ALL ? 0 : n;
	}
	*ret_pass = at;
	return r == RF_E_AGAIN ? RF_OK : r;
}
