/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scan goes once over the file and tells a visitor what is there; loading a
 * tree is one visitor. ACL ids of the file are numbers of whoever wrote it and
 * are mapped to the tree's own through a hash table; each mapping holds a
 * reference until the end, so lists that no node uses vanish again.
 *
 * Seals are verified as they come. Nothing of a file counts before the first
 * seal is right, so the caller throws the tree away after an error.
 */

#include "store/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "base/bits.h"
#include "store/snap_source.h"
#include "znode/quota.h"

#define HEADER_BYTES         16u
#define SEAL_BYTES           13u
#define DIGEST_SECTION_BYTES 20u
#define LAST_ZXID_BYTES      8u
#define PLAIN_BYTES_MIN      10u
#define GZ_MAGIC_BYTES       2u
#define SNAPPY_MAGIC_BYTES   8u
#define ACL_MAP_MIN          64u
/* Nodes before the first guess at how many there are: fewer than the smallest
 * index holds, so that it grows only once. */
#define PROGRESS_MIN 256u

struct scan {
	struct snap_source *source;
	const struct snapshot_visitor *visitor;
	struct snapshot_info *info;
	struct snapshot_fault *fault;
	int err;
};

static void
refuse(struct scan *scan, const char *what)
{
	const int err = snap_source_error(scan->source);

	if (scan->err != 0)
		return;
	scan->err = err != 0 ? err : FAL_ECORRUPT;
	scan->fault->what = err != 0 ? fal_err_str(err) : what;
	scan->fault->offset = snap_source_offset(scan->source);
}

static void
visited(struct scan *scan, int result)
{
	if (result < 0 && scan->err == 0) {
		scan->err = result;
		scan->fault->what = fal_err_str(result);
		scan->fault->offset = snap_source_offset(scan->source);
	}
}

/* NULL and an error when they are not there. */
static const uint8_t *
take(struct scan *scan, size_t bytes)
{
	const uint8_t *data =
		scan->err == 0 ? snap_source_take(scan->source, bytes) : NULL;

	if (data == NULL)
		refuse(scan, "the file ends early");
	return data;
}

static uint32_t
take_int(struct scan *scan)
{
	const uint8_t *data = take(scan, 4);

	return data == NULL ? 0 : be_load32(data);
}

static uint64_t
take_long(struct scan *scan)
{
	const uint8_t *data = take(scan, 8);

	return data == NULL ? 0 : be_load64(data);
}

/* A count is believed element by element: nothing is allocated for it. */
static uint32_t
take_count(struct scan *scan, const char *what)
{
	const uint32_t count = take_int(scan);

	if (count > INT32_MAX)
		refuse(scan, what);
	return scan->err == 0 ? count : 0;
}

static void
check_seal(struct scan *scan)
{
	const uint32_t adler = snap_source_adler(scan->source);
	const uint8_t *seal = take(scan, SEAL_BYTES);

	if (seal == NULL)
		return;
	if (be_load64(seal) != adler)
		refuse(scan, "the checksum differs");
	else if (be_load32(seal + 8) != 1 || seal[12] != '/')
		refuse(scan, "a section is not closed");
}

static void
scan_header(struct scan *scan)
{
	const uint8_t *header = take(scan, HEADER_BYTES);

	if (header != NULL && (be_load32(header) != SNAPSHOT_MAGIC ||
			       be_load32(header + 4) != SNAPSHOT_VERSION))
		refuse(scan, "this is no snapshot of version 2");
}

static void
scan_sessions(struct scan *scan)
{
	const uint32_t count = take_count(scan, "negative session count");

	for (uint32_t i = 0; i < count && scan->err == 0; i++) {
		const uint8_t *data = take(scan, 12);

		if (data == NULL)
			return;
		/* Any timeout: with minSessionTimeout=0 there is 0, and a
		 * transaction from elsewhere may hold less. */
		if (scan->visitor->session != NULL)
			visited(scan, scan->visitor->session(
					      scan->visitor->arg,
					      (int64_t)be_load64(data),
					      (int32_t)be_load32(data + 8)));
		scan->info->sessions++;
	}
}

