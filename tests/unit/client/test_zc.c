/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    zc answers every request exactly once, resumes its session at another
 *         server with its identities and watches, and takes nothing a server
 *         says on trust.
 * Method  the server is a blocking socket in this thread: the test steps the
 *         client's loop, reads the frames it sent and says what it likes. All
 *         waiting is bounded by the number of steps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/future.h"
#include "client/zc.h"
#include "drivers/stream.h"
#include "wire/proto.h"
#include "zc_rig.h"

static const struct proto_stat stat_of_9 = {.czxid = 9, .mzxid = 9};

/* ---- callbacks that note what they were told
 * --------------------------------- */

struct seen {
	uint32_t count;
	int32_t err;
	char text[256];
	uint32_t bytes;
};

static void
note(void *arg, struct zc_reply *reply)
{
	struct seen *seen = arg;

	seen->count++;
	seen->err = reply->err;
	seen->bytes = reply->data.bytes;
}

static void
note_event(void *arg, enum zc_event event, struct zc_bytes path)
{
	struct seen *seen = arg;
	const size_t used = strlen(seen->text);

	seen->count++;
	snprintf(seen->text + used, sizeof(seen->text) - used, "%d%.*s ",
		 (int)event, (int)path.bytes, (const char *)path.data);
}

static void
wait_for(struct rig *rig, const uint32_t *count, uint32_t want)
{
	for (int i = 0; i < STEPS_MAX && *count < want; i++)
		rig_step(rig);
	assert_int_equal(*count, want);
}

static void
reply_data(struct rig *rig, int32_t xid, const char *data)
{
	struct jute_writer *writer = rig_begin_reply(rig, xid, 9, 0);

	jute_put_cstr(writer, data);
	proto_put_stat(writer, &stat_of_9);
	rig_send(rig);
}

/* ---- tests
 * --------------------------------------------------------------------- */

static void
asks_for_a_session_and_remembers_it(void **state)
{
	struct rig *rig = *state;
	const struct proto_connect_request request =
		rig_greet(rig, TIMEOUT_MS / 2);
	uint8_t password[16], expected[16];

	assert_int_equal(request.session_id, 0);
	assert_int_equal(request.timeout_ms, TIMEOUT_MS);
	assert_int_equal(request.password.bytes, 16);
	assert_true(request.has_read_only);
	rig_wait_state(rig, ZC_CONNECTED);
	assert_int_equal(zc_session(rig->zc, password), SESSION);
	proto_session_password(SESSION, expected);
	assert_memory_equal(password, expected, 16);
	assert_int_equal(zc_timeout_ms(rig->zc), TIMEOUT_MS / 2);
}

static void
requests_wait_for_the_connection_in_their_order(void **state)
{
	struct rig *rig = *state;
	struct seen one = {0}, two = {0};
	int32_t xid_one, xid_two;

	assert_int_equal(zc_get(rig->zc, "/a", NULL, note, &one), 0);
	assert_int_equal(zc_set(rig->zc, "/b", "xyz", 3, -1, note, &two), 0);
	assert_int_equal(zc_outstanding(rig->zc), 2);
	rig_greet(rig, TIMEOUT_MS);

	struct jute_reader body = rig_request(rig, OP_GET_DATA, &xid_one);
	struct jute_slice path = jute_get_slice(&body);

	assert_memory_equal(path.data, "/a", 2);
	rig_request(rig, OP_SET_DATA, &xid_two);
	assert_true(xid_two > xid_one && xid_one > 0);
	reply_data(rig, xid_one, "hello");
	rig_reply(rig, xid_two, 10, ZK_BADVERSION);
	wait_for(rig, &two.count, 1);
	assert_int_equal(one.count, 1);
	assert_int_equal(one.bytes, 5);
	assert_int_equal(two.err, ZC_BADVERSION);
	assert_int_equal(zc_last_zxid(rig->zc), 10);
}

