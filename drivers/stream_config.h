/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_STREAM_CONFIG_H
#define FALCONER_DRIVERS_STREAM_CONFIG_H

/*
 * stream_config - what every implementation of stream.h makes of a struct
 * stream_config: the defaults, and the limits that hold for all of them.
 */

#include "drivers/stream.h"

/* Fills in the default for each 0. False: the values contradict, or go beyond
 * what stream.h allows. */
FAL_MUST_CHECK bool stream_config_complete(struct stream_config *);

#endif
