/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config - from the file to a checked struct config, and its texts.
 *
 * Order: defaults, lines of zoo.cfg, the ensemble's lines (of the same or of
 * the dynamic file), dataDir/myid, values that depend on others, ZooKeeper's
 * checks, and last what this server cannot do. Where ZooKeeper refuses a
 * combination we do too, with a sentence of our own.
 */
#include "server/config_reading.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/memory.h"

#define BLANKS " \t\r\n"

struct config_block {
	struct config_block *next;
	char text[];
};

/* Texts */

static const char *
keep_args(struct config *config, const char *format, va_list args)
{
	va_list again;

	va_copy(again, args);
	const int bytes = vsnprintf(NULL, 0, format, again);
	va_end(again);
	FAL_ASSERT(bytes >= 0);

	struct config_block *block = malloc(sizeof(*block) + (size_t)bytes + 1);

	if (block == NULL)
		return NULL;
	vsnprintf(block->text, (size_t)bytes + 1, format, args);
	block->next = config->block;
	config->block = block;
	return block->text;
}

const char *
config_keep(struct config *config, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	const char *text = keep_args(config, format, args);
	va_end(args);
	return text;
}

const char *
config_keep_path(struct config *config, const char *path)
{
	size_t folder_bytes =
		(size_t)(strrchr(config->path, '/') - config->path);
	const bool is_absolute = path[0] == '/';
	char joined[2 * PATH_MAX]; /* both are shorter than PATH_MAX */
	size_t out = 0;

	/* config->path is real, without symbolic links, so ".." at the front
	 * is the folder above. */
	while (strncmp(path, "./", 2) == 0 || strncmp(path, "../", 3) == 0) {
		while (path[1] == '.' && folder_bytes > 0 &&
		       config->path[--folder_bytes] != '/') {
		}
		path += path[1] == '.' ? 3 : 2;
	}
	if (is_absolute)
		snprintf(joined, sizeof(joined), "%s", path);
	else
		snprintf(joined, sizeof(joined), "%.*s/%s", (int)folder_bytes,
			 config->path, path);
	/* As Java's File: no doubled and no trailing slashes. */
	for (size_t i = 0; joined[i] != '\0'; i++)
		if (joined[i] != '/' || out == 0 || joined[out - 1] != '/')
			joined[out++] = joined[i];
	if (out > 1 && joined[out - 1] == '/')
		out--;
	return config_keep(config, "%.*s", (int)out, joined);
}

/* "file:line: key=value: " into text; the value only if it helps and is no
 * secret. */
static void
write_place(const struct config_reading *reading, char *text, size_t bytes,
	    bool with_value)
{
	const struct property *property = reading->property;

	with_value = with_value && property != NULL &&
		     !config_is_secret_key(property->key);
	if (property == NULL)
		snprintf(text, bytes, "%s: ", reading->file);
	else if (property->line == 0)
		snprintf(text, bytes, "-D%.80s%s%.80s: ", property->key,
			 with_value ? "=" : "",
			 with_value ? property->value : "");
	else
		snprintf(text, bytes, "%s:%u: %.80s%s%.80s: ", reading->file,
			 property->line, property->key, with_value ? "=" : "",
			 with_value ? property->value : "");
}

int
config_fail(const struct config_reading *reading, const char *what, ...)
{
	char *text = reading->error->text;
	const size_t bytes = sizeof(reading->error->text);
	va_list args;

	write_place(reading, text, bytes, true);
	const size_t used = strlen(text);

	va_start(args, what);
	vsnprintf(text + used, bytes - used, what, args);
	va_end(args);
	return FAL_EINVAL;
}

