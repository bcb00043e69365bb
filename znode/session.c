/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session - a chained hash by id and a wheel of buckets.
 *
 * Index: chains by mixed id. At one session per chain the index doubles; the
 * old array stays beside the new one and each later addition carries some
 * chains over, so that no call pays for a million sessions. Ids are looked up
 * in both arrays meanwhile.
 *
 * Wheel: slot = (expires_ms / tick_ms) mod 1024. A session stays in its slot
 * however often it is heard of; only when its tick comes is its real deadline
 * computed. A due slot is moved to the list `due` as a whole and worked off
 * from there, which makes a bounded pass resumable and lets members go back to
 * the very same slot (timeouts of more than 1024 ticks). A bitmap of the slots
 * in use answers "when next" and skips over idle time.
 */
#include "znode/session.h"

#include <stdlib.h>

#include "base/bits.h"
#include "wire/proto.h"

#define WHEEL_SLOTS    1024u
#define WHEEL_WORDS    (WHEEL_SLOTS / 64u)
#define INDEX_START    64u
#define SLAB_SESSIONS  256u
#define CHAINS_PER_ADD 4u

struct session_entry {
	struct session session;
	struct session_entry *chain; /* next of the chain, or of the free */
	bool is_used;                /* false: free, or not yet added */
};

struct session_slab {
	struct session_slab *next;
	struct session_entry entry[SLAB_SESSIONS];
};

struct session_index {
	struct session_entry **chain;
	uint32_t mask;
};

struct session_table {
	struct session_index index;
	struct session_index old; /* chain NULL: nothing to carry over */
	uint32_t old_at;          /* chains below are carried over */
	uint32_t count;
	uint32_t tick_ms;
	uint64_t tick_at; /* ticks up to this one have left the wheel */
	struct list due;  /* of tick_at, still to be looked at */
	struct session_entry *free;
	struct session_slab *slabs;
	uint64_t used[WHEEL_WORDS]; /* bit: the slot is not empty */
	struct list slot[WHEEL_SLOTS];
};

/* Ids count up in their low bits and carry the server in the top byte; two
 * multiplications spread both over the mask. */
static uint32_t
chain_index(const struct session_index *index, int64_t id)
{
	uint64_t mixed = (uint64_t)id * 0x9e3779b97f4a7c15ull;

	mixed = (mixed ^ (mixed >> 32)) * 0xd6e8feb86659fd93ull;
	return (uint32_t)(mixed >> 32) & index->mask;
}

static struct session_entry **
index_find(const struct session_index *index, int64_t id)
{
	struct session_entry **link = &index->chain[chain_index(index, id)];

	while (*link != NULL && (*link)->session.id != id)
		link = &(*link)->chain;
	return link;
}

/* The link that holds the entry, or NULL. */
static struct session_entry **
table_find(const struct session_table *table, int64_t id)
{
	struct session_entry **link = index_find(&table->index, id);

	if (*link == NULL && table->old.chain != NULL)
		link = index_find(&table->old, id);
	return *link == NULL ? NULL : link;
}

static void
index_put(struct session_index *index, struct session_entry *entry)
{
	struct session_entry **head =
		&index->chain[chain_index(index, entry->session.id)];

	entry->chain = *head;
	*head = entry;
}

static void
index_carry_over(struct session_table *table, uint32_t chains)
{
	if (table->old.chain == NULL)
		return;
	for (uint32_t i = 0; i < chains && table->old_at <= table->old.mask;
	     i++) {
		struct session_entry *entry = table->old.chain[table->old_at];

		table->old.chain[table->old_at++] = NULL;
		while (entry != NULL) {
			struct session_entry *after = entry->chain;

			index_put(&table->index, entry);
			entry = after;
		}
	}
	if (table->old_at > table->old.mask) {
		free(table->old.chain);
		table->old.chain = NULL;
	}
}

/* Doubles the index when chains get longer than one on average. The former
 * doubling has long been carried over by then: it takes a quarter as many
 * additions as there were chains. */
