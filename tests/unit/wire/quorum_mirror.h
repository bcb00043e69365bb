/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_WIRE_QUORUM_MIRROR_H
#define FALCONER_TESTS_WIRE_QUORUM_MIRROR_H

/* quorum_mirror - decodes what servers say to each other, contents included,
 * and encodes it again. Used by the unit tests and by the fuzz target. */

#include "wire/fle_msg.h"
#include "wire/quorum_packet.h"

/*
 * Takes the packet at the start of a stream's bytes. 1, 0 and *packet_bytes as
 * quorum_packet_get(); FAL_EPROTO also when the contents do not decode.
 */
int quorum_mirror_packet(const uint8_t *data, size_t bytes,
			 bool is_from_learner, struct jute_writer *writer,
			 struct quorum_packet *packet, size_t *packet_bytes);

/* Writes what a packet says as in the captures' timelines, as far as that is
 * the matter of the packet and not of the transaction or request inside. */
void quorum_mirror_describe(const struct quorum_packet *packet,
			    bool is_from_learner, char *text,
			    size_t text_bytes);

/* The same for a notification. */
void quorum_mirror_describe_notification(const struct fle_notification *n,
					 size_t frame_bytes, char *text,
					 size_t text_bytes);

#endif
