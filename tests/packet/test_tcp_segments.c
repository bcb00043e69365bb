/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: each rule of the RFCs, seen from the wire.
 * Method: scripts (*.pkt beside this file, the arguments) are run line by line
 * against one instance; every packet it sends must be the next expected one,
 * and none may be left over, nor any mbuf. With --offload as the first argument
 * the port makes the checksums of TCP, with --segments it also cuts long
 * frames. A case:
 *
 *   case RFC 9293 3.5: sentence
 *   with [ip6] [vlan N] [mtu N] [half-open N] [conns N] [window N]
 *   open [ts] [sack] [ws]     handshake by the peer, window 64000, MSS 1460
 *   < SA seq ack bytes [win N] [mss N] [ws N] [sackok] [ts V E] [sack L R]...
 *     [options HEX]           TCP options, raw
 *     [extension HEX]         IPv4 options or IPv6 extension headers
 *     [ether|ip|tcp N HEX]    bytes at an offset, before the sums are made
 *     [late ip|tcp N HEX]     the same afterwards
 *     [cut N] [pad N]         the frame's length; more bytes behind it
 *     [tag N] [group]         a VLAN tag; to a group's MAC
 *   < icmp type code word [seq N] [bytes N] ...
 *   > A seq ack bytes         the options' words are compared when given
 *   > icmp type bytes
 *   connect | write N | consume N | read N | shutdown | close | abort | release
 *   +N                        N milliseconds pass
 *   peer N                    the other side's port from now on
 *   station N                 the end of the other side's MAC from now on
 *   flood N                   N SYNs of other ports; the answers are not
 *                             looked at
 *   forget                    nor is what was sent so far
 *   news N | buffered N | conns N | unacked N | reason N | count NAME N
 *
 * A timestamp echo of -1 is the one we sent last. Flags: S F R A P U; the P we
 * send is not compared. An empty line or one that begins with # is skipped.
 */

#include "packet_eal.h"
#include "packet_rig.h"

struct script {
	struct rig rig;
	const char *path;
	uint32_t line, cases, failures;
	uint32_t tx_offloads;
	uint32_t given; /* words of the line: 1 win, 2 mss */
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
		flags |= *word == 'U' ? 0x20u : 0;
	}
	return flags;
}

