#ifndef BENCH_BODY_H
#define BENCH_BODY_H

/* What the origin answers and the generator expects: 128 bytes. */
#define BODY "{\"bench\":\"ringfence-origin\",\"pad\":\"0123456789abcdef0123456789abcdef0123456789abcdef" \
	     "0123456789abcdef0123456789abcdef0123456789a\"}"
#define BODY_LEN 128

/* What is asked for in bulk: so many times 'x'. */
#define BULK_PATH "/bulk"
#define BULK_LEN (1 << 20)

_Static_assert(sizeof(BODY) == BODY_LEN + 1, "the body has 128 bytes");

#endif
