/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_SIM_CHAIN_H
#define FALCONER_TESTS_SIM_CHAIN_H

/*
 * sim_chain - every history that any server ever had, as one tree.
 *
 * A node is a transaction behind a certain history; node 0 is the empty
 * history. Two servers have the same state if and only if they are at the same
 * node, so a state, a snapshot and the digest of a tree are all one number
 * here, and "prefix of" is "ancestor of".
 *
 * sim_log is a piece of such a history: the node it starts from and the
 * transactions behind it. It is the memory of a server as well as its log file.
 *
 * Ownership  both grow by themselves; the _free functions give memory back.
 */

#include <stdbool.h>
#include <stdint.h>

#define SIM_NO_NODE UINT32_MAX

struct sim_entry {
	int64_t zxid;
	uint64_t value;      /* each proposal has its own */
	uint32_t config;     /* 1 + index into sim->config; 0: none */
	uint32_t node;       /* the history that ends with it */
	uint64_t begin, end; /* in a log file: offsets of its bytes */
};

struct sim_node {
	uint32_t parent, depth;
	int64_t zxid;
	uint64_t value;
};

struct sim_chain {
	struct sim_node *node;
	uint32_t count, capacity;
	uint32_t *bucket; /* node, or 0: free */
	uint32_t bucket_count;
};

void sim_chain_clear(struct sim_chain *chain);
void sim_chain_free(struct sim_chain *chain);
/* The history `parent` with one more transaction. */
uint32_t sim_chain_append(struct sim_chain *chain, uint32_t parent,
			  int64_t zxid, uint64_t value);
/* Is `node` the history `ancestor`, or does it begin with it? */
bool sim_chain_begins_with(const struct sim_chain *chain, uint32_t node,
			   uint32_t ancestor);

struct sim_log {
	int64_t floor_zxid;
	uint32_t floor_node;
	uint32_t count, capacity;
	struct sim_entry *entry;
};

void sim_log_init(struct sim_log *log, int64_t floor_zxid, uint32_t floor_node);
void sim_log_free(struct sim_log *log);
void sim_log_copy(struct sim_log *to, const struct sim_log *from);
/* entry->node is taken as it is. */
void sim_log_append(struct sim_log *log, const struct sim_entry *entry);
/* Keeps `count` entries. */
void sim_log_cut(struct sim_log *log, uint32_t count);
/* Forgets the first `count` entries; the floor rises. */
void sim_log_drop(struct sim_log *log, uint32_t count);
/* How many entries have a zxid <= zxid. */
uint32_t sim_log_count_to(const struct sim_log *log, int64_t zxid);
/* The history after `count` entries, and its zxid. */
uint32_t sim_log_node(const struct sim_log *log, uint32_t count);
int64_t sim_log_zxid(const struct sim_log *log, uint32_t count);
int64_t sim_log_last(const struct sim_log *log);

#endif
