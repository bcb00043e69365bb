/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the record encoding is byte for byte ZooKeeper's, and no input and no
 * lack of room makes a reader or writer leave its bounds.
 * Method: known bytes for each type; random sequences of fields beside a model
 * that appends one byte at a time; every truncation of those sequences from
 * memory of exactly that size (the address sanitizer watches its ends).
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/jute.h"

#include "random.h"

#define FIELDS_MAX 32
#define MODEL_MAX  4096

enum field_kind { FIELD_BOOL, FIELD_INT, FIELD_LONG, FIELD_SLICE, FIELD_KINDS };

struct field {
	enum field_kind kind;
	int64_t value;
	int32_t bytes; /* of a slice; -1 null */
	uint8_t data[64];
};

struct model {
	uint8_t data[MODEL_MAX];
	size_t bytes;
};

static void
model_put(struct model *model, uint64_t value, int bytes)
{
	for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8)
		model->data[model->bytes++] = (uint8_t)(value >> shift);
}

static void
model_put_field(struct model *model, const struct field *field)
{
	switch (field->kind) {
	case FIELD_BOOL:
		model_put(model, (uint64_t)field->value, 1);
		break;
	case FIELD_INT:
		model_put(model, (uint64_t)field->value, 4);
		break;
	case FIELD_LONG:
		model_put(model, (uint64_t)field->value, 8);
		break;
	default:
		model_put(model, (uint64_t)(int64_t)field->bytes, 4);
		for (int32_t i = 0; i < field->bytes; i++)
			model_put(model, field->data[i], 1);
	}
}

static struct field
field_random(struct random *random)
{
	struct field field = {.kind = random_below(random, FIELD_KINDS)};

	field.value = (int64_t)random_next(random);
	if (field.kind == FIELD_BOOL)
		field.value &= 1;
	if (field.kind == FIELD_INT)
		field.value = (int32_t)field.value;
	field.bytes = (int32_t)random_below(random, 66) - 1;
	if (field.bytes > 64)
		field.bytes = 64;
	for (size_t i = 0; i < sizeof(field.data); i++)
		field.data[i] = (uint8_t)random_next(random);
	return field;
}

static void
field_put(struct jute_writer *writer, const struct field *field)
{
	switch (field->kind) {
	case FIELD_BOOL:
		jute_put_bool(writer, field->value != 0);
		break;
	case FIELD_INT:
		jute_put_int(writer, (int32_t)field->value);
		break;
	case FIELD_LONG:
		jute_put_long(writer, field->value);
		break;
	default:
		jute_put_slice(writer,
			       (struct jute_slice){field->data, field->bytes});
	}
}

static bool
field_get_equal(struct jute_reader *reader, const struct field *field)
{
	switch (field->kind) {
	case FIELD_BOOL:
		return jute_get_bool(reader) == (field->value != 0);
	case FIELD_INT:
		return jute_get_int(reader) == (int32_t)field->value;
	case FIELD_LONG:
		return jute_get_long(reader) == field->value;
	default:
		return jute_slice_equal(
			jute_get_slice(reader),
			(struct jute_slice){field->data, field->bytes});
	}
}

/* Reads a copy of exactly `bytes` bytes; the caller knows they are too few. */
static void
assert_truncation_is_bad(const struct model *model, size_t bytes,
			 const struct field *fields, uint32_t count)
{
	uint8_t *copy = malloc(bytes == 0 ? 1 : bytes);
	struct jute_reader reader;

	assert_non_null(copy);
	memcpy(copy, model->data, bytes);
	reader = jute_reader_of(copy, bytes);
	for (uint32_t i = 0; i < count; i++)
		(void)field_get_equal(&reader, &fields[i]);
	assert_false(jute_reader_ok(&reader));
	assert_int_equal(jute_get_int(&reader), 0);
	assert_int_equal(jute_get_slice(&reader).bytes, -1);
	free(copy);
}

/* Writes into exactly `bytes` bytes; the caller knows they are too few. */
static void
assert_small_writer_is_full(const struct model *model, size_t bytes,
			    const struct field *fields, uint32_t count)
{
	uint8_t *room = malloc(bytes == 0 ? 1 : bytes);
	struct jute_writer writer;

	assert_non_null(room);
	writer = jute_writer_of(room, bytes);
	for (uint32_t i = 0; i < count; i++)
		field_put(&writer, &fields[i]);
	assert_true(writer.is_full);
	assert_true(jute_written(&writer) <= bytes);
	assert_memory_equal(room, model->data, jute_written(&writer));
	free(room);
}

static void
random_fields_equal_the_model_and_survive_truncation(void **state)
{
	struct random random = random_start(1);

	(void)state;
	for (int round = 0; round < 300; round++) {
		const uint32_t count = 1 + random_below(&random, FIELDS_MAX);
		struct field fields[FIELDS_MAX];
		uint8_t bytes[MODEL_MAX];
		struct model model = {.bytes = 0};
		struct jute_writer writer =
			jute_writer_of(bytes, sizeof(bytes));
		struct jute_reader reader;

		for (uint32_t i = 0; i < count; i++) {
			fields[i] = field_random(&random);
			model_put_field(&model, &fields[i]);
			field_put(&writer, &fields[i]);
		}
		assert_false(writer.is_full);
		assert_int_equal(jute_written(&writer), model.bytes);
		assert_memory_equal(bytes, model.data, model.bytes);
		reader = jute_reader_of(model.data, model.bytes);
		for (uint32_t i = 0; i < count; i++)
			assert_true(field_get_equal(&reader, &fields[i]));
		assert_true(jute_reader_ok(&reader));
		assert_int_equal(jute_reader_left(&reader), 0);
		for (size_t cut = 0; cut < model.bytes; cut += 1 + cut / 16) {
			assert_truncation_is_bad(&model, cut, fields, count);
			assert_small_writer_is_full(&model, cut, fields, count);
		}
	}
}

