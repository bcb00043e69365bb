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

#include "dataplane/reader.h"
#include "server/server.h"

/* Rows of all live connections, for stat and cons. */
struct words_rows {
	struct reader_conn_row *row;
	uint32_t count;
};

/* Does the answer list connections? (And may the word be executed at all?) */
bool words_needs_rows(const struct server *, uint32_t word);

/*
 * Makes the answer to a word (its four bytes, big-endian).
 *
 * bytes  out: the length, 0 for a word that is answered by closing alone
 *
 * Returns malloc'ed text, given to the caller; NULL with *bytes 0.
 */
char *words_text(const struct server *, uint32_t word,
		 const struct words_rows *, uint32_t *bytes);

/* words_envi.c */
void words_put_envi(FILE *out);

#endif
