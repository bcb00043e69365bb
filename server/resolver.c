/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolver - a table of names between one core that asks and one thread that
 * looks up.
 *
 * An entry belongs to the thread while asked != answered: it reads the name and
 * writes the result. Otherwise it belongs to the core, which copies the result
 * into `known` and reads only that. Both counters have one writer each, so
 * neither side ever waits for the other.
 */
#include "server/resolver.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/time.h"
#include "wire/fle_msg.h"

/* How long destroy waits for a look-up. */
#define STUCK_MS 500u

struct resolver_name {
	/* The core's. */
	char host[CONFIG_HOST_BYTES]; /* empty: free */
	uint64_t last_use;
	bool is_taken; /* the last result was copied */
	uint32_t known_count;
	struct stream_address known[RESOLVER_ADDRESSES_MAX];
	_Atomic uint32_t asked; /* pairs with acquire in look_up_all() */
	/* The thread's. */
	_Atomic uint32_t answered; /* pairs with acquire in is_idle() */
	int result;                /* how many, or fal_err */
	bool is_failing;           /* and that was said */
	struct stream_address found[RESOLVER_ADDRESSES_MAX];
};

struct resolver {
	resolver_look_up look_up;
	pthread_t thread;
	sem_t wake, done, ended;
	_Atomic bool must_stop;
	uint64_t uses;
	struct resolver_name name[RESOLVER_NAMES_MAX];
};

/* ---- the thread --------------------------------------------------------- */

static void
look_up_one(const struct resolver *resolver, struct resolver_name *name)
{
	char why[128] = "";

	name->result =
		resolver->look_up(name->host, name->found,
				  RESOLVER_ADDRESSES_MAX, why, sizeof(why));
	FAL_ASSERT(name->result <= (int)RESOLVER_ADDRESSES_MAX);
	if (name->result <= 0 && !name->is_failing)
		LOG_WARN("the host name %s of a server cannot be resolved: %s",
			 name->host, why);
	name->is_failing = name->result <= 0;
}

static void
look_up_all(struct resolver *resolver)
{
	for (uint32_t i = 0; i < RESOLVER_NAMES_MAX; i++) {
		struct resolver_name *name = &resolver->name[i];
		const uint32_t asked = atomic_load_explicit(
			&name->asked, memory_order_acquire);

		if (asked ==
		    atomic_load_explicit(&name->answered, memory_order_relaxed))
			continue;
		look_up_one(resolver, name);
		atomic_store_explicit(&name->answered, asked,
				      memory_order_release);
		sem_post(&resolver->done);
	}
}

static void *
thread_main(void *arg)
{
	struct resolver *resolver = arg;

	for (;;) {
		while (sem_wait(&resolver->wake) != 0)
			FAL_ASSERT(errno == EINTR);
		if (atomic_load_explicit(&resolver->must_stop,
					 memory_order_acquire))
			break;
		look_up_all(resolver);
	}
	sem_post(&resolver->ended);
	return NULL;
}

int
resolver_create(resolver_look_up look_up, struct resolver **out)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));

	if (resolver == NULL)
		return FAL_ENOMEM;
	resolver->look_up = look_up;
	sem_init(&resolver->wake, 0, 0);
	sem_init(&resolver->done, 0, 0);
	sem_init(&resolver->ended, 0, 0);
	if (pthread_create(&resolver->thread, NULL, thread_main, resolver) !=
	    0) {
		free(resolver);
		return FAL_ELIMIT;
	}
	*out = resolver;
	return FAL_OK;
}

/* Not of the wall clock: set back by an hour, it would make us wait for one. */
static struct timespec
deadline_in(uint32_t ms)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += ms / 1000;
	at.tv_nsec += (long)(ms % 1000) * 1000000;
	if (at.tv_nsec >= (long)NS_PER_S) {
		at.tv_sec++;
		at.tv_nsec -= (long)NS_PER_S;
	}
	return at;
}

/* False: the deadline passed. */
static bool
wait_until(sem_t *semaphore, const struct timespec *end)
{
	while (sem_clockwait(semaphore, CLOCK_MONOTONIC, end) != 0)
		if (errno == ETIMEDOUT)
			return false;
	return true;
}

void
resolver_destroy(struct resolver *resolver)
{
	const struct timespec end = deadline_in(STUCK_MS);

	if (resolver == NULL)
		return;
	atomic_store_explicit(&resolver->must_stop, true, memory_order_release);
	sem_post(&resolver->wake);
	if (!wait_until(&resolver->ended, &end)) {
		pthread_detach(resolver->thread);
		return;
	}
	pthread_join(resolver->thread, NULL);
	sem_destroy(&resolver->ended);
	sem_destroy(&resolver->wake);
	sem_destroy(&resolver->done);
	free(resolver);
}

