/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recovery - store/recover.h bound to tree, sessions and prep. A fresh database
 * gets its first snapshot here, before anything can be acknowledged: logs
 * without a snapshot are refused, by Java and by us.
 */
#include "server/recovery.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/time.h"
#include "drivers/clock.h"
#include "store/recover.h"
#include "store/snapshot_job.h"

static int
take_session(void *arg, int64_t id, int32_t timeout_ms)
{
	struct server *server = arg;

	return session_add(server->sessions, id, timeout_ms,
			   time_ns_to_ms(server->start_ns)) == NULL
		       ? FAL_ENOMEM
		       : FAL_OK;
}

struct id_list {
	int64_t *id;
	uint32_t count;
};

static void
list_id(void *arg, const struct session *session)
{
	struct id_list *list = arg;

	list->id[list->count++] = session->id;
}

static void
forget_sessions(void *arg)
{
	struct server *server = arg;
	struct id_list list = {
		.id = malloc((session_count(server->sessions) + 1) *
			     sizeof(*list.id))};

	FAL_ASSERT(list.id != NULL);
	session_for_each(server->sessions, list_id, &list);
	for (uint32_t i = 0; i < list.count; i++)
		session_remove(server->sessions, list.id[i]);
	free(list.id);
}

static int
apply(void *arg, const void *entry, uint32_t bytes,
      const struct txn_header *header)
{
	struct server *server = arg;
	struct jute_reader body =
		jute_reader_of((const uint8_t *)entry + TXN_HEADER_BYTES,
			       bytes - TXN_HEADER_BYTES);
	bool matches = true;
	const int32_t timeout_ms =
		header->type == OP_CREATE_SESSION ? jute_get_int(&body) : 0;
	const int err = prep_apply(server->prep, entry, bytes, NULL, &matches);

	if (err != FAL_OK)
		return err;
	prep_publish_session(server->prep, header->type, header->session_id,
			     timeout_ms, time_ns_to_ms(server->start_ns));
	tree_publish(server->tree, header->zxid);
	return matches ? FAL_OK : RECOVER_DIGEST_DIFFERS;
}

static int
explain(struct server_error *error, int err, const char *message)
{
	snprintf(error->text, sizeof(error->text), "%s",
		 message[0] == 0 ? fal_err_str(err) : message);
	return err;
}

static int
write_first_snapshot(struct server *server)
{
	struct tree_reader *reader = tree_reader_register(server->tree);
	_Atomic uint64_t published = 0;
	struct snapshot_job *job = NULL;
	int left;

	if (reader == NULL)
		return FAL_ELIMIT;

	const struct snapshot_job_options options = {
		.disk = server->disk,
		.dir = server->data_dir.snap_dir,
		.coding = FILE_PLAIN,
		.writes_last_zxid = server->config->snap_last_zxid_enabled,
		.tree = server->tree,
		.reader = reader,
		.published = &published,
		.has_digest = server->config->digest_enabled,
		.digest = tree_published_digest(server->tree),
	};

	left = snapshot_job_create(&options, &job);
	if (left == FAL_OK)
		while ((left = snapshot_job_step(job)) > 0)
			;
	if (job != NULL)
		snapshot_job_free(job);
	tree_reader_unregister(reader);
	return left;
}

static void
say_outcome(const struct server *server, const struct recover_outcome *outcome,
	    uint64_t ms)
{
	struct tree_counts counts;

	if (outcome->message[0] != 0)
		LOG_WARN("%s", outcome->message);
	if (outcome->is_empty)
		return;
	tree_counts(server->tree, &counts);
	LOG_INFO("recovered zxid 0x%llx: snapshot 0x%llx, %llu transactions "
		 "replayed, %llu nodes, %u sessions, %llu ms",
		 (unsigned long long)outcome->last_zxid,
		 (unsigned long long)outcome->snapshot_zxid,
		 (unsigned long long)outcome->replayed,
		 (unsigned long long)counts.nodes,
		 session_count(server->sessions), (unsigned long long)ms);
}

static int
recover(struct server *server, struct server_error *error)
{
	const struct config *config = server->config;
	struct recover_options options = {
		.snap_dir = server->data_dir.snap_dir,
		.log_dir = server->data_dir.log_dir,
		.trusts_no_snapshot = config->snap_trust_empty,
		.is_digest_on = config->digest_enabled,
		.session = take_session,
		.forget_sessions = forget_sessions,
		.apply = apply,
		.arg = server,
	};
	struct recover_outcome outcome;
	int err = recover_run(server->disk, &options, server->tree, &outcome);

	if (err != FAL_OK)
		return explain(error, err, outcome.message);
	say_outcome(server, &outcome,
		    time_ns_to_ms(clock_now_ns() - server->start_ns));
	stats_summary_record(server_bg_stats(server), SUMMARY_DB_INIT_TIME,
			     time_ns_to_ms(clock_now_ns() - server->start_ns));
	stats_summary_record(server_bg_stats(server),
			     SUMMARY_STARTUP_TXNS_LOADED, outcome.replayed);
	stats_add(server_bg_stats(server), STAT_DIGEST_MISMATCHES,
		  outcome.digests_different);
	server->last_zxid = (int64_t)outcome.last_zxid;
	server->must_snapshot = outcome.must_snapshot;
	if (!outcome.is_empty)
		return FAL_OK;
	err = write_first_snapshot(server);
	if (err != FAL_OK) {
		snprintf(error->text, sizeof(error->text),
			 "cannot write the first snapshot in %s: %s",
			 server->data_dir.snap_dir, fal_err_str(err));
		return err;
	}
	return FAL_OK;
}

int
recovery_run(struct server *server, struct server_error *error)
{
	const struct config *config = server->config;
	char message[DATA_DIR_MESSAGE_BYTES] = "";
	const struct data_dir_options options = {
		.data_dir = config->data_dir,
		.log_dir = config->data_log_dir,
		.may_create = config->datadir_autocreate,
	};
	const int err = data_dir_open(server->disk, &options, &server->data_dir,
				      message);

	if (err != FAL_OK)
		return explain(error, err, message);
	server->has_data_dir = true;
	return recover(server, error);
}

void
recovery_mark_clean(struct server *server)
{
	const uint64_t zxid = (uint64_t)zab_last_zxid(server->zab);
	int err;

	if (txlog_error(server->txlog) != FAL_OK ||
	    txlog_durable_zxid(server->txlog) != zxid)
		return;
	err = recover_note_clean_stop(server->disk, server->data_dir.log_dir,
				      zxid);
	if (err != FAL_OK)
		LOG_WARN("no note of the clean stop in %s: %s",
			 server->data_dir.log_dir, fal_err_str(err));
}

void
recovery_free(struct server *server)
{
	if (server->has_data_dir)
		data_dir_close(&server->data_dir);
}
