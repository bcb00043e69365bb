/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_PACKET_OWN_H
#define FALCONER_TESTS_PACKET_OWN_H

/*
 * own - our TCP as one end of a link, talking as kernel.h says.
 *
 * Context  the thread that runs the link.
 */

#include "dataplane/tcp.h"
#include "kernel.h"
#include "link.h"

#define OWN_CONNS_MAX 256u

struct own_conn {
	struct tcp_conn *conn; /* NULL: over */
	struct talk talk;
	uint32_t said, heard; /* bytes of the streams            */
	uint32_t pings;       /* whole ones that came            */
	uint8_t head_bytes;   /* of the talk that a client sends */
	bool is_client, is_shut, has_fin, is_stuck;
};

struct own {
	struct port port; /* first: the ops cast back */
	struct link *link;
	unsigned end;
	uint8_t host;
	struct rte_mempool *pool;
	struct tcp_core *core;
	struct own_conn conns[OWN_CONNS_MAX];
	uint32_t expected, done, failures;
};

/* Makes an instance with addresses 10.77.0.host and fd77::host. */
void own_create(struct own *own, struct link *link, unsigned end,
		struct rte_mempool *pool, uint8_t host, uint32_t mtu,
		uint32_t window_bytes, uint64_t now_ns);

/* Frees it; all mbufs must be back. */
void own_destroy(struct own *own);

/* Accepts or opens connections, as kernel_serve() and kernel_call(). */
void own_serve(struct own *own, uint32_t conns);
void own_call(struct own *own, uint8_t host, bool is_ipv6,
	      const struct talk *talk);

/* Runs what there is to do. */
void own_poll(struct own *own, uint64_t now_ns);

#endif
