/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ensemble_config - the core knows configurations as struct quorum, peers and
 * files as text. Three texts are kept: the active one, the next one, and what
 * the step under way brought.
 *
 * A text ends with "version=<hex>". The first leader ever gives the static
 * configuration a version; then the text is the same but for that line.
 */
#include "dataplane/ensemble_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum text_place {
	TEXT_ACTIVE,
	TEXT_NEXT,
	TEXT_SEEN,
};

#define VERSION_KEY "version="

static void
keep_text(struct config_text *to, int64_t version, const void *text,
	  size_t bytes)
{
	FAL_ASSERT(bytes < sizeof(to->text));
	to->version = version;
	to->bytes = (uint32_t)bytes;
	memmove(to->text, text, bytes);
	to->text[bytes] = 0;
}

void
ensemble_config_init(struct ensemble *ensemble,
		     const struct zab_disk_state *disk, const char *text,
		     const char *next_text)
{
	for (uint32_t i = 0; i < ENSEMBLE_TEXTS; i++)
		ensemble->text[i].version = -1;
	keep_text(&ensemble->text[TEXT_ACTIVE], disk->active->version, text,
		  strlen(text));
	if (disk->next != NULL)
		keep_text(&ensemble->text[TEXT_NEXT], disk->next->version,
			  next_text, strlen(next_text));
}

const struct quorum *
ensemble_config_seen(struct ensemble *ensemble, struct jute_slice text)
{
	if (ensemble->hooks.parse_config == NULL || text.bytes <= 0 ||
	    (uint32_t)text.bytes >= ENSEMBLE_CONFIG_BYTES_MAX ||
	    !ensemble->hooks.parse_config(ensemble->hooks.arg, text,
					  &ensemble->seen))
		return NULL;
	keep_text(&ensemble->text[TEXT_SEEN], ensemble->seen.version, text.data,
		  (size_t)text.bytes);
	return &ensemble->seen;
}

const struct quorum *
ensemble_config_of_entry(struct ensemble *ensemble, struct jute_slice bytes)
{
	struct txn_entry entry;

	if (txn_get_entry(bytes.data, (size_t)bytes.bytes, &entry) != 0)
		return NULL;
	return ensemble_config_seen(ensemble, entry.record.data);
}

/* The first configuration, whose counter is 0, is no transaction. */
const struct quorum *
ensemble_config_of_data(struct ensemble *ensemble)
{
	int64_t zxid = 0;
	const struct jute_slice text =
		zab_member_config(ensemble->parts.zab, &zxid);
	const struct quorum *found;

	if (text.bytes <= 0 || zab_counter(zxid) == 0 ||
	    zxid <= ensemble->text[TEXT_ACTIVE].version)
		return NULL;
	found = ensemble_config_seen(ensemble, text);
	if (found == NULL || found->version != zxid)
		return NULL;
	if (found->version > ensemble->text[TEXT_NEXT].version)
		keep_text(&ensemble->text[TEXT_NEXT], zxid, text.data,
			  (size_t)text.bytes);
	return found;
}

/* The same members under another version. */
static void
derive(struct ensemble *ensemble, const struct config_text *from,
       int64_t version)
{
	const char *key = NULL;

	for (const char *at = strstr(from->text, VERSION_KEY); at != NULL;
	     at = strstr(at + 1, VERSION_KEY))
		key = at;

	const size_t keep =
		key == NULL ? from->bytes : (size_t)(key - from->text);
	const int bytes = snprintf(ensemble->derived, ENSEMBLE_CONFIG_BYTES_MAX,
				   "%.*s" VERSION_KEY "%" PRIx64, (int)keep,
				   from->text, (uint64_t)version);

	FAL_ASSERT(bytes > 0 && bytes < (int)ENSEMBLE_CONFIG_BYTES_MAX);
	keep_text(&ensemble->text[TEXT_NEXT], version, ensemble->derived,
		  (size_t)bytes);
}

static struct config_text *
find_text(struct ensemble *ensemble, int64_t version)
{
	for (uint32_t i = 0; i < ENSEMBLE_TEXTS; i++)
		if (ensemble->text[i].version == version)
			return &ensemble->text[i];
	return NULL;
}

void
ensemble_config_persist(struct ensemble *ensemble, int64_t version)
{
	const struct store_port *store = &ensemble->parts.store;
	struct config_text *next = &ensemble->text[TEXT_NEXT];
	const struct config_text *found = find_text(ensemble, version);

	if (version == 0) {
		next->version = -1;
		store->persist_config(store->store, 0, NULL, 0);
		return;
	}
	if (found == NULL)
		derive(ensemble, &ensemble->text[TEXT_ACTIVE], version);
	else if (found != next)
		keep_text(next, version, found->text, found->bytes);
	store->persist_config(store->store, version, next->text, next->bytes);
}

