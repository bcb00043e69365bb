/* SPDX-License-Identifier: Apache-2.0 */
/* jute_bench - a getData request taken apart, its reply put together, and the
 * same for setData: the coding that each request pays for. */
#include "perf/micro/bench.h"

#include <stdlib.h>
#include <string.h>

#include "wire/frame.h"
#include "wire/proto.h"
#include "wire/txn.h"
#include "perf/micro/must.h"

#define PATH       "/bench/d000123/k000123456"
#define DATA_BYTES 100u

struct coding {
	uint8_t get[256], set[512], entry[512];
	size_t get_bytes, set_bytes, entry_bytes;
	uint8_t data[DATA_BYTES];
	uint8_t out[1024];
};

static void
put_header(struct jute_writer *writer, int32_t type)
{
	const struct proto_request_header header = {.xid = 7, .type = type};

	proto_put_request_header(writer, &header);
}

static void
make_requests(struct coding *coding)
{
	const struct jute_slice path = jute_slice_of(PATH, strlen(PATH));
	const struct proto_path_watch get = {.path = path};
	const struct proto_set_data_request set = {
		.path = path,
		.data = jute_slice_of(coding->data, DATA_BYTES),
		.version = -1};
	struct jute_writer writer =
		jute_writer_of(coding->get, sizeof(coding->get));

	put_header(&writer, OP_GET_DATA);
	proto_put_path_watch(&writer, &get);
	coding->get_bytes = jute_written(&writer);
	writer = jute_writer_of(coding->set, sizeof(coding->set));
	put_header(&writer, OP_SET_DATA);
	proto_put_set_data(&writer, &set);
	coding->set_bytes = jute_written(&writer);
}

static size_t
put_entry(const struct coding *coding, uint8_t *to, size_t cap)
{
	struct jute_writer writer = jute_writer_of(to, cap);
	const struct txn_header header = {.session_id = 0x100000000000001,
					  .cxid = 7,
					  .zxid = 0x100000007,
					  .time_ms = 1700000000000,
					  .type = OP_SET_DATA};
	const struct txn_record record = {
		.type = OP_SET_DATA,
		.path = jute_slice_of(PATH, strlen(PATH)),
		.data = jute_slice_of(coding->data, DATA_BYTES),
		.version = 3};

	txn_put_header(&writer, &header);
	txn_put_record(&writer, &record);
	txn_put_digest(&writer, 0x123456789);
	return writer.is_full ? 0 : jute_written(&writer);
}

static void *
coding_setup(void)
{
	struct coding *coding = calloc(1, sizeof(*coding));

	BENCH_MUST(coding != NULL);
	make_requests(coding);
	coding->entry_bytes =
		put_entry(coding, coding->entry, sizeof(coding->entry));
	BENCH_MUST(coding->entry_bytes > 0);
	return coding;
}

static uint64_t
decode_get(void *state, uint64_t count)
{
	const struct coding *coding = state;
	uint64_t right = 0;

	for (uint64_t i = 0; i < count; i++) {
		struct jute_reader reader =
			jute_reader_of(coding->get, coding->get_bytes);
		struct proto_request_header header;
		struct proto_path_watch get;

		right += proto_get_request_header(&reader, &header) == 0 &&
			 proto_get_path_watch(&reader, &get) == 0 &&
			 get.path.bytes == (int32_t)strlen(PATH);
	}
	return right;
}

static uint64_t
decode_set(void *state, uint64_t count)
{
	const struct coding *coding = state;
	uint64_t right = 0;

	for (uint64_t i = 0; i < count; i++) {
		struct jute_reader reader =
			jute_reader_of(coding->set, coding->set_bytes);
		struct proto_request_header header;
		struct proto_set_data_request set;

		right += proto_get_request_header(&reader, &header) == 0 &&
			 proto_get_set_data(&reader, &set) == 0 &&
			 set.data.bytes == (int32_t)DATA_BYTES;
	}
	return right;
}

static uint64_t
encode_get_reply(void *state, uint64_t count)
{
	struct coding *coding = state;
	const struct proto_reply_header header = {.xid = 7, .zxid = 9};
	const struct proto_stat stat = {.czxid = 1, .data_length = DATA_BYTES};
	uint64_t right = 0;

	for (uint64_t i = 0; i < count; i++) {
		struct jute_writer writer =
			jute_writer_of(coding->out, sizeof(coding->out));
		const size_t mark = frame_begin(&writer);

		proto_put_reply_header(&writer, &header);
		jute_put_slice(&writer,
			       jute_slice_of(coding->data, DATA_BYTES));
		proto_put_stat(&writer, &stat);
		frame_end(&writer, mark);
		right += jute_written(&writer) ==
			 FRAME_LENGTH_BYTES + PROTO_REPLY_HEADER_BYTES + 4 +
				 DATA_BYTES + PROTO_STAT_BYTES;
	}
	return right;
}

static uint64_t
encode_entry(void *state, uint64_t count)
{
	struct coding *coding = state;
	uint64_t right = 0;

	for (uint64_t i = 0; i < count; i++)
		right += put_entry(coding, coding->out, sizeof(coding->out)) ==
			 coding->entry_bytes;
	return right;
}

static uint64_t
decode_entry(void *state, uint64_t count)
{
	const struct coding *coding = state;
	struct txn_entry entry;
	uint64_t right = 0;

	for (uint64_t i = 0; i < count; i++)
		right += txn_get_entry(coding->entry, coding->entry_bytes,
				       &entry) == 0 &&
			 entry.has_digest;
	return right;
}

const struct bench_case bench_jute_cases[] = {
	{"jute/decode_getData", coding_setup, decode_get, free, 0},
	{"jute/decode_setData", coding_setup, decode_set, free, 0},
	{"jute/encode_getData_reply", coding_setup, encode_get_reply, free, 0},
	{"jute/encode_txn_entry", coding_setup, encode_entry, free, 0},
	{"jute/decode_txn_entry", coding_setup, decode_entry, free, 0},
	{0},
};
