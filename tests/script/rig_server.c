/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rig_server - one server: actions of its core done, its disk, and what must
 * hold among all of them.
 */
#include <stdlib.h>
#include <string.h>

#include "consensus/zab_core.h"
#include "tests/script/rig.h"
#include "tests/script/rig_internal.h"

/* ---------------------------------------------------------------- log --- */

static int64_t
log_last(const struct rig_log *log, uint32_t count)
{
	return count ? log->entry[count - 1].zxid : log->floor_zxid;
}

/* How many entries are at or below zxid. */
static uint32_t
log_count_to(const struct rig_log *log, int64_t zxid)
{
	uint32_t count = log->count;

	while (count > 0 && log->entry[count - 1].zxid > zxid)
		count--;
	return count;
}

static void
log_history(const struct rig_log *log, struct zab_history *history)
{
	memset(history, 0, sizeof(*history));
	history->floor_zxid = log->floor_zxid;
	history->last_zxid = log->floor_zxid;
	for (uint32_t i = 0; i < log->count; i++) {
		const int64_t zxid = log->entry[i].zxid;
		struct zab_row *row = &history->row[history->row_count];

		if (zxid <= log->floor_zxid)
			continue;
		if (history->row_count > 0 &&
		    zab_epoch(row[-1].last_zxid) == zab_epoch(zxid)) {
			row[-1].last_zxid = zxid;
		} else {
			FAL_ASSERT(history->row_count < ZAB_ROWS_MAX);
			row->first_zxid = row->last_zxid = zxid;
			history->row_count++;
		}
		history->last_zxid = zxid;
	}
}

static void
log_append(struct rig_server *server, struct rig_entry entry)
{
	struct rig_log *log = &server->log;

	FAL_ASSERT(log->count < RIG_ENTRIES);
	log->entry[log->count++] = entry;
}

/* --------------------------------------------------------------- disk --- */

static void
disk_request(struct rig *rig, uint32_t index, enum rig_disk_kind kind,
	     int64_t number)
{
	struct rig_server *server = &rig->server[index];

	FAL_ASSERT(server->op_count < RIG_DISK_OPS);
	struct rig_disk_op *op = &server->op[server->op_count++];

	memset(op, 0, sizeof(*op));
	op->kind = kind;
	op->number = number;
	op->due_ms = rig->now_ms + rig->disk_ms;
}

static void
flush_log(struct rig *rig, uint32_t index)
{
	struct rig_server *server = &rig->server[index];

	if (server->is_flushing || server->log.durable == server->log.count)
		return;
	server->is_flushing = true;
	disk_request(rig, index, RIG_DISK_LOG,
		     log_last(&server->log, server->log.count));
}

void
rig_install(struct rig *rig, uint32_t index, struct rig_log *snapshot)
{
	struct rig_server *server = &rig->server[index];

	FAL_ASSERT(server->is_installing);
	disk_request(rig, index, RIG_DISK_INSTALL, snapshot->floor_zxid);
	server->op[server->op_count - 1].snapshot = snapshot;
}

static void
complete(struct rig *rig, uint32_t index, struct rig_disk_op *op)
{
	struct rig_server *server = &rig->server[index];
	struct zab_history history;
	struct zab_disk_state disk = {.history = &history};
	struct zab_event event = {.zxid = op->number, .epoch = op->number};

	switch (op->kind) {
	case RIG_DISK_LOG:
		server->is_flushing = false;
		server->log.durable = log_count_to(&server->log, op->number);
		event.type = ZAB_EV_LOG_DURABLE;
		break;
	case RIG_DISK_ACCEPTED:
	case RIG_DISK_CURRENT:
		event.type = ZAB_EV_EPOCH_DURABLE;
		event.is_current = op->kind == RIG_DISK_CURRENT;
		*(event.is_current ? &server->current_epoch
				   : &server->accepted_epoch) = op->number;
		break;
	case RIG_DISK_CONFIG:
		server->next = op->config;
		server->has_next = true;
		event.type = ZAB_EV_CONFIG_DURABLE;
		break;
	case RIG_DISK_TRUNCATE:
		server->log.count = log_count_to(&server->log, op->number);
		server->log.durable = server->log.count;
		event.type = ZAB_EV_TRUNCATED;
		break;
	case RIG_DISK_INSTALL:
		server->log = *op->snapshot;
		server->log.durable = server->log.count;
		free(op->snapshot);
		op->snapshot = NULL;
		server->is_installing = false;
		event.type = ZAB_EV_SNAP_INSTALLED;
		break;
	case RIG_DISK_RELOAD:
		server->log.count = server->log.durable;
		log_history(&server->log, &history);
		event.type = ZAB_EV_RELOADED;
		event.disk = &disk;
		break;
	}
	flush_log(rig, index);
	rig_event(rig, index, &event);
}

