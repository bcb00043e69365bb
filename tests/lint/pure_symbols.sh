#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A pure archive needs nothing from outside but four functions on memory and
# the way to report a bug, and it has no variables: no clock, no file, no
# allocation, no state between calls can hide in it.
#
# Usage: pure_symbols.sh [-a "more allowed names"] archive...

set -euo pipefail

# bcmp: what clang makes of memcmp(...) == 0.
allowed=(memcpy memmove memset memcmp bcmp fal_panic)
status=0
if [ "${1:-}" = -a ]; then
    read -ra more <<<"$2"
    allowed+=("${more[@]}")
    shift 2
fi

for archive in "$@"; do
    # Ordinary names only: what one member lacks another may define.
    defined=$(nm -g --defined-only "$archive" 2>/dev/null |
        awk 'NF == 3 { print $3 }' | sort -u)
    needed=$(nm -u "$archive" 2>/dev/null |
        awk '$1 == "U" { print $2 }' | sort -u)
    if [ -z "$defined" ]; then
        echo "$archive: defines nothing, is it the right file?"
        status=1
    fi
    foreign=$(comm -13 <(echo "$defined") <(echo "$needed") |
        grep -vxF -f <(printf '%s\n' _GLOBAL_OFFSET_TABLE_ "${allowed[@]}") ||
        true)
    if [ -n "$foreign" ]; then
        echo "$archive: needs from outside:" $foreign
        status=1
    fi
    # Tables of constants with pointers (.data.rel.ro) are no variables.
    variables=$(objdump -t "$archive" |
        awk 'NF >= 4 && $(NF - 2) ~ /^\.(data|bss|tdata|tbss)(\.|$)/ &&
             $(NF - 2) !~ /^\.data\.rel\.ro/ &&
             $NF !~ /^\.(data|bss|tdata|tbss)/ { print $NF }')
    if [ -n "$variables" ]; then
        echo "$archive: has variables:" $variables
        status=1
    fi
done
exit $status
