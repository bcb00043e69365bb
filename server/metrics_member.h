/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_METRICS_MEMBER_H
#define FALCONER_SERVER_METRICS_MEMBER_H

/* metrics_member - what metrics_visit() tells of a member of an ensemble.
 * Control thread; nothing for a standalone server. */

#include "server/metrics.h"

void metrics_visit_member(const struct server *, const struct metrics_sink *);

/* "leading - broadcast" and the like, as mntr shows it; NULL: standalone. */
const char *metrics_peer_state(const struct server *);

#endif
