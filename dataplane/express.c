/* SPDX-License-Identifier: Apache-2.0 */
/*
 * express - getData as nearly all of them come: one frame, which is all that
 * its connection has sent, from a connection that waits for nothing, without a
 * watch; the node is there and its reply fits into the segment that leaves.
 *
 * Such a request does what serve.c does of it, in fewer steps. What is not
 * like that, or turns out not to be, goes the long way: serving here has no
 * effect until nothing can go wrong any more. So every rule about refusals,
 * limits and errors stands in one place, and it is not this one.
 *
 * What requests are counted as is added up over a run of them and noted at its
 * end; a run ends where another request is in between.
 */
#include "dataplane/reader_int.h"

#include <string.h>

#include "base/be.h"
#include "base/probe.h"
#include "znode/read.h"

/* Around the path: length, header, path's length; the byte of the watch. */
#define PATH_AT      (WORD_BYTES + PROTO_REQUEST_HEADER_BYTES + 4u)
#define BEHIND_PATH  1u
#define PATH_LEAST   2u /* the root has two names */
#define FRAME_LEAST  (PATH_AT + PATH_LEAST + BEHIND_PATH)
#define FRAME_MOST   1024u
#define REPLY_LEAST  512u
#define REPLY_HEADER (WORD_BYTES + PROTO_REPLY_HEADER_BYTES)

/* Frames from FRAME_LEAST on, so many lengths, none of them near a limit. */
uint32_t
express_lengths(const struct reader_options *options)
{
	uint64_t most = WORD_BYTES + (uint64_t)options->frame_bytes_max;

	if (options->enforced_schemes != NULL)
		return 0; /* there is more to be asked about a connection */
	if (options->large_threshold > 0 &&
	    WORD_BYTES + (uint64_t)options->large_threshold < most)
		most = WORD_BYTES + (uint64_t)options->large_threshold;
	if (most > FRAME_MOST)
		most = FRAME_MOST;
	return most < FRAME_LEAST ? 0 : (uint32_t)(most - FRAME_LEAST + 1);
}

/* Open, not held back for any reason, and nothing in front of the next
 * request. */
static inline bool
is_calm(const struct conn *conn)
{
	static const uint8_t calm[8] = {CONN_OPEN};

	_Static_assert(offsetof(struct conn, is_syncing) ==
			       offsetof(struct conn, state) + 7,
		       "eight bytes, state first");
	return memcmp(&conn->state, calm, sizeof(calm)) == 0 &&
	       conn->head == NULL && conn->held == NULL;
}

inline __attribute__((always_inline)) bool
express_take(struct reader *reader, struct conn *conn, const uint8_t *at,
	     uint32_t bytes)
{
	struct tree *tree = reader->parts.tree;
	struct batch_item *item;

	if (bytes - FRAME_LEAST >= reader->express_lengths ||
	    be_load32(at) != bytes - WORD_BYTES ||
	    be_load32(at + WORD_BYTES + 4) != OP_GET_DATA ||
	    be_load32(at + PATH_AT - 4) != bytes - PATH_AT - BEHIND_PATH ||
	    at[bytes - 1] != 0 || conn->seen_bytes != 0 || !is_calm(conn))
		return false;
	item = &reader->batch[reader->batch_count++];
	item->conn = conn;
	item->conn_gen = conn->gen;
	item->frame = at + WORD_BYTES;
	item->bytes = bytes - WORD_BYTES;
	item->is_lookup = true;
	item->is_express = true;
	item->aim.guess = NULL;
	tree_path_set(tree, at + PATH_AT, bytes - PATH_AT - BEHIND_PATH,
		      &item->aim.path);
	tree_prefetch_bucket(tree, item->aim.path.hash);
	return true;
}

/* What conn_account() notes of a connection: it took no time. */
static inline void
account_conn(const struct reader *reader, struct conn *conn, int32_t xid)
{
	conn->received++;
	conn->sent++;
	conn->last_op = OP_GET_DATA;
	if (xid >= 0)
		conn->last_cxid = xid;
	conn->last_zxid = (int64_t)reader->S;
	conn->last_response_ms = reader->now_ms;
	conn->last_latency_ms = 0;
	conn->min_latency_ms = 0;
	conn->latency_count++;
}

static inline void
account_run(struct express_run *run, uint32_t in_bytes, uint32_t out_bytes)
{
	const uint32_t size = out_bytes - 4; /* as account_sent() */

	run->count++;
	run->in_bytes += in_bytes;
	run->out_bytes += out_bytes;
	run->last = size;
	if (size < run->smallest)
		run->smallest = size;
	if (size > run->largest)
		run->largest = size;
}

/* Answers a frame. False: nothing has happened, it is for serve_frame(). */
static inline __attribute__((always_inline)) bool
answer_item(struct reader *reader, const struct batch_item *item)
{
	struct stream_core *streams = reader->parts.streams;
	struct conn *conn = item->conn;
	const uint32_t in_bytes = WORD_BYTES + item->bytes;
	uint32_t got, body, out_bytes, xid;
	uint8_t *to;

	if (FAL_UNLIKELY(conn->gen != item->conn_gen || !is_calm(conn)))
		return false;
	to = stream_answer_begin(streams, conn->stream, REPLY_LEAST, &got);
	if (FAL_UNLIKELY(to == NULL))
		return false;
	body = read_data_at(reader->parts.tree, reader->S, &item->aim,
			    conn->ids->list, to + REPLY_HEADER,
			    got - REPLY_HEADER);
	if (FAL_UNLIKELY(body == 0))
		return false;
	out_bytes = REPLY_HEADER + body;
	be_store32(to, out_bytes - WORD_BYTES);
	xid = be_load32(item->frame);
	be_store32(to + 4, xid);
	be_store64(to + 8, reader->S);
	be_store32(to + 16, ZK_OK);
	conn_touch(reader, conn);
	FAL_PROBE3(frame_in, conn->session_id, item->frame, item->bytes);
	account_conn(reader, conn, (int32_t)xid);
	account_run(&reader->express, in_bytes, out_bytes);
	if (FAL_UNLIKELY(--reader->sampler.left == 0))
		sample_frame(reader, conn, item->frame, item->bytes);
	stream_answer_end(streams, conn->stream, out_bytes, in_bytes);
	return true;
}

uint32_t
express_run(struct reader *reader, struct batch_item *items, uint32_t count)
{
	struct batch_item *item = items;
	const struct batch_item *end = items + count;

	while (item != end && item->is_express && answer_item(reader, item)) {
		item->conn = NULL;
		item++;
	}
	return (uint32_t)(item - items);
}

void
express_end(struct reader *reader)
{
	struct express_run *run = &reader->express;
	struct stats_core *stats = reader->parts.stats;
	const uint32_t count = run->count;

	if (count == 0)
		return;
	stats_add(stats, STAT_PACKETS_RECEIVED, count);
	stats_add(stats, STAT_BYTES_RECEIVED, run->in_bytes);
	stats_add(stats, STAT_PACKETS_SENT, count);
	stats_add(stats, STAT_RESPONSE_BYTES, run->out_bytes);
	stats_set(stats, STAT_RESPONSE_LAST, run->last);
	summary_record_all(&stats->summary[SUMMARY_RESPONSE_SIZE], count,
			   run->out_bytes - 4ull * count, run->smallest,
			   run->largest);
	summary_record_many(&stats->summary[SUMMARY_REQUEST_LATENCY], 0, count);
	account_express(reader, count);
	express_begin(reader);
}

void
express_begin(struct reader *reader)
{
	reader->express = (struct express_run){.smallest = UINT32_MAX};
}
