/* SPDX-License-Identifier: Apache-2.0 */
/* stream_table - see stream_table.h. */
#include "drivers/stream_table.h"

#include <stdlib.h>

#include "base/time.h"

#define NO_SLOT UINT32_MAX

#define STREAM_LIMIT_MAX       (1u << 20)
#define FRAME_BYTES_DEFAULT    ((1u << 20) + 4)
#define FRAME_BYTES_MAX        (1u << 30)
#define UNSENT_BYTES_DEFAULT   (64u << 20)
#define UNSENT_BYTES_MAX       (1u << 31)
#define WRITABLE_BYTES_DEFAULT (64u << 10)
#define LINGER_MS_DEFAULT      5000u

/* ---- the table ---- */

static uint32_t
default_of(uint32_t value, uint32_t standard)
{
	return value != 0 ? value : standard;
}

/* Fills in the default for each 0. False: the values are not allowed. */
static bool
config_complete(struct stream_config *config)
{
	config->frame_bytes_max =
		default_of(config->frame_bytes_max, FRAME_BYTES_DEFAULT);
	config->unsent_bytes_max =
		default_of(config->unsent_bytes_max, UNSENT_BYTES_DEFAULT);
	config->writable_bytes =
		default_of(config->writable_bytes, WRITABLE_BYTES_DEFAULT);
	config->linger_ms = default_of(config->linger_ms, LINGER_MS_DEFAULT);
	return config->stream_limit >= 1 &&
	       config->stream_limit <= STREAM_LIMIT_MAX &&
	       config->frame_bytes_max <= FRAME_BYTES_MAX &&
	       config->unsent_bytes_max <= UNSENT_BYTES_MAX;
}

int
stream_table_init(struct stream_table *table, const struct stream_ops *ops,
		  const struct stream_config *config, size_t slot_bytes)
{
	FAL_ASSERT(slot_bytes >= sizeof(struct stream_slot));
	table->config = *config;
	if (!config_complete(&table->config))
		return FAL_EINVAL;
	table->base.ops = ops;
	table->base.stream_limit = table->config.stream_limit;
	table->slot_bytes = slot_bytes;
	table->free_head = NO_SLOT;
	list_init(&table->ready);
	list_init(&table->dirty);
	list_init(&table->lingering);
	list_init(&table->dead);
	stream_pool_init(&table->pool);
	/* Untouched slots cost no memory: the system maps them at first use. */
	table->slots = calloc(table->config.stream_limit, slot_bytes);
	return table->slots != NULL ? 0 : FAL_ENOMEM;
}

void
stream_table_free(struct stream_table *table)
{
	stream_pool_free(&table->pool);
	free(table->slots);
	table->slots = NULL;
}

static void
gauge_set(_Atomic uint64_t *gauge, uint64_t value)
{
	atomic_store_explicit(gauge, value, memory_order_relaxed);
}

void
stream_table_gauge(struct stream_table *table)
{
	struct stream_table_counters *counters = &table->counters;

	gauge_set(&counters->buffer_bytes, table->pool.bytes_in_use);
	gauge_set(&counters->buffer_bytes_peak, table->pool.bytes_peak);
	gauge_set(&counters->pool_bytes, table->pool.slab_bytes);
}

bool
stream_table_admits(struct stream_table *table, struct stream_limits *limits,
		    const struct stream_address *peer)
{
	if (limits == NULL)
		return true;
	switch (stream_limits_enter(limits, peer)) {
	case STREAM_OVER_TOTAL:
		stream_count(&table->counters.refused_total, 1);
		return false;
	case STREAM_OVER_HOST:
		stream_count(&table->counters.refused_host, 1);
		return false;
	case STREAM_ADMITTED:
	default:
		return true;
	}
}

