/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: snapshots of a living tree show the pinned state, and after a slide are
 * repaired by replay.
 *
 * Method: random changes between the slices of a job; what it wrote, with all
 * later changes replayed, must be the tree. FAL_SEED, FAL_ROUNDS.
 */

#include "recover_testing.h"

#include "store/snapshot_job.h"

#define NODES_MAX 4000u
/* More than a job looks at before its first slide. */
#define FOREIGN_COUNT 600u
/* Lists are counted in the first step. */
#define LIST_STEPS 1u

struct life {
	struct rt rt;
	struct tree_reader *reader;
	_Atomic uint64_t published;
	uint64_t zxid;
	uint32_t made;
	bool is_pinned;
	bool has_new_acls; /* each node has a list of its own */
};

static void
note_pinned(void *arg)
{
	struct life *life = arg;

	life->is_pinned = true;
	tree_release(life->rt.tree);
}

static bool
state_now(void *arg, uint64_t *zxid, uint64_t *digest)
{
	struct life *life = arg;

	*zxid = life->zxid;
	*digest = tree_published_digest(life->rt.tree);
	return true;
}

/* What a create under that path's parent sets: replay relies on it. */
static int32_t
next_cversion(struct life *life, const char *path)
{
	const uint32_t bytes = (uint32_t)(strrchr(path, '/') - path);
	const struct znode *parent = tree_find(
		life->rt.tree, tree_path_of(life->rt.tree, path, bytes));
	struct tree_stat stat;

	if (parent == NULL)
		return 1;
	tree_spec_stat(life->rt.tree, parent, &stat);
	return stat.cversion + 1;
}

static void
put_acl(const struct life *life, struct jute_writer *writer)
{
	char user[32];

	snprintf(user, sizeof(user), "u%u", life->made);
	jute_put_int(writer, 1);
	jute_put_int(writer, (int32_t)testing_below(30) + 1);
	jute_put_cstr(writer, life->has_new_acls ? "digest" : "world");
	jute_put_cstr(writer, life->has_new_acls ? user : "anyone");
}

/* One random change, entered by hand as prep does. */
static void
live(struct life *life, uint8_t *entry, uint32_t *bytes)
{
	struct jute_writer writer = jute_writer_of(entry, 4096);
	struct txn_header header = {.session_id = 7,
				    .zxid = (int64_t)++life->zxid,
				    .time_ms = 1700000000000};
	char path[64];
	const uint64_t what = testing_below(10);
	const uint64_t parent =
		life->made == 0 ? 0 : testing_below(life->made + 1);

	if (what < 5 || life->made < 3) {
		header.type = OP_CREATE;
		txn_put_header(&writer, &header);
		if (parent == 0 || parent % 3 != 0)
			snprintf(path, sizeof(path), "/n%u", life->made);
		else
			snprintf(path, sizeof(path), "/n%u/c%u",
				 (uint32_t)parent - 1, life->made);
		life->made++;
		jute_put_cstr(&writer, path);
		jute_put_cstr(&writer, "data of a node");
		put_acl(life, &writer);
		jute_put_bool(&writer, false);
		jute_put_int(&writer, next_cversion(life, path));
	} else if (what < 8) {
		header.type = OP_SET_DATA;
		txn_put_header(&writer, &header);
		snprintf(path, sizeof(path), "/n%u",
			 (uint32_t)testing_below(life->made));
		jute_put_cstr(&writer, path);
		jute_put_cstr(&writer, "other data");
		jute_put_int(&writer, (int32_t)testing_below(100));
	} else {
		header.type = OP_DELETE;
		txn_put_header(&writer, &header);
		snprintf(path, sizeof(path), "/n%u",
			 (uint32_t)testing_below(life->made));
		jute_put_cstr(&writer, path);
	}
	*bytes = (uint32_t)jute_written(&writer);
	assert_int_equal(rt_apply(&life->rt, entry, *bytes, &header), 0);
	atomic_store(&life->published, life->zxid);
	tree_reclaim(life->rt.tree, 64);
}

struct history {
	uint8_t entry[200];
	uint32_t bytes;
};

static void
life_begin(struct life *life, uint64_t tree_bytes_max)
{
	memset(life, 0, sizeof(*life));
	rt_begin_capped(&life->rt, tree_bytes_max);
	life->reader = tree_reader_register(life->rt.tree);
	assert_non_null(life->reader);
}

static void
life_end(struct life *life)
{
	tree_reader_unregister(life->reader);
	rt_end(&life->rt);
}

