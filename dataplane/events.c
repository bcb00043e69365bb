/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events - watches of this core's connections.
 *
 * A record's effects are fired before its reply is written and before any read
 * at its zxid, so an event always precedes what shows the change (proof in
 * architecture.md 4.3). Delivery filters by the ACL that travels with the
 * effect; the watch is used up either way.
 */
#include "dataplane/reader_int.h"

/* Watches of one core: address space is reserved for so many. */
#define WATCHES_MAX      (16u << 20)
#define EVENT_HEAD_BYTES (REPLY_OVERHEAD + 12u)
/* Watches of a connection that is gone, a round: 30 to 100 ns each. */
#define DROP_BURST 256u

static void
send_event(struct reader *reader, struct conn *conn, int64_t zxid, int32_t type,
	   struct jute_slice path)
{
	const uint32_t bytes = EVENT_HEAD_BYTES + (uint32_t)path.bytes;
	uint32_t got = 0;
	uint8_t *to = conn_reserve(reader, conn, bytes, &got);

	if (to == NULL) {
		/* Closing drops watches, which must not happen while the
		 * table is being walked. */
		if (!conn->is_overrun) {
			conn->is_overrun = true;
			list_del(&conn->link);
			list_add_tail(&reader->overrun, &conn->link);
		}
		return;
	}

	struct jute_writer out = jute_writer_of(to, got);

	jute_put_int(&out, (int32_t)(bytes - 4));
	proto_put_reply_header(&out, &(struct proto_reply_header){
					     .xid = XID_NOTIFICATION,
					     .zxid = zxid,
				     });
	proto_put_watcher_event(&out,
				&(struct proto_watcher_event){
					.type = type,
					.state = PROTO_STATE_SYNC_CONNECTED,
					.path = path,
				});
	FAL_ASSERT(jute_written(&out) == bytes && !out.is_full);
	conn_commit(reader, conn, bytes);
	conn->sent++;
	reader->delivered++;
	stats_add(reader->parts.stats, STAT_PACKETS_SENT, 1);
	stats_add(reader->parts.stats, STAT_WATCH_EVENTS, 1);
	stats_add(reader->parts.stats, STAT_WATCH_BYTES, bytes);
}

static void
deliver(void *arg, uint32_t conn_index, uint64_t zxid,
	const struct effect *effect)
{
	struct reader *reader = arg;
	struct conn *conn = &reader->conns[conn_index];
	const struct acl_list *acl =
		acl_table_get(tree_acls(reader->parts.tree), effect->acl);

	if (conn->stream == STREAM_NONE ||
	    !acl_permits(acl, conn->ids->list, PERM_READ))
		return;
	send_event(reader, conn, (int64_t)zxid, effect->type,
		   jute_slice_of(effect->path, effect->path_bytes));
}

static uint64_t
hash_path(const void *arg, struct hash_prefix *prefix, const void *text,
	  uint32_t bytes)
{
	return tree_prefix_of(arg, prefix, text, bytes).hash;
}

int
events_init(struct reader *reader)
{
	return watch_table_create(
		&(struct watch_options){
			.conns_max = reader->conn_count,
			.watches_max = WATCHES_MAX,
			.keep_paths = reader->options.keeps_watch_paths,
			.hash = hash_path,
			.hash_arg = reader->parts.tree,
			.deliver = deliver,
			.deliver_arg = reader,
		},
		&reader->watches);
}

void
events_free(struct reader *reader)
{
	if (reader->watches != NULL)
		watch_table_destroy(reader->watches);
}

/* How many heard of an event of each type; fan-outs that become jobs count
 * what was told at once. */
static void
note_fan_out(struct reader *reader, uint8_t type, uint64_t count)
{
	static const enum stat_summary summary[] = {
		[EVENT_NODE_CREATED] = SUMMARY_NODE_CREATED_WATCHES,
		[EVENT_NODE_DELETED] = SUMMARY_NODE_DELETED_WATCHES,
		[EVENT_NODE_DATA_CHANGED] = SUMMARY_NODE_CHANGED_WATCHES,
		[EVENT_NODE_CHILDREN_CHANGED] = SUMMARY_NODE_CHILDREN_WATCHES,
	};

	if (count > 0)
		stats_summary_record(reader->parts.stats, summary[type], count);
}

