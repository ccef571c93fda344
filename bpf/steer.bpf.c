/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
 *
 * bpf/steer: the sk_lookup program: which of our sockets has a new connection, or a datagram, to an address and port.
 *
 *   a place of this address? -> is the port allowed and wanted there? -> the socket of the worker that the source hashes to
 *
 * Everything else goes the way it would go without us, also where no socket stands in the map: nobody serves then.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>
#include "steer.h"

#define INLINE static __inline __attribute__((always_inline))
#define FAMILY_V4 2 /* AF_INET */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rf_steer_conf);
} rf_steer_conf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RF_STEER_PLACES * RF_STEER_PLACE_WORDS);
	__type(key, __u32);
	__type(value, __u64);
} rf_steer_allowed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, RF_STEER_PLACES * RF_STEER_PLACE_WORDS);
	__type(key, __u32);
	__type(value, __u64);
} rf_steer_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, RF_STEER_GROUPS * RF_STEER_WORKERS);
	__type(key, __u32);
	__type(value, __u64);
} rf_steer_sockets SEC(".maps");

INLINE int here(const struct rf_steer_place *p, int v6, const __u32 ip[4])
{
	if (p->family != (v6 ? 6 : 4))
		return 0;
	return p->any || (p->ip[0] == ip[0] && p->ip[1] == ip[1] && p->ip[2] == ip[2] && p->ip[3] == ip[3]);
}

INLINE int open_at(__u32 place, __u32 udp, __u32 port)
{
	__u32 key = place * RF_STEER_PLACE_WORDS + udp * RF_STEER_PORT_WORDS + port / 64;
	const __u64 *allowed = bpf_map_lookup_elem(&rf_steer_allowed, &key), *wanted = bpf_map_lookup_elem(&rf_steer_ports, &key);
	return allowed && wanted && (*allowed & *wanted) >> port % 64 & 1;
}

/* As listeners spread their connections (net/listener), so that a device comes back to its worker. */
INLINE __u32 mix(__u32 h, __u32 word)
{
	return (h ^ word) * 0x9e3779b1u;
}

SEC("sk_lookup")
int rf_steer(struct bpf_sk_lookup *c)
{
	__u32 zero = 0, udp = c->protocol == IPPROTO_UDP, found = 0, h;
	int v6 = c->family != FAMILY_V4;
	__u32 ip[4] = { c->local_ip4, 0, 0, 0 };
	const struct rf_steer_conf *conf = bpf_map_lookup_elem(&rf_steer_conf, &zero);
	if (!conf || !conf->workers || (!udp && c->protocol != IPPROTO_TCP))
		return SK_PASS;
	if (v6) {
		ip[0] = c->local_ip6[0];
		ip[1] = c->local_ip6[1];
		ip[2] = c->local_ip6[2];
		ip[3] = c->local_ip6[3];
		h = mix(mix(mix(mix(0, c->remote_ip6[0]), c->remote_ip6[1]), c->remote_ip6[2]), c->remote_ip6[3]);
	} else {
		h = mix(0, c->remote_ip4);
	}
	for (__u32 i = 0; i < RF_STEER_PLACES && !found; i++)
		found = here(&conf->at[i], v6, ip) && open_at(i, udp, c->local_port);
	if (!found)
		return SK_PASS;
	__u32 key = ((v6 ? 2 : 0) + udp) * RF_STEER_WORKERS + (h >> 16) % conf->workers;
	struct bpf_sock *sk = bpf_map_lookup_elem(&rf_steer_sockets, &key);
	if (!sk)
		return SK_PASS;
	bpf_sk_assign(c, sk, BPF_SK_LOOKUP_F_NO_REUSEPORT);
	bpf_sk_release(sk);
	return SK_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
