/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_WIRE_QUORUM_PACKET_H
#define FALCONER_WIRE_QUORUM_PACKET_H

/*
 * quorum_packet - what a learner and its leader (or observer master) say to
 * each other on port 2888.
 *
 *   int type | long zxid | buffer data | vector<Id> authinfo
 *   Id = ustring scheme | ustring id
 *
 * There is no outer length: a packet ends where its fields end, and the next
 * begins there. After a SNAP packet a raw snapshot follows, which ends with
 * the ustring QUORUM_SNAP_SIGNATURE. What data holds depends on the type:
 *
 *   FOLLOWERINFO, OBSERVERINFO  long sid, int 0x10000, long config version
 *   LEADERINFO                  int 0x10000
 *   ACKEPOCH                    int current epoch, or -1
 *   NEWLEADER                   config text
 *   PROPOSAL, INFORM            transaction entry (wire/txn.h)
 *   COMMITANDACTIVATE           long designated leader
 *   INFORMANDACTIVATE           long designated leader, transaction entry
 *   PING, to the leader         (long session, int timeout)*
 *   REQUEST                     long session, int cxid, int op, record
 *   REVALIDATE, to the leader   long session, int timeout
 *   REVALIDATE, from it         long session, bool valid
 *   the others                  null
 *
 * Context    any thread; no allocation, no globals.
 * Ownership  slices and vectors point into the decoded bytes.
 * Limits     data, each string and all of authinfo hold at most the bytes_max
 *            that the caller gives; Java's is QUORUM_PACKET_DATA_BYTES_MAX.
 * Errors     FAL_EPROTO: close the connection. *out is unspecified then.
 * Cost       one pass over the ids, none over data.
 * Source     quorum-protocol.md sections 5, 11 and 12.
 */

#include "wire/jute.h"
#include "wire/proto.h"

#define QUORUM_PACKET_BARE_BYTES     20 /* null data, null authinfo */
#define QUORUM_PACKET_HEAD_BYTES     16 /* up to data */
#define QUORUM_PACKET_DATA_BYTES_MAX (2 * PROTO_MAX_BUFFER_DEFAULT)
#define QUORUM_PROTOCOL_VERSION      0x10000
#define QUORUM_TOUCH_BYTES           12
#define QUORUM_SNAP_SIGNATURE        "BenWasHere"

enum quorum_type {
	QUORUM_REQUEST = 1,
	QUORUM_PROPOSAL = 2,
	QUORUM_ACK = 3,
	QUORUM_COMMIT = 4,
	QUORUM_PING = 5,
	QUORUM_REVALIDATE = 6,
	QUORUM_SYNC = 7,
	QUORUM_INFORM = 8,
	QUORUM_COMMITANDACTIVATE = 9,
	QUORUM_NEWLEADER = 10,
	QUORUM_FOLLOWERINFO = 11,
	QUORUM_UPTODATE = 12,
	QUORUM_DIFF = 13,
	QUORUM_TRUNC = 14,
	QUORUM_SNAP = 15,
	QUORUM_OBSERVERINFO = 16,
	QUORUM_LEADERINFO = 17,
	QUORUM_ACKEPOCH = 18,
	QUORUM_INFORMANDACTIVATE = 19,
};

struct quorum_packet {
	int32_t type;
	int64_t zxid;
	struct jute_slice data;      /* bytes -1: null */
	struct jute_vector authinfo; /* of quorum_id; count -1: null */
};

struct quorum_id {
	struct jute_slice scheme, id;
};

struct quorum_learner_info {
	int64_t sid;
	int32_t protocol_version;
	int64_t config_version;
	struct jute_slice rest; /* what a newer peer added; may be empty */
};

struct quorum_leader_info {
	int32_t protocol_version;
	struct jute_slice rest;
};

/* One touched session of a PING; also a REVALIDATE to the leader. */
struct quorum_touch {
	int64_t session_id;
	int32_t timeout_ms;
};

