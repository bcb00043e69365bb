# SPDX-License-Identifier: Apache-2.0
"""ZooKeeper's own command line client, scripted.

Goal: an operator with zkCli.sh sees the same text, to the zxid.

Method: the commands of zkcli.commands are piped into zkCli.sh on a fresh
server. Dates and session ids are masked; zxids, versions and messages are
not. What watches print comes from another thread of the client, so those
lines are taken out and compared as a list of their own. The transcript must
equal zkcli.expected, which was taken from Debian's Java server with
--record; comparing that server to it again is the self-check.
"""
import difflib
import os
import re
import subprocess
import sys

import harness

ZKCLI = '/usr/share/zookeeper/bin/zkCli.sh'
COMMANDS = os.path.join(harness.HERE, 'zkcli.commands')
EXPECTED = os.path.join(harness.HERE, 'zkcli.expected')
RUN_SECONDS = 60


def commands():
    with open(COMMANDS) as f:
        return [line.rstrip('\n') for line in f
                if line.strip() and not line.startswith('#')]


def run_client(server):
    """Everything zkCli.sh printed, both streams in one."""
    env = dict(os.environ, ZOO_LOG_DIR=server.home,
               JVMFLAGS='-Xmx128m -XX:TieredStopAtLevel=1')
    script = '\n'.join(commands()) + '\nquit\n'
    done = subprocess.run(
        ['/bin/bash', ZKCLI, '-server', server.hosts], input=script,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=RUN_SECONDS, env=env, cwd=server.home)
    return done.stdout


def alone(text):
    """What an ensemble's shell printed, as if there were one server: in its
    first epoch, without members in /zookeeper/config."""
    config = re.search(r'(?:^server\..*\n)+^version=\w+$', text, re.M).group(0)
    text = text.replace(config + '\n', '')
    text = text.replace('dataVersion = -1\n', 'dataVersion = 0\n')
    text = re.sub('dataLength = %d$' % len(config), 'dataLength = 0', text,
                  flags=re.M)
    return re.sub(r'(Zxid = 0x)10*(?=[0-9a-f]+$)', r'\1', text, flags=re.M)


def normalise(text, server):
    """(transcript, watch lines) with what varies masked."""
    lines, watches = [], []
    if server.companions:
        text = alone(text)
    for line in text.splitlines():
        if line.startswith('SLF4J') or not line.strip():
            continue
        if line == 'WATCHER::':
            continue
        if line.startswith('WatchedEvent '):
            # The shell may end before it has told of the refused identity.
            if 'state:AuthFailed' not in line:
                watches.append(line)
            continue
        line = line.replace(server.hosts, 'HOST')
        if line == 'ip: ' + harness.CLIENT_HOST:
            line = 'ip: 127.0.0.1'
        line = re.sub(r'\w{3} \w{3} \d\d \d\d:\d\d:\d\d \w+ \d{4}', 'DATE',
                      line)
        line = re.sub(r'0x[1-3][0-9a-f]{14}', 'SESSION', line)
        if line == 'Not connected':
            # The refused identity ends the session; whether the shell knows
            # that before it sends its next command is a race of its own.
            line = 'KeeperErrorCode = AuthFailed for /'
        if re.fullmatch(r'\[.*\]', line):
            # Lists of no promised order.
            line = '[%s]' % ', '.join(sorted(line[1:-1].split(', ')))
        lines.append(line)
    # So are the identities that whoami prints.
    at = lines.index('Auth scheme: User') if 'Auth scheme: User' in lines \
        else len(lines)
    lines[at + 1:at + 3] = sorted(lines[at + 1:at + 3])
    return lines, watches


def transcript(kind):
    with harness.Server(kind) as server:
        lines, watches = normalise(run_client(server), server)
    return lines + ['-- watch events'] + sorted(watches)


def compare(kind):
    with open(EXPECTED) as f:
        want = f.read().splitlines()
    got = transcript(kind)
    if len(want) < len(commands()) // 2:
        raise AssertionError('the expected transcript is too short')
    if got != want:
        raise AssertionError('the transcript differs:\n      %s' % (
            '\n      '.join(list(difflib.unified_diff(
                want, got, 'expected', 'got', lineterm='', n=2))[:60])))


def main():
    def extra(p):
        p.add_argument('--record', action='store_true',
                       help='write zkcli.expected from the Java server')
    options = harness.options(__doc__.splitlines()[0], extra)
    suite = harness.Suite('zkcli')
    if options.record:
        with open(EXPECTED, 'w') as f:
            f.write('\n'.join(transcript('java')) + '\n')
        return 0
    if not os.path.exists(ZKCLI):
        print('SKIPPED zkcli: %s is not installed' % ZKCLI)
        return 0
    suite.attempt('%d commands of zkCli.sh' % len(commands()), compare,
                  options.server)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
