/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_STREAM_RIG_TCP_H
#define FALCONER_TESTS_STREAM_RIG_TCP_H

/*
 * stream_rig_tcp - cores of our own TCP for stream_rig.h, each on a tap device
 * of its own: 10.77.N.2 behind the netdev ratN, whose kernel end is 10.77.N.1.
 *
 * Nothing happens in such a core unless somebody polls it. A client of the test
 * that waits for the other side calls rig_tcp_pump(), which lets TCP receive
 * and send without taking its news, so that no event is lost.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "drivers/lcore.h"
#include "drivers/stream.h"

#define RIG_TCP_DEVICES 2u

/* Of the clock of the rig that polled last. */
extern uint64_t rig_tcp_skew_ns;

/* Makes the namespace, the environment and the devices; false, with the reason,
 * where that is not allowed. Once. */
bool rig_tcp_start(struct stream_error *error);

/* Makes a core on a device that has none. */
int rig_tcp_core_create(const struct stream_config *config,
			struct stream_core **core);

/* The core is about to be destroyed. */
void rig_tcp_forget(const struct stream_core *core);

/* A core listens on a port. */
void rig_tcp_note_port(const struct stream_core *core, uint16_t port);

/* The address, in host order, of the core that listens on a port. */
uint32_t rig_tcp_address(uint16_t port);

/* The kernel's address on the device of a core. */
uint32_t rig_tcp_kernel_address(const struct stream_core *core);

void rig_tcp_pump(void);

/* All mbufs of a core's device that are free, taken away; given back by the
 * other. */
void rig_tcp_take_mbufs(const struct stream_core *core);
void rig_tcp_give_mbufs(const struct stream_core *core);

/* Starts a device that two cores share, with one queue or two; and one of its
 * cores, whose thread calls rig_tcp_attach(). */
void rig_tcp_shared_start(uint32_t queues);
int rig_tcp_shared_create(const struct stream_config *config, uint32_t index,
			  struct lcore *lcore, struct stream_core **core);
void rig_tcp_shared_stop(void);
/* Frames that were handed from one core to the other. */
uint64_t rig_tcp_shared_handed(void);
void rig_tcp_attach(void);
void rig_tcp_detach(void);

/* connect() and send() of a blocking socket that pump meanwhile; send returns
 * when all is acknowledged or nothing moves any more. */
int rig_tcp_connect(int fd, const struct sockaddr_in *address);
void rig_tcp_send(int fd, const void *data, size_t bytes);

#endif
