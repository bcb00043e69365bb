/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_members - the ensemble's lines, of zoo.cfg or of a dynamic file.
 *
 *   server.N = address[|address...][;client][;secure]
 *     address = host:quorum:election[:participant|observer]
 *     client, secure = [host:]port; may be empty, without a host: 0.0.0.0
 *     Separators at an end are passed over, as by Java's split().
 *   group.G = id:id:...
 *   weight.N = number
 *
 * Hosts may be IPv6 addresses in brackets. Servers are kept in ascending order
 * of their ids, which is also the order in which /zookeeper/config shows them.
 */
#include "server/config_reading.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* How a server line looks, for messages. */
#define SERVER_SYNTAX                                                  \
	"allowed: host:quorumPort:electionPort[:participant|observer]" \
	"[;[host:]clientPort]"

/* A piece of a value, ends before a separator or at the end. */
struct piece {
	const char *at;
	size_t bytes;
};

bool
config_is_member_key(const char *key)
{
	return strncmp(key, "server.", 7) == 0 ||
	       strncmp(key, "group.", 6) == 0 ||
	       strncmp(key, "weight.", 7) == 0;
}

/* Cuts the text up to `separator` off *rest; false at the end. */
static bool
cut(const char **rest, char separator, struct piece *piece)
{
	if (*rest == NULL)
		return false;
	const char *end = strchr(*rest, separator);

	piece->at = *rest;
	piece->bytes = end != NULL ? (size_t)(end - *rest) : strlen(*rest);
	*rest = end != NULL ? end + 1 : NULL;
	return true;
}

static void
drop_end(struct piece *piece, char separator)
{
	while (piece->bytes > 0 && piece->at[piece->bytes - 1] == separator)
		piece->bytes--;
}

/* Takes the host, with or without brackets, off the front of *piece, and the
 * colon behind it. False when it is no host or nothing follows. */
static bool
take_host(struct piece *piece, char *host)
{
	const bool has_brackets = piece->bytes > 0 && piece->at[0] == '[';
	const char *from = piece->at + has_brackets;
	const char *end = memchr(from, has_brackets ? ']' : ':',
				 piece->bytes - has_brackets);

	if (end == NULL || end == from ||
	    (size_t)(end - from) >= CONFIG_HOST_BYTES)
		return false;
	memcpy(host, from, (size_t)(end - from));
	host[end - from] = '\0';
	end += has_brackets;

	const size_t used = (size_t)(end - piece->at);

	if (used >= piece->bytes || *end != ':')
		return false;
	piece->at += used + 1;
	piece->bytes -= used + 1;
	return true;
}

/* Takes a port off the front of *piece, and the colon behind it if there is
 * one; *is_last tells whether there was none. */
static bool
take_port(struct piece *piece, uint16_t *port, bool *is_last)
{
	uint32_t number = 0;
	size_t i = 0;

	for (; i < piece->bytes && piece->at[i] != ':'; i++) {
		if (piece->at[i] < '0' || piece->at[i] > '9')
			return false;
		number = number * 10 + (uint32_t)(piece->at[i] - '0');
		if (number > UINT16_MAX)
			return false;
	}
	if (i == 0)
		return false;
	*port = (uint16_t)number;
	*is_last = i == piece->bytes;
	if (!*is_last)
		i++;
	piece->at += i;
	piece->bytes -= i;
	return true;
}

static bool
piece_is(const struct piece *piece, const char *word)
{
	return piece->bytes == strlen(word) &&
	       strncasecmp(piece->at, word, piece->bytes) == 0;
}

/* host:quorum:election[:type]; *type_seen: a type came before, in *server. */
static bool
read_address(struct piece piece, struct config_server *server, bool *type_seen)
{
	const uint32_t index = server->address_count;
	struct config_address *quorum = &server->quorum[index];
	struct config_address *election = &server->election[index];
	enum config_peer_type type;
	bool is_last;

	drop_end(&piece, ':');
	if (index == CONFIG_ADDRESSES_MAX || !take_host(&piece, quorum->host) ||
	    !take_port(&piece, &quorum->port, &is_last) || is_last ||
	    !take_port(&piece, &election->port, &is_last))
		return false;
	memcpy(election->host, quorum->host, sizeof(quorum->host));
	server->address_count++;
	if (is_last)
		return true;
	if (piece_is(&piece, "participant"))
		type = CONFIG_PARTICIPANT;
	else if (piece_is(&piece, "observer"))
		type = CONFIG_OBSERVER;
	else
		return false;
	if (*type_seen && type != server->type)
		return false;
	server->type = type;
	*type_seen = true;
	return true;
}

