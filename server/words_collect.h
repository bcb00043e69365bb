/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_WORDS_COLLECT_H
#define FALCONER_SERVER_WORDS_COLLECT_H

/*
 * words_collect - a poll core's part in a four-letter word: rows of what it
 * has, a few microseconds' worth at a time.
 *
 * Context    the core of the reader or zab.
 */

#include "dataplane/reader.h"
#include "dataplane/zab.h"
#include "server/words_rows.h"

/* What a core is asked for. */
enum words_pass {
	WORDS_PASS_NONE = 0,
	/* a reader: */
	WORDS_PASS_CONNS,
	WORDS_PASS_WATCHES,      /* of the data table */
	WORDS_PASS_WATCH_COUNTS, /* of the data table */
	WORDS_PASS_WATCH_HASHES, /* the same, and the hash of each path */
	WORDS_PASS_RESET_CONNS,  /* no rows: empties the statistics */
	/* the zab: */
	WORDS_PASS_SESSIONS, /* with their ephemerals */
	WORDS_PASS_DIGESTS,
	/* either: */
	WORDS_PASS_PING, /* no rows: shows that the core polls */
	/* a reader, for the admin server: */
	WORDS_PASS_TOP,      /* paths and clients that ask most */
	WORDS_PASS_SLOW,     /* its slowest requests */
	WORDS_PASS_ROOT_ACL, /* value 1: arg, a struct auth_ids, may do all */
	WORDS_PASS_SHED,     /* value: connections closed of arg, an int's,
				per cent */
};

/* What is to be collected before a word can be answered. */
struct words_plan {
	enum words_pass reader_pass; /* by each reader */
	enum words_pass zab_pass;
};

/* How far a pass has come; zeroed before the first slice. */
struct words_cursor {
	uint32_t place;
	bool has_counts; /* this row is there already */
	const void *arg; /* of the pass; borrowed */
	uint64_t position;
	struct zab_session_cursor sessions;
};

enum words_progress {
	WORDS_MORE, /* call again in the next round */
	WORDS_FULL, /* a chunk is needed */
	WORDS_END,
};

/* One slice. The reader is NULL for a pass of the zab, and the other way
 * round. */
enum words_progress words_collect(enum words_pass, struct reader *,
				  struct zab *, struct words_cursor *,
				  struct words_rows *);

#endif
