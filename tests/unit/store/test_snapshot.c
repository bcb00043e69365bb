/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: every captured snapshot is read, whatever its coding; what is written
 * is what would be read, byte for byte where a captured file shows how; a file
 * that is torn or flipped anywhere is refused and loads nothing by mistake.
 *
 * Method: captured files; a rewritten captured file must equal the original;
 * every truncation and a flip in every byte of a small file; random trees
 * against a map of paths. FAL_SEED, FAL_ROUNDS.
 */

#include "recover_testing.h"

#include "store/snap_form.h"

#define CODING_DIGEST 0x244c60d22aull
#define OUT_DIR       RT_DIR

static int
scan_file(struct rt *rt, const char *name, const struct snapshot_visitor *to,
	  struct snapshot_info *info, struct snapshot_fault *fault)
{
	char path[RT_PATH_BYTES];

	snprintf(path, sizeof(path), RT_DIR "/%s", name);
	return snapshot_scan(disk_mem_disk(rt->mem), path,
			     file_name_parse(name).coding, to, info, fault);
}

static void
one_state_in_three_codings_is_the_same(void **arg)
{
	static const char *const names[] = {"snapshot.10000007e",
					    "snapshot.10000007e.gz",
					    "snapshot.10000007e.snappy"};

	(void)arg;
	for (uint32_t i = 0; i < 3; i++) {
		struct rt rt;
		struct snapshot_info info;
		struct snapshot_fault fault;
		char golden[RT_PATH_BYTES];

		rt_begin(&rt);
		snprintf(golden, sizeof(golden), "snapshot-encodings/%s",
			 names[i]);
		rt_put(&rt, golden, names[i]);
		assert_int_equal(rt_load_file(&rt, names[i], &info, &fault), 0);
		assert_int_equal(tree_published_digest(rt.tree), CODING_DIGEST);
		assert_int_equal(rt_nodes(&rt), 78);
		assert_int_equal(info.nodes, 78);
		assert_int_equal(info.sessions, 3);
		assert_true(info.has_digest);
		assert_int_equal(info.digest_zxid, 0x10000007e);
		assert_int_equal(info.digest, CODING_DIGEST);
		assert_int_equal(info.has_last_zxid, i == 0);
		rt_end(&rt);
	}
}

static void
the_empty_database_has_its_known_digest(void **arg)
{
	struct rt rt;
	struct snapshot_info info;
	struct snapshot_fault fault;

	(void)arg;
	rt_begin(&rt);
	rt_put(&rt, "txn-types/snapshot.0", "snapshot.0");
	assert_int_equal(rt_load_file(&rt, "snapshot.0", &info, &fault), 0);
	assert_int_equal(tree_published_digest(rt.tree), 0x51c6d660);
	assert_int_equal(info.bytes, 595);
	assert_int_equal(info.acls, 1);
	/* One seal only. */
	rt_put(&rt, "no-digest/snapshot.0", "snapshot.0");
	assert_int_equal(rt_load_file(&rt, "snapshot.0", &info, &fault), 0);
	assert_false(info.has_digest || info.has_last_zxid);
	rt_end(&rt);
}

/* ---- writing what was read --------------------------------------------------
 */

struct copier {
	struct snapshot_out *out;
	struct snapshot_session sessions[RT_SESSIONS];
	uint32_t session_count, acl_count;
	uint8_t *acls;
	size_t acl_bytes;
	bool has_begun;
};

static int
copy_session(void *arg, int64_t id, int32_t timeout_ms)
{
	struct copier *copier = arg;

	assert_true(copier->session_count < RT_SESSIONS);
	copier->sessions[copier->session_count++] =
		(struct snapshot_session){.id = id, .timeout_ms = timeout_ms};
	return 0;
}

static int
copy_acl(void *arg, int64_t id, const struct jute_vector *acl)
{
	struct copier *copier = arg;
	uint8_t *to;

	copier->acls =
		realloc(copier->acls, copier->acl_bytes + 12 + acl->bytes);
	assert_non_null(copier->acls);
	to = copier->acls + copier->acl_bytes;
	be_store64(to, (uint64_t)id);
	be_store32(to + 8, (uint32_t)acl->count);
	memcpy(to + 12, acl->data, acl->bytes);
	copier->acl_bytes += 12 + acl->bytes;
	copier->acl_count++;
	return 0;
}

