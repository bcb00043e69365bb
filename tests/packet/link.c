/* SPDX-License-Identifier: Apache-2.0 */
/* link - see link.h. What is on the way is a heap ordered by arrival. */

#include "link.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/tcp_int.h"

struct link_frame {
	uint64_t arrives_ns, serial;
	uint32_t bytes;
	uint8_t data[];
};

struct link_way {
	struct link_frame **heap;
	uint32_t count, room;
	uint64_t busy_until_ns;
};

struct link {
	struct link_spec spec;
	struct link_counters counters;
	uint64_t random, serial;
	struct link_way ways[2]; /* towards end 0 and end 1 */
};

static uint64_t
link_random(struct link *link)
{
	uint64_t z = link->random += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static bool
link_chance(struct link *link, uint32_t thousandths, uint64_t *counter)
{
	if (thousandths == 0 || link_random(link) % 1000 >= thousandths)
		return false;
	(*counter)++;
	return true;
}

struct link *
link_create(const struct link_spec *spec, uint64_t seed)
{
	struct link *link = calloc(1, sizeof(*link));

	FAL_ASSERT(link != NULL);
	FAL_ASSERT(spec->rate_mbit > 0);
	link->spec = *spec;
	link->random = seed;
	return link;
}

void
link_change(struct link *link, const struct link_spec *spec, uint64_t seed)
{
	FAL_ASSERT(spec->rate_mbit > 0);
	link->spec = *spec;
	if (seed != 0)
		link->random = seed;
}

static bool
link_is_before(const struct link_frame *a, const struct link_frame *b)
{
	return a->arrives_ns < b->arrives_ns ||
	       (a->arrives_ns == b->arrives_ns && a->serial < b->serial);
}

static void
link_push(struct link_way *way, struct link_frame *frame)
{
	uint32_t at = way->count++;

	if (way->count > way->room) {
		way->room = way->room == 0 ? 256 : 2 * way->room;
		way->heap =
			realloc(way->heap, way->room * sizeof(way->heap[0]));
		FAL_ASSERT(way->heap != NULL);
	}
	for (; at > 0 && link_is_before(frame, way->heap[(at - 1) / 2]);
	     at = (at - 1) / 2)
		way->heap[at] = way->heap[(at - 1) / 2];
	way->heap[at] = frame;
}

static struct link_frame *
link_pop(struct link_way *way)
{
	struct link_frame *first = way->heap[0];
	struct link_frame *last = way->heap[--way->count];
	uint32_t at = 0;

	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child >= way->count)
			break;
		if (child + 1 < way->count &&
		    link_is_before(way->heap[child + 1], way->heap[child]))
			child++;
		if (!link_is_before(way->heap[child], last))
			break;
		way->heap[at] = way->heap[child];
		at = child;
	}
	if (way->count > 0)
		way->heap[at] = last;
	return first;
}

void
link_destroy(struct link *link)
{
	for (uint32_t i = 0; i < 2; i++) {
		while (link->ways[i].count > 0)
			free(link_pop(&link->ways[i]));
		free(link->ways[i].heap);
	}
	free(link);
}

