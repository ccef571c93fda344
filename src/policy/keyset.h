/* policy/keyset: a set of small keys that one thread changes while others look, without a lock.
 *
 * A key is 1 to 3 words of 64 bits; the last one is never below KEYSET_MIN. Every look sees each key either in or out:
 * what was there before a change and is there after it is found throughout. Memory that is replaced goes after a
 * grace period (liburcu QSBR) once the set is shared, at once before. About 17 bytes for each word of a key, between
 * 11 and 32; an empty set takes 200 bytes. Private to policy.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KEYSET_WORDS = 3, KEYSET_MIN = 2 };

struct keyset;

struct keyset *keyset_new(unsigned words); /* NULL without memory */
void keyset_free(struct keyset *t);        /* nobody looks any more */
/* From now on other threads, registered for QSBR, may look while this one changes it. */
void keyset_share(struct keyset *t);

int keyset_add(struct keyset *t, const uint64_t *key); /* RF_E_EXISTS; RF_E_NOMEM and nothing changed */
bool keyset_del(struct keyset *t, const uint64_t *key); /* false: it was not there */
bool keyset_has(const struct keyset *t, const uint64_t *key);
size_t keyset_count(const struct keyset *t);
size_t keyset_bytes(const struct keyset *t); /* all that it takes */
/* By the thread that changes it. */
void keyset_each(const struct keyset *t, void (*each)(const uint64_t *key, void *arg), void *arg);