static void
index_grow(struct session_table *table)
{
	if (table->count <= table->index.mask || table->old.chain != NULL ||
	    table->index.mask >= UINT32_MAX / 2)
		return;
	const uint32_t mask = table->index.mask * 2 + 1;
	struct session_entry **chain =
		calloc((size_t)mask + 1, sizeof(struct session_entry *));

	if (chain == NULL)
		return;
	table->old = table->index;
	table->old_at = 0;
	table->index.chain = chain;
	table->index.mask = mask;
}

static struct session_entry *
entry_alloc(struct session_table *table)
{
	struct session_entry *entry = table->free;

	if (entry == NULL) {
		struct session_slab *slab = calloc(1, sizeof(*slab));

		if (slab == NULL)
			return NULL;
		slab->next = table->slabs;
		table->slabs = slab;
		for (uint32_t i = 0; i < SLAB_SESSIONS; i++) {
			slab->entry[i].chain = table->free;
			table->free = &slab->entry[i];
		}
		entry = table->free;
	}
	table->free = entry->chain;
	*entry = (struct session_entry){.chain = NULL};
	return entry;
}

static uint32_t
slot_of(const struct session_table *table, uint64_t ms)
{
	return (uint32_t)(ms / table->tick_ms) % WHEEL_SLOTS;
}

static void
wheel_add(struct session_table *table, struct session *session)
{
	const uint32_t slot = slot_of(table, session->expires_ms);

	FAL_ASSERT(session->expires_ms % table->tick_ms == 0);
	list_add_tail(&table->slot[slot], &session->bucket);
	table->used[slot / 64] |= 1ull << (slot % 64);
}

static void
wheel_del(struct session_table *table, struct session *session)
{
	const uint32_t slot = slot_of(table, session->expires_ms);

	list_del(&session->bucket);
	if (list_empty(&table->slot[slot]))
		table->used[slot / 64] &= ~(1ull << (slot % 64));
}

/* The bucket ZooKeeper's ExpiryQueue would choose. */
static uint64_t
deadline(const struct session_table *table, uint64_t heard_ms,
	 int32_t timeout_ms)
{
	const uint64_t end = heard_ms + (uint64_t)timeout_ms;

	return (end / table->tick_ms + 1) * table->tick_ms;
}

/* Puts the session into the bucket of its deadline; one that the wheel passed
 * already (a caller's clock that stood still) comes with the next tick. */
static void
wheel_track(struct session_table *table, struct session *session)
{
	const uint64_t next = (table->tick_at + 1) * table->tick_ms;
	const uint64_t expires =
		deadline(table, session->heard_ms, session->timeout_ms);

	wheel_del(table, session);
	session->expires_ms = expires < next ? next : expires;
	wheel_add(table, session);
}

/* Ticks from tick_at to the next slot in use, 1..WHEEL_SLOTS; 0: none. */
static uint32_t
wheel_distance(const struct session_table *table)
{
	const uint32_t from = (uint32_t)(table->tick_at + 1) % WHEEL_SLOTS;

	/* One word more than there are: the first one is looked at twice,
	 * from `from` on and, when nothing was there, at the end as a whole. */
	for (uint32_t i = 0; i <= WHEEL_WORDS; i++) {
		const uint32_t word = (from / 64 + i) % WHEEL_WORDS;
		uint64_t bits = table->used[word];

		if (i == 0)
			bits &= ~0ull << (from % 64);
		if (bits == 0)
			continue;
		const uint32_t slot =
			word * 64 + (uint32_t)__builtin_ctzll(bits);

		return (slot - from) % WHEEL_SLOTS + 1;
	}
	return 0;
}

/* Moves the next slot in use up to now_ms to `due`; false: there is none. */
static bool
wheel_turn(struct session_table *table, uint64_t now_ms)
{
	const uint64_t tick_now = now_ms / table->tick_ms;
	const uint32_t distance = wheel_distance(table);

	if (tick_now <= table->tick_at)
		return false;
	if (distance == 0 || table->tick_at + distance > tick_now) {
		table->tick_at = tick_now;
		return false;
	}
	table->tick_at += distance;

	const uint32_t slot = (uint32_t)(table->tick_at % WHEEL_SLOTS);
	struct list *head = &table->slot[slot];

	FAL_ASSERT(!list_empty(head));
	FAL_ASSERT(list_empty(&table->due));
	list_add_tail(head, &table->due); /* due joins in as the last link... */
	list_del(head);                   /* ...and the slot's head leaves */
	table->used[slot / 64] &= ~(1ull << (slot % 64));
	return true;
}

