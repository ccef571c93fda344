/* A CA in memory for the targets that need one to answer: made once, in a folder that is removed at once. */
#pragma once
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "pki/ca.h"

#define NOW 1790000000

static inline struct rf_ca *fuzz_ca(void)
{
	static struct rf_ca *ca;
	static const char *const FILES[] = { "root.key", "root.crt", "intermediate.key", "intermediate.crt" };
	char dir[] = "/tmp/rf-fuzz-XXXXXX", path[64];
	struct rf_err e;
	if (ca || !mkdtemp(dir))
		return ca;
	if (rf_ca_open(&(struct rf_ca_conf){ .dir = dir }, NOW, &ca, &e) != RF_OK)
		abort();
	for (size_t i = 0; i < 4; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, FILES[i]);
		unlink(path);
	}
	rmdir(dir);
	return ca;
}
