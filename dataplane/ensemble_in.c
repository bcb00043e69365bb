/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ensemble_in - notifications, packets and answers of BG become events.
 *
 * A packet is judged for its form here, before the core hears of it: once the
 * core knows a transaction it counts on it. What a packet is about beyond the
 * core (requests, touched sessions) is looked at behind its step, if the
 * connection is still there then.
 */
#include "dataplane/ensemble_int.h"

#include <string.h>

#include "base/time.h"

/* ---- elections
 * --------------------------------------------------------------- */

static void
on_notification(void *arg, int64_t sid, const struct fle_notification *said)
{
	struct ensemble *ensemble = arg;
	struct zab_event event = {
		.type = ZAB_EV_FLE,
		.sid = sid,
		.notification = {.state = said->state,
				 .version = said->version,
				 .leader = said->leader,
				 .zxid = said->zxid,
				 .round = said->round,
				 .peer_epoch = said->peer_epoch},
	};
	struct zab_view view;

	ensemble_genesis_notification(ensemble, sid, said);
	zab_view(ensemble->core, &view);
	event.config = ensemble_config_seen(ensemble, said->config);
	if (event.config != NULL &&
	    event.config->version <= view.config_version)
		event.config = NULL;
	ensemble_step(ensemble, &event);
}

/* Told by fle_net also while it sends: then a step is under way. */
static void
on_link(void *arg, int64_t sid, bool is_up)
{
	struct ensemble *ensemble = arg;
	uint32_t at = 0;

	while (at < ensemble->link_count && ensemble->link[at].sid != sid)
		at++;
	/* As many sids as fle_net has places. */
	FAL_ASSERT(at < FLE_NET_PEERS_MAX);
	ensemble->link[at] = (struct ensemble_link){sid, is_up};
	if (at == ensemble->link_count)
		ensemble->link_count++;
	if (!ensemble->is_stepping && !ensemble->is_genesis_stepping)
		ensemble_take_links(ensemble);
}

bool
ensemble_take_links(struct ensemble *ensemble)
{
	const uint32_t count = ensemble->link_count;
	struct ensemble_link link[FLE_NET_PEERS_MAX];

	if (FAL_LIKELY(count == 0))
		return false;
	memcpy(link, ensemble->link, count * sizeof(link[0]));
	ensemble->link_count = 0;
	for (uint32_t i = 0; i < count; i++) {
		struct zab_event event = {.type = ZAB_EV_FLE_LINK,
					  .sid = link[i].sid,
					  .is_up = link[i].is_up};

		ensemble_genesis_link(ensemble, link[i].sid, link[i].is_up);
		ensemble_step(ensemble, &event);
	}
	return true;
}

static uint32_t
election_addresses(void *arg, int64_t sid,
		   struct stream_address out[PEER_ADDRESSES_MAX])
{
	const struct ensemble *ensemble = arg;

	return ensemble->hooks.addresses(ensemble->hooks.arg, sid,
					 ENSEMBLE_ELECTION_PORT, out);
}

static uint32_t
resolve(void *arg, struct jute_slice text,
	struct stream_address out[PEER_ADDRESSES_MAX])
{
	const struct ensemble *ensemble = arg;

	if (ensemble->hooks.resolve == NULL)
		return 0;
	return ensemble->hooks.resolve(ensemble->hooks.arg, text, out);
}

struct fle_net_hooks
ensemble_fle_hooks(struct ensemble *ensemble)
{
	return (struct fle_net_hooks){
		.arg = ensemble,
		.receive = on_notification,
		.hello = ensemble_genesis_hello,
		.genesis = ensemble_genesis_message,
		.link = on_link,
		.addresses = election_addresses,
		.resolve = resolve,
	};
}

/* ---- packets
 * ------------------------------------------------------------------- */

static bool
read_learner_info(const struct quorum_packet *packet, struct zab_event *event)
{
	struct quorum_learner_info info;

	if (quorum_packet_get_learner_info(packet->data, &info) != 0)
		return false;
	event->sid = info.sid;
	event->config_version = info.config_version;
	event->beacon_ms = ensemble_beacon_of(info.rest);
	return true;
}

static bool
read_leader_info(const struct quorum_packet *packet, struct zab_event *event)
{
	struct quorum_leader_info info;

	if (quorum_packet_get_leader_info(packet->data, &info) != 0)
		return false;
	event->beacon_ms = ensemble_beacon_of(info.rest);
	return true;
}

static bool
read_ack_epoch(const struct quorum_packet *packet, struct zab_event *event)
{
	int32_t epoch = 0;

	if (quorum_packet_get_ack_epoch(packet->data, &epoch) != 0)
		return false;
	event->epoch = epoch;
	return true;
}

