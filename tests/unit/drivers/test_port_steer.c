/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    every frame has one home that depends on the connection alone, of
 *         both directions of IP and whatever is around the segment; bad frames
 *         and truncated ones have core 0.
 * Method  frames made by hand, the rules of port_steer.h one by one, every
 *         truncation of every frame.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/be.h"
#include "drivers/port_steer.h"

enum { CORES = 5, ZAB = 4, FRAME_MAX = 200 };

struct frame {
	uint8_t at[FRAME_MAX];
	uint32_t bytes;
};

static struct port_steer steer;

/* Four readers on 2181, the fifth core alone on 2888. */
static int
set_up(void **state)
{
	(void)state;
	port_steer_init(&steer, CORES);
	for (uint32_t i = 0; i < 4; i++)
		assert_true(port_steer_claim(&steer, i, 2181, true));
	assert_true(port_steer_claim(&steer, ZAB, 2888, true));
	return 0;
}

static struct frame
ethernet(uint16_t type, bool has_tag)
{
	struct frame frame = {.bytes = 14};

	if (has_tag) {
		be_store16(frame.at + 12, 0x8100);
		frame.bytes += 4;
	}
	be_store16(frame.at + frame.bytes - 2, type);
	return frame;
}

static void
add_ports(struct frame *frame, uint16_t from, uint16_t to)
{
	be_store16(frame->at + frame->bytes, from);
	be_store16(frame->at + frame->bytes + 2, to);
	frame->bytes += 20;
}

static void
add_ipv4(struct frame *frame, uint8_t protocol, uint32_t from, uint32_t to,
	 uint32_t options)
{
	uint8_t *ip = frame->at + frame->bytes;

	ip[0] = (uint8_t)(0x45 + options / 4);
	ip[9] = protocol;
	be_store32(ip + 12, from);
	be_store32(ip + 16, to);
	frame->bytes += 20 + options;
}

static void
add_ipv6(struct frame *frame, uint8_t next, uint8_t from, uint8_t to)
{
	uint8_t *ip = frame->at + frame->bytes;

	ip[0] = 0x60;
	ip[6] = next;
	ip[8] = 0xfd;
	ip[23] = from;
	ip[24] = 0xfd;
	ip[39] = to;
	frame->bytes += 40;
}

static uint32_t
home(const struct frame *frame)
{
	const uint32_t first =
		port_steer_home(&steer, frame->at, frame->bytes, 0, false);

	/* Whoever looks, the answer is the same. */
	for (uint32_t self = 1; self < CORES; self++)
		assert_int_equal(port_steer_home(&steer, frame->at,
						 frame->bytes, self, false),
				 first);
	return first;
}

static struct frame
segment4(uint32_t remote, uint16_t from, uint16_t to)
{
	struct frame frame = ethernet(0x0800, false);

	add_ipv4(&frame, 6, remote, 0x0a000005, 0);
	add_ports(&frame, from, to);
	return frame;
}

static void
spreads_clients_over_the_cores_that_listen(void **state)
{
	uint32_t count[CORES] = {0};

	(void)state;
	for (uint32_t i = 0; i < 4000; i++) {
		const struct frame frame = segment4(
			0x0a000100 + i / 40, (uint16_t)(40000 + i % 40), 2181);
		const uint32_t core = home(&frame);

		assert_true(core < ZAB);
		count[core]++;
	}
	for (uint32_t i = 0; i < ZAB; i++)
		assert_in_range(count[i], 800, 1200);
}

static void
does_not_depend_on_what_is_around_the_segment(void **state)
{
	struct frame plain = segment4(0x0a000101, 40001, 2181);
	struct frame tagged = ethernet(0x0800, true);
	struct frame options = ethernet(0x0800, false);

	(void)state;
	add_ipv4(&tagged, 6, 0x0a000101, 0x0a000005, 0);
	add_ports(&tagged, 40001, 2181);
	add_ipv4(&options, 6, 0x0a000101, 0x0a000005, 8);
	add_ports(&options, 40001, 2181);
	assert_int_equal(home(&tagged), home(&plain));
	assert_int_equal(home(&options), home(&plain));
	/* The error a router sends about a segment of ours goes there too. */
	for (uint32_t to = 40000; to < 40040; to++) {
		struct frame error = ethernet(0x0800, false);

		plain = segment4(0x0a000101, (uint16_t)to, 2181);
		add_ipv4(&error, 1, 0x0a0000fe, 0x0a000005, 0);
		error.at[error.bytes] = 3;
		error.bytes += 8;
		add_ipv4(&error, 6, 0x0a000005, 0x0a000101, 0);
		add_ports(&error, 2181, (uint16_t)to);
		assert_int_equal(home(&error), home(&plain));
	}
}

static void
does_the_same_for_ipv6(void **state)
{
	(void)state;
	for (uint32_t from = 40000; from < 40040; from++) {
		struct frame plain = ethernet(0x86dd, false);
		struct frame hops = ethernet(0x86dd, true);
		struct frame error = ethernet(0x86dd, false);

		add_ipv6(&plain, 6, 9, 5);
		add_ports(&plain, (uint16_t)from, 2181);
		add_ipv6(&hops, 0, 9, 5);
		hops.at[hops.bytes] = 6; /* next header, 8 bytes long */
		hops.bytes += 8;
		add_ports(&hops, (uint16_t)from, 2181);
		add_ipv6(&error, 58, 1, 5);
		error.at[error.bytes] = 2; /* packet too big */
		error.bytes += 8;
		add_ipv6(&error, 6, 5, 9);
		add_ports(&error, 2181, (uint16_t)from);
		assert_true(home(&plain) < ZAB);
		assert_int_equal(home(&hops), home(&plain));
		assert_int_equal(home(&error), home(&plain));
	}
}

