/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    every line comes out whole, in the asked format, and cannot be
 *         forged by its text; limits hold and tell what they left out; what
 *         poll cores post arrives once and in order, or is counted as lost.
 * Method  lines are read back from a pipe under a clock the test sets. Rings
 *         are driven by real threads with one drain beside them (TSan).
 */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/time.h"

/* 2026-01-31T12:00:00Z */
#define NOON_NS (1769860800ull * NS_PER_S)

static int pipe_fd[2];
static uint64_t now_ns;

static uint64_t
test_clock_ns(void)
{
	return now_ns;
}

static void
start(enum log_level level, enum log_format format)
{
	const struct log_options options = {
		.level = level,
		.format = format,
		.fd = pipe_fd[1],
		.clock_ns = test_clock_ns,
	};

	/* Every test has seconds of its own, so rate limits start afresh. */
	now_ns = (now_ns / NS_PER_S + 1) * NS_PER_S;
	log_setup(&options);
}

/* What was written since the last call. */
static const char *
written(void)
{
	static char text[1 << 17];
	size_t count = 0;
	ssize_t got;

	while ((got = read(pipe_fd[0], text + count,
			   sizeof(text) - 1 - count)) > 0)
		count += (size_t)got;
	text[count] = '\0';
	return text;
}

static uint32_t
lines_in(const char *text)
{
	uint32_t lines = 0;

	for (; *text != '\0'; text++)
		lines += *text == '\n';
	return lines;
}

static int
open_pipe(void **state)
{
	(void)state;
	now_ns = NOON_NS - NS_PER_S;
	if (pipe(pipe_fd) != 0)
		return -1;
	fcntl(pipe_fd[1], F_SETPIPE_SZ, 1 << 17);
	return fcntl(pipe_fd[0], F_SETFL, O_NONBLOCK);
}

static int
close_pipe(void **state)
{
	(void)state;
	close(pipe_fd[0]);
	return close(pipe_fd[1]);
}

