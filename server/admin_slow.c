/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_slow - /commands/slow_requests, which ZooKeeper does not have: the
 * slowest requests of the last one or two minutes of all reader cores, slowest
 * first, with where their time went.
 */
#include "server/admin_int.h"

#include <stdlib.h>

#include "base/time.h"
#include "dataplane/slow.h"
#include "server/words_sorted.h"
#include "server/words_text.h"

#define SLOW_SHOWN 32u

static int
by_time(const void *a, const void *b)
{
	const struct words_row *one = words_sorted_row(a);
	const struct words_row *other = words_sorted_row(b);

	return one->value > other->value ? -1 : one->value < other->value;
}

static void
put_us(struct json *json, const char *key, uint64_t ns)
{
	char text[32];

	snprintf(text, sizeof(text), "%.1f", (double)ns / NS_PER_US);
	json_raw(json, key, text);
}

static void
put_request(struct json *json, const struct slow_request *slow)
{
	json_object_begin(json, NULL);
	json_text(json, "operation", words_operation_name(slow->op));
	if (slow->path_bytes > 0) {
		json_bytes(json, "path", slow->path,
			   slow->path_bytes < SLOW_PATH_BYTES
				   ? slow->path_bytes
				   : SLOW_PATH_BYTES);
		json_bool(json, "is_path_cut",
			  slow->path_bytes > SLOW_PATH_BYTES);
	}
	json_int(json, "session_id", slow->session_id);
	json_int(json, "xid", slow->xid);
	json_int(json, "zxid", slow->zxid);
	json_int(json, "answered", slow->wall_ms);
	put_us(json, "total_us", slow->total_ns);
	json_object_begin(json, "stages_us");
	for (uint32_t i = 0; i < LEDGER_STAGES; i++)
		put_us(json,
		       stats_hist_label(
			       (enum stat_hist)(HIST_STAGE_DECODE + i)),
		       slow->stage_ns[i]);
	json_object_end(json);
	json_object_end(json);
}

void
admin_put_slow(struct admin_answer *answer)
{
	const struct words_sorted sorted =
		words_sorted_with(answer->rows, WORDS_ROW_SLOW, by_time);

	json_array_begin(answer->json, "slow_requests");
	for (size_t i = 0; i < sorted.count && i < SLOW_SHOWN; i++)
		put_request(answer->json, words_row_payload(sorted.row[i]));
	json_array_end(answer->json);
	free(sorted.row);
}
