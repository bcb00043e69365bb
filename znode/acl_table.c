/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acl_table - a two-level array of list pointers by id, and a hash of the
 * bytes for interning.
 *
 * Readers see the array only: 4096 pages of 4096 pointers, both filled in with
 * release stores and never moved. Hash links and counts are the writer's. A
 * list whose last reference goes away leaves the hash at once (a later intern
 * of the same bytes gets a new id) and the array when it is disposed of.
 */
#include "znode/acl_table.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/hash.h"
#include "znode/fifo.h"

#define PAGE_LOG2     12u
#define PAGE_LISTS    (1u << PAGE_LOG2)
#define PAGES_MAX     4096u
#define BUCKETS_FIRST 64u

struct acl_entry {
	struct acl_list list; /* first: acl_table_get() gives it out */
	uint64_t hash;
	uint32_t refs;
	uint32_t hash_next; /* id, 0: end */
	bool is_permanent;
	uint8_t bytes[];
};

struct acl_page {
	_Atomic(struct acl_entry *) entry[PAGE_LISTS];
	_Atomic bool is_live[PAGE_LISTS]; /* not retired */
};

struct acl_table {
	_Atomic(struct acl_page *) page[PAGES_MAX];
	_Atomic uint32_t id_end; /* ids below were given out */
	_Atomic uint32_t count;
	_Atomic uint64_t bytes; /* of all entries */
	uint32_t bucket_count;
	uint32_t *bucket; /* first id of each chain */
	struct fifo free_ids;
	struct hash_key key;
	uint8_t no_bytes[1]; /* stands for the NULL of an empty vector */
	acl_retire_fn retire;
	void *retire_arg;
};

static struct acl_entry *
entry_at(const struct acl_table *table, uint32_t id)
{
	/* Both pair with the releases in entry_publish(). */
	const struct acl_page *page = atomic_load_explicit(
		&table->page[id >> PAGE_LOG2], memory_order_acquire);

	if (page == NULL)
		return NULL;
	return atomic_load_explicit(&page->entry[id & (PAGE_LISTS - 1)],
				    memory_order_acquire);
}

static int
entry_publish(struct acl_table *table, uint32_t id, struct acl_entry *entry)
{
	struct acl_page *page = atomic_load_explicit(
		&table->page[id >> PAGE_LOG2], memory_order_relaxed);

	if (page == NULL) {
		page = calloc(1, sizeof(*page));
		if (page == NULL)
			return FAL_ENOMEM;
		/* Pairs with the acquire in entry_at(). */
		atomic_store_explicit(&table->page[id >> PAGE_LOG2], page,
				      memory_order_release);
	}
	/* Pairs with the acquire in entry_at(). */
	atomic_store_explicit(&page->entry[id & (PAGE_LISTS - 1)], entry,
			      memory_order_release);
	/* Pairs with the acquire in acl_table_has(). */
	atomic_store_explicit(&page->is_live[id & (PAGE_LISTS - 1)],
			      entry != NULL, memory_order_release);
	return 0;
}

static void
count_add(struct acl_table *table, uint32_t delta)
{
	const uint32_t now =
		atomic_load_explicit(&table->count, memory_order_relaxed);

	atomic_store_explicit(&table->count, now + delta, memory_order_relaxed);
}

static void
bytes_add(struct acl_table *table, uint64_t delta)
{
	const uint64_t now =
		atomic_load_explicit(&table->bytes, memory_order_relaxed);

	atomic_store_explicit(&table->bytes, now + delta, memory_order_relaxed);
}

static uint32_t *
chain_of(struct acl_table *table, uint64_t hash)
{
	return &table->bucket[hash & (table->bucket_count - 1)];
}

static void
buckets_grow(struct acl_table *table)
{
	const uint32_t before = table->bucket_count;
	uint32_t *old = table->bucket;
	uint32_t *bucket = calloc(before * 2ul, sizeof(*bucket));

	if (bucket == NULL)
		return; /* longer chains */
	table->bucket = bucket;
	table->bucket_count = before * 2;
	for (uint32_t i = 0; i < before; i++) {
		uint32_t id = old[i];

		while (id != 0) {
			struct acl_entry *entry = entry_at(table, id);
			const uint32_t after = entry->hash_next;
			uint32_t *chain = chain_of(table, entry->hash);

			entry->hash_next = *chain;
			*chain = id;
			id = after;
		}
	}
	free(old);
}

static uint32_t
id_take(struct acl_table *table)
{
	const struct fifo_record *record = fifo_front(&table->free_ids);

	if (record != NULL) {
		const uint32_t id = record->handle;

		fifo_pop_front(&table->free_ids);
		return id;
	}
	const uint32_t end =
		atomic_load_explicit(&table->id_end, memory_order_relaxed);

	if (end >= PAGES_MAX * PAGE_LISTS)
		return 0;
	/* Pairs with the acquire in acl_table_next(). */
	atomic_store_explicit(&table->id_end, end + 1, memory_order_release);
	return end;
}

