/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    The contract of zab.h for one core: whatever peers send, in whatever
 *         state, no assert fails; nothing is said before it is durable; only
 *         open connections are used; commits only grow; and two cores that saw
 *         the same events are equal byte for byte.
 * Method  a careless world around one core: peers that mostly follow the
 *         protocol and sometimes send anything, disks that answer when they
 *         like. Each action is checked against what the disk has said so far.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/zab.h"
#include "tests/unit/consensus/random.h"

#define SELF    2
#define OPS_MAX 64u

enum op_kind { OP_LOG, OP_ACCEPTED, OP_CURRENT, OP_CONFIG, OP_CUT, OP_INSTALL };

struct op {
	enum op_kind kind;
	int64_t number;
};

struct world {
	struct zab_core *core, *twin;
	struct zab_actions actions, twin_actions;
	uint64_t seed, now;
	struct quorum config;
	struct zab_history disk; /* durable */
	int64_t accepted, current, appended, durable, committed;
	struct op op[OPS_MAX];
	uint32_t op_count;
	bool is_installing, is_reloading;
	uint64_t open; /* slots */
	bool is_dialing, is_dead;
	/* What a sensible peer says next. */
	uint32_t said[64];
	int64_t favourite; /* whom they vote for */
	int64_t leader_epoch;
	uint32_t answers; /* of the core to its leader: ACKEPOCH, ACK, ... */
	uint32_t established, followed; /* how often it got that far */
};

static struct quorum
three_voters(void)
{
	struct quorum quorum = {.member_count = 4};

	for (uint32_t i = 0; i < 4; i++)
		quorum.member[i] = (struct quorum_member){.sid = i + 1,
							  .address = i + 1,
							  .weight = 1,
							  .is_voter = i < 3};
	assert_int_equal(quorum_check(&quorum), 0);
	return quorum;
}

static struct zab_core_options
options(void)
{
	return (struct zab_core_options){.sid = SELF,
					 .tick_ms = 100,
					 .init_limit = 10,
					 .sync_limit = 5,
					 .finalize_ms = 20,
					 .notify_min_ms = 20,
					 .notify_max_ms = 200,
					 .epoch_wait_ms = 100,
					 .dial_retry_ms = 10,
					 .dial_tries = 5,
					 .outstanding_max = 50,
					 .limp_still_ms = 2000,
					 .limp_lag_ms = 1000,
					 .limp_for_ms = 3000,
					 .yield_pause_ms = 100,
					 .is_sync_confirmed = true};
}

static uint32_t
below(struct world *w, uint32_t limit)
{
	return random_below(&w->seed, limit);
}

/* ------------------------------------------------------------- actions --- */

static void
ask_disk(struct world *w, enum op_kind kind, int64_t number)
{
	assert_true(w->op_count < OPS_MAX);
	w->op[w->op_count++] = (struct op){kind, number};
}

static void
check_send(struct world *w, const struct zab_action *action)
{
	struct zab_view view;

	zab_view(w->core, &view);
	assert_int_equal(action->slots & ~w->open, 0);
	assert_int_not_equal(action->slots, 0);
	assert_true(action->zxid <= action->zxid_last);
	if (action->slots >> ZAB_LEADER_SLOT & 1 &&
	    (action->packet == QUORUM_ACKEPOCH || action->packet == QUORUM_ACK))
		w->answers++;
	switch (action->packet) {
	case QUORUM_ACK:
		if (zab_counter(action->zxid) == 0) {
			assert_int_equal(w->durable, w->appended);
			assert_int_equal(zab_epoch(action->zxid), w->current);
		} else {
			assert_true(action->zxid_last <= w->durable);
		}
		break;
	case QUORUM_ACKEPOCH:
		assert_int_equal(w->accepted, w->leader_epoch);
		assert_int_equal(w->durable, w->appended);
		break;
	case QUORUM_NEWLEADER:
		assert_int_equal(zab_epoch(action->zxid), w->accepted);
		break;
	case QUORUM_UPTODATE:
		assert_int_equal(view.epoch, w->current);
		break;
	case QUORUM_COMMIT:
		assert_true(action->zxid_last <= w->appended);
		break;
	default:
		break;
	}
}

static void
do_append(struct world *w, int64_t first, int64_t last)
{
	assert_true(first > w->appended && last >= first);
	w->appended = last;
	ask_disk(w, OP_LOG, last);
}

