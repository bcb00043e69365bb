# SPDX-License-Identifier: Apache-2.0
"""Who misuses HTTP harms himself."""
import socket

from adminlib import (SUITE, admin_server, ask, falconer_only, metrics, rss,
                      served)
import harness
from harness import expect, ok


@SUITE.case('slow, silent and shouting clients of HTTP harm only themselves')
def _(options):
    falconer_only(options)
    with admin_server(conf={'admin.idleTimeout': 2000}) as server:
        client = server.client(timeout_ms=40000)
        address = ('127.0.0.1', server.admin)
        silent = [socket.create_connection(address) for _ in range(150)]
        trickling = silent[10:14]
        for s in trickling:
            s.sendall(b'GET /livez HTTP/1.1\r\n')

        def still_open():
            alive = 0
            for s in trickling:
                try:
                    s.sendall(b'X-A: b\r\n')
                    s.setblocking(False)
                    try:
                        alive += s.recv(100) != b''
                    except BlockingIOError:
                        alive += 1
                    s.setblocking(True)
                except OSError:
                    pass
            return alive
        for _ in range(20):
            ok(client.get('/'))
        harness.wait_until('trickling connections are dropped',
                           lambda: still_open() == 0, 20, 0.2)
        for s in silent:
            s.close()
        harness.wait_until('there is room again', lambda: served(server), 15)
        # A header larger than any, a path larger than any, a body too.
        big = b'GET /livez HTTP/1.1\r\nX-Big: ' + b'x' * 200000 + b'\r\n\r\n'
        for data in (big, b'GET /' + b'y' * 100000 + b' HTTP/1.1\r\n\r\n',
                     b'\0' * 5000, b'GET /livez\r\n\r\n',
                     b'POST /commands/shed HTTP/1.1\r\n'
                     b'Content-Length: 99999999999\r\n\r\nzzz'):
            with socket.create_connection(address) as s:
                try:
                    s.sendall(data)
                except OSError:
                    pass
        long_path = ask(server.admin, '/commands/' + 'z' * 4000)
        expect(long_path.status, 400)
        ok(client.get('/'))
        expect(served(server), True, 'it goes on')
        before = rss(server)
        for _ in range(300):
            with socket.create_connection(address) as s:
                s.sendall(b'GET /commands/monitor HTTP/1.1\r\n\r\n')
        harness.wait_until('it serves', lambda: served(server), 15)
        expect(rss(server) - before < 50 << 20, True, 'memory')
        client.close()


@SUITE.case('the server stops while requests wait')
def _(options):
    falconer_only(options)
    with admin_server() as server:
        socks = []
        for path in ('livez', 'commands/cons', 'commands/wchc', 'metrics'):
            s = socket.create_connection(('127.0.0.1', server.admin))
            s.sendall(b'GET /%s HTTP/1.1\r\nHost: x\r\n\r\n' % path.encode())
            socks.append(s)
        s = socket.create_connection(('127.0.0.1', server.admin))
        s.sendall(b'GET /liv')
        expect(server.stop(), 0, 'exit code')
        for s in socks:
            s.close()
