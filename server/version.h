/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_VERSION_H
#define FALCONER_SERVER_VERSION_H

/*
 * version - what this server calls itself. Clients and monitoring parse three
 * dot-separated numbers at the front and switch features by them, so they are
 * those of the ZooKeeper release whose client features are all here
 * (client-protocol.md section 18).
 */

#include "server/version_build.h" /* VERSION_REVISION, VERSION_BUILT */

#define VERSION_ZOOKEEPER "3.9.5"
#define VERSION_TEXT                                    \
	VERSION_ZOOKEEPER "-falconer-" VERSION_REVISION \
			  ", built on " VERSION_BUILT

#endif
