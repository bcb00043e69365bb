/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_SCRIPT_CHAOS_H
#define FALCONER_TESTS_SCRIPT_CHAOS_H

/* chaos - random faults, then calm. */

#include "tests/script/rig.h"

/* Runs a fresh rig through so many faults, heals everything, and expects all
 * servers to agree within a minute: else rig->violation says what is wrong.
 * Returns how many transactions were committed. */
uint32_t chaos_run(struct rig *rig, uint64_t seed, uint32_t rounds);

#endif
