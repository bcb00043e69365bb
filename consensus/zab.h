/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_CONSENSUS_ZAB_H
#define FALCONER_CONSENSUS_ZAB_H

/*
 * zab - the consensus core: zab_step(core, event) -> actions.
 *
 * A replica's part in election, discovery, synchronization and broadcast as a
 * pure function. Whatever happens comes in as an event, with the time in it;
 * whatever shall be done goes out as actions. No I/O, no clock, no randomness,
 * no allocation, no pointer kept: two cores that saw the same events are equal
 * byte for byte and gave the same actions. docs/consensus.md tells the
 * protocol, tests/script/ shows it.
 *
 * "Say only what is durable" is kept in here. The core holds every message
 * back until LOG_DURABLE, EPOCH_DURABLE, CONFIG_DURABLE, TRUNCATED or
 * SNAP_INSTALLED says that it may go. The driver executes actions in their
 * order and needs no rule of its own, except those of section "Driver".
 *
 * Driver
 *   - Actions of a step are executed in order, before the next step. "Execute"
 *     means start: disk work completes with its event later.
 *   - A connection is a byte-ordered queue: SEND, STREAM_HISTORY and
 *     STREAM_SNAPSHOT of one connection go out in the order of the actions.
 *   - After CLOSE the driver reports nothing more of that slot and may use it
 *     for a new connection at once.
 *   - Between TRUNCATE, INSTALL_SNAPSHOT or RELOAD and their events no PACKET
 *     of the leader's connection is stepped: they wait in the socket. CONN_DOWN
 *     is stepped at any time.
 *   - While a snapshot comes in the driver watches the connection for silence
 *     (init_limit ticks) itself.
 *   - Disk requests of one kind complete in order, each with its event. The log
 * may report less than it was given; LOG_DURABLE is cumulative.
 *   - Call zab_step() with TICK when zab_wake_ms() is reached.
 *   - A crash may happen between any two actions; START then tells what the
 *     disk holds.
 *
 * Beacons. A leader that dies silently (power, a frozen process) is missed by
 * Java's servers after sync_limit ticks. Servers that both have beacon_ms tell
 * each other so in bytes behind FOLLOWERINFO, OBSERVERINFO and LEADERINFO,
 * which Java ignores; the driver carries that number (field beacon_ms of action
 * and event, 0 or absent: none). The leader then PINGs such a learner every
 * beacon_ms from LEADERINFO on. A learner that hears nothing for
 * beacon_lost_ms looks for another leader; a leader steps down when those it
 * heard within that time, and its Java followers, are no quorum. Every packet
 * counts as heard, and so do the bytes of one that is not whole. A learner that
 * gets none to echo, since they wait behind something large, PINGs with zxid -1
 * of its own accord. Silence must be seen twice, an interval apart, so who was
 * asleep itself reads what came meanwhile before it blames the other; time in
 * which a step was due and did not come is nobody's silence; and a server that
 * lost its leader and gets it again has more patience. Who is about to work for
 * long without a step says so before (BUSY): a PING with zxid -1 - ms, which
 * nobody echoes, excuses that silence.
 *
 * Observer masters. A follower in broadcast serves observers that come to its
 * own port for that (zab_master.c): so the leader has to feed its voters only.
 * An observer with has_observer_masters dials such ports, one voter after the
 * other, the leader left out; when all have failed it dials the leader's quorum
 * port, then begins again. Its LEADER_SLOT is the connection to its master.
 *
 * Roles on the wire. Packets, states and their numbers are those of
 * wire/quorum_packet.h and wire/fle_msg.h. Bytes never come in: the driver
 * decodes, and keeps the transactions. The core names them by zxid.
 *
 * Context    one thread per core, in practice the ZAB core.
 * Ownership  the caller owns the memory of the core (zab_core_bytes()) and all
 *            events and actions. Pointers in events are borrowed for the step.
 * Limits     ZAB_CONNS_MAX learners, QUORUM_MEMBERS_MAX members, ZAB_ROWS_MAX
 *            epochs in the table, outstanding_max proposals. A learner too many
 *            is closed, proposals too many are refused by zab_next_zxid().
 * Errors     a peer's mistake closes its connection or ends the role (a STATE
 *            with the reason); what the disk reports is FATAL; a driver's
 *            mistake is a failed assert.
 * Cost       a proposal with 3 replicas: see docs/consensus.md.
 * Source     quorum-protocol.md, architecture.md section 2.
 */

