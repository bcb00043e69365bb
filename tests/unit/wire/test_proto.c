/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: every record of the client protocol is understood as ZooKeeper means
 * it and written as ZooKeeper writes it; broken bytes are FAL_EPROTO.
 * Method: all captured frames (tests/golden/client/) are decoded, each field
 * compared with the capture's label, and encoded again to the same bytes. The
 * type of a reply comes from the request with its xid on that connection.
 * Then every truncation from memory of exactly that size, and bytes changed
 * at random: what still decodes must encode to something that decodes to the
 * same again.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/proto.h"

#include "proto_mirror.h"
#include "random.h"
#include "vector_file.h"

#define PENDING_MAX     64
#define CONNECTIONS_MAX 256
#define LENGTH_BYTES    4

/* What a frame is, so that it can be decoded on its own. */
enum frame_kind {
	FRAME_CONNECT_REQUEST,
	FRAME_CONNECT_RESPONSE,
	FRAME_REQUEST,
	FRAME_REPLY,
};

struct pending {
	int32_t xid, op;
	bool is_bad; /* the body does not decode: -5 or -6 must follow */
};

struct connection {
	struct pending pending[PENDING_MAX];
	uint32_t count;
};

/* Compares notes with the labels of one frame, strictly in order. */
struct label_check {
	const char *path;
	const struct vector_frame *frame;
	size_t next; /* field index */
};

struct tally {
	uint32_t files, frames, truncations;
	uint32_t ops[256];
	/* for the round over all frames: gets each frame once */
	void (*visit)(struct tally *tally, const struct vector_frame *frame,
		      enum frame_kind kind, int32_t op, bool is_bad);
	struct random *random;
};

static int
mirror_frame(struct proto_mirror *mirror, enum frame_kind kind, int32_t op,
	     struct proto_request_header *header)
{
	switch (kind) {
	case FRAME_CONNECT_REQUEST:
		return proto_mirror_connect_request(mirror);
	case FRAME_CONNECT_RESPONSE:
		return proto_mirror_connect_response(mirror);
	case FRAME_REQUEST:
		return proto_mirror_request(mirror, header);
	default:
		return proto_mirror_reply(mirror, op);
	}
}

/* Labels in multi start with "[2] ", which the notes leave out. */
static const char *
label_without_index(const char *label)
{
	const char *end = label[0] == '[' ? strstr(label, "] ") : NULL;

	return end == NULL ? label : end + 2;
}

static const struct vector_field *
label_check_next(struct label_check *check, const char *name)
{
	const struct vector_field *field = NULL;
	const char *label = "(nothing)";
	const size_t n = strlen(name);

	if (check->next < check->frame->field_count) {
		field = &check->frame->fields[check->next++];
		label = label_without_index(field->label);
	}
	if (strncmp(label, name, n) != 0 ||
	    (label[n] != ' ' && label[n] != '\0'))
		fail_msg("%s: expected field %s, found %s", check->path, name,
			 label);
	return field;
}

static void
check_int(void *context, const char *name, int64_t value)
{
	struct label_check *check = context;
	const struct vector_field *field = label_check_next(check, name);
	const uint8_t *data = check->frame->data + field->offset;
	int64_t wanted = 0;

	if (field->bytes == 1)
		wanted = data[0] != 0;
	else if (field->bytes == 4)
		wanted = (int32_t)be_load32(data);
	else if (field->bytes == 8)
		wanted = (int64_t)be_load64(data);
	else
		fail_msg("%s: odd size of %s", check->path, name);
	if (value != wanted)
		fail_msg("%s: %s is %lld", check->path, name, (long long)value);
}

static void
check_slice(void *context, const char *name, struct jute_slice value)
{
	struct label_check *check = context;
	char label[96];
	const struct vector_field *field;

	(void)snprintf(label, sizeof(label), "%s length", name);
	check_int(context, label, value.bytes);
	if (value.bytes <= 0 && (check->next >= check->frame->field_count ||
				 check->frame->fields[check->next].bytes > 0))
		return;
	field = label_check_next(check, name);
	assert_int_equal(field->bytes, value.bytes);
	assert_memory_equal(check->frame->data + field->offset, value.data,
			    field->bytes);
}

/* Decodes with the labels as witnesses and encodes again. */
static int
mirror_checked(const char *path, const struct vector_frame *frame,
	       enum frame_kind kind, int32_t op,
	       struct proto_request_header *header)
{
	const size_t bytes = frame->bytes - LENGTH_BYTES;
	struct label_check check = {.path = path, .frame = frame};
	uint8_t *encoded = malloc(frame->bytes);
	struct proto_mirror mirror = {
		.in = jute_reader_of(frame->data + LENGTH_BYTES, bytes),
		.out = jute_writer_of(encoded, bytes),
		.note_int = check_int,
		.note_slice = check_slice,
		.context = &check,
	};
	int err;