void
events_tell_gauges(struct reader *reader)
{
	struct stats_core *stats = reader->parts.stats;
	struct watch_counts counts;

	watch_counts(reader->watches, &counts);
	stats_set(stats, STAT_WATCHES,
		  counts.data_watches + counts.child_watches);
	stats_set(stats, STAT_WATCH_PATHS, counts.paths);
	stats_set(stats, STAT_WATCH_CONNECTIONS, counts.data_conns);
	stats_set(stats, STAT_WATCH_TABLE_BYTES, counts.used_bytes);
}

bool
events_of_record(struct reader *reader, const struct delta *record)
{
	const uint8_t *at =
		reader->told == 0 ? delta_effects(record) : reader->told_at;

	for (uint32_t i = reader->told; i < record->effect_count; i++) {
		const struct effect *effect = (const void *)at;
		const uint64_t before = reader->delivered;

		if (FAL_UNLIKELY(reader->tell_left == 0 ||
				 before >= reader->tell_until ||
				 !events_have_room(reader))) {
			reader->told = i;
			reader->told_at = at;
			return false;
		}
		reader->tell_left--;
		watch_fire(reader->watches, record->zxid, effect);
		note_fan_out(reader, effect->type, reader->delivered - before);
		at += effect_bytes(effect->path_bytes);
	}
	reader->told = 0;
	return true;
}

void
events_register(struct reader *reader, struct conn *conn, int32_t op,
		struct tree_path path)
{
	const bool is_child = op == OP_GET_CHILDREN || op == OP_GET_CHILDREN2;

	if (watch_add(reader->watches, conn->index, path,
		      is_child ? WATCH_CHILD : WATCH_DATA) != FAL_OK)
		conn_abort(reader,
			   conn); /* a watch must not be lost silently */
}

int32_t
events_add(struct reader *reader, struct conn *conn, int32_t mode,
	   struct tree_path path)
{
	if (mode != 0 && mode != 1)
		return ZK_MARSHALLINGERROR;
	if (watch_add(reader->watches, conn->index, path,
		      mode == 0 ? WATCH_PERSISTENT : WATCH_RECURSIVE) != FAL_OK)
		return ZK_THROTTLEDOP;
	return ZK_OK;
}

int32_t
events_check(struct reader *reader, struct conn *conn, int32_t op, int32_t type,
	     struct tree_path path)
{
	return op == OP_CHECK_WATCHES
		       ? watch_check(reader->watches, conn->index, path, type)
		       : watch_remove(reader->watches, conn->index, path, type);
}

void
events_before_output(struct reader *reader, struct conn *conn)
{
	watch_deliver_before_output(reader->watches, conn->index);
}

bool
events_drop_some(struct reader *reader, struct conn *conn)
{
	return watch_drop_step(reader->watches, conn->index, DROP_BURST);
}

bool
events_step(struct reader *reader, uint32_t budget)
{
	if (watch_jobs_pin(reader->watches) == UINT64_MAX)
		return false;
	watch_job_step(reader->watches, budget);
	return true;
}

bool
events_have_work(const struct reader *reader)
{
	return watch_jobs_pin(reader->watches) != UINT64_MAX;
}

bool
events_have_room(const struct reader *reader)
{
	return watch_has_room(reader->watches);
}

uint64_t
events_oldest(const struct reader *reader)
{
	const uint64_t pin = watch_jobs_pin(reader->watches);

	return pin <= reader->S ? pin - 1 : reader->S;
}

void
events_deliver_missed(void *arg, uint32_t conn_index, enum proto_event type,
		      struct jute_slice path)
{
	struct reader *reader = arg;
	struct conn *conn = &reader->conns[conn_index];

	if (conn->stream != STREAM_NONE)
		send_event(reader, conn, -1, (int32_t)type, path);
}
