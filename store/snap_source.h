/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_STORE_SNAP_SOURCE_H
#define FALCONER_STORE_SNAP_SOURCE_H

/*
 * snap_source - the uncompressed bytes of a snapshot file, one after the
 * other, with the running Adler-32 that the seals want.
 *
 * Context    one thread.
 * Ownership  bytes given are valid until the next call.
 * Limits     one request up to SNAP_TAKE_MAX. The buffer grows as bytes come.
 * Errors     sticky: FAL_ECORRUPT (bad compressed data), the disk's,
 *            FAL_ENOMEM. Running out of bytes is no error of its own.
 */

#include "drivers/disk.h"
#include "store/file_name.h"

#define SNAP_TAKE_MAX (65u << 20)

struct snap_source;

FAL_MUST_CHECK int snap_source_open(struct disk *, const char *path,
				    enum file_coding, struct snap_source **out);
void snap_source_close(struct snap_source *);

/* How many bytes there are without taking them, up to `bytes`. */
size_t snap_source_peek(struct snap_source *, size_t bytes);
/* Where the bytes just peeked at lie. */
const uint8_t *snap_source_front(const struct snap_source *);
/* Takes `bytes` contiguous bytes; NULL: they are not there. */
const uint8_t *snap_source_take(struct snap_source *, size_t bytes);
/* Adler-32 of all that was taken. */
uint32_t snap_source_adler(struct snap_source *);
/* How many bytes were taken. */
uint64_t snap_source_offset(const struct snap_source *);
/* How far that is, in bytes of the file; of a compressed one about. */
void snap_source_progress(const struct snap_source *, uint64_t *done,
			  uint64_t *total);
int snap_source_error(const struct snap_source *);

#endif
