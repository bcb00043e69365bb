/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_TCP_INT_H
#define FALCONER_DATAPLANE_TCP_INT_H

/*
 * tcp_int - the control block and what the files of the stack share.
 *
 * Output is a list of mbufs, one a segment, each with its place in the sequence
 * space and its fate in the private area (struct tcp_seg): queued, sent,
 * SACKed, lost, sent again. The mbuf stays in the list with one reference of
 * ours until it is acknowledged; sending takes another. Headers are written
 * into the headroom, which is only allowed while nobody else holds the mbuf.
 * There is no sequence pointer that moves back: what to send again is marked
 * lost. Input is a list of mbufs trimmed to their payload.
 */

#include "dataplane/tcp.h"

#include "base/be.h"
#include "base/hash.h"
#include "base/time.h"

#define TCP_FIN 0x01u
#define TCP_SYN 0x02u
#define TCP_RST 0x04u
#define TCP_PSH 0x08u
#define TCP_ACK 0x10u

#define TCP_NONE          UINT32_MAX
#define TCP_ETHER_BYTES   14u
#define TCP_IP_BYTES      20u
#define TCP_HEADER_BYTES  20u
#define TCP_OPTIONS_MAX   40u
#define TCP_MSS_MIN       216u /* a smaller one is a resource attack */
#define TCP_MSS_DEFAULT   536u /* RFC 9293 3.7.1, IPv4 */
#define TCP_SACKS_MAX     4u
#define TCP_OOO_MAX       64u
#define TCP_WHEEL_SLOTS   4096u
#define TCP_TICK_SHIFT    20 /* a tick is 2^20 ns, about 1 ms */
#define TCP_TX_QUEUE      256u
#define TCP_ARP_ENTRIES   256u
#define TCP_WINDOW_SHIFT  7u
#define TCP_RTO_FIRST_US  1000000u
#define TCP_RTO_MAX_US    10000000u
#define TCP_RETRIES_MAX   12u
#define TCP_SYN_TRIES_MAX 3u
#define TCP_ACK_DELAY_NS  NS_PER_MS
#define TCP_CHALLENGE_MAX 10u /* a second and connection */

enum tcp_state {
	TCP_FREE = 0,
	TCP_CLOSED,
	TCP_SYN_SENT,
	TCP_SYN_RECEIVED,
	TCP_ESTABLISHED,
	TCP_FIN_WAIT_1,
	TCP_FIN_WAIT_2,
	TCP_CLOSE_WAIT,
	TCP_CLOSING,
	TCP_LAST_ACK,
	TCP_TIME_WAIT,
};

enum tcp_seg_flag {
	TCP_SEG_SACKED = 1,
	TCP_SEG_LOST = 2,
	TCP_SEG_AGAIN = 4, /* sent more than once: no RTT from it (Karn) */
};

/* The private area of a queued mbuf. */
struct tcp_seg {
	struct rte_mbuf *next;
	uint64_t sent_ns;
	uint32_t seq;
	uint16_t bytes;
	uint16_t offset; /* of the payload in the mbuf's buffer */
	uint8_t flags;
	uint8_t reserved[7];
};
_Static_assert(sizeof(struct tcp_seg) <= TCP_POOL_PRIVATE_BYTES,
	       "the pool's private area holds a segment's fate");

struct tcp_sack {
	uint32_t left, right;
};

struct tcp_options {
	uint32_t ts_value, ts_echo;
	struct tcp_sack sacks[TCP_SACKS_MAX];
	uint16_t mss; /* 0: not there */
	uint8_t window_shift;
	uint8_t sack_count;
	bool has_window_shift, has_timestamps, sack_permitted;
};

/* A segment as it arrived; lengths are checked. */
struct tcp_packet {
	struct rte_mbuf *mbuf; /* NULL once somebody took it */
	const uint8_t *mac;    /* of the sender, in the mbuf */
	uint32_t source, destination;
	uint32_t seq, ack;
	uint16_t source_port, destination_port;
	uint16_t window;
	uint16_t offset; /* of the payload from the frame's start */
	uint16_t bytes;  /* of payload */
	uint8_t flags;
	struct tcp_options options;
};

