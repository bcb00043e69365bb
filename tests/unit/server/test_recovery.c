/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the note of a clean stop claims what is on the disk and nothing else.
 *
 * Method: the end of server/recovery.c over a log on a disk in memory, that
 * loses power behind each of its operations.
 */

#include "store_testing.h"

#include "dataplane/zab.h"
#include "server/prefault.h"
#include "server/recovery.h"
#include "store/log_reader.h"

#define DATA_DIR    "/data"
#define ENTRY_MAX   (64u << 10)
#define ENTRY_BYTES 100u
#define FIRST_ZXID  0x100000001ull
#define RECORDS     20u
#define LAST_ZXID   (FIRST_ZXID + RECORDS - 1)
#define FAULTS_MAX  50u

static struct {
	struct server server;
	struct config config;
	struct disk_mem *mem;
} rig;

/* ---- in the place of others -------------------------------------------------
 */

int64_t
zab_last_zxid(const struct zab *zab)
{
	(void)zab;
	return (int64_t)LAST_ZXID;
}

int
server_explain(struct server_error *error, int err, const char *format, ...)
{
	(void)error;
	(void)format;
	return err;
}

void
prefault_start(struct prefault *prefault, const struct tree *tree)
{
	(void)prefault;
	(void)tree;
}

void
prefault_stop(struct prefault *prefault)
{
	(void)prefault;
}

/* ---- the rig ---------------------------------------------------------------
 */

static void
append_all(struct txlog *log)
{
	uint8_t entry[ENTRY_BYTES];

	for (uint64_t zxid = FIRST_ZXID; zxid <= LAST_ZXID; zxid++) {
		testing_entry(entry, sizeof(entry), zxid);
		assert_int_equal(txlog_append(log, entry, sizeof(entry), zxid),
				 0);
		while (!txlog_settle(log) && txlog_poll(log))
			continue;
	}
	assert_int_equal(txlog_durable_zxid(log), LAST_ZXID);
}

/* A server that is alone stops in order; operation `fault` of that fails, and
 * all behind it. */
static void
stop(bool has_flushes, bool is_volatile, uint64_t fault)
{
	const struct txlog_options options = {.dir = DATA_DIR,
					      .window_bytes = 1u << 20,
					      .prealloc_bytes = 256u << 10,
					      .entry_bytes_max = ENTRY_MAX,
					      .has_no_sync = !has_flushes,
					      .is_volatile = is_volatile};
	struct server *server = &rig.server;

	memset(&rig, 0, sizeof(rig));
	assert_int_equal(disk_mem_create(1 + fault, &rig.mem), 0);
	server->disk = disk_mem_disk(rig.mem);
	assert_int_equal(disk_mkdir(server->disk, DATA_DIR), 0);
	assert_int_equal(disk_sync_dir(server->disk, "/"), 0);
	rig.config.fsync_enabled = has_flushes;
	rig.config.is_standalone = !is_volatile;
	server->config = &rig.config;
	memcpy(server->data_dir.snap_dir, DATA_DIR, sizeof(DATA_DIR));
	memcpy(server->data_dir.log_dir, DATA_DIR, sizeof(DATA_DIR));
	assert_int_equal(txlog_create(server->disk, &options, &server->txlog),
			 0);
	append_all(server->txlog);
	disk_mem_fail_at(rig.mem, fault, FAL_EIO, true);
	recovery_mark_clean(server);
	txlog_destroy(server->txlog);
}

static bool
is_noted(void)
{
	size_t bytes = 0;

	return disk_mem_bytes(rig.mem, DATA_DIR "/" RECOVER_CLEAN_NAME,
			      &bytes) != NULL;
}

static uint64_t
last_on_disk(void)
{
	struct log_chain *chain = NULL;
	struct log_record record;

	assert_int_equal(log_chain_open(rig.server.disk, DATA_DIR, 0,
					LOG_ENTRY_BYTES_MAX, &chain),
			 0);
	while (log_chain_next(chain, &record) > 0)
		continue;

	const uint64_t last = log_chain_last_zxid(chain);

	log_chain_close(chain);
	return last;
}

/* ---- tests -----------------------------------------------------------------
 */

static void
check_note(bool has_flushes)
{
	for (uint32_t fault = 0; fault < FAULTS_MAX; fault++) {
		stop(has_flushes, false, fault);
		disk_mem_crash(rig.mem, DISK_MEM_LOSE_ALL);
		if (is_noted())
			assert_int_equal(last_on_disk(), LAST_ZXID);
		else
			assert_true(fault < FAULTS_MAX - 1);
		disk_mem_destroy(rig.mem);
	}
}

static void
what_is_noted_is_on_the_disk(void **arg)
{
	(void)arg;
	check_note(true);
}

static void
and_so_it_is_without_flushes(void **arg)
{
	(void)arg;
	check_note(false);
}

/* An observer with syncEnabled=false: the next start finds none of it. */
static void
of_a_log_that_is_not_written_nothing_is_noted(void **arg)
{
	(void)arg;
	stop(true, true, FAULTS_MAX);
	assert_false(is_noted());
	disk_mem_destroy(rig.mem);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_noted_is_on_the_disk),
		cmocka_unit_test(and_so_it_is_without_flushes),
		cmocka_unit_test(of_a_log_that_is_not_written_nothing_is_noted),
	};

	testing_seed(0x9e3779b97f4a7c15);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
