/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log - lines of ordinary threads, and the rings of poll cores.
 *
 * A ring holds 24-byte records between one producer (the attached thread) and
 * one consumer (log_drain()). Own and not base/ring.h: that one carries
 * pointers, and a record here is three words that need no owner. Rings come
 * from a fixed table, and a slot is reused only after its thread has detached
 * and the ring ran empty, so the drain never looks at freed memory; the rings
 * themselves live to the end of the process.
 *
 * The rate limit counts lines per site and wall-clock second. Whoever moves
 * the second on learns how many were asked for in the one before and appends
 * what was left out. Two threads racing there may let a line too many through,
 * which does no harm.
 */
#include "base/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"
#include "base/utf8.h"

struct log_record {
	uint64_t event; /* enum log_event */
	uint64_t a, b;
};

enum ring_state {
	RING_FREE,     /* no thread, empty */
	RING_ATTACHED, /* a thread posts into it */
	RING_LEAVING,  /* its thread is gone, records may be left */
};

struct log_ring {
	/* Written by the producer. */
	_Alignas(FAL_CACHE_LINE_BYTES) _Atomic uint64_t tail;
	_Atomic uint64_t dropped;
	/* Written by the consumer. */
	_Alignas(FAL_CACHE_LINE_BYTES) _Atomic uint64_t head;
	struct log_record record[LOG_RING_EVENTS];
};

_Static_assert((LOG_RING_EVENTS & (LOG_RING_EVENTS - 1)) == 0,
	       "ring positions are taken modulo the size");

/* The state moves FREE -> ATTACHED (attach), -> LEAVING (detach), -> FREE
 * (drain); the pointer is set once, before the first ATTACHED. */
struct ring_slot {
	_Atomic(struct log_ring *) ring;
	_Atomic int state; /* enum ring_state */
};

static struct ring_slot ring_slots[LOG_RINGS_MAX];
static struct log_site event_site[LOG_EVENT_COUNT];
static _Thread_local struct ring_slot *own_slot;
static struct log_options options = {
	.level = LOG_LEVEL_INFO,
	.format = LOG_FORMAT_TEXT,
	.fd = STDERR_FILENO,
	.clock_ns = NULL,
};

