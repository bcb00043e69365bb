/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_SIM_SIM_H
#define FALCONER_TESTS_SIM_SIM_H

/*
 * sim - ensembles of real consensus cores in a world that is made up.
 *
 * One thread, virtual time, everything out of one seed. The simulator is the
 * driver of consensus/zab.h: it executes actions and reports what came of them,
 * over a network, disks and clocks that do what those things do when they are
 * in a bad mood. Checkers look at every step; clients write and read, and their
 * histories are checked, too. After the faults have ended a quorum must serve
 * within a bound of virtual time.
 *
 *   sim_main.c    options, many seeds, how a failure is told
 *   sim.c         a run: limits, the loop, phases
 *   sim_server.c  a process: start, crash, clock, the step
 *   sim_driver.c  what the core asks for
 *   sim_disk.c    the log in sectors, promises, snapshots
 *   sim_net.c     connections and notifications
 *   sim_fault.c   what goes wrong, and when
 *   sim_plot.c    faults that aim
 *   sim_java.c    servers that speak as ZooKeeper's
 *   sim_client.c  writes, reads and syncs
 *   sim_holder.c  clients that live for their session
 *   sim_session.c sessions at the servers, and who may expire them
 *   sim_config.c  configurations and their files
 *   sim_genesis.c what an empty disk means
 *   sim_check.c   invariants
 *   sim_trace.c   the last events
 *   sim_chain.c   histories; sim_queue.c: what is due
 *
 * Invariants: quorum-protocol.md section 21, architecture.md section 10.
 */

#include <stdio.h>

#include "consensus/genesis.h"
#include "consensus/zab.h"
#include "sim_chain.h"
#include "sim_queue.h"
#include "sim_random.h"
#include "znode/session.h"

#define SIM_SERVERS_MAX   9u
#define SIM_CONNS_MAX     1024u
#define SIM_SNAPSHOTS_MAX 2u
#define SIM_CLIENTS_MAX   6u
#define SIM_HOLDERS_MAX   4u
#define SIM_SYNCS_MAX     64u
#define SIM_EPOCHS_MAX    65536u
#define SIM_TRACE_MAX     512u
#define SIM_NEVER         UINT64_MAX
#define SIM_NOBODY        UINT32_MAX
#define SIM_LIE_EPOCH     (1 << 20) /* of votes that nobody cast */

struct sim;

/* ------------------------------------------------------------ options --- */

enum sim_fault {
#define SIM_FAULT(name, text) SIM_FAULT_##name,
#include "sim_fault.def"
#undef SIM_FAULT
	SIM_FAULT_COUNT
};

#define SIM_FAULTS_ALL ((1u << SIM_FAULT_COUNT) - 1u)

struct sim_options {
	uint64_t seed;
	uint32_t replicas; /* 0: 3..7, drawn */
	uint32_t faults;   /* mask of enum sim_fault */
	uint64_t steps;    /* with faults */
	bool is_tracing;
};

/* ---------------------------------------------------------------- time --- */

enum sim_kind {
	SIM_DUE_WAKE,
	SIM_DUE_MESSAGE,
	SIM_DUE_FLE,
	SIM_DUE_LINK,
	SIM_DUE_DIAL,
	SIM_DUE_FLUSHED,
	SIM_DUE_EPOCH,
	SIM_DUE_CONFIG,
	SIM_DUE_HISTORY,
	SIM_DUE_SNAPSHOT,
	SIM_DUE_START,
	SIM_DUE_GENESIS,
	SIM_DUE_GENESIS_FILE,
	SIM_DUE_GENESIS_WAKE,
	SIM_DUE_FAULT,
	SIM_DUE_HEAL,
	SIM_DUE_FLAP,
	SIM_DUE_FORGET,
	SIM_DUE_RIVAL,
	SIM_DUE_CLIENT,
	SIM_DUE_OP,
	SIM_DUE_REPLY,
	SIM_DUE_HOLDER,  /* who: holder; its next turn */
	SIM_DUE_BEAT,    /* who, what: server, number: session */
	SIM_DUE_RESUME,  /* the same */
	SIM_DUE_GREETED, /* who, what: is its session valid? */
	SIM_DUE_EXPIRE,  /* all servers look */
	SIM_DUE_LOAD_LIMIT,
};

/* ----------------------------------------------------------------- net --- */

