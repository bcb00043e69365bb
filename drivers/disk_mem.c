/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file has two images: `seen` is what reads give, `platter` what power loss
 * leaves. A sync copies seen to platter. A crash looks at every sector in which
 * they differ, and at the length, and takes one side.
 *
 * Names have two tables in the same manner, but they settle in order: changes
 * of a directory are a list, of which a crash keeps a beginning, as a journal
 * does; a rename is one change.
 *
 * The memory of a write in flight is compared at its end with what it was at
 * its beginning: a device may read it at any time in between, so it must not
 * change.
 */

#include "drivers/disk_mem_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR        DISK_MEM_SECTOR_BYTES
#define DISK_MEM_USER 1000u

struct disk_mem {
	struct disk base;
	struct mem_table seen, platter;
	struct mem_change *changes;
	uint32_t change_count, change_cap;
	uint64_t random;
	uint64_t operations;
	uint64_t fail_at;
	int fail_error;
	bool is_fail_forever;
	uint32_t slow_polls;
	uint64_t space;
	uint32_t generation; /* counts crashes */
};

struct mem_file {
	struct disk_file base;
	struct mem_inode *inode;
	uint32_t generation;
	bool is_durable, is_lock;
	/* The write in flight. */
	bool is_flying;
	uint32_t polls_left;
	int result;
	struct disk_part parts[DISK_PARTS_MAX];
	uint32_t part_count;
	uint64_t at;
	uint8_t *copy;
	size_t bytes;
};

static struct disk_mem *
mem_of(struct disk *disk)
{
	return (struct disk_mem *)(void *)disk;
}

static struct mem_file *
file_of(struct disk_file *file)
{
	return (struct mem_file *)(void *)file;
}

static bool
by_chance(struct disk_mem *mem)
{
	return mem_by_chance(&mem->random);
}

/* ---- names ----------------------------------------------------------------
 */

static bool
has_parent(const struct disk_mem *mem, const char *path)
{
	char parent[MEM_PATH_BYTES];
	const char *slash = strrchr(path, '/');
	const struct mem_name *name;

	if (slash == NULL || slash == path)
		return true;
	snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
	name = mem_table_find(&mem->seen, parent);
	return name != NULL && name->inode->is_dir;
}

static void
note_change(struct disk_mem *mem, const char *from, const char *to,
	    struct mem_inode *inode)
{
	struct mem_change *change;

	if (mem->change_count == mem->change_cap)
		mem->changes = mem_grow(mem->changes, &mem->change_cap,
					sizeof(*mem->changes));
	change = &mem->changes[mem->change_count++];
	snprintf(change->from, sizeof(change->from), "%s", from);
	snprintf(change->to, sizeof(change->to), "%s", to);
	change->inode = inode;
	mem_inode_ref(inode);
	mem_table_apply(&mem->seen, change);
}

/* Drops change `index`, applied to the platter or not. */
static void
settle_change(struct disk_mem *mem, uint32_t index, bool is_kept)
{
	struct mem_change *change = &mem->changes[index];

	if (is_kept)
		mem_table_apply(&mem->platter, change);
	mem_inode_unref(change->inode);
	mem->change_count--;
	memmove(change, change + 1,
		(mem->change_count - index) * sizeof(*change));
}

static const char *
change_path(const struct mem_change *change)
{
	return change->to[0] != '\0' ? change->to : change->from;
}

/* ---- faults
 * ------------------------------------------------------------------ */

/* 0, or the error this operation has to fail with. */
static int
fault(struct disk_mem *mem)
{
	const uint64_t number = mem->operations++;

	if (number == mem->fail_at ||
	    (mem->is_fail_forever && number > mem->fail_at))
		return mem->fail_error;
	return 0;
}

static bool
is_dead(const struct mem_file *file)
{
	return file->generation != mem_of(file->base.disk)->generation;
}

static int
take_space(struct disk_mem *mem, const struct mem_inode *inode, uint64_t end)
{
	const uint64_t have = inode->seen.bytes;
	const uint64_t more = end > have ? end - have : 0;

	if (mem->space == UINT64_MAX)
		return 0;
	if (more > mem->space)
		return FAL_ENOSPC;
	mem->space -= more;
	return 0;
}

static void
give_space(struct disk_mem *mem, uint64_t bytes)
{
	if (mem->space != UINT64_MAX)
		mem->space += bytes;
}

/* ---- operations
 * ---------------------------------------------------------------- */