static void
link_carry(struct link *link, struct link_way *way, const uint8_t *data,
	   uint32_t bytes, uint64_t arrives_ns)
{
	struct link_frame *frame = malloc(sizeof(*frame) + bytes);
	uint64_t bit;

	FAL_ASSERT(frame != NULL);
	frame->arrives_ns = arrives_ns;
	frame->serial = link->serial++;
	frame->bytes = bytes;
	memcpy(frame->data, data, bytes);
	/* ARP has no checksum but Ethernet's, which a real wire would check. */
	if (bytes > 34 && be_load16(data + 12) != 0x0806 &&
	    link_chance(link, link->spec.corruption,
			&link->counters.corrupted)) {
		bit = 14 * 8 + link_random(link) % ((bytes - 14) * 8ull);
		frame->data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	if (link_chance(link, link->spec.reorder, &link->counters.reordered))
		frame->arrives_ns += link->spec.reorder_us * NS_PER_US;
	link_push(way, frame);
}

/* RFC 792 and RFC 4443 3.2: the packet's beginning goes back to its sender. */
static void
link_too_big(struct link *link, unsigned to, const uint8_t *frame,
	     uint64_t now_ns)
{
	bool is_ipv4 = frame[14] >> 4 == 4;
	uint32_t header = is_ipv4 ? 20 : 40, quote = is_ipv4 ? 28 : 1000;
	uint8_t back[14 + 40 + 8 + 1000] = {0};
	uint8_t *ip = back + 14, *icmp = ip + header;
	struct tcp_address from, whom;

	link->counters.too_big++;
	memcpy(back, frame + 6, 6);
	memcpy(back + 6, frame, 6);
	memcpy(back + 12, frame + 12, 2);
	memcpy(icmp + 8, frame + 14, quote);
	if (is_ipv4) {
		icmp[0] = 3;
		icmp[1] = 4;
		be_store16(icmp + 6, (uint16_t)link->spec.path_mtu);
		be_store16(icmp + 2, ip_fold(ip_sum(0, icmp, 8 + quote)));
		ip[0] = 0x45;
		be_store16(ip + 2, (uint16_t)(header + 8 + quote));
		ip[8] = 64;
		ip[9] = 1;
		memcpy(ip + 12, frame + 14 + 16, 4);
		ip[15] = 254;
		memcpy(ip + 16, frame + 14 + 12, 4);
		be_store16(ip + 10, ip_fold(ip_sum(0, ip, 20)));
	} else {
		ip[0] = 0x60;
		be_store16(ip + 4, (uint16_t)(8 + quote));
		ip[6] = 58;
		ip[7] = 64;
		memcpy(ip + 8, frame + 14 + 24, 16);
		ip[23] = 254;
		memcpy(ip + 24, frame + 14 + 8, 16);
		from = tcp_address_ipv6(ip + 8);
		whom = tcp_address_ipv6(ip + 24);
		icmp[0] = 2;
		be_store32(icmp + 4, link->spec.path_mtu);
		be_store16(icmp + 2,
			   ip_checksum(&from, &whom, 58, icmp, 8 + quote));
	}
	link_carry(link, &link->ways[to], back, 14 + header + 8 + quote,
		   now_ns + link->spec.delay_us * NS_PER_US);
}

void
link_put(struct link *link, unsigned from, const uint8_t *frame, uint32_t bytes,
	 uint64_t now_ns)
{
	const struct link_spec *spec = &link->spec;
	struct link_way *way = &link->ways[1 - from];
	uint64_t wire_ns = (bytes + 24) * 8000ull / spec->rate_mbit;
	uint64_t start_ns = way->busy_until_ns;

	link->counters.frames++;
	if (spec->path_mtu != 0 && bytes > 14 + spec->path_mtu) {
		link_too_big(link, from, frame, now_ns);
		return;
	}
	if (link_chance(link, spec->loss, &link->counters.lost))
		return;
	if (start_ns < now_ns)
		start_ns = now_ns;
	if ((start_ns - now_ns) * spec->rate_mbit / 8000 > spec->queue_bytes) {
		link->counters.queue_full++;
		return;
	}
	way->busy_until_ns = start_ns + wire_ns;
	start_ns += wire_ns + spec->delay_us * NS_PER_US;
	link_carry(link, way, frame, bytes, start_ns);
	if (link_chance(link, spec->duplication, &link->counters.duplicated))
		link_carry(link, way, frame, bytes, start_ns);
}

uint32_t
link_get(struct link *link, unsigned to, uint8_t *data, uint64_t now_ns)
{
	struct link_way *way = &link->ways[to];
	struct link_frame *frame;
	uint32_t bytes;

	if (way->count == 0 || way->heap[0]->arrives_ns > now_ns)
		return 0;
	frame = link_pop(way);
	bytes = frame->bytes;
	memcpy(data, frame->data, bytes);
	free(frame);
	return bytes;
}

uint64_t
link_next_ns(const struct link *link)
{
	uint64_t next_ns = UINT64_MAX;

	for (uint32_t i = 0; i < 2; i++) {
		const struct link_way *way = &link->ways[i];

		if (way->count > 0 && way->heap[0]->arrives_ns < next_ns)
			next_ns = way->heap[0]->arrives_ns;
	}
	return next_ns;
}

const struct link_counters *
link_counters(const struct link *link)
{
	return &link->counters;
}
