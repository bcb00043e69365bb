/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identity lists: one malloc'ed block each, the array of identities in front
 * and their text behind it. A list never changes; adding makes a new block
 * with the slices pointed into its own text.
 *
 * An auth packet of scheme digest hashes the whole text "user:password" and
 * becomes (digest, user:base64); ip adds the peer address once more (that is,
 * nothing); every other scheme has no provider that takes auth packets.
 */
#include "znode/acl.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "znode/text.h"

#define BASE64_BYTES_MAX (4 * ((EVP_MAX_MD_SIZE + 2) / 3))

/* An id without bytes for null ones: identities are never null. */
static struct jute_slice
solid(struct jute_slice slice)
{
	return slice.bytes < 0 ? jute_slice_of("", 0) : slice;
}

static bool
has_identity(const struct auth_id *ids, uint32_t count,
	     const struct auth_id *wanted)
{
	for (uint32_t i = 0; i < count; i++) {
		if (jute_slice_equal(ids[i].scheme, wanted->scheme) &&
		    jute_slice_equal(ids[i].id, wanted->id))
			return true;
	}
	return false;
}

/* Copies identities and their text into a block of their own. */
static struct auth_ids *
pack(const struct auth_id *ids, uint32_t count, bool has_skip)
{
	size_t bytes = sizeof(struct auth_ids) + count * sizeof(ids[0]);

	FAL_ASSERT(count <= AUTH_IDS_MAX);
	for (uint32_t i = 0; i < count; i++)
		bytes += (size_t)ids[i].scheme.bytes + (size_t)ids[i].id.bytes;
	if (bytes > UINT32_MAX)
		return NULL;
	struct auth_ids *list = malloc(bytes);

	if (list == NULL)
		return NULL;
	list->count = count;
	list->bytes = (uint32_t)bytes;
	list->is_super = false;
	list->has_skip = has_skip;
	uint8_t *text = (uint8_t *)&list->id[count];

	for (uint32_t i = 0; i < count; i++) {
		const struct jute_slice from[2] = {ids[i].scheme, ids[i].id};
		struct jute_slice *to[2] = {&list->id[i].scheme,
					    &list->id[i].id};

		for (int k = 0; k < 2; k++) {
			const size_t length = (size_t)from[k].bytes;

			if (length > 0)
				memcpy(text, from[k].data, length);
			*to[k] = jute_slice_of(text, length);
			text += length;
		}
		list->is_super |= jute_slice_is(ids[i].scheme, "super");
	}
	return list;
}

struct auth_ids *
auth_ids_new(const struct acl_options *options, const char *ip)
{
	struct auth_id id;

	if (ip == NULL)
		return pack(NULL, 0, options->skip_acl);
	id.scheme = jute_slice_of("ip", 2);
	id.id = jute_slice_of(ip, strlen(ip));
	return pack(&id, 1, options->skip_acl);
}

void
auth_ids_free(struct auth_ids *list)
{
	free(list);
}

/* old and up to two more. */
static struct auth_ids *
extend(const struct auth_ids *old, const struct auth_id *more, uint32_t count)
{
	struct auth_id all[AUTH_IDS_MAX];
	uint32_t total = old->count;

	memcpy(all, old->id, total * sizeof(all[0]));
	for (uint32_t i = 0; i < count; i++) {
		if (has_identity(all, total, &more[i]))
			continue;
		if (total == AUTH_IDS_MAX)
			return NULL;
		all[total++] = more[i];
	}
	struct auth_ids *list = pack(all, total, old->has_skip);

	if (list == NULL || list->bytes <= AUTH_IDS_BYTES_MAX)
		return list;
	free(list);
	return NULL;
}

struct auth_ids *
auth_ids_with(const struct auth_ids *old, struct jute_slice scheme,
	      struct jute_slice id)
{
	const struct auth_id one = {.scheme = solid(scheme), .id = solid(id)};

	return extend(old, &one, 1);
}

/* The text as UTF-8 and as the server stores it, both malloc'ed in one block
 * at *out. Returns the block's two slices. */
static bool
decode_password(struct jute_slice auth, uint8_t **out, struct jute_slice *utf8,
		struct jute_slice *stored)
{
	const size_t room = 3 * (size_t)auth.bytes;
	uint8_t *block = malloc(2 * room + 1);

	if (block == NULL)
		return false;
	struct jute_writer plain = jute_writer_of(block, room);
	struct jute_writer cesu = jute_writer_of(block + room, room);

	text_put(&plain, auth, TEXT_UTF8);
	text_put(&cesu, auth, TEXT_CESU8);
	FAL_ASSERT(!plain.is_full && !cesu.is_full);
	*utf8 = jute_slice_of(block, jute_written(&plain));
	*stored = jute_slice_of(block + room, jute_written(&cesu));
	*out = block;
	return true;
}

