/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zab_acks - the commit point as the highest mark that a quorum has reached.
 */
#include "consensus/zab_acks.h"

#include <string.h>

void
zab_acks_init(struct zab_acks *acks, int64_t base_zxid)
{
	memset(acks, 0, sizeof(*acks));
	acks->proposed_zxid = base_zxid;
	acks->committed_zxid = base_zxid;
}

void
zab_acks_propose(struct zab_acks *acks, int64_t zxid)
{
	FAL_ASSERT(zxid > acks->proposed_zxid);
	FAL_ASSERT(zab_counter(zxid) <= ZAB_COUNTER_MAX);
	acks->proposed_zxid = zxid;
}

void
zab_acks_begin_next(struct zab_acks *acks, int64_t zxid)
{
	FAL_ASSERT(zxid <= acks->proposed_zxid);
	memset(acks->next, 0, sizeof(acks->next));
	acks->next_zxid = zxid;
}

void
zab_acks_activate(struct zab_acks *acks)
{
	memcpy(acks->active, acks->next, sizeof(acks->active));
	memset(acks->next, 0, sizeof(acks->next));
	acks->next_zxid = 0;
}

/* The voters that have reached `mark`. Bit by bit, which the compiler takes for
 * no vector: three voters are too few for one. */
static uint32_t
holders_of(const struct quorum *quorum, const int64_t *acked, int64_t mark)
{
	uint32_t holders = 0;

	for (uint32_t left = quorum->voters; left != 0; left &= left - 1)
		if (acked[__builtin_ctz(left)] >= mark)
			holders |= left & (0u - left);
	return holders;
}

/*
 * The highest mark above `floor` that a quorum has reached, or floor.
 *
 * Counting for each candidate costs voters^2 compares, 9 for three servers;
 * that beats sorting at these sizes and has no scratch array.
 */
static int64_t
quorum_mark(const struct quorum *quorum, const int64_t *acked, int64_t floor)
{
	const uint32_t above = holders_of(quorum, acked, floor + 1);
	int64_t mark = floor;

	/* Most acknowledgements move nothing. */
	if (!quorum_has(quorum, above))
		return floor;
	for (uint32_t left = above; left != 0; left &= left - 1) {
		const int64_t candidate = acked[__builtin_ctz(left)];

		if (candidate > mark &&
		    quorum_has(quorum, holders_of(quorum, acked, candidate)))
			mark = candidate;
	}
	return mark;
}

static int64_t
commit_point(const struct zab_acks *acks, const struct quorum_pair *pair)
{
	const int64_t old = acks->committed_zxid;
	const int64_t mark = quorum_mark(&pair->active, acks->active, old);

	if (!pair->has_next || mark < acks->next_zxid || mark == old)
		return mark;
	const int64_t both = quorum_mark(&pair->next, acks->next, old);

	if (both >= mark)
		return mark;
	/* What came before the reconfiguration needs the active one only; there
	 * is nothing before the first transaction of an epoch. */
	const int64_t before =
		zab_counter(acks->next_zxid) > 1 ? acks->next_zxid - 1 : old;

	return both > before ? both : before > old ? before : old;
}

int
zab_acks_note(struct zab_acks *acks, const struct quorum_pair *pair,
	      struct quorum_seat seat, int64_t zxid)
{
	bool is_news = false;

	if (zxid > acks->proposed_zxid)
		return FAL_EPROTO; /* A peer's word, not our bug: no assert. */
	if (seat.active != QUORUM_NO_SEAT && zxid > acks->active[seat.active]) {
		acks->active[seat.active] = zxid;
		is_news = true;
	}
	if (seat.next != QUORUM_NO_SEAT && zxid > acks->next[seat.next]) {
		acks->next[seat.next] = zxid;
		is_news = true;
	}
	if (!is_news || zxid <= acks->committed_zxid)
		return 0;
	return zab_acks_recount(acks, pair);
}

int
zab_acks_recount(struct zab_acks *acks, const struct quorum_pair *pair)
{
	const int64_t mark = commit_point(acks, pair);

	FAL_ASSERT(mark >= acks->committed_zxid);
	FAL_ASSERT(mark <= acks->proposed_zxid);
	if (mark == acks->committed_zxid)
		return 0;
	acks->committed_zxid = mark;
	return 1;
}

void
zab_acks_forget(struct zab_acks *acks, struct quorum_seat seat)
{
	if (seat.active != QUORUM_NO_SEAT)
		acks->active[seat.active] = 0;
	if (seat.next != QUORUM_NO_SEAT)
		acks->next[seat.next] = 0;
}

int64_t
zab_acks_of(const struct zab_acks *acks, struct quorum_seat seat)
{
	if (seat.active != QUORUM_NO_SEAT)
		return acks->active[seat.active];
	if (seat.next != QUORUM_NO_SEAT)
		return acks->next[seat.next];
	return 0;
}
