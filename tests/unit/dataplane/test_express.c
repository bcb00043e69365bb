/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    a read that takes the short way (dataplane/express.c) is answered and
 *         counted as it would be the long way.
 * Method  clients live through the same random life twice, the second time with
 *         the short way closed. Every byte they receive, every counter and what
 *         `cons` shows of them is the same. The environment sets FAL_SEED.
 */
#include "pipeline_rig.h"

#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "dataplane/reader_int.h"

#define CLIENTS    6u
#define ROUNDS     1500u
#define LOG_BYTES  (4u << 20)
#define PATH_BYTES 700u

static struct rig rig;

struct life {
	struct rig_client client[CLIENTS];
	uint8_t *log; /* what the clients received */
	uint32_t log_bytes;
	uint64_t word[STAT_COUNT];
	struct summary latency, size;
	struct hist reads, gets;
};

static uint64_t random_state;

static uint32_t
random_below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state % n);
}

static void
send_read(struct rig_client *client, int32_t op, const char *path,
	  bool has_watch, bool is_cut)
{
	uint8_t room[2 * PATH_BYTES];
	struct jute_writer body = jute_writer_of(room, sizeof(room));

	jute_put_slice(&body, jute_slice_of(path, strlen(path)));
	if (!is_cut)
		jute_put_bool(&body, has_watch);
	(void)rig_request(client, op, &body);
}

static void
send_something(struct rig_client *client, const char *long_path)
{
	static const char *const paths[] = {"/a", "/a/b", "/c",   "/missing",
					    "/",  "",     "/big", "/aa"};
	const char *path = paths[random_below(8)];

	switch (random_below(20)) {
	case 0:
		(void)rig_set_data(client, path, "more");
		break;
	case 1:
		(void)rig_bare_op(client, OP_PING);
		break;
	case 2:
		send_read(client, OP_EXISTS, path, false, false);
		break;
	case 3:
		send_read(client, OP_GET_DATA, path, true, false);
		break;
	case 4:
		send_read(client, OP_GET_CHILDREN2, path, false, false);
		break;
	case 5:
		send_read(client, OP_GET_DATA, long_path, false, false);
		break;
	case 6:
		if (random_below(8) == 0)
			send_read(client, OP_GET_DATA, path, false, true);
		break;
	default:
		(void)rig_get_data(client, path, false);
	}
}

static void
drain(struct life *life)
{
	const uint8_t *frame;
	uint32_t bytes;

	for (uint32_t i = 0; i < CLIENTS; i++)
		while ((frame = fake_receive(rig.streams,
					     life->client[i].stream, &bytes)) !=
		       NULL) {
			assert_true(life->log_bytes + 1 + bytes < LOG_BYTES);
			life->log[life->log_bytes++] = (uint8_t)i;
			memcpy(life->log + life->log_bytes, frame, bytes);
			life->log_bytes += bytes;
		}
}

static void
nodes_make(struct life *life)
{
	static char big[3000];

	memset(big, 'x', sizeof(big) - 1);
	rig_create(&life->client[0], "/a", "1", 0);
	rig_create(&life->client[0], "/a/b", "", 0);
	rig_create(&life->client[0], "/c", "some more data than that", 0);
	rig_create(&life->client[0], "/aa", "1", 0);
	rig_create(&life->client[0], "/big", big, 0);
	rig_sync(&rig);
	drain(life);
}

/* What `cons` shows. */
static void
note_rows(struct life *life)
{
	uint32_t cursor = 0;

	for (uint32_t i = 0; i < CLIENTS; i++) {
		uint32_t budget = UINT32_MAX;
		struct reader_conn_row row;

		assert_true(
			reader_conn_next(rig.reader, &cursor, &budget, &row));

		const uint64_t shown[] = {
			row.received,
			row.sent,
			row.queued,
			(uint32_t)row.last_op,
			(uint32_t)row.last_cxid,
			(uint64_t)row.last_zxid,
			row.last_response_ms,
			row.last_latency_ms,
			row.min_latency_ms,
			row.max_latency_ms,
			row.latency_sum_ms,
			row.latency_count,
			row.expires_ms,
		};

		assert_true(life->log_bytes + sizeof(shown) < LOG_BYTES);
		memcpy(life->log + life->log_bytes, shown, sizeof(shown));
		life->log_bytes += sizeof(shown);
	}
}

