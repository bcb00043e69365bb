/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_accept - descriptors: listeners, accepting, connecting.
 *
 * Limits are checked before anything is allocated for a connection; one over
 * the limit is reset with SO_LINGER 0, as ZooKeeper does, which also keeps the
 * port out of TIME_WAIT.
 *
 * When the process has no descriptors left, accept() fails but the connection
 * stays in the queue and the listener stays readable: a busy loop. A reserve
 * descriptor is closed for a moment, so that the connection can be accepted and
 * reset. If somebody else snatches it meanwhile, the listener rests for
 * SOCKET_ACCEPT_REST_NS.
 *
 * TCP_NODELAY and SO_KEEPALIVE are inherited from the listener (Linux), which
 * saves two calls per connection.
 */
#include "drivers/stream_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

union any_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_storage storage;
};

/* Turns ours into the system's; returns its length. */
static socklen_t
address_to_system(const struct stream_address *from, union any_address *to)
{
	memset(to, 0, sizeof(*to));
	if (from->family == STREAM_IPV4) {
		to->v4.sin_family = AF_INET;
		to->v4.sin_port = htons(from->port);
		memcpy(&to->v4.sin_addr, from->ip, 4);
		return sizeof(to->v4);
	}
	/* STREAM_ANY is all zero, which is in6addr_any. */
	to->v6.sin6_family = AF_INET6;
	to->v6.sin6_port = htons(from->port);
	to->v6.sin6_scope_id = from->scope;
	memcpy(&to->v6.sin6_addr, from->ip, 16);
	return sizeof(to->v6);
}

static struct stream_address
address_from_system(const union any_address *from)
{
	struct stream_address to = {.family = STREAM_ANY};

	if (from->any.sa_family == AF_INET6)
		return stream_address_ipv6(from->v6.sin6_addr.s6_addr,
					   from->v6.sin6_scope_id,
					   ntohs(from->v6.sin6_port));
	if (from->any.sa_family == AF_INET)
		return stream_address_ipv4(ntohl(from->v4.sin_addr.s_addr),
					   ntohs(from->v4.sin_port));
	return to;
}

enum stream_reason
socket_reason_of(int error)
{
	switch (error) {
	case ECONNRESET:
	case EPIPE:
	case ENOTCONN:
	case ECONNABORTED:
		return STREAM_RESET;
	case ETIMEDOUT:
		return STREAM_TIMED_OUT;
	case ECONNREFUSED:
		return STREAM_REFUSED;
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ENETDOWN:
	case EHOSTDOWN:
		return STREAM_UNREACHABLE;
	case ENOMEM:
	case ENOBUFS:
		return STREAM_NO_MEMORY;
	default:
		return STREAM_FAILED;
	}
}

int
socket_reserve_open(void)
{
	return eventfd(0, EFD_CLOEXEC);
}

void
socket_reset_fd(int fd)
{
	const struct linger none = {.l_onoff = 1, .l_linger = 0};

	/* If it fails the peer gets a FIN instead: nothing to be done. */
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	close(fd);
}

/* "what address: why" */
static void
error_set(struct stream_error *error, const char *what,
	  const struct stream_address *address, int cause)
{
	char where[STREAM_ADDRESS_TEXT_MAX];
	char why[64];

	if (error == NULL)
		return;
	stream_address_text(address, where);
	snprintf(error->text, sizeof(error->text), "%s %s: %s", what, where,
		 strerror_r(cause, why, sizeof(why)));
}

static int
err_of(int error)
{
	switch (error) {
	case EADDRINUSE:
		return FAL_EBUSY;
	case EACCES:
		return FAL_EACCESS;
	case EADDRNOTAVAIL:
	case EAFNOSUPPORT:
	case EINVAL:
		return FAL_EINVAL;
	case EMFILE:
	case ENFILE:
		return FAL_ELIMIT;
	case ENOMEM:
	case ENOBUFS:
		return FAL_ENOMEM;
	default:
		return FAL_EIO;
	}
}

static bool
option_set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

/* ---- accepting ---- */

void
socket_listener_rest(struct socket_core *core, uint32_t listener)
{
	core->driver->unwatch(core, listener);
	core->listeners[listener].rest_until_ns =
		core->table.now_ns + SOCKET_ACCEPT_REST_NS;
}

