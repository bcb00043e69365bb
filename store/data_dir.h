/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_STORE_DATA_DIR_H
#define FALCONER_STORE_DATA_DIR_H

/*
 * data_dir - the directories a server works in, and the lock on them.
 *
 *   dataDir/myid, initialize            outside version-2
 *   dataDir/version-2/                  snapshots, epochs
 *   dataLogDir/version-2/               logs; dataLogDir is dataDir by default
 *   version-2/falconer.lock             locked while a server runs
 *
 * Opening makes what is missing, refuses directories that are mixed up, takes
 * the locks and removes what an interrupted snapshot has left.
 *
 * Context    at the start; blocks.
 * Ownership  paths are copied; the locks are held until data_dir_close() or the
 *            end of the process.
 * Errors     each with one line in message that names the path and what to do:
 *            FAL_EBUSY (another server has the lock), FAL_EACCESS, FAL_ENOENT
 *            (and it may not be made), FAL_EINVAL (mixed up), FAL_ELIMIT (path
 *            too long), the disk's.
 * Source     disk-format.md section 1.
 */

#include "drivers/disk.h"
#include "store/file_name.h"

#define DATA_DIR_MESSAGE_BYTES 1024u
#define DATA_DIR_VERSION       "version-2"
#define DATA_DIR_LOCK          "falconer.lock"

struct data_dir {
	struct disk *disk;
	char data_dir[FILE_PATH_MAX]; /* myid is here */
	char snap_dir[FILE_PATH_MAX]; /* dataDir/version-2 */
	char log_dir[FILE_PATH_MAX];  /* dataLogDir/version-2 */
	struct disk_file *snap_lock;
	struct disk_file *log_lock; /* NULL: the same directory */
};

struct data_dir_options {
	const char *data_dir;
	const char *log_dir; /* NULL or "": as data_dir */
	bool may_create;     /* zookeeper.datadir.autocreate */
};

/* message: out, DATA_DIR_MESSAGE_BYTES; "" if all is well. */
FAL_MUST_CHECK int data_dir_open(struct disk *, const struct data_dir_options *,
				 struct data_dir *, char *message);
void data_dir_close(struct data_dir *);

#endif