#include "consensus/quorum.h"
#include "consensus/zab_types.h"
#include "wire/fle_msg.h"
#include "wire/quorum_packet.h"

/* Connections are slots: 0..ZAB_CONNS_MAX-1 for learners that came to our port
 * 2888, ZAB_LEADER_SLOT for the one that we dialed. Several are a bit mask. */
#define ZAB_CONNS_MAX   63u
#define ZAB_LEADER_SLOT 63u
#define ZAB_SELF_SLOT   64u /* SYNC only: clients of this server */
#define ZAB_ACTIONS_MAX 640u

struct zab_core;

/* ------------------------------------------------------------ options --- */

struct zab_core_options {
	int64_t sid; /* own server id, >= 0 */
	/* Java's limits, in ticks of tick_ms. */
	uint32_t tick_ms, init_limit, sync_limit; /* all > 0 */
	/* Election: quiet time before a winner counts while voters are missing
	 * whose link is not known to be down; resend interval, doubling. */
	uint32_t finalize_ms;   /* 200 as Java */
	uint32_t notify_min_ms; /* 200 */
	uint32_t notify_max_ms; /* Java: 60000; less is kinder */
	/* A leader that waits for epochs gives up this long after it began when
	 * one of its voters is LOOKING again; 0: at once. UINT32_MAX: off. */
	uint32_t epoch_wait_ms;
	uint32_t dial_retry_ms; /* 100 */
	uint32_t dial_tries;    /* 5; besides, init_limit bounds them all */
	/* Proposals that are not committed yet; also bounds what a learner
	 * holds. 1..2^20 */
	uint32_t outstanding_max;
	/* The last counter of an epoch; less than 0xfffffffe is for tests of
	 * the rollover. 0: 0xfffffffe */
	uint32_t counter_max;
	/* A leader whose own log stands still this long with writes pending, or
	 * lags limp_lag_ms behind the commit point for limp_for_ms, hands over
	 * if a quorum of others is healthy. 0: never. */
	uint32_t limp_still_ms, limp_lag_ms, limp_for_ms; /* 2000 1000 3000 */
	/* After handing over it stays out of elections for this long. */
	uint32_t yield_pause_ms;
	/* Beacons: two servers that both send them miss each other within
	 * beacon_lost_ms instead of sync_limit. See "Beacons" below. 0 and 0:
	 * off. beacon_lost_ms >= 3 * beacon_ms */
	uint32_t beacon_ms, beacon_lost_ms; /* 20 60 */
	bool is_reconfig_enabled;
	/* A follower serves observers, an observer looks for such a follower.
	 */
	bool has_observer_masters;
	/* Every learner gets a snapshot, whatever it holds. */
	bool forces_snapshots;
	/* While this server is an observer its log is in memory only:
	 * LOG_DURABLE says nothing about the disk, which holds what was there
	 * at the start or came with a snapshot. */
	bool is_log_volatile;
	/* sync answers only after a quorum has echoed a PING sent after it. */
	bool is_sync_confirmed;
};

/* ------------------------------------------------------------- events --- */

enum zab_event_type {
#define ZAB_EVENT(name, text) ZAB_EV_##name,
#include "consensus/zab_event.def"
#undef ZAB_EVENT
	ZAB_EV_COUNT
};

/* What the disk holds; of START and RELOADED. */
struct zab_disk_state {
	int64_t accepted_epoch, current_epoch; /* the two files; START only */
	/* A lower bound of what is committed; 0: nothing is known. A snapshot
	 * that a leader sent proves nothing: it may hold a tail that was never
	 * committed. <= history->last_zxid */
	int64_t committed_zxid;
	const struct zab_history *history; /* all of it durable */
	/* active: START only. next: the newest configuration above the active
	 * one that `.dynamic.next`, the snapshot or the log holds, NULL if none
	 * does; its zxid is its version. A log that is durable before the file
	 * is as good as the file, and must not be without it; a file of a
	 * version that the snapshot's zxid covers, and that the snapshot does
	 * not hold, is of no use: that transaction was cut off. */
	const struct quorum *active, *next;
	/* START only: promises may have been lost (emptied disk, dirty marker,
	 * damage, genesis undecided). Shows zxid -1, is counted by nobody, and
	 * becomes a voter again through VOTER_AGAIN or MAY_VOTE. Until then the
	 * driver must say so again after every restart, whatever data a leader
	 * gave it meanwhile. */
	bool is_nonvoting;
};

