/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_CONFIG_H
#define FALCONER_SERVER_CONFIG_H

/*
 * config - zoo.cfg as typed fields.
 *
 * The file is read as ZooKeeper reads it, so an existing one works: Java
 * properties syntax, the last of several equal keys wins, unknown keys are no
 * error. Three things are stricter, so that nobody runs with settings he did
 * not mean: a value that cannot be understood stops the start (Java falls back
 * to the default in places), an unknown key is named in a warning, and a key
 * that asks for something this server does not have stops the start. Relative
 * paths start at the folder of the file, not at the current one.
 *
 * All keys with defaults and ranges are in config_keys.def; docs/config.md
 * explains those that are Falconer's own.
 *
 * Context    one thread, at start; afterwards read-only from anywhere.
 * Ownership  struct config owns all its texts and lists; they live from
 *            config_load() to config_free().
 * Limits     CONFIG_SERVERS_MAX servers, CONFIG_CPUS_MAX cpus.
 * Errors     FAL_ENOENT, FAL_EIO, FAL_ELIMIT for the file, FAL_EINVAL for a
 *            value, FAL_ENOTSUP for something not built, FAL_ENOMEM;
 *            struct config_error then holds one line for the operator that
 *            names file, line, key, what was found and what is allowed. The
 *            config is empty and needs no config_free().
 */

#include <stdint.h>

#include "base/fal.h"
#include "base/log.h"
#include "server/properties.h"

#define CONFIG_CORES_MAX     16
#define CONFIG_CPUS_MAX      64u
#define CONFIG_SERVERS_MAX   32u
#define CONFIG_ADDRESSES_MAX 4u /* of one server, multiAddress.enabled */
#define CONFIG_GROUPS_MAX    16u
#define CONFIG_WORDS_MAX     32u          /* of 4lw.commands.whitelist */
#define CONFIG_HOST_BYTES    256u         /* with the NUL; DNS allows 253 */
#define CONFIG_TREE_BYTES    (64ll << 30) /* what 32-bit handles can name */
#define CONFIG_TEXT_BYTES    65536u       /* of any text made here */

enum config_peer_type {
	CONFIG_PARTICIPANT,
	CONFIG_OBSERVER,
};

enum config_snap_compression {
	CONFIG_SNAP_PLAIN,
	CONFIG_SNAP_GZIP,
	CONFIG_SNAP_SNAPPY,
};

enum config_idle {
	CONFIG_IDLE_AUTO,
	CONFIG_IDLE_SPIN,
	CONFIG_IDLE_YIELD,
	CONFIG_IDLE_SLEEP,
};

enum config_net {
	CONFIG_NET_AUTO,
	CONFIG_NET_EPOLL,
	CONFIG_NET_URING,
};

enum config_dataplane {
	CONFIG_DATAPLANE_KERNEL,
	CONFIG_DATAPLANE_DPDK,
};

enum config_hugepages {
	CONFIG_HUGEPAGES_NO,
	CONFIG_HUGEPAGES_AUTO,
	CONFIG_HUGEPAGES_REQUIRED,
};

/* Who must agree that an ensemble is new. */
enum config_genesis {
	CONFIG_GENESIS_AUTO, /* a quorum */
	CONFIG_GENESIS_ALL,
};

enum config_log_io {
	CONFIG_LOG_IO_AUTO,
	CONFIG_LOG_IO_THREAD,
	CONFIG_LOG_IO_URING,
};

/* Host as written (a name, an IPv4 or an IPv6 address without brackets). */
struct config_address {
	char host[CONFIG_HOST_BYTES];
	uint16_t port; /* 0 with an empty host: there is none */
};

/* One server.N line: where peers and clients reach it. */
struct config_server {
	int64_t id; /* N */
	uint32_t address_count;
	struct config_address quorum[CONFIG_ADDRESSES_MAX];
	struct config_address election[CONFIG_ADDRESSES_MAX]; /* same hosts */
	enum config_peer_type type;
	struct config_address client; /* port 0: not in the line */
	struct config_address secure_client;
	int64_t group;   /* of group.N lines; -1: in none */
	uint32_t weight; /* 1 without a weight line */
	uint32_t line;
};

struct config_error {
	char text[512];
};

struct config {
	/* Where the data is. Absolute, without trailing slash and without the
	 * version-2 that the store adds. */
	const char *data_dir;
	const char *data_log_dir; /* the same text when not given */

	/* The client port. */
	int32_t client_port;            /* 1..65535 */
	const char *client_address;     /* to listen on; NULL: any */
	int32_t client_backlog;         /* of listen(); -1: the system's */
	int32_t tick_ms;                /* the unit of session timeouts */
	int32_t session_timeout_min_ms; /* 2 ticks when not given */
	int32_t session_timeout_max_ms; /* 20 ticks when not given */
	int32_t client_connections_max; /* per address; <= 0: no limit */
	int32_t connections_max;        /* in all; 0: no limit */
	bool client_keepalive;          /* SO_KEEPALIVE on client sockets */

