/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    A client that reconnects is told exactly what it missed, and the
 *         other watches are registered, by the table of client-protocol.md
 *         5.5; in portions of any size.
 * Method  two captured requests of the Java server first: the events must be
 *         those of the capture, in its order; then every cell of the table;
 *         then long lists cut at every budget. The tree is a real one.
 */
#include <setjmp.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vector_file.h"
#include "znode/set_watches.h"

enum { EVENTS_MAX = 512 };

struct event {
	int32_t type;
	uint32_t path_bytes;
	char path[64];
};

struct rig {
	struct tree *tree;
	struct tree_reader *reader;
	struct watch_table *watches;
	struct set_watches_world world;
	_Atomic uint64_t published;
	struct event event[EVENTS_MAX];
	uint32_t event_count;
};

static uint64_t
hash_path(const void *arg, struct hash_prefix *prefix, const void *text,
	  uint32_t bytes)
{
	return tree_prefix_of(arg, prefix, text, bytes).hash;
}

static void
add_event(struct rig *rig, int32_t type, const void *path, size_t bytes)
{
	struct event *event = &rig->event[rig->event_count++];

	assert_true(rig->event_count <= EVENTS_MAX);
	assert_true(bytes < sizeof(event->path));
	event->type = type;
	event->path_bytes = (uint32_t)bytes;
	memcpy(event->path, path, bytes);
	event->path[bytes] = '\0';
}

static void
deliver_missed(void *arg, uint32_t conn, enum proto_event type,
	       struct jute_slice path)
{
	assert_int_equal(conn, 3);
	add_event(arg, (int32_t)type, path.data, (size_t)path.bytes);
}

static void
deliver_fired(void *arg, uint32_t conn, uint64_t zxid,
	      const struct effect *effect)
{
	(void)zxid;
	assert_int_equal(conn, 3);
	add_event(arg, effect->type, effect->path, effect->path_bytes);
}

static struct tree_path
path_of(const struct rig *rig, const char *text)
{
	return tree_path_of(rig->tree, text, (uint32_t)strlen(text));
}

static void
rig_open(struct rig *rig)
{
	memset(rig, 0, sizeof(*rig));
	assert_int_equal(
		tree_create(&(struct tree_options){.region_bytes = 64u << 20},
			    &rig->tree),
		0);
	assert_int_equal(
		watch_table_create(
			&(struct watch_options){.conns_max = 8,
						.watches_max = 10000,
						.hash = hash_path,
						.hash_arg = rig->tree,
						.deliver = deliver_fired,
						.deliver_arg = rig},
			&rig->watches),
		0);
	rig->reader = tree_reader_register(rig->tree);
	assert_non_null(rig->reader);
	rig->world = (struct set_watches_world){.tree = rig->tree,
						.watches = rig->watches,
						.conn = 3,
						.deliver = deliver_missed,
						.arg = rig};
}

static void
rig_close(struct rig *rig)
{
	tree_reader_offline(rig->reader);
	tree_reader_unregister(rig->reader);
	watch_table_destroy(rig->watches);
	tree_destroy(rig->tree);
}

/* Creates a node at a zxid; its parent's pzxid follows. */
static void
create(struct rig *rig, int64_t zxid, const char *parent, const char *path)
{
	struct znode *node;

	tree_txn_begin(rig->tree, zxid, 1000);
	struct znode *above = tree_find(rig->tree, path_of(rig, parent));

	assert_non_null(above);
	assert_int_equal(tree_insert(rig->tree, above, path_of(rig, path),
				     jute_slice_of("x", 1), ACL_ID_OPEN, 0,
				     &node),
			 0);
	assert_int_equal(tree_set_parent(rig->tree, above, 1, zxid), 0);
	(void)tree_txn_end(rig->tree);
}

static void
set_data(struct rig *rig, int64_t zxid, const char *path)
{
	tree_txn_begin(rig->tree, zxid, 1000);
	struct znode *node = tree_find(rig->tree, path_of(rig, path));

	assert_non_null(node);
	assert_int_equal(
		tree_set_data(rig->tree, node, jute_slice_of("y", 1), 1), 0);
	(void)tree_txn_end(rig->tree);
}

