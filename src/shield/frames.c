/* shield/frames: see frames.h. The kernel's layout [linux/bpf.h, BPF_MAP_TYPE_RINGBUF]: a page with the consumer's position, a page with
 * the producer's, then the ring, mapped twice so that a record never wraps. A record is a header of 8 bytes (length with two
 * flags), and its bytes, rounded up to 8. All of ours are of one size: where another stands, another process has read beside us (two
 * may for a moment, while one takes over from the other), and reading goes on with what comes next.
 */
#include "shield/frames.h"
#include <linux/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

enum { HEADER = BPF_RINGBUF_HDR_SZ };

int rf_frames_init(struct rf_frames *f, int fd, size_t ring, size_t entry)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *taken = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	void *made = mmap(NULL, page + 2 * ring, PROT_READ, MAP_SHARED, fd, (off_t)page);
	*f = (struct rf_frames){ taken == MAP_FAILED ? NULL : taken, made == MAP_FAILED ? NULL : made, page, ring, entry };
	if (f->taken && f->made)
		return RF_OK;
	rf_frames_fini(f);
	return RF_E_NOMEM;
}

void rf_frames_fini(struct rf_frames *f)
{
	if (f->taken)
		munmap(f->taken, f->page);
	if (f->made)
		munmap((void *)(uintptr_t)f->made, f->page + 2 * f->ring);
	*f = (struct rf_frames){ 0 };
}

unsigned rf_frames_take(struct rf_frames *f, unsigned most, void (*each)(void *ctx, const void *entry), void *ctx)
{
	unsigned n = 0;
	if (!f->taken)
		return 0;
	uint64_t at = __atomic_load_n(f->taken, __ATOMIC_RELAXED), end = __atomic_load_n((const uint64_t *)(const void *)f->made, __ATOMIC_ACQUIRE);
	while (n < most && at < end) {
		const uint8_t *record = f->made + f->page + (at & (f->ring - 1));
		uint32_t length = __atomic_load_n((const uint32_t *)(const void *)record, __ATOMIC_ACQUIRE);
		size_t size = length & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
		if (size != f->entry) {
			at = UINT64_MAX;
			break;
		}
		if (length & BPF_RINGBUF_BUSY_BIT) /* it is being written */
			break;
		if (!(length & BPF_RINGBUF_DISCARD_BIT)) {
			each(ctx, record + HEADER);
			n++;
		}
		at += (size + HEADER + 7) & ~(size_t)7;
		__atomic_store_n(f->taken, at, __ATOMIC_RELEASE);
	}
	if (at > end) /* there is no entry here */
		__atomic_store_n(f->taken, end, __ATOMIC_RELEASE);
	return n;
}
