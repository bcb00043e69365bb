/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    no mbuf of a packed pool lies outside of the area that the af_xdp
 *         driver shows to the kernel: count x object size from the first page;
 *         and without huge pages no pool takes more than that. And cores that
 *         free what another one received leave it mbufs.
 * Method  pools are made without huge pages, where each page that an object
 *         may not cross leaves a gap; the span of DPDK's own pool shows that
 *         the gaps are real here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <rte_mbuf.h>

#include "drivers/port_pool.h"
#include "tests/packet/packet_eal.h"

#define COUNT        1023u
#define SHARED_COUNT 8191u
#define SHARED_CORES 16u

static uint64_t
covered_by_driver(const struct rte_mempool *pool)
{
	return (uint64_t)pool->size *
	       (pool->header_size + pool->elt_size + pool->trailer_size);
}

static struct rte_mempool *
make(const char *name, bool is_packed)
{
	const struct port_pool_options options = {
		.name = name,
		.count = COUNT,
		.private_bytes = 64,
		.room_bytes = RTE_MBUF_DEFAULT_BUF_SIZE,
		.is_packed = is_packed,
	};
	struct rte_mempool *pool = port_pool_make(&options);

	assert_non_null(pool);
	return pool;
}

static void
test_packed_pool_has_no_gap(void **state)
{
	struct rte_mempool *pool = make("packed", true);

	(void)state;
	assert_int_equal(port_pool_span(pool), covered_by_driver(pool));
	rte_mempool_free(pool);
}

static void
test_no_pool_has_gaps_in_ordinary_pages(void **state)
{
	struct rte_mempool *pool = make("usual", false);

	(void)state;
	assert_int_equal(port_pool_span(pool), covered_by_driver(pool));
	rte_mempool_free(pool);
}

static void
test_pool_of_dpdk_has_gaps(void **state)
{
	struct rte_mempool *pool = rte_pktmbuf_pool_create(
		"dpdk", COUNT, 0, 64, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);

	(void)state;
	assert_non_null(pool);
	assert_true(port_pool_span(pool) > covered_by_driver(pool));
	rte_mempool_free(pool);
}

static void
test_mbufs_are_those_of_a_pktmbuf_pool(void **state)
{
	struct rte_mempool *pool = make("mbufs", true);
	struct rte_mbuf *mbufs[COUNT];

	(void)state;
	assert_int_equal(rte_pktmbuf_alloc_bulk(pool, mbufs, COUNT), 0);
	assert_null(rte_pktmbuf_alloc(pool));
	for (uint32_t i = 0; i < COUNT; i++) {
		assert_ptr_equal(mbufs[i]->pool, pool);
		assert_int_equal(rte_pktmbuf_priv_size(pool), 64);
		assert_int_equal(rte_pktmbuf_headroom(mbufs[i]),
				 RTE_PKTMBUF_HEADROOM);
		assert_int_equal(rte_pktmbuf_tailroom(mbufs[i]),
				 RTE_MBUF_DEFAULT_DATAROOM);
		rte_pktmbuf_free(mbufs[i]);
	}
	assert_int_equal(rte_mempool_avail_count(pool), COUNT);
	rte_mempool_free(pool);
}

/* All mbufs of a core are freed by others, one after the other, as those of a
 * core that receives for them. */
static void
test_other_cores_keep_few_mbufs(void **state)
{
	const struct port_pool_options options = {
		.name = "shared",
		.count = SHARED_COUNT,
		.private_bytes = 64,
		.room_bytes = 256,
		.core_count = SHARED_CORES,
	};
	struct rte_mempool *pool = port_pool_make(&options);
	static void *mbufs[SHARED_COUNT];
	struct rte_mempool_cache *own;
	uint32_t left = 0;

	(void)state;
	assert_non_null(pool);
	own = rte_mempool_default_cache(pool, 0);
	for (uint32_t i = 0; i < SHARED_COUNT; i++)
		assert_int_equal(
			rte_mempool_generic_get(pool, &mbufs[i], 1, own), 0);
	for (uint32_t i = 0; i < SHARED_COUNT; i++)
		rte_mempool_generic_put(
			pool, &mbufs[i], 1,
			rte_mempool_default_cache(pool,
						  1 + i % (SHARED_CORES - 1)));
	assert_int_equal(rte_mempool_avail_count(pool), SHARED_COUNT);
	while (left < SHARED_COUNT &&
	       rte_mempool_generic_get(pool, &mbufs[left], 1, own) == 0)
		left++;
	assert_true(left >= SHARED_COUNT - SHARED_COUNT / 16);
	rte_mempool_free(pool);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packed_pool_has_no_gap),
		cmocka_unit_test(test_no_pool_has_gaps_in_ordinary_pages),
		cmocka_unit_test(test_pool_of_dpdk_has_gaps),
		cmocka_unit_test(test_mbufs_are_those_of_a_pktmbuf_pool),
		cmocka_unit_test(test_other_cores_keep_few_mbufs),
	};

	packet_eal_pool(63);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
