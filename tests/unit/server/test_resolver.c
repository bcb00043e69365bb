/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    asking for a name never waits, gives what is known, and leads to a
 *         fresh answer; a name server that is down takes nothing away.
 * Method  a look-up of the test's that counts, blocks and fails on demand,
 *         beside the real thread (TSan).
 */
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "drivers/resolve.h"
#include "server/resolver.h"

static struct resolver *resolver;
static _Atomic uint32_t look_ups; /* the address of the n-th is 10.0.0.n */
static _Atomic bool fails;
static sem_t gate; /* look-ups of "slow" wait here */

static int
look_up(const char *host, struct stream_address *out, uint32_t max, char *why,
	size_t why_bytes)
{
	const uint32_t n = atomic_fetch_add(&look_ups, 1) + 1;

	assert_int_equal(max, RESOLVER_ADDRESSES_MAX);
	if (strcmp(host, "slow") == 0)
		while (sem_wait(&gate) != 0)
			;
	if (atomic_load(&fails)) {
		snprintf(why, why_bytes, "the test says so");
		return FAL_ENOENT;
	}
	out[0] = stream_address_ipv4(0x0a000000 + n, 0);
	out[1] = stream_address_ipv4(0x0a000100 + n, 0);
	return strcmp(host, "two") == 0 ? 2 : 1;
}

static int
start(void **state)
{
	(void)state;
	atomic_store(&look_ups, 0);
	atomic_store(&fails, false);
	sem_init(&gate, 0, 0);
	return resolver_create(look_up, &resolver);
}

static int
stop(void **state)
{
	(void)state;
	resolver_destroy(resolver);
	return 0;
}

/* The last byte of what is known of a name, 0: nothing. */
static uint32_t
known(const char *host)
{
	struct stream_address out[RESOLVER_ADDRESSES_MAX];
	const uint32_t count =
		resolver_get(resolver, host, strlen(host), 3888, out);

	if (count == 0)
		return 0;
	assert_int_equal(out[0].port, 3888);
	return out[0].ip[3];
}

static void
numbers_need_no_look_up(void **state)
{
	struct stream_address out[RESOLVER_ADDRESSES_MAX];

	(void)state;
	assert_int_equal(resolver_get(resolver, "192.0.2.7", 9, 1, out), 1);
	assert_int_equal(out[0].ip[3], 7);
	assert_int_equal(resolver_get(resolver, "2001:db8::1", 11, 1, out), 1);
	assert_int_equal(out[0].family, STREAM_IPV6);
	assert_int_equal(resolver_get(resolver, "", 0, 1, out), 0);
	assert_int_equal(resolver_get(resolver, "a\0b", 3, 1, out), 0);
	assert_int_equal(atomic_load(&look_ups), 0);
}

static void
each_question_leads_to_a_fresh_answer_for_the_next(void **state)
{
	(void)state;
	assert_int_equal(known("one"), 0);
	resolver_wait(resolver, 10000);
	assert_int_equal(known("one"), 1);
	resolver_wait(resolver, 10000);
	assert_int_equal(known("one"), 2);
}

static void
nobody_waits_for_a_slow_name(void **state)
{
	(void)state;
	assert_int_equal(known("slow"), 0);
	assert_int_equal(known("slow"), 0);
	assert_int_equal(known("slow"), 0);
	resolver_wait(resolver, 1);
	sem_post(&gate);
	resolver_wait(resolver, 10000);
	assert_int_equal(known("slow"), 1);
	/* Asked once while it was under way, and again now. */
	sem_post(&gate);
	resolver_wait(resolver, 10000);
	assert_int_equal(atomic_load(&look_ups), 2);
}

/* The linker puts this before the system's (--wrap). */
static _Atomic int64_t wall_s; /* that the wall clock goes ahead */
int __real_clock_gettime(clockid_t id, struct timespec *now);
int __wrap_clock_gettime(clockid_t id, struct timespec *now);

int
__wrap_clock_gettime(clockid_t id, struct timespec *now)
{
	const int result = __real_clock_gettime(id, now);

	if (id == CLOCK_REALTIME)
		now->tv_sec += atomic_load(&wall_s);
	return result;
}

