/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A buffer slides over the uncompressed bytes; fill() appends what the next
 * step of the coding gives: a read, a round of inflate, or one snappy chunk.
 * The checksum is brought up to date before taken bytes leave the buffer.
 *
 * snappy-java: 82 "SNAPPY" 00 | int version | int least version | (int bytes,
 * raw snappy block)*. Concatenated streams may repeat the header; Java's
 * writer does so after a flush, so a magic in place of a length is skipped.
 */

#include "store/snap_source.h"

#include <stdlib.h>
#include <string.h>

#include <snappy-c.h>
#include <zlib.h>

#include "base/be.h"
#include "base/checksum.h"

#define FIRST_BYTES 4096u
/* What is read lies in the second-level cache until it is taken and summed up;
 * a megabyte does not, and a loaded node costs 5 % more. */
#define READ_BYTES          (128u << 10)
#define INFLATE_BYTES       (256u << 10)
#define GZIP_WINDOW_BITS    31 /* 15, and a gzip header */
#define SNAPPY_HEADER_BYTES 16u
#define SNAPPY_CHUNK_MAX    (16u << 20)

static const uint8_t snappy_magic[8] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};

struct snap_source {
	struct disk_file *file;
	enum file_coding coding;
	uint64_t file_at;
	uint64_t file_bytes; /* at the start; only saves memory */
	bool is_at_end;      /* nothing more will come */
	int err;
	/* Uncompressed: [start, end) is there and not taken. */
	uint8_t *data;
	size_t start, end, cap;
	size_t summed; /* taken bytes before this are in the checksum */
	uint32_t adler;
	uint64_t taken;
	/* Compressed. */
	uint8_t *raw;
	size_t raw_cap;
	z_stream inflater;
	bool has_inflater, is_inflated;
	bool has_snappy_header;
};

int
snap_source_open(struct disk *disk, const char *path, enum file_coding coding,
		 struct snap_source **out)
{
	struct snap_source *source = calloc(1, sizeof(*source));
	int err;

	if (source == NULL)
		return FAL_ENOMEM;
	source->coding = coding;
	source->adler = CHECKSUM_ADLER32_INIT;
	source->data = malloc(FIRST_BYTES);
	source->cap = FIRST_BYTES;
	err = source->data == NULL
		      ? FAL_ENOMEM
		      : disk_open(disk, path, DISK_READ, &source->file);
	if (err == 0)
		err = disk_file_bytes(source->file, &source->file_bytes);
	if (err == 0 && coding == FILE_GZ) {
		source->raw = malloc(READ_BYTES);
		source->raw_cap = READ_BYTES;
		source->has_inflater = source->raw != NULL &&
				       inflateInit2(&source->inflater,
						    GZIP_WINDOW_BITS) == Z_OK;
		err = source->has_inflater ? 0 : FAL_ENOMEM;
	}
	if (err != 0) {
		snap_source_close(source);
		return err;
	}
	*out = source;
	return 0;
}

void
snap_source_close(struct snap_source *source)
{
	if (source == NULL)
		return;
	if (source->has_inflater)
		inflateEnd(&source->inflater);
	if (source->file != NULL)
		disk_close(source->file);
	free(source->raw);
	free(source->data);
	free(source);
}

static void
sum_up(struct snap_source *source)
{
	source->adler =
		checksum_adler32(source->adler, source->data + source->summed,
				 source->start - source->summed);
	source->summed = source->start;
}

/* Makes room for `bytes` behind the end; drops what was taken. */
static bool
make_room(struct snap_source *source, size_t bytes)
{
	sum_up(source);
	if (source->start > 0) {
		memmove(source->data, source->data + source->start,
			source->end - source->start);
		source->end -= source->start;
		source->start = 0;
		source->summed = 0;
	}
	if (source->cap - source->end < bytes) {
		const size_t cap = 2 * source->cap > source->end + bytes
					   ? 2 * source->cap
					   : source->end + bytes;
		uint8_t *larger = realloc(source->data, cap);

		if (larger == NULL) {
			source->err = FAL_ENOMEM;
			return false;
		}
		source->data = larger;
		source->cap = cap;
	}
	return true;
}

/* Reads raw file bytes; gives how many came. */
static size_t
read_raw(struct snap_source *source, void *to, size_t bytes)
{
	size_t got = 0;

	source->err = disk_read(source->file, to, bytes, source->file_at, &got);
	if (source->err != 0)
		return 0;
	source->file_at += got;
	return got;
}

static void
fill_plain(struct snap_source *source)
{
	const uint64_t left = source->file_at < source->file_bytes
				      ? source->file_bytes - source->file_at
				      : 1;
	const size_t step = left < READ_BYTES ? (size_t)left : READ_BYTES;
	size_t got;

	if (!make_room(source, step))
		return;
	got = read_raw(source, source->data + source->end, step);
	source->end += got;
	source->is_at_end = got == 0;
}