#define SIM_MSG_SNAPSHOT (-1) /* the snapshot behind a SNAP packet */
#define SIM_MSG_CLOSED   (-2) /* the end of the connection, in order */

struct sim_message {
	struct sim_message *next;
	uint64_t due_us;
	int32_t type; /* enum quorum_type, SIM_MSG_ */
	int64_t zxid, sid, epoch, config_version;
	struct sim_entry entry; /* PROPOSAL; SNAPSHOT: node */
	uint32_t op;            /* REQUEST: 1 + index of the operation */
	uint32_t config;        /* NEWLEADER, or of the entry: 1 + index */
	uint32_t beacon_ms;
	/* REVALIDATE, and its answer. */
	uint32_t held, holder, connection;
	bool is_valid;
	/* PING of a learner: sessions that were heard, as its table says; and
	 * as it was. */
	uint32_t touch[SIM_HOLDERS_MAX], told[SIM_HOLDERS_MAX];
};

/* The learner is end 0, the leader end 1. */
struct sim_conn {
	bool is_used, is_broken;
	bool is_observer; /* the learner said so */
	uint32_t serial;
	uint32_t server[2], slot[2];
	bool is_open[2]; /* does the driver of that end know it still? */
	struct sim_message *head[2], *tail[2]; /* on their way to that end */
	uint64_t last_us[2];
};

/* What a server has to say to another one on the election port. */
struct sim_fle {
	bool is_waiting, is_kept;
	uint32_t serial;
	uint32_t config; /* index: the sender's active one */
	struct zab_notification notification;
};

#define SIM_LETTERS_MAX 4096u

/* Of the register, on its way; the oldest are lost. */
struct sim_genesis_message {
	uint32_t serial, from;
	uint32_t incarnation; /* of the receiver */
	struct genesis_message message;
};

/* ---------------------------------------------------------------- disk --- */

#define SIM_GENESIS_WRITES_MAX 4u

struct sim_snapshot {
	int64_t zxid;
	uint32_t node;
	bool is_of_leader; /* came with SNAP: its end may not be committed */
};

struct sim_disk {
	struct sim_log log;     /* written; entry.end are bytes in the file */
	uint32_t durable_count; /* of log */
	int64_t accepted_epoch, current_epoch;
	struct sim_snapshot snapshot[SIM_SNAPSHOTS_MAX]; /* newest first */
	uint32_t snapshot_count;
	bool is_nonvoting; /* what tells that promises may be lost */
	bool has_snapshot; /* the first one, of an empty tree */
	struct genesis_state genesis, genesis_writing[SIM_GENESIS_WRITES_MAX];
	uint32_t genesis_writes;
	/* Configurations: the active one is an index, the next one 1 + index,
	 * 0: none; what they were before activated_us; what is written. */
	uint32_t active_config, next_config;
	uint32_t old_config, old_next_config;
	uint64_t activated_us, config_due_us;
	uint32_t config_writing, config_serial;
	/* Requests on their way, done at once when they complete. */
	int64_t accepted_writing, current_writing;
	bool is_flushing;
	uint32_t flush_count; /* durable when that is done */
	uint64_t busy_until_us;
	uint64_t slow_until_us; /* everything takes far longer */
	bool is_failing;        /* the next flush is an error */
	uint64_t full_until_us; /* nothing can be written */
	uint64_t slowness;      /* its delays are so many times longer */
};

/* -------------------------------------------------------------- server --- */

enum sim_java {
	SIM_JAVA_NONE = 0,
	SIM_JAVA_3_8,
	SIM_JAVA_3_10,
};

/* A request that a leader has got and not passed on yet. */
struct sim_pending {
	uint32_t op, slot;
	uint32_t serial; /* of the connection it came by */
};

/* When a connection was last heard, as its reader notes it. */
struct sim_heard {
	uint32_t connection;
	uint64_t ms;
};