static void
a_text_line_has_time_level_and_text(void **state)
{
	(void)state;
	start(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	now_ns = NOON_NS + 7 * NS_PER_MS;
	LOG_WARN("port %d is busy", 2181);
	assert_string_equal(written(), "2026-01-31T12:00:00.007Z warn  "
				       "port 2181 is busy\n");
}

static void
what_is_told_later_has_the_time_when_it_happened(void **state)
{
	(void)state;
	start(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	now_ns = NOON_NS + NS_PER_S;
	log_date(NOON_NS + 7 * NS_PER_MS);
	LOG_INFO("then");
	log_date(0);
	LOG_INFO("now");
	assert_string_equal(written(), "2026-01-31T12:00:00.007Z info  then\n"
				       "2026-01-31T12:00:01.000Z info  now\n");
}

static void
a_json_line_is_one_object(void **state)
{
	(void)state;
	start(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
	now_ns = NOON_NS + NS_PER_S - 1;
	LOG_ERROR("path \"%s\\\"", "a\tb");
	assert_string_equal(written(),
			    "{\"time\":\"2026-01-31T12:00:00.999Z\","
			    "\"level\":\"error\","
			    "\"text\":\"path \\\"a\\u0009b\\\\\\\"\"}\n");
}

static void
text_from_outside_cannot_forge_a_line(void **state)
{
	(void)state;
	start(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	LOG_INFO("%s", "x\n2026 error\033[2J\x7f");
	assert_non_null(strstr(written(), "x\\x0a2026 error\\x1b[2J\\x7f\n"));
}

static void
utf8_passes_and_other_bytes_are_escaped(void **state)
{
	static const struct {
		const char *in, *text, *json;
	} cases[] = {
		{"\xc3\xa9.", "\xc3\xa9.", "\xc3\xa9."},
		{"\xe2\x82\xac.", "\xe2\x82\xac.", "\xe2\x82\xac."},
		{"\xf0\x9f\xa6\x85.", "\xf0\x9f\xa6\x85.", "\xf0\x9f\xa6\x85."},
		/* alone, cut short, overlong, surrogate, beyond Unicode */
		{"\x80.", "\\x80.", "\\ufffd."},
		{"\xc3.", "\\xc3.", "\\ufffd."},
		{"\xc3", "\\xc3", "\\ufffd"},
		{"\xc0\xaf.", "\\xc0\\xaf.", "\\ufffd\\ufffd."},
		{"\xed\xa0\x80.", "\\xed\\xa0\\x80.", "\\ufffd\\ufffd\\ufffd."},
		{"\xf4\x90\x80\x80.", "\\xf4\\x90\\x80\\x80.",
		 "\\ufffd\\ufffd\\ufffd\\ufffd."},
		{"\xff.", "\\xff.", "\\ufffd."},
		/* the ends of each length, and just beyond */
		{"\xc2\x80\xdf\xbf.", "\xc2\x80\xdf\xbf.", "\xc2\x80\xdf\xbf."},
		{"\xc1\xbf.", "\\xc1\\xbf.", "\\ufffd\\ufffd."},
		{"\xe0\xa0\x80\xef\xbf\xbf.", "\xe0\xa0\x80\xef\xbf\xbf.",
		 "\xe0\xa0\x80\xef\xbf\xbf."},
		{"\xe0\x9f\xbf.", "\\xe0\\x9f\\xbf.", "\\ufffd\\ufffd\\ufffd."},
		{"\xed\x9f\xbf\xee\x80\x80.", "\xed\x9f\xbf\xee\x80\x80.",
		 "\xed\x9f\xbf\xee\x80\x80."},
		{"\xed\xbf\xbf.", "\\xed\\xbf\\xbf.", "\\ufffd\\ufffd\\ufffd."},
		{"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf.",
		 "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf.",
		 "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf."},
		{"\xf8\x88\x80\x80\x80.", "\\xf8\\x88\\x80\\x80\\x80.",
		 "\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd."},
	};
	char expect[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		start(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
		LOG_INFO("<%s>", cases[i].in);
		snprintf(expect, sizeof(expect), " <%s>\n", cases[i].text);
		assert_non_null(strstr(written(), expect));
		start(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
		LOG_INFO("<%s>", cases[i].in);
		snprintf(expect, sizeof(expect), "\"<%s>\"}\n", cases[i].json);
		assert_non_null(strstr(written(), expect));
	}
}

static void
lines_above_the_level_are_left_out(void **state)
{
	(void)state;
	start(LOG_LEVEL_WARN, LOG_FORMAT_TEXT);
	LOG_INFO("no");
	LOG_DEBUG("no");
	assert_false(log_enabled(LOG_LEVEL_INFO));
	log_write(LOG_LEVEL_INFO, NULL, "no");
	assert_string_equal(written(), "");
	LOG_WARN("yes");
	LOG_ERROR("yes");
	assert_int_equal(lines_in(written()), 2);
}

static void
an_overlong_text_is_cut_and_still_one_line(void **state)
{
	static char text[LOG_TEXT_BYTES_MAX + 100];
	const char *out;

	(void)state;
	/* The worst case for room: each byte becomes six. */
	memset(text, 1, sizeof(text) - 1);
	start(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
	LOG_INFO("%s", text);
	out = written();
	assert_int_equal(lines_in(out), 1);
	assert_true(strlen(out) > 6 * (size_t)LOG_TEXT_BYTES_MAX);
	assert_true(strlen(out) < 6 * (size_t)LOG_TEXT_BYTES_MAX + 100);
	assert_string_equal(out + strlen(out) - 3, "\"}\n");
}

static void
say(uint32_t n)
{
	LOG_WARN("again %" PRIu32, n);
}

static void
a_call_site_writes_its_burst_and_tells_the_rest_later(void **state)
{
	(void)state;
	start(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	for (uint32_t i = 0; i < LOG_BURST + 5; i++)
		say(i);
	assert_int_equal(lines_in(written()), LOG_BURST);
	LOG_WARN("another site is not limited by it");
	assert_int_equal(lines_in(written()), 1);
	now_ns += NS_PER_S;
	say(77);
	assert_non_null(strstr(written(), "again 77 (5 like it left out)\n"));
	now_ns += NS_PER_S;
	say(78);
	assert_non_null(strstr(written(), "again 78\n"));
	for (uint32_t i = 0; i < 3 * LOG_BURST; i++)
		log_write(LOG_LEVEL_INFO, NULL, "without a site: no limit");
	assert_int_equal(lines_in(written()), 3 * LOG_BURST);
}

static void
a_posted_event_becomes_a_line_at_the_drain(void **state)
{
	(void)state;
	start(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	assert_int_equal(log_attach(), FAL_OK);
	log_post(LOG_SESSION_EXPIRED, 0x100001089ee0027ull, 30000);
	log_post(LOG_CONN_TABLE_FULL, 60, 61);
	assert_string_equal(written(), "");
	assert_int_equal(log_drain(), 2);
	const char *out = written();

	assert_non_null(strstr(out, "info  session 0x100001089ee0027 expired, "
				    "timeout 30000 ms\n"));
	assert_non_null(strstr(out, "warn  connection closed: 60 are open, "
				    "the limit is 61"));
	assert_int_equal(log_drain(), 0);
	log_detach();
}

static void
a_thread_without_a_ring_writes_at_once(void **state)
{
	(void)state;
	start(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	log_post(LOG_CONNECT_REFUSED, 5, (uint64_t)FAL_EPROTO);
	assert_non_null(strstr(written(), "session 0x5 refused: "
					  "the peer's bytes break"));
}

static void
every_event_has_a_line(void **state)
{
	(void)state;
	start(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
	for (uint32_t i = 0; i < LOG_EVENT_COUNT; i++) {
		log_post((enum log_event)i, 1, 2);
		assert_int_equal(lines_in(written()), 1);
	}
}

static void
a_full_ring_drops_and_counts(void **state)
{
	const uint64_t before = log_dropped();

	(void)state;
	start(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
	assert_int_equal(log_attach(), FAL_OK);
	for (uint32_t i = 0; i < LOG_RING_EVENTS + 3; i++)
		log_post(LOG_LOOP_STALL, i, 0);
	assert_int_equal(log_dropped() - before, 3);
	assert_int_equal(log_drain(), LOG_RING_EVENTS);
	log_post(LOG_LOOP_STALL, 0, 0);
	assert_int_equal(log_drain(), 1);
	assert_int_equal(log_dropped() - before, 3);
	log_detach();
}

static void *
attach_only(void *done)
{
	pthread_barrier_t *barrier = done;
	const int err = log_attach();

	pthread_barrier_wait(barrier);
	if (err == FAL_OK) {
		log_post(LOG_LOOP_STALL, 1, 1);
		log_detach();
	}
	return err == FAL_OK ? NULL : barrier;
}

static void
rings_are_limited_and_reused_after_their_thread(void **state)
{
	enum { THREADS = LOG_RINGS_MAX + 2 };
	pthread_t thread[THREADS];

	(void)state;
	start(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
	log_drain();
	for (uint32_t round = 0; round < 3; round++) {
		pthread_barrier_t barrier;
		uint32_t refused = 0;

		pthread_barrier_init(&barrier, NULL, THREADS);
		for (uint32_t i = 0; i < THREADS; i++)
			assert_int_equal(pthread_create(&thread[i], NULL,
							attach_only, &barrier),
					 0);
		for (uint32_t i = 0; i < THREADS; i++) {
			void *failed;

			pthread_join(thread[i], &failed);
			refused += failed != NULL;
		}
		assert_int_equal(refused, 2);
		assert_int_equal(log_drain(), LOG_RINGS_MAX);
		pthread_barrier_destroy(&barrier);
	}
}

#define POSTS 20000u

static void *
post_many(void *arg)
{
	const uint64_t who = *(const uint64_t *)arg;

	if (log_attach() != FAL_OK)
		abort();
	for (uint64_t i = 0; i < POSTS; i++)
		log_post(LOG_LOOP_STALL, i, who);
	log_detach();
	return NULL;
}

static void
posts_arrive_once_and_in_order_or_are_counted(void **state)
{
	enum { THREADS = 3 };
	static const uint64_t who[THREADS] = {0, 1, 2};
	const uint64_t before = log_dropped();
	uint64_t next[THREADS] = {0}, taken = 0, lines = 0;
	pthread_t thread[THREADS];

	(void)state;
	start(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, post_many,
						(void *)(uintptr_t)&who[i]),
				 0);
	for (uint64_t total = 0; total < THREADS * POSTS;) {
		taken += log_drain();
		total = taken + log_dropped() - before;
		now_ns += NS_PER_S;
		for (const char *at = written();
		     (at = strstr(at, "iteration took ")) != NULL; at++) {
			uint64_t n, core;

			assert_int_equal(sscanf(at,
						"iteration took %" SCNu64
						" us on core %" SCNu64,
						&n, &core),
					 2);
			assert_true(core < THREADS);
			assert_true(n >= next[core]);
			next[core] = n + 1;
			lines++;
		}
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(taken + log_dropped() - before, THREADS * POSTS);
	assert_int_equal(log_drain(), 0);
	assert_true(lines > 0);
}

static void
an_address_is_two_words(void **state)
{
	(void)state;
	assert_string_equal(log_ip(0, 0), "0:0:0:0:0:0:0:0");
	assert_string_equal(log_ip(0, 0xffff0a000001u), "10.0.0.1");
	assert_string_equal(log_ip(0x20010db800000000u, 0x12),
			    "2001:db8:0:0:0:0:0:12");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_text_line_has_time_level_and_text),
		cmocka_unit_test(
			what_is_told_later_has_the_time_when_it_happened),
		cmocka_unit_test(a_json_line_is_one_object),
		cmocka_unit_test(text_from_outside_cannot_forge_a_line),
		cmocka_unit_test(utf8_passes_and_other_bytes_are_escaped),
		cmocka_unit_test(lines_above_the_level_are_left_out),
		cmocka_unit_test(an_overlong_text_is_cut_and_still_one_line),
		cmocka_unit_test(
			a_call_site_writes_its_burst_and_tells_the_rest_later),
		cmocka_unit_test(a_posted_event_becomes_a_line_at_the_drain),
		cmocka_unit_test(a_thread_without_a_ring_writes_at_once),
		cmocka_unit_test(every_event_has_a_line),
		cmocka_unit_test(an_address_is_two_words),
		cmocka_unit_test(a_full_ring_drops_and_counts),
		cmocka_unit_test(
			rings_are_limited_and_reused_after_their_thread),
		cmocka_unit_test(posts_arrive_once_and_in_order_or_are_counted),
	};

	return cmocka_run_group_tests(tests, open_pipe, close_pipe);
}
