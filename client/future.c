/* SPDX-License-Identifier: Apache-2.0 */
/*
 * future - the bytes of a reply are copied into one block and its pointers
 * moved there.
 */
#include "client/future.h"

#include <stdlib.h>
#include <string.h>

#include "base/fal.h"
#include "base/time.h"
#include "drivers/clock.h"

static void
move_bytes(struct zc_bytes *bytes, uint8_t **at)
{
	if (bytes->data == NULL)
		return;
	if (bytes->bytes > 0)
		memcpy(*at, bytes->data, bytes->bytes);
	bytes->data = *at;
	*at += bytes->bytes;
}

void
zc_future_done(void *arg, struct zc_reply *reply)
{
	struct zc_future *future = arg;
	const size_t rest_bytes =
		reply->rest.left == 0
			? 0
			: (size_t)(reply->rest.end - reply->rest.at);
	/* One more, so that empty values have an address, too. */
	uint8_t *at =
		malloc(reply->path.bytes + reply->data.bytes + rest_bytes + 1);

	FAL_ASSERT(!future->is_done);
	future->is_done = true;
	future->reply = *reply;
	future->copy = at;
	if (at == NULL) {
		future->is_out_of_memory = true;
		future->reply = (struct zc_reply){.err = reply->err};
		return;
	}
	move_bytes(&future->reply.path, &at);
	move_bytes(&future->reply.data, &at);
	if (rest_bytes > 0)
		memcpy(at, reply->rest.at, rest_bytes);
	future->reply.rest.at = at;
	future->reply.rest.end = at + rest_bytes;
}

static uint64_t
time_ms(void)
{
	return time_ns_to_ms(clock_now_ns());
}

int32_t
zc_future_wait(struct zc_loop *loop, struct zc_future *future,
	       uint32_t timeout_ms)
{
	const uint64_t end_ms = time_ms() + timeout_ms;

	while (!future->is_done) {
		const uint64_t now_ms = time_ms();

		if (now_ms >= end_ms)
			return ZC_OPERATIONTIMEOUT;
		zc_loop_step(loop, (uint32_t)(end_ms - now_ms));
	}
	return future->reply.err;
}

void
zc_future_free(struct zc_future *future)
{
	free(future->copy);
	*future = (struct zc_future){0};
}

bool
zc_wait_connected(struct zc_loop *loop, const struct zc *zc,
		  uint32_t timeout_ms)
{
	const uint64_t end_ms = time_ms() + timeout_ms;

	while (zc_state(zc) == ZC_CONNECTING) {
		const uint64_t now_ms = time_ms();

		if (now_ms >= end_ms)
			return false;
		zc_loop_step(loop, (uint32_t)(end_ms - now_ms));
	}
	return zc_state(zc) < ZC_EXPIRED;
}
