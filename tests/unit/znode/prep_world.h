/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_ZNODE_PREP_WORLD_H
#define FALCONER_TESTS_ZNODE_PREP_WORLD_H

/*
 * prep_world - a tree with its sessions and a prep, and requests in one line.
 *
 * Each request gets the next zxid and, unless is_held_back, is published at
 * once. Its entry stays in world.entry until the next one.
 *
 * Errors     what goes wrong around a request fails the test.
 */

#include "znode/prep.h"

#define WORLD_SESSION       0x0100000000000001
#define WORLD_OTHER_SESSION 0x0100000000000002
#define WORLD_BODY_BYTES    (1u << 20)
#define WORLD_ENTRY_BYTES   (4u << 20)

struct world {
	struct tree *tree;
	struct session_table *sessions;
	struct prep *prep;
	struct acl_options acl_options;
	struct prep_options options;
	struct txn_result result;
	uint8_t *entry;
	uint32_t entry_bytes;
	uint32_t entry_cap; /* what requests may use of it */
	uint8_t *body;
	struct jute_writer request; /* over body; see world_body() */
	int64_t zxid, time_ms;
	struct auth_ids *nobody;    /* (ip, 127.0.0.1) */
	const struct auth_ids *ids; /* who asks */
	int64_t session_id;
	struct session_owner owner;
	bool is_local_session, is_held_back;
};

/* options NULL: TTL nodes, digests, close paths on. Two sessions exist. */
void world_open(struct world *, const struct prep_options *options);
/* The same with a tree of that size. */
void world_open_sized(struct world *, const struct prep_options *options,
		      uint64_t region_bytes);
void world_close(struct world *);

/* Runs a request; what prep_request() returned. */
int world_try(struct world *, int32_t type, const void *body, size_t bytes);
/* The same for a request that must get a transaction: its err. */
int32_t world_run(struct world *, int32_t type);
/* Publishes everything up to the last zxid. */
void world_publish(struct world *);

/* Empties the request and returns its writer. */
struct jute_writer *world_body(struct world *);

/* Requests with the open ACL and one byte of data. */
int32_t world_create(struct world *, int32_t op, const char *path,
		     int32_t flags);
int32_t world_create_ttl(struct world *, const char *path, int32_t flags,
			 int64_t ttl);
/* acl NULL: a null vector */
int32_t world_create_acl(struct world *, const char *path,
			 const struct proto_acl *acl, int32_t count);
int32_t world_delete(struct world *, const char *path, int32_t version);
int32_t world_set(struct world *, const char *path, const char *data,
		  int32_t version);
int32_t world_set_acl(struct world *, const char *path,
		      const struct proto_acl *acl, int32_t count,
		      int32_t version);

/* Operations of a multi: world_body(), then these, then world_run_multi(). */
void world_add_create(struct world *, int32_t op, const char *path,
		      int32_t flags);
void world_add_delete(struct world *, const char *path, int32_t version);
void world_add_set(struct world *, const char *path, const char *data,
		   int32_t version);
void world_add_check(struct world *, const char *path, int32_t version);
int32_t world_run_multi(struct world *);

/* Looking at the tree, in the writer's view. */
bool world_has(struct world *, const char *path);
void world_stat(struct world *, const char *path, struct tree_stat *out);
/* The path in the reply of the last create. */
const char *world_made(struct world *);

/* The last entry, decoded. */
struct txn_entry world_entry(const struct world *);
/* A refusal is an error transaction without a digest, reply or events. */
void world_assert_refused(const struct world *, int32_t err);

/* One entry world:anyone ALL. */
extern const struct proto_acl world_open_acl;
/* ACL entries with text of C strings; NULL: null. */
struct proto_acl world_acl(int32_t perms, const char *scheme, const char *id);

#endif
