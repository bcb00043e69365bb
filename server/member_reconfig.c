/* SPDX-License-Identifier: Apache-2.0 */
/*
 * member_reconfig - configurations that come as text: from other servers, and
 * from clients that ask for a change.
 *
 * A text is read by the reader of zoo.cfg's server lines. What was understood
 * and is not older than the active one is remembered by id, so that a server
 * can be dialed before the configuration that names it is active, and still
 * when it is no longer.
 *
 * A change names whole lines (bulk) or who joins and who leaves; then the new
 * text is the active one without the lines of both, and the joiners' behind.
 */
#include "server/member.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "server/config_reading.h"

/* ---- texts
 * -------------------------------------------------------------------- */

static void
free_view(struct config *view)
{
	free(view->server);
	properties_free(&view->properties);
}

/* Reads server, group and weight lines, and the version; the rest is passed
 * over. False: they make no sense. Free it in both cases. */
static bool
read_view(const struct member *member, const char *text, size_t bytes,
	  struct config *view)
{
	struct config_error error;
	struct properties_error why;
	const struct property *version;

	memset(view, 0, sizeof(*view));
	view->reconfig_enabled = true;
	view->multi_address_enabled =
		member->server->config->multi_address_enabled;
	view->server = calloc(CONFIG_SERVERS_MAX, sizeof(*view->server));
	if (view->server == NULL ||
	    properties_parse(text, bytes, &view->properties, &why) != FAL_OK)
		return false;
	version = properties_find(&view->properties, "version");
	if (version != NULL)
		view->config_version = strtoull(version->value, NULL, 16);
	return config_read_members(view, &error, "a configuration",
				   &view->properties, false) == FAL_OK;
}

static void
remember(struct member *member, const struct config_server *server)
{
	for (uint32_t i = 0; i < member->known_count; i++) {
		if (member->known[i].id != server->id)
			continue;
		member->known[i] = *server;
		return;
	}
	/* Full: one that is not named by the newest text may be lost. */
	if (member->known_count == MEMBER_KNOWN_MAX)
		member->known[server->id % MEMBER_KNOWN_MAX] = *server;
	else
		member->known[member->known_count++] = *server;
}

void
member_remember(struct member *member, const struct config *view)
{
	for (uint32_t i = 0; i < view->server_count; i++)
		remember(member, &view->server[i]);
}

const struct config_server *
member_find(const struct member *member, int64_t sid)
{
	for (uint32_t i = 0; i < member->known_count; i++)
		if (member->known[i].id == sid)
			return &member->known[i];
	return NULL;
}

bool
member_parse_config(void *arg, struct jute_slice text, struct quorum *out)
{
	struct member *member = arg;
	struct config view;
	const bool is_good = read_view(member, (const char *)text.data,
				       (size_t)text.bytes, &view) &&
			     member_quorum_of(&view, out) == FAL_OK;

	/* A server that was away says where others were before. */
	if (is_good && out->version >= member->active.version)
		member_remember(member, &view);
	free_view(&view);
	return is_good;
}

/* ---- changes
 * --------------------------------------------------------------------- */

struct lines {
	char *text; /* ENSEMBLE_CONFIG_BYTES_MAX */
	size_t bytes;
	bool is_full;
};

static void
add_line(struct lines *lines, const char *line, size_t bytes)
{
	if (lines->bytes + bytes + 2 > ENSEMBLE_CONFIG_BYTES_MAX) {
		lines->is_full = true;
		return;
	}
	memcpy(lines->text + lines->bytes, line, bytes);
	lines->bytes += bytes;
	lines->text[lines->bytes++] = '\n';
	lines->text[lines->bytes] = 0;
}

/* The next piece up to one of the separators; false: no more. */
static bool
next_piece(struct jute_slice *rest, const char *separators,
	   struct jute_slice *piece)
{
	int32_t end = 0;

	if (rest->bytes <= 0)
		return false;
	while (end < rest->bytes && strchr(separators, rest->data[end]) == NULL)
		end++;
	*piece = jute_slice_of(rest->data, (size_t)end);
	rest->data += end < rest->bytes ? end + 1 : end;
	rest->bytes -= end < rest->bytes ? end + 1 : end;
	return true;
}

static bool
is_blank(uint8_t c)
{
	return c <= ' ';
}

/* The next element of a list, as ZooKeeper splits it: without blanks around it,
 * and none that is empty. */
