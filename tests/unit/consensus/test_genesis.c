/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    At most one ensemble id is ever founded; a quorum of empty servers
 *         that can talk founds one; a server whose disk was emptied afterwards
 *         never founds, as long as somebody of the ensemble answers.
 * Method  the first boot of three by hand, message by message; then random
 *         runs of five with loss, repetition, reordering, crashes between write
 *         and answer, and emptied disks.
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

static void
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

static void
event(struct world *w, uint32_t i, struct genesis_event event)
{
	struct genesis_actions actions;

	event.now_ms = w->now;
	genesis_step(&w->genesis[i], &event, &actions);
	do_actions(w, i, &actions);
}

/* What a start does first: it notes that the disk was empty. */
static void
note_empty(struct world *w, uint32_t i, enum genesis_began began)
{
	if (!w->has_data[i] && w->disk[i].began == GENESIS_WITH_DATA)
		w->disk[i].began = began;
}

static void
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

static void
stop(struct world *w, uint32_t i)
{
	w->is_up[i] = false;
	w->life[i]++;
	w->writes[i] = 0;
}

static void
wipe(struct world *w, uint32_t i)
{
	memset(&w->disk[i], 0, sizeof(w->disk[i]));
	w->has_data[i] = false;
	w->was_wiped[i] = quorum_has(&w->voters, w->founders);
}

static void
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

static bool
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

static void
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
static void
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

static void
hello(struct world *w, uint32_t from, uint32_t to)
{
	struct genesis_event said = {.type = GENESIS_EV_MESSAGE,
				     .sid = from + 1};

	genesis_hello(&w->genesis[from], &said.message);
	assert_false(genesis_is_stranger(&w->genesis[to], &said.message));
	event(w, to, said);
}

static void
three_empty_servers_found_one_ensemble(void **state)
{
	struct world w;

	(void)state;
	make_world(&w, 3);
	for (uint32_t i = 0; i < 3; i++)
		start(&w, i);
	assert_false(genesis_may_vote(&w.genesis[0]));
	run(&w, 500);
	for (uint32_t i = 0; i < 3; i++) {
		assert_true(genesis_may_vote(&w.genesis[i]));
		assert_int_equal(w.outcome[i], GENESIS_FOUNDS);
		assert_true(w.disk[i].is_member);
		assert_memory_equal(w.disk[i].id, w.id, GENESIS_ID_BYTES);
	}
}

static void
one_of_three_waits(void **state)
{
	struct world w;

	(void)state;
	make_world(&w, 3);
	start(&w, 1);
	run(&w, 20000);
	assert_int_equal(w.outcome[1], GENESIS_UNDECIDED);
	start(&w, 2);
	run(&w, 5000);
	assert_int_equal(w.outcome[1], GENESIS_FOUNDS);
	assert_int_equal(w.outcome[2], GENESIS_FOUNDS);
	/* Who comes later finds that it exists. */
	start(&w, 0);
	run(&w, 1000);
	assert_int_equal(w.outcome[0], GENESIS_JOINS);
}

static void
an_emptied_server_only_joins(void **state)
{
	struct world w;
	struct genesis_actions actions;

	(void)state;
	make_world(&w, 3);
	for (uint32_t i = 0; i < 3; i++)
		start(&w, i);
	run(&w, 500);
	for (uint32_t i = 0; i < 3; i++) {
		w.has_data[i] = true;
		stop(&w, i);
	}
	wipe(&w, 2);
	start(&w, 2);
	run(&w, 5000);
	assert_int_equal(w.outcome[2], GENESIS_UNDECIDED);
	start(&w, 0); /* stale, but it knows */
	run(&w, 5000);
	assert_int_equal(w.outcome[0], GENESIS_FOUNDS);
	assert_int_equal(w.outcome[2], GENESIS_JOINS);
	/* Data that a leader sends proves nothing before it is complete. */
	w.has_data[2] = true;
	stop(&w, 2);
	start(&w, 2);
	assert_int_equal(w.outcome[2], GENESIS_JOINS);
	hello(&w, 0, 2);
	genesis_adopt(&w.genesis[2], &actions);
	do_actions(&w, 2, &actions);
	w.was_wiped[2] = false;
	run(&w, 10);
	stop(&w, 2);
	start(&w, 2);
	assert_int_equal(w.outcome[2], GENESIS_FOUNDS);
	assert_memory_equal(w.disk[2].id, w.id, GENESIS_ID_BYTES);
}

/* Until server i has that much on its disk. */
static void
run_until_accepted(struct world *w, uint32_t i)
{
	for (uint32_t n = 0; w->disk[i].accepted_ballot == 0; n++) {
		assert_true(n < 1000);
		run(w, 1);
	}
}

