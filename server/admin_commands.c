/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_commands - the table of /commands and the commands that need no rows
 * of poll cores. Names, keys and their order are ZooKeeper's
 * (client-protocol.md 11.2); a recording is in tests/golden/admin/.
 */
#include "server/admin_int.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/time.h"
#include "drivers/clock.h"
#include "server/metrics.h"
#include "server/metrics_member.h"
#include "server/version.h"
#include "server/words_mntr.h"
#include "server/words_text.h"

/* ---- configuration ------------------------------------------------------- */

static void
put_configuration(struct admin_answer *answer)
{
	const struct server *server = answer->server;
	const struct config *config = server->config;
	struct json *json = answer->json;

	json_int(json, "client_port", config->client_port);
	json_text(json, "data_dir", server->data_dir.snap_dir);
	json_text(json, "data_log_dir", server->data_dir.log_dir);
	json_int(json, "tick_time", config->tick_ms);
	json_int(json, "max_client_cnxns", config->client_connections_max);
	json_int(json, "min_session_timeout", config->session_timeout_min_ms);
	json_int(json, "max_session_timeout", config->session_timeout_max_ms);
	json_int(json, "server_id", config->myid < 0 ? 0 : config->myid);
	json_int(json, "client_port_listen_backlog", config->client_backlog);
}

static const char *
shown_value(const struct property *property)
{
	return config_is_secret_key(property->key) ? "*****" : property->value;
}

/* The lines as they were understood; comments stay at home. */
static void
put_initial_configuration(struct admin_answer *answer)
{
	const struct properties *properties =
		&answer->server->config->properties;
	struct admin_text text;

	if (!admin_text_begin(&text)) {
		answer->error = "out of memory";
		return;
	}
	for (uint32_t i = 0; i < properties->count; i++)
		fprintf(text.out, "%s=%s\n", properties->property[i].key,
			shown_value(&properties->property[i]));
	if (fclose(text.out) == 0)
		json_bytes(answer->json, "initial_configuration", text.text,
			   text.bytes);
	free(text.text);
}

static const char *
without_prefix(const char *key)
{
	static const char prefix[] = "zookeeper.";
	const size_t bytes = sizeof(prefix) - 1;

	return strncmp(key, prefix, bytes) == 0 ? key + bytes : key;
}

/* Whether a line of the file, or a later flag, says it anew. */
static bool
is_overridden(const struct config *config, uint32_t flag)
{
	const char *key = without_prefix(config->flag[flag].key);

	for (uint32_t i = flag + 1; i < config->flag_count; i++)
		if (strcmp(without_prefix(config->flag[i].key), key) == 0)
			return true;
	for (uint32_t i = 0; i < config->properties.count; i++)
		if (strcmp(without_prefix(config->properties.property[i].key),
			   key) == 0)
			return true;
	return false;
}

/* -D of the command line. */
static void
put_flags(struct json *json, const struct config *config)
{
	for (uint32_t i = 0; i < config->flag_count; i++)
		if (!is_overridden(config, i))
			json_text(json, config->flag[i].key,
				  shown_value(&config->flag[i]));
}

static void
put_system_properties(struct admin_answer *answer)
{
	const struct properties *properties =
		&answer->server->config->properties;
	const struct passwd *user = getpwuid(geteuid());
	char key[300];
	char *dir = getcwd(NULL, 0);

	json_text(answer->json, "user.dir", dir == NULL ? "?" : dir);
	json_text(answer->json, "user.home", user == NULL ? "?" : user->pw_dir);
	json_text(answer->json, "user.name",
		  user == NULL ? "?" : user->pw_name);
	free(dir);
	put_flags(answer->json, answer->server->config);
	for (uint32_t i = 0; i < properties->count; i++) {
		const struct property *property = &properties->property[i];

		if (config_is_direct_key(property->key))
			continue;
		snprintf(key, sizeof(key), "zookeeper.%s",
			 without_prefix(property->key));
		json_text(answer->json, key, shown_value(property));
	}
}

