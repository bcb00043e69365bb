/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One buffer slides over the file: view() makes a range of it contiguous in
 * memory, reading at least READ_BYTES at once. Lengths come from the disk and
 * are compared with the limit before a byte is allocated for them.
 *
 * A record is good if its length is possible, its end byte and its checksum
 * are right and a transaction header with a zxid above 0 is in it; whether the
 * transaction decodes is for whoever applies it. Zeros where a length should
 * be are the padding every writer leaves; they are a clean end only if zeros
 * follow to the end of the file, which is checked here, once per file.
 */

#include "store/log_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "base/checksum.h"

#define READ_BYTES   (1u << 20)
#define SECTOR_BYTES 512u
#define RECORD_ZEROS 4u /* upper half of a checksum */
/* A record that follows damage lies at most so many transactions ahead. */
#define LATER_ZXID_SPAN  (1ull << 24)
#define LATER_EPOCH_SPAN 4096ull
#define ZXID_EPOCH_SHIFT 32
#define LOG_FILES_MAX    1000000u

struct log_file {
	struct disk_file *file;
	uint64_t file_bytes;
	uint64_t at; /* next record */
	uint32_t entry_bytes_max;
	enum log_end end;
	uint64_t bad_bytes;
	bool has_header;
	uint8_t *buffer;
	size_t buffer_cap;
	size_t buffer_bytes;
	uint64_t buffer_at;
};

const char *
log_end_str(enum log_end end)
{
	static const char *const text[] = {
		[LOG_END_CLEAN] = "ends cleanly",
		[LOG_END_EMPTY] = "the file holds nothing",
		[LOG_END_HEADER] = "the file header is short or foreign",
		[LOG_END_PARTIAL] = "the file ends inside a record",
		[LOG_END_LENGTH] = "a record has an impossible length",
		[LOG_END_CHECKSUM] = "a record's checksum differs",
		[LOG_END_NO_B] = "a record lacks its end byte",
		[LOG_END_ENTRY] = "a record holds no transaction",
		[LOG_END_OPEN] = "was not read to its end",
	};

	FAL_ASSERT((uint32_t)end < sizeof(text) / sizeof(text[0]));
	return text[end];
}

/* Makes [at, at + bytes) contiguous; *out is NULL beyond the end of file. */
static int
view(struct log_file *log, uint64_t at, size_t bytes, const uint8_t **out)
{
	const uint64_t left = at < log->file_bytes ? log->file_bytes - at : 0;
	size_t want = bytes > READ_BYTES ? bytes : READ_BYTES;
	int err;

	*out = NULL;
	if (bytes > left)
		return 0;
	if (at >= log->buffer_at &&
	    at + bytes <= log->buffer_at + log->buffer_bytes) {
		*out = log->buffer + (at - log->buffer_at);
		return 0;
	}
	if (want > left)
		want = (size_t)left;
	if (want > log->buffer_cap) {
		uint8_t *larger = realloc(log->buffer, want);

		if (larger == NULL)
			return FAL_ENOMEM;
		log->buffer = larger;
		log->buffer_cap = want;
	}
	log->buffer_bytes = 0;
	err = disk_read(log->file, log->buffer, want, at, &want);
	if (err != 0)
		return err;
	log->buffer_at = at;
	log->buffer_bytes = want;
	if (want >= bytes)
		*out = log->buffer;
	else
		log->file_bytes = at + want; /* the file got shorter */
	return 0;
}

static bool
is_zero(const uint8_t *at, size_t bytes)
{
	return bytes == 0 || (at[0] == 0 && memcmp(at, at + 1, bytes - 1) == 0);
}

/* Where the last byte that is not zero ends, at least `from`. */
static int
find_used_end(struct log_file *log, uint64_t from, uint64_t *used_end)
{
	*used_end = from;
	for (uint64_t at = from; at < log->file_bytes;) {
		const uint64_t left = log->file_bytes - at;
		const size_t step =
			left < READ_BYTES ? (size_t)left : READ_BYTES;
		const uint8_t *bytes = NULL;
		const int err = view(log, at, step, &bytes);

		if (err != 0)
			return err;
		if (bytes == NULL)
			return 0;
		if (!is_zero(bytes, step)) {
			size_t n = step;

			while (bytes[n - 1] == 0)
				n--;
			*used_end = at + n;
		}
		at += step;
	}
	return 0;
}

int
log_file_open(struct disk *disk, const char *path, uint32_t entry_bytes_max,
	      struct log_file **out)
{
	struct log_file *log = calloc(1, sizeof(*log));
	int err;

