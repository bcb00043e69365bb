/* SPDX-License-Identifier: Apache-2.0 */
/*
 * member - see member.h. Names of servers are looked up by a thread of the
 * resolver; both ports are the ZAB core's, on the same stream core as the
 * clients' when one core does everything.
 */
#include "server/member.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/be.h"
#include "base/log.h"
#include "base/time.h"
#include "drivers/clock.h"
#include "drivers/resolve.h"
#include "server/listen.h"
#include "server/recovery.h"
#include "server/resolver.h"
#include "server/store_jobs.h"
#include "store/vote_mark.h"

/* Longest wait for names at the start; later dials ask again. */
#define RESOLVE_WAIT_MS 2000u
/* Entries of own proposals that learners may still need. */
#define RECENT_BYTES    (64ull << 20)
#define OUTSTANDING_MAX 32768u
#define DIAL_TRIES      5u
#define FINALIZE_MS     200u
/* Dials on the election port are repeated in these pauses. */
#define RETRY_MIN_MS 100u
#define RETRY_MAX_MS 2000u
/* The register of genesis: a proposal is repeated, and a quorum waits for more.
 */
#define GENESIS_RETRY_MS 100u
#define GENESIS_GRACE_MS 100u
/* A limping disk, see consensus/zab.h. */
/* A stop waits no longer for the others to take over. */
#define HAND_OVER_NS     NS_PER_SECOND
#define LIMP_STILL_MS    2000u
#define LIMP_LAG_MS      1000u
#define LIMP_FOR_MS      3000u
#define CONFIG_NODE      "/zookeeper/config"
#define READ_ONLY_MIN_MS 2000u

static const struct config_server *
find_server(const struct config *config, int64_t sid)
{
	for (uint32_t i = 0; i < config->server_count; i++)
		if (config->server[i].id == sid)
			return &config->server[i];
	return NULL;
}

/* ---- hooks of the driver, on the ZAB core ---------------------------------
 */

/* observerMasterPort is one for all servers, on their quorum addresses. */
static uint32_t
master_addresses(const struct member *member,
		 const struct config_server *server,
		 struct stream_address out[PEER_ADDRESSES_MAX])
{
	const int32_t port = member->server->config->observer_master_port;
	struct config_address list[CONFIG_ADDRESSES_MAX];

	memcpy(list, server->quorum, sizeof(list));
	for (uint32_t i = 0; i < server->address_count; i++)
		list[i].port = (uint16_t)port;
	return resolver_get_all(member->resolver, list, server->address_count,
				out);
}

static uint32_t
addresses(void *arg, int64_t sid, enum ensemble_port port,
	  struct stream_address out[PEER_ADDRESSES_MAX])
{
	const struct member *member = arg;
	const struct config_server *server = member_find(member, sid);

	if (server == NULL)
		return 0;
	if (port == ENSEMBLE_MASTER_PORT)
		return master_addresses(member, server, out);
	return resolver_get_all(member->resolver,
				port == ENSEMBLE_ELECTION_PORT
					? server->election
					: server->quorum,
				server->address_count, out);
}

static uint32_t
resolve(void *arg, struct jute_slice text,
	struct stream_address out[PEER_ADDRESSES_MAX])
{
	const struct member *member = arg;

	return resolver_get_text(member->resolver, text, out);
}

static void
on_fatal(void *arg, const char *text)
{
	(void)arg;
	LOG_ERROR("the server stops: %s", text);
	_Exit(EXIT_FAILURE);
}

/* A snapshot that does not help is not fetched for ever. */
#define DIVERGED_MAX 3u

/* The log agrees with the leader's up to here, the tree does not: a snapshot
 * of the leader is what helps, and a server that must not vote gets one. That
 * it must not is on the disk before anything else is done. */
static void
on_diverged(void *arg, int64_t zxid)
{
	struct member *member = arg;
	const char *dir = member->server->data_dir.data_dir;
	const bool is_noted =
		vote_mark_write(
			member->server->disk, member->server->data_dir.snap_dir,
			"its tree differed from the leader's (digest)") ==
		FAL_OK;

	LOG_ERROR("digest mismatch: transaction 0x%llx leaves our tree "
		  "different from the leader's. This server serves nobody "
		  "and does not vote until it has the leader's snapshot; what "
		  "it had is kept aside in %s as falconer.stale.*",
		  (unsigned long long)zxid, dir);
	if (is_noted && member->diverged++ < DIVERGED_MAX)
		return;
	if (!is_noted)
		LOG_ERROR("no note of it could be written; empty %s before "
			  "the next start",
			  dir);
	LOG_ERROR("the server stops: the leader's snapshot %s",
		  is_noted ? "did not help, time and again"
			   : "would not be fetched for sure");
	_Exit(EXIT_FAILURE);
}

