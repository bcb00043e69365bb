/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_CLIENT_FUTURE_H
#define FALCONER_CLIENT_FUTURE_H

/*
 * future - a reply to wait for, for programs that may block.
 *
 *   struct zc_future get = {0};
 *
 *   if (zc_get(zc, "/config", NULL, zc_future_done, &get) == 0 &&
 *       zc_future_wait(loop, &get, 5000) == ZC_OK)
 *           use(get.reply.data);
 *   zc_future_free(&get);
 *
 * The reply is a copy, with all that it points to. Other callbacks of the loop
 * come while one waits.
 *
 * Context    the loop's thread, not from inside a callback.
 * Ownership  zc_future_free() frees the copy; a future may be used again then.
 *            One that was given to a request has to live until it is done.
 */

#include "client/zc.h"

struct zc_future {
	bool is_done;
	bool is_out_of_memory; /* the reply came and could not be kept */
	struct zc_reply reply;
	uint8_t *copy;
};

/* A zc_done_fn whose argument is a struct zc_future. */
void zc_future_done(void *future, struct zc_reply *);
/* Steps the loop until the reply is there. Returns its err, or
 * ZC_OPERATIONTIMEOUT (then it may still come: the future stays in use). */
int32_t zc_future_wait(struct zc_loop *, struct zc_future *,
		       uint32_t timeout_ms);
void zc_future_free(struct zc_future *);

/* Steps the loop until the session is connected. Returns true, or false when
 * the time is over or the state is final. */
bool zc_wait_connected(struct zc_loop *, const struct zc *,
		       uint32_t timeout_ms);

#endif
