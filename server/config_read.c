/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_read - one line of zoo.cfg into one field of struct config.
 *
 * config_keys.def becomes a table: name, kind, place of the field, default and
 * range. A kind is a function that turns a text into the field; keys with a
 * syntax of their own have a function each. The type of a field is checked
 * against the kind by the compiler (OFFSET below).
 */
#include "server/config_reading.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum key_kind {
	KIND_INT,
	KIND_RAISED,
	KIND_SIZE,
	KIND_REAL,
	KIND_BOOL,
	KIND_YESNO,
	KIND_ENUM,
	KIND_TEXT,
	KIND_PATH,
	KIND_URL,
	KIND_SPECIAL,
	KIND_IGNORED,
	KIND_REFUSED,
};

enum key_scope {
	SCOPE_DIRECT,
	SCOPE_SYSTEM,
};

/* 146 years. */
#define PURGE_INTERVAL_MS_MAX (INT64_MAX / 2000000)

/* As in the kernel's cpu_set_t. */
#define CPU_NUMBERS 1024

typedef int (*special_fn)(const struct config_reading *reading);

struct config_key {
	const char *name;
	enum key_kind kind;
	enum key_scope scope;
	size_t offset; /* of the field */
	size_t bytes;  /* of an integer field */
	int64_t preset, lowest, highest;
	double real_preset, real_lowest, real_highest;
	const char *text; /* default, choices, or what switches it off */
	const char *need; /* of a refused key */
	special_fn special;
};

static int
read_purge_interval(const struct config_reading *reading)
{
	static const struct {
		const char *suffix;
		int64_t ms;
	} units[] = {
		{"", 3600000}, {"ms", 1},      {"s", 1000},
		{"m", 60000},  {"h", 3600000}, {"d", 86400000},
	};
	const char *text = reading->property->value;
	const char *value = text + (*text == '-' || *text == '+');
	const size_t digits = strspn(value, "0123456789");
	char number_text[20] = "";
	int64_t number;

	if (digits < sizeof(number_text))
		memcpy(number_text, value, digits);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcasecmp(value + digits, units[i].suffix) != 0 ||
		    !config_parse_number(number_text, false, &number) ||
		    number > INT64_MAX / units[i].ms)
			continue;
		/* Below 0 is off, too. */
		number = *text == '-' ? 0 : number * units[i].ms;
		/* It is counted in ns, and "never" in hours is more. */
		reading->config->purge_interval_ms =
			number < PURGE_INTERVAL_MS_MAX ? number
						       : PURGE_INTERVAL_MS_MAX;
		return FAL_OK;
	}
	return config_fail(reading, "allowed: hours, or a number followed by "
				    "ms, s, m, h or d; 0 is off");
}

static int
read_metrics_provider(const struct config_reading *reading)
{
#define METRICS "org.apache.zookeeper.metrics."
	const char *value = reading->property->value;

	reading->config->metrics_enabled = false;
	if (strcmp(value, METRICS "impl.DefaultMetricsProvider") == 0 ||
	    strcmp(value, METRICS "impl.NullMetricsProvider") == 0)
		return FAL_OK;
	if (strcmp(value, METRICS "prometheus.PrometheusMetricsProvider") ==
	    0) {
		reading->config->metrics_enabled = true;
		return FAL_OK;
	}
#undef METRICS
	return config_warn(reading, "unknown class, only mntr shows metrics");
}

static int
read_word_whitelist(const struct config_reading *reading)
{
	struct config *config = reading->config;
	const char *at = reading->property->value;

	config->word_count = 0;
	config->words_all = false;
	while (*at != '\0') {
		const size_t blanks = strspn(at, " \t,");
		const size_t bytes = strcspn(at + blanks, " \t,");

		at += blanks;
		if (bytes == 1 && *at == '*') {
			config->words_all = true;
		} else if (bytes == 4) {
			if (config->word_count == CONFIG_WORDS_MAX)
				return config_fail(reading,
						   "allowed: at most %u words",
						   CONFIG_WORDS_MAX);
			memcpy(config->word[config->word_count++], at, 4);
		} else if (bytes > 0) {
			return config_fail(reading,
					   "\"%.*s\" is not a four-letter "
					   "word; allowed: a list like "
					   "srvr,ruok, or *",
					   (int)bytes, at);
		}
		at += bytes;
	}
	return FAL_OK;
}