	assert_int_equal(be_load32(frame->data), bytes);
	(void)label_check_next(&check, "frame length");
	err = mirror_frame(&mirror, kind, op, header);
	if (err == FAL_OK) {
		assert_int_equal(check.next, frame->field_count);
		assert_int_equal(jute_reader_left(&mirror.in), 0);
		assert_false(mirror.out.is_full);
		assert_int_equal(jute_written(&mirror.out), bytes);
		assert_memory_equal(encoded, frame->data + LENGTH_BYTES, bytes);
	}
	free(encoded);
	return err;
}

static struct pending
pending_take(struct connection *connection, int32_t xid, const char *path)
{
	struct pending taken;

	for (uint32_t i = 0; i < connection->count; i++) {
		if (connection->pending[i].xid != xid)
			continue;
		taken = connection->pending[i];
		connection->count--;
		memmove(&connection->pending[i], &connection->pending[i + 1],
			(connection->count - i) * sizeof(taken));
		return taken;
	}
	fail_msg("%s: reply to xid %d, which nobody sent", path, xid);
	return (struct pending){0};
}

static void
visit_client_frame(const char *path, struct connection *connection,
		   const struct vector_frame *frame, struct tally *tally)
{
	struct proto_request_header header = {0};
	enum frame_kind kind = FRAME_REQUEST;
	int err;

	if (strncmp(frame->fields[1].label, "protocolVersion", 15) == 0)
		kind = FRAME_CONNECT_REQUEST;
	err = mirror_checked(path, frame, kind, 0, &header);
	if (kind == FRAME_REQUEST) {
		assert_true(connection->count < PENDING_MAX);
		connection->pending[connection->count++] = (struct pending){
			.xid = header.xid,
			.op = header.type,
			.is_bad = err != FAL_OK,
		};
		tally->ops[(uint8_t)header.type]++;
	} else {
		assert_int_equal(err, FAL_OK);
	}
	if (tally->visit != NULL)
		tally->visit(tally, frame, kind, header.type, err != FAL_OK);
}

static void
visit_server_frame(const char *path, struct connection *connection,
		   const struct vector_frame *frame, struct tally *tally)
{
	struct pending request = {.op = OP_NOTIFICATION};
	enum frame_kind kind = FRAME_REPLY;
	int32_t err;

	if (strncmp(frame->fields[1].label, "protocolVersion", 15) == 0) {
		kind = FRAME_CONNECT_RESPONSE;
	} else {
		const int32_t xid =
			(int32_t)be_load32(frame->data + LENGTH_BYTES);

		if (xid != XID_NOTIFICATION)
			request = pending_take(connection, xid, path);
		err = (int32_t)be_load32(frame->data + LENGTH_BYTES + 12);
		if (request.is_bad && err != ZK_MARSHALLINGERROR &&
		    err != ZK_UNIMPLEMENTED)
			fail_msg("%s: xid %d did not decode, yet it is fine",
				 path, xid);
	}
	assert_int_equal(mirror_checked(path, frame, kind, request.op, NULL),
			 FAL_OK);
	if (tally->visit != NULL)
		tally->visit(tally, frame, kind, request.op, false);
}

static void
visit_file(const char *path, void *context)
{
	struct connection *connections =
		calloc(CONNECTIONS_MAX, sizeof(*connections));
	struct tally *tally = context;
	struct vector_file file;

	assert_non_null(connections);
	vector_file_load(path, &file);
	for (size_t i = 0; i < file.frame_count; i++) {
		const struct vector_frame *frame = &file.frames[i];

		assert_true(frame->field_count > 1);
		assert_in_range(frame->connection, 0, CONNECTIONS_MAX - 1);
		if (frame->is_from_client)
			visit_client_frame(path,
					   &connections[frame->connection],
					   frame, tally);
		else
			visit_server_frame(path,
					   &connections[frame->connection],
					   frame, tally);
		tally->frames++;
	}
	tally->files++;
	vector_file_free(&file);
	free(connections);
}

