/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All log files of a directory as one sequence. Files are sorted by the zxid
 * in their names; reading begins in the last file that starts at or before
 * the wanted zxid, because a snapshot may be taken while the log rolls a few
 * transactions later, so no file need start right behind it. A file whose
 * successor exists must end cleanly. Java may write records twice: inside a
 * file what is not above the last zxid is skipped. A first record that differs
 * from the file's name, or is not above the file before, is damage.
 */

#include "store/log_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/file_list.h"

struct log_chain {
	struct disk *disk;
	char dir[FILE_PATH_MAX];
	char path[FILE_PATH_MAX];
	struct file_list files;
	uint32_t next; /* file to open */
	uint32_t entry_bytes_max;
	uint64_t from;
	uint64_t last_zxid; /* seen, wanted or not */
	struct log_file *file;
};

int
log_chain_open(struct disk *disk, const char *dir, uint64_t from,
	       uint32_t entry_bytes_max, struct log_chain **out)
{
	struct log_chain *chain = calloc(1, sizeof(*chain));
	int err;

	if (chain == NULL)
		return FAL_ENOMEM;
	chain->disk = disk;
	chain->from = from;
	chain->entry_bytes_max = entry_bytes_max;
	err = snprintf(chain->dir, sizeof(chain->dir), "%s", dir) <
			      (int)sizeof(chain->dir)
		      ? 0
		      : FAL_ELIMIT;
	if (err == 0)
		err = file_list_read(disk, dir, FILE_LOG, &chain->files);
	if (err != 0) {
		log_chain_close(chain);
		return err;
	}
	chain->next = file_list_floor(&chain->files, from);
	*out = chain;
	return 0;
}

void
log_chain_close(struct log_chain *chain)
{
	if (chain == NULL)
		return;
	log_file_close(chain->file);
	file_list_free(&chain->files);
	free(chain);
}

static int
open_next(struct log_chain *chain)
{
	int err;

	log_file_close(chain->file);
	chain->file = NULL;
	err = file_path(chain->path, chain->dir,
			chain->files.entries[chain->next].name);
	if (err == 0)
		err = log_file_open(chain->disk, chain->path,
				    chain->entry_bytes_max, &chain->file);
	chain->next++;
	return err;
}

/* 1: a record to give, 0: a duplicate, FAL_ECORRUPT: out of order. */
static int
check_order(struct log_chain *chain, const struct log_record *record)
{
	const uint64_t zxid = (uint64_t)record->header.zxid;
	const bool is_first = record->offset == LOG_FILE_HEADER_BYTES;

	if (is_first &&
	    (zxid != chain->files.entries[chain->next - 1].parsed.zxid ||
	     zxid <= chain->last_zxid))
		return FAL_ECORRUPT;
	if (zxid <= chain->last_zxid)
		return 0;
	chain->last_zxid = zxid;
	return zxid >= chain->from ? 1 : 0;
}

/* Nothing in a file is no harm: the zxids around it tell if it lost any. */
static bool
is_bad_middle(const struct log_chain *chain)
{
	const enum log_end end = log_chain_end(chain);

	return end != LOG_END_CLEAN && end != LOG_END_EMPTY &&
	       !log_chain_is_last_file(chain);
}

int
log_chain_next(struct log_chain *chain, struct log_record *out)
{
	for (;;) {
		int got = 0;

		if (chain->file != NULL)
			got = log_file_next(chain->file, out);
		if (got < 0)
			return got;
		if (got > 0)
			got = check_order(chain, out);
		else if (is_bad_middle(chain))
			return FAL_ECORRUPT;
		if (got != 0)
			return got;
		if (chain->file != NULL &&
		    log_file_end(chain->file) == LOG_END_OPEN)
			continue;
		if (chain->next == chain->files.count)
			return 0;
		got = open_next(chain);
		if (got != 0)
			return got;
	}
}

const char *
log_chain_path(const struct log_chain *chain)
{
	return chain->path;
}

enum log_end
log_chain_end(const struct log_chain *chain)
{
	return chain->file == NULL ? LOG_END_CLEAN : log_file_end(chain->file);
}

struct log_file *
log_chain_file(struct log_chain *chain)
{
	return chain->file;
}

bool
log_chain_is_last_file(const struct log_chain *chain)
{
	return chain->next == chain->files.count;
}

uint64_t
log_chain_last_zxid(const struct log_chain *chain)
{
	return chain->last_zxid;
}
