/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our TCP/IP against a peer that knows the connections it attacks.
 *
 * The input is read as steps: a segment of a live connection with numbers near
 * the right ones and good checksums, bytes changed before or after those, a
 * SYN, an ICMP error about a segment in flight, neighbour discovery, a raw
 * frame, time, and what a user does. Frames lie in buffers that end where they
 * end, for AddressSanitizer.
 *
 * Checked: a frame ends in one counter; what is sent has good checksums; what
 * a user reads is what the peer has sent there, whatever overlaps; what is sent
 * again is what was sent; no mbuf is left.
 *
 * Input: settings (bit 0 IPv6, 1 VLAN, 2 a small window, 3 few half-open, 4 few
 * blocks, 5 and 6 how many connections are open at the beginning), steps.
 */

#include "fuzz.h"

#include "tests/packet/packet_eal.h"
#include "tests/packet/packet_rig.h"

#define FUZZ_PEERS      6u /* the last one is who we call */
#define FUZZ_STEPS_MAX  400u
#define FUZZ_CONNS      8u
#define FUZZ_FIRST_PORT 40000u

/* What the wire knows of a connection. */
struct peer {
	uint32_t isn, next, acked, ts;
	uint16_t local_port;
	bool is_known;
};

/* What its user knows. */
struct user {
	struct tcp_conn *conn;
	uint32_t first; /* the peer's number of the first byte */
	uint32_t read, written;
	uint32_t lifted; /* of what was read: unread to the peer */
	bool is_failed;
};

struct fuzz {
	struct rig rig;
	struct peer peers[FUZZ_PEERS];
	struct user users[FUZZ_CONNS];
	const uint8_t *data;
	size_t bytes;
};

static struct rte_mempool *pool;

static uint32_t
take(struct fuzz *fuzz, uint32_t bytes)
{
	uint32_t value = 0;

	for (uint32_t i = 0; i < bytes && fuzz->bytes > 0; i++) {
		value = value << 8 | *fuzz->data++;
		fuzz->bytes--;
	}
	return value;
}

/* A number near `right`: exact, a little off, at the window's edge, or any. */
static uint32_t
take_near(struct fuzz *fuzz, uint32_t right, uint32_t edge)
{
	switch (take(fuzz, 1) & 7) {
	case 0:
	case 1:
		return right;
	case 2: /* some segments earlier */
		return right - 268u * (take(fuzz, 1) & 15);
	case 3:
		return right + take(fuzz, 1);
	case 4:
		return right - take(fuzz, 1);
	case 5:
		return right + take(fuzz, 2);
	case 6:
		return edge - 2 + take(fuzz, 1) % 5;
	default:
		return take(fuzz, 4);
	}
}

/* Byte `at` of what a user of ours writes; 0 is the first. */
static uint8_t
written_byte(uint32_t at)
{
	return (uint8_t)(at * 167u >> 3);
}

