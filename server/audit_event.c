/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit_event - which lines an update is worth, and how they read.
 *
 * Names and order of the fields, which operations are told and which are not
 * (check, sync, sessions) are ZooKeeper's, taken from a running server:
 * tests/golden/admin/audit.txt. One difference is on purpose: of digest ids in
 * an ACL ZooKeeper prints the hash of the password, here it is an x.
 */
#include "server/audit_event.h"

#include <inttypes.h>
#include <string.h>

#include "wire/proto.h"
#include "znode/acl.h"
#include "znode/effect.h"

/* ---- an update's events -------------------------------------------------- */

struct taker {
	void (*take)(void *arg, const struct audit_parts *);
	void *arg;
	struct audit_parts parts; /* what all lines of the update share */
};

static void
take(struct taker *taker, enum audit_operation operation, bool is_success,
     struct jute_slice path)
{
	taker->parts.event.operation = (uint8_t)operation;
	taker->parts.event.is_success = is_success;
	taker->parts.event.has_path = path.bytes >= 0;
	taker->parts.path = path;
	taker->take(taker->arg, &taker->parts);
	taker->parts.event.create_flags = -1;
	taker->parts.acl = (struct jute_slice){.bytes = 0};
}

static struct jute_reader
reply_of(const struct reader_update *update)
{
	return jute_reader_of(update->reply, update->reply_bytes);
}

/* The path that was made has a number if it is sequential. */
static void
take_create(struct taker *taker, const struct reader_update *update)
{
	struct jute_reader body =
		jute_reader_of(update->body, update->body_bytes);
	struct jute_reader reply = reply_of(update);
	struct proto_create_request request;
	struct jute_slice path;

	if (proto_get_create(&body, update->op, &request) != 0)
		return;
	path = request.path;
	if (update->err == ZK_OK) {
		path = jute_get_slice(&reply);
		if (!jute_reader_ok(&reply))
			path = request.path;
	}
	taker->parts.event.create_flags = (int8_t)request.flags;
	take(taker, AUDIT_CREATE, update->err == ZK_OK, path);
}

static void
take_set_acl(struct taker *taker, const struct reader_update *update)
{
	struct jute_reader body =
		jute_reader_of(update->body, update->body_bytes);
	struct proto_set_acl_request request;
	struct jute_slice path = jute_get_slice(&body);
	const uint8_t *from = body.at;

	body = jute_reader_of(update->body, update->body_bytes);
	if (proto_get_set_acl(&body, &request) != 0)
		return;
	/* vector, then the version's four bytes */
	taker->parts.acl = jute_slice_of(from, (uint32_t)(body.at - from) - 4);
	take(taker, AUDIT_SET_ACL, update->err == ZK_OK, path);
}

/* Requests that begin with a path. */
static void
take_path(struct taker *taker, const struct reader_update *update,
	  enum audit_operation operation)
{
	struct jute_reader body =
		jute_reader_of(update->body, update->body_bytes);

	take(taker, operation, update->err == ZK_OK, jute_get_slice(&body));
}

/* One operation of a multi that went well, with its result. False: no more. */
static bool
take_multi_op(struct taker *taker, struct jute_reader *body,
	      struct jute_reader *reply)
{
	struct proto_multi_header header, result;
	struct proto_create_request create;
	struct proto_set_data_request set;
	struct proto_path_version version;
	struct proto_stat stat;
	struct jute_slice path;

	if (proto_get_multi_header(body, &header) != 0 || header.is_done ||
	    proto_get_multi_header(reply, &result) != 0)
		return false;
	switch (header.type) {
	case OP_CREATE:
	case OP_CREATE2:
	case OP_CREATE_CONTAINER:
	case OP_CREATE_TTL:
		if (proto_get_create(body, header.type, &create) != 0)
			return false;
		path = jute_get_slice(reply);
		if (!jute_reader_ok(reply) ||
		    (result.type != OP_CREATE &&
		     proto_get_stat(reply, &stat) != 0))
			return false;
		taker->parts.event.create_flags = (int8_t)create.flags;
		take(taker, AUDIT_CREATE, true, path);
		return true;
	case OP_SET_DATA:
		if (proto_get_set_data(body, &set) != 0 ||
		    proto_get_stat(reply, &stat) != 0)
			return false;
		take(taker, AUDIT_SET_DATA, true, set.path);
		return true;
	default: /* delete, check */
		if (proto_get_path_version(body, &version) != 0)
			return false;
		if (header.type == OP_DELETE)
			take(taker, AUDIT_DELETE, true, version.path);
		return true;
	}
}