struct stream_slot *
stream_table_overdue(struct stream_table *table)
{
	struct stream_slot *slot;

	if (list_empty(&table->lingering))
		return NULL;
	slot = list_entry(table->lingering.next, struct stream_slot, end_link);
	if (slot->deadline_ns > table->now_ns)
		return NULL;
	stream_count(&table->counters.linger_timeouts, 1);
	return slot;
}

uint64_t
stream_table_wait_bound(const struct stream_table *table, uint64_t timeout_ns)
{
	const struct stream_slot *slot;
	uint64_t left_ns;

	if (list_empty(&table->lingering))
		return timeout_ns;
	slot = list_entry(table->lingering.next, struct stream_slot, end_link);
	left_ns = slot->deadline_ns > table->now_ns
			  ? slot->deadline_ns - table->now_ns
			  : 0;
	return left_ns < timeout_ns ? left_ns : timeout_ns;
}

/* ---- slots ---- */

static struct stream_slot *
slot_at(const struct stream_table *table, uint32_t index)
{
	return (struct stream_slot *)(void *)((char *)table->slots +
					      index * table->slot_bytes);
}

struct stream_slot *
stream_slot_take(struct stream_table *table)
{
	uint32_t index = table->free_head;
	struct stream_slot *slot;
	uint32_t generation = 1;

	if (index != NO_SLOT) {
		generation = slot_at(table, index)->generation;
		table->free_head = slot_at(table, index)->next_free;
	} else if (table->touched < table->base.stream_limit) {
		index = table->touched++;
	} else {
		return NULL;
	}
	slot = slot_at(table, index);
	FAL_ASSERT(slot->state == SLOT_FREE);
	memset(slot, 0, table->slot_bytes);
	slot->generation = generation;
	slot->rx_wanted = 1;
	slot->frame_bytes_max = table->config.frame_bytes_max;
	slot->unsent_bytes_max = table->config.unsent_bytes_max;
	list_init(&slot->ready_link);
	list_init(&slot->dirty_link);
	list_init(&slot->end_link);
	stream_count(&table->counters.connections, 1);
	return slot;
}

/* Limits of its own instead of the table's; 0: none. */
static void
slot_limit(struct stream_slot *slot, uint32_t frame_bytes_max,
	   uint32_t unsent_bytes_max)
{
	if (frame_bytes_max != 0)
		slot->frame_bytes_max = frame_bytes_max;
	if (unsent_bytes_max != 0)
		slot->unsent_bytes_max = unsent_bytes_max;
}

void
stream_slot_accept(struct stream_slot *slot,
		   const struct stream_listener *listener,
		   const struct stream_address *peer)
{
	slot->state = SLOT_OPEN;
	slot->is_accepted = true;
	slot->tag = listener->tag;
	slot->peer = *peer;
	slot->limits = listener->limits;
	slot->has_limit_place = listener->limits != NULL;
	slot_limit(slot, listener->frame_bytes_max, listener->unsent_bytes_max);
}

void
stream_slot_connect(struct stream_slot *slot,
		    const struct stream_target *target)
{
	slot->state = SLOT_CONNECTING;
	slot->tag = target->tag;
	slot->peer = target->address;
	slot_limit(slot, target->frame_bytes_max, target->unsent_bytes_max);
}

/* It leaves its present state: gauges and limits. */
static void
slot_leave(struct stream_table *table, struct stream_slot *slot)
{
	if (stream_slot_is_alive(slot))
		stream_count(&table->counters.connections, (uint64_t)-1);
	if (stream_slot_is_lingering(slot))
		stream_count(&table->counters.lingering, (uint64_t)-1);
	if (slot->has_limit_place)
		stream_limits_leave(slot->limits, &slot->peer);
	slot->has_limit_place = false;
}

void
stream_slot_close(struct stream_table *table, struct stream_slot *slot)
{
	slot_leave(table, slot);
	slot->state = SLOT_CLOSING;
	slot->is_paused = false;
	slot->deadline_ns = table->now_ns + table->config.linger_ms * NS_PER_MS;
	list_add_tail(&table->lingering, &slot->end_link);
	stream_count(&table->counters.lingering, 1);
	stream_slot_dirty(table, slot);
}

