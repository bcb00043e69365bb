/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_ENSEMBLE_INT_H
#define FALCONER_DATAPLANE_ENSEMBLE_INT_H

/*
 * ensemble_int - what the files of the driver share.
 *
 *   ensemble.c          life, the round, what the zab calls
 *   ensemble_in.c       what others say becomes events
 *   ensemble_act.c      actions are carried out, in order
 *   ensemble_burst.c    proposals and ACKs that are stepped together
 *   ensemble_late.c     COMMITs that wait for the reader's turn
 *   ensemble_send.c     packets
 *   ensemble_hold.c     a leader's entries that wait to be applied
 *   ensemble_lend.c     truncation, snapshots that come, reloading
 *   ensemble_learners.c a leader: requests of its learners
 *   ensemble_relay.c    a follower: requests of its observers
 *   ensemble_config.c   texts of configurations
 *   ensemble_genesis.c  may a server that began empty vote?
 *   ensemble_note.c     what operators read
 *
 * Context    the ZAB core.
 */

#include "base/list.h"
#include "base/stats.h"
#include "dataplane/ensemble.h"
#include "dataplane/entry_ring.h"
#include "dataplane/req.h"
#include "wire/txn.h"

#define ENSEMBLE_NOTES      256u
#define ENSEMBLE_TEXTS      3u
#define ENSEMBLE_EVENTS_MAX 128u

/* A leader's entry that is kept. */
struct held_entry {
	struct held_entry *next;
	int64_t zxid;
	uint32_t bytes;
	uint8_t data[];
};

/* A request that came from a learner and waits to be proposed. */
struct learner_request {
	struct learner_request *next;
	int64_t session_id;
	int32_t cxid, op;
	uint32_t body_bytes;
	struct auth_ids *ids; /* or NULL */
	uint8_t body[];
};

struct learner {
	uint32_t serial; /* changes with each connection of the slot */
	bool is_observer;
	struct learner_request *first, *last;
	uint64_t queued_bytes;
	/* A local session that becomes everybody's: its writes wait until that
	 * transaction is published. 0: none. */
	int64_t creating, created_zxid;
	/* Syncs that are not answered; a write of the same learner must not be
	 * committed before them. */
	uint32_t syncs;
};

#define RELAY_OWNERS_MAX  65536u
#define RELAY_TOUCHES_MAX (1u << 20)

/* Who asked the leader for something: one of our learners, as long as its
 * connection is the same, or ZAB_SELF_SLOT. */
struct relay_owner {
	uint32_t slot, serial;
	int64_t session_id; /* REVALIDATE */
};

/* Those whose answers come in the order of asking. */
struct relay_queue {
	struct relay_owner *owner; /* RELAY_OWNERS_MAX */
	uint32_t head, tail;       /* count up; head: next in */
};

struct config_text {
	int64_t version; /* -1: nothing here */
	uint32_t bytes;
	char text[ENSEMBLE_CONFIG_BYTES_MAX];
};

struct ensemble_link {
	int64_t sid;
	bool is_up;
};

enum lend_kind {
	LEND_NOTHING,
	LEND_TRUNCATE,
	LEND_INSTALL,
	LEND_RELOAD,
};

/* What a leader has gathered since the last step. */
struct ensemble_burst {
	uint32_t count; /* proposals from `first` on; 0: none */
	uint32_t room;  /* so many the core would take */
	int64_t first;
	bool has_ack;
	uint32_t ack_slot;
	int64_t ack_zxid; /* the last of consecutive ones */
};

struct ensemble {
	struct ensemble_options options;
	struct ensemble_parts parts;
	struct ensemble_hooks hooks;
	struct fle_net *fle;
	struct peer_net *peers;
	struct zab_core *core;
	struct zab_actions actions;
	bool is_stepping;
	struct ensemble_burst burst;
	struct zab_action late; /* COMMITs; without slots: none */
	uint64_t now_ms;
	int64_t wall_ms;
	uint64_t nets_ms; /* when the nets want to be polled */

	struct ack_times *acks;

