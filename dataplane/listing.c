/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listing - replies that are made in slices: getChildren of a large directory,
 * multiRead, whose results may be of any number and size, and getEphemerals,
 * for which the writer said which nodes they are.
 *
 * The frame's length stands in front of it, so the reply is gone through twice
 * at one state S0: measured first, then written, some names or results a round
 * (job.c). Nothing is collected aside, whatever the size. The same walk that
 * fits the first slice needs no job: it is measured and written at once.
 *
 * Order. The watch of a getChildren is registered when the walk starts, at S0.
 * What happens behind S0 is told by the connection's events, which are held
 * back (conn_hold()) until the reply is out: the reply that sets a watch comes
 * before its first event, and nothing comes into the middle of a frame.
 */
#include "dataplane/reader_int.h"

#include <stdlib.h>
#include <string.h>

#include "znode/read.h"

/* A slice ends at either, one that only measures at the first. A name costs 15
 * to 20 ns in cache, several times that in a large directory. */
#define LISTING_SLICE_ITEMS 256u
#define LISTING_SLICE_BYTES (64u << 10)

enum { PASS_MEASURE, PASS_WRITE };

/* What is walked, and where the walk stands. */
struct listing {
	int32_t op;
	uint64_t S;
	const struct auth_ids *ids;
	struct jute_reader body; /* multiRead: at the next read */

	const struct znode *dir; /* whose names are being listed, or NULL */
	uint64_t cursor;
	uint32_t names_left;
	bool has_stat;
	struct tree_stat stat;

	const uint32_t *nodes; /* getEphemerals: handles, the request's */
	uint32_t node_count, node_at;
	struct jute_slice prefix; /* of the paths that are wanted; none: all */
	uint32_t matches;

	bool is_at_end;
	int32_t err; /* of the whole request */
};

/* Where the bytes of a pass go. */
struct sink {
	struct reader *reader;
	struct conn *conn;
	uint8_t pass;
	bool is_refused;      /* the connection took no more, and is gone */
	uint64_t bytes;       /* of this pass */
	uint64_t frame_bytes; /* what the first pass measured, header too */
	uint32_t used;
	uint8_t buffer[STREAM_BUFFER_BYTES];
};

struct listing_job {
	struct job job; /* first */
	struct listing walk;
	struct sink sink;
};

/* ---- the sink -------------------------------------------------------------
 */

static void
sink_start(struct sink *sink, struct reader *reader, struct conn *conn)
{
	sink->reader = reader;
	sink->conn = conn;
	sink->pass = PASS_MEASURE;
	sink->is_refused = false;
	sink->bytes = 0;
	sink->used = 0;
}

static void
sink_flush(struct sink *sink)
{
	if (sink->used > 0 && !sink->is_refused)
		sink->is_refused = !conn_write_frame_part(
			sink->reader, sink->conn, sink->buffer, sink->used);
	sink->used = 0;
}

static void
sink_put(struct sink *sink, const void *data, uint32_t bytes)
{
	sink->bytes += bytes;
	if (sink->pass == PASS_MEASURE || sink->is_refused || bytes == 0)
		return;
	if (bytes > sizeof(sink->buffer) - sink->used)
		sink_flush(sink);
	if (bytes > sizeof(sink->buffer)) {
		sink->is_refused = !conn_write_frame_part(
			sink->reader, sink->conn, data, bytes);
		return;
	}
	memcpy(sink->buffer + sink->used, data, bytes);
	sink->used += bytes;
}

static void
sink_put_int(struct sink *sink, int32_t value)
{
	uint8_t word[4];

	be_store32(word, (uint32_t)value);
	sink_put(sink, word, sizeof(word));
}

static void
sink_put_slice(struct sink *sink, struct jute_slice slice)
{
	sink_put_int(sink, slice.bytes);
	if (slice.bytes > 0)
		sink_put(sink, slice.data, (uint32_t)slice.bytes);
}

static void
sink_put_stat(struct sink *sink, const struct tree *tree,
	      const struct tree_stat *stat)
{
	uint8_t space[PROTO_STAT_BYTES];
	struct jute_writer out = jute_writer_of(space, sizeof(space));
	struct proto_stat shown;

	tree_stat_show(tree, stat, &shown);
	proto_put_stat(&out, &shown);
	FAL_ASSERT(!out.is_full);
	sink_put(sink, space, (uint32_t)jute_written(&out));
}

static void
sink_put_multi_header(struct sink *sink, struct proto_multi_header header)
{
	uint8_t space[PROTO_MULTI_HEADER_BYTES];
	struct jute_writer out = jute_writer_of(space, sizeof(space));

	proto_put_multi_header(&out, &header);
	FAL_ASSERT(!out.is_full);
	sink_put(sink, space, (uint32_t)jute_written(&out));
}