static int
read_auth_provider(const struct config_reading *reading)
{
	static const char package[] = "org.apache.zookeeper.server.auth.";
	const char *class = reading->property->value;

	if (strncmp(class, package, sizeof(package) - 1) == 0) {
		class += sizeof(package) - 1;
		if (strcmp(class, "DigestAuthenticationProvider") == 0 ||
		    strcmp(class, "IPAuthenticationProvider") == 0)
			return FAL_OK; /* always there */
		if (strcmp(class, "EnsembleAuthenticationProvider") == 0) {
			reading->config->auth_ensemble_enabled = true;
			return FAL_OK;
		}
		if (strcmp(class, "SASLAuthenticationProvider") == 0)
			return config_refuse(reading, "SASL");
		if (strncmp(class, "X509", 4) == 0)
			return config_refuse(reading, "TLS");
	}
	return config_warn(reading, "unknown class, its scheme is missing");
}

static int
read_connection_factory(const struct config_reading *reading)
{
	const char *value = reading->property->value;
	static const char package[] = "org.apache.zookeeper.server.";

	if (strncmp(value, package, sizeof(package) - 1) == 0 &&
	    (strcmp(value + sizeof(package) - 1, "NIOServerCnxnFactory") == 0 ||
	     strcmp(value + sizeof(package) - 1, "NettyServerCnxnFactory") ==
		     0))
		return FAL_OK; /* one network layer serves for both */
	return config_warn(reading, "unknown class, ignored");
}

/* A cpu number at *at, which moves behind it; -1: there is none. */
static int
take_cpu(const char **at)
{
	const size_t digits = strspn(*at, "0123456789");
	int cpu = 0;

	for (size_t i = 0; i < digits; i++) {
		cpu = cpu * 10 + (*at)[i] - '0';
		if (cpu >= CPU_NUMBERS)
			return -1;
	}
	*at += digits;
	return digits > 0 ? cpu : -1;
}

static bool
add_cpu(struct config *config, int cpu)
{
	for (uint32_t i = 0; i < config->cpu_count; i++)
		if (config->cpu[i] == cpu)
			return false;
	if (config->cpu_count == CONFIG_CPUS_MAX)
		return false;
	config->cpu[config->cpu_count++] = (uint16_t)cpu;
	return true;
}

/* "0,2-5": cpus in the order given. */
static int
read_cpus(const struct config_reading *reading)
{
	const char *at = reading->property->value;
	bool is_good;

	reading->config->cpu_count = 0;
	do {
		const int first = take_cpu(&at);
		int last = first;

		if (*at == '-') {
			at++;
			last = take_cpu(&at);
		}
		is_good = first >= 0 && last >= first;
		for (int cpu = first; is_good && cpu <= last; cpu++)
			is_good = add_cpu(reading->config, cpu);
		is_good = is_good && (*at == ',' || *at == '\0');
	} while (is_good && *at++ == ',');
	if (is_good)
		return FAL_OK;
	return config_fail(reading,
			   "allowed: a list like 0,2-5 of at most %u cpus, "
			   "0..%d, each once",
			   CONFIG_CPUS_MAX, CPU_NUMBERS - 1);
}

/* A zxid as messages write it: 0x.., or without the prefix. */
static int
read_recover_until(const struct config_reading *reading)
{
	const char *text = reading->property->value;
	char *end = NULL;

	errno = 0;
	reading->config->recover_until = strtoull(text, &end, 16);
	if (errno == 0 && end != text && *end == '\0' && text[0] != '-' &&
	    reading->config->recover_until <= INT64_MAX)
		return FAL_OK;
	return config_fail(reading, "allowed: a hexadecimal zxid like "
				    "0x10000002a");
}

/* The place of a field whose type the key's kind can write. */
#define FIELD_(field) ((struct config *)0)->field
#define OFFSET(type, field) \
	_Generic(&FIELD_(field), type * : offsetof(struct config, field))
#define OFFSET_INT(field)                                   \
	_Generic(FIELD_(field), int32_t                     \
		 : offsetof(struct config, field), uint32_t \
		 : offsetof(struct config, field), int64_t  \
		 : offsetof(struct config, field), uint64_t \
		 : offsetof(struct config, field))

