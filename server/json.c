/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json - commas, indentation and quoting.
 */
#include "server/json.h"

#include <inttypes.h>
#include <string.h>

#include "base/fal.h"
#include "base/utf8.h"

struct json
json_to(FILE *out)
{
	return (struct json){.out = out};
}

static void
put_quoted(struct json *json, const void *text, size_t bytes)
{
	const uint8_t *at = text;

	fputc('"', json->out);
	while (bytes > 0) {
		const size_t length =
			*at < 0x80 ? 1 : utf8_sequence_bytes(at, bytes);

		if (length == 0)
			fputs("\\uFFFD", json->out);
		else if (*at == '"' || *at == '\\')
			fprintf(json->out, "\\%c", *at);
		else if (*at == '\n')
			fputs("\\n", json->out);
		else if (*at == '\t')
			fputs("\\t", json->out);
		else if (*at < 0x20 || *at == 0x7f)
			fprintf(json->out, "\\u%04X", *at);
		else
			fwrite(at, 1, length, json->out);
		at += length == 0 ? 1 : length;
		bytes -= length == 0 ? 1 : length;
	}
	fputc('"', json->out);
}

static void
new_line(struct json *json)
{
	fputc('\n', json->out);
	for (uint32_t i = 0; i < json->indent; i++)
		fputs("  ", json->out);
}

/* What stands in front of a value: comma, place, key. */
static void
begin_value_bytes(struct json *json, const void *key, size_t bytes)
{
	if (json->depth == 0)
		return;

	const uint32_t level = json->depth - 1;

	if (json->has_items[level])
		fputc(',', json->out);
	json->has_items[level] = true;
	if (json->is_array[level]) {
		fputc(' ', json->out);
		return;
	}
	FAL_ASSERT(key != NULL);
	new_line(json);
	put_quoted(json, key, bytes);
	fputs(" : ", json->out);
}

static void
begin_value(struct json *json, const char *key)
{
	begin_value_bytes(json, key, key == NULL ? 0 : strlen(key));
}

static void
push(struct json *json, bool is_array)
{
	FAL_ASSERT(json->depth < JSON_DEPTH_MAX);
	json->has_items[json->depth] = false;
	json->is_array[json->depth] = is_array;
	json->depth++;
	fputc(is_array ? '[' : '{', json->out);
	json->indent += !is_array;
}

static void
pop(struct json *json, bool is_array)
{
	FAL_ASSERT(json->depth > 0);
	json->depth--;
	FAL_ASSERT(json->is_array[json->depth] == is_array);
	json->indent -= !is_array;
	if (is_array || !json->has_items[json->depth])
		fputc(' ', json->out);
	else
		new_line(json);
	fputc(is_array ? ']' : '}', json->out);
}

void
json_object_begin(struct json *json, const char *key)
{
	begin_value(json, key);
	push(json, false);
}

void
json_object_begin_bytes(struct json *json, const void *key, size_t bytes)
{
	begin_value_bytes(json, key, bytes);
	push(json, false);
}

void
json_object_end(struct json *json)
{
	pop(json, false);
}

void
json_array_begin(struct json *json, const char *key)
{
	begin_value(json, key);
	push(json, true);
}

void
json_array_begin_bytes(struct json *json, const void *key, size_t bytes)
{
	begin_value_bytes(json, key, bytes);
	push(json, true);
}

void
json_array_end(struct json *json)
{
	pop(json, true);
}

void
json_raw(struct json *json, const char *key, const char *text)
{
	begin_value(json, key);
	fputs(text, json->out);
}

void
json_bool(struct json *json, const char *key, bool value)
{
	json_raw(json, key, value ? "true" : "false");
}

void
json_null(struct json *json, const char *key)
{
	json_raw(json, key, "null");
}

void
json_int(struct json *json, const char *key, int64_t value)
{
	begin_value(json, key);
	fprintf(json->out, "%" PRId64, value);
}

void
json_uint(struct json *json, const char *key, uint64_t value)
{
	begin_value(json, key);
	fprintf(json->out, "%" PRIu64, value);
}

void
json_text(struct json *json, const char *key, const char *text)
{
	json_bytes(json, key, text, strlen(text));
}

void
json_bytes(struct json *json, const char *key, const void *text, size_t bytes)
{
	begin_value(json, key);
	put_quoted(json, text, bytes);
}
