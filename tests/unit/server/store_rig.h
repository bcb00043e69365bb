/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_STORE_RIG_H
#define FALCONER_TESTS_STORE_RIG_H

/* store_rig - a member's tree, log and store_jobs on a disk in memory, with the
 * test in the place of the ZAB core, of LOG and of BG. */

#include "recover_testing.h"

#include "base/log.h"
#include "drivers/clock.h"
#include "server/config_file.h"
#include "server/store_int.h"
#include "store/epoch_file.h"
#include "store/log_cut.h"
#include "store/log_reader.h"
#include "wire/quorum_packet.h"

#define FULL_DIR      "fixture-full/server1/version-2"
#define FULL_ZXID     0x10000007eull
#define FULL_DIGEST   0x244c60d22aull
#define TRUNC_DIR     "hazard-trunc-newer-snapshot/version-2"
#define STALE_DIR     "hazard-stale-suffix-after-snap/version-2"
#define RIG_ENTRY_MAX (64u << 10)
#define RIG_CONFIG    "/etc/zoo.cfg"
#define RIG_ROUNDS    100000u

struct rig {
	struct rt rt;
	struct restore restore;
	struct restore_result found;
	struct txlog *log;
	struct lcore zab, bg;
	_Atomic uint64_t published;
	int64_t last;
	struct store_parts parts;
	struct store_jobs *jobs;
	struct store_port port;
	struct store_event event;
	uint32_t lent, taken_back;
};

/* Only what is wrong is said. */
static inline void
rig_quiet(void)
{
	const struct log_options options = {.level = LOG_LEVEL_ERROR, .fd = 2};

	log_setup(&options);
}

static inline void
rig_lend(void *arg)
{
	((struct rig *)arg)->lent++;
}

static inline void
rig_take_back(void *arg)
{
	((struct rig *)arg)->taken_back++;
}

static inline struct restore
rig_restore(struct rt *rt)
{
	return (struct restore){
		.disk = disk_mem_disk(rt->mem),
		.snap_dir = RT_DIR,
		.log_dir = RT_DIR,
		.tree = rt->tree,
		.sessions = rt->sessions,
		.prep = rt->prep,
		.is_member = true,
		.is_digest_on = true,
	};
}

/* Objects behind the files that are on the disk. */
static inline void
rig_start(struct rig *rig)
{
	struct txlog_options log = {.dir = RT_DIR,
				    .window_bytes = 1u << 20,
				    .prealloc_bytes = 256u << 10,
				    .entry_bytes_max = RIG_ENTRY_MAX};

	rig->restore = rig_restore(&rig->rt);
	assert_int_equal(restore_run(&rig->restore, &rig->found), 0);
	rig->last = (int64_t)rig->found.outcome.last_zxid;
	log.last_zxid = (uint64_t)rig->last;
	assert_int_equal(txlog_create(rig->restore.disk, &log, &rig->log), 0);
	atomic_store(&rig->published, (uint64_t)rig->last);
	assert_int_equal(lcore_init(&rig->zab), 0);
	assert_int_equal(lcore_init(&rig->bg), 0);
	rig->parts = (struct store_parts){
		.restore = rig->restore,
		.txlog = rig->log,
		.published = &rig->published,
		.zab_lcore = &rig->zab,
		.bg_lcore = &rig->bg,
		.config_path = RIG_CONFIG,
		.sid = 1,
		.snapshots_max = 3,
		.worth_factor = 0.33,
		.worth_count = 500,
		.history = &rig->found.history,
		.arg = rig,
		.lend = rig_lend,
		.take_back = rig_take_back,
	};
	assert_int_equal(store_jobs_create(&rig->parts, &rig->jobs), 0);
	assert_int_equal(store_jobs_attach(rig->jobs), 0);
	rig->port = store_jobs_port(rig->jobs);
}

/* dir NULL: an empty database. */
static inline void
rig_begin(struct rig *rig, const char *dir)
{
	memset(rig, 0, sizeof(*rig));
	rt_begin(&rig->rt);
	assert_int_equal(disk_mkdir(disk_mem_disk(rig->rt.mem), "/etc"), 0);
	assert_int_equal(disk_sync_dir(disk_mem_disk(rig->rt.mem), "/"), 0);
	if (dir != NULL)
		rt_put_dir(&rig->rt, dir);
	rig_start(rig);
}

static inline void
rig_stop(struct rig *rig)
{
	if (rig->jobs == NULL)
		return;
	store_jobs_detach(rig->jobs);
	store_jobs_destroy(rig->jobs);
	txlog_destroy(rig->log);
	lcore_free(&rig->zab);
	lcore_free(&rig->bg);
	rig->jobs = NULL;
}

