/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_STREAM_LOAN_H
#define FALCONER_DATAPLANE_STREAM_LOAN_H

/*
 * stream_loan - the connection whose bytes a hook looks at. The hook may end
 * it, but its bytes go with it: so that is done when the hook has returned.
 *
 * Context    the core of the stream core. Loans do not nest.
 */

#include "drivers/stream.h"

struct stream_loan {
	stream_id id; /* STREAM_NONE: nothing is lent */
	bool must_end;
};

static inline void
stream_loan_begin(struct stream_loan *loan, stream_id id)
{
	loan->id = id;
	loan->must_end = false;
}

/* The hook has seen so many bytes. */
static inline void
stream_loan_end(struct stream_loan *loan, struct stream_core *streams,
		uint32_t bytes)
{
	const stream_id id = loan->id;

	loan->id = STREAM_NONE;
	stream_consume(streams, id, bytes);
	if (loan->must_end)
		stream_close(streams, id);
}

/* Whether the connection is lent; it ends with the loan then. */
static inline bool
stream_loan_defers_end(struct stream_loan *loan, stream_id id)
{
	if (id != loan->id)
		return false;
	loan->must_end = true;
	return true;
}

/* Ends a connection in order, if it is one. */
static inline void
stream_loan_hang_up(struct stream_loan *loan, struct stream_core *streams,
		    stream_id id)
{
	if (id != STREAM_NONE && !stream_loan_defers_end(loan, id))
		stream_close(streams, id);
}

#endif