/* What is computed with a clock that is then set back by a day is waited for
 * for a day: the test would not end. */
static void
a_wall_clock_that_is_set_back_makes_nobody_wait(void **state)
{
	(void)state;
	atomic_store(&wall_s, 86400);
	assert_int_equal(known("slow"), 0);
	resolver_wait(resolver, 1);
	assert_int_equal(known("slow"), 0);
	atomic_store(&wall_s, 0);
	sem_post(&gate);
	resolver_wait(resolver, 10000);
	assert_int_equal(known("slow"), 1);
	sem_post(&gate); /* for the question that this was */
}

static void
what_is_known_outlives_the_name_server(void **state)
{
	(void)state;
	(void)known("one");
	resolver_wait(resolver, 10000);
	assert_int_equal(known("one"), 1);
	resolver_wait(resolver, 10000);
	atomic_store(&fails, true);
	assert_int_equal(known("one"), 2);
	resolver_wait(resolver, 10000);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(known("one"), 2);
		resolver_wait(resolver, 10000);
	}
	assert_int_equal(known("other"), 0);
	resolver_wait(resolver, 10000);
	assert_int_equal(known("other"), 0);
	resolver_wait(resolver, 10000);
	atomic_store(&fails, false);
	(void)known("other");
	resolver_wait(resolver, 10000);
	assert_int_not_equal(known("other"), 0);
}

static void
more_names_than_places_take_turns(void **state)
{
	char name[16];

	(void)state;
	for (uint32_t i = 0; i < 3 * RESOLVER_NAMES_MAX; i++) {
		(void)snprintf(name, sizeof(name), "n%u", i);
		assert_int_equal(known(name), 0);
		resolver_wait(resolver, 10000);
		assert_int_equal(known(name) % 256, (2 * i + 1) % 256);
		resolver_wait(resolver, 10000);
	}
}

static void
texts_and_lists_are_put_together(void **state)
{
	static const struct config_address list[] = {
		{.host = "two", .port = 1},
		{.host = "192.0.2.1", .port = 2},
		{.host = "two", .port = 3}};
	const char *text = "two:5|[2001:db8::1]:6";
	struct stream_address out[PEER_ADDRESSES_MAX];

	(void)state;
	/* The thread may have answered between the first and the third. */
	const uint32_t early = resolver_get_all(resolver, list, 3, out);

	assert_true(early == 1 || early == 3);
	resolver_wait(resolver, 10000);
	assert_int_equal(resolver_get_all(resolver, list, 3, out), 4);
	assert_int_equal(out[1].port, 1);
	assert_int_equal(out[2].port, 2);
	assert_int_equal(out[3].port, 3);
	resolver_wait(resolver, 10000);
	assert_int_equal(resolver_get_text(resolver,
					   jute_slice_of(text, strlen(text)),
					   out),
			 3);
	assert_int_equal(out[0].port, 5);
	assert_int_equal(out[2].port, 6);
	assert_int_equal(out[2].family, STREAM_IPV6);
}

static void
the_systems_resolver_knows_numbers_and_itself(void **state)
{
	struct stream_address out[4];
	char why[128] = "";

	(void)state;
	assert_int_equal(resolve_host("127.0.0.1", out, 4, why, sizeof(why)),
			 1);
	assert_int_equal(out[0].family, STREAM_IPV4);
	assert_int_equal(out[0].ip[0], 127);
	assert_true(resolve_host("localhost", out, 4, why, sizeof(why)) >= 1);
	assert_true(resolve_host("no.such.name.invalid", out, 4, why,
				 sizeof(why)) < 0);
	assert_string_not_equal(why, "");
}

int
main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		CASE(numbers_need_no_look_up),
		CASE(each_question_leads_to_a_fresh_answer_for_the_next),
		CASE(nobody_waits_for_a_slow_name),
		CASE(a_wall_clock_that_is_set_back_makes_nobody_wait),
		CASE(what_is_known_outlives_the_name_server),
		CASE(more_names_than_places_take_turns),
		CASE(texts_and_lists_are_put_together),
		cmocka_unit_test(the_systems_resolver_knows_numbers_and_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