struct sim_server {
	uint32_t index;
	int64_t sid;
	/* Acknowledges, as Java's servers do, each transaction of the history
	 * it is synchronized with, before or after NEWLEADER. */
	bool acks_history;
	enum sim_java java;
	/* Slots of learners between NEWLEADER and UPTODATE; of those whose
	 * history becomes a snapshot. */
	uint64_t newleader_slots, snap_slots;
	int64_t sync_zxid; /* where its own history ended then */
	bool is_up, is_serving, is_installing, is_busy;
	uint32_t incarnation;
	uint32_t reign; /* its n-th time of serving */
	struct zab_core *core;
	struct zab_core_options options;
	struct zab_view view;
	/* Its clock: ms = base_ms + (now - base_us) * rate / 1e9. */
	uint64_t base_us, base_ms, rate_ppm;
	uint64_t paused_until_us; /* 0: runs */
	uint32_t wake_serial;
	uint64_t wake_ms; /* what is in the queue */
	/* Memory: the log, appended; what is published; what is held. */
	struct sim_log log;
	int64_t published_zxid;
	uint32_t published_node;
	struct sim_entry *held;
	uint32_t held_count, held_capacity;
	struct sim_entry arriving;
	bool is_snapshotting;
	struct sim_snapshot next_snapshot;
	/* Of TRUNCATE, INSTALL_SNAPSHOT, RELOAD. */
	enum zab_event_type busy_event;
	int64_t busy_zxid;
	uint32_t busy_node;
	uint32_t busy_serial;
	/* Connections: 1 + index; by slot. */
	uint32_t conn[ZAB_CONNS_MAX + 1];
	uint32_t dial_serial;
	bool is_dialing;
	/* The register; the core is non-voting because of it only. */
	bool has_genesis, is_genesis_awaited;
	struct genesis genesis;
	uint32_t genesis_serial;
	/* Requests, oldest first. */
	struct sim_pending *pending;
	uint32_t pending_count, pending_capacity;
	uint32_t sync[SIM_SYNCS_MAX]; /* operations, oldest first */
	uint32_t sync_count;
	/* Sessions: NULL until it serves. By holder: its newest connection
	 * here; its session, if it was heard since the last PING was answered,
	 * and for the checks the same. */
	struct session_table *sessions;
	struct sim_heard heard[SIM_HOLDERS_MAX];
	uint32_t touched[SIM_HOLDERS_MAX], told[SIM_HOLDERS_MAX];
	struct sim_disk disk;
	/* What is known of it for the checks, whatever it forgets. */
	int64_t said_accepted; /* highest epoch of an ACKEPOCH */
	int64_t said_current;  /* highest NEWLEADER it acknowledged */
	uint32_t published_depth;
	bool is_wiped;      /* since it last was a voter */
	bool has_forgotten; /* then it had promised an epoch before */
	int64_t told_epoch; /* of the last reign it was part of */
};

/* ------------------------------------------------------------- clients --- */

enum sim_op_kind {
	SIM_OP_WRITE,
	SIM_OP_READ,
	SIM_OP_SYNC,
	SIM_OP_RECONFIG, /* a write, too */
	/* Of sessions: also writes. */
	SIM_OP_OPEN,
	SIM_OP_EPHEMERAL,
	SIM_OP_CLOSE,
	SIM_OP_EXPIRE, /* a leader's own */
};

struct sim_op {
	enum sim_op_kind kind;
	uint32_t client, server, reign;
	uint32_t session; /* of the client: its n-th connection */
	uint32_t number;  /* of the request within that session */
	uint32_t depth;   /* committed there; 0: not (yet) */
	uint32_t config;  /* RECONFIG: 1 + index */
	uint32_t before;  /* 1 + the session's write before it; 0: none */
	bool is_acked;
	/* Of a session: which one (1 + index; 0: none), and what the leader
	 * that proposed it made of it. client is the holder then, session its
	 * connection. */
	uint32_t held;
	bool is_refused;
	uint32_t ephemerals;  /* gone with its end */
	uint32_t proposed_by; /* 1 + server */
	uint32_t proposed_reign;
	struct session_owner owner;
	/* The longest history that anybody had been told of before. */
	uint32_t known_depth;
	uint64_t invoked_us, acked_us;
};

struct sim_client {
	uint32_t server; /* SIM_NOBODY: not connected */
	uint32_t reign;  /* of that server */
	uint64_t last_us;
	uint32_t session, number;
	uint32_t outstanding, pipeline;
	/* Of ten requests so many; the others are writes. */
	uint32_t reads, syncs;
	uint64_t heard_us;   /* its last answer is due; they come in order */
	uint32_t last_write; /* 1 + operation, of this session; 0: none */
	uint32_t seen_depth;
	uint32_t committed_session, committed_number;
};

