/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_stream - buffers instead of sockets. Sending is immediate: what is
 * committed can be received by the test at once.
 */
#include "fake_stream.h"

#include <stdlib.h>
#include <string.h>

#include "base/be.h"

static struct fake_core *
core_of(struct stream_core *core)
{
	return (struct fake_core *)(void *)core;
}

static struct fake_stream *
find(struct stream_core *core, stream_id id)
{
	struct fake_stream *stream =
		&core_of(core)->stream[stream_index(id) % FAKE_STREAMS];

	return id != STREAM_NONE && stream->id == id ? stream : NULL;
}

/* What happened on one connection, three events at most. */
static uint32_t
fake_events(struct fake_stream *stream, struct stream_event *events)
{
	const struct stream_event event = {
		.id = stream->id,
		.tag = stream->tag,
		.is_accepted = !stream->is_dial,
	};
	const bool is_open = !stream->is_dial || stream->is_answered;
	uint32_t count = 0;

	if (stream->is_new && is_open) {
		events[count] = event;
		events[count++].kind = STREAM_OPENED;
		stream->is_new = false;
	}
	if (is_open && !stream->is_paused && stream->in_bytes > 0 &&
	    (stream->in_bytes >= stream->wanted)) {
		events[count] = event;
		events[count++].kind = STREAM_READABLE;
	} else if (is_open && !stream->is_paused && stream->has_finished) {
		stream->was_aborted = true;
		stream->reason = STREAM_FINISHED;
	}
	if (stream->is_writable) {
		events[count] = event;
		events[count++].kind = STREAM_WRITABLE;
		stream->is_writable = false;
	}
	if (stream->was_aborted) {
		events[count] = event;
		events[count].reason = stream->reason;
		events[count++].kind = STREAM_CLOSED;
		stream->id = STREAM_NONE;
	}
	return count;
}

static uint32_t
fake_poll(struct stream_core *core, uint64_t now_ns,
	  struct stream_event *events, uint32_t max)
{
	void (*meanwhile)(void) = core_of(core)->meanwhile;
	uint32_t count = 0;

	(void)now_ns;
	core_of(core)->meanwhile = NULL;
	if (meanwhile != NULL)
		meanwhile();
	for (uint32_t i = 0; i < core_of(core)->used && count + 3 < max; i++) {
		struct fake_stream *stream = &core_of(core)->stream[i];

		if (stream->id == STREAM_NONE)
			continue;
		count += fake_events(stream, events + count);
	}
	return count;
}

static void
fake_flush(struct stream_core *core)
{
	(void)core;
}

static void
fake_wait(struct stream_core *core, uint64_t timeout_ns)
{
	(void)core;
	(void)timeout_ns;
}

static uint32_t
fake_peek(struct stream_core *core, stream_id id,
	  struct stream_slice slices[STREAM_SLICES_MAX])
{
	const struct fake_stream *stream = find(core, id);

	if (stream == NULL || stream->in_bytes == 0)
		return 0;
	slices[0] = (struct stream_slice){.data = stream->in,
					  .bytes = stream->in_bytes};
	return 1;
}

static void
fake_want(struct stream_core *core, stream_id id, uint32_t bytes)
{
	struct fake_stream *stream = find(core, id);

	if (stream != NULL)
		stream->wanted = bytes;
}

static const uint8_t *
fake_pull(struct stream_core *core, stream_id id, uint32_t bytes)
{
	struct fake_stream *stream = find(core, id);

	if (stream == NULL)
		return NULL;
	if (stream->in_bytes >= bytes)
		return stream->in;
	stream->wanted = bytes;
	return NULL;
}

static void
fake_consume(struct stream_core *core, stream_id id, uint32_t bytes)
{
	struct fake_stream *stream = find(core, id);

	if (stream == NULL)
		return;
	FAL_ASSERT(bytes <= stream->in_bytes);
	memmove(stream->in, stream->in + bytes, stream->in_bytes - bytes);
	stream->in_bytes -= bytes;
	stream->wanted = 1;
}

