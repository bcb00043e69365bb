/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_STREAM_TABLE_H
#define FALCONER_DRIVERS_STREAM_TABLE_H

/*
 * stream_table - the connections of a core: what every implementation of
 * stream.h keeps of each, and how it lives. Included by implementations only.
 *
 * A connection's slot:
 *
 *          stream_connect()                    accepted
 *   FREE ------------------> CONNECTING ---> OPEN <------ FREE
 *                                |            |
 *                                |            | stream_close(), or CLOSED with
 *                                |            | STREAM_FINISHED was reported
 *                                |            v
 *                                |         CLOSING   output leaves, input is
 *                                |            |      thrown away
 *                                |            v
 *                                |         LINGERING FIN is under way; waits
 *                                |            |      for the peer's
 *                 failure, abort v            v
 *                               DEAD <--------+  until the next poll or wait
 *                                |
 *                                v
 *                               FREE   generation + 1
 *
 * The id is alive in CONNECTING and OPEN only. CLOSING and LINGERING end by a
 * deadline at the latest. Slots are freed at the start of the next poll or
 * wait, not where they die: the peer's address of a CLOSED event stays
 * readable, and no index is used again within the iteration that saw its end.
 *
 * Lists: `ready` holds what the next poll must look at, `dirty` what the next
 * flush must look at, `lingering` the deadlines (one length for all, so the
 * oldest is first), `dead` what the next poll frees.
 *
 * Everything that happens to a connection sets a field and puts it on the ready
 * list; a visit alone turns fields into events, in a fixed order: OPENED,
 * READABLE, WRITABLE or CLOSED. One that has more to say goes back to the end
 * of the list, so a full event array starves nobody.
 *
 * An implementation's connection begins with the slot, its core with the table.
 * What ends a connection (a descriptor, a block of TCP) is the
 * implementation's.
 *
 * Context    the core's thread, see stream.h; stream_table_op_counters_read()
 *            any thread.
 * Ownership  the table has the slots and the pool of their buffers; buffers of
 *            a connection are given back by the implementation.
 * Cost       a slot is three cache lines; untouched ones cost nothing.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/fal.h"
#include "base/list.h"
#include "drivers/stream.h"
#include "drivers/stream_buf.h"
#include "drivers/stream_chain.h"

/* A visit writes OPENED, READABLE and WRITABLE or CLOSED at most. */
#define STREAM_VISIT_EVENTS_MAX 3u

_Static_assert(STREAM_VISIT_EVENTS_MAX <= STREAM_EVENTS_MIN,
	       "one visit always fits");

enum stream_slot_state {
	SLOT_FREE = 0,
	SLOT_CONNECTING,
	SLOT_OPEN,
	SLOT_CLOSING,
	SLOT_LINGERING,
	SLOT_DEAD,
};

struct stream_slot {
	struct list ready_link;
	struct list dirty_link;
	struct list end_link; /* in lingering or dead */

	/* what a visit asks: see stream_slot_is_plain() */
	uint8_t state;       /* enum stream_slot_state */
	bool is_opened_told; /* OPENED was reported */
	uint8_t reason;      /* enum stream_reason; not 0: it has failed */
	bool is_paused;      /* by the owner */
	bool is_finished;    /* the peer's FIN is there */
	bool is_last_read; /* failed, but READABLE was reported: next CLOSED */
	bool is_dropped;   /* closed or aborted by the owner */
	bool wants_writable; /* WRITABLE is owed */

	uint32_t generation; /* of the present or next use, never 0 */
	uint32_t tag;
	uint32_t rx_wanted; /* READABLE from so many bytes on, >= 1 */
	uint32_t frame_bytes_max;
	struct stream_chain tx;
	uint32_t unsent_bytes_max;
	uint32_t next_free; /* in FREE: index of the next free slot */
	struct stream_limits *limits;
	struct stream_address peer;
	uint64_t deadline_ns; /* in CLOSING and LINGERING */
	bool is_accepted;
	bool has_limit_place; /* counted in limits */
};

struct stream_table_counters {
#define STREAM_COUNTER(name, what) _Atomic uint64_t name;
	STREAM_COUNTERS(STREAM_COUNTER)
#undef STREAM_COUNTER
};

