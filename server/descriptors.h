/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_DESCRIPTORS_H
#define FALCONER_SERVER_DESCRIPTORS_H

/*
 * descriptors - as many file descriptors as the machine allows, and room for
 * them in the kernel's table before they are needed.
 *
 * The soft limit is often 1024, which is fewer than one server's clients; a
 * Java machine raises it by itself, so operators do not know it. The table
 * begins small and doubles while connections are accepted; in a process of
 * several threads each doubling waits for all processors (synchronize_rcu() in
 * the kernel's expand_fdtable()): 9 and 17 ms were measured at the 256th and
 * 512th connection, in which the core answered nobody.
 *
 * Context    the main thread, before any other is started.
 * Errors     none: a smaller limit is returned, a table that does not grow now
 *            grows later.
 */

#include <stdint.h>

/* Whoever was started without standard input, output or error (`2>&-`) gets
 * /dev/null there: else the next thing that is opened has that number, and log
 * lines go into it. */
void descriptors_take_standard(void);

/* Returns how many descriptors this process may have. */
uint64_t descriptors_prepare(void);

/* How many of them connections of clients may take: the next log file, a
 * snapshot, an epoch and the other servers must find some, whatever clients do.
 * UINT64_MAX: there is no limit. */
uint64_t descriptors_for_clients(void);

#endif
