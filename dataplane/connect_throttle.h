/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_CONNECT_THROTTLE_H
#define FALCONER_DATAPLANE_CONNECT_THROTTLE_H

/*
 * connect_throttle - how many ConnectRequests are let in.
 *
 * A bucket of tokens that refills by fill_count every fill_ms; a request takes
 * as many as its weight, and is turned away when there are fewer. On top, if
 * freeze_ms is given, a probability of being turned away at random (BLUE: Feng
 * et al., 1999): it rises while the bucket is empty and falls while the bucket
 * is nearly full, so that a crowd that keeps coming back is thinned out before
 * it empties the bucket again. Names and arithmetic are ZooKeeper's keys
 * connection_throttle_*.
 *
 * Context    one core.
 * Cost       a few dozen instructions, no allocation.
 * Source     client-protocol.md 7.10.
 */

#include <stdbool.h>
#include <stdint.h>

struct connect_throttle_options {
	uint32_t tokens_max; /* 0: everybody is let in */
	uint32_t fill_ms, fill_count;
	int64_t freeze_ms; /* -1: nobody is turned away at random */
	double drop_increase, drop_decrease;
	double decrease_ratio; /* of tokens_max: a deficit that is small */
	bool has_weights;      /* else each request weighs 1 */
	bool has_local;        /* new sessions are local ones */
	uint32_t weight_global, weight_local, weight_renew;
};

enum connect_kind { CONNECT_GLOBAL, CONNECT_LOCAL, CONNECT_RENEW };

struct connect_throttle {
	struct connect_throttle_options options;
	uint32_t tokens;
	uint64_t filled_ms, judged_ms;
	double drop; /* probability, 0..1 */
	uint64_t random_state;
};

/* seed  of the random turning away; any number */
void connect_throttle_init(struct connect_throttle *,
			   const struct connect_throttle_options *,
			   uint64_t now_ms, uint64_t seed);

/* May one more come in? Takes its tokens if so. */
bool connect_throttle_admit(struct connect_throttle *, enum connect_kind,
			    uint64_t now_ms);

/* Tokens that are missing from a full bucket. */
static inline uint32_t
connect_throttle_deficit(const struct connect_throttle *throttle)
{
	return throttle->options.tokens_max - throttle->tokens;
}

#endif
