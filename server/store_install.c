/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a leader's snapshot go through a ring of some MiB: ZAB follows
 * their form, so that it takes none that belongs to what comes behind, and BG
 * writes them into a file as they are. The file's last part is not known to be
 * the end before it was taken, so BG stays SNAP_FORM_TAIL_BYTES behind.
 *
 *   file sealed and synced, hidden      the disk is as it was
 *   loaded into the tree                damaged: refused, the disk is as it was
 *   note, rename, sync                  a start completes what follows
 *   logs and snapshots before go aside  installed
 *
 * No digest goes into the file: the leader's snapshot may be fuzzy, and then
 * nobody knows at which transaction its digest would be right.
 */
#include "server/store_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "consensus/zab_history.h"
#include "store/log_cut.h"

#define RING_MASK (STORE_INSTALL_BYTES - 1u)
/* What BG writes between two looks at other work. */
#define SLICE_BYTES (1u << 20)

_Static_assert((STORE_INSTALL_BYTES & RING_MASK) == 0, "a power of two");

int
store_install_init(struct store_install *install)
{
	install->buffer = malloc(STORE_INSTALL_BYTES);
	return install->buffer == NULL ? FAL_ENOMEM : FAL_OK;
}

void
store_install_free(struct store_install *install)
{
	store_install_abort(install);
	free(install->buffer);
}

/* ---- ZAB --------------------------------------------------------------------
 */

void
store_install_reset(struct store_install *install)
{
	snap_form_init(&install->form);
	/* BG looks at these when it has the order, which is released later. */
	atomic_store_explicit(&install->head, 0, memory_order_relaxed);
	atomic_store_explicit(&install->tail, 0, memory_order_relaxed);
	atomic_store_explicit(&install->is_whole, false, memory_order_relaxed);
}

static void
put(struct store_install *install, const uint8_t *data, uint32_t bytes)
{
	const uint64_t head =
		atomic_load_explicit(&install->head, memory_order_relaxed);
	const uint32_t at = (uint32_t)head & RING_MASK;
	const uint32_t first = STORE_INSTALL_BYTES - at < bytes
				       ? STORE_INSTALL_BYTES - at
				       : bytes;

	memcpy(install->buffer + at, data, first);
	memcpy(install->buffer, data + first, bytes - first);
	/* release: the bytes; pairs with acquire in ready_bytes() */
	atomic_store_explicit(&install->head, head + bytes,
			      memory_order_release);
}

int32_t
store_install_push(struct store_jobs *jobs, const uint8_t *data, uint32_t bytes,
		   bool *is_end)
{
	struct store_install *install = &jobs->install;
	const uint64_t used =
		atomic_load_explicit(&install->head, memory_order_relaxed) -
		/* acquire: BG has read what is overwritten */
		atomic_load_explicit(&install->tail, memory_order_acquire);
	const uint32_t room = STORE_INSTALL_BYTES - (uint32_t)used;
	int64_t taken;

	*is_end = false;
	if (snap_form_is_done(&install->form) || bytes == 0 || room == 0)
		return 0;
	taken = snap_form_take(&install->form, data,
			       bytes < room ? bytes : room);
	if (taken < 0)
		return (int32_t)taken;
	put(install, data, (uint32_t)taken);
	if (snap_form_is_done(&install->form)) {
		*is_end = true;
		atomic_store_explicit(&install->is_whole, true,
				      memory_order_release);
	}
	lcore_doorbell(jobs->parts.bg_lcore);
	return (int32_t)taken;
}

/* ---- BG ---------------------------------------------------------------------
 */

int
store_install_begin(struct store_jobs *jobs, int64_t zxid)
{
	struct store_install *install = &jobs->install;
	const struct restore *restore = &jobs->parts.restore;
	int err;

	FAL_ASSERT(install->out == NULL);
	install->zxid = zxid;
	LOG_INFO("the leader sends a snapshot of transaction 0x%" PRIx64,
		 (uint64_t)zxid);
	/* Else the disk had to hold all of it three times. */
	err = retire_make_room(restore->disk, restore->snap_dir,
			       restore->log_dir);
	if (err != FAL_OK)
		return err;
	return snapshot_out_install(restore->disk, restore->snap_dir,
				    (uint64_t)zxid, &install->out);
}

void
store_install_abort(struct store_install *install)
{
	if (install->out != NULL)
		snapshot_out_abort(install->out);
	install->out = NULL;
}

static void
fail(struct store_jobs *jobs, int err, const char *what)
{
	store_install_abort(&jobs->install);
	store_fail_bg(jobs, err,
		      "the leader's snapshot of 0x%" PRIx64
		      " in %.300s: %s: %s; free space or mend the disk, then "
		      "start the server again",
		      (uint64_t)jobs->install.zxid,
		      jobs->parts.restore.snap_dir, what, fal_err_str(err));
}

