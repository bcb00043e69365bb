/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_NET_H
#define FALCONER_SERVER_NET_H

/*
 * net - which network drivers the poll cores use: sockets of the kernel, or our
 * own TCP on a port of DPDK.
 *
 * Context    the control thread, but for net_attach() and net_detach(), which
 *            each poll core calls for itself.
 */

#include <stdio.h>

#include "server/server.h"

/* Prepares what all cores share: nothing with the kernel's sockets; memory for
 * packets and the device with falconer.dataplane=dpdk. Before any core. */
FAL_MUST_CHECK int net_start(struct server *server, struct server_error *error);

/* Frees it; after all stream cores. Harmless when nothing was started. */
void net_stop(struct server *server);

/* Makes the stream core of a poll core, core->streams. */
FAL_MUST_CHECK int net_make_streams(struct server *server,
				    struct server_core *core,
				    struct server_error *error);

/* The calling thread is a poll core from now on, or no longer. */
FAL_MUST_CHECK int net_attach(const struct server *server);
void net_detach(const struct server *server);

/* Looks after the device, a few times a second. */
void net_watch(const struct server *server);

/* How clients reach the server, a line of text. False: over the kernel. */
bool net_address_text(const struct server *server, char *out, size_t room);

/* Counters of device and TCP, by the names that metrics.h shows them under;
 * names are valid for the call. */
typedef void (*net_counter_fn)(void *arg, const char *name, bool is_gauge,
			       uint64_t value);
void net_visit(const struct server *server, net_counter_fn, void *arg);

#endif
