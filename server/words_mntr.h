/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_WORDS_MNTR_H
#define FALCONER_SERVER_WORDS_MNTR_H

/* words_mntr - the lines of mntr, and helpers that its neighbours share.
 * Control thread. */

#include <stdio.h>

#include "server/server.h"

/* Writes all metrics as zk_<name>\t<value>\n. */
void words_put_mntr(FILE *out, const struct server *);
#define WORDS_AVERAGE_BYTES 64

/* "standalone"; for mntr, srvr and the admin server. */
const char *words_server_state(const struct server *);
void words_average_text(char text[WORDS_AVERAGE_BYTES], double average);
/* An average as ZooKeeper prints it: "0.0", "1.1918". */
void words_put_average(FILE *out, uint64_t sum, uint64_t count);
/* Nodes as ZooKeeper counts them: the root is there under "" and under "/". */
uint64_t words_node_count(const struct server *);
/* Bytes of the files in a directory, not below it. */
uint64_t words_dir_bytes(const struct server *, const char *dir);

#endif
