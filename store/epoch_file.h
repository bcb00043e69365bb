/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_STORE_EPOCH_FILE_H
#define FALCONER_STORE_EPOCH_FILE_H

/*
 * epoch_file - currentEpoch, acceptedEpoch and myid.
 *
 * Each holds one decimal number. The epochs are promises: once acceptedEpoch
 * says e, nothing from before e is followed any more. They are written aside,
 * synced, renamed, and the directory is synced, before the promise is spoken.
 *
 * Context    BG, or before the start; blocks.
 * Errors     FAL_ENOENT: no such file; FAL_EINVAL: it does not hold one number
 *            (text says what it does hold); FAL_ECORRUPT: the epochs do not fit
 *            the log; the disk's.
 * Source     disk-format.md sections 1 and 12.
 */

#include "drivers/disk.h"

#define EPOCH_FILE_CURRENT  "currentEpoch"
#define EPOCH_FILE_ACCEPTED "acceptedEpoch"
#define EPOCH_FILE_MYID     "myid"

#define EPOCH_MESSAGE_BYTES 512u

/* Takes the first line of text as a signed decimal number: digits with an
 * optional '-' and nothing else. Returns 0 or FAL_EINVAL. */
FAL_MUST_CHECK int epoch_file_parse(const char *text, int64_t *out);

FAL_MUST_CHECK int epoch_file_read(struct disk *, const char *dir,
				   const char *name, int64_t *out);
/* Durable when it returns 0. */
FAL_MUST_CHECK int epoch_file_write(struct disk *, const char *dir,
				    const char *name, int64_t value);

struct epoch_pair {
	int64_t current, accepted;
};

/*
 * Reads both epochs at the start of an ensemble's member and checks them
 * against the last transaction; missing files are created.
 *
 * dir      dataDir/version-2
 * message  out, EPOCH_MESSAGE_BYTES: why it was refused; "" if it was not
 */
FAL_MUST_CHECK int epoch_pair_start(struct disk *, const char *dir,
				    uint64_t last_zxid, struct epoch_pair *,
				    char *message);

#endif
