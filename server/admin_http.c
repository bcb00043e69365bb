/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_http - one thread of libmicrohttpd for one port.
 *
 * A request is handed to the control thread when it is complete, and its
 * connection suspended until the answer is there. One lock covers the list of
 * requests under way and the table of connections; it is held for moments, and
 * no poll core ever takes it.
 *
 * libmicrohttpd bounds connections, header bytes and silence. What it does not
 * bound is a client that sends a byte now and then; so the table knows since
 * when each connection owes a request, and a sweep shuts the socket of those
 * that take too long.
 */
#include "server/admin_int.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/time.h"
#include "drivers/clock.h"
#include "server/listen.h"
#include "server/page.h"
#include "server/replace.h"

#define HEADER_MEMORY_BYTES (32u << 10)
/* What a client may take to read the last answer before the server goes. */
#define FLUSH_NS (5 * NS_PER_SECOND)

struct connection_place {
	struct MHD_Connection *connection; /* NULL: free */
	int fd;
	uint64_t since_ns; /* owes a request since; 0: it has sent one */
};

struct admin_http {
	struct admin *admin;
	struct MHD_Daemon *daemon;
	bool is_metrics_only;
	uint64_t patience_ns;
	pthread_mutex_t lock;
	bool is_closing;
	uint32_t sending;            /* answers given and not yet sent */
	struct admin_request *asked; /* oldest first; not yet taken */
	struct admin_request *asked_last;
	struct connection_place place[ADMIN_CONNECTIONS_MAX];
};

/* ---- connections --------------------------------------------------------- */

static struct connection_place *
find_place(struct admin_http *http, const struct MHD_Connection *connection)
{
	for (uint32_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++)
		if (http->place[i].connection == connection)
			return &http->place[i];
	return NULL;
}

static void
set_owing(struct admin_http *http, const struct MHD_Connection *connection,
	  bool owes)
{
	struct connection_place *place;

	pthread_mutex_lock(&http->lock);
	place = find_place(http, connection);
	if (place != NULL)
		place->since_ns = owes ? clock_now_ns() : 0;
	pthread_mutex_unlock(&http->lock);
}

static void
on_connection(void *arg, struct MHD_Connection *connection, void **socket_data,
	      enum MHD_ConnectionNotificationCode code)
{
	struct admin_http *http = arg;
	struct connection_place *place;

	(void)socket_data;
	pthread_mutex_lock(&http->lock);
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *info = MHD_get_connection_info(
			connection, MHD_CONNECTION_INFO_CONNECTION_FD);

		place = find_place(http, NULL);
		if (place != NULL && info != NULL)
			*place = (struct connection_place){
				.connection = connection,
				.fd = info->connect_fd,
				.since_ns = clock_now_ns(),
			};
	} else {
		place = find_place(http, connection);
		if (place != NULL)
			place->connection = NULL;
	}
	pthread_mutex_unlock(&http->lock);
}

/* The descriptor is the connection's as long as its place is taken: it is
 * closed after on_connection() gave the place back. */
void
admin_http_sweep(struct admin_http *http, uint64_t now_ns)
{
	pthread_mutex_lock(&http->lock);
	for (uint32_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++) {
		struct connection_place *place = &http->place[i];

		if (place->connection == NULL || place->since_ns == 0 ||
		    now_ns < place->since_ns + http->patience_ns)
			continue;
		shutdown(place->fd, SHUT_RDWR);
		place->since_ns = 0;
	}
	pthread_mutex_unlock(&http->lock);
}

/* ---- requests ------------------------------------------------------------ */

static bool
copy_text(char *to, size_t room, const char *from)
{
	if (from == NULL)
		return true;
	return snprintf(to, room, "%s", from) < (int)room;
}

static void
copy_peer(struct admin_request *request, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	struct stream_address peer = stream_address_any(0);

	if (info != NULL && info->client_addr->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)info->client_addr;

		peer = stream_address_ipv4(ntohl(in->sin_addr.s_addr), 0);
	} else if (info != NULL && info->client_addr->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const void *)info->client_addr;

		peer = stream_address_ipv6(in->sin6_addr.s6_addr,
					   in->sin6_scope_id, 0);
	}
	stream_address_host(&peer, request->peer);
}

static const char *
query(struct MHD_Connection *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND,
					   name);
}