static void
keep_counts(struct life *life)
{
	for (uint32_t i = 0; i < STAT_COUNT; i++)
		life->word[i] = stats_sum(&rig.stats, (enum stat)i);
	/* Cycles of the processor. */
	life->word[STAT_STAGE_RECEIVE_NS] = 0;
	life->word[STAT_STAGE_SEND_NS] = 0;
	life->latency = rig.stats.core[0].summary[SUMMARY_REQUEST_LATENCY];
	life->size = rig.stats.core[0].summary[SUMMARY_RESPONSE_SIZE];
	life->reads = rig.stats.core[0].hist[HIST_READ_LATENCY];
	life->gets = rig.stats.core[0].hist[HIST_OP_GET_DATA];
}

static void
live(struct life *life, uint64_t seed, bool has_express)
{
	char long_path[PATH_BYTES];

	random_state = seed;
	memset(long_path, 'y', sizeof(long_path));
	long_path[0] = '/';
	long_path[sizeof(long_path) - 1] = 0;
	rig_start(&rig);
	rig.is_slow = true;
	if (!has_express)
		rig.reader->express_lengths = 0;
	for (uint32_t i = 0; i < CLIENTS; i++)
		life->client[i] = rig_client(&rig);
	nodes_make(life);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		for (uint32_t i = 0; i < CLIENTS; i++)
			for (uint32_t n = random_below(3); n > 0; n--)
				send_something(&life->client[i], long_path);
		rig_run(&rig);
		reader_round_done(rig.reader, rig.now_ms * NS_PER_MS + 700);
		if (random_below(4) == 0)
			rig_sync(&rig);
		rig.now_ms += random_below(3);
		drain(life);
		note_rows(life);
	}
	rig_sync(&rig);
	drain(life);
	keep_counts(life);
	rig_stop(&rig);
}

static void
both_ways_answer_and_count_alike(void **state)
{
	const char *text = getenv("FAL_SEED");
	const uint64_t seed =
		text != NULL ? strtoull(text, NULL, 0) : 0x5eed5eed5eedull;
	static struct life lives[2];

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		lives[i].log = malloc(LOG_BYTES);
		assert_non_null(lives[i].log);
		live(&lives[i], seed, i == 0);
	}
	assert_int_equal(lives[0].log_bytes, lives[1].log_bytes);
	assert_memory_equal(lives[0].log, lives[1].log, lives[0].log_bytes);
	for (uint32_t i = 0; i < STAT_COUNT; i++)
		assert_int_equal(lives[0].word[i], lives[1].word[i]);
	assert_memory_equal(&lives[0].latency, &lives[1].latency,
			    sizeof(lives[0].latency));
	assert_memory_equal(&lives[0].size, &lives[1].size,
			    sizeof(lives[0].size));
	assert_memory_equal(&lives[0].reads, &lives[1].reads,
			    sizeof(lives[0].reads));
	assert_memory_equal(&lives[0].gets, &lives[1].gets,
			    sizeof(lives[0].gets));
	for (uint32_t i = 0; i < 2; i++)
		free(lives[i].log);
}

/* What `cons` shows of a connection whose only request since crst was one that
 * the short way answered: it took no time, and the least time says so too. */
static void
a_lone_read_is_shown_to_have_taken_no_time(void **state)
{
	const struct batch_item *item;
	uint32_t cursor = 0, budget = UINT32_MAX;
	struct reader_conn_row row;
	struct rig_client client;
	uint32_t bytes;

	(void)state;
	rig_start(&rig);
	client = rig_client(&rig);
	rig_create(&client, "/a", "1", 0);
	rig_sync(&rig);
	while (fake_receive(rig.streams, client.stream, &bytes) != NULL)
		;
	reader_reset_conns(rig.reader, &cursor, UINT32_MAX);
	(void)rig_get_data(&client, "/a", false);
	rig_run(&rig);
	item = &rig.reader->batch[0];
	assert_true(item->is_express && item->conn == NULL);
	cursor = 0;
	assert_true(reader_conn_next(rig.reader, &cursor, &budget, &row));
	assert_int_equal(row.received, 1);
	assert_int_equal(row.sent, 1);
	assert_int_equal(row.latency_count, 1);
	assert_int_equal(row.last_latency_ms, 0);
	assert_int_equal(row.min_latency_ms, 0);
	assert_int_equal(row.max_latency_ms, 0);
	assert_int_equal(row.latency_sum_ms, 0);
	rig_stop(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lone_read_is_shown_to_have_taken_no_time),
		cmocka_unit_test(both_ways_answer_and_count_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