bool
rig_disk_step(struct rig *rig, uint32_t index, uint64_t due_ms)
{
	struct rig_server *server = &rig->server[index];
	struct rig_disk_op op;

	if (!server->is_up || server->is_disk_held || server->op_count == 0 ||
	    server->op[0].due_ms > due_ms)
		return false;
	op = server->op[0];
	server->op_count--;
	memmove(&server->op[0], &server->op[1],
		server->op_count * sizeof(server->op[0]));
	complete(rig, index, &op);
	return true;
}

/* ------------------------------------------------------------ process --- */

void
rig_start(struct rig *rig, uint32_t index)
{
	struct rig_server *server = &rig->server[index];
	struct zab_core_options options = rig->options;
	struct zab_history history;
	struct zab_disk_state disk = {
		.accepted_epoch = server->accepted_epoch,
		.current_epoch = server->current_epoch,
		.history = &history,
		.active = &server->active,
		.next = server->has_next ? &server->next : NULL,
		.is_nonvoting = server->is_nonvoting,
	};
	struct zab_event event = {.type = ZAB_EV_START, .disk = &disk};

	FAL_ASSERT(!server->is_up);
	options.sid = server->sid;
	const int err = zab_init(server->core, &options);

	FAL_ASSERT(err == 0);
	server->is_up = true;
	server->is_fatal = false;
	server->committed_zxid = 0;
	log_history(&server->log, &history);
	rig_event(rig, index, &event);
}

void
rig_crash(struct rig *rig, uint32_t index)
{
	struct rig_server *server = &rig->server[index];

	if (!server->is_up)
		return;
	server->is_up = false;
	server->is_serving = false;
	for (uint32_t i = 0; i < RIG_CONNS; i++)
		for (uint32_t end = 0; end < 2; end++)
			if (rig->conn[i].is_used &&
			    rig->conn[i].end[end] == index)
				rig_let_go(rig, &rig->conn[i], end);
	for (uint32_t i = 0; i < rig->count; i++) {
		rig->fle[index][i].is_waiting = false;
		if (rig->server[i].is_up && !rig->is_cut[index][i])
			rig->link_down_ms[i][index] = rig->now_ms + rig->net_ms;
		rig->link_down_ms[index][i] = 0;
	}
	memset(server->learner_conn, 0, sizeof(server->learner_conn));
	server->leader_conn = 0;
	server->dial_ms = 0;
	for (uint32_t i = 0; i < server->op_count; i++)
		free(server->op[i].snapshot);
	server->op_count = 0;
	server->is_flushing = false;
	server->is_installing = false;
	server->held_count = server->held_first = 0;
	server->log.count = server->log.durable;
	server->crash_action = 0;
}

void
rig_wipe(struct rig *rig, uint32_t index)
{
	struct rig_server *server = &rig->server[index];

	FAL_ASSERT(!server->is_up);
	memset(&server->log, 0, sizeof(server->log));
	server->accepted_epoch = server->current_epoch = 0;
	server->has_next = false;
	server->active = rig->config;
}

/* ------------------------------------------------------------ actions --- */

static const struct rig_entry *
find_entry(const struct rig_server *server, int64_t zxid)
{
	for (uint32_t i = server->log.count; i-- > 0;)
		if (server->log.entry[i].zxid == zxid)
			return &server->log.entry[i];
	return NULL;
}

