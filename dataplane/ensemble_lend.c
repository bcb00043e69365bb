/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ensemble_lend - truncation, snapshots that come, and reloading: all that
 * replaces the tree is done by BG, which gets tree, sessions and log for it.
 *
 *   wanted   the leader's connection is not read, readers are asked to leave
 *   lent     they have, the log is flushed: BG works. For a snapshot the
 *            connection is read again, as raw bytes, up to the signature
 *   done     BG's event: all is back, the core hears of it
 *
 * A reload may come on top of another request, when the connection broke or
 * what came was no snapshot. Then only its event counts.
 */
#include "dataplane/ensemble_int.h"

void
ensemble_want_lend(struct ensemble *ensemble, enum lend_kind kind, int64_t zxid)
{
	const struct store_port *store = &ensemble->parts.store;
	const struct ensemble_note note = {.kind = ENSEMBLE_NOTE_LEND,
					   .why = (uint32_t)kind,
					   .zxid = zxid};

	FAL_ASSERT(ensemble->lend == LEND_NOTHING || kind == LEND_RELOAD);
	ensemble_note(ensemble, &note);
	/* Nobody reads either, if a read-only server did. */
	zab_member_set_mode(ensemble->parts.zab, ZAB_CLOSED, SERVING_CLOSED);
	ensemble->lend = kind;
	ensemble->lend_zxid = zxid;
	ensemble->is_install_done = false;
	if (kind == LEND_INSTALL)
		peer_set_raw(ensemble->peers, ZAB_LEADER_SLOT, true);
	if (kind != LEND_RELOAD)
		peer_pause(ensemble->peers, ZAB_LEADER_SLOT);
	if (ensemble->is_lend_begun)
		store->reload(store->store);
	else
		zab_member_park(ensemble->parts.zab);
}

static void
begin(struct ensemble *ensemble)
{
	const struct store_port *store = &ensemble->parts.store;

	ensemble->is_lend_begun = true;
	switch (ensemble->lend) {
	case LEND_TRUNCATE:
		store->truncate(store->store, ensemble->lend_zxid);
		break;
	case LEND_INSTALL:
		store->install_begin(store->store, ensemble->lend_zxid);
		ensemble->install_ms = ensemble->now_ms;
		peer_resume(ensemble->peers, ZAB_LEADER_SLOT);
		break;
	default:
		FAL_ASSERT(ensemble->lend == LEND_RELOAD);
		store->reload(store->store);
	}
}

static bool
is_silent(const struct ensemble *ensemble)
{
	const struct zab_core_options *core = &ensemble->options.core;

	return ensemble->lend == LEND_INSTALL && ensemble->is_lend_begun &&
	       !ensemble->is_install_done &&
	       ensemble->now_ms >
		       ensemble->install_ms +
			       (uint64_t)core->init_limit * core->tick_ms;
}

bool
ensemble_poll_lend(struct ensemble *ensemble)
{
	if (FAL_LIKELY(ensemble->lend == LEND_NOTHING))
		return false;
	if (!ensemble->is_lend_begun && !ensemble_is_behind(ensemble) &&
	    zab_member_lend(ensemble->parts.zab)) {
		begin(ensemble);
		return true;
	}
	if (is_silent(ensemble)) {
		ensemble->install_ms = ensemble->now_ms;
		ensemble_break(ensemble, ZAB_LEADER_SLOT, PEER_BROKEN);
	}
	return false;
}

uint32_t
ensemble_on_raw(void *arg, uint32_t slot, const uint8_t *data, uint32_t bytes)
{
	struct ensemble *ensemble = arg;
	const struct store_port *store = &ensemble->parts.store;
	bool is_end = false;

	FAL_ASSERT(slot == ZAB_LEADER_SLOT);
	if (ensemble->lend != LEND_INSTALL || !ensemble->is_lend_begun ||
	    ensemble->is_install_done)
		return 0;

	const int32_t taken =
		store->install_push(store->store, data, bytes, &is_end);

	if (taken < 0) {
		ensemble->is_install_done = true;
		ensemble_break(ensemble, slot, PEER_PROTOCOL);
		return 0;
	}
	ensemble->install_ms = ensemble->now_ms;
	if (is_end) {
		ensemble->is_install_done = true;
		peer_set_raw(ensemble->peers, slot, false);
		peer_pause(ensemble->peers, slot);
	}
	return (uint32_t)taken;
}

static void
come_back(struct ensemble *ensemble, const struct store_event *event)
{
	const int64_t last = event->disk.history->last_zxid;

	ensemble->lend = LEND_NOTHING;
	ensemble->is_lend_begun = false;
	ensemble->append_to = last;
	ensemble->durable_told = last;
	ensemble->is_leader_paused = false;
	ensemble->has_diverged = false;
	if (ensemble->hooks.on_restored != NULL)
		ensemble->hooks.on_restored(ensemble->hooks.arg);
	zab_member_restore(ensemble->parts.zab, last,
			   event->disk.committed_zxid);
}

void
ensemble_end_lend(struct ensemble *ensemble, const struct store_event *answer)
{
	struct zab_disk_state disk = answer->disk;
	struct zab_event event = {.zxid = answer->zxid, .disk = &disk};

	if (answer->kind == STORE_REFUSED) {
		if (ensemble->lend == LEND_INSTALL)
			ensemble_break(ensemble, ZAB_LEADER_SLOT,
				       PEER_PROTOCOL);
		return;
	}
	if (ensemble->lend == LEND_RELOAD && answer->kind != STORE_RELOADED)
		return; /* overtaken: the reload's own event follows */
	event.type = answer->kind == STORE_TRUNCATED   ? ZAB_EV_TRUNCATED
		     : answer->kind == STORE_INSTALLED ? ZAB_EV_SNAP_INSTALLED
						       : ZAB_EV_RELOADED;
	come_back(ensemble, answer);
	/* A reconfiguration that is not active yet may have come with it. */
	if (event.type != ZAB_EV_TRUNCATED) {
		event.config = ensemble_config_of_data(ensemble);
		disk.next = event.config;
	}
	ensemble_step(ensemble, &event);
	/* Not if the core has given the connection up meanwhile. */
	if (ensemble->lend == LEND_NOTHING)
		peer_resume(ensemble->peers, ZAB_LEADER_SLOT);
}