/* ---- the core ----------------------------------------------------------- */

static bool
is_idle(const struct resolver_name *name)
{
	return atomic_load_explicit(&name->asked, memory_order_relaxed) ==
	       atomic_load_explicit(&name->answered, memory_order_acquire);
}

/* The entry of a host, a fresh one if there is none; NULL: all are busy. */
static struct resolver_name *
name_get(struct resolver *resolver, const char *host, size_t bytes)
{
	struct resolver_name *oldest = NULL;

	for (uint32_t i = 0; i < RESOLVER_NAMES_MAX; i++) {
		struct resolver_name *name = &resolver->name[i];

		if (strlen(name->host) == bytes &&
		    memcmp(name->host, host, bytes) == 0)
			return name;
		if (is_idle(name) &&
		    (oldest == NULL || name->last_use < oldest->last_use))
			oldest = name;
	}
	if (oldest == NULL)
		return NULL;
	memcpy(oldest->host, host, bytes);
	oldest->host[bytes] = '\0';
	oldest->known_count = 0;
	oldest->is_taken = true;
	oldest->is_failing = false;
	return oldest;
}

/* Takes the answer of before, asks anew. Nothing while the thread is at it. */
static void
name_refresh(struct resolver *resolver, struct resolver_name *name)
{
	if (!is_idle(name))
		return;
	if (!name->is_taken && name->result > 0) {
		name->known_count = (uint32_t)name->result;
		memcpy(name->known, name->found, sizeof(name->known));
	}
	name->is_taken = false;
	atomic_store_explicit(
		&name->asked,
		atomic_load_explicit(&name->asked, memory_order_relaxed) + 1,
		memory_order_release);
	sem_post(&resolver->wake);
}

uint32_t
resolver_get(struct resolver *resolver, const char *host, size_t host_bytes,
	     uint16_t port, struct stream_address *out)
{
	char text[CONFIG_HOST_BYTES];
	struct resolver_name *name;

	if (host_bytes == 0 || host_bytes >= sizeof(text) ||
	    memchr(host, '\0', host_bytes) != NULL)
		return 0;
	memcpy(text, host, host_bytes);
	text[host_bytes] = '\0';
	if (stream_address_parse(text, port, out) == FAL_OK)
		return 1;
	name = name_get(resolver, host, host_bytes);
	if (name == NULL)
		return 0;
	name->last_use = ++resolver->uses;
	name_refresh(resolver, name);
	for (uint32_t i = 0; i < name->known_count; i++) {
		out[i] = name->known[i];
		out[i].port = port;
	}
	return name->known_count;
}

/* Adds a host's addresses to a list that has room for them or not. */
static uint32_t
add(struct resolver *resolver, const char *host, size_t host_bytes,
    uint16_t port, struct stream_address out[PEER_ADDRESSES_MAX],
    uint32_t count)
{
	struct stream_address found[RESOLVER_ADDRESSES_MAX];
	const uint32_t more =
		resolver_get(resolver, host, host_bytes, port, found);

	for (uint32_t i = 0; i < more && count < PEER_ADDRESSES_MAX; i++)
		out[count++] = found[i];
	return count;
}

uint32_t
resolver_get_all(struct resolver *resolver, const struct config_address *list,
		 uint32_t count, struct stream_address out[PEER_ADDRESSES_MAX])
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < count; i++)
		found = add(resolver, list[i].host, strlen(list[i].host),
			    list[i].port, out, found);
	return found;
}

uint32_t
resolver_get_text(void *resolver, struct jute_slice text,
		  struct stream_address out[PEER_ADDRESSES_MAX])
{
	struct fle_address address;
	uint32_t found = 0;

	while (found < PEER_ADDRESSES_MAX &&
	       fle_address_next(&text, &address) == 1)
		found = add(resolver, (const char *)address.host.data,
			    (size_t)address.host.bytes, address.port, out,
			    found);
	return found;
}

static bool
all_idle(const struct resolver *resolver)
{
	for (uint32_t i = 0; i < RESOLVER_NAMES_MAX; i++)
		if (!is_idle(&resolver->name[i]))
			return false;
	return true;
}

void
resolver_wait(struct resolver *resolver, uint32_t timeout_ms)
{
	const struct timespec end = deadline_in(timeout_ms);

	while (!all_idle(resolver))
		if (!wait_until(&resolver->done, &end))
			return;
}
