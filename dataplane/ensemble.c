/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ensemble - the round: what came since the last one is stepped, in the order
 * connections, log, BG, time; then what learners asked is proposed. The zab
 * takes requests of clients behind it, and calls flush() at its end: packets
 * that one round made leave together.
 *
 * What fails while actions are carried out is not stepped from within them: a
 * connection is marked broken, and stepped with the next round.
 */
#include "dataplane/ensemble_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/time.h"

#define HELD_BYTES_DEFAULT  (64ull << 20)
#define QUEUE_BYTES_DEFAULT (64ull << 20)
#define SCRATCH_BYTES       65536u
#define RECENT_PLACES       65536u
/* An access list of a megabyte took 0.1 s on a virtual machine. */
#define BUSY_BYTES_PER_MS 4096u

uint8_t *
ensemble_scratch(struct ensemble *ensemble, size_t bytes)
{
	if (bytes > ensemble->scratch_bytes) {
		uint8_t *grown = realloc(ensemble->scratch, bytes);

		/* A packet that cannot be formed would leave a gap. */
		FAL_ASSERT(grown != NULL);
		ensemble->scratch = grown;
		ensemble->scratch_bytes = bytes;
	}
	return ensemble->scratch;
}

void
ensemble_step(struct ensemble *ensemble, struct zab_event *event)
{
	FAL_ASSERT(!ensemble->is_stepping);
	if (!ensemble_burst_is_empty(ensemble))
		ensemble_burst_step(ensemble);
	ensemble->is_stepping = true;
	event->now_ms = ensemble->now_ms;
	zab_step(ensemble->core, event, &ensemble->actions);
	for (uint32_t i = 0; i < ensemble->actions.count; i++)
		ensemble_act(ensemble, event, &ensemble->actions.action[i]);
	ensemble->is_stepping = false;
	ensemble_serve_if_ready(ensemble);
}

void
ensemble_break(struct ensemble *ensemble, uint32_t slot, enum peer_down why)
{
	peer_close(ensemble->peers, slot);
	ensemble_late_forget(ensemble, 1ull << slot);
	ensemble->broken_slots |= 1ull << slot;
	ensemble_note(ensemble,
		      &(struct ensemble_note){.kind = ENSEMBLE_NOTE_DOWN,
					      .slot = slot,
					      .why = (uint32_t)why});
}

/* ---- the round -------------------------------------------------------------
 */

void
ensemble_busy(struct ensemble *ensemble, uint32_t bytes)
{
	struct zab_event event = {.type = ZAB_EV_BUSY,
				  .busy_ms = bytes / BUSY_BYTES_PER_MS};

	ensemble_step(ensemble, &event);
	stream_flush(ensemble->parts.streams);
}

bool
ensemble_step_broken(struct ensemble *ensemble)
{
	if (FAL_LIKELY(ensemble->broken_slots == 0))
		return false;
	for (uint32_t slot = 0; slot <= ZAB_LEADER_SLOT; slot++) {
		struct zab_event event = {.type = ZAB_EV_CONN_DOWN,
					  .slot = slot};

		if (!(ensemble->broken_slots & 1ull << slot))
			continue;
		ensemble->broken_slots &= ~(1ull << slot);
		if (slot < ZAB_CONNS_MAX)
			ensemble_learner_gone(ensemble, slot);
		ensemble->is_status_old = true;
		ensemble_step(ensemble, &event);
	}
	return true;
}

static bool
step_durable(struct ensemble *ensemble)
{
	int err = FAL_OK;

	if (zab_member_is_lent(ensemble->parts.zab))
		return false;

	const int64_t zxid = zab_member_durable(ensemble->parts.zab, &err);
	struct zab_event event = {.type = ZAB_EV_LOG_DURABLE, .zxid = zxid};

	if (FAL_UNLIKELY(err != FAL_OK)) {
		event.type = ZAB_EV_LOG_FAILED;
		ensemble_step(ensemble, &event);
		return true;
	}
	if (zxid <= ensemble->durable_told)
		return false;
	ensemble->durable_told = zxid;
	zab_member_note_durable(ensemble->parts.zab, zxid);
	ensemble_step(ensemble, &event);
	return true;
}

/* A large packet that comes slowly, or one that nobody may read now. */
static void
step_heard(struct ensemble *ensemble)
{
	uint64_t unread;
	const uint64_t heard = peer_heard(ensemble->peers, &unread);

	for (uint64_t left = heard | unread; left != 0; left &= left - 1) {
		const uint32_t slot = (uint32_t)__builtin_ctzll(left);
		struct zab_event event = {.type = ZAB_EV_HEARD,
					  .slot = slot,
					  .is_up = (heard >> slot & 1) != 0};

		ensemble_step(ensemble, &event);
	}
}