static const char *const level_name[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

/* Room for a text in which every byte became six, and for what is around. */
#define LINE_BYTES_MAX (6 * LOG_TEXT_BYTES_MAX + 256)

struct line {
	char bytes[LINE_BYTES_MAX];
	size_t count;
};

static uint64_t
clock_now_ns(void)
{
	struct timespec now;

	if (options.clock_ns != NULL)
		return options.clock_ns();
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* log_date() of this thread. */
static _Thread_local uint64_t dated_ns;

static void line_add(struct line *line, const char *format, ...)
	FAL_PRINTF(2, 3);

static void
line_add(struct line *line, const char *format, ...)
{
	const size_t room = sizeof(line->bytes) - line->count;
	va_list args;

	va_start(args, format);
	const int wanted =
		vsnprintf(line->bytes + line->count, room, format, args);
	va_end(args);
	FAL_ASSERT(wanted >= 0 && (size_t)wanted < room);
	line->count += (size_t)wanted;
}

static void
line_add_time(struct line *line, uint64_t now_ns)
{
	const time_t seconds = (time_t)(now_ns / NS_PER_S);
	struct tm utc;

	gmtime_r(&seconds, &utc);
	line_add(line, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ",
		 utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour,
		 utc.tm_min, utc.tm_sec,
		 (unsigned)(now_ns % NS_PER_S / NS_PER_MS));
}

static void
line_add_text(struct line *line, const char *text, bool json)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t left = strlen(text);

	while (left > 0) {
		size_t bytes = 1;

		if (*at >= 0x80) {
			bytes = utf8_sequence_bytes(at, left);
			if (bytes == 0) {
				bytes = 1;
				line_add(line, json ? "\\ufffd" : "\\x%02x",
					 *at);
			} else {
				line_add(line, "%.*s", (int)bytes,
					 (const char *)at);
			}
		} else if (*at < 0x20 || *at == 0x7f) {
			line_add(line, json ? "\\u%04x" : "\\x%02x", *at);
		} else if (json && (*at == '"' || *at == '\\')) {
			line_add(line, "\\%c", *at);
		} else {
			line_add(line, "%c", *at);
		}
		at += bytes;
		left -= bytes;
	}
}

/* Writes one line; `muted` lines like it were left out before it. */
static void
line_write(enum log_level level, uint64_t now_ns, const char *text,
	   uint64_t muted)
{
	const bool json = options.format == LOG_FORMAT_JSON;
	struct line line;

	line.count = 0;
	line_add(&line, "%s", json ? "{\"time\":\"" : "");
	line_add_time(&line, now_ns);
	if (json)
		line_add(&line, "\",\"level\":\"%s\",\"text\":\"",
			 level_name[level]);
	else
		line_add(&line, " %-5s ", level_name[level]);
	line_add_text(&line, text, json);
	if (muted > 0)
		line_add(&line, " (%" PRIu64 " like it left out)", muted);
	line_add(&line, "%s\n", json ? "\"}" : "");

	const ssize_t written = write(options.fd, line.bytes, line.count);

	(void)written; /* nobody left to tell, see the header */
}

/* Whether the site may write now; *muted gets what it owes from before. */
static bool
site_admit(struct log_site *site, uint64_t now_ns, uint64_t *muted)
{
	const uint64_t second = now_ns / NS_PER_S;
	uint64_t seen =
		atomic_load_explicit(&site->second, memory_order_relaxed);

	*muted = 0;
	if (seen != second &&
	    atomic_compare_exchange_strong_explicit(
		    &site->second, &seen, second, memory_order_relaxed,
		    memory_order_relaxed)) {
		const uint64_t asked = atomic_exchange_explicit(
			&site->count, 1, memory_order_relaxed);

		*muted = asked > LOG_BURST ? asked - LOG_BURST : 0;
		return true;
	}
	return atomic_fetch_add_explicit(&site->count, 1,
					 memory_order_relaxed) < LOG_BURST;
}

void
log_setup(const struct log_options *to)
{
	FAL_ASSERT(to->level <= LOG_LEVEL_DEBUG);
	FAL_ASSERT(to->format <= LOG_FORMAT_JSON);
	options = *to;
}

bool
log_enabled(enum log_level level)
{
	return level <= options.level;
}

void
log_write(enum log_level level, struct log_site *site, const char *format, ...)
{
	char text[LOG_TEXT_BYTES_MAX + 1];
	uint64_t muted = 0;
	va_list args;

	FAL_ASSERT(level <= LOG_LEVEL_DEBUG);
	if (!log_enabled(level))
		return;
	const uint64_t now_ns = clock_now_ns();

	if (site != NULL && !site_admit(site, now_ns, &muted))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	line_write(level, dated_ns != 0 ? dated_ns : now_ns, text, muted);
}

void
log_date(uint64_t wall_ns)
{
	dated_ns = wall_ns;
}

int
log_attach(void)
{
	FAL_ASSERT(own_slot == NULL);
	for (uint32_t i = 0; i < LOG_RINGS_MAX; i++) {
		struct ring_slot *slot = &ring_slots[i];
		int state = RING_FREE;

		/* Acquire pairs with the release in log_drain(): the ring is
		 * empty for the new producer. */
		if (!atomic_compare_exchange_strong_explicit(
			    &slot->state, &state, RING_ATTACHED,
			    memory_order_acquire, memory_order_relaxed))
			continue;
		if (atomic_load_explicit(&slot->ring, memory_order_relaxed) ==
		    NULL) {
			struct log_ring *ring = aligned_alloc(
				FAL_CACHE_LINE_BYTES, sizeof(*ring));

			if (ring == NULL) {
				atomic_store_explicit(&slot->state, RING_FREE,
						      memory_order_release);
				return FAL_ENOMEM;
			}
			memset(ring, 0, sizeof(*ring));
			/* Pairs with the acquire in log_drain(). */
			atomic_store_explicit(&slot->ring, ring,
					      memory_order_release);
		}
		own_slot = slot;
		return FAL_OK;
	}
	return FAL_ELIMIT;
}

void
log_detach(void)
{
	FAL_ASSERT(own_slot != NULL);
	/* Pairs with the acquire in log_drain(). */
	atomic_store_explicit(&own_slot->state, RING_LEAVING,
			      memory_order_release);
	own_slot = NULL;
}

/* Turns an event into its line. */
static void
event_write(enum log_event event, uint64_t a, uint64_t b)
{
	switch (event) {
#define LOG_EVENT(name, level, ...)                               \
	case name:                                                \
		log_write(level, &event_site[name], __VA_ARGS__); \
		break;
#include "base/log_event.def"
#undef LOG_EVENT
	case LOG_EVENT_COUNT:
		fal_panic(__FILE__, __LINE__, "event out of range");
	}
}

void
log_post(enum log_event event, uint64_t a, uint64_t b)
{
	FAL_ASSERT(event < LOG_EVENT_COUNT);
	if (own_slot == NULL) {
		event_write(event, a, b);
		return;
	}
	struct log_ring *ring =
		atomic_load_explicit(&own_slot->ring, memory_order_relaxed);
	const uint64_t tail =
		atomic_load_explicit(&ring->tail, memory_order_relaxed);
	/* Pairs with the release in ring_drain(): the record is free again. */
	const uint64_t head =
		atomic_load_explicit(&ring->head, memory_order_acquire);

	if (tail - head == LOG_RING_EVENTS) {
		const uint64_t dropped = atomic_load_explicit(
			&ring->dropped, memory_order_relaxed);

		atomic_store_explicit(&ring->dropped, dropped + 1,
				      memory_order_relaxed);
		return;
	}
	ring->record[tail % LOG_RING_EVENTS] =
		(struct log_record){.event = event, .a = a, .b = b};
	/* Pairs with the acquire in ring_drain(). */
	atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
}

static uint32_t
ring_drain(struct log_ring *ring)
{
	const uint64_t head =
		atomic_load_explicit(&ring->head, memory_order_relaxed);
	/* Pairs with the release in log_post(). */
	const uint64_t tail =
		atomic_load_explicit(&ring->tail, memory_order_acquire);

	FAL_ASSERT(tail - head <= LOG_RING_EVENTS);
	for (uint64_t at = head; at != tail; at++) {
		const struct log_record record =
			ring->record[at % LOG_RING_EVENTS];

		event_write((enum log_event)record.event, record.a, record.b);
		/* Pairs with the acquire in log_post(). */
		atomic_store_explicit(&ring->head, at + 1,
				      memory_order_release);
	}
	return (uint32_t)(tail - head);
}

const char *
log_ip(uint64_t high, uint64_t low)
{
	static _Thread_local char text[8 * 5];

	if (high == 0 && low >> 32 == 0xffff)
		snprintf(text, sizeof(text), "%u.%u.%u.%u",
			 (unsigned)(low >> 24 & 0xff),
			 (unsigned)(low >> 16 & 0xff),
			 (unsigned)(low >> 8 & 0xff), (unsigned)(low & 0xff));
	else
		snprintf(text, sizeof(text), "%x:%x:%x:%x:%x:%x:%x:%x",
			 (unsigned)(high >> 48),
			 (unsigned)(high >> 32 & 0xffff),
			 (unsigned)(high >> 16 & 0xffff),
			 (unsigned)(high & 0xffff), (unsigned)(low >> 48),
			 (unsigned)(low >> 32 & 0xffff),
			 (unsigned)(low >> 16 & 0xffff),
			 (unsigned)(low & 0xffff));
	return text;
}

uint32_t
log_drain(void)
{
	uint32_t taken = 0;

	for (uint32_t i = 0; i < LOG_RINGS_MAX; i++) {
		struct ring_slot *slot = &ring_slots[i];
		/* Acquire pairs with the release in log_detach(): the last
		 * records of a leaving thread are seen below. */
		const int state = atomic_load_explicit(&slot->state,
						       memory_order_acquire);
		/* Pairs with the release in log_attach(). */
		struct log_ring *ring =
			atomic_load_explicit(&slot->ring, memory_order_acquire);

		if (state == RING_FREE || ring == NULL)
			continue;
		taken += ring_drain(ring);
		if (state == RING_LEAVING)
			/* Pairs with the acquire in log_attach(): the next
			 * owner goes on where this one stopped. */
			atomic_store_explicit(&slot->state, RING_FREE,
					      memory_order_release);
	}
	return taken;
}

uint64_t
log_dropped(void)
{
	uint64_t dropped = 0;

	for (uint32_t i = 0; i < LOG_RINGS_MAX; i++) {
		struct log_ring *ring = atomic_load_explicit(
			&ring_slots[i].ring, memory_order_acquire);

		if (ring != NULL)
			dropped += atomic_load_explicit(&ring->dropped,
							memory_order_relaxed);
	}
	return dropped;
}
