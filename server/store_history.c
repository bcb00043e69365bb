/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A history comes from two places. What is in the window is made into packets
 * by ZAB itself, a piece at a time when the connection takes it: looked up anew
 * each time, so nothing is held and the writer never waits. What has left the
 * window is read by BG from the files, up to what is durable; by then the
 * window has the rest.
 *
 *   ZAB: window? --- yes: stage packets
 *          | no                                        | end of the files
 *          +--> BG: read files from here on, chunks <--+ an empty chunk
 *
 * Each transaction is compared with the rows of the history, so what is missing
 * in the middle is never passed over.
 */
#include "server/store_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/log_reader.h"
#include "wire/quorum_packet.h"

/* What ZAB copies out of the window at once. */
#define STAGE_BYTES (64u << 10)
/* What BG reads before it looks at other work. */
#define SLICE_RECORDS 1024u

#define NOT_READING (-1ll)

/* PROPOSAL and COMMIT of an entry. */
static uint32_t
pair_bytes(uint32_t entry_bytes)
{
	return 2 * QUORUM_PACKET_BARE_BYTES + entry_bytes;
}

static void
put_pair(uint8_t *to, int64_t zxid, const uint8_t *entry, uint32_t entry_bytes)
{
	struct jute_writer writer = jute_writer_of(to, pair_bytes(entry_bytes));
	const struct quorum_packet proposal = {
		.type = QUORUM_PROPOSAL,
		.zxid = zxid,
		.data = jute_slice_of(entry, entry_bytes),
		.authinfo = {.count = -1},
	};

	quorum_packet_put(&writer, &proposal);
	quorum_packet_put_bare(&writer, QUORUM_COMMIT, zxid);
}

/* The zxid that must come next; 0: none is known. */
static int64_t
next_of(const struct zab_history *rows, int64_t zxid)
{
	for (uint32_t i = 0; i < rows->row_count; i++) {
		const struct zab_row *row = &rows->row[i];

		if (zxid < row->first_zxid)
			return row->first_zxid;
		if (zxid < row->last_zxid)
			return zxid + 1;
	}
	return 0;
}

/* ---- BG: from files
 * ----------------------------------------------------------- */

static void
stop_reading(struct store_flow *flow)
{
	log_chain_close(flow->chain);
	flow->chain = NULL;
	flow->reading = NOT_READING;
}

static int
begin_reading(struct store_flow *flow)
{
	const struct restore *restore = &flow->jobs->parts.restore;
	/* acquire: pairs with release in ask_files() */
	const int64_t from = atomic_exchange_explicit(
		&flow->read_from, NOT_READING, memory_order_acquire);

	flow->reading = from;
	/* The reader looks ahead: what becomes durable while it reads it may
	 * have seen as zeros. */
	flow->read_end = (int64_t)txlog_durable_zxid(flow->jobs->parts.txlog);
	if (flow->read_end > flow->last)
		flow->read_end = flow->last;
	return log_chain_open(restore->disk, restore->log_dir,
			      (uint64_t)from + 1, LOG_ENTRY_BYTES_MAX,
			      &flow->chain);
}

/* Tells ZAB to go on with the window: a chunk without bytes. */
static bool
end_run(struct store_flow *flow)
{
	store_flow_flush(flow);
	if (store_flow_claim(flow, 0) == NULL)
		return false;
	store_flow_flush(flow);
	stop_reading(flow);
	return true;
}

/* Returns 1: a record was put, 0: no more for now, or an error. */
static int
read_record(struct store_flow *flow)
{
	struct log_record record;
	uint8_t *to;
	int got;

	if (flow->reading >= flow->read_end)
		return 0;
	got = log_chain_next(flow->chain, &record);
	if (got < 0)
		return got;
	if (got == 0 ||
	    record.header.zxid != next_of(&flow->rows, flow->reading))
		return FAL_ENOENT;
	to = store_flow_claim(flow, pair_bytes(record.bytes));
	if (to == NULL)
		return FAL_ENOMEM;
	put_pair(to, record.header.zxid, record.entry, record.bytes);
	flow->reading = record.header.zxid;
	atomic_store_explicit(&flow->needs_above, flow->reading,
			      memory_order_relaxed);
	return 1;
}