static void
every_captured_frame_decodes_and_encodes_to_itself(void **state)
{
	static const int32_t ops[] = {
		OP_CREATE,
		OP_DELETE,
		OP_EXISTS,
		OP_GET_DATA,
		OP_SET_DATA,
		OP_GET_ACL,
		OP_SET_ACL,
		OP_GET_CHILDREN,
		OP_SYNC,
		OP_PING,
		OP_GET_CHILDREN2,
		OP_CHECK,
		OP_MULTI,
		OP_CREATE2,
		OP_RECONFIG,
		OP_CHECK_WATCHES,
		OP_REMOVE_WATCHES,
		OP_CREATE_CONTAINER,
		OP_CREATE_TTL,
		OP_MULTI_READ,
		OP_AUTH,
		OP_SET_WATCHES,
		OP_SASL,
		OP_GET_EPHEMERALS,
		OP_GET_ALL_CHILDREN_NUMBER,
		OP_SET_WATCHES2,
		OP_ADD_WATCH,
		OP_WHO_AM_I,
		OP_CLOSE_SESSION,
	};
	struct tally tally = {0};

	(void)state;
	vector_files_visit(GOLDEN_DIR "/client", ".hex", visit_file, &tally);
	printf("%u frames in %u files\n", tally.frames, tally.files);
	assert_true(tally.files >= 84 && tally.frames >= 600);
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		assert_true(tally.ops[(uint8_t)ops[i]] > 0);
}

/* Decodes a copy in memory of exactly that size. *again: out, nullable, the
 * encoding, `bytes` bytes of room; *again_bytes: out. */
static int
mirror_exact(const uint8_t *data, size_t bytes, enum frame_kind kind,
	     int32_t op, uint8_t *again, size_t *again_bytes)
{
	uint8_t *copy = malloc(bytes == 0 ? 1 : bytes);
	struct proto_request_header header;
	struct proto_mirror mirror = {.out = jute_writer_of(again, bytes)};
	int err;

	assert_non_null(copy);
	memcpy(copy, data, bytes);
	mirror.in = jute_reader_of(copy, bytes);
	err = mirror_frame(&mirror, kind, op, &header);
	assert_true(err == FAL_OK || err == FAL_EPROTO);
	assert_false(err == FAL_OK && mirror.out.is_full);
	*again_bytes = jute_written(&mirror.out);
	free(copy);
	return err;
}

/* The only record whose tail may be missing is that with readOnly. */
static bool
is_complete_without_tail(const struct vector_frame *frame, enum frame_kind kind,
			 size_t bytes)
{
	const size_t without_read_only =
		kind == FRAME_CONNECT_REQUEST ? 44 : 36;

	if (kind != FRAME_CONNECT_REQUEST && kind != FRAME_CONNECT_RESPONSE)
		return false;
	return bytes == without_read_only &&
	       frame->bytes - LENGTH_BYTES == without_read_only + 1;
}

static void
visit_truncations(struct tally *tally, const struct vector_frame *frame,
		  enum frame_kind kind, int32_t op, bool is_bad)
{
	const uint8_t *body = frame->data + LENGTH_BYTES;
	uint8_t *again = malloc(frame->bytes);
	size_t again_bytes;

	assert_non_null(again);
	for (size_t n = 0; n < frame->bytes - LENGTH_BYTES; n++) {
		const int err =
			mirror_exact(body, n, kind, op, again, &again_bytes);

		if (is_complete_without_tail(frame, kind, n))
			assert_int_equal(err, FAL_OK);
		else
			assert_int_equal(err, FAL_EPROTO);
		tally->truncations++;
	}
	assert_int_equal(mirror_exact(body, frame->bytes - LENGTH_BYTES, kind,
				      op, again, &again_bytes),
			 is_bad ? FAL_EPROTO : FAL_OK);
	free(again);
}

static void
every_truncation_is_a_protocol_error(void **state)
{
	struct tally tally = {.visit = visit_truncations};

	(void)state;
	vector_files_visit(GOLDEN_DIR "/client", ".hex", visit_file, &tally);
	printf("%u truncations\n", tally.truncations);
	assert_true(tally.truncations > 20000);
}

/* Values that find limits more often than random bytes do. */
static void
mutate(struct random *random, uint8_t *data, size_t bytes)
{
	static const uint32_t words[] = {0,          1,          0xffffffff,
					 0xfffffffe, 0x7fffffff, 0x80000000};
	const uint32_t changes = 1 + random_below(random, 3);

	for (uint32_t i = 0; i < changes; i++) {
		const uint32_t at = random_below(random, (uint32_t)bytes);

		if (bytes - at >= 4 && random_below(random, 2) == 0)
			be_store32(data + at, words[random_below(random, 6)]);
		else
			data[at] = (uint8_t)random_next(random);
	}
}