/* What is known of a session; its id is 1 + its index. */
struct sim_session {
	uint32_t holder;
	int32_t timeout_ms;
	uint32_t created_depth, closed_depth; /* 0: not */
	uint32_t ephemerals;                  /* committed */
	int64_t closing_epoch; /* of the last leader that wanted its end */
	uint64_t place;        /* connection and number of its last request */
	/* When a server that leads ought to have heard of it, by its clock. */
	uint64_t known_ms[SIM_SERVERS_MAX];
};

struct sim_holder {
	uint32_t server; /* SIM_NOBODY: not connected */
	uint32_t reign;  /* of that server */
	uint32_t connection, number;
	uint32_t session, opening; /* 0: none */
	bool is_attached;          /* the server took the session */
	uint64_t timeout_us;
	uint64_t began_us, attached_us, silent_until_us, last_us;
	uint32_t seen_depth;
};

/* ----------------------------------------------------------------- run --- */

struct sim_trace_line {
	uint64_t at_us, step;
	uint32_t server;
	uint32_t is_action, type;
	int32_t packet;
	int64_t zxid, sid, epoch;
	uint64_t slots;
	const char *text; /* static */
};

struct sim_counters {
	uint64_t steps, commits, elections, crashes, wipes, snapshots;
	uint64_t founders, sessions, expired, moves;
	uint64_t truncs, diffs, messages, acked, reads, syncs, reconfigs;
};

struct sim_limits {
	uint64_t net_us_min, net_us_max, net_spike; /* once in */
	uint64_t disk_us_min, disk_us_max, disk_spike;
	uint32_t snapshot_every; /* transactions; 0: never */
	uint32_t entry_bytes_max;
	uint32_t flush_max; /* entries a write */
	uint64_t think_us;
	uint32_t reconfig_odds; /* of a request, if they are enabled */
	uint64_t fault_us;      /* mean time between faults */
	uint32_t crash_action;  /* once in so many actions; 0: never */
	/* Dies before this action (packet if it is a SEND) once in so many. */
	uint32_t crash_type, crash_odds; /* odds 0: never */
	int32_t crash_packet;
	/* A connection breaks behind this packet once in so many; 0: never. */
	int32_t break_packet;
	uint32_t break_odds;
	/* Whoever is about to do the n-th action of all servers dies, n in
	 * ascending order; 0: no more. Also without faults. */
	uint64_t crash_at[4];
};

struct sim {
	struct sim_options options;
	struct sim_random random[SIM_STREAM_COUNT];
	struct sim_limits limits;
	struct zab_core_options core_options;
	struct quorum *config; /* all there ever were; 0: the first one */
	uint32_t config_count, config_capacity;
	uint32_t committed_config;   /* index */
	uint32_t count, voter_count; /* servers; the first ones vote first */
	uint64_t now_us;
	struct sim_queue queue;
	struct sim_chain chain;
	struct sim_server server[SIM_SERVERS_MAX];
	struct sim_conn conn[SIM_CONNS_MAX];
	uint32_t conn_serial;
	struct sim_message *free_message;
	struct sim_fle fle[SIM_SERVERS_MAX][SIM_SERVERS_MAX]; /* from, to */
	bool is_cut[SIM_SERVERS_MAX][SIM_SERVERS_MAX];        /* from, to */
	/* Notifications need both directions, as a new TCP connection does;
	 * else an old connection carries them through a one-way cut. */
	bool needs_both_ways;
	bool is_mixed;    /* some servers are as ZooKeeper's */
	bool has_bursts;  /* leaders step what came together at once */
	bool was_skipped; /* a leader was made to break the protocol */
	uint32_t heal_serial;
	/* The flapping link: both ways, or only from the first to the second.
	 */
	uint32_t flap[2];
	bool flaps_both_ways;
	uint64_t flap_until_us;
	uint32_t flap_serial;
	struct sim_client client[SIM_CLIENTS_MAX];
	uint32_t client_count;
	struct sim_op *op;
	uint32_t op_count, op_capacity;
	uint32_t acked_depth; /* the longest history told to any client */
	bool has_sessions;
	struct sim_holder holder[SIM_HOLDERS_MAX];
	struct sim_session *session;
	uint32_t session_count, session_capacity;
	uint32_t sessions_alive; /* by what is committed */
	uint64_t calm_us;        /* the faults have ended then */
	/* What the ensemble has committed: nodes by depth, and in which epoch.
	 */
	uint32_t *committed;
	int64_t *committed_epoch;
	uint32_t committed_count, committed_capacity;
	uint32_t epoch_leader[SIM_EPOCHS_MAX]; /* 1 + server; 0: none */
	int64_t epoch_count[SIM_EPOCHS_MAX];   /* proposals so far */
	bool has_faults;                       /* the period of faults lasts */
	uint64_t action_count;
	uint32_t crashes_done; /* of crash_at */
	bool are_clients_done;
	struct zab_actions actions;
	/* An empty disk is an empty disk, and asks. Else it is marked. */
	bool has_genesis, is_genesis_all;
	bool has_id; /* of the ensemble */
	uint8_t id[GENESIS_ID_BYTES];
	uint32_t letters; /* serial of the next */
	struct sim_genesis_message letter[SIM_LETTERS_MAX];
	struct genesis_actions genesis_actions;
	struct sim_trace_line trace[SIM_TRACE_MAX];
	uint64_t trace_count;
	struct sim_counters counters;
};

