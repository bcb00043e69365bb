/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_UNIT_DATAPLANE_LONG_RIG_H
#define FALCONER_TESTS_UNIT_DATAPLANE_LONG_RIG_H

/*
 * long_rig - requests that take many rounds, and a look at each round.
 */

#include "one_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "znode/watch.h"

/* The shares of a round: see listing.c, rewatch.c, events.c. */
#define NAMES_MAX   256u
#define REWATCH_MAX 64u
#define DROP_MAX    256u

/* A name of these tests with its length word, and a reply's header. */
#define NAME_BYTES (4u + 7u)
#define HEAD_BYTES 64u

static inline void
one_reader_round(void)
{
	reader_poll(rig.reader, rig.now_ms * NS_PER_MS, (int64_t)rig.now_ms);
}

static inline uint32_t
out_bytes(const struct rig_client *client)
{
	return rig.streams->stream[client->stream].out_bytes;
}

static inline uint64_t
watchers(void)
{
	struct watch_counts counts;

	watch_counts(reader_watches(rig.reader), &counts);
	return counts.watchers;
}

static inline void
create(struct rig_client *client, const char *path)
{
	const int32_t xid = rig_create(client, path, "", 0);

	rig_run(&rig);
	rig_expect(client, xid, ZK_OK);
}

/* /d with children c000000, c000001, ... */
static inline void
make_large_directory(struct rig_client *client, uint32_t count)
{
	char path[32];

	create(client, "/d");
	for (uint32_t i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "/d/c%06u", i);
		create(client, path);
	}
}

/* Each c%06u with a number below count is there, once. */
static inline void
expect_names(struct jute_reader *body, uint32_t count)
{
	bool *seen = calloc(count, sizeof(*seen));

	assert_int_equal(jute_get_int(body), (int32_t)count);
	for (uint32_t i = 0; i < count; i++) {
		const struct jute_slice name = jute_get_slice(body);
		char text[8] = {0};

		assert_int_equal(name.bytes, 7);
		memcpy(text, name.data, 7);
		const unsigned long at = strtoul(text + 1, NULL, 10);

		assert_true(at < count && !seen[at]);
		seen[at] = true;
	}
	free(seen);
}

#endif
