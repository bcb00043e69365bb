/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_PACKET_RIG_H
#define FALCONER_TESTS_PACKET_RIG_H

/*
 * packet_rig - one TCP instance whose wire is in the hands of a test.
 *
 * Sequence numbers of scripts are relative: the peer's to its initial one,
 * RIG_PEER_ISN, ours to the one of the first SYN the instance sends after
 * rig_peer(). The peer is 10.0.0.1 or fd00::1, the instance 10.0.0.5 or
 * fd00::5.
 */

#include "dataplane/tcp_int.h"

#define RIG_PEER_ISN    0xfffffff0u /* so that every script wraps */
#define RIG_FRAMES      256u
#define RIG_FRAME_MAX   2000u
#define RIG_PATCHES     8u
#define RIG_ADDRESS     0x0a000005u /* 10.0.0.5 */
#define RIG_PEER        0x0a000001u
#define RIG_LISTEN_PORT 2181u
#define RIG_PEER_PORT   40000u

/* What is written over a frame: before its checksums are computed or after. */
struct rig_patch {
	char layer; /* 'e' Ethernet, 'i' IP, 't' what IP carries */
	bool is_late;
	uint16_t offset, bytes;
	uint8_t data[40];
};

struct rig_segment {
	uint32_t seq, ack;
	uint32_t bytes;
	uint32_t window;
	uint32_t flags;
	struct tcp_options options;
	/* Of what the peer sends only. */
	bool has_raw_options;
	uint8_t raw_options[40]; /* instead of `options`          */
	uint32_t raw_option_bytes;
	uint8_t extension[160]; /* IPv4 options or IPv6 headers */
	uint32_t extension_bytes;
	struct rig_patch patches[RIG_PATCHES];
	uint32_t patch_count;
	uint32_t cut, pad; /* of the frame's length; cut 0: none */
	bool is_group, has_tag;
	uint16_t tag;
	/* Of what the instance sends only. */
	uint8_t protocol; /* 6, 1 or 58 */
	uint8_t icmp_type;
	uint16_t vlan;
};

struct rig_options {
	uint32_t half_open_limit, conn_limit, window_bytes;
	uint16_t vlan, mtu;
	bool is_ipv6;
	uint32_t tx_offloads; /* what the port claims, and then does */
};

struct rig {
	struct port port; /* first */
	struct rte_mempool *pool;
	struct rig_options options;
	struct tcp_core *core;
	struct tcp_conn *conn;
	uint64_t now_ns;
	uint32_t news; /* all so far */
	uint32_t isn;  /* ours, raw */
	bool has_isn;
	bool is_exact;      /* frames end where their buffer ends */
	bool is_left_alone; /* news and flushing are the test's    */
	uint32_t ts_echo;   /* the timestamp we sent last */
	uint32_t consumed;
	uint16_t peer_port, local_port;
	uint8_t peer_mac[PORT_MAC_BYTES];
	struct rte_mbuf *sent[RIG_FRAMES];
	uint32_t sent_count, sent_at;
};

/* Makes the instance with a listener. */
void rig_start(struct rig *rig, struct rte_mempool *pool,
	       const struct rig_options *options);

/* Frees it. */
void rig_stop(struct rig *rig);

/* Another connection of the peer: its port; ours begins anew. */
void rig_peer(struct rig *rig, uint16_t port);

/* The peer has another card from now on, whose MAC ends so; what is sent to the
 * one before is heard by nobody. It is 1 at first. */
void rig_station(struct rig *rig, uint8_t number);

/* Moves time, in steps of a millisecond. */
void rig_pass(struct rig *rig, uint32_t ms);

/* Flushes and collects news. */
void rig_settle(struct rig *rig);

/* Gives a segment of the peer to the instance. */
void rig_receive(struct rig *rig, const struct rig_segment *segment);

/* Gives an ICMP message of the peer: bytes of it, the checksum is added. Those
 * of errors quote a segment of ours with a relative sequence number. */
void rig_receive_icmp(struct rig *rig, const struct rig_segment *segment,
		      uint8_t type, uint8_t code, uint32_t word);

/* Gives raw bytes; `verdict`: what the port says about the TCP checksum, as
 * flags of an mbuf, 0: nothing. */
void rig_receive_raw(struct rig *rig, const uint8_t *data, uint32_t bytes,
		     uint64_t verdict);

/* Takes the next TCP or ICMP packet the instance sent, with good checksums;
 * false: there is none.
 * ARP and neighbour solicitations for the peer are answered on the way. */
bool rig_next(struct rig *rig, struct rig_segment *segment);

/* Frees all that was sent, unseen. */
void rig_forget(struct rig *rig);

/* Reads `bytes` of input and checks that they are the peer's. */
bool rig_read(struct rig *rig, uint32_t bytes);

/* The value of a counter; ends the program for a name that is none. */
uint64_t rig_counter(const struct rig *rig, const char *name);

#endif
