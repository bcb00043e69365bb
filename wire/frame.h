/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_WIRE_FRAME_H
#define FALCONER_WIRE_FRAME_H

/*
 * frame - int length | length bytes: the framing of the client protocol and
 * of the election port.
 *
 * A length outside of the limits is known bad as soon as its word is there,
 * so nobody waits or allocates for it. There is no resynchronisation: the
 * answer to a bad length is to close the connection.
 *
 *   client, first frame    CONNECT_BYTES_MIN .. jute.maxbuffer
 *   client, then           8 (a RequestHeader) .. jute.maxbuffer
 *   election               1 .. 524288
 *
 * Context    any thread; pure functions.
 * Ownership  the body points into the caller's bytes.
 * Limits     replies are not limited, only what comes in is.
 * Source     client-protocol.md 1.2, quorum-protocol.md 3.2.
 */

#include "wire/jute.h"

#define FRAME_LENGTH_BYTES 4
/* A ConnectRequest with a null password and without readOnly. */
#define FRAME_CONNECT_BYTES_MIN  28
#define FRAME_REQUEST_BYTES_MIN  8
#define FRAME_ELECTION_BYTES_MAX 524288

/* Both inclusive; of the length word, which does not count itself. */
struct frame_limits {
	int32_t bytes_min;
	int32_t bytes_max;
};

/* What a client may send. bytes_max is jute.maxbuffer. */
static inline struct frame_limits
frame_limits_client(bool is_connected, int32_t bytes_max)
{
	return (struct frame_limits){
		.bytes_min = is_connected ? FRAME_REQUEST_BYTES_MIN
					  : FRAME_CONNECT_BYTES_MIN,
		.bytes_max = bytes_max,
	};
}

static inline struct frame_limits
frame_limits_election(void)
{
	return (struct frame_limits){.bytes_min = 1,
				     .bytes_max = FRAME_ELECTION_BYTES_MAX};
}

/*
 * Looks for a whole frame at the start of a stream's bytes.
 *
 * body         out, when 1: what the length word counts; else null
 * frame_bytes  out, when 1: body and length word together;
 *              when 0: how many bytes there must be before asking again
 *
 * 1           a whole frame
 * 0           not yet
 * FAL_EPROTO  the length is outside of the limits; close
 */
FAL_MUST_CHECK static inline int
frame_get(const void *data, size_t bytes, struct frame_limits limits,
	  struct jute_slice *body, size_t *frame_bytes)
{
	const uint8_t *at = data;
	int32_t length;

	*body = (struct jute_slice){.data = NULL, .bytes = -1};
	*frame_bytes = FRAME_LENGTH_BYTES;
	if (bytes < FRAME_LENGTH_BYTES)
		return 0;
	length = (int32_t)be_load32(at);
	if (length < limits.bytes_min || length > limits.bytes_max)
		return FAL_EPROTO;
	*frame_bytes = FRAME_LENGTH_BYTES + (size_t)length;
	if (bytes < *frame_bytes)
		return 0;
	*body = jute_slice_of(at + FRAME_LENGTH_BYTES, (size_t)length);
	return 1;
}

/* Leaves room for a length word; returns the mark for frame_end(). */
static inline size_t
frame_begin(struct jute_writer *writer)
{
	jute_put_int(writer, 0);
	return jute_written(writer);
}

/* Fills in the length of what was written since frame_begin(). Does nothing
 * to a writer that is full. */
static inline void
frame_end(struct jute_writer *writer, size_t mark)
{
	if (writer->is_full)
		return;
	FAL_ASSERT(mark >= FRAME_LENGTH_BYTES && mark <= jute_written(writer));
	be_store32(writer->start + mark - FRAME_LENGTH_BYTES,
		   (uint32_t)(jute_written(writer) - mark));
}

#endif