static bool
next_element(struct jute_slice *rest, struct jute_slice *element)
{
	do {
		if (!next_piece(rest, ",", element))
			return false;
		while (element->bytes > 0 && is_blank(element->data[0])) {
			element->data++;
			element->bytes--;
		}
		while (element->bytes > 0 &&
		       is_blank(element->data[element->bytes - 1]))
			element->bytes--;
	} while (element->bytes == 0);
	return true;
}

/* The id in "server.ID=...", or "server.ID = ..."; -1: it is no such line. */
static int64_t
id_of_line(struct jute_slice line)
{
	int64_t id = 0;
	int32_t i = 7, digits_end;

	if (line.bytes < 9 || memcmp(line.data, "server.", 7) != 0)
		return -1;
	for (; i < line.bytes && line.data[i] >= '0' && line.data[i] <= '9' &&
	       id < INT32_MAX;
	     i++)
		id = id * 10 + (line.data[i] - '0');
	digits_end = i;
	while (i < line.bytes && is_blank(line.data[i]))
		i++;
	return digits_end > 7 && i < line.bytes && line.data[i] == '=' ? id
								       : -1;
}

/* The next id of a list; *is_id false: the element is none. */
static bool
next_id(struct jute_slice *list, int64_t *id, bool *is_id)
{
	struct jute_slice element;
	char text[24];

	if (!next_element(list, &element))
		return false;
	snprintf(text, sizeof(text), "%.*s", (int)element.bytes,
		 (const char *)element.data);
	*is_id = element.bytes < (int32_t)sizeof(text) &&
		 config_parse_number(text, false, id);
	return true;
}

/* False: an element of the list is no id. */
static bool
are_ids(struct jute_slice list)
{
	bool is_id = true;
	int64_t id;

	while (is_id && next_id(&list, &id, &is_id))
		continue;
	return is_id;
}

static bool
is_listed(struct jute_slice list, int64_t id)
{
	bool is_id;
	int64_t one;

	while (next_id(&list, &one, &is_id))
		if (is_id && one == id)
			return true;
	return false;
}

static bool
joins(struct jute_slice joining, int64_t id)
{
	struct jute_slice line;

	while (next_element(&joining, &line))
		if (id_of_line(line) == id)
			return true;
	return false;
}

/* Whole lines, ended by commas or newlines. */
static void
take_bulk(struct jute_slice members, struct lines *lines)
{
	struct jute_slice line;

	while (next_piece(&members, ",\n", &line))
		add_line(lines, (const char *)line.data, (size_t)line.bytes);
}

/* False: a joiner's line is none, or who leaves is no id. */
static bool
take_changes(struct jute_slice active,
	     const struct proto_reconfig_request *asked, struct lines *lines)
{
	struct jute_slice joining = asked->joining, line;

	if (!are_ids(asked->leaving))
		return false;
	while (next_piece(&active, "\n", &line)) {
		const int64_t id = id_of_line(line);

		if (id >= 0 && !is_listed(asked->leaving, id) &&
		    !joins(asked->joining, id))
			add_line(lines, (const char *)line.data,
				 (size_t)line.bytes);
	}
	while (next_element(&joining, &line)) {
		if (id_of_line(line) < 0)
			return false;
		add_line(lines, (const char *)line.data, (size_t)line.bytes);
	}
	return true;
}

