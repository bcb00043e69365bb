/* SPDX-License-Identifier: Apache-2.0 */
/*
 * count - getAllChildrenNumber: counting a subtree, a slice a round.
 *
 * A count looks at every descendant, so a large one is a job: its request
 * stays at the head of its connection's queue (as if it were at the ZAB core),
 * its state S is kept readable, and each round counts a slice. Most subtrees
 * are done within the first slice and never become a job.
 *
 * A write behind a count would come back, as a delta record, before the count
 * is done. So nothing more is read from the connection while one is queued.
 */
#include "dataplane/reader_int.h"

#include <stdlib.h>

#include "znode/read.h"
#include "znode/walk.h"

/* Nodes looked at before other connections have their turn: about 20 us. */
#define COUNT_SLICE 256u

struct count_job {
	struct list link; /* reader.counts */
	struct walk walk;
	uint64_t S;
	uint64_t count;
	uint32_t conn, conn_gen;
	struct req *req; /* at the head of the connection's queue */
};

static void
reply(struct reader *reader, struct conn *conn, int32_t xid, uint64_t S,
      int32_t err, uint64_t count)
{
	uint8_t body[4];

	be_store32(body, (uint32_t)count);
	conn_reply(reader, conn, xid, (int64_t)S, err, body,
		   err == ZK_OK ? sizeof(body) : 0);
}

static void
job_free(struct count_job *job)
{
	list_del(&job->link);
	walk_free(&job->walk);
	free(job);
}

/* Checks in the order of client-protocol.md 3.7. */
static int32_t
check(struct reader *reader, const struct local_op *op, struct tree_path *path,
      uint64_t *count)
{
	struct jute_reader body = jute_reader_of(op->body, op->body_bytes);
	struct tree *tree = reader->parts.tree;
	struct jute_slice text;

	if (proto_get_path(&body, &text) != 0)
		return ZK_MARSHALLINGERROR;
	/* ZooKeeper counts paths that begin with the path and a slash; "" and
	 * "/" mean the same node, but below "" there is "/" too. */
	*count = text.bytes <= 0 ? 1 : 0;
	*path = tree_path_of(tree, text.data,
			     text.bytes < 0 ? 0 : (uint32_t)text.bytes);

	const struct znode *node = tree_lookup(tree, *path, reader->S);

	if (node == NULL)
		return ZK_NONODE;
	return read_permits(tree, node, reader->S, op->ids, PERM_READ)
		       ? ZK_OK
		       : ZK_NOAUTH;
}

/* Puts the request at the head of the queue, to wait for its job. */
static bool
enqueue(struct reader *reader, struct conn *conn, const struct local_op *op,
	struct count_job *job)
{
	struct req *req = req_new(&reader->pool, NULL, 0, NULL);

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
	conn_queue_push_head(conn, req);
	return true;
}

void
count_serve(struct reader *reader, struct conn *conn, const struct local_op *op)
{
	struct tree_path path;
	uint64_t first = 0;
	const int32_t err = check(reader, op, &path, &first);

	conn->is_counting = false;
	if (err != ZK_OK) {
		reply(reader, conn, op->xid, reader->S, err, 0);
		return;
	}

	struct count_job *job = calloc(1, sizeof(*job));

	if (job == NULL ||
	    walk_init(&job->walk, reader->parts.tree, reader->S, path) < 0) {
		free(job);
		conn_abort(reader, conn);
		return;
	}
	list_init(&job->link);
	job->S = reader->S;
	job->count = first;

	const int left = walk_count(&job->walk, COUNT_SLICE, &job->count);

	if (left == 0)
		reply(reader, conn, op->xid, job->S, ZK_OK, job->count);
	else if (left < 0 || !enqueue(reader, conn, op, job))
		conn_abort(reader, conn);
	else {
		conn->is_counting = true;
		list_add_tail(&reader->counts, &job->link);
		return;
	}
	job_free(job);
}

static void
finish(struct reader *reader, struct count_job *job, bool is_counted)
{
	struct conn *conn = conn_of(reader, job->conn, job->conn_gen);

	FAL_ASSERT(conn != NULL && conn->head == job->req);
	if (conn->stream != STREAM_NONE) {
		if (is_counted)
			reply(reader, conn, job->req->xid, job->S, ZK_OK,
			      job->count);
		else
			conn_abort(reader, conn);
	}
	job_free(job);
	conn->is_counting = false;
	conn_queue_pop(reader, conn);
}

bool
count_step(struct reader *reader)
{
	struct list *link, *after;

	if (list_empty(&reader->counts))
		return false;
	list_for_each_safe (link, after, &reader->counts) {
		struct count_job *job =
			list_entry(link, struct count_job, link);
		const struct conn *conn =
			conn_of(reader, job->conn, job->conn_gen);
		const bool is_wanted =
			conn != NULL && conn->stream != STREAM_NONE;
		const int left = is_wanted ? walk_count(&job->walk, COUNT_SLICE,
							&job->count)
					   : 0;

		if (left <= 0)
			finish(reader, job, left == 0);
	}
	return true;
}

uint64_t
count_oldest(const struct reader *reader)
{
	/* Jobs start at growing S. */
	if (list_empty(&reader->counts))
		return UINT64_MAX;
	return list_entry(reader->counts.next, struct count_job, link)->S;
}

void
count_free_all(struct reader *reader)
{
	while (reader->counts.next != NULL && !list_empty(&reader->counts))
		job_free(list_entry(reader->counts.next, struct count_job,
				    link));
}
