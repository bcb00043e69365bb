# SPDX-License-Identifier: Apache-2.0
"""A data directory moves between Java and Falconer, both ways.

Goal: an operator may stop one server and start the other on the same
directory: same nodes, same sessions, same digests, nothing lost.

Method: a workload that leaves every transaction type in the log, snapshots
in between and sessions open, runs on the first server, which then is
stopped or killed.  The files are read by disk.py, a third reader: every
checksum, every zxid in turn, every logged digest recomputed from the
transactions alone.  Then the other server starts on the directory: the tree
must be equal in every byte and Stat field, an open session can be resumed
with its ephemeral, an abandoned one expires and takes its ephemerals along,
numbering goes on.  Java counts the digests that do not fit while it loads;
the count must stay 0.  Last, the first server takes the directory back.
"""
import os
import re
import sys
import time

import disk
import harness
import zkwire
from harness import expect, expect_err, ok, wait_until
from zkwire import (CONTAINER, CREATE, CREATE2, DELETE, EPHEMERAL, OPEN,
                    SETDATA)

SUPER = 'super:D/InIHSb7yEEbrWz8b9l71RjZJU='
CONF = {
    'DigestAuthenticationProvider.superDigest': SUPER,
    'snapCount': 300,
    'znode.container.checkIntervalMs': 200,
    'minSessionTimeout': 1000,
    'maxSessionTimeout': 60000,
}
# Transaction types the workload must leave in the log.
TYPES = {1, 2, 5, 7, 14, 15, 19, 20, 21, -1, -10, -11}


def op(kind, *args):
    return kind, zkwire.REQUEST[kind](*args)


def node_kinds(c):
    """Nodes of every kind, with data and names of every sort."""
    for name, data in (('null', None), ('empty', b''), ('text', b'hello'),
                       ('binary', bytes(range(256))),
                       ('large', os.urandom(20000))):
        ok(c.create('/kinds/' + name, data))
    for name in ('é', '日本語', '\u2028', '\uffef', 'a b', '...'):
        ok(c.create2('/kinds/' + name, name.encode()))
    for _ in range(3):
        ok(c.create('/kinds/seq-', flags=2))
    ok(c.create('/kinds/', flags=2))
    ok(c.create_container('/kinds/container'))
    ok(c.create_container('/kinds/container/inner'))
    ok(c.create_ttl('/kinds/ttl', b'ttl', ttl=2 ** 40 - 1))
    ok(c.create_ttl('/kinds/ttl-', flags=6, ttl=3600000))


def acls(c):
    ok(c.auth('digest', b'bob:pw'))
    ok(c.create('/acl', acl=[(31, 'auth', ''), (1, 'world', 'anyone')]))
    ok(c.create('/acl/ip', acl=[(31, 'ip', '127.0.0.0/8'),
                                (-1, 'digest', 'a:b'),
                                (0, 'world', 'anyone')]))
    ok(c.create('/acl/plain'))
    ok(c.set_acl('/acl/plain', [(3, 'world', 'anyone'),
                                (31, 'auth', '')]))
    ok(c.set_acl('/acl/plain', [(7, 'world', 'anyone')], 1))
    ok(c.create('/acl/same', acl=[(7, 'world', 'anyone')]))


def failures(c):
    """Every failed write is a transaction too."""
    expect_err(c.create('/kinds'), -110)
    expect_err(c.create('/none/x'), -101)
    expect_err(c.delete('/kinds'), -111)
    expect_err(c.set('/kinds', b'', 9), -103)
    expect_err(c.set_acl('/kinds', []), -114)
    ok(c.multi())
    reply = ok(c.multi(op(CREATE, '/kinds/no'), op(DELETE, '/none', -1),
                       op(CREATE, '/kinds/nor')))
    expect(reply.value, [(-1, 0), (-1, -101), (-1, -2)], 'failed multi')


def multis(c):
    ok(c.multi(
        op(CREATE, '/multi'), op(CREATE, '/multi/a', b'1'),
        op(SETDATA, '/multi/a', b'2', 0), op(zkwire.CHECK, '/multi/a', 1),
        op(CREATE, '/multi/s-', b'', OPEN, 2),
        op(CREATE, '/multi/e', b'', OPEN, EPHEMERAL),
        op(zkwire.CREATECONTAINER, '/multi/c', b'', OPEN, CONTAINER),
        op(zkwire.CREATETTL, '/multi/t', b'', OPEN, 5, 3600000),
        op(CREATE, '/multi/gone'), op(DELETE, '/multi/gone', 0)))
    ok(c.multi(op(CREATE2, '/multi/two', b'x')))


def quotas(c):
    ok(c.create('/quota'))
    ok(c.create('/quota/x', b'12345'))
    ok(c.create('/zookeeper/quota/quota'))
    ok(c.create('/zookeeper/quota/quota/zookeeper_limits',
                b'count=5,bytes=50'))
    ok(c.create('/zookeeper/quota/quota/zookeeper_stats',
                b'count=0,bytes=0'))
    ok(c.create('/quota/y', b'123'))
    ok(c.set('/quota/x', b''))


