/* SPDX-License-Identifier: Apache-2.0 */
/* Dispatch by type and direction: PING and REVALIDATE hold different things
 * on the way to the leader and back. */

#include "quorum_mirror.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "txn_mirror.h"

static int
mirror_entry(struct jute_slice entry, struct jute_writer *writer)
{
	struct txn_entry decoded;

	if (entry.bytes < 0 ||
	    txn_get_entry(entry.data, (size_t)entry.bytes, &decoded) != FAL_OK)
		return FAL_EPROTO;
	/* other digest versions cannot be written */
	if (decoded.has_digest && decoded.digest_version != TXN_DIGEST_VERSION)
		return FAL_EPROTO;
	return txn_mirror(writer, &decoded);
}

static int
mirror_touches(struct jute_slice data, struct jute_writer *writer)
{
	const int count = quorum_packet_touch_count(data);

	for (int i = 0; i < count; i++) {
		const struct quorum_touch touch =
			quorum_packet_touch_at(data, (uint32_t)i);

		quorum_packet_put_touch(writer, &touch);
	}
	return count < 0 ? count : FAL_OK;
}

static int
mirror_activate(const struct quorum_packet *packet, struct jute_writer *writer)
{
	struct quorum_activate activate;
	int err = quorum_packet_get_activate(packet->data, &activate);

	if (err != FAL_OK)
		return err;
	quorum_packet_put_activate(
		writer,
		&(struct quorum_activate){.designated_leader =
						  activate.designated_leader});
	if (packet->type == QUORUM_INFORMANDACTIVATE)
		err = mirror_entry(activate.entry, writer);
	else if (activate.entry.bytes > 0)
		err = FAL_EPROTO;
	return err;
}

static int
mirror_from_learner(const struct quorum_packet *packet,
		    struct jute_writer *writer)
{
	struct quorum_learner_info info;
	struct quorum_request request;
	struct quorum_touch touch;
	int32_t epoch;
	int err;

	switch (packet->type) {
	case QUORUM_FOLLOWERINFO:
	case QUORUM_OBSERVERINFO:
		err = quorum_packet_get_learner_info(packet->data, &info);
		if (err == FAL_OK)
			quorum_packet_put_learner_info(writer, &info);
		return err;
	case QUORUM_ACKEPOCH:
		err = quorum_packet_get_ack_epoch(packet->data, &epoch);
		jute_put_int(writer, epoch);
		return err;
	case QUORUM_PING:
		return mirror_touches(packet->data, writer);
	case QUORUM_REQUEST:
		err = quorum_packet_get_request(packet->data, &request);
		if (err == FAL_OK)
			quorum_packet_put_request(writer, &request);
		return err;
	case QUORUM_REVALIDATE:
		err = quorum_packet_get_revalidate(packet->data, &touch);
		quorum_packet_put_touch(writer, &touch);
		return err;
	default:
		return FAL_EPROTO;
	}
}

static int
mirror_from_leader(const struct quorum_packet *packet,
		   struct jute_writer *writer)
{
	struct quorum_leader_info info;
	struct quorum_revalidated revalidated;
	int err;

	switch (packet->type) {
	case QUORUM_LEADERINFO:
		err = quorum_packet_get_leader_info(packet->data, &info);
		if (err == FAL_OK)
			quorum_packet_put_leader_info(writer, &info);
		return err;
	case QUORUM_NEWLEADER:
		jute_put_raw(writer, packet->data.data,
			     (size_t)packet->data.bytes);
		return FAL_OK;
	case QUORUM_PROPOSAL:
	case QUORUM_INFORM:
		return mirror_entry(packet->data, writer);
	case QUORUM_COMMITANDACTIVATE:
	case QUORUM_INFORMANDACTIVATE:
		return mirror_activate(packet, writer);
	case QUORUM_REVALIDATE:
		err = quorum_packet_get_revalidated(packet->data, &revalidated);
		quorum_packet_put_revalidated(writer, &revalidated);
		return err;
	default:
		return FAL_EPROTO;
	}
}

