/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    ACL lists and identities mean what they mean upstream: which lists
 *         are accepted and how they are written back, who passes which list,
 *         what an auth packet adds, what getACL and whoAmI show.
 * Method  tables of the cases of client-protocol.md section 8 (with the two
 *         digests measured there), text that is not normal UTF-8, and lists
 *         long enough for the hash table beside a pairwise model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prep_world.h"
#include "znode/acl_ip.h"
#include "znode/text.h"

#define BOB_ID   "bob:ikIaKsbtGweaHnb/jKn7OHqbunM="
#define SUPER_ID "super:D/InIHSb7yEEbrWz8b9l71RjZJU="

static const struct acl_options usual = {.is_digest_enabled = true};

static struct jute_slice
slice_of(const char *text)
{
	if (text == NULL)
		return (struct jute_slice){.bytes = -1};
	return jute_slice_of(text, strlen(text));
}

/* Encodes entries; the vector points into `memory`. */
static struct jute_vector
encode(const struct proto_acl *acl, int32_t count, uint8_t *memory,
       size_t bytes)
{
	struct jute_writer writer = jute_writer_of(memory, bytes);

	for (int32_t i = 0; i < count; i++)
		proto_put_acl(&writer, &acl[i]);
	assert_false(writer.is_full);
	return (struct jute_vector){.data = memory,
				    .count = count,
				    .bytes = (uint32_t)jute_written(&writer)};
}

static bool
permits(const struct proto_acl *acl, int32_t count, const struct auth_ids *ids,
	int32_t perms)
{
	uint8_t memory[4096];
	const struct acl_list list = {
		.entries = encode(acl, count, memory, sizeof(memory))};

	return acl_permits(&list, ids, perms);
}

static struct auth_ids *
with_digest(const struct acl_options *options, const char *auth)
{
	struct auth_ids *fresh = auth_ids_new(options, "10.0.0.7");
	struct auth_ids *out = NULL;
	const struct proto_auth_request request = {.scheme = slice_of("digest"),
						   .auth = slice_of(auth)};

	assert_non_null(fresh);
	assert_int_equal(auth_ids_add(options, fresh, &request, &out), ZK_OK);
	auth_ids_free(fresh);
	return out;
}

/* Has the list exactly this identity at that place? */
static void
assert_identity(const struct auth_ids *ids, uint32_t index, const char *scheme,
		const char *id)
{
	assert_true(index < ids->count);
	assert_true(jute_slice_equal(ids->id[index].scheme, slice_of(scheme)));
	assert_true(jute_slice_equal(ids->id[index].id, slice_of(id)));
}

static void
a_digest_is_user_and_base64_of_sha1(void **state)
{
	(void)state;
	struct auth_ids *ids = with_digest(&usual, "bob:pw");

	assert_int_equal(ids->count, 2);
	assert_identity(ids, 0, "ip", "10.0.0.7");
	assert_identity(ids, 1, "digest", BOB_ID);
	assert_false(ids->is_super);
	auth_ids_free(ids);
	/* Without a colon the hash covers the whole text. */
	ids = with_digest(&usual, "bob");
	assert_int_equal(ids->id[1].id.bytes, 3 + 1 + 28);
	assert_memory_equal(ids->id[1].id.data, "bob:", 4);
	auth_ids_free(ids);
	ids = with_digest(&usual, "");
	assert_identity(ids, 1, "digest", ":2jmj7l5rSw0yVb/vlWAYkK/YBwk=");
	auth_ids_free(ids);
}

static void
the_super_digest_makes_a_superuser(void **state)
{
	(void)state;
	const struct acl_options options = {.is_digest_enabled = true,
					    .super_digest = SUPER_ID};
	struct auth_ids *ids = with_digest(&options, "super:test");

	assert_int_equal(ids->count, 3);
	assert_identity(ids, 1, "super", "");
	assert_identity(ids, 2, "digest", SUPER_ID);
	assert_true(ids->is_super);
	const struct proto_acl none = world_acl(PERM_ALL, "digest", BOB_ID);

	assert_true(permits(&none, 1, ids, PERM_ADMIN));
	auth_ids_free(ids);
	ids = with_digest(&options, "super:tesT");
	assert_false(ids->is_super);
	auth_ids_free(ids);
}

