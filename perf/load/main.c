/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load - drives any server that speaks ZooKeeper's client protocol, checks
 * every reply and tells rate, latency and CPU time.
 *
 * Its parts: options (command line), request (frames), conn (sockets), fill
 * (the keys), run (the measurement), process (/proc), report (output). Exit
 * status: 0 good, 1 an error or a wrong reply, 2 wrong usage.
 */
#include <stdlib.h>

#include "drivers/clock.h"
#include "perf/load/fill.h"
#include "perf/load/process.h"
#include "perf/load/report.h"

static void
open_all(const struct load_options *options, struct load_conn *conns)
{
	const size_t request_bytes =
		options->value_bytes + LOAD_REQUEST_OVERHEAD;

	for (uint32_t i = 0; i < options->connections; i++) {
		/* One more than the pipeline: the delete that tidies up. */
		conn_open(&conns[i], options, i, options->pipeline + 1,
			  request_bytes);
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
	conn_open(&conn, options, 0, FILL_PIPELINE,
		  fill_request_bytes(options));
	if (fill_keys(&conn, options))
		result->operations = options->keys;
	conn_say_farewell(&conn);
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

int
main(int argc, char **argv)
{
	static struct load_result result;
	struct load_options options;

	load_options_parse(argc, argv, &options);
	fill(&options, &result);
	if (options.is_fill_only) {
		report_fill(&options, &result);
		return 0;
	}

	struct load_conn *conns = calloc(options.connections, sizeof(*conns));

	if (conns == NULL)
		load_die("out of memory");
	open_all(&options, conns);
	run_load(&options, conns, &result);
	report_result(&options, &result);
	for (uint32_t i = 0; i < options.connections; i++) {
		conn_say_farewell(&conns[i]);
		conn_close(&conns[i]);
	}
	free(conns);
	return result.errors == 0 ? 0 : 1;
}
