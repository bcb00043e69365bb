/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_LOG_PORT_H
#define FALCONER_DATAPLANE_LOG_PORT_H

/*
 * log_port - the transaction log as the ZAB core sees it.
 *
 * dataplane and store do not know each other; server/ puts store/txlog.h
 * behind these functions, tests put a log in memory there.
 *
 * Context    ZAB core; none of these makes a system call but kick(), and that
 *            one only when the log thread sleeps.
 */

#include "base/fal.h"

enum log_port_room {
	LOG_PORT_READY,
	LOG_PORT_WAIT,     /* the window is full: soon again */
	LOG_PORT_NO_SPACE, /* the volume is full: refuse writes */
};

struct log_port {
	void *log;
	/* The largest entry that can ever be written. */
	uint32_t entry_bytes_max;
	/* May an entry of up to `bytes` be written now? */
	enum log_port_room (*admit)(void *log, uint32_t bytes);
	/* Where the next entry goes and how much room there is: at least what
	 * was admitted. */
	uint8_t *(*reserve)(void *log, uint32_t *room);
	/* The entry at reserve()'s address becomes the next record. */
	void (*commit)(void *log, uint32_t entry_bytes, int64_t zxid);
	/* Once per batch of commits, and while admit() refuses: wakes the log
	 * thread if it sleeps. */
	void (*kick)(void *log);
	/* Highest zxid on stable storage. *err: FAL_OK, or why the log is dead
	 * (then nothing more will become durable). */
	int64_t (*durable_zxid)(void *log, int *err);
	/* The next record starts a new file. */
	void (*roll)(void *log);
	/* Nothing of it is on the disk: then snapshots are not, either. NULL:
	 * always false. */
	bool (*is_volatile)(const void *log);
};

#endif
