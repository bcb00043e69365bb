/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the threads behind store_port share nothing that they should not: a
 * writer that goes on while snapshots and histories are read, and everything
 * lent and given back between.
 *
 * Method: real threads and a real disk: BG, LOG and FILES, with the test as the
 * ZAB core. What comes out of streams is compared with what went in. Run with
 * ThreadSanitizer, too. FAL_SEED, FAL_ROUNDS.
 */

#include "store_rig.h"

#include <unistd.h>

#include "store/data_dir.h"

#define SESSION    0x100001bd0460000
#define STREAMS    4u
#define NAME_BYTES 64u

struct world {
	struct rt rt; /* its disk is not used */
	struct restore restore;
	struct restore_result found;
	char dir[FILE_PATH_MAX];
	struct txlog *log;
	struct lcore zab, bg, log_core;
	_Atomic uint64_t published;
	_Atomic bool must_stop, must_park, is_parked;
	struct store_jobs *jobs;
	struct store_port port;
	struct store_event event;
	struct txn_result result;
	int64_t last;
	uint32_t made;
};

/* ---- threads
 * ----------------------------------------------------------------- */

static void *
log_main(void *arg)
{
	struct world *world = arg;

	while (!atomic_load(&world->must_stop)) {
		if (txlog_poll(world->log))
			continue;
		if (atomic_load(&world->must_park)) {
			atomic_store(&world->is_parked, true);
			while (atomic_load(&world->must_park))
				usleep(100);
			atomic_store(&world->is_parked, false);
		}
		lcore_sleep_begin(&world->log_core);
		lcore_wait(&world->log_core, 1000000);
		lcore_sleep_end(&world->log_core);
	}
	return NULL;
}

static void
park_log(void *arg)
{
	struct world *world = arg;

	atomic_store(&world->must_park, true);
	while (!atomic_load(&world->is_parked))
		usleep(100);
}

static void
resume_log(void *arg)
{
	struct world *world = arg;

	atomic_store(&world->must_park, false);
	while (atomic_load(&world->is_parked))
		usleep(100);
}

static void *
bg_main(void *arg)
{
	struct world *world = arg;

	assert_int_equal(store_jobs_attach(world->jobs), 0);
	while (!atomic_load(&world->must_stop)) {
		bool did_work = store_jobs_run(world->jobs);

		did_work |= txlog_prepare(world->log);
		did_work |= txlog_trim(world->log);
		tree_reclaim_grace(world->rt.tree);
		if (did_work)
			continue;
		lcore_sleep_begin(&world->bg);
		if (!store_jobs_has_work(world->jobs))
			lcore_wait(&world->bg, 2000000);
		lcore_sleep_end(&world->bg);
	}
	store_jobs_detach(world->jobs);
	return NULL;
}

/* ---- the world
 * ---------------------------------------------------------------- */

static void
put_files(struct world *world)
{
	static const char *const names[] = {
		"log.100000001",      "log.100000027",
		"log.100000049",      "log.100000071",
		"snapshot.0",         "snapshot.100000025",
		"snapshot.100000047", "snapshot.10000006f",
	};

	for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[2 * FILE_PATH_MAX];
		size_t bytes = 0;
		uint8_t *data;
		FILE *file;

		snprintf(path, sizeof(path), GOLDEN_DIR "/disk/" FULL_DIR "/%s",
			 names[i]);
		data = testing_load(path, &bytes);
		snprintf(path, sizeof(path), "%s/%s", world->dir, names[i]);
		file = fopen(path, "wb");
		assert_non_null(file);
		assert_int_equal(fwrite(data, 1, bytes, file), bytes);
		fclose(file);
		free(data);
	}
}

static void
make_jobs(struct world *world)
{
	const struct store_parts parts = {
		.restore = world->restore,
		.txlog = world->log,
		.published = &world->published,
		.zab_lcore = &world->zab,
		.bg_lcore = &world->bg,
		.config_path = RIG_CONFIG,
		.snapshots_max = STREAMS,
		.worth_factor = 0.33,
		.worth_count = 500,
		.history = &world->found.history,
		.arg = world,
		.park_log = park_log,
		.resume_log = resume_log,
	};

	assert_int_equal(store_jobs_create(&parts, &world->jobs), 0);
	world->port = store_jobs_port(world->jobs);
	assert_int_equal(store_jobs_start(world->jobs), 0);
}

