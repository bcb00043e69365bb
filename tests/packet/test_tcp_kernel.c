/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: our TCP and Linux's understand each other on any wire, and a bad wire
 * costs us no more than it costs Linux.
 * Method: rows of wires and talks (kernel.h); each row is run between two
 * namespaces (Linux to Linux), then with our instance as the client and as the
 * server of one. Every byte is compared. The goodput of the three stands in
 * one line, ours also as a part of Linux's; it is printed and not judged.
 *
 *   test_tcp_kernel [--quick | --full] [--row TEXT] [--cc NAME] [--seed N]
 *
 * --full: more than 1 GB in all instead of 150 MB; --quick: a fifth, and not
 * between Linux and Linux, so that there are no ratios; --row: only rows whose
 * name has the text in it; --cc: Linux's congestion control.
 */

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "packet_eal.h"
#include "base/time.h"
#include "own.h"

#define KERNEL_SKIP 77

struct row {
	const char *name;
	struct link_spec wire;
	uint32_t mtu;
	struct talk talk;
	uint32_t without;
	bool is_ipv6;
};

#define KB 1000u
#define MB 1000000u
/* 100 Mbit/s, 5 ms each way, a queue of one round trip. */
#define WAN .rate_mbit = 100, .delay_us = 5000, .queue_bytes = 150000
/* 400 Mbit/s, 0.2 ms each way. */
#define LAN .rate_mbit = 400, .delay_us = 200, .queue_bytes = 200000

static const struct row rows[] = {
	{"lan clean", {LAN}, 1500, {10, 2 * MB, 2 * MB, 1}, 0, false},
	{"lan clean ipv6", {LAN}, 1500, {10, 2 * MB, 2 * MB, 1}, 0, true},
	{"lan pings", {LAN}, 1500, {300, 100, 100, 4}, 0, false},
	{"lan loss 0.5 %", {LAN, .loss = 5}, 1500, {0, MB, MB, 1}, 0, false},
	{"lan many",
	 {LAN, .loss = 2},
	 1500,
	 {5, 40 * KB, 40 * KB, 100},
	 0,
	 false},
	{"lan mtu 9000", {LAN}, 9000, {0, 2 * MB, 2 * MB, 1}, 0, false},
	{"lan mtu 576", {LAN}, 576, {0, 500 * KB, 500 * KB, 1}, 0, false},
	{"wan clean up", {WAN}, 1500, {0, 3 * MB, 0, 1}, 0, false},
	{"wan clean down", {WAN}, 1500, {0, 0, 3 * MB, 1}, 0, false},
	{"wan loss 1 %", {WAN, .loss = 10}, 1500, {0, MB, MB, 1}, 0, false},
	{"wan loss 3 % ipv6",
	 {WAN, .loss = 30},
	 1500,
	 {0, 500 * KB, 500 * KB, 1},
	 0,
	 true},
	{"wan loss 10 %",
	 {WAN, .loss = 100},
	 1500,
	 {0, 100 * KB, 100 * KB, 2},
	 0,
	 false},
	{"wan loss 20 %",
	 {WAN, .loss = 200},
	 1500,
	 {0, 20 * KB, 20 * KB, 2},
	 0,
	 false},
	{"wan pings, loss 5 %",
	 {WAN, .loss = 50},
	 1500,
	 {15, 100, 100, 4},
	 0,
	 false},
	{"wan reorder 5 %",
	 {WAN, .reorder = 50, .reorder_us = 3000},
	 1500,
	 {0, MB, MB, 1},
	 0,
	 false},
	{"wan reorder 20 %",
	 {WAN, .reorder = 200, .reorder_us = 1000},
	 1500,
	 {0, MB, MB, 1},
	 0,
	 false},
	{"wan duplicates 10 %",
	 {WAN, .duplication = 100},
	 1500,
	 {0, MB, MB, 1},
	 0,
	 false},
	{"wan corrupt 2 %",
	 {WAN, .corruption = 20},
	 1500,
	 {0, 500 * KB, 500 * KB, 1},
	 0,
	 false},
	{"wan everything",
	 {WAN, .loss = 10, .corruption = 5, .duplication = 20, .reorder = 50,
	  .reorder_us = 2000},
	 1500,
	 {10, 300 * KB, 300 * KB, 4},
	 0,
	 false},
	{"path mtu 900",
	 {LAN, .path_mtu = 900},
	 1500,
	 {0, MB, MB, 1},
	 0,
	 false},
	{"path mtu 1280 ipv6",
	 {LAN, .path_mtu = 1280},
	 1500,
	 {0, MB, MB, 1},
	 0,
	 true},
	{"no sack",
	 {WAN, .loss = 10},
	 1500,
	 {0, 500 * KB, 500 * KB, 1},
	 KERNEL_WITHOUT_SACK,
	 false},
	{"no timestamps",
	 {WAN, .loss = 10},
	 1500,
	 {0, 500 * KB, 500 * KB, 1},
	 KERNEL_WITHOUT_TIMESTAMPS,
	 false},
	{"no window scale",
	 {WAN},
	 1500,
	 {0, MB, MB, 1},
	 KERNEL_WITHOUT_SCALING,
	 false},
	{"no options",
	 {WAN, .loss = 5},
	 1500,
	 {10, 500 * KB, 500 * KB, 1},
	 KERNEL_WITHOUT_SACK | KERNEL_WITHOUT_TIMESTAMPS |
		 KERNEL_WITHOUT_SCALING,
	 false},
};

