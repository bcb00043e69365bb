/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_quota - sets whose keys are names of nodes. */
#include "server/metrics_quota.h"

#include <stdlib.h>

#include "server/bg.h"
#include "znode/prep.h"
#include "znode/quota_sums.h"
#include "znode/text.h"

#define KEY_BYTES 256

/* A node's name as it may stand in a line. */
static void
key_of(char out[KEY_BYTES], struct jute_slice name)
{
	struct jute_writer text = jute_writer_of(out, KEY_BYTES - 1);

	text_put(&text, name, TEXT_UTF8);
	if (text.is_full) /* of bytes that are no text; cut to what is sure */
		text = jute_writer_of(out, 0);
	out[jute_written(&text)] = 0;
}

static void
visit_set(const struct metrics_sink *sink, const char *name,
	  enum metric_kind kind, const struct namespace_counts *counts)
{
	struct jute_slice row;
	int64_t count;

	for (uint32_t i = 0; namespace_counts_row(counts, i, &row, &count);
	     i++) {
		char key[KEY_BYTES];

		key_of(key, row);
		sink->set_number(sink->arg, name, kind, key, count);
	}
}

void
metrics_visit_quotas(const struct server *server,
		     const struct metrics_sink *sink)
{
	struct quota_sums *sums = malloc(sizeof(*sums));

	visit_set(sink, "quota_exceeded_error_per_namespace", METRIC_COUNTER,
		  prep_quota_refused(server->prep));
	if (sums == NULL)
		return;
	bg_quota_sums(server->bg, sums);
	visit_set(sink, "quota_count_limit_per_namespace", METRIC_GAUGE,
		  &sums->count_limit);
	visit_set(sink, "quota_bytes_limit_per_namespace", METRIC_GAUGE,
		  &sums->bytes_limit);
	visit_set(sink, "quota_count_usage_per_namespace", METRIC_GAUGE,
		  &sums->count_usage);
	visit_set(sink, "quota_bytes_usage_per_namespace", METRIC_GAUGE,
		  &sums->bytes_usage);
	free(sums);
}
