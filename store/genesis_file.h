/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_STORE_GENESIS_FILE_H
#define FALCONER_STORE_GENESIS_FILE_H

/*
 * genesis_file - the register of consensus/genesis.h on the disk.
 *
 *   "FGEN" | int version 2 | int promised | int accepted ballot |
 *   id 16 bytes | int is_member | int began | int is_witness |
 *   int adler32 of all before
 *
 * The file is dataDir/version-2/falconer.genesis, replaced as a whole. A file
 * that cannot be understood is no empty register: promises may have been in
 * it.
 *
 * Context    the start, or the thread of small files; blocks.
 * Errors     FAL_ENOENT: there is none; FAL_ECORRUPT: it cannot be understood;
 *            the disk's.
 * Source     architecture.md 2.5.
 */

#include "consensus/genesis.h"
#include "drivers/disk.h"

#define GENESIS_FILE_NAME  "falconer.genesis"
#define GENESIS_FILE_BYTES 48u

FAL_MUST_CHECK int genesis_file_read(struct disk *, const char *dir,
				     struct genesis_state *out);
/* Durable when it returns 0. */
FAL_MUST_CHECK int genesis_file_write(struct disk *, const char *dir,
				      const struct genesis_state *state);

#endif