enum pairing { LINUX_TO_LINUX, OWN_TO_LINUX, LINUX_TO_OWN };

struct run {
	struct link *link;
	struct kernel kernels[2]; /* at the ends of the link */
	struct own own;
	bool has_kernel[2], has_own;
	struct kernel_side *sides[2];
};

static const char *cc = "cubic";
static uint64_t seed = 1;
static uint64_t moved_bytes;
static bool is_quick;

static uint64_t
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * NS_PER_SECOND + (uint64_t)time.tv_nsec;
}

/* Moves frames between a tap and the link. Returns whether there were any. */
static bool
run_tap(struct run *run, unsigned end, uint64_t now_ns)
{
	uint8_t data[LINK_FRAME_MAX];
	bool is_busy = false;
	uint32_t bytes;

	for (uint32_t i = 0; i < 64; i++) {
		ssize_t got = read(run->kernels[end].tap, data, sizeof(data));

		if (got <= 0)
			break;
		link_put(run->link, end, data, (uint32_t)got, now_ns);
		is_busy = true;
	}
	while ((bytes = link_get(run->link, end, data, now_ns)) > 0) {
		/* A full queue of the kernel's is a lost frame. */
		if (write(run->kernels[end].tap, data, bytes) < 0 &&
		    errno != EAGAIN && errno != EINVAL)
			perror("tap");
		is_busy = true;
	}
	return is_busy;
}

static void
run_wait(const struct run *run, uint64_t now_ns)
{
	struct pollfd pollers[2];
	nfds_t count = 0;
	uint64_t next_ns = link_next_ns(run->link);
	struct timespec wait = {0};

	for (uint32_t i = 0; i < 2; i++) {
		if (run->has_kernel[i])
			pollers[count++] = (struct pollfd){
				.fd = run->kernels[i].tap, .events = POLLIN};
	}
	if (next_ns > now_ns + NS_PER_MS)
		next_ns = now_ns + NS_PER_MS;
	if (next_ns > now_ns)
		wait.tv_nsec = (long)(next_ns - now_ns);
	ppoll(pollers, count, &wait, NULL);
}

static bool
run_is_done(const struct run *run, uint32_t *failures)
{
	bool is_done = true;

	*failures = 0;
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t failed = 0;

		if (run->sides[i] != NULL &&
		    !kernel_is_done(run->sides[i], &failed))
			is_done = false;
		*failures += failed;
	}
	if (run->has_own) {
		is_done = is_done && run->own.done == run->own.expected;
		*failures += run->own.failures;
	}
	return is_done;
}

/* Returns the seconds it took; negative: something was not whole. */
static double
run_loop(struct run *run)
{
	uint64_t start_ns = now(), now_ns = start_ns;
	uint32_t failures;

	while (!run_is_done(run, &failures)) {
		bool is_busy = false;

		now_ns = now();
		for (unsigned i = 0; i < 2; i++)
			is_busy |=
				run->has_kernel[i] && run_tap(run, i, now_ns);
		if (run->has_own)
			own_poll(&run->own, now_ns);
		if (!is_busy)
			run_wait(run, now_ns);
		if (now_ns - start_ns > 180 * NS_PER_SECOND) {
			fprintf(stderr, "no end after 180 s\n");
			failures = 1;
			break;
		}
		if (failures > 0)
			break;
	}
	return failures > 0 ? -1 : (double)(now_ns - start_ns) / NS_PER_SECOND;
}

static const char *
run_prepare(struct run *run, const struct row *row, enum pairing pairing,
	    struct rte_mempool *pool)
{
	const char *why = NULL;

	memset(run, 0, sizeof(*run));
	run->link = link_create(&row->wire, seed);
	for (unsigned i = 0; i < 2 && why == NULL; i++) {
		bool is_own = (pairing == OWN_TO_LINUX && i == 0) ||
			      (pairing == LINUX_TO_OWN && i == 1);

		if (is_own) {
			run->has_own = true;
			own_create(&run->own, run->link, i, pool,
				   (uint8_t)(i + 1), row->mtu, 1u << 20, now());
		} else {
			run->has_kernel[i] = true;
			why = kernel_create(&run->kernels[i], (uint8_t)(i + 1),
					    row->mtu, row->without);
		}
	}
	return why;
}

