/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    a member of an ensemble answers its clients as if the leader were
 *         here, tells nobody what is not committed, and gives everything back
 *         when its role ends.
 * Method  the pipeline of pipeline_rig.h with a quorum that the test plays: it
 *         notes what is forwarded, and a second tree, the leader's, makes the
 *         entries that come back.
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

static bool
quorum_poll(void *arg, uint64_t now_ms, int64_t wall_ms)
{
	(void)arg;
	(void)now_ms;
	(void)wall_ms;
	return false;
}

static void
quorum_flush(void *arg, uint64_t now_ms)
{
	(void)arg;
	(void)now_ms;
}

static bool
quorum_has_work(const void *arg)
{
	(void)arg;
	return false;
}

static uint64_t
quorum_timer(const void *arg)
{
	(void)arg;
	return UINT64_MAX;
}

static int64_t
quorum_next_zxid(void *arg, uint32_t bytes)
{
	(void)arg;
	(void)bytes;
	return quorum.has_no_room ? 0 : quorum.next_zxid;
}

static void
quorum_keep(void *arg, int64_t zxid, const uint8_t *entry, uint32_t bytes)
{
	struct txn_entry decoded;

	(void)arg;
	assert_int_equal(txn_get_entry(entry, bytes, &decoded), 0);
	assert_int_equal(decoded.header.zxid, zxid);
}

static void
quorum_proposed(void *arg, int64_t zxid)
{
	(void)arg;
	assert_int_equal(zxid, quorum.next_zxid);
	quorum.next_zxid++;
	quorum.proposed++;
}

static bool
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

static bool
quorum_sync(void *arg, const struct req *req)
{
	(void)arg;
	assert_int_equal(req->kind, REQ_SYNC);
	quorum.syncs++;
	return true;
}

static void
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
static void
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

	assert_int_equal(prep_request(leader.prep, &request, zxid, 1000, &entry,
				      &leader.result),
			 0);
	prep_publish_session(leader.prep, leader.result.type, note->session_id,
			     note->timeout_ms, 1000);
	tree_publish(leader.tree, zxid);
	leader.bytes = (uint32_t)jute_written(&entry);
}

/* The oldest request that was sent comes back as an entry. */
static void
leader_answers(void)
{
	assert_true(quorum.taken < quorum.count);
	leader_makes(&quorum.note[quorum.taken++]);
	assert_int_equal(
		zab_member_apply(rig.zab, leader.entry, leader.bytes, true), 0);
}

/* Something that the leader does by itself. */
static void
leader_does(int64_t session_id, int32_t op, const void *body, uint32_t bytes)
{
	struct note note = {
		.session_id = session_id, .op = op, .body_bytes = bytes};

	if (bytes > 0)
		memcpy(note.body, body, bytes);
	leader_makes(&note);
}

static void
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

static void
commit(void)
{
	zab_member_commit(rig.zab, leader.zxid);
	rig_run(&rig);
}

/* ---- before and after
 * ----------------------------------------------------------- */

static int
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

static int
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

static void
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

static bool
is_closed(const struct rig_client *client)
{
	return rig.streams->stream[client->stream].is_closed;
}

/* Connects; the answer is not there yet. */
static struct rig_client
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
static int64_t
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

static struct rig_client
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

static void
who_is_not_serving_hangs_up(void **state)
{
	const struct rig_client client = connecting();

	(void)state;
	assert_true(is_closed(&client));
	assert_int_equal(quorum.count, 0);
}

static void
open_now(void)
{
	zab_member_mark(rig.zab, EPOCH_MARK);
	zab_member_set_mode(rig.zab, ZAB_LEARNS, SERVING_ALL);
}

/* The ZAB core opens, and says so to the world, while a reader is within its
 * round: who comes upon that word must not be told what was true before. */
static void
who_comes_as_the_server_opens_is_served(void **state)
{
	struct rig_client client;

	(void)state;
	rig.streams->meanwhile = open_now;
	client = connecting();
	assert_false(is_closed(&client));
	assert_int_equal(quorum.count, 1);
	assert_int_equal(quorum.note[0].op, OP_CREATE_SESSION);
	leader_answers();
	rig_run(&rig);
	commit();
	assert_int_equal(granted(&client), quorum.note[0].session_id);
}

