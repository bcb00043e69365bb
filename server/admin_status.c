/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_status - /status.json, what the page shows. It is the page's own
 * format and may change with it; programs read /commands and /metrics.
 */
#include "server/admin_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "drivers/clock.h"
#include "server/admin_file.h"
#include "server/bg.h"
#include "server/version.h"
#include "server/words_mntr.h"

#define TOP_SHOWN 10u

/* ---- top lists ----------------------------------------------------------- */

struct top_line {
	const void *name;
	uint32_t bytes;
	uint64_t milli_rate;
};

static int
by_rate(const void *a, const void *b)
{
	const struct top_line *one = a, *other = b;

	return one->milli_rate > other->milli_rate
		       ? -1
		       : one->milli_rate < other->milli_rate;
}

/* Each core has a list of its own; lines of one name are added. Few enough
 * (TOP_PLACES a core) for a walk per line. */
static uint32_t
merge_top(const struct words_rows *rows, enum words_row_kind kind,
	  struct top_line *lines, uint32_t room)
{
	struct words_rows_at at = {0};
	const struct words_row *row;
	uint32_t count = 0;

	while ((row = words_rows_next(rows, &at, kind)) != NULL) {
		uint32_t i = 0;

		while (i < count &&
		       (lines[i].bytes != row->bytes ||
			memcmp(lines[i].name, words_row_payload(row),
			       row->bytes) != 0))
			i++;
		if (i == room)
			continue;
		if (i == count)
			lines[count++] = (struct top_line){
				.name = words_row_payload(row),
				.bytes = row->bytes};
		lines[i].milli_rate += row->value;
	}
	qsort(lines, count, sizeof(lines[0]), by_rate);
	return count < TOP_SHOWN ? count : TOP_SHOWN;
}

static void
put_top_line(struct json *json, const struct top_line *line, bool is_client)
{
	char text[STREAM_HOST_TEXT_MAX];

	json_object_begin(json, NULL);
	if (is_client) {
		struct stream_address host;

		FAL_ASSERT(line->bytes == sizeof(host));
		memcpy(&host, line->name, sizeof(host));
		stream_address_host(&host, text);
		json_text(json, "name", text);
	} else {
		json_bytes(json, "name", line->name, line->bytes);
		json_bool(json, "is_cut", line->bytes == TOP_NAME_BYTES);
	}
	snprintf(text, sizeof(text), "%.1f", (double)line->milli_rate / 1000);
	json_raw(json, "per_second", text);
	json_object_end(json);
}

static void
put_top(struct json *json, const char *key, const struct words_rows *rows,
	enum words_row_kind kind)
{
	struct top_line lines[TOP_PLACES * CONFIG_CORES_MAX];
	const uint32_t count =
		merge_top(rows, kind, lines, sizeof(lines) / sizeof(lines[0]));

	json_array_begin(json, key);
	for (uint32_t i = 0; i < count; i++)
		put_top_line(json, &lines[i], kind == WORDS_ROW_TOP_CLIENT);
	json_array_end(json);
}

/* ---- the rest ------------------------------------------------------------ */

static void
put_identity(struct json *json, const struct server *server)
{
	char address[STREAM_ADDRESS_TEXT_MAX], zxid[32];

	stream_address_text(&server->bound, address);
	snprintf(zxid, sizeof(zxid), "0x%" PRIx64,
		 atomic_load_explicit(delta_published(server->deltas),
				      memory_order_acquire));
	json_text(json, "version", VERSION_TEXT);
	json_text(json, "state",
		  words_server_state(server)[0] == 0
			  ? "looking for a leader"
			  : words_server_state(server));
	json_int(json, "myid",
		 server->peer == NULL ? -1 : server->config->myid);
	json_text(json, "address", address);
	json_text(json, "zxid", zxid);
	json_int(json, "wall_ms", clock_wall_ms());
	json_uint(json, "uptime_ms",
		  time_ns_to_ms(clock_now_ns() - server->start_ns));
	json_uint(json, "readers", server->reader_count);
	json_uint(json, "cores", server->core_count);
	json_text(json, "network", server->stream_name);
	json_text(json, "command_url", server->config->admin_url);
	json_bool(json, "is_synced", server->config->fsync_enabled);
}

static void
put_counts(struct json *json, const struct server *server)
{
	const struct stats *stats = &server->stats;
	struct tree_counts tree;

	tree_counts(server->tree, &tree);
	json_uint(json, "sessions", stats_sum(stats, STAT_GLOBAL_SESSIONS));
	json_uint(json, "connections", stats_sum(stats, STAT_CONNECTIONS));
	json_uint(json, "watches", stats_sum(stats, STAT_WATCHES));
	json_uint(json, "watched_paths", stats_sum(stats, STAT_WATCH_PATHS));
	json_uint(json, "nodes", words_node_count(server));
	json_uint(json, "ephemerals", tree.ephemerals);
	json_uint(json, "data_bytes", tree.data_bytes);
	json_uint(json, "outstanding", stats_sum(stats, STAT_OUTSTANDING));
	json_uint(json, "expired", stats_sum(stats, STAT_SESSIONS_EXPIRED));
	json_uint(json, "throttled", stats_sum(stats, STAT_THROTTLED_OPS));
	json_uint(json, "tree_used", tree.used_bytes);
	json_uint(json, "tree_max", server->config->tree_bytes_max);
}

