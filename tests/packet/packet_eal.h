/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_PACKET_EAL_H
#define FALCONER_TESTS_PACKET_EAL_H

/*
 * packet_eal - a pool of mbufs for tests: DPDK's memory needs its environment,
 * here without huge pages, devices, files and threads.
 */

#include <stdio.h>
#include <stdlib.h>

#include <rte_eal.h>
#include <rte_mbuf.h>

#include "dataplane/tcp.h"

/* Starts the environment and makes a pool of mbufs with `room` bytes, headroom
 * included; ends the program if it cannot. */
static inline struct rte_mempool *
packet_eal_pool_of(uint32_t mbufs, uint32_t room)
{
	static char args[][24] = {"test",     "--no-huge",     "--no-shconf",
				  "--no-pci", "--lcores",      "0",
				  "-m",       "512",           "--log-level",
				  "error",    "--no-telemetry"};
	char *argv[sizeof(args) / sizeof(args[0]) + 1] = {NULL};
	struct rte_mempool *pool = NULL;

	for (uint32_t i = 0; i < sizeof(args) / sizeof(args[0]); i++)
		argv[i] = args[i];
	if (rte_eal_init(sizeof(args) / sizeof(args[0]), argv) >= 0)
		pool = rte_pktmbuf_pool_create(
			"packets", mbufs, mbufs > 1023 ? 256 : 0,
			TCP_POOL_PRIVATE_BYTES, (uint16_t)room, SOCKET_ID_ANY);
	if (pool == NULL) {
		fprintf(stderr, "no pool of mbufs\n");
		exit(1);
	}
	return pool;
}

/* The same with room for a frame of an ordinary Ethernet. */
static inline struct rte_mempool *
packet_eal_pool(uint32_t mbufs)
{
	return packet_eal_pool_of(mbufs, RTE_MBUF_DEFAULT_BUF_SIZE);
}

#endif