/* ---- sim.c ---- */
/* Draws everything; servers are down and clients idle. */
void sim_init(struct sim *sim, const struct sim_options *options);
/* What is due first happens. */
void sim_turn(struct sim *sim);
/* Everything that is due before then happens. */
void sim_turn_until(struct sim *sim, uint64_t end_us);
/* Time that a calm ensemble may need until it serves. */
uint64_t sim_bound_us(const struct sim *sim);
/* Runs one seed to its end; a violation ends the process. */
void sim_run(struct sim *sim, const struct sim_options *options);
void sim_free(struct sim *sim);
void sim_put(struct sim *sim, uint64_t after_us, enum sim_kind kind,
	     uint32_t who, uint32_t what, uint32_t serial, int64_t number);

/* ---- sim_star.c ---- */
/* Who leads and serves; SIM_NOBODY. */
uint32_t sim_leader_of(const struct sim *sim);
/* No beacons that were drawn too narrow, no epochs that end at once. */
void sim_begin_plain(struct sim_server *server);
/*
 * Runs with the directions cut whose bits are set, pairs (from, to) in order,
 * from the start. Returns virtual ms until somebody led; 0: none should,
 * UINT64_MAX: none did. That somebody leads who must not, or does not stay, is
 * a violation and ends the process.
 */
uint64_t sim_star_find(struct sim *sim, uint64_t seed, uint32_t replicas,
		       uint64_t mask, bool needs_both_ways);
/* A star of five or seven, drawn from the seed; as sim_run(). */
void sim_star_run(struct sim *sim, uint64_t seed);

/* ---- sim_server.c ---- */
void sim_server_init(struct sim *sim, uint32_t index);
void sim_server_free(struct sim_server *server);
void sim_server_start(struct sim *sim, struct sim_server *server);
/* Ends the process; loses_power: peers are not told. */
void sim_server_crash(struct sim *sim, struct sim_server *server,
		      bool loses_power);
uint64_t sim_server_now_ms(const struct sim *sim,
			   const struct sim_server *server);
void sim_server_set_rate(struct sim *sim, struct sim_server *server,
			 uint64_t rate_ppm, uint64_t jump_ms);
void sim_server_wake(struct sim *sim, struct sim_server *server,
		     uint32_t serial);
/* One step of the core with all that follows. The server may be down after. */
void sim_server_step(struct sim *sim, struct sim_server *server,
		     struct zab_event *event);
/* Proposes what waits, as far as the core takes it. */
void sim_server_propose(struct sim *sim, struct sim_server *server);
/* Its disk is about to be lost, or a part of it that somebody may rely on. */
void sim_server_forget(struct sim *sim, struct sim_server *server);
/* What it says from now on counts like anybody's word. */
void sim_server_counts_again(struct sim_server *server);
/* Puts `due` off if the server is paused. */
bool sim_server_defers(struct sim *sim, const struct sim_server *server,
		       const struct sim_due *due);

/* ---- sim_driver.c ---- */
void sim_driver_act(struct sim *sim, struct sim_server *server,
		    const struct zab_event *event,
		    const struct zab_action *action);
/* Takes the oldest write that waits, if the core takes it. True: *event is to
 * be stepped. */
bool sim_driver_propose(struct sim *sim, struct sim_server *server,
			struct zab_event *event);