struct stream_table {
	struct stream_core base;     /* first: ops work on the base */
	struct stream_config config; /* defaults filled in */
	void *slots;                 /* stream_limit of them */
	size_t slot_bytes;           /* of one, with what follows the slot */
	uint32_t free_head;          /* index, or UINT32_MAX */
	uint32_t touched;            /* slots below were used at least once */
	struct list ready;
	struct list dirty;
	struct list lingering;
	struct list dead;
	uint64_t now_ns; /* of the last poll */
	struct stream_pool pool;
	struct stream_table_counters counters;
};

/* ---- the table ---- */

/*
 * Sets up a table of zeroes for a configuration; 0 in it means the default.
 *
 * slot_bytes  size of the implementation's connection
 *
 * Returns 0, FAL_EINVAL (values contradict, or go beyond what stream.h allows)
 * or FAL_ENOMEM. stream_table_free() is allowed in each case.
 */
FAL_MUST_CHECK int stream_table_init(struct stream_table *table,
				     const struct stream_ops *ops,
				     const struct stream_config *config,
				     size_t slot_bytes);

/* Frees the slots, which are FREE or of no interest any more, and the pool. */
void stream_table_free(struct stream_table *table);

/* Publishes what the pool holds; each flush does. */
void stream_table_gauge(struct stream_table *table);

/* Asks for a place for a newcomer within the limits of its listener (NULL:
 * none); counts who is refused. */
bool stream_table_admits(struct stream_table *table,
			 struct stream_limits *limits,
			 const struct stream_address *peer);

/* The first whose linger time is over, counted; NULL: nobody's. */
struct stream_slot *stream_table_overdue(struct stream_table *table);

/* How long a wait may last at most for the sake of linger times. */
uint64_t stream_table_wait_bound(const struct stream_table *table,
				 uint64_t timeout_ns);

/* Operations of stream.h that are the same for all. */
void stream_table_op_pause(struct stream_core *core, stream_id id);
void stream_table_op_resume(struct stream_core *core, stream_id id);
const struct stream_address *stream_table_op_peer(struct stream_core *core,
						  stream_id id);
void stream_table_op_counters_read(struct stream_core *core,
				   struct stream_counters *counters);

static inline struct stream_table *
stream_table_of(struct stream_core *core)
{
	return (struct stream_table *)(void *)core;
}

/* One writer, so a plain add that readers see whole. */
static inline void
stream_count(_Atomic uint64_t *counter, uint64_t more)
{
	atomic_store_explicit(
		counter,
		atomic_load_explicit(counter, memory_order_relaxed) + more,
		memory_order_relaxed);
}

/* ---- slots ---- */

/* Takes a free slot, all zero but for what the configuration says; NULL when
 * stream_limit is reached. The caller sets state, peer, tag and limits. */
struct stream_slot *stream_slot_take(struct stream_table *table);

/* What a newcomer of a listener that was admitted is from the beginning. */
void stream_slot_accept(struct stream_slot *slot,
			const struct stream_listener *listener,
			const struct stream_address *peer);

/* The same for an own connect. */
void stream_slot_connect(struct stream_slot *slot,
			 const struct stream_target *target);

/* From alive to CLOSING. */
void stream_slot_close(struct stream_table *table, struct stream_slot *slot);

/* To DEAD, from whatever but FREE and DEAD. */
void stream_slot_bury(struct stream_table *table, struct stream_slot *slot);

/* From DEAD to FREE; the implementation's part is over. */
void stream_slot_free(struct stream_table *table, struct stream_slot *slot);

/* Reports CLOSED. Returns true when it has failed and is to be killed, false
 * when both may finish and it is to be closed. */
bool stream_slot_tell_end(struct stream_table *table, struct stream_slot *slot,
			  struct stream_event *event);

static inline uint32_t
stream_slot_index(const struct stream_table *table,
		  const struct stream_slot *slot, size_t slot_bytes)
{
	return (uint32_t)((size_t)((const char *)slot -
				   (const char *)table->slots) /
			  slot_bytes);
}

/* The slot an id was given for, in whatever state; NULL if that is over.
 * slot_bytes is the table's; the hot path knows it when it is compiled. */
static inline struct stream_slot *
stream_slot_of(const struct stream_table *table, stream_id id,
	       size_t slot_bytes)
{
	const uint32_t index = stream_index(id);

	if (FAL_UNLIKELY(index >= table->touched))
		return NULL;

	struct stream_slot *slot =
		(struct stream_slot *)(void *)((char *)table->slots +
					       index * slot_bytes);

	return slot->generation == id >> 32 ? slot : NULL;
}

