# SPDX-License-Identifier: Apache-2.0
"""The random client script of differential.py: what five clients ask for.

Goal: a seed stands for one sequence of steps, which meets every operation with
good and bad arguments, and never asks for what ZooKeeper itself answers by
chance; where that is avoided a comment says so.

A step is one of
    'requests', client, [(op, arguments)], cuts
        all sent at once, or cut at these shares of their bytes; 'ends': the
        connection must end by it
    'malformed', client, frame body, whether the connection must end
    'resume', client, five lists of paths to watch, whether from the last zxid
        it saw, or from an earlier one
    'close', client, not used
"""
import random
import struct

import harness
import zkwire
from zkwire import (ADDWATCH, AUTH, CHECK, CHECKWATCHES, CREATE, CREATE2,
                    CREATECONTAINER, CREATETTL, DELETE, EXISTS, GETACL,
                    GETALLCHILDRENNUMBER, GETCHILDREN, GETCHILDREN2, GETDATA,
                    GETEPHEMERALS, MULTI, MULTIREAD, PING, RECONFIG,
                    REMOVEWATCHES, SETACL, SETDATA, SETWATCHES, SETWATCHES2,
                    SYNC, WHOAMI, OPEN)

# Directories with so many children are answered in slices by Falconer.
BULK = 400
CLIENTS = 5
BOB = 'bob:ikIaKsbtGweaHnb/jKn7OHqbunM='


def breaks_off(request):
    """A multi that ends in ZooKeeper by a Java exception that is none of the
    protocol's: a plain create with a TTL mode."""
    return request[0] == MULTI and any(
        op == CREATE and body.endswith(struct.pack('>i', 5))
        for op, body in request[1][0])


def up_to_unsettled(requests):
    """Some requests leave ZooKeeper's records of pending changes wrong until
    they are answered, so that what is sent behind them depends on time; nothing
    is.  A setACL: permissions are checked against the list of before.  A multi
    that breaks off: its creates count in their parents' cversion, in numbers
    of sequential nodes and in Stats, for ever."""
    for i, request in enumerate(requests):
        if request[0] == SETACL or breaks_off(request):
            return requests[:i + 1]
    return requests