static bool
step_tick(struct ensemble *ensemble)
{
	struct zab_event event = {.type = ZAB_EV_TICK};

	if (ensemble->now_ms < zab_wake_ms(ensemble->core))
		return false;
	step_heard(ensemble);
	ensemble_step(ensemble, &event);
	ensemble->is_status_old = true;
	return true;
}

static void
step_yield(struct ensemble *ensemble)
{
	struct zab_event event = {.type = ZAB_EV_YIELD};

	/* pairs with release in ensemble_yield() */
	if (FAL_LIKELY(!atomic_load_explicit(&ensemble->must_yield,
					     memory_order_acquire)))
		return;
	atomic_store_explicit(&ensemble->must_yield, false,
			      memory_order_relaxed);
	ensemble_step(ensemble, &event);
}

static bool
take_streams(struct ensemble *ensemble)
{
	struct stream_core *streams = ensemble->parts.streams;
	uint32_t count;

	if (!ensemble->parts.owns_streams)
		return false;
	count = stream_poll(streams, time_ms_to_ns(ensemble->now_ms),
			    ensemble->events, ENSEMBLE_EVENTS_MAX);
	for (uint32_t i = 0; i < count; i++)
		ensemble_on_event(ensemble, &ensemble->events[i],
				  ensemble->now_ms);
	return count > 0;
}

/* A read-only server instead of none, when nobody leads for long enough. */
static void
serve_reads(struct ensemble *ensemble)
{
	if (!ensemble->options.is_read_only_enabled ||
	    ensemble->role != FLE_LOOKING || ensemble->lend != LEND_NOTHING ||
	    ensemble->must_patch ||
	    ensemble->now_ms < ensemble->looking_since_ms +
				       ensemble->options.read_only_after_ms)
		return;
	zab_member_set_mode(ensemble->parts.zab, ZAB_READS, SERVING_READS);
	ensemble->is_status_old = true;
}

static bool
poll_round(void *arg, uint64_t now_ms, int64_t wall_ms)
{
	struct ensemble *ensemble = arg;
	bool did_work = false;

	ensemble->now_ms = now_ms;
	ensemble->wall_ms = wall_ms;
	ensemble_late_send(ensemble);
	did_work |= take_streams(ensemble);
	ensemble_burst_step(ensemble);
	did_work |= ensemble_step_diverged(ensemble);
	did_work |= ensemble_step_broken(ensemble);
	did_work |= ensemble_take_links(ensemble);
	did_work |= step_durable(ensemble);
	did_work |= ensemble_take_store(ensemble);
	did_work |= ensemble_poll_genesis(ensemble);
	did_work |= ensemble_poll_lend(ensemble);
	did_work |= ensemble_poll_patch(ensemble);
	did_work |= ensemble_apply_held(ensemble);
	did_work |= step_tick(ensemble);
	step_yield(ensemble);
	did_work |= ensemble_run_learners(ensemble);
	serve_reads(ensemble);
	return did_work;
}

static void
flush_round(void *arg, uint64_t now_ms)
{
	struct ensemble *ensemble = arg;
	uint64_t fle_ms, peer_ms;

	ensemble_burst_step(ensemble);
	fle_ms = fle_net_poll(ensemble->fle, now_ms);
	peer_ms = peer_net_poll(ensemble->peers, now_ms);
	ensemble->nets_ms = fle_ms < peer_ms ? fle_ms : peer_ms;
	stream_flush(ensemble->parts.streams);
	if (ensemble->is_status_old)
		ensemble_tell_status(ensemble);
}

static bool
has_work(const void *arg)
{
	const struct ensemble *ensemble = arg;
	int err = FAL_OK;

	return ensemble->broken_slots != 0 || ensemble->must_tell_diverged ||
	       ensemble->link_count != 0 ||
	       !ensemble_burst_is_empty(ensemble) ||
	       ensemble->late.slots != 0 ||
	       atomic_load_explicit(&ensemble->must_yield,
				    memory_order_relaxed) ||
	       ensemble->parts.store.has_event(ensemble->parts.store.store) ||
	       (!zab_member_is_lent(ensemble->parts.zab) &&
		(zab_member_durable(ensemble->parts.zab, &err) >
			 ensemble->durable_told ||
		 err != FAL_OK));
}