static void
what_was_sent_is_lost_with_the_connection_and_what_waits_is_not(void **state)
{
	struct rig *rig = *state;
	struct seen sent = {0}, waiting = {0};
	int32_t xid;

	rig_greet(rig, TIMEOUT_MS);
	rig_wait_state(rig, ZC_CONNECTED);
	assert_int_equal(zc_delete(rig->zc, "/a", -1, note, &sent), 0);
	rig_request(rig, OP_DELETE, NULL);
	rig_hang_up(rig);
	rig_wait_state(rig, ZC_CONNECTING);
	assert_int_equal(sent.count, 1);
	assert_int_equal(sent.err, ZC_CONNECTIONLOSS);

	assert_int_equal(zc_get(rig->zc, "/a", NULL, note, &waiting), 0);
	const struct proto_connect_request again = rig_greet(rig, TIMEOUT_MS);

	assert_int_equal(again.session_id, SESSION);
	rig_request(rig, OP_GET_DATA, &xid);
	rig_reply(rig, xid, 11, ZK_NONODE);
	wait_for(rig, &waiting.count, 1);
	assert_int_equal(waiting.err, ZC_NONODE);
	assert_int_equal(sent.count, 1);
}

static void
an_expired_session_answers_everything_and_takes_nothing_more(void **state)
{
	struct rig *rig = *state;
	struct seen seen = {0};

	assert_int_equal(zc_get(rig->zc, "/a", NULL, note, &seen), 0);
	rig_greet(rig, 0);
	rig_wait_state(rig, ZC_EXPIRED);
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.err, ZC_SESSIONEXPIRED);
	assert_int_equal(zc_get(rig->zc, "/a", NULL, note, &seen), FAL_ECLOSED);
	assert_int_equal(seen.count, 1);
}

static void
a_reply_out_of_its_order_finds_its_request(void **state)
{
	struct rig *rig = *state;
	struct seen one = {0}, two = {0}, three = {0};
	int32_t xid[3];

	rig_greet(rig, TIMEOUT_MS);
	rig_wait_state(rig, ZC_CONNECTED);
	assert_int_equal(zc_get(rig->zc, "/1", NULL, note, &one), 0);
	assert_int_equal(zc_get(rig->zc, "/2", NULL, note, &two), 0);
	assert_int_equal(zc_get(rig->zc, "/3", NULL, note, &three), 0);
	for (int i = 0; i < 3; i++)
		rig_request(rig, OP_GET_DATA, &xid[i]);
	rig_reply(rig, xid[1], 5, ZK_NOAUTH);
	wait_for(rig, &two.count, 1);
	assert_int_equal(two.err, ZC_NOAUTH);
	assert_int_equal(one.count + three.count, 0);
	reply_data(rig, xid[0], "");
	reply_data(rig, xid[2], "");
	wait_for(rig, &three.count, 1);
	assert_int_equal(one.count, 1);
	assert_int_equal(zc_outstanding(rig->zc), 0);
}

static void
a_reply_nobody_asked_for_ends_the_connection(void **state)
{
	struct rig *rig = *state;

	rig_greet(rig, TIMEOUT_MS);
	rig_wait_state(rig, ZC_CONNECTED);
	rig_reply(rig, 77, 5, 0);
	rig_wait_state(rig, ZC_CONNECTING);
}

static void
a_body_that_does_not_decode_is_no_reply(void **state)
{
	struct rig *rig = *state;
	struct seen seen = {0};
	int32_t xid;

	rig_greet(rig, TIMEOUT_MS);
	rig_wait_state(rig, ZC_CONNECTED);
	assert_int_equal(zc_get(rig->zc, "/a", NULL, note, &seen), 0);
	rig_request(rig, OP_GET_DATA, &xid);
	jute_put_int(rig_begin_reply(rig, xid, 5, 0), 1000);
	rig_send(rig);
	wait_for(rig, &seen.count, 1);
	assert_int_equal(seen.err, ZC_CONNECTIONLOSS);
}

