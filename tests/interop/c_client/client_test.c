/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Apache's multi-threaded C client against a server.
 *
 * Goal: programs linked with libzookeeper_mt work unchanged. The library
 * reads a ConnectResponse of a fixed size, demands replies in request order
 * and re-registers its watches with setWatches, so it is a strict judge.
 *
 * Method: each test is a function that returns the number of its first line
 * that did not hold, 0 if all did. Completions and watches run on the
 * library's thread; they only fill a struct seen under one lock, and the
 * tests wait on its condition with a deadline. For the reconnect the program
 * writes RESTART to stdout and goes on when it can read a line: whoever runs
 * it restarts the server meanwhile.
 *
 * Usage: client_test HOST:PORT
 * Output: "ok NAME" or "FAILED NAME line N (last code C)" per test.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <zookeeper/zookeeper.h>

enum {
	CONNECT_SECONDS = 60,
	WAIT_SECONDS = 60,
	EVENTS_MAX = 64,
	PATH_BYTES = 128,
	ASYNC_COUNT = 500,
};

/* What watchers and completions saw; all under seen_lock. */
static struct {
	int types[EVENTS_MAX];
	char paths[EVENTS_MAX][PATH_BYTES];
	int event_count;
	int completions;
	int failures;
	int out_of_order;
	bool is_connected;
	bool is_expired;
} seen;

static pthread_mutex_t seen_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t seen_change = PTHREAD_COND_INITIALIZER;

static const char *hosts;
static zhandle_t *zh;
static int last_code;

/* Ends a test at the line whose condition is false. */
#define HOLDS(condition)                 \
	do {                             \
		if (!(condition))        \
			return __LINE__; \
	} while (0)

/* Ends a test at the line whose call does not return the wanted code. */
#define GIVES(wanted, call)                \
	do {                               \
		last_code = (call);        \
		if (last_code != (wanted)) \
			return __LINE__;   \
	} while (0)

static void
on_session(zhandle_t *handle, int type, int state, const char *path,
	   void *context)
{
	(void)handle;
	(void)path;
	(void)context;
	if (type != ZOO_SESSION_EVENT)
		return;
	pthread_mutex_lock(&seen_lock);
	seen.is_connected = state == ZOO_CONNECTED_STATE;
	if (state == ZOO_EXPIRED_SESSION_STATE)
		seen.is_expired = true;
	pthread_cond_broadcast(&seen_change);
	pthread_mutex_unlock(&seen_lock);
}

static void
on_event(zhandle_t *handle, int type, int state, const char *path,
	 void *context)
{
	(void)handle;
	(void)state;
	(void)context;
	if (type == ZOO_SESSION_EVENT)
		return;
	pthread_mutex_lock(&seen_lock);
	if (seen.event_count < EVENTS_MAX) {
		seen.types[seen.event_count] = type;
		snprintf(seen.paths[seen.event_count], PATH_BYTES, "%s", path);
		seen.event_count++;
	}
	pthread_cond_broadcast(&seen_change);
	pthread_mutex_unlock(&seen_lock);
}

static void
forget_events(void)
{
	pthread_mutex_lock(&seen_lock);
	seen.event_count = 0;
	pthread_mutex_unlock(&seen_lock);
}

/* Waits until *value reaches at least wanted; false at the deadline. */
static bool
wait_for(const int *value, int wanted)
{
	struct timespec deadline;
	bool is_reached;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += WAIT_SECONDS;
	pthread_mutex_lock(&seen_lock);
	while (*value < wanted)
		if (pthread_cond_timedwait(&seen_change, &seen_lock, &deadline))
			break;
	is_reached = *value >= wanted;
	pthread_mutex_unlock(&seen_lock);
	return is_reached;
}

static bool
wait_connected(bool wanted)
{
	struct timespec deadline;
	bool is_connected;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += CONNECT_SECONDS;
	pthread_mutex_lock(&seen_lock);
	while (seen.is_connected != wanted)
		if (pthread_cond_timedwait(&seen_change, &seen_lock, &deadline))
			break;
	is_connected = seen.is_connected;
	pthread_mutex_unlock(&seen_lock);
	return is_connected == wanted;
}

