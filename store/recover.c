/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of steps makes a second start after a crash anywhere in here end
 * the same way: files are only read until the state is known to be good, then
 * the tail is cut (one truncate, synced), and last the marker of a clean stop
 * goes.
 *
 * Replay reads a log_chain. When that stops, classify() finds out why, and
 * everything that is wrong becomes one struct trouble: a file, an offset and
 * whether it is a torn tail. settle() then acts on it by the options.
 */

#include "store/recover.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "store/file_list.h"
#include "store/log_reader.h"
#include "store/recover_cut.h"
#include "store/small_file.h"
#include "store/txlog.h"

#define SNAPSHOTS_TRIED_MAX 100u
#define CLEAN_BYTES_MAX     64u
#define EPOCH_SHIFT         32
#define COUNTER_MASK        UINT32_MAX

struct recovery {
	struct disk *disk;
	const struct recover_options *options;
	struct tree *tree;
	struct recover_outcome *outcome;
	uint32_t entry_bytes_max;
	bool has_marker;
	uint64_t marker_zxid;
	struct log_chain *chain;
	struct recover_cut trouble;
	bool has_trouble, is_torn;
	bool has_no_base; /* a member's logs without a snapshot */
	/* Digests before this zxid belong to a fuzzy snapshot. */
	uint64_t comparable_from;
	uint64_t seam_differences; /* at that zxid, see leave_seam() */
	bool is_digest_known;
};

static void __attribute__((format(printf, 2, 3)))
say(struct recovery *recovery, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(recovery->outcome->message, RECOVER_MESSAGE_BYTES, format,
		  args);
	va_end(args);
}

/* ---- the clean stop's marker ------------------------------------------------
 */

int
recover_note_clean_stop(struct disk *disk, const char *log_dir,
			uint64_t last_zxid)
{
	char text[CLEAN_BYTES_MAX];
	const int bytes =
		snprintf(text, sizeof(text), "0x%" PRIx64 "\n", last_zxid);

	return small_file_replace(disk, log_dir, RECOVER_CLEAN_NAME, text,
				  (size_t)bytes);
}

static int
read_marker(struct recovery *recovery)
{
	char text[CLEAN_BYTES_MAX + 1] = "";
	char *end = NULL;
	int err = small_file_read(recovery->disk, recovery->options->log_dir,
				  RECOVER_CLEAN_NAME, text, CLEAN_BYTES_MAX);

	if (err == FAL_ENOENT)
		return 0;
	if (err != 0)
		return err;
	recovery->marker_zxid = strtoull(text, &end, 16);
	/* What cannot be read claims nothing. */
	recovery->has_marker = end != text && *end == '\n';
	return 0;
}

int
recover_forget_clean_stop(struct disk *disk, const char *log_dir)
{
	char path[FILE_PATH_MAX];
	int err = file_path(path, log_dir, RECOVER_CLEAN_NAME);

	if (err == 0)
		err = disk_unlink(disk, path);
	if (err == FAL_ENOENT)
		return 0;
	return err != 0 ? err : disk_sync_dir(disk, log_dir);
}

/* ---- snapshots
 * --------------------------------------------------------------- */

/* Loads one; FAL_ECORRUPT, FAL_EIO: try the next. */
static int
try_snapshot(struct recovery *recovery, const struct file_entry *entry)
{
	const struct file_name *parsed = &entry->parsed;
	const struct recover_options *options = recovery->options;
	struct recover_outcome *outcome = recovery->outcome;
	struct snapshot_fault fault = {.what = "it does not look complete"};
	char path[FILE_PATH_MAX];
	int err = file_path(path, options->snap_dir, entry->name);

	if (err == 0)
		err = snapshot_test(recovery->disk, path, parsed->coding);
	if (err == 0) {
		if (options->forget_sessions != NULL)
			options->forget_sessions(options->arg);
		err = snapshot_load(recovery->disk, path, parsed->coding,
				    parsed->zxid, recovery->tree,
				    options->session, options->arg,
				    &outcome->snapshot, &fault);
	}
	if (err == FAL_ECORRUPT) {
		outcome->snapshots_refused++;
		say(recovery,
		    "snapshot %s is damaged (%s, at byte %" PRIu64
		    "): an older one is used",
		    path, fault.what, fault.offset);
		return err;
	}
	if (err == FAL_EIO) {
		outcome->snapshots_refused++;
		say(recovery,
		    "snapshot %s cannot be read (%s): an older one is used",
		    path, fal_err_str(err));
		return err;
	}
	if (err != 0) {
		say(recovery, "cannot read snapshot %s: %s", path,
		    fal_err_str(err));
		return err;
	}
	outcome->has_snapshot = true;
	outcome->snapshot_zxid = parsed->zxid;
	outcome->last_zxid = parsed->zxid;
	memcpy(outcome->snapshot_path, path, strlen(path) + 1);
	return 0;
}

