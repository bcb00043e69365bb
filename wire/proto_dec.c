/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoders of the client protocol.
 *
 * Each one reads its record's fields straight through and asks the sticky
 * reader once at the end. Fields that may be null on the wire stay null
 * (bytes or count -1): whether null is an error is the operation's business,
 * and the answers differ (-5, -8, -114 or an echo). Bytes behind a record are
 * left alone; the protocol ignores them.
 *
 * Vectors are walked, so that whoever iterates later meets no surprise, and
 * stay where they are. The walk ends with the bytes whatever the count says:
 * every element takes at least 4 of them.
 */

#include "wire/proto.h"

static int
proto_reader_verdict(const struct jute_reader *reader)
{
	return FAL_LIKELY(jute_reader_ok(reader)) ? FAL_OK : FAL_EPROTO;
}

static void
proto_read_acl(struct jute_reader *reader, struct proto_acl *out)
{
	out->perms = jute_get_int(reader);
	out->scheme = jute_get_slice(reader);
	out->id = jute_get_slice(reader);
}

static void
proto_read_acl_vector(struct jute_reader *reader, struct jute_vector *out)
{
	struct proto_acl acl;

	out->count = jute_get_count(reader);
	out->data = reader->at;
	for (int32_t i = 0; i < out->count && jute_reader_ok(reader); i++)
		proto_read_acl(reader, &acl);
	out->bytes = (uint32_t)(reader->at - out->data);
}

/* has_null: out, some element is null. */
static void
proto_read_string_vector(struct jute_reader *reader, struct jute_vector *out,
			 bool *has_null)
{
	out->count = jute_get_count(reader);
	out->data = reader->at;
	*has_null = false;
	for (int32_t i = 0; i < out->count && jute_reader_ok(reader); i++) {
		if (jute_get_slice(reader).bytes < 0)
			*has_null = true;
	}
	out->bytes = (uint32_t)(reader->at - out->data);
}

int
proto_get_request_header(struct jute_reader *reader,
			 struct proto_request_header *out)
{
	out->xid = jute_get_int(reader);
	out->type = jute_get_int(reader);
	return proto_reader_verdict(reader);
}

int
proto_get_connect_request(struct jute_reader *reader,
			  struct proto_connect_request *out)
{
	out->protocol_version = jute_get_int(reader);
	out->last_zxid_seen = jute_get_long(reader);
	out->timeout_ms = jute_get_int(reader);
	out->session_id = jute_get_long(reader);
	out->password = jute_get_slice(reader);
	/* Clients before 3.4 end here, and want an answer that does, too. */
	out->has_read_only = jute_reader_left(reader) > 0;
	out->is_read_only = out->has_read_only && jute_get_bool(reader);
	return proto_reader_verdict(reader);
}

int
proto_get_create(struct jute_reader *reader, int32_t op,
		 struct proto_create_request *out)
{
	out->path = jute_get_slice(reader);
	out->data = jute_get_slice(reader);
	proto_read_acl_vector(reader, &out->acl);
	out->flags = jute_get_int(reader);
	out->ttl = op == OP_CREATE_TTL ? jute_get_long(reader) : -1;
	return proto_reader_verdict(reader);
}

int
proto_get_path_version(struct jute_reader *reader,
		       struct proto_path_version *out)
{
	out->path = jute_get_slice(reader);
	out->version = jute_get_int(reader);
	return proto_reader_verdict(reader);
}

int
proto_get_set_acl(struct jute_reader *reader, struct proto_set_acl_request *out)
{
	out->path = jute_get_slice(reader);
	proto_read_acl_vector(reader, &out->acl);
	out->version = jute_get_int(reader);
	return proto_reader_verdict(reader);
}

int
proto_get_path_int(struct jute_reader *reader, struct proto_path_int *out)
{
	out->path = jute_get_slice(reader);
	out->value = jute_get_int(reader);
	return proto_reader_verdict(reader);
}

int
proto_get_path(struct jute_reader *reader, struct jute_slice *out)
{
	*out = jute_get_slice(reader);
	return proto_reader_verdict(reader);
}