/* 3 accepts and is gone before it learns; 1 and 2 use the ensemble; 2 loses its
 * disk. 2 and 3 are a quorum that could choose the id once more. */
static void
who_accepted_and_never_learned_does_not_help_an_emptied_one(void **state)
{
	struct world w;

	(void)state;
	make_world(&w, 3);
	for (uint32_t i = 0; i < 3; i++)
		start(&w, i);
	run(&w, 500);
	for (uint32_t i = 0; i < 3; i++)
		stop(&w, i);
	w.disk[2].is_member = 0; /* as it was before FOUNDED came */
	wipe(&w, 1);
	start(&w, 1);
	start(&w, 2);
	run(&w, 20000);
	assert_false(genesis_may_vote(&w.genesis[1]));
	start(&w, 0);
	run(&w, 5000);
	assert_int_equal(w.outcome[1], GENESIS_JOINS);
	assert_int_equal(w.outcome[2], GENESIS_FOUNDS);
}

static void
a_power_cut_while_deciding_is_survived(void **state)
{
	struct world w;

	(void)state;
	for (uint32_t who = 0; who < 3; who++) {
		make_world(&w, 3);
		for (uint32_t i = 0; i < 3; i++)
			start(&w, i);
		run_until_accepted(&w, 0);
		for (uint32_t i = 0; i < 3; i++) {
			stop(&w, i);
			/* Only one of them has it on its disk. */
			w.disk[i].is_member = 0;
			if (i != who) {
				w.disk[i].accepted_ballot = 0;
				w.disk[i].is_witness = 0;
			}
		}
		w.letters = 0;
		w.has_founded = false;
		for (uint32_t i = 0; i < 3; i++)
			start(&w, i);
		run(&w, 20000);
		for (uint32_t i = 0; i < 3; i++)
			assert_int_equal(w.outcome[i], GENESIS_FOUNDS);
	}
}

static void
all_of_them_protect_against_a_voter_that_never_started(void **state)
{
	struct world w;

	(void)state;
	make_world(&w, 3);
	w.is_all = true;
	start(&w, 0);
	start(&w, 1);
	run(&w, 10000);
	assert_int_equal(w.outcome[0], GENESIS_UNDECIDED);
	start(&w, 2);
	run(&w, 10000);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(w.outcome[i], GENESIS_FOUNDS);
}

static void
different_voter_lists_are_told_and_found_nothing(void **state)
{
	struct world w;

	(void)state;
	make_world(&w, 2);
	start(&w, 0);
	start(&w, 1);
	w.genesis[1].voters_hash = 8;
	run(&w, 5000);
	assert_int_equal(w.outcome[0], GENESIS_UNDECIDED);
	assert_int_equal(w.outcome[1], GENESIS_UNDECIDED);
	assert_int_equal(w.conflicts[0], 1);
	assert_int_equal(w.conflicts[1], 1);
}

static void
foreign(struct world *w, uint32_t i, uint32_t from, bool looks, int64_t zxid,
	int64_t epoch)
{
	event(w, i,
	      (struct genesis_event){.type = GENESIS_EV_FOREIGN,
				     .sid = from + 1,
				     .looks = looks,
				     .zxid = zxid,
				     .epoch = epoch});
}

static void
data_of_before_is_a_member(void **state)
{
	struct world w;

	(void)state;
	make_world(&w, 3);
	w.has_data[0] = true;
	start(&w, 0);
	assert_int_equal(w.outcome[0], GENESIS_FOUNDS);
	start(&w, 1);
	run(&w, 1000);
	assert_int_equal(w.outcome[1], GENESIS_JOINS);
}

/* Servers 1 and 3 are ZooKeeper's. */
static void
an_empty_zookeeper_consents_and_one_with_data_does_not(void **state)
{
	struct world w;

	(void)state;
	make_world(&w, 3);
	start(&w, 1);
	foreign(&w, 1, 0, true, -1, -1); /* waits itself to be told */
	run(&w, 500);
	assert_int_equal(w.outcome[1], GENESIS_UNDECIDED);
	foreign(&w, 1, 0, true, 0, 0);
	run(&w, 500);
	assert_int_equal(w.outcome[1], GENESIS_FOUNDS);
	assert_int_equal(w.disk[1].is_member, GENESIS_LOOSE_MEMBER);
	for (uint32_t how = 0; how < 4; how++) {
		make_world(&w, 3);
		start(&w, 1);
		if (how == 3) {
			/* It is gone before the question was over. */
			foreign(&w, 1, 0, true, 0, 0);
			event(&w, 1,
			      (struct genesis_event){.type = GENESIS_EV_LINK,
						     .sid = 1});
		} else {
			foreign(&w, 1, 0, how != 0, how == 1, how == 2);
		}
		run(&w, 2000);
		/* One that leads or follows with nothing is being born, too; it
		 * has consented no more than it has refused. */
		assert_int_equal(w.outcome[1], how == 1 || how == 2
						       ? GENESIS_JOINS
						       : GENESIS_UNDECIDED);
		assert_false(genesis_may_vote(&w.genesis[1]));
	}
	/* What a stranger says is no evidence. */
	make_world(&w, 3);
	start(&w, 1);
	foreign(&w, 1, 7, false, 1, 1);
	assert_int_equal(w.outcome[1], GENESIS_UNDECIDED);
}