static void
other_hash_algorithms_are_taken_by_name(void **state)
{
	(void)state;
	const struct acl_options options = {.is_digest_enabled = true,
					    .digest_algorithm = "SHA-256"};
	struct auth_ids *ids = with_digest(&options, "bob:pw");

	assert_int_equal(ids->id[1].id.bytes, 4 + 44);
	auth_ids_free(ids);
}

static void
auth_packets_without_a_provider_fail(void **state)
{
	(void)state;
	const char *const schemes[] = {"world", "super", "auth", "sasl",
				       "x509",  "",      "nope", NULL};
	struct auth_ids *fresh = auth_ids_new(&usual, "1.2.3.4");
	struct auth_ids *out = NULL;

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		const struct proto_auth_request request = {
			.scheme = slice_of(schemes[i]),
			.auth = slice_of("a:b")};

		assert_int_equal(auth_ids_add(&usual, fresh, &request, &out),
				 ZK_AUTHFAILED);
	}
	struct proto_auth_request request = {.scheme = slice_of("digest"),
					     .auth = slice_of(NULL)};

	assert_int_equal(auth_ids_add(&usual, fresh, &request, &out),
			 ZK_AUTHFAILED);
	const struct acl_options off = {.is_digest_enabled = false};

	request.auth = slice_of("a:b");
	assert_int_equal(auth_ids_add(&off, fresh, &request, &out),
			 ZK_AUTHFAILED);
	const struct acl_options unknown = {.is_digest_enabled = true,
					    .digest_algorithm = "no-such"};

	assert_int_equal(auth_ids_add(&unknown, fresh, &request, &out),
			 ZK_AUTHFAILED);
	assert_null(out);
	/* Scheme ip takes anything and adds nothing. */
	request = (struct proto_auth_request){.scheme = slice_of("ip"),
					      .auth = slice_of(NULL)};
	assert_int_equal(auth_ids_add(&usual, fresh, &request, &out), ZK_OK);
	assert_int_equal(out->count, 1);
	auth_ids_free(out);
	auth_ids_free(fresh);
}

static void
identities_are_a_set_with_a_limit(void **state)
{
	(void)state;
	struct auth_ids *ids = auth_ids_new(&usual, "1.2.3.4");
	struct auth_ids *same =
		auth_ids_with(ids, slice_of("ip"), slice_of("1.2.3.4"));

	assert_int_equal(same->count, 1);
	auth_ids_free(same);
	for (uint32_t i = 0; i < 2 * AUTH_IDS_MAX; i++) {
		char id[16];

		snprintf(id, sizeof(id), "user%u", i / 2);
		struct auth_ids *more =
			auth_ids_with(ids, slice_of("sasl"), slice_of(id));

		if (i / 2 + 2 > AUTH_IDS_MAX) {
			assert_null(more);
			break;
		}
		assert_non_null(more);
		assert_int_equal(more->count, i / 2 + 2);
		auth_ids_free(ids);
		ids = more;
	}
	assert_int_equal(ids->count, AUTH_IDS_MAX);
	/* A full list still travels. */
	uint8_t memory[2048];
	struct jute_writer writer = jute_writer_of(memory, sizeof(memory));
	struct auth_ids *copy = NULL;

	auth_ids_put(&writer, ids);
	struct jute_reader reader =
		jute_reader_of(memory, jute_written(&writer));

	assert_int_equal(auth_ids_get(&usual, &reader, &copy), 0);
	assert_int_equal(copy->count, AUTH_IDS_MAX);
	auth_ids_free(copy);
	auth_ids_free(ids);
}

/* Else a connection that showed nothing but names keeps megabytes, and a
 * follower's request becomes one that its leader takes for no packet. */
