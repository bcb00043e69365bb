/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attend - a reader follows the word of dataplane/serving.h.
 *
 * Each change closes all connections of clients, but those of newcomers; what
 * is published by then is answered before. Of tens of thousands that takes a
 * part of a second, in which a core that is the ZAB role's as well could not
 * vote: so some are closed a round, before the word counts, and those whose
 * turn has not come are closed when they say anything. To park it first walks
 * what is published to its end, since the delta ring is about to start over,
 * and lets its long jobs end; with all clients gone they end at their next
 * step. Then it leaves the tree, and says so behind that.
 */
#include "dataplane/reader_int.h"

#define ATTEND_BURST 256u
/* Bursts of records that are answered before all connections are closed. */
#define ATTEND_ANSWERS 16u

/* False: more is left to be walked in the next round. */
static bool
has_caught_up(struct reader *reader)
{
	answer_poll(reader);
	events_step(reader, ATTEND_BURST);
	jobs_step(reader);
	return reader->S == atomic_load_explicit(reader->published,
						 memory_order_acquire) &&
	       !events_have_work(reader) && list_empty(&reader->jobs);
}

/* Acts by the word from now on. Whoever waits for the server to serve does so
 * from the moment in which it stopped. */
static void
set_word(struct reader *reader, uint32_t word)
{
	const bool was_closed = attend_state(reader) == SERVING_CLOSED;

	reader->serving_word = word;
	if (attend_state(reader) != SERVING_CLOSED)
		await_end(reader);
	else if (!was_closed)
		await_begin(reader);
}

/* Says that it has left. */
static void
acknowledge(struct reader *reader, uint32_t word)
{
	FAL_ASSERT(reader->is_parked);
	set_word(reader, word);
	/* pairs with acquire in zab_member_is_parked() */
	atomic_store_explicit(&reader->parts.channel->parked, word,
			      memory_order_release);
	reader->must_ring_zab = true;
}

static void
park(struct reader *reader, uint32_t word)
{
	tree_reader_offline(reader->tree_reader);
	reader->is_parked = true;
	acknowledge(reader, word);
}

/* What was published while it was parked concerns nobody here. */
static void
pass_over(struct reader *reader)
{
	delta_cursor_skip(reader->cursor, reader->S);
	delta_cursor_advance(reader->cursor);
}

/* Asked again before it came back. Something may have been published between,
 * and the delta ring starts over only when all have passed that. */
static void
stay_parked(struct reader *reader, uint32_t word)
{
	reader->S =
		atomic_load_explicit(reader->published, memory_order_acquire);
	pass_over(reader);
	acknowledge(reader, word);
}

static void
come_back(struct reader *reader)
{
	/* All that was published here before was walked; the state that is
	 * there now may be an older one. */
	reader->S = tree_reader_online(reader->tree_reader, reader->published);
	pass_over(reader);
	reader->is_parked = false;
}

/* What is published is answered, and nobody left in doubt about it, though the
 * role that published it is over. */
static void
answer_rest(struct reader *reader)
{
	if (reader->is_parked || attend_state(reader) == SERVING_CLOSED)
		return;
	for (uint32_t i = 0; i < ATTEND_ANSWERS; i++)
		if (!answer_poll(reader))
			return;
}

bool
attend_follow(struct reader *reader)
{
	if (reader->parts.serving == NULL)
		return true;

	const uint32_t word = serving_load(reader->parts.serving);

	if (FAL_LIKELY(word == reader->serving_word))
		return !reader->is_parked;
	if (!reader->is_hanging_up)
		answer_rest(reader);
	reader->is_hanging_up = !conn_close_clients(reader);
	if (reader->is_hanging_up)
		return false;
	if ((word & SERVING_PARKED) && reader->is_parked) {
		stay_parked(reader, word);
		return false;
	}
	if (word & SERVING_PARKED) {
		/* No new clients while the rest of the old is walked. */
		set_word(reader, (reader->serving_word &
				  ~(SERVING_STATE_MASK | SERVING_PARKED)) |
					 SERVING_CLOSED);
		if (has_caught_up(reader))
			park(reader, word);
		return false;
	}
	set_word(reader, word);
	if (reader->is_parked)
		come_back(reader);
	return true;
}