static uint32_t
fake_buffered(struct stream_core *core, stream_id id)
{
	const struct fake_stream *stream = find(core, id);

	return stream == NULL ? 0 : stream->in_bytes;
}

static void
fake_pause(struct stream_core *core, stream_id id)
{
	struct fake_stream *stream = find(core, id);

	if (stream != NULL)
		stream->is_paused = true;
}

static void
fake_resume(struct stream_core *core, stream_id id)
{
	struct fake_stream *stream = find(core, id);

	if (stream != NULL)
		stream->is_paused = false;
}

static void *
fake_reserve(struct stream_core *core, stream_id id, uint32_t bytes,
	     uint32_t *got)
{
	struct fake_stream *stream = find(core, id);

	*got = 0;
	if (stream == NULL || stream->out_bytes + bytes > stream->unsent_max)
		return NULL;
	*got = bytes;
	return stream->out + stream->out_bytes;
}

static void
fake_commit(struct stream_core *core, stream_id id, uint32_t used)
{
	struct fake_stream *stream = find(core, id);

	if (stream != NULL)
		stream->out_bytes += used;
}

static int
fake_write(struct stream_core *core, stream_id id, const void *data,
	   uint32_t bytes)
{
	uint32_t got;
	void *to = fake_reserve(core, id, bytes, &got);

	if (to == NULL)
		return find(core, id) == NULL ? FAL_ECLOSED : FAL_ELIMIT;
	if (bytes > 0)
		memcpy(to, data, bytes);
	fake_commit(core, id, bytes);
	return FAL_OK;
}

static uint32_t
fake_unsent(struct stream_core *core, stream_id id)
{
	(void)id; /* each request asks, and gates count what it costs */
	return core_of(core)->unsent;
}

static void
fake_close(struct stream_core *core, stream_id id)
{
	struct fake_stream *stream = find(core, id);

	if (stream == NULL)
		return;
	stream->id = STREAM_NONE;
	stream->is_closed = true;
}

static void
fake_abort(struct stream_core *core, stream_id id)
{
	struct fake_stream *stream = find(core, id);

	if (stream == NULL)
		return;
	fake_close(core, id);
	stream->is_aborted = true;
}

static const struct stream_address *
fake_peer(struct stream_core *core, stream_id id)
{
	const struct fake_stream *stream = find(core, id);

	return stream == NULL ? NULL : &stream->peer;
}

static void
fake_counters_read(struct stream_core *core, struct stream_counters *counters)
{
	(void)core;
	memset(counters, 0, sizeof(*counters));
}

static void
fake_destroy(struct stream_core *core)
{
	for (uint32_t i = 0; i < FAKE_STREAMS; i++) {
		free(core_of(core)->stream[i].in);
		free(core_of(core)->stream[i].out);
	}
	free(core);
}

/* A connection that is new to the server. */
static uint32_t
fake_open(struct fake_core *core)
{
	uint32_t tried = 0, i = core->next;

	while (core->stream[i].id != STREAM_NONE && tried++ < FAKE_STREAMS)
		i = (i + 1) % FAKE_STREAMS;
	FAL_ASSERT(tried < FAKE_STREAMS);
	core->next = (i + 1) % FAKE_STREAMS;
	if (core->used <= i)
		core->used = i + 1;

	struct fake_stream *stream = &core->stream[i];
	const uint32_t gen = stream->gen + 1;
	uint8_t *in = stream->in, *out = stream->out;

	if (in == NULL) {
		in = malloc(FAKE_BUFFER_MAX);
		out = malloc(FAKE_BUFFER_MAX);
		FAL_ASSERT(in != NULL && out != NULL);
	}
	*stream = (struct fake_stream){
		.gen = gen,
		.id = (uint64_t)gen << 32 | i,
		.peer = stream_address_ipv4(0x7f000001, (uint16_t)(40000 + i)),
		.in = in,
		.out = out,
		.wanted = 1,
		.reason = STREAM_RESET,
		.is_new = true,
		.unsent_max = FAKE_BUFFER_MAX,
	};
	return i;
}