static struct rig_conn *
conn_of(struct rig *rig, struct rig_server *server, uint32_t slot,
	uint32_t *far_end)
{
	const uint32_t at = *rig_slot(server, slot);
	struct rig_conn *conn;

	if (at == 0)
		return NULL;
	conn = &rig->conn[at - 1];
	*far_end = slot == ZAB_LEADER_SLOT ? 1 : 0;
	return conn->is_open[*far_end] ? conn : NULL;
}

static void
fill_packet(struct rig *rig, struct rig_server *server,
	    const struct zab_action *action, struct rig_packet *packet)
{
	const struct quorum *next = zab_next_config(server->core);
	const struct rig_entry *entry = NULL;

	packet->sid = action->sid;
	packet->epoch = action->epoch;
	if (packet->type == QUORUM_FOLLOWERINFO ||
	    packet->type == QUORUM_OBSERVERINFO) {
		packet->sid = server->sid;
		packet->config_version = zab_config(server->core)->version;
	}
	if (packet->type == QUORUM_PROPOSAL || packet->type == QUORUM_INFORM ||
	    packet->type == QUORUM_INFORMANDACTIVATE) {
		entry = find_entry(server, packet->zxid);
		FAL_ASSERT(entry != NULL);
		packet->entry = *entry;
	}
	if (packet->type == QUORUM_NEWLEADER) {
		packet->config = *zab_config(server->core);
		if (next && next->version == action->config_version)
			packet->config = *next;
		FAL_ASSERT(packet->config.version == action->config_version);
		packet->has_config = true;
	} else if (entry && entry->config) {
		packet->config = rig->configs[entry->config - 1];
		packet->has_config = true;
	}
}

static void
send_one(struct rig *rig, uint32_t index, uint32_t slot,
	 const struct zab_action *action, int32_t type, int64_t zxid)
{
	struct rig_server *server = &rig->server[index];
	uint32_t end = 0;
	struct rig_conn *conn = conn_of(rig, server, slot, &end);
	struct rig_packet *packet;

	if (!conn)
		return;
	packet = rig_alloc(sizeof(*packet));
	packet->type = type;
	packet->zxid = zxid;
	fill_packet(rig, server, action, packet);
	rig_push(rig, conn, end, packet);
}

static void
send_history(struct rig *rig, uint32_t index, uint32_t slot,
	     const struct zab_action *action)
{
	const struct rig_log *log = &rig->server[index].log;

	for (uint32_t i = 0; i < log->count; i++) {
		const int64_t zxid = log->entry[i].zxid;

		if (zxid <= action->zxid || zxid > action->zxid_last)
			continue;
		send_one(rig, index, slot, action, QUORUM_PROPOSAL, zxid);
		send_one(rig, index, slot, action, QUORUM_COMMIT, zxid);
	}
}

static void
send_snapshot(struct rig *rig, uint32_t index, uint32_t slot,
	      const struct zab_action *action)
{
	struct rig_server *server = &rig->server[index];
	uint32_t end = 0;
	struct rig_conn *conn = conn_of(rig, server, slot, &end);
	struct rig_packet *packet;

	if (!conn)
		return;
	packet = rig_alloc(sizeof(*packet));
	packet->type = RIG_STREAM;
	packet->zxid = action->zxid;
	packet->snapshot = rig_alloc(sizeof(*packet->snapshot));
	*packet->snapshot = server->log;
	packet->snapshot->count = log_count_to(&server->log, action->zxid);
	packet->snapshot->floor_zxid = action->zxid;
	rig_push(rig, conn, end, packet);
}

static void
do_send(struct rig *rig, uint32_t index, const struct zab_action *action)
{
	for (uint32_t slot = 0; slot < 64; slot++) {
		if (!(action->slots & 1ull << slot))
			continue;
		if (action->type == ZAB_DO_STREAM_HISTORY) {
			send_history(rig, index, slot, action);
			continue;
		}
		if (action->type == ZAB_DO_STREAM_SNAPSHOT) {
			send_snapshot(rig, index, slot, action);
			continue;
		}
		for (uint32_t n = 0; n < action->count; n++)
			for (int64_t z = action->zxid; z <= action->zxid_last;
			     z++)
				send_one(rig, index, slot, action,
					 action->packet, z);
	}
}

