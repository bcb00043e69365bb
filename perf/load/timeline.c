/* SPDX-License-Identifier: Apache-2.0 */
/* timeline - one histogram, written and emptied when its step is over. */
#include "perf/load/timeline.h"

#include <errno.h>
#include <string.h>

#include "base/time.h"
#include "perf/load/options.h"

#define STEP_NS (TIMELINE_STEP_MS * NS_PER_MS)

void
timeline_open(struct timeline *timeline, const char *path, uint64_t begin_ns)
{
	memset(timeline, 0, sizeof(*timeline));
	timeline->begin_ns = begin_ns;
	if (path == NULL)
		return;
	timeline->file = fopen(path, "w");
	if (timeline->file == NULL)
		load_die("%s: %s", path, strerror(errno));
}

static void
write_step(struct timeline *timeline)
{
	const struct hist *latency = &timeline->latency;

	fprintf(timeline->file, "%.3f %llu %.1f %.1f %.1f\n",
		(double)(timeline->step * STEP_NS) / 1e9,
		(unsigned long long)summary_count(&latency->summary),
		(double)hist_quantile(latency, 0.5) / 1e3,
		(double)hist_quantile(latency, 0.99) / 1e3,
		(double)summary_highest(&latency->summary) / 1e3);
	hist_reset(&timeline->latency);
	timeline->step++;
}

static void
advance(struct timeline *timeline, uint64_t now_ns)
{
	const uint64_t step = (now_ns - timeline->begin_ns) / STEP_NS;

	while (timeline->step < step)
		write_step(timeline);
}

void
timeline_record(struct timeline *timeline, uint64_t now_ns, uint64_t latency_ns)
{
	if (timeline->file == NULL)
		return;
	advance(timeline, now_ns);
	hist_record(&timeline->latency, latency_ns);
}

void
timeline_close(struct timeline *timeline, uint64_t now_ns)
{
	if (timeline->file == NULL)
		return;
	advance(timeline, now_ns);
	if (fclose(timeline->file) != 0)
		load_die("the timeline: %s", strerror(errno));
	timeline->file = NULL;
}
