# SPDX-License-Identifier: Apache-2.0
"""The device under a server goes away and comes back.

Goal: it is said, nothing but the device is lost, and connections that were
open go on: TCP's patience is longer than the absence.

Method: run by ports.py in a namespace of its own.  Over tap the netdev is
deleted under a connected client; over vhost the process on the other side is
killed and another one takes its place.
"""
import os
import subprocess
import sys
import tempfile

import harness
import zkwire
from harness import Suite, expect, ok, wait_until

SUITE = Suite('port_loss')
RELAY = os.path.join(harness.ROOT, 'build', 'tests', 'net', 'relay')


def said(server, text, count=1):
    wait_until('%d times "%s"' % (count, text),
               lambda: server.stderr().count(text) >= count)


@SUITE.case('tap: a deleted netdev is made again, connections go on')
def deleted():
    with harness.Server('falconer') as server, \
            server.client(timeout_ms=20000, timeout=15) as client:
        ok(client.create('/before', b'1'))
        for count in (1, 2):
            subprocess.run(['ip', 'link', 'del', 'fal0'], check=True)
            said(server, 'the device is gone', count)
            said(server, 'the device is back', count)
            ok(client.create('/after-%d' % count, b'2'))
            expect(ok(client.get('/before')).value[0], b'1', 'data')
        with server.client() as other:
            expect(ok(other.get('/after-1')).value[0], b'2', 'data')
        expect(server.stop(), 0, 'exit code')


@SUITE.case('tap: a link that is down for a while is waited for')
def link_down():
    with harness.Server('falconer') as server, \
            server.client(timeout_ms=20000, timeout=15) as client:
        ok(client.create('/before', b'1'))
        subprocess.run(['ip', 'link', 'set', 'fal0', 'down'], check=True)
        said(server, 'the link is down')
        subprocess.run(['ip', 'link', 'set', 'fal0', 'up'], check=True)
        said(server, 'the link is up', 2)
        ok(client.create('/after', b'2'))


def relay(path, port):
    return subprocess.Popen(
        [RELAY, 'net_virtio_user0,path=' + path, '10.99.0.1/24', '10.99.0.2',
         str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@SUITE.case('vhost: the process on the other side is killed, another comes')
def killed():
    with tempfile.TemporaryDirectory(prefix='port-loss-') as folder:
        path = os.path.join(folder, 'socket')
        os.environ['FALCONER_CONF'] = (
            'falconer.dataplane=dpdk;falconer.dpdk.port=net_vhost0,iface=%s;'
            'falconer.dpdk.address=10.99.0.2/24' % path)
        os.environ['FALCONER_BIND'] = '10.99.0.2'
        server = harness.Server('falconer')
        other = None
        try:
            server.spawn()
            for life in range(3):
                wait_until('a socket', lambda: os.path.exists(path))
                other = relay(path, server.port)
                wait_until('answers through the relay', server.serving)
                with server.client() as client:
                    ok(client.create('/life-%d' % life, b''))
                other.kill()
                other.wait()
                other = None
                said(server, 'the link is down', life + 1)
            expect(server.stop(), 0, 'exit code')
            # A socket that a killed server left is no obstacle.
            for _ in range(2):
                before = server.stderr().count('serves ZooKeeper clients')
                server.kill()
                server.spawn()
                said(server, 'serves ZooKeeper clients', before + 1)
            other = relay(path, server.port)
            wait_until('answers after kill -9', server.serving)
        finally:
            if other is not None:
                other.kill()
                other.wait()
            server.close()


def main():
    options = harness.options(__doc__.splitlines()[0])
    # Over tap ports.py says where the server is.
    kind = 'tap' if 'net_tap' in os.environ.get('FALCONER_CONF', '') \
        else 'vhost'
    SUITE.cases = [case for case in SUITE.cases if case[0].startswith(kind)]
    SUITE.run(options)
    return SUITE.finish()


if __name__ == '__main__':
    sys.exit(main())
