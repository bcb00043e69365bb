/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: Falconer and Java servers understand each other on ports 2888 and
 * 3888, byte for byte.
 * Method: all captured connections (tests/golden/quorum/) are decoded packet
 * by packet, contents included, described in the words of the capture's
 * timeline, and encoded again to the same bytes. For every packet every
 * shorter prefix, in memory of exactly that size, must ask for more, and never
 * for more than the packet has. Then bytes changed at random, and the limits
 * one by one.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/frame.h"
#include "wire/quorum_auth.h"

#include "proto_mirror.h"
#include "quorum_mirror.h"
#include "random.h"
#include "vector_file.h"

#define TIMELINE_LINES_MAX 1024
#define TEXT_BYTES         4096

struct timeline_line {
	bool is_dialer;
	size_t start, end;
	char text[512];
	bool is_seen;
};

/* One direction of a captured connection. */
struct capture {
	const char *path;
	bool is_dialer;
	uint8_t *data;
	size_t bytes;
	struct timeline_line *lines;
	size_t line_count;
};

static uint32_t packet_seen[QUORUM_INFORMANDACTIVATE + 1];
static uint32_t notification_count, hello_count, auth_count, prefix_count;
static uint32_t request_count;

static void
timeline_load(struct capture *capture)
{
	const size_t stem = strlen(capture->path) - strlen(".c2s.bin");
	char line[TEXT_BYTES];
	FILE *input;

	assert_true(snprintf(line, sizeof(line), "%.*s.txt", (int)stem,
			     capture->path) < (int)sizeof(line));
	input = fopen(line, "r");
	assert_non_null(input);
	capture->lines = calloc(TIMELINE_LINES_MAX, sizeof(*capture->lines));
	assert_non_null(capture->lines);
	while (fgets(line, sizeof(line), input) != NULL) {
		struct timeline_line *entry =
			&capture->lines[capture->line_count];
		char direction[4];
		int text_at = 0;

		if (line[0] == '#')
			continue;
		assert_int_equal(sscanf(line, "%*f %3s @%zu-%zu %n", direction,
					&entry->start, &entry->end, &text_at),
				 3);
		line[strcspn(line, "\n")] = '\0';
		(void)snprintf(entry->text, sizeof(entry->text), "%.511s",
			       line + text_at);
		entry->is_dialer = strcmp(direction, "c2s") == 0;
		capture->line_count++;
		assert_true(capture->line_count < TIMELINE_LINES_MAX);
	}
	(void)fclose(input);
}

/* Only repeated empty pings are not in the timeline. */
static void
timeline_check(struct capture *capture, size_t start, size_t end,
	       const char *text, bool may_miss)
{
	for (size_t i = 0; i < capture->line_count; i++) {
		struct timeline_line *line = &capture->lines[i];

		if (line->is_dialer != capture->is_dialer ||
		    line->start != start)
			continue;
		line->is_seen = true;
		if (line->end == end &&
		    strncmp(line->text, text, strlen(text)) == 0)
			return;
		fail_msg("%s @%zu-%zu: %s; the timeline has %s", capture->path,
			 start, end, text, line->text);
	}
	if (!may_miss)
		fail_msg("%s @%zu: %s is not in the timeline", capture->path,
			 start, text);
}

static void
timeline_check_all_seen(const struct capture *capture)
{
	for (size_t i = 0; i < capture->line_count; i++) {
		const struct timeline_line *line = &capture->lines[i];

		if (line->is_dialer == capture->is_dialer && !line->is_seen)
			fail_msg("%s: missed %s", capture->path, line->text);
	}
}

/* Decodes the first `bytes` bytes from memory of exactly that size. */
typedef int prefix_get(const uint8_t *data, size_t bytes, size_t *whole_bytes);