struct zab_notification {
	int32_t state; /* enum fle_state */
	int32_t version;
	int64_t leader, zxid, round, peer_epoch;
};

/*
 * One event. `now_ms` (monotonic, never smaller than before) and `type` are in
 * each; the other fields as said here. Unused fields are ignored.
 *
 * START           first and once. disk
 * TICK            time has passed
 * FLE             sid (sender), notification, config: a notification came in.
 *                 config: the sender's, if its version is above that of ours
 *                 (zab_view) and it was understood; else NULL
 * FLE_LINK        sid, is_up: the election connection to sid is known to be
 *                 established or known to be broken. Only speeds elections up
 * CONN_UP         slot: a learner connected (slot < ZAB_CONNS_MAX), is_master:
 *                 to the port of observer masters; or our DIAL succeeded
 *                 (ZAB_LEADER_SLOT)
 * CONN_DOWN       slot: connection broke, or our DIAL failed
 * PACKET          slot, packet, zxid, and by type:
 *                 FOLLOWERINFO, OBSERVERINFO  sid, config_version, beacon_ms
 *                 LEADERINFO                  beacon_ms
 *                 ACKEPOCH                    epoch
 *                 NEWLEADER                   config (NULL: not understood or
 *                                             reconfig disabled)
 *                 PROPOSAL, INFORM            config, if it is a reconfig
 *                 COMMITANDACTIVATE,
 *                 INFORMANDACTIVATE           sid (designated leader), config
 *                                             (INFORMANDACTIVATE only)
 *                 ACK                         of several that came together
 *                                             with consecutive zxids, counters
 *                                             not 0, the last is enough
 *                 every other packet is stepped, REQUEST and REVALIDATE too: it
 *                 proves that the peer lives. A SYNC request (REQUEST with op
 *                 sync) is stepped as PACKET and then as SYNC.
 * HEARD           slot, is_up: bytes came from that peer, though no whole
 *                 packet: it lives. Not is_up: they may wait unread, for
 *                 want of room in the log; that excuses from beacons, and
 *                 not from sync_limit. Due before each TICK
 * BUSY            busy_ms: what is done next may take so long without a step.
 *                 The PINGs it makes must leave before that
 * PROPOSE         zxid, count, config (if it is a reconfig, else NULL): the
 *                 leader's next `count` transactions (0: one; with config one)
 *                 are in its log's window. zxid, of the first, is what
 *                 zab_next_zxid() returned after the last step; count is at
 *                 most what zab_proposals_max() did. A burst in one step is
 *                 sent as one range
 * SYNC            slot: a learner, or ZAB_SELF_SLOT, asked for a sync. Only at
 *                 a leader; at a learner the driver forwards the REQUEST itself
 * LOG_DURABLE     zxid: everything appended up to zxid is on stable storage
 * EPOCH_DURABLE   epoch, is_current: the epoch file is on stable storage
 * CONFIG_DURABLE  zxid: the answer to PERSIST_CONFIG of that version
 * TRUNCATED       zxid: log and memory end with zxid now, durably; snapshots
 *                 above it are gone
 * SNAP_INSTALLED  zxid: the leader's snapshot is loaded, verified, durable, and
 *                 whatever is not its ancestor is retired from the disk.
 *                 config: what the snapshot holds, NULL: no or not understood
 * RELOADED        disk: memory and log are what the disk holds
 * DIVERGED        at a learner: what it applied last does not leave the tree
 *                 that the leader has. That transaction and what follows is
 *                 not in the log, and the disk says already that this server
 *                 is non-voting. Ends in RELOAD and a snapshot of a leader
 * LOG_FLOOR       zxid: transactions up to zxid can no longer be read for a
 *                 DIFF (purged, missing, or too many bytes to be worth it)
 * LOG_FAILED      the log cannot be written: ends in FATAL
 * MAY_VOTE        genesis is decided or the operator accepts: a non-voting
 *                 server that is LOOKING becomes a voter
 * YIELD           hand over leadership: refuse proposals, wait until nothing is
 *                 outstanding, step down. Ignored unless the other voters that
 *                 are synchronized are a quorum without this server
 */
