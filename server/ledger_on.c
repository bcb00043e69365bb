/* SPDX-License-Identifier: Apache-2.0 */
/* ledger_on - a server keeps the ledger. A file of its own, so that
 * perf/ledger/off.c can stand in: what the ledger costs is measured. */
#include "server/server.h"

const bool server_has_ledger = true;
