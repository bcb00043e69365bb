/* SPDX-License-Identifier: Apache-2.0 */
/*
 * count - getAllChildrenNumber: counting a subtree, a slice a round.
 *
 * A count looks at every descendant, so a large one is a job (job.c) at the
 * state it started with. Most subtrees are done within the first slice and
 * never become one.
 */
#include "dataplane/reader_int.h"

#include <stdlib.h>

#include "znode/read.h"
#include "znode/walk.h"

/* Nodes looked at before other connections have their turn: about 20 us. */
#define COUNT_SLICE 256u

struct count_job {
	struct job job; /* first */
	struct walk walk;
	uint64_t count;
};

static void
count_reply(struct reader *reader, struct conn *conn, int32_t xid, uint64_t S,
	    int32_t err, uint64_t count)
{
	uint8_t body[4];

	be_store32(body, (uint32_t)count);
	conn_reply(reader, conn, xid, (int64_t)S, err, body,
		   err == ZK_OK ? sizeof(body) : 0);
}

/* Checks in the order of client-protocol.md 3.7. */
static int32_t
check(struct reader *reader, const struct local_op *op, struct tree_path *path,
      uint64_t *count)
{
	struct jute_reader body = jute_reader_of(op->body, op->body_bytes);
	struct tree *tree = reader->parts.tree;
	struct jute_slice text;

	if (proto_get_path(&body, &text) != 0 || text.bytes < 0)
		return ZK_MARSHALLINGERROR;
	/* ZooKeeper counts paths that begin with the path and a slash; "" and
	 * "/" mean the same node, but below "" there is "/" too. */
	*count = text.bytes == 0 ? 1 : 0;
	*path = tree_path_of(tree, text.data, (uint32_t)text.bytes);

	const struct znode *node = tree_lookup(tree, *path, reader->S);

	if (node == NULL)
		return ZK_NONODE;
	return read_permits(tree, node, reader->S, op->ids, PERM_READ)
		       ? ZK_OK
		       : ZK_NOAUTH;
}

static int
count_step(struct reader *reader, struct conn *conn, struct job *job)
{
	struct count_job *count = (struct count_job *)(void *)job;
	const int left = walk_count(&count->walk, COUNT_SLICE, &count->count);

	if (left == 0)
		count_reply(reader, conn, job->req->xid, job->S, ZK_OK,
			    count->count);
	return left;
}

static void
count_free(struct reader *reader, struct job *job)
{
	(void)reader;
	walk_free(&((struct count_job *)(void *)job)->walk);
}

static const struct job_ops count_ops = {
	.step = count_step,
	.free = count_free,
};

void
count_serve(struct reader *reader, struct conn *conn, const struct local_op *op)
{
	struct tree_path path;
	uint64_t first = 0;
	const int32_t err = check(reader, op, &path, &first);

	if (err != ZK_OK) {
		count_reply(reader, conn, op->xid, reader->S, err, 0);
		return;
	}

	struct count_job *job = calloc(1, sizeof(*job));

	if (job == NULL ||
	    walk_init(&job->walk, reader->parts.tree, reader->S, path) < 0) {
		free(job);
		conn_abort(reader, conn);
		return;
	}
	job_init(&job->job, &count_ops, reader->S);
	job->count = first;

	const int left = walk_count(&job->walk, COUNT_SLICE, &job->count);

	if (left == 0)
		count_reply(reader, conn, op->xid, reader->S, ZK_OK,
			    job->count);
	else if (left > 0 && job_begin(reader, conn, op, &job->job))
		return;
	else
		conn_abort(reader, conn);
	walk_free(&job->walk);
	free(job);
}
