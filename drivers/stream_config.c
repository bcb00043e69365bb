/* SPDX-License-Identifier: Apache-2.0 */
/* stream_config - see stream_config.h. */
#include "drivers/stream_config.h"

#define STREAM_LIMIT_MAX       (1u << 20)
#define FRAME_BYTES_DEFAULT    ((1u << 20) + 4)
#define FRAME_BYTES_MAX        (1u << 30)
#define UNSENT_BYTES_DEFAULT   (64u << 20)
#define UNSENT_BYTES_MAX       (1u << 31)
#define WRITABLE_BYTES_DEFAULT (64u << 10)
#define LINGER_MS_DEFAULT      5000u

static uint32_t
default_of(uint32_t value, uint32_t standard)
{
	return value != 0 ? value : standard;
}

bool
stream_config_complete(struct stream_config *config)
{
	config->frame_bytes_max =
		default_of(config->frame_bytes_max, FRAME_BYTES_DEFAULT);
	config->unsent_bytes_max =
		default_of(config->unsent_bytes_max, UNSENT_BYTES_DEFAULT);
	config->writable_bytes =
		default_of(config->writable_bytes, WRITABLE_BYTES_DEFAULT);
	config->linger_ms = default_of(config->linger_ms, LINGER_MS_DEFAULT);
	return config->stream_limit >= 1 &&
	       config->stream_limit <= STREAM_LIMIT_MAX &&
	       config->frame_bytes_max <= FRAME_BYTES_MAX &&
	       config->unsent_bytes_max <= UNSENT_BYTES_MAX;
}
