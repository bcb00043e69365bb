/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    the lines that say who belongs to an ensemble mean here what they
 *         mean to ZooKeeper, and conf answers as a real server.
 * Method  as test_config.c: small files, golden texts of a real server.
 */
#include "config_rig.h"

/* Ensembles */

#define LIMITS "initLimit=10\nsyncLimit=5\ntickTime=2000\n"
#define THREE                                                          \
	"server.1=127.0.0.1:12120:12130:participant;127.0.0.1:12110\n" \
	"server.2=127.0.0.1:12121:12131:participant;127.0.0.1:12111\n" \
	"server.3=127.0.0.1:12122:12132:participant;127.0.0.1:12112\n"

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
		"zoo1:1:2;x",
		"zoo1:1:2;h:1:2",
		"zoo1:1:2;1;2;3",
		"zoo1:1:2||zoo2:1:2",
		"",
		";;",
		"|",
		"zoo1:1:2;0",
		"zoo1:1:2;:",
		"zoo1:1::2",
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
		expect_error(line, "allowed: host:quorumPort");
	}
	expect_error("server.1=a:7:7", "election port must differ");
	expect_error("server.x=a:1:2", "needs a number");
	expect_error("server.-1=a:1:2", "needs a number");
	expect_error("server.1=a:1:2\nserver.01=b:1:2", "has a line already");
	expect_error("server.1=a:1:2|b:1:2", "multiAddress.enabled");
	expect_error("multiAddress.enabled=true\n"
		     "server.1=a:1:2:observer|b:1:2:participant",
		     "allowed: host:quorumPort");
}

/* Java's split() does so. */
static void
separators_at_the_end_of_a_server_line_mean_nothing(void **state)
{
	static const char *const lines[] = {
		"a:1:2:",    "a:1:2::;2181:", "a:1:2:participant:;h:2181:",
		"a:1:2;",    "a:1:2;;;;",     "a:1:2|;2181",
		"a:1:2:|||", "[fd00::1]:1:2:"};
	char line[100];

	(void)state;
	set_myid("1\n");
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		snprintf(line, sizeof(line), "server.1=%s", lines[i]);
		expect_good(line);
		assert_int_equal(config.server[0].address_count, 1);
		assert_int_equal(config.server[0].quorum[0].port, 1);
		assert_int_equal(config.server[0].election[0].port, 2);
		assert_int_equal(config.server[0].client.port,
				 strstr(line, "2181") != NULL ? 2181 : 0);
		assert_int_equal(config.server[0].secure_client.port, 0);
	}
}

/* Of others it may be there: they may be servers of another kind. */
static void
a_secure_client_port_of_the_own_line_is_refused(void **state)
{
	(void)state;
	set_myid("1\n");
	expect_good(LIMITS "server.1=a:1:2;2181\nserver.2=b:1:2;2181;2281\n"
			   "server.3=c:1:2;2181");
	assert_int_equal(read_with(LIMITS
				   "server.1=a:1:2;2181;2281\n"
				   "server.2=b:1:2;2181\nserver.3=c:1:2;2181"),
			 FAL_OK);
	assert_int_equal(config_require_supported(&config, &error),
			 FAL_ENOTSUP);
	assert_non_null(strstr(error.text, "needs TLS for the secure client "
					   "port in this server's line"));
}

/* Common in containers, and fine as long as nobody else is told. */
static void
an_own_address_that_is_no_place_is_told(void **state)
{
	static const char lines[] =
		LIMITS "server.1=0.0.0.0:1:2\nserver.2=b:1:2\nserver.3=c:1:2\n";
	char text[200];

	(void)state;
	set_myid("1\n");
	expect_good(lines);
	assert_int_equal(config.warning_count, 0);
	snprintf(text, sizeof(text), "%sreconfigEnabled=true", lines);
	expect_good(text);
	assert_int_equal(config.warning_count, 1);
	assert_non_null(strstr(config.warning[0], "nobody can connect to "
						  "0.0.0.0"));
	set_myid("2\n");
	expect_good(text);
	assert_int_equal(config.warning_count, 0);
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
	expect_error(LIMITS THREE, "correct that file, or, if");
	set_myid("one\n");
	assert_int_equal(read_with(""), FAL_EINVAL);
	assert_non_null(strstr(error.text, "/data/myid: \"one\" is not a"));
	drop_myid();
	expect_error(LIMITS THREE, "/data/myid: one line with the N");
	set_myid("2 \r\n");
	assert_int_equal(read_text("dataDir=./data\n" LIMITS THREE), FAL_OK);
	assert_int_equal(config.myid, 2);
	assert_int_equal(config.warning_count, 0);
	set_myid(" 2\n");
	assert_int_equal(read_with(""), FAL_EINVAL);
	assert_non_null(strstr(error.text, "/data/myid: \" 2\" is not a"));
	drop_myid();
}

