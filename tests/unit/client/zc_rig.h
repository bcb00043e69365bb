/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_UNIT_CLIENT_ZC_RIG_H
#define FALCONER_TESTS_UNIT_CLIENT_ZC_RIG_H

/*
 * zc_rig - a client under test and the server that it talks to, both in this
 * thread: the server is a blocking socket, the test steps the client's loop.
 *
 * Limits     waiting ends, as a failure, after STEPS_MAX steps.
 * Errors     everything that is not as it must be fails the test.
 */

#include "client/zc.h"
#include "wire/proto.h"

#define STEPS_MAX  2000
#define STEP_MS    5u
#define FRAME_MAX  (1u << 16)
#define SESSION    0x100abcdef01ll
#define TIMEOUT_MS 4000

struct rig {
	int listener, peer;
	uint16_t port;
	char servers[64];
	struct zc_loop *loop;
	struct zc *zc;
	uint8_t in[FRAME_MAX];
	uint8_t out[FRAME_MAX];
	struct jute_writer writer;
	size_t mark;
	bool is_read_only; /* the server, as it greets */
	enum zc_state state;
	uint32_t state_changes;
};

/* One round of the client's loop. */
void rig_step(struct rig *rig);
/* The next request, which must be of that operation. */
struct jute_reader rig_request(struct rig *rig, int32_t op, int32_t *xid);
/* A reply: begin, put the body, rig_send(). */
struct jute_writer *rig_begin_reply(struct rig *rig, int32_t xid, int64_t zxid,
				    int32_t err);
void rig_send(struct rig *rig);
/* A reply without a body. */
void rig_reply(struct rig *rig, int32_t xid, int64_t zxid, int32_t err);
/* A watch event. */
void rig_event(struct rig *rig, int32_t type, const char *path);
/* Accepts and grants what the client asks for, which is returned. */
struct proto_connect_request rig_greet(struct rig *rig, int32_t timeout_ms);
/* Steps until the client is in that state. */
void rig_wait_state(struct rig *rig, enum zc_state state);
void rig_hang_up(struct rig *rig);
/* Of a test: *state is the rig. */
int rig_setup(void **state);
int rig_teardown(void **state);

#endif
