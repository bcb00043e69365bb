/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of the client protocol: decode, encode, decode, encode. What decodes
 * must take as many bytes again, and the second encoding must equal the first
 * (the first may differ from the input in what has several spellings: booleans,
 * negative counts, the protocol version).
 *
 * Input: kind (0 ConnectRequest, 1 ConnectResponse, 2 request, 3 reply), the
 * type of the request that a reply answers, the frame without its length.
 */

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "proto_mirror.h"

#define PREFIX_BYTES 2

/* Returns how many bytes were encoded, or -1. */
static long
decode_encode(const uint8_t *data, size_t bytes, const uint8_t *prefix,
	      uint8_t *out, size_t *used)
{
	struct proto_mirror mirror = {
		.in = jute_reader_of(data, bytes),
		.out = jute_writer_of(out, bytes),
	};
	struct proto_request_header header;
	int err;

	switch (prefix[0] % 4) {
	case 0:
		err = proto_mirror_connect_request(&mirror);
		break;
	case 1:
		err = proto_mirror_connect_response(&mirror);
		break;
	case 2:
		err = proto_mirror_request(&mirror, &header);
		break;
	default:
		err = proto_mirror_reply(&mirror, prefix[1]);
	}
	FAL_ASSERT(err == FAL_OK || err == FAL_EPROTO);
	if (err != FAL_OK)
		return -1;
	FAL_ASSERT(!mirror.out.is_full);
	*used = bytes - jute_reader_left(&mirror.in);
	return (long)jute_written(&mirror.out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	uint8_t *first, *second;
	size_t used;
	long n;

	if (bytes < PREFIX_BYTES)
		return 0;
	first = malloc(bytes);
	second = malloc(bytes);
	FAL_ASSERT(first != NULL);
	FAL_ASSERT(second != NULL);
	n = decode_encode(data + PREFIX_BYTES, bytes - PREFIX_BYTES, data,
			  first, &used);
	if (n >= 0) {
		FAL_ASSERT((size_t)n == used);
		FAL_ASSERT(decode_encode(first, used, data, second, &used) ==
			   n);
		FAL_ASSERT(memcmp(first, second, (size_t)n) == 0);
	}
	free(first);
	free(second);
	return 0;
}
