/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: initial messages and notifications of all versions are understood,
 * broken ones refused. (Captured ones are in test_quorum.c.)
 * Method: tables of address texts; the old notification forms byte by byte;
 * every length of a notification; a model that splits addresses with strchr
 * beside random texts of the characters that matter.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/fle_msg.h"

#include "random.h"

#define TEXT_BYTES 256

/* The message ends where its memory ends; it is freed before the next. */
static int
hello_of_text(int64_t version, const char *text, struct fle_hello *hello)
{
	static uint8_t *bytes;
	const size_t room = 20 + strlen(text);
	struct jute_writer writer;
	size_t hello_bytes;

	free(bytes);
	bytes = malloc(room);
	assert_non_null(bytes);
	writer = jute_writer_of(bytes, room);
	jute_put_long(&writer, version);
	jute_put_long(&writer, 7);
	jute_put_cstr(&writer, text);
	assert_false(writer.is_full);
	return fle_hello_get(bytes, room, hello, &hello_bytes);
}

static void
addresses_are_host_and_port_with_brackets_for_ipv6(void **state)
{
	static const struct {
		const char *text, *host;
		int port;
	} good[] = {
		{"127.0.0.1:12232", "127.0.0.1", 12232},
		{"zoo-1.example.org:3888", "zoo-1.example.org", 3888},
		{"h:1", "h", 1},
		{"h:2098", "h", 2098},
		{"h:65535", "h", 65535},
		{"h:00001", "h", 1},
		{"[::1]:3888", "::1", 3888},
		{"[fe80::1%eth0]:3888", "fe80::1%eth0", 3888},
	};
	static const char *const bad[] = {
		"h",         "h:",        ":1",       "h:0",    "h:65536",
		"h:000001",  "h:-1",      "h:+1",     "h: 1",   "h:1 ",
		"h:1x",      "::1:3888",  "[::1]",    "[::1]:", "[]:1",
		"[::1:3888", "[::1]3888", "[::1]x:1", "h:1|",   "|h:1",
		"[a|b]:1",   "h:1||h:2",  "|",        "h:1:2",  "h:999999",
		"h:\xb2",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct fle_hello hello;
		struct fle_address address;

		assert_int_equal(
			hello_of_text(FLE_PROTOCOL_V1, good[i].text, &hello),
			1);
		assert_int_equal(hello.sid, 7);
		assert_int_equal(fle_address_next(&hello.addresses, &address),
				 1);
		assert_true(jute_slice_equal(
			address.host,
			jute_slice_of(good[i].host, strlen(good[i].host))));
		assert_int_equal(address.port, good[i].port);
		assert_int_equal(fle_address_next(&hello.addresses, &address),
				 0);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct fle_hello hello;

		if (hello_of_text(FLE_PROTOCOL_V1, bad[i], &hello) !=
			    FAL_EPROTO ||
		    hello_of_text(FLE_PROTOCOL_V2, bad[i], &hello) !=
			    FAL_EPROTO)
			fail_msg("%s is taken", bad[i]);
	}
}

static void
only_version_2_may_hold_several_addresses(void **state)
{
	static const char text[] = "a:1|[::2]:2|c:3";
	struct fle_hello hello;
	struct fle_address address;

	(void)state;
	assert_int_equal(hello_of_text(FLE_PROTOCOL_V1, text, &hello),
			 FAL_EPROTO);
	assert_int_equal(hello_of_text(FLE_PROTOCOL_V2, text, &hello), 1);
	for (uint16_t port = 1; port <= 3; port++) {
		assert_int_equal(fle_address_next(&hello.addresses, &address),
				 1);
		assert_int_equal(address.port, port);
	}
	assert_int_equal(fle_address_next(&hello.addresses, &address), 0);
	assert_int_equal(hello_of_text(FLE_PROTOCOL_V2, "a:1", &hello), 1);
}