/* All addresses of a machine, of whichever: nearly everybody's client port. */
static bool
is_any_host(const char *host)
{
	return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

static bool
is_same_address(const struct config_address *a, const struct config_address *b)
{
	return a->port != 0 && a->port == b->port &&
	       strcmp(a->host, b->host) == 0 && !is_any_host(a->host);
}

/* Would two servers use one address? */
static bool
has_duplicates(const struct config *view)
{
	for (uint32_t i = 0; i < view->server_count; i++) {
		const struct config_server *a = &view->server[i];

		for (uint32_t j = 0; j < i; j++) {
			const struct config_server *b = &view->server[j];

			if (is_same_address(&a->quorum[0], &b->quorum[0]) ||
			    is_same_address(&a->election[0], &b->election[0]) ||
			    is_same_address(&a->client, &b->client))
				return true;
		}
	}
	return false;
}

/* A joiner says where its clients connect. */
static bool
joiners_have_client_ports(const struct config *view, struct jute_slice joining)
{
	for (uint32_t i = 0; i < view->server_count; i++)
		if (joins(joining, view->server[i].id) &&
		    view->server[i].client.port == 0 &&
		    view->server[i].secure_client.port == 0)
			return false;
	return true;
}

static bool
has_voters(const struct member *member, const struct config *view)
{
	const uint32_t least =
		member->server->config->standalone_enabled ? 2 : 1;
	uint32_t voters = 0;

	for (uint32_t i = 0; i < view->server_count; i++)
		voters += view->server[i].type == CONFIG_PARTICIPANT;
	return voters >= least;
}

static bool
is_possible(const struct member *member, const struct config *view,
	    const struct proto_reconfig_request *asked)
{
	struct quorum quorum;

	return has_voters(member, view) && !has_duplicates(view) &&
	       (asked->new_members.bytes >= 0 ||
		joiners_have_client_ports(view, asked->joining)) &&
	       member_quorum_of(view, &quorum) == FAL_OK;
}

static bool
compose(const struct member *member, struct jute_slice active,
	const struct proto_reconfig_request *asked, int64_t version, char *text)
{
	struct lines lines = {.text = text};
	struct config view;
	bool is_good = true;

	text[0] = 0;
	if (asked->new_members.bytes >= 0)
		take_bulk(asked->new_members, &lines);
	else
		/* With groups nobody knows where a joiner belongs. */
		is_good = member->active.kind == QUORUM_MAJORITY &&
			  take_changes(active, asked, &lines);
	if (!is_good || lines.is_full)
		return false;
	is_good = read_view(member, text, lines.bytes, &view) &&
		  is_possible(member, &view, asked);
	view.config_version = (uint64_t)version;
	if (is_good)
		config_membership_text(&view, text);
	free_view(&view);
	return is_good;
}

int32_t
member_compose_config(void *arg, struct jute_slice active, const uint8_t *body,
		      uint32_t body_bytes, int64_t version, char *text)
{
	const struct member *member = arg;
	struct jute_reader reader = jute_reader_of(body, body_bytes);
	struct proto_reconfig_request asked;

	if (proto_get_reconfig(&reader, &asked) != 0 ||
	    !compose(member, active, &asked, version, text))
		return ZK_BADARGUMENTS;
	return ZK_OK;
}

/* ---- what is active
 * ------------------------------------------------------------------ */

void
member_on_config(void *arg, const struct quorum *active, const char *text,
		 uint32_t bytes)
{
	struct member *member = arg;
	const struct config *config = member->server->config;
	const struct config_server *own = member_find(member, config->myid);

	member->active = *active;
	FAL_ASSERT(bytes < sizeof(member->text));
	memcpy(member->text, text, bytes);
	member->text[bytes] = 0;
	pthread_mutex_lock(&member->shown_lock);
	memcpy(member->shown, member->text, bytes + 1);
	member->shown_number++;
	pthread_mutex_unlock(&member->shown_lock);
	LOG_INFO("ensemble: configuration %" PRIx64 " is active, %u servers",
		 (uint64_t)active->version, active->member_count);
	if (own != NULL && own->client.port != 0 &&
	    own->client.port != config->client_port)
		LOG_WARN("the client port is %u in the new configuration, it "
			 "changes from %d at the next start",
			 own->client.port, config->client_port);
}

/* ---- for who asks, on the control thread
 * ------------------------------------------ */

/* False: it is the one that was read before. */
static bool
take_shown(struct member *member, char *text)
{
	bool is_new;

	pthread_mutex_lock(&member->shown_lock);
	is_new = member->shown_number != member->view_number;
	if (is_new)
		snprintf(text, CONFIG_TEXT_BYTES, "%s", member->shown);
	member->view_number = member->shown_number;
	pthread_mutex_unlock(&member->shown_lock);
	return is_new;
}

static void
renew_view(struct member *member, const char *text)
{
	const struct config *config = member->server->config;
	struct config *view = &member->view;
	struct config read;

	if (read_view(member, text, strlen(text), &read)) {
		free(view->server);
		*view = *config;
		view->server = read.server;
		view->server_count = read.server_count;
		view->group_count = read.group_count;
		view->config_version = read.config_version;
		for (uint32_t i = 0; i < view->server_count; i++)
			if (view->server[i].id == config->myid)
				view->peer_type = view->server[i].type;
		read.server = NULL;
	}
	free_view(&read);
}

const struct config *
member_view(const struct server *server)
{
	struct member *member = server->peer;
	char text[CONFIG_TEXT_BYTES];

	if (member == NULL)
		return server->config;
	if (take_shown(member, text))
		renew_view(member, text);
	return member->view.server == NULL ? server->config : &member->view;
}
