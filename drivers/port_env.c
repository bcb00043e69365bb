/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_env - see port_env.h.
 *
 * What EAL and its drivers say goes line by line through our own log, from
 * warnings on; the last line is kept, since EAL's error codes alone do not tell
 * an operator what was wrong.
 *
 * Tap devices announce frames by a real-time signal of their own, sent to the
 * process. Every thread that does not block it may be chosen; only a poll core
 * should be, because there the handler's flag is looked at. So these signals
 * are blocked before EAL makes its threads, and let in by port_env_attach().
 */
#include "drivers/port_env.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>

#include "base/log.h"

#define ARGS_MAX      64
#define ARG_BYTES_MAX 4096

static struct {
	char text[ARG_BYTES_MAX];
	size_t used;
	char *argv[ARGS_MAX + 1];
	int argc;
} args;

static char last_line[240];
static bool is_huge;
static bool is_started;

int
port_explain(struct port_error *error, int err, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(error->text, sizeof(error->text), format, list);
	va_end(list);
	return err;
}

/* ---- arguments ---- */

static bool FAL_PRINTF(1, 2) args_add(const char *format, ...)
{
	const size_t room = sizeof(args.text) - args.used;
	va_list list;
	int bytes;

	va_start(list, format);
	bytes = vsnprintf(args.text + args.used, room, format, list);
	va_end(list);
	if (bytes < 0 || (size_t)bytes >= room || args.argc == ARGS_MAX)
		return false;
	args.argv[args.argc++] = args.text + args.used;
	args.used += (size_t)bytes + 1;
	return true;
}

/* "0@(0,2,3)": the one lcore floats over our CPUs. */
static bool
args_add_lcores(void)
{
	char list[2048] = "";
	size_t used = 0;
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0)
		return false;
	for (int i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET((size_t)i, &cpus))
			continue;
		used += (size_t)snprintf(list + used, sizeof(list) - used,
					 "%s%d", used == 0 ? "" : ",", i);
		if (used >= sizeof(list))
			return false;
	}
	return args_add("--lcores=0@(%s)", list);
}

static bool
args_add_extra(const char *extra)
{
	while (extra != NULL && *extra != '\0') {
		const size_t blanks = strspn(extra, " \t");
		const size_t bytes = strcspn(extra + blanks, " \t");

		if (bytes > 0 && !args_add("%.*s", (int)bytes, extra + blanks))
			return false;
		extra += blanks + bytes;
	}
	return true;
}

static bool
args_make(const struct port_env_options *options)
{
	bool is_good = args_add("falconer") && args_add_lcores() &&
		       args_add("--iova-mode=va") &&
		       args_add("--file-prefix=falconer-%d", (int)getpid());

	if (options->pci != NULL)
		is_good = is_good && args_add("--allow=%s", options->pci);
	else
		is_good = is_good && args_add("--no-pci");
	if (is_huge)
		is_good = is_good && args_add("--in-memory") &&
			  args_add("--single-file-segments");
	else
		is_good = is_good && args_add("--no-huge") &&
			  args_add("--no-shconf") && args_add("-m") &&
			  args_add("%u", options->memory_mb);
	return is_good && args_add_extra(options->extra);
}

/* ---- what EAL says ---- */

/* What drivers say in the ordinary course of things here: they look for parts
 * of the kernel or for processes that we do not need. */
static bool
is_harmless(const char *line)
{
	static const char *const parts[] = {
		"multiq qdisc",  "qdisc kind is unknown",
		"rte flow",      "send start req to secondary",
		"legacy socket", "No legacy callbacks",
		"Shared UMEM",
	};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (strstr(line, parts[i]) != NULL)
			return true;
	return false;
}

static ssize_t
say(void *cookie, const char *text, size_t bytes)
{
	char line[sizeof(last_line)];
	size_t length = bytes;

	(void)cookie;
	while (length > 0 &&
	       (text[length - 1] == '\n' || text[length - 1] == ' '))
		length--;
	if (length == 0)
		return (ssize_t)bytes;
	snprintf(line, sizeof(line), "%.*s", (int)length, text);
	/* A driver that looks for its other side says so at each look. */
	if (strcmp(line, last_line) == 0)
		return (ssize_t)bytes;
	strcpy(last_line, line);
	log_write(is_harmless(last_line) ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN,
		  NULL, "dpdk: %s", last_line);
	return (ssize_t)bytes;
}

