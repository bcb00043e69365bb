/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_BASE_PROBE_H
#define FALCONER_BASE_PROBE_H

/*
 * probe - places where perf, bpftrace or systemtap may look (USDT).
 *
 * A probe nobody looks at is one nop, and its arguments stay where they are.
 * Arguments are integers or pointers that the function has at hand anyway. The
 * list of probes, with their arguments, stands in docs/perf.md; names are part
 * of what users rely on.
 *
 * Context    any thread.
 */

#include <sys/sdt.h>

#define FAL_PROBE(name)              DTRACE_PROBE(falconer, name)
#define FAL_PROBE1(name, a)          DTRACE_PROBE1(falconer, name, a)
#define FAL_PROBE2(name, a, b)       DTRACE_PROBE2(falconer, name, a, b)
#define FAL_PROBE3(name, a, b, c)    DTRACE_PROBE3(falconer, name, a, b, c)
#define FAL_PROBE4(name, a, b, c, d) DTRACE_PROBE4(falconer, name, a, b, c, d)

#endif
