#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Each header compiles alone: whoever includes it needs nothing before it.
#
# Usage: headers.sh root build "compiler" folder...
#   build     the build tree, for headers that are made there
#   compiler  with its flags for packages, as one word

set -uo pipefail

root=$1 build=$2
read -ra compiler <<<"$3"
shift 3

check() {
    local out
    if ! out=$("${compiler[@]}" -std=gnu11 -D_GNU_SOURCE -I"$root" \
        -I"$build" -DGOLDEN_DIR='""' -Wall -Wextra -Werror -fsyntax-only \
        -x c - 2>&1 <<<"#include \"$1\""); then
        printf '%s does not compile alone:\n%s\n' "$1" "$out"
        return 1
    fi
}

cd "$root" || exit 2
status=0
while read -r header; do
    check "$header" || status=1
done < <(find "$@" -name '*.h' | sort)
exit $status
