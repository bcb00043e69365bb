/* SPDX-License-Identifier: Apache-2.0 */
/* Names are split at dots, as Java does; a zxid is 1..16 hex digits. */

#include "store/file_name.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ZXID_DIGITS_MAX 16u

static const char *const suffixes[] = {
	[FILE_PLAIN] = "", [FILE_GZ] = ".gz", [FILE_SNAPPY] = ".snappy"};

static bool
parse_hex(const char *text, size_t digits, uint64_t *out)
{
	uint64_t value = 0;

	if (digits == 0 || digits > ZXID_DIGITS_MAX)
		return false;
	for (size_t i = 0; i < digits; i++) {
		const char c = text[i];
		uint32_t digit;

		if (c >= '0' && c <= '9')
			digit = (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			digit = (uint32_t)(c - 'a') + 10;
		else if (c >= 'A' && c <= 'F')
			digit = (uint32_t)(c - 'A') + 10;
		else
			return false;
		value = value << 4 | digit;
	}
	*out = value;
	return value <= INT64_MAX;
}

struct file_name
file_name_parse(const char *name)
{
	struct file_name result = {.kind = FILE_OTHER};
	const char *text = name;
	const char *suffix;
	bool is_log = false;

	if (strncmp(name, "log.", 4) == 0) {
		is_log = true;
		text += 4;
	} else if (strncmp(name, "snapshot.", 9) == 0) {
		text += 9;
	} else {
		return result;
	}
	suffix = text + strcspn(text, ".");
	if (!parse_hex(text, (size_t)(suffix - text), &result.zxid))
		return result;
	if (is_log) {
		result.kind = *suffix == '\0' ? FILE_LOG : FILE_OTHER;
		return result;
	}
	for (uint32_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		if (strcmp(suffix, suffixes[i]) != 0)
			continue;
		result.kind = FILE_SNAPSHOT;
		result.coding = (enum file_coding)i;
	}
	return result;
}

static int
verdict(int printed)
{
	return printed > 0 && printed < FILE_PATH_MAX ? 0 : FAL_ELIMIT;
}

int
file_path(char out[FILE_PATH_MAX], const char *dir, const char *name)
{
	return verdict(snprintf(out, FILE_PATH_MAX, "%s/%s", dir, name));
}

int
file_path_log(char out[FILE_PATH_MAX], const char *dir, uint64_t zxid)
{
	return verdict(
		snprintf(out, FILE_PATH_MAX, "%s/log.%" PRIx64, dir, zxid));
}

int
file_path_snapshot(char out[FILE_PATH_MAX], const char *dir, uint64_t zxid,
		   enum file_coding coding)
{
	return verdict(snprintf(out, FILE_PATH_MAX, "%s/snapshot.%" PRIx64 "%s",
				dir, zxid, suffixes[coding]));
}