static void
other_versions_and_text_lengths_are_refused(void **state)
{
	static char text[FLE_HELLO_TEXT_BYTES_MAX + 2];
	static uint8_t again[FLE_HELLO_BYTES_MAX];
	struct jute_writer writer = jute_writer_of(again, sizeof(again));
	struct fle_hello hello;
	size_t hello_bytes;
	uint8_t bytes[20] = {0};

	(void)state;
	memset(text, 'h', sizeof(text) - 1);
	memcpy(text + FLE_HELLO_TEXT_BYTES_MAX - 2, ":1", 3);
	assert_int_equal(hello_of_text(FLE_PROTOCOL_V1, text, &hello), 1);
	fle_hello_put(&writer, &hello);
	assert_int_equal(jute_written(&writer), FLE_HELLO_BYTES_MAX);
	assert_int_equal(hello_of_text(-1, "h:1", &hello), FAL_EPROTO);
	assert_int_equal(hello_of_text(-65537, "h:1", &hello), FAL_EPROTO);
	assert_int_equal(hello_of_text(-65534, "h:1", &hello), FAL_EPROTO);
	assert_int_equal(hello_of_text(INT64_MIN, "h:1", &hello), FAL_EPROTO);
	/* length words that are refused before the text is there */
	be_store64(bytes, (uint64_t)FLE_PROTOCOL_V1);
	for (int64_t n = -2; n <= FLE_HELLO_TEXT_BYTES_MAX + 2; n++) {
		const bool is_good = n >= 1 && n <= FLE_HELLO_TEXT_BYTES_MAX;

		be_store32(bytes + 16, (uint32_t)n);
		assert_int_equal(fle_hello_get(bytes, 20, &hello, &hello_bytes),
				 is_good ? 0 : FAL_EPROTO);
		assert_true(!is_good || hello_bytes == 20 + (size_t)n);
	}
}

static void
a_first_long_of_zero_or_more_is_an_old_sid(void **state)
{
	uint8_t bytes[8], again[8];
	struct fle_hello hello;
	size_t hello_bytes;

	(void)state;
	for (uint32_t i = 0; i < 64; i++) {
		const uint64_t sid = (UINT64_MAX >> 1) >> i; /* 0 at last */
		struct jute_writer writer = jute_writer_of(again, 8);

		be_store64(bytes, sid);
		assert_int_equal(fle_hello_get(bytes, 7, &hello, &hello_bytes),
				 0);
		assert_int_equal(hello_bytes, 8);
		assert_int_equal(fle_hello_get(bytes, 8, &hello, &hello_bytes),
				 1);
		assert_int_equal(hello.sid, sid);
		assert_int_equal(hello.protocol_version, 0);
		assert_int_equal(hello.addresses.bytes, 0);
		fle_hello_put(&writer, &hello);
		assert_memory_equal(bytes, again, 8);
	}
}

/* ---- random addresses beside a model ---- */

/* Cuts with the string functions; 1 if the text is one good address. */
static int
model_is_address(const char *text)
{
	const char *host = text;
	const char *end = strchr(text, ':');
	char *rest;
	long port;

	if (text[0] == '[') {
		host++;
		end = strchr(text, ']');
		if (end == NULL || end[1] != ':')
			return 0;
	}
	if (end == NULL || end == host)
		return 0;
	end = strchr(end, ':') + 1;
	if (*end < '0' || *end > '9' || strlen(end) > 5)
		return 0;
	port = strtol(end, &rest, 10);
	return *rest == '\0' && port > 0 && port < 65536;
}

/* How many addresses, or -1. */
static int
model_count(const char *text)
{
	char copy[TEXT_BYTES];
	char *at = copy, *bar;
	int count = 0;

	(void)snprintf(copy, sizeof(copy), "%s", text);
	for (;;) {
		bar = strchr(at, '|');
		if (bar != NULL)
			*bar = '\0';
		if (!model_is_address(at))
			return -1;
		count++;
		if (bar == NULL)
			return count;
		at = bar + 1;
	}
}

static void
random_addresses_are_cut_as_the_model_cuts_them(void **state)
{
	static const char *const pieces[] = {
		"a", ":", "1", "23", "[", "]", "|", "h:1", "[::1]:2", "65536"};
	struct random random = random_start(7);
	uint32_t good = 0;

	(void)state;
	for (int round = 0; round < 200000; round++) {
		char text[TEXT_BYTES] = "";
		const uint32_t n = 1 + random_below(&random, 8);
		struct fle_hello hello;
		int wanted;

		for (uint32_t i = 0; i < n; i++)
			(void)strcat(text, pieces[random_below(&random, 10)]);
		wanted = model_count(text);
		if (hello_of_text(FLE_PROTOCOL_V2, text, &hello) !=
			    (wanted > 0 ? 1 : FAL_EPROTO) ||
		    hello_of_text(FLE_PROTOCOL_V1, text, &hello) !=
			    (wanted == 1 ? 1 : FAL_EPROTO))
			fail_msg("%s: the model has %d", text, wanted);
		good += wanted > 0;
	}
	assert_true(good > 1000);
}

/* ---- notifications ---- */

