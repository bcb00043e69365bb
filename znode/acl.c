/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACL lists, read entry by entry from their jute bytes.
 *
 * acl_fix() is two passes over a list. The first drops repeated entries, which
 * is comparing encoded bytes because equal text has one normal form; a list
 * with other text is normalised as a whole before. The second validates and
 * writes. `auth` entries are expanded in the second pass, so an entry that
 * only becomes equal by expansion stays: so it is upstream.
 *
 * Lists of up to SEEN_FEW entries are compared pairwise. Longer ones, which
 * nobody sends in earnest but everybody may send, go through a hash table with
 * a key of its own: 65,000 entries fit into one request, and comparing those
 * pairwise would stop the writer for seconds.
 */
#include "znode/acl.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "znode/acl_ip.h"
#include "znode/text.h"

#define SEEN_FEW 32

/* The encoded entries met so far. The table is small, since a fresh page costs
 * more than many entries: slots hold where an entry begins in the list, plus 1
 * (0: free), and where it ends is told by its own bytes. */
struct seen {
	struct jute_slice few[SEEN_FEW];
	uint32_t count;
	uint32_t *table; /* open addressing */
	uint32_t mask;
	const struct jute_vector *list;
	struct hash_key key;
};

static struct jute_reader
reader_of(const struct jute_vector *vector)
{
	return jute_reader_of(vector->data, vector->bytes);
}

/* ---- checking ------------------------------------------------------------ */

static bool
matches(const struct auth_id *identity, const struct proto_acl *entry)
{
	if (!jute_slice_equal(identity->scheme, entry->scheme))
		return false;
	if (jute_slice_is(entry->scheme, "ip"))
		return acl_ip_matches(identity->id, entry->id);
	if (jute_slice_is(entry->scheme, "sasl") &&
	    jute_slice_is(identity->id, "super"))
		return true;
	return jute_slice_equal(identity->id, entry->id);
}

static bool
entry_allows(const struct proto_acl *entry, const struct auth_ids *ids)
{
	if (jute_slice_is(entry->scheme, "world") &&
	    jute_slice_is(entry->id, "anyone"))
		return true;
	for (uint32_t i = 0; ids != NULL && i < ids->count; i++) {
		if (matches(&ids->id[i], entry))
			return true;
	}
	return false;
}

static bool
index_allows(const struct acl_index *index, const struct auth_ids *ids,
	     int32_t perms)
{
	int32_t given = acl_index_anyone(index);

	for (uint32_t i = 0; ids != NULL && i < ids->count; i++)
		given |= acl_index_perms(index, ids->id[i].scheme,
					 ids->id[i].id);
	return (given & perms) != 0;
}

bool
acl_permits(const struct acl_list *list, const struct auth_ids *ids,
	    int32_t perms)
{
	if (list->is_open && (perms & PERM_ALL) != 0)
		return true;
	if (ids != NULL && (ids->has_skip || ids->is_super))
		return true;
	/* Only logs of other servers hold empty lists; upstream lets pass. */
	if (list->entries.count <= 0)
		return true;
	if (list->index != NULL)
		return index_allows(list->index, ids, perms);
	struct jute_reader reader = reader_of(&list->entries);

	for (int32_t i = 0; i < list->entries.count; i++) {
		struct proto_acl entry;

		if (proto_get_acl(&reader, &entry) != 0)
			return false;
		if ((entry.perms & perms) != 0 && entry_allows(&entry, ids))
			return true;
	}
	return false;
}

/* ---- repeated entries ---------------------------------------------------- */

static bool
seen_init(struct seen *seen, const struct jute_vector *list)
{
	const uint32_t count = (uint32_t)list->count;
	uint32_t slots = 128;

	seen->count = 0;
	seen->table = NULL;
	seen->list = list;
	if (count <= SEEN_FEW)
		return true;
	while (slots < count + count / 2)
		slots *= 2;
	seen->mask = slots - 1;
	seen->table = calloc(slots, sizeof(seen->table[0]));
	hash_key_random(&seen->key);
	return seen->table != NULL;
}

static bool
seen_in_table(struct seen *seen, struct jute_slice entry)
{
	const uint8_t *const list = seen->list->data;
	const uint32_t bytes = (uint32_t)entry.bytes;
	uint64_t slot = hash_bytes(&seen->key, entry.data, bytes);

	for (;; slot++) {
		uint32_t *at = &seen->table[slot & seen->mask];

		if (*at == 0) {
			*at = (uint32_t)(entry.data - list) + 1;
			return false;
		}
		/* An entry is no beginning of another one. */
		if (seen->list->bytes - (*at - 1) >= bytes &&
		    memcmp(list + *at - 1, entry.data, bytes) == 0)
			return true;
	}
}