static void
do_close(struct rig *rig, uint32_t index, const struct zab_action *action)
{
	struct rig_server *server = &rig->server[index];

	for (uint32_t slot = 0; slot < 64; slot++) {
		uint32_t *at = rig_slot(server, slot);

		if (!(action->slots & 1ull << slot))
			continue;
		if (slot == ZAB_LEADER_SLOT)
			server->dial_ms = 0;
		if (*at == 0)
			continue;
		rig_let_go(rig, &rig->conn[*at - 1],
			   slot == ZAB_LEADER_SLOT ? 0 : 1);
		*at = 0;
	}
}

static void
do_append(struct rig_server *server, const struct zab_action *action)
{
	for (int64_t zxid = action->zxid; zxid <= action->zxid_last; zxid++) {
		struct rig_entry entry = server->arriving;

		if (server->held_count > 0) {
			entry = server->held[server->held_first++];
			server->held_count--;
		}
		FAL_ASSERT(entry.zxid == zxid);
		log_append(server, entry);
	}
	if (server->held_count == 0)
		server->held_first = 0;
}

static void
do_commit(struct rig *rig, uint32_t index, int64_t zxid)
{
	struct rig_server *server = &rig->server[index];
	struct rig_log *all = &rig->committed;

	FAL_ASSERT(zxid > server->committed_zxid);
	server->committed_zxid = zxid;
	for (uint32_t i = 0; i < server->log.count; i++) {
		const struct rig_entry *entry = &server->log.entry[i];

		if (entry->zxid > zxid)
			break;
		if (i < all->count) {
			if (all->entry[i].zxid != entry->zxid ||
			    all->entry[i].value != entry->value)
				snprintf(rig->violation, sizeof(rig->violation),
					 "server %lld committed another "
					 "transaction %u than others did",
					 (long long)server->sid, i);
			continue;
		}
		all->entry[all->count++] = *entry;
	}
}

static void
do_fle(struct rig *rig, uint32_t index, const struct zab_action *action)
{
	const uint32_t to = (uint32_t)(action->sid - 1);
	struct rig_fle *fle = &rig->fle[index][to];

	FAL_ASSERT(to < rig->count);
	fle->is_waiting = true;
	fle->due_ms = rig->now_ms + rig->net_ms;
	fle->notification = action->notification;
	rig->messages++;
}

static void
do_state(struct rig *rig, uint32_t index, const struct zab_action *action)
{
	struct rig_server *server = &rig->server[index];

	server->is_serving = action->is_serving;
	if (action->role != FLE_LEADING || action->phase != ZAB_BROADCAST)
		return;
	FAL_ASSERT(action->epoch < 4096);
	if (rig->epoch_leader[action->epoch] != 0 &&
	    rig->epoch_leader[action->epoch] != server->sid)
		snprintf(rig->violation, sizeof(rig->violation),
			 "epoch %lld has two leaders, %lld and %lld",
			 (long long)action->epoch,
			 (long long)rig->epoch_leader[action->epoch],
			 (long long)server->sid);
	rig->epoch_leader[action->epoch] = server->sid;
}

static void
do_persist_config(struct rig *rig, uint32_t index,
		  const struct zab_event *event, int64_t version)
{
	struct rig_server *server = &rig->server[index];

	if (version == 0) {
		server->has_next = false;
		return;
	}
	disk_request(rig, index, RIG_DISK_CONFIG, version);
	server->op[server->op_count - 1].config =
		event->config ? *event->config : *zab_next_config(server->core);
	FAL_ASSERT(server->op[server->op_count - 1].config.version == version);
}