static void
a_learner_answers_when_it_is_committed(void **state)
{
	struct rig_client client;
	int32_t xid;

	(void)state;
	learn();
	client = connecting();
	assert_int_equal(quorum.note[0].op, OP_CREATE_SESSION);
	assert_int_equal(quorum.note[0].timeout_ms, RIG_TIMEOUT_MS);
	leader_answers();
	rig_run(&rig);
	assert_int_equal(granted(&client), 0);
	commit();
	assert_int_equal(granted(&client), quorum.note[0].session_id);

	xid = rig_create(&client, "/a", "1", 0);
	rig_run(&rig);
	assert_int_equal(quorum.note[1].cxid, xid);
	leader_answers();
	rig_run(&rig);
	rig_expect_silence(&client);
	commit();
	assert_int_equal(rig_expect(&client, xid, ZK_OK), leader.zxid);
	xid = rig_get_data(&client, "/a", false);
	rig_run(&rig);
	rig_expect_data(&client, xid, "1");
}

static void
an_error_comes_back_in_its_place(void **state)
{
	struct rig_client client;
	int32_t first, second;

	(void)state;
	learn();
	client = connected();
	first = rig_create(&client, "/no/parent", "", 0);
	second = rig_create(&client, "/b", "", 0);
	rig_run(&rig);
	leader_answers();
	leader_answers();
	commit();
	rig_expect(&client, first, ZK_NONODE);
	rig_expect(&client, second, ZK_OK);
}

static void
transactions_of_others_answer_nobody(void **state)
{
	struct rig_client client;
	int32_t xid;

	(void)state;
	learn();
	client = connected();
	xid = rig_get_data(&client, "/theirs", true);
	rig_run(&rig);
	rig_expect(&client, xid, ZK_NONODE);
	leader_creates("/theirs");
	assert_int_equal(
		zab_member_apply(rig.zab, leader.entry, leader.bytes, true), 0);
	commit();
	rig_expect_silence(&client);
	xid = rig_get_data(&client, "/theirs", false);
	rig_run(&rig);
	rig_expect_data(&client, xid, "leader's");
}

static void
nothing_overtakes_a_sync(void **state)
{
	struct rig_client client;
	int32_t sync, write;

	(void)state;
	learn();
	client = connected();
	sync = rig_path_op(&client, OP_SYNC, "/");
	write = rig_create(&client, "/s", "", 0);
	rig_run(&rig);
	assert_int_equal(quorum.syncs, 1);
	assert_int_equal(quorum.count, 1); /* the session's own */
	zab_member_synced(rig.zab, 1, leader.zxid);
	rig_run(&rig);
	rig_expect(&client, sync, ZK_OK);
	assert_int_equal(quorum.count, 2);
	leader_answers();
	commit();
	rig_expect(&client, write, ZK_OK);
}

static void
without_room_a_write_waits(void **state)
{
	struct rig_client client;
	int32_t xid;

	(void)state;
	learn();
	client = connected();
	quorum.has_no_room = true;
	xid = rig_create(&client, "/w", "", 0);
	rig_run(&rig);
	assert_int_equal(quorum.count, 1);
	quorum.has_no_room = false;
	rig_run(&rig);
	assert_int_equal(quorum.count, 2);
	leader_answers();
	commit();
	rig_expect(&client, xid, ZK_OK);
}

/* One write is applied, one is with the leader, one sync waits. */
static void
the_end_of_a_role_closes_all(void **state)
{
	struct rig_client a, b, c;
	const int64_t published_before = EPOCH_MARK;

	(void)state;
	learn();
	a = connected();
	b = connected();
	c = connected();
	rig_create(&a, "/tail", "t", 0);
	rig_run(&rig);
	leader_answers();
	rig_create(&a, "/with-leader", "", 0);
	rig_path_op(&b, OP_SYNC, "/");
	rig_run(&rig);
	zab_member_set_mode(rig.zab, ZAB_CLOSED, SERVING_CLOSED);
	rig_run(&rig);
	assert_true(is_closed(&a) && is_closed(&b) && is_closed(&c));
	assert_true(zab_member_published(rig.zab) > published_before);
	assert_true(zab_member_published(rig.zab) < leader.zxid);
	assert_int_equal(zab_member_appended(rig.zab), leader.zxid);

	/* The next leader commits the tail, nobody waits for it. */
	commit();
	assert_int_equal(zab_member_published(rig.zab), leader.zxid);
	quorum.taken = quorum.count;
	zab_member_set_mode(rig.zab, ZAB_LEARNS, SERVING_ALL);
	a = connected();
	const int32_t xid = rig_get_data(&a, "/tail", false);

	rig_run(&rig);
	rig_expect_data(&a, xid, "t");
}

