/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_WORDS_ROWS_H
#define FALCONER_SERVER_WORDS_ROWS_H

/*
 * words_rows - what poll cores collect for a four-letter word, in chunks.
 *
 * A poll core must not allocate, and nobody knows beforehand how much there
 * will be. So the control thread provides a chunk, a core fills it and hands
 * it back when a row does not fit, and gets a further one.
 *
 *   chunk: row | payload, padded to 8 | row | payload | ...
 *
 * Context    words_rows_put(): the core that has the job. All else: the
 *            control thread.
 * Limits     a row's payload is below 4 GiB; the sum is the caller's to bound.
 */

#include "base/fal.h"

enum words_row_kind {
	WORDS_ROW_CONN,         /* payload: struct reader_conn_row */
	WORDS_ROW_WATCH,        /* id: session; payload: path */
	WORDS_ROW_WATCH_COUNTS, /* payload: struct watch_counts */
	WORDS_ROW_WATCH_PATH,   /* value: hash of a path with data watches */
	WORDS_ROW_SESSION,      /* id: session; value: monotonic ms of expiry */
	WORDS_ROW_EPHEMERAL,    /* id: session; payload: path */
	WORDS_ROW_DIGEST,       /* id: zxid; value: digest of the tree */
	WORDS_ROW_TOP_PATH,     /* value: thousandths of requests a second; */
	WORDS_ROW_TOP_CLIENT,   /* id: of these perhaps others'; payload: path,
				   or struct stream_address */
	WORDS_ROW_PERMITTED,    /* value: 0 or 1 */
	WORDS_ROW_SHED,         /* value: connections closed */
	WORDS_ROW_SLOW,         /* value: ns; payload: struct slow_request */
};

struct words_row {
	uint32_t kind;  /* enum words_row_kind */
	uint32_t bytes; /* of the payload, which follows */
	int64_t id;
	uint64_t value;
};

_Static_assert(sizeof(struct words_row) % 8 == 0, "payloads are aligned");

struct words_chunk {
	struct words_chunk *next;
	uint32_t cap, used;
	uint64_t data[]; /* 8-byte aligned */
};

/* All zero is an empty list. */
struct words_rows {
	struct words_chunk *first, *last;
	uint32_t wanted; /* room for the row that did not fit */
	uint64_t bytes;  /* of all chunks */
};

static inline const void *
words_row_payload(const struct words_row *row)
{
	return row + 1;
}

/* Appends a chunk for the row that did not fit, or of the usual size. Returns
 * its bytes, 0: no memory. */
FAL_MUST_CHECK uint64_t words_rows_grow(struct words_rows *);
void words_rows_free(struct words_rows *);

/* Appends a row with a copy of the payload. False: the chunk is full (or there
 * is none), nothing happened. */
bool words_rows_put(struct words_rows *, const struct words_row *row,
		    const void *payload);

/* A place in the list; all zero is its start. */
struct words_rows_at {
	const struct words_chunk *chunk;
	uint32_t used;
	bool has_begun;
};

/* The next row of that kind; NULL: no more. */
const struct words_row *words_rows_next(const struct words_rows *,
					struct words_rows_at *,
					enum words_row_kind);

/* All rows of a kind as a malloc'ed array, given to the caller; *count of them.
 * NULL: no memory. */
const struct words_row **words_rows_array(const struct words_rows *,
					  enum words_row_kind, size_t *count);

#endif
