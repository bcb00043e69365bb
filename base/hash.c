/* SPDX-License-Identifier: Apache-2.0 */
/* hash - the key; hashing itself is in the header. */
#include "base/hash.h"

#include <sys/random.h>

#include "base/fal.h"

void
hash_key_random(struct hash_key *key)
{
	const ssize_t got = getrandom(key, sizeof(*key), 0);

	FAL_ASSERT(got == (ssize_t)sizeof(*key));
	for (int i = 0; i < 4; i++)
		key->word[i] |= 1; /* a zero word would swallow its half */
}
