/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring - creation and release; the moving parts are inline in base/ring.h.
 */
#include "base/ring.h"

#include <stdlib.h>

#include "base/bits.h"

int
ring_init(struct ring *ring, const char *name, uint32_t capacity)
{
	FAL_ASSERT(capacity >= 1 && capacity <= 1u << 22);

	/* rte_ring keeps one slot free unless RING_F_EXACT_SZ asks for more. */
	const uint32_t slots = (uint32_t)bits_pow2_at_least(capacity + 1);
	const ssize_t bytes = rte_ring_get_memsize(slots);

	FAL_ASSERT(bytes > 0);
	ring->impl = aligned_alloc(
		FAL_CACHE_LINE_BYTES,
		bits_align_up((uint64_t)bytes, FAL_CACHE_LINE_BYTES));
	if (ring->impl == NULL)
		return FAL_ENOMEM;
	if (rte_ring_init(ring->impl, name, slots,
			  RING_F_SP_ENQ | RING_F_SC_DEQ) != 0) {
		ring_free(ring);
		return FAL_ENOMEM;
	}
	return FAL_OK;
}

void
ring_free(struct ring *ring)
{
	free(ring->impl);
	ring->impl = NULL;
}
