/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words_text - answers of the four-letter words. Each is a function that
 * prints to a stream in memory; a table says which words there are. A word
 * that ZooKeeper knows but the whitelist lacks gets the refusing sentence; a
 * word that nobody knows is answered by closing.
 */
#include "server/words_text.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "drivers/clock.h"
#include "server/member.h"
#include "server/version.h"
#include "server/words_mntr.h"

#define NOT_IN_WHITELIST \
	" is not executed because it is not in the whitelist.\n"

#define NOT_SERVING "This ZooKeeper instance is not currently serving requests"

typedef void (*word_fn)(FILE *out, const struct words_ask *);

static void
put_ruok(FILE *out, const struct words_ask *ask)
{
	(void)ask;
	fputs("imok", out);
}

static void
put_isro(FILE *out, const struct words_ask *ask)
{
	const char *mode = member_mode(ask->server);

	if (mode == NULL)
		fputs("null", out);
	else
		fputs(strcmp(mode, "read-only") == 0 ? "ro" : "rw", out);
}

static void
put_version(FILE *out)
{
	fprintf(out, "Zookeeper version: %s\n", VERSION_TEXT);
}

static void
put_server_lines(FILE *out, const struct server *server)
{
	const struct stats *stats = &server->stats;
	struct summary latency = {0};

	stats_summary_gather(stats, SUMMARY_REQUEST_LATENCY, &latency);
	fprintf(out, "Latency min/avg/max: %" PRIu64 "/",
		summary_lowest(&latency));
	words_put_average(out, summary_sum(&latency), summary_count(&latency));
	fprintf(out, "/%" PRIu64 "\n", summary_highest(&latency));
	fprintf(out,
		"Received: %" PRIu64 "\nSent: %" PRIu64
		"\nConnections: %" PRIu64 "\nOutstanding: %" PRIu64
		"\nZxid: 0x%" PRIx64 "\nMode: %s\nNode count: %" PRIu64 "\n",
		stats_sum(stats, STAT_PACKETS_RECEIVED),
		stats_sum(stats, STAT_PACKETS_SENT),
		stats_sum(stats, STAT_CONNECTIONS),
		stats_sum(stats, STAT_OUTSTANDING),
		atomic_load_explicit(delta_published(server->deltas),
				     memory_order_acquire),
		words_server_state(server), words_node_count(server));
}

/* A leader shows the sizes of its proposals, too. */
static void
put_proposals(FILE *out, const struct server *server)
{
	struct summary proposal = {0};
	const char *mode = member_mode(server);

	if (mode == NULL || strcmp(mode, "leader") != 0)
		return;
	stats_summary_gather(&server->stats, SUMMARY_PROPOSAL_BYTES, &proposal);
	if (summary_count(&proposal) == 0)
		fputs("Proposal sizes last/min/max: -1/-1/-1\n", out);
	else
		fprintf(out,
			"Proposal sizes last/min/max: %" PRIu64 "/%" PRIu64
			"/%" PRIu64 "\n",
			stats_sum(&server->stats, STAT_PROPOSAL_LAST),
			summary_lowest(&proposal), summary_highest(&proposal));
}

static void
put_head(FILE *out, const struct server *server)
{
	const char *mode = member_mode(server);

	put_version(out);
	if (mode != NULL && strcmp(mode, "read-only") == 0)
		fputs("READ-ONLY mode; serving only read-only clients\n", out);
}

static void
put_srvr(FILE *out, const struct words_ask *ask)
{
	put_head(out, ask->server);
	put_server_lines(out, ask->server);
	put_proposals(out, ask->server);
}

static const struct reader_conn_row *
next_conn(const struct words_ask *ask, struct words_rows_at *at)
{
	const struct words_row *row =
		words_rows_next(ask->rows, at, WORDS_ROW_CONN);

	return row == NULL ? NULL : words_row_payload(row);
}

static void
put_row_begin(FILE *out, const struct reader_conn_row *row)
{
	char address[STREAM_ADDRESS_TEXT_MAX];

	stream_address_text(&row->peer, address);
	fprintf(out,
		" /%s[%" PRIx32 "](queued=%" PRIu64 ",recved=%" PRIu64
		",sent=%" PRIu64,
		address, row->interest, row->queued, row->received, row->sent);
}