static void
the_own_line_may_narrow_the_client_address(void **state)
{
	static const char *const good[] = {"", "clientPortAddress=0.0.0.0\n",
					   "clientPortAddress=::\n",
					   "clientPortAddress=127.0.0.1\n"};
	char lines[600];

	(void)state;
	set_myid("1\n");
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		snprintf(lines, sizeof(lines),
			 "clientPort=12110\n%s" LIMITS THREE, good[i]);
		expect_good(lines);
		assert_string_equal(config.client_address, "127.0.0.1");
		assert_int_equal(config.client_port, 12110);
	}
	expect_good("clientPortAddress=0.0.0.0\n" LIMITS
		    "server.1=a:1:2;2181\nserver.2=b:1:2\nserver.3=c:1:2\n");
	assert_null(config.client_address);
	expect_error(
		"clientPort=12110\nclientPortAddress=127.0.0.2\n" LIMITS THREE,
		"differ from the line server.1");
	expect_error("clientPort=12109\n" LIMITS THREE, "differ from the line");
	drop_myid();
}

static void
a_role_that_differs_from_the_own_line_is_told(void **state)
{
	(void)state;
	set_myid("1\n");
	expect_good("clientPort=12110\npeerType=observer\n" LIMITS THREE);
	assert_int_equal(config.peer_type, CONFIG_PARTICIPANT);
	assert_int_equal(config.warning_count, 1);
	assert_non_null(strstr(config.warning[0],
			       "peerType differs from the line server.1"));
	drop_myid();
}

static void
a_myid_that_cannot_be_read_is_not_taken_for_missing(void **state)
{
	char path[300];

	(void)state;
	snprintf(path, sizeof(path), "%s/data/myid", folder);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(read_with(LIMITS THREE), FAL_EIO);
	assert_non_null(strstr(error.text,
			       "/data/myid: cannot be read: Is a directory"));
	assert_int_equal(rmdir(path), 0);
}

static void
an_even_number_of_voters_is_told(void **state)
{
	(void)state;
	set_myid("1\n");
	expect_good(LIMITS "server.1=a:1:2\nserver.2=b:1:2\n");
	assert_int_equal(config.warning_count, 1);
	assert_non_null(
		strstr(config.warning[0], "of 2 voters 0 may fail, as of 1"));
	expect_good(LIMITS "server.1=a:1:2\nserver.2=b:1:2\n"
			   "server.3=c:1:2\nserver.4=d:1:2:observer\n");
	assert_int_equal(config.warning_count, 0);
	drop_myid();
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
	set_myid("9\n");
	assert_int_equal(read_with(lines), FAL_EINVAL);
	assert_non_null(strstr(error.text, "dynamic.1000000ff: there is no "
					   "line server.9"));
	set_myid("3\n");
	expect_error(LIMITS "server.1=a:1:2\n"
			    "dynamicConfigFile=zoo.cfg.dynamic.1000000ff",
		     "must be in the dynamicConfigFile");
	write_file("zoo.cfg.dynamic.1000000ff", THREE "tickTime=5\n");
	assert_int_equal(read_with(lines), FAL_EINVAL);
	assert_non_null(strstr(error.text, "dynamic.1000000ff:4: tickTime=5: "
					   "a dynamic file holds only"));
	assert_int_equal(read_with("dynamicConfigFile=absent"), FAL_ENOENT);
	assert_non_null(strstr(error.text, "/absent: cannot be opened: No such "
					   "file or directory (the "
					   "dynamicConfigFile of "));
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_server_line_has_many_forms),
		cmocka_unit_test(a_server_line_with_a_wrong_part_is_refused),
		cmocka_unit_test(
			separators_at_the_end_of_a_server_line_mean_nothing),
		cmocka_unit_test(
			a_secure_client_port_of_the_own_line_is_refused),
		cmocka_unit_test(an_own_address_that_is_no_place_is_told),
		cmocka_unit_test(one_server_line_is_a_standalone_server),
		cmocka_unit_test(an_ensemble_needs_its_limits_and_its_own_id),
		cmocka_unit_test(the_own_line_may_narrow_the_client_address),
		cmocka_unit_test(a_role_that_differs_from_the_own_line_is_told),
		cmocka_unit_test(
			a_myid_that_cannot_be_read_is_not_taken_for_missing),
		cmocka_unit_test(an_even_number_of_voters_is_told),
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