static bool
is_wanted(const struct recovery *recovery, uint64_t zxid)
{
	const uint64_t until = recovery->options->until_zxid;

	return until == 0 || zxid <= until;
}

/* The newest snapshot that verifies. 0 also when there is none. One that cannot
 * be read is passed over as a damaged one is, but only for another: nothing is
 * given up for a disk that may answer the next time. */
static int
load_newest(struct recovery *recovery)
{
	struct file_list list;
	int err = file_list_read(recovery->disk, recovery->options->snap_dir,
				 FILE_SNAPSHOT, &list);
	int read_err = 0;
	uint32_t tried = 0;

	for (uint32_t i = list.count; i > 0 && err == 0; i--) {
		const struct file_entry *entry = &list.entries[i - 1];

		if (!is_wanted(recovery, entry->parsed.zxid))
			continue;
		if (tried++ == SNAPSHOTS_TRIED_MAX)
			break;
		err = try_snapshot(recovery, entry);
		if (err == 0)
			break;
		if (err == FAL_EIO)
			read_err = err;
		if (err == FAL_ECORRUPT || err == FAL_EIO)
			err = 0;
	}
	file_list_free(&list);
	if (err != 0 || read_err == 0 || recovery->outcome->has_snapshot)
		return err;
	say(recovery,
	    "no snapshot in %s can be used, and not all can be read: %s",
	    recovery->options->snap_dir, fal_err_str(read_err));
	return read_err;
}

/* The content of a fresh database, whatever failed loads have left. */
static int
reset_tree(struct recovery *recovery)
{
	const struct tree_stat root = {.acl = ACL_ID_OPEN};
	int err;

	if (recovery->options->forget_sessions != NULL)
		recovery->options->forget_sessions(recovery->options->arg);
	tree_load_begin(recovery->tree);
	acl_table_ref(tree_acls(recovery->tree), ACL_ID_OPEN);
	err = tree_load_node(recovery->tree, "", 0, jute_slice_of("", 0),
			     &root);
	return err != 0 ? err : tree_load_end(recovery->tree, 0);
}

/* No snapshot: a fresh database, or one that lost it. */
static int
start_without_snapshot(struct recovery *recovery)
{
	struct file_list logs;
	int err = file_list_read(recovery->disk, recovery->options->log_dir,
				 FILE_LOG, &logs);
	const uint32_t count = logs.count;

	file_list_free(&logs);
	if (err == 0)
		err = reset_tree(recovery);
	if (err != 0)
		return err;
	if (count == 0 && recovery->outcome->snapshots_refused == 0) {
		recovery->outcome->is_empty = true;
		return 0;
	}
	if (recovery->options->trusts_no_snapshot) {
		recovery->outcome->must_snapshot = true;
		return 0;
	}
	say(recovery,
	    "no usable snapshot in %s, but %s: restore a snapshot, or set "
	    "snapshot.trust.empty=true if the logs go back to the first "
	    "transaction",
	    recovery->options->snap_dir,
	    count > 0 ? "there are transaction logs"
		      : "there are damaged ones");
	/* A leader brings everything to a member. */
	recovery->has_no_base = recovery->options->is_member;
	return recovery->has_no_base ? 0 : FAL_ECORRUPT;
}

