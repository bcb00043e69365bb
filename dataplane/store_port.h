/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_STORE_PORT_H
#define FALCONER_DATAPLANE_STORE_PORT_H

/*
 * store_port - what blocks, as the ZAB core of an ensemble sees it: epoch and
 * configuration files, truncation, snapshots in both directions, histories.
 *
 * dataplane and store do not know each other; server/ puts store/ and the BG
 * thread behind these functions, tests put a disk in memory there. Every
 * request is carried out by BG and answered by an event that the ZAB core takes
 * with store_port.next(); requests of one kind complete in their order.
 *
 * Lending. From truncate(), install_begin() or reload() to its event BG owns
 * tree, session table, prep and the log: the ZAB core touches none of them (no
 * reclaim, no expiry, no append), no reader is online (all are parked), nothing
 * waits in the window. With the event they are back, in the state of the disk:
 * the log is restarted behind its last zxid, everything is published in the
 * tree, sessions are as committed, without owners. delta_restart() is the ZAB
 * core's.
 *
 * Context    ZAB core, unless said otherwise; no function blocks.
 * Errors     a request that fails ends in STORE_FAILED, which is final: the
 *            process stops (architecture.md section 6).
 * Source     quorum-protocol.md 8.1 and 8.3, disk-format.md section 15.
 */

#include "consensus/genesis.h"
#include "consensus/zab.h"

enum store_event_kind {
	STORE_NOTHING = 0,
	STORE_EPOCH,     /* epoch, is_current: durable */
	STORE_GENESIS,   /* the register is durable */
	STORE_CONFIG,    /* zxid (version): durable as `.dynamic.next` */
	STORE_TRUNCATED, /* zxid, disk */
	STORE_INSTALLED, /* zxid, disk */
	STORE_REFUSED,   /* text: what came as a snapshot cannot be loaded. The
			    disk is unharmed, the memory is not: close the
			    leader's connection; reload() must follow, all
			    stays lent until STORE_RELOADED */
	STORE_RELOADED,  /* disk */
	STORE_FLOOR,     /* zxid: older transactions cannot be read any more */
	STORE_FAILED,    /* err, text */
};

struct store_event {
	enum store_event_kind kind;
	int64_t zxid;
	int64_t epoch;
	bool is_current;
	int err;          /* fal_err */
	const char *text; /* names the file and the remedy; valid until the
			     next call of next() */
	/* As START and RELOADED of the core want it; valid until the next call
	 * of next(). epochs, active and next are not filled: the driver takes
	 * next from the data. */
	struct zab_disk_state disk;
};

/*
 * Bytes for a learner's connection, made by BG ahead of what is taken, at most
 * some MiB: packets of a history, or a snapshot without its SNAP packet but
 * with the signature behind it.
 *
 * Context    the ZAB core.
 */
struct store_stream;

struct store_stream_ops {
	/* Gives bytes that are ready, in place; 0: none at the moment. Valid
	 * until consume. */
	uint32_t (*peek)(struct store_stream *, const uint8_t **data);
	void (*consume)(struct store_stream *, uint32_t bytes);
	/* 1: all was given, 0: more will come, negative: fal_err */
	int (*state)(const struct store_stream *);
	/* Ends it in any state; BG frees. */
	void (*close)(struct store_stream *);
};

struct store_stream {
	const struct store_stream_ops *ops;
};

struct store_port {
	void *store;

	void (*persist_epoch)(void *store, bool is_current, int64_t epoch);
	/* Writes `.dynamic.next`; text is copied. version 0: removes that file,
	 * no event. */
	void (*persist_config)(void *store, int64_t version, const void *text,
			       uint32_t bytes);
	/* The configuration is active: `.dynamic.<version>` is written, the
	 * static file names it, `.dynamic.next` goes. No event. */
	void (*activate_config)(void *store, int64_t version, const void *text,
				uint32_t bytes);
	/* Writes the register; the state is copied. */
	void (*persist_genesis)(void *store, const struct genesis_state *);
	/* What made this server non-voting goes. No event. */
	void (*voter_again)(void *store);

	/* Log and memory end with zxid; snapshots above it go first. */
	void (*truncate)(void *store, int64_t zxid);
	/* A snapshot of the leader's state at zxid comes in. */
	void (*install_begin)(void *store, int64_t zxid);
	/* Takes bytes of it, never behind its end (the signature). Returns how
	 * many were taken, less when BG has to write first;
	 * *is_end: the end was among them; STORE_INSTALLED or STORE_REFUSED
	 *          follows
	 * FAL_EPROTO: this is no snapshot; reload() must follow */
	int32_t (*install_push)(void *store, const uint8_t *data,
				uint32_t bytes, bool *is_end);
	/* The log that was in memory only is written from the reload() on that
	 * follows. */
	void (*keep_log)(void *store);
	/* Also ends an installation under way, which then gives no event. */
	void (*reload)(void *store);

	/* PROPOSAL and COMMIT packets of the transactions in (after, last].
	 * NULL: out of memory. */
	struct store_stream *(*open_history)(void *store, int64_t after,
					     int64_t last);
	/* A snapshot of what is published now, at *zxid. NULL: too many are
	 * being written, or out of memory. */
	struct store_stream *(*open_snapshot)(void *store, int64_t *zxid);

	/* The next event; false: none waits. */
	bool (*next)(void *store, struct store_event *out);
	bool (*has_event)(const void *store);
};

#endif
