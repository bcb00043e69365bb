/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    lists of addresses in settings are read as they are meant, or
 *         refused.
 * Method  tables of good and bad texts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/net_address.h"

static void
reads_one_of_each_family(void **state)
{
	struct net_addresses list;
	const struct stream_address ipv4 = stream_address_ipv4(0x0a000005, 0);

	(void)state;
	assert_int_equal(
		net_addresses_parse("10.0.0.5/24, fd00::5/64", true, &list), 0);
	assert_memory_equal(&list.ipv4.address, &ipv4, sizeof(ipv4));
	assert_int_equal(list.ipv4.prefix_bits, 24);
	assert_int_equal(list.ipv6.address.family, STREAM_IPV6);
	assert_int_equal(list.ipv6.address.ip[15], 5);
	assert_int_equal(list.ipv6.prefix_bits, 64);
	assert_int_equal(net_addresses_parse("fd00::1", false, &list), 0);
	assert_int_equal(list.ipv4.address.family, STREAM_ANY);
	assert_int_equal(list.ipv6.prefix_bits, 128);
	/* Two in a network, one, and one that ends as a larger network does. */
	assert_int_equal(net_addresses_parse("10.0.0.0/31", true, &list), 0);
	assert_int_equal(net_addresses_parse("10.0.0.0/32", true, &list), 0);
	assert_int_equal(net_addresses_parse("10.0.1.0/23", true, &list), 0);
	assert_int_equal(net_addresses_parse("10.0.0.1/30", true, &list), 0);
	assert_int_equal(net_addresses_parse("fe80::1/64", true, &list), 0);
	assert_int_equal(net_addresses_parse(NULL, true, &list), 0);
	assert_int_equal(list.ipv4.address.family, STREAM_ANY);
	assert_int_equal(list.ipv6.address.family, STREAM_ANY);
}

static void
refuses_everything_else(void **state)
{
	static const char *const with_bits[] = {
		"",
		"10.0.0.5",
		"10.0.0.5/",
		"10.0.0.5/33",
		"10.0.0.5/0",
		"10.0.0.5/2x",
		"10.0.0.5/24,",
		"host/24",
		"/24",
		"fd00::5/129",
		"10.0.0.5/24 x",
		",",
		"10.0.0.5/-1",
		"10.0.0.5/24;x",
		"10.0.0.5/24 fd00::1/64",
		"1.2.3.4/8,1.2.3.5/8",
		/* Nobody's. */
		"0.0.0.0/24",
		"0.1.2.3/8",
		"127.0.0.1/8",
		"224.0.0.5/4",
		"255.255.255.255/32",
		"10.0.0.0/24",
		"10.0.0.255/24",
		"10.255.255.255/8",
		"::/64",
		"::1/128",
		"ff02::1/16",
	};
	struct net_addresses list;

	(void)state;
	for (size_t i = 0; i < sizeof(with_bits) / sizeof(with_bits[0]); i++)
		assert_int_equal(net_addresses_parse(with_bits[i], true, &list),
				 FAL_EINVAL);
	assert_int_equal(net_addresses_parse("10.0.0.1/24", false, &list),
			 FAL_EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_one_of_each_family),
		cmocka_unit_test(refuses_everything_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
