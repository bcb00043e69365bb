/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    The guarantees of architecture.md 4.3 hold in every interleaving: an
 *         event is told before any state that shows the change, none is lost
 *         between a read that set a watch and the change, none is told of what
 *         is not published (or is taken back), a one-shot watch fires once.
 * Method  all sequences of the actions below, by one writer and two reader
 *         cores, up to a depth (8; FAL_EXPLORE_DEPTH), on the real delta ring
 *         and the real watch tables. The tree is a set of bits: which zxids
 *         changed the node. A reader's loop is two actions, loading P' and
 *         walking the records, so that the writer gets in between. The ring
 *         has 4 records and is never reset, so places are reused all the time.
 *
 *         Each core has a client with a one-shot watch that it registers,
 *         removes or loses by closing, and one with a persistent watch. In the
 *         second run 300 more connections watch, so every event is a job, and
 *         clients are told in portions or before their output (depth 6).
 *
 *         Sequences that differ by the order of two neighbouring actions of
 *         different cores, or by the names of the cores, are tried once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "dataplane/delta.h"
#include "znode/watch.h"

enum {
	CORES = 2,
	DEPTH_MAX = 16,
	RING_RECORDS = 4,
	ONE_SHOT = 0, /* connections of each core */
	PERSISTENT = 1,
	CROWD_FIRST = 2,
	CROWD = 300,
	PORTION = 100,
};

enum action {
	CHANGE,      /* apply a setData, append its record */
	PUBLISH_ONE, /* the oldest unpublished record */
	PUBLISH_ALL,
	REWIND, /* take back what is unpublished */
	MARK,   /* P moves without a record: a new epoch */
	LOAD,   /* from here on: of core 0, then the same of core 1 */
	WALK,
	REGISTER, /* read at S and set the one-shot watch */
	REMOVE,
	CLOSE,
	READ, /* read at S; what a job owes comes first */
	STEP, /* a portion of the jobs */
	CORE_ACTIONS = STEP - LOAD + 1,
	ACTIONS = LOAD + CORES * CORE_ACTIONS
};

/* All zxids are counted from the start of the sequence. */
struct core_model {
	uint32_t S, limit;
	bool is_loaded; /* limit is P' */
	bool is_armed;  /* by what walks have done, jobs aside */
	uint32_t armed_at;
	uint32_t passed; /* records given back */
};

struct model {
	bool is_crowded;
	uint32_t published;   /* P */
	uint32_t newest;      /* appended or published */
	uint32_t changes;     /* bit z: z is a change, published or not */
	uint32_t records;     /* appended since the start */
	uint32_t unpublished; /* of them */
	struct core_model core[CORES];
};

static uint32_t
bits_up_to(uint32_t zxid)
{
	return (uint32_t)((2ull << zxid) - 1);
}

/* Changes in (from, to]. */
static uint32_t
changes_in(const struct model *model, uint32_t from, uint32_t to)
{
	return model->changes & bits_up_to(to) & ~bits_up_to(from);
}

static uint32_t
oldest_unpublished(const struct model *model)
{
	return (uint32_t)__builtin_ctz(
		changes_in(model, model->published, model->newest));
}

static int
core_of(int action)
{
	return action < LOAD ? -1 : (action - LOAD) / CORE_ACTIONS;
}

/* The action without its core. */
static int
kind_of(int action)
{
	return action < LOAD ? action : LOAD + (action - LOAD) % CORE_ACTIONS;
}

static bool
is_enabled(const struct model *model, int action)
{
	const struct core_model *core = &model->core[0];
	uint32_t slowest = UINT32_MAX;

	if (action >= LOAD)
		core = &model->core[core_of(action)];
	switch (kind_of(action)) {
	case CHANGE:
		for (int i = 0; i < CORES; i++)
			if (model->core[i].passed < slowest)
				slowest = model->core[i].passed;
		return model->records - slowest < RING_RECORDS;
	case PUBLISH_ONE:
		return model->unpublished > 1;
	case PUBLISH_ALL:
	case REWIND:
		return model->unpublished > 0;
	case MARK:
		return model->unpublished == 0;
	case LOAD:
		return !core->is_loaded;
	case WALK:
		return core->is_loaded;
	case REGISTER:
		return !core->is_armed;
	case REMOVE:
	case CLOSE:
		return core->is_armed || model->is_crowded;
	default: /* READ, STEP: without jobs they do nothing */
		return model->is_crowded && core->S > 0;
	}
}

