/* SPDX-License-Identifier: Apache-2.0 */
/* port_pool - see port_pool.h. */
#include "drivers/port_pool.h"

#include <rte_eal.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>

/* A cache holds half as many more before it gives them back. */
static uint32_t
cache_of(const struct port_pool_options *options)
{
	const uint32_t others =
		options->core_count > 1 ? options->core_count - 1 : 0;
	const uint32_t share =
		others == 0 ? UINT32_MAX : options->count / 24 / others;

	return share < RTE_MEMPOOL_CACHE_MAX_SIZE ? share
						  : RTE_MEMPOOL_CACHE_MAX_SIZE;
}

struct rte_mempool *
port_pool_make(const struct port_pool_options *options)
{
	const uint32_t object_bytes = (uint32_t)sizeof(struct rte_mbuf) +
				      options->private_bytes +
				      options->room_bytes;
	struct rte_pktmbuf_pool_private own = {
		.mbuf_data_room_size = options->room_bytes,
		.mbuf_priv_size = options->private_bytes,
	};
	const bool has_gaps = rte_eal_has_hugepages() && !options->is_packed;
	struct rte_mempool *pool = rte_mempool_create_empty(
		options->name, options->count, object_bytes, cache_of(options),
		sizeof(own), SOCKET_ID_ANY,
		has_gaps ? 0 : RTE_MEMPOOL_F_NO_IOVA_CONTIG);

	if (pool == NULL)
		return NULL;
	if (rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(),
				       NULL) == 0) {
		rte_pktmbuf_pool_init(pool, &own);
		/* Packed in two areas would not be packed. */
		if (rte_mempool_populate_default(pool) >= 0 &&
		    (!options->is_packed || pool->nb_mem_chunks == 1)) {
			rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
			return pool;
		}
	}
	rte_mempool_free(pool);
	return NULL;
}

struct span {
	uintptr_t first, last;
};

static void
span_add(struct rte_mempool *pool, void *arg, void *object, unsigned index)
{
	struct span *span = (struct span *)arg;
	const uintptr_t at = (uintptr_t)object;

	(void)pool;
	(void)index;
	if (at < span->first)
		span->first = at;
	if (at > span->last)
		span->last = at;
}

uint64_t
port_pool_span(struct rte_mempool *pool)
{
	struct span span = {.first = UINTPTR_MAX};

	rte_mempool_obj_iter(pool, span_add, &span);
	return span.last - span.first + pool->header_size + pool->elt_size +
	       pool->trailer_size;
}