/* A watch of each kind; the data watch fires once, the others stay. */
static void
set_watches(struct rig *rig, const struct zc_watch *watch)
{
	struct seen seen = {0};
	int32_t xid;

	assert_int_equal(zc_get(rig->zc, "/d", watch, note, &seen), 0);
	rig_request(rig, OP_GET_DATA, &xid);
	reply_data(rig, xid, "");
	assert_int_equal(zc_exists(rig->zc, "/e", watch, note, &seen), 0);
	rig_request(rig, OP_EXISTS, &xid);
	rig_reply(rig, xid, 9, ZK_NONODE);
	assert_int_equal(zc_get(rig->zc, "/no", watch, note, &seen), 0);
	rig_request(rig, OP_GET_DATA, &xid);
	rig_reply(rig, xid, 9, ZK_NONODE); /* sets none */
	assert_int_equal(zc_children(rig->zc, "/c", watch, note, &seen), 0);
	rig_request(rig, OP_GET_CHILDREN2, &xid);
	jute_put_int(rig_begin_reply(rig, xid, 9, 0), 0);
	proto_put_stat(&rig->writer, &stat_of_9);
	rig_send(rig);
	for (int mode = 0; mode < 2; mode++) {
		assert_int_equal(zc_add_watch(rig->zc, mode == 0 ? "/p" : "/r",
					      (enum zc_watch_mode)mode, watch,
					      note, &seen),
				 0);
		rig_request(rig, OP_ADD_WATCH, &xid);
		rig_reply(rig, xid, 9, 0);
	}
	wait_for(rig, &seen.count, 6);
}

static void
watches_hear_what_they_are_for(void **state)
{
	struct rig *rig = *state;
	struct seen seen = {0};
	const struct zc_watch watch = {.fn = note_event, .arg = &seen};

	rig_greet(rig, TIMEOUT_MS);
	rig_wait_state(rig, ZC_CONNECTED);
	set_watches(rig, &watch);
	rig_event(rig, EVENT_NODE_CHILDREN_CHANGED, "/d"); /* not for data */
	rig_event(rig, EVENT_NODE_DATA_CHANGED, "/d");
	rig_event(rig, EVENT_NODE_DATA_CHANGED, "/d"); /* was one-shot */
	rig_event(rig, EVENT_NODE_CREATED, "/e");
	rig_event(rig, EVENT_NODE_DELETED, "/c");
	rig_event(rig, EVENT_NODE_DATA_CHANGED, "/no");
	rig_event(rig, EVENT_NODE_CHILDREN_CHANGED, "/p");
	rig_event(rig, EVENT_NODE_DATA_CHANGED, "/p");
	rig_event(rig, EVENT_NODE_CREATED, "/r/x/y");
	rig_event(rig, EVENT_NODE_CHILDREN_CHANGED, "/r/x");
	rig_event(rig, EVENT_NODE_CREATED, "/rx");
	rig_event(rig, EVENT_NODE_DELETED, "/r");
	wait_for(rig, &seen.count, 7);
	for (int i = 0; i < 20; i++)
		rig_step(rig);
	assert_string_equal(seen.text, "3/d 1/e 2/c 4/p 3/p 1/r/x/y 2/r ");
}

static int32_t
count_paths(struct rig *rig, int32_t op, uint32_t vector)
{
	struct jute_reader body = rig_request(rig, op, NULL);
	struct proto_set_watches request;
	int32_t others = 0;

	assert_int_equal(proto_get_set_watches(&body, op, &request), 0);
	assert_int_equal(request.relative_zxid, 9);
	for (uint32_t i = 0; i < 5; i++)
		others += i == vector ? 0 : request.paths[i].count;
	assert_int_equal(others, 0);
	return request.paths[vector].count;
}

static void
a_new_connection_hears_of_identities_and_watches_first(void **state)
{
	struct rig *rig = *state;
	struct seen seen = {0}, auth = {0}, get = {0};
	const struct zc_watch watch = {.fn = note_event, .arg = &seen};

	rig_greet(rig, TIMEOUT_MS);
	rig_wait_state(rig, ZC_CONNECTED);
	assert_int_equal(zc_add_auth(rig->zc, "digest", "u:p", 3, note, &auth),
			 0);
	rig_request(rig, OP_AUTH, NULL);
	rig_reply(rig, XID_AUTH, 0, 0);
	set_watches(rig, &watch);
	rig_hang_up(rig);
	rig_wait_state(rig, ZC_CONNECTING);
	assert_int_equal(auth.count, 1);
	assert_int_equal(zc_get(rig->zc, "/a", NULL, note, &get), 0);

	const struct proto_connect_request again = rig_greet(rig, TIMEOUT_MS);

	assert_int_equal(again.last_zxid_seen, 9);
	rig_request(rig, OP_AUTH, NULL);
	assert_int_equal(count_paths(rig, OP_SET_WATCHES, 0), 1);
	assert_int_equal(count_paths(rig, OP_SET_WATCHES, 1), 1);
	assert_int_equal(count_paths(rig, OP_SET_WATCHES, 2), 1);
	assert_int_equal(count_paths(rig, OP_SET_WATCHES2, 3), 1);
	assert_int_equal(count_paths(rig, OP_SET_WATCHES2, 4), 1);
	rig_request(rig, OP_GET_DATA, NULL);
	rig_reply(rig, XID_AUTH, 0, 0);
	rig_reply(rig, XID_SET_WATCHES, 9, 0);
	rig_event(rig, EVENT_NODE_DATA_CHANGED, "/d");
	wait_for(rig, &seen.count, 1);
	assert_int_equal(auth.count, 1); /* told once */
}