static inline void
rig_end(struct rig *rig)
{
	rig_stop(rig);
	rt_end(&rig->rt);
}

/* A slice of every other thread; true if one had something to do. */
static inline bool
rig_turn(struct rig *rig)
{
	bool did_work = store_jobs_run(rig->jobs);

	did_work |= store_files_run(rig->jobs);
	did_work |= txlog_prepare(rig->log);
	did_work |= txlog_trim(rig->log);
	return did_work;
}

static inline void
rig_expect(struct rig *rig, enum store_event_kind kind)
{
	for (uint32_t i = 0; i < RIG_ROUNDS; i++) {
		if (rig->port.next(rig->jobs, &rig->event))
			break;
		rig_turn(rig);
	}
	if (rig->event.kind == STORE_FAILED || rig->event.kind != kind)
		print_message("             event %d: %s\n", rig->event.kind,
			      rig->event.text == NULL ? "" : rig->event.text);
	assert_int_equal(rig->event.kind, kind);
}

/* Everything comes back, with a history that ends with zxid. */
static inline void
rig_expect_back(struct rig *rig, enum store_event_kind kind, int64_t zxid)
{
	rig_expect(rig, kind);
	assert_non_null(rig->event.disk.history);
	assert_int_equal(rig->event.disk.history->last_zxid, zxid);
	assert_int_equal(txlog_last_zxid(rig->log), zxid);
	assert_int_equal(txlog_durable_zxid(rig->log), zxid);
	assert_true(rig->taken_back == rig->lent);
	rig->last = zxid;
	atomic_store(&rig->published, (uint64_t)zxid);
}

/* Transactions as a leader's: applied, published and durable. */
static inline void
rig_append(struct rig *rig, uint32_t count)
{
	uint8_t entry[TESTING_ERROR_BYTES];

	for (uint32_t i = 0; i < count; i++) {
		bool matches = true;

		testing_error_entry(entry, (uint64_t)++rig->last);
		while (txlog_append(rig->log, entry, sizeof(entry),
				    (uint64_t)rig->last) != 0) {
			txlog_poll(rig->log);
			txlog_prepare(rig->log);
		}
		store_jobs_note(rig->jobs, rig->last);
		assert_int_equal(prep_apply(rig->rt.prep, entry, sizeof(entry),
					    NULL, &matches),
				 0);
		tree_publish(rig->rt.tree, rig->last);
		atomic_store(&rig->published, (uint64_t)rig->last);
	}
	while (txlog_poll(rig->log) || txlog_is_writing(rig->log))
		continue;
	assert_int_equal(txlog_durable_zxid(rig->log), rig->last);
}

/* What a start finds: the last zxid, and the digest unless it is 0. */
static inline void
rig_check_disk(struct disk_mem *mem, uint64_t zxid, uint64_t digest)
{
	struct restore_result found;
	struct restore restore;
	struct rt rt;

	rt_begin(&rt);
	restore = rig_restore(&rt);
	restore.disk = disk_mem_disk(mem);
	assert_int_equal(restore_run(&restore, &found), 0);
	if (found.outcome.message[0] != '\0')
		print_message("             %s\n", found.outcome.message);
	assert_int_equal(found.outcome.last_zxid, zxid);
	assert_int_equal(found.history.last_zxid, zxid);
	assert_false(found.is_nonvoting);
	if (digest != 0)
		assert_int_equal(tree_published_digest(rt.tree), digest);
	rt_end(&rt);
}

/* The power goes. */
static inline void
rig_check_restart(struct rig *rig, uint64_t zxid, uint64_t digest)
{
	rig_stop(rig);
	disk_mem_crash(rig->rt.mem, DISK_MEM_LOSE_ALL);
	rig_check_disk(rig->rt.mem, zxid, digest);
}

/* The digest of a captured directory after zxid. */
static inline uint64_t
rig_digest_at(const char *dir, uint64_t zxid)
{
	struct recover_options options;
	uint64_t digest;
	struct rt rt;

	rt_begin(&rt);
	rt_put_dir(&rt, dir);
	options = rt_options(&rt);
	options.until_zxid = zxid;
	assert_int_equal(rt_run(&rt, &options), 0);
	assert_int_equal(rt.outcome.last_zxid, zxid);
	digest = tree_published_digest(rt.tree);
	rt_end(&rt);
	return digest;
}

#endif