/* Without dynamic reconfiguration /zookeeper/config is what the own file says,
 * whatever a snapshot brought (ZOOKEEPER-2819). */
static void
write_config_node(void *arg)
{
	const struct member *member = arg;
	struct server *server = member->server;
	struct znode *node =
		tree_find(server->tree, tree_path_of(server->tree, CONFIG_NODE,
						     sizeof(CONFIG_NODE) - 1));
	struct tree_stat stat;

	if (node == NULL)
		return;
	tree_spec_stat(server->tree, node, &stat);
	/* With it, a newer one came with the data. */
	if (server->config->reconfig_enabled &&
	    stat.mzxid > member->active.version)
		return;
	stat.mzxid = member->active.version;
	stat.mtime = clock_wall_ms();
	stat.version = -1;
	if (tree_patch(server->tree, node,
		       jute_slice_of(member->text, strlen(member->text)),
		       &stat) != FAL_OK)
		on_fatal(arg, "out of memory");
}

bool
member_is_log_volatile(const struct config *config)
{
	return !config->is_standalone && config->peer_type == CONFIG_OBSERVER &&
	       !(config->sync_enabled && config->observer_sync_enabled);
}

/* ---- options
 * ------------------------------------------------------------------ */

static struct zab_core_options
core_options(const struct config *config)
{
	return (struct zab_core_options){
		.sid = config->myid,
		.tick_ms = (uint32_t)config->tick_ms,
		.init_limit = (uint32_t)config->init_limit_ticks,
		.sync_limit = (uint32_t)config->sync_limit_ticks,
		.finalize_ms = FINALIZE_MS,
		.notify_min_ms = (uint32_t)config->notification_min_ms,
		.notify_max_ms = (uint32_t)config->notification_max_ms,
		.epoch_wait_ms = config->epoch_wait_ms < 0
					 ? UINT32_MAX
					 : (uint32_t)config->epoch_wait_ms,
		.dial_retry_ms = (uint32_t)config->leader_retry_ms,
		.dial_tries = DIAL_TRIES,
		.outstanding_max = OUTSTANDING_MAX,
		.limp_still_ms = LIMP_STILL_MS,
		.limp_lag_ms = LIMP_LAG_MS,
		.limp_for_ms = LIMP_FOR_MS,
		.yield_pause_ms = 2 * (uint32_t)config->tick_ms,
		.beacon_ms = (uint32_t)config->beacon_ms,
		.beacon_lost_ms = config->beacon_ms == 0
					  ? 0
					  : (uint32_t)config->beacon_lost_ms,
		.is_reconfig_enabled = config->reconfig_enabled,
		.forces_snapshots = config->force_snapshot_sync,
		.is_log_volatile = member_is_log_volatile(config),
		.has_observer_masters = config->observer_master_port != 0,
		.is_sync_confirmed = true,
	};
}

/* host:port of the own election addresses, as they are configured. */
static void
own_addresses(const struct config_server *own, char *text, size_t room)
{
	size_t at = 0;

	text[0] = 0;
	for (uint32_t i = 0; i < own->address_count && at < room; i++) {
		const struct config_address *address = &own->election[i];
		const bool is_ipv6 = strchr(address->host, ':') != NULL;
		const int bytes = snprintf(text + at, room - at, "%s%s%s%s:%u",
					   i > 0 ? "|" : "", is_ipv6 ? "[" : "",
					   address->host, is_ipv6 ? "]" : "",
					   address->port);

		at += bytes > 0 ? (size_t)bytes : 0;
	}
}

