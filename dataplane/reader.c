/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader - the round of a READER core, its timers and its four-letter words.
 */
#include "dataplane/reader_int.h"

#include <stdlib.h>

#include "dataplane/stage.h"
#include "znode/read.h"

#define EVENTS_MAX                              \
	(sizeof(((struct reader *)0)->events) / \
	 sizeof(((struct reader *)0)->events[0]))
/* A portion of a four-letter word's text. */
#define TEXT_BURST 65536u
/* Work of a round on large watch fan-outs. */
#define FAN_OUT_BURST 256u

static int
create_parts(struct reader *reader)
{
	int err = conn_table_init(reader);

	if (err == FAL_OK)
		err = req_pool_init(&reader->pool, reader->options.req_count);
	if (err == FAL_OK)
		err = events_init(reader);
	if (err == FAL_OK && !listing_init(reader))
		err = FAL_ENOMEM;
	if (err != FAL_OK)
		return err;
	reader->tree_reader = tree_reader_register(reader->parts.tree);
	if (reader->tree_reader == NULL)
		return FAL_ELIMIT;
	reader->cursor = delta_cursor_open(reader->parts.deltas,
					   reader->parts.channel->core);
	reader->S = tree_reader_online(reader->tree_reader, reader->published);
	return FAL_OK;
}

int
reader_create(const struct reader_options *options,
	      const struct reader_parts *parts,
	      const struct reader_hooks *hooks, struct reader **out)
{
	struct reader *reader = calloc(1, sizeof(*reader));

	if (reader == NULL)
		return FAL_ENOMEM;
	reader->options = *options;
	reader->parts = *parts;
	reader->hooks = *hooks;
	reader->published = delta_published(parts->deltas);
	reader->serving_word = parts->serving == NULL
				       ? SERVING_ALL
				       : serving_load(parts->serving);
	/* Asked to park before it was there: the first round does. Nobody
	 * touches the tree before this reader, too, has said that it left. */
	if (reader->serving_word & SERVING_PARKED)
		reader->serving_word &= ~(SERVING_STATE_MASK | SERVING_PARKED);
	account_init(&reader->account);
	sample_init(&reader->sampler);
	express_begin(reader);
	reader->express_lengths = express_lengths(options);
	connect_throttle_init(&reader->connects, &options->connects, 0,
			      options->random_seed);

	const int err = create_parts(reader);

	if (err != FAL_OK) {
		reader_destroy(reader);
		return err;
	}
	*out = reader;
	return FAL_OK;
}

void
reader_leave(struct reader *reader)
{
	if (reader == NULL || reader->has_left)
		return;
	reader->has_left = true;
	for (uint32_t i = 0; reader->conns != NULL && i < reader->conn_count;
	     i++)
		if (reader->conns[i].stream != STREAM_NONE)
			stream_close(reader->parts.streams,
				     reader->conns[i].stream);
	if (reader->cursor != NULL)
		delta_cursor_close(reader->cursor);
	jobs_free_all(reader);
	if (reader->tree_reader != NULL)
		tree_reader_unregister(reader->tree_reader);
}

void
reader_destroy(struct reader *reader)
{
	if (reader == NULL)
		return;
	reader_leave(reader);
	events_free(reader);
	conn_table_free(reader);
	req_pool_destroy(&reader->pool);
	listing_destroy(reader);
	free(reader->scratch);
	free(reader);
}

/* The watermark stays: each publication wakes this core, and the records that
 * wait then are walked from S on. */
void
reader_pause(struct reader *reader)
{
	if (!reader->is_parked)
		tree_reader_pause(reader->tree_reader);
}

void
reader_resume(struct reader *reader)
{
	if (!reader->is_parked)
		tree_reader_resume(reader->tree_reader);
}

bool
reader_has_work(const struct reader *reader)
{
	if (FAL_UNLIKELY(attend_is_due(reader)))
		return true;
	if (FAL_UNLIKELY(reader->is_parked))
		return false;
	return reader->unicast_head != NULL || answer_has_work(reader) ||
	       events_have_work(reader) || !list_empty(&reader->jobs) ||
	       !list_empty(&reader->shedding) ||
	       !list_empty(&reader->detaching);
}

