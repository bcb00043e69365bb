/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin - life of the HTTP server, its routes, and the way of a request.
 *
 * A request is answered at once, or it waits: for rows of poll cores (struct
 * admin_gather) or for a snapshot. What waits is in a list that the control
 * thread looks through; who waits too long is told so. Rows that come after
 * that find nobody and are dropped.
 */
#include "server/admin_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/time.h"
#include "drivers/clock.h"
#include "server/listen.h"
#include "server/member.h"
#include "server/metrics.h"

#define SWEEP_NS NS_PER_SECOND

enum admin_state { ADMIN_STARTING, ADMIN_SERVING, ADMIN_STOPPING };

struct admin {
	struct server *server;
	struct admin_http *http;    /* NULL: no admin server */
	struct admin_http *metrics; /* NULL: no port of its own */
	_Atomic int state;          /* enum admin_state */
	_Atomic(const char *) phase;
	struct admin_request *waiting;
	struct admin_history *history;
	uint64_t swept_ns;
	struct admin_request *at_end; /* answered when all has stopped */
	bool is_woken; /* a request goes on elsewhere than in admin_serve() */
};

/* Survives its request: the rows come whether it still waits or not. */
struct admin_gather {
	struct admin_request *request; /* NULL: it was answered meanwhile */
	admin_rows_fn rows_fn;
	struct auth_ids *ids; /* what a pass borrows */
	int percentage;
};

/* ---- answers ------------------------------------------------------------- */

static void
forget_gather(struct admin_request *request)
{
	if (request->gather != NULL)
		request->gather->request = NULL;
	request->gather = NULL;
}

static void
leave_waiting(struct admin_request *request)
{
	struct admin_request **at = &request->admin->waiting;

	while (*at != NULL && *at != request)
		at = &(*at)->next;
	if (*at == request)
		*at = request->next;
}

void
admin_finish(struct admin_request *request, unsigned status,
	     const char *content_type, char *text, size_t bytes)
{
	forget_gather(request);
	leave_waiting(request);
	request->status =
		text == NULL && request->fd < 0 ? ADMIN_ERROR : status;
	request->content_type = content_type;
	request->text = text;
	request->bytes = text == NULL ? 0 : bytes;
	admin_http_give(request);
}

bool
admin_text_begin(struct admin_text *text)
{
	text->text = NULL;
	text->bytes = 0;
	text->out = open_memstream(&text->text, &text->bytes);
	return text->out != NULL;
}

/* A failed write means there was no memory for the text. */
static char *
text_close(struct admin_text *text)
{
	const bool is_whole = !ferror(text->out) && fflush(text->out) == 0;

	if (fclose(text->out) == 0 && is_whole)
		return text->text;
	free(text->text);
	return NULL;
}

void
admin_text_finish(struct admin_text *text, struct admin_request *request,
		  unsigned status, const char *content_type)
{
	char *whole = text_close(text);

	admin_finish(request, status, content_type, whole, text->bytes);
}

/* What a command says when it could not be run. */
static bool
put_error(struct admin_text *text, const char *command, const char *error)
{
	struct json json;

	if (!admin_text_begin(text))
		return false;
	json = json_to(text->out);
	json_object_begin(&json, NULL);
	json_text(&json, "command", command);
	json_text(&json, "error", error);
	json_object_end(&json);
	return true;
}

static const char *
command_name(const struct admin_request *request)
{
	const char *slash = strrchr(request->path, '/');

	if (request->command != NULL)
		return request->command->name;
	return slash == NULL ? request->path : slash + 1;
}

void
admin_finish_error(struct admin_request *request, unsigned status,
		   const char *error)
{
	struct admin_text text;

	if (put_error(&text, command_name(request), error))
		admin_text_finish(&text, request, status, "application/json");
	else
		admin_finish(request, ADMIN_ERROR, "application/json", NULL, 0);
}

void
admin_finish_plain(struct admin_request *request, unsigned status,
		   const char *text)
{
	char *copy = strdup(text);

	admin_finish(request, status, "text/plain; charset=utf-8", copy,
		     copy == NULL ? 0 : strlen(copy));
}

/* ---- rows ---------------------------------------------------------------- */

static void
on_rows(void *arg, const struct words_rows *rows)
{
	struct admin_gather *gather = arg;
	struct admin_request *request = gather->request;
	const admin_rows_fn rows_fn = gather->rows_fn;

	if (request != NULL) {
		request->gather = NULL;
		leave_waiting(request);
		request->ids = gather->ids;
		gather->ids = NULL;
		request->admin->is_woken = true;
	}
	auth_ids_free(gather->ids);
	free(gather);
	if (request == NULL)
		return;
	if (rows == NULL)
		admin_finish_error(request, ADMIN_UNAVAILABLE,
				   "too much to list; see the log");
	else
		rows_fn(request, rows);
}

