/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options - getopt_long, with every number checked against its range.
 *
 * A mix is a list of kinds with their shares, get=90,set=10; a kind alone has
 * the share 1. Keys of different sizes and counts live under different roots,
 * so that runs against one server do not meet each other's values.
 */
#include "perf/load/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage_text[] =
	"usage: load [options] host:port\n"
	"  --connections N   sessions, each on a connection of its own (1)\n"
	"  --pipeline N      requests under way on each connection (1)\n"
	"  --mix LIST        shares of get, set, create, exists, children,\n"
	"                    sync, multi (two sets); e.g.\n"
	"                    get=90,set=10 (get). create alternates with the\n"
	"                    delete of the node it made\n"
	"  --value BYTES     data of a node (100)\n"
	"  --keys N          nodes that get, set and exists choose from "
	"(1000)\n"
	"  --seconds S       measured time (5)\n"
	"  --warmup S        time before it that is not measured (1)\n"
	"  --operations N    instead of --seconds; without warm-up\n"
	"  --rate R          open loop: R requests a second on a schedule,\n"
	"                    latency counts from the scheduled time\n"
	"  --skew S          0: keys are drawn evenly; towards 1: the first\n"
	"                    ones more often (Zipf)\n"
	"  --spin            never sleep while waiting\n"
	"  --protocol P      zookeeper, redis or etcd (zookeeper)\n"
	"  --fill            only make the keys, and tell how long it took\n"
	"  --fanout          all connections but one watch a node, the one\n"
	"                    changes it; latency until the last heard of it\n"
	"  --storm           set all sessions up at once; latency of each\n"
	"  --idle            only keep the sessions alive\n"
	"  --batch N         creates of one multi while filling (100)\n"
	"  --root PATH       where the keys live (/load-VALUE-KEYS)\n"
	"  --server-pid PID  measure that process's CPU time and memory\n"
	"  --timeout MS      of the sessions (30000)\n"
	"  --seed N          of the random keys (1)\n"
	"  --progress        a line a second to standard error\n"
	"  --histogram FILE  latencies: upper end in us and count, a line "
	"each\n"
	"  --timeline FILE   latencies over time: a line each 20 ms\n"
	"  --port DEVICE     over our own TCP on a device of DPDK, as in\n"
	"                    falconer.dpdk.port, instead of sockets\n"
	"  --port-address A  ours there, IPv4/bits\n"
	"  --json            one JSON object instead of text\n";

static const char *const kind_names[LOAD_KINDS] = {
	[LOAD_GET] = "get",           [LOAD_SET] = "set",
	[LOAD_CREATE] = "create",     [LOAD_EXISTS] = "exists",
	[LOAD_CHILDREN] = "children", [LOAD_SYNC] = "sync",
	[LOAD_MULTI] = "multi",
};

static const char *const protocol_names[] = {
	[LOAD_ZOOKEEPER] = "zookeeper",
	[LOAD_REDIS] = "redis",
	[LOAD_ETCD] = "etcd",
};

