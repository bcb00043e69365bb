/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_STORE_TESTING_H
#define FALCONER_TESTS_STORE_TESTING_H

/* store_testing - what the store's test programs share: a seeded generator,
 * transaction entries, and files of the fixtures put onto a disk in memory. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/be.h"
#include "base/checksum.h"
#include "drivers/disk_mem.h"
#include "store/file_name.h"
#include "wire/txn.h"

static uint64_t testing_state;

static inline uint64_t
testing_random(void)
{
	testing_state ^= testing_state << 13;
	testing_state ^= testing_state >> 7;
	testing_state ^= testing_state << 17;
	return testing_state;
}

/* 0..n-1 */
static inline uint64_t
testing_below(uint64_t n)
{
	return (testing_random() >> 16) % n;
}

/* FAL_SEED, or the given number; printed. */
static inline void
testing_seed(uint64_t seed)
{
	const char *text = getenv("FAL_SEED");

	testing_state = text != NULL ? strtoull(text, NULL, 0) : seed;
	if (testing_state == 0)
		testing_state = 1;
	print_message("FAL_SEED=%llu\n", (unsigned long long)testing_state);
}

/* A whole number from the environment, to run longer. */
static inline uint32_t
testing_rounds(const char *name, uint32_t usual)
{
	const char *text = getenv(name);

	return text != NULL ? (uint32_t)strtoul(text, NULL, 0) : usual;
}

/* An entry of `bytes` (>= TXN_HEADER_BYTES) whose body follows from zxid. */
static inline void
testing_entry(uint8_t *to, uint32_t bytes, uint64_t zxid)
{
	struct jute_writer writer = jute_writer_of(to, bytes);
	const struct txn_header header = {.session_id = 0x1234,
					  .cxid = (int32_t)zxid,
					  .zxid = (int64_t)zxid,
					  .time_ms = 1700000000000,
					  .type = OP_ERROR};

	txn_put_header(&writer, &header);
	for (uint32_t i = TXN_HEADER_BYTES; i < bytes; i++)
		to[i] = (uint8_t)(zxid * 31 + i * 7 + (i >> 8));
}

/* An `error` transaction that really decodes: 36 bytes. */
#define TESTING_ERROR_BYTES 36u
static inline void
testing_error_entry(uint8_t *to, uint64_t zxid)
{
	testing_entry(to, TXN_HEADER_BYTES, zxid);
	be_store32(to + TXN_HEADER_BYTES, (uint32_t)ZK_NONODE);
}

/* Reads a file of the machine; malloc'ed. */
static inline uint8_t *
testing_load(const char *path, size_t *bytes)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data;
	long length;

	if (file == NULL)
		print_error("cannot open %s\n", path);
	assert_non_null(file);
	assert_int_equal(fseek(file, 0, SEEK_END), 0);
	length = ftell(file);
	assert_true(length >= 0);
	rewind(file);
	data = malloc((size_t)length + 1);
	assert_non_null(data);
	*bytes = fread(data, 1, (size_t)length, file);
	assert_int_equal(*bytes, length);
	fclose(file);
	return data;
}

#endif