static void
an_identity_that_is_refused_ends_the_session(void **state)
{
	struct rig *rig = *state;
	struct seen auth = {0}, get = {0};

	rig_greet(rig, TIMEOUT_MS);
	rig_wait_state(rig, ZC_CONNECTED);
	assert_int_equal(zc_add_auth(rig->zc, "digest", "x", 1, note, &auth),
			 0);
	assert_int_equal(zc_get(rig->zc, "/a", NULL, note, &get), 0);
	rig_request(rig, OP_AUTH, NULL);
	rig_reply(rig, XID_AUTH, 0, ZK_AUTHFAILED);
	rig_wait_state(rig, ZC_AUTH_REFUSED);
	assert_int_equal(auth.err, ZC_AUTHFAILED);
	assert_int_equal(get.err, ZC_AUTHFAILED);
	assert_int_equal(get.count, 1);
}

static void
a_removed_watch_is_silent(void **state)
{
	struct rig *rig = *state;
	struct seen seen = {0}, removed = {0};
	const struct zc_watch watch = {.fn = note_event, .arg = &seen};
	int32_t xid;

	rig_greet(rig, TIMEOUT_MS);
	rig_wait_state(rig, ZC_CONNECTED);
	set_watches(rig, &watch);
	assert_int_equal(zc_remove_watches(rig->zc, "/p", ZC_WATCHES_ANY, note,
					   &removed),
			 0);
	struct jute_reader body = rig_request(rig, OP_REMOVE_WATCHES, &xid);
	struct proto_path_int request;

	assert_int_equal(proto_get_path_int(&body, &request), 0);
	assert_int_equal(request.value, ZC_WATCHES_ANY);
	rig_reply(rig, xid, 9, 0);
	wait_for(rig, &removed.count, 1);
	rig_event(rig, EVENT_NODE_DATA_CHANGED, "/p");
	rig_event(rig, EVENT_NODE_DATA_CHANGED, "/d");
	wait_for(rig, &seen.count, 1);
	assert_string_equal(seen.text, "3/d ");
}

static void
closing_says_farewell_and_answers_the_rest(void **state)
{
	struct rig *rig = *state;
	struct seen closed = {0}, get = {0};
	int32_t xid;

	rig_greet(rig, TIMEOUT_MS);
	rig_wait_state(rig, ZC_CONNECTED);
	assert_int_equal(zc_close(rig->zc, note, &closed), 0);
	assert_int_equal(zc_get(rig->zc, "/a", NULL, note, &get), 0);
	rig_request(rig, OP_CLOSE_SESSION, &xid);
	rig_reply(rig, xid, 12, 0);
	rig_wait_state(rig, ZC_CLOSED);
	assert_int_equal(closed.count, 1);
	assert_int_equal(closed.err, ZC_OK);
	assert_int_equal(get.err, ZC_CLOSING);
	zc_free(rig->zc);
}

static void
a_session_that_says_farewell_ends_with_its_connection(void **state)
{
	struct rig *rig = *state;
	struct seen closed = {0}, get = {0};

	rig_greet(rig, TIMEOUT_MS);
	rig_wait_state(rig, ZC_CONNECTED);
	assert_int_equal(zc_close(rig->zc, note, &closed), 0);
	assert_int_equal(zc_get(rig->zc, "/a", NULL, note, &get), 0);
	rig_request(rig, OP_CLOSE_SESSION, NULL);
	rig_hang_up(rig);
	rig_wait_state(rig, ZC_CLOSED);
	assert_int_equal(closed.count, 1);
	assert_int_equal(closed.err, ZC_CONNECTIONLOSS);
	assert_int_equal(get.count, 1);
}

/* A program's usual ways with a lost connection. */
struct loser {
	struct rig *rig;
	struct seen lost, again;
};

