/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_PACKET_LINK_H
#define FALCONER_TESTS_PACKET_LINK_H

/*
 * link - an emulated wire between two ends, in real time.
 *
 * A direction has a rate with a queue in front (what does not fit is lost), a
 * delay, and chances of loss, corruption, duplication and reordering. A path
 * MTU smaller than the ends' own makes it answer larger packets as a router
 * does, with ICMP. Chance comes from one seeded generator.
 *
 * Context    one thread. Frames are copied.
 * Limits     memory only.
 */

#include <stdint.h>

/* Chances in thousandths of a frame. */
struct link_spec {
	uint32_t rate_mbit;
	uint32_t delay_us;
	uint32_t queue_bytes;
	uint32_t loss, corruption, duplication, reorder;
	uint32_t reorder_us; /* that a reordered frame is late */
	uint32_t path_mtu;   /* 0: the ends' */
};

struct link_counters {
	uint64_t frames, lost, queue_full, corrupted, duplicated, reordered;
	uint64_t too_big;
};

struct link;

/* Makes one; ends the program when there is no memory. */
struct link *link_create(const struct link_spec *spec, uint64_t seed);

/* Another wire from now on; what is on the way arrives as it would have.
 * seed    0: chance goes on as it was */
void link_change(struct link *link, const struct link_spec *spec,
		 uint64_t seed);

/* Frees it and what is on the way. */
void link_destroy(struct link *link);

/* Sends a frame from one end (0 or 1) to the other. */
void link_put(struct link *link, unsigned from, const uint8_t *frame,
	      uint32_t bytes, uint64_t now_ns);

/* Takes what has arrived at an end into `frame` (LINK_FRAME_MAX bytes);
 * returns its bytes, 0: nothing yet. */
uint32_t link_get(struct link *link, unsigned to, uint8_t *frame,
		  uint64_t now_ns);

/* When the next frame arrives anywhere; UINT64_MAX: none is on the way. */
uint64_t link_next_ns(const struct link *link);

/* What has happened so far. */
const struct link_counters *link_counters(const struct link *link);

#define LINK_FRAME_MAX 9100u

#endif
