/* monitor/kernel: what this kernel gives (tbl/kernel.def), found out in one place; and what is withheld by shield.without, as if the
 * kernel had it not.
 */
#pragma once
#include "base/err.h"
#include "base/str.h"

enum rf_kernel_thing {
#define RF_KERNEL(name, word, use, probe, arg, what) RF_KERNEL_##name,
#define RF_KERNEL_USE(name, what, instead)
#include "tbl/kernel.def"
#undef RF_KERNEL
#undef RF_KERNEL_USE
	RF_KERNEL_COUNT
};

enum rf_kernel_use {
#define RF_KERNEL(name, word, use, probe, arg, what)
#define RF_KERNEL_USE(name, what, instead) RF_KERNEL_FOR_##name,
#include "tbl/kernel.def"
#undef RF_KERNEL
#undef RF_KERNEL_USE
	RF_KERNEL_USES
};

struct rf_kernel {
	uint32_t missing;  /* a bit for each enum rf_kernel_thing that is not there */
	uint32_t withheld; /* those that shield.without names; they are missing as well */
};

/* Look for what these uses need (a bit for each enum rf_kernel_use); of all others, and of what only its use can tell, nothing is missing
 * but what is withheld. Needs privileges. */
void rf_kernel_probe(unsigned uses, uint32_t withheld, struct rf_kernel *ret);
/* RF_E_UNSUPPORTED, with the first thing that is missing for this use. */
int rf_kernel_gives(const struct rf_kernel *k, enum rf_kernel_use use, struct rf_err *e);

/* Words apart by ":" as bits. RF_E_UNKNOWN: *ret_bad is none. */
int rf_kernel_words(struct rf_str list, uint32_t *ret, struct rf_str *ret_bad);
const char *rf_kernel_word(enum rf_kernel_thing t);
enum rf_kernel_use rf_kernel_use_of(enum rf_kernel_thing t);
const char *rf_kernel_what(enum rf_kernel_use u);    /* "the kernel filter" */
const char *rf_kernel_instead(enum rf_kernel_use u); /* "nft filters" */
