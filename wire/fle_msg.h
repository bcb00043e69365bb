/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_WIRE_FLE_MSG_H
#define FALCONER_WIRE_FLE_MSG_H

/*
 * fle_msg - what servers say to each other on the election port, 3888.
 *
 * Initial message of the dialer, unframed:
 *
 *   0  8  -65536 (V1) or -65535 (V2); 0 or more is the sid of a server of
 *         before 3.5, and nothing follows
 *   8  8  sid of the dialer
 *  16  4  n, 1..2048
 *  20  n  V1: host:port; V2: several, joined by '|'. IPv6 in brackets
 *
 * Notifications, each in a frame (wire/frame.h, frame_limits_election()):
 *
 *   0  4  sender's state
 *   4  8  leader           sid that the sender votes for or follows
 *  12  8  zxid             of that leader
 *  20  8  round            "election epoch"
 *  28  8  peer epoch       missing in frames of 28 bytes: zxid >> 32
 *  36  4  version 2        not looked at in frames of 40 bytes: 0
 *  40  4  config length    from version 2 on
 *  44  n  config text
 *
 * Context    any thread; no allocation, no globals.
 * Ownership  slices point into the decoded bytes.
 * Source     quorum-protocol.md sections 3 and 4.1.
 */

#include "wire/jute.h"

#define FLE_PROTOCOL_V1              (-65536ll)
#define FLE_PROTOCOL_V2              (-65535ll)
#define FLE_HELLO_TEXT_BYTES_MAX     2048
#define FLE_HELLO_BYTES_MAX          (20 + FLE_HELLO_TEXT_BYTES_MAX)
#define FLE_NOTIFICATION_VERSION     2
#define FLE_NOTIFICATION_BYTES_MIN   28
#define FLE_NOTIFICATION_BYTES_FIXED 44 /* of version 2, without config */

enum fle_state {
	FLE_LOOKING = 0,
	FLE_FOLLOWING = 1,
	FLE_LEADING = 2,
	FLE_OBSERVING = 3,
};

struct fle_hello {
	int64_t protocol_version; /* V1, V2, or 0: of before 3.5 */
	int64_t sid;
	struct jute_slice addresses; /* checked; empty when before 3.5 */
};

struct fle_address {
	struct jute_slice host; /* without brackets, 1 byte at least */
	uint16_t port;
};

struct fle_notification {
	int32_t state; /* enum fle_state */
	int64_t leader, zxid, round, peer_epoch;
	int32_t version; /* 0 for the two old forms */
	/* Text; bytes -1 before version 2. */
	struct jute_slice config;
};

/*
 * Decodes the initial message at the start of a connection's bytes, addresses
 * included.
 *
 * hello_bytes  out, when 1: size of the message; when 0: how many bytes there
 *              must be before asking again
 *
 * 1           a whole message
 * 0           not yet
 * FAL_EPROTO  unknown version, bad length or bad address: close
 */
FAL_MUST_CHECK int fle_hello_get(const void *data, size_t bytes,
				 struct fle_hello *out, size_t *hello_bytes);
void fle_hello_put(struct jute_writer *, const struct fle_hello *);

/*
 * Takes the next address off *rest, which starts as fle_hello.addresses.
 *
 * 1           *out is an address
 * 0           none left
 * FAL_EPROTO  neither name nor number and port (not in a decoded fle_hello)
 */
FAL_MUST_CHECK int fle_address_next(struct jute_slice *rest,
				    struct fle_address *out);

/*
 * Decodes the body of a frame.
 *
 * FAL_EPROTO  too short, unknown state, or a config length that does not fit:
 *             ignore this message, keep the connection
 */
FAL_MUST_CHECK int fle_notification_get(const void *data, size_t bytes,
					struct fle_notification *out);
/* Writes the body of a frame, always in the form of version 2. */
void fle_notification_put(struct jute_writer *,
			  const struct fle_notification *);

#endif
