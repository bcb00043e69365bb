/* SPDX-License-Identifier: Apache-2.0 */
/* ack_times - rows in the order in which servers acknowledged first. */
#include "dataplane/ack_times.h"

void
ack_times_note(struct ack_times *times, int64_t sid, uint64_t ns)
{
	const uint32_t rows =
		atomic_load_explicit(&times->rows, memory_order_relaxed);
	uint32_t i = 0;

	while (i < rows && times->sid[i] != sid)
		i++;
	if (i == ACK_TIMES_MAX)
		return;
	hist_record(&times->hist[i], ns);
	if (i < rows)
		return;
	times->sid[i] = sid;
	/* pairs with acquire in ack_times_row() */
	atomic_store_explicit(&times->rows, rows + 1, memory_order_release);
}

const struct hist *
ack_times_row(const struct ack_times *times, uint32_t index, int64_t *sid)
{
	/* pairs with release in ack_times_note() */
	if (index >= atomic_load_explicit(&times->rows, memory_order_acquire))
		return NULL;
	*sid = times->sid[index];
	return &times->hist[index];
}
