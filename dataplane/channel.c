/* SPDX-License-Identifier: Apache-2.0 */
/*
 * channel - sizes of the rings between a reader and the ZAB core: both lanes
 * together can hold every req, so a push from the pool fails only when the
 * lane's own bound says "stop reading".
 */
#include "dataplane/channel.h"

#include <stdlib.h>

#define SESSION_LANE_REQS 1024u
#define DATA_LANE_REQS    4096u

int
channel_init(struct channel *channel, uint16_t core, uint32_t req_count,
	     uint32_t conn_limit)
{
	*channel = (struct channel){.core = core, .conn_limit = conn_limit};
	channel->heard = calloc(conn_limit, sizeof(*channel->heard));
	if (channel->heard == NULL ||
	    ring_init(&channel->session_lane, "R1a", SESSION_LANE_REQS) != 0 ||
	    ring_init(&channel->data_lane, "R1b", DATA_LANE_REQS) != 0 ||
	    ring_init(&channel->unicast, "R3", req_count + conn_limit) != 0) {
		channel_destroy(channel);
		return FAL_ENOMEM;
	}
	return FAL_OK;
}

void
channel_destroy(struct channel *channel)
{
	ring_free(&channel->session_lane);
	ring_free(&channel->data_lane);
	ring_free(&channel->unicast);
	free(channel->heard);
	channel->heard = NULL;
}
