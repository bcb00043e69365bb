/* SPDX-License-Identifier: Apache-2.0 */
/* slow - see slow.h. */
#include "dataplane/slow.h"

void
slow_turn(struct slow *slow, uint64_t now_ms)
{
	if (now_ms - slow->window_start_ms < SLOW_WINDOW_MS)
		return;
	/* After a pause there is no last window. */
	if (now_ms - slow->window_start_ms < 2 * SLOW_WINDOW_MS)
		slow->before = slow->now;
	else
		slow->before.count = 0;
	slow->now.count = 0;
	slow->window_start_ms = now_ms;
}

static uint32_t
fastest_of(const struct slow_window *window)
{
	uint32_t fastest = 0;

	for (uint32_t i = 1; i < window->count; i++)
		if (window->request[i].total_ns <
		    window->request[fastest].total_ns)
			fastest = i;
	return fastest;
}

struct slow_request *
slow_place(struct slow *slow, uint64_t now_ms, uint64_t total_ns)
{
	struct slow_window *window = &slow->now;
	struct slow_request *place;

	slow_turn(slow, now_ms);
	if (window->count < SLOW_PLACES) {
		place = &window->request[window->count++];
	} else {
		place = &window->request[window->fastest];
		if (total_ns <= place->total_ns)
			return NULL;
	}
	*place = (struct slow_request){.total_ns = total_ns};
	window->fastest = fastest_of(window);
	return place;
}
