/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_ENSEMBLE_H
#define FALCONER_DATAPLANE_ENSEMBLE_H

/*
 * ensemble - the driver of the consensus core: what happens becomes events of
 * consensus/zab.h, its actions become what is done.
 *
 *   fle_net  notifications, links        ->  FLE, FLE_LINK
 *   peer     packets, connections        ->  PACKET, CONN_UP, CONN_DOWN
 *   store    files, snapshots            ->  EPOCH_DURABLE, TRUNCATED, ...
 *   zab      own proposals, syncs, log   ->  PROPOSE, SYNC, LOG_DURABLE
 *
 * The rules of section "Driver" there are kept here; no protocol is. Beside the
 * core go what it does not see: bytes of transactions, requests of learners,
 * sessions, names of servers.
 *
 * Context    the ZAB core, from zab_poll(); ensemble_status() any thread;
 *            ensemble_next_note() one other thread.
 * Ownership  the parts are borrowed for the life; fle_net and peer_net are
 *            made here.
 * Limits     a follower's observers have as many requests under way as fit into
 *            RELAY_OWNERS_MAX, then they wait; touches of their sessions beyond
 *            RELAY_TOUCHES_MAX between two PINGs are forgotten.
 *            entries that wait for room in the log: held_bytes_max, then the
 *            leader's connection rests. Requests of learners that wait:
 *            queue_bytes_max a learner, then it is closed.
 * Errors     what peers do is the core's matter. on_fatal ends the process.
 * Source     architecture.md 1.5 and 2, docs/consensus.md "The driver".
 */

#include "consensus/genesis.h"
#include "consensus/zab.h"
#include "dataplane/ack_times.h"
#include "dataplane/fle_net.h"
#include "dataplane/peer.h"
#include "dataplane/store_port.h"
#include "dataplane/zab_member.h"

#define ENSEMBLE_CONFIG_BYTES_MAX 65536u

struct ensemble;

struct ensemble_options {
	struct zab_core_options core;
	struct fle_net_options fle;
	struct peer_options peer;
	bool leader_serves;
	bool is_read_only_enabled;
	uint32_t read_only_after_ms; /* of LOOKING */
	uint64_t held_bytes_max;     /* 0: 64 MiB */
	uint64_t queue_bytes_max;    /* 0: 64 MiB */
	/* Entries of own proposals that learners may still need; a power of
	 * two. */
	uint64_t recent_bytes;
	bool is_local_sessions; /* localSessionsEnabled */
	uint8_t server_id;      /* top byte of own session ids */
};

enum ensemble_port {
	ENSEMBLE_ELECTION_PORT,
	ENSEMBLE_QUORUM_PORT,
	ENSEMBLE_MASTER_PORT, /* a follower's, for observers */
};

struct ensemble_hooks {
	void *arg;
	/* Where a member listens; never blocks. 0: not known yet. */
	uint32_t (*addresses)(void *arg, int64_t sid, enum ensemble_port,
			      struct stream_address out[PEER_ADDRESSES_MAX]);
	/* As fle_net_hooks.resolve; may be NULL. */
	uint32_t (*resolve)(void *arg, struct jute_slice text,
			    struct stream_address out[PEER_ADDRESSES_MAX]);
	/* Understands the text of a configuration; false: no. NULL: all
	 * configurations of others are ignored (reconfigEnabled=false). */
	bool (*parse_config)(void *arg, struct jute_slice text,
			     struct quorum *out);
	/* The configuration that a reconfig's body asks for, in place of the
	 * one whose text is `active`. 0, or the code of the reply
	 * (BADARGUMENTS); text has ENSEMBLE_CONFIG_BYTES_MAX. */
	int32_t (*compose_config)(void *arg, struct jute_slice active,
				  const uint8_t *body, uint32_t body_bytes,
				  int64_t version, char *text);
	/* What is active changed: names, ports, roles. */
	void (*on_config)(void *arg, const struct quorum *, const char *text,
			  uint32_t bytes);
	/* The data was loaded anew, or the first configuration with a version
	 * is active: the tree may be patched. NULL: nobody cares. */
	void (*on_restored)(void *arg);
	/* Transaction zxid leaves our tree different from the leader's. When it
	 * returns, the disk says that this server must not vote; a snapshot of
	 * the leader follows. Or it stops the process. */
	void (*on_diverged)(void *arg, int64_t zxid);
	/* The process stops; never returns. */
	void (*on_fatal)(void *arg, const char *text);
};

