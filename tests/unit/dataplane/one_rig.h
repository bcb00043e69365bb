/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_UNIT_DATAPLANE_ONE_RIG_H
#define FALCONER_TESTS_UNIT_DATAPLANE_ONE_RIG_H

/*
 * one_rig - the rig of a file whose tests all begin with a new one.
 */

#include "pipeline_rig.h"

static struct rig rig;

static inline int
setup(void **state)
{
	(void)state;
	rig_start(&rig);
	return 0;
}

static inline int
teardown(void **state)
{
	(void)state;
	rig_stop(&rig);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