static void
a_tree_that_differs_acknowledges_nothing(void **state)
{
	int64_t written;

	(void)state;
	learn();
	leader_creates("/lost"); /* and never told */
	leader_creates("/told");
	written = rig.written;
	assert_int_equal(
		zab_member_apply(rig.zab, leader.entry, leader.bytes, true),
		FAL_ECORRUPT);
	assert_int_equal(rig.written, written);
	assert_int_equal(zab_member_appended(rig.zab), written);
}

/* A snapshot may hold more than its zxid says. */
static void
what_a_snapshot_holds_already_is_no_difference(void **state)
{
	(void)state;
	learn();
	leader_creates("/not-in-the-log");
	leader_creates("/told");
	assert_int_equal(
		zab_member_apply(rig.zab, leader.entry, leader.bytes, false),
		0);
	assert_int_equal(rig.written, leader.zxid);
}

static void
an_expired_session_loses_its_connection(void **state)
{
	struct rig_client client;

	(void)state;
	learn();
	client = connected();
	leader_does(client.session_id, OP_CLOSE_SESSION, NULL, 0);
	assert_int_equal(
		zab_member_apply(rig.zab, leader.entry, leader.bytes, true), 0);
	rig_run(&rig);
	assert_false(is_closed(&client));
	commit();
	assert_true(is_closed(&client));
}

/* However silent: the leader alone knows what others have heard of it. */
static void
a_learner_expires_nobody(void **state)
{
	struct rig_client client;
	int64_t written;

	(void)state;
	learn();
	client = connected();
	written = rig.written;
	for (int ms = 0; ms < 10 * RIG_TIMEOUT_MS; ms += 1000) {
		rig.now_ms += 1000;
		rig_run(&rig);
	}
	assert_int_equal(rig.written, written);
	assert_non_null(session_find(rig.sessions, client.session_id));
	assert_false(session_find(rig.sessions, client.session_id)->is_closing);
}

static void
count_touched(void *arg, int64_t session_id, int32_t timeout_ms)
{
	assert_true(session_id != 0);
	assert_int_equal(timeout_ms, RIG_TIMEOUT_MS);
	++*(uint32_t *)arg;
}

static void
only_who_was_heard_is_told_to_the_leader(void **state)
{
	struct rig_client a, b;
	uint32_t count = 0;

	(void)state;
	learn();
	a = connected();
	b = connected();
	rig.now_ms += 1000;
	rig_run(&rig);
	zab_member_each_touched(rig.zab, count_touched, &count);
	assert_int_equal(count, 2);
	rig.now_ms += 1000;
	rig_bare_op(&a, OP_PING);
	rig_run(&rig);
	count = 0;
	zab_member_each_touched(rig.zab, count_touched, &count);
	assert_int_equal(count, 1);
	assert_false(is_closed(&b));
}

static void
the_configuration_of_the_data_is_told_with_its_zxid(void **state)
{
	static const char path[] = "/zookeeper/config";
	static const char text[] = "server.1=a:1:2:participant";
	const struct tree_stat stat = {.mzxid = EPOCH_MARK + 7};
	struct jute_slice found;
	struct znode *node;
	int64_t zxid = 0;

	(void)state;
	node = tree_find(rig.tree,
			 tree_path_of(rig.tree, path, sizeof(path) - 1));
	assert_non_null(node);
	assert_int_equal(tree_patch(rig.tree, node,
				    jute_slice_of(text, sizeof(text) - 1),
				    &stat),
			 0);
	found = zab_member_config(rig.zab, &zxid);
	assert_int_equal(zxid, EPOCH_MARK + 7);
	assert_int_equal(found.bytes, sizeof(text) - 1);
	assert_memory_equal(found.data, text, sizeof(text) - 1);
}