static size_t
notification_bytes(uint8_t *bytes, size_t room, const char *config)
{
	struct jute_writer writer = jute_writer_of(bytes, room);

	fle_notification_put(&writer, &(struct fle_notification){
					      .state = FLE_LEADING,
					      .leader = 3,
					      .zxid = 0x500000007,
					      .round = 2,
					      .peer_epoch = 6,
					      .config = jute_slice_of(
						      config, strlen(config)),
				      });
	assert_false(writer.is_full);
	return jute_written(&writer);
}

static void
every_length_of_a_notification_is_judged_by_its_form(void **state)
{
	uint8_t whole[128];
	const size_t bytes = notification_bytes(whole, 128, "version=0");

	(void)state;
	assert_int_equal(bytes, FLE_NOTIFICATION_BYTES_FIXED + 9);
	for (size_t n = 0; n <= bytes; n++) {
		uint8_t *copy = malloc(n == 0 ? 1 : n);
		struct fle_notification decoded;
		int err;

		assert_non_null(copy);
		memcpy(copy, whole, n);
		err = fle_notification_get(copy, n, &decoded);
		free(copy);
		if (n != 28 && n != 40 && n != bytes) {
			assert_int_equal(err, FAL_EPROTO);
			continue;
		}
		assert_int_equal(err, FAL_OK);
		assert_int_equal(decoded.state, FLE_LEADING);
		assert_int_equal(decoded.leader, 3);
		assert_int_equal(decoded.zxid, 0x500000007);
		assert_int_equal(decoded.round, 2);
		assert_int_equal(decoded.peer_epoch, n == 28 ? 5 : 6);
		assert_int_equal(decoded.version, n == bytes ? 2 : 0);
		assert_int_equal(decoded.config.bytes, n == bytes ? 9 : -1);
	}
}

static void
a_version_below_2_has_no_config(void **state)
{
	uint8_t bytes[128];
	const size_t n = notification_bytes(bytes, 128, "version=0");
	struct fle_notification decoded;

	(void)state;
	be_store32(bytes + 36, 1);
	assert_int_equal(fle_notification_get(bytes, n, &decoded), FAL_OK);
	assert_int_equal(decoded.version, 1);
	assert_int_equal(decoded.config.bytes, -1);
	be_store32(bytes + 36, 3);
	assert_int_equal(fle_notification_get(bytes, n, &decoded), FAL_OK);
	assert_int_equal(decoded.version, 3);
	assert_int_equal(decoded.config.bytes, 9);
}

static void
bad_states_and_config_lengths_are_refused(void **state)
{
	static const int32_t lengths[] = {-1, -2, 10, INT32_MAX, INT32_MIN};
	static const int32_t states[] = {-1, 4, INT32_MAX, INT32_MIN};
	uint8_t bytes[128];
	const size_t n = notification_bytes(bytes, 128, "version=0");
	struct fle_notification decoded;

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		be_store32(bytes + 40, (uint32_t)lengths[i]);
		assert_int_equal(fle_notification_get(bytes, n, &decoded),
				 FAL_EPROTO);
	}
	be_store32(bytes + 40, 0);
	for (uint32_t i = FLE_LOOKING; i <= FLE_OBSERVING; i++) {
		be_store32(bytes, i);
		assert_int_equal(fle_notification_get(bytes, n, &decoded),
				 FAL_OK);
		assert_int_equal(decoded.state, i);
	}
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		be_store32(bytes, (uint32_t)states[i]);
		assert_int_equal(fle_notification_get(bytes, n, &decoded),
				 FAL_EPROTO);
	}
}

static void
the_epoch_of_an_old_form_is_signed(void **state)
{
	uint8_t bytes[128];
	struct fle_notification decoded;

	(void)state;
	(void)notification_bytes(bytes, 128, "");
	be_store64(bytes + 12, UINT64_MAX);
	assert_int_equal(fle_notification_get(bytes, 28, &decoded), FAL_OK);
	assert_int_equal(decoded.peer_epoch, -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			addresses_are_host_and_port_with_brackets_for_ipv6),
		cmocka_unit_test(only_version_2_may_hold_several_addresses),
		cmocka_unit_test(other_versions_and_text_lengths_are_refused),
		cmocka_unit_test(a_first_long_of_zero_or_more_is_an_old_sid),
		cmocka_unit_test(
			random_addresses_are_cut_as_the_model_cuts_them),
		cmocka_unit_test(
			every_length_of_a_notification_is_judged_by_its_form),
		cmocka_unit_test(a_version_below_2_has_no_config),
		cmocka_unit_test(bad_states_and_config_lengths_are_refused),
		cmocka_unit_test(the_epoch_of_an_old_form_is_signed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