static int
mem_open(struct disk *disk, const char *path, uint32_t flags,
	 struct disk_file **out)
{
	struct disk_mem *mem = mem_of(disk);
	struct mem_name *name = mem_table_find(&mem->seen, path);
	const bool must_make = name == NULL && (flags & DISK_CREATE) != 0;
	struct mem_file *file;
	int err = 0;

	if (name == NULL && !must_make)
		return FAL_ENOENT;
	if (name != NULL && name->inode->is_dir)
		return FAL_EACCESS;
	if (must_make && !has_parent(mem, path))
		return FAL_ENOENT;
	if (must_make || (flags & DISK_TRUNC) != 0)
		err = fault(mem);
	if (err != 0)
		return err;
	if (must_make) {
		note_change(mem, "", path, mem_inode_new(false));
		name = mem_table_find(&mem->seen, path);
	}
	file = calloc(1, sizeof(*file));
	FAL_ASSERT(file != NULL && name != NULL);
	if (flags & DISK_TRUNC) {
		give_space(mem, name->inode->seen.bytes);
		mem_image_resize(&name->inode->seen, 0);
	}
	file->base.disk = disk;
	file->inode = name->inode;
	mem_inode_ref(file->inode);
	file->generation = mem->generation;
	file->is_durable = (flags & DISK_LOG) && !(flags & DISK_NOSYNC);
	*out = &file->base;
	return 0;
}

static void
mem_close(struct disk_file *base)
{
	struct mem_file *file = file_of(base);

	FAL_ASSERT(!file->is_flying || is_dead(file));
	if (file->is_lock && !is_dead(file))
		file->inode->is_locked = false;
	mem_inode_unref(file->inode);
	free(file->copy);
	free(file);
}

static int
mem_info(struct disk *disk, const char *path, struct disk_info *out)
{
	const struct mem_name *name = mem_table_find(&mem_of(disk)->seen, path);

	if (name == NULL)
		return FAL_ENOENT;
	out->bytes = name->inode->seen.bytes;
	out->allocated = out->bytes;
	out->owner = DISK_MEM_USER;
	out->mode = 0644;
	out->is_dir = name->inode->is_dir;
	return 0;
}

static int
mem_file_bytes(struct disk_file *base, uint64_t *out)
{
	if (is_dead(file_of(base)))
		return FAL_EIO;
	*out = file_of(base)->inode->seen.bytes;
	return 0;
}

static int
mem_read(struct disk_file *base, void *to, size_t bytes, uint64_t at,
	 size_t *got)
{
	const struct mem_file *file = file_of(base);
	const struct mem_image *seen = &file->inode->seen;

	*got = 0;
	if (is_dead(file))
		return FAL_EIO;
	if (at >= seen->bytes || bytes == 0)
		return 0;
	*got = bytes < seen->bytes - at ? bytes : (size_t)(seen->bytes - at);
	memcpy(to, seen->data + at, *got);
	return 0;
}

/* A failing write leaves some of its sectors behind. */
static void
write_some(struct disk_mem *mem, struct mem_inode *inode, const uint8_t *from,
	   size_t bytes, size_t at)
{
	for (size_t done = 0; done < bytes;) {
		const size_t left = bytes - done;
		const size_t to_border = SECTOR - (at + done) % SECTOR;
		const size_t step = left < to_border ? left : to_border;

		if (by_chance(mem))
			mem_image_write(&inode->seen, from + done, step,
					at + done);
		done += step;
	}
}

static int
mem_write(struct disk_file *base, const void *from, size_t bytes, uint64_t at)
{
	struct mem_file *file = file_of(base);
	struct disk_mem *mem = mem_of(base->disk);
	int err;

	if (is_dead(file))
		return FAL_EIO;
	err = fault(mem);
	if (err != 0)
		write_some(mem, file->inode, from, bytes, (size_t)at);
	if (err == 0)
		err = take_space(mem, file->inode, at + bytes);
	if (err == 0)
		mem_image_write(&file->inode->seen, from, bytes, (size_t)at);
	return err;
}

/* Copies the parts; with is_check compares instead. */
static void
gather(struct mem_file *file, bool is_check)
{
	size_t done = 0;

	for (uint32_t i = 0; i < file->part_count; i++) {
		const struct disk_part *part = &file->parts[i];

		if (is_check)
			FAL_ASSERT(memcmp(file->copy + done, part->data,
					  part->bytes) == 0);
		else
			memcpy(file->copy + done, part->data, part->bytes);
		done += part->bytes;
	}
}

