/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_WORDS_TEXT_H
#define FALCONER_SERVER_WORDS_TEXT_H

/*
 * words_text - what the four-letter words say.
 *
 * Context    control thread.
 * Source     client-protocol.md 11.1; the texts are ZooKeeper's.
 */

#include <stdio.h>

#include "server/server.h"
#include "server/words_collect.h"

#define WORDS_TRACE_MASK_DEFAULT 306

/* What an answer is made of. */
struct words_ask {
	struct server *server;
	const struct words_rows *rows;
	int64_t argument; /* of stmk */
};

/* Nothing for a word that is not known or not allowed. */
struct words_plan words_plan_of(const struct server *, uint32_t word);

/*
 * Makes the answer to a word (its four bytes, big-endian).
 *
 * bytes  out: the length, 0 for a word that is answered by closing alone
 *
 * Returns malloc'ed text, given to the caller; NULL with *bytes 0.
 */
char *words_text(const struct words_ask *, uint32_t word, uint32_t *bytes);

/* The name cons gives to an operation: GETD, CREA, ...; NA. */
const char *words_operation_name(int32_t op);

/* words_envi.c */
void words_put_envi(FILE *out);

/* words_falc.c */
void words_put_falc(FILE *out, struct server *);

/* words_lists.c */
void words_put_dump(FILE *out, const struct words_ask *);
void words_put_wchs(FILE *out, const struct words_ask *);
void words_put_wchc(FILE *out, const struct words_ask *);
void words_put_wchp(FILE *out, const struct words_ask *);
void words_put_hash(FILE *out, const struct words_ask *);

#endif
