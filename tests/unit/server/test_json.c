/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    JSON is laid out as ZooKeeper's admin server does it, and no text
 *         breaks out of its quotes.
 * Method  whole documents by hand, every byte value as text, broken UTF-8.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/json.h"

static char *text;
static size_t bytes;
static struct json json;

static void
begin(void)
{
	FILE *out = open_memstream(&text, &bytes);

	assert_non_null(out);
	json = json_to(out);
}

static void
expect(const char *want)
{
	assert_int_equal(json.depth, 0);
	fclose(json.out);
	assert_string_equal(text, want);
	free(text);
}

static void
objects_and_arrays_are_laid_out_like_jacksons(void **state)
{
	(void)state;
	begin();
	json_object_begin(&json, NULL);
	json_array_begin(&json, "none");
	json_array_end(&json);
	json_object_begin(&json, "empty");
	json_object_end(&json);
	json_array_begin(&json, "list");
	json_int(&json, NULL, -1);
	json_uint(&json, NULL, UINT64_MAX);
	json_array_end(&json);
	json_array_begin(&json, "objects");
	for (int i = 0; i < 2; i++) {
		json_object_begin(&json, NULL);
		json_bool(&json, "flag", i == 0);
		json_object_end(&json);
	}
	json_array_end(&json);
	json_null(&json, "error");
	json_object_end(&json);
	expect("{\n"
	       "  \"none\" : [ ],\n"
	       "  \"empty\" : { },\n"
	       "  \"list\" : [ -1, 18446744073709551615 ],\n"
	       "  \"objects\" : [ {\n"
	       "    \"flag\" : true\n"
	       "  }, {\n"
	       "    \"flag\" : false\n"
	       "  } ],\n"
	       "  \"error\" : null\n"
	       "}");
}

static void
texts_are_quoted(void **state)
{
	(void)state;
	begin();
	json_text(&json, NULL, "a\"b\\c\n\t\x01\x7f \xc3\xa4 \xe2\x82\xac");
	expect("\"a\\\"b\\\\c\\n\\t\\u0001\\u007F \xc3\xa4 \xe2\x82\xac\"");
	/* Not UTF-8: a lone byte, a cut sequence, a surrogate, too long. */
	begin();
	json_bytes(&json, NULL, "\xff.\xc3.\xed\xa0\x80.\xc0\xaf.\xe2\x82", 13);
	expect("\"\\uFFFD.\\uFFFD.\\uFFFD\\uFFFD\\uFFFD.\\uFFFD\\uFFFD."
	       "\\uFFFD\\uFFFD\"");
}

static void
no_byte_ends_a_text(void **state)
{
	(void)state;
	for (int byte = 0; byte < 256; byte++) {
		const char one = (char)byte;

		begin();
		json_bytes(&json, NULL, &one, 1);
		fclose(json.out);
		assert_true(bytes >= 3);
		for (size_t i = 1; i < bytes - 1; i++) {
			assert_true((unsigned char)text[i] >= 0x20);
			if (text[i] == '"')
				assert_int_equal(text[i - 1], '\\');
		}
		free(text);
	}
}

static void
keys_may_be_data(void **state)
{
	(void)state;
	begin();
	json_object_begin(&json, NULL);
	json_array_begin_bytes(&json, "/a\"\n", 4);
	json_array_end(&json);
	json_object_end(&json);
	expect("{\n  \"/a\\\"\\n\" : [ ]\n}");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_and_arrays_are_laid_out_like_jacksons),
		cmocka_unit_test(texts_are_quoted),
		cmocka_unit_test(no_byte_ends_a_text),
		cmocka_unit_test(keys_may_be_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