static void
a_leader_makes_errors_for_its_learners(void **state)
{
	const struct zab_learner_request asked = {
		.session_id = 4711, /* nobody knows it */
		.cxid = 9,
		.op = OP_SET_DATA,
		.owner = zab_learner_owner(2, 5),
	};
	struct txn_entry entry;

	(void)state;
	zab_member_begin_reign(rig.zab, EPOCH_MARK);
	zab_member_set_mode(rig.zab, ZAB_LEADS, SERVING_ALL);
	quorum.has_no_room = true;
	assert_int_equal(zab_member_propose(rig.zab, &asked), FAL_EAGAIN);
	quorum.has_no_room = false;
	assert_int_equal(zab_member_propose(rig.zab, &asked), 0);
	assert_int_equal(quorum.proposed, 1);
	assert_int_equal(txn_get_entry(rig.entry, 36, &entry), 0);
	assert_int_equal(entry.header.type, OP_ERROR);
	assert_int_equal(entry.header.session_id, 4711);
	assert_int_equal(entry.header.cxid, 9);
	assert_int_equal(entry.record.err, ZK_MARSHALLINGERROR);
}

/* A leader that stops leading in the middle of a long transaction: nothing of
 * it is left, and who asked is gone like all others. */
static void
the_end_of_a_role_ends_a_long_transaction(void **state)
{
	struct rig_client a;
	struct tree_counts counts;
	char path[32];

	(void)state;
	zab_member_begin_reign(rig.zab, EPOCH_MARK);
	zab_member_set_mode(rig.zab, ZAB_LEADS, SERVING_ALL);
	a = connecting();
	zab_member_commit(rig.zab, quorum.next_zxid - 1);
	rig_run(&rig);
	assert_true(granted(&a) != 0);
	for (uint32_t i = 0; i < 1000; i++) {
		snprintf(path, sizeof(path), "/e%06u", i);
		const int32_t xid = rig_create(&a, path, "", 1);

		rig_run(&rig);
		zab_member_commit(rig.zab, quorum.next_zxid - 1);
		rig_run(&rig);
		rig_expect(&a, xid, ZK_OK);
	}
	const int64_t zxid = zab_member_appended(rig.zab);

	rig_bare_op(&a, OP_CLOSE_SESSION);
	reader_poll(rig.reader, rig.now_ms * NS_PER_MS, (int64_t)rig.now_ms);
	for (int i = 0; i < 2; i++)
		zab_poll(rig.zab, rig.now_ms, (int64_t)rig.now_ms);
	tree_counts(rig.tree, &counts);
	assert_in_range(counts.ephemerals, 1, 999);
	assert_false(zab_is_idle(rig.zab));
	zab_member_set_mode(rig.zab, ZAB_CLOSED, SERVING_CLOSED);
	tree_counts(rig.tree, &counts);
	assert_int_equal(counts.ephemerals, 1000);
	assert_true(zab_is_idle(rig.zab));
	assert_int_equal(zab_member_appended(rig.zab), zxid);
	rig_run(&rig);
	assert_true(is_closed(&a));
	assert_true(zab_member_has_session(rig.zab, a.session_id));
}

static void
a_session_has_one_owner(void **state)
{
	const struct session_owner two = zab_learner_owner(2, 5);
	const struct session_owner three = zab_learner_owner(3, 6);
	struct zab_learner_request asked = {
		.session_id = 4711,
		.op = OP_CREATE_SESSION,
		.timeout_ms = 5000,
		.owner = two,
	};
	uint8_t body[64];
	struct jute_writer writer = jute_writer_of(body, sizeof(body));
	struct txn_entry entry;

	(void)state;
	zab_member_begin_reign(rig.zab, EPOCH_MARK);
	zab_member_set_mode(rig.zab, ZAB_LEADS, SERVING_ALL);
	assert_int_equal(zab_member_propose(rig.zab, &asked), 0);
	zab_member_commit(rig.zab, EPOCH_MARK + 1);
	jute_put_cstr(&writer, "/none");
	jute_put_int(&writer, -1);
	asked.op = OP_DELETE;
	asked.body = body;
	asked.body_bytes = (uint32_t)jute_written(&writer);
	assert_int_equal(zab_member_propose(rig.zab, &asked), 0);
	assert_int_equal(txn_get_entry(rig.entry, 36, &entry), 0);
	assert_int_equal(entry.record.err, ZK_NONODE);
	assert_true(zab_member_take_over(rig.zab, 4711, three));
	assert_false(zab_member_take_over(rig.zab, 4712, three));
	assert_int_equal(zab_member_propose(rig.zab, &asked), 0);
	assert_int_equal(txn_get_entry(rig.entry, 36, &entry), 0);
	assert_int_equal(entry.record.err, ZK_SESSIONMOVED);
}

