/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_ACL_H
#define FALCONER_ZNODE_ACL_H

/*
 * acl - identities of connections, and what ACL lists allow them.
 *
 * An identity list is immutable once made: an auth packet makes a new list and
 * requests that are under way keep the one they were received with
 * (client-protocol.md 6.1). Schemes known here: world, auth, ip, digest,
 * super; x509 and sasl ids are accepted as data.
 *
 * Context    any thread; lists may be read by any number of cores.
 * Source     client-protocol.md section 8.
 */

#include "wire/proto.h"
#include "znode/acl_table.h"

#define AUTH_IDS_MAX 32

struct auth_id {
	struct jute_slice scheme, id; /* into the list's own memory */
};

struct auth_ids {
	uint32_t count;
	uint32_t bytes;  /* of the whole object */
	bool is_super;   /* some id of scheme super */
	bool has_skip;   /* skipACL=yes: everything is allowed */
	struct auth_id id[];
};

struct acl_options {
	bool skip_acl;
	bool is_digest_enabled;
	const char *super_digest; /* "super:base64", or NULL */
	const char *digest_algorithm; /* "SHA1", "SHA-256", ...; NULL: SHA1 */
};

/* The list of a fresh connection: (ip, address) alone. Malloc'ed; freed with
 * auth_ids_free(). NULL: out of memory. */
struct auth_ids *auth_ids_new(const struct acl_options *, const char *ip);
void auth_ids_free(struct auth_ids *);

/*
 * Answers an auth packet (opcode 100).
 *
 * Returns ZK_OK (then *out is a new list, to replace `old`), or
 * ZK_AUTHFAILED.
 */
int32_t auth_ids_add(const struct acl_options *, const struct auth_ids *old,
                     const struct proto_auth_request *,
                     struct auth_ids **out);

/* True if `ids` may do any of `perms` (getACL asks READ or ADMIN at once). */
bool acl_permits(const struct acl_list *, const struct auth_ids *ids,
                 int32_t perms);

/*
 * Checks and expands a list as create and setACL bring it: duplicates dropped,
 * `auth` replaced, ids validated, text normalised to what the server writes
 * back (CESU-8, U+FFFD). Writes a vector<ACL> to `out`.
 *
 * Returns ZK_OK, ZK_INVALIDACL; out->is_full: did not fit.
 */
int32_t acl_fix(const struct acl_options *, const struct jute_vector *given,
                const struct auth_ids *, struct jute_writer *out);

/* Writes the list for getACL: digest secrets redacted unless may_see. */
void acl_put_shown(struct jute_writer *, const struct acl_list *,
                   bool may_see_digests);

/* whoAmI: vector<ClientInfo>. */
void auth_ids_put_who_am_i(struct jute_writer *, const struct auth_ids *);

#endif
