/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request - encoding by wire/proto.h; nothing here knows of sockets.
 *
 * Replies are checked to their last byte: a body that is too long or too short
 * is wrong, a Stat must tell the length of data that the run works with.
 */
#include "perf/load/request.h"

#include <stdio.h>
#include <string.h>

#include "wire/frame.h"
#include "wire/proto.h"

/* The data of every node; without const it needs no room in the program. */
static uint8_t value[LOAD_VALUE_BYTES_MAX];

/* vector<ACL> with the one entry world:anyone ALL, as it is on the wire. */
static const uint8_t open_acl[] = {
	0,   0, 0, 31, 0, 0,   0,   5,   'w', 'o', 'r', 'l',
	'd', 0, 0, 0,  6, 'a', 'n', 'y', 'o', 'n', 'e',
};

struct path {
	char text[128];
	uint32_t bytes;
};

static struct jute_slice
path_slice(const struct path *path)
{
	return jute_slice_of(path->text, path->bytes);
}

static void
path_of_directory(const struct load_options *options, uint32_t key,
		  struct path *out)
{
	out->bytes =
		(uint32_t)snprintf(out->text, sizeof(out->text), "%s/d%06u",
				   options->root, key / LOAD_KEYS_PER_DIR);
}

/* Digits by hand: at 200000 requests a second snprintf would be the load. */
static void
append_number(struct path *path, uint64_t number, uint32_t digits)
{
	for (uint32_t i = digits; i > 0; i--) {
		path->text[path->bytes + i - 1] = (char)('0' + number % 10);
		number /= 10;
	}
	path->bytes += digits;
}

static void
append_text(struct path *path, const char *text, uint32_t bytes)
{
	memcpy(path->text + path->bytes, text, bytes);
	path->bytes += bytes;
}

static void
path_begin(const struct load_options *options, struct path *out)
{
	out->bytes = 0;
	append_text(out, options->root, (uint32_t)strlen(options->root));
}

static void
path_of_key(const struct load_options *options, uint64_t key, struct path *out)
{
	path_begin(options, out);
	append_text(out, "/d", 2);
	append_number(out, key / LOAD_KEYS_PER_DIR, 6);
	append_text(out, "/k", 2);
	append_number(out, key, 9);
}

static void
path_of_own(const struct load_options *options, uint32_t conn, uint64_t number,
	    struct path *out)
{
	path_begin(options, out);
	append_text(out, "/t", 2);
	append_number(out, options->run_tag, 7);
	append_text(out, "-", 1);
	append_number(out, conn, 5);
	append_text(out, "-", 1);
	append_number(out, number, 8);
}

static void
put_header(struct jute_writer *writer, int32_t xid, int32_t type)
{
	const struct proto_request_header header = {.xid = xid, .type = type};

	proto_put_request_header(writer, &header);
}

static void
put_create_body(struct jute_writer *writer, struct jute_slice path,
		uint32_t value_bytes)
{
	const struct proto_create_request request = {
		.path = path,
		.data = jute_slice_of(value, value_bytes),
		.acl = {.data = open_acl,
			.count = 1,
			.bytes = sizeof(open_acl)},
		.flags = CREATE_PERSISTENT,
		.ttl = -1};

	proto_put_create(writer, OP_CREATE, &request);
}

static void
put_get(struct jute_writer *writer, int32_t xid, int32_t type,
	const struct path *path, bool has_watch)
{
	const struct proto_path_watch request = {.path = path_slice(path),
						 .has_watch = has_watch};

	put_header(writer, xid, type);
	proto_put_path_watch(writer, &request);
}

static void
put_set_body(struct jute_writer *writer, const struct path *path,
	     uint32_t value_bytes)
{
	const struct proto_set_data_request request = {
		.path = path_slice(path),
		.data = jute_slice_of(value, value_bytes),
		.version = -1};

	proto_put_set_data(writer, &request);
}

static void
put_delete(struct jute_writer *writer, int32_t xid, const struct path *path)
{
	const struct proto_path_version request = {.path = path_slice(path),
						   .version = -1};

	put_header(writer, xid, OP_DELETE);
	proto_put_path_version(writer, &request);
}

void
request_put(struct jute_writer *writer, const struct load_options *options,
	    enum load_op op, int32_t xid, uint32_t conn, uint64_t number)
{
	const size_t mark = frame_begin(writer);
	struct path path;

	if (op == LOAD_OP_CREATE || op == LOAD_OP_DELETE)
		path_of_own(options, conn, number, &path);
	else if (op == LOAD_OP_CHILDREN)
		path_of_directory(options, 0, &path);
	else
		path_of_key(options, number, &path);
	switch (op) {
	case LOAD_OP_GET:
	case LOAD_OP_WATCH:
		put_get(writer, xid, OP_GET_DATA, &path, op == LOAD_OP_WATCH);
		break;
	case LOAD_OP_EXISTS:
		put_get(writer, xid, OP_EXISTS, &path, false);
		break;
	case LOAD_OP_CHILDREN:
		put_get(writer, xid, OP_GET_CHILDREN, &path, false);
		break;
	case LOAD_OP_SYNC:
		put_header(writer, xid, OP_SYNC);
		jute_put_slice(writer, path_slice(&path));
		break;
	case LOAD_OP_SET:
		put_header(writer, xid, OP_SET_DATA);
		put_set_body(writer, &path, options->value_bytes);
		break;
	case LOAD_OP_CREATE:
		put_header(writer, xid, OP_CREATE);
		put_create_body(writer, path_slice(&path),
				options->value_bytes);
		break;
	default:
		put_delete(writer, xid, &path);
		break;
	}
	frame_end(writer, mark);
}

