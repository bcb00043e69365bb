/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: frames end where their length word says, and a length outside of the
 * limits is refused as soon as the word is there.
 * Method: the limits of the three kinds of stream at their edges; random
 * frames, glued and cut at every byte.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/frame.h"
#include "wire/proto.h"

#include "random.h"

static int
verdict_of_length(int64_t length, struct frame_limits limits)
{
	uint8_t *word = malloc(FRAME_LENGTH_BYTES);
	struct jute_slice body;
	size_t frame_bytes;
	int got;

	assert_non_null(word);
	be_store32(word, (uint32_t)length);
	got = frame_get(word, FRAME_LENGTH_BYTES, limits, &body, &frame_bytes);
	assert_true(got != 0 || frame_bytes == (size_t)length + 4);
	free(word);
	return got;
}

static void
clients_send_a_header_at_least_and_a_buffer_at_most(void **state)
{
	const struct frame_limits first =
		frame_limits_client(false, PROTO_MAX_BUFFER_DEFAULT);
	const struct frame_limits then =
		frame_limits_client(true, PROTO_MAX_BUFFER_DEFAULT);

	(void)state;
	for (int64_t n = -2; n < 64; n++) {
		assert_int_equal(verdict_of_length(n, first),
				 n < 28 ? FAL_EPROTO : 0);
		assert_int_equal(verdict_of_length(n, then),
				 n < 8 ? FAL_EPROTO : 0);
	}
	assert_int_equal(verdict_of_length(1048575, then), 0);
	assert_int_equal(verdict_of_length(1048576, then), FAL_EPROTO);
	assert_int_equal(verdict_of_length(1048575, first), 0);
	assert_int_equal(verdict_of_length(1048576, first), FAL_EPROTO);
	assert_int_equal(verdict_of_length(INT32_MAX, then), FAL_EPROTO);
	assert_int_equal(verdict_of_length(INT32_MIN, then), FAL_EPROTO);
	/* a four-letter word after connecting is a length, "ruok" */
	assert_int_equal(verdict_of_length(0x72756f6b, then), FAL_EPROTO);
}

static void
election_frames_have_1_to_524288_bytes(void **state)
{
	const struct frame_limits limits = frame_limits_election();

	(void)state;
	assert_int_equal(verdict_of_length(-1, limits), FAL_EPROTO);
	assert_int_equal(verdict_of_length(0, limits), FAL_EPROTO);
	assert_int_equal(verdict_of_length(1, limits), 0);
	assert_int_equal(verdict_of_length(524288, limits), 0);
	assert_int_equal(verdict_of_length(524289, limits), FAL_EPROTO);
}

static void
the_shortest_connect_request_is_28_bytes(void **state)
{
	uint8_t bytes[64];
	struct jute_writer writer = jute_writer_of(bytes, sizeof(bytes));
	const struct proto_connect_request request = {.password.bytes = -1};

	(void)state;
	proto_put_connect_request(&writer, &request);
	assert_int_equal(jute_written(&writer), FRAME_CONNECT_BYTES_MIN);
}

/* Writes random frames one behind the other; returns the bytes. */
static size_t
write_frames(struct random *random, uint8_t *bytes, size_t room,
	     uint32_t *lengths, uint32_t count)
{
	struct jute_writer writer = jute_writer_of(bytes, room);

	for (uint32_t i = 0; i < count; i++) {
		const size_t mark = frame_begin(&writer);

		lengths[i] = 1 + random_below(random, 40);
		for (uint32_t j = 0; j < lengths[i]; j++)
			jute_put_bool(&writer, random_below(random, 2) == 1);
		frame_end(&writer, mark);
	}
	assert_false(writer.is_full);
	return jute_written(&writer);
}

static void
glued_frames_come_apart_wherever_the_stream_is_cut(void **state)
{
	struct random random = random_start(8);

	(void)state;
	for (int round = 0; round < 200; round++) {
		uint8_t bytes[512];
		uint32_t lengths[8];
		const uint32_t count = 1 + random_below(&random, 8);
		const size_t total = write_frames(&random, bytes, sizeof(bytes),
						  lengths, count);
		size_t start = 0;
		uint32_t i = 0;

		/* at: what has come in so far */
		for (size_t at = 0; at <= total; at++) {
			uint8_t *copy = malloc(at - start + 1);
			struct jute_slice body;
			size_t frame_bytes;
			int got;

			assert_non_null(copy);
			memcpy(copy, bytes + start, at - start);
			got = frame_get(copy, at - start,
					frame_limits_election(), &body,
					&frame_bytes);
			if (at - start < lengths[i] + 4) {
				assert_int_equal(got, 0);
				assert_int_equal(
					frame_bytes,
					at - start < 4 ? 4 : lengths[i] + 4);
			} else {
				assert_int_equal(got, 1);
				assert_int_equal(body.bytes, lengths[i]);
				assert_ptr_equal(body.data, copy + 4);
				start += frame_bytes;
				i += i + 1 < count;
			}
			free(copy);
		}
		assert_int_equal(start, total);
	}
}

static void
a_frame_that_does_not_fit_leaves_the_writer_full(void **state)
{
	(void)state;
	for (size_t room = 0; room < 12; room++) {
		uint8_t *bytes = malloc(room == 0 ? 1 : room);
		struct jute_writer writer;
		size_t mark;

		assert_non_null(bytes);
		writer = jute_writer_of(bytes, room);
		mark = frame_begin(&writer);
		jute_put_int(&writer, 1);
		frame_end(&writer, mark);
		assert_int_equal(writer.is_full, room < 8);
		assert_true(room < 8 || be_load32(bytes) == 4);
		free(bytes);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			clients_send_a_header_at_least_and_a_buffer_at_most),
		cmocka_unit_test(election_frames_have_1_to_524288_bytes),
		cmocka_unit_test(the_shortest_connect_request_is_28_bytes),
		cmocka_unit_test(
			glued_frames_come_apart_wherever_the_stream_is_cut),
		cmocka_unit_test(
			a_frame_that_does_not_fit_leaves_the_writer_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