/* The lines of envi. */
static void
put_environment(struct admin_answer *answer)
{
	struct admin_text text;
	char *line, *rest = NULL;

	if (!admin_text_begin(&text)) {
		answer->error = "out of memory";
		return;
	}
	words_put_envi(text.out);
	if (fclose(text.out) != 0)
		return;
	for (line = strtok_r(text.text, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest)) {
		char *equals = strchr(line, '=');

		if (equals == NULL)
			continue; /* the heading */
		*equals = 0;
		json_text(answer->json, line, equals + 1);
	}
	free(text.text);
}

static void
put_dirs(struct admin_answer *answer)
{
	const struct server *server = answer->server;

	json_uint(answer->json, "datadir_size",
		  words_dir_bytes(server, server->data_dir.snap_dir));
	json_uint(answer->json, "logdir_size",
		  words_dir_bytes(server, server->data_dir.log_dir));
}

/* ---- state --------------------------------------------------------------- */

static void
put_nothing(struct admin_answer *answer)
{
	(void)answer;
}

static void
put_trace_mask(struct admin_answer *answer)
{
	json_int(answer->json, "tracemask", answer->server->trace_mask);
}

static void
put_set_trace_mask(struct admin_answer *answer)
{
	const char *text = answer->request->trace_mask;
	char *end = NULL;
	const long long mask = strtoll(text, &end, 10);

	if (text[0] == 0) {
		answer->error = "setTraceMask requires long traceMask argument";
		return;
	}
	if (*end != 0) {
		answer->error = "traceMask is not a number";
		return;
	}
	answer->server->trace_mask = mask;
	put_trace_mask(answer);
}

static void
put_stat_reset(struct admin_answer *answer)
{
	stats_reset(&answer->server->stats);
}

/* ---- numbers ------------------------------------------------------------- */

static void
put_metric(void *arg, const char *name, const char *text)
{
	json_raw(arg, name, text);
}

static void
put_monitor(struct admin_answer *answer)
{
	json_text(answer->json, "version", VERSION_TEXT);
	json_text(answer->json, "server_state",
		  words_server_state(answer->server));
	if (metrics_peer_state(answer->server) != NULL)
		json_text(answer->json, "peer_state",
			  metrics_peer_state(answer->server));
	metrics_visit_flat(answer->server, put_metric, answer->json);
}

/* -1 while there was none, as ZooKeeper has it. */
static void
put_buffer_sizes(struct admin_answer *answer, const char *key)
{
	const struct stats *stats = &answer->server->stats;
	struct summary size = {0};
	struct json *json = answer->json;
	bool is_empty;

	stats_summary_gather(stats, SUMMARY_RESPONSE_SIZE, &size);
	is_empty = summary_count(&size) == 0;
	json_object_begin(json, key);
	json_int(json, "last_buffer_size",
		 is_empty ? -1 : (int64_t)stats_sum(stats, STAT_RESPONSE_LAST));
	json_int(json, "min_buffer_size",
		 is_empty ? -1 : (int64_t)summary_lowest(&size));
	json_int(json, "max_buffer_size",
		 is_empty ? -1 : (int64_t)summary_highest(&size));
	json_object_end(json);
}

static void
put_latencies(struct admin_answer *answer)
{
	struct summary latency = {0};
	char text[WORDS_AVERAGE_BYTES];

	stats_summary_gather(&answer->server->stats, SUMMARY_REQUEST_LATENCY,
			     &latency);
	words_average_text(text, summary_mean(&latency));
	json_raw(answer->json, "avg_latency", text);
	json_uint(answer->json, "max_latency", summary_highest(&latency));
	json_uint(answer->json, "min_latency", summary_lowest(&latency));
}