static struct fle_net_options
fle_options(struct server *server, const char *own)
{
	const struct config *config = server->config;

	return (struct fle_net_options){
		.sid = config->myid,
		.own_addresses = own,
		.is_v2 = config->multi_address_enabled,
		.connect_ms = (uint32_t)config->election_connect_ms,
		.hello_ms = config->election_read_ms > 0
				    ? (uint32_t)config->election_read_ms
				    : config_ticks_ms(config,
						      config->sync_limit_ticks),
		.retry_min_ms = RETRY_MIN_MS,
		.retry_max_ms = RETRY_MAX_MS,
		.listen_tag = MEMBER_FLE_LISTEN_TAG,
		.connect_tag = MEMBER_FLE_CONNECT_TAG,
		.keepalive = config->election_keepalive,
		.stats = &server->stats.core[server->core_count - 1],
	};
}

static struct peer_options
peer_options(struct server *server)
{
	const struct config *config = server->config;

	return (struct peer_options){
		.listen_tag = MEMBER_PEER_LISTEN_TAG,
		.connect_tag = MEMBER_PEER_CONNECT_TAG,
		.master_tag = config->observer_master_port != 0
				      ? (uint32_t)MEMBER_MASTER_TAG
				      : 0,
		.packet_bytes_max = SERVER_ENTRY_BYTES_MAX,
		.connect_ms =
			config_ticks_ms(config, config->connect_limit_ticks),
		.first_ms = config_ticks_ms(config, config->init_limit_ticks),
		.keepalive = config->election_keepalive,
		.stats = &server->stats.core[server->core_count - 1],
	};
}

static struct ensemble_options
options_of(struct server *server, const char *own)
{
	const struct config *config = server->config;
	const uint32_t tick_ms = (uint32_t)config->tick_ms;

	return (struct ensemble_options){
		.core = core_options(config),
		.fle = fle_options(server, own),
		.peer = peer_options(server),
		.leader_serves = config->leader_serves,
		.is_read_only_enabled = config->readonly_mode_enabled,
		.read_only_after_ms =
			tick_ms > READ_ONLY_MIN_MS ? tick_ms : READ_ONLY_MIN_MS,
		.recent_bytes = RECENT_BYTES,
		.is_local_sessions = config->local_sessions_enabled,
		.server_id = (uint8_t)config->myid,
	};
}

/* ---- making
 * ------------------------------------------------------------------------ */

static int
make_ensemble(struct member *member, const struct config_server *own,
	      struct server_error *error)
{
	struct server *server = member->server;
	struct server_core *core = &server->core[server->core_count - 1];
	char own_text[FLE_HELLO_TEXT_BYTES_MAX + 1];
	const struct ensemble_parts parts = {
		.zab = server->zab,
		.streams = core->streams,
		.owns_streams = !core->has_reader,
		.store = store_jobs_port(server->store),
		.acl = &server->acl,
		.stats = &server->stats.core[server->core_count - 1],
	};
	const bool is_reconfig = server->config->reconfig_enabled;
	const struct ensemble_hooks hooks = {
		.arg = member,
		.addresses = addresses,
		.resolve = resolve,
		.parse_config = is_reconfig ? member_parse_config : NULL,
		.compose_config = is_reconfig ? member_compose_config : NULL,
		.on_config = member_on_config,
		.on_restored = write_config_node,
		.on_fatal = on_fatal,
		.on_diverged = on_diverged,
	};

	own_addresses(own, own_text, sizeof(own_text));

	const struct ensemble_options options = options_of(server, own_text);
	const int err =
		ensemble_create(&options, &parts, &hooks, &member->ensemble);

	if (err != FAL_OK)
		return server_explain(
			error, err,
			"cannot make the member of the ensemble: %s; "
			"check tickTime, initLimit, syncLimit and "
			"falconer.failover.*",
			fal_err_str(err));
	return FAL_OK;
}

int
member_create(struct server *server, struct server_error *error)
{
	const struct config *config = server->config;
	const struct config_server *own = find_server(config, config->myid);
	struct member *member = calloc(1, sizeof(*member));

	if (member == NULL)
		return server_explain(error, FAL_ENOMEM, "out of memory");
	FAL_ASSERT(own != NULL); /* as config.c has checked */
	server->peer = member;
	member->server = server;
	pthread_mutex_init(&member->shown_lock, NULL);
	if (member_quorum_of(config, &member->active) != FAL_OK)
		return server_explain(
			error, FAL_EINVAL,
			"%s: server lines, groups or weights that no "
			"quorum can be made of",
			config->path);
	config_membership_text(config, member->text);
	member_remember(member, config);
	write_config_node(member);

	const int err = resolver_create(resolve_host, &member->resolver);

	if (err != FAL_OK)
		return server_explain(error, err,
				      "cannot start the thread that "
				      "looks names up: ulimit -u");
	return make_ensemble(member, own, error);
}

