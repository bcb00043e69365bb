/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_FLE_RIG_H
#define FALCONER_TESTS_FLE_RIG_H

/*
 * fle_rig - an fle_net of server 2 on streams in memory, and a record of what
 * its hooks were told. Server n listens at 127.0.0.1:(1000 + n) if `known` has
 * its bit; the clock is the test's.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/stats.h"
#include "dataplane/fle_net.h"
#include "wire/frame.h"

#include "fake_stream.h"

#define RIG_LISTEN_TAG  5u
#define RIG_CONNECT_TAG 6u
#define RIG_SID         2
#define RIG_OWN_TEXT    "127.0.0.1:1002"
#define RIG_RECORDS     64u

struct fle_record {
	int64_t sid;
	struct fle_notification notification;
};

struct fle_rig {
	struct fake_core *core;
	struct fle_net *net;
	struct stats stats;
	uint64_t now_ms, wake_ms;
	uint64_t known;
	uint32_t asked;   /* how often for addresses */
	uint32_t resolve; /* how often for the text of a hello */
	uint32_t received, links;
	struct fle_record record[RIG_RECORDS];
	int64_t link_sid;
	bool link_is_up;
	int64_t drop_sid; /* by the hook receive; -1: none */
	/* Of the register; only with fle_rig_start_genesis(). */
	uint32_t genesis_count;
	int64_t genesis_sid;
	struct genesis_message genesis;
	bool is_stranger; /* what the hook says */
};

static inline void
rig_hello(void *arg, struct genesis_message *out)
{
	(void)arg;
	*out = (struct genesis_message){.type = GENESIS_HELLO,
					.voters_hash = 4711};
}

static inline bool
rig_genesis(void *arg, int64_t sid, const struct genesis_message *message)
{
	struct fle_rig *rig = arg;

	rig->genesis_count++;
	rig->genesis_sid = sid;
	rig->genesis = *message;
	return !rig->is_stranger;
}

static inline void
rig_receive(void *arg, int64_t sid, const struct fle_notification *n)
{
	struct fle_rig *rig = arg;

	rig->record[rig->received % RIG_RECORDS] =
		(struct fle_record){.sid = sid, .notification = *n};
	rig->received++;
	if (rig->drop_sid >= 0)
		fle_net_drop(rig->net, rig->drop_sid);
	/* Still there, whatever was dropped. */
	for (int32_t i = 0; i < n->config.bytes; i++)
		assert_int_not_equal(n->config.data[i], 0);
}

static inline void
rig_link(void *arg, int64_t sid, bool is_up)
{
	struct fle_rig *rig = arg;

	rig->links++;
	rig->link_sid = sid;
	rig->link_is_up = is_up;
}

static inline uint32_t
rig_addresses(void *arg, int64_t sid,
	      struct stream_address out[PEER_ADDRESSES_MAX])
{
	struct fle_rig *rig = arg;

	rig->asked++;
	if (sid >= 64 || (rig->known >> sid & 1) == 0)
		return 0;
	out[0] = stream_address_ipv4(0x7f000001, (uint16_t)(1000 + sid));
	return 1;
}

/* Numeric hosts only. */
static inline uint32_t
rig_resolve(void *arg, struct jute_slice text,
	    struct stream_address out[PEER_ADDRESSES_MAX])
{
	struct fle_rig *rig = arg;
	struct fle_address address;
	uint32_t count = 0;

	rig->resolve++;
	while (count < PEER_ADDRESSES_MAX &&
	       fle_address_next(&text, &address) == 1) {
		char host[64];

		assert_true(address.host.bytes < (int32_t)sizeof(host));
		memcpy(host, address.host.data, (size_t)address.host.bytes);
		host[address.host.bytes] = '\0';
		if (stream_address_parse(host, address.port, &out[count]) == 0)
			count++;
	}
	return count;
}

static inline void
rig_start(struct fle_rig *rig, bool has_genesis)
{
	const struct fle_net_hooks hooks = {
		.hello = has_genesis ? rig_hello : NULL,
		.genesis = has_genesis ? rig_genesis : NULL,
		.arg = rig,
		.receive = rig_receive,
		.link = rig_link,
		.addresses = rig_addresses,
		.resolve = rig_resolve,
	};

	memset(rig, 0, sizeof(*rig));
	rig->drop_sid = -1;
	rig->now_ms = 1000;
	rig->known = 0x3e;
	rig->core = fake_core_new();
	rig->core->listen_tag = RIG_LISTEN_TAG;
	assert_int_equal(stats_init(&rig->stats, 1), 0);

	const struct fle_net_options options = {
		.sid = RIG_SID,
		.own_addresses = RIG_OWN_TEXT,
		.connect_ms = 5000,
		.hello_ms = 3000,
		.retry_min_ms = 100,
		.retry_max_ms = 2000,
		.listen_tag = RIG_LISTEN_TAG,
		.connect_tag = RIG_CONNECT_TAG,
		.stats = &rig->stats.core[0],
	};

	assert_int_equal(
		fle_net_create(&options, &rig->core->head, &hooks, &rig->net),
		0);
}

