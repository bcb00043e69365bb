/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_METRICS_H
#define FALCONER_SERVER_METRICS_H

/*
 * metrics - every number the server tells about itself, once.
 *
 * One walk over stats.def, tree, log, network and process; what becomes of a
 * metric is the sink's business. Three of them: the lines of mntr, the keys of
 * the admin command monitor (both flat: a summary is five names), and the text
 * format of Prometheus.
 *
 * Names that ZooKeeper has are ZooKeeper's, in its units: times in ms. Ours
 * begin with falconer_.
 *
 * Context    control thread.
 * Cost       adds up all cores' blocks: about 100 us. BG walks the quotas
 *            meanwhile: 100 ns a node of them, and 100 ms at most.
 * Source     client-protocol.md 11.3.
 */

#include <stdio.h>

#include "server/server.h"

enum metric_kind {
	METRIC_GAUGE,
	METRIC_COUNTER,
};

struct metrics_sink {
	void *arg;
	void (*number)(void *arg, const char *name, enum metric_kind,
		       uint64_t value);
	void (*real)(void *arg, const char *name, enum metric_kind,
		     double value);
	void (*summary)(void *arg, const char *name, const struct summary *);
	/* hist is in ns; label: see stats.def, "": none. */
	void (*latency)(void *arg, const char *name, const char *label,
			const struct hist *);
	/* One of a set, told apart by a key: any text without control
	 * characters. Those of one name follow each other. latency: ms. */
	void (*set_number)(void *arg, const char *name, enum metric_kind,
			   const char *key, int64_t value);
	void (*set_latency)(void *arg, const char *name, const char *key,
			    const struct hist *);
};

void metrics_visit(const struct server *, const struct metrics_sink *);

/* Flat metrics: `text` is a decimal number. */
typedef void (*metrics_flat_fn)(void *arg, const char *name, const char *text);
void metrics_visit_flat(const struct server *, metrics_flat_fn, void *arg);

/* A latency's name in units of its own: ends in _ns. Else it is in ms. */
bool metrics_is_ns(const char *name);

/* Text exposition format 0.0.4. */
void metrics_put_prometheus(FILE *out, const struct server *);

#endif