	FAL_ASSERT(entry_bytes_max >= TXN_HEADER_BYTES &&
		   entry_bytes_max <= LOG_ENTRY_BYTES_MAX);
	if (log == NULL)
		return FAL_ENOMEM;
	log->entry_bytes_max = entry_bytes_max;
	log->end = LOG_END_OPEN;
	err = disk_open(disk, path, DISK_READ, &log->file);
	if (err == 0)
		err = disk_file_bytes(log->file, &log->file_bytes);
	if (err != 0) {
		log_file_close(log);
		return err;
	}
	*out = log;
	return 0;
}

void
log_file_close(struct log_file *log)
{
	if (log == NULL)
		return;
	if (log->file != NULL)
		disk_close(log->file);
	free(log->buffer);
	free(log);
}

/* The file ended; zeros to the end of the file make `end` a clean one. */
static int
finish(struct log_file *log, enum log_end end, enum log_end end_if_zero)
{
	uint64_t used_end = 0;
	const int err = find_used_end(log, log->at, &used_end);

	if (err == 0)
		log->end = used_end == log->at ? end_if_zero : end;
	return err;
}

static int
read_header(struct log_file *log)
{
	const uint8_t *bytes = NULL;
	const int err = view(log, 0, LOG_FILE_HEADER_BYTES, &bytes);

	if (err != 0)
		return err;
	if (bytes == NULL || be_load32(bytes) != LOG_FILE_MAGIC ||
	    be_load32(bytes + 4) != LOG_FILE_VERSION)
		return finish(log, LOG_END_HEADER, LOG_END_EMPTY);
	log->has_header = true;
	log->at = LOG_FILE_HEADER_BYTES;
	return 0;
}

static void
decode_header(const uint8_t *entry, struct txn_header *out)
{
	out->session_id = (int64_t)be_load64(entry);
	out->cxid = (int32_t)be_load32(entry + 8);
	out->zxid = (int64_t)be_load64(entry + 12);
	out->time_ms = (int64_t)be_load64(entry + 20);
	out->type = (int32_t)be_load32(entry + 28);
}

/*
 * Looks at the record at `at`. Returns 1 and fills *out, 0 and *end, or an
 * error.
 */
static int
look(struct log_file *log, uint64_t at, struct log_record *out,
     enum log_end *end)
{
	const uint8_t *bytes = NULL;
	uint32_t entry_bytes;
	int err = view(log, at, LOG_RECORD_HEAD_BYTES, &bytes);

	if (err != 0)
		return err;
	*end = LOG_END_PARTIAL;
	if (bytes == NULL)
		return 0;
	entry_bytes = be_load32(bytes + 8);
	*end = LOG_END_LENGTH;
	if (entry_bytes == 0 || entry_bytes > log->entry_bytes_max)
		return 0;
	err = view(log, at, LOG_RECORD_OVERHEAD + (size_t)entry_bytes, &bytes);
	if (err != 0)
		return err;
	*end = LOG_END_PARTIAL;
	if (bytes == NULL)
		return 0;
	out->entry = bytes + LOG_RECORD_HEAD_BYTES;
	out->bytes = entry_bytes;
	out->offset = at;
	*end = LOG_END_NO_B;
	if (out->entry[entry_bytes] != LOG_END_OF_RECORD)
		return 0;
	*end = LOG_END_CHECKSUM;
	if (checksum_adler32(CHECKSUM_ADLER32_INIT, out->entry, entry_bytes) !=
	    be_load64(bytes))
		return 0;
	*end = LOG_END_ENTRY;
	if (entry_bytes < TXN_HEADER_BYTES)
		return 0;
	decode_header(out->entry, &out->header);
	return out->header.zxid > 0 ? 1 : 0;
}

static int
note_bad_bytes(struct log_file *log, enum log_end end)
{
	const uint8_t *bytes = NULL;
	const int err = view(log, log->at, LOG_RECORD_HEAD_BYTES, &bytes);

	log->bad_bytes = 0;
	if (err == 0 && bytes != NULL && end != LOG_END_LENGTH)
		log->bad_bytes =
			LOG_RECORD_OVERHEAD + (uint64_t)be_load32(bytes + 8);
	return err;
}

