/* svc/client_facts: what rules can know about a client's connection, field by field, whatever service it is for.
 *
 * Each field is asked for at most once an evaluation, and only by rules that name it (policy/facts); so nothing is
 * prepared in advance. Texts are slices of the certificate or of the device; what must be made lives in the arena.
 */
#include "svc/front.h"
#include <netinet/tcp.h>
#include "base/enc.h"
#include "device/facts.h"
#include "tls/fingerprint.h"

enum { RFC9440_CERT = 10240, RFC9440_CHAIN = 16384, RANDOM_SEED = 16 };

typedef bool getter(struct rf_client *c, const struct rf_snap *s, struct rf_arena *a, enum rf_field f, struct rf_val *ret);

static bool give_str(struct rf_val *ret, struct rf_str s)
{
	*ret = rf_val_str(s);
	return true;
}

static bool give_z(struct rf_val *ret, const char *z)
{
	return give_str(ret, rf_str_z(z));
}

/* What the operator's databases say about an address. */
static bool geo(struct rf_client *c, const struct rf_snap *s, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	return rf_geo_fact(s->site->geo, rf_geo_of_dst(f) ? &c->dst : &c->src, f, a, ret);
}

static bool address(struct rf_client *c, const struct rf_snap *s, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	(void)s, (void)a;
	switch (f) {
	case RF_F_SSL: *ret = rf_val_bool(c->tls); return true;
	case RF_F_IP_SRC: *ret = rf_val_ip(c->src); return c->src.family;
	case RF_F_IP_DST: case RF_F_EDGE_IP: *ret = rf_val_ip(c->dst); return c->dst.family;
	case RF_F_TCP_SRCPORT: *ret = rf_val_int(c->src_port); return true;
	case RF_F_TCP_DSTPORT: case RF_F_EDGE_PORT: *ret = rf_val_int(c->dst_port); return true;
	default: return false;
	}
}

/* TCP_INFO as the kernel gives it, which knows more than the C library's header. */
struct kernel_tcp_info {
	struct tcp_info known;                                 /* 104 bytes */
	uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
	uint32_t segs_out, segs_in, notsent_bytes, min_rtt, data_segs_in, data_segs_out;
	uint64_t delivery_rate;
};
_Static_assert(offsetof(struct kernel_tcp_info, delivery_rate) == 160, "layout of the kernel's tcp_info");

static bool edge(struct rf_client *c, const struct rf_snap *s, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	struct tcp_info t;
	struct kernel_tcp_info k;
	socklen_t n = sizeof t, kn = sizeof k;
	switch (f) {
	case RF_F_RAY_ID:
		return give_str(ret, rf_arena_printf(a, "%016llx", (unsigned long long)c->id));
	case RF_F_RANDOM_SEED: {
		uint64_t two[RANDOM_SEED / 8] = { rf_front_id(c->front), rf_front_id(c->front) };
		return give_str(ret, rf_arena_dup(a, (struct rf_str){ (const char *)two, sizeof two }));
	}
	case RF_F_CLIENT_TCP:
		*ret = rf_val_bool(true);
		return true;
	case RF_F_COLO_NAME:
		return give_str(ret, s->site->place_name);
	case RF_F_COLO_REGION:
		return give_str(ret, s->site->place_region);
	case RF_F_DELIVERY_RATE:
		if (getsockopt(c->stream.io.fd, IPPROTO_TCP, TCP_INFO, &k, &kn) ||
		    kn < offsetof(struct kernel_tcp_info, delivery_rate) + sizeof k.delivery_rate)
			return false;
		*ret = rf_val_int((int64_t)k.delivery_rate);
		return true;
	case RF_F_RTT_MSEC:
		if (getsockopt(c->stream.io.fd, IPPROTO_TCP, TCP_INFO, &t, &n) || n < offsetof(struct tcp_info, tcpi_rttvar))
			return false;
		*ret = rf_val_int(t.tcpi_rtt / 1000);
		return true;
	default: return false;
	}
}

