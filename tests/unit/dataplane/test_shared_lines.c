/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    reads are answered without a store into anything that another core
 *         looks at, so that readers on cores of their own never take a cache
 *         line from each other or from the writer.
 * Method  while the reader works on a burst of reads, the memory of the tree
 *         and of its index is mapped read-only: the first store ends the
 *         program. Of what else the cores share a copy is compared with it
 *         afterwards, byte by byte. Both ways of looking are shown to notice.
 *
 * Left out is what a reader may store: a word for each of its own connections
 * and its mark (`heard`, `touched` of dataplane/channel.h), which the writer
 * reads when a session is due, and what its thread tells liburcu.
 */
#include "pipeline_rig.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"
#include "znode/tree_impl.h"

#define NODES  200u
#define READS  2000u
#define THINGS 12u

static struct rig rig;

struct thing {
	const char *name;
	const void *at;
	size_t bytes;
	void *copy;
};

static struct thing things[THINGS];
static uint32_t thing_count;

static void
remember(const char *name, const void *at, size_t bytes)
{
	assert_true(thing_count < THINGS && bytes > 0);
	things[thing_count] = (struct thing){
		.name = name, .at = at, .bytes = bytes, .copy = malloc(bytes)};
	assert_non_null(things[thing_count].copy);
	memcpy(things[thing_count++].copy, at, bytes);
}

/* An object of the heap, all of it. */
static void
remember_block(const char *name, void *at)
{
	remember(name, at, malloc_usable_size(at));
}

static void
remember_ring(const char *name, const struct ring *ring)
{
	remember(name, ring->impl,
		 (size_t)rte_ring_get_memsize(rte_ring_get_size(ring->impl)));
}

static void
remember_all(void)
{
	thing_count = 0;
	remember("the tree", rig.tree, sizeof(*rig.tree));
	remember_block("the ACLs", rig.tree->acls);
	remember_block("the ring of deltas", rig.deltas);
	remember_block("the sessions", rig.sessions);
	remember_block("what prepares transactions", rig.prep);
	remember_block("the writer", rig.zab);
	remember("whether the server serves", &rig.serving,
		 sizeof(rig.serving));
	remember("the channel", &rig.channel, sizeof(rig.channel));
	remember_ring("the lane of sessions", &rig.channel.session_lane);
	remember_ring("the lane of data", &rig.channel.data_lane);
	remember_ring("the writer's answers", &rig.channel.unicast);
}

/* The name of the first that has changed, or NULL. */
static const char *
changed(void)
{
	const char *name = NULL;

	for (uint32_t i = 0; i < thing_count; i++) {
		if (name == NULL &&
		    memcmp(things[i].at, things[i].copy, things[i].bytes) != 0)
			name = things[i].name;
		free(things[i].copy);
	}
	return name;
}

/* Whether the tree's memory and its index may be written to. */
static void
map_tree(int protection)
{
	const struct region *region = &rig.tree->region;
	const struct index_table *table = atomic_load_explicit(
		&rig.tree->index.table, memory_order_relaxed);
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);

	assert_int_equal(mprotect(region->base,
				  (region->top + page - 1) / page * page,
				  protection),
			 0);
	assert_int_equal(mprotect(table->buckets, table->bytes, protection), 0);
}

static void
read_path(struct rig_client *client, int32_t op, const char *path)
{
	uint8_t room[128];
	struct jute_writer body = jute_writer_of(room, sizeof(room));

	jute_put_slice(&body, jute_slice_of(path, strlen(path)));
	if (op != OP_GET_ACL && op != OP_GET_ALL_CHILDREN_NUMBER)
		jute_put_bool(&body, false);
	(void)rig_request(client, op, &body);
}

static void
path_of(uint32_t i, char text[32])
{
	snprintf(text, 32, "/dir/node-%u", i);
}

static int
setup(void **state)
{
	struct rig_client client;
	char path[32];

	(void)state;
	rig_start(&rig);
	client = rig_client(&rig);
	rig_create(&client, "/dir", "x", 0);
	for (uint32_t i = 0; i < NODES; i++) {
		path_of(i, path);
		rig_create(&client, path, "some data", 0);
		if (i % 16 == 0)
			rig_sync(&rig);
	}
	rig_sync(&rig);
	for (uint32_t i = 0; i <= NODES; i++)
		assert_int_equal(rig_reply(&client).header.err, ZK_OK);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	rig_stop(&rig);
	return 0;
}

static void
poll_reader(uint32_t rounds)
{
	for (uint32_t i = 0; i < rounds; i++)
		reader_poll(rig.reader, rig.now_ms * NS_PER_MS,
			    (int64_t)rig.now_ms);
}

static void
reads_store_into_nothing_shared(void **state)
{
	static const int32_t ops[] = {
		OP_GET_DATA,      OP_EXISTS,  OP_GET_CHILDREN,
		OP_GET_CHILDREN2, OP_GET_ACL, OP_GET_ALL_CHILDREN_NUMBER};
	const uint32_t op_count = sizeof(ops) / sizeof(ops[0]);
	struct rig_client client = rig_client(&rig);
	char path[32];

	(void)state;
	for (uint32_t done = 0; done < READS; done += 40) {
		for (uint32_t i = done; i < done + 40; i++) {
			path_of(i % (NODES + 7), path); /* some are not there */
			read_path(&client, ops[i % op_count], path);
		}
		remember_all();
		map_tree(PROT_READ);
		poll_reader(4);
		map_tree(PROT_READ | PROT_WRITE);
		assert_null(changed());
		for (uint32_t i = done; i < done + 40; i++)
			assert_int_equal(rig_reply(&client).header.err,
					 i % (NODES + 7) < NODES ? ZK_OK
								 : ZK_NONODE);
	}
}

static void
a_write_is_noticed_on_its_way(void **state)
{
	struct rig_client client = rig_client(&rig);

	(void)state;
	rig_set_data(&client, "/dir", "y");
	remember_all();
	poll_reader(4);
	assert_string_equal(changed(), "the lane of data");
	rig_sync(&rig);
	assert_int_equal(rig_reply(&client).header.err, ZK_OK);
}

static void
a_store_into_the_tree_would_end_the_program(void **state)
{
	int status;
	const pid_t child = fork();

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGSEGV, SIG_DFL);
		map_tree(PROT_READ);
		*(volatile uint8_t *)(rig.tree->region.base +
				      (uint64_t)rig.tree->root *
					      REGION_GRANULE_BYTES) = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reads_store_into_nothing_shared),
		TEST(a_write_is_noticed_on_its_way),
		TEST(a_store_into_the_tree_would_end_the_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
