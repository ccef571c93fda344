/* base/nlattr: attributes of a message of netlink, as the kernel sends them. */
#pragma once
#include <linux/netlink.h>
#include <stddef.h>

/* The attribute of this type among those of `n` bytes; NULL: none, or what is before it is broken. */
static inline const struct nlattr *rf_nlattr_find(const void *from, size_t n, unsigned type)
{
	for (const char *p = from; n >= sizeof(struct nlattr);) {
		const struct nlattr *a = (const void *)p;
		size_t step = NLA_ALIGN(a->nla_len);
		if (a->nla_len < sizeof *a || a->nla_len > n)
			return NULL;
		if ((a->nla_type & NLA_TYPE_MASK) == type)
			return a;
		if (step >= n)
			return NULL;
		p += step;
		n -= step;
	}
	return NULL;
}

static inline const void *rf_nlattr_value(const struct nlattr *a) { return (const char *)a + NLA_HDRLEN; }
static inline size_t rf_nlattr_length(const struct nlattr *a) { return a->nla_len - (size_t)NLA_HDRLEN; }
