/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_MEMORY_H
#define FALCONER_SERVER_MEMORY_H

/*
 * memory - how much there is for this process: the machine's, or less where a
 * control group, such as a container or a unit with MemoryMax=, allows less.
 * Who goes by the machine's alone is killed in a container before any limit of
 * its own is met.
 *
 * Context    one thread, at start.
 */

#include <stdint.h>

/* In bytes. root: "" or, for tests, a folder with sys/ and proc/ in it. */
uint64_t memory_bytes(const char *root);

#endif
