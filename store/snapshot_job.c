/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stages: count of the ACL lists, which comes before them, the lists and the
 * nodes slice by slice, end. Between the first two a list that nobody needs at
 * S may go, and its number be given to another: that one is written then, or,
 * so that the count holds, an open list which no node will name.
 *
 * A slice encodes into a buffer while the reader is online; the buffer goes to
 * the file while it is paused, so no file write stands in the way of a grace
 * period, and none happens between two looks at the tree.
 *
 * A checksum per list is remembered by id. As long as the pin stands the ids
 * cannot change meaning; after it slid each node's list is compared, as its
 * number may have been freed and given to another list. A list that is not in
 * the file came with a later transaction. If that made the node replay makes it
 * again, with all that is below it, which is younger: it need not be there.
 */

#include "store/snapshot_job.h"

#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "base/checksum.h"
#include "wire/txn.h"
#include "znode/walk.h"

#define SLICE_NODES 256u
#define SLICE_BYTES (256u << 10)
#define ACL_ID_MAX  (1u << 24)
/* Between two slides: what a slide gives back comes only after a grace period,
 * and it notes the unvisited part of every directory on the stack. */
#define SLIDE_SLICES_MIN 64u
#define CHECKSUMS_MIN    1024u

/* In place of a checksum: the list is counted, and not written yet. */
#define COUNTED 1u

enum stage { STAGE_COUNT, STAGE_ACLS, STAGE_NODES, STAGE_END };

struct bytes {
	uint8_t *data;
	size_t bytes, cap;
};

struct snapshot_job {
	struct snapshot_job_options options;
	struct snapshot_out *out;
	enum stage stage;
	struct walk walk;
	bool has_walk, is_online;
	uint64_t S;
	struct bytes slice;
	uint32_t *checksums; /* by ACL id; 0: not in the file */
	uint32_t checksum_cap;
	uint32_t acl_next; /* lists with lower ids are written */
	uint64_t nodes;
	uint32_t slides;
	uint32_t slices_since; /* the last slide */
};

/* Room for `more` bytes; NULL: out of memory. */
static uint8_t *
bytes_claim(struct bytes *bytes, size_t more)
{
	uint8_t *at;

	if (bytes->cap - bytes->bytes < more) {
		const size_t cap = 2 * (bytes->bytes + more);
		uint8_t *larger = realloc(bytes->data, cap);

		if (larger == NULL)
			return NULL;
		bytes->data = larger;
		bytes->cap = cap;
	}
	at = bytes->data + bytes->bytes;
	bytes->bytes += more;
	return at;
}

/* Never 0, which means "no such list". */
static uint32_t
acl_checksum(const struct acl_list *list)
{
	const uint32_t crc =
		checksum_crc32((uint32_t)list->entries.count,
			       list->entries.data, list->entries.bytes);

	return crc == 0 ? 1 : crc;
}

static int
note_checksum(struct snapshot_job *job, uint32_t id, uint32_t checksum)
{
	FAL_ASSERT(id <= ACL_ID_MAX);
	if (id >= job->checksum_cap) {
		const uint32_t cap = 2 * (id + CHECKSUMS_MIN);
		uint32_t *larger =
			realloc(job->checksums, cap * sizeof(*larger));

		if (larger == NULL)
			return FAL_ENOMEM;
		memset(larger + job->checksum_cap, 0,
		       (cap - job->checksum_cap) * sizeof(*larger));
		job->checksums = larger;
		job->checksum_cap = cap;
	}
	job->checksums[id] = checksum;
	return 0;
}

/* A small tree has not room for as much. */
static uint64_t
garbage_default(struct tree *tree)
{
	struct tree_counts counts;
	uint64_t share;

	tree_counts(tree, &counts);
	share = (counts.used_bytes + tree_bytes_left(tree)) /
		SNAPSHOT_JOB_GARBAGE_SHARE;
	return share < SNAPSHOT_JOB_GARBAGE_MAX ? share
						: SNAPSHOT_JOB_GARBAGE_MAX;
}

int
snapshot_job_create(const struct snapshot_job_options *options,
		    struct snapshot_job **out)
{
	struct snapshot_job *job = calloc(1, sizeof(*job));
	int err;

