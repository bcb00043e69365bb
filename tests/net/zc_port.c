/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the client library works on our own TCP on a device of DPDK as it does
 * on sockets, in a process without root and huge pages.
 * Method: a session is opened on such streams; nodes are written and read, one
 * at a time and many at once, a value of many segments too; a watch fires
 * before the reply that shows the change. Then single reads and writes are
 * timed; the figures are printed and not judged, but for this: a client that is
 * told to look for news long enough never sleeps for a read.
 *
 *   zc_port DEVICE ADDRESS/BITS SERVER:PORT [COUNT [SPIN_US]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "client/future.h"
#include "far.h"

#define WAIT_MS    20000u
#define MANY       2000u
#define LONG_BYTES 500000u
#define COUNT_MAX  1000000u

static struct zc_loop *loop;
static struct zc *zc;
static struct stream_core *streams;
static uint32_t done, events;
static uint8_t long_value[LONG_BYTES];

static void
must(bool is_right, const char *what)
{
	if (!is_right) {
		fprintf(stderr, "zc_port: %s\n", what);
		exit(1);
	}
}

/* Waits for the reply of a request that was made with a future. */
static void
wait_for(struct zc_future *future, int32_t want, const char *what)
{
	const int32_t err = zc_future_wait(loop, future, WAIT_MS);

	if (err != want) {
		fprintf(stderr, "zc_port: %s: %s\n", what, zc_err_str(err));
		exit(1);
	}
}

static void
make(const char *path, const void *data, uint32_t bytes)
{
	struct zc_future future = {0};

	must(zc_create(zc, path, data, bytes, NULL, zc_future_done, &future) ==
		     0,
	     path);
	wait_for(&future, ZC_OK, path);
	zc_future_free(&future);
}

static void
write_one(const char *path, const void *data, uint32_t bytes)
{
	struct zc_future future = {0};

	must(zc_set(zc, path, data, bytes, -1, zc_future_done, &future) == 0,
	     path);
	wait_for(&future, ZC_OK, path);
	zc_future_free(&future);
}

static void
read_one(const char *path, const struct zc_watch *watch, const void *data,
	 uint32_t bytes)
{
	struct zc_future future = {0};

	must(zc_get(zc, path, watch, zc_future_done, &future) == 0, path);
	wait_for(&future, ZC_OK, path);
	must(future.reply.data.bytes == bytes &&
		     memcmp(future.reply.data.data, data, bytes) == 0,
	     "other bytes were read than written");
	zc_future_free(&future);
}

static void
on_change(void *arg, enum zc_event event, struct zc_bytes path)
{
	(void)arg;
	(void)path;
	must(event == ZC_NODE_DATA_CHANGED, "the event is of a change");
	events++;
}

static void
on_read(void *arg, struct zc_reply *reply)
{
	(void)arg;
	must(reply->err == ZC_OK && reply->data.bytes == 3, "one of many");
	done++;
}

static void
many_at_once(void)
{
	for (uint32_t i = 0; i < MANY; i++)
		must(zc_get(zc, "/port", NULL, on_read, NULL) == 0, "get");
	for (uint32_t i = 0; done < MANY && i < WAIT_MS; i++)
		zc_loop_step(loop, 1);
	must(done == MANY, "all of many were answered");
}

static int
by_size(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void
tell(const char *what, uint64_t *took_ns, uint32_t count)
{
	qsort(took_ns, count, sizeof(took_ns[0]), by_size);
	printf("%s: %u, p50 %.2f us, p99 %.2f us, p99.9 %.2f us\n", what, count,
	       (double)took_ns[count / 2] / 1000,
	       (double)took_ns[count - 1 - count / 100] / 1000,
	       (double)took_ns[count - 1 - count / 1000] / 1000);
}

static void
time_them(uint32_t count, uint32_t spin_us)
{
	static uint64_t took_ns[COUNT_MAX];
	uint8_t value[100] = {0};
	struct stream_counters before, after;

	write_one("/port", value, sizeof(value));
	stream_counters_read(streams, &before);
	for (uint32_t i = 0; i < count; i++) {
		const uint64_t start_ns = clock_now_ns();

		read_one("/port", NULL, value, sizeof(value));
		took_ns[i] = clock_now_ns() - start_ns;
	}
	tell("getData", took_ns, count);
	stream_counters_read(streams, &after);
	printf("getData: %.2f sleeps, %.1f polls each\n",
	       (double)(after.waits - before.waits) / count,
	       (double)(after.polls - before.polls) / count);
	must(spin_us < WAIT_MS * 1000 || after.waits == before.waits,
	     "who spins does not sleep");
	for (uint32_t i = 0; i < count; i++) {
		const uint64_t start_ns = clock_now_ns();

		write_one("/port", value, sizeof(value));
		took_ns[i] = clock_now_ns() - start_ns;
	}
	tell("setData", took_ns, count);
}

int
main(int argc, char **argv)
{
	const struct zc_watch watch = {.fn = on_change};
	struct zc_future closed = {0};
	struct zc_loop_options options = {0};
	uint32_t count = 200;
	struct far far;

	if (argc < 4 || argc > 6)
		far_die("usage: zc_port DEVICE ADDRESS/BITS SERVER:PORT "
			"[COUNT [SPIN_US]]");
	if (argc == 6)
		options.spin_us = (uint32_t)strtoul(argv[5], NULL, 10);
	if (argc >= 5)
		count = (uint32_t)strtoul(argv[4], NULL, 10);
	must(count > 0 && count <= COUNT_MAX, "COUNT: 1 to 1000000");
	clock_init();
	far_make(&far, argv[1], argv[2], true, 16);
	for (uint32_t i = 0; i < LONG_BYTES; i++)
		long_value[i] = (uint8_t)(i * 7);

	streams = far.streams;
	must(zc_loop_create_on(&options, far.streams, &loop) == 0, "a loop");
	must(zc_open(loop, argv[3], NULL, &zc) == 0, "a session");
	must(zc_wait_connected(loop, zc, WAIT_MS), "it connects");
	make("/port", "one", 3);
	read_one("/port", &watch, "one", 3);
	write_one("/port", "two", 3);
	must(events == 1, "the event comes before the reply");
	read_one("/port", NULL, "two", 3);
	make("/port/long", long_value, LONG_BYTES);
	read_one("/port/long", NULL, long_value, LONG_BYTES);
	many_at_once();
	time_them(count, options.spin_us);
	must(zc_close(zc, zc_future_done, &closed) == 0, "close");
	wait_for(&closed, ZC_OK, "close");
	zc_loop_destroy(loop);
	port_dpdk_stop(far.device);
	port_env_stop();
	printf("right\n");
	return 0;
}