/* kind and op are kept even if the header changes: any reader must cope. */
static void
visit_mutations(struct tally *tally, const struct vector_frame *frame,
		enum frame_kind kind, int32_t op, bool is_bad)
{
	const size_t bytes = frame->bytes - LENGTH_BYTES;
	uint8_t *data = malloc(bytes), *first = malloc(bytes),
		*second = malloc(bytes);
	size_t first_bytes, second_bytes;

	(void)is_bad;
	assert_non_null(data);
	assert_non_null(first);
	assert_non_null(second);
	for (int round = 0; round < 30; round++) {
		memcpy(data, frame->data + LENGTH_BYTES, bytes);
		mutate(tally->random, data, bytes);
		if (mirror_exact(data, bytes, kind, op, first, &first_bytes) !=
		    FAL_OK)
			continue;
		assert_int_equal(mirror_exact(first, first_bytes, kind, op,
					      second, &second_bytes),
				 FAL_OK);
		assert_int_equal(first_bytes, second_bytes);
		assert_memory_equal(first, second, first_bytes);
	}
	free(data);
	free(first);
	free(second);
}

static void
what_decodes_after_random_changes_encodes_stably(void **state)
{
	struct random random = random_start(2);
	struct tally tally = {.visit = visit_mutations, .random = &random};

	(void)state;
	vector_files_visit(GOLDEN_DIR "/client", ".hex", visit_file, &tally);
}