/* Whoever is new is connected to, whoever is gone is forgotten. */
static void
follow_members(struct ensemble *ensemble, const struct quorum *before,
	       const struct quorum *now)
{
	const int64_t own = ensemble->options.core.sid;

	for (uint32_t i = 0; i < before->member_count; i++)
		if (quorum_find(now, before->member[i].sid) < 0)
			fle_net_drop(ensemble->fle, before->member[i].sid);
	for (uint32_t i = 0; i < now->member_count; i++)
		if (now->member[i].sid != own)
			fle_net_connect(ensemble->fle, now->member[i].sid);
}

void
ensemble_config_activate(struct ensemble *ensemble, int64_t version)
{
	const struct store_port *store = &ensemble->parts.store;
	struct config_text *active = &ensemble->text[TEXT_ACTIVE];
	const struct config_text *found = find_text(ensemble, version);
	const struct quorum *now = zab_config(ensemble->core);

	/* Only what was seen or persisted here can become active. */
	FAL_ASSERT(found != NULL);
	if (found != active)
		keep_text(active, version, found->text, found->bytes);
	/* The next one may be proposed already. */
	if (ensemble->text[TEXT_NEXT].version <= version)
		ensemble->text[TEXT_NEXT].version = -1;
	store->activate_config(store->store, version, active->text,
			       active->bytes);
	/* A reconfig's transaction writes the config node; the static
	 * configuration gets its version without one. */
	ensemble->must_patch |=
		ensemble->hooks.on_restored != NULL &&
		zab_counter(version) == 0 &&
		zab_member_mode(ensemble->parts.zab) == ZAB_CLOSED;
	follow_members(ensemble, &ensemble->members, now);
	ensemble->members = *now;
	ensemble->is_status_old = true;
	if (ensemble->hooks.on_config != NULL)
		ensemble->hooks.on_config(ensemble->hooks.arg, now,
					  active->text, active->bytes);
}

bool
ensemble_poll_patch(struct ensemble *ensemble)
{
	if (FAL_LIKELY(!ensemble->must_patch) || ensemble->lend != LEND_NOTHING)
		return false;
	if (zab_member_mode(ensemble->parts.zab) != ZAB_CLOSED) {
		/* Serves already: the next start writes it. */
		ensemble->must_patch = false;
		return false;
	}
	zab_member_park(ensemble->parts.zab);
	if (!zab_member_is_alone(ensemble->parts.zab))
		return false;
	ensemble->must_patch = false;
	ensemble->hooks.on_restored(ensemble->hooks.arg);
	zab_member_unpark(ensemble->parts.zab);
	ensemble_serve_if_ready(ensemble);
	return true;
}

/* Everything that can be wrong with it but the right to ask for it, in
 * ZooKeeper's order. */
int32_t
ensemble_reconfigure(void *arg, const uint8_t *body, uint32_t body_bytes,
		     struct jute_slice *config)
{
	struct ensemble *ensemble = arg;
	struct jute_reader reader = jute_reader_of(body, body_bytes);
	const struct config_text *active = &ensemble->text[TEXT_ACTIVE];
	struct proto_reconfig_request asked;
	int64_t zxid;
	int32_t err;

	/* It is proposed alone, and the core is asked whether it may be. */
	ensemble_burst_step(ensemble);
	zxid = zab_next_zxid(ensemble->core, NULL);
	ensemble->proposing = NULL;
	*config = (struct jute_slice){.bytes = -1};
	if (ensemble->hooks.compose_config == NULL)
		return ZK_UNIMPLEMENTED;
	if (zab_next_config(ensemble->core) != NULL)
		return ZK_RECONFIGINPROGRESS;
	if (proto_get_reconfig(&reader, &asked) != 0)
		return ZK_MARSHALLINGERROR;
	if (asked.cur_config_id != -1 && asked.cur_config_id != active->version)
		return ZK_BADVERSION;
	err = ensemble->hooks.compose_config(
		ensemble->hooks.arg, jute_slice_of(active->text, active->bytes),
		body, body_bytes, zxid, ensemble->derived);
	if (err != ZK_OK)
		return err;
	*config = jute_slice_of(ensemble->derived, strlen(ensemble->derived));
	ensemble->proposing = ensemble_config_seen(ensemble, *config);
	if (ensemble->proposing == NULL)
		return ZK_BADARGUMENTS;
	if (zab_next_zxid(ensemble->core, ensemble->proposing) == 0)
		return ZK_NEWCONFIGNOQUORUM;
	return ZK_OK;
}

struct jute_slice
ensemble_config_text(struct ensemble *ensemble, int64_t version)
{
	const struct config_text *found = find_text(ensemble, version);

	if (found == NULL)
		found = &ensemble->text[TEXT_ACTIVE];
	return jute_slice_of(found->text, found->bytes);
}

struct jute_slice
ensemble_config_active(const struct ensemble *ensemble)
{
	const struct config_text *active = &ensemble->text[TEXT_ACTIVE];

	return jute_slice_of(active->text, active->bytes);
}
