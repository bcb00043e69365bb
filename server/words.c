/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words - the rings and stages of a four-letter word's job. What is collected
 * is in words_collect.c, what is said in words_text.c and words_lists.c.
 *
 * A core works on one collecting and one sending job per round, each for a few
 * microseconds: many clients that ask for long lists slow each other down and
 * nobody else.
 */
#include "server/words.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/ring.h"
#include "base/time.h"
#include "server/words_text.h"

#define JOBS_PER_CORE 64u
/* Rows and texts of all jobs together. */
#define JOB_BYTES_MAX (512ull << 20)
/* A client that takes nothing for so long is dropped. */
#define SEND_STALL_NS (10 * NS_PER_SECOND)

enum stage {
	STAGE_ASK,     /* core -> CTL */
	STAGE_COLLECT, /* CTL -> core: fill rows; core -> CTL: full, or done */
	STAGE_SEND,    /* CTL -> core: send and close */
	STAGE_DONE,    /* core -> CTL: the text may be freed */
	STAGE_IDLE,    /* CTL -> core: free again */
};

struct job {
	struct reader_word word;
	enum stage stage;
	struct words_plan plan;
	const void *pass_arg; /* borrowed until the job is done */
	/* STAGE_COLLECT */
	uint32_t step; /* the next one; steps are the readers, then the zab */
	uint32_t port; /* who collects now, */
	enum words_pass pass;         /* what, */
	struct words_cursor cursor;   /* how far it came, */
	enum words_progress progress; /* and why it is back */
	struct words_rows rows;       /* of all steps so far */
	/* STAGE_SEND */
	char *text;
	uint32_t text_bytes, sent_bytes;
	uint64_t progress_ns; /* when the client last took some; 0: not yet */
	bool is_blocked;      /* the last attempt sent nothing */
	/* Collected for somebody who is no word's connection; then there is no
	 * STAGE_SEND. */
	words_gathered_fn gathered;
	void *gathered_arg;
	struct job *next;
};

struct job_list {
	struct job *first, *last;
};

struct words_port {
	struct words *words;
	struct reader *reader;
	struct zab *zab;
	struct lcore *lcore;
	struct ring to_ctl, to_core;
	struct job jobs[JOBS_PER_CORE];
	struct job *free;
	struct job_list collecting, sending;
};

struct words {
	struct server *server;
	uint64_t job_bytes; /* rows and texts of all jobs */
	uint32_t port_count;
	struct words_port *ports;
	struct job gathers[WORDS_GATHERS_MAX];
	struct job *free_gather;
};

static int
port_init(struct words_port *port, struct words *words)
{
	const uint32_t jobs =
		JOBS_PER_CORE * words->port_count + WORDS_GATHERS_MAX;

	port->words = words;
	if (ring_init(&port->to_ctl, "to_ctl", jobs) != 0 ||
	    ring_init(&port->to_core, "to_core", jobs) != 0)
		return FAL_ENOMEM;
	for (uint32_t i = 0; i < JOBS_PER_CORE; i++) {
		port->jobs[i].next = port->free;
		port->free = &port->jobs[i];
	}
	return FAL_OK;
}

int
words_create(struct server *server, struct words **out)
{
	struct words *words = calloc(1, sizeof(*words));

	if (words == NULL)
		return FAL_ENOMEM;
	words->server = server;
	words->port_count = server->core_count;
	words->ports = calloc(words->port_count, sizeof(*words->ports));
	for (uint32_t i = 0; i < words->port_count; i++) {
		if (words->ports == NULL ||
		    port_init(&words->ports[i], words) != 0) {
			words_destroy(words);
			return FAL_ENOMEM;
		}
	}
	for (uint32_t i = 0; i < WORDS_GATHERS_MAX; i++) {
		words->gathers[i].next = words->free_gather;
		words->free_gather = &words->gathers[i];
	}
	server->trace_mask = WORDS_TRACE_MASK_DEFAULT;
	*out = words;
	return FAL_OK;
}

void
words_destroy(struct words *words)
{
	if (words == NULL)
		return;
	for (uint32_t c = 0; words->ports != NULL && c < words->port_count;
	     c++) {
		struct words_port *port = &words->ports[c];

		ring_free(&port->to_ctl);
		ring_free(&port->to_core);
		for (uint32_t i = 0; i < JOBS_PER_CORE; i++) {
			free(port->jobs[i].text);
			words_rows_free(&port->jobs[i].rows);
		}
	}
	for (uint32_t i = 0; i < WORDS_GATHERS_MAX; i++) {
		struct job *job = &words->gathers[i];

		if (job->gathered != NULL) /* so that its owner frees arg */
			job->gathered(job->gathered_arg, NULL);
		words_rows_free(&job->rows);
	}
	free(words->ports);
	free(words);
}

