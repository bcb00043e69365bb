/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_UNIT_DATAPLANE_ZAB_MEMBER_RIG_H
#define FALCONER_TESTS_UNIT_DATAPLANE_ZAB_MEMBER_RIG_H

/*
 * zab_member_rig - the writer of a member, its leader and its quorum played by
 * the test.
 */

#include "pipeline_rig.h"

#include <stdio.h>
#include <string.h>

#include "base/be.h"
#include "base/time.h"
#include "dataplane/req.h"
#include "dataplane/zab_member.h"
#include "wire/txn.h"

#define EPOCH_MARK (3ll << 32)
#define NOTES      64u

/* What a learner sent to its leader. */
struct note {
	int64_t session_id;
	int32_t cxid, op, timeout_ms;
	uint32_t body_bytes;
	uint8_t body[512];
};

static struct {
	struct note note[NOTES];
	uint32_t count, taken;
	uint32_t syncs, revalidations;
	int64_t next_zxid;
	uint32_t proposed;
	bool has_no_room;
} quorum;

/* The leader's data. */
static struct {
	struct tree *tree;
	struct session_table *sessions;
	struct prep *prep;
	struct txn_result result;
	uint8_t entry[65536];
	uint32_t bytes;
	int64_t zxid;
} leader;

static struct rig rig;

/* ---- the quorum ------------------------------------------------------------
 */

static inline bool
quorum_poll(void *arg, uint64_t now_ms, int64_t wall_ms)
{
	(void)arg;
	(void)now_ms;
	(void)wall_ms;
	return false;
}

static inline void
quorum_flush(void *arg, uint64_t now_ms)
{
	(void)arg;
	(void)now_ms;
}

static inline bool
quorum_has_work(const void *arg)
{
	(void)arg;
	return false;
}

static inline uint64_t
quorum_timer(const void *arg)
{
	(void)arg;
	return UINT64_MAX;
}

static inline int64_t
quorum_next_zxid(void *arg, uint32_t bytes)
{
	(void)arg;
	(void)bytes;
	return quorum.has_no_room ? 0 : quorum.next_zxid;
}

static inline void
quorum_keep(void *arg, int64_t zxid, const uint8_t *entry, uint32_t bytes)
{
	struct txn_entry decoded;

	(void)arg;
	assert_int_equal(txn_get_entry(entry, bytes, &decoded), 0);
	assert_int_equal(decoded.header.zxid, zxid);
}

static inline void
quorum_proposed(void *arg, int64_t zxid)
{
	(void)arg;
	assert_int_equal(zxid, quorum.next_zxid);
	quorum.next_zxid++;
	quorum.proposed++;
}

static inline bool
quorum_forward(void *arg, const struct req *req)
{
	struct note *note = &quorum.note[quorum.count];

	(void)arg;
	if (quorum.has_no_room)
		return false;
	assert_true(quorum.count < NOTES);
	assert_true(req->body_bytes <= sizeof(note->body));
	*note = (struct note){.session_id = req->session_id,
			      .cxid = req->xid,
			      .op = req->op,
			      .timeout_ms = req->timeout_ms,
			      .body_bytes = req->body_bytes};
	if (req->body_bytes > 0)
		memcpy(note->body, req->body, req->body_bytes);
	quorum.count++;
	return true;
}

static inline bool
quorum_sync(void *arg, const struct req *req)
{
	(void)arg;
	assert_int_equal(req->kind, REQ_SYNC);
	quorum.syncs++;
	return true;
}

static inline void
quorum_revalidate(void *arg, int64_t session_id, int32_t timeout_ms)
{
	(void)arg;
	(void)session_id;
	(void)timeout_ms;
	quorum.revalidations++;
}

/* ---- the leader
 * -------------------------------------------------------------- */

/* Makes an entry of a request that a learner sent. */
static inline void
leader_makes(const struct note *note)
{
	struct jute_writer entry =
		jute_writer_of(leader.entry, sizeof(leader.entry));
	const struct prep_request request = {
		.session_id = note->session_id,
		.cxid = note->cxid,
		.type = note->op,
		.body = note->body,
		.body_bytes = note->body_bytes,
		.timeout_ms = note->timeout_ms,
		.owner = {.core = SESSION_OWNER_NONE},
		.is_forwarded = true,
	};
	const int64_t zxid = ++leader.zxid;

	int err = prep_request(leader.prep, &request, zxid, 1000, &entry,
			       &leader.result);

	while (err == FAL_EAGAIN)
		err = prep_go_on(leader.prep);
	assert_int_equal(err, 0);
	prep_publish_session(leader.prep, leader.result.type, note->session_id,
			     note->timeout_ms, 1000);
	tree_publish(leader.tree, zxid);
	leader.bytes = (uint32_t)jute_written(&entry);
}

/* The oldest request that was sent comes back as an entry. */
static inline void
leader_answers(void)
{
	assert_true(quorum.taken < quorum.count);
	leader_makes(&quorum.note[quorum.taken++]);
	assert_int_equal(
		zab_member_apply(rig.zab, leader.entry, leader.bytes, true), 0);
}

