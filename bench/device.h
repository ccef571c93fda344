#ifndef BENCH_DEVICE_H
#define BENCH_DEVICE_H

#include <openssl/ssl.h>
#include <stddef.h>

/* A device of the fleet: its certificate, key, and the newest session that a server gave it. */
struct device {
	X509 *cert;
	EVP_PKEY *key;
	SSL_SESSION *session;
};

struct fleet {
	struct device *devices;
	size_t count;
	STACK_OF(X509) *chain; /* the intermediate that every device presents */
};

/* Read `count` devices from `path` (PEM: key, certificate, key, certificate...), skipping the first
 * `first`, and the intermediate from `chain_path`. Ends the process with a message when it cannot. */
void fleet_load(struct fleet *fleet, const char *path, const char *chain_path, size_t first, size_t count);

#endif
