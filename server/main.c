/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main - falconerd ZOO_CFG: one argument, in the foreground, log lines on
 * standard error, one line on standard output when it serves. SIGINT and
 * SIGTERM stop it in order; exit 0 then, 1 when it could not start. When its
 * data were replaced (server/replace.h) it stops in order and starts itself
 * again, as the same process.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/time.h"
#include "drivers/clock.h"
#include "server/audit.h"
#include "server/descriptors.h"
#include "server/net.h"
#include "server/server.h"

#define RESTORE_VARIABLE "FALCONER_RESTORE_FROM_NS"

static struct server server;
static _Atomic bool was_signalled;

static void
on_signal(int signal_number)
{
	(void)signal_number;
	atomic_store_explicit(&was_signalled, true, memory_order_relaxed);
	server_stop_async(&server);
}

static void
set_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* For people, or as a line of the log where that is read by programs. */
static void
say(const struct config *config, const char *text)
{
	if (config->log_format == LOG_FORMAT_JSON) {
		LOG_INFO("%s", text);
		return;
	}
	puts(text);
	fflush(stdout);
}

static void
say_ready(const struct config *config)
{
	char address[STREAM_ADDRESS_TEXT_MAX], text[LOG_TEXT_BYTES_MAX];

	stream_address_text(&server.bound, address);
	if (config->is_standalone)
		snprintf(text, sizeof(text),
			 "falconer serves ZooKeeper clients on %s, standalone, "
			 "data in %s, zxid 0x%llx",
			 address, config->data_dir,
			 (unsigned long long)server.last_zxid);
	else
		snprintf(text, sizeof(text),
			 "falconer is server %lld of %u, clients on %s, data "
			 "in %s, zxid 0x%llx",
			 (long long)config->myid, config->server_count, address,
			 config->data_dir,
			 (unsigned long long)server.last_zxid);
	say(config, text);
	if (net_address_text(&server, text, sizeof(text)))
		say(config, text);
}

/* How long it took from the complete upload until clients are served again, of
 * a process that was started by start_again(). */
static void
note_restore(void)
{
	const char *from = getenv(RESTORE_VARIABLE);

	if (from == NULL)
		return;
	stats_summary_record(
		server_ctl_stats(&server), SUMMARY_RESTORE_TIME,
		time_ns_to_ms(clock_now_ns() - strtoull(from, NULL, 10)));
	unsetenv(RESTORE_VARIABLE);
}

/* Returns only if it cannot be done. */
static void
start_again(char **argv)
{
	char from[32];

	snprintf(from, sizeof(from), "%llu",
		 (unsigned long long)server.restart_from_ns);
	setenv(RESTORE_VARIABLE, from, 1);
	execv("/proc/self/exe", argv);
	LOG_ERROR("/proc/self/exe cannot be executed: the server stops; start "
		  "it again, it has the new data");
}

static int
serve(const struct config *config)
{
	struct server_error error = {0};
	int err = server_build(&server, config, &error);

	if (err == FAL_OK) {
		set_signals();
		err = server_start(&server, &error);
	}
	if (err == FAL_OK) {
		say_ready(config);
		note_restore();
		audit_note_server(server.audit, "serverStart", "success");
		server_run(&server);
		LOG_INFO("stopping");
	} else {
		LOG_ERROR("cannot start: %s",
			  error.text[0] != 0 ? error.text : fal_err_str(err));
	}
	server_stop(&server);
	if (err == FAL_OK)
		audit_note_server(server.audit, "serverStop", "invoked");
	server_free(&server);
	return err == FAL_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
main(int argc, char **argv)
{
	struct config config;
	struct config_error error;

	if (argc != 2 || argv[1][0] == '-') {
		fprintf(stderr,
			"usage: falconerd ZOO_CFG\n"
			"Serves ZooKeeper clients as the configuration file "
			"says; configs/ has samples.\n");
		return argc == 2 ? EXIT_SUCCESS : 2;
	}
	if (config_load(argv[1], &config, &error) != FAL_OK) {
		LOG_ERROR("%s", error.text);
		return EXIT_FAILURE;
	}
	log_setup(&(struct log_options){.level = config.log_level,
					.format = config.log_format,
					.fd = 2});
	for (uint32_t i = 0; i < config.warning_count; i++)
		LOG_WARN("%s", config.warning[i]);

	const uint64_t descriptors = descriptors_prepare();

	if (config.connections_max > 0 &&
	    descriptors < (uint64_t)config.connections_max)
		LOG_WARN("maxCnxns=%d, but this process may have %llu open "
			 "files: raise the hard limit (ulimit -Hn, or "
			 "LimitNOFILE of the unit)",
			 config.connections_max,
			 (unsigned long long)descriptors);

	const int status = serve(&config);

	config_free(&config);
	if (server.must_restart &&
	    !atomic_load_explicit(&was_signalled, memory_order_relaxed))
		start_again(argv);
	return status;
}
