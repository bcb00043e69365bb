/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_PERF_FLOOR_FLOOR_H
#define FALCONER_PERF_FLOOR_FLOOR_H

/*
 * floor - the least that a machine needs for an answer, and for a durable one.
 *
 * Figures of a server say little by themselves; as ratios to these they can be
 * compared between machines and hours. Nothing of Falconer's data path is used
 * here, only its histogram and its clock.
 *
 * Context    echo_*, relay_*, blast_*, storm_*: threads of their own and the
 * caller. durable_*: one thread. hop_*, hiccup_*: pin the caller meanwhile.
 * Errors     end the program with a sentence.
 */

#include "base/fal.h"
#include "base/hist.h"

#define DURABLE_BLOCK_BYTES 4096u

struct durable;

/* A file in `dir` of `blocks` blocks, filled with zeros and synced; writes go
 * round in it. O_DIRECT|O_DSYNC, as the transaction log is written. */
struct durable *durable_open(const char *dir, uint32_t blocks);
/* Writes the next block; when it returns the block is on the disk. */
void durable_append(struct durable *);
/* Removes the file. */
void durable_close(struct durable *);

struct echo_options {
	bool spins;          /* never sleeps; otherwise epoll on the server's
				side and a blocking recv on the client's */
	uint32_t bytes;      /* of request and answer */
	struct durable *log; /* not NULL: append before each answer */
	double seconds;
};

/* Round trips over loopback with one request under way; records ns each. */
void echo_measure(const struct echo_options *, struct hist *out);

struct relay_options {
	uint32_t bytes;
	struct durable *log[3]; /* of the leader and two followers, or NULLs */
	double seconds;
};

/* A write through a leader and two followers, one under way; ns each. */
void relay_measure(const struct relay_options *, struct hist *out);

struct blast_options {
	uint32_t connections;
	uint32_t bytes; /* 1..256, of each frame */
	double seconds;
};

/* One frame to each connection: ns until the last has come. */
void blast_measure(const struct blast_options *, struct hist *out);

struct storm_options {
	uint32_t connections;
	double seconds;
};

/* All connect and ask at once: ns until the last is answered. */
void storm_measure(const struct storm_options *, struct hist *out);

/* There and back between processors 0 and 1; ns. */
void hop_measure(double seconds, struct hist *out);
/* Turns of an empty loop on processor 0; ns each. */
void hiccup_measure(double seconds, struct hist *out);

/* Prints a sentence to standard error and ends the program with status 1. */
_Noreturn void floor_die(const char *what);

#endif
