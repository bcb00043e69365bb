/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_STORE_SNAP_SINK_H
#define FALCONER_STORE_SNAP_SINK_H

/*
 * snap_sink - bytes into a file, compressed or not, with the running Adler-32
 * of the uncompressed ones.
 *
 * Context    one thread; blocks.
 * Errors     sticky: nothing is written after the first one.
 */

#include "drivers/disk.h"
#include "store/file_name.h"

struct snap_sink;

FAL_MUST_CHECK int snap_sink_create(struct disk *, const char *path,
				    enum file_coding, struct snap_sink **out);
void snap_sink_put(struct snap_sink *, const void *data, size_t bytes);
/* Adler-32 of all that was put. */
uint32_t snap_sink_adler(struct snap_sink *);
int snap_sink_error(const struct snap_sink *);
/* Writes what is buffered and makes the file's content durable. */
FAL_MUST_CHECK int snap_sink_finish(struct snap_sink *);
/* Closes and frees. */
void snap_sink_close(struct snap_sink *);

#endif
