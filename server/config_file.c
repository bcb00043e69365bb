/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines are gathered in a buffer and written by small_file. In zoo.cfg a
 * logical line may go over several natural ones (a backslash at the end);
 * what is taken out goes with all of them.
 */
#include "server/config_file.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "store/file_name.h"
#include "store/small_file.h"

#define LINES_MAX     4096u
#define VERSION_KEY   "version="
#define DYNAMIC_KEY   "dynamicConfigFile"
#define VERSION_BYTES 32
/* Only its version line is wanted. */
#define NEXT_BYTES_MAX 65536u

/* ---- names ------------------------------------------------------------------
 */

struct place {
	char dir[FILE_PATH_MAX];
	char base[FILE_PATH_MAX];
};

static int
split(const char *path, struct place *place)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL || strlen(path) >= FILE_PATH_MAX)
		return FAL_ELIMIT;
	snprintf(place->dir, sizeof(place->dir), "%.*s", (int)(slash - path),
		 path);
	snprintf(place->base, sizeof(place->base), "%s", slash + 1);
	return FAL_OK;
}

/* The file beside zoo.cfg whose name has that suffix. */
static int
name_of(const struct place *place, const char *suffix, char name[FILE_PATH_MAX])
{
	return snprintf(name, FILE_PATH_MAX, "%s%s", place->base, suffix) <
			       FILE_PATH_MAX
		       ? FAL_OK
		       : FAL_ELIMIT;
}

/* ---- text
 * -------------------------------------------------------------------- */

struct text {
	char *data;
	size_t bytes, cap;
	int err;
};

static void
add(struct text *text, const char *data, size_t bytes)
{
	if (text->err != FAL_OK)
		return;
	if (text->bytes + bytes > text->cap) {
		const size_t cap = 2 * (text->bytes + bytes) + 256;
		char *larger = realloc(text->data, cap);

		if (larger == NULL) {
			text->err = FAL_ENOMEM;
			return;
		}
		text->data = larger;
		text->cap = cap;
	}
	if (bytes > 0)
		memcpy(text->data + text->bytes, data, bytes);
	text->bytes += bytes;
}

static void
add_text(struct text *text, const char *what)
{
	add(text, what, strlen(what));
}

struct line {
	const char *at;
	size_t bytes; /* without white space around it */
};

/* By bytes, as Java sorts its lines. */
static int
compare_lines(const void *a, const void *b)
{
	const struct line *left = a;
	const struct line *right = b;
	const size_t bytes =
		left->bytes < right->bytes ? left->bytes : right->bytes;
	const int order = memcmp(left->at, right->at, bytes);

	if (order != 0)
		return order;
	return left->bytes < right->bytes ? -1 : left->bytes > right->bytes;
}

static bool
begins_with(const struct line *line, const char *key)
{
	const size_t bytes = strlen(key);

	return line->bytes >= bytes && memcmp(line->at, key, bytes) == 0;
}

/* The next line; false: none is left. */
static bool
cut_line(const char **at, const char *end, struct line *line)
{
	const char *stop;

	if (*at == end)
		return false;
	stop = memchr(*at, '\n', (size_t)(end - *at));
	line->at = *at;
	line->bytes = (size_t)((stop == NULL ? end : stop) - *at);
	*at = stop == NULL ? end : stop + 1;
	while (line->bytes > 0 && isspace((unsigned char)line->at[0])) {
		line->at++;
		line->bytes--;
	}
	while (line->bytes > 0 &&
	       isspace((unsigned char)line->at[line->bytes - 1]))
		line->bytes--;
	return true;
}

/* The members, sorted, one a line without a newline at the end, as Java writes
 * them; version 0: without a version line. */
static int
sorted(const char *from, uint32_t bytes, int64_t version, struct text *out)
{
	struct line *lines = malloc(LINES_MAX * sizeof(*lines));
	char number[VERSION_BYTES];
	struct line line;
	const char *at = from;
	uint32_t count = 0;

	if (lines == NULL)
		return FAL_ENOMEM;
	while (count < LINES_MAX - 1 && cut_line(&at, from + bytes, &line))
		if (line.bytes > 0 && !begins_with(&line, VERSION_KEY))
			lines[count++] = line;
	if (version != 0) {
		snprintf(number, sizeof(number), VERSION_KEY "%" PRIx64,
			 (uint64_t)version);
		lines[count++] =
			(struct line){.at = number, .bytes = strlen(number)};
	}
	qsort(lines, count, sizeof(*lines), compare_lines);
	for (uint32_t i = 0; i < count; i++) {
		if (i > 0)
			add_text(out, "\n");
		add(out, lines[i].at, lines[i].bytes);
	}
	free(lines);
	return at == from + bytes ? out->err : FAL_ELIMIT;
}

