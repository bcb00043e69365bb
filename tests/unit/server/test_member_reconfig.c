/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: texts of configurations that come from anywhere change where others
 * are dialed only if they are no older than the active one; a change is
 * understood as ZooKeeper understands it; who asks is told what is active.
 *
 * Method: the hooks of the driver, with texts as notifications carry them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/member.h"

static struct config config;
static struct server falconer = {.config = &config};
static struct member member;

static void
begin(void)
{
	memset(&config, 0, sizeof(config));
	config.myid = 1;
	memset(&member, 0, sizeof(member));
	pthread_mutex_init(&member.shown_lock, NULL);
	member.server = &falconer;
	falconer.peer = &member;
}

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
	begin();
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
	begin();
	assert_true(parse(2, 0x100));
	member.active.version = 0x100;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		(void)member_parse_config(
			&member, jute_slice_of(texts[i], strlen(texts[i])),
			&quorum);
	expect_second("10.0.0.2");
}

static void
several_addresses_are_understood_where_they_are_enabled(void **state)
{
	static const char text[] =
		"server.1=10.0.0.1:1:2|10.0.1.1:1:2:participant;0.0.0.0:2181\n"
		"server.2=10.0.0.2:1:2|10.0.1.2:1:2:participant;0.0.0.0:2181\n"
		"version=100";
	const struct jute_slice slice = jute_slice_of(text, sizeof(text) - 1);
	struct quorum quorum;

	(void)state;
	begin();
	assert_false(member_parse_config(&member, slice, &quorum));
	config.multi_address_enabled = true;
	assert_true(member_parse_config(&member, slice, &quorum));
	assert_int_equal(member_find(&member, 2)->address_count, 2);
}

static const char two[] = "server.1=10.0.0.1:1:2:participant;0.0.0.0:2181\n"
			  "server.2=10.0.0.2:1:2:participant;0.0.0.0:2181\n"
			  "version=100";

static struct jute_slice
slice_of(const char *text)
{
	return text == NULL ? (struct jute_slice){.bytes = -1}
			    : jute_slice_of(text, strlen(text));
}

/* Asks for a change of the two; text: out, what would be active. */
static int32_t
change(const char *joining, const char *leaving, char *text)
{
	uint8_t body[1024];
	struct jute_writer writer = jute_writer_of(body, sizeof(body));

	proto_put_reconfig(&writer, &(struct proto_reconfig_request){
					    .joining = slice_of(joining),
					    .leaving = slice_of(leaving),
					    .new_members = slice_of(NULL),
					    .cur_config_id = -1});
	return member_compose_config(&member, slice_of(two), body,
				     (uint32_t)jute_written(&writer), 0x200,
				     text);
}

/* Each on its own machine. */
static void
all_clients_may_come_to_one_port_of_any_address(void **state)
{
	static char text[ENSEMBLE_CONFIG_BYTES_MAX];

	(void)state;
	begin();
	config.standalone_enabled = true;
	assert_int_equal(change("server.3=10.0.0.3:1:2;2181", NULL, text),
			 ZK_OK);
	assert_non_null(strstr(text, "server.3=10.0.0.3:1:2:participant;"
				     "0.0.0.0:2181\n"));
	assert_int_equal(change("server.3=10.0.0.3:1:2;[::]:2181,"
				"server.4=10.0.0.4:1:2;[::]:2181",
				NULL, text),
			 ZK_OK);
	assert_int_equal(change("server.3=10.0.0.2:1:5;2181", NULL, text),
			 ZK_BADARGUMENTS);
	assert_int_equal(change("server.3=10.0.0.2:5:2;2181", NULL, text),
			 ZK_BADARGUMENTS);
	assert_int_equal(change("server.3=10.0.0.3:1:2;10.0.0.9:2181,"
				"server.4=10.0.0.4:1:2;10.0.0.9:2181",
				NULL, text),
			 ZK_BADARGUMENTS);
}

static void
elements_of_a_change_may_have_blanks_around_them(void **state)
{
	static char text[ENSEMBLE_CONFIG_BYTES_MAX];
	static const char three[] =
		"server.1=10.0.0.1:1:2:participant;0.0.0.0:2181\n"
		"server.3=10.0.0.3:1:2:participant;0.0.0.0:2181\n"
		"server.4=10.0.0.4:1:2:observer;0.0.0.0:2181\n"
		"version=200";

	(void)state;
	begin();
	config.standalone_enabled = true;
	assert_int_equal(change("server.3=10.0.0.3:1:2;2181, server.4 = "
				"10.0.0.4:1:2:observer;2181 ,",
				" 2 ,", text),
			 ZK_OK);
	assert_string_equal(text, three);
}

static void
who_leaves_is_named_by_an_id(void **state)
{
	static char text[ENSEMBLE_CONFIG_BYTES_MAX];
	static const char *const wrong[] = {"two", "2x", "server.2", "2;3",
					    "99999999999999999999999999"};

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(change(NULL, wrong[i], text), ZK_BADARGUMENTS);
	assert_int_equal(change(NULL, "2", text), ZK_OK);
	assert_int_equal(change(NULL, "7", text), ZK_OK);
}

/* conf, voting_view and the like. */
static void
who_asks_is_told_the_active_members(void **state)
{
	struct config_server own = {.id = 1, .address_count = 1};
	const struct config *view;

	(void)state;
	begin();
	config.server = &own;
	config.server_count = 1;
	config.tick_ms = 77;
	assert_ptr_equal(member_view(&falconer), &config);
	member_on_config(&member, &member.active, two, sizeof(two) - 1);
	view = member_view(&falconer);
	assert_int_equal(view->server_count, 2);
	assert_string_equal(view->server[1].quorum[0].host, "10.0.0.2");
	assert_int_equal(view->config_version, 0x100);
	assert_int_equal(view->tick_ms, 77);
	assert_ptr_equal(member_view(&falconer), view);
	free(member.view.server);
	falconer.peer = NULL;
	assert_ptr_equal(member_view(&falconer), &config);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_older_text_says_nothing_about_addresses),
		cmocka_unit_test(what_is_no_text_changes_nothing),
		cmocka_unit_test(
			several_addresses_are_understood_where_they_are_enabled),
		cmocka_unit_test(
			all_clients_may_come_to_one_port_of_any_address),
		cmocka_unit_test(
			elements_of_a_change_may_have_blanks_around_them),
		cmocka_unit_test(who_leaves_is_named_by_an_id),
		cmocka_unit_test(who_asks_is_told_the_active_members),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
