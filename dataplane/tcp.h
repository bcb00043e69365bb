/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_TCP_H
#define FALCONER_DATAPLANE_TCP_H

/*
 * tcp - our own TCP over IPv4 and IPv6 for one core and one port.
 *
 * An instance shares nothing: no globals, no clock (time is a parameter), no
 * randomness beside its secret. Any number of instances live in one process,
 * which is how the tests run two of them over a simulated wire.
 *
 * A loop iteration:
 *
 *   tcp_poll(core, now_ns)            frames in, timers
 *   while (tcp_next_news(...))        what happened, one entry a connection
 *           tcp_peek(), tcp_consume(), tcp_write(), tcp_close()
 *   tcp_flush(core)                   data, then acks that found no data
 *
 * Context    one thread per core object.
 * Ownership  peeked slices are borrowed until the next consume of the
 *            connection or the next tcp_poll(). A connection belongs to its
 *            user from TCP_NEWS_OPENED (own connects: from tcp_connect()) until
 *            tcp_close(), tcp_abort() or tcp_release() after TCP_NEWS_FAILED.
 * Limits     conn_limit blocks of at most 256 bytes, half-open and TIME-WAIT
 *            ones included: a SYN that finds none recycles the oldest TIME-WAIT
 *            or is dropped. Above half_open_limit SYNs are answered with
 *            cookies and take no block. Below a quarter of free mbufs no
 *            connection is made, below an eighth windows do not open and
 *            nothing is kept out of order, below a sixteenth tcp_reserve()
 *            gives nothing, so that acks and retransmissions still find one.
 * Errors     negative enum fal_err. Every dropped packet has a counter.
 * Cost       no allocation but mbufs after tcp_core_create().
 */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/be.h"
#include "base/fal.h"
#include "drivers/port.h"

/* Private bytes each mbuf of the pool must have: a cache line. */
#define TCP_POOL_PRIVATE_BYTES 64u

#define TCP_LISTENERS_MAX 16u

struct tcp_core;
struct tcp_conn;

/* An IP address, words in host byte order; IPv4 is ::ffff:a.b.c.d (RFC 4291
 * 2.5.5.2). All zero: none. Equal addresses are equal bytes. */
struct tcp_address {
	uint32_t word[4];
};

/* Zero means the default where one is named; IPv4 in host byte order. */
struct tcp_config {
	struct port *port;        /* lent */
	struct rte_mempool *pool; /* lent; one segment frames */
	uint32_t address;         /* 0: no IPv4 */
	uint32_t gateway;         /* 0: none */
	uint8_t prefix_bits;
	uint8_t prefix6_bits;        /* default 64 */
	uint16_t vlan;               /* 1..4094, 0: untagged */
	struct tcp_address address6; /* 0: no IPv6 */
	struct tcp_address gateway6; /* 0: none */
	uint8_t secret[16];          /* random bytes: ISN, ports, table */
	uint32_t conn_limit;         /* 1..2^20 */
	uint32_t half_open_limit; /* default 4096, at most half of conn_limit */
	uint32_t window_bytes;    /* default 65536; up to 8 MiB */
	uint32_t rto_min_ms;      /* default 60 */
	uint32_t time_wait_ms;    /* default 2000 */
	/* Local ports of own connects; instances that share an address have
	 * ranges of their own, so that a port tells whose an answer is. */
	uint16_t local_port_first; /* default 32768 */
	uint16_t local_port_count; /* default 28232: up to 60999 */
};

enum tcp_news {
	TCP_NEWS_OPENED = 1, /* the handshake is over                  */
	TCP_NEWS_DATA = 2,   /* bytes arrived                          */
	TCP_NEWS_ROOM = 4,   /* output was acknowledged                */
	TCP_NEWS_FIN = 8,    /* the peer will send no more             */
	TCP_NEWS_FAILED = 16 /* dead, tcp_reason(); call tcp_release() */
};

enum tcp_reason {
	TCP_REASON_NONE = 0,
	TCP_REASON_RESET,
	TCP_REASON_REFUSED,
	TCP_REASON_TIMED_OUT,
	TCP_REASON_UNREACHABLE,
};

/* X(name, what it counts). A received frame adds one to exactly one of
 * rx_delivered, rx_answered and the rx_drop_ counters. */
