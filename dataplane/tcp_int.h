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
#include "base/probe.h"
#include "base/time.h"

#define TCP_FIN 0x01u
#define TCP_SYN 0x02u
#define TCP_RST 0x04u
#define TCP_PSH 0x08u
#define TCP_ACK 0x10u

#define TCP_NONE           UINT32_MAX
#define TCP_ETHER_BYTES    14u
#define TCP_VLAN_BYTES     4u
#define TCP_IP4_BYTES      20u
#define TCP_IP6_BYTES      40u
#define TCP_HEADER_BYTES   20u
#define TCP_OPTIONS_MAX    40u
#define TCP_MSS_MIN        216u /* a smaller one is a resource attack */
#define TCP_MSS_DEFAULT4   536u /* RFC 9293 3.7.1 */
#define TCP_MSS_DEFAULT6   1220u
#define TCP_SACKS_MAX      4u
#define TCP_RUNS_MAX       64u
#define TCP_WHEEL_SLOTS    4096u
#define TCP_TICK_SHIFT     20 /* a tick is 2^20 ns, about 1 ms */
#define TCP_TX_QUEUE       256u
#define TCP_NEIGHBOURS     256u
#define TCP_WINDOW_SHIFT   7u
#define TCP_CWND_MAX       (1u << 26)
#define TCP_RTO_FIRST_US   1000000u
#define TCP_RTO_MAX_US     10000000u
#define TCP_RETRIES_MAX    12u
#define TCP_SYN_TRIES_MAX  3u
#define TCP_ACK_DELAY_NS   NS_PER_MS
#define TCP_CHALLENGE_MAX  10u    /* a second and connection */
#define TCP_TLP_DELAYED_US 45000u /* what Linux delays an ack, and some */
#define TCP_PATH_MINUTES   10u    /* that a smaller path MTU is believed */

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

/*
 * The private area of a queued mbuf. Input is trimmed to its payload and needs
 * only next; the first mbuf of a run, contiguous input behind a hole, also
 * knows where the run ends and which one follows.
 */
struct tcp_seg {
	struct rte_mbuf *next;
	union {
		struct {
			uint32_t sent_us, sent_ts; /* now_us, now_ts */
		};
		struct rte_mbuf *run_next;
	};
	struct rte_mbuf *run_tail;
	uint32_t seq;
	union {
		struct {
			uint16_t bytes;
			uint16_t offset; /* of the payload in the buffer */
		};
		uint32_t run_end;
	};
	uint8_t flags;
	uint8_t reserved[3];
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
	struct tcp_address source, destination;
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
	TCP_LINK_LOCAL = 1 << 15, /* our side is the link-local address */
	TCP_REORDERS = 1 << 16,   /* the path was seen to               */
	TCP_TIMER_RACK = 1 << 17, /* what tx_deadline is for: ...       */
	TCP_TIMER_TLP = 1 << 18,  /* ... neither: RTO or persist        */
	TCP_TLP_DUE = 1 << 19,
	TCP_UNDO_START = 1 << 23, /* the loss was in the first slow start */
	TCP_UNDO_SENT = 1 << 24,  /* something of it was sent again       */
	TCP_RACK_KNOWN = 1 << 22, /* rack and rack_rtt_us have a value */
	TCP_TLP_OUT = 1 << 20,    /* until tlp_end is acknowledged */
	TCP_TLP_AGAIN = 1 << 21,  /* the probe was no new data     */
	TCP_CALM = 1 << 25,       /* see tcp_calm.c */
};

enum tcp_list {
	TCP_IN_OUT = 1,
	TCP_IN_NEWS = 2,
	TCP_IN_WHEEL = 4,
	TCP_IN_TIME_WAIT = 8
};

/* When and up to where a segment was sent. */
struct tcp_rack_mark {
	uint32_t sent_us, end;
};

