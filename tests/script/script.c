/* SPDX-License-Identifier: Apache-2.0 */
/*
 * script - runs a script of tests/script/ and compares what it prints.
 *
 * A script is a list of commands, each a line that begins with '>', followed by
 * the lines it is expected to print. '#' begins a comment. The commands are
 * described in tests/script/README.md.
 *
 * Usage: script [-u] FILE...
 *   -u  writes the files anew with what was printed, to be read before it is
 *       believed
 *
 * Exit status: 0 all as expected, 1 not, 2 a script makes no sense.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/script/chaos.h"
#include "tests/script/rig.h"

#define WORDS_MAX 32u

struct run {
	struct rig *rig; /* NULL before "cluster" */
	const char *path;
	uint32_t line;
	uint32_t word_count;
	char *word[WORDS_MAX];
	FILE *out; /* of the present command */
};

static void
fail(const struct run *run, const char *what)
{
	fprintf(stderr, "%s:%u: %s\n", run->path, run->line, what);
	exit(2);
}

static int64_t
number_of(const struct run *run, const char *text)
{
	char *end;
	const long long number = strtoll(text, &end, 10);

	if (end == text || *end != '\0')
		fail(run, "a number is expected");
	return number;
}

static int64_t
zxid_of(const struct run *run, const char *text)
{
	long long epoch, counter;
	char rest;

	if (sscanf(text, "%lld:%lld%c", &epoch, &counter, &rest) != 2)
		fail(run, "a zxid like 1:2 is expected");
	return zab_zxid(epoch, counter);
}

static uint32_t
server_of(const struct run *run, const char *text)
{
	const int64_t sid = number_of(run, text);

	if (sid < 1 || sid > run->rig->count)
		fail(run, "no such server");
	return (uint32_t)(sid - 1);
}

static const char *
word(const struct run *run, uint32_t index)
{
	if (index >= run->word_count)
		fail(run, "a word is missing");
	return run->word[index];
}

static uint64_t
time_of(const struct run *run, const char *text)
{
	unsigned long long number;
	char unit[8];

	if (sscanf(text, "%llu%7s", &number, unit) != 2)
		fail(run, "a time like 20ms or 3s is expected");
	return strcmp(unit, "s") == 0 ? number * 1000 : number;
}

static int32_t
packet_of(const struct run *run, const char *text)
{
	for (int32_t packet = 1; packet <= 19; packet++)
		if (strcmp(zab_packet_name(packet), text) == 0)
			return packet;
	fail(run, "no such packet");
	return 0;
}

/* "name=number" */
static bool
option_of(const struct run *run, const char *text, const char *name,
	  int64_t *number)
{
	const size_t bytes = strlen(name);

	if (strncmp(text, name, bytes) != 0 || text[bytes] != '=')
		return false;
	*number = number_of(run, text + bytes + 1);
	return true;
}

/* ----------------------------------------------------------- commands --- */

static void
set_option(struct run *run, const char *text)
{
	struct rig *rig = run->rig;
	int64_t number;

	if (option_of(run, text, "net", &number))
		rig->net_ms = (uint64_t)number;
	else if (option_of(run, text, "disk", &number))
		rig->disk_ms = (uint64_t)number;
	else if (option_of(run, text, "outstanding", &number))
		rig->options.outstanding_max = (uint32_t)number;
	else if (option_of(run, text, "epoch-wait", &number))
		rig->options.epoch_wait_ms = (uint32_t)number;
	else if (strcmp(text, "reconfig") == 0)
		rig->options.is_reconfig_enabled = true;
	else if (strcmp(text, "masters") == 0)
		rig->options.has_observer_masters = true;
	else if (strcmp(text, "confirmed-sync") == 0)
		rig->options.is_sync_confirmed = true;
	else
		fail(run, "no such option");
}

static void
do_cluster(struct run *run)
{
	int64_t observers = 0;

	if (run->rig) {
		rig_free(run->rig);
		free(run->rig);
	}
	run->rig = calloc(1, sizeof(*run->rig));
	FAL_ASSERT(run->rig != NULL);
	if (run->word_count > 2)
		(void)option_of(run, word(run, 2), "observers", &observers);
	rig_init(run->rig, run->out, (uint32_t)number_of(run, word(run, 1)),
		 (uint32_t)observers);
	for (uint32_t i = observers ? 3 : 2; i < run->word_count; i++)
		set_option(run, word(run, i));
}

static void
do_start(struct run *run)
{
	for (uint32_t i = 1; i < run->word_count; i++)
		rig_start(run->rig, server_of(run, word(run, i)));
}

