/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_SIM_TEST_SIM_H
#define FALCONER_TESTS_SIM_TEST_SIM_H

/* What the files of test_sim share: one world, and how it begins. */

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "sim.h"

#define TEST_DELAY_US 1000u /* of the network, where it is exact */

extern struct sim test_sim;

struct sim_options test_options(uint64_t seed, uint32_t replicas,
				uint32_t faults);
/* Servers that serve, over a network of exactly one delay, with disks that
 * take no time. asks: an empty disk asks the register; is_all: everybody. */
void test_begin_asking(uint32_t replicas, bool asks, bool is_all);
void test_begin_exact(uint32_t replicas);
/* A client of that server writes; its answer comes after so many delays. */
uint64_t test_delays_of_a_write_at(uint32_t server);

/* The groups of the other files; how many tests failed. */
int test_scenarios(void);
int test_places(void);

#endif
