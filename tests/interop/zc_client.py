# SPDX-License-Identifier: Apache-2.0
"""Falconer's own client library against a server.

Goal and method: see zc_client/zc_client_test.c. Runs against Falconer, then
against Debian's ZooKeeper: the library is for both.
"""
import os
import queue
import subprocess
import sys
import tempfile
import threading

from kazoo.client import KazooClient

import client_program
import harness

TESTS = 11


def program():
    found = os.path.join(os.path.dirname(harness.falconer_binary()), 'tests',
                         'interop', 'zc_client_test')
    if not os.access(found, os.X_OK):
        raise harness.Skip('%s is not built' % os.path.basename(found))
    return found


def installed(directory):
    """Installs the library there; the flags for a program that uses it."""
    build = os.path.dirname(harness.falconer_binary())
    done = subprocess.run(
        ['meson', 'install', '-C', build, '--no-rebuild', '--tags', 'devel',
         '--destdir', directory], capture_output=True, text=True)
    harness.expect(done.returncode, 0, 'meson install: ' + done.stdout[-500:])
    for folder, _, files in os.walk(directory):
        if 'falconer-client.pc' in files:
            break
    else:
        raise AssertionError('falconer-client.pc is not installed')
    env = dict(os.environ, PKG_CONFIG_SYSROOT_DIR=directory,
               PKG_CONFIG_PATH=folder)
    return subprocess.run(
        ['pkg-config', '--cflags', '--libs', '--static', 'falconer-client'],
        env=env, capture_output=True, text=True, check=True).stdout.split()


def lines_of(process):
    """A function that gives the next line or fails after a while."""
    lines = queue.Queue()

    def read():
        for line in process.stdout:
            lines.put(line.strip())
    threading.Thread(target=read, daemon=True).start()
    return lambda: lines.get(timeout=20)


def example(server):
    """examples/watch_config.c, built as its head says, over a restart."""
    with tempfile.TemporaryDirectory(prefix='interop-zc-') as directory:
        binary = os.path.join(directory, 'watch_config')
        source = os.path.join(harness.ROOT, 'examples', 'watch_config.c')
        subprocess.run(
            [os.environ.get('CC', 'cc'), '-Wall', '-Wextra', '-Werror', source]
            + installed(directory) + ['-o', binary], check=True)
        kazoo = KazooClient(hosts=server.hosts)
        kazoo.start()
        with subprocess.Popen([binary, server.hosts, '/shown'],
                              stdout=subprocess.PIPE, text=True) as process:
            try:
                next_line = lines_of(process)
                harness.expect(next_line(), '/shown: no such node', 'before')
                kazoo.create('/shown', b'one')
                harness.expect(next_line(), '/shown = one (version 0)', 'made')
                server.restart()
                harness.expect(next_line(), '/shown = one (version 0)',
                               'after the restart')
                kazoo.retry(kazoo.set, '/shown', b'two')
                line = next_line()
                while server.companions and line == '/shown = one (version 0)':
                    line = next_line()  # it went from one to the next
                harness.expect(line, '/shown = two (version 1)', 'set')
                kazoo.delete('/shown')
                harness.expect(next_line(), '/shown is gone', 'deleted')
            finally:
                process.kill()
                kazoo.stop()
                kazoo.close()


def main():
    options = harness.options(__doc__.splitlines()[0])
    suite = harness.Suite('zc_client')
    # Java is there to try the program itself; a lone one is enough.
    kinds = (options.server,) if harness.members() > 1 \
        else dict.fromkeys((options.server, 'java'))
    for kind in kinds:
        title = 'zc on ' + kind

        def run(kind=kind, title=title):
            with harness.Server(kind) as server:
                client_program.run(suite, server, title, [program()], TESTS)
        suite.attempt(title + ': served', run)

    def run_example():
        with harness.Server(options.server) as server:
            example(server)
    suite.attempt('zc: the example, built with pkg-config', run_example)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
