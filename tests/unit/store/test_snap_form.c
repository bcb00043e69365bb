/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the end of a snapshot on a connection is found exactly, in pieces of
 * any size, and what is no snapshot is refused as soon as it shows.
 *
 * Method: the captured SNAP streams of Java leaders, whole and cut at every
 * byte, followed by packets; lengths that cannot be; random damage, where only
 * the bounds count. FAL_SEED.
 */

#include "store_testing.h"

#include "store/snap_form.h"

/* sessions: one; ACLs: one list; nodes: root and /a; end; signature. */
static size_t
small_snapshot(uint8_t *to)
{
	struct jute_writer out = jute_writer_of(to, 4096);
	const uint8_t zeros[60] = {0};

	jute_put_int(&out, 1);
	jute_put_long(&out, 0x1234);
	jute_put_int(&out, 6000);
	jute_put_int(&out, 1);
	jute_put_long(&out, 1);
	jute_put_int(&out, 1);
	jute_put_int(&out, 31);
	jute_put_slice(&out, jute_slice_of("world", 5));
	jute_put_slice(&out, jute_slice_of("anyone", 6));
	for (uint32_t i = 0; i < 2; i++) {
		jute_put_slice(&out, jute_slice_of("/a", i == 0 ? 0 : 2));
		jute_put_slice(&out, i == 0 ? (struct jute_slice){.bytes = -1}
					    : jute_slice_of("data", 4));
		jute_put_long(&out, 1);
		jute_put_raw(&out, zeros, sizeof(zeros));
	}
	jute_put_slice(&out, jute_slice_of("/", 1));
	jute_put_slice(&out, jute_slice_of("BenWasHere", 10));
	assert_false(out.is_full);
	return (size_t)(out.at - out.start);
}

static void
the_end_is_found_in_pieces_of_any_size(void **arg)
{
	uint8_t bytes[8192];
	size_t count;

	(void)arg;
	memset(bytes, 0xee, sizeof(bytes));
	count = small_snapshot(bytes);
	for (uint32_t round = 0; round < 2000; round++) {
		const uint32_t piece_max =
			1 + (uint32_t)testing_below(round % 2 == 0 ? 4 : 4000);
		struct snap_form form;
		size_t at = 0;

		snap_form_init(&form);
		while (!snap_form_is_done(&form)) {
			const uint32_t piece =
				1 + (uint32_t)testing_below(piece_max);
			const int64_t taken =
				snap_form_take(&form, bytes + at, piece);

			assert_true(taken > 0 && taken <= piece);
			at += (size_t)taken;
			assert_true(at <= count);
			assert_int_equal(snap_form_is_done(&form), at == count);
		}
		assert_int_equal(at, count);
		assert_int_equal(snap_form_bytes(&form), count);
		assert_int_equal(form.nodes, 2);
		assert_int_equal(snap_form_take(&form, bytes + at, 10), 0);
	}
}

static void
what_cannot_be_is_refused_at_once(void **arg)
{
	static const struct {
		size_t at;
		uint32_t value;
	} cases[] = {
		{0, 0x80000000u},  /* sessions */
		{16, UINT32_MAX},  /* ACL lists */
		{28, 0x00ffffffu}, /* entries */
		{36, 0x7fffffffu}, /* scheme */
		{55, 0x7fffffffu}, /* the root's path */
		{59, 0x80000000u}, /* its data */
	};

	(void)arg;
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t bytes[8192];
		struct snap_form form;
		size_t count = small_snapshot(bytes);

		be_store32(bytes + cases[i].at, cases[i].value);
		snap_form_init(&form);
		assert_int_equal(snap_form_take(&form, bytes, (uint32_t)count),
				 FAL_EPROTO);
		assert_false(snap_form_is_done(&form));
		/* It stays so. */
		assert_int_equal(snap_form_take(&form, bytes, 1), FAL_EPROTO);
	}
}

static void
another_signature_is_refused(void **arg)
{
	(void)arg;
	for (uint32_t i = 0; i < 14; i++) {
		uint8_t bytes[8192];
		const size_t count = small_snapshot(bytes);
		struct snap_form form;

		bytes[count - 14 + i] ^= 1;
		snap_form_init(&form);
		assert_int_equal(snap_form_take(&form, bytes, (uint32_t)count),
				 FAL_EPROTO);
	}
}

/* A path of one byte can only be the end. */
static void
a_path_without_a_slash_is_refused(void **arg)
{
	uint8_t bytes[8192];
	const size_t count = small_snapshot(bytes);
	struct snap_form form;

	(void)arg;
	bytes[count - 15] = 'x';
	snap_form_init(&form);
	assert_int_equal(snap_form_take(&form, bytes, (uint32_t)count),
			 FAL_EPROTO);
}

static void
damage_never_takes_more_than_is_there(void **arg)
{
	uint32_t refused = 0, endless = 0;

	(void)arg;
	for (uint32_t round = 0; round < 5000; round++) {
		uint8_t bytes[8192] = {0};
		const size_t count = small_snapshot(bytes);
		struct snap_form form;
		int64_t taken;

		bytes[testing_below(count)] ^=
			(uint8_t)(1u << testing_below(8));
		snap_form_init(&form);
		taken = snap_form_take(&form, bytes, (uint32_t)count);
		refused += taken < 0;
		endless += taken >= 0 && !snap_form_is_done(&form);
		assert_true(taken <= (int64_t)count);
	}
	assert_true(refused > 100 && endless > 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_end_is_found_in_pieces_of_any_size),
		cmocka_unit_test(what_cannot_be_is_refused_at_once),
		cmocka_unit_test(another_signature_is_refused),
		cmocka_unit_test(a_path_without_a_slash_is_refused),
		cmocka_unit_test(damage_never_takes_more_than_is_there),
	};

	testing_seed(0x5f0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
