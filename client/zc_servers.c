/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zc_servers - "host:port,host:port/chroot" into addresses in a random order,
 * so that the clients of an ensemble spread over its servers.
 */
#include "client/zc_int.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define PORT_DEFAULT   2181u
#define HOST_BYTES_MAX 256u

struct host {
	char name[HOST_BYTES_MAX];
	uint16_t port;
};

/* Digits and nothing else, 1..65535. */
static bool
read_port(const char *text, size_t bytes, uint16_t *out)
{
	uint32_t port = 0;

	if (bytes == 0 || bytes > 5)
		return false;
	for (size_t i = 0; i < bytes; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		port = 10 * port + (uint32_t)(text[i] - '0');
	}
	*out = (uint16_t)port;
	return port > 0 && port <= UINT16_MAX;
}

/* One element of the list: host, host:port, [v6]:port. */
static bool
read_host(const char *text, size_t bytes, struct host *out)
{
	const char *name = text;
	const char *close =
		bytes > 0 && text[0] == '[' ? memchr(text, ']', bytes) : NULL;
	const char *colon;
	size_t name_bytes;

	if (close != NULL) {
		name = text + 1;
		name_bytes = (size_t)(close - name);
		colon = close + 1 < text + bytes ? close + 1 : NULL;
		if (colon != NULL && *colon != ':')
			return false;
	} else {
		colon = memchr(text, ':', bytes);
		name_bytes = colon == NULL ? bytes : (size_t)(colon - text);
	}
	if (name_bytes == 0 || name_bytes >= sizeof(out->name))
		return false;
	memcpy(out->name, name, name_bytes);
	out->name[name_bytes] = 0;
	out->port = PORT_DEFAULT;
	return colon == NULL ||
	       read_port(colon + 1, (size_t)(text + bytes - colon - 1),
			 &out->port);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Takes blanks off both ends. */
static void
trim(const char **at, const char **end)
{
	while (*at < *end && is_blank(**at))
		(*at)++;
	while (*at < *end && is_blank((*end)[-1]))
		(*end)--;
}

static void
add(struct zc *zc, const struct stream_address *address)
{
	for (uint32_t i = 0; i < zc->server_count; i++)
		if (memcmp(&zc->server[i], address, sizeof(*address)) == 0)
			return;
	if (zc->server_count < ZC_SERVERS_MAX)
		zc->server[zc->server_count++] = *address;
}

static void
add_resolved(struct zc *zc, const struct sockaddr *address, uint16_t port)
{
	struct stream_address out;

	if (address->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)address;

		out = stream_address_ipv4(ntohl(in->sin_addr.s_addr), port);
	} else if (address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const void *)address;

		out = stream_address_ipv6(in->sin6_addr.s6_addr,
					  in->sin6_scope_id, port);
	} else {
		return;
	}
	add(zc, &out);
}

/* All addresses of a name; none is no error here, others may have some. */
static void
resolve(struct zc *zc, const struct host *host)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC,
				       .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	struct stream_address numeric;

	if (stream_address_parse(host->name, host->port, &numeric) == FAL_OK) {
		add(zc, &numeric);
		return;
	}
	if (getaddrinfo(host->name, NULL, &hints, &found) != 0)
		return;
	for (struct addrinfo *at = found; at != NULL; at = at->ai_next)
		add_resolved(zc, at->ai_addr, host->port);
	freeaddrinfo(found);
}

static void
shuffle(struct zc *zc)
{
	for (uint32_t i = zc->server_count; i > 1; i--) {
		const uint32_t other = zc_loop_random(zc->loop) % i;
		const struct stream_address kept = zc->server[i - 1];

		zc->server[i - 1] = zc->server[other];
		zc->server[other] = kept;
	}
}

/* "/" means none; else a path without a slash at its end. */
static int
take_chroot(struct zc *zc, const char *text)
{
	size_t bytes = strlen(text);

	if (bytes == 1)
		bytes = 0;
	if (bytes > 0 && zc_path_check(text, &bytes) != FAL_OK)
		return FAL_EINVAL;
	zc->chroot = strndup(text, bytes);
	zc->chroot_bytes = (uint32_t)bytes;
	return zc->chroot == NULL ? FAL_ENOMEM : FAL_OK;
}

int
zc_servers_parse(struct zc *zc, const char *text)
{
	const char *end = strchr(text, '/');
	const char *at = text;
	const int err = take_chroot(zc, end == NULL ? "" : end);

	if (err != FAL_OK)
		return err;
	if (end == NULL)
		end = text + strlen(text);
	trim(&at, &end);
	if (at == end)
		return FAL_EINVAL;
	while (at < end) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		const char *stop = comma == NULL ? end : comma;
		struct host host;

		trim(&at, &stop);
		if (!read_host(at, (size_t)(stop - at), &host))
			return FAL_EINVAL;
		resolve(zc, &host);
		at = comma == NULL ? end : comma + 1;
	}
	shuffle(zc);
	return zc->server_count == 0 ? FAL_ENOENT : FAL_OK;
}