struct quorum_revalidated {
	int64_t session_id;
	bool is_valid;
};

struct quorum_request {
	int64_t session_id;
	int32_t cxid, op;
	struct jute_slice body; /* the request's record; may be empty */
};

/* INFORMANDACTIVATE; of COMMITANDACTIVATE entry is empty. */
struct quorum_activate {
	int64_t designated_leader;
	struct jute_slice entry;
};

/*
 * Decodes the packet at the start of a stream's bytes. Types are not judged:
 * peers ignore those they do not know.
 *
 * bytes_max     limit of data, of a string and of authinfo; > 0
 * packet_bytes  out, when 1: size of the packet, the next begins there;
 *               when 0: how many bytes there must be before asking again
 *               (more than now, not necessarily enough)
 *
 * 1           a whole packet
 * 0           not yet
 * FAL_EPROTO  bad length
 */
FAL_MUST_CHECK int quorum_packet_get(const void *data, size_t bytes,
				     int32_t bytes_max,
				     struct quorum_packet *out,
				     size_t *packet_bytes);
/* One element of authinfo. */
FAL_MUST_CHECK int quorum_packet_get_id(struct jute_reader *,
					struct quorum_id *);

/* The contents of data. 0, or FAL_EPROTO: null or too short. A version of
 * before 3.4 or 3.5 (8 or 12 bytes) is FAL_EPROTO, too. */
FAL_MUST_CHECK int quorum_packet_get_learner_info(
	struct jute_slice data, struct quorum_learner_info *out);
FAL_MUST_CHECK int quorum_packet_get_leader_info(struct jute_slice data,
						 struct quorum_leader_info *);
FAL_MUST_CHECK int quorum_packet_get_ack_epoch(struct jute_slice data,
					       int32_t *epoch);
/* Returns how many touches a learner's PING holds (null data: 0), or
 * FAL_EPROTO if the bytes are no multiple of a touch. */
FAL_MUST_CHECK int quorum_packet_touch_count(struct jute_slice data);
/* index: below quorum_packet_touch_count() */
struct quorum_touch quorum_packet_touch_at(struct jute_slice data,
					   uint32_t index);
FAL_MUST_CHECK int quorum_packet_get_request(struct jute_slice data,
					     struct quorum_request *out);
FAL_MUST_CHECK int quorum_packet_get_revalidate(struct jute_slice data,
						struct quorum_touch *out);
FAL_MUST_CHECK int quorum_packet_get_revalidated(
	struct jute_slice data, struct quorum_revalidated *out);
FAL_MUST_CHECK int quorum_packet_get_activate(struct jute_slice data,
					      struct quorum_activate *out);

/* A whole packet. */
void quorum_packet_put(struct jute_writer *, const struct quorum_packet *);
/* A packet with null data and null authinfo: ACK, COMMIT, DIFF, ... */
void quorum_packet_put_bare(struct jute_writer *, int32_t type, int64_t zxid);
/* A packet whose data is written in place: begin, put the contents, end.
 * Returns the mark for quorum_packet_end(). */
size_t quorum_packet_begin(struct jute_writer *, int32_t type, int64_t zxid);
/* authinfo  nullable */
void quorum_packet_end(struct jute_writer *, size_t mark,
		       const struct jute_vector *authinfo);
void quorum_packet_put_id(struct jute_writer *, const struct quorum_id *);

/* Contents, to be used between begin and end. */
void quorum_packet_put_learner_info(struct jute_writer *,
				    const struct quorum_learner_info *);
void quorum_packet_put_leader_info(struct jute_writer *,
				   const struct quorum_leader_info *);
void quorum_packet_put_touch(struct jute_writer *, const struct quorum_touch *);
void quorum_packet_put_request(struct jute_writer *,
			       const struct quorum_request *);
void quorum_packet_put_revalidated(struct jute_writer *,
				   const struct quorum_revalidated *);
void quorum_packet_put_activate(struct jute_writer *,
				const struct quorum_activate *);

#endif
