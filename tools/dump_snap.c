/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dump-snap FILE... - lists sessions, ACLs and nodes of snapshots, verifies
 * them and recomputes the tree's digest. Exit status 1 if one is damaged.
 *
 * The coding is taken from the name: .gz, .snappy, else plain.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/be.h"
#include "base/checksum.h"
#include "store/snapshot.h"
#include "wire/txn.h"

#define DIGEST_STAT_BYTES 60u

struct totals {
	uint64_t digest;
	uint64_t data_bytes;
};

static void
print_text(struct jute_slice text)
{
	for (int32_t i = 0; i < text.bytes; i++) {
		const uint8_t c = text.data[i];

		if (c >= 0x20 && c < 0x7f && c != '\\')
			putchar(c);
		else
			printf("\\x%02x", c);
	}
}

static int
print_session(void *arg, int64_t id, int32_t timeout_ms)
{
	(void)arg;
	printf("session 0x%" PRIx64 " timeout %d ms\n", (uint64_t)id,
	       timeout_ms);
	return 0;
}

static int
print_acl(void *arg, int64_t id, const struct jute_vector *acl)
{
	struct jute_reader reader = jute_reader_of(acl->data, acl->bytes);

	(void)arg;
	printf("acl %" PRId64, id);
	for (int32_t i = 0; i < acl->count; i++) {
		const int32_t perms = jute_get_int(&reader);

		printf(" [%d ", perms);
		print_text(jute_get_slice(&reader));
		putchar(':');
		print_text(jute_get_slice(&reader));
		putchar(']');
	}
	putchar('\n');
	return 0;
}

/* disk-format.md section 9. */
static uint64_t
node_digest(struct jute_slice path, struct jute_slice data,
	    const struct tree_stat *stat)
{
	static const char hidden[] = "/zookeeper/";
	uint8_t bytes[DIGEST_STAT_BYTES];
	uint32_t crc;

	if ((size_t)path.bytes >= sizeof(hidden) - 1 &&
	    memcmp(path.data, hidden, sizeof(hidden) - 1) == 0)
		return 0;
	be_store64(bytes, (uint64_t)stat->czxid);
	be_store64(bytes + 8, (uint64_t)stat->mzxid);
	be_store64(bytes + 16, (uint64_t)stat->pzxid);
	be_store64(bytes + 24, (uint64_t)stat->ctime);
	be_store64(bytes + 32, (uint64_t)stat->mtime);
	be_store32(bytes + 40, (uint32_t)stat->version);
	be_store32(bytes + 44, (uint32_t)stat->cversion);
	be_store32(bytes + 48, (uint32_t)stat->aversion);
	be_store64(bytes + 52, (uint64_t)stat->owner);
	crc = checksum_crc32(0, path.data, (size_t)path.bytes);
	if (data.bytes > 0)
		crc = checksum_crc32(crc, data.data, (size_t)data.bytes);
	return checksum_crc32(crc, bytes, sizeof(bytes));
}

static int
print_node(void *arg, struct jute_slice path, struct jute_slice data,
	   int64_t acl_id, const struct tree_stat *stat)
{
	struct totals *totals = arg;

	printf("node ");
	if (path.bytes == 0)
		putchar('/');
	print_text(path);
	printf(" data %d acl %" PRId64 " czxid 0x%" PRIx64 " mzxid 0x%" PRIx64
	       " pzxid 0x%" PRIx64 " version %d cversion %d aversion %d",
	       data.bytes, acl_id, (uint64_t)stat->czxid, (uint64_t)stat->mzxid,
	       (uint64_t)stat->pzxid, stat->version, stat->cversion,
	       stat->aversion);
	if (stat->owner != 0)
		printf(" owner 0x%" PRIx64, (uint64_t)stat->owner);
	putchar('\n');
	totals->digest += node_digest(path, data, stat);
	totals->data_bytes += data.bytes > 0 ? (uint64_t)data.bytes : 0;
	return 0;
}

/* Returns true if the file is whole and its digest, if comparable, right. */
static bool
dump(const char *path)
{
	const char *slash = strrchr(path, '/');
	const struct file_name name =
		file_name_parse(slash == NULL ? path : slash + 1);
	struct totals totals = {.digest = 0};
	const struct snapshot_visitor visitor = {.arg = &totals,
						 .session = print_session,
						 .acl = print_acl,
						 .node = print_node};
	struct snapshot_info info;
	struct snapshot_fault fault;
	const int err = snapshot_scan(disk_posix(), path, name.coding, &visitor,
				      &info, &fault);

	if (err != 0) {
		fflush(stdout);
		fprintf(stderr, "%s: %s, at byte %" PRIu64 "\n", path,
			fault.what, fault.offset);
		return false;
	}
	printf("%s: %" PRIu64 " sessions, %" PRIu64 " ACLs, %" PRIu64
	       " nodes, %" PRIu64 " bytes of data, tree digest 0x%" PRIx64 "\n",
	       path, info.sessions, info.acls, info.nodes, totals.data_bytes,
	       totals.digest);
	if (info.has_digest)
		printf("%s: digest 0x%" PRIx64 " version %d at zxid 0x%" PRIx64
		       "%s\n",
		       path, info.digest, info.digest_version, info.digest_zxid,
		       info.digest == totals.digest ? ""
		       : info.digest_zxid == 0      ? " (none)"
		       : info.digest_zxid == name.zxid
			       ? " DIFFERS"
			       : " (was written while transactions went on)");
	if (info.has_last_zxid)
		printf("%s: last zxid 0x%" PRIx64 "\n", path, info.last_zxid);
	return !info.has_digest || info.digest == totals.digest ||
	       info.digest_zxid != name.zxid || info.digest_zxid == 0;
}

int
main(int argc, char **argv)
{
	bool is_good = true;

	const bool wants_help = argc == 2 && strcmp(argv[1], "--help") == 0;

	if (argc < 2 || wants_help) {
		fprintf(wants_help ? stdout : stderr,
			"usage: %s SNAPSHOT-FILE...\n"
			"Lists sessions, ACLs and nodes of snapshots, ours or "
			"ZooKeeper's, and verifies them.\n"
			"Exit status 1 if one is damaged.\n",
			argv[0]);
		return wants_help ? 0 : 2;
	}
	for (int i = 1; i < argc; i++)
		is_good &= dump(argv[i]);
	return is_good ? 0 : 1;
}
