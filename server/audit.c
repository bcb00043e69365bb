/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit - rings of events between the reader cores and the control thread, and
 * the file.
 *
 *   ring: event | texts, padded to 8 | event | texts | ... | wrap | ...
 *
 * An event never lies across the end of the ring: when it does not fit there,
 * a wrap mark (its first word 0) is written and it goes to the start. Producer
 * and consumer each move one counter; a full ring costs the producer a look.
 */
#include "server/audit.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/time.h"
#include "drivers/clock.h"
#include "server/append_file.h"
#include "server/audit_event.h"
#include "server/server.h"

/* The file is looked at this often: was it renamed? */
#define REOPEN_NS NS_PER_SECOND
/* A drain's share, so that words are answered in between. */
#define DRAIN_EVENTS 4096u

struct audit_port {
	struct audit *audit;
	uint8_t *ring;
	uint32_t index;
	/* Written by the reader core. */
	_Alignas(FAL_CACHE_LINE_BYTES) _Atomic uint64_t head;
	_Atomic uint64_t dropped;
	/* Written by the control thread. */
	_Alignas(FAL_CACHE_LINE_BYTES) _Atomic uint64_t tail;
};

struct audit {
	struct server *server;
	struct audit_port *port;
	uint32_t port_count;
	struct append_file file;
	uint64_t checked_ns;
	char path[FILE_PATH_MAX];
	char user[64]; /* who the server runs as */
	_Atomic uint64_t written;
	_Atomic uint64_t lost; /* by a failed write */
};

/* ---- a reader core's side ------------------------------------------------ */

/* A place for `bytes` (a multiple of 8) at the head; NULL: full. */
static uint8_t *
ring_reserve(struct audit_port *port, uint32_t bytes, uint64_t *next)
{
	uint64_t head = atomic_load_explicit(&port->head, memory_order_relaxed);
	/* Pairs with the release in take_event(). */
	const uint64_t tail =
		atomic_load_explicit(&port->tail, memory_order_acquire);
	const uint64_t at = head % AUDIT_RING_BYTES;
	const uint64_t skip =
		at + bytes > AUDIT_RING_BYTES ? AUDIT_RING_BYTES - at : 0;

	if (head + skip + bytes - tail > AUDIT_RING_BYTES)
		return NULL;
	if (skip > 0) {
		const uint32_t wrap = 0;

		memcpy(port->ring + at, &wrap, sizeof(wrap));
		head += skip;
	}
	*next = head + bytes;
	return port->ring + head % AUDIT_RING_BYTES;
}

static void
copy_slice(uint8_t **to, struct jute_slice from, uint32_t bytes)
{
	if (bytes > 0)
		memcpy(*to, from.data, bytes);
	*to += bytes;
}

static uint32_t
cut_bytes(struct jute_slice slice)
{
	if (slice.bytes <= 0)
		return 0;
	return (uint32_t)slice.bytes < AUDIT_TEXT_BYTES ? (uint32_t)slice.bytes
							: AUDIT_TEXT_BYTES;
}

static void
take_parts(void *arg, const struct audit_parts *parts)
{
	struct audit_port *port = arg;
	struct audit_event event = parts->event;
	char user[AUDIT_TEXT_BYTES];
	uint64_t next;

	event.path_bytes = cut_bytes(parts->path);
	event.acl_bytes = cut_bytes(parts->acl);
	event.user_bytes =
		parts->ids == NULL
			? 0
			: audit_user_text(parts->ids, user, sizeof(user));
	event.bytes = ((uint32_t)sizeof(event) + event.path_bytes +
		       event.user_bytes + event.acl_bytes + 7u) &
		      ~7u;

	uint8_t *to = ring_reserve(port, event.bytes, &next);

	if (to == NULL) {
		hist_word_add(&port->dropped, 1);
		return;
	}
	memcpy(to, &event, sizeof(event));
	to += sizeof(event);
	copy_slice(&to, parts->path, event.path_bytes);
	copy_slice(&to, jute_slice_of((const uint8_t *)user, event.user_bytes),
		   event.user_bytes);
	copy_slice(&to, parts->acl, event.acl_bytes);
	/* Pairs with the acquire in take_event(). */
	atomic_store_explicit(&port->head, next, memory_order_release);
}