	/* Commands. */
	char word[CONFIG_WORDS_MAX][5]; /* see config_word_allowed() */
	uint32_t word_count;
	bool words_all; /* the list held a '*' */
	bool admin_enabled;
	const char *admin_address;
	int32_t admin_port;
	const char *admin_url;
	int32_t admin_idle_ms;
	int32_t admin_rate_interval_ms;
	bool admin_snapshot_enabled;
	bool admin_restore_enabled;
	bool metrics_enabled; /* the Prometheus provider was asked for */
	const char *metrics_host;
	int32_t metrics_port;

	/* Requests. */
	int32_t outstanding_max;         /* globalOutstandingLimit */
	int32_t frame_bytes_max;         /* jute.maxbuffer */
	int32_t frame_extra_bytes;       /* set: frame_bytes_max, >= 1024 */
	int32_t large_request_bytes_max; /* in flight together */
	int32_t large_request_threshold; /* -1: none is large */
	int32_t sessionless_timeout_ms;  /* until the ConnectRequest */
	int32_t throttle_requests_max;   /* 0: no throttling */
	bool throttle_drop_stale;
	bool stale_latency_check;
	int32_t throttled_op_wait_ms; /* 0: off */
	int32_t connect_tokens;       /* 0: no connection throttle */
	int32_t connect_fill_ms;
	int32_t connect_fill_count;
	int32_t connect_freeze_ms; /* -1: no dropping by chance */
	double connect_drop_increase;
	double connect_drop_decrease;
	double connect_decrease_ratio;
	bool connect_weight_enabled;
	int32_t connect_weight_global;
	int32_t connect_weight_local;
	int32_t connect_weight_renew;

	/* Log and snapshots. */
	int32_t log_prealloc_kb;
	int32_t snap_count;      /* transactions between snapshots, >= 2 */
	int64_t snap_log_kb_max; /* log between snapshots; <= 0: no limit */
	int64_t log_file_kb_max; /* <= 0: no limit */
	int32_t commit_log_count;
	double snapshot_size_factor; /* < 0: never sync from the log */
	int32_t fsync_warning_ms;
	bool fsync_enabled; /* false: forceSync=no */
	bool close_session_txn_enabled;
	bool snap_last_zxid_enabled;
	enum config_snap_compression snap_compression;
	bool snap_trust_empty;
	bool db_autocreate;
	bool datadir_autocreate;
	int32_t purge_retain_count; /* >= 3 */
	int64_t purge_interval_ms;  /* 0: never purge */

	/* The tree. */
	bool extended_types_enabled; /* TTL nodes */
	bool emulate_353_ttl_nodes;
	bool digest_enabled;
	bool enforce_quota;
	bool readonly_mode_enabled;
	bool local_sessions_enabled;
	bool local_sessions_upgrading;
	int32_t container_check_ms;
	int32_t container_per_minute_max;
	int32_t container_never_used_ms;

	/* Authentication. */
	bool skip_acl;
	bool eager_acl_check;
	bool enforce_auth_enabled;
	const char *enforce_auth_schemes; /* comma list; set if enabled */
	bool auth_digest_enabled;
	const char *super_digest;     /* user:hash; NULL: no superuser */
	const char *digest_algorithm; /* SHA1 */
	bool auth_ensemble_enabled;   /* authProvider.N names its class */
	const char *ensemble_auth_names;
	bool audit_enabled;
	const char *audit_file; /* NULL: zookeeper_audit.log in data_log_dir */

	/* The ensemble. */
	bool is_standalone; /* no server lines, or one and standaloneEnabled */
	int64_t myid;       /* of the file myid; -1: there is none */
	struct config_server *server; /* by ascending id */
	uint32_t server_count;
	uint32_t group_count;     /* 0: a simple majority decides */
	uint64_t config_version;  /* suffix of the dynamic file's name */
	const char *dynamic_file; /* NULL: none */
	bool standalone_enabled;
	bool reconfig_enabled;
	enum config_peer_type peer_type;
	int32_t init_limit_ticks;
	int32_t sync_limit_ticks;
	int32_t connect_limit_ticks; /* init_limit_ticks when not given */
	int32_t election_algorithm;  /* 3 */
	bool quorum_listen_all;
	int32_t observer_master_port; /* 0: none */
	bool sync_enabled;            /* an observer logs to disk */
	bool multi_address_enabled;
	bool reachability_check;
	int32_t reachability_timeout_ms;
	bool leader_serves;
	int32_t snap_syncs_max;
	int32_t diff_syncs_max;
	int32_t epoch_wait_ms; /* -1: initLimit ticks */
	int32_t election_connect_ms;
	int32_t election_read_ms; /* -1: no limit */
	int32_t election_bind_retries;
	int32_t notification_min_ms;
	int32_t notification_max_ms;
	bool election_keepalive;
	int32_t observer_reconnect_ms;
	int32_t observer_election_ms;
	bool observer_sync_enabled;
	int32_t observer_master_bytes;
	int32_t leader_retry_ms;
	bool force_snapshot_sync;
	bool leader_nodelay;
	bool follower_nodelay;

