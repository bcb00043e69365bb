/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_snapshot - the command snapshot, as in ZooKeeper 3.9: BG writes one
 * that contains all that was committed when it was asked for, and the file is
 * sent. The download goes on in the HTTP thread; an open file outlives purge.
 *
 * A zxid that has its snapshot already needs no new one, but gets it all the
 * same: whoever asks wants to know that the disk took it.
 */
#include "server/admin_int.h"

#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "base/time.h"
#include "drivers/clock.h"
#include "server/admin_file.h"
#include "server/bg.h"
#include "store/file_name.h"

static uint64_t last_ns; /* the rate limit's; the control thread's */

static bool
is_streaming(const struct admin_request *request)
{
	return request->streaming[0] == 0 ||
	       strcasecmp(request->streaming, "true") == 0;
}

/* Why not, and with which status; NULL: go on. */
static const char *
refusal(struct server *server, unsigned *status)
{
	const struct config *config = server->config;
	const uint64_t now_ns = clock_now_ns();

	*status = ADMIN_UNAVAILABLE;
	if (!config->admin_snapshot_enabled)
		return "Snapshot command is disabled";
	if (!config->snap_last_zxid_enabled)
		return "Snapshot command requires "
		       "serializeLastProcessedZxid.enabled=true";
	*status = ADMIN_TOO_MANY;
	if (last_ns != 0 &&
	    now_ns - last_ns <
		    time_ms_to_ns((uint64_t)config->admin_rate_interval_ms)) {
		stats_add(server_ctl_stats(server), STAT_SNAPSHOT_RATE_LIMITED,
			  1);
		return "Rate limit exceeded";
	}
	last_ns = now_ns;
	return NULL;
}

void
admin_start_snapshot(struct admin_request *request)
{
	struct server *server = admin_server_to_change(request->admin);
	unsigned status;
	const char *error = refusal(server, &status);

	if (error != NULL) {
		admin_finish_error(request, status, error);
		return;
	}
	LOG_INFO("admin server: %s asks for a snapshot", request->peer);
	request->ticket = bg_snapshot_ask(server->bg);
	admin_wait(request, admin_poll_snapshot);
}

/* The file of that zxid, whatever its coding. */
static int
open_snapshot(const struct server *server, uint64_t zxid, uint64_t *bytes)
{
	static const enum file_coding codings[] = {FILE_PLAIN, FILE_GZ,
						   FILE_SNAPPY};
	char path[FILE_PATH_MAX];

	for (size_t i = 0; i < sizeof(codings) / sizeof(codings[0]); i++) {
		int fd;

		if (file_path_snapshot(path, server->data_dir.snap_dir, zxid,
				       codings[i]) != FAL_OK)
			continue;
		fd = admin_file_open(path, bytes);
		if (fd >= 0)
			return fd;
	}
	return -1;
}

static void
finish_without_stream(struct admin_request *request)
{
	admin_run_command(request, NULL);
}

bool
admin_poll_snapshot(struct admin_request *request)
{
	struct server *server = admin_server_to_change(request->admin);
	struct bg_snapshot_end end;
	uint64_t bytes = 0;
	int fd;

	bg_snapshot_last(server->bg, &end);
	if (end.number < request->ticket)
		return false;
	if (end.err == FAL_EAGAIN) { /* it could not begin: the next one */
		request->ticket = end.number + 1;
		return false;
	}
	fd = end.err == FAL_OK ? open_snapshot(server, end.zxid, &bytes) : -1;
	if (fd < 0) {
		stats_add(server_ctl_stats(server), STAT_SNAPSHOT_ERRORS, 1);
		admin_finish_error(request, ADMIN_ERROR,
				   "the snapshot could not be written; see the "
				   "log of the server");
		return true;
	}
	snprintf(request->last_zxid, sizeof(request->last_zxid), "0x%" PRIx64,
		 end.zxid);
	snprintf(request->snapshot_size, sizeof(request->snapshot_size),
		 "%" PRIu64, bytes);
	request->fd = fd;
	request->fd_bytes = bytes;
	if (is_streaming(request)) {
		admin_finish(request, ADMIN_OK, "application/octet-stream",
			     NULL, 0);
		return true;
	}
	admin_file_close(fd);
	request->fd = -1;
	finish_without_stream(request);
	return true;
}

/* ---- last_snapshot ------------------------------------------------------- */

struct newest {
	uint64_t zxid;
	bool is_there;
	char name[64];
};

static void
look_at(void *arg, const char *name)
{
	struct newest *newest = arg;
	const struct file_name parsed = file_name_parse(name);

	if (parsed.kind != FILE_SNAPSHOT ||
	    (newest->is_there && parsed.zxid < newest->zxid))
		return;
	newest->is_there = true;
	newest->zxid = parsed.zxid;
	snprintf(newest->name, sizeof(newest->name), "%s", name);
}

void
admin_put_last_snapshot(struct admin_answer *answer)
{
	const struct server *server = answer->server;
	const char *dir = server->data_dir.snap_dir;
	struct newest newest = {.is_there = false};
	char path[FILE_PATH_MAX], text[32];

	if (disk_list(server->disk, dir, look_at, &newest) != FAL_OK ||
	    !newest.is_there || file_path(path, dir, newest.name) != FAL_OK) {
		answer->error = "there is no snapshot";
		return;
	}
	snprintf(text, sizeof(text), "%" PRIx64, newest.zxid);
	json_text(answer->json, "zxid", text);
	json_int(answer->json, "timestamp", admin_file_seconds(path));
}
