# SPDX-License-Identifier: Apache-2.0
"""The test cases of the protocol's section 15, by number.

Goal: every numbered case that needs one server only is run and can be found
by its number; those that need more are listed with the reason.

Method: cases of connecting, sessions and robustness live in sessions.py,
the others here, on one shared server unless a case wants settings of its
own.  `old` stands for 3.8, where section 18 tells it from ours.  The last
case checks that the two lists leave no number out.
"""
import os
import random
import re
import struct
import sys
import threading
import time

import disk
import harness
import sessions
import zkwire
from harness import expect, expect_closed, expect_err, ok, wait_until
from sessions import NUMBERS
from zkwire import (ADMIN, CHANGED, CHILD, CONTAINER, CREATE, CREATE2,
                    CREATED, CREATOR, DELETE, DELETED, EPHEMERAL, GETDATA,
                    MULTI, OPEN, READ, SEQUENTIAL, SETDATA, TTL)

ELSEWHERE = {
    63: 'needs two servers', 69: 'needs two servers',
    70: 'needs an ensemble', 71: 'local sessions exist in ensembles only',
    77: 'SASL is not part of the single server',
    78: 'TLS is not part of the single server',
    84: 'needs an ensemble', 87: 'the admin server is off',
}

CASES = []


def numbered(*numbers, quick=True, conf=None):
    def enter(function):
        for n in numbers:
            NUMBERS.setdefault(n, []).append(function)
        CASES.append(('%s: %s' % (
            ', '.join(str(n) for n in numbers),
            function.__doc__.strip().splitlines()[0]), function, quick,
            conf))
        return function
    return enter


def paths_of(events):
    return [(e.type, e.path) for e in events]


def op(kind, *args):
    return kind, zkwire.REQUEST[kind](*args)


# -- create and paths -------------------------------------------------------

@numbered(15)
def earlier_checks_win(server):
    """create checks in the order of section 3.3"""
    with server.client() as c:
        ok(c.create('/o'))
        ok(c.create('/o/closed', acl=[(27, 'world', 'anyone')]))
        ok(c.create('/o/there'))
        for what, want, args in (
                ('flags before path', -8, ('nope', b'', OPEN, 7)),
                ('flags before parent', -8, ('/none/x', b'', OPEN, -1)),
                ('ttl before ACL', -8, ('/o/x', b'', [], 5)),
                ('path before ACL', -8, ('nope', b'', [], 0)),
                ('NUL before ACL', -8, ('/o\0', b'', [], 0)),
                ('ACL before parent', -114, ('/none/x', b'', [], 0)),
                ('ACL before existence', -114, ('/o/there', b'', None, 0)),
                ('parent before form', -101, ('/o//x', b'', OPEN, 0)),
                ('permission before form', -102,
                 ('/o/closed/.', b'', OPEN, 0)),
                ('permission before ephemeral', -102,
                 ('/o/closed/x', b'', OPEN, 1)),
                ('form', -8, ('/o/..', b'', OPEN, 0)),
                ('slashes alone', -8, ('//x', b'', OPEN, 0)),
                ('existence', -110, ('/o/there', b'', OPEN, 0)),
                ('root', -110, ('/', b'', OPEN, 0)),
                ('null path', -5, (None, b'', OPEN, 0))):
            expect_err(c.create(*args), want, what)
        expect_err(c.create_ttl('/o/x', acl=[], ttl=0), -8, 'ttl')
        expect_err(c.create_ttl('/none/x', acl=[], ttl=5), -114, 'ACL')


BAD_PATHS = ['/p/.', '/p/..', '/p/./x', '/p/x/', '/p/\x01', '/p/\x1f',
             '/p/\x7f', '/p/\x80', '/p/\x9f', '/p/\ue000', '/p/\uf8ff',
             '/p/\ufff0', '/p/\uffff', '/p/\U0001f600', b'/p/\xff',
             b'/p/\xc0\xaf', b'/p/\xed\xa0\xbd\xed\xb8\x80', b'/p/\xe2\x82']
GOOD_PATHS = ['/p/...', '/p/.b', '/p/b.', '/p/a..b', '/p/é', '/p/\xa0',
              '/p/\u2028', '/p/\uf900', '/p/\uffef', '/p/日本語', '/p/ ',
              '/p/%', '/p/\u0300']


@numbered(16)
def path_rules(server):
    """malformed paths are refused, odd but legal ones are kept"""
    with server.client() as c:
        ok(c.create('/p'))
        ok(c.create('/p/x'))
        for path in BAD_PATHS:
            want = -101 if path == '/p/./x' else -8
            expect_err(c.create(path), want, repr(path))
            expect_err(c.set(path), -8, repr(path))
            expect_err(c.set_acl(path), -8, repr(path))
        expect_err(c.create('/p//b'), -101, 'empty component')
        for path in ('/p//x', '//', '/p/', '', 'p', '/p/x/..', '//p'):
            expect_err(c.set(path), -8, repr(path))
            expect_err(c.multi(op(zkwire.CHECK, path, -1)), 0)
            expect(c.trace[-1][1].value, [(-1, -8)], 'check %r' % path)
        for path in GOOD_PATHS:
            expect(ok(c.create(path)).value, path, 'created path')
            ok(c.set(path, b'1'))
        expect(sorted(ok(c.children('/p')).value),
               sorted([p[3:] for p in GOOD_PATHS] + ['x']), 'children')


@numbered(17, conf={})
def null_data_survives(server):
    """null and empty data stay apart, also across a restart"""
    with server.client() as c:
        ok(c.create('/null', None))
        ok(c.create('/empty', b''))
        ok(c.create('/setnull', b'x'))
        ok(c.set('/setnull', None))

        def check(c):
            expect(ok(c.get('/null')).value[0], None, '/null')
            expect(ok(c.get('/empty')).value[0], b'', '/empty')
            expect(ok(c.get('/setnull')).value[0], None, '/setnull')
            expect(ok(c.exists('/null')).value.dataLength, 0, 'length')
        check(c)
    server.restart()
    with server.client() as c:
        check(c)


@numbered(18)
def suffix_counts_creations(server):
    """a sequential suffix counts creations, deletions do not matter"""
    with server.client() as c:
        ok(c.create('/s18'))
        for name in 'abc':
            ok(c.create('/s18/' + name))
        for name in 'abc':
            ok(c.delete('/s18/' + name))
        for want in ('0000000003', '0000000004'):
            expect(ok(c.create('/s18/n-', flags=2)).value,
                   '/s18/n-' + want, 'name')
        expect(ok(c.create('/s18/e', flags=3)).value, '/s18/e0000000005',
               'name')
        expect(ok(c.exists('/s18')).value.cversion, 9, 'shown cversion')


