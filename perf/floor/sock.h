/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_PERF_FLOOR_SOCK_H
#define FALCONER_PERF_FLOOR_SOCK_H

/* sock - blocking TCP sockets on loopback with TCP_NODELAY. Context: any
 * thread. Errors end the program. */

#include <stdbool.h>
#include <stdint.h>

/* A listener on a port that the system picks. */
int sock_listen(uint16_t *port);
int sock_accept(int listen_fd);
void sock_no_delay(int fd);
int sock_connect(uint16_t port);
/* Exactly so many bytes; false at the end of the stream. */
bool sock_read(int fd, uint8_t *to, uint32_t bytes);
/* Few bytes into an empty buffer: all of them. */
void sock_send(int fd, const uint8_t *from, uint32_t bytes);

#endif