int
log_file_next(struct log_file *log, struct log_record *out)
{
	enum log_end end = LOG_END_OPEN;
	int got;

	if (!log->has_header && log->end == LOG_END_OPEN) {
		const int err = read_header(log);

		if (err != 0)
			return err;
	}
	if (log->end != LOG_END_OPEN)
		return 0;
	got = look(log, log->at, out, &end);
	if (got > 0) {
		log->at += LOG_RECORD_OVERHEAD + (uint64_t)out->bytes;
		return got;
	}
	if (got == 0)
		got = note_bad_bytes(log, end);
	return got != 0 ? got : finish(log, end, LOG_END_CLEAN);
}

enum log_end
log_file_end(const struct log_file *log)
{
	return log->end;
}

uint64_t
log_file_offset(const struct log_file *log)
{
	return log->at;
}

uint64_t
log_file_bytes(const struct log_file *log)
{
	return log->file_bytes;
}

uint64_t
log_file_bad_bytes(const struct log_file *log)
{
	return log->bad_bytes;
}

void
log_file_resume(struct log_file *log, uint64_t offset)
{
	FAL_ASSERT(log->end != LOG_END_OPEN && offset > log->at);
	log->at = offset;
	log->has_header = true;
	log->end = LOG_END_OPEN;
}

static bool
is_plausible_zxid(uint64_t zxid, uint64_t last)
{
	const uint64_t epoch = zxid >> ZXID_EPOCH_SHIFT;
	const uint64_t last_epoch = last >> ZXID_EPOCH_SHIFT;

	if (zxid <= last || zxid > INT64_MAX)
		return false;
	if (epoch == last_epoch)
		return zxid - last <= LATER_ZXID_SPAN;
	return epoch - last_epoch <= LATER_EPOCH_SPAN &&
	       (zxid & UINT32_MAX) <= LATER_ZXID_SPAN;
}

/* Cheap look at a head and the zxid behind it, before the record is read. */
static bool
is_plausible_head(const struct log_file *log, const uint8_t *bytes,
		  uint64_t last_zxid)
{
	const uint32_t entry_bytes = be_load32(bytes + 8);

	return be_load32(bytes) == 0 && entry_bytes >= TXN_HEADER_BYTES &&
	       entry_bytes <= log->entry_bytes_max &&
	       is_plausible_zxid(be_load64(bytes + LOG_RECORD_HEAD_BYTES + 12),
				 last_zxid);
}

static int
find_later(struct log_file *log, uint64_t last_zxid, struct log_rest *rest)
{
	const size_t head = LOG_RECORD_HEAD_BYTES + TXN_HEADER_BYTES;

	for (uint64_t at = rest->bad_offset + 1; at + head <= rest->used_end;
	     at++) {
		struct log_record record = {.bytes = 0};
		enum log_end end;
		const uint8_t *bytes = NULL;
		int err = view(log, at, head, &bytes);

		if (err != 0)
			return err;
		if (bytes == NULL)
			return 0;
		if (!is_plausible_head(log, bytes, last_zxid))
			continue;
		err = look(log, at, &record, &end);
		if (err < 0)
			return err;
		if (err == 0)
			continue;
		rest->has_later = true;
		rest->later_offset = at;
		rest->later_zxid = (uint64_t)record.header.zxid;
		return 0;
	}
	return 0;
}

/* Every record begins with four zeros: so one may begin in a blank sector, and
 * so few bytes of a sector say nothing about the bad one. */
static int
find_blank_sector(struct log_file *log, struct log_rest *rest)
{
	const uint64_t stop = rest->has_later
				      ? rest->later_offset + RECORD_ZEROS
				      : log->file_bytes;
	uint64_t at = rest->bad_offset;

	while (at < rest->used_end && !rest->has_blank_sector) {
		const uint64_t end =
			(at / SECTOR_BYTES + 1) * (uint64_t)SECTOR_BYTES;
		const uint8_t *bytes = NULL;
		int err;

		if (end > stop)
			break;
		err = view(log, at, (size_t)(end - at), &bytes);
		if (err != 0)
			return err;
		if (bytes == NULL)
			break;
		rest->has_blank_sector = end - at > RECORD_ZEROS &&
					 is_zero(bytes, (size_t)(end - at));
		at = end;
	}
	return 0;
}

int
log_file_inspect(struct log_file *log, uint64_t last_zxid,
		 struct log_rest *rest)
{
	int err;

	*rest = (struct log_rest){.bad_offset = log->at};
	err = find_used_end(log, log->at, &rest->used_end);
	if (err == 0)
		err = find_later(log, last_zxid, rest);
	if (err == 0)
		err = find_blank_sector(log, rest);
	return err;
}