/* ---- the walk --------------------------------------------------------------
 */

/* client-protocol.md 3.13: null, blank or "/" means all, else a plain string
 * prefix. */
static bool
prefix_is_all(struct jute_slice prefix)
{
	if (prefix.bytes == 1 && prefix.data[0] == '/')
		return true;
	for (int32_t i = 0; i < prefix.bytes; i++)
		if (prefix.data[i] > ' ')
			return false;
	return true;
}

/* The walk from its start. Of a job `op` is that of its request. */
static struct listing
listing_of(uint64_t S, const struct local_op *op)
{
	struct listing walk = {
		.op = op->op,
		.S = S,
		.ids = op->ids,
		.body = jute_reader_of(op->body, op->body_bytes),
	};

	if (op->op == OP_GET_EPHEMERALS) {
		const int err = proto_get_path(&walk.body, &walk.prefix);

		FAL_ASSERT(err == 0); /* the writer has looked */
		if (prefix_is_all(walk.prefix))
			walk.prefix.bytes = 0;
		walk.nodes = (const void *)op->req->reply;
		walk.node_count = op->req->reply_bytes / sizeof(uint32_t);
	}
	return walk;
}

/* Names follow from here on. */
static void
enter_dir(struct listing *walk, struct sink *sink, const struct znode *dir,
	  bool has_stat)
{
	walk->dir = dir;
	walk->cursor = 0;
	walk->names_left = walk->stat.num_children;
	walk->has_stat = has_stat;
	sink_put_int(sink, (int32_t)walk->names_left);
}

static void
next_name(struct listing *walk, struct sink *sink)
{
	const struct tree *tree = sink->reader->parts.tree;
	const struct znode *child;
	struct jute_slice name;

	if (tree_child_next(tree, walk->dir, walk->S, &walk->cursor, &name,
			    &child)) {
		FAL_ASSERT(walk->names_left > 0);
		walk->names_left--;
		sink_put_slice(sink, name);
		return;
	}
	/* What the parent says and what the array shows are one state. */
	FAL_ASSERT(walk->names_left == 0);
	if (walk->has_stat)
		sink_put_stat(sink, tree, &walk->stat);
	walk->dir = NULL;
	walk->is_at_end = walk->op != OP_MULTI_READ;
}

static int32_t
find_permitted(struct listing *walk, struct tree *tree, struct jute_slice text,
	       const struct znode **node)
{
	const struct tree_path path = tree_path_of(
		tree, text.data, text.bytes < 0 ? 0 : (uint32_t)text.bytes);

	return read_find(tree, walk->S, &path, walk->ids, PERM_READ, node,
			 &walk->stat);
}

/* The result of one read of a multiRead, or its error in its place. */
static void
put_result(struct listing *walk, struct sink *sink, int32_t type,
	   struct jute_slice text)
{
	struct tree *tree = sink->reader->parts.tree;
	const struct znode *node;
	const int32_t err = find_permitted(walk, tree, text, &node);

	if (err != ZK_OK) {
		sink_put_multi_header(
			sink, (struct proto_multi_header){.type = OP_ERROR,
							  .err = err});
		sink_put_int(sink, err);
		return;
	}
	sink_put_multi_header(sink, (struct proto_multi_header){.type = type});
	if (type == OP_GET_CHILDREN) {
		enter_dir(walk, sink, node, false);
		return;
	}
	sink_put_slice(sink, tree_data_at(tree, node, walk->S));
	sink_put_stat(sink, tree, &walk->stat);
}

static void
next_read(struct listing *walk, struct sink *sink)
{
	struct proto_multi_header header;
	struct proto_path_watch request;

	if (proto_get_multi_header(&walk->body, &header) != 0) {
		walk->err = ZK_MARSHALLINGERROR;
	} else if (header.is_done) {
		sink_put_multi_header(
			sink, (struct proto_multi_header){.type = OP_ERROR,
							  .is_done = true,
							  .err = -1});
		walk->is_at_end = true;
	} else if ((header.type != OP_GET_DATA &&
		    header.type != OP_GET_CHILDREN) ||
		   proto_get_path_watch(&walk->body, &request) != 0 ||
		   request.path.bytes < 0) {
		walk->err = ZK_MARSHALLINGERROR;
	} else {
		put_result(walk, sink, header.type, request.path);
	}
}

