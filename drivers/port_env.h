/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_PORT_ENV_H
#define FALCONER_DRIVERS_PORT_ENV_H

/*
 * port_env - DPDK's environment (EAL): memory for packets, devices, and the
 * threads that may use them. Once a process.
 *
 * The arguments of EAL are made here from our settings; it gets one lcore, the
 * calling thread, free to float over the CPUs the process may use. Poll cores
 * are threads of ours that sign on with port_env_attach(), which gives each a
 * number and with it a cache of mbufs.
 *
 * Memory comes from huge pages that are not visible in any file system, or,
 * as a stated fallback, from ordinary pages.
 *
 * Context    start and stop: the main thread, before and after all others.
 *            attach and detach: the thread itself.
 * Errors     FAL_EINVAL, FAL_ENOMEM, FAL_ELIMIT with a sentence for the
 *            operator. A failed start cannot be repeated: EAL's limit.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/fal.h"

enum port_memory {
	PORT_MEMORY_ORDINARY, /* never huge pages */
	PORT_MEMORY_AUTO,     /* huge pages if enough are free */
	PORT_MEMORY_HUGE,     /* the start fails without */
};

struct port_error {
	char text[400];
};

struct port_env_options {
	const char *pci;   /* address of the one device to use; NULL: none */
	const char *extra; /* more arguments of EAL, blanks between; or NULL */
	enum port_memory memory;
	uint32_t memory_mb; /* how much is needed */
};

FAL_MUST_CHECK int port_env_start(const struct port_env_options *options,
				  struct port_error *error);
void port_env_stop(void);

/* Whether packets lie in huge pages. */
bool port_env_is_huge(void);

/* Free huge pages of the machine, in MiB. */
uint32_t port_env_free_huge_mb(void);

/* Signs the calling thread on, and lets it receive the signals by which tap
 * devices announce frames. Returns 0 or FAL_ELIMIT. */
FAL_MUST_CHECK int port_env_attach(void);
void port_env_detach(void);

/* Writes a sentence; returns err. */
int port_explain(struct port_error *error, int err, const char *format, ...)
	FAL_PRINTF(3, 4);

#endif