/* [host:]port, or nothing. */
static bool
read_client(struct piece piece, struct config_address *address)
{
	struct piece rest;
	bool is_last;

	if (piece.bytes == 0)
		return true;
	drop_end(&piece, ':');
	rest = piece;
	if (!take_host(&rest, address->host)) {
		rest = piece;
		strcpy(address->host, "0.0.0.0");
	}
	return take_port(&rest, &address->port, &is_last) && is_last &&
	       address->port != 0;
}

/* The number behind the dot of server.N, group.N, weight.N; false: none. */
static bool
key_number(const char *key, int64_t *number)
{
	return config_parse_number(strchr(key, '.') + 1, false, number) &&
	       *number >= 0;
}

static struct config_server *
find_server(struct config *config, int64_t id)
{
	for (uint32_t i = 0; i < config->server_count; i++)
		if (config->server[i].id == id)
			return &config->server[i];
	return NULL;
}

/* Both are listened to on one address. */
static bool
has_equal_ports(const struct config_server *server)
{
	for (uint32_t i = 0; i < server->address_count; i++)
		if (server->quorum[i].port == server->election[i].port)
			return true;
	return false;
}

/* The value of a server line. */
static int
read_server_value(const struct config_reading *reading,
		  struct config_server *server)
{
	struct piece value = {.at = reading->property->value,
			      .bytes = strlen(reading->property->value)};
	struct piece part, address;
	const char *parts, *addresses;
	bool type_seen = false;
	char text[6 * CONFIG_HOST_BYTES + 256];

	drop_end(&value, ';');
	if (value.bytes >= sizeof(text))
		return config_fail(reading, SERVER_SYNTAX);
	memcpy(text, value.at, value.bytes);
	text[value.bytes] = '\0';
	parts = text;
	cut(&parts, ';', &part);
	drop_end(&part, '|');
	text[part.bytes] = '\0';
	addresses = text;
	while (cut(&addresses, '|', &address))
		if (!read_address(address, server, &type_seen))
			return config_fail(reading, SERVER_SYNTAX);
	if ((cut(&parts, ';', &part) && !read_client(part, &server->client)) ||
	    (cut(&parts, ';', &part) &&
	     !read_client(part, &server->secure_client)) ||
	    parts != NULL)
		return config_fail(reading, SERVER_SYNTAX);
	if (has_equal_ports(server))
		return config_fail(reading, "the quorum port and the election "
					    "port must differ");
	return FAL_OK;
}

static int
read_server(const struct config_reading *reading)
{
	struct config *config = reading->config;
	struct config_server server = {.group = -1, .weight = 1};

	if (!key_number(reading->property->key, &server.id))
		return config_fail(reading, "the key needs a number: server.N");
	if (find_server(config, server.id) != NULL)
		return config_fail(reading,
				   "server %" PRId64 " has a line already",
				   server.id);
	if (config->server_count == CONFIG_SERVERS_MAX)
		return config_fail(reading, "allowed: at most %u servers",
				   CONFIG_SERVERS_MAX);
	server.line = reading->property->line;
	const int err = read_server_value(reading, &server);

	if (err != FAL_OK)
		return err;
	if (server.address_count > 1 && !config->multi_address_enabled)
		return config_fail(reading,
				   "several addresses of a server need "
				   "multiAddress.enabled=true");

	/* Insert by id. */
	uint32_t at = config->server_count++;

	for (; at > 0 && config->server[at - 1].id > server.id; at--)
		config->server[at] = config->server[at - 1];
	config->server[at] = server;
	return FAL_OK;
}