static void
do_crash(struct run *run)
{
	for (uint32_t i = 1; i < run->word_count; i++)
		rig_crash(run->rig, server_of(run, word(run, i)));
}

static void
do_wipe(struct run *run)
{
	rig_wipe(run->rig, server_of(run, word(run, 1)));
}

static void
do_nonvoting(struct run *run)
{
	run->rig->server[server_of(run, word(run, 1))].is_nonvoting = true;
}

static void
do_run(struct run *run)
{
	rig_run(run->rig, run->word_count > 1 ? time_of(run, word(run, 1)) : 0);
}

static void
do_await(struct run *run)
{
	const uint64_t end = run->rig->now_ms + 120000;
	const uint64_t began = run->rig->now_ms;
	bool is_done = false;

	while (!is_done) {
		if (strcmp(word(run, 1), "leader") == 0)
			is_done = rig_leader(run->rig) >= 0;
		else
			is_done = true;
		for (uint32_t i = 2; i < run->word_count && is_done; i++)
			is_done = run->rig->server[server_of(run, word(run, i))]
					  .is_serving;
		if (!is_done && !rig_step(run->rig, end)) {
			fprintf(run->out, "nothing after 120 s\n");
			return;
		}
	}
	if (strcmp(word(run, 1), "time") == 0)
		fprintf(run->out, "after %llu ms\n",
			(unsigned long long)(run->rig->now_ms - began));
	else
		fprintf(run->out, "leader %d\n", rig_leader(run->rig) + 1);
}

static void
do_propose(struct run *run)
{
	const uint32_t index = server_of(run, word(run, 1));
	const int64_t count =
		run->word_count > 2 ? number_of(run, word(run, 2)) : 1;

	for (int64_t i = 0; i < count; i++)
		if (!rig_propose(run->rig, index, NULL)) {
			fprintf(run->out, "refused\n");
			return;
		}
}

static void
do_event(struct run *run)
{
	static const struct {
		const char *name;
		enum zab_event_type type;
	} events[] = {{"sync", ZAB_EV_SYNC},
		      {"yield", ZAB_EV_YIELD},
		      {"may-vote", ZAB_EV_MAY_VOTE},
		      {"log-failed", ZAB_EV_LOG_FAILED}};
	struct zab_event event = {.slot = ZAB_SELF_SLOT};

	for (uint32_t i = 0; i < 4; i++)
		if (strcmp(events[i].name, word(run, 0)) == 0)
			event.type = events[i].type;
	rig_event(run->rig, server_of(run, word(run, 1)), &event);
}

/* A client of a learner asks: the driver forwards the request. */
static void
do_forward_sync(struct run *run)
{
	const uint32_t from = server_of(run, word(run, 1));
	const uint32_t at = run->rig->server[from].leader_conn;
	struct zab_event event = {.type = ZAB_EV_SYNC};

	if (at == 0)
		fail(run, "it follows nobody");
	event.slot = run->rig->conn[at - 1].slot;
	rig_event(run->rig, run->rig->conn[at - 1].end[1], &event);
}

static void
do_show(struct run *run)
{
	for (uint32_t i = 0; i < run->rig->count; i++) {
		const struct rig_server *server = &run->rig->server[i];
		struct zab_view view;

		fprintf(run->out, "%u ", i + 1);
		if (!server->is_up) {
			fprintf(run->out, "%s\n",
				server->is_fatal ? "ended itself" : "down");
			continue;
		}
		zab_view(server->core, &view);
		fprintf(run->out, "%s %s", rig_role_name(view.role),
			rig_phase_name(view.phase));
		if (view.leader >= 0)
			fprintf(run->out, " leader=%lld",
				(long long)view.leader);
		fprintf(run->out, " accepted=%lld current=%lld last=",
			(long long)view.accepted_epoch,
			(long long)view.current_epoch);
		rig_print_zxid(run->out, view.last_zxid);
		if (view.durable_zxid != view.last_zxid) {
			fprintf(run->out, " durable=");
			rig_print_zxid(run->out, view.durable_zxid);
		}
		fprintf(run->out, " committed=");
		rig_print_zxid(run->out, view.committed_zxid);
		if (view.config_version > 0) {
			fprintf(run->out, " config=");
			rig_print_zxid(run->out, view.config_version);
		}
		if (view.next_config_version > 0) {
			fprintf(run->out, " next=");
			rig_print_zxid(run->out, view.next_config_version);
		}
		fprintf(run->out, "%s%s%s\n", view.is_serving ? " serving" : "",
			view.is_nonvoting ? " nonvoting" : "",
			view.is_yielding ? " yielding" : "");
	}
}

