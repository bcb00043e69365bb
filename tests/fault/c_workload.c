/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Apache's C client at work while servers fail, with a history.
 *
 *   c_workload HOSTS SEED WORKERS
 *
 * Each worker is a thread with a handle of its own, named c0, c1, ..., and one
 * request in flight: it creates, deletes, sets and reads its register
 * /reg/NAME, takes numbers below /seq, makes pairs of nodes below /multi and
 * ephemerals below /eph. A line on stdout for each request:
 *
 *   WORKER SESSION KIND PATH DATA OUTCOME ZXID BEGIN END
 *
 * as history.py's Op; DATA is "-" if empty, ZXID is 0 where the library does
 * not tell it. "gone WORKER" when a session was lost, "wrong WORKER CODE" when
 * the library says that the server broke the protocol. Ends when stdin does.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <zookeeper/zookeeper.h>

enum {
	WORKERS_MAX = 8,
	SESSION_MS = 6000,
	PATH_BYTES = 128,
	PATIENCE_NS = 10 * 1000 * 1000,
};

struct worker {
	pthread_t thread;
	char name[8];
	unsigned random;
	unsigned count; /* of requests */
	zhandle_t *handle;
	/* The request in flight. */
	const char *kind;
	char path[PATH_BYTES];
	char data[PATH_BYTES];
	int64_t session;
	double begin;
};

static const char *hosts;
static _Atomic bool must_stop;
static pthread_mutex_t print_lock = PTHREAD_MUTEX_INITIALIZER;

static double
now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static unsigned
dice(struct worker *w, unsigned sides)
{
	return (unsigned)rand_r(&w->random) % sides;
}

static void
say(const struct worker *w, const char *what, int code)
{
	pthread_mutex_lock(&print_lock);
	printf("%s %s %d\n", what, w->name, code);
	fflush(stdout);
	pthread_mutex_unlock(&print_lock);
}

static void
on_event(zhandle_t *handle, int type, int state, const char *path,
	 void *context)
{
	(void)handle, (void)type, (void)state, (void)path, (void)context;
}

/* Waits until there is a session; false: the run ends, or it is gone. */
static bool
has_session(struct worker *w)
{
	const struct timespec patience = {.tv_nsec = PATIENCE_NS};

	while (!atomic_load(&must_stop)) {
		if (w->handle == NULL)
			w->handle = zookeeper_init(hosts, on_event, SESSION_MS,
						   NULL, NULL, 0);
		if (w->handle != NULL &&
		    zoo_state(w->handle) == ZOO_CONNECTED_STATE)
			return true;
		if (w->handle != NULL && is_unrecoverable(w->handle)) {
			zookeeper_close(w->handle);
			w->handle = NULL;
			say(w, "gone", 0);
		}
		nanosleep(&patience, NULL);
	}
	return false;
}

static void
begin(struct worker *w, const char *kind, const char *path, const char *data)
{
	w->kind = kind;
	snprintf(w->path, sizeof(w->path), "%s", path);
	snprintf(w->data, sizeof(w->data), "%s", data);
	w->session = zoo_client_id(w->handle)->client_id;
	w->begin = now();
}

/* Codes below ZAPIERROR are the server's no; those above are the library's,
 * and mean that nobody knows. */
static const char *
outcome_of(const struct worker *w, int code)
{
	switch (code) {
	case ZOK:
		return "ok";
	case ZSESSIONEXPIRED:
	case ZSESSIONMOVED:
	case ZCLOSING:
		return "unknown";
	case ZRUNTIMEINCONSISTENCY:
	case ZDATAINCONSISTENCY:
	case ZMARSHALLINGERROR:
	case ZBADARGUMENTS:
		say(w, "wrong", code);
		return "unknown";
	default:
		return code < ZAPIERROR ? "failed" : "unknown";
	}
}

/* Writes the line; returns whether the answer was yes. */
static bool
end(struct worker *w, int code, int64_t zxid)
{
	const char *outcome = outcome_of(w, code);
	const double at = now();

	pthread_mutex_lock(&print_lock);
	printf("%s %lld %s %s %s %s %lld %.6f %.6f\n", w->name,
	       (long long)w->session, w->kind, w->path,
	       w->data[0] != '\0' ? w->data : "-", outcome,
	       code == ZOK ? (long long)zxid : 0, w->begin, at);
	fflush(stdout);
	pthread_mutex_unlock(&print_lock);
	return code == ZOK;
}