/* Newcomers stand in the order they came, so only the first can be due. */
static bool
expire_newcomers(struct reader *reader)
{
	bool did_work = false;

	for (uint32_t i = 0;
	     i < CONN_CLOSE_BURST && !list_empty(&reader->newcomers); i++) {
		struct conn *conn =
			list_entry(reader->newcomers.next, struct conn, link);

		if (reader->now_ms <
		    conn->opened_ms + reader->options.newcomer_timeout_ms)
			break;
		conn_close(reader, conn);
		stats_add(reader->parts.stats, STAT_SESSIONLESS_EXPIRED, 1);
		did_work = true;
	}
	return did_work;
}

uint64_t
reader_next_timer_ms(const struct reader *reader)
{
	const uint64_t touch = conn_next_touch_ms(reader);
	const uint64_t await = await_next_timer_ms(reader);
	const uint64_t first = await < touch ? await : touch;
	uint64_t newcomer;

	if (list_empty(&reader->newcomers))
		return first;
	newcomer = list_entry(reader->newcomers.next, struct conn, link)
			   ->opened_ms +
		   reader->options.newcomer_timeout_ms;
	return newcomer < first ? newcomer : first;
}

/* Each request comes through here. */
static inline __attribute__((always_inline)) void
take_readable(struct reader *reader, const struct stream_event *event)
{
	struct conn *conn = conn_of_stream(reader, event->id);

	if (FAL_UNLIKELY(conn == NULL))
		return;
	if (FAL_UNLIKELY(event->data == NULL))
		conn_read_peeked(reader, conn, event->id);
	else if (!express_take(reader, conn, event->data, event->bytes))
		conn_read_any(reader, conn, event->id);
	else if (reader->batch_count == BATCH_MAX)
		conn_run_batch(reader);
}

/* Its turn to be hung up on is now. */
static bool
hang_up(struct reader *reader, stream_id id)
{
	struct conn *conn = conn_of_stream(reader, id);

	if (conn == NULL || !conn_is_client(conn))
		return false;
	conn_close(reader, conn);
	return true;
}

/* What clients say. */
enum take { TAKE_REQUESTS, TAKE_NOTHING, TAKE_AND_HANG_UP };

static inline __attribute__((always_inline)) void
take_said(struct reader *reader, const struct stream_event *event,
	  enum take take)
{
	/* It stays where it is, and is reported again. */
	if (take == TAKE_NOTHING)
		return;
	if (take == TAKE_REQUESTS || !hang_up(reader, event->id))
		take_readable(reader, event);
}

/* Made for each way, so that who serves does not ask. */
static inline __attribute__((always_inline)) bool
take_events(struct reader *reader, enum take take)
{
	const uint64_t began_ns = stage_begin(reader->parts.stats);
	const uint32_t count =
		stream_poll(reader->parts.streams, reader->now_ns,
			    reader->events, EVENTS_MAX);

	stage_end(reader->parts.stats, STAT_STAGE_RECEIVE_NS, began_ns);
	for (uint32_t i = 0; i < count; i++) {
		const struct stream_event *event = &reader->events[i];

		if (event->tag != reader->options.client_tag &&
		    reader->hooks.on_other != NULL) {
			reader->hooks.on_other(reader->hooks.other_arg, event,
					       reader->now_ms);
			continue;
		}
		switch (event->kind) {
		case STREAM_OPENED:
			conn_opened(reader, event);
			break;
		case STREAM_READABLE:
			take_said(reader, event, take);
			break;
		case STREAM_WRITABLE:
			conn_writable(reader, event->id);
			break;
		default:
			FAL_ASSERT(event->kind == STREAM_CLOSED);
			/* Its frames of this burst are still borrowed. */
			conn_run_batch(reader);
			conn_closed(reader, event->id);
		}
	}
	conn_run_batch(reader);
	return count > 0;
}

static bool
take_input(struct reader *reader)
{
	return take_events(reader, TAKE_REQUESTS);
}

/* The oldest state that something on this core still reads. */
static uint64_t
oldest_state(const struct reader *reader)
{
	const uint64_t events = events_oldest(reader);
	const uint64_t jobs = jobs_oldest(reader);

	return jobs < events ? jobs : events;
}

/* The tree is somebody else's, or clients are being hung up on: connections
 * come and go, words are taken. */
