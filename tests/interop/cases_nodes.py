# SPDX-License-Identifier: Apache-2.0
"""Cases 15-37: nodes, their names, kinds, versions and Stats.

Run by cases.py; numbers are those of the protocol's section 15.
"""
import os
import threading
import time

import caselib
import disk
import zkwire
from caselib import op, paths_of
from harness import expect, expect_err, lone, ok, wait_until
from zkwire import (CREATE, CREATE2, CREATED, DELETE, DELETED, EPHEMERAL,
                    OPEN, READ, SEQUENTIAL)

CASES = caselib.Cases()
numbered = CASES.numbered


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
        lone(server, 'its files are written by hand')
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


@numbered(32)
def no_path_is_not_the_root(server):
    """reads of a null path are refused, watches on it never fire"""
    with server.client() as c:
        for op in (zkwire.EXISTS, zkwire.GETDATA, zkwire.GETCHILDREN,
                   zkwire.GETCHILDREN2):
            for watch in (False, True):
                expect_err(c.call(op, None, watch), -5)
        expect_err(c.call(zkwire.GETACL, None), -5)
        expect_err(c.call(zkwire.GETALLCHILDRENNUMBER, None), -5)
        for op in (zkwire.GETDATA, zkwire.GETCHILDREN):
            read = [(op, zkwire.w_path_watch(path)) for path in ('/', None)]
            expect_err(c.call(zkwire.MULTIREAD, read), -5)
        ok(c.call(zkwire.SYNC, None))
        ok(c.call(zkwire.GETEPHEMERALS, None))
        ok(c.add_watch(None, 0))
    # ZooKeeper fails to compare the path where a connection has it twice.
    for at in range(5):
        lists = [[], [], [], [], []]
        lists[at] = ['/', None]
        with server.client() as c:
            reply = c.call(zkwire.SETWATCHES2, c.zxid, *lists)
            expect(reply.err, -5 if at < 3 else 0, 'list %d' % at)


@numbered(32)
def empty_path_is_no_watch_on_the_root(server):
    """a watch on the empty path is not one on the root, it never fires"""
    with server.client() as c, server.client() as w:
        ok(w.exists('', watch=True))
        ok(w.get('', watch=True))
        ok(w.children('', watch=True))
        for mode in (0, 1):
            with server.client() as p:
                ok(p.add_watch('', mode))
                ok(c.create('/w32'))
                ok(c.set('/', b''))
                ok(c.delete('/w32'))
                expect(p.barrier(), [], 'events of mode %d' % mode)
        expect(w.barrier(), [], 'events')
        ok(w.call(zkwire.REMOVEWATCHES, '', 3))
        # It counts the root itself, which is a child by its text.
        count = ok(c.call(zkwire.GETALLCHILDRENNUMBER, '/')).value
        expect(ok(c.call(zkwire.GETALLCHILDRENNUMBER, '')).value, count + 1,
               'getAllChildrenNumber of the empty path')


@numbered(16)
def malformed_text_is_replaced(server):
    """text that is no UTF-8 comes back with U+FFFD in its place"""
    with server.client() as c:
        for raw, want in ((b'/\xff', '/\ufffd'),
                          (b'/\xc0\xaf', '/\ufffd\ufffd'),
                          (b'/\xe2\x82', '/\ufffd'),
                          (b'/\xe2\x82x', '/\ufffdx'),
                          (b'/\xed\xa0\xbdx', '/\ufffdx'),
                          (b'/\xf0\x9f\x98', '/\ufffd'),
                          (b'/\x80\x80', '/\ufffd\ufffd'),
                          ('/é', '/é')):
            expect(ok(c.sync(raw)).value, want, 'echo of %r' % raw)


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
        expect(data[:9], b'server.1=' if server.companions else b'',
               'data of config')
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


@numbered(25, conf={'znode.container.checkIntervalMs': 1500})
def reaping_waits_for_its_interval(server):
    """the first look for empty containers comes an interval after a start"""
    lone(server, 'a leader may serve long before this one does')
    with server.client() as c:
        ok(c.create_container('/used'))
        ok(c.create('/used/x'))
        ok(c.delete('/used/x'))
    server.restart()
    with server.client() as c:
        time.sleep(0.4)
        ok(c.exists('/used'), 'shortly after the start')
        wait_until('the emptied container is gone',
                   lambda: c.exists('/used').err == -101, 4)
