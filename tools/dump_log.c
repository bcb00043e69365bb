/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dump-log FILE... - lists the transactions of log files, one per line, and
 * says how each file ends. Exit status 1 if one does not end cleanly.
 *
 *   offset  zxid  session  cxid  time  type  what  digest
 *
 * Paths and data come from clients: bytes that are not printable are escaped.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "store/log_reader.h"

#define DATA_SHOWN_MAX 32
#define TIME_BYTES     32

static const char *
type_name(int32_t type)
{
	switch (type) {
	case OP_CREATE_SESSION:
		return "createSession";
	case OP_CLOSE_SESSION:
		return "closeSession";
	case OP_ERROR:
		return "error";
	case OP_CREATE:
		return "create";
	case OP_CREATE2:
		return "create2";
	case OP_CREATE_TTL:
		return "createTTL";
	case OP_CREATE_CONTAINER:
		return "createContainer";
	case OP_DELETE:
		return "delete";
	case OP_DELETE_CONTAINER:
		return "deleteContainer";
	case OP_SET_DATA:
		return "setData";
	case OP_RECONFIG:
		return "reconfig";
	case OP_SET_ACL:
		return "setACL";
	case OP_CHECK:
		return "check";
	case OP_MULTI:
		return "multi";
	default:
		return "unknown";
	}
}

static void
print_text(struct jute_slice text, int32_t shown_max)
{
	for (int32_t i = 0; i < text.bytes && i < shown_max; i++) {
		const uint8_t c = text.data[i];

		if (c >= 0x20 && c < 0x7f && c != '\\')
			putchar(c);
		else
			printf("\\x%02x", c);
	}
	if (text.bytes > shown_max)
		printf("...");
}

static void
print_data(struct jute_slice data)
{
	if (data.bytes < 0) {
		printf(" data null");
		return;
	}
	printf(" data %d bytes \"", data.bytes);
	print_text(data, DATA_SHOWN_MAX);
	putchar('"');
}

static void
print_record(const struct txn_record *record)
{
	switch (record->type) {
	case OP_CREATE_SESSION:
		printf(" timeout %d ms", record->timeout_ms);
		return;
	case OP_CLOSE_SESSION:
		if (record->has_paths)
			printf(" deletes %d", record->paths.count);
		return;
	case OP_ERROR:
		printf(" %d", record->err);
		return;
	default:
		break;
	}
	putchar(' ');
	print_text(record->path, INT32_MAX);
	if (record->type == OP_SET_ACL || record->type == OP_CHECK ||
	    record->type == OP_SET_DATA || record->type == OP_RECONFIG)
		printf(" version %d", record->version);
	if (record->type == OP_SET_DATA || record->type == OP_RECONFIG)
		print_data(record->data);
	if (record->type != OP_CREATE && record->type != OP_CREATE2 &&
	    record->type != OP_CREATE_TTL &&
	    record->type != OP_CREATE_CONTAINER)
		return;
	print_data(record->data);
	printf(" parent-cversion %d%s", record->parent_cversion,
	       record->is_ephemeral ? " ephemeral" : "");
	if (record->type == OP_CREATE_TTL)
		printf(" ttl %" PRId64 " ms", record->ttl);
}

static void
print_multi(const struct txn_record *multi)
{
	struct jute_reader ops = jute_reader_of(multi->ops, multi->ops_bytes);

	printf(" %d operations", multi->op_count);
	for (int32_t i = 0; i < multi->op_count; i++) {
		struct txn_record op;

		if (txn_get_multi_op(&ops, &op) != 0)
			return;
		printf("\n%34s %s", "-", type_name(op.type));
		print_record(&op);
	}
}

static void
print_entry(const struct log_record *log_record)
{
	const struct txn_header *header = &log_record->header;
	const time_t seconds = (time_t)(header->time_ms / 1000);
	char when[TIME_BYTES] = "?";
	struct txn_entry entry;
	struct tm utc;

	if (gmtime_r(&seconds, &utc) != NULL)
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &utc);
	printf("%10" PRIu64 " 0x%-16" PRIx64 " session 0x%" PRIx64
	       " cxid 0x%x %s.%03dZ %s",
	       log_record->offset, (uint64_t)header->zxid,
	       (uint64_t)header->session_id, (uint32_t)header->cxid, when,
	       (int)(header->time_ms % 1000), type_name(header->type));
	if (txn_get_entry(log_record->entry, log_record->bytes, &entry) != 0) {
		printf(" type %d, does not decode\n", header->type);
		return;
	}
	if (header->type == OP_MULTI)
		print_multi(&entry.record);
	else
		print_record(&entry.record);
	if (entry.has_digest)
		printf(" digest 0x%" PRIx64, entry.digest);
	putchar('\n');
}

/* Returns true if the file was read to a clean end. */
static bool
dump(const char *path)
{
	struct log_file *file = NULL;
	struct log_record record;
	uint64_t count = 0;
	bool is_clean;
	int got = log_file_open(disk_posix(), path, LOG_ENTRY_BYTES_MAX, &file);

	if (got != 0) {
		fprintf(stderr, "%s: %s\n", path, fal_err_str(got));
		return false;
	}
	while ((got = log_file_next(file, &record)) > 0) {
		print_entry(&record);
		count++;
	}
	is_clean = got == 0 && log_file_end(file) == LOG_END_CLEAN;
	printf("%s: %" PRIu64 " transactions, %" PRIu64 " of %" PRIu64
	       " bytes used, %s\n",
	       path, count, log_file_offset(file), log_file_bytes(file),
	       got < 0 ? fal_err_str(got) : log_end_str(log_file_end(file)));
	log_file_close(file);
	return is_clean;
}

int
main(int argc, char **argv)
{
	bool is_clean = true;

	const bool wants_help = argc == 2 && strcmp(argv[1], "--help") == 0;

	if (argc < 2 || wants_help) {
		fprintf(wants_help ? stdout : stderr,
			"usage: %s LOG-FILE...\n"
			"Lists the transactions of log files, ours or "
			"ZooKeeper's:\n"
			"offset, zxid, session, cxid, time, type, what, "
			"digest.\n"
			"Exit status 1 if one does not end cleanly.\n",
			argv[0]);
		return wants_help ? 0 : 2;
	}
	for (int i = 1; i < argc; i++)
		is_clean &= dump(argv[i]);
	return is_clean ? 0 : 1;
}
