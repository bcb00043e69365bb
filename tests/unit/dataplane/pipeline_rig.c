/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipeline_rig - wiring as server/build.c does it, with other ends.
 */
#include "pipeline_rig.h"

#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/time.h"

/* ---- the log --------------------------------------------------------------
 */

static enum log_port_room
log_admit(void *log, uint32_t bytes)
{
	const struct rig *rig = log;

	(void)bytes;
	return rig->has_no_space ? LOG_PORT_NO_SPACE : LOG_PORT_READY;
}

static uint8_t *
log_reserve(void *log, uint32_t *room)
{
	struct rig *rig = log;

	*room = sizeof(rig->entry);
	return rig->entry;
}

static void
log_commit(void *log, uint32_t entry_bytes, int64_t zxid)
{
	struct rig *rig = log;
	struct txn_entry entry;

	if (rig->is_counted) {
		/* What the log itself does with the bytes, and no more. */
		rig->sum = checksum_adler32(CHECKSUM_ADLER32_INIT, rig->entry,
					    entry_bytes);
		rig->written = zxid;
		return;
	}
	/* What is logged is a whole transaction with that zxid. */
	assert_int_equal(txn_get_entry(rig->entry, entry_bytes, &entry), 0);
	assert_int_equal(entry.header.zxid, zxid);
	if (!rig->is_member) /* whose epochs begin anew */
		assert_int_equal(zxid, rig->written + 1);
	assert_true(zxid > rig->written);
	rig->written = zxid;
	rig->commits++;
	if (!rig->is_slow)
		rig->durable = zxid;
}

static void
log_kick(void *log)
{
	((struct rig *)log)->kicks++;
}

static int64_t
log_durable(void *log, int *err)
{
	*err = FAL_OK;
	return ((struct rig *)log)->durable;
}

static void
log_roll(void *log)
{
	((struct rig *)log)->rolls++;
}

/* ---- the rig ----------------------------------------------------------------
 */

static bool
on_word(void *arg, const struct reader_word *word)
{
	struct rig *rig = arg;

	rig->words_asked++;
	rig->word = *word;
	return true;
}

static bool
no_snapshot(void *arg, const struct zab_snapshot *snapshot)
{
	(void)arg;
	(void)snapshot;
	return false;
}

static void
make_data(struct rig *rig)
{
	/* valgrind grants no 64 GiB */
	const struct tree_options tree = {.region_bytes = 1ull << 30,
					  .bytes_max = rig->tree_bytes_max,
					  .is_digest_on = true,
					  .has_extended_types = true};
	const struct prep_options prep = {.acl = &rig->acl,
					  .is_digest_on = true,
					  .has_close_paths = true,
					  .has_extended_types = true};

	rig->acl.is_digest_enabled = true;
	assert_int_equal(tree_create(&tree, &rig->tree), 0);
	assert_int_equal(session_table_create(RIG_TICK_MS, &rig->sessions), 0);
	assert_int_equal(
		prep_create(&prep, rig->tree, rig->sessions, &rig->prep), 0);
	assert_int_equal(delta_ring_create(1024, 1u << 20, 1, &rig->deltas), 0);
}

/* Two rigs at once would only spoil each other's times. */
static struct ledger ledger;

static void
make_zab(struct rig *rig)
{
	struct zab_parts zab = {
		.tree = rig->tree,
		.prep = rig->prep,
		.sessions = rig->sessions,
		.deltas = rig->deltas,
		.ledger = rig->has_no_ledger ? NULL : &ledger,
		.log = {.log = rig,
			.entry_bytes_max = RIG_ENTRY_MAX,
			.admit = log_admit,
			.reserve = log_reserve,
			.commit = log_commit,
			.kick = log_kick,
			.durable_zxid = log_durable,
			.roll = log_roll},
		.channel = {&rig->channel},
		.channel_count = 1,
		.stats = &rig->stats.core[rig->is_spread ? 1 : 0],
		.serving = rig->is_member ? &rig->serving : NULL,
	};
	const struct zab_options options = {
		.tick_ms = RIG_TICK_MS,
		.snap_count = 1000000,
		.server_id = 1,
		.tree_bytes_max = rig->tree_bytes_max,
		.reap_interval_ms = rig->reap_interval_ms,
		.reap_per_minute = 60000,
	};
	const struct zab_hooks zab_hooks = {.start_snapshot = no_snapshot};

	assert_int_equal(
		zab_create(&options, &zab, &zab_hooks, rig->written, &rig->zab),
		0);
}

