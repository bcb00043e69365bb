# SPDX-License-Identifier: Apache-2.0
"""The probes in the server are those that docs/perf.md tells of.

Usage: probes.py [root] FALCONERD
"""
import os
import re
import subprocess
import sys

import sources

PAGE = 'docs/perf.md'
ROW = re.compile(r'^\| `(\w+)\(([^)]*)\)` \|', re.M)
NOTE = re.compile(r'Provider: falconer\s+Name: (\w+)\s+.*\s+'
                  r'Arguments:(.*)')


def probes_told(text):
    """name: number of arguments, of the table's rows."""
    return {name: len(re.findall(r'\w+', arguments))
            for name, arguments in ROW.findall(text)}


def probes_found(notes):
    """The same of the output of readelf -n."""
    return {name: len(arguments.split())
            for name, arguments in NOTE.findall(notes)}


def differences(told, found):
    for name in sorted(set(told) | set(found)):
        if name not in found:
            yield '%s: %s is not in the server' % (PAGE, name)
        elif name not in told:
            yield '%s: does not tell of the probe %s' % (PAGE, name)
        elif told[name] != found[name]:
            yield '%s: %s has %d arguments, not %d' % (
                PAGE, name, found[name], told[name])


def main(root, server):
    notes = subprocess.run(['readelf', '-nW', server], capture_output=True,
                           text=True, check=True).stdout
    faults = list(differences(probes_told(sources.read(root, PAGE)),
                              probes_found(notes)))
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1] if len(sys.argv) > 2 else os.curdir,
                  sys.argv[-1]))
