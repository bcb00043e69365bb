/* SPDX-License-Identifier: Apache-2.0 */
#include "store/file_cut.h"

bool
file_cut_step(struct disk_file *file, uint64_t length, uint64_t piece)
{
	uint64_t bytes = 0;
	int err = disk_file_bytes(file, &bytes);

	if (err != 0 || bytes <= length)
		return false;
	bytes = bytes - length > piece ? bytes - piece : length;
	err = disk_truncate(file, bytes);
	/* Else the file system would put the pieces together again. */
	if (err == 0)
		err = disk_sync(file);
	return err == 0 && bytes > length;
}
