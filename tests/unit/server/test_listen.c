/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    a name stands for an address as in ZooKeeper; who cannot have a port
 *         is told what helps.
 * Method  names that every machine has: localhost, and one that RFC 2606 keeps
 *         from existing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "server/listen.h"

static void
numbers_and_nothing_need_no_resolver(void **state)
{
	struct stream_address address;
	char why[64];

	(void)state;
	assert_int_equal(
		listen_address("10.0.0.1", 2181, &address, why, sizeof(why)),
		FAL_OK);
	assert_int_equal(address.family, STREAM_IPV4);
	assert_int_equal(address.ip[0], 10);
	assert_int_equal(address.port, 2181);
	assert_int_equal(listen_address("", 2182, &address, why, sizeof(why)),
			 FAL_OK);
	assert_int_equal(address.family, STREAM_ANY);
	assert_int_equal(address.port, 2182);
	assert_int_equal(
		listen_address("0.0.0.0", 2183, &address, why, sizeof(why)),
		FAL_OK);
	assert_int_equal(address.family, STREAM_ANY);
	assert_int_equal(address.port, 2183);
	assert_int_equal(listen_address("::", 2184, &address, why, sizeof(why)),
			 FAL_OK);
	assert_int_equal(address.family, STREAM_ANY);
	assert_int_equal(address.port, 2184);
}

static void
a_name_is_looked_up_and_ipv4_comes_first(void **state)
{
	struct stream_address address;
	char why[64];

	(void)state;
	assert_int_equal(
		listen_address("localhost", 2181, &address, why, sizeof(why)),
		FAL_OK);
	assert_int_equal(address.family, STREAM_IPV4);
	assert_int_equal(address.ip[0], 127);
	assert_int_equal(address.port, 2181);
}

static void
a_name_that_nobody_has_is_told(void **state)
{
	struct stream_address address;
	char why[64] = "";

	(void)state;
	assert_true(listen_address("nobody.invalid", 2181, &address, why,
				   sizeof(why)) < 0);
	assert_true(strlen(why) > 0);
}

static void
each_reason_has_its_remedy(void **state)
{
	(void)state;
	assert_non_null(
		strstr(listen_remedy(FAL_EBUSY, false), "other program"));
	assert_non_null(strstr(listen_remedy(FAL_EACCESS, false), "1024"));
	assert_non_null(
		strstr(listen_remedy(FAL_EINVAL, false), "this machine's"));
	assert_non_null(strstr(listen_remedy(FAL_EINVAL, true),
			       "falconer.dpdk.address"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_and_nothing_need_no_resolver),
		cmocka_unit_test(a_name_is_looked_up_and_ipv4_comes_first),
		cmocka_unit_test(a_name_that_nobody_has_is_told),
		cmocka_unit_test(each_reason_has_its_remedy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