#define TCP_COUNTERS(X)                                                \
	X(rx_frames, "frames received")                                \
	X(rx_delivered, "segments given to a connection")              \
	X(rx_answered, "ARP, ICMP, and segments answered without one") \
	X(rx_drop_short, "shorter than its headers")                   \
	X(rx_drop_src_mac, "from a group's MAC")                       \
	X(rx_drop_dst_mac, "not for our MAC")                          \
	X(rx_drop_vlan, "of another VLAN")                             \
	X(rx_drop_ethertype, "neither ARP nor IP")                     \
	X(rx_drop_arp, "malformed ARP or not for us")                  \
	X(rx_drop_nd, "malformed or unwanted neighbour discovery")     \
	X(rx_drop_ip_header, "IP version, header or length")           \
	X(rx_drop_ip_checksum, "IPv4 header checksum")                 \
	X(rx_drop_ip_source, "impossible IP source")                   \
	X(rx_drop_ip_destination, "not for our address")               \
	X(rx_drop_fragment, "IP fragment")                             \
	X(rx_drop_source_route, "source route, of either version")     \
	X(rx_drop_extension, "IPv6 extension headers we refuse")       \
	X(rx_drop_protocol, "neither TCP nor ICMP")                    \
	X(rx_drop_icmp, "ICMP malformed, unwanted or over its rate")   \
	X(rx_drop_tcp_header, "TCP header length, options or ports")   \
	X(rx_drop_tcp_checksum, "TCP checksum")                        \
	X(rx_drop_no_listener, "RST to nobody")                        \
	X(rx_drop_limit, "SYN or RST over a limit")                    \
	X(rx_drop_cookie, "ack of no cookie while cookies are in use") \
	X(expected, "of those delivered, taken by header prediction")  \
	X(tx_frames, "frames given to the port")                       \
	X(tx_offloaded, "frames whose checksum the port makes")        \
	X(tx_trains, "frames that the port cuts into segments")        \
	X(tx_full, "frames dropped: the port takes no more")           \
	X(tx_no_mbuf, "frames not built: the pool is empty")           \
	X(paws, "segments with an old timestamp")                      \
	X(outside_window, "segments outside the window")               \
	X(ack_unacceptable, "acks outside what RFC 5961 permits")      \
	X(challenge_acks, "challenge acks sent")                       \
	X(out_of_order, "segments kept out of order")                  \
	X(out_of_order_drops, "out-of-order segments over the limit")  \
	X(retransmits, "segments sent again")                          \
	X(recoveries, "fast recoveries entered")                       \
	X(tail_probes, "tails sent again before the timeout")          \
	X(undone, "recoveries that were for nothing")                  \
	X(rto_timeouts, "retransmission timeouts")                     \
	X(probes, "zero window and keepalive probes")                  \
	X(resets_sent, "RST segments sent")                            \
	X(resets_received, "connections ended by RST")                 \
	X(cookies_sent, "SYN answered with a cookie")                  \
	X(cookies_accepted, "connections opened by a cookie")          \
	X(path_mtu, "segments made smaller for ICMP's sake")           \
	X(accepts, "connections opened by the peer")                   \
	X(connects, "connections opened by us")                        \
	X(timed_out, "connections given up")                           \
	X(conns, "gauge: blocks in use")                               \
	X(half_open, "gauge: SYN_RECEIVED from LISTEN")                \
	X(time_waits, "gauge: TIME-WAIT without a user")               \
	X(kept, "gauge: segments kept out of order")

struct tcp_counters {
#define TCP_COUNTER(name, what) uint64_t name;
	TCP_COUNTERS(TCP_COUNTER)
#undef TCP_COUNTER
};

struct tcp_slice {
	const uint8_t *data;
	uint32_t bytes;
};

/* An IPv4 address given as a number (0x7f000001). */
static inline struct tcp_address
tcp_address_ipv4(uint32_t ip)
{
	return (struct tcp_address){{0, 0, 0xffff, ip}};
}

/* 16 bytes in network order. */
static inline struct tcp_address
tcp_address_ipv6(const uint8_t *bytes)
{
	return (struct tcp_address){{be_load32(bytes), be_load32(bytes + 4),
				     be_load32(bytes + 8),
				     be_load32(bytes + 12)}};
}

static inline bool
tcp_address_is_ipv4(const struct tcp_address *address)
{
	uint64_t high;

	memcpy(&high, address->word, sizeof(high));
	return high == 0 && address->word[2] == 0xffff;
}

