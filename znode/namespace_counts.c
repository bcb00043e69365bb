/* SPDX-License-Identifier: Apache-2.0 */
/*
 * namespace_counts - rows in the order in which their names were met. A new row
 * is written whole before its number is published.
 */
#include "znode/namespace_counts.h"

#include <string.h>

static struct jute_slice
top_namespace(struct jute_slice path)
{
	if (path.bytes < 2 || path.data[0] != '/')
		return jute_slice_of(NULL, 0);
	const size_t bytes = (size_t)path.bytes - 1;
	const uint8_t *slash = memchr(path.data + 1, '/', bytes);

	return jute_slice_of(path.data + 1,
			     slash == NULL ? bytes
					   : (size_t)(slash - path.data) - 1);
}

static struct jute_slice
name_of_row(const struct namespace_row *row)
{
	return jute_slice_of(row->name, row->name_bytes);
}

static struct namespace_row *
find_row(struct namespace_counts *counts, uint32_t rows, struct jute_slice name)
{
	for (uint32_t i = 0; i < rows; i++)
		if (jute_slice_equal(name_of_row(&counts->row[i]), name))
			return &counts->row[i];
	return NULL;
}

/* There is a place for it: the last one is kept for the others. */
static struct namespace_row *
add_row(struct namespace_counts *counts, uint32_t rows, struct jute_slice name)
{
	struct namespace_row *row = &counts->row[rows];

	FAL_ASSERT(rows < NAMESPACE_ROWS_MAX);
	row->name_bytes = (uint32_t)name.bytes;
	memcpy(row->name, name.data, row->name_bytes);
	/* pairs with acquire in namespace_counts_row() */
	atomic_store_explicit(&counts->rows, rows + 1, memory_order_release);
	return row;
}

void
namespace_counts_add(struct namespace_counts *counts, struct jute_slice path,
		     int64_t n)
{
	const struct jute_slice others =
		jute_slice_of(NAMESPACE_OTHERS, sizeof(NAMESPACE_OTHERS) - 1);
	const uint32_t rows =
		atomic_load_explicit(&counts->rows, memory_order_relaxed);
	struct jute_slice name = top_namespace(path);
	struct namespace_row *row;

	if (name.bytes == 0)
		return;
	if (name.bytes > (int32_t)NAMESPACE_BYTES_MAX)
		name = others;
	row = find_row(counts, rows, name);
	if (row == NULL && rows >= NAMESPACE_ROWS_MAX - 1) {
		name = others;
		row = find_row(counts, rows, name);
	}
	if (row == NULL)
		row = add_row(counts, rows, name);
	/* Load and store instead of a locked add: there is one writer. */
	const uint64_t count = (uint64_t)atomic_load_explicit(
		&row->count, memory_order_relaxed);

	atomic_store_explicit(&row->count, (int64_t)(count + (uint64_t)n),
			      memory_order_relaxed);
}

bool
namespace_counts_row(const struct namespace_counts *counts, uint32_t index,
		     struct jute_slice *name, int64_t *count)
{
	/* pairs with release in namespace_counts_add() */
	const uint32_t rows =
		atomic_load_explicit(&counts->rows, memory_order_acquire);

	if (index >= rows)
		return false;
	*name = name_of_row(&counts->row[index]);
	*count = atomic_load_explicit(&counts->row[index].count,
				      memory_order_relaxed);
	return true;
}