/* Notes an entry; true if it was there. */
static bool
seen_before(struct seen *seen, struct jute_slice entry)
{
	if (seen->table != NULL)
		return seen_in_table(seen, entry);
	for (uint32_t i = 0; i < seen->count; i++) {
		if (jute_slice_equal(seen->few[i], entry))
			return true;
	}
	FAL_ASSERT(seen->count < SEEN_FEW);
	seen->few[seen->count++] = entry;
	return false;
}

/* ---- validating ---------------------------------------------------------- */

/* Exactly two parts once trailing empty ones are dropped, as Java's split()
 * counts: "user:hash", ":hash", "user:hash:". */
static bool
is_digest_id(struct jute_slice id)
{
	int32_t end = id.bytes;
	uint32_t colons = 0;

	while (end > 0 && id.data[end - 1] == ':')
		end--;
	for (int32_t i = 0; i < end; i++)
		colons += id.data[i] == ':';
	return colons == 1;
}

/* primary[/host]@realm with no further '/' or '@'; without '@' anything. */
static bool
is_kerberos_name(struct jute_slice id)
{
	uint32_t slashes = 0, ats = 0;

	for (int32_t i = 0; i < id.bytes; i++) {
		if (id.data[i] == '@')
			ats++;
		else if (id.data[i] == '/' && ats == 1)
			return false;
		else if (id.data[i] == '/')
			slashes++;
	}
	return ats == 0 || (ats == 1 && slashes <= 1);
}

