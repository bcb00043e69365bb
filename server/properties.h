/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_PROPERTIES_H
#define FALCONER_SERVER_PROPERTIES_H

/*
 * properties - the lines of a Java properties file, as java.util.Properties
 * reads them.
 *
 *   key=value    key:value    key value      '=', ':' or blanks separate
 *   # comment    ! comment                   never continued
 *   key=one \                                an odd number of backslashes at
 *       two                                  the end joins the next line, whose
 *                                            leading blanks go: "one two"
 *   \t \n \r \f \uXXXX                       else a backslash stands for
 *                                            nothing: "\:" is ":"
 *
 * Bytes are ISO-8859-1, as there; keys and values come out as UTF-8. Values
 * are trimmed at both ends, which ZooKeeper does on top.
 *
 * Context    one thread, at start.
 * Ownership  struct properties owns the text; keys and values live until
 *            properties_free().
 * Limits     PROPERTIES_BYTES_MAX a file.
 * Errors     reported as struct properties_error; the object is then empty.
 */

#include <stdint.h>

#include "base/fal.h"

#define PROPERTIES_BYTES_MAX (1u << 20)

struct property {
	const char *key;
	const char *value; /* never NULL; "" when there is none */
	uint32_t line;     /* of the key, from 1 */
};

struct properties {
	struct property *property; /* in the order of the file */
	uint32_t count;
	char *text; /* what keys and values point into */
};

struct properties_error {
	uint32_t line;    /* 0: the file as a whole */
	const char *what; /* a literal */
	int code;         /* errno behind it; 0: none */
};

/*
 * Reads a file.
 *
 * Returns 0; FAL_ENOENT or FAL_EIO when it cannot be read; FAL_ELIMIT when it
 * is too long; FAL_EINVAL for a bad escape; FAL_ENOMEM.
 */
FAL_MUST_CHECK int properties_load(const char *path,
				   struct properties *properties,
				   struct properties_error *error);

/* The same from `bytes` bytes at `text`, borrowed, which may hold NULs. */
FAL_MUST_CHECK int properties_parse(const char *text, size_t bytes,
				    struct properties *properties,
				    struct properties_error *error);

/* Frees the text; harmless on a zeroed or freed object. */
void properties_free(struct properties *properties);

/* The last line with this key (ZooKeeper's choice when there are several);
 * NULL: none. */
const struct property *properties_find(const struct properties *properties,
				       const char *key);

#endif
