/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the fuzz targets' first inputs from the golden files:
 *
 *   fuzz_corpus GOLDEN OUT     writes OUT/proto, txn, quorum, peers,
 *                              conn, log, snapshot
 *
 * A reply's request type is not known here: types are tried in turn, which is
 * good enough for a beginning.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/be.h"
#include "base/fal.h"
#include "consensus/genesis.h"
#include "wire/fle_msg.h"

#include "vector_file.h"

#define PATH_BYTES 4096

struct output {
	const char *directory;
	const char *name;
	uint32_t count;
};

static void
directory_make(const char *parent, const char *name)
{
	char path[PATH_BYTES];

	FAL_ASSERT(snprintf(path, sizeof(path), "%s/%s", parent, name) <
		   (int)sizeof(path));
	(void)mkdir(path, 0755);
}

static void
output_write(struct output *output, const uint8_t *prefix, size_t prefix_bytes,
	     const uint8_t *data, size_t bytes)
{
	char path[PATH_BYTES];
	FILE *file;

	FAL_ASSERT(snprintf(path, sizeof(path), "%s/%s/%05u", output->directory,
			    output->name, output->count++) < (int)sizeof(path));
	file = fopen(path, "wb");
	FAL_ASSERT(file != NULL);
	FAL_ASSERT(fwrite(prefix, 1, prefix_bytes, file) == prefix_bytes);
	FAL_ASSERT(fwrite(data, 1, bytes, file) == bytes);
	FAL_ASSERT(fclose(file) == 0);
}

static void
visit_client_file(const char *path, void *context)
{
	static const uint8_t reply_types[] = {
		1, 3, 4, 6, 8, 12, 14, 15, 16, 22, 102, 103, 104, 106, 107};
	static uint32_t turn;
	struct vector_file file;

	vector_file_load(path, &file);
	for (size_t i = 0; i < file.frame_count; i++) {
		const struct vector_frame *frame = &file.frames[i];
		const bool is_connect =
			strncmp(frame->fields[1].label, "protocol", 8) == 0;
		uint8_t prefix[2];

		prefix[0] = (uint8_t)((is_connect ? 0 : 2) +
				      (frame->is_from_client ? 0 : 1));
		prefix[1] = reply_types[turn++ % sizeof(reply_types)];
		output_write(context, prefix, 2, frame->data + 4,
			     frame->bytes - 4);
	}
	vector_file_free(&file);
}

/* steps as in fuzz_conn.c: a connection, then what its client sent, and rounds
 * of the server between */
static void
visit_client_stream(const char *path, void *context)
{
	struct vector_file file;
	uint8_t *steps;
	size_t count = 0;

	vector_file_load(path, &file);
	steps = malloc(64 + file.frame_count * (3 + 510));
	FAL_ASSERT(steps != NULL);
	steps[count++] = 0;
	for (size_t i = 0; i < file.frame_count && i < 200; i++) {
		const struct vector_frame *frame = &file.frames[i];
		size_t at = 0;

		while (frame->is_from_client && at < frame->bytes) {
			const size_t n = frame->bytes - at < 510
						 ? frame->bytes - at
						 : 510;

			if (count + n > 2000)
				break;
			steps[count++] = 6;
			steps[count++] = (uint8_t)((n + 1) / 2);
			memcpy(steps + count, frame->data + at, n);
			count += n;
			if (n % 2 == 1)
				steps[count++] = 0;
			at += n;
		}
		steps[count++] = 3;
	}
	output_write(context, NULL, 0, steps, count);
	free(steps);
	vector_file_free(&file);
}

/* kinds as in fuzz_quorum.c */
static void
visit_quorum_file(const char *path, void *context)
{
	const bool is_dialer = strstr(path, ".c2s.bin") != NULL;
	uint8_t kind = is_dialer ? 0 : 1;
	size_t bytes, at = 0;
	uint8_t *data = vector_read_bytes(path, &bytes);

	if (strstr(path, "election") != NULL) {
		kind = 3;
		if (is_dialer && bytes >= 20) {
			const uint8_t hello_kind = 2;

			at = 20 + be_load32(data + 16);
			output_write(context, &hello_kind, 1, data, at);
		}
	}
	if (bytes - at >= 8 && be_load32(data + at) == 0x5f243501)
		kind = 4;
	output_write(context, &kind, 1, data + at, bytes - at);
	free(data);
}

/* steps as in fuzz_peers.c: somebody connects, or our dial is answered; then
 * all bytes in the largest pieces */
static void
visit_connection(const char *path, void *context)
{
	static const uint8_t dialed[2][3] = {{0, 6, 7}, {1, 6 | 5 << 3, 7}};
	const bool is_dialer = strstr(path, ".c2s.bin") != NULL;
	const int port = strstr(path, "election") != NULL ? 0 : 1;
	uint8_t start[3] = {(uint8_t)port, 2, 5};
	size_t bytes, at = 0, count = 0;
	uint8_t *data = vector_read_bytes(path, &bytes);
	uint8_t *steps = malloc(bytes + bytes / 1024 + 1);

	FAL_ASSERT(steps != NULL);
	while (at < bytes) {
		const size_t n = bytes - at < 1024 ? bytes - at : 1024;

		steps[count++] = 1 | 31 << 3;
		memcpy(steps + count, data + at, n);
		count += n;
		at += n;
	}
	output_write(context, is_dialer ? start : dialed[port], 3, steps,
		     count);
	free(steps);
	free(data);
}

