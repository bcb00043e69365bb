/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_DISK_MEM_FILES_H
#define FALCONER_DRIVERS_DISK_MEM_FILES_H

/*
 * disk_mem_files - what the disk in memory is made of: images of bytes, inodes
 * with two of them, tables of names, and changes to such tables. Only for
 * disk_mem.c; out of memory is a failed assert here.
 */

#include "drivers/disk_mem.h"

#define MEM_PATH_BYTES 512u

struct mem_image {
	uint8_t *data;
	size_t bytes, cap;
};

struct mem_inode {
	struct mem_image seen, platter;
	uint32_t refs; /* names in either table, handles, changes */
	bool is_dir;
	bool is_locked;
};

struct mem_name {
	char path[MEM_PATH_BYTES];
	struct mem_inode *inode;
};

struct mem_table {
	struct mem_name *names;
	uint32_t count, cap;
};

/* A rename has both paths, a creation only `to`, a removal only `from`. */
struct mem_change {
	char from[MEM_PATH_BYTES]; /* "": none, a creation */
	char to[MEM_PATH_BYTES];   /* "": none, a removal */
	struct mem_inode *inode;
};

/* An array twice as large. */
void *mem_grow(void *items, uint32_t *cap, size_t item_bytes);

void mem_image_resize(struct mem_image *, size_t bytes);
void mem_image_write(struct mem_image *, const uint8_t *from, size_t bytes,
		     size_t at);
void mem_image_copy(struct mem_image *to, const struct mem_image *from);

struct mem_inode *mem_inode_new(bool is_dir);
void mem_inode_ref(struct mem_inode *);
void mem_inode_unref(struct mem_inode *);
void mem_inode_sync(struct mem_inode *);
/* What power loss leaves on the platter. random: the state of a generator. */
void mem_inode_crash(struct mem_inode *, uint64_t *random);
bool mem_by_chance(uint64_t *random);

struct mem_name *mem_table_find(const struct mem_table *, const char *path);
/* Holds a reference; replaces what has the name. */
void mem_table_put(struct mem_table *, const char *path, struct mem_inode *);
void mem_table_remove(struct mem_table *, const char *path);
void mem_table_clear(struct mem_table *);
void mem_table_copy(struct mem_table *to, const struct mem_table *from);
void mem_table_apply(struct mem_table *, const struct mem_change *);
/* Is `path` directly in `dir`? */
bool mem_is_in_dir(const char *path, const char *dir);

#endif