static void
do_close(struct world *w, const struct zab_action *action)
{
	w->open &= ~action->slots;
	if (action->slots >> ZAB_LEADER_SLOT & 1) {
		w->is_dialing = false;
		w->is_installing = false;
	}
	for (uint32_t i = 0; i < 64; i++)
		if (action->slots >> i & 1)
			w->said[i] = 0;
}

static void
do_action(struct world *w, const struct zab_action *action)
{
	switch ((enum zab_action_type)action->type) {
	case ZAB_DO_SEND:
		check_send(w, action);
		break;
	case ZAB_DO_STREAM_HISTORY:
	case ZAB_DO_STREAM_SNAPSHOT:
		assert_int_equal(action->slots & ~w->open, 0);
		break;
	case ZAB_DO_CLOSE:
		do_close(w, action);
		break;
	case ZAB_DO_DIAL:
		assert_false(w->open >> ZAB_LEADER_SLOT & 1);
		w->is_dialing = true;
		break;
	case ZAB_DO_APPEND:
		do_append(w, action->zxid, action->zxid_last);
		break;
	case ZAB_DO_TRUNCATE:
		assert_true(action->zxid >= w->committed);
		assert_int_equal(w->durable, w->appended);
		ask_disk(w, OP_CUT, action->zxid);
		break;
	case ZAB_DO_INSTALL_SNAPSHOT:
		assert_true(action->zxid >= w->committed);
		w->is_installing = true;
		ask_disk(w, OP_INSTALL, action->zxid);
		break;
	case ZAB_DO_RELOAD:
		w->is_reloading = true;
		break;
	case ZAB_DO_PERSIST_ACCEPTED:
		assert_true(action->epoch > w->accepted);
		ask_disk(w, OP_ACCEPTED, action->epoch);
		break;
	case ZAB_DO_PERSIST_CURRENT:
		assert_true(action->epoch <= w->accepted);
		assert_int_equal(w->durable, w->appended);
		ask_disk(w, OP_CURRENT, action->epoch);
		break;
	case ZAB_DO_PERSIST_CONFIG:
		if (action->zxid)
			ask_disk(w, OP_CONFIG, action->zxid);
		break;
	case ZAB_DO_COMMIT:
		assert_true(action->zxid > w->committed);
		assert_true(action->zxid <= w->appended);
		w->committed = action->zxid;
		break;
	case ZAB_DO_STATE:
		w->established +=
			action->role == FLE_LEADING && action->is_serving;
		w->followed +=
			action->role == FLE_FOLLOWING && action->is_serving;
		break;
	case ZAB_DO_FATAL:
		w->is_dead = true;
		break;
	default:
		break;
	}
}

static void
step(struct world *w, struct zab_event event)
{
	event.now_ms = w->now;
	zab_step(w->core, &event, &w->actions);
	zab_step(w->twin, &event, &w->twin_actions);
	assert_memory_equal(w->core, w->twin, zab_core_bytes());
	assert_int_equal(w->actions.count, w->twin_actions.count);
	assert_memory_equal(w->actions.action, w->twin_actions.action,
			    w->actions.count * sizeof(w->actions.action[0]));
	for (uint32_t i = 0; i < w->actions.count; i++)
		do_action(w, &w->actions.action[i]);
}

/* ---------------------------------------------------------------- disk --- */

static void
start_again(struct world *w, int64_t floor_zxid)
{
	memset(&w->disk, 0, sizeof(w->disk));
	w->disk.floor_zxid = w->disk.last_zxid = floor_zxid;
	w->appended = w->durable = floor_zxid;
}

static void
finish_op(struct world *w)
{
	struct zab_event event = {0};
	struct op op = w->op[0];

	w->op_count--;
	memmove(&w->op[0], &w->op[1], w->op_count * sizeof(op));
	event.zxid = event.epoch = op.number;
	switch (op.kind) {
	case OP_LOG:
		event.type = ZAB_EV_LOG_DURABLE;
		w->durable = op.number;
		break;
	case OP_ACCEPTED:
		event.type = ZAB_EV_EPOCH_DURABLE;
		w->accepted = op.number;
		break;
	case OP_CURRENT:
		event.type = ZAB_EV_EPOCH_DURABLE;
		event.is_current = true;
		w->current = op.number;
		break;
	case OP_CONFIG:
		event.type = ZAB_EV_CONFIG_DURABLE;
		break;
	case OP_CUT:
		event.type = ZAB_EV_TRUNCATED;
		w->appended = w->durable = op.number;
		break;
	case OP_INSTALL:
		if (!w->is_installing)
			return; /* The connection is gone, it is reloaded. */
		w->is_installing = false;
		event.type = ZAB_EV_SNAP_INSTALLED;
		start_again(w, op.number);
		break;
	}
	step(w, event);
}

