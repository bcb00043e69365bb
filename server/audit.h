/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_AUDIT_H
#define FALCONER_SERVER_AUDIT_H

/*
 * audit - who changed what: a line per change, as ZooKeeper's audit log has
 * them (audit.enable=true).
 *
 *   2026-01-31 12:00:00,123 INFO audit.Slf4jAuditLogger: session=0x1...<TAB>
 *   user=bob,10.0.0.7<TAB>ip=10.0.0.7<TAB>operation=create<TAB>znode=/a<TAB>
 *   znode_type=persistent<TAB>result=success
 *
 * The reader core that answers an update copies the facts into a ring of its
 * own, a few hundred bytes; the control thread makes lines of them and writes
 * them to falconer.audit.file. A ring that is full loses the line and counts
 * it: changes are never held up by their log. Nothing happens before the
 * update is durable, so a line in the file is about something that stays.
 *
 * The file may be renamed at any time (logrotate without a signal): a second
 * later a new one of the old name is written.
 *
 * Context    audit_note_update(): the core that owns the port. All else: the
 *            control thread; the two counters: any thread.
 * Limits     AUDIT_RING_BYTES a reader core; paths and users are cut at
 *            AUDIT_TEXT_BYTES.
 * Errors     FAL_EIO and a line for the operator when the file cannot be
 *            opened at start. Later a failed write loses lines, counted and
 *            said in the log.
 */

#include "dataplane/reader.h"

#define AUDIT_RING_BYTES (4u << 20)
#define AUDIT_TEXT_BYTES 4096u

struct server;
struct server_error;
struct audit;
struct audit_port;

/* NULL in *out when audit.enable=false. */
FAL_MUST_CHECK int audit_create(struct server *, struct audit **out,
				struct server_error *);
void audit_destroy(struct audit *);

/* The port of a reader core; NULL: no audit. */
struct audit_port *audit_port(struct audit *, uint32_t core);
/* reader_hooks.on_update; arg is the port. */
void audit_note_update(void *port, const struct reader_update *);

/* operation=serverStart, result=success; serverStop, invoked. */
void audit_note_server(struct audit *, const char *operation,
		       const char *result);
/* Writes what has gathered; true if there was anything. */
bool audit_drain(struct audit *);

/* Lines written, and lost; 0 without audit. */
uint64_t audit_written(const struct audit *);
uint64_t audit_dropped(const struct audit *);

#endif