static void
assert_prefixes_ask_for_more(const uint8_t *data, size_t bytes, prefix_get *get)
{
	for (size_t n = 0; n < bytes; n++) {
		uint8_t *copy = malloc(n == 0 ? 1 : n);
		size_t wanted = 0;

		assert_non_null(copy);
		memcpy(copy, data, n);
		assert_int_equal(get(copy, n, &wanted), 0);
		assert_in_range(wanted, n + 1, bytes);
		free(copy);
		prefix_count++;
	}
}

static int
packet_prefix_get(const uint8_t *data, size_t bytes, size_t *whole_bytes)
{
	struct quorum_packet packet;

	return quorum_packet_get(data, bytes, QUORUM_PACKET_DATA_BYTES_MAX,
				 &packet, whole_bytes);
}

static int
auth_prefix_get(const uint8_t *data, size_t bytes, size_t *whole_bytes)
{
	struct quorum_auth auth;

	return quorum_auth_get(data, bytes, &auth, whole_bytes);
}

static int
hello_prefix_get(const uint8_t *data, size_t bytes, size_t *whole_bytes)
{
	struct fle_hello hello;

	return fle_hello_get(data, bytes, &hello, whole_bytes);
}

static int
frame_prefix_get(const uint8_t *data, size_t bytes, size_t *whole_bytes)
{
	struct jute_slice body;

	return frame_get(data, bytes, frame_limits_election(), &body,
			 whole_bytes);
}

/* The record inside of a REQUEST must be one of the client protocol. */
static void
check_forwarded_request(const struct quorum_packet *packet)
{
	struct quorum_request request;
	uint8_t again[1024];
	struct proto_mirror mirror = {
		.out = jute_writer_of(again, sizeof(again))};

	assert_int_equal(quorum_packet_get_request(packet->data, &request),
			 FAL_OK);
	mirror.in =
		jute_reader_of(request.body.data, (size_t)request.body.bytes);
	if (request.op == OP_CREATE_SESSION) {
		assert_int_equal(request.body.bytes, 4);
		assert_int_equal(request.cxid, 0);
		assert_int_equal(packet->authinfo.count, -1);
		return;
	}
	assert_int_equal(proto_mirror_request_body(&mirror, request.op),
			 FAL_OK);
	assert_int_equal(jute_written(&mirror.out), request.body.bytes);
	assert_memory_equal(again, request.body.data,
			    jute_written(&mirror.out));
	request_count++;
}

/* Returns the packet's size. */
static size_t
visit_packet(struct capture *capture, size_t at, int32_t *type)
{
	const uint8_t *data = capture->data + at;
	const size_t left = capture->bytes - at;
	uint8_t *again = malloc(left);
	struct jute_writer writer = jute_writer_of(again, left);
	struct quorum_packet packet;
	char text[TEXT_BYTES];
	size_t bytes;

	assert_non_null(again);
	assert_int_equal(quorum_mirror_packet(data, left, capture->is_dialer,
					      &writer, &packet, &bytes),
			 1);
	assert_false(writer.is_full);
	assert_int_equal(jute_written(&writer), bytes);
	assert_memory_equal(again, data, bytes);
	writer = jute_writer_of(again, left);
	quorum_packet_put(&writer, &packet);
	assert_int_equal(jute_written(&writer), bytes);
	assert_memory_equal(again, data, bytes);
	free(again);

	assert_in_range(packet.type, 1, QUORUM_INFORMANDACTIVATE);
	packet_seen[packet.type]++;
	if (packet.type == QUORUM_REQUEST)
		check_forwarded_request(&packet);
	quorum_mirror_describe(&packet, capture->is_dialer, text, sizeof(text));
	timeline_check(capture, at, at + bytes, text,
		       packet.type == QUORUM_PING && packet.data.bytes <= 0);
	assert_prefixes_ask_for_more(data, bytes, packet_prefix_get);
	*type = packet.type;
	return bytes;
}

