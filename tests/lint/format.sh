#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# All C is laid out as .clang-format says; to repair: clang-format -i FILE.
#
# Usage: format.sh root [folder...]

set -uo pipefail

cd "$1" || exit 2
shift
if ! command -v clang-format >/dev/null; then
    echo 'skipped: clang-format is not installed'
    exit 77
fi
find "${@:-.}" \( -name 'build*' -o -name .git \) -prune -o \
    -name '*.[ch]' -print0 |
    xargs -0 -n 16 -P 2 clang-format --dry-run -Werror -style=file
