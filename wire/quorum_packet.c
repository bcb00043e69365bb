/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets of the learner port.
 *
 * The stream has no packet lengths, so decoding and waiting for more are one
 * thing: a cursor walks the fields that are there, and where bytes are missing
 * it tells up to where it would have to see. Lengths are judged before the
 * bytes behind them are waited for.
 */

#include "wire/quorum_packet.h"

#define QUORUM_ID_BYTES_MIN 8 /* two strings without text */

struct quorum_cursor {
	const uint8_t *data;
	size_t bytes;
	size_t at;     /* <= bytes */
	size_t wanted; /* set when something was missing */
	int32_t bytes_max;
};

/* 1 and the bytes at *from, or 0 and cursor->wanted. */
static int
quorum_cursor_take(struct quorum_cursor *cursor, size_t bytes,
		   const uint8_t **from)
{
	if (cursor->bytes - cursor->at < bytes) {
		cursor->wanted = cursor->at + bytes;
		return 0;
	}
	*from = cursor->data + cursor->at;
	cursor->at += bytes;
	return 1;
}

static int
quorum_cursor_take_slice(struct quorum_cursor *cursor, struct jute_slice *out)
{
	const uint8_t *from = NULL;
	int got = quorum_cursor_take(cursor, sizeof(int32_t), &from);

	if (got <= 0)
		return got;
	out->data = NULL;
	out->bytes = (int32_t)be_load32(from);
	if (out->bytes < -1 || out->bytes > cursor->bytes_max)
		return FAL_EPROTO;
	if (out->bytes == -1)
		return 1;
	return quorum_cursor_take(cursor, (size_t)out->bytes, &out->data);
}

/* Counts below -1 read as empty, as in every vector. */
static int
quorum_cursor_take_authinfo(struct quorum_cursor *cursor,
			    struct jute_vector *out)
{
	const uint8_t *from = NULL;
	const int32_t count_max = cursor->bytes_max / QUORUM_ID_BYTES_MIN;
	size_t start;
	int got = quorum_cursor_take(cursor, sizeof(int32_t), &from);

	if (got <= 0)
		return got;
	out->count = (int32_t)be_load32(from);
	if (out->count > count_max)
		return FAL_EPROTO;
	if (out->count < -1)
		out->count = 0;
	start = cursor->at;
	out->data = cursor->data + start;
	for (int32_t i = 0; i < 2 * out->count; i++) {
		struct jute_slice text;

		got = quorum_cursor_take_slice(cursor, &text);
		if (got <= 0)
			return got;
		if (cursor->at - start > (size_t)cursor->bytes_max)
			return FAL_EPROTO;
	}
	out->bytes = (uint32_t)(cursor->at - start);
	return 1;
}

int
quorum_packet_get(const void *data, size_t bytes, int32_t bytes_max,
		  struct quorum_packet *out, size_t *packet_bytes)
{
	struct quorum_cursor cursor = {
		.data = data, .bytes = bytes, .bytes_max = bytes_max};
	const uint8_t *from = NULL;
	int got;

	FAL_ASSERT(bytes_max > 0);
	got = quorum_cursor_take(&cursor, 12, &from);
	if (got > 0) {
		out->type = (int32_t)be_load32(from);
		out->zxid = (int64_t)be_load64(from + 4);
		got = quorum_cursor_take_slice(&cursor, &out->data);
	}
	if (got > 0)
		got = quorum_cursor_take_authinfo(&cursor, &out->authinfo);
	*packet_bytes = got > 0 ? cursor.at : cursor.wanted;
	/* no packet is smaller: ask once for the least that can be whole */
	if (got == 0 && *packet_bytes < QUORUM_PACKET_BARE_BYTES)
		*packet_bytes = QUORUM_PACKET_BARE_BYTES;
	return got;
}

static int
quorum_reader_verdict(const struct jute_reader *reader)
{
	return jute_reader_ok(reader) ? FAL_OK : FAL_EPROTO;
}

/* Null data reads like empty: too short for everything that reads. */
static struct jute_reader
quorum_reader_of(struct jute_slice data)
{
	static const uint8_t none[1];

	return data.bytes > 0 ? jute_reader_of(data.data, (size_t)data.bytes)
			      : jute_reader_of(none, 0);
}

static struct jute_slice
quorum_reader_rest(const struct jute_reader *reader)
{
	return jute_slice_of(reader->at, jute_reader_left(reader));
}

int
quorum_packet_get_id(struct jute_reader *reader, struct quorum_id *out)
{
	out->scheme = jute_get_slice(reader);
	out->id = jute_get_slice(reader);
	return quorum_reader_verdict(reader);
}

int
quorum_packet_get_learner_info(struct jute_slice data,
			       struct quorum_learner_info *out)
{
	struct jute_reader reader = quorum_reader_of(data);

	out->sid = jute_get_long(&reader);
	out->protocol_version = jute_get_int(&reader);
	out->config_version = jute_get_long(&reader);
	out->rest = quorum_reader_rest(&reader);
	return quorum_reader_verdict(&reader);
}

int
quorum_packet_get_leader_info(struct jute_slice data,
			      struct quorum_leader_info *out)
{
	struct jute_reader reader = quorum_reader_of(data);

	out->protocol_version = jute_get_int(&reader);
	out->rest = quorum_reader_rest(&reader);
	return quorum_reader_verdict(&reader);
}

int
quorum_packet_get_ack_epoch(struct jute_slice data, int32_t *epoch)
{
	struct jute_reader reader = quorum_reader_of(data);

	*epoch = jute_get_int(&reader);
	return quorum_reader_verdict(&reader);
}

