/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_UNIT_DATAPLANE_ENSEMBLE_RIG_H
#define FALCONER_TESTS_UNIT_DATAPLANE_ENSEMBLE_RIG_H

/*
 * ensemble_rig - the driver of the consensus core as one of three servers,
 * between peers and a disk that the test plays. Reader, ZAB role and log are
 * those of pipeline_rig.h; votes are stepped into the core, packets go over
 * connections in memory.
 */

#include "pipeline_rig.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "base/time.h"
#include "consensus/zab_history.h"
#include "dataplane/ensemble_int.h"
#include "dataplane/zab_int.h"
#include "dataplane/zab_member.h"

#define QUORUM_LISTEN  8u
#define QUORUM_CONNECT 9u
#define FLE_LISTEN     10u
#define FLE_CONNECT    11u
#define QUORUM_PORT    2880u /* and the sid */
#define TICK_MS        1000u
#define DISK_EVENTS    64u
#define SID_MAX        3

static struct rig rig;

static struct {
	struct ensemble *ensemble;
	struct fake_core *net;
	struct store_event event[DISK_EVENTS];
	uint32_t head, tail;
	struct quorum config;
	uint32_t restored; /* calls of on_restored */
	uint32_t reloads;  /* that were asked for, and are not answered */
	int64_t activated; /* the last version that became active */
	char activated_text[256];
	uint8_t packet[FAKE_BUFFER_MAX]; /* of received() */
} it;

/* ---- the disk ---------------------------------------------------------------
 */

static inline void
disk_says(const struct store_event *event)
{
	assert_true(it.head - it.tail < DISK_EVENTS);
	it.event[it.head++ % DISK_EVENTS] = *event;
}

static inline void
disk_epoch(void *store, bool is_current, int64_t epoch)
{
	(void)store;
	disk_says(&(struct store_event){
		.kind = STORE_EPOCH, .epoch = epoch, .is_current = is_current});
}

static inline void
disk_config(void *store, int64_t version, const void *text, uint32_t bytes)
{
	(void)store;
	(void)text;
	(void)bytes;
	if (version != 0)
		disk_says(&(struct store_event){.kind = STORE_CONFIG,
						.zxid = version});
}

static inline void
disk_activate(void *store, int64_t version, const void *text, uint32_t bytes)
{
	(void)store;
	assert_true(bytes < sizeof(it.activated_text));
	it.activated = version;
	memcpy(it.activated_text, text, bytes);
	it.activated_text[bytes] = 0;
}

static inline void
disk_genesis(void *store, const struct genesis_state *state)
{
	(void)store;
	(void)state;
	disk_says(&(struct store_event){.kind = STORE_GENESIS});
}

static inline void
disk_reload(void *store)
{
	(void)store;
	it.reloads++;
}

static inline bool
disk_next(void *store, struct store_event *out)
{
	(void)store;
	if (it.head == it.tail)
		return false;
	*out = it.event[it.tail++ % DISK_EVENTS];
	return true;
}

static inline bool
disk_has_event(const void *store)
{
	(void)store;
	return it.head != it.tail;
}

/* ---- the world
 * ---------------------------------------------------------------- */

static inline uint32_t
hook_addresses(void *arg, int64_t sid, enum ensemble_port port,
	       struct stream_address out[PEER_ADDRESSES_MAX])
{
	(void)arg;
	if (port != ENSEMBLE_QUORUM_PORT)
		return 0;
	out[0] = stream_address_ipv4(0x7f000001, (uint16_t)(QUORUM_PORT + sid));
	return 1;
}

/* Of a text only the version counts: members are always the same. */
static inline bool
hook_parse(void *arg, struct jute_slice text, struct quorum *out)
{
	char copy[256];
	const char *version;

	(void)arg;
	if ((size_t)text.bytes >= sizeof(copy))
		return false;
	memcpy(copy, text.data, (size_t)text.bytes);
	copy[text.bytes] = 0;
	version = strstr(copy, "version=");
	if (version == NULL)
		return false;
	*out = it.config;
	out->version = strtoll(version + strlen("version="), NULL, 16);
	return true;
}

static inline void
hook_restored(void *arg)
{
	(void)arg;
	it.restored++;
}

static inline void
hook_fatal(void *arg, const char *text)
{
	(void)arg;
	fail_msg("%s", text);
}

/* ---- before and after
 * ----------------------------------------------------------- */

struct rig_wishes {
	int64_t sid;
	bool has_reconfig;
	bool shares_core;         /* with a reader: see ensemble_late.c */
	bool has_local_sessions;  /* of others */
	uint32_t beacon_ms;       /* 0: none */
	uint32_t outstanding_max; /* 0: plenty */
	uint64_t queue_bytes_max; /* 0: plenty */
};

