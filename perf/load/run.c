/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run - one turn: wait, read every readable connection once, check its replies,
 * fill its pipeline again, send. So replies that came together are answered by
 * requests that leave together, as a busy client does.
 */
#include "perf/load/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "drivers/clock.h"
#include "perf/load/process.h"
#include "perf/load/rival.h"
#include "perf/load/timeline.h"
#include "perf/load/wait.h"

enum phase { PHASE_WARMUP, PHASE_MEASURED, PHASE_LAST_REPLIES };

struct run {
	const struct load_options *options;
	struct load_conn *conns;
	struct load_result *result;
	struct load_wait wait;
	struct timeline timeline;
	enum phase phase;
	uint64_t random;
	uint32_t weight_sum;
	uint64_t issued; /* in all, own nodes' clean-up not included */
	uint64_t under_way;
	uint64_t begin_ns, measure_ns, end_ns; /* of the phases */
	uint64_t pinged_ns;
	uint64_t told_ns, told_operations; /* of the last line of progress */
	double own_cpu, server_cpu;        /* when the measured phase began */
};

static uint64_t
next_random(struct run *run)
{
	run->random ^= run->random << 13;
	run->random ^= run->random >> 7;
	run->random ^= run->random << 17;
	return run->random;
}

static enum load_kind
draw_kind(struct run *run)
{
	uint64_t draw = (next_random(run) >> 32) % run->weight_sum;

	for (uint32_t kind = 0; kind + 1 < LOAD_KINDS; kind++) {
		if (draw < run->options->weight[kind])
			return (enum load_kind)kind;
		draw -= run->options->weight[kind];
	}
	return LOAD_KINDS - 1;
}

static enum load_op
op_of(enum load_kind kind, const struct load_conn *conn)
{
	switch (kind) {
	case LOAD_GET:
		return LOAD_OP_GET;
	case LOAD_SET:
		return LOAD_OP_SET;
	case LOAD_CREATE:
		return conn->own_count % 2 == 0 ? LOAD_OP_CREATE
						: LOAD_OP_DELETE;
	case LOAD_CHILDREN:
		return LOAD_OP_CHILDREN;
	case LOAD_SYNC:
		return LOAD_OP_SYNC;
	case LOAD_MULTI:
		return LOAD_OP_SET_TWO;
	default:
		return LOAD_OP_EXISTS;
	}
}

/* Evenly, or by the inverse of Zipf's distribution function for exponents
 * below 1, taken as continuous: rank = keys * u^(1 / (1 - s)). */
static uint64_t
draw_key(struct run *run)
{
	const uint64_t draw = next_random(run) >> 11;

	if (run->options->skew <= 0)
		return (draw >> 21) % run->options->keys;

	const double even = (double)draw / (double)(1ull << 53);
	const double rank = (double)run->options->keys *
			    pow(even, 1 / (1 - run->options->skew));

	return rank < run->options->keys ? (uint64_t)rank : 0;
}

static void
issue_op(struct run *run, struct load_conn *conn, enum load_op op,
	 uint64_t at_ns)
{
	struct jute_writer writer = conn_writer(conn);
	const int32_t xid = conn_expect(conn, op, at_ns, 0);
	uint64_t number;

	if (op == LOAD_OP_CREATE || op == LOAD_OP_DELETE)
		number = conn->own_count++ / 2;
	else
		number = draw_key(run);
	if (run->options->protocol != LOAD_ZOOKEEPER)
		rival_put(&writer, run->options, op, number);
	else if (op == LOAD_OP_SET_TWO)
		request_put_set_two(&writer, run->options, xid, number,
				    draw_key(run));
	else
		request_put(&writer, run->options, op, xid, conn->index,
			    number);
	conn_wrote(conn, &writer);
	run->under_way++;
}

static void
issue(struct run *run, struct load_conn *conn, uint64_t at_ns)
{
	issue_op(run, conn, op_of(draw_kind(run), conn), at_ns);
	run->issued++;
}

static bool
may_issue(const struct run *run)
{
	return run->phase != PHASE_LAST_REPLIES &&
	       (run->options->operations == 0 ||
		run->issued < run->options->operations);
}

