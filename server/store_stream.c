/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A flow is a stream of chunks from BG to a learner's connection, which is
 * ZAB's. BG makes chunks ahead as long as fewer than STORE_CHUNKS_MAX are on
 * their way, so a slow learner costs that much memory and nobody's time. Used
 * chunks go back through a second ring: who made them frees them, and the flow
 * itself, when ZAB has closed it.
 *
 * A snapshot's reader is pinned by ZAB itself at what is published when the
 * stream is opened; from then on the tree at that state stays, however long BG
 * takes to come by. The pin slides as that of a snapshot file does.
 */
#include "server/store_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/* ---- BG: chunks -------------------------------------------------------------
 */

static void
take_spent(struct store_flow *flow)
{
	struct store_chunk *chunk;

	while ((chunk = ring_pop(&flow->spent)) != NULL) {
		free(chunk);
		flow->flying--;
	}
}

bool
store_flow_has_room(struct store_flow *flow)
{
	take_spent(flow);
	return flow->flying < STORE_CHUNKS_MAX;
}

uint8_t *
store_flow_claim(struct store_flow *flow, uint32_t bytes)
{
	struct store_chunk *chunk = flow->filling;
	uint8_t *at;

	if (chunk == NULL || flow->filling_cap - chunk->bytes < bytes) {
		const uint32_t used = chunk == NULL ? 0 : chunk->bytes;
		const uint32_t cap = used + bytes > STORE_CHUNK_BYTES
					     ? 2 * (used + bytes)
					     : STORE_CHUNK_BYTES;
		struct store_chunk *larger =
			realloc(chunk, sizeof(*chunk) + cap);

		if (larger == NULL)
			return NULL;
		larger->bytes = used;
		larger->used = 0;
		flow->filling = larger;
		flow->filling_cap = cap;
		chunk = larger;
	}
	at = chunk->data + chunk->bytes;
	chunk->bytes += bytes;
	return at;
}

void
store_flow_flush(struct store_flow *flow)
{
	bool is_queued;

	if (flow->filling == NULL)
		return;
	flow->flying++;
	is_queued = ring_push(&flow->made, flow->filling);
	FAL_ASSERT(is_queued); /* sized for all that can fly */
	flow->filling = NULL;
	flow->filling_cap = 0;
	lcore_doorbell(flow->jobs->parts.zab_lcore);
}

void
store_flow_end(struct store_flow *flow, int state)
{
	if (state > 0)
		store_flow_flush(flow);
	/* release: the chunks are in the ring; pairs with flow_state() */
	atomic_store_explicit(&flow->state, state, memory_order_release);
	lcore_doorbell(flow->jobs->parts.zab_lcore);
}

/* ---- ZAB --------------------------------------------------------------------
 */

uint32_t
store_flow_peek(struct store_flow *flow, const uint8_t **data)
{
	struct store_chunk *chunk = flow->current;

	if (chunk == NULL)
		chunk = flow->current = ring_pop(&flow->made);
	if (chunk == NULL)
		return 0;
	*data = chunk->data + chunk->used;
	return chunk->bytes - chunk->used;
}

void
store_flow_consume(struct store_flow *flow, uint32_t bytes)
{
	struct store_chunk *chunk = flow->current;
	bool is_queued;

	FAL_ASSERT(chunk != NULL && chunk->bytes - chunk->used >= bytes);
	chunk->used += bytes;
	if (chunk->used < chunk->bytes)
		return;
	flow->current = NULL;
	is_queued = ring_push(&flow->spent, chunk);
	FAL_ASSERT(is_queued);
	lcore_doorbell(flow->jobs->parts.bg_lcore);
}

void
store_flow_close(struct store_stream *stream)
{
	struct store_flow *flow = (struct store_flow *)stream;
	struct lcore *bg = flow->jobs->parts.bg_lcore;

	if (flow->current != NULL) {
		const bool is_queued = ring_push(&flow->spent, flow->current);

		FAL_ASSERT(is_queued);
		flow->current = NULL;
	}
	/* release: BG may free it now; pairs with acquire in flow_step() */
	atomic_store_explicit(&flow->is_closed, true, memory_order_release);
	lcore_doorbell(bg);
}

/* ---- life -------------------------------------------------------------------
 */

/* When nobody else has it. */
static void
flow_free(struct store_flow *flow)
{
	struct store_chunk *chunk;

	if (flow->made.impl != NULL)
		while ((chunk = ring_pop(&flow->made)) != NULL)
			free(chunk);
	if (flow->spent.impl != NULL)
		while ((chunk = ring_pop(&flow->spent)) != NULL)
			free(chunk);
	ring_free(&flow->made);
	ring_free(&flow->spent);
	free(flow->filling);
	free(flow->sessions);
	free(flow->staged);
	free(flow);
}