void
audit_note_update(void *arg, const struct reader_update *update)
{
	struct audit_port *port = arg;

	audit_events_of(update, take_parts, port);

	/* Usually the control thread looks in time by itself. */
	if (atomic_load_explicit(&port->head, memory_order_relaxed) -
		    atomic_load_explicit(&port->tail, memory_order_relaxed) >
	    AUDIT_RING_BYTES / 4)
		lcore_doorbell(&port->audit->server->ctl_lcore);
}

/* ---- lines --------------------------------------------------------------- */

static void
follow_name(struct audit *audit)
{
	const uint64_t now_ns = clock_now_ns();

	/* One that could not be opened has stopped the start. */
	if (audit->file.fd < 0 || now_ns - audit->checked_ns < REOPEN_NS)
		return;
	audit->checked_ns = now_ns;
	if (append_file_follow_name(&audit->file) != FAL_OK)
		LOG_WARN("audit: cannot open %s again: %s; lines go on into "
			 "the file that was renamed. Check the folder",
			 audit->path, strerror(errno));
}

/* log4j's ISO8601, which is what zookeeper_audit.log has. */
static void
put_time(FILE *out, int64_t wall_ms)
{
	const time_t seconds = (time_t)(wall_ms / 1000);
	char text[32] = "";
	struct tm tm;

	if (localtime_r(&seconds, &tm) != NULL)
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	fprintf(out, "%s,%03d ", text, (int)(wall_ms % 1000));
}

static void
put_head(FILE *out, int64_t wall_ms, bool is_success)
{
	put_time(out, wall_ms);
	fprintf(out,
		"%s audit.Slf4jAuditLogger: ", is_success ? "INFO" : "ERROR");
}

static void
write_text(struct audit *audit, const char *text, size_t bytes, uint64_t lines)
{
	if (append_file_write(&audit->file, text, bytes) == FAL_OK) {
		hist_word_add(&audit->written, lines);
		return;
	}
	hist_word_add(&audit->lost, lines);
	LOG_ERROR("audit: writing %s failed: %s; lines are lost until it can "
		  "be written. Make room, or turn audit.enable off",
		  audit->path, strerror(errno));
}

/* ---- the control thread's side ------------------------------------------- */

static bool
take_event(struct audit_port *port, FILE *out)
{
	uint64_t tail = atomic_load_explicit(&port->tail, memory_order_relaxed);
	/* Pairs with the release in take_parts(). */
	const uint64_t head =
		atomic_load_explicit(&port->head, memory_order_acquire);
	struct audit_event event;

	if (tail == head)
		return false;

	const uint8_t *at = port->ring + tail % AUDIT_RING_BYTES;

	memcpy(&event.bytes, at, sizeof(event.bytes));
	if (event.bytes == 0) { /* a wrap */
		tail += AUDIT_RING_BYTES - tail % AUDIT_RING_BYTES;
		at = port->ring;
	}
	memcpy(&event, at, sizeof(event));
	put_head(out, event.wall_ms, event.is_success);
	audit_put_line(out, &event, (const char *)at + sizeof(event),
		       port->audit->user);
	fputc('\n', out);
	/* Pairs with the acquire in ring_reserve(). */
	atomic_store_explicit(&port->tail, tail + event.bytes,
			      memory_order_release);
	return true;
}

