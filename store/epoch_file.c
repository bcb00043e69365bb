/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of disk-format.md 12.1, E being the epoch of the last transaction:
 *
 *   missing                         created with E
 *   E > current, currentEpoch.tmp   the temporary's value is adopted: the
 *                                   server stopped between write and rename
 *   E > current otherwise           fine up to accepted: a leader of that
 *                                   epoch brought data, and the server stopped
 *                                   before it wrote currentEpoch
 *   E > accepted                    refused
 *   accepted < current              refused
 */

#include "store/epoch_file.h"

#include <inttypes.h>
#include <stdio.h>

#include "store/small_file.h"

#define TEXT_BYTES_MAX 64u
#define DIGITS_MAX     19u
#define EPOCH_SHIFT    32

int
epoch_file_parse(const char *text, int64_t *out)
{
	const bool is_negative = text[0] == '-';
	const char *at = text + (is_negative ? 1 : 0);
	uint64_t value = 0;
	uint32_t digits = 0;

	for (; *at >= '0' && *at <= '9'; at++) {
		value = value * 10 + (uint64_t)(*at - '0');
		if (++digits > DIGITS_MAX)
			return FAL_EINVAL;
	}
	if (at[0] == '\r' && at[1] == '\n')
		at++;
	if (digits == 0 || (*at != '\0' && *at != '\n') || value > INT64_MAX)
		return FAL_EINVAL;
	*out = is_negative ? -(int64_t)value : (int64_t)value;
	return 0;
}

int
epoch_file_read(struct disk *disk, const char *dir, const char *name,
		int64_t *out)
{
	char text[TEXT_BYTES_MAX + 1];
	const int err = small_file_read(disk, dir, name, text, TEXT_BYTES_MAX);

	return err != 0 ? err : epoch_file_parse(text, out);
}

int
epoch_file_write(struct disk *disk, const char *dir, const char *name,
		 int64_t value)
{
	char text[TEXT_BYTES_MAX];
	const int bytes = snprintf(text, sizeof(text), "%" PRId64, value);

	return small_file_replace(disk, dir, name, text, (size_t)bytes);
}

/* Reads one; a missing file is created with `otherwise`. */
static int
read_or_create(struct disk *disk, const char *dir, const char *name,
	       int64_t otherwise, int64_t *out, char *message)
{
	int err = epoch_file_read(disk, dir, name, out);

	if (err == FAL_ENOENT) {
		*out = otherwise;
		err = epoch_file_write(disk, dir, name, otherwise);
	}
	if (err == FAL_EINVAL)
		snprintf(message, EPOCH_MESSAGE_BYTES,
			 "%s/%s does not hold one decimal number: restore it, "
			 "or remove the whole data directory and let the "
			 "ensemble bring it back",
			 dir, name);
	else if (err != 0)
		snprintf(message, EPOCH_MESSAGE_BYTES, "%s/%s: %s", dir, name,
			 fal_err_str(err));
	return err;
}

/* Was an epoch accepted that the log has reached? Then a leader of it brought
 * what is in the log, and currentEpoch comes when all of it is there. */
static bool
is_accepted(struct disk *disk, const char *dir, int64_t epoch)
{
	int64_t accepted = -1;

	return epoch_file_read(disk, dir, EPOCH_FILE_ACCEPTED, &accepted) ==
		       0 &&
	       accepted >= epoch;
}

/* The log is ahead of currentEpoch: was the server stopped while it wrote it?
 */
static int
adopt_temporary(struct disk *disk, const char *dir, int64_t epoch,
		struct epoch_pair *pair, char *message)
{
	int64_t value = -1;
	int err = epoch_file_read(disk, dir, EPOCH_FILE_CURRENT ".tmp", &value);

	if (err == 0 && value >= epoch) {
		pair->current = value;
		return epoch_file_write(disk, dir, EPOCH_FILE_CURRENT, value);
	}
	if (is_accepted(disk, dir, epoch))
		return 0;
	snprintf(message, EPOCH_MESSAGE_BYTES,
		 "%s/" EPOCH_FILE_CURRENT " says %" PRId64
		 ", but the last transaction is of epoch %" PRId64
		 ": remove the whole data directory and let the ensemble bring "
		 "it back",
		 dir, pair->current, epoch);
	return FAL_ECORRUPT;
}

int
epoch_pair_start(struct disk *disk, const char *dir, uint64_t last_zxid,
		 struct epoch_pair *pair, char *message)
{
	const int64_t epoch = (int64_t)(last_zxid >> EPOCH_SHIFT);
	int err;

	message[0] = '\0';
	err = read_or_create(disk, dir, EPOCH_FILE_CURRENT, epoch,
			     &pair->current, message);
	if (err == 0 && epoch > pair->current)
		err = adopt_temporary(disk, dir, epoch, pair, message);
	if (err == 0)
		err = read_or_create(disk, dir, EPOCH_FILE_ACCEPTED, epoch,
				     &pair->accepted, message);
	if (err != 0 || pair->accepted >= pair->current)
		return err;
	snprintf(message, EPOCH_MESSAGE_BYTES,
		 "%s/" EPOCH_FILE_ACCEPTED " says %" PRId64
		 ", less than " EPOCH_FILE_CURRENT " %" PRId64
		 ": remove the whole data directory and let the ensemble bring "
		 "it back",
		 dir, pair->accepted, pair->current);
	return FAL_ECORRUPT;
}
