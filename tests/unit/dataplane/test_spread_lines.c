/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    in spread mode a read costs no cache line that cores take from each
 *         other: what a reader stores into while it answers reads is used by
 *         nobody else, what it loads is stored into by nobody while nothing is
 *         written.
 * Method  a reader and the ZAB core with all that is theirs, one after the
 *         other in one thread; line_trace notes every line that they load from
 *         and store into. A store of the reader into a variable of the program
 *         or into the memory of the tree is an error whether or not the ZAB
 *         core looks at it, since another reader would. Not traced are what a
 *         socket or our TCP does, which belong to one core each, and what the
 *         thread tells liburcu.
 *
 * Shared by intent, and excepted by their addresses, are two things that the
 * ZAB core looks at rarely: the word of a connection that tells of a session's
 * life, with its marks, when a session is due (dataplane/channel.h); and the
 * reader's watermark, stored once a round, when old versions are given back
 * (znode/tree.h).
 */
#include "pipeline_rig.h"

#include <stdio.h>
#include <string.h>

#include "base/time.h"
#include "line_trace.h"
#include "znode/tree_impl.h"

#define NODES   64u
#define READS   30u
#define CLIENTS 3u

enum actor {
	READER,
	READER_WRITING, /* takes a write from a client */
	ZAB_IDLE,
	ZAB_WRITING,
};

#define BIT(actor) (1u << (actor))

static struct rig rig;
static struct rig_client client[CLIENTS];

/* What was found among the lines. */
struct found {
	uint32_t loaded, stored; /* by READER */
	uint32_t both_load;      /* READER and ZAB_WRITING */
	uint32_t handed_over;    /* READER_WRITING stores, ZAB_WRITING loads */
	uint32_t lives, watermarks;
	bool is_expected; /* to be wrong: nothing is said */
	/* Errors. */
	uint32_t static_stores, tree_stores, used_stores, stale_loads;
};

static void
path_of(uint32_t i, char text[32])
{
	snprintf(text, 32, "/dir/node-%u", i);
}

static int
setup(void **state)
{
	char path[32];

	(void)state;
	rig_start_spread(&rig);
	for (uint32_t i = 0; i < CLIENTS; i++)
		client[i] = rig_client(&rig);
	rig_create(&client[0], "/dir", "x", 0);
	for (uint32_t i = 0; i < NODES; i++) {
		path_of(i, path);
		rig_create(&client[0], path, "some data", 0);
		if (i % 16 == 0)
			rig_sync(&rig);
	}
	rig_sync(&rig);
	for (uint32_t i = 0; i <= NODES; i++)
		assert_int_equal(rig_reply(&client[0]).header.err, ZK_OK);
	line_trace_clear();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	rig_stop(&rig);
	return 0;
}

/* The node of a read; three of READS are not there. */
static uint32_t
node_of(uint32_t i)
{
	return 11 * i % (NODES + 3);
}

/* Requests of all kinds of reads, some of which a read of one node alone. Not
 * those that may be a job, which is memory of the C library. */
static void
ask(uint32_t i)
{
	static const int32_t ops[] = {OP_GET_DATA, OP_EXISTS, OP_GET_CHILDREN,
				      OP_GET_ACL, OP_GET_CHILDREN2};
	const int32_t op = ops[i / CLIENTS % (sizeof(ops) / sizeof(ops[0]))];
	uint8_t room[128];
	struct jute_writer body = jute_writer_of(room, sizeof(room));
	char path[32];

	path_of(node_of(i), path);
	jute_put_slice(&body, jute_slice_of(path, strlen(path)));
	if (op != OP_GET_ACL)
		jute_put_bool(&body, false);
	(void)rig_request(&client[i % CLIENTS], op, &body);
}

static void
run_reader(void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < 3; i++)
		reader_poll(rig.reader, rig.now_ms * NS_PER_MS,
			    (int64_t)rig.now_ms);
}

static void
run_zab(void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < 3; i++) {
		zab_note_time(rig.zab, rig.now_ms * NS_PER_MS);
		zab_poll(rig.zab, rig.now_ms, (int64_t)rig.now_ms);
	}
}

/* A burst, and three that come one by one. */
static void
read_all(bool is_traced)
{
	for (uint32_t i = 0; i < READS; i++) {
		ask(i);
		if (i + CLIENTS < READS - 1)
			continue;
		if (is_traced)
			line_trace(READER, run_reader, NULL);
		else
			run_reader(NULL);
	}
	for (uint32_t i = 0; i < READS; i++)
		assert_int_equal(rig_reply(&client[i % CLIENTS]).header.err,
				 node_of(i) < NODES ? ZK_OK : ZK_NONODE);
}

static void
write_one(const char *data)
{
	rig_set_data(&client[0], "/dir/node-11", data);
	line_trace(READER_WRITING, run_reader, NULL);
	line_trace(ZAB_WRITING, run_zab, NULL);
	rig.durable = rig.written;
	line_trace(ZAB_WRITING, run_zab, NULL);
	run_reader(NULL);
	run_zab(NULL);
	assert_int_equal(rig_reply(&client[0]).header.err, ZK_OK);
}

static bool
is_within(uintptr_t at, const void *begin, size_t bytes)
{
	return at >= (uintptr_t)begin && at < (uintptr_t)begin + bytes;
}

static bool
is_life(uintptr_t at)
{
	const struct channel *channel = &rig.channel;
	const uint32_t words = (channel->conn_limit + 63) / 64;

	return is_within(at, channel->heard,
			 channel->conn_limit * sizeof(channel->heard[0])) ||
	       is_within(at, channel->touched,
			 words * sizeof(channel->touched[0])) ||
	       is_within(at, channel->marked,
			 (words + 63) / 64 * sizeof(channel->marked[0]));
}

