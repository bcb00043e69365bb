# SPDX-License-Identifier: Apache-2.0
"""Cases 62-78: order among requests, authentication, ACLs, SASL, TLS.

Run by cases.py; numbers are those of the protocol's section 15.
"""
import base64
import hashlib
import os
import ssl
import threading
import time

import caselib
import sessions
import zkwire
from caselib import op
from harness import expect, expect_closed, expect_err, ok
from zkwire import CREATE, CREATOR, DELETE, EPHEMERAL, GETDATA, OPEN, SETDATA

CASES = caselib.Cases()
numbered = CASES.numbered


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


@numbered(73, conf={'DigestAuthenticationProvider.digestAlg': 'SHA-256'})
def another_digest(server):
    """digestAlg hashes passwords with the algorithm it names"""
    digest = base64.b64encode(hashlib.sha256(b'bob:pw').digest()).decode()
    with server.client() as c:
        ok(c.auth('digest', b'bob:pw'))
        ok(c.create('/a73', b'', CREATOR))
        expect(ok(c.get_acl('/a73')).value[0],
               [(31, 'digest', 'bob:' + digest)], 'ACL')
        with server.client() as d:
            expect_err(d.get('/a73'), zkwire.NOAUTH)
            ok(d.auth('digest', b'bob:pw'))
            ok(d.get('/a73'))
            ok(d.delete('/a73'))


@numbered(73, conf={'DigestAuthenticationProvider.enabled': 'false'})
def no_digest(server):
    """without its provider digest is neither identity nor ACL"""
    with server.client() as c:
        expect_err(c.create('/a73', b'', [(31, 'digest', 'a:b')]),
                   zkwire.INVALIDACL)
        expect_err(c.auth('digest', b'bob:pw'), zkwire.AUTHFAILED)
        expect_closed(c)


@numbered(74, conf={'skipACL': 'yes'})
def no_acl_at_all(server):
    """skipACL=yes: lists are checked for form and then ignored"""
    with server.client() as c:
        ok(c.create('/a74', b'', [(0, 'world', 'anyone')]))
        ok(c.get('/a74'))
        ok(c.set('/a74', b'x'))
        ok(c.create('/a74/k', b'', [(31, 'digest', 'a:b')]))
        ok(c.delete('/a74/k'))
        ok(c.delete('/a74'))


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
        # An ensemble's begins with -1.
        expect(ok(boss.exists('/zookeeper/config')).value.version,
               0 if server.companions else 1, 'version of config')
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


# -- SASL and TLS at a server that has neither --------------------------------

# What a client of DIGEST-MD5 sends second; its nonce is not ours.
DIGEST_MD5 = (b'charset=utf-8,username="bob",realm="zk-sasl-md5",nonce="Zm9v",'
              b'nc=00000001,cnonce="YmFy",digest-uri="zookeeper/zk-sasl-md5",'
              b'maxbuf=65536,response=%s,qop=auth' % (b'0' * 32))


@numbered(77)
def sasl_where_there_is_none(server):
    """SASL tokens get a null token, and nobody becomes anybody by them"""
    with server.client() as c:
        tokens = [b'', DIGEST_MD5, b'x' * 4000, os.urandom(40)]
        # A null token ends the connection there; here it is as good as none.
        for token in tokens if server.is_java else tokens + [None]:
            body = zkwire.Writer().buf(token).bytes()
            reply = ok(c.call_raw(zkwire.SASL, body, xid=77))
            expect((reply.xid, reply.zxid, reply.body[16:]),
                   (77, 0, b'\xff\xff\xff\xff'), 'a null token')
        if not server.is_java:  # 3.8 answers it at once, ours in its place
            c.post(CREATE, '/a77-b', b'', OPEN, 0)
            c.post_raw(zkwire.SASL, zkwire.Writer().buf(b'x').bytes(), 78)
            c.post(GETDATA, '/a77-b', False)
            expect([r.err for r in c.drain()], [0, 0, 0], 'in its place')
        expect_err(c.create('/a77', acl=[(31, 'sasl', 'bob')]), -114,
                   'no provider of the scheme')
        expect(ok(c.call(zkwire.WHOAMI)).value, [('ip', '127.0.0.1')],
               'whoAmI')


def client_hello(context):
    """The first bytes of a TLS client."""
    out = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname='zk')
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


@numbered(78)
def tls_on_the_plain_port(server):
    """a TLS handshake on the plain port ends in a close, without a byte"""
    context = ssl.create_default_context()
    hello = client_hello(context)
    expect(hello[:2], b'\x16\x03', 'a handshake record')
    with server.client() as other:
        for pieces in ([hello], [hello[:3], hello[3:]],
                       [hello[i:i + 1] for i in range(5)],
                       # An alert and data of a connection that never was.
                       [b'\x15\x03\x03\x00\x02\x02\x28'],
                       [b'\x17\x03\x03\x40\x00' + os.urandom(64)]):
            c = server.conn()
            for piece in pieces:
                c.send(piece)
            expect_closed(c, '%d bytes of TLS' % sum(map(len, pieces)))
        ok(other.exists('/'))
    expect(server.four_letter('ruok'), b'imok', 'in clear, as ever')