	/* As the last STATE said. */
	uint8_t role, phase;
	bool is_serving;
	bool must_serve; /* as soon as what is held is applied */
	int64_t epoch;
	uint64_t since_ms, looking_since_ms, election_ms, elections;
	uint64_t lost_ms;       /* when it stopped to serve */
	uint64_t sync_since_ms; /* when a leader began to synchronise it */

	_Atomic bool must_yield; /* somebody asked for it */
	int64_t durable_told;    /* as stepped */
	int64_t committed;       /* by COMMIT of this reign */
	uint64_t closed_slots;   /* CLOSE since the mask was emptied */
	uint64_t broken_slots;   /* CONN_DOWN is to be stepped */

	/* The packet of this step, borrowed; NULL: of no packet. */
	const struct quorum_packet *packet;
	struct jute_slice entry; /* of PROPOSAL, INFORM, INFORMANDACTIVATE */

	/* ensemble_hold.c */
	struct held_entry *held_first, *held_last;
	uint64_t held_bytes;
	int64_t append_to;  /* up to here they may be applied */
	int64_t exact_from; /* digests above are compared */
	bool is_leader_paused;
	bool has_diverged; /* nothing is applied until all was loaded anew */
	bool must_tell_diverged;

	/* ensemble_lend.c */
	enum lend_kind lend;
	int64_t lend_zxid;
	bool is_lend_begun;   /* BG has been asked */
	bool is_install_done; /* all bytes are there */
	uint64_t install_ms;  /* when the last came */

	/* ensemble_genesis.c */
	bool has_genesis; /* a voter */
	bool is_genesis_stepping;
	bool is_genesis_awaited; /* the core is non-voting because of it only */
	struct genesis genesis;
	struct genesis_actions genesis_actions;

	/* ensemble_in.c: links told while something was stepped. */
	uint32_t link_count;
	struct ensemble_link link[FLE_NET_PEERS_MAX];

	/* ensemble_relay.c */
	struct relay_queue syncs, resumes;
	struct quorum_touch *touch;
	uint32_t touch_count, touch_room;

	struct entry_ring *recent;
	struct learner learner[ZAB_CONNS_MAX];
	uint32_t next_serial;
	uint32_t turn; /* learner whose requests are taken first */

	/* ensemble_config.c: active, next, and what this step brought. */
	struct config_text text[ENSEMBLE_TEXTS];
	struct quorum seen;
	struct quorum members; /* active, as last told to fle_net */
	char *derived;
	const struct quorum *proposing; /* of the reconfig to be proposed */
	bool is_reconfig_kept;          /* the entry just made is it */
	bool must_patch; /* the config node, as soon as readers are gone */

	uint8_t *scratch;
	size_t scratch_bytes;
	struct stream_event events[ENSEMBLE_EVENTS_MAX];

	/* ensemble_note.c */
	struct ensemble_note note[ENSEMBLE_NOTES];
	_Atomic uint32_t note_head, note_tail;
	bool is_status_old;
	struct ensemble_status status;
	_Atomic uint64_t status_serial;
	_Atomic uint64_t *status_words;
};

/* ---- ensemble.c ---- */

/* One step of the core and all that follows from it; what has gathered goes
 * before it. */
void ensemble_step(struct ensemble *, struct zab_event *);
/* A connection is closed by us, the core is told with the next round. */
void ensemble_break(struct ensemble *, uint32_t slot, enum peer_down why);
/* Tells the peers, before it is done, of work on so many bytes that it may keep
 * this core longer than they bear silence. */
void ensemble_busy(struct ensemble *, uint32_t bytes);
/* Tells the core of what was marked so; true if there was any. */
bool ensemble_step_broken(struct ensemble *);
/* Room for a packet or more; never NULL. */
uint8_t *ensemble_scratch(struct ensemble *, size_t bytes);

/* ---- ensemble_in.c ---- */
struct fle_net_hooks ensemble_fle_hooks(struct ensemble *);
struct peer_hooks ensemble_peer_hooks(struct ensemble *);
/* Events of BG; true if there was any. */
bool ensemble_take_store(struct ensemble *);

/* Steps the links that waited; true if there was any. */
bool ensemble_take_links(struct ensemble *);

/* ---- ensemble_genesis.c ---- */

