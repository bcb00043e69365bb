/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_capture - see port_capture.h.
 *
 * A core's ring is an array of bytes with two counters that only grow: the core
 * writes whole records and then moves `head`, the control thread reads up to it
 * and then moves `tail`. A record that would lie across the end of the array
 * begins anew at its start; the rest is skipped by a record of kind "wrap".
 */
#include "drivers/port_capture.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_mbuf.h>

#include "base/be.h"
#include "base/time.h"
#include "drivers/stream_address.h"

#define SNAP_MAX 9018u

/* In front of the kept bytes; a multiple of 16, and so are records. */
struct record {
	uint64_t time_ns; /* since 1970; 0: nothing more before the end */
	uint32_t kept;
	uint32_t bytes;
};

struct capture_ring {
	_Alignas(FAL_CACHE_LINE_BYTES) _Atomic uint64_t head;
	_Atomic uint64_t lost;
	_Alignas(FAL_CACHE_LINE_BYTES) _Atomic uint64_t tail;
	_Alignas(16) uint8_t bytes[PORT_CAPTURE_RING];
};

struct port_capture {
	FILE *out;
	uint32_t core_count;
	uint32_t snap;
	uint16_t port; /* 0: any */
	uint32_t host; /* 0: any */
	bool is_arp;
	uint64_t written;
	struct capture_ring *ring[PORT_CAPTURE_CORES];
};

/* ---- the filter ---- */

static bool
filter_word(struct port_capture *capture, const char *word)
{
	struct stream_address address;
	char *end;
	unsigned long number;

	if (strcmp(word, "arp") == 0) {
		capture->is_arp = true;
		return true;
	}
	if (strncmp(word, "host=", 5) == 0) {
		if (stream_address_parse(word + 5, 0, &address) != 0 ||
		    address.family != STREAM_IPV4)
			return false;
		capture->host = be_load32(address.ip);
		return true;
	}
	if (strncmp(word, "port=", 5) != 0 && strncmp(word, "snap=", 5) != 0)
		return false;
	number = strtoul(word + 5, &end, 10);
	if (word[5] < '0' || word[5] > '9' || *end != '\0' || number == 0)
		return false;
	if (word[0] == 'p')
		capture->port = (uint16_t)number;
	else
		capture->snap = (uint32_t)number;
	return number <= (word[0] == 'p' ? 65535u : SNAP_MAX);
}

static bool
filter_read(struct port_capture *capture, const char *filter)
{
	while (filter != NULL && *filter != '\0') {
		const size_t bytes = strcspn(filter, " ");
		char word[64];

		snprintf(word, sizeof(word), "%.*s", (int)bytes, filter);
		if (bytes >= sizeof(word) ||
		    (bytes > 0 && !filter_word(capture, word)))
			return false;
		filter += bytes;
		filter += strspn(filter, " ");
	}
	return true;
}

/* Whether a frame passes. Headers are read as far as they are there. */
static bool
filter_passes(const struct port_capture *capture, const uint8_t *frame,
	      uint32_t bytes)
{
	uint32_t at = 14, type, header = 40;
	bool is_tcp;

	if (capture->port == 0 && capture->host == 0 && !capture->is_arp)
		return true;
	if (bytes < 14)
		return false;
	type = be_load16(frame + 12);
	if (type == 0x8100 && bytes >= 18) {
		type = be_load16(frame + 16);
		at = 18;
	}
	if (capture->is_arp)
		return type == 0x0806;
	if (type != 0x0800 && (type != 0x86dd || capture->host != 0))
		return false;
	if (bytes < at + (type == 0x0800 ? 20u : 40u))
		return false;
	is_tcp = frame[at + (type == 0x0800 ? 9 : 6)] == 6;
	if (type == 0x0800) {
		header = (uint32_t)(frame[at] & 15) * 4;
		if (capture->host != 0 &&
		    be_load32(frame + at + 12) != capture->host &&
		    be_load32(frame + at + 16) != capture->host)
			return false;
	}
	if (capture->port == 0)
		return true;
	return is_tcp && bytes >= at + header + 4 &&
	       (be_load16(frame + at + header) == capture->port ||
		be_load16(frame + at + header + 2) == capture->port);
}

/* ---- a core notes ---- */

static uint64_t
record_bytes(uint32_t kept)
{
	return sizeof(struct record) + ((kept + 15u) & ~15u);
}

static uint64_t
wall_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/* Where a record of this size goes; NULL: there is no room. *head is moved
 * over what is skipped. */
static uint8_t *
ring_place(struct capture_ring *ring, uint64_t *head, uint64_t size)
{
	const uint64_t tail =
		atomic_load_explicit(&ring->tail, memory_order_acquire);
	const uint64_t at = *head % PORT_CAPTURE_RING;
	const uint64_t left = PORT_CAPTURE_RING - at;
	const uint64_t skipped = left < size ? left : 0;

	if (*head + skipped + size - tail > PORT_CAPTURE_RING)
		return NULL;
	if (skipped > 0)
		memset(ring->bytes + at, 0, sizeof(struct record));
	*head += skipped;
	return ring->bytes + *head % PORT_CAPTURE_RING;
}