static void
do_disk(struct rig *rig, uint32_t index, const struct zab_event *event,
	const struct zab_action *action)
{
	struct rig_server *server = &rig->server[index];

	switch (action->type) {
	case ZAB_DO_TRUNCATE:
		/* A flush of what is cut away is worth nothing. */
		for (uint32_t i = 0; i < server->op_count; i++)
			FAL_ASSERT(server->op[i].kind != RIG_DISK_LOG);
		disk_request(rig, index, RIG_DISK_TRUNCATE, action->zxid);
		break;
	case ZAB_DO_INSTALL_SNAPSHOT:
		server->is_installing = true;
		break;
	case ZAB_DO_RELOAD:
		server->is_installing = false;
		disk_request(rig, index, RIG_DISK_RELOAD, 0);
		break;
	case ZAB_DO_PERSIST_ACCEPTED:
		disk_request(rig, index, RIG_DISK_ACCEPTED, action->epoch);
		break;
	case ZAB_DO_PERSIST_CURRENT:
		disk_request(rig, index, RIG_DISK_CURRENT, action->epoch);
		break;
	case ZAB_DO_PERSIST_CONFIG:
		do_persist_config(rig, index, event, action->zxid);
		break;
	default:
		break;
	}
}

static void
execute(struct rig *rig, uint32_t index, const struct zab_event *event,
	const struct zab_action *action)
{
	struct rig_server *server = &rig->server[index];

	switch ((enum zab_action_type)action->type) {
	case ZAB_DO_SEND_FLE:
		do_fle(rig, index, action);
		break;
	case ZAB_DO_DIAL:
		server->dial_sid = action->sid;
		server->dial_is_master = action->is_master;
		server->dial_ms = rig->now_ms + rig->net_ms;
		break;
	case ZAB_DO_CLOSE:
		do_close(rig, index, action);
		break;
	case ZAB_DO_SEND:
	case ZAB_DO_STREAM_HISTORY:
	case ZAB_DO_STREAM_SNAPSHOT:
		do_send(rig, index, action);
		break;
	case ZAB_DO_HOLD:
		server->held[server->held_first + server->held_count++] =
			server->arriving;
		break;
	case ZAB_DO_DROP_HELD:
		server->held_count = server->held_first = 0;
		break;
	case ZAB_DO_APPEND:
		do_append(server, action);
		break;
	case ZAB_DO_COMMIT:
		do_commit(rig, index, action->zxid);
		break;
	case ZAB_DO_ACTIVATE_CONFIG:
		server->active = *zab_config(server->core);
		server->has_next = false;
		break;
	case ZAB_DO_SYNC_DONE:
		server->syncs_done += action->count;
		break;
	case ZAB_DO_KEEP_LOG: /* the log of the rig is always kept */
		break;
	case ZAB_DO_VOTER_AGAIN:
		server->is_nonvoting = false;
		break;
	case ZAB_DO_STATE:
		do_state(rig, index, action);
		break;
	case ZAB_DO_FATAL:
		server->is_fatal = true;
		break;
	default:
		do_disk(rig, index, event, action);
		break;
	}
}

static bool
must_crash_before(const struct rig_server *server,
		  const struct zab_action *action)
{
	return server->crash_action == action->type + 1 &&
	       (server->crash_packet == 0 ||
		server->crash_packet == action->packet);
}

void
rig_event(struct rig *rig, uint32_t index, struct zab_event *event)
{
	struct rig_server *server = &rig->server[index];
	struct zab_actions *actions = &rig->actions;

	FAL_ASSERT(server->is_up);
	event->now_ms = rig->now_ms;
	zab_step(server->core, event, actions);
	server->steps++;
	rig_trace_event(rig, index, event, actions->count);
	for (uint32_t i = 0; i < actions->count; i++) {
		const struct zab_action *action = &actions->action[i];

		if (must_crash_before(server, action)) {
			if (rig->is_tracing)
				fprintf(rig->out, "%lld   crashes\n",
					(long long)server->sid);
			rig_crash(rig, index);
			return;
		}
		rig_trace_action(rig, index, action);
		execute(rig, index, event, action);
	}
	flush_log(rig, index);
	if (server->is_fatal)
		rig_crash(rig, index);
	rig_check(rig, index);
}

