/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoders of the client protocol, mirror images of proto_dec.c: fields in
 * wire order into a sticky writer; the caller looks at is_full once. Records
 * of fixed size claim their bytes in one step, so that a writer that is full
 * never holds half a Stat.
 *
 * The session password is a checksum of the session id, made with the
 * published linear congruential generator of java.util.Random: every server
 * of an ensemble must come to the same 16 bytes.
 */

#include "wire/proto.h"

static uint8_t *
proto_store_int(uint8_t *to, int32_t v)
{
	be_store32(to, (uint32_t)v);
	return to + sizeof(v);
}

void
proto_put_request_header(struct jute_writer *writer,
			 const struct proto_request_header *header)
{
	uint8_t *to = jute_claim(writer, PROTO_REQUEST_HEADER_BYTES);

	if (to == NULL)
		return;
	to = proto_store_int(to, header->xid);
	proto_store_int(to, header->type);
}

void
proto_put_connect_request(struct jute_writer *writer,
			  const struct proto_connect_request *request)
{
	jute_put_int(writer, request->protocol_version);
	jute_put_long(writer, request->last_zxid_seen);
	jute_put_int(writer, request->timeout_ms);
	jute_put_long(writer, request->session_id);
	jute_put_slice(writer, request->password);
	if (request->has_read_only)
		jute_put_bool(writer, request->is_read_only);
}

void
proto_put_connect_response(struct jute_writer *writer,
			   const struct proto_connect_response *response)
{
	jute_put_int(writer, 0); /* protocol version */
	jute_put_int(writer, response->timeout_ms);
	jute_put_long(writer, response->session_id);
	jute_put_slice(writer,
		       jute_slice_of(response->password, PROTO_PASSWORD_BYTES));
	if (response->has_read_only)
		jute_put_bool(writer, response->is_read_only);
}

void
proto_put_stat(struct jute_writer *writer, const struct proto_stat *stat)
{
	uint8_t *to = jute_claim(writer, PROTO_STAT_BYTES);

	if (to != NULL)
		proto_store_stat(to, stat);
}

void
proto_put_acl(struct jute_writer *writer, const struct proto_acl *acl)
{
	jute_put_int(writer, acl->perms);
	jute_put_slice(writer, acl->scheme);
	jute_put_slice(writer, acl->id);
}

void
proto_put_vector(struct jute_writer *writer, const struct jute_vector *vector)
{
	jute_put_int(writer, vector->count);
	if (vector->count > 0)
		jute_put_raw(writer, vector->data, vector->bytes);
}

void
proto_put_multi_header(struct jute_writer *writer,
		       const struct proto_multi_header *header)
{
	uint8_t *to = jute_claim(writer, PROTO_MULTI_HEADER_BYTES);

	if (to == NULL)
		return;
	to = proto_store_int(to, header->type);
	*to++ = header->is_done ? 1 : 0;
	proto_store_int(to, header->err);
}

void
proto_put_watcher_event(struct jute_writer *writer,
			const struct proto_watcher_event *event)
{
	jute_put_int(writer, event->type);
	jute_put_int(writer, event->state);
	jute_put_slice(writer, event->path);
}

void
proto_put_create(struct jute_writer *writer, int32_t op,
		 const struct proto_create_request *request)
{
	jute_put_slice(writer, request->path);
	jute_put_slice(writer, request->data);
	proto_put_vector(writer, &request->acl);
	jute_put_int(writer, request->flags);
	if (op == OP_CREATE_TTL)
		jute_put_long(writer, request->ttl);
}

void
proto_put_path_version(struct jute_writer *writer,
		       const struct proto_path_version *request)
{
	jute_put_slice(writer, request->path);
	jute_put_int(writer, request->version);
}

void
proto_put_set_data(struct jute_writer *writer,
		   const struct proto_set_data_request *request)
{
	jute_put_slice(writer, request->path);
	jute_put_slice(writer, request->data);
	jute_put_int(writer, request->version);
}

void
proto_put_set_acl(struct jute_writer *writer,
		  const struct proto_set_acl_request *request)
{
	jute_put_slice(writer, request->path);
	proto_put_vector(writer, &request->acl);
	jute_put_int(writer, request->version);
}

void
proto_put_path_watch(struct jute_writer *writer,
		     const struct proto_path_watch *request)
{
	jute_put_slice(writer, request->path);
	jute_put_bool(writer, request->has_watch);
}

void
proto_put_path_int(struct jute_writer *writer,
		   const struct proto_path_int *request)
{
	jute_put_slice(writer, request->path);
	jute_put_int(writer, request->value);
}

void
proto_put_auth(struct jute_writer *writer,
	       const struct proto_auth_request *request)
{
	jute_put_int(writer, request->type);
	jute_put_slice(writer, request->scheme);
	jute_put_slice(writer, request->auth);
}

void
proto_put_set_watches(struct jute_writer *writer, int32_t op,
		      const struct proto_set_watches *request)
{
	const uint32_t count = op == OP_SET_WATCHES2 ? 5 : 3;

	jute_put_long(writer, request->relative_zxid);
	for (uint32_t i = 0; i < count; i++)
		proto_put_vector(writer, &request->paths[i]);
}

void
proto_put_reconfig(struct jute_writer *writer,
		   const struct proto_reconfig_request *request)
{
	jute_put_slice(writer, request->joining);
	jute_put_slice(writer, request->leaving);
	jute_put_slice(writer, request->new_members);
	jute_put_long(writer, request->cur_config_id);
}

void
proto_session_password(int64_t session_id,
		       uint8_t password[PROTO_PASSWORD_BYTES])
{
	const uint64_t multiplier = 0x5DEECE66Dull;
	const uint64_t mask = (1ull << 48) - 1;
	uint64_t seed =
		((uint64_t)session_id ^ 0xB3415C00ull ^ multiplier) & mask;

	for (uint32_t i = 0; i < PROTO_PASSWORD_BYTES; i += 4) {
		uint32_t word;

		seed = (seed * multiplier + 0xB) & mask;
		word = (uint32_t)(seed >> 16);
		/* least significant byte first, unlike everything else */
		be_store32(password + i, __builtin_bswap32(word));
	}
}
