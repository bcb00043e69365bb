/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fle_votes - the order of votes, when two are the same, and boxes of them.
 *
 * Members of an ensemble that runs disagree in zxid and round of the vote they
 * tell (each kept what it saw when it joined), so for them only leader and
 * epoch are compared; votes of elections must agree in every field.
 */
#include "consensus/fle.h"

#include <string.h>

static uint32_t
weight_of(const struct quorum_pair *pair, int64_t sid)
{
	const uint32_t active = quorum_weight(&pair->active, sid);
	const uint32_t next =
		pair->has_next ? quorum_weight(&pair->next, sid) : 0;

	return active > next ? active : next;
}

bool
fle_vote_better(const struct quorum_pair *pair, const struct fle_vote *a,
		const struct fle_vote *b)
{
	if (weight_of(pair, a->leader) == 0)
		return false;
	if (a->peer_epoch != b->peer_epoch)
		return a->peer_epoch > b->peer_epoch;
	if (a->zxid != b->zxid)
		return a->zxid > b->zxid;
	return a->leader > b->leader;
}

bool
fle_vote_equal(const struct fle_vote *a, const struct fle_vote *b)
{
	if (a->leader != b->leader)
		return false;
	if (a->state == FLE_LOOKING || b->state == FLE_LOOKING)
		return a->zxid == b->zxid && a->round == b->round &&
		       a->peer_epoch == b->peer_epoch;
	if ((a->version == 0) != (b->version == 0))
		return true;
	return a->peer_epoch == b->peer_epoch;
}

void
fle_box_clear(struct fle_box *box)
{
	memset(box, 0, sizeof(*box));
}

void
fle_box_put(struct fle_box *box, int64_t sid, const struct fle_vote *vote)
{
	uint32_t at = 0;

	while (at < box->count && box->sid[at] != sid)
		at++;
	if (at == FLE_BOX_MAX)
		return;
	if (at == box->count)
		box->count++;
	box->sid[at] = sid;
	box->vote[at] = *vote;
}

bool
fle_box_drop(struct fle_box *box, int64_t sid)
{
	uint32_t at = 0;

	while (at < box->count && box->sid[at] != sid)
		at++;
	if (at == box->count)
		return false;
	box->count--;
	box->sid[at] = box->sid[box->count];
	box->vote[at] = box->vote[box->count];
	box->sid[box->count] = 0;
	memset(&box->vote[box->count], 0, sizeof(box->vote[0]));
	return true;
}

const struct fle_vote *
fle_box_get(const struct fle_box *box, int64_t sid)
{
	for (uint32_t i = 0; i < box->count; i++)
		if (box->sid[i] == sid)
			return &box->vote[i];
	return NULL;
}

bool
fle_box_agrees_in(const struct fle_box *box, const struct quorum *quorum,
		  const struct fle_vote *vote)
{
	uint32_t members = 0;

	for (uint32_t i = 0; i < box->count; i++) {
		const int index = quorum_find(quorum, box->sid[i]);

		if (index >= 0 && fle_vote_equal(&box->vote[i], vote))
			members |= 1u << index;
	}
	return quorum_has(quorum, members);
}

bool
fle_box_agrees(const struct fle_box *box, const struct quorum_pair *pair,
	       const struct fle_vote *vote)
{
	return fle_box_agrees_in(box, &pair->active, vote) &&
	       (!pair->has_next || fle_box_agrees_in(box, &pair->next, vote));
}

bool
fle_box_confirms(const struct fle_box *box, int64_t self, int64_t round,
		 const struct fle_vote *vote)
{
	if (vote->leader == self)
		return vote->round == round;

	const struct fle_vote *of_leader = fle_box_get(box, vote->leader);

	return of_leader && of_leader->state == FLE_LEADING;
}