static void
make_roles(struct rig *rig)
{
	struct reader_options reader = {
		.conn_limit = FAKE_STREAMS,
		.req_count = 256,
		.outstanding_per_conn = 32,
		.frame_bytes_max = PROTO_MAX_BUFFER_DEFAULT,
		.slice_bytes_extra = PROTO_MAX_BUFFER_DEFAULT,
		.session_timeout_min_ms = 2000,
		.session_timeout_max_ms = 20000,
		.newcomer_timeout_ms = 10000,
		.keeps_watch_paths = true,
		.is_stmk_allowed = true,
		.is_member = rig->is_member,
		.await_ms = rig->is_member ? RIG_AWAIT_MS : 0,
		.acl = &rig->acl,
	};
	const struct reader_parts parts = {
		.streams = rig->lent != NULL ? rig->lent : &rig->streams->head,
		.channel = &rig->channel,
		.tree = rig->tree,
		.deltas = rig->deltas,
		.ledger = rig->has_no_ledger ? NULL : &ledger,
		.stats = &rig->stats.core[0],
		.serving = rig->is_member ? &rig->serving : NULL,
	};
	const struct reader_hooks hooks = {.arg = rig, .on_word = on_word};

	reader.ensemble_names = rig->limits.ensemble_names;
	reader.outstanding_max = rig->limits.outstanding_max;
	reader.outstanding_bytes_max = rig->limits.outstanding_bytes_max;
	reader.throttle_requests_max = rig->limits.throttle_requests_max;
	reader.throttled_op_wait_ms = rig->limits.throttled_op_wait_ms;
	reader.throttle_drops_stale = rig->limits.throttle_drops_stale;
	reader.is_latency_stale = rig->limits.is_latency_stale;
	reader.large_threshold = rig->limits.large_threshold;
	reader.large_bytes_max = rig->limits.large_bytes_max;
	reader.connects = rig->limits.connects;
	make_zab(rig);
	assert_int_equal(reader_create(&reader, &parts, &hooks, &rig->reader),
			 0);
}

/* But for the entry's bytes, which are written before they are read: they are
 * more than all the rest, and fuzzing starts some hundred rigs a second. */
static void
clear(struct rig *rig)
{
	memset(rig, 0, offsetof(struct rig, entry));
}

static void
start(struct rig *rig)
{
	rig->now_ms = 1000;
	rig->streams = fake_core_new();
	assert_int_equal(stats_init(&rig->stats, rig->is_spread ? 2 : 1), 0);
	assert_int_equal(lcore_init(&rig->lcore), 0);
	assert_int_equal(lcore_init(&rig->zab_lcore), 0);
	assert_int_equal(channel_init(&rig->channel, 0, 256, FAKE_STREAMS), 0);
	rig->channel.reader_lcore = &rig->lcore;
	rig->channel.zab_lcore = rig->is_spread ? &rig->zab_lcore : &rig->lcore;
	make_data(rig);
	make_roles(rig);
}

void
rig_start(struct rig *rig)
{
	rig_start_capped(rig, 0);
}

void
rig_start_capped(struct rig *rig, uint64_t tree_bytes_max)
{
	clear(rig);
	rig->tree_bytes_max = tree_bytes_max;
	start(rig);
}

void
rig_start_limited(struct rig *rig, const struct reader_options *limits)
{
	clear(rig);
	rig->limits = *limits;
	start(rig);
}

void
rig_start_over(struct rig *rig, struct stream_core *streams)
{
	clear(rig);
	rig->lent = streams;
	start(rig);
}

void
rig_start_spread(struct rig *rig)
{
	clear(rig);
	rig->is_spread = true;
	start(rig);
}

void
rig_start_no_ledger(struct rig *rig)
{
	clear(rig);
	rig->has_no_ledger = true;
	start(rig);
}

void
rig_start_member(struct rig *rig)
{
	clear(rig);
	rig->is_member = true;
	start(rig);
}

void
rig_stop(struct rig *rig)
{
	reader_destroy(rig->reader);
	zab_destroy(rig->zab);
	delta_ring_destroy(rig->deltas);
	prep_destroy(rig->prep);
	session_table_destroy(rig->sessions);
	tree_destroy(rig->tree);
	channel_destroy(&rig->channel);
	lcore_free(&rig->lcore);
	lcore_free(&rig->zab_lcore);
	stats_free(&rig->stats);
	stream_destroy(&rig->streams->head);
}

void
rig_restart_zab(struct rig *rig)
{
	zab_destroy(rig->zab);
	make_zab(rig);
}

void
rig_run(struct rig *rig)
{
	for (int i = 0; i < 6; i++) {
		reader_poll(rig->reader, rig->now_ms * NS_PER_MS,
			    (int64_t)rig->now_ms);
		zab_note_time(rig->zab, rig->now_ms * NS_PER_MS);
		zab_poll(rig->zab, rig->now_ms, (int64_t)rig->now_ms);
	}
}

void
rig_sync(struct rig *rig)
{
	rig->durable = rig->written;
	rig_run(rig);
}

/* ---- clients
 * ------------------------------------------------------------------ */

static void
send_frame(struct rig_client *client, const struct jute_writer *frame)
{
	uint8_t word[4];

	assert_false(frame->is_full);
	be_store32(word, (uint32_t)jute_written(frame));
	fake_send(client->rig->streams, client->stream, word, sizeof(word));
	fake_send(client->rig->streams, client->stream, frame->start,
		  (uint32_t)jute_written(frame));
}