static void
identities_of_a_connection_have_a_limit_in_bytes(void **state)
{
	(void)state;
	static char text[AUTH_IDS_BYTES_MAX];
	struct auth_ids *ids = auth_ids_new(&usual, "1.2.3.4");
	struct auth_ids *more;

	for (uint32_t i = 0; i < 3; i++) {
		memset(text, 'a' + (int)i, 16384);
		more = auth_ids_with(ids, slice_of("sasl"),
				     jute_slice_of(text, 16384));
		assert_non_null(more);
		auth_ids_free(ids);
		ids = more;
	}
	memset(text, 'z', sizeof(text));
	assert_null(auth_ids_with(ids, slice_of("sasl"),
				  jute_slice_of(text, 16384)));
	more = auth_ids_with(ids, slice_of("sasl"), jute_slice_of(text, 8192));
	assert_non_null(more);
	assert_true(more->bytes <= AUTH_IDS_BYTES_MAX);
	auth_ids_free(more);
	auth_ids_free(ids);
}

static void
identities_travel_between_servers(void **state)
{
	(void)state;
	uint8_t memory[512];
	struct auth_ids *ids = with_digest(&usual, "bob:pw");
	struct auth_ids *copy = NULL;
	struct jute_writer writer = jute_writer_of(memory, sizeof(memory));

	auth_ids_put(&writer, ids);
	const size_t bytes = jute_written(&writer);
	struct jute_reader reader = jute_reader_of(memory, bytes);

	assert_int_equal(auth_ids_get(&usual, &reader, &copy), 0);
	assert_int_equal(copy->count, 2);
	assert_identity(copy, 1, "digest", BOB_ID);
	assert_int_equal(copy->bytes, ids->bytes);
	auth_ids_free(copy);
	for (size_t cut = 0; cut < bytes; cut++) {
		reader = jute_reader_of(memory, cut);
		assert_int_equal(auth_ids_get(&usual, &reader, &copy),
				 FAL_EPROTO);
	}
	be_store32(memory, AUTH_IDS_MAX + 1);
	reader = jute_reader_of(memory, bytes);
	assert_int_equal(auth_ids_get(&usual, &reader, &copy), FAL_ELIMIT);
	auth_ids_free(ids);
}

static void
who_am_i_shows_users_not_secrets(void **state)
{
	(void)state;
	const struct acl_options options = {.is_digest_enabled = true,
					    .super_digest = SUPER_ID};
	const char *const expected[][2] = {
		{"ip", "10.0.0.7"}, {"super", ""}, {"digest", "super"}};
	uint8_t memory[512];
	struct auth_ids *ids = with_digest(&options, "super:test");
	struct jute_writer writer = jute_writer_of(memory, sizeof(memory));

	auth_ids_put_who_am_i(&writer, ids);
	struct jute_reader reader =
		jute_reader_of(memory, jute_written(&writer));

	assert_int_equal(jute_get_count(&reader), 3);
	for (int i = 0; i < 3; i++) {
		assert_true(jute_slice_equal(jute_get_slice(&reader),
					     slice_of(expected[i][0])));
		assert_true(jute_slice_equal(jute_get_slice(&reader),
					     slice_of(expected[i][1])));
	}
	assert_int_equal(jute_reader_left(&reader), 0);
	auth_ids_free(ids);
}

/* ---- lists as they come in ----------------------------------------------- */