/* Looks at one member of a due bucket. */
static void
visit(struct session_table *table, struct session *session,
      session_heard_fn heard, session_expired_fn expired, void *arg)
{
	const uint64_t due_ms = table->tick_at * table->tick_ms;

	list_del(&session->bucket);
	if (session->is_closing)
		return;
	if (session->expires_ms > due_ms) { /* a later turn of the wheel */
		wheel_add(table, session);
		return;
	}
	const uint64_t heard_ms = heard == NULL ? 0 : heard(arg, session);

	if (heard_ms > session->heard_ms)
		session->heard_ms = heard_ms;
	if (deadline(table, session->heard_ms, session->timeout_ms) > due_ms) {
		wheel_track(table, session);
		return;
	}
	session->is_closing = true;
	expired(arg, session);
}

int
session_table_create(uint32_t tick_ms, struct session_table **out)
{
	FAL_ASSERT(tick_ms > 0);
	struct session_table *table = calloc(1, sizeof(*table));

	*out = NULL;
	if (table == NULL)
		return FAL_ENOMEM;
	table->index.chain =
		calloc(INDEX_START, sizeof(struct session_entry *));
	if (table->index.chain == NULL) {
		free(table);
		return FAL_ENOMEM;
	}
	table->index.mask = INDEX_START - 1;
	table->tick_ms = tick_ms;
	list_init(&table->due);
	for (uint32_t i = 0; i < WHEEL_SLOTS; i++)
		list_init(&table->slot[i]);
	*out = table;
	return 0;
}

void
session_table_destroy(struct session_table *table)
{
	if (table == NULL)
		return;
	while (table->slabs != NULL) {
		struct session_slab *slab = table->slabs;

		table->slabs = slab->next;
		free(slab);
	}
	free(table->old.chain);
	free(table->index.chain);
	free(table);
}

struct session *
session_add(struct session_table *table, int64_t id, int32_t timeout_ms,
	    uint64_t now_ms)
{
	struct session_entry **link = table_find(table, id);
	struct session_entry *entry;

	if (link != NULL) {
		entry = *link;
	} else {
		entry = entry_alloc(table);
		if (entry == NULL)
			return NULL;
		entry->session.id = id;
		entry->session.owner.core = SESSION_OWNER_NONE;
		list_init(&entry->session.bucket);
		index_grow(table);
		index_carry_over(table, CHAINS_PER_ADD);
		index_put(&table->index, entry);
		entry->is_used = true;
		table->count++;
	}
	entry->session.timeout_ms = timeout_ms < 0 ? 0 : timeout_ms;
	entry->session.heard_ms = now_ms;
	wheel_track(table, &entry->session);
	return &entry->session;
}

void
session_touch(struct session_table *table, struct session *session,
	      int32_t timeout_ms, uint64_t now_ms)
{
	const int32_t before_ms = session->timeout_ms;

	if (session->heard_ms < now_ms)
		session->heard_ms = now_ms;
	if (timeout_ms > 0)
		session->timeout_ms = timeout_ms;
	/* A later end is seen when its bucket is due, an earlier one is not. */
	if (session->timeout_ms < before_ms && !session->is_closing)
		wheel_track(table, session);
}

struct session *
session_find(struct session_table *table, int64_t id)
{
	struct session_entry **link = table_find(table, id);

	return link == NULL ? NULL : &(*link)->session;
}

void
session_remove(struct session_table *table, int64_t id)
{
	struct session_entry **link = table_find(table, id);

	if (link == NULL)
		return;
	struct session_entry *entry = *link;

	FAL_ASSERT(table->count > 0);
	*link = entry->chain;
	wheel_del(table, &entry->session);
	entry->is_used = false;
	entry->chain = table->free;
	table->free = entry;
	table->count--;
}

uint32_t
session_count(const struct session_table *table)
{
	return table->count;
}

