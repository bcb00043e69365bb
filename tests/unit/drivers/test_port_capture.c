/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    a capture holds exactly the frames that pass its filter, whole up to
 *         the snap length, in order, and counts what found no room.
 * Method  frames made by hand go through a capture; the file is read back as
 *         the format says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/be.h"
#include "drivers/port_capture.h"
#include "tests/packet/packet_eal.h"

static struct rte_mempool *pool;
static char path[64];

/* A frame of this type whose last bytes are its number. */
static struct rte_mbuf *
make_frame(uint16_t type, uint32_t source, uint16_t port, uint32_t bytes,
	   uint32_t number)
{
	struct rte_mbuf *frame = rte_pktmbuf_alloc(pool);
	uint8_t *at = (uint8_t *)rte_pktmbuf_append(frame, (uint16_t)bytes);

	memset(at, 0, bytes);
	be_store16(at + 12, type);
	if (type == 0x0800) {
		at[14] = 0x45;
		at[23] = 6;
		be_store32(at + 26, source);
		be_store32(at + 30, 0x0a000005);
		be_store16(at + 34, port);
		be_store16(at + 36, 40000);
	}
	be_store32(at + bytes - 4, number);
	return frame;
}

static void
feed(struct port_capture *capture, struct rte_mbuf *frame)
{
	port_capture_frames(capture, 0, &frame, 1);
	rte_pktmbuf_free(frame);
}

/* Reads the next record; returns the kept bytes, 0 at the end. */
static uint32_t
next_frame(FILE *in, uint8_t *bytes, uint32_t *length)
{
	uint32_t words[4];

	if (fread(words, 4, 4, in) != 4)
		return 0;
	assert_true(words[0] > 1000000000u);
	assert_true(words[1] < 1000000000u);
	assert_true(words[2] <= words[3]);
	assert_int_equal(fread(bytes, 1, words[2], in), words[2]);
	*length = words[3];
	return words[2];
}

static FILE *
read_back(uint32_t snap)
{
	FILE *in = fopen(path, "rb");
	uint32_t words[6];

	assert_non_null(in);
	assert_int_equal(fread(words, 4, 6, in), 6);
	assert_int_equal(words[0], 0xa1b23c4d);
	assert_int_equal(words[1], 4u << 16 | 2);
	assert_int_equal(words[4], snap);
	assert_int_equal(words[5], 1);
	return in;
}

static void
keeps_what_the_filter_passes(void **state)
{
	static const struct {
		const char *filter;
		uint32_t passed; /* bit per frame below */
	} cases[] = {
		{NULL, 15},
		{"", 15},
		{"port=2181", 2 + 4},
		{"port=40000", 2 + 4 + 8},
		{"host=10.0.0.1", 2 + 8},
		{"host=10.0.0.5 port=2181", 2 + 4},
		{"arp", 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct port_capture *capture;
		uint32_t passed = 0, kept, length;
		uint8_t bytes[256];

		assert_int_equal(
			port_capture_start(path, cases[i].filter, 1, &capture),
			0);
		feed(capture, make_frame(0x0806, 0, 0, 60, 0));
		feed(capture, make_frame(0x0800, 0x0a000001, 2181, 60, 1));
		feed(capture, make_frame(0x0800, 0x0a000002, 2181, 90, 2));
		feed(capture, make_frame(0x0800, 0x0a000001, 80, 60, 3));
		port_capture_stop(capture);

		FILE *in = read_back(PORT_CAPTURE_SNAP);

		while ((kept = next_frame(in, bytes, &length)) != 0) {
			assert_int_equal(kept, length);
			passed |= 1u << be_load32(bytes + kept - 4);
		}
		fclose(in);
		assert_int_equal(passed, cases[i].passed);
	}
}

static void
refuses_filters_and_files_that_make_no_sense(void **state)
{
	static const char *const filters[] = {
		"port=",    "port=0", "port=65536", "port=x", "host=name",
		"host=::1", "snap=0", "snap=10000", "arps",   "udp",
	};
	struct port_capture *capture;

	(void)state;
	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++)
		assert_int_equal(
			port_capture_start(path, filters[i], 1, &capture),
			FAL_EINVAL);
	assert_int_equal(port_capture_start("/nowhere/x", NULL, 1, &capture),
			 FAL_EIO);
}

static void
cuts_at_the_snap_length_and_goes_round_its_ring(void **state)
{
	struct port_capture *capture;
	uint32_t kept, length, number = 0;
	uint8_t bytes[256];

	(void)state;
	assert_int_equal(port_capture_start(path, "snap=100", 1, &capture), 0);
	/* Three times the ring, drained on the way. */
	for (uint32_t i = 0; i < 30000; i++) {
		feed(capture, make_frame(0x0806, 0, 0, 40 + i % 300, i));
		if (i % 1000 == 0)
			assert_int_equal(port_capture_drain(capture), 0);
	}
	port_capture_stop(capture);

	FILE *in = read_back(100);

	while ((kept = next_frame(in, bytes, &length)) != 0) {
		assert_int_equal(length, 40 + number % 300);
		assert_int_equal(kept, length < 100 ? length : 100);
		if (kept == length)
			assert_int_equal(be_load32(bytes + kept - 4), number);
		number++;
	}
	assert_int_equal(number, 30000);
	fclose(in);
}

static void
counts_what_finds_no_room(void **state)
{
	struct port_capture *capture;
	uint64_t written, lost;

	(void)state;
	assert_int_equal(port_capture_start(path, NULL, 1, &capture), 0);
	for (uint32_t i = 0; i < 20000; i++)
		feed(capture, make_frame(0x0806, 0, 0, 128, i));
	assert_int_equal(port_capture_drain(capture), 0);
	port_capture_counts(capture, &written, &lost);
	assert_int_equal(written, PORT_CAPTURE_RING / 144);
	assert_int_equal(written + lost, 20000);
	/* There is room again. */
	feed(capture, make_frame(0x0806, 0, 0, 128, 1));
	assert_int_equal(port_capture_drain(capture), 0);
	port_capture_counts(capture, &written, &lost);
	assert_int_equal(written + lost, 20001);
	port_capture_stop(capture);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_what_the_filter_passes),
		cmocka_unit_test(refuses_filters_and_files_that_make_no_sense),
		cmocka_unit_test(
			cuts_at_the_snap_length_and_goes_round_its_ring),
		cmocka_unit_test(counts_what_finds_no_room),
	};
	int failed;

	pool = packet_eal_pool(1023);
	snprintf(path, sizeof(path), "/tmp/test-capture-%d.pcap",
		 (int)getpid());
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return failed;
}