void
request_put_set_two(struct jute_writer *writer,
		    const struct load_options *options, int32_t xid,
		    uint64_t one, uint64_t other)
{
	const struct proto_multi_header set = {.type = OP_SET_DATA, .err = -1};
	const struct proto_multi_header end = {
		.type = -1, .is_done = true, .err = -1};
	const uint64_t number[] = {one, other};
	const size_t mark = frame_begin(writer);
	struct path path;

	put_header(writer, xid, OP_MULTI);
	for (uint32_t i = 0; i < 2; i++) {
		path_of_key(options, number[i], &path);
		proto_put_multi_header(writer, &set);
		put_set_body(writer, &path, options->value_bytes);
	}
	proto_put_multi_header(writer, &end);
	frame_end(writer, mark);
}

void
request_put_directory(struct jute_writer *writer, const char *path, int32_t xid)
{
	const size_t mark = frame_begin(writer);

	put_header(writer, xid, OP_CREATE);
	put_create_body(writer, jute_slice_of(path, strlen(path)), 0);
	frame_end(writer, mark);
}

uint32_t
request_put_fill(struct jute_writer *writer, const struct load_options *options,
		 int32_t xid, uint32_t first, uint32_t count)
{
	const struct proto_multi_header create = {.type = OP_CREATE, .err = -1};
	const struct proto_multi_header end = {
		.type = -1, .is_done = true, .err = -1};
	const size_t mark = frame_begin(writer);
	uint32_t created = 0;
	struct path path;

	put_header(writer, xid, OP_MULTI);
	for (uint32_t key = first; key < first + count; key++) {
		if (key % LOAD_KEYS_PER_DIR == 0) {
			path_of_directory(options, key, &path);
			proto_put_multi_header(writer, &create);
			put_create_body(writer, path_slice(&path), 0);
			created++;
		}
		path_of_key(options, key, &path);
		proto_put_multi_header(writer, &create);
		put_create_body(writer, path_slice(&path),
				options->value_bytes);
		created++;
	}
	proto_put_multi_header(writer, &end);
	frame_end(writer, mark);
	return created;
}

void
request_put_ping(struct jute_writer *writer)
{
	const size_t mark = frame_begin(writer);

	put_header(writer, XID_PING, OP_PING);
	frame_end(writer, mark);
}

void
request_put_connect(struct jute_writer *writer, int32_t timeout_ms)
{
	static const uint8_t no_password[PROTO_PASSWORD_BYTES];
	const struct proto_connect_request request = {
		.timeout_ms = timeout_ms,
		.password = jute_slice_of(no_password, sizeof(no_password)),
		.has_read_only = true};
	const size_t mark = frame_begin(writer);

	proto_put_connect_request(writer, &request);
	frame_end(writer, mark);
}

void
request_put_exists(struct jute_writer *writer,
		   const struct load_options *options, int32_t xid,
		   uint32_t key)
{
	request_put(writer, options, LOAD_OP_EXISTS, xid, 0, key);
}

static bool
stat_is_right(struct jute_reader *body, const struct load_options *options)
{
	struct proto_stat stat;

	return proto_get_stat(body, &stat) == 0 &&
	       stat.data_length == (int32_t)options->value_bytes;
}

static bool
multi_is_right(struct jute_reader *body, uint32_t created)
{
	struct proto_multi_header header;

	for (uint32_t i = 0; i < created; i++)
		if (proto_get_multi_header(body, &header) != 0 ||
		    header.type != OP_CREATE || header.err != ZK_OK ||
		    jute_get_slice(body).bytes <= 0)
			return false;
	return proto_get_multi_header(body, &header) == 0 && header.is_done;
}

static bool
set_two_is_right(struct jute_reader *body, const struct load_options *options)
{
	struct proto_multi_header header;

	for (uint32_t i = 0; i < 2; i++)
		if (proto_get_multi_header(body, &header) != 0 ||
		    header.type != OP_SET_DATA || !stat_is_right(body, options))
			return false;
	return proto_get_multi_header(body, &header) == 0 && header.is_done;
}

/* The first directory holds its thousand keys, or all if there are fewer. */
static bool
children_are_right(struct jute_reader *body, const struct load_options *options)
{
	const uint32_t keys = options->keys < LOAD_KEYS_PER_DIR
				      ? options->keys
				      : LOAD_KEYS_PER_DIR;
	struct jute_vector names;

	return proto_get_string_vector(body, &names) == 0 &&
	       names.count == (int32_t)keys;
}

static bool
body_is_right(enum load_op op, const struct load_options *options,
	      struct jute_reader *body, uint32_t created)
{
	switch (op) {
	case LOAD_OP_GET:
	case LOAD_OP_WATCH:
		return jute_get_slice(body).bytes ==
			       (int32_t)options->value_bytes &&
		       stat_is_right(body, options);
	case LOAD_OP_SET:
	case LOAD_OP_EXISTS:
		return stat_is_right(body, options);
	case LOAD_OP_CREATE:
	case LOAD_OP_SYNC:
		return jute_get_slice(body).bytes > 0;
	case LOAD_OP_CHILDREN:
		return children_are_right(body, options);
	case LOAD_OP_SET_TWO:
		return set_two_is_right(body, options);
	case LOAD_OP_MULTI:
		return multi_is_right(body, created);
	default:
		return true; /* delete: no body */
	}
}

bool
request_reply_is_right(enum load_op op, const struct load_options *options,
		       struct jute_reader *body, uint32_t created)
{
	return body_is_right(op, options, body, created) &&
	       jute_reader_ok(body) && jute_reader_left(body) == 0;
}
