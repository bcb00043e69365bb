/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_PACKET_RIG_H
#define FALCONER_TESTS_PACKET_RIG_H

/*
 * packet_rig - one TCP instance whose wire is in the hands of a test.
 *
 * Sequence numbers of scripts are relative: the peer's to its initial one,
 * RIG_PEER_ISN, ours to the one of the first SYN the instance sends.
 */

#include "dataplane/tcp_int.h"

#define RIG_PEER_ISN    0xfffffff0u /* so that every script wraps */
#define RIG_FRAMES      256u
#define RIG_ADDRESS     0x0a000005u /* 10.0.0.5 */
#define RIG_PEER        0x0a000001u
#define RIG_LISTEN_PORT 2181u
#define RIG_PEER_PORT   40000u

struct rig_segment {
	uint32_t seq, ack;
	uint32_t bytes;
	uint32_t window;
	uint32_t flags;
	struct tcp_options options;
};

struct rig {
	struct port port; /* first */
	struct rte_mempool *pool;
	struct tcp_core *core;
	struct tcp_conn *conn;
	uint64_t now_ns;
	uint32_t news; /* all so far */
	uint32_t isn;  /* ours, raw */
	bool has_isn;
	uint16_t peer_port, local_port;
	struct rte_mbuf *sent[RIG_FRAMES];
	uint32_t sent_count, sent_at;
};

/* Makes the instance with a listener. */
void rig_start(struct rig *rig, struct rte_mempool *pool);

/* Frees it. */
void rig_stop(struct rig *rig);

/* Moves time, in steps of a millisecond. */
void rig_pass(struct rig *rig, uint32_t ms);

/* Flushes and collects news. */
void rig_settle(struct rig *rig);

/* Gives a segment of the peer to the instance. */
void rig_receive(struct rig *rig, const struct rig_segment *segment);

/* Takes the next TCP segment the instance sent; false: there is none. ARP
 * requests for the peer are answered on the way. */
bool rig_next(struct rig *rig, struct rig_segment *segment);

#endif
