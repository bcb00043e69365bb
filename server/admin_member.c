/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_member - commands about the ensemble: who leads, who belongs to it,
 * and where this server stands. A server alone answers as ZooKeeper's does.
 */
#include "server/admin_int.h"

#include <inttypes.h>
#include <string.h>

#include "server/member.h"
#include "server/metrics_member.h"

static struct ensemble_status
status_of(const struct server *server)
{
	struct ensemble_status status;

	ensemble_status(server->peer->ensemble, &status);
	return status;
}

static const struct config_server *
server_of(const struct config *config, int64_t id)
{
	for (uint32_t i = 0; i < config->server_count; i++)
		if (config->server[i].id == id)
			return &config->server[i];
	return NULL;
}

static void
address_text(const struct config_address *address, char *text, size_t room)
{
	if (address->port == 0)
		text[0] = 0;
	else
		snprintf(text, room,
			 strchr(address->host, ':') != NULL ? "[%s]:%u"
							    : "%s:%u",
			 address->host, address->port);
}

void
admin_put_is_read_only(struct admin_answer *answer)
{
	const char *mode = member_mode(answer->server);

	json_bool(answer->json, "read_only",
		  mode != NULL && strcmp(mode, "read-only") == 0);
}

void
admin_put_leader(struct admin_answer *answer)
{
	const struct server *server = answer->server;
	const struct config_server *leader;
	struct ensemble_status status;
	int64_t sid;

	if (server->peer == NULL) {
		answer->error = "server is not initialized";
		return;
	}
	status = status_of(server);
	/* ZooKeeper's observers name the server that they are connected to. */
	sid = status.view.role == FLE_OBSERVING ? status.view.master
						: status.view.leader;
	leader = server_of(member_view(server), sid);
	json_bool(answer->json, "is_leader", status.view.role == FLE_LEADING);
	json_int(answer->json, "leader_id", sid);
	json_text(answer->json, "leader_ip",
		  leader == NULL ? "" : leader->quorum[0].host);
}

void
admin_put_observers(struct admin_answer *answer)
{
	const struct server *server = answer->server;
	struct ensemble_status status = {.learner_count = 0};
	struct json *json = answer->json;
	char address[STREAM_ADDRESS_TEXT_MAX];
	uint32_t count = 0;

	if (server->peer != NULL)
		status = status_of(server);
	for (uint32_t i = 0; i < status.learner_count; i++)
		count += status.learner[i].is_observer &&
			 status.learner[i].is_synced;
	json_uint(json, "synced_observers", count);
	json_array_begin(json, "observers");
	for (uint32_t i = 0; i < status.learner_count; i++) {
		const struct ensemble_learner *learner = &status.learner[i];

		if (!learner->is_observer || !learner->is_synced)
			continue;
		stream_address_text(&learner->address, address);
		json_object_begin(json, NULL);
		json_text(json, "remote_socket_address", address);
		json_int(json, "sid", learner->sid);
		json_object_end(json);
	}
	json_array_end(json);
}

static void
put_addresses(struct json *json, const char *key,
	      const struct config_address *address, uint32_t count)
{
	char text[CONFIG_HOST_BYTES + 16];

	json_array_begin(json, key);
	for (uint32_t i = 0; i < count; i++) {
		address_text(&address[i], text, sizeof(text));
		json_text(json, NULL, text);
	}
	json_array_end(json);
}

void
admin_put_voting_view(struct admin_answer *answer)
{
	const struct config *config = member_view(answer->server);
	struct json *json = answer->json;
	char text[CONFIG_HOST_BYTES + 16];

	json_object_begin(json, "current_config");
	for (uint32_t i = 0; i < config->server_count; i++) {
		const struct config_server *server = &config->server[i];

		if (answer->server->peer == NULL ||
		    server->type == CONFIG_OBSERVER)
			continue;
		snprintf(text, sizeof(text), "%" PRId64, server->id);
		json_object_begin(json, text);
		put_addresses(json, "server_addresses", server->quorum,
			      server->address_count);
		put_addresses(json, "election_addresses", server->election,
			      server->address_count);
		address_text(&server->client, text, sizeof(text));
		json_text(json, "client_address", text);
		json_text(json, "learner_type", "participant");
		json_object_end(json);
	}
	json_object_end(json);
}

static void
put_member_state(struct admin_answer *answer)
{
	const struct server *server = answer->server;
	const struct config_server *own =
		server_of(member_view(server), server->config->myid);
	const struct ensemble_status status = status_of(server);
	const uint64_t zxid = (uint64_t)status.view.last_zxid;
	struct json *json = answer->json;
	char text[CONFIG_HOST_BYTES + 16];

	json_int(json, "myid", server->config->myid);
	json_bool(json, "is_leader", status.view.role == FLE_LEADING);
	if (own != NULL) {
		put_addresses(json, "quorum_address", own->quorum,
			      own->address_count);
		put_addresses(json, "election_address", own->election,
			      own->address_count);
	}
	stream_address_text(&server->bound, text);
	json_text(json, "client_address", text);
	json_bool(json, "voting", own != NULL && own->type != CONFIG_OBSERVER);
	snprintf(text, sizeof(text), "0x%" PRIx64, zxid);
	json_text(json, "last_zxid", text);
	json_uint(json, "zab_epoch", zxid >> 32);
	json_uint(json, "zab_counter", zxid & UINT32_MAX);
}

/* "following - broadcast" is broadcast here. */
void
admin_put_zabstate(struct admin_answer *answer)
{
	const char *state = metrics_peer_state(answer->server);
	const char *dash = state == NULL ? NULL : strstr(state, " - ");

	if (answer->server->peer != NULL)
		put_member_state(answer);
	else
		json_bool(answer->json, "voting", false);
	json_text(answer->json, "zabstate",
		  dash != NULL    ? dash + 3
		  : state != NULL ? state
				  : "");
}
