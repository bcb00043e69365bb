/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zc_reply - what a server said, decoded as far as needed: scalars at once,
 * lists element by element when the caller asks. Lists are walked once here,
 * so that the walks of the caller cannot fail.
 */
#include "client/zc_int.h"

static struct zc_bytes
bytes_of(struct jute_slice slice)
{
	return (struct zc_bytes){
		.data = slice.bytes < 0 ? NULL : slice.data,
		.bytes = slice.bytes < 0 ? 0 : (uint32_t)slice.bytes,
	};
}

/* A path without the chroot; the chroot itself is "/". */
static struct zc_bytes
path_of(struct jute_slice path, uint32_t chroot_bytes)
{
	struct zc_bytes out = bytes_of(path);

	if (out.data == NULL || out.bytes < chroot_bytes)
		return out;
	if (chroot_bytes > 0 && out.bytes == chroot_bytes)
		return (struct zc_bytes){.data = (const uint8_t *)"/",
					 .bytes = 1};
	out.data += chroot_bytes;
	out.bytes -= chroot_bytes;
	return out;
}

static bool
take_stat(struct jute_reader *body, struct zc_reply *out)
{
	struct proto_stat stat;

	if (proto_get_stat(body, &stat) != FAL_OK)
		return false;
	out->has_stat = true;
	out->stat = (struct zc_stat){
		.czxid = stat.czxid,
		.mzxid = stat.mzxid,
		.ctime = stat.ctime,
		.mtime = stat.mtime,
		.version = stat.version,
		.cversion = stat.cversion,
		.aversion = stat.aversion,
		.ephemeral_owner = stat.ephemeral_owner,
		.data_length = stat.data_length,
		.num_children = stat.num_children,
		.pzxid = stat.pzxid,
	};
	return true;
}

static void
take_path(struct jute_reader *body, uint32_t chroot_bytes, struct zc_reply *out)
{
	out->path = path_of(jute_get_slice(body), chroot_bytes);
}

static void
take_list(const struct jute_vector *list, uint32_t chroot_bytes,
	  struct zc_reply *out)
{
	out->element_count = list->count < 0 ? 0 : (uint32_t)list->count;
	out->rest.at = list->data;
	out->rest.end = list->data == NULL ? NULL : list->data + list->bytes;
	out->rest.left = out->element_count;
	out->rest.chroot_bytes = chroot_bytes;
}

static bool
take_texts(struct jute_reader *body, uint32_t chroot_bytes,
	   struct zc_reply *out)
{
	struct jute_vector list;

	if (proto_get_string_vector(body, &list) != FAL_OK)
		return false;
	take_list(&list, chroot_bytes, out);
	return true;
}

static bool
take_acls(struct jute_reader *body, struct zc_reply *out)
{
	struct jute_vector list;

	if (proto_get_acl_vector(body, &list) != FAL_OK)
		return false;
	take_list(&list, 0, out);
	return true;
}

/* Pairs of scheme and user. */
static bool
take_identities(struct jute_reader *body, struct zc_reply *out)
{
	struct jute_vector list = {.count = jute_get_count(body)};

	list.data = body->at;
	for (int32_t i = 0; i < list.count && jute_reader_ok(body); i++) {
		(void)jute_get_slice(body);
		(void)jute_get_slice(body);
	}
	if (!jute_reader_ok(body))
		return false;
	list.bytes = (uint32_t)(body->at - list.data);
	take_list(&list, 0, out);
	return true;
}

/* ---- multi --------------------------------------------------------------- */

static bool
take_result(struct jute_reader *body, const struct proto_multi_header *header,
	    uint32_t chroot_bytes, struct zc_reply *out)
{
	*out = (struct zc_reply){.err = header->err};
	switch (header->type) {
	case OP_CREATE:
		take_path(body, chroot_bytes, out);
		return jute_reader_ok(body);
	case OP_CREATE2:
		take_path(body, chroot_bytes, out);
		return take_stat(body, out);
	case OP_SET_DATA:
		return take_stat(body, out);
	case OP_GET_DATA:
		out->data = bytes_of(jute_get_slice(body));
		return take_stat(body, out);
	case OP_GET_CHILDREN:
		return take_texts(body, 0, out);
	case OP_ERROR:
		out->err = jute_get_int(body);
		return jute_reader_ok(body);
	case OP_DELETE:
	case OP_CHECK:
		return true;
	default:
		return false;
	}
}

/* The one that says why; all others were undone for it. */
static bool
is_cause(int32_t err)
{
	return err != ZC_OK && err != ZC_RUNTIMEINCONSISTENCY;
}

static bool
take_results(struct jute_reader *body, int32_t op, uint32_t chroot_bytes,
	     struct zc_reply *out)
{
	struct jute_vector list = {.data = body->at};
	struct proto_multi_header header;
	struct zc_reply one;
	int32_t cause = ZC_OK;

	for (;;) {
		const uint8_t *end = body->at;

		if (proto_get_multi_header(body, &header) != FAL_OK)
			return false;
		if (header.is_done) {
			list.bytes = (uint32_t)(end - list.data);
			break;
		}
		if (!take_result(body, &header, chroot_bytes, &one))
			return false;
		list.count++;
		if (cause == ZC_OK && is_cause(one.err))
			cause = one.err;
	}
	take_list(&list, chroot_bytes, out);
	if (op == OP_MULTI)
		out->err = cause;
	return true;
}