def bulk(c, count):
    """Enough to roll the log and snapshot more than once."""
    ok(c.create('/bulk'))
    for i in range(count):
        c.post(CREATE, '/bulk/%d' % (i % 200), b'%d' % i, OPEN, 0)
        c.post(SETDATA, '/bulk/%d' % (i % 200), b'x' * (i % 50), -1)
        if i % 3 == 0:
            c.post(DELETE, '/bulk/%d' % (i % 100), -1)
    c.drain()


class Scene:
    """What the workload leaves behind to look for."""

    def __init__(self, server):
        self.kept = server.client(timeout_ms=60000)
        # Long enough for the other server to start and be compared.
        self.dying = server.client(timeout_ms=5000)
        c = self.kept
        ok(c.create('/kinds'))
        node_kinds(c)
        acls(c)
        failures(c)
        multis(c)
        quotas(c)
        ok(c.create('/kept', flags=EPHEMERAL))
        # One container that is reaped, a deleteContainer transaction.
        ok(c.create_container('/reaped'))
        ok(c.create('/reaped/x'))
        ok(c.delete('/reaped/x'))
        wait_until('the container is reaped',
                   lambda: c.exists('/reaped').err == -101, 10, 0.05)
        with server.client() as closing:
            ok(closing.create('/closed', flags=EPHEMERAL))
            ok(closing.create('/kinds/closed', flags=EPHEMERAL))
            ok(closing.close())
        bulk(c, 300)
        # Behind the last snapshot: in the log only.
        ok(c.multi(op(CREATE2, '/multi/three', b'x')))
        ok(self.dying.create('/dying', flags=EPHEMERAL))
        ok(self.dying.create('/kinds/dying', flags=3))

    def vanish(self):
        """The clients go without a word."""
        self.kept.abort()
        self.dying.abort()


def dump(server):
    """path -> (data, stat, acl), all as the superuser sees it."""
    tree = {}
    with server.client(timeout_ms=60000) as c:
        ok(c.auth('digest', b'super:test'))
        todo = ['/']
        while todo:
            path = todo.pop()
            data, stat = ok(c.get(path)).value
            acl, _ = ok(c.get_acl(path)).value
            tree[path] = (data, stat, acl)
            base = path if path != '/' else ''
            todo += [base + '/' + n for n in ok(c.children(path)).value]
        ok(c.close())
    return tree


def same_trees(before, after):
    for path in sorted(set(before) | set(after)):
        expect(after.get(path), before.get(path), path)


def check_files(data, is_java, start=None):
    """Reads all logs and snapshots; returns the types and the tree.

    start is the tree at the first record of the log, None for a fresh one.
    """
    records = disk.read_logs(data)
    tree = start or disk.Tree()
    snapshots = {zxid: path for zxid, path
                 in disk.data_files(data, 'snapshot')}
    checked = 0
    for r in records:
        tree.apply(r)
        if r.digest is not None:
            expect('%x' % r.digest, '%x' % tree.digest(),
                   'digest of zxid %x, type %d' % (r.zxid, r.type))
            checked += 1
        if r.zxid in snapshots:
            compare_snapshot(snapshots[r.zxid], tree, is_java)
    if checked < len(records) // 2:
        raise AssertionError('only %d of %d records have a digest' % (
            checked, len(records)))
    return {r.type for r in records}, tree


def compare_snapshot(path, tree, is_java):
    """A snapshot against the transactions up to its zxid.

    Java's are fuzzy: they may hold later effects, so only ours must equal.
    """
    got, sealed = disk.read_snapshot(path)
    if is_java:
        return
    expect(got.sessions, tree.sessions, 'sessions of ' + path)
    want = {p: n for p, n in tree.nodes.items()
            if not p.startswith('/zookeeper/')}
    have = {p: n for p, n in got.nodes.items()
            if not p.startswith('/zookeeper/')}
    expect(sorted(have), sorted(want), 'nodes of ' + path)
    for p, n in want.items():
        a, b = dict(vars(have[p])), dict(vars(n))
        a.pop('acl'), b.pop('acl')
        expect(a, b, '%s in %s' % (p, path))
        expect(got.acls.get(have[p].acl, OPEN),
               tree.acls.get(n.acl, OPEN), 'ACL of ' + p)
    if sealed and sealed[0] == tree.zxid:
        expect('%x' % sealed[2], '%x' % tree.digest(), 'sealed digest')


def no_digest_mismatch(server):
    text = server.four_letter('mntr').decode()
    m = re.search(r'^zk_digest_mismatches_count\t(\d+)', text, re.M)
    if m is None and not server.is_java:
        return              # only Java is known to count them
    if m is None:
        raise AssertionError('mntr does not count digest mismatches')
    expect(m.group(1), '0', 'digest mismatches')