int
quorum_packet_touch_count(struct jute_slice data)
{
	if (data.bytes <= 0)
		return 0;
	return data.bytes % QUORUM_TOUCH_BYTES == 0
		       ? data.bytes / QUORUM_TOUCH_BYTES
		       : FAL_EPROTO;
}

struct quorum_touch
quorum_packet_touch_at(struct jute_slice data, uint32_t index)
{
	const size_t offset = (size_t)index * QUORUM_TOUCH_BYTES;

	FAL_ASSERT(data.bytes > 0);
	FAL_ASSERT(offset + QUORUM_TOUCH_BYTES <= (size_t)data.bytes);
	return (struct quorum_touch){
		.session_id = (int64_t)be_load64(data.data + offset),
		.timeout_ms = (int32_t)be_load32(data.data + offset + 8),
	};
}

int
quorum_packet_get_request(struct jute_slice data, struct quorum_request *out)
{
	struct jute_reader reader = quorum_reader_of(data);

	out->session_id = jute_get_long(&reader);
	out->cxid = jute_get_int(&reader);
	out->op = jute_get_int(&reader);
	out->body = quorum_reader_rest(&reader);
	return quorum_reader_verdict(&reader);
}

int
quorum_packet_get_revalidate(struct jute_slice data, struct quorum_touch *out)
{
	struct jute_reader reader = quorum_reader_of(data);

	out->session_id = jute_get_long(&reader);
	out->timeout_ms = jute_get_int(&reader);
	return quorum_reader_verdict(&reader);
}

int
quorum_packet_get_revalidated(struct jute_slice data,
			      struct quorum_revalidated *out)
{
	struct jute_reader reader = quorum_reader_of(data);

	out->session_id = jute_get_long(&reader);
	out->is_valid = jute_get_bool(&reader);
	return quorum_reader_verdict(&reader);
}

int
quorum_packet_get_activate(struct jute_slice data, struct quorum_activate *out)
{
	struct jute_reader reader = quorum_reader_of(data);

	out->designated_leader = jute_get_long(&reader);
	out->entry = quorum_reader_rest(&reader);
	return quorum_reader_verdict(&reader);
}

static void
quorum_put_head(struct jute_writer *writer, int32_t type, int64_t zxid,
		int32_t data_bytes)
{
	uint8_t *to = jute_claim(writer, QUORUM_PACKET_HEAD_BYTES);

	if (to == NULL)
		return;
	be_store32(to, (uint32_t)type);
	be_store64(to + 4, (uint64_t)zxid);
	be_store32(to + 12, (uint32_t)data_bytes);
}

void
quorum_packet_put(struct jute_writer *writer,
		  const struct quorum_packet *packet)
{
	const int32_t bytes = packet->data.bytes;

	quorum_put_head(writer, packet->type, packet->zxid,
			bytes < 0 ? -1 : bytes);
	if (bytes > 0)
		jute_put_raw(writer, packet->data.data, (size_t)bytes);
	proto_put_vector(writer, &packet->authinfo);
}

void
quorum_packet_put_bare(struct jute_writer *writer, int32_t type, int64_t zxid)
{
	quorum_put_head(writer, type, zxid, -1);
	jute_put_int(writer, -1);
}

size_t
quorum_packet_begin(struct jute_writer *writer, int32_t type, int64_t zxid)
{
	quorum_put_head(writer, type, zxid, 0);
	return jute_written(writer);
}

void
quorum_packet_end(struct jute_writer *writer, size_t mark,
		  const struct jute_vector *authinfo)
{
	if (!writer->is_full) {
		const size_t bytes = jute_written(writer) - mark;

		FAL_ASSERT(mark >= QUORUM_PACKET_HEAD_BYTES);
		FAL_ASSERT(bytes <= INT32_MAX);
		be_store32(writer->start + mark - sizeof(int32_t),
			   (uint32_t)bytes);
	}
	if (authinfo != NULL)
		proto_put_vector(writer, authinfo);
	else
		jute_put_int(writer, -1);
}

void
quorum_packet_put_id(struct jute_writer *writer, const struct quorum_id *id)
{
	jute_put_slice(writer, id->scheme);
	jute_put_slice(writer, id->id);
}

static void
quorum_put_rest(struct jute_writer *writer, struct jute_slice rest)
{
	if (rest.bytes > 0)
		jute_put_raw(writer, rest.data, (size_t)rest.bytes);
}

void
quorum_packet_put_learner_info(struct jute_writer *writer,
			       const struct quorum_learner_info *info)
{
	jute_put_long(writer, info->sid);
	jute_put_int(writer, info->protocol_version);
	jute_put_long(writer, info->config_version);
	quorum_put_rest(writer, info->rest);
}

void
quorum_packet_put_leader_info(struct jute_writer *writer,
			      const struct quorum_leader_info *info)
{
	jute_put_int(writer, info->protocol_version);
	quorum_put_rest(writer, info->rest);
}

void
quorum_packet_put_touch(struct jute_writer *writer,
			const struct quorum_touch *touch)
{
	jute_put_long(writer, touch->session_id);
	jute_put_int(writer, touch->timeout_ms);
}

void
quorum_packet_put_request(struct jute_writer *writer,
			  const struct quorum_request *request)
{
	jute_put_long(writer, request->session_id);
	jute_put_int(writer, request->cxid);
	jute_put_int(writer, request->op);
	quorum_put_rest(writer, request->body);
}

void
quorum_packet_put_revalidated(struct jute_writer *writer,
			      const struct quorum_revalidated *revalidated)
{
	jute_put_long(writer, revalidated->session_id);
	jute_put_bool(writer, revalidated->is_valid);
}

void
quorum_packet_put_activate(struct jute_writer *writer,
			   const struct quorum_activate *activate)
{
	jute_put_long(writer, activate->designated_leader);
	quorum_put_rest(writer, activate->entry);
}
