/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_PACKET_KERNEL_H
#define FALCONER_TESTS_PACKET_KERNEL_H

/*
 * kernel - the Linux TCP as one end of a link: a network namespace whose only
 * interface is a tap that we hold, and threads in it that talk over sockets.
 *
 * What is said on a connection (both kinds of ends do it): the client sends a
 * struct talk, then `pings` times 64 bytes which the server returns, then
 * `up` bytes while the server sends `down` bytes; each side closes its
 * direction when it has sent all, and reads to the end of the other's.
 *
 * Context    threads of one process; a namespace ends with its descriptors.
 */

#include <stdbool.h>
#include <stdint.h>

#define TALK_PING_BYTES 64u
#define TALK_PATTERN    65521u /* bytes until it repeats */

struct talk {
	uint32_t pings, up, down, conns; /* conns: for the starter only */
};

/* TALK_PATTERN bytes twice: byte p of a direction is pattern[p % ...]. */
const uint8_t *talk_pattern(void);

struct kernel {
	int tap, namespace;
	uint8_t host;
};

/* Options that are switched off, as sysctls of a namespace. */
enum kernel_without {
	KERNEL_WITHOUT_SACK = 1,
	KERNEL_WITHOUT_TIMESTAMPS = 2,
	KERNEL_WITHOUT_SCALING = 4
};

/*
 * Makes a namespace with addresses 10.77.0.host/24 and fd77::host/64.
 *
 * Returns NULL, or why it cannot.
 */
const char *kernel_create(struct kernel *kernel, uint8_t host, uint32_t mtu,
			  uint32_t without);

void kernel_destroy(struct kernel *kernel);

struct kernel_side;

/* Starts threads that accept `talk->conns` connections on port 7000, or open
 * them to the other host, with a congestion control of the kernel's. */
struct kernel_side *kernel_serve(const struct kernel *kernel, bool is_ipv6,
				 const struct talk *talk, const char *cc);
struct kernel_side *kernel_call(const struct kernel *kernel, uint8_t host,
				bool is_ipv6, const struct talk *talk,
				const char *cc);

/* Whether all its threads have ended, and how many of their connections were
 * not whole. */
bool kernel_is_done(const struct kernel_side *side, uint32_t *failures);

/* Joins the threads. */
void kernel_end(struct kernel_side *side);

#endif