static void
what_was_founded_with_a_zookeeper_has_no_id_to_judge_by(void **state)
{
	struct world w;
	struct genesis_message said;

	(void)state;
	make_world(&w, 3);
	start(&w, 0);
	start(&w, 1);
	foreign(&w, 0, 2, true, 0, 0);
	w.letters = 0; /* nothing comes through */
	while (finish_write(&w, 0))
		;
	w.now += 60;
	event(&w, 0, (struct genesis_event){.type = GENESIS_EV_TICK});
	while (finish_write(&w, 0))
		;
	assert_int_equal(w.outcome[0], GENESIS_FOUNDS);
	genesis_hello(&w.genesis[0], &said);
	for (uint32_t i = 0; i < GENESIS_ID_BYTES; i++)
		assert_int_equal(said.id[i], 0);
	/* The other one, which had accepted nothing, joins. */
	run(&w, 2000);
	assert_int_equal(w.outcome[1], GENESIS_JOINS);
}

static void
an_operator_may_vouch_or_forbid(void **state)
{
	struct world w;
	struct genesis_actions actions;

	(void)state;
	make_world(&w, 3);
	note_empty(&w, 0, GENESIS_VOUCHED);
	start(&w, 0);
	assert_true(genesis_may_vote(&w.genesis[0]));
	w.is_passive = true;
	start(&w, 1);
	run(&w, 2000);
	/* Who may not found does not help to, either. */
	assert_int_equal(w.outcome[0], GENESIS_UNDECIDED);
	assert_int_equal(w.outcome[1], GENESIS_UNDECIDED);
	/* Served: from now on there is something. */
	genesis_adopt(&w.genesis[0], &actions);
	do_actions(&w, 0, &actions);
	run(&w, 10);
	w.is_passive = false;
	start(&w, 2);
	run(&w, 1000);
	assert_int_equal(w.outcome[2], GENESIS_JOINS);
	stop(&w, 0);
	start(&w, 0);
	assert_int_equal(w.outcome[0], GENESIS_FOUNDS);
}

static void
a_vouched_server_helps_others_to_found(void **state)
{
	struct world w;

	(void)state;
	make_world(&w, 3);
	note_empty(&w, 0, GENESIS_VOUCHED);
	for (uint32_t i = 0; i < 3; i++)
		start(&w, i);
	run(&w, 500);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(w.outcome[i], GENESIS_FOUNDS);
}

static void
whoever_asks_a_member_is_told(void **state)
{
	struct world w;
	struct genesis_event asks = {.type = GENESIS_EV_MESSAGE, .sid = 9};

	(void)state;
	make_world(&w, 3);
	w.has_data[0] = true;
	start(&w, 0);
	asks.message.type = GENESIS_PREPARE;
	asks.message.ballot = 33;
	asks.message.voters_hash = 99; /* it is in no list of ours */
	event(&w, 0, asks);
	assert_int_equal(w.letters, 1);
	assert_int_equal(w.letter[0].message.type, GENESIS_EXISTS);
	/* But an undecided one promises nothing to it. */
	w.letters = 0;
	start(&w, 1);
	w.letters = 0;
	event(&w, 1, asks);
	assert_int_equal(w.letters, 0);
	assert_int_equal(w.writes[1], 0);
}

static void
a_lonely_server_writes_once_and_is_heard_when_others_come(void **state)
{
	struct world w;

	(void)state;
	make_world(&w, 3);
	start(&w, 0);
	run(&w, 60000);
	assert_int_equal(w.disk[0].promised, 1u << 5);
	start(&w, 1);
	start(&w, 2);
	w.letters = 0;
	hello(&w, 1, 0); /* and not at its next retry */
	hello(&w, 2, 0);
	run(&w, 5);
	assert_int_equal(w.outcome[0], GENESIS_FOUNDS);
	assert_int_equal(w.disk[0].promised, 1u << 5);
}

