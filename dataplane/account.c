/* SPDX-License-Identifier: Apache-2.0 */
/*
 * account - what is counted of each answered request.
 *
 * A latency runs from the round in which the frame was found to the end of the
 * round that wrote the reply, when it has left. Of the reads of a round, which
 * are nearly all requests, only the number by operation is kept until then; of
 * others when they came, as far as there is room: the last ones of a very full
 * round are noted at once, too short by the rest of that round.
 */
#include "dataplane/reader_int.h"

#include <string.h>

static const struct {
	int32_t op;
	enum stat_hist hist;
} op_hists[] = {
	{OP_ADD_WATCH, HIST_OP_ADD_WATCH},
	{OP_CHECK_WATCHES, HIST_OP_CHECK_WATCHES},
	{OP_CLOSE_SESSION, HIST_OP_CLOSE_SESSION},
	{OP_CREATE, HIST_OP_CREATE},
	{OP_CREATE2, HIST_OP_CREATE},
	{OP_CREATE_CONTAINER, HIST_OP_CREATE},
	{OP_CREATE_TTL, HIST_OP_CREATE},
	{OP_CREATE_SESSION, HIST_OP_CREATE_SESSION},
	{OP_DELETE, HIST_OP_DELETE},
	{OP_EXISTS, HIST_OP_EXISTS},
	{OP_GET_ACL, HIST_OP_GET_ACL},
	{OP_GET_ALL_CHILDREN_NUMBER, HIST_OP_GET_ALL_CHILDREN_NUMBER},
	{OP_GET_CHILDREN, HIST_OP_GET_CHILDREN},
	{OP_GET_CHILDREN2, HIST_OP_GET_CHILDREN},
	{OP_GET_DATA, HIST_OP_GET_DATA},
	{OP_GET_EPHEMERALS, HIST_OP_GET_EPHEMERALS},
	{OP_MULTI, HIST_OP_MULTI},
	{OP_MULTI_READ, HIST_OP_MULTI_READ},
	{OP_PING, HIST_OP_PING},
	{OP_RECONFIG, HIST_OP_RECONFIG},
	{OP_REMOVE_WATCHES, HIST_OP_REMOVE_WATCHES},
	{OP_SET_ACL, HIST_OP_SET_ACL},
	{OP_SET_DATA, HIST_OP_SET_DATA},
	{OP_SET_WATCHES, HIST_OP_SET_WATCHES},
	{OP_SET_WATCHES2, HIST_OP_SET_WATCHES},
	{OP_SYNC, HIST_OP_SYNC},
	{OP_WHO_AM_I, HIST_OP_WHO_AM_I},
};

_Static_assert(HIST_COUNT < ACCOUNT_NONE, "a byte names a histogram");

/* By op - ACCOUNT_OP_FIRST, so that counting is one load. */
void
account_init(struct account *account)
{
	memset(account, 0, sizeof(*account));
	memset(account->hist_of_op, ACCOUNT_NONE, sizeof(account->hist_of_op));
	for (size_t i = 0; i < sizeof(op_hists) / sizeof(op_hists[0]); i++) {
		const int32_t at = op_hists[i].op - ACCOUNT_OP_FIRST;

		FAL_ASSERT(at >= 0 && at < ACCOUNT_OPS);
		account->hist_of_op[at] = (uint8_t)op_hists[i].hist;
	}
}

/* An update is noted under its operation and as an update: its neighbour's
 * entry is among the last two. */
static void
note_later(struct reader *reader, enum stat_hist hist, uint64_t received_ns,
	   uint32_t count)
{
	struct account *account = &reader->account;

	for (uint32_t back = 1; back <= 2 && back <= account->late_count;
	     back++) {
		struct account_late *late =
			&account->late[account->late_count - back];

		if (late->received_ns == received_ns && late->hist == hist) {
			late->count += count;
			return;
		}
	}
	if (account->late_count == ACCOUNT_LATE_MAX) {
		hist_record_many(&reader->parts.stats->hist[hist],
				 reader->now_ns - received_ns, count);
		return;
	}
	account->late[account->late_count++] =
		(struct account_late){.received_ns = received_ns,
				      .count = count,
				      .hist = (uint8_t)hist};
}

static void
count_now(struct reader *reader, enum stat_hist hist)
{
	reader->account.now_count[hist]++;
	reader->account.now_any |= 1ull << hist;
}