static void
wait_in_list(struct admin_request *request, uint64_t deadline_ns)
{
	request->deadline_ns = deadline_ns;
	request->next = request->admin->waiting;
	request->admin->waiting = request;
}

void
admin_gather(struct admin_request *request, const struct words_plan *plan,
	     const void *pass_arg, admin_rows_fn rows_fn)
{
	struct admin_gather *gather = calloc(1, sizeof(*gather));

	if (gather == NULL) {
		admin_finish_error(request, ADMIN_ERROR, "out of memory");
		return;
	}
	/* A pass may outlive the request; what it looks at goes along. */
	gather->request = request;
	gather->rows_fn = rows_fn;
	gather->ids = request->ids;
	gather->percentage = request->percentage;
	if (pass_arg == &request->percentage)
		pass_arg = &gather->percentage;
	request->ids = NULL;
	request->gather = gather;
	wait_in_list(request, clock_now_ns() + ADMIN_TIMEOUT_NS);
	if (words_gather(request->admin->server->words, plan, pass_arg, on_rows,
			 gather))
		return;
	request->ids = gather->ids;
	forget_gather(request);
	free(gather);
	admin_finish_error(request, ADMIN_UNAVAILABLE,
			   "too many requests at a time");
}

void
admin_wait(struct admin_request *request, bool (*poll)(struct admin_request *))
{
	request->poll = poll;
	wait_in_list(request, UINT64_MAX);
}

void
admin_answer_at_end(struct admin_request *request)
{
	leave_waiting(request);
	request->admin->at_end = request;
}

/* Nobody waits for ever on a core that does not poll. */
static void
finish_late(struct admin_request *request)
{
	const uint32_t core = words_gather_core(request->admin->server->words,
						request->gather);
	char text[128];

	snprintf(text, sizeof(text),
		 "poll core %u has not answered for %u s; see /livez", core,
		 (unsigned)(ADMIN_TIMEOUT_NS / NS_PER_SECOND));
	LOG_WARN("admin server: %s: %s", request->path, text);
	admin_finish_error(request, ADMIN_UNAVAILABLE, text);
}

static bool
poll_waiting(struct admin *admin)
{
	const uint64_t now_ns = clock_now_ns();
	bool did_work = false;
	struct admin_request *next;

	for (struct admin_request *r = admin->waiting; r != NULL; r = next) {
		next = r->next;
		if (r->gather == NULL)
			did_work |= r->poll(r);
		else if (now_ns >= r->deadline_ns)
			finish_late(r);
	}
	return did_work;
}

/* ---- routes -------------------------------------------------------------- */

static void
answer_metrics(struct admin_request *request)
{
	struct admin_text text;

	if (!admin_text_begin(&text)) {
		admin_finish_plain(request, ADMIN_ERROR, "out of memory\n");
		return;
	}
	metrics_put_prometheus(text.out, request->admin->server);
	admin_text_finish(&text, request, ADMIN_OK,
			  "text/plain; version=0.0.4; charset=utf-8");
}

static void
answer_list(struct admin_request *request)
{
	struct admin_text text;

	if (!admin_text_begin(&text)) {
		admin_finish_plain(request, ADMIN_ERROR, "out of memory\n");
		return;
	}
	admin_put_command_list(text.out,
			       request->admin->server->config->admin_url);
	admin_text_finish(&text, request, ADMIN_OK, "text/html; charset=utf-8");
}

static void
run_command(struct admin_request *request)
{
	const struct admin_command *command = request->command;

	if (command->start != NULL)
		command->start(request);
	else if (command->plan.reader_pass != WORDS_PASS_NONE ||
		 command->plan.zab_pass != WORDS_PASS_NONE)
		admin_gather(request, &command->plan, NULL, admin_run_command);
	else
		admin_run_command(request, NULL);
}

/* May it run without showing who asks? */
static bool
is_free_for_all(const struct admin_request *request)
{
	const struct admin_command *command = request->command;

	if (command->needs_auth)
		return false;
	return command->word == NULL ||
	       config_word_allowed(request->admin->server->config,
				   command->word);
}

static void
answer_command(struct admin_request *request, const char *name)
{
	const struct admin_command *command = admin_command_find(name);
	char text[ADMIN_PATH_BYTES + 32];

	request->command = command;
	if (command == NULL) {
		snprintf(text, sizeof(text), "Unknown command: %s", name);
		admin_finish_error(request, ADMIN_OK, text);
	} else if (command->is_post != (request->method == ADMIN_POST)) {
		admin_finish_error(request, ADMIN_BAD_METHOD,
				   command->is_post ? "use POST" : "use GET");
	} else if (!command->is_always &&
		   member_mode(request->admin->server) == NULL) {
		admin_finish_error(request, ADMIN_OK, ADMIN_NOT_SERVING);
	} else if (is_free_for_all(request)) {
		run_command(request);
	} else {
		admin_authorise(request, run_command);
	}
}

