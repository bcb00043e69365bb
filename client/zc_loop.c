/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zc_loop - one thread's connections. The tag of a stream is the place of its
 * session here, so an event finds it without a search. What is freed in a
 * callback lives until the call that made it ends: a step, zc_close() or
 * zc_free().
 */
#include "client/zc_int.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/time.h"
#include "drivers/clock.h"

#define SESSIONS_DEFAULT 64u
#define EVENTS_MAX       64u

struct zc_loop {
	struct stream_core *streams;
	struct zc **session;
	uint32_t session_max, session_end; /* places in use are below */
	uint64_t now_ms;
	uint64_t spin_ns;
	uint64_t random_state;
	struct hash_key key;
	uint32_t inside; /* of zc_loop_enter() */
	bool has_freed;
	struct stream_event events[EVENTS_MAX];
};

static int
make(const struct zc_loop_options *options, struct zc_loop **out)
{
	struct zc_loop *loop = calloc(1, sizeof(*loop));

	if (loop == NULL)
		return FAL_ENOMEM;
	loop->session_max = options != NULL && options->sessions_max > 0
				    ? options->sessions_max
				    : SESSIONS_DEFAULT;
	loop->session = calloc(loop->session_max, sizeof(struct zc *));
	if (loop->session == NULL) {
		free(loop);
		return FAL_ENOMEM;
	}
	loop->now_ms = time_ns_to_ms(clock_now_ns());
	loop->spin_ns = options != NULL ? options->spin_us * NS_PER_US : 0;
	hash_key_random(&loop->key);
	/* The key's own words would give it away. */
	if (getrandom(&loop->random_state, sizeof(loop->random_state), 0) < 0)
		loop->random_state = clock_now_ns();
	loop->random_state |= 1;
	*out = loop;
	return FAL_OK;
}

int
zc_loop_create(const struct zc_loop_options *options, struct zc_loop **out)
{
	struct zc_loop *loop;
	int err = make(options, &loop);

	if (err != FAL_OK)
		return err;

	/* A connection that was closed lingers beside the next one. */
	const struct stream_config config = {
		.stream_limit = 4 * loop->session_max,
		.frame_bytes_max = ZC_FRAME_BYTES_DEFAULT + 4,
		.doorbell_fd = -1,
	};

	err = options != NULL && options->net == ZC_NET_URING
		      ? stream_uring_create(&config, &loop->streams)
		      : stream_epoll_create(&config, &loop->streams);
	if (err != FAL_OK) {
		free(loop->session);
		free(loop);
		return err;
	}
	*out = loop;
	return FAL_OK;
}

int
zc_loop_create_on(const struct zc_loop_options *options,
		  struct stream_core *streams, struct zc_loop **out)
{
	const int err = make(options, out);

	if (err == FAL_OK)
		(*out)->streams = streams;
	return err;
}

void
zc_loop_destroy(struct zc_loop *loop)
{
	if (loop == NULL)
		return;
	for (uint32_t i = 0; i < loop->session_end; i++)
		if (loop->session[i] != NULL)
			zc_destroy(loop->session[i]);
	stream_destroy(loop->streams);
	free(loop->session);
	free(loop);
}

struct stream_core *
zc_loop_streams(struct zc_loop *loop)
{
	return loop->streams;
}

uint64_t
zc_loop_now_ms(const struct zc_loop *loop)
{
	return loop->now_ms;
}

const struct hash_key *
zc_loop_key(const struct zc_loop *loop)
{
	return &loop->key;
}

/* xorshift64*: which server comes first, nothing secret. */
uint32_t
zc_loop_random(struct zc_loop *loop)
{
	uint64_t x = loop->random_state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	loop->random_state = x;
	return (uint32_t)((x * 0x2545F4914F6CDD1Dull) >> 32);
}

int
zc_loop_add(struct zc_loop *loop, struct zc *zc)
{
	uint32_t at = 0;

	while (at < loop->session_end && loop->session[at] != NULL)
		at++;
	if (at == loop->session_max)
		return FAL_ELIMIT;
	if (at == loop->session_end)
		loop->session_end++;
	loop->session[at] = zc;
	zc->index = at;
	return FAL_OK;
}

