/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections: a reader and the writer of a server, between clients that do
 * anything and a log that is sometimes slow. Whatever comes,
 *
 *   - what a client is sent is whole frames, each of which is a response to a
 *     ConnectRequest, a reply or a notification;
 *   - once all clients are gone and the log is done, nothing is under way, no
 *     watch is left and no request was lost.
 *
 * Input: steps, a byte each: the low 4 bits are an index into the switch of
 * step(), the high 4 choose one of the clients or a number. Some are followed
 * by a length and so many bytes.
 */

#include "fuzz.h"

#include <string.h>

#include "pipeline_rig.h"

#include "base/time.h"
#include "znode/watch.h"

/* Each input makes and frees a server of some megabytes. */
const char *__asan_default_options(void);

const char *
__asan_default_options(void)
{
	return "quarantine_size_mb=4:malloc_context_size=4";
}

#define CLIENTS 4u
#define ROUNDS  64u

static const int32_t types[] = {
	OP_CREATE,        OP_CREATE2,
	OP_DELETE,        OP_EXISTS,
	OP_GET_DATA,      OP_SET_DATA,
	OP_GET_ACL,       OP_SET_ACL,
	OP_SYNC,          OP_GET_CHILDREN,
	OP_GET_CHILDREN2, OP_MULTI,
	OP_AUTH,          OP_MULTI_READ,
	OP_SET_WATCHES,   OP_SET_WATCHES2,
	OP_ADD_WATCH,     OP_PING,
	OP_CHECK_WATCHES, OP_REMOVE_WATCHES,
	OP_RECONFIG,      OP_CREATE_TTL,
	OP_WHO_AM_I,      OP_GET_EPHEMERALS,
	OP_SASL,          OP_CREATE_CONTAINER,
	OP_CLOSE_SESSION, OP_GET_ALL_CHILDREN_NUMBER,
};

#define TYPE_COUNT (sizeof(types) / sizeof(types[0]))

struct input {
	const uint8_t *at, *end;
};

struct side {
	struct rig_client client;
	bool is_there;
};

static struct rig rig;
static struct side side[CLIENTS];

static uint32_t
take(struct input *input)
{
	return input->at < input->end ? *input->at++ : 0;
}

/* A length byte and what it covers. */
static struct jute_slice
take_bytes(struct input *input)
{
	uint32_t bytes = take(input) * 2;
	const uint32_t left = (uint32_t)(input->end - input->at);
	const uint8_t *from = input->at;

	if (bytes > left)
		bytes = left;
	input->at += bytes;
	return jute_slice_of(from, bytes);
}

static struct fake_stream *
stream_of(const struct side *one)
{
	return &rig.streams->stream[one->client.stream];
}

/* What it was sent is frames; the first of a connection may be the answer to
 * its ConnectRequest, which has no header to speak of. */
static void
read_all(struct side *one)
{
	const uint8_t *frame;
	uint32_t bytes;

	while ((frame = fake_receive(rig.streams, one->client.stream,
				     &bytes)) != NULL)
		FAL_ASSERT(bytes >= PROTO_REPLY_HEADER_BYTES &&
			   bytes <= 8 * FAKE_BUFFER_MAX);
	FAL_ASSERT(stream_of(one)->out_bytes == 0);
}

static void
send_raw(struct side *one, const void *data, uint32_t bytes)
{
	if (stream_of(one)->in_bytes + bytes <= FAKE_BUFFER_MAX)
		fake_send(rig.streams, one->client.stream, data, bytes);
}

static void
send_request(struct side *one, uint32_t type, struct jute_slice body)
{
	uint8_t head[12];

	be_store32(head, 8 + (uint32_t)body.bytes);
	be_store32(head + 4, (uint32_t)one->client.next_xid++);
	be_store32(head + 8, (uint32_t)types[type % TYPE_COUNT]);
	send_raw(one, head, sizeof(head));
	send_raw(one, body.data, (uint32_t)body.bytes);
}

