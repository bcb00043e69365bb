/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes: whatever a client sends, the leader's tree stays sound, its digest
 * is the sum over all nodes, and the entry makes a follower the same.
 *
 * Input: requests one behind the other,
 *
 *   byte kind      0x80: raw body, else built from what follows
 *                  low bits: index into types[]
 *   byte length    raw: of the body
 *   ...            body, or operands: path components, flags, version, data
 *
 * A built body uses paths over three names, so that requests meet; a raw one
 * is for the decoders.
 */

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "znode/prep.h"

#define SESSION     0x0100000000000001
#define BODY_BYTES  8192u
#define ENTRY_BYTES 65536u

static const int32_t types[] = {
	OP_CREATE,       OP_CREATE2,  OP_CREATE_CONTAINER, OP_CREATE_TTL,
	OP_DELETE,       OP_SET_DATA, OP_SET_ACL,          OP_CHECK,
	OP_MULTI,        OP_RECONFIG, OP_DELETE_CONTAINER, OP_CREATE_SESSION,
	OP_CLOSE_SESSION};

#define TYPE_COUNT ((uint8_t)(sizeof(types) / sizeof(types[0])))

/* The input as it is used up; zeros behind its end. */
struct input {
	const uint8_t *at, *end;
};

struct side {
	struct tree *tree;
	struct session_table *sessions;
	struct prep *prep;
	struct txn_result result;
	uint64_t digest; /* after the last transaction */
};

static uint8_t
take(struct input *input)
{
	return input->at < input->end ? *input->at++ : 0;
}

/* ---- bodies -------------------------------------------------------------- */

static void
put_path(struct jute_writer *body, struct input *input)
{
	static const char *const parts[] = {"/a",
					    "/b",
					    "/zookeeper",
					    "/quota",
					    "/zookeeper_limits",
					    "/zookeeper_stats",
					    "/",
					    "/."};
	char text[512] = "";
	uint8_t code = take(input);

	for (int i = 0; i < 8 && code != 0; i++) {
		strcat(text, parts[code & 7]);
		code = (uint8_t)(i == 2 ? take(input) : code >> 3);
	}
	jute_put_cstr(body, text);
}

static void
put_acl(struct jute_writer *body, struct input *input)
{
	static const char *const schemes[] = {"world", "digest", "ip", "auth",
					      "\xFF"};
	static const char *const ids[] = {"anyone", "a:b", "127.0.0.1/8", "",
					  "\xF0\x9F\x98\x80:x"};
	const uint8_t code = take(input);
	const int32_t count = code < 0xC0 ? 1 : (int32_t)(code & 0x3F) - 1;

	jute_put_int(body, count);
	for (int32_t i = 0; i < count; i++) {
		const uint8_t which = code < 0x80 ? 0 : take(input);

		jute_put_int(body, code < 0x80 ? PERM_ALL : which);
		jute_put_cstr(body, schemes[which % 5]);
		jute_put_cstr(body, ids[(which >> 4) % 5]);
	}
}

static void
put_data(struct jute_writer *body, struct input *input)
{
	static const char text[256] =
		"count=1,bytes=2=;byteHardLimit=3;countHardLimit=4";
	const uint8_t bytes = take(input);

	if (bytes == 255)
		jute_put_int(body, -1);
	else
		jute_put_slice(body, jute_slice_of(text, bytes));
}

static int32_t
small_int(struct input *input)
{
	return (int32_t)(int8_t)take(input);
}

static void put_multi(struct jute_writer *body, struct input *input);

static void
put_body(struct jute_writer *body, struct input *input, int32_t type)
{
	switch (type) {
	case OP_MULTI:
		put_multi(body, input);
		return;
	case OP_CREATE_SESSION:
	case OP_CLOSE_SESSION:
		return;
	default:
		break;
	}
	put_path(body, input);
	switch (type) {
	case OP_DELETE:
	case OP_CHECK:
		jute_put_int(body, small_int(input));
		break;
	case OP_SET_DATA:
		put_data(body, input);
		jute_put_int(body, small_int(input));
		break;
	case OP_SET_ACL:
		put_acl(body, input);
		jute_put_int(body, small_int(input));
		break;
	case OP_RECONFIG:
		jute_put_int(body, -1);
		jute_put_int(body, -1);
		jute_put_long(body, small_int(input));
		break;
	case OP_DELETE_CONTAINER:
		break;
	default:
		put_data(body, input);
		put_acl(body, input);
		jute_put_int(body, small_int(input));
		if (type == OP_CREATE_TTL)
			jute_put_long(body, small_int(input));
		break;
	}
}

static void
put_multi(struct jute_writer *body, struct input *input)
{
	struct proto_multi_header header = {.err = -1};

	for (uint8_t count = take(input) & 7; count > 0; count--) {
		/* Up to setData, and check: what may be in a multi. */
		header.type = types[take(input) % 8];
		proto_put_multi_header(body, &header);
		put_body(body, input, header.type);
	}
	header.type = OP_ERROR;
	header.is_done = true;
	proto_put_multi_header(body, &header);
}

/* ---- checks -------------------------------------------------------------- */