static int
mem_submit(struct disk_file *base, const struct disk_part *parts,
	   uint32_t count, uint64_t at)
{
	struct mem_file *file = file_of(base);
	struct disk_mem *mem = mem_of(base->disk);

	FAL_ASSERT(!file->is_flying);
	FAL_ASSERT(count >= 1 && count <= DISK_PARTS_MAX);
	FAL_ASSERT(at % DISK_BLOCK_BYTES == 0);
	if (is_dead(file))
		return FAL_EIO;
	file->bytes = 0;
	for (uint32_t i = 0; i < count; i++) {
		FAL_ASSERT(parts[i].bytes % DISK_BLOCK_BYTES == 0);
		FAL_ASSERT((uintptr_t)parts[i].data % DISK_BLOCK_BYTES == 0);
		file->parts[i] = parts[i];
		file->bytes += parts[i].bytes;
	}
	FAL_ASSERT(file->bytes > 0);
	file->part_count = count;
	file->at = at;
	file->copy = realloc(file->copy, file->bytes);
	FAL_ASSERT(file->copy != NULL);
	gather(file, false);
	file->result = fault(mem);
	if (file->result == 0)
		file->result = take_space(mem, file->inode, at + file->bytes);
	file->polls_left = mem->slow_polls;
	file->is_flying = true;
	/* What a crash finds of it: unsynced sectors. */
	if (file->result != 0)
		write_some(mem, file->inode, file->copy, file->bytes,
			   (size_t)at);
	else
		mem_image_write(&file->inode->seen, file->copy, file->bytes,
				(size_t)at);
	return 0;
}

static int
mem_poll(struct disk_file *base)
{
	struct mem_file *file = file_of(base);

	FAL_ASSERT(file->is_flying);
	if (is_dead(file)) {
		file->is_flying = false;
		return FAL_EIO;
	}
	if (file->polls_left > 0) {
		file->polls_left--;
		return FAL_EAGAIN;
	}
	file->is_flying = false;
	gather(file, true);
	if (file->result == 0 && file->is_durable) {
		mem_image_resize(&file->inode->platter,
				 file->inode->seen.bytes);
		mem_image_write(&file->inode->platter, file->copy, file->bytes,
				(size_t)file->at);
	}
	return file->result;
}

static int
mem_sync(struct disk_file *base)
{
	struct mem_file *file = file_of(base);
	int err;

	if (is_dead(file))
		return FAL_EIO;
	err = fault(mem_of(base->disk));
	if (err == 0)
		mem_inode_sync(file->inode);
	return err;
}

static int
mem_truncate(struct disk_file *base, uint64_t bytes)
{
	struct mem_file *file = file_of(base);
	struct disk_mem *mem = mem_of(base->disk);
	int err;

	if (is_dead(file))
		return FAL_EIO;
	err = fault(mem);
	if (err == 0 && bytes > file->inode->seen.bytes)
		err = take_space(mem, file->inode, bytes);
	else if (err == 0)
		give_space(mem, file->inode->seen.bytes - bytes);
	if (err == 0)
		mem_image_resize(&file->inode->seen, (size_t)bytes);
	return err;
}

static int
mem_allocate(struct disk_file *base, uint64_t from, uint64_t to)
{
	struct mem_file *file = file_of(base);
	int err;

	FAL_ASSERT(from <= to);
	if (is_dead(file))
		return FAL_EIO;
	err = fault(mem_of(base->disk));
	if (err == 0)
		err = take_space(mem_of(base->disk), file->inode, to);
	if (err == 0 && to > file->inode->seen.bytes)
		mem_image_resize(&file->inode->seen, (size_t)to);
	return err;
}

static int
mem_sync_dir(struct disk *disk, const char *path)
{
	struct disk_mem *mem = mem_of(disk);
	const struct mem_name *name = mem_table_find(&mem->seen, path);
	int err;

	if (strcmp(path, "/") != 0 && (name == NULL || !name->inode->is_dir))
		return FAL_ENOENT;
	err = fault(mem);
	for (uint32_t i = 0; i < mem->change_count && err == 0;) {
		if (mem_is_in_dir(change_path(&mem->changes[i]), path))
			settle_change(mem, i, true);
		else
			i++;
	}
	return err;
}

static int
mem_sync_volume(struct disk *disk, const char *path)
{
	struct disk_mem *mem = mem_of(disk);
	const int err = fault(mem);

	(void)path;
	if (err != 0)
		return err;
	for (uint32_t i = 0; i < mem->seen.count; i++)
		mem_inode_sync(mem->seen.names[i].inode);
	while (mem->change_count > 0)
		settle_change(mem, 0, true);
	return 0;
}

