/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_FAKE_STREAM_H
#define FALCONER_TESTS_FAKE_STREAM_H

/*
 * fake_stream - drivers/stream.h in memory: the test is the other side. What it
 * puts in is readable at the next poll; what the core sends is collected.
 */

#include "drivers/stream.h"

#define FAKE_STREAMS    64u
#define FAKE_BUFFER_MAX (4u << 20)

struct fake_stream {
	stream_id id; /* STREAM_NONE: free */
	uint32_t gen;
	struct stream_address peer;
	uint8_t *in, *out;
	uint32_t in_bytes, out_bytes; /* out: committed */
	uint32_t wanted;
	bool is_new, is_paused;
	bool is_closed; /* by the server */
	bool was_aborted;
	uint32_t unsent_max;
};

struct fake_core {
	struct stream_core head;
	struct fake_stream stream[FAKE_STREAMS];
};

/* A core without connections; free with stream_destroy(). */
struct fake_core *fake_core_new(void);
/* A client connects; the index names it until fake_forget(). */
uint32_t fake_connect(struct fake_core *);
/* The client sends. */
void fake_send(struct fake_core *, uint32_t index, const void *data,
	       uint32_t bytes);
/* The client goes away without a word. */
void fake_vanish(struct fake_core *, uint32_t index);
/* Takes the next whole frame the server sent (behind its length word); NULL:
 * there is none. Valid until the next call for this client. */
const uint8_t *fake_receive(struct fake_core *, uint32_t index,
			    uint32_t *bytes);

#endif