static void
ask_for_room(struct run *run, struct load_conn *conn, bool waits)
{
	if (waits == conn->waits_for_room)
		return;
	conn->waits_for_room = waits;
	wait_change(&run->wait, conn, waits);
}

static void
flush(struct run *run, struct load_conn *conn, uint64_t now_ns)
{
	ask_for_room(run, conn, !conn_flush(conn, now_ns));
}

static void
take_reply(struct run *run, const struct load_reply *reply, uint64_t now_ns)
{
	struct load_result *result = run->result;

	run->under_way--;
	if (reply->err != 0) {
		if (result->errors++ == 0)
			result->first_error = reply->err;
		return;
	}
	if (run->phase != PHASE_MEASURED)
		return;
	result->operations++;
	hist_record(&result->latency, now_ns - reply->request.at_ns);
	timeline_record(&run->timeline, now_ns, now_ns - reply->request.at_ns);
}

static void
refill(struct run *run, struct load_conn *conn, uint64_t now_ns)
{
	while (may_issue(run) && conn_pending(conn) < run->options->pipeline)
		issue(run, conn, now_ns);
}

static void
serve_conn(struct run *run, struct load_conn *conn)
{
	struct load_reply reply;
	size_t at = 0;

	if (conn_receive(conn) == 0) {
		flush(run, conn, clock_os_now_ns());
		return;
	}

	const uint64_t now_ns = clock_os_now_ns();

	while (conn_next_reply(conn, run->options, &at, &reply))
		take_reply(run, &reply, now_ns);
	conn_drop(conn, at);
	if (run->options->rate <= 0)
		refill(run, conn, now_ns);
	if (conn->out_end > 0)
		flush(run, conn, now_ns);
}

/* When the n-th request of the schedule falls due. */
static uint64_t
due_ns(const struct run *run, uint64_t n)
{
	return run->begin_ns + (uint64_t)((double)n * (double)NS_PER_SECOND /
					  run->options->rate);
}

/* Open loop: sends what fell due, connection by connection in turn. */
static void
issue_due(struct run *run, uint64_t now_ns)
{
	const uint32_t count = run->options->connections;

	while (may_issue(run) && due_ns(run, run->issued) <= now_ns) {
		struct load_conn *conn = &run->conns[run->issued % count];

		if (conn_pending(conn) >= run->options->pipeline)
			return;
		issue(run, conn, due_ns(run, run->issued));
		flush(run, conn, now_ns);
	}
}

static void
begin_measure(struct run *run, uint64_t now_ns)
{
	const int32_t pid = run->options->server_pid;

	run->phase = PHASE_MEASURED;
	run->measure_ns = now_ns;
	timeline_open(&run->timeline, run->options->timeline, now_ns);
	run->own_cpu = process_own_cpu_seconds();
	if (pid != 0 && !process_cpu_seconds(pid, &run->server_cpu))
		load_die("no process %d", pid);
}

static void
end_measure(struct run *run, uint64_t now_ns)
{
	struct load_result *result = run->result;
	const int32_t pid = run->options->server_pid;

	run->phase = PHASE_LAST_REPLIES;
	timeline_close(&run->timeline, now_ns);
	result->seconds = (double)(now_ns - run->measure_ns) / 1e9;
	result->client_cpu_seconds = process_own_cpu_seconds() - run->own_cpu;
	if (pid == 0)
		return;
	if (!process_cpu_seconds(pid, &result->server_cpu_seconds) ||
	    !process_memory(pid, &result->server_rss_bytes,
			    &result->server_peak_bytes))
		load_die("no process %d any more", pid);
	result->server_cpu_seconds -= run->server_cpu;
}

/* Sessions that the schedule leaves alone would end. */
static void
ping_idle(struct run *run, uint64_t now_ns)
{
	const uint64_t idle_ns =
		time_ms_to_ns((uint64_t)run->options->timeout_ms) / 4;

	if (now_ns - run->pinged_ns < idle_ns / 2 ||
	    run->options->protocol != LOAD_ZOOKEEPER)
		return;
	run->pinged_ns = now_ns;
	for (uint32_t i = 0; i < run->options->connections; i++) {
		struct load_conn *conn = &run->conns[i];

		if (conn_pending(conn) > 0 || now_ns - conn->sent_ns < idle_ns)
			continue;

		struct jute_writer writer = conn_writer(conn);

		request_put_ping(&writer);
		conn_wrote(conn, &writer);
		flush(run, conn, now_ns);
	}
}

