/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_PERF_LOAD_REQUEST_H
#define FALCONER_PERF_LOAD_REQUEST_H

/*
 * request - the frames the load program sends, and what it expects back.
 *
 * Keys are ROOT/dDDDDDD/kKKKKKKKKK, a thousand to a directory, so that a
 * million of them do not make one giant child list. Temporary nodes of `create`
 * are ROOT/tRRRRRRR-CCCCC-NNNNNNNN, by run and connection: nobody else touches
 * them.
 *
 * Context    any; no state but what is passed.
 * Ownership  frames are written to the caller's writer; values come from one
 *            block of zeros owned here.
 */

#include "perf/load/options.h"
#include "wire/jute.h"

#define LOAD_KEYS_PER_DIR 1000u
/* Most bytes of a request's frame besides the value. */
#define LOAD_REQUEST_OVERHEAD 256u

/* What a reply is checked against. */
enum load_op {
	LOAD_OP_GET,
	LOAD_OP_SET,
	LOAD_OP_CREATE,
	LOAD_OP_DELETE,
	LOAD_OP_EXISTS,
	LOAD_OP_CHILDREN,
	LOAD_OP_SYNC,
	LOAD_OP_SET_TWO, /* a multi of two setData */
	LOAD_OP_MULTI,   /* a multi of creates, of the fill */
	LOAD_OP_WATCH,   /* getData that sets a watch */
};

/* A frame for one operation; `number` is the key, or for create and delete the
 * number of the node on this connection. */
void request_put(struct jute_writer *, const struct load_options *,
		 enum load_op, int32_t xid, uint32_t conn, uint64_t number);
/* create of a node without data: a directory of the tree of keys. */
void request_put_directory(struct jute_writer *, const char *path, int32_t xid);
/* One multi that creates keys first..first+count-1 and, before the first key
 * of a directory, the directory. Returns the number of its operations. */
uint32_t request_put_fill(struct jute_writer *, const struct load_options *,
			  int32_t xid, uint32_t first, uint32_t count);
/* Two setData in one multi. */
void request_put_set_two(struct jute_writer *, const struct load_options *,
			 int32_t xid, uint64_t one, uint64_t other);
void request_put_ping(struct jute_writer *);
void request_put_connect(struct jute_writer *, int32_t timeout_ms);
/* exists of a key, for finding out whether the keys are there. */
void request_put_exists(struct jute_writer *, const struct load_options *,
			int32_t xid, uint32_t key);

/*
 * Is this the right body of a good reply to that operation?
 *
 * body     behind the reply header
 * created  number of operations, for LOAD_OP_MULTI
 */
bool request_reply_is_right(enum load_op, const struct load_options *,
			    struct jute_reader *body, uint32_t created);

#endif
