/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fal - the two functions behind base/fal.h. fal_panic() is the only way this
 * process ends on purpose because of a bug, so it leaves a core dump.
 */
#include "base/fal.h"

#include <stdio.h>
#include <stdlib.h>

const char *
fal_err_str(int err)
{
	switch (err) {
	case FAL_OK:
		return "no error";
#define FAL_ERR(name, text) \
	case name:          \
		return text;
#include "base/err.def"
#undef FAL_ERR
	default:
		return "unknown error";
	}
}

_Noreturn void
fal_panic(const char *file, int line, const char *what)
{
	fprintf(stderr, "falconer: bug at %s:%d: %s\n", file, line, what);
	abort();
}