static void
ids_are_validated_by_their_scheme(void **state)
{
	(void)state;
	static const struct {
		const char *scheme, *id;
		int32_t plain, with_providers;
	} row[] = {
		{"world", "anyone", ZK_OK, ZK_OK},
		{"world", "anyon", ZK_INVALIDACL, ZK_INVALIDACL},
		{"world", "", ZK_INVALIDACL, ZK_INVALIDACL},
		{"world", NULL, ZK_MARSHALLINGERROR, ZK_MARSHALLINGERROR},
		{NULL, "anyone", ZK_INVALIDACL, ZK_INVALIDACL},
		{"", "x", ZK_INVALIDACL, ZK_INVALIDACL},
		{"super", "x:y", ZK_INVALIDACL, ZK_INVALIDACL},
		{"key", "x", ZK_INVALIDACL, ZK_INVALIDACL},
		{"digest", "a:b", ZK_OK, ZK_OK},
		{"digest", ":b", ZK_OK, ZK_OK},
		{"digest", "a:b::", ZK_OK, ZK_OK},
		{"digest", "a", ZK_INVALIDACL, ZK_INVALIDACL},
		{"digest", "a:", ZK_INVALIDACL, ZK_INVALIDACL},
		{"digest", "a:b:c", ZK_INVALIDACL, ZK_INVALIDACL},
		{"digest", "::", ZK_INVALIDACL, ZK_INVALIDACL},
		{"digest", "", ZK_INVALIDACL, ZK_INVALIDACL},
		{"digest", NULL, ZK_MARSHALLINGERROR, ZK_MARSHALLINGERROR},
		{"ip", "10.1.2.3", ZK_OK, ZK_OK},
		{"ip", "10.1.2.3/24", ZK_OK, ZK_OK},
		{"ip", "10.1.2", ZK_INVALIDACL, ZK_INVALIDACL},
		{"ip", NULL, ZK_MARSHALLINGERROR, ZK_MARSHALLINGERROR},
		{"x509", "CN=alice,O=Acme", ZK_INVALIDACL, ZK_OK},
		{"x509", "CN=\"a,b\"+OU=c\\,d", ZK_INVALIDACL, ZK_OK},
		{"x509", " CN = alice ; O = Z", ZK_INVALIDACL, ZK_OK},
		{"x509", "", ZK_INVALIDACL, ZK_OK},
		{"x509", " ", ZK_INVALIDACL, ZK_INVALIDACL},
		{"x509", "=alice", ZK_INVALIDACL, ZK_INVALIDACL},
		{"x509", "CN=a\\", ZK_INVALIDACL, ZK_INVALIDACL},
		{"x509", "alice", ZK_INVALIDACL, ZK_INVALIDACL},
		{"x509", "CN=alice,", ZK_INVALIDACL, ZK_INVALIDACL},
		{"x509", "CN=\"alice", ZK_INVALIDACL, ZK_INVALIDACL},
		{"x509", NULL, ZK_INVALIDACL, ZK_MARSHALLINGERROR},
		{"sasl", "bob", ZK_INVALIDACL, ZK_OK},
		{"sasl", "bob/host@REALM", ZK_INVALIDACL, ZK_OK},
		{"sasl", "a/b/c@REALM", ZK_INVALIDACL, ZK_INVALIDACL},
		{"sasl", "a@b@c", ZK_INVALIDACL, ZK_INVALIDACL},
		{"sasl", "a@b/c", ZK_INVALIDACL, ZK_INVALIDACL},
	};
	const struct acl_options providers = {
		.is_digest_enabled = true, .has_x509 = true, .has_sasl = true};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		uint8_t memory[256], out[256];
		const struct proto_acl acl =
			world_acl(PERM_READ, row[i].scheme, row[i].id);
		const struct jute_vector given =
			encode(&acl, 1, memory, sizeof(memory));
		struct jute_writer writer = jute_writer_of(out, sizeof(out));

		assert_int_equal(acl_fix(&usual, &given, NULL, &writer),
				 row[i].plain);
		writer = jute_writer_of(out, sizeof(out));
		assert_int_equal(acl_fix(&providers, &given, NULL, &writer),
				 row[i].with_providers);
	}
}

