/* SPDX-License-Identifier: Apache-2.0 */
/* quota_report - a mailbox between the control thread and BG: a number of the
 * last question and of the last answer. */
#include "server/quota_report.h"

#include <stdlib.h>
#include <time.h>

#include "base/time.h"

#define WAIT_NS (100 * NS_PER_MS)

int
quota_report_init(struct quota_report *report)
{
	*report = (struct quota_report){
		.sums = calloc(1, sizeof(*report->sums)),
		.next = calloc(1, sizeof(*report->next)),
	};
	pthread_mutex_init(&report->lock, NULL);
	pthread_cond_init(&report->is_done, NULL);
	if (report->sums == NULL || report->next == NULL) {
		quota_report_free(report);
		return FAL_ENOMEM;
	}
	return FAL_OK;
}

void
quota_report_free(struct quota_report *report)
{
	free(report->sums);
	free(report->next);
	pthread_cond_destroy(&report->is_done);
	pthread_mutex_destroy(&report->lock);
}

bool
quota_report_is_asked(struct quota_report *report)
{
	pthread_mutex_lock(&report->lock);
	const bool is_asked = report->asked != report->done;

	pthread_mutex_unlock(&report->lock);
	return is_asked;
}

/* The question that is answered is the one from before the state was read. */
void
quota_report_run(struct quota_report *report, const struct tree *tree,
		 const _Atomic uint64_t *published)
{
	struct quota_sums *const sums = report->next;

	pthread_mutex_lock(&report->lock);
	const uint64_t asked = report->asked;

	pthread_mutex_unlock(&report->lock);
	*sums = (struct quota_sums){0};
	const uint64_t S = tree_reader_online(report->reader, published);
	const int err = quota_sums_gather(tree, report->reader, S, sums);

	tree_reader_offline(report->reader);
	pthread_mutex_lock(&report->lock);
	report->done = asked;
	if (err == FAL_OK) {
		report->next = report->sums;
		report->sums = sums;
	}
	pthread_cond_signal(&report->is_done);
	pthread_mutex_unlock(&report->lock);
}

void
quota_report_ask(struct quota_report *report, void (*wake)(void *arg),
		 void *arg, struct quota_sums *out)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)WAIT_NS;
	until.tv_sec += until.tv_nsec / (long)NS_PER_S;
	until.tv_nsec %= (long)NS_PER_S;
	pthread_mutex_lock(&report->lock);
	const uint64_t asked = ++report->asked;

	pthread_mutex_unlock(&report->lock);
	wake(arg);
	pthread_mutex_lock(&report->lock);
	while (report->done < asked &&
	       pthread_cond_clockwait(&report->is_done, &report->lock,
				      CLOCK_MONOTONIC, &until) == 0)
		;
	*out = *report->sums;
	pthread_mutex_unlock(&report->lock);
}
