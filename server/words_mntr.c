/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words_mntr - the lines of mntr (server/metrics.h has the numbers), and what
 * several answers need.
 */
#include "server/words_mntr.h"

#include <string.h>

#include "drivers/disk.h"
#include "server/member.h"
#include "server/metrics.h"
#include "server/metrics_member.h"
#include "server/version.h"

struct dir_sum {
	struct disk *disk;
	const char *dir;
	uint64_t bytes;
};

static void
add_file(void *arg, const char *name)
{
	struct dir_sum *sum = arg;
	struct disk_info info;
	char path[4096];

	if (snprintf(path, sizeof(path), "%s/%s", sum->dir, name) >=
	    (int)sizeof(path))
		return;
	if (disk_info(sum->disk, path, &info) == FAL_OK && !info.is_dir)
		sum->bytes += info.bytes;
}

uint64_t
words_dir_bytes(const struct server *server, const char *dir)
{
	struct dir_sum sum = {.disk = server->disk, .dir = dir};

	/* A directory that cannot be read counts 0: mntr must not fail. */
	if (disk_list(server->disk, dir, add_file, &sum) != FAL_OK)
		return 0;
	return sum.bytes;
}

const char *
words_server_state(const struct server *server)
{
	const char *mode = member_mode(server);

	return mode == NULL ? "" : mode;
}

/* Up to four decimals, at least one: how Java prints averages. */
void
words_average_text(char text[WORDS_AVERAGE_BYTES], double average)
{
	snprintf(text, WORDS_AVERAGE_BYTES, "%.4f", average);

	size_t length = strlen(text);

	while (length > 3 && text[length - 1] == '0' && text[length - 2] != '.')
		text[--length] = 0;
}

void
words_put_average(FILE *out, uint64_t sum, uint64_t count)
{
	char text[WORDS_AVERAGE_BYTES];

	words_average_text(text,
			   count == 0 ? 0.0 : (double)sum / (double)count);
	fputs(text, out);
}

uint64_t
words_node_count(const struct server *server)
{
	struct tree_counts counts;

	tree_counts(server->tree, &counts);
	return counts.nodes + 1;
}

static void
put_line(void *arg, const char *name, const char *text)
{
	fprintf((FILE *)arg, "zk_%s\t%s\n", name, text);
}

void
words_put_mntr(FILE *out, const struct server *server)
{
	fprintf(out, "zk_version\t%s\nzk_server_state\t%s\n", VERSION_TEXT,
		words_server_state(server));
	if (metrics_peer_state(server) != NULL)
		fprintf(out, "zk_peer_state\t%s\n", metrics_peer_state(server));
	metrics_visit_flat(server, put_line, out);
}
