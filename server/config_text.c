/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_text - the configuration as ZooKeeper shows it: /zookeeper/config and
 * the four-letter word conf, and what of it is not shown. Sizes: a server line
 * is below 2.7 KB with four addresses of the longest names, but no real
 * ensemble comes near it; text that does not fit is cut at CONFIG_TEXT_BYTES.
 */
#include "server/config.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct text {
	char *bytes;
	size_t count; /* < CONFIG_TEXT_BYTES */
};

static void add(struct text *text, const char *format, ...) FAL_PRINTF(2, 3);

static void
add(struct text *text, const char *format, ...)
{
	const size_t room = CONFIG_TEXT_BYTES - text->count;
	va_list args;

	va_start(args, format);
	const int wanted =
		vsnprintf(text->bytes + text->count, room, format, args);
	va_end(args);
	FAL_ASSERT(wanted >= 0);
	text->count += (size_t)wanted < room ? (size_t)wanted : room - 1;
}

/* host:port, an IPv6 host in brackets. */
static void
add_host(struct text *text, const struct config_address *address)
{
	const bool is_ipv6 = strchr(address->host, ':') != NULL;

	add(text, "%s%s%s:%u", is_ipv6 ? "[" : "", address->host,
	    is_ipv6 ? "]" : "", address->port);
}

static void
add_server(struct text *text, const struct config_server *server)
{
	add(text, "server.%" PRId64 "=", server->id);
	for (uint32_t i = 0; i < server->address_count; i++) {
		add(text, "%s", i > 0 ? "|" : "");
		add_host(text, &server->quorum[i]);
		add(text, ":%u", server->election[i].port);
	}
	add(text, ":%s",
	    server->type == CONFIG_OBSERVER ? "observer" : "participant");
	if (server->client.port != 0 || server->secure_client.port != 0)
		add(text, ";");
	if (server->client.port != 0)
		add_host(text, &server->client);
	if (server->secure_client.port != 0) {
		add(text, ";");
		add_host(text, &server->secure_client);
	}
	add(text, "\n");
}

/* group.G=id:id, each group at its first member. */
static void
add_groups(struct text *text, const struct config *config)
{
	for (uint32_t i = 0; i < config->server_count; i++) {
		const int64_t group = config->server[i].group;
		bool is_first = group != -1;

		for (uint32_t j = 0; j < i; j++)
			is_first = is_first && config->server[j].group != group;
		if (!is_first)
			continue;
		add(text, "group.%" PRId64 "=%" PRId64, group,
		    config->server[i].id);
		for (uint32_t j = i + 1; j < config->server_count; j++)
			if (config->server[j].group == group)
				add(text, ":%" PRId64, config->server[j].id);
		add(text, "\n");
	}
	for (uint32_t i = 0; i < config->server_count; i++)
		if (config->server[i].group != -1)
			add(text, "weight.%" PRId64 "=%u\n",
			    config->server[i].id, config->server[i].weight);
}

static void
add_membership(struct text *text, const struct config *config)
{
	for (uint32_t i = 0; i < config->server_count; i++)
		add_server(text, &config->server[i]);
	if (config->group_count > 0)
		add_groups(text, config);
	add(text, "version=%" PRIx64, config->config_version);
}

static void
add_ensemble(struct text *text, const struct config *config)
{
	const struct config_server *own = &config->server[0];

	for (uint32_t i = 0; i < config->server_count; i++)
		if (config->server[i].id == config->myid)
			own = &config->server[i];
	add(text,
	    "initLimit=%d\nsyncLimit=%d\nelectionAlg=%d\nelectionPort=%u\n"
	    "quorumPort=%u\npeerType=%d\nmembership: \n",
	    config->init_limit_ticks, config->sync_limit_ticks,
	    config->election_algorithm, own->election[0].port,
	    own->quorum[0].port, (int)config->peer_type);
	add_membership(text, config);
}

bool
config_is_secret_key(const char *key)
{
	static const char *const parts[] = {"password", "superdigest", "secret",
					    "passwd"};
	char lower[256];
	size_t i = 0;

	for (; key[i] != 0 && i < sizeof(lower) - 1; i++)
		lower[i] = (char)tolower((unsigned char)key[i]);
	lower[i] = 0;
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (strstr(lower, parts[i]) != NULL)
			return true;
	return false;
}

size_t
config_membership_text(const struct config *config, char *bytes)
{
	struct text text = {.bytes = bytes};

	bytes[0] = '\0';
	if (!config->is_standalone)
		add_membership(&text, config);
	return text.count;
}

size_t
config_conf_text(const struct config *config, uint64_t data_bytes,
		 uint64_t log_bytes, char *bytes)
{
	struct text text = {.bytes = bytes};

	add(&text,
	    "clientPort=%d\nsecureClientPort=-1\n"
	    "dataDir=%s/version-2\ndataDirSize=%" PRIu64
	    "\ndataLogDir=%s/version-2\ndataLogSize=%" PRIu64 "\n",
	    config->client_port, config->data_dir, data_bytes,
	    config->data_log_dir, log_bytes);
	add(&text,
	    "tickTime=%d\nmaxClientCnxns=%d\nminSessionTimeout=%d\n"
	    "maxSessionTimeout=%d\nclientPortListenBacklog=%d\n"
	    "serverId=%" PRId64 "\n",
	    config->tick_ms, config->client_connections_max,
	    config->session_timeout_min_ms, config->session_timeout_max_ms,
	    config->client_backlog, config->is_standalone ? 0 : config->myid);
	if (!config->is_standalone)
		add_ensemble(&text, config);
	return text.count;
}
