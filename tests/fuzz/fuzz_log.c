/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no bytes in a log file make the reader look outside them, give a
 * record that is not one, or judge a rest it did not see.
 *
 * Method: the input is a log file on a disk in memory. Every record given must
 * lie in the file, behind the one before, with its checksum; the inspection of
 * a bad end must name places inside the file, and a later record it names must
 * be readable there. Records that a mutation changed get their checksum back
 * most of the time, or little behind the first would ever be read.
 */

#include <stdlib.h>

#include "base/be.h"
#include "base/checksum.h"
#include "drivers/disk_mem.h"
#include "store/log_reader.h"
#include "store/recover.h"

#define PATH "/log.1"

#define HEADER_BYTES 16u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t max,
			       unsigned int seed);

static void
repair(uint8_t *data, size_t bytes)
{
	size_t at = HEADER_BYTES;

	while (at + LOG_RECORD_OVERHEAD < bytes) {
		const uint32_t length = be_load32(data + at + 8);

		if (length == 0 || length > bytes - at - LOG_RECORD_OVERHEAD)
			return;
		be_store64(data + at, checksum_adler32(CHECKSUM_ADLER32_INIT,
						       data + at + 12, length));
		data[at + 12 + length] = 'B';
		at += LOG_RECORD_OVERHEAD + length;
	}
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t max,
			unsigned int seed)
{
	bytes = LLVMFuzzerMutate(data, bytes, max);
	if (seed % 4 != 0)
		repair(data, bytes);
	return bytes;
}

/* Reads on behind damage, as recovery may. */
static void
check_rest(struct log_file *file, uint64_t last_zxid, size_t bytes)
{
	const uint64_t end = log_file_offset(file);
	struct log_record record;
	struct log_rest rest;

	FAL_ASSERT(log_file_inspect(file, last_zxid, &rest) == 0);
	FAL_ASSERT(rest.bad_offset == end && rest.used_end <= bytes);
	FAL_ASSERT(rest.used_end >= rest.bad_offset);
	(void)recover_is_torn(&rest, log_file_bad_bytes(file));
	if (!rest.has_later)
		return;
	FAL_ASSERT(rest.later_offset > rest.bad_offset);
	FAL_ASSERT(rest.later_zxid > last_zxid);
	log_file_resume(file, rest.later_offset);
	FAL_ASSERT(log_file_next(file, &record) == 1);
	FAL_ASSERT((uint64_t)record.header.zxid == rest.later_zxid);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct disk_mem *mem = NULL;
	struct log_file *file = NULL;
	struct log_record record;
	uint64_t offset = 0;
	uint64_t last_zxid = 0;
	int got;

	FAL_ASSERT(disk_mem_create(1, &mem) == 0);
	FAL_ASSERT(disk_mem_put(mem, PATH, data, bytes) == 0);
	FAL_ASSERT(log_file_open(disk_mem_disk(mem), PATH, 1u << 20, &file) ==
		   0);
	while ((got = log_file_next(file, &record)) > 0) {
		FAL_ASSERT(record.offset >= offset + LOG_RECORD_OVERHEAD);
		offset = record.offset;
		FAL_ASSERT(offset + LOG_RECORD_OVERHEAD + record.bytes <=
			   bytes);
		FAL_ASSERT(checksum_adler32(CHECKSUM_ADLER32_INIT, record.entry,
					    record.bytes) ==
			   be_load64(data + offset));
		if ((uint64_t)record.header.zxid > last_zxid)
			last_zxid = (uint64_t)record.header.zxid;
	}
	FAL_ASSERT(got == 0 && log_file_end(file) != LOG_END_OPEN);
	if (log_file_end(file) != LOG_END_CLEAN &&
	    log_file_end(file) != LOG_END_EMPTY)
		check_rest(file, last_zxid, bytes);
	log_file_close(file);
	disk_mem_destroy(mem);
	return 0;
}