static struct admin_request *
request_new(struct admin_http *http, struct MHD_Connection *connection,
	    const char *url, const char *method)
{
	struct admin_request *request = calloc(1, sizeof(*request));
	const char *authorization = MHD_lookup_connection_value(
		connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);

	if (request == NULL)
		return NULL;
	request->http = http;
	request->admin = http->admin;
	request->connection = connection;
	request->is_metrics_only = http->is_metrics_only;
	request->fd = -1;
	request->method =
		strcmp(method, MHD_HTTP_METHOD_GET) == 0 ||
				strcmp(method, MHD_HTTP_METHOD_HEAD) == 0
			? ADMIN_GET
		: strcmp(method, MHD_HTTP_METHOD_POST) == 0 ? ADMIN_POST
							    : ADMIN_OTHER;
	request->has_authorization = authorization != NULL;
	request->is_too_long =
		!copy_text(request->path, sizeof(request->path), url) ||
		!copy_text(request->authorization,
			   sizeof(request->authorization), authorization) ||
		!copy_text(request->trace_mask, sizeof(request->trace_mask),
			   query(connection, "traceMask")) ||
		!copy_text(request->streaming, sizeof(request->streaming),
			   query(connection, "streaming")) ||
		!copy_text(request->since, sizeof(request->since),
			   query(connection, "since"));
	copy_peer(request, connection);
	return request;
}

static void
request_free(struct admin_request *request)
{
	if (request->fd >= 0)
		close(request->fd);
	if (request->body_state == ADMIN_BODY_GRANTED ||
	    request->body_state == ADMIN_BODY_COMING)
		replace_abandon(request->replace);
	free(request->text);
	auth_ids_free(request->ids);
	/* Headers with passwords do not stay in free memory. */
	explicit_bzero(request, sizeof(*request));
	free(request);
}

static void
note_sent(struct admin_http *http, const struct admin_request *request)
{
	pthread_mutex_lock(&http->lock);
	if (request->is_done)
		http->sending--;
	pthread_mutex_unlock(&http->lock);
}

static void
on_completed(void *arg, struct MHD_Connection *connection, void **con_cls,
	     enum MHD_RequestTerminationCode code)
{
	struct admin_request *request = *con_cls;

	(void)code;
	*con_cls = NULL;
	if (request != NULL) {
		note_sent(arg, request);
		request_free(request);
	}
	set_owing(arg, connection, true); /* the next one, if it is kept */
}

static void
add_headers(struct MHD_Response *response, const struct admin_request *request)
{
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
				request->content_type);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL,
				"no-store");
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	if (request->last_zxid[0] != 0)
		MHD_add_response_header(response, "last_zxid",
					request->last_zxid);
	if (request->snapshot_size[0] != 0)
		MHD_add_response_header(response, "snapshot_size",
					request->snapshot_size);
	if (request->status == ADMIN_UNAUTHORIZED)
		MHD_add_response_header(
			response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "digest");
	if (request->status == ADMIN_BAD_METHOD)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW,
					"GET, HEAD, POST");
}

static enum MHD_Result
send_answer(struct admin_request *request)
{
	struct MHD_Response *response;
	enum MHD_Result result;

	if (request->fd >= 0) {
		response = MHD_create_response_from_fd64(request->fd_bytes,
							 request->fd);
		request->fd = -1; /* the response's now */
	} else {
		response = MHD_create_response_from_buffer(
			request->bytes, request->text,
			request->text == NULL ? MHD_RESPMEM_PERSISTENT
					      : MHD_RESPMEM_MUST_FREE);
		request->text = NULL; /* the response's now */
	}
	if (response == NULL)
		return MHD_NO;
	add_headers(response, request);
	result = MHD_queue_response(request->connection, request->status,
				    response);
	MHD_destroy_response(response);
	return result;
}

/* The page, which is the same for everybody. */
static enum MHD_Result
send_page(struct MHD_Connection *connection)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		sizeof(page_html) - 1, (void *)(uintptr_t)page_html,
		MHD_RESPMEM_PERSISTENT);
	enum MHD_Result result;

	if (response == NULL)
		return MHD_NO;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
				"text/html; charset=utf-8");
	MHD_add_response_header(response, "Content-Security-Policy",
				PAGE_POLICY);
	MHD_add_response_header(response, "X-Frame-Options", "DENY");
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL,
				"no-cache");
	result = MHD_queue_response(connection, MHD_HTTP_OK, response);
	MHD_destroy_response(response);
	return result;
}

/* To the control thread; false: it does not answer any more, or not yet. */
static bool
ask(struct admin_http *http, struct admin_request *request)
{
	struct server *server =
		(struct server *)(uintptr_t)admin_server(http->admin);

	pthread_mutex_lock(&http->lock);
	if (http->is_closing || !admin_is_serving(http->admin)) {
		pthread_mutex_unlock(&http->lock);
		return false;
	}
	request->next = NULL;
	if (http->asked == NULL)
		http->asked = request;
	else
		http->asked_last->next = request;
	http->asked_last = request;
	MHD_suspend_connection(request->connection);
	pthread_mutex_unlock(&http->lock);
	lcore_doorbell(&server->ctl_lcore);
	return true;
}