	if (job == NULL) {
		if (options->pipe != NULL)
			snapshot_out_abort(options->pipe);
		return FAL_ENOMEM;
	}
	job->options = *options;
	job->S = options->zxid;
	if (job->options.garbage_bytes_max == 0)
		job->options.garbage_bytes_max = garbage_default(options->tree);
	/* First of all the pin: the hold in force costs the writer memory. */
	if (!options->is_pinned) {
		tree_reader_online_at(options->reader, job->S);
		tree_reader_pause(options->reader);
	}
	job->is_online = true;
	if (options->pinned != NULL)
		options->pinned(options->arg);
	job->out = options->pipe;
	err = options->pipe != NULL
		      ? 0
		      : snapshot_out_create(options->disk, options->dir,
					    options->zxid, options->coding,
					    &job->out);
	if (err != 0) {
		job->out = NULL;
		snapshot_job_free(job);
		return err;
	}
	snapshot_out_sessions(job->out, options->sessions,
			      options->session_count);
	*out = job;
	return 0;
}

void
snapshot_job_free(struct snapshot_job *job)
{
	if (job == NULL)
		return;
	if (job->has_walk)
		walk_free(&job->walk);
	if (job->is_online) {
		tree_reader_resume(job->options.reader);
		tree_reader_offline(job->options.reader);
	}
	if (job->out != NULL)
		snapshot_out_abort(job->out);
	free(job->slice.data);
	free(job->checksums);
	free(job);
}

static int
encode_acl(struct snapshot_job *job, uint32_t id, const struct acl_list *list)
{
	const struct jute_vector *entries = &list->entries;
	uint8_t *to = bytes_claim(&job->slice, 12 + (size_t)entries->bytes);

	if (to == NULL)
		return FAL_ENOMEM;
	be_store64(to, id);
	be_store32(to + 8, (uint32_t)entries->count);
	if (entries->bytes > 0)
		memcpy(to + 12, entries->data, entries->bytes);
	return note_checksum(job, id, acl_checksum(list));
}

/* world:anyone ALL has the number -1 and no entry. */
static int
step_count(struct snapshot_job *job)
{
	struct acl_table *acls = tree_acls(job->options.tree);
	uint32_t count = 0;
	int err = 0;

	tree_reader_resume(job->options.reader);
	for (uint32_t id = acl_table_next(acls, 0); id != 0 && err == 0;
	     id = acl_table_next(acls, id)) {
		if (id == ACL_ID_OPEN)
			continue;
		err = note_checksum(job, id, COUNTED);
		count++;
	}
	tree_reader_pause(job->options.reader);
	if (err != 0)
		return err;
	snapshot_out_acls(job->out, count);
	job->stage = STAGE_ACLS;
	return 1;
}

/* The list that was counted as `id`. */
static int
encode_counted(struct snapshot_job *job, uint32_t id)
{
	struct acl_table *acls = tree_acls(job->options.tree);
	const bool is_there = acl_table_has(acls, id);
	const int err = encode_acl(
		job, id, acl_table_get(acls, is_there ? id : ACL_ID_OPEN));

	if (err == 0 && !is_there)
		job->checksums[id] = 0;
	return err;
}

static int
step_acls(struct snapshot_job *job)
{
	int err = 0;

	tree_reader_resume(job->options.reader);
	while (job->acl_next < job->checksum_cap && err == 0 &&
	       job->slice.bytes < SLICE_BYTES) {
		const uint32_t id = job->acl_next++;

		if (job->checksums[id] != 0)
			err = encode_counted(job, id);
	}
	if (err == 0 && job->acl_next == job->checksum_cap) {
		err = walk_init(&job->walk, job->options.tree, job->S,
				tree_path_of(job->options.tree, "", 0));
		job->has_walk = err == 0;
		job->stage = STAGE_NODES;
	}
	tree_reader_pause(job->options.reader);
	if (err != 0)
		return err;
	snapshot_out_raw(job->out, job->slice.data, job->slice.bytes);
	job->slice.bytes = 0;
	return 1;
}

/* Is the node's list in the file, with the meaning it has now? */
static bool
is_acl_written(const struct snapshot_job *job, uint32_t id)
{
	if (id == ACL_ID_OPEN)
		return true;
	if (id >= job->checksum_cap || job->checksums[id] == 0)
		return false;
	return job->slides == 0 ||
	       acl_checksum(acl_table_get(tree_acls(job->options.tree), id)) ==
		       job->checksums[id];
}

/* Made between the file's state and the present one. What was loaded was there
 * before; its czxid may be another ensemble's. */
static bool
is_replayed(const struct snapshot_job *job, const struct walk_item *item)
{
	return !walk_is_loaded(item) &&
	       item->stat.czxid > (int64_t)job->options.zxid &&
	       item->stat.czxid <= (int64_t)job->S;
}

