/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    a zoo.cfg means here what it means to ZooKeeper; a wrong one stops
 *         the start with a line that names file, line, key and what is
 *         allowed; nothing that is asked for is left out silently.
 * Method  small files written to a folder of the test's own, the sample files
 *         of the tree, golden texts of a real server.
 */
#include "config_rig.h"

static void
expect_unsupported(const char *lines, const char *part)
{
	assert_int_equal(read_with(lines), FAL_OK);
	assert_int_equal(config_require_supported(&config, &error),
			 FAL_ENOTSUP);
	if (strstr(error.text, part) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", part, error.text);
	config_free(&config);
	assert_int_equal(config_load(file_path, NULL, 0, &config, &error),
			 FAL_ENOTSUP);
}

static void
defaults_are_zookeepers(void **state)
{
	char path[300];

	(void)state;
	expect_good("");
	snprintf(path, sizeof(path), "%s/data", folder);
	assert_string_equal(config.data_dir, path);
	assert_string_equal(config.data_log_dir, path);
	assert_int_equal(config.client_port, 2181);
	assert_null(config.client_address);
	assert_int_equal(config.client_backlog, -1);
	assert_int_equal(config.tick_ms, 3000);
	assert_int_equal(config.session_timeout_min_ms, 6000);
	assert_int_equal(config.session_timeout_max_ms, 60000);
	assert_int_equal(config.client_connections_max, 60);
	assert_int_equal(config.outstanding_max, 1000);
	assert_int_equal(config.frame_bytes_max, 1048575);
	assert_int_equal(config.frame_extra_bytes, 1048575);
	assert_int_equal(config.large_request_threshold, -1);
	assert_int_equal(config.snap_count, 100000);
	assert_int_equal(config.purge_interval_ms, 0);
	assert_int_equal(config.purge_retain_count, 3);
	assert_true(config.fsync_enabled);
	assert_true(config.digest_enabled);
	assert_true(config.auth_digest_enabled);
	assert_false(config.skip_acl);
	assert_false(config.extended_types_enabled);
	assert_true(config.snapshot_size_factor == 0.33);
	assert_true(config.is_standalone);
	assert_int_equal(config.myid, -1);
	assert_int_equal(config.snap_compression, CONFIG_SNAP_PLAIN);
	assert_string_equal(config.digest_algorithm, "SHA1");
	assert_null(config.super_digest);
	assert_int_equal(config.warning_count, 0);
}

static void
own_defaults_suit_a_small_machine(void **state)
{
	(void)state;
	expect_good("");
	assert_int_equal(config.reader_cores, 0);
	assert_int_equal(config.cpu_count, 0);
	assert_int_equal(config.idle, CONFIG_IDLE_AUTO);
	assert_int_equal(config.net, CONFIG_NET_AUTO);
	assert_int_equal(config.dataplane, CONFIG_DATAPLANE_KERNEL);
	assert_int_equal(config.hugepages, CONFIG_HUGEPAGES_AUTO);
	assert_null(config.dpdk_port);
	assert_null(config.dpdk_address);
	assert_null(config.dpdk_gateway);
	assert_null(config.dpdk_kernel_address);
	assert_null(config.dpdk_eal);
	assert_int_equal(config.dpdk_vlan, 0);
	assert_int_equal(config.dpdk_mtu, 1500);
	assert_int_equal(config.dpdk_queues, 0);
	assert_int_equal(config.dpdk_mbufs, 8191);
	assert_int_equal(config.log_level, LOG_LEVEL_INFO);
	assert_int_equal(config.log_format, LOG_FORMAT_TEXT);
	assert_int_equal(config.core_connections_max, 10000);
	assert_int_equal(config.output_bytes_max, 64 << 20);
	assert_int_equal(config.connection_outstanding_max, 64);
	assert_false(config.recover_accepts_loss);
	assert_false(config.recover_ignores_digest);
	assert_int_equal(config.recover_until, 0);
	assert_int_equal(config.beacon_ms, 20);
	assert_int_equal(config.beacon_lost_ms, 60);
	assert_int_equal(config.failover_hold_ms, 300);
	assert_true(config.tree_bytes_max >= 64 << 20);
	assert_true(config.tree_bytes_max <= CONFIG_TREE_BYTES);
}

static void
the_sample_files_load(void **state)
{
	static const char *const samples[] = {"standalone.cfg", "durable.cfg",
					      "low-latency.cfg", "limits.cfg"};
	char path[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		config_free(&config);
		snprintf(path, sizeof(path), CONFIGS_DIR "/%s", samples[i]);
		if (config_load(path, NULL, 0, &config, &error) != FAL_OK)
			fail_msg("%s", error.text);
		assert_int_equal(config.warning_count, 0);
		assert_int_equal(config.client_port, 2181);
		assert_int_equal(config.tick_ms, 2000);
	}
	/* The last one, limits.cfg, uses most kinds of keys. */
	assert_string_equal(config.client_address, "127.0.0.1");
	assert_int_equal(config.connections_max, 5000);
	assert_int_equal(config.output_bytes_max, 4 << 20);
	assert_true(config.tree_bytes_max == 1ull << 30);
	assert_true(config.enforce_quota);
	assert_true(config.enforce_auth_enabled);
	assert_string_equal(config.enforce_auth_schemes, "digest");
	assert_int_equal(config.log_format, LOG_FORMAT_JSON);
}

static void
paths_start_at_the_folder_of_the_file(void **state)
{
	char path[300];

	(void)state;
	assert_int_equal(read_text("clientPort=1\ndataDir=x//y/\n"
				   "dataLogDir=/var//log/../z/\n"),
			 FAL_OK);
	snprintf(path, sizeof(path), "%s/x/y", folder);
	assert_string_equal(config.data_dir, path);
	assert_string_equal(config.data_log_dir, "/var/log/../z");
	assert_int_equal(read_text("clientPort=1\ndataDir=./.././/x\n"
				   "dataLogDir=../../../../../../../x\n"),
			 FAL_OK);
	*strrchr(path, '/') = '\0';
	*strrchr(path, '/') = '\0';
	strcpy(strrchr(path, '/'), "/x");
	assert_string_equal(config.data_dir, path);
	assert_string_equal(config.data_log_dir, "/x");
}

static void
system_keys_may_carry_their_prefix_and_the_last_line_counts(void **state)
{
	(void)state;
	expect_good(
		"zookeeper.skipACL=yes\nzookeeper.snapCount=7\nsnapCount=8\n"
		"jute.maxbuffer=0x1000\nzookeeper.maxCnxns=5");
	assert_true(config.skip_acl);
	assert_int_equal(config.snap_count, 8);
	assert_int_equal(config.frame_bytes_max, 4096);
	assert_int_equal(config.frame_extra_bytes, 4096);
	assert_int_equal(config.connections_max, 5);
	assert_int_equal(config.warning_count, 0);
	/* Java does not look for a direct key there either. */
	expect_good("zookeeper.tickTime=5");
	assert_int_equal(config.tick_ms, 3000);
	assert_int_equal(config.warning_count, 1);
}

static void
unknown_keys_and_classes_are_named_in_warnings(void **state)
{
	char expect[400];

	(void)state;
	expect_good("serverCnxnFactory=org.apache.zookeeper.server."
		    "NIOServerCnxnFactory");
	assert_int_equal(config.warning_count, 0);
	expect_good("serverCnxnFactory=org.apache.zookeeper.server.MyFactory");
	assert_int_equal(config.warning_count, 1);
	expect_good("frobnicate=7\nfalconer.tpyo=1\n"
		    "authProvider.1=com.example.Mine\n"
		    "serverCnxnFactory=com.example.Net");
	assert_int_equal(config.warning_count, 4);
	snprintf(expect, sizeof(expect),
		 "%s:3: frobnicate=7: unknown key, ignored", file_path);
	assert_string_equal(config.warning[0], expect);
	assert_non_null(strstr(config.warning[1], ":4: falconer.tpyo=1: "));
	assert_non_null(
		strstr(config.warning[2], "authProvider.1=com.example"));
	assert_non_null(strstr(config.warning[3], "serverCnxnFactory=com."));
}

static void
what_is_written_almost_right_is_told(void **state)
{
	char expect[400];

	(void)state;
	expect_good("ticktime=5\nAutopurge.PurgeInterval=1");
	assert_int_equal(config.tick_ms, 3000);
	assert_int_equal(config.warning_count, 2);
	assert_non_null(strstr(config.warning[0],
			       ":3: ticktime=5: unknown key, ignored: it is "
			       "written tickTime"));
	assert_non_null(
		strstr(config.warning[1], "written autopurge.purgeInterval"));
	/* ZooKeeper would take it from where it was started. */
	expect_good("dataLogDir=log");
	assert_int_equal(config.warning_count, 1);
	snprintf(expect, sizeof(expect),
		 "%s:3: dataLogDir=log: taken from the folder of this file: "
		 "%s/log; write ./log if that is meant",
		 file_path, folder);
	assert_string_equal(config.warning[0], expect);
	expect_good("dataLogDir=../log");
	assert_int_equal(config.warning_count, 0);
}

/* Who reads large nodes behind a write, and then what came, is no client that
 * does not read. */
static void
large_nodes_may_be_read_behind_a_write(void **state)
{
	(void)state;
	expect_good("jute.maxbuffer=20000000");
	assert_int_equal(config.output_bytes_max, 64 * 20000000);
	expect_good("jute.maxbuffer=200000");
	assert_int_equal(config.output_bytes_max, 64 << 20);
	expect_good("jute.maxbuffer=200000000");
	assert_int_equal(config.output_bytes_max, INT32_MAX);
	expect_good("jute.maxbuffer=20000000\nfalconer.output.maxBytes=2m");
	assert_int_equal(config.output_bytes_max, 2 << 20);
}

/* What nobody knows may be a secret all the same. */
static void
secrets_are_not_told(void **state)
{
	static const char *const flags[] = {
		"-Djavax.net.ssl.keyStorePassword=tell-nobody"};

	(void)state;
	expect_good("DigestAuthenticationProvider.superdigest=super:tell-nobody"
		    "\nmy.Password=tell-nobody");
	assert_int_equal(config.warning_count, 2);
	for (uint32_t i = 0; i < 2; i++) {
		assert_null(strstr(config.warning[i], "tell-nobody"));
		assert_non_null(strstr(config.warning[i], ": unknown key"));
	}
	config_free(&config);
	assert_int_equal(config_read_with(file_path, flags, 1, &config, &error),
			 FAL_OK);
	assert_int_equal(config.warning_count, 3);
	assert_string_equal(config.warning[0],
			    "-Djavax.net.ssl.keyStorePassword: unknown key, "
			    "ignored");
}

static void
counts_below_the_least_are_raised(void **state)
{
	(void)state;
	expect_good("autopurge.snapRetainCount=1\nsnapCount=-7");
	assert_int_equal(config.purge_retain_count, 3);
	assert_int_equal(config.snap_count, 2);
	assert_int_equal(config.warning_count, 2);
	assert_non_null(strstr(config.warning[0],
			       ":3: autopurge.snapRetainCount=1: 3 is the "
			       "least, and taken"));
	assert_non_null(strstr(config.warning[1], "snapCount=-7: 2 is the"));
	expect_good("autopurge.snapRetainCount=3\nsnapCount=0x10");
	assert_int_equal(config.snap_count, 16);
	assert_int_equal(config.warning_count, 0);
	expect_error("autopurge.snapRetainCount=few", "allowed: a whole");
}

static void
flags_are_system_properties_below_the_file(void **state)
{
	static const char *const flags[] = {
		"-Dzookeeper.snapCount=7",
		"-Xmx1g",
		"-Dzookeeper.skipACL=yes",
		"-Djute.maxbuffer=0x1000",
		"-DtickTime=5",
		"-Dcom.sun.management.jmxremote",
		"-Djava.security.auth.login.config=/x",
	};

	(void)state;
	config_free(&config);
	write_file("zoo.cfg", "clientPort=2181\ndataDir=./data\nsnapCount=9\n");
	assert_int_equal(config_read_with(file_path, flags,
					  sizeof(flags) / sizeof(flags[0]),
					  &config, &error),
			 FAL_OK);
	assert_int_equal(config.snap_count, 9);
	assert_true(config.skip_acl);
	assert_int_equal(config.frame_bytes_max, 4096);
	assert_int_equal(config.tick_ms, 3000);
	assert_int_equal(config.warning_count, 2);
	assert_string_equal(config.warning[0],
			    "-DtickTime=5: no system property, ignored: it "
			    "belongs into the file");
	assert_string_equal(config.warning[1],
			    "-Dcom.sun.management.jmxremote=: unknown key, "
			    "ignored");
	assert_true(config_is_written(&config, "skipACL"));
	assert_true(config_is_written(&config, "jute.maxbuffer"));
	assert_false(config_is_written(&config, "maxCnxns"));
}

static void
a_flag_that_is_wrong_stops_the_start(void **state)
{
	static const char *const wrong[] = {"-Dzookeeper.maxCnxns=many"};
	static const char *const tls[] = {
		"-Dzookeeper.ssl.keyStore.password=s"};

	(void)state;
	config_free(&config);
	write_file("zoo.cfg", "clientPort=2181\ndataDir=./data\n");
	assert_int_equal(config_read_with(file_path, wrong, 1, &config, &error),
			 FAL_EINVAL);
	assert_non_null(strstr(error.text, "-Dzookeeper.maxCnxns=many: "
					   "allowed: a whole number"));
	assert_int_equal(config_load(file_path, tls, 1, &config, &error),
			 FAL_ENOTSUP);
	assert_non_null(strstr(error.text, "-Dzookeeper.ssl.keyStore.password: "
					   "needs TLS"));
}

static void
known_classes_and_inner_keys_of_java_pass_in_silence(void **state)
{
	(void)state;
	expect_good(
		"serverCnxnFactory=org.apache.zookeeper.server."
		"NettyServerCnxnFactory\n"
		"authProvider.1=org.apache.zookeeper.server.auth."
		"DigestAuthenticationProvider\n"
		"zookeeper.authProvider.2=org.apache.zookeeper.server.auth."
		"IPAuthenticationProvider\n"
		"metricsProvider.className=org.apache.zookeeper.metrics.impl."
		"DefaultMetricsProvider\n"
		"metricsProvider.exportJvmInfo=true\nnio.numWorkerThreads=4\n"
		"commitProcessor.numWorkerThreads=2\nflushDelay=3\n"
		"sslQuorum=false\nquorum.auth.enableSasl=false\n"
		"client.portUnification=FALSE\njvm.pause.monitor=true");
	assert_int_equal(config.warning_count, 0);
}

static void
wrong_values_stop_with_file_line_key_and_what_is_allowed(void **state)
{
	char expect[400];

	(void)state;
	snprintf(expect, sizeof(expect),
		 "%s:3: tickTime=abc: allowed: a whole number, 1..", file_path);
	expect_error("tickTime=abc", expect);
	expect_error("\n\ntickTime=0", ":5: tickTime=0: allowed: a whole");
	expect_error("tickTime=", ":3: tickTime=: allowed");
	expect_error("tickTime=0x10", "tickTime=0x10");
	expect_error("tickTime=2000 ms", "tickTime=2000 ms");
	expect_error("tickTime=99999999999999999999", "allowed");
	expect_error("clientPort=65536", "0..65535");
	expect_error("snapCount=010", "snapCount=010");
	expect_error("electionAlg=1", "3..3");
	expect_error("reconfigEnabled=yes", "allowed: true or false");
	expect_error("forceSync=true", "allowed: yes or no");
	expect_error("peerType=leader", "participant|observer");
	expect_error("snapshot.compression.method=zip", "|gz|snappy");
	expect_error("snapshotSizeFactor=nan", "allowed: a number");
	expect_error("snapshotSizeFactor=1,5", "allowed: a number");
	expect_error("falconer.idle=lazy", "auto|spin|yield|sleep");
	expect_error("falconer.cores=17", "0..16");
	expect_error("falconer.snapshot.cpuPercent=0", "1..100");
	expect_error("falconer.window.mb=32", "64..1024");
	expect_error("falconer.window.mb=96", "64, 128, 256");
	expect_error("falconer.tree.maxBytes=65g", "0..68719476736");
	expect_error("falconer.output.maxBytes=1023k", "1048576..");
	expect_error("falconer.output.maxBytes=1kk", "k, m or g");
	expect_error("falconer.output.maxBytes=-1m", "k, m or g");
	expect_error("falconer.output.maxBytes=k", "k, m or g");
	expect_error("4lw.commands.whitelist=srvr,stats", "\"stats\"");
	expect_error("dataLogDir=", "allowed: a path");
	expect_error("admin.commandURL=commands", "a path like /commands");
	expect_error("admin.commandURL=/commands/", "a path like /commands");
	expect_error("admin.commandURL=", "a path like /commands");
	assert_int_equal(read_text("tickTime=5\n#\nkey=\\u00zz\n"), FAL_EINVAL);
	assert_non_null(strstr(error.text, "zoo.cfg:3: \\u needs"));
}

static void
the_ends_of_ranges_are_inside(void **state)
{
	(void)state;
	expect_good("clientPort=65535\ntickTime=1\nsnapCount=2\n"
		    "falconer.cores=16\nmaxClientCnxns=-2147483648\n"
		    "falconer.tree.maxBytes=64G\n"
		    "falconer.output.maxBytes=1024K\nsnapshotSizeFactor=-1\n"
		    "minSessionTimeout=9\nmaxSessionTimeout=9\n"
		    "largeRequestThreshold=+2147483647\n"
		    "znode.container.checkIntervalMs=0x7fFFffff");
	assert_int_equal(config.client_port, 65535);
	assert_int_equal(config.session_timeout_max_ms, 9);
	assert_int_equal(config.reader_cores, 16);
	assert_int_equal(config.client_connections_max, INT32_MIN);
	assert_true(config.tree_bytes_max == CONFIG_TREE_BYTES);
	assert_int_equal(config.output_bytes_max, 1 << 20);
	assert_true(config.snapshot_size_factor == -1.0);
	assert_int_equal(config.large_request_threshold, INT32_MAX);
	assert_int_equal(config.container_check_ms, INT32_MAX);
	expect_good("snapshotSizeFactor=1e3\nfalconer.output.maxBytes=2M\n"
		    "jute.maxbuffer=1024\njute.maxbuffer.extrasize=5");
	assert_true(config.snapshot_size_factor == 1000.0);
	assert_int_equal(config.output_bytes_max, 2 << 20);
	assert_int_equal(config.frame_extra_bytes, 1024);
	expect_error("snapshotSizeFactor=-1.01", "-1..1000");
	expect_error("snapshotSizeFactor=1000.5", "-1..1000");
	expect_error("snapshotSizeFactor=", "-1..1000");
	expect_error("snapshotSizeFactor=1x", "-1..1000");
	expect_error("tickTime=+", "tickTime=+: allowed");
	expect_error("snapCount=0x", "snapCount=0x: allowed");
	expect_error("snapCount=9223372036854775808", "2..2147483647");
	expect_error("falconer.output.maxBytes=", "k, m or g");
	expect_error("falconer.output.maxBytes=0000000000000000000000002000000",
		     "k, m or g");
}

static void
many_ticks_are_not_few_milliseconds(void **state)
{
	(void)state;
	expect_good("tickTime=2000");
	assert_int_equal(config_ticks_ms(&config, 0), 0);
	assert_int_equal(config_ticks_ms(&config, 10), 20000);
	assert_int_equal(config_ticks_ms(&config, 1073741), 2147482000);
	/* 704 in 32 bits */
	assert_int_equal(config_ticks_ms(&config, 2147484), INT32_MAX);
	assert_int_equal(config_ticks_ms(&config, INT32_MAX), INT32_MAX);
}

static void
a_path_may_be_the_root_but_not_longer_than_the_system_allows(void **state)
{
	static char line[5000] = "clientPort=1\ndataDir=/";

	(void)state;
	expect_good("dataDir=//");
	assert_string_equal(config.data_dir, "/");
	memset(line + 22, 'x', 4096);
	config_free(&config);
	assert_int_equal(read_text(line), FAL_EINVAL);
	assert_non_null(strstr(error.text, "allowed: a path, at most 4095"));
	line[21 + 4095] = '\0';
	assert_int_equal(read_text(line), FAL_OK);
	assert_int_equal(strlen(config.data_dir), 4095);
}

static void
values_that_do_not_fit_together_stop_the_start(void **state)
{
	(void)state;
	assert_int_equal(read_text("clientPort=1\n"), FAL_EINVAL);
	assert_non_null(strstr(error.text, "dataDir is not set"));
	expect_error("minSessionTimeout=70000",
		     "minSessionTimeout (70000) is above maxSessionTimeout "
		     "(60000)");
	expect_error("clientPort=0\nclientPortAddress=::1",
		     "clientPortAddress needs clientPort");
	expect_error("clientPort=0", "clientPort is not set, usually 2181");
	expect_error("enforce.auth.enabled=true\nenforce.auth.schemes= , ",
		     "needs enforce.auth.schemes");
	expect_error("standaloneEnabled=false", "needs server lines");
}

static void
a_file_that_cannot_be_had_is_told_apart(void **state)
{
	(void)state;
	config_free(&config);
	assert_int_equal(
		config_load("/nonexistent/zoo.cfg", NULL, 0, &config, &error),
		FAL_ENOENT);
	assert_non_null(strstr(error.text, "/nonexistent/zoo.cfg: "));
	assert_int_equal(config_load(folder, NULL, 0, &config, &error),
			 FAL_EIO);
	assert_non_null(strstr(error.text, "cannot be read: Is a directory"));
}

static void
what_is_not_built_is_refused_by_name(void **state)
{
	static const char *const cases[][2] = {
		{"secureClientPort=2281", ":3: secureClientPort: needs TLS"},
		{"sslQuorum=true", ":3: sslQuorum: needs TLS between servers"},
		{"zookeeper.ssl.keyStore.password=secret",
		 ":3: zookeeper.ssl.keyStore.password: needs TLS"},
		{"portUnification=true", ": portUnification: needs"},
		{"authProvider.1=org.apache.zookeeper.server.auth."
		 "SASLAuthenticationProvider",
		 ": authProvider.1: needs SASL"},
		{"authProvider.x509=org.apache.zookeeper.server.auth."
		 "X509AuthenticationProvider",
		 ": authProvider.x509: needs TLS"},
		{"sessionRequireClientSASLAuth=true", "needs SASL"},
		{"quorum.auth.enableSasl=true", "needs SASL between servers"},
		{"oraclePath=/x", ": oraclePath: needs an oracle"},
		{"metricsProvider.httpsPort=7443",
		 "metricsProvider.httpsPort: needs TLS for metrics"},
		{"admin.forceHttps=true", "admin.forceHttps: needs TLS"},
		{"enforce.auth.enabled=true\nenforce.auth.schemes=digest,x509",
		 "enforce.auth.schemes: needs"},
		{"emulate353TTLNodes=true", "emulate353TTLNodes=true: needs"},
		{"falconer.hugepages=required",
		 "falconer.hugepages=required: needs"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect_unsupported(cases[i][0], cases[i][1]);
	/* Secrets are not repeated. */
	read_with("zookeeper.ssl.keyStore.password=secret");
	assert_int_equal(config_require_supported(&config, &error),
			 FAL_ENOTSUP);
	assert_null(strstr(error.text, "secret"));
}

static void
the_purge_interval_is_in_hours_or_has_a_unit(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} cases[] = {{"0", 0},          {"24", 86400000},  {"90ms", 90},
		     {"30S", 30000},    {"15m", 900000},   {"2h", 7200000},
		     {"7d", 604800000}, {"024", 86400000}, {"-1", 0},
		     {"-2h", 0},        {"+2h", 7200000}};
	char line[100];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(line, sizeof(line), "autopurge.purgeInterval=%s",
			 cases[i].text);
		expect_good(line);
		assert_int_equal(config.purge_interval_ms, cases[i].ms);
	}
	/* In hours, for "never". As ns it would wrap, and purge at any time. */
	expect_good("autopurge.purgeInterval=2147483647");
	assert_true(config.purge_interval_ms > 4000000000000ll);
	assert_true(config.purge_interval_ms <= INT64_MAX / 1000000);
	expect_error("autopurge.purgeInterval=1w", "ms, s, m, h or d");
	expect_error("autopurge.purgeInterval=-", "ms, s, m, h or d");
	expect_error("autopurge.purgeInterval=--1", "ms, s, m, h or d");
	expect_error("autopurge.purgeInterval=", "ms, s, m, h or d");
	expect_error("autopurge.purgeInterval=9999999999999999d", "ms, s");
	expect_error("autopurge.purgeInterval=99999999999999999999999",
		     "ms, s, m");
}

static void
the_word_whitelist_is_a_list_or_a_star(void **state)
{
	(void)state;
	expect_good("");
	assert_true(config_word_allowed(&config, "srvr"));
	assert_false(config_word_allowed(&config, "ruok"));
	expect_good("4lw.commands.whitelist= ruok , mntr,");
	assert_true(config_word_allowed(&config, "srvr"));
	assert_true(config_word_allowed(&config, "ruok"));
	assert_true(config_word_allowed(&config, "mntr"));
	assert_false(config_word_allowed(&config, "isro"));
	expect_good("readonlymode.enabled=true");
	assert_true(config_word_allowed(&config, "isro"));
	expect_good("zookeeper.4lw.commands.whitelist=*");
	assert_true(config_word_allowed(&config, "wchp"));
}

static void
cpus_are_numbers_and_ranges(void **state)
{
	static const char *const wrong[] = {
		"",    "x",   "1,",   ",1", "3-1",  "1-",   "-1",
		"1 2", "1,1", "1024", "+1", "1--2", "0-64", "0-3,2"};
	char line[100];

	(void)state;
	expect_good("falconer.cpus=7,2-4,0");
	assert_int_equal(config.cpu_count, 5);
	assert_int_equal(config.cpu[0], 7);
	assert_int_equal(config.cpu[1], 2);
	assert_int_equal(config.cpu[3], 4);
	assert_int_equal(config.cpu[4], 0);
	expect_good("falconer.cpus=0-63");
	assert_int_equal(config.cpu_count, CONFIG_CPUS_MAX);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(line, sizeof(line), "falconer.cpus=%s", wrong[i]);
		expect_error(line, "allowed: a list like 0,2-5");
	}
}