/* What comes beyond the bound is read and thrown away, so that the client
 * hears why. */
static void
take_body(struct admin_request *request, const char *data, size_t *bytes)
{
	const size_t room = ADMIN_BODY_BYTES - request->body_bytes;
	const size_t taken = *bytes < room ? *bytes : room;

	memcpy(request->body + request->body_bytes, data, taken);
	request->body_bytes += (uint32_t)taken;
	request->is_body_cut |= taken < *bytes;
	*bytes = 0;
}

/* The request of an upload, step by step: it is asked for when its header is
 * there, and again when the body is. Header and end both come without bytes. */
static enum MHD_Result
on_upload(struct admin_http *http, struct admin_request *request,
	  const char *data, size_t *bytes)
{
	switch (request->body_state) {
	case ADMIN_BODY_GRANTED:
		request->body_state = ADMIN_BODY_COMING;
		return MHD_YES;
	case ADMIN_BODY_COMING:
		if (*bytes > 0) {
			replace_put(request->replace, data, *bytes);
			*bytes = 0;
			return MHD_YES;
		}
		request->body_state = ADMIN_BODY_WHOLE;
		if (ask(http, request))
			return MHD_YES;
		replace_abandon(request->replace);
		admin_answer_unserved(request);
		return send_answer(request);
	default:
		return MHD_NO;
	}
}

/* A new request; an upload is asked for before its body comes. */
static enum MHD_Result
on_header(struct admin_http *http, struct admin_request *request)
{
	if (request == NULL)
		return MHD_NO;
	if (!admin_is_upload(request))
		return MHD_YES;
	request->body_state = ADMIN_BODY_ASKED;
	set_owing(http, request->connection, false);
	if (ask(http, request))
		return MHD_YES;
	request->body_state = ADMIN_BODY_SMALL;
	admin_answer_unserved(request);
	return send_answer(request);
}

static bool
wants_page(const struct admin_request *request)
{
	return request->method == ADMIN_GET && !request->is_metrics_only &&
	       strcmp(request->path, "/") == 0;
}

static enum MHD_Result
on_request(void *arg, struct MHD_Connection *connection, const char *url,
	   const char *method, const char *version, const char *upload,
	   size_t *upload_bytes, void **con_cls)
{
	struct admin_http *http = arg;
	struct admin_request *request = *con_cls;

	(void)version;
	if (request == NULL) {
		*con_cls = request_new(http, connection, url, method);
		return on_header(http, *con_cls);
	}
	if (request->is_done)
		return send_answer(request);
	if (request->body_state != ADMIN_BODY_SMALL)
		return on_upload(http, request, upload, upload_bytes);
	if (*upload_bytes > 0) {
		take_body(request, upload, upload_bytes);
		return MHD_YES;
	}
	set_owing(http, connection, false);
	if (wants_page(request))
		return send_page(connection);
	if (ask(http, request))
		return MHD_YES;
	admin_answer_unserved(request);
	return send_answer(request);
}

struct admin_request *
admin_http_take(struct admin_http *http)
{
	struct admin_request *request;

	pthread_mutex_lock(&http->lock);
	request = http->asked;
	if (request != NULL)
		http->asked = request->next;
	pthread_mutex_unlock(&http->lock);
	return request;
}

void
admin_http_give(struct admin_request *request)
{
	struct admin_http *http = request->http;
	struct MHD_Connection *connection = request->connection;

	/* The lock orders the answer before the HTTP thread's next look. */
	pthread_mutex_lock(&http->lock);
	request->is_done = true;
	http->sending++;
	pthread_mutex_unlock(&http->lock);
	MHD_resume_connection(connection);
}

void
admin_http_take_body(struct admin_request *request)
{
	struct admin_http *http = request->http;
	struct MHD_Connection *connection = request->connection;

	pthread_mutex_lock(&http->lock);
	request->body_state = ADMIN_BODY_GRANTED;
	pthread_mutex_unlock(&http->lock);
	MHD_resume_connection(connection);
}

void
admin_http_flush(struct admin_http *http)
{
	const uint64_t until_ns = clock_now_ns() + FLUSH_NS;
	bool is_sending = true;

	while (http != NULL && is_sending && clock_now_ns() < until_ns) {
		pthread_mutex_lock(&http->lock);
		is_sending = http->sending > 0;
		pthread_mutex_unlock(&http->lock);
		usleep(1000);
	}
}

/* ---- life ---------------------------------------------------------------- */

