/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_PERF_MICRO_NODES_H
#define FALCONER_PERF_MICRO_NODES_H

/*
 * nodes - a tree with many znodes, made by requests as clients send them.
 *
 * Node i is /bench/dDDDD/kKKKKKKK with 100 bytes of data and an open ACL, a
 * thousand to a directory. As many as nodes_count says are more than a core's
 * caches hold, so lookups of random ones cost what they cost in a server.
 *
 * Context    one thread, which is writer and reader.
 */

#include <stdatomic.h>

#include "znode/prep.h"
#include "znode/tree.h"

#define NODES_DATA_BYTES 100u
#define NODES_PATH_BYTES 32u
#define NODES_SESSION    0x0100000000000001

struct nodes {
	struct tree *tree;
	struct session_table *sessions;
	struct prep *prep;
	struct acl_options acl_options;
	struct prep_options options;
	struct txn_result result;
	struct auth_ids *ids;
	struct tree_reader *reader; /* NULL until nodes_read() */
	_Atomic uint64_t published;
	int64_t zxid;
	uint64_t random;
	uint8_t entry[4096];
	uint8_t body[4096];
};

struct nodes_path {
	char text[NODES_PATH_BYTES];
	uint32_t bytes;
};

/* 100000; a program that counts instead of timing may take fewer. */
extern uint32_t nodes_count;

struct nodes *nodes_open(uint32_t count);
void nodes_close(struct nodes *);
/* Registers a reader and goes online at the newest state. */
void nodes_read(struct nodes *);

struct nodes_path nodes_path_of(uint32_t index);
/* A number below `below` (<= 2^32). */
uint32_t nodes_random(struct nodes *, uint32_t below);

/* Runs a request whose body is `bytes` of nodes->body, publishes, frees what
 * is old. False: it was refused. */
bool nodes_run(struct nodes *, int32_t type, size_t bytes);
/* Bodies for it; each returns its length. */
size_t nodes_put_set(struct nodes *, uint32_t index);
size_t nodes_put_create(struct nodes *, struct jute_slice path);
size_t nodes_put_delete(struct nodes *, struct jute_slice path);

#endif
