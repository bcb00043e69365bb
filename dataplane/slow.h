/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_SLOW_H
#define FALCONER_DATAPLANE_SLOW_H

/*
 * slow - the slowest requests of a reader core, with where their time went.
 *
 * Of two windows, the one that runs and the last whole one, so that there is
 * always something to look at, and nothing of yesterday. Requests that are
 * answered in the round in which they came are not here: nothing but their
 * round can be slow, which is counted as a stall.
 *
 * Context    one reader core.
 * Cost       a compare for a request that is not among the slowest.
 */

#include "dataplane/ledger.h"

#define SLOW_PLACES     16u
#define SLOW_WINDOW_MS  60000u
#define SLOW_PATH_BYTES 128u

struct slow_request {
	int64_t session_id;
	int64_t zxid;    /* of its reply */
	int64_t wall_ms; /* when it was answered */
	uint64_t total_ns;
	uint64_t stage_ns[LEDGER_STAGES]; /* what was not measured is 0 */
	int32_t op, xid, err;
	uint32_t path_bytes;        /* of the whole path; 0: it has none */
	char path[SLOW_PATH_BYTES]; /* its beginning, no terminator */
};

struct slow_window {
	uint32_t count;
	uint32_t fastest; /* the place to give up next, once all are taken */
	struct slow_request request[SLOW_PLACES];
};

struct slow {
	uint64_t window_start_ms;
	struct slow_window now, before;
};

/* Begins the next window if it is time. */
void slow_turn(struct slow *, uint64_t now_ms);

/*
 * The place for a request that took total_ns; NULL: it is none of the slowest.
 * The caller fills it in.
 */
struct slow_request *slow_place(struct slow *, uint64_t now_ms,
				uint64_t total_ns);

#endif
