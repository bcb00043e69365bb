/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_STORE_VOTE_MARK_H
#define FALCONER_STORE_VOTE_MARK_H

/*
 * vote_mark - what keeps a member of an ensemble from voting.
 *
 * A server whose disk may have lost what it promised or acknowledged must not
 * vote before a leader, elected without it, has synchronised it. That it must
 * not is on the disk until then (VOTER_AGAIN), whatever data a leader gave it
 * meanwhile: the file "falconer.nonvoting" with the reason in words.
 *
 * With forceSync=no the page cache counts as stable. A second file,
 * "falconer.dirty", is there while the server runs so and holds the boot id of
 * the kernel: a start that finds it with another boot id comes after a crash
 * of the machine, and is such a case. After a crash of the process alone
 * nothing is lost.
 *
 * Context    the start, or the thread of small files; blocks.
 * Errors     the disk's.
 * Source     architecture.md 2.5 and 6.1.
 */

#include "drivers/disk.h"

#define VOTE_MARK_NAME     "falconer.nonvoting"
#define VOTE_DIRTY_NAME    "falconer.dirty"
#define VOTE_REASON_BYTES  512u
#define VOTE_BOOT_ID_BYTES 40u
#define VOTE_BOOT_ID_DIR   "/proc/sys/kernel/random"
#define VOTE_BOOT_ID_NAME  "boot_id"

/* Durable when it returns 0. reason: one line, cut if too long. */
FAL_MUST_CHECK int vote_mark_write(struct disk *, const char *dir,
				   const char *reason);
/* reason: out, VOTE_REASON_BYTES. FAL_ENOENT: the server may vote. */
FAL_MUST_CHECK int vote_mark_read(struct disk *, const char *dir, char *reason);
/* Harmless when there is none. */
FAL_MUST_CHECK int vote_mark_remove(struct disk *, const char *dir);

FAL_MUST_CHECK int vote_dirty_write(struct disk *, const char *dir,
				    const char *boot_id);
FAL_MUST_CHECK int vote_dirty_remove(struct disk *, const char *dir);
/* *is_lost: the machine stopped while the server ran without syncing. */
FAL_MUST_CHECK int vote_dirty_check(struct disk *, const char *dir,
				    const char *boot_id, bool *is_lost);

#endif
