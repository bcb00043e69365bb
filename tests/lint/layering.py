# SPDX-License-Identifier: Apache-2.0
"""Include lines keep to the layers.

    server, tools -> dataplane, store -> consensus, znode, drivers -> wire -> base

A folder includes only folders to its right; dataplane and store do not know
each other, nor do consensus and znode. Of drivers/ the layers above see the
interfaces only, and nobody includes an implementation but its own family and
server/, which picks one. No socket, DPDK or io_uring header appears above
drivers/: what the stream interface hides stays hidden.

Usage: layering.py [root]
"""
import re
import sys

import sources

# What each folder may include besides itself.
BELOW = {
    'base': set(),
    'wire': {'base'},
    'consensus': {'wire', 'base'},
    'znode': {'wire', 'base'},
    'drivers': {'wire', 'base'},
    'store': {'consensus', 'znode', 'drivers', 'wire', 'base'},
    'dataplane': {'consensus', 'znode', 'drivers', 'wire', 'base'},
    'client': {'drivers', 'wire', 'base'},
    'server': {'dataplane', 'store', 'consensus', 'znode', 'drivers', 'wire',
               'base'},
    'tools': {'client', 'dataplane', 'store', 'consensus', 'znode', 'drivers',
              'wire', 'base'},
}

# The faces of drivers/; every other header there is an implementation's.
INTERFACES = {
    'drivers/clock.h', 'drivers/disk.h', 'drivers/lcore.h', 'drivers/port.h',
    'drivers/stream.h', 'drivers/stream_address.h',
    'drivers/stream_buf.h', 'drivers/stream_chain.h',
    'drivers/stream_limits.h', 'drivers/stream_table.h',
}
# Who may include implementations.
CHOOSERS = {'drivers', 'server', 'tools'}

# System headers that give away the network or the device below.
HIDDEN = re.compile(r'(sys/(socket|epoll|uio|un)\.h|netinet/|arpa/|netdb\.h|'
                    r'net/|linux/|liburing|rte_|ethdev)')
# Where they may stand: the ring of base/ring.h is DPDK's.
MAY_SEE_HIDDEN = {'drivers', 'client', 'tools'}
HIDDEN_BUT_ALLOWED = {
    ('base/ring.h', 'rte_ring.h'),
    # libmicrohttpd takes and gives sockaddrs.
    ('server/admin_http.c', 'netinet/in.h'),
}

# A pure folder sees no more of the system than this.
PURE = {
    'consensus': {'stdbool.h', 'stddef.h', 'stdint.h', 'string.h',
                  'inttypes.h', 'limits.h', 'stdalign.h'},
    'wire': {'stdbool.h', 'stddef.h', 'stdint.h', 'string.h', 'inttypes.h',
             'limits.h', 'stdalign.h'},
}

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


def includes_of(text):
    for number, line in enumerate(text.splitlines(), 1):
        found = INCLUDE.match(line)
        if found:
            yield number, found.group(1) == '"', found.group(2)


def check_project_include(folder, path, target, files):
    """What is wrong with `#include "target"` in path; None: nothing."""
    if target not in files:
        # Headers that meson writes are in the same folder of the build tree.
        if target + '.in' in files or target + 'tml' in files:
            return None
        return f'"{target}" is no path from the root of the tree'
    if target.endswith('.c'):
        return f'"{target}": a .c file is included by nobody'
    to = target.split('/')[0]
    if to != folder and to not in BELOW[folder]:
        return f'"{target}": {folder}/ must not know {to}/'
    if to == 'drivers' and target not in INTERFACES \
            and folder not in CHOOSERS:
        return f'"{target}" is an implementation, include its interface'
    return None


def check_system_include(folder, path, target):
    if folder in PURE and target not in PURE[folder]:
        return f'<{target}>: {folder}/ is pure'
    if HIDDEN.match(target) and folder not in MAY_SEE_HIDDEN \
            and (path, target) not in HIDDEN_BUT_ALLOWED:
        return f'<{target}> belongs below drivers/stream.h'
    return None


def check_file(path, text, files):
    folder = path.split('/')[0]
    own = path[:-2] + '.h'
    is_first = True
    for number, is_project, target in includes_of(text):
        if is_project:
            wrong = check_project_include(folder, path, target, files)
        else:
            wrong = check_system_include(folder, path, target)
        if wrong:
            yield path, number, wrong
        # Or a private one of the same stem, which includes it in turn.
        if is_first and path.endswith('.c') and own in files \
                and target != own \
                and not target.startswith(path[:-2] + '_'):
            yield path, number, f'the own header "{own}" comes first'
        is_first = False


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else '.'
    files = set(sources.walk(root))
    findings = []
    for path in sorted(files):
        if path.split('/')[0] in BELOW and path.endswith(('.c', '.h')):
            findings += check_file(path, sources.read(root, path), files)
    sources.finish(findings)


if __name__ == '__main__':
    main()