struct words_port *
words_port(struct words *words, uint32_t core)
{
	FAL_ASSERT(core < words->port_count);
	return &words->ports[core];
}

void
words_port_attach(struct words_port *port, struct reader *reader,
		  struct zab *zab, struct lcore *lcore)
{
	port->reader = reader;
	port->zab = zab;
	port->lcore = lcore;
}

/* ---- lists of jobs ------------------------------------------------------ */

static void
job_list_push(struct job_list *list, struct job *job)
{
	job->next = NULL;
	if (list->first == NULL)
		list->first = job;
	else
		list->last->next = job;
	list->last = job;
}

static struct job *
job_list_pop(struct job_list *list)
{
	struct job *job = list->first;

	if (job != NULL)
		list->first = job->next;
	return job;
}

/* ---- a poll core's side ------------------------------------------------- */

static void
push_to_ctl(struct words_port *port, struct job *job)
{
	const bool is_queued = ring_push(&port->to_ctl, job);

	FAL_ASSERT(is_queued); /* sized for all jobs of all cores */
	lcore_doorbell(&port->words->server->ctl_lcore);
}

bool
words_port_ask(void *arg, const struct reader_word *word)
{
	struct words_port *port = arg;
	struct job *job = port->free;

	if (job == NULL)
		return false;
	port->free = job->next;
	job->word = *word;
	job->stage = STAGE_ASK;
	push_to_ctl(port, job);
	return true;
}

/* A slice for the job whose turn it is. */
static bool
collect(struct words_port *port)
{
	struct job *job = job_list_pop(&port->collecting);

	if (job == NULL)
		return false;
	job->progress = words_collect(job->pass, port->reader, port->zab,
				      &job->cursor, &job->rows);
	if (job->progress == WORDS_MORE)
		job_list_push(&port->collecting, job);
	else
		push_to_ctl(port, job);
	return true;
}

/* A portion for the client whose turn it is; false: it takes nothing now. */
static bool
send_text(struct words_port *port, uint64_t now_ns)
{
	struct job *job = job_list_pop(&port->sending);

	if (job == NULL)
		return false;
	if (job->progress_ns == 0)
		job->progress_ns = now_ns;

	const struct reader_word *word = &job->word;
	const char *rest = job->text == NULL ? "" : job->text + job->sent_bytes;
	const int32_t taken =
		reader_send_text(port->reader, word->conn, word->conn_gen, rest,
				 job->text_bytes - job->sent_bytes);
	bool is_done = taken < 0;

	if (taken > 0) {
		job->sent_bytes += (uint32_t)taken;
		job->progress_ns = now_ns;
	} else if (now_ns - job->progress_ns > SEND_STALL_NS) {
		reader_drop_word(port->reader, word->conn, word->conn_gen);
		is_done = true;
	}
	job->is_blocked = taken == 0;
	if (is_done || job->sent_bytes == job->text_bytes) {
		job->stage = STAGE_DONE;
		push_to_ctl(port, job);
		return true;
	}
	job_list_push(&port->sending, job);
	return taken > 0;
}

static bool
take_job(struct words_port *port)
{
	struct job *job = ring_pop(&port->to_core);

	if (job == NULL)
		return false;
	switch (job->stage) {
	case STAGE_COLLECT:
		job_list_push(&port->collecting, job);
		break;
	case STAGE_SEND:
		job_list_push(&port->sending, job);
		break;
	default:
		FAL_ASSERT(job->stage == STAGE_IDLE);
		job->next = port->free;
		port->free = job;
	}
	return true;
}

bool
words_port_poll(void *arg, uint64_t now_ns)
{
	struct words_port *port = arg;
	bool did_work = take_job(port);

	did_work |= collect(port);
	did_work |= send_text(port, now_ns);
	return did_work;
}

/* Blocked clients are no work: their sockets wake the core. */
bool
words_port_has_work(const void *arg)
{
	const struct words_port *port = arg;

	if (port->collecting.first != NULL || ring_count(&port->to_core) > 0)
		return true;
	for (const struct job *job = port->sending.first; job != NULL;
	     job = job->next)
		if (!job->is_blocked)
			return true;
	return false;
}

/* ---- the control thread's side --------------------------------------------
 */

static void
push_to_core(struct words *words, uint32_t core, struct job *job)
{
	struct words_port *port = &words->ports[core];
	const bool is_queued = ring_push(&port->to_core, job);

	FAL_ASSERT(is_queued);
	lcore_doorbell(port->lcore);
}

static void
free_rows(struct words *words, struct job *job)
{
	FAL_ASSERT(words->job_bytes >= job->rows.bytes);
	words->job_bytes -= job->rows.bytes;
	words_rows_free(&job->rows);
}

