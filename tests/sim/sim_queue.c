/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_queue - a binary heap in an array; children of i are 2i+1 and 2i+2.
 */
#include "sim_queue.h"

#include <stdlib.h>
#include <string.h>

#include "base/fal.h"

static bool
is_before(const struct sim_due *a, const struct sim_due *b)
{
	if (a->at_us != b->at_us)
		return a->at_us < b->at_us;
	return a->sequence < b->sequence;
}

void
sim_queue_put_again(struct sim_queue *queue, const struct sim_due *due)
{
	const struct sim_due one = *due;
	uint32_t at = queue->count;

	if (queue->count == queue->capacity) {
		queue->capacity = queue->capacity ? queue->capacity * 2 : 1024;
		queue->due = realloc(queue->due,
				     queue->capacity * sizeof(*queue->due));
		FAL_ASSERT(queue->due);
	}
	queue->count++;
	while (at > 0 && is_before(&one, &queue->due[(at - 1) / 2])) {
		queue->due[at] = queue->due[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	queue->due[at] = one;
}

void
sim_queue_put(struct sim_queue *queue, const struct sim_due *due)
{
	struct sim_due one = *due;

	one.sequence = queue->sequence++;
	sim_queue_put_again(queue, &one);
}

bool
sim_queue_take(struct sim_queue *queue, struct sim_due *out)
{
	uint32_t at = 0;

	if (queue->count == 0)
		return false;
	*out = queue->due[0];
	const struct sim_due last = queue->due[--queue->count];

	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child >= queue->count)
			break;
		if (child + 1 < queue->count &&
		    is_before(&queue->due[child + 1], &queue->due[child]))
			child++;
		if (!is_before(&queue->due[child], &last))
			break;
		queue->due[at] = queue->due[child];
		at = child;
	}
	if (queue->count > 0)
		queue->due[at] = last;
	return true;
}

void
sim_queue_clear(struct sim_queue *queue)
{
	queue->count = 0;
	queue->sequence = 0;
}

void
sim_queue_free(struct sim_queue *queue)
{
	free(queue->due);
	memset(queue, 0, sizeof(*queue));
}