static void
world_begin(struct world *world)
{
	struct txlog_options log = {.dir = world->dir,
				    .window_bytes = 1u << 20,
				    .prealloc_bytes = 256u << 10,
				    .entry_bytes_max = RIG_ENTRY_MAX};

	memset(world, 0, sizeof(*world));
	rt_begin(&world->rt);
	snprintf(world->dir, sizeof(world->dir), "/tmp/falconer-store-XXXXXX");
	assert_non_null(mkdtemp(world->dir));
	put_files(world);
	world->restore = rig_restore(&world->rt);
	world->restore.disk = disk_posix();
	world->restore.snap_dir = world->dir;
	world->restore.log_dir = world->dir;
	assert_int_equal(restore_run(&world->restore, &world->found), 0);
	world->last = (int64_t)world->found.outcome.last_zxid;
	log.last_zxid = (uint64_t)world->last;
	assert_int_equal(txlog_create(disk_posix(), &log, &world->log), 0);
	atomic_store(&world->published, (uint64_t)world->last);
	assert_int_equal(lcore_init(&world->zab), 0);
	assert_int_equal(lcore_init(&world->bg), 0);
	assert_int_equal(lcore_init(&world->log_core), 0);
	make_jobs(world);
	assert_int_equal(lcore_start(&world->log_core, LCORE_ANY_CPU, "log",
				     log_main, world),
			 0);
	assert_int_equal(
		lcore_start(&world->bg, LCORE_ANY_CPU, "bg", bg_main, world),
		0);
}