static bool
event_is(int index, int type, const char *path)
{
	bool is_it;

	pthread_mutex_lock(&seen_lock);
	is_it = index < seen.event_count && seen.types[index] == type &&
		strcmp(seen.paths[index], path) == 0;
	pthread_mutex_unlock(&seen_lock);
	return is_it;
}

static int
test_connect(void)
{
	const clientid_t *id;

	zh = zookeeper_init(hosts, on_session, 10000, NULL, NULL, 0);
	HOLDS(zh != NULL);
	HOLDS(wait_connected(true));
	id = zoo_client_id(zh);
	HOLDS(id->client_id != 0);
	HOLDS(zoo_recv_timeout(zh) == 10000);
	HOLDS(zoo_state(zh) == ZOO_CONNECTED_STATE);
	return 0;
}

static int
test_nodes(void)
{
	char path[PATH_BYTES], data[16];
	struct Stat stat, other;
	int bytes;

	GIVES(ZOK, zoo_create2(zh, "/c", "one", 3, &ZOO_OPEN_ACL_UNSAFE, 0,
			       path, sizeof(path), &stat));
	HOLDS(strcmp(path, "/c") == 0 && stat.dataLength == 3);
	GIVES(ZNODEEXISTS, zoo_create(zh, "/c", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0,
				      path, sizeof(path)));
	GIVES(ZNONODE, zoo_create(zh, "/none/c", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0,
				  path, sizeof(path)));
	bytes = (int)sizeof(data);
	GIVES(ZOK, zoo_get(zh, "/c", 0, data, &bytes, &other));
	HOLDS(bytes == 3 && memcmp(data, "one", 3) == 0);
	HOLDS(other.czxid == stat.czxid && other.ctime == stat.ctime);
	GIVES(ZBADVERSION, zoo_set(zh, "/c", "x", 1, 7));
	GIVES(ZOK, zoo_set2(zh, "/c", "three", 5, 0, &stat));
	HOLDS(stat.version == 1 && stat.dataLength == 5);
	GIVES(ZOK, zoo_set(zh, "/c", NULL, -1, -1));
	bytes = (int)sizeof(data);
	GIVES(ZOK, zoo_get(zh, "/c", 0, data, &bytes, &stat));
	HOLDS(bytes == -1 && stat.version == 2);
	GIVES(ZOK, zoo_exists(zh, "/c", 0, &other));
	HOLDS(other.mzxid == stat.mzxid);
	GIVES(ZNONODE, zoo_exists(zh, "/none", 0, &other));
	GIVES(ZNONODE, zoo_delete(zh, "/none", -1));
	GIVES(ZBADVERSION, zoo_delete(zh, "/c", 0));
	GIVES(ZOK, zoo_delete(zh, "/c", 2));
	return 0;
}

