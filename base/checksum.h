/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_BASE_CHECKSUM_H
#define FALCONER_BASE_CHECKSUM_H

/*
 * checksum - CRC-32 and Adler-32 with zlib's meaning of the arguments.
 *
 * Both lie on the path of every write: CRC-32 of a node goes into the tree
 * digest, Adler-32 of an entry into its log record, and recovery runs both
 * over every byte it loads. zlib of Debian 12 needs 115-135 ns for the CRC of
 * 60-200 bytes; folding by carry-less multiplication needs 30-37.
 *
 * Context    any thread.
 * Limits     any length, any alignment; nothing is read beyond the input.
 * Cost       about 9 ns + 0.03 ns a byte (CRC-32, PCLMULQDQ), 8 ns + 0.02 ns
 *            a byte (Adler-32, AVX2); zlib's where the processor lacks them.
 */

#include <stddef.h>
#include <stdint.h>

/* The value of adler that zlib starts with. CRC-32 starts with 0. */
#define CHECKSUM_ADLER32_INIT 1u

/* CRC-32 (IEEE 802.3) of `bytes` bytes behind what `crc` already covers. */
uint32_t checksum_crc32(uint32_t crc, const void *data, size_t bytes);

/* Adler-32 (RFC 1950) of `bytes` bytes behind what `adler` already covers. */
uint32_t checksum_adler32(uint32_t adler, const void *data, size_t bytes);

#endif
