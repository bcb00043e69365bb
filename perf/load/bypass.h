/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_PERF_LOAD_BYPASS_H
#define FALCONER_PERF_LOAD_BYPASS_H

/*
 * bypass - connections over our own TCP on a device of DPDK (--port) instead of
 * the kernel's sockets: what a server on vhost-user or a card is measured with.
 * No huge pages and no root are needed.
 *
 * Context    one thread; there is one port.
 * Ownership  the device lives until bypass_close().
 * Errors     end the program: whoever measures has no use for half a port.
 */

#include <stddef.h>
#include <stdint.h>

#include "perf/load/options.h"

/* A core of DPDK with our TCP, as options->port and options->port_address say:
 * a device as in falconer.dpdk.port, and "ADDRESS/BITS". */
void bypass_open(const struct load_options *);
void bypass_close(void);

/* Connects and waits until it is done; the stream is that index from now on. */
void bypass_connect(const struct load_options *, uint32_t index);
/* Queues bytes; they leave with the next bypass_wait(). */
void bypass_send(uint32_t index, const void *data, size_t bytes);
/* Copies what came in, at most `bytes`; 0: nothing is there. */
size_t bypass_receive(uint32_t index, void *to, size_t bytes);
void bypass_disconnect(uint32_t index);
/* Sends what is queued and gives the connections that have input, up to `max`
 * of them; sleeps up to timeout_ns when there are none. */
uint32_t bypass_wait(uint32_t *index, uint32_t max, uint64_t timeout_ns);

#endif
