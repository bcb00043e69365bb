/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One function per shape of record; dispatch by type at the end. Requests and
 * replies of multi are loops over the same functions until the end marker.
 */

#include "proto_mirror.h"

#include <stdio.h>

static void
note_int(struct proto_mirror *m, const char *name, int64_t value)
{
	if (m->note_int != NULL)
		m->note_int(m->context, name, value);
}

static void
note_slice(struct proto_mirror *m, const char *name, struct jute_slice value)
{
	if (m->note_slice != NULL)
		m->note_slice(m->context, name, value);
}

static int
mirror_acl(struct proto_mirror *m, const struct jute_vector *vector)
{
	struct jute_reader reader = jute_reader_of(vector->data, vector->bytes);
	char name[64];

	note_int(m, "acl count", vector->count);
	jute_put_int(&m->out, vector->count);
	for (int32_t i = 0; i < vector->count; i++) {
		struct proto_acl acl;

		if (proto_get_acl(&reader, &acl) != FAL_OK)
			return FAL_EPROTO;
		(void)snprintf(name, sizeof(name), "acl[%d].perms", i);
		note_int(m, name, acl.perms);
		(void)snprintf(name, sizeof(name), "acl[%d].scheme", i);
		note_slice(m, name, acl.scheme);
		(void)snprintf(name, sizeof(name), "acl[%d].id", i);
		note_slice(m, name, acl.id);
		proto_put_acl(&m->out, &acl);
	}
	return jute_reader_left(&reader) == 0 ? FAL_OK : FAL_EPROTO;
}

static int
mirror_strings(struct proto_mirror *m, const char *name,
	       const struct jute_vector *vector)
{
	struct jute_reader reader = jute_reader_of(vector->data, vector->bytes);
	char label[64];

	(void)snprintf(label, sizeof(label), "%s count", name);
	note_int(m, label, vector->count);
	for (int32_t i = 0; i < vector->count; i++) {
		(void)snprintf(label, sizeof(label), "%s[%d]", name, i);
		note_slice(m, label, jute_get_slice(&reader));
	}
	return jute_reader_ok(&reader) && jute_reader_left(&reader) == 0
		       ? FAL_OK
		       : FAL_EPROTO;
}

static int
mirror_create(struct proto_mirror *m, int32_t op)
{
	struct proto_create_request request;
	struct jute_writer whole = m->out;
	int err = proto_get_create(&m->in, op, &request);

	if (err != FAL_OK)
		return err;
	note_slice(m, "path", request.path);
	note_slice(m, "data", request.data);
	err = mirror_acl(m, &request.acl);
	note_int(m, "flags", request.flags);
	if (op == OP_CREATE_TTL)
		note_int(m, "ttl", request.ttl);
	/* mirror_acl() wrote one by one; the request is written as a whole */
	m->out = whole;
	proto_put_create(&m->out, op, &request);
	return err;
}

static int
mirror_path_version(struct proto_mirror *m)
{
	struct proto_path_version request;
	const int err = proto_get_path_version(&m->in, &request);

	if (err != FAL_OK)
		return err;
	note_slice(m, "path", request.path);
	note_int(m, "version", request.version);
	proto_put_path_version(&m->out, &request);
	return FAL_OK;
}

static int
mirror_set_data(struct proto_mirror *m)
{
	struct proto_set_data_request request;
	const int err = proto_get_set_data(&m->in, &request);

	if (err != FAL_OK)
		return err;
	note_slice(m, "path", request.path);
	note_slice(m, "data", request.data);
	note_int(m, "version", request.version);
	proto_put_set_data(&m->out, &request);
	return FAL_OK;
}

static int
mirror_set_acl(struct proto_mirror *m)
{
	struct proto_set_acl_request request;
	struct jute_writer whole = m->out;
	int err = proto_get_set_acl(&m->in, &request);

	if (err != FAL_OK)
		return err;
	note_slice(m, "path", request.path);
	err = mirror_acl(m, &request.acl);
	note_int(m, "version", request.version);
	m->out = whole;
	proto_put_set_acl(&m->out, &request);
	return err;
}

static int
mirror_path_watch(struct proto_mirror *m)
{
	struct proto_path_watch request;
	const int err = proto_get_path_watch(&m->in, &request);

	if (err != FAL_OK)
		return err;
	note_slice(m, "path", request.path);
	note_int(m, "watch", request.has_watch);
	proto_put_path_watch(&m->out, &request);
	return FAL_OK;
}