static int
test_kinds(void)
{
	char path[PATH_BYTES];
	struct Stat stat;

	GIVES(ZOK, zoo_create(zh, "/k", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, path,
			      sizeof(path)));
	GIVES(ZOK, zoo_create(zh, "/k/s-", "", 0, &ZOO_OPEN_ACL_UNSAFE,
			      ZOO_PERSISTENT_SEQUENTIAL, path, sizeof(path)));
	HOLDS(strcmp(path, "/k/s-0000000000") == 0);
	GIVES(ZOK,
	      zoo_create2(zh, "/k/e-", "", 0, &ZOO_OPEN_ACL_UNSAFE,
			  ZOO_EPHEMERAL_SEQUENTIAL, path, sizeof(path), &stat));
	HOLDS(strcmp(path, "/k/e-0000000001") == 0);
	HOLDS(stat.ephemeralOwner == zoo_client_id(zh)->client_id);
	GIVES(ZNOCHILDRENFOREPHEMERALS,
	      zoo_create(zh, "/k/e-0000000001/x", "", 0, &ZOO_OPEN_ACL_UNSAFE,
			 0, path, sizeof(path)));
	GIVES(ZOK, zoo_create2(zh, "/k/c", "", 0, &ZOO_OPEN_ACL_UNSAFE,
			       ZOO_CONTAINER, path, sizeof(path), &stat));
	HOLDS(stat.ephemeralOwner == 0);
	GIVES(ZOK, zoo_create2_ttl(zh, "/k/t", "", 0, &ZOO_OPEN_ACL_UNSAFE,
				   ZOO_PERSISTENT_WITH_TTL, 3600000, path,
				   sizeof(path), &stat));
	HOLDS(stat.ephemeralOwner == 0);
	return 0;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int
test_children(void)
{
	static const char *const want[] = {"c", "e-0000000001", "s-0000000000",
					   "t"};
	struct String_vector names;
	struct Stat stat;
	int i;

	GIVES(ZOK, zoo_get_children2(zh, "/k", 0, &names, &stat));
	HOLDS(names.count == 4 && stat.numChildren == 4);
	HOLDS(stat.cversion == 4);
	qsort(names.data, 4, sizeof(names.data[0]), compare_names);
	for (i = 0; i < 4; i++)
		HOLDS(strcmp(names.data[i], want[i]) == 0);
	deallocate_String_vector(&names);
	GIVES(ZOK, zoo_get_children(zh, "/k/t", 0, &names));
	HOLDS(names.count == 0);
	deallocate_String_vector(&names);
	GIVES(ZNONODE, zoo_get_children(zh, "/none", 0, &names));
	return 0;
}

static void
on_void(int code, const void *data)
{
	int expected = (int)(intptr_t)data;

	pthread_mutex_lock(&seen_lock);
	if (code != ZOK)
		seen.failures++;
	if (expected >= 0 && expected != seen.completions)
		seen.out_of_order++;
	seen.completions++;
	pthread_cond_broadcast(&seen_change);
	pthread_mutex_unlock(&seen_lock);
}

static void
on_stat(int code, const struct Stat *stat, const void *data)
{
	(void)stat;
	on_void(code, data);
}

static void
on_string(int code, const char *value, const void *data)
{
	(void)value;
	on_void(code, data);
}

static void
on_data(int code, const char *value, int bytes, const struct Stat *stat,
	const void *data)
{
	(void)value;
	(void)stat;
	on_void(code == ZOK && bytes != 1 ? ZDATAINCONSISTENCY : code, data);
}

static void
forget_completions(void)
{
	pthread_mutex_lock(&seen_lock);
	seen.completions = 0;
	seen.failures = 0;
	seen.out_of_order = 0;
	pthread_mutex_unlock(&seen_lock);
}

/* Create, set, get and sync of one node, all in flight. */
static int
test_async(void)
{
	char path[PATH_BYTES];
	intptr_t n = 0;
	int i;

	forget_completions();
	for (i = 0; i < ASYNC_COUNT; i++) {
		snprintf(path, sizeof(path), "/k/c/%d", i);
		GIVES(ZOK, zoo_acreate(zh, path, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0,
				       on_string, (void *)n++));
		GIVES(ZOK, zoo_aset(zh, path, "1", 1, 0, on_stat, (void *)n++));
		GIVES(ZOK, zoo_aget(zh, path, 0, on_data, (void *)n++));
		GIVES(ZOK, zoo_async(zh, path, on_string, (void *)n++));
		GIVES(ZOK, zoo_adelete(zh, path, 1, on_void, (void *)n++));
	}
	HOLDS(wait_for(&seen.completions, (int)n));
	HOLDS(seen.failures == 0);
	HOLDS(seen.out_of_order == 0);
	return 0;
}

static int
test_watches(void)
{
	struct String_vector names;
	char data[16], path[PATH_BYTES];
	struct Stat stat;
	int bytes = (int)sizeof(data);

	forget_events();
	GIVES(ZNONODE, zoo_wexists(zh, "/w", on_event, NULL, &stat));
	GIVES(ZOK, zoo_create(zh, "/w", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, path,
			      sizeof(path)));
	HOLDS(wait_for(&seen.event_count, 1));
	HOLDS(event_is(0, ZOO_CREATED_EVENT, "/w"));
	GIVES(ZOK, zoo_wget(zh, "/w", on_event, NULL, data, &bytes, &stat));
	GIVES(ZOK, zoo_wget_children(zh, "/w", on_event, NULL, &names));
	deallocate_String_vector(&names);
	GIVES(ZOK, zoo_create(zh, "/w/x", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, path,
			      sizeof(path)));
	HOLDS(wait_for(&seen.event_count, 2));
	HOLDS(event_is(1, ZOO_CHILD_EVENT, "/w"));
	GIVES(ZOK, zoo_set(zh, "/w", "1", 1, -1));
	HOLDS(wait_for(&seen.event_count, 3));
	HOLDS(event_is(2, ZOO_CHANGED_EVENT, "/w"));
	GIVES(ZOK, zoo_wexists(zh, "/w/x", on_event, NULL, &stat));
	GIVES(ZOK, zoo_delete(zh, "/w/x", -1));
	HOLDS(wait_for(&seen.event_count, 4));
	HOLDS(event_is(3, ZOO_DELETED_EVENT, "/w/x"));
	GIVES(ZOK, zoo_set(zh, "/w", "2", 1, -1));
	HOLDS(seen.event_count == 4);
	return 0;
}

static int
test_remove_watches(void)
{
	char data[16];
	struct Stat stat;
	int bytes = (int)sizeof(data);

	forget_events();
	GIVES(ZOK, zoo_wget(zh, "/w", on_event, NULL, data, &bytes, &stat));
	GIVES(ZOK,
	      zoo_remove_watches(zh, "/w", ZWATCHTYPE_DATA, on_event, NULL, 0));
	GIVES(ZNOWATCHER,
	      zoo_remove_watches(zh, "/w", ZWATCHTYPE_DATA, on_event, NULL, 0));
	GIVES(ZOK, zoo_set(zh, "/w", "3", 1, -1));
	GIVES(ZOK, zoo_exists(zh, "/w", 0, &stat));
	HOLDS(seen.event_count == 0);
	return 0;
}

static int
test_multi(void)
{
	char first[PATH_BYTES], second[PATH_BYTES];
	zoo_op_result_t results[4];
	struct Stat stat;
	zoo_op_t ops[4];

	zoo_create_op_init(&ops[0], "/m", "1", 1, &ZOO_OPEN_ACL_UNSAFE, 0,
			   first, sizeof(first));
	zoo_create_op_init(&ops[1], "/m/s-", "", 0, &ZOO_OPEN_ACL_UNSAFE,
			   ZOO_SEQUENCE, second, sizeof(second));
	zoo_set_op_init(&ops[2], "/m", "22", 2, 0, &stat);
	zoo_check_op_init(&ops[3], "/m", 1);
	GIVES(ZOK, zoo_multi(zh, 4, ops, results));
	HOLDS(strcmp(second, "/m/s-0000000000") == 0);
	HOLDS(stat.version == 1 && stat.dataLength == 2);
	zoo_delete_op_init(&ops[0], "/m/s-0000000000", 0);
	zoo_check_op_init(&ops[1], "/m", 5);
	zoo_delete_op_init(&ops[2], "/m", -1);
	GIVES(ZBADVERSION, zoo_multi(zh, 3, ops, results));
	HOLDS(results[0].err == ZOK && results[1].err == ZBADVERSION);
	HOLDS(results[2].err == ZRUNTIMEINCONSISTENCY);
	GIVES(ZOK, zoo_exists(zh, "/m/s-0000000000", 0, &stat));
	zoo_check_op_init(&ops[1], "/m", 1);
	GIVES(ZOK, zoo_multi(zh, 3, ops, results));
	GIVES(ZNONODE, zoo_exists(zh, "/m", 0, &stat));
	return 0;
}

static int
test_auth(void)
{
	struct ACL_vector acl;
	char path[PATH_BYTES];
	struct Stat stat;
	zhandle_t *other;

	GIVES(ZINVALIDACL, zoo_create(zh, "/a", "", 0, &ZOO_CREATOR_ALL_ACL, 0,
				      path, sizeof(path)));
	forget_completions();
	GIVES(ZOK, zoo_add_auth(zh, "digest", "bob:pw", 6, on_void,
				(void *)(intptr_t)-1));
	HOLDS(wait_for(&seen.completions, 1) && seen.failures == 0);
	GIVES(ZOK, zoo_create(zh, "/a", "", 0, &ZOO_CREATOR_ALL_ACL, 0, path,
			      sizeof(path)));
	GIVES(ZOK, zoo_get_acl(zh, "/a", &acl, &stat));
	HOLDS(acl.count == 1 && acl.data[0].perms == ZOO_PERM_ALL);
	HOLDS(strcmp(acl.data[0].id.id, "bob:ikIaKsbtGweaHnb/jKn7OHqbunM=") ==
	      0);
	deallocate_ACL_vector(&acl);
	other = zookeeper_init(hosts, NULL, 10000, NULL, NULL, 0);
	HOLDS(other != NULL);
	GIVES(ZNOAUTH, zoo_set(other, "/a", "x", 1, -1));
	GIVES(ZOK, zookeeper_close(other));
	GIVES(ZOK, zoo_set_acl(zh, "/a", 0, &ZOO_READ_ACL_UNSAFE));
	GIVES(ZNOAUTH, zoo_set(zh, "/a", "x", 1, -1));
	return 0;
}

/* Watches set before a restart fire for changes made after it. */
static int
test_reconnect(void)
{
	struct String_vector names;
	char line[16], data[16];
	int64_t session;
	struct Stat stat;
	int bytes = (int)sizeof(data);

	zookeeper_close(zh);
	seen.is_connected = false;
	zh = zookeeper_init(hosts, on_session, 15000, NULL, NULL, 0);
	HOLDS(zh != NULL && wait_connected(true));
	session = zoo_client_id(zh)->client_id;
	forget_events();
	GIVES(ZOK, zoo_wget(zh, "/w", on_event, NULL, data, &bytes, &stat));
	GIVES(ZOK, zoo_wget_children(zh, "/w", on_event, NULL, &names));
	deallocate_String_vector(&names);
	GIVES(ZNONODE, zoo_wexists(zh, "/later", on_event, NULL, &stat));
	printf("RESTART\n");
	HOLDS(fgets(line, sizeof(line), stdin) != NULL);
	HOLDS(wait_connected(true));
	HOLDS(zoo_client_id(zh)->client_id == session);
	do {
		last_code = zoo_set(zh, "/w", "9", 1, -1);
	} while (last_code == ZCONNECTIONLOSS);
	HOLDS(last_code == ZOK);
	HOLDS(wait_for(&seen.event_count, 1));
	HOLDS(event_is(0, ZOO_CHANGED_EVENT, "/w"));
	GIVES(ZOK, zoo_create(zh, "/later", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0,
			      NULL, 0));
	HOLDS(wait_for(&seen.event_count, 2));
	HOLDS(event_is(1, ZOO_CREATED_EVENT, "/later"));
	GIVES(ZOK,
	      zoo_create(zh, "/w/y", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0));
	HOLDS(wait_for(&seen.event_count, 3));
	HOLDS(event_is(2, ZOO_CHILD_EVENT, "/w"));
	HOLDS(!seen.is_expired);
	return 0;
}

static int
test_close(void)
{
	char path[PATH_BYTES];
	struct Stat stat;
	zhandle_t *other;

	GIVES(ZOK, zoo_create(zh, "/gone", "", 0, &ZOO_OPEN_ACL_UNSAFE,
			      ZOO_EPHEMERAL, path, sizeof(path)));
	GIVES(ZOK, zookeeper_close(zh));
	other = zookeeper_init(hosts, NULL, 10000, NULL, NULL, 0);
	HOLDS(other != NULL);
	GIVES(ZNONODE, zoo_exists(other, "/gone", 0, &stat));
	GIVES(ZOK, zookeeper_close(other));
	return 0;
}

static const struct {
	const char *name;
	int (*run)(void);
} tests[] = {
	{"connect", test_connect},
	{"nodes", test_nodes},
	{"kinds of nodes", test_kinds},
	{"children", test_children},
	{"asynchronous calls in order", test_async},
	{"watches", test_watches},
	{"removing watches", test_remove_watches},
	{"multi", test_multi},
	{"authentication", test_auth},
	{"watches across a restart", test_reconnect},
	{"close", test_close},
};

int
main(int argc, char **argv)
{
	int failures = 0, line;
	size_t i;

	if (argc != 2) {
		fprintf(stderr, "usage: %s HOST:PORT\n", argv[0]);
		return 2;
	}
	hosts = argv[1];
	zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		line = tests[i].run();
		if (line == 0) {
			printf("ok %s\n", tests[i].name);
			continue;
		}
		printf("FAILED %s line %d (last code %d)\n", tests[i].name,
		       line, last_code);
		failures++;
		/* Without the first connection nothing else can run. */
		if (i == 0)
			break;
	}
	return failures != 0;
}