/* From which transaction on digests must agree. A snapshot that was written
 * while transactions went on is mixed up to the one its section names. */
static void
judge_snapshot_digest(struct recovery *recovery)
{
	const struct recover_outcome *outcome = recovery->outcome;
	const struct snapshot_info *info = &outcome->snapshot;

	recovery->comparable_from = outcome->snapshot_zxid;
	if (!recovery->options->is_digest_on)
		return;
	recovery->is_digest_known =
		!outcome->has_snapshot || outcome->snapshot_zxid == 0;
	if (!info->has_digest || info->digest_version != TXN_DIGEST_VERSION ||
	    info->digest_zxid < outcome->snapshot_zxid)
		return;
	recovery->comparable_from = info->digest_zxid;
	recovery->is_digest_known = true;
}

/* ---- digests
 * --------------------------------------------------------------------- */

static void
note_difference(struct recovery *recovery, uint64_t zxid)
{
	if (recovery->outcome->digests_different++ == 0)
		recovery->outcome->digest_zxid = zxid;
}

/* ZooKeeper changes the tree first and then the digest that a snapshot ends
 * with, so that a node in the file may be one transaction ahead of it. Then the
 * tree agrees behind that one. */
static void
leave_seam(struct recovery *recovery, bool agrees)
{
	for (; recovery->seam_differences > 0; recovery->seam_differences--)
		if (!agrees)
			note_difference(recovery, recovery->comparable_from);
}

/* At the transaction the snapshot's digest belongs to. */
static void
compare_snapshot_digest(struct recovery *recovery)
{
	const struct recover_outcome *outcome = recovery->outcome;

	if (!outcome->has_snapshot || !recovery->is_digest_known ||
	    !outcome->snapshot.has_digest ||
	    outcome->snapshot.digest_zxid != outcome->last_zxid ||
	    (outcome->snapshot.digest_zxid == 0 &&
	     outcome->snapshot.digest == 0))
		return;
	recovery->outcome->digests_compared++;
	if (tree_published_digest(recovery->tree) != outcome->snapshot.digest)
		recovery->seam_differences++;
}

static void
judge_record_digest(struct recovery *recovery, uint64_t zxid, bool differs)
{
	if (!recovery->is_digest_known || zxid < recovery->comparable_from)
		return;
	recovery->outcome->digests_compared++;
	if (zxid == recovery->comparable_from) {
		recovery->seam_differences += differs ? 1 : 0;
		return;
	}
	leave_seam(recovery, !differs);
	if (differs)
		note_difference(recovery, zxid);
}

/* Differences refuse, unless Java's digest cannot be relied on: its path bytes
 * depend on the locale of whoever ran it. */
static int
judge_digests(struct recovery *recovery)
{
	const struct recover_outcome *outcome = recovery->outcome;
	const bool is_soft = recovery->options->ignores_digest ||
			     outcome->snapshot.has_non_ascii_path;

	leave_seam(recovery, false);
	if (outcome->digests_different == 0)
		return 0;
	say(recovery,
	    "the tree differs from the digest that transaction 0x%" PRIx64
	    " carries (%" PRIu64 " of %" PRIu64 " differ)%s",
	    outcome->digest_zxid, outcome->digests_different,
	    outcome->digests_compared,
	    is_soft ? ""
		    : ": let another server bring the data, or set "
		      "falconer.recover.ignore-digest=true to go on");
	if (recovery->options->is_member && !is_soft) {
		recovery->outcome->is_damaged = true;
		return 0;
	}
	return is_soft ? 0 : FAL_ECORRUPT;
}

/* ---- replay
 * ------------------------------------------------------------------------ */

static void
note_trouble(struct recovery *recovery, uint64_t offset, bool is_torn)
{
	struct recover_cut *cut = &recovery->trouble;

	recovery->has_trouble = true;
	recovery->is_torn = is_torn;
	snprintf(cut->path, sizeof(cut->path), "%s",
		 log_chain_path(recovery->chain));
	cut->offset = offset;
	cut->keeps_copy = !is_torn;
	cut->last_zxid = recovery->outcome->last_zxid;
}