static void
try_again(void *arg, struct zc_reply *reply)
{
	struct loser *loser = arg;

	note(&loser->lost, reply);
	assert_int_equal(
		zc_get(loser->rig->zc, "/again", NULL, note, &loser->again), 0);
}

static void
give_up(void *arg, struct zc_reply *reply)
{
	struct loser *loser = arg;

	note(&loser->lost, reply);
	zc_free(loser->rig->zc);
}

static void
who_gives_up_ends_the_retries_of_others(void **state)
{
	struct rig *rig = *state;
	struct loser first = {.rig = rig}, second = {.rig = rig};

	rig_greet(rig, TIMEOUT_MS);
	rig_wait_state(rig, ZC_CONNECTED);
	assert_int_equal(zc_get(rig->zc, "/1", NULL, try_again, &first), 0);
	assert_int_equal(zc_get(rig->zc, "/2", NULL, give_up, &second), 0);
	rig_request(rig, OP_GET_DATA, NULL);
	rig_request(rig, OP_GET_DATA, NULL);
	rig_hang_up(rig);
	wait_for(rig, &second.lost.count, 1);
	assert_int_equal(first.lost.count, 1);
	assert_int_equal(first.again.count, 1);
	assert_int_equal(first.again.err, ZC_CLOSING);
}

static void
free_when_closed(void *arg, struct zc *zc, enum zc_state state)
{
	uint32_t *count = arg;

	++*count;
	assert_int_equal(state, ZC_CLOSED);
	zc_free(zc);
}

/* Outside of a step there are callbacks, too. */
static void
a_session_may_be_freed_while_it_is_closed_or_freed(void **state)
{
	struct rig *rig = *state;
	struct loser loser = {.rig = rig};
	struct seen after = {0}, closed = {0};
	uint32_t told = 0;
	const struct zc_options options = {.on_state = free_when_closed,
					   .arg = &told};

	assert_int_equal(zc_get(rig->zc, "/1", NULL, give_up, &loser), 0);
	assert_int_equal(zc_get(rig->zc, "/2", NULL, note, &after), 0);
	zc_free(rig->zc);
	assert_int_equal(loser.lost.err, ZC_CLOSING);
	assert_int_equal(after.count, 1);

	assert_int_equal(zc_open(rig->loop, rig->servers, &options, &rig->zc),
			 0);
	assert_int_equal(zc_get(rig->zc, "/1", NULL, give_up, &loser), 0);
	assert_int_equal(zc_get(rig->zc, "/2", NULL, note, &after), 0);
	assert_int_equal(zc_close(rig->zc, note, &closed), 0);
	assert_int_equal(loser.lost.count, 2);
	assert_int_equal(after.count, 2);
	assert_int_equal(closed.count, 1);

	assert_int_equal(zc_open(rig->loop, rig->servers, &options, &rig->zc),
			 0);
	assert_int_equal(zc_close(rig->zc, note, &closed), 0);
	assert_int_equal(told, 1);
	assert_int_equal(closed.count, 2);
}

/* It is one of that server alone. */
static void
a_session_of_a_server_without_a_quorum_is_taken_nowhere_else(void **state)
{
	struct rig *rig = *state;
	const struct zc_options options = {.may_read_only = true};
	static const uint8_t none[16];
	struct proto_connect_request request;

	zc_free(rig->zc);
	assert_int_equal(zc_open(rig->loop, rig->servers, &options, &rig->zc),
			 0);
	rig->is_read_only = true;
	request = rig_greet(rig, TIMEOUT_MS);
	assert_true(request.is_read_only);
	assert_true(zc_wait_connected(rig->loop, rig->zc, 5000));
	assert_int_equal(zc_state(rig->zc), ZC_CONNECTED_READ_ONLY);
	rig_hang_up(rig);

	rig->is_read_only = false;
	request = rig_greet(rig, TIMEOUT_MS);
	assert_int_equal(request.session_id, 0);
	assert_memory_equal(request.password.data, none, 16);
	assert_true(zc_wait_connected(rig->loop, rig->zc, 5000));
	assert_int_equal(zc_state(rig->zc), ZC_CONNECTED);
	rig_hang_up(rig);

	/* That is one of all servers. */
	request = rig_greet(rig, TIMEOUT_MS);
	assert_int_equal(request.session_id, SESSION);
}