def check_sessions(server, scene, again=True):
    """The kept session is resumed, the other one expires."""
    kept = scene.kept
    with server.client(timeout_ms=60000, session=kept.session,
                       password=kept.password,
                       last_zxid=kept.zxid) as c:
        expect(c.session, kept.session, 'session')
        for path in ('/kept', '/multi/e'):
            expect(ok(c.exists(path)).value.ephemeralOwner, c.session,
                   'owner of ' + path)
        wait_until('the abandoned session is gone',
                   lambda: c.exists('/dying').err == -101, 30, 0.05)
        kids = ok(c.children('/kinds')).value
        expect([k for k in kids if k.startswith('dying')], [],
               'its second ephemeral')
        expect_err(c.exists('/closed'), -101)
        ok(c.set('/kinds/text', b'from the other'))
        ok(c.create('/kinds/seq-', flags=2))
        ok(c.create('/moved-', flags=2))
        scene.kept.zxid = c.zxid
    try:
        server.client(session=scene.dying.session,
                      password=scene.dying.password).abort()
        raise AssertionError('the expired session was resumed')
    except zkwire.Refused:
        pass


def move(first, second, crash):
    """Workload on first, then second, then first again."""
    a = harness.Server(first, CONF)
    b = harness.Server(second, CONF, data=a.data)
    try:
        a.start()
        scene = Scene(a)
        before = dump(a)
        zxid = a.zxid()
        if crash:
            a.kill()
        else:
            a.stop()
        scene.vanish()
        types, tree = check_files(a.data, a.is_java)
        expect(sorted(TYPES - types), [], 'transaction types not met')
        expect(tree.zxid, zxid, 'last zxid of the log')
        b.start()
        expect(b.zxid(), zxid, 'zxid')
        same_trees(before, dump(b))
        no_digest_mismatch(b)
        check_sessions(b, scene)
        between = dump(b)
        if crash:
            b.kill()
        else:
            b.stop()
        check_files(a.data, True)
        a.start()
        same_trees(between, dump(a))
        no_digest_mismatch(a)
        with a.client(timeout_ms=60000, session=scene.kept.session,
                      password=scene.kept.password,
                      last_zxid=scene.kept.zxid) as c:
            ok(c.exists('/kept'))
            ok(c.close())
        with a.client() as c:
            expect_err(c.exists('/kept'), -101)
        a.stop()
    finally:
        b.close()
        a.close()


def old_snapshot(kind):
    """A snapshot in its oldest form, without digest, is read."""
    server = harness.Server(kind, CONF)
    try:
        tree = disk.Tree()
        now = int(time.time() * 1000)
        tree.nodes['/old'] = disk.Node(b'x', czxid=5, mzxid=7, version=2,
                                       cversion=3, pzxid=9)
        tree.nodes['/old/c'] = disk.Node(
            b'', czxid=8, mzxid=8, pzxid=8, ctime=now, mtime=now,
            owner=disk.CONTAINER_OWNER)
        tree.nodes['/old/acl'] = disk.Node(
            None, acl=tree.acl_id([(31, 'digest', 'a:b'),
                                   (1, 'world', 'anyone')]),
            czxid=9, mzxid=9, pzxid=9)
        tree.sessions[0x0100000000001234] = 30000
        tree.write_snapshot(server.data, 0x20)
        server.start()
        expect(server.zxid(), 0x20, 'zxid')
        with server.client(session=0x0100000000001234,
                           password=zkwire.password_of(
                               0x0100000000001234)) as c:
            data, stat = ok(c.get('/old')).value
            expect(data, b'x', 'data')
            expect((stat.version, stat.cversion, stat.numChildren,
                    stat.pzxid), (2, 4, 2, 9), 'stat')
            expect(ok(c.get_acl('/old/acl')).value[0],
                   [(31, 'digest', 'a:x'), (1, 'world', 'anyone')], 'ACL')
            expect(ok(c.exists('/old/c')).value.ephemeralOwner, 0, 'owner')
            expect(ok(c.create('/old/n-', flags=2)).value,
                   '/old/n-0000000003', 'sequence')
    finally:
        server.close()


def main():
    options = harness.options(__doc__.splitlines()[0])
    suite = harness.Suite('java_dir')
    kind = options.server
    plans = [(kind, 'java', False)]
    if not options.quick:
        plans += [('java', kind, False), (kind, 'java', True),
                  ('java', kind, True)] if kind != 'java' else [
                      (kind, 'java', True)]
    for first, second, crash in plans:
        suite.attempt('%s to %s and back, %s' % (
            first, second, 'killed' if crash else 'stopped'),
            move, first, second, crash)
    suite.attempt('a snapshot of the oldest form', old_snapshot, kind)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