/* How many bytes a vector<ACL> takes, by looking ahead; 0 and an error when it
 * is none. */
static size_t
measure_acl(struct scan *scan)
{
	size_t bytes = 4;
	const uint8_t *data;
	uint32_t count;
	struct snap_source *source = scan->source;

	if (snap_source_peek(source, bytes) < bytes) {
		refuse(scan, "the file ends early");
		return 0;
	}
	data = snap_source_front(source);
	count = be_load32(data);
	if (count == UINT32_MAX)
		count = 0; /* null */
	if (count > SNAPSHOT_ACL_ENTRIES_MAX) {
		refuse(scan, "impossible size of an ACL");
		return 0;
	}
	for (uint32_t i = 0; i < 2 * count; i++) {
		/* perms before the scheme, nothing before the id */
		const size_t lead = i % 2 == 0 ? 8 : 4;
		uint32_t text_bytes;

		if (snap_source_peek(source, bytes + lead) < bytes + lead) {
			refuse(scan, "the file ends early");
			return 0;
		}
		bytes += lead;
		text_bytes = be_load32(snap_source_front(source) + bytes - 4);
		if (text_bytes == UINT32_MAX)
			text_bytes = 0;
		if (bytes > SNAPSHOT_FIELD_MAX ||
		    text_bytes > SNAPSHOT_FIELD_MAX - bytes) {
			refuse(scan, "impossible size of an ACL");
			return 0;
		}
		bytes += text_bytes;
	}
	return bytes;
}

static void
scan_acls(struct scan *scan)
{
	const uint32_t count = take_count(scan, "negative ACL count");

	for (uint32_t i = 0; i < count && scan->err == 0; i++) {
		const int64_t id = (int64_t)take_long(scan);
		const size_t bytes = scan->err == 0 ? measure_acl(scan) : 0;
		const uint8_t *data = scan->err == 0 ? take(scan, bytes) : NULL;
		struct jute_vector acl;

		if (data == NULL)
			return;
		acl.count = (int32_t)be_load32(data);
		acl.data = data + 4;
		acl.bytes = (uint32_t)bytes - 4;
		if (scan->visitor->acl != NULL)
			visited(scan, scan->visitor->acl(scan->visitor->arg, id,
							 &acl));
		scan->info->acls++;
	}
}

static void
decode_stat(const uint8_t *from, struct tree_stat *out)
{
	memset(out, 0, sizeof(*out));
	out->czxid = (int64_t)be_load64(from);
	out->mzxid = (int64_t)be_load64(from + 8);
	out->ctime = (int64_t)be_load64(from + 16);
	out->mtime = (int64_t)be_load64(from + 24);
	out->version = (int32_t)be_load32(from + 32);
	out->cversion = (int32_t)be_load32(from + 36);
	out->aversion = (int32_t)be_load32(from + 40);
	out->owner = (int64_t)be_load64(from + 44);
	out->pzxid = (int64_t)be_load64(from + 52);
}

/* How many bytes at the front are ASCII and not NUL, in whole words. */
static size_t
plain_bytes(const uint8_t *text, size_t bytes)
{
	const uint64_t ones = 0x0101010101010101ull;
	const uint64_t tops = 0x8080808080808080ull;
	size_t i = 0;

	for (; i + sizeof(uint64_t) <= bytes; i += sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, text + i, sizeof(word));
		/* A byte of zero borrows into its top bit; a borrow that goes
		 * further meets bytes that stop the word anyway. */
		if (((word | (word - ones)) & tops) != 0)
			break;
	}
	return i;
}