/* A leader got a request of its own client (ZAB_SELF_SLOT) or a learner's. */
void sim_driver_request(struct sim *sim, struct sim_server *server, uint32_t op,
			uint32_t slot);

/* ---- sim_java.c ---- */
/* Draws whether it is one of ZooKeeper's. */
void sim_java_init(struct sim *sim, struct sim_server *server);
bool sim_java_flushes_at_once(const struct sim_server *server);
/* TRUNC with history: a snapshot goes out in the place of that history. */
bool sim_java_sends_snapshot(const struct sim *sim, struct sim_server *server,
			     const struct zab_action *action);
/* Slots that get this COMMIT earlier than a core of ours would send it. */
uint64_t sim_java_early_commits(struct sim_server *server,
				const struct zab_action *action);
void sim_java_closed(struct sim_server *server, uint32_t slot);

/* ---- sim_disk.c ---- */
void sim_disk_init(struct sim_disk *disk);
void sim_disk_crash(struct sim *sim, struct sim_server *server);
void sim_disk_wipe(struct sim_disk *disk);
uint64_t sim_disk_delay_us(struct sim *sim, struct sim_server *server);
/* Writes what memory has and the file has not. */
void sim_disk_flush(struct sim *sim, struct sim_server *server);
void sim_disk_flushed(struct sim *sim, struct sim_server *server);
/* Can nothing be written now? Such a server ends. */
bool sim_disk_is_full(const struct sim *sim, const struct sim_server *server);
/* What a start finds: memory from disk. */
void sim_disk_load(struct sim_server *server, struct zab_history *history,
		   int64_t *committed_zxid);
void sim_disk_truncate(struct sim_server *server, int64_t zxid);
void sim_disk_install(struct sim_server *server, int64_t zxid, uint32_t node);
void sim_disk_keep_snapshot(struct sim_disk *disk, struct sim_snapshot one);
/* The history that survives a crash now, unless a snapshot is newer. */
uint32_t sim_disk_node(const struct sim_disk *disk);
int64_t sim_disk_zxid(const struct sim_disk *disk);

/* ---- sim_config.c ---- */
/* Draws the first configuration. */
void sim_config_init(struct sim *sim);
/* One that may be proposed; its index. */
uint32_t sim_config_draw(struct sim *sim);
uint32_t sim_config_find(struct sim *sim, const struct quorum *config);
void sim_config_persist(struct sim *sim, struct sim_server *server,
			const struct zab_event *event, int64_t version);
void sim_config_persisted(struct sim *sim, struct sim_server *server,
			  const struct sim_due *due);
void sim_config_activate(struct sim *sim, struct sim_server *server);
/* What the file, the log or the snapshot says comes next; NULL: nothing. */
const struct quorum *sim_config_next(struct sim *sim,
				     const struct sim_server *server);
/* What the snapshot holds that a leader sent, if it is news; else NULL. */
const struct quorum *sim_config_of_snapshot(const struct sim *sim,
					    const struct sim_server *server);
void sim_config_crash(struct sim *sim, struct sim_disk *disk);
/* Is that set of servers a quorum of what is committed? */
bool sim_config_decides(const struct sim *sim, uint32_t servers);
/* Can each configuration that counts anywhere do without that set? */
bool sim_config_survives(const struct sim *sim, uint32_t lost);
/* Can it do without those whose disks are lost now? Nobody else knows it. */
bool sim_config_is_sane(const struct sim *sim, const struct quorum *config);

/* ---- sim_genesis.c ---- */
/* May those lose their disks, and those who know are a quorum still? */
bool sim_genesis_survives(const struct sim *sim, uint32_t lost);
/* Who would be without a vote if everybody began anew, as the register says. */
uint32_t sim_genesis_voteless(const struct sim *sim);
/* Reads the register's file; true: the core starts without a vote. */
bool sim_genesis_init(struct sim *sim, struct sim_server *server);
/* Behind the core's start. */
void sim_genesis_start(struct sim *sim, struct sim_server *server);
void sim_genesis_deliver(struct sim *sim, const struct sim_due *due);
void sim_genesis_written(struct sim *sim, struct sim_server *server);
void sim_genesis_wake(struct sim *sim, struct sim_server *server);
void sim_genesis_crash(struct sim *sim, struct sim_disk *disk);
void sim_genesis_link(struct sim *sim, struct sim_server *server, uint32_t who,
		      bool is_up);
