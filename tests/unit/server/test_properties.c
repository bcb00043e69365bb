/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    a properties file means here what it means to Java.
 * Method  golden answers of java.util.Properties for random bytes, the rules
 *         of the format one by one, line numbers (which Java has not), and
 *         random bytes against the sanitizers.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/properties.h"

static struct properties properties;
static struct properties_error error;

/* Parses a text; the result is in `properties` until the next call. */
static int
parse_bytes(const char *text, size_t bytes)
{
	properties_free(&properties);
	return properties_parse(text, bytes, &properties, &error);
}

static void
expect(const char *text, const char *key, const char *value, uint32_t line)
{
	assert_int_equal(parse_bytes(text, strlen(text)), FAL_OK);
	assert_int_equal(properties.count, 1);
	assert_string_equal(properties.property[0].key, key);
	assert_string_equal(properties.property[0].value, value);
	assert_int_equal(properties.property[0].line, line);
}

static size_t
from_hex(const char *hex, char *bytes)
{
	size_t count = 0;
	unsigned byte;

	if (hex[0] == '-')
		return 0;
	for (; *hex > ' ' && sscanf(hex, "%2x", &byte) == 1; hex += 2)
		bytes[count++] = (char)byte;
	return count;
}

static void
agrees_with_java(void **state)
{
	FILE *file = fopen(GOLDEN_DIR "/config/properties.txt", "r");
	static char line[4096], bytes[2048], key[2048], value[2048];
	uint32_t cases = 0, seen = 0;
	int err = FAL_OK;

	(void)state;
	assert_non_null(file);
	parse_bytes("", 0);
	while (fgets(line, sizeof(line), file) != NULL) {
		if (line[0] == '<') {
			/* Nothing more than Java had in the case before. */
			assert_int_equal(seen, properties.count);
			err = parse_bytes(bytes, from_hex(line + 2, bytes));
			seen = 0;
			cases++;
		} else if (line[0] == '!') {
			assert_int_equal(err, FAL_EINVAL);
			assert_true(error.line > 0);
		} else if (line[0] == '>') {
			const char *second = strchr(line + 2, ' ') + 1;

			assert_int_equal(err, FAL_OK);
			assert_true(seen < properties.count);
			key[from_hex(line + 2, key)] = '\0';
			value[from_hex(second, value)] = '\0';
			assert_string_equal(properties.property[seen].key, key);
			assert_string_equal(properties.property[seen].value,
					    value);
			seen++;
		}
	}
	assert_int_equal(seen, properties.count);
	fclose(file);
	assert_true(cases > 100);
}

static void
three_separators_are_one(void **state)
{
	(void)state;
	expect("a=b", "a", "b", 1);
	expect("a:b", "a", "b", 1);
	expect("a b", "a", "b", 1);
	expect("  a \t= \f b c  \n", "a", "b c", 1);
	expect("a==b", "a", "=b", 1);
	expect("a", "a", "", 1);
	expect("a=", "a", "", 1);
}

static void
comments_and_blank_lines_go_by_and_count_as_lines(void **state)
{
	(void)state;
	expect("# x\\\n! y=z\r\n\r\n\n  #k=v\na=b", "a", "b", 6);
	expect("a=b#c", "a", "b#c", 1);
}

static void
backslashes_join_lines_and_escape(void **state)
{
	(void)state;
	expect("\n a=one \\\n   two\\\r\n\tthree", "a", "one twothree", 2);
	expect("a=b\\\\\n", "a", "b\\", 1);
	expect("a\\ b\\=c\\:=d", "a b=c:", "d", 1);
	expect("p=C:\\\\x\\ty\\q", "p", "C:\\x\tyq", 1);
	expect("k=\\u0041\\u00e9\\u20AC\\ud83e\\udd85", "k",
	       "A\xc3\xa9\xe2\x82\xac\xf0\x9f\xa6\x85", 1);
	expect("k=\xe9", "k", "\xc3\xa9", 1);
	expect("k=b\\", "k", "b", 1);
}