/* UTF-8 by its shape; surrogates pass, Java's encoder leaves them alone. */
static bool
is_text(const uint8_t *text, size_t bytes, bool *has_non_ascii)
{
	for (size_t i = plain_bytes(text, bytes); i < bytes;) {
		const uint8_t c = text[i];
		const size_t more = c < 0x80             ? 0
				    : (c & 0xe0) == 0xc0 ? 1
				    : (c & 0xf0) == 0xe0 ? 2
				    : (c & 0xf8) == 0xf0 ? 3
							 : SIZE_MAX;

		if (c == 0 || more > bytes - i - 1)
			return false;
		for (size_t j = 1; j <= more; j++)
			if ((text[i + j] & 0xc0) != 0x80)
				return false;
		*has_non_ascii |= more > 0;
		i += 1 + more;
	}
	return true;
}

static void
tell_progress(struct scan *scan)
{
	uint64_t done, total;

	snap_source_progress(scan->source, &done, &total);
	scan->visitor->progress(scan->visitor->arg, done, total);
}

/*
 * A node needs its path, data and 68 bytes more in one piece; the length of
 * the data stands behind the path. Returns false at the end marker.
 */
static bool
scan_node(struct scan *scan)
{
	const uint32_t path_bytes = take_int(scan);
	uint32_t data_bytes;
	size_t real_bytes, have;
	const uint8_t *at;
	struct jute_slice path, data;
	struct tree_stat stat;

	if (scan->err == 0 && path_bytes > SNAPSHOT_FIELD_MAX / 2)
		refuse(scan, "impossible length of a path");
	if (scan->err != 0)
		return false;
	have = snap_source_peek(scan->source, path_bytes + 4ull);
	at = snap_source_front(scan->source);
	if (path_bytes == 1 && have >= 1 && at[0] == '/') {
		take(scan, 1);
		return false;
	}
	if (have < path_bytes + 4ull) {
		refuse(scan, "the file ends early");
		return false;
	}
	data_bytes = be_load32(at + path_bytes);
	real_bytes = data_bytes == UINT32_MAX ? 0 : data_bytes;
	if (real_bytes > SNAPSHOT_FIELD_MAX / 2) {
		refuse(scan, "impossible length of data");
		return false;
	}
	at = take(scan, path_bytes + 4 + real_bytes + 8 + SNAPSHOT_STAT_BYTES);
	if (at == NULL)
		return false;
	if (!is_text(at, path_bytes, &scan->info->has_non_ascii_path)) {
		refuse(scan, "a path is not UTF-8");
		return false;
	}
	path = (struct jute_slice){.data = at, .bytes = (int32_t)path_bytes};
	at += path_bytes + 4;
	data = (struct jute_slice){.data = at, .bytes = (int32_t)data_bytes};
	at += real_bytes;
	decode_stat(at + 8, &stat);
	scan->info->nodes++;
	if (scan->visitor->progress != NULL &&
	    scan->info->nodes >= PROGRESS_MIN &&
	    bits_is_pow2(scan->info->nodes))
		tell_progress(scan);
	if (scan->visitor->node != NULL)
		visited(scan,
			scan->visitor->node(scan->visitor->arg, path, data,
					    (int64_t)be_load64(at), &stat));
	return scan->err == 0;
}

/* Which sections are there is told by how much is left: 33 bytes digest, 21
 * last zxid. Bytes behind what we know are a later version's. */
static void
scan_sections(struct scan *scan)
{
	const size_t digest_bytes = DIGEST_SECTION_BYTES + SEAL_BYTES;
	const size_t zxid_bytes = LAST_ZXID_BYTES + SEAL_BYTES;
	struct snapshot_info *info = scan->info;
	size_t left = snap_source_peek(scan->source, digest_bytes + zxid_bytes);

	if (left == 0 || scan->err != 0)
		return;
	if (left != zxid_bytes) {
		info->digest_zxid = take_long(scan);
		info->digest_version = (int32_t)take_int(scan);
		info->digest = take_long(scan);
		info->has_digest = true;
		check_seal(scan);
		left = snap_source_peek(scan->source, zxid_bytes);
	}
	if (scan->err == 0 && left > 0) {
		info->last_zxid = take_long(scan);
		info->has_last_zxid = true;
		check_seal(scan);
	}
}

