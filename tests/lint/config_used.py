# SPDX-License-Identifier: Apache-2.0
"""No key of zoo.cfg is accepted and then forgotten.

Each field that config_keys.def fills is read by the server; or stops the start
in missing_part() of server/config.c; or stands in HARMLESS below with the
reason why nobody needs to read it.

Usage: config_used.py [root]
"""
import os
import re
import sys

import sources

KEYS = 'server/config_keys.def'
# kind(scope, "key", field, ... of config_keys.def
ROW = re.compile(r'^(INT|RAISED|SIZE|REAL|BOOL|YESNO|ENUM|TEXT|PATH|URL)\('
                 r'\w+,\s*"([^"]+)",\s*(\w+)', re.M)

HARMLESS = {
    'election_algorithm': 'there is only one, 3',
    'dynamic_file': 'config.c reads it',
    'reachability_check': 'all addresses of a server are dialed at once',
    'reachability_timeout_ms': 'all addresses of a server are dialed at once',
    'diff_syncs_max': 'a DIFF is read by BG in slices: no limit is needed',
    'observer_reconnect_ms': 'a delay for many observers; none is less',
    'observer_election_ms': 'a delay for many observers; none is less',
    'observer_master_bytes': 'what an observer missed comes from the log',
    'leader_nodelay': 'TCP_NODELAY is always set',
    'follower_nodelay': 'TCP_NODELAY is always set',
}


def text_of_users(root, paths):
    """All C of the product that may read a field."""
    for path in paths:
        folder, name = os.path.split(path)
        if path.endswith('.c') and folder == 'server' \
                and not name.startswith('config'):
            yield sources.read(root, path)


def refusals(root):
    text = sources.read(root, 'server/config.c')
    found = re.search(r'^missing_part\(.*?^}', text, re.M | re.S)
    return found.group(0) if found else ''


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else '.'
    paths = list(sources.walk(root))
    used = '\n'.join(text_of_users(root, paths)) + refusals(root)
    findings = []
    keys = sources.read(root, KEYS)
    rows = list(ROW.finditer(keys))
    if not rows:
        findings.append((KEYS, 1, 'holds no keys'))
    for row in rows:
        key, field = row.group(2), row.group(3)
        line = keys[:row.start()].count('\n') + 1
        is_used = re.search(rf'\bconfig(->|\.){field}\b', used)
        if field in HARMLESS and is_used:
            findings.append((KEYS, line, f'{field} is read: it is HARMLESS '
                             'no more'))
        elif field not in HARMLESS and not is_used:
            findings.append((KEYS, line, f'{key} is accepted, and nobody '
                             f'reads {field}'))
    sources.finish(findings)


if __name__ == '__main__':
    main()