/* libmicrohttpd tells of clients' troubles, which are not ours. */
static void
on_message(void *arg, const char *format, va_list args)
{
	char text[256];

	(void)arg;
	if (!log_enabled(LOG_LEVEL_DEBUG))
		return;
	vsnprintf(text, sizeof(text), format, args);
	text[strcspn(text, "\n")] = 0;
	LOG_DEBUG("admin server: %s", text);
}

struct socket_address {
	union {
		struct sockaddr any;
		struct sockaddr_in ipv4;
		struct sockaddr_in6 ipv6;
	};
};

static bool
is_ipv6(const struct stream_address *address)
{
	return address->family != STREAM_IPV4;
}

static struct socket_address
socket_address_of(const struct stream_address *address)
{
	struct socket_address to = {.any = {.sa_family = AF_UNSPEC}};

	if (!is_ipv6(address)) {
		to.ipv4.sin_family = AF_INET;
		to.ipv4.sin_port = htons(address->port);
		memcpy(&to.ipv4.sin_addr, address->ip, 4);
	} else {
		to.ipv6.sin6_family = AF_INET6;
		to.ipv6.sin6_port = htons(address->port);
		to.ipv6.sin6_scope_id = address->scope;
		memcpy(&to.ipv6.sin6_addr, address->ip, 16);
	}
	return to;
}

/* Signals are the control thread's; the new thread inherits the mask. */
static void
start_daemon(struct admin_http *http, const struct stream_address *address)
{
	const struct socket_address to = socket_address_of(address);
	const unsigned timeout_s =
		(unsigned)((http->patience_ns + NS_PER_SECOND - 1) /
			   NS_PER_SECOND);
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD |
			 MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
	sigset_t all, before;

	if (is_ipv6(address))
		flags |= address->family == STREAM_ANY ? MHD_USE_DUAL_STACK
						       : MHD_USE_IPv6;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	http->daemon = MHD_start_daemon(
		flags, address->port, NULL, NULL, on_request, http,
		MHD_OPTION_EXTERNAL_LOGGER, on_message, NULL,
		MHD_OPTION_SOCK_ADDR, &to.any, MHD_OPTION_CONNECTION_LIMIT,
		ADMIN_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, timeout_s,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADER_MEMORY_BYTES,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, http,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, http,
		MHD_OPTION_END);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* All addresses are those of IPv4 on hosts without IPv6. Where it fails, errno
 * says why, or is 0. */
static void
listen_or_else(struct admin_http *http, const struct stream_address *address)
{
	const struct stream_address v4 = stream_address_ipv4(0, address->port);

	errno = 0;
	start_daemon(http, address);
	if (http->daemon != NULL || address->family != STREAM_ANY ||
	    (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL))
		return;
	errno = 0;
	start_daemon(http, &v4);
}

int
admin_http_start(struct admin *admin, const char *address, int port,
		 bool is_metrics_only, struct admin_http **out, char *why,
		 size_t why_bytes)
{
	const struct server *server = admin_server(admin);
	struct stream_address parsed;
	struct admin_http *http;

	if (listen_address(address, (uint16_t)port, &parsed, why, why_bytes) !=
	    FAL_OK)
		return FAL_EINVAL;
	http = calloc(1, sizeof(*http));
	if (http == NULL) {
		snprintf(why, why_bytes, "out of memory");
		return FAL_ENOMEM;
	}
	http->admin = admin;
	http->is_metrics_only = is_metrics_only;
	http->patience_ns =
		time_ms_to_ns((uint64_t)server->config->admin_idle_ms);
	pthread_mutex_init(&http->lock, NULL);
	listen_or_else(http, &parsed);
	if (http->daemon == NULL) {
		const int code = errno;

		snprintf(why, why_bytes, "%s",
			 code == 0 ? "cannot listen" : strerror(code));
		pthread_mutex_destroy(&http->lock);
		free(http);
		return code == EADDRINUSE      ? FAL_EBUSY
		       : code == EACCES        ? FAL_EACCESS
		       : code == EADDRNOTAVAIL ? FAL_EINVAL
					       : FAL_EIO;
	}
	*out = http;
	return FAL_OK;
}

void
admin_http_stop(struct admin_http *http)
{
	struct admin_request *request;

	if (http == NULL)
		return;
	pthread_mutex_lock(&http->lock);
	http->is_closing = true;
	pthread_mutex_unlock(&http->lock);
	while ((request = admin_http_take(http)) != NULL)
		admin_finish_plain(request, ADMIN_UNAVAILABLE,
				   "the server stops\n");
	MHD_stop_daemon(http->daemon);
	pthread_mutex_destroy(&http->lock);
	free(http);
}