static void
note_op(struct reader *reader, int32_t op, uint64_t received_ns)
{
	struct account *account = &reader->account;
	const int32_t at = op - ACCOUNT_OP_FIRST;

	if (at < 0 || at >= ACCOUNT_OPS ||
	    account->hist_of_op[at] == ACCOUNT_NONE)
		return;

	const uint8_t hist = account->hist_of_op[at];

	if (received_ns == reader->now_ns)
		count_now(reader, (enum stat_hist)hist);
	else
		note_later(reader, (enum stat_hist)hist, received_ns, 1);
}

/* Stations are passed on two cores, or noted by round: never negative. */
static uint64_t
between(uint64_t from_ns, uint64_t to_ns)
{
	return to_ns > from_ns ? to_ns - from_ns : 0;
}

static bool
find_stations(const struct reader *reader, const struct req *req, uint64_t zxid,
	      struct account_stations *out)
{
	if (reader->parts.ledger == NULL || req->taken_ns == 0)
		return false;
	out->received_ns = req->received_ns;
	out->sent_ns = req->sent_ns;
	out->taken_ns = req->taken_ns;
	return ledger_find(reader->parts.ledger, zxid, &out->at);
}

/* In the order of enum ledger_stage, all but the reply. */
static void
stages_of(const struct reader *reader, const struct account_stations *passed,
	  uint64_t *stage_ns)
{
	const struct ledger_times *at = &passed->at;

	stage_ns[LEDGER_DECODE] = between(passed->received_ns, passed->sent_ns);
	stage_ns[LEDGER_RING] = between(passed->sent_ns, passed->taken_ns);
	stage_ns[LEDGER_PREPARE] = between(passed->taken_ns, at->appended_ns);
	stage_ns[LEDGER_LOG] = between(at->appended_ns, at->durable_ns);
	stage_ns[LEDGER_QUORUM] = between(at->durable_ns, at->published_ns);
	stage_ns[LEDGER_PUBLISH] = between(at->published_ns, reader->now_ns);
}

_Static_assert(HIST_STAGE_REPLY - HIST_STAGE_DECODE == LEDGER_REPLY,
	       "histograms in the order of the stages");

/* Puts the run into the histograms of the stages; in the round that answered
 * it, to whose beginning its last stage reaches. */
static void
end_run(struct reader *reader)
{
	struct account *account = &reader->account;
	uint64_t stage_ns[LEDGER_STAGES];

	if (account->run_count == 0)
		return;
	stages_of(reader, &account->run, stage_ns);
	for (uint32_t i = 0; i < LEDGER_REPLY; i++)
		hist_record_many(
			&reader->parts.stats->hist[HIST_STAGE_DECODE + i],
			stage_ns[i], account->run_count);
	note_later(reader, HIST_UPDATE_LATENCY, account->run.received_ns,
		   account->run_count);
	account->run_count = 0;
}

static bool
is_same_run(const struct account_stations *a, const struct account_stations *b)
{
	return a->received_ns == b->received_ns && a->sent_ns == b->sent_ns &&
	       a->taken_ns == b->taken_ns &&
	       a->at.appended_ns == b->at.appended_ns &&
	       a->at.durable_ns == b->at.durable_ns &&
	       a->at.published_ns == b->at.published_ns;
}

void
account_update(struct reader *reader, const struct req *req, uint64_t zxid,
	       struct slow_request *slow)
{
	struct account *account = &reader->account;
	struct account_stations passed;

	stats_add(reader->parts.stats, STAT_UPDATES, 1);
	if (!find_stations(reader, req, zxid, &passed)) {
		note_later(reader, HIST_UPDATE_LATENCY, req->received_ns, 1);
		return;
	}
	if (account->run_count == 0 || !is_same_run(&account->run, &passed)) {
		end_run(reader);
		account->run = passed;
	}
	account->run_count++;
	count_now(reader, HIST_STAGE_REPLY);
	if (slow != NULL)
		stages_of(reader, &passed, slow->stage_ns);
}

void
account_read(struct reader *reader)
{
	stats_add(reader->parts.stats, STAT_READS, 1);
	count_now(reader, HIST_READ_LATENCY);
}

void
account_express(struct reader *reader, uint32_t count)
{
	struct account *account = &reader->account;

	stats_add(reader->parts.stats, STAT_READS, count);
	account->now_count[HIST_READ_LATENCY] += count;
	account->now_count[HIST_OP_GET_DATA] += count;
	account->now_any |=
		1ull << HIST_READ_LATENCY | 1ull << HIST_OP_GET_DATA;
}