static void
blanks_around_servers_are_no_part_of_their_names(void **state)
{
	struct rig *rig = *state;
	char servers[200];

	zc_free(rig->zc);
	/* Nobody is at the first. */
	snprintf(servers, sizeof(servers), " 127.0.0.1:1 ,\t%s ,",
		 rig->servers);
	assert_int_equal(zc_open(rig->loop, servers, NULL, &rig->zc), 0);
	rig_greet(rig, TIMEOUT_MS);
	assert_true(zc_wait_connected(rig->loop, rig->zc, 5000));
}

static void
free_in_its_own_callback(void *arg, struct zc_reply *reply)
{
	struct rig *rig = arg;

	if (reply->err == ZC_NONODE)
		zc_free(rig->zc);
}

static void
a_session_may_be_freed_from_its_callback(void **state)
{
	struct rig *rig = *state;
	int32_t xid;

	rig_greet(rig, TIMEOUT_MS);
	rig_wait_state(rig, ZC_CONNECTED);
	assert_int_equal(
		zc_get(rig->zc, "/a", NULL, free_in_its_own_callback, rig), 0);
	rig_request(rig, OP_GET_DATA, &xid);
	rig_reply(rig, xid, 5, ZK_NONODE);
	rig_reply(rig, xid + 1, 5, ZK_NONODE); /* to nobody */
	for (int i = 0; i < 20; i++)
		rig_step(rig);
}

static void
a_future_keeps_what_the_reply_pointed_to(void **state)
{
	struct rig *rig = *state;
	struct zc_future future = {0};
	struct zc_bytes name;
	int32_t xid;

	rig_greet(rig, TIMEOUT_MS);
	assert_true(zc_wait_connected(rig->loop, rig->zc, 5000));
	assert_int_equal(
		zc_children(rig->zc, "/", NULL, zc_future_done, &future), 0);
	rig_request(rig, OP_GET_CHILDREN2, &xid);
	struct jute_writer *writer = rig_begin_reply(rig, xid, 9, 0);

	jute_put_int(writer, 2);
	jute_put_cstr(writer, "one");
	jute_put_cstr(writer, "two");
	proto_put_stat(writer, &stat_of_9);
	rig_send(rig);
	assert_int_equal(zc_future_wait(rig->loop, &future, 5000), ZC_OK);
	assert_int_equal(future.reply.element_count, 2);
	assert_true(zc_reply_next_text(&future.reply, &name));
	assert_memory_equal(name.data, "one", 3);
	assert_true(zc_reply_next_text(&future.reply, &name));
	assert_memory_equal(name.data, "two", 3);
	assert_false(zc_reply_next_text(&future.reply, &name));
	zc_future_free(&future);
}

static void
refuses_paths_and_server_texts_that_are_none(void **state)
{
	struct rig *rig = *state;
	const char *const bad[] = {
		"",      ":2181",         "h:0",     "h:65536",
		"h:21x", "[::1",          "[::1]21", "h:1/a/",
		"h:",    "127.1.1.1:1,,", " ",       "h:1, ,h"};
	struct zc *zc = NULL;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (zc_open(rig->loop, bad[i], NULL, &zc) == 0)
			fail_msg("%s was taken", bad[i]);
	assert_int_equal(zc_get(rig->zc, "a", NULL, note, NULL), FAL_EINVAL);
	assert_int_equal(zc_get(rig->zc, "/a/", NULL, note, NULL), FAL_EINVAL);
	assert_int_equal(zc_get(rig->zc, NULL, NULL, note, NULL), FAL_EINVAL);
}

