/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_METRICS_QUOTA_H
#define FALCONER_SERVER_METRICS_QUOTA_H

/* metrics_quota - what metrics_visit() tells of quotas, by top node: limits,
 * usage, refusals. Control thread. */

#include "server/metrics.h"

void metrics_visit_quotas(const struct server *, const struct metrics_sink *);

#endif
