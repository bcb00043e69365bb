/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_CONSENSUS_ZAB_CORE_H
#define FALCONER_CONSENSUS_ZAB_CORE_H

/*
 * zab_core - the state of a core, shared by the files of consensus/ only.
 *
 *   zab.c           dispatch of events, start, what all roles have in common
 *   zab_lead.c      leader: epochs, establishing, proposals, liveness
 *   zab_learners.c  leader: the connections of its learners
 *   zab_follow.c    learner: discovery and synchronization
 *   zab_master.c    follower: observers of its own
 *   zab_apply.c     learner: broadcast
 *   zab_reconfig.c  both: dynamic configurations
 *   zab_beacon.c    both: silence noticed earlier than by ticks
 *
 * A role's struct is zeroed when the role begins; the rest outlives roles.
 */

#include "consensus/fle.h"
#include "consensus/zab.h"
#include "consensus/zab_acks.h"
#include "consensus/zab_history.h"
#include "consensus/zab_out.h"
#include "consensus/zab_sync.h"

#define ZAB_NEVER UINT64_MAX

/* Syncs of one connection that wait; see zab_syncs.h. */
#define ZAB_SYNC_RUNS 16u

struct zab_sync_run {
	int64_t zxid;   /* done when this is committed */
	uint64_t round; /* and this PING round is confirmed */
	uint32_t count;
	uint32_t reserved; /* zero */
};

struct zab_syncs {
	uint32_t count;
	uint32_t reserved; /* zero */
	struct zab_sync_run run[ZAB_SYNC_RUNS];
};

/* What is heard of a peer that sends beacons; see zab_beacon.c. */
struct zab_beacon {
	uint32_t peer_ms; /* its interval; 0: it sends none, or we do not */
	uint32_t jitter;  /* so late it spoke lately; see zab_beacon.c */
	uint32_t busy_ms; /* it said that it is busy; until its next packet */
	bool is_watched;  /* since the first one came */
	bool has_doubt;   /* one look found it silent, at doubted_ms */
	uint64_t heard_ms, doubted_ms;
	uint64_t heard_away_ms; /* zab_core.away_ms when it was heard */
};

/* Stations of a learner at its leader, in order. */
enum zab_station {
	ZAB_ST_FREE = 0,
	ZAB_ST_CONNECTED, /* has said nothing yet */
	ZAB_ST_INFO,      /* told its accepted epoch */
	ZAB_ST_EPOCH,     /* was told the new epoch */
	ZAB_ST_ACKED,     /* took it; waits for synchronization */
	ZAB_ST_SYNCING,   /* NEWLEADER is behind its history */
	ZAB_ST_SYNCED,    /* acknowledged NEWLEADER */
	ZAB_ST_ACTIVE,    /* UPTODATE was sent */
};

struct zab_learner {
	uint32_t station; /* enum zab_station */
	bool is_observer;
	bool is_nonvoting;  /* has no seat before it is confirmed */
	bool is_up_to_date; /* knows that it has a vote, as far as it needed one
			     */
	struct quorum_seat seat;
	int64_t sid;
	int64_t accepted_epoch; /* of its FOLLOWERINFO */
	int64_t zxid;           /* of its ACKEPOCH */
	int64_t announced_zxid; /* COMMIT or INFORM was sent up to here */
	uint64_t deadline_ms;
	/* The oldest proposal that is not acknowledged, sampled. */
	int64_t probe_zxid;
	uint64_t probe_ms;
	/* PINGs of the broadcast phase: the n-th echo answers the n-th PING. */
	uint64_t pings_sent, pings_echoed;
	uint64_t confirm_ping;  /* echo that confirms the round; 0: none */
	uint64_t confirm_round; /* non-voting: round that must be confirmed */
	struct zab_syncs syncs;
	struct zab_beacon beacon;
};

enum zab_lead_step {
	ZAB_LEAD_EPOCHS = 0, /* collects accepted epochs */
	ZAB_LEAD_ACKS,       /* collects ACKEPOCH; writes acceptedEpoch */
	ZAB_LEAD_SYNC,       /* collects ACKs of NEWLEADER; currentEpoch */
	ZAB_LEAD_ACTIVE,
};