/* ---- ports
 * ----------------------------------------------------------------------------
 */

/* Tries again each second, as ZooKeeper does: a restart may find the port still
 * taken. retries 0: for ever. */
static int
listen_patiently(struct stream_core *streams,
		 const struct stream_listener *listener, int32_t retries,
		 struct stream_error *why)
{
	for (int32_t i = 1;; i++) {
		const int err = stream_listen(streams, listener, NULL, why);

		if (err != FAL_EBUSY || (retries != 0 && i >= retries))
			return err;
		sleep(1);
	}
}

static int
listen_on(struct server *server, const struct config_address *address,
	  struct stream_listener *listener, const char *what,
	  struct server_error *error)
{
	const struct config *config = server->config;
	struct stream_address found[PEER_ADDRESSES_MAX];
	struct stream_error why = {0};
	struct server_core *core = &server->core[server->core_count - 1];

	listener->backlog = -1;
	listener->address = (struct stream_address){.port = address->port};
	if (!config->quorum_listen_all) {
		if (resolver_get(server->peer->resolver, address->host,
				 strlen(address->host), address->port,
				 found) == 0)
			return server_explain(error, FAL_ENOENT,
					      "server.%lld: the host %s has no "
					      "address; correct the line, or "
					      "quorumListenOnAllIPs=true",
					      (long long)config->myid,
					      address->host);
		listener->address = listen_widened(found[0]);
	}

	const int err = listen_patiently(core->streams, listener,
					 config->election_bind_retries, &why);

	if (err != FAL_OK)
		return server_explain(error, err, "%s of server.%lld: %s; %s",
				      what, (long long)config->myid, why.text,
				      listen_remedy(err, server->net != NULL));
	return FAL_OK;
}

/* With quorumListenOnAllIPs each port once, whichever addresses name it. */
static bool
is_listened_on(const struct config *config, const struct config_address *list,
	       uint32_t at)
{
	for (uint32_t i = 0; i < at && config->quorum_listen_all; i++)
		if (list[i].port == list[at].port)
			return true;
	return false;
}

/* A voter may be a master; while it does not follow, who comes is sent away. */
static int
listen_for_observers(struct server *server, const struct config_server *own,
		     struct server_error *error)
{
	const int32_t port = server->config->observer_master_port;
	struct stream_listener listener;
	int err = FAL_OK;

	if (port == 0 || server->config->peer_type == CONFIG_OBSERVER)
		return FAL_OK;
	memset(&listener, 0, sizeof(listener));
	peer_net_master_listener(ensemble_peers(server->peer->ensemble),
				 &listener);
	for (uint32_t i = 0; i < own->address_count && err == FAL_OK; i++) {
		struct config_address address = own->quorum[i];

		address.port = (uint16_t)port;
		err = listen_on(server, &address, &listener,
				"observerMasterPort", error);
		if (server->config->quorum_listen_all)
			break;
	}
	return err;
}

int
member_listen(struct server *server, struct server_error *error)
{
	const struct config *config = server->config;
	const struct config_server *own = find_server(config, config->myid);
	const struct ensemble *ensemble = server->peer->ensemble;
	struct stream_address unused[PEER_ADDRESSES_MAX];
	struct stream_listener fle, peer;
	int err = FAL_OK;

	for (uint32_t i = 0; i < config->server_count; i++)
		(void)resolver_get_all(server->peer->resolver,
				       config->server[i].election,
				       config->server[i].address_count, unused);
	resolver_wait(server->peer->resolver, RESOLVE_WAIT_MS);
	memset(&fle, 0, sizeof(fle));
	memset(&peer, 0, sizeof(peer));
	fle_net_listener(ensemble_fle(ensemble), &fle);
	peer_net_listener(ensemble_peers(ensemble), &peer);
	for (uint32_t i = 0; i < own->address_count && err == FAL_OK; i++) {
		if (!is_listened_on(config, own->election, i))
			err = listen_on(server, &own->election[i], &fle,
					"the election port", error);
		if (err == FAL_OK && !is_listened_on(config, own->quorum, i))
			err = listen_on(server, &own->quorum[i], &peer,
					"the quorum port", error);
	}
	return err == FAL_OK ? listen_for_observers(server, own, error) : err;
}

