/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_WIRE_PROTO_H
#define FALCONER_WIRE_PROTO_H

/*
 * proto - numbers and records of the client protocol.
 *
 * Decoders fill structs whose slices point into the frame; encoders write to
 * a jute_writer. A record's struct has the record's fields in wire order.
 * Vectors stay encoded: a struct jute_vector remembers where the elements
 * start and how many there are, after the decoder walked (and so checked) all.
 *
 * Context    any thread; no allocation, no globals.
 * Ownership  slices and vectors point into the decoded bytes.
 * Errors     decoders return 0 or FAL_EPROTO (then *out is unspecified).
 *            What may be null on the wire comes out as null (bytes or count
 *            -1): which error a null is, is up to the operation. Bytes behind
 *            a record are left in the reader. Encoders stick in the writer:
 *            look at is_full.
 * Cost       one pass over the bytes.
 * Source     client-protocol.md sections 1 to 4.
 */

#include "wire/jute.h"

enum proto_op {
	OP_NOTIFICATION = 0,
	OP_CREATE = 1,
	OP_DELETE = 2,
	OP_EXISTS = 3,
	OP_GET_DATA = 4,
	OP_SET_DATA = 5,
	OP_GET_ACL = 6,
	OP_SET_ACL = 7,
	OP_GET_CHILDREN = 8,
	OP_SYNC = 9,
	OP_PING = 11,
	OP_GET_CHILDREN2 = 12,
	OP_CHECK = 13,
	OP_MULTI = 14,
	OP_CREATE2 = 15,
	OP_RECONFIG = 16,
	OP_CHECK_WATCHES = 17,
	OP_REMOVE_WATCHES = 18,
	OP_CREATE_CONTAINER = 19,
	OP_DELETE_CONTAINER = 20, /* internal: refused from clients */
	OP_CREATE_TTL = 21,
	OP_MULTI_READ = 22,
	OP_AUTH = 100,
	OP_SET_WATCHES = 101,
	OP_SASL = 102,
	OP_GET_EPHEMERALS = 103,
	OP_GET_ALL_CHILDREN_NUMBER = 104,
	OP_SET_WATCHES2 = 105,
	OP_ADD_WATCH = 106,
	OP_WHO_AM_I = 107,
	OP_CREATE_SESSION = -10, /* transaction type only */
	OP_CLOSE_SESSION = -11,
	OP_ERROR = -1, /* transaction type, and result type in multi */
};

/* ZooKeeper's results, client-protocol.md section 4. */
enum proto_err {
	ZK_OK = 0,
	ZK_RUNTIMEINCONSISTENCY = -2,
	ZK_MARSHALLINGERROR = -5,
	ZK_UNIMPLEMENTED = -6,
	ZK_BADARGUMENTS = -8,
	ZK_UNKNOWNSESSION = -12,
	ZK_NEWCONFIGNOQUORUM = -13,
	ZK_RECONFIGINPROGRESS = -14,
	ZK_NONODE = -101,
	ZK_NOAUTH = -102,
	ZK_BADVERSION = -103,
	ZK_NOCHILDRENFOREPHEMERALS = -108,
	ZK_NODEEXISTS = -110,
	ZK_NOTEMPTY = -111,
	ZK_SESSIONEXPIRED = -112,
	ZK_INVALIDACL = -114,
	ZK_AUTHFAILED = -115,
	ZK_SESSIONMOVED = -118, /* never on the wire: close instead */
	ZK_NOTREADONLY = -119,
	ZK_EPHEMERALONLOCALSESSION = -120,
	ZK_NOWATCHER = -121,
	ZK_RECONFIGDISABLED = -123,
	ZK_SESSIONCLOSEDREQUIRESASLAUTH = -124,
	ZK_QUOTAEXCEEDED = -125,
	ZK_THROTTLEDOP = -127,
};

enum proto_xid {
	XID_NOTIFICATION = -1,
	XID_PING = -2,
	XID_AUTH = -4,
	XID_SET_WATCHES = -8,
};

enum proto_event {
	EVENT_NODE_CREATED = 1,
	EVENT_NODE_DELETED = 2,
	EVENT_NODE_DATA_CHANGED = 3,
	EVENT_NODE_CHILDREN_CHANGED = 4,
};

enum proto_perm {
	PERM_READ = 1,
	PERM_WRITE = 2,
	PERM_CREATE = 4,
	PERM_DELETE = 8,
	PERM_ADMIN = 16,
	PERM_ALL = 31,
};

enum proto_create_flags {
	CREATE_PERSISTENT = 0,
	CREATE_EPHEMERAL = 1,
	CREATE_PERSISTENT_SEQUENTIAL = 2,
	CREATE_EPHEMERAL_SEQUENTIAL = 3,
	CREATE_CONTAINER = 4,
	CREATE_PERSISTENT_TTL = 5,
	CREATE_PERSISTENT_SEQUENTIAL_TTL = 6,
};

