/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_WIRE_TXN_MODEL_H
#define FALCONER_TESTS_WIRE_TXN_MODEL_H

/*
 * txn_model - a second opinion on which bytes are a transaction entry, made of
 * one format string per type and as plain as possible.
 *
 *   p path | d buffer or null | A vector<ACL> or null | S paths to delete
 *   b 1 byte | i int | l long
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NULL for multi and for what is no type of transaction. */
const char *txn_model_shape(int32_t type);

bool txn_model_accepts(const uint8_t *data, size_t bytes);

#endif