static void
gives_peers_and_answers_to_own_connects_to_their_core(void **state)
{
	struct frame frame = segment4(0x0a000102, 40000, 2888);

	(void)state;
	assert_int_equal(home(&frame), ZAB);
	for (uint32_t core = 0; core < CORES; core++) {
		uint16_t count;
		const uint16_t first = port_steer_range(&steer, core, &count);

		frame = segment4(0x0a000102, 2888, first);
		assert_int_equal(home(&frame), core);
		frame = segment4(0x0a000102, 2888,
				 (uint16_t)(first + count - 1));
		assert_int_equal(home(&frame), core);
	}
	/* A listener is stronger than a range. */
	assert_true(port_steer_claim(&steer, 3, 32768, true));
	frame = segment4(0x0a000102, 40000, 32768);
	assert_int_equal(home(&frame), 3);
	assert_true(port_steer_claim(&steer, 3, 32768, false));
	assert_int_equal(home(&frame), 0);
}

static void
shows_answers_about_neighbours_to_all(void **state)
{
	struct frame arp = ethernet(0x0806, false);
	struct frame advertisement = ethernet(0x86dd, false);

	(void)state;
	arp.bytes += 28;
	be_store16(arp.at + 20, 2);
	assert_int_equal(home(&arp), PORT_STEER_ALL);
	be_store16(arp.at + 20, 1);
	assert_int_equal(home(&arp), 0);
	add_ipv6(&advertisement, 58, 9, 5);
	advertisement.at[advertisement.bytes] = 136;
	advertisement.bytes += 24;
	assert_int_equal(home(&advertisement), PORT_STEER_ALL);
	advertisement.at[14 + 40] = 135; /* a solicitation */
	assert_int_equal(home(&advertisement), 0);
}

/* What a router says about a segment of ours from a local port. */
static struct frame
error4(uint16_t local_port)
{
	struct frame error = ethernet(0x0800, false);

	add_ipv4(&error, 1, 0x0a0000fe, 0x0a000005, 0);
	error.at[error.bytes] = 3;
	error.bytes += 8;
	add_ipv4(&error, 6, 0x0a000005, 0x0a000101, 0);
	add_ports(&error, local_port, 40001);
	return error;
}

static void
leaves_a_connection_where_the_device_put_it(void **state)
{
	const struct frame client = segment4(0x0a000101, 40001, 2181);
	const struct frame peer = segment4(0x0a000101, 40001, 2888);
	const struct frame error = error4(2181), peer_error = error4(2888);

	(void)state;
	for (uint32_t self = 0; self < CORES; self++) {
		const uint32_t chosen = port_steer_home(
			&steer, client.at, client.bytes, self, true);

		assert_int_equal(chosen, self < ZAB ? self : home(&client));
		assert_int_equal(port_steer_home(&steer, peer.at, peer.bytes,
						 self, true),
				 ZAB);
		/* Where it put that one, only its core knows. */
		assert_int_equal(port_steer_home(&steer, error.at, error.bytes,
						 self, true),
				 PORT_STEER_ALL);
		assert_int_equal(port_steer_home(&steer, peer_error.at,
						 peer_error.bytes, self, true),
				 ZAB);
	}
}

/* Each truncation in memory of its own: reading on would be seen by the
 * sanitizer. */
static void
reads_no_further_than_a_frame_goes(void **state)
{
	struct frame frames[4] = {
		segment4(0x0a000101, 40001, 2181), ethernet(0x0800, true),
		ethernet(0x86dd, false), ethernet(0x0806, true)};

	(void)state;
	add_ipv4(&frames[1], 1, 1, 2, 4);
	frames[1].at[frames[1].bytes] = 3;
	frames[1].bytes += 8;
	add_ipv4(&frames[1], 6, 1, 2, 40);
	add_ports(&frames[1], 2181, 4);
	add_ipv6(&frames[2], 0, 1, 2);
	frames[2].at[frames[2].bytes] = 60;
	frames[2].at[frames[2].bytes + 9] = 255;
	frames[2].bytes += 16;
	frames[3].bytes += 28;
	for (uint32_t i = 0; i < 4; i++) {
		for (uint32_t bytes = 0; bytes <= frames[i].bytes; bytes++) {
			uint8_t *copy = malloc(bytes + 1);
			uint32_t core;

			memcpy(copy, frames[i].at, bytes);
			core = port_steer_home(&steer, copy, bytes, 1, false);
			assert_true(core < CORES || core == PORT_STEER_ALL);
			free(copy);
		}
	}
}

static void
refuses_a_seventeenth_port(void **state)
{
	(void)state;
	for (uint16_t port = 1; port <= PORT_STEER_PORTS_MAX - 2; port++)
		assert_true(port_steer_claim(&steer, 0, port, true));
	assert_false(port_steer_claim(&steer, 0, 99, true));
	assert_true(port_steer_claim(&steer, 0, 1, false));
	assert_true(port_steer_claim(&steer, 0, 99, true));
	assert_true(port_steer_claim(&steer, 0, 98, false));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(
			spreads_clients_over_the_cores_that_listen, set_up),
		cmocka_unit_test_setup(
			does_not_depend_on_what_is_around_the_segment, set_up),
		cmocka_unit_test_setup(does_the_same_for_ipv6, set_up),
		cmocka_unit_test_setup(
			gives_peers_and_answers_to_own_connects_to_their_core,
			set_up),
		cmocka_unit_test_setup(shows_answers_about_neighbours_to_all,
				       set_up),
		cmocka_unit_test_setup(
			leaves_a_connection_where_the_device_put_it, set_up),
		cmocka_unit_test_setup(reads_no_further_than_a_frame_goes,
				       set_up),
		cmocka_unit_test_setup(refuses_a_seventeenth_port, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