static bool
must_wait(const struct world *w)
{
	for (uint32_t i = 0; i < w->op_count; i++)
		if (w->op[i].kind == OP_CUT || w->op[i].kind == OP_INSTALL)
			return true;
	return w->is_reloading;
}

static void
reload(struct world *w)
{
	struct zab_history history;
	struct zab_disk_state disk = {.history = &history};

	/* The world keeps no rows: it begins with a snapshot at its end. */
	memset(&history, 0, sizeof(history));
	history.floor_zxid = history.last_zxid = w->durable;
	w->is_reloading = false;
	start_again(w, w->durable);
	step(w, (struct zab_event){.type = ZAB_EV_RELOADED, .disk = &disk});
}

/* --------------------------------------------------------------- peers --- */

static int64_t
some_zxid(struct world *w)
{
	switch (below(w, 8)) {
	case 0:
		return w->appended + 1;
	case 1:
		return w->committed + 1;
	case 2:
		return w->appended;
	case 3:
		return zab_zxid(w->leader_epoch, 1);
	case 4:
		return zab_zxid(w->accepted + below(w, 3), 0);
	case 5:
		return (int64_t)random_next(&w->seed);
	case 6:
		return -1;
	default:
		return w->appended - below(w, 4);
	}
}

static int64_t
next_of_leader(const struct world *w)
{
	return zab_epoch(w->appended) == w->leader_epoch
		       ? w->appended + 1
		       : zab_zxid(w->leader_epoch, 1);
}

/* What a leader would say now, as far as this world can tell. */
static struct zab_event
sensible_leader(struct world *w)
{
	struct zab_event event = {.type = ZAB_EV_PACKET,
				  .slot = ZAB_LEADER_SLOT};
	uint32_t *said = &w->said[ZAB_LEADER_SLOT];

	/* A leader waits for ACKEPOCH, and for the ACK of NEWLEADER. */
	if ((*said == 1 && w->answers < 1) || (*said == 3 && w->answers < 2)) {
		event.packet = QUORUM_PING;
		return event;
	}
	switch (*said) {
	case 0:
		event.packet = QUORUM_LEADERINFO;
		w->leader_epoch = w->accepted + below(w, 2);
		event.zxid = zab_zxid(w->leader_epoch, 0);
		break;
	case 1:
		event.packet = QUORUM_DIFF;
		event.zxid = w->appended;
		if (below(w, 4) == 0) {
			event.packet = QUORUM_SNAP;
			event.zxid = w->appended + below(w, 3);
		} else if (below(w, 4) == 0) {
			event.packet = QUORUM_TRUNC;
			event.zxid = w->appended - below(w, 2);
		}
		break;
	case 2:
		event.packet = below(w, 2) ? QUORUM_NEWLEADER : QUORUM_PROPOSAL;
		event.zxid = event.packet == QUORUM_NEWLEADER
				     ? zab_zxid(w->leader_epoch, 0)
				     : next_of_leader(w);
		*said -= event.packet == QUORUM_PROPOSAL;
		break;
	case 3:
		event.packet = QUORUM_UPTODATE;
		event.zxid = -1;
		break;
	default:
		event.packet = below(w, 2) ? QUORUM_PROPOSAL : QUORUM_COMMIT;
		event.zxid = event.packet == QUORUM_PROPOSAL ? next_of_leader(w)
							     : w->committed + 1;
		if (below(w, 6) == 0)
			event.packet = QUORUM_PING;
	}
	(*said)++;
	return event;
}