/* The files do not have what the history says: from now on learners get a
 * snapshot instead. */
static void
give_up(struct store_flow *flow, int err)
{
	struct store_jobs *jobs = flow->jobs;

	LOG_WARN("the log in %s cannot be read for a learner behind "
		 "transaction 0x%" PRIx64 ": %s; it gets a snapshot",
		 jobs->parts.restore.log_dir, (uint64_t)flow->reading,
		 fal_err_str(err));
	store_jobs_lost(jobs, next_of(&flow->rows, flow->reading));
	stop_reading(flow);
	store_flow_end(flow, err);
}

bool
store_history_step(struct store_flow *flow)
{
	int got = 1;

	if (flow->reading == NOT_READING) {
		if (atomic_load_explicit(&flow->read_from,
					 memory_order_relaxed) == NOT_READING)
			return false;
		got = begin_reading(flow);
		if (got < 0) {
			give_up(flow, got);
			return true;
		}
		got = 1;
	}
	/* Two: the run may end with an empty one. */
	if (!store_flow_has_room(flow) || flow->flying + 2 > STORE_CHUNKS_MAX)
		return false;
	for (uint32_t i = 0; i < SLICE_RECORDS && got > 0; i++) {
		got = read_record(flow);
		if (flow->filling != NULL &&
		    flow->filling->bytes >= STORE_CHUNK_BYTES)
			break;
	}
	if (got > 0 && flow->filling->bytes >= STORE_CHUNK_BYTES)
		store_flow_flush(flow);
	if (got == 0 && !end_run(flow))
		got = FAL_ENOMEM;
	if (got < 0)
		give_up(flow, got);
	return true;
}

void
store_history_release(struct store_flow *flow)
{
	stop_reading(flow);
}

/* ---- ZAB
 * ------------------------------------------------------------------------ */

static void
ask_files(struct store_flow *flow)
{
	flow->is_reading = true;
	/* release: pairs with acquire in begin_reading() */
	atomic_store_explicit(&flow->read_from, flow->given,
			      memory_order_release);
	lcore_doorbell(flow->jobs->parts.bg_lcore);
}

/* Room for packets behind those that are staged. */
static uint8_t *
stage(struct store_flow *flow, uint32_t bytes)
{
	const uint32_t wanted = flow->staged_bytes + bytes;
	uint8_t *at;

	if (wanted > flow->staged_cap) {
		const uint32_t cap =
			wanted > STAGE_BYTES ? wanted : STAGE_BYTES;
		uint8_t *larger = realloc(flow->staged, cap);

		if (larger == NULL)
			return NULL;
		flow->staged = larger;
		flow->staged_cap = cap;
	}
	at = flow->staged + flow->staged_bytes;
	flow->staged_bytes = wanted;
	return at;
}

/* Copies what the window has next; false: it is not in there. */
static bool
stage_window(struct store_flow *flow)
{
	const struct txlog *log = flow->jobs->parts.txlog;
	struct txlog_record record;
	bool is_there = txlog_find_after(log, (uint64_t)flow->given, &record);

	/* A record behind the wanted one: that one has gone. */
	if (!is_there ||
	    (int64_t)record.zxid != next_of(&flow->rows, flow->given))
		return false;
	while (is_there && flow->given < flow->last &&
	       (flow->staged_bytes == 0 ||
		flow->staged_bytes + pair_bytes(record.bytes) <= STAGE_BYTES)) {
		uint8_t *to = stage(flow, pair_bytes(record.bytes));

		if (to == NULL)
			return true; /* tried again */
		put_pair(to, (int64_t)record.zxid, record.entry, record.bytes);
		flow->given = (int64_t)record.zxid;
		is_there = txlog_read(log, record.next, &record);
	}
	/* BG never meets a gap that ZAB went over. */
	atomic_store_explicit(&flow->needs_above, flow->given,
			      memory_order_relaxed);
	return true;
}

