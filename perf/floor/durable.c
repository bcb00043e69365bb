/* SPDX-License-Identifier: Apache-2.0 */
/*
 * durable - one 4 KiB write that is on the disk when it returns.
 *
 * The file is written with zeros beforehand: storage is allocated and marked as
 * written, so that an append changes no metadata. Otherwise each append would
 * also be a commit of the file system's journal.
 */
#include "perf/floor/floor.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_BYTES 4096u

struct durable {
	int fd;
	uint32_t blocks, next;
	uint8_t *block;
	char name[NAME_BYTES];
};

static void
write_block(struct durable *log, uint32_t index)
{
	if (pwrite(log->fd, log->block, DURABLE_BLOCK_BYTES,
		   (off_t)index * DURABLE_BLOCK_BYTES) !=
	    (ssize_t)DURABLE_BLOCK_BYTES)
		floor_die("pwrite");
}

static void
open_file(struct durable *log, int flags)
{
	log->fd = open(log->name, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0644);
	if (log->fd < 0)
		floor_die(log->name);
}

struct durable *
durable_open(const char *dir, uint32_t blocks)
{
	static uint32_t opened; /* a name for each */
	struct durable *log = calloc(1, sizeof(*log));

	if (log == NULL)
		floor_die("calloc");
	log->blocks = blocks;
	if (snprintf(log->name, NAME_BYTES, "%s/floor.%d.%u", dir, getpid(),
		     opened++) >= (int)NAME_BYTES)
		floor_die("the name of the directory");
	if (posix_memalign((void **)&log->block, DURABLE_BLOCK_BYTES,
			   DURABLE_BLOCK_BYTES) != 0)
		floor_die("posix_memalign");
	memset(log->block, 0, DURABLE_BLOCK_BYTES);

	open_file(log, O_TRUNC);
	for (uint32_t i = 0; i < blocks; i++)
		write_block(log, i);
	if (fsync(log->fd) != 0 || close(log->fd) != 0)
		floor_die("fsync");
	open_file(log, O_DIRECT | O_DSYNC);
	return log;
}

void
durable_append(struct durable *log)
{
	/* Never the same bytes twice: a device must not take it for nothing. */
	memcpy(log->block, &log->next, sizeof(log->next));
	write_block(log, log->next % log->blocks);
	log->next++;
}

void
durable_close(struct durable *log)
{
	close(log->fd);
	if (unlink(log->name) != 0)
		floor_die(log->name);
	free(log->block);
	free(log);
}
