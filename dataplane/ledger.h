/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_LEDGER_H
#define FALCONER_DATAPLANE_LEDGER_H

/*
 * ledger - when the newest transactions passed the stations of the ZAB core,
 * for the readers that answer them.
 *
 *   received  sent     taken     appended  durable   published  seen     left
 *      |decode | ring    | prepare  | log     | quorum   | publish | reply |
 *      `--- reader ---'  `------------ ZAB core --------'  `---- reader ---'
 *
 * The first three stand in the req, the next three in the ledger, by zxid; the
 * reader puts them together when it answers. On a learner "prepare" is the way
 * to the leader and back. A transaction that others made durable first has no
 * "quorum", and its "log" ends when it is published.
 *
 * Context    ledger_note(): the ZAB core, before it publishes the transaction.
 *            ledger_find(): any reader core, after it saw it published.
 * Limits     the newest LEDGER_PLACES transactions; a reader that is further
 *            behind finds nothing, and that request's stages are not counted.
 * Cost       one cache line written, and read, per transaction.
 */

#include <stdatomic.h>

#include "base/fal.h"

#define LEDGER_PLACES 4096u

enum ledger_stage {
	LEDGER_DECODE, /* from the frame to ring R1 */
	LEDGER_RING,   /* in R1 */
	LEDGER_PREPARE,
	LEDGER_LOG,
	LEDGER_QUORUM,
	LEDGER_PUBLISH, /* until its reader has seen it */
	LEDGER_REPLY,   /* until the round's replies have left */
	LEDGER_STAGES,
};

/* Monotonic ns. */
struct ledger_times {
	uint64_t appended_ns, durable_ns, published_ns;
};

struct ledger_place {
	_Alignas(FAL_CACHE_LINE_BYTES) _Atomic uint64_t zxid;
	_Atomic uint64_t appended_ns, durable_ns, published_ns;
};

struct ledger {
	struct ledger_place place[LEDGER_PLACES];
};

void ledger_note(struct ledger *, int64_t zxid, const struct ledger_times *);

/* False: it is not there any more. */
bool ledger_find(const struct ledger *, uint64_t zxid,
		 struct ledger_times *out);

#endif