enum tcp_conn_flag {
	TCP_HAS_TS = 1 << 0,
	TCP_HAS_SACK = 1 << 1,
	TCP_ACK_NOW = 1 << 2,
	TCP_FIN_QUEUED = 1 << 3, /* output ends at snd_end           */
	TCP_FIN_SENT = 1 << 4,
	TCP_FIN_LOST = 1 << 5,
	TCP_RECOVERY = 1 << 6,  /* until snd_una reaches recover     */
	TCP_LOSS = 1 << 7,      /* the recovery began with a timeout */
	TCP_ORPHAN = 1 << 8,    /* no user                           */
	TCP_PASSIVE = 1 << 9,   /* counted in half_open while opening */
	TCP_DSACK = 1 << 10,    /* dsack is to be reported           */
	TCP_HAS_MAC = 1 << 11,  /* next hop known                    */
	TCP_FIN_SEEN = 1 << 12, /* rcv_nxt is behind the peer's FIN  */
	TCP_SYN_DUE = 1 << 13,  /* SYN or SYN-ACK is to be sent      */
	TCP_PROBE_DUE = 1 << 14,
};

enum tcp_list { TCP_IN_OUT = 1, TCP_IN_NEWS = 2, TCP_IN_WHEEL = 4 };

struct tcp_conn {
	/* every segment */
	uint32_t snd_una, snd_nxt, snd_wnd, snd_end;
	uint32_t rcv_nxt, rcv_adv, rcv_bytes, cwnd;
	uint32_t ts_recent, last_ack_sent;
	uint32_t flags; /* enum tcp_conn_flag */
	uint16_t mss;
	uint8_t state, snd_shift, rcv_shift, lists;
	struct rte_mbuf *snd_head, *snd_tail, *snd_send;
	/* identity and input */
	struct rte_mbuf *rcv_head, *rcv_tail, *ooo_head;
	uint32_t remote_address, hash;
	uint16_t remote_port, local_port;
	uint8_t mac[PORT_MAC_BYTES];
	uint8_t ooo_count, news;
	uint32_t tag;
	/* clocks */
	uint64_t tx_deadline_ns, ack_deadline_ns, life_deadline_ns;
	uint32_t srtt_us, rttvar_us, rto_us;
	uint32_t wheel_tick, wheel_next, wheel_prev;
	uint32_t out_next, news_next;
	/* rarely */
	uint32_t ssthresh, recover, sacked, lost;
	uint32_t snd_wl1, snd_wl2, iss, irs, snd_wnd_max;
	uint32_t keepalive_ms, ooo_recent;
	struct tcp_sack dsack;
	uint8_t backoff, dupacks, probes, reason;
	uint8_t challenge_count, ack_segments;
	uint16_t challenge_second;
};
_Static_assert(sizeof(struct tcp_conn) <= 256, "control block of four lines");

struct tcp_listener {
	uint16_t port; /* 0: free */
	uint32_t tag;
};

struct tcp_arp_entry {
	uint32_t address; /* 0: free */
	bool is_known;
	uint8_t mac[PORT_MAC_BYTES];
	uint64_t asked_ns, heard_ns;
};

struct tcp_core {
	struct tcp_config config;
	struct tcp_conn *conns;
	uint32_t *table; /* conn index + 1 */
	uint32_t table_mask;
	uint32_t free_head, out_head, out_tail, news_head, news_tail;
	uint64_t now_ns;
	struct hash_key hash_key;
	uint32_t tick;
	uint32_t wheel[TCP_WHEEL_SLOTS];
	struct tcp_listener listeners[TCP_LISTENERS_MAX];
	/* A reserved segment that is not committed yet, and for whom. */
	struct rte_mbuf *spare;
	struct tcp_conn *spare_for;
	struct rte_mbuf *tx[TCP_TX_QUEUE];
	uint32_t tx_count;
	uint16_t ip_id, port_next;
	uint64_t arp_second_ns, icmp_second_ns;
	uint32_t arp_tokens, icmp_tokens;
	struct tcp_arp_entry arp[TCP_ARP_ENTRIES];
	struct tcp_counters counters;
};

static inline bool
tcp_seq_lt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static inline bool
tcp_seq_le(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) <= 0;
}

static inline bool
tcp_has(const struct tcp_conn *conn, uint32_t flags)
{
	return (conn->flags & flags) != 0;
}

static inline void
tcp_set(struct tcp_conn *conn, uint32_t flags)
{
	conn->flags |= flags;
}

static inline void
tcp_clear(struct tcp_conn *conn, uint32_t flags)
{
	conn->flags &= ~flags;
}

