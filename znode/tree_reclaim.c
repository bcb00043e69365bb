/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_reclaim - two waits before memory is used again.
 *
 *   superseded version --- watermark ---------------------------> free
 *   deleted node --------- watermark -- unlink -- grace period --> free
 *   replaced array ------- watermark ------------ grace period --> free
 *   undone node, index line, ACL list ----------- grace period --> free
 *
 * Watermark: every reader shows the oldest S it still reads at. When all are
 * at Z or later, nobody *needs* what was superseded at Z. A reader that wakes
 * up stores its line, fences, and loads P; the writer publishes Z (P), fences,
 * and loads the lines: one of the two sees the other (Dekker), so a reader
 * that was overlooked reads at Z or later. The queue is in order of Z.
 *
 * Grace period (liburcu QSBR): nobody *holds* what was unlinked before it.
 * Batches go to the BG thread, which waits, and come back to be freed here.
 */
#include "znode/tree_impl.h"

#include <sched.h>

#include "base/bits.h"

_Thread_local struct rcu_thread rcu_thread;

/* ---- what waits ---------------------------------------------------------- */

static uint64_t
garbage_size(const struct tree *tree, enum garbage_kind kind, uint32_t handle)
{
	switch (kind) {
	case GARBAGE_VERSION: {
		const struct version *version = version_of(tree, handle);
		const struct data_block *block =
			region_at(&tree->region, version->data_block);

		if (version->data_block != 0 && block->refs == 1)
			return (uint64_t)version->granules *
				       REGION_GRANULE_BYTES +
			       region_class_bytes(sizeof(*block) +
						  block->bytes);
		return (uint64_t)version->granules * REGION_GRANULE_BYTES;
	}
	case GARBAGE_NODE:
	case GARBAGE_NODE_MEMORY:
		return region_class_bytes(node_bytes(node_at(tree, handle)));
	case GARBAGE_DIR_FLAT: {
		const struct dir_flat *flat = region_at(&tree->region, handle);

		return sizeof(*flat) + flat->cap * sizeof(uint32_t);
	}
	case GARBAGE_DIR_TABLE: {
		const struct dir_table *table =
			region_at(&tree->region, handle);

		return sizeof(*table) + table->cap * sizeof(uint32_t);
	}
	case GARBAGE_INDEX_LINE:
		return sizeof(struct index_bucket);
	case GARBAGE_ACL:
		break;
	}
	return 0;
}

static void
note(struct tree *tree, struct fifo_record *record, enum garbage_kind kind,
     uint32_t handle, uint64_t zxid)
{
	const uint64_t bytes = bits_align_up(garbage_size(tree, kind, handle),
					     REGION_GRANULE_BYTES);

	record->zxid = zxid;
	record->handle = handle;
	record->kind = kind;
	record->before = (uint32_t)(bytes / REGION_GRANULE_BYTES);
	count_up(&tree->counters.garbage_bytes, bytes);
}

static void
unnote(struct tree *tree, const struct fifo_record *record)
{
	count_down(&tree->counters.garbage_bytes,
		   (uint64_t)record->before * REGION_GRANULE_BYTES);
}

/* Without memory for the note the object is never freed: a leak, no harm. */
void
garbage_put(struct tree *tree, enum garbage_kind kind, uint32_t handle,
	    uint64_t zxid)
{
	const struct fifo_record *last = fifo_back(&tree->garbage);

	FAL_ASSERT(last == NULL || last->zxid <= zxid);

	struct fifo_record *record = fifo_push(&tree->garbage);

	if (record == NULL)
		return;
	note(tree, record, kind, handle, zxid);
	tree->garbage_pushed++;
}

void
limbo_put(struct tree *tree, enum garbage_kind kind, uint32_t handle)
{
	struct fifo_record *record = fifo_push(&tree->limbo);

	if (record != NULL)
		note(tree, record, kind, handle, 0);
}

static void
retire_line(void *arg, uint32_t handle)
{
	limbo_put(arg, GARBAGE_INDEX_LINE, handle);
}

static void
retire_table(void *arg, struct index_table *table)
{
	struct tree *tree = arg;

	table->next = tree->limbo_tables;
	tree->limbo_tables = table;
}

void
index_callbacks(struct tree *tree, struct index_retire *out)
{
	*out = (struct index_retire){
		.line = retire_line, .table = retire_table, .arg = tree};
}

/* ---- nodes --------------------------------------------------------------- */

