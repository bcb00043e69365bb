/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_STORE_FILE_NAME_H
#define FALCONER_STORE_FILE_NAME_H

/*
 * file_name - names of data files: `log.<zxid>` and `snapshot.<zxid>` with an
 * optional .gz or .snappy; the zxid is hexadecimal. Anything else is not a
 * data file and is never touched.
 *
 * Context    any thread.
 * Source     disk-format.md section 1.
 */

#include "base/fal.h"

/* Longest path the store makes, with its NUL. */
#define FILE_PATH_MAX 4096

enum file_kind { FILE_OTHER, FILE_LOG, FILE_SNAPSHOT };

enum file_coding { FILE_PLAIN, FILE_GZ, FILE_SNAPPY };

struct file_name {
	enum file_kind kind;
	enum file_coding coding; /* of a snapshot */
	uint64_t zxid;
};

/* Takes a name apart; kind FILE_OTHER if it is no data file's. */
struct file_name file_name_parse(const char *name);

/* Joins directory and name. Returns 0, or FAL_ELIMIT if it does not fit. */
FAL_MUST_CHECK int file_path(char out[FILE_PATH_MAX], const char *dir,
			     const char *name);
FAL_MUST_CHECK int file_path_log(char out[FILE_PATH_MAX], const char *dir,
				 uint64_t zxid);
FAL_MUST_CHECK int file_path_snapshot(char out[FILE_PATH_MAX], const char *dir,
				      uint64_t zxid, enum file_coding coding);

#endif
