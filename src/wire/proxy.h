/* wire/proxy: the PROXY protocol, versions 1 and 2 (the specification of HAProxy, 2.1 to 2.3). */
#pragma once
#include "base/buf.h"
#include "base/ip.h"

enum rf_proxy_kind {
	RF_PROXY_UNKNOWN, /* no addresses: use those of the connection */
	RF_PROXY_TCP,
	RF_PROXY_UDP,
	RF_PROXY_UNIX_STREAM,
	RF_PROXY_UNIX_DGRAM
};

enum { RF_PROXY_SSL = 1, RF_PROXY_CERT_CONN = 2, RF_PROXY_CERT_SESS = 4 }; /* bits of ssl_client */

struct rf_proxy {
	size_t size;            /* bytes of the header; the payload starts there */
	uint8_t version;        /* 1 or 2 */
	bool local;             /* LOCAL: a health check of the proxy itself */
	enum rf_proxy_kind kind;
	struct rf_ip src, dst;  /* family 0 for UNKNOWN and Unix sockets */
	uint16_t src_port, dst_port;
	struct rf_str src_path, dst_path; /* Unix sockets; abstract ones start with NUL */
	/* Type-length-values of version 2; p NULL where absent. */
	struct rf_str alpn, authority, unique_id, netns;
	bool has_ssl, checked;  /* checked: a CRC32C was there and right */
	uint8_t ssl_client;     /* RF_PROXY_SSL and so on */
	uint32_t ssl_verify;    /* 0: the client's certificate was verified */
	struct rf_str ssl_version, ssl_cn, ssl_cipher, ssl_sig, ssl_key;
	struct rf_str ski, device; /* ours, to be built; a parsed header has them in `tlvs` only */
	struct rf_str tlvs;     /* all of them, for rf_proxy_tlv_next */
};

/* Of the types that are free for own use [2.2.7], ours: text that tells an origin whose connection it is. */
enum {
	RF_PROXY_TLV_SKI = 0xe0,    /* subject key identifier of the client's certificate, upper-case hex */
	RF_PROXY_TLV_DEVICE = 0xe1, /* id of the device */
};

/* Parse a header at the start of `in`. RF_OK; RF_E_AGAIN when it is incomplete; RF_E_SYNTAX when no
 * header is there; RF_E_INVALID when it is broken or its checksum is wrong; RF_E_TOO_LARGE;
 * RF_E_UNSUPPORTED for versions and commands that do not exist. *ret borrows from `in`. */
int rf_proxy_parse(struct rf_str in, struct rf_proxy *ret);

/* Append a version 2 header with the addresses, alpn, authority, unique_id, ssl, ski and device parts of *p (netns and
 * other TLVs are left out), with a CRC32C where p->checked. RF_E_INVALID when addresses do not fit the kind; RF_E_NOMEM. */
int rf_proxy_build(const struct rf_proxy *p, struct rf_buf *out);
/* Append a version 1 line with the addresses of *p: TCP4, TCP6 (where one of the two is IPv6, with the other mapped), or
 * UNKNOWN for all other kinds and LOCAL. RF_E_INVALID for TCP without addresses; RF_E_NOMEM. */
int rf_proxy_build_line(const struct rf_proxy *p, struct rf_buf *out);

/* The next type-length-value of *rest; false at the end (or when it is cut short, which parsed headers are not). */
bool rf_proxy_tlv_next(struct rf_str *rest, uint8_t *ret_type, struct rf_str *ret_value);

/* CRC32C of p[0..n), continuing from `crc` (0 at the start) [RFC 9260 appendix A]. */
uint32_t rf_crc32c(uint32_t crc, const void *p, size_t n);