	/* Falconer's own. */
	uint32_t reader_cores; /* 0: one core does everything */
	uint16_t cpu[CONFIG_CPUS_MAX];
	uint32_t cpu_count; /* 0: threads may run anywhere */
	enum config_idle idle;
	enum config_net net;
	enum config_dataplane dataplane;
	enum config_hugepages hugepages; /* of packets */
	const char *dpdk_port;           /* device; NULL: not given */
	const char *dpdk_address;        /* "10.0.0.5/24,fd00::5/64" */
	const char *dpdk_gateway;        /* "10.0.0.1,fd00::1", or NULL */
	const char *dpdk_kernel_address; /* of a tap's other end, or NULL */
	const char *dpdk_eal;            /* more arguments of EAL, or NULL */
	uint32_t dpdk_vlan;              /* 0: untagged */
	uint32_t dpdk_mtu;
	uint32_t dpdk_queues; /* 0: one per poll core */
	uint32_t dpdk_mbufs;  /* per poll core */
	enum config_log_io log_io;
	enum log_level log_level;
	enum log_format log_format;
	uint32_t snapshot_cpu_percent; /* when processors are short */
	uint32_t window_mb;
	/* Of an operator, for one start; see store/recover.h. */
	bool recover_accepts_loss, recover_ignores_digest;
	uint64_t recover_until;        /* zxid; 0: no end */
	uint64_t tree_bytes_max;       /* 3/4 of the machine's when not given */
	uint32_t core_connections_max; /* per reader core */
	uint32_t output_bytes_max;     /* unread replies of one connection */
	uint32_t connection_outstanding_max;
	int32_t beacon_ms; /* 0: off */
	int32_t beacon_lost_ms;
	int32_t failover_hold_ms; /* 0: who connects meanwhile is hung up */
	enum config_genesis genesis;

	/* How it was read. */
	const char *path;     /* of the file, absolute */
	const char **warning; /* one line each, for the log */
	uint32_t warning_count;
	const char *refusal; /* NULL, or what asks for something not built */
	struct properties properties; /* of the file */
	struct property *flag;        /* -D of the command line, line 0 */
	uint32_t flag_count;
	struct config_block *block; /* owned texts, a list */
};

/* How a system property begins on the command line. */
#define CONFIG_FLAG "-D"

/*
 * Reads a file, checks it as ZooKeeper does, and refuses what this server
 * cannot do. dataDir/myid is read too, if it is there.
 *
 * flags  count of them, borrowed for the call: "-Dkey=value" are system
 *        properties, which a line of the file with the same key overrides;
 *        others are passed over
 *
 * Returns 0 or an error as listed on top; never asserts on the file.
 */
FAL_MUST_CHECK int config_load(const char *path, const char *const *flags,
			       uint32_t count, struct config *config,
			       struct config_error *error);

/* The first half of config_load(): everything but the refusals. */
FAL_MUST_CHECK int config_read_with(const char *path, const char *const *flags,
				    uint32_t count, struct config *config,
				    struct config_error *error);

/* config_read_with() without flags. */
FAL_MUST_CHECK int config_read(const char *path, struct config *config,
			       struct config_error *error);

/* The second half: 0, or FAL_ENOTSUP for the first setting that asks for
 * something not built. */
FAL_MUST_CHECK int config_require_supported(const struct config *config,
					    struct config_error *error);

/* Frees what config owns and zeroes it; harmless on a zeroed object. */
void config_free(struct config *config);

/* Whether the four-letter word (4 bytes) may be executed: srvr always, isro in
 * read-only mode, else what the whitelist says. */
bool config_word_allowed(const struct config *config, const char *word);

/* What one server has of globalOutstandingLimit: a voter its share, as in
 * ZooKeeper, by the number of voters in the files. */
int64_t config_voter_share(const struct config *config, int64_t limit);

/* So many ticks (not negative) in ms; more than 24 days are 24 days. */
uint32_t config_ticks_ms(const struct config *config, int32_t ticks);

/* Whether the file or the command line has this key, with or without
 * zookeeper. in front. */
bool config_is_written(const struct config *config, const char *key);

/* Whether ZooKeeper reads the key itself, so that it is no system property. */
bool config_is_direct_key(const char *key);

/* Whether its value is for nobody's eyes, in the log or over the network:
 * passwords and what digests are made of. Any key, known or not. */
bool config_is_secret_key(const char *key);

/*
 * Writes the ensemble as /zookeeper/config shows it: server lines by id, group
 * and weight lines, version=<hex> without a newline behind it; empty for a
 * standalone server.
 *
 * text  out, CONFIG_TEXT_BYTES; NUL-ended
 *
 * Returns the length without the NUL.
 */
size_t config_membership_text(const struct config *config, char *text);

/*
 * Writes the answer to the four-letter word conf.
 *
 * data_bytes, log_bytes  sizes of the two folders on disk
 * text                   out, CONFIG_TEXT_BYTES; NUL-ended
 *
 * Returns the length without the NUL.
 */
size_t config_conf_text(const struct config *config, uint64_t data_bytes,
			uint64_t log_bytes, char *text);

#endif