/* The job is free before the rows are looked at, so that its owner may ask for
 * more; the rows are the owner's for the call. */
static void
give_rows(struct words *words, struct job *job, bool is_complete)
{
	const words_gathered_fn gathered = job->gathered;
	struct words_rows rows = job->rows;

	words->job_bytes -= rows.bytes;
	job->rows = (struct words_rows){0};
	job->gathered = NULL;
	job->stage = STAGE_IDLE;
	job->next = words->free_gather;
	words->free_gather = job;
	gathered(job->gathered_arg, is_complete ? &rows : NULL);
	words_rows_free(&rows);
}

/* Rows or not, the connection gets its answer or is closed. */
static void
answer(struct words *words, struct job *job, bool is_complete)
{
	if (job->gathered != NULL) {
		give_rows(words, job, is_complete);
		return;
	}

	const struct words_ask ask = {.server = words->server,
				      .rows = &job->rows,
				      .argument = job->word.argument};

	job->text = NULL;
	job->text_bytes = 0;
	job->sent_bytes = 0;
	job->progress_ns = 0;
	job->is_blocked = false;
	if (is_complete)
		job->text = words_text(&ask, job->word.word, &job->text_bytes);
	free_rows(words, job);
	words->job_bytes += job->text_bytes;
	job->stage = STAGE_SEND;
	push_to_core(words, job->word.core, job);
}

/* Room for more rows; false: over the bound, or no memory. */
static bool
grow_rows(struct words *words, struct job *job)
{
	if (words->job_bytes + job->rows.wanted > JOB_BYTES_MAX) {
		LOG_WARN("four-letter words would list more than %llu MB; a "
			 "connection is closed without its answer",
			 JOB_BYTES_MAX >> 20);
		return false;
	}

	const uint64_t grown = words_rows_grow(&job->rows);

	words->job_bytes += grown;
	return grown > 0;
}

/* Steps are the reader cores in turn, then the ZAB core, which is the last.
 * False: there is no more to collect. */
static bool
collect_next(struct words *words, struct job *job)
{
	const uint32_t readers = words->server->reader_count;

	while (job->step <= readers) {
		const bool is_zab = job->step == readers;

		job->pass = is_zab ? job->plan.zab_pass : job->plan.reader_pass;
		job->port = is_zab ? words->port_count - 1 : job->step;
		job->step++;
		if (job->pass == WORDS_PASS_NONE)
			continue;
		job->cursor = (struct words_cursor){.arg = job->pass_arg};
		job->stage = STAGE_COLLECT;
		push_to_core(words, job->port, job);
		return true;
	}
	return false;
}

static void
serve_collected(struct words *words, struct job *job)
{
	if (job->progress == WORDS_FULL) {
		if (grow_rows(words, job))
			push_to_core(words, job->port, job);
		else
			answer(words, job, false);
	} else if (!collect_next(words, job)) {
		answer(words, job, true);
	}
}

static void
serve(struct words *words, struct job *job)
{
	switch (job->stage) {
	case STAGE_ASK:
		job->step = 0;
		job->plan = words_plan_of(words->server, job->word.word);
		if (!collect_next(words, job))
			answer(words, job, true);
		return;
	case STAGE_COLLECT:
		serve_collected(words, job);
		return;
	default:
		FAL_ASSERT(job->stage == STAGE_DONE);
		words->job_bytes -= job->text_bytes;
		free(job->text);
		job->text = NULL;
		job->stage = STAGE_IDLE;
		push_to_core(words, job->word.core, job);
	}
}

bool
words_serve(struct words *words)
{
	bool did_work = false;

	for (uint32_t c = 0; c < words->port_count; c++) {
		struct job *job;

		while ((job = ring_pop(&words->ports[c].to_ctl)) != NULL) {
			serve(words, job);
			did_work = true;
		}
	}
	return did_work;
}

bool
words_gather(struct words *words, const struct words_plan *plan,
	     const void *pass_arg, words_gathered_fn gathered, void *arg)
{
	struct job *job = words->free_gather;

	if (job == NULL)
		return false;
	words->free_gather = job->next;
	*job = (struct job){
		.plan = *plan,
		.pass_arg = pass_arg,
		.gathered = gathered,
		.gathered_arg = arg,
	};
	if (!collect_next(words, job))
		answer(words, job, true);
	return true;
}

uint32_t
words_gather_core(const struct words *words, const void *arg)
{
	for (uint32_t i = 0; i < WORDS_GATHERS_MAX; i++)
		if (words->gathers[i].gathered != NULL &&
		    words->gathers[i].gathered_arg == arg)
			return words->gathers[i].port;
	return UINT32_MAX;
}
