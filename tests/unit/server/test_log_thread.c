/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the LOG thread is woken for what it has to write and for nothing else,
 * and its end holds nobody up.
 *
 * Method: the port of server/log_thread.c over a log on a disk in memory. The
 * test is the ZAB core, BG, and where it counts how often its bell rings, LOG.
 */

#include "store_testing.h"

#include <unistd.h>

#include "drivers/clock.h"
#include "server/bg.h"

#define LOG_DIR     "/log"
#define ENTRY_MAX   (64u << 10)
#define ENTRY_BYTES 100u
#define FIRST_ZXID  0x100000001ull
#define LOOKS       100u
/* What does not end by then hangs. */
#define HANG_SECONDS 60u

static struct {
	struct server server;
	struct config config;
	struct disk_mem *mem;
	struct log_port port;
	struct lcore bg;
	uint64_t last;
} rig;

struct lcore *
bg_lcore(struct bg *bg)
{
	(void)bg;
	return &rig.bg;
}

static void
begin(bool is_volatile)
{
	const struct txlog_options options = {.dir = LOG_DIR,
					      .window_bytes = 1u << 20,
					      .prealloc_bytes = 256u << 10,
					      .entry_bytes_max = ENTRY_MAX,
					      .has_no_sync = true,
					      .is_volatile = is_volatile,
					      .last_zxid = FIRST_ZXID - 1};

	memset(&rig, 0, sizeof(rig));
	clock_init();
	rig.last = FIRST_ZXID - 1;
	rig.config.fsync_warning_ms = 1000;
	rig.server.config = &rig.config;
	rig.server.core_count = 1;
	assert_int_equal(stats_init(&rig.server.stats, 4), 0);
	assert_int_equal(lcore_init(&rig.server.log_lcore), 0);
	assert_int_equal(lcore_init(&rig.bg), 0);
	assert_int_equal(disk_mem_create(1, &rig.mem), 0);
	assert_int_equal(disk_mkdir(disk_mem_disk(rig.mem), LOG_DIR), 0);
	assert_int_equal(txlog_create(disk_mem_disk(rig.mem), &options,
				      &rig.server.txlog),
			 0);
	rig.port = log_thread_port(&rig.server);
}

static void
end(void)
{
	txlog_destroy(rig.server.txlog);
	disk_mem_destroy(rig.mem);
	lcore_free(&rig.bg);
	lcore_free(&rig.server.log_lcore);
	stats_free(&rig.server.stats);
}

static void
append(void)
{
	uint32_t room = 0;
	uint8_t *place;

	assert_int_equal(rig.port.admit(rig.port.log, ENTRY_BYTES),
			 LOG_PORT_READY);
	place = rig.port.reserve(rig.port.log, &room);
	assert_true(room >= ENTRY_BYTES);
	testing_entry(place, ENTRY_BYTES, ++rig.last);
	rig.port.commit(rig.port.log, ENTRY_BYTES, (int64_t)rig.last);
}

/* LOG's work, as its thread would do it. */
static void
drain(void)
{
	do
		while (txlog_poll(rig.server.txlog))
			continue;
	while (!txlog_settle(rig.server.txlog) && txlog_poll(rig.server.txlog));
}

/* How often a sleeping LOG is woken while ZAB looks at what is durable. */
static uint32_t
rings(void)
{
	struct lcore *lcore = &rig.server.log_lcore;
	uint32_t count = 0;
	int err = 0;

	for (uint32_t i = 0; i < LOOKS; i++) {
		lcore_sleep_begin(lcore);
		(void)rig.port.durable_zxid(rig.port.log, &err);
		count += lcore_wait(lcore, 0);
		lcore_sleep_end(lcore);
		assert_int_equal(err, 0);
	}
	return count;
}

static void
nobody_is_woken_for_a_log_that_is_not_written(void **arg)
{
	(void)arg;
	begin(true);
	append();
	drain();
	assert_int_equal(rings(), 0);
	/* There is something to do: each look says so. */
	append();
	assert_int_equal(rings(), LOOKS);
	end();
}

/* Without flushes ZAB stores the records; the file ends and there is no room
 * for another. */
static void
nobody_is_woken_while_there_is_no_space(void **arg)
{
	(void)arg;
	begin(false);
	append();
	drain();
	assert_int_equal(rings(), 0);
	disk_mem_space(rig.mem, 0);
	txlog_roll(rig.server.txlog);
	append();
	drain();
	while (rig.port.admit(rig.port.log, ENTRY_BYTES) == LOG_PORT_READY) {
		append();
		drain();
	}
	assert_int_equal(txlog_durable_zxid(rig.server.txlog), rig.last);
	assert_int_equal(rings(), 0);
	end();
}

/* The server stops while BG is about to have the log to itself. */
static void
a_loan_does_not_wait_for_a_log_thread_that_has_ended(void **arg)
{
	(void)arg;
	begin(false);
	assert_int_equal(log_thread_start(&rig.server), 0);
	append();
	rig.port.kick(rig.port.log);
	log_thread_stop(&rig.server);
	alarm(HANG_SECONDS);
	log_thread_park(&rig.server);
	assert_int_equal(txlog_durable_zxid(rig.server.txlog), rig.last);
	log_thread_resume(&rig.server);
	alarm(0);
	end();
}

/* And neither does one that had begun. */
static void
a_loan_may_outlive_the_log_thread(void **arg)
{
	(void)arg;
	begin(false);
	assert_int_equal(log_thread_start(&rig.server), 0);
	alarm(HANG_SECONDS);
	log_thread_park(&rig.server);
	log_thread_stop(&rig.server);
	log_thread_resume(&rig.server);
	log_thread_park(&rig.server);
	log_thread_resume(&rig.server);
	alarm(0);
	end();
}

/* BG has it to itself as long as the loan lasts, also when all stops meanwhile:
 * whoever looks into it then looks into what BG is changing. */
static void
a_log_that_is_lent_is_not_touched_at_the_end(void **arg)
{
	(void)arg;
	begin(false);
	assert_int_equal(log_thread_start(&rig.server), 0);
	alarm(HANG_SECONDS);
	log_thread_park(&rig.server);
	append();
	log_thread_stop(&rig.server);
	assert_int_equal(txlog_durable_zxid(rig.server.txlog), rig.last - 1);
	drain();
	alarm(0);
	end();
}

/* io_uring: the kernel gives up what a thread that ends has under way. */
static void
what_is_being_written_at_the_end_is_waited_for(void **arg)
{
	(void)arg;
	begin(false);
	disk_mem_slow(rig.mem, 10);
	append();
	atomic_store(&rig.server.log_must_stop, true);
	assert_int_equal(log_thread_start(&rig.server), 0);
	alarm(HANG_SECONDS);
	log_thread_stop(&rig.server);
	alarm(0);
	assert_int_equal(txlog_durable_zxid(rig.server.txlog), rig.last);
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_is_woken_for_a_log_that_is_not_written),
		cmocka_unit_test(nobody_is_woken_while_there_is_no_space),
		cmocka_unit_test(
			a_loan_does_not_wait_for_a_log_thread_that_has_ended),
		cmocka_unit_test(a_loan_may_outlive_the_log_thread),
		cmocka_unit_test(a_log_that_is_lent_is_not_touched_at_the_end),
		cmocka_unit_test(
			what_is_being_written_at_the_end_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