static struct zab_event
sensible_learner(struct world *w, uint32_t slot)
{
	struct zab_event event = {.type = ZAB_EV_PACKET, .slot = slot};
	struct zab_view view;
	uint32_t *said = &w->said[slot];

	zab_view(w->core, &view);
	switch (*said) {
	case 0:
		event.packet = slot % 4 == 3 ? QUORUM_OBSERVERINFO
					     : QUORUM_FOLLOWERINFO;
		event.zxid = zab_zxid(below(w, (uint32_t)w->accepted + 2), 0);
		event.sid = slot % 4 == 1 ? 9 : slot % 4 + 1;
		break;
	case 1:
		event.packet = QUORUM_ACKEPOCH;
		event.zxid = below(w, 8) ? w->appended - below(w, 2) : -1;
		event.epoch = below(w, 8) ? w->current - below(w, 2) : -1;
		break;
	case 2:
		event.packet = QUORUM_ACK;
		event.zxid = zab_zxid(view.epoch, 0);
		break;
	default:
		event.packet = below(w, 3) ? QUORUM_ACK : QUORUM_PING;
		event.zxid = view.proposed_zxid - below(w, 2);
	}
	(*said)++;
	return event;
}

static void
send_packet(struct world *w, uint32_t slot)
{
	struct zab_event event;

	if (slot == ZAB_LEADER_SLOT && must_wait(w))
		return;
	event = slot == ZAB_LEADER_SLOT ? sensible_leader(w)
					: sensible_learner(w, slot);
	if (below(w, 30) == 0)
		event.packet = (int32_t)below(w, 22);
	if (below(w, 30) == 0)
		event.zxid = some_zxid(w);
	if (below(w, 60) == 0)
		event.epoch = some_zxid(w);
	if (below(w, 60) == 0)
		event.sid = below(w, 6);
	if (event.packet == QUORUM_LEADERINFO && slot == ZAB_LEADER_SLOT)
		w->leader_epoch = zab_epoch(event.zxid);
	step(w, event);
}

static void
vote(struct world *w)
{
	struct zab_event event = {.type = ZAB_EV_FLE,
				  .sid = below(w, 4) ? 1 + 2 * below(w, 2)
						     : 1 + below(w, 5)};
	struct zab_view view;

	zab_view(w->core, &view);
	event.notification = (struct zab_notification){
		.state = (int32_t)below(w, 3),
		.version = 2,
		.leader = below(w, 8) ? w->favourite : 1 + below(w, 4),
		.zxid = w->appended - below(w, 2),
		.round = view.round + below(w, 2),
		.peer_epoch = w->current};
	if (below(w, 20) == 0)
		event.notification.zxid = some_zxid(w);
	if (event.notification.leader == event.sid && below(w, 4))
		event.notification.state = FLE_LEADING;
	step(w, event);
}

static void
change_connections(struct world *w)
{
	const uint32_t slot = below(w, 6);
	struct zab_event event = {.slot = slot};

	if (w->is_dialing) {
		w->is_dialing = false;
		event.slot = ZAB_LEADER_SLOT;
		event.type = below(w, 4) ? ZAB_EV_CONN_UP : ZAB_EV_CONN_DOWN;
		if (event.type == ZAB_EV_CONN_UP)
			w->open |= 1ull << ZAB_LEADER_SLOT;
		w->said[ZAB_LEADER_SLOT] = 0;
		w->answers = 0;
	} else if (!(w->open >> slot & 1)) {
		event.type = ZAB_EV_CONN_UP;
		w->open |= 1ull << slot;
		w->said[slot] = 0;
	} else if (below(w, 12) == 0) {
		if (below(w, 3) == 0 && w->open >> ZAB_LEADER_SLOT & 1)
			event.slot = ZAB_LEADER_SLOT;
		event.type = ZAB_EV_CONN_DOWN;
		w->open &= ~(1ull << event.slot);
		if (event.slot == ZAB_LEADER_SLOT)
			w->is_installing = false;
		w->said[event.slot] = 0;
	} else {
		return;
	}
	step(w, event);
}

static void
propose(struct world *w)
{
	const int64_t zxid = zab_next_zxid(w->core, NULL);

	if (zxid == 0 || w->op_count > OPS_MAX / 2)
		return;
	do_append(w, zxid, zxid);
	step(w, (struct zab_event){.type = ZAB_EV_PROPOSE, .zxid = zxid});
}

