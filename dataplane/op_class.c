/* SPDX-License-Identifier: Apache-2.0 */
/* op_class - who answers a request, by its opcode alone. */
#include "dataplane/reader_int.h"

enum op_class
op_classify(int32_t op)
{
	switch (op) {
	case OP_EXISTS:
	case OP_GET_DATA:
	case OP_GET_ACL:
	case OP_GET_CHILDREN:
	case OP_GET_CHILDREN2:
	case OP_GET_ALL_CHILDREN_NUMBER:
	case OP_MULTI_READ:
	case OP_CHECK_WATCHES:
	case OP_REMOVE_WATCHES:
	case OP_ADD_WATCH:
	case OP_SET_WATCHES:
	case OP_SET_WATCHES2:
	case OP_WHO_AM_I:
	case OP_SASL:
		return OP_CLASS_LOCAL;
	case OP_CREATE:
	case OP_CREATE2:
	case OP_CREATE_CONTAINER:
	case OP_CREATE_TTL:
	case OP_DELETE:
	case OP_SET_DATA:
	case OP_SET_ACL:
	case OP_MULTI:
	case OP_RECONFIG:
	case OP_CLOSE_SESSION:
		return OP_CLASS_WRITE;
	case OP_SYNC:
		return OP_CLASS_SYNC;
	case OP_GET_EPHEMERALS:
		return OP_CLASS_EPHEMERAL;
	case OP_PING:
		return OP_CLASS_PING;
	case OP_AUTH:
		return OP_CLASS_AUTH;
	default:
		/* check outside a multi, deleteContainer and createSession
		 * from a client are refused here too (client-protocol.md 19).
		 */
		return OP_CLASS_UNKNOWN;
	}
}