/* Fixes a list and compares with the expected one. */
static void
assert_fixed(const struct proto_acl *given, int32_t given_count,
	     const struct auth_ids *ids, const struct proto_acl *expected,
	     int32_t expected_count)
{
	uint8_t in[4096], out[4096], wanted[4096];
	const struct jute_vector vector =
		encode(given, given_count, in, sizeof(in));
	const struct jute_vector right =
		encode(expected, expected_count, wanted, sizeof(wanted));
	struct jute_writer writer = jute_writer_of(out, sizeof(out));

	assert_int_equal(acl_fix(&usual, &vector, ids, &writer), ZK_OK);
	assert_false(writer.is_full);
	assert_int_equal(be_load32(out), expected_count);
	assert_int_equal(jute_written(&writer), 4 + right.bytes);
	assert_memory_equal(out + 4, right.data, right.bytes);
}

static void
auth_stands_for_the_users_of_the_connection(void **state)
{
	(void)state;
	struct auth_ids *bob = with_digest(&usual, "bob:pw");
	struct auth_ids *two =
		auth_ids_with(bob, slice_of("sasl"), slice_of("eve"));
	const struct proto_acl given[] = {
		world_acl(PERM_READ, "world", "anyone"),
		world_acl(PERM_ALL, "auth", "ignored"),
		world_acl(PERM_READ, "world", "anyone"),
		world_acl(-1, "digest", BOB_ID), world_acl(0, "ip", "1.2.3.4")};
	const struct proto_acl expected[] = {
		world_acl(PERM_READ, "world", "anyone"),
		world_acl(PERM_ALL, "digest", BOB_ID),
		world_acl(PERM_ALL, "sasl", "eve"),
		world_acl(-1, "digest", BOB_ID), world_acl(0, "ip", "1.2.3.4")};

	assert_fixed(given, 5, two, expected, 5);
	/* Repeats are dropped before the expansion, not behind it. */
	const struct proto_acl twice[] = {world_acl(PERM_ALL, "auth", ""),
					  world_acl(PERM_ALL, "auth", NULL)};
	const struct proto_acl both[] = {world_acl(PERM_ALL, "digest", BOB_ID),
					 world_acl(PERM_ALL, "digest", BOB_ID)};

	assert_fixed(twice, 2, bob, both, 2);
	/* An address alone is nobody. */
	struct auth_ids *address = auth_ids_new(&usual, "1.2.3.4");
	uint8_t memory[64], out[64];
	const struct jute_vector vector =
		encode(twice, 1, memory, sizeof(memory));
	struct jute_writer writer = jute_writer_of(out, sizeof(out));

	assert_int_equal(acl_fix(&usual, &vector, address, &writer),
			 ZK_INVALIDACL);
	assert_int_equal(acl_fix(&usual, &vector, NULL, &writer),
			 ZK_INVALIDACL);
	auth_ids_free(address);
	auth_ids_free(two);
	auth_ids_free(bob);
}

static void
null_and_empty_lists_are_invalid(void **state)
{
	(void)state;
	uint8_t out[16];
	struct jute_writer writer = jute_writer_of(out, sizeof(out));

	for (int32_t count = -1; count <= 0; count++) {
		const struct jute_vector vector = {.count = count};

		assert_int_equal(acl_fix(&usual, &vector, NULL, &writer),
				 ZK_INVALIDACL);
	}
}

static void
a_list_that_does_not_fit_says_so(void **state)
{
	(void)state;
	uint8_t memory[64], out[64];
	const struct jute_vector vector =
		encode(&world_open_acl, 1, memory, sizeof(memory));

	for (size_t room = 0; room < 4 + vector.bytes; room++) {
		struct jute_writer writer = jute_writer_of(out, room);

		(void)acl_fix(&usual, &vector, NULL, &writer);
		assert_true(writer.is_full);
	}
}

static void
text_is_brought_to_the_form_that_is_written_back(void **state)
{
	(void)state;
	/* U+1F600, a lone continuation byte, and a real U+FFFD. */
	const struct proto_acl given[] = {
		world_acl(1, "digest", "\xF0\x9F\x98\x80:x"),
		world_acl(1, "digest", "\x80:x"),
		world_acl(1, "digest", "\xEF\xBF\xBD:x")};
	const struct proto_acl expected[] = {
		world_acl(1, "digest", "\xED\xA0\xBD\xED\xB8\x80:x"),
		world_acl(1, "digest", "\xEF\xBF\xBD:x")};

	/* The last two are the same text upstream, so one is dropped. */
	assert_fixed(given, 3, NULL, expected, 2);
	assert_fixed(given, 1, NULL, expected, 1);
	assert_fixed(&given[1], 1, NULL, &expected[1], 1);
}