bool
audit_drain(struct audit *audit)
{
	char *text = NULL;
	size_t bytes = 0;
	uint64_t lines = 0;

	if (audit == NULL)
		return false;
	follow_name(audit);

	FILE *out = open_memstream(&text, &bytes);

	if (out == NULL)
		return false;
	for (uint32_t i = 0; i < audit->port_count; i++)
		while (lines < DRAIN_EVENTS && take_event(&audit->port[i], out))
			lines++;
	if (fclose(out) == 0 && lines > 0)
		write_text(audit, text, bytes, lines);
	free(text);
	return lines > 0;
}

void
audit_note_server(struct audit *audit, const char *operation,
		  const char *result)
{
	char *text = NULL;
	size_t bytes = 0;

	if (audit == NULL)
		return;

	FILE *out = open_memstream(&text, &bytes);

	if (out == NULL)
		return;
	put_head(out, clock_wall_ms(), true);
	fprintf(out, "user=%s\toperation=%s\tresult=%s\n", audit->user,
		operation, result);
	if (fclose(out) == 0)
		write_text(audit, text, bytes, 1);
	free(text);
}

struct audit_port *
audit_port(struct audit *audit, uint32_t core)
{
	return audit == NULL || core >= audit->port_count ? NULL
							  : &audit->port[core];
}

uint64_t
audit_written(const struct audit *audit)
{
	return audit == NULL ? 0
			     : atomic_load_explicit(&audit->written,
						    memory_order_relaxed);
}

uint64_t
audit_dropped(const struct audit *audit)
{
	uint64_t sum = 0;

	if (audit == NULL)
		return 0;
	for (uint32_t i = 0; i < audit->port_count; i++)
		sum += atomic_load_explicit(&audit->port[i].dropped,
					    memory_order_relaxed);
	return sum + atomic_load_explicit(&audit->lost, memory_order_relaxed);
}

static int
make_ports(struct audit *audit)
{
	const uint32_t count = audit->server->reader_count;

	audit->port = aligned_alloc(FAL_CACHE_LINE_BYTES,
				    count * sizeof(*audit->port));
	if (audit->port == NULL)
		return FAL_ENOMEM;
	memset(audit->port, 0, count * sizeof(*audit->port));
	audit->port_count = count;
	for (uint32_t i = 0; i < count; i++) {
		audit->port[i].audit = audit;
		audit->port[i].index = i;
		audit->port[i].ring = malloc(AUDIT_RING_BYTES);
		if (audit->port[i].ring == NULL)
			return FAL_ENOMEM;
	}
	return FAL_OK;
}

static void
set_path(struct audit *audit)
{
	const struct config *config = audit->server->config;

	if (config->audit_file != NULL)
		snprintf(audit->path, sizeof(audit->path), "%s",
			 config->audit_file);
	else
		snprintf(audit->path, sizeof(audit->path),
			 "%s/zookeeper_audit.log", config->data_log_dir);
}

int
audit_create(struct server *server, struct audit **out,
	     struct server_error *error)
{
	const struct passwd *user = getpwuid(geteuid());
	struct audit *audit;

	*out = NULL;
	if (!server->config->audit_enabled)
		return FAL_OK;
	audit = calloc(1, sizeof(*audit));
	if (audit == NULL)
		return FAL_ENOMEM;
	audit->server = server;
	audit->file.fd = -1;
	set_path(audit);
	snprintf(audit->user, sizeof(audit->user), "%s",
		 user == NULL ? "?" : user->pw_name);
	*out = audit;
	if (make_ports(audit) != FAL_OK)
		return FAL_ENOMEM;
	if (append_file_open(&audit->file, audit->path) == FAL_OK)
		return FAL_OK;
	snprintf(error->text, sizeof(error->text),
		 "audit.enable=true: cannot write %s: %s; make the folder, or "
		 "choose another file with falconer.audit.file",
		 audit->path, strerror(errno));
	return FAL_EIO;
}

void
audit_destroy(struct audit *audit)
{
	if (audit == NULL)
		return;
	for (uint32_t i = 0; i < audit->port_count; i++)
		free(audit->port[i].ring);
	free(audit->port);
	append_file_close(&audit->file);
	free(audit);
}