void
zc_loop_remove(struct zc_loop *loop, struct zc *zc)
{
	FAL_ASSERT(loop->inside > 0);
	zc->is_freed = true;
	loop->has_freed = true;
}

static void
reap(struct zc_loop *loop)
{
	if (!loop->has_freed)
		return;
	loop->has_freed = false;
	for (uint32_t i = 0; i < loop->session_end; i++) {
		struct zc *zc = loop->session[i];

		if (zc == NULL || !zc->is_freed)
			continue;
		loop->session[i] = NULL;
		zc_destroy(zc);
	}
}

void
zc_loop_enter(struct zc_loop *loop)
{
	loop->inside++;
}

void
zc_loop_leave(struct zc_loop *loop)
{
	FAL_ASSERT(loop->inside > 0);
	if (--loop->inside == 0)
		reap(loop);
}

static bool
take_events(struct zc_loop *loop, uint64_t now_ns)
{
	const uint32_t count =
		stream_poll(loop->streams, now_ns, loop->events, EVENTS_MAX);

	for (uint32_t i = 0; i < count; i++) {
		const struct stream_event *event = &loop->events[i];
		struct zc *zc = event->tag < loop->session_end
					? loop->session[event->tag]
					: NULL;

		/* Of a connection that was given up the id differs. */
		if (zc != NULL && !zc->is_freed && zc->stream == event->id)
			zc_on_event(zc, event);
	}
	return count > 0;
}

static uint64_t
run_timers(struct zc_loop *loop)
{
	uint64_t next_ms = UINT64_MAX;

	for (uint32_t i = 0; i < loop->session_end; i++) {
		struct zc *zc = loop->session[i];

		if (zc == NULL || zc->is_freed)
			continue;

		const uint64_t at_ms = zc_poll(zc, loop->now_ms);

		if (at_ms < next_ms)
			next_ms = at_ms;
	}
	return next_ms;
}

/* Looks for news for a while, at most until end_ns. Returns whether there are
 * any. */
static bool
spin_until(struct zc_loop *loop, uint64_t now_ns, uint64_t end_ns)
{
	if (end_ns > now_ns + loop->spin_ns)
		end_ns = now_ns + loop->spin_ns;
	while (now_ns < end_ns) {
		now_ns = clock_now_ns();
		loop->now_ms = time_ns_to_ms(now_ns);
		if (take_events(loop, now_ns))
			return true;
		/* The acks of a TCP of our own. */
		stream_flush(loop->streams);
	}
	return false;
}

/* Waits until something has come, a timer is due or wait_ms are over. Returns
 * whether something has come. */
static bool
wait_for_news(struct zc_loop *loop, uint64_t now_ns, uint64_t next_ms,
	      uint32_t wait_ms)
{
	uint64_t left_ms = next_ms > loop->now_ms ? next_ms - loop->now_ms : 0;
	uint64_t left_ns, spent_ns;

	if (left_ms > wait_ms)
		left_ms = wait_ms;
	left_ns = time_ms_to_ns(left_ms);
	if (loop->spin_ns > 0) {
		if (spin_until(loop, now_ns, now_ns + left_ns))
			return true;
		spent_ns = clock_now_ns() - now_ns;
		left_ns = left_ns > spent_ns ? left_ns - spent_ns : 0;
	}
	if (left_ns > 0)
		stream_wait(loop->streams, left_ns);
	now_ns = clock_now_ns();
	loop->now_ms = time_ns_to_ms(now_ns);
	return take_events(loop, now_ns);
}

bool
zc_loop_step(struct zc_loop *loop, uint32_t wait_ms)
{
	uint64_t now_ns = clock_now_ns();
	uint64_t next_ms;
	bool did_work;

	FAL_ASSERT(loop->inside == 0);
	zc_loop_enter(loop);
	loop->now_ms = time_ns_to_ms(now_ns);
	/* Requests made since the last step go first. */
	stream_flush(loop->streams);
	did_work = take_events(loop, now_ns);
	next_ms = run_timers(loop);
	stream_flush(loop->streams);
	if (!did_work && wait_ms > 0) {
		did_work = wait_for_news(loop, now_ns, next_ms, wait_ms);
		run_timers(loop);
		stream_flush(loop->streams);
	}
	zc_loop_leave(loop);
	return did_work;
}