struct ensemble_parts {
	struct zab *zab;
	struct stream_core *streams;
	/* No reader polls them: the driver does. */
	bool owns_streams;
	struct store_port store;
	const struct acl_options *acl;
	struct stats_core *stats;
};

/* Makes the driver and its two nets; nothing happens before ensemble_start().
 * Returns 0, FAL_ENOMEM, FAL_EINVAL (an option of the core). */
FAL_MUST_CHECK int ensemble_create(const struct ensemble_options *,
				   const struct ensemble_parts *,
				   const struct ensemble_hooks *,
				   struct ensemble **out);
void ensemble_destroy(struct ensemble *);

/* The nets, for their listeners. */
const struct fle_net *ensemble_fle(const struct ensemble *);
const struct peer_net *ensemble_peers(const struct ensemble *);

/* The register at the start; sid, voters and is_passive are set here. */
struct ensemble_genesis {
	struct genesis_options options;
	struct genesis_state state; /* what the disk holds */
};

/*
 * The first step of the core: START; makes the zab a member. Before the ZAB
 * core polls.
 *
 * disk       active and next (or NULL) included; is_nonvoting: for another
 *            reason than what the register says
 * text       of the active configuration; next_text of the next, or NULL
 */
void ensemble_start(struct ensemble *, const struct zab_disk_state *disk,
		    const struct ensemble_genesis *, const char *text,
		    const char *next_text, uint64_t now_ms);

/* A stream event that is no client's, from whoever polls the streams. */
void ensemble_on_event(void *ensemble, const struct stream_event *,
		       uint64_t now_ms);

/* Hands leadership over in the next round, if this server has it and others
 * are ready: no write is left uncertain. Any thread. */
void ensemble_yield(struct ensemble *);

/* ---- for operators ---- */

struct ensemble_learner {
	int64_t sid;
	bool is_synced, is_observer;
	uint64_t queued_bytes;
	struct stream_address address;
};

struct ensemble_status {
	struct zab_view view;
	uint64_t since_ms;         /* monotonic: this role and phase */
	uint64_t looking_since_ms; /* the last election's begin */
	uint64_t election_ms;      /* how long it took */
	uint64_t elections;        /* that ended */
	struct quorum members;     /* the active configuration */
	uint32_t learner_count;
	struct ensemble_learner learner[ZAB_CONNS_MAX];
	uint32_t serving; /* SERVING_... */
	bool is_open;     /* takes requests, as leader or learner */
};

/* Of this server's followers, whenever it led since its start. Any thread. */
const struct ack_times *ensemble_ack_times(const struct ensemble *);

/* A copy, at most a round or so old. Any thread. */
void ensemble_status(const struct ensemble *, struct ensemble_status *out);

enum ensemble_note_kind {
	ENSEMBLE_NOTE_STATE, /* action: of type STATE */
	ENSEMBLE_NOTE_CLOSE, /* action: of type CLOSE; sid: of the first slot */
	ENSEMBLE_NOTE_DOWN,  /* slot, why: enum peer_down */
	ENSEMBLE_NOTE_DIVERGED, /* zxid: our tree differs from the leader's */
	ENSEMBLE_NOTE_GENESIS,  /* why: enum genesis_outcome; sid: who said so,
				   or -1 */
	ENSEMBLE_NOTE_LEND,   /* action: TRUNCATE, INSTALL_SNAPSHOT or RELOAD */
	ENSEMBLE_NOTE_MASTER, /* sid: goes to that follower to observe */
};

/* What an operator wants to read about. */
struct ensemble_note {
	enum ensemble_note_kind kind;
	uint32_t slot, why;
	int64_t sid, zxid;
	struct zab_action action;
	int64_t wall_ms; /* when; set by the driver */
};

/* The oldest one that was not taken yet; false: none. */
bool ensemble_next_note(struct ensemble *, struct ensemble_note *out);

#endif
