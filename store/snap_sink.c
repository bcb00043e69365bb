/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two buffers: uncompressed bytes gather in `in`; when it is full they go
 * through the coding into `out`, which goes to the file in whole blocks. The
 * file is opened for direct writes: a snapshot of gigabytes would otherwise
 * fill the page cache, and its write-back would stand in the way of the log's
 * next write. Only the last piece may be part of a block. The pieces are small,
 * because a write of the log that comes behind one waits for all of it.
 *
 * snappy: one chunk per IN_BYTES_SNAPPY, the size snappy-java uses.
 */

#include "store/snap_sink.h"

#include <stdlib.h>
#include <string.h>

#include <snappy-c.h>
#include <zlib.h>

#include "base/be.h"
#include "base/checksum.h"

#define OUT_BYTES        (128u << 10)
#define IN_BYTES         (256u << 10)
#define IN_BYTES_SNAPPY  (32u << 10)
#define GZIP_WINDOW_BITS 31
#define GZIP_MEMORY      8
#define ALIGNMENT        DISK_BLOCK_BYTES

struct snap_sink {
	struct disk_file *file;
	enum file_coding coding;
	int err;
	uint32_t adler;
	uint8_t *in;
	size_t in_bytes, in_cap;
	uint8_t *out;
	size_t out_bytes;
	uint64_t file_at;
	z_stream deflater;
	bool has_deflater;
	uint8_t *chunk; /* snappy */
	size_t chunk_cap;
};

static int
create_coding(struct snap_sink *sink)
{
	sink->in_cap = sink->coding == FILE_SNAPPY ? IN_BYTES_SNAPPY : IN_BYTES;
	sink->in = malloc(sink->in_cap);
	sink->out = aligned_alloc(ALIGNMENT, OUT_BYTES);
	if (sink->in == NULL || sink->out == NULL)
		return FAL_ENOMEM;
	if (sink->coding == FILE_GZ) {
		sink->has_deflater =
			deflateInit2(&sink->deflater, Z_DEFAULT_COMPRESSION,
				     Z_DEFLATED, GZIP_WINDOW_BITS, GZIP_MEMORY,
				     Z_DEFAULT_STRATEGY) == Z_OK;
		return sink->has_deflater ? 0 : FAL_ENOMEM;
	}
	if (sink->coding == FILE_SNAPPY) {
		sink->chunk_cap = snappy_max_compressed_length(sink->in_cap);
		sink->chunk = malloc(sink->chunk_cap);
		return sink->chunk != NULL ? 0 : FAL_ENOMEM;
	}
	return 0;
}

/* Into the out buffer, and from there whole buffers into the file. */
static void
emit(struct snap_sink *sink, const uint8_t *data, size_t bytes)
{
	while (bytes > 0 && sink->err == 0) {
		const size_t room = OUT_BYTES - sink->out_bytes;
		const size_t step = bytes < room ? bytes : room;

		memcpy(sink->out + sink->out_bytes, data, step);
		sink->out_bytes += step;
		data += step;
		bytes -= step;
		if (sink->out_bytes < OUT_BYTES)
			return;
		sink->err = disk_write(sink->file, sink->out, OUT_BYTES,
				       sink->file_at);
		sink->file_at += OUT_BYTES;
		sink->out_bytes = 0;
	}
}

static void
emit_gz(struct snap_sink *sink, int flush)
{
	uint8_t piece[16384];
	z_stream *to = &sink->deflater;
	int result;

	to->next_in = sink->in;
	to->avail_in = (uInt)sink->in_bytes;
	do {
		to->next_out = piece;
		to->avail_out = sizeof(piece);
		result = deflate(to, flush);
		FAL_ASSERT(result != Z_STREAM_ERROR);
		emit(sink, piece, sizeof(piece) - to->avail_out);
	} while (to->avail_out == 0 && sink->err == 0);
}

static void
emit_snappy(struct snap_sink *sink)
{
	size_t bytes = sink->chunk_cap;
	uint8_t length[4];

	if (snappy_compress((const char *)sink->in, sink->in_bytes,
			    (char *)sink->chunk, &bytes) != SNAPPY_OK) {
		sink->err = FAL_EIO;
		return;
	}
	be_store32(length, (uint32_t)bytes);
	emit(sink, length, sizeof(length));
	emit(sink, sink->chunk, bytes);
}

/* Passes on what gathered. */
static void
flush(struct snap_sink *sink, bool is_end)
{
	sink->adler = checksum_adler32(sink->adler, sink->in, sink->in_bytes);
	if (sink->coding == FILE_GZ)
		emit_gz(sink, is_end ? Z_FINISH : Z_NO_FLUSH);
	else if (sink->in_bytes > 0 && sink->coding == FILE_SNAPPY)
		emit_snappy(sink);
	else
		emit(sink, sink->in, sink->in_bytes);
	sink->in_bytes = 0;
}

int
snap_sink_create(struct disk *disk, const char *path, enum file_coding coding,
		 struct snap_sink **out)
{
	static const uint8_t snappy_header[16] = {
		0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1};
	struct snap_sink *sink = calloc(1, sizeof(*sink));
	int err;

	if (sink == NULL)
		return FAL_ENOMEM;
	sink->coding = coding;
	sink->adler = CHECKSUM_ADLER32_INIT;
	err = create_coding(sink);
	if (err == 0)
		err = disk_open(disk, path,
				DISK_WRITE | DISK_CREATE | DISK_TRUNC |
					DISK_DIRECT,
				&sink->file);
	if (err != 0) {
		snap_sink_close(sink);
		return err;
	}
	if (coding == FILE_SNAPPY)
		emit(sink, snappy_header, sizeof(snappy_header));
	*out = sink;
	return 0;
}

void
snap_sink_put(struct snap_sink *sink, const void *data, size_t bytes)
{
	const uint8_t *from = data;

	while (bytes > 0 && sink->err == 0) {
		const size_t room = sink->in_cap - sink->in_bytes;
		const size_t step = bytes < room ? bytes : room;

		memcpy(sink->in + sink->in_bytes, from, step);
		sink->in_bytes += step;
		from += step;
		bytes -= step;
		if (sink->in_bytes == sink->in_cap)
			flush(sink, false);
	}
}

uint32_t
snap_sink_adler(struct snap_sink *sink)
{
	return checksum_adler32(sink->adler, sink->in, sink->in_bytes);
}

int
snap_sink_error(const struct snap_sink *sink)
{
	return sink->err;
}

int
snap_sink_finish(struct snap_sink *sink)
{
	if (sink->err == 0)
		flush(sink, true);
	if (sink->err == 0 && sink->out_bytes > 0)
		sink->err = disk_write(sink->file, sink->out, sink->out_bytes,
				       sink->file_at);
	if (sink->err == 0)
		sink->err = disk_sync(sink->file);
	return sink->err;
}

void
snap_sink_close(struct snap_sink *sink)
{
	if (sink == NULL)
		return;
	if (sink->has_deflater)
		deflateEnd(&sink->deflater);
	if (sink->file != NULL)
		disk_close(sink->file);
	free(sink->in);
	free(sink->out);
	free(sink->chunk);
	free(sink);
}