struct zab_lead {
	uint32_t step; /* enum zab_lead_step */
	bool is_disloyal;
	bool is_yielding;
	uint16_t yield_why; /* enum zab_reason */
	bool yield_pauses;
	uint64_t yield_by_ms; /* then with proposals that are not committed */
	uint64_t began_ms;
	uint64_t deadline_ms;  /* of the step, until ACTIVE */
	uint64_t ping_ms;      /* next PINGs and checks */
	uint64_t beacon_at_ms; /* next PINGs of beacon_slots */
	uint64_t beacon_slots;
	bool has_beacons; /* somebody of this reign sends them */
	int64_t highest_accepted;
	int64_t epoch;         /* 0 until fixed */
	int64_t elected_epoch; /* currentEpoch before this one */
	int64_t base_zxid;     /* end of the log before this epoch */
	struct quorum_votes electors;
	struct quorum_votes epoch_acks;     /* durable promises */
	struct quorum_votes newleader_acks; /* durable histories */
	struct zab_acks acks;
	uint64_t proposal_slots; /* get PROPOSAL */
	uint64_t commit_slots;   /* get COMMIT */
	uint64_t inform_slots;   /* get INFORM */
	/* PING rounds that prove leadership. */
	uint64_t round_begun, round_done, round_wanted;
	struct zab_syncs own_syncs;
	uint64_t sync_runs; /* that wait, of everybody */
	/* The limping disk. */
	uint64_t durable_moved_ms; /* or when something began to wait for it */
	int64_t lag_zxid;          /* commit point at lag_ms */
	uint64_t lag_ms;
	uint64_t lagging_ms; /* since when; ZAB_NEVER: it does not lag */
};

enum zab_follow_step {
	ZAB_FOLLOW_DIAL = 0, /* waits to dial again */
	ZAB_FOLLOW_DIALING,
	ZAB_FOLLOW_INFO,    /* told the own epoch, waits for LEADERINFO */
	ZAB_FOLLOW_ACCEPT,  /* acceptedEpoch is being written */
	ZAB_FOLLOW_ACKED,   /* sent ACKEPOCH, waits for DIFF, TRUNC or SNAP */
	ZAB_FOLLOW_SYNC,    /* history comes in */
	ZAB_FOLLOW_FLUSH,   /* NEWLEADER came; history is being made durable */
	ZAB_FOLLOW_CURRENT, /* currentEpoch is being written */
	ZAB_FOLLOW_READY,   /* acknowledged NEWLEADER, waits for UPTODATE */
	ZAB_FOLLOW_ACTIVE,
};

struct zab_follow {
	uint32_t step; /* enum zab_follow_step */
	uint32_t dials;
	int64_t epoch;          /* of the leader; 0 before LEADERINFO */
	int64_t reply_epoch;    /* what ACKEPOCH will say */
	int64_t promised_zxid;  /* history that DIFF announced; 0: none */
	int64_t config_version; /* that NEWLEADER brought; -1: none */
	int64_t held_first, held_last; /* first > last: nothing is held */
	int64_t held_committed; /* commits seen for what is held; 0: none */
	int64_t acked_zxid;     /* ACK was sent up to here, in this epoch */
	uint64_t began_ms;
	uint64_t dial_ms; /* next DIAL */
	struct zab_beacon beacon;
	uint64_t said_ms; /* the last PING to the leader */
	uint64_t deadline_ms;
	int64_t master; /* whom the connection is to: the leader, or a follower
			   that serves observers */
	/* A follower that is such a one. */
	int64_t base_zxid;     /* end of the log at UPTODATE */
	uint64_t inform_slots; /* its observers that get INFORM */
	uint64_t ping_ms;      /* next PINGs to them */
};

enum zab_busy {
	ZAB_IDLE = 0,
	ZAB_TRUNCATING,
	ZAB_INSTALLING,
	ZAB_RELOADING,
};