static int
encode_node(struct snapshot_job *job, const struct walk_item *item)
{
	const size_t data_bytes =
		item->data.bytes > 0 ? (size_t)item->data.bytes : 0;
	const int64_t acl_id = item->stat.acl == ACL_ID_OPEN
				       ? SNAPSHOT_ACL_OPEN
				       : (int64_t)item->stat.acl;
	uint8_t *to;

	if (!is_acl_written(job, item->stat.acl)) {
		FAL_ASSERT(job->slides > 0);
		if (!is_replayed(job, item))
			return FAL_EAGAIN;
		walk_skip(&job->walk);
		return 0;
	}
	to = bytes_claim(&job->slice, 8 + item->path_bytes + data_bytes +
					      SNAPSHOT_NODE_TAIL_BYTES);
	if (to == NULL)
		return FAL_ENOMEM;
	be_store32(to, item->path_bytes);
	memcpy(to + 4, item->path, item->path_bytes);
	to += 4 + item->path_bytes;
	be_store32(to, (uint32_t)item->data.bytes);
	if (data_bytes > 0)
		memcpy(to + 4, item->data.data, data_bytes);
	snapshot_encode_tail(to + 4 + data_bytes, acl_id, &item->stat);
	job->nodes++;
	return 0;
}

/* Lets the writer have its memory back. */
static int
slide_if_needed(struct snapshot_job *job)
{
	struct tree_counts counts;
	uint64_t S2;
	int err;

	if (++job->slices_since < SLIDE_SLICES_MIN && job->slides > 0)
		return 0;
	tree_counts(job->options.tree, &counts);
	if (counts.garbage_bytes <= job->options.garbage_bytes_max)
		return 0;
	/* acquire: pairs with the writer's store of P */
	S2 = atomic_load_explicit(job->options.published, memory_order_acquire);
	if (S2 == job->S)
		return 0;
	err = walk_repin(&job->walk, S2);
	if (err != 0)
		return err;
	tree_reader_quiesce(job->options.reader, S2);
	job->S = S2;
	job->slides++;
	job->slices_since = 0;
	return 0;
}

static int
step_nodes(struct snapshot_job *job)
{
	struct walk_item item;
	int got = 1;

	tree_reader_resume(job->options.reader);
	for (uint32_t i = 0;
	     i < SLICE_NODES && got > 0 && job->slice.bytes < SLICE_BYTES;
	     i++) {
		got = walk_next(&job->walk, &item);
		if (got > 0) {
			const int err = encode_node(job, &item);

			got = err != 0 ? err : got;
		}
	}
	if (got > 0) {
		const int err = slide_if_needed(job);

		got = err != 0 ? err : got;
	}
	tree_reader_pause(job->options.reader);
	snapshot_out_raw(job->out, job->slice.data, job->slice.bytes);
	job->slice.bytes = 0;
	if (got == 0)
		job->stage = STAGE_END;
	if (got >= 0 && snapshot_out_error(job->out) != 0)
		return snapshot_out_error(job->out);
	return got < 0 ? got : 1;
}

static int
step_end(struct snapshot_job *job)
{
	const struct snapshot_job_options *options = &job->options;
	struct snapshot_info info = {.has_digest = options->has_digest,
				     .digest_version = TXN_DIGEST_VERSION,
				     .digest_zxid = options->zxid,
				     .digest = options->digest,
				     .has_last_zxid = options->writes_last_zxid,
				     .last_zxid = options->zxid};
	struct snapshot_out *out = job->out;

	tree_reader_resume(options->reader);
	tree_reader_offline(options->reader);
	job->is_online = false;
	if (job->slides > 0 && info.has_digest)
		info.has_digest =
			options->state_now != NULL &&
			options->state_now(options->arg, &info.digest_zxid,
					   &info.digest);
	job->out = NULL;
	return snapshot_out_finish(out, &info);
}

int
snapshot_job_step(struct snapshot_job *job)
{
	if (job->stage == STAGE_COUNT)
		return step_count(job);
	if (job->stage == STAGE_ACLS)
		return step_acls(job);
	if (job->stage == STAGE_NODES)
		return step_nodes(job);
	return step_end(job);
}

uint64_t
snapshot_job_nodes(const struct snapshot_job *job)
{
	return job->nodes;
}

uint32_t
snapshot_job_slides(const struct snapshot_job *job)
{
	return job->slides;
}
