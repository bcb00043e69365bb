/* SPDX-License-Identifier: Apache-2.0 */
/* checksum_bench - the sums on the path of a write, at the sizes they have
 * there: a node, a log record, a block. */
#include "perf/micro/bench.h"

#include <stdlib.h>

#include "base/checksum.h"
#include "perf/micro/must.h"

#define NODE_BYTES   160u
#define RECORD_BYTES 200u
#define BLOCK_BYTES  4096u

struct sums {
	uint8_t bytes[BLOCK_BYTES];
	uint32_t crc, adler, adler_block; /* of the bytes as they are */
};

static void *
sums_setup(void)
{
	struct sums *sums = malloc(sizeof(*sums));

	BENCH_MUST(sums != NULL);
	for (uint32_t i = 0; i < BLOCK_BYTES; i++)
		sums->bytes[i] = (uint8_t)(i * 7 + (i >> 8));
	sums->crc = checksum_crc32(0, sums->bytes, NODE_BYTES);
	sums->adler = checksum_adler32(CHECKSUM_ADLER32_INIT, sums->bytes,
				       RECORD_BYTES);
	sums->adler_block = checksum_adler32(CHECKSUM_ADLER32_INIT, sums->bytes,
					     BLOCK_BYTES);
	return sums;
}

static uint64_t
crc_node(void *state, uint64_t count)
{
	const struct sums *sums = state;
	uint64_t right = 0;

	for (uint64_t i = 0; i < count; i++)
		right +=
			checksum_crc32(0, sums->bytes, NODE_BYTES) == sums->crc;
	return right;
}

static uint64_t
adler_record(void *state, uint64_t count)
{
	const struct sums *sums = state;
	uint64_t right = 0;

	for (uint64_t i = 0; i < count; i++)
		right += checksum_adler32(CHECKSUM_ADLER32_INIT, sums->bytes,
					  RECORD_BYTES) == sums->adler;
	return right;
}

static uint64_t
adler_block(void *state, uint64_t count)
{
	const struct sums *sums = state;
	uint64_t right = 0;

	for (uint64_t i = 0; i < count; i++)
		right += checksum_adler32(CHECKSUM_ADLER32_INIT, sums->bytes,
					  BLOCK_BYTES) == sums->adler_block;
	return right;
}

const struct bench_case bench_checksum_cases[] = {
	{"checksum/crc32_node", sums_setup, crc_node, free, 0},
	{"checksum/adler32_record", sums_setup, adler_record, free, 0},
	{"checksum/adler32_4k", sums_setup, adler_block, free, 0},
	{0},
};