static void
listen_to_eal(void)
{
	FILE *stream =
		fopencookie(NULL, "w", (cookie_io_functions_t){.write = say});

	if (stream == NULL)
		return;
	setvbuf(stream, NULL, _IOLBF, 512);
	rte_openlog_stream(stream);
	rte_log_set_global_level(RTE_LOG_WARNING);
}

/* ---- huge pages ---- */

static uint64_t
read_number(const char *dir, const char *file)
{
	unsigned long long value = 0;
	char path[512];
	FILE *in;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	in = fopen(path, "re");
	if (in == NULL)
		return 0;
	if (fscanf(in, "%llu", &value) != 1)
		value = 0;
	fclose(in);
	return value;
}

uint32_t
port_env_free_huge_mb(void)
{
	static const char root[] = "/sys/kernel/mm/hugepages";
	DIR *dir = opendir(root);
	uint64_t kb = 0;
	struct dirent *entry;

	if (dir == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL) {
		unsigned long long page_kb;
		char path[400];

		if (sscanf(entry->d_name, "hugepages-%llukB", &page_kb) != 1)
			continue;
		snprintf(path, sizeof(path), "%s/%s", root, entry->d_name);
		kb += page_kb * read_number(path, "free_hugepages");
	}
	closedir(dir);
	return (uint32_t)(kb / 1024);
}

static int
choose_memory(const struct port_env_options *options, struct port_error *error)
{
	const uint32_t free_mb = port_env_free_huge_mb();

	is_huge = options->memory != PORT_MEMORY_ORDINARY &&
		  free_mb >= options->memory_mb;
	if (is_huge || options->memory == PORT_MEMORY_ORDINARY)
		return 0;
	if (options->memory == PORT_MEMORY_HUGE)
		return port_explain(
			error, FAL_ENOMEM,
			"falconer.hugepages=required: %u MiB of huge pages are "
			"free, %u MiB are needed; sysctl vm.nr_hugepages=N, N "
			"pages of 2 MiB",
			free_mb, options->memory_mb);
	LOG_WARN("packets lie in ordinary pages: %u MiB of huge pages are "
		 "free, %u MiB are needed; for lower latency sysctl "
		 "vm.nr_hugepages=N, N pages of 2 MiB",
		 free_mb, options->memory_mb);
	return 0;
}

/* ---- start and stop ---- */

static void
frame_signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	for (int i = SIGRTMIN; i <= SIGRTMAX; i++)
		sigaddset(&set, i);
	pthread_sigmask(how, &set, NULL);
}

/* Says why EAL has not started, and which settings it got. */
static int
refuse(const struct port_env_options *options, struct port_error *error)
{
	const bool has_pci = options->pci != NULL;
	const bool has_extra = options->extra != NULL;

	return port_explain(
		error, FAL_ENOMEM,
		"the DPDK environment does not start: %s (%s)%s%s%s%s",
		last_line, rte_strerror(rte_errno),
		has_pci ? "; check falconer.dpdk.port=" : "",
		has_pci ? options->pci : "",
		has_extra ? "; check falconer.dpdk.eal=" : "",
		has_extra ? options->extra : "");
}

int
port_env_start(const struct port_env_options *options, struct port_error *error)
{
	int err = choose_memory(options, error);

	FAL_ASSERT(!is_started);
	if (err != 0)
		return err;
	/* A peer that closes its virtio socket must not end us. */
	signal(SIGPIPE, SIG_IGN);
	if (!args_make(options))
		return port_explain(error, FAL_EINVAL,
				    "falconer.dpdk.eal is too long");
	frame_signals(SIG_BLOCK);
	listen_to_eal();
	err = rte_eal_init(args.argc, args.argv);
	if (err < 0)
		return refuse(options, error);
	is_started = true;
	/* Words that are no options come last, behind our name. */
	if (err < args.argc - 1) {
		port_env_stop();
		return port_explain(
			error, FAL_EINVAL,
			"falconer.dpdk.eal=%s: \"%s\" is no option; "
			"they begin with -",
			options->extra, args.argv[err + 1]);
	}
	return 0;
}

void
port_env_stop(void)
{
	if (is_started)
		rte_eal_cleanup();
	is_started = false;
}

bool
port_env_is_huge(void)
{
	return is_huge;
}

int
port_env_attach(void)
{
	frame_signals(SIG_UNBLOCK);
	if (rte_lcore_id() != LCORE_ID_ANY)
		return 0;
	return rte_thread_register() == 0 ? 0 : FAL_ELIMIT;
}

void
port_env_detach(void)
{
	frame_signals(SIG_BLOCK);
	if (rte_lcore_id() != rte_get_main_lcore())
		rte_thread_unregister();
}