static int
copy_node(void *arg, struct jute_slice path, struct jute_slice data,
	  int64_t acl_id, const struct tree_stat *stat)
{
	struct copier *copier = arg;

	if (!copier->has_begun) {
		snapshot_out_sessions(copier->out, copier->sessions,
				      copier->session_count);
		snapshot_out_acls(copier->out, copier->acl_count);
		snapshot_out_raw(copier->out, copier->acls, copier->acl_bytes);
		copier->has_begun = true;
	}
	snapshot_out_node(copier->out, path, data, acl_id, stat);
	return 0;
}

/* Reads `name` and writes it as a snapshot of `zxid` in that coding. */
static void
rewrite(struct rt *rt, const char *name, uint64_t zxid, enum file_coding coding)
{
	struct copier copier = {.session_count = 0};
	const struct snapshot_visitor visitor = {.arg = &copier,
						 .session = copy_session,
						 .acl = copy_acl,
						 .node = copy_node};
	struct snapshot_info info;
	struct snapshot_fault fault;

	assert_int_equal(snapshot_out_create(disk_mem_disk(rt->mem), RT_DIR,
					     zxid, coding, &copier.out),
			 0);
	assert_int_equal(scan_file(rt, name, &visitor, &info, &fault), 0);
	assert_int_equal(snapshot_out_finish(copier.out, &info), 0);
	free(copier.acls);
}

static void
a_rewritten_file_equals_the_captured_one(void **arg)
{
	static const char *const files[] = {
		"txn-types/snapshot.0",
		"txn-types/snapshot.100000014",
		"no-digest/snapshot.0",
		"snapshot-encodings/snapshot.10000007e",
		"fixture-full/server1/version-2/snapshot.10000006f",
		"reconfig/version-2/snapshot.0",
	};

	(void)arg;
	for (uint32_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct rt rt;
		size_t bytes = 0, own_bytes = 0;
		const uint8_t *data, *own;

		rt_begin(&rt);
		rt_put(&rt, files[i], "snapshot.1");
		rewrite(&rt, "snapshot.1", 2, FILE_PLAIN);
		data = disk_mem_bytes(rt.mem, RT_DIR "/snapshot.1", &bytes);
		own = disk_mem_bytes(rt.mem, RT_DIR "/snapshot.2", &own_bytes);
		assert_non_null(data);
		assert_non_null(own);
		assert_int_equal(own_bytes, bytes);
		assert_memory_equal(own, data, bytes);
		/* Nothing hidden stays behind. */
		assert_null(disk_mem_bytes(
			rt.mem, RT_DIR "/" SNAPSHOT_HIDDEN_PREFIX "snapshot.2",
			&bytes));
		rt_end(&rt);
	}
}

static void
what_is_written_compressed_is_read_again(void **arg)
{
	static const char *const names[] = {"snapshot.2", "snapshot.2.gz",
					    "snapshot.2.snappy"};

	(void)arg;
	for (uint32_t coding = 0; coding < 3; coding++) {
		struct rt rt;
		struct snapshot_info info;
		struct snapshot_fault fault;
		char path[RT_PATH_BYTES];

		rt_begin(&rt);
		rt_put(&rt, "snapshot-encodings/snapshot.10000007e",
		       "snapshot.1");
		rewrite(&rt, "snapshot.1", 2, (enum file_coding)coding);
		snprintf(path, sizeof(path), RT_DIR "/%s", names[coding]);
		assert_int_equal(snapshot_test(disk_mem_disk(rt.mem), path,
					       (enum file_coding)coding),
				 0);
		assert_int_equal(
			rt_load_file(&rt, names[coding], &info, &fault), 0);
		assert_int_equal(tree_published_digest(rt.tree), CODING_DIGEST);
		assert_true(info.has_last_zxid);
		rt_end(&rt);
	}
}

/* A session of no time is gone with the first tick, but while it is there a
 * snapshot may be written, and must not be taken for a damaged one. */