static void
note(struct port_capture *capture, struct capture_ring *ring, uint64_t now_ns,
     const struct rte_mbuf *frame)
{
	const uint8_t *from = rte_pktmbuf_mtod(frame, const uint8_t *);
	struct record record = {.time_ns = now_ns,
				.kept = frame->data_len,
				.bytes = frame->pkt_len};
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	uint8_t *to;

	if (!filter_passes(capture, from, frame->data_len))
		return;
	if (record.kept > capture->snap)
		record.kept = capture->snap;
	to = ring_place(ring, &head, record_bytes(record.kept));
	if (to == NULL) {
		atomic_store_explicit(
			&ring->lost,
			atomic_load_explicit(&ring->lost,
					     memory_order_relaxed) +
				1,
			memory_order_relaxed);
		return;
	}
	memcpy(to, &record, sizeof(record));
	memcpy(to + sizeof(record), from, record.kept);
	/* Pairs with the acquire in drain_ring(). */
	atomic_store_explicit(&ring->head, head + record_bytes(record.kept),
			      memory_order_release);
}

void
port_capture_frames(struct port_capture *capture, uint32_t core,
		    struct rte_mbuf *const *frames, uint32_t count)
{
	const uint64_t now_ns = wall_ns();

	FAL_ASSERT(core < capture->core_count);
	for (uint32_t i = 0; i < count; i++)
		note(capture, capture->ring[core], now_ns, frames[i]);
}

/* ---- the control thread writes ---- */

static bool
write_words(FILE *out, const uint32_t *words, size_t count)
{
	return fwrite(words, sizeof(*words), count, out) == count;
}

static int
drain_ring(struct port_capture *capture, struct capture_ring *ring)
{
	const uint64_t head =
		atomic_load_explicit(&ring->head, memory_order_acquire);
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	bool is_good = true;

	while (tail != head && is_good) {
		const uint64_t at = tail % PORT_CAPTURE_RING;
		struct record record;

		memcpy(&record, ring->bytes + at, sizeof(record));
		if (record.time_ns == 0) {
			tail += PORT_CAPTURE_RING - at;
			continue;
		}

		const uint32_t words[4] = {
			(uint32_t)(record.time_ns / NS_PER_SECOND),
			(uint32_t)(record.time_ns % NS_PER_SECOND), record.kept,
			record.bytes};

		is_good = write_words(capture->out, words, 4) &&
			  fwrite(ring->bytes + at + sizeof(record), 1,
				 record.kept, capture->out) == record.kept;
		capture->written++;
		tail += record_bytes(record.kept);
	}
	/* Pairs with the acquire in ring_place(). */
	atomic_store_explicit(&ring->tail, tail, memory_order_release);
	return is_good ? 0 : FAL_EIO;
}

int
port_capture_drain(struct port_capture *capture)
{
	int err = 0;

	for (uint32_t i = 0; i < capture->core_count && err == 0; i++)
		err = drain_ring(capture, capture->ring[i]);
	if (fflush(capture->out) != 0)
		err = FAL_EIO;
	return err;
}

void
port_capture_counts(const struct port_capture *capture, uint64_t *written,
		    uint64_t *lost)
{
	*written = capture->written;
	*lost = 0;
	for (uint32_t i = 0; i < capture->core_count; i++)
		*lost += atomic_load_explicit(&capture->ring[i]->lost,
					      memory_order_relaxed);
}

static void
capture_free(struct port_capture *capture)
{
	for (uint32_t i = 0; i < PORT_CAPTURE_CORES; i++)
		free(capture->ring[i]);
	if (capture->out != NULL)
		fclose(capture->out);
	free(capture);
}

static bool
open_file(struct port_capture *capture, const char *path)
{
	const uint32_t head[6] = {0xa1b23c4d, 4u << 16 | 2, 0, 0, 0, 1};
	uint32_t words[6];

	memcpy(words, head, sizeof(words));
	words[4] = capture->snap;
	capture->out = fopen(path, "we");
	return capture->out != NULL && write_words(capture->out, words, 6);
}

int
port_capture_start(const char *path, const char *filter, uint32_t core_count,
		   struct port_capture **out)
{
	struct port_capture *capture = calloc(1, sizeof(*capture));
	int err = FAL_ENOMEM;

	FAL_ASSERT(core_count >= 1 && core_count <= PORT_CAPTURE_CORES);
	if (capture == NULL)
		return err;
	capture->snap = PORT_CAPTURE_SNAP;
	capture->core_count = core_count;
	for (uint32_t i = 0; i < core_count; i++) {
		capture->ring[i] = aligned_alloc(FAL_CACHE_LINE_BYTES,
						 sizeof(*capture->ring[i]));
		if (capture->ring[i] == NULL)
			goto fail;
		memset(capture->ring[i], 0, sizeof(*capture->ring[i]));
	}
	err = FAL_EINVAL;
	if (!filter_read(capture, filter))
		goto fail;
	err = FAL_EIO;
	if (!open_file(capture, path))
		goto fail;
	*out = capture;
	return 0;
fail:
	capture_free(capture);
	return err;
}

void
port_capture_stop(struct port_capture *capture)
{
	if (port_capture_drain(capture) != 0)
		fprintf(stderr, "the end of a capture could not be written\n");
	capture_free(capture);
}