static void
passwords_are_those_of_the_java_server(void **state)
{
	static const struct {
		uint64_t session_id;
		uint8_t password[PROTO_PASSWORD_BYTES];
	} rows[] = {
		{0x0100001089ee0000,
		 {0xd0, 0x6c, 0xa2, 0x82, 0x1d, 0x66, 0x40, 0x09, 0x2e, 0x54,
		  0xe6, 0xbc, 0x2e, 0x74, 0xbd, 0x71}},
		{0x0100001089ee0006,
		 {0xf6, 0xae, 0x96, 0x82, 0x5d, 0xfd, 0xfe, 0x92, 0x19, 0xda,
		  0xb4, 0x13, 0xd5, 0x85, 0xe6, 0x0b}},
		{0x0200001c4f8d0000,
		 {0xe9, 0x51, 0x54, 0x1b, 0xc2, 0x67, 0xdf, 0xc1, 0x6f, 0x45,
		  0x30, 0xce, 0xdb, 0x92, 0xe5, 0x02}},
		{0xff00001234560001,
		 {0x3b, 0xfd, 0x9e, 0xe8, 0x35, 0x2a, 0x52, 0xe2, 0x3b, 0xb2,
		  0xa6, 0x78, 0x3a, 0x16, 0x3a, 0x8d}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t password[PROTO_PASSWORD_BYTES];

		proto_session_password((int64_t)rows[i].session_id, password);
		assert_memory_equal(password, rows[i].password,
				    PROTO_PASSWORD_BYTES);
	}
}

/* The captures hold pairs of session id and password by the dozen. */
static void
visit_password(struct tally *tally, const struct vector_frame *frame,
	       enum frame_kind kind, int32_t op, bool is_bad)
{
	struct jute_reader reader = jute_reader_of(frame->data + LENGTH_BYTES,
						   frame->bytes - LENGTH_BYTES);
	struct proto_connect_response response;
	uint8_t password[PROTO_PASSWORD_BYTES];

	(void)op;
	(void)is_bad;
	if (kind != FRAME_CONNECT_RESPONSE)
		return;
	assert_int_equal(proto_get_connect_response(&reader, &response),
			 FAL_OK);
	if (response.session_id == 0)
		return;
	proto_session_password(response.session_id, password);
	assert_memory_equal(password, response.password, sizeof(password));
	tally->truncations++;
}

static void
passwords_of_all_captured_sessions_match(void **state)
{
	struct tally tally = {.visit = visit_password};

	(void)state;
	vector_files_visit(GOLDEN_DIR "/client", ".hex", visit_file, &tally);
	assert_true(tally.truncations >= 20);
}

static void
a_null_vector_or_path_in_set_watches_is_refused(void **state)
{
	static const uint8_t empty[20] = {0};
	uint8_t bytes[32];
	struct proto_set_watches request;

	(void)state;
	for (size_t at = 0; at < 3; at++) {
		struct jute_reader reader;

		memcpy(bytes, empty, sizeof(empty));
		reader = jute_reader_of(bytes, sizeof(empty));
		assert_int_equal(proto_get_set_watches(&reader, OP_SET_WATCHES,
						       &request),
				 FAL_OK);
		assert_int_equal(request.paths[3].count, 0);
		assert_int_equal(request.paths[4].count, 0);
		be_store32(bytes + 8 + 4 * at, UINT32_MAX);
		reader = jute_reader_of(bytes, sizeof(empty));
		assert_int_equal(proto_get_set_watches(&reader, OP_SET_WATCHES,
						       &request),
				 FAL_EPROTO);
		/* one element, first empty, then null */
		memset(bytes, 0, sizeof(bytes));
		be_store32(bytes + 8 + 4 * at, 1);
		reader = jute_reader_of(bytes, 24);
		assert_int_equal(proto_get_set_watches(&reader, OP_SET_WATCHES,
						       &request),
				 FAL_OK);
		be_store32(bytes + 8 + 4 * at + 4, UINT32_MAX);
		reader = jute_reader_of(bytes, 24);
		assert_int_equal(proto_get_set_watches(&reader, OP_SET_WATCHES,
						       &request),
				 FAL_EPROTO);
	}
}

static void
a_null_path_of_a_persistent_watch_is_taken(void **state)
{
	(void)state;
	for (size_t list = 0; list < 5; list++) {
		uint8_t bytes[32] = {0};
		struct proto_set_watches request;
		struct jute_reader reader =
			jute_reader_of(bytes, sizeof(bytes));

		be_store32(bytes + 8 + 4 * list, 1);
		be_store32(bytes + 8 + 4 * list + 4, UINT32_MAX);
		assert_int_equal(proto_get_set_watches(&reader, OP_SET_WATCHES2,
						       &request),
				 list < 3 ? FAL_EPROTO : FAL_OK);
	}
}

static void
a_negative_acl_count_is_empty_but_null_stays_null(void **state)
{
	struct jute_vector acl;
	uint8_t bytes[4];
	struct jute_reader reader = jute_reader_of(bytes, 4);

	(void)state;
	be_store32(bytes, (uint32_t)-5);
	assert_int_equal(proto_get_acl_vector(&reader, &acl), FAL_OK);
	assert_int_equal(acl.count, 0);
	assert_int_equal(acl.bytes, 0);
	be_store32(bytes, UINT32_MAX);
	reader = jute_reader_of(bytes, 4);
	assert_int_equal(proto_get_acl_vector(&reader, &acl), FAL_OK);
	assert_int_equal(acl.count, -1);
	/* a count that no input could hold ends with the bytes */
	be_store32(bytes, INT32_MAX);
	reader = jute_reader_of(bytes, 4);
	assert_int_equal(proto_get_acl_vector(&reader, &acl), FAL_EPROTO);
}

static void
bytes_behind_a_record_are_left_alone(void **state)
{
	uint8_t bytes[64];
	struct jute_writer writer = jute_writer_of(bytes, sizeof(bytes));
	struct jute_reader reader;
	struct proto_path_watch request;

	(void)state;
	jute_put_cstr(&writer, "/a");
	jute_put_bool(&writer, true);
	reader = jute_reader_of(bytes, jute_written(&writer) + 5);
	assert_int_equal(proto_get_path_watch(&reader, &request), FAL_OK);
	assert_true(request.has_watch);
	assert_int_equal(jute_reader_left(&reader), 5);
}

static void
a_connect_response_has_16_bytes_of_password(void **state)
{
	uint8_t bytes[64] = {0};
	struct proto_connect_response response;

	(void)state;
	for (uint32_t n = 0; n < 40; n++) {
		struct jute_reader reader = jute_reader_of(bytes, 20 + n);

		be_store32(bytes + 16, n);
		assert_int_equal(proto_get_connect_response(&reader, &response),
				 n == 16 ? FAL_OK : FAL_EPROTO);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			every_captured_frame_decodes_and_encodes_to_itself),
		cmocka_unit_test(every_truncation_is_a_protocol_error),
		cmocka_unit_test(
			what_decodes_after_random_changes_encodes_stably),
		cmocka_unit_test(passwords_are_those_of_the_java_server),
		cmocka_unit_test(passwords_of_all_captured_sessions_match),
		cmocka_unit_test(
			a_null_vector_or_path_in_set_watches_is_refused),
		cmocka_unit_test(a_null_path_of_a_persistent_watch_is_taken),
		cmocka_unit_test(
			a_negative_acl_count_is_empty_but_null_stays_null),
		cmocka_unit_test(bytes_behind_a_record_are_left_alone),
		cmocka_unit_test(a_connect_response_has_16_bytes_of_password),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