/* Base64 of the digest of `text`; false when the algorithm is unknown. */
static bool
digest_base64(const struct acl_options *options, struct jute_slice text,
	      char out[static BASE64_BYTES_MAX + 1], uint32_t *bytes)
{
	const char *name = options->digest_algorithm;
	EVP_MD *algorithm =
		EVP_MD_fetch(NULL, name == NULL ? "SHA1" : name, NULL);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int length = 0;
	bool is_done = false;

	if (algorithm == NULL)
		return false;
	if (EVP_Digest(text.data, (size_t)text.bytes, digest, &length,
		       algorithm, NULL) == 1) {
		unsigned char *to = (unsigned char *)out;

		*bytes = (uint32_t)EVP_EncodeBlock(to, digest, (int)length);
		is_done = true;
	}
	EVP_MD_free(algorithm);
	return is_done;
}

/* "user:base64", malloc'ed. stored: the text as kept. */
static bool
digest_id(const struct acl_options *options, struct jute_slice utf8,
	  struct jute_slice stored, struct jute_slice *out)
{
	char base64[BASE64_BYTES_MAX + 1];
	uint32_t bytes = 0;
	size_t user = (size_t)stored.bytes;

	if (!digest_base64(options, utf8, base64, &bytes))
		return false;
	if (user > 0) {
		const uint8_t *colon = memchr(stored.data, ':', user);

		if (colon != NULL)
			user = (size_t)(colon - stored.data);
	}
	uint8_t *id = malloc(user + 1 + bytes);

	if (id == NULL)
		return false;
	memcpy(id, stored.data, user);
	id[user] = ':';
	memcpy(id + user + 1, base64, bytes);
	*out = jute_slice_of(id, user + 1 + bytes);
	return true;
}

static struct auth_ids *
add_digest(const struct acl_options *options, const struct auth_ids *old,
	   struct jute_slice auth)
{
	uint8_t *block;
	struct jute_slice utf8, stored, id;
	struct auth_ids *list = NULL;

	if (auth.bytes < 0 || !decode_password(auth, &block, &utf8, &stored))
		return NULL;
	if (digest_id(options, utf8, stored, &id)) {
		struct auth_id more[2];
		uint32_t count = 0;

		if (options->super_digest != NULL &&
		    jute_slice_is(id, options->super_digest)) {
			more[count].scheme = jute_slice_of("super", 5);
			more[count++].id = jute_slice_of("", 0);
		}
		more[count].scheme = jute_slice_of("digest", 6);
		more[count++].id = id;
		list = extend(old, more, count);
		free((void *)(uintptr_t)id.data);
	}
	free(block);
	return list;
}

int32_t
auth_ids_add(const struct acl_options *options, const struct auth_ids *old,
	     const struct proto_auth_request *request, struct auth_ids **out)
{
	struct auth_ids *list = NULL;

	if (jute_slice_is(request->scheme, "digest") &&
	    options->is_digest_enabled)
		list = add_digest(options, old, request->auth);
	else if (jute_slice_is(request->scheme, "ip"))
		list = extend(old, NULL, 0);
	if (list == NULL)
		return ZK_AUTHFAILED;
	*out = list;
	return ZK_OK;
}

int
auth_ids_get(const struct acl_options *options, struct jute_reader *reader,
	     struct auth_ids **out)
{
	struct auth_id ids[AUTH_IDS_MAX];
	const int32_t count = jute_get_count(reader);

	if (!jute_reader_ok(reader))
		return FAL_EPROTO;
	if (count > AUTH_IDS_MAX)
		return FAL_ELIMIT;
	uint32_t kept = 0;

	for (int32_t i = 0; i < count; i++) {
		ids[kept].scheme = solid(jute_get_slice(reader));
		ids[kept].id = solid(jute_get_slice(reader));
		if (!jute_reader_ok(reader))
			return FAL_EPROTO;
		if (!has_identity(ids, kept, &ids[kept]))
			kept++;
	}
	*out = pack(ids, kept, options->skip_acl);
	return *out == NULL ? FAL_ENOMEM : 0;
}

void
auth_ids_put(struct jute_writer *writer, const struct auth_ids *list)
{
	jute_put_int(writer, (int32_t)list->count);
	for (uint32_t i = 0; i < list->count; i++) {
		jute_put_slice(writer, list->id[i].scheme);
		jute_put_slice(writer, list->id[i].id);
	}
}

/* The name a scheme's provider gives for an id: the user of a digest, the
 * whole id of others, nothing for super, which has no provider. */
static struct jute_slice
user_of(const struct auth_id *identity)
{
	struct jute_slice user = identity->id;

	if (jute_slice_is(identity->scheme, "super"))
		user.bytes = 0;
	if (user.bytes > 0 && jute_slice_is(identity->scheme, "digest")) {
		const uint8_t *colon =
			memchr(user.data, ':', (size_t)user.bytes);

		if (colon != NULL)
			user.bytes = (int32_t)(colon - user.data);
	}
	return user;
}

void
auth_ids_put_who_am_i(struct jute_writer *writer, const struct auth_ids *list)
{
	jute_put_int(writer, (int32_t)list->count);
	for (uint32_t i = 0; i < list->count; i++) {
		jute_put_slice(writer, list->id[i].scheme);
		jute_put_slice(writer, user_of(&list->id[i]));
	}
}
