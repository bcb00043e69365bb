/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_REQ_H
#define FALCONER_DATAPLANE_REQ_H

/*
 * req - a request that waits: behind a write of its connection, or at the ZAB
 * core.
 *
 * A read with nothing in front of it is answered from the receive buffer and
 * never becomes a req. All others queue on their connection in the order they
 * came, which is the order of the replies:
 *
 *   SENT   is at the ZAB core. It comes back either as a delta record (a
 *          transaction) or by the unicast ring R3 (everything else).
 *   LOCAL  waits for the SENT ones in front of it, then is answered by the
 *          reader at the zxid that the last of them left.
 *   READY  its answer is known (a refused body, an auth packet), only its
 *          place in the order is not reached.
 *
 * Whoever allocates frees: a req is made and freed by its reader core; the ZAB
 * core borrows it from R1 until it is answered.
 *
 * Limits     REQ_INLINE_BYTES of body travel inside; longer bodies are
 *            malloc'ed by the reader.
 */

#include "base/fal.h"
#include "base/list.h"
#include "base/ring.h"
#include "znode/acl.h"
#include "znode/session.h"

#define REQ_INLINE_BYTES 512u

enum req_kind {
	REQ_WRITE,     /* data lane: becomes a transaction, closeSession too */
	REQ_SYNC,      /* data lane: answered behind everything appended */
	REQ_EPHEMERAL, /* data lane: getEphemerals, the writer has the lists */
	REQ_CONNECT,   /* session lane: a new session */
	REQ_RESUME,    /* session lane: take a session over */
	REQ_DETACH,    /* session lane: its connection is gone; no answer but
			  the req itself */
	REQ_LOCAL,     /* never leaves the reader */
};

enum req_state {
	REQ_IS_SENT,
	REQ_IS_LOCAL,
	REQ_IS_READY,
};

/* What the ZAB core says about a req that comes back by R3. */
enum req_verdict {
	REQ_ANSWER, /* reply with err and reply bytes */
	REQ_DROP,   /* no reply (unknown session) */
	REQ_CLOSE,  /* close the connection without a reply */
};

/* Identities, shared by a connection and its requests under way. Counted by
 * the reader core alone. */
struct req_ids {
	uint32_t refs;
	struct auth_ids *list;
};

struct req {
	/* Written by the reader, read by both. */
	uint8_t kind;        /* enum req_kind */
	uint8_t state;       /* enum req_state, reader only */
	bool is_password_ok; /* RESUME */
	bool is_long;        /* LOCAL, EPHEMERAL: nothing was let in behind */
	int32_t xid;
	int32_t op;
	int32_t timeout_ms; /* CONNECT, RESUME: negotiated */
	int64_t session_id;
	struct session_owner owner; /* core, connection and its generation */
	uint64_t received_ns;       /* its frame was found */
	uint64_t sent_ns;           /* to the ZAB core */
	uint64_t heard_ms;          /* DETACH: last word of the connection */
	const uint8_t *body;
	uint32_t body_bytes;
	struct req_ids *ids;
	struct req *next;     /* on the connection, reader only */
	uint32_t large_bytes; /* counted as large; 0: it is not */

	/* The ZAB core's while it has the req; see zab_member.c. */
	struct list waiting_link;
	struct list match_link;
	uint64_t taken_ns; /* from the ring; 0: nobody tells the time */

	/* Written by the ZAB core for a req that comes back by R3; err also by
	 * the reader for READY. */
	uint8_t verdict; /* enum req_verdict */
	int32_t err;
	uint64_t fence; /* answer at S >= fence */
	/* getEphemerals: handles of the nodes, 4 bytes each; malloc'ed, or
	 * NULL; the reader frees it. */
	uint8_t *reply;
	uint32_t reply_bytes;

	uint8_t inline_body[REQ_INLINE_BYTES];
};

/* Entries of R3 are struct req *, or a server-initiated close of a connection
 * that is no longer its session's owner, told apart by the lowest bit. */
static inline void *
req_close_token(uint32_t conn, uint32_t conn_gen)
{
	return (void *)(uintptr_t)(((uint64_t)conn_gen << 32) |
				   ((uint64_t)conn << 1) | 1u);
}

static inline bool
req_is_close_token(const void *entry)
{
	return ((uintptr_t)entry & 1u) != 0;
}

static inline uint32_t
req_close_token_conn(const void *entry)
{
	return (uint32_t)((uintptr_t)entry & UINT32_MAX) >> 1;
}

static inline uint32_t
req_close_token_gen(const void *entry)
{
	return (uint32_t)((uint64_t)(uintptr_t)entry >> 32);
}

/* A reader's free list of reqs; one core. */
struct req_pool {
	struct req *free;
	struct req *all;
	uint32_t free_count, count;
	uint64_t large_bytes; /* of all large reqs under way */
	uint64_t body_bytes;  /* of all that did not fit into their reqs */
};

FAL_MUST_CHECK int req_pool_init(struct req_pool *, uint32_t count);
void req_pool_destroy(struct req_pool *);

/* A req with a copy of the body and a reference to ids (may be NULL); NULL
 * when the pool (or, for a long body, memory) is exhausted. */
struct req *req_new(struct req_pool *, const void *body, uint32_t body_bytes,
		    struct req_ids *ids);
void req_free(struct req_pool *, struct req *);

/* Takes ownership of the list. NULL: out of memory (the list is freed). */
struct req_ids *req_ids_new(struct auth_ids *list);
void req_ids_ref(struct req_ids *);
void req_ids_unref(struct req_ids *);

#endif