static inline bool
tcp_address_equal(const struct tcp_address *a, const struct tcp_address *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/*
 * Makes an instance.
 *
 * Returns 0, FAL_EINVAL (limits, pool without the private bytes) or FAL_ENOMEM.
 */
FAL_MUST_CHECK int tcp_core_create(const struct tcp_config *config,
				   uint64_t now_ns, struct tcp_core **core);

/* Frees the instance and every mbuf it holds; sends nothing. */
void tcp_core_destroy(struct tcp_core *core);

/* Receives at most 8 bursts and runs the timers that are due. */
void tcp_poll(struct tcp_core *core, uint64_t now_ns);

/* Takes one frame, given, as if the port had received it. */
void tcp_input(struct tcp_core *core, struct rte_mbuf *frame, uint64_t now_ns);

/* Sends what the connections have to say, at the time of the last poll. */
void tcp_flush(struct tcp_core *core);

/* Gives the next connection with news; bits of enum tcp_news in *news. Returns
 * NULL when there is none. */
struct tcp_conn *tcp_next_news(struct tcp_core *core, uint32_t *news);

/* When tcp_poll() is needed next if no frame comes; UINT64_MAX: never. Walks
 * all connections: for simulators. */
uint64_t tcp_next_timer_ns(const struct tcp_core *core);

/* How long a core that has nothing to do may sleep: until when tcp_poll() is
 * needed if no frame comes, to the tick of the timer wheel and at most as far
 * as it reaches (about 4 s); 0: something waits to be sent or told. */
uint64_t tcp_sleep_until_ns(const struct tcp_core *core);

/* Starts accepting on a port of all addresses. Returns 0, FAL_EBUSY (taken) or
 * FAL_ELIMIT. */
FAL_MUST_CHECK int tcp_listen(struct tcp_core *core, uint16_t port,
			      uint32_t tag);

/* The same on one address of ours; all zero: on all. Two addresses may have a
 * listener each on one port. */
FAL_MUST_CHECK int tcp_listen_on(struct tcp_core *core,
				 const struct tcp_address *address,
				 uint16_t port, uint32_t tag);

/* Ends the listener of this port and tag; connections live on. Returns whether
 * it was there. */
bool tcp_unlisten(struct tcp_core *core, uint16_t port, uint32_t tag);

/*
 * Starts a connection; OPENED or FAILED follows.
 *
 * Returns 0, FAL_EINVAL (no such destination) or FAL_ELIMIT (no block or no
 * free port).
 */
FAL_MUST_CHECK int tcp_connect(struct tcp_core *core,
			       const struct tcp_address *address, uint16_t port,
			       uint32_t tag, struct tcp_conn **conn);

/* Gives up to `max` slices of the input, oldest first. Returns how many. */
uint32_t tcp_peek(const struct tcp_conn *conn, struct tcp_slice *slices,
		  uint32_t max);

/* Bytes of input that are buffered, lifted ones too. */
uint32_t tcp_buffered(const struct tcp_conn *conn);

/* Drops `bytes` of the input, at most what is buffered and not lifted. */
void tcp_consume(struct tcp_core *core, struct tcp_conn *conn, uint32_t bytes);

/* Frees the mbufs of the first `bytes` of the input that are not lifted yet:
 * the user has a copy. To the peer they are unread until tcp_settle(). */
void tcp_lift(struct tcp_core *core, struct tcp_conn *conn, uint32_t bytes);

/* Drops `bytes` that were lifted. With 0 it only tells the peer of a window
 * that could not open before, for want of mbufs. */
void tcp_settle(struct tcp_core *core, struct tcp_conn *conn, uint32_t bytes);

/* Whether so few mbufs are left that windows do not open. */
bool tcp_is_short(const struct tcp_core *core);

/* Queues a copy. Returns how many bytes were taken: fewer when the pool is
 * empty, 0 when the connection cannot send. */
uint32_t tcp_write(struct tcp_core *core, struct tcp_conn *conn,
		   const void *data, uint32_t bytes);

/* Gives contiguous space of the output, at least `bytes` (1..tcp_mss()), in the
 * mbuf that will be sent; valid until the next call for the connection. NULL:
 * no mbuf, or it cannot send. */
void *tcp_reserve(struct tcp_core *core, struct tcp_conn *conn, uint32_t bytes,
		  uint32_t *got);

/* Queues the first `bytes` of the reserved space. */
void tcp_commit(struct tcp_core *core, struct tcp_conn *conn, uint32_t bytes);

/* Payload bytes of a full segment. */
uint32_t tcp_mss(const struct tcp_conn *conn);

/* Bytes queued and not yet acknowledged. */
uint32_t tcp_unacked(const struct tcp_conn *conn);

/* Probes the peer after idle_ms without a segment; 0: never. */
void tcp_keepalive(struct tcp_core *core, struct tcp_conn *conn,
		   uint32_t idle_ms);

/* Queues FIN behind the output and goes on receiving (half-close). */
void tcp_shutdown(struct tcp_core *core, struct tcp_conn *conn);

/* As tcp_shutdown(), and input is thrown away; the connection is no longer the
 * user's and ends with RST if it has not ended after linger_ms. */
void tcp_close(struct tcp_core *core, struct tcp_conn *conn,
	       uint32_t linger_ms);

/* Sends RST and forgets the connection. */
void tcp_abort(struct tcp_core *core, struct tcp_conn *conn);

/* Gives back a connection that reported TCP_NEWS_FAILED. */
void tcp_release(struct tcp_core *core, struct tcp_conn *conn);

/* Of the listener or of tcp_connect(). */
uint32_t tcp_tag(const struct tcp_conn *conn);

/* Why it failed. */
enum tcp_reason tcp_reason(const struct tcp_conn *conn);

/* Position in the array of blocks, 0..conn_limit-1, for arrays beside it. */
uint32_t tcp_index(const struct tcp_core *core, const struct tcp_conn *conn);

/* The block at such a position. */
struct tcp_conn *tcp_at(struct tcp_core *core, uint32_t index);

/* The other side. */
void tcp_peer(const struct tcp_conn *conn, struct tcp_address *address,
	      uint16_t *port);

/* All counters; read by the owning thread. */
const struct tcp_counters *tcp_counters(const struct tcp_core *core);

#endif