/* The snapshot itself is the store's matter. */
static size_t
visit_snapshot(struct capture *capture, size_t at)
{
	static const uint8_t signature[] = "\0\0\0\x0a" QUORUM_SNAP_SIGNATURE;
	const size_t bytes = sizeof(signature) - 1;
	const uint8_t *end = memmem(capture->data + at, capture->bytes - at,
				    signature, bytes);
	const size_t whole = (size_t)(end + bytes - (capture->data + at));

	assert_non_null(end);
	timeline_check(capture, at, at + whole, "snapshot stream:", false);
	return whole;
}

/* Returns the packet's size, 0 if there is none. */
static size_t
visit_auth(struct capture *capture, size_t at)
{
	const uint8_t *data = capture->data + at;
	struct quorum_auth auth;
	uint8_t again[1024];
	struct jute_writer writer = jute_writer_of(again, sizeof(again));
	char text[64];
	size_t bytes;
	const int got =
		quorum_auth_get(data, capture->bytes - at, &auth, &bytes);

	if (got == FAL_ENOENT || capture->bytes == at)
		return 0;
	assert_int_equal(got, 1);
	quorum_auth_put(&writer, &auth);
	assert_int_equal(jute_written(&writer), bytes);
	assert_memory_equal(again, data, bytes);
	assert_prefixes_ask_for_more(data, bytes, auth_prefix_get);
	(void)snprintf(text, sizeof(text), "QuorumAuthPacket status=%d",
		       auth.status);
	timeline_check(capture, at, at + bytes, text, false);
	auth_count++;
	return bytes;
}

static size_t
visit_hello(struct capture *capture)
{
	struct fle_hello hello;
	uint8_t again[FLE_HELLO_BYTES_MAX];
	struct jute_writer writer = jute_writer_of(again, sizeof(again));
	char text[TEXT_BYTES];
	size_t bytes;

	assert_int_equal(
		fle_hello_get(capture->data, capture->bytes, &hello, &bytes),
		1);
	fle_hello_put(&writer, &hello);
	assert_int_equal(jute_written(&writer), bytes);
	assert_memory_equal(again, capture->data, bytes);
	assert_prefixes_ask_for_more(capture->data, bytes, hello_prefix_get);
	(void)snprintf(text, sizeof(text),
		       "initial message version=%lld sid=%lld addr='%.*s'",
		       (long long)hello.protocol_version, (long long)hello.sid,
		       hello.addresses.bytes,
		       (const char *)hello.addresses.data);
	timeline_check(capture, 0, bytes, text, false);
	hello_count++;
	return bytes;
}

static size_t
visit_notification(struct capture *capture, size_t at)
{
	const uint8_t *data = capture->data + at;
	struct fle_notification notification;
	struct jute_slice body;
	uint8_t again[1024];
	struct jute_writer writer = jute_writer_of(again, sizeof(again));
	char text[TEXT_BYTES];
	size_t bytes, mark;

	assert_int_equal(frame_get(data, capture->bytes - at,
				   frame_limits_election(), &body, &bytes),
			 1);
	assert_int_equal(fle_notification_get(body.data, (size_t)body.bytes,
					      &notification),
			 FAL_OK);
	mark = frame_begin(&writer);
	fle_notification_put(&writer, &notification);
	frame_end(&writer, mark);
	assert_int_equal(jute_written(&writer), bytes);
	assert_memory_equal(again, data, bytes);
	assert_prefixes_ask_for_more(data, bytes, frame_prefix_get);
	quorum_mirror_describe_notification(&notification, (size_t)body.bytes,
					    text, sizeof(text));
	timeline_check(capture, at, at + bytes, text, false);
	notification_count++;
	return bytes;
}