class Script:
    """Generates steps. Never looks at a server."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.tops = ['/d%d' % i for i in range(6)]
        self.fresh = 0

    def path(self):
        r = self.random
        k = r.random()
        top = r.choice(self.tops)
        if k < 0.35:
            return top
        if k < 0.75:
            return '%s/c%d' % (top, r.randrange(5))
        if k < 0.90:
            return '%s/c%d/g%d' % (top, r.randrange(5), r.randrange(3))
        if k < 0.93:
            # The configuration has the ports of its ensemble.
            config = '' if harness.members() > 1 else '/config'
            return r.choice(['/', '', '/zookeeper', '/zookeeper' + config,
                             '/zookeeper/quota', '/zookeeper/x'])
        if k < 0.96:
            return self.quota_path()
        return r.choice([
            '/d0/', '//', '/d1//c0', 'd0', '/d0/.', '/d0/..', '/.', '/d2/.b',
            '/d0/...', '/d\x01', '/\x7f', '/\x80', '/\ue000', '/\uffef',
            '/é', '/日本/x', '/日本', '/d0/\u2028', '/\uf900', '/d0/c0/',
            '/.d', '/d0/ x', '/\x00', b'/\xff', b'/\xc0\xaf',
            b'/\xed\xa0\xbd\xed\xb8\x80', b'/\xf0\x9f\x98\x80', b'/d0\xe2',
        ])

    def quota_path(self):
        r = self.random
        base = '/zookeeper/quota/d%d' % r.randrange(2)
        return base + r.choice(['', '/zookeeper_limits', '/zookeeper_stats'])

    def data(self):
        r = self.random
        return r.choice([None, b'', b'x', b'data %d' % r.randrange(100),
                         bytes(r.randrange(256) for _ in range(
                             r.randrange(200)))])

    def quota_data(self):
        return self.random.choice([
            b'count=5,bytes=100', b'count=-1,bytes=-1',
            b'count=3,bytes=10=;byteHardLimit=50;countHardLimit=5',
            b'count=4,bytes=40=;byteHardLimit=-1;countHardLimit=20',
            b'count=-1,bytes=-1=;byteHardLimit=200;countHardLimit=-1'])

    def acl(self):
        r = self.random
        k = r.random()
        if k < 0.75:
            return OPEN
        return r.choice([
            [(31, 'auth', '')],
            [(1, 'world', 'anyone'), (31, 'digest', BOB)],
            [(r.randrange(32), 'world', 'anyone')],
            [(31, 'ip', '127.0.0.1')],
            [(31, 'ip', '10.0.0.0/8'), (5, 'world', 'anyone')],
            [(31, 'ip', '127.0.0.0/8')],
            [(31, 'world', 'anyone'), (31, 'world', 'anyone')],
            [(-1, 'world', 'anyone')],
            [(1, 'digest', BOB), (3, 'auth', 'ignored')],
            [(31, 'digest', 'a:b'), (16, 'digest', ':b'),
             (15, 'world', 'anyone')],
            [], None, [(31, 'digest', 'a')], [(31, 'digest', 'a:b:c')],
            [(31, 'ip', '300.0.0.1')], [(31, 'ip', '1.2.3.4/33')],
            [(31, 'world', 'someone')], [(31, None, 'x')],
            [(31, 'world', None)], [(31, 'nosuch', 'x')],
            [(31, 'digest', 'a:')], [(31, 'super', '')],
            [(31, 'digest', None)], [(31, 'ip', '')],
            [(31, 'x509', 'CN=a')], [(31, 'sasl', 'bob')],
        ])

    def version(self):
        r = self.random
        return r.choice([-1] * 10 + [0, 0, 1, 2, 3, -2, 2 ** 31 - 1])

    def seq_path(self):
        r = self.random
        top = r.choice(self.tops)
        return r.choice(['/s', top + '/q-', top + '/', '/', top + '//q',
                         top + '/.', '/.'])

    def create(self, in_multi=False):
        r = self.random
        op = r.choice([CREATE, CREATE, CREATE2, CREATE2, CREATECONTAINER,
                       CREATETTL])
        path, data = self.path(), self.data()
        if isinstance(path, str) and path.endswith(
                ('zookeeper_limits', 'zookeeper_stats')):
            data = self.quota_data()
        if op in (CREATE, CREATE2):
            flags = r.choice([0, 0, 0, 0, 1, 2, 3])
            # An ephemeral limits node would go with its session, and what of
            # the session's nodes still counts depends on a free order.
            if data is not None and data.startswith(b'count='):
                flags &= ~1
            if not in_multi and r.random() < 0.05:
                flags = r.choice([4, 5, 6, 7, -1, 100])
        elif op == CREATECONTAINER:
            flags = 4 if in_multi else r.choice([4, 4, 4, 0, 1, 2])
        else:
            flags = r.choice([5, 5, 6])
        if flags in (2, 3, 6) and r.random() < 0.7:
            path = self.seq_path()
        acl = self.acl()
        if op != CREATETTL:
            if in_multi and acl is None:
                acl = OPEN
            return op, (path, data, acl, flags)
        ttl = r.choice([3600000, 3600000, 2 ** 40 - 1, 10 ** 7])
        if not in_multi and r.random() < 0.1:
            # A negative ttl with flags 0..4 would end the Java server.
            flags, ttl = r.choice([(5, 0), (5, -1), (5, 2 ** 40), (0, 5),
                                   (4, 5), (9, 5)])
        if in_multi and acl is None:
            acl = OPEN
        return op, (path, data, acl, flags, ttl)

    def write(self, in_multi=False):
        r = self.random
        k = r.random()
        if k < 0.45:
            return self.create(in_multi)
        if k < 0.65:
            return DELETE, (self.path(), self.version())
        if k < 0.95 or in_multi:
            path = self.path()
            data = self.data()
            if isinstance(path, str) and 'quota/d' in path:
                data = self.quota_data()
            return SETDATA, (path, data, self.version())
        return SETACL, (self.path(), self.acl(), self.version())

    def multi(self):
        r = self.random
        ops = []
        for _ in range(r.choice([0, 1, 2, 3, 4, 6])):
            if r.random() < 0.15:
                op, args = CHECK, (self.path(), self.version())
            else:
                op, args = self.write(in_multi=True)
            ops.append((op, zkwire.REQUEST[op](*args)))
        if r.random() < 0.3 and ops:
            # One that is likely to work whole.
            self.fresh += 1
            name = '%s/m%d' % (r.choice(self.tops[:2] + ['']), self.fresh)
            ops = [(CREATE, zkwire.w_create(name, b'1')),
                   (SETDATA, zkwire.w_setdata(name, b'2', 0)),
                   (CREATE2, zkwire.w_create(name + '/k-', b'3', OPEN, 2)),
                   (CHECK, zkwire.w_path_version(name, 1))]
            if r.random() < 0.5:
                ops += [(CREATE, zkwire.w_create(name + '/e', b'', OPEN, 1)),
                        (DELETE, zkwire.w_path_version(name + '/e', 0))]
            else:
                ops = ops[:2] + [(DELETE, zkwire.w_path_version(name, 1))]
        k = r.random()
        if k < 0.02:
            ops.append((CREATE, zkwire.w_create('/d0/b', b'', OPEN, 7)))
        elif k < 0.04:
            ops.insert(0, (CREATE, zkwire.w_create('/d0/b', b'', None, 0)))
        elif k < 0.08:
            ops.append(r.choice([
                (SETACL, zkwire.w_setacl('/d0')), (SYNC, zkwire.w_path('/')),
                (GETDATA, zkwire.w_path_watch('/d0')), (999, b''),
                (CREATE, zkwire.w_create('/d0/b', b'', OPEN, 5))]))
        return MULTI, (tuple(ops),)

    def multiread(self):
        r = self.random
        return MULTIREAD, (tuple(
            (op, zkwire.w_path_watch(self.path(), r.random() < 0.2))
            for op in [r.choice([GETDATA, GETCHILDREN])
                       for _ in range(r.randrange(5))]),)

    def bulk(self, client):
        """What is large: a directory, its lists, hundreds of reads."""
        r = self.random
        top = r.choice(['/b0', '/b1'])
        names = ['%s/n%03d' % (top, i) for i in range(BULK)]
        k = r.random()
        if k < 0.2:
            return MULTI, (tuple([(CREATE, zkwire.w_create(top))] + [
                (CREATE, zkwire.w_create(n, b'%d' % i))
                for i, n in enumerate(names)]),)
        if k < 0.3:
            return MULTI, (tuple([
                (DELETE, zkwire.w_path_version(n))
                for n in names + [top]]),)
        if k < 0.4:
            return MULTI, (tuple([
                (SETDATA, zkwire.w_setdata(n, self.data()))
                for n in r.sample(names, 100)]),)
        if k < 0.8:
            return (r.choice([GETCHILDREN, GETCHILDREN2]),
                    (top, client < 3 and r.random() < 0.5))
        if k < 0.9:
            return GETALLCHILDRENNUMBER, (top,)
        return MULTIREAD, (tuple(
            (r.choice([GETDATA, GETDATA, GETCHILDREN]),
             zkwire.w_path_watch(r.choice(names + [top])))
            for _ in range(400)),)

    def read(self, client):
        r = self.random
        watch = client < 3 and r.random() < 0.4
        k = r.random()
        if k < 0.85:
            op = r.choice([EXISTS, GETDATA, GETCHILDREN, GETCHILDREN2])
            return op, (self.path(), watch)
        return r.choice([
            (GETACL, (self.path(),)), (GETACL, (self.path(),)),
            (GETALLCHILDRENNUMBER, (self.path(),)),
            (GETEPHEMERALS, (r.choice([None, '', '/', '/d1', '/d', ' ']),)),
            (WHOAMI, ()), (SYNC, (self.path(),)), (SYNC, (None,)),
            (RECONFIG, (None, '3', None)), (PING, ())])

    def watch_op(self, client):
        r = self.random
        if client == 3:
            if r.random() < 0.8:
                return ADDWATCH, (self.path(), 0)
            return REMOVEWATCHES, (self.path(), 3)
        if client == 4:
            return ADDWATCH, (self.path(), r.choice([1, 1, 1, 2, -1, 7])
                              if r.random() < 0.3 else 1)
        return r.choice([CHECKWATCHES, REMOVEWATCHES]), (
            self.path(), r.choice([1, 2, 3, 3, 0, 9]))

    def request(self, client):
        k = self.random.random()
        if k < 0.40:
            return self.write()
        if k < 0.50:
            return self.multi()
        if k < 0.55:
            return self.multiread()
        if k < 0.65:
            return self.watch_op(client)
        return self.read(client)

    def malformed(self):
        """(frame body, whether the connection must end)."""
        r = self.random
        k = r.random()
        xid = r.choice([7, 0, -77, 2 ** 31 - 1])
        if k < 0.5:
            op, args = r.choice([self.write, self.write, self.multi,
                                 self.multiread, lambda: self.read(0)])()
            body = zkwire.REQUEST[op](*args)
            if body:
                body = body[:r.randrange(len(body))]
            return struct.pack('>ii', xid, op) + body, False
        if k < 0.85:
            op = r.choice([CREATE, DELETE, EXISTS, GETDATA, SETDATA, GETACL,
                           SETACL, GETCHILDREN, MULTI, MULTIREAD, ADDWATCH,
                           REMOVEWATCHES, SETWATCHES, SETWATCHES2, SYNC,
                           GETALLCHILDRENNUMBER, GETEPHEMERALS])
            body = bytes(r.choice([0, 0, 255, r.randrange(256)])
                         for _ in range(r.randrange(40)))
            return struct.pack('>ii', xid, op) + body, False
        if k < 0.95:
            op = r.choice([10, 888, -5, 0, 2 ** 31 - 1, -1, 23, 99, 108])
            return struct.pack('>ii', xid, op), True
        return r.randbytes(r.randrange(8)), True

    def step(self):
        r = self.random
        client = r.randrange(CLIENTS)
        k = r.random()
        if k < 0.01:
            return ('requests', client,
                    [self.bulk(client) for _ in range(r.choice([1, 1, 4]))],
                    [])
        if k < 0.80:
            return 'requests', client, [self.request(client)], None
        if k < 0.90:
            count = r.randrange(2, 12)
            cuts = sorted(r.random() for _ in range(r.randrange(4)))
            requests = [self.request(client) for _ in range(count)]
            return 'requests', client, up_to_unsettled(requests), cuts
        if k < 0.925:
            return ('malformed', client) + self.malformed()
        if k < 0.94:
            lists = [[self.path() for _ in range(r.randrange(4))]
                     for _ in range(5)]
            lists = [[p for p in x if isinstance(p, str)] for x in lists]
            for kind in ((0, 1, 2) if client > 2 else (3, 4)):
                lists[kind] = []
            if client == 3:
                lists[4] = []
            if client == 4:
                lists[3] = []
            if client < 3 and r.random() < 0.2:
                # Thousands of bytes: by slices.
                names = ['/b0/n%03d' % i for i in range(0, 2 * BULK, 2)]
                lists[r.randrange(3)] += r.sample(names, 300)
            return 'resume', client, lists, r.random() < 0.5
        if k < 0.95:
            return 'close', client, r.random() < 0.5
        if k < 0.965:
            return ('requests', client,
                    [(AUTH, r.choice([('digest', b'bob:pw'),
                                      ('digest', b'alice:x'),
                                      ('ip', b''), ('digest', b'nocolon')]))],
                    None)
        if k < 0.97:
            return ('requests', client,
                    [(AUTH, r.choice([('foo', b'x'), (None, b'x'),
                                      ('digest', None), ('world', b''),
                                      ('sasl', b'x'), ('x509', b''),
                                      ('ensemble', b'x')]))], 'ends')
        return 'requests', client, [self.write()], None
