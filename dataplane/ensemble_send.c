/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ensemble_send - packets to learners and to the leader.
 *
 * Bytes behind FOLLOWERINFO, OBSERVERINFO and LEADERINFO, which ZooKeeper
 * ignores:
 *
 *   0  4  "FALC"
 *   4  4  beacon_ms (consensus/zab.h, "Beacons")
 *
 * Ranges are gathered in the scratch buffer and handed on in portions. Entries
 * of own proposals come from entry_ring; one that is not there any more costs
 * the learner its connection, and synchronization brings it.
 */
#include "dataplane/ensemble_int.h"

#include <string.h>

#include "base/be.h"

#define BEACON_MAGIC  0x46414c43u
#define BEACON_BYTES  8u
#define PORTION_BYTES 32768u
#define PACKET_MARGIN 64u
/* Touched sessions in one packet, 48 KiB: a leader takes what is larger than
 * its jute.maxbuffer and as much again for garbage, and hangs up. */
#define PING_TOUCHES_MAX 4096u
/* Bytes on their way to the leader before clients' writes are held back. */
#define FORWARD_BYTES_MAX (32ull << 20)
#define LEADER_BIT        (1ull << ZAB_LEADER_SLOT)

uint32_t
ensemble_beacon_of(struct jute_slice rest)
{
	if (rest.bytes < (int32_t)BEACON_BYTES ||
	    be_load32(rest.data) != BEACON_MAGIC)
		return 0;
	return be_load32(rest.data + 4);
}

/* The bytes themselves; empty for a peer that need not know. */
static struct jute_slice
beacon_bytes(uint32_t beacon_ms, uint8_t space[BEACON_BYTES])
{
	if (beacon_ms == 0)
		return jute_slice_of("", 0);
	be_store32(space, BEACON_MAGIC);
	be_store32(space + 4, beacon_ms);
	return jute_slice_of(space, BEACON_BYTES);
}

static struct jute_writer
writer_of(struct ensemble *ensemble, size_t bytes)
{
	return jute_writer_of(ensemble_scratch(ensemble, bytes), bytes);
}

static void
send_written(struct ensemble *ensemble, uint64_t slots,
	     const struct jute_writer *writer)
{
	FAL_ASSERT(!writer->is_full);
	FAL_ASSERT((ensemble->late.slots & slots) == 0);
	peer_send(ensemble->peers, slots, writer->start,
		  (uint32_t)jute_written(writer));
}

/* ---- packets without data
 * ----------------------------------------------------- */

static void
send_bare(struct ensemble *ensemble, const struct zab_action *action)
{
	struct jute_writer writer = writer_of(ensemble, PORTION_BYTES);

	for (int64_t zxid = action->zxid; zxid <= action->zxid_last; zxid++) {
		for (uint32_t i = 0; i < action->count; i++) {
			if (jute_written(&writer) + QUORUM_PACKET_BARE_BYTES >
			    PORTION_BYTES) {
				send_written(ensemble, action->slots, &writer);
				writer.at = writer.start;
			}
			quorum_packet_put_bare(&writer, action->packet, zxid);
		}
	}
	send_written(ensemble, action->slots, &writer);
}

static void
send_syncs(struct ensemble *ensemble, const struct zab_action *action)
{
	send_bare(ensemble, action);
	for (uint32_t slot = 0; slot < ZAB_CONNS_MAX; slot++) {
		struct learner *learner = &ensemble->learner[slot];

		if (!(action->slots & 1ull << slot))
			continue;
		learner->syncs -= action->count < learner->syncs
					  ? action->count
					  : learner->syncs;
	}
}

/* ---- discovery
 * ------------------------------------------------------------------ */

static void
send_info(struct ensemble *ensemble, const struct zab_action *action)
{
	struct jute_writer writer = writer_of(ensemble, PORTION_BYTES);
	const size_t mark =
		quorum_packet_begin(&writer, action->packet, action->zxid);
	uint8_t space[BEACON_BYTES];
	const struct jute_slice rest = beacon_bytes(action->beacon_ms, space);

	if (action->packet == QUORUM_LEADERINFO)
		quorum_packet_put_leader_info(
			&writer, &(struct quorum_leader_info){
					 QUORUM_PROTOCOL_VERSION, rest});
	else
		quorum_packet_put_learner_info(
			&writer,
			&(struct quorum_learner_info){
				.sid = ensemble->options.core.sid,
				.protocol_version = QUORUM_PROTOCOL_VERSION,
				.config_version =
					zab_config(ensemble->core)->version,
				.rest = rest});
	quorum_packet_end(&writer, mark, NULL);
	send_written(ensemble, action->slots, &writer);
}

static void
send_ack_epoch(struct ensemble *ensemble, const struct zab_action *action)
{
	struct jute_writer writer = writer_of(ensemble, PORTION_BYTES);
	const size_t mark =
		quorum_packet_begin(&writer, QUORUM_ACKEPOCH, action->zxid);

	jute_put_int(&writer, (int32_t)action->epoch);
	quorum_packet_end(&writer, mark, NULL);
	send_written(ensemble, action->slots, &writer);
}