static void
sessions_of_any_timeout_are_read_again(void **arg)
{
	static const int32_t timeouts[] = {0, -1, INT32_MIN, 4000};
	struct snapshot_session sessions[4];
	struct copier copier = {.session_count = 0};
	const struct snapshot_visitor visitor = {.arg = &copier,
						 .session = copy_session};
	struct snapshot_info info = {.has_digest = false};
	const struct tree_stat stat = {.acl = ACL_ID_OPEN};
	struct snapshot_fault fault;
	struct snapshot_out *out = NULL;
	struct rt rt;

	(void)arg;
	for (uint32_t i = 0; i < 4; i++)
		sessions[i] = (struct snapshot_session){
			.id = 1 + i, .timeout_ms = timeouts[i]};
	rt_begin(&rt);
	assert_int_equal(snapshot_out_create(disk_mem_disk(rt.mem), RT_DIR, 2,
					     FILE_PLAIN, &out),
			 0);
	snapshot_out_sessions(out, sessions, 4);
	snapshot_out_acls(out, 0);
	snapshot_out_node(out, jute_slice_of("", 0), jute_slice_of("", 0),
			  SNAPSHOT_ACL_OPEN, &stat);
	assert_int_equal(snapshot_out_finish(out, &info), 0);
	assert_int_equal(scan_file(&rt, "snapshot.2", &visitor, &info, &fault),
			 0);
	assert_int_equal(copier.session_count, 4);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(copier.sessions[i].timeout_ms, timeouts[i]);
	assert_int_equal(rt_load_file(&rt, "snapshot.2", &info, &fault), 0);
	rt_end(&rt);
}

/* With a large jute.maxbuffer clients may set such a list; what is in a file
 * must be in no other that is too long to be read. */
static void
a_list_of_many_entries_is_read_again(void **arg)
{
	enum { ENTRIES = 200000, BYTES = 4 + 4 + 2 + 4 + 8 };
	static uint8_t memory[ENTRIES * BYTES];
	struct jute_writer writer = jute_writer_of(memory, sizeof(memory));
	struct jute_vector acl = {.count = ENTRIES, .data = memory};
	struct snapshot_info info = {.has_digest = false};
	const struct tree_stat stat = {.acl = 5};
	struct snapshot_fault fault;
	struct snapshot_out *out = NULL;
	struct snap_form form;
	const uint8_t *file;
	size_t bytes = 0;
	struct rt rt;

	(void)arg;
	for (uint32_t i = 0; i < ENTRIES; i++) {
		char id[16];

		snprintf(id, sizeof(id), "10.%02x.%02x", i >> 8 & 0xff,
			 i & 0xff);
		jute_put_int(&writer, 1);
		jute_put_cstr(&writer, "ip");
		jute_put_cstr(&writer, id);
	}
	assert_false(writer.is_full);
	acl.bytes = (uint32_t)jute_written(&writer);
	rt_begin(&rt);
	assert_int_equal(snapshot_out_create(disk_mem_disk(rt.mem), RT_DIR, 2,
					     FILE_PLAIN, &out),
			 0);
	snapshot_out_sessions(out, NULL, 0);
	snapshot_out_acls(out, 1);
	snapshot_out_acl(out, 5, &acl);
	snapshot_out_node(out, jute_slice_of("", 0), jute_slice_of("", 0), 5,
			  &stat);
	assert_int_equal(snapshot_out_finish(out, &info), 0);
	assert_int_equal(rt_load_file(&rt, "snapshot.2", &info, &fault), 0);
	assert_int_equal(info.acls, 1);
	/* The same as it comes from a leader, which sends it without the
	 * seals: up to the node at least it is none that is refused. */
	file = disk_mem_bytes(rt.mem, RT_DIR "/snapshot.2", &bytes);
	snap_form_init(&form);
	assert_true(snap_form_take(&form, file + 16, acl.bytes) > 0);
	rt_end(&rt);
}

/* ---- damage
 * ------------------------------------------------------------------- */

static void
put_bytes(struct rt *rt, const char *name, const uint8_t *data, size_t bytes)
{
	char path[RT_PATH_BYTES];

	snprintf(path, sizeof(path), RT_DIR "/%s", name);
	assert_int_equal(disk_mem_put(rt->mem, path, data, bytes), 0);
}