static int
mirror_path_int(struct proto_mirror *m, const char *name)
{
	struct proto_path_int request;
	const int err = proto_get_path_int(&m->in, &request);

	if (err != FAL_OK)
		return err;
	note_slice(m, "path", request.path);
	note_int(m, name, request.value);
	proto_put_path_int(&m->out, &request);
	return FAL_OK;
}

/* A lone string or buffer. */
static int
mirror_slice(struct proto_mirror *m, const char *name)
{
	struct jute_slice slice;
	const int err = proto_get_path(&m->in, &slice);

	if (err != FAL_OK)
		return err;
	note_slice(m, name, slice);
	jute_put_slice(&m->out, slice);
	return FAL_OK;
}

static int
mirror_int(struct proto_mirror *m, const char *name)
{
	const int32_t value = jute_get_int(&m->in);

	if (!jute_reader_ok(&m->in))
		return FAL_EPROTO;
	note_int(m, name, value);
	jute_put_int(&m->out, value);
	return FAL_OK;
}

static int
mirror_auth(struct proto_mirror *m)
{
	struct proto_auth_request request;
	const int err = proto_get_auth(&m->in, &request);

	if (err != FAL_OK)
		return err;
	note_int(m, "type", request.type);
	note_slice(m, "scheme", request.scheme);
	note_slice(m, "auth", request.auth);
	proto_put_auth(&m->out, &request);
	return FAL_OK;
}

static int
mirror_set_watches(struct proto_mirror *m, int32_t op)
{
	static const char *const names[5] = {
		"dataWatches", "existWatches", "childWatches",
		"persistentWatches", "persistentRecursiveWatches"};
	struct proto_set_watches request;
	int err = proto_get_set_watches(&m->in, op, &request);

	if (err != FAL_OK)
		return err;
	note_int(m, "relativeZxid", request.relative_zxid);
	for (int i = 0; i < (op == OP_SET_WATCHES2 ? 5 : 3); i++) {
		if (mirror_strings(m, names[i], &request.paths[i]) != FAL_OK)
			err = FAL_EPROTO;
	}
	proto_put_set_watches(&m->out, op, &request);
	return err;
}

static int
mirror_reconfig(struct proto_mirror *m)
{
	struct proto_reconfig_request request;
	const int err = proto_get_reconfig(&m->in, &request);

	if (err != FAL_OK)
		return err;
	note_slice(m, "joiningServers", request.joining);
	note_slice(m, "leavingServers", request.leaving);
	note_slice(m, "newMembers", request.new_members);
	note_int(m, "curConfigId", request.cur_config_id);
	proto_put_reconfig(&m->out, &request);
	return FAL_OK;
}

static int
mirror_multi_header(struct proto_mirror *m, struct proto_multi_header *header)
{
	const int err = proto_get_multi_header(&m->in, header);

	if (err != FAL_OK)
		return err;
	note_int(m, "MultiHeader.type", header->type);
	note_int(m, "MultiHeader.done", header->is_done);
	note_int(m, "MultiHeader.err", header->err);
	proto_put_multi_header(&m->out, header);
	return FAL_OK;
}

static int
mirror_multi_request_op(struct proto_mirror *m, int32_t type)
{
	switch (type) {
	case OP_CREATE:
	case OP_CREATE2:
	case OP_CREATE_CONTAINER:
	case OP_CREATE_TTL:
		return mirror_create(m, type);
	case OP_DELETE:
	case OP_CHECK:
		return mirror_path_version(m);
	case OP_SET_DATA:
		return mirror_set_data(m);
	case OP_GET_DATA:
	case OP_GET_CHILDREN:
		return mirror_path_watch(m);
	default:
		return FAL_EPROTO;
	}
}

static int
mirror_multi_request(struct proto_mirror *m)
{
	struct proto_multi_header header;
	int err;

	for (;;) {
		err = mirror_multi_header(m, &header);
		if (err != FAL_OK || header.is_done)
			return err;
		err = mirror_multi_request_op(m, header.type);
		if (err != FAL_OK)
			return err;
	}
}