int
config_warn(const struct config_reading *reading, const char *what, ...)
{
	struct config *config = reading->config;
	const size_t count = config->warning_count;
	const char **warnings;
	char place[512];
	va_list args;

	write_place(reading, place, sizeof(place), true);
	warnings = realloc(config->warning, (count + 1) * sizeof(*warnings));
	if (warnings == NULL)
		return FAL_ENOMEM;
	config->warning = warnings;
	va_start(args, what);
	const char *sentence = keep_args(config, what, args);
	va_end(args);
	if (sentence == NULL)
		return FAL_ENOMEM;
	warnings[count] = config_keep(config, "%s%s", place, sentence);
	if (warnings[count] == NULL)
		return FAL_ENOMEM;
	config->warning_count++;
	return FAL_OK;
}

int
config_refuse(const struct config_reading *reading, const char *need)
{
	struct config *config = reading->config;
	char place[512];

	if (config->refusal != NULL)
		return FAL_OK;
	/* Without the value: it may be a password. */
	write_place(reading, place, sizeof(place), false);
	config->refusal = config_keep(
		config, "%sneeds %s, which this server does not have", place,
		need);
	return config->refusal == NULL ? FAL_ENOMEM : FAL_OK;
}

/* Reading */

/* The absolute path of the file, so that its folder is known. */
static int
keep_file_path(struct config *config, const char *path,
	       struct config_error *error)
{
	char *absolute = realpath(path, NULL);

	if (absolute == NULL) {
		const int err = errno == ENOENT ? FAL_ENOENT : FAL_EIO;

		snprintf(error->text, sizeof(error->text), "%.300s: %s", path,
			 strerror(errno));
		return err;
	}
	config->path = config_keep(config, "%s", absolute);
	free(absolute);
	return config->path == NULL ? FAL_ENOMEM : FAL_OK;
}

static int
load_properties(const char *path, struct properties *properties,
		struct config_error *error)
{
	struct properties_error what;
	const int err = properties_load(path, properties, &what);

	if (err != FAL_OK && what.line != 0)
		snprintf(error->text, sizeof(error->text), "%.300s:%u: %s",
			 path, what.line, what.what);
	else if (err != FAL_OK)
		snprintf(error->text, sizeof(error->text), "%.300s: %s%s%s",
			 path, what.what, what.code == 0 ? "" : ": ",
			 what.code == 0 ? "" : strerror(what.code));
	return err;
}

/* -Dkey=value, or -Dkey for an empty value, as Java takes them. */
static int
keep_flags(struct config *config, const char *const *flags, uint32_t count)
{
	config->flag = calloc(count + 1, sizeof(*config->flag));
	if (config->flag == NULL)
		return FAL_ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		if (strncmp(flags[i], CONFIG_FLAG, strlen(CONFIG_FLAG)) != 0)
			continue;

		const char *text = flags[i] + strlen(CONFIG_FLAG);
		const size_t key_bytes = strcspn(text, "=");
		const bool has_value = text[key_bytes] == '=';
		struct property *flag = &config->flag[config->flag_count];

		flag->key = config_keep(config, "%.*s", (int)key_bytes, text);
		flag->value =
			config_keep(config, "%s", text + key_bytes + has_value);
		if (flag->key == NULL || flag->value == NULL)
			return FAL_ENOMEM;
		config->flag_count++;
	}
	return FAL_OK;
}

/* Below what the file says: there each line sets its property anew. */
static int
read_flags(struct config *config, struct config_error *error)
{
	struct config_reading reading = {
		.config = config, .error = error, .file = config->path};
	int err = FAL_OK;

	for (uint32_t i = 0; i < config->flag_count && err == FAL_OK; i++) {
		reading.property = &config->flag[i];
		err = config_read_flag(&reading);
	}
	return err;
}

static int
read_lines(struct config *config, const char *path, struct config_error *error)
{
	struct config_reading reading = {
		.config = config, .error = error, .file = path};

	for (uint32_t i = 0; i < config->properties.count; i++) {
		int err;

		reading.property = &config->properties.property[i];
		if (config_is_member_key(reading.property->key))
			continue;
		err = config_read_key(&reading);
		if (err != FAL_OK)
			return err;
	}
	return FAL_OK;
}