/* Else it would ping in vain, and its session expire: only who owns a session
 * keeps it alive. */
static void
a_session_that_moves_leaves_no_connection_behind(void **state)
{
	struct rig_client client;
	int64_t session_id;

	(void)state;
	zab_member_begin_reign(rig.zab, EPOCH_MARK);
	zab_member_set_mode(rig.zab, ZAB_LEADS, SERVING_ALL);
	client = connecting();
	zab_member_commit(rig.zab, EPOCH_MARK + 1);
	rig_run(&rig);
	session_id = granted(&client);
	assert_true(session_id != 0);
	assert_false(is_closed(&client));
	assert_true(zab_member_take_over(rig.zab, session_id,
					 zab_learner_owner(2, 5)));
	rig_run(&rig);
	assert_true(is_closed(&client));
	assert_non_null(session_find(rig.sessions, session_id));
}

static void
what_is_lent_comes_back_as_it_is_then(void **state)
{
	struct rig_client client;

	(void)state;
	learn();
	client = connected();
	rig_create(&client, "/tail", "", 0);
	rig_run(&rig);
	leader_answers(); /* never committed */
	zab_member_set_mode(rig.zab, ZAB_CLOSED, SERVING_CLOSED);
	zab_member_park(rig.zab);
	assert_false(zab_member_lend(rig.zab)); /* the reader is still there */
	rig_run(&rig);
	assert_true(zab_member_lend(rig.zab));
	assert_true(zab_member_is_lent(rig.zab));
	rig_run(&rig);

	/* BG: the tail is cut. */
	tree_undo_after(rig.tree, EPOCH_MARK + 2);
	rig.written = EPOCH_MARK + 2;
	rig.durable = EPOCH_MARK + 2;
	zab_member_restore(rig.zab, EPOCH_MARK + 2, EPOCH_MARK + 2);
	assert_false(zab_member_is_lent(rig.zab));
	/* Asked again before the reader came back. */
	zab_member_park(rig.zab);
	assert_false(zab_member_is_alone(rig.zab));
	rig_run(&rig);
	assert_true(zab_member_is_alone(rig.zab));
	zab_member_unpark(rig.zab);
	rig_run(&rig);
	assert_int_equal(zab_member_appended(rig.zab), EPOCH_MARK + 2);
	assert_int_equal(zab_member_published(rig.zab), EPOCH_MARK + 2);
	zab_member_set_mode(rig.zab, ZAB_LEARNS, SERVING_ALL);
	quorum.taken = quorum.count;
	client = connecting();
	assert_int_equal(quorum.count, quorum.taken + 1);
}

static void
reads_only_are_served_without_a_leader(void **state)
{
	struct rig_client client;

	(void)state;
	learn();
	leader_creates("/kept");
	assert_int_equal(
		zab_member_apply(rig.zab, leader.entry, leader.bytes, true), 0);
	commit();
	zab_member_set_mode(rig.zab, ZAB_CLOSED, SERVING_CLOSED);
	zab_member_set_mode(rig.zab, ZAB_READS, SERVING_READS);
	rig_run(&rig);
	client = connecting(); /* did not say that it takes this */
	assert_true(is_closed(&client));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(who_is_not_serving_hangs_up),
		CASE(who_comes_as_the_server_opens_is_served),
		CASE(a_learner_answers_when_it_is_committed),
		CASE(an_error_comes_back_in_its_place),
		CASE(transactions_of_others_answer_nobody),
		CASE(nothing_overtakes_a_sync),
		CASE(without_room_a_write_waits),
		CASE(the_end_of_a_role_closes_all),
		CASE(a_tree_that_differs_acknowledges_nothing),
		CASE(what_a_snapshot_holds_already_is_no_difference),
		CASE(an_expired_session_loses_its_connection),
		CASE(a_learner_expires_nobody),
		CASE(only_who_was_heard_is_told_to_the_leader),
		CASE(the_configuration_of_the_data_is_told_with_its_zxid),
		CASE(a_leader_makes_errors_for_its_learners),
		CASE(the_end_of_a_role_ends_a_long_transaction),
		CASE(a_session_has_one_owner),
		CASE(a_session_that_moves_leaves_no_connection_behind),
		CASE(what_is_lent_comes_back_as_it_is_then),
		CASE(reads_only_are_served_without_a_leader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
