/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    what the common suite leaves out for our own TCP: own connects (the
 *         common ones go to the loopback), addresses and ports that are ours or
 *         not, zero copy, and life without mbufs.
 * Method  as the common suite (stream_rig.h), with a listener of the kernel as
 *         the other side of connects.
 */
#include "stream_rig.h"

/* A listener of the kernel on the device of the rig's core. */
static int
kernel_listen(const struct rig *rig, struct stream_target *target)
{
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(rig_client_ip(rig)),
	};
	socklen_t bytes = sizeof(address);

	assert_int_equal(bind(fd, (const struct sockaddr *)&address, bytes), 0);
	assert_int_equal(listen(fd, 8), 0);
	getsockname(fd, (struct sockaddr *)&address, &bytes);
	target->address = stream_address_ipv4(rig_client_ip(rig),
					      ntohs(address.sin_port));
	return fd;
}

static void
connects_and_sends_what_was_queued_before(void **state)
{
	struct stream_target target = {.tag = 3};
	struct stream_event event;
	uint8_t back[5];
	struct rig rig;
	stream_id id;

	(void)state;
	rig_start(&rig);

	const int listener = kernel_listen(&rig, &target);

	assert_int_equal(stream_connect(rig.core, &target, &id, NULL), 0);
	assert_int_equal(stream_write(rig.core, id, "early", 5), 0);
	assert_int_equal(stream_peer(rig.core, id)->port, target.address.port);
	event = rig_event(&rig);
	assert_int_equal(event.kind, STREAM_OPENED);
	assert_false(event.is_accepted);
	assert_int_equal(event.tag, 3);
	assert_true(event.id == id);

	/* The end of the handshake has to leave first. */
	rig_expect_silence(&rig);

	const int client = accept(listener, NULL, NULL);

	client_patience(client);
	client_recv(client, back, 5);
	assert_memory_equal(back, "early", 5);
	client_send(client, "late", 4);
	assert_true(rig_expect(&rig, STREAM_READABLE) == id);
	assert_memory_equal(stream_pull(rig.core, id, 4), "late", 4);
	stream_consume(rig.core, id, 4);
	close(client);
	rig_expect_closed(&rig, id, STREAM_FINISHED);
	RIG_AWAIT_COUNTER(&rig, lingering, 0);
	assert_int_equal(rig_counters(&rig).connects, 1);
	close(listener);
	rig_stop(&rig);
}

static void
reports_refused_and_unreachable(void **state)
{
	struct stream_target target = {.tag = 4};
	struct stream_event event;
	struct rig rig;
	stream_id id;

	(void)state;
	rig_start(&rig);
	close(kernel_listen(&rig, &target));
	assert_int_equal(stream_connect(rig.core, &target, &id, NULL), 0);
	event = rig_event(&rig);
	assert_int_equal(event.kind, STREAM_CLOSED);
	assert_int_equal(event.reason, STREAM_REFUSED);
	assert_int_equal(event.tag, 4);

	/* Nobody answers for this address. */
	target.address = stream_address_ipv4(rig_client_ip(&rig) + 98, 2181);
	assert_int_equal(stream_connect(rig.core, &target, &id, NULL), 0);
	for (uint32_t i = 0; i < 400; i++) {
		if (rig_poll(&rig) != 0)
			break;
		rig.skew_ns += 25 * NS_PER_MS;
	}
	rig_expect_closed(&rig, id, STREAM_UNREACHABLE);
	rig_expect_silence(&rig);
	assert_int_equal(rig_counters(&rig).connections, 0);
	rig_stop(&rig);
}

static void
can_give_up_a_connect(void **state)
{
	struct stream_target target = {.tag = 4};
	struct rig rig;
	stream_id id;

	(void)state;
	rig_start(&rig);

	const int listener = kernel_listen(&rig, &target);

	for (uint32_t round = 0; round < 4; round++) {
		assert_int_equal(stream_connect(rig.core, &target, &id, NULL),
				 0);
		if (round % 2 == 0)
			stream_flush(rig.core);
		if (round < 2)
			stream_abort(rig.core, id);
		else
			stream_close(rig.core, id);
		rig_expect_silence(&rig);
	}
	assert_int_equal(rig_counters(&rig).connections, 0);
	assert_int_equal(rig_counters(&rig).failed, 0);
	close(listener);
	rig_stop(&rig);
}

