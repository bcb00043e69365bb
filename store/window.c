/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A memory file is mapped into both halves of one reservation. All pages are
 * made at creation: a page fault on the poll core would cost more than the
 * append.
 */

#include "store/window.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bits.h"

#define NOTES_MIN 4u

static int
map_twice(struct window *window, int fd)
{
	const size_t bytes = (size_t)window->bytes;
	uint8_t *base =
		mmap(NULL, 2 * bytes, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return FAL_ENOMEM;
	window->base = base;
	for (uint32_t i = 0; i < 2; i++)
		if (mmap(base + i * bytes, bytes, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd,
			 0) == MAP_FAILED)
			return FAL_ENOMEM;
	return 0;
}

int
window_create(struct window *window, uint64_t bytes)
{
	int fd;
	int err = FAL_ENOMEM;

	FAL_ASSERT(bits_is_pow2(bytes));
	*window = (struct window){.bytes = bytes};
	window->note_cap = 2 * bytes / WINDOW_NOTE_BYTES;
	if (window->note_cap < NOTES_MIN)
		window->note_cap = NOTES_MIN;
	window->notes = calloc(window->note_cap, sizeof(*window->notes));
	if (window->notes == NULL)
		return FAL_ENOMEM;
	fd = memfd_create("falconer-window", MFD_CLOEXEC);
	if (fd >= 0) {
		if (ftruncate(fd, (off_t)bytes) == 0)
			err = map_twice(window, fd);
		close(fd);
	}
	if (err != 0)
		window_destroy(window);
	return err;
}

void
window_destroy(struct window *window)
{
	if (window->base != NULL)
		munmap(window->base, 2 * (size_t)window->bytes);
	free(window->notes);
	*window = (struct window){.bytes = 0};
}

void
window_index_note(struct window *window, uint64_t zxid, uint64_t pos)
{
	const uint64_t mask = window->note_cap - 1;

	if (window->note_count > 0 &&
	    pos - window->notes[(window->note_count - 1) & mask].pos <
		    WINDOW_NOTE_BYTES)
		return;
	window->notes[window->note_count++ & mask] =
		(struct window_note){.zxid = zxid, .pos = pos};
}

void
window_index_clear(struct window *window)
{
	window->note_count = 0;
}

bool
window_index_find(const struct window *window, uint64_t zxid, uint64_t pos_min,
		  uint64_t *pos)
{
	const uint64_t mask = window->note_cap - 1;
	/* Notes low..high-1 are kept; find the first above zxid. */
	uint64_t high = window->note_count;
	uint64_t low = high > window->note_cap ? high - window->note_cap : 0;
	const uint64_t first = low;

	while (low < high) {
		const uint64_t middle = low + (high - low) / 2;

		if (window->notes[middle & mask].zxid <= zxid)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == first)
		return false;
	*pos = window->notes[(low - 1) & mask].pos;
	return *pos >= pos_min;
}