static void
visit_capture(const char *path, void *context)
{
	struct capture capture = {.path = path};
	const bool is_election = strstr(path, "election") != NULL;
	int32_t type = 0;
	size_t at = 0, bytes;

	(void)context;
	capture.is_dialer = strstr(path, ".c2s.bin") != NULL;
	capture.data = vector_read_bytes(path, &capture.bytes);
	timeline_load(&capture);
	if (is_election && capture.is_dialer)
		at = visit_hello(&capture);
	while ((bytes = visit_auth(&capture, at)) > 0)
		at += bytes;
	while (at < capture.bytes) {
		if (is_election) {
			at += visit_notification(&capture, at);
		} else if (type == QUORUM_SNAP) {
			at += visit_snapshot(&capture, at);
			type = 0;
		} else {
			at += visit_packet(&capture, at, &type);
		}
	}
	timeline_check_all_seen(&capture);
	free(capture.lines);
	free(capture.data);
}

static void
every_captured_connection_encodes_to_itself_again(void **state)
{
	const size_t count = vector_files_visit(GOLDEN_DIR "/quorum", ".bin",
						visit_capture, NULL);

	(void)state;
	printf("%zu directions, %u initial messages, %u notifications, %u SASL "
	       "packets, %u forwarded requests, %u prefixes\n",
	       count, hello_count, notification_count, auth_count,
	       request_count, prefix_count);
	assert_true(count >= 76);
	for (size_t i = 1; i <= QUORUM_INFORMANDACTIVATE; i++) {
		if (packet_seen[i] == 0)
			fail_msg("no packet of type %zu", i);
	}
	assert_true(hello_count >= 18 && notification_count >= 55);
	assert_int_equal(auth_count, 8);
}

/* ---- random changes ---- */

static void
mutate_packets(const char *path, void *context)
{
	struct random *random = context;
	size_t bytes;
	uint8_t *data = vector_read_bytes(path, &bytes);
	const bool is_learner = strstr(path, ".c2s.bin") != NULL;
	uint8_t *again = malloc(bytes + 1), *third = malloc(bytes + 1);

	assert_non_null(again);
	assert_non_null(third);
	for (int round = 0; round < 2000 && bytes > 64; round++) {
		const size_t n = 1 + random_below(random, 200);
		const size_t at = random_below(random, (uint32_t)bytes - 63);
		const size_t size = n < bytes - at ? n : bytes - at;
		uint8_t *copy = malloc(size);
		struct jute_writer writer = jute_writer_of(again, bytes);
		struct quorum_packet packet;
		size_t used, used_again;

		assert_non_null(copy);
		memcpy(copy, data + at, size);
		copy[random_below(random, (uint32_t)size)] =
			(uint8_t)random_next(random);
		if (quorum_mirror_packet(copy, size, is_learner, &writer,
					 &packet, &used) == 1) {
			const size_t written = jute_written(&writer);
			struct jute_writer last = jute_writer_of(third, bytes);

			assert_true(used <= size);
			assert_false(writer.is_full);
			assert_int_equal(quorum_mirror_packet(
						 again, written, is_learner,
						 &last, &packet, &used_again),
					 1);
			assert_int_equal(used_again, written);
			assert_memory_equal(again, third, written);
		}
		free(copy);
	}
	free(data);
	free(again);
	free(third);
}

static void
randomly_changed_packets_never_break_the_decoder(void **state)
{
	struct random random = random_start(6);

	(void)state;
	vector_files_visit(GOLDEN_DIR "/quorum", ".bin", mutate_packets,
			   &random);
}

/* ---- limits of packets ---- */

static int32_t last_id_count;

static int
packet_of_lengths(int32_t data_length, int32_t authinfo_count,
		  int32_t scheme_length, int32_t bytes_max)
{
	uint8_t bytes[64] = {0};
	struct quorum_packet packet = {0};
	size_t packet_bytes;
	int got;

	be_store32(bytes + 12, (uint32_t)data_length);
	be_store32(bytes + 16, (uint32_t)authinfo_count);
	be_store32(bytes + 20, (uint32_t)scheme_length);
	got = quorum_packet_get(bytes, sizeof(bytes), bytes_max, &packet,
				&packet_bytes);
	last_id_count = packet.authinfo.count;
	return got;
}