static void
unlink_name(void *arg, const char *name)
{
	char path[2 * FILE_PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", (const char *)arg, name);
	unlink(path);
}

static void
world_end(struct world *world)
{
	atomic_store(&world->must_stop, true);
	lcore_wake(&world->bg);
	lcore_wake(&world->log_core);
	lcore_join(&world->log_core);
	lcore_join(&world->bg);
	store_jobs_stop(world->jobs);
	store_jobs_destroy(world->jobs);
	txlog_destroy(world->log);
	lcore_free(&world->zab);
	lcore_free(&world->bg);
	lcore_free(&world->log_core);
	txn_result_free(&world->result);
	assert_int_equal(
		disk_list(disk_posix(), world->dir, unlink_name, world->dir),
		0);
	rmdir(world->dir);
	rt_end(&world->rt);
}

/* ---- the writer
 * ----------------------------------------------------------------- */

static uint32_t
put_create(uint8_t *to, uint32_t cap, uint32_t number)
{
	struct jute_writer out = jute_writer_of(to, cap);
	char path[NAME_BYTES];
	uint8_t data[900];

	snprintf(path, sizeof(path), "/n%u", number);
	memset(data, (int)number, sizeof(data));
	jute_put_slice(&out, jute_slice_of(path, strlen(path)));
	jute_put_slice(&out, jute_slice_of(data, number % sizeof(data)));
	jute_put_int(&out, 1);
	jute_put_int(&out, 31);
	jute_put_slice(&out, jute_slice_of("world", 5));
	jute_put_slice(&out, jute_slice_of("anyone", 6));
	jute_put_int(&out, 0);
	assert_false(out.is_full);
	return (uint32_t)(out.at - to);
}

/* One node more: logged, published and, some time, durable. */
static void
make_node(struct world *world)
{
	uint8_t body[2048];
	const uint32_t body_bytes =
		put_create(body, sizeof(body), world->made++);
	const struct prep_request request = {.session_id = SESSION,
					     .type = OP_CREATE,
					     .body = body,
					     .body_bytes = body_bytes};
	struct jute_writer entry;
	uint32_t room = 0;
	uint8_t *at;

	while (!txlog_can_append(world->log, sizeof(body)))
		lcore_doorbell(&world->log_core);
	at = txlog_reserve(world->log, &room);
	entry = jute_writer_of(at, room);
	assert_int_equal(prep_request(world->rt.prep, &request, world->last + 1,
				      1700000000000, &entry, &world->result),
			 0);
	world->last++;
	txlog_commit(world->log, world->result.entry_bytes,
		     (uint64_t)world->last);
	store_jobs_note(world->jobs, world->last);
	tree_publish(world->rt.tree, world->last);
	atomic_store(&world->published, (uint64_t)world->last);
	tree_reclaim(world->rt.tree, 64);
	lcore_doorbell(&world->log_core);
}

static void
wait_durable(struct world *world)
{
	while (txlog_durable_zxid(world->log) < (uint64_t)world->last) {
		lcore_doorbell(&world->log_core);
		usleep(100);
	}
}

static void
wait_event(struct world *world, enum store_event_kind kind)
{
	do
		while (!world->port.next(world->jobs, &world->event))
			usleep(100);
	while (world->event.kind == STORE_FLOOR);
	if (world->event.kind == STORE_FAILED)
		print_message("%s\n", world->event.text);
	assert_int_equal(world->event.kind, kind);
}

/* ---- learners
 * -------------------------------------------------------------------- */

struct learner {
	struct store_stream *stream;
	bool is_snapshot;
	struct snap_form form;
	int64_t next; /* zxid of a history */
	uint8_t *bytes;
	size_t count, at;
};

static void
learner_begin(struct world *world, struct learner *learner, bool is_snapshot)
{
	int64_t zxid = 0;

	memset(learner, 0, sizeof(*learner));
	learner->is_snapshot = is_snapshot;
	learner->next = 0x100000001 + (int64_t)testing_below(100);
	snap_form_init(&learner->form);
	/* BG may not be there yet, or the readers of streams that were closed
	 * not yet back. */
	do
		learner->stream =
			is_snapshot
				? world->port.open_snapshot(world->jobs, &zxid)
				: world->port.open_history(world->jobs,
							   learner->next - 1,
							   world->last);
	while (learner->stream == NULL && usleep(100) == 0);
	assert_non_null(learner->stream);
}

/* Whole packets of a history. */
static void
check_packets(struct learner *learner)
{
	struct quorum_packet packet;
	size_t used = 0;

	while (quorum_packet_get(learner->bytes + learner->at,
				 learner->count - learner->at, 1 << 20, &packet,
				 &used) == 1) {
		learner->at += used;
		assert_int_equal(packet.zxid, learner->next);
		if (packet.type == QUORUM_COMMIT)
			learner->next++;
		else
			assert_int_equal(packet.type, QUORUM_PROPOSAL);
	}
}

/* Takes some; true when it has all. */
static bool
learner_take(struct learner *learner)
{
	const uint8_t *data = NULL;
	uint32_t bytes = learner->stream->ops->peek(learner->stream, &data);

	assert_true(learner->stream->ops->state(learner->stream) >= 0);
	if (bytes == 0)
		return learner->stream->ops->state(learner->stream) == 1;
	bytes = 1 + (uint32_t)testing_below(bytes);
	learner->bytes = realloc(learner->bytes, learner->count + bytes);
	assert_non_null(learner->bytes);
	memcpy(learner->bytes + learner->count, data, bytes);
	learner->count += bytes;
	if (learner->is_snapshot)
		assert_int_equal(snap_form_take(&learner->form, data, bytes),
				 bytes);
	else
		check_packets(learner);
	learner->stream->ops->consume(learner->stream, bytes);
	return false;
}

static void
learner_end(struct learner *learner)
{
	learner->stream->ops->close(learner->stream);
	free(learner->bytes);
}

static void
streams_are_read_while_the_writer_goes_on(void **arg)
{
	const uint32_t rounds = testing_rounds("FAL_ROUNDS", 3);
	struct world world;

	(void)arg;
	world_begin(&world);
	for (uint32_t round = 0; round < rounds; round++) {
		struct learner learner[STREAMS];
		uint32_t done = 0;

		for (uint32_t i = 0; i < 200; i++)
			make_node(&world);
		for (uint32_t i = 0; i < STREAMS; i++)
			learner_begin(&world, &learner[i], i % 2 == 0);
		while (done != (1u << STREAMS) - 1) {
			if (world.made % 1000 != 999)
				make_node(&world);
			for (uint32_t i = 0; i < STREAMS; i++)
				if ((done & 1u << i) == 0 &&
				    learner_take(&learner[i]))
					done |= 1u << i;
		}
		for (uint32_t i = 0; i < STREAMS; i++) {
			if (i % 2 == 0)
				assert_true(
					snap_form_is_done(&learner[i].form));
			learner_end(&learner[i]);
		}
		world.port.persist_epoch(world.jobs, round % 2 == 0, round);
		wait_event(&world, STORE_EPOCH);
		assert_int_equal(world.event.epoch, round);
	}
	wait_durable(&world);
	world_end(&world);
}

static void
everything_is_lent_and_comes_back(void **arg)
{
	const uint32_t rounds = testing_rounds("FAL_ROUNDS", 4);
	struct world world;

	(void)arg;
	world_begin(&world);
	for (uint32_t round = 0; round < rounds; round++) {
		struct learner learner;
		uint64_t digest;
		bool is_end = false;
		size_t at = 0;

		for (uint32_t i = 0; i < 100; i++)
			make_node(&world);
		digest = tree_published_digest(world.rt.tree);
		learner_begin(&world, &learner, true);
		while (!learner_take(&learner))
			continue;
		for (uint32_t i = 0; i < 20; i++)
			make_node(&world);
		wait_durable(&world);
		world.port.truncate(world.jobs, world.last - 20);
		wait_event(&world, STORE_TRUNCATED);
		world.last -= 20;
		atomic_store(&world.published, (uint64_t)world.last);
		assert_int_equal(tree_published_digest(world.rt.tree), digest);
		world.port.install_begin(world.jobs, world.last + 5);
		while (!is_end) {
			const int32_t taken = world.port.install_push(
				world.jobs, learner.bytes + at,
				(uint32_t)(learner.count - at), &is_end);

			assert_true(taken >= 0);
			at += (size_t)taken;
		}
		wait_event(&world, STORE_INSTALLED);
		world.last += 5;
		atomic_store(&world.published, (uint64_t)world.last);
		assert_int_equal(tree_published_digest(world.rt.tree), digest);
		make_node(&world);
		wait_durable(&world);
		world.port.reload(world.jobs);
		wait_event(&world, STORE_RELOADED);
		assert_int_equal(world.event.disk.history->last_zxid,
				 world.last);
		learner_end(&learner);
	}
	world_end(&world);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_are_read_while_the_writer_goes_on),
		cmocka_unit_test(everything_is_lent_and_comes_back),
	};

	clock_init();
	rig_quiet();
	testing_seed(0x7ead5);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