@numbered(19)
def racing_sequences_are_distinct(server):
    """two clients racing 1000 creates each get 2000 consecutive numbers"""
    with server.client() as setup:
        ok(setup.create('/race'))
    got = [[], []]

    def race(i):
        with server.client() as c:
            for _ in range(10):
                for _ in range(100):
                    c.post(CREATE, '/race/n-', b'', OPEN, SEQUENTIAL)
                got[i] += [ok(r).value for r in c.drain()]
    threads = [threading.Thread(target=race, args=(i,)) for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for names in got:
        expect(names == sorted(names), True, 'rising per client')
    expect(sorted(got[0] + got[1]) == ['/race/n-%010d' % i
                                       for i in range(2000)], True,
           '2000 consecutive names')


@numbered(20)
def sequence_behind_a_slash(server):
    """a sequential path may end in a slash or a dot"""
    with server.client() as c:
        ok(c.create('/s20'))
        expect(ok(c.create('/s20/', flags=2)).value, '/s20/0000000000', '')
        expect(ok(c.create('/s20/.', flags=2)).value, '/s20/.0000000001',
               '')
        expect_err(c.create('/none/', flags=2), -101)


def doctored(change):
    """A data directory with a snapshot no client could have caused."""
    def start(server):
        server.stop()
        tree = disk.Tree()
        change(tree)
        for kind in ('log', 'snapshot'):
            for _, path in disk.data_files(server.data, kind):
                os.unlink(path)
        tree.write_snapshot(server.data, 100)
        server.start()
    return start


@numbered(21, conf={})
def sequences_overflow_as_told(server):
    """the sequence counter near its limit behaves as in section 3.4"""
    def near(tree):
        tree.nodes['/ov'] = disk.Node(cversion=2 ** 31 - 2, czxid=50,
                                      mzxid=50, pzxid=60)
        tree.nodes['/ov2'] = disk.Node(cversion=2 ** 31 - 1, czxid=50,
                                       mzxid=50, pzxid=60)
    doctored(near)(server)
    with server.client() as c:
        expect(ok(c.create('/ov/a', flags=2)).value, '/ov/a2147483646', '')
        expect(ok(c.create('/ov/a', flags=2)).value, '/ov/a2147483647', '')
        before = ok(c.exists('/ov')).value.pzxid
        expect_err(c.create('/ov/a', flags=2), -110)
        expect(ok(c.create('/ov/b', flags=2)).value, '/ov/b2147483647', '')
        expect(ok(c.exists('/ov')).value.pzxid, before, 'pzxid stops')
        reply = ok(c.multi(*[op(CREATE, '/ov2/m', b'', OPEN, 2)
                             for _ in range(3)]))
        expect([v for _, v in reply.value],
               ['/ov2/m2147483647', '/ov2/m-2147483648',
                '/ov2/m-2147483647'], 'names in one multi')
        names = sorted(ok(c.children('/ov2')).value)
        stat = ok(c.exists('/ov2')).value
    server.restart()
    with server.client() as c:
        expect(sorted(ok(c.children('/ov2')).value), names, 'after replay')
        expect(ok(c.exists('/ov2')).value, stat, 'stat after replay')


@numbered(22)
def unknown_flags(server):
    """unknown create flags are bad arguments"""
    with server.client() as c:
        for flags in (7, -1, 8, 2 ** 31 - 1):
            for kind in (CREATE, CREATE2, zkwire.CREATECONTAINER):
                expect_err(c.call(kind, '/f22', b'', OPEN, flags), -8)
        for flags in (5, 6):
            expect_err(c.create('/f22', flags=flags), -8, 'TTL by create')
        expect_err(c.exists('/f22'), -101)


@numbered(22, conf={'extendedTypesEnabled': 'false'})
def ttl_switched_off(server):
    """without extended types TTL flags are unimplemented"""
    with server.client() as c:
        for flags in (5, 6):
            expect_err(c.create('/t', flags=flags), -6)
            expect_err(c.create_ttl('/t', flags=flags), -6)
            expect_err(c.create_ttl('/t', flags=flags, ttl=0), -6)
        ok(c.ping())


@numbered(23)
def ttl_range(server):
    """a ttl is 1 .. 2^40-1; a negative one with plain flags is refused"""
    with server.client() as c:
        for ttl in (0, -1, 2 ** 40, 2 ** 62, -2 ** 63):
            expect_err(c.create_ttl('/t23', ttl=ttl), -8, 'ttl %d' % ttl)
        for flags in (0, 1, 2, 3, 4):
            expect_err(c.create_ttl('/t23', flags=flags, ttl=5), -8)
        value = ok(c.create_ttl('/t23', ttl=2 ** 40 - 1)).value
        expect(value[1].ephemeralOwner, 0, 'owner shown')
        expect(ok(c.create_ttl('/t23-', flags=6, ttl=1000000)).value[0][:5],
               '/t23-', 'sequential TTL node')
        if not server.is_java:      # it would end the Java server
            for flags in range(5):
                expect_err(c.create_ttl('/u23', flags=flags, ttl=-1), -8)
            expect_err(c.exists('/u23'), -101)
            ok(c.set('/t23', b''))


@numbered(24)
def container_by_opcode(server):
    """createContainer makes containers whatever its flags"""
    with server.client() as c:
        ok(c.create('/c24'))
        for flags in range(5):
            value = ok(c.create_container('/c24/%d-' % flags,
                                          flags=flags)).value
            expect(value[1].ephemeralOwner, 0, 'owner shown')
            ok(c.create(value[0] + '/child'))
        expect(len(ok(c.children('/c24')).value), 5, 'children')
        expect_err(c.create_container('/c24/x', flags=5), -8)
    with server.client() as c:
        expect(len(ok(c.children('/c24')).value), 5, 'not ephemeral')


@numbered(25)
def parents_that_cannot(server):
    """ephemeral parents refuse children, container and TTL ones do not"""
    with server.client() as c:
        ok(c.create('/e25', flags=EPHEMERAL))
        for kind in (CREATE, CREATE2):
            expect_err(c.call(kind, '/e25/x', b'', OPEN, 0), -108)
        expect_err(c.create('/e25/x', flags=2), -108)
        ok(c.create_container('/e25c'))
        ok(c.create('/e25c/x'))
        ok(c.create_ttl('/e25t', ttl=10 ** 9))
        ok(c.create('/e25t/x'))
        ok(c.create('/e25t/y', flags=EPHEMERAL))


@numbered(26)
def failures_cost_a_zxid(server):
    """failed writes and empty multis move the zxid by one, reads do not"""
    with server.client() as c:
        zxid = ok(c.create('/z26')).zxid
        for reply in (c.create('/z26'), c.create('/none/x'),
                      c.delete('/none'), c.set('/none'),
                      c.set('/z26', b'', 99), c.set_acl('/z26', []),
                      c.create('/z26x', flags=7), c.multi(),
                      c.multi(op(DELETE, '/none', -1)), c.set('bad')):
            zxid += 1
            expect(reply.zxid, zxid, 'zxid of err %d' % reply.err)
        for reply in (c.exists('/none'), c.get('/z26'), c.sync('/'),
                      c.children('/none'), c.ping(),
                      c.call(zkwire.REMOVEWATCHES, '/z26', 3)):
            expect(reply.zxid, zxid, 'zxid of a read')
        # Undecodable writes: only 3.8 spends a zxid.
        reply = c.call_raw(CREATE, b'\0\0')
        expect(reply.err, -5, 'undecodable')
        expect(reply.zxid, zxid + server.is_java, 'its zxid')


# -- delete, set, get -------------------------------------------------------

@numbered(27)
def version_before_children(server):
    """delete looks at the version before the children"""
    with server.client() as c:
        ok(c.create('/d27'))
        ok(c.create('/d27/x'))
        expect_err(c.delete('/d27', 5), -103)
        expect_err(c.delete('/d27', -2), -103)
        expect_err(c.delete('/d27', 0), -111)
        expect_err(c.delete('/d27', -1), -111)
        expect_err(c.delete('/d27/'), -101)
        ok(c.delete('/d27/x', 0))
        ok(c.delete('/d27', -1))
        expect_err(c.delete('/d27'), -101)
        expect_err(c.delete('/d27/x/y'), -101)


@numbered(28)
def reserved_nodes_stay(server):
    """the reserved nodes cannot be deleted, others under them can"""
    with server.client() as c:
        for path in ('/', '/zookeeper', '/zookeeper/quota',
                     '/zookeeper/config', 'nope', '', '/a\0'):
            expect_err(c.delete(path), -8, repr(path))
        ok(c.create('/zookeeper/x'))
        ok(c.delete('/zookeeper/x'))
        ok(c.set('/', b''))
        ok(c.set('/zookeeper', b''))
        expect_err(c.set('/zookeeper/config', b'x'), -102)


@numbered(29)
def set_versions(server):
    """setData compares the version unless it is -1"""
    with server.client() as c:
        ok(c.create('/v29'))
        expect(ok(c.set('/v29', b'a')).value.version, 1, 'version')
        expect(ok(c.set('/v29', b'b', 1)).value.version, 2, 'version')
        for version in (0, 1, 3, -2, -2 ** 31, 2 ** 31 - 1):
            expect_err(c.set('/v29', b'c', version), -103)
        stat = ok(c.set('/v29', b'c', 2)).value
        expect((stat.version, stat.dataLength), (3, 1), 'stat')
        expect(stat.mzxid > stat.czxid == stat.pzxid, True, 'zxids')


@numbered(30, conf={})
def versions_wrap(server):
    """versions wrap at 2^31 and, with us, skip -1"""
    def near(tree):
        tree.nodes['/top'] = disk.Node(version=2 ** 31 - 1, czxid=9)
        tree.nodes['/low'] = disk.Node(version=-2, czxid=9)
    doctored(near)(server)
    with server.client() as c:
        expect(ok(c.set('/top')).value.version, -2 ** 31, 'wrapped')
        expect(ok(c.set('/low')).value.version,
               -1 if server.is_java else 0, 'behind -2')
        ok(c.set('/top', b'', -2 ** 31))


@numbered(31)
def watches_on_missing_nodes(server):
    """exists watches a missing node, getData does not"""
    with server.client() as c, server.client() as other:
        expect_err(c.exists('/w31a', watch=True), -101)
        expect_err(c.get('/w31b', watch=True), -101)
        expect_err(c.children('/w31c', watch=True), -101)
        for name in 'abc':
            ok(other.create('/w31' + name))
            ok(other.create('/w31%s/x' % name))
        expect(paths_of(c.barrier()), [(CREATED, '/w31a')], 'events')


@numbered(32)
def empty_path_is_the_root(server):
    """reads of the empty path are reads of the root"""
    with server.client() as c:
        root = ok(c.exists('/')).value
        expect(ok(c.exists('')).value, root, 'exists')
        expect(ok(c.get('')).value, ok(c.get('/')).value, 'getData')
        expect(sorted(ok(c.children('')).value),
               sorted(ok(c.children('/')).value), 'getChildren')
        expect(ok(c.get_acl('')).value[1], root, 'getACL')
        expect_err(c.exists('nope'), -101)
        expect_err(c.get('/\0'), c.get('/\0').err)


@numbered(33)
def acl_versions(server):
    """setACL moves aversion only; digests are redacted without ADMIN"""
    with server.client() as c:
        before = ok(c.create2('/a33', b'x')).value[1]
        ok(c.add_watch('/a33', 0))
        acl = [(READ, 'world', 'anyone'), (31, 'digest', 'bob:secret'),
               (31, 'digest', 'plain:')]
        expect_err(c.set_acl('/a33', acl), -114)
        acl = acl[:2] + [(READ | 4, 'ip', '10.0.0.1')]
        expect_err(c.set_acl('/a33', acl, 5), -103)
        after = ok(c.set_acl('/a33', acl, 0)).value
        expect(after, before._replace(aversion=1), 'stat')
        got, stat = ok(c.get_acl('/a33')).value
        expect(got, [acl[0], (31, 'digest', 'bob:x'), acl[2]], 'redacted')
        expect(stat, after, 'stat of getACL')
        expect_err(c.set_acl('/a33', OPEN), -102)
        expect(c.barrier(), [], 'events')


@numbered(34)
def ephemerals_by_text_prefix(server):
    """getEphemerals takes a plain text prefix"""
    with server.client() as c, server.client() as other:
        for path in ('/g34a', '/g34ab', '/g34b'):
            ok(c.create(path, flags=EPHEMERAL))
        ok(c.create('/g34p'))
        ok(other.create('/g34ac', flags=EPHEMERAL))
        for prefix, want in (('/g34a', ['/g34a', '/g34ab']),
                             ('/g34', ['/g34a', '/g34ab', '/g34b']),
                             ('/', ['/g34a', '/g34ab', '/g34b']),
                             ('', ['/g34a', '/g34ab', '/g34b']),
                             (None, ['/g34a', '/g34ab', '/g34b']),
                             ('/g34b/', []), ('g34', [])):
            got = ok(c.call(zkwire.GETEPHEMERALS, prefix)).value
            expect(sorted(got), want, 'prefix %r' % prefix)


@numbered(35, 37, 82, conf={})
def a_fresh_tree(server):
    """the initial nodes, their counters and data"""
    with server.client() as c:
        expect(ok(c.call(zkwire.GETALLCHILDRENNUMBER, '/')).value, 3,
               'all nodes')
        data, root = ok(c.get('/')).value
        expect(data, b'', 'data of /')
        expect(root, zkwire.Stat(0, 0, 0, 0, 0, -1, 0, 0, 0, 1, 0), '/')
        data, stat = ok(c.get('/zookeeper')).value
        expect(data, b'', 'data of /zookeeper')
        expect(stat, zkwire.Stat(0, 0, 0, 0, 0, -2, 0, 0, 0, 2, 0),
               '/zookeeper')
        expect(ok(c.exists('/zookeeper/quota')).value,
               zkwire.Stat(*[0] * 11), 'quota')
        data, stat = ok(c.get('/zookeeper/config')).value
        expect(data, b'', 'data of config')
        expect(stat.aversion, -1, 'aversion of config')
        for path, want in (('/', OPEN), ('/zookeeper', OPEN),
                           ('/zookeeper/quota', OPEN),
                           ('/zookeeper/config',
                            [(READ, 'world', 'anyone')])):
            expect(ok(c.get_acl(path)).value[0], want, 'ACL of ' + path)
        expect(sorted(ok(c.children('/zookeeper')).value),
               ['config', 'quota'], 'children')
        expect(ok(c.create('/n-', flags=2)).value, '/n-0000000000',
               'first sequence of the root')
        ok(c.create('/a'))
        ok(c.create('/a/b'))
        expect(ok(c.call(zkwire.GETALLCHILDRENNUMBER, '/')).value, 6,
               'all nodes')
        expect(ok(c.call(zkwire.GETALLCHILDRENNUMBER, '/a')).value, 1,
               'below /a')


@numbered(36)
def parent_stat(server):
    """children move cversion and pzxid of their parent, nothing else"""
    with server.client() as c:
        first = ok(c.create2('/p36', b'd')).value[1]
        made = ok(c.create2('/p36/a')).value[1]
        after = ok(c.exists('/p36')).value
        expect(after, first._replace(cversion=1, numChildren=1,
                                     pzxid=made.czxid), 'one child')
        for reply in (c.set('/p36/a', b'1'), c.set_acl('/p36/a'),
                      c.create('/p36/a/x'), c.delete('/p36/a/x')):
            ok(reply)
        expect(ok(c.exists('/p36')).value, after, 'grandchildren')
        gone = ok(c.delete('/p36/a'))
        expect(ok(c.exists('/p36')).value,
               first._replace(cversion=2, pzxid=gone.zxid), 'child gone')


# -- multi ------------------------------------------------------------------

@numbered(38)
def multi_sees_itself(server):
    """operations of a multi see the earlier ones and share a zxid"""
    with server.client() as c:
        before = ok(c.sync()).zxid
        reply = ok(c.multi(op(CREATE, '/m38'), op(CREATE, '/m38/b'),
                           op(DELETE, '/m38/b', -1),
                           op(DELETE, '/m38', -1)))
        expect(reply.value, [(1, '/m38'), (1, '/m38/b'), (2, None),
                             (2, None)], 'results')
        expect(reply.zxid, before + 1, 'zxid')
        expect_err(c.exists('/m38'), -101)
        reply = ok(c.multi(op(CREATE, '/m38'), op(CREATE, '/m38/b'),
                           op(CREATE, '/m38/c', b'', OPEN, EPHEMERAL)))
        stats = [ok(c.exists(p)).value for p in ('/m38', '/m38/b',
                                                 '/m38/c')]
        expect({s.czxid for s in stats}, {reply.zxid}, 'one czxid')
        expect(len({s.ctime for s in stats}), 1, 'one ctime')
        expect(stats[0].cversion, 2, 'cversion')


@numbered(39)
def failed_multi_leaves_nothing(server):
    """a failing multi changes nothing, fires nothing, rolls back"""
    with server.client() as c, server.client() as watcher:
        ok(c.create('/m39'))
        ok(c.create('/m39/x'))
        for path in ('/m39', '/m39/x'):
            ok(watcher.get(path, watch=True))
            ok(watcher.children(path, watch=True))
        stat = ok(c.exists('/m39')).value
        reply = ok(c.multi(
            op(CREATE, '/m39/n-', b'', OPEN, SEQUENTIAL),
            op(SETDATA, '/m39/x', b'new', 0),
            op(CREATE, '/m39/y'), op(DELETE, '/m39/none', -1),
            op(CREATE, '/m39/z'), op(SETDATA, '/none', b'', -1)))
        expect(reply.value, [(-1, 0), (-1, 0), (-1, 0), (-1, -101),
                             (-1, -2), (-1, -2)], 'results')
        expect(ok(c.exists('/m39')).value, stat, 'parent')
        expect(ok(c.get('/m39/x')).value[0], b'', 'data')
        expect(watcher.barrier(), [], 'events')
        expect(ok(c.create('/m39/n-', flags=2)).value, '/m39/n-0000000001',
               'next number')
        expect(paths_of(watcher.barrier()), [(CHILD, '/m39')],
               'the watches are still there')


@numbered(40, 41)
def multi_versions(server):
    """versions made inside a multi count for the later operations"""
    with server.client() as c:
        ok(c.create('/m40'))
        reply = ok(c.multi(op(SETDATA, '/m40', b'1', 0),
                           op(SETDATA, '/m40', b'2', 1),
                           op(zkwire.CHECK, '/m40', 2)))
        expect([k for k, _ in reply.value], [5, 5, 13], 'types')
        expect([v.version for k, v in reply.value[:2]], [1, 2], 'versions')
        reply = ok(c.multi(op(SETDATA, '/m40', b'3', 2),
                           op(zkwire.CHECK, '/m40', 2)))
        expect(reply.value, [(-1, 0), (-1, -103)], 'stale check')
        expect(ok(c.get('/m40')).value[0], b'2', 'data')
        reply = ok(c.multi(op(DELETE, '/m40', 2), op(CREATE, '/m40', b'n'),
                           op(zkwire.CHECK, '/m40', 0)))
        expect([k for k, _ in reply.value], [2, 1, 13], 'created anew')


@numbered(42)
def empty_multi(server):
    """an empty multi is an end marker and a zxid"""
    with server.client() as c:
        before = ok(c.sync()).zxid
        reply = ok(c.multi())
        expect((reply.value, reply.zxid), ([], before + 1), 'empty multi')
        reply = ok(c.call(zkwire.MULTIREAD, ()))
        expect((reply.value, reply.zxid), ([], before + 1), 'multiRead')


@numbered(43)
def multi_that_does_not_decode(server):
    """operations not allowed in a multi make the request undecodable"""
    good = op(CREATE, '/m43')
    whole = zkwire.w_multi([good])
    with server.client() as c:
        for what, body in (
                ('setACL', zkwire.w_multi([good, op(zkwire.SETACL, '/')])),
                ('sync', zkwire.w_multi([good, op(zkwire.SYNC, '/')])),
                ('getData', zkwire.w_multi([op(GETDATA, '/')])),
                ('getData between', zkwire.w_multi(
                    [good, op(GETDATA, '/')])),
                ('unknown', zkwire.w_multi([(77, b'')])),
                ('no end', whole[:-9]), ('cut', whole[:-3]),
                ('cut inside', whole[:20]),
                ('TTL by create', zkwire.w_multi(
                    [op(CREATE, '/m43', b'', OPEN, TTL)]))):
            reply = c.call_raw(MULTI, body)
            expect((reply.err, len(reply.body)), (-5, 16), what)
        for body in (zkwire.w_multi([op(CREATE, '/m43', b'', OPEN, 7)]),
                     zkwire.w_multi([op(CREATE, '/m43', b'', None, 0)])):
            reply = c.call_raw(MULTI, body)
            expect(reply.err, 0 if server.is_java else -5, 'bad operand')
        for body in (zkwire.w_multi([good]),
                     zkwire.w_multi([op(GETDATA, '/'), good])):
            expect(c.call_raw_err(zkwire.MULTIREAD, body), -5, 'multiRead')
        expect_err(c.exists('/m43'), -101)


@numbered(44)
def multi_is_never_seen_half(server):
    """a concurrent reader never sees half of a multi"""
    with server.client() as setup:
        ok(setup.create('/m44'))
        ok(setup.multi(op(CREATE, '/m44/a', b'0'),
                       op(CREATE, '/m44/b', b'0')))
    stop = threading.Event()
    odd = []

    def read():
        with server.client() as c:
            while not stop.is_set():
                reply = ok(c.call(zkwire.MULTIREAD,
                                  [op(GETDATA, '/m44/a', False),
                                   op(GETDATA, '/m44/b', False)]))
                (_, (a, sa)), (_, (b, sb)) = reply.value
                if a != b or sa.mzxid != sb.mzxid:
                    odd.append((a, b))
    threads = [threading.Thread(target=read) for _ in range(2)]
    for t in threads:
        t.start()
    with server.client() as c:
        for i in range(500):
            data = b'%d' % i
            ok(c.multi(op(SETDATA, '/m44/a', data, -1),
                       op(SETDATA, '/m44/b', data, -1)))
    stop.set()
    for t in threads:
        t.join()
    expect(odd, [], 'halves')


@numbered(45)
def containers_inside_multi(server):
    """containers and TTL nodes inside a multi answer with type 15"""
    with server.client() as c:
        reply = ok(c.multi(
            op(CREATE, '/m45'), op(CREATE, '/m45/c', b'', OPEN, CONTAINER),
            op(zkwire.CREATECONTAINER, '/m45/d', b'', OPEN, CONTAINER),
            op(zkwire.CREATETTL, '/m45/t', b'', OPEN, TTL, 10 ** 9),
            op(zkwire.CREATETTL, '/m45/p', b'', OPEN, 0, 7)))
        expect([k for k, _ in reply.value], [1, 15, 15, 15, 1], 'types')
        for k, v in reply.value:
            if k == 15:
                expect(v[1].ephemeralOwner, 0, 'owner shown')
        expect_err(c.create('/m45/c/x', flags=EPHEMERAL), 0)


@numbered(46)
def multiread_mixes(server):
    """multiRead answers each operation on its own"""
    with server.client() as c:
        ok(c.create('/m46', b'x'))
        ok(c.create('/m46/k'))
        ok(c.create('/m46/closed', b'', [(30, 'world', 'anyone')]))
        reply = ok(c.call(zkwire.MULTIREAD, [
            op(GETDATA, '/m46', True), op(zkwire.GETCHILDREN, '/none', False),
            op(zkwire.GETCHILDREN, '/m46', True),
            op(GETDATA, '/m46/closed', False)]))
        kinds = [k for k, _ in reply.value]
        expect(kinds, [4, -1, 8, -1], 'types')
        expect(reply.value[0][1][0], b'x', 'data')
        expect(reply.value[1][1], -101, 'missing')
        expect(sorted(reply.value[2][1]), ['closed', 'k'], 'children')
        expect(reply.value[3][1], -102, 'no READ')
        ok(c.set('/m46', b'y'))
        expect(c.barrier(), [], 'it registers no watch')


@numbered(47)
def create2_inside_multi(server):
    """create2 inside a multi answers with the Stat"""
    with server.client() as c:
        reply = ok(c.multi(op(CREATE2, '/m47', b'xyz')))
        if server.is_java:
            expect(reply.value, [(1, '/m47')], 'result')
            return
        kind, (path, stat) = reply.value[0]
        expect((kind, path), (15, '/m47'), 'result')
        expect(stat, ok(c.exists('/m47')).value, 'stat')
        expect(stat.dataLength, 3, 'dataLength')


# -- watches ----------------------------------------------------------------

def act(c, base):
    """One of everything below base, where base/p exists."""
    p = base + '/p'
    ok(c.set(p, b'1'))
    ok(c.create(p + '/c'))
    ok(c.set(p + '/c', b'1'))
    ok(c.set_acl(p + '/c'))
    ok(c.delete(p + '/c'))
    ok(c.delete(p))
    ok(c.create(p))


def watch_expectations(base):
    p, k = base + '/p', base + '/p/c'
    whole = [(CHANGED, p), (CREATED, k), (CHANGED, k), (DELETED, k),
             (DELETED, p), (CREATED, p)]

    def data(c):
        return c.get(p, watch=True)

    def exist(c):
        return c.exists(p, watch=True)
    return [
        ('getData', [data], [(CHANGED, p)]),
        ('exists', [exist], [(CHANGED, p)]),
        ('getData and exists', [data, exist], [(CHANGED, p)]),
        ('getChildren', [lambda c: c.children(p, watch=True)],
         [(CHILD, p)]),
        ('getChildren2', [lambda c: c.children2(p, watch=True)],
         [(CHILD, p)]),
        ('persistent', [lambda c: c.add_watch(p, 0)],
         [(CHANGED, p), (CHILD, p), (CHILD, p), (DELETED, p),
          (CREATED, p)]),
        ('persistent on the parent', [lambda c: c.add_watch(base, 0)],
         [(CHILD, base), (CHILD, base)]),
        ('recursive', [lambda c: c.add_watch(p, 1)], whole),
        ('recursive on the parent', [lambda c: c.add_watch(base, 1)],
         whole),
        ('recursive on the root', [lambda c: c.add_watch('/', 1)], whole),
        ('two recursive', [lambda c: c.add_watch('/', 1),
                           lambda c: c.add_watch(p, 1)], whole),
        ('children of the parent',
         [lambda c: c.children(base, watch=True)], [(CHILD, base)]),
        ('data, and children of the parent',
         [data, lambda c: c.children(base, watch=True)],
         [(CHANGED, p), (CHILD, base)]),
        ('data below recursive', [data, lambda c: c.add_watch(base, 1)],
         whole),
    ]


def newer_watch_expectations(base):
    """Several modes on one path, which 3.8 cannot hold."""
    p, k = base + '/p', base + '/p/c'
    return [
        ('data beside recursive', [lambda c: c.get(p, watch=True),
                                   lambda c: c.add_watch(p, 1)],
         [(CHANGED, p), (CREATED, k), (CHANGED, k), (DELETED, k),
          (DELETED, p), (CREATED, p)]),
        ('persistent beside recursive', [lambda c: c.add_watch(p, 0),
                                         lambda c: c.add_watch(p, 1)],
         [(CHANGED, p), (CREATED, k), (CHILD, p), (CHANGED, k),
          (DELETED, k), (CHILD, p), (DELETED, p), (CREATED, p)]),
        ('children beside persistent',
         [lambda c: c.children(p, watch=True),
          lambda c: c.add_watch(p, 0)],
         [(CHANGED, p), (CHILD, p), (CHILD, p), (DELETED, p),
          (CREATED, p)]),
    ]


@numbered(48, 50)
def what_fires(server):
    """each kind of watch sees what section 5.2 says, and once"""
    with server.client() as setup:
        ok(setup.create('/w48'))
        count = len(watch_expectations('')) + len(
            newer_watch_expectations(''))
        for i in range(count):
            base = '/w48/%d' % i
            rows = watch_expectations(base)
            if not server.is_java:
                rows += newer_watch_expectations(base)
            if i >= len(rows):
                break
            what, registrations, want = rows[i]
            ok(setup.create(base))
            ok(setup.create(base + '/p'))
            with server.client() as c:
                for register in registrations:
                    ok(register(c))
                act(setup, base)
                expect(paths_of(c.barrier()), want, what)
            expect(rows[i][0], what, '')


@numbered(48)
def multi_fires_op_by_op(server):
    """a multi fires its events operation by operation"""
    with server.client() as c, server.client() as w:
        ok(c.create('/w48m'))
        ok(w.add_watch('/w48m', 1))
        ok(w.children('/', watch=True))
        ok(c.multi(op(CREATE, '/w48m/a'), op(SETDATA, '/w48m/a', b'', -1),
                   op(CREATE, '/w48n'), op(DELETE, '/w48m/a', -1),
                   op(DELETE, '/w48n', -1)))
        expect(paths_of(w.barrier()),
               [(CREATED, '/w48m/a'), (CHANGED, '/w48m/a'), (CHILD, '/'),
                (DELETED, '/w48m/a')], 'events')


@numbered(49)
def events_come_first(server):
    """an event precedes the reply that shows its cause"""
    with server.client() as c, server.client() as w:
        ok(c.create('/w49'))
        for i in range(50):
            ok(c.get('/w49', watch=True))
            c.trace.clear()
            ok(c.set('/w49', b'%d' % i))
            expect([k for k, _ in c.trace], ['event', 'reply'],
                   'own event before own reply')
        # Another client's read that shows the change comes behind.
        for i in range(50):
            data = ok(w.get('/w49', watch=True)).value[0]
            w.trace.clear()
            c.post(SETDATA, '/w49', b'x%d' % i, -1)
            while True:
                reply = ok(w.get('/w49'))
                seen = [x for k, x in w.trace if k == 'event']
                if reply.value[0] != data:
                    expect(len(seen), 1, 'event before the showing reply')
                    break
                if seen:
                    continue
            c.drain()


@numbered(51)
def one_delete_event(server):
    """data and child watch on a deleted node give one NodeDeleted"""
    with server.client() as c, server.client() as w:
        ok(c.create('/w51'))
        ok(c.create('/w51/p'))
        ok(w.get('/w51/p', watch=True))
        ok(w.children('/w51/p', watch=True))
        ok(w.children('/w51', watch=True))
        ok(c.delete('/w51/p'))
        expect(paths_of(w.barrier()), [(DELETED, '/w51/p'),
                                       (CHILD, '/w51')], 'events')


@numbered(52, 53)
def failures_fire_nothing(server):
    """failed writes and setACL neither fire nor use up watches"""
    with server.client() as c, server.client() as w:
        ok(c.create('/w52'))
        ok(w.get('/w52', watch=True))
        ok(w.children('/w52', watch=True))
        for reply in (c.set('/w52', b'', 9), c.delete('/w52', 9),
                      c.create('/w52'), c.create('/w52/x', acl=[]),
                      c.create('/w52/..'), c.delete('/w52/none')):
            if reply.err == 0:
                raise AssertionError('it worked')
        ok(c.multi(op(SETDATA, '/w52', b'', -1), op(DELETE, '/none', -1)))
        ok(c.multi(op(zkwire.CHECK, '/w52', 0)))
        ok(c.set_acl('/w52', OPEN))
        expect(w.barrier(), [], 'events')
        ok(c.set('/w52', b''))
        ok(c.create('/w52/x'))
        expect(paths_of(w.barrier()), [(CHANGED, '/w52'), (CHILD, '/w52')],
               'events afterwards')


@numbered(54)
def recursive_root(server):
    """a recursive watch on the root sees /zookeeper too"""
    with server.client() as c, server.client() as w:
        ok(w.add_watch('/', 1))
        ok(c.create('/zookeeper/w54'))
        ok(c.set('/zookeeper/w54', b'1'))
        ok(c.delete('/zookeeper/w54'))
        ok(c.set('/', b''))
        expect(paths_of(w.barrier()),
               [(CREATED, '/zookeeper/w54'), (CHANGED, '/zookeeper/w54'),
                (DELETED, '/zookeeper/w54'), (CHANGED, '/')], 'events')


@numbered(55)
def setwatches_matrix(server):
    """setWatches replays what was missed, in list order, then answers"""
    with server.client() as c, server.client() as w:
        ok(c.create('/w55'))
        for name in ('same', 'changed', 'kid'):
            ok(c.create('/w55/' + name))
        ok(c.create('/w55/gone'))
        since = ok(c.sync()).zxid
        ok(c.set('/w55/changed', b'1'))
        ok(c.create('/w55/kid/x'))
        ok(c.delete('/w55/gone'))
        p = '/w55/'
        w.trace.clear()
        reply = ok(w.call(
            zkwire.SETWATCHES, since,
            [p + 'same', p + 'changed', p + 'gone'],
            [p + 'never', p + 'same', p + 'kid'],
            [p + 'same', p + 'kid', p + 'gone', p + 'never']))
        expect(reply.xid, -8, 'xid')
        got = [(x.type, x.path, x.zxid) if k == 'event' else x.xid
               for k, x in w.trace]
        expect(got, [(CHANGED, p + 'changed', -1), (DELETED, p + 'gone', -1),
                     (CREATED, p + 'same', -1), (CREATED, p + 'kid', -1),
                     (CHILD, p + 'kid', -1), (DELETED, p + 'gone', -1),
                     (DELETED, p + 'never', -1), -8], 'frames')
        w.take_events()
        ok(c.set(p + 'same', b'2'))
        ok(c.set(p + 'changed', b'2'))
        ok(c.create(p + 'never'))
        ok(c.create(p + 'same/x'))
        ok(c.create(p + 'kid/y'))
        expect(paths_of(w.barrier()),
               [(CHANGED, p + 'same'), (CREATED, p + 'never'),
                (CHILD, p + 'same')], 'what was registered')
        reply = w.call_raw(zkwire.SETWATCHES, struct.pack('>qiii', 0, 0, -1,
                                                          0), xid=-8)
        expect((reply.err, reply.xid), (-5, -8), 'null vector')
        ok(w.call(zkwire.SETWATCHES, 2 ** 60, [p + 'changed'], [],
                  [p + 'kid'], xid=5))
        expect(w.take_events(), [], 'a zxid of the future')


@numbered(56)
def setwatches2_replays_nothing(server):
    """setWatches2 registers persistent watches without replay"""
    with server.client() as c, server.client() as w:
        ok(c.create('/w56'))
        ok(c.set('/w56', b'1'))
        ok(w.call(zkwire.SETWATCHES2, 0, [], [], [], ['/w56', '/w56n'],
                  ['/w56r']))
        expect(w.take_events(), [], 'replay')
        ok(c.set('/w56', b'2'))
        ok(c.create('/w56/x'))
        ok(c.create('/w56n'))
        ok(c.create('/w56r'))
        ok(c.create('/w56r/x'))
        expect(paths_of(w.barrier()),
               [(CHANGED, '/w56'), (CHILD, '/w56'), (CREATED, '/w56n'),
                (CREATED, '/w56r'), (CREATED, '/w56r/x')], 'events')


@numbered(57)
def removing_watches(server):
    """removeWatches by type; a second removal finds nothing"""
    remove, check = zkwire.REMOVEWATCHES, zkwire.CHECKWATCHES
    with server.client() as c, server.client() as w, \
            server.client() as keeper:
        ok(c.create('/w57'))
        for register, kinds in ((lambda x: x.get('/w57', watch=True),
                                 (2, 3)),
                                (lambda x: x.children('/w57', watch=True),
                                 (1, 3))):
            for kind in kinds:
                ok(register(w))
                ok(register(keeper))
                ok(w.call(check, '/w57', kind))
                ok(w.call(remove, '/w57', kind))
                expect_err(w.call(remove, '/w57', kind), -121)
        expect_err(w.call(remove, '/w57/other', 3), -121)
        for kind in (0, 6, -1, 99):
            expect_err(w.call(remove, '/w57', kind), -5)
            expect_err(w.call(check, '/w57', kind), -5)
        if server.is_java:
            for kind in (4, 5):
                expect_err(w.call(remove, '/w57', kind), -5)
        else:
            for mode, kind in ((0, 4), (1, 5)):
                ok(w.add_watch('/w57', mode))
                ok(w.get('/w57', watch=True))
                expect_err(w.call(remove, '/w57', 9 - kind), -121)
                ok(w.call(check, '/w57', kind))
                ok(w.call(remove, '/w57', kind))
                expect_err(w.call(remove, '/w57', kind), -121)
                ok(w.call(remove, '/w57', 2))
                ok(w.add_watch('/w57', mode))
                expect_err(w.call(remove, '/w57', 2), -121)
                expect_err(w.call(remove, '/w57', 1), -121)
                ok(w.call(remove, '/w57', 3))
                expect_err(w.call(check, '/w57', 3), -121)
        ok(c.set('/w57', b'1'))
        ok(c.create('/w57/x'))
        expect(w.barrier(), [], 'removed watches')
        expect(paths_of(keeper.barrier()), [(CHANGED, '/w57'),
                                            (CHILD, '/w57')], 'kept ones')


@numbered(58)
def events_need_read(server):
    """an event is kept from who may not READ, the watch is used up"""
    secret = [(31, 'digest', 'bob:ikIaKsbtGweaHnb/jKn7OHqbunM=')]
    with server.client() as c, server.client() as w:
        ok(c.auth('digest', b'bob:pw'))
        ok(c.create('/w58'))
        ok(w.get('/w58', watch=True))
        ok(w.children('/w58', watch=True))
        ok(w.exists('/w58new', watch=True).err in (0, -101) and
           c.set_acl('/w58', secret))
        ok(c.set('/w58', b'1'))
        ok(c.create('/w58/x'))
        ok(c.create('/w58new', acl=secret))
        expect(w.barrier(), [], 'events without READ')
        ok(c.set_acl('/w58', OPEN))
        ok(c.set('/w58', b'2'))
        ok(c.create('/w58/y'))
        expect(w.barrier(), [], 'the watches are used up')
        ok(w.add_watch('/w58', 0))
        ok(c.set_acl('/w58', secret))
        ok(c.set('/w58', b'3'))
        ok(w.auth('digest', b'bob:pw'))
        expect(w.barrier(), [], 'not yet')
        ok(c.set('/w58', b'4'))
        expect(paths_of(w.barrier()), [(CHANGED, '/w58')],
               'a persistent one works again')


@numbered(59, conf=sessions.SHORT)
def expiry_fires(server):
    """expiry of k ephemerals: k NodeDeleted, child watches once or k"""
    with server.client() as one, server.client() as many:
        ok(one.create('/w59'))
        dying = server.client(timeout_ms=1000)
        for i in range(4):
            ok(dying.create('/w59/%d' % i, flags=EPHEMERAL))
        ok(one.children('/w59', watch=True))
        for i in range(4):
            ok(one.exists('/w59/%d' % i, watch=True))
        ok(many.add_watch('/w59', 0))
        expect_closed(dying, 'expired', 5)
        events = paths_of(one.barrier())
        expect(sorted(e for e in events if e[0] == DELETED),
               [(DELETED, '/w59/%d' % i) for i in range(4)], 'deletions')
        expect(events.count((CHILD, '/w59')), 1, 'one-shot child events')
        expect(events[:2], [events[0], (CHILD, '/w59')],
               'node first, then its parent')
        expect(paths_of(many.barrier()), [(CHILD, '/w59')] * 4,
               'persistent child events')


@numbered(61)
def notification_zxids(server):
    """a notification carries the zxid of its transaction (3.8: -1)"""
    with server.client() as c, server.client() as w:
        ok(w.add_watch('/w61', 1))
        zxids = [ok(r).zxid for r in (
            c.create('/w61'), c.create('/w61/a'), c.set('/w61/a'),
            c.delete('/w61/a'), c.multi(op(CREATE, '/w61/b'),
                                        op(SETDATA, '/w61', b'', -1)))]
        want = zxids + zxids[-1:]
        if server.is_java:
            want = [-1] * 6
        expect([e.zxid for e in w.barrier()], want, 'zxids')


# -- ordering ---------------------------------------------------------------

@numbered(62)
def pipelined_requests_keep_order(server):
    """pipelined requests run and are answered in order"""
    with server.client() as c:
        for i in range(100):
            path = '/o62-%d' % i
            c.post(CREATE, path, b'1', OPEN, 0)
            c.post(GETDATA, path, False)
            c.post(SETDATA, path, b'2', 0)
            c.post(zkwire.EXISTS, path, False)
            c.post(zkwire.SYNC, path)
            c.post(GETDATA, path, False)
            c.post(DELETE, path, 1)
            c.post(GETDATA, path, False)
            r = c.drain()
            expect([x.err for x in r], [0] * 7 + [-101], 'errors')
            expect((r[1].value[0], r[5].value[0]), (b'1', b'2'), 'data')
            expect(r[3].value.version, 1, 'version')


@numbered(64)
def zxids_never_fall(server):
    """reply zxids never decrease on a connection under load"""
    stop = threading.Event()

    def write():
        with server.client() as c:
            while not stop.is_set():
                for _ in range(20):
                    c.post(SETDATA, '/o64', b'x', -1)
                c.drain()
    with server.client() as c:
        ok(c.create('/o64'))
        threads = [threading.Thread(target=write) for _ in range(2)]
        for t in threads:
            t.start()
        # Client.take_frame fails on a falling zxid; data must not either.
        version = -1
        try:
            for _ in range(300):
                c.post(GETDATA, '/o64', False)
                c.post(SETDATA, '/o64', b'y', -1)
                c.post(zkwire.EXISTS, '/o64', False)
                for r in c.drain():
                    s = r.value[1] if r.op == GETDATA else r.value
                    if s.version < version or s.mzxid > r.zxid:
                        raise AssertionError('version %d behind %d' % (
                            s.version, version))
                    version = s.version
        finally:
            stop.set()
            for t in threads:
                t.join()


@numbered(65)
def writes_do_not_delay_reads(server):
    """thousands of queued writes do not hold up others' reads"""
    with server.client() as c, server.client() as r:
        ok(c.create('/o65', b'x'))
        for _ in range(3000):
            c.post(SETDATA, '/o65', b'x' * 1000, -1)
        worst = 0.0
        done = threading.Event()

        def drain():
            for reply in c.drain():
                ok(reply)
            done.set()
        t = threading.Thread(target=drain)
        t.start()
        while not done.is_set():
            began = time.monotonic()
            ok(r.get('/o65'))
            worst = max(worst, time.monotonic() - began)
        t.join()
        if worst > 0.5:
            raise AssertionError('a read took %.3f s' % worst)


@numbered(72, quick=False, conf=dict(sessions.SHORT,
                                     maxSessionTimeout=60000))
def mass_expiry(server):
    """500 sessions with 20 ephemerals each expire; others keep going"""
    with server.client(timeout_ms=30000) as c:
        ok(c.create('/x72'))
        dying = [server.client(timeout_ms=4000) for _ in range(500)]
        for i, d in enumerate(dying):
            for k in range(20):
                d.post(CREATE, '/x72/%d-%d' % (i, k), b'', OPEN, EPHEMERAL)
        for d in dying:
            for reply in d.drain():
                ok(reply)
        worst = 0.0
        deadline = time.monotonic() + 30
        while True:
            began = time.monotonic()
            left = ok(c.exists('/x72')).value.numChildren
            ok(c.set('/x72', b'x'))
            worst = max(worst, time.monotonic() - began)
            if left == 0:
                break
            if time.monotonic() > deadline:
                raise AssertionError('%d ephemerals left' % left)
        for d in dying:
            d.abort()
        if worst > 1.0:
            raise AssertionError('a read and a write took %.2f s' % worst)


# -- authentication ---------------------------------------------------------

@numbered(73)
def auth_packets(server):
    """auth replies echo the xid; refusals close the connection only"""
    with server.client() as c:
        for xid in (-4, 7, 0):
            reply = ok(c.auth('digest', b'bob:pw', xid=xid))
            expect((reply.xid, reply.zxid), (xid, 0), 'reply')
        ok(c.auth('digest', b'nocolon'))
        ok(c.auth('ip', b''))
        ok(c.call(zkwire.AUTH, 'digest', b'x:y', 99))
        who = sorted(ok(c.call(zkwire.WHOAMI)).value)
        expect(who, [('digest', 'bob'), ('digest', 'nocolon'),
                     ('digest', 'x'), ('ip', '127.0.0.1')], 'whoAmI')
        ok(c.create('/a73', flags=EPHEMERAL))
        session, password = c.session, c.password
    for scheme, data in (('foo', b'x'), (None, b'x'), ('digest', None),
                         ('world', b'anyone'), ('super', b''),
                         ('auth', b''), ('sasl', b''), ('x509', b'')):
        with server.client(session=session, password=password) as c:
            reply = c.auth(scheme, data)
            expect((reply.err, reply.zxid), (-115, 0), repr(scheme))
            expect_closed(c, 'after ' + repr(scheme))
    with server.client(session=session, password=password) as c:
        expect(ok(c.exists('/a73')).value.ephemeralOwner, session, 'owner')
        expect(ok(c.call(zkwire.WHOAMI)).value, [('ip', '127.0.0.1')],
               'identities belong to the connection')


@numbered(74)
def acl_lists(server):
    """ACL lists are expanded, checked, deduplicated and enforced"""
    bob = 'bob:ikIaKsbtGweaHnb/jKn7OHqbunM='
    with server.client() as c, server.client() as other:
        ok(c.create('/a74'))
        expect_err(c.create('/a74/x', acl=CREATOR), -114, 'nobody')
        ok(c.auth('digest', b'bob:pw'))
        ok(c.auth('digest', b'eve:1'))
        ok(c.create('/a74/auth', acl=[(31, 'auth', 'x'), (1, 'auth', '')]))
        got = ok(c.get_acl('/a74/auth')).value[0]
        expect(sorted((p, s, i.partition(':')[0]) for p, s, i in got),
               [(1, 'digest', 'bob'), (1, 'digest', 'eve'),
                (31, 'digest', 'bob'), (31, 'digest', 'eve')], 'expanded')
        expect((31, 'digest', bob) in got, True, 'the digest')
        for reply in (other.get('/a74/auth'), other.set('/a74/auth'),
                      other.create('/a74/auth/x'),
                      other.children('/a74/auth'),
                      other.set_acl('/a74/auth'),
                      other.get_acl('/a74/auth')):
            expect_err(reply, -102)
        ok(other.auth('digest', b'bob:pw'))
        ok(other.get('/a74/auth'))
        twice = [(31, 'world', 'anyone'), (1, 'ip', '127.0.0.1'),
                 (31, 'world', 'anyone'), (-1, 'ip', '10.0.0.0/8'),
                 (1, 'ip', '127.0.0.1'), (0, 'world', 'anyone')]
        ok(c.create('/a74/twice', acl=twice))
        expect(ok(c.get_acl('/a74/twice')).value[0],
               twice[:2] + [twice[3], twice[5]], 'duplicates dropped')
        for acl in ([(31, 'world', None)], [(31, 'digest', None)],
                    [(31, 'ip', None)]):
            # No rule is stated for a null id; it must not be accepted.
            reply = c.create('/a74/bad', acl=acl)
            expect(reply.err in (-5, -114), True, repr(acl))
        for acl in ([], None, [(31, None, 'x')], [(31, 'world', 'x')],
                    [(31, 'nosuch', '')],
                    [(31, 'digest', 'a')], [(31, 'digest', 'a:')],
                    [(31, 'digest', 'a:b:c')], [(31, 'digest', '')],
                    [(31, 'ip', '1.2.3')], [(31, 'ip', '1.2.3.256')],
                    [(31, 'ip', '1.2.3.4/33')], [(31, 'ip', '1.2.3.4/-1')],
                    [(31, 'ip', 'x')], [(31, 'super', '')],
                    OPEN + [(31, 'digest', 'a')]):
            expect_err(c.create('/a74/bad', acl=acl), -114, repr(acl))
            expect_err(c.set_acl('/a74', acl), -114, repr(acl))
        for acl, readable in (([(1, 'ip', '127.0.0.1')], True),
                              ([(1, 'ip', '127.0.0.0/8')], True),
                              ([(1, 'ip', '127.0.0.0/24')], True),
                              ([(1, 'ip', '0.0.0.0/0')], True),
                              ([(1, 'ip', '127.0.0.2')], False),
                              ([(1, 'ip', '127.1.0.0/16')], False),
                              ([(30, 'world', 'anyone')], False),
                              ([(0, 'world', 'anyone')], False),
                              ([(-1, 'world', 'anyone')], True)):
            path = ok(c.create('/a74/ip-', acl=acl, flags=2)).value
            expect_err(other.get(path), 0 if readable else -102, repr(acl))
            ok(c.delete(path))


@numbered(74)
def permissions_one_by_one(server):
    """each permission allows its operations and no others"""
    with server.client() as c:
        ok(c.create('/a74b'))
        for perms in (0, 1, 2, 4, 8, 16, 30, 29, 27, 23, 15):
            path = '/a74b/%d' % perms
            ok(c.create(path, acl=OPEN))
            ok(c.create(path + '/kid'))
            ok(c.set_acl(path, [(perms, 'world', 'anyone')]))

            def can(bit):
                return 0 if perms & bit else -102
            expect_err(c.get(path), can(1), 'getData %d' % perms)
            expect_err(c.children(path), can(1), 'getChildren')
            expect_err(c.call(zkwire.GETALLCHILDRENNUMBER, path), can(1))
            expect_err(c.set(path), can(2), 'setData')
            expect_err(c.create(path + '/new'), can(4), 'create')
            expect_err(c.delete(path + '/kid'), can(8), 'delete')
            expect_err(c.get_acl(path), 0 if perms & 17 else -102)
            expect_err(c.exists(path), 0 if server.is_java else can(1))
            reply = ok(c.multi(op(zkwire.CHECK, path, -1)))
            expect(reply.value, [(13, None) if perms & 1 else (-1, -102)],
                   'check')
            expect_err(c.set_acl(path, [(perms, 'world', 'anyone')]),
                       can(16), 'setACL')


@numbered(75, conf={'DigestAuthenticationProvider.superDigest':
                    'super:D/InIHSb7yEEbrWz8b9l71RjZJU='})
def superuser(server):
    """the superuser passes every check"""
    with server.client() as c, server.client() as boss:
        ok(c.create('/a75', acl=[(0, 'world', 'anyone')]))
        expect_err(c.get('/a75'), -102)
        ok(boss.auth('digest', b'super:wrong'))
        expect_err(boss.get('/a75'), -102)
        ok(boss.auth('digest', b'super:test'))
        for reply in (boss.get('/a75'), boss.set('/a75'),
                      boss.create('/a75/x'), boss.delete('/a75/x'),
                      boss.get_acl('/a75'), boss.exists('/a75'),
                      boss.set('/zookeeper/config', b'x'),
                      boss.set_acl('/a75', OPEN)):
            ok(reply)
        expect(ok(boss.exists('/zookeeper/config')).value.version, 1,
               'version of config')
        expect(('super', '') in ok(boss.call(zkwire.WHOAMI)).value, True,
               'whoAmI')
        ok(c.get('/a75'))


@numbered(76, conf={'enforce.auth.enabled': 'true',
                    'enforce.auth.schemes': 'digest'})
def enforced_authentication(server):
    """enforced authentication refuses everything before it"""
    for kind in (zkwire.PING, zkwire.CLOSESESSION, zkwire.WHOAMI):
        with server.client() as c:
            reply = c.call(kind)
            expect((reply.err, reply.zxid), (-124, 0), 'op %d' % kind)
            expect_closed(c)
    with server.client() as c:
        reply = c.create('/a76')
        expect(reply.err, -124, 'create')
        expect_closed(c)
    with server.client() as c:
        ok(c.auth('digest', b'bob:pw'))
        ok(c.ping())
        expect_err(c.exists('/a76'), -101)
        ok(c.create('/a76'))


# -- quota, reserved tree, reconfig -----------------------------------------

def quota_text(c, path):
    return ok(c.get('/zookeeper/quota%s/zookeeper_stats' % path)).value


def counts(text):
    return {k: int(v) for k, _, v in (
        part.partition('=') for part in re.split('[,;]+', text.decode()))
        if v}


def set_quota(c, path, limits):
    ok(c.create('/zookeeper/quota' + path))
    ok(c.create('/zookeeper/quota%s/zookeeper_limits' % path, limits))
    ok(c.create('/zookeeper/quota%s/zookeeper_stats' % path,
                b'count=0,bytes=0'))


@numbered(79)
def quota_counts(server):
    """the stats node follows its subtree without version or watch"""
    with server.client() as c, server.client() as w:
        ok(c.create('/q79', b'12'))
        ok(c.create('/q79/a', b'345'))
        set_quota(c, '/q79', b'count=2,bytes=3')
        text, stat = quota_text(c, '/q79')
        got = counts(text)
        expect((got['count'], got['bytes']), (2, 5), 'recount')
        ok(w.add_watch('/zookeeper/quota/q79/zookeeper_stats', 0))
        ok(c.create('/q79/b', b'6'))
        ok(c.create('/q79/a/deep', b'7'))
        ok(c.set('/q79/a', b''))
        ok(c.delete('/q79/b'))
        ok(c.set('/q79', None))
        ok(c.multi(op(CREATE, '/q79/m', b'1234')))
        text, after = quota_text(c, '/q79')
        got = counts(text)
        expect((got['count'], got['bytes']), (4, 5), 'followed')
        expect((after.version, after.mzxid, after.mtime),
               (stat.version, stat.mzxid, stat.mtime), 'stat')
        expect(w.barrier(), [], 'events')
        ok(c.set('/zookeeper/quota/q79/zookeeper_stats',
                 b'count=7,bytes=9'))
        expect(paths_of(w.barrier()),
               [(CHANGED, '/zookeeper/quota/q79/zookeeper_stats')],
               "a client's own setData")


@numbered(79, conf={'enforceQuota': 'true'})
def quota_enforced(server):
    """hard limits refuse with -125, soft ones do not"""
    with server.client() as c:
        ok(c.create('/q', b''))
        set_quota(c, '/q', b'count=1,bytes=1=;byteHardLimit=10;'
                  b'countHardLimit=3')
        ok(c.create('/q/a', b'12345'))
        ok(c.create('/q/b', b'12345'))
        expect_err(c.create('/q/c', b''), -125, 'count')
        expect_err(c.create('/q/a', b''), -110, 'existence first')
        expect_err(c.create_container('/q/c'), -125, 'container')
        expect_err(c.set('/q/a', b'123456'), -125, 'bytes')
        expect_err(c.set('/q/a', b'123456', 7), -125, 'before the version')
        ok(c.set('/q/a', b'1234'))
        ok(c.set('/q/b', b'123456'))
        ok(c.delete('/q/b'))
        expect_err(c.create('/q/b', b'1234567'), -125, 'bytes')
        ok(c.create('/q/b', b'123456'))
        ok(c.create('/other'))


@numbered(80)
def garbage_in_quota_nodes(server):
    """garbage in limits and stats takes nothing down"""
    with server.client() as c:
        ok(c.create('/q80'))
        ok(c.create('/zookeeper/quota/q80'))
        ok(c.create('/zookeeper/quota/q80/zookeeper_limits',
                    b'count=x,,=;bytes'))
        if server.is_java:
            return              # section 19: its replicas may throw
        ok(c.create('/zookeeper/quota/q80/zookeeper_stats', b'\xff\0=='))
        for data in (b'', None, b'count=99999999999999999999,bytes=-5',
                     b'=;=;=;', b'count==1', os.urandom(300)):
            for node in ('limits', 'stats'):
                ok(c.set('/zookeeper/quota/q80/zookeeper_' + node, data))
            path = ok(c.create('/q80/n-', b'x', flags=2)).value
            ok(c.set(path, b'yy'))
            ok(c.delete(path))


@numbered(81)
def reconfig_refused(server):
    """reconfig is disabled by default"""
    with server.client() as c:
        expect_err(c.call(zkwire.RECONFIG, None, '3', None), -123)
        expect_err(c.call(zkwire.RECONFIG, 'garbage', None, None), -123)


@numbered(81, conf={'reconfigEnabled': 'true'})
def reconfig_standalone(server):
    """reconfig of a standalone server is unimplemented"""
    with server.client() as c:
        expect_err(c.call(zkwire.RECONFIG, None, '3', None), -6)
        ok(c.ping())


# -- timed nodes ------------------------------------------------------------

@numbered(25, conf={'znode.container.checkIntervalMs': 200})
def reaping(server):
    """containers go when emptied, TTL nodes when idle for their time"""
    with server.client() as c, server.client() as w:
        ok(c.create_container('/used'))
        ok(c.create_container('/never'))
        ok(c.create_container('/full'))
        ok(c.create('/full/x'))
        ok(w.add_watch('/used', 1))
        ok(w.add_watch('/ttl', 1))
        ok(c.create('/used/x'))
        ok(c.create_ttl('/ttl', ttl=700))
        began = time.monotonic()
        ok(c.create_ttl('/ttlfull', ttl=300))
        ok(c.create('/ttlfull/x'))
        ok(c.create_ttl('/ttlkept', ttl=10 ** 6))
        ok(c.delete('/used/x'))
        wait_until('the emptied container is gone',
                   lambda: c.exists('/used').err == -101, 3)
        wait_until('the idle TTL node is gone',
                   lambda: c.exists('/ttl').err == -101, 4)
        took = time.monotonic() - began
        if not 0.69 < took < 1.6:
            raise AssertionError('TTL node gone after %.2f s' % took)
        for path in ('/never', '/full', '/ttlfull', '/ttlkept'):
            ok(c.exists(path))
        events = paths_of(w.barrier())
        expect((DELETED, '/used') in events and (DELETED, '/ttl') in events,
               True, 'events')
        ok(c.delete('/ttlfull/x'))
        wait_until('the emptied TTL node is gone',
                   lambda: c.exists('/ttlfull').err == -101, 3)


# -- administration ---------------------------------------------------------

ENSEMBLE = {'initLimit': 10, 'syncLimit': 5,
            'server.1': '127.0.0.1:{p1}:{e1}',
            'server.2': '127.0.0.1:{p2}:{e2}',
            'server.3': '127.0.0.1:{p3}:{e3}'}


def case_83(kind):
    """83: a server without quorum closes connects and says so in words"""
    ports = {k: harness.free_port() for k in ('p1', 'e1', 'p2', 'e2', 'p3',
                                              'e3')}
    conf = {k: v.format(**ports) if isinstance(v, str) else v
            for k, v in ENSEMBLE.items()}
    server = harness.Server(kind, conf)
    try:
        with open(os.path.join(server.data, 'myid'), 'w') as f:
            f.write('1\n')
        server.spawn()

        def answers():
            if not server.alive():
                raise harness.Skip('no ensembles: ' +
                                   server.stderr()[-200:].strip())
            try:
                return server.four_letter('ruok')
            except (OSError, zkwire.Closed):
                return b''
        expect(wait_until('an answer to ruok', answers), b'imok', 'ruok')
        text = b'This ZooKeeper instance is not currently serving requests'
        for word in ('srvr', 'stat', 'mntr', 'cons', 'dump', 'wchs'):
            expect(server.four_letter(word), text + b'\n', word)
        expect(server.four_letter('isro'), b'null', 'isro')
        expect(server.four_letter('hash'), text, 'hash')
        with server.conn() as c:
            c.send_frame(zkwire.connect_request())
            expect(c.recv_all(), b'', 'answer to a connect')
    finally:
        server.close()


@numbered(86, quick=False)
def words_under_load(server):
    """words stay well-formed while 300 clients are active"""
    clients = [server.client() for _ in range(300)]
    stop = threading.Event()
    broken = []

    def load(part):
        i = 0
        try:
            while not stop.is_set():
                c = part[i % len(part)]
                c.post(CREATE, '/l86-', b'', OPEN, 3)
                c.post(GETDATA, '/', True)
                c.drain()
                i += 1
        except Exception as e:
            broken.append(repr(e))
    threads = [threading.Thread(target=load, args=(clients[k::3],))
               for k in range(3)]
    for t in threads:
        t.start()
    try:
        for _ in range(5):
            text = server.four_letter('srvr').decode()
            expect(bool(re.search(r'^Mode: standalone$', text, re.M)), True,
                   'srvr')
            lines = server.four_letter('cons').decode().split('\n')
            expect(lines[-2:], ['', ''], 'end of cons')
            if len(lines) < 302:
                raise AssertionError('cons has %d lines' % len(lines))
            for line in lines[:-2]:
                if not re.fullmatch(r' /127\.0\.0\.1:\d+\[[0-9a-f]+\]'
                                    r'\(queued=\d+,.*\)', line):
                    raise AssertionError('line %r' % line)
            dump = server.four_letter('dump').decode()
            for c in clients:
                expect('0x%x' % c.session in dump, True, 'session in dump')
            text = server.four_letter('wchc').decode()
            expect(text.endswith('\n\n') or text == '\n', True,
                   'end of wchc')
            server.four_letter('mntr')
    finally:
        stop.set()
        for t in threads:
            t.join()
        for c in clients:
            c.abort()
    expect(broken, [], 'clients')


def every_number_is_here():
    numbers = set(NUMBERS) | set(ELSEWHERE) | {83}
    expect(sorted(set(range(1, 93)) - numbers), [], 'numbers left out')
    expect(sorted(set(NUMBERS) & set(ELSEWHERE)), [], 'numbers twice')


def main():
    options = harness.options(__doc__.splitlines()[0])
    suite = harness.Suite('cases')
    sessions.run_cases(suite, CASES, options)
    for title, function, args in (
            (case_83.__doc__, case_83, (options.server,)),
            ('every number is here or said to be elsewhere',
             every_number_is_here, ())):
        if not options.only or re.search(options.only, title):
            suite.attempt(title, function, *args)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
