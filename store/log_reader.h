/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_STORE_LOG_READER_H
#define FALCONER_STORE_LOG_READER_H

/*
 * log_reader - transaction log files as records.
 *
 *   file   := "ZKLG" | int version 2 | long dbid | record* | zeros
 *   record := long adler32(entry) | int bytes | entry | 'B'
 *
 * A log_file reads one file up to where it ends, and says in what way it ended
 * (a clean end, or what is wrong where); it decides nothing. log_file_inspect()
 * collects what the decision "torn or damaged" needs. A log_chain reads all
 * files of a directory in order, from a zxid on, and skips duplicates.
 *
 * Context    any thread, one at a time per object; blocks on reads.
 * Ownership  a record's entry points into the reader's buffer: valid until
 *            the next call.
 * Limits     entries up to `entry_bytes_max`; longer ones are bad lengths. The
 *            buffer grows to the largest entry.
 * Errors     the disk's; FAL_ENOMEM. What the bytes hold is never an error.
 * Source     disk-format.md sections 2 and 5.
 */

#include "drivers/disk.h"
#include "wire/txn.h"

#define LOG_FILE_MAGIC        0x5A4B4C47u /* "ZKLG" */
#define LOG_FILE_VERSION      2u
#define LOG_FILE_HEADER_BYTES 16u
#define LOG_RECORD_HEAD_BYTES 12u
#define LOG_RECORD_OVERHEAD   13u
#define LOG_END_OF_RECORD     0x42u
#define LOG_ENTRY_BYTES_MAX   (64u << 20)

enum log_end {
	LOG_END_CLEAN,    /* behind a record: end of file or only zeros */
	LOG_END_EMPTY,    /* the file has no bytes, or only zeros */
	LOG_END_HEADER,   /* short or foreign file header */
	LOG_END_PARTIAL,  /* the file ends inside the record */
	LOG_END_LENGTH,   /* impossible length, or 0 with a checksum */
	LOG_END_CHECKSUM, /* 'B' is there, the checksum differs */
	LOG_END_NO_B,     /* no 'B' behind the entry */
	LOG_END_ENTRY,    /* good checksum around no transaction */
	LOG_END_OPEN,     /* not there yet */
};

/* "the checksum differs" and so on. */
const char *log_end_str(enum log_end);

struct log_record {
	struct txn_header header;
	const uint8_t *entry;
	uint32_t bytes;  /* of entry */
	uint64_t offset; /* of the record in its file */
};

struct log_file;

FAL_MUST_CHECK int log_file_open(struct disk *, const char *path,
				 uint32_t entry_bytes_max,
				 struct log_file **out);
void log_file_close(struct log_file *);
/* Returns 1 and a record, 0 at the end, or an error. */
FAL_MUST_CHECK int log_file_next(struct log_file *, struct log_record *out);
/* How it ended; LOG_END_OPEN before. */
enum log_end log_file_end(const struct log_file *);
/* Where the next record would start: behind the last good one. */
uint64_t log_file_offset(const struct log_file *);
uint64_t log_file_bytes(const struct log_file *);
/* After a bad end: what the record there says it needs, overhead included; 0
 * if its length makes no sense. */
uint64_t log_file_bad_bytes(const struct log_file *);
/* After a bad end: goes on at `offset`, where log_file_inspect() found a
 * record. */
void log_file_resume(struct log_file *, uint64_t offset);

/* What lies behind the last good record of a file that ended badly. */
struct log_rest {
	uint64_t bad_offset; /* of the bad record */
	uint64_t used_end;   /* behind the last byte that is not zero */
	bool has_later;      /* a plausible record follows */
	uint64_t later_offset;
	uint64_t later_zxid;
	/* Between the bad record and the later one (or used_end) a sector
	 * never reached the disk: it is zero from the bad record's start or
	 * its own to its end. Power loss leaves that; rot does not. */
	bool has_blank_sector;
};

/* last_zxid: of the last good record; a later record must be above it. */
FAL_MUST_CHECK int log_file_inspect(struct log_file *, uint64_t last_zxid,
				    struct log_rest *out);

/* ---- all files of a directory ------------------------------------------ */

struct log_chain;

/* Begins at the first record with a zxid >= `from`. */
FAL_MUST_CHECK int log_chain_open(struct disk *, const char *dir, uint64_t from,
				  uint32_t entry_bytes_max,
				  struct log_chain **out);
void log_chain_close(struct log_chain *);
/*
 * Returns 1 and a record, 0 behind the last record, or an error.
 * FAL_ECORRUPT: a file that is not the last ends badly, or zxids do not grow;
 * log_chain_path() and log_chain_end() tell where and how. 0 with an end other
 * than clean: the last file's.
 */
FAL_MUST_CHECK int log_chain_next(struct log_chain *, struct log_record *out);
/* Of the file that was read last; "" if there is none. */
const char *log_chain_path(const struct log_chain *);
enum log_end log_chain_end(const struct log_chain *);
/* The file that was read last; NULL if there is none. */
struct log_file *log_chain_file(struct log_chain *);
bool log_chain_is_last_file(const struct log_chain *);
/* The highest zxid seen, also below the one wanted; 0: none yet. */
uint64_t log_chain_last_zxid(const struct log_chain *);

#endif