static void
lengths_outside_of_the_limits_are_refused_at_once(void **state)
{
	(void)state;
	assert_int_equal(packet_of_lengths(0, -1, 0, 100), 1);
	assert_int_equal(packet_of_lengths(-1, -1, 0, 100), 1);
	assert_int_equal(packet_of_lengths(-2, -1, 0, 100), FAL_EPROTO);
	assert_int_equal(packet_of_lengths(100, -1, 0, 100), 0);
	assert_int_equal(packet_of_lengths(101, -1, 0, 100), FAL_EPROTO);
	assert_int_equal(packet_of_lengths(INT32_MIN, -1, 0, 100), FAL_EPROTO);
	assert_int_equal(packet_of_lengths(INT32_MAX, -1, 0, INT32_MAX), 0);
	/* the count as such */
	assert_int_equal(packet_of_lengths(-1, 1, 0, 100), 1);
	assert_int_equal(packet_of_lengths(-1, 0, 0, 100), 1);
	assert_int_equal(packet_of_lengths(-1, -7, 0, 100), 1);
	assert_int_equal(packet_of_lengths(-1, 13, 0, 100), FAL_EPROTO);
	assert_int_equal(packet_of_lengths(-1, INT32_MAX, 0, 100), FAL_EPROTO);
	/* as many empty ids as could be; and none is none */
	assert_int_equal(packet_of_lengths(-1, 5, 0, 40), 1);
	assert_int_equal(last_id_count, 5);
	assert_int_equal(packet_of_lengths(-1, 6, 0, 40), FAL_EPROTO);
	assert_int_equal(packet_of_lengths(-1, -7, 0, 40), 1);
	assert_int_equal(last_id_count, 0);
	/* strings, and all of them together */
	assert_int_equal(packet_of_lengths(-1, 1, 101, 100), FAL_EPROTO);
	assert_int_equal(packet_of_lengths(-1, 1, -2, 100), FAL_EPROTO);
	assert_int_equal(packet_of_lengths(-1, 1, -1, 100), 1);
	assert_int_equal(packet_of_lengths(-1, 1, 32, 40), 1);
	assert_int_equal(packet_of_lengths(-1, 1, 33, 40), FAL_EPROTO);
}

static void
unknown_packet_types_are_not_judged(void **state)
{
	uint8_t bytes[QUORUM_PACKET_BARE_BYTES];
	struct jute_writer writer = jute_writer_of(bytes, sizeof(bytes));
	struct quorum_packet packet;
	size_t packet_bytes;

	(void)state;
	quorum_packet_put_bare(&writer, 12345, -1);
	assert_int_equal(quorum_packet_get(bytes, sizeof(bytes), 100, &packet,
					   &packet_bytes),
			 1);
	assert_int_equal(packet.type, 12345);
	assert_int_equal(packet.zxid, -1);
	assert_int_equal(packet.data.bytes, -1);
	assert_int_equal(packet.authinfo.count, -1);
}