/* A server with a larger id connects, says who it is, and sends a frame of the
 * register of each type, in pieces of 32 and 12 bytes. */
static void
write_genesis(struct output *output)
{
	uint8_t start[3] = {0, 2, 22 << 3}, bytes[1024], frame[44];
	struct jute_writer hello = jute_writer_of(bytes, sizeof(bytes));
	struct genesis_message message = {.ballot = 1u << 5, .id = {7}};
	size_t at;

	fle_hello_put(&hello, &(struct fle_hello){
				      .protocol_version = FLE_PROTOCOL_V1,
				      .sid = 8,
				      .addresses = jute_slice_of("b:2", 3)});
	at = jute_written(&hello);
	FAL_ASSERT(at == 23);
	for (uint32_t type = GENESIS_PREPARE; type < GENESIS_TYPES; type++) {
		message.type = type;
		be_store32(frame, GENESIS_FRAME_BYTES);
		genesis_put(&message, frame + 4);
		bytes[at++] = 31 << 3;
		memcpy(bytes + at, frame, 32);
		at += 32;
		bytes[at++] = 11 << 3;
		memcpy(bytes + at, frame + 32, 12);
		at += 12;
	}
	output_write(output, start, sizeof(start), bytes, at);
}

static void
visit_log_file(const char *path, void *context)
{
	size_t bytes, at = 16;
	uint8_t *data;

	if (strncmp(strrchr(path, '/'), "/log.", 5) != 0)
		return;
	data = vector_read_bytes(path, &bytes);
	while (at + 12 <= bytes) {
		const uint32_t n = be_load32(data + at + 8);

		if (n == 0 || n > bytes - at - 12)
			break;
		output_write(context, NULL, 0, data + at + 12, n);
		at += 12 + n + 1;
	}
	free(data);
}

/* A log or snapshot file of a golden directory, without the zeros behind it. */
static void
visit_disk_file(const char *path, void *context)
{
	struct output *output = context;
	const bool is_log = strcmp(output->name, "log") == 0;
	const uint8_t plain = 4; /* see fuzz_snapshot.c */
	size_t bytes;
	uint8_t *data;

	if (strncmp(strrchr(path, '/') + 1, is_log ? "log." : "snapshot.",
		    is_log ? 4 : 9) != 0)
		return;
	data = vector_read_bytes(path, &bytes);
	while (bytes > 64 && data[bytes - 1] == 0 && data[bytes - 64] == 0)
		bytes--;
	output_write(output, &plain, is_log ? 0 : 1, data, bytes);
	free(data);
}

static void
write_disk_files(const char *golden, struct output *output)
{
	static const char *const directories[] = {
		"txn-types",
		"synthetic-v0",
		"rollover",
		"no-digest",
		"trunc/before",
		"damaged/torn_crc_only",
		"damaged/torn_eof",
		"damaged/torn_zero",
		"damaged/hole_mid_eor",
		"damaged/bitflip_mid",
		"damaged/huge_len",
		"damaged/neg_len",
		"damaged/dup_zxid",
		"damaged/short_header_tail",
		"damaged/snap_trunc",
		"damaged/snap_trail_flip",
	};
	char path[PATH_BYTES];

	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]);
	     i++) {
		(void)snprintf(path, sizeof(path), "%s/disk/%s", golden,
			       directories[i]);
		(void)vector_files_visit(path, "", visit_disk_file, output);
	}
}

int
main(int argc, char **argv)
{
	static const char *const logs[] = {"txn-types", "synthetic-v0",
					   "no-closesession-body",
					   "reconfig/version-2", "bare-check"};
	struct output output;
	char path[PATH_BYTES];

	if (argc != 3) {
		(void)fprintf(stderr, "usage: fuzz_corpus GOLDEN OUT\n");
		return 1;
	}
	(void)mkdir(argv[2], 0755);
	directory_make(argv[2], "proto");
	directory_make(argv[2], "txn");
	directory_make(argv[2], "quorum");
	directory_make(argv[2], "peers");
	directory_make(argv[2], "conn");
	directory_make(argv[2], "log");
	directory_make(argv[2], "snapshot");
	/* Stays empty: what is found goes to the first directory that the
	 * fuzzer is given, and the samples of configs/ are the second. */
	directory_make(argv[2], "config");
	output = (struct output){argv[2], "proto", 0};
	(void)snprintf(path, sizeof(path), "%s/client", argv[1]);
	(void)vector_files_visit(path, ".hex", visit_client_file, &output);
	output = (struct output){argv[2], "conn", 0};
	(void)vector_files_visit(path, ".hex", visit_client_stream, &output);
	output = (struct output){argv[2], "quorum", 0};
	(void)snprintf(path, sizeof(path), "%s/quorum", argv[1]);
	(void)vector_files_visit(path, ".bin", visit_quorum_file, &output);
	output = (struct output){argv[2], "peers", 0};
	(void)vector_files_visit(path, ".bin", visit_connection, &output);
	write_genesis(&output);
	output = (struct output){argv[2], "txn", 0};
	for (size_t i = 0; i < sizeof(logs) / sizeof(logs[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/disk/%s", argv[1],
			       logs[i]);
		(void)vector_files_visit(path, "", visit_log_file, &output);
	}
	output = (struct output){argv[2], "log", 0};
	write_disk_files(argv[1], &output);
	output = (struct output){argv[2], "snapshot", 0};
	write_disk_files(argv[1], &output);
	return 0;
}