static uint64_t
node_digest(struct tree *tree, const struct znode *node)
{
	uint8_t text[4096];
	uint8_t fixed[60];
	struct tree_stat stat;
	struct jute_writer writer = jute_writer_of(fixed, sizeof(fixed));
	const uint32_t bytes = tree_path_text(tree, node, text, sizeof(text));
	const struct jute_slice data = tree_spec_data(tree, node);

	FAL_ASSERT(bytes <= sizeof(text));
	if (bytes >= 11 && memcmp(text, "/zookeeper/", 11) == 0)
		return 0;
	tree_spec_stat(tree, node, &stat);
	jute_put_long(&writer, stat.czxid);
	jute_put_long(&writer, stat.mzxid);
	jute_put_long(&writer, stat.pzxid);
	jute_put_long(&writer, stat.ctime);
	jute_put_long(&writer, stat.mtime);
	jute_put_int(&writer, stat.version);
	jute_put_int(&writer, stat.cversion);
	jute_put_int(&writer, stat.aversion);
	jute_put_long(&writer, stat.owner);
	uLong crc = crc32(0, text, bytes);

	if (data.bytes > 0)
		crc = crc32(crc, data.data, (uInt)data.bytes);
	return crc32(crc, fixed, sizeof(fixed));
}

/* Inputs are short, so trees are shallow. */
static uint64_t
subtree_digest(struct tree *tree, struct znode *node)
{
	uint64_t digest = node_digest(tree, node);
	uint64_t cursor = 0;
	struct znode *child;

	while ((child = tree_spec_child(tree, node, &cursor)) != NULL)
		digest += subtree_digest(tree, child);
	return digest;
}

static void
side_open(struct side *side, const struct prep_options *options)
{
	const struct tree_options tree_options = {.region_bytes = 1ull << 30,
						  .has_extended_types = true,
						  .is_digest_on = true};

	memset(side, 0, sizeof(*side));
	FAL_ASSERT(tree_create(&tree_options, &side->tree) == 0);
	FAL_ASSERT(session_table_create(500, &side->sessions) == 0);
	FAL_ASSERT(prep_create(options, side->tree, side->sessions,
			       &side->prep) == 0);
	prep_publish_session(side->prep, OP_CREATE_SESSION, SESSION, 9, 1);
}

static void
side_close(struct side *side)
{
	txn_result_free(&side->result);
	prep_destroy(side->prep);
	session_table_destroy(side->sessions);
	tree_destroy(side->tree);
}

/* The follower must end where the leader did. */
static void
follow(struct side *leader, struct side *follower, const uint8_t *entry)
{
	bool matches = true;
	const int err =
		prep_apply(follower->prep, entry, leader->result.entry_bytes,
			   &follower->result, &matches);

	FAL_ASSERT(err == 0);
	FAL_ASSERT(matches);
	FAL_ASSERT(leader->result.digest == follower->result.digest);
	FAL_ASSERT(leader->result.err == follower->result.err);
	FAL_ASSERT(leader->result.effect_count ==
		   follower->result.effect_count);
	FAL_ASSERT(leader->result.reply.bytes == follower->result.reply.bytes);
	FAL_ASSERT(leader->result.reply.bytes == 0 ||
		   memcmp(leader->result.reply.data,
			  follower->result.reply.data,
			  leader->result.reply.bytes) == 0);
}

/* One request; false when it got no transaction. */
static bool
step(struct side *leader, struct side *follower, struct input *input,
     const struct auth_ids *ids, int64_t zxid)
{
	static uint8_t memory[BODY_BYTES], entry_memory[ENTRY_BYTES];
	struct jute_writer body = jute_writer_of(memory, sizeof(memory));
	const uint8_t kind = take(input);
	struct prep_request request = {.session_id = SESSION,
				       .type = types[kind % 16 % TYPE_COUNT],
				       .ids = ids,
				       .timeout_ms = 9,
				       .is_local_session = (kind & 0x10) != 0};

	if ((kind & 0x80) != 0) {
		for (uint8_t bytes = take(input); bytes > 0; bytes--)
			*jute_claim(&body, 1) = take(input);
	} else {
		put_body(&body, input, request.type);
	}
	/* Of its exact size, so that the sanitizer sees every byte too far. */
	const size_t bytes = jute_written(&body);
	uint8_t *exact = malloc(bytes + 1);

	FAL_ASSERT(exact != NULL);
	memcpy(exact, memory, bytes);
	request.body = exact;
	request.body_bytes = (uint32_t)bytes;
	/* A small log window now and then: the entry does not fit. */
	struct jute_writer entry = jute_writer_of(
		entry_memory, (kind & 0x20) != 0 ? 100 : ENTRY_BYTES);
	const int err = prep_request(leader->prep, &request, zxid, zxid, &entry,
				     &leader->result);

	free(exact);
	if (err != 0)
		return false;
	follow(leader, follower, entry_memory);
	leader->digest = leader->result.digest;
	prep_publish_session(leader->prep, leader->result.type, SESSION, 9, 1);
	if ((kind & 0x40) != 0) {
		tree_publish(leader->tree, zxid);
		tree_publish(follower->tree, zxid);
		tree_reclaim(leader->tree, UINT32_MAX);
	}
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	const struct acl_options acl_options = {.is_digest_enabled = true};
	/* As a leader has it, whose followers answer from the record. */
	struct prep_options options = {.acl = &acl_options,
				       .has_extended_types = true,
				       .is_digest_on = true,
				       .has_close_paths = true,
				       .enforce_quota = true,
				       .answers_create2_as_create = true};
	struct input input = {.at = data, .end = data + bytes};
	struct auth_ids *ids = auth_ids_new(&acl_options, "127.0.0.1");
	struct side leader, follower;
	int64_t zxid = 0;

	side_open(&leader, &options);
	side_open(&follower, &options);
	while (input.at < input.end)
		zxid += step(&leader, &follower, &input, ids, zxid + 1);
	if (zxid > 0)
		FAL_ASSERT(
			subtree_digest(leader.tree, tree_root(leader.tree)) ==
			leader.digest);
	side_close(&follower);
	side_close(&leader);
	auth_ids_free(ids);
	return 0;
}
