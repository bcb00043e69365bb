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

static uint32_t
fake_poll(struct stream_core *core, uint64_t now_ns,
	  struct stream_event *events, uint32_t max)
{
	uint32_t count = 0;

	(void)now_ns;
	for (uint32_t i = 0; i < FAKE_STREAMS && count + 2 < max; i++) {
		struct fake_stream *stream = &core_of(core)->stream[i];

		if (stream->id == STREAM_NONE)
			continue;
		if (stream->is_new)
			events[count++] = (struct stream_event){
				.id = stream->id,
				.kind = STREAM_OPENED,
				.is_accepted = true,
			};
		stream->is_new = false;
		if (!stream->is_paused && stream->in_bytes >= stream->wanted &&
		    stream->in_bytes > 0)
			events[count++] = (struct stream_event){
				.id = stream->id, .kind = STREAM_READABLE};
		if (stream->was_aborted) {
			events[count++] = (struct stream_event){
				.id = stream->id,
				.kind = STREAM_CLOSED,
				.reason = STREAM_RESET,
			};
			stream->id = STREAM_NONE;
		}
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
	(void)core;
	(void)id;
	return 0;
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
	.abort = fake_close,
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
	uint32_t i = 0;

	while (core->stream[i].id != STREAM_NONE)
		i++;
	FAL_ASSERT(i < FAKE_STREAMS);

	struct fake_stream *stream = &core->stream[i];

	if (stream->in == NULL) {
		stream->in = malloc(FAKE_BUFFER_MAX);
		stream->out = malloc(FAKE_BUFFER_MAX);
		FAL_ASSERT(stream->in != NULL && stream->out != NULL);
	}
	stream->gen++;
	stream->id = (uint64_t)stream->gen << 32 | i;
	stream->peer = stream_address_ipv4(0x7f000001, (uint16_t)(40000 + i));
	stream->in_bytes = 0;
	stream->out_bytes = 0;
	stream->wanted = 1;
	stream->is_new = true;
	stream->is_paused = false;
	stream->is_closed = false;
	stream->was_aborted = false;
	stream->unsent_max = FAKE_BUFFER_MAX;
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