static bool
is_wanted(const struct listing *walk, const uint8_t *text, uint32_t bytes)
{
	const uint32_t least = (uint32_t)walk->prefix.bytes;

	return bytes >= least &&
	       (least == 0 || memcmp(text, walk->prefix.data, least) == 0);
}

/* The node's names are those of the state that the handles are of, which the
 * job keeps readable. */
static void
next_ephemeral(struct listing *walk, struct sink *sink)
{
	struct reader *reader = sink->reader;
	const struct tree *tree = reader->parts.tree;

	if (walk->node_at == walk->node_count) {
		walk->is_at_end = true;
		return;
	}

	const uint32_t node = walk->nodes[walk->node_at++];
	const uint32_t bytes = tree_node_text(tree, node, NULL, 0);
	uint8_t *text = serve_scratch(reader, bytes);

	if (text == NULL) {
		sink->is_refused = true;
		conn_abort(reader, sink->conn);
		return;
	}
	(void)tree_node_text(tree, node, text, bytes);
	if (!is_wanted(walk, text, bytes))
		return;
	walk->matches++;
	sink_put_slice(sink, jute_slice_of(text, bytes));
}

/* Goes on for a slice; true: at the end, or nothing more can be done. */
static bool
walk_slice(struct listing *walk, struct sink *sink, uint64_t bytes_max)
{
	const uint64_t from = sink->bytes;

	for (uint32_t i = 0;
	     i < LISTING_SLICE_ITEMS && sink->bytes - from < bytes_max; i++) {
		if (walk->is_at_end || walk->err != ZK_OK || sink->is_refused)
			return true;
		if (walk->op == OP_GET_EPHEMERALS)
			next_ephemeral(walk, sink);
		else if (walk->dir != NULL)
			next_name(walk, sink);
		else
			next_read(walk, sink);
	}
	return walk->is_at_end || walk->err != ZK_OK;
}

/* A getChildren begins in its directory; it was found and may be read. How
 * many ephemerals there are is known when all have been measured. */
static void
walk_begin(struct listing *walk, struct sink *sink, uint32_t matches)
{
	struct proto_path_watch request;
	const struct znode *dir;

	if (walk->op == OP_GET_EPHEMERALS)
		sink_put_int(sink, (int32_t)matches);
	if (walk->op == OP_MULTI_READ || walk->op == OP_GET_EPHEMERALS)
		return;

	const int err = proto_get_path_watch(&walk->body, &request);

	FAL_ASSERT(err == 0);
	walk->err = find_permitted(walk, sink->reader->parts.tree, request.path,
				   &dir);
	FAL_ASSERT(walk->err == ZK_OK);
	enter_dir(walk, sink, dir, walk->op == OP_GET_CHILDREN2);
}

/* The measured reply begins: its length and header. False: too long for the
 * frame's length word or for the connection. */
static bool
write_begin(struct sink *sink, int32_t xid, uint64_t S)
{
	const uint64_t body = sink->bytes;
	uint8_t head[REPLY_OVERHEAD];
	struct jute_writer out = jute_writer_of(head, sizeof(head));

	if (body > INT32_MAX - REPLY_OVERHEAD)
		return false;
	jute_put_int(&out, (int32_t)(REPLY_OVERHEAD - 4 + body));
	proto_put_reply_header(&out, &(struct proto_reply_header){
					     .xid = xid,
					     .zxid = (int64_t)S,
				     });
	sink->pass = PASS_WRITE;
	sink->frame_bytes = REPLY_OVERHEAD + body;
	sink->bytes = 0;
	sink_put(sink, head, sizeof(head));
	return true;
}

static void
write_end(struct sink *sink, uint64_t S)
{
	/* Both passes read one state. */
	FAL_ASSERT(sink->is_refused || sink->bytes == sink->frame_bytes);
	sink_flush(sink);
	if (!sink->is_refused)
		conn_note_frame(sink->reader, sink->conn, (int64_t)S,
				sink->bytes);
}

/* ---- as a job ---------------------------------------------------------------
 */

/* A pass is over: the other one begins, or the request is answered. Returns as
 * job_ops.step does. */
static int
pass_end(struct reader *reader, struct conn *conn, struct listing_job *job)
{
	struct req *req = job->job.req;

	if (job->sink.is_refused)
		return 0;
	if (job->walk.err != ZK_OK) {
		conn_release(reader, conn);
		conn_reply(reader, conn, req->xid, (int64_t)job->job.S,
			   job->walk.err, NULL, 0);
		return 0;
	}
	if (job->sink.pass == PASS_WRITE) {
		write_end(&job->sink, job->job.S);
		if (!job->sink.is_refused)
			conn_release(reader, conn);
		return 0;
	}
	if (!write_begin(&job->sink, req->xid, job->job.S))
		return FAL_ELIMIT;

	const struct local_op op = local_op_of(req);
	const uint32_t matches = job->walk.matches;

	job->walk = listing_of(job->job.S, &op);
	walk_begin(&job->walk, &job->sink, matches);
	return 1;
}