bool
rig_propose(struct rig *rig, uint32_t index, const struct quorum *config)
{
	struct rig_server *server = &rig->server[index];
	struct rig_entry entry = {0};
	struct zab_event event = {.type = ZAB_EV_PROPOSE};

	if (!server->is_up)
		return false;
	entry.zxid = zab_next_zxid(server->core, config);
	if (entry.zxid == 0)
		return false;
	entry.value = ++rig->values;
	if (config) {
		FAL_ASSERT(rig->config_count < RIG_CONFIGS);
		rig->configs[rig->config_count] = *config;
		rig->configs[rig->config_count].version = entry.zxid;
		event.config = &rig->configs[rig->config_count];
		entry.config = ++rig->config_count;
	}
	log_append(server, entry);
	event.zxid = entry.zxid;
	rig_event(rig, index, &event);
	return true;
}

void
rig_use_up_epoch(struct rig *rig, uint32_t leader, int64_t counter)
{
	const int64_t zxid =
		zab_zxid(rig->server[leader].core->lead.epoch, counter);

	/* Four thousand million steps would do the same. */
	for (uint32_t i = 0; i < rig->count; i++) {
		struct rig_server *server = &rig->server[i];
		struct zab_core *core = server->core;

		FAL_ASSERT(zab_epoch(core->history.last_zxid) <
			   zab_epoch(zxid));
		zab_history_init(&core->history, zxid);
		core->durable_zxid = core->committed_zxid = zxid;
		if (i == leader)
			zab_acks_init(&core->lead.acks, zxid);
		else
			core->follow.acked_zxid = zxid;
		memset(&server->log, 0, sizeof(server->log));
		server->log.floor_zxid = zxid;
		server->committed_zxid = zxid;
	}
	rig->committed.count = 0;
}

int
rig_leader(const struct rig *rig)
{
	int64_t epoch = -1;
	int best = -1;

	for (uint32_t i = 0; i < rig->count; i++) {
		struct zab_view view;

		if (!rig->server[i].is_up)
			continue;
		zab_view(rig->server[i].core, &view);
		if (view.role == FLE_LEADING && view.is_serving &&
		    view.epoch > epoch) {
			best = (int)i;
			epoch = view.epoch;
		}
	}
	return best;
}

/* -------------------------------------------------------------- check --- */

static void
complain(struct rig *rig, const struct rig_server *server, const char *what)
{
	if (rig->violation[0] == '\0')
		snprintf(rig->violation, sizeof(rig->violation),
			 "server %lld: %s", (long long)server->sid, what);
}

void
rig_check(struct rig *rig, uint32_t index)
{
	const struct rig_server *server = &rig->server[index];
	const struct rig_log *log = &server->log;
	const struct rig_log *all = &rig->committed;
	struct zab_view view;

	if (!server->is_up)
		return;
	zab_view(server->core, &view);
	if (view.last_zxid != log_last(log, log->count))
		complain(rig, server, "core and log disagree about its end");
	if (view.durable_zxid > log_last(log, log->durable))
		complain(rig, server, "core believes too much is durable");
	if (view.committed_zxid < server->committed_zxid)
		complain(rig, server, "the commit point went back");
	if (view.accepted_epoch != server->accepted_epoch ||
	    view.current_epoch != server->current_epoch)
		complain(rig, server, "core and epoch files disagree");
	if (view.current_epoch > view.accepted_epoch)
		complain(rig, server, "currentEpoch above acceptedEpoch");
	/* Leader completeness: what was committed is in its history. */
	if (view.role != FLE_LEADING || view.phase != ZAB_BROADCAST)
		return;
	for (uint32_t i = 0; i < all->count; i++) {
		if (zab_epoch(all->entry[i].zxid) > view.epoch)
			break;
		if (i >= log->count ||
		    log->entry[i].zxid != all->entry[i].zxid ||
		    log->entry[i].value != all->entry[i].value) {
			complain(rig, server,
				 "it leads without all that is committed");
			return;
		}
	}
}
