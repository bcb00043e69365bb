/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_WORDS_H
#define FALCONER_SERVER_WORDS_H

/*
 * words - four-letter words between the poll cores and the control thread.
 *
 * Formatting text and summing counters is no work for a poll core. A word
 * becomes a job that travels by rings:
 *
 *   origin core -> CTL                  ask
 *   CTL -> core c -> CTL                collect rows, core by core, with a
 *                                       fresh chunk whenever one is full
 *   CTL -> origin core                  send the text bit by bit, close
 *   origin core -> CTL -> origin core   the text is freed, the job is free
 *
 * Every core has a port, the ZAB core too when it has no connections: it lists
 * sessions and digests.
 *
 * Context    words_port_*(): the poll core that owns the port. words_serve():
 *            the control thread.
 * Limits     jobs are preallocated per reader core; rows and texts of all jobs
 *            share a bound; a word over either is answered by closing. A client
 *            that takes none of its text for some seconds is dropped.
 */

#include "dataplane/reader.h"
#include "server/server.h"
#include "server/words_collect.h"

struct words;
struct words_port;

/* One port per poll core; ctl is rung when jobs arrive. */
FAL_MUST_CHECK int words_create(struct server *, struct words **out);
void words_destroy(struct words *);
struct words_port *words_port(struct words *, uint32_t core);

/* The reader's hook: takes the word; false: too many are under way. */
bool words_port_ask(void *port, const struct reader_word *);
/* The loop's hook: collects rows and sends texts; true if anything was done. */
bool words_port_poll(void *port, uint64_t now_ns);
bool words_port_has_work(const void *port);
/* What the port works for; before the loop starts. Either role may be NULL. */
void words_port_attach(struct words_port *, struct reader *, struct zab *,
		       struct lcore *);

/*
 * The same collection for somebody else: the admin server.
 *
 * plan      which passes; an empty one is done at once
 * pass_arg  for passes that have one; borrowed until gathered() is called
 * gathered  called in words_serve(), or at once, by the control thread; rows
 *           are lent for the call, NULL: more than the bound, or no memory
 *
 * Returns false when WORDS_GATHERS_MAX are under way.
 */
#define WORDS_GATHERS_MAX 32u
typedef void (*words_gathered_fn)(void *arg, const struct words_rows *rows);
FAL_MUST_CHECK bool words_gather(struct words *, const struct words_plan *plan,
				 const void *pass_arg,
				 words_gathered_fn gathered, void *arg);
/* Which core the gathering with that arg waits for; UINT32_MAX: none. */
uint32_t words_gather_core(const struct words *, const void *arg);

/* Answers what came in; true if there was any. */
bool words_serve(struct words *);

#endif