bool
recover_is_torn(const struct log_rest *rest, uint64_t bad_bytes)
{
	const uint64_t reach = bad_bytes > TXLOG_WRITE_BYTES_MAX
				       ? bad_bytes
				       : TXLOG_WRITE_BYTES_MAX;

	if (rest->used_end - rest->bad_offset > reach)
		return false;
	return !rest->has_later || rest->has_blank_sector;
}

/*
 * The file that is read ended badly at a record. If all that is missing before
 * the next good record is in the snapshot, nothing is lost and reading goes on
 * there.
 */
static int
classify_record(struct recovery *recovery, struct log_file *file, bool *goes_on)
{
	struct recover_outcome *outcome = recovery->outcome;
	struct log_rest rest;
	const int err = log_file_inspect(
		file, log_chain_last_zxid(recovery->chain), &rest);
	bool is_torn;

	if (err != 0)
		return err;
	if (rest.has_later && rest.later_zxid <= outcome->last_zxid + 1) {
		log_file_resume(file, rest.later_offset);
		*goes_on = true;
		return 0;
	}
	is_torn = log_chain_is_last_file(recovery->chain) &&
		  recover_is_torn(&rest, log_file_bad_bytes(file));
	note_trouble(recovery, rest.bad_offset, is_torn);
	if (is_torn)
		return 0;
	say(recovery,
	    "log %s is damaged at byte %" PRIu64
	    ": %s, behind transaction 0x%" PRIx64 "%s",
	    log_chain_path(recovery->chain), rest.bad_offset,
	    log_end_str(log_file_end(file)), outcome->last_zxid,
	    !log_chain_is_last_file(recovery->chain)
		    ? "; it is not the last log"
	    : rest.has_later ? "; good records follow, so this is no torn tail"
			     : "; more than one write follows, so this is no "
			       "torn tail");
	return 0;
}

/* A last file without a good header holds nothing; Java cannot start with it,
 * so it goes. A foreign header is somebody else's file, and one that logs
 * follow had records. */
static int
classify_header(struct recovery *recovery, struct log_file *file)
{
	const bool is_last = log_chain_is_last_file(recovery->chain);

	if (is_last && (log_file_end(file) == LOG_END_EMPTY ||
			log_file_bytes(file) < LOG_FILE_HEADER_BYTES)) {
		note_trouble(recovery, 0, true);
		return 0;
	}
	note_trouble(recovery, 0, false);
	say(recovery, "log %s is damaged: %s%s",
	    log_chain_path(recovery->chain), log_end_str(log_file_end(file)),
	    is_last ? "" : "; it is not the last log");
	return 0;
}

/* A first record that does not fit the name or the file before. */
static void
classify_order(struct recovery *recovery)
{
	note_trouble(recovery, 0, false);
	say(recovery,
	    "log %s does not begin with the transaction of its name, above "
	    "those of the log before it: it is a left-over of another history",
	    log_chain_path(recovery->chain));
}

/* The chain stopped: at its end, or where something is wrong. */
static int
classify(struct recovery *recovery, bool *goes_on)
{
	struct log_file *file = log_chain_file(recovery->chain);
	const enum log_end end = log_chain_end(recovery->chain);

	*goes_on = false;
	if (file == NULL || end == LOG_END_CLEAN)
		return 0;
	if (end == LOG_END_OPEN) {
		classify_order(recovery);
		return 0;
	}
	if (end == LOG_END_EMPTY || end == LOG_END_HEADER)
		return classify_header(recovery, file);
	return classify_record(recovery, file, goes_on);
}

/* Everything up to the marker was durable when the server stopped, so an
 * earlier end is damage, however it looks. */
static void
judge_clean_stop(struct recovery *recovery)
{
	struct log_file *file = log_chain_file(recovery->chain);

	if (!recovery->has_marker ||
	    !is_wanted(recovery, recovery->marker_zxid) ||
	    recovery->marker_zxid <= recovery->outcome->last_zxid ||
	    (recovery->has_trouble && !recovery->is_torn))
		return;
	if (!recovery->has_trouble)
		note_trouble(recovery, file == NULL ? 0 : log_file_offset(file),
			     false);
	recovery->is_torn = false;
	recovery->trouble.keeps_copy = true;
	say(recovery,
	    "the log ends with transaction 0x%" PRIx64 " (%s, byte %" PRIu64
	    "), but the server had stopped cleanly after 0x%" PRIx64,
	    recovery->outcome->last_zxid,
	    file == NULL ? "there is no file" : recovery->trouble.path,
	    recovery->trouble.offset, recovery->marker_zxid);
}