static void
visit_index(const struct session_index *index,
	    void (*fn)(void *arg, struct session *), void *arg)
{
	if (index->chain == NULL)
		return;
	for (uint32_t i = 0; i <= index->mask; i++)
		for (struct session_entry *entry = index->chain[i];
		     entry != NULL; entry = entry->chain)
			fn(arg, &entry->session);
}

struct restart {
	struct session_table *table;
	uint64_t now_ms;
};

static void
restart_one(void *arg, struct session *session)
{
	const struct restart *restart = arg;

	session->owner = (struct session_owner){.core = SESSION_OWNER_NONE};
	session->is_closing = false;
	session->heard_ms = restart->now_ms;
	wheel_track(restart->table, session);
}

void
session_restart_all(struct session_table *table, uint64_t now_ms)
{
	struct restart restart = {.table = table, .now_ms = now_ms};

	table->tick_at = now_ms / table->tick_ms;
	visit_index(&table->index, restart_one, &restart);
	visit_index(&table->old, restart_one, &restart);
	FAL_ASSERT(list_empty(&table->due));
}

int32_t
session_check(struct session_table *table, int64_t id,
	      struct session_owner owner)
{
	struct session *session = session_find(table, id);

	if (session == NULL)
		return ZK_UNKNOWNSESSION;
	if (session->is_closing)
		return ZK_SESSIONEXPIRED;
	if (session->owner.core == SESSION_OWNER_NONE) {
		session->owner = owner;
		return ZK_OK;
	}
	if (session->owner.core != owner.core ||
	    session->owner.conn != owner.conn ||
	    session->owner.conn_gen != owner.conn_gen)
		return ZK_SESSIONMOVED;
	return ZK_OK;
}

uint32_t
session_expire_due(struct session_table *table, uint64_t now_ms, uint32_t max,
		   session_heard_fn heard, session_expired_fn expired,
		   void *arg)
{
	uint32_t visited = 0;

	FAL_ASSERT(expired != NULL);
	while (visited < max) {
		if (list_empty(&table->due) && !wheel_turn(table, now_ms))
			break;
		visit(table,
		      list_entry(table->due.next, struct session, bucket),
		      heard, expired, arg);
		visited++;
	}
	return visited;
}

uint64_t
session_next_due(const struct session_table *table)
{
	if (!list_empty(&table->due))
		return table->tick_at * table->tick_ms;

	const uint32_t distance = wheel_distance(table);

	return distance == 0 ? UINT64_MAX
			     : (table->tick_at + distance) * table->tick_ms;
}

uint64_t
session_deadline(const struct session_table *table,
		 const struct session *session, uint64_t heard_ms)
{
	return deadline(table,
			heard_ms > session->heard_ms ? heard_ms
						     : session->heard_ms,
			session->timeout_ms);
}

/* Walks the slabs, newest first: they never move and are never freed, so a
 * place keeps its session however the index grows meanwhile. */
const struct session *
session_next(const struct session_table *table, struct session_cursor *cursor,
	     uint32_t *budget)
{
	if (!cursor->has_begun) {
		cursor->has_begun = true;
		cursor->slab = table->slabs;
	}
	while (cursor->slab != NULL && *budget > 0) {
		const struct session_slab *slab = cursor->slab;
		const struct session_entry *entry =
			&slab->entry[cursor->place++];

		--*budget;
		if (cursor->place == SLAB_SESSIONS) {
			cursor->slab = slab->next;
			cursor->place = 0;
		}
		if (entry->is_used)
			return &entry->session;
	}
	cursor->is_done = cursor->slab == NULL;
	return NULL;
}

struct visitor {
	void (*fn)(void *arg, const struct session *);
	void *arg;
};

static void
visit_const(void *arg, struct session *session)
{
	const struct visitor *visitor = arg;

	visitor->fn(visitor->arg, session);
}

void
session_for_each(const struct session_table *table,
		 void (*fn)(void *arg, const struct session *), void *arg)
{
	struct visitor visitor = {.fn = fn, .arg = arg};

	visit_index(&table->index, visit_const, &visitor);
	visit_index(&table->old, visit_const, &visitor);
}
