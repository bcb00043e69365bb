/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recovery - the start. A fresh database gets its first snapshot here, before
 * anything can be acknowledged: logs without a snapshot are refused, by Java
 * and by us.
 *
 * An empty disk may be that of a member whose disk was emptied. So a voter asks
 * the others before it votes (consensus/genesis.h), unless the operator has put
 * the file `initialize` there; that it began empty is the first thing on the
 * disk. With zookeeper.db.autocreate=false it does not even ask: it waits for a
 * leader, with a mark that it must not vote.
 */
#include "server/recovery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/time.h"
#include "drivers/clock.h"
#include "server/config_file.h"
#include "server/prefault.h"
#include "store/small_file.h"
#include "store/snapshot_job.h"

#define INITIALIZE_NAME "initialize"
#define EMPTY_REASON \
	"the data directory was empty and zookeeper.db.autocreate is false"
#define GONE_REASON                                                 \
	"the data directory was emptied but for falconer.genesis, " \
	"which says that there were data"
#define REGISTER_REASON "falconer.genesis cannot be understood"
#define DIRTY_REASON \
	"the machine stopped while the server ran with forceSync=no"

static int
explain(struct server_error *error, int err, const char *message)
{
	return server_explain(error, err, "%s",
			      message[0] == 0 ? fal_err_str(err) : message);
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

static void
count_outcome(struct server *server, const struct restore_result *found)
{
	const struct recover_outcome *outcome = &found->outcome;
	struct stats_core *stats = server_bg_stats(server);

	stats_summary_record(stats, SUMMARY_DB_INIT_TIME,
			     time_ns_to_ms(clock_now_ns() - server->start_ns));
	stats_summary_record(stats, SUMMARY_STARTUP_SNAP_TIME,
			     found->snapshot_ms);
	stats_summary_record(stats, SUMMARY_STARTUP_TXNS_TIME,
			     found->replay_ms);
	stats_summary_record(stats, SUMMARY_STARTUP_TXNS_LOADED,
			     outcome->replayed);
	stats_add(stats, STAT_DIGEST_MISMATCHES, outcome->digests_different);
}

static int
start_empty(struct server *server, struct server_error *error)
{
	const int err = write_first_snapshot(server);

	if (err != FAL_OK)
		snprintf(error->text, sizeof(error->text),
			 "cannot write the first snapshot in %s: %s",
			 server->data_dir.snap_dir, fal_err_str(err));
	return err;
}

struct restore
recovery_restore(struct server *server)
{
	const struct config *config = server->config;

	return (struct restore){
		.disk = server->disk,
		.snap_dir = server->data_dir.snap_dir,
		.log_dir = server->data_dir.log_dir,
		.tree = server->tree,
		.sessions = server->sessions,
		.prep = server->prep,
		.is_member = !config->is_standalone,
		.is_digest_on = config->digest_enabled,
		.trusts_no_snapshot = config->snap_trust_empty,
	};
}

/* ---- a member of an ensemble ----------------------------------------------
 */

static int
mark(struct server *server, const char *reason)
{
	struct restore_result *found = &server->member->found;

	found->is_nonvoting = true;
	snprintf(found->reason, sizeof(found->reason), "%s", reason);
	return vote_mark_write(server->disk, server->data_dir.snap_dir, reason);
}

/* *is_there: the operator has put it there. */
static int
find_initialize(struct server *server, char path[FILE_PATH_MAX], bool *is_there)
{
	struct disk_info info;
	int err =
		file_path(path, server->config->data_log_dir, INITIALIZE_NAME);

	if (err == FAL_OK)
		err = disk_info(server->disk, path, &info);
	*is_there = err == FAL_OK;
	return err == FAL_ENOENT ? FAL_OK : err;
}

/* A register that cannot be understood may have held promises. */
static int
read_genesis(struct server *server)
{
	struct genesis_state *genesis = &server->member->genesis;
	int err = genesis_file_read(server->disk, server->data_dir.snap_dir,
				    genesis);

	if (err == FAL_ENOENT)
		return FAL_OK;
	if (err != FAL_ECORRUPT)
		return err;
	LOG_ERROR("%s/" GENESIS_FILE_NAME " cannot be understood",
		  server->data_dir.snap_dir);
	*genesis = (struct genesis_state){.began = GENESIS_EMPTY};
	return server->config->recover_accepts_loss
		       ? FAL_OK
		       : mark(server, REGISTER_REASON);
}

static int
note_began(struct server *server, enum genesis_began began)
{
	struct genesis_state *genesis = &server->member->genesis;

	genesis->began = began;
	return genesis_file_write(server->disk, server->data_dir.snap_dir,
				  genesis);
}

/* The operator's word for a server with nothing, or, to accept a loss, with
 * what an unfinished leader sent. */
static bool
is_vouched(const struct server *server, bool has_initialize)
{
	const struct recovery_member *member = server->member;
	const bool is_unfinished = member->genesis.began == GENESIS_EMPTY &&
				   !member->genesis.is_member;
	const bool has_nothing =
		member->found.outcome.is_empty ||
		(is_unfinished && member->found.outcome.last_zxid == 0);

	return (has_initialize && has_nothing) ||
	       (server->config->recover_accepts_loss &&
		(has_nothing || is_unfinished));
}

/* What to do with nothing: ask the others, or wait for a leader. */
static int
start_member_with_nothing(struct server *server, struct server_error *error)
{
	const struct genesis_state *genesis = &server->member->genesis;
	const bool had_more = genesis->promised != 0 || genesis->is_member;
	int err = FAL_OK;

	if (genesis->began == GENESIS_WITH_DATA && !genesis->is_member)
		err = note_began(server, GENESIS_EMPTY);
	if (err != FAL_OK || server->member->found.is_nonvoting)
		return err;
	if (had_more || !server->config->db_autocreate)
		return mark(server, had_more ? GONE_REASON : EMPTY_REASON);
	return start_empty(server, error);
}

/* `initialize` goes when it has done its work. An observer has no vote to lose.
 */
static int
start_member_empty(struct server *server, struct server_error *error)
{
	const bool is_empty = server->member->found.outcome.is_empty;
	const bool is_observer = server->config->peer_type == CONFIG_OBSERVER;
	char path[FILE_PATH_MAX];
	bool is_there = false, may_vote;
	int err = find_initialize(server, path, &is_there);

	if (err == FAL_OK)
		err = read_genesis(server);
	if (err != FAL_OK)
		return err;
	may_vote = is_vouched(server, is_there);
	if (may_vote && !is_observer)
		err = note_began(server, GENESIS_VOUCHED);
	if (err == FAL_OK && is_empty &&
	    (may_vote || (is_observer && server->config->db_autocreate)))
		err = start_empty(server, error);
	else if (err == FAL_OK && is_empty)
		err = start_member_with_nothing(server, error);
	if (err == FAL_OK && is_there)
		err = disk_unlink(server->disk, path);
	return err;
}

/* Without syncs a crash of the machine may have lost what was acknowledged. */
static int
check_dirty(struct server *server)
{
	char boot_id[VOTE_BOOT_ID_BYTES + 1] = "";
	const char *dir = server->data_dir.snap_dir;
	bool is_lost = false;
	/* Of this machine, whatever disk the data is on. */
	int err =
		small_file_read(disk_posix(), VOTE_BOOT_ID_DIR,
				VOTE_BOOT_ID_NAME, boot_id, VOTE_BOOT_ID_BYTES);

	if (err == FAL_OK)
		err = vote_dirty_check(server->disk, dir, boot_id, &is_lost);
	if (err == FAL_OK && is_lost && !server->member->found.is_nonvoting &&
	    !server->config->recover_accepts_loss)
		err = mark(server, DIRTY_REASON);
	if (err == FAL_OK)
		err = server->config->fsync_enabled
			      ? vote_dirty_remove(server->disk, dir)
			      : vote_dirty_write(server->disk, dir, boot_id);
	return err;
}

/* `.dynamic.next` was written and not activated before the stop. */
static int
read_next_config(struct server *server)
{
	struct recovery_member *member = server->member;
	int err;

	if (!server->config->reconfig_enabled)
		return FAL_OK;
	err = config_file_read_next(
		server->disk, server->config->path, member->next_text,
		sizeof(member->next_text) - 1, &member->next_version);
	member->has_next = err == FAL_OK;
	return err == FAL_ENOENT ? FAL_OK : err;
}

static int
start_member(struct server *server, struct server_error *error)
{
	struct recovery_member *member = server->member;
	const struct restore_result *found = &member->found;
	char message[EPOCH_MESSAGE_BYTES] = "";
	int err = start_member_empty(server, error);

	if (err == FAL_OK)
		err = check_dirty(server);
	if (err == FAL_OK)
		err = read_next_config(server);
	if (err == FAL_OK)
		err = epoch_pair_start(server->disk, server->data_dir.snap_dir,
				       found->outcome.last_zxid,
				       &member->epochs, message);
	if (err != FAL_OK && error->text[0] == '\0')
		return explain(error, err, message);
	member->has_history = member->genesis.began == GENESIS_WITH_DATA
				      ? !found->outcome.is_empty
				      : found->outcome.last_zxid > 0 ||
						member->epochs.current > 0;
	if (err == FAL_OK && found->is_nonvoting)
		LOG_WARN("this server does not vote until a leader has "
			 "synchronised it: %s",
			 found->reason);
	return err;
}

void
recovery_disk_state(const struct server *server, struct zab_disk_state *out)
{
	const struct recovery_member *member = server->member;

	*out = (struct zab_disk_state){
		.accepted_epoch = member->epochs.accepted,
		.current_epoch = member->epochs.current,
		.history = &member->found.history,
		.is_nonvoting = member->found.is_nonvoting,
	};
}

/* ---- a server that is alone -------------------------------------------------
 */

/* With zookeeper.db.autocreate=false nothing is begun without the operator's
 * word; `initialize` goes when it has done its work. */
static int
start_alone(struct server *server, bool is_empty, struct server_error *error)
{
	const bool needs_word = !server->config->db_autocreate;
	char path[FILE_PATH_MAX];
	bool is_there = false;
	int err = find_initialize(server, path, &is_there);

	if (err != FAL_OK)
		return err;
	if (is_empty && needs_word && !is_there) {
		snprintf(error->text, sizeof(error->text),
			 "%s: put a file " INITIALIZE_NAME
			 " into %s if it never held anything",
			 EMPTY_REASON, server->config->data_log_dir);
		return FAL_ENOENT;
	}
	if (is_empty)
		err = start_empty(server, error);
	if (err == FAL_OK && is_there)
		err = disk_unlink(server->disk, path);
	return err;
}

/* ---- all servers ------------------------------------------------------------
 */

static int
recover(struct server *server, struct server_error *error)
{
	struct restore restore = recovery_restore(server);
	struct restore_result *found = &server->member->found;
	struct prefault prefault;
	const struct recover_outcome *outcome = &found->outcome;
	int err;

	restore.accepts_loss = server->config->recover_accepts_loss;
	restore.ignores_digest = server->config->recover_ignores_digest;
	restore.until_zxid = server->config->recover_until;
	prefault_start(&prefault, server->tree);
	err = restore_run(&restore, found);
	prefault_stop(&prefault);
	if (restore.accepts_loss || restore.ignores_digest ||
	    restore.until_zxid != 0)
		LOG_WARN("falconer.recover.* is set: take it out of %s again, "
			 "it is meant for one start",
			 server->config->path);
	if (err != FAL_OK)
		return explain(error, err, outcome->message);
	say_outcome(server, outcome,
		    time_ns_to_ms(clock_now_ns() - server->start_ns));
	count_outcome(server, found);
	server->last_zxid = (int64_t)outcome->last_zxid;
	/* What a member has recovered may never have been committed: no
	 * snapshot of that (H1). */
	server->must_snapshot = outcome->must_snapshot && !restore.is_member;
	if (restore.is_member)
		return start_member(server, error);
	return start_alone(server, outcome->is_empty, error);
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
	server->member = calloc(1, sizeof(*server->member));
	if (server->member == NULL)
		return explain(error, FAL_ENOMEM, "");
	return recover(server, error);
}

/* Of a server that did not sync: with the note it counts again at the next
 * start. */
static void
forget_dirty(struct server *server)
{
	if (server->config->is_standalone || server->config->fsync_enabled)
		return;
	if (vote_dirty_remove(server->disk, server->data_dir.snap_dir) !=
	    FAL_OK)
		LOG_WARN("%s/" VOTE_DIRTY_NAME " cannot be removed",
			 server->data_dir.snap_dir);
}

void
recovery_mark_clean(struct server *server)
{
	const uint64_t zxid = (uint64_t)zab_last_zxid(server->zab);
	const bool is_written = !txlog_is_volatile(server->txlog);
	int err = FAL_OK;

	if (txlog_error(server->txlog) != FAL_OK ||
	    txlog_durable_zxid(server->txlog) != zxid)
		return;
	/* The note says what is on the disk: nothing of a log that was never
	 * written. */
	if (is_written && !server->config->fsync_enabled)
		err = disk_sync_volume(server->disk, server->data_dir.log_dir);
	if (err == FAL_OK)
		forget_dirty(server);
	if (is_written && err == FAL_OK)
		err = recover_note_clean_stop(server->disk,
					      server->data_dir.log_dir, zxid);
	if (err != FAL_OK)
		LOG_WARN("no note of the clean stop in %s: %s",
			 server->data_dir.log_dir, fal_err_str(err));
}

void
recovery_free(struct server *server)
{
	free(server->member);
	if (server->has_data_dir)
		data_dir_close(&server->data_dir);
}