/* ---- the dynamic files
 * --------------------------------------------------------- */

static int
write_sorted(struct disk *disk, const struct place *place, const char *suffix,
	     int64_t version, const char *from, uint32_t bytes)
{
	char name[FILE_PATH_MAX];
	struct text text = {.err = FAL_OK};
	int err = name_of(place, suffix, name);

	if (err == FAL_OK)
		err = sorted(from, bytes, version, &text);
	if (err == FAL_OK)
		err = small_file_replace(disk, place->dir, name, text.data,
					 text.bytes);
	free(text.data);
	return err;
}

int
config_file_write_next(struct disk *disk, const char *path, int64_t version,
		       const char *text, uint32_t bytes)
{
	struct place place;
	const int err = split(path, &place);

	return err != FAL_OK ? err
			     : write_sorted(disk, &place, CONFIG_NEXT_SUFFIX,
					    version, text, bytes);
}

int
config_file_drop_next(struct disk *disk, const char *path)
{
	char name[FILE_PATH_MAX], full[FILE_PATH_MAX];
	struct place place;
	int err = split(path, &place);

	if (err == FAL_OK)
		err = name_of(&place, CONFIG_NEXT_SUFFIX, name);
	if (err == FAL_OK)
		err = file_path(full, place.dir, name);
	if (err == FAL_OK)
		err = disk_unlink(disk, full);
	if (err == FAL_ENOENT)
		return FAL_OK;
	return err != FAL_OK ? err : disk_sync_dir(disk, place.dir);
}

int
config_file_read_next(struct disk *disk, const char *path, char *text,
		      uint32_t cap, int64_t *version)
{
	char name[FILE_PATH_MAX];
	struct place place;
	struct line line;
	const char *at = text;
	int err = split(path, &place);

	*version = 0;
	if (err == FAL_OK)
		err = name_of(&place, CONFIG_NEXT_SUFFIX, name);
	if (err == FAL_OK)
		err = small_file_read(disk, place.dir, name, text, cap);
	if (err != FAL_OK)
		return err;
	while (cut_line(&at, text + strlen(text), &line))
		if (begins_with(&line, VERSION_KEY))
			*version = (int64_t)strtoull(
				line.at + sizeof(VERSION_KEY) - 1, NULL, 16);
	return FAL_OK;
}

/* ---- zoo.cfg
 * ---------------------------------------------------------------------- */

