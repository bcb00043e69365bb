/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_FIFO_H
#define FALCONER_ZNODE_FIFO_H

/*
 * fifo - a queue of small records that also gives back from its young end.
 *
 * The undo list is popped at the front by publishing and at the back by
 * undoing; garbage waits in order of its zxid. Records lie in segments of 64
 * KiB, so growing never moves a record and never stalls; a few free segments
 * are kept, so that a steady load does not call malloc.
 *
 * Context    one owner thread at a time.
 * Ownership  records are the fifo's; pointers are good until they are popped.
 * Errors     fifo_push() gives NULL when memory is out.
 */

#include "base/fal.h"

#define FIFO_RECORDS    2048u
#define FIFO_SPARES_MAX 16u

struct fifo_record {
	uint64_t zxid;
	uint32_t handle;
	uint32_t kind;
	uint32_t before, after; /* undo list: versions; garbage: its granules */
};

struct fifo_segment {
	struct fifo_segment *next, *prev;
	uint32_t first, end; /* records first..end-1 are in use */
	struct fifo_record record[FIFO_RECORDS];
};

struct fifo {
	struct fifo_segment *head, *tail; /* NULL when empty */
	struct fifo_segment *spare;
	uint32_t spare_count;
	uint64_t count;
};

/* An all-zero fifo is empty. */
void fifo_free(struct fifo *);
/* Drops all records. */
void fifo_clear(struct fifo *);
/* Makes sure that the next `count` pushes (at most FIFO_RECORDS) succeed.
 * Returns 0, FAL_ENOMEM. */
FAL_MUST_CHECK int fifo_reserve(struct fifo *, uint32_t count);
/* A segment behind the last; NULL: out of memory. */
struct fifo_segment *fifo_extend(struct fifo *);
/* Appends a zeroed record. Inline: each version has two on its way. */
static inline struct fifo_record *
fifo_push(struct fifo *fifo)
{
	struct fifo_segment *tail = fifo->tail;
	struct fifo_record *record;

	if (FAL_UNLIKELY(tail == NULL || tail->end == FIFO_RECORDS)) {
		tail = fifo_extend(fifo);
		if (tail == NULL)
			return NULL;
	}
	record = &tail->record[tail->end++];
	*record = (struct fifo_record){0};
	fifo->count++;
	return record;
}
/* Oldest, youngest record; NULL when empty. */
struct fifo_record *fifo_front(struct fifo *);
struct fifo_record *fifo_back(struct fifo *);
void fifo_pop_front(struct fifo *);
void fifo_pop_back(struct fifo *);
/* The record pushed just before `record`; NULL: it is the oldest. *segment
 * starts as fifo->tail and is kept by the caller. */
struct fifo_record *fifo_before(struct fifo_segment **segment,
				struct fifo_record *record);

#endif
