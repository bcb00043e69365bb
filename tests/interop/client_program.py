# SPDX-License-Identifier: Apache-2.0
"""Runs a test program that is a client: gives it the server, restarts the
server when the program says RESTART, and counts its verdicts, a line each:
"ok NAME" or "not_ok NAME WHY".
"""
import subprocess
import tempfile
import threading

import harness

RUN_SECONDS = harness.CASE_SECONDS


def run(suite, server, title, command, count):
    process = subprocess.Popen(
        command + [server.hosts], stdin=subprocess.PIPE,
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
            suite.attempt('%s: %s' % (title, name.split(' line ')[0]), judge)
        process.wait()
    finally:
        killer.cancel()
        process.kill()
    errors = process.stderr.read()

    def complete():
        harness.expect(seen, count, 'tests that ended; stderr: ' +
                       errors[-500:])
    suite.attempt('%s: all tests ended' % title, complete)


def main(description, name, title, build, count):
    """A suite of one program: build(directory) makes it there and returns its
    command. Returns the exit status."""
    options = harness.options(description)
    suite = harness.Suite(name)
    with tempfile.TemporaryDirectory(prefix='interop-') as directory:
        command = []

        def compile_it():
            command.extend(build(directory))
        if suite.attempt('%s: compiles without warnings' % title, compile_it):
            with harness.Server(options.server) as server:
                run(suite, server, title, command, count)
    return suite.finish()