struct store_flow *
store_flow_create(struct store_jobs *jobs, enum store_stream_kind kind)
{
	struct store_flow *flow = calloc(1, sizeof(*flow));

	if (flow == NULL)
		return NULL;
	flow->jobs = jobs;
	flow->kind = kind;
	if (ring_init(&flow->made, "made", STORE_CHUNKS_MAX + 1) != FAL_OK ||
	    ring_init(&flow->spent, "spent", STORE_CHUNKS_MAX + 1) != FAL_OK) {
		flow_free(flow);
		return NULL;
	}
	return flow;
}

static void
release(struct store_flow *flow)
{
	if (flow->kind == STORE_SNAPSHOT_STREAM)
		store_snapshot_release(flow);
	else
		store_history_release(flow);
}

/* New ones come to the front of the list. */
static void
take_opened(struct store_jobs *jobs)
{
	struct store_flow *flow;

	while ((flow = ring_pop(&jobs->opened)) != NULL) {
		flow->next = jobs->flows;
		jobs->flows = flow;
	}
}

bool
store_flows_run(struct store_jobs *jobs)
{
	struct store_flow **link = &jobs->flows;
	bool did_work = false;

	take_opened(jobs);
	while (*link != NULL) {
		struct store_flow *flow = *link;

		if (atomic_load_explicit(&flow->is_closed,
					 memory_order_acquire)) {
			*link = flow->next;
			release(flow);
			flow_free(flow);
			did_work = true;
			continue;
		}
		if (atomic_load_explicit(&flow->state, memory_order_relaxed) ==
		    0)
			did_work |= flow->kind == STORE_SNAPSHOT_STREAM
					    ? store_snapshot_step(flow)
					    : store_history_step(flow);
		else
			take_spent(flow);
		link = &flow->next;
	}
	return did_work;
}

bool
store_flows_have_work(struct store_jobs *jobs)
{
	const struct store_flow *flow = jobs->flows;

	if (ring_count(&jobs->opened) > 0)
		return true;
	for (; flow != NULL; flow = flow->next)
		if (atomic_load_explicit(&flow->is_closed,
					 memory_order_acquire) ||
		    ring_count(&flow->spent) > 0 ||
		    (flow->kind == STORE_HISTORY_STREAM &&
		     atomic_load_explicit(&flow->read_from,
					  memory_order_acquire) >= 0))
			return true;
	return false;
}

/* They are freed when ZAB has closed them. */
void
store_flows_break(struct store_jobs *jobs)
{
	take_opened(jobs);
	for (struct store_flow *flow = jobs->flows; flow != NULL;
	     flow = flow->next) {
		release(flow);
		if (atomic_load_explicit(&flow->state, memory_order_relaxed) ==
		    0)
			store_flow_end(flow, FAL_ECLOSED);
	}
}

void
store_flows_free(struct store_jobs *jobs)
{
	take_opened(jobs);
	while (jobs->flows != NULL) {
		struct store_flow *flow = jobs->flows;

		jobs->flows = flow->next;
		free(flow->current);
		flow_free(flow);
	}
}

/* ---- snapshots
 * --------------------------------------------------------------- */

static uint32_t
snapshot_peek(struct store_stream *stream, const uint8_t **data)
{
	return store_flow_peek((struct store_flow *)stream, data);
}

static void
snapshot_consume(struct store_stream *stream, uint32_t bytes)
{
	store_flow_consume((struct store_flow *)stream, bytes);
}

static int
snapshot_state(const struct store_stream *stream)
{
	const struct store_flow *flow = (const struct store_flow *)stream;
	/* acquire: pairs with release in store_flow_end() */
	const int state =
		atomic_load_explicit(&flow->state, memory_order_acquire);

	if (state == 1 &&
	    (flow->current != NULL || ring_count(&flow->made) > 0))
		return 0;
	return state;
}

static const struct store_stream_ops snapshot_ops = {
	.peek = snapshot_peek,
	.consume = snapshot_consume,
	.state = snapshot_state,
	.close = store_flow_close,
};

static int
put_bytes(void *arg, const void *data, size_t bytes)
{
	uint8_t *to;

	if (bytes == 0)
		return FAL_OK;
	to = store_flow_claim(arg, (uint32_t)bytes);
	if (to == NULL)
		return FAL_ENOMEM;
	memcpy(to, data, bytes);
	return FAL_OK;
}

