/* SPDX-License-Identifier: Apache-2.0 */
/*
 * member_quorum - server lines as struct quorum. Groups are numbered as they
 * come; an address stands for itself by a hash of its text.
 */
#include "server/member.h"

#include <stdio.h>
#include <string.h>

#define FNV_START 0xcbf29ce484222325ull
#define FNV_PRIME 0x100000001b3ull

static uint64_t
mix_text(uint64_t hash, const char *text)
{
	for (; *text != 0; text++)
		hash = (hash ^ (uint8_t)*text) * FNV_PRIME;
	return hash;
}

/* Equal texts, equal numbers; the order of several addresses counts. */
static uint64_t
address_number(const struct config_server *server)
{
	uint64_t hash = FNV_START;
	char port[16];

	for (uint32_t i = 0; i < server->address_count; i++) {
		snprintf(port, sizeof(port), ":%u|", server->quorum[i].port);
		hash = mix_text(hash, server->quorum[i].host);
		hash = mix_text(hash, port);
	}
	return hash;
}

static uint32_t
group_number(const struct config *config, int64_t group)
{
	uint32_t number = 0;

	for (uint32_t i = 0; i < config->server_count; i++) {
		const int64_t other = config->server[i].group;
		bool is_first = other != -1;

		if (other == group)
			return number;
		for (uint32_t j = 0; j < i; j++)
			is_first = is_first && config->server[j].group != other;
		number += is_first;
	}
	return number;
}

int
member_quorum_of(const struct config *config, struct quorum *out)
{
	const bool has_groups = config->group_count > 0;

	memset(out, 0, sizeof(*out));
	if (config->server_count > QUORUM_MEMBERS_MAX)
		return FAL_EINVAL;
	out->version =
		config->reconfig_enabled ? (int64_t)config->config_version : 0;
	out->kind = has_groups ? QUORUM_HIERARCHICAL : QUORUM_MAJORITY;
	out->member_count = config->server_count;
	for (uint32_t i = 0; i < config->server_count; i++) {
		const struct config_server *server = &config->server[i];

		out->member[i] = (struct quorum_member){
			.sid = server->id,
			.address = address_number(server),
			.weight = has_groups ? server->weight : 1,
			.group = has_groups && server->group != -1
					 ? group_number(config, server->group)
					 : 0,
			.is_voter = server->type == CONFIG_PARTICIPANT,
		};
	}
	return quorum_check(out);
}

static uint64_t
mix_number(uint64_t hash, uint64_t number)
{
	for (uint32_t i = 0; i < sizeof(number); i++)
		hash = (hash ^ (uint8_t)(number >> 8 * i)) * FNV_PRIME;
	return hash;
}

uint64_t
member_voters_hash(const struct quorum *quorum)
{
	uint64_t sum = mix_number(FNV_START, quorum->kind);

	/* A sum: lines may be in any order. */
	for (uint32_t i = 0; i < quorum->member_count; i++) {
		const struct quorum_member *member = &quorum->member[i];
		uint64_t hash = mix_number(FNV_START, (uint64_t)member->sid);

		if (!member->is_voter)
			continue;
		sum += mix_number(hash, member->weight);
	}
	return sum;
}