static void
model_publish(struct model *model, uint32_t zxid)
{
	model->published = zxid;
	model->unpublished = (uint32_t)__builtin_popcount(
		changes_in(model, zxid, model->newest));
}

static void
model_walk(struct model *model, struct core_model *core)
{
	core->passed += (uint32_t)__builtin_popcount(
		changes_in(model, core->S, core->limit));
	if (core->is_armed &&
	    changes_in(model, core->armed_at, core->limit) != 0)
		core->is_armed = false;
	core->S = core->limit;
	core->is_loaded = false;
}

static void
model_apply(struct model *model, int action)
{
	struct core_model *core = &model->core[0];

	if (action >= LOAD)
		core = &model->core[core_of(action)];
	switch (kind_of(action)) {
	case CHANGE:
		model->changes |= 1u << ++model->newest;
		model->records++;
		model->unpublished++;
		break;
	case PUBLISH_ONE:
		model_publish(model, oldest_unpublished(model));
		break;
	case PUBLISH_ALL:
		model_publish(model, model->newest);
		break;
	case REWIND:
		model->changes &= bits_up_to(model->published);
		model->records -= model->unpublished;
		model->newest = model->published;
		model->unpublished = 0;
		break;
	case MARK:
		model_publish(model, ++model->newest);
		break;
	case LOAD:
		core->is_loaded = true;
		core->limit = model->published;
		break;
	case WALK:
		model_walk(model, core);
		break;
	case REGISTER:
		core->is_armed = true;
		core->armed_at = core->S;
		break;
	case REMOVE:
	case CLOSE:
		core->is_armed = false;
		break;
	default:
		break;
	}
}

/* ---- the real thing ------------------------------------------------------ */

struct core {
	struct world *world;
	uint32_t index;
	struct watch_table *watches;
	struct delta_cursor *cursor;
	/* What the clients know. */
	bool is_armed;
	uint32_t armed_at;
	uint32_t told; /* bits: events the persistent watch brought */
};

struct world {
	struct delta_ring *ring;
	struct core core[CORES];
	uint64_t base; /* zxid of the start of the sequence */
	struct model model;
	uint64_t sequences, events;
	int sequence[DEPTH_MAX];
	int depth, at;
};

static struct world world;

static void
complain(const char *what)
{
	print_error("%s after", what);
	for (int i = 0; i <= world.at && i < world.depth; i++)
		print_error(" %d", world.sequence[i]);
	print_error("\n");
	fail();
}

static uint64_t
hash_of(const void *arg, struct hash_prefix *prefix, const void *text,
	uint32_t bytes)
{
	static const struct hash_key key = {.word = {1, 3, 5, 7}};

	(void)arg;
	return hash_prefix(&key, prefix, text, bytes);
}

static struct tree_path
node_path(void)
{
	static const uint8_t text[] = "/node";

	return (struct tree_path){
		.text = text,
		.bytes = 5,
		.hash = hash_of(NULL, &(struct hash_prefix){0}, text, 5)};
}

static void
deliver(void *arg, uint32_t conn, uint64_t zxid, const struct effect *effect)
{
	struct core *core = arg;
	const struct model *model = &world.model;
	const uint32_t z = (uint32_t)(zxid - world.base);

	(void)effect;
	world.events++;
	if (zxid <= world.base || z > model->published)
		complain("early event");
	if (!(model->changes >> z & 1))
		complain("event of a change that is none");
	if (conn == ONE_SHOT) {
		if (!core->is_armed)
			complain("event without a watch");
		if (z <= core->armed_at)
			complain("event of before the watch");
		/* The first change after the read, not a later one. */
		if (changes_in(model, core->armed_at, z - 1) != 0)
			complain("missed event");
		core->is_armed = false;
	} else if (conn == PERSISTENT) {
		if (core->told & ~bits_up_to(z - 1))
			complain("event out of order or twice");
		core->told |= 1u << z;
	}
}

