/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_trace - the last events and actions, kept as numbers and told as text
 * only when somebody wants to read them.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "sim.h"

static void
print_line(const struct sim_trace_line *line, FILE *out)
{
	fprintf(out, "%10" PRIu64 " %8" PRIu64 ".%03u ", line->step,
		line->at_us / 1000, (unsigned)(line->at_us % 1000));
	if (line->server == SIM_NOBODY)
		fprintf(out, "-- ");
	else
		fprintf(out, "s%u ", line->server);
	if (line->text) {
		fprintf(out, "** %s %" PRId64 "\n", line->text, line->zxid);
		return;
	}
	fprintf(out, "%s %s", line->is_action ? "   ->" : "<-",
		line->is_action ? zab_action_name(line->type)
				: zab_event_name(line->type));
	if (line->packet)
		fprintf(out, " %s", zab_packet_name(line->packet));
	fprintf(out,
		" zxid %" PRIx64 " sid %" PRId64 " epoch %" PRId64
		" slots %" PRIx64 "\n",
		(uint64_t)line->zxid, line->sid, line->epoch, line->slots);
}

static void
put(struct sim *sim, const struct sim_trace_line *line)
{
	sim->trace[sim->trace_count++ % SIM_TRACE_MAX] = *line;
	if (sim->options.is_tracing)
		print_line(line, stdout);
}

void
sim_trace_event(struct sim *sim, const struct sim_server *server,
		const struct zab_event *event)
{
	put(sim, &(struct sim_trace_line){
			 .at_us = sim->now_us,
			 .step = sim->counters.steps,
			 .server = server->index,
			 .type = event->type,
			 .packet = event->packet,
			 .zxid = event->type == ZAB_EV_FLE
					 ? event->notification.leader
					 : event->zxid,
			 .sid = event->sid,
			 .epoch = event->type == ZAB_EV_FLE
					  ? event->notification.round
					  : event->epoch,
			 .slots = event->slot,
		 });
}

void
sim_trace_action(struct sim *sim, const struct sim_server *server,
		 const struct zab_action *action)
{
	put(sim, &(struct sim_trace_line){
			 .at_us = sim->now_us,
			 .step = sim->counters.steps,
			 .server = server->index,
			 .is_action = 1,
			 .type = action->type,
			 .packet = action->packet,
			 .zxid = action->type == ZAB_DO_SEND_FLE
					 ? action->notification.leader
					 : action->zxid_last,
			 .sid = action->sid,
			 .epoch = action->type == ZAB_DO_STATE ||
						  action->type == ZAB_DO_CLOSE
					  ? action->why
					  : action->epoch,
			 .slots = action->slots,
		 });
}

void
sim_trace_note(struct sim *sim, uint32_t server, const char *text,
	       int64_t number)
{
	put(sim, &(struct sim_trace_line){
			 .at_us = sim->now_us,
			 .step = sim->counters.steps,
			 .server = server,
			 .zxid = number,
			 .text = text,
		 });
}

void
sim_trace_print(const struct sim *sim, FILE *out)
{
	const uint64_t count = sim->trace_count < SIM_TRACE_MAX
				       ? sim->trace_count
				       : SIM_TRACE_MAX;

	for (uint64_t i = sim->trace_count - count; i < sim->trace_count; i++)
		print_line(&sim->trace[i % SIM_TRACE_MAX], out);
}

static void
print_config(const struct sim *sim, const char *name, uint32_t index, FILE *out)
{
	const struct quorum *config = &sim->config[index];

	fprintf(out, "  %s %u of %" PRIx64 ", voters %x", name, index,
		(uint64_t)config->version, config->voters);
	for (uint32_t i = 0;
	     config->kind == QUORUM_HIERARCHICAL && i < config->member_count;
	     i++)
		fprintf(out, " %u/%u", config->member[i].weight,
			config->member[i].group);
}

static void
print_genesis(const struct sim_server *server, FILE *out)
{
	const struct genesis_state *state = &server->disk.genesis;

	fprintf(out, " genesis:%s%s%s%s accepted %u id %02x",
		server->is_genesis_awaited ? " awaited" : "",
		state->is_member ? " member" : "",
		state->is_witness ? " witness" : "",
		server->is_wiped ? " emptied" : "", state->accepted_ballot,
		state->id[0]);
}

static void
print_servers(const struct sim *sim, FILE *out)
{
	for (uint32_t i = 0; i < sim->count; i++) {
		const struct sim_server *server = &sim->server[i];
		const struct zab_view *view = &server->view;

		fprintf(out,
			"s%u %s role %u phase %u leader %" PRId64
			" epoch %" PRId64 " log %" PRIx64 " published %" PRIx64
			"%s%s",
			i, server->is_up ? "up" : "down", view->role,
			view->phase, view->leader, view->epoch,
			(uint64_t)sim_log_last(&server->log),
			(uint64_t)server->published_zxid,
			server->is_serving ? " serving" : "",
			server->disk.is_nonvoting ? " nonvoting" : "");
		print_config(sim, "active", server->disk.active_config, out);
		if (server->disk.next_config)
			print_config(sim, "next", server->disk.next_config - 1,
				     out);
		if (server->has_genesis)
			print_genesis(server, out);
		fputc('\n', out);
	}
}

void
sim_fail(struct sim *sim, const char *invariant, const char *format, ...)
{
	va_list args;

	fflush(stdout);
	if (!sim->options.is_tracing)
		sim_trace_print(sim, stderr);
	print_servers(sim, stderr);
	print_config(sim, "committed", sim->committed_config, stderr);
	fputc('\n', stderr);
	fprintf(stderr,
		"sim: seed %" PRIu64 " replicas %u step %" PRIu64
		" time %" PRIu64 " ms: %s: ",
		sim->options.seed, sim->count, sim->counters.steps,
		sim->now_us / 1000, invariant);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}
