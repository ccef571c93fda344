/* bench/device: the fleet of the generator, read from the PEM files that bench/pki.py writes. */
#include "device.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(const char *what, const char *path)
{
	fprintf(stderr, "load: %s: %s\n", path, what);
	exit(1);
}

static FILE *open_file(const char *path)
{
	FILE *f = fopen(path, "r");
	if (!f)
		die("cannot be opened", path);
	return f;
}

static void skip(FILE *f, size_t devices)
{
	char line[256];
	while (devices && fgets(line, sizeof(line), f))
		devices -= !strncmp(line, "-----END CERTIFICATE", 20);
}

void fleet_load(struct fleet *fleet, const char *path, const char *chain_path, size_t first, size_t count)
{
	FILE *f = open_file(chain_path);
	X509 *intermediate = PEM_read_X509(f, NULL, NULL, NULL);
	fclose(f);
	fleet->chain = sk_X509_new_null();
	if (!intermediate || !sk_X509_push(fleet->chain, intermediate))
		die("holds no certificate", chain_path);
	fleet->devices = calloc(count, sizeof(*fleet->devices));
	if (!fleet->devices)
		die("out of memory", path);
	f = open_file(path);
	skip(f, first);
	for (fleet->count = 0; fleet->count < count; fleet->count++) {
		struct device *d = &fleet->devices[fleet->count];
		d->key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
		d->cert = PEM_read_X509(f, NULL, NULL, NULL);
		if (!d->key || !d->cert)
			die("holds fewer devices than asked for", path);
	}
	fclose(f);
}
