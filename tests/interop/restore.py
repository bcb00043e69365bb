# SPDX-License-Identifier: Apache-2.0
"""The admin command restore: a snapshot takes the place of a running tree.

Goal: after a 200 the data are those of the snapshot, whatever happens next;
before it they are the old ones; a server that is killed at any moment starts
with the one or the other, never with a mixture. Sessions of the snapshot live
on, others are expired, no client is told a zxid twice.

Method: a small program loads and restores; kills come at moments that a seed
chooses, spread over the time one restore takes.
"""
import http.client
import logging
import os
import random
import socket
import sys
import threading
import time

import harness
import members
import zkwire
from adminlib import AUTH, admin_server, ask, command, falconer_only
from harness import Suite, expect, ok, wait_until

logging.disable(logging.CRITICAL)  # kazoo tells of each lost connection
SUITE = Suite('restore')
NO_LIMIT = {'admin.rateLimiterIntervalInMS': 0}


def restore(server, body, headers=None):
    return command(server, 'restore', method='POST', body=body,
                   headers=dict(AUTH, **(headers or {})))


def ready(server):
    """Serves again: the process starts itself anew behind its answer."""
    def check():
        try:
            return ask(server.admin, '/readyz', timeout=5).status == 200
        except (OSError, http.client.HTTPException):
            return False
    wait_until('ready again', check)


def snapshot(server):
    answer = command(server, 'snapshot', headers=AUTH)
    expect(answer.status, 200)
    return answer.body, int(answer.headers['last_zxid'], 16)


def names(server):
    with server.client() as client:
        return set(ok(client.children('/')).value)


def wait_for_old(server, body):
    with server.client() as client:
        ok(client.create('/old'))
    answer = restore(server, body)
    expect(answer.status, 200, answer.text)
    ready(server)


@SUITE.case('a running tree is replaced; zxids go on')
def _(options):
    falconer_only(options)
    with admin_server(conf=NO_LIMIT) as server:
        with server.client() as client:
            for i in range(200):
                ok(client.create('/n%d' % i, b'%d' % i))
            ok(client.create('/secret', b'x', acl=[
                (31, 'digest', 'a:b'), (1, 'world', 'anyone')]))
        body, taken = snapshot(server)
        with server.client() as client:
            ok(client.set('/n7', b'changed'))
            ok(client.delete('/n8'))
            ok(client.create('/later'))
        last = server.zxid()
        answer = restore(server, body)
        expect((answer.status, answer.json),
               (200, {'last_zxid': taken, 'command': 'restore',
                      'error': None}))
        ready(server)
        with server.client() as client:
            expect(ok(client.get('/n7')).value[0], b'7')
            expect(ok(client.get('/n8')).value[0], b'8')
            expect(client.exists('/later').err, zkwire.NONODE)
            expect(ok(client.get_acl('/secret')).value[0],
                   [(31, 'digest', 'a:x'), (1, 'world', 'anyone')])
            made = client.create('/after')
            ok(made)
            expect(made.zxid > last, True, 'zxids %d, %d' % (made.zxid, last))
        for stop in (server.stop, server.kill):
            stop()
            server.start()
            with server.client() as client:
                ok(client.exists('/after'))
                expect(ok(client.get('/n7')).value[0], b'7')
                expect(client.exists('/later').err, zkwire.NONODE)
        monitor = command(server, 'monitor').json
        expect(monitor['restore_error_count'], 0)


@SUITE.case('an empty server takes a snapshot of a long history')
def _(options):
    falconer_only(options)
    with admin_server(conf=NO_LIMIT) as server:
        with server.client() as client:
            for i in range(500):
                ok(client.create('/n%d' % i))
        body, taken = snapshot(server)
    with admin_server(conf=NO_LIMIT) as other:
        expect(other.zxid() < taken, True)
        expect(restore(other, body).status, 200)
        ready(other)
        expect(len(names(other)), 501)
        with other.client() as client:
            expect(client.create('/more').zxid > taken, True)
        monitor = command(other, 'monitor').json
        expect(monitor['cnt_restore_time'], 1)


@SUITE.case('sessions of the snapshot live, others end, watches come back')
def _(options):
    falconer_only(options)
    from kazoo.client import KazooClient, KazooState
    with admin_server(conf=dict(NO_LIMIT, tickTime=500,
                                maxSessionTimeout=20000)) as server:
        old = KazooClient(hosts=server.hosts, timeout=10)
        old.start()
        old.create('/mine', b'1', ephemeral=True)
        session = old.client_id[0]
        body, _ = snapshot(server)
        new = KazooClient(hosts=server.hosts, timeout=10)
        states, seen = [], []
        new.add_listener(states.append)
        new.start()
        new.create('/his', b'1', ephemeral=True)
        old.DataWatch('/mine', lambda data, stat: seen.append(data))
        wait_until('first look', lambda: seen == [b'1'])
        expect(restore(server, body).status, 200)
        ready(server)
        wait_until('the new session is lost',
                   lambda: KazooState.LOST in states)
        wait_until('the old client is back', lambda: old.connected)
        expect(old.client_id[0], session)
        expect(old.exists('/mine').ephemeralOwner, session)
        expect(old.exists('/his'), None)
        old.set('/mine', b'2')
        wait_until('the watch is there again', lambda: seen[-1:] == [b'2'])
        for client in (old, new):
            client.stop()
            client.close()