static void
malformed_text_is_cut_into_the_pieces_of_java(void **state)
{
	(void)state;
	static const struct {
		const char *in;
		const char *out; /* 'R' for U+FFFD */
	} row[] = {
		{"plain", "plain"},
		{"\xC3\xA9", "\xC3\xA9"},
		{"\xE2\x82\xAC", "\xE2\x82\xAC"},
		{"\xE0\xA0\x80", "\xE0\xA0\x80"},
		{"\xED\x9F\xBF", "\xED\x9F\xBF"},
		{"\xEE\x80\x80", "\xEE\x80\x80"},
		{"\xF0\x90\x80\x80", "\xF0\x90\x80\x80"},
		{"\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"},
		{"\x80\x80", "RR"},
		{"\xC0\xAF", "RR"},
		{"\xC3", "R"},
		{"\xC3x", "Rx"},
		{"\xE2\x82", "R"},
		{"\xE2\x82x", "Rx"},
		{"\xE0\x80\x80", "RRR"},
		{"\xE0\x80", "RR"},
		{"\xED\xA0\xBD", "R"},
		{"\xED\xA0\x80", "R"},
		{"\xED\xBF\xBF", "R"},
		{"\xED\xA0\xBD\xED\xB8\x80", "RR"},
		{"\xF0\x9F\x98", "R"},
		{"\xF0\x9F", "R"},
		{"\xF0\x9F\x98x", "Rx"},
		{"\xF0\x9Fxyz", "Rxyz"},
		{"\xF0\x80\x80\x80", "RRRR"},
		{"\xF4\x90\x80\x80", "RRRR"},
		{"\xF5\x80\x80\x80", "RRRR"},
		{"\xFF", "R"},
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		uint8_t out[64];
		struct jute_writer writer = jute_writer_of(out, sizeof(out));
		const struct jute_slice in = slice_of(row[i].in);
		char wanted[64] = "";

		for (const char *c = row[i].out; *c != '\0'; c++) {
			const char one[2] = {*c, '\0'};

			strcat(wanted, *c == 'R' ? "\xEF\xBF\xBD" : one);
		}
		text_put(&writer, in, TEXT_UTF8);
		assert_int_equal(jute_written(&writer), strlen(wanted));
		assert_memory_equal(out, wanted, strlen(wanted));
		/* Four bytes are written back as two times three. */
		assert_int_equal(text_is_normal(in),
				 strcmp(row[i].in, wanted) == 0 &&
					 (uint8_t)wanted[0] < 0xF0);
	}
}

static void
long_lists_lose_repeats_as_short_ones_do(void **state)
{
	(void)state;
	enum { COUNT = 3000, DIFFERENT = 701 };
	struct proto_acl *given = calloc(COUNT, sizeof(*given));
	char(*id)[16] = calloc(COUNT, sizeof(*id));
	uint8_t *in = malloc(COUNT * 32), *out = malloc(COUNT * 32);
	struct jute_writer writer = jute_writer_of(out, COUNT * 32);

	for (int i = 0; i < COUNT; i++) {
		snprintf(id[i], sizeof(id[i]), "10.0.%d.%d",
			 i * 7 % DIFFERENT / 256, i * 7 % DIFFERENT % 256);
		given[i] = world_acl(PERM_READ, "ip", id[i]);
	}
	const struct jute_vector vector = encode(given, COUNT, in, COUNT * 32);

	assert_int_equal(acl_fix(&usual, &vector, NULL, &writer), ZK_OK);
	assert_int_equal(be_load32(out), DIFFERENT);
	/* What is left is the head of what was given: order is kept. */
	assert_memory_equal(out + 4, vector.data, jute_written(&writer) - 4);
	free(given);
	free(id);
	free(in);
	free(out);
}