/* What a reply that shows S would reveal. */
static void
check_clients(struct core *core)
{
	const struct model *model = &world.model;
	const uint32_t S = model->core[core->index].S;

	watch_deliver_before_output(core->watches, ONE_SHOT);
	watch_deliver_before_output(core->watches, PERSISTENT);
	if (core->is_armed && changes_in(model, core->armed_at, S) != 0)
		complain("data before its event");
	if (core->told != changes_in(model, 0, S))
		complain("persistent watch behind its data");
}

static void
real_change(void)
{
	uint64_t memory[8] = {0};
	struct effect *effect = (struct effect *)(void *)memory;
	const struct tree_path path = node_path();
	const uint32_t bytes = effect_bytes(path.bytes);
	const struct delta record = {.zxid = world.base + world.model.newest +
					     1,
				     .effect_count = 1,
				     .effects_bytes = bytes};

	effect->path_hash = path.hash;
	effect->path_bytes = path.bytes;
	effect->type = EVENT_NODE_DATA_CHANGED;
	effect->tables = EFFECT_TABLE_DATA;
	memcpy(effect->path, path.text, path.bytes);
	assert_true(delta_can_append(world.ring, bytes));
	assert_int_equal(delta_append(world.ring, &record, effect, NULL), 0);
}

static void
real_walk(struct core *core, uint64_t limit)
{
	const struct delta *record;

	while ((record = delta_next(core->cursor, limit)) != NULL)
		watch_fire(core->watches, record->zxid, delta_effects(record));
	delta_cursor_advance(core->cursor);
}

static void
real_publish(uint32_t zxid)
{
	delta_publish(world.ring, world.base + zxid);
	assert_int_equal(*delta_published(world.ring), world.base + zxid);
}

/* Does on the real objects what model_apply() is about to do. */
static void
real_apply(int action)
{
	const struct model *model = &world.model;
	struct core *core = action < LOAD ? NULL : &world.core[core_of(action)];
	int32_t answer;

	switch (kind_of(action)) {
	case CHANGE:
		real_change();
		break;
	case PUBLISH_ONE:
		real_publish(oldest_unpublished(model));
		break;
	case PUBLISH_ALL:
		real_publish(model->newest);
		break;
	case REWIND:
		delta_rewind(world.ring, world.base + model->published);
		break;
	case MARK:
		real_publish(model->newest + 1);
		break;
	case LOAD:
		break; /* the model keeps the number */
	case WALK:
		real_walk(core, world.base + model->core[core->index].limit);
		break;
	case REGISTER:
		assert_int_equal(watch_add(core->watches, ONE_SHOT, node_path(),
					   WATCH_DATA),
				 0);
		core->is_armed = true;
		core->armed_at = model->core[core->index].S;
		break;
	case REMOVE:
		answer = watch_remove(core->watches, ONE_SHOT, node_path(),
				      WATCH_TYPE_DATA);
		if ((answer == ZK_OK) != core->is_armed)
			complain("wrong answer to removeWatches");
		core->is_armed = false;
		break;
	case CLOSE:
		watch_drop_connection(core->watches, ONE_SHOT);
		core->is_armed = false;
		break;
	case READ:
		check_clients(core);
		break;
	default:
		(void)watch_job_step(core->watches, PORTION);
		break;
	}
}

