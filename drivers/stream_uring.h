/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_STREAM_URING_H
#define FALCONER_DRIVERS_STREAM_URING_H

/*
 * stream_uring - what the two halves of the io_uring implementation share:
 * stream_uring_request.c submits, stream_uring.c takes completions. Included by
 * those two only; the mechanism is described in stream_uring.c.
 *
 * Context    the thread that polls, see stream.h.
 */

#include <liburing.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/fal.h"
#include "drivers/stream_socket.h"

/* Provided buffers: as many as may be filled between two polls before receives
 * are told to come again. */
#define URING_BUFFERS      256u
#define URING_BUFFER_BYTES STREAM_BUFFER_BYTES
#define URING_BUFFER_GROUP 0

/* Completions handled and connections accepted in one poll. */
#define URING_COMPLETIONS_MAX 512u

/* Chains that one submission can send. */
#define URING_CHAINS_MAX 32u

enum uring_operation {
	URING_RECEIVE = 1,
	URING_SEND,
	URING_POLL,
	URING_ACCEPT,
	URING_DOORBELL,
	URING_CANCEL,
};

/* Accepted, but not looked at before all ends of this poll are. */
struct uring_arrival {
	int fd;
	uint32_t listener;
	uint32_t generation;
};

struct uring_core {
	struct socket_core shared; /* first */
	struct io_uring ring;
	struct io_uring_buf_ring *buffer_ring;
	uint8_t *buffer_data;
	bool is_enabled;
	bool has_rung; /* the doorbell, since the last wait ended */
	bool is_doorbell_armed;
	pthread_t owner; /* valid when is_enabled */
	uint32_t arrival_count;
	struct uring_arrival arrivals[URING_COMPLETIONS_MAX];
	/* What a submission reads; free again after it (SUBMIT_STABLE). */
	uint32_t chain_count;
	struct msghdr messages[URING_CHAINS_MAX];
	struct iovec pieces[URING_CHAINS_MAX][SOCKET_SEND_BUFFERS];
};

static inline struct uring_core *
uring_core_of(struct socket_core *core)
{
	return (struct uring_core *)(void *)core;
}

/* user_data: generation << 32 | operation << 24 | index. */
static inline uint64_t
uring_key(enum uring_operation operation, uint32_t generation, uint32_t index)
{
	FAL_ASSERT(index < 1u << 24);
	return (uint64_t)generation << 32 | (uint32_t)operation << 24 | index;
}

static inline enum uring_operation
uring_key_operation(uint64_t key)
{
	return (enum uring_operation)(key >> 24 & 0xff);
}

static inline uint32_t
uring_key_index(uint64_t key)
{
	return (uint32_t)key & 0xffffff;
}

static inline uint32_t
uring_key_generation(uint64_t key)
{
	return (uint32_t)(key >> 32);
}

static inline uint8_t *
uring_buffer_at(const struct uring_core *self, uint32_t buffer)
{
	return self->buffer_data + (size_t)buffer * URING_BUFFER_BYTES;
}

/* Functions of stream_socket.h in terms of requests. */
extern const struct socket_driver uring_driver;

/* Gives a buffer (back) to the kernel. */
void uring_buffer_provide(struct uring_core *self, uint32_t buffer);

/* Hands all requests to the kernel and runs what can be completed. */
void uring_submit(struct uring_core *self);

/* Starts the poll of the doorbell unless it is in flight. */
void uring_doorbell_arm(struct uring_core *self);

/* Makes io_uring wait on a descriptor (blocking), or accept4() return at once
 * (not blocking). */
void uring_blocking_set(int fd, bool is_blocking);

#endif