static inline bool
stream_slot_is_alive(const struct stream_slot *slot)
{
	return slot->state == SLOT_OPEN || slot->state == SLOT_CONNECTING;
}

static inline bool
stream_slot_is_lingering(const struct stream_slot *slot)
{
	return slot->state == SLOT_CLOSING || slot->state == SLOT_LINGERING;
}

/* Whether it is open and has nothing to say but that there is data: what a
 * visit asks, in one comparison. */
static inline bool
stream_slot_is_plain(const struct stream_slot *slot)
{
	static const uint8_t plain[8] = {SLOT_OPEN, true};

	_Static_assert(offsetof(struct stream_slot, wants_writable) ==
			       offsetof(struct stream_slot, state) + 7,
		       "eight bytes, state and is_opened_told first");
	return memcmp(&slot->state, plain, sizeof(plain)) == 0;
}

/* Makes the next poll look at it. */
static inline void
stream_slot_ready(struct stream_table *table, struct stream_slot *slot)
{
	if (list_empty(&slot->ready_link))
		list_add_tail(&table->ready, &slot->ready_link);
}

/* Makes the next flush look at it. */
static inline void
stream_slot_dirty(struct stream_table *table, struct stream_slot *slot)
{
	if (list_empty(&slot->dirty_link))
		list_add_tail(&table->dirty, &slot->dirty_link);
}

/* Notes why it fails: CLOSED follows. Returns false if it had failed before:
 * the first cause counts. The slot is alive. */
static inline bool
stream_slot_fail(struct stream_table *table, struct stream_slot *slot,
		 enum stream_reason reason)
{
	FAL_ASSERT(reason != STREAM_NO_REASON);
	if (slot->reason != STREAM_NO_REASON)
		return false;
	slot->reason = (uint8_t)reason;
	stream_slot_ready(table, slot);
	return true;
}

/* ---- events ---- */

static inline void
stream_slot_tell(const struct stream_slot *slot, uint32_t index,
		 enum stream_event_kind kind, struct stream_event *event)
{
	*event = (struct stream_event){
		.id = (uint64_t)slot->generation << 32 | index,
		.tag = slot->tag,
		.kind = (uint8_t)kind,
		.is_accepted = slot->is_accepted,
	};
}

/* Whether READABLE is due for so many bytes of input. */
static inline bool
stream_slot_is_readable(const struct stream_slot *slot, uint32_t buffered)
{
	return !slot->is_paused && !slot->is_last_read &&
	       buffered >= slot->rx_wanted;
}

/* Whether CLOSED is due, when READABLE is not. */
static inline bool
stream_slot_is_over(const struct stream_slot *slot)
{
	return slot->reason != STREAM_NO_REASON ||
	       (slot->is_finished && !slot->is_paused);
}

/* Whether WRITABLE is due with so much unsent; it is owed no more then. */
static inline bool
stream_slot_pays_writable(const struct stream_table *table,
			  struct stream_slot *slot, uint32_t unsent)
{
	if (!slot->wants_writable || slot->reason != STREAM_NO_REASON ||
	    unsent > table->config.writable_bytes)
		return false;
	slot->wants_writable = false;
	return true;
}

/*
 * Visits each slot once that lies on a list behind `before` (a link of it, or
 * its head) now, until `max` events are written; returns how many. Those who
 * have more to say are put at the end of the ready list for the next poll.
 *
 * last   sets the last link that is visited
 * visit  gets a slot that is off the list; writes up to STREAM_VISIT_EVENTS_MAX
 */
static inline uint32_t
stream_slots_visit(struct stream_table *table, struct list *before,
		   const struct list *last,
		   uint32_t (*visit)(struct stream_table *table,
				     struct stream_slot *slot,
				     struct stream_event *events),
		   struct stream_event *events, uint32_t max)
{
	bool is_over = before == last;
	uint32_t count = 0;

	while (!is_over && max - count >= STREAM_VISIT_EVENTS_MAX) {
		struct list *link = before->next;

		is_over = link == last;
		list_del(link);
		count += visit(table,
			       list_entry(link, struct stream_slot, ready_link),
			       events + count);
	}
	FAL_ASSERT(count <= max);
	return count;
}

#endif
