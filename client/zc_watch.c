/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zc_watch - which watches the server has for us.
 *
 * A watch is put into the table when the server has confirmed it, and leaves
 * it with its event; on a new connection all of the table is registered again,
 * with the newest zxid seen, so that the server tells what was missed.
 *
 * Callbacks may register and remove watches while an event is told. Those that
 * are due are therefore linked first, then called one by one; one that is
 * removed meanwhile is only marked.
 */
#include "client/zc_int.h"

#include <stdlib.h>
#include <string.h>

#define CHAINS_MIN 64u
/* A setWatches frame stays below this: servers take 1 MiB. */
#define AGAIN_BYTES_MAX (128u << 10)

static uint64_t
hash_of(const struct zc *zc, const void *path, size_t bytes)
{
	return hash_bytes(zc_loop_key(zc->loop), path, bytes);
}

struct zc_watcher *
zc_watcher_new(struct zc *zc, const char *path, enum zc_watch_kind kind,
	       const struct zc_watch *watch)
{
	size_t bytes = strlen(path);
	struct zc_watcher *watcher;

	if (bytes == 1 && zc->chroot_bytes > 0)
		bytes = 0;
	watcher = malloc(sizeof(*watcher) + zc->chroot_bytes + bytes);
	if (watcher == NULL)
		return NULL;
	*watcher = (struct zc_watcher){
		.fn = watch->fn,
		.arg = watch->arg,
		.kind = (uint8_t)kind,
		.bytes = (uint32_t)(zc->chroot_bytes + bytes),
	};
	memcpy(watcher->path, zc->chroot, zc->chroot_bytes);
	memcpy(watcher->path + zc->chroot_bytes, path, bytes);
	watcher->hash = hash_of(zc, watcher->path, watcher->bytes);
	return watcher;
}

/* ---- the table -------------------------------------------------------------
 */

static struct zc_watcher **
chain_of(struct zc_watches *watches, uint64_t hash)
{
	return &watches->chain[hash & (watches->chain_count - 1)];
}

/* More chains, if there is memory: shorter ones are a matter of speed only. */
static void
grow(struct zc_watches *watches)
{
	const uint32_t count = watches->chain_count == 0
				       ? CHAINS_MIN
				       : 2 * watches->chain_count;
	struct zc_watches new = {
		.chain = calloc(count, sizeof(struct zc_watcher *)),
		.chain_count = count,
	};

	if (new.chain == NULL)
		return;
	for (uint32_t i = 0; i < watches->chain_count; i++) {
		struct zc_watcher *at = watches->chain[i];

		while (at != NULL) {
			struct zc_watcher *next = at->next;
			struct zc_watcher **chain = chain_of(&new, at->hash);

			at->next = *chain;
			*chain = at;
			at = next;
		}
	}
	free(watches->chain);
	watches->chain = new.chain;
	watches->chain_count = count;
}

static bool
is_same_path(const struct zc_watcher *watcher, uint64_t hash, const void *path,
	     size_t bytes)
{
	return watcher->hash == hash && watcher->bytes == bytes &&
	       memcmp(watcher->path, path, bytes) == 0;
}

static bool
is_known(struct zc_watches *watches, const struct zc_watcher *watcher)
{
	const struct zc_watcher *at = *chain_of(watches, watcher->hash);

	for (; at != NULL; at = at->next)
		if (at->kind == watcher->kind && at->fn == watcher->fn &&
		    at->arg == watcher->arg && !at->is_dead &&
		    is_same_path(at, watcher->hash, watcher->path,
				 watcher->bytes))
			return true;
	return false;
}

static bool
add(struct zc *zc, struct zc_watcher *watcher)
{
	struct zc_watches *watches = &zc->watches;

	if (watches->count >= watches->chain_count)
		grow(watches);
	if (watches->chain_count == 0) {
		/* Not even the first chains: the watch would be lost. */
		free(watcher);
		return false;
	}
	if (is_known(watches, watcher)) {
		free(watcher);
		return true;
	}
	struct zc_watcher **chain = chain_of(watches, watcher->hash);

	watcher->next = *chain;
	*chain = watcher;
	watches->count++;
	watches->of_kind[watcher->kind]++;
	return true;
}