int
proto_mirror_request_body(struct proto_mirror *m, int32_t op)
{
	switch (op) {
	case OP_GET_ACL:
	case OP_SYNC:
	case OP_GET_ALL_CHILDREN_NUMBER:
		return mirror_slice(m, "path");
	case OP_GET_EPHEMERALS:
		return mirror_slice(m, "prefixPath");
	case OP_SASL:
		return mirror_slice(m, "token");
	case OP_EXISTS:
	case OP_GET_CHILDREN2:
		return mirror_path_watch(m);
	case OP_SET_ACL:
		return mirror_set_acl(m);
	case OP_MULTI:
	case OP_MULTI_READ:
		return mirror_multi_request(m);
	case OP_RECONFIG:
		return mirror_reconfig(m);
	case OP_CHECK_WATCHES:
	case OP_REMOVE_WATCHES:
		return mirror_path_int(m, "type");
	case OP_ADD_WATCH:
		return mirror_path_int(m, "mode");
	case OP_AUTH:
		return mirror_auth(m);
	case OP_SET_WATCHES:
	case OP_SET_WATCHES2:
		return mirror_set_watches(m, op);
	case OP_PING:
	case OP_WHO_AM_I:
	case OP_CLOSE_SESSION:
		return FAL_OK;
	default:
		return mirror_multi_request_op(m, op);
	}
}

int
proto_mirror_connect_request(struct proto_mirror *m)
{
	struct proto_connect_request request;
	const int err = proto_get_connect_request(&m->in, &request);

	if (err != FAL_OK)
		return err;
	note_int(m, "protocolVersion", request.protocol_version);
	note_int(m, "lastZxidSeen", request.last_zxid_seen);
	note_int(m, "timeOut", request.timeout_ms);
	note_int(m, "sessionId", request.session_id);
	note_slice(m, "passwd", request.password);
	if (request.has_read_only)
		note_int(m, "readOnly", request.is_read_only);
	proto_put_connect_request(&m->out, &request);
	return FAL_OK;
}

int
proto_mirror_connect_response(struct proto_mirror *m)
{
	struct proto_connect_response response;
	const int err = proto_get_connect_response(&m->in, &response);

	if (err != FAL_OK)
		return err;
	note_int(m, "protocolVersion", 0);
	note_int(m, "timeOut", response.timeout_ms);
	note_int(m, "sessionId", response.session_id);
	note_slice(m, "passwd",
		   jute_slice_of(response.password, PROTO_PASSWORD_BYTES));
	if (response.has_read_only)
		note_int(m, "readOnly", response.is_read_only);
	proto_put_connect_response(&m->out, &response);
	return FAL_OK;
}

int
proto_mirror_request(struct proto_mirror *m,
		     struct proto_request_header *header)
{
	const int err = proto_get_request_header(&m->in, header);

	if (err != FAL_OK)
		return err;
	note_int(m, "RequestHeader.xid", header->xid);
	note_int(m, "RequestHeader.type", header->type);
	proto_put_request_header(&m->out, header);
	return proto_mirror_request_body(m, header->type);
}

static int
mirror_stat(struct proto_mirror *m)
{
	struct proto_stat stat;
	const int err = proto_get_stat(&m->in, &stat);

	if (err != FAL_OK)
		return err;
	note_int(m, "stat.czxid", stat.czxid);
	note_int(m, "stat.mzxid", stat.mzxid);
	note_int(m, "stat.ctime", stat.ctime);
	note_int(m, "stat.mtime", stat.mtime);
	note_int(m, "stat.version", stat.version);
	note_int(m, "stat.cversion", stat.cversion);
	note_int(m, "stat.aversion", stat.aversion);
	note_int(m, "stat.ephemeralOwner", stat.ephemeral_owner);
	note_int(m, "stat.dataLength", stat.data_length);
	note_int(m, "stat.numChildren", stat.num_children);
	note_int(m, "stat.pzxid", stat.pzxid);
	proto_put_stat(&m->out, &stat);
	return FAL_OK;
}

static int
mirror_slice_and_stat(struct proto_mirror *m, const char *name)
{
	const int err = mirror_slice(m, name);

	return err != FAL_OK ? err : mirror_stat(m);
}

static int
mirror_string_vector(struct proto_mirror *m, const char *name)
{
	struct jute_vector vector;
	const int err = proto_get_string_vector(&m->in, &vector);

	if (err != FAL_OK)
		return err;
	proto_put_vector(&m->out, &vector);
	return mirror_strings(m, name, &vector);
}

static int
mirror_acl_and_stat(struct proto_mirror *m)
{
	struct jute_vector acl;
	int err = proto_get_acl_vector(&m->in, &acl);

	if (err == FAL_OK)
		err = mirror_acl(m, &acl);
	return err != FAL_OK ? err : mirror_stat(m);
}