/* ---- public ---------------------------------------------------------------
 */

bool
zc_reply_decode(struct zc *zc, int32_t op, struct jute_reader *body,
		struct zc_reply *out)
{
	const uint32_t chroot = zc->chroot_bytes;

	switch (op) {
	case OP_CREATE2:
	case OP_CREATE_CONTAINER:
	case OP_CREATE_TTL:
		take_path(body, chroot, out);
		return take_stat(body, out);
	case OP_EXISTS:
	case OP_SET_DATA:
	case OP_SET_ACL:
		return take_stat(body, out);
	case OP_GET_DATA:
	case OP_RECONFIG:
		out->data = bytes_of(jute_get_slice(body));
		return take_stat(body, out);
	case OP_GET_CHILDREN2:
		return take_texts(body, 0, out) && take_stat(body, out);
	case OP_GET_EPHEMERALS:
		return take_texts(body, chroot, out);
	case OP_GET_ALL_CHILDREN_NUMBER:
		out->number = jute_get_int(body);
		return jute_reader_ok(body);
	case OP_GET_ACL:
		return take_acls(body, out) && take_stat(body, out);
	case OP_SYNC:
		take_path(body, chroot, out);
		return jute_reader_ok(body);
	case OP_WHO_AM_I:
		return take_identities(body, out);
	case OP_MULTI:
	case OP_MULTI_READ:
		return take_results(body, op, chroot, out);
	default: /* nothing, or nothing that is of interest */
		return true;
	}
}

static struct jute_reader
rest_reader(const struct zc_reply *reply)
{
	return jute_reader_of(reply->rest.at,
			      (size_t)(reply->rest.end - reply->rest.at));
}

bool
zc_reply_next_text(struct zc_reply *reply, struct zc_bytes *out)
{
	if (reply->rest.left == 0)
		return false;

	struct jute_reader body = rest_reader(reply);

	*out = path_of(jute_get_slice(&body), reply->rest.chroot_bytes);
	reply->rest.at = body.at;
	reply->rest.left--;
	return jute_reader_ok(&body);
}

bool
zc_reply_next_acl(struct zc_reply *reply, struct zc_reply_acl *out)
{
	if (reply->rest.left == 0)
		return false;

	struct jute_reader body = rest_reader(reply);

	/* Identities come without a stat behind them. */
	out->perms = reply->has_stat ? jute_get_int(&body) : 0;
	out->scheme = bytes_of(jute_get_slice(&body));
	out->id = bytes_of(jute_get_slice(&body));
	reply->rest.at = body.at;
	reply->rest.left--;
	return jute_reader_ok(&body);
}

bool
zc_reply_next_result(struct zc_reply *reply, struct zc_reply *out)
{
	struct proto_multi_header header;

	if (reply->rest.left == 0)
		return false;

	struct jute_reader body = rest_reader(reply);

	if (proto_get_multi_header(&body, &header) != FAL_OK ||
	    !take_result(&body, &header, reply->rest.chroot_bytes, out))
		return false;
	out->zxid = reply->zxid;
	reply->rest.at = body.at;
	reply->rest.left--;
	return true;
}

const char *
zc_err_str(int32_t err)
{
	switch ((enum zc_err)err) {
	case ZC_OK:
		return "ok";
	case ZC_RUNTIMEINCONSISTENCY:
		return "undone, because another operation failed";
	case ZC_CONNECTIONLOSS:
		return "connection lost, the outcome is unknown";
	case ZC_MARSHALLINGERROR:
		return "the server could not read the request";
	case ZC_UNIMPLEMENTED:
		return "the server does not know the operation";
	case ZC_OPERATIONTIMEOUT:
		return "no answer in time";
	case ZC_BADARGUMENTS:
		return "bad arguments";
	case ZC_NEWCONFIGNOQUORUM:
		return "no quorum of the new configuration is connected";
	case ZC_RECONFIGINPROGRESS:
		return "another reconfiguration is under way";
	case ZC_NONODE:
		return "no such node";
	case ZC_NOAUTH:
		return "not permitted";
	case ZC_BADVERSION:
		return "the version is another one";
	case ZC_NOCHILDRENFOREPHEMERALS:
		return "ephemeral nodes have no children";
	case ZC_NODEEXISTS:
		return "the node exists";
	case ZC_NOTEMPTY:
		return "the node has children";
	case ZC_SESSIONEXPIRED:
		return "the session has expired";
	case ZC_INVALIDACL:
		return "invalid ACL";
	case ZC_AUTHFAILED:
		return "identity refused";
	case ZC_CLOSING:
		return "the session is closed";
	case ZC_SESSIONMOVED:
		return "the session has moved to another server";
	case ZC_NOTREADONLY:
		return "the server is read-only";
	case ZC_EPHEMERALONLOCALSESSION:
		return "no ephemeral nodes on a local session";
	case ZC_NOWATCHER:
		return "no such watch";
	case ZC_RECONFIGDISABLED:
		return "reconfiguration is disabled";
	case ZC_SESSIONCLOSEDREQUIRESASLAUTH:
		return "the server demands authentication";
	case ZC_QUOTAEXCEEDED:
		return "quota exceeded";
	case ZC_THROTTLEDOP:
		return "throttled, try again";
	}
	return "unknown result";
}
