/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch_job - large fan-outs, told in portions.
 *
 * A job is a copy of its effect, the path entries it concerns (targets) and a
 * place in their lists of watchers. Jobs are numbered by the counter that also
 * numbers small fires. A connection's mark is the number of the newest job (or
 * fire) it was told of, hence owes[conn] = jobs with a number above the mark.
 * Nobody is detached or marked when a job starts:
 *
 *   - who registered before the job has a mark below it and is found in the
 *     lists when the job (or somebody who wants to write to the connection)
 *     comes by;
 *   - who registers later was settled first, so his mark is not below, and his
 *     entry is put in front of the list, behind the place of the job;
 *   - an entry that is freed moves the place of jobs that stand there on;
 *   - a path that vanishes leaves an empty list behind, and if its number is
 *     given to another path, all watchers of that are of the settled kind.
 *
 * Jobs are worked off oldest first, and a connection is told all it is owed in
 * order of the jobs, so its events are in order of the transactions.
 */
#include "znode/watch_table.h"

#include <stdlib.h>
#include <string.h>

static uint32_t
job_tables(const struct watch_job *job, uint32_t target_index)
{
	return target_index == 0 && job->has_exact ? job->effect->tables : 0;
}

/* What the job does with one watcher of target_index; true: it matches. */
static bool
job_touch(struct watch_table *table, const struct watch_job *job,
	  uint32_t target_index, uint32_t watcher)
{
	const uint32_t tables = job_tables(job, target_index);

	if (tables == 0)
		return table->watcher[watcher].bits & WATCH_RECURSIVE;
	return watch_consume(table, watcher, tables);
}

/*
 * Tells one connection about one job.
 *
 * known_at, known  a target and the connection's watcher there, to save the
 *                  look; known 0: not known
 */
static void
job_tell(struct watch_table *table, const struct watch_job *job, uint32_t conn,
	 uint32_t known_at, uint32_t known)
{
	bool is_told = false;

	FAL_ASSERT(table->conn[conn].mark < job->seq);
	for (uint32_t i = 0; i < job->target_count; i++) {
		uint32_t watcher = 0;

		if (known != 0 && i == known_at)
			watcher = known;
		else
			watcher = watch_pair_find(table, job->target[i], conn);
		if (watcher != 0 && job_touch(table, job, i, watcher))
			is_told = true;
	}
	table->conn[conn].mark = job->seq;
	if (is_told)
		table->options.deliver(table->options.deliver_arg, conn,
				       job->zxid, job->effect);
}

void
watch_settle(struct watch_table *table, uint32_t conn)
{
	for (uint32_t i = 0; i < table->job_count; i++) {
		const struct watch_job *job = watch_job_at(table, i);

		if (table->conn[conn].mark < job->seq)
			job_tell(table, job, conn, 0, 0);
	}
}

void
watch_jobs_forget_watcher(struct watch_table *table, uint32_t watcher)
{
	for (uint32_t i = 0; i < table->job_count; i++) {
		struct watch_job *job = watch_job_at(table, i);

		if (job->cursor == watcher)
			job->cursor = table->watcher[watcher].path_next;
	}
}

static bool
job_keep_effect(struct watch_job *job, const struct effect *effect)
{
	const uint32_t bytes = effect_bytes(effect->path_bytes);

	if (job->effect_cap < bytes) {
		struct effect *copy = realloc(job->effect, bytes);

		if (copy == NULL)
			return false;
		job->effect = copy;
		job->effect_cap = bytes;
	}
	memcpy(job->effect, effect, sizeof(*effect) + effect->path_bytes);
	return true;
}

/* The first watcher of the target the job has come to. */
static uint32_t
job_target_head(const struct watch_table *table, const struct watch_job *job)
{
	return table->path[job->target[job->target_at]].head;
}

/* Serves up to `budget` watchers; returns what is left of it, 0 also when the
 * job goes on. */
static uint32_t
job_run(struct watch_table *table, struct watch_job *job, uint32_t budget)
{
	for (; budget > 0; budget--) {
		const uint32_t id = job->cursor;

		if (id == 0) {
			if (++job->target_at == job->target_count)
				return budget;
			job->cursor = job_target_head(table, job);
			continue;
		}
		const struct watcher *watcher = &table->watcher[id];

		job->cursor = watcher->path_next;
		__builtin_prefetch(&table->watcher[watcher->path_next]);
		if (table->conn[watcher->conn].mark < job->seq)
			job_tell(table, job, watcher->conn, job->target_at, id);
	}
	return 0;
}

/* Goes on with the oldest job, to its end if the budget allows. */
static void
job_run_oldest(struct watch_table *table, uint32_t *budget)
{
	struct watch_job *job = watch_job_at(table, 0);

	*budget = job_run(table, job, *budget);
	if (job->target_at < job->target_count)
		return;
	table->job_first = (table->job_first + 1) % WATCH_JOBS_MAX;
	table->job_count--;
}

bool
watch_job_start(struct watch_table *table, uint64_t zxid,
		const struct effect *effect, const uint32_t *target,
		uint32_t target_count, bool has_exact)
{
	FAL_ASSERT(target_count > 0);
	FAL_ASSERT(target_count <= WATCH_TARGETS_MAX);
	if (table->job_count == WATCH_JOBS_MAX) {
		uint32_t enough = UINT32_MAX;

		job_run_oldest(table, &enough);
		FAL_ASSERT(table->job_count < WATCH_JOBS_MAX);
	}

	struct watch_job *job = watch_job_at(table, table->job_count);

	if (!job_keep_effect(job, effect))
		return false;
	job->seq = ++table->seq;
	job->zxid = zxid;
	memcpy(job->target, target, target_count * sizeof(*target));
	job->target_at = 0;
	job->target_count = target_count;
	job->has_exact = has_exact;
	job->cursor = job_target_head(table, job);
	table->newest_job = job->seq;
	table->job_count++;
	return true;
}

bool
watch_job_step(struct watch_table *table, uint32_t budget)
{
	while (table->job_count > 0 && budget > 0)
		job_run_oldest(table, &budget);
	return table->job_count > 0;
}

void
watch_deliver_before_output(struct watch_table *table, uint32_t conn)
{
	FAL_ASSERT(conn < table->options.conns_max);
	if (FAL_UNLIKELY(watch_owes(table, conn)))
		watch_settle(table, conn);
}

bool
watch_has_room(const struct watch_table *table)
{
	return table->job_count < WATCH_JOBS_MAX;
}

uint64_t
watch_jobs_pin(const struct watch_table *table)
{
	return table->job_count == 0 ? UINT64_MAX
				     : table->job[table->job_first].zxid;
}