void
node_unlink(struct tree *tree, struct znode *node)
{
	struct znode *parent = node_at(tree, node->parent);
	const uint32_t handle = handle_of(tree, node);
	const bool has_older = children_have_older(tree, parent);
	const uint32_t flags =
		atomic_load_explicit(&node->flags, memory_order_relaxed);

	/* One that was never published is invisible from now on even if its
	 * zxid is used again. Pairs with node_is_visible(). */
	atomic_store_explicit(&node->flags, flags | ZNODE_DYING,
			      memory_order_release);
	index_remove(&tree->index, node->hash, handle);
	children_remove(tree, parent, node);
	if (FAL_UNLIKELY(handle == tree->kept))
		tree->kept = 0;
	if (has_older)
		garbage_put(tree, GARBAGE_NODE_MEMORY, handle,
			    tree->published + 1);
	else
		limbo_put(tree, GARBAGE_NODE_MEMORY, handle);
}

static void
node_free(struct tree *tree, uint32_t handle)
{
	struct znode *node = node_at(tree, handle);

	FAL_ASSERT(!children_are_linked(tree, node));
	version_free(tree, node->spec);
	children_free(tree, node);
	region_free(&tree->region, handle, node_bytes(node));
}

/* The last step: nobody can hold it. */
static void
garbage_free(struct tree *tree, const struct fifo_record *record)
{
	struct region *region = &tree->region;

	unnote(tree, record);
	switch ((enum garbage_kind)record->kind) {
	case GARBAGE_VERSION:
		version_free(tree, record->handle);
		break;
	case GARBAGE_NODE:
	case GARBAGE_NODE_MEMORY:
		node_free(tree, record->handle);
		break;
	case GARBAGE_DIR_FLAT: {
		const struct dir_flat *flat = region_at(region, record->handle);

		region_free(region, record->handle,
			    sizeof(*flat) + flat->cap * sizeof(uint32_t));
		break;
	}
	case GARBAGE_DIR_TABLE: {
		const struct dir_table *table =
			region_at(region, record->handle);

		region_free(region, record->handle,
			    sizeof(*table) + table->cap * sizeof(uint32_t));
		break;
	}
	case GARBAGE_INDEX_LINE:
		region_free(region, record->handle,
			    sizeof(struct index_bucket));
		break;
	case GARBAGE_ACL:
		acl_table_dispose(tree->acls, record->handle);
		break;
	}
}

/* ---- the two waits ------------------------------------------------------- */

static uint64_t
watermark(const struct tree *tree)
{
	uint64_t low = tree->hold;

	for (uint32_t i = 0; i < TREE_READERS_MAX; i++) {
		/* Pairs with the releases in quiesce and offline: what the
		 * reader did before is over. */
		const uint64_t at = atomic_load_explicit(&tree->reader[i].low,
							 memory_order_acquire);

		if (at < low)
			low = at;
	}
	return low;
}

/*
 * A transaction that deletes a node and then its parent may have touched the
 * parent first, and then the parent comes first here. Unlinking needs the
 * parent, so one with children goes back behind them.
 */
static void
node_reclaim(struct tree *tree, uint32_t handle)
{
	struct znode *node = node_at(tree, handle);

	if (children_are_linked(tree, node))
		garbage_put(tree, GARBAGE_NODE, handle, tree->published + 1);
	else
		node_unlink(tree, node);
}

static void
garbage_run(struct tree *tree, uint64_t max)
{
	const struct fifo_record *front = fifo_front(&tree->garbage);
	uint64_t done = 0;

	if (front == NULL)
		return;
	const uint64_t low = watermark(tree);

	for (; done < max && front != NULL && front->zxid <= low; done++) {
		const struct fifo_record record = *front;

		fifo_pop_front(&tree->garbage);
		tree->garbage_popped++;
		switch ((enum garbage_kind)record.kind) {
		case GARBAGE_VERSION:
			garbage_free(tree, &record);
			break;
		case GARBAGE_NODE:
			unnote(tree, &record);
			node_reclaim(tree, record.handle);
			break;
		case GARBAGE_NODE_MEMORY:
		case GARBAGE_DIR_FLAT:
		case GARBAGE_DIR_TABLE:
		case GARBAGE_INDEX_LINE:
		case GARBAGE_ACL:
			unnote(tree, &record);
			limbo_put(tree, (enum garbage_kind)record.kind,
				  record.handle);
			break;
		}
		front = fifo_front(&tree->garbage);
	}
}

static void
tables_free(struct index_table *table)
{
	while (table != NULL) {
		struct index_table *next = table->next;

		index_table_free(table);
		table = next;
	}
}

