/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words_rows - chunks of rows: appended at the end, read from the start.
 */
#include "server/words_rows.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES (64u << 10)

static uint32_t
padded(uint32_t bytes)
{
	return (bytes + 7u) & ~7u;
}

uint64_t
words_rows_grow(struct words_rows *rows)
{
	const uint32_t cap =
		rows->wanted > CHUNK_BYTES ? rows->wanted : CHUNK_BYTES;
	struct words_chunk *chunk = malloc(sizeof(*chunk) + cap);

	if (chunk == NULL)
		return 0;
	*chunk = (struct words_chunk){.cap = cap};
	if (rows->last == NULL)
		rows->first = chunk;
	else
		rows->last->next = chunk;
	rows->last = chunk;
	rows->wanted = 0;
	rows->bytes += cap;
	return cap;
}

void
words_rows_free(struct words_rows *rows)
{
	while (rows->first != NULL) {
		struct words_chunk *chunk = rows->first;

		rows->first = chunk->next;
		free(chunk);
	}
	*rows = (struct words_rows){0};
}

bool
words_rows_put(struct words_rows *rows, const struct words_row *row,
	       const void *payload)
{
	struct words_chunk *chunk = rows->last;
	const uint32_t bytes = (uint32_t)sizeof(*row) + padded(row->bytes);

	if (chunk == NULL || chunk->cap - chunk->used < bytes) {
		rows->wanted = bytes;
		return false;
	}

	uint8_t *at = (uint8_t *)chunk->data + chunk->used;

	memcpy(at, row, sizeof(*row));
	if (row->bytes > 0)
		memcpy(at + sizeof(*row), payload, row->bytes);
	chunk->used += bytes;
	return true;
}

const struct words_row *
words_rows_next(const struct words_rows *rows, struct words_rows_at *at,
		enum words_row_kind kind)
{
	if (!at->has_begun) {
		at->has_begun = true;
		at->chunk = rows->first;
	}
	while (at->chunk != NULL) {
		if (at->used == at->chunk->used) {
			at->chunk = at->chunk->next;
			at->used = 0;
			continue;
		}

		const struct words_row *row =
			(const void *)&at->chunk->data[at->used / 8];

		at->used += (uint32_t)sizeof(*row) + padded(row->bytes);
		if (row->kind == (uint32_t)kind)
			return row;
	}
	return NULL;
}

const struct words_row **
words_rows_array(const struct words_rows *rows, enum words_row_kind kind,
		 size_t *count)
{
	struct words_rows_at at = {0};
	const struct words_row **array;
	size_t n = 0;

	while (words_rows_next(rows, &at, kind) != NULL)
		n++;
	array = malloc((n + 1) * sizeof(*array));
	if (array == NULL)
		return NULL;
	at = (struct words_rows_at){0};
	for (size_t i = 0; i < n; i++)
		array[i] = words_rows_next(rows, &at, kind);
	*count = n;
	return array;
}