/* Ensembles */

/* A sample of an ensemble, with its data where a myid can be. */
static void
load_member(const char *sample, int id)
{
	char path[1024], text[8192], moved[8192], myid[16];
	FILE *file;
	size_t bytes;
	const char *dir;

	snprintf(path, sizeof(path), CONFIGS_DIR "/%s", sample);
	file = fopen(path, "r");
	assert_non_null(file);
	bytes = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[bytes] = 0;
	dir = strstr(text, "\ndataDir=");
	assert_non_null(dir);
	snprintf(moved, sizeof(moved), "%.*s\ndataDir=./data%s",
		 (int)(dir - text), text, strchr(dir + 1, '\n'));
	snprintf(myid, sizeof(myid), "%d\n", id);
	set_myid(myid);
	if (read_text(moved) != FAL_OK)
		fail_msg("%s: %s", sample, error.text);
	drop_myid();
	assert_int_equal(config_require_supported(&config, &error), FAL_OK);
	assert_int_equal(config.warning_count, 0);
	assert_false(config.is_standalone);
	assert_int_equal(config.myid, id);
}

static void
the_samples_of_ensembles_load(void **state)
{
	(void)state;
	for (int id = 1; id <= 3; id++) {
		char name[32];

		snprintf(name, sizeof(name), "ensemble-%d.cfg", id);
		load_member(name, id);
		assert_int_equal(config.server_count, 3);
		assert_int_equal(config.client_port, 2180 + id);
	}
	load_member("five.cfg", 6);
	assert_int_equal(config.server_count, 6);
	assert_int_equal(config.peer_type, CONFIG_OBSERVER);
	assert_true(config.readonly_mode_enabled);
	load_member("observer.cfg", 1);
	assert_int_equal(config.peer_type, CONFIG_PARTICIPANT);
	load_member("observer.cfg", 12);
	assert_int_equal(config.peer_type, CONFIG_OBSERVER);
	assert_int_equal(config.observer_master_port, 2191);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_zookeepers),
		cmocka_unit_test(own_defaults_suit_a_small_machine),
		cmocka_unit_test(the_sample_files_load),
		cmocka_unit_test(the_samples_of_ensembles_load),
		cmocka_unit_test(paths_start_at_the_folder_of_the_file),
		cmocka_unit_test(
			system_keys_may_carry_their_prefix_and_the_last_line_counts),
		cmocka_unit_test(
			unknown_keys_and_classes_are_named_in_warnings),
		cmocka_unit_test(what_is_written_almost_right_is_told),
		cmocka_unit_test(secrets_are_not_told),
		cmocka_unit_test(large_nodes_may_be_read_behind_a_write),
		cmocka_unit_test(counts_below_the_least_are_raised),
		cmocka_unit_test(flags_are_system_properties_below_the_file),
		cmocka_unit_test(a_flag_that_is_wrong_stops_the_start),
		cmocka_unit_test(
			known_classes_and_inner_keys_of_java_pass_in_silence),
		cmocka_unit_test(
			wrong_values_stop_with_file_line_key_and_what_is_allowed),
		cmocka_unit_test(the_ends_of_ranges_are_inside),
		cmocka_unit_test(
			a_path_may_be_the_root_but_not_longer_than_the_system_allows),
		cmocka_unit_test(
			values_that_do_not_fit_together_stop_the_start),
		cmocka_unit_test(a_file_that_cannot_be_had_is_told_apart),
		cmocka_unit_test(what_is_not_built_is_refused_by_name),
		cmocka_unit_test(the_purge_interval_is_in_hours_or_has_a_unit),
		cmocka_unit_test(many_ticks_are_not_few_milliseconds),
		cmocka_unit_test(the_word_whitelist_is_a_list_or_a_star),
		cmocka_unit_test(cpus_are_numbers_and_ranges),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
