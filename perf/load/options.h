/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_PERF_LOAD_OPTIONS_H
#define FALCONER_PERF_LOAD_OPTIONS_H

/*
 * options - what a run of the load program does, from the command line.
 *
 * Context    filled once by main, read-only from then on.
 * Errors     a wrong option ends the program with status 2 and a sentence.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/fal.h"

#define LOAD_CONNECTIONS_MAX 20000u
#define LOAD_PIPELINE_MAX    4096u
#define LOAD_VALUE_BYTES_MAX 900000u
#define LOAD_KEYS_MAX        100000000u
#define LOAD_ROOT_BYTES      64u

/* Kinds of operation that a mix may hold. */
enum load_kind {
	LOAD_GET,    /* getData of a random key */
	LOAD_SET,    /* setData of a random key, any version */
	LOAD_CREATE, /* create, and with the next turn delete, of an own node */
	LOAD_EXISTS, /* exists of a random key */
	LOAD_CHILDREN, /* getChildren of the first key's directory */
	LOAD_SYNC,     /* sync, so that a read behind it shows all commits */
	LOAD_MULTI,    /* setData of two random keys, all or nothing */
	LOAD_KINDS,
};

enum load_protocol {
	LOAD_ZOOKEEPER,
	LOAD_REDIS,
	LOAD_ETCD,
};

enum load_mode {
	LOAD_RUN,    /* the mix, see run.h */
	LOAD_FILL,   /* only make the keys */
	LOAD_FANOUT, /* everybody watches a node that one changes */
	LOAD_STORM,  /* all sessions are set up at once */
	LOAD_IDLE,   /* sessions that only say that they live */
};

struct load_options {
	struct sockaddr_in address;
	uint32_t connections;        /* 1..LOAD_CONNECTIONS_MAX */
	uint32_t pipeline;           /* requests under way on each of them */
	uint32_t weight[LOAD_KINDS]; /* shares of the mix, sum > 0 */
	uint32_t value_bytes;
	uint32_t keys;  /* random keys are 0..keys-1 */
	uint32_t batch; /* creates of one multi while filling */
	double seconds; /* measured; 0: `operations` decides */
	double warmup_seconds;
	uint64_t operations; /* 0: `seconds` decides */
	double rate;         /* requests a second, open loop; 0: closed loop */
	int32_t server_pid;  /* 0: its CPU time is not measured */
	uint64_t seed;
	int32_t timeout_ms; /* of the sessions */
	uint32_t run_tag;   /* in the names of own nodes: other runs have
			       others */
	enum load_protocol protocol;
	enum load_mode mode;
	double skew;         /* of the random keys: 0 all alike, towards 1 the
				first ones more (Zipf's exponent) */
	bool spins;          /* never sleeps */
	bool tells_progress; /* a line a second to standard error */
	bool is_json;
	const char *port;           /* device of DPDK; NULL: sockets */
	const char *port_address;   /* ours on it */
	const char *timeline;       /* file for latencies over time, or NULL */
	const char *histogram;      /* file for the latencies, or NULL */
	char root[LOAD_ROOT_BYTES]; /* under which the keys live */
	const char *mix_text;       /* as it was given */
};

/* Fills *out or ends the program. */
void load_options_parse(int argc, char **argv, struct load_options *out);

/* Prints a sentence to standard error and ends the program with status 1. */
_Noreturn void load_die(const char *format, ...) FAL_PRINTF(1, 2);

#endif