int
snapshot_scan(struct disk *disk, const char *path, enum file_coding coding,
	      const struct snapshot_visitor *visitor,
	      struct snapshot_info *info, struct snapshot_fault *fault)
{
	struct scan scan = {.visitor = visitor, .info = info, .fault = fault};
	const int err = snap_source_open(disk, path, coding, &scan.source);

	*info = (struct snapshot_info){.nodes = 0};
	*fault = (struct snapshot_fault){.what = "none"};
	if (err != 0) {
		fault->what = fal_err_str(err);
		return err;
	}
	scan_header(&scan);
	scan_sessions(&scan);
	scan_acls(&scan);
	while (scan.err == 0 && scan_node(&scan))
		continue;
	if (scan.err == 0)
		check_seal(&scan);
	if (scan.err == 0)
		scan_sections(&scan);
	info->bytes = snap_source_offset(scan.source);
	snap_source_close(scan.source);
	return scan.err;
}

int
snapshot_test(struct disk *disk, const char *path, enum file_coding coding)
{
	static const uint8_t end[5] = {0, 0, 0, 1, '/'};
	static const uint8_t snappy[SNAPPY_MAGIC_BYTES] = {0x82, 'S', 'N', 'A',
							   'P',  'P', 'Y', 0};
	struct disk_file *file = NULL;
	uint8_t bytes[SNAPPY_MAGIC_BYTES] = {0};
	uint64_t file_bytes = 0;
	size_t got = 0;
	bool is_good;
	int err = disk_open(disk, path, DISK_READ, &file);

	if (err != 0)
		return err;
	err = disk_file_bytes(file, &file_bytes);
	if (err == 0 && coding == FILE_PLAIN && file_bytes >= PLAIN_BYTES_MIN)
		err = disk_read(file, bytes, sizeof(end),
				file_bytes - sizeof(end), &got);
	else if (err == 0 && coding != FILE_PLAIN)
		err = disk_read(file, bytes, sizeof(bytes), 0, &got);
	disk_close(file);
	if (err != 0)
		return err;
	if (coding == FILE_PLAIN)
		is_good = got == sizeof(end) &&
			  memcmp(bytes, end, sizeof(end)) == 0;
	else if (coding == FILE_GZ)
		is_good = got >= GZ_MAGIC_BYTES && bytes[0] == 0x1f &&
			  bytes[1] == 0x8b;
	else
		is_good = got == sizeof(snappy) &&
			  memcmp(bytes, snappy, sizeof(snappy)) == 0;
	return is_good ? 0 : FAL_ECORRUPT;
}

/* ---- loading a tree
 * ---------------------------------------------------------- */

struct acl_mapping {
	int64_t file_id;
	uint32_t id; /* 0: free place */
};

struct loader {
	struct tree *tree;
	struct acl_table *acls;
	int (*session)(void *arg, int64_t id, int32_t timeout_ms);
	void *arg;
	struct acl_mapping *map; /* open addressing, at most half full */
	uint32_t map_cap, map_count;
	/* The mapping of the last node: siblings mostly share it. */
	struct acl_mapping last;
};

static struct acl_mapping *
map_place(struct acl_mapping *map, uint32_t cap, int64_t file_id)
{
	uint32_t at =
		(uint32_t)(((uint64_t)file_id * 0x9e3779b97f4a7c15ull) >> 32);

	for (at &= cap - 1; map[at].id != 0 && map[at].file_id != file_id;
	     at = (at + 1) & (cap - 1))
		continue;
	return &map[at];
}

static int
map_grow(struct loader *loader)
{
	const uint32_t cap = 2 * loader->map_cap;
	struct acl_mapping *larger = calloc(cap, sizeof(*larger));

	if (larger == NULL)
		return FAL_ENOMEM;
	for (uint32_t i = 0; i < loader->map_cap; i++)
		if (loader->map[i].id != 0)
			*map_place(larger, cap, loader->map[i].file_id) =
				loader->map[i];
	free(loader->map);
	loader->map = larger;
	loader->map_cap = cap;
	return 0;
}

