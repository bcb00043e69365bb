/* SPDX-License-Identifier: Apache-2.0 */
/* Walks offsets; -1 means that the bytes do not fit. */

#include "txn_model.h"

#include "wire/txn.h"

const char *
txn_model_shape(int32_t type)
{
	switch (type) {
	case OP_CREATE_SESSION:
	case OP_ERROR:
		return "i";
	case OP_CLOSE_SESSION:
		return "S";
	case OP_CREATE:
	case OP_CREATE2:
		return "pdAbi";
	case OP_CREATE_TTL:
		return "pdAil";
	case OP_CREATE_CONTAINER:
		return "pdAi";
	case OP_DELETE:
	case OP_DELETE_CONTAINER:
		return "p";
	case OP_SET_DATA:
	case OP_RECONFIG:
		return "pdi";
	case OP_SET_ACL:
		return "pAi";
	case OP_CHECK:
		return "pi";
	default:
		return NULL;
	}
}

/* Each returns the new offset or -1. */
static long
model_skip(const uint8_t *data, long at, long bytes, long count)
{
	(void)data;
	return at < 0 || count > bytes - at ? -1 : at + count;
}

static long
model_skip_slice(const uint8_t *data, long at, long bytes, long length_min)
{
	const long body = model_skip(data, at, bytes, 4);
	int32_t length;

	if (body < 0)
		return -1;
	length = (int32_t)be_load32(data + at);
	if (length < length_min)
		return -1;
	return model_skip(data, body, bytes, length < 0 ? 0 : length);
}

static long
model_skip_vector(const uint8_t *data, long at, long bytes, char kind)
{
	const long body = model_skip(data, at, bytes, 4);
	int32_t count;

	if (body < 0)
		return -1;
	count = (int32_t)be_load32(data + at);
	at = body;
	if (kind == 'S' && count == -1)
		return -1;
	for (int32_t i = 0; i < count && at >= 0; i++) {
		const long from = at;

		if (kind == 'A') {
			at = model_skip(data, at, bytes, 4);
			at = model_skip_slice(data, at, bytes, -1);
			at = model_skip_slice(data, at, bytes, -1);
			continue;
		}
		at = model_skip_slice(data, at, bytes, 1);
		if (at >= 0 && data[from + 4] != '/')
			return -1;
	}
	return at;
}

static long
model_walk(const char *shape, const uint8_t *data, long at, long bytes)
{
	for (; *shape != '\0' && at >= 0; shape++) {
		switch (*shape) {
		case 'p':
			at = model_skip_slice(data, at, bytes, 0);
			break;
		case 'd':
			at = model_skip_slice(data, at, bytes, -1);
			break;
		case 'b':
			at = model_skip(data, at, bytes, 1);
			break;
		case 'i':
			at = model_skip(data, at, bytes, 4);
			break;
		case 'l':
			at = model_skip(data, at, bytes, 8);
			break;
		default:
			at = model_skip_vector(data, at, bytes, *shape);
		}
	}
	return at;
}

/* tail: bytes allowed behind the record besides 0 */
static bool
model_fits(int32_t type, const uint8_t *data, long at, long bytes, long tail)
{
	const char *shape = txn_model_shape(type);
	long end;

	if (shape == NULL)
		return false;
	end = model_walk(shape, data, at, bytes);
	if (end >= 0 && (bytes - end == 0 || bytes - end == tail))
		return true;
	if (type == OP_CREATE)
		return model_walk("pdAb", data, at, bytes) == bytes;
	return type == OP_CLOSE_SESSION &&
	       (bytes - at == 0 || bytes - at == tail);
}

/* An error of a failed multi is a code, or what the operation was. */
static bool
model_fits_op(int32_t type, const uint8_t *data, long at, long end)
{
	if (type == OP_ERROR && end - at > 4)
		return true;
	return model_fits(type, data, at, end, 0);
}

static long
model_walk_multi(const uint8_t *data, long at, long bytes)
{
	const long body = model_skip(data, at, bytes, 4);
	int32_t count;

	if (body < 0)
		return -1;
	count = (int32_t)be_load32(data + at);
	at = count < 0 ? -1 : body;
	for (int32_t i = 0; i < count && at >= 0; i++) {
		const long op = at;
		const long end = model_skip_slice(data, op + 4, bytes, 0);
		const int32_t type =
			end < 0 ? 0 : (int32_t)be_load32(data + op);

		at = -1;
		if (end >= 0 && type != OP_SET_ACL && type != OP_RECONFIG &&
		    type != OP_CREATE_SESSION && type != OP_CLOSE_SESSION &&
		    model_fits_op(type, data, op + 8, end))
			at = end;
	}
	return at;
}

bool
txn_model_accepts(const uint8_t *data, size_t size)
{
	const long bytes = (long)size;
	long end;

	if (size < TXN_HEADER_BYTES)
		return false;
	if (be_load32(data + 28) != OP_MULTI)
		return model_fits((int32_t)be_load32(data + 28), data,
				  TXN_HEADER_BYTES, bytes, TXN_DIGEST_BYTES);
	end = model_walk_multi(data, TXN_HEADER_BYTES, bytes);
	return end >= 0 &&
	       (bytes - end == 0 || bytes - end == TXN_DIGEST_BYTES);
}