static void
take_multi(struct taker *taker, const struct reader_update *update)
{
	struct jute_reader body =
		jute_reader_of(update->body, update->body_bytes);
	struct jute_reader reply = reply_of(update);
	const struct jute_slice none = {.bytes = -1};
	struct proto_multi_header first;

	/* A multi that was undone is answered by errors alone. */
	if (update->err != ZK_OK ||
	    proto_get_multi_header(&reply, &first) != 0 ||
	    (first.type == OP_ERROR && !first.is_done)) {
		take(taker, AUDIT_MULTI, false, none);
		return;
	}
	reply = reply_of(update);
	while (take_multi_op(taker, &body, &reply))
		continue;
}

/* What went without being asked for: ephemerals of a session that ended,
 * containers and TTL nodes that ran out. */
static void
take_deletions(struct taker *taker, const struct reader_update *update,
	       enum audit_operation operation)
{
	const uint8_t *at = update->effects;

	for (uint32_t i = 0; i < update->effect_count; i++) {
		const struct effect *effect = (const void *)at;

		if (effect->type == EVENT_NODE_DELETED)
			take(taker, operation, true,
			     jute_slice_of(effect->path, effect->path_bytes));
		at += effect_bytes(effect->path_bytes);
	}
}

void
audit_events_of(const struct reader_update *update,
		void (*take_fn)(void *arg, const struct audit_parts *),
		void *arg)
{
	struct taker taker = {
		.take = take_fn,
		.arg = arg,
		.parts =
			{
				.event = {.create_flags = -1,
					  .session_id = update->session_id,
					  .wall_ms = update->wall_ms,
					  .peer = update->peer},
				.ids = update->ids,
			},
	};

	/* Of a change that another server was asked for this one knows no more
	 * than the transaction, and that server tells it. */
	if (update->body == NULL && update->op != OP_CLOSE_SESSION &&
	    update->op != OP_DELETE_CONTAINER)
		return;
	switch (update->op) {
	case OP_CREATE:
	case OP_CREATE2:
	case OP_CREATE_CONTAINER:
	case OP_CREATE_TTL:
		take_create(&taker, update);
		break;
	case OP_DELETE:
		take_path(&taker, update, AUDIT_DELETE);
		break;
	case OP_SET_DATA:
		take_path(&taker, update, AUDIT_SET_DATA);
		break;
	case OP_SET_ACL:
		take_set_acl(&taker, update);
		break;
	case OP_MULTI:
		take_multi(&taker, update);
		break;
	case OP_RECONFIG:
		take(&taker, AUDIT_RECONFIG, update->err == ZK_OK,
		     (struct jute_slice){.bytes = -1});
		break;
	case OP_CLOSE_SESSION:
		taker.parts.ids = NULL;
		taker.parts.event.peer = (struct stream_address){.family = 0};
		take_deletions(&taker, update, AUDIT_EPHEMERAL_DELETION);
		break;
	case OP_DELETE_CONTAINER:
		take_deletions(&taker, update, AUDIT_DELETE);
		break;
	default:
		break;
	}
}

/* ---- text ---------------------------------------------------------------- */

static bool
is_scheme(const struct auth_id *id, const char *scheme)
{
	return (size_t)id->scheme.bytes == strlen(scheme) &&
	       memcmp(id->scheme.data, scheme, strlen(scheme)) == 0;
}

static uint32_t
add_user(char *text, uint32_t room, uint32_t used, const struct auth_id *id)
{
	uint32_t bytes = id->id.bytes < 0 ? 0 : (uint32_t)id->id.bytes;

	if (is_scheme(id, "digest") || is_scheme(id, "super")) {
		const uint8_t *colon = memchr(id->id.data, ':', bytes);

		if (colon != NULL)
			bytes = (uint32_t)(colon - id->id.data);
	}
	if (used > 0 && used < room)
		text[used++] = ',';
	if (bytes > room - used)
		bytes = room - used;
	memcpy(text + used, id->id.data, bytes);
	return used + bytes;
}

uint32_t
audit_user_text(const struct auth_ids *ids, char *text, uint32_t room)
{
	uint32_t used = 0;

	for (uint32_t i = 0; i < ids->count; i++)
		if (!is_scheme(&ids->id[i], "ip"))
			used = add_user(text, room, used, &ids->id[i]);
	for (uint32_t i = 0; i < ids->count; i++)
		if (is_scheme(&ids->id[i], "ip"))
			used = add_user(text, room, used, &ids->id[i]);
	return used;
}

