/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_FAKE_STREAM_H
#define FALCONER_TESTS_FAKE_STREAM_H

/*
 * fake_stream - drivers/stream.h in memory: the test is the other side. What it
 * puts in is readable at the next poll; what the core sends is collected.
 */

#include "drivers/stream.h"

#ifndef FAKE_STREAMS
#define FAKE_STREAMS 192u
#endif
#ifndef FAKE_BUFFER_MAX
#define FAKE_BUFFER_MAX (4u << 20)
#endif

struct fake_stream {
	stream_id id; /* STREAM_NONE: free */
	uint32_t gen;
	struct stream_address peer;
	uint8_t *in, *out;
	uint32_t in_bytes, out_bytes; /* out: committed */
	uint32_t wanted;
	uint32_t tag;
	uint8_t reason; /* of CLOSED */
	bool is_new, is_paused;
	bool is_dial, is_answered; /* by stream_connect(); see fake_answer() */
	bool is_closed;            /* by the server */
	bool is_aborted;           /* is_closed, by stream_abort() */
	bool was_aborted, has_finished; /* by the other side */
	uint32_t unsent_max;
	bool is_writable; /* WRITABLE at the next poll */
};

struct fake_core {
	struct stream_core head;
	uint32_t unsent;         /* what stream_unsent() tells, of each */
	uint32_t listen_tag;     /* of who connects */
	bool is_unreachable;     /* stream_connect() fails at once */
	uint32_t connect_count;  /* calls of stream_connect() */
	void (*meanwhile)(void); /* at the next poll, once; NULL: nothing */
	uint32_t next; /* to be used; what ended can be looked at for long */
	uint32_t used; /* streams from here on never were */
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
/* The other side finishes: CLOSED comes when its bytes are consumed. */
void fake_finish(struct fake_core *, uint32_t index);
/* The dial to this port, or FAKE_STREAMS if there is none; several: the one
 * with the lowest index. */
uint32_t fake_dial_to(const struct fake_core *, uint16_t port);
/* A dial ends: OPENED, or CLOSED with a reason. */
void fake_answer(struct fake_core *, uint32_t index);
void fake_refuse(struct fake_core *, uint32_t index, enum stream_reason);
/* Takes the next whole frame the server sent (behind its length word); NULL:
 * there is none. Valid until the next call for this client. */
const uint8_t *fake_receive(struct fake_core *, uint32_t index,
			    uint32_t *bytes);

#endif