/* Loads the snapshot `S` elsewhere, replays what came later and compares. */
static void
check_replayed(struct life *life, const struct history *history, uint64_t S,
	       uint64_t digest_at_S, bool has_slid)
{
	struct rt other;
	struct snapshot_info info;
	struct snapshot_fault fault;
	struct disk_mem *own;
	char name[64];

	rt_begin(&other);
	own = other.mem;
	other.mem = life->rt.mem;
	snprintf(name, sizeof(name), "snapshot.%llx", (unsigned long long)S);
	assert_int_equal(rt_load_file(&other, name, &info, &fault), 0);
	assert_true(info.has_digest);
	if (!has_slid) {
		assert_int_equal(info.digest_zxid, S);
		assert_int_equal(info.digest, digest_at_S);
		assert_int_equal(tree_published_digest(other.tree),
				 digest_at_S);
	}
	for (uint64_t zxid = S + 1; zxid <= life->zxid; zxid++) {
		const struct history *at = &history[zxid];
		const struct txn_header header = {.zxid = (int64_t)zxid,
						  .type = OP_ERROR};

		assert_int_equal(
			rt_apply(&other, at->entry, at->bytes, &header), 0);
		if (zxid == info.digest_zxid)
			assert_int_equal(tree_published_digest(other.tree),
					 info.digest);
	}
	assert_int_equal(tree_published_digest(other.tree),
			 tree_published_digest(life->rt.tree));
	assert_int_equal(rt_nodes(&other), rt_nodes(&life->rt));
	other.mem = own;
	rt_end(&other);
}

/* Nodes that another ensemble made, in what will be our future. */
static void
load_foreign(struct life *life)
{
	struct tree *tree = life->rt.tree;
	const struct tree_stat stat = {.acl = ACL_ID_OPEN,
				       .czxid = NODES_MAX + 1};
	const struct tree_stat root = {.acl = ACL_ID_OPEN};
	const struct jute_slice none = jute_slice_of("", 0);

	tree_load_begin(tree);
	assert_int_equal(tree_load_node(tree, "", 0, none, &root), 0);
	for (uint32_t i = 0; i < FOREIGN_COUNT; i++) {
		char path[32];
		const int bytes = snprintf(path, sizeof(path), "/foreign%u", i);

		assert_int_equal(tree_load_node(tree, path, (uint32_t)bytes,
						none, &stat),
				 0);
	}
	assert_int_equal(tree_load_end(tree, 0), 0);
}

/* A new list for the last of them. */
static void
change_foreign(struct life *life, uint8_t *entry, uint32_t *bytes)
{
	char path[32];
	struct jute_writer writer = jute_writer_of(entry, 4096);
	const struct txn_header header = {.zxid = (int64_t)++life->zxid,
					  .type = OP_SET_ACL};

	snprintf(path, sizeof(path), "/foreign%u", FOREIGN_COUNT - 1);
	txn_put_header(&writer, &header);
	jute_put_cstr(&writer, path);
	put_acl(life, &writer);
	jute_put_int(&writer, 1);
	*bytes = (uint32_t)jute_written(&writer);
	assert_int_equal(rt_apply(&life->rt, entry, *bytes, &header), 0);
	atomic_store(&life->published, life->zxid);
}

/* Changes go on between slices. */
static int
run_job_of(uint64_t tree_bytes_max, uint64_t garbage_bytes_max,
	   bool has_new_acls, bool has_foreign, uint32_t *slides)
{
	static struct history history[2 * NODES_MAX];
	struct life life;
	struct snapshot_job_options options;
	struct snapshot_job *job = NULL;
	uint64_t S, digest;
	uint32_t steps = 0;
	int got;

	life_begin(&life, tree_bytes_max);
	if (has_foreign)
		load_foreign(&life);
	while (life.zxid < NODES_MAX) {
		struct history *at = &history[life.zxid + 1];

		live(&life, at->entry, &at->bytes);
	}
	S = life.zxid;
	digest = tree_published_digest(life.rt.tree);
	tree_hold(life.rt.tree, S);
	options = (struct snapshot_job_options){
		.disk = disk_mem_disk(life.rt.mem),
		.dir = RT_DIR,
		.writes_last_zxid = true,
		.tree = life.rt.tree,
		.reader = life.reader,
		.published = &life.published,
		.garbage_bytes_max = garbage_bytes_max,
		.zxid = S,
		.has_digest = true,
		.digest = digest,
		.pinned = note_pinned,
		.state_now = state_now,
		.arg = &life,
	};
	assert_int_equal(snapshot_job_create(&options, &job), 0);
	assert_true(life.is_pinned);
	life.has_new_acls = has_new_acls;
	do {
		for (uint32_t i = 0; i < 200 && life.zxid + 1 < 2 * NODES_MAX;
		     i++) {
			struct history *at = &history[life.zxid + 1];

			live(&life, at->entry, &at->bytes);
		}
		got = snapshot_job_step(job);
		tree_reclaim_grace(life.rt.tree);
		/* Behind all lists of the file. */
		if (has_foreign && ++steps == LIST_STEPS)
			change_foreign(&life, history[life.zxid + 1].entry,
				       &history[life.zxid + 1].bytes);
	} while (got > 0);
	*slides = snapshot_job_slides(job);
	if (got == 0)
		check_replayed(&life, history, S, digest, *slides > 0);
	else
		assert_int_equal(got, FAL_EAGAIN);
	snapshot_job_free(job);
	life_end(&life);
	return got;
}

