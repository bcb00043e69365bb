/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_CONFIG_READING_H
#define FALCONER_SERVER_CONFIG_READING_H

/*
 * config_reading - what the parts of the reader of zoo.cfg share: where in
 * which file we are, how to complain, and how to keep a text. Private to
 * server/config*.c; one thread, at start.
 */

#include "server/config.h"

/* The line at hand. */
struct config_reading {
	struct config *config;
	struct config_error *error;
	const char *file;                /* as the operator named it */
	const struct property *property; /* NULL: the file as a whole; line
					  * 0: of the command line */
};

/* Writes "file:line: key=value: <what>" and returns FAL_EINVAL. */
int config_fail(const struct config_reading *reading, const char *what, ...)
	FAL_PRINTF(2, 3);

/* Keeps a warning "file:line: <what>" for the log. Returns 0 or FAL_ENOMEM. */
FAL_MUST_CHECK int config_warn(const struct config_reading *reading,
			       const char *what, ...) FAL_PRINTF(2, 3);

/* Notes that the line asks for something not built; the first one counts. */
FAL_MUST_CHECK int config_refuse(const struct config_reading *reading,
				 const char *need);

/* Formats a text that lives as long as config; NULL without memory. */
const char *config_keep(struct config *config, const char *format, ...)
	FAL_PRINTF(2, 3);

/* `path` as seen from the folder of the file, without a trailing slash. */
const char *config_keep_path(struct config *config, const char *path);

/*
 * Reads a whole number.
 *
 * is_property  true: also 0x.. as Java's Integer.decode(), and no leading
 *              zeros, which it would take for octal
 *
 * Returns false when the text is not a number or beyond 64 bits.
 */
bool config_parse_number(const char *text, bool is_property, int64_t *number);

/* Gives every field its default. */
void config_set_defaults(struct config *config);

/* Reads one line of zoo.cfg into its field, or warns that nobody knows it. */
FAL_MUST_CHECK int config_read_key(const struct config_reading *reading);

/* The same for -Dkey=value of the command line: system properties alone. */
FAL_MUST_CHECK int config_read_flag(const struct config_reading *reading);

/* Whether the key belongs to the ensemble: server.N, group.N, weight.N. */
bool config_is_member_key(const char *key);

/*
 * Reads the ensemble's lines out of `properties` into config->server.
 *
 * is_dynamic  true: of a dynamic file, where nothing else may stand
 */
FAL_MUST_CHECK int config_read_members(struct config *config,
				       struct config_error *error,
				       const char *file,
				       const struct properties *properties,
				       bool is_dynamic);

/* Whether an ensemble has what it needs: its limits, and a line of this
 * server's. The error may be of the dynamic file. */
FAL_MUST_CHECK int config_check_ensemble(struct config_reading *reading);

#endif
