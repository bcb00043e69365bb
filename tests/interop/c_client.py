# SPDX-License-Identifier: Apache-2.0
"""Apache's C client library against the server.

Goal and method: see c_client/client_test.c. This script builds that program
with the system's compiler and libzookeeper_mt, runs it, restarts the server
when the program asks for it, and counts its verdicts.
"""
import os
import subprocess
import sys
import tempfile
import threading

import harness

SOURCE = os.path.join(harness.HERE, 'c_client', 'client_test.c')
FLAGS = ['-std=gnu11', '-O1', '-g', '-Wall', '-Wextra', '-Werror',
         '-DTHREADED']
RUN_SECONDS = 90


def build(directory):
    if not os.path.exists('/usr/include/zookeeper/zookeeper.h'):
        raise harness.Skip('libzookeeper-mt-dev is not installed')
    program = os.path.join(directory, 'client_test')
    done = subprocess.run(
        [os.environ.get('CC', 'cc')] + FLAGS +
        [SOURCE, '-o', program, '-lzookeeper_mt', '-lpthread'],
        capture_output=True, text=True)
    if done.returncode:
        raise AssertionError('does not compile:\n' + done.stderr[:2000])
    return program


def run(suite, server, program):
    process = subprocess.Popen(
        [program, server.hosts], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    killer = threading.Timer(RUN_SECONDS, process.kill)
    killer.start()
    seen = 0
    try:
        for line in process.stdout:
            line = line.strip()
            if line == 'RESTART':
                server.restart()
                process.stdin.write('go\n')
                process.stdin.flush()
                continue
            seen += 1
            verdict, _, name = line.partition(' ')

            def judge(line=line, verdict=verdict):
                harness.expect(verdict, 'ok', line)
            suite.attempt('C client: ' + name.split(' line ')[0], judge)
        process.wait()
    finally:
        killer.cancel()
        process.kill()
    errors = process.stderr.read()

    def complete():
        harness.expect(seen, 11, 'tests that ended; stderr: ' +
                       errors[-500:])
    suite.attempt('C client: all tests ended', complete)


def main():
    options = harness.options(__doc__.splitlines()[0])
    suite = harness.Suite('c_client')
    with tempfile.TemporaryDirectory(prefix='interop-c-') as directory:
        program = []

        def compile_it():
            program.append(build(directory))
        if suite.attempt('C client: compiles without warnings', compile_it):
            with harness.Server(options.server) as server:
                run(suite, server, program[0])
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
