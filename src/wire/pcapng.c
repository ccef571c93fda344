/* wire/pcapng: see pcapng.h. Numbers are in the byte order of this machine, which the magic of the first block tells. */
#include "wire/pcapng.h"

enum { SECTION = 0x0a0d0d0a, INTERFACE = 1, FRAME = 6, MAGIC = 0x1a2b3c4d, ETHERNET = 1 };
enum { OPTION_END = 0, OPTION_COMMENT = 1, OPTION_RESOLUTION = 9, NANOSECONDS = 9 };

static void put32(struct rf_buf *to, uint32_t v)
{
	rf_buf_add(to, (struct rf_str){ (const char *)&v, sizeof v });
}

static void put16(struct rf_buf *to, uint16_t v)
{
	rf_buf_add(to, (struct rf_str){ (const char *)&v, sizeof v });
}

static void padded(struct rf_buf *to, struct rf_str s)
{
	rf_buf_add(to, s);
	rf_buf_add(to, (struct rf_str){ "\0\0\0", (4 - s.n % 4) % 4 });
}

static uint32_t round4(size_t n) { return (uint32_t)(n + 3) & ~3u; }

void rf_pcapng_begin(struct rf_buf *to, uint32_t most)
{
	enum { SECTION_SIZE = 28, INTERFACE_SIZE = 32 };
	put32(to, SECTION);
	put32(to, SECTION_SIZE);
	put32(to, MAGIC);
	put16(to, 1); /* version 1.0 */
	put16(to, 0);
	put32(to, UINT32_MAX); /* the length of the section is not known */
	put32(to, UINT32_MAX);
	put32(to, SECTION_SIZE);
	put32(to, INTERFACE);
	put32(to, INTERFACE_SIZE);
	put16(to, ETHERNET);
	put16(to, 0);
	put32(to, most);
	put16(to, OPTION_RESOLUTION);
	put16(to, 1);
	padded(to, (struct rf_str){ (const char[]){ NANOSECONDS }, 1 });
	put32(to, OPTION_END);
	put32(to, INTERFACE_SIZE);
}

void rf_pcapng_frame(struct rf_buf *to, int64_t at_ns, uint32_t size, struct rf_str bytes, struct rf_str comment)
{
	uint32_t options = comment.n ? 8 + round4(comment.n) : 0, length = 32 + round4(bytes.n) + options;
	put32(to, FRAME);
	put32(to, length);
	put32(to, 0); /* of the one interface */
	put32(to, (uint32_t)((uint64_t)at_ns >> 32));
	put32(to, (uint32_t)at_ns);
	put32(to, (uint32_t)bytes.n);
	put32(to, size);
	padded(to, bytes);
	if (comment.n) {
		put16(to, OPTION_COMMENT);
		put16(to, (uint16_t)comment.n);
		padded(to, comment);
		put32(to, OPTION_END);
	}
	put32(to, length);
}
