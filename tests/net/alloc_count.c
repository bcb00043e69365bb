/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alloc_count - counts the allocator's calls by thread, in front of the real
 * allocator (LD_PRELOAD), into the file $ALLOC_COUNT_FILE: pairs of 64-bit
 * words, thread id and calls, which another process may read at any time.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define THREADS_MAX 256

struct row {
	_Atomic uint64_t thread;
	_Atomic uint64_t calls;
};

static struct row *table;
static _Atomic uint32_t used;
/* Of the static block: other models allocate at the first use. */
static _Thread_local struct row *mine
	__attribute__((tls_model("initial-exec")));

static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static void *(*real_aligned_alloc)(size_t, size_t);
static void (*real_free)(void *);

/* dlsym() itself allocates before there is anything to forward to. */
static char early[65536];
static size_t early_used;

static void *
early_get(size_t bytes)
{
	void *at = early + early_used;

	early_used += (bytes + 15) & ~(size_t)15;
	if (early_used > sizeof(early))
		abort();
	return at;
}

static int
is_early(const void *at)
{
	return (const char *)at >= early &&
	       (const char *)at < early + sizeof(early);
}

static void *
find(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

/* At the first call: the constructors of other libraries run before ours. */
static void
start(void)
{
	static int is_started;
	const char *path = getenv("ALLOC_COUNT_FILE");
	const size_t bytes = THREADS_MAX * sizeof(struct row);
	int fd;

	if (is_started)
		return;
	is_started = 1;
	*(void **)&real_malloc = find("malloc");
	*(void **)&real_calloc = find("calloc");
	*(void **)&real_realloc = find("realloc");
	*(void **)&real_aligned_alloc = find("aligned_alloc");
	*(void **)&real_free = find("free");
	fd = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0)
		return;

	void *mapped =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (mapped != MAP_FAILED)
		table = mapped;
}

static void
note(void)
{
	if (real_malloc == NULL)
		start();
	if (table == NULL)
		return;
	if (mine == NULL) {
		const uint32_t place = used++;

		if (place >= THREADS_MAX)
			return;
		mine = &table[place];
		mine->thread = (uint64_t)gettid();
	}
	mine->calls++;
}

void *
malloc(size_t bytes)
{
	note();
	return real_malloc != NULL ? real_malloc(bytes) : early_get(bytes);
}

void *
calloc(size_t count, size_t bytes)
{
	note();
	return real_calloc != NULL ? real_calloc(count, bytes)
				   : early_get(count * bytes);
}

void *
realloc(void *old, size_t bytes)
{
	note();
	if (real_realloc != NULL && !is_early(old))
		return real_realloc(old, bytes);

	void *made = malloc(bytes);

	if (old != NULL && made != NULL)
		memcpy(made, old, bytes);
	return made;
}

void *
aligned_alloc(size_t to, size_t bytes)
{
	note();
	return real_aligned_alloc(to, bytes);
}

void
free(void *old)
{
	note();
	if (old != NULL && !is_early(old) && real_free != NULL)
		real_free(old);
}