/* Java compares beginnings: "group", "weight" and so on. */
static bool
is_moved(const struct line *line, bool has_client)
{
	static const char *const keys[] = {"server.", "group", "weight",
					   DYNAMIC_KEY, "peerType"};

	for (uint32_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (begins_with(line, keys[i]))
			return true;
	/* Unlike Java, which takes the backlog along, and loses it. */
	return has_client && begins_with(line, "clientPort") &&
	       !begins_with(line, "clientPortListenBacklog");
}

/* A backslash that is not itself escaped. */
static bool
goes_on(const struct line *line)
{
	size_t count = 0;

	while (count < line->bytes && line->at[line->bytes - 1 - count] == '\\')
		count++;
	return count % 2 == 1;
}

static void
add_unit(struct text *text, uint32_t unit)
{
	char escape[8];

	snprintf(escape, sizeof(escape), "\\u%04x", unit & 0xffffu);
	add_text(text, escape);
}

/* A path as a value: the file is read as ISO-8859-1, in which a backslash
 * begins an escape. Bytes that are no text cannot be said and stay. */
static void
add_path(struct text *text, const char *path)
{
	size_t left = strlen(path);

	while (left > 0) {
		const uint8_t *at = (const uint8_t *)path;
		const size_t length =
			*at < 0x80 ? 1 : utf8_sequence_bytes(at, left);
		const size_t used = length == 0 ? 1 : length;
		const uint32_t code = utf8_code(at, used);

		if (length == 1 && (*at < 0x20 || *at == '\\'))
			add_unit(text, *at);
		else if (length <= 1)
			add(text, path, 1);
		else if (code < 0x10000)
			add_unit(text, code);
		else {
			add_unit(text, 0xd800 + ((code - 0x10000) >> 10));
			add_unit(text, 0xdc00 + (code & 0x3ff));
		}
		path += used;
		left -= used;
	}
}

static void
rewrite(const char *from, size_t bytes, const char *dynamic_path,
	bool has_client, struct text *out, bool *had_dynamic)
{
	const char *at = from;
	struct line line;

	*had_dynamic = false;
	while (at < from + bytes) {
		const char *start = at;
		bool is_comment, is_gone;

		(void)cut_line(&at, from + bytes, &line);
		is_comment = line.bytes > 0 &&
			     (line.at[0] == '#' || line.at[0] == '!');
		is_gone = !is_comment && is_moved(&line, has_client);
		*had_dynamic |= is_gone && begins_with(&line, DYNAMIC_KEY);
		while (!is_comment && goes_on(&line) &&
		       cut_line(&at, from + bytes, &line))
			continue;
		if (!is_gone)
			add(out, start, (size_t)(at - start));
	}
	if (out->bytes > 0 && out->data[out->bytes - 1] != '\n')
		add_text(out, "\n");
	add_text(out, DYNAMIC_KEY "=");
	add_path(out, dynamic_path);
	add_text(out, "\n");
}

/* Does our line bring the client port along? Then zoo.cfg must not say it,
 * too. */
static bool
has_client_port(const char *text, uint32_t bytes, int64_t sid)
{
	char key[VERSION_BYTES];
	const char *at = text;
	struct line line;

	snprintf(key, sizeof(key), "server.%" PRId64 "=", sid);
	while (cut_line(&at, text + bytes, &line))
		if (begins_with(&line, key) &&
		    memchr(line.at, ';', line.bytes) != NULL)
			return true;
	return false;
}

static int
rewrite_static(struct disk *disk, const struct place *place,
	       const char *dynamic_path, bool has_client)
{
	char *before = malloc(CONFIG_FILE_BYTES_MAX + 1);
	char backup[FILE_PATH_MAX];
	struct text text = {.err = FAL_OK};
	bool had_dynamic = false;
	int err = before == NULL
			  ? FAL_ENOMEM
			  : small_file_read(disk, place->dir, place->base,
					    before, CONFIG_FILE_BYTES_MAX);

	if (err == FAL_OK && strlen(before) == CONFIG_FILE_BYTES_MAX)
		err = FAL_ELIMIT;
	if (err == FAL_OK) {
		rewrite(before, strlen(before), dynamic_path, has_client, &text,
			&had_dynamic);
		err = text.err;
	}
	if (err == FAL_OK && !had_dynamic)
		err = name_of(place, CONFIG_BACKUP_SUFFIX, backup);
	if (err == FAL_OK && !had_dynamic)
		err = small_file_replace_like(disk, place->dir, backup,
					      place->base, before,
					      strlen(before));
	if (err == FAL_OK)
		err = small_file_replace_like(disk, place->dir, place->base,
					      place->base, text.data,
					      text.bytes);
	free(text.data);
	free(before);
	return err;
}

/* What was proposed since stays. */
static int
drop_if_old(struct disk *disk, const char *path, int64_t version)
{
	char *text = malloc(NEXT_BYTES_MAX + 1);
	int64_t next = 0;
	int err = text == NULL ? FAL_ENOMEM
			       : config_file_read_next(disk, path, text,
						       NEXT_BYTES_MAX, &next);

	free(text);
	if (err == FAL_OK && next <= version)
		err = config_file_drop_next(disk, path);
	return err == FAL_ENOENT ? FAL_OK : err;
}

int
config_file_activate(struct disk *disk, const char *path, int64_t sid,
		     int64_t version, const char *text, uint32_t bytes)
{
	char suffix[VERSION_BYTES], name[FILE_PATH_MAX], full[FILE_PATH_MAX];
	struct place place;
	int err = split(path, &place);

	snprintf(suffix, sizeof(suffix), ".dynamic.%" PRIx64,
		 (uint64_t)version);
	if (err == FAL_OK)
		err = name_of(&place, suffix, name);
	if (err == FAL_OK)
		err = file_path(full, place.dir, name);
	if (err == FAL_OK)
		err = write_sorted(disk, &place, suffix, 0, text, bytes);
	if (err == FAL_OK)
		err = rewrite_static(disk, &place, full,
				     has_client_port(text, bytes, sid));
	return err != FAL_OK ? err : drop_if_old(disk, path, version);
}