static bool
is_watermark(uintptr_t at)
{
	for (uint32_t i = 0; i < TREE_READERS_MAX; i++)
		if (is_within(at, &rig.tree->reader[i].low,
			      sizeof(rig.tree->reader[i].low)))
			return true;
	return false;
}

/* Nodes and what hangs on them, and the index. */
static bool
is_tree(uintptr_t at)
{
	const struct region *region = &rig.tree->region;
	const struct index_table *table = atomic_load_explicit(
		&rig.tree->index.table, memory_order_relaxed);

	return is_within(at, region->base, region->top) ||
	       is_within(at, table->buckets, table->bytes);
}

static void
say(const struct found *found, const char *what, const struct line *line)
{
	extern char __executable_start;

	if (found->is_expected)
		return;
	print_error("%s: %#lx, by the code at %#lx of the program\n", what,
		    line->store_at,
		    line->store_code - (uintptr_t)&__executable_start);
}

/* A line that a read stores into and the ZAB core uses. */
static void
look_at_shared(struct found *found, const struct line *line)
{
	if (is_life(line->store_at))
		found->lives++;
	else if (is_watermark(line->store_at))
		found->watermarks++;
	else if (++found->used_stores > 0)
		say(found, "the ZAB core uses what a read stores into", line);
}

static void
look_at(void *arg, const struct line *line)
{
	struct found *found = arg;
	const uint32_t users = line->loads | line->stores;
	const bool is_stored = (line->stores & BIT(READER)) != 0;
	const bool is_loaded = (line->loads & BIT(READER)) != 0;

	found->stored += is_stored;
	found->loaded += is_loaded;
	found->both_load += is_loaded && (line->loads & BIT(ZAB_WRITING)) != 0;
	found->handed_over += (line->stores & BIT(READER_WRITING)) != 0 &&
			      (line->loads & BIT(ZAB_WRITING)) != 0;
	if (is_stored && line->is_static && ++found->static_stores > 0)
		say(found, "a variable of the program is stored into", line);
	if (is_stored && is_tree(line->at) && ++found->tree_stores > 0)
		say(found, "a read stores into the tree", line);
	if (is_stored && (users & (BIT(ZAB_IDLE) | BIT(ZAB_WRITING))) != 0)
		look_at_shared(found, line);
	else if (is_loaded && (line->stores & BIT(ZAB_IDLE)) != 0 &&
		 ++found->stale_loads > 0)
		say(found, "an idle ZAB core stores into what a read loads",
		    line);
}

/* Reads, then a session that is due and a write: what makes the ZAB core look
 * at everything. */
static void
trace_all(void)
{
	read_all(true);
	line_trace(ZAB_IDLE, run_zab, NULL);
	rig.now_ms += RIG_TIMEOUT_MS * 2 / 3;
	read_all(true);
	line_trace(ZAB_IDLE, run_zab, NULL);
	rig.now_ms += RIG_TIMEOUT_MS * 2 / 3;
	line_trace(ZAB_IDLE, run_zab, NULL);
	rig.now_ms += RIG_TICK_MS; /* found so late, he has that long */
	line_trace(ZAB_IDLE, run_zab, NULL);
	write_one("new data");
	read_all(true);
}

static void
a_read_takes_no_line_from_another_core(void **state)
{
	struct found found = {0};

	(void)state;
	read_all(false); /* what a library does once is done */
	rig_run(&rig);
	trace_all();
	line_trace_each(look_at, &found);
	print_message("reads load from %u lines and store into %u; of these "
		      "the ZAB core uses %u of sessions' lives, %u of "
		      "watermarks, %u others\n",
		      found.loaded, found.stored, found.lives, found.watermarks,
		      found.used_stores);
	assert_int_equal(found.static_stores, 0);
	assert_int_equal(found.tree_stores, 0);
	assert_int_equal(found.used_stores, 0);
	assert_int_equal(found.stale_loads, 0);
	/* It has looked: the tree is read by both, a write is handed over,
	 * sessions live, memory is given back. */
	assert_true(found.both_load > 0 && found.stored > 0);
	assert_true(found.handed_over > 0);
	assert_true(found.lives > 0);
	assert_int_equal(found.watermarks, 1);
}

/* What a mistake would look like. */
static uint64_t counter;

static void
count_a_read(void *arg)
{
	(void)arg;
	run_reader(NULL);
	((volatile uint64_t *)&counter)[0]++;
}

static void
store_the_same(void *arg)
{
	volatile uint8_t *byte = arg;

	run_reader(NULL);
	*byte = *byte;
}

static void
a_shared_counter_would_be_seen(void **state)
{
	struct found found = {.is_expected = true};

	(void)state;
	read_all(false);
	line_trace(READER, count_a_read, NULL);
	line_trace_each(look_at, &found);
	assert_int_equal(found.static_stores, 1);
	line_trace_clear();
	found = (struct found){.is_expected = true};
	line_trace(READER, store_the_same, rig.tree);
	write_one("more data");
	line_trace_each(look_at, &found);
	assert_int_equal(found.used_stores, 1);
	assert_int_equal(found.tree_stores, 0);
}

static void
a_counter_in_a_node_would_be_seen(void **state)
{
	struct found found = {.is_expected = true};

	(void)state;
	read_all(false);
	line_trace(READER, store_the_same,
		   region_at(&rig.tree->region, rig.tree->root));
	line_trace_each(look_at, &found);
	assert_int_equal(found.tree_stores, 1);
	assert_int_equal(found.static_stores, 0);
	assert_int_equal(found.used_stores, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_read_takes_no_line_from_another_core),
		TEST(a_shared_counter_would_be_seen),
		TEST(a_counter_in_a_node_would_be_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