/* The documented names of the suites of TLS 1.3. */
static const char *cipher_name(const char *openssl)
{
	static const char *const names[][2] = {
		{ "TLS_AES_128_GCM_SHA256", "AEAD-AES128-GCM-SHA256" },
		{ "TLS_AES_256_GCM_SHA384", "AEAD-AES256-GCM-SHA384" },
		{ "TLS_CHACHA20_POLY1305_SHA256", "AEAD-CHACHA20-POLY1305-SHA256" },
	};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(openssl, names[i][0]))
			return names[i][1];
	return openssl;
}

static bool client_random(struct rf_client *c, struct rf_arena *a, struct rf_val *ret)
{
	char hex[65], raw[32];
	struct rf_buf b = { 0 };
	rf_tls_client_random(&c->stream, hex);
	ssize_t n = rf_unhex(rf_str_z(hex), raw, sizeof raw);
	if (n <= 0)
		return false;
	rf_b64_add(&b, (struct rf_str){ raw, (size_t)n });
	struct rf_str s = rf_arena_dup(a, rf_buf_str(&b));
	rf_buf_fini(&b);
	return give_str(ret, s);
}

/* Absent where no rule asked for one when the connection was made. */
static bool fingerprint(struct rf_client *c, struct rf_arena *a, enum rf_print which, struct rf_val *ret)
{
	RF_BUF_AUTO b = { 0 };
	struct rf_str hello = rf_tls_hello(&c->stream);
	if (!hello.n || rf_tls_print(hello, which, &b) != RF_OK)
		return false;
	return give_str(ret, rf_arena_dup(a, rf_buf_str(&b)));
}

static bool tls(struct rf_client *c, const struct rf_snap *s, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	const struct rf_tls_info *i = rf_client_tls(c);
	(void)s;
	if (!i)
		return false;
	switch (f) {
	case RF_F_TLS_VERSION: return give_z(ret, i->version);
	case RF_F_TLS_CIPHER: return give_z(ret, cipher_name(i->cipher));
	case RF_F_TLS_SNI: return give_z(ret, i->sni);
	case RF_F_TLS_ALPN: return give_str(ret, rf_tls_alpn(&c->stream));
	case RF_F_TLS_RESUMED: *ret = rf_val_bool(i->resumed); return true;
	case RF_F_TLS_EARLY: *ret = rf_val_bool(i->early); return true;
	case RF_F_TLS_HELLO_LENGTH: *ret = rf_val_int(rf_tls_hello_length(&c->stream)); return true;
	case RF_F_TLS_RANDOM: return client_random(c, a, ret);
	case RF_F_JA3: return fingerprint(c, a, RF_PRINT_JA3, ret);
	case RF_F_JA4: return rf_tls_ja4(&c->stream).n && give_str(ret, rf_tls_ja4(&c->stream));
	case RF_F_TLS_CIPHERS_SHA1: return fingerprint(c, a, RF_PRINT_CIPHERS, ret);
	case RF_F_TLS_EXT_SHA1: return fingerprint(c, a, RF_PRINT_EXTENSIONS, ret);
	case RF_F_TLS_EXT_SHA1_LE: return fingerprint(c, a, RF_PRINT_EXTENSIONS_LE, ret);
	default: return false;
	}
}

static struct rf_str chain_9440(const struct rf_tls_peer *p, struct rf_arena *a)
{
	struct rf_str all = RF_STR("");
	for (size_t i = 0; i < p->chain_count && all.n <= RFC9440_CHAIN; i++) {
		struct rf_str one = rf_cert_rfc9440(p->chain[i], a);
		all = i ? rf_arena_printf(a, "%.*s, %.*s", RF_ARG(all), RF_ARG(one)) : one;
	}
	return all;
}

