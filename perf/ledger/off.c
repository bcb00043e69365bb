/* SPDX-License-Identifier: Apache-2.0 */
/* off - the server that perf/run compares with: the same objects, but nobody
 * notes when a transaction passed its stations. */
#include "server/server.h"

const bool server_has_ledger = false;