/* The ids one by one must be what the vector holds as a whole. */
static int
mirror_authinfo(const struct jute_vector *authinfo)
{
	uint8_t again[4096];
	struct jute_writer writer = jute_writer_of(again, sizeof(again));
	struct jute_reader reader;

	if (authinfo->count <= 0)
		return FAL_OK;
	reader = jute_reader_of(authinfo->data, authinfo->bytes);
	for (int32_t i = 0; i < authinfo->count; i++) {
		struct quorum_id id;

		if (quorum_packet_get_id(&reader, &id) != FAL_OK)
			return FAL_EPROTO;
		quorum_packet_put_id(&writer, &id);
	}
	FAL_ASSERT(jute_reader_left(&reader) == 0);
	FAL_ASSERT(memcmp(again, authinfo->data, jute_written(&writer)) == 0);
	return FAL_OK;
}

int
quorum_mirror_packet(const uint8_t *data, size_t bytes, bool is_from_learner,
		     struct jute_writer *writer, struct quorum_packet *packet,
		     size_t *packet_bytes)
{
	const int got =
		quorum_packet_get(data, bytes, QUORUM_PACKET_DATA_BYTES_MAX,
				  packet, packet_bytes);
	size_t mark;
	int err;

	if (got <= 0)
		return got;
	if (mirror_authinfo(&packet->authinfo) != FAL_OK)
		return FAL_EPROTO;
	if (packet->data.bytes < 0 && packet->authinfo.count < 0) {
		quorum_packet_put_bare(writer, packet->type, packet->zxid);
		return 1;
	}
	if (packet->data.bytes < 0) {
		quorum_packet_put(writer, packet);
		return 1;
	}
	mark = quorum_packet_begin(writer, packet->type, packet->zxid);
	err = is_from_learner ? mirror_from_learner(packet, writer)
			      : mirror_from_leader(packet, writer);
	/* decoders ignore what a newer peer may have added; nothing to mirror
	 */
	if (jute_written(writer) - mark != (size_t)packet->data.bytes)
		err = FAL_EPROTO;
	quorum_packet_end(writer, mark,
			  packet->authinfo.count < 0 ? NULL
						     : &packet->authinfo);
	return err == FAL_OK ? 1 : err;
}

/* ---- words ---- */

struct text {
	char *at;
	size_t left;
};

static FAL_PRINTF(2, 3) void say(struct text *text, const char *format, ...)
{
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(text->at, text->left, format, arguments);
	va_end(arguments);
	FAL_ASSERT(n >= 0 && (size_t)n < text->left);
	text->at += n;
	text->left -= (size_t)n;
}

static const char *
packet_name(int32_t type)
{
	static const char *const names[] = {
		"0",
		"REQUEST",
		"PROPOSAL",
		"ACK",
		"COMMIT",
		"PING",
		"REVALIDATE",
		"SYNC",
		"INFORM",
		"COMMITANDACTIVATE",
		"NEWLEADER",
		"FOLLOWERINFO",
		"UPTODATE",
		"DIFF",
		"TRUNC",
		"SNAP",
		"OBSERVERINFO",
		"LEADERINFO",
		"ACKEPOCH",
		"INFORMANDACTIVATE",
	};

	return type > 0 && type <= QUORUM_INFORMANDACTIVATE ? names[type] : "?";
}

static void
say_authinfo(struct text *text, const struct jute_vector *authinfo)
{
	struct jute_reader reader;

	if (authinfo->count < 0) {
		say(text, "null");
		return;
	}
	reader = jute_reader_of(authinfo->data, authinfo->bytes);
	say(text, "[");
	for (int32_t i = 0; i < authinfo->count; i++) {
		struct quorum_id id;

		FAL_ASSERT(quorum_packet_get_id(&reader, &id) == FAL_OK);
		say(text, "%s('%.*s', '%.*s')", i == 0 ? "" : ", ",
		    id.scheme.bytes, (const char *)id.scheme.data, id.id.bytes,
		    (const char *)id.id.data);
	}
	say(text, "]");
}

static void
say_touches(struct text *text, struct jute_slice data)
{
	const int count = quorum_packet_touch_count(data);

	say(text, " touched=[");
	for (int i = 0; i < count; i++) {
		const struct quorum_touch touch =
			quorum_packet_touch_at(data, (uint32_t)i);

		say(text, "%s('0x%" PRIx64 "', %d)", i == 0 ? "" : ", ",
		    (uint64_t)touch.session_id, touch.timeout_ms);
	}
	say(text, "]");
}

