/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_CORE_H
#define FALCONER_SERVER_CORE_H

/* core - starting and stopping the thread of a poll core. Main thread. */

#include "server/server.h"

/* Starts the thread and waits until its roles poll. Returns 0 or why not. */
FAL_MUST_CHECK int core_start(struct server_core *);
/* Answers what is under way, then ends the thread; harmless if not started. */
void core_stop(struct server_core *);
/* Do watch tables remember paths (for wchc, wchp)? */
bool core_keeps_watch_paths(const struct config *);

#endif
