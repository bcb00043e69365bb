# SPDX-License-Identifier: Apache-2.0
"""Servers and programs as the comparisons use them.

The servers are those of tests/interop/harness.py with two changes that matter
for speed: Java runs with the JVM's own choice of compiler and collector and
1000 MB of heap, as its start script gives it, and log files have the size that
both servers give them when nothing is configured.
"""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'interop'))

import harness  # noqa: E402  (found by the path above)

KINDS = ('falconer', 'java')
JAVA_FLAGS = ['-Dfile.encoding=UTF-8',
              '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
              '-Djava.net.preferIPv4Stack=true']


class Build:
    """The programs of one build folder."""

    def __init__(self, folder):
        self.folder = folder
        self.load = os.path.join(folder, 'perf', 'load', 'load')
        self.floor = os.path.join(folder, 'perf', 'floor', 'floor')
        self.server = os.path.join(folder, 'falconerd')
        for path in (self.load, self.floor, self.server):
            if not os.access(path, os.X_OK):
                sys.exit('%s is not there: ninja -C %s' % (path, folder))
        os.environ['FALCONER'] = self.server


def start(kind, conf=None, java_heap='1000m'):
    """A running server of that kind in a fresh directory."""
    harness.JAVA_FLAGS = ['-Xmx' + java_heap] + JAVA_FLAGS
    settings = {'preAllocSize': None}
    settings.update(conf or {})
    server = harness.Server(kind, conf=settings)
    server.start(90)
    return server


def run_load(build, server, *args):
    """One run of the load program against the server; its JSON."""
    command = [build.load, '--json', '--server-pid',
               str(server.process.pid)] + [str(a) for a in args]
    done = subprocess.run(command + [server.hosts], capture_output=True,
                          text=True)
    if done.returncode != 0:
        raise SystemExit('%s\nended with %d: %s' % (
            ' '.join(command), done.returncode, done.stderr or done.stdout))
    return json.loads(done.stdout)


def run_floor(build, folder, seconds):
    """The floors of this machine now, in microseconds; folder: on the disk
    that the servers write to."""
    done = subprocess.run([build.floor, folder, str(seconds)],
                          capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def load_average():
    return os.getloadavg()[0]


def machine():
    """One line on the machine."""
    with open('/proc/cpuinfo') as f:
        models = [line.split(':', 1)[1].strip() for line in f
                  if line.startswith('model name')]
    with open('/proc/meminfo') as f:
        memory = int(f.readline().split()[1]) / 1e6
    return '%d x %s, %.0f GB, Linux %s' % (
        os.cpu_count(), models[0] if models else 'unknown processor', memory,
        os.uname().release)
