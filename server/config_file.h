/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_CONFIG_FILE_H
#define FALCONER_SERVER_CONFIG_FILE_H

/*
 * config_file - the files of a configuration that changes while a server runs.
 *
 *   zoo.cfg                     names the dynamic file
 *   zoo.cfg.dynamic.<version>   the active members, sorted, no version line
 *   zoo.cfg.dynamic.next        what was proposed and is not active yet, with
 *                               its version line
 *   zoo.cfg.bak                 zoo.cfg as it was when it still held members
 *
 * Names and contents are ZooKeeper's, so that a server of either kind starts
 * with what the other has left. zoo.cfg keeps its order and its comments.
 * Every file is replaced as a whole and synced; zoo.cfg changes after the file
 * that it names is there. It and its backup may hold secrets: who could not
 * read zoo.cfg before can read neither.
 *
 * Context    FILES, or the start; blocks.
 * Errors     the disk's; FAL_ENOMEM; FAL_ELIMIT (a path or a file too long).
 * Source     quorum-protocol.md section 14.
 */

#include "drivers/disk.h"

#define CONFIG_NEXT_SUFFIX    ".dynamic.next"
#define CONFIG_BACKUP_SUFFIX  ".bak"
#define CONFIG_FILE_BYTES_MAX (1u << 20)

/* text: lines of a configuration, with or without a version line. */
FAL_MUST_CHECK int config_file_write_next(struct disk *, const char *path,
					  int64_t version, const char *text,
					  uint32_t bytes);
/* Harmless when there is none. */
FAL_MUST_CHECK int config_file_drop_next(struct disk *, const char *path);
/* Writes the dynamic file, lets zoo.cfg name it, removes what is next if it is
 * this version or older. sid: ours; if its line has a client port zoo.cfg loses
 * its own. */
FAL_MUST_CHECK int config_file_activate(struct disk *, const char *path,
					int64_t sid, int64_t version,
					const char *text, uint32_t bytes);
/* Reads what is next. text: out, cap + 1 bytes. FAL_ENOENT: nothing. */
FAL_MUST_CHECK int config_file_read_next(struct disk *, const char *path,
					 char *text, uint32_t cap,
					 int64_t *version);

#endif
