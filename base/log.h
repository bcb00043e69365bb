/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_BASE_LOG_H
#define FALCONER_BASE_LOG_H

/*
 * log - what the server tells its operator: one line per event on standard
 * error.
 *
 * There are two ways in, because a poll core must neither format text nor
 * call the kernel:
 *   - ordinary threads (start-up, control, background) use LOG_ERROR() to
 *     LOG_DEBUG(), which format and write at once;
 *   - poll cores use log_post(): an event number and two words go into a ring
 *     of the calling core, and the control thread turns them into lines in
 *     log_drain(). What a number means is said once, in log_event.def.
 *
 * A line is written by one write(2), so lines of several threads do not mix.
 * Text that came from outside cannot forge a line: control bytes are escaped.
 *
 * Context    LOG_*(): any thread that may block. log_post(): any thread; a
 *            poll core calls log_attach() once before. log_drain(): one
 *            thread at a time. log_setup(): before other threads exist.
 * Ownership  arguments are borrowed for the call.
 * Limits     a call site or an event writes LOG_BURST lines a second; the
 *            next line after that tells how many were left out. A full ring
 *            drops the event and counts it, see log_dropped(). A line is cut
 *            at LOG_TEXT_BYTES_MAX bytes of text.
 * Errors     a failed write to standard error is ignored: there is nobody
 *            left to tell.
 * Cost       log_post(): about 2 ns, no shared line written but the ring's.
 *            LOG_*(): a few microseconds and one system call; nothing but a
 *            compare when the level is off.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/fal.h"

enum log_level {
	LOG_LEVEL_ERROR, /* the server stops, or an answer would be wrong */
	LOG_LEVEL_WARN,  /* an operator should look */
	LOG_LEVEL_INFO,  /* state changes, a few per minute */
	LOG_LEVEL_DEBUG, /* anything more frequent */
};

enum log_format {
	LOG_FORMAT_TEXT, /* 2026-01-31T12:00:00.123Z warn  text */
	LOG_FORMAT_JSON, /* {"time":"...","level":"warn","text":"..."} */
};

/* One name per line of log_event.def. */
enum log_event {
#define LOG_EVENT(name, level, ...) name,
#include "base/log_event.def"
#undef LOG_EVENT
	LOG_EVENT_COUNT,
};

#define LOG_TEXT_BYTES_MAX 1024u /* of one line, before escaping */
#define LOG_BURST          20u   /* lines per call site or event and second */
#define LOG_RING_EVENTS    1024u /* per attached core */
#define LOG_RINGS_MAX      64u   /* cores that may be attached at a time */

/* How lines are written; all zero but `fd` is the state before setup. */
struct log_options {
	enum log_level level;   /* lines above it are left out */
	enum log_format format; /* for every line */
	int fd;                 /* where to; 2 before setup */
	uint64_t (*clock_ns)(
		void); /* wall clock since 1970; NULL: the kernel's */
};

/* A call site's share of its burst. Zero is a fresh one. */
struct log_site {
	_Atomic uint64_t second; /* the one that `count` is about */
	_Atomic uint64_t count;  /* lines asked for in it */
};

/* Replaces the options; before it, level INFO as text to standard error. */
void log_setup(const struct log_options *options);

/* Whether lines of this level are written at present. */
bool log_enabled(enum log_level level);

/*
 * Formats and writes one line.
 *
 * site  of the call, to limit its rate; NULL: no limit (start-up lists)
 */
void log_write(enum log_level level, struct log_site *site, const char *format,
	       ...) FAL_PRINTF(3, 4);

/*
 * Dates the lines of the calling thread, for who tells later what happened.
 *
 * wall_ns  since 1970, of the lines from now on; 0: each has its own time again
 */
void log_date(uint64_t wall_ns);

#define LOG_AT_(level, ...)                                          \
	do {                                                         \
		static struct log_site log_site_;                    \
		if (log_enabled(level))                              \
			log_write((level), &log_site_, __VA_ARGS__); \
	} while (0)
#define LOG_ERROR(...) LOG_AT_(LOG_LEVEL_ERROR, __VA_ARGS__)
#define LOG_WARN(...)  LOG_AT_(LOG_LEVEL_WARN, __VA_ARGS__)
#define LOG_INFO(...)  LOG_AT_(LOG_LEVEL_INFO, __VA_ARGS__)
#define LOG_DEBUG(...) LOG_AT_(LOG_LEVEL_DEBUG, __VA_ARGS__)

/*
 * Gives the calling thread a ring of its own for log_post().
 *
 * Returns 0; FAL_ELIMIT when LOG_RINGS_MAX threads have one; FAL_ENOMEM.
 */
FAL_MUST_CHECK int log_attach(void);

/* Gives the calling thread's ring back; what is in it is still drained. */
void log_detach(void);

/*
 * Notes that `event` happened. a, b: as the line of log_event.def says.
 * A thread without a ring writes the line at once.
 */
void log_post(enum log_event event, uint64_t a, uint64_t b);

/*
 * Text of an address for log_event.def: the 16 bytes of an IPv6 address as two
 * words in host order; ::ffff:a.b.c.d is shown as IPv4. Valid until the next
 * call of this thread.
 */
const char *log_ip(uint64_t high, uint64_t low);

/* Writes what poll cores have posted; returns how many events were taken,
 * LOG_RINGS_MAX * LOG_RING_EVENTS at most. */
uint32_t log_drain(void);

/* Events lost to full rings since start. Any thread. */
uint64_t log_dropped(void);

#endif
