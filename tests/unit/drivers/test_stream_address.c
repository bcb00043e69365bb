/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    addresses read and print as Java's do (ACL ids and monitoring output
 *         compare them as text), and one host is one value.
 * Method  a table of texts, then random addresses through inet_ntop(), which
 *         writes the short form, and back.
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/stream_address.h"

static void
prints_hosts_as_java_does(void **state)
{
	static const struct {
		const char *in, *host, *text;
	} rows[] = {
		{"127.0.0.1", "127.0.0.1", "127.0.0.1:2181"},
		{"255.255.255.255", "255.255.255.255", "255.255.255.255:2181"},
		{"0.0.0.0", "0.0.0.0", "0.0.0.0:2181"},
		{"::1", "0:0:0:0:0:0:0:1", "[0:0:0:0:0:0:0:1]:2181"},
		{"[::1]", "0:0:0:0:0:0:0:1", "[0:0:0:0:0:0:0:1]:2181"},
		{"::", "0:0:0:0:0:0:0:0", "[0:0:0:0:0:0:0:0]:2181"},
		{"2001:DB8:0000:0010::00ff", "2001:db8:0:10:0:0:0:ff",
		 "[2001:db8:0:10:0:0:0:ff]:2181"},
		{"fe80::1%7", "fe80:0:0:0:0:0:0:1%7",
		 "[fe80:0:0:0:0:0:0:1%7]:2181"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295",
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295",
		 "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:2181"},
		{"::ffff:10.1.2.3", "10.1.2.3", "10.1.2.3:2181"},
		{"::ffff:0:0", "0.0.0.0", "0.0.0.0:2181"},
		/* Neighbours of the mapped range are IPv6. */
		{"::fffe:a01:203", "0:0:0:0:0:fffe:a01:203",
		 "[0:0:0:0:0:fffe:a01:203]:2181"},
		{"::10.1.2.3", "0:0:0:0:0:0:a01:203",
		 "[0:0:0:0:0:0:a01:203]:2181"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[STREAM_ADDRESS_TEXT_MAX];
		struct stream_address address;

		assert_int_equal(
			stream_address_parse(rows[i].in, 2181, &address), 0);
		assert_int_equal(stream_address_host(&address, text),
				 strlen(rows[i].host));
		assert_string_equal(text, rows[i].host);
		assert_int_equal(stream_address_text(&address, text),
				 strlen(rows[i].text));
		assert_string_equal(text, rows[i].text);
	}
}

static void
reads_the_longest_text_into_the_promised_room(void **state)
{
	char text[STREAM_ADDRESS_TEXT_MAX];
	struct stream_address address;
	uint8_t ip[16];

	(void)state;
	memset(ip, 0xff, sizeof(ip));
	address = stream_address_ipv6(ip, UINT32_MAX, 65535);
	assert_true(stream_address_host(&address, text) < STREAM_HOST_TEXT_MAX);
	assert_true(stream_address_text(&address, text) <
		    STREAM_ADDRESS_TEXT_MAX);
	assert_string_equal(
		text,
		"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535");
}

static void
refuses_what_is_no_numeric_host(void **state)
{
	static const char *const texts[] = {
		"localhost",
		"1.2.3",
		"1.2.3.4.5",
		"1.2.3.256",
		" 1.2.3.4",
		"1.2.3.4 ",
		"1.2.3.4%1",
		"[1.2.3.4]",
		"[::1",
		"::1]",
		"[]",
		":::",
		"1::2::3",
		"12345::",
		"::1%",
		"::1%0",
		"::1%-1",
		"::1%4294967296",
		"::1%99999999999999999999",
		"::1%2x",
		"::1%no-such-interface",
		"%1",
		("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:"
		 "ffff:ffff:ffff:ffff"),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const struct stream_address before =
			stream_address_ipv4(0x01020304, 5);
		struct stream_address address = before;

		if (stream_address_parse(texts[i], 1, &address) != FAL_EINVAL)
			fail_msg("accepted: %s", texts[i]);
		assert_memory_equal(&address, &before, sizeof(before));
	}
}

static void
takes_scopes_by_name(void **state)
{
	struct stream_address address;

	(void)state;
	assert_int_equal(stream_address_parse("fe80::1%lo", 1, &address), 0);
	assert_int_equal(address.scope, if_nametoindex("lo"));
}

static void
knows_the_same_host_whatever_the_port(void **state)
{
	struct stream_address a, b;

	(void)state;
	assert_int_equal(stream_address_parse("10.0.0.1", 1, &a), 0);
	assert_int_equal(stream_address_parse("::ffff:10.0.0.1", 2, &b), 0);
	assert_true(stream_address_same_host(&a, &b));
	b.port = a.port;
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_equal(stream_address_parse("10.0.0.2", 1, &b), 0);
	assert_false(stream_address_same_host(&a, &b));
	assert_int_equal(stream_address_parse("fe80::1%1", 1, &a), 0);
	assert_int_equal(stream_address_parse("fe80::1%2", 1, &b), 0);
	assert_false(stream_address_same_host(&a, &b));
	assert_int_equal(stream_address_parse("", 1, &a), 0);
	assert_int_equal(a.family, STREAM_ANY);
	assert_int_equal(stream_address_parse("::", 1, &b), 0);
	assert_false(stream_address_same_host(&a, &b));
}

static void
agrees_with_the_system_on_random_addresses(void **state)
{
	unsigned seed = 1;

	(void)state;
	for (uint32_t round = 0; round < 20000; round++) {
		char system[INET6_ADDRSTRLEN], host[STREAM_HOST_TEXT_MAX];
		struct stream_address address, again;
		uint8_t ip[16];

		for (size_t i = 0; i < sizeof(ip); i++)
			ip[i] = rand_r(&seed) % 3 == 0 ? (uint8_t)rand_r(&seed)
						       : 0;
		ip[0] |= 1; /* not mapped */
		assert_non_null(
			inet_ntop(AF_INET6, ip, system, sizeof(system)));
		assert_int_equal(stream_address_parse(system, 9, &address), 0);
		assert_memory_equal(address.ip, ip, sizeof(ip));
		stream_address_host(&address, host);
		assert_null(strstr(host, "::"));
		assert_int_equal(stream_address_parse(host, 9, &again), 0);
		assert_memory_equal(&address, &again, sizeof(again));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints_hosts_as_java_does),
		cmocka_unit_test(reads_the_longest_text_into_the_promised_room),
		cmocka_unit_test(refuses_what_is_no_numeric_host),
		cmocka_unit_test(takes_scopes_by_name),
		cmocka_unit_test(knows_the_same_host_whatever_the_port),
		cmocka_unit_test(agrees_with_the_system_on_random_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