static void
put_stat(FILE *out, const struct words_ask *ask)
{
	const struct reader_conn_row *row;
	struct words_rows_at at = {0};

	put_head(out, ask->server);
	fputs("Clients:\n", out);
	while ((row = next_conn(ask, &at)) != NULL) {
		put_row_begin(out, row);
		fputs(")\n", out);
	}
	fputc('\n', out);
	put_server_lines(out, ask->server);
	put_proposals(out, ask->server);
}

/* The names cons gives to the last operation. */
const char *
words_operation_name(int32_t op)
{
	switch (op) {
	case OP_CREATE_SESSION:
		return "SESS";
	case OP_PING:
		return "PING";
	case OP_CREATE:
	case OP_CREATE2:
	case OP_CREATE_CONTAINER:
	case OP_CREATE_TTL:
		return "CREA";
	case OP_DELETE:
		return "DELE";
	case OP_SET_DATA:
		return "SETD";
	case OP_SET_ACL:
		return "SETA";
	case OP_GET_DATA:
		return "GETD";
	case OP_GET_ACL:
		return "GETA";
	case OP_GET_CHILDREN:
	case OP_GET_CHILDREN2:
		return "GETC";
	case OP_EXISTS:
		return "EXIS";
	case OP_SYNC:
		return "SYNC";
	case OP_MULTI:
		return "MULT";
	case OP_MULTI_READ:
		return "MLTR";
	case OP_SET_WATCHES:
		return "SETW";
	case OP_SET_WATCHES2:
		return "STW2";
	case OP_ADD_WATCH:
		return "ADDW";
	case OP_CHECK_WATCHES:
		return "CHKW";
	case OP_REMOVE_WATCHES:
		return "REMW";
	case OP_RECONFIG:
		return "RECO";
	case OP_CLOSE_SESSION:
		return "CLOS";
	case OP_GET_EPHEMERALS:
		return "GETE";
	case OP_GET_ALL_CHILDREN_NUMBER:
		return "GETACN";
	case OP_WHO_AM_I:
		return "HOMI";
	default:
		return "NA";
	}
}

static void
put_cons(FILE *out, const struct words_ask *ask)
{
	const struct reader_conn_row *row;
	struct words_rows_at at = {0};

	while ((row = next_conn(ask, &at)) != NULL) {
		put_row_begin(out, row);
		if (row->session_id == 0) {
			fputs(")\n", out);
			continue;
		}
		fprintf(out,
			",sid=0x%" PRIx64 ",lop=%s,est=%" PRId64 ",to=%" PRId32,
			(uint64_t)row->session_id,
			words_operation_name(row->last_op),
			row->established_wall_ms, row->timeout_ms);
		if (row->last_cxid >= 0)
			fprintf(out, ",lcxid=0x%" PRIx32,
				(uint32_t)row->last_cxid);
		fprintf(out,
			",lzxid=0x%" PRIx64 ",lresp=%" PRIu64 ",llat=%" PRIu64
			",minlat=%" PRIu64 ",avglat=%" PRIu64 ",maxlat=%" PRIu64
			")\n",
			(uint64_t)row->last_zxid, row->last_response_ms,
			row->last_latency_ms, row->min_latency_ms,
			row->latency_count == 0
				? 0
				: row->latency_sum_ms / row->latency_count,
			row->max_latency_ms);
	}
	fputc('\n', out);
}

static void
put_conf(FILE *out, const struct words_ask *ask)
{
	const struct server *server = ask->server;
	char text[CONFIG_TEXT_BYTES];

	config_conf_text(member_view(server),
			 words_dir_bytes(server, server->data_dir.snap_dir),
			 words_dir_bytes(server, server->data_dir.log_dir),
			 text);
	fputs(text, out);
}

static void
put_dirs(FILE *out, const struct words_ask *ask)
{
	const struct server *server = ask->server;

	fprintf(out, "datadir_size: %" PRIu64 "\nlogdir_size: %" PRIu64 "\n",
		words_dir_bytes(server, server->data_dir.snap_dir),
		words_dir_bytes(server, server->data_dir.log_dir));
}

static void
put_envi(FILE *out, const struct words_ask *ask)
{
	(void)ask;
	words_put_envi(out);
}

static void
put_srst(FILE *out, const struct words_ask *ask)
{
	stats_reset(&ask->server->stats);
	fputs("Server stats reset.\n", out);
}

/* The readers have done it. */
static void
put_crst(FILE *out, const struct words_ask *ask)
{
	(void)ask;
	fputs("Connection stats reset.\n", out);
}