bool
rig_try_client(struct rig *rig, struct rig_client *client)
{
	const uint8_t zero[PROTO_PASSWORD_BYTES] = {0};
	const struct proto_connect_request request = {
		.timeout_ms = RIG_TIMEOUT_MS,
		.password = jute_slice_of(zero, sizeof(zero)),
		.has_read_only = true,
	};
	struct proto_connect_response response;
	uint8_t bytes[128];
	uint32_t got = 0;
	struct jute_writer frame = jute_writer_of(bytes, sizeof(bytes));

	*client = (struct rig_client){.rig = rig,
				      .stream = fake_connect(rig->streams),
				      .next_xid = 1};
	proto_put_connect_request(&frame, &request);
	send_frame(client, &frame);
	rig_run(rig);
	rig_sync(rig);

	const uint8_t *reply = fake_receive(rig->streams, client->stream, &got);

	if (reply == NULL) {
		assert_true(rig->streams->stream[client->stream].is_closed);
		return false;
	}

	struct jute_reader reader = jute_reader_of(reply, got);

	assert_int_equal(proto_get_connect_response(&reader, &response), 0);
	assert_int_equal(response.timeout_ms, RIG_TIMEOUT_MS);
	assert_true(response.session_id != 0);
	client->session_id = response.session_id;
	return true;
}

struct rig_client
rig_client(struct rig *rig)
{
	struct rig_client client;

	assert_true(rig_try_client(rig, &client));
	return client;
}

int32_t
rig_request(struct rig_client *client, int32_t op,
	    const struct jute_writer *body)
{
	static uint8_t bytes[RIG_ENTRY_MAX];
	struct jute_writer frame = jute_writer_of(bytes, sizeof(bytes));
	const struct proto_request_header header = {.xid = client->next_xid++,
						    .type = op};

	proto_put_request_header(&frame, &header);
	if (body != NULL)
		jute_put_raw(&frame, body->start, jute_written(body));
	send_frame(client, &frame);
	return header.xid;
}

int32_t
rig_create(struct rig_client *client, const char *path, const char *data,
	   int32_t flags)
{
	uint8_t bytes[1024];
	struct jute_writer body = jute_writer_of(bytes, sizeof(bytes));

	jute_put_cstr(&body, path);
	jute_put_cstr(&body, data);
	jute_put_int(&body, 1);
	jute_put_int(&body, PERM_ALL);
	jute_put_cstr(&body, "world");
	jute_put_cstr(&body, "anyone");
	jute_put_int(&body, flags);
	return rig_request(client, OP_CREATE, &body);
}

int32_t
rig_set_data(struct rig_client *client, const char *path, const char *data)
{
	uint8_t bytes[1024];
	struct jute_writer body = jute_writer_of(bytes, sizeof(bytes));

	jute_put_cstr(&body, path);
	jute_put_cstr(&body, data);
	jute_put_int(&body, -1);
	return rig_request(client, OP_SET_DATA, &body);
}

int32_t
rig_get_data(struct rig_client *client, const char *path, bool has_watch)
{
	uint8_t bytes[1024];
	struct jute_writer body = jute_writer_of(bytes, sizeof(bytes));

	jute_put_cstr(&body, path);
	jute_put_bool(&body, has_watch);
	return rig_request(client, OP_GET_DATA, &body);
}

int32_t
rig_path_op(struct rig_client *client, int32_t op, const char *path)
{
	uint8_t bytes[1024];
	struct jute_writer body = jute_writer_of(bytes, sizeof(bytes));

	jute_put_cstr(&body, path);
	return rig_request(client, op, &body);
}

int32_t
rig_bare_op(struct rig_client *client, int32_t op)
{
	return rig_request(client, op, NULL);
}

struct rig_reply
rig_reply(struct rig_client *client)
{
	struct rig_reply reply;
	uint32_t bytes = 0;
	const uint8_t *frame =
		fake_receive(client->rig->streams, client->stream, &bytes);

	assert_non_null(frame);
	reply.body = jute_reader_of(frame, bytes);
	assert_int_equal(proto_get_reply_header(&reply.body, &reply.header), 0);
	return reply;
}

void
rig_expect_silence(struct rig_client *client)
{
	uint32_t bytes = 0;

	assert_null(fake_receive(client->rig->streams, client->stream, &bytes));
}

int64_t
rig_expect(struct rig_client *client, int32_t xid, int32_t err)
{
	const struct rig_reply reply = rig_reply(client);

	assert_int_equal(reply.header.xid, xid);
	assert_int_equal(reply.header.err, err);
	return reply.header.zxid;
}

void
rig_expect_data(struct rig_client *client, int32_t xid, const char *data)
{
	struct rig_reply reply = rig_reply(client);

	assert_int_equal(reply.header.xid, xid);
	assert_int_equal(reply.header.err, ZK_OK);

	const struct jute_slice got = jute_get_slice(&reply.body);

	assert_int_equal(got.bytes, strlen(data));
	assert_memory_equal(got.data, data, strlen(data));
}
