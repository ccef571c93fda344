/* Any bytes as the sealed policy of the engine, and as its addresses of devices: what is taken becomes commands of nothing but numbers and our own words. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "monitor/nft_homes.h"
#include "monitor/nft_policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A head is mostly zeros: the input has its first bytes, then the rules. */
static int policy(const uint8_t *data, size_t size)
{
	static const size_t start = offsetof(struct rf_nft_head, reflect);
	struct rf_nft_head head = { 0 };
	size_t n = size < start ? size : start;
	int fd = memfd_create("policy", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	if (fd < 0)
		abort();
	for (size_t i = 0; i < n; i++)
		((uint8_t *)&head)[i] = data[i];
	head.ban[0] = 1ull << 23;
	if (write(fd, &head, size < start ? n : sizeof head) < 0 || write(fd, data + n, size - n) != (ssize_t)(size - n) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW))
		abort();
	return fd;
}

static void plain(const struct rf_buf *text)
{
	for (size_t i = 0; i < text->n; i++)
		if ((unsigned char)text->p[i] >= 0x7f || (text->p[i] < ' ' && text->p[i] != '\n' && text->p[i] != '\t'))
			abort();
}

static void homes(const uint8_t *data, size_t size)
{
	struct rf_nft_homes h;
	struct rf_err e = { 0 };
	int fd = memfd_create("homes", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size || fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW))
		abort();
	if (rf_nft_homes_read(fd, &h, &e) == RF_OK) {
		RF_BUF_AUTO text = { 0 };
		rf_nft_homes_text(&h, &text);
		plain(&text);
		rf_nft_homes_fini(&h);
	} else if (!e.text[0]) {
		abort();
	}
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rf_nft_policy p;
	struct rf_err e = { 0 };
	int fd = policy(data, size);
	if (rf_nft_policy_read(fd, &p, &e) == RF_OK) {
		RF_BUF_AUTO text = { 0 };
		rf_nft_policy_text(&p, 7, &text);
		if (text.bad || p.head.count > RF_NFT_RULES_MAX)
			abort();
		plain(&text);
		rf_nft_policy_fini(&p);
	} else if (!e.text[0]) {
		abort();
	}
	close(fd);
	homes(data, size);
	return 0;
}