/* ---- checking ------------------------------------------------------------ */

static void
the_first_matching_entry_lets_pass(void **state)
{
	(void)state;
	struct auth_ids *bob = with_digest(&usual, "bob:pw");
	const struct proto_acl acl[] = {
		world_acl(PERM_READ, "world", "anyone"),
		world_acl(PERM_WRITE, "digest", BOB_ID),
		world_acl(PERM_CREATE, "ip", "10.0.0.0/24"),
		world_acl(PERM_DELETE, "ip", "10.0.1.0/24"),
		world_acl(PERM_ADMIN, "sasl", BOB_ID)};

	assert_true(permits(acl, 5, NULL, PERM_READ));
	assert_true(permits(acl, 5, bob, PERM_READ));
	assert_true(permits(acl, 5, bob, PERM_WRITE));
	assert_false(permits(acl, 5, NULL, PERM_WRITE));
	assert_true(permits(acl, 5, bob, PERM_CREATE));
	assert_false(permits(acl, 5, bob, PERM_DELETE));
	assert_false(permits(acl, 5, bob, PERM_ADMIN));
	assert_true(permits(acl, 5, bob, PERM_ADMIN | PERM_READ));
	const struct acl_options skip = {.skip_acl = true};
	struct auth_ids *anyone = auth_ids_new(&skip, NULL);

	assert_true(permits(&acl[1], 1, anyone, PERM_ADMIN));
	auth_ids_free(anyone);
	auth_ids_free(bob);
}

static void
the_sasl_user_super_passes_sasl_entries_only(void **state)
{
	(void)state;
	struct auth_ids *fresh = auth_ids_new(&usual, "1.2.3.4");
	struct auth_ids *ids =
		auth_ids_with(fresh, slice_of("sasl"), slice_of("super"));
	const struct proto_acl sasl = world_acl(PERM_READ, "sasl", "bob");
	const struct proto_acl digest = world_acl(PERM_READ, "digest", BOB_ID);

	assert_true(permits(&sasl, 1, ids, PERM_READ));
	assert_false(permits(&digest, 1, ids, PERM_READ));
	auth_ids_free(ids);
	auth_ids_free(fresh);
}

static void
addresses_match_by_prefix_and_family(void **state)
{
	(void)state;
	static const struct {
		const char *address, *prefix;
		bool is_valid, matches;
	} row[] = {
		{"10.1.2.3", "10.1.2.3", true, true},
		{"10.1.2.3", "10.1.2.4", true, false},
		{"10.1.2.3", "10.1.2.4/31", true, false},
		{"10.1.2.5", "10.1.2.4/31", true, true},
		{"10.1.2.3", "10.0.0.0/8", true, true},
		{"11.1.2.3", "10.0.0.0/8", true, false},
		{"11.1.2.3", "0.0.0.0/0", true, true},
		{"10.1.2.131", "10.1.2.128/25", true, true},
		{"10.1.2.3", "10.1.2.128/25", true, false},
		{"10.1.2.3", "10.1.2.3/33", false, false},
		{"10.1.2.3", "10.1.2.3/-1", false, false},
		{"10.1.2.3", "10.1.2.3/", false, false},
		{"10.1.2.3", "010.+1.2.3", true, true},
		{"10.1.2.3", "10.1.2.256", false, false},
		{"10.1.2.3", "10.1.2.3.4", false, false},
		{"10.1.2.3", "10.1.2.", false, false},
		{"10.1.2.3", "nothing", false, false},
		{"10.1.2.3", "", false, false},
		{"10.1.2.3", "::/0", true, false},
		{"0:0:0:0:0:0:0:1", "::1", true, true},
		{"0:0:0:0:0:0:0:1", "::2", true, false},
		{"fe80:0:0:0:1:2:3:4", "fe80::/10", true, true},
		{"fec0:0:0:0:1:2:3:4", "fe80::/10", true, false},
		{"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8/128", true, true},
		{"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8/129", false, false},
		{"1:2:3:4:5:6:7:8", "1::3:4:5:6:7:8", true, false},
		{"1:0:3:4:5:6:7:8", "1::3:4:5:6:7:8", true, true},
		{"1:2:3:4:5:6:7:8", "1::2::3", false, false},
		{"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7", false, false},
		{"1:2:3:4:5:6:7:8", "1::2:3:4:5:6:7:8", false, false},
		{"1:2:3:4:5:6:7:8", "12345::", false, false},
		{"1:2:3:4:5:6:7:8", "g::", false, false},
		{"1:2:3:4:5:6:7:8", ":1::", false, false},
		{"fe80:0:0:0:0:0:0:1%eth0", "fe80::/10", true, false},
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		const struct jute_slice address = slice_of(row[i].address);
		const struct jute_slice prefix = slice_of(row[i].prefix);

		assert_int_equal(acl_ip_is_valid(prefix), row[i].is_valid);
		assert_int_equal(acl_ip_matches(address, prefix),
				 row[i].matches);
	}
}