struct zab_core {
	struct zab_core_options options;
	bool is_started, is_dead, is_nonvoting, is_serving;
	uint8_t role;  /* enum fle_state */
	uint8_t phase; /* enum zab_phase */
	uint8_t busy;  /* enum zab_busy: the disk changes under us */
	/* The log is in memory only; it holds what the disk does not. */
	bool is_volatile, has_volatile;
	bool must_keep_log; /* a leader counts it as a voter */
	/* A TRUNC of the leader of this epoch could not be done; 0: none. */
	int64_t snapshot_epoch;
	uint64_t now_ms;
	int64_t leader; /* sid; ZAB_NO_SID while LOOKING */
	struct quorum_pair pair;
	/* Promises: durable, and on their way to the disk (0: nothing is). */
	int64_t accepted_epoch, current_epoch;
	int64_t accepted_writing, current_writing;
	int64_t kept_epoch;     /* currentEpoch on the disk */
	int64_t config_writing; /* version; 0: nothing */
	/* Highest acceptedEpoch that any member told since the start: the next
	 * epoch of this server as leader lies above it. */
	int64_t highest_heard;
	struct zab_history history;
	int64_t durable_zxid;
	int64_t committed_zxid; /* published, or a lower bound after start */
	int64_t busy_zxid;
	int64_t appointed; /* leader named by a reconfiguration, or NO_SID */
	uint64_t abstain_until_ms;
	/* Leader of a reign that ended for want of beacons, or NO_SID. */
	int64_t beacon_blamed;
	uint32_t beacon_doubt; /* doublings of the patience */
	uint32_t master_turn;  /* dials of observer masters so far */
	uint64_t away_ms;      /* time in which nobody called us, though due */
	struct fle fle;
	struct zab_lead lead;
	struct zab_follow follow;
	uint64_t used_slots; /* connections of learners */
	struct zab_learner learner[ZAB_CONNS_MAX];
};

static inline int64_t
zab_counter_max(const struct zab_core *core)
{
	return core->options.counter_max ? core->options.counter_max
					 : ZAB_COUNTER_MAX;
}

static inline uint64_t
zab_init_ms(const struct zab_core *core)
{
	return (uint64_t)core->options.init_limit * core->options.tick_ms;
}

static inline uint64_t
zab_sync_ms(const struct zab_core *core)
{
	return (uint64_t)core->options.sync_limit * core->options.tick_ms;
}

/* ---- zab.c ---- */

/* Ends the role, closes what it had and begins an election as soon as log and
 * memory are at rest. */
void zab_look(struct zab_core *core, enum zab_reason why,
	      struct zab_actions *out);
/* As zab_look(), but memory is thrown away first and read from the disk. */
void zab_reload(struct zab_core *core, enum zab_reason why,
		struct zab_actions *out);
void zab_die(struct zab_core *core, enum zab_reason why,
	     struct zab_actions *out);
void zab_tell_state(struct zab_core *core, enum zab_reason why,
		    struct zab_actions *out);
/* Requests to the disk, noted until they are answered. */
void zab_persist_accepted(struct zab_core *core, int64_t epoch,
			  struct zab_actions *out);
void zab_persist_current(struct zab_core *core, int64_t epoch,
			 struct zab_actions *out);
void zab_persist_config(struct zab_core *core, int64_t version,
			struct zab_actions *out);
/* Publishes up to zxid, unless it is published already. */
void zab_publish(struct zab_core *core, int64_t zxid, struct zab_actions *out);
/* The first zxid after `zxid` in the epoch of this reign. */
int64_t zab_next_in_epoch(int64_t zxid, int64_t epoch);

/* ---- zab_lead.c ---- */
void zab_lead_begin(struct zab_core *core, struct zab_actions *out);
void zab_lead_accepted(struct zab_core *core, struct zab_actions *out);
void zab_lead_current(struct zab_core *core, struct zab_actions *out);
void zab_lead_durable(struct zab_core *core, struct zab_actions *out);
void zab_lead_propose(struct zab_core *core, const struct zab_event *event,
		      struct zab_actions *out);
void zab_lead_yield(struct zab_core *core, enum zab_reason why, bool pauses,
		    struct zab_actions *out);
void zab_lead_heard_looking(struct zab_core *core, int64_t sid, int64_t round,
			    int64_t leader, struct zab_actions *out);
void zab_lead_tick(struct zab_core *core, struct zab_actions *out);
uint64_t zab_lead_wake_ms(const struct zab_core *core);
/* After every change that may complete a quorum of the present step. */
void zab_lead_advance(struct zab_core *core, struct zab_actions *out);
/* The voter in that seat acknowledged zxid: commits what that completes. */
FAL_MUST_CHECK int zab_lead_ack(struct zab_core *core, struct quorum_seat seat,
				int64_t zxid, struct zab_actions *out);
