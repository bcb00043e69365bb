/* SPDX-License-Identifier: Apache-2.0 */
/*
 * properties - one pass over the bytes. Input becomes output of at most twice
 * its size (a Latin-1 byte above 0x7f becomes two of UTF-8), so the text is
 * allocated once before the pass and keys and values are cut out of it.
 *
 * The reader works on "logical characters": read_next() undoes line
 * continuations and escapes and says whether a character was escaped, because
 * an escaped separator or blank is an ordinary character.
 */
#include "server/properties.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define END_OF_LINE (-1)
#define BAD_ESCAPE  (-2)

struct reader {
	const unsigned char *at, *end;
	uint32_t line;
	bool is_escaped; /* the last character came from an escape */
};

struct writer {
	char *at;
	uint32_t high; /* a high surrogate that waits for its partner, or 0 */
};

static bool
is_blank(int c)
{
	return c == ' ' || c == '\t' || c == '\f';
}

static void
skip_blanks(struct reader *reader)
{
	while (reader->at < reader->end && is_blank(*reader->at))
		reader->at++;
}

/* Moves behind the line end that at points to: \n, \r or \r\n. */
static void
skip_line_end(struct reader *reader)
{
	const bool is_return = *reader->at == '\r';

	reader->at++;
	if (is_return && reader->at < reader->end && *reader->at == '\n')
		reader->at++;
	reader->line++;
}

static int
hex_digit(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The four digits behind \u; one UTF-16 unit, or BAD_ESCAPE. */
static int
read_unit(struct reader *reader)
{
	int unit = 0;

	for (int i = 0; i < 4; i++) {
		const int digit =
			reader->at < reader->end ? hex_digit(*reader->at) : -1;

		if (digit < 0)
			return BAD_ESCAPE;
		unit = unit << 4 | digit;
		reader->at++;
	}
	return unit;
}

static int
read_escape(struct reader *reader)
{
	const int c = *reader->at++;

	reader->is_escaped = true;
	switch (c) {
	case 't':
		return '\t';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 'f':
		return '\f';
	case 'u':
		return read_unit(reader);
	default:
		return c;
	}
}

/* The next character of the logical line, END_OF_LINE (not consumed), or
 * BAD_ESCAPE. */
static int
read_next(struct reader *reader)
{
	reader->is_escaped = false;
	while (reader->at < reader->end) {
		const int c = *reader->at;

		if (c == '\n' || c == '\r')
			return END_OF_LINE;
		reader->at++;
		if (c != '\\')
			return c;
		if (reader->at == reader->end)
			return END_OF_LINE; /* nothing to join: dropped */
		if (*reader->at != '\n' && *reader->at != '\r')
			return read_escape(reader);
		skip_line_end(reader);
		skip_blanks(reader);
	}
	return END_OF_LINE;
}

/* Writes a code point as UTF-8. */
static void
write_code(struct writer *writer, uint32_t code)
{
	unsigned char *at = (unsigned char *)writer->at;

	if (code < 0x80) {
		*at++ = (unsigned char)code;
	} else if (code < 0x800) {
		*at++ = (unsigned char)(0xc0 | code >> 6);
		*at++ = (unsigned char)(0x80 | (code & 0x3f));
	} else if (code < 0x10000) {
		*at++ = (unsigned char)(0xe0 | code >> 12);
		*at++ = (unsigned char)(0x80 | (code >> 6 & 0x3f));
		*at++ = (unsigned char)(0x80 | (code & 0x3f));
	} else {
		*at++ = (unsigned char)(0xf0 | code >> 18);
		*at++ = (unsigned char)(0x80 | (code >> 12 & 0x3f));
		*at++ = (unsigned char)(0x80 | (code >> 6 & 0x3f));
		*at++ = (unsigned char)(0x80 | (code & 0x3f));
	}
	writer->at = (char *)at;
}

/* Joins two surrogates; one alone becomes '?', as when Java names a file. */
static void
write_unit(struct writer *writer, uint32_t unit)
{
	const uint32_t high = writer->high;
	const bool is_low = unit >= 0xdc00 && unit <= 0xdfff;

	writer->high = 0;
	if (high != 0 && is_low) {
		write_code(writer,
			   0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00));
		return;
	}
	if (high != 0)
		write_code(writer, '?');
	if (unit >= 0xd800 && unit <= 0xdbff)
		writer->high = unit;
	else
		write_code(writer, is_low ? '?' : unit);
}

/* Ends the text at hand. */
static void
write_end(struct writer *writer)
{
	if (writer->high != 0)
		write_code(writer, '?');
	writer->high = 0;
	*writer->at++ = '\0';
}

static int
fail(struct properties_error *error, uint32_t line, const char *what)
{
	error->line = line;
	error->what = what;
	return FAL_EINVAL;
}

/* Copies up to a separator (for a key) or the end of the line, NUL-ends it. */
static int
read_part(struct reader *reader, struct writer *writer, bool is_key,
	  struct properties_error *error)
{
	for (;;) {
		const struct reader before = *reader;
		const int c = read_next(reader);

		if (c == END_OF_LINE)
			break;
		if (c == BAD_ESCAPE)
			return fail(error, reader->line,
				    "\\u needs four hex digits");
		if (c == 0)
			return fail(error, reader->line,
				    "NUL characters are not allowed");
		if (is_key && !reader->is_escaped &&
		    (c == '=' || c == ':' || is_blank(c))) {
			*reader = before;
			break;
		}
		write_unit(writer, (uint32_t)c);
	}
	write_end(writer);
	return FAL_OK;
}

