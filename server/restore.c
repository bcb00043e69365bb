/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A damaged member is recovered twice: the first run finds the damage and
 * changes nothing, then the mark is made durable, then the second run puts
 * aside what cannot be used. A crash anywhere in between finds the damage or
 * the mark.
 */
#include "server/restore.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/time.h"
#include "drivers/clock.h"
#include "store/log_cut.h"
#include "store/log_history.h"

/* Readers that are registered keep memory until grace periods have passed. */
#define RECLAIM_INTERVAL 1024u

static uint64_t
now_ms(void)
{
	return time_ns_to_ms(clock_now_ns());
}

static int
take_session(void *arg, int64_t id, int32_t timeout_ms)
{
	const struct restore *restore = arg;

	return session_add(restore->sessions, id, timeout_ms, now_ms()) == NULL
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
	const struct restore *restore = arg;
	struct id_list list = {
		.id = malloc((session_count(restore->sessions) + 1) *
			     sizeof(*list.id))};

	FAL_ASSERT(list.id != NULL);
	session_for_each(restore->sessions, list_id, &list);
	for (uint32_t i = 0; i < list.count; i++)
		session_remove(restore->sessions, list.id[i]);
	free(list.id);
}

/* What replay supersedes is freed as it goes. */
static void
reclaim_sometimes(struct restore *restore)
{
	if (++restore->applied % RECLAIM_INTERVAL != 0)
		return;
	tree_reclaim(restore->tree, UINT32_MAX);
	tree_reclaim_grace(restore->tree);
}

static int
apply(void *arg, const void *entry, uint32_t bytes,
      const struct txn_header *header)
{
	struct restore *restore = arg;
	struct jute_reader body =
		jute_reader_of((const uint8_t *)entry + TXN_HEADER_BYTES,
			       bytes - TXN_HEADER_BYTES);
	bool matches = true;

	if (restore->replay_from_ms == 0)
		restore->replay_from_ms = now_ms();

	const int32_t timeout_ms =
		header->type == OP_CREATE_SESSION ? jute_get_int(&body) : 0;
	const int err = prep_apply(restore->prep, entry, bytes, NULL, &matches);

	if (err != FAL_OK)
		return err;
	prep_publish_session(restore->prep, header->type, header->session_id,
			     timeout_ms, now_ms());
	tree_publish(restore->tree, header->zxid);
	reclaim_sometimes(restore);
	return matches ? FAL_OK : RECOVER_DIGEST_DIFFERS;
}

static int
recover(struct restore *restore, bool accepts, struct recover_outcome *outcome)
{
	const struct recover_options options = {
		.snap_dir = restore->snap_dir,
		.log_dir = restore->log_dir,
		.is_member = restore->is_member,
		.accepts_loss = accepts || restore->accepts_loss,
		.ignores_digest = accepts || restore->ignores_digest,
		.until_zxid = restore->until_zxid,
		.trusts_no_snapshot = restore->trusts_no_snapshot,
		.is_digest_on = restore->is_digest_on,
		.session = take_session,
		.forget_sessions = forget_sessions,
		.apply = apply,
		.arg = restore,
	};

	return recover_run(restore->disk, &options, restore->tree, outcome);
}

/* Marks, then accepts. The message of the first run is the one that counts. */
static int
accept_damage(struct restore *restore, struct restore_result *result)
{
	struct recover_outcome again;
	int err = vote_mark_write(restore->disk, restore->snap_dir,
				  result->outcome.message);

	if (err != FAL_OK) {
		snprintf(result->outcome.message, RECOVER_MESSAGE_BYTES,
			 "cannot write %.800s/" VOTE_MARK_NAME ": %s",
			 restore->snap_dir, fal_err_str(err));
		return err;
	}
	err = recover(restore, true, &again);
	if (err == FAL_OK)
		snprintf(again.message, RECOVER_MESSAGE_BYTES, "%s",
			 result->outcome.message);
	again.is_damaged = true;
	result->outcome = again;
	return err;
}

static int
run_member(struct restore *restore, struct restore_result *result)
{
	struct log_history_options history = {.snap_dir = restore->snap_dir,
					      .log_dir = restore->log_dir};
	int err = recover(restore, false, &result->outcome);

	if (err == FAL_OK && result->outcome.is_damaged)
		err = accept_damage(restore, result);
	if (err != FAL_OK)
		return err;
	history.last_zxid = (int64_t)result->outcome.last_zxid;
	err = log_history_read(restore->disk, &history, &result->history);
	if (err != FAL_OK)
		return err;
	if (restore->accepts_loss)
		err = vote_mark_remove(restore->disk, restore->snap_dir);
	if (err == FAL_OK)
		err = vote_mark_read(restore->disk, restore->snap_dir,
				     result->reason);
	result->is_nonvoting = err == FAL_OK;
	return err == FAL_ENOENT ? FAL_OK : err;
}

static void
note_times(const struct restore *restore, struct restore_result *result,
	   uint64_t from_ms)
{
	const uint64_t end_ms = now_ms();
	const uint64_t border_ms =
		restore->replay_from_ms == 0 ? end_ms : restore->replay_from_ms;

	result->snapshot_ms = border_ms - from_ms;
	result->replay_ms = end_ms - border_ms;
}

int
restore_run(struct restore *restore, struct restore_result *result)
{
	const uint64_t from_ms = now_ms();
	bool retired = false;
	int err = retire_complete(restore->disk, restore->snap_dir,
				  restore->log_dir, &retired);

	*result = (struct restore_result){.is_nonvoting = false};
	restore->replay_from_ms = 0;
	if (err == FAL_OK && restore->is_member)
		err = run_member(restore, result);
	else if (err == FAL_OK)
		err = recover(restore, false, &result->outcome);
	note_times(restore, result, from_ms);
	if (err != FAL_OK && result->outcome.message[0] == '\0')
		snprintf(result->outcome.message, RECOVER_MESSAGE_BYTES,
			 "cannot recover from %.800s: %s", restore->snap_dir,
			 fal_err_str(err));
	return err;
}

int
restore_load(struct restore *restore, const char *path, uint64_t zxid,
	     struct snapshot_info *info, struct snapshot_fault *fault)
{
	forget_sessions(restore);
	return snapshot_load(restore->disk, path, FILE_PLAIN, zxid,
			     restore->tree, take_session, restore, info, fault);
}