/* The version of a dynamic file is its name's suffix, hexadecimal. */
static uint64_t
dynamic_version(const char *path)
{
	const char *dot = strrchr(path, '.');
	char *end;

	if (dot == NULL || dot[1] == '\0' ||
	    dot[1 + strspn(dot + 1, "0123456789abcdefABCDEF")] != '\0')
		return 0;
	errno = 0;
	const uint64_t version = strtoull(dot + 1, &end, 16);

	return errno == 0 ? version : 0;
}

static int
read_ensemble(struct config *config, const char *path,
	      struct config_error *error)
{
	struct config_reading reading = {
		.config = config, .error = error, .file = path};
	struct properties dynamic;
	int err;

	config->server = calloc(CONFIG_SERVERS_MAX, sizeof(*config->server));
	if (config->server == NULL)
		return FAL_ENOMEM;
	if (config->dynamic_file == NULL)
		return config_read_members(config, error, path,
					   &config->properties, false);
	for (uint32_t i = 0; i < config->properties.count; i++) {
		reading.property = &config->properties.property[i];
		if (config_is_member_key(reading.property->key))
			return config_fail(&reading,
					   "must be in the dynamicConfigFile");
	}
	err = load_properties(config->dynamic_file, &dynamic, error);
	if (err != FAL_OK) {
		const size_t used = strlen(error->text);

		snprintf(error->text + used, sizeof(error->text) - used,
			 " (the dynamicConfigFile of %.300s)", path);
		return err;
	}
	err = config_read_members(config, error, config->dynamic_file, &dynamic,
				  true);
	properties_free(&dynamic);
	config->config_version = dynamic_version(config->dynamic_file);
	return err;
}

/* dataDir/myid: one line with this server's id. */
static int
read_myid(struct config *config, struct config_error *error)
{
	const char *path = config_keep(config, "%s/myid", config->data_dir);
	char line[32] = "";
	int code = 0;

	config->myid = -1;
	if (path == NULL)
		return FAL_ENOMEM;
	FILE *file = fopen(path, "re");

	/* A standalone server needs none. */
	if (file == NULL &&
	    (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG))
		return FAL_OK;
	if (file == NULL || fgets(line, sizeof(line), file) == NULL)
		code = file == NULL || ferror(file) ? errno : 0;
	if (file != NULL)
		fclose(file);
	if (code != 0) {
		snprintf(error->text, sizeof(error->text),
			 "%.400s: cannot be read: %s", path, strerror(code));
		return FAL_EIO;
	}

	/* Blanks in front are none of Java's numbers either. */
	line[strspn(line, BLANKS) +
	     strcspn(line + strspn(line, BLANKS), BLANKS)] = '\0';
	if (config_parse_number(line, false, &config->myid) &&
	    config->myid >= 0)
		return FAL_OK;
	snprintf(error->text, sizeof(error->text),
		 "%.400s: \"%s\" is not a server id; allowed: the N of a line "
		 "server.N",
		 path, line);
	return FAL_EINVAL;
}

/* Settling and checking */

static uint32_t
count_voters(const struct config *config)
{
	uint32_t voters = 0;

	for (uint32_t i = 0; i < config->server_count; i++)
		voters += config->server[i].type == CONFIG_PARTICIPANT;
	return voters;
}

static int
settle_mode(struct config_reading *reading)
{
	struct config *config = reading->config;
	const uint32_t voters = count_voters(config);

	if (voters == 0 && config->server_count > 0)
		return config_fail(reading, "observers need participants");
	if (voters == 0 && !config->standalone_enabled)
		return config_fail(reading, "standaloneEnabled=false needs "
					    "server lines");
	config->is_standalone =
		voters == 0 || (voters == 1 && config->standalone_enabled);
	if (config->is_standalone && config->server_count > 1)
		return config_fail(reading,
				   "observers of a single participant need "
				   "standaloneEnabled=false");
	/* With groups the count says nothing. */
	if (config->group_count > 0 || voters == 0 || voters % 2 == 1)
		return FAL_OK;
	return config_warn(reading,
			   "of %" PRIu32 " voters %" PRIu32 " may fail, as "
			   "of %" PRIu32 ": take an odd number of them",
			   voters, voters / 2 - 1, voters - 1);
}