static const struct config_key keys[] = {
#define ENTRY(scope_, name_, kind_) \
	.name = (name_), .kind = (kind_), .scope = SCOPE_##scope_
#define NUMBER(scope, key, kind, field, preset_, low, high) \
	{ENTRY(scope, key, kind),                           \
	 .offset = OFFSET_INT(field),                       \
	 .bytes = sizeof(FIELD_(field)),                    \
	 .preset = (preset_),                               \
	 .lowest = (low),                                   \
	 .highest = (high)},
#define INT(scope, key, field, preset, low, high) \
	NUMBER(scope, key, KIND_INT, field, preset, low, high)
#define RAISED(scope, key, field, preset, low) \
	NUMBER(scope, key, KIND_RAISED, field, preset, low, INT32_MAX)
#define SIZE(scope, key, field, preset, low, high) \
	NUMBER(scope, key, KIND_SIZE, field, preset, low, high)
#define REAL(scope, key, field, preset_, low, high)                     \
	{ENTRY(scope, key, KIND_REAL), .offset = OFFSET(double, field), \
	 .real_preset = (preset_), .real_lowest = (low),                \
	 .real_highest = (high)},
#define BOOL(scope, key, field, preset_)                              \
	{ENTRY(scope, key, KIND_BOOL), .offset = OFFSET(bool, field), \
	 .preset = (preset_)},
#define YESNO(scope, key, field, preset_)                              \
	{ENTRY(scope, key, KIND_YESNO), .offset = OFFSET(bool, field), \
	 .preset = (preset_)},
#define ENUM(scope, key, field, preset_, choices)                   \
	{ENTRY(scope, key, KIND_ENUM), .offset = OFFSET_INT(field), \
	 .bytes = sizeof(FIELD_(field)), .preset = (preset_),       \
	 .text = (choices)},
#define TEXT(scope, key, field, preset_)                                      \
	{ENTRY(scope, key, KIND_TEXT), .offset = OFFSET(const char *, field), \
	 .text = (preset_)},
#define PATH(scope, key, field) \
	{ENTRY(scope, key, KIND_PATH), .offset = OFFSET(const char *, field)},
#define URL(scope, key, field, preset_)                                      \
	{ENTRY(scope, key, KIND_URL), .offset = OFFSET(const char *, field), \
	 .text = (preset_)},
#define SPECIAL(scope, key, function) \
	{ENTRY(scope, key, KIND_SPECIAL), .special = (function)},
#define IGNORED(scope, key) {ENTRY(scope, key, KIND_IGNORED)},
#define REFUSED(scope, key, off, need_) \
	{ENTRY(scope, key, KIND_REFUSED), .text = (off), .need = (need_)},
#include "server/config_keys.def"
#undef INT
#undef RAISED
#undef SIZE
#undef REAL
#undef BOOL
#undef YESNO
#undef ENUM
#undef TEXT
#undef PATH
#undef URL
#undef SPECIAL
#undef IGNORED
#undef REFUSED
};

#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

static void *
field_of(struct config *config, const struct config_key *key)
{
	return (char *)config + key->offset;
}

static void
store_number(struct config *config, const struct config_key *key,
	     int64_t number)
{
	/* The range was checked; on little-endian machines the low bytes are
	 * the number in the field's own width, signed or not. */
	FAL_ASSERT(key->bytes == 4 || key->bytes == 8);
	memcpy(field_of(config, key), &number, key->bytes);
}

bool
config_parse_number(const char *text, bool is_property, int64_t *number)
{
	const char *digits = text + (*text == '-' || *text == '+');
	const bool is_hex = is_property && digits[0] == '0' &&
			    (digits[1] == 'x' || digits[1] == 'X');
	const char *allowed = is_hex ? "0123456789abcdefABCDEF" : "0123456789";
	char *end;

	if (is_hex)
		digits += 2;
	if (*digits == '\0' || digits[strspn(digits, allowed)] != '\0')
		return false;
	if (is_property && !is_hex && digits[0] == '0' && digits[1] != '\0')
		return false;
	errno = 0;
	*number = strtoll(text, &end, is_hex ? 16 : 10);
	return errno == 0 && *end == '\0';
}