void
stream_slot_bury(struct stream_table *table, struct stream_slot *slot)
{
	slot_leave(table, slot);
	slot->state = SLOT_DEAD;
	list_del(&slot->ready_link);
	list_del(&slot->dirty_link);
	list_del(&slot->end_link);
	list_add_tail(&table->dead, &slot->end_link);
}

void
stream_slot_free(struct stream_table *table, struct stream_slot *slot)
{
	FAL_ASSERT(slot->state == SLOT_DEAD);
	list_del(&slot->ready_link);
	list_del(&slot->dirty_link);
	list_del(&slot->end_link);
	slot->state = SLOT_FREE;
	slot->generation++;
	if (slot->generation == 0)
		slot->generation = 1;
	slot->next_free = table->free_head;
	table->free_head = stream_slot_index(table, slot, table->slot_bytes);
}

bool
stream_slot_tell_end(struct stream_table *table, struct stream_slot *slot,
		     struct stream_event *event)
{
	const bool has_failed = slot->reason != STREAM_NO_REASON;

	stream_slot_tell(slot,
			 stream_slot_index(table, slot, table->slot_bytes),
			 STREAM_CLOSED, event);
	event->reason = has_failed ? slot->reason : (uint8_t)STREAM_FINISHED;
	stream_count(has_failed ? &table->counters.failed
				: &table->counters.finished,
		     1);
	return has_failed;
}

/* ---- operations ---- */

static struct stream_slot *
slot_alive(const struct stream_table *table, stream_id id)
{
	struct stream_slot *slot = stream_slot_of(table, id, table->slot_bytes);

	return slot != NULL && stream_slot_is_alive(slot) ? slot : NULL;
}

void
stream_table_op_pause(struct stream_core *core, stream_id id)
{
	struct stream_table *table = stream_table_of(core);
	struct stream_slot *slot = slot_alive(table, id);

	if (slot == NULL || slot->is_paused)
		return;
	slot->is_paused = true;
	stream_count(&table->counters.pauses, 1);
}

void
stream_table_op_resume(struct stream_core *core, stream_id id)
{
	struct stream_table *table = stream_table_of(core);
	struct stream_slot *slot = slot_alive(table, id);

	if (slot == NULL || !slot->is_paused)
		return;
	slot->is_paused = false;
	stream_slot_ready(table, slot);
}

const struct stream_address *
stream_table_op_peer(struct stream_core *core, stream_id id)
{
	const struct stream_table *table = stream_table_of(core);
	const struct stream_slot *slot =
		stream_slot_of(table, id, table->slot_bytes);

	return slot != NULL && slot->state != SLOT_FREE && !slot->is_dropped
		       ? &slot->peer
		       : NULL;
}

void
stream_table_op_counters_read(struct stream_core *core,
			      struct stream_counters *counters)
{
	struct stream_table *table = stream_table_of(core);

#define STREAM_COUNTER(name, what)                                   \
	counters->name = atomic_load_explicit(&table->counters.name, \
					      memory_order_relaxed);
	STREAM_COUNTERS(STREAM_COUNTER)
#undef STREAM_COUNTER
}

const char *
stream_reason_str(uint32_t reason)
{
	static const char *const texts[] = {
		[STREAM_NO_REASON] = "open",
		[STREAM_FINISHED] = "finished by the peer",
		[STREAM_RESET] = "reset by the peer",
		[STREAM_TIMED_OUT] = "timed out",
		[STREAM_REFUSED] = "connection refused",
		[STREAM_UNREACHABLE] = "host or network unreachable",
		[STREAM_FRAME_TOO_LONG] = "frame too long",
		[STREAM_NO_MEMORY] = "out of memory",
		[STREAM_FAILED] = "failed",
	};

	return reason < sizeof(texts) / sizeof(texts[0]) ? texts[reason]
							 : "unknown reason";
}
