/* SPDX-License-Identifier: Apache-2.0 */
/*
 * modes - small loops of their own over the connections of conn.h.
 */
#include "perf/load/modes.h"

#include <string.h>

#include "base/time.h"
#include "drivers/clock.h"
#include "perf/load/process.h"
#include "perf/load/wait.h"

#define WAIT_NS     (50 * NS_PER_MS)
#define PATIENCE_NS (30 * NS_PER_SECOND)
#define STORM_BYTES 512u
#define PING_SHARE  3u /* of the timeout, as clients do */

struct modes {
	const struct load_options *options;
	struct load_conn *conns;
	struct load_result *result;
	struct load_wait wait;
	double own_cpu, server_cpu;
	uint64_t begin_ns;
};

/* ---- common -----------------------------------------------------------------
 */

static void
begin(struct modes *modes, const struct load_options *options,
      struct load_conn *conns, struct load_result *out)
{
	memset(out, 0, sizeof(*out));
	*modes = (struct modes){
		.options = options, .conns = conns, .result = out};
	wait_open(&modes->wait, options);
	modes->own_cpu = process_own_cpu_seconds();
	if (options->server_pid != 0 &&
	    !process_cpu_seconds(options->server_pid, &modes->server_cpu))
		load_die("no process %d", options->server_pid);
	modes->begin_ns = clock_os_now_ns();
}

static void
end(struct modes *modes)
{
	struct load_result *result = modes->result;
	const int32_t pid = modes->options->server_pid;

	result->seconds = (double)(clock_os_now_ns() - modes->begin_ns) / 1e9;
	result->client_cpu_seconds = process_own_cpu_seconds() - modes->own_cpu;
	wait_close(&modes->wait);
	if (pid == 0)
		return;
	if (!process_cpu_seconds(pid, &result->server_cpu_seconds) ||
	    !process_memory(pid, &result->server_rss_bytes,
			    &result->server_peak_bytes))
		load_die("no process %d any more", pid);
	result->server_cpu_seconds -= modes->server_cpu;
}

static void
watch_all(struct modes *modes)
{
	for (uint32_t i = 0; i < modes->options->connections; i++)
		wait_add(&modes->wait, &modes->conns[i], false);
}

static void
note_error(struct modes *modes, int32_t err)
{
	if (err != 0 && modes->result->errors++ == 0)
		modes->result->first_error = err;
}

/* Takes what came; returns how many replies there were. */
static uint32_t
take(struct modes *modes, struct load_conn *conn)
{
	struct load_reply reply;
	uint32_t count = 0;
	size_t at = 0;

	if (conn_receive(conn) == 0)
		return 0;
	for (; conn_next_reply(conn, modes->options, &at, &reply); count++)
		note_error(modes, reply.err);
	conn_drop(conn, at);
	return count;
}

/* ---- fan-out
 * ------------------------------------------------------------------ */

static void
send_op(struct modes *modes, struct load_conn *conn, enum load_op op)
{
	struct jute_writer writer = conn_writer(conn);
	const uint64_t now_ns = clock_os_now_ns();
	const int32_t xid = conn_expect(conn, op, now_ns, 0);

	request_put(&writer, modes->options, op, xid, conn->index, 0);
	conn_wrote(conn, &writer);
	if (!conn_flush(conn, now_ns))
		load_die("a request does not leave an empty socket");
}

/* Until so many replies and notifications have come in all. */
static void
await(struct modes *modes, uint64_t *replies, uint64_t want_replies,
      uint64_t *notified, uint64_t want_notified)
{
	const uint64_t give_up_ns = clock_os_now_ns() + PATIENCE_NS;
	uint32_t index[WAIT_EVENTS_MAX];

	while (*replies < want_replies || *notified < want_notified) {
		const uint32_t count = wait_for(&modes->wait, index, WAIT_NS);

		for (uint32_t i = 0; i < count; i++) {
			struct load_conn *conn = &modes->conns[index[i]];
			const uint64_t before = conn->notified;

			*replies += take(modes, conn);
			*notified += conn->notified - before;
		}
		if (count == 0 && clock_os_now_ns() > give_up_ns)
			load_die("%llu of %llu notifications came",
				 (unsigned long long)*notified,
				 (unsigned long long)want_notified);
	}
}