/* A notification came; what a ZooKeeper says counts. */
void sim_genesis_heard(struct sim *sim, struct sim_server *server, uint32_t who,
		       const struct zab_notification *said);
/* VOTER_AGAIN. */
void sim_genesis_adopt(struct sim *sim, struct sim_server *server);
/* A server without a register serves. */
void sim_genesis_serves(struct sim *sim, struct sim_server *server);
/* After each step: may the core vote by now? */
void sim_genesis_settle(struct sim *sim, struct sim_server *server);
bool sim_genesis_forbids(const struct sim_server *server);

/* ---- sim_net.c ---- */
uint64_t sim_net_delay_us(struct sim *sim);
void sim_net_send(struct sim *sim, struct sim_server *server, uint32_t slot,
		  const struct sim_message *message);
void sim_net_pump(struct sim *sim, uint32_t conn, uint32_t end);
bool sim_net_feeds_observer(const struct sim *sim,
			    const struct sim_server *server);
/* What waits for a server that is ready for it again. */
void sim_net_pump_server(struct sim *sim, struct sim_server *server);
void sim_net_pump_all(struct sim *sim);
void sim_net_close(struct sim *sim, struct sim_server *server, uint32_t slot);
/* The connection breaks; both ends learn it, each in its time. */
void sim_net_break(struct sim *sim, uint32_t conn);
/* Only the learner learns it. */
void sim_net_break_unheard(struct sim *sim, uint32_t conn);
/* A leader with a bug: one PROPOSAL or COMMIT is left out of that connection,
 * or of the next one that has some. */
void sim_net_skip(struct sim *sim, uint32_t first);
/* The process of that end is gone. */
void sim_net_lose_end(struct sim *sim, uint32_t conn, uint32_t end,
		      bool is_silent);
void sim_net_dial(struct sim *sim, struct sim_server *server, int64_t sid);
void sim_net_dialed(struct sim *sim, const struct sim_due *due);
void sim_net_send_fle(struct sim *sim, struct sim_server *server,
		      const struct zab_action *action);
void sim_net_deliver_fle(struct sim *sim, const struct sim_due *due);
/* A connection between the two comes up again: what is kept goes out. */
void sim_net_link_up(struct sim *sim, uint32_t from, uint32_t to);
void sim_net_clear(struct sim *sim);

/* ---- sim_fault.c ---- */
void sim_fault_next(struct sim *sim);
void sim_fault_happen(struct sim *sim);
void sim_fault_heal(struct sim *sim, uint32_t serial);
void sim_fault_flap(struct sim *sim, uint32_t serial);
uint64_t sim_fault_duration_us(struct sim *sim);
uint32_t sim_fault_server(struct sim *sim);
void sim_fault_heal_later(struct sim *sim);
/* May one more server lose what it promised? */
bool sim_fault_may_lose_promises(const struct sim *sim, uint32_t index);
void sim_fault_wipe(struct sim *sim, struct sim_server *server);
/* All faults end; everybody is started. */
void sim_fault_end(struct sim *sim);
const char *sim_fault_name(uint32_t fault);

/* ---- sim_plot.c ---- */
void sim_plot_lie(struct sim *sim);
/* The leader is cut off and does not notice; the others do at once. */
void sim_plot_outdate(struct sim *sim);
/* Then one that promised to the new leader forgets it and comes to the old
 * one. */
void sim_plot_forget(struct sim *sim);
void sim_plot_rival(struct sim *sim);
void sim_plot_rival_goes_on(struct sim *sim, const struct sim_due *due);

/* ---- sim_client.c ---- */
void sim_client_init(struct sim *sim);
/* Keeps it; its index. */
uint32_t sim_client_new_op(struct sim *sim, const struct sim_op *op);
/* Asks for something now; the client must be connected. Returns the index of
 * the operation. */
uint32_t sim_client_invoke(struct sim *sim, uint32_t client,
			   enum sim_op_kind kind);
void sim_client_connect(struct sim *sim, uint32_t client, uint32_t server);
void sim_client_turn(struct sim *sim, uint32_t client);
void sim_client_op(struct sim *sim, const struct sim_due *due);
void sim_client_reply(struct sim *sim, uint32_t op, uint32_t depth);
/* It has its place in the history of the ensemble. */
void sim_client_committed(struct sim *sim, uint64_t value, uint32_t depth);
/* A server has published the write. */
void sim_client_published(struct sim *sim, struct sim_server *server,
			  uint64_t value, uint32_t depth);