enum shed {
	SHED_ONE,    /* a connection was reset */
	SHED_NONE,   /* none was waiting: accept() wants a descriptor before it
		      * looks */
	SHED_FAILED, /* somebody else has taken the reserve */
};

/* Spends the reserve descriptor on resetting one connection. */
static enum shed
shed_one(struct socket_core *core, int listener_fd)
{
	if (core->reserve_fd < 0)
		return SHED_FAILED;
	close(core->reserve_fd);

	const int fd =
		accept4(listener_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	const int cause = errno;

	if (fd >= 0)
		socket_reset_fd(fd);
	core->reserve_fd = socket_reserve_open();
	if (core->reserve_fd < 0)
		return SHED_FAILED;
	if (fd >= 0)
		return SHED_ONE;
	return cause == EAGAIN ? SHED_NONE : SHED_FAILED;
}

/* accept() failed for want of descriptors. Returns whether to go on. */
static bool
no_file(struct socket_core *core, uint32_t listener)
{
	const enum shed shed = shed_one(core, core->listeners[listener].fd);

	if (shed == SHED_NONE)
		return false;
	stream_count(&core->table.counters.accept_no_file, 1);
	if (shed == SHED_ONE)
		return true;
	socket_listener_rest(core, listener);
	return false;
}

bool
socket_accept_failed(struct socket_core *core, uint32_t listener, int error)
{
	switch (error) {
	case EAGAIN:
		return false;
	case EMFILE:
	case ENFILE:
		return no_file(core, listener);
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case ENOPROTOOPT:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENONET:
	case EOPNOTSUPP:
		/* accept(2): errors of the one connection, go on. */
		stream_count(&core->table.counters.accept_errors, 1);
		return true;
	default:
		stream_count(&core->table.counters.accept_errors, 1);
		socket_listener_rest(core, listener);
		return false;
	}
}

static bool
peer_of(int fd, struct stream_address *peer)
{
	union any_address address;
	socklen_t bytes = sizeof(address);

	if (getpeername(fd, &address.any, &bytes) != 0)
		return false;
	*peer = address_from_system(&address);
	return true;
}

/* Gives an admitted descriptor a slot and watches it; false: no slot, or it
 * cannot be watched. */
static bool
conn_open(struct socket_core *core, const struct stream_listener *config,
	  int fd, const struct stream_address *peer)
{
	struct socket_conn *conn = socket_new(core, fd);

	if (conn == NULL) {
		stream_count(&core->table.counters.refused_core, 1);
		return false;
	}
	stream_slot_accept(&conn->slot, config, peer);
	if (core->driver->attach(core, conn) != 0) {
		stream_count(&core->table.counters.accept_errors, 1);
		socket_kill(core, conn, true);
		return true; /* The slot has the descriptor and its place. */
	}
	stream_count(&core->table.counters.accepts, 1);
	socket_ready(core, conn);
	return true;
}

void
socket_admit(struct socket_core *core, uint32_t listener, int fd,
	     const struct stream_address *peer)
{
	const struct stream_listener *config =
		&core->listeners[listener].config;
	struct stream_address asked;

	if (peer == NULL) {
		if (!peer_of(fd, &asked)) {
			/* It was reset in the queue. */
			stream_count(&core->table.counters.accept_errors, 1);
			close(fd);
			return;
		}
		peer = &asked;
	}
	if (!stream_table_admits(&core->table, config->limits, peer)) {
		socket_reset_fd(fd);
		return;
	}
	if (!conn_open(core, config, fd, peer)) {
		if (config->limits != NULL)
			stream_limits_leave(config->limits, peer);
		socket_reset_fd(fd);
	}
}

bool
socket_accept(struct socket_core *core, uint32_t listener)
{
	union any_address address;
	socklen_t bytes = sizeof(address);
	const int fd = accept4(core->listeners[listener].fd, &address.any,
			       &bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return socket_accept_failed(core, listener, errno);

	const struct stream_address peer = address_from_system(&address);

	socket_admit(core, listener, fd, &peer);
	return true;
}

void
socket_listeners_wake(struct socket_core *core)
{
	for (uint32_t i = 0; i < SOCKET_LISTENERS_MAX; i++) {
		struct socket_listener *listener = &core->listeners[i];

		if (listener->rest_until_ns == 0 ||
		    listener->rest_until_ns > core->table.now_ns)
			continue;
		if (core->reserve_fd < 0)
			core->reserve_fd = socket_reserve_open();
		if (core->driver->watch(core, i) == 0)
			listener->rest_until_ns = 0;
		else
			listener->rest_until_ns =
				core->table.now_ns + SOCKET_ACCEPT_REST_NS;
	}
}

/* ---- listening ---- */

/* Makes a socket bound to the address; -1 with errno set. */
static int
bound_socket(const struct stream_address *address, bool is_shared)
{
	const int family = address->family == STREAM_IPV4 ? AF_INET : AF_INET6;
	union any_address system;
	const socklen_t bytes = address_to_system(address, &system);
	const int fd =
		socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	/* IPv6 without addresses means IPv4 too, whatever the system's
	 * default. */
	if ((family == AF_INET ||
	     option_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0)) &&
	    option_set(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
	    (!is_shared || option_set(fd, SOL_SOCKET, SO_REUSEPORT, 1)) &&
	    bind(fd, &system.any, bytes) == 0)
		return fd;

	const int cause = errno;

	close(fd);
	errno = cause;
	return -1;
}

/* The same for STREAM_ANY on hosts without IPv6. */
static int
bound_socket_any(const struct stream_address *address, bool is_shared)
{
	const int fd = bound_socket(address, is_shared);

	if (fd >= 0 || address->family != STREAM_ANY ||
	    (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL))
		return fd;

	const struct stream_address v4 = stream_address_ipv4(0, address->port);

	return bound_socket(&v4, is_shared);
}

/* Whether the address can be had without SO_REUSEPORT, that is, whether nobody
 * listens there. */
static bool
is_unused(const struct stream_address *address)
{
	const int fd = bound_socket_any(address, false);

	if (fd < 0)
		return false;

	/* Binding may be shared by SO_REUSEADDR, listening may not. */
	const bool is_free = listen(fd, 1) == 0;
	const int cause = errno;

	close(fd);
	errno = cause;
	return is_free;
}

/* A listening descriptor; -1 with errno and *what set. */
static int
listening_socket(const struct stream_listener *listener, const char **what)
{
	const int backlog =
		listener->backlog > 0 ? listener->backlog : SOMAXCONN;
	int fd;

	*what = "bind";
	if (listener->is_shared && listener->is_first &&
	    listener->address.port != 0 && !is_unused(&listener->address))
		return -1;
	fd = bound_socket_any(&listener->address, listener->is_shared);
	if (fd < 0)
		return -1;
	*what = "listen";
	if (option_set(fd, IPPROTO_TCP, TCP_NODELAY, 1) &&
	    option_set(fd, SOL_SOCKET, SO_KEEPALIVE, listener->keepalive) &&
	    listen(fd, backlog) == 0)
		return fd;

	const int cause = errno;

	close(fd);
	errno = cause;
	return -1;
}

static struct stream_address
local_of(int fd, const struct stream_address *wanted)
{
	union any_address address;
	socklen_t bytes = sizeof(address);
	struct stream_address local = *wanted;

	/* The host stays as it was asked for, STREAM_ANY too. */
	if (getsockname(fd, &address.any, &bytes) == 0)
		local.port = address_from_system(&address).port;
	return local;
}

int
socket_op_listen(struct stream_core *base,
		 const struct stream_listener *listener,
		 struct stream_address *bound, struct stream_error *error)
{
	struct socket_core *core = socket_core_of(base);
	const char *what;
	uint32_t place = 0;

	if (error != NULL)
		error->text[0] = 0;
	while (place < SOCKET_LISTENERS_MAX && core->listeners[place].fd >= 0)
		place++;
	if (place == SOCKET_LISTENERS_MAX) {
		error_set(error, "listen", &listener->address, EMFILE);
		return FAL_ELIMIT;
	}

	const int fd = listening_socket(listener, &what);

	if (fd < 0) {
		const int cause = errno;

		error_set(error, what, &listener->address, cause);
		return err_of(cause);
	}
	core->listeners[place] = (struct socket_listener){
		.fd = fd,
		.generation = ++core->listener_generation,
		.config = *listener,
	};
	if (core->driver->watch(core, place) != 0) {
		core->listeners[place].fd = -1;
		close(fd);
		error_set(error, "watch", &listener->address, ENOMEM);
		return FAL_EIO;
	}
	if (bound != NULL)
		*bound = local_of(fd, &listener->address);
	return 0;
}

uint32_t
socket_op_unlisten(struct stream_core *base, uint32_t tag)
{
	struct socket_core *core = socket_core_of(base);
	uint32_t count = 0;

	for (uint32_t i = 0; i < SOCKET_LISTENERS_MAX; i++) {
		struct socket_listener *listener = &core->listeners[i];

		if (listener->fd < 0 || listener->config.tag != tag)
			continue;
		if (listener->rest_until_ns == 0)
			core->driver->unwatch(core, i);
		/* At once, whoever still holds the descriptor. */
		(void)shutdown(listener->fd, SHUT_RDWR);
		close(listener->fd);
		listener->fd = -1;
		listener->rest_until_ns = 0;
		count++;
	}
	return count;
}

/* ---- connecting ---- */

/* A descriptor on its way to the address; -1 with errno set. */
static int
connecting_socket(const struct stream_target *target)
{
	union any_address address;
	const socklen_t bytes = address_to_system(&target->address, &address);
	const int fd = socket(address.any.sa_family,
			      SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (option_set(fd, IPPROTO_TCP, TCP_NODELAY, 1) &&
	    option_set(fd, SOL_SOCKET, SO_KEEPALIVE, target->keepalive) &&
	    (connect(fd, &address.any, bytes) == 0 || errno == EINPROGRESS))
		return fd;

	const int cause = errno;

	close(fd);
	errno = cause;
	return -1;
}

int
socket_op_connect(struct stream_core *base, const struct stream_target *target,
		  stream_id *id, struct stream_error *error)
{
	struct socket_core *core = socket_core_of(base);
	struct socket_conn *conn;

	*id = STREAM_NONE;
	if (error != NULL)
		error->text[0] = 0;
	if (target->address.family == STREAM_ANY || target->address.port == 0) {
		error_set(error, "connect", &target->address, EINVAL);
		return FAL_EINVAL;
	}

	const int fd = connecting_socket(target);

	if (fd < 0) {
		const int cause = errno;

		error_set(error, "connect", &target->address, cause);
		return err_of(cause) == FAL_EBUSY ? FAL_EIO : err_of(cause);
	}
	conn = socket_new(core, fd);
	if (conn == NULL) {
		close(fd);
		error_set(error, "connect", &target->address, EMFILE);
		return FAL_ELIMIT;
	}
	stream_slot_connect(&conn->slot, target);
	if (core->driver->attach(core, conn) != 0) {
		socket_kill(core, conn, true);
		error_set(error, "connect", &target->address, ENOMEM);
		return FAL_ENOMEM;
	}
	stream_count(&core->table.counters.connects, 1);
	*id = socket_id(core, conn);
	return 0;
}

/* Whether a connect met itself: on one host the port it comes from may happen
 * to be the one it goes to, and TCP lets both ends open at once. */
static bool
is_self_connect(int fd)
{
	union any_address local, peer;
	socklen_t local_bytes = sizeof(local), peer_bytes = sizeof(peer);

	if (getsockname(fd, &local.any, &local_bytes) != 0 ||
	    getpeername(fd, &peer.any, &peer_bytes) != 0)
		return false;

	const struct stream_address a = address_from_system(&local);
	const struct stream_address b = address_from_system(&peer);

	return a.port == b.port && stream_address_same_host(&a, &b);
}

void
socket_connect_check(struct socket_core *core, struct socket_conn *conn)
{
	int error = 0;
	socklen_t bytes = sizeof(error);

	FAL_ASSERT(conn->slot.state == SLOT_CONNECTING);
	if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0)
		error = errno;
	if (error != 0) {
		socket_fail(core, conn, socket_reason_of(error));
		return;
	}
	if (is_self_connect(conn->fd)) {
		socket_fail(core, conn, STREAM_REFUSED);
		conn->is_reset_wanted = true;
		return;
	}
	conn->slot.state = SLOT_OPEN;
	socket_ready(core, conn);
	if (conn->slot.tx.bytes != 0)
		socket_dirty(core, conn);
}
