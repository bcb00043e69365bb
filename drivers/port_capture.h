/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_PORT_CAPTURE_H
#define FALCONER_DRIVERS_PORT_CAPTURE_H

/*
 * port_capture - frames of a port into a pcap file, on demand.
 *
 * DPDK's own capture needs a second process in the same memory, which our
 * memory does not allow. Here the poll cores copy the beginning of each frame
 * that matches a filter into a ring of their own, and the control thread writes
 * them to the file; what does not fit is counted, no core ever waits. While
 * nobody captures, a core pays one read.
 *
 * The file is libpcap's, with nanoseconds:
 *
 *   0 magic 0xa1b23c4d  4 version 2, 4  8 zero  16 snap length  20 Ethernet, 1
 *   then for each frame: seconds, nanoseconds, bytes kept, bytes of the frame
 *
 * Context    start, drain, stop: the control thread. frames: the core named.
 * Limits     PORT_CAPTURE_RING bytes a core between two drains.
 * Errors     FAL_EINVAL (filter), FAL_EIO (file), FAL_ENOMEM.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/fal.h"

#define PORT_CAPTURE_RING  (1u << 20)
#define PORT_CAPTURE_SNAP  128u /* default: headers and the first request */
#define PORT_CAPTURE_CORES 17u

struct rte_mbuf;
struct port_capture;

/*
 * Begins a capture.
 *
 * filter  words with blanks between, all of which must hold: "port=2181" (TCP,
 *         either side), "host=10.0.0.1" (IPv4, either side), "arp"; and
 * "snap=N" for how many bytes of a frame are kept. NULL or "": everything.
 */
FAL_MUST_CHECK int port_capture_start(const char *path, const char *filter,
				      uint32_t core_count,
				      struct port_capture **capture);

/* Takes note of frames that a core received or sends; borrowed. */
void port_capture_frames(struct port_capture *capture, uint32_t core,
			 struct rte_mbuf *const *frames, uint32_t count);

/* Writes what the cores have noted. Returns 0 or FAL_EIO. */
FAL_MUST_CHECK int port_capture_drain(struct port_capture *capture);

/* Frames written, and frames that found no room. */
void port_capture_counts(const struct port_capture *capture, uint64_t *written,
			 uint64_t *lost);

/* Writes the rest and closes the file; no core uses it any more. */
void port_capture_stop(struct port_capture *capture);

#endif