static void
publish(struct rig *rig, int64_t zxid)
{
	tree_publish(rig->tree, zxid);
	atomic_store_explicit(&rig->published, (uint64_t)zxid,
			      memory_order_release);
	rig->world.S = tree_reader_online(rig->reader, &rig->published);
	assert_int_equal(rig->world.S, zxid);
}

static void
run(struct rig *rig, const struct proto_set_watches *request, uint32_t budget)
{
	struct set_watches job;
	int rc;

	set_watches_begin(&job, request);
	do
		rc = set_watches_step(&job, &rig->world, budget);
	while (rc == 1);
	assert_int_equal(rc, 0);
}

static bool
has_watch(struct rig *rig, const char *path, int32_t type)
{
	return watch_check(rig->watches, 3, path_of(rig, path), type) == ZK_OK;
}

static uint64_t
watch_count(const struct rig *rig)
{
	struct watch_counts counts;

	watch_counts(rig->watches, &counts);
	return counts.watchers;
}

/* ---- captures ------------------------------------------------------------ */

static void
request_of(const struct vector_frame *frame, struct proto_set_watches *request)
{
	struct jute_reader in =
		jute_reader_of(frame->data + 4, frame->bytes - 4);
	struct proto_request_header header;

	assert_int_equal(proto_get_request_header(&in, &header), 0);
	assert_int_equal(proto_get_set_watches(&in, header.type, request), 0);
}

/* Compares the events with the notifications from frame `at` on; returns the
 * first frame that is none. */
static size_t
events_match(const struct rig *rig, const struct vector_file *file, size_t at)
{
	uint32_t seen = 0;

	for (; at < file->frame_count; at++) {
		const struct vector_frame *frame = &file->frames[at];
		struct jute_reader in =
			jute_reader_of(frame->data + 4, frame->bytes - 4);
		struct proto_reply_header header;
		struct proto_watcher_event event;

		assert_int_equal(proto_get_reply_header(&in, &header), 0);
		if (header.xid != XID_NOTIFICATION)
			break;
		assert_int_equal(proto_get_watcher_event(&in, &event), 0);
		assert_true(seen < rig->event_count);
		const struct event *mine = &rig->event[seen++];

		assert_int_equal(mine->type, event.type);
		assert_int_equal(mine->path_bytes, event.path.bytes);
		assert_memory_equal(mine->path, event.path.data,
				    (size_t)event.path.bytes);
	}
	assert_int_equal(seen, rig->event_count);
	return at;
}

static void
tells_what_the_java_server_told(void **state)
{
	struct vector_file file;

	(void)state;
	vector_file_load(GOLDEN_DIR "/client/setwatches.hex", &file);
	for (uint32_t budget = 1; budget <= 20; budget++) {
		struct proto_set_watches request;
		struct rig rig;

		rig_open(&rig);
		create(&rig, 6, "/", "/a");
		create(&rig, 7, "/", "/b");
		set_data(&rig, 45, "/a");
		create(&rig, 46, "/a", "/a/z");
		publish(&rig, 46);
		request_of(&file.frames[0], &request);
		run(&rig, &request, budget);
		assert_int_equal(events_match(&rig, &file, 1), 6);
		/* What was not told is registered. */
		assert_int_equal(watch_count(&rig), 2);
		assert_true(has_watch(&rig, "/b", WATCH_TYPE_DATA));
		assert_true(has_watch(&rig, "/b", WATCH_TYPE_CHILD));
		assert_true(has_watch(&rig, "/never", WATCH_TYPE_DATA));
		rig_close(&rig);
	}
	vector_file_free(&file);
}

static void
fire(struct rig *rig, uint8_t type, uint8_t tables, const char *path)
{
	uint64_t memory[16] = {0};
	struct effect *effect = (struct effect *)(void *)memory;

	effect->path_bytes = (uint32_t)strlen(path);
	effect->path_hash = path_of(rig, path).hash;
	effect->type = type;
	effect->tables = tables;
	memcpy(effect->path, path, effect->path_bytes);
	watch_fire(rig->watches, 100, effect);
}

