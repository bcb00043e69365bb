/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    A whole run of clients against a real 3.10 server gives the same
 *         zxids, codes and reply bodies here, byte for byte.
 * Method  walks through the captured run: connects become createSession,
 *         auth packets change identities, writes go through prep and are
 *         compared with the captured reply, except for times. ACLs that
 *         getACL showed and every notification are looked for too. Reads are
 *         somebody else's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prep_world.h"
#include "vector_file.h"

#define CONNECTIONS_MAX 64
#define ZXIDS_MAX       256

struct client {
	bool is_connected;
	int64_t session_id;
	struct auth_ids *ids;
};

struct run {
	struct world world;
	struct vector_file file;
	struct client client[CONNECTIONS_MAX];
	struct txn_bytes effects[ZXIDS_MAX]; /* of each transaction */
	uint32_t effect_count[ZXIDS_MAX];
	uint32_t compared, notified;
};

static struct jute_reader
reader_of(const struct vector_frame *frame)
{
	return jute_reader_of(frame->data + 4, frame->bytes - 4);
}

/* The server's next frame on a connection; notifications only if asked. */
static const struct vector_frame *
next_reply(const struct run *run, size_t from, int32_t xid, bool is_connect)
{
	const int connection = run->file.frames[from].connection;

	for (size_t i = from + 1; i < run->file.frame_count; i++) {
		const struct vector_frame *frame = &run->file.frames[i];

		if (frame->connection != connection || frame->is_from_client)
			continue;
		if (is_connect || (int32_t)be_load32(frame->data + 4) == xid)
			return frame;
	}
	return NULL;
}

static void
keep_effects(struct run *run)
{
	const struct txn_result *result = &run->world.result;
	const int64_t zxid = run->world.zxid;

	assert_true(zxid < ZXIDS_MAX);
	run->effects[zxid].bytes = result->effects.bytes;
	run->effects[zxid].data = malloc(result->effects.bytes + 1);
	if (result->effects.bytes > 0)
		memcpy(run->effects[zxid].data, result->effects.data,
		       result->effects.bytes);
	run->effect_count[zxid] = result->effect_count;
}

static void
connect_client(struct run *run, size_t index)
{
	const struct vector_frame *frame = &run->file.frames[index];
	struct client *client = &run->client[frame->connection];
	const struct vector_frame *reply = next_reply(run, index, 0, true);
	struct jute_reader reader = reader_of(frame);
	struct proto_connect_request request;
	struct proto_connect_response response;

	client->is_connected = true;
	client->ids = auth_ids_new(&run->world.acl_options, "127.0.0.1");
	assert_int_equal(proto_get_connect_request(&reader, &request), 0);
	if (reply == NULL)
		return;
	reader = reader_of(reply);
	assert_int_equal(proto_get_connect_response(&reader, &response), 0);
	client->session_id = response.session_id;
	if (response.session_id == 0)
		return;
	run->world.session_id = response.session_id;
	if (request.session_id == 0) {
		assert_int_equal(
			world_try(&run->world, OP_CREATE_SESSION, NULL, 0), 0);
		keep_effects(run);
	}
	session_find(run->world.sessions, response.session_id)->owner =
		(struct session_owner){.conn = (uint32_t)frame->connection};
}

static bool
is_write(int32_t type)
{
	switch (type) {
	case OP_CREATE:
	case OP_CREATE2:
	case OP_CREATE_CONTAINER:
	case OP_CREATE_TTL:
	case OP_DELETE:
	case OP_SET_DATA:
	case OP_SET_ACL:
	case OP_MULTI:
	case OP_RECONFIG:
	case OP_CLOSE_SESSION:
		return true;
	default:
		return false;
	}
}

/* Blanks out the times in both, then compares. */
static void
assert_same_body(const struct vector_frame *reply,
		 const struct txn_result *result)
{
	const size_t head = 4 + PROTO_REPLY_HEADER_BYTES;

	assert_int_equal(reply->bytes, head + result->reply.bytes);
	for (size_t i = 0; i < reply->field_count; i++) {
		const struct vector_field *field = &reply->fields[i];

		if (strstr(field->label, "time") == NULL)
			continue;
		memset(reply->data + field->offset, 0, field->bytes);
		memset(result->reply.data + (field->offset - head), 0,
		       field->bytes);
	}
	assert_memory_equal(reply->data + head, result->reply.data,
			    result->reply.bytes);
}

static void
write_and_compare(struct run *run, size_t index, int32_t xid, int32_t type)
{
	const struct vector_frame *frame = &run->file.frames[index];
	const struct vector_frame *reply = next_reply(run, index, xid, false);
	struct proto_reply_header header;

	assert_non_null(reply);
	struct jute_reader reader = reader_of(reply);

	assert_int_equal(proto_get_reply_header(&reader, &header), 0);
	const int err = world_try(&run->world, type, frame->data + 12,
				  frame->bytes - 12);

	assert_int_equal(header.zxid, run->world.zxid);
	run->compared++;
	if (err != 0) {
		assert_int_equal(err, FAL_EPROTO);
		assert_int_equal(header.err, ZK_MARSHALLINGERROR);
		return;
	}
	keep_effects(run);
	assert_int_equal(header.err, run->world.result.err);
	assert_same_body(reply, &run->world.result);
}