void
modes_fanout(const struct load_options *options, struct load_conn *conns,
	     struct load_result *out)
{
	const uint32_t watchers = options->connections - 1;
	const uint64_t end_ns =
		clock_os_now_ns() + (uint64_t)(options->seconds * 1e9);
	uint64_t replies = 0, notified = 0, sent = 0, told = 0;
	struct modes modes;

	if (watchers == 0)
		load_die("--fanout needs two connections at least");
	begin(&modes, options, conns, out);
	watch_all(&modes);
	while (clock_os_now_ns() < end_ns) {
		for (uint32_t i = 1; i <= watchers; i++)
			send_op(&modes, &conns[i], LOAD_OP_WATCH);
		sent += watchers;
		await(&modes, &replies, sent, &notified, told);

		const uint64_t begin_ns = clock_os_now_ns();

		send_op(&modes, &conns[0], LOAD_OP_SET);
		sent++;
		told += watchers;
		await(&modes, &replies, sent, &notified, told);
		hist_record(&out->latency, clock_os_now_ns() - begin_ns);
		out->operations++;
	}
	end(&modes);
}

/* ---- storm
 * --------------------------------------------------------------------- */

void
modes_storm(const struct load_options *options, struct load_conn *conns,
	    struct load_result *out)
{
	uint32_t index[WAIT_EVENTS_MAX];
	struct modes modes;

	for (uint32_t i = 0; i < options->connections; i++)
		conn_prepare(&conns[i], options, i, STORM_BYTES);
	begin(&modes, options, conns, out);
	for (uint32_t i = 0; i < options->connections; i++) {
		conn_begin(&conns[i], options);
		/* On one machine the handshake is over by now. */
		conns[i].waits_for_room = !conn_flush(&conns[i], 0);
		wait_add(&modes.wait, &conns[i], conns[i].waits_for_room);
	}
	while (out->operations < options->connections) {
		const uint32_t count = wait_for(&modes.wait, index, WAIT_NS);

		for (uint32_t i = 0; i < count; i++) {
			struct load_conn *conn = &conns[index[i]];

			if (conn->waits_for_room) {
				conn->waits_for_room = !conn_flush(conn, 0);
				if (!conn->waits_for_room)
					wait_change(&modes.wait, conn, false);
				continue;
			}
			if (conn_receive(conn) == 0 || !conn_take_hello(conn))
				continue;
			hist_record(&out->latency,
				    clock_os_now_ns() - modes.begin_ns);
			out->operations++;
		}
		if (count == 0 &&
		    clock_os_now_ns() - modes.begin_ns > PATIENCE_NS)
			load_die("%llu of %u sessions were granted",
				 (unsigned long long)out->operations,
				 options->connections);
	}
	end(&modes);
}

/* ---- idle
 * ------------------------------------------------------------------------ */

static void
ping(struct modes *modes, struct load_conn *conn, uint64_t now_ns)
{
	struct jute_writer writer = conn_writer(conn);

	request_put_ping(&writer);
	conn_wrote(conn, &writer);
	if (!conn_flush(conn, now_ns))
		load_die("a ping does not leave an empty socket");
	modes->result->operations++;
}

void
modes_idle(const struct load_options *options, struct load_conn *conns,
	   struct load_result *out)
{
	const uint64_t each_ns =
		time_ms_to_ns((uint64_t)options->timeout_ms) / PING_SHARE;
	uint32_t index[WAIT_EVENTS_MAX];
	struct modes modes;
	uint64_t now_ns;

	begin(&modes, options, conns, out);
	watch_all(&modes);
	/* Spread over the interval, as clients that came one by one are. */
	for (uint32_t i = 0; i < options->connections; i++)
		conns[i].sent_ns =
			modes.begin_ns - each_ns * i / options->connections;
	do {
		const uint32_t count = wait_for(&modes.wait, index, WAIT_NS);

		for (uint32_t i = 0; i < count; i++)
			take(&modes, &conns[index[i]]);
		now_ns = clock_os_now_ns();
		for (uint32_t i = 0; i < options->connections; i++)
			if (now_ns - conns[i].sent_ns >= each_ns)
				ping(&modes, &conns[i], now_ns);
	} while (now_ns - modes.begin_ns < (uint64_t)(options->seconds * 1e9));
	end(&modes);
}