static void
registers_persistent_watches_without_an_event(void **state)
{
	struct vector_file file;
	struct proto_set_watches request;
	struct rig rig;

	(void)state;
	vector_file_load(GOLDEN_DIR "/client/setwatches2.hex", &file);
	rig_open(&rig);
	create(&rig, 6, "/", "/a");
	create(&rig, 7, "/", "/b");
	publish(&rig, 47);
	request_of(&file.frames[0], &request);
	run(&rig, &request, 100);
	assert_int_equal(events_match(&rig, &file, 1), 1);
	assert_int_equal(watch_count(&rig), 3);
	assert_true(has_watch(&rig, "/b", WATCH_TYPE_DATA));
	assert_true(has_watch(&rig, "/pw", WATCH_TYPE_PERSISTENT));
	assert_true(has_watch(&rig, "/a", WATCH_TYPE_RECURSIVE));
	/* Another client: create /pw, create /a/zz. */
	fire(&rig, EVENT_NODE_CREATED, EFFECT_TABLE_DATA, "/pw");
	fire(&rig, EVENT_NODE_CHILDREN_CHANGED, EFFECT_TABLE_CHILD, "/");
	fire(&rig, EVENT_NODE_CREATED, EFFECT_TABLE_DATA, "/a/zz");
	fire(&rig, EVENT_NODE_CHILDREN_CHANGED, EFFECT_TABLE_CHILD, "/a");
	assert_int_equal(events_match(&rig, &file, 2), file.frame_count);
	rig_close(&rig);
	vector_file_free(&file);
}

/* ---- the table ----------------------------------------------------------- */

enum { MISSING, CHANGED, UNCHANGED, SITUATIONS };

struct cell {
	int32_t event; /* 0: none */
	int32_t watch; /* enum watch_type registered, 0: none */
};

static const struct cell table[5][SITUATIONS] = {
	{{EVENT_NODE_DELETED, 0},
	 {EVENT_NODE_DATA_CHANGED, 0},
	 {0, WATCH_TYPE_DATA}},
	{{0, WATCH_TYPE_DATA},
	 {EVENT_NODE_CREATED, 0},
	 {EVENT_NODE_CREATED, 0}},
	{{EVENT_NODE_DELETED, 0},
	 {EVENT_NODE_CHILDREN_CHANGED, 0},
	 {0, WATCH_TYPE_CHILD}},
	{{0, WATCH_TYPE_PERSISTENT},
	 {0, WATCH_TYPE_PERSISTENT},
	 {0, WATCH_TYPE_PERSISTENT}},
	{{0, WATCH_TYPE_RECURSIVE},
	 {0, WATCH_TYPE_RECURSIVE},
	 {0, WATCH_TYPE_RECURSIVE}},
};

/* Lists with one path each (NULL: empty list), encoded in `bytes`. */
static void
request_with(struct proto_set_watches *request, uint8_t *bytes, size_t cap,
	     int64_t relative_zxid, uint32_t list, const char *path,
	     int32_t count)
{
	struct jute_writer out = jute_writer_of(bytes, cap);

	memset(request, 0, sizeof(*request));
	request->relative_zxid = relative_zxid;
	for (int32_t i = 0; i < count; i++) {
		char text[64];

		snprintf(text, sizeof(text), path, i);
		jute_put_cstr(&out, text);
	}
	assert_false(out.is_full);
	request->paths[list].data = bytes;
	request->paths[list].count = count;
	request->paths[list].bytes = (uint32_t)jute_written(&out);
}

static void
every_list_does_what_the_table_says(void **state)
{
	(void)state;
	for (uint32_t list = 0; list < 5; list++) {
		for (int situation = 0; situation < SITUATIONS; situation++) {
			const struct cell *cell = &table[list][situation];
			struct proto_set_watches request;
			uint8_t bytes[64];
			struct rig rig;

			rig_open(&rig);
			create(&rig, 5, "/", "/n");
			set_data(&rig, 10, "/n");
			create(&rig, 11, "/n", "/n/c");
			publish(&rig, 20);
			/* Changes at exactly the last zxid seen were seen. */
			request_with(
				&request, bytes, sizeof(bytes),
				situation == CHANGED ? (list == 2 ? 10 : 9)
						     : (list == 2 ? 11 : 10),
				list, situation == MISSING ? "/missing" : "/n",
				1);
			run(&rig, &request, 1);
			assert_int_equal(rig.event_count, cell->event != 0);
			if (cell->event != 0)
				assert_int_equal(rig.event[0].type,
						 cell->event);
			assert_int_equal(watch_count(&rig), cell->watch != 0);
			if (cell->watch != 0)
				assert_true(has_watch(&rig,
						      situation == MISSING
							      ? "/missing"
							      : "/n",
						      cell->watch));
			rig_close(&rig);
		}
	}
}