static int
mem_rename(struct disk *disk, const char *from, const char *to)
{
	struct disk_mem *mem = mem_of(disk);
	const struct mem_name *name = mem_table_find(&mem->seen, from);
	int err;

	if (name == NULL || !has_parent(mem, to))
		return FAL_ENOENT;
	err = fault(mem);
	if (err == 0)
		note_change(mem, from, to, name->inode);
	return err;
}

static int
mem_unlink(struct disk *disk, const char *path)
{
	struct disk_mem *mem = mem_of(disk);
	const struct mem_name *name = mem_table_find(&mem->seen, path);
	int err;

	if (name == NULL)
		return FAL_ENOENT;
	err = fault(mem);
	if (err == 0) {
		give_space(mem, name->inode->seen.bytes);
		note_change(mem, path, "", name->inode);
	}
	return err;
}

static int
mem_mkdir(struct disk *disk, const char *path)
{
	struct disk_mem *mem = mem_of(disk);
	int err;

	if (mem_table_find(&mem->seen, path) != NULL)
		return FAL_EEXIST;
	if (!has_parent(mem, path))
		return FAL_ENOENT;
	err = fault(mem);
	if (err == 0)
		note_change(mem, "", path, mem_inode_new(true));
	return err;
}

static int
mem_list(struct disk *disk, const char *path, disk_name_fn fn, void *arg)
{
	struct disk_mem *mem = mem_of(disk);
	const struct mem_name *dir = mem_table_find(&mem->seen, path);

	if (dir == NULL || !dir->inode->is_dir)
		return FAL_ENOENT;
	for (uint32_t i = 0; i < mem->seen.count; i++)
		if (mem_is_in_dir(mem->seen.names[i].path, path))
			fn(arg, strrchr(mem->seen.names[i].path, '/') + 1);
	return 0;
}

static int
mem_free_bytes(struct disk *disk, const char *path, uint64_t *out)
{
	(void)path;
	*out = mem_of(disk)->space;
	return 0;
}

static int
mem_lock(struct disk *disk, const char *path, struct disk_file **out)
{
	int err = mem_open(disk, path, DISK_WRITE | DISK_CREATE, out);

	if (err != 0)
		return err;
	if (file_of(*out)->inode->is_locked) {
		mem_close(*out);
		return FAL_EBUSY;
	}
	file_of(*out)->inode->is_locked = true;
	file_of(*out)->is_lock = true;
	return 0;
}

static void
mem_pin(struct disk *disk, const struct disk_part *buffers, uint32_t count)
{
	(void)disk;
	(void)buffers;
	(void)count;
}

/* The image that reads give; it does not grow while the file is mapped. */
static int
mem_map(struct disk_file *base, uint64_t bytes, uint8_t **out)
{
	const struct mem_file *file = file_of(base);

	if (is_dead(file))
		return FAL_EIO;
	FAL_ASSERT(!file->is_durable && bytes <= file->inode->seen.bytes);
	*out = file->inode->seen.data;
	return 0;
}

static int
mem_ready(struct disk_file *base, uint8_t *from, uint64_t bytes)
{
	(void)from;
	(void)bytes;
	return is_dead(file_of(base)) ? FAL_EIO : fault(mem_of(base->disk));
}

static void
mem_unmap(struct disk_file *base, uint8_t *map, uint64_t bytes)
{
	(void)base;
	(void)map;
	(void)bytes;
}

static const struct disk_ops mem_ops = {
	.open = mem_open,
	.close = mem_close,
	.info = mem_info,
	.file_bytes = mem_file_bytes,
	.read = mem_read,
	.write = mem_write,
	.submit = mem_submit,
	.poll = mem_poll,
	.sync = mem_sync,
	.truncate = mem_truncate,
	.allocate = mem_allocate,
	.sync_dir = mem_sync_dir,
	.sync_volume = mem_sync_volume,
	.rename = mem_rename,
	.unlink = mem_unlink,
	.mkdir = mem_mkdir,
	.list = mem_list,
	.free_bytes = mem_free_bytes,
	.lock = mem_lock,
	.pin = mem_pin,
	.map = mem_map,
	.ready = mem_ready,
	.unmap = mem_unmap,
};

/* ---- the face for tests ----------------------------------------------------
 */

int
disk_mem_create(uint64_t seed, struct disk_mem **out)
{
	struct disk_mem *mem = calloc(1, sizeof(*mem));

	if (mem == NULL)
		return FAL_ENOMEM;
	mem->base = (struct disk){.ops = &mem_ops, .name = "memory"};
	mem->random = seed | 1;
	mem->space = UINT64_MAX;
	mem->fail_at = UINT64_MAX;
	*out = mem;
	return 0;
}