static void
do_logs(struct run *run)
{
	for (uint32_t i = 0; i < run->rig->count; i++) {
		const struct rig_log *log = &run->rig->server[i].log;

		fprintf(run->out, "%u", i + 1);
		for (uint32_t j = 0; j < log->count; j++) {
			fprintf(run->out, "%s ", j == log->durable ? " (" : "");
			rig_print_zxid(run->out, log->entry[j].zxid);
			fprintf(run->out, "=%u", log->entry[j].value);
		}
		fprintf(run->out, "%s", log->durable < log->count ? " )" : "");
		if (log->floor_zxid) {
			fprintf(run->out, " snapshot=");
			rig_print_zxid(run->out, log->floor_zxid);
		}
		fprintf(run->out, "\n");
	}
}

static void
do_hold(struct run *run)
{
	struct rig *rig = run->rig;

	if (rig->hold_count == RIG_HOLDS)
		fail(run, "too many holds");
	rig->hold[rig->hold_count++] = (struct rig_hold){
		server_of(run, word(run, 1)), server_of(run, word(run, 2)),
		packet_of(run, word(run, 3)), false};
}

static void
do_release(struct run *run)
{
	run->rig->hold_count = 0;
}

static void
do_cut(struct run *run)
{
	const bool one_way = run->word_count > 3;
	const uint32_t from = server_of(run, word(run, 1));
	const uint32_t to = server_of(run, word(run, one_way ? 3 : 2));

	run->rig->is_cut[from][to] = true;
	if (!one_way)
		run->rig->is_cut[to][from] = true;
}

static void
do_heal(struct run *run)
{
	memset(run->rig->is_cut, 0, sizeof(run->rig->is_cut));
}

static void
do_disk(struct run *run)
{
	run->rig->server[server_of(run, word(run, 1))].is_disk_held =
		strcmp(word(run, 2), "hold") == 0;
}

static void
do_crash_before(struct run *run)
{
	struct rig_server *server =
		&run->rig->server[server_of(run, word(run, 1))];

	server->crash_packet = 0;
	for (uint32_t type = 0; type < ZAB_DO_COUNT; type++)
		if (strcmp(zab_action_name(type), word(run, 2)) == 0)
			server->crash_action = type + 1;
	if (server->crash_action == 0)
		fail(run, "no such action");
	if (run->word_count > 3)
		server->crash_packet = packet_of(run, word(run, 3));
}

static void
do_trace(struct run *run)
{
	run->rig->is_tracing = strcmp(word(run, 1), "off") != 0;
	run->rig->traces_election = strcmp(word(run, 1), "all") == 0;
}

static void
do_floor(struct run *run)
{
	const uint32_t index = server_of(run, word(run, 1));
	struct zab_event event = {.type = ZAB_EV_LOG_FLOOR,
				  .zxid = zxid_of(run, word(run, 2))};

	run->rig->server[index].log.floor_zxid = event.zxid;
	rig_event(run->rig, index, &event);
}

/* prepare SID accepted=N current=N [from=ZXID to=ZXID value=N floor=ZXID] */
static void
do_prepare(struct run *run)
{
	struct rig_server *server =
		&run->rig->server[server_of(run, word(run, 1))];
	int64_t from = 0, to = -1, value = 1000, number;

	for (uint32_t i = 2; i < run->word_count; i++) {
		const char *text = word(run, i);

		if (option_of(run, text, "accepted", &number))
			server->accepted_epoch = number;
		else if (option_of(run, text, "current", &number))
			server->current_epoch = number;
		else if (strncmp(text, "from=", 5) == 0)
			from = zxid_of(run, text + 5);
		else if (strncmp(text, "to=", 3) == 0)
			to = zxid_of(run, text + 3);
		else if (strncmp(text, "floor=", 6) == 0)
			server->log.floor_zxid = zxid_of(run, text + 6);
		else if (!option_of(run, text, "value", &value))
			fail(run, "no such property");
	}
	for (; from <= to; from++)
		server->log.entry[server->log.count++] =
			(struct rig_entry){from, (uint32_t)value++, 0};
	server->log.durable = server->log.count;
}

