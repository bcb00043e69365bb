/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_STORE_TXLOG_H
#define FALCONER_STORE_TXLOG_H

/*
 * txlog - the window of transactions, and the writer that makes it durable.
 *
 * The window is a byte ring that holds log files exactly as they are on disk:
 * file header, records [crc long][len int][entry]['B'], padding. A position
 * counts bytes since the log was created; address = position modulo size, and
 * the ring is mapped twice back to back, so every record is contiguous. The
 * ZAB core serialises an entry straight into it, and from there the log
 * writer, peer connections and DIFF are served without a copy.
 *
 *   ZAB   txlog_reserve() .. fill .. txlog_commit()     no system calls
 *   LOG   txlog_poll()      one write for all that gathered, then the durable
 *                           word moves and durable_notify() is called
 *   ZAB   txlog_settle()    the same of a log without flushes, by itself
 *   BG    txlog_prepare()   fills the next file with zeros, a slice per call
 *         txlog_trim()      cuts the file before to its length, likewise
 *
 * One write is in flight, because the next batch starts inside the last block
 * of the previous one. A write is whole blocks: full ones from the window, the
 * last one from a bounce block with zeros behind the last record. While it
 * runs the next batch gathers: group commit without a timer.
 *
 * A log without flushes (forceSync=no) is mapped, and between the first record
 * of a file and its end ZAB stores what it has committed into the page cache
 * itself (txlog_map.c): no system call, and no thread that has to be woken.
 *
 * The next file is always at hand: `falconer.prealloc`, a name that Java
 * ignores, with its storage allocated, so that lack of space is known before a
 * transaction is accepted. A file that is full is followed by the next one. A
 * new file gets its header and first records under the hidden name, is synced,
 * renamed to log.<zxid>, and the directory is synced: only then the records
 * count as durable, and at no instant a Java server finds an unreadable file.
 *
 * Context    ZAB: the one appending thread; LOG: the one writing thread; BG:
 *            the one preparing thread; they may all be the same. Any: any
 *            thread. Creating and destroying: nobody else uses the log.
 * Ownership  dir is copied. Pointers into the window are valid until the ring
 *            comes round; txlog_hold() keeps them longer.
 * Limits     window_bytes of records that are not durable or held; entries up
 *            to entry_bytes_max.
 * Errors     a failed write or sync is final: txlog_error() is negative from
 *            then on and durable stands still. The process ends; it never
 *            tries again (the kernel may have dropped the pages).
 * Cost       reserve + commit: the checksum of the entry (30 ns for 200 bytes)
 *            and two stores to a shared line.
 * Source     architecture.md 6.2, disk-format.md sections 2, 4 and 14.
 */

#include "base/fal.h"
#include "drivers/disk.h"

#define TXLOG_RECORD_OVERHEAD      13u /* crc, len, 'B' */
#define TXLOG_WRITE_BYTES_MAX      (256u << 10)
#define TXLOG_WINDOW_BYTES_DEFAULT (64ull << 20)
#define TXLOG_PREALLOC_DEFAULT     (64ull << 20)
#define TXLOG_ENTRY_BYTES_DEFAULT  (4u << 20)
/* The next file before it has its name. */
#define TXLOG_PREALLOC_NAME "falconer.prealloc"

struct txlog;

struct txlog_options {
	const char *dir;          /* dataLogDir/version-2, exists */
	uint64_t window_bytes;    /* power of two, >= 4 entries; 0: 64 MiB */
	uint64_t prealloc_bytes;  /* preAllocSize; 0: 64 MiB */
	uint32_t entry_bytes_max; /* 0: 4 MiB */
	bool has_no_sync;         /* forceSync=no: written counts as durable */
	/* Nothing is written: what is in the window counts as durable, and is
	 * lost with the process. Until txlog_keep(). */
	bool is_volatile;
	uint64_t last_zxid; /* durable at start: recovery's result */
	/* Called by LOG when the durable or error word moved, and by LOG or
	 * BG when a refused append may succeed now. May be NULL. */
	void (*durable_notify)(void *arg);
	void *arg;
};

/* What an append of so many bytes would meet. */
enum txlog_admission {
	TXLOG_ADMITTED,
	TXLOG_WAIT,     /* window full or the next file is busy: soon again */
	TXLOG_NO_SPACE, /* the volume is full: answer THROTTLEDOP */
};

struct txlog_record {
	uint64_t zxid;
	const uint8_t *entry;
	uint32_t bytes; /* of entry */
	uint64_t pos;   /* of the record; for txlog_hold() */
	uint64_t next;  /* where the record behind it will be */
};

struct txlog_counters {
	uint64_t writes;        /* completed */
	uint64_t records;       /* made durable */
	uint64_t bytes;         /* records with overhead, made durable */
	uint64_t files;         /* started */
	uint64_t bytes_written; /* to the device, rewritten blocks included */
};

/*
 * Makes an empty window and the next file. Nothing is appended to files that
 * exist: the first record starts a new one.
 *
 * Returns 0; FAL_EINVAL (sizes), FAL_ENOMEM, or the disk's error. Lack of
 * space is no error here: appends are refused until there is some.
 */