/* Requests that meet each other: few paths, and bodies that decode. */
static void
send_sensible(struct side *one, uint32_t what)
{
	static const char *const paths[] = {"/a", "/a/b", "/a/c", "/d"};
	const char *path = paths[what >> 3 & 3];

	if (stream_of(one)->in_bytes + 256 > FAKE_BUFFER_MAX)
		return;
	switch (what & 7) {
	case 0:
		rig_create(&one->client, path, "x", (what >> 5) & 3);
		break;
	case 1:
		rig_set_data(&one->client, path, "y");
		break;
	case 2:
	case 3:
		rig_get_data(&one->client, path, true);
		break;
	case 4:
		rig_path_op(&one->client, OP_SYNC, path);
		break;
	case 5:
		rig_path_op(&one->client, OP_GET_ALL_CHILDREN_NUMBER, path);
		break;
	case 6:
		rig_bare_op(&one->client, OP_PING);
		break;
	default:
		rig_bare_op(&one->client, OP_WHO_AM_I);
	}
}

static void
arrive(struct side *one, bool has_session)
{
	if (one->is_there && stream_of(one)->id != STREAM_NONE)
		fake_vanish(rig.streams, one->client.stream);
	rig_run(&rig);
	if (has_session && rig.is_slow)
		return;
	if (has_session) {
		/* A full disk refuses new sessions. */
		FAL_ASSERT(rig_try_client(&rig, &one->client) ||
			   rig.has_no_space);
	} else {
		one->client =
			(struct rig_client){.rig = &rig,
					    .stream = fake_connect(rig.streams),
					    .next_xid = 1};
	}
	one->is_there = true;
}

static void
step(struct input *input)
{
	const uint32_t what = take(input);
	struct side *one = &side[(what >> 4) % CLIENTS];

	switch (what & 15) {
	case 0:
		arrive(one, false);
		return;
	case 1:
		arrive(one, true);
		return;
	case 2:
		rig_run(&rig);
		return;
	case 3:
		rig_sync(&rig);
		return;
	case 4:
		rig.now_ms += (what >> 4) * 200u;
		rig_run(&rig);
		return;
	case 5:
		rig.is_slow = (what >> 4) & 1;
		rig.has_no_space = (what >> 5) & 1;
		return;
	default:
		break;
	}
	if (!one->is_there || stream_of(one)->id == STREAM_NONE)
		return;
	switch (what & 15) {
	case 6:
	case 7: {
		const struct jute_slice bytes = take_bytes(input);

		send_raw(one, bytes.data, (uint32_t)bytes.bytes);
		return;
	}
	case 8:
	case 9: {
		const uint32_t type = take(input);

		send_request(one, type, take_bytes(input));
		return;
	}
	case 10:
		fake_vanish(rig.streams, one->client.stream);
		return;
	case 11:
		read_all(one);
		return;
	case 12:
		stream_of(one)->unsent_max = take(input) * 16;
		return;
	default:
		send_sensible(one, take(input));
	}
}

/* Everybody leaves; what is under way comes back. */
static void
finish(void)
{
	struct watch_counts counts;

	rig.is_slow = false;
	rig.has_no_space = false;
	for (uint32_t i = 0; i < CLIENTS; i++) {
		if (!side[i].is_there)
			continue;
		read_all(&side[i]);
		if (stream_of(&side[i])->id != STREAM_NONE)
			fake_vanish(rig.streams, side[i].client.stream);
	}
	for (uint32_t i = 0; i < ROUNDS && reader_has_work(rig.reader); i++)
		rig_sync(&rig);
	rig_sync(&rig);
	FAL_ASSERT(reader_drain(rig.reader));
	watch_counts(reader_watches(rig.reader), &counts);
	FAL_ASSERT(counts.watchers == 0);
	FAL_ASSERT(watch_is_consistent(reader_watches(rig.reader)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct input input = {.at = data, .end = data + bytes};

	memset(side, 0, sizeof(side));
	rig_start(&rig);
	while (input.at < input.end)
		step(&input);
	finish();
	rig_stop(&rig);
	return 0;
}
