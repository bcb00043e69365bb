/* SPDX-License-Identifier: Apache-2.0 */

#include "store/file_list.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES_AT_FIRST 64u

struct lister {
	struct file_list list;
	enum file_kind kind;
	uint32_t cap;
	int err;
};

static int
grow(struct lister *lister)
{
	const uint32_t cap =
		lister->cap == 0 ? ENTRIES_AT_FIRST : 2 * lister->cap;
	struct file_entry *larger =
		realloc(lister->list.entries, cap * sizeof(*larger));

	if (larger == NULL)
		return FAL_ENOMEM;
	lister->list.entries = larger;
	lister->cap = cap;
	return 0;
}

static void
note_name(void *arg, const char *name)
{
	struct lister *lister = arg;
	struct file_entry entry = {.parsed = file_name_parse(name)};
	const size_t bytes = strlen(name) + 1;

	if (entry.parsed.kind != lister->kind || lister->err != 0)
		return;
	/* A kind, at most 16 digits and a coding fit. */
	FAL_ASSERT(bytes <= sizeof(entry.name));
	memcpy(entry.name, name, bytes);
	if (lister->list.count == lister->cap)
		lister->err = grow(lister);
	if (lister->err == 0)
		lister->list.entries[lister->list.count++] = entry;
}

static int
compare(const void *a, const void *b)
{
	const struct file_name *left = &((const struct file_entry *)a)->parsed;
	const struct file_name *right = &((const struct file_entry *)b)->parsed;

	if (left->zxid != right->zxid)
		return left->zxid < right->zxid ? -1 : 1;
	return (int)right->coding - (int)left->coding;
}

int
file_list_read(struct disk *disk, const char *dir, enum file_kind kind,
	       struct file_list *out)
{
	struct lister lister = {.kind = kind};
	int err = disk_list(disk, dir, note_name, &lister);

	if (err == 0)
		err = lister.err;
	if (err != 0)
		file_list_free(&lister.list);
	if (lister.list.count > 0)
		qsort(lister.list.entries, lister.list.count,
		      sizeof(*lister.list.entries), compare);
	*out = lister.list;
	return err;
}

void
file_list_free(struct file_list *list)
{
	free(list->entries);
	*list = (struct file_list){.count = 0};
}

uint32_t
file_list_floor(const struct file_list *list, uint64_t zxid)
{
	uint32_t index = 0;

	while (index + 1 < list->count &&
	       list->entries[index + 1].parsed.zxid <= zxid)
		index++;
	return index;
}