void
account_sent(struct reader *reader, struct conn *conn, uint64_t frame_bytes)
{
	struct stats_core *stats = reader->parts.stats;
	const uint64_t bytes = frame_bytes - 4; /* as ZooKeeper counts them */

	conn->sent++;
	stats_add(stats, STAT_PACKETS_SENT, 1);
	stats_add(stats, STAT_RESPONSE_BYTES, frame_bytes);
	stats_set(stats, STAT_RESPONSE_LAST, bytes);
	stats_summary_record(stats, SUMMARY_RESPONSE_SIZE, bytes);
}

/* The replies of this round's slow requests have left. */
static void
close_slow(struct reader *reader, uint64_t now_ns)
{
	const uint64_t reply_ns = now_ns - reader->now_ns;

	for (uint32_t open = reader->account.slow_open; open != 0;
	     open &= open - 1) {
		struct slow_request *slow =
			&reader->slow.now.request[__builtin_ctz(open)];

		slow->stage_ns[LEDGER_REPLY] = reply_ns;
		slow->total_ns += reply_ns;
	}
	reader->account.slow_open = 0;
}

void
reader_round_done(struct reader *reader, uint64_t now_ns)
{
	struct account *account = &reader->account;
	struct stats_core *stats = reader->parts.stats;

	if (account->now_count[HIST_READ_LATENCY] > 0)
		stats_summary_record(stats, SUMMARY_READS_ROUND,
				     account->now_count[HIST_READ_LATENCY]);
	for (uint64_t any = account->now_any; any != 0; any &= any - 1) {
		const uint32_t hist = (uint32_t)__builtin_ctzll(any);

		hist_record_many(&stats->hist[hist], now_ns - reader->now_ns,
				 account->now_count[hist]);
		account->now_count[hist] = 0;
	}
	account->now_any = 0;
	end_run(reader);
	for (uint32_t i = 0; i < account->late_count; i++)
		hist_record_many(&stats->hist[account->late[i].hist],
				 now_ns - account->late[i].received_ns,
				 account->late[i].count);
	account->late_count = 0;
	close_slow(reader, now_ns);
}

/* What it is about stands in the request, if that is still at hand. */
static struct slow_request *
note_slow(struct reader *reader, const struct conn *conn, int32_t op,
	  int32_t xid, int64_t zxid, uint64_t total_ns)
{
	struct slow_request *slow =
		slow_place(&reader->slow, reader->now_ms, total_ns);
	const struct req *req = conn->head;
	struct jute_slice path;

	if (slow == NULL)
		return NULL;
	reader->account.slow_open |= 1u << (slow - reader->slow.now.request);
	slow->session_id = conn->session_id;
	slow->zxid = zxid;
	slow->wall_ms = reader->wall_ms;
	slow->op = op;
	slow->xid = xid;
	if (req != NULL && req->xid == xid && req->op == op &&
	    sample_path(op, req->body, req->body_bytes, &path)) {
		slow->path_bytes = (uint32_t)path.bytes;
		memcpy(slow->path, path.data,
		       slow->path_bytes < SLOW_PATH_BYTES ? slow->path_bytes
							  : SLOW_PATH_BYTES);
	}
	return slow;
}

struct slow_request *
conn_account(struct reader *reader, struct conn *conn, int32_t op, int32_t xid,
	     int64_t zxid, uint64_t received_ns)
{
	const uint64_t ns = reader->now_ns - received_ns;
	const uint64_t ms = time_ns_to_ms(ns);

	conn->last_op = op;
	if (xid >= 0)
		conn->last_cxid = xid;
	conn->last_zxid = zxid;
	conn->last_response_ms = reader->now_ms;
	conn->last_latency_ms = ms;
	conn->latency_sum_ms += ms;
	conn->latency_count++;
	if (ms < conn->min_latency_ms)
		conn->min_latency_ms = ms;
	if (ms > conn->max_latency_ms)
		conn->max_latency_ms = ms;
	stats_summary_record(reader->parts.stats, SUMMARY_REQUEST_LATENCY, ms);
	note_op(reader, op, received_ns);
	return received_ns == reader->now_ns
		       ? NULL
		       : note_slow(reader, conn, op, xid, zxid, ns);
}

const struct slow_request *
reader_slow_next(struct reader *reader, uint32_t *cursor)
{
	const struct slow *slow = &reader->slow;
	const uint32_t at = *cursor;

	slow_turn(&reader->slow, reader->now_ms);
	if (at >= slow->now.count + slow->before.count) {
		*cursor = 0;
		return NULL;
	}
	++*cursor;
	return at < slow->now.count
		       ? &slow->now.request[at]
		       : &slow->before.request[at - slow->now.count];
}