/* Text of clients cannot begin a field or a line of its own. */
static void
put_text(FILE *out, const void *text, uint32_t bytes)
{
	const uint8_t *at = text;

	for (uint32_t i = 0; i < bytes; i++) {
		if (at[i] < 0x20 || at[i] == 0x7f)
			fprintf(out, "\\x%02x", at[i]);
		else
			fputc(at[i], out);
	}
}

static void
put_acl_entry(FILE *out, const struct proto_acl *entry)
{
	static const char letters[] = "rwcda"; /* by bit */
	static const char order[] = "cdrwa";
	uint32_t bytes = entry->id.bytes < 0 ? 0 : (uint32_t)entry->id.bytes;
	const uint8_t *colon = NULL;

	put_text(out, entry->scheme.data,
		 entry->scheme.bytes < 0 ? 0 : (uint32_t)entry->scheme.bytes);
	if (entry->scheme.bytes == 6 &&
	    memcmp(entry->scheme.data, "digest", 6) == 0 && bytes > 0)
		colon = memchr(entry->id.data, ':', bytes);
	if (colon != NULL)
		bytes = (uint32_t)(colon - entry->id.data);
	fputc(':', out);
	put_text(out, entry->id.data, bytes);
	fputs(colon == NULL ? ":" : ":x:", out);
	for (size_t i = 0; i < sizeof(order) - 1; i++) {
		const char *bit = strchr(letters, order[i]);

		if (entry->perms & (1 << (bit - letters)))
			fputc(order[i], out);
	}
}

static void
put_acl(FILE *out, const char *acl, uint32_t bytes)
{
	struct jute_reader reader = jute_reader_of((const uint8_t *)acl, bytes);
	const int32_t count = jute_get_count(&reader);

	for (int32_t i = 0; i < count; i++) {
		struct proto_acl entry;

		if (proto_get_acl(&reader, &entry) != 0)
			return; /* was cut */
		put_acl_entry(out, &entry);
	}
}

static const char *
type_name(int8_t flags)
{
	static const char *const names[] = {
		[CREATE_PERSISTENT] = "persistent",
		[CREATE_EPHEMERAL] = "ephemeral",
		[CREATE_PERSISTENT_SEQUENTIAL] = "persistent_sequential",
		[CREATE_EPHEMERAL_SEQUENTIAL] = "ephemeral_sequential",
		[CREATE_CONTAINER] = "container",
		[CREATE_PERSISTENT_TTL] = "persistent_with_ttl",
		[CREATE_PERSISTENT_SEQUENTIAL_TTL] =
			"persistent_sequential_with_ttl",
	};

	if (flags < 0 || (size_t)flags >= sizeof(names) / sizeof(names[0]))
		return "persistent";
	return names[flags];
}

void
audit_put_line(FILE *out, const struct audit_event *event, const char *texts,
	       const char *server_user)
{
	static const char *const operations[] = {
		[AUDIT_CREATE] = "create",
		[AUDIT_DELETE] = "delete",
		[AUDIT_SET_DATA] = "setData",
		[AUDIT_SET_ACL] = "setAcl",
		[AUDIT_MULTI] = "multiOperation",
		[AUDIT_RECONFIG] = "reconfig",
		[AUDIT_EPHEMERAL_DELETION] =
			"ephemeralZNodeDeletionOnSessionCloseOrExpire",
	};
	const char *user = texts + event->path_bytes;
	const char *acl = user + event->user_bytes;

	fprintf(out,
		"session=0x%" PRIx64 "\tuser=", (uint64_t)event->session_id);
	if (event->user_bytes > 0)
		put_text(out, user, event->user_bytes);
	else
		fputs(server_user, out);
	if (event->peer.family != STREAM_ANY) {
		char host[STREAM_HOST_TEXT_MAX];

		stream_address_host(&event->peer, host);
		fprintf(out, "\tip=%s", host);
	}
	fprintf(out, "\toperation=%s", operations[event->operation]);
	if (event->has_path) {
		fputs("\tznode=", out);
		put_text(out, texts, event->path_bytes);
	}
	if (event->operation == AUDIT_CREATE)
		fprintf(out, "\tznode_type=%s", type_name(event->create_flags));
	if (event->acl_bytes > 0) {
		fputs("\tacl=", out);
		put_acl(out, acl, event->acl_bytes);
	}
	fprintf(out, "\tresult=%s", event->is_success ? "success" : "failure");
}