static void
a_quorum_waits_a_moment_for_who_may_come(void **state)
{
	struct world w;

	(void)state;
	for (uint32_t is_down = 0; is_down < 2; is_down++) {
		make_world(&w, 3);
		start(&w, 0);
		start(&w, 1);
		if (is_down)
			event(&w, 0,
			      (struct genesis_event){.type = GENESIS_EV_LINK,
						     .sid = 3});
		run(&w, 40);
		assert_int_equal(w.outcome[0],
				 is_down ? GENESIS_FOUNDS : GENESIS_UNDECIDED);
		run(&w, 20);
		assert_int_equal(w.outcome[0], GENESIS_FOUNDS);
	}
}

static void
weights_decide_as_they_do_in_elections(void **state)
{
	struct world w;

	(void)state;
	make_world(&w, 3);
	w.voters.kind = QUORUM_HIERARCHICAL;
	w.voters.member[0].weight = 3;
	assert_int_equal(quorum_check(&w.voters), 0);
	start(&w, 1);
	start(&w, 2);
	run(&w, 2000);
	assert_int_equal(w.outcome[1], GENESIS_UNDECIDED);
	stop(&w, 1);
	stop(&w, 2);
	start(&w, 0);
	run(&w, 2000);
	assert_int_equal(w.outcome[0], GENESIS_FOUNDS);
}

static void
another_ensemble_is_known_by_its_id(void **state)
{
	struct world w, other;
	struct genesis_message said;

	(void)state;
	make_world(&w, 3);
	make_world(&other, 3);
	for (uint32_t i = 0; i < 2; i++) {
		start(&w, i);
		other.life[1 - i] = 3;
		start(&other, 1 - i);
	}
	run(&w, 500);
	run(&other, 500);
	genesis_hello(&w.genesis[0], &said);
	assert_false(genesis_is_stranger(&w.genesis[1], &said));
	assert_true(genesis_is_stranger(&other.genesis[1], &said));
	said.type = GENESIS_EXISTS;
	assert_true(genesis_is_stranger(&other.genesis[1], &said));
	said.features = GENESIS_LOOSE;
	assert_false(genesis_is_stranger(&other.genesis[1], &said));
	said.features = 0;
	memset(said.id, 0, sizeof(said.id));
	assert_false(genesis_is_stranger(&other.genesis[1], &said));
}

static void
frames_are_forty_bytes_that_no_notification_is(void **state)
{
	struct genesis_message in = {.type = GENESIS_ACCEPT,
				     .ballot = 0x01020304,
				     .accepted_ballot = 0x05060708,
				     .features = 0x090a,
				     .voters_hash = 0x1112131415161718},
			       out;
	uint8_t frame[GENESIS_FRAME_BYTES + 1];
	static const uint8_t golden[GENESIS_FRAME_BYTES] = {
		0x46, 0x47, 0x4e, 0x31, 3,    0,    0x09, 0x0a, 1,    2,
		3,    4,    5,    6,    7,    8,    0xa0, 0xa1, 0xa2, 0xa3,
		0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad,
		0xae, 0xaf, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18};

	(void)state;
	for (uint32_t i = 0; i < GENESIS_ID_BYTES; i++)
		in.id[i] = (uint8_t)(0xa0 + i);
	genesis_put(&in, frame);
	assert_memory_equal(frame, golden, sizeof(golden));
	assert_int_equal(genesis_get(frame, GENESIS_FRAME_BYTES, &out), 0);
	assert_memory_equal(&in, &out, sizeof(in));
	for (size_t bytes = 0; bytes <= sizeof(frame); bytes++)
		if (bytes != GENESIS_FRAME_BYTES)
			assert_int_equal(genesis_get(frame, bytes, &out),
					 FAL_EPROTO);
	frame[4] = GENESIS_TYPES;
	assert_int_equal(genesis_get(frame, GENESIS_FRAME_BYTES, &out),
			 FAL_EPROTO);
	memset(frame, 0, 4); /* LOOKING */
	assert_int_equal(genesis_get(frame, GENESIS_FRAME_BYTES, &out),
			 FAL_EPROTO);
}

/* ------------------------------------------------------------- at random ---
 */

/* How many that founded, or hold the founded value, have kept their disk. */
static uint32_t
witnesses(const struct world *w)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < w->count; i++)
		count += memcmp(w->disk[i].id, w->id, GENESIS_ID_BYTES) == 0 &&
			 w->disk[i].accepted_ballot != 0;
	return count;
}