/* Hooks of fle_net. */
void ensemble_genesis_hello(void *ensemble, struct genesis_message *out);
bool ensemble_genesis_message(void *ensemble, int64_t sid,
			      const struct genesis_message *);
/* Returns whether the core must not vote until the register says so. */
bool ensemble_genesis_init(struct ensemble *, const struct zab_disk_state *,
			   const struct ensemble_genesis *);
/* Begins to ask; before links are told. */
void ensemble_genesis_start(struct ensemble *);
/* Shows what a server said that does not speak of the register. */
void ensemble_genesis_notification(struct ensemble *, int64_t sid,
				   const struct fle_notification *);
void ensemble_genesis_link(struct ensemble *, int64_t sid, bool is_up);
void ensemble_genesis_durable(struct ensemble *);
/* Time, and MAY_VOTE; true if there was anything. */
bool ensemble_poll_genesis(struct ensemble *);
uint64_t ensemble_genesis_wake_ms(const struct ensemble *);
/* VOTER_AGAIN. */
void ensemble_genesis_adopt(struct ensemble *);
/* A STATE says that clients may be served. */
void ensemble_genesis_serves(struct ensemble *);

/* ---- ensemble_late.c ---- */
/* Puts the packets of an action off if they may leave later; false: send. */
bool ensemble_late_take(struct ensemble *, const struct zab_action *);
/* Sends them now. */
void ensemble_late_send(struct ensemble *);

/* Something else is about to be sent to these learners. */
static inline void
ensemble_late_overtaken(struct ensemble *ensemble, uint64_t slots)
{
	if (FAL_UNLIKELY((ensemble->late.slots & slots) != 0))
		ensemble_late_send(ensemble);
}

/* A connection ended. */
static inline void
ensemble_late_forget(struct ensemble *ensemble, uint64_t slots)
{
	ensemble->late.slots &= ~slots;
}

/* ---- ensemble_burst.c ---- */
/* zab_next_zxid() behind what has gathered; 0: none now. */
int64_t ensemble_burst_next_zxid(const struct ensemble *);
/* That zxid is in the log's window; no reconfiguration. */
void ensemble_burst_propose(struct ensemble *, int64_t zxid);
/* An ACK came; false: it is to be stepped. */
bool ensemble_burst_ack(struct ensemble *, uint32_t slot, int64_t zxid);
/* Steps what has gathered, if anything. */
void ensemble_burst_step(struct ensemble *);

static inline bool
ensemble_burst_is_empty(const struct ensemble *ensemble)
{
	return ensemble->burst.count == 0 && !ensemble->burst.has_ack;
}

/* ---- ensemble_act.c ---- */
void ensemble_act(struct ensemble *, const struct zab_event *,
		  const struct zab_action *);
/* Serves when a STATE said so and everything held is applied. */
void ensemble_serve_if_ready(struct ensemble *);

/* ---- ensemble_send.c ---- */
void ensemble_send(struct ensemble *, const struct zab_action *);
void ensemble_stream_history(struct ensemble *, const struct zab_action *);
void ensemble_stream_snapshot(struct ensemble *, const struct zab_action *);
/* A request to the leader; ids may be NULL. False: not now, too much is on its
 * way. */
bool ensemble_send_request(struct ensemble *, const struct quorum_request *,
			   const struct auth_ids *ids);
void ensemble_send_revalidate(struct ensemble *, int64_t session_id,
			      int32_t timeout_ms);
void ensemble_send_revalidated(struct ensemble *, uint32_t slot,
			       int64_t session_id, bool is_valid);
/* beacon_ms in the bytes behind FOLLOWERINFO and LEADERINFO; 0: none. */
uint32_t ensemble_beacon_of(struct jute_slice rest);

/* ---- ensemble_hold.c ---- */
/* Keeps the entry of this step. */
void ensemble_hold(struct ensemble *, int64_t zxid);
void ensemble_append(struct ensemble *, int64_t first, int64_t last);
void ensemble_drop_held(struct ensemble *);
/* Steps DIVERGED, if it is due; true if it was. */
bool ensemble_step_diverged(struct ensemble *);
/* Applies what may be and finds room; true if there was any. */
bool ensemble_apply_held(struct ensemble *);
/* Is something held that may be applied already? */
bool ensemble_is_behind(const struct ensemble *);

