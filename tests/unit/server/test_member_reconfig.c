/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: texts of configurations that come from anywhere change where others
 * are dialed only if they are no older than the active one.
 *
 * Method: the hook of the driver, with texts as notifications carry them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/member.h"

static struct member member;

/* Three servers of which the second is at 10.0.0.`second`. */
static bool
parse(uint32_t second, uint32_t version)
{
	struct quorum quorum;
	char text[512];

	snprintf(text, sizeof(text),
		 "server.1=10.0.0.1:2888:3888:participant;0.0.0.0:2181\n"
		 "server.2=10.0.0.%u:2888:3888:participant;0.0.0.0:2181\n"
		 "server.3=10.0.0.3:2888:3888:participant;0.0.0.0:2181\n"
		 "version=%x",
		 second, version);
	if (!member_parse_config(&member, jute_slice_of(text, strlen(text)),
				 &quorum))
		return false;
	assert_int_equal(quorum.version, version);
	assert_int_equal(quorum.member_count, 3);
	return true;
}

static void
expect_second(const char *host)
{
	const struct config_server *server = member_find(&member, 2);

	assert_non_null(server);
	assert_string_equal(server->quorum[0].host, host);
	assert_string_equal(server->election[0].host, host);
}

static void
an_older_text_says_nothing_about_addresses(void **state)
{
	(void)state;
	memset(&member, 0, sizeof(member));
	assert_true(parse(2, 0x100));
	expect_second("10.0.0.2");
	/* It moves; a server that slept through that tells the old place. */
	member.active.version = 0x200;
	assert_true(parse(20, 0x200));
	expect_second("10.0.0.20");
	assert_true(parse(2, 0x100));
	expect_second("10.0.0.20");
	/* What is only proposed is needed before it counts, and the active
	 * one takes its place again. */
	assert_true(parse(30, 0x300));
	expect_second("10.0.0.30");
	assert_true(parse(20, 0x200));
	expect_second("10.0.0.20");
}

static void
what_is_no_text_changes_nothing(void **state)
{
	struct quorum quorum;
	const char *const texts[] = {"", "server.2=", "server.2=1.2.3.4:1:2",
				     "version=ffffffff", "server.2=a\0b"};

	(void)state;
	memset(&member, 0, sizeof(member));
	assert_true(parse(2, 0x100));
	member.active.version = 0x100;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		(void)member_parse_config(
			&member, jute_slice_of(texts[i], strlen(texts[i])),
			&quorum);
	expect_second("10.0.0.2");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_older_text_says_nothing_about_addresses),
		cmocka_unit_test(what_is_no_text_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
