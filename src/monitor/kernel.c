/* monitor/kernel: see kernel.h.
 *
 *   row of tbl/kernel.def -> its use is wanted? -> withheld? -> a small program or map of that kind, or a look into BTF -> a bit
 *
 * Not here: what follows from it (filter.c, gate.c, gate_nft.c, steering.c).
 */
#include "monitor/kernel.h"
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <unistd.h>
#include "monitor/pins.h"

enum probe { PROBE_PROGRAM, PROBE_MAP, PROBE_HELPER, PROBE_KFUNC, PROBE_MAPPED, PROBE_BTF, PROBE_USE };

static const struct { const char *word, *what; enum rf_kernel_use use; enum probe probe; int arg; } things[] = {
#define RF_KERNEL(name, word, use, probe, arg, what) { word, what, RF_KERNEL_FOR_##use, PROBE_##probe, arg },
#define RF_KERNEL_USE(name, what, instead)
#include "tbl/kernel.def"
#undef RF_KERNEL
#undef RF_KERNEL_USE
};

static const struct { const char *what, *instead; } uses_of[] = {
#define RF_KERNEL(name, word, use, probe, arg, what)
#define RF_KERNEL_USE(name, what, instead) { what, instead },
#include "tbl/kernel.def"
#undef RF_KERNEL
#undef RF_KERNEL_USE
};

_Static_assert(RF_KERNEL_COUNT <= 32, "a bit for each");

static bool has_mapped_arrays(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, o, .map_flags = BPF_F_MMAPABLE);
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "rf_probe", 4, 8, 1, &o);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool there(enum probe probe, int arg, const char *word, const struct btf *types)
{
	switch (probe) {
	case PROBE_PROGRAM: return libbpf_probe_bpf_prog_type((enum bpf_prog_type)arg, NULL) == 1;
	case PROBE_MAP: return libbpf_probe_bpf_map_type((enum bpf_map_type)arg, NULL) == 1;
	case PROBE_HELPER: return libbpf_probe_bpf_helper(BPF_PROG_TYPE_XDP, (enum bpf_func_id)arg, NULL) == 1;
	case PROBE_KFUNC: return types && btf__find_by_name_kind(types, word, BTF_KIND_FUNC) > 0;
	case PROBE_MAPPED: return has_mapped_arrays();
	case PROBE_BTF: return types != NULL;
	case PROBE_USE: return true;
	}
	return false;
}

void rf_kernel_probe(unsigned uses, uint32_t withheld, struct rf_kernel *ret)
{
	uint32_t missing = withheld;
	rf_pins_listen(); /* what is not there is no complaint */
	struct btf *types = uses >> RF_KERNEL_FOR_COOKIES & 1 ? btf__load_vmlinux_btf() : NULL;
	for (unsigned i = 0; i < RF_KERNEL_COUNT; i++)
		if (uses >> things[i].use & 1 && !(withheld >> i & 1) && !there(things[i].probe, things[i].arg, things[i].word, types))
			missing |= 1u << i;
	btf__free(types);
	*ret = (struct rf_kernel){ missing, withheld };
}

int rf_kernel_gives(const struct rf_kernel *k, enum rf_kernel_use use, struct rf_err *e)
{
	for (unsigned i = 0; i < RF_KERNEL_COUNT; i++) {
		if (things[i].use != use || !(k->missing >> i & 1))
			continue;
		return rf_fail(e, RF_E_UNSUPPORTED, k->withheld >> i & 1 ? "shield.without withholds %s" : "this kernel has no %s",
			k->withheld >> i & 1 ? things[i].word : things[i].what);
	}
	return RF_OK;
}

int rf_kernel_words(struct rf_str list, uint32_t *ret, struct rf_str *ret_bad)
{
	struct rf_str part;
	uint32_t bits = 0;
	while (rf_str_split(&list, ':', &part)) {
		unsigned i = 0;
		while (i < RF_KERNEL_COUNT && !rf_str_eq(part, rf_str_z(things[i].word)))
			i++;
		if (part.n && i == RF_KERNEL_COUNT) {
			*ret_bad = part;
			return RF_E_UNKNOWN;
		}
		bits |= part.n ? 1u << i : 0;
	}
	*ret = bits;
	return RF_OK;
}

const char *rf_kernel_word(enum rf_kernel_thing t) { return things[t].word; }
enum rf_kernel_use rf_kernel_use_of(enum rf_kernel_thing t) { return things[t].use; }
const char *rf_kernel_what(enum rf_kernel_use u) { return uses_of[u].what; }
const char *rf_kernel_instead(enum rf_kernel_use u) { return uses_of[u].instead; }
