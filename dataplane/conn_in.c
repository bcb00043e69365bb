/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_in - what comes in from a client: words, frames, bursts of them.
 *
 * Frames are looked at in bursts over all readable connections (batch), so
 * that the look-ups of many reads miss the cache together; they are carried
 * out in order. Bytes are consumed after the burst, up to the first frame that
 * could not be taken: then the connection is asked again by the next poll.
 */
#include "dataplane/reader_int.h"

#include "base/be.h"
#include "base/log.h"
#include "base/probe.h"

static bool
takes_frames(const struct conn *conn)
{
	return (conn->state == CONN_NEWCOMER || conn->state == CONN_OPEN) &&
	       !conn->is_paused && !conn->is_held_back;
}

/* A letter word is no length that a frame may have, so it cannot be taken for
 * one: 'a' << 24 is over any limit. */
static bool
looks_like_word(uint32_t word)
{
	for (uint32_t shift = 0; shift < 32; shift += 8) {
		const uint32_t c = (word >> shift) & 0xff;

		if (c < 'a' || c > 'z')
			return false;
	}
	return true;
}

/* False: the argument of stmk has not come whole yet. Where stmk is refused it
 * is not waited for, as ZooKeeper does. */
static bool
word_argument(struct reader *reader, const struct conn *conn, uint32_t word,
	      int64_t *argument)
{
	const uint8_t *at;

	*argument = 0;
	if (word != READER_WORD_STMK || !reader->options.is_stmk_allowed)
		return true;
	at = stream_pull(reader->parts.streams, conn->stream,
			 WORD_BYTES + sizeof(*argument));
	if (at == NULL)
		return false;
	*argument = (int64_t)be_load64(at + WORD_BYTES);
	return true;
}

static void
take_word(struct reader *reader, struct conn *conn, uint32_t word)
{
	struct reader_word note = {
		.word = word,
		.conn = conn->index,
		.conn_gen = conn->gen,
		.core = reader->parts.channel->core,
	};

	if (!word_argument(reader, conn, word, &note.argument))
		return;
	conn->received++;
	stats_add(reader->parts.stats, STAT_PACKETS_RECEIVED, 1);
	conn->state = CONN_WORD;
	list_del(&conn->link);
	conn_pause(reader, conn);
	if (!reader->hooks.on_word(reader->hooks.arg, &note))
		conn_close(reader, conn);
}

/*
 * Is this length word one a frame may have? Closes the connection when not:
 * without a reply, as client-protocol.md 1.2 says.
 */
static bool
check_length(struct reader *reader, struct conn *conn, uint32_t length)
{
	const uint32_t min =
		conn->state == CONN_OPEN ? PROTO_REQUEST_HEADER_BYTES : 1;

	if (length >= min && length <= reader->options.frame_bytes_max) {
		if (admission_of_frame(reader, length))
			return true;
		conn_close(reader, conn);
		return false;
	}
	if (conn->state == CONN_NEWCOMER && looks_like_word(length)) {
		take_word(reader, conn, length);
		return false;
	}
	log_post(LOG_FRAME_TOO_LONG, (uint64_t)conn->session_id,
		 (uint64_t)(int64_t)(int32_t)length);
	stats_add(reader->parts.stats,
		  length < min ? STAT_FRAMES_MALFORMED : STAT_FRAMES_TOO_LONG,
		  1);
	conn_close(reader, conn);
	return false;
}

static void
batch_add(struct reader *reader, struct conn *conn, const uint8_t *frame,
	  uint32_t bytes)
{
	struct batch_item *item = &reader->batch[reader->batch_count++];
	struct jute_slice path;

	*item = (struct batch_item){
		.conn = conn,
		.conn_gen = conn->gen,
		.frame = frame,
		.bytes = bytes,
	};
	conn->seen_bytes += WORD_BYTES + bytes;
	if (conn->state == CONN_OPEN && serve_path_of(frame, bytes, &path)) {
		item->is_lookup = true;
		item->aim.path = tree_path_of(reader->parts.tree, path.data,
					      (uint32_t)path.bytes);
		tree_prefetch_bucket(reader->parts.tree, item->aim.path.hash);
	}
}

static void
carry_out(struct reader *reader, struct batch_item *item)
{
	struct conn *conn = item->conn;
	bool is_taken;

	if (conn->gen != item->conn_gen || !takes_frames(conn))
		return; /* closed, or its turn ended, within this burst */
	if (conn->state == CONN_NEWCOMER)
		is_taken =
			connect_request(reader, conn, item->frame, item->bytes);
	else
		is_taken = serve_frame(reader, conn, item->frame, item->bytes,
				       item->is_lookup ? &item->aim : NULL);
	if (conn->gen != item->conn_gen)
		return;
	if (!is_taken) {
		conn->is_held_back = true;
		return;
	}
	FAL_PROBE3(frame_in, conn->session_id, item->frame, item->bytes);
	conn->done_bytes += WORD_BYTES + item->bytes;
	conn->received++;
	stats_add(reader->parts.stats, STAT_PACKETS_RECEIVED, 1);
	stats_add(reader->parts.stats, STAT_BYTES_RECEIVED,
		  WORD_BYTES + item->bytes);
	if (FAL_UNLIKELY(--reader->sampler.left == 0))
		sample_frame(reader, conn, item->frame, item->bytes);
}