#define PROTO_STATE_SYNC_CONNECTED 3
#define PROTO_PASSWORD_BYTES       16
#define PROTO_STAT_BYTES           68
#define PROTO_REQUEST_HEADER_BYTES 8
#define PROTO_REPLY_HEADER_BYTES   16
#define PROTO_MULTI_HEADER_BYTES   9
#define PROTO_MAX_BUFFER_DEFAULT   0xFFFFF /* jute.maxbuffer */

/* A stored ephemeralOwner of this value marks a container. */
#define PROTO_CONTAINER_OWNER ((int64_t)0x8000000000000000ull)
/* Top byte 0xff: TTL node, when extended types are on; low 40 bits: ms. */
#define PROTO_TTL_MASK ((int64_t)0xff00000000000000ull)
#define PROTO_TTL_MAX  ((int64_t)0xffffffffffll)

/* A checked vector, still encoded. */
struct jute_vector {
	const uint8_t *data; /* first element */
	int32_t count;       /* -1: null */
	uint32_t bytes;      /* of all elements */
};

struct proto_stat {
	int64_t czxid, mzxid, ctime, mtime;
	int32_t version, cversion, aversion;
	int64_t ephemeral_owner;
	int32_t data_length, num_children;
	int64_t pzxid;
};

struct proto_request_header {
	int32_t xid, type;
};

struct proto_reply_header {
	int32_t xid;
	int64_t zxid;
	int32_t err;
};

struct proto_multi_header {
	int32_t type;
	bool is_done;
	int32_t err;
};

struct proto_acl {
	int32_t perms;
	struct jute_slice scheme, id;
};

struct proto_connect_request {
	int32_t protocol_version;
	int64_t last_zxid_seen;
	int32_t timeout_ms;
	int64_t session_id;
	struct jute_slice password;
	bool has_read_only; /* the trailing byte was there */
	bool is_read_only;
};

struct proto_connect_response {
	int32_t timeout_ms; /* 0: refused */
	int64_t session_id; /* 0: refused */
	uint8_t password[PROTO_PASSWORD_BYTES];
	bool has_read_only; /* write the trailing byte */
	bool is_read_only;
};

/* create 1, create2 15, createContainer 19, createTTL 21 */
struct proto_create_request {
	struct jute_slice path, data;
	struct jute_vector acl; /* of proto_acl */
	int32_t flags;
	int64_t ttl; /* -1 unless createTTL */
};

/* delete, check: path and version */
struct proto_path_version {
	struct jute_slice path;
	int32_t version;
};

struct proto_set_data_request {
	struct jute_slice path, data;
	int32_t version;
};

struct proto_set_acl_request {
	struct jute_slice path;
	struct jute_vector acl;
	int32_t version;
};

/* exists, getData, getChildren, getChildren2 */
struct proto_path_watch {
	struct jute_slice path;
	bool has_watch;
};

/* addWatch (mode), checkWatches and removeWatches (type) */
struct proto_path_int {
	struct jute_slice path;
	int32_t value;
};

struct proto_auth_request {
	int32_t type;
	struct jute_slice scheme, auth;
};

struct proto_set_watches {
	int64_t relative_zxid;
	/* ustrings: data, exist, child, then (setWatches2) persistent and
	 * persistent recursive; the last two have count 0 for setWatches. */
	struct jute_vector paths[5];
};

struct proto_reconfig_request {
	struct jute_slice joining, leaving, new_members;
	int64_t cur_config_id;
};

struct proto_watcher_event {
	int32_t type, state;
	struct jute_slice path;
};

FAL_MUST_CHECK int proto_get_request_header(struct jute_reader *,
					    struct proto_request_header *);
FAL_MUST_CHECK int proto_get_connect_request(struct jute_reader *,
					     struct proto_connect_request *);
/* op decides whether a ttl follows (createTTL). */
FAL_MUST_CHECK int proto_get_create(struct jute_reader *, int32_t op,
				    struct proto_create_request *);
FAL_MUST_CHECK int proto_get_path_version(struct jute_reader *,
					  struct proto_path_version *);
/* This one and the next are most of all requests: inline. */
FAL_MUST_CHECK static inline int
proto_get_set_data(struct jute_reader *reader,
		   struct proto_set_data_request *out)
{
	out->path = jute_get_slice(reader);
	out->data = jute_get_slice(reader);
	out->version = jute_get_int(reader);
	return FAL_LIKELY(jute_reader_ok(reader)) ? FAL_OK : FAL_EPROTO;
}
FAL_MUST_CHECK static inline int
proto_get_path_watch(struct jute_reader *reader, struct proto_path_watch *out)
{
	out->path = jute_get_slice(reader);
	out->has_watch = jute_get_bool(reader);
	return FAL_LIKELY(jute_reader_ok(reader)) ? FAL_OK : FAL_EPROTO;
}
FAL_MUST_CHECK int proto_get_set_acl(struct jute_reader *,
				     struct proto_set_acl_request *);
FAL_MUST_CHECK int proto_get_path_int(struct jute_reader *,
				      struct proto_path_int *);
/* getACL, sync, getEphemerals, getAllChildrenNumber: one ustring; sasl: one
 * buffer, which looks the same */