/* Without the register, as far as it can be done without. */
static inline void
fle_rig_start(struct fle_rig *rig)
{
	rig_start(rig, false);
}

static inline void
fle_rig_start_genesis(struct fle_rig *rig)
{
	rig_start(rig, true);
}

static inline void
fle_rig_stop(struct fle_rig *rig)
{
	fle_net_destroy(rig->net);
	stream_destroy(&rig->core->head);
	stats_free(&rig->stats);
}

/* Iterations of the loop until nothing happens any more. */
static inline void
fle_rig_run(struct fle_rig *rig)
{
	struct stream_event events[16];
	uint32_t count;

	do {
		count = stream_poll(&rig->core->head, 0, events, 16);
		for (uint32_t i = 0; i < count; i++)
			fle_net_on_event(rig->net, &events[i], rig->now_ms);
		rig->wake_ms = fle_net_poll(rig->net, rig->now_ms);
	} while (count > 0 || rig->wake_ms <= rig->now_ms);
}

static inline void
fle_rig_pass(struct fle_rig *rig, uint64_t ms)
{
	rig->now_ms += ms;
	fle_rig_run(rig);
}

static inline uint64_t
fle_rig_stat(const struct fle_rig *rig, enum stat stat)
{
	return stats_sum(&rig->stats, stat);
}

static inline void
fle_rig_send(struct fle_rig *rig, uint32_t index, const void *data,
	     size_t bytes)
{
	fake_send(rig->core, index, data, (uint32_t)bytes);
	fle_rig_run(rig);
}

/* The initial message of a server. Returns its size. */
static inline size_t
fle_rig_hello(int64_t sid, const char *text, uint8_t out[FLE_HELLO_BYTES_MAX])
{
	const struct fle_hello hello = {
		.protocol_version = FLE_PROTOCOL_V1,
		.sid = sid,
		.addresses = jute_slice_of(text, strlen(text)),
	};
	struct jute_writer writer = jute_writer_of(out, FLE_HELLO_BYTES_MAX);

	fle_hello_put(&writer, &hello);
	return jute_written(&writer);
}

/* A server connects and says who it is. Returns its index. */
static inline uint32_t
fle_rig_come(struct fle_rig *rig, int64_t sid, const char *text)
{
	uint8_t hello[FLE_HELLO_BYTES_MAX];
	const size_t bytes = fle_rig_hello(sid, text, hello);
	const uint32_t index = fake_connect(rig->core);

	fle_rig_send(rig, index, hello, bytes);
	return index;
}

/* The server at the other end sends a notification of this round. */
static inline void
fle_rig_notify(struct fle_rig *rig, uint32_t index, int64_t round,
	       const char *config)
{
	const struct fle_notification n = {
		.state = FLE_LOOKING,
		.leader = 3,
		.round = round,
		.version = FLE_NOTIFICATION_VERSION,
		.config = jute_slice_of(config, strlen(config)),
	};
	uint8_t frame[1024];
	struct jute_writer writer = jute_writer_of(frame, sizeof(frame));
	const size_t mark = frame_begin(&writer);

	fle_notification_put(&writer, &n);
	frame_end(&writer, mark);
	fle_rig_send(rig, index, frame, jute_written(&writer));
}

/* We send one of this round. */
static inline void
fle_rig_say(struct fle_rig *rig, int64_t sid, int64_t round)
{
	const struct zab_notification n = {.round = round, .leader = 2};

	fle_net_send(rig->net, sid, &n, jute_slice_of("version=0", 9));
	fle_rig_run(rig);
}

/* Expects the next notification at the other end, of this round. */
static inline void
fle_rig_expect(struct fle_rig *rig, uint32_t index, int64_t round)
{
	uint32_t bytes;
	const uint8_t *body = fake_receive(rig->core, index, &bytes);
	struct fle_notification n;

	assert_non_null(body);
	assert_int_equal(fle_notification_get(body, bytes, &n), 0);
	assert_int_equal(n.round, round);
	assert_int_equal(n.version, FLE_NOTIFICATION_VERSION);
	assert_int_equal(n.config.bytes, 9);
}

static inline void
fle_rig_expect_nothing(struct fle_rig *rig, uint32_t index)
{
	assert_int_equal(rig->core->stream[index].out_bytes, 0);
}

/* Expects our initial message there, and takes it. */
static inline void
fle_rig_expect_hello(struct fle_rig *rig, uint32_t index)
{
	struct fake_stream *stream = &rig->core->stream[index];
	uint8_t hello[FLE_HELLO_BYTES_MAX];
	const size_t bytes = fle_rig_hello(RIG_SID, RIG_OWN_TEXT, hello);

	assert_true(stream->out_bytes >= bytes);
	assert_memory_equal(stream->out, hello, bytes);
	stream->out_bytes -= (uint32_t)bytes;
	memmove(stream->out, stream->out + bytes, stream->out_bytes);
}

#endif
