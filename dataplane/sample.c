/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sample - which paths and clients ask most, from a sample of the frames.
 *
 * On average every n-th frame is looked at and counts as n. n follows the
 * load, so that a window has about SAMPLES_WANTED of them: a quiet server
 * counts every request, a busy one pays for one in a thousand. It is settled by
 * the window before; whenever a few samples come faster than that, it doubles,
 * so that a burst after silence does not pay for each frame. The gaps are
 * random: a client that repeats a pattern of requests would otherwise be seen
 * at the same place of it each time.
 */
#include "dataplane/reader_int.h"

#include "base/time.h"

#define SAMPLES_WANTED 2000u
#define INTERVAL_MAX   1024u
/* So many samples, and the time they take at the wanted rate. */
#define STEP_SAMPLES 16u
#define STEP_MS      (SAMPLE_WINDOW_MS * STEP_SAMPLES / SAMPLES_WANTED)

void
sample_init(struct sampler *sampler)
{
	*sampler = (struct sampler){
		.left = 1,
		.gap = 1,
		.interval = 1,
		.random = 0x9e3779b97f4a7c15ull,
	};
}

/* 1 .. 2n-1, so n on average. */
static uint32_t
next_gap(struct sampler *sampler)
{
	/* xorshift64 (Marsaglia) */
	sampler->random ^= sampler->random << 13;
	sampler->random ^= sampler->random >> 7;
	sampler->random ^= sampler->random << 17;
	return 1 + (uint32_t)(sampler->random % (2 * sampler->interval - 1));
}

void
sample_turn(struct sampler *sampler, uint64_t now_ms)
{
	const uint64_t age_ms = now_ms - sampler->window_start_ms;
	uint64_t interval = sampler->seen / SAMPLES_WANTED;

	if (sampler->window_start_ms == 0) {
		sampler->window_start_ms = now_ms; /* the first call */
		return;
	}
	if (age_ms < SAMPLE_WINDOW_MS)
		return;
	top_turn(&sampler->paths);
	top_turn(&sampler->clients);
	sampler->window_ms = age_ms;
	sampler->window_start_ms = now_ms;
	sampler->seen = 0;
	if (interval > INTERVAL_MAX)
		interval = INTERVAL_MAX;
	sampler->interval = interval == 0 ? 1 : (uint32_t)interval;
}

/* All that have one begin with it. */
bool
sample_path(int32_t op, const uint8_t *data, uint32_t bytes,
	    struct jute_slice *path)
{
	struct jute_reader body = jute_reader_of(data, bytes);
	struct proto_multi_header header;

	switch (op) {
	case OP_CREATE_SESSION:
	case OP_PING:
	case OP_AUTH:
	case OP_SASL:
	case OP_CLOSE_SESSION:
	case OP_SET_WATCHES:
	case OP_SET_WATCHES2:
	case OP_WHO_AM_I:
	case OP_RECONFIG:
		return false;
	case OP_MULTI:
	case OP_MULTI_READ:
		if (proto_get_multi_header(&body, &header) != 0 ||
		    header.is_done)
			return false;
		break;
	default:
		break;
	}
	*path = jute_get_slice(&body);
	return jute_reader_ok(&body) && path->bytes > 0 && path->data[0] == '/';
}

/* A step is over: half as often from here on, if it was a short one. */
static void
end_step(struct sampler *sampler, uint64_t now_ms)
{
	if (now_ms - sampler->step_start_ms < STEP_MS &&
	    sampler->interval < INTERVAL_MAX)
		sampler->interval *= 2;
	sampler->taken = 0;
	sampler->step_start_ms = now_ms;
}

void
sample_frame(struct reader *reader, const struct conn *conn,
	     const uint8_t *frame, uint32_t bytes)
{
	struct sampler *sampler = &reader->sampler;
	struct stream_address host = conn->peer;
	struct jute_slice path;
	const uint64_t weight = sampler->gap;

	sample_turn(sampler, reader->now_ms);
	sampler->seen += weight;
	host.port = 0;
	top_note(&sampler->clients, &host, sizeof(host), weight);
	if (bytes >= PROTO_REQUEST_HEADER_BYTES &&
	    sample_path((int32_t)be_load32(frame + 4),
			frame + PROTO_REQUEST_HEADER_BYTES,
			bytes - PROTO_REQUEST_HEADER_BYTES, &path))
		top_note(&sampler->paths, path.data, (uint32_t)path.bytes,
			 weight);
	if (++sampler->taken == STEP_SAMPLES)
		end_step(sampler, reader->now_ms);
	sampler->gap = next_gap(sampler);
	sampler->left = sampler->gap;
}

/* One list behind the other, `cursor` counts through both. */
bool
reader_top_next(struct reader *reader, uint32_t *cursor,
		struct reader_top_row *out)
{
	struct sampler *sampler = &reader->sampler;
	const bool is_first_window = sampler->window_ms == 0;
	const struct top_window *paths, *clients;

	sample_turn(sampler, reader->now_ms);
	paths = is_first_window ? &sampler->paths.now : &sampler->paths.before;
	clients = is_first_window ? &sampler->clients.now
				  : &sampler->clients.before;
	if (*cursor >= paths->count + clients->count) {
		*cursor = 0;
		return false;
	}
	out->is_client = *cursor >= paths->count;
	out->place = out->is_client ? &clients->place[*cursor - paths->count]
				    : &paths->place[*cursor];
	out->window_ms = is_first_window
				 ? reader->now_ms - sampler->window_start_ms + 1
				 : sampler->window_ms;
	++*cursor;
	return true;
}