static bool
poll_parked(struct reader *reader)
{
	bool did_work = reader->is_hanging_up;

	if (did_work)
		(void)take_events(reader, TAKE_AND_HANG_UP);
	else
		did_work = take_input(reader);

	did_work |= conn_shed_watches(reader);
	did_work |= await_step(reader);
	did_work |= expire_newcomers(reader);
	did_work |= conn_send_detaches(reader);
	stream_flush(reader->parts.streams);
	if (reader->must_ring_zab) {
		reader->must_ring_zab = false;
		lcore_doorbell(reader->parts.channel->zab_lcore);
	}
	return did_work;
}

/* The events of a record take more than a round. */
static __attribute__((noinline)) void
poll_telling(struct reader *reader)
{
	(void)take_events(reader, TAKE_NOTHING);
	events_step(reader, FAN_OUT_BURST);
	conn_abort_overrun(reader);
	conn_shed_watches(reader);
	conn_touch_parked(reader);
	conn_send_detaches(reader);
	stream_flush(reader->parts.streams);
	if (reader->must_ring_zab) {
		reader->must_ring_zab = false;
		lcore_doorbell(reader->parts.channel->zab_lcore);
	}
	tree_reader_quiesce(reader->tree_reader, oldest_state(reader));
}

bool
reader_poll(struct reader *reader, uint64_t now_ns, int64_t wall_ms)
{
	bool did_work = false;
	uint64_t began_ns;

	reader->now_ns = now_ns;
	reader->now_ms = time_ns_to_ms(now_ns);
	reader->wall_ms = wall_ms;
	stats_reset_poll(reader->parts.stats);
	if (FAL_UNLIKELY(!attend_follow(reader)))
		return poll_parked(reader);
	did_work |= answer_poll(reader);
	if (FAL_UNLIKELY(reader->telling != NULL)) {
		poll_telling(reader);
		return true;
	}
	did_work |= take_input(reader);
	did_work |= events_step(reader, FAN_OUT_BURST);
	did_work |= jobs_step(reader);
	conn_abort_overrun(reader);
	did_work |= conn_shed_watches(reader);
	admission_wake(reader);
	conn_touch_parked(reader);
	did_work |= await_step(reader);
	did_work |= expire_newcomers(reader);
	did_work |= conn_send_detaches(reader);
	began_ns = stage_begin(reader->parts.stats);
	stream_flush(reader->parts.streams);
	stage_end(reader->parts.stats, STAT_STAGE_SEND_NS, began_ns);
	stats_set(reader->parts.stats, STAT_OUTSTANDING,
		  reader->pool.count - reader->pool.free_count);
	events_tell_gauges(reader);
	if (reader->must_ring_zab) {
		reader->must_ring_zab = false;
		lcore_doorbell(reader->parts.channel->zab_lcore);
	}
	tree_reader_quiesce(reader->tree_reader, oldest_state(reader));
	return did_work;
}

int32_t
reader_send_text(struct reader *reader, uint32_t conn_index, uint32_t conn_gen,
		 const char *text, uint32_t bytes)
{
	struct conn *conn = conn_of(reader, conn_index, conn_gen);

	if (conn == NULL || conn->stream == STREAM_NONE)
		return FAL_ENOENT;

	const uint32_t unsent =
		stream_unsent(reader->parts.streams, conn->stream);
	uint32_t burst = unsent >= CONN_UNSENT_PAUSE ? 0 : TEXT_BURST;

	if (bytes < burst)
		burst = bytes;
	if (burst > 0)
		conn_send(reader, conn, text, burst);
	if (burst == bytes)
		conn_close(reader, conn);
	stream_flush(reader->parts.streams);
	return (int32_t)burst;
}

void
reader_drop_word(struct reader *reader, uint32_t conn_index, uint32_t conn_gen)
{
	struct conn *conn = conn_of(reader, conn_index, conn_gen);

	if (conn != NULL)
		conn_abort(reader, conn);
}

/* A newcomer's time runs from its first moment, a session's from its last
 * request. */
static uint64_t
expires_ms(const struct reader *reader, const struct conn *conn)
{
	if (conn->session_id == 0)
		return conn->opened_ms + reader->options.newcomer_timeout_ms;
	return atomic_load_explicit(
		       &reader->parts.channel->heard[conn->index].ms,
		       memory_order_relaxed) +
	       (uint64_t)conn->timeout_ms;
}