static bool
is_key_char(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

/*
 * An X.500 name as far as it matters for ids that are compared as text: parts
 * divided by ',', ';' or '+', each "key=value"; a backslash or double quotes
 * hide divisors.
 */
static bool
is_x500_name(struct jute_slice id)
{
	int32_t i = 0;

	while (i < id.bytes) {
		bool is_quoted = false;

		while (i < id.bytes && id.data[i] == ' ')
			i++;
		const int32_t key = i;

		while (i < id.bytes && is_key_char(id.data[i]))
			i++;
		if (i == key)
			return false;
		while (i < id.bytes && id.data[i] == ' ')
			i++;
		if (i == id.bytes || id.data[i++] != '=')
			return false;
		for (; i < id.bytes; i++) {
			const uint8_t c = id.data[i];

			if (c == '\\')
				i++;
			else if (c == '"')
				is_quoted = !is_quoted;
			else if (!is_quoted &&
				 (c == ',' || c == ';' || c == '+'))
				break;
		}
		if (is_quoted || i > id.bytes || i == id.bytes - 1)
			return false;
		i++;
	}
	return true;
}

/* The result for an entry that is neither world:anyone nor auth. */
static int32_t
check_id(const struct acl_options *options, const struct proto_acl *entry)
{
	bool (*is_valid)(struct jute_slice) = NULL;

	if (jute_slice_is(entry->scheme, "digest") &&
	    options->is_digest_enabled)
		is_valid = is_digest_id;
	else if (jute_slice_is(entry->scheme, "ip"))
		is_valid = acl_ip_is_valid;
	else if (jute_slice_is(entry->scheme, "x509") && options->has_x509)
		is_valid = is_x500_name;
	else if (jute_slice_is(entry->scheme, "sasl") && options->has_sasl)
		is_valid = is_kerberos_name;
	if (is_valid == NULL)
		return ZK_INVALIDACL;
	/* Upstream trips over the null pointer and reports that. */
	if (entry->id.bytes < 0)
		return ZK_MARSHALLINGERROR;
	return is_valid(entry->id) ? ZK_OK : ZK_INVALIDACL;
}

/* Identities that stand for a user, not for an address. */
static bool
is_authenticated(const struct auth_id *identity)
{
	return jute_slice_is(identity->scheme, "digest") ||
	       jute_slice_is(identity->scheme, "sasl") ||
	       jute_slice_is(identity->scheme, "x509");
}

/* Replaces an `auth` entry; returns how many entries were written. */
static int32_t
expand_auth(int32_t perms, const struct auth_ids *ids, struct jute_writer *out)
{
	int32_t count = 0;

	for (uint32_t i = 0; ids != NULL && i < ids->count; i++) {
		if (!is_authenticated(&ids->id[i]))
			continue;
		const struct proto_acl entry = {.perms = perms,
						.scheme = ids->id[i].scheme,
						.id = ids->id[i].id};

		proto_put_acl(out, &entry);
		count++;
	}
	return count;
}

/* Writes what stands for one given entry; *count grows by the entries. */
static int32_t
fix_entry(const struct acl_options *options, const struct proto_acl *entry,
	  const struct auth_ids *ids, struct jute_writer *out, int32_t *count)
{
	if (entry->scheme.bytes < 0)
		return ZK_INVALIDACL;
	if (jute_slice_is(entry->scheme, "auth")) {
		const int32_t more = expand_auth(entry->perms, ids, out);

		*count += more;
		return more == 0 ? ZK_INVALIDACL : ZK_OK;
	}
	if (jute_slice_is(entry->scheme, "world") && entry->id.bytes < 0)
		return ZK_MARSHALLINGERROR;
	if (!jute_slice_is(entry->scheme, "world") ||
	    !jute_slice_is(entry->id, "anyone")) {
		const int32_t err = check_id(options, entry);

		if (err != ZK_OK)
			return err;
	}
	proto_put_acl(out, entry);
	(*count)++;
	return ZK_OK;
}

/* A list with normal text only. */
static int32_t
fix_normal(const struct acl_options *options, const struct jute_vector *given,
	   const struct auth_ids *ids, struct jute_writer *out)
{
	struct seen seen;
	struct jute_reader reader = reader_of(given);
	uint8_t *const head = jute_claim(out, sizeof(uint32_t));
	int32_t count = 0;
	int32_t err = ZK_OK;

	if (!seen_init(&seen, given)) {
		out->is_full = true;
		return ZK_OK;
	}
	for (int32_t i = 0; i < given->count && err == ZK_OK; i++) {
		const uint8_t *const from = reader.at;
		struct proto_acl entry;

		if (proto_get_acl(&reader, &entry) != 0) {
			err = ZK_MARSHALLINGERROR;
		} else if (!seen_before(&seen,
					jute_slice_of(from, (size_t)(reader.at -
								     from)))) {
			err = fix_entry(options, &entry, ids, out, &count);
		}
	}
	free(seen.table);
	if (head != NULL)
		be_store32(head, (uint32_t)count);
	return err;
}

static bool
list_is_normal(const struct jute_vector *given)
{
	struct jute_reader reader = reader_of(given);

	for (int32_t i = 0; i < given->count; i++) {
		struct proto_acl entry;

		if (proto_get_acl(&reader, &entry) != 0)
			return true;
		if (!text_is_normal(entry.scheme) || !text_is_normal(entry.id))
			return false;
	}
	return true;
}

static void
put_normal(struct jute_writer *writer, struct jute_slice text)
{
	uint8_t *const head = jute_claim(writer, sizeof(uint32_t));
	const size_t before = jute_written(writer);

	text_put(writer, text, TEXT_CESU8);
	if (head == NULL)
		return;
	const size_t bytes = jute_written(writer) - before;

	be_store32(head, text.bytes < 0 ? UINT32_MAX : (uint32_t)bytes);
}

/* Normalises all text, then goes on as usual. */
static int32_t
fix_abnormal(const struct acl_options *options, const struct jute_vector *given,
	     const struct auth_ids *ids, struct jute_writer *out)
{
	const size_t room = 3 * (size_t)given->bytes;
	uint8_t *const block = malloc(room);
	struct jute_reader reader = reader_of(given);

	if (block == NULL) {
		out->is_full = true;
		return ZK_OK;
	}
	struct jute_writer writer = jute_writer_of(block, room);

	for (int32_t i = 0; i < given->count; i++) {
		struct proto_acl entry;

		if (proto_get_acl(&reader, &entry) != 0)
			break;
		jute_put_int(&writer, entry.perms);
		put_normal(&writer, entry.scheme);
		put_normal(&writer, entry.id);
	}
	FAL_ASSERT(!writer.is_full);
	const struct jute_vector normal = {
		.data = block,
		.count = given->count,
		.bytes = (uint32_t)jute_written(&writer)};
	const int32_t err = fix_normal(options, &normal, ids, out);

	free(block);
	return err;
}

int32_t
acl_fix(const struct acl_options *options, const struct jute_vector *given,
	const struct auth_ids *ids, struct jute_writer *out)
{
	if (given->count <= 0)
		return ZK_INVALIDACL;
	if (list_is_normal(given))
		return fix_normal(options, given, ids, out);
	return fix_abnormal(options, given, ids, out);
}

/* ---- showing ------------------------------------------------------------- */

/* "user:x" for a digest id; without a colon the id as it is. */
static void
put_redacted(struct jute_writer *writer, struct jute_slice id)
{
	const uint8_t *colon =
		id.bytes <= 0 ? NULL : memchr(id.data, ':', (size_t)id.bytes);

	if (colon == NULL) {
		jute_put_slice(writer, id);
		return;
	}
	const size_t user = (size_t)(colon - id.data);

	jute_put_int(writer, (int32_t)user + 2);
	jute_put_raw(writer, id.data, user);
	jute_put_raw(writer, ":x", 2);
}

void
acl_put_shown(struct jute_writer *writer, const struct acl_list *list,
	      bool may_see_digests)
{
	struct jute_reader reader = reader_of(&list->entries);

	if (may_see_digests) {
		proto_put_vector(writer, &list->entries);
		return;
	}
	jute_put_int(writer, list->entries.count);
	for (int32_t i = 0; i < list->entries.count; i++) {
		struct proto_acl entry;

		if (proto_get_acl(&reader, &entry) != 0)
			return;
		jute_put_int(writer, entry.perms);
		jute_put_slice(writer, entry.scheme);
		if (jute_slice_is(entry.scheme, "digest"))
			put_redacted(writer, entry.id);
		else
			jute_put_slice(writer, entry.id);
	}
}