static uint64_t
epoch_of(uint64_t zxid)
{
	return zxid >> EPOCH_SHIFT;
}

/* The next zxid follows, or a new epoch, which begins with counter 1. A server
 * that is alone counts on from one epoch into the next, over 0. */
static bool
follows(uint64_t last, uint64_t next)
{
	return next == last + 1 ||
	       (epoch_of(next) != epoch_of(last) && (next & COUNTER_MASK) == 1);
}

static void
note_gap(struct recovery *recovery, const struct log_record *record)
{
	const uint64_t zxid = (uint64_t)record->header.zxid;

	note_trouble(recovery, record->offset, false);
	say(recovery,
	    "transactions are missing between 0x%" PRIx64 " and 0x%" PRIx64
	    " (in %s at byte %" PRIu64
	    "): a log or a snapshot was removed, or the log is a left-over of "
	    "another history",
	    recovery->outcome->last_zxid, zxid, log_chain_path(recovery->chain),
	    record->offset);
}

static void
note_inapplicable(struct recovery *recovery, const struct log_record *record)
{
	note_trouble(recovery, record->offset, false);
	say(recovery,
	    "transaction 0x%" PRIx64 " (type %d, in %s at byte %" PRIu64
	    ") cannot be applied: set falconer.recover.until=0x%" PRIx64
	    " to cut it and all that follows",
	    (uint64_t)record->header.zxid, (int)record->header.type,
	    log_chain_path(recovery->chain), record->offset,
	    recovery->outcome->last_zxid);
}

/* Returns 1: go on, 0: stop, or an error. */
static int
replay_record(struct recovery *recovery, const struct log_record *record)
{
	struct recover_outcome *outcome = recovery->outcome;
	const uint64_t zxid = (uint64_t)record->header.zxid;
	int result;

	if (!is_wanted(recovery, zxid)) {
		note_trouble(recovery, record->offset, true);
		recovery->trouble.keeps_copy = true;
		return 0;
	}
	if (!follows(outcome->last_zxid, zxid)) {
		note_gap(recovery, record);
		return 0;
	}
	/* No server can apply a check on its own. */
	if (record->header.type == OP_CHECK) {
		note_inapplicable(recovery, record);
		return 0;
	}
	result = recovery->options->apply(recovery->options->arg, record->entry,
					  record->bytes, &record->header);
	if (result == FAL_EPROTO) {
		note_inapplicable(recovery, record);
		return 0;
	}
	if (result < 0) {
		say(recovery, "cannot apply transaction 0x%" PRIx64 ": %s",
		    zxid, fal_err_str(result));
		return result;
	}
	outcome->last_zxid = zxid;
	outcome->replayed++;
	judge_record_digest(recovery, zxid, result == RECOVER_DIGEST_DIFFERS);
	compare_snapshot_digest(recovery);
	return 1;
}

static int
replay(struct recovery *recovery)
{
	struct log_record record = {.bytes = 0};
	int got = 1;
	int err = log_chain_open(recovery->disk, recovery->options->log_dir,
				 recovery->outcome->last_zxid + 1,
				 recovery->entry_bytes_max, &recovery->chain);
	bool goes_on = true;

	while (err == 0 && goes_on) {
		got = log_chain_next(recovery->chain, &record);
		if (got > 0) {
			got = replay_record(recovery, &record);
			goes_on = got > 0;
			err = got < 0 ? got : 0;
		} else if (got == 0 || got == FAL_ECORRUPT) {
			err = classify(recovery, &goes_on);
		} else {
			say(recovery, "cannot read log %s: %s",
			    log_chain_path(recovery->chain), fal_err_str(got));
			err = got;
		}
	}
	return err;
}