static void
send_newleader(struct ensemble *ensemble, const struct zab_action *action)
{
	const struct jute_slice text =
		ensemble_config_text(ensemble, action->config_version);
	struct jute_writer writer =
		writer_of(ensemble, (size_t)text.bytes + PACKET_MARGIN);
	const struct quorum_packet packet = {.type = QUORUM_NEWLEADER,
					     .zxid = action->zxid,
					     .data = text,
					     .authinfo = {.count = -1}};

	quorum_packet_put(&writer, &packet);
	send_written(ensemble, action->slots, &writer);
}

/* ---- transactions
 * ----------------------------------------------------------------- */

/* Whoever misses an entry must be synchronized again. */
static void
break_all(struct ensemble *ensemble, uint64_t slots)
{
	for (uint32_t slot = 0; slot < ZAB_CONNS_MAX; slot++)
		if (slots & 1ull << slot)
			ensemble_break(ensemble, slot, PEER_SOURCE);
}

static void
put_entry(struct jute_writer *writer, const struct zab_action *action,
	  int64_t zxid, const uint8_t *entry, uint32_t bytes)
{
	const size_t mark = quorum_packet_begin(writer, action->packet, zxid);

	if (action->packet == QUORUM_INFORMANDACTIVATE)
		jute_put_long(writer, action->sid);
	jute_put_raw(writer, entry, bytes);
	quorum_packet_end(writer, mark, NULL);
}

static void
send_entries(struct ensemble *ensemble, const struct zab_action *action)
{
	struct jute_writer writer = writer_of(ensemble, PORTION_BYTES);

	for (int64_t zxid = action->zxid; zxid <= action->zxid_last; zxid++) {
		uint32_t bytes = 0;
		const uint8_t *entry =
			entry_ring_find(ensemble->recent, zxid, &bytes);

		if (FAL_UNLIKELY(entry == NULL)) {
			break_all(ensemble, action->slots);
			return;
		}
		if (jute_written(&writer) + bytes + PACKET_MARGIN >
		    PORTION_BYTES) {
			if (jute_written(&writer) > 0)
				send_written(ensemble, action->slots, &writer);
			writer = writer_of(ensemble, PORTION_BYTES + bytes +
							     PACKET_MARGIN);
		}
		put_entry(&writer, action, zxid, entry, bytes);
	}
	send_written(ensemble, action->slots, &writer);
}

static void
send_activate(struct ensemble *ensemble, const struct zab_action *action)
{
	struct jute_writer writer = writer_of(ensemble, PORTION_BYTES);
	const size_t mark =
		quorum_packet_begin(&writer, action->packet, action->zxid);

	jute_put_long(&writer, action->sid);
	quorum_packet_end(&writer, mark, NULL);
	send_written(ensemble, action->slots, &writer);
}

/* ---- touched sessions
 * --------------------------------------------------------------- */

/* A PING to the leader that is being written. */
struct ping {
	struct ensemble *ensemble;
	struct jute_writer writer;
	size_t mark;
	uint32_t count;
	int64_t rest_zxid; /* of the PINGs behind the first */
};

static void
ping_begin(struct ping *ping, int64_t zxid)
{
	ping->writer = writer_of(ping->ensemble,
				 PACKET_MARGIN + (size_t)PING_TOUCHES_MAX *
							 QUORUM_TOUCH_BYTES);
	ping->mark = quorum_packet_begin(&ping->writer, QUORUM_PING, zxid);
	ping->count = 0;
}

static void
ping_end(struct ping *ping)
{
	quorum_packet_end(&ping->writer, ping->mark, NULL);
	send_written(ping->ensemble, LEADER_BIT, &ping->writer);
}

/* What does not fit follows at once. */
static void
put_touch(void *arg, int64_t session_id, int32_t timeout_ms)
{
	struct ping *ping = arg;

	if (ping->count == PING_TOUCHES_MAX) {
		ping_end(ping);
		ping_begin(ping, ping->rest_zxid);
	}
	ping->count++;
	quorum_packet_put_touch(&ping->writer,
				&(struct quorum_touch){session_id, timeout_ms});
}

static void
send_ping(struct ensemble *ensemble, const struct zab_action *action)
{
	/* An echo is one echo; that this server is busy counts until the next
	 * packet (consensus/zab_beacon.c). */
	struct ping ping = {.ensemble = ensemble,
			    .rest_zxid = action->zxid < ZAB_NO_ZXID
						 ? action->zxid
						 : ZAB_NO_ZXID};

	if (action->slots != LEADER_BIT) {
		send_bare(ensemble, action);
		return;
	}
	ping_begin(&ping, action->zxid);
	zab_member_each_touched(ensemble->parts.zab, put_touch, &ping);
	ensemble_relay_each_touched(ensemble, put_touch, &ping);
	ping_end(&ping);
}