FAL_MUST_CHECK int proto_get_path(struct jute_reader *, struct jute_slice *);
FAL_MUST_CHECK int proto_get_auth(struct jute_reader *,
				  struct proto_auth_request *);
/* op: OP_SET_WATCHES or OP_SET_WATCHES2. A null vector is FAL_EPROTO, and so is
 * a null path of the first three. */
FAL_MUST_CHECK int proto_get_set_watches(struct jute_reader *, int32_t op,
					 struct proto_set_watches *);
FAL_MUST_CHECK int proto_get_reconfig(struct jute_reader *,
				      struct proto_reconfig_request *);
/* is_done alone ends a multi, whatever the type. Errors and the end of the
 * bytes before the end marker are FAL_EPROTO, so a loop over headers ends. */
FAL_MUST_CHECK int proto_get_multi_header(struct jute_reader *,
					  struct proto_multi_header *);
/* Walks a vector<ACL> and remembers it. Absurd counts fail by running out of
 * bytes, without a loop longer than the input. */
FAL_MUST_CHECK int proto_get_acl_vector(struct jute_reader *,
					struct jute_vector *);
FAL_MUST_CHECK int proto_get_string_vector(struct jute_reader *,
					   struct jute_vector *);
/* One element of a checked vector<ACL>. */
FAL_MUST_CHECK int proto_get_acl(struct jute_reader *, struct proto_acl *);

void proto_put_request_header(struct jute_writer *,
			      const struct proto_request_header *);
/* Each reply begins with it: inline. */
static inline void
proto_put_reply_header(struct jute_writer *writer,
		       const struct proto_reply_header *header)
{
	uint8_t *to = jute_claim(writer, PROTO_REPLY_HEADER_BYTES);

	if (to == NULL)
		return;
	be_store32(to, (uint32_t)header->xid);
	be_store64(to + 4, (uint64_t)header->zxid);
	be_store32(to + 12, (uint32_t)header->err);
}
void proto_put_connect_request(struct jute_writer *,
			       const struct proto_connect_request *);
void proto_put_connect_response(struct jute_writer *,
				const struct proto_connect_response *);
void proto_put_stat(struct jute_writer *, const struct proto_stat *);
/* The same into PROTO_STAT_BYTES of the caller's. Inline, so that nobody who
 * has the fields elsewhere gathers them in a struct first. */
static inline void
proto_store_stat(uint8_t *to, const struct proto_stat *stat)
{
	be_store64(to, (uint64_t)stat->czxid);
	be_store64(to + 8, (uint64_t)stat->mzxid);
	be_store64(to + 16, (uint64_t)stat->ctime);
	be_store64(to + 24, (uint64_t)stat->mtime);
	be_store32(to + 32, (uint32_t)stat->version);
	be_store32(to + 36, (uint32_t)stat->cversion);
	be_store32(to + 40, (uint32_t)stat->aversion);
	be_store64(to + 44, (uint64_t)stat->ephemeral_owner);
	be_store32(to + 52, (uint32_t)stat->data_length);
	be_store32(to + 56, (uint32_t)stat->num_children);
	be_store64(to + 60, (uint64_t)stat->pzxid);
}
void proto_put_acl(struct jute_writer *, const struct proto_acl *);
/* The count and the elements as they were. */
void proto_put_vector(struct jute_writer *, const struct jute_vector *);
void proto_put_multi_header(struct jute_writer *,
			    const struct proto_multi_header *);
void proto_put_watcher_event(struct jute_writer *,
			     const struct proto_watcher_event *);
void proto_put_create(struct jute_writer *, int32_t op,
		      const struct proto_create_request *);
void proto_put_path_version(struct jute_writer *,
			    const struct proto_path_version *);
void proto_put_set_data(struct jute_writer *,
			const struct proto_set_data_request *);
void proto_put_set_acl(struct jute_writer *,
		       const struct proto_set_acl_request *);
void proto_put_path_watch(struct jute_writer *,
			  const struct proto_path_watch *);
void proto_put_path_int(struct jute_writer *, const struct proto_path_int *);
void proto_put_auth(struct jute_writer *, const struct proto_auth_request *);
void proto_put_set_watches(struct jute_writer *, int32_t op,
			   const struct proto_set_watches *);
void proto_put_reconfig(struct jute_writer *,
			const struct proto_reconfig_request *);

/* Replies' decoders, for client/ and tests. */
FAL_MUST_CHECK int proto_get_reply_header(struct jute_reader *,
					  struct proto_reply_header *);
FAL_MUST_CHECK int proto_get_connect_response(struct jute_reader *,
					      struct proto_connect_response *);
FAL_MUST_CHECK int proto_get_stat(struct jute_reader *, struct proto_stat *);
FAL_MUST_CHECK int proto_get_watcher_event(struct jute_reader *,
					   struct proto_watcher_event *);

/* The 16 bytes derived from a session id (client-protocol.md 2.4). */
void proto_session_password(int64_t session_id,
			    uint8_t password[PROTO_PASSWORD_BYTES]);

#endif