static inline void
make_config(void)
{
	it.config = (struct quorum){.member_count = SID_MAX};
	for (int64_t sid = 1; sid <= SID_MAX; sid++)
		it.config.member[sid - 1] =
			(struct quorum_member){.sid = sid,
					       .address = (uint64_t)sid,
					       .weight = 1,
					       .is_voter = 1};
	assert_int_equal(quorum_check(&it.config), 0);
}

static inline struct zab_core_options
core_options(const struct rig_wishes *wishes)
{
	return (struct zab_core_options){
		.sid = wishes->sid,
		.tick_ms = TICK_MS,
		.init_limit = 10,
		.sync_limit = 5,
		.finalize_ms = 200,
		.notify_min_ms = 200,
		.notify_max_ms = 1000,
		.epoch_wait_ms = UINT32_MAX,
		.dial_retry_ms = 100,
		.dial_tries = 5,
		.outstanding_max = wishes->outstanding_max != 0
					   ? wishes->outstanding_max
					   : 1024,
		.yield_pause_ms = 2000,
		.is_reconfig_enabled = wishes->has_reconfig,
		.is_sync_confirmed = true,
		.beacon_ms = wishes->beacon_ms,
		.beacon_lost_ms = 3 * wishes->beacon_ms,
	};
}

static inline struct ensemble_options
options_of(const struct rig_wishes *wishes)
{
	return (struct ensemble_options){
		.core = core_options(wishes),
		.fle = {.sid = wishes->sid,
			.own_addresses = "127.0.0.1:3888",
			.connect_ms = 5000,
			.hello_ms = 5000,
			.retry_min_ms = 100,
			.retry_max_ms = 1000,
			.listen_tag = FLE_LISTEN,
			.connect_tag = FLE_CONNECT,
			.stats = &rig.stats.core[0]},
		.peer = {.listen_tag = QUORUM_LISTEN,
			 .connect_tag = QUORUM_CONNECT,
			 .packet_bytes_max = RIG_ENTRY_MAX,
			 .connect_ms = 5000,
			 .first_ms = 10000,
			 .stats = &rig.stats.core[0]},
		.leader_serves = true,
		.queue_bytes_max = wishes->queue_bytes_max,
		.recent_bytes = 4u << 20,
		.is_local_sessions = wishes->has_local_sessions,
		.server_id = (uint8_t)wishes->sid,
	};
}

static inline void
make_ensemble(const struct rig_wishes *wishes)
{
	const struct ensemble_options options = options_of(wishes);
	const struct ensemble_parts parts = {
		.zab = rig.zab,
		.streams = &it.net->head,
		.owns_streams = !wishes->shares_core,
		.store = {.persist_epoch = disk_epoch,
			  .persist_config = disk_config,
			  .activate_config = disk_activate,
			  .persist_genesis = disk_genesis,
			  .reload = disk_reload,
			  .next = disk_next,
			  .has_event = disk_has_event},
		.acl = &rig.acl,
		.stats = &rig.stats.core[0],
	};
	const struct ensemble_hooks hooks = {
		.addresses = hook_addresses,
		.parse_config = wishes->has_reconfig ? hook_parse : NULL,
		.on_restored = hook_restored,
		.on_fatal = hook_fatal,
	};

	assert_int_equal(
		ensemble_create(&options, &parts, &hooks, &it.ensemble), 0);
}

/* A server of an ensemble that was founded, with nothing in its log. */
static inline void
begin(const struct rig_wishes *wishes)
{
	static struct zab_history history;
	const struct zab_disk_state disk = {.history = &history,
					    .active = &it.config};
	const struct ensemble_genesis genesis = {
		.options = {.id = {1}, .has_data = true, .retry_ms = 1000},
		.state = {.is_member = GENESIS_MEMBER, .id = {1}},
	};

	memset(&it, 0, sizeof(it));
	make_config();
	zab_history_init(&history, 0);
	rig_start_member(&rig);
	it.net = fake_core_new();
	it.net->listen_tag = QUORUM_LISTEN;
	make_ensemble(wishes);
	ensemble_start(it.ensemble, &disk, &genesis, "version=0", NULL,
		       rig.now_ms);
}

static inline int
end(void **state)
{
	(void)state;
	ensemble_destroy(it.ensemble);
	rig_stop(&rig);
	stream_destroy(&it.net->head);
	return 0;
}

/* ---- time
 * -------------------------------------------------------------------- */

/* What a core without a reader does in some rounds. */
static inline void
run_zab(void)
{
	struct stream_event events[64];

	for (int round = 0; round < 8; round++) {
		if (!it.ensemble->parts.owns_streams) {
			const uint32_t count =
				stream_poll(&it.net->head, 0, events, 64);

			for (uint32_t i = 0; i < count; i++)
				ensemble_on_event(it.ensemble, &events[i],
						  rig.now_ms);
		}
		zab_poll(rig.zab, rig.now_ms, (int64_t)rig.now_ms);
	}
}