struct tcp_conn {
	/* every segment */
	uint32_t snd_una, snd_nxt, snd_wnd, snd_end;
	uint32_t rcv_nxt, rcv_adv, rcv_bytes, cwnd;
	uint32_t ts_recent, last_ack_sent;
	uint32_t flags;   /* enum tcp_conn_flag */
	uint16_t mss;     /* of what we send                           */
	uint16_t mss_max; /* the same before ICMP made it smaller      */
	uint16_t rcv_mss; /* largest payload that came, for delayed acks */
	uint8_t state, snd_shift, rcv_shift, lists;
	uint16_t mss_minute; /* when ICMP made it smaller */
	struct rte_mbuf *snd_head, *snd_tail, *snd_send;
	/* identity and input */
	struct rte_mbuf *rcv_head, *rcv_tail, *runs;
	struct tcp_address remote;
	uint16_t remote_port, local_port; /* with remote: see tcp_key() */
	uint32_t hash;
	uint8_t mac[PORT_MAC_BYTES]; /* of the next hop; read as a word */
	uint8_t run_count, news;
	uint32_t tag;
	/* clocks; deadlines are ticks, 0: none */
	uint32_t tx_deadline, ack_deadline, life_deadline;
	uint32_t srtt_us, rttvar_us;
	uint32_t wheel_tick, wheel_next, wheel_prev;
	/* With TCP_CALM: sums of what each of its headers has, in the order of
	 * memory; of IP without its length, of TCP with the addresses. */
	uint32_t ip_sum, tcp_sum;
	/* rarely */
	union {
		uint32_t ssthresh;
		uint32_t time_wait_next; /* TCP_IN_TIME_WAIT only */
	};
	union {
		uint32_t recover;
		uint32_t time_wait_prev;
	};
	uint32_t sacked, lost;
	uint32_t snd_wl1, snd_wnd_max;
	struct tcp_rack_mark rack; /* of the latest sent that was delivered */
	uint32_t rack_rtt_us;
	uint32_t tlp_end, undo_cwnd;
	uint32_t cubic_start; /* tick of the curve's beginning, 0: none */
	uint16_t undo_count;  /* sent again and not reported as duplicate */
	uint8_t rack_mult, rack_persist;
	uint32_t keepalive_ms, ooo_recent;
	struct tcp_sack dsack;
	uint8_t backoff, dupacks, probes, reason;
	uint8_t challenge_count, ack_segments;
	uint16_t challenge_second;
};
_Static_assert(sizeof(struct tcp_conn) <= 256, "control block of four lines");
_Static_assert(offsetof(struct tcp_conn, local_port) ==
		       offsetof(struct tcp_conn, remote) +
			       sizeof(struct tcp_address) + 2,
	       "the last word of the address and the ports are one load");

/* How little is left of the pool, see "Limits" in tcp.h. */
enum tcp_pool_level {
	TCP_POOL_GOOD,
	TCP_POOL_NO_OPEN,
	TCP_POOL_NO_WINDOW,
	TCP_POOL_NO_WRITE
};

/* A received frame behind its Ethernet header. */
struct ip_frame {
	struct rte_mbuf *mbuf; /* NULL once somebody keeps it */
	const uint8_t *mac;    /* the sender's */
	const uint8_t *ip;
	uint32_t bytes; /* from ip on, padding included */
	bool is_group;  /* sent to a group of stations  */
};

/* What a frame with data over IPv4 begins with, where everybody's is alike, and
 * which bits of that count: three pieces of 16 bytes, see tcp_fast.c. */
#define TCP_USUAL_PIECES 3u

struct tcp_usual {
	_Alignas(16) uint8_t want[TCP_USUAL_PIECES][16];
	uint8_t mask[TCP_USUAL_PIECES][16];
	/* What we send over IPv4 has, from our MAC to the fragment's place: all
	 * but its length. And the sum of the words of such an IP header that
	 * are always the same. */
	uint8_t head[16];
	uint32_t head_sum;
	uint32_t source; /* our address, in network order */
};

struct tcp_listener {
	struct tcp_address address; /* all zero: each of ours */
	uint16_t port;              /* 0: free */
	uint32_t tag;
};

struct tcp_neighbour {
	struct tcp_address address; /* 0: free */
	bool is_known;
	uint8_t mac[PORT_MAC_BYTES];
	uint64_t asked_ns, heard_ns;
};