/* The leader's clock may be ahead of ours: then nothing is known. */
static void
note_since(struct ensemble *ensemble, enum stat_hist hist, int64_t time_ms)
{
	if (ensemble->wall_ms >= time_ms)
		stats_hist_record(
			ensemble->parts.stats, hist,
			time_ms_to_ns((uint64_t)(ensemble->wall_ms - time_ms)));
}

static void
count_packet(struct ensemble *ensemble, int32_t type)
{
	switch (type) {
	case QUORUM_PROPOSAL:
		stats_add(ensemble->parts.stats, STAT_PROPOSALS_RECEIVED, 1);
		break;
	case QUORUM_COMMIT:
	case QUORUM_COMMITANDACTIVATE:
	case QUORUM_INFORM:
	case QUORUM_INFORMANDACTIVATE:
		stats_add(ensemble->parts.stats, STAT_COMMITS_RECEIVED, 1);
		break;
	default:
		break;
	}
}

/* Does the entry decode, and is it what the packet says? */
static bool
read_entry(struct ensemble *ensemble, const struct quorum_packet *packet,
	   struct jute_slice bytes, struct zab_event *event)
{
	struct txn_entry entry;

	if (bytes.bytes <= 0 ||
	    txn_get_entry(bytes.data, (size_t)bytes.bytes, &entry) != 0 ||
	    entry.header.zxid != packet->zxid)
		return false;
	ensemble->entry = bytes;
	if (packet->type == QUORUM_PROPOSAL)
		note_since(ensemble, HIST_PROPOSAL_LATENCY,
			   entry.header.time_ms);
	if (FAL_UNLIKELY(entry.header.type == OP_RECONFIG))
		event->config = ensemble_config_of_entry(ensemble, bytes);
	return true;
}

static bool
read_activate(struct ensemble *ensemble, const struct quorum_packet *packet,
	      struct zab_event *event)
{
	struct quorum_activate activate;

	if (quorum_packet_get_activate(packet->data, &activate) != 0)
		return false;
	event->sid = activate.designated_leader;
	if (packet->type == QUORUM_COMMITANDACTIVATE)
		return true;
	return read_entry(ensemble, packet, activate.entry, event);
}

/* What the core wants to know of the packet; false: it is malformed. */
static bool
read_packet(struct ensemble *ensemble, const struct quorum_packet *packet,
	    struct zab_event *event)
{
	switch (packet->type) {
	case QUORUM_FOLLOWERINFO:
	case QUORUM_OBSERVERINFO:
		return read_learner_info(packet, event);
	case QUORUM_LEADERINFO:
		return read_leader_info(packet, event);
	case QUORUM_ACKEPOCH:
		return read_ack_epoch(packet, event);
	case QUORUM_NEWLEADER:
		event->config = ensemble_config_seen(ensemble, packet->data);
		return true;
	case QUORUM_PROPOSAL:
	case QUORUM_INFORM:
		return read_entry(ensemble, packet, packet->data, event);
	case QUORUM_COMMITANDACTIVATE:
	case QUORUM_INFORMANDACTIVATE:
		return read_activate(ensemble, packet, event);
	default:
		return true;
	}
}

static void
leader_packet(struct ensemble *ensemble, const struct quorum_packet *packet)
{
	struct quorum_revalidated answer;

	if (packet->type != QUORUM_REVALIDATE)
		return;
	if (quorum_packet_get_revalidated(packet->data, &answer) != 0 ||
	    !ensemble_relay_revalidated(ensemble, &answer))
		ensemble_break(ensemble, ZAB_LEADER_SLOT, PEER_PROTOCOL);
}

/* How long this follower took. */
static void
note_ack(struct ensemble *ensemble, uint32_t slot, int64_t zxid)
{
	const uint64_t ns = zab_member_age_ns(ensemble->parts.zab, zxid);

	if (ns != 0)
		ack_times_note(ensemble->acks,
			       zab_learner_sid(ensemble->core, slot), ns);
}

/* False: it is stepped like any other packet. */
static bool
take_ack(struct ensemble *ensemble, uint32_t slot,
	 const struct quorum_packet *packet)
{
	if (slot >= ZAB_CONNS_MAX || ensemble->role != FLE_LEADING)
		return false;
	note_ack(ensemble, slot, packet->zxid);
	return ensemble_burst_ack(ensemble, slot, packet->zxid);
}

static void
on_packet(void *arg, uint32_t slot, const struct quorum_packet *packet,
	  struct jute_slice raw)
{
	struct ensemble *ensemble = arg;
	struct zab_event event = {.type = ZAB_EV_PACKET,
				  .slot = slot,
				  .packet = packet->type,
				  .zxid = packet->zxid};