/* Readers have their turn, too. */
static inline void
run(void)
{
	for (int round = 0; round < 3; round++) {
		run_zab();
		rig_run(&rig);
	}
}

static inline void
pass(uint64_t ms)
{
	rig.now_ms += ms;
	run();
}

/* ---- the peers
 * ---------------------------------------------------------------- */

static inline void
vote(int64_t sid, int32_t state, int64_t leader)
{
	struct zab_event event = {
		.type = ZAB_EV_FLE,
		.sid = sid,
		.notification = {.state = state,
				 .version = FLE_NOTIFICATION_VERSION,
				 .leader = leader,
				 .round = 1},
	};

	ensemble_step(it.ensemble, &event);
}

static inline void
says(uint32_t index, int32_t type, int64_t zxid)
{
	uint8_t bytes[QUORUM_PACKET_BARE_BYTES];
	struct jute_writer writer = jute_writer_of(bytes, sizeof(bytes));

	quorum_packet_put_bare(&writer, type, zxid);
	fake_send(it.net, index, bytes, sizeof(bytes));
}

/* A packet with data. */
static inline void
says_with(uint32_t index, int32_t type, int64_t zxid, const void *data,
	  size_t bytes)
{
	static uint8_t space[FAKE_BUFFER_MAX];
	struct jute_writer writer = jute_writer_of(space, sizeof(space));
	const struct quorum_packet packet = {.type = type,
					     .zxid = zxid,
					     .data = jute_slice_of(data, bytes),
					     .authinfo = {.count = -1}};

	quorum_packet_put(&writer, &packet);
	assert_false(writer.is_full);
	fake_send(it.net, index, space, (uint32_t)jute_written(&writer));
}

static inline void
says_info(uint32_t index, int64_t sid, int64_t config_version)
{
	uint8_t bytes[20];

	be_store64(bytes, (uint64_t)sid);
	be_store32(bytes + 8, QUORUM_PROTOCOL_VERSION);
	be_store64(bytes + 12, (uint64_t)config_version);
	says_with(index, QUORUM_FOLLOWERINFO, 0, bytes, sizeof(bytes));
}

static inline void
says_int(uint32_t index, int32_t type, int64_t zxid, uint32_t value)
{
	uint8_t bytes[4];

	be_store32(bytes, value);
	says_with(index, type, zxid, bytes, sizeof(bytes));
}

/* A request of a learner's client; ids_bytes > 0: with an identity that is so
 * long. */
static inline void
says_request(uint32_t index, int64_t session_id, int32_t cxid, int32_t op,
	     const struct jute_writer *body, uint32_t ids_bytes)
{
	static uint8_t space[FAKE_BUFFER_MAX], name[1u << 20];
	struct jute_writer writer = jute_writer_of(space, sizeof(space));
	const struct quorum_request request = {
		.session_id = session_id,
		.cxid = cxid,
		.op = op,
		.body = jute_slice_of(body->start, jute_written(body)),
	};
	const size_t mark = quorum_packet_begin(&writer, QUORUM_REQUEST, -1);

	quorum_packet_put_request(&writer, &request);
	quorum_packet_end(&writer, mark, NULL);
	if (ids_bytes > 0) {
		writer.at -= sizeof(int32_t); /* instead of the null vector */
		jute_put_int(&writer, 1);
		memset(name, 'n', ids_bytes);
		quorum_packet_put_id(
			&writer,
			&(struct quorum_id){jute_slice_of("digest", 6),
					    jute_slice_of(name, ids_bytes)});
	}
	assert_false(writer.is_full);
	fake_send(it.net, index, space, (uint32_t)jute_written(&writer));
}

static inline void
says_create_session(uint32_t index, int64_t session_id, int32_t timeout_ms)
{
	uint8_t bytes[4];
	struct jute_writer body = jute_writer_of(bytes, sizeof(bytes));

	jute_put_int(&body, timeout_ms);
	says_request(index, session_id, 0, OP_CREATE_SESSION, &body, 0);
}

/* A write that fails, whose transaction is an error. */
static inline void
says_delete(uint32_t index, int64_t session_id, int32_t cxid,
	    uint32_t ids_bytes)
{
	uint8_t bytes[64];
	struct jute_writer body = jute_writer_of(bytes, sizeof(bytes));

	jute_put_cstr(&body, "/none");
	jute_put_int(&body, -1);
	says_request(index, session_id, cxid, OP_DELETE, &body, ids_bytes);
}