/* End 0 calls, end 1 serves. */
static double
run_row(const struct row *row, enum pairing pairing, struct rte_mempool *pool,
	const char **why)
{
	static struct run run;
	double seconds = -1;

	*why = run_prepare(&run, row, pairing, pool);
	if (*why == NULL) {
		if (pairing == LINUX_TO_OWN)
			own_serve(&run.own, row->talk.conns);
		else
			run.sides[1] = kernel_serve(
				&run.kernels[1], row->is_ipv6, &row->talk, cc);
		if (pairing == OWN_TO_LINUX)
			own_call(&run.own, 2, row->is_ipv6, &row->talk);
		else
			run.sides[0] =
				kernel_call(&run.kernels[0], 2, row->is_ipv6,
					    &row->talk, cc);
		seconds = run_loop(&run);
		moved_bytes += (uint64_t)row->talk.conns *
			       (row->talk.up + row->talk.down +
				2ull * TALK_PING_BYTES * row->talk.pings);
		if (seconds < 0)
			exit(1); /* its threads may still wait for a peer */
		for (uint32_t i = 0; i < 2; i++) {
			if (run.sides[i] != NULL)
				kernel_end(run.sides[i]);
		}
		if (run.has_own)
			own_destroy(&run.own);
		fprintf(stderr, "  queue full %lu, lost %lu\n",
			link_counters(run.link)->queue_full,
			link_counters(run.link)->lost);
	}
	for (uint32_t i = 0; i < 2; i++) {
		if (run.has_kernel[i])
			kernel_destroy(&run.kernels[i]);
	}
	link_destroy(run.link);
	return seconds;
}

static void
print_row(const struct row *row, const double *seconds)
{
	double bits = 8e-6 * row->talk.conns *
		      (row->talk.up + row->talk.down +
		       2.0 * TALK_PING_BYTES * row->talk.pings);

	if (is_quick) {
		printf("%s\n", row->name);
		return;
	}
	printf("%-22s %8.2f %8.2f %8.2f %8.2f %8.2f\n", row->name,
	       bits / seconds[0], bits / seconds[1], bits / seconds[2],
	       seconds[0] / seconds[1], seconds[0] / seconds[2]);
	fflush(stdout);
}

static void
row_scale(struct row *row, uint32_t fifths)
{
	row->talk.up = row->talk.up / 5 * fifths;
	row->talk.down = row->talk.down / 5 * fifths;
}

static void
run_rows(const char *only, uint32_t fifths, struct rte_mempool *pool)
{
	double sums[2] = {0, 0};
	uint32_t count = 0;

	if (!is_quick)
		printf("%-22s %8s %8s %8s %8s %8s\n", "goodput, Mbit/s",
		       "Linux", "we call", "we serve", "ratio", "ratio");
	for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct row row = rows[i];
		double seconds[3] = {0};
		const char *why;

		if (only != NULL && strstr(row.name, only) == NULL)
			continue;
		/* Linux's own timeouts double up to minutes there. */
		if (row.wire.loss < 200 || fifths < 5)
			row_scale(&row, fifths);
		for (uint32_t j = is_quick ? 1 : 0; j < 3; j++) {
			fprintf(stderr, "%s, %u, seed %lu\n", row.name, j,
				seed);
			seconds[j] = run_row(&row, (enum pairing)j, pool, &why);
			if (why != NULL) {
				printf("skipped: %s\n", why);
				exit(KERNEL_SKIP);
			}
		}
		print_row(&row, seconds);
		sums[0] += seconds[0] / seconds[1];
		sums[1] += seconds[0] / seconds[2];
		count++;
	}
	FAL_ASSERT(count > 0);
	printf("%u rows, %lu MB byte-exact\n", count, moved_bytes / MB);
	if (!is_quick)
		printf("mean ratio %.2f calling, %.2f serving\n",
		       sums[0] / count, sums[1] / count);
}

int
main(int argc, char **argv)
{
	const char *only = NULL;
	uint32_t fifths = 5;

	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (strcmp(argv[i], "--full") == 0) {
			fifths = 40;
			continue;
		}
		if (strcmp(argv[i], "--quick") == 0) {
			is_quick = true;
			fifths = 1;
			continue;
		}
		if (strcmp(argv[i], "--row") == 0)
			only = value;
		else if (strcmp(argv[i], "--cc") == 0)
			cc = value;
		else if (strcmp(argv[i], "--seed") == 0)
			seed = strtoull(value, NULL, 10);
		else
			return 2;
		i++;
	}
	/* An ordinary user becomes root of a world of its own, if it may. */
	if (geteuid() != 0 && unshare(CLONE_NEWUSER) != 0) {
		printf("skipped: neither root nor a user namespace\n");
		return KERNEL_SKIP;
	}
	run_rows(only, fifths,
		 packet_eal_pool_of(6143, 9216 + RTE_PKTMBUF_HEADROOM));
	return 0;
}
