/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no bytes in a snapshot file, plain or compressed, make the reader look
 * outside them or allocate what was only announced.
 *
 * Method: the first byte chooses the coding, the rest is the file. Everything
 * the visitor is shown is read to its last byte. Checksums keep random inputs
 * from getting far, so for the plain coding the first seal is repaired first
 * when the end marker can be found.
 */

#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "base/checksum.h"
#include "drivers/disk_mem.h"
#include "store/snapshot.h"

#define PATH       "/snapshot.1"
#define SEAL_BYTES 13u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* What was touched, so that the compiler keeps the reads. */
static uint32_t sum;

static void
touch(const uint8_t *data, int64_t bytes)
{
	if (bytes > 0)
		sum = checksum_crc32(sum, data, (size_t)bytes);
}

static int
see_session(void *arg, int64_t id, int32_t timeout_ms)
{
	(void)arg;
	sum ^= (uint32_t)id ^ (uint32_t)timeout_ms;
	return 0;
}

static int
see_acl(void *arg, int64_t id, const struct jute_vector *acl)
{
	struct jute_reader reader = jute_reader_of(acl->data, acl->bytes);

	(void)arg;
	(void)id;
	for (int32_t i = 0; i < acl->count; i++) {
		struct jute_slice text;

		(void)jute_get_int(&reader);
		text = jute_get_slice(&reader);
		touch(text.data, text.bytes);
		text = jute_get_slice(&reader);
		touch(text.data, text.bytes);
	}
	FAL_ASSERT(jute_reader_ok(&reader));
	FAL_ASSERT(jute_reader_left(&reader) == 0);
	return 0;
}

static int
see_node(void *arg, struct jute_slice path, struct jute_slice data,
	 int64_t acl_id, const struct tree_stat *stat)
{
	(void)arg;
	(void)acl_id;
	FAL_ASSERT(path.bytes >= 0);
	touch(path.data, path.bytes);
	touch(data.data, data.bytes);
	sum ^= (uint32_t)stat->version;
	return 0;
}

/* The last place that looks like a seal behind the end marker. */
static void
repair(uint8_t *file, size_t bytes)
{
	static const uint8_t marker[5] = {0, 0, 0, 1, '/'};

	for (size_t at = bytes; at >= sizeof(marker) + SEAL_BYTES; at--) {
		const size_t seal = at - SEAL_BYTES;

		if (memcmp(file + seal - sizeof(marker), marker,
			   sizeof(marker)) != 0)
			continue;
		be_store64(file + seal,
			   checksum_adler32(CHECKSUM_ADLER32_INIT, file, seal));
		return;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	const struct snapshot_visitor visitor = {
		.session = see_session, .acl = see_acl, .node = see_node};
	struct disk_mem *mem = NULL;
	struct snapshot_info info;
	struct snapshot_fault fault;
	enum file_coding coding;
	uint8_t *file;
	int err;

	if (bytes == 0)
		return 0;
	coding = (enum file_coding)(data[0] % 3);
	file = malloc(bytes);
	FAL_ASSERT(file != NULL);
	memcpy(file, data + 1, bytes - 1);
	if (coding == FILE_PLAIN && (data[0] & 4) != 0)
		repair(file, bytes - 1);
	FAL_ASSERT(disk_mem_create(1, &mem) == 0);
	FAL_ASSERT(disk_mem_put(mem, PATH, file, bytes - 1) == 0);
	err = snapshot_scan(disk_mem_disk(mem), PATH, coding, &visitor, &info,
			    &fault);
	FAL_ASSERT(err == 0 || err == FAL_ECORRUPT);
	FAL_ASSERT(err == 0 || fault.what != NULL);
	err = snapshot_test(disk_mem_disk(mem), PATH, coding);
	FAL_ASSERT(err == 0 || err == FAL_ECORRUPT);
	disk_mem_destroy(mem);
	free(file);
	return 0;
}
