/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the golden files line by line. Frames and fields grow by doubling;
 * everything is test code, so trouble is an assertion.
 */

#include "vector_file.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fal.h"

#define VECTOR_LINE_BYTES_MAX 4096
#define VECTOR_FILES_MAX      256

/* Makes room for one more; grows when count is a power of two. */
static void *
vector_grow(void *items, size_t count, size_t item_bytes)
{
	if ((count & (count - 1)) != 0)
		return items;
	items = realloc(items, (count == 0 ? 1 : count * 2) * item_bytes);
	FAL_ASSERT(items != NULL);
	return items;
}

static struct vector_frame *
vector_frame_add(struct vector_file *file)
{
	struct vector_frame *frame;

	file->frames = vector_grow(file->frames, file->frame_count,
				   sizeof(*file->frames));
	frame = &file->frames[file->frame_count++];
	memset(frame, 0, sizeof(*frame));
	return frame;
}

static struct vector_field *
vector_field_add(struct vector_frame *frame)
{
	struct vector_field *field;

	frame->fields = vector_grow(frame->fields, frame->field_count,
				    sizeof(*frame->fields));
	field = &frame->fields[frame->field_count++];
	memset(field, 0, sizeof(*field));
	field->offset = frame->bytes;
	return field;
}

static void
vector_frame_add_hex(struct vector_frame *frame, const char *hex)
{
	unsigned int byte;

	while (isxdigit((unsigned char)hex[0]) &&
	       isxdigit((unsigned char)hex[1])) {
		FAL_ASSERT(sscanf(hex, "%2x", &byte) == 1);
		frame->data = vector_grow(frame->data, frame->bytes, 1);
		frame->data[frame->bytes++] = (uint8_t)byte;
		frame->fields[frame->field_count - 1].bytes++;
		hex += 2;
	}
	FAL_ASSERT(*hex == '\0' || isspace((unsigned char)*hex) || *hex == ';');
}

/* "> hex ; label" or the like; line is without its newline. */
static void
vector_frame_add_line(struct vector_frame *frame, const char *line)
{
	const char *label = strstr(line, "; ");
	const char *hex = line + (line[1] == '~' ? 2 : 1);

	while (*hex == ' ')
		hex++;
	if (label != NULL) {
		struct vector_field *field = vector_field_add(frame);

		(void)snprintf(field->label, sizeof(field->label), "%s",
			       label + 2);
	}
	FAL_ASSERT(frame->field_count > 0);
	vector_frame_add_hex(frame, hex);
}

void
vector_file_load(const char *path, struct vector_file *out)
{
	char line[VECTOR_LINE_BYTES_MAX];
	FILE *input = fopen(path, "r");
	struct vector_frame *frame = NULL;
	int connection = 0;

	memset(out, 0, sizeof(*out));
	FAL_ASSERT(input != NULL);
	while (fgets(line, sizeof(line), input) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '@')
			connection = atoi(line + 1);
		if (line[0] != '>' && line[0] != '<') {
			frame = NULL;
			continue;
		}
		if (frame == NULL ||
		    frame->is_from_client != (line[0] == '>')) {
			frame = vector_frame_add(out);
			frame->is_from_client = line[0] == '>';
			frame->connection = connection;
		}
		vector_frame_add_line(frame, line);
	}
	(void)fclose(input);
	FAL_ASSERT(out->frame_count > 0);
}

void
vector_file_free(struct vector_file *file)
{
	for (size_t i = 0; i < file->frame_count; i++) {
		free(file->frames[i].data);
		free(file->frames[i].fields);
	}
	free(file->frames);
	memset(file, 0, sizeof(*file));
}

static int
vector_compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

size_t
vector_files_visit(const char *directory, const char *suffix,
		   void (*visit)(const char *path, void *context),
		   void *context)
{
	char *names[VECTOR_FILES_MAX];
	DIR *dir = opendir(directory);
	struct dirent *entry;
	size_t count = 0;

	FAL_ASSERT(dir != NULL);
	while ((entry = readdir(dir)) != NULL) {
		const size_t n = strlen(entry->d_name), m = strlen(suffix);

		if (n < m || strcmp(entry->d_name + n - m, suffix) != 0)
			continue;
		FAL_ASSERT(count < VECTOR_FILES_MAX);
		FAL_ASSERT(asprintf(&names[count], "%s/%s", directory,
				    entry->d_name) > 0);
		count++;
	}
	(void)closedir(dir);
	qsort(names, count, sizeof(names[0]), vector_compare_names);
	for (size_t i = 0; i < count; i++) {
		visit(names[i], context);
		free(names[i]);
	}
	return count;
}

uint8_t *
vector_read_bytes(const char *path, size_t *bytes)
{
	FILE *input = fopen(path, "rb");
	uint8_t *data;
	long size;

	FAL_ASSERT(input != NULL);
	FAL_ASSERT(fseek(input, 0, SEEK_END) == 0);
	size = ftell(input);
	FAL_ASSERT(size >= 0 && fseek(input, 0, SEEK_SET) == 0);
	*bytes = (size_t)size;
	data = malloc(*bytes == 0 ? 1 : *bytes);
	FAL_ASSERT(data != NULL);
	FAL_ASSERT(fread(data, 1, *bytes, input) == *bytes);
	(void)fclose(input);
	return data;
}
