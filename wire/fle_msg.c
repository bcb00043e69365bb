/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of the election port. Addresses are checked when the initial
 * message is decoded, because the answer to a bad one is the same as to a bad
 * length, and iterated later without copies: fle_address_next() cuts one piece
 * off the text at a time.
 */

#include "wire/fle_msg.h"

#define FLE_HELLO_HEAD_BYTES 20
#define FLE_HELLO_OLD_BYTES  8
#define FLE_PORT_DIGITS_MAX  5

/* Decimal, 1..65535, nothing else. Returns 0 when it is not. */
static uint32_t
fle_port_of(const uint8_t *text, size_t bytes)
{
	uint32_t port = 0;

	if (bytes > FLE_PORT_DIGITS_MAX)
		return 0;
	for (size_t i = 0; i < bytes; i++) {
		if (text[i] < '0' || text[i] > '9')
			return 0;
		port = port * 10 + (uint32_t)(text[i] - '0');
	}
	return port <= UINT16_MAX ? port : 0;
}

/* host:port or [v6]:port; host may hold colons only inside of brackets. */
static int
fle_address_parse(const uint8_t *text, size_t bytes, struct fle_address *out)
{
	const uint8_t *host = text;
	const uint8_t *colon, *end;
	uint32_t port;

	if (bytes > 0 && text[0] == '[') {
		host = text + 1;
		end = memchr(host, ']', bytes - 1);
		colon = end == NULL ? NULL : end + 1;
		if (colon == text + bytes)
			colon = NULL;
	} else {
		colon = bytes > 0 ? memchr(text, ':', bytes) : NULL;
		end = colon;
	}
	if (colon == NULL || *colon != ':' || end == host)
		return FAL_EPROTO;
	port = fle_port_of(colon + 1, bytes - (size_t)(colon + 1 - text));
	if (port == 0)
		return FAL_EPROTO;
	out->host = jute_slice_of(host, (size_t)(end - host));
	out->port = (uint16_t)port;
	return FAL_OK;
}

int
fle_address_next(struct jute_slice *rest, struct fle_address *out)
{
	const uint8_t *text = rest->data;
	const uint8_t *bar;
	size_t bytes;
	int err;

	if (rest->bytes <= 0)
		return 0;
	bytes = (size_t)rest->bytes;
	bar = memchr(text, '|', bytes);
	if (bar == NULL) {
		err = fle_address_parse(text, bytes, out);
		*rest = jute_slice_of(text + bytes, 0);
		return err == FAL_OK ? 1 : err;
	}
	/* a bar must be followed by something */
	if (bar + 1 == text + bytes)
		return FAL_EPROTO;
	err = fle_address_parse(text, (size_t)(bar - text), out);
	*rest = jute_slice_of(bar + 1, bytes - (size_t)(bar + 1 - text));
	return err == FAL_OK ? 1 : err;
}

static int
fle_addresses_check(struct jute_slice text, int64_t protocol_version)
{
	struct fle_address address;
	int32_t count = 0;
	int got;

	while ((got = fle_address_next(&text, &address)) > 0)
		count++;
	if (got < 0)
		return got;
	return protocol_version == FLE_PROTOCOL_V2 || count == 1 ? FAL_OK
								 : FAL_EPROTO;
}

static bool
fle_is_version(int64_t first)
{
	return first == FLE_PROTOCOL_V1 || first == FLE_PROTOCOL_V2;
}

int
fle_hello_get(const void *data, size_t bytes, struct fle_hello *out,
	      size_t *hello_bytes)
{
	const uint8_t *at = data;
	int32_t text_bytes;
	int err;

	*hello_bytes = FLE_HELLO_OLD_BYTES;
	if (bytes < FLE_HELLO_OLD_BYTES)
		return 0;
	out->protocol_version = (int64_t)be_load64(at);
	if (out->protocol_version >= 0) {
		out->sid = out->protocol_version;
		out->protocol_version = 0;
		out->addresses = jute_slice_of(at + FLE_HELLO_OLD_BYTES, 0);
		return 1;
	}
	if (!fle_is_version(out->protocol_version))
		return FAL_EPROTO;
	*hello_bytes = FLE_HELLO_HEAD_BYTES;
	if (bytes < FLE_HELLO_HEAD_BYTES)
		return 0;
	out->sid = (int64_t)be_load64(at + 8);
	text_bytes = (int32_t)be_load32(at + 16);
	if (text_bytes < 1 || text_bytes > FLE_HELLO_TEXT_BYTES_MAX)
		return FAL_EPROTO;
	*hello_bytes += (size_t)text_bytes;
	if (bytes < *hello_bytes)
		return 0;
	out->addresses =
		jute_slice_of(at + FLE_HELLO_HEAD_BYTES, (size_t)text_bytes);
	err = fle_addresses_check(out->addresses, out->protocol_version);
	return err == FAL_OK ? 1 : err;
}

void
fle_hello_put(struct jute_writer *writer, const struct fle_hello *hello)
{
	if (hello->protocol_version == 0) {
		jute_put_long(writer, hello->sid);
		return;
	}
	FAL_ASSERT(fle_is_version(hello->protocol_version));
	FAL_ASSERT(hello->addresses.bytes >= 1);
	FAL_ASSERT(hello->addresses.bytes <= FLE_HELLO_TEXT_BYTES_MAX);
	jute_put_long(writer, hello->protocol_version);
	jute_put_long(writer, hello->sid);
	jute_put_slice(writer, hello->addresses);
}

int
fle_notification_get(const void *data, size_t bytes,
		     struct fle_notification *out)
{
	struct jute_reader reader = jute_reader_of(data, bytes);

	out->state = jute_get_int(&reader);
	out->leader = jute_get_long(&reader);
	out->zxid = jute_get_long(&reader);
	out->round = jute_get_long(&reader);
	out->version = 0;
	out->config = (struct jute_slice){.bytes = -1};
	if (bytes == FLE_NOTIFICATION_BYTES_MIN) {
		/* arithmetic: the epoch of -1 is -1 */
		out->peer_epoch = out->zxid >> 32;
	} else {
		out->peer_epoch = jute_get_long(&reader);
		if (bytes != 40)
			out->version = jute_get_int(&reader);
	}
	if (out->version >= FLE_NOTIFICATION_VERSION) {
		out->config = jute_get_slice(&reader);
		if (out->config.bytes < 0)
			return FAL_EPROTO;
	}
	if (!jute_reader_ok(&reader) || out->state < FLE_LOOKING ||
	    out->state > FLE_OBSERVING)
		return FAL_EPROTO;
	return FAL_OK;
}

void
fle_notification_put(struct jute_writer *writer,
		     const struct fle_notification *notification)
{
	FAL_ASSERT(notification->config.bytes >= 0);
	jute_put_int(writer, notification->state);
	jute_put_long(writer, notification->leader);
	jute_put_long(writer, notification->zxid);
	jute_put_long(writer, notification->round);
	jute_put_long(writer, notification->peer_epoch);
	jute_put_int(writer, FLE_NOTIFICATION_VERSION);
	jute_put_slice(writer, notification->config);
}