static void
get_acl_hides_digests_from_those_who_are_not_admin(void **state)
{
	(void)state;
	uint8_t memory[256], out[256], wanted[256];
	const struct proto_acl acl[] = {world_acl(1, "digest", BOB_ID),
					world_acl(2, "ip", "1.2.3.4"),
					world_acl(4, "digest", "no-colon"),
					world_acl(8, "digest", "a:b:c")};
	const struct proto_acl shown[] = {world_acl(1, "digest", "bob:x"),
					  world_acl(2, "ip", "1.2.3.4"),
					  world_acl(4, "digest", "no-colon"),
					  world_acl(8, "digest", "a:x")};
	const struct acl_list list = {
		.entries = encode(acl, 4, memory, sizeof(memory))};
	const struct jute_vector right =
		encode(shown, 4, wanted, sizeof(wanted));
	struct jute_writer writer = jute_writer_of(out, sizeof(out));

	acl_put_shown(&writer, &list, false);
	assert_int_equal(jute_written(&writer), 4 + right.bytes);
	assert_memory_equal(out + 4, wanted, right.bytes);
	writer = jute_writer_of(out, sizeof(out));
	acl_put_shown(&writer, &list, true);
	assert_int_equal(jute_written(&writer), 4 + list.entries.bytes);
	assert_memory_equal(out + 4, memory, list.entries.bytes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_digest_is_user_and_base64_of_sha1),
		cmocka_unit_test(the_super_digest_makes_a_superuser),
		cmocka_unit_test(other_hash_algorithms_are_taken_by_name),
		cmocka_unit_test(auth_packets_without_a_provider_fail),
		cmocka_unit_test(identities_are_a_set_with_a_limit),
		cmocka_unit_test(
			identities_of_a_connection_have_a_limit_in_bytes),
		cmocka_unit_test(identities_travel_between_servers),
		cmocka_unit_test(who_am_i_shows_users_not_secrets),
		cmocka_unit_test(ids_are_validated_by_their_scheme),
		cmocka_unit_test(auth_stands_for_the_users_of_the_connection),
		cmocka_unit_test(null_and_empty_lists_are_invalid),
		cmocka_unit_test(a_list_that_does_not_fit_says_so),
		cmocka_unit_test(
			text_is_brought_to_the_form_that_is_written_back),
		cmocka_unit_test(malformed_text_is_cut_into_the_pieces_of_java),
		cmocka_unit_test(long_lists_lose_repeats_as_short_ones_do),
		cmocka_unit_test(the_first_matching_entry_lets_pass),
		cmocka_unit_test(the_sasl_user_super_passes_sasl_entries_only),
		cmocka_unit_test(addresses_match_by_prefix_and_family),
		cmocka_unit_test(
			get_acl_hides_digests_from_those_who_are_not_admin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
