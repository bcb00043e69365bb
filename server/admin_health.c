/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_health - three questions of whoever starts and stops servers:
 *
 *   /startupz  is the data recovered?       no: wait
 *   /livez     do all poll cores poll?      no: restart it
 *   /readyz    can it take writes now?      no: send clients elsewhere
 *
 * 200 or 503, and a line per check that names the reason and the remedy.
 *
 * One probe at a time goes through the poll cores, and everybody who asks
 * meanwhile shares it; so a core that is stuck costs one job, not one a second.
 */
#include "server/admin_int.h"

#include <inttypes.h>
#include <string.h>

#include "base/time.h"
#include "drivers/clock.h"
#include "server/member.h"

/* A core that has not answered for so long is stuck. */
#define STUCK_NS (5 * NS_PER_SECOND)

/* The control thread's. */
static struct {
	bool is_out;
	uint64_t start_ns; /* of the one that is out */
	uint64_t took_ns;  /* of the last one that came back */
	bool has_returned;
} probe;

static void
on_probe(void *arg, const struct words_rows *rows)
{
	(void)arg;
	(void)rows;
	probe.is_out = false;
	probe.has_returned = true;
	probe.took_ns = clock_now_ns() - probe.start_ns;
}

static void
send_probe(const struct server *server)
{
	const struct words_plan plan = {.reader_pass = WORDS_PASS_PING,
					.zab_pass = WORDS_PASS_PING};

	if (probe.is_out)
		return;
	probe.start_ns = clock_now_ns();
	probe.is_out =
		words_gather(server->words, &plan, NULL, on_probe, &probe);
}

static void
finish_checks(struct admin_request *request, const char *name,
	      const struct health_check *checks, uint32_t count)
{
	struct admin_text text;
	bool is_good = true;

	if (!admin_text_begin(&text)) {
		admin_finish_plain(request, ADMIN_ERROR, "out of memory\n");
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		fprintf(text.out, "[%c]%s %s: %s\n",
			checks[i].is_good ? '+' : '-', checks[i].name,
			checks[i].is_good ? "ok" : "failed", checks[i].reason);
		is_good &= checks[i].is_good;
	}
	fprintf(text.out, "%s check %s\n", name, is_good ? "passed" : "failed");
	admin_text_finish(&text, request,
			  is_good ? ADMIN_OK : ADMIN_UNAVAILABLE,
			  "text/plain; charset=utf-8");
}

/* The probe of this question is judged by the next one, if need be: a core
 * that polls answers within microseconds, long before. */
void
admin_livez(struct admin_request *request)
{
	const struct server *server = admin_server(request->admin);
	struct health_check check = {.name = "cores", .is_good = true};

	send_probe(server);
	if (probe.is_out && clock_now_ns() - probe.start_ns > STUCK_NS) {
		check.is_good = false;
		snprintf(check.reason, sizeof(check.reason),
			 "poll core %u has not answered for %" PRIu64
			 " ms; restart the server and keep its log",
			 words_gather_core(server->words, &probe),
			 time_ns_to_ms(clock_now_ns() - probe.start_ns));
	} else if (probe.has_returned) {
		snprintf(check.reason, sizeof(check.reason),
			 "all answered, the last time within %" PRIu64 " us",
			 (uint64_t)(probe.took_ns / NS_PER_US));
	} else {
		snprintf(check.reason, sizeof(check.reason),
			 "asked for the first time");
	}
	finish_checks(request, "livez", &check, 1);
}

/* ---- ready --------------------------------------------------------------- */

static void
set_check(struct health_check *check, const char *name, const char *trouble,
	  const char *good)
{
	check->name = name;
	check->is_good = trouble == NULL;
	snprintf(check->reason, sizeof(check->reason), "%s",
		 trouble == NULL ? good : trouble);
}

static void
check_log(const struct server *server, struct health_check *check)
{
	const int err = txlog_error(server->txlog);
	const int space_err = txlog_space_error(server->txlog);

	check->name = "log";
	check->is_good = err == FAL_OK && space_err == FAL_OK;
	if (err != FAL_OK)
		snprintf(
			check->reason, sizeof(check->reason),
			"writing it in %.160s failed: %s; check the disk, then "
			"restart",
			server->data_dir.log_dir, fal_err_str(err));
	else if (space_err != FAL_OK)
		snprintf(check->reason, sizeof(check->reason),
			 "no next file in %.160s: %s; make room there",
			 server->data_dir.log_dir, fal_err_str(space_err));
	else
		snprintf(check->reason, sizeof(check->reason),
			 "zxid 0x%" PRIx64 " is durable",
			 txlog_durable_zxid(server->txlog));
}

static void
check_tree(const struct server *server, struct health_check *check)
{
	const uint64_t max = server->config->tree_bytes_max;
	const uint64_t left = tree_bytes_left(server->tree);

	check->name = "tree";
	check->is_good = left >= max / 10;
	snprintf(check->reason, sizeof(check->reason),
		 check->is_good ? "%" PRIu64 " of %" PRIu64 " MB are free"
				: "%" PRIu64 " of %" PRIu64
				  " MB are free, writes are refused; raise "
				  "falconer.tree.maxBytes or delete nodes",
		 left >> 20, max >> 20);
}

static void
check_serving(const struct server *server, struct health_check *check)
{
	const char *mode = member_mode(server);

	if (atomic_load_explicit(&server->is_stopping, memory_order_relaxed))
		set_check(check, "serving", "the server stops", NULL);
	else if (mode == NULL)
		set_check(check, "serving",
			  "there is no leader with a quorum behind it; look "
			  "at the other servers and the network between them",
			  NULL);
	else if (strcmp(mode, "read-only") == 0)
		set_check(check, "serving",
			  "no quorum: only reads are served, see "
			  "readonlymode.enabled",
			  NULL);
	else
		set_check(check, "serving", NULL, mode);
}

uint32_t
health_checks(const struct server *server, struct health_check *checks)
{
	check_serving(server, &checks[0]);
	check_log(server, &checks[1]);
	check_tree(server, &checks[2]);
	return 3;
}

void
admin_readyz(struct admin_request *request)
{
	struct health_check checks[HEALTH_CHECKS];
	const uint32_t count =
		health_checks(admin_server(request->admin), checks);

	finish_checks(request, "readyz", checks, count);
}

void
admin_startupz(struct admin_request *request)
{
	struct health_check check;

	set_check(&check, "startup", NULL, "the data is recovered");
	finish_checks(request, "startupz", &check, 1);
}
