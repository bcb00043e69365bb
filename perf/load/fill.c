/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fill - the last key tells whether all are there: keys are made in order, and
 * a multi is atomic. The root is made first and may exist.
 */
#include "perf/load/fill.h"

#include "wire/proto.h"

/* A multi has to stay below jute.maxbuffer, 1 MiB unless set. */
#define MULTI_BYTES_MAX 900000u

static uint32_t
batch_of(const struct load_options *options)
{
	const uint32_t fits = MULTI_BYTES_MAX / (options->value_bytes +
						 2 * LOAD_REQUEST_OVERHEAD);
	const uint32_t batch = options->batch < fits ? options->batch : fits;

	return batch == 0 ? 1 : batch;
}

size_t
fill_request_bytes(const struct load_options *options)
{
	/* A directory's create may stand in front of each thousand keys. */
	const size_t creates =
		batch_of(options) + 2u + batch_of(options) / LOAD_KEYS_PER_DIR;

	return creates * (options->value_bytes + LOAD_REQUEST_OVERHEAD);
}

/* Sends what is there and waits for one reply; its error. */
static int32_t
await_reply(struct load_conn *conn, const struct load_options *options)
{
	struct load_reply reply;
	size_t at = 0;

	if (!conn_flush(conn, 0))
		load_die("the socket blocks and does not send");
	while (!conn_next_reply(conn, options, &at, &reply))
		conn_receive(conn);
	conn_drop(conn, at);
	return reply.err;
}

static bool
keys_are_there(struct load_conn *conn, const struct load_options *options)
{
	struct jute_writer writer = conn_writer(conn);
	const int32_t xid = conn_expect(conn, LOAD_OP_EXISTS, 0, 0);

	request_put_exists(&writer, options, xid, options->keys - 1);
	conn_wrote(conn, &writer);

	const int32_t err = await_reply(conn, options);

	if (err != ZK_OK && err != ZK_NONODE)
		load_die("exists answers %d", err);
	return err == ZK_OK;
}

static void
make_root(struct load_conn *conn, const struct load_options *options)
{
	struct jute_writer writer = conn_writer(conn);
	const int32_t xid = conn_expect(conn, LOAD_OP_CREATE, 0, 0);

	request_put_directory(&writer, options->root, xid);
	conn_wrote(conn, &writer);

	const int32_t err = await_reply(conn, options);

	if (err != ZK_OK && err != ZK_NODEEXISTS)
		load_die("create of %s answers %d", options->root, err);
}

static void
send_batch(struct load_conn *conn, const struct load_options *options,
	   uint32_t first, uint32_t count)
{
	struct jute_writer writer = conn_writer(conn);
	const int32_t xid = conn_expect(conn, LOAD_OP_MULTI, 0, 0);
	const uint32_t created =
		request_put_fill(&writer, options, xid, first, count);

	/* How many operations it has is known only now. */
	conn->pending[(conn->pending_end - 1) & (conn->pending_cap - 1)]
		.created = created;
	conn_wrote(conn, &writer);
	if (!conn_flush(conn, 0))
		load_die("the socket blocks and does not send");
}

bool
fill_keys(struct load_conn *conn, const struct load_options *options)
{
	const uint32_t batch = batch_of(options);
	uint32_t made = 0;

	if (keys_are_there(conn, options))
		return false;
	make_root(conn, options);
	while (made < options->keys || conn_pending(conn) > 0) {
		if (made < options->keys &&
		    conn_pending(conn) < FILL_PIPELINE) {
			const uint32_t left = options->keys - made;
			const uint32_t count = left < batch ? left : batch;

			send_batch(conn, options, made, count);
			made += count;
			continue;
		}

		const int32_t err = await_reply(conn, options);

		if (err != ZK_OK)
			load_die("a multi of creates answers %d", err);
	}
	return true;
}
