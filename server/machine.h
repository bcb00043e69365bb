/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_MACHINE_H
#define FALCONER_SERVER_MACHINE_H

/*
 * machine - what about this machine is not ideal for poll cores, each with its
 * remedy. Advice only: the server runs either way.
 *
 * Context    the control thread, before the cores start.
 * Limits     MACHINE_LINES_MAX findings; what is more is left out.
 */

#include <stdbool.h>
#include <stdint.h>

#define MACHINE_LINES_MAX 16u

struct machine_question {
	const uint16_t *cpu; /* the poll cores are pinned to these */
	uint32_t cpu_count;  /* 0: they float */
	uint32_t loop_count; /* poll cores */
	bool is_spinning;    /* they never give the CPU away */
	const char *pci;     /* address of the card; NULL: none */
};

struct machine_findings {
	uint32_t count;
	char line[MACHINE_LINES_MAX][240];
};

/* Looks. root: "" or, for tests, a folder with sys/ and proc/ in it. */
void machine_check(const char *root, const struct machine_question *question,
		   struct machine_findings *findings);

/* Whether the kernel keeps all these CPUs free of other work. */
bool machine_is_isolated(const char *root, const uint16_t *cpu, uint32_t count);

#endif
