/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rewatch - setWatches and setWatches2: what a client that reconnected missed,
 * and its watches again (znode/set_watches.h).
 *
 * Short requests are done at once. One of thousands of paths is a job (job.c):
 * each slice decides some paths at the state the core has reached by then, so
 * nothing is kept readable for it, and a change between two slices is told by
 * the watch that the earlier one registered.
 */
#include "dataplane/reader_int.h"

#include <stdlib.h>

#include "znode/set_watches.h"

/* Paths of a slice, at 0.2 to 0.6 us each. */
#define REWATCH_SLICE 64u
/* A body up to this size has at most so many paths that it is no job. */
#define REWATCH_DIRECT_BYTES 1024u

struct rewatch_job {
	struct job job; /* first */
	struct proto_set_watches request;
	struct set_watches walk;
};

static int
step(struct reader *reader, struct conn *conn, struct set_watches *walk,
     uint32_t budget)
{
	const struct set_watches_world world = {
		.tree = reader->parts.tree,
		.S = reader->S,
		.watches = reader->watches,
		.conn = conn->index,
		.deliver = events_deliver_missed,
		.arg = reader,
	};

	events_before_output(reader, conn);
	return set_watches_step(walk, &world, budget);
}

static void
rewatch_reply(struct reader *reader, struct conn *conn, int32_t xid,
	      int32_t err)
{
	conn_reply(reader, conn, xid, (int64_t)reader->S, err, NULL, 0);
}

static int
rewatch_step(struct reader *reader, struct conn *conn, struct job *job)
{
	struct rewatch_job *rewatch = (struct rewatch_job *)(void *)job;
	const int left = step(reader, conn, &rewatch->walk, REWATCH_SLICE);

	if (left == 0)
		rewatch_reply(reader, conn, job->req->xid, ZK_OK);
	return left;
}

static void
rewatch_free(struct reader *reader, struct job *job)
{
	(void)reader;
	(void)job;
}

static const struct job_ops rewatch_ops = {
	.step = rewatch_step,
	.free = rewatch_free,
};

/* The request's bytes are the job's own from now on: it is read from there. */
static bool
rewatch_begin(struct reader *reader, struct conn *conn,
	      const struct local_op *op)
{
	struct rewatch_job *job = calloc(1, sizeof(*job));

	if (job == NULL)
		return false;
	job_init(&job->job, &rewatch_ops, JOB_ANY_STATE);
	if (!job_begin(reader, conn, op, &job->job)) {
		free(job);
		return false;
	}

	struct jute_reader body =
		jute_reader_of(job->job.req->body, job->job.req->body_bytes);
	const int err = proto_get_set_watches(&body, op->op, &job->request);

	FAL_ASSERT(err == 0); /* decoded before */
	set_watches_begin(&job->walk, &job->request);
	return true;
}

bool
rewatch_is_long(const struct local_op *op)
{
	return op->body_bytes > REWATCH_DIRECT_BYTES;
}

void
rewatch_serve(struct reader *reader, struct conn *conn,
	      const struct local_op *op)
{
	struct jute_reader body = jute_reader_of(op->body, op->body_bytes);
	struct proto_set_watches request;
	struct set_watches walk;

	if (proto_get_set_watches(&body, op->op, &request) != 0) {
		rewatch_reply(reader, conn, op->xid, ZK_MARSHALLINGERROR);
		return;
	}
	if (rewatch_is_long(op)) {
		if (!rewatch_begin(reader, conn, op))
			conn_abort(reader, conn);
		return;
	}
	set_watches_begin(&walk, &request);

	const int left = step(reader, conn, &walk, UINT32_MAX);

	FAL_ASSERT(left <= 0);
	if (left == 0)
		rewatch_reply(reader, conn, op->xid, ZK_OK);
	else
		conn_abort(reader, conn);
}