static uint32_t
staged(struct store_flow *flow, const uint8_t **data)
{
	*data = flow->staged + flow->staged_used;
	return flow->staged_bytes - flow->staged_used;
}

/* The zxid of the last whole pair in a chunk: its COMMIT. */
static int64_t
last_of(const uint8_t *data, uint32_t bytes)
{
	struct jute_reader reader =
		jute_reader_of(data + bytes - QUORUM_PACKET_BARE_BYTES + 4, 8);

	return jute_get_long(&reader);
}

static uint32_t
peek_files(struct store_flow *flow, const uint8_t **data)
{
	const uint32_t bytes = store_flow_peek(flow, data);
	struct store_chunk *chunk = flow->current;

	if (chunk == NULL || bytes > 0)
		return bytes;
	/* The files ended here. */
	FAL_ASSERT(chunk->bytes == 0);
	flow->is_reading = false;
	store_flow_consume(flow, 0);
	return 0;
}

static uint32_t
history_peek(struct store_stream *stream, const uint8_t **data)
{
	struct store_flow *flow = (struct store_flow *)stream;

	if (flow->staged_used < flow->staged_bytes)
		return staged(flow, data);
	if (flow->jobs->is_lent)
		return 0;
	if (flow->is_reading) {
		const uint32_t bytes = peek_files(flow, data);

		if (bytes > 0 || flow->is_reading)
			return bytes;
	}
	if (flow->given == flow->last)
		return 0;
	flow->staged_bytes = 0;
	flow->staged_used = 0;
	if (!stage_window(flow))
		ask_files(flow);
	return staged(flow, data);
}

static void
history_consume(struct store_stream *stream, uint32_t bytes)
{
	struct store_flow *flow = (struct store_flow *)stream;
	const struct store_chunk *chunk = flow->current;

	if (chunk == NULL) {
		FAL_ASSERT(flow->staged_bytes - flow->staged_used >= bytes);
		flow->staged_used += bytes;
		return;
	}
	if (chunk->used + bytes == chunk->bytes)
		flow->given = last_of(chunk->data, chunk->bytes);
	store_flow_consume(flow, bytes);
}

static int
history_state(const struct store_stream *stream)
{
	const struct store_flow *flow = (const struct store_flow *)stream;
	const int state =
		atomic_load_explicit(&flow->state, memory_order_acquire);

	if (state < 0)
		return state;
	return flow->given == flow->last && flow->current == NULL &&
			       flow->staged_used == flow->staged_bytes
		       ? 1
		       : 0;
}

static const struct store_stream_ops history_ops = {
	.peek = history_peek,
	.consume = history_consume,
	.state = history_state,
	.close = store_flow_close,
};

struct store_stream *
store_history_open(void *store, int64_t after, int64_t last)
{
	struct store_jobs *jobs = store;
	struct store_flow *flow;

	if (jobs->is_lent || ring_free_count(&jobs->opened) == 0)
		return NULL;
	flow = store_flow_create(jobs, STORE_HISTORY_STREAM);
	if (flow == NULL)
		return NULL;
	flow->stream.ops = &history_ops;
	flow->rows = jobs->rows;
	flow->given = after;
	flow->last = last;
	flow->reading = NOT_READING;
	atomic_init(&flow->read_from, NOT_READING);
	atomic_init(&flow->needs_above, after);
	(void)ring_push(&jobs->opened, flow);
	lcore_doorbell(jobs->parts.bg_lcore);
	return &flow->stream;
}

/* ---- BG: what must stay
 * ---------------------------------------------------------- */

uint64_t
store_jobs_reads_above(const struct store_jobs *jobs)
{
	uint64_t above = UINT64_MAX;

	for (const struct store_flow *flow = jobs->flows; flow != NULL;
	     flow = flow->next) {
		const uint64_t needs = (uint64_t)atomic_load_explicit(
			&flow->needs_above, memory_order_relaxed);

		if (flow->kind == STORE_HISTORY_STREAM && needs < above &&
		    atomic_load_explicit(&flow->state, memory_order_relaxed) ==
			    0)
			above = needs;
	}
	return above;
}