static int
fake_stream_connect(struct stream_core *core,
		    const struct stream_target *target, stream_id *id,
		    struct stream_error *error)
{
	struct fake_core *fake = core_of(core);
	uint32_t i;

	(void)error;
	fake->connect_count++;
	if (fake->is_unreachable)
		return FAL_EIO;
	i = fake_open(fake);
	fake->stream[i].is_dial = true;
	fake->stream[i].tag = target->tag;
	fake->stream[i].peer = target->address;
	*id = fake->stream[i].id;
	return FAL_OK;
}

static const struct stream_ops ops = {
	.name = "fake",
	.poll = fake_poll,
	.flush = fake_flush,
	.wait = fake_wait,
	.peek = fake_peek,
	.pull = fake_pull,
	.want = fake_want,
	.consume = fake_consume,
	.buffered = fake_buffered,
	.pause = fake_pause,
	.resume = fake_resume,
	.reserve = fake_reserve,
	.commit = fake_commit,
	.write = fake_write,
	.unsent = fake_unsent,
	.close = fake_close,
	.connect = fake_stream_connect,
	.abort = fake_abort,
	.peer = fake_peer,
	.counters_read = fake_counters_read,
	.destroy = fake_destroy,
};

struct fake_core *
fake_core_new(void)
{
	struct fake_core *core = calloc(1, sizeof(*core));

	FAL_ASSERT(core != NULL);
	core->head.ops = &ops;
	core->head.stream_limit = FAKE_STREAMS;
	return core;
}

uint32_t
fake_connect(struct fake_core *core)
{
	const uint32_t i = fake_open(core);

	core->stream[i].tag = core->listen_tag;
	return i;
}

void
fake_send(struct fake_core *core, uint32_t index, const void *data,
	  uint32_t bytes)
{
	struct fake_stream *stream = &core->stream[index];

	FAL_ASSERT(stream->in_bytes + bytes <= FAKE_BUFFER_MAX);
	memcpy(stream->in + stream->in_bytes, data, bytes);
	stream->in_bytes += bytes;
}

void
fake_vanish(struct fake_core *core, uint32_t index)
{
	core->stream[index].was_aborted = true;
}

void
fake_finish(struct fake_core *core, uint32_t index)
{
	core->stream[index].has_finished = true;
}

uint32_t
fake_dial_to(const struct fake_core *core, uint16_t port)
{
	uint32_t i = 0;

	while (i < FAKE_STREAMS &&
	       (core->stream[i].id == STREAM_NONE || !core->stream[i].is_dial ||
		core->stream[i].peer.port != port))
		i++;
	return i;
}

void
fake_answer(struct fake_core *core, uint32_t index)
{
	FAL_ASSERT(core->stream[index].is_dial);
	core->stream[index].is_answered = true;
}

void
fake_refuse(struct fake_core *core, uint32_t index, enum stream_reason reason)
{
	FAL_ASSERT(core->stream[index].is_dial);
	core->stream[index].was_aborted = true;
	core->stream[index].reason = (uint8_t)reason;
}

const uint8_t *
fake_receive(struct fake_core *core, uint32_t index, uint32_t *bytes)
{
	static uint8_t frame[FAKE_BUFFER_MAX];
	struct fake_stream *stream = &core->stream[index];

	if (stream->out_bytes < 4)
		return NULL;
	*bytes = be_load32(stream->out);
	FAL_ASSERT(stream->out_bytes >= 4 + *bytes);
	memcpy(frame, stream->out + 4, *bytes);
	stream->out_bytes -= 4 + *bytes;
	memmove(stream->out, stream->out + 4 + *bytes, stream->out_bytes);
	return frame;
}