/* A file that stops inside the gzip stream gives what there is. */
static void
fill_gz(struct snap_source *source)
{
	z_stream *in = &source->inflater;
	int result;

	if (source->is_inflated || !make_room(source, INFLATE_BYTES)) {
		source->is_at_end = true;
		return;
	}
	if (in->avail_in == 0) {
		in->next_in = source->raw;
		in->avail_in = (uInt)read_raw(source, source->raw, READ_BYTES);
	}
	if (in->avail_in == 0) {
		source->is_at_end = true;
		return;
	}
	in->next_out = source->data + source->end;
	in->avail_out = INFLATE_BYTES;
	result = inflate(in, Z_NO_FLUSH);
	source->end += INFLATE_BYTES - in->avail_out;
	source->is_inflated = result == Z_STREAM_END;
	if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
		source->err = FAL_ECORRUPT;
}

/* Reads exactly so many raw bytes, or says that the file ended. */
static bool
need_raw(struct snap_source *source, void *to, size_t bytes)
{
	if (read_raw(source, to, bytes) == bytes)
		return true;
	source->is_at_end = true;
	return false;
}

/* The rest of a header whose first `known` bytes were read. */
static bool
skip_snappy_header(struct snap_source *source, uint8_t *header, size_t known)
{
	if (!need_raw(source, header + known, SNAPPY_HEADER_BYTES - known))
		return false;
	if (memcmp(header, snappy_magic, sizeof(snappy_magic)) != 0)
		source->err = FAL_ECORRUPT;
	source->has_snappy_header = source->err == 0;
	return source->err == 0;
}

static void
fill_snappy_chunk(struct snap_source *source, uint32_t bytes)
{
	size_t out_bytes = 0;

	if (bytes > source->raw_cap) {
		uint8_t *larger = realloc(source->raw, bytes);

		if (larger == NULL) {
			source->err = FAL_ENOMEM;
			return;
		}
		source->raw = larger;
		source->raw_cap = bytes;
	}
	if (!need_raw(source, source->raw, bytes))
		return;
	if (snappy_uncompressed_length((const char *)source->raw, bytes,
				       &out_bytes) != SNAPPY_OK ||
	    out_bytes > SNAPPY_CHUNK_MAX) {
		source->err = FAL_ECORRUPT;
		return;
	}
	if (!make_room(source, out_bytes))
		return;
	if (snappy_uncompress((const char *)source->raw, bytes,
			      (char *)source->data + source->end,
			      &out_bytes) != SNAPPY_OK)
		source->err = FAL_ECORRUPT;
	else
		source->end += out_bytes;
}

static void
fill_snappy(struct snap_source *source)
{
	uint8_t header[SNAPPY_HEADER_BYTES];
	uint32_t bytes;

	if (!source->has_snappy_header &&
	    !skip_snappy_header(source, header, 0))
		return;
	if (!need_raw(source, header, sizeof(bytes)))
		return;
	bytes = be_load32(header);
	if (memcmp(header, snappy_magic, sizeof(bytes)) == 0)
		skip_snappy_header(source, header, sizeof(bytes));
	else if (bytes > SNAPPY_CHUNK_MAX)
		source->err = FAL_ECORRUPT;
	else
		fill_snappy_chunk(source, bytes);
}

size_t
snap_source_peek(struct snap_source *source, size_t bytes)
{
	FAL_ASSERT(bytes <= SNAP_TAKE_MAX);
	while (source->end - source->start < bytes && !source->is_at_end &&
	       source->err == 0) {
		if (source->coding == FILE_GZ)
			fill_gz(source);
		else if (source->coding == FILE_SNAPPY)
			fill_snappy(source);
		else
			fill_plain(source);
	}
	return source->end - source->start < bytes ? source->end - source->start
						   : bytes;
}

const uint8_t *
snap_source_front(const struct snap_source *source)
{
	return source->data + source->start;
}

const uint8_t *
snap_source_take(struct snap_source *source, size_t bytes)
{
	const uint8_t *data;

	if (FAL_UNLIKELY(source->end - source->start < bytes) &&
	    snap_source_peek(source, bytes) < bytes)
		return NULL;
	data = source->data + source->start;
	source->start += bytes;
	source->taken += bytes;
	return data;
}

uint32_t
snap_source_adler(struct snap_source *source)
{
	sum_up(source);
	return source->adler;
}

uint64_t
snap_source_offset(const struct snap_source *source)
{
	return source->taken;
}

void
snap_source_progress(const struct snap_source *source, uint64_t *done,
		     uint64_t *total)
{
	*done = source->coding == FILE_PLAIN ? source->taken : source->file_at;
	*total = source->file_bytes;
}

int
snap_source_error(const struct snap_source *source)
{
	return source->err;
}
