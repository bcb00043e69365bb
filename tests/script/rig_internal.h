/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_SCRIPT_RIG_INTERNAL_H
#define FALCONER_TESTS_SCRIPT_RIG_INTERNAL_H

/* rig_internal - what rig.c and rig_server.c share. */

#include "tests/script/rig.h"

void *rig_alloc(size_t bytes);
void rig_push(struct rig *rig, struct rig_conn *conn, uint32_t end,
	      struct rig_packet *packet);
void rig_let_go(struct rig *rig, struct rig_conn *conn, uint32_t end);
uint32_t *rig_slot(struct rig_server *server, uint32_t slot);
/* The snapshot of the leader has arrived; takes it over. */
void rig_install(struct rig *rig, uint32_t index, struct rig_log *snapshot);
/* Completes a disk request that is due. False: there is none. */
bool rig_disk_step(struct rig *rig, uint32_t index, uint64_t due_ms);
void rig_check(struct rig *rig, uint32_t index);
/* action_count: what came of it; an event without any is not always told. */
void rig_trace_event(struct rig *rig, uint32_t index,
		     const struct zab_event *event, uint32_t action_count);
void rig_trace_action(struct rig *rig, uint32_t index,
		      const struct zab_action *action);

#endif