/* Between key and value: blanks, at most one '=' or ':', blanks. */
static void
skip_separator(struct reader *reader)
{
	bool has_sign = false;

	for (;;) {
		const struct reader before = *reader;
		const int c = read_next(reader);
		const bool is_sign = (c == '=' || c == ':') && !has_sign;

		if (reader->is_escaped || !(is_sign || is_blank(c))) {
			*reader = before;
			return;
		}
		has_sign = has_sign || is_sign;
	}
}

/* As Java's trim(): everything up to and with the blank. */
static const char *
trim(char *text)
{
	char *end = text + strlen(text);

	while (end > text && (unsigned char)end[-1] <= ' ')
		*--end = '\0';
	while (*text != '\0' && (unsigned char)*text <= ' ')
		text++;
	return text;
}

static uint32_t
count_lines(const char *text, size_t bytes)
{
	uint32_t lines = 1;

	for (size_t i = 0; i < bytes; i++)
		lines += text[i] == '\n' || text[i] == '\r';
	return lines;
}

/* Moves to the first character of the next logical line; false at the end.
 * Blank lines, comments, and continuations of nothing go by. */
static bool
find_line(struct reader *reader)
{
	while (reader->at < reader->end) {
		const unsigned char c = *reader->at;

		if (is_blank(c)) {
			reader->at++;
		} else if (c == '\n' || c == '\r') {
			skip_line_end(reader);
		} else if (c == '#' || c == '!') {
			while (reader->at < reader->end &&
			       *reader->at != '\n' && *reader->at != '\r')
				reader->at++;
		} else if (c == '\\' && reader->end - reader->at > 1 &&
			   (reader->at[1] == '\n' || reader->at[1] == '\r')) {
			reader->at++;
			skip_line_end(reader);
		} else {
			return true;
		}
	}
	return false;
}

static int
parse_all(struct reader *reader, struct properties *properties,
	  struct properties_error *error)
{
	struct writer writer = {.at = properties->text};

	while (find_line(reader)) {
		struct property *property =
			&properties->property[properties->count];
		char *key = writer.at, *value;
		int err;

		property->line = reader->line;
		err = read_part(reader, &writer, true, error);
		if (err != FAL_OK)
			return err;
		skip_separator(reader);
		value = writer.at;
		err = read_part(reader, &writer, false, error);
		if (err != FAL_OK)
			return err;
		property->key = trim(key);
		property->value = trim(value);
		properties->count++;
	}
	return FAL_OK;
}

int
properties_parse(const char *text, size_t bytes, struct properties *properties,
		 struct properties_error *error)
{
	struct reader reader = {
		.at = (const unsigned char *)text,
		.end = (const unsigned char *)text + bytes,
		.line = 1,
	};
	int err;

	memset(properties, 0, sizeof(*properties));
	memset(error, 0, sizeof(*error));
	if (bytes > PROPERTIES_BYTES_MAX) {
		error->what = "longer than 1 MiB";
		return FAL_ELIMIT;
	}
	const uint32_t lines = count_lines(text, bytes);

	properties->property = calloc(lines, sizeof(struct property));
	/* Two bytes for each, two NULs for each line. */
	properties->text = malloc(2 * bytes + 2 * (size_t)lines);
	if (properties->property == NULL || properties->text == NULL) {
		err = FAL_ENOMEM;
		error->what = "out of memory";
		goto fail;
	}
	err = parse_all(&reader, properties, error);
	if (err != FAL_OK)
		goto fail;
	return FAL_OK;
fail:
	properties_free(properties);
	return err;
}

/* Fills `buffer`; returns bytes read, or a negative fal_err. */
static int64_t
read_file(int fd, char *buffer, size_t bytes_max)
{
	size_t bytes = 0;

	while (bytes < bytes_max) {
		const ssize_t got = read(fd, buffer + bytes, bytes_max - bytes);

		if (got == 0)
			break;
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return FAL_EIO;
		bytes += (size_t)got;
	}
	return (int64_t)bytes;
}

int
properties_load(const char *path, struct properties *properties,
		struct properties_error *error)
{
	char *buffer = NULL;
	int err = FAL_EIO;

	memset(properties, 0, sizeof(*properties));
	memset(error, 0, sizeof(*error));
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		error->what = "cannot be opened";
		error->code = errno;
		return errno == ENOENT ? FAL_ENOENT : FAL_EIO;
	}
	buffer = malloc(PROPERTIES_BYTES_MAX + 1);
	if (buffer == NULL) {
		error->what = "out of memory";
		err = FAL_ENOMEM;
		goto done;
	}
	/* One more than allowed, so that a longer file shows itself. */
	const int64_t bytes = read_file(fd, buffer, PROPERTIES_BYTES_MAX + 1);

	if (bytes < 0) {
		error->what = "cannot be read";
		error->code = errno;
		goto done;
	}
	err = properties_parse(buffer, (size_t)bytes, properties, error);
done:
	free(buffer);
	close(fd);
	return err;
}

void
properties_free(struct properties *properties)
{
	free(properties->property);
	free(properties->text);
	memset(properties, 0, sizeof(*properties));
}

const struct property *
properties_find(const struct properties *properties, const char *key)
{
	const struct property *found = NULL;

	for (uint32_t i = 0; i < properties->count; i++)
		if (strcmp(properties->property[i].key, key) == 0)
			found = &properties->property[i];
	return found;
}
