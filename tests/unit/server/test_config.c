/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    a zoo.cfg means here what it means to ZooKeeper; a wrong one stops
 *         the start with a line that names file, line, key and what is
 *         allowed; nothing that is asked for is left out silently.
 * Method  small files written to a folder of the test's own, the sample files
 *         of the tree, golden texts of a real server.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/config.h"

static char folder[] = P_tmpdir "/falconer-config-XXXXXX";
static char file_path[256];
static struct config config;
static struct config_error error;

static void
write_file(const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

/* Reads a zoo.cfg of this text; config lives until the next call. */
static int
read_text(const char *text)
{
	config_free(&config);
	write_file("zoo.cfg", text);
	return config_read(file_path, &config, &error);
}

/* The shortest that is complete, plus these lines. */
static int
read_with(const char *lines)
{
	char text[4096];

	snprintf(text, sizeof(text), "clientPort=2181\ndataDir=data\n%s\n",
		 lines);
	return read_text(text);
}

static void
expect_error(const char *lines, const char *part)
{
	const int err = read_with(lines);

	assert_int_equal(err, FAL_EINVAL);
	if (strstr(error.text, part) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", part, error.text);
	assert_ptr_equal(strstr(error.text, file_path), error.text);
	assert_null(config.block);
}

static void
expect_unsupported(const char *lines, const char *part)
{
	assert_int_equal(read_with(lines), FAL_OK);
	assert_int_equal(config_require_supported(&config, &error),
			 FAL_ENOTSUP);
	if (strstr(error.text, part) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", part, error.text);
	config_free(&config);
	assert_int_equal(config_load(file_path, &config, &error), FAL_ENOTSUP);
}

static void
expect_good(const char *lines)
{
	if (read_with(lines) != FAL_OK)
		fail_msg("%s", error.text);
	assert_int_equal(config_require_supported(&config, &error), FAL_OK);
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
	assert_int_equal(config.beacon_lost_ms, 100);
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
		if (config_load(path, &config, &error) != FAL_OK)
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
	expect_error("snapCount=1", "2..");
	expect_error("electionAlg=1", "3..3");
	expect_error("autopurge.snapRetainCount=2", "3..");
	expect_error("reconfigEnabled=yes", "allowed: true or false");
	expect_error("forceSync=true", "allowed: yes or no");
	expect_error("peerType=leader", "participant|observer");
	expect_error("snapshot.compression.method=zip", "|gz|snappy");
	expect_error("snapshotSizeFactor=nan", "allowed: a number");
	expect_error("snapshotSizeFactor=1,5", "allowed: a number");
	expect_error("falconer.idle=lazy", "auto|spin|yield|sleep");
	expect_error("falconer.cores=17", "0..16");
	expect_error("falconer.window.mb=32", "64..1024");
	expect_error("falconer.window.mb=96", "64, 128, 256");
	expect_error("falconer.tree.maxBytes=65g", "0..68719476736");
	expect_error("falconer.output.maxBytes=1023k", "1048576..");
	expect_error("falconer.output.maxBytes=1kk", "k, m or g");
	expect_error("falconer.output.maxBytes=-1m", "k, m or g");
	expect_error("falconer.output.maxBytes=k", "k, m or g");
	expect_error("4lw.commands.whitelist=srvr,stats", "\"stats\"");
	expect_error("dataLogDir=", "allowed: a path");
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
a_path_may_be_the_root_but_not_longer_than_the_system_allows(void **state)
{
	static char line[5000] = "dataDir=/";

	(void)state;
	expect_good("dataDir=//");
	assert_string_equal(config.data_dir, "/");
	memset(line + 9, 'x', 4096);
	config_free(&config);
	assert_int_equal(read_text(line), FAL_EINVAL);
	assert_non_null(strstr(error.text, "allowed: a path, at most 4095"));
	line[8 + 4095] = '\0';
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
	expect_error("enforce.auth.enabled=true\nenforce.auth.schemes= , ",
		     "needs enforce.auth.schemes");
	expect_error("standaloneEnabled=false", "needs server lines");
}

static void
a_file_that_cannot_be_had_is_told_apart(void **state)
{
	(void)state;
	config_free(&config);
	assert_int_equal(config_load("/nonexistent/zoo.cfg", &config, &error),
			 FAL_ENOENT);
	assert_non_null(strstr(error.text, "/nonexistent/zoo.cfg: "));
	assert_int_equal(config_load(folder, &config, &error), FAL_EIO);
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
		{"clientPort=0", "clientPort: is not set"},
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
	} cases[] = {{"0", 0},          {"24", 86400000}, {"90ms", 90},
		     {"30S", 30000},    {"15m", 900000},  {"2h", 7200000},
		     {"7d", 604800000}, {"024", 86400000}};
	char line[100];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(line, sizeof(line), "autopurge.purgeInterval=%s",
			 cases[i].text);
		expect_good(line);
		assert_int_equal(config.purge_interval_ms, cases[i].ms);
	}
	expect_error("autopurge.purgeInterval=1w", "ms, s, m, h or d");
	expect_error("autopurge.purgeInterval=-1", "ms, s, m, h or d");
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

#define LIMITS "initLimit=10\nsyncLimit=5\ntickTime=2000\n"
#define THREE                                                          \
	"server.1=127.0.0.1:12120:12130:participant;127.0.0.1:12110\n" \
	"server.2=127.0.0.1:12121:12131:participant;127.0.0.1:12111\n" \
	"server.3=127.0.0.1:12122:12132:participant;127.0.0.1:12112\n"

static void
set_myid(const char *text)
{
	write_file("data/myid", text);
}

static void
drop_myid(void)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/data/myid", folder);
	unlink(path);
}

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
	snprintf(moved, sizeof(moved), "%.*s\ndataDir=data%s",
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

static void
a_server_line_has_many_forms(void **state)
{
	(void)state;
	set_myid("1\n");
	assert_int_equal(
		read_with(LIMITS
			  "multiAddress.enabled=true\n"
			  "server.3=zoo3:2888:3888:OBSERVER;;[::2]:2281\n"
			  "server.1=zoo1:2888:3888\n"
			  "server.2=[fd00::1]:1:2|10.0.0.2:3:4:participant;"
			  "2182\n"),
		FAL_OK);
	assert_int_equal(config.server_count, 3);
	const struct config_server *one = &config.server[0],
				   *two = &config.server[1],
				   *three = &config.server[2];

	assert_int_equal(one->id, 1);
	assert_string_equal(one->quorum[0].host, "zoo1");
	assert_int_equal(one->quorum[0].port, 2888);
	assert_int_equal(one->election[0].port, 3888);
	assert_int_equal(one->type, CONFIG_PARTICIPANT);
	assert_int_equal(one->client.port, 0);
	assert_int_equal(two->address_count, 2);
	assert_string_equal(two->quorum[0].host, "fd00::1");
	assert_string_equal(two->election[1].host, "10.0.0.2");
	assert_int_equal(two->election[1].port, 4);
	assert_string_equal(two->client.host, "0.0.0.0");
	assert_int_equal(two->client.port, 2182);
	assert_int_equal(three->type, CONFIG_OBSERVER);
	assert_int_equal(three->client.port, 0);
	assert_string_equal(three->secure_client.host, "::2");
	assert_int_equal(three->secure_client.port, 2281);
	assert_false(config.is_standalone);
	assert_int_equal(config.myid, 1);
	assert_int_equal(config_require_supported(&config, &error), FAL_OK);
}

static void
a_server_line_with_a_wrong_part_is_refused(void **state)
{
	static const char *const wrong[] = {
		"zoo1",
		"zoo1:2888",
		"zoo1:2888:",
		":1:2",
		"zoo1:x:2",
		"zoo1:1:65536",
		"zoo1:1:2:leader",
		"zoo1:1:2:participant:x",
		"[::1:1:2",
		"[::1]1:2",
		"zoo1:1:2;",
		"zoo1:1:2;x",
		"zoo1:1:2;h:1:2",
		"zoo1:1:2;1;2;3",
		"zoo1:1:2|",
		"",
		"zoo1:1:2;0",
		"zoo1:1:2:",
		"zoo1:1:2:observers",
		"[::1]",
		"[]:1:2",
		"[::1]:",
		"zoo1:1:2|:1:2",
	};
	char line[100];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(line, sizeof(line), "server.1=%s", wrong[i]);
		/* An empty client part is fine, as in `;;secure`. */
		if (strcmp(wrong[i], "zoo1:1:2;") == 0)
			assert_int_equal(read_with(line), FAL_OK);
		else
			expect_error(line, "allowed: host:quorumPort");
	}
	expect_error("server.x=a:1:2", "needs a number");
	expect_error("server.-1=a:1:2", "needs a number");
	expect_error("server.1=a:1:2\nserver.01=b:1:2", "has a line already");
	expect_error("server.1=a:1:2|b:1:2", "multiAddress.enabled");
	expect_error("multiAddress.enabled=true\n"
		     "server.1=a:1:2:observer|b:1:2:participant",
		     "allowed: host:quorumPort");
}

static void
one_server_line_is_a_standalone_server(void **state)
{
	(void)state;
	drop_myid();
	expect_good("server.1=zoo1:2888:3888\n");
	assert_true(config.is_standalone);
	set_myid(" 1 ");
	assert_int_equal(read_with(""), FAL_EINVAL);
	set_myid("1\n");
	config_free(&config);
	/* The own line names the client port. */
	assert_int_equal(read_text("dataDir=data\n"
				   "server.1=zoo1:2888:3888;10.0.0.1:2191\n"),
			 FAL_OK);
	assert_int_equal(config.client_port, 2191);
	assert_string_equal(config.client_address, "10.0.0.1");
	assert_int_equal(read_text("dataDir=data\nclientPort=2191\n"
				   "clientPortAddress=10.0.0.1\n"
				   "server.1=zoo1:2888:3888;10.0.0.1:2191\n"),
			 FAL_OK);
	set_myid("0\n");
	expect_good("server.0=[fd00::1]:65535:0\n");
	assert_int_equal(config.myid, 0);
	assert_int_equal(config.server[0].quorum[0].port, 65535);
	set_myid("-1\n");
	assert_int_equal(read_with(""), FAL_EINVAL);
	set_myid("1x\n");
	assert_int_equal(read_with(""), FAL_EINVAL);
	set_myid("1\n");
	expect_error("server.1=zoo1:2888:3888;2191", "differ from the line");
	expect_error("server.1=zoo1:2888:3888:observer", "need participants");
	expect_error("server.1=zoo1:2888:3888\nserver.2=zoo2:1:2:observer",
		     "need standaloneEnabled=false");
	drop_myid();
}

static void
an_ensemble_needs_its_limits_and_its_own_id(void **state)
{
	(void)state;
	set_myid("2\n");
	expect_error("clientPort=12111\nclientPortAddress=127.0.0.1\n" THREE,
		     "initLimit");
	expect_error("clientPort=12111\nclientPortAddress=127.0.0.1\n"
		     "initLimit=5\n" THREE,
		     "syncLimit");
	assert_int_equal(read_text("dataDir=data\n" LIMITS THREE), FAL_OK);
	assert_int_equal(config.client_port, 12111);
	assert_int_equal(config.connect_limit_ticks, 10);
	set_myid("9\n");
	expect_error(LIMITS THREE, "no line server.9");
	set_myid("one\n");
	assert_int_equal(read_with(""), FAL_EINVAL);
	assert_non_null(strstr(error.text, "/data/myid: \"one\" is not a"));
	drop_myid();
	expect_error(LIMITS THREE, "/data/myid");
}

static void
a_voter_has_its_share_of_the_outstanding_limit(void **state)
{
	(void)state;
	set_myid("1\n");
	assert_int_equal(read_with("globalOutstandingLimit=900\n"), FAL_OK);
	assert_int_equal(config_voter_share(&config, config.outstanding_max),
			 900);
	assert_int_equal(read_with(LIMITS "globalOutstandingLimit=900\n"
					  "server.1=a:1:2\nserver.2=b:1:2\n"),
			 FAL_OK);
	assert_int_equal(config_voter_share(&config, config.outstanding_max),
			 900);
	assert_int_equal(read_with(LIMITS "globalOutstandingLimit=901\n"
					  "server.1=a:1:2\nserver.2=b:1:2\n"
					  "server.3=c:1:2\n"
					  "server.4=d:1:2:observer\n"),
			 FAL_OK);
	assert_int_equal(config_voter_share(&config, config.outstanding_max),
			 450);
	set_myid("4\n");
	assert_int_equal(read_with(LIMITS "globalOutstandingLimit=900\n"
					  "server.1=a:1:2\nserver.2=b:1:2\n"
					  "server.3=c:1:2\n"
					  "server.4=d:1:2:observer\n"
					  "peerType=observer\n"),
			 FAL_OK);
	assert_int_equal(config_voter_share(&config, config.outstanding_max),
			 900);
	set_myid("1\n");
}

static void
groups_and_weights_are_read_and_checked(void **state)
{
	(void)state;
	set_myid("1\n");
	assert_int_equal(read_with(LIMITS
				   "group.1=1:2\nweight.2=3\ngroup.2=3\n"
				   "server.1=a:1:2\nserver.2=b:1:2\n"
				   "server.3=c:1:2\nserver.4=d:1:2:observer\n"),
			 FAL_OK);
	assert_int_equal(config.group_count, 2);
	assert_int_equal(config.server[0].group, 1);
	assert_int_equal(config.server[1].weight, 3);
	assert_int_equal(config.server[2].group, 2);
	assert_int_equal(config.server[3].group, -1);
	expect_error(LIMITS "server.1=a:1:2\nserver.2=b:1:2\ngroup.1=1\n",
		     "server 2 is in no group");
	expect_error(LIMITS "server.1=a:1:2\nserver.2=b:1:2\nweight.1=1\n",
		     "server 1 is in no group");
	expect_error("server.1=a:1:2\ngroup.1=1:7\n", "no server.7");
	expect_error("server.1=a:1:2\ngroup.1=1:1\n", "in group 1 already");
	expect_error("server.1=a:1:2\ngroup.1=1:\n", "ids like 1:2:3");
	assert_int_equal(read_with("server.1=a:1:2\ngroup.1=1\n"
				   "weight.1=02147483647\n"),
			 FAL_OK);
	assert_int_equal(config.server[0].weight, INT32_MAX);
	assert_int_equal(read_with("server.1=a:1:2\ngroup.1=01\n"
				   "weight.1=0\n"),
			 FAL_OK);
	assert_int_equal(config.server[0].weight, 0);
	expect_error("server.1=a:1:2\ngroup.1=1\nweight.1=2147483648\n",
		     "0..2147483647");
	expect_error("server.1=a:1:2\nweight.2=1\n", "no server.2");
	expect_error("server.1=a:1:2\nweight.1=-1\n", "0..2147483647");
	drop_myid();
}

static void
a_dynamic_file_holds_the_ensemble(void **state)
{
	static const char lines[] =
		LIMITS "dynamicConfigFile=zoo.cfg.dynamic.1000000ff\n";

	(void)state;
	set_myid("3\n");
	write_file("zoo.cfg.dynamic.1000000ff", THREE);
	assert_int_equal(read_text("dataDir=data\n" LIMITS
				   "dynamicConfigFile=zoo.cfg.dynamic."
				   "1000000ff\n"),
			 FAL_OK);
	assert_int_equal(config.server_count, 3);
	assert_true(config.config_version == 0x1000000ff);
	expect_error(LIMITS "server.1=a:1:2\n"
			    "dynamicConfigFile=zoo.cfg.dynamic.1000000ff",
		     "must be in the dynamicConfigFile");
	write_file("zoo.cfg.dynamic.1000000ff", THREE "tickTime=5\n");
	assert_int_equal(read_with(lines), FAL_EINVAL);
	assert_non_null(strstr(error.text, "dynamic.1000000ff:4: tickTime=5: "
					   "a dynamic file holds only"));
	assert_int_equal(read_with("dynamicConfigFile=absent"), FAL_ENOENT);
	expect_error("group.1=1\ndynamicConfigFile=absent",
		     "must be in the dynamicConfigFile");
	write_file("members.g0", THREE);
	assert_int_equal(read_text("dataDir=data\n" LIMITS
				   "dynamicConfigFile=members.g0\n"),
			 FAL_OK);
	assert_int_equal(config.config_version, 0);
	write_file("members.", THREE);
	assert_int_equal(read_text("dataDir=data\n" LIMITS
				   "dynamicConfigFile=members.\n"),
			 FAL_OK);
	assert_int_equal(config.config_version, 0);
	drop_myid();
}

static void
the_membership_text_is_that_of_a_real_ensemble(void **state)
{
	static char text[CONFIG_TEXT_BYTES];
	/* getData of /zookeeper/config in golden/client/config_node.hex */
	static const char expect[] = THREE "version=100000000";

	(void)state;
	set_myid("1\n");
	write_file("zoo.cfg.dynamic.100000000", THREE);
	assert_int_equal(read_text("dataDir=data\n" LIMITS
				   "dynamicConfigFile=zoo.cfg.dynamic."
				   "100000000\n"),
			 FAL_OK);
	assert_int_equal(config_membership_text(&config, text), 194);
	assert_string_equal(text, expect);
	assert_int_equal(
		read_text("dataDir=data\n" LIMITS
			  "group.2=1:3\ngroup.5=2\nweight.3=2\n"
			  "server.1=a:1:2;21\nserver.2=b:1:2;[::1]:22;23\n"
			  "server.3=[::3]:1:2:observer\n"
			  "server.4=d:1:2:observer\n"),
		FAL_OK);
	config_membership_text(&config, text);
	assert_string_equal(text, "server.1=a:1:2:participant;0.0.0.0:21\n"
				  "server.2=b:1:2:participant;[::1]:22;"
				  "0.0.0.0:23\n"
				  "server.3=[::3]:1:2:observer\n"
				  "server.4=d:1:2:observer\n"
				  "group.2=1:3\ngroup.5=2\n"
				  "weight.1=1\nweight.2=1\nweight.3=2\n"
				  "version=0");
	drop_myid();
	expect_good("");
	assert_int_equal(config_membership_text(&config, text), 0);
	assert_string_equal(text, "");
}

static void
conf_answers_as_a_real_server(void **state)
{
	static const char folder_there[] = "/var/lib/zookeeper/version-2";
	static char text[CONFIG_TEXT_BYTES], golden[4096], line[256];
	FILE *file = fopen(GOLDEN_DIR "/config/4lw-conf.txt", "r");

	(void)state;
	assert_non_null(file);
	/* The real one's folder may exist here, so ours takes its place. */
	while (fgets(line, sizeof(line), file) != NULL) {
		char *at = strstr(line, folder_there);

		if (at != NULL)
			snprintf(at, sizeof(line) - (size_t)(at - line),
				 "%s/data/version-2\n", folder);
		strcat(golden, line);
	}
	fclose(file);
	assert_int_equal(read_text("dataDir=data\ntickTime=2000\n"
				   "clientPort=12148\n"),
			 FAL_OK);
	assert_int_equal(config_conf_text(&config, 67109337, 67109337, text),
			 strlen(golden));
	assert_string_equal(text, golden);
}

static void
conf_of_an_ensemble_shows_the_membership(void **state)
{
	static char text[CONFIG_TEXT_BYTES];

	(void)state;
	set_myid("2\n");
	assert_int_equal(read_text("dataDir=data\n" LIMITS THREE), FAL_OK);
	config_conf_text(&config, 1, 2, text);
	assert_non_null(strstr(text, "\nserverId=2\ninitLimit=10\nsyncLimit=5\n"
				     "electionAlg=3\nelectionPort=12131\n"
				     "quorumPort=12121\npeerType=0\n"
				     "membership: \n" THREE "version=0"));
	drop_myid();
}

static void
a_huge_ensemble_does_not_overrun_its_text(void **state)
{
	static char text[CONFIG_TEXT_BYTES + 8];
	static char lines[CONFIG_SERVERS_MAX * 1600];
	size_t used = (size_t)sprintf(lines, "dataDir=data\n" LIMITS
					     "multiAddress.enabled=true\n"
					     "clientPort=1\n");
	char host[CONFIG_HOST_BYTES];

	(void)state;
	set_myid("1\n");
	memset(host, 'h', sizeof(host) - 1);
	host[sizeof(host) - 1] = '\0';
	for (uint32_t i = 1; i <= CONFIG_SERVERS_MAX; i++) {
		used += (size_t)sprintf(lines + used, "server.%u=", i + 1);
		for (uint32_t a = 0; a < CONFIG_ADDRESSES_MAX; a++)
			used += (size_t)sprintf(lines + used, "%s%s:1:2",
						a > 0 ? "|" : "", host);
		used += (size_t)sprintf(lines + used, ";%s:3\n", host);
	}
	set_myid("2\n");
	assert_int_equal(read_text(lines), FAL_EINVAL); /* two client ports */
	memmove(strstr(lines, "clientPort=1\n"), "#lientPort=1\n", 13);
	assert_int_equal(read_text(lines), FAL_OK);
	memset(text, 0x55, sizeof(text));
	const size_t bytes = config_conf_text(&config, 0, 0, text);

	assert_true(bytes < CONFIG_TEXT_BYTES);
	assert_int_equal(strlen(text), bytes);
	assert_int_equal(text[CONFIG_TEXT_BYTES], 0x55);
	sprintf(lines + used, "server.77=a:1:2\n");
	assert_int_equal(read_text(lines), FAL_EINVAL);
	assert_non_null(strstr(error.text, "at most 32 servers"));
	drop_myid();
}

static int
make_folder(void **state)
{
	char path[300];

	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(file_path, sizeof(file_path), "%s/zoo.cfg", folder);
	snprintf(path, sizeof(path), "%s/data", folder);
	return mkdir(path, 0700);
}

static int
remove_folder(void **state)
{
	static const char *const names[] = {"zoo.cfg",
					    "data/myid",
					    "data",
					    "zoo.cfg.dynamic.1000000ff",
					    "zoo.cfg.dynamic.100000000",
					    "members.g0",
					    "members."};
	char path[300];

	(void)state;
	config_free(&config);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		remove(path);
	}
	return rmdir(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_zookeepers),
		cmocka_unit_test(own_defaults_suit_a_small_machine),
		cmocka_unit_test(the_sample_files_load),
		cmocka_unit_test(the_samples_of_ensembles_load),
		cmocka_unit_test(the_samples_of_ensembles_load),
		cmocka_unit_test(paths_start_at_the_folder_of_the_file),
		cmocka_unit_test(
			system_keys_may_carry_their_prefix_and_the_last_line_counts),
		cmocka_unit_test(
			unknown_keys_and_classes_are_named_in_warnings),
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
		cmocka_unit_test(the_word_whitelist_is_a_list_or_a_star),
		cmocka_unit_test(cpus_are_numbers_and_ranges),
		cmocka_unit_test(a_server_line_has_many_forms),
		cmocka_unit_test(a_server_line_with_a_wrong_part_is_refused),
		cmocka_unit_test(one_server_line_is_a_standalone_server),
		cmocka_unit_test(an_ensemble_needs_its_limits_and_its_own_id),
		cmocka_unit_test(
			a_voter_has_its_share_of_the_outstanding_limit),
		cmocka_unit_test(groups_and_weights_are_read_and_checked),
		cmocka_unit_test(a_dynamic_file_holds_the_ensemble),
		cmocka_unit_test(
			the_membership_text_is_that_of_a_real_ensemble),
		cmocka_unit_test(conf_answers_as_a_real_server),
		cmocka_unit_test(conf_of_an_ensemble_shows_the_membership),
		cmocka_unit_test(a_huge_ensemble_does_not_overrun_its_text),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