/* reconfig SID voters 1 2 4 observers 3 */
static void
do_reconfig(struct run *run)
{
	const uint32_t index = server_of(run, word(run, 1));
	struct quorum config = {0};
	uint32_t is_voter = 1;

	for (uint32_t i = 2; i < run->word_count; i++) {
		if (strcmp(word(run, i), "voters") == 0) {
			is_voter = 1;
		} else if (strcmp(word(run, i), "observers") == 0) {
			is_voter = 0;
		} else {
			const int64_t sid = number_of(run, word(run, i));

			config.member[config.member_count++] =
				(struct quorum_member){.sid = sid,
						       .address = (uint64_t)sid,
						       .weight = 1,
						       .is_voter = is_voter};
		}
	}
	if (quorum_check(&config) != 0)
		fail(run, "no such configuration");
	if (!rig_propose(run->rig, index, &config))
		fprintf(run->out, "refused\n");
}

/* groups 1 2 / 3 4:0 / 5: groups of servers, with weights other than 1 */
static void
do_groups(struct run *run)
{
	struct quorum *config = &run->rig->config;
	uint32_t group = 0;

	config->kind = QUORUM_HIERARCHICAL;
	for (uint32_t i = 1; i < run->word_count; i++) {
		unsigned sid, weight = 1;

		if (strcmp(word(run, i), "/") == 0) {
			group++;
			continue;
		}
		if (sscanf(word(run, i), "%u:%u", &sid, &weight) < 1 ||
		    sid < 1 || sid > run->rig->count)
			fail(run, "a server is expected");
		config->member[sid - 1].group = group;
		config->member[sid - 1].weight = weight;
	}
	if (quorum_check(config) != 0)
		fail(run, "no such configuration");
	for (uint32_t i = 0; i < run->rig->count; i++)
		run->rig->server[i].active = *config;
}

/* Brings a leader that has proposed nothing to the end of its epoch, as if all
 * transactions up to the last but two had been there before. */
static void
do_rollover(struct run *run)
{
	for (uint32_t i = 0; i < run->rig->count; i++)
		if (!run->rig->server[i].is_up)
			fail(run, "all must be up");
	rig_use_up_epoch(run->rig, server_of(run, word(run, 1)),
			 ZAB_COUNTER_MAX - 2);
}

/* Proposes and tells when it was published there. */
static void
do_delays(struct run *run)
{
	struct rig *rig = run->rig;
	const uint32_t leader = server_of(run, word(run, 1));
	const uint32_t at = server_of(run, word(run, 2));
	const uint64_t began = rig->now_ms;
	const int64_t zxid = zab_next_zxid(rig->server[leader].core, NULL);

	if (!rig_propose(rig, leader, NULL))
		fail(run, "it does not lead");
	while (rig->server[at].committed_zxid < zxid &&
	       rig_step(rig, began + 10000))
		;
	fprintf(run->out, "published after %llu message delays\n",
		(unsigned long long)((rig->now_ms - began) / rig->net_ms));
}

/* chaos voters=N observers=N seed=N seeds=N rounds=N reconfig=1 masters=1 */
static void
do_chaos(struct run *run)
{
	int64_t voters = 3, observers = 0, seed = 1, seeds = 1, rounds = 100;
	int64_t reconfig = 0, masters = 0;
	uint64_t committed = 0;

	for (uint32_t i = 1; i < run->word_count; i++)
		if (!option_of(run, word(run, i), "voters", &voters) &&
		    !option_of(run, word(run, i), "observers", &observers) &&
		    !option_of(run, word(run, i), "seed", &seed) &&
		    !option_of(run, word(run, i), "seeds", &seeds) &&
		    !option_of(run, word(run, i), "rounds", &rounds) &&
		    !option_of(run, word(run, i), "masters", &masters) &&
		    !option_of(run, word(run, i), "reconfig", &reconfig))
			fail(run, "no such property");
	for (int64_t i = seed; i < seed + seeds; i++) {
		const bool is_tracing = run->rig->is_tracing;
		const bool election = run->rig->traces_election;

		rig_free(run->rig);
		rig_init(run->rig, run->out, (uint32_t)voters,
			 (uint32_t)observers);
		run->rig->is_tracing = is_tracing;
		run->rig->traces_election = election;
		run->rig->options.is_reconfig_enabled = reconfig != 0;
		run->rig->options.has_observer_masters = masters != 0;
		committed += chaos_run(run->rig, (uint64_t)i, (uint32_t)rounds);
		if (run->rig->violation[0]) {
			fprintf(run->out, "seed %lld\n", (long long)i);
			return;
		}
	}
	fprintf(run->out, "%lld seeds agree%s\n", (long long)seeds,
		committed > (uint64_t)(seeds * rounds / 50)
			? ""
			: ", but hardly anything was committed");
}