static void
something(struct world *w)
{
	const uint32_t slot = below(w, 3) ? ZAB_LEADER_SLOT : below(w, 6);

	switch (below(w, 12)) {
	case 0:
		w->now += below(w, 30);
		if (w->now >= zab_wake_ms(w->core))
			step(w, (struct zab_event){.type = ZAB_EV_TICK});
		break;
	case 1:
		vote(w);
		break;
	case 2:
	case 3:
		change_connections(w);
		break;
	case 4:
		propose(w);
		break;
	case 5:
		step(w, (struct zab_event){.type = ZAB_EV_SYNC,
					   .slot = below(w, 2) ? ZAB_SELF_SLOT
							       : below(w, 6)});
		break;
	case 6:
		if (below(w, 40) == 0)
			step(w, (struct zab_event){.type = ZAB_EV_YIELD});
		else if (below(w, 40) == 0)
			step(w, (struct zab_event){.type = ZAB_EV_FLE_LINK,
						   .sid = below(w, 5),
						   .is_up = below(w, 2)});
		break;
	case 7:
	case 8:
		if (w->is_reloading)
			reload(w);
		else if (w->op_count > 0)
			finish_op(w);
		break;
	default:
		if (w->open >> slot & 1)
			send_packet(w, slot);
		break;
	}
}

static void
whatever_peers_send_the_contract_holds(void **state)
{
	const struct zab_core_options opts = options();
	uint64_t seed = random_start(7);
	static struct world w;
	uint32_t established = 0, followed = 0;

	(void)state;
	for (uint32_t run = 0; run < 150 * random_times(); run++) {
		struct zab_disk_state disk = {.history = &w.disk,
					      .active = &w.config};

		memset(&w, 0, sizeof(w));
		w.core = calloc(1, zab_core_bytes());
		w.twin = calloc(1, zab_core_bytes());
		assert_non_null(w.core);
		assert_non_null(w.twin);
		w.seed = random_next(&seed);
		w.config = three_voters();
		w.favourite = 1 + below(&w, 3);
		assert_int_equal(zab_init(w.core, &opts), 0);
		assert_int_equal(zab_init(w.twin, &opts), 0);
		disk.is_nonvoting = below(&w, 8) == 0;
		step(&w,
		     (struct zab_event){.type = ZAB_EV_START, .disk = &disk});
		for (uint32_t i = 0; i < 5000 && !w.is_dead; i++)
			something(&w);
		established += w.established;
		followed += w.followed;
		free(w.core);
		free(w.twin);
	}
	printf("led %u times, followed %u times\n", established, followed);
	/* The world is careless, but not so careless that nothing happens. */
	assert_true(established > 50);
	assert_true(followed > 50);
}

static void
options_out_of_range_are_refused(void **state)
{
	struct zab_core *core = calloc(1, zab_core_bytes());
	struct zab_core_options wrong[11];

	(void)state;
	assert_non_null(core);
	for (uint32_t i = 0; i < 11; i++)
		wrong[i] = options();
	assert_int_equal(zab_init(core, &wrong[0]), 0);
	wrong[0].sid = -1;
	wrong[1].tick_ms = 0;
	wrong[2].init_limit = 0;
	wrong[3].sync_limit = 0;
	wrong[4].notify_min_ms = 0;
	wrong[5].notify_max_ms = 1;
	wrong[6].dial_tries = 0;
	wrong[7].outstanding_max = 0;
	wrong[8].outstanding_max = (1u << 20) + 1;
	wrong[9].beacon_ms = 20;
	wrong[9].beacon_lost_ms = 59;
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(zab_init(core, &wrong[i]), FAL_EINVAL);
	free(core);
}

static void
everything_has_a_name(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < ZAB_EV_COUNT; i++)
		assert_string_not_equal(zab_event_name(i), "unknown event");
	for (uint32_t i = 0; i < ZAB_DO_COUNT; i++)
		assert_string_not_equal(zab_action_name(i), "unknown action");
	for (uint32_t i = 0; i < ZAB_WHY_COUNT; i++)
		assert_string_not_equal(zab_reason_text(i), "unknown reason");
	for (int32_t i = 1; i <= 19; i++)
		assert_string_not_equal(zab_packet_name(i), "unknown packet");
	assert_string_equal(zab_event_name(ZAB_EV_COUNT), "unknown event");
	assert_string_equal(zab_action_name(ZAB_DO_COUNT), "unknown action");
	assert_string_equal(zab_reason_text(ZAB_WHY_COUNT), "unknown reason");
	assert_string_equal(zab_packet_name(20), "unknown packet");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_out_of_range_are_refused),
		cmocka_unit_test(everything_has_a_name),
		cmocka_unit_test(whatever_peers_send_the_contract_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