/* It takes the place of everything. */
static int
make_it_count(struct store_jobs *jobs)
{
	struct store_install *install = &jobs->install;
	const struct restore *restore = &jobs->parts.restore;
	struct snapshot_out *out = install->out;
	bool retired = false;
	int err = retire_note(restore->disk, restore->snap_dir,
			      (uint64_t)install->zxid);

	if (err != FAL_OK)
		return err;
	install->out = NULL;
	err = snapshot_out_rename(out);
	if (err == FAL_OK)
		err = retire_complete(restore->disk, restore->snap_dir,
				      restore->log_dir, &retired);
	if (err == FAL_OK)
		err = txlog_restart(jobs->parts.txlog, (uint64_t)install->zxid);
	return err;
}

static void
refuse(struct store_jobs *jobs, const struct snapshot_fault *fault)
{
	const struct store_event event = {.kind = STORE_REFUSED,
					  .zxid = jobs->install.zxid,
					  .err = FAL_EPROTO,
					  .text = fault->what};

	LOG_WARN("the leader's snapshot of 0x%" PRIx64
		 " cannot be loaded: %s, at byte %" PRIu64,
		 (uint64_t)jobs->install.zxid, fault->what, fault->offset);
	store_install_abort(&jobs->install);
	store_tell(jobs, &event);
}

/* All bytes are in the file. */
static void
finish(struct store_jobs *jobs)
{
	struct store_install *install = &jobs->install;
	struct snapshot_info info = {.has_digest = false};
	struct snapshot_fault fault = {.what = "none"};
	int err = snapshot_out_seal(install->out, &info);

	if (err != FAL_OK) {
		fail(jobs, err, "it cannot be written");
		return;
	}
	err = restore_load(&jobs->parts.restore,
			   snapshot_out_hidden_path(install->out),
			   (uint64_t)install->zxid, &info, &fault);
	if (err == FAL_ECORRUPT) {
		refuse(jobs, &fault);
		return;
	}
	if (err != FAL_OK) {
		fail(jobs, err, "it cannot be loaded");
		return;
	}
	err = make_it_count(jobs);
	if (err != FAL_OK) {
		fail(jobs, err, "what was there before cannot be put aside");
		return;
	}
	zab_history_init(&jobs->found, install->zxid);
	LOG_INFO("the leader's snapshot of 0x%" PRIx64 " is installed: %" PRIu64
		 " nodes, %" PRIu64 " sessions, "
		 "%" PRIu64 " bytes",
		 (uint64_t)install->zxid, info.nodes, info.sessions,
		 info.bytes);
	store_give_back(jobs, STORE_INSTALLED, install->zxid);
}

/* Bytes that may go into the file now. */
static uint32_t
ready_bytes(const struct store_install *install, uint64_t tail, bool is_whole)
{
	const uint64_t there =
		atomic_load_explicit(&install->head, memory_order_acquire) -
		tail;
	const uint64_t ready =
		there > SNAP_FORM_TAIL_BYTES ? there - SNAP_FORM_TAIL_BYTES : 0;

	FAL_ASSERT(!is_whole || there >= SNAP_FORM_TAIL_BYTES);
	return ready < SLICE_BYTES ? (uint32_t)ready : SLICE_BYTES;
}

bool
store_install_run(struct store_jobs *jobs)
{
	struct store_install *install = &jobs->install;
	const uint64_t tail =
		atomic_load_explicit(&install->tail, memory_order_relaxed);
	const uint32_t at = (uint32_t)tail & RING_MASK;
	bool is_whole;
	uint32_t bytes, first;

	if (install->out == NULL)
		return false;
	/* First this, then the head: whole means that the head is final. */
	is_whole =
		atomic_load_explicit(&install->is_whole, memory_order_acquire);
	bytes = ready_bytes(install, tail, is_whole);
	if (bytes == 0) {
		if (is_whole)
			finish(jobs);
		return is_whole;
	}
	first = STORE_INSTALL_BYTES - at < bytes ? STORE_INSTALL_BYTES - at
						 : bytes;
	snapshot_out_raw(install->out, install->buffer + at, first);
	snapshot_out_raw(install->out, install->buffer, bytes - first);
	/* release: the place may be overwritten; pairs with acquire in push */
	atomic_store_explicit(&install->tail, tail + bytes,
			      memory_order_release);
	lcore_doorbell(jobs->parts.zab_lcore);
	if (snapshot_out_error(install->out) != FAL_OK)
		fail(jobs, snapshot_out_error(install->out),
		     "it cannot be written");
	return true;
}
