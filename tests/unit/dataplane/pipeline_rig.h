/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_PIPELINE_RIG_H
#define FALCONER_TESTS_PIPELINE_RIG_H

/*
 * pipeline_rig - a READER and the ZAB role in one thread, between clients that
 * the test plays (fake_stream) and a log in memory whose durability the test
 * decides. Clocks are the test's too, so nothing here depends on time.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "dataplane/reader.h"
#include "dataplane/zab.h"
#include "fake_stream.h"

#define RIG_ENTRY_MAX  (2u << 20)
#define RIG_TIMEOUT_MS 10000
#define RIG_TICK_MS    1000
#define RIG_AWAIT_MS   300

struct rig {
	struct acl_options acl;
	struct tree *tree;
	struct session_table *sessions;
	struct prep *prep;
	struct delta_ring *deltas;
	struct fake_core *streams;
	struct lcore lcore, zab_lcore; /* the second: see rig_start_spread() */
	struct channel channel;
	struct stats stats;
	struct reader *reader;
	struct zab *zab;
	uint64_t now_ms;
	uint64_t tree_bytes_max;
	uint64_t reap_interval_ms;    /* of rig_restart_zab(); 0: never */
	struct stream_core *lent;     /* what rig_start_over() was given */
	struct reader_options limits; /* what rig_start_limited() was given */

	/* The log. */
	int64_t written, durable;
	bool is_slow; /* durable moves only by rig_sync() */
	bool has_no_space;
	bool has_no_ledger;
	bool is_spread;
	bool is_counted; /* it sums the entries as a log does, checks nothing */
	uint32_t sum;
	uint32_t commits, kicks, rolls;

	/* A member of an ensemble; zab_member_join() is the test's. */
	bool is_member;
	struct serving serving;

	uint32_t words_asked;
	struct reader_word word;

	uint8_t entry[RIG_ENTRY_MAX]; /* of the log; last: see clear() */
};

/* A client of the rig. */
struct rig_client {
	struct rig *rig;
	uint32_t stream;
	int64_t session_id;
	int32_t next_xid;
};

void rig_start(struct rig *);
/* The same with a cap on the tree's memory; 0: none. */
void rig_start_capped(struct rig *, uint64_t tree_bytes_max);
/* The same with limits of the reader: those fields of the options that
 * dataplane/reader.h calls limits, and ensemble_names. */
void rig_start_limited(struct rig *, const struct reader_options *limits);
/* The same over other streams, lent, whose clients are not the rig's. */
void rig_start_over(struct rig *, struct stream_core *streams);
/* The same as a member of an ensemble. */
void rig_start_member(struct rig *);
/* With a core for each role: what belongs to a core is there twice. */
void rig_start_spread(struct rig *);
/* Without a ledger. */
void rig_start_no_ledger(struct rig *);
void rig_stop(struct rig *);
/* A new ZAB role over the same data, as after a restart. */
void rig_restart_zab(struct rig *);
/* Some rounds of both roles: enough for anything that waits for no log. */
void rig_run(struct rig *);
/* Everything written becomes durable; then rounds. */
void rig_sync(struct rig *);

/* Connects and opens a session. */
struct rig_client rig_client(struct rig *);
/* The same; false: the server closed the connection without a word. */
bool rig_try_client(struct rig *, struct rig_client *);
/* Sends a request whose body is in `body`; returns its xid. */
int32_t rig_request(struct rig_client *, int32_t op,
		    const struct jute_writer *body);
int32_t rig_create(struct rig_client *, const char *path, const char *data,
		   int32_t flags);
int32_t rig_set_data(struct rig_client *, const char *path, const char *data);
int32_t rig_get_data(struct rig_client *, const char *path, bool has_watch);
int32_t rig_path_op(struct rig_client *, int32_t op, const char *path);
int32_t rig_bare_op(struct rig_client *, int32_t op);

/* The next frame of the server, which must be there. */
struct rig_reply {
	struct proto_reply_header header;
	struct jute_reader body;
};
struct rig_reply rig_reply(struct rig_client *);
/* Asserts that nothing is there. */
void rig_expect_silence(struct rig_client *);
/* The next reply answers xid with err; returns its zxid. */
int64_t rig_expect(struct rig_client *, int32_t xid, int32_t err);
/* The next reply answers xid and its data is `data`. */
void rig_expect_data(struct rig_client *, int32_t xid, const char *data);

#endif
