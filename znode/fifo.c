/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fifo - doubly linked segments of records. Invariant: a linked segment is
 * never empty, so front and back are one step away.
 */
#include "znode/fifo.h"

#include <stdlib.h>

static struct fifo_segment *
segment_take(struct fifo *fifo)
{
	struct fifo_segment *segment = fifo->spare;

	if (segment == NULL)
		return malloc(sizeof(*segment));
	fifo->spare = segment->next;
	fifo->spare_count--;
	return segment;
}

static void
segment_put(struct fifo *fifo, struct fifo_segment *segment)
{
	if (fifo->spare_count >= FIFO_SPARES_MAX) {
		free(segment);
		return;
	}
	segment->next = fifo->spare;
	fifo->spare = segment;
	fifo->spare_count++;
}

static void
segment_unlink(struct fifo *fifo, struct fifo_segment *segment)
{
	if (segment->prev != NULL)
		segment->prev->next = segment->next;
	else
		fifo->head = segment->next;
	if (segment->next != NULL)
		segment->next->prev = segment->prev;
	else
		fifo->tail = segment->prev;
	segment_put(fifo, segment);
}

void
fifo_clear(struct fifo *fifo)
{
	while (fifo->head != NULL)
		segment_unlink(fifo, fifo->head);
	fifo->count = 0;
}

void
fifo_free(struct fifo *fifo)
{
	fifo_clear(fifo);
	while (fifo->spare != NULL) {
		struct fifo_segment *segment = fifo->spare;

		fifo->spare = segment->next;
		free(segment);
	}
	fifo->spare_count = 0;
}

int
fifo_reserve(struct fifo *fifo, uint32_t count)
{
	FAL_ASSERT(count <= FIFO_RECORDS);
	if (fifo->tail != NULL && FIFO_RECORDS - fifo->tail->end >= count)
		return 0;
	if (fifo->spare != NULL)
		return 0;

	struct fifo_segment *segment = malloc(sizeof(*segment));

	if (segment == NULL)
		return FAL_ENOMEM;
	segment_put(fifo, segment);
	return 0;
}

struct fifo_segment *
fifo_extend(struct fifo *fifo)
{
	struct fifo_segment *tail = fifo->tail;
	struct fifo_segment *segment = segment_take(fifo);

	if (segment == NULL)
		return NULL;
	segment->first = 0;
	segment->end = 0;
	segment->next = NULL;
	segment->prev = tail;
	if (tail != NULL)
		tail->next = segment;
	else
		fifo->head = segment;
	fifo->tail = segment;
	return segment;
}

struct fifo_record *
fifo_front(struct fifo *fifo)
{
	return fifo->head == NULL ? NULL
				  : &fifo->head->record[fifo->head->first];
}

struct fifo_record *
fifo_back(struct fifo *fifo)
{
	return fifo->tail == NULL ? NULL
				  : &fifo->tail->record[fifo->tail->end - 1];
}

void
fifo_pop_front(struct fifo *fifo)
{
	FAL_ASSERT(fifo->count > 0);
	fifo->count--;
	if (++fifo->head->first == fifo->head->end)
		segment_unlink(fifo, fifo->head);
}

void
fifo_pop_back(struct fifo *fifo)
{
	FAL_ASSERT(fifo->count > 0);
	fifo->count--;
	if (--fifo->tail->end == fifo->tail->first)
		segment_unlink(fifo, fifo->tail);
}

struct fifo_record *
fifo_before(struct fifo_segment **segment, struct fifo_record *record)
{
	struct fifo_segment *at = *segment;

	if (record != &at->record[at->first])
		return record - 1;
	at = at->prev;
	if (at == NULL)
		return NULL;
	*segment = at;
	return &at->record[at->end - 1];
}