static void
say_from_learner(struct text *text, const struct quorum_packet *packet)
{
	struct quorum_learner_info info;
	struct quorum_request request;
	struct quorum_touch touch;
	int32_t epoch;

	switch (packet->type) {
	case QUORUM_FOLLOWERINFO:
	case QUORUM_OBSERVERINFO:
		FAL_ASSERT(quorum_packet_get_learner_info(packet->data,
							  &info) == FAL_OK);
		say(text, " sid=%" PRId64 " protocol=0x%x", info.sid,
		    (uint32_t)info.protocol_version);
		say(text, " configVersion=0x%" PRIx64,
		    (uint64_t)info.config_version);
		break;
	case QUORUM_ACKEPOCH:
		FAL_ASSERT(quorum_packet_get_ack_epoch(packet->data, &epoch) ==
			   FAL_OK);
		say(text, " currentEpoch=%d", epoch);
		break;
	case QUORUM_PING:
		say_touches(text, packet->data);
		break;
	case QUORUM_REQUEST:
		FAL_ASSERT(quorum_packet_get_request(packet->data, &request) ==
			   FAL_OK);
		say(text, " session=0x%" PRIx64 " cxid=%d op=",
		    (uint64_t)request.session_id, request.cxid);
		break;
	case QUORUM_REVALIDATE:
		FAL_ASSERT(quorum_packet_get_revalidate(packet->data, &touch) ==
			   FAL_OK);
		say(text, " session=0x%" PRIx64 " timeout=%d",
		    (uint64_t)touch.session_id, touch.timeout_ms);
		break;
	default:
		break;
	}
}

static void
say_from_leader(struct text *text, const struct quorum_packet *packet)
{
	struct quorum_leader_info info;
	struct quorum_revalidated revalidated;
	struct quorum_activate activate;

	switch (packet->type) {
	case QUORUM_LEADERINFO:
		FAL_ASSERT(quorum_packet_get_leader_info(packet->data, &info) ==
			   FAL_OK);
		say(text, " protocol=0x%x", (uint32_t)info.protocol_version);
		break;
	case QUORUM_PROPOSAL:
	case QUORUM_INFORM:
		say(text, " zxid=0x%" PRIx64 " type=", (uint64_t)packet->zxid);
		break;
	case QUORUM_COMMITANDACTIVATE:
	case QUORUM_INFORMANDACTIVATE:
		FAL_ASSERT(quorum_packet_get_activate(packet->data,
						      &activate) == FAL_OK);
		say(text, " designatedLeader=%" PRId64,
		    activate.designated_leader);
		break;
	case QUORUM_REVALIDATE:
		FAL_ASSERT(quorum_packet_get_revalidated(
				   packet->data, &revalidated) == FAL_OK);
		say(text, " session=0x%" PRIx64 " valid=%s",
		    (uint64_t)revalidated.session_id,
		    revalidated.is_valid ? "True" : "False");
		break;
	default:
		break;
	}
}

void
quorum_mirror_describe(const struct quorum_packet *packet, bool is_from_learner,
		       char *text_at, size_t text_bytes)
{
	struct text text = {text_at, text_bytes};

	say(&text, "%s(%d) zxid=0x%" PRIx64 " data=", packet_name(packet->type),
	    packet->type, (uint64_t)packet->zxid);
	if (packet->data.bytes < 0)
		say(&text, "null");
	else
		say(&text, "%dB", packet->data.bytes);
	say(&text, " auth=");
	say_authinfo(&text, &packet->authinfo);
	if (is_from_learner)
		say_from_learner(&text, packet);
	else
		say_from_leader(&text, packet);
}

void
quorum_mirror_describe_notification(const struct fle_notification *n,
				    size_t frame_bytes, char *text_at,
				    size_t text_bytes)
{
	static const char *const states[] = {"LOOKING", "FOLLOWING", "LEADING",
					     "OBSERVING"};
	struct text text = {text_at, text_bytes};

	say(&text,
	    "len=%zu %s leader=%" PRId64 " zxid=0x%" PRIx64 " round=0x%" PRIx64
	    " peerEpoch=0x%" PRIx64 " v=%d config='server.",
	    frame_bytes, states[n->state], n->leader, (uint64_t)n->zxid,
	    (uint64_t)n->round, (uint64_t)n->peer_epoch, n->version);
}