static int
listing_step(struct reader *reader, struct conn *conn, struct job *job)
{
	struct listing_job *listing = (struct listing_job *)(void *)job;
	/* What is measured costs the same whatever its size, and the state is
	 * kept until that is done. */
	const uint64_t bytes_max = listing->sink.pass == PASS_MEASURE
					   ? UINT64_MAX
					   : LISTING_SLICE_BYTES;

	if (!walk_slice(&listing->walk, &listing->sink, bytes_max)) {
		/* No other output until the frame is whole. */
		sink_flush(&listing->sink);
		return listing->sink.is_refused ? 0 : 1;
	}
	return pass_end(reader, conn, listing);
}

static void
listing_free(struct reader *reader, struct job *job)
{
	(void)reader;
	(void)job;
}

static const struct job_ops listing_ops = {
	.step = listing_step,
	.free = listing_free,
};

/* Did not fit a slice. The request's bytes are the job's own from now on, so
 * the walk starts again there. */
static bool
listing_begin(struct reader *reader, struct conn *conn,
	      const struct local_op *op)
{
	struct listing_job *job = malloc(sizeof(*job));

	if (job == NULL)
		return false;
	job_init(&job->job, &listing_ops, reader->S);
	if (!conn_hold(conn)) {
		free(job);
		return false;
	}
	if (!job_begin(reader, conn, op, &job->job)) {
		free(job);
		return false;
	}

	const struct local_op own = local_op_of(job->job.req);

	job->walk = listing_of(reader->S, &own);
	sink_start(&job->sink, reader, conn);
	walk_begin(&job->walk, &job->sink, 0);
	return true;
}

/* ---- serving ----------------------------------------------------------------
 */

void
listing_serve(struct reader *reader, struct conn *conn,
	      const struct local_op *op)
{
	FAL_ASSERT(op->op == OP_GET_CHILDREN || op->op == OP_GET_CHILDREN2);
	events_before_output(reader, conn);
	if (conn->stream != STREAM_NONE && !listing_begin(reader, conn, op))
		conn_abort(reader, conn);
}

/* In one go if a slice is enough; false: it is not. */
static bool
serve_at_once(struct reader *reader, struct conn *conn,
	      const struct local_op *op)
{
	/* Too large for the stack of a poll loop; one core, one at a time. */
	struct sink *sink = reader->listing_sink;
	struct listing walk = listing_of(reader->S, op);

	sink_start(sink, reader, conn);
	walk_begin(&walk, sink, 0);
	if (!walk_slice(&walk, sink, LISTING_SLICE_BYTES))
		return false;
	if (sink->is_refused)
		return true;
	if (walk.err != ZK_OK) {
		conn_reply(reader, conn, op->xid, (int64_t)reader->S, walk.err,
			   NULL, 0);
		return true;
	}

	const uint32_t matches = walk.matches;

	walk = listing_of(reader->S, op);
	if (!write_begin(sink, op->xid, reader->S)) {
		conn_abort(reader, conn);
		return true;
	}
	walk_begin(&walk, sink, matches);
	if (walk_slice(&walk, sink, LISTING_SLICE_BYTES))
		write_end(sink, reader->S);
	else
		conn_abort(reader, conn);
	return true;
}

static void
serve(struct reader *reader, struct conn *conn, const struct local_op *op)
{
	events_before_output(reader, conn);
	if (conn->stream != STREAM_NONE && !serve_at_once(reader, conn, op) &&
	    !listing_begin(reader, conn, op))
		conn_abort(reader, conn);
}

void
listing_serve_multi(struct reader *reader, struct conn *conn,
		    const struct local_op *op)
{
	serve(reader, conn, op);
}

bool
listing_serve_ephemerals(struct reader *reader, struct conn *conn,
			 struct req *req)
{
	const struct local_op op = local_op_of(req);

	/* Walked from the state the nodes are of: none of them is gone. */
	FAL_ASSERT(req->fence <= reader->S);
	serve(reader, conn, &op);
	return conn->is_long;
}

bool
listing_init(struct reader *reader)
{
	reader->listing_sink = malloc(sizeof(*reader->listing_sink));
	return reader->listing_sink != NULL;
}

void
listing_destroy(struct reader *reader)
{
	free(reader->listing_sink);
}
