/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fle_shun - candidates that did not work.
 *
 * Votes are passed on by those who hear them to those who cannot reach whom
 * they name. Where links are missing all may so agree on a server that too few
 * can follow, and agree on it again after it failed, for ever. So each server
 * remembers for a while which candidate failed: one that it could not reach,
 * or itself if no quorum came, or whoever it votes for while others whom it
 * hears want another one and no quorum comes of it. It does not take up a vote
 * for such a candidate; if it is itself that failed, it rests: it keeps its
 * vote, does not tell it, and takes the first candidate whose log is as good as
 * its own.
 *
 * The time doubles with each failure, three times, and is spread by sid and
 * round, so among several candidates that block each other one after the other
 * gets its chance alone. It passes during elections only: a try that fails may
 * last longer than all of it, and whoever sees all others would else go round
 * among them for ever and never stand itself. A reign that begins voids it all.
 * Peers of any kind see nothing but votes.
 */
#include "consensus/fle.h"

#define FAILURES_MAX 3u

/* Spreads servers and attempts; a mixer of 64 bits as in splitmix. */
static uint64_t
spread(const struct fle *fle, uint64_t span)
{
	uint64_t x = (uint64_t)fle->options.sid * 0x9e3779b97f4a7c15ull +
		     (uint64_t)fle->round;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return (x ^ (x >> 31)) % (span + 1);
}

static struct fle_grudge *
grudge_of(struct fle *fle, int64_t sid)
{
	for (uint32_t i = 0; i < fle->grudge_count; i++)
		if (fle->grudge[i].sid == sid)
			return &fle->grudge[i];
	if (fle->grudge_count == FLE_BOX_MAX)
		return NULL;
	fle->grudge[fle->grudge_count] = (struct fle_grudge){.sid = sid};
	return &fle->grudge[fle->grudge_count++];
}

void
fle_shun(struct fle *fle, int64_t sid, uint64_t now_ms)
{
	struct fle_grudge *grudge = grudge_of(fle, sid);
	const uint64_t base =
		2ull * (fle->options.finalize_ms + fle->options.notify_min_ms);

	if (!grudge)
		return;
	const uint64_t span = base << grudge->failures;

	if (grudge->failures < FAILURES_MAX)
		grudge->failures++;
	grudge->until_ms = now_ms + span + spread(fle, span);
}

void
fle_prolong(struct fle *fle, uint64_t began_ms, uint64_t now_ms)
{
	for (uint32_t i = 0; i < fle->grudge_count; i++)
		if (fle->grudge[i].until_ms > began_ms)
			fle->grudge[i].until_ms += now_ms - began_ms;
}

void
fle_forgive(struct fle *fle)
{
	for (uint32_t i = 0; i < fle->grudge_count; i++)
		fle->grudge[i] = (struct fle_grudge){0};
	fle->grudge_count = 0;
}

uint64_t
fle_shunned_until(const struct fle *fle, int64_t sid)
{
	for (uint32_t i = 0; i < fle->grudge_count; i++)
		if (fle->grudge[i].sid == sid)
			return fle->grudge[i].until_ms;
	return 0;
}

uint64_t
fle_stall_ms(const struct fle *fle, uint32_t agree)
{
	const uint64_t quiet = 2ull * fle->options.finalize_ms;

	/* Who has more support keeps it longer. */
	return 1 + quiet * (1 + agree) + spread(fle, quiet);
}

uint64_t
fle_word_ms(const struct fle *fle)
{
	return fle->options.finalize_ms;
}
