# SPDX-License-Identifier: Apache-2.0
"""Commands that do something: snapshots, and connections sent away."""
import glob
import os
import time

from adminlib import AUTH, SUITE, admin_server, command, falconer_only
import harness
from harness import expect, ok
import zkwire


def tree_of(server):
    """path: data of the whole tree but /zookeeper."""
    out = {}
    with server.client() as client:
        todo = ['/']
        while todo:
            path = todo.pop()
            reply = client.get(path)
            if reply.err == zkwire.NONODE:
                continue
            out[path] = ok(reply).value[0]
            for name in ok(client.children(path)).value:
                child = path.rstrip('/') + '/' + name
                if child != '/zookeeper':
                    todo.append(child)
    return out


@SUITE.case('a snapshot is streamed, and both servers start from it')
def _(options):
    falconer_only(options)
    with admin_server() as server:
        with server.client() as client:
            for i in range(500):
                ok(client.create('/n%d' % i, b'%d' % i))
        zxid = server.zxid()
        answer = command(server, 'snapshot', headers=AUTH)
        want = tree_of(server)
        expect(answer.status, 200, answer.text[:200]
               if answer.status != 200 else '')
        expect(answer.headers['content-type'], 'application/octet-stream')
        expect(int(answer.headers['snapshot_size']), len(answer.body))
        taken = int(answer.headers['last_zxid'], 16)
        expect(taken >= zxid, True, 'all that was there')
        last = command(server, 'last_snapshot').json
        expect(int(last['zxid'], 16), taken, 'last_snapshot')
        expect(abs(last['timestamp'] - time.time()) < 3600, True)
        # The interval has not passed.
        again = command(server, 'snap', headers=AUTH)
        expect((again.status, again.json['error']),
               (429, 'Rate limit exceeded'))
    for kind in ('falconer', 'java'):
        if not harness.available(kind):
            continue
        # 3.8 does not know the zxid at a snapshot's end and reads past it.
        with harness.Server(kind, conf={
                'snapshot.trust.empty': 'true'}) as other:
            other.stop()
            version = os.path.join(other.data, 'version-2')
            for name in glob.glob(os.path.join(version, '*')):
                os.remove(name)
            with open(os.path.join(version, 'snapshot.%x' % taken),
                      'wb') as f:
                f.write(answer.body)
            other.start()
            expect(tree_of(other), want, kind)


@SUITE.case('snapshot without streaming, without a limit, switched off')
def _(options):
    falconer_only(options)
    with admin_server(conf={'admin.rateLimiterIntervalInMS': 0}) as server:
        for _ in range(3):
            answer = command(server, 'snapshot?streaming=false',
                             headers=AUTH)
            expect(answer.json, {'command': 'snapshot', 'error': None})
            expect('last_zxid' in answer.headers, True)
    with admin_server(conf={'admin.snapshot.enabled': 'false',
                            'admin.restore.enabled': 'false'}) as server:
        answer = command(server, 'snapshot', headers=AUTH)
        expect((answer.status, answer.json['error']),
               (503, 'Snapshot command is disabled'))
        answer = command(server, 'restore', method='POST', headers=AUTH)
        expect((answer.status, answer.json['error']),
               (503, 'Restore command is disabled'))


@SUITE.case('shed_connections closes the share it was asked for')
def _(options):
    falconer_only(options)
    with admin_server() as server:
        clients = [server.client() for _ in range(10)]
        for body in (b'', b'{}', b'{"percentage": 101}',
                     b'{"percentage": 5} x', b'{"percentage": "5"}',
                     b'x' * 100000):
            answer = command(server, 'shed', method='POST', headers=AUTH,
                             body=body)
            expect(answer.status, 400, body[:30])
        answer = command(server, 'shed_connections', method='POST',
                         headers=AUTH, body=b'{"percentage": 0}').json
        expect(answer, {'connections_shed': 0, 'percentage_requested': 0,
                        'command': 'shed_connections', 'error': None})
        answer = command(server, 'shed', method='POST', headers=AUTH,
                         body=b'{ "percentage" : 100 }').json
        expect(answer['connections_shed'], 10)
        for client in clients:
            harness.expect_closed(client)
