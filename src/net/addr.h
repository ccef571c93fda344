/* net/addr: socket addresses as text and as values of base/ip.
 *
 * Text: "127.0.0.1:8443", "[::1]:443", "unix:/run/x.sock". No names: those are net/resolver's.
 */
#pragma once
#include "base/ip.h"
#include "loop/loop.h"

#define RF_ADDR_TEXT 128 /* longest text, with NUL */

bool rf_addr_parse(struct rf_str s, struct rf_addr *ret);
/* "none" for an address without length, "unix" for an unnamed Unix socket. */
char *rf_addr_str(const struct rf_addr *a, char to[RF_ADDR_TEXT]);

struct rf_addr rf_addr_of(const struct rf_ip *ip, uint16_t port); /* len 0 for an ip without family */
/* Family 0 for an address that is no IP address; IPv4-mapped IPv6 becomes IPv4. */
struct rf_ip rf_addr_ip(const struct rf_addr *a);
uint16_t rf_addr_port(const struct rf_addr *a); /* 0 for a Unix socket */
bool rf_addr_eq(const struct rf_addr *a, const struct rf_addr *b);