static uint32_t
script_hex(char **at, uint8_t *bytes, uint32_t max)
{
	char *word = strtok_r(NULL, " \n", at);
	uint32_t count = 0;

	for (; word != NULL && word[0] != 0 && word[1] != 0; word += 2) {
		char pair[3] = {word[0], word[1], 0};

		FAL_ASSERT(count < max);
		bytes[count++] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return count;
}

static void
script_patch(char **at, struct rig_segment *segment, const char *layer,
	     bool is_late)
{
	struct rig_patch *patch = &segment->patches[segment->patch_count++];

	FAL_ASSERT(segment->patch_count <= RIG_PATCHES);
	patch->layer = layer[0];
	patch->is_late = is_late;
	patch->offset = (uint16_t)script_number(at);
	patch->bytes =
		(uint16_t)script_hex(at, patch->data, sizeof(patch->data));
}

/* Words that only what the peer sends has. */
static bool
script_damage(char **at, struct rig_segment *segment, const char *word)
{
	if (strcmp(word, "ether") == 0 || strcmp(word, "ip") == 0 ||
	    strcmp(word, "tcp") == 0) {
		script_patch(at, segment, word, false);
	} else if (strcmp(word, "late") == 0) {
		script_patch(at, segment, strtok_r(NULL, " \n", at), true);
	} else if (strcmp(word, "options") == 0) {
		segment->has_raw_options = true;
		segment->raw_option_bytes =
			script_hex(at, segment->raw_options, 40);
	} else if (strcmp(word, "extension") == 0) {
		segment->extension_bytes =
			script_hex(at, segment->extension, 160);
	} else if (strcmp(word, "cut") == 0) {
		segment->cut = script_number(at);
	} else if (strcmp(word, "pad") == 0) {
		segment->pad = script_number(at);
	} else if (strcmp(word, "tag") == 0) {
		segment->has_tag = true;
		segment->tag = (uint16_t)script_number(at);
	} else if (strcmp(word, "group") == 0) {
		segment->is_group = true;
	} else if (strcmp(word, "seq") == 0) {
		segment->seq = script_number(at);
	} else if (strcmp(word, "bytes") == 0) {
		segment->bytes = script_number(at);
	} else {
		return false;
	}
	return true;
}

static void
script_words(struct script *script, char **at, struct rig_segment *segment)
{
	struct tcp_options *options = &segment->options;
	char *word;

	while ((word = strtok_r(NULL, " \n", at)) != NULL) {
		if (strcmp(word, "win") == 0) {
			segment->window = script_number(at);
			script->given |= 1;
		} else if (strcmp(word, "mss") == 0) {
			options->mss = (uint16_t)script_number(at);
			script->given |= 2;
		} else if (strcmp(word, "ws") == 0) {
			options->has_window_shift = true;
			options->window_shift = (uint8_t)script_number(at);
		} else if (strcmp(word, "sackok") == 0) {
			options->sack_permitted = true;
		} else if (strcmp(word, "ts") == 0) {
			options->has_timestamps = true;
			options->ts_value = script_number(at);
			options->ts_echo = script_number(at);
			if (options->ts_echo == UINT32_MAX)
				options->ts_echo = script->rig.ts_echo;
		} else if (strcmp(word, "sack") == 0) {
			struct tcp_sack *sack =
				&options->sacks[options->sack_count++ % 4];

			sack->left = script_number(at);
			sack->right = script_number(at);
		} else if (!script_damage(at, segment, word)) {
			script_fail(script, word, 0, 1);
		}
	}
}

/* Reads the words of a segment; bits of `given` name those that were there. */
static void
script_segment(struct script *script, char **at, char *flags,
	       struct rig_segment *segment)
{
	memset(segment, 0, sizeof(*segment));
	script->given = 0;
	segment->window = 64000;
	segment->flags = script_flags(flags);
	segment->seq = script_number(at);
	segment->ack = script_number(at);
	segment->bytes = script_number(at);
	script_words(script, at, segment);
}

static void
script_receive(struct script *script, char **at)
{
	char *flags = strtok_r(NULL, " \n", at);
	struct rig_segment segment, sent;
	uint32_t type, code, word;

	if (rig_next(&script->rig, &sent))
		script_fail(script, "a segment not expected, flags", sent.flags,
			    0);
	if (flags != NULL && strcmp(flags, "icmp") == 0) {
		memset(&segment, 0, sizeof(segment));
		type = script_number(at);
		code = script_number(at);
		word = script_number(at);
		script_words(script, at, &segment);
		rig_receive_icmp(&script->rig, &segment, (uint8_t)type,
				 (uint8_t)code, word);
		return;
	}
	script_segment(script, at, flags, &segment);
	for (uint32_t i = 0; i < segment.options.sack_count; i++) {
		segment.options.sacks[i].left += script->rig.isn;
		segment.options.sacks[i].right += script->rig.isn;
	}
	rig_receive(&script->rig, &segment);
}

static void
script_sent(struct script *script, char **at)
{
	char *flags = strtok_r(NULL, " \n", at);
	struct rig_segment expected, sent;
	uint32_t given;

	if (!rig_next(&script->rig, &sent)) {
		script_fail(script, "packets sent", 0, 1);
		return;
	}
	script_expect(script, "VLAN", sent.vlan, script->rig.options.vlan);
	if (flags != NULL && strcmp(flags, "icmp") == 0) {
		script_expect(script, "ICMP type", sent.icmp_type,
			      script_number(at));
		script_expect(script, "bytes", sent.bytes, script_number(at));
		return;
	}
	script_segment(script, at, flags, &expected);
	given = script->given;
	script_expect(script, "protocol", sent.protocol, 6);
	script_expect(script, "flags", sent.flags & ~TCP_PSH, expected.flags);
	script_expect(script, "seq", sent.seq, expected.seq);
	script_expect(script, "ack", sent.ack, expected.ack);
	script_expect(script, "bytes", sent.bytes, expected.bytes);
	if ((given & 1) != 0)
		script_expect(script, "window", sent.window, expected.window);
	if ((given & 2) != 0)
		script_expect(script, "mss", sent.options.mss,
			      expected.options.mss);
	script_expect(script, "timestamps", sent.options.has_timestamps,
		      expected.options.has_timestamps ||
				      (expected.flags & TCP_SYN) != 0
			      ? sent.options.has_timestamps
			      : 0);
	if (expected.options.has_timestamps)
		script_expect(script, "ts echo", sent.options.ts_echo,
			      expected.options.ts_echo);
	if (expected.options.has_window_shift)
		script_expect(script, "window shift", sent.options.window_shift,
			      expected.options.window_shift);
	if (expected.options.sack_permitted)
		script_expect(script, "SACK permitted",
			      sent.options.sack_permitted, 1);
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
	options->ts_echo = sent.options.ts_value;
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

	if (rig->options.is_ipv6)
		peer = (struct tcp_address){{0xfd000000u, 0, 0, 1}};
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
	else if (strcmp(word, "read") == 0)
		script_expect(script, word, rig_read(rig, script_number(at)),
			      1);
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
	else if (strcmp(word, "count") == 0) {
		char *name = strtok_r(NULL, " \n", at);

		script_expect(script, name, (uint32_t)rig_counter(rig, name),
			      script_number(at));
	} else
		return false;
	return true;
}

/* The instance of a case with other settings than the usual. */
static void
script_with(struct script *script, char **at)
{
	struct rte_mempool *pool = script->rig.pool;
	struct rig_options options = {.tx_offloads = script->tx_offloads};
	char *word;

	while ((word = strtok_r(NULL, " \n", at)) != NULL) {
		if (strcmp(word, "ip6") == 0)
			options.is_ipv6 = true;
		else if (strcmp(word, "vlan") == 0)
			options.vlan = (uint16_t)script_number(at);
		else if (strcmp(word, "mtu") == 0)
			options.mtu = (uint16_t)script_number(at);
		else if (strcmp(word, "half-open") == 0)
			options.half_open_limit = script_number(at);
		else if (strcmp(word, "conns") == 0)
			options.conn_limit = script_number(at);
		else if (strcmp(word, "window") == 0)
			options.window_bytes = script_number(at);
		else
			script_fail(script, word, 0, 1);
	}
	rig_stop(&script->rig);
	rig_start(&script->rig, pool, &options);
}

static void
script_flood(struct script *script, uint32_t count)
{
	struct rig *rig = &script->rig;
	struct rig_segment syn = {.flags = TCP_SYN, .window = 64000};
	uint16_t port = rig->peer_port;

	syn.options.mss = 1460;
	for (uint32_t i = 0; i < count; i++) {
		rig->peer_port = (uint16_t)(1000 + i);
		rig_receive(rig, &syn);
		rig_forget(rig);
	}
	rig->peer_port = port;
}

static bool
script_wire(struct script *script, const char *word, char **at)
{
	if (strcmp(word, "<") == 0)
		script_receive(script, at);
	else if (strcmp(word, ">") == 0)
		script_sent(script, at);
	else if (strcmp(word, "open") == 0)
		script_open(script, at);
	else if (strcmp(word, "with") == 0)
		script_with(script, at);
	else if (strcmp(word, "flood") == 0)
		script_flood(script, script_number(at));
	else if (strcmp(word, "peer") == 0)
		rig_peer(&script->rig, (uint16_t)script_number(at));
	else if (strcmp(word, "station") == 0)
		rig_station(&script->rig, (uint8_t)script_number(at));
	else if (strcmp(word, "forget") == 0)
		rig_forget(&script->rig);
	else if (word[0] == '+')
		rig_pass(&script->rig, (uint32_t)strtoul(word + 1, NULL, 10));
	else
		return false;
	return true;
}

static void
script_line(struct script *script, struct rte_mempool *pool, char *line)
{
	struct rig_options usual = {
		.half_open_limit = 4,
		.tx_offloads = script->tx_offloads,
	};
	char *at = NULL;
	char *word;

	if (strncmp(line, "case ", 5) == 0) {
		script_end(script);
		line[strcspn(line, "\n")] = 0;
		snprintf(script->name, sizeof(script->name), "%s", line + 5);
		rig_start(&script->rig, pool, &usual);
		script->is_running = true;
		script->has_failed = false;
		script->cases++;
		return;
	}
	word = strtok_r(line, " \n", &at);
	if (word == NULL || word[0] == '#' || script->has_failed)
		return;
	if (!script_wire(script, word, &at) &&
	    !script_action(script, word, &at) &&
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
		FILE *file;

		if (strcmp(argv[i], "--offload") == 0) {
			script.tx_offloads = PORT_TX_TCP_CHECKSUM;
			continue;
		}
		if (strcmp(argv[i], "--segments") == 0) {
			script.tx_offloads =
				PORT_TX_TCP_CHECKSUM | PORT_TX_TCP_SEGMENTS;
			continue;
		}
		file = fopen(argv[i], "r");
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