static void
decides_by_the_state_it_is_given(void **state)
{
	struct proto_set_watches request;
	uint8_t bytes[64];
	struct rig rig;

	(void)state;
	rig_open(&rig);
	create(&rig, 5, "/", "/n");
	publish(&rig, 5);
	/* Published, but this reader has not come there yet. */
	set_data(&rig, 10, "/n");
	tree_publish(rig.tree, 10);
	request_with(&request, bytes, sizeof(bytes), 5, 0, "/n", 1);
	run(&rig, &request, 1);
	assert_int_equal(rig.event_count, 0);
	assert_true(has_watch(&rig, "/n", WATCH_TYPE_DATA));
	/* The event itself follows when the reader gets to zxid 10. */
	fire(&rig, EVENT_NODE_DATA_CHANGED, EFFECT_TABLE_DATA, "/n");
	assert_int_equal(rig.event_count, 1);
	rig_close(&rig);
}

static void
names_the_root_as_the_client_does(void **state)
{
	struct proto_set_watches request;
	uint8_t bytes[64];
	struct rig rig;

	(void)state;
	rig_open(&rig);
	create(&rig, 5, "/", "/n");
	publish(&rig, 5);
	request_with(&request, bytes, sizeof(bytes), 4, 2, "/", 1);
	run(&rig, &request, 1);
	assert_int_equal(rig.event_count, 1);
	assert_string_equal(rig.event[0].path, "/");
	assert_int_equal(rig.event[0].type, EVENT_NODE_CHILDREN_CHANGED);
	request_with(&request, bytes, sizeof(bytes), INT64_MAX, 2, "/", 1);
	run(&rig, &request, 1);
	fire(&rig, EVENT_NODE_CHILDREN_CHANGED, EFFECT_TABLE_CHILD, "/");
	assert_int_equal(rig.event_count, 2);
	rig_close(&rig);
}

static void
takes_long_lists_in_portions_and_skips_nulls(void **state)
{
	enum { PATHS = 300 };
	static uint8_t bytes[PATHS * 32];

	(void)state;
	for (uint32_t budget = 1; budget <= 100; budget += 3) {
		struct proto_set_watches request;
		struct set_watches job;
		uint32_t steps = 1;
		struct rig rig;
		int rc;

		rig_open(&rig);
		create(&rig, 5, "/", "/p7");
		publish(&rig, 5);
		request_with(&request, bytes, sizeof(bytes), 100, 1, "/p%d",
			     PATHS);
		/* A null path (length -1) behind them, with nothing in it. */
		memset(bytes + request.paths[1].bytes, 0xff, 4);
		request.paths[1].bytes += 4;
		request.paths[1].count++;
		set_watches_begin(&job, &request);
		while ((rc = set_watches_step(&job, &rig.world, budget)) == 1)
			steps++;
		assert_int_equal(rc, 0);
		assert_true(steps >= (PATHS + 1) / budget);
		assert_int_equal(rig.event_count, 1);
		assert_string_equal(rig.event[0].path, "/p7");
		assert_int_equal(watch_count(&rig), PATHS - 1);
		rig_close(&rig);
	}
}

static void
stops_at_the_limit_of_watches(void **state)
{
	static uint8_t bytes[20000 * 16];
	struct proto_set_watches request;
	struct set_watches job;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	publish(&rig, 5);
	request_with(&request, bytes, sizeof(bytes), 100, 3, "/p%d", 10001);
	set_watches_begin(&job, &request);
	assert_int_equal(set_watches_step(&job, &rig.world, 20000), FAL_ELIMIT);
	assert_int_equal(watch_count(&rig), 10000);
	rig_close(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_what_the_java_server_told),
		cmocka_unit_test(registers_persistent_watches_without_an_event),
		cmocka_unit_test(every_list_does_what_the_table_says),
		cmocka_unit_test(decides_by_the_state_it_is_given),
		cmocka_unit_test(names_the_root_as_the_client_does),
		cmocka_unit_test(takes_long_lists_in_portions_and_skips_nulls),
		cmocka_unit_test(stops_at_the_limit_of_watches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
