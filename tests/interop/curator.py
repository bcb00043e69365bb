# SPDX-License-Identifier: Apache-2.0
"""Curator, the client library of most Java programs, and its recipes.

Goal: what Curator builds on Apache's Java client works unchanged: fluent
operations, transactions, caches, locks, leaders, counters, queues, service
discovery, over restarts of the server and expiries of sessions too.

Method: see curator/Suite.java. This script compiles the program against
Debian's Curator 5.4, runs it, restarts the server when the program asks for
it, and counts its verdicts.
"""
import glob
import os
import shutil
import subprocess
import sys

import client_program
import harness

SOURCES = sorted(glob.glob(os.path.join(harness.HERE, 'curator', '*.java')))
JARS = ['curator-client', 'curator-framework', 'curator-recipes',
        'curator-x-discovery', 'guava', 'jackson-annotations', 'jackson-core',
        'jackson-databind', 'slf4j-simple', 'zookeeper', 'zookeeper-jute']
TESTS = sum(open(source).read().count('Suite.attempt(')
            for source in SOURCES)


def classpath():
    jars = ['/usr/share/java/%s.jar' % name for name in JARS]
    for jar in jars:
        if not os.path.exists(jar):
            raise harness.Skip('%s is not installed' % os.path.basename(jar))
    return ':'.join(jars)


def compiled(directory):
    if shutil.which('javac') is None:
        raise harness.Skip('there is no javac')
    done = subprocess.run(
        ['javac', '-Xlint:all,-classfile,-processing,-path', '-Werror', '-cp',
         classpath(), '-d', directory] + SOURCES,
        capture_output=True, text=True)
    if done.returncode:
        raise AssertionError('does not compile:\n' + done.stderr[:2000])
    return ['java', '-Xmx256m', '-XX:+UseSerialGC',
            '-XX:TieredStopAtLevel=1', '-Xshare:auto',
            '-Dorg.slf4j.simpleLogger.defaultLogLevel=off',
            '-cp', '%s:%s' % (directory, classpath()), 'Suite']


if __name__ == '__main__':
    sys.exit(client_program.main(__doc__.splitlines()[0], 'curator',
                                 'Curator', compiled, TESTS))