static int
run_job(uint64_t garbage_bytes_max, bool has_new_acls, bool has_foreign,
	uint32_t *slides)
{
	return run_job_of(0, garbage_bytes_max, has_new_acls, has_foreign,
			  slides);
}

static void
a_snapshot_of_a_living_tree_shows_the_pinned_state(void **arg)
{
	const uint32_t rounds = testing_rounds("FAL_ROUNDS", 3);
	uint32_t slides = 0;

	(void)arg;
	for (uint32_t round = 0; round < rounds; round++) {
		assert_int_equal(run_job(UINT64_MAX, false, false, &slides), 0);
		assert_int_equal(slides, 0);
	}
}

static void
after_a_slide_replay_repairs_the_snapshot(void **arg)
{
	const uint32_t rounds = testing_rounds("FAL_ROUNDS", 3);
	uint32_t all = 0;

	(void)arg;
	for (uint32_t round = 0; round < rounds; round++) {
		uint32_t slides = 0;

		(void)run_job(1, false, false, &slides);
		all += slides;
	}
	assert_true(all > 0);
}

/* Each new client of an ensemble may bring one: a snapshot that began anew for
 * it would never end. */
static void
new_lists_do_not_hold_a_snapshot_up(void **arg)
{
	const uint32_t rounds = testing_rounds("FAL_ROUNDS", 3);
	uint32_t all = 0;

	(void)arg;
	for (uint32_t round = 0; round < rounds; round++) {
		uint32_t slides = 0;

		assert_int_equal(run_job(1, true, false, &slides), 0);
		all += slides;
	}
	assert_true(all > 0);
}

/* Replay would not make it again. */
static void
what_a_snapshot_brought_is_never_left_out(void **arg)
{
	uint32_t slides = 0;

	(void)arg;
	assert_int_equal(run_job(1, true, true, &slides), FAL_EAGAIN);
	assert_true(slides > 0);
}

/* What a large one would hardly notice is all that it has. */
static void
a_small_tree_has_its_garbage_back_soon(void **arg)
{
	uint32_t slides = 0;

	(void)arg;
	(void)run_job_of(1u << 30, 0, false, false, &slides);
	assert_int_equal(slides, 0);
	(void)run_job_of(1u << 20, 0, false, false, &slides);
	assert_true(slides > 0);
}

#define LISTS      400u
#define LIST_USERS 200u /* some 5 KB */

/* /nI, or a new list for it. */
static void
change_list(struct life *life, int32_t type, uint32_t i, uint32_t users)
{
	static uint8_t entry[32768];
	struct jute_writer writer = jute_writer_of(entry, sizeof(entry));
	const struct txn_header header = {.zxid = (int64_t)++life->zxid,
					  .type = type};
	char text[32];

	txn_put_header(&writer, &header);
	snprintf(text, sizeof(text), "/n%u", i);
	jute_put_cstr(&writer, text);
	if (type == OP_CREATE)
		jute_put_cstr(&writer, "data");
	jute_put_int(&writer, (int32_t)users);
	for (uint32_t user = 0; user < users; user++) {
		snprintf(text, sizeof(text), "user%u.%u", i, user);
		jute_put_int(&writer, 31);
		jute_put_cstr(&writer, "digest");
		jute_put_cstr(&writer, text);
	}
	if (type == OP_CREATE)
		jute_put_bool(&writer, false);
	jute_put_int(&writer, type == OP_CREATE ? (int32_t)i + 1 : 1);
	assert_false(writer.is_full);
	assert_int_equal(rt_apply(&life->rt, entry,
				  (uint32_t)jute_written(&writer), &header),
			 0);
	atomic_store(&life->published, life->zxid);
}

