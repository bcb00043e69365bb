/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of genesis.h: fixed places, big endian. */
#include "consensus/genesis.h"

#include <string.h>

#include "base/be.h"

static_assert(4 + 1 + 1 + 2 + 4 + 4 + GENESIS_ID_BYTES + 8 ==
		      GENESIS_FRAME_BYTES,
	      "the frame is full");

void
genesis_put(const struct genesis_message *message,
	    uint8_t frame[GENESIS_FRAME_BYTES])
{
	memset(frame, 0, GENESIS_FRAME_BYTES);
	be_store32(frame, GENESIS_MAGIC);
	frame[4] = (uint8_t)message->type;
	be_store16(frame + 6, message->features);
	be_store32(frame + 8, message->ballot);
	be_store32(frame + 12, message->accepted_ballot);
	memcpy(frame + 16, message->id, GENESIS_ID_BYTES);
	be_store64(frame + 32, message->voters_hash);
}

int
genesis_get(const void *frame, size_t bytes, struct genesis_message *message)
{
	const uint8_t *at = frame;

	if (bytes != GENESIS_FRAME_BYTES || be_load32(at) != GENESIS_MAGIC ||
	    at[4] < GENESIS_PREPARE || at[4] >= GENESIS_TYPES)
		return FAL_EPROTO;
	memset(message, 0, sizeof(*message));
	message->type = at[4];
	message->features = be_load16(at + 6);
	message->ballot = be_load32(at + 8);
	message->accepted_ballot = be_load32(at + 12);
	memcpy(message->id, at + 16, GENESIS_ID_BYTES);
	message->voters_hash = be_load64(at + 32);
	return 0;
}