static void
add_identity(struct run *run, size_t index, int32_t xid)
{
	const struct vector_frame *frame = &run->file.frames[index];
	const struct vector_frame *reply = next_reply(run, index, xid, false);
	struct client *client = &run->client[frame->connection];
	struct jute_reader reader = reader_of(frame);
	struct proto_auth_request request;
	struct auth_ids *more = NULL;

	(void)jute_take(&reader, PROTO_REQUEST_HEADER_BYTES);
	assert_int_equal(proto_get_auth(&reader, &request), 0);
	const int32_t err = auth_ids_add(&run->world.acl_options, client->ids,
					 &request, &more);

	assert_non_null(reply);
	assert_int_equal(err, (int32_t)be_load32(reply->data + 16));
	if (err != ZK_OK)
		return;
	auth_ids_free(client->ids);
	client->ids = more;
}

/* What getACL showed is what acl_put_shown() writes. */
static void
compare_acl(struct run *run, size_t index, int32_t xid)
{
	const struct vector_frame *frame = &run->file.frames[index];
	const struct vector_frame *reply = next_reply(run, index, xid, false);
	struct jute_reader reader = reader_of(frame);
	struct jute_slice path;
	struct tree_stat stat;
	uint8_t shown[512];
	struct jute_writer writer = jute_writer_of(shown, sizeof(shown));

	(void)jute_take(&reader, PROTO_REQUEST_HEADER_BYTES);
	assert_int_equal(proto_get_path(&reader, &path), 0);
	const struct znode *node = tree_find(
		run->world.tree,
		tree_path_of(run->world.tree, path.data, (uint32_t)path.bytes));

	assert_non_null(node);
	tree_spec_stat(run->world.tree, node, &stat);
	const struct acl_list *acl =
		acl_table_get(tree_acls(run->world.tree), stat.acl);

	acl_put_shown(&writer, acl,
		      acl_permits(acl, run->client[frame->connection].ids,
				  PERM_ADMIN));
	assert_non_null(reply);
	assert_int_equal(jute_written(&writer) + PROTO_STAT_BYTES,
			 reply->bytes - 20);
	assert_memory_equal(reply->data + 20, shown, jute_written(&writer));
	run->compared++;
}

/* A notification with a zxid must be among that transaction's effects. */
static void
find_effect(struct run *run, const struct vector_frame *frame)
{
	struct jute_reader reader = reader_of(frame);
	struct proto_reply_header header;
	struct proto_watcher_event event;

	assert_int_equal(proto_get_reply_header(&reader, &header), 0);
	if (header.xid != XID_NOTIFICATION || header.zxid <= 0)
		return;
	assert_int_equal(proto_get_watcher_event(&reader, &event), 0);
	assert_true(header.zxid < ZXIDS_MAX);
	const uint8_t *at = run->effects[header.zxid].data;

	for (uint32_t i = 0; i < run->effect_count[header.zxid]; i++) {
		const struct effect *effect = (const void *)at;

		if (effect->type == event.type &&
		    (int32_t)effect->path_bytes == event.path.bytes &&
		    memcmp(effect->path, event.path.data, effect->path_bytes) ==
			    0) {
			run->notified++;
			return;
		}
		at += effect_bytes(effect->path_bytes);
	}
	fail_msg("no effect for a notification of zxid %ld", (long)header.zxid);
}

static void
handle_request(struct run *run, size_t index)
{
	const struct vector_frame *frame = &run->file.frames[index];
	const struct client *client = &run->client[frame->connection];
	struct jute_reader reader = reader_of(frame);
	struct proto_request_header header;

	assert_int_equal(proto_get_request_header(&reader, &header), 0);
	run->world.session_id = client->session_id;
	run->world.ids = client->ids;
	run->world.owner =
		(struct session_owner){.conn = (uint32_t)frame->connection};
	if (header.type == OP_AUTH)
		add_identity(run, index, header.xid);
	else if (header.type == OP_GET_ACL)
		compare_acl(run, index, header.xid);
	else if (is_write(header.type))
		write_and_compare(run, index, header.xid, header.type);
}

static void
a_captured_run_gives_the_same_zxids_codes_and_bodies(void **state)
{
	(void)state;
	struct run *run = calloc(1, sizeof(*run));

	vector_file_load(GOLDEN_DIR "/client/full-run-3.10.0.hex", &run->file);
	world_open(&run->world, NULL);
	for (size_t i = 0; i < run->file.frame_count; i++) {
		const struct vector_frame *frame = &run->file.frames[i];

		assert_true(frame->connection < CONNECTIONS_MAX);
		if (!run->client[frame->connection].is_connected)
			connect_client(run, i);
		else if (frame->is_from_client)
			handle_request(run, i);
		else if (run->client[frame->connection].session_id != 0 &&
			 frame->bytes > 4 + PROTO_REPLY_HEADER_BYTES)
			find_effect(run, frame);
	}
	/* All writes and getACLs of the run, and the events they caused. */
	assert_int_equal(run->compared, 46);
	assert_int_equal(run->notified, 12);
	for (int i = 0; i < CONNECTIONS_MAX; i++)
		auth_ids_free(run->client[i].ids);
	for (int i = 0; i < ZXIDS_MAX; i++)
		free(run->effects[i].data);
	world_close(&run->world);
	vector_file_free(&run->file);
	free(run);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_captured_run_gives_the_same_zxids_codes_and_bodies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
