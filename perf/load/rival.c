/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rival - the least of RESP and of HTTP that get and set need. Values are
 * letters, so that base64 of them is a constant and nothing has to be escaped.
 */
#include "perf/load/rival.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LETTER     'x'
#define HEAD_BYTES 512u

static const char base64[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void
put_text(struct jute_writer *writer, const char *text)
{
	jute_put_raw(writer, text, strlen(text));
}

static void
put_letters(struct jute_writer *writer, uint32_t count)
{
	uint8_t *to = jute_claim(writer, count);

	if (to != NULL)
		memset(to, LETTER, count);
}

static int
key_of(uint64_t number, char key[32])
{
	return snprintf(key, 32, "load:%012llu", (unsigned long long)number);
}

/* ---- RESP ------------------------------------------------------------------
 */

static void
resp_put(struct jute_writer *writer, const struct load_options *options,
	 enum load_op op, uint64_t number)
{
	char key[32], head[96];
	const int bytes = key_of(number, key);

	snprintf(head, sizeof(head), "*%d\r\n$3\r\n%s\r\n$%d\r\n%s\r\n",
		 op == LOAD_OP_SET ? 3 : 2, op == LOAD_OP_SET ? "SET" : "GET",
		 bytes, key);
	put_text(writer, head);
	if (op != LOAD_OP_SET)
		return;
	snprintf(head, sizeof(head), "$%u\r\n", options->value_bytes);
	put_text(writer, head);
	put_letters(writer, options->value_bytes);
	put_text(writer, "\r\n");
}

static size_t
resp_take(const uint8_t *data, size_t bytes, const struct load_options *options,
	  enum load_op op)
{
	const uint8_t *end = memchr(data, '\n', bytes);
	char expected[32];
	size_t whole;

	if (end == NULL)
		return 0;
	whole = (size_t)(end - data) + 1;
	if (op == LOAD_OP_SET) {
		if (whole != 5 || memcmp(data, "+OK\r\n", 5) != 0)
			load_die("redis: SET was not answered with OK");
		return whole;
	}
	snprintf(expected, sizeof(expected), "$%u\r\n", options->value_bytes);
	if (whole != strlen(expected) || memcmp(data, expected, whole) != 0)
		load_die("redis: GET gives another length");
	whole += options->value_bytes + 2;
	return bytes < whole ? 0 : whole;
}

/* ---- etcd ------------------------------------------------------------------
 */

static void
put_base64(struct jute_writer *writer, const char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += 3) {
		const uint32_t left = (uint32_t)(bytes - i);
		const uint32_t word =
			(uint32_t)(uint8_t)text[i] << 16 |
			(left > 1 ? (uint32_t)(uint8_t)text[i + 1] << 8 : 0) |
			(left > 2 ? (uint32_t)(uint8_t)text[i + 2] : 0);
		const char four[4] = {base64[word >> 18],
				      base64[word >> 12 & 63],
				      left > 1 ? base64[word >> 6 & 63] : '=',
				      left > 2 ? base64[word & 63] : '='};

		jute_put_raw(writer, four, sizeof(four));
	}
}

static size_t
base64_bytes(size_t bytes)
{
	return (bytes + 2) / 3 * 4;
}

static void
etcd_put(struct jute_writer *writer, const struct load_options *options,
	 enum load_op op, uint64_t number)
{
	static char value[LOAD_VALUE_BYTES_MAX];
	char key[32], head[HEAD_BYTES];
	const size_t key_bytes = (size_t)key_of(number, key);
	const bool is_set = op == LOAD_OP_SET;
	size_t body = strlen("{\"key\":\"\"}") + base64_bytes(key_bytes);

	if (is_set)
		body += strlen(",\"value\":\"\"") +
			base64_bytes(options->value_bytes);
	snprintf(head, sizeof(head),
		 "POST /v3/kv/%s HTTP/1.1\r\nHost: etcd\r\n"
		 "Content-Type: application/json\r\n"
		 "Content-Length: %zu\r\n\r\n{\"key\":\"",
		 is_set ? "put" : "range", body);
	put_text(writer, head);
	put_base64(writer, key, key_bytes);
	if (is_set) {
		memset(value, LETTER, options->value_bytes);
		put_text(writer, "\",\"value\":\"");
		put_base64(writer, value, options->value_bytes);
	}
	put_text(writer, "\"}");
}

/* A header's number, or -1. */
static long
header_number(const char *head, const char *name)
{
	const char *at = strcasestr(head, name);

	return at == NULL ? -1 : strtol(at + strlen(name), NULL, 10);
}

static size_t
etcd_take(const uint8_t *data, size_t bytes, const struct load_options *options,
	  enum load_op op)
{
	const char *end = memmem(data, bytes, "\r\n\r\n", 4);
	char head[1024];
	size_t head_bytes;
	long body;

	if (end == NULL)
		return 0;
	head_bytes = (size_t)(end - (const char *)data) + 4;
	if (head_bytes >= sizeof(head))
		load_die("etcd: a long head");
	memcpy(head, data, head_bytes);
	head[head_bytes] = 0;
	body = header_number(head, "content-length:");
	if (strncmp(head, "HTTP/1.1 200", 12) != 0 || body < 0)
		load_die("etcd: %.40s", head);
	if (bytes < head_bytes + (size_t)body)
		return 0;
	if (op == LOAD_OP_GET &&
	    (size_t)body < base64_bytes(options->value_bytes))
		load_die("etcd: range gives no value");
	return head_bytes + (size_t)body;
}

/* ---- both ------------------------------------------------------------------
 */

void
rival_put(struct jute_writer *writer, const struct load_options *options,
	  enum load_op op, uint64_t number)
{
	if (options->protocol == LOAD_REDIS)
		resp_put(writer, options, op, number);
	else
		etcd_put(writer, options, op, number);
}

size_t
rival_take(const uint8_t *data, size_t bytes,
	   const struct load_options *options, enum load_op op)
{
	return options->protocol == LOAD_REDIS
		       ? resp_take(data, bytes, options, op)
		       : etcd_take(data, bytes, options, op);
}

void
rival_fill(struct load_conn *conn, const struct load_options *options)
{
	const uint32_t pipeline =
		options->protocol == LOAD_REDIS ? RIVAL_PIPELINE : 1;
	uint32_t made = 0;

	while (made < options->keys || conn_pending(conn) > 0) {
		struct load_reply reply;
		size_t at = 0;

		while (made < options->keys && conn_pending(conn) < pipeline) {
			struct jute_writer writer = conn_writer(conn);

			conn_expect(conn, LOAD_OP_SET, 0, 0);
			rival_put(&writer, options, LOAD_OP_SET, made++);
			conn_wrote(conn, &writer);
		}
		if (!conn_flush(conn, 0))
			load_die("the socket blocks and does not send");
		conn_receive(conn);
		while (conn_next_reply(conn, options, &at, &reply))
			continue;
		conn_drop(conn, at);
	}
}