static void
world_open(bool is_crowded)
{
	memset(&world, 0, sizeof(world));
	world.model.is_crowded = is_crowded;
	assert_int_equal(
		delta_ring_create(RING_RECORDS, 1024, CORES, &world.ring), 0);
	for (uint32_t i = 0; i < CORES; i++) {
		struct core *core = &world.core[i];
		const struct watch_options options = {.conns_max = CROWD_FIRST +
								   CROWD,
						      .watches_max = 1000,
						      .hash = hash_of,
						      .deliver = deliver,
						      .deliver_arg = core};

		core->index = i;
		core->cursor = delta_cursor_open(world.ring, i);
		assert_int_equal(watch_table_create(&options, &core->watches),
				 0);
		for (uint32_t conn = PERSISTENT;
		     conn < (is_crowded ? CROWD_FIRST + CROWD : CROWD_FIRST);
		     conn++)
			assert_int_equal(watch_add(core->watches, conn,
						   node_path(),
						   WATCH_PERSISTENT),
					 0);
	}
}

static void
world_close(void)
{
	for (uint32_t i = 0; i < CORES; i++)
		watch_table_destroy(world.core[i].watches);
	delta_ring_destroy(world.ring);
}

/* Runs one sequence, then lets everything come to rest. */
static void
run_sequence(void)
{
	const bool is_crowded = world.model.is_crowded;
	struct model *model = &world.model;

	memset(model, 0, sizeof(*model));
	model->is_crowded = is_crowded;
	for (world.at = 0; world.at < world.depth; world.at++) {
		const int action = world.sequence[world.at];

		real_apply(action);
		model_apply(model, action);
		for (uint32_t i = 0; !is_crowded && i < CORES; i++)
			check_clients(&world.core[i]);
	}
	delta_publish(world.ring, world.base + model->newest);
	model_publish(model, model->newest);
	for (uint32_t i = 0; i < CORES; i++) {
		struct core *core = &world.core[i];

		model->core[i].limit = model->published;
		real_walk(core, world.base + model->published);
		model_walk(model, &model->core[i]);
		while (watch_job_step(core->watches, PORTION))
			;
		check_clients(core);
		watch_drop_connection(core->watches, ONE_SHOT);
		core->is_armed = false;
		core->told = 0;
	}
	world.base += model->published;
	world.sequences++;
}

/* Would another order of the last two actions do the same, and come first? */
static bool
is_redundant(int action, int before)
{
	const int core = core_of(action);

	return core >= 0 && core_of(before) > core;
}

/* Depth first over the model; whole sequences are run. `has_core` tells that
 * some core was named: before that, core 0 stands for both. The recursion is
 * as deep as the sequences are long. */
static void
explore(const struct model *model, int at, int before, bool has_core)
{
	if (at == world.depth) {
		run_sequence();
		return;
	}
	for (int action = 0; action < ACTIONS; action++) {
		struct model after = *model;

		if (!is_enabled(model, action) ||
		    is_redundant(action, before) ||
		    (!has_core && core_of(action) > 0))
			continue;
		model_apply(&after, action);
		world.sequence[at] = action;
		explore(&after, at + 1, action,
			has_core || core_of(action) >= 0);
	}
}

static void
explore_to(bool is_crowded, int depth)
{
	const char *env = getenv("FAL_EXPLORE_DEPTH");
	struct model start = {.is_crowded = is_crowded};

	world_open(is_crowded);
	if (env != NULL && atoi(env) > 0 && atoi(env) <= DEPTH_MAX)
		depth = atoi(env);
	/* All sequences of that length hold all shorter ones. */
	world.depth = depth;
	explore(&start, 0, -1, false);
	print_message("depth %d: %llu sequences, %llu events\n", depth,
		      (unsigned long long)world.sequences,
		      (unsigned long long)world.events);
	assert_true(world.sequences > 0);
	assert_true(world.events > 0);
	world_close();
}

static void
events_come_before_data_and_none_is_lost(void **state)
{
	(void)state;
	explore_to(false, 8);
}

static void
the_same_holds_when_events_are_told_in_portions(void **state)
{
	(void)state;
	explore_to(true, 6);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_come_before_data_and_none_is_lost),
		cmocka_unit_test(
			the_same_holds_when_events_are_told_in_portions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
