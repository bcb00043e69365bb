/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_TOP_H
#define FALCONER_DATAPLANE_TOP_H

/*
 * top - who comes up most often: the heaviest names of a stream, in a fixed
 * number of places.
 *
 * Space-saving (Metwally, Agrawal, El Abbadi, 2005): a name that has a place
 * is counted there; one that has none takes the place with the lowest count
 * and inherits it as its possible excess. With n places every name above 1/n
 * of the whole is there, and `excess` bounds what a count has too much.
 *
 * Counts are of a window of time. The one before stays readable until the next
 * turn, so what is shown is always of a whole window.
 *
 * Context    one core.
 * Ownership  plain objects; zero is an empty one.
 * Limits     TOP_PLACES names a window; names are cut at TOP_NAME_BYTES, and
 *            cut names that agree so far count as one.
 * Cost       top_note(): a walk over the places' hashes, about 50 ns, no
 *            allocation; called for a sample of the requests only.
 */

#include <stdbool.h>
#include <stdint.h>

#define TOP_PLACES     48u
#define TOP_NAME_BYTES 160u

struct top_place {
	uint64_t hash;
	uint64_t weight; /* counted, at most `excess` of it for others */
	uint64_t excess;
	uint32_t bytes;
	bool is_cut;
	uint8_t name[TOP_NAME_BYTES];
};

struct top_window {
	uint32_t count;
	struct top_place place[TOP_PLACES];
};

struct top {
	struct top_window now, before;
};

/* Counts a name `weight` times (> 0). bytes: any, the rest is cut off. */
void top_note(struct top *, const void *name, uint32_t bytes, uint64_t weight);
/* What was counted until now becomes `before`. */
void top_turn(struct top *);

#endif