static void
each_type_has_its_known_bytes(void **state)
{
	static const uint8_t golden[] = {
		0x01, 0xff, 0xff, 0xff, 0xfe, 0x80, 0,   0,   0,   0,   0, 0,
		1,    0,    0,    0,    2,    '/',  'a', 0,   0,   0,   0, 0xff,
		0xff, 0xff, 0xff, 0,    0,    0,    3,   'a', 'b', 'c',
	};
	uint8_t bytes[sizeof(golden)];
	struct jute_writer writer = jute_writer_of(bytes, sizeof(bytes));

	(void)state;
	jute_put_bool(&writer, true);
	jute_put_int(&writer, -2);
	jute_put_long(&writer, INT64_MIN + 1);
	jute_put_slice(&writer, jute_slice_of("/a", 2));
	jute_put_slice(&writer, jute_slice_of("", 0));
	jute_put_slice(&writer, (struct jute_slice){NULL, -1});
	jute_put_cstr(&writer, "abc");
	assert_false(writer.is_full);
	assert_int_equal(jute_written(&writer), sizeof(golden));
	assert_memory_equal(bytes, golden, sizeof(golden));
}

static void
any_byte_but_zero_is_true(void **state)
{
	(void)state;
	for (int v = 0; v < 256; v++) {
		const uint8_t byte = (uint8_t)v;
		struct jute_reader reader = jute_reader_of(&byte, 1);

		assert_int_equal(jute_get_bool(&reader), v != 0);
	}
}

static struct jute_slice
slice_of_length(int32_t length, int32_t limit, bool *is_ok)
{
	uint8_t bytes[4 + 8] = {0};
	struct jute_reader reader = jute_reader_of(bytes, sizeof(bytes));
	struct jute_slice slice;

	be_store32(bytes, (uint32_t)length);
	reader.slice_bytes_max = limit;
	slice = jute_get_slice(&reader);
	*is_ok = jute_reader_ok(&reader);
	return slice;
}

static void
slice_lengths_below_minus_one_or_too_big_are_bad(void **state)
{
	bool is_ok;

	(void)state;
	assert_int_equal(slice_of_length(-1, 8, &is_ok).bytes, -1);
	assert_true(is_ok);
	assert_int_equal(slice_of_length(0, 8, &is_ok).bytes, 0);
	assert_true(is_ok);
	assert_int_equal(slice_of_length(8, 8, &is_ok).bytes, 8);
	assert_true(is_ok);
	(void)slice_of_length(8, 7, &is_ok);
	assert_false(is_ok);
	(void)slice_of_length(9, INT32_MAX, &is_ok);
	assert_false(is_ok);
	(void)slice_of_length(-2, INT32_MAX, &is_ok);
	assert_false(is_ok);
	(void)slice_of_length(INT32_MIN, INT32_MAX, &is_ok);
	assert_false(is_ok);
	(void)slice_of_length(INT32_MAX, INT32_MAX, &is_ok);
	assert_false(is_ok);
}

static void
negative_counts_but_null_read_as_empty(void **state)
{
	static const int32_t counts[][2] = {
		{-1, -1}, {-2, 0}, {INT32_MIN, 0}, {0, 0}, {7, 7}};

	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		uint8_t bytes[4];
		struct jute_reader reader = jute_reader_of(bytes, 4);

		be_store32(bytes, (uint32_t)counts[i][0]);
		assert_int_equal(jute_get_count(&reader), counts[i][1]);
		assert_true(jute_reader_ok(&reader));
	}
}

static void
a_bad_reader_and_a_full_writer_stay_so(void **state)
{
	uint8_t bytes[8] = {1, 1, 1, 1, 1, 1, 1, 1};
	struct jute_reader reader = jute_reader_of(bytes, 7);
	struct jute_writer writer = jute_writer_of(bytes, 7);

	(void)state;
	assert_int_equal(jute_get_long(&reader), 0);
	assert_int_equal(jute_get_byte(&reader), 0);
	assert_false(jute_reader_ok(&reader));
	assert_int_equal(jute_reader_left(&reader), 7);
	jute_put_long(&writer, -1);
	jute_put_bool(&writer, false);
	assert_true(writer.is_full);
	assert_int_equal(jute_written(&writer), 0);
	assert_int_equal(bytes[0], 1);
}

static void
null_and_empty_slices_differ(void **state)
{
	const struct jute_slice null = {NULL, -1};
	const struct jute_slice empty = jute_slice_of("", 0);

	(void)state;
	assert_false(jute_slice_equal(null, empty));
	assert_true(jute_slice_equal(null, null));
	assert_true(jute_slice_equal(empty, (struct jute_slice){NULL, 0}));
	assert_false(jute_slice_equal(jute_slice_of("ab", 2),
				      jute_slice_of("ac", 2)));
	assert_false(jute_slice_equal(jute_slice_of("ab", 2),
				      jute_slice_of("abc", 3)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_type_has_its_known_bytes),
		cmocka_unit_test(
			random_fields_equal_the_model_and_survive_truncation),
		cmocka_unit_test(any_byte_but_zero_is_true),
		cmocka_unit_test(
			slice_lengths_below_minus_one_or_too_big_are_bad),
		cmocka_unit_test(negative_counts_but_null_read_as_empty),
		cmocka_unit_test(a_bad_reader_and_a_full_writer_stay_so),
		cmocka_unit_test(null_and_empty_slices_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
