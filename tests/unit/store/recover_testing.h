/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_RECOVER_TESTING_H
#define FALCONER_TESTS_RECOVER_TESTING_H

/* recover_testing - a disk in memory with a fixture's files, and a tree with
 * sessions that recover_run() brings up from it, as the server does. */

#include "store_testing.h"

#include <dirent.h>

#include "store/recover.h"
#include "znode/prep.h"

#define RT_DIR        "/data"
#define RT_SESSIONS   64u
#define RT_PATH_BYTES 1024

struct rt_session {
	int64_t id;
	int32_t timeout_ms;
};

struct rt {
	struct disk_mem *mem;
	struct tree *tree;
	struct session_table *sessions;
	struct prep *prep;
	uint64_t session_count;
	struct recover_outcome outcome;
};

/* bytes_max 0: the tree may have all of its region. */
static inline void
rt_begin_capped(struct rt *rt, uint64_t bytes_max)
{
	const struct tree_options options = {.region_bytes = 1ull << 30,
					     .bytes_max = bytes_max,
					     .has_extended_types = true,
					     .is_digest_on = true};
	static const struct acl_options acl = {.is_digest_enabled = true};
	const struct prep_options prep = {.acl = &acl,
					  .has_extended_types = true,
					  .is_digest_on = true,
					  .has_close_paths = true,
					  .is_reconfig_enabled = true};

	memset(rt, 0, sizeof(*rt));
	assert_int_equal(disk_mem_create(testing_random(), &rt->mem), 0);
	assert_int_equal(disk_mkdir(disk_mem_disk(rt->mem), RT_DIR), 0);
	assert_int_equal(disk_sync_dir(disk_mem_disk(rt->mem), "/"), 0);
	assert_int_equal(tree_create(&options, &rt->tree), 0);
	assert_int_equal(session_table_create(2000, &rt->sessions), 0);
	assert_int_equal(prep_create(&prep, rt->tree, rt->sessions, &rt->prep),
			 0);
}

static inline void
rt_begin(struct rt *rt)
{
	rt_begin_capped(rt, 0);
}

static inline void
rt_end(struct rt *rt)
{
	prep_destroy(rt->prep);
	session_table_destroy(rt->sessions);
	tree_destroy(rt->tree);
	disk_mem_destroy(rt->mem);
}

/* Puts one golden file into the directory. */
static inline void
rt_put(struct rt *rt, const char *golden, const char *name)
{
	char path[RT_PATH_BYTES];
	size_t bytes = 0;
	uint8_t *data;

	snprintf(path, sizeof(path), GOLDEN_DIR "/disk/%.700s", golden);
	data = testing_load(path, &bytes);
	snprintf(path, sizeof(path), RT_DIR "/%s", name);
	assert_int_equal(disk_mem_put(rt->mem, path, data, bytes), 0);
	free(data);
}

/* All files of a golden directory. */
static inline void
rt_put_dir(struct rt *rt, const char *golden)
{
	char path[RT_PATH_BYTES];
	const struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), GOLDEN_DIR "/disk/%.700s", golden);
	dir = opendir(path);
	if (dir == NULL)
		print_error("cannot open %s\n", path);
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_type != DT_REG)
			continue;
		snprintf(path, sizeof(path), "%.300s/%.300s", golden,
			 entry->d_name);
		rt_put(rt, path, entry->d_name);
	}
	closedir(dir);
}

static inline int
rt_session(void *arg, int64_t id, int32_t timeout_ms)
{
	struct rt *rt = arg;

	return session_add(rt->sessions, id, timeout_ms, 0) != NULL
		       ? 0
		       : FAL_ENOMEM;
}

static inline void
rt_note_session(void *arg, const struct session *session)
{
	((struct rt_session *)arg)->id = session->id;
}

static inline void
rt_forget_sessions(void *arg)
{
	struct rt *rt = arg;

	while (session_count(rt->sessions) > 0) {
		struct rt_session any = {.id = 0};

		session_for_each(rt->sessions, rt_note_session, &any);
		session_remove(rt->sessions, any.id);
	}
}

static inline int
rt_apply(void *arg, const void *entry, uint32_t bytes,
	 const struct txn_header *header)
{
	struct rt *rt = arg;
	struct txn_entry decoded;
	bool matches = true;
	int err = prep_apply(rt->prep, entry, bytes, NULL, &matches);

	if (err != 0)
		return err;
	tree_publish(rt->tree, header->zxid);
	if (header->type == OP_CREATE_SESSION ||
	    header->type == OP_CLOSE_SESSION) {
		err = txn_get_entry(entry, bytes, &decoded);
		if (err != 0)
			return err;
		prep_publish_session(rt->prep, header->type, header->session_id,
				     decoded.record.timeout_ms, 0);
	}
	return matches ? 0 : RECOVER_DIGEST_DIFFERS;
}

static inline struct recover_options
rt_options(struct rt *rt)
{
	return (struct recover_options){.snap_dir = RT_DIR,
					.log_dir = RT_DIR,
					.is_digest_on = true,
					.session = rt_session,
					.forget_sessions = rt_forget_sessions,
					.apply = rt_apply,
					.arg = rt};
}

static inline int
rt_run(struct rt *rt, const struct recover_options *options)
{
	const int err = recover_run(disk_mem_disk(rt->mem), options, rt->tree,
				    &rt->outcome);

	if (rt->outcome.message[0] != '\0')
		print_message("             %s\n", rt->outcome.message);
	return err;
}

static inline uint64_t
rt_nodes(const struct rt *rt)
{
	struct tree_counts counts;

	tree_counts(rt->tree, &counts);
	return counts.nodes;
}

static inline int
rt_load_file(struct rt *rt, const char *name, struct snapshot_info *info,
	     struct snapshot_fault *fault)
{
	const struct file_name parsed = file_name_parse(name);
	char path[RT_PATH_BYTES];

	snprintf(path, sizeof(path), RT_DIR "/%s", name);
	rt_forget_sessions(rt);
	return snapshot_load(disk_mem_disk(rt->mem), path, parsed.coding,
			     parsed.zxid, rt->tree, rt_session, rt, info,
			     fault);
}

#endif
