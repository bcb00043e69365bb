/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_NET_FAR_H
#define FALCONER_TESTS_NET_FAR_H

/*
 * far - a device of DPDK with our TCP on it, for programs of the tests: EAL
 * without huge pages and files, one core, so that an ordinary user can do it.
 */

#include <stdio.h>
#include <stdlib.h>

#include "dataplane/stream_tcp.h"
#include "drivers/clock.h"
#include "drivers/port_dpdk.h"

struct far {
	struct port_dpdk *device;
	struct stream_core *streams;
};

static inline void
far_die(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(1);
}

/* Makes both or ends the program.
 *
 * device   as in falconer.dpdk.port
 * address  of ours, IPv4/prefix bits
 */
static inline void
far_make(struct far *far, const char *device, const char *address,
	 bool may_sleep, uint32_t streams_max)
{
	const struct port_env_options env = {.memory_mb = 80};
	const struct port_dpdk_options options = {
		.device = device,
		.core_count = 1,
		.mtu = 1500,
		.mbufs = 8191,
		.mbuf_private_bytes = TCP_POOL_PRIVATE_BYTES,
		.may_sleep = may_sleep,
	};
	const struct stream_config config = {.stream_limit = streams_max,
					     .doorbell_fd = -1};
	struct tcp_config tcp = {.secret = "tests/net"};
	struct stream_address own;
	struct port_error error;
	char host[64] = "";
	unsigned bits = 0;

	if (sscanf(address, "%63[0-9.]/%u", host, &bits) != 2 ||
	    stream_address_parse(host, 0, &own) != 0 || bits > 32)
		far_die("ADDRESS/BITS: an IPv4 address");
	tcp.address = be_load32(own.ip);
	tcp.prefix_bits = (uint8_t)bits;
	if (port_env_start(&env, &error) != 0 || port_env_attach() != 0 ||
	    port_dpdk_start(&options, &far->device, &error) != 0)
		far_die(error.text);
	tcp.port = port_dpdk_port(far->device, 0);
	tcp.pool = port_dpdk_pool(far->device, 0);
	if (stream_tcp_create(&config, &tcp, clock_now_ns(), &far->streams) !=
	    0)
		far_die("no TCP");
}

#endif