struct quorum_seat zab_own_seat(const struct zab_core *core);
/* Would the synchronized voters but this server be a quorum? */
bool zab_lead_others_suffice(const struct zab_core *core);

/* ---- zab_learners.c ---- */
void zab_learner_up(struct zab_core *core, uint32_t slot);
void zab_learner_packet(struct zab_core *core, const struct zab_event *event,
			struct zab_actions *out);
/* Bytes of that learner came, or a packet. */
void zab_learner_heard(struct zab_core *core, uint32_t slot);
/* Closes all, or, while LOOKING, those who waited too long for this server to
 * lead. */
void zab_learners_close_all(struct zab_core *core, enum zab_reason why,
			    struct zab_actions *out);
void zab_learners_expire(struct zab_core *core, struct zab_actions *out);
uint64_t zab_learners_expire_ms(const struct zab_core *core);
/* The election is won: what those said who came early counts now. */
void zab_learners_take_over(struct zab_core *core, struct zab_actions *out);
/* Forgets a learner whose connection is gone. */
void zab_learner_drop(struct zab_core *core, uint32_t slot);
void zab_learner_close(struct zab_core *core, uint32_t slot,
		       enum zab_reason why, struct zab_actions *out);
/* FOLLOWERINFO or OBSERVERINFO. False: it was closed for it. */
bool zab_learner_take_info(struct zab_core *core, const struct zab_event *event,
			   struct zab_actions *out);
/* What it told of its log, as far as that may spare it a snapshot; -1: not. */
int64_t zab_learner_known_zxid(const struct zab_core *core, uint32_t slot);
/* The packet of the plan and what follows it. */
void zab_learner_send_plan(uint64_t slots, const struct zab_sync_plan *plan,
			   struct zab_actions *out);
/* Everyone who waits for it is told the epoch, synchronized, let in. */
void zab_learners_send_epoch(struct zab_core *core, struct zab_actions *out);
void zab_learners_sync(struct zab_core *core, struct zab_actions *out);
void zab_learners_activate(struct zab_core *core, struct zab_actions *out);
/* PINGs to those of these slots that may get one. */
void zab_learners_ping(struct zab_core *core, uint64_t slots,
		       struct zab_actions *out);
/* Those who are silent or slow are closed. */
void zab_learners_check(struct zab_core *core, struct zab_actions *out);
/* After a change of the pair. */
void zab_learners_reseat(struct zab_core *core);

/* ---- zab_syncs.c ---- */
void zab_sync_request(struct zab_core *core, uint32_t slot,
		      struct zab_actions *out);
void zab_syncs_answer(struct zab_core *core, struct zab_actions *out);
/* Begins a PING round that proves leadership, unless one is on its way. */
void zab_confirm_begin(struct zab_core *core, struct zab_actions *out);
/* An echo came: is the round confirmed? */
void zab_confirm_note(struct zab_core *core, struct zab_actions *out);
/* The round that proves leadership after now; it will be begun. */
uint64_t zab_confirm_want(struct zab_core *core);

/* ---- zab_follow.c ---- */
void zab_follow_begin(struct zab_core *core, int64_t leader,
		      struct zab_actions *out);
void zab_follow_up(struct zab_core *core, struct zab_actions *out);
void zab_follow_down(struct zab_core *core, struct zab_actions *out);
void zab_follow_packet(struct zab_core *core, const struct zab_event *event,
		       struct zab_actions *out);
void zab_follow_heard(struct zab_core *core);
void zab_follow_accepted(struct zab_core *core, struct zab_actions *out);
void zab_follow_flush(struct zab_core *core, struct zab_actions *out);
void zab_follow_current(struct zab_core *core, struct zab_actions *out);
void zab_follow_tick(struct zab_core *core, struct zab_actions *out);
uint64_t zab_follow_wake_ms(const struct zab_core *core);
bool zab_follow_has_held(const struct zab_core *core);

/* ---- zab_master.c ---- */
/* Somebody came to the port of observer masters. */
void zab_master_up(struct zab_core *core, uint32_t slot,
		   struct zab_actions *out);
void zab_master_packet(struct zab_core *core, const struct zab_event *event,
		       struct zab_actions *out);
/* The next two only while there are learners (used_slots): a follower without
 * any pays nothing for them.
 *
 * The log is durable further: who waited for that is synchronized. */
