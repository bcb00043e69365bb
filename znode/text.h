/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_TEXT_H
#define FALCONER_ZNODE_TEXT_H

/*
 * text - ustrings as the reference server understands them.
 *
 * ZooKeeper holds strings as UTF-16. It reads UTF-8, turning every malformed
 * piece into U+FFFD, and writes code units one by one, so that a character
 * beyond U+FFFF leaves as two three-byte surrogates (CESU-8). Where bytes are
 * compared or answered, both steps have to be repeated here.
 *
 * Context    any thread; no allocation.
 * Limits     a code point of 4 input bytes becomes at most 6 output bytes, a
 *            malformed byte at most 3: output <= 3 * input.
 * Source     client-protocol.md sections 1.3 and 10.
 */

#include "wire/jute.h"

#define TEXT_REPLACEMENT 0xFFFDu

/* How characters beyond U+FFFF are written. */
enum text_form { TEXT_UTF8, TEXT_CESU8 };

/*
 * Takes one character off [*at, end), which is not empty: its code point, or
 * U+FFFD for a malformed piece. A piece is as long as Java's decoder makes it
 * (one to three bytes), so that the number of U+FFFD agrees.
 */
uint32_t text_next(const uint8_t **at, const uint8_t *end);

/* Writes the bytes (no length word) of `text` after decoding and encoding. */
void text_put(struct jute_writer *, struct jute_slice text, enum text_form);

/* True if text_put(.., TEXT_CESU8) would write the very same bytes. */
bool text_is_normal(struct jute_slice text);

#endif
