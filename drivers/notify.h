/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_NOTIFY_H
#define FALCONER_DRIVERS_NOTIFY_H

/*
 * notify - tells systemd that the server serves, for a unit of Type=notify:
 * what is ordered behind it then starts when clients can connect and not while
 * a large snapshot is loaded.
 *
 * The protocol (sd_notify(3)) is one datagram to the socket in NOTIFY_SOCKET,
 * which is why libsystemd is not linked for it.
 *
 * Context    one thread; never blocks.
 */

#include "base/fal.h"

/*
 * Sends a state such as "READY=1".
 *
 * Returns 0, also when nobody asked; FAL_EINVAL for a NOTIFY_SOCKET that is no
 * path and no abstract name; FAL_EIO when it could not be sent.
 */
FAL_MUST_CHECK int notify_send(const char *state);

#endif