/* Ends that leave whole sections are complete files of older versions. */
static bool
is_section_end(size_t at)
{
	return at == 595 || at == 595 - 33;
}

static void
every_truncation_is_refused(void **arg)
{
	struct rt rt;
	struct snapshot_info info;
	struct snapshot_fault fault;
	size_t bytes = 0;
	uint8_t *data =
		testing_load(GOLDEN_DIR "/disk/txn-types/snapshot.0", &bytes);

	(void)arg;
	rt_begin(&rt);
	assert_int_equal(bytes, 595);
	for (size_t at = 0; at <= bytes; at++) {
		put_bytes(&rt, "snapshot.1", data, at);
		assert_int_equal(rt_load_file(&rt, "snapshot.1", &info, &fault),
				 is_section_end(at) ? 0 : FAL_ECORRUPT);
	}
	free(data);
	rt_end(&rt);
}

static void
every_flipped_byte_is_refused(void **arg)
{
	struct rt rt;
	struct snapshot_info info;
	struct snapshot_fault fault;
	size_t bytes = 0;
	uint8_t *data =
		testing_load(GOLDEN_DIR "/disk/txn-types/snapshot.0", &bytes);

	(void)arg;
	rt_begin(&rt);
	for (size_t at = 0; at < bytes; at++) {
		data[at] ^= (uint8_t)(1u << at % 8);
		put_bytes(&rt, "snapshot.1", data, bytes);
		assert_int_equal(rt_load_file(&rt, "snapshot.1", &info, &fault),
				 FAL_ECORRUPT);
		data[at] ^= (uint8_t)(1u << at % 8);
	}
	free(data);
	rt_end(&rt);
}

static void
damaged_compressed_files_are_refused(void **arg)
{
	static const char *const names[] = {"snapshot.10000007e.gz",
					    "snapshot.10000007e.snappy"};

	(void)arg;
	for (uint32_t i = 0; i < 2; i++) {
		struct rt rt;
		struct snapshot_info info;
		struct snapshot_fault fault;
		char golden[RT_PATH_BYTES];
		size_t bytes = 0;
		uint8_t *data;

		rt_begin(&rt);
		snprintf(golden, sizeof(golden),
			 GOLDEN_DIR "/disk/snapshot-encodings/%s", names[i]);
		data = testing_load(golden, &bytes);
		for (size_t at = 0; at < bytes; at += 13) {
			int err;

			put_bytes(&rt, names[i], data, at);
			err = rt_load_file(&rt, names[i], &info, &fault);
			/* gzip's trailer adds nothing to the seals. */
			if (err == 0)
				assert_true(i == 0 && at + 8 > bytes);
			else
				assert_int_equal(err, FAL_ECORRUPT);
			data[at] ^= 0x10;
			put_bytes(&rt, names[i], data, bytes);
			err = rt_load_file(&rt, names[i], &info, &fault);
			/* Header fields that nobody looks at. */
			if (err == 0)
				assert_int_equal(tree_published_digest(rt.tree),
						 CODING_DIGEST);
			else
				assert_int_equal(err, FAL_ECORRUPT);
			data[at] ^= 0x10;
		}
		free(data);
		rt_end(&rt);
	}
}

static void
lengths_that_lie_allocate_nothing(void **arg)
{
	/* Header, then: sessions, ACLs, an ACL's entries, a path, its data. */
	static const uint8_t header[16] = {'Z',  'K',  'S',  'N',  0,    0,
					   0,    2,    0xff, 0xff, 0xff, 0xff,
					   0xff, 0xff, 0xff, 0xff};
	static const uint32_t before[] = {0, 4, 16, 8, 12};
	struct rt rt;
	struct snapshot_info info;
	struct snapshot_fault fault;

	(void)arg;
	rt_begin(&rt);
	for (uint32_t i = 0; i < 5; i++) {
		uint8_t file[80] = {0};

		memcpy(file, header, sizeof(header));
		if (i == 2)
			be_store32(file + 20, 1);
		be_store32(file + 16 + before[i], 0x7ffffff0);
		put_bytes(&rt, "snapshot.1", file, sizeof(file));
		assert_int_equal(rt_load_file(&rt, "snapshot.1", &info, &fault),
				 FAL_ECORRUPT);
	}
	rt_end(&rt);
}