int
proto_get_auth(struct jute_reader *reader, struct proto_auth_request *out)
{
	out->type = jute_get_int(reader);
	out->scheme = jute_get_slice(reader);
	out->auth = jute_get_slice(reader);
	return proto_reader_verdict(reader);
}

int
proto_get_set_watches(struct jute_reader *reader, int32_t op,
		      struct proto_set_watches *out)
{
	const uint32_t count = op == OP_SET_WATCHES2 ? 5 : 3;
	bool is_null = false;

	out->relative_zxid = jute_get_long(reader);
	for (uint32_t i = 0; i < 5; i++) {
		bool has_null = false;

		out->paths[i] = (struct jute_vector){.data = reader->at};
		if (i < count)
			proto_read_string_vector(reader, &out->paths[i],
						 &has_null);
		/* Nothing looks up what persistent watches stand on. */
		is_null = is_null || (has_null && i < 3) ||
			  out->paths[i].count < 0;
	}
	return is_null ? FAL_EPROTO : proto_reader_verdict(reader);
}

int
proto_get_reconfig(struct jute_reader *reader,
		   struct proto_reconfig_request *out)
{
	out->joining = jute_get_slice(reader);
	out->leaving = jute_get_slice(reader);
	out->new_members = jute_get_slice(reader);
	out->cur_config_id = jute_get_long(reader);
	return proto_reader_verdict(reader);
}

int
proto_get_multi_header(struct jute_reader *reader,
		       struct proto_multi_header *out)
{
	out->type = jute_get_int(reader);
	out->is_done = jute_get_bool(reader);
	out->err = jute_get_int(reader);
	return proto_reader_verdict(reader);
}

int
proto_get_acl_vector(struct jute_reader *reader, struct jute_vector *out)
{
	proto_read_acl_vector(reader, out);
	return proto_reader_verdict(reader);
}

int
proto_get_string_vector(struct jute_reader *reader, struct jute_vector *out)
{
	bool has_null;

	proto_read_string_vector(reader, out, &has_null);
	return proto_reader_verdict(reader);
}

int
proto_get_acl(struct jute_reader *reader, struct proto_acl *out)
{
	proto_read_acl(reader, out);
	return proto_reader_verdict(reader);
}

int
proto_get_reply_header(struct jute_reader *reader,
		       struct proto_reply_header *out)
{
	out->xid = jute_get_int(reader);
	out->zxid = jute_get_long(reader);
	out->err = jute_get_int(reader);
	return proto_reader_verdict(reader);
}

int
proto_get_connect_response(struct jute_reader *reader,
			   struct proto_connect_response *out)
{
	struct jute_slice password;

	(void)jute_get_int(reader); /* protocol version: always 0 */
	out->timeout_ms = jute_get_int(reader);
	out->session_id = jute_get_long(reader);
	password = jute_get_slice(reader);
	if (password.bytes != PROTO_PASSWORD_BYTES)
		return FAL_EPROTO;
	memcpy(out->password, password.data, PROTO_PASSWORD_BYTES);
	out->has_read_only = jute_reader_left(reader) > 0;
	out->is_read_only = out->has_read_only && jute_get_bool(reader);
	return proto_reader_verdict(reader);
}

int
proto_get_stat(struct jute_reader *reader, struct proto_stat *out)
{
	out->czxid = jute_get_long(reader);
	out->mzxid = jute_get_long(reader);
	out->ctime = jute_get_long(reader);
	out->mtime = jute_get_long(reader);
	out->version = jute_get_int(reader);
	out->cversion = jute_get_int(reader);
	out->aversion = jute_get_int(reader);
	out->ephemeral_owner = jute_get_long(reader);
	out->data_length = jute_get_int(reader);
	out->num_children = jute_get_int(reader);
	out->pzxid = jute_get_long(reader);
	return proto_reader_verdict(reader);
}

int
proto_get_watcher_event(struct jute_reader *reader,
			struct proto_watcher_event *out)
{
	out->type = jute_get_int(reader);
	out->state = jute_get_int(reader);
	out->path = jute_get_slice(reader);
	return proto_reader_verdict(reader);
}