static struct reader_conn_row
conn_row_of(const struct reader *reader, const struct conn *conn)
{
	const uint32_t unsent =
		stream_unsent(reader->parts.streams, conn->stream);

	return (struct reader_conn_row){
		.peer = conn->peer,
		.interest = (conn->is_paused ? 0u : 1u) | (unsent > 0 ? 4u : 0),
		.received = conn->received,
		.sent = conn->sent,
		.queued = conn->queued,
		.session_id = conn->session_id,
		.last_op = conn->last_op,
		.last_cxid = conn->last_cxid,
		.last_zxid = conn->last_zxid,
		.timeout_ms = conn->timeout_ms,
		.established_wall_ms = conn->established_wall_ms,
		.last_response_ms = conn->last_response_ms,
		.last_latency_ms = conn->last_latency_ms,
		.min_latency_ms =
			conn->latency_count == 0 ? 0 : conn->min_latency_ms,
		.max_latency_ms = conn->max_latency_ms,
		.latency_sum_ms = conn->latency_sum_ms,
		.latency_count = conn->latency_count,
		.expires_ms = expires_ms(reader, conn),
	};
}

/* The next connection that has a stream; NULL: budget used up, or the end. */
static struct conn *
conn_next(struct reader *reader, uint32_t *cursor, uint32_t *budget)
{
	while (*budget > 0 && *cursor < reader->conn_count) {
		struct conn *conn = &reader->conns[(*cursor)++];

		--*budget;
		if (conn->stream != STREAM_NONE)
			return conn;
	}
	if (*cursor == reader->conn_count)
		*cursor = 0;
	return NULL;
}

bool
reader_conn_next(struct reader *reader, uint32_t *cursor, uint32_t *budget,
		 struct reader_conn_row *out)
{
	const struct conn *conn = conn_next(reader, cursor, budget);

	if (conn == NULL)
		return false;
	*out = conn_row_of(reader, conn);
	return true;
}

void
reader_reset_conns(struct reader *reader, uint32_t *cursor, uint32_t budget)
{
	struct conn *conn;

	while ((conn = conn_next(reader, cursor, &budget)) != NULL)
		conn_reset_stats(conn);
}

bool
reader_permits_all(const struct reader *reader, const struct auth_ids *ids)
{
	struct tree *tree = reader->parts.tree;
	const struct znode *root;

	if (reader->is_parked)
		return false;
	root = tree_lookup(tree, tree_path_of(tree, "/", 1), reader->S);
	for (int32_t perm = 1; perm <= PERM_ADMIN; perm <<= 1)
		if (root == NULL ||
		    !read_permits(tree, root, reader->S, ids, perm))
			return false;
	return true;
}

uint32_t
reader_shed(struct reader *reader, uint32_t *cursor, uint32_t budget,
	    uint32_t percentage, bool must_close)
{
	uint32_t place = *cursor, count = 0;
	struct conn *conn;

	while ((conn = conn_next(reader, &place, &budget)) != NULL) {
		const uint32_t at = conn->index;

		/* Of places 0 .. n-1 it is n * percentage / 100. */
		if (conn->session_id == 0 ||
		    (at + 1) * percentage / 100 == at * percentage / 100)
			continue;
		count++;
		if (must_close)
			conn_close(reader, conn);
	}
	if (must_close)
		*cursor = place;
	return count;
}

bool
reader_watch_next(struct reader *reader, uint32_t *cursor, uint32_t *budget,
		  struct reader_watch_row *out)
{
	struct watch_row row;

	if (!watch_next(reader->watches, cursor, budget, &row))
		return false;
	*out = (struct reader_watch_row){
		.session_id = reader->conns[row.conn].session_id,
		.modes = row.modes,
		.is_data_path = row.is_first && row.path_data_count > 0,
		.path_hash = row.path_hash,
		.path = row.path,
	};
	return true;
}

const struct watch_table *
reader_watches(const struct reader *reader)
{
	return reader->watches;
}

bool
reader_drain(struct reader *reader)
{
	if (!reader->is_draining) {
		reader->is_draining = true;
		for (uint32_t i = 0; i < reader->conn_count; i++)
			if (reader->conns[i].stream != STREAM_NONE)
				conn_leave(reader, &reader->conns[i]);
	}
	return reader->pool.free_count == reader->pool.count &&
	       list_empty(&reader->detaching);
}
