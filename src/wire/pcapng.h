/* wire/pcapng: frames as a capture file that tcpdump and Wireshark read [draft-ietf-opsawg-pcapng]. Writing only. */
#pragma once
#include "base/buf.h"

/* What the file begins with: one interface of Ethernet, times in nanoseconds, frames cut at `most` bytes. */
void rf_pcapng_begin(struct rf_buf *to, uint32_t most);
/* One frame: its time since 1970, its size, the bytes of it that are there, and a comment ("": none). */
void rf_pcapng_frame(struct rf_buf *to, int64_t at_ns, uint32_t size, struct rf_str bytes, struct rf_str comment);