void
ensemble_send(struct ensemble *ensemble, const struct zab_action *action)
{
	ensemble_late_overtaken(ensemble, action->slots);
	switch (action->packet) {
	case QUORUM_FOLLOWERINFO:
	case QUORUM_OBSERVERINFO:
	case QUORUM_LEADERINFO:
		send_info(ensemble, action);
		break;
	case QUORUM_ACKEPOCH:
		send_ack_epoch(ensemble, action);
		break;
	case QUORUM_NEWLEADER:
		send_newleader(ensemble, action);
		break;
	case QUORUM_PROPOSAL:
	case QUORUM_INFORM:
	case QUORUM_INFORMANDACTIVATE:
		send_entries(ensemble, action);
		break;
	case QUORUM_COMMITANDACTIVATE:
		send_activate(ensemble, action);
		break;
	case QUORUM_PING:
		send_ping(ensemble, action);
		break;
	case QUORUM_SYNC:
		send_syncs(ensemble, action);
		break;
	default:
		/* UPTODATE: a learner more is synchronized. */
		ensemble->is_status_old |= action->packet == QUORUM_UPTODATE;
		send_bare(ensemble, action);
	}
}

/* ---- streams
 * -------------------------------------------------------------------------- */

static uint32_t
slot_of(const struct zab_action *action)
{
	FAL_ASSERT(action->slots != 0);
	return (uint32_t)__builtin_ctzll(action->slots);
}

static void
send_stream(struct ensemble *ensemble, uint32_t slot,
	    struct store_stream *stream)
{
	ensemble_late_overtaken(ensemble, 1ull << slot);
	if (stream != NULL)
		peer_send_stream(ensemble->peers, slot, stream);
	else
		ensemble_break(ensemble, slot, PEER_SOURCE);
}

void
ensemble_stream_history(struct ensemble *ensemble,
			const struct zab_action *action)
{
	const struct store_port *store = &ensemble->parts.store;

	stats_add(ensemble->parts.stats, STAT_DIFFS, 1);
	send_stream(ensemble, slot_of(action),
		    store->open_history(store->store, action->zxid,
					action->zxid_last));
}

/* A leader that is not established yet may hold more than is published; its
 * learners need all of it. */
void
ensemble_stream_snapshot(struct ensemble *ensemble,
			 const struct zab_action *action)
{
	const struct store_port *store = &ensemble->parts.store;
	int64_t zxid = 0;
	struct store_stream *stream;

	if (action->zxid > zab_member_published(ensemble->parts.zab))
		zab_member_expose(ensemble->parts.zab, action->zxid);
	stats_add(ensemble->parts.stats, STAT_SNAPS, 1);
	stream = store->open_snapshot(store->store, &zxid);
	FAL_ASSERT(stream == NULL || zxid >= action->zxid);
	send_stream(ensemble, slot_of(action), stream);
}

/* ---- requests to the leader
 * -------------------------------------------------------------- */

bool
ensemble_send_request(struct ensemble *ensemble,
		      const struct quorum_request *request,
		      const struct auth_ids *ids)
{
	const size_t ids_bytes = ids != NULL ? ids->bytes : 0;
	struct jute_writer writer;
	size_t mark;

	if (peer_queued_bytes(ensemble->peers, ZAB_LEADER_SLOT) >
	    FORWARD_BYTES_MAX)
		return false;
	writer = writer_of(ensemble, PACKET_MARGIN +
					     (size_t)request->body.bytes +
					     ids_bytes);
	mark = quorum_packet_begin(&writer, QUORUM_REQUEST, -1);
	quorum_packet_put_request(&writer, request);
	quorum_packet_end(&writer, mark, NULL);
	if (ids != NULL) {
		writer.at -= sizeof(int32_t); /* instead of the null vector */
		auth_ids_put(&writer, ids);
	}
	send_written(ensemble, LEADER_BIT, &writer);
	return true;
}

void
ensemble_send_revalidate(struct ensemble *ensemble, int64_t session_id,
			 int32_t timeout_ms)
{
	struct jute_writer writer = writer_of(ensemble, PORTION_BYTES);
	const size_t mark = quorum_packet_begin(&writer, QUORUM_REVALIDATE, -1);

	quorum_packet_put_touch(&writer,
				&(struct quorum_touch){session_id, timeout_ms});
	quorum_packet_end(&writer, mark, NULL);
	send_written(ensemble, LEADER_BIT, &writer);
}

void
ensemble_send_revalidated(struct ensemble *ensemble, uint32_t slot,
			  int64_t session_id, bool is_valid)
{
	struct jute_writer writer;
	size_t mark;

	ensemble_late_overtaken(ensemble, 1ull << slot);
	writer = writer_of(ensemble, PORTION_BYTES);
	mark = quorum_packet_begin(&writer, QUORUM_REVALIDATE, -1);

	quorum_packet_put_revalidated(
		&writer, &(struct quorum_revalidated){session_id, is_valid});
	quorum_packet_end(&writer, mark, NULL);
	send_written(ensemble, 1ull << slot, &writer);
}