void
disk_mem_destroy(struct disk_mem *mem)
{
	if (mem == NULL)
		return;
	while (mem->change_count > 0)
		settle_change(mem, 0, false);
	mem_table_clear(&mem->seen);
	mem_table_clear(&mem->platter);
	free(mem->seen.names);
	free(mem->platter.names);
	free(mem->changes);
	free(mem);
}

struct disk *
disk_mem_disk(struct disk_mem *mem)
{
	return &mem->base;
}

void
disk_mem_fail_at(struct disk_mem *mem, uint64_t countdown, int err,
		 bool is_forever)
{
	FAL_ASSERT(err < 0);
	mem->fail_at = mem->operations + countdown;
	mem->fail_error = err;
	mem->is_fail_forever = is_forever;
}

void
disk_mem_fail_never(struct disk_mem *mem)
{
	mem->fail_at = UINT64_MAX;
	mem->is_fail_forever = false;
}

uint64_t
disk_mem_operations(const struct disk_mem *mem)
{
	return mem->operations;
}

void
disk_mem_slow(struct disk_mem *mem, uint32_t polls)
{
	mem->slow_polls = polls;
}

void
disk_mem_space(struct disk_mem *mem, uint64_t bytes)
{
	mem->space = bytes;
}

void
disk_mem_crash(struct disk_mem *mem, enum disk_mem_fate fate)
{
	/* Each directory keeps a beginning of its changes. One die for all of
	 * a directory would do; dice until the first loss do as well. */
	for (uint32_t i = 0; i < mem->change_count;) {
		char dir[MEM_PATH_BYTES];
		const char *path = change_path(&mem->changes[i]);
		const char *slash = strrchr(path, '/');
		bool is_kept = fate == DISK_MEM_KEEP_ALL ||
			       (fate == DISK_MEM_BY_CHANCE && by_chance(mem));

		if (is_kept) {
			settle_change(mem, i, true);
			continue;
		}
		snprintf(dir, sizeof(dir), "%.*s",
			 slash == NULL ? 0 : (int)(slash - path), path);
		for (uint32_t j = i; j < mem->change_count;) {
			if (mem_is_in_dir(change_path(&mem->changes[j]), dir))
				settle_change(mem, j, false);
			else
				j++;
		}
	}
	for (uint32_t i = 0; i < mem->platter.count; i++) {
		struct mem_inode *inode = mem->platter.names[i].inode;

		if (fate == DISK_MEM_KEEP_ALL)
			mem_image_copy(&inode->platter, &inode->seen);
		else if (fate == DISK_MEM_BY_CHANCE)
			mem_inode_crash(inode, &mem->random);
		mem_image_copy(&inode->seen, &inode->platter);
		inode->is_locked = false;
	}
	mem_table_copy(&mem->seen, &mem->platter);
	mem->generation++;
	disk_mem_fail_never(mem);
}

uint8_t *
disk_mem_bytes(struct disk_mem *mem, const char *path, size_t *bytes)
{
	const struct mem_name *name = mem_table_find(&mem->seen, path);

	if (name == NULL || name->inode->is_dir)
		return NULL;
	*bytes = name->inode->seen.bytes;
	return name->inode->seen.data;
}

/* Puts an inode of that content under the name, in both tables. */
static struct mem_inode *
put_inode(struct disk_mem *mem, const char *path, bool is_dir)
{
	struct mem_inode *inode = mem_inode_new(is_dir);

	mem_table_put(&mem->seen, path, inode);
	mem_table_put(&mem->platter, path, inode);
	return inode;
}

int
disk_mem_copy(const struct disk_mem *from, uint64_t seed, struct disk_mem **out)
{
	const int err = disk_mem_create(seed, out);

	for (uint32_t i = 0; err == 0 && i < from->seen.count; i++) {
		const struct mem_name *name = &from->seen.names[i];
		struct mem_inode *inode =
			put_inode(*out, name->path, name->inode->is_dir);

		mem_image_copy(&inode->seen, &name->inode->seen);
		mem_image_copy(&inode->platter, &name->inode->seen);
	}
	return err;
}

int
disk_mem_put(struct disk_mem *mem, const char *path, const void *data,
	     size_t bytes)
{
	struct mem_inode *inode;

	if (!has_parent(mem, path))
		return FAL_ENOENT;
	inode = put_inode(mem, path, false);
	mem_image_write(&inode->seen, data, bytes, 0);
	mem_image_copy(&inode->platter, &inode->seen);
	return 0;
}