/* Carries the frames of the burst out, in their order. Returns whether any is
 * left to be consumed. */
static bool
run_frames(struct reader *reader, uint32_t count)
{
	/* Behind output there may be events that belong in front of it. */
	const bool may_express = !events_have_work(reader);
	bool has_others = false;

	for (uint32_t i = 0; i < count; i++) {
		if (reader->batch[i].is_express && may_express)
			i += express_run(reader, &reader->batch[i], count - i);
		if (i == count)
			break;
		express_end(reader);
		carry_out(reader, &reader->batch[i]);
		has_others = true;
	}
	express_end(reader);
	return has_others;
}

/* Carries the burst out: nodes are fetched first. */
void
conn_run_batch(struct reader *reader)
{
	const uint32_t count = reader->batch_count;
	bool has_others;

	if (count == 0)
		return;
	for (uint32_t i = 0; i < count; i++) {
		struct batch_item *item = &reader->batch[i];

		if (item->is_lookup)
			item->aim.guess = tree_prefetch_node(
				reader->parts.tree, item->aim.path.hash);
	}
	reader->burst_ns = 0;
	reader->is_in_burst = true;
	has_others = run_frames(reader, count);
	reader->is_in_burst = false;
	reader->batch_count = 0;
	for (uint32_t i = 0; has_others && i < count; i++) {
		struct conn *conn = reader->batch[i].conn;

		if (conn == NULL || conn->gen != reader->batch[i].conn_gen)
			continue;
		if (conn->stream != STREAM_NONE && conn->done_bytes > 0)
			stream_consume(reader->parts.streams, conn->stream,
				       conn->done_bytes);
		conn->seen_bytes = 0;
		conn->done_bytes = 0;
		conn->was_held_back |= conn->is_held_back;
		conn->is_held_back = false;
	}
}

/* Whole frames that lie in one piece from `at` on join the burst. Returns how
 * many did. */
static uint32_t
batch_frames(struct reader *reader, struct conn *conn, const uint8_t *at,
	     uint32_t bytes)
{
	uint32_t count = 0;

	while (reader->batch_count < BATCH_MAX &&
	       bytes - conn->seen_bytes >= WORD_BYTES) {
		const uint8_t *frame = at + conn->seen_bytes;
		const uint32_t length = be_load32(frame);

		if (conn->seen_bytes > 0 &&
		    (conn->state == CONN_NEWCOMER ||
		     length < PROTO_REQUEST_HEADER_BYTES ||
		     length > reader->options.frame_bytes_max))
			break; /* judged when it is first in line */
		if (conn->seen_bytes == 0 &&
		    !check_length(reader, conn, length))
			break;
		if (bytes - conn->seen_bytes - WORD_BYTES < length)
			break;
		batch_add(reader, conn, frame + WORD_BYTES, length);
		count++;
	}
	return count;
}

/* The first frame does not lie in one piece yet: ask for all of it. */
static bool
batch_long_frame(struct reader *reader, struct conn *conn)
{
	struct stream_core *streams = reader->parts.streams;
	const uint8_t *at = stream_pull(streams, conn->stream, WORD_BYTES);

	if (at == NULL)
		return false;

	const uint32_t length = be_load32(at);

	if (!check_length(reader, conn, length))
		return false;
	at = stream_pull(streams, conn->stream, WORD_BYTES + length);
	if (at == NULL)
		return false;
	batch_add(reader, conn, at + WORD_BYTES, length);
	return true;
}

__attribute__((noinline)) void
conn_read_any(struct reader *reader, struct conn *conn, stream_id id)
{
	struct stream_slice slices[STREAM_SLICES_MAX];

	while (conn != NULL && conn->stream == id && takes_frames(conn)) {
		const uint32_t count =
			stream_peek(reader->parts.streams, id, slices);

		if (count == 0)
			return;
		if (batch_frames(reader, conn, slices[0].data,
				 slices[0].bytes) == 0) {
			if (conn->stream != id || conn->seen_bytes > 0 ||
			    !takes_frames(conn) ||
			    !batch_long_frame(reader, conn))
				return;
		}
		if (reader->batch_count < BATCH_MAX)
			return; /* the rest waits for the next poll */
		conn->was_held_back = false;
		conn_run_batch(reader);
		if (conn->was_held_back)
			return; /* its frames would be looked at for ever */
	}
}

__attribute__((noinline)) void
conn_read_peeked(struct reader *reader, struct conn *conn, stream_id id)
{
	struct stream_slice slices[STREAM_SLICES_MAX];

	if (stream_peek(reader->parts.streams, id, slices) != 1 ||
	    !express_take(reader, conn, slices[0].data, slices[0].bytes))
		conn_read_any(reader, conn, id);
	else if (reader->batch_count == BATCH_MAX)
		conn_run_batch(reader);
}
