/* SPDX-License-Identifier: Apache-2.0 */
/* Plain arrays, searched from the start: simulated disks hold few files. */

#include "drivers/disk_mem_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MIN 16u
#define SECTOR    DISK_MEM_SECTOR_BYTES

/* ---- images and inodes ----------------------------------------------------
 */

void
mem_image_resize(struct mem_image *image, size_t bytes)
{
	if (bytes > image->cap) {
		const size_t cap =
			bytes > 2 * image->cap ? bytes : 2 * image->cap;

		image->data = realloc(image->data, cap);
		FAL_ASSERT(image->data != NULL);
		image->cap = cap;
	}
	if (bytes > image->bytes)
		memset(image->data + image->bytes, 0, bytes - image->bytes);
	image->bytes = bytes;
}

void
mem_image_write(struct mem_image *image, const uint8_t *from, size_t bytes,
		size_t at)
{
	if (at + bytes > image->bytes)
		mem_image_resize(image, at + bytes);
	if (bytes > 0)
		memcpy(image->data + at, from, bytes);
}

void
mem_image_copy(struct mem_image *to, const struct mem_image *from)
{
	to->bytes = 0;
	mem_image_write(to, from->data, from->bytes, 0);
}

struct mem_inode *
mem_inode_new(bool is_dir)
{
	struct mem_inode *inode = calloc(1, sizeof(*inode));

	FAL_ASSERT(inode != NULL);
	inode->is_dir = is_dir;
	return inode;
}

void
mem_inode_ref(struct mem_inode *inode)
{
	inode->refs++;
}

void
mem_inode_unref(struct mem_inode *inode)
{
	FAL_ASSERT(inode->refs > 0);
	if (--inode->refs > 0)
		return;
	free(inode->seen.data);
	free(inode->platter.data);
	free(inode);
}

void
mem_inode_sync(struct mem_inode *inode)
{
	mem_image_copy(&inode->platter, &inode->seen);
}

bool
mem_by_chance(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return (*random >> 32 & 1) != 0;
}

/* Length first, then each sector that differs. */
void
mem_inode_crash(struct mem_inode *inode, uint64_t *random)
{
	struct mem_image *seen = &inode->seen;
	struct mem_image *platter = &inode->platter;

	if (seen->bytes != platter->bytes && mem_by_chance(random))
		mem_image_resize(platter, seen->bytes);
	for (size_t at = 0; at < platter->bytes && at < seen->bytes;
	     at += SECTOR) {
		const size_t end_seen = seen->bytes - at;
		const size_t end_platter = platter->bytes - at;
		size_t step = SECTOR < end_seen ? SECTOR : end_seen;

		step = step < end_platter ? step : end_platter;
		if (memcmp(seen->data + at, platter->data + at, step) != 0 &&
		    mem_by_chance(random))
			memcpy(platter->data + at, seen->data + at, step);
	}
}

/* An array twice as large. */
void *
mem_grow(void *items, uint32_t *cap, size_t item_bytes)
{
	void *larger;

	*cap = *cap == 0 ? NAMES_MIN : 2 * *cap;
	larger = realloc(items, *cap * item_bytes);
	FAL_ASSERT(larger != NULL);
	return larger;
}

/* ---- names ------------------------------------------------------------------
 */

struct mem_name *
mem_table_find(const struct mem_table *table, const char *path)
{
	for (uint32_t i = 0; i < table->count; i++)
		if (strcmp(table->names[i].path, path) == 0)
			return &table->names[i];
	return NULL;
}

void
mem_table_remove(struct mem_table *table, const char *path)
{
	struct mem_name *name = mem_table_find(table, path);

	if (name == NULL)
		return;
	mem_inode_unref(name->inode);
	*name = table->names[--table->count];
}

void
mem_table_put(struct mem_table *table, const char *path,
	      struct mem_inode *inode)
{
	struct mem_name *name;

	mem_inode_ref(inode);
	mem_table_remove(table, path);
	if (table->count == table->cap)
		table->names = mem_grow(table->names, &table->cap,
					sizeof(*table->names));
	name = &table->names[table->count++];
	snprintf(name->path, sizeof(name->path), "%s", path);
	name->inode = inode;
}

void
mem_table_clear(struct mem_table *table)
{
	while (table->count > 0)
		mem_inode_unref(table->names[--table->count].inode);
}

void
mem_table_copy(struct mem_table *to, const struct mem_table *from)
{
	mem_table_clear(to);
	for (uint32_t i = 0; i < from->count; i++)
		mem_table_put(to, from->names[i].path, from->names[i].inode);
}

/* Is `path` directly in `dir`? */
bool
mem_is_in_dir(const char *path, const char *dir)
{
	const char *slash = strrchr(path, '/');
	size_t bytes = strlen(dir);

	while (bytes > 0 && dir[bytes - 1] == '/')
		bytes--;
	return slash != NULL && (size_t)(slash - path) == bytes &&
	       strncmp(path, dir, bytes) == 0;
}

void
mem_table_apply(struct mem_table *table, const struct mem_change *change)
{
	if (change->from[0] != '\0')
		mem_table_remove(table, change->from);
	if (change->to[0] != '\0')
		mem_table_put(table, change->to, change->inode);
}