/* A session of a PING, or one that comes back. */
static inline void
says_touch(uint32_t index, int32_t type, int64_t session_id, int32_t timeout_ms)
{
	uint8_t bytes[QUORUM_TOUCH_BYTES];
	struct jute_writer data = jute_writer_of(bytes, sizeof(bytes));

	quorum_packet_put_touch(&data,
				&(struct quorum_touch){session_id, timeout_ms});
	says_with(index, type, -1, bytes, sizeof(bytes));
}

/* A leader proposes a configuration, whose version is its zxid. */
static inline void
says_reconfig(uint32_t index, int64_t zxid)
{
	uint8_t bytes[512];
	char text[64];
	struct jute_writer entry = jute_writer_of(bytes, sizeof(bytes));

	snprintf(text, sizeof(text), "version=%" PRIx64, (uint64_t)zxid);
	txn_put_header(&entry, &(struct txn_header){.session_id = 77,
						    .cxid = 1,
						    .zxid = zxid,
						    .time_ms = 1000,
						    .type = OP_RECONFIG});
	txn_put_set_data(&entry, jute_slice_of("/zookeeper/config", 17),
			 jute_slice_of(text, strlen(text)), -1);
	says_with(index, QUORUM_PROPOSAL, zxid, bytes, jute_written(&entry));
}

/* Takes the next packet that was sent there; false: there is none. Valid until
 * the next call. */
static inline bool
received(uint32_t index, struct quorum_packet *out)
{
	struct fake_stream *stream = &it.net->stream[index];
	size_t bytes;

	if (stream->out_bytes == 0)
		return false;
	assert_int_equal(quorum_packet_get(stream->out, stream->out_bytes,
					   INT32_MAX / 4, out, &bytes),
			 1);
	memcpy(it.packet, stream->out, bytes);
	stream->out_bytes -= (uint32_t)bytes;
	memmove(stream->out, stream->out + bytes, stream->out_bytes);
	assert_int_equal(
		quorum_packet_get(it.packet, bytes, INT32_MAX / 4, out, &bytes),
		1);
	return true;
}

/* The next one of that type; what came before is passed over. */
static inline void
expect(uint32_t index, int32_t type, struct quorum_packet *out)
{
	while (received(index, out))
		if (out->type == type)
			return;
	fail_msg("no %s came", zab_packet_name(type));
}

/* ---- roles
 * -------------------------------------------------------------------- */

#define EPOCH_1 (1ll << 32)

/* A learner of this leader, as far as its acknowledgement of NEWLEADER. */
static inline uint32_t
learner_comes(int64_t sid)
{
	const uint32_t index = fake_connect(it.net);
	struct quorum_packet packet;

	says_info(index, sid, 0);
	run_zab();
	expect(index, QUORUM_LEADERINFO, &packet);
	says_int(index, QUORUM_ACKEPOCH, 0, 0);
	run_zab();
	expect(index, QUORUM_NEWLEADER, &packet);
	says(index, QUORUM_ACK, EPOCH_1);
	return index;
}

/* Server 3 is elected; readers have no turn. Returns the connection of server
 * 1, its only learner. */
static inline uint32_t
lead(void)
{
	uint32_t index;

	vote(1, FLE_LOOKING, 3);
	vote(2, FLE_LOOKING, 3);
	index = learner_comes(1);
	run_zab();
	return index;
}

/* Server 1 finds 2 leading, and gets as far as the packet that says how it is
 * synchronized. Returns the connection to it. */
static inline uint32_t
find_leader(int64_t epoch)
{
	struct quorum_packet packet;
	uint32_t index;

	vote(3, FLE_FOLLOWING, 2);
	vote(2, FLE_LEADING, 2);
	index = fake_dial_to(it.net, QUORUM_PORT + 2);
	assert_int_not_equal(index, FAKE_STREAMS);
	fake_answer(it.net, index);
	run_zab();
	expect(index, QUORUM_FOLLOWERINFO, &packet);
	says_int(index, QUORUM_LEADERINFO, epoch << 32,
		 QUORUM_PROTOCOL_VERSION);
	run_zab();
	expect(index, QUORUM_ACKEPOCH, &packet);
	return index;
}

/* The same until it serves, with nothing in its log. */
static inline uint32_t
follow(void)
{
	const uint32_t index = find_leader(1);
	struct quorum_packet packet;

	says(index, QUORUM_DIFF, 0);
	says_with(index, QUORUM_NEWLEADER, EPOCH_1, "version=0", 9);
	run_zab();
	expect(index, QUORUM_ACK, &packet);
	says(index, QUORUM_UPTODATE, -1);
	run();
	expect(index, QUORUM_ACK, &packet);
	assert_int_equal(zab_member_mode(rig.zab), ZAB_LEARNS);
	return index;
}

#endif
