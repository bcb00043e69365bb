/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_lists - commands that are made of collected rows. What the words print
 * in blocks is objects and arrays here; the sorting is shared with them
 * (words_sorted.h).
 */
#include "server/admin_int.h"

#include <inttypes.h>
#include <stdlib.h>

#include "server/core.h"
#include "server/words_sorted.h"
#include "server/words_text.h"
#include "znode/watch.h"

/* ---- connections --------------------------------------------------------- */

static void
put_brief(struct json *json, const struct reader_conn_row *conn)
{
	char address[STREAM_ADDRESS_TEXT_MAX];

	stream_address_text(&conn->peer, address);
	json_text(json, "remote_socket_address", address);
	json_uint(json, "interest_ops", conn->interest);
	json_uint(json, "outstanding_requests", conn->queued);
	json_uint(json, "packets_received", conn->received);
	json_uint(json, "packets_sent", conn->sent);
}

/* Without a session ZooKeeper's keys end there too. */
static void
put_full(struct json *json, const struct reader_conn_row *conn)
{
	put_brief(json, conn);
	if (conn->session_id == 0)
		return;
	json_int(json, "session_id", conn->session_id);
	json_text(json, "last_operation", words_operation_name(conn->last_op));
	json_int(json, "established", conn->established_wall_ms);
	json_int(json, "session_timeout", conn->timeout_ms);
	json_int(json, "last_cxid", conn->last_cxid);
	json_int(json, "last_zxid", conn->last_zxid);
	json_uint(json, "last_response_time", conn->last_response_ms);
	json_uint(json, "last_latency", conn->last_latency_ms);
	json_uint(json, "min_latency", conn->min_latency_ms);
	json_uint(json, "avg_latency",
		  conn->latency_count == 0
			  ? 0
			  : conn->latency_sum_ms / conn->latency_count);
	json_uint(json, "max_latency", conn->max_latency_ms);
}

static void
put_connections(struct admin_answer *answer,
		void (*put)(struct json *, const struct reader_conn_row *))
{
	struct words_rows_at at = {0};
	const struct words_row *row;
	struct json *json = answer->json;

	json_array_begin(json, "connections");
	while ((row = words_rows_next(answer->rows, &at, WORDS_ROW_CONN)) !=
	       NULL) {
		json_object_begin(json, NULL);
		put(json, words_row_payload(row));
		json_object_end(json);
	}
	json_array_end(json);
	json_array_begin(json, "secure_connections");
	json_array_end(json);
}

void
admin_put_connections(struct admin_answer *answer)
{
	put_connections(answer, put_full);
}

void
admin_put_stats_connections(struct admin_answer *answer)
{
	put_connections(answer, put_brief);
}

/* ---- sessions ------------------------------------------------------------ */

static void
put_expiries(struct json *json, const struct words_rows *rows)
{
	const struct words_sorted sessions =
		words_sorted_by_value(rows, WORDS_ROW_SESSION);
	char key[32];

	json_object_begin(json, "expiry_time_to_session_ids");
	for (size_t i = 0; i < sessions.count; i++) {
		const struct words_row *row = sessions.row[i];

		if (i == 0 || row->value != sessions.row[i - 1]->value) {
			if (i > 0)
				json_array_end(json);
			snprintf(key, sizeof(key), "%" PRIu64, row->value);
			json_array_begin(json, key);
		}
		json_int(json, NULL, row->id);
	}
	if (sessions.count > 0)
		json_array_end(json);
	json_object_end(json);
	free(sessions.row);
}

/* "session": [ paths ] of sorted rows that carry paths. */
static void
put_paths_by_session(struct json *json, const char *name,
		     const struct words_sorted *sorted)
{
	char key[32];

	json_object_begin(json, name);
	for (size_t i = 0; i < sorted->count; i++) {
		const struct words_row *row = sorted->row[i];

		if (words_sorted_is_new_session(sorted, i)) {
			if (i > 0)
				json_array_end(json);
			snprintf(key, sizeof(key), "%" PRId64, row->id);
			json_array_begin(json, key);
		}
		json_bytes(json, NULL, words_row_payload(row), row->bytes);
	}
	if (sorted->count > 0)
		json_array_end(json);
	json_object_end(json);
}

void
admin_put_dump(struct admin_answer *answer)
{
	const struct words_sorted nodes =
		words_sorted_by_session(answer->rows, WORDS_ROW_EPHEMERAL);

	put_expiries(answer->json, answer->rows);
	put_paths_by_session(answer->json, "session_id_to_ephemeral_paths",
			     &nodes);
	free(nodes.row);
}

/* ---- watches ------------------------------------------------------------- */

/* Paths of watches are kept when somebody may want to list them. */
static bool
has_paths(struct admin_answer *answer)
{
	if (core_keeps_watch_paths(answer->server->config))
		return true;
	answer->error = "the paths of watches are not kept: allow wchc or wchp "
			"in 4lw.commands.whitelist, or set "
			"admin.enableServer=true";
	return false;
}

void
admin_put_watches(struct admin_answer *answer)
{
	const struct words_sorted watches =
		words_sorted_by_session(answer->rows, WORDS_ROW_WATCH);

	if (has_paths(answer))
		put_paths_by_session(answer->json,
				     "session_id_to_watched_paths", &watches);
	free(watches.row);
}

void
admin_put_watches_by_path(struct admin_answer *answer)
{
	const struct words_sorted watches =
		words_sorted_by_path(answer->rows, WORDS_ROW_WATCH);
	struct json *json = answer->json;

	if (!has_paths(answer)) {
		free(watches.row);
		return;
	}
	json_object_begin(json, "path_to_session_ids");
	for (size_t i = 0; i < watches.count; i++) {
		const struct words_row *row = watches.row[i];

		if (words_sorted_is_new_path(&watches, i)) {
			if (i > 0)
				json_array_end(json);
			json_array_begin_bytes(json, words_row_payload(row),
					       row->bytes);
		}
		json_int(json, NULL, row->id);
	}
	if (watches.count > 0)
		json_array_end(json);
	json_object_end(json);
	free(watches.row);
}

void
admin_put_watch_summary(struct admin_answer *answer)
{
	const struct watch_counts sum =
		words_watch_summary(answer->rows, answer->server->reader_count);

	json_uint(answer->json, "num_connections", sum.data_conns);
	json_uint(answer->json, "num_paths", sum.data_paths);
	json_uint(answer->json, "num_total_watches", sum.data_watches);
}

/* ---- digests ------------------------------------------------------------- */

void
admin_put_hash(struct admin_answer *answer)
{
	struct words_rows_at at = {0};
	const struct words_row *row;
	struct json *json = answer->json;
	const bool is_on = answer->server->config->digest_enabled;

	json_array_begin(json, "digests");
	while (is_on && (row = words_rows_next(answer->rows, &at,
					       WORDS_ROW_DIGEST)) != NULL) {
		json_object_begin(json, NULL);
		json_int(json, "zxid", row->id);
		json_int(json, "digest", (int64_t)row->value);
		json_int(json, "digest_version", 2);
		json_object_end(json);
	}
	json_array_end(json);
}
