/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main - falconerd [-Dkey=value]... ZOO_CFG: in the foreground, log lines on
 * standard error, one line on standard output when it serves. SIGINT, SIGTERM
 * and SIGHUP stop it in order; exit 0 then, 1 when it could not start, 2 when
 * the command line or the configuration is wrong, as ZooKeeper's. When its data
 * were replaced (server/replace.h) it stops in order and starts itself again,
 * as the same process.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/time.h"
#include "drivers/clock.h"
#include "drivers/notify.h"
#include "server/audit.h"
#include "server/descriptors.h"
#include "server/net.h"
#include "server/server.h"
#include "server/version.h"

#define RESTORE_VARIABLE "FALCONER_RESTORE_FROM_NS"
#define EXIT_WRONG       2
/* Of the JVM: heap, collector. */
#define JVM_FLAG "-X"

static const char usage[] =
	"usage: falconerd [-Dkey=value]... ZOO_CFG\n"
	"       falconerd --help | --version\n"
	"\n"
	"Serves ZooKeeper clients as the configuration file says, in the\n"
	"foreground, until SIGTERM or SIGINT.\n"
	"\n"
	"  -Dkey=value  a system property as the JVM takes it, such as\n"
	"               -Dzookeeper.snapCount=50000; a line of the file with\n"
	"               this key overrides it\n"
	"  -X...        of the JVM; passed over with a warning\n"
	"\n"
	"configs/ has samples, docs/config.md the keys.\n";

static struct server server;
static _Atomic bool was_signalled;

/* Until there is something to stop in order, a signal ends the process; but
 * process 1 of a container ignores those it has no handler for. */
static void
on_early_signal(int signal_number)
{
	sigset_t own;

	sigemptyset(&own);
	sigaddset(&own, signal_number);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
	pthread_sigmask(SIG_UNBLOCK, &own, NULL);
	_exit(128 + signal_number);
}

static void
on_signal(int signal_number)
{
	(void)signal_number;
	atomic_store_explicit(&was_signalled, true, memory_order_relaxed);
	server_stop_async(&server);
}

/* Of a server that is being freed there is nothing to stop any more. */
static void
on_late_signal(int signal_number)
{
	(void)signal_number;
	atomic_store_explicit(&was_signalled, true, memory_order_relaxed);
}

static void
set_signals(void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler};
	struct sigaction before;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	/* The terminal is gone; under nohup that is no reason to stop. */
	if (sigaction(SIGHUP, NULL, &before) == 0 &&
	    before.sa_handler != SIG_IGN)
		sigaction(SIGHUP, &action, NULL);
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

static void
notify(const char *state)
{
	if (notify_send(state) != FAL_OK)
		LOG_WARN("NOTIFY_SOCKET=%s cannot be written to: systemd does "
			 "not hear that %s; NotifyAccess of the unit?",
			 getenv("NOTIFY_SOCKET"), state);
}

static int
serve(const struct config *config)
{
	struct server_error error = {0};
	/* A file beyond ulimit -f is an error like a full disk. */
	signal(SIGXFSZ, SIG_IGN);
	set_signals(on_early_signal);

	int err = server_build(&server, config, &error);

	if (err == FAL_OK) {
		set_signals(on_signal);
		err = server_start(&server, &error);
	}
	if (err == FAL_OK) {
		say_ready(config);
		notify("READY=1");
		note_restore();
		audit_note_server(server.audit, "serverStart", "success");
		server_run(&server);
		LOG_INFO("stopping");
		/* To systemd a process that starts itself again goes on. */
		if (!server.must_restart)
			notify("STOPPING=1");
	} else {
		LOG_ERROR("cannot start: %s",
			  error.text[0] != 0 ? error.text : fal_err_str(err));
	}
	server_stop(&server);
	if (err == FAL_OK)
		audit_note_server(server.audit, "serverStop", "invoked");
	set_signals(on_late_signal);
	server_free(&server);
	return err == FAL_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static bool
begins_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Options, then one file. Returns the place of the file; 0: there is nothing
 * more to do, and *status says how it went. */
static int
read_arguments(int argc, char **argv, int *status)
{
	int at = 1;

	*status = EXIT_WRONG;
	for (; at < argc && argv[at][0] == '-'; at++) {
		if (strcmp(argv[at], "-h") == 0 ||
		    strcmp(argv[at], "--help") == 0) {
			fputs(usage, stdout);
			*status = EXIT_SUCCESS;
			return 0;
		}
		if (strcmp(argv[at], "--version") == 0) {
			puts("falconerd " VERSION_TEXT);
			*status = EXIT_SUCCESS;
			return 0;
		}
		if (!begins_with(argv[at], CONFIG_FLAG) &&
		    !begins_with(argv[at], JVM_FLAG)) {
			fprintf(stderr, "falconerd: %s is no option\n%s",
				argv[at], usage);
			return 0;
		}
	}
	if (at == argc - 1)
		return at;
	fputs(usage, stderr);
	return 0;
}

/* What is odd and no reason to stop. */
static void
warn(const struct config *config, int option_count, char *const *option)
{
	const uint64_t descriptors = descriptors_prepare();
	const uint64_t room = descriptors_for_clients();
	const uint64_t wanted = config->connections_max > 0
					? (uint64_t)config->connections_max
					: config->core_connections_max;

	for (int i = 0; i < option_count; i++)
		if (begins_with(option[i], JVM_FLAG))
			LOG_WARN("%s: there is no JVM, ignored", option[i]);
	for (uint32_t i = 0; i < config->warning_count; i++)
		LOG_WARN("%s", config->warning[i]);
	/* Our own TCP takes none. */
	if (room < wanted && config->dataplane == CONFIG_DATAPLANE_KERNEL)
		LOG_WARN("%s=%llu, but this process may have %llu open files, "
			 "and %llu of them for clients: raise the hard limit "
			 "(ulimit -Hn, or LimitNOFILE of the unit)",
			 config->connections_max > 0
				 ? "maxCnxns"
				 : "falconer.connections.max",
			 (unsigned long long)wanted,
			 (unsigned long long)descriptors,
			 (unsigned long long)room);
}

int
main(int argc, char **argv)
{
	struct config config;
	struct config_error error;
	int status;

	descriptors_take_standard();

	const int file = read_arguments(argc, argv, &status);

	if (file == 0)
		return status;
	if (config_load(argv[file], (const char *const *)argv + 1,
			(uint32_t)file - 1, &config, &error) != FAL_OK) {
		LOG_ERROR("%s", error.text);
		return EXIT_WRONG;
	}
	log_setup(&(struct log_options){.level = config.log_level,
					.format = config.log_format,
					.fd = 2});
	warn(&config, file - 1, argv + 1);
	status = serve(&config);
	config_free(&config);
	if (server.must_restart &&
	    !atomic_load_explicit(&was_signalled, memory_order_relaxed))
		start_again(argv);
	return status;
}