static void
knows_which_addresses_and_ports_are_its_own(void **state)
{
	struct stream_listener listener = rig_listener();
	struct stream_target target = {0};
	struct stream_error error;
	struct rig rig;
	stream_id id = 1;

	(void)state;
	rig_start(&rig);
	listener.address.port = rig.port;
	assert_int_equal(stream_listen(rig.core, &listener, NULL, &error),
			 FAL_EBUSY);
	assert_non_null(strstr(error.text, "Address already in use"));
	listener.address = stream_address_ipv4(0x08080808, 0);
	assert_int_equal(stream_listen(rig.core, &listener, NULL, &error),
			 FAL_EINVAL);
	assert_non_null(strstr(error.text, "8.8.8.8"));
	listener.address = stream_address_ipv4(rig_tcp_address(rig.port), 0);
	assert_int_equal(stream_listen(rig.core, &listener, NULL, NULL), 0);
	/* No loopback: a server never talks to itself. */
	target.address =
		stream_address_ipv4(rig_tcp_address(rig.port), rig.port);
	assert_int_equal(stream_connect(rig.core, &target, &id, &error),
			 FAL_EINVAL);
	assert_true(id == STREAM_NONE);
	target.address = stream_address_any(rig.port);
	assert_int_equal(stream_connect(rig.core, &target, &id, &error),
			 FAL_EINVAL);
	rig_stop(&rig);
}

/* Requests are read where they arrived, replies written where they leave. */
static void
copies_nothing_that_lies_in_one_segment(void **state)
{
	struct stream_slice slices[STREAM_SLICES_MAX];
	struct rig rig;
	uint32_t got;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	client_send(client, "request", 7);
	rig_expect(&rig, STREAM_READABLE);
	assert_int_equal(stream_peek(rig.core, id, slices), 1);
	assert_ptr_equal(stream_pull(rig.core, id, 7), slices[0].data);
	assert_non_null(stream_reserve(rig.core, id, 1000, &got));
	stream_commit(rig.core, id, 1000);
	assert_int_equal(rig_counters(&rig).buffer_bytes_peak, 0);
	stream_consume(rig.core, id, 7);
	rig_expect_silence(&rig);
	assert_int_equal(rig_counters(&rig).buffer_bytes_peak, 0);
	close(client);
	rig_stop(&rig);
}

/* Two connections may have a reserve each at the same time. */
static void
keeps_reserves_of_two_connections_apart(void **state)
{
	uint8_t back[2][100];
	uint32_t got;
	struct rig rig;
	int clients[2];
	stream_id ids[2];
	uint8_t *out[2];

	(void)state;
	rig_start(&rig);
	for (uint32_t i = 0; i < 2; i++)
		ids[i] = rig_accept(&rig, &clients[i]);
	for (uint32_t i = 0; i < 2; i++) {
		out[i] = stream_reserve(rig.core, ids[i], 100, &got);
		assert_non_null(out[i]);
	}
	for (uint32_t i = 0; i < 2; i++)
		memset(out[i], (int)('a' + i), 100);
	for (uint32_t i = 2; i-- > 0;)
		stream_commit(rig.core, ids[i], 100);
	rig_poll(&rig);
	for (uint32_t i = 0; i < 2; i++) {
		client_recv(clients[i], back[i], 100);
		for (uint32_t j = 0; j < 100; j++)
			assert_int_equal(back[i][j], 'a' + i);
		close(clients[i]);
	}
	rig_stop(&rig);
}

/* No mbuf is left: what is written waits in ordinary memory and goes out when
 * there are some again. Nothing is lost, nothing hangs. */
static void
goes_on_after_the_mbufs_ran_out(void **state)
{
	static uint8_t data[100000], back[100000];
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	pattern_fill(data, 0, sizeof(data));
	rig_tcp_take_mbufs(rig.core);
	assert_int_equal(stream_write(rig.core, id, data, 10), 0);
	assert_int_equal(
		stream_write(rig.core, id, data + 10, sizeof(data) - 10), 0);
	for (uint32_t i = 0; i < 50; i++) {
		assert_int_equal(rig_poll(&rig), 0);
		stream_wait(rig.core, 10 * NS_PER_MS);
	}
	assert_int_equal(recv(client, back, 1, MSG_DONTWAIT), -1);
	rig_tcp_give_mbufs(rig.core);
	for (size_t seen = 0; seen < sizeof(back);) {
		ssize_t bytes;

		rig_poll(&rig);
		bytes = recv(client, back + seen, sizeof(back) - seen,
			     MSG_DONTWAIT);
		seen += bytes > 0 ? (size_t)bytes : 0;
		usleep(50);
	}
	assert_memory_equal(back, data, sizeof(data));
	close(client);
	rig_expect_closed(&rig, id, STREAM_FINISHED);
	rig_expect_empty(&rig);
	rig_stop(&rig);
}

