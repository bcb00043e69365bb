/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_STORE_SNAPSHOT_H
#define FALCONER_STORE_SNAPSHOT_H

/*
 * snapshot - files that hold the whole database at one zxid.
 *
 *   "ZKSN" | int version 2 | long dbid -1
 *   int n | n x (long session, int timeout_ms)
 *   int n | n x (long acl id, vector<ACL>)
 *   (ustring path, buffer data, long acl id, stat 60 bytes)*  parents first
 *   ustring "/" | seal | digest section | seal | last zxid | seal
 *   seal := long adler32 of all bytes before it | ustring "/"
 *   digest section := long zxid | int version 2 | long tree digest
 *
 * The sections behind the first seal are optional, and every reader since 3.5
 * stops at what it knows. The file may be compressed as a whole: gz, or the
 * chunks of snappy-java.
 *
 * A snapshot is written under a hidden name, synced, renamed, and the
 * directory is synced: what has its final name is complete. Java writes the
 * final name directly, so a reader still has to expect torn files.
 *
 * Context    any thread, one at a time per object; blocks. Writing through
 *            snapshot_job: BG.
 * Limits     a path or data up to SNAPSHOT_FIELD_MAX; memory for reading grows
 *            with what was really there, not with announced lengths.
 * Errors     FAL_ECORRUPT: the file is damaged, the fault says where; disk
 *            errors; FAL_ENOMEM.
 * Cost       reading: about 60 ns a node beside the tree's own work.
 * Source     disk-format.md section 6.
 */

#include "drivers/disk.h"
#include "store/file_name.h"
#include "wire/proto.h"
#include "znode/tree.h"

#define SNAPSHOT_MAGIC     0x5A4B534Eu /* "ZKSN" */
#define SNAPSHOT_VERSION   2u
#define SNAPSHOT_FIELD_MAX (64u << 20)
/* Entries of an ACL: as many as fit, three words each at least. */
#define SNAPSHOT_ACL_ENTRIES_MAX (SNAPSHOT_FIELD_MAX / 2 / 12)
#define SNAPSHOT_STAT_BYTES      60u
#define SNAPSHOT_ACL_OPEN        (-1) /* world:anyone ALL, not in the list */
/* What a snapshot is called until it is complete begins so. */
#define SNAPSHOT_HIDDEN_PREFIX "falconer.tmp."
/* The same of a leader's snapshot (store/log_cut.h). */
#define SNAPSHOT_INSTALL_PREFIX SNAPSHOT_HIDDEN_PREFIX "install."

struct snapshot_session {
	int64_t id;
	int32_t timeout_ms;
};

/* What was in a file beside nodes. */
struct snapshot_info {
	uint64_t sessions, acls, nodes;
	uint64_t bytes; /* uncompressed, as far as read */
	bool has_digest;
	int32_t digest_version;
	uint64_t digest_zxid; /* last transaction when writing ended */
	uint64_t digest;
	bool has_last_zxid;
	uint64_t last_zxid;
	bool has_non_ascii_path; /* Java's digest may depend on its locale */
};

/* Why a file was refused. */
struct snapshot_fault {
	const char *what; /* static text */
	uint64_t offset;  /* in the uncompressed bytes */
};

/* ---- reading ---------------------------------------------------------------
 */

/* The cheap test by which files are chosen and purged: magic or last bytes.
 * Returns 0 (looks complete), FAL_ECORRUPT, or the disk's error. */
FAL_MUST_CHECK int snapshot_test(struct disk *, const char *path,
				 enum file_coding);

/* Any member may be NULL. A negative return ends the scan with it. Slices and
 * vectors are borrowed for the call. */
struct snapshot_visitor {
	void *arg;
	int (*session)(void *arg, int64_t id, int32_t timeout_ms);
	int (*acl)(void *arg, int64_t id, const struct jute_vector *);
	/* num_children, data_bytes, acl of the stat are not filled. */
	int (*node)(void *arg, struct jute_slice path, struct jute_slice data,
		    int64_t acl_id, const struct tree_stat *);
	/* Told now and then before a node: how much of the file is read. */
	void (*progress)(void *arg, uint64_t done, uint64_t total);
};