/* The rest of the path behind admin.commandURL; NULL: another path. */
static const char *
command_of_path(const struct admin_request *request)
{
	const char *url = request->admin->server->config->admin_url;
	const size_t bytes = strlen(url);

	if (strncmp(request->path, url, bytes) != 0)
		return NULL;
	if (request->path[bytes] == 0)
		return "";
	return request->path[bytes] == '/' ? request->path + bytes + 1 : NULL;
}

static void
route(struct admin_request *request)
{
	static const struct {
		const char *path;
		void (*answer)(struct admin_request *);
	} pages[] = {
		{"/metrics", answer_metrics},  {"/status.json", admin_status},
		{"/livez", admin_livez},       {"/readyz", admin_readyz},
		{"/startupz", admin_startupz},
	};
	const char *name = command_of_path(request);
	const size_t count =
		request->is_metrics_only ? 1 : sizeof(pages) / sizeof(pages[0]);

	if (request->body_state == ADMIN_BODY_WHOLE) {
		admin_restore_whole(request);
		return;
	}
	if (request->is_too_long) {
		admin_finish_plain(request, ADMIN_BAD_REQUEST,
				   "path or header too long\n");
		return;
	}
	if (request->method == ADMIN_OTHER) {
		admin_finish_plain(request, ADMIN_BAD_METHOD, "use GET\n");
		return;
	}
	for (size_t i = 0; i < count; i++) {
		if (strcmp(request->path, pages[i].path) != 0)
			continue;
		pages[i].answer(request);
		return;
	}
	if (name == NULL || request->is_metrics_only)
		admin_finish_plain(request, ADMIN_NOT_FOUND, "not found\n");
	else if (name[0] == 0)
		answer_list(request);
	else
		answer_command(request, name);
}

/* ---- before and after serving: the HTTP thread --------------------------- */

bool
admin_is_upload(const struct admin_request *request)
{
	const char *name = command_of_path(request);
	const struct admin_command *command =
		name == NULL ? NULL : admin_command_find(name);

	return command != NULL && command->takes_upload &&
	       request->method == ADMIN_POST && !request->is_metrics_only &&
	       !request->is_too_long;
}

bool
admin_is_serving(const struct admin *admin)
{
	return atomic_load_explicit(&admin->state, memory_order_acquire) ==
	       ADMIN_SERVING;
}

const char *
admin_phase(const struct admin *admin)
{
	return atomic_load_explicit(&admin->phase, memory_order_acquire);
}

const struct server *
admin_server(const struct admin *admin)
{
	return admin->server;
}

struct server *
admin_server_to_change(struct admin *admin)
{
	return admin->server;
}

const struct admin_history *
admin_history_of(const struct admin *admin)
{
	return admin->history;
}

static void
set_plain(struct admin_request *request, unsigned status, const char *what)
{
	const char *phase = admin_phase(request->admin);
	const size_t room = strlen(what) + strlen(phase) + 8;
	char *text = malloc(room);

	request->status = status;
	request->content_type = "text/plain; charset=utf-8";
	request->text = text;
	request->bytes = text == NULL ? 0
				      : (size_t)snprintf(text, room, "%s%s\n",
							 what, phase);
}

void
admin_answer_unserved(struct admin_request *request)
{
	struct admin_text text;

	if (strcmp(request->path, "/livez") == 0) {
		set_plain(request, ADMIN_OK, "[+]process ok: ");
	} else if (command_of_path(request) != NULL &&
		   !request->is_metrics_only &&
		   put_error(&text, command_name(request), ADMIN_NOT_SERVING)) {
		request->status = ADMIN_OK; /* as ZooKeeper does */
		request->content_type = "application/json";
		request->text = text_close(&text);
		request->bytes = request->text == NULL ? 0 : text.bytes;
	} else {
		set_plain(request, ADMIN_UNAVAILABLE, "[-]not serving: ");
	}
}

/* ---- the control thread's loop ------------------------------------------- */

static bool
take_requests(struct admin *admin, struct admin_http *http)
{
	struct admin_request *request;
	bool did_work = false;

	while (http != NULL && (request = admin_http_take(http)) != NULL) {
		request->next = NULL;
		route(request);
		did_work = true;
	}
	did_work |= admin->is_woken;
	admin->is_woken = false;
	return did_work;
}

