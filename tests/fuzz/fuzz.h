/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_FUZZ_FUZZ_H
#define FALCONER_TESTS_FUZZ_FUZZ_H

/* fuzz - libFuzzer calls this with each input; 0 always. Findings abort. */

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#endif