static uint64_t
next_timer_ms(const void *arg)
{
	const struct ensemble *ensemble = arg;
	uint64_t next = zab_wake_ms(ensemble->core);

	if (ensemble->nets_ms < next)
		next = ensemble->nets_ms;
	if (ensemble_genesis_wake_ms(ensemble) < next)
		next = ensemble_genesis_wake_ms(ensemble);
	/* What waits for others is looked at again soon. */
	if ((ensemble->lend != LEND_NOTHING || ensemble->must_patch ||
	     ensemble->held_first != NULL ||
	     ensemble_learners_have_work(ensemble)) &&
	    ensemble->now_ms + 2 < next)
		next = ensemble->now_ms + 2;
	if (ensemble->options.is_read_only_enabled &&
	    ensemble->role == FLE_LOOKING) {
		const uint64_t reads_ms = ensemble->looking_since_ms +
					  ensemble->options.read_only_after_ms;

		if (reads_ms > ensemble->now_ms && reads_ms < next)
			next = reads_ms;
	}
	return next;
}

/* ---- what the zab asks ------------------------------------------------------
 */

static int64_t
next_zxid(void *arg, uint32_t entry_bytes)
{
	const struct ensemble *ensemble = arg;

	if (!entry_ring_has_room(ensemble->recent, entry_bytes,
				 ensemble->committed))
		return 0;
	return ensemble_burst_next_zxid(ensemble);
}

static void
keep(void *arg, int64_t zxid, const uint8_t *entry, uint32_t entry_bytes)
{
	struct ensemble *ensemble = arg;
	struct txn_entry made;

	if (FAL_UNLIKELY(ensemble->proposing != NULL))
		ensemble->is_reconfig_kept =
			txn_get_entry(entry, entry_bytes, &made) == 0 &&
			made.header.type == OP_RECONFIG;
	entry_ring_put(ensemble->recent, zxid, entry, entry_bytes);
	stats_add(ensemble->parts.stats, STAT_PROPOSALS, 1);
	stats_set(ensemble->parts.stats, STAT_PROPOSAL_LAST, entry_bytes);
}

static void
proposed(void *arg, int64_t zxid)
{
	struct ensemble *ensemble = arg;
	struct zab_event event = {.type = ZAB_EV_PROPOSE,
				  .zxid = zxid,
				  .config = ensemble->proposing};

	if (FAL_LIKELY(ensemble->proposing == NULL)) {
		ensemble_burst_propose(ensemble, zxid);
		return;
	}
	/* Refused after all: then it is an error transaction. */
	if (!ensemble->is_reconfig_kept)
		event.config = NULL;
	ensemble->proposing = NULL;
	ensemble_step(ensemble, &event);
}

static bool
sync_of_client(void *arg, const struct req *req)
{
	struct ensemble *ensemble = arg;
	struct zab_event event = {.type = ZAB_EV_SYNC, .slot = ZAB_SELF_SLOT};

	if (ensemble->role != FLE_LEADING)
		return ensemble_forward(ensemble, req);
	ensemble_step(ensemble, &event);
	return true;
}

static void
busy(void *arg, uint32_t body_bytes)
{
	ensemble_busy(arg, body_bytes);
}

static struct zab_quorum
quorum_of(struct ensemble *ensemble)
{
	return (struct zab_quorum){
		.arg = ensemble,
		.poll = poll_round,
		.flush = flush_round,
		.has_work = has_work,
		.next_timer_ms = next_timer_ms,
		.next_zxid = next_zxid,
		.keep = keep,
		.proposed = proposed,
		.busy = busy,
		.reconfigure = ensemble_reconfigure,
		.forward = ensemble_forward,
		.sync = sync_of_client,
		.revalidate = ensemble_revalidate,
	};
}

/* ---- life
 * --------------------------------------------------------------------- */

static int
make_nets(struct ensemble *ensemble)
{
	const struct fle_net_hooks fle = ensemble_fle_hooks(ensemble);
	const struct peer_hooks peer = ensemble_peer_hooks(ensemble);
	const int err =
		fle_net_create(&ensemble->options.fle, ensemble->parts.streams,
			       &fle, &ensemble->fle);

	if (err != FAL_OK)
		return err;
	return peer_net_create(&ensemble->options.peer, ensemble->parts.streams,
			       &peer, &ensemble->peers);
}

static int
make_parts(struct ensemble *ensemble)
{
	int err;

	ensemble->core = aligned_alloc(
		FAL_CACHE_LINE_BYTES,
		bits_align_up(zab_core_bytes(), FAL_CACHE_LINE_BYTES));
	ensemble->scratch = malloc(SCRATCH_BYTES);
	ensemble->derived = malloc(ENSEMBLE_CONFIG_BYTES_MAX);
	if (ensemble->core == NULL || ensemble->scratch == NULL ||
	    ensemble->derived == NULL)
		return FAL_ENOMEM;
	ensemble->scratch_bytes = SCRATCH_BYTES;
	err = zab_init(ensemble->core, &ensemble->options.core);
	if (err == FAL_OK)
		err = entry_ring_create(ensemble->options.recent_bytes,
					RECENT_PLACES, &ensemble->recent);
	if (err == FAL_OK)
		err = ensemble_relay_init(ensemble);
	if (err == FAL_OK)
		err = ensemble_note_init(ensemble);
	if (err == FAL_OK)
		err = make_nets(ensemble);
	return err;
}

