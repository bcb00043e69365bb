# SPDX-License-Identifier: Apache-2.0
"""Cases 79-86: quotas, the reserved tree, words, no quorum.

Run by cases.py; numbers are those of the protocol's section 15.
"""
import os
import re
import threading

import caselib
import harness
import zkwire
from caselib import op, paths_of
from harness import expect, expect_err, lone, ok, wait_until
from zkwire import CHANGED, CREATE, GETDATA, OPEN

CASES = caselib.Cases()
numbered = CASES.numbered


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


@numbered(79)
def quota_text_is_kept(server):
    """hard limits in a stats node are written back, also those of -1"""
    stats = '/zookeeper/quota/q79t/zookeeper_stats'
    with server.client() as c:
        ok(c.create('/q79t'))
        ok(c.create('/zookeeper/quota/q79t'))
        ok(c.create('/zookeeper/quota/q79t/zookeeper_limits', b'count=9'))
        ok(c.create(stats))
        for text, after in (
                (b'count=4,bytes=40=;byteHardLimit=-1;countHardLimit=20',
                 b'count=5,bytes=42=;byteHardLimit=-1;countHardLimit=20'),
                (b'count=4,bytes=40=;countHardLimit=-1',
                 b'count=5,bytes=42=;countHardLimit=-1'),
                (b'count=4,bytes=40', b'count=5,bytes=42')):
            ok(c.set(stats, text))
            ok(c.create('/q79t/k', b'12'))
            expect(ok(c.get(stats)).value[0], after, 'stats')
            ok(c.delete('/q79t/k'))


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


@numbered(79, conf={'enforceQuota': 'true'})
def quota_in_a_multi(server):
    """each operation of a multi is checked against the usage before it"""
    with server.client() as c:
        ok(c.create('/q', b''))
        set_quota(c, '/q', b'count=1,bytes=1=;byteHardLimit=10;'
                  b'countHardLimit=3')
        three = [op(CREATE, '/q/%d' % i, b'12345') for i in range(3)]
        expect([r[0] for r in ok(c.call(zkwire.MULTI, three)).value], [1] * 3,
               'three at once')
        expect(counts(quota_text(c, '/q')[0])['count'], 4, 'usage')
        expect_err(c.create('/q/x'), -125, 'behind it')
        # A limit that the same multi sets does not count in it.
        ok(c.create('/r', b''))
        ok(c.create('/zookeeper/quota/r'))
        stats = op(CREATE, '/zookeeper/quota/r/zookeeper_stats', b'')
        limits = op(CREATE, '/zookeeper/quota/r/zookeeper_limits',
                    b'count=1,bytes=1=;byteHardLimit=1;countHardLimit=1')
        ok(c.call(zkwire.MULTI, [limits, stats, op(CREATE, '/r/1', b'22')]))
        expect_err(c.create('/r/2'), -125, 'behind that')


@numbered(79)
def quota_recount_comes_behind(server):
    """creating a stats node answers with the Stat before its recount"""
    with server.client() as c:
        ok(c.create('/q79b', b'12'))
        ok(c.create('/zookeeper/quota/q79b'))
        ok(c.create('/zookeeper/quota/q79b/zookeeper_limits',
                    b'count=5,bytes=50'))
        path = '/zookeeper/quota/q79b/zookeeper_stats'
        stat = ok(c.create2(path, b'0')).value[1]
        expect(stat.dataLength, 1, 'dataLength')
        data, after = ok(c.get(path)).value
        expect(counts(data)['count'], 1, 'recount')
        expect(after, stat._replace(dataLength=len(data)), 'stat')


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
    lone(server, 'it says so itself')
    with server.client() as c:
        expect_err(c.call(zkwire.RECONFIG, None, '3', None), -6)
        ok(c.ping())


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
            mode = re.search(r'^Mode: (\w+)$', text, re.M).group(1)
            expect(mode == 'standalone', not server.companions, 'mode')
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
