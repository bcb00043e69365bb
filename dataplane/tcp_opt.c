/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_opt - TCP options in and out.
 *
 * kind 0 ends the list, 1 is padding, all others carry a length octet that
 * counts kind and itself (RFC 9293 3.2). Known: 2 MSS, 3 window scale, 8
 * timestamps (RFC 7323), 4 SACK permitted, 5 SACK (RFC 2018). Unknown ones are
 * skipped by their length. The walk is bound by the 40 bytes of the header.
 */

#include "dataplane/tcp_int.h"

enum {
	OPT_END = 0,
	OPT_PAD = 1,
	OPT_MSS = 2,
	OPT_WINDOW = 3,
	OPT_SACK_PERMITTED = 4,
	OPT_SACK = 5,
	OPT_TIMESTAMPS = 8
};

static void
tcp_opt_sacks(const uint8_t *at, uint32_t length, struct tcp_options *options)
{
	uint32_t count = (length - 2) / 8;

	if ((length - 2) % 8 != 0 || count > TCP_SACKS_MAX)
		return;
	for (uint32_t i = 0; i < count; i++) {
		options->sacks[i].left = be_load32(at + 2 + 8 * i);
		options->sacks[i].right = be_load32(at + 6 + 8 * i);
	}
	options->sack_count = (uint8_t)count;
}

static void
tcp_opt_one(const uint8_t *at, uint32_t length, struct tcp_options *options)
{
	switch (at[0]) {
	case OPT_MSS:
		if (length == 4)
			options->mss = be_load16(at + 2);
		break;
	case OPT_WINDOW:
		if (length == 3) {
			/* RFC 7323 2.3: more than 14 counts as 14. */
			options->window_shift = at[2] > 14 ? 14 : at[2];
			options->has_window_shift = true;
		}
		break;
	case OPT_SACK_PERMITTED:
		if (length == 2)
			options->sack_permitted = true;
		break;
	case OPT_SACK:
		tcp_opt_sacks(at, length, options);
		break;
	case OPT_TIMESTAMPS:
		if (length == 10) {
			options->ts_value = be_load32(at + 2);
			options->ts_echo = be_load32(at + 6);
			options->has_timestamps = true;
		}
		break;
	default:
		break;
	}
}

/* Returns false when a length points outside. */
bool
tcp_opt_parse(const uint8_t *at, uint32_t bytes, struct tcp_options *options)
{
	uint32_t i = 0;

	FAL_ASSERT(bytes <= TCP_OPTIONS_MAX);
	options->mss = 0;
	options->window_shift = 0;
	options->sack_count = 0;
	options->has_window_shift = false;
	options->has_timestamps = false;
	options->sack_permitted = false;
	/* Nearly all segments: two times padding, then timestamps. */
	if (bytes == 12 && be_load32(at) == 0x0101080au) {
		options->ts_value = be_load32(at + 4);
		options->ts_echo = be_load32(at + 8);
		options->has_timestamps = true;
		return true;
	}
	options->ts_value = 0;
	options->ts_echo = 0;
	while (i < bytes && at[i] != OPT_END) {
		uint32_t length;

		if (at[i] == OPT_PAD) {
			i++;
			continue;
		}
		if (bytes - i < 2)
			return false;
		length = at[i + 1];
		if (length < 2 || length > bytes - i)
			return false;
		tcp_opt_one(at + i, length, options);
		i += length;
	}
	return true;
}

static uint32_t
tcp_opt_write_timestamps(uint8_t *at, uint32_t value, uint32_t echo)
{
	at[0] = OPT_PAD;
	at[1] = OPT_PAD;
	at[2] = OPT_TIMESTAMPS;
	at[3] = 10;
	be_store32(at + 4, value);
	be_store32(at + 8, echo);
	return 12;
}

/* Options of SYN and SYN-ACK; returns bytes, a multiple of 4. */
uint32_t
tcp_opt_write_syn(uint8_t *at, uint16_t mss, bool window_shift, bool sack,
		  bool timestamps, uint32_t value, uint32_t echo)
{
	uint32_t bytes = 4;

	at[0] = OPT_MSS;
	at[1] = 4;
	be_store16(at + 2, mss);
	if (sack) {
		at[bytes] = OPT_PAD;
		at[bytes + 1] = OPT_PAD;
		at[bytes + 2] = OPT_SACK_PERMITTED;
		at[bytes + 3] = 2;
		bytes += 4;
	}
	if (timestamps)
		bytes += tcp_opt_write_timestamps(at + bytes, value, echo);
	if (window_shift) {
		at[bytes] = OPT_PAD;
		at[bytes + 1] = OPT_WINDOW;
		at[bytes + 2] = 3;
		at[bytes + 3] = TCP_WINDOW_SHIFT;
		bytes += 4;
	}
	return bytes;
}

/* Options of all other segments; at most 3 SACK blocks beside timestamps. */
uint32_t
tcp_opt_write(uint8_t *at, bool timestamps, uint32_t value, uint32_t echo,
	      const struct tcp_sack *sacks, uint32_t sack_count)
{
	uint32_t bytes = 0;

	if (timestamps)
		bytes = tcp_opt_write_timestamps(at, value, echo);
	if (sack_count > 0) {
		FAL_ASSERT(bytes + 4 + 8 * sack_count <= TCP_OPTIONS_MAX);
		at[bytes] = OPT_PAD;
		at[bytes + 1] = OPT_PAD;
		at[bytes + 2] = OPT_SACK;
		at[bytes + 3] = (uint8_t)(2 + 8 * sack_count);
		bytes += 4;
		for (uint32_t i = 0; i < sack_count; i++) {
			be_store32(at + bytes, sacks[i].left);
			be_store32(at + bytes + 4, sacks[i].right);
			bytes += 8;
		}
	}
	return bytes;
}