int
ensemble_create(const struct ensemble_options *options,
		const struct ensemble_parts *parts,
		const struct ensemble_hooks *hooks, struct ensemble **out)
{
	struct ensemble *ensemble = calloc(1, sizeof(*ensemble));

	if (ensemble == NULL)
		return FAL_ENOMEM;
	ensemble->options = *options;
	ensemble->parts = *parts;
	ensemble->hooks = *hooks;
	if (ensemble->options.held_bytes_max == 0)
		ensemble->options.held_bytes_max = HELD_BYTES_DEFAULT;
	if (ensemble->options.queue_bytes_max == 0)
		ensemble->options.queue_bytes_max = QUEUE_BYTES_DEFAULT;

	const int err = make_parts(ensemble);

	if (err != FAL_OK) {
		ensemble_destroy(ensemble);
		return err;
	}
	*out = ensemble;
	return FAL_OK;
}

void
ensemble_destroy(struct ensemble *ensemble)
{
	if (ensemble == NULL)
		return;
	ensemble->append_to = -1;
	ensemble_drop_held(ensemble);
	for (uint32_t slot = 0; slot < ZAB_CONNS_MAX; slot++)
		ensemble_learner_gone(ensemble, slot);
	if (ensemble->peers != NULL)
		peer_net_destroy(ensemble->peers);
	if (ensemble->fle != NULL)
		fle_net_destroy(ensemble->fle);
	entry_ring_destroy(ensemble->recent);
	ensemble_relay_free(ensemble);
	free(ensemble->status_words);
	free(ensemble->acks);
	free(ensemble->derived);
	free(ensemble->scratch);
	free(ensemble->core);
	free(ensemble);
}

const struct fle_net *
ensemble_fle(const struct ensemble *ensemble)
{
	return ensemble->fle;
}

const struct peer_net *
ensemble_peers(const struct ensemble *ensemble)
{
	return ensemble->peers;
}

/* Connections to all members, so that a vote needs no dial. */
static void
connect_members(struct ensemble *ensemble)
{
	const struct quorum *quorum = zab_config(ensemble->core);

	for (uint32_t i = 0; i < quorum->member_count; i++)
		if (quorum->member[i].sid != ensemble->options.core.sid)
			fle_net_connect(ensemble->fle, quorum->member[i].sid);
	ensemble->members = *quorum;
}

void
ensemble_start(struct ensemble *ensemble, const struct zab_disk_state *disk,
	       const struct ensemble_genesis *genesis, const char *text,
	       const char *next_text, uint64_t now_ms)
{
	const struct zab_quorum quorum = quorum_of(ensemble);
	struct zab_disk_state shown = *disk;
	struct zab_event event = {.type = ZAB_EV_START, .disk = &shown};

	ensemble->now_ms = now_ms;
	ensemble->looking_since_ms = now_ms;
	ensemble->lost_ms = now_ms;
	ensemble->durable_told = disk->history->last_zxid;
	ensemble->append_to = disk->history->last_zxid;
	ensemble->exact_from = INT64_MAX;
	ensemble_config_init(ensemble, disk, text, next_text);
	zab_member_join(ensemble->parts.zab, &quorum, disk->committed_zxid);
	if (ensemble_genesis_init(ensemble, disk, genesis))
		shown.is_nonvoting = true;
	ensemble_step(ensemble, &event);
	ensemble_genesis_start(ensemble);
	connect_members(ensemble);
	ensemble_tell_status(ensemble);
}

void
ensemble_on_event(void *arg, const struct stream_event *event, uint64_t now_ms)
{
	struct ensemble *ensemble = arg;
	const struct ensemble_options *options = &ensemble->options;

	ensemble->now_ms = now_ms;
	if (event->tag == options->fle.listen_tag ||
	    event->tag == options->fle.connect_tag)
		fle_net_on_event(ensemble->fle, event, now_ms);
	else
		peer_on_event(ensemble->peers, event, now_ms);
}

void
ensemble_yield(struct ensemble *ensemble)
{
	/* pairs with acquire in step_yield() */
	atomic_store_explicit(&ensemble->must_yield, true,
			      memory_order_release);
}