static void
tell_progress(struct run *run, uint64_t now_ns)
{
	const uint64_t operations = run->result->operations;

	if (!run->options->tells_progress ||
	    now_ns - run->told_ns < NS_PER_SECOND)
		return;
	fprintf(stderr, "%3.0f s  %10.0f/s  p50 %.0f us  p99 %.0f us\n",
		(double)(now_ns - run->begin_ns) / 1e9,
		(double)(operations - run->told_operations) * 1e9 /
			(double)(now_ns - run->told_ns),
		(double)hist_quantile(&run->result->latency, 0.5) / 1e3,
		(double)hist_quantile(&run->result->latency, 0.99) / 1e3);
	run->told_ns = now_ns;
	run->told_operations = operations;
}

/* The last create of each connection is undone: runs leave nothing behind. */
static void
tidy(struct run *run, uint64_t now_ns)
{
	for (uint32_t i = 0; i < run->options->connections; i++) {
		if (run->conns[i].own_count % 2 == 0)
			continue;
		issue_op(run, &run->conns[i], LOAD_OP_DELETE, now_ns);
		flush(run, &run->conns[i], now_ns);
	}
}

static void
advance_phase(struct run *run, uint64_t now_ns)
{
	const struct load_options *options = run->options;

	if (run->phase == PHASE_WARMUP &&
	    now_ns - run->begin_ns >= (uint64_t)(options->warmup_seconds * 1e9))
		begin_measure(run, now_ns);
	if (run->phase != PHASE_MEASURED)
		return;
	if (options->operations > 0
		    ? run->issued == options->operations && run->under_way == 0
		    : now_ns - run->measure_ns >=
			      (uint64_t)(options->seconds * 1e9)) {
		end_measure(run, now_ns);
		tidy(run, now_ns);
	}
}

/* How long may be waited: not beyond the next scheduled request. */
static uint64_t
patience_ns(const struct run *run)
{
	const uint64_t most = 50 * NS_PER_MS;

	if (run->options->rate <= 0 || !may_issue(run))
		return most;

	const uint64_t now = clock_os_now_ns();
	const uint64_t due = due_ns(run, run->issued);

	if (due <= now)
		return run->under_way > 0 ? 20000 : 0;
	return due - now < most ? due - now : most;
}

static void
run_loop(struct run *run)
{
	uint32_t index[WAIT_EVENTS_MAX];

	for (;;) {
		const uint32_t count =
			wait_for(&run->wait, index, patience_ns(run));

		for (uint32_t i = 0; i < count; i++)
			serve_conn(run, &run->conns[index[i]]);

		const uint64_t now_ns = clock_os_now_ns();

		advance_phase(run, now_ns);
		if (run->phase == PHASE_LAST_REPLIES && run->under_way == 0)
			return;
		if (run->options->rate > 0)
			issue_due(run, now_ns);
		ping_idle(run, now_ns);
		tell_progress(run, now_ns);
	}
}

void
run_load(const struct load_options *options, struct load_conn *conns,
	 struct load_result *out)
{
	struct run run = {.options = options,
			  .conns = conns,
			  .result = out,
			  .random = options->seed};

	memset(out, 0, sizeof(*out));
	for (uint32_t kind = 0; kind < LOAD_KINDS; kind++)
		run.weight_sum += options->weight[kind];
	wait_open(&run.wait, options);
	for (uint32_t i = 0; i < options->connections; i++)
		wait_add(&run.wait, &conns[i], false);
	run.begin_ns = clock_os_now_ns();
	run.pinged_ns = run.begin_ns;
	run.told_ns = run.begin_ns;
	advance_phase(&run, run.begin_ns);
	for (uint32_t i = 0; options->rate <= 0 && i < options->connections;
	     i++) {
		refill(&run, &conns[i], run.begin_ns);
		flush(&run, &conns[i], run.begin_ns);
	}
	run_loop(&run);
	wait_close(&run.wait);
}