static void
put_server_stats(struct admin_answer *answer)
{
	const struct server *server = answer->server;
	const struct stats *stats = &server->stats;
	struct json *json = answer->json;

	json_text(json, "version", VERSION_TEXT);
	admin_put_is_read_only(answer);
	json_object_begin(json, "server_stats");
	json_uint(json, "packets_sent", stats_sum(stats, STAT_PACKETS_SENT));
	json_uint(json, "packets_received",
		  stats_sum(stats, STAT_PACKETS_RECEIVED));
	json_uint(json, "fsync_threshold_exceed_count",
		  stats_sum(stats, STAT_FSYNC_SLOW));
	put_buffer_sizes(answer, "client_response_stats");
	json_uint(json, "data_dir_size",
		  words_dir_bytes(server, server->data_dir.snap_dir));
	json_uint(json, "log_dir_size",
		  words_dir_bytes(server, server->data_dir.log_dir));
	json_bool(json, "provider_null", false);
	json_text(json, "server_state", words_server_state(server));
	json_uint(json, "last_processed_zxid",
		  atomic_load_explicit(delta_published(server->deltas),
				       memory_order_acquire));
	json_uint(json, "outstanding_requests",
		  stats_sum(stats, STAT_OUTSTANDING));
	put_latencies(answer);
	json_uint(json, "num_alive_client_connections",
		  stats_sum(stats, STAT_CONNECTIONS));
	json_uint(json, "uptime",
		  time_ns_to_ms(clock_now_ns() - server->start_ns));
	json_uint(json, "auth_failed_count",
		  stats_sum(stats, STAT_AUTH_FAILED));
	json_uint(json, "non_mtlsremote_conn_count", 0);
	json_uint(json, "non_mtlslocal_conn_count", 0);
	json_object_end(json);
	put_buffer_sizes(answer, "client_response");
	json_uint(json, "node_count", words_node_count(server));
}

static void
put_stats(struct admin_answer *answer)
{
	put_server_stats(answer);
	admin_put_stats_connections(answer);
}

/* ---- shedding ------------------------------------------------------------ */

static void
put_shed(struct admin_request *request, const struct words_rows *rows)
{
	struct words_rows_at at = {0};
	const struct words_row *row;
	struct admin_text text;
	struct json json;
	uint64_t count = 0;

	while ((row = words_rows_next(rows, &at, WORDS_ROW_SHED)) != NULL)
		count += row->value;
	if (!admin_text_begin(&text)) {
		admin_finish_error(request, ADMIN_ERROR, "out of memory");
		return;
	}
	json = json_to(text.out);
	json_object_begin(&json, NULL);
	json_uint(&json, "connections_shed", count);
	json_int(&json, "percentage_requested", request->percentage);
	json_text(&json, "command", request->command->name);
	json_null(&json, "error");
	json_object_end(&json);
	admin_text_finish(&text, request, ADMIN_OK, "application/json");
}

/* {"percentage": 0..100}, and no more than that. */
static bool
parse_percentage(const char *body, int *percentage)
{
	int end = 0;

	return sscanf(body, " { \"percentage\" : %d } %n", percentage, &end) ==
		       1 &&
	       end > 0 && body[end] == 0 && *percentage >= 0 &&
	       *percentage <= 100;
}

static void
start_shed(struct admin_request *request)
{
	const struct words_plan plan = {.reader_pass = WORDS_PASS_SHED};

	if (request->is_body_cut ||
	    !parse_percentage(request->body, &request->percentage))
		admin_finish_error(request, ADMIN_BAD_REQUEST,
				   "the body must be {\"percentage\": n} with "
				   "n of 0 to 100");
	else
		admin_gather(request, &plan, &request->percentage, put_shed);
}

/* ---- the table ----------------------------------------------------------- */

#define READERS(pass) .plan = {.reader_pass = WORDS_PASS_##pass}

