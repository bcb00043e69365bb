/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: each rule of the RFCs, seen from the wire.
 * Method: scripts (*.pkt beside this file, the argument) are run line by line
 * against one instance; every segment it sends must be the next expected one,
 * and none may be left over. A case:
 *
 *   case RFC 9293 3.5: sentence
 *   open [ts] [sack] [ws]     handshake by the peer, window 64000, MSS 1460
 *   < SA seq ack bytes [win N] [mss N] [ws N] [sackok] [ts V E] [sack L R]...
 *   > A seq ack bytes         the same words are compared when they are given
 *   connect | write N | consume N | shutdown | close | abort | release
 *   +N                        N milliseconds pass
 *   news N | buffered N | conns N | unacked N
 *
 * Flags: S F R A P; the P we send is not compared.
 */

#include "packet_eal.h"
#include "packet_rig.h"

struct script {
	struct rig rig;
	const char *path;
	uint32_t line, cases, failures;
	bool is_running, has_failed;
	char name[512];
};

static void
script_fail(struct script *script, const char *what, uint32_t is,
	    uint32_t expected)
{
	if (!script->has_failed)
		script->failures++;
	script->has_failed = true;
	fprintf(stderr, "%s:%u: %s: %s is %u, expected %u\n", script->path,
		script->line, script->name, what, is, expected);
}

static void
script_expect(struct script *script, const char *what, uint32_t is,
	      uint32_t expected)
{
	if (is != expected)
		script_fail(script, what, is, expected);
}

static void
script_end(struct script *script)
{
	struct rig_segment segment;

	if (!script->is_running)
		return;
	if (!script->has_failed && rig_next(&script->rig, &segment))
		script_fail(script, "a segment left over with flags",
			    segment.flags, 0);
	rig_stop(&script->rig);
	script_expect(script, "mbufs leaked",
		      rte_mempool_in_use_count(script->rig.pool), 0);
	script->is_running = false;
}

static uint32_t
script_number(char **at)
{
	char *word = strtok_r(NULL, " \n", at);

	return word == NULL ? 0 : (uint32_t)strtoul(word, NULL, 10);
}

static uint32_t
script_flags(const char *word)
{
	uint32_t flags = 0;

	for (; word != NULL && *word != 0; word++) {
		flags |= *word == 'S' ? TCP_SYN : 0;
		flags |= *word == 'F' ? TCP_FIN : 0;
		flags |= *word == 'R' ? TCP_RST : 0;
		flags |= *word == 'A' ? TCP_ACK : 0;
		flags |= *word == 'P' ? TCP_PSH : 0;
	}
	return flags;
}

/* Reads the words of a segment; bits of `given` name those that were there. */
static uint32_t
script_segment(char **at, struct rig_segment *segment)
{
	struct tcp_options *options = &segment->options;
	uint32_t given = 0;
	char *word;

	memset(segment, 0, sizeof(*segment));
	segment->window = 64000;
	segment->flags = script_flags(strtok_r(NULL, " \n", at));
	segment->seq = script_number(at);
	segment->ack = script_number(at);
	segment->bytes = script_number(at);
	while ((word = strtok_r(NULL, " \n", at)) != NULL) {
		if (strcmp(word, "win") == 0) {
			segment->window = script_number(at);
			given |= 1;
		} else if (strcmp(word, "mss") == 0) {
			options->mss = (uint16_t)script_number(at);
			given |= 2;
		} else if (strcmp(word, "ws") == 0) {
			options->has_window_shift = true;
			options->window_shift = (uint8_t)script_number(at);
		} else if (strcmp(word, "sackok") == 0) {
			options->sack_permitted = true;
		} else if (strcmp(word, "ts") == 0) {
			options->has_timestamps = true;
			options->ts_value = script_number(at);
			options->ts_echo = script_number(at);
		} else if (strcmp(word, "sack") == 0) {
			struct tcp_sack *sack =
				&options->sacks[options->sack_count++ % 4];

			sack->left = script_number(at);
			sack->right = script_number(at);
		}
	}
	return given;
}

static void
script_receive(struct script *script, char **at)
{
	struct rig_segment segment, sent;

	script_segment(at, &segment);
	if (rig_next(&script->rig, &sent))
		script_fail(script, "a segment not expected, flags", sent.flags,
			    0);
	for (uint32_t i = 0; i < segment.options.sack_count; i++) {
		segment.options.sacks[i].left += script->rig.isn;
		segment.options.sacks[i].right += script->rig.isn;
	}
	rig_receive(&script->rig, &segment);
}

static void
script_sent(struct script *script, char **at)
{
	struct rig_segment expected, sent;
	uint32_t given = script_segment(at, &expected);

	if (!rig_next(&script->rig, &sent)) {
		script_fail(script, "segments sent", 0, 1);
		return;
	}
	script_expect(script, "flags", sent.flags & ~TCP_PSH, expected.flags);
	script_expect(script, "seq", sent.seq, expected.seq);
	script_expect(script, "ack", sent.ack, expected.ack);
	script_expect(script, "bytes", sent.bytes, expected.bytes);
	if ((given & 1) != 0)
		script_expect(script, "window", sent.window, expected.window);
	if ((given & 2) != 0)
		script_expect(script, "mss", sent.options.mss,
			      expected.options.mss);
	if (expected.options.has_timestamps)
		script_expect(script, "ts echo", sent.options.ts_echo,
			      expected.options.ts_echo);
	script_expect(script, "sack blocks", sent.options.sack_count,
		      expected.options.sack_count);
	for (uint32_t i = 0; i < expected.options.sack_count; i++) {
		script_expect(script, "sack left",
			      sent.options.sacks[i].left - RIG_PEER_ISN,
			      expected.options.sacks[i].left);
		script_expect(script, "sack right",
			      sent.options.sacks[i].right - RIG_PEER_ISN,
			      expected.options.sacks[i].right);
	}
}

