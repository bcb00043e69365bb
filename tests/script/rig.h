/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_SCRIPT_RIG_H
#define FALCONER_TESTS_SCRIPT_RIG_H

/*
 * rig - several cores, a network, disks and a clock, all made of plain arrays.
 *
 * Time is virtual. A message takes net_ms, a disk request disk_ms; whatever is
 * due at the same time happens in a fixed order, so a run is the same every
 * time. The rig is the driver of consensus/zab.h at its simplest: the state of
 * a server is the list of its transactions, a snapshot is a copy of that list.
 *
 * What a script does to it: stop a packet of some type on its way, hold a disk,
 * cut a link in one or both directions, kill a server before one of its
 * actions, start it again with what its disk held.
 *
 * After every step the rig compares all servers: a zxid stands for one
 * transaction everywhere, what two servers have both committed is the same,
 * what was committed once is never lost by a server that has it, and an epoch
 * has one established leader.
 */

#include <stdio.h>

#include "consensus/zab.h"

#define RIG_SERVERS  9u
#define RIG_ENTRIES  4096u
#define RIG_HOLDS    8u
#define RIG_DISK_OPS 16u
#define RIG_CONNS    64u
#define RIG_CONFIGS  64u

struct rig_entry {
	int64_t zxid;
	uint32_t value;  /* tells two transactions of the same zxid apart */
	uint32_t config; /* 1 + index into rig->config, 0: none */
};

struct rig_log {
	struct rig_entry entry[RIG_ENTRIES];
	uint32_t count;
	uint32_t durable; /* so many of them survive a crash */
	int64_t floor_zxid;
};

/* What travels on a connection. */
struct rig_packet {
	struct rig_packet *next;
	uint64_t due_ms;
	int32_t type; /* enum quorum_type; RIG_STREAM: a snapshot */
	int64_t zxid, sid, epoch, config_version;
	struct rig_entry entry;
	bool has_config;
	struct quorum config;
	struct rig_log *snapshot;
};

#define RIG_STREAM (-1)
#define RIG_CLOSED (-2) /* the end of the connection, in order */

struct rig_conn {
	bool is_used;
	uint32_t end[2];                      /* servers: learner, leader */
	uint32_t slot;                        /* at the leader */
	bool is_open[2];                      /* does that end still know it? */
	struct rig_packet *head[2], *tail[2]; /* towards end i */
};

enum rig_disk_kind {
	RIG_DISK_LOG,
	RIG_DISK_ACCEPTED,
	RIG_DISK_CURRENT,
	RIG_DISK_CONFIG,
	RIG_DISK_TRUNCATE,
	RIG_DISK_INSTALL,
	RIG_DISK_RELOAD,
};

struct rig_disk_op {
	enum rig_disk_kind kind;
	uint64_t due_ms;
	int64_t number; /* epoch, zxid or version */
	struct rig_log *snapshot;
	struct quorum config;
};

struct rig_server {
	int64_t sid;
	bool is_up, is_nonvoting, is_serving, is_fatal;
	struct zab_core *core;
	struct rig_log log;
	struct rig_entry arriving; /* of the packet that is being stepped */
	struct rig_entry held[RIG_ENTRIES];
	uint32_t held_first, held_count;
	int64_t committed_zxid; /* published */
	/* The disk besides the log. */
	int64_t accepted_epoch, current_epoch;
	struct quorum active, next;
	bool has_next;
	struct rig_disk_op op[RIG_DISK_OPS];
	uint32_t op_count;
	bool is_flushing, is_disk_held;
	/* Connections: index + 1. */
	uint32_t learner_conn[ZAB_CONNS_MAX];
	uint32_t leader_conn;
	uint64_t dial_ms; /* due; 0: none */
	int64_t dial_sid;
	bool dial_is_master;
	bool is_installing;
	/* Dies before this action (enum zab_action_type + 1; packet 0: any). */
	uint32_t crash_action;
	int32_t crash_packet;
	uint64_t steps;
	uint32_t syncs_done;
};

struct rig_fle {
	bool is_waiting;
	uint64_t due_ms;
	struct zab_notification notification;
};

struct rig_hold {
	uint32_t from, to; /* servers */
	int32_t packet;
	bool is_hit; /* a packet of that type has come and waits */
};

struct rig {
	uint32_t count;
	uint64_t now_ms, net_ms, disk_ms;
	struct zab_core_options options;
	struct quorum config; /* the static one, for servers without a disk */
	struct rig_server server[RIG_SERVERS];
	struct rig_conn conn[RIG_CONNS];
	struct rig_fle fle[RIG_SERVERS][RIG_SERVERS]; /* from, to */
	bool is_cut[RIG_SERVERS][RIG_SERVERS];
	uint64_t link_down_ms[RIG_SERVERS][RIG_SERVERS]; /* from sees to die */
	struct rig_hold hold[RIG_HOLDS];
	uint32_t hold_count;
	uint32_t values;
	struct quorum configs[RIG_CONFIGS]; /* of proposals */
	uint32_t config_count;
	/* Everything that was ever published, in order. */
	struct rig_log committed;
	int64_t epoch_leader[4096];
	uint64_t messages;
	FILE *out;
	bool is_tracing, traces_election;
	struct zab_actions actions; /* of the present step */
	char violation[256];        /* the first one; "": none */
};

void rig_init(struct rig *rig, FILE *out, uint32_t voters, uint32_t observers);
void rig_free(struct rig *rig);

void rig_start(struct rig *rig, uint32_t index);
void rig_crash(struct rig *rig, uint32_t index);
/* Empties the disk of a server that is down. */
void rig_wipe(struct rig *rig, uint32_t index);

/* Steps one thing that is due at or before until_ms. False: there is none. */
bool rig_step(struct rig *rig, uint64_t until_ms);
/* Runs for so long, or, with 0, until nothing but timers is left. */
void rig_run(struct rig *rig, uint64_t for_ms);

/* Hands the server an event (type and what the type needs). */
void rig_event(struct rig *rig, uint32_t index, struct zab_event *event);
/* Proposes at a leader. False: it may not now. config: nullable. */
bool rig_propose(struct rig *rig, uint32_t index, const struct quorum *config);
/* As if the epoch had used up its zxids up to `counter`, all of it committed
 * everywhere and in everybody's snapshot. Nothing may be proposed in it yet. */
void rig_use_up_epoch(struct rig *rig, uint32_t leader, int64_t counter);
/* The server that serves as leader of the highest epoch, or -1. */
int rig_leader(const struct rig *rig);

void rig_print_zxid(FILE *out, int64_t zxid);
const char *rig_role_name(uint32_t role);
const char *rig_phase_name(uint32_t phase);

#endif
