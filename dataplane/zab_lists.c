/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zab_lists - what the writer lists when it is asked: a session's ephemerals
 * for getEphemerals, all sessions with their ephemerals for the word dump, and
 * past digests for the word hash.
 *
 * A client's list is one state: the writer copies which nodes they are, the
 * reader makes the reply of them. The lists of the words are made bit by bit
 * between the transactions, so they are of no single moment; each line was true
 * when it was written.
 */
#include "dataplane/zab_int.h"

#include <stdlib.h>
#include <string.h>

/*
 * The nodes are those after everything appended so far, which is the state the
 * answer's fence names; the reader makes the text of them, in slices. Their
 * array is malloc'ed here and freed by the reader, the one exception to
 * "whoever allocates frees": it is rare and its size is known only here.
 */
enum req_verdict
zab_list_ephemerals(struct zab *zab, struct req *req, int32_t *err)
{
	const struct tree *tree = zab->parts.tree;
	struct jute_reader body = jute_reader_of(req->body, req->body_bytes);
	const uint64_t bytes =
		tree_ephemeral_count(tree, req->session_id) * sizeof(uint32_t);
	struct jute_slice prefix;

	if (proto_get_path(&body, &prefix) != 0) {
		*err = ZK_MARSHALLINGERROR;
		return REQ_ANSWER;
	}
	*err = ZK_OK;
	if (bytes == 0)
		return REQ_ANSWER;
	req->reply = bytes > UINT32_MAX ? NULL : malloc(bytes);
	if (req->reply == NULL)
		return REQ_CLOSE;
	tree_ephemeral_handles(tree, req->session_id, (void *)req->reply);
	req->reply_bytes = (uint32_t)bytes;
	return REQ_ANSWER;
}

/* ---- sessions ------------------------------------------------------------ */

uint64_t
zab_session_heard(void *arg, const struct session *session)
{
	struct zab *zab = arg;
	const struct session_owner owner = session->owner;

	if (owner.core >= zab->parts.channel_count)
		return 0; /* nobody, or a learner: its PINGs raise heard_ms */

	const struct channel *channel = zab->parts.channel[owner.core];
	const struct channel_heard *heard = &channel->heard[owner.conn];

	FAL_ASSERT(owner.conn < channel->conn_limit);
	if (atomic_load_explicit(&heard->gen, memory_order_relaxed) !=
	    owner.conn_gen)
		return 0;
	return atomic_load_explicit(&heard->ms, memory_order_relaxed);
}

/*
 * One more ephemeral of cursor->session_id; false: none is left. From the end
 * down: a removal in between puts the last node into the gap, and that one has
 * been told. Nodes whose creation is not committed yet are left out.
 */
static bool
ephemeral_next(struct zab *zab, struct zab_session_cursor *cursor,
	       uint32_t *budget, struct zab_session_row *out)
{
	struct tree *tree = zab->parts.tree;

	while (cursor->ephemerals > 0 && *budget > 0) {
		const struct znode *node = tree_ephemeral(
			tree, cursor->session_id, --cursor->ephemerals);

		--*budget;
		if (node == NULL)
			continue;

		const uint32_t bytes = tree_path_text(
			tree, node, zab->path_text, ZAB_PATH_TEXT_BYTES);

		/* Longer ones come with a snapshot, if at all. */
		if (bytes > ZAB_PATH_TEXT_BYTES)
			continue;
		if (tree_lookup(tree, tree_path_of(tree, zab->path_text, bytes),
				(uint64_t)zab->published) != node)
			continue;
		*out = (struct zab_session_row){
			.session_id = cursor->session_id,
			.path = jute_slice_of(zab->path_text, bytes),
		};
		return true;
	}
	return false;
}

bool
zab_session_next(struct zab *zab, struct zab_session_cursor *cursor,
		 uint32_t *budget, struct zab_session_row *out)
{
	const struct session *session;

	if (zab->is_lent) {
		cursor->sessions.is_done = true;
		return false;
	}
	if (ephemeral_next(zab, cursor, budget, out))
		return true;
	if (*budget == 0)
		return false;
	do
		session = session_next(zab->parts.sessions, &cursor->sessions,
				       budget);
	while (session != NULL && session->is_closing);
	if (session == NULL)
		return false;
	cursor->session_id = session->id;
	cursor->ephemerals = tree_ephemeral_count(zab->parts.tree, session->id);
	*out = (struct zab_session_row){
		.session_id = session->id,
		.expires_ms = session_deadline(zab->parts.sessions, session,
					       zab_session_heard(zab, session)),
		.path = {.bytes = -1},
	};
	return true;
}

bool
zab_digest_next(const struct zab *zab, uint64_t *position,
		struct digest_log_entry *out)
{
	return digest_log_next(&zab->digests, position, out);
}

void
zab_note_time(struct zab *zab, uint64_t now_ns)
{
	zab->now_ns = zab->parts.ledger == NULL ? 0 : now_ns;
}
