/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_tcp - listeners, newcomers, own connects.
 *
 * TCP finishes handshakes by itself, as a kernel does; who is refused is reset
 * after it. The address asked for must be one of ours, or all.
 */
#include "dataplane/stream_tcp_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What Linux does with SO_KEEPALIVE: two hours of silence. */
#define KEEPALIVE_IDLE_MS (7200u * 1000u)

static int FAL_PRINTF(4, 5)
	explain(struct stream_error *error, int err,
		const struct stream_address *address, const char *format, ...)
{
	char text[STREAM_ADDRESS_TEXT_MAX];
	va_list args;
	int used;

	if (error == NULL)
		return err;
	stream_address_text(address, text);
	va_start(args, format);
	used = vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	if (used > 0 && (size_t)used < sizeof(error->text))
		snprintf(error->text + used, sizeof(error->text) - (size_t)used,
			 " (%s)", text);
	return err;
}

/* ---- addresses ---- */

static struct stream_address
address_of(const struct tcp_address *ip, uint16_t port)
{
	uint8_t bytes[16];

	if (tcp_address_is_ipv4(ip))
		return stream_address_ipv4(ip->word[3], port);
	for (uint32_t i = 0; i < 4; i++)
		be_store32(bytes + 4 * i, ip->word[i]);
	return stream_address_ipv6(bytes, 0, port);
}

static struct tcp_address
ip_of(const struct stream_address *address)
{
	if (address->family == STREAM_IPV4)
		return tcp_address_ipv4(be_load32(address->ip));
	return tcp_address_ipv6(address->ip);
}

static bool
is_own(const struct stream_tcp *core, const struct stream_address *address)
{
	static const struct tcp_address none;
	const struct tcp_config *config = &core->tcp_config;
	const struct tcp_address ip = ip_of(address);
	const struct tcp_address own = tcp_address_ipv4(config->address);

	if (address->family == STREAM_ANY)
		return true;
	if (address->family == STREAM_IPV4)
		return config->address != 0 && tcp_address_equal(&ip, &own);
	return !tcp_address_equal(&ip, &none) &&
	       tcp_address_equal(&ip, &config->address6);
}

/* ---- listeners ---- */

/* TCP's tag of a listener: its place and which use of the place it is, for a
 * handshake may end after the listener has gone. */
static uint32_t
listener_tag(const struct stream_tcp *core, uint32_t place)
{
	return core->listeners[place].use_count * STREAM_TCP_LISTENERS_MAX +
	       place;
}

/* The listener a newcomer belongs to; NULL: it has gone. */
static const struct stream_tcp_listener *
listener_of(const struct stream_tcp *core, uint32_t tag)
{
	const uint32_t place = tag % STREAM_TCP_LISTENERS_MAX;

	return core->listeners[place].is_used &&
			       listener_tag(core, place) == tag
		       ? &core->listeners[place]
		       : NULL;
}

/* The ephemeral ports of RFC 6335. */
#define EPHEMERAL_FIRST 49152u
#define EPHEMERAL_COUNT 16384u

/* Listens on a free ephemeral port; where the search begins depends on the
 * secret, so that two cores rarely meet. */
static int
listen_anywhere(struct stream_tcp *core, const struct tcp_address *ip,
		uint32_t tag, uint16_t *port)
{
	const uint32_t start = be_load16(core->tcp_config.secret);

	for (uint32_t i = 0; i < EPHEMERAL_COUNT; i++) {
		int err;

		*port = (uint16_t)(EPHEMERAL_FIRST +
				   (start + i) % EPHEMERAL_COUNT);
		err = tcp_listen_on(core->tcp, ip, *port, tag);
		if (err != FAL_EBUSY)
			return err;
	}
	return FAL_EBUSY;
}

int
stream_tcp_op_listen(struct stream_core *base,
		     const struct stream_listener *listener,
		     struct stream_address *bound, struct stream_error *error)
{
	struct stream_tcp *core = stream_tcp_core_of(base);
	struct stream_address address = listener->address;
	const struct tcp_address ip = ip_of(&address); /* of "all": none */
	uint32_t place = 0;
	int err;

	if (error != NULL)
		error->text[0] = '\0';
	if (!is_own(core, &address))
		return explain(error, FAL_EINVAL, &address,
			       "no address of this port");
	while (place < STREAM_TCP_LISTENERS_MAX &&
	       core->listeners[place].is_used)
		place++;
	if (place == STREAM_TCP_LISTENERS_MAX)
		return explain(error, FAL_ELIMIT, &address,
			       "more than %u listeners",
			       STREAM_TCP_LISTENERS_MAX);
	core->listeners[place].use_count++;
	if (address.port == 0)
		err = listen_anywhere(core, &ip, listener_tag(core, place),
				      &address.port);
	else
		err = tcp_listen_on(core->tcp, &ip, address.port,
				    listener_tag(core, place));
	if (err != 0)
		return explain(error, err, &address,
			       err == FAL_EBUSY ? "Address already in use"
						: "too many listeners");
	core->listeners[place].is_used = true;
	core->listeners[place].config = *listener;
	core->listeners[place].config.address = address;
	port_claim(core->port, address.port, true);
	if (bound != NULL)
		*bound = address;
	return 0;
}

/* The port of a listener that has gone comes to this core no longer, unless
 * another one, of the other address, has it too. */
