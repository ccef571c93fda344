/* net/hosts: the hosts file, read once (hosts(5)). */
#pragma once
#include "base/ip.h"

enum { RF_HOSTS_MAX = 256 * 1024 }; /* bytes of the file; what is beyond is not read */

struct rf_hosts {
	char *text;
	size_t n;
};

void rf_hosts_read(struct rf_hosts *h, const char *path); /* empty where it cannot be read */
/* Put at most `max` addresses of `name` (any case) to ret; their number. */
unsigned rf_hosts_find(const struct rf_hosts *h, struct rf_str name, struct rf_ip *ret, unsigned max);
void rf_hosts_fini(struct rf_hosts *h);