/* ---- ensemble_lend.c ---- */
void ensemble_want_lend(struct ensemble *, enum lend_kind, int64_t zxid);
bool ensemble_poll_lend(struct ensemble *);
uint32_t ensemble_on_raw(void *ensemble, uint32_t slot, const uint8_t *data,
			 uint32_t bytes);
/* TRUNCATED, INSTALLED, REFUSED, RELOADED. */
void ensemble_end_lend(struct ensemble *, const struct store_event *);

/* ---- ensemble_learners.c ---- */
void ensemble_learner_up(struct ensemble *, uint32_t slot);
void ensemble_learner_gone(struct ensemble *, uint32_t slot);
/* REQUEST, PING and REVALIDATE of a learner, behind their step. */
void ensemble_learner_packet(struct ensemble *, uint32_t slot,
			     const struct quorum_packet *);
/* Proposes what waits; true if there was any. */
bool ensemble_run_learners(struct ensemble *);
bool ensemble_learners_have_work(const struct ensemble *);

/* ---- ensemble_relay.c ---- */
FAL_MUST_CHECK int ensemble_relay_init(struct ensemble *);
void ensemble_relay_free(struct ensemble *);
/* Is this server one whose observers ask through it? */
bool ensemble_relays(const struct ensemble *);
/* The leader is lost: nothing will be answered. */
void ensemble_relay_reset(struct ensemble *);
/* PING and REVALIDATE of an observer. */
void ensemble_relay_touches(struct ensemble *, const struct quorum_packet *);
/* Tells those that wait, for PINGs to the leader, and forgets them. */
void ensemble_relay_each_touched(struct ensemble *,
				 void (*fn)(void *arg, int64_t session_id,
					    int32_t timeout_ms),
				 void *arg);
void ensemble_relay_revalidate(struct ensemble *, uint32_t slot,
			       const struct quorum_touch *asked);
/* A request of an observer; false: it has to wait. */
bool ensemble_relay_request(struct ensemble *, uint32_t slot,
			    const struct learner_request *);
/* Hooks of zab_quorum for the own clients, at a learner. */
bool ensemble_forward(void *ensemble, const struct req *);
void ensemble_revalidate(void *ensemble, int64_t session_id,
			 int32_t timeout_ms);
/* The leader's answers: to whom they belong. */
void ensemble_relay_synced(struct ensemble *, const struct zab_action *);
/* False: nobody asked for it. */
bool ensemble_relay_revalidated(struct ensemble *,
				const struct quorum_revalidated *);

/* ---- ensemble_config.c ---- */
void ensemble_config_init(struct ensemble *, const struct zab_disk_state *,
			  const char *text, const char *next_text);
/* What this step brought; NULL: none, not understood, or reconfig is off. */
const struct quorum *ensemble_config_seen(struct ensemble *,
					  struct jute_slice text);
/* The configuration in a reconfig's entry; NULL: it is none. */
const struct quorum *ensemble_config_of_entry(struct ensemble *,
					      struct jute_slice entry);
/* The one that the data, just loaded, holds; NULL: none that is newer than the
 * active one. */
const struct quorum *ensemble_config_of_data(struct ensemble *);
void ensemble_config_persist(struct ensemble *, int64_t version);
void ensemble_config_activate(struct ensemble *, int64_t version);
/* zab_quorum.reconfigure. */
int32_t ensemble_reconfigure(void *ensemble, const uint8_t *body,
			     uint32_t body_bytes, struct jute_slice *config);
/* Goes on with patching the config node; false: nothing is to be done. */
bool ensemble_poll_patch(struct ensemble *);
/* The text of that version, or of the newest one known. */
struct jute_slice ensemble_config_text(struct ensemble *, int64_t version);
struct jute_slice ensemble_config_active(const struct ensemble *);

/* ---- ensemble_note.c ---- */
FAL_MUST_CHECK int ensemble_note_init(struct ensemble *);
void ensemble_note(struct ensemble *, const struct ensemble_note *);
void ensemble_tell_status(struct ensemble *);

#endif
