/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_limits - host -> count by linear probing in a table twice as large as
 * the number of connections. A host without connections has no entry: leaving
 * shifts the entries behind it back (Knuth 6.4, algorithm R), so there are no
 * tombstones and a look-up ends at the first hole.
 */
#include "drivers/stream_limits.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/hash.h"

#define CAPACITY_MAX (1u << 22)

struct entry {
	struct stream_address host; /* port 0 */
	uint32_t count;             /* 0: the place is free */
};

struct stream_limits {
	pthread_mutex_t lock; /* guards all below */
	struct hash_key key;
	uint32_t total_max;    /* 0: none */
	uint32_t per_host_max; /* 0: none */
	uint32_t total;        /* sum of all counts, <= capacity */
	uint32_t capacity;
	uint32_t mask; /* entries - 1 */
	struct entry *entries;
};

static struct stream_address
host_of(const struct stream_address *address)
{
	struct stream_address host = *address;

	host.port = 0;
	return host;
}

static uint32_t
home_of(const struct stream_limits *limits, const struct stream_address *host)
{
	return (uint32_t)hash_bytes(&limits->key, host, sizeof(*host)) &
	       limits->mask;
}

/* The place of the host, or the free one where it would be put. */
static uint32_t
place_of(const struct stream_limits *limits, const struct stream_address *host)
{
	uint32_t place = home_of(limits, host);

	while (limits->entries[place].count != 0 &&
	       memcmp(&limits->entries[place].host, host, sizeof(*host)) != 0)
		place = (place + 1) & limits->mask;
	return place;
}

/* Makes `hole` free and closes the gap. */
static void
entry_remove(struct stream_limits *limits, uint32_t hole)
{
	uint32_t place = hole;

	for (;;) {
		place = (place + 1) & limits->mask;
		if (limits->entries[place].count == 0)
			break;

		const uint32_t home =
			home_of(limits, &limits->entries[place].host);

		/* Only an entry whose home is not behind the hole may fill it;
		 * distances are taken around the table. */
		if (((place - home) & limits->mask) <
		    ((place - hole) & limits->mask))
			continue;
		limits->entries[hole] = limits->entries[place];
		hole = place;
	}
	limits->entries[hole].count = 0;
}

int
stream_limits_create(uint32_t capacity, uint32_t total, uint32_t per_host,
		     struct stream_limits **out)
{
	struct stream_limits *limits;

	if (capacity == 0 || capacity > CAPACITY_MAX)
		return FAL_EINVAL;
	limits = calloc(1, sizeof(*limits));
	if (limits == NULL)
		return FAL_ENOMEM;

	const uint32_t places = (uint32_t)bits_pow2_at_least(2 * capacity);

	limits->entries = calloc(places, sizeof(*limits->entries));
	if (limits->entries == NULL) {
		free(limits);
		return FAL_ENOMEM;
	}
	pthread_mutex_init(&limits->lock, NULL);
	hash_key_random(&limits->key);
	limits->capacity = capacity;
	limits->mask = places - 1;
	limits->total_max = total;
	limits->per_host_max = per_host;
	*out = limits;
	return 0;
}

void
stream_limits_destroy(struct stream_limits *limits)
{
	FAL_ASSERT(limits->total == 0);
	pthread_mutex_destroy(&limits->lock);
	free(limits->entries);
	free(limits);
}

void
stream_limits_set(struct stream_limits *limits, uint32_t total,
		  uint32_t per_host)
{
	pthread_mutex_lock(&limits->lock);
	limits->total_max = total;
	limits->per_host_max = per_host;
	pthread_mutex_unlock(&limits->lock);
}

enum stream_verdict
stream_limits_enter(struct stream_limits *limits,
		    const struct stream_address *address)
{
	const struct stream_address host = host_of(address);
	enum stream_verdict verdict = STREAM_ADMITTED;

	pthread_mutex_lock(&limits->lock);

	struct entry *entry = &limits->entries[place_of(limits, &host)];

	if (limits->total >= limits->capacity ||
	    (limits->total_max != 0 && limits->total >= limits->total_max)) {
		verdict = STREAM_OVER_TOTAL;
	} else if (limits->per_host_max != 0 &&
		   entry->count >= limits->per_host_max) {
		verdict = STREAM_OVER_HOST;
	} else {
		entry->host = host;
		entry->count++;
		limits->total++;
	}
	pthread_mutex_unlock(&limits->lock);
	return verdict;
}

void
stream_limits_leave(struct stream_limits *limits,
		    const struct stream_address *address)
{
	const struct stream_address host = host_of(address);

	pthread_mutex_lock(&limits->lock);

	const uint32_t place = place_of(limits, &host);

	FAL_ASSERT(limits->entries[place].count > 0);
	FAL_ASSERT(limits->total > 0);
	limits->total--;
	limits->entries[place].count--;
	if (limits->entries[place].count == 0)
		entry_remove(limits, place);
	pthread_mutex_unlock(&limits->lock);
}

uint32_t
stream_limits_count(struct stream_limits *limits,
		    const struct stream_address *address)
{
	uint32_t count;

	pthread_mutex_lock(&limits->lock);
	if (address == NULL) {
		count = limits->total;
	} else {
		const struct stream_address host = host_of(address);

		count = limits->entries[place_of(limits, &host)].count;
	}
	pthread_mutex_unlock(&limits->lock);
	return count;
}