static void
put_volume(struct json *json, const char *key, const struct server *server,
	   const char *dir)
{
	uint64_t total = 0, free_bytes = 0;

	json_object_begin(json, key);
	json_text(json, "dir", dir);
	json_uint(json, "used_bytes", words_dir_bytes(server, dir));
	if (admin_file_volume(dir, &total, &free_bytes) == FAL_OK) {
		json_uint(json, "total_bytes", total);
		json_uint(json, "free_bytes", free_bytes);
	}
	json_object_end(json);
}

static void
put_disk(struct json *json, const struct server *server)
{
	struct txlog_counters log;
	struct bg_snapshot_end end;

	txlog_counters(server->txlog, &log);
	bg_snapshot_last(server->bg, &end);
	put_volume(json, "log_volume", server, server->data_dir.log_dir);
	put_volume(json, "snap_volume", server, server->data_dir.snap_dir);
	json_uint(json, "log_pending_bytes",
		  txlog_pending_bytes(server->txlog));
	json_uint(json, "log_window_bytes", txlog_window_bytes(server->txlog));
	json_uint(json, "log_writes", log.writes);
	json_uint(json, "log_records", log.records);
	json_uint(json, "slow_syncs",
		  stats_sum(&server->stats, STAT_FSYNC_SLOW));
	json_object_begin(json, "snapshot");
	json_uint(json, "count", bg_snapshot_count(server->bg));
	json_bool(json, "has_ended", end.number > 0);
	json_bool(json, "is_good", end.err == FAL_OK);
	json_uint(json, "zxid", end.zxid);
	json_int(json, "wall_ms", end.wall_ms);
	json_uint(json, "took_ms", end.took_ms);
	json_object_end(json);
}

static void
put_operations(struct json *json, const struct server *server)
{
	static struct hist hist; /* large; the control thread is alone */

	json_array_begin(json, "operations");
	for (int i = 0; i < HIST_COUNT; i++) {
		const char *name = stats_hist_name((enum stat_hist)i);

		if (strcmp(name, "falconer_operation_ns") != 0)
			continue;
		hist = (struct hist){0};
		stats_hist_gather(&server->stats, (enum stat_hist)i, &hist);
		if (summary_count(&hist.summary) == 0)
			continue;
		json_object_begin(json, NULL);
		json_text(json, "name", stats_hist_label((enum stat_hist)i));
		json_uint(json, "count", summary_count(&hist.summary));
		json_uint(json, "p50_ns", hist_quantile(&hist, 0.5));
		json_uint(json, "p99_ns", hist_quantile(&hist, 0.99));
		json_uint(json, "max_ns", summary_highest(&hist.summary));
		json_object_end(json);
	}
	json_array_end(json);
}

static void
put_health(struct json *json, const struct server *server)
{
	struct health_check checks[HEALTH_CHECKS];
	const uint32_t count = health_checks(server, checks);

	json_array_begin(json, "health");
	for (uint32_t i = 0; i < count; i++) {
		json_object_begin(json, NULL);
		json_text(json, "name", checks[i].name);
		json_bool(json, "is_good", checks[i].is_good);
		json_text(json, "reason", checks[i].reason);
		json_object_end(json);
	}
	json_array_end(json);
}

static void
answer_status(struct admin_request *request, const struct words_rows *rows)
{
	const struct server *server = admin_server(request->admin);
	struct admin_text text;
	struct json json;

	if (!admin_text_begin(&text)) {
		admin_finish_plain(request, ADMIN_ERROR, "out of memory\n");
		return;
	}
	json = json_to(text.out);
	json_object_begin(&json, NULL);
	put_identity(&json, server);
	put_counts(&json, server);
	put_disk(&json, server);
	put_health(&json, server);
	put_operations(&json, server);
	put_top(&json, "top_paths", rows, WORDS_ROW_TOP_PATH);
	put_top(&json, "top_clients", rows, WORDS_ROW_TOP_CLIENT);
	json_object_begin(&json, "history");
	admin_history_put(admin_history_of(request->admin), &json,
			  strtoull(request->since, NULL, 10));
	json_object_end(&json);
	json_object_end(&json);
	admin_text_finish(&text, request, ADMIN_OK, "application/json");
}

void
admin_status(struct admin_request *request)
{
	const struct words_plan plan = {.reader_pass = WORDS_PASS_TOP};

	admin_gather(request, &plan, NULL, answer_status);
}
