# SPDX-License-Identifier: Apache-2.0
"""The audit log, line by line as ZooKeeper writes it.

Goal: whoever reads zookeeper_audit.log with a parser reads ours.

Method: a script of updates that go well and that fail is run, and the lines
are compared with those of Debian's ZooKeeper 3.8.0, which are kept in
tests/golden/admin/audit.txt (`--server java` compares that server itself,
`--server java --record` writes the file). Masked: session ids, the name of
the user who runs the server, and the secrets of digest ids, which ZooKeeper
prints and Falconer does not.
"""
import os
import re
import sys

import harness
import zkwire
from harness import Suite, expect, ok

SUITE = Suite('audit')
GOLDEN = os.path.join(harness.ROOT, 'tests', 'golden', 'admin', 'audit.txt')
PASSWORD = 'sesame-4711'
JAVA_LOGGER = '-Dorg.slf4j.simpleLogger.log.org.apache.zookeeper.audit=info'
DIGEST_ACL = [(31, 'auth', '')]
WORLD = [(31, 'world', 'anyone')]
READ = [(1, 'world', 'anyone'), (2, 'ip', '127.0.0.1/8')]


def script(server):
    """Each audited operation, well and refused; then the session ends."""
    client = server.client(timeout_ms=20000)
    client.call(zkwire.AUTH, 'digest', b'bob:' + PASSWORD.encode())
    ok(client.create('/a', b'data'))
    ok(client.create2('/a/two', b''))
    client.create('/a', b'again')
    ok(client.create('/a/e', flags=zkwire.EPHEMERAL))
    ok(client.create('/a/s-', flags=2))
    ok(client.create('/a/es-', flags=3))
    ok(client.create_container('/c'))
    ok(client.create_ttl('/t', ttl=1000000))
    ok(client.create_ttl('/t-', flags=6, ttl=1000000))
    client.create('/none/child')
    ok(client.set('/a', b'1'))
    client.set('/a', b'1', 77)
    client.set('/none')
    ok(client.set_acl('/a/two', DIGEST_ACL))
    ok(client.set_acl('/a', READ + WORLD))
    client.set_acl('/none', WORLD)
    client.delete('/none')
    client.delete('/a')
    ok(client.delete('/a/two'))
    ok(client.multi(
        (zkwire.CREATE, zkwire.w_create('/m')),
        (zkwire.CHECK, zkwire.w_path_version('/m', 0)),
        (zkwire.CREATE2, zkwire.w_create('/m/s-', flags=2)),
        (zkwire.SETDATA, zkwire.w_setdata('/m', b'x', 0)),
        (zkwire.DELETE, zkwire.w_path_version('/t'))))
    client.multi((zkwire.CREATE, zkwire.w_create('/m2')),
                 (zkwire.DELETE, zkwire.w_path_version('/none')))
    client.sync('/a')
    client.close()
    client = server.client(timeout_ms=20000)
    ok(client.create('/other', b''))
    client.close()


def masked(text):
    """The fields of each audit line, in order, without the moment."""
    lines = []
    for line in text.splitlines():
        found = re.search(r'(INFO|ERROR) \S*audit\.Slf4jAuditLogger(?: -|:) (.*)', line)
        if not found:
            continue
        fields = found.group(2)
        fields = re.sub(r'session=0x[0-9a-f]+', 'session=S', fields)
        fields = re.sub(r'(digest:[^:]*:)[^:]+(:[cdrwa]*)', r'\1x\2', fields)
        if not re.search(r'\tip=', fields):
            fields = re.sub(r'user=\w+', 'user=SERVER', fields)
        lines.append('%s %s' % (found.group(1), fields))
    return lines


def by_block(lines):
    """Deletions at a session's end have no order of their own."""
    mark = 'ephemeralZNodeDeletion'
    return ([x for x in lines if mark not in x],
            sorted(x for x in lines if mark in x))


# Where ZooKeeper 3.8.0 leaves something out that an auditor wants to know.
ONLY_OURS = re.compile(r'znode_type=persistent(_sequential)?_with_ttl')
TYPE_ONLY_OURS = re.compile(r'(znode=/m/s-\d+)\tznode_type=\w+')


def comparable(lines):
    """Without what ZooKeeper does not tell: nodes with a TTL, and the type of
    what create2 makes in a multi."""
    return [TYPE_ONLY_OURS.sub(r'\1', line) for line in lines
            if not ONLY_OURS.search(line)]


