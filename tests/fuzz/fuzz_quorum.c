/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What servers say to each other: streams of packets with their contents,
 * initial messages, notifications, SASL packets. What decodes encodes to as
 * many bytes and from there on to itself; what is not whole asks for more
 * bytes than there are.
 *
 * Input: kind (0 learner's packets, 1 leader's packets, 2 initial message,
 * 3 frames of notifications, 4 SASL packet), the stream.
 */

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "wire/frame.h"
#include "wire/quorum_auth.h"

#include "quorum_mirror.h"

enum kind {
	KIND_FROM_LEARNER,
	KIND_FROM_LEADER,
	KIND_HELLO,
	KIND_NOTIFICATION,
	KIND_AUTH,
	KINDS,
};

/* Takes one thing off the stream: 1 and *used, 0 and *used, or an error. */
static int
decode_encode(enum kind kind, const uint8_t *data, size_t bytes,
	      struct jute_writer *writer, size_t *used)
{
	struct quorum_packet packet;
	struct fle_hello hello;
	struct fle_notification notification;
	struct quorum_auth auth;
	struct jute_slice body;
	int got;

	switch (kind) {
	case KIND_FROM_LEARNER:
	case KIND_FROM_LEADER:
		return quorum_mirror_packet(data, bytes,
					    kind == KIND_FROM_LEARNER, writer,
					    &packet, used);
	case KIND_HELLO:
		got = fle_hello_get(data, bytes, &hello, used);
		if (got == 1)
			fle_hello_put(writer, &hello);
		return got;
	case KIND_NOTIFICATION:
		got = frame_get(data, bytes, frame_limits_election(), &body,
				used);
		if (got <= 0)
			return got;
		got = fle_notification_get(body.data, (size_t)body.bytes,
					   &notification);
		if (got != FAL_OK)
			return got;
		/* old forms and trailing bytes come back in the one form */
		if (notification.config.bytes < 0 ||
		    body.bytes - notification.config.bytes != 44 ||
		    notification.version != FLE_NOTIFICATION_VERSION)
			return FAL_EPROTO;
		jute_put_int(writer, body.bytes);
		fle_notification_put(writer, &notification);
		return 1;
	default:
		got = quorum_auth_get(data, bytes, &auth, used);
		if (got == 1)
			quorum_auth_put(writer, &auth);
		return got;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	const enum kind kind = bytes > 0 ? data[0] % KINDS : 0;
	size_t at = 1;

	while (at < bytes) {
		const size_t left = bytes - at;
		uint8_t *first = malloc(left), *second = malloc(left);
		struct jute_writer writer = jute_writer_of(first, left);
		size_t used = 0, again = 0;
		const int got =
			decode_encode(kind, data + at, left, &writer, &used);

		FAL_ASSERT(first != NULL);
		FAL_ASSERT(second != NULL);
		FAL_ASSERT(got != 0 || used > left);
		if (got == 1) {
			FAL_ASSERT(!writer.is_full);
			FAL_ASSERT(used <= left);
			FAL_ASSERT(jute_written(&writer) == used);
			writer = jute_writer_of(second, left);
			FAL_ASSERT(decode_encode(kind, first, used, &writer,
						 &again) == 1);
			FAL_ASSERT(again == used);
			FAL_ASSERT(jute_written(&writer) == used);
			FAL_ASSERT(memcmp(first, second, used) == 0);
		}
		free(first);
		free(second);
		if (got != 1)
			break;
		at += used;
	}
	return 0;
}
