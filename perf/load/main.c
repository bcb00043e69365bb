/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load - drives any server that speaks ZooKeeper's client protocol, checks
 * every reply and tells rate, latency and CPU time.
 *
 * Its parts: options (command line), request (frames), rival (those of other
 * servers), conn (connections), bypass (those over our own TCP), wait (epoll),
 * fill (the keys), run and modes (what is measured), timeline (over time),
 * process (/proc), report (output). Exit status: 0 good, 1 an error or a wrong
 * reply, 2 wrong usage.
 */
#include <stdlib.h>

#include "drivers/clock.h"
#include "perf/load/fill.h"
#include "perf/load/modes.h"
#include "perf/load/bypass.h"
#include "perf/load/process.h"
#include "perf/load/report.h"
#include "perf/load/rival.h"

/* Of the largest request of a mix: two values, or one in base64. */
static size_t
request_bytes(const struct load_options *options)
{
	return 2 * options->value_bytes + 3 * LOAD_REQUEST_OVERHEAD;
}

static void
open_all(const struct load_options *options, struct load_conn *conns)
{
	for (uint32_t i = 0; i < options->connections; i++) {
		/* One more than the pipeline: the delete that tidies up. */
		conn_open(&conns[i], options, i, options->pipeline + 1,
			  request_bytes(options));
		conn_unblock(&conns[i]);
	}
}

static void
fill(const struct load_options *options, struct load_result *result)
{
	const uint64_t begin_ns = clock_os_now_ns();
	const int32_t pid = options->server_pid;
	struct load_conn conn;
	double cpu_before = 0;

	if (pid != 0 && !process_cpu_seconds(pid, &cpu_before))
		load_die("no process %d", pid);
	if (options->protocol != LOAD_ZOOKEEPER) {
		conn_open(&conn, options, 0, RIVAL_PIPELINE,
			  request_bytes(options));
		rival_fill(&conn, options);
	} else {
		conn_open(&conn, options, 0, FILL_PIPELINE,
			  fill_request_bytes(options));
		if (fill_keys(&conn, options))
			result->operations = options->keys;
		conn_say_farewell(&conn);
	}
	conn_close(&conn);
	result->seconds = (double)(clock_os_now_ns() - begin_ns) / 1e9;
	if (pid == 0)
		return;
	if (!process_cpu_seconds(pid, &result->server_cpu_seconds) ||
	    !process_memory(pid, &result->server_rss_bytes,
			    &result->server_peak_bytes))
		load_die("no process %d any more", pid);
	result->server_cpu_seconds -= cpu_before;
}

static void
measure(const struct load_options *options, struct load_conn *conns,
	struct load_result *result)
{
	if (options->mode != LOAD_STORM)
		open_all(options, conns);
	switch (options->mode) {
	case LOAD_FANOUT:
		modes_fanout(options, conns, result);
		break;
	case LOAD_STORM:
		modes_storm(options, conns, result);
		break;
	case LOAD_IDLE:
		modes_idle(options, conns, result);
		break;
	default:
		run_load(options, conns, result);
	}
}

int
main(int argc, char **argv)
{
	static struct load_result result;
	struct load_options options;

	load_options_parse(argc, argv, &options);
	if (options.port != NULL)
		bypass_open(&options);
	fill(&options, &result);
	if (options.mode == LOAD_FILL) {
		report_fill(&options, &result);
		bypass_close();
		return 0;
	}

	struct load_conn *conns = calloc(options.connections, sizeof(*conns));

	if (conns == NULL)
		load_die("out of memory");
	measure(&options, conns, &result);
	report_result(&options, &result);
	report_histogram(&options, &result.latency);
	for (uint32_t i = 0; i < options.connections; i++) {
		if (options.protocol == LOAD_ZOOKEEPER)
			conn_say_farewell(&conns[i]);
		conn_close(&conns[i]);
	}
	free(conns);
	bypass_close();
	return result.errors == 0 ? 0 : 1;
}
