/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acl_index - open addressing; a slot says where an entry is in the list and
 * what all entries of its key allow together. Entries of scheme ip have their
 * family, their length and so many bits as key, all others scheme and id.
 */
#include "znode/acl_index.h"

#include <string.h>

#include "base/bits.h"
#include "znode/acl_ip.h"

#define INDEX_ENTRIES_MIN 17

struct index_slot {
	uint32_t at; /* where the entry begins in the list, plus 1; 0: free */
	int32_t perms;
};

struct acl_index {
	struct hash_key key;
	struct jute_vector entries;
	int32_t anyone; /* by world:anyone */
	int32_t sasl;   /* of any sasl entry: what sasl:super may do */
	uint32_t mask;
	/* Which lengths prefixes have, of IPv4 and of IPv6. */
	bool lengths[2][129];
	struct index_slot slot[];
};

static uint32_t
slots_of(const struct jute_vector *entries)
{
	const uint32_t count = (uint32_t)entries->count;

	return (uint32_t)bits_pow2_at_least(count + count / 2);
}

size_t
acl_index_bytes(const struct jute_vector *entries)
{
	if (entries->count < INDEX_ENTRIES_MIN)
		return 0;
	return sizeof(struct acl_index) +
	       slots_of(entries) * sizeof(struct index_slot);
}

static struct proto_acl
entry_in_slot(const struct acl_index *index, const struct index_slot *slot)
{
	const uint32_t at = slot->at - 1;
	struct jute_reader reader = jute_reader_of(index->entries.data + at,
						   index->entries.bytes - at);
	struct proto_acl entry = {0};
	const int err = proto_get_acl(&reader, &entry);

	FAL_ASSERT(err == 0); /* it did when it was put there */
	return entry;
}

/* ---- keys ---------------------------------------------------------------- */

static uint64_t
hash_of_text(const struct acl_index *index, struct jute_slice scheme,
	     struct jute_slice id)
{
	const uint64_t first = scheme.bytes <= 0
				       ? 0
				       : hash_bytes(&index->key, scheme.data,
						    (size_t)scheme.bytes);

	if (id.bytes <= 0)
		return first;
	return hash_fold(first ^ index->key.word[3],
			 hash_bytes(&index->key, id.data, (size_t)id.bytes));
}

/* The bits outside of the prefix are zero in what is hashed and compared. */
static uint64_t
hash_of_prefix(const struct acl_index *index, const struct acl_ip *prefix)
{
	return hash_bytes(&index->key, prefix, sizeof(*prefix));
}

/* The slot of that key, or the free one where it would be; so below. */
static const struct index_slot *
slot_of_text(const struct acl_index *index, struct jute_slice scheme,
	     struct jute_slice id)
{
	for (uint64_t i = hash_of_text(index, scheme, id);; i++) {
		const struct index_slot *slot = &index->slot[i & index->mask];

		if (slot->at == 0)
			return slot;
		const struct proto_acl entry = entry_in_slot(index, slot);

		if (jute_slice_equal(entry.scheme, scheme) &&
		    jute_slice_equal(entry.id, id))
			return slot;
	}
}

static const struct index_slot *
slot_of_prefix(const struct acl_index *index, const struct acl_ip *prefix)
{
	for (uint64_t i = hash_of_prefix(index, prefix);; i++) {
		const struct index_slot *slot = &index->slot[i & index->mask];
		struct acl_ip there;

		if (slot->at == 0)
			return slot;
		const struct proto_acl entry = entry_in_slot(index, slot);

		if (!jute_slice_is(entry.scheme, "ip") ||
		    !acl_ip_parse(entry.id, &there))
			continue;
		acl_ip_cut(&there, there.bits);
		if (memcmp(&there, prefix, sizeof(there)) == 0)
			return slot;
	}
}

/* ---- building ------------------------------------------------------------ */

/* The slot of an entry; NULL: it allows nobody. */
static struct index_slot *
slot_for(struct acl_index *index, const struct proto_acl *entry)
{
	const struct index_slot *slot;
	struct acl_ip prefix;

	if (!jute_slice_is(entry->scheme, "ip")) {
		slot = slot_of_text(index, entry->scheme, entry->id);
	} else if (acl_ip_parse(entry->id, &prefix)) {
		acl_ip_cut(&prefix, prefix.bits);
		index->lengths[prefix.octets / 16][prefix.bits] = true;
		slot = slot_of_prefix(index, &prefix);
	} else {
		return NULL;
	}
	return &index->slot[slot - index->slot];
}

struct acl_index *
acl_index_build(void *memory, const struct hash_key *key,
		const struct jute_vector *entries)
{
	struct acl_index *index = memory;
	struct jute_reader reader =
		jute_reader_of(entries->data, entries->bytes);

	index->key = *key;
	index->entries = *entries;
	index->mask = slots_of(entries) - 1;
	for (int32_t i = 0; i < entries->count; i++) {
		const uint32_t at = (uint32_t)(reader.at - entries->data);
		struct proto_acl entry;

		if (proto_get_acl(&reader, &entry) != 0)
			break;
		if (jute_slice_is(entry.scheme, "world") &&
		    jute_slice_is(entry.id, "anyone"))
			index->anyone |= entry.perms;
		if (jute_slice_is(entry.scheme, "sasl"))
			index->sasl |= entry.perms;
		struct index_slot *const slot = slot_for(index, &entry);

		if (slot == NULL)
			continue;
		if (slot->at == 0)
			slot->at = at + 1;
		slot->perms |= entry.perms;
	}
	return index;
}

/* ---- looking up ---------------------------------------------------------- */

int32_t
acl_index_anyone(const struct acl_index *index)
{
	return index->anyone;
}

static int32_t
perms_of_address(const struct acl_index *index, struct jute_slice id)
{
	struct acl_ip address;
	int32_t perms = 0;

	if (!acl_ip_parse_address(id, &address))
		return 0;
	/* From the longest to the shortest: each is a cut of the one before. */
	for (uint32_t bits = address.bits + 1; bits-- > 0;) {
		if (!index->lengths[address.octets / 16][bits])
			continue;
		acl_ip_cut(&address, bits);
		perms |= slot_of_prefix(index, &address)->perms;
	}
	return perms;
}

int32_t
acl_index_perms(const struct acl_index *index, struct jute_slice scheme,
		struct jute_slice id)
{
	if (jute_slice_is(scheme, "ip"))
		return perms_of_address(index, id);
	if (jute_slice_is(scheme, "sasl") && jute_slice_is(id, "super"))
		return index->sasl;
	return slot_of_text(index, scheme, id)->perms;
}