/* Takes *link out of its chain. */
static struct zc_watcher *
unlink_at(struct zc_watches *watches, struct zc_watcher **link)
{
	struct zc_watcher *watcher = *link;

	*link = watcher->next;
	watches->count--;
	watches->of_kind[watcher->kind]--;
	return watcher;
}

bool
zc_watch_register(struct zc *zc, struct zc_watcher *watcher, int32_t op,
		  int32_t err)
{
	if (op == OP_EXISTS && err == ZC_NONODE) {
		watcher->kind = ZC_KIND_EXIST;
	} else if (err != ZC_OK) {
		free(watcher);
		return true;
	}
	return add(zc, watcher);
}

/* ---- removal
 * ----------------------------------------------------------------- */

static bool
is_of_type(const struct zc_watcher *watcher, int32_t type)
{
	switch (type) {
	case ZC_WATCHES_CHILDREN:
		return watcher->kind == ZC_KIND_CHILD;
	case ZC_WATCHES_DATA:
		return watcher->kind == ZC_KIND_DATA ||
		       watcher->kind == ZC_KIND_EXIST;
	case ZC_WATCHES_PERSISTENT:
		return watcher->kind == ZC_KIND_PERSISTENT;
	case ZC_WATCHES_PERSISTENT_RECURSIVE:
		return watcher->kind == ZC_KIND_RECURSIVE;
	default:
		return true;
	}
}

void
zc_watch_remove(struct zc *zc, const struct zc_watcher *what, int32_t type)
{
	struct zc_watches *watches = &zc->watches;

	if (watches->chain_count == 0)
		return;
	struct zc_watcher **link = chain_of(watches, what->hash);

	while (*link != NULL) {
		struct zc_watcher *at = *link;

		if (!is_of_type(at, type) ||
		    !is_same_path(at, what->hash, what->path, what->bytes)) {
			link = &at->next;
			continue;
		}
		unlink_at(watches, link);
		if (at->is_due)
			at->is_dead = true; /* freed by zc_watch_fire() */
		else
			free(at);
	}
}

/* ---- events
 * ------------------------------------------------------------------ */

/* Which watches hear of an event at their own path. */
static bool
hears(const struct zc_watcher *watcher, int32_t event)
{
	switch (watcher->kind) {
	case ZC_KIND_CHILD:
		return event == ZC_NODE_CHILDREN_CHANGED ||
		       event == ZC_NODE_DELETED;
	case ZC_KIND_PERSISTENT:
		return true;
	default:
		return event != ZC_NODE_CHILDREN_CHANGED;
	}
}

static bool
is_one_shot(const struct zc_watcher *watcher)
{
	return watcher->kind < ZC_KIND_PERSISTENT;
}

/* Links what is due at one path to the end of *last; one-shot watches leave
 * the table. */
static struct zc_watcher **
collect(struct zc *zc, const void *path, uint32_t bytes, int32_t event,
	bool is_prefix, struct zc_watcher **last)
{
	struct zc_watches *watches = &zc->watches;
	const uint64_t hash = hash_of(zc, path, bytes);
	struct zc_watcher **link = chain_of(watches, hash);

	while (*link != NULL) {
		struct zc_watcher *at = *link;

		if (!is_same_path(at, hash, path, bytes) || !hears(at, event) ||
		    (is_prefix && at->kind != ZC_KIND_RECURSIVE)) {
			link = &at->next;
			continue;
		}
		if (is_one_shot(at))
			unlink_at(watches, link);
		else
			link = &at->next;
		at->is_due = true;
		at->next_due = NULL;
		*last = at;
		last = &at->next_due;
	}
	return last;
}

/* The path and, for recursive watches, all above it. */
static void
collect_all(struct zc *zc, const uint8_t *path, uint32_t bytes, int32_t event)
{
	struct zc_watcher **last =
		collect(zc, path, bytes, event, false, &zc->due);

	if (zc->watches.of_kind[ZC_KIND_RECURSIVE] == 0 || bytes <= 1)
		return;
	for (uint32_t at = bytes; at-- > 1;)
		if (path[at] == '/')
			last = collect(zc, path, at, event, true, last);
	collect(zc, path, 1, event, true, last);
}

