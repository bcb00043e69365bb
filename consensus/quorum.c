/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quorum - sets of members as bit masks.
 *
 * Bit i of a mask stands for member[i]. Masks are cut down to the voters
 * before they are judged, so an observer in a set changes nothing.
 *
 * Groups follow ZooKeeper exactly: a group decides with more than half of its
 * weight, integer division as there; groups whose members weigh nothing are
 * not counted.
 */
#include "consensus/quorum.h"

#include <string.h>

static_assert(QUORUM_MEMBERS_MAX == 32, "masks of members are uint32_t");
static_assert(QUORUM_MEMBERS_MAX < QUORUM_NO_SEAT, "a seat is a uint8_t");

static bool
member_is_sound(const struct quorum *quorum, uint32_t index)
{
	const struct quorum_member *member = &quorum->member[index];

	if (member->sid < 0 || member->is_voter > 1)
		return false;
	if (quorum->kind == QUORUM_HIERARCHICAL &&
	    (member->group >= QUORUM_GROUPS_MAX ||
	     member->weight > QUORUM_WEIGHT_MAX))
		return false;
	for (uint32_t i = 0; i < index; i++)
		if (quorum->member[i].sid == member->sid)
			return false;
	return true;
}

int
quorum_check(struct quorum *quorum)
{
	uint32_t voters = 0;

	if (quorum->member_count > QUORUM_MEMBERS_MAX ||
	    quorum->kind > QUORUM_HIERARCHICAL)
		return FAL_EINVAL;
	for (uint32_t i = 0; i < quorum->member_count; i++) {
		if (!member_is_sound(quorum, i))
			return FAL_EINVAL;
		if (quorum->member[i].is_voter)
			voters |= 1u << i;
	}
	const struct quorum probe = *quorum;

	quorum->voters = voters;
	if (!quorum_has(quorum, voters)) { /* nobody, or no weight at all */
		*quorum = probe;
		return FAL_EINVAL;
	}
	return 0;
}

int
quorum_find(const struct quorum *quorum, int64_t sid)
{
	for (uint32_t i = 0; i < quorum->member_count; i++)
		if (quorum->member[i].sid == sid)
			return (int)i;
	return -1;
}

bool
quorum_is_voter(const struct quorum *quorum, int64_t sid)
{
	const int index = quorum_find(quorum, sid);

	return index >= 0 && quorum->member[index].is_voter;
}

uint32_t
quorum_weight(const struct quorum *quorum, int64_t sid)
{
	const int index = quorum_find(quorum, sid);

	if (index < 0 || !quorum->member[index].is_voter)
		return 0;
	return quorum->kind == QUORUM_MAJORITY ? 1
					       : quorum->member[index].weight;
}

static bool
groups_have(const struct quorum *quorum, uint32_t voters)
{
	uint64_t total[QUORUM_GROUPS_MAX] = {0};
	uint64_t present[QUORUM_GROUPS_MAX] = {0};
	uint32_t groups = 0, decided = 0;

	for (uint32_t i = 0; i < quorum->member_count; i++) {
		const struct quorum_member *member = &quorum->member[i];

		if (!member->is_voter)
			continue;
		total[member->group] += member->weight;
		if (voters & 1u << i)
			present[member->group] += member->weight;
	}
	for (uint32_t g = 0; g < QUORUM_GROUPS_MAX; g++) {
		groups += total[g] > 0;
		decided += total[g] > 0 && present[g] > total[g] / 2;
	}
	return decided > groups / 2;
}

bool
quorum_has(const struct quorum *quorum, uint32_t members)
{
	const uint32_t voters = members & quorum->voters;

	FAL_ASSERT(quorum->member_count <= QUORUM_MEMBERS_MAX);
	if (quorum->kind == QUORUM_HIERARCHICAL)
		return groups_have(quorum, voters);
	return __builtin_popcount(voters) >
	       __builtin_popcount(quorum->voters) / 2;
}

static bool
member_equal(const struct quorum_member *a, const struct quorum_member *b)
{
	return a->sid == b->sid && a->address == b->address &&
	       a->is_voter == b->is_voter;
}

bool
quorum_equal(const struct quorum *a, const struct quorum *b)
{
	if (a->version == b->version)
		return true;
	if (a->member_count != b->member_count)
		return false;
	for (uint32_t i = 0; i < a->member_count; i++) {
		const int index = quorum_find(b, a->member[i].sid);

		if (index < 0 ||
		    !member_equal(&a->member[i], &b->member[index]))
			return false;
	}
	return true;
}

static uint8_t
seat_in(const struct quorum *quorum, int64_t sid)
{
	const int index = quorum_find(quorum, sid);

	if (index < 0 || !quorum->member[index].is_voter)
		return QUORUM_NO_SEAT;
	return (uint8_t)index;
}

struct quorum_seat
quorum_pair_seat(const struct quorum_pair *pair, int64_t sid)
{
	struct quorum_seat seat = {seat_in(&pair->active, sid), QUORUM_NO_SEAT};

	if (pair->has_next)
		seat.next = seat_in(&pair->next, sid);
	return seat;
}

bool
quorum_pair_is_voter(const struct quorum_pair *pair, int64_t sid)
{
	const struct quorum_seat seat = quorum_pair_seat(pair, sid);

	return seat.active != QUORUM_NO_SEAT || seat.next != QUORUM_NO_SEAT;
}

void
quorum_votes_add(struct quorum_votes *votes, struct quorum_seat seat)
{
	if (seat.active != QUORUM_NO_SEAT)
		votes->active |= 1u << seat.active;
	if (seat.next != QUORUM_NO_SEAT)
		votes->next |= 1u << seat.next;
}

bool
quorum_pair_has(const struct quorum_pair *pair, struct quorum_votes votes)
{
	return quorum_has(&pair->active, votes.active) &&
	       (!pair->has_next || quorum_has(&pair->next, votes.next));
}

void
quorum_pair_activate(struct quorum_pair *pair)
{
	FAL_ASSERT(pair->has_next);
	pair->active = pair->next;
	memset(&pair->next, 0, sizeof(pair->next));
	pair->has_next = 0;
}
