/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints a znode's data, and again whenever it changes, over restarts of
 * servers and network failures.
 *
 *   cc watch_config.c $(pkg-config --cflags --libs --static falconer-client) \
 *           -o watch_config
 *   ./watch_config 127.0.0.1:2181 /app/config
 */
#include <stdio.h>

#include "base/fal.h"
#include "client/zc.h"

struct app {
	struct zc *zc;
	const char *path;
	struct zc_watch watch;
	bool is_over;
};

static void
on_data(void *arg, struct zc_reply *reply)
{
	struct app *app = arg;

	if (reply->err == ZC_OK)
		printf("%s = %.*s (version %d)\n", app->path,
		       (int)reply->data.bytes, (const char *)reply->data.data,
		       reply->stat.version);
	else if (reply->err != ZC_CONNECTIONLOSS)
		printf("%s: %s\n", app->path, zc_err_str(reply->err));
	fflush(stdout);
}

static void
on_change(void *arg, enum zc_event event, struct zc_bytes path)
{
	struct app *app = arg;

	(void)path;
	if (event == ZC_NODE_CREATED || event == ZC_NODE_DATA_CHANGED)
		(void)zc_get(app->zc, app->path, NULL, on_data, app);
	else if (event == ZC_NODE_DELETED)
		printf("%s is gone\n", app->path);
	fflush(stdout);
}

static void
on_state(void *arg, struct zc *zc, enum zc_state state)
{
	struct app *app = arg;

	(void)zc;
	if (state == ZC_CONNECTED) /* whatever happened meanwhile */
		(void)zc_get(app->zc, app->path, NULL, on_data, app);
	app->is_over = state >= ZC_EXPIRED;
}

int
main(int argc, char **argv)
{
	struct app app = {.watch = {.fn = on_change, .arg = &app}};
	const struct zc_options options = {.on_state = on_state, .arg = &app};
	struct zc_loop *loop = NULL;
	int err;

	if (argc != 3) {
		fprintf(stderr, "usage: %s SERVERS PATH\n", argv[0]);
		return 2;
	}
	app.path = argv[2];
	err = zc_loop_create(NULL, &loop);
	if (err == FAL_OK)
		err = zc_open(loop, argv[1], &options, &app.zc);
	if (err == FAL_OK)
		err = zc_add_watch(app.zc, app.path, ZC_WATCH_PERSISTENT,
				   &app.watch, NULL, NULL);
	if (err != FAL_OK) {
		fprintf(stderr, "%s %s: %s\n", argv[1], argv[2],
			err == FAL_EINVAL ? "not a server list or a path"
					  : fal_err_str(err));
		return 1;
	}
	while (!app.is_over)
		zc_loop_step(loop, 1000);
	fprintf(stderr, "the session is over, start again\n");
	zc_loop_destroy(loop);
	return 1;
}
