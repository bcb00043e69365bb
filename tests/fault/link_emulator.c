/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A switch whose every path can be a bad one: delay, loss, corruption,
 * duplication, reordering, a rate with a queue.
 *
 *   link_emulator NAME[@NAMESPACE]...
 *
 * Each argument is a port: a tap device of that name, made in that network
 * namespace (`ip netns`) or in the own one. Frames go to the port whose
 * address they carry, as learnt from senders, otherwise to all. Between any
 * two ports lies a link of its own (tests/packet/link.h), perfect at first.
 * A tap offers no offloads, so a frame is what would be on a cable: one
 * segment with its checksum.
 *
 * Lines on stdin, each answered by one line on stdout:
 *
 *   A B [seed=N] [loss=N] [KEY=N]...   the link of ports A and B, both ways,
 *                                      from now on; keys as in struct
 *                                      link_spec; what is not named is good
 *   count                              "KEY=N KEY=N ...", of all links
 *
 * With a seed the decisions of a link begin anew: the n-th frame from here on
 * has the same fate again. Ends with its stdin; the devices end with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/fal.h"
#include "base/time.h"
#include "tests/packet/link.h"

#define PORTS_MAX 16u
#define BURST     64u

struct port {
	int fd;
	bool is_learnt;
	uint8_t address[6];
};

static struct port ports[PORTS_MAX];
static unsigned port_count;
static struct link *links[PORTS_MAX][PORTS_MAX]; /* [smaller][larger] */

/* So fast and with such a queue that nothing is noticed. */
static const struct link_spec good = {.rate_mbit = 10000,
				      .queue_bytes = 64u << 20};

static uint64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void
die(const char *what)
{
	fprintf(stderr, "link_emulator: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Makes the device in the namespace and comes back to the own one. */
static int
port_open(char *argument, int own)
{
	char path[256];
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	char *at = strchr(argument, '@');
	int fd, space;

	if (at != NULL) {
		*at = '\0';
		snprintf(path, sizeof(path), "/run/netns/%s", at + 1);
		space = open(path, O_RDONLY | O_CLOEXEC);
		if (space < 0 || setns(space, CLONE_NEWNET) != 0)
			die(path);
		close(space);
	}
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", argument);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0)
		die(argument);
	if (setns(own, CLONE_NEWNET) != 0)
		die("the own namespace");
	return fd;
}

static struct link **
link_between(unsigned a, unsigned b)
{
	return a < b ? &links[a][b] : &links[b][a];
}

/* From a port towards one other; end 0 of a link is the smaller port. */
static void
send_to(unsigned from, unsigned to, const uint8_t *frame, uint32_t bytes,
	uint64_t at_ns)
{
	link_put(*link_between(from, to), from > to, frame, bytes, at_ns);
}

static void
frame_in(unsigned from, const uint8_t *frame, uint32_t bytes, uint64_t at_ns)
{
	struct port *port = &ports[from];

	if (bytes < 14)
		return;
	memcpy(port->address, frame + 6, 6);
	port->is_learnt = true;
	for (unsigned i = 0; (frame[0] & 1) == 0 && i < port_count; i++) {
		if (i != from && ports[i].is_learnt &&
		    memcmp(ports[i].address, frame, 6) == 0) {
			send_to(from, i, frame, bytes, at_ns);
			return;
		}
	}
	for (unsigned i = 0; i < port_count; i++) {
		if (i != from)
			send_to(from, i, frame, bytes, at_ns);
	}
}

static void
port_receive(unsigned from)
{
	uint8_t frame[LINK_FRAME_MAX];

	for (unsigned i = 0; i < BURST; i++) {
		const ssize_t got = read(ports[from].fd, frame, sizeof(frame));

		if (got <= 0)
			return;
		frame_in(from, frame, (uint32_t)got, now_ns());
	}
}

/* Hands over what has arrived. A device that is down or full loses it, as a
 * network card would. Returns when the next one is due. */
static uint64_t
deliver(void)
{
	uint8_t frame[LINK_FRAME_MAX];
	uint64_t next_ns = UINT64_MAX;

	for (unsigned i = 0; i < port_count; i++) {
		for (unsigned j = i + 1; j < port_count; j++) {
			const unsigned ends[2] = {i, j};

			for (unsigned end = 0; end < 2; end++) {
				uint32_t bytes;

				while ((bytes = link_get(links[i][j], end,
							 frame, now_ns())) > 0)
					(void)!write(ports[ends[end]].fd, frame,
						     bytes);
			}
			if (link_next_ns(links[i][j]) < next_ns)
				next_ns = link_next_ns(links[i][j]);
		}
	}
	return next_ns;
}

/* Sets one "key=number" of a link; false: there is no such key. */
static bool
set_key(struct link_spec *spec, uint64_t *seed, const char *key,
	unsigned long value)
{
	const struct {
		const char *name;
		uint32_t *value;
	} keys[] = {
		{"rate_mbit", &spec->rate_mbit},
		{"delay_us", &spec->delay_us},
		{"queue_bytes", &spec->queue_bytes},
		{"loss", &spec->loss},
		{"corruption", &spec->corruption},
		{"duplication", &spec->duplication},
		{"reorder", &spec->reorder},
		{"reorder_us", &spec->reorder_us},
	};

	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcmp(key, keys[i].name) == 0) {
			*keys[i].value = (uint32_t)value;
			return true;
		}
	}
	*seed = value;
	return strcmp(key, "seed") == 0;
}

