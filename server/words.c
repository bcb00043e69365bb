/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words - the rings and stages of a four-letter word's job; what it says is
 * made in words_text.c.
 */
#include "server/words.h"

#include <stdlib.h>

#include "base/ring.h"
#include "server/words_text.h"

#define JOBS_PER_CORE 64u
/* Rows a core fills per round: a few microseconds. */
#define ROW_BURST 64u

enum stage {
	STAGE_ASK,     /* core -> CTL */
	STAGE_COLLECT, /* CTL -> core: fill rows */
	STAGE_SEND,    /* CTL -> core: send and close */
	STAGE_DONE,    /* core -> CTL: the text may be freed */
	STAGE_IDLE,    /* CTL -> core: free again */
};

struct job {
	struct reader_word word;
	enum stage stage;
	struct words_rows rows; /* of all cores so far */
	uint32_t next_core;     /* to collect from */
	uint32_t next_row;      /* within that core */
	uint32_t row_cap;
	char *text;
	uint32_t text_bytes;
	struct job *next;
};

struct words_port {
	struct words *words;
	struct reader *reader;
	struct lcore *lcore;
	struct ring to_ctl, to_core;
	struct job jobs[JOBS_PER_CORE];
	struct job *free;
	struct job *collecting;
};

struct words {
	struct server *server;
	uint32_t port_count;
	struct words_port *ports;
};

static int
port_init(struct words_port *port, struct words *words)
{
	const uint32_t jobs = JOBS_PER_CORE * words->port_count;

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
	words->port_count = server->reader_count;
	words->ports = calloc(words->port_count, sizeof(*words->ports));
	for (uint32_t i = 0; i < words->port_count; i++) {
		if (words->ports == NULL ||
		    port_init(&words->ports[i], words) != 0) {
			words_destroy(words);
			return FAL_ENOMEM;
		}
	}
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
			free(port->jobs[i].rows.row);
		}
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
		  struct lcore *lcore)
{
	port->reader = reader;
	port->lcore = lcore;
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

static bool
collect(struct words_port *port)
{
	struct job *job = port->collecting;

	if (job == NULL)
		return false;

	const uint32_t room = job->row_cap - job->rows.count;

	job->rows.count += reader_conn_rows(
		port->reader, &job->next_row, job->rows.row + job->rows.count,
		room < ROW_BURST ? room : ROW_BURST);
	if (job->next_row == 0 || job->rows.count == job->row_cap) {
		port->collecting = NULL;
		push_to_ctl(port, job);
	}
	return true;
}

bool
words_port_poll(void *arg, uint64_t now_ns)
{
	struct words_port *port = arg;

	(void)now_ns;
	if (port->collecting != NULL)
		return collect(port);

	struct job *job = ring_pop(&port->to_core);

	if (job == NULL)
		return false;
	switch (job->stage) {
	case STAGE_COLLECT:
		port->collecting = job;
		break;
	case STAGE_SEND:
		reader_send_text(port->reader, job->word.conn,
				 job->word.conn_gen, job->text,
				 job->text_bytes);
		job->stage = STAGE_DONE;
		push_to_ctl(port, job);
		break;
	default:
		FAL_ASSERT(job->stage == STAGE_IDLE);
		job->next = port->free;
		port->free = job;
	}
	return true;
}

bool
words_port_has_work(void *arg)
{
	struct words_port *port = arg;

	return port->collecting != NULL || ring_count(&port->to_core) > 0;
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
answer(struct words *words, struct job *job)
{
	job->text = words_text(words->server, job->word.word, &job->rows,
			       &job->text_bytes);
	job->stage = STAGE_SEND;
	push_to_core(words, job->word.core, job);
}

/* Sends the job to the next core for its rows; false: all have answered. */
static bool
collect_next(struct words *words, struct job *job)
{
	const struct server *server = words->server;

	if (job->next_core == words->port_count)
		return false;

	const uint32_t core = job->next_core++;
	const uint64_t live = atomic_load_explicit(
		&server->stats.core[core].word[STAT_CONNECTIONS],
		memory_order_relaxed);
	const uint32_t cap = job->rows.count + (uint32_t)live + ROW_BURST;
	struct reader_conn_row *row =
		realloc(job->rows.row, cap * sizeof(*row));

	if (row == NULL)
		return false;
	job->rows.row = row;
	job->row_cap = cap;
	job->next_row = 0;
	job->stage = STAGE_COLLECT;
	push_to_core(words, core, job);
	return true;
}

static void
serve(struct words *words, struct job *job)
{
	switch (job->stage) {
	case STAGE_ASK:
		job->next_core = 0;
		if (!words_needs_rows(words->server, job->word.word) ||
		    !collect_next(words, job))
			answer(words, job);
		return;
	case STAGE_COLLECT:
		if (!collect_next(words, job))
			answer(words, job);
		return;
	default:
		FAL_ASSERT(job->stage == STAGE_DONE);
		free(job->text);
		free(job->rows.row);
		job->text = NULL;
		job->rows = (struct words_rows){0};
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