void zab_master_durable(struct zab_core *core, struct zab_actions *out);
/* zxid was published; with activates a configuration became active by it. */
void zab_master_committed(struct zab_core *core, int64_t zxid, bool activates,
			  int64_t designated, struct zab_actions *out);
void zab_master_tick(struct zab_core *core, struct zab_actions *out);

static inline uint64_t
zab_master_wake_ms(const struct zab_core *core)
{
	return core->used_slots == 0 ? ZAB_NEVER : core->follow.ping_ms;
}

/* ---- zab_beacon.c ---- */
/* Before a step: was this server itself away since the last one? */
void zab_beacon_note_absence(struct zab_core *core, uint64_t now_ms);
/* When it must be stepped at the latest to know that it is not away. */
uint64_t zab_beacon_due_ms(const struct zab_core *core);
/* A connection begins; what the peer said. */
void zab_beacon_expect(struct zab_core *core, struct zab_beacon *beacon,
		       uint32_t peer_ms);
/* A beacon came: from now on they are missed. */
void zab_beacon_watch(struct zab_core *core, struct zab_beacon *beacon);
/* Is it time for a beacon of our own, which said the last thing at said_ms? */
bool zab_beacon_is_due(const struct zab_core *core,
		       const struct zab_beacon *beacon, uint64_t said_ms);
/* Anything came. */
void zab_beacon_heard(struct zab_core *core, struct zab_beacon *beacon);
/* A packet came, after zab_beacon_heard(). True: it is a PING that says how
 * long its sender will be busy, and nothing else. */
bool zab_beacon_takes(struct zab_beacon *beacon, const struct zab_event *event);
/* Tells those who watch us. */
void zab_beacon_busy(struct zab_core *core, uint32_t busy_ms,
		     struct zab_actions *out);
/* A look: has it been silent for too long? */
bool zab_beacon_is_lost(struct zab_core *core, struct zab_beacon *beacon);
uint64_t zab_beacon_look_ms(const struct zab_core *core,
			    const struct zab_beacon *beacon);
/* The reign of the present leader ends for want of beacons. */
void zab_beacon_blame(struct zab_core *core);
/* A leader is established: was it wrong to leave the last one? */
void zab_beacon_judge(struct zab_core *core);

/* ---- zab_apply.c ---- */
/* PROPOSAL, COMMIT, INFORM and the activating forms, in every step of a
 * learner after discovery. */
void zab_apply_packet(struct zab_core *core, const struct zab_event *event,
		      struct zab_actions *out);
/* UPTODATE: what was held goes to the log, what was committed is published. */
void zab_apply_held(struct zab_core *core, struct zab_actions *out);
/* Acknowledges what has become durable. */
void zab_apply_acks(struct zab_core *core, struct zab_actions *out);

/* ---- zab_reconfig.c ---- */
bool zab_is_observer(const struct zab_core *core);
/* A reconfiguration was proposed at zxid. */
void zab_reconfig_begin(struct zab_core *core, const struct quorum *config,
			int64_t zxid, struct zab_actions *out);
/* A next configuration that is not in the own log is forgotten. */
void zab_reconfig_drop_lost(struct zab_core *core, struct zab_actions *out);
/* The leader's snapshot is the log now; config: what it holds, or NULL. */
void zab_reconfig_note_snapshot(struct zab_core *core,
				const struct quorum *config,
				struct zab_actions *out);
/* Leader: the next configuration is committed. Returns false if this server
 * no longer leads. */
bool zab_reconfig_commit_lead(struct zab_core *core, struct zab_actions *out);
/* Learner: it is, and the leader named its successor (NO_SID: nobody). */
void zab_reconfig_commit_follow(struct zab_core *core, int64_t designated,
				struct zab_actions *out);
/* Learner: NEWLEADER brought a configuration. */
void zab_reconfig_note_newleader(struct zab_core *core,
				 const struct quorum *config,
				 struct zab_actions *out);
/* LOOKING: a notification brought a newer one. True if it was taken. */
bool zab_reconfig_adopt(struct zab_core *core, const struct quorum *config,
			struct zab_actions *out);
/* May this configuration be proposed now? */
bool zab_reconfig_is_possible(const struct zab_core *core,
			      const struct quorum *config);

#endif
