/* SPDX-License-Identifier: Apache-2.0 */
/*
 * top - space-saving over a flat table: with so few places a walk over the
 * hashes beats any linked structure.
 */
#include "dataplane/top.h"

#include <string.h>

#include "base/fal.h"
#include "base/hash.h"

/* A known key: whoever makes names collide pays for a longer walk with samples
 * of his own, of a list that helps nobody else. */
static uint64_t
hash_of(const uint8_t *name, uint32_t bytes)
{
	static const struct hash_key key = {
		{0x243f6a8885a308d3, 0x13198a2e03707344, 0xa4093822299f31d0,
		 0x082efa98ec4e6c89}};

	return hash_bytes(&key, name, bytes);
}

static struct top_place *
place_of(struct top_window *window, uint64_t hash, const void *name,
	 uint32_t bytes)
{
	for (uint32_t i = 0; i < window->count; i++) {
		struct top_place *place = &window->place[i];

		if (place->hash == hash && place->bytes == bytes &&
		    memcmp(place->name, name, bytes) == 0)
			return place;
	}
	return NULL;
}

static struct top_place *
lightest(struct top_window *window)
{
	struct top_place *found = &window->place[0];

	for (uint32_t i = 1; i < window->count; i++)
		if (window->place[i].weight < found->weight)
			found = &window->place[i];
	return found;
}

void
top_note(struct top *top, const void *name, uint32_t bytes, uint64_t weight)
{
	struct top_window *window = &top->now;
	const bool is_cut = bytes > TOP_NAME_BYTES;
	const uint32_t kept = is_cut ? TOP_NAME_BYTES : bytes;
	const uint64_t hash = hash_of(name, kept);
	struct top_place *place = place_of(window, hash, name, kept);
	uint64_t inherited = 0;

	FAL_ASSERT(weight > 0);
	if (place != NULL) {
		place->weight += weight;
		place->is_cut |= is_cut;
		return;
	}
	if (window->count < TOP_PLACES) {
		place = &window->place[window->count++];
	} else {
		place = lightest(window);
		inherited = place->weight;
	}
	place->hash = hash;
	place->weight = inherited + weight;
	place->excess = inherited;
	place->bytes = kept;
	place->is_cut = is_cut;
	memcpy(place->name, name, kept);
}

void
top_turn(struct top *top)
{
	top->before = top->now;
	top->now.count = 0;
}