static void
contents_that_are_null_or_short_are_refused(void **state)
{
	uint8_t bytes[40] = {0};

	(void)state;
	for (int32_t n = -1; n <= 24; n++) {
		const struct jute_slice data = {n < 0 ? NULL : bytes, n};
		struct quorum_learner_info learner;
		struct quorum_leader_info leader;
		struct quorum_request request;
		struct quorum_touch touch;
		struct quorum_revalidated revalidated;
		struct quorum_activate activate;
		int32_t epoch;

		assert_int_equal(quorum_packet_get_learner_info(data, &learner),
				 n >= 20 ? FAL_OK : FAL_EPROTO);
		assert_int_equal(quorum_packet_get_leader_info(data, &leader),
				 n >= 4 ? FAL_OK : FAL_EPROTO);
		assert_int_equal(quorum_packet_get_ack_epoch(data, &epoch),
				 n >= 4 ? FAL_OK : FAL_EPROTO);
		assert_int_equal(quorum_packet_get_request(data, &request),
				 n >= 16 ? FAL_OK : FAL_EPROTO);
		assert_int_equal(quorum_packet_get_revalidate(data, &touch),
				 n >= 12 ? FAL_OK : FAL_EPROTO);
		assert_int_equal(
			quorum_packet_get_revalidated(data, &revalidated),
			n >= 9 ? FAL_OK : FAL_EPROTO);
		assert_int_equal(quorum_packet_get_activate(data, &activate),
				 n >= 8 ? FAL_OK : FAL_EPROTO);
		assert_int_equal(quorum_packet_touch_count(data),
				 n <= 0        ? 0
				 : n % 12 == 0 ? n / 12
					       : FAL_EPROTO);
	}
}

static void
bytes_behind_learner_and_leader_info_come_back(void **state)
{
	static const uint8_t extra[] = "trailing";
	uint8_t bytes[64];
	struct jute_writer writer = jute_writer_of(bytes, sizeof(bytes));
	const struct quorum_learner_info info = {
		.sid = 3,
		.protocol_version = QUORUM_PROTOCOL_VERSION,
		.config_version = 9,
		.rest = jute_slice_of(extra, 8)};
	struct quorum_learner_info decoded;

	(void)state;
	quorum_packet_put_learner_info(&writer, &info);
	assert_int_equal(jute_written(&writer), 28);
	assert_int_equal(quorum_packet_get_learner_info(
				 jute_slice_of(bytes, 28), &decoded),
			 FAL_OK);
	assert_true(jute_slice_equal(decoded.rest, info.rest));
	assert_int_equal(decoded.sid, 3);
	assert_int_equal(decoded.config_version, 9);
}

static void
auth_packets_judge_magic_and_length_first(void **state)
{
	uint8_t bytes[32] = {0};
	struct quorum_auth auth;
	size_t packet_bytes;

	(void)state;
	assert_int_equal(quorum_auth_get(bytes, 8, &auth, &packet_bytes),
			 FAL_ENOENT);
	be_store64(bytes, (uint64_t)QUORUM_AUTH_MAGIC);
	be_store32(bytes + 12, QUORUM_AUTH_TOKEN_BYTES_MAX + 1);
	assert_int_equal(quorum_auth_get(bytes, 16, &auth, &packet_bytes),
			 FAL_EPROTO);
	be_store32(bytes + 12, QUORUM_AUTH_TOKEN_BYTES_MAX);
	assert_int_equal(quorum_auth_get(bytes, 16, &auth, &packet_bytes), 0);
	assert_int_equal(packet_bytes, 16 + QUORUM_AUTH_TOKEN_BYTES_MAX);
	be_store32(bytes + 12, (uint32_t)-2);
	assert_int_equal(quorum_auth_get(bytes, 16, &auth, &packet_bytes),
			 FAL_EPROTO);
	be_store32(bytes + 12, (uint32_t)-1);
	assert_int_equal(quorum_auth_get(bytes, 16, &auth, &packet_bytes), 1);
	assert_int_equal(auth.token.bytes, -1);
	assert_int_equal(packet_bytes, 16);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			every_captured_connection_encodes_to_itself_again),
		cmocka_unit_test(
			randomly_changed_packets_never_break_the_decoder),
		cmocka_unit_test(
			lengths_outside_of_the_limits_are_refused_at_once),
		cmocka_unit_test(unknown_packet_types_are_not_judged),
		cmocka_unit_test(contents_that_are_null_or_short_are_refused),
		cmocka_unit_test(
			bytes_behind_learner_and_leader_info_come_back),
		cmocka_unit_test(auth_packets_judge_magic_and_length_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