struct tcp_core {
	struct tcp_config config;
	struct tcp_conn *conns;
	uint32_t *table; /* conn index + 1 */
	uint32_t table_mask;
	uint32_t free_head;
	/* Rings of those that the next flush visits, and of those with news;
	 * a block is at most once in each. */
	uint32_t *out, *news;
	uint32_t list_mask, out_head, out_tail, news_head, news_tail;
	uint32_t time_wait_head, time_wait_tail; /* oldest first */
	uint64_t now_ns;
	uint32_t now_us; /* with now_ts: see struct tcp_seg */
	uint32_t now_ts; /* ms from a start that the secret hides: RFC 7323 7.1
			  */
	uint32_t ack_tick; /* of a delayed ack that waits from now on */
	/* What a calm connection's header has behind the window, in network
	 * order: no checksum yet, the option's kind and length, now_ts. */
	uint32_t calm_options[3];
	struct tcp_address local4, local6, link6;
	uint32_t ether_bytes; /* of a header that we write */
	uint32_t pool_level;  /* enum tcp_pool_level */
	uint32_t output_left; /* mbufs that output may take until the next look
			       */
	uint32_t ts_offset;
	uint32_t rto_min_us;             /* no timeout is shorter */
	struct rte_mempool_cache *cache; /* of the pool; see tcp_hot.h */
	/* Of another core, which receives for us; NULL: none has been seen. */
	struct rte_mempool *pool_of_other;
	bool is_fast; /* tests want to see both ways of a segment */
	struct tcp_usual usual;
	uint64_t cookies_until_ns; /* cookies may come back until then */
	struct hash_key hash_key;
	uint32_t tick;
	uint32_t wheel[TCP_WHEEL_SLOTS];
	struct tcp_listener listeners[TCP_LISTENERS_MAX];
	/* A reserved segment that is not committed yet, and for whom. */
	struct rte_mbuf *spare;
	struct tcp_conn *spare_for;
	struct rte_mbuf *tx[TCP_TX_QUEUE];
	uint32_t tx_count;
	uint16_t port_next;
	/* Tokens of this second: what strangers can make us send. */
	uint64_t second_ns;
	uint32_t ask_tokens, icmp_tokens, reset_tokens;
	struct tcp_neighbour neighbours[TCP_NEIGHBOURS];
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

/* Something is about to happen that may not leave it calm. */
static inline void
tcp_stir(struct tcp_conn *conn)
{
	conn->flags &= ~(uint32_t)TCP_CALM;
}

static inline struct tcp_seg *
tcp_seg_of(struct rte_mbuf *mbuf)
{
	return rte_mbuf_to_priv(mbuf);
}

static inline const struct tcp_seg *
tcp_seg_of_const(const struct rte_mbuf *mbuf)
{
	return (const struct tcp_seg *)(const void *)(mbuf + 1);
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
struct tcp_conn *tcp_conn_find(struct tcp_core *core,
			       const struct tcp_address *remote,
			       const struct tcp_address *local,
			       uint16_t remote_port, uint16_t local_port);
struct tcp_conn *tcp_conn_of(struct tcp_core *core,
			     const struct tcp_packet *packet);
struct tcp_conn *tcp_conn_new(struct tcp_core *core,
			      const struct tcp_address *remote,
			      const struct tcp_address *local,
			      uint16_t remote_port, uint16_t local_port);
void tcp_conn_iss(struct tcp_conn *conn, uint32_t iss);
void tcp_conn_free(struct tcp_core *core, struct tcp_conn *conn);
void tcp_conn_end(struct tcp_core *core, struct tcp_conn *conn,
		  enum tcp_reason reason);
void tcp_conn_establish(struct tcp_core *core, struct tcp_conn *conn);
void tcp_conn_mss(struct tcp_core *core, struct tcp_conn *conn,
		  uint16_t offered);
void tcp_conn_mss_set(struct tcp_core *core, struct tcp_conn *conn,
		      uint32_t mtu);

/* tcp_timer.c */
void tcp_timer_arm(struct tcp_core *core, struct tcp_conn *conn);
void tcp_timer_unlink(struct tcp_core *core, struct tcp_conn *conn);
void tcp_timer_run(struct tcp_core *core);
void tcp_timer_look_at_pool(struct tcp_core *core);
void tcp_time_wait_enter(struct tcp_core *core, struct tcp_conn *conn);
void tcp_time_wait_list(struct tcp_core *core, struct tcp_conn *conn);
void tcp_time_wait_leave(struct tcp_core *core, struct tcp_conn *conn);

/* tcp_syn.c */
uint32_t tcp_syn_isn(const struct tcp_core *core,
		     const struct tcp_address *remote,
		     const struct tcp_address *local, uint16_t remote_port,
		     uint16_t local_port);
uint64_t tcp_syn_sip(const struct tcp_core *core, const uint32_t *words,
		     uint32_t count);
struct tcp_conn *tcp_syn_receive(struct tcp_core *core,
				 const struct tcp_packet *packet);
void tcp_syn_in(struct tcp_core *core, struct tcp_packet *packet);
struct tcp_listener *tcp_syn_listener(struct tcp_core *core,
				      const struct tcp_address *local,
				      uint16_t port);

/* tcp_cookie.c */
void tcp_cookie_send(struct tcp_core *core, const struct tcp_packet *packet);
struct tcp_conn *tcp_cookie_take(struct tcp_core *core,
				 const struct tcp_packet *packet);

/* tcp.c */
extern struct rte_mempool_cache tcp_no_cache;

/* tcp_calm.c */
bool tcp_calm_holds(const struct tcp_core *core, const struct tcp_conn *conn);
void tcp_calm_try(struct tcp_core *core, struct tcp_conn *conn);

/* tcp_fast.c */
void tcp_fast_prepare(struct tcp_core *core);
void tcp_input_burst(struct tcp_core *core, struct rte_mbuf *const *frames,
		     uint32_t count);

/* tcp_in.c, tcp_data.c */
void tcp_in(struct tcp_core *core, struct tcp_packet *packet);
void tcp_in_window(struct tcp_core *core, struct tcp_conn *conn, uint32_t seq,
		   uint32_t ack, uint32_t field);
void tcp_data_append(struct tcp_core *core, struct tcp_conn *conn,
		     struct rte_mbuf *mbuf);
void tcp_data_in(struct tcp_core *core, struct tcp_conn *conn,
		 struct tcp_packet *packet);
void tcp_data_drop(struct tcp_core *core, struct tcp_conn *conn);
uint32_t tcp_data_sacks(const struct tcp_conn *conn, struct tcp_sack *sacks,
			uint32_t max);

/* tcp_loss.c */
void tcp_loss_ack(struct tcp_core *core, struct tcp_conn *conn,
		  const struct tcp_packet *packet);
void tcp_loss_timeout(struct tcp_core *core, struct tcp_conn *conn);
void tcp_loss_too_big(struct tcp_core *core, struct tcp_conn *conn);
uint32_t tcp_loss_pipe(const struct tcp_conn *conn);
void tcp_loss_drop(struct tcp_conn *conn);
void tcp_loss_rtt(struct tcp_conn *conn, uint32_t rtt_us);
uint32_t tcp_loss_rto_us(const struct tcp_core *core,
			 const struct tcp_conn *conn);
void tcp_loss_mark(struct tcp_conn *conn, struct tcp_seg *seg);
void tcp_loss_enter(struct tcp_core *core, struct tcp_conn *conn);

/* tcp_cubic.c */
void tcp_cubic_grow(struct tcp_core *core, struct tcp_conn *conn,
		    uint32_t acked);
void tcp_cubic_loss(struct tcp_conn *conn);
void tcp_cubic_undo(struct tcp_conn *conn);

/* tcp_rack.c */
void tcp_rack_delivered(struct tcp_core *core, struct tcp_conn *conn,
			const struct tcp_seg *seg,
			const struct tcp_packet *packet,
			const struct tcp_rack_mark *latest);
void tcp_rack_look(struct tcp_core *core, struct tcp_conn *conn);
void tcp_rack_duplicate(struct tcp_core *core, struct tcp_conn *conn,
			const struct tcp_sack *sack);
void tcp_rack_recovered(struct tcp_core *core, struct tcp_conn *conn);
void tcp_rack_probe_acked(struct tcp_core *core, struct tcp_conn *conn,
			  uint32_t ack);

/* tcp_out.c */
void tcp_out_arm_rare(struct tcp_core *core, struct tcp_conn *conn);
uint32_t tcp_out_window_rare(const struct tcp_core *core,
			     const struct tcp_conn *conn, uint32_t held);
void tcp_out_reset(struct tcp_core *core, struct tcp_conn *conn);
bool tcp_out_head(struct tcp_core *core, struct tcp_conn *conn,
		  struct rte_mbuf *mbuf, uint32_t seq, uint32_t flags);
void tcp_out_refuse(struct tcp_core *core, const struct tcp_packet *packet);
void tcp_out_answer(struct tcp_core *core, const struct tcp_packet *packet,
		    uint32_t seq, uint32_t ack, uint32_t flags, uint32_t window,
		    const uint8_t *options, uint32_t option_bytes);

/* tcp_train.c: sends up to `max` of the unsent segments as one frame that the
 * port cuts. Returns how many; 0: they go one by one. */
uint32_t tcp_train_send(struct tcp_core *core, struct tcp_conn *conn,
			uint32_t max);

/* ip_in.c, ip6_in.c */
void ip_in_frame(struct tcp_core *core, struct rte_mbuf *mbuf);
void ip_in_tcp(struct tcp_core *core, struct ip_frame *frame,
	       const struct tcp_address *source,
	       const struct tcp_address *destination, const uint8_t *tcp,
	       uint32_t bytes);
void ip6_in(struct tcp_core *core, struct ip_frame *frame);

/* ip_out.c: checksums, headers, frames into the tx queue */
uint16_t ip_checksum(const struct tcp_address *source,
		     const struct tcp_address *destination, uint32_t protocol,
		     const void *data, uint32_t bytes);
uint32_t ip_out_bytes(const struct tcp_core *core,
		      const struct tcp_address *destination);
void ip_out_ether(const struct tcp_core *core, uint8_t *at, const uint8_t *mac,
		  uint16_t type);
void ip_out_headers(const struct tcp_core *core, uint8_t *at,
		    const uint8_t *mac, const struct tcp_address *source,
		    const struct tcp_address *destination, uint8_t protocol,
		    uint32_t payload_bytes);
bool ip_out_push_full(struct tcp_core *core, struct rte_mbuf *mbuf);
void ip_out_flush(struct tcp_core *core);

/* neighbour.c, arp.c, nd.c */
void neighbour_learn(struct tcp_core *core, const struct tcp_address *address,
		     const uint8_t *mac);
bool neighbour_resolve(struct tcp_core *core,
		       const struct tcp_address *destination, uint8_t *mac);
void arp_in(struct tcp_core *core, const struct ip_frame *frame);
void arp_ask(struct tcp_core *core, uint32_t address);
void nd_in(struct tcp_core *core, const struct ip_frame *frame,
	   const uint8_t *icmp, uint32_t bytes);
void nd_ask(struct tcp_core *core, const struct tcp_address *address);
bool nd_is_group_of(const struct tcp_address *group,
		    const struct tcp_address *address);

/* icmp.c, icmp6.c */
void icmp_in(struct tcp_core *core, const struct ip_frame *frame,
	     const uint8_t *icmp, uint32_t bytes);
void icmp_echo(struct tcp_core *core, const struct ip_frame *frame,
	       const struct tcp_address *source,
	       const struct tcp_address *destination, const uint8_t *icmp,
	       uint32_t bytes);
void icmp_error(struct tcp_core *core, const struct tcp_address *local,
		const struct tcp_address *remote, const uint8_t *tcp,
		uint32_t mtu);
void icmp6_in(struct tcp_core *core, const struct ip_frame *frame,
	      const struct tcp_address *source,
	      const struct tcp_address *destination, const uint8_t *icmp,
	      uint32_t bytes);

static inline uint32_t
tcp_ip_bytes(const struct tcp_address *address)
{
	return tcp_address_is_ipv4(address) ? TCP_IP4_BYTES : TCP_IP6_BYTES;
}

static inline const struct tcp_address *
tcp_local(const struct tcp_core *core, const struct tcp_conn *conn)
{
	if (tcp_address_is_ipv4(&conn->remote))
		return &core->local4;
	return tcp_has(conn, TCP_LINK_LOCAL) ? &core->link6 : &core->local6;
}

static inline bool
tcp_is_link_local(const struct tcp_address *address)
{
	return address->word[0] >> 22 == 0xfe80u >> 6;
}

static inline bool
tcp_is_none(const struct tcp_address *address)
{
	return (address->word[0] | address->word[1] | address->word[2] |
		address->word[3]) == 0;
}

/* Takes one of the tokens of this second, refilling them when a new one has
 * begun; false: none is left. */
static inline bool
tcp_token(struct tcp_core *core, uint32_t *tokens)
{
	if (core->now_ns - core->second_ns >= NS_PER_SECOND) {
		core->second_ns = core->now_ns;
		core->ask_tokens = 20;
		core->icmp_tokens = 100;
		core->reset_tokens = 10000;
	}
	if (*tokens == 0)
		return false;
	(*tokens)--;
	return true;
}

/* Functions of these that every segment needs. */
#include "dataplane/tcp_hot.h"

#endif
