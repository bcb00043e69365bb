/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_STREAM_TCP_H
#define FALCONER_DATAPLANE_STREAM_TCP_H

/*
 * stream_tcp - drivers/stream.h over our own TCP (dataplane/tcp.h).
 *
 * The third implementation beside epoll and io_uring: connection code cannot
 * tell them apart. It stands above drivers/ because the TCP does; server/ makes
 * one per poll core, on that core's part of a port.
 *
 * Input stays in the mbufs it came in and is parsed there; a frame that lies
 * across two of them is gathered when it is asked for in one piece. Output is
 * written into the mbuf that leaves as long as a reply fits a segment and the
 * connection has less than STREAM_TCP_SEND_BYTES on its way; what is more waits
 * in a chain of buffers, so that a client that does not read costs ordinary
 * memory and no mbufs.
 *
 * Context    as drivers/stream.h says.
 * Ownership  the port and the pool of the tcp_config are lent for the life of
 *            the core.
 * Limits     stream_limit connections; TCP has a quarter more blocks and 4096,
 *            for handshakes and TIME-WAIT.
 * Errors     as drivers/stream.h; listen: FAL_EINVAL for an address that is not
 *            this port's.
 */

#include "dataplane/tcp.h"
#include "drivers/stream.h"

/* Output a connection may have inside TCP, unacknowledged: half of it keeps a
 * 1 Gbit/s path of 1 ms busy. */
#define STREAM_TCP_SEND_BYTES (256u << 10)

/*
 * Makes a core.
 *
 * tcp     port, pool, addresses and secret; conn_limit 0: as Limits says
 * now_ns  of the clock that stream_poll() will be given
 *
 * Returns 0, FAL_EINVAL or FAL_ENOMEM, as the other implementations.
 */
FAL_MUST_CHECK int stream_tcp_create(const struct stream_config *config,
				     const struct tcp_config *tcp,
				     uint64_t now_ns,
				     struct stream_core **core);

/* The TCP below, for its counters and for tests that move time. */
struct tcp_core *stream_tcp_of(struct stream_core *core);

/* The counters of the TCP below. Any thread: each is read whole. */
void stream_tcp_counters(struct stream_core *core,
			 struct tcp_counters *counters);

#endif