void
load_die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("load: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

static _Noreturn void
refuse(const char *what, const char *text)
{
	fprintf(stderr, "load: %s: %s\n%s", what, text, usage_text);
	exit(2);
}

static uint64_t
whole_number(const char *text, uint64_t low, uint64_t high)
{
	char *end;

	errno = 0;
	const unsigned long long value = strtoull(text, &end, 0);

	if (errno != 0 || end == text || *end != '\0' || text[0] == '-' ||
	    value < low || value > high)
		refuse("number out of range", text);
	return value;
}

static double
real_number(const char *text, double low, double high)
{
	char *end;
	const double value = strtod(text, &end);

	if (end == text || *end != '\0' || !(value >= low && value <= high))
		refuse("number out of range", text);
	return value;
}

static void
parse_share(const char *item, uint32_t weight[LOAD_KINDS])
{
	const char *equals = strchr(item, '=');
	const size_t bytes =
		equals == NULL ? strlen(item) : (size_t)(equals - item);

	for (uint32_t kind = 0; kind < LOAD_KINDS; kind++) {
		if (strlen(kind_names[kind]) != bytes ||
		    memcmp(kind_names[kind], item, bytes) != 0)
			continue;
		weight[kind] = equals == NULL ? 1
					      : (uint32_t)whole_number(
							equals + 1, 1, 1000000);
		return;
	}
	refuse("no such operation", item);
}

static void
parse_mix(const char *text, uint32_t weight[LOAD_KINDS])
{
	char copy[256];
	char *rest = copy;

	if (strlen(text) >= sizeof(copy))
		refuse("too long", text);
	strcpy(copy, text);
	memset(weight, 0, LOAD_KINDS * sizeof(*weight));
	for (char *item; (item = strsep(&rest, ",")) != NULL;)
		parse_share(item, weight);
}

static void
parse_address(const char *text, struct sockaddr_in *out)
{
	const struct addrinfo hints = {.ai_family = AF_INET,
				       .ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	char host[256];
	const char *colon = strrchr(text, ':');

	if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
		refuse("not host:port", text);
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
		refuse("no such address", text);
	memcpy(out, found->ai_addr, sizeof(*out));
	freeaddrinfo(found);
}

enum option_key {
	KEY_CONNECTIONS = 256,
	KEY_PIPELINE,
	KEY_MIX,
	KEY_VALUE,
	KEY_KEYS,
	KEY_SECONDS,
	KEY_WARMUP,
	KEY_OPERATIONS,
	KEY_RATE,
	KEY_FILL,
	KEY_FANOUT,
	KEY_STORM,
	KEY_IDLE,
	KEY_SKEW,
	KEY_SPIN,
	KEY_PROTOCOL,
	KEY_PROGRESS,
	KEY_HISTOGRAM,
	KEY_BATCH,
	KEY_ROOT,
	KEY_SERVER_PID,
	KEY_TIMEOUT,
	KEY_SEED,
	KEY_JSON,
	KEY_TIMELINE,
	KEY_PORT,
	KEY_PORT_ADDRESS,
};

static const struct option long_options[] = {
	{"connections", required_argument, NULL, KEY_CONNECTIONS},
	{"pipeline", required_argument, NULL, KEY_PIPELINE},
	{"mix", required_argument, NULL, KEY_MIX},
	{"value", required_argument, NULL, KEY_VALUE},
	{"keys", required_argument, NULL, KEY_KEYS},
	{"seconds", required_argument, NULL, KEY_SECONDS},
	{"warmup", required_argument, NULL, KEY_WARMUP},
	{"operations", required_argument, NULL, KEY_OPERATIONS},
	{"rate", required_argument, NULL, KEY_RATE},
	{"fill", no_argument, NULL, KEY_FILL},
	{"fanout", no_argument, NULL, KEY_FANOUT},
	{"storm", no_argument, NULL, KEY_STORM},
	{"idle", no_argument, NULL, KEY_IDLE},
	{"skew", required_argument, NULL, KEY_SKEW},
	{"spin", no_argument, NULL, KEY_SPIN},
	{"protocol", required_argument, NULL, KEY_PROTOCOL},
	{"progress", no_argument, NULL, KEY_PROGRESS},
	{"histogram", required_argument, NULL, KEY_HISTOGRAM},
	{"batch", required_argument, NULL, KEY_BATCH},
	{"root", required_argument, NULL, KEY_ROOT},
	{"server-pid", required_argument, NULL, KEY_SERVER_PID},
	{"timeout", required_argument, NULL, KEY_TIMEOUT},
	{"seed", required_argument, NULL, KEY_SEED},
	{"json", no_argument, NULL, KEY_JSON},
	{"timeline", required_argument, NULL, KEY_TIMELINE},
	{"port", required_argument, NULL, KEY_PORT},
	{"port-address", required_argument, NULL, KEY_PORT_ADDRESS},
	{0},
};

static void
set_root(struct load_options *out, const char *text)
{
	if (text[0] != '/' || strlen(text) >= sizeof(out->root) ||
	    text[strlen(text) - 1] == '/')
		refuse("not a path", text);
	strcpy(out->root, text);
}

/* Numbers; the rest is set by set_word(). */
static void
set_number(struct load_options *out, int key, const char *text)
{
	switch (key) {
	case KEY_CONNECTIONS:
		out->connections =
			(uint32_t)whole_number(text, 1, LOAD_CONNECTIONS_MAX);
		break;
	case KEY_PIPELINE:
		out->pipeline =
			(uint32_t)whole_number(text, 1, LOAD_PIPELINE_MAX);
		break;
	case KEY_VALUE:
		out->value_bytes =
			(uint32_t)whole_number(text, 0, LOAD_VALUE_BYTES_MAX);
		break;
	case KEY_KEYS:
		out->keys = (uint32_t)whole_number(text, 1, LOAD_KEYS_MAX);
		break;
	case KEY_SECONDS:
		out->seconds = real_number(text, 0.01, 1e6);
		break;
	case KEY_WARMUP:
		out->warmup_seconds = real_number(text, 0, 1e6);
		break;
	case KEY_OPERATIONS:
		out->operations = whole_number(text, 1, UINT64_MAX / 2);
		break;
	case KEY_SKEW:
		out->skew = real_number(text, 0, 0.99);
		break;
	case KEY_RATE:
		out->rate = real_number(text, 0.1, 1e8);
		break;
	case KEY_BATCH:
		out->batch = (uint32_t)whole_number(text, 1, 10000);
		break;
	case KEY_SERVER_PID:
		out->server_pid = (int32_t)whole_number(text, 1, INT32_MAX);
		break;
	case KEY_TIMEOUT:
		out->timeout_ms = (int32_t)whole_number(text, 1000, 3600000);
		break;
	default:
		out->seed = whole_number(text, 1, UINT64_MAX);
		break;
	}
}

static enum load_protocol
parse_protocol(const char *text)
{
	for (int i = LOAD_ZOOKEEPER; i <= LOAD_ETCD; i++)
		if (strcmp(text, protocol_names[i]) == 0)
			return (enum load_protocol)i;
	refuse("no such protocol", text);
}

static bool
set_mode(struct load_options *out, int key)
{
	switch (key) {
	case KEY_FILL:
		out->mode = LOAD_FILL;
		return true;
	case KEY_FANOUT:
		out->mode = LOAD_FANOUT;
		return true;
	case KEY_STORM:
		out->mode = LOAD_STORM;
		return true;
	case KEY_IDLE:
		out->mode = LOAD_IDLE;
		return true;
	default:
		return false;
	}
}

static void
set_option(struct load_options *out, int key, const char *text)
{
	if (set_mode(out, key))
		return;
	switch (key) {
	case KEY_MIX:
		out->mix_text = text;
		parse_mix(text, out->weight);
		break;
	case KEY_SPIN:
		out->spins = true;
		break;
	case KEY_PROTOCOL:
		out->protocol = parse_protocol(text);
		break;
	case KEY_PROGRESS:
		out->tells_progress = true;
		break;
	case KEY_HISTOGRAM:
		out->histogram = text;
		break;
	case KEY_ROOT:
		set_root(out, text);
		break;
	case KEY_TIMELINE:
		out->timeline = text;
		break;
	case KEY_PORT:
		out->port = text;
		break;
	case KEY_PORT_ADDRESS:
		out->port_address = text;
		break;
	case KEY_JSON:
		out->is_json = true;
		break;
	case '?':
		refuse("unknown option", "see below");
	default:
		set_number(out, key, text);
		break;
	}
}

/* Options that do not go together. */
static void
check(const struct load_options *options)
{
	if ((options->port == NULL) != (options->port_address == NULL))
		refuse("both or none", "--port, --port-address");
	if (options->port != NULL && options->mode == LOAD_STORM)
		refuse("only over sockets", "--storm");
	if (options->timeline != NULL && options->mode != LOAD_RUN)
		refuse("only of a mix", "--timeline");
	if (options->protocol == LOAD_ZOOKEEPER)
		return;
	if (options->mode > LOAD_FILL)
		refuse("only for zookeeper", "--fanout, --storm, --idle");
	for (uint32_t kind = LOAD_CREATE; kind < LOAD_KINDS; kind++)
		if (options->weight[kind] > 0)
			refuse("the rivals do get and set", kind_names[kind]);
	if (options->protocol == LOAD_ETCD && options->pipeline > 1)
		refuse("one request at a time", "etcd");
}

void
load_options_parse(int argc, char **argv, struct load_options *out)
{
	int key;

	*out = (struct load_options){.connections = 1,
				     .pipeline = 1,
				     .weight = {[LOAD_GET] = 1},
				     .value_bytes = 100,
				     .keys = 1000,
				     .batch = 100,
				     .seconds = 5,
				     .warmup_seconds = 1,
				     .seed = 1,
				     .timeout_ms = 30000,
				     .run_tag = (uint32_t)getpid(),
				     .mix_text = "get"};
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		fputs(usage_text, stdout);
		exit(0);
	}
	while ((key = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		set_option(out, key, optarg);
	if (optind != argc - 1)
		refuse("one server is needed", "host:port");
	parse_address(argv[optind], &out->address);
	if (out->operations > 0) {
		out->seconds = 0;
		out->warmup_seconds = 0;
	}
	check(out);
	if (out->root[0] == '\0')
		snprintf(out->root, sizeof(out->root), "/load-%u-%u",
			 out->value_bytes, out->keys);
}
