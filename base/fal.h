/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_BASE_FAL_H
#define FALCONER_BASE_FAL_H

/*
 * fal - asserts and error codes that every layer shares.
 *
 * Three kinds of trouble never mix (docs/ARCHITECTURE.md):
 *  1. a bug in Falconer: FAL_ASSERT, on in every build, ends the process;
 *  2. the world misbehaves (peer bytes, disk, configuration): a negative
 *     enum fal_err that the caller must look at;
 *  3. ZooKeeper's results (NONODE, BADVERSION): values in the reply, see
 *     wire/proto.h, never converted from or to kind 2.
 *
 * Context    any thread.
 */

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fal_err {
	FAL_OK = 0,
	FAL_ERR_FIRST_ = -200, /* below: one code per line of err.def */
#define FAL_ERR(name, text) name,
#include "base/err.def"
#undef FAL_ERR
	FAL_ERR_END_,
};

/* Gives the sentence of err.def for a code; "unknown error" for others. */
const char *fal_err_str(int err);

/* Prints file, line and the condition to standard error and aborts. */
_Noreturn void fal_panic(const char *file, int line, const char *what);

#define FAL_MUST_CHECK        __attribute__((warn_unused_result))
#define FAL_PRINTF(at, first) __attribute__((format(printf, at, first)))
#define FAL_LIKELY(cond)      __builtin_expect(!!(cond), 1)
#define FAL_UNLIKELY(cond)    __builtin_expect(!!(cond), 0)

/* A cache line of x86-64 and of most Arm servers. */
#define FAL_CACHE_LINE_BYTES 64

#define FAL_ASSERT(cond)                                      \
	do {                                                  \
		if (FAL_UNLIKELY(!(cond)))                    \
			fal_panic(__FILE__, __LINE__, #cond); \
	} while (0)

/* Checks of whole structures: tests and simulator only. */
#ifdef FAL_SLOW_ASSERTS
#define FAL_ASSERT_SLOW(cond) FAL_ASSERT(cond)
#else
#define FAL_ASSERT_SLOW(cond) ((void)sizeof(cond))
#endif

#endif