def header_only(server, headers):
    """Asks to send 100 MB and waits for the answer first."""
    conn = http.client.HTTPConnection('127.0.0.1', server.admin, timeout=20)
    conn.putrequest('POST', '/commands/restore')
    for key, value in headers.items():
        conn.putheader(key, value)
    conn.putheader('Content-Length', str(100 << 20))
    conn.putheader('Expect', '100-continue')
    conn.endheaders()
    answer = conn.getresponse()
    text = answer.read().decode()
    conn.close()
    return answer.status, text


@SUITE.case('who may not, and what is no snapshot, changes nothing')
def _(options):
    falconer_only(options)
    with admin_server(conf=NO_LIMIT) as server:
        with server.client() as client:
            for i in range(300):
                ok(client.create('/n%d' % i, bytes(200)))
        body, _ = snapshot(server)
        want = names(server)
        # Not a byte of the body is wanted before it is known who asks.
        expect(header_only(server, {})[0], 401)
        expect(header_only(server, {'Authorization': 'kerberos x'})[0], 401)
        expect(command(server, 'restore', headers=AUTH).status, 405)
        expect(restore(server, b'').status, 400)
        damaged = bytearray(body)
        damaged[len(body) // 2] ^= 1
        for bad in (b'x', b'ZKSN', bytes(100000), body[:-50],
                    body[:len(body) // 2], bytes(damaged)):
            answer = restore(server, bad)
            expect((answer.status, 'cannot be loaded' in
                    answer.json['error']), (500, True), answer.text)
        # An upload that breaks off takes no room, and does not stand in the
        # way of the next.
        upload = os.path.join(server.data, 'version-2',
                              'falconer.tmp.restore')
        with socket.create_connection(('127.0.0.1', server.admin)) as raw:
            raw.sendall(b'POST /commands/restore HTTP/1.1\r\nHost: x\r\n'
                        b'Authorization: digest admin:pw\r\n'
                        b'Content-Length: 1000000\r\n\r\n' + bytes(5000))
            wait_until('one is under way', lambda: restore(
                server, body).status == 429)
            expect(os.path.exists(upload), True)
        wait_until('what came of it is gone',
                   lambda: not os.path.exists(upload))
        expect(names(server), want)
        wait_until('it is forgotten', lambda: restore(
            server, body).status == 200)
        ready(server)
        expect(names(server), want)
    with admin_server() as server:  # ZooKeeper's limit: once in 5 minutes
        expect(restore(server, b'x').status, 500)
        expect(restore(server, b'x').status, 429)
        monitor = command(server, 'monitor').json
        expect((monitor['restore_error_count'],
                monitor['restore_rate_limited_count']), (1, 1))
    with admin_server(conf={
            'serializeLastProcessedZxid.enabled': 'false'}) as server:
        answer = restore(server, b'x')
        expect((answer.status, 'serializeLastProcessedZxid' in answer.text),
               (500, True))


def send_and_note(server, body, told):
    try:
        told.append(restore(server, body).status)
    except (OSError, http.client.HTTPException):
        told.append(None)


@SUITE.case('kill -9 at any moment leaves the old data or the new')
def _(options):
    falconer_only(options)
    rounds = 10 if options.quick else 60
    seed = int(time.time()) if options.seed is None else options.seed
    choose = random.Random(seed)
    print('  seed %d' % seed)
    with admin_server(conf=NO_LIMIT) as server:
        with server.client() as client:
            for i in range(2000):
                ok(client.create('/n%d' % i, bytes(400)))
        body, _ = snapshot(server)
        new = names(server)
        start = time.monotonic()
        wait_for_old(server, body)
        takes = time.monotonic() - start
        ends = {'old': 0, 'new': 0}
        for _ in range(rounds):
            with server.client() as client:
                ok(client.create('/old'))
            told = []
            thread = threading.Thread(target=send_and_note,
                                      args=(server, body, told))
            thread.start()
            # More of the first part, which ends with the commit.
            time.sleep(choose.random() ** 3 * takes)
            server.kill()
            thread.join()
            server.start()
            got = names(server)
            if got == new:
                ends['new'] += 1
            else:
                expect(got, new | {'old'})
                expect(told, [None], 'an answer that was not true')
                ends['old'] += 1
                restore(server, body)
                ready(server)
        print('  %s' % ends)


@SUITE.case('three members restore the same snapshot, one by one')
def _(options):
    falconer_only(options)
    ensemble = members.Ensemble(['falconer'] * 3, conf=dict(NO_LIMIT, **{
        'admin.enableServer': 'true', 'admin.serverAddress': '127.0.0.1'}))
    for member in ensemble.members:
        member.admin = harness.free_port()
        member.conf['admin.serverPort'] = member.admin
    try:
        ensemble.start()
        with ensemble[1].client() as client:
            for i in range(100):
                ok(client.create('/n%d' % i))
        body, _ = snapshot(ensemble[2])
        with ensemble[1].client() as client:
            ok(client.create('/later'))
        ensemble.same_data()
        for member in ensemble.members:
            expect(restore(member, body).status, 200)
            ready(member)
        ensemble.settle()
        with ensemble[3].client() as client:
            made = ok(client.create('/after'))
            expect(made is not None, True)
        ensemble.same_data()
        for member in ensemble.members:
            expect('later' in names(member), False, str(member.sid))
        expect(ensemble.mismatches(), 0)
    finally:
        for member in ensemble.members:
            member.close()


def main():
    options = harness.options(
        __doc__.splitlines()[0], lambda p: p.add_argument(
            '--seed', type=int, help='of the moments of the kills'))
    SUITE.run(options, options)
    return SUITE.finish()


if __name__ == '__main__':
    sys.exit(main())