FAL_MUST_CHECK int txlog_create(struct disk *, const struct txlog_options *,
				struct txlog **out);
/* Frees all; what is not durable is lost. Removes the next file and cuts the
 * current one to its length. */
void txlog_destroy(struct txlog *);

/*
 * Starts over behind last_zxid, because a leader has cut or replaced what the
 * files hold: the window is empty, the next record starts a new file. Positions
 * go on, holds are gone.
 *
 * Context  ZAB and LOG stand still, everything appended is durable.
 *
 * Returns 0, or the disk's error: then the log has failed for good.
 */
FAL_MUST_CHECK int txlog_restart(struct txlog *, uint64_t last_zxid);
/* From the next txlog_restart() on a volatile log is written. Context  ZAB */
void txlog_keep(struct txlog *);
/* Context  any */
bool txlog_is_volatile(const struct txlog *);

/* ---- ZAB -------------------------------------------------------------- */

/* May an entry of `bytes` (<= entry_bytes_max) be appended now? After
 * ADMITTED a reserve gives at least that much room. After WAIT or NO_SPACE:
 * wake LOG too, it may have to make the next file. */
enum txlog_admission txlog_admit(struct txlog *, uint32_t bytes);
static inline bool
txlog_can_append(struct txlog *log, uint32_t bytes)
{
	return txlog_admit(log, bytes) == TXLOG_ADMITTED;
}

/* Gives the place for the next entry, *room bytes long (0..entry_bytes_max).
 * Nothing is changed; without a commit the next reserve gives the same. */
uint8_t *txlog_reserve(struct txlog *, uint32_t *room);

/*
 * Makes the reserved place a record: `bytes` (1..room) of entry, which carries
 * `zxid`, above all before. LOG may write it from now on. The entry may have
 * moved by up to two blocks: read it through txlog_last().
 */
void txlog_commit(struct txlog *, uint32_t bytes, uint64_t zxid);

/* reserve, copy, commit: for entries that were made elsewhere. Returns 0,
 * FAL_EAGAIN (not admitted). */
FAL_MUST_CHECK int txlog_append(struct txlog *, const void *entry,
				uint32_t bytes, uint64_t zxid);

/*
 * Without flushes: writes what was committed, if the file is ZAB's to write.
 *
 * Returns true if all there is counts as durable now and LOG has nothing to do;
 * false otherwise, and always with flushes: wake LOG.
 */
bool txlog_settle(struct txlog *);

/* The next record starts a new file (snapshot taken). The roll happens at the
 * first commit that finds the next file ready; wake LOG. */
void txlog_roll(struct txlog *);

/* zxid of the newest record; last_zxid of the options before the first. */
uint64_t txlog_last_zxid(const struct txlog *);
/* The newest record; false before the first. */
bool txlog_last(const struct txlog *, struct txlog_record *out);

/* Keeps the records at positions >= pos; TXLOG_HOLD_NOTHING: none but those
 * that are not durable yet. */
#define TXLOG_HOLD_NOTHING UINT64_MAX
void txlog_hold(struct txlog *, uint64_t pos);

/* Finds the first record with a zxid > `zxid` that is still in the window,
 * and all behind it are too. False: there is none, or older records have gone
 * (then read the files, log_reader.h). */
bool txlog_find_after(const struct txlog *, uint64_t zxid,
		      struct txlog_record *out);
/* Reads the record at a position that was `next` of another. False: it is not
 * there yet. */
bool txlog_read(const struct txlog *, uint64_t pos, struct txlog_record *out);

/* Bytes in the window that wait for the device, and the most there can be. */
uint64_t txlog_pending_bytes(const struct txlog *);
uint64_t txlog_window_bytes(const struct txlog *);

/* ---- Any -------------------------------------------------------------- */

/* Every record up to this zxid is durable. */
uint64_t txlog_durable_zxid(const struct txlog *);
/* 0, or why the log can never be written again. */
int txlog_error(const struct txlog *);
/* Why the next file cannot be had at the moment (FAL_ENOSPC, ...); 0: it can.
 * txlog_prepare() tries again. */
int txlog_space_error(const struct txlog *);
void txlog_counters(const struct txlog *, struct txlog_counters *out);

/* ---- LOG -------------------------------------------------------------- */

/* Completes the write in flight if it is done, and begins the next with all
 * that gathered (<= TXLOG_WRITE_BYTES_MAX). True: it did something, call
 * again; false: idle, or the write in flight is not done. Blocks with
 * disk_posix(); with io_uring only when a new file gets its name. */
bool txlog_poll(struct txlog *);
/* A write is in flight (asynchronous disks): poll on. */
bool txlog_is_writing(const struct txlog *);

/* ---- BG --------------------------------------------------------------- */

/* Makes the next file, or fills 128 KiB of it with zeros. True: more is to do.
 * Call about ten times a second while false (it is also the retry after
 * ENOSPC). */
bool txlog_prepare(struct txlog *);

/* Gives the storage behind a closed file's last record back, a piece a call.
 * True: there is more; let some time pass, the log shares the device. */
bool txlog_trim(struct txlog *);
/* Files that wait for it; more than one: let no time pass. */
uint32_t txlog_closed(const struct txlog *);

#endif
