/* pki/file: small files that must be whole or absent. */
#pragma once
#include <sys/types.h>
#include "base/buf.h"
#include "base/err.h"

/* Replace `path` by `data`: temporary file beside it, fsync, rename, fsync of the folder. After a
 * crash at any instruction the old or the new content is there, never a part. One writer a path.
 * Errors: RF_E_DISK. */
int rf_file_put(const char *path, mode_t mode, struct rf_str data, struct rf_err *e);

/* Append the whole file to `to`, at most `bound` bytes. `secret`: refuse a file that its group or
 * others may read. Errors: RF_E_NOT_FOUND, RF_E_IO, RF_E_TOO_LARGE, RF_E_DENIED, RF_E_NOMEM. */
int rf_file_get(const char *path, size_t bound, bool secret, struct rf_buf *to, struct rf_err *e);

/* A buffer that held a key: wipe, then free. */
void rf_buf_wipe(struct rf_buf *b);
#define RF_SECRET_AUTO __attribute__((cleanup(rf_buf_wipe))) struct rf_buf
