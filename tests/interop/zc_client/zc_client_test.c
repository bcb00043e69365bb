/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    the client library does with a real server, Falconer or ZooKeeper,
 *         what its header says.
 * Method  each test is a function that returns NULL or what went wrong. The
 *         program prints "ok NAME" or "not ok NAME: why", a line a test; at
 *         the line RESTART whoever runs it restarts the server and answers.
 *
 * Usage: zc_client_test SERVERS
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/future.h"
#include "client/zc.h"

#define WAIT_MS 15000u

static struct zc_loop *loop;
static struct zc *zc;
static const char *servers;
static char why[256];

#define EXPECT(cond)                                                        \
	do {                                                                \
		if (!(cond)) {                                              \
			snprintf(why, sizeof(why), "line %d: %s", __LINE__, \
				 #cond);                                    \
			return why;                                         \
		}                                                           \
	} while (0)

/* The result of a request; the future keeps its reply. */
static int32_t
result_of(int err, struct zc_future *future)
{
	return err != 0 ? err : zc_future_wait(loop, future, WAIT_MS);
}

#define DO(future, call) (zc_future_free(&(future)), result_of(call, &(future)))

static bool
is_text(struct zc_bytes bytes, const char *text)
{
	return bytes.data != NULL && bytes.bytes == strlen(text) &&
	       memcmp(bytes.data, text, bytes.bytes) == 0;
}

struct told {
	uint32_t count;
	char text[512];
};

static void
note_event(void *arg, enum zc_event event, struct zc_bytes path)
{
	struct told *told = arg;
	const size_t used = strlen(told->text);

	told->count++;
	snprintf(told->text + used, sizeof(told->text) - used, "%d%.*s ",
		 (int)event, (int)path.bytes, (const char *)path.data);
}

static void
wait_told(const struct told *told, uint32_t count)
{
	for (int i = 0; i < 1000 && told->count < count; i++)
		zc_loop_step(loop, 10);
}

/* ---- tests ------------------------------------------------------------------
 */

static const char *
nodes_are_made_read_changed_and_deleted(void)
{
	struct zc_future f = {0};

	EXPECT(DO(f, zc_create(zc, "/n", "v1", 2, NULL, zc_future_done, &f)) ==
	       ZC_OK);
	EXPECT(is_text(f.reply.path, "/n"));
	EXPECT(f.reply.has_stat && f.reply.stat.data_length == 2);
	EXPECT(DO(f, zc_create(zc, "/n", "v1", 2, NULL, zc_future_done, &f)) ==
	       ZC_NODEEXISTS);
	EXPECT(DO(f, zc_get(zc, "/n", NULL, zc_future_done, &f)) == ZC_OK);
	EXPECT(is_text(f.reply.data, "v1"));
	EXPECT(DO(f, zc_set(zc, "/n", "v2!", 3, 0, zc_future_done, &f)) ==
	       ZC_OK);
	EXPECT(f.reply.stat.version == 1);
	EXPECT(DO(f, zc_set(zc, "/n", "x", 1, 0, zc_future_done, &f)) ==
	       ZC_BADVERSION);
	EXPECT(DO(f, zc_exists(zc, "/n", NULL, zc_future_done, &f)) == ZC_OK);
	EXPECT(f.reply.stat.version == 1 && f.reply.stat.data_length == 3);
	EXPECT(DO(f, zc_delete(zc, "/n", 1, zc_future_done, &f)) == ZC_OK);
	EXPECT(DO(f, zc_get(zc, "/n", NULL, zc_future_done, &f)) == ZC_NONODE);
	zc_future_free(&f);
	return NULL;
}

static const char *
every_kind_of_node(void)
{
	struct zc_create create = {0};
	struct zc_future f = {0};

	EXPECT(DO(f, zc_create(zc, "/k", NULL, 0, NULL, zc_future_done, &f)) ==
	       ZC_OK);
	create.mode = ZC_EPHEMERAL_SEQUENTIAL;
	EXPECT(DO(f, zc_create(zc, "/k/e-", "", 0, &create, zc_future_done,
			       &f)) == ZC_OK);
	EXPECT(is_text(f.reply.path, "/k/e-0000000000"));
	EXPECT(f.reply.stat.ephemeral_owner != 0);
	create.mode = ZC_PERSISTENT_SEQUENTIAL;
	EXPECT(DO(f, zc_create(zc, "/k/s-", "", 0, &create, zc_future_done,
			       &f)) == ZC_OK);
	EXPECT(is_text(f.reply.path, "/k/s-0000000001"));
	create.mode = ZC_CONTAINER;
	EXPECT(DO(f, zc_create(zc, "/k/c", "", 0, &create, zc_future_done,
			       &f)) == ZC_OK);
	EXPECT(DO(f, zc_ephemerals(zc, "/k", zc_future_done, &f)) == ZC_OK);
	EXPECT(f.reply.element_count == 1);
	struct zc_bytes path;

	EXPECT(zc_reply_next_text(&f.reply, &path));
	EXPECT(is_text(path, "/k/e-0000000000"));
	EXPECT(DO(f, zc_all_children_number(zc, "/k", zc_future_done, &f)) ==
	       ZC_OK);
	EXPECT(f.reply.number == 3);
	EXPECT(DO(f, zc_children(zc, "/k", NULL, zc_future_done, &f)) == ZC_OK);
	EXPECT(f.reply.element_count == 3 && f.reply.stat.num_children == 3);
	EXPECT(DO(f, zc_delete(zc, "/k", -1, zc_future_done, &f)) ==
	       ZC_NOTEMPTY);
	EXPECT(DO(f, zc_create(zc, "/k/e-0000000000/x", "", 0, NULL,
			       zc_future_done, &f)) ==
	       ZC_NOCHILDRENFOREPHEMERALS);
	zc_future_free(&f);
	return NULL;
}

static const char *
multis_are_all_or_nothing(void)
{
	struct zc_future f = {0};
	struct zc_reply one;
	const struct zc_op good[] = {
		{.type = ZC_OP_CREATE, .path = "/m", .data = "a", .bytes = 1},
		{.type = ZC_OP_SET,
		 .path = "/m",
		 .data = "bc",
		 .bytes = 2,
		 .version = 0},
		{.type = ZC_OP_CHECK, .path = "/m", .version = 1},
		{.type = ZC_OP_CREATE, .path = "/m/x"},
		{.type = ZC_OP_DELETE, .path = "/m/x", .version = -1},
	};
	const struct zc_op bad[] = {
		{.type = ZC_OP_CREATE, .path = "/m/y"},
		{.type = ZC_OP_CHECK, .path = "/m", .version = 7},
		{.type = ZC_OP_DELETE, .path = "/m", .version = -1},
	};
	const struct zc_op reads[] = {
		{.type = ZC_OP_GET, .path = "/m"},
		{.type = ZC_OP_GET, .path = "/missing"},
		{.type = ZC_OP_CHILDREN, .path = "/m"},
	};
	const int32_t errs[] = {0, ZC_BADVERSION, ZC_RUNTIMEINCONSISTENCY};

	EXPECT(DO(f, zc_multi(zc, good, 5, zc_future_done, &f)) == ZC_OK);
	EXPECT(f.reply.element_count == 5);
	EXPECT(zc_reply_next_result(&f.reply, &one));
	EXPECT(is_text(one.path, "/m"));
	EXPECT(zc_reply_next_result(&f.reply, &one));
	EXPECT(one.has_stat && one.stat.version == 1);

	EXPECT(DO(f, zc_multi(zc, bad, 3, zc_future_done, &f)) ==
	       ZC_BADVERSION);
	for (int i = 0; i < 3; i++) {
		EXPECT(zc_reply_next_result(&f.reply, &one));
		EXPECT(one.err == errs[i]);
	}
	EXPECT(!zc_reply_next_result(&f.reply, &one));

	EXPECT(DO(f, zc_multi_read(zc, reads, 3, zc_future_done, &f)) == ZC_OK);
	EXPECT(zc_reply_next_result(&f.reply, &one));
	EXPECT(is_text(one.data, "bc"));
	EXPECT(zc_reply_next_result(&f.reply, &one));
	EXPECT(one.err == ZC_NONODE);
	EXPECT(zc_reply_next_result(&f.reply, &one));
	EXPECT(one.element_count == 0 && one.err == ZC_OK);
	EXPECT(zc_multi(zc, reads, 1, zc_future_done, &f) != 0);
	zc_future_free(&f);
	return NULL;
}

static const char *
acls_and_identities(void)
{
	const struct zc_acl mine = {
		.perms = ZC_ALL, .scheme = "auth", .id = ""};
	const struct zc_create closed = {.acl = &mine, .acl_count = 1};
	const struct zc_acl open = {
		.perms = ZC_READ, .scheme = "world", .id = "anyone"};
	struct zc_future f = {0};
	struct zc_reply_acl acl;

	EXPECT(DO(f, zc_add_auth(zc, "digest", "bob:secret", 10, zc_future_done,
				 &f)) == ZC_OK);
	EXPECT(DO(f, zc_create(zc, "/acl", "", 0, &closed, zc_future_done,
			       &f)) == ZC_OK);
	EXPECT(DO(f, zc_get_acl(zc, "/acl", zc_future_done, &f)) == ZC_OK);
	EXPECT(f.reply.element_count == 1 && f.reply.has_stat);
	EXPECT(zc_reply_next_acl(&f.reply, &acl));
	EXPECT(acl.perms == ZC_ALL && is_text(acl.scheme, "digest"));
	EXPECT(acl.id.bytes > 4 && memcmp(acl.id.data, "bob:", 4) == 0);
	EXPECT(DO(f, zc_set_acl(zc, "/acl", &open, 1, 0, zc_future_done, &f)) ==
	       ZC_OK);
	EXPECT(f.reply.stat.aversion == 1);
	EXPECT(DO(f, zc_set(zc, "/acl", "x", 1, -1, zc_future_done, &f)) ==
	       ZC_NOAUTH);
	EXPECT(DO(f, zc_who_am_i(zc, zc_future_done, &f)) == ZC_OK);
	bool is_bob = false;

	while (zc_reply_next_acl(&f.reply, &acl))
		is_bob |=
			is_text(acl.scheme, "digest") && is_text(acl.id, "bob");
	EXPECT(is_bob);
	zc_future_free(&f);
	return NULL;
}

static const char *
watches_fire(void)
{
	struct told told = {0};
	const struct zc_watch watch = {.fn = note_event, .arg = &told};
	struct zc_future f = {0};

	EXPECT(DO(f, zc_exists(zc, "/w", &watch, zc_future_done, &f)) ==
	       ZC_NONODE);
	EXPECT(DO(f, zc_create(zc, "/w", "", 0, NULL, zc_future_done, &f)) ==
	       ZC_OK);
	/* The event comes before the reply. */
	EXPECT(strcmp(told.text, "1/w ") == 0);
	EXPECT(DO(f, zc_children(zc, "/w", &watch, zc_future_done, &f)) ==
	       ZC_OK);
	EXPECT(DO(f, zc_get(zc, "/w", &watch, zc_future_done, &f)) == ZC_OK);
	EXPECT(DO(f, zc_create(zc, "/w/a", "", 0, NULL, zc_future_done, &f)) ==
	       ZC_OK);
	EXPECT(DO(f, zc_set(zc, "/w", "1", 1, -1, zc_future_done, &f)) ==
	       ZC_OK);
	EXPECT(DO(f, zc_set(zc, "/w", "2", 1, -1, zc_future_done, &f)) ==
	       ZC_OK);
	EXPECT(strcmp(told.text, "1/w 4/w 3/w ") == 0);
	zc_future_free(&f);
	return NULL;
}

/* On paths of their own: servers before 3.9 keep one mode for a path. */
static const char *
recursive_watches_stay_until_removed(void)
{
	struct told told = {0};
	const struct zc_watch watch = {.fn = note_event, .arg = &told};
	struct zc_future f = {0};

	EXPECT(DO(f, zc_add_watch(zc, "/wr", ZC_WATCH_RECURSIVE, &watch,
				  zc_future_done, &f)) == ZC_OK);
	EXPECT(DO(f, zc_create(zc, "/wr", "", 0, NULL, zc_future_done, &f)) ==
	       ZC_OK);
	EXPECT(DO(f, zc_create(zc, "/wr/a", "", 0, NULL, zc_future_done, &f)) ==
	       ZC_OK);
	EXPECT(DO(f, zc_set(zc, "/wr", "1", 1, -1, zc_future_done, &f)) ==
	       ZC_OK);
	EXPECT(DO(f, zc_delete(zc, "/wr/a", -1, zc_future_done, &f)) == ZC_OK);
	EXPECT(strcmp(told.text, "1/wr 1/wr/a 3/wr 2/wr/a ") == 0);
	EXPECT(DO(f, zc_remove_watches(zc, "/wr", ZC_WATCHES_ANY,
				       zc_future_done, &f)) == ZC_OK);
	EXPECT(DO(f, zc_set(zc, "/wr", "2", 1, -1, zc_future_done, &f)) ==
	       ZC_OK);
	EXPECT(told.count == 4);
	EXPECT(DO(f, zc_remove_watches(zc, "/wr", ZC_WATCHES_ANY,
				       zc_future_done, &f)) == ZC_NOWATCHER);
	zc_future_free(&f);
	return NULL;
}

struct counter {
	uint32_t good, bad;
};

static void
count(void *arg, struct zc_reply *reply)
{
	struct counter *counter = arg;

	if (reply->err == ZC_OK)
		counter->good++;
	else
		counter->bad++;
}

static const char *
a_pipeline_of_ten_thousand(void)
{
	struct counter counter = {0};
	struct zc_future f = {0};

	EXPECT(DO(f, zc_create(zc, "/pipe", "0", 1, NULL, zc_future_done,
			       &f)) == ZC_OK);
	for (uint32_t i = 0; i < 10000; i++) {
		const int err =
			i % 4 == 0 ? zc_set(zc, "/pipe", &i, 4, -1, count,
					    &counter)
				   : zc_get(zc, "/pipe", NULL, count, &counter);

		EXPECT(err == 0);
		if (i % 100 == 0)
			zc_loop_step(loop, 0);
	}
	for (int i = 0; i < 3000 && counter.good + counter.bad < 10000; i++)
		zc_loop_step(loop, 10);
	EXPECT(counter.good == 10000 && counter.bad == 0);
	EXPECT(DO(f, zc_sync(zc, "/pipe", zc_future_done, &f)) == ZC_OK);
	EXPECT(is_text(f.reply.path, "/pipe"));
	EXPECT(DO(f, zc_get(zc, "/pipe", NULL, zc_future_done, &f)) == ZC_OK);
	EXPECT(f.reply.stat.version == 2500);
	zc_future_free(&f);
	return NULL;
}

static const char *
a_chroot_is_a_world_of_its_own(void)
{
	struct zc_future f = {0};
	struct told told = {0};
	const struct zc_watch watch = {.fn = note_event, .arg = &told};
	struct zc *inner = NULL;
	char text[512];

	EXPECT(DO(f, zc_create(zc, "/jail", "", 0, NULL, zc_future_done, &f)) ==
	       ZC_OK);
	snprintf(text, sizeof(text), "%s/jail", servers);
	EXPECT(zc_open(loop, text, NULL, &inner) == 0);
	EXPECT(DO(f, zc_create(inner, "/x", "", 0, NULL, zc_future_done, &f)) ==
	       ZC_OK);
	EXPECT(is_text(f.reply.path, "/x"));
	EXPECT(DO(f, zc_get(inner, "/x", &watch, zc_future_done, &f)) == ZC_OK);
	EXPECT(DO(f, zc_set(zc, "/jail/x", "1", 1, -1, zc_future_done, &f)) ==
	       ZC_OK);
	wait_told(&told, 1);
	EXPECT(strcmp(told.text, "3/x ") == 0);
	EXPECT(DO(f, zc_close(inner, zc_future_done, &f)) == ZC_OK);
	zc_free(inner);
	zc_future_free(&f);
	return NULL;
}

static const char *
closing_takes_ephemerals_along(void)
{
	const struct zc_create ephemeral = {.mode = ZC_EPHEMERAL};
	struct zc_future f = {0};
	struct zc *other = NULL;

	EXPECT(zc_open(loop, servers, NULL, &other) == 0);
	EXPECT(DO(f, zc_create(other, "/eph", "", 0, &ephemeral, zc_future_done,
			       &f)) == ZC_OK);
	/* They may be at two servers. */
	EXPECT(DO(f, zc_sync(zc, "/", zc_future_done, &f)) == ZC_OK);
	EXPECT(DO(f, zc_exists(zc, "/eph", NULL, zc_future_done, &f)) == ZC_OK);
	EXPECT(DO(f, zc_close(other, zc_future_done, &f)) == ZC_OK);
	EXPECT(zc_state(other) == ZC_CLOSED);
	zc_free(other);
	EXPECT(DO(f, zc_sync(zc, "/", zc_future_done, &f)) == ZC_OK);
	EXPECT(DO(f, zc_exists(zc, "/eph", NULL, zc_future_done, &f)) ==
	       ZC_NONODE);
	zc_future_free(&f);
	return NULL;
}

static const char *
a_session_is_taken_up_by_another_client(void)
{
	const struct zc_create ephemeral = {.mode = ZC_EPHEMERAL};
	struct zc_options options = {.timeout_ms = 8000};
	struct zc_future f = {0};
	struct zc *first = NULL, *second = NULL;

	EXPECT(zc_open(loop, servers, NULL, &first) == 0);
	EXPECT(DO(f, zc_create(first, "/held", "", 0, &ephemeral,
			       zc_future_done, &f)) == ZC_OK);
	options.session_id = zc_session(first, options.password);
	zc_free(first); /* without a farewell */
	EXPECT(zc_open(loop, servers, &options, &second) == 0);
	EXPECT(DO(f, zc_sync(second, "/", zc_future_done, &f)) == ZC_OK);
	EXPECT(DO(f, zc_get(second, "/held", NULL, zc_future_done, &f)) ==
	       ZC_OK);
	EXPECT(f.reply.stat.ephemeral_owner == options.session_id);
	EXPECT(DO(f, zc_close(second, zc_future_done, &f)) == ZC_OK);
	zc_free(second);
	options.password[3] ^= 1;
	EXPECT(zc_open(loop, servers, &options, &second) == 0);
	EXPECT(DO(f, zc_get(second, "/", NULL, zc_future_done, &f)) ==
	       ZC_SESSIONEXPIRED);
	EXPECT(zc_state(second) == ZC_EXPIRED);
	zc_free(second);
	zc_future_free(&f);
	return NULL;
}

static const char *
session_identity_and_watches_survive_a_restart(void)
{
	struct told told = {0};
	const struct zc_watch watch = {.fn = note_event, .arg = &told};
	uint8_t password[16];
	struct zc_future f = {0};
	char line[16];
	const int64_t session = zc_session(zc, password);

	EXPECT(DO(f, zc_create(zc, "/re", "", 0, NULL, zc_future_done, &f)) ==
	       ZC_OK);
	EXPECT(DO(f, zc_get(zc, "/re", &watch, zc_future_done, &f)) == ZC_OK);
	EXPECT(DO(f, zc_add_watch(zc, "/re2", ZC_WATCH_PERSISTENT, &watch,
				  zc_future_done, &f)) == ZC_OK);
	printf("RESTART\n");
	fflush(stdout);
	EXPECT(fgets(line, sizeof(line), stdin) != NULL);
	/* The first request may be lost with the old connection. */
	for (int i = 0; i < 50; i++)
		if (DO(f, zc_exists(zc, "/re", NULL, zc_future_done, &f)) ==
		    ZC_OK)
			break;
	EXPECT(f.reply.err == ZC_OK);
	EXPECT(zc_session(zc, password) == session);
	/* Only bob may delete it: see acls_and_identities(). */
	EXPECT(DO(f, zc_who_am_i(zc, zc_future_done, &f)) == ZC_OK);
	EXPECT(f.reply.element_count >= 2);
	EXPECT(DO(f, zc_set(zc, "/re", "1", 1, -1, zc_future_done, &f)) ==
	       ZC_OK);
	EXPECT(DO(f, zc_create(zc, "/re2", "", 0, NULL, zc_future_done, &f)) ==
	       ZC_OK);
	wait_told(&told, 2);
	EXPECT(strcmp(told.text, "3/re 1/re2 ") == 0);
	zc_future_free(&f);
	return NULL;
}

#define TEST(name)          \
	{                   \
#name, name \
	}
static const struct {
	const char *name;
	const char *(*run)(void);
} tests[] = {
	TEST(nodes_are_made_read_changed_and_deleted),
	TEST(every_kind_of_node),
	TEST(multis_are_all_or_nothing),
	TEST(acls_and_identities),
	TEST(watches_fire),
	TEST(recursive_watches_stay_until_removed),
	TEST(a_pipeline_of_ten_thousand),
	TEST(a_chroot_is_a_world_of_its_own),
	TEST(closing_takes_ephemerals_along),
	TEST(a_session_is_taken_up_by_another_client),
	TEST(session_identity_and_watches_survive_a_restart),
};

int
main(int argc, char **argv)
{
	int failed = 0;

	if (argc != 2) {
		fprintf(stderr, "usage: %s SERVERS\n", argv[0]);
		return 2;
	}
	servers = argv[1];
	if (zc_loop_create(NULL, &loop) != 0 ||
	    zc_open(loop, servers, NULL, &zc) != 0) {
		fprintf(stderr, "%s: cannot begin\n", servers);
		return 2;
	}
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		const char *wrong = tests[i].run();

		if (wrong == NULL)
			printf("ok %s\n", tests[i].name);
		else
			printf("not_ok %s %s\n", tests[i].name, wrong);
		fflush(stdout);
		failed += wrong != NULL;
	}
	zc_loop_destroy(loop);
	return failed > 0;
}
