/* SPDX-License-Identifier: Apache-2.0 */
/* The magic comes first and alone: without it the bytes belong to somebody
 * else, and are neither waited for nor consumed. */

#include "wire/quorum_auth.h"

#define QUORUM_AUTH_HEAD_BYTES 16 /* magic, status, token length */

int
quorum_auth_get(const void *data, size_t bytes, struct quorum_auth *out,
		size_t *packet_bytes)
{
	const uint8_t *at = data;
	int32_t token_bytes;

	*packet_bytes = 8;
	if (bytes < 8)
		return 0;
	if ((int64_t)be_load64(at) != QUORUM_AUTH_MAGIC)
		return FAL_ENOENT;
	*packet_bytes = QUORUM_AUTH_HEAD_BYTES;
	if (bytes < QUORUM_AUTH_HEAD_BYTES)
		return 0;
	token_bytes = (int32_t)be_load32(at + 12);
	if (token_bytes < -1 || token_bytes > QUORUM_AUTH_TOKEN_BYTES_MAX)
		return FAL_EPROTO;
	if (token_bytes > 0)
		*packet_bytes += (size_t)token_bytes;
	if (bytes < *packet_bytes)
		return 0;
	out->status = (int32_t)be_load32(at + 8);
	out->token.data = at + QUORUM_AUTH_HEAD_BYTES;
	out->token.bytes = token_bytes;
	return 1;
}

void
quorum_auth_put(struct jute_writer *writer, const struct quorum_auth *auth)
{
	jute_put_long(writer, QUORUM_AUTH_MAGIC);
	jute_put_int(writer, auth->status);
	jute_put_slice(writer, auth->token);
}
