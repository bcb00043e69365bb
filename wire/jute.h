/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_WIRE_JUTE_H
#define FALCONER_WIRE_JUTE_H

/*
 * jute - readers and writers of ZooKeeper's record encoding.
 *
 *   byte, boolean 1 byte | int 4 | long 8, big-endian two's complement
 *   ustring, buffer       int length, bytes; length -1 is null
 *   vector                int count, elements; -1 is null
 *
 * Errors are sticky: a reader that ran out of bytes (or met a bad length)
 * returns zeros from then on and jute_reader_ok() tells at the end, so that a
 * decoder reads straight through and checks once. The same for a writer that
 * is full. Nothing here allocates, nothing reads or writes beyond the bounds.
 *
 * Context    any thread; objects live on the caller's stack.
 * Ownership  slices point into the reader's bytes and live as long as those.
 * Source     client-protocol.md section 1.3.
 */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/be.h"
#include "base/fal.h"

/* A string or buffer as found on the wire. data is borrowed. */
struct jute_slice {
	const uint8_t *data; /* no trailing NUL; NULL when bytes <= 0 is fine */
	int32_t bytes;       /* -1: null (not the same as empty) */
};

struct jute_reader {
	const uint8_t *at;
	const uint8_t *end;
	int32_t slice_bytes_max; /* longer strings and buffers are errors */
	bool is_bad;
};

struct jute_writer {
	uint8_t *at;
	uint8_t *end;
	uint8_t *start;
	bool is_full; /* something did not fit; nothing more is written */
};

/* Starts reading `bytes` bytes. Strings and buffers may be as long as the
 * input; jute_reader.slice_bytes_max narrows that. */
static inline struct jute_reader
jute_reader_of(const void *data, size_t bytes)
{
	const uint8_t *at = data;

	/* at may be NULL when bytes is 0, and NULL + 0 is undefined */
	return (struct jute_reader){.at = at,
				    .end = bytes == 0 ? at : at + bytes,
				    .slice_bytes_max = INT32_MAX};
}

static inline bool
jute_reader_ok(const struct jute_reader *reader)
{
	return !reader->is_bad;
}

static inline size_t
jute_reader_left(const struct jute_reader *reader)
{
	return (size_t)(reader->end - reader->at);
}

/* Takes `bytes` raw bytes; NULL (and a bad reader) when they are not there. */
static inline const uint8_t *
jute_take(struct jute_reader *reader, size_t bytes)
{
	if (FAL_UNLIKELY(reader->is_bad || jute_reader_left(reader) < bytes)) {
		reader->is_bad = true;
		return NULL;
	}
	const uint8_t *from = reader->at;

	/* Spares the callers' look where this is inline: they are there. */
	if (bytes > 0 && from == NULL)
		__builtin_unreachable();
	reader->at += bytes;
	return from;
}

static inline int8_t
jute_get_byte(struct jute_reader *reader)
{
	const uint8_t *from = jute_take(reader, 1);

	return from == NULL ? 0 : (int8_t)*from;
}

/* Any non-zero byte is true. */
static inline bool
jute_get_bool(struct jute_reader *reader)
{
	return jute_get_byte(reader) != 0;
}

static inline int32_t
jute_get_int(struct jute_reader *reader)
{
	const uint8_t *from = jute_take(reader, 4);

	return from == NULL ? 0 : (int32_t)be_load32(from);
}

static inline int64_t
jute_get_long(struct jute_reader *reader)
{
	const uint8_t *from = jute_take(reader, 8);

	return from == NULL ? 0 : (int64_t)be_load64(from);
}

/* A ustring or buffer. Length -1 is null; other negatives are errors. */
static inline struct jute_slice
jute_get_slice(struct jute_reader *reader)
{
	const uint8_t *from = jute_take(reader, 4);
	struct jute_slice slice = {.data = NULL, .bytes = -1};

	if (FAL_UNLIKELY(from == NULL))
		return slice;

	/* A negative length is above any limit. */
	const uint32_t bytes = be_load32(from);

	if (FAL_LIKELY(bytes <= (uint32_t)reader->slice_bytes_max &&
		       bytes <= jute_reader_left(reader))) {
		slice.data = reader->at;
		slice.bytes = (int32_t)bytes;
		reader->at += bytes;
	} else {
		reader->is_bad = bytes != UINT32_MAX;
	}
	return slice;
}

/*
 * A vector's count. -1 is null; any other negative count reads as 0 (Java
 * does so, and an empty ACL vector is then INVALIDACL, not a decoding error).
 */
static inline int32_t
jute_get_count(struct jute_reader *reader)
{
	const int32_t count = jute_get_int(reader);

	return count >= -1 ? count : 0;
}

static inline struct jute_writer
jute_writer_of(void *data, size_t bytes)
{
	uint8_t *at = data;

	return (struct jute_writer){.at = at, .end = at + bytes, .start = at};
}

static inline size_t
jute_written(const struct jute_writer *writer)
{
	return (size_t)(writer->at - writer->start);
}

/* Claims `bytes` bytes of output to be filled by the caller; NULL if full. */
static inline uint8_t *
jute_claim(struct jute_writer *writer, size_t bytes)
{
	if (FAL_UNLIKELY(writer->is_full ||
			 (size_t)(writer->end - writer->at) < bytes)) {
		writer->is_full = true;
		return NULL;
	}
	uint8_t *to = writer->at;

	/* Spares the callers' look where this is inline: there is room. */
	if (bytes > 0 && to == NULL)
		__builtin_unreachable();
	writer->at += bytes;
	return to;
}

static inline void
jute_put_bool(struct jute_writer *writer, bool v)
{
	uint8_t *to = jute_claim(writer, 1);

	if (to != NULL)
		*to = v ? 1 : 0;
}

static inline void
jute_put_int(struct jute_writer *writer, int32_t v)
{
	uint8_t *to = jute_claim(writer, 4);

	if (to != NULL)
		be_store32(to, (uint32_t)v);
}

static inline void
jute_put_long(struct jute_writer *writer, int64_t v)
{
	uint8_t *to = jute_claim(writer, 8);

	if (to != NULL)
		be_store64(to, (uint64_t)v);
}

static inline void
jute_put_raw(struct jute_writer *writer, const void *data, size_t bytes)
{
	uint8_t *to = jute_claim(writer, bytes);

	if (to != NULL && bytes > 0)
		memcpy(to, data, bytes);
}

/* A ustring or buffer; bytes -1 writes null. */
static inline void
jute_put_slice(struct jute_writer *writer, struct jute_slice slice)
{
	jute_put_int(writer, slice.bytes < 0 ? -1 : slice.bytes);
	if (slice.bytes > 0)
		jute_put_raw(writer, slice.data, (size_t)slice.bytes);
}

/* A NUL-terminated C string as ustring. */
static inline void
jute_put_cstr(struct jute_writer *writer, const char *text)
{
	const size_t bytes = strlen(text);

	jute_put_int(writer, (int32_t)bytes);
	jute_put_raw(writer, text, bytes);
}

static inline struct jute_slice
jute_slice_of(const void *data, size_t bytes)
{
	return (struct jute_slice){.data = data, .bytes = (int32_t)bytes};
}

static inline bool
jute_slice_equal(struct jute_slice a, struct jute_slice b)
{
	return a.bytes == b.bytes &&
	       (a.bytes <= 0 || memcmp(a.data, b.data, (size_t)a.bytes) == 0);
}

static inline bool
jute_slice_is(struct jute_slice slice, const char *text)
{
	return jute_slice_equal(slice, jute_slice_of(text, strlen(text)));
}

#endif