static int
read_int(const struct config_reading *reading, const struct config_key *key)
{
	int64_t number;

	if (!config_parse_number(reading->property->value,
				 key->scope == SCOPE_SYSTEM, &number) ||
	    number < key->lowest || number > key->highest)
		return config_fail(reading,
				   "allowed: a whole number, %" PRId64
				   "..%" PRId64,
				   key->lowest, key->highest);
	store_number(reading->config, key, number);
	return FAL_OK;
}

static int
read_raised(const struct config_reading *reading, const struct config_key *key)
{
	int64_t number;

	if (!config_parse_number(reading->property->value,
				 key->scope == SCOPE_SYSTEM, &number) ||
	    number >= key->lowest)
		return read_int(reading, key);
	store_number(reading->config, key, key->lowest);
	return config_warn(reading, "%" PRId64 " is the least, and taken",
			   key->lowest);
}

static int
read_size(const struct config_reading *reading, const struct config_key *key)
{
	static const char suffixes[] = "kmg";
	char digits[24];
	int64_t number;
	const size_t bytes = strlen(reading->property->value);
	int shift = 0;

	if (bytes > 0 && bytes < sizeof(digits)) {
		const char last = reading->property->value[bytes - 1];
		const char *unit = strchr(suffixes, last >= 'A' && last <= 'Z'
							    ? last - 'A' + 'a'
							    : last);

		memcpy(digits, reading->property->value, bytes + 1);
		if (unit != NULL) {
			digits[bytes - 1] = '\0';
			shift = 10 * (int)(unit - suffixes + 1);
		}
		if (config_parse_number(digits, false, &number) &&
		    number >= 0 && number <= key->highest >> shift &&
		    number << shift >= key->lowest) {
			store_number(reading->config, key, number << shift);
			return FAL_OK;
		}
	}
	return config_fail(reading,
			   "allowed: bytes, or a number followed by k, m or g, "
			   "of %" PRId64 "..%" PRId64 " bytes",
			   key->lowest, key->highest);
}

static int
read_real(const struct config_reading *reading, const struct config_key *key)
{
	const char *value = reading->property->value;
	char *end;
	const double number = strtod(value, &end);

	if (end == value || *end != '\0' || !isfinite(number) ||
	    number < key->real_lowest || number > key->real_highest)
		return config_fail(reading, "allowed: a number, %g..%g",
				   key->real_lowest, key->real_highest);
	memcpy(field_of(reading->config, key), &number, sizeof(number));
	return FAL_OK;
}

static int
read_bool(const struct config_reading *reading, const struct config_key *key,
	  const char *yes, const char *no)
{
	const char *value = reading->property->value;
	const bool is_yes = strcasecmp(value, yes) == 0;

	if (!is_yes && strcasecmp(value, no) != 0)
		return config_fail(reading, "allowed: %s or %s", yes, no);
	memcpy(field_of(reading->config, key), &is_yes, sizeof(is_yes));
	return FAL_OK;
}

static int
read_enum(const struct config_reading *reading, const struct config_key *key)
{
	const char *value = reading->property->value;
	const size_t bytes = strlen(value);
	const char *at = key->text;

	for (int64_t choice = 0;; choice++) {
		const size_t length = strcspn(at, "|");

		if (length == bytes && strncasecmp(at, value, bytes) == 0) {
			store_number(reading->config, key, choice);
			return FAL_OK;
		}
		if (at[length] == '\0')
			break;
		at += length + 1;
	}
	return config_fail(reading, "allowed: one of %s", key->text);
}

static int
read_text(const struct config_reading *reading, const struct config_key *key)
{
	const char *written = reading->property->value;
	const char *value = written;
	const size_t bytes = strlen(value);

	if (key->kind == KIND_URL &&
	    (value[0] != '/' || value[bytes - 1] == '/'))
		return config_fail(reading, "allowed: a path like %s",
				   key->text);
	if (key->kind == KIND_PATH) {
		if (*value == '\0' || bytes >= PATH_MAX)
			return config_fail(reading,
					   "allowed: a path, at most %d bytes",
					   PATH_MAX - 1);
		value = config_keep_path(reading->config, value);
		if (value == NULL)
			return FAL_ENOMEM;
	}
	memcpy(field_of(reading->config, key), &value, sizeof(value));
	if (key->kind == KIND_PATH && strchr("./", written[0]) == NULL)
		return config_warn(reading,
				   "taken from the folder of this "
				   "file: %s; write ./%s if that is "
				   "meant",
				   value, written);
	return FAL_OK;
}

