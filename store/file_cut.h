/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_STORE_FILE_CUT_H
#define FALCONER_STORE_FILE_CUT_H

/*
 * file_cut - gives storage of a file back in pieces.
 *
 * Where the file system tells the device what it frees (mount option discard),
 * the device is busy with it: 50 ms for 64 MB, and the log's writes wait behind
 * it. So a large file goes piece by piece, with time for the log in between.
 *
 * Context    any thread; blocks for a piece.
 */

#include "drivers/disk.h"

/* A piece where nothing presses. */
#define FILE_CUT_BYTES (512u << 10)

/* Cuts up to `piece` bytes off the end of `file`, to `length` at the most, and
 * makes that durable. True: there is more to cut; false also when it failed. */
bool file_cut_step(struct disk_file *file, uint64_t length, uint64_t piece);

#endif