static bool capped(struct rf_val *ret, struct rf_str s, size_t cap)
{
	return give_str(ret, s.n > cap ? RF_STR("") : s);
}

static bool cert_text(const struct rf_cert *x, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	char time[RF_CERT_TIME];
	switch (f) {
	case RF_F_CERT_ISSUER_DN: case RF_F_CERT_ISSUER_2253: return give_str(ret, rf_cert_issuer(x, RF_DN_RFC2253, a));
	case RF_F_CERT_SUBJECT_DN: case RF_F_CERT_SUBJECT_2253: return give_str(ret, rf_cert_subject(x, RF_DN_RFC2253, a));
	case RF_F_CERT_ISSUER_LEGACY: return give_str(ret, rf_cert_issuer(x, RF_DN_LEGACY, a));
	case RF_F_CERT_SUBJECT_LEGACY: return give_str(ret, rf_cert_subject(x, RF_DN_LEGACY, a));
	case RF_F_CERT_SERIAL: return give_z(ret, x->serial);
	case RF_F_CERT_ISSUER_SERIAL: return give_z(ret, x->issuer_serial);
	case RF_F_CERT_SHA256: return give_z(ret, x->sha256);
	case RF_F_CERT_SHA1: return give_z(ret, x->sha1);
	case RF_F_CERT_NOT_BEFORE: return give_str(ret, rf_arena_dup(a, rf_str_z(rf_cert_time(x->not_before, time))));
	case RF_F_CERT_NOT_AFTER: return give_str(ret, rf_arena_dup(a, rf_str_z(rf_cert_time(x->not_after, time))));
	case RF_F_CERT_SKI: return give_z(ret, x->ski);
	case RF_F_CERT_ISSUER_SKI: return give_z(ret, x->issuer_ski);
	case RF_F_CERT_9440: return capped(ret, rf_cert_rfc9440(x, a), RFC9440_CERT);
	case RF_F_CERT_9440_LARGE: *ret = rf_val_bool(rf_cert_rfc9440(x, a).n > RFC9440_CERT); return true;
	default: return false;
	}
}

static bool cert(struct rf_client *c, const struct rf_snap *s, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	const struct rf_tls_info *i = rf_client_tls(c);
	const struct rf_tls_peer *p = i ? i->peer : NULL;
	(void)s;
	switch (f) {
	case RF_F_CERT_PRESENTED: *ret = rf_val_bool(p); return true;
	case RF_F_CERT_VERIFIED: *ret = rf_val_bool(i && i->verified); return true;
	case RF_F_CERT_REVOKED: *ret = rf_val_bool(i && i->verified && i->revoked); return true;
	case RF_F_CERT_STATUS:
		return give_z(ret, !p ? "none" : i->revoked ? "revoked" :
			      i->status == RF_CERT_VALID ? "valid" : "invalid");
	case RF_F_CERT_REASON: return give_z(ret, p ? i->reason : "");
	case RF_F_CHAIN_9440: return p && capped(ret, chain_9440(p, a), RFC9440_CHAIN);
	case RF_F_CHAIN_9440_LARGE: *ret = rf_val_bool(p && chain_9440(p, a).n > RFC9440_CHAIN); return true;
	default: return p && cert_text(p->cert, a, f, ret);
	}
}

static bool device(struct rf_client *c, const struct rf_snap *s, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	const struct rf_tls_info *i = rf_client_tls(c);
	if (f == RF_F_DEVICE_SKI)
		return c->device && i && i->peer && give_z(ret, i->peer->cert->ski);
	const struct rf_class *class = rf_client_class(c, s);
	return rf_device_fact(c->device, class ? class->name : RF_STR(""), a, f, ret);
}