struct pieces {
	size_t bytes, most;
};

static int
note_piece(void *arg, const void *data, size_t bytes)
{
	struct pieces *pieces = arg;

	(void)data;
	pieces->bytes += bytes;
	if (bytes > pieces->most)
		pieces->most = bytes;
	return 0;
}

/* Half of the lists go behind the first step, in which all were counted. */
static int
run_lists(struct life *life, struct snapshot_out *pipe)
{
	const struct snapshot_job_options options = {
		.disk = disk_mem_disk(life->rt.mem),
		.dir = RT_DIR,
		.pipe = pipe,
		.tree = life->rt.tree,
		.reader = life->reader,
		.published = &life->published,
		.zxid = life->zxid,
		.has_digest = true,
		.digest = tree_published_digest(life->rt.tree),
		.pinned = note_pinned,
		.arg = life,
	};
	const struct acl_table *acls = tree_acls(life->rt.tree);
	const uint32_t before = acl_table_count(acls);
	struct snapshot_job *job = NULL;
	int got;

	tree_hold(life->rt.tree, life->zxid);
	assert_int_equal(snapshot_job_create(&options, &job), 0);
	assert_int_equal(snapshot_job_step(job), 1);
	for (int i = 0; i < 3; i++) {
		tree_reclaim(life->rt.tree, UINT32_MAX);
		(void)tree_reclaim_grace(life->rt.tree);
	}
	assert_int_equal(acl_table_count(acls), before - LISTS / 2);
	do
		got = snapshot_job_step(job);
	while (got > 0);
	snapshot_job_free(job);
	return got;
}

static void
life_of_lists(struct life *life)
{
	life_begin(life, 0);
	for (uint32_t i = 0; i < LISTS; i++)
		change_list(life, OP_CREATE, i, LIST_USERS);
	for (uint32_t i = 0; i < LISTS; i += 2)
		change_list(life, OP_SET_ACL, i, 1);
}

/* A tree that is full of lists would take as much memory again. */
static void
lists_are_written_some_a_step(void **arg)
{
	struct life life;
	struct pieces pieces = {0};
	struct snapshot_out *pipe;

	(void)arg;
	life_of_lists(&life);
	assert_int_equal(snapshot_out_pipe(note_piece, &pieces, &pipe), 0);
	assert_int_equal(run_lists(&life, pipe), 0);
	assert_true(pieces.bytes > LISTS / 2 * LIST_USERS * 20);
	assert_true(pieces.most < 512u << 10);
	life_end(&life);
}

static void
a_list_that_goes_while_others_are_written_is_counted(void **arg)
{
	struct life life;
	struct rt other;
	struct disk_mem *own;
	struct snapshot_info info;
	struct snapshot_fault fault;
	char name[64];

	(void)arg;
	life_of_lists(&life);
	assert_int_equal(run_lists(&life, NULL), 0);
	rt_begin(&other);
	own = other.mem;
	other.mem = life.rt.mem;
	snprintf(name, sizeof(name), "snapshot.%llx",
		 (unsigned long long)life.zxid);
	assert_int_equal(rt_load_file(&other, name, &info, &fault), 0);
	assert_int_equal(tree_published_digest(other.tree),
			 tree_published_digest(life.rt.tree));
	assert_int_equal(rt_nodes(&other), rt_nodes(&life.rt));
	assert_int_equal(acl_table_count(tree_acls(other.tree)),
			 acl_table_count(tree_acls(life.rt.tree)));
	other.mem = own;
	rt_end(&other);
	life_end(&life);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_snapshot_of_a_living_tree_shows_the_pinned_state),
		cmocka_unit_test(after_a_slide_replay_repairs_the_snapshot),
		cmocka_unit_test(new_lists_do_not_hold_a_snapshot_up),
		cmocka_unit_test(what_a_snapshot_brought_is_never_left_out),
		cmocka_unit_test(a_small_tree_has_its_garbage_back_soon),
		cmocka_unit_test(lists_are_written_some_a_step),
		cmocka_unit_test(
			a_list_that_goes_while_others_are_written_is_counted),
	};

	testing_seed(0xd1b54a32d192ed03);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