static void
disturb(struct world *w, uint64_t *seed)
{
	const uint32_t i = random_below(seed, w->count);

	switch (random_below(seed, 12)) {
	case 0:
		if (w->is_up[i])
			stop(w, i);
		break;
	case 1:
	case 2:
		if (!w->is_up[i])
			start(w, i);
		break;
	case 3: /* Emptying a majority is outside of every guarantee. */
		if (!w->is_up[i] && w->has_founded &&
		    witnesses(w) > w->count / 2 + 1)
			wipe(w, i);
		break;
	case 4:
		w->now += random_below(seed, 300);
		break;
	case 5:
		if (w->letters > 0) {
			w->letters--;
			memmove(&w->letter[0], &w->letter[1],
				w->letters * sizeof(w->letter[0]));
		}
		break;
	default:
		break;
	}
}

static void
one_id_whatever_happens(void **state)
{
	uint64_t seed = random_start(6);
	uint32_t founded = 0;

	(void)state;
	for (uint32_t run_index = 0; run_index < 2000 * random_times();
	     run_index++) {
		static struct world w;

		make_world(&w, 3 + 2 * random_below(&seed, 2));
		for (uint32_t step = 0; step < 600; step++) {
			const uint32_t i = random_below(&seed, w.count);

			disturb(&w, &seed);
			if (random_below(&seed, 2))
				(void)finish_write(&w, i);
			if (w.letters > 0)
				deliver(&w, random_below(&seed, w.letters),
					random_below(&seed, 8) == 0);
			if (w.is_up[i] &&
			    genesis_wake_ms(&w.genesis[i]) <= w.now)
				event(&w, i,
				      (struct genesis_event){
					      .type = GENESIS_EV_TICK});
		}
		/* Calm: all start, and know after a while. */
		w.letters = 0;
		for (uint32_t i = 0; i < w.count; i++)
			if (!w.is_up[i])
				start(&w, i);
		run(&w, 20000);
		assert_true(w.has_founded);
		for (uint32_t i = 0; i < w.count; i++) {
			assert_true(w.outcome[i] == GENESIS_FOUNDS ||
				    w.outcome[i] == GENESIS_JOINS);
			founded += w.outcome[i] == GENESIS_FOUNDS;
		}
	}
	assert_true(founded > 2000);
}

/* Seed 4376 of the simulator: an emptied voter is synchronized, its note is
 * lost in a crash while it is an observer, and then it is made a voter. */
static void
an_observer_that_was_synchronized_is_a_member(void **state)
{
	struct genesis_state disk = {.began = GENESIS_EMPTY,
				     .accepted_ballot = 3,
				     .promised = 3,
				     .id = {7}};
	struct genesis_state old = {.began = GENESIS_WITH_DATA};
	const uint8_t no_id[GENESIS_ID_BYTES] = {0};

	(void)state;
	assert_true(genesis_adopt_observer(&disk));
	assert_int_equal(disk.is_member, GENESIS_LOOSE_MEMBER);
	assert_memory_equal(disk.id, no_id, GENESIS_ID_BYTES);
	assert_false(genesis_adopt_observer(&disk));
	assert_false(genesis_adopt_observer(&old));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(three_empty_servers_found_one_ensemble),
		cmocka_unit_test(one_of_three_waits),
		cmocka_unit_test(an_emptied_server_only_joins),
		cmocka_unit_test(
			who_accepted_and_never_learned_does_not_help_an_emptied_one),
		cmocka_unit_test(a_power_cut_while_deciding_is_survived),
		cmocka_unit_test(
			all_of_them_protect_against_a_voter_that_never_started),
		cmocka_unit_test(
			different_voter_lists_are_told_and_found_nothing),
		cmocka_unit_test(data_of_before_is_a_member),
		cmocka_unit_test(
			an_empty_zookeeper_consents_and_one_with_data_does_not),
		cmocka_unit_test(
			what_was_founded_with_a_zookeeper_has_no_id_to_judge_by),
		cmocka_unit_test(an_operator_may_vouch_or_forbid),
		cmocka_unit_test(a_vouched_server_helps_others_to_found),
		cmocka_unit_test(whoever_asks_a_member_is_told),
		cmocka_unit_test(
			a_lonely_server_writes_once_and_is_heard_when_others_come),
		cmocka_unit_test(a_quorum_waits_a_moment_for_who_may_come),
		cmocka_unit_test(weights_decide_as_they_do_in_elections),
		cmocka_unit_test(another_ensemble_is_known_by_its_id),
		cmocka_unit_test(
			frames_are_forty_bytes_that_no_notification_is),
		cmocka_unit_test(one_id_whatever_happens),
		cmocka_unit_test(an_observer_that_was_synchronized_is_a_member),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