/* Reads and verifies a whole file. Returns 0, FAL_ECORRUPT (*fault is filled),
 * an error, or what the visitor returned. */
FAL_MUST_CHECK int snapshot_scan(struct disk *, const char *path,
				 enum file_coding,
				 const struct snapshot_visitor *,
				 struct snapshot_info *,
				 struct snapshot_fault *);

/*
 * Replaces the tree's content by the file's and publishes it as state `zxid`.
 * Sessions are told one by one to `session` (may be NULL). On an error the
 * tree holds a part: load another file or reset it.
 */
FAL_MUST_CHECK int snapshot_load(struct disk *, const char *path,
				 enum file_coding, uint64_t zxid, struct tree *,
				 int (*session)(void *arg, int64_t id,
						int32_t timeout_ms),
				 void *arg, struct snapshot_info *,
				 struct snapshot_fault *);

/* ---- writing ---------------------------------------------------------------
 */

struct snapshot_out;

/* Begins a file for the state `zxid` in `dir`, under its hidden name. */
FAL_MUST_CHECK int snapshot_out_create(struct disk *, const char *dir,
				       uint64_t zxid, enum file_coding,
				       struct snapshot_out **out);
/* The same, plain, for a snapshot of a leader: everything between file header
 * and end marker comes through snapshot_out_raw(). */
FAL_MUST_CHECK int snapshot_out_install(struct disk *, const char *dir,
					uint64_t zxid,
					struct snapshot_out **out);
/* Writes no file but what a leader sends behind its SNAP packet: no header, no
 * seals, the signature at the end. finish() and abort() free the object. put()
 * takes bytes that are borrowed, and returns 0 or an error that sticks. */
FAL_MUST_CHECK int snapshot_out_pipe(int (*put)(void *arg, const void *data,
						size_t bytes),
				     void *arg, struct snapshot_out **out);
/* In this order; errors stick and are told by snapshot_out_finish(). */
void snapshot_out_sessions(struct snapshot_out *,
			   const struct snapshot_session *, uint32_t count);
void snapshot_out_acls(struct snapshot_out *, uint32_t count);
/* So many times, unless the elements come through snapshot_out_raw(). */
void snapshot_out_acl(struct snapshot_out *, int64_t id,
		      const struct jute_vector *);
void snapshot_out_node(struct snapshot_out *, struct jute_slice path,
		       struct jute_slice data, int64_t acl_id,
		       const struct tree_stat *);
/* The same node as bytes, for a later snapshot_out_raw(): what lies behind path
 * and data. */
#define SNAPSHOT_NODE_TAIL_BYTES (8u + SNAPSHOT_STAT_BYTES)
void snapshot_encode_tail(uint8_t tail[SNAPSHOT_NODE_TAIL_BYTES],
			  int64_t acl_id, const struct tree_stat *);
/* ACLs or nodes that were encoded elsewhere. */
void snapshot_out_raw(struct snapshot_out *, const void *data, size_t bytes);
/* The first error; 0: none yet. */
int snapshot_out_error(const struct snapshot_out *);
/*
 * Writes end, seals and sections, makes the file durable under its final name
 * and frees the object in any case; after an error the hidden file is removed.
 *
 * info  has_digest, digest_*, has_last_zxid, last_zxid say what is written
 */
FAL_MUST_CHECK int snapshot_out_finish(struct snapshot_out *,
				       const struct snapshot_info *info);
/* The two halves of finish(), for whoever looks at the file in between: makes
 * the hidden file complete and durable (on an error the object lives on), then
 * gives it its final name and frees the object in any case. */
FAL_MUST_CHECK int snapshot_out_seal(struct snapshot_out *,
				     const struct snapshot_info *info);
FAL_MUST_CHECK int snapshot_out_rename(struct snapshot_out *);
/* After seal(), for a snapshot of snapshot_out_install(): it is to be the state
 * `zxid`. On an error the object lives on, under one of its hidden names. */
FAL_MUST_CHECK int snapshot_out_move(struct snapshot_out *, uint64_t zxid);
const char *snapshot_out_hidden_path(const struct snapshot_out *);
/* Removes the hidden file and frees the object. */
void snapshot_out_abort(struct snapshot_out *);

#endif