static void
the_cheap_test_knows_complete_files(void **arg)
{
	struct rt rt;
	struct disk *disk;
	static const uint8_t end[10] = {9, 9, 9, 9, 9, 0, 0, 0, 1, '/'};
	static const uint8_t gz[3] = {0x1f, 0x8b, 8};

	(void)arg;
	rt_begin(&rt);
	disk = disk_mem_disk(rt.mem);
	put_bytes(&rt, "a", end, 10);
	assert_int_equal(snapshot_test(disk, RT_DIR "/a", FILE_PLAIN), 0);
	put_bytes(&rt, "a", end + 1, 9);
	assert_int_equal(snapshot_test(disk, RT_DIR "/a", FILE_PLAIN),
			 FAL_ECORRUPT);
	put_bytes(&rt, "a", end, 9);
	assert_int_equal(snapshot_test(disk, RT_DIR "/a", FILE_PLAIN),
			 FAL_ECORRUPT);
	put_bytes(&rt, "a", gz, 3);
	assert_int_equal(snapshot_test(disk, RT_DIR "/a", FILE_GZ), 0);
	assert_int_equal(snapshot_test(disk, RT_DIR "/a", FILE_SNAPPY),
			 FAL_ECORRUPT);
	put_bytes(&rt, "a", gz, 1);
	assert_int_equal(snapshot_test(disk, RT_DIR "/a", FILE_GZ),
			 FAL_ECORRUPT);
	assert_int_equal(snapshot_test(disk, RT_DIR "/b", FILE_PLAIN),
			 FAL_ENOENT);
	rt_end(&rt);
}

static void
a_failed_write_leaves_no_snapshot(void **arg)
{
	struct rt rt;
	struct snapshot_info info = {.nodes = 0};
	struct snapshot_out *out = NULL;
	const struct tree_stat stat = {.version = 0};
	uint32_t failed = 0;

	(void)arg;
	for (uint64_t n = 0; n < 6; n++) {
		size_t bytes = 0;
		int err;

		rt_begin(&rt);
		disk_mem_fail_at(rt.mem, n, FAL_ENOSPC, false);
		err = snapshot_out_create(disk_mem_disk(rt.mem), RT_DIR, 5,
					  FILE_PLAIN, &out);
		if (err == 0) {
			snapshot_out_sessions(out, NULL, 0);
			snapshot_out_acls(out, 0);
			snapshot_out_node(out, jute_slice_of("", 0),
					  jute_slice_of("", 0), -1, &stat);
			err = snapshot_out_finish(out, &info);
		}
		failed += err != 0;
		if (err != 0 && n < 4) /* the last is the directory's sync */
			assert_null(disk_mem_bytes(rt.mem, RT_DIR "/snapshot.5",
						   &bytes));
		disk_mem_crash(rt.mem, DISK_MEM_LOSE_ALL);
		if (err == 0)
			assert_non_null(disk_mem_bytes(
				rt.mem, RT_DIR "/snapshot.5", &bytes));
		rt_end(&rt);
	}
	/* open, write, sync, rename, directory */
	assert_int_equal(failed, 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_state_in_three_codings_is_the_same),
		cmocka_unit_test(the_empty_database_has_its_known_digest),
		cmocka_unit_test(a_rewritten_file_equals_the_captured_one),
		cmocka_unit_test(what_is_written_compressed_is_read_again),
		cmocka_unit_test(sessions_of_any_timeout_are_read_again),
		cmocka_unit_test(a_list_of_many_entries_is_read_again),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(every_flipped_byte_is_refused),
		cmocka_unit_test(damaged_compressed_files_are_refused),
		cmocka_unit_test(lengths_that_lie_allocate_nothing),
		cmocka_unit_test(the_cheap_test_knows_complete_files),
		cmocka_unit_test(a_failed_write_leaves_no_snapshot),
	};

	testing_seed(0xd1b54a32d192ed03);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