static bool
create(struct worker *w, const char *kind, const char *path, const char *data,
       int mode)
{
	struct Stat stat = {0};
	char made[PATH_BYTES] = "";
	int code;

	begin(w, kind, path, data);
	code = zoo_create2(w->handle, path, data, (int)strlen(data),
			   &ZOO_OPEN_ACL_UNSAFE, mode, made, sizeof(made),
			   &stat);
	if (code == ZOK)
		snprintf(w->path, sizeof(w->path), "%s", made);
	return end(w, code, stat.czxid);
}

static void
remove_node(struct worker *w, const char *path)
{
	begin(w, "delete", path, "");
	end(w, zoo_delete(w->handle, path, -1), 0);
}

static void
log_step(struct worker *w, const char *tag)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "/log/%s", tag);
	if (create(w, "create", path, tag, 0) && dice(w, 10) < 3)
		remove_node(w, path);
}

static void
register_step(struct worker *w, const char *tag)
{
	struct Stat stat = {0};
	char path[PATH_BYTES], data[PATH_BYTES];
	int bytes = sizeof(data), code;

	snprintf(path, sizeof(path), "/reg/%s", w->name);
	begin(w, "set", path, tag);
	code = zoo_set2(w->handle, path, tag, (int)strlen(tag), -1, &stat);
	end(w, code, stat.mzxid);
	begin(w, "get", path, "");
	code = zoo_get(w->handle, path, 0, data, &bytes, &stat);
	end(w, code, stat.mzxid);
}

/* A set of what was just made tells the transaction's zxid, which creates in a
 * multi do not. One in five is refused as a whole. */
static void
multi_step(struct worker *w, const char *tag)
{
	const int bytes = (int)strlen(tag);
	zoo_op_result_t results[4];
	zoo_op_t ops[4];
	struct Stat stat = {0};
	char path[PATH_BYTES], x[PATH_BYTES + 1], y[PATH_BYTES + 1];
	int count = 3, code;

	snprintf(path, sizeof(path), "/multi/%s", tag);
	snprintf(x, sizeof(x), "%sx", path);
	snprintf(y, sizeof(y), "%sy", path);
	zoo_create_op_init(&ops[0], x, tag, bytes, &ZOO_OPEN_ACL_UNSAFE, 0,
			   NULL, 0);
	zoo_create_op_init(&ops[1], y, tag, bytes, &ZOO_OPEN_ACL_UNSAFE, 0,
			   NULL, 0);
	zoo_set_op_init(&ops[2], x, tag, bytes, -1, &stat);
	if (dice(w, 5) == 0)
		zoo_create_op_init(&ops[count++], "/multi", "", 0,
				   &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
	begin(w, "multi", path, tag);
	code = zoo_multi(w->handle, count, ops, results);
	end(w, code, stat.czxid);
}

static void
ephemeral_step(struct worker *w, const char *tag)
{
	char path[PATH_BYTES];
	unsigned fate;

	snprintf(path, sizeof(path), "/eph/%s", tag);
	fate = dice(w, 100);
	if (create(w, "eph", path, tag, ZOO_EPHEMERAL) && fate < 20) {
		remove_node(w, path);
	} else if (fate < 24) {
		zookeeper_close(w->handle);
		w->handle = NULL;
	}
}

static void *
work(void *argument)
{
	struct worker *w = argument;
	char tag[32];

	while (has_session(w)) {
		snprintf(tag, sizeof(tag), "%s.%u", w->name, ++w->count);
		switch (dice(w, 5)) {
		case 0:
			log_step(w, tag);
			break;
		case 1:
			register_step(w, tag);
			break;
		case 2:
			create(w, "seq", "/seq/n-", tag, ZOO_SEQUENCE);
			break;
		case 3:
			multi_step(w, tag);
			break;
		default:
			ephemeral_step(w, tag);
			break;
		}
	}
	return NULL;
}

int
main(int argc, char **argv)
{
	static struct worker workers[WORKERS_MAX];
	unsigned count;
	char byte;

	if (argc != 4)
		return 2;
	hosts = argv[1];
	count = (unsigned)atoi(argv[3]);
	if (count == 0 || count > WORKERS_MAX)
		return 2;
	zoo_set_debug_level(0);
	for (unsigned i = 0; i < count; i++) {
		struct worker *w = &workers[i];

		snprintf(w->name, sizeof(w->name), "c%u", i % 10);
		w->random = (unsigned)atoi(argv[2]) + i;
		if (pthread_create(&w->thread, NULL, work, w) != 0)
			return 1;
	}
	while (read(0, &byte, 1) > 0)
		;
	atomic_store(&must_stop, true);
	for (unsigned i = 0; i < count; i++)
		pthread_join(workers[i].thread, NULL);
	/* Sessions are left to expire: closing waits for servers. */
	return 0;
}
