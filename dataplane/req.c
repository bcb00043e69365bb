/* SPDX-License-Identifier: Apache-2.0 */
/*
 * req - the pool of waiting requests. One block at start, a free list through
 * `next`; only bodies longer than REQ_INLINE_BYTES touch malloc.
 */
#include "dataplane/req.h"

#include <stdlib.h>
#include <string.h>

int
req_pool_init(struct req_pool *pool, uint32_t count)
{
	FAL_ASSERT(count > 0);
	*pool = (struct req_pool){.count = count, .free_count = count};
	pool->all = calloc(count, sizeof(*pool->all));
	if (pool->all == NULL)
		return FAL_ENOMEM;
	for (uint32_t i = count; i > 0; i--) {
		pool->all[i - 1].next = pool->free;
		pool->free = &pool->all[i - 1];
	}
	return FAL_OK;
}

void
req_pool_destroy(struct req_pool *pool)
{
	free(pool->all);
	*pool = (struct req_pool){0};
}

struct req *
req_new(struct req_pool *pool, const void *body, uint32_t body_bytes,
	struct req_ids *ids)
{
	struct req *req = pool->free;

	if (req == NULL)
		return NULL;

	uint8_t *copy = req->inline_body;

	if (body_bytes > REQ_INLINE_BYTES) {
		copy = malloc(body_bytes);
		if (copy == NULL)
			return NULL;
		pool->body_bytes += body_bytes;
	}
	pool->free = req->next;
	pool->free_count--;
	memset(req, 0, offsetof(struct req, inline_body));
	if (body_bytes > 0)
		memcpy(copy, body, body_bytes);
	req->body = copy;
	req->body_bytes = body_bytes;
	req->ids = ids;
	if (ids != NULL)
		req_ids_ref(ids);
	return req;
}

void
req_free(struct req_pool *pool, struct req *req)
{
	if (req->body != req->inline_body) {
		FAL_ASSERT(pool->body_bytes >= req->body_bytes);
		pool->body_bytes -= req->body_bytes;
		free((void *)(uintptr_t)req->body);
	}
	free(req->reply);
	if (req->ids != NULL)
		req_ids_unref(req->ids);
	FAL_ASSERT(pool->large_bytes >= req->large_bytes);
	pool->large_bytes -= req->large_bytes;
	req->next = pool->free;
	pool->free = req;
	pool->free_count++;
	FAL_ASSERT(pool->free_count <= pool->count);
}

struct req_ids *
req_ids_new(struct auth_ids *list)
{
	struct req_ids *ids = malloc(sizeof(*ids));

	if (ids == NULL) {
		auth_ids_free(list);
		return NULL;
	}
	*ids = (struct req_ids){.refs = 1, .list = list};
	return ids;
}

void
req_ids_ref(struct req_ids *ids)
{
	ids->refs++;
}

void
req_ids_unref(struct req_ids *ids)
{
	FAL_ASSERT(ids->refs > 0);
	if (--ids->refs > 0)
		return;
	auth_ids_free(ids->list);
	free(ids);
}