static void
script_open(struct script *script, char **at)
{
	struct rig_segment segment = {.flags = TCP_SYN, .window = 64000};
	struct rig_segment sent;
	struct tcp_options *options = &segment.options;
	char *word;

	options->mss = 1460;
	while ((word = strtok_r(NULL, " \n", at)) != NULL) {
		options->has_timestamps |= strcmp(word, "ts") == 0;
		options->sack_permitted |= strcmp(word, "sack") == 0;
		options->has_window_shift |= strcmp(word, "ws") == 0;
	}
	options->ts_value = 100;
	rig_receive(&script->rig, &segment);
	script_expect(script, "SYN-ACK sent", rig_next(&script->rig, &sent), 1);
	segment.flags = TCP_ACK;
	segment.seq = 1;
	segment.ack = 1;
	rig_receive(&script->rig, &segment);
	script_expect(script, "opened", script->rig.news & TCP_NEWS_OPENED,
		      TCP_NEWS_OPENED);
}

static bool
script_action(struct script *script, const char *word, char **at)
{
	struct rig *rig = &script->rig;
	static const uint8_t bytes[65536];
	struct tcp_address peer = tcp_address_ipv4(RIG_PEER);

	if (strcmp(word, "connect") == 0)
		script_expect(script, "connect",
			      (uint32_t)tcp_connect(rig->core, &peer, 2888, 3,
						    &rig->conn),
			      0);
	else if (rig->conn == NULL)
		return false;
	else if (strcmp(word, "write") == 0)
		tcp_write(rig->core, rig->conn, bytes, script_number(at));
	else if (strcmp(word, "consume") == 0)
		tcp_consume(rig->core, rig->conn, script_number(at));
	else if (strcmp(word, "shutdown") == 0)
		tcp_shutdown(rig->core, rig->conn);
	else if (strcmp(word, "close") == 0)
		tcp_close(rig->core, rig->conn, 5000);
	else if (strcmp(word, "abort") == 0)
		tcp_abort(rig->core, rig->conn);
	else if (strcmp(word, "release") == 0)
		tcp_release(rig->core, rig->conn);
	else if (strcmp(word, "keepalive") == 0)
		tcp_keepalive(rig->core, rig->conn, script_number(at));
	else
		return false;
	rig_settle(rig);
	return true;
}

static bool
script_check(struct script *script, const char *word, char **at)
{
	struct rig *rig = &script->rig;

	if (strcmp(word, "news") == 0)
		script_expect(script, word, rig->news, script_number(at));
	else if (strcmp(word, "buffered") == 0)
		script_expect(script, word, tcp_buffered(rig->conn),
			      script_number(at));
	else if (strcmp(word, "unacked") == 0)
		script_expect(script, word, tcp_unacked(rig->conn),
			      script_number(at));
	else if (strcmp(word, "reason") == 0)
		script_expect(script, word, tcp_reason(rig->conn),
			      script_number(at));
	else if (strcmp(word, "conns") == 0)
		script_expect(script, word,
			      (uint32_t)tcp_counters(rig->core)->conns,
			      script_number(at));
	else
		return false;
	return true;
}

static void
script_line(struct script *script, struct rte_mempool *pool, char *line)
{
	char *at = NULL;
	char *word;

	if (strncmp(line, "case ", 5) == 0) {
		script_end(script);
		line[strcspn(line, "\n")] = 0;
		snprintf(script->name, sizeof(script->name), "%s", line + 5);
		rig_start(&script->rig, pool);
		script->is_running = true;
		script->has_failed = false;
		script->cases++;
		return;
	}
	word = strtok_r(line, " \n", &at);
	if (word == NULL || word[0] == '#' || script->has_failed)
		return;
	if (strcmp(word, "<") == 0)
		script_receive(script, &at);
	else if (strcmp(word, ">") == 0)
		script_sent(script, &at);
	else if (strcmp(word, "open") == 0)
		script_open(script, &at);
	else if (word[0] == '+')
		rig_pass(&script->rig, (uint32_t)strtoul(word + 1, NULL, 10));
	else if (!script_action(script, word, &at) &&
		 !script_check(script, word, &at))
		script_fail(script, word, 0, 1);
}

int
main(int argc, char **argv)
{
	static struct script script;
	struct rte_mempool *pool;
	char line[512];

	if (argc < 2)
		return 2;
	pool = packet_eal_pool(2047);
	for (int i = 1; i < argc; i++) {
		FILE *file = fopen(argv[i], "r");

		if (file == NULL)
			return 2;
		script.path = argv[i];
		script.line = 0;
		while (fgets(line, sizeof(line), file) != NULL) {
			script.line++;
			script_line(&script, pool, line);
		}
		script_end(&script);
		fclose(file);
	}
	printf("%u cases, %u failed\n", script.cases, script.failures);
	return script.failures != 0 || script.cases == 0;
}