static struct ensemble_genesis
genesis_of(const struct server *server)
{
	const struct recovery_member *found = server->member;
	struct ensemble_genesis genesis = {
		.options = {.voters_hash =
				    member_voters_hash(&server->peer->active),
			    .has_data = found->has_history,
			    .is_all = server->config->genesis ==
				      CONFIG_GENESIS_ALL,
			    .retry_ms = GENESIS_RETRY_MS,
			    .grace_ms = GENESIS_GRACE_MS},
		.state = found->genesis,
	};
	uint8_t *id = genesis.options.id;

	/* Before the kernel has gathered enough the time must do. */
	if (getrandom(id, GENESIS_ID_BYTES, 0) != (ssize_t)GENESIS_ID_BYTES)
		be_store64(id, clock_now_ns());
	id[0] |= 1; /* not zero */
	return genesis;
}

/*
 * A configuration that the data holds and that is not active yet takes the
 * place of what `.dynamic.next` says: its file may not have come to the disk.
 * The data that has passed a version without it says that it was cut off; the
 * first configuration, whose counter is 0, is never in it.
 */
static void
prefer_config_of_data(struct server *server)
{
	const struct member *member = server->peer;
	struct recovery_member *found = server->member;
	const struct znode *node =
		tree_find(server->tree, tree_path_of(server->tree, CONFIG_NODE,
						     sizeof(CONFIG_NODE) - 1));
	struct tree_stat stat = {0};
	struct jute_slice text = jute_slice_of("", 0);

	if (node != NULL) {
		tree_spec_stat(server->tree, node, &stat);
		text = tree_spec_data(server->tree, node);
	}
	if (stat.mzxid > member->active.version &&
	    zab_counter(stat.mzxid) != 0 && text.bytes > 0 &&
	    (uint64_t)text.bytes < sizeof(found->next_text)) {
		memcpy(found->next_text, text.data, (size_t)text.bytes);
		found->next_text[text.bytes] = '\0';
		found->next_version = stat.mzxid;
		found->has_next = true;
	} else if (found->has_next && zab_counter(found->next_version) != 0 &&
		   (uint64_t)found->next_version <=
			   found->found.outcome.last_zxid) {
		found->has_next = false;
	}
}

void
member_start(struct server *server)
{
	struct member *member = server->peer;
	const struct recovery_member *found = server->member;
	const struct config *config = server->config;
	struct zab_disk_state disk;

	memset(&disk, 0, sizeof(disk));
	recovery_disk_state(server, &disk);
	disk.active = &member->active;
	if (config->reconfig_enabled)
		prefer_config_of_data(server);
	if (config->reconfig_enabled && found->has_next &&
	    member_parse_config(
		    member,
		    jute_slice_of(found->next_text, strlen(found->next_text)),
		    &member->next) &&
	    member->next.version > member->active.version)
		disk.next = &member->next;

	const struct ensemble_genesis genesis = genesis_of(server);

	ensemble_start(member->ensemble, &disk, &genesis, member->text,
		       found->next_text, time_ns_to_ms(clock_now_ns()));
}

void
member_yield(struct server *server)
{
	if (server->peer == NULL || server->peer->ensemble == NULL)
		return;
	ensemble_yield(server->peer->ensemble);
	lcore_doorbell(&server->core[server->core_count - 1].lcore);
}

void
member_hand_over(struct server *server)
{
	const uint64_t until_ns = clock_now_ns() + HAND_OVER_NS;
	struct ensemble_status status;

	if (server->peer == NULL || server->peer->ensemble == NULL)
		return;
	ensemble_status(server->peer->ensemble, &status);
	if (status.view.role != FLE_LEADING || !status.view.is_serving)
		return;
	member_yield(server);
	while (status.view.role == FLE_LEADING && clock_now_ns() < until_ns) {
		usleep(1000);
		ensemble_status(server->peer->ensemble, &status);
	}
	member_say(server);
}

void
member_destroy(struct server *server)
{
	struct member *member = server->peer;

	if (member == NULL)
		return;
	ensemble_destroy(member->ensemble);
	if (member->resolver != NULL)
		resolver_destroy(member->resolver);
	pthread_mutex_destroy(&member->shown_lock);
	free(member->view.server);
	free(member);
	server->peer = NULL;
}
