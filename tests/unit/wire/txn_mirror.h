/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_WIRE_TXN_MIRROR_H
#define FALCONER_TESTS_WIRE_TXN_MIRROR_H

/* txn_mirror - encodes a decoded transaction entry again. Used by the unit
 * tests and by the fuzz target. */

#include "wire/txn.h"

/* Writes header, record (a multi with all its operations) and digest. The
 * digest's version is always 2. 0, or FAL_EPROTO if an operation of a multi,
 * accepted before, is not any more. */
int txn_mirror(struct jute_writer *writer, const struct txn_entry *entry);

#endif
