/* device/pace: see pace.h. */
#include "device/pace.h"
#include <stdatomic.h>

/* From `was`: when it is paid for then; *ret_wait_ns is 0 where it may. */
static uint64_t next(uint64_t was, uint64_t cost, uint32_t burst, uint64_t now, uint64_t *ret_wait_ns)
{
	uint64_t room;
	if (__builtin_mul_overflow(cost, burst ? burst : 1, &room) || room > UINT64_MAX / 2)
		room = UINT64_MAX / 2;
	uint64_t ahead = was > now ? was - now : 0;
	if (ahead > room)
		ahead = room;
	bool may = ahead <= room - cost;
	*ret_wait_ns = may ? 0 : ahead - (room - cost);
	return now + ahead + (may ? cost : 0);
}

int rf_pace_take(_Atomic uint64_t *paid, uint64_t cost_ns, uint32_t burst, uint64_t now_ns, uint64_t *ret_wait_ns)
{
	uint64_t was = atomic_load_explicit(paid, memory_order_relaxed), wait, then;
	do
		then = next(was, cost_ns, burst, now_ns, &wait);
	while (!atomic_compare_exchange_weak_explicit(paid, &was, then, memory_order_relaxed, memory_order_relaxed));
	if (!wait)
		return RF_OK;
	*ret_wait_ns = wait;
	return RF_E_RATE;
}

int rf_pace_look(const _Atomic uint64_t *paid, uint64_t cost_ns, uint32_t burst, uint64_t now_ns, uint64_t *ret_wait_ns)
{
	uint64_t wait;
	next(atomic_load_explicit(paid, memory_order_relaxed), cost_ns, burst, now_ns, &wait);
	if (!wait)
		return RF_OK;
	*ret_wait_ns = wait;
	return RF_E_RATE;
}