/* The trace mask means nothing here: it is kept for those who set it. */
static void
put_gtmk(FILE *out, const struct words_ask *ask)
{
	fprintf(out, "%" PRId64, ask->server->trace_mask);
}

static void
put_stmk(FILE *out, const struct words_ask *ask)
{
	ask->server->trace_mask = ask->argument;
	fprintf(out, "%" PRId64, ask->server->trace_mask);
}

static void
put_mntr(FILE *out, const struct words_ask *ask)
{
	words_put_mntr(out, ask->server);
}

/* Ours; ZooKeeper has no such word. */
static void
put_falc(FILE *out, const struct words_ask *ask)
{
	words_put_falc(out, ask->server);
}

/* ---- the table -------------------------------------------------------------
 */

struct word {
	char name[5];
	enum words_pass reader_pass, zab_pass;
	word_fn put;
	bool is_always; /* also when the server does not serve */
};

static const struct word words[] = {
	{.name = "ruok", .put = put_ruok, .is_always = true},
	{.name = "srvr", .put = put_srvr},
	{.name = "stat", .reader_pass = WORDS_PASS_CONNS, .put = put_stat},
	{.name = "mntr", .put = put_mntr},
	{.name = "conf", .put = put_conf},
	{.name = "cons", .reader_pass = WORDS_PASS_CONNS, .put = put_cons},
	{.name = "isro", .put = put_isro, .is_always = true},
	{.name = "dirs", .put = put_dirs},
	{.name = "srst", .put = put_srst},
	{.name = "crst",
	 .reader_pass = WORDS_PASS_RESET_CONNS,
	 .put = put_crst},
	{.name = "envi", .put = put_envi, .is_always = true},
	{.name = "dump",
	 .reader_pass = WORDS_PASS_CONNS,
	 .zab_pass = WORDS_PASS_SESSIONS,
	 .put = words_put_dump},
	{.name = "wchs",
	 .reader_pass = WORDS_PASS_WATCH_HASHES,
	 .put = words_put_wchs},
	{.name = "wchc",
	 .reader_pass = WORDS_PASS_WATCHES,
	 .put = words_put_wchc},
	{.name = "wchp",
	 .reader_pass = WORDS_PASS_WATCHES,
	 .put = words_put_wchp},
	{.name = "hash", .zab_pass = WORDS_PASS_DIGESTS, .put = words_put_hash},
	{.name = "gtmk", .put = put_gtmk, .is_always = true},
	{.name = "stmk", .put = put_stmk, .is_always = true},
	{.name = "falc", .put = put_falc, .is_always = true},
};

static const struct word *
find(uint32_t word, char name[5])
{
	be_store32(name, word);
	name[4] = 0;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (memcmp(words[i].name, name, 4) == 0)
			return &words[i];
	return NULL;
}

struct words_plan
words_plan_of(const struct server *server, uint32_t word)
{
	char name[5];
	const struct word *found = find(word, name);
	struct words_plan plan = {.reader_pass = WORDS_PASS_NONE};

	if (found == NULL || !config_word_allowed(server->config, name))
		return plan;
	plan.reader_pass = found->reader_pass;
	plan.zab_pass = found->zab_pass;
	/* One table knows by itself how many paths it has. */
	if (plan.reader_pass == WORDS_PASS_WATCH_HASHES &&
	    server->reader_count == 1)
		plan.reader_pass = WORDS_PASS_WATCH_COUNTS;
	return plan;
}

char *
words_text(const struct words_ask *ask, uint32_t word, uint32_t *bytes)
{
	char name[5];
	const struct word *found = find(word, name);
	char *text = NULL;
	size_t length = 0;

	*bytes = 0;
	if (found == NULL)
		return NULL;

	FILE *out = open_memstream(&text, &length);

	if (out == NULL)
		return NULL;
	if (!config_word_allowed(ask->server->config, name))
		fprintf(out, "%s%s", name, NOT_IN_WHITELIST);
	else if (!found->is_always && member_mode(ask->server) == NULL)
		/* hash alone ends without a newline, as ZooKeeper's does. */
		fprintf(out, NOT_SERVING "%s",
			strcmp(name, "hash") == 0 ? "" : "\n");
	else
		found->put(out, ask);

	/* A failed write means there was no memory for the text. */
	const bool is_whole = !ferror(out) && fflush(out) == 0;

	if (fclose(out) != 0 || !is_whole || length > UINT32_MAX) {
		free(text);
		return NULL;
	}
	*bytes = (uint32_t)length;
	return text;
}