static void
every_length_of_utf8_begins_and_ends_where_it_should(void **state)
{
	(void)state;
	expect("k=\\u007F\\u0080\\u07ff\\u0800\\uffFf.", "k",
	       "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf.", 1);
	expect("k=\\ud7ff\\ue000", "k", "\xed\x9f\xbf\xee\x80\x80", 1);
	expect("k=\\ud800\\udc00\\udbff\\udfff", "k",
	       "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 1);
}

static void
a_surrogate_alone_becomes_a_question_mark(void **state)
{
	(void)state;
	expect("k=\\ud800", "k", "?", 1);
	expect("k=\\udbffx", "k", "?x", 1);
	expect("k=\\udc00x", "k", "?x", 1);
	expect("k=\\udfff", "k", "?", 1);
	expect("k=\\ud800\\ud800\\udc00", "k", "?\xf0\x90\x80\x80", 1);
	expect("k=\\ud800\\ue000", "k", "?\xee\x80\x80", 1);
	expect("\\ud800=\\udc00", "?", "?", 1);
}

static void
the_last_of_equal_keys_is_found(void **state)
{
	static const char text[] = "a=1\nb=2\na=3\n";

	(void)state;
	assert_int_equal(parse_bytes(text, strlen(text)), FAL_OK);
	assert_int_equal(properties.count, 3);
	assert_string_equal(properties_find(&properties, "a")->value, "3");
	assert_null(properties_find(&properties, "c"));
}

static void
broken_text_is_refused_with_its_line(void **state)
{
	(void)state;
	assert_int_equal(parse_bytes("a=1\nb=\\u12x4", 12), FAL_EINVAL);
	assert_int_equal(error.line, 2);
	assert_int_equal(parse_bytes("a=\\u004", 7), FAL_EINVAL);
	assert_int_equal(parse_bytes("a=1\n\nb\0=2", 9), FAL_EINVAL);
	assert_int_equal(error.line, 3);
	assert_int_equal(parse_bytes("a=\\u0000", 8), FAL_EINVAL);
	assert_int_equal(properties.count, 0);
}

static void
a_file_that_cannot_be_had_is_told_apart(void **state)
{
	(void)state;
	properties_free(&properties);
	assert_int_equal(properties_load(GOLDEN_DIR "/config/absent",
					 &properties, &error),
			 FAL_ENOENT);
	assert_string_equal(error.what, "cannot be opened");
	assert_int_equal(
		properties_load(GOLDEN_DIR "/config", &properties, &error),
		FAL_EIO);
	assert_string_equal(error.what, "cannot be read");
}

static void
an_overlong_file_is_refused(void **state)
{
	const size_t bytes = PROPERTIES_BYTES_MAX + 1;
	char *text = malloc(bytes);

	(void)state;
	assert_non_null(text);
	memset(text, '\n', bytes);
	assert_int_equal(parse_bytes(text, bytes), FAL_ELIMIT);
	assert_int_equal(parse_bytes(text, bytes - 1), FAL_OK);
	assert_int_equal(properties.count, 0);
	free(text);
}

static void
an_overlong_file_is_not_cut_but_refused(void **state)
{
	char path[] = P_tmpdir "/falconer-properties-XXXXXX";
	const int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	properties_free(&properties);
	assert_int_equal(ftruncate(fd, PROPERTIES_BYTES_MAX + 1), 0);
	assert_int_equal(properties_load(path, &properties, &error),
			 FAL_ELIMIT);
	assert_string_equal(error.what, "longer than 1 MiB");
	/* One byte less is looked at, and its NULs are refused. */
	assert_int_equal(ftruncate(fd, PROPERTIES_BYTES_MAX), 0);
	assert_int_equal(properties_load(path, &properties, &error),
			 FAL_EINVAL);
	close(fd);
	unlink(path);
}

static void
random_bytes_do_no_harm(void **state)
{
	static const char alphabet[] = "ab=: \t\n\r\\\\\\u00d8e#!\xe9\f";
	const char *given = getenv("FAL_SEED");
	const unsigned seed =
		given != NULL ? (unsigned)strtoul(given, NULL, 0) : 4711;

	(void)state;
	printf("seed: FAL_SEED=%u\n", seed);
	srandom(seed);
	for (uint32_t round = 0; round < 20000; round++) {
		const size_t bytes = (size_t)(random() % 40);
		/* On the heap, so that a byte too far is seen. */
		char *text = malloc(bytes + (bytes == 0));

		assert_non_null(text);
		for (size_t i = 0; i < bytes; i++)
			text[i] = alphabet[(size_t)random() %
					   (sizeof(alphabet) - 1)];
		const int err = parse_bytes(text, bytes);

		free(text);
		assert_true(err == FAL_OK || err == FAL_EINVAL);
		for (uint32_t i = 0; i < properties.count; i++)
			assert_true(
				strlen(properties.property[i].key) +
					strlen(properties.property[i].value) <=
				2 * bytes);
	}
}

static int
release(void **state)
{
	(void)state;
	properties_free(&properties);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_java),
		cmocka_unit_test(three_separators_are_one),
		cmocka_unit_test(
			comments_and_blank_lines_go_by_and_count_as_lines),
		cmocka_unit_test(backslashes_join_lines_and_escape),
		cmocka_unit_test(
			every_length_of_utf8_begins_and_ends_where_it_should),
		cmocka_unit_test(a_surrogate_alone_becomes_a_question_mark),
		cmocka_unit_test(the_last_of_equal_keys_is_found),
		cmocka_unit_test(broken_text_is_refused_with_its_line),
		cmocka_unit_test(a_file_that_cannot_be_had_is_told_apart),
		cmocka_unit_test(an_overlong_file_is_refused),
		cmocka_unit_test(an_overlong_file_is_not_cut_but_refused),
		cmocka_unit_test(random_bytes_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, release);
}