/* So many that what they have unread in segments of their own would be all
 * mbufs; each sends more than a window. */
#define CROWD       42u
#define CROWD_PIECE 290u
#define CROWD_BYTES (340u * CROWD_PIECE)

struct crowd {
	stream_id id[CROWD];
	int client[CROWD];
	uint32_t sent[CROWD], seen[CROWD];
};

/* A segment of each, as far as its socket takes it. */
static void
crowd_send(struct crowd *crowd)
{
	uint8_t piece[CROWD_PIECE];

	for (uint32_t i = 0; i < CROWD; i++) {
		ssize_t bytes;

		if (crowd->sent[i] == CROWD_BYTES)
			continue;
		pattern_fill(piece, crowd->sent[i], sizeof(piece));
		bytes = send(crowd->client[i], piece,
			     crowd->sent[i] + sizeof(piece) > CROWD_BYTES
				     ? CROWD_BYTES - crowd->sent[i]
				     : sizeof(piece),
			     MSG_DONTWAIT | MSG_NOSIGNAL);
		crowd->sent[i] += bytes > 0 ? (uint32_t)bytes : 0;
	}
}

/* Consumes what came of one of them. */
static void
crowd_read(struct rig *rig, struct crowd *crowd, stream_id id)
{
	struct stream_slice slices[STREAM_SLICES_MAX];
	const uint32_t count = stream_peek(rig->core, id, slices);
	uint32_t i = 0, bytes = 0;

	while (crowd->id[i] != id)
		i++;
	for (uint32_t k = 0; k < count; k++) {
		pattern_check(slices[k].data, crowd->seen[i], slices[k].bytes);
		crowd->seen[i] += slices[k].bytes;
		bytes += slices[k].bytes;
	}
	stream_consume(rig->core, id, bytes);
}

static uint64_t
crowd_seen(const struct crowd *crowd)
{
	uint64_t all = 0;

	for (uint32_t i = 0; i < CROWD; i++)
		all += crowd->seen[i];
	return all;
}

/* Who is not read keeps its window full, in ordinary memory when mbufs are
 * short; the others are served. */
static void
serves_others_beside_a_crowd_that_is_not_read(void **state)
{
	static struct crowd crowd;
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	for (uint32_t i = 0; i < CROWD; i++) {
		crowd.id[i] = rig_accept(&rig, &crowd.client[i]);
		stream_pause(rig.core, crowd.id[i]);
	}
	for (uint32_t i = 0; i < CROWD_BYTES / CROWD_PIECE; i++) {
		crowd_send(&crowd);
		assert_int_equal(rig_poll(&rig), 0);
		usleep(500);
	}
	assert_int_equal(send(client, "request", 7, MSG_NOSIGNAL), 7);
	assert_true(rig_expect(&rig, STREAM_READABLE) == id);
	stream_consume(rig.core, id, 7);
	/* No more than their windows, whatever it lies in. */
	assert_in_range(rig_counters(&rig).buffer_bytes, 1, CROWD * 2 * 65536);

	for (uint32_t i = 0; i < CROWD; i++)
		stream_resume(rig.core, crowd.id[i]);
	while (crowd_seen(&crowd) < CROWD * CROWD_BYTES) {
		rig_poll(&rig);
		while (rig.event_next < rig.event_count)
			crowd_read(&rig, &crowd,
				   rig.events[rig.event_next++].id);
		crowd_send(&crowd);
	}
	for (uint32_t i = 0; i < CROWD; i++)
		close(crowd.client[i]);
	close(client);
	for (uint32_t i = 0; i <= CROWD; i++)
		rig_expect(&rig, STREAM_CLOSED);
	rig_expect_empty(&rig);
	rig_stop(&rig);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connects_and_sends_what_was_queued_before),
		cmocka_unit_test(reports_refused_and_unreachable),
		cmocka_unit_test(can_give_up_a_connect),
		cmocka_unit_test(knows_which_addresses_and_ports_are_its_own),
		cmocka_unit_test(copies_nothing_that_lies_in_one_segment),
		cmocka_unit_test(keeps_reserves_of_two_connections_apart),
		cmocka_unit_test(goes_on_after_the_mbufs_ran_out),
		cmocka_unit_test(serves_others_beside_a_crowd_that_is_not_read),
	};

	rig_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
