/* SPDX-License-Identifier: Apache-2.0 */
/*
 * digest - the 60 bytes are put together on the stack: one CRC call over them
 * is cheaper than nine.
 */
#include "znode/digest.h"

#include <string.h>

#include "base/checksum.h"

uint32_t
digest_path_data(const void *path, uint32_t path_bytes, struct jute_slice data)
{
	uint32_t crc = checksum_crc32(0, path, path_bytes);

	if (data.bytes > 0)
		crc = checksum_crc32(crc, data.data, (size_t)data.bytes);
	return crc;
}

uint32_t
digest_node(uint32_t path_data, const struct tree_stat *stat)
{
	uint8_t bytes[DIGEST_STAT_BYTES];

	be_store64(bytes, (uint64_t)stat->czxid);
	be_store64(bytes + 8, (uint64_t)stat->mzxid);
	be_store64(bytes + 16, (uint64_t)stat->pzxid);
	be_store64(bytes + 24, (uint64_t)stat->ctime);
	be_store64(bytes + 32, (uint64_t)stat->mtime);
	be_store32(bytes + 40, (uint32_t)stat->version);
	be_store32(bytes + 44, (uint32_t)stat->cversion);
	be_store32(bytes + 48, (uint32_t)stat->aversion);
	be_store64(bytes + 52, (uint64_t)stat->owner);
	return checksum_crc32(path_data, bytes, sizeof(bytes));
}

bool
digest_counts(const void *path, uint32_t path_bytes)
{
	static const char reserved[] = "/zookeeper/";
	const uint32_t bytes = sizeof(reserved) - 1;

	return path_bytes < bytes || memcmp(path, reserved, bytes) != 0;
}