struct zab_event {
	uint32_t type; /* enum zab_event_type */
	uint32_t slot;
	uint64_t now_ms;
	int64_t zxid;
	int64_t sid;
	int64_t epoch;
	int32_t packet; /* enum quorum_type */
	bool is_up, is_current, is_master;
	uint32_t beacon_ms; /* what the peer said; 0: nothing */
	uint32_t busy_ms;
	uint32_t count; /* PROPOSE */
	int64_t config_version;
	const struct quorum *config;
	const struct zab_disk_state *disk;
	struct zab_notification notification;
};

/* ------------------------------------------------------------ actions --- */

enum zab_action_type {
#define ZAB_ACTION(name, text) ZAB_DO_##name,
#include "consensus/zab_action.def"
#undef ZAB_ACTION
	ZAB_DO_COUNT
};

enum zab_reason {
#define ZAB_REASON(name, text) ZAB_WHY_##name,
#include "consensus/zab_reason.def"
#undef ZAB_REASON
	ZAB_WHY_COUNT
};

/*
 * One action. Unused fields are zero.
 *
 * SEND_FLE          sid, notification: replaces what still waits for sid; dial
 *                   if there is no connection. The driver adds the text of the
 *                   active configuration
 * FORGET_FLE        the election ended: forget messages that were delivered and
 *                   are kept for a new connection
 * DIAL              sid: connect to its quorum port, or with is_master to its
 *                   port for observers; answered by CONN_UP or CONN_DOWN of
 *                   ZAB_LEADER_SLOT
 * CLOSE             slots, why. A DIAL under way ends, too. What was sent
 *                   before still goes out as far as the peer takes it
 * SEND              slots, packet, zxid .. zxid_last. One packet for each zxid
 *                   of the range (one, unless ACK, COMMIT, PROPOSAL, INFORM);
 *                   count > 1: that many times (SYNC). Data by type:
 *                   - PROPOSAL, INFORM: the entry of that zxid
 *                   - FOLLOWERINFO, OBSERVERINFO: own sid, version of the
 *                     active configuration, beacon_ms
 *                   - LEADERINFO: beacon_ms
 *                   - ACKEPOCH: epoch
 *                   - NEWLEADER: text of the configuration (active or next)
 *                     whose version is config_version
 *                   - COMMITANDACTIVATE, INFORMANDACTIVATE: sid (designated
 *                     leader), for the latter the entry, too
 *                   - PING: to the leader the sessions touched since the last
 *                     one; else nothing
 * STREAM_HISTORY    slots (one), zxid, zxid_last: PROPOSAL and COMMIT of each
 *                   transaction in (zxid, zxid_last], read from log or window
 * STREAM_SNAPSHOT   slots (one), zxid: the snapshot that follows the SNAP
 *                   packet, of the state at zxid or a little later (later
 *                   transactions are sent again)
 * HOLD              zxid: keep the PROPOSAL of this step, in order
 * DROP_HELD         forget all that is held
 * APPEND            zxid .. zxid_last: log and apply (invisibly) the oldest of
 *                   what is held or, if nothing is held, the PROPOSAL or INFORM
 *                   of this step
 * TRUNCATE          zxid: end log and memory with zxid; snapshots above go
 *                   first. Answered by TRUNCATED; failure is LOG_FAILED
 * INSTALL_SNAPSHOT  zxid: what follows on the leader's connection is a
 *                   snapshot; answered by SNAP_INSTALLED. When the connection
 *                   breaks meanwhile: CONN_DOWN
 * KEEP_LOG          only with is_log_volatile: this server votes now, or is
 *                   counted. RELOAD follows, and what is appended after it is
 *                   on stable storage when LOG_DURABLE says so
 * RELOAD            stop loading, drop memory, recover from the disk; answered
 *                   by RELOADED
 * PERSIST_ACCEPTED, PERSIST_CURRENT  epoch: answered by EPOCH_DURABLE
 * PERSIST_CONFIG    zxid (version): write the configuration of this step's
 *                   event, or zab_next_config() if the event has none, to
 *                   `.dynamic.next`; answered by CONFIG_DURABLE. zxid 0: remove
 *                   that file, no answer
 * COMMIT            zxid: publish everything up to it, in order
 * ACTIVATE_CONFIG   zxid (version), sid (designated leader, -1: none):
 *                   zab_config() after this step is what is active from now on
 * SYNC_DONE         zxid, count: so many of our clients' oldest syncs are
 *                   answered by a state of at least zxid
 * VOTER_AGAIN       remove what made this server non-voting (dirty marker, ...)
 * STATE             role, phase, is_serving, sid (leader or -1), epoch, why: a
 *                   new state. With is_serving the published zxid is at least
 *                   epoch << 32, and clients may be served
 * FATAL             why: stop the process; the core does nothing any more
 */