static void
check_counters(const struct fuzz *fuzz)
{
	const struct tcp_counters *c = tcp_counters(fuzz->rig.core);
	uint64_t ends = c->rx_delivered + c->rx_answered;

#define FUZZ_DROP(name, what)                   \
	if (strncmp(#name, "rx_drop_", 8) == 0) \
		ends += c->name;
	TCP_COUNTERS(FUZZ_DROP)
#undef FUZZ_DROP
	FAL_ASSERT(ends == c->rx_frames);
	FAL_ASSERT(c->conns <= FUZZ_CONNS);
}

/* By its port; the last one is anybody else. */
static struct peer *
peer_of(struct fuzz *fuzz, uint32_t port)
{
	if (port >= FUZZ_FIRST_PORT && port < FUZZ_FIRST_PORT + FUZZ_PEERS - 1)
		return &fuzz->peers[port - FUZZ_FIRST_PORT];
	return &fuzz->peers[FUZZ_PEERS - 1];
}

static struct tcp_address
peer_address(const struct fuzz *fuzz)
{
	if (fuzz->rig.options.is_ipv6)
		return (struct tcp_address){{0xfd000000u, 0, 0, 1}};
	return tcp_address_ipv4(RIG_PEER);
}

static void
check_segment(struct fuzz *fuzz, const uint8_t *tcp, uint32_t bytes)
{
	uint32_t port = be_load16(tcp + 2);
	uint32_t header = (uint32_t)(tcp[12] >> 4) * 4;
	uint32_t seq = be_load32(tcp + 4), ack = be_load32(tcp + 8);
	struct tcp_options options;
	struct peer *peer = peer_of(fuzz, port);

	FAL_ASSERT(header >= 20 && header <= bytes);
	FAL_ASSERT(tcp_opt_parse(tcp + 20, header - 20, &options));
	/* Patched ports make connections that nobody follows. */
	if (peer == &fuzz->peers[FUZZ_PEERS - 1] && port != 2888)
		return;
	if ((tcp[13] & TCP_RST) != 0)
		return;
	if ((tcp[13] & TCP_SYN) != 0) {
		peer->isn = seq;
		peer->next = 1;
		peer->is_known = true;
		peer->local_port = be_load16(tcp);
		return;
	}
	/* Of several connections of ours to the peer the last is followed. */
	if (!peer->is_known || peer->local_port != be_load16(tcp))
		return;
	peer->ts = options.ts_value;
	peer->acked = ack - RIG_PEER_ISN;
	for (uint32_t i = 0; i < bytes - header; i++)
		FAL_ASSERT(tcp[header + i] ==
			   written_byte(seq - peer->isn - 1 + i));
	if (tcp_seq_lt(peer->next, seq - peer->isn + bytes - header))
		peer->next = seq - peer->isn + bytes - header;
}

/* Looks at all that was sent, and lets neighbours be found. */
static void
check_sent(struct fuzz *fuzz)
{
	struct rig *rig = &fuzz->rig;
	struct tcp_address peer = peer_address(fuzz);
	struct rig_segment segment;

	for (uint32_t i = rig->sent_at; i < rig->sent_count; i++) {
		const uint8_t *at =
			rte_pktmbuf_mtod(rig->sent[i], const uint8_t *);
		bool is_tagged = be_load16(at + 12) == 0x8100;
		uint32_t type = be_load16(at + (is_tagged ? 16 : 12));
		const uint8_t *ip = at + (is_tagged ? 18 : 14);
		struct tcp_address from, to;
		uint32_t header = type == 0x86dd ? 40 : 20, bytes;

		FAL_ASSERT(is_tagged == (rig->options.vlan != 0));
		if (type == 0x0806)
			continue;
		bytes = type == 0x86dd ? be_load16(ip + 4)
				       : be_load16(ip + 2) - 20u;
		FAL_ASSERT((uint32_t)(ip - at) + header + bytes ==
			   rig->sent[i]->data_len);
		from = tcp_address_ipv4(be_load32(ip + 12));
		to = tcp_address_ipv4(be_load32(ip + 16));
		if (type == 0x86dd) {
			from = tcp_address_ipv6(ip + 8);
			to = tcp_address_ipv6(ip + 24);
		} else {
			FAL_ASSERT(ip_fold(ip_sum(0, ip, 20)) == 0);
		}
		if (ip[type == 0x86dd ? 6 : 9] != 6)
			continue;
		FAL_ASSERT(ip_checksum(&from, &to, 6, ip + header, bytes) == 0);
		if (tcp_address_equal(&to, &peer))
			check_segment(fuzz, ip + header, bytes);
	}
	/* Answers ARP and ND; what that sends is looked at next time. */
	rig->has_isn = true;
	if (rig_next(rig, &segment))
		rig_forget(rig);
}

/* The SYN-ACK that was seen last may have been another cookie. */
static void
peer_opened(struct fuzz *fuzz, const struct tcp_conn *conn)
{
	struct peer *peer = peer_of(fuzz, conn->remote_port);
	struct tcp_address address = peer_address(fuzz);

	if (tcp_address_equal(&conn->remote, &address) &&
	    conn->local_port == peer->local_port)
		peer->isn = conn->snd_una - 1;
}

/* The user's side of what has happened. */
static void
settle(struct fuzz *fuzz)
{
	struct rig *rig = &fuzz->rig;
	struct tcp_conn *conn;
	uint32_t news;

	while ((conn = tcp_next_news(rig->core, &news)) != NULL) {
		struct user *user = &fuzz->users[tcp_index(rig->core, conn)];

		if ((news & TCP_NEWS_OPENED) != 0) {
			if (user->conn != conn)
				*user = (struct user){.conn = conn};
			user->first = conn->rcv_nxt - conn->rcv_bytes -
				      RIG_PEER_ISN -
				      (tcp_has(conn, TCP_FIN_SEEN) ? 1 : 0);
			peer_opened(fuzz, conn);
		}
		FAL_ASSERT(user->conn == conn);
		if ((news & TCP_NEWS_FAILED) != 0)
			user->is_failed = true;
	}
	tcp_flush(rig->core);
	check_counters(fuzz);
	check_sent(fuzz);
}

/* Reads, and lets the peer know at once or not yet. */
static void
user_read(struct fuzz *fuzz, struct user *user, uint32_t bytes, bool lifts)
{
	struct tcp_slice slices[32];
	uint32_t count = tcp_peek(user->conn, slices, 32), at = 0;

	for (uint32_t i = 0; i < count; i++) {
		for (uint32_t j = 0; j < slices[i].bytes; j++)
			FAL_ASSERT(
				slices[i].data[j] ==
				(uint8_t)(user->first + user->read + at + j));
		at += slices[i].bytes;
	}
	FAL_ASSERT(count == 32 ||
		   at + user->lifted == tcp_buffered(user->conn));
	bytes = bytes > at ? at : bytes;
	user->read += bytes;
	if (lifts) {
		tcp_lift(fuzz->rig.core, user->conn, bytes);
		user->lifted += bytes;
	} else {
		tcp_consume(fuzz->rig.core, user->conn, bytes);
	}
}

static void
user_settle(struct fuzz *fuzz, struct user *user, uint32_t bytes)
{
	bytes = bytes > user->lifted ? user->lifted : bytes;
	user->lifted -= bytes;
	tcp_settle(fuzz->rig.core, user->conn, bytes);
}

static void
user_write(struct fuzz *fuzz, struct user *user, uint32_t bytes)
{
	uint8_t data[4096];

	bytes %= sizeof(data);
	if (tcp_unacked(user->conn) > 60000)
		return;
	for (uint32_t i = 0; i < bytes; i++)
		data[i] = written_byte(user->written + i);
	user->written += tcp_write(fuzz->rig.core, user->conn, data, bytes);
}

static void
step_user(struct fuzz *fuzz)
{
	struct tcp_core *core = fuzz->rig.core;
	uint32_t first = take(fuzz, 1);
	struct user *user = &fuzz->users[first % FUZZ_CONNS];
	uint32_t what = take(fuzz, 1) % 8, how = take(fuzz, 2);

	for (uint32_t i = 1; user->conn == NULL && i < FUZZ_CONNS; i++)
		user = &fuzz->users[(first + i) % FUZZ_CONNS];
	if (user->conn == NULL)
		return;
	if (what > 5 || (what > 1 && user->is_failed))
		user_settle(fuzz, user, UINT32_MAX);
	if (what == 0) {
		user_read(fuzz, user, how, false);
	} else if (what == 1 && how % 2 == 0) {
		user_read(fuzz, user, how / 2, true);
	} else if (what == 1) {
		user_settle(fuzz, user, how / 2);
	} else if (user->is_failed) {
		tcp_release(core, user->conn);
		user->conn = NULL;
	} else if (what < 4) {
		user_write(fuzz, user, how);
	} else if (what == 4) {
		tcp_shutdown(core, user->conn);
	} else if (what == 5) {
		tcp_keepalive(core, user->conn, how);
	} else if (what == 6) {
		tcp_close(core, user->conn, how);
		user->conn = NULL;
	} else {
		tcp_abort(core, user->conn);
		user->conn = NULL;
	}
}

static void
step_connect(struct fuzz *fuzz)
{
	struct tcp_address to = peer_address(fuzz);
	struct tcp_conn *conn;

	if (tcp_connect(fuzz->rig.core, &to, 2888, 0, &conn) != 0)
		return;
	fuzz->users[tcp_index(fuzz->rig.core, conn)] =
		(struct user){.conn = conn};
}

/* Points the rig at a peer. */
static struct peer *
step_peer(struct fuzz *fuzz)
{
	uint32_t index = take(fuzz, 1) % FUZZ_PEERS;
	struct peer *peer = &fuzz->peers[index];
	struct rig *rig = &fuzz->rig;

	rig->isn = peer->isn;
	rig->peer_port = (uint16_t)(FUZZ_FIRST_PORT + index);
	rig->local_port = RIG_LISTEN_PORT;
	if (index == FUZZ_PEERS - 1) {
		rig->peer_port = 2888;
		rig->local_port = peer->local_port == 0 ? 1 : peer->local_port;
	}
	return peer;
}

/* Bytes of one layer's header and nothing behind it: other numbers or data
 * under a good sum are no damage, and the user would read them. */
static uint16_t
early_offset(char layer, uint32_t where)
{
	switch (layer) {
	case 'e':
		return where % 13;
	case 'i':
		return where % 19;
	default:
		return 13 + where % 6;
	}
}

static void
take_patches(struct fuzz *fuzz, struct rig_segment *segment)
{
	static const char layers[4] = {'e', 'i', 't', 't'};
	uint32_t what = take(fuzz, 1);

	for (uint32_t i = 0; i < (what & 3) && what >= 128; i++) {
		struct rig_patch *patch =
			&segment->patches[segment->patch_count++];
		uint32_t where = take(fuzz, 1);

		patch->layer = layers[where >> 6];
		patch->is_late = (what & 4) != 0;
		patch->offset = patch->is_late
					? where & 63
					: early_offset(patch->layer, where);
		patch->bytes = 1 + (what >> 3 & 1);
		be_store16(patch->data, (uint16_t)take(fuzz, 2));
	}
	if (what >= 128 && (what & 16) != 0)
		segment->cut = 1 + take(fuzz, 1) % 120;
	if (what >= 128 && (what & 32) != 0)
		segment->pad = take(fuzz, 1) % 64;
}

static void
take_options(struct fuzz *fuzz, struct rig_segment *segment,
	     const struct peer *peer)
{
	uint32_t what = take(fuzz, 1);
	struct tcp_options *options = &segment->options;

	options->mss = (uint16_t)(what < 200 ? 1460 : take(fuzz, 2));
	options->has_window_shift = (what & 1) != 0;
	options->window_shift = 2;
	options->sack_permitted = (what & 2) != 0;
	options->has_timestamps = (what & 4) != 0;
	options->ts_value = (uint32_t)(fuzz->rig.now_ns / NS_PER_MS);
	options->ts_echo = peer->ts;
	if ((what & 24) == 24)
		options->ts_value -= take(fuzz, 1);
	if ((segment->flags & TCP_SYN) == 0 && (what & 32) != 0)
		options->sack_count = 1 + (what >> 6) % 3;
	for (uint32_t i = 0; i < options->sack_count; i++) {
		options->sacks[i].left =
			peer->isn + take_near(fuzz, peer->next, 1);
		options->sacks[i].right =
			options->sacks[i].left + take(fuzz, 2);
	}
	if (what == 255) {
		segment->has_raw_options = true;
		segment->raw_option_bytes = take(fuzz, 1) % 11 * 4;
		for (uint32_t i = 0; i < segment->raw_option_bytes; i++)
			segment->raw_options[i] = (uint8_t)take(fuzz, 1);
	}
}

static void
step_segment(struct fuzz *fuzz)
{
	static const uint8_t usual[8] = {TCP_ACK,           TCP_ACK | TCP_PSH,
					 TCP_SYN,           TCP_SYN | TCP_ACK,
					 TCP_ACK,           TCP_FIN | TCP_ACK,
					 TCP_RST | TCP_ACK, TCP_ACK};
	struct peer *peer = step_peer(fuzz);
	struct rig_segment segment = {0};
	uint32_t what = take(fuzz, 1);

	segment.flags =
		(what & 128) != 0 ? take(fuzz, 1) & 63 : usual[what & 7];
	segment.seq =
		(segment.flags & TCP_SYN) != 0 && (what & 8) == 0
			? 0
			: take_near(fuzz, peer->acked == 0 ? 1 : peer->acked,
				    peer->acked + 65535);
	segment.ack = take_near(fuzz, peer->next, 1);
	segment.window = (what & 16) != 0 ? take(fuzz, 2) : 64000;
	segment.bytes = (what & 32) != 0 ? take(fuzz, 2) % 1461 : 0;
	take_options(fuzz, &segment, peer);
	take_patches(fuzz, &segment);
	rig_receive(&fuzz->rig, &segment);
}

static void
step_icmp(struct fuzz *fuzz)
{
	static const uint8_t types[8] = {3, 8, 1, 2, 128, 135, 136, 134};
	struct peer *peer = step_peer(fuzz);
	struct rig_segment segment = {0};
	uint32_t what = take(fuzz, 1);
	uint32_t word = take(fuzz, 2);

	segment.seq = take_near(fuzz, peer->next - 1, 1);
	segment.bytes = take(fuzz, 1) % 100;
	segment.is_group = (what & 64) != 0;
	take_patches(fuzz, &segment);
	if (segment.patch_count < RIG_PATCHES && (what & 7) >= 5) {
		struct rig_patch *patch =
			&segment.patches[segment.patch_count++];

		patch->layer = 't';
		patch->offset = 8;
		patch->bytes = 24;
		patch->data[0] = 0xfd;
		patch->data[15] = (what & 8) != 0 ? 1 : 5;
		patch->data[16] = (what & 16) != 0 ? 1 : 2;
		patch->data[17] = 1;
		segment.bytes += 24;
	}
	rig_receive_icmp(&fuzz->rig, &segment, types[what & 7],
			 (what & 32) != 0 ? 4 : 0, word);
}

static void
step_raw(struct fuzz *fuzz)
{
	uint8_t frame[256];
	uint32_t what = take(fuzz, 1), bytes = what;

	for (uint32_t i = 0; i < bytes; i++)
		frame[i] = (uint8_t)take(fuzz, 1);
	if (bytes >= 14 && (what & 1) != 0) {
		static const uint16_t types[4] = {0x0800, 0x86dd, 0x0806,
						  0x8100};

		memcpy(frame, fuzz->rig.port.mac, 6);
		frame[6] = 2;
		be_store16(frame + 12, types[frame[12] & 3]);
	}
	rig_receive_raw(&fuzz->rig, frame, bytes, (what & 2) != 0);
}

static void
step_time(struct fuzz *fuzz)
{
	uint32_t ms = take(fuzz, 1);
	struct rig *rig = &fuzz->rig;

	/* Some steps are longer than the timer wheel. */
	rig->now_ns += (ms >= 250 ? 700ull * ms : ms) * NS_PER_MS;
	tcp_poll(rig->core, rig->now_ns);
}

static void
run(struct fuzz *fuzz)
{
	for (uint32_t i = 0; i < FUZZ_STEPS_MAX && fuzz->bytes > 0; i++) {
		switch (take(fuzz, 1) & 15) {
		case 0:
			step_raw(fuzz);
			break;
		case 1:
			step_icmp(fuzz);
			break;
		case 2:
			step_connect(fuzz);
			break;
		case 3:
		case 4:
			step_time(fuzz);
			break;
		case 5:
		case 6:
		case 7:
			step_user(fuzz);
			break;
		default:
			step_segment(fuzz);
			break;
		}
		settle(fuzz);
	}
}

/* Handshakes of the first peers. */
static void
begin(struct fuzz *fuzz, uint32_t conns)
{
	for (uint32_t i = 0; i < conns; i++) {
		struct rig_segment segment = {.flags = TCP_SYN,
					      .window = 64000};
		struct tcp_options *options = &segment.options;

		options->mss = i == 1 ? 536 : 1460;
		options->sack_permitted = i != 1;
		options->has_window_shift = i == 2;
		options->has_timestamps = i == 2;
		options->ts_value = 1000000;
		fuzz->rig.peer_port = (uint16_t)(FUZZ_FIRST_PORT + i);
		rig_receive(&fuzz->rig, &segment);
		settle(fuzz);
		segment.flags = TCP_ACK;
		segment.seq = 1;
		segment.ack = 1;
		fuzz->rig.isn = fuzz->peers[i].isn;
		options->ts_echo = fuzz->peers[i].ts;
		rig_receive(&fuzz->rig, &segment);
		settle(fuzz);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct fuzz fuzz;
	uint32_t settings = bytes > 0 ? data[0] : 0;
	struct rig_options options = {
		.is_ipv6 = (settings & 1) != 0,
		.vlan = (settings & 2) != 0 ? 7 : 0,
		.window_bytes = (settings & 4) != 0 ? 3000 : 0,
		.half_open_limit = (settings & 8) != 0 ? 1 : 4,
		.conn_limit = (settings & 16) != 0 ? 3 : FUZZ_CONNS,
	};

	if (bytes == 0)
		return 0;
	if (pool == NULL)
		pool = packet_eal_pool(1023);
	memset(&fuzz, 0, sizeof(fuzz));
	fuzz.data = data + 1;
	fuzz.bytes = bytes - 1;
	rig_start(&fuzz.rig, pool, &options);
	fuzz.rig.is_exact = true;
	fuzz.rig.is_left_alone = true;
	fuzz.rig.has_isn = true;
	begin(&fuzz, settings >> 5 & 3);
	run(&fuzz);
	rig_stop(&fuzz.rig);
	FAL_ASSERT(rte_mempool_in_use_count(pool) == 0);
	return 0;
}