static void
id_put(struct acl_table *table, uint32_t id)
{
	struct fifo_record *record = fifo_push(&table->free_ids);

	/* Without memory for the note the id is lost, which harms nobody. */
	if (record != NULL)
		record->handle = id;
}

static bool
list_is_open(const struct jute_vector *acl)
{
	struct jute_reader reader = jute_reader_of(acl->data, acl->bytes);
	struct proto_acl first;

	if (acl->count < 1 || proto_get_acl(&reader, &first) < 0)
		return false;
	return (first.perms & PERM_ALL) == PERM_ALL &&
	       jute_slice_equal(first.scheme, jute_slice_of("world", 5)) &&
	       jute_slice_equal(first.id, jute_slice_of("anyone", 6));
}

/* Where an entry has its index, which is aligned to 8 bytes. */
static size_t
index_offset(const struct jute_vector *acl)
{
	return bits_align_up(offsetof(struct acl_entry, bytes) + acl->bytes, 8);
}

static size_t
entry_bytes(const struct jute_vector *acl)
{
	return index_offset(acl) + acl_index_bytes(acl);
}

static struct acl_entry *
entry_new(struct acl_table *table, const struct jute_vector *acl, uint64_t hash)
{
	struct acl_entry *entry = calloc(1, entry_bytes(acl));

	if (entry == NULL)
		return NULL;
	if (acl->bytes > 0)
		memcpy(entry->bytes, acl->data, acl->bytes);
	entry->list.entries = (struct jute_vector){
		.data = entry->bytes, .count = acl->count, .bytes = acl->bytes};
	entry->list.is_open = list_is_open(acl);
	if (acl_index_bytes(acl) > 0)
		entry->list.index =
			acl_index_build((uint8_t *)entry + index_offset(acl),
					&table->key, &entry->list.entries);
	entry->hash = hash;
	entry->refs = 1;
	bytes_add(table, entry_bytes(acl));
	return entry;
}

static void
entry_free(struct acl_table *table, struct acl_entry *entry)
{
	if (entry == NULL)
		return;
	bytes_add(table, -(uint64_t)entry_bytes(&entry->list.entries));
	free(entry);
}

uint32_t
acl_table_intern(struct acl_table *table, const struct jute_vector *acl)
{
	if (acl->count < 0)
		return ACL_ID_OPEN;

	const void *bytes = acl->bytes > 0 ? acl->data : table->no_bytes;
	const uint64_t hash = hash_bytes(&table->key, bytes, acl->bytes) ^
			      (uint64_t)acl->count;

	for (uint32_t id = *chain_of(table, hash); id != 0;) {
		struct acl_entry *entry = entry_at(table, id);

		if (entry->hash == hash &&
		    entry->list.entries.count == acl->count &&
		    entry->list.entries.bytes == acl->bytes &&
		    memcmp(entry->bytes, bytes, acl->bytes) == 0) {
			acl_table_ref(table, id);
			return id;
		}
		id = entry->hash_next;
	}
	struct acl_entry *entry = entry_new(table, acl, hash);

	if (entry == NULL)
		return 0;
	const uint32_t id = id_take(table);

	if (id == 0 || entry_publish(table, id, entry) < 0) {
		if (id != 0)
			id_put(table, id);
		entry_free(table, entry);
		return 0;
	}
	if (acl_table_count(table) >= table->bucket_count)
		buckets_grow(table);
	/* The chain is the writer's alone; readers never follow it. */
	uint32_t *chain = chain_of(table, hash);

	entry->hash_next = *chain;
	*chain = id;
	count_add(table, 1);
	return id;
}

void
acl_table_ref(struct acl_table *table, uint32_t id)
{
	struct acl_entry *entry = entry_at(table, id);

	FAL_ASSERT(entry != NULL);
	if (!entry->is_permanent)
		entry->refs++;
}

static void
chain_remove(struct acl_table *table, const struct acl_entry *entry,
	     uint32_t id)
{
	uint32_t *link = chain_of(table, entry->hash);

	while (*link != id) {
		FAL_ASSERT(*link != 0);
		link = &entry_at(table, *link)->hash_next;
	}
	*link = entry->hash_next;
}

void
acl_table_unref(struct acl_table *table, uint32_t id)
{
	struct acl_entry *entry = entry_at(table, id);

	FAL_ASSERT(entry != NULL);
	if (entry->is_permanent)
		return;
	FAL_ASSERT(entry->refs > 0);
	if (--entry->refs > 0)
		return;
	chain_remove(table, entry, id);
	count_add(table, UINT32_MAX);
	atomic_store_explicit(
		&table->page[id >> PAGE_LOG2]->is_live[id & (PAGE_LISTS - 1)],
		false, memory_order_relaxed);
	if (table->retire != NULL)
		table->retire(table->retire_arg, id);
	else
		acl_table_dispose(table, id);
}

