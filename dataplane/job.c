/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job - requests that take longer than a round: counting a subtree
 * (count.c), listing what is large (listing.c), registering watches by the
 * thousand again (rewatch.c), naming a session's ephemerals (listing.c).
 *
 * A job's request stays at the head of its connection's queue, as if it were
 * at the ZAB core, and each round does one slice of one job, in turns: so a
 * round's length does not depend on how many there are or how large. A write
 * behind a job would come back, as a delta record, before the job is done; so
 * nothing more is read from the connection meanwhile (conn->is_long).
 *
 * A job that reads one state has that state kept readable: jobs_oldest().
 */
#include "dataplane/reader_int.h"

#include <stdlib.h>

void
job_init(struct job *job, const struct job_ops *ops, uint64_t S)
{
	*job = (struct job){.ops = ops, .S = S};
	list_init(&job->turn);
	list_init(&job->pin);
}

bool
job_begin(struct reader *reader, struct conn *conn, const struct local_op *op,
	  struct job *job)
{
	struct req *req = op->req;

	FAL_ASSERT(!conn->is_long);
	if (req == NULL)
		req = req_new(&reader->pool, op->body, op->body_bytes,
			      op->ids_counted);
	if (req == NULL)
		return false;
	req->kind = REQ_LOCAL;
	req->state = REQ_IS_SENT;
	req->xid = op->xid;
	req->op = op->op;
	req->received_ns = op->received_ns;
	job->req = req;
	job->conn = conn->index;
	job->conn_gen = conn->gen;
	if (conn->head != req) /* else it came back from the ZAB core */
		conn_queue_push_head(conn, req);
	conn->is_long = true;
	list_add_tail(&reader->jobs, &job->turn);
	/* Jobs start at growing S, so the first pinned one is the oldest. */
	if (job->S != JOB_ANY_STATE)
		list_add_tail(&reader->pinned_jobs, &job->pin);
	return true;
}

static void
job_free(struct reader *reader, struct job *job)
{
	list_del(&job->turn);
	list_del(&job->pin);
	job->ops->free(reader, job);
	free(job);
}

static void
job_finish(struct reader *reader, struct job *job, struct conn *conn,
	   uint64_t zxid, bool is_done)
{
	FAL_ASSERT(conn->head == job->req);
	if (conn->stream != STREAM_NONE) {
		if (is_done)
			conn_account(reader, conn, job->req->op, job->req->xid,
				     (int64_t)zxid, job->req->received_ns);
		else
			conn_abort(reader, conn);
	}
	job_free(reader, job);
	conn->is_long = false;
	conn_queue_pop(reader, conn);
}

/* A slice of the job whose turn it is. */
static void
job_slice(struct reader *reader, struct job *job)
{
	struct conn *conn = conn_of(reader, job->conn, job->conn_gen);
	int left = 0;

	FAL_ASSERT(conn != NULL);
	list_del(&job->turn);
	list_add_tail(&reader->jobs, &job->turn);
	stats_add(reader->parts.stats, STAT_LONG_SLICES, 1);
	/* A job whose connection is gone only hands its request back. */
	if (conn->stream != STREAM_NONE)
		left = job->ops->step(reader, conn, job);
	if (left <= 0)
		job_finish(reader, job, conn,
			   job->S == JOB_ANY_STATE ? reader->S : job->S,
			   left == 0);
}

bool
jobs_step(struct reader *reader)
{
	if (list_empty(&reader->jobs))
		return false;
	job_slice(reader, list_entry(reader->jobs.next, struct job, turn));
	return true;
}

uint64_t
jobs_oldest(const struct reader *reader)
{
	if (list_empty(&reader->pinned_jobs))
		return UINT64_MAX;
	return list_entry(reader->pinned_jobs.next, struct job, pin)->S;
}

void
jobs_free_all(struct reader *reader)
{
	while (reader->jobs.next != NULL && !list_empty(&reader->jobs))
		job_free(reader,
			 list_entry(reader->jobs.next, struct job, turn));
}
