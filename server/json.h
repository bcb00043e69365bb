/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_JSON_H
#define FALCONER_SERVER_JSON_H

/*
 * json - writes JSON as ZooKeeper's admin server lays it out: two blanks a
 * level, " : " behind keys, arrays in one line, "{ }" and "[ ]" when empty.
 *
 * Context    one thread.
 * Ownership  the stream is the caller's; keys and texts are borrowed for the
 *            call.
 * Limits     JSON_DEPTH_MAX levels, asserted.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define JSON_DEPTH_MAX 12u

struct json {
	FILE *out;
	uint32_t depth;
	uint32_t indent; /* objects around, arrays do not count */
	bool has_items[JSON_DEPTH_MAX];
	bool is_array[JSON_DEPTH_MAX];
};

struct json json_to(FILE *out);

/* key is NULL within an array and for the outermost value. */
void json_object_begin(struct json *, const char *key);
void json_object_end(struct json *);
void json_array_begin(struct json *, const char *key);
void json_array_end(struct json *);
void json_bool(struct json *, const char *key, bool value);
void json_null(struct json *, const char *key);
void json_int(struct json *, const char *key, int64_t value);
void json_uint(struct json *, const char *key, uint64_t value);
/* A number as text, or anything that is JSON already. */
void json_raw(struct json *, const char *key, const char *text);
void json_text(struct json *, const char *key, const char *text);
/* Any bytes: what is not UTF-8 becomes U+FFFD. */
void json_bytes(struct json *, const char *key, const void *text, size_t bytes);
/* The key of an object of which the key is data. */
void json_object_begin_bytes(struct json *, const void *key, size_t bytes);
void json_array_begin_bytes(struct json *, const void *key, size_t bytes);

#endif