static void
batch_free(struct tree *tree, uint64_t max)
{
	struct tree_batch *batch = &tree->batch;

	for (; max > 0 && batch->items.count > 0; max--) {
		const struct fifo_record record = *fifo_front(&batch->items);

		fifo_pop_front(&batch->items);
		garbage_free(tree, &record);
	}
	if (batch->items.count == 0)
		atomic_store_explicit(&batch->state, BATCH_IDLE,
				      memory_order_relaxed);
}

/* Without readers there is nothing to wait for. The fence in front of the
 * caller's load pairs with the one in tree_reader_register(). */
static void
batch_skip(struct tree_batch *batch)
{
	uint32_t waiting = BATCH_WAITING;

	if (atomic_compare_exchange_strong_explicit(
		    &batch->state, &waiting, BATCH_DONE, memory_order_acquire,
		    memory_order_relaxed)) {
		tables_free(batch->tables);
		batch->tables = NULL;
	}
}

static void
batch_run(struct tree *tree, uint64_t max)
{
	struct tree_batch *batch = &tree->batch;
	/* Acquire: pairs with the release in tree_reclaim_grace(). */
	uint32_t state =
		atomic_load_explicit(&batch->state, memory_order_acquire);

	if (state == BATCH_DONE)
		batch_free(tree, max);
	state = atomic_load_explicit(&batch->state, memory_order_relaxed);
	if (state == BATCH_IDLE &&
	    (tree->limbo.count > 0 || tree->limbo_tables != NULL)) {
		const struct fifo empty = batch->items;

		batch->items = tree->limbo;
		tree->limbo = empty;
		batch->tables = tree->limbo_tables;
		tree->limbo_tables = NULL;
		state = BATCH_WAITING;
		/* Pairs with the acquire in tree_reclaim_grace(). */
		atomic_store_explicit(&batch->state, state,
				      memory_order_release);
	}
	if (state != BATCH_WAITING)
		return;
	rcu_fence();
	if (atomic_load_explicit(&tree->reader_count, memory_order_relaxed) > 0)
		return;
	batch_skip(batch);
	/* Acquire: see above; BG may have taken it in between. */
	if (atomic_load_explicit(&batch->state, memory_order_acquire) ==
	    BATCH_DONE)
		batch_free(tree, max);
}

void
tree_reclaim(struct tree *tree, uint32_t max)
{
	/* P was moved before; pairs with the fence in tree_reader_online(). */
	rcu_fence();

	/* What came since the last call on top of `max`: however large the
	 * transactions are, the queue gets shorter when readers allow it. */
	const uint64_t budget =
		max + (tree->garbage_pushed - tree->garbage_reclaimed);

	if (FAL_LIKELY(!tree->keeps_places)) {
		garbage_run(tree, budget);
		tree->garbage_reclaimed = tree->garbage_pushed;
	}
	/* A budget of its own: a long queue must not keep what is already
	 * free from being used. */
	batch_run(tree, budget);
}

void
tree_keep_places(struct tree *tree, bool keeps)
{
	tree->keeps_places = keeps;
}

void
tree_hold(struct tree *tree, uint64_t S)
{
	FAL_ASSERT(tree->hold == TREE_S_NONE && S <= tree->published);
	tree->hold = S;
}

void
tree_release(struct tree *tree)
{
	tree->hold = TREE_S_NONE;
}

bool
tree_reclaim_grace(struct tree *tree)
{
	struct tree_batch *batch = &tree->batch;
	uint32_t waiting = BATCH_WAITING;

	/* Pairs with the release in batch_run(). */
	if (!atomic_compare_exchange_strong_explicit(
		    &batch->state, &waiting, BATCH_BUSY, memory_order_acquire,
		    memory_order_relaxed))
		return false;
	rcu_grace_period();
	/* The library's ordering, said once more in C11: pairs with the
	 * releases of every reader's last quiescent state. */
	for (uint32_t i = 0; i < TREE_READERS_MAX; i++)
		(void)atomic_load_explicit(&tree->reader[i].low,
					   memory_order_acquire);
	tables_free(batch->tables);
	batch->tables = NULL;
	/* Pairs with the acquire in batch_run(). */
	atomic_store_explicit(&batch->state, BATCH_DONE, memory_order_release);
	return true;
}

void
reclaim_init(struct tree *tree)
{
	tree->hold = TREE_S_NONE;
	for (uint32_t i = 0; i < TREE_READERS_MAX; i++) {
		tree->reader[i].tree = tree;
		atomic_store_explicit(&tree->reader[i].low, TREE_S_NONE,
				      memory_order_relaxed);
	}
}