static inline struct tcp_seg *
tcp_seg_of(struct rte_mbuf *mbuf)
{
	return rte_mbuf_to_priv(mbuf);
}

/* tcp_opt.c */
bool tcp_opt_parse(const uint8_t *at, uint32_t bytes,
		   struct tcp_options *options);
uint32_t tcp_opt_write_syn(uint8_t *at, uint16_t mss, bool window_shift,
			   bool sack, bool timestamps, uint32_t value,
			   uint32_t echo);
uint32_t tcp_opt_write(uint8_t *at, bool timestamps, uint32_t value,
		       uint32_t echo, const struct tcp_sack *sacks,
		       uint32_t sack_count);

/* tcp_conn.c */
struct tcp_conn *tcp_conn_find(struct tcp_core *core, uint32_t address,
			       uint16_t remote_port, uint16_t local_port);
struct tcp_conn *tcp_conn_new(struct tcp_core *core, uint32_t address,
			      uint16_t remote_port, uint16_t local_port);
void tcp_conn_free(struct tcp_core *core, struct tcp_conn *conn);
void tcp_conn_end(struct tcp_core *core, struct tcp_conn *conn,
		  enum tcp_reason reason);
void tcp_conn_news(struct tcp_core *core, struct tcp_conn *conn, uint32_t news);
void tcp_conn_out(struct tcp_core *core, struct tcp_conn *conn);
void tcp_conn_establish(struct tcp_core *core, struct tcp_conn *conn);
void tcp_conn_mss(struct tcp_core *core, struct tcp_conn *conn,
		  uint16_t offered);

/* tcp_timer.c */
void tcp_timer_arm(struct tcp_core *core, struct tcp_conn *conn);
void tcp_timer_unlink(struct tcp_core *core, struct tcp_conn *conn);
void tcp_timer_run(struct tcp_core *core);
void tcp_time_wait_enter(struct tcp_core *core, struct tcp_conn *conn);

/* tcp_syn.c */
uint32_t tcp_syn_isn(struct tcp_core *core, uint32_t address,
		     uint16_t remote_port, uint16_t local_port);
void tcp_syn_in(struct tcp_core *core, struct tcp_packet *packet);
struct tcp_listener *tcp_syn_listener(struct tcp_core *core, uint16_t port);

/* tcp_in.c, tcp_data.c */
void tcp_in(struct tcp_core *core, struct tcp_packet *packet);
void tcp_data_in(struct tcp_core *core, struct tcp_conn *conn,
		 struct tcp_packet *packet);
void tcp_data_drop(struct tcp_conn *conn);
uint32_t tcp_data_sacks(const struct tcp_conn *conn, struct tcp_sack *sacks,
			uint32_t max);

/* tcp_loss.c */
void tcp_loss_ack(struct tcp_core *core, struct tcp_conn *conn,
		  const struct tcp_packet *packet);
void tcp_loss_timeout(struct tcp_core *core, struct tcp_conn *conn);
uint32_t tcp_loss_pipe(const struct tcp_conn *conn);
void tcp_loss_drop(struct tcp_conn *conn);

/* tcp_out.c */
void tcp_out(struct tcp_core *core, struct tcp_conn *conn);
uint32_t tcp_out_window(const struct tcp_core *core,
			const struct tcp_conn *conn);
void tcp_out_reset(struct tcp_core *core, struct tcp_conn *conn);
void tcp_out_refuse(struct tcp_core *core, const struct tcp_packet *packet);

/* ip_out.c: checksums, frames into the tx queue */
uint32_t ip_sum(uint32_t sum, const void *data, uint32_t bytes);
uint16_t ip_fold(uint32_t sum);
void ip_out_ether(struct tcp_core *core, uint8_t *at, const uint8_t *mac,
		  uint16_t type);
void ip_out_header(struct tcp_core *core, uint8_t *at, uint32_t destination,
		   uint8_t protocol, uint32_t payload_bytes);
bool ip_out_push(struct tcp_core *core, struct rte_mbuf *mbuf);
void ip_out_flush(struct tcp_core *core);

/* arp.c, icmp.c */
void arp_in(struct tcp_core *core, const uint8_t *frame, uint32_t bytes);
bool arp_resolve(struct tcp_core *core, uint32_t destination, uint8_t *mac);
void icmp_in(struct tcp_core *core, const uint8_t *frame, uint32_t header_bytes,
	     uint32_t bytes);

#endif