static void
release_port(struct stream_tcp *core, uint16_t port)
{
	for (uint32_t i = 0; i < STREAM_TCP_LISTENERS_MAX; i++)
		if (core->listeners[i].is_used &&
		    core->listeners[i].config.address.port == port)
			return;
	port_claim(core->port, port, false);
}

uint32_t
stream_tcp_op_unlisten(struct stream_core *base, uint32_t tag)
{
	struct stream_tcp *core = stream_tcp_core_of(base);
	uint32_t count = 0;

	for (uint32_t i = 0; i < STREAM_TCP_LISTENERS_MAX; i++) {
		struct stream_tcp_listener *listener = &core->listeners[i];

		if (!listener->is_used || listener->config.tag != tag)
			continue;
		tcp_unlisten(core->tcp, listener->config.address.port,
			     listener_tag(core, i));
		listener->is_used = false;
		release_port(core, listener->config.address.port);
		count++;
	}
	return count;
}

/* ---- newcomers ---- */

void
stream_tcp_newcomer(struct stream_tcp *core, struct tcp_conn *tcp,
		    uint32_t news)
{
	const uint32_t index = tcp_index(core->tcp, tcp);

	/* A block waits once, so the ring, as large as there are blocks, is
	 * never full. */
	if (core->early_news[index] == 0)
		core->newcomers[core->newcomer_tail++ & core->newcomer_mask] =
			index;
	core->early_news[index] = (uint8_t)(core->early_news[index] | news);
}

/* Resets a block that nobody takes. */
static void
refuse(struct stream_tcp *core, struct tcp_conn *tcp, uint32_t news)
{
	if ((news & TCP_NEWS_FAILED) != 0)
		tcp_release(core->tcp, tcp);
	else
		tcp_abort(core->tcp, tcp);
}

/* Makes a newcomer a connection; NULL: it is refused. */
static struct stream_tcp_conn *
admit(struct stream_tcp *core, struct tcp_conn *tcp, uint32_t news)
{
	const struct stream_tcp_listener *listener =
		listener_of(core, tcp_tag(tcp));
	const struct stream_listener *config;
	struct stream_address peer;
	struct stream_tcp_conn *conn;
	struct tcp_address ip;
	uint16_t port;

	if (listener == NULL) {
		refuse(core, tcp, news);
		return NULL;
	}
	config = &listener->config;
	tcp_peer(tcp, &ip, &port);
	peer = address_of(&ip, port);
	if (!stream_table_admits(&core->table, config->limits, &peer)) {
		refuse(core, tcp, news);
		return NULL;
	}
	conn = stream_tcp_new(core, tcp);
	if (conn == NULL) {
		stream_count(&core->table.counters.refused_core, 1);
		if (config->limits != NULL)
			stream_limits_leave(config->limits, &peer);
		refuse(core, tcp, news);
		return NULL;
	}
	stream_slot_accept(&conn->slot, config, &peer);
	stream_tcp_limit_direct(conn);
	if (config->keepalive && (news & TCP_NEWS_FAILED) == 0)
		tcp_keepalive(core->tcp, tcp, KEEPALIVE_IDLE_MS);
	stream_count(&core->table.counters.accepts, 1);
	return conn;
}

void
stream_tcp_admit(struct stream_tcp *core, struct list *fresh, uint32_t max)
{
	while (core->newcomer_head != core->newcomer_tail && max > 0) {
		const uint32_t index = core->newcomers[core->newcomer_head++ &
						       core->newcomer_mask];
		struct tcp_conn *tcp = tcp_at(core->tcp, index);
		const uint32_t news = core->early_news[index];
		struct stream_tcp_conn *conn;

		core->early_news[index] = 0;
		conn = admit(core, tcp, news);
		if (conn == NULL)
			continue;
		stream_tcp_news(core, conn, news);
		list_del(&conn->slot.ready_link);
		list_add_tail(fresh, &conn->slot.ready_link);
		max--;
	}
}

/* ---- connecting ---- */

int
stream_tcp_op_connect(struct stream_core *base,
		      const struct stream_target *target, stream_id *id,
		      struct stream_error *error)
{
	struct stream_tcp *core = stream_tcp_core_of(base);
	const struct tcp_address ip = ip_of(&target->address);
	struct stream_tcp_conn *conn;
	struct tcp_conn *tcp;
	int err;

	*id = STREAM_NONE;
	if (error != NULL)
		error->text[0] = '\0';
	if (target->address.family == STREAM_ANY ||
	    is_own(core, &target->address))
		return explain(error, FAL_EINVAL, &target->address,
			       "connect: nobody else is there");
	err = tcp_connect(core->tcp, &ip, target->address.port, target->tag,
			  &tcp);
	if (err != 0)
		return explain(error, err, &target->address, "connect: %s",
			       fal_err_str(err));
	conn = stream_tcp_new(core, tcp);
	if (conn == NULL) {
		tcp_abort(core->tcp, tcp);
		return explain(error, FAL_ELIMIT, &target->address,
			       "connect: no connection is free");
	}
	stream_slot_connect(&conn->slot, target);
	stream_tcp_limit_direct(conn);
	if (target->keepalive)
		tcp_keepalive(core->tcp, tcp, KEEPALIVE_IDLE_MS);
	stream_count(&core->table.counters.connects, 1);
	*id = (uint64_t)conn->slot.generation << 32 |
	      stream_tcp_index(core, conn);
	return 0;
}