void
zc_watch_fire(struct zc *zc, int32_t event, struct jute_slice path)
{
	struct zc_bytes shown;

	if (path.bytes <= 0 || zc->watches.chain_count == 0)
		return;
	if ((uint32_t)path.bytes < zc->chroot_bytes)
		return; /* above the chroot: not ours */
	shown.data = path.data + zc->chroot_bytes;
	shown.bytes = (uint32_t)path.bytes - zc->chroot_bytes;
	if (shown.bytes == 0)
		shown = (struct zc_bytes){.data = (const uint8_t *)"/",
					  .bytes = 1};

	FAL_ASSERT(zc->due == NULL);
	collect_all(zc, path.data, (uint32_t)path.bytes, event);
	while (zc->due != NULL) {
		struct zc_watcher *at = zc->due;
		const bool is_last_time = is_one_shot(at);

		zc->due = at->next_due;
		if (!at->is_dead && !zc->is_freed && at->fn != NULL)
			at->fn(at->arg, (enum zc_event)event, shown);
		at->is_due = false;
		if (is_last_time || at->is_dead)
			free(at);
	}
}

/* ---- a new connection
 * ---------------------------------------------------------- */

/* Kinds are in the order of the vectors of setWatches2. */
/* One frame with watches of one kind. Each was encoded to `paths`. */
static bool
send_again(struct zc *zc, enum zc_watch_kind kind, const uint8_t *paths,
	   uint32_t bytes, int32_t count)
{
	const int32_t op =
		kind >= ZC_KIND_PERSISTENT ? OP_SET_WATCHES2 : OP_SET_WATCHES;
	struct proto_set_watches request = {.relative_zxid = zc->last_zxid};
	struct zc_frame frame;

	request.paths[kind] = (struct jute_vector){
		.data = paths, .count = count, .bytes = bytes};
	if (!zc_frame_begin_own(zc, XID_SET_WATCHES, op, bytes + 32, &frame))
		return false;
	proto_put_set_watches(&frame.writer, op, &request);
	zc_frame_end_own(zc, &frame);
	return true;
}

struct again {
	struct zc *zc;
	uint8_t *paths;
	uint32_t cap, bytes;
	int32_t count;
};

static bool
flush_again(struct again *again, enum zc_watch_kind kind)
{
	const bool is_sent =
		again->count == 0 || send_again(again->zc, kind, again->paths,
						again->bytes, again->count);

	again->bytes = 0;
	again->count = 0;
	return is_sent;
}

static bool
add_again(struct again *again, const struct zc_watcher *watcher)
{
	const uint32_t bytes = 4 + watcher->bytes;

	if (again->bytes + bytes > AGAIN_BYTES_MAX &&
	    !flush_again(again, (enum zc_watch_kind)watcher->kind))
		return false;
	if (bytes > again->cap) {
		uint8_t *paths = realloc(again->paths, bytes);

		if (paths == NULL)
			return false;
		again->paths = paths;
		again->cap = bytes;
	}
	be_store32(again->paths + again->bytes, watcher->bytes);
	memcpy(again->paths + again->bytes + 4, watcher->path, watcher->bytes);
	again->bytes += bytes;
	again->count++;
	return true;
}

static bool
register_kind(struct again *again, enum zc_watch_kind kind)
{
	const struct zc_watches *watches = &again->zc->watches;

	if (watches->of_kind[kind] == 0)
		return true;
	for (uint32_t i = 0; i < watches->chain_count; i++)
		for (const struct zc_watcher *at = watches->chain[i];
		     at != NULL; at = at->next)
			if (at->kind == kind && !add_again(again, at))
				return false;
	return flush_again(again, kind);
}

bool
zc_watch_register_again(struct zc *zc)
{
	struct again again = {.zc = zc, .cap = AGAIN_BYTES_MAX};
	bool is_sent = true;

	if (zc->watches.count == 0)
		return true;
	again.paths = malloc(again.cap);
	if (again.paths == NULL)
		return false;
	for (int kind = 0; kind < ZC_KINDS && is_sent; kind++)
		is_sent = register_kind(&again, (enum zc_watch_kind)kind);
	free(again.paths);
	return is_sent;
}

void
zc_watch_free(struct zc *zc)
{
	struct zc_watches *watches = &zc->watches;

	for (uint32_t i = 0; i < watches->chain_count; i++)
		while (watches->chain[i] != NULL)
			free(unlink_at(watches, &watches->chain[i]));
	free(watches->chain);
	*watches = (struct zc_watches){0};
}