static int
read_group(const struct config_reading *reading)
{
	struct config *config = reading->config;
	const char *rest = reading->property->value;
	struct piece piece;
	int64_t group;

	if (!key_number(reading->property->key, &group))
		return config_fail(reading, "the key needs a number: group.N");
	if (config->group_count == CONFIG_GROUPS_MAX)
		return config_fail(reading, "allowed: at most %u groups",
				   CONFIG_GROUPS_MAX);
	config->group_count++;
	while (cut(&rest, ':', &piece)) {
		char text[20] = "";
		int64_t id;

		if (piece.bytes < sizeof(text))
			memcpy(text, piece.at, piece.bytes);
		if (!config_parse_number(text, false, &id))
			return config_fail(reading, "allowed: ids like 1:2:3");
		struct config_server *server = find_server(config, id);

		if (server == NULL)
			return config_fail(reading,
					   "there is no server.%" PRId64, id);
		if (server->group != -1)
			return config_fail(reading,
					   "server %" PRId64
					   " is in group %" PRId64 " already",
					   id, server->group);
		server->group = group;
	}
	return FAL_OK;
}

static int
read_weight(const struct config_reading *reading)
{
	struct config_server *server;
	int64_t id, weight;

	if (!key_number(reading->property->key, &id))
		return config_fail(reading, "the key needs a number: weight.N");
	if (!config_parse_number(reading->property->value, false, &weight) ||
	    weight < 0 || weight > INT32_MAX)
		return config_fail(reading, "allowed: a whole number, 0..%d",
				   INT32_MAX);
	server = find_server(reading->config, id);
	if (server == NULL)
		return config_fail(reading, "there is no server.%" PRId64, id);
	server->weight = (uint32_t)weight;
	return FAL_OK;
}

/* Every voter is in a group as soon as there are groups or weights. */
static int
check_groups(struct config_reading *reading, bool has_weights)
{
	const struct config *config = reading->config;

	reading->property = NULL;
	if (config->group_count == 0 && !has_weights)
		return FAL_OK;
	for (uint32_t i = 0; i < config->server_count; i++)
		if (config->server[i].type == CONFIG_PARTICIPANT &&
		    config->server[i].group == -1)
			return config_fail(reading,
					   "server %" PRId64
					   " is in no group (group.N)",
					   config->server[i].id);
	return FAL_OK;
}

/* Whether a later line has the same key: that one counts. */
static bool
is_overridden(const struct properties *properties, uint32_t index)
{
	return properties_find(properties, properties->property[index].key) !=
	       &properties->property[index];
}

int
config_read_members(struct config *config, struct config_error *error,
		    const char *file, const struct properties *properties,
		    bool is_dynamic)
{
	static const struct {
		const char *prefix;
		int (*read)(const struct config_reading *);
	} passes[] = {
		{"server.", read_server},
		{"group.", read_group},
		{"weight.", read_weight},
	};
	struct config_reading reading = {
		.config = config, .error = error, .file = file};
	bool has_weights = false;

	/* Servers first: the others refer to them. */
	for (size_t pass = 0; pass < 3; pass++) {
		const char *prefix = passes[pass].prefix;

		for (uint32_t i = 0; i < properties->count; i++) {
			int err;

			reading.property = &properties->property[i];
			if (is_dynamic &&
			    !config_is_member_key(reading.property->key))
				return config_fail(&reading,
						   "a dynamic file holds only "
						   "server, group and weight "
						   "lines");
			if (strncmp(reading.property->key, prefix,
				    strlen(prefix)) != 0 ||
			    is_overridden(properties, i))
				continue;
			has_weights = has_weights || pass == 2;
			err = passes[pass].read(&reading);
			if (err != FAL_OK)
				return err;
		}
	}
	return check_groups(&reading, has_weights);
}

int
config_check_ensemble(struct config_reading *reading)
{
	const struct config *config = reading->config;

	if (config->is_standalone)
		return FAL_OK;
	if (config->init_limit_ticks == 0)
		return config_fail(reading, "an ensemble needs initLimit");
	if (config->sync_limit_ticks == 0)
		return config_fail(reading, "an ensemble needs syncLimit");
	if (config->myid == -1)
		return config_fail(reading,
				   "an ensemble needs the file %s/myid: one "
				   "line with the N of this server's line "
				   "server.N",
				   config->data_dir);
	for (uint32_t i = 0; i < config->server_count; i++)
		if (config->server[i].id == config->myid)
			return FAL_OK;
	/* Where the lines are. */
	if (config->dynamic_file != NULL)
		reading->file = config->dynamic_file;
	return config_fail(reading,
			   "there is no line server.%" PRId64
			   ", the id in %s/myid; correct that file, or, if a "
			   "reconfiguration took this server out and it is to "
			   "join again, add its line",
			   config->myid, config->data_dir);
}