/* Something that the leader does by itself. */
static inline void
leader_does(int64_t session_id, int32_t op, const void *body, uint32_t bytes)
{
	struct note note = {
		.session_id = session_id, .op = op, .body_bytes = bytes};

	if (bytes > 0)
		memcpy(note.body, body, bytes);
	leader_makes(&note);
}

static inline void
leader_creates(const char *path)
{
	uint8_t bytes[256];
	struct jute_writer body = jute_writer_of(bytes, sizeof(bytes));

	jute_put_cstr(&body, path);
	jute_put_cstr(&body, "leader's");
	jute_put_int(&body, 1);
	jute_put_int(&body, PERM_ALL);
	jute_put_cstr(&body, "world");
	jute_put_cstr(&body, "anyone");
	jute_put_int(&body, 0);
	/* By a client of another server. */
	leader_does(77, OP_CREATE, bytes, (uint32_t)jute_written(&body));
}

static inline void
commit(void)
{
	zab_member_commit(rig.zab, leader.zxid);
	rig_run(&rig);
}

/* ---- before and after
 * ----------------------------------------------------------- */

static inline int
set_up(void **state)
{
	const struct tree_options tree = {.is_digest_on = true,
					  .has_extended_types = true};
	const struct prep_options prep = {.acl = &rig.acl,
					  .is_digest_on = true,
					  .has_close_paths = true,
					  .has_extended_types = true};
	const struct zab_quorum functions = {
		.poll = quorum_poll,
		.flush = quorum_flush,
		.has_work = quorum_has_work,
		.next_timer_ms = quorum_timer,
		.next_zxid = quorum_next_zxid,
		.keep = quorum_keep,
		.proposed = quorum_proposed,
		.forward = quorum_forward,
		.sync = quorum_sync,
		.revalidate = quorum_revalidate,
	};

	(void)state;
	memset(&quorum, 0, sizeof(quorum));
	memset(&leader, 0, sizeof(leader));
	rig_start_member(&rig);
	zab_member_join(rig.zab, &functions, 0);
	leader.zxid = EPOCH_MARK;
	quorum.next_zxid = EPOCH_MARK + 1;
	return tree_create(&tree, &leader.tree) != 0 ||
	       session_table_create(1000, &leader.sessions) != 0 ||
	       prep_create(&prep, leader.tree, leader.sessions, &leader.prep) !=
		       0;
}

static inline int
tear_down(void **state)
{
	(void)state;
	rig_stop(&rig);
	txn_result_free(&leader.result);
	prep_destroy(leader.prep);
	session_table_destroy(leader.sessions);
	tree_destroy(leader.tree);
	return 0;
}

static inline void
learn(void)
{
	zab_member_mark(rig.zab, EPOCH_MARK);
	zab_member_set_mode(rig.zab, ZAB_LEARNS, SERVING_ALL);
	/* The session of another server's client. */
	leader_does(77, OP_CREATE_SESSION, NULL, 0);
	assert_int_equal(
		zab_member_apply(rig.zab, leader.entry, leader.bytes, true), 0);
	commit();
}

static inline bool
is_closed(const struct rig_client *client)
{
	return rig.streams->stream[client->stream].is_closed;
}

/* Connects; the answer is not there yet. */
static inline struct rig_client
connecting(void)
{
	uint8_t bytes[128], word[4];
	const uint8_t zero[PROTO_PASSWORD_BYTES] = {0};
	const struct proto_connect_request request = {
		.timeout_ms = RIG_TIMEOUT_MS,
		.password = jute_slice_of(zero, sizeof(zero)),
		.has_read_only = true};
	struct jute_writer frame = jute_writer_of(bytes, sizeof(bytes));
	struct rig_client client = {.rig = &rig,
				    .stream = fake_connect(rig.streams),
				    .next_xid = 1};

	proto_put_connect_request(&frame, &request);
	be_store32(word, (uint32_t)jute_written(&frame));
	fake_send(rig.streams, client.stream, word, sizeof(word));
	fake_send(rig.streams, client.stream, bytes,
		  (uint32_t)jute_written(&frame));
	rig_run(&rig);
	return client;
}

/* The session that the answer to a ConnectRequest names; 0: none is there. */
static inline int64_t
granted(struct rig_client *client)
{
	struct proto_connect_response response;
	uint32_t bytes = 0;
	const uint8_t *frame =
		fake_receive(rig.streams, client->stream, &bytes);

	if (frame == NULL)
		return 0;

	struct jute_reader reader = jute_reader_of(frame, bytes);

	assert_int_equal(proto_get_connect_response(&reader, &response), 0);
	client->session_id = response.session_id;
	return response.session_id;
}

static inline struct rig_client
connected(void)
{
	struct rig_client client = connecting();

	leader_answers();
	commit();
	assert_true(granted(&client) != 0);
	return client;
}

/* ---- the cases
 * ------------------------------------------------------------------- */

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