static int
load_session(void *arg, int64_t id, int32_t timeout_ms)
{
	struct loader *loader = arg;

	return loader->session == NULL
		       ? 0
		       : loader->session(loader->arg, id, timeout_ms);
}

static int
load_acl(void *arg, int64_t file_id, const struct jute_vector *acl)
{
	struct loader *loader = arg;
	struct acl_mapping *place;
	int err = 0;

	if (2 * (loader->map_count + 1) > loader->map_cap)
		err = map_grow(loader);
	if (err != 0)
		return err;
	place = map_place(loader->map, loader->map_cap, file_id);
	if (place->id != 0)
		return FAL_ECORRUPT;
	place->id = acl_table_intern(loader->acls, acl);
	if (place->id == 0)
		return FAL_ENOMEM;
	place->file_id = file_id;
	loader->map_count++;
	return 0;
}

static int
load_node(void *arg, struct jute_slice path, struct jute_slice data,
	  int64_t acl_id, const struct tree_stat *stat)
{
	struct loader *loader = arg;
	struct tree_stat local = *stat;
	int err;

	if (acl_id != loader->last.file_id || loader->last.id == 0)
		loader->last = *map_place(loader->map, loader->map_cap, acl_id);
	if (loader->last.id == 0)
		return FAL_ECORRUPT;
	local.acl = loader->last.id;
	acl_table_ref(loader->acls, local.acl);
	err = tree_load_node(loader->tree, path.data, (uint32_t)path.bytes,
			     data, &local);
	if (err != 0)
		acl_table_unref(loader->acls, local.acl);
	return err;
}

static void
load_progress(void *arg, uint64_t done, uint64_t total)
{
	struct loader *loader = arg;

	tree_load_expect(loader->tree, done, total);
}

static int
loader_begin(struct loader *loader)
{
	struct acl_mapping *open;

	tree_load_begin(loader->tree);
	loader->acls = tree_acls(loader->tree);
	loader->map_cap = ACL_MAP_MIN;
	loader->map = calloc(loader->map_cap, sizeof(*loader->map));
	if (loader->map == NULL)
		return FAL_ENOMEM;
	open = map_place(loader->map, loader->map_cap, SNAPSHOT_ACL_OPEN);
	acl_table_ref(loader->acls, ACL_ID_OPEN);
	*open = (struct acl_mapping){.file_id = SNAPSHOT_ACL_OPEN,
				     .id = ACL_ID_OPEN};
	loader->map_count = 1;
	return 0;
}

static void
loader_end(struct loader *loader)
{
	for (uint32_t i = 0; loader->map != NULL && i < loader->map_cap; i++)
		if (loader->map[i].id != 0)
			acl_table_unref(loader->acls, loader->map[i].id);
	free(loader->map);
}

int
snapshot_load(struct disk *disk, const char *path, enum file_coding coding,
	      uint64_t zxid, struct tree *tree,
	      int (*session)(void *arg, int64_t id, int32_t timeout_ms),
	      void *arg, struct snapshot_info *info,
	      struct snapshot_fault *fault)
{
	struct loader loader = {.tree = tree, .session = session, .arg = arg};
	const struct snapshot_visitor visitor = {.arg = &loader,
						 .session = load_session,
						 .acl = load_acl,
						 .node = load_node,
						 .progress = load_progress};
	int err = loader_begin(&loader);

	if (err == 0)
		err = snapshot_scan(disk, path, coding, &visitor, info, fault);
	if (err == FAL_ECORRUPT &&
	    strcmp(fault->what, fal_err_str(FAL_ECORRUPT)) == 0)
		fault->what = "a node has no parent, exists twice or names an "
			      "unknown ACL";
	if (err == 0)
		err = tree_load_end(tree, (int64_t)zxid);
	if (err == 0)
		err = quota_recount(tree);
	loader_end(&loader);
	return err;
}