def lines_of(server, log):
    if server.is_java:
        return masked(server.stderr())
    with open(log, encoding='utf-8') as f:
        return masked(f.read())


def audited(kind, conf=None):
    if kind == 'java':
        harness.JAVA_FLAGS.append(JAVA_LOGGER)
    return harness.Server(kind, conf=dict(conf or {}, **{
        'audit.enable': 'true'}))


@SUITE.case('every line is that of ZooKeeper')
def _(options):
    with audited(options.server) as server:
        script(server)
        server.stop()
        got = lines_of(server, os.path.join(server.data,
                                            'zookeeper_audit.log'))
        if options.record:
            with open(GOLDEN, 'w') as f:
                f.write('\n'.join(got) + '\n')
    with open(GOLDEN) as f:
        want = f.read().splitlines()
    if not server.is_java:
        expect(len([x for x in got if ONLY_OURS.search(x)]), 2,
               'nodes with a TTL')
        got = comparable(got)
    for a, b in zip(by_block(got), by_block(want)):
        for i, (one, other) in enumerate(zip(a, b)):
            expect(one, other, 'line %d' % i)
        expect(len(a), len(b), 'lines')


def falconer_only(options):
    if options.server == 'java':
        raise harness.Skip('Falconer\'s own')


@SUITE.case('a file that is renamed is followed by a new one')
def _(options):
    falconer_only(options)
    with audited('falconer', {'falconer.audit.file': 'audit.log'}) as server:
        log = os.path.join(server.home, 'audit.log')
        with server.client() as client:
            ok(client.create('/before'))
            harness.wait_until('a line', lambda: 'znode=/before' in
                               open(log).read())
            os.rename(log, log + '.1')
            harness.wait_until('a new file', lambda: os.path.exists(log))
            ok(client.create('/after'))
            harness.wait_until('a line', lambda: 'znode=/after' in
                               open(log).read())
        expect('/after' in open(log + '.1').read(), False, 'the old file')


@SUITE.case('no audit.enable, no file; a folder that is missing is said')
def _(options):
    falconer_only(options)
    with harness.Server('falconer') as server:
        with server.client() as client:
            ok(client.create('/x'))
        expect(os.path.exists(os.path.join(server.data,
                                           'zookeeper_audit.log')), False)
    server = audited('falconer', {'falconer.audit.file': '/nonesuch/a.log'})
    try:
        server.start()
        raise AssertionError('it started')
    except harness.ServerError as e:
        expect('/nonesuch/a.log' in str(e), True, 'the file is named')
        expect('falconer.audit.file' in str(e), True, 'the key is named')
    finally:
        server.close()


@SUITE.case('text of clients begins no field and no line of its own')
def _(options):
    falconer_only(options)
    with audited('falconer') as server:
        with server.client() as client:
            client.call(zkwire.AUTH, 'digest', b'eve\tresult=x\nfoo:pw')
            client.create('/a\tresult=success\nINFO', b'')
            ok(client.create('/fine', b''))
        server.stop()
        with open(os.path.join(server.data, 'zookeeper_audit.log')) as f:
            lines = f.read().splitlines()
        for line in lines:
            expect(bool(re.match(r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} '
                                 r'(INFO|ERROR) audit\.Slf4jAuditLogger: ',
                                 line)), True, line)
            expect(line.count('\tresult='), 1, line)


@SUITE.case('with cores of their own each update has its one line')
def _(options):
    falconer_only(options)
    with audited('falconer', {'falconer.cores': 2}) as server:
        clients = [server.client() for _ in range(6)]
        for i, client in enumerate(clients):
            for k in range(20):
                ok(client.create('/c%d-%d' % (i, k), b'',
                                 flags=zkwire.EPHEMERAL))
        for client in clients:
            client.close()
        server.stop()
        with open(os.path.join(server.data, 'zookeeper_audit.log')) as f:
            text = f.read()
        for i in range(6):
            for k in range(20):
                name = 'znode=/c%d-%d\t' % (i, k)
                expect(text.count(name), 2, name)


def main():
    options = harness.options(
        __doc__.splitlines()[0], lambda p: p.add_argument(
            '--record', action='store_true', help='write the golden file'))
    SUITE.run(options, options)
    return SUITE.finish()


if __name__ == '__main__':
    sys.exit(main())