void sim_client_synced(struct sim *sim, struct sim_server *server,
		       uint32_t count);

/* ---- sim_holder.c ---- */
void sim_holder_init(struct sim *sim);
void sim_holder_turn(struct sim *sim, uint32_t holder);
/* A ping, or a session that comes back, is at the server. */
void sim_holder_arrive(struct sim *sim, const struct sim_due *due);
/* The server tells what became of that session. */
void sim_holder_greet(struct sim *sim, const struct sim_server *server,
		      uint32_t holder, uint32_t connection, bool is_valid);
void sim_holder_greeted(struct sim *sim, const struct sim_due *due);
void sim_holder_reply(struct sim *sim, const struct sim_op *op, uint32_t depth);
/* The server closes the connection that this session has there, if any and if
 * it is not `except` (0: none is). */
void sim_holder_hang_up(struct sim *sim, const struct sim_server *server,
			uint32_t held, uint32_t except);
/* A leader expires it: is its client silent? */
void sim_holder_check_overdue(struct sim *sim, const struct sim_server *leader,
			      uint32_t held);
/* Who has a session is attached, and nobody else's session lives. */
bool sim_holder_is_calm(const struct sim *sim);

/* ---- sim_session.c ---- */
void sim_session_begin_serving(struct sim *sim, struct sim_server *server);
/* The process is gone. */
void sim_session_forget(struct sim_server *server);
/* A leader is about to propose it: what will become of it? */
void sim_session_judge(struct sim *sim, struct sim_server *server,
		       const struct sim_pending *pending);
void sim_session_committed(struct sim *sim, uint32_t op, uint32_t depth);
void sim_session_published(struct sim *sim, struct sim_server *server,
			   uint32_t op, uint32_t depth);
/* Time has passed. */
void sim_session_expire(struct sim *sim, struct sim_server *server);
/* A connection with that session was heard. */
void sim_session_heard(struct sim *sim, struct sim_server *server,
		       uint32_t holder, uint32_t connection, uint32_t held);
void sim_session_resume(struct sim *sim, struct sim_server *server,
			uint32_t holder, uint32_t connection, uint32_t held);
void sim_session_put_touches(struct sim_server *server,
			     struct sim_message *ping);
/* A packet has come, and the core has seen it. */
void sim_session_packet(struct sim *sim, struct sim_server *server,
			uint32_t slot, const struct sim_message *message);

/* ---- sim_check.c ---- */
void sim_check_step(struct sim *sim, struct sim_server *server);
void sim_check_start(struct sim *sim, const struct sim_server *server);
void sim_check_send(struct sim *sim, struct sim_server *server,
		    const struct zab_action *action);
void sim_check_publish(struct sim *sim, struct sim_server *server,
		       uint32_t node);
void sim_check_propose(struct sim *sim, const struct sim_server *server,
		       int64_t zxid);
/* A notification goes out. */
void sim_check_vote(struct sim *sim, const struct sim_server *server,
		    const struct zab_notification *vote);
/* A connection or a role ends. */
void sim_check_end_of(struct sim *sim, const struct sim_server *server,
		      uint32_t why);
/* TRUNCATE or INSTALL_SNAPSHOT is done. */
void sim_check_history(struct sim *sim, const struct sim_server *server);
void sim_check_state(struct sim *sim, struct sim_server *server,
		     const struct zab_action *action);
/* The disk of a server has changed in another way than by appending. */
void sim_check_durable(struct sim *sim);
/* Does everybody serve the whole committed history? */
bool sim_check_is_calm(const struct sim *sim);
void sim_check_end(struct sim *sim);

/* ---- sim_trace.c ---- */
void sim_trace_event(struct sim *sim, const struct sim_server *server,
		     const struct zab_event *event);
void sim_trace_action(struct sim *sim, const struct sim_server *server,
		      const struct zab_action *action);
void sim_trace_note(struct sim *sim, uint32_t server, const char *text,
		    int64_t number);
void sim_trace_print(const struct sim *sim, FILE *out);
_Noreturn void sim_fail(struct sim *sim, const char *invariant,
			const char *format, ...) FAL_PRINTF(3, 4);

#endif
