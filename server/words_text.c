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
#include "server/version.h"
#include "server/words_mntr.h"

#define NOT_IN_WHITELIST \
	" is not executed because it is not in the whitelist.\n"

typedef void (*word_fn)(FILE *out, const struct server *,
			const struct words_rows *);

static void
put_ruok(FILE *out, const struct server *server, const struct words_rows *rows)
{
	(void)server;
	(void)rows;
	fputs("imok", out);
}

static void
put_isro(FILE *out, const struct server *server, const struct words_rows *rows)
{
	(void)server;
	(void)rows;
	fputs("rw", out);
}

/* Up to four decimals, at least one: how Java prints averages. */
void
words_put_average(FILE *out, uint64_t sum, uint64_t count)
{
	char text[64];

	snprintf(text, sizeof(text), "%.4f",
		 count == 0 ? 0.0 : (double)sum / (double)count);

	size_t length = strlen(text);

	while (length > 3 && text[length - 1] == '0' && text[length - 2] != '.')
		text[--length] = 0;
	fputs(text, out);
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
	struct summary latency = {0}, proposal = {0};
	struct tree_counts counts;

	tree_counts(server->tree, &counts);
	stats_summary_gather(stats, SUMMARY_REQUEST_LATENCY, &latency);
	stats_summary_gather(stats, SUMMARY_PROPOSAL_BYTES, &proposal);
	fprintf(out, "Latency min/avg/max: %" PRIu64 "/",
		summary_lowest(&latency));
	words_put_average(out, summary_sum(&latency), summary_count(&latency));
	fprintf(out, "/%" PRIu64 "\n", summary_highest(&latency));
	fprintf(out,
		"Received: %" PRIu64 "\nSent: %" PRIu64
		"\nConnections: %" PRIu64 "\nOutstanding: %" PRIu64
		"\nZxid: 0x%" PRIx64 "\nMode: standalone\nNode count: %" PRIu64
		"\n",
		stats_sum(stats, STAT_PACKETS_RECEIVED),
		stats_sum(stats, STAT_PACKETS_SENT),
		stats_sum(stats, STAT_CONNECTIONS),
		stats_sum(stats, STAT_OUTSTANDING),
		atomic_load_explicit(delta_published(server->deltas),
				     memory_order_acquire),
		counts.nodes);
}

static void
put_srvr(FILE *out, const struct server *server, const struct words_rows *rows)
{
	(void)rows;
	put_version(out);
	put_server_lines(out, server);
}

static void
put_row_begin(FILE *out, const struct reader_conn_row *row)
{
	char address[STREAM_ADDRESS_TEXT_MAX];

	stream_address_text(&row->peer, address);
	fprintf(out,
		" /%s[1](queued=%" PRIu64 ",recved=%" PRIu64 ",sent=%" PRIu64,
		address, row->queued, row->received, row->sent);
}

static void
put_stat(FILE *out, const struct server *server, const struct words_rows *rows)
{
	put_version(out);
	fputs("Clients:\n", out);
	for (uint32_t i = 0; i < rows->count; i++) {
		put_row_begin(out, &rows->row[i]);
		fputs(")\n", out);
	}
	fputc('\n', out);
	put_server_lines(out, server);
}

/* The names cons gives to the last operation. */
static const char *
operation_name(int32_t op)
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
put_cons(FILE *out, const struct server *server, const struct words_rows *rows)
{
	(void)server;
	for (uint32_t i = 0; i < rows->count; i++) {
		const struct reader_conn_row *row = &rows->row[i];

		put_row_begin(out, row);
		if (row->session_id == 0) {
			fputs(")\n", out);
			continue;
		}
		fprintf(out,
			",sid=0x%" PRIx64 ",lop=%s,est=%" PRId64 ",to=%" PRId32,
			(uint64_t)row->session_id, operation_name(row->last_op),
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
put_conf(FILE *out, const struct server *server, const struct words_rows *rows)
{
	char text[CONFIG_TEXT_BYTES];

	(void)rows;
	config_conf_text(server->config,
			 words_dir_bytes(server, server->data_dir.snap_dir),
			 words_dir_bytes(server, server->data_dir.log_dir),
			 text);
	fputs(text, out);
}

static void
put_dirs(FILE *out, const struct server *server, const struct words_rows *rows)
{
	(void)rows;
	fprintf(out, "datadir_size: %" PRIu64 "\nlogdir_size: %" PRIu64 "\n",
		words_dir_bytes(server, server->data_dir.snap_dir),
		words_dir_bytes(server, server->data_dir.log_dir));
}

static void
put_envi(FILE *out, const struct server *server, const struct words_rows *rows)
{
	(void)server;
	(void)rows;
	words_put_envi(out);
}

static void
put_srst(FILE *out, const struct server *server, const struct words_rows *rows)
{
	(void)rows;
	stats_reset((struct stats *)(uintptr_t)&server->stats);
	fputs("Server stats reset.\n", out);
}

static void
put_mntr(FILE *out, const struct server *server, const struct words_rows *rows)
{
	(void)rows;
	words_put_mntr(out, server);
}

/* ---- the table -------------------------------------------------------------
 */

struct word {
	char name[5];
	bool needs_rows;
	word_fn put;
};

static const struct word words[] = {
	{"ruok", false, put_ruok}, {"srvr", false, put_srvr},
	{"stat", true, put_stat},  {"mntr", false, put_mntr},
	{"conf", false, put_conf}, {"cons", true, put_cons},
	{"isro", false, put_isro}, {"dirs", false, put_dirs},
	{"srst", false, put_srst}, {"envi", false, put_envi},
};

static const struct word *
find(const struct server *server, uint32_t word, char name[5])
{
	be_store32(name, word);
	name[4] = 0;
	(void)server;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (memcmp(words[i].name, name, 4) == 0)
			return &words[i];
	return NULL;
}

bool
words_needs_rows(const struct server *server, uint32_t word)
{
	char name[5];
	const struct word *found = find(server, word, name);

	return found != NULL && found->needs_rows &&
	       config_word_allowed(server->config, name);
}

char *
words_text(const struct server *server, uint32_t word,
	   const struct words_rows *rows, uint32_t *bytes)
{
	char name[5];
	const struct word *found = find(server, word, name);
	char *text = NULL;
	size_t length = 0;

	*bytes = 0;
	if (found == NULL)
		return NULL;

	FILE *out = open_memstream(&text, &length);

	if (out == NULL)
		return NULL;
	if (config_word_allowed(server->config, name))
		found->put(out, server, rows);
	else
		fprintf(out, "%s%s", name, NOT_IN_WHITELIST);
	if (fclose(out) != 0 || length > UINT32_MAX) {
		free(text);
		return NULL;
	}
	*bytes = (uint32_t)length;
	return text;
}