static const char *
set_link(char *line)
{
	struct link_spec spec = good;
	uint64_t seed = 0;
	unsigned a, b;
	int used;

	if (sscanf(line, "%u %u%n", &a, &b, &used) != 2 || a == b ||
	    a >= port_count || b >= port_count)
		return "no such link";
	for (char *word = strtok(line + used, " "); word != NULL;
	     word = strtok(NULL, " ")) {
		char *is = strchr(word, '=');

		if (is == NULL)
			return "not key=number";
		*is = '\0';
		if (!set_key(&spec, &seed, word, strtoul(is + 1, NULL, 10)))
			return "no such key";
	}
	if (spec.rate_mbit == 0)
		return "a rate of 0";
	link_change(*link_between(a, b), &spec, seed);
	return "ok";
}

static void
print_counts(void)
{
	struct link_counters sum = {0};

	for (unsigned i = 0; i < port_count; i++) {
		for (unsigned j = i + 1; j < port_count; j++) {
			const struct link_counters *c =
				link_counters(links[i][j]);

			sum.frames += c->frames;
			sum.lost += c->lost;
			sum.queue_full += c->queue_full;
			sum.corrupted += c->corrupted;
			sum.duplicated += c->duplicated;
			sum.reordered += c->reordered;
		}
	}
	printf("frames=%lu lost=%lu queue_full=%lu corrupted=%lu "
	       "duplicated=%lu reordered=%lu\n",
	       sum.frames, sum.lost, sum.queue_full, sum.corrupted,
	       sum.duplicated, sum.reordered);
}

/* Whole lines of stdin; returns false at its end. */
static bool
commands(void)
{
	static char buffer[4096];
	static size_t held;
	const ssize_t got = read(0, buffer + held, sizeof(buffer) - 1 - held);
	char *line = buffer, *end;

	if (got <= 0)
		return false;
	held += (size_t)got;
	buffer[held] = '\0';
	while ((end = strchr(line, '\n')) != NULL) {
		*end = '\0';
		if (strcmp(line, "count") == 0)
			print_counts();
		else
			puts(set_link(line));
		line = end + 1;
	}
	held -= (size_t)(line - buffer);
	memmove(buffer, line, held);
	return fflush(stdout) == 0 && held < sizeof(buffer) - 1;
}

static void
run(void)
{
	struct pollfd polls[PORTS_MAX + 1] = {{.fd = 0, .events = POLLIN}};

	for (unsigned i = 0; i < port_count; i++)
		polls[i + 1] =
			(struct pollfd){.fd = ports[i].fd, .events = POLLIN};
	for (;;) {
		const uint64_t next_ns = deliver();
		const uint64_t at_ns = now_ns();
		const uint64_t wait_ns = next_ns > at_ns ? next_ns - at_ns : 0;
		const struct timespec wait = {
			.tv_sec = (time_t)(wait_ns / NS_PER_S),
			.tv_nsec = (long)(wait_ns % NS_PER_S)};

		if (ppoll(polls, port_count + 1,
			  next_ns == UINT64_MAX ? NULL : &wait, NULL) < 0 &&
		    errno != EINTR)
			die("poll");
		if (polls[0].revents != 0 && !commands())
			return;
		for (unsigned i = 0; i < port_count; i++) {
			if (polls[i + 1].revents != 0)
				port_receive(i);
		}
	}
}

int
main(int argc, char **argv)
{
	const int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	if (argc < 3 || argc - 1 > (int)PORTS_MAX) {
		fprintf(stderr, "usage: link_emulator NAME[@NAMESPACE]...\n");
		return 2;
	}
	port_count = (unsigned)argc - 1;
	for (unsigned i = 0; i < port_count; i++) {
		ports[i].fd = port_open(argv[i + 1], own);
		for (unsigned j = i + 1; j < port_count; j++)
			links[i][j] = link_create(&good, 1);
	}
	/* The kernel rounds sleeps up by 50 us otherwise. */
	prctl(PR_SET_TIMERSLACK, 1);
	puts("ok");
	fflush(stdout);
	run();
	return 0;
}