/* All local addresses: nothing given, or one of their names. */
static bool
is_any_address(const char *host)
{
	return host == NULL || host[0] == '\0' ||
	       strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

/* Both may name the port; only the line may narrow the address, as in
 * ZooKeeper. */
static bool
is_same_client(const struct config *config, const struct config_address *line)
{
	return config->client_port == line->port &&
	       (is_any_address(config->client_address) ||
		strcmp(config->client_address, line->host) == 0);
}

static int
settle_peer_type(struct config_reading *reading,
		 const struct config_server *own)
{
	struct config *config = reading->config;
	const bool is_other = config->peer_type != own->type;

	config->peer_type = own->type;
	if (!is_other || !config_is_written(config, "peerType"))
		return FAL_OK;
	return config_warn(reading,
			   "peerType differs from the line server.%" PRId64
			   ", which counts",
			   own->id);
}

/* What is active is the leader's text, for all. */
static int
check_own_address(struct config_reading *reading,
		  const struct config_server *own)
{
	for (uint32_t i = 0; i < own->address_count; i++)
		if (reading->config->reconfig_enabled &&
		    is_any_address(own->quorum[i].host))
			return config_warn(
				reading,
				"with reconfigEnabled the line server.%" PRId64
				" tells others where this server is, and "
				"nobody can connect to %s: write its name or "
				"address, and quorumListenOnAllIPs=true",
				own->id, own->quorum[i].host);
	return FAL_OK;
}

/* The own server line may name the client port and settles the peer type. */
static int
settle_own_server(struct config_reading *reading)
{
	struct config *config = reading->config;
	const struct config_server *own = NULL;

	for (uint32_t i = 0; i < config->server_count; i++)
		if (config->server[i].id == config->myid)
			own = &config->server[i];
	if (own == NULL)
		return FAL_OK;
	int err = settle_peer_type(reading, own);

	if (err == FAL_OK)
		err = check_own_address(reading, own);
	if (err == FAL_OK && own->secure_client.port != 0)
		err = config_refuse(reading, "TLS for the secure client port "
					     "in this server's line");
	if (err != FAL_OK || own->client.port == 0)
		return err;
	if (config->client_port != 0 && !is_same_client(config, &own->client))
		return config_fail(reading,
				   "clientPort and clientPortAddress differ "
				   "from the line server.%" PRId64,
				   own->id);
	config->client_port = own->client.port;
	config->client_address =
		is_any_address(own->client.host) ? NULL : own->client.host;
	return FAL_OK;
}

static int
settle_timeouts(struct config_reading *reading)
{
	struct config *config = reading->config;

	if (config->session_timeout_min_ms == -1)
		config->session_timeout_min_ms = 2 * config->tick_ms;
	if (config->session_timeout_max_ms == -1)
		config->session_timeout_max_ms = 20 * config->tick_ms;
	if (config->session_timeout_min_ms > config->session_timeout_max_ms)
		return config_fail(
			reading,
			"minSessionTimeout (%d) is above maxSessionTimeout "
			"(%d); the defaults are 2 and 20 tickTime",
			config->session_timeout_min_ms,
			config->session_timeout_max_ms);
	return FAL_OK;
}

/* Three quarters of what there is: the rest is for connections, the log window
 * and the kernel's page cache. */
static uint64_t
tree_bytes_default(void)
{
	const uint64_t bytes = memory_bytes("") / 4 * 3;

	return bytes < CONFIG_TREE_BYTES ? bytes : CONFIG_TREE_BYTES;
}

/* So many reads may wait behind a write, and are answered together. */
static uint32_t
output_bytes_default(const struct config *config)
{
	const int64_t bytes = 64 * (int64_t)config->frame_bytes_max;
	const int64_t most = bytes < INT32_MAX ? bytes : INT32_MAX;

	return (uint32_t)(most > 64 << 20 ? most : 64 << 20);
}

static void
settle_sizes(struct config *config)
{
	if (config->output_bytes_max == 0)
		config->output_bytes_max = output_bytes_default(config);
	if (config->frame_extra_bytes == -1)
		config->frame_extra_bytes = config->frame_bytes_max;
	if (config->frame_extra_bytes < 1024)
		config->frame_extra_bytes = 1024;
	if (config->tree_bytes_max == 0)
		config->tree_bytes_max = tree_bytes_default();
	if (config->connect_limit_ticks == 0)
		config->connect_limit_ticks = config->init_limit_ticks;
}

/* The window is addressed by a mask (store/window.h). */
static int
check_window(struct config_reading *reading)
{
	const uint32_t mb = reading->config->window_mb;

	if ((mb & (mb - 1)) != 0)
		return config_fail(reading,
				   "falconer.window.mb=%" PRIu32
				   ": allowed: 64, 128, "
				   "256, 512, 1024",
				   mb);
	return FAL_OK;
}

static int
settle_and_check(struct config *config, const char *path,
		 struct config_error *error)
{
	struct config_reading reading = {
		.config = config, .error = error, .file = path};
	int err;

	if ((err = settle_mode(&reading)) != FAL_OK ||
	    (err = settle_own_server(&reading)) != FAL_OK ||
	    (err = settle_timeouts(&reading)) != FAL_OK ||
	    (err = check_window(&reading)) != FAL_OK ||
	    (err = config_check_ensemble(&reading)) != FAL_OK)
		return err;
	settle_sizes(config);
	if (config->client_port == 0 && config->client_address != NULL)
		return config_fail(&reading,
				   "clientPortAddress needs clientPort");
	if (config->client_port == 0)
		return config_fail(&reading,
				   "clientPort is not set, usually 2181%s",
				   config->is_standalone
					   ? ""
					   : ", nor a client port behind the ; "
					     "of this server's line");
	if (config->enforce_auth_enabled &&
	    config->enforce_auth_schemes[strspn(config->enforce_auth_schemes,
						" ,")] == '\0')
		return config_fail(&reading, "enforce.auth.enabled=true needs "
					     "enforce.auth.schemes");
	return FAL_OK;
}

static int
read_all(const char *path, struct config *config, struct config_error *error)
{
	const struct config_reading reading = {
		.config = config, .error = error, .file = path};
	int err;

	config_set_defaults(config);
	config->purge_interval_ms = 0;
	if ((err = keep_file_path(config, path, error)) != FAL_OK ||
	    (err = load_properties(path, &config->properties, error)) !=
		    FAL_OK ||
	    (err = read_flags(config, error)) != FAL_OK ||
	    (err = read_lines(config, path, error)) != FAL_OK)
		return err;
	if (config->data_dir == NULL)
		return config_fail(&reading, "dataDir is not set");
	if (config->data_log_dir == NULL)
		config->data_log_dir = config->data_dir;
	if ((err = read_ensemble(config, path, error)) != FAL_OK ||
	    (err = read_myid(config, error)) != FAL_OK)
		return err;
	return settle_and_check(config, path, error);
}

int
config_read(const char *path, struct config *config, struct config_error *error)
{
	return config_read_with(path, NULL, 0, config, error);
}

int
config_read_with(const char *path, const char *const *flags, uint32_t count,
		 struct config *config, struct config_error *error)
{
	memset(config, 0, sizeof(*config));
	memset(error, 0, sizeof(*error));
	int err = keep_flags(config, flags, count);

	if (err == FAL_OK)
		err = read_all(path, config, error);
	if (err == FAL_ENOMEM)
		snprintf(error->text, sizeof(error->text), "%.300s: %s", path,
			 fal_err_str(err));
	if (err != FAL_OK)
		config_free(config);
	return err;
}

static bool
has_strange_scheme(const char *schemes)
{
	for (const char *at = schemes; *at != 0;) {
		const size_t bytes = strcspn(at, ", ");

		if (bytes > 0 && strncmp(at, "digest", bytes) != 0 &&
		    strncmp(at, "ip", bytes) != 0)
			return true;
		at += bytes;
		at += strspn(at, ", ");
	}
	return false;
}

/* What the fields can say and nobody does yet. When a part is built, its line
 * here goes. */
static const char *
missing_part(const struct config *config)
{
	const struct {
		bool is_wanted;
		const char *what;
	} parts[] = {
		{config->enforce_auth_enabled &&
			 has_strange_scheme(config->enforce_auth_schemes),
		 "enforce.auth.schemes: needs a provider for a scheme other "
		 "than digest and ip"},
		{config->emulate_353_ttl_nodes,
		 "emulate353TTLNodes=true: needs TTL nodes of 3.5.3"},
		{config->hugepages == CONFIG_HUGEPAGES_REQUIRED &&
			 config->dataplane == CONFIG_DATAPLANE_KERNEL,
		 "falconer.hugepages=required: needs huge pages without "
		 "falconer.dataplane=dpdk"},
	};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (parts[i].is_wanted)
			return parts[i].what;
	return NULL;
}

int
config_require_supported(const struct config *config,
			 struct config_error *error)
{
	const char *missing = missing_part(config);

	memset(error, 0, sizeof(*error));
	if (config->refusal != NULL)
		snprintf(error->text, sizeof(error->text), "%s",
			 config->refusal);
	else if (missing != NULL)
		snprintf(error->text, sizeof(error->text),
			 "%.300s: %s, which this server does not have",
			 config->path, missing);
	else
		return FAL_OK;
	return FAL_ENOTSUP;
}

int
config_load(const char *path, const char *const *flags, uint32_t count,
	    struct config *config, struct config_error *error)
{
	int err = config_read_with(path, flags, count, config, error);

	if (err != FAL_OK)
		return err;
	err = config_require_supported(config, error);
	if (err != FAL_OK)
		config_free(config);
	return err;
}

void
config_free(struct config *config)
{
	while (config->block != NULL) {
		struct config_block *block = config->block;

		config->block = block->next;
		free(block);
	}
	free(config->warning);
	free(config->flag);
	free(config->server);
	properties_free(&config->properties);
	memset(config, 0, sizeof(*config));
}

bool
config_word_allowed(const struct config *config, const char *word)
{
	if (config->words_all || memcmp(word, "srvr", 4) == 0)
		return true;
	if (config->readonly_mode_enabled && memcmp(word, "isro", 4) == 0)
		return true;
	for (uint32_t i = 0; i < config->word_count; i++)
		if (memcmp(config->word[i], word, 4) == 0)
			return true;
	return false;
}

int64_t
config_voter_share(const struct config *config, int64_t limit)
{
	const uint32_t voters = count_voters(config);
	int64_t share = limit;

	if (!config->is_standalone && voters > 2 &&
	    config->peer_type == CONFIG_PARTICIPANT)
		share /= voters - 1;
	return share < 1 ? 1 : share;
}

uint32_t
config_ticks_ms(const struct config *config, int32_t ticks)
{
	const uint64_t ms = (uint64_t)ticks * (uint64_t)config->tick_ms;

	FAL_ASSERT(ticks >= 0 && config->tick_ms > 0);
	return ms < INT32_MAX ? (uint32_t)ms : INT32_MAX;
}

bool
config_is_written(const struct config *config, const char *key)
{
	char prefixed[128];

	snprintf(prefixed, sizeof(prefixed), "zookeeper.%s", key);
	for (uint32_t i = 0; i < config->flag_count; i++)
		if (strcmp(config->flag[i].key, key) == 0 ||
		    strcmp(config->flag[i].key, prefixed) == 0)
			return true;
	return properties_find(&config->properties, key) != NULL ||
	       properties_find(&config->properties, prefixed) != NULL;
}
