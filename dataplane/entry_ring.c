/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry_ring - positions of bytes and places only grow; an entry that would
 * cross the end of the byte ring starts at its beginning again.
 */
#include "dataplane/entry_ring.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

struct place {
	int64_t zxid;
	uint64_t at; /* position of its first byte */
	uint32_t bytes;
};

struct entry_ring {
	uint64_t byte_mask;
	uint32_t place_mask;
	uint64_t first, end; /* positions of places */
	uint64_t bytes_end;  /* position behind the newest entry */
	struct place *place;
	uint8_t *bytes;
};

int
entry_ring_create(uint64_t bytes, uint32_t places, struct entry_ring **out)
{
	FAL_ASSERT(bits_is_pow2(bytes) && bits_is_pow2(places));

	struct entry_ring *ring = calloc(1, sizeof(*ring));

	if (ring == NULL)
		return FAL_ENOMEM;
	ring->byte_mask = bytes - 1;
	ring->place_mask = places - 1;
	ring->place = malloc(places * sizeof(*ring->place));
	ring->bytes = malloc(bytes);
	if (ring->place == NULL || ring->bytes == NULL) {
		entry_ring_destroy(ring);
		return FAL_ENOMEM;
	}
	*out = ring;
	return FAL_OK;
}

void
entry_ring_destroy(struct entry_ring *ring)
{
	if (ring == NULL)
		return;
	free(ring->place);
	free(ring->bytes);
	free(ring);
}

void
entry_ring_clear(struct entry_ring *ring)
{
	ring->first = ring->end;
}

static const struct place *
place_at(const struct entry_ring *ring, uint64_t position)
{
	return &ring->place[position & ring->place_mask];
}

/* Where an entry of that size would begin. */
static uint64_t
begin_of(const struct entry_ring *ring, uint32_t bytes)
{
	const uint64_t size = ring->byte_mask + 1;
	const uint64_t in = ring->bytes_end & ring->byte_mask;

	return in + bytes <= size ? ring->bytes_end
				  : ring->bytes_end + size - in;
}

/* Does the oldest entry stand in the way of one that ends at `end`? */
static bool
is_in_the_way(const struct entry_ring *ring, uint64_t end)
{
	if (ring->first == ring->end)
		return false;
	return end - place_at(ring, ring->first)->at > ring->byte_mask + 1 ||
	       ring->end - ring->first > ring->place_mask;
}

bool
entry_ring_has_room(const struct entry_ring *ring, uint32_t bytes, int64_t keep)
{
	const uint64_t size = ring->byte_mask + 1;
	const uint64_t end = begin_of(ring, bytes) + bytes;

	if (bytes > size / 2)
		return false;
	if (ring->first == ring->end)
		return true;

	/* The oldest one that must stay. */
	const int64_t oldest = place_at(ring, ring->first)->zxid;
	uint64_t at = ring->first;

	if (keep >= oldest)
		at += (uint64_t)(keep - oldest) + 1;
	if (at >= ring->end)
		return true;
	return end - place_at(ring, at)->at <= size &&
	       ring->end - at <= ring->place_mask;
}

void
entry_ring_put(struct entry_ring *ring, int64_t zxid, const void *entry,
	       uint32_t bytes)
{
	const uint64_t begin = begin_of(ring, bytes);
	const uint64_t end = begin + bytes;

	FAL_ASSERT(bytes <= ring->byte_mask + 1);
	while (is_in_the_way(ring, end))
		ring->first++;
	FAL_ASSERT(ring->first == ring->end ||
		   place_at(ring, ring->end - 1)->zxid + 1 == zxid);
	ring->place[ring->end++ & ring->place_mask] =
		(struct place){.zxid = zxid, .at = begin, .bytes = bytes};
	memcpy(ring->bytes + (begin & ring->byte_mask), entry, bytes);
	ring->bytes_end = end;
}

const uint8_t *
entry_ring_find(const struct entry_ring *ring, int64_t zxid, uint32_t *bytes)
{
	if (ring->first == ring->end)
		return NULL;

	const int64_t oldest = place_at(ring, ring->first)->zxid;

	if (zxid < oldest ||
	    (uint64_t)(zxid - oldest) >= ring->end - ring->first)
		return NULL;

	const struct place *place =
		place_at(ring, ring->first + (uint64_t)(zxid - oldest));

	*bytes = place->bytes;
	return ring->bytes + (place->at & ring->byte_mask);
}