static const struct {
	const char *name;
	void (*act)(struct run *run);
} commands[] = {
	{"cluster", do_cluster},   {"groups", do_groups},
	{"prepare", do_prepare},   {"start", do_start},
	{"crash", do_crash},       {"crash-before", do_crash_before},
	{"wipe", do_wipe},         {"nonvoting", do_nonvoting},
	{"run", do_run},           {"await", do_await},
	{"propose", do_propose},   {"rollover", do_rollover},
	{"reconfig", do_reconfig}, {"delays", do_delays},
	{"sync", do_event},        {"forward-sync", do_forward_sync},
	{"yield", do_event},       {"may-vote", do_event},
	{"log-failed", do_event},  {"floor", do_floor},
	{"hold", do_hold},         {"release", do_release},
	{"cut", do_cut},           {"heal", do_heal},
	{"disk", do_disk},         {"chaos", do_chaos},
	{"trace", do_trace},       {"show", do_show},
	{"logs", do_logs},
};

static void
obey(struct run *run, char *line)
{
	run->word_count = 0;
	for (char *at = strtok(line, " \t\n"); at; at = strtok(NULL, " \t\n")) {
		if (run->word_count == WORDS_MAX)
			fail(run, "too many words");
		run->word[run->word_count++] = at;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(word(run, 0), commands[i].name) != 0)
			continue;
		if (run->rig)
			run->rig->out = run->out;
		else if (commands[i].act != do_cluster)
			fail(run, "the first command must be \"cluster\"");
		commands[i].act(run);
		if (run->rig->violation[0])
			fprintf(run->out, "VIOLATION %s\n",
				run->rig->violation);
		return;
	}
	fail(run, "no such command");
}

/* -------------------------------------------------------------- files --- */

static char *
read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text;
	long bytes;

	if (!file || fseek(file, 0, SEEK_END) != 0 ||
	    (bytes = ftell(file)) < 0 || fseek(file, 0, SEEK_SET) != 0) {
		fprintf(stderr, "%s: cannot be read\n", path);
		exit(2);
	}
	text = calloc(1, (size_t)bytes + 1);
	FAL_ASSERT(text != NULL);
	if (fread(text, 1, (size_t)bytes, file) != (size_t)bytes)
		exit(2);
	fclose(file);
	return text;
}

/* Runs a script; returns what it would look like if all went as expected. */
static char *
play(const char *path, const char *script)
{
	char *result = NULL, *copy = strdup(script), *rest = copy;
	size_t result_bytes = 0;
	struct run run = {.path = path,
			  .out = open_memstream(&result, &result_bytes)};
	bool is_output = false;

	FAL_ASSERT(run.out != NULL);
	while (rest && *rest) {
		char *line = strsep(&rest, "\n");

		run.line++;
		if (line[0] == '>') {
			fprintf(run.out, "%s\n", line);
			obey(&run, line + 1);
			is_output = true;
		} else if (line[0] == '#' || line[0] == '\0') {
			fprintf(run.out, "%s\n", line);
			is_output = false;
		} else if (!is_output) {
			fail(&run, "text that is neither command nor output");
		}
	}
	fclose(run.out);
	free(copy);
	if (run.rig) {
		rig_free(run.rig);
		free(run.rig);
	}
	return result;
}

static void
show_difference(const char *path, const char *wanted, const char *got)
{
	uint32_t line = 1, begin = 0, at = 0;

	while (wanted[at] && wanted[at] == got[at]) {
		if (wanted[at] == '\n') {
			line++;
			begin = at + 1;
		}
		at++;
	}
	fprintf(stderr, "%s: differs from line %u on\nexpected:\n%.400s\n",
		path, line, wanted + begin);
	fprintf(stderr, "printed:\n%.400s\n", got + begin);
}

int
main(int argc, char **argv)
{
	const bool updates = argc > 1 && strcmp(argv[1], "-u") == 0;
	int status = 0;

	for (int i = updates ? 2 : 1; i < argc; i++) {
		char *script = read_file(argv[i]);
		char *got = play(argv[i], script);

		if (strcmp(script, got) != 0 && updates) {
			FILE *file = fopen(argv[i], "w");

			FAL_ASSERT(file != NULL);
			fputs(got, file);
			fclose(file);
		} else if (strcmp(script, got) != 0) {
			show_difference(argv[i], script, got);
			status = 1;
		}
		free(script);
		free(got);
	}
	return status;
}
