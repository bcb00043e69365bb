/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_STORE_TXLOG_INTERNAL_H
#define FALCONER_STORE_TXLOG_INTERNAL_H

/* txlog_internal - the state that txlog.c (ZAB's side), txlog_write.c (LOG's),
 * txlog_map.c (without flushes: from one to the other) and txlog_next.c (the
 * next file; LOG and BG) share. For those only. */

#include "store/txlog.h"

#include <stdatomic.h>

#include "store/file_name.h"
#include "store/log_reader.h"
#include "store/window.h"

#define BLOCK       DISK_BLOCK_BYTES
#define HEAD_BYTES  LOG_RECORD_HEAD_BYTES
#define ZXID_OFFSET 12u /* in a transaction header */

_Static_assert(TXLOG_WRITE_BYTES_MAX % BLOCK == 0, "writes are blocks");
_Static_assert(TXLOG_RECORD_OVERHEAD == LOG_RECORD_OVERHEAD, "one format");

enum next_state {
	NEXT_NONE,
	NEXT_FILLING,
	NEXT_READY,
	NEXT_HELD,
	NEXT_CLAIMED
};

/* Who writes the current file (txlog_map.c). */
enum log_writer {
	WRITER_LOG,
	WRITER_ZAB,
};

/* Power of two. A file more keeps its zeros: readers pass over them. */
#define CLOSED_MAX 64u

struct txlog {
	/* Fixed after creation. */
	struct disk *disk;
	struct window window;
	uint64_t prealloc_bytes;
	uint64_t least_bytes; /* of a file: it holds the largest entry */
	uint32_t entry_bytes_max;
	uint32_t log_open_flags;
	bool is_mappable; /* it need not be durable, and is written */
	/* Nothing is written; changes while ZAB and LOG stand still. */
	_Atomic bool is_volatile;
	_Atomic bool must_keep;
	void (*durable_notify)(void *arg);
	void *arg;
	char dir[FILE_PATH_MAX];
	char prealloc_path[FILE_PATH_MAX];

	/* ZAB writes, LOG reads: a line of its own. */
	_Alignas(FAL_CACHE_LINE_BYTES) _Atomic uint64_t head;
	uint64_t mark_end;       /* of the old file's records */
	uint64_t mark_start;     /* of the new file */
	bool mark_is_full;       /* the old file had no room left */
	_Atomic bool wants_next; /* an append waits for the next file */

	/* ZAB only. */
	_Alignas(FAL_CACHE_LINE_BYTES) uint64_t file_start;
	uint64_t file_end; /* allocated up to here */
	uint64_t hold;
	uint64_t last_zxid;
	uint64_t last_pos;
	uint64_t clean_from; /* bytes below may be overwritten by a reserve */
	bool has_file;
	bool has_record;
	bool is_roll_wanted;
	bool has_next;        /* the next file is HELD */
	uint64_t origin_zxid; /* before the first record */
	uint64_t origin_pos;  /* of the first record, since the last restart */

	/* The writer writes, all read. */
	_Alignas(FAL_CACHE_LINE_BYTES) _Atomic uint64_t durable_zxid;
	_Atomic uint64_t kept;
	_Atomic int error;
	_Atomic uint64_t writes, records, bytes, files, bytes_written;

	/* LOG only; of the writer: out_start, done, flying, walk, map. */
	_Alignas(FAL_CACHE_LINE_BYTES) struct disk_file *file;
	uint8_t *bounce;    /* one block */
	uint64_t out_start; /* position where the file begins */
	uint64_t out_bytes; /* allocated for it */
	uint64_t done;      /* durable up to here */
	uint64_t flying;    /* end of the write in flight */
	uint64_t walk;      /* first record that is not durable */
	bool is_flying;
	uint64_t out_zxid;        /* the file's name */
	bool is_unnamed;          /* the file still has the hidden name */
	uint8_t *map;             /* of the file; NULL: not mapped */
	bool is_map_spent;        /* its next pages cannot be had */
	_Atomic uint32_t writer;  /* enum log_writer */
	_Atomic uint64_t ready;   /* bytes of the map with their pages */
	_Atomic bool wants_pages; /* ZAB: soon more will be needed */

	/* The next file: owned by whoever the state says. */
	_Alignas(FAL_CACHE_LINE_BYTES) _Atomic uint32_t next_state;
	_Atomic int space_error; /* why there is none; 0: there may be */
	struct disk_file *next_file;
	uint64_t next_bytes; /* allocated */
	uint64_t next_filled;

	/* LOG -> whoever makes the next file: how large, by what the last one
	 * used before it was rolled. */
	_Atomic uint64_t file_bytes;

	/* LOG -> BG: closed files to cut to their lengths, a ring. */
	struct txlog_closed {
		uint64_t zxid, bytes;
	} closed[CLOSED_MAX];
	_Atomic uint32_t closed_head; /* LOG */
	_Atomic uint32_t closed_tail; /* BG */
};

/* The log can never be written again. */
void txlog_fail(struct txlog *, int err);
/* The writer: the file is written up to position `end`. */
void txlog_written(struct txlog *, uint64_t end);
/* LOG or BG: makes the next file if there is none. True if it came to be. */
bool txlog_provide_next(struct txlog *);

/* Is the current file ZAB's to write? Context  LOG, ZAB */
bool txlog_is_zabs(const struct txlog *);
/* LOG: maps the file that got its name, if that is possible. */
void txlog_map(struct txlog *);
/* LOG, or who has the log alone: before the file is closed. */
void txlog_unmap(struct txlog *);
/* LOG: everything up to `end`, what there was, is written; ZAB may go on if the
 * file is mapped. True: it does. */
bool txlog_hand_over(struct txlog *, uint64_t end);
/* LOG: gets pages ready if they are wanted; true if it did. */
bool txlog_get_ready(struct txlog *);
/* ZAB: the current file ends. */
void txlog_give_back(struct txlog *);

static inline uint8_t *
txlog_at(const struct txlog *log, uint64_t pos)
{
	return window_at(&log->window, pos);
}

static inline void
txlog_notify(const struct txlog *log)
{
	if (log->durable_notify != NULL)
		log->durable_notify(log->arg);
}

#endif
