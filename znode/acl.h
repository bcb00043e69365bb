/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_ACL_H
#define FALCONER_ZNODE_ACL_H

/*
 * acl - identities of connections, and what ACL lists allow them.
 *
 * An identity list is immutable once made: an auth packet makes a new list and
 * requests that are under way keep the one they were received with
 * (client-protocol.md 6.1). Schemes known here: world, auth, ip, digest,
 * super; x509 and sasl where the options say that a provider exists.
 *
 * Text inside lists is in the form the server writes back (znode/text.h), so
 * that comparing bytes is comparing what the reference server compares.
 *
 * Context    any thread; lists may be read by any number of cores.
 * Ownership  lists are malloc'ed, the caller frees them. Everything else is
 *            borrowed for the call.
 * Limits     AUTH_IDS_MAX identities a connection, AUTH_IDS_BYTES_MAX bytes of
 *            them: they are kept as long as it lasts, and go to the leader with
 *            each write.
 * Errors     ZooKeeper results are int32_t of enum proto_err; the only other
 *            trouble is lack of memory (NULL, or a writer that is full).
 * Cost       acl_permits(): one comparison per entry and identity, of a long
 *            list one lookup per identity; no allocation. acl_fix() allocates
 * only for lists of more than 32 entries or with text that is not normal.
 * Source     client-protocol.md section 8.
 */

#include "wire/proto.h"
#include "znode/acl_table.h"

#define AUTH_IDS_MAX       32
#define AUTH_IDS_BYTES_MAX 65536u

struct auth_id {
	struct jute_slice scheme, id; /* into the list's own memory */
};

struct auth_ids {
	uint32_t count;
	uint32_t bytes; /* of the whole object */
	bool is_super;  /* some id of scheme super */
	bool has_skip;  /* skipACL=yes: everything is allowed */
	struct auth_id id[];
};

struct acl_options {
	bool skip_acl;
	bool is_digest_enabled;
	bool has_x509; /* a provider for x509 ids is registered (TLS) */
	bool has_sasl; /* a provider for sasl ids is registered */
	const char *super_digest;     /* "super:base64", or NULL */
	const char *digest_algorithm; /* "SHA1", "SHA-256", ...; NULL: SHA1 */
};

/* The list of a fresh connection: (ip, address) alone. ip is the text of the
 * address, or NULL for none. NULL: out of memory. */
struct auth_ids *auth_ids_new(const struct acl_options *, const char *ip);
void auth_ids_free(struct auth_ids *);

/* `old` and one more identity (x509, sasl, super), without repeating one that
 * is there. NULL: out of memory, or a limit reached. */
struct auth_ids *auth_ids_with(const struct auth_ids *old,
			       struct jute_slice scheme, struct jute_slice id);

/*
 * Answers an auth packet (opcode 100).
 *
 * Returns ZK_OK (then *out is a new list, to replace `old`), or
 * ZK_AUTHFAILED (*out is untouched).
 */
int32_t auth_ids_add(const struct acl_options *, const struct auth_ids *old,
		     const struct proto_auth_request *, struct auth_ids **out);

/* A request between servers carries the identities as vector<Id>: these read
 * and write one. The reader returns 0, FAL_EPROTO, FAL_ENOMEM or (too many)
 * FAL_ELIMIT. */
FAL_MUST_CHECK int auth_ids_get(const struct acl_options *,
				struct jute_reader *, struct auth_ids **out);
void auth_ids_put(struct jute_writer *, const struct auth_ids *);

/* True if `ids` may do any of `perms` (getACL asks READ or ADMIN at once).
 * ids NULL: nobody, what world:anyone may do. */
bool acl_permits(const struct acl_list *, const struct auth_ids *ids,
		 int32_t perms);

/*
 * Checks and expands a list as create and setACL bring it: duplicates dropped,
 * `auth` replaced, ids validated, text normalised to what the server writes
 * back (CESU-8, U+FFFD). Writes a vector<ACL> to `out`.
 *
 * ids  may be NULL: nobody
 *
 * Returns ZK_OK, ZK_INVALIDACL, ZK_MARSHALLINGERROR (a null id where the
 * provider needs one); out->is_full: did not fit, or out of memory.
 */
int32_t acl_fix(const struct acl_options *, const struct jute_vector *given,
		const struct auth_ids *ids, struct jute_writer *out);

/* Writes the list for getACL: digest secrets redacted unless may_see. */
void acl_put_shown(struct jute_writer *, const struct acl_list *,
		   bool may_see_digests);

/* whoAmI: vector<ClientInfo>. */
void auth_ids_put_who_am_i(struct jute_writer *, const struct auth_ids *);

#endif