	(void)raw;
	if (packet->type == QUORUM_ACK && take_ack(ensemble, slot, packet))
		return;
	ensemble->closed_slots = 0;
	ensemble_burst_step(ensemble);
	if (ensemble->closed_slots & 1ull << slot)
		return;
	if (!read_packet(ensemble, packet, &event)) {
		ensemble_break(ensemble, slot, PEER_PROTOCOL);
		return;
	}
	if (packet->type == QUORUM_OBSERVERINFO)
		ensemble->learner[slot].is_observer = true;
	if (FAL_UNLIKELY(packet->data.bytes >= (int32_t)ZAB_BUSY_BYTES))
		ensemble_busy(ensemble, (uint32_t)packet->data.bytes);
	ensemble->packet = packet;
	ensemble_step(ensemble, &event);
	if (packet->type == QUORUM_NEWLEADER)
		ensemble->exact_from = ensemble->append_to;
	ensemble->packet = NULL;
	ensemble->entry = (struct jute_slice){.bytes = -1};
	if (ensemble->closed_slots & 1ull << slot)
		return;
	if (slot == ZAB_LEADER_SLOT) {
		count_packet(ensemble, packet->type);
		leader_packet(ensemble, packet);
	} else {
		ensemble_learner_packet(ensemble, slot, packet);
	}
}

/* ---- connections
 * ------------------------------------------------------------------ */

static void
on_up(void *arg, uint32_t slot)
{
	struct ensemble *ensemble = arg;
	struct zab_event event = {.type = ZAB_EV_CONN_UP, .slot = slot};

	/* The slot may be used again before its end was told. */
	ensemble_step_broken(ensemble);
	/* What was stepped may have ended the role and closed its slots. */
	if (!peer_is_up(ensemble->peers, slot))
		return;
	if (slot < ZAB_CONNS_MAX) {
		event.is_master = peer_is_master(ensemble->peers, slot);
		ensemble_learner_up(ensemble, slot);
	}
	ensemble->is_status_old = true;
	ensemble_step(ensemble, &event);
}

static void
on_down(void *arg, uint32_t slot, enum peer_down why)
{
	struct ensemble *ensemble = arg;
	struct zab_event event = {.type = ZAB_EV_CONN_DOWN, .slot = slot};
	const struct ensemble_note note = {
		.kind = ENSEMBLE_NOTE_DOWN,
		.slot = slot,
		.why = (uint32_t)why,
		.sid = slot < ZAB_CONNS_MAX
			       ? zab_learner_sid(ensemble->core, slot)
			       : ZAB_NO_SID,
	};

	ensemble_late_forget(ensemble, 1ull << slot);
	ensemble_note(ensemble, &note);
	if (slot < ZAB_CONNS_MAX)
		ensemble_learner_gone(ensemble, slot);
	ensemble->is_status_old = true;
	ensemble_step(ensemble, &event);
}

struct peer_hooks
ensemble_peer_hooks(struct ensemble *ensemble)
{
	return (struct peer_hooks){
		.arg = ensemble,
		.on_up = on_up,
		.on_down = on_down,
		.on_packet = on_packet,
		.on_raw = ensemble_on_raw,
	};
}

/* ---- answers of BG
 * ------------------------------------------------------------------ */

static void
step_answer(struct ensemble *ensemble, enum zab_event_type type,
	    const struct store_event *answer)
{
	struct zab_event event = {.type = type,
				  .zxid = answer->zxid,
				  .epoch = answer->epoch,
				  .is_current = answer->is_current};

	ensemble_step(ensemble, &event);
}

static void
take_answer(struct ensemble *ensemble, const struct store_event *answer)
{
	switch (answer->kind) {
	case STORE_EPOCH:
		step_answer(ensemble, ZAB_EV_EPOCH_DURABLE, answer);
		break;
	case STORE_CONFIG:
		step_answer(ensemble, ZAB_EV_CONFIG_DURABLE, answer);
		break;
	case STORE_GENESIS:
		ensemble_genesis_durable(ensemble);
		break;
	case STORE_FLOOR:
		step_answer(ensemble, ZAB_EV_LOG_FLOOR, answer);
		break;
	case STORE_FAILED:
		ensemble->hooks.on_fatal(ensemble->hooks.arg, answer->text);
		break;
	case STORE_NOTHING:
		break;
	case STORE_TRUNCATED:
	case STORE_INSTALLED:
	case STORE_REFUSED:
	case STORE_RELOADED:
		ensemble_end_lend(ensemble, answer);
		break;
	}
}

bool
ensemble_take_store(struct ensemble *ensemble)
{
	const struct store_port *store = &ensemble->parts.store;
	struct store_event answer;
	bool did_work = false;

	while (store->next(store->store, &answer)) {
		take_answer(ensemble, &answer);
		did_work = true;
	}
	return did_work;
}
