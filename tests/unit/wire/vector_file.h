/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_WIRE_VECTOR_FILE_H
#define FALCONER_TESTS_WIRE_VECTOR_FILE_H

/*
 * vector_file - captured client traffic in tests/golden/client/.
 *
 *   # text          comment
 *   @3 send         connection of the next block (full runs only)
 *   > hex ; label   field, client to server; >~ if it varies from run to run
 *   < hex ; label   field, server to client
 *   ! text          the server closed the connection
 *   (empty line)    end of a frame
 *
 * A line without a label continues the field above. The fields of a block
 * put together are one frame with its length word, the first field.
 *
 * Ownership  vector_file_load() allocates, vector_file_free() frees.
 * Errors     a file that cannot be read or parsed fails the test.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vector_field {
	size_t offset; /* from the frame's length word */
	size_t bytes;
	char label[512];
};

struct vector_frame {
	bool is_from_client;
	int connection; /* 0 in files of one connection */
	uint8_t *data;  /* length word included */
	size_t bytes;
	struct vector_field *fields;
	size_t field_count;
};

struct vector_file {
	struct vector_frame *frames;
	size_t frame_count;
};

void vector_file_load(const char *path, struct vector_file *out);
void vector_file_free(struct vector_file *file);

/* Calls visit(path, context) for each file of the directory whose name ends
 * with the suffix, sorted by name; returns how many there were. */
size_t vector_files_visit(const char *directory, const char *suffix,
			  void (*visit)(const char *path, void *context),
			  void *context);

/* Reads a whole file into malloc'd memory of exactly its size. */
uint8_t *vector_read_bytes(const char *path, size_t *bytes);

#endif