/* Takes the batch back from BG: not begun, or finished. */
static void
batch_recall(struct tree_batch *batch)
{
	for (;;) {
		uint32_t state = BATCH_WAITING;

		/* Acquire: pairs with the release in tree_reclaim_grace(). */
		if (atomic_compare_exchange_strong_explicit(
			    &batch->state, &state, BATCH_IDLE,
			    memory_order_acquire, memory_order_acquire) ||
		    state != BATCH_BUSY)
			return;
		/* No reader is online, so this does not last. */
		(void)sched_yield();
	}
}

void
garbage_drop(struct tree *tree)
{
	batch_recall(&tree->batch);
	tables_free(tree->limbo_tables);
	tables_free(tree->batch.tables);
	tree->limbo_tables = NULL;
	tree->batch.tables = NULL;
	fifo_clear(&tree->garbage);
	fifo_clear(&tree->limbo);
	fifo_clear(&tree->batch.items);
	atomic_store_explicit(&tree->batch.state, BATCH_IDLE,
			      memory_order_relaxed);
	atomic_store_explicit(&tree->counters.garbage_bytes, 0,
			      memory_order_relaxed);
}

/* ---- readers ------------------------------------------------------------- */

struct tree_reader *
tree_reader_register(struct tree *tree)
{
	for (uint32_t i = 0; i < TREE_READERS_MAX; i++) {
		struct tree_reader *reader = &tree->reader[i];
		bool is_registered = false;

		if (!atomic_compare_exchange_strong_explicit(
			    &reader->is_registered, &is_registered, true,
			    memory_order_acquire, memory_order_relaxed))
			continue;
		rcu_thread_register();
		reader->is_online = false;
		reader->is_paused = false;
		/* Pairs with the fence in batch_run(). */
		atomic_fetch_add_explicit(&tree->reader_count, 1,
					  memory_order_seq_cst);
		return reader;
	}
	return NULL;
}

void
tree_reader_unregister(struct tree_reader *reader)
{
	struct tree *tree = reader->tree;

	tree_reader_offline(reader);
	rcu_thread_unregister();
	atomic_fetch_sub_explicit(&tree->reader_count, 1, memory_order_seq_cst);
	/* Pairs with the acquire in tree_reader_register(). */
	atomic_store_explicit(&reader->is_registered, false,
			      memory_order_release);
}

uint64_t
tree_reader_online(struct tree_reader *reader,
		   const _Atomic uint64_t *published)
{
	FAL_ASSERT(!reader->is_online);
	rcu_thread_online();
	reader->is_online = true;
	atomic_store_explicit(
		&reader->low,
		atomic_load_explicit(published, memory_order_acquire),
		memory_order_relaxed);
	/* Pairs with the fence in tree_reclaim(). */
	rcu_fence();
	return atomic_load_explicit(published, memory_order_acquire);
}

void
tree_reader_online_at(struct tree_reader *reader, uint64_t S)
{
	FAL_ASSERT(!reader->is_online);
	rcu_thread_online();
	reader->is_online = true;
	atomic_store_explicit(&reader->low, S, memory_order_release);
	rcu_fence();
}

void
tree_reader_pin(struct tree_reader *reader, uint64_t S)
{
	FAL_ASSERT(!reader->is_online && S >= reader->tree->published);
	reader->is_online = true;
	reader->is_paused = true;
	/* The writer itself looks at it before it frees anything. */
	atomic_store_explicit(&reader->low, S, memory_order_release);
}

static void
low_store(struct tree_reader *reader, uint64_t S)
{
	/* Pairs with the acquires in watermark() and tree_reclaim_grace(). */
	atomic_store_explicit(&reader->low, S, memory_order_release);
}

void
tree_reader_quiesce(struct tree_reader *reader, uint64_t S)
{
	FAL_ASSERT(reader->is_online && !reader->is_paused);
	FAL_ASSERT(S >=
		   atomic_load_explicit(&reader->low, memory_order_relaxed));
	low_store(reader, S);
	rcu_thread_quiescent();
}

void
tree_reader_pause(struct tree_reader *reader)
{
	FAL_ASSERT(reader->is_online && !reader->is_paused);
	low_store(reader,
		  atomic_load_explicit(&reader->low, memory_order_relaxed));
	reader->is_paused = true;
	rcu_thread_offline();
}

void
tree_reader_resume(struct tree_reader *reader)
{
	FAL_ASSERT(reader->is_online && reader->is_paused);
	rcu_thread_online();
	reader->is_paused = false;
}

void
tree_reader_offline(struct tree_reader *reader)
{
	if (!reader->is_online)
		return;
	low_store(reader, TREE_S_NONE);
	if (!reader->is_paused)
		rcu_thread_offline();
	reader->is_online = false;
	reader->is_paused = false;
}