/* ---- acting on it
 * -------------------------------------------------------------------- */

static int
cut(struct recovery *recovery)
{
	struct recover_outcome *outcome = recovery->outcome;
	uint64_t bytes = 0;
	int err = recover_cut(recovery->disk, recovery->options->snap_dir,
			      recovery->options->log_dir, &recovery->trouble,
			      &bytes);

	if (err != 0) {
		say(recovery, "cannot cut log %s at byte %" PRIu64 ": %s",
		    recovery->trouble.path, recovery->trouble.offset,
		    fal_err_str(err));
		return err;
	}
	outcome->has_cut = recovery->trouble.path[0] != '\0';
	memcpy(outcome->cut_path, recovery->trouble.path,
	       sizeof(outcome->cut_path));
	outcome->cut_offset = recovery->trouble.offset;
	outcome->cut_bytes = bytes;
	return 0;
}

/* Nothing of what is there can be used: all of it goes aside, or stays. */
static int
settle_without_base(struct recovery *recovery)
{
	recovery->trouble.keeps_copy = true;
	if (recovery->options->accepts_loss)
		return cut(recovery);
	recovery->outcome->is_damaged = true;
	return 0;
}

static int
settle(struct recovery *recovery)
{
	struct recover_outcome *outcome = recovery->outcome;
	const size_t used = strlen(outcome->message);

	if (!recovery->has_trouble && recovery->options->until_zxid == 0)
		return 0;
	if (!recovery->has_trouble) {
		/* Snapshots above it may still be there. */
		recovery->trouble.keeps_copy = true;
		recovery->trouble.last_zxid = outcome->last_zxid;
		recovery->is_torn = true;
	}
	if (recovery->is_torn || recovery->options->accepts_loss) {
		outcome->must_snapshot |= !recovery->is_torn;
		return cut(recovery);
	}
	if (recovery->options->is_member) {
		outcome->is_damaged = true;
		return 0;
	}
	snprintf(outcome->message + used, RECOVER_MESSAGE_BYTES - used,
		 "; restore the files, or set "
		 "falconer.recover.accept-loss=true to go on with what ends "
		 "at 0x%" PRIx64,
		 outcome->last_zxid);
	return FAL_ECORRUPT;
}

static int
run(struct recovery *recovery)
{
	struct recover_outcome *outcome = recovery->outcome;
	int err = read_marker(recovery);

	if (err == 0)
		err = load_newest(recovery);
	if (err == 0 && !outcome->has_snapshot)
		err = start_without_snapshot(recovery);
	if (err != 0)
		return err;
	if (recovery->has_no_base) {
		err = settle_without_base(recovery);
	} else {
		judge_snapshot_digest(recovery);
		compare_snapshot_digest(recovery);
		err = replay(recovery);
		if (err != 0)
			return err;
		judge_clean_stop(recovery);
		err = judge_digests(recovery);
		if (err == 0)
			err = settle(recovery);
	}
	if (err != 0)
		return err;
	outcome->was_clean_stop = recovery->has_marker &&
				  recovery->marker_zxid == outcome->last_zxid;
	/* As long as a member is damaged the note proves it. */
	if (outcome->is_damaged)
		return 0;
	return recover_forget_clean_stop(recovery->disk,
					 recovery->options->log_dir);
}

int
recover_run(struct disk *disk, const struct recover_options *options,
	    struct tree *tree, struct recover_outcome *outcome)
{
	struct recovery recovery = {.disk = disk,
				    .options = options,
				    .tree = tree,
				    .outcome = outcome};
	int err;

	FAL_ASSERT(options->apply != NULL);
	memset(outcome, 0, sizeof(*outcome));
	recovery.entry_bytes_max = options->entry_bytes_max != 0
					   ? options->entry_bytes_max
					   : LOG_ENTRY_BYTES_MAX;
	err = run(&recovery);
	log_chain_close(recovery.chain);
	if (err != 0 && outcome->message[0] == '\0')
		say(&recovery, "recovery failed: %s", fal_err_str(err));
	return err;
}
