/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_WORDS_H
#define FALCONER_SERVER_WORDS_H

/*
 * words - four-letter words between the reader cores and the control thread.
 *
 * Formatting text and summing counters is no work for a poll core. A word
 * becomes a job that travels by rings:
 *
 *   origin core -> CTL      ask
 *   CTL -> core c -> CTL    collect rows, core by core (stat, cons only)
 *   CTL -> origin core      send the text, close
 *   origin core -> CTL -> origin core   the text is freed, the job is free
 *
 * Jobs are preallocated per core; when all are under way the connection is
 * closed, which bounds what words can cost.
 *
 * Context    words_port_*(): the poll core that owns the port. words_serve():
 *            the control thread.
 */

#include "dataplane/reader.h"
#include "server/server.h"

struct words;
struct words_port;

/* One port per reader core; ctl is rung when jobs arrive. */
FAL_MUST_CHECK int words_create(struct server *, struct words **out);
void words_destroy(struct words *);
struct words_port *words_port(struct words *, uint32_t core);

/* The reader's hook: takes the word; false: too many are under way. */
bool words_port_ask(void *port, const struct reader_word *);
/* The loop's hook: collects rows and sends texts; true if there was any. */
bool words_port_poll(void *port, uint64_t now_ns);
bool words_port_has_work(void *port);
/* Which reader the port works for; before the loop starts. */
void words_port_attach(struct words_port *, struct reader *, struct lcore *);

/* Answers what came in; true if there was any. */
bool words_serve(struct words *);

#endif
