/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_restore - the command restore, as in ZooKeeper 3.9: the body of a POST
 * is a snapshot, which takes the place of the server's data.
 *
 * Who asks is known before a byte of the body is read: the request is handed
 * over when its header is there, and its connection goes on reading only then
 * (admin_http_take_body()). The answer comes when the new data count, whatever
 * happens next; the server then starts itself again (server/replace.h).
 */
#include "server/admin_int.h"

#include "base/log.h"
#include "base/time.h"
#include "drivers/clock.h"
#include "server/replace.h"

static uint64_t last_ns; /* the rate limit's; the control thread's */

/* Why not, and with which status; NULL: go on. */
static const char *
refusal(struct server *server, unsigned *status)
{
	const struct config *config = server->config;
	const uint64_t now_ns = clock_now_ns();

	*status = ADMIN_UNAVAILABLE;
	if (!config->admin_restore_enabled)
		return "Restore command is disabled";
	*status = ADMIN_ERROR;
	if (!config->snap_last_zxid_enabled)
		return "Restore command requires "
		       "serializeLastProcessedZxid.enabled=true";
	*status = ADMIN_TOO_MANY;
	if (last_ns != 0 &&
	    now_ns - last_ns <
		    time_ms_to_ns((uint64_t)config->admin_rate_interval_ms)) {
		stats_add(server_ctl_stats(server), STAT_RESTORE_RATE_LIMITED,
			  1);
		return "Rate limit exceeded";
	}
	last_ns = now_ns;
	return NULL;
}

static void
fail(struct admin_request *request, unsigned status, const char *why)
{
	struct server *server = request->replace_server;

	stats_add(server_ctl_stats(server), STAT_RESTORE_ERRORS, 1);
	LOG_WARN("admin server: restore asked for by %s: %s; the data are "
		 "unchanged",
		 request->peer, why);
	request->replace = NULL;
	replace_drop(server);
	admin_finish_error(request, status, why);
}

void
admin_start_restore(struct admin_request *request)
{
	struct server *server = admin_server_to_change(request->admin);
	unsigned status;
	const char *error = refusal(server, &status);
	int err;

	request->replace_server = server;
	if (error != NULL) {
		admin_finish_error(request, status, error);
		return;
	}
	err = replace_begin(server, &request->replace);
	if (err == FAL_EBUSY) {
		admin_finish_error(request, ADMIN_TOO_MANY,
				   "another restore is under way");
	} else if (err != FAL_OK) {
		fail(request, ADMIN_ERROR, fal_err_str(err));
	} else {
		LOG_WARN("admin server: %s sends a snapshot that is to replace "
			 "all data",
			 request->peer);
		admin_http_take_body(request);
	}
}

void
admin_restore_whole(struct admin_request *request)
{
	struct replace *replace = request->replace;
	int err;

	if (replace_bytes(replace) == 0) {
		fail(request, ADMIN_BAD_REQUEST,
		     "the body must be a snapshot, as the command snapshot "
		     "sends it");
		return;
	}
	request->replace_server->restart_from_ns = clock_now_ns();
	err = replace_check(replace);
	if (err != FAL_OK)
		fail(request, ADMIN_ERROR, fal_err_str(err));
	else
		admin_wait(request, admin_poll_restore);
}

bool
admin_poll_restore(struct admin_request *request)
{
	struct server *server = request->replace_server;

	switch (replace_state(request->replace)) {
	case REPLACE_REFUSED:
		fail(request, ADMIN_ERROR, replace_why(request->replace));
		return true;
	case REPLACE_READY:
		request->restored_zxid = replace_zxid(request->replace);
		admin_answer_at_end(request);
		server->must_restart = true;
		server_stop_async(server);
		return true;
	default:
		return false;
	}
}

void
admin_put_restore(struct admin_answer *answer)
{
	json_uint(answer->json, "last_zxid", answer->request->restored_zxid);
}
