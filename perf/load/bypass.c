/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bypass - the stream interface of drivers/stream.h, driven like a set of
 * sockets. A stream's tag is the index of its connection.
 */
#include "perf/load/bypass.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "base/time.h"
#include "dataplane/stream_tcp.h"
#include "drivers/clock.h"
#include "drivers/port_dpdk.h"

#define MEMORY_MB   80u
#define MBUFS       8191u
#define MTU         1500u
#define EVENTS      64u
#define PATIENCE_NS (30 * NS_PER_SECOND)

static struct port_dpdk *device;
static struct stream_core *streams;
static stream_id *stream_of; /* by index of the connection */
static bool *is_open_of;

static struct tcp_config
tcp_of(const struct load_options *options)
{
	struct tcp_config tcp = {.secret = "perf/load"};
	struct stream_address own;
	char host[64] = "";
	unsigned bits = 0;

	if (sscanf(options->port_address, "%63[0-9.]/%u", host, &bits) != 2 ||
	    stream_address_parse(host, 0, &own) != 0 || bits > 32)
		load_die("--port-address: ADDRESS/BITS of IPv4");
	tcp.address = be_load32(own.ip);
	tcp.prefix_bits = (uint8_t)bits;
	return tcp;
}

void
bypass_open(const struct load_options *options)
{
	const struct port_env_options env = {.memory_mb = MEMORY_MB};
	const struct port_dpdk_options of_device = {
		.device = options->port,
		.core_count = 1,
		.mtu = MTU,
		.mbufs = MBUFS,
		.mbuf_private_bytes = TCP_POOL_PRIVATE_BYTES,
		.may_sleep = !options->spins,
	};
	/* One more for the connection that makes the keys. */
	const struct stream_config config = {
		.stream_limit = 2 * (options->connections + 1),
		.doorbell_fd = -1};
	struct tcp_config tcp = tcp_of(options);
	struct port_error error;

	clock_init();
	if (port_env_start(&env, &error) != 0 || port_env_attach() != 0 ||
	    port_dpdk_start(&of_device, &device, &error) != 0)
		load_die("--port: %s", error.text);
	tcp.port = port_dpdk_port(device, 0);
	tcp.pool = port_dpdk_pool(device, 0);
	stream_of = calloc(options->connections, sizeof(*stream_of));
	is_open_of = calloc(options->connections, sizeof(*is_open_of));
	if (stream_of == NULL || is_open_of == NULL ||
	    stream_tcp_create(&config, &tcp, clock_now_ns(), &streams) != 0)
		load_die("--port: no memory for TCP");
}

void
bypass_close(void)
{
	if (streams == NULL)
		return;
	stream_destroy(streams);
	port_dpdk_stop(device);
	port_env_stop();
	free(stream_of);
	free(is_open_of);
	streams = NULL;
}

void
bypass_connect(const struct load_options *options, uint32_t index)
{
	const uint64_t until_ns = clock_now_ns() + PATIENCE_NS;
	struct stream_target target = {
		.address = stream_address_ipv4(
			ntohl(options->address.sin_addr.s_addr),
			ntohs(options->address.sin_port)),
		.tag = index};
	uint32_t ignored[STREAM_EVENTS_MIN];
	struct stream_error error;

	is_open_of[index] = false;
	if (stream_connect(streams, &target, &stream_of[index], &error) != 0)
		load_die("connection %u: %s", index, error.text);
	while (!is_open_of[index]) {
		(void)bypass_wait(ignored, STREAM_EVENTS_MIN, NS_PER_MS);
		if (clock_now_ns() > until_ns)
			load_die("connection %u: nobody answers", index);
	}
}

void
bypass_send(uint32_t index, const void *data, size_t bytes)
{
	if (stream_write(streams, stream_of[index], data, (uint32_t)bytes) != 0)
		load_die("connection %u: its output is full", index);
}

size_t
bypass_receive(uint32_t index, void *to, size_t bytes)
{
	struct stream_slice slices[STREAM_SLICES_MAX];
	const stream_id id = stream_of[index];
	const uint32_t count = stream_peek(streams, id, slices);
	size_t got = 0;

	for (uint32_t i = 0; i < count && got < bytes; i++) {
		const size_t part = slices[i].bytes < bytes - got
					    ? slices[i].bytes
					    : bytes - got;

		memcpy((uint8_t *)to + got, slices[i].data, part);
		got += part;
	}
	if (got > 0)
		stream_consume(streams, id, (uint32_t)got);
	return got;
}

void
bypass_disconnect(uint32_t index)
{
	stream_close(streams, stream_of[index]);
	stream_of[index] = STREAM_NONE;
}

static uint32_t
take_events(uint32_t *index, uint32_t max)
{
	struct stream_event events[EVENTS];
	const uint32_t count = stream_poll(streams, clock_now_ns(), events,
					   max < EVENTS ? max : EVENTS);
	uint32_t readable = 0;

	for (uint32_t i = 0; i < count; i++) {
		const uint32_t at = events[i].tag;

		if (events[i].kind == STREAM_OPENED)
			is_open_of[at] = true;
		else if (events[i].kind == STREAM_READABLE)
			index[readable++] = at;
		else if (events[i].kind == STREAM_CLOSED)
			load_die("connection %u: %s", at,
				 stream_reason_str(events[i].reason));
	}
	return readable;
}

uint32_t
bypass_wait(uint32_t *index, uint32_t max, uint64_t timeout_ns)
{
	stream_flush(streams);

	const uint32_t count = take_events(index, max);

	if (count > 0 || timeout_ns == 0)
		return count;
	stream_wait(streams, timeout_ns);
	return take_events(index, max);
}
