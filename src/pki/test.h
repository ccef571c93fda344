/* pki/test: what the tests of this folder share. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/buf.h"
#include "base/err.h"
#include "pki/ca.h"
#include "pki/file.h"

#define NOW 1790000000 /* 2026-09-21 */

static struct rf_err err;
static char dir[64];

__attribute__((unused)) static const char *in_dir(const char *file)
{
	static char path[4][128];
	static unsigned turn;
	char *to = path[turn++ % 4];
	snprintf(to, sizeof path[0], "%s/%s", dir, file);
	return to;
}

__attribute__((unused)) static void make_dir(void)
{
	snprintf(dir, sizeof dir, "/tmp/rf-pki-XXXXXX");
	assert_non_null(mkdtemp(dir));
}

/* Run a shell command in `dir`; its exit status. */
__attribute__((unused, format(printf, 1, 2))) static int run(const char *fmt, ...)
{
	char cmd[2048];
	int n = snprintf(cmd, sizeof cmd, "cd %s && { ", dir);
	va_list ap;
	va_start(ap, fmt);
	n += vsnprintf(cmd + n, sizeof cmd - (size_t)n, fmt, ap);
	va_end(ap);
	snprintf(cmd + n, sizeof cmd - (size_t)n, "; } >out 2>&1");
	return system(cmd);
}

__attribute__((unused)) static void remove_dir(void)
{
	char cmd[128];
	snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
	assert_int_equal(system(cmd), 0);
}

__attribute__((unused)) static struct rf_buf slurp(const char *file)
{
	struct rf_buf b = { 0 };
	assert_int_equal(rf_file_get(in_dir(file), 1 << 24, false, &b, &err), RF_OK);
	return b;
}

__attribute__((unused)) static void spill(const char *file, struct rf_str s)
{
	assert_int_equal(rf_file_put(in_dir(file), 0644, s, &err), RF_OK);
}

__attribute__((unused)) static struct rf_ca *open_ca(const char *sub, const char *base_url)
{
	struct rf_ca *ca = NULL;
	struct rf_ca_conf conf = { .dir = in_dir(sub), .base_url = base_url };
	int rc = rf_ca_open(&conf, NOW, &ca, &err);
	if (rc != RF_OK)
		print_error("%s\n", err.text);
	assert_int_equal(rc, RF_OK);
	return ca;
}
