/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zab_history - one row per epoch, oldest first.
 *
 * Rows never overlap and ascend, so every question is a walk over at most
 * ZAB_ROWS_MAX rows; only appending is frequent, and it looks at the last row.
 */
#include "consensus/zab_history.h"

#include <string.h>

void
zab_history_init(struct zab_history *history, int64_t floor_zxid)
{
	memset(history, 0, sizeof(*history));
	history->floor_zxid = floor_zxid;
	history->last_zxid = floor_zxid;
}

bool
zab_history_is_sound(const struct zab_history *history)
{
	int64_t last = history->floor_zxid;

	if (history->row_count > ZAB_ROWS_MAX || last < 0)
		return false;
	for (uint32_t i = 0; i < history->row_count; i++) {
		const struct zab_row *row = &history->row[i];

		if (row->first_zxid <= last ||
		    row->last_zxid < row->first_zxid ||
		    zab_counter(row->first_zxid) == 0 ||
		    zab_epoch(row->first_zxid) != zab_epoch(row->last_zxid))
			return false;
		if (i > 0 && zab_epoch(row->first_zxid) <= zab_epoch(last))
			return false;
		last = row->last_zxid;
	}
	return history->last_zxid == last;
}

bool
zab_follows(int64_t last, int64_t zxid)
{
	if (zab_counter(zxid) == 0 || zab_counter(zxid) > ZAB_COUNTER_MAX ||
	    zab_epoch(zxid) > ZAB_EPOCH_MAX)
		return false;
	if (zab_epoch(zxid) == zab_epoch(last))
		return zxid == last + 1;
	return zab_epoch(zxid) > zab_epoch(last);
}

static void
drop_oldest_row(struct zab_history *history)
{
	history->floor_zxid = history->row[0].last_zxid;
	history->row_count--;
	memmove(&history->row[0], &history->row[1],
		history->row_count * sizeof(history->row[0]));
	memset(&history->row[history->row_count], 0, sizeof(history->row[0]));
}

static __attribute__((noinline)) void
begin_row(struct zab_history *history, int64_t first, int64_t last)
{
	struct zab_row *row;

	if (history->row_count == ZAB_ROWS_MAX)
		drop_oldest_row(history);
	row = &history->row[history->row_count++];
	row->first_zxid = first;
	row->last_zxid = last;
}

int
zab_history_append_all(struct zab_history *history, int64_t first, int64_t last)
{
	const uint32_t rows = history->row_count;

	FAL_ASSERT(first <= last);
	if (!zab_follows(history->last_zxid, first) ||
	    zab_epoch(first) != zab_epoch(last) ||
	    zab_counter(last) > ZAB_COUNTER_MAX)
		return FAL_EPROTO;
	if (FAL_LIKELY(rows > 0) &&
	    FAL_LIKELY(zab_epoch(history->row[rows - 1].last_zxid) ==
		       zab_epoch(first)))
		history->row[rows - 1].last_zxid = last;
	else
		begin_row(history, first, last);
	history->last_zxid = last;
	return 0;
}

int
zab_history_append(struct zab_history *history, int64_t zxid)
{
	return zab_history_append_all(history, zxid, zxid);
}

void
zab_history_cut(struct zab_history *history, int64_t zxid)
{
	FAL_ASSERT(zab_history_has(history, zxid));
	while (history->row_count > 0) {
		struct zab_row *row = &history->row[history->row_count - 1];

		if (row->first_zxid <= zxid) {
			row->last_zxid = zxid;
			break;
		}
		memset(row, 0, sizeof(*row));
		history->row_count--;
	}
	history->last_zxid = zxid;
	FAL_ASSERT_SLOW(zab_history_is_sound(history));
}

void
zab_history_raise_floor(struct zab_history *history, int64_t zxid)
{
	if (zxid > history->last_zxid)
		zxid = history->last_zxid;
	if (zxid <= history->floor_zxid)
		return;
	while (history->row_count > 0 && history->row[0].last_zxid <= zxid)
		drop_oldest_row(history);
	if (history->row_count > 0 && history->row[0].first_zxid <= zxid)
		history->row[0].first_zxid = zxid + 1;
	history->floor_zxid = zxid;
	FAL_ASSERT_SLOW(zab_history_is_sound(history));
}

bool
zab_history_has(const struct zab_history *history, int64_t zxid)
{
	if (zxid == history->floor_zxid)
		return true;
	for (uint32_t i = 0; i < history->row_count; i++)
		if (history->row[i].first_zxid <= zxid &&
		    zxid <= history->row[i].last_zxid)
			return true;
	return false;
}

int64_t
zab_history_last_of(const struct zab_history *history, int64_t epoch)
{
	int64_t last = zab_epoch(history->floor_zxid) <= epoch
			       ? history->floor_zxid
			       : ZAB_NO_ZXID;

	for (uint32_t i = 0; i < history->row_count; i++)
		if (zab_epoch(history->row[i].last_zxid) <= epoch)
			last = history->row[i].last_zxid;
	return last;
}

bool
zab_history_covers(const struct zab_history *history, int64_t from, int64_t to)
{
	int64_t last = history->floor_zxid;

	if (!zab_history_has(history, from) || !zab_history_has(history, to))
		return false;
	for (uint32_t i = 0; i < history->row_count; i++) {
		const struct zab_row *row = &history->row[i];
		const bool is_next =
			zab_epoch(row->first_zxid) == zab_epoch(last)
				? row->first_zxid == last + 1
				: zab_counter(row->first_zxid) == 1;

		if (row->first_zxid > from && row->first_zxid <= to && !is_next)
			return false;
		last = row->last_zxid;
	}
	return true;
}