static const struct admin_command commands[] = {
	{"configuration", {"conf", "config"}, .put = put_configuration},
	{"connection_stat_reset",
	 {"crst"},
	 READERS(RESET_CONNS),
	 .put = put_nothing,
	 .word = "crst"},
	{"connections", {"cons"}, READERS(CONNS), .put = admin_put_connections},
	{"dirs", {NULL}, .put = put_dirs},
	{"dump",
	 {NULL},
	 .plan = {.zab_pass = WORDS_PASS_SESSIONS},
	 .put = admin_put_dump},
	{"environment",
	 {"env", "envi"},
	 .put = put_environment,
	 .is_always = true},
	{"get_trace_mask", {"gtmk"}, .put = put_trace_mask, .is_always = true},
	{"hash",
	 {NULL},
	 .plan = {.zab_pass = WORDS_PASS_DIGESTS},
	 .put = admin_put_hash},
	{"initial_configuration", {"icfg"}, .put = put_initial_configuration},
	{"is_read_only", {"isro"}, .put = admin_put_is_read_only},
	{"last_snapshot", {"lsnp"}, .put = admin_put_last_snapshot},
	{"leader", {"lead"}, .put = admin_put_leader},
	{"monitor", {"mntr"}, .put = put_monitor},
	{"observer_connection_stat_reset",
	 {"orst"},
	 .put = put_nothing,
	 .word = "crst"},
	{"observers", {"obsr"}, .put = admin_put_observers},
	{"restore",
	 {"rest"},
	 .put = admin_put_restore,
	 .start = admin_start_restore,
	 .needs_auth = true,
	 .is_post = true,
	 .takes_upload = true},
	{"ruok", {NULL}, .put = put_nothing},
	{"server_stats", {"srvr"}, .put = put_server_stats},
	{"set_trace_mask", {"stmk"}, .put = put_set_trace_mask, .word = "stmk"},
	{"shed_connections",
	 {"shed"},
	 .start = start_shed,
	 .needs_auth = true,
	 .is_post = true},
	{"slow_requests", {NULL}, READERS(SLOW), .put = admin_put_slow},
	{"snapshot",
	 {"snap"},
	 .put = put_nothing,
	 .start = admin_start_snapshot,
	 .needs_auth = true},
	{"stat_reset", {"srst"}, .put = put_stat_reset, .word = "srst"},
	{"stats", {"stat"}, READERS(CONNS), .put = put_stats},
	{"system_properties",
	 {"sysp"},
	 .put = put_system_properties,
	 .is_always = true},
	{"voting_view",
	 {NULL},
	 .put = admin_put_voting_view,
	 .is_always = true},
	{"watch_summary",
	 {"wchs"},
	 READERS(WATCH_HASHES),
	 .put = admin_put_watch_summary},
	{"watches", {"wchc"}, READERS(WATCHES), .put = admin_put_watches},
	{"watches_by_path",
	 {"wchp"},
	 READERS(WATCHES),
	 .put = admin_put_watches_by_path},
	{"zabstate", {NULL}, .put = admin_put_zabstate, .is_always = true},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

const struct admin_command *
admin_command_find(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++) {
		const struct admin_command *command = &commands[i];

		if (strcmp(command->name, name) == 0)
			return command;
		for (size_t k = 0; k < 2 && command->alias[k] != NULL; k++)
			if (strcmp(command->alias[k], name) == 0)
				return command;
	}
	return NULL;
}

void
admin_put_command_list(FILE *out, const char *url)
{
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "<a href=\"%s/%s\">%s</a>\n<br/>\n", url,
			commands[i].name, commands[i].name);
}

void
admin_run_command(struct admin_request *request, const struct words_rows *rows)
{
	struct admin_text text;
	struct json json;
	struct admin_answer answer = {
		.server = (struct server *)(uintptr_t)admin_server(
			request->admin),
		.request = request,
		.rows = rows,
		.json = &json,
	};

	if (!admin_text_begin(&text)) {
		admin_finish_error(request, ADMIN_ERROR, "out of memory");
		return;
	}
	json = json_to(text.out);
	json_object_begin(&json, NULL);
	request->command->put(&answer);
	json_text(&json, "command", request->command->name);
	if (answer.error == NULL)
		json_null(&json, "error");
	else
		json_text(&json, "error", answer.error);
	json_object_end(&json);
	admin_text_finish(&text, request, ADMIN_OK, "application/json");
}
