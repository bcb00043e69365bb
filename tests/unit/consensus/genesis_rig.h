/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_UNIT_CONSENSUS_GENESIS_RIG_H
#define FALCONER_TESTS_UNIT_CONSENSUS_GENESIS_RIG_H

/*
 * genesis_rig - servers at their first boot, and the messages between them.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/genesis.h"
#include "tests/unit/consensus/random.h"

enum { SERVERS = 5, MESSAGES = 256 };

struct letter {
	uint32_t from, to, life; /* life: process of the receiver it is for */
	struct genesis_message message;
};

struct world {
	uint32_t count;
	bool is_all, is_passive;
	uint64_t now;
	struct quorum voters;
	struct genesis genesis[SERVERS];
	bool is_up[SERVERS], has_data[SERVERS];
	bool was_wiped[SERVERS]; /* after a quorum founded */
	uint32_t founders;       /* mask, ever */
	uint32_t life[SERVERS], outcome[SERVERS], conflicts[SERVERS];
	struct genesis_state disk[SERVERS];
	struct genesis_state writing[SERVERS][8]; /* writes under way */
	uint32_t writes[SERVERS];
	struct letter letter[MESSAGES];
	uint32_t letters;
	bool has_founded; /* somebody did, with this id */
	uint8_t id[GENESIS_ID_BYTES];
};

static inline void
do_actions(struct world *w, uint32_t i, const struct genesis_actions *actions)
{
	for (uint32_t a = 0; a < actions->count; a++) {
		const struct genesis_action *action = &actions->action[a];

		if (action->type == GENESIS_PERSIST) {
			assert_true(w->writes[i] < 8);
			w->writing[i][w->writes[i]++] = action->state;
		} else if (action->type == GENESIS_SEND &&
			   w->letters < MESSAGES) {
			const uint32_t to = (uint32_t)action->sid - 1;

			w->letter[w->letters++] = (struct letter){
				i, to, to < SERVERS ? w->life[to] : 0,
				action->message};
		} else if (action->type == GENESIS_DONE &&
			   action->outcome == GENESIS_CONFLICT) {
			w->conflicts[i]++;
		} else if (action->type == GENESIS_DONE) {
			w->outcome[i] = action->outcome;
			if (action->outcome != GENESIS_FOUNDS ||
			    w->genesis[i].state.is_member != GENESIS_MEMBER)
				continue;
			assert_false(w->was_wiped[i]);
			w->founders |= 1u << i;
			if (w->has_founded)
				assert_memory_equal(w->id, w->disk[i].id,
						    GENESIS_ID_BYTES);
			memcpy(w->id, w->disk[i].id, GENESIS_ID_BYTES);
			w->has_founded = true;
		}
	}
}

static inline void
event(struct world *w, uint32_t i, struct genesis_event event)
{
	struct genesis_actions actions;

	event.now_ms = w->now;
	genesis_step(&w->genesis[i], &event, &actions);
	do_actions(w, i, &actions);
}

/* What a start does first: it notes that the disk was empty. */
static inline void
note_empty(struct world *w, uint32_t i, enum genesis_began began)
{
	if (!w->has_data[i] && w->disk[i].began == GENESIS_WITH_DATA)
		w->disk[i].began = began;
}

static inline void
start(struct world *w, uint32_t i)
{
	struct genesis_options options = {.sid = i + 1,
					  .voters = &w->voters,
					  .voters_hash = 7,
					  .has_data = w->has_data[i],
					  .is_all = w->is_all,
					  .is_passive = w->is_passive,
					  .retry_ms = 100,
					  .grace_ms = 50};

	note_empty(w, i, GENESIS_EMPTY);

	memset(options.id, (int)(i + 1 + 16 * (w->life[i] % 15)),
	       GENESIS_ID_BYTES);
	assert_int_equal(genesis_init(&w->genesis[i], &options, &w->disk[i]),
			 0);
	w->is_up[i] = true;
	w->outcome[i] = GENESIS_UNDECIDED;
	event(w, i, (struct genesis_event){.type = GENESIS_EV_START});
}

static inline void
stop(struct world *w, uint32_t i)
{
	w->is_up[i] = false;
	w->life[i]++;
	w->writes[i] = 0;
}

static inline void
wipe(struct world *w, uint32_t i)
{
	memset(&w->disk[i], 0, sizeof(w->disk[i]));
	w->has_data[i] = false;
	w->was_wiped[i] = quorum_has(&w->voters, w->founders);
}

static inline void
make_world(struct world *w, uint32_t count)
{
	memset(w, 0, sizeof(*w));
	w->count = count;
	w->voters.member_count = count;
	for (uint32_t i = 0; i < count; i++)
		w->voters.member[i] = (struct quorum_member){
			.sid = i + 1, .weight = 1, .is_voter = 1};
	assert_int_equal(quorum_check(&w->voters), 0);
}

static inline bool
finish_write(struct world *w, uint32_t i)
{
	if (!w->is_up[i] || w->writes[i] == 0)
		return false;
	w->disk[i] = w->writing[i][0];
	w->writes[i]--;
	memmove(&w->writing[i][0], &w->writing[i][1],
		w->writes[i] * sizeof(w->writing[i][0]));
	event(w, i, (struct genesis_event){.type = GENESIS_EV_DURABLE});
	return true;
}

static inline void
deliver(struct world *w, uint32_t at, bool keep)
{
	const struct letter letter = w->letter[at];

	if (!keep) {
		w->letters--;
		memmove(&w->letter[at], &w->letter[at + 1],
			(w->letters - at) * sizeof(letter));
	}
	if (w->is_up[letter.to] && w->life[letter.to] == letter.life)
		event(w, letter.to,
		      (struct genesis_event){.type = GENESIS_EV_MESSAGE,
					     .sid = letter.from + 1,
					     .message = letter.message});
}

/* In order and without loss, for so long. */
static inline void
run(struct world *w, uint64_t for_ms)
{
	const uint64_t until = w->now + for_ms;

	while (w->now < until) {
		bool is_busy = false;

		for (uint32_t i = 0; i < w->count; i++)
			while (finish_write(w, i))
				is_busy = true;
		if (w->letters > 0) {
			deliver(w, 0, false);
			continue;
		}
		if (is_busy)
			continue;
		w->now++;
		for (uint32_t i = 0; i < w->count; i++)
			if (w->is_up[i] &&
			    genesis_wake_ms(&w->genesis[i]) <= w->now)
				event(w, i,
				      (struct genesis_event){
					      .type = GENESIS_EV_TICK});
	}
}

#endif