void
acl_table_dispose(struct acl_table *table, uint32_t id)
{
	struct acl_entry *entry = entry_at(table, id);

	FAL_ASSERT(entry != NULL && entry->refs == 0);
	(void)entry_publish(table, id, NULL); /* the page is there */
	entry_free(table, entry);
	id_put(table, id);
}

uint32_t
acl_table_count(const struct acl_table *table)
{
	return atomic_load_explicit(&table->count, memory_order_relaxed);
}

uint64_t
acl_table_bytes(const struct acl_table *table)
{
	return atomic_load_explicit(&table->bytes, memory_order_relaxed);
}

const struct acl_list *
acl_table_get(const struct acl_table *table, uint32_t id)
{
	FAL_ASSERT(id > 0 && id < PAGES_MAX * PAGE_LISTS);

	const struct acl_entry *entry = entry_at(table, id);

	FAL_ASSERT(entry != NULL);
	return &entry->list;
}

bool
acl_table_has(const struct acl_table *table, uint32_t id)
{
	const struct acl_page *page = atomic_load_explicit(
		&table->page[id >> PAGE_LOG2], memory_order_acquire);

	/* Pairs with the release in entry_publish(). */
	return page != NULL &&
	       atomic_load_explicit(&page->is_live[id & (PAGE_LISTS - 1)],
				    memory_order_acquire);
}

uint32_t
acl_table_next(const struct acl_table *table, uint32_t after)
{
	/* Pairs with the release in id_take(). */
	const uint32_t end =
		atomic_load_explicit(&table->id_end, memory_order_acquire);

	for (uint32_t id = after + 1; id < end; id++)
		if (acl_table_has(table, id))
			return id;
	return 0;
}

static int
permanent_add(struct acl_table *table, int32_t perms, uint32_t id)
{
	uint8_t bytes[32];
	struct jute_writer writer = jute_writer_of(bytes, sizeof(bytes));

	jute_put_int(&writer, perms);
	jute_put_cstr(&writer, "world");
	jute_put_cstr(&writer, "anyone");

	const struct jute_vector acl = {
		.data = bytes,
		.count = 1,
		.bytes = (uint32_t)jute_written(&writer),
	};

	if (acl_table_intern(table, &acl) != id)
		return FAL_ENOMEM;
	entry_at(table, id)->is_permanent = true;
	return 0;
}

int
acl_table_create(acl_retire_fn retire, void *arg, struct acl_table **out)
{
	struct acl_table *table = calloc(1, sizeof(*table));

	if (table == NULL)
		return FAL_ENOMEM;
	table->bucket = calloc(BUCKETS_FIRST, sizeof(*table->bucket));
	table->bucket_count = BUCKETS_FIRST;
	table->retire = retire;
	table->retire_arg = arg;
	atomic_store_explicit(&table->id_end, 1, memory_order_relaxed);
	hash_key_random(&table->key);
	if (table->bucket == NULL ||
	    permanent_add(table, PERM_ALL, ACL_ID_OPEN) < 0 ||
	    permanent_add(table, PERM_READ, ACL_ID_READ) < 0) {
		acl_table_destroy(table);
		return FAL_ENOMEM;
	}
	*out = table;
	return 0;
}

static void
pages_free(struct acl_table *table, uint32_t keep_below)
{
	for (uint32_t i = 0; i < PAGES_MAX; i++) {
		struct acl_page *page = atomic_load_explicit(
			&table->page[i], memory_order_relaxed);

		if (page == NULL)
			continue;
		for (uint32_t k = 0; k < PAGE_LISTS; k++) {
			if ((i << PAGE_LOG2) + k < keep_below)
				continue;
			entry_free(table,
				   atomic_load_explicit(&page->entry[k],
							memory_order_relaxed));
			atomic_store_explicit(&page->entry[k], NULL,
					      memory_order_relaxed);
		}
		if (i == 0 && keep_below > 0)
			continue;
		free(page);
		atomic_store_explicit(&table->page[i], NULL,
				      memory_order_relaxed);
	}
}

void
acl_table_reset(struct acl_table *table)
{
	pages_free(table, ACL_ID_READ + 1);
	fifo_clear(&table->free_ids);
	memset(table->bucket, 0, table->bucket_count * sizeof(*table->bucket));
	for (uint32_t id = ACL_ID_OPEN; id <= ACL_ID_READ; id++) {
		struct acl_entry *entry = entry_at(table, id);
		uint32_t *chain = chain_of(table, entry->hash);

		entry->hash_next = *chain;
		*chain = id;
	}
	atomic_store_explicit(&table->id_end, ACL_ID_READ + 1,
			      memory_order_relaxed);
	atomic_store_explicit(&table->count, ACL_ID_READ, memory_order_relaxed);
}

void
acl_table_destroy(struct acl_table *table)
{
	pages_free(table, 0);
	fifo_free(&table->free_ids);
	free(table->bucket);
	free(table);
}