static int
begin_job(struct store_flow *flow)
{
	struct snapshot_job_options options = {
		.tree = flow->jobs->parts.restore.tree,
		.reader = flow->reader,
		.is_pinned = true,
		.published = flow->jobs->parts.published,
		.zxid = (uint64_t)flow->zxid,
		.sessions = flow->sessions,
		.session_count = flow->session_count,
	};
	int err = snapshot_out_pipe(put_bytes, flow, &options.pipe);

	if (err == FAL_OK)
		err = snapshot_job_create(&options, &flow->job);
	free(flow->sessions);
	flow->sessions = NULL;
	return err;
}

bool
store_snapshot_step(struct store_flow *flow)
{
	int left = FAL_OK;

	if (!store_flow_has_room(flow))
		return false;
	if (flow->job == NULL)
		left = begin_job(flow);
	if (left == FAL_OK)
		left = snapshot_job_step(flow->job);
	if (left > 0) {
		if (flow->filling != NULL &&
		    flow->filling->bytes >= STORE_CHUNK_BYTES / 2)
			store_flow_flush(flow);
		return true;
	}
	/* What slid past an ACL cannot begin again here; the learner comes
	 * back and gets a new one. */
	if (left < 0)
		LOG_WARN("a snapshot for a learner, of transaction 0x%llx, "
			 "was given up: %s",
			 (unsigned long long)flow->zxid, fal_err_str(left));
	store_snapshot_release(flow);
	store_flow_end(flow, left == 0 ? 1 : left);
	return true;
}

void
store_snapshot_release(struct store_flow *flow)
{
	if (flow->job != NULL)
		snapshot_job_free(flow->job);
	flow->job = NULL;
	if (flow->reader == NULL)
		return;
	tree_reader_offline(flow->reader);
	flow->reader = NULL;
	/* release: the reader is offline; pairs with take_reader() */
	atomic_store_explicit(&flow->jobs->reader_busy[flow->reader_index], 0,
			      memory_order_release);
}

/* ---- ZAB: snapshots
 * ------------------------------------------------------------ */

static bool
take_reader(struct store_jobs *jobs, uint32_t *index)
{
	for (uint32_t i = 0; i < STORE_READERS_MAX; i++) {
		/* acquire: pairs with release in store_snapshot_release() and
		 * store_jobs_attach() */
		if (atomic_load_explicit(&jobs->reader_busy[i],
					 memory_order_acquire) != 0)
			continue;
		atomic_store_explicit(&jobs->reader_busy[i], 1,
				      memory_order_relaxed);
		*index = i;
		return true;
	}
	return false;
}

static void
copy_session(void *arg, const struct session *session)
{
	struct store_flow *flow = arg;

	flow->sessions[flow->session_count++] = (struct snapshot_session){
		.id = session->id, .timeout_ms = session->timeout_ms};
}

static struct store_flow *
make_snapshot_flow(struct store_jobs *jobs)
{
	const struct session_table *sessions = jobs->parts.restore.sessions;
	struct store_flow *flow =
		store_flow_create(jobs, STORE_SNAPSHOT_STREAM);

	if (flow == NULL)
		return NULL;
	flow->sessions =
		malloc((session_count(sessions) + 1) * sizeof(*flow->sessions));
	if (flow->sessions == NULL) {
		flow_free(flow);
		return NULL;
	}
	session_for_each(sessions, copy_session, flow);
	flow->stream.ops = &snapshot_ops;
	return flow;
}

struct store_stream *
store_snapshot_open(void *store, int64_t *zxid)
{
	struct store_jobs *jobs = store;
	struct store_flow *flow;
	uint32_t index = 0;

	if (jobs->is_lent || ring_free_count(&jobs->opened) == 0 ||
	    !take_reader(jobs, &index))
		return NULL;
	flow = make_snapshot_flow(jobs);
	if (flow == NULL) {
		atomic_store_explicit(&jobs->reader_busy[index], 0,
				      memory_order_release);
		return NULL;
	}
	flow->zxid = (int64_t)atomic_load_explicit(jobs->parts.published,
						   memory_order_relaxed);
	flow->reader_index = index;
	flow->reader = jobs->reader[index];
	tree_reader_pin(flow->reader, (uint64_t)flow->zxid);
	(void)ring_push(&jobs->opened, flow);
	lcore_doorbell(jobs->parts.bg_lcore);
	*zxid = flow->zxid;
	return &flow->stream;
}