struct zab_action {
	uint32_t type; /* enum zab_action_type */
	int32_t packet;
	uint64_t slots;
	int64_t zxid, zxid_last;
	int64_t sid;
	int64_t epoch;
	int64_t config_version;
	uint32_t count;
	uint32_t beacon_ms;
	uint16_t why;  /* enum zab_reason */
	uint8_t role;  /* enum fle_state */
	uint8_t phase; /* enum zab_phase */
	bool is_serving, is_master;
	struct zab_notification notification;
};

struct zab_actions {
	uint32_t count;
	struct zab_action action[ZAB_ACTIONS_MAX];
};

/* --------------------------------------------------------------- state --- */

enum zab_phase {
	ZAB_ELECTION = 0,
	ZAB_DISCOVERY = 1,
	ZAB_SYNCHRONIZATION = 2,
	ZAB_BROADCAST = 3,
};

/* A copy of what others may want to look at: monitoring, four-letter words,
 * the invariants of the simulator. */
struct zab_view {
	int64_t sid;
	uint32_t role;  /* enum fle_state */
	uint32_t phase; /* enum zab_phase */
	bool is_serving, is_nonvoting, is_dead, is_yielding;
	int64_t leader; /* sid, -1: none */
	int64_t master; /* whom a learner is connected with, or dials; -1 */
	int64_t accepted_epoch; /* durable */
	int64_t current_epoch;  /* durable */
	int64_t epoch;          /* of the leader being followed, or own; 0 */
	int64_t last_zxid;      /* appended */
	int64_t durable_zxid;
	int64_t committed_zxid; /* as published by COMMIT */
	int64_t proposed_zxid;  /* leader: the last one */
	int64_t round;          /* of the election */
	int64_t config_version, next_config_version; /* -1: no next one */
	uint64_t learners; /* slots with a learner, a follower's observers */
	uint64_t synced;   /* of these: got UPTODATE */
	uint32_t held_count;
};

/* ----------------------------------------------------------- functions --- */

/* Bytes of a core; memory must be aligned for uint64_t. Tens of KiB. */
size_t zab_core_bytes(void);

/*
 * Makes a core; the first step must be START.
 *
 * FAL_EINVAL  an option is out of its range
 */
FAL_MUST_CHECK int zab_init(struct zab_core *core,
			    const struct zab_core_options *options);

/* Takes one event and replaces *actions by what it leads to. Total: any event
 * is allowed in any state; what comes too late is ignored. */
void zab_step(struct zab_core *core, const struct zab_event *event,
	      struct zab_actions *actions);

/* When the next TICK is due; UINT64_MAX: never. Changes with every step. */
uint64_t zab_wake_ms(const struct zab_core *core);

/* The zxid that the next PROPOSE must have; 0: none may be proposed now (not
 * an established leader, handing over, zxids used up, too many outstanding,
 * or, with is_reconfig, one reconfiguration is already on its way or a quorum
 * of `config` is not synchronized). config: the new one, NULL else. */
int64_t zab_next_zxid(const struct zab_core *core, const struct quorum *config);

/* How many transactions may be proposed by the next PROPOSE, from
 * zab_next_zxid(core, NULL) on; 0 if that returns 0. */
uint32_t zab_proposals_max(const struct zab_core *core);

void zab_view(const struct zab_core *core, struct zab_view *out);
/* The sid of a learner, ZAB_NO_SID if the slot holds none. */
int64_t zab_learner_sid(const struct zab_core *core, uint32_t slot);
/* The active configuration, and the next one (NULL: none). */
const struct quorum *zab_config(const struct zab_core *core);
const struct quorum *zab_next_config(const struct zab_core *core);

/* Names for traces, from the .def files: never NULL. */
const char *zab_event_name(uint32_t type);
const char *zab_action_name(uint32_t type);
const char *zab_reason_text(uint32_t why);
const char *zab_packet_name(int32_t packet);

#endif