static int
mirror_client_info(struct proto_mirror *m)
{
	const int32_t count = jute_get_count(&m->in);
	char name[64];

	note_int(m, "clientInfo count", count);
	jute_put_int(&m->out, count);
	for (int32_t i = 0; i < count && jute_reader_ok(&m->in); i++) {
		const struct jute_slice scheme = jute_get_slice(&m->in);
		const struct jute_slice user = jute_get_slice(&m->in);

		(void)snprintf(name, sizeof(name), "clientInfo[%d].authScheme",
			       i);
		note_slice(m, name, scheme);
		(void)snprintf(name, sizeof(name), "clientInfo[%d].user", i);
		note_slice(m, name, user);
		jute_put_slice(&m->out, scheme);
		jute_put_slice(&m->out, user);
	}
	return jute_reader_ok(&m->in) ? FAL_OK : FAL_EPROTO;
}

static int
mirror_multi_result(struct proto_mirror *m, int32_t type)
{
	switch (type) {
	case OP_CREATE:
		return mirror_slice(m, "path");
	case OP_CREATE2:
		return mirror_slice_and_stat(m, "path");
	case OP_SET_DATA:
		return mirror_stat(m);
	case OP_DELETE:
	case OP_CHECK:
		return FAL_OK;
	case OP_GET_DATA:
		return mirror_slice_and_stat(m, "data");
	case OP_GET_CHILDREN:
		return mirror_string_vector(m, "children");
	case OP_ERROR:
		return mirror_int(m, "ErrorResponse.err");
	default:
		return FAL_EPROTO;
	}
}

static int
mirror_multi_reply(struct proto_mirror *m)
{
	struct proto_multi_header header;
	int err;

	for (;;) {
		err = mirror_multi_header(m, &header);
		if (err != FAL_OK || header.is_done)
			return err;
		err = mirror_multi_result(m, header.type);
		if (err != FAL_OK)
			return err;
	}
}

static int
mirror_notification(struct proto_mirror *m)
{
	struct proto_watcher_event event;
	const int err = proto_get_watcher_event(&m->in, &event);

	if (err != FAL_OK)
		return err;
	note_int(m, "WatcherEvent.type", event.type);
	note_int(m, "WatcherEvent.state", event.state);
	note_slice(m, "WatcherEvent.path", event.path);
	proto_put_watcher_event(&m->out, &event);
	return FAL_OK;
}

static int
mirror_reply_body(struct proto_mirror *m, int32_t op)
{
	switch (op) {
	case OP_NOTIFICATION:
		return mirror_notification(m);
	case OP_CREATE2:
	case OP_CREATE_CONTAINER:
	case OP_CREATE_TTL:
		return mirror_slice_and_stat(m, "path");
	case OP_CREATE:
	case OP_SYNC:
		return mirror_slice(m, "path");
	case OP_EXISTS:
	case OP_SET_DATA:
	case OP_SET_ACL:
		return mirror_stat(m);
	case OP_GET_DATA:
	case OP_RECONFIG:
		return mirror_slice_and_stat(m, "data");
	case OP_GET_ACL:
		return mirror_acl_and_stat(m);
	case OP_GET_CHILDREN:
		return mirror_string_vector(m, "children");
	case OP_GET_CHILDREN2: {
		const int err = mirror_string_vector(m, "children");

		return err != FAL_OK ? err : mirror_stat(m);
	}
	case OP_MULTI:
	case OP_MULTI_READ:
		return mirror_multi_reply(m);
	case OP_SASL:
		return mirror_slice(m, "token");
	case OP_GET_EPHEMERALS:
		return mirror_string_vector(m, "ephemerals");
	case OP_GET_ALL_CHILDREN_NUMBER:
		return mirror_int(m, "totalNumber");
	case OP_ADD_WATCH:
		return mirror_int(m, "err");
	case OP_WHO_AM_I:
		return mirror_client_info(m);
	default:
		return FAL_OK; /* header only */
	}
}

int
proto_mirror_reply(struct proto_mirror *m, int32_t op)
{
	struct proto_reply_header header;
	const int err = proto_get_reply_header(&m->in, &header);

	if (err != FAL_OK)
		return err;
	note_int(m, "ReplyHeader.xid", header.xid);
	note_int(m, "ReplyHeader.zxid", header.zxid);
	note_int(m, "ReplyHeader.err", header.err);
	proto_put_reply_header(&m->out, &header);
	/* Error replies are bare headers, but for a refused SASL token. */
	if (header.err != ZK_OK && op != OP_SASL)
		return FAL_OK;
	return mirror_reply_body(m, op);
}