static int
read_by_kind(const struct config_reading *reading, const struct config_key *key)
{
	switch (key->kind) {
	case KIND_INT:
		return read_int(reading, key);
	case KIND_RAISED:
		return read_raised(reading, key);
	case KIND_SIZE:
		return read_size(reading, key);
	case KIND_REAL:
		return read_real(reading, key);
	case KIND_BOOL:
		return read_bool(reading, key, "true", "false");
	case KIND_YESNO:
		return read_bool(reading, key, "yes", "no");
	case KIND_ENUM:
		return read_enum(reading, key);
	case KIND_TEXT:
	case KIND_PATH:
	case KIND_URL:
		return read_text(reading, key);
	case KIND_SPECIAL:
		return key->special(reading);
	case KIND_IGNORED:
		return FAL_OK;
	case KIND_REFUSED:
		if (key->text != NULL &&
		    strcasecmp(key->text, reading->property->value) == 0)
			return FAL_OK;
		return config_refuse(reading, key->need);
	}
	fal_panic(__FILE__, __LINE__, "key kind out of range");
}

/* The key's row: the exact name, else the longest `.*` row; NULL: unknown. */
static const struct config_key *
find_key(const char *name)
{
	static const char prefix[] = "zookeeper.";
	const bool has_prefix = strncmp(name, prefix, sizeof(prefix) - 1) == 0;
	const struct config_key *found = NULL;
	size_t found_bytes = 0;

	if (has_prefix)
		name += sizeof(prefix) - 1;
	for (size_t i = 0; i < KEY_COUNT; i++) {
		const size_t bytes = strlen(keys[i].name);

		if (has_prefix && keys[i].scope != SCOPE_SYSTEM)
			continue;
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
		if (keys[i].name[bytes - 1] == '*' && bytes > found_bytes &&
		    strncmp(keys[i].name, name, bytes - 1) == 0) {
			found = &keys[i];
			found_bytes = bytes;
		}
	}
	return found;
}

void
config_set_defaults(struct config *config)
{
	for (size_t i = 0; i < KEY_COUNT; i++) {
		const struct config_key *key = &keys[i];
		const bool is_on = key->preset != 0;

		if (key->kind == KIND_INT || key->kind == KIND_RAISED ||
		    key->kind == KIND_SIZE || key->kind == KIND_ENUM)
			store_number(config, key, key->preset);
		else if (key->kind == KIND_REAL)
			memcpy(field_of(config, key), &key->real_preset,
			       sizeof(key->real_preset));
		else if (key->kind == KIND_BOOL || key->kind == KIND_YESNO)
			memcpy(field_of(config, key), &is_on, sizeof(is_on));
		else if (key->kind == KIND_TEXT || key->kind == KIND_PATH ||
			 key->kind == KIND_URL)
			memcpy(field_of(config, key), &key->text,
			       sizeof(key->text));
	}
}

/* The key that differs from `name` in capital and small letters only; NULL:
 * none. */
static const char *
find_other_case(const char *name)
{
	for (size_t i = 0; i < KEY_COUNT; i++)
		if (strcasecmp(keys[i].name, name) == 0)
			return keys[i].name;
	return NULL;
}

int
config_read_key(const struct config_reading *reading)
{
	const char *name = reading->property->key;
	const struct config_key *key = find_key(name);
	const char *meant = key == NULL ? find_other_case(name) : NULL;

	if (meant != NULL)
		return config_warn(reading,
				   "unknown key, ignored: it is "
				   "written %s",
				   meant);
	if (key == NULL)
		return config_warn(reading, "unknown key, ignored");
	return read_by_kind(reading, key);
}

int
config_read_flag(const struct config_reading *reading)
{
	const char *name = reading->property->key;
	const struct config_key *key = find_key(name);

	if (key != NULL && key->scope == SCOPE_DIRECT &&
	    key->kind != KIND_IGNORED)
		return config_warn(reading, "no system property, ignored: it "
					    "belongs into the file");
	return config_read_key(reading);
}

bool
config_is_direct_key(const char *name)
{
	const struct config_key *key = find_key(name);

	return key != NULL && key->scope == SCOPE_DIRECT;
}
