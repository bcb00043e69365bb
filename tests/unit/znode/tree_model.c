/* SPDX-License-Identifier: Apache-2.0 */
/* tree_model - see the header; plainness is the point. */
#include "tree_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

static uint32_t
add_path(struct model *model, uint32_t parent, const char *name)
{
	struct model_path *path = &model->path[model->path_count];

	memset(path, 0, sizeof(*path));
	if (name[0] != 0)
		(void)snprintf(path->text, sizeof(path->text), "%.40s/%.20s",
			       model->path[parent].text, name);
	path->bytes = (uint32_t)strlen(path->text);
	path->parent = parent;
	return model->path_count++;
}

static void
set_exists(struct model *model, uint32_t path, int32_t aversion, uint32_t acl)
{
	struct model_state *state = model_edit(model, path, 0);

	state->exists = true;
	state->stat.aversion = aversion;
	state->stat.acl = acl;
	if (path != 0)
		model_edit(model, model->path[path].parent, 0)
			->stat.num_children++;
}

static uint32_t
add_children(struct model *model, const char *dir, int count)
{
	const uint32_t parent = add_path(model, 0, dir);
	char name[24];

	for (int i = 0; i < count; i++) {
		(void)snprintf(name, sizeof(name), "child-%05d", i);
		(void)add_path(model, parent, name);
	}
	return parent;
}

void
model_init(struct model *model)
{
	char name[24];

	*model = (struct model){0};
	model->path =
		calloc(MODEL_DIRS * MODEL_SUBDIRS * (MODEL_LEAVES + 1) +
			       MODEL_DIRS + MODEL_MIDDLE + MODEL_WIDE + 64,
		       sizeof(*model->path));
	(void)add_path(model, 0, "");

	const uint32_t zookeeper = add_path(model, 0, "zookeeper");
	const uint32_t quota = add_path(model, zookeeper, "quota");
	const uint32_t config = add_path(model, zookeeper, "config");

	for (int i = 0; i < 4; i++) {
		(void)snprintf(name, sizeof(name), "q%d", i);
		(void)add_path(model, quota, name);
	}
	for (int i = 0; i < MODEL_DIRS; i++) {
		(void)snprintf(name, sizeof(name), "d%d", i);

		const uint32_t dir = add_path(model, 0, name);

		for (int k = 0; k < MODEL_SUBDIRS; k++) {
			(void)snprintf(name, sizeof(name), "s%d", k);

			const uint32_t sub = add_path(model, dir, name);

			for (int n = 0; n < MODEL_LEAVES; n++) {
				(void)snprintf(name, sizeof(name), "x%d", n);
				(void)add_path(model, sub, name);
			}
		}
	}
	model->middle = add_children(model, "m", MODEL_MIDDLE);
	model->wide = add_children(model, "w", MODEL_WIDE);
	set_exists(model, 0, 0, 0);
	set_exists(model, zookeeper, 0, 0);
	set_exists(model, quota, 0, 0);
	set_exists(model, config, -1, 1);
	model_publish(model, 0);
}

void
model_free(struct model *model)
{
	for (uint32_t i = 0; i < model->path_count; i++)
		free(model->path[i].state);
	free(model->path);
	free(model->journal);
}

const struct model_state *
model_at(const struct model *model, uint32_t path, uint64_t S)
{
	static const struct model_state none;
	const struct model_path *at = &model->path[path];

	for (uint32_t i = at->state_count; i > 0; i--)
		if (at->state[i - 1].stamp <= S)
			return &at->state[i - 1];
	return &none;
}

struct model_state *
model_edit(struct model *model, uint32_t path, uint64_t stamp)
{
	struct model_path *at = &model->path[path];
	struct model_state fresh = {0};

	if (at->state_count > 0) {
		fresh = at->state[at->state_count - 1];
		if (fresh.stamp == stamp)
			return &at->state[at->state_count - 1];
	}
	fresh.stamp = stamp;
	if (at->state_count == at->state_cap) {
		at->state_cap = at->state_cap == 0 ? 2 : at->state_cap * 2;
		at->state =
			realloc(at->state, at->state_cap * sizeof(*at->state));
	}
	if (model->journal_count == model->journal_cap) {
		model->journal_cap =
			model->journal_cap == 0 ? 64 : model->journal_cap * 2;
		model->journal =
			realloc(model->journal,
				model->journal_cap * sizeof(*model->journal));
	}
	model->journal[model->journal_count++] =
		(struct model_note){.stamp = stamp, .path = path};
	at->state[at->state_count] = fresh;
	return &at->state[at->state_count++];
}

void
model_undo(struct model *model, uint64_t S)
{
	while (model->journal_count > 0 &&
	       model->journal[model->journal_count - 1].stamp > S)
		model->path[model->journal[--model->journal_count].path]
			.state_count--;
}

void
model_publish(struct model *model, uint64_t S)
{
	uint64_t kept = 0;

	for (uint64_t i = 0; i < model->journal_count; i++)
		if (model->journal[i].stamp > S)
			model->journal[kept++] = model->journal[i];
	model->journal_count = kept;
}

void
model_prune(struct model *model, uint64_t S)
{
	for (uint32_t i = 0; i < model->path_count; i++) {
		struct model_path *path = &model->path[i];
		uint32_t drop = 0;

		while (drop + 1 < path->state_count &&
		       path->state[drop + 1].stamp <= S)
			drop++;
		if (drop == 0)
			continue;
		path->state_count -= drop;
		memmove(path->state, path->state + drop,
			path->state_count * sizeof(*path->state));
	}
}

void
model_data(uint32_t seed, int32_t bytes, uint8_t *out)
{
	uint32_t state = seed * 2654435761u + 1;

	for (int32_t i = 0; i < bytes; i++) {
		state = state * 1664525u + 1013904223u;
		out[i] = (uint8_t)(state >> 24);
	}
}

static uLong
crc_number(uLong crc, uint64_t value, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--) {
		const uint8_t byte = (uint8_t)(value >> (8 * i));

		crc = crc32(crc, &byte, 1);
	}
	return crc;
}

uint64_t
model_digest(const struct model *model, uint64_t S)
{
	static uint8_t data[1 << 18];
	uint64_t sum = 0;

	for (uint32_t i = 0; i < model->path_count; i++) {
		const struct model_path *path = &model->path[i];
		const struct model_state *state = model_at(model, i, S);
		const struct tree_stat *stat = &state->stat;

		if (!state->exists ||
		    strncmp(path->text, "/zookeeper/", 11) == 0)
			continue;
		uLong crc = crc32(0, (const Bytef *)path->text, path->bytes);

		if (stat->data_bytes > 0) {
			model_data(state->data_seed, stat->data_bytes, data);
			crc = crc32(crc, data, (uInt)stat->data_bytes);
		}
		crc = crc_number(crc, (uint64_t)stat->czxid, 8);
		crc = crc_number(crc, (uint64_t)stat->mzxid, 8);
		crc = crc_number(crc, (uint64_t)stat->pzxid, 8);
		crc = crc_number(crc, (uint64_t)stat->ctime, 8);
		crc = crc_number(crc, (uint64_t)stat->mtime, 8);
		crc = crc_number(crc, (uint32_t)stat->version, 4);
		crc = crc_number(crc, (uint32_t)stat->cversion, 4);
		crc = crc_number(crc, (uint32_t)stat->aversion, 4);
		crc = crc_number(crc, (uint64_t)stat->owner, 8);
		sum += crc;
	}
	return sum;
}

uint64_t
model_count(const struct model *model, uint64_t S)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < model->path_count; i++)
		count += model_at(model, i, S)->exists;
	return count;
}