static void
a_chroot_is_added_and_taken_off(void **state)
{
	struct rig *rig = *state;
	struct seen seen = {0}, got = {0};
	const struct zc_watch watch = {.fn = note_event, .arg = &seen};
	char servers[80];
	int32_t xid;

	zc_free(rig->zc);
	snprintf(servers, sizeof(servers), "%s/app", rig->servers);
	assert_int_equal(zc_open(rig->loop, servers, NULL, &rig->zc), 0);
	assert_int_equal(zc_get(rig->zc, "/", &watch, note, &got), 0);
	assert_int_equal(zc_get(rig->zc, "/x", &watch, note, &got), 0);
	rig_greet(rig, TIMEOUT_MS);

	struct jute_reader body = rig_request(rig, OP_GET_DATA, &xid);
	struct jute_slice path = jute_get_slice(&body);

	assert_int_equal(path.bytes, 4);
	assert_memory_equal(path.data, "/app", 4);
	reply_data(rig, xid, "");
	body = rig_request(rig, OP_GET_DATA, &xid);
	path = jute_get_slice(&body);
	assert_int_equal(path.bytes, 6);
	assert_memory_equal(path.data, "/app/x", 6);
	reply_data(rig, xid, "");
	wait_for(rig, &got.count, 2);
	rig_event(rig, EVENT_NODE_DATA_CHANGED, "/app");
	rig_event(rig, EVENT_NODE_DELETED, "/app/x");
	wait_for(rig, &seen.count, 2);
	assert_string_equal(seen.text, "3/ 2/x ");
}

static void
a_full_backlog_refuses_and_loses_nothing(void **state)
{
	struct rig *rig = *state;
	const struct zc_options options = {.backlog_bytes_max = 1000};
	struct seen seen = {0};
	uint32_t taken = 0;
	int err;

	zc_free(rig->zc);
	assert_int_equal(zc_open(rig->loop, rig->servers, &options, &rig->zc),
			 0);
	while ((err = zc_get(rig->zc, "/a", NULL, note, &seen)) == 0)
		taken++;
	assert_int_equal(err, FAL_ELIMIT);
	assert_true(taken > 5);
	rig_greet(rig, TIMEOUT_MS);
	for (uint32_t i = 0; i < taken; i++) {
		int32_t xid;

		rig_request(rig, OP_GET_DATA, &xid);
		rig_reply(rig, xid, 1, ZK_NONODE);
	}
	wait_for(rig, &seen.count, taken);
}

/* How often a step of a millisecond without news slept and looked. */
static void
step_alone(uint32_t spin_us, struct stream_counters *out)
{
	const struct zc_loop_options options = {.spin_us = spin_us};
	const struct stream_config config = {.stream_limit = 4,
					     .doorbell_fd = -1};
	struct stream_core *streams;
	struct zc_loop *loop;

	assert_int_equal(stream_epoll_create(&config, &streams), 0);
	assert_int_equal(zc_loop_create_on(&options, streams, &loop), 0);
	assert_false(zc_loop_step(loop, 1));
	stream_counters_read(streams, out);
	zc_loop_destroy(loop);
}

static void
a_step_looks_for_news_before_it_sleeps(void **state)
{
	struct stream_counters counters;

	(void)state;
	step_alone(0, &counters);
	assert_int_equal(counters.waits, 1);
	assert_int_equal(counters.polls, 2);
	/* Longer than it may wait. */
	step_alone(1000000, &counters);
	assert_int_equal(counters.waits, 0);
	assert_true(counters.polls > 2);
}

int
main(void)
{
#define CASE(name) \
	cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_step_looks_for_news_before_it_sleeps),
		CASE(asks_for_a_session_and_remembers_it),
		CASE(requests_wait_for_the_connection_in_their_order),
		CASE(what_was_sent_is_lost_with_the_connection_and_what_waits_is_not),
		CASE(an_expired_session_answers_everything_and_takes_nothing_more),
		CASE(a_reply_out_of_its_order_finds_its_request),
		CASE(a_reply_nobody_asked_for_ends_the_connection),
		CASE(a_body_that_does_not_decode_is_no_reply),
		CASE(watches_hear_what_they_are_for),
		CASE(a_new_connection_hears_of_identities_and_watches_first),
		CASE(an_identity_that_is_refused_ends_the_session),
		CASE(a_removed_watch_is_silent),
		CASE(closing_says_farewell_and_answers_the_rest),
		CASE(a_session_that_says_farewell_ends_with_its_connection),
		CASE(who_gives_up_ends_the_retries_of_others),
		CASE(a_session_may_be_freed_while_it_is_closed_or_freed),
		CASE(a_session_of_a_server_without_a_quorum_is_taken_nowhere_else),
		CASE(blanks_around_servers_are_no_part_of_their_names),
		CASE(a_session_may_be_freed_from_its_callback),
		CASE(a_future_keeps_what_the_reply_pointed_to),
		CASE(refuses_paths_and_server_texts_that_are_none),
		CASE(a_chroot_is_added_and_taken_off),
		CASE(a_full_backlog_refuses_and_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