static getter *const sources[RF_FIELD_COUNT] = {
	[RF_F_SSL] = address, [RF_F_IP_SRC] = address, [RF_F_IP_DST] = address, [RF_F_TCP_SRCPORT] = address,
	[RF_F_TCP_DSTPORT] = address, [RF_F_EDGE_IP] = address, [RF_F_EDGE_PORT] = address, [RF_F_RAY_ID] = edge,
	[RF_F_RANDOM_SEED] = edge, [RF_F_RTT_MSEC] = edge, [RF_F_DELIVERY_RATE] = edge, [RF_F_CLIENT_TCP] = edge,
	[RF_F_COLO_NAME] = edge, [RF_F_COLO_REGION] = edge, [RF_F_IP_ASN] = geo, [RF_F_IP_COUNTRY] = geo,
	[RF_F_IP_CONTINENT] = geo, [RF_F_IP_CITY] = geo, [RF_F_IP_LAT] = geo, [RF_F_IP_LON] = geo,
	[RF_F_IP_REGION] = geo, [RF_F_IP_REGION_CODE] = geo, [RF_F_IP_POSTAL] = geo, [RF_F_IP_TIMEZONE] = geo,
	[RF_F_IP_SUB1] = geo, [RF_F_IP_SUB2] = geo, [RF_F_IP_EU] = geo, [RF_F_IP_METRO] = geo,
	[RF_F_IP_DST_COUNTRY] = geo, [RF_F_TLS_VERSION] = tls, [RF_F_TLS_CIPHER] = tls, [RF_F_TLS_SNI] = tls,
	[RF_F_TLS_ALPN] = tls, [RF_F_TLS_RESUMED] = tls, [RF_F_TLS_EARLY] = tls, [RF_F_TLS_HELLO_LENGTH] = tls,
	[RF_F_TLS_RANDOM] = tls, [RF_F_JA3] = tls, [RF_F_JA4] = tls, [RF_F_TLS_CIPHERS_SHA1] = tls,
	[RF_F_TLS_EXT_SHA1] = tls, [RF_F_TLS_EXT_SHA1_LE] = tls, [RF_F_CERT_PRESENTED] = cert,
	[RF_F_CERT_VERIFIED] = cert, [RF_F_CERT_REVOKED] = cert, [RF_F_CERT_ISSUER_DN] = cert,
	[RF_F_CERT_SUBJECT_DN] = cert, [RF_F_CERT_ISSUER_2253] = cert, [RF_F_CERT_SUBJECT_2253] = cert,
	[RF_F_CERT_ISSUER_LEGACY] = cert, [RF_F_CERT_SUBJECT_LEGACY] = cert, [RF_F_CERT_SERIAL] = cert,
	[RF_F_CERT_ISSUER_SERIAL] = cert, [RF_F_CERT_SHA256] = cert, [RF_F_CERT_SHA1] = cert,
	[RF_F_CERT_NOT_BEFORE] = cert, [RF_F_CERT_NOT_AFTER] = cert, [RF_F_CERT_SKI] = cert,
	[RF_F_CERT_ISSUER_SKI] = cert, [RF_F_CERT_9440] = cert, [RF_F_CERT_9440_LARGE] = cert,
	[RF_F_CHAIN_9440] = cert, [RF_F_CHAIN_9440_LARGE] = cert, [RF_F_CERT_STATUS] = cert, [RF_F_CERT_REASON] = cert,
	[RF_F_DEVICE_KNOWN] = device, [RF_F_DEVICE_ID] = device, [RF_F_DEVICE_NAME] = device,
	[RF_F_DEVICE_CLASS] = device, [RF_F_DEVICE_MODEL] = device, [RF_F_DEVICE_FIRMWARE] = device,
	[RF_F_DEVICE_OWNER] = device, [RF_F_DEVICE_STATE] = device, [RF_F_DEVICE_TAGS] = device,
	[RF_F_DEVICE_SKI] = device, [RF_F_DEVICE_CREATED] = device,
};

bool rf_client_fact(struct rf_client *c, const struct rf_snap *snap, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	return sources[f] && sources[f](c, snap, a, f, ret);
}