bool
admin_serve(struct admin *admin)
{
	bool did_work = false;
	uint64_t now_ns;

	if (admin == NULL)
		return false;
	now_ns = clock_now_ns();
	admin_history_poll(admin->history, admin->server, now_ns);
	did_work |= take_requests(admin, admin->http);
	did_work |= take_requests(admin, admin->metrics);
	did_work |= poll_waiting(admin);
	if (now_ns - admin->swept_ns > SWEEP_NS) {
		admin->swept_ns = now_ns;
		if (admin->http != NULL)
			admin_http_sweep(admin->http, now_ns);
		if (admin->metrics != NULL)
			admin_http_sweep(admin->metrics, now_ns);
	}
	return did_work;
}

/* ---- life ---------------------------------------------------------------- */

void
admin_set_phase(struct admin *admin, const char *phase)
{
	if (admin != NULL)
		atomic_store_explicit(&admin->phase, phase,
				      memory_order_release);
}

void
admin_set_serving(struct admin *admin)
{
	if (admin == NULL)
		return;
	admin_set_phase(admin, "serving");
	/* Pairs with the acquire in admin_is_serving(): all of the server is
	 * there. */
	atomic_store_explicit(&admin->state, ADMIN_SERVING,
			      memory_order_release);
}

/* Nobody asked for port 8080, so another program may have it: two servers on
 * one machine start with the same file but for the ports they know of. */
static int
start_http(struct admin *admin, struct server_error *error)
{
	const struct config *config = admin->server->config;
	char why[128];
	int err;

	if (!config->admin_enabled)
		return FAL_OK;
	err = admin_http_start(admin, config->admin_address, config->admin_port,
			       false, &admin->http, why, sizeof(why));
	if (err == FAL_OK)
		return FAL_OK;
	if (!config_is_written(config, "admin.serverPort") &&
	    !config_is_written(config, "admin.enableServer")) {
		LOG_WARN("admin server: port %d on %s: %s; it is off. Set "
			 "admin.serverPort to a free port, or "
			 "admin.enableServer=false",
			 config->admin_port, config->admin_address, why);
		return FAL_OK;
	}
	snprintf(error->text, sizeof(error->text),
		 "admin.serverPort=%d on admin.serverAddress=%s: %s; %s",
		 config->admin_port, config->admin_address, why,
		 listen_remedy(err, false));
	return err;
}

static int
start_metrics(struct admin *admin, struct server_error *error)
{
	const struct config *config = admin->server->config;
	char why[128];
	int err;

	if (!config->metrics_enabled)
		return FAL_OK;
	err = admin_http_start(admin, config->metrics_host,
			       config->metrics_port, true, &admin->metrics, why,
			       sizeof(why));
	if (err != FAL_OK)
		snprintf(error->text, sizeof(error->text),
			 "metricsProvider.httpPort=%d on "
			 "metricsProvider.httpHost=%s: %s; %s",
			 config->metrics_port, config->metrics_host, why,
			 listen_remedy(err, false));
	return err;
}

int
admin_start(struct server *server, struct server_error *error)
{
	struct admin *admin;
	int err;

	if (!server->config->admin_enabled && !server->config->metrics_enabled)
		return FAL_OK;
	admin = calloc(1, sizeof(*admin));
	if (admin == NULL)
		return FAL_ENOMEM;
	server->admin = admin;
	admin->server = server;
	admin_set_phase(admin, "starting");
	admin->history = admin_history_create();
	if (admin->history == NULL)
		return FAL_ENOMEM;
	err = start_http(admin, error);
	return err != FAL_OK ? err : start_metrics(admin, error);
}

void
admin_stop(struct admin *admin)
{
	if (admin == NULL)
		return;
	admin_set_phase(admin, "stopping");
	atomic_store_explicit(&admin->state, ADMIN_STOPPING,
			      memory_order_release);
	while (admin->waiting != NULL)
		admin_finish_error(admin->waiting, ADMIN_UNAVAILABLE,
				   ADMIN_NOT_SERVING);
	if (admin->at_end != NULL)
		return;
	admin_http_stop(admin->http);
	admin_http_stop(admin->metrics);
	admin->http = NULL;
	admin->metrics = NULL;
}

void
admin_stop_at_last(struct admin *admin, int err)
{
	struct admin_request *request = admin == NULL ? NULL : admin->at_end;

	if (request == NULL)
		return;
	admin->at_end = NULL;
	if (err == FAL_OK)
		admin_run_command(request, NULL);
	else
		admin_finish_error(request, ADMIN_ERROR,
				   "the data could not be replaced; see the "
				   "log of the server");
	admin_http_flush(admin->http);
	admin_stop(admin);
}

void
admin_destroy(struct admin *admin)
{
	if (admin == NULL)
		return;
	admin_stop(admin);
	admin_history_destroy(admin->history);
	free(admin);
}
