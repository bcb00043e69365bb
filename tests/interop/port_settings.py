# SPDX-License-Identifier: Apache-2.0
"""Settings on a port of DPDK: they mean what they mean on the kernel's sockets,
and those that cannot be had are refused by name, with what helps.

Method: run by ports.py in a namespace of its own, over tap.  Servers are
started with one setting each, and judged by whom they answer, or by the exit
status and the line of the log.
"""
import os
import socket
import subprocess
import sys

import harness
from harness import Suite, expect, wait_until

SUITE = Suite('port_settings')
OURS, OURS6 = '10.99.0.2', 'fd99::2'
STATUS_FAILED = 1


def serves(host, port):
    try:
        return harness.four_letter((host, port), 'ruok', 10.0) == b'imok'
    except ConnectionRefusedError:
        return False
    except TimeoutError:
        raise AssertionError('%s port %d neither answers nor refuses; %s' % (
            host, port, subprocess.run(['ip', 'neigh'], capture_output=True,
                                       text=True).stdout))


@SUITE.case('clientPortAddress: one of the two addresses, or both')
def one_address():
    for address, answers in (
            (OURS, (True, False)), (OURS6, (False, True)),
            ('0.0.0.0', (True, True)), ('::', (True, True)),
            (None, (True, True))):
        for cores in (0, 2):
            server = harness.Server('falconer', {
                'clientPortAddress': address, 'falconer.cores': cores})
            server.host = OURS if answers[0] else OURS6
            with server:
                expect(tuple(serves(host, server.port)
                             for host in (OURS, OURS6)), answers,
                       '%s, %d cores' % (address, cores))


@SUITE.case('members: a port of each address of a server')
def several_addresses():
    for everywhere in ('false', 'true'):
        quorum, election = harness.free_port(), harness.free_port()
        server = harness.Server('falconer', {
            'initLimit': 5, 'syncLimit': 5, 'standaloneEnabled': 'false',
            'multiAddress.enabled': 'true',
            'quorumListenOnAllIPs': everywhere,
            'server.1': '%s:%d:%d|[%s]:%d:%d' % (
                OURS, quorum, election, OURS6, quorum, election),
            'server.2': '10.99.0.1:%d:%d:observer' % (
                harness.free_port(), harness.free_port())})
        with open(os.path.join(server.data, 'myid'), 'w') as f:
            f.write('1\n')
        with server:
            for host in (OURS, OURS6):
                for port in (quorum, election):
                    socket.create_connection((host, port), 10).close()


# What is wrong, and what the line of the log says.
REFUSED = (
    ({'clientPortAddress': '127.0.0.1'}, 'falconer.dpdk.address; '),
    ({'clientPortAddress': '10.99.0.1'}, 'falconer.dpdk.address; '),
    ({'falconer.dpdk.port': 'eth0'},
     'falconer.dpdk.port=eth0: ', 'net_af_xdp0,iface=eth0'),
    ({'falconer.dpdk.port': '0000:zz'}, 'check falconer.dpdk.port=0000:zz'),
    ({'falconer.dpdk.port': 'net_af_packet0,iface=no0',
      'falconer.dpdk.kernelAddress': None}, 'there is no netdev no0'),
    ({'falconer.dpdk.port': 'net_vhost0,iface=/nonexistent/s',
      'falconer.dpdk.kernelAddress': None},
     'no socket can be made in /nonexistent'),
    ({'falconer.dpdk.port': 'net_tap0,iface=fal0,wrong=1'},
     'does not know all of its arguments'),
    ({'falconer.dpdk.address': '127.0.0.2/8'},
     'falconer.dpdk.address=127.0.0.2/8: '),
    ({'falconer.dpdk.address': '10.99.0.255/24'},
     'falconer.dpdk.address=10.99.0.255/24: '),
    ({'falconer.dpdk.kernelAddress': '10.99.0.2/24'},
     'falconer.dpdk.kernelAddress=10.99.0.2/24: '),
    ({'falconer.dpdk.vlan': 5}, 'falconer.dpdk.vlan=5'),
    ({'falconer.dpdk.mtu': 600}, 'falconer.dpdk.mtu=600: IPv6 needs 1280'),
    ({'falconer.dpdk.mtu': 9000}, 'falconer.dpdk.mtu=9000: the device has '),
    ({'falconer.dpdk.eal': '--wrong'}, 'check falconer.dpdk.eal=--wrong'),
    ({'falconer.dpdk.eal': 'log-level=8'}, 'falconer.dpdk.eal=log-level=8: '),
    ({'falconer.hugepages': 'required', 'falconer.dpdk.mbufs': 1 << 20,
      'falconer.cores': 16}, 'vm.nr_hugepages'),
)


@SUITE.case('what cannot be had is refused by name')
def refused():
    for conf, *words in REFUSED:
        server = harness.Server('falconer', conf)
        try:
            server.spawn()
            expect(server.wait_exit(), STATUS_FAILED, str(conf))
            line = server.stderr().partition('cannot start: ')[2]
            for word in words:
                expect(word in line, True, '%r in %r' % (word, line[:500]))
        finally:
            server.close()


@SUITE.case('a tap device that a server has is not another one\'s')
def two_on_a_tap():
    with harness.Server('falconer') as first:
        second = harness.Server('falconer')
        try:
            second.spawn()
            expect(second.wait_exit(), STATUS_FAILED)
            expect('the netdev fal0 is in use' in second.stderr(), True,
                   second.stderr()[-500:])
        finally:
            second.close()
        for _ in range(20):
            expect(first.serving(), True, 'all frames are the first one\'s')


@SUITE.case('a tap device that was made before is taken')
def made_before():
    subprocess.run(('ip', 'tuntap', 'add', 'fal0', 'mode', 'tap',
                    'multi_queue'), check=True)
    try:
        subprocess.run(('ip', 'link', 'set', 'fal0', 'up'), check=True)
        with harness.Server('falconer') as server:
            expect(server.serving(), True)
    finally:
        subprocess.run(('ip', 'tuntap', 'del', 'fal0', 'mode', 'tap',
                        'multi_queue'), check=True)


class Limited(harness.Server):
    def command(self):
        return ['prlimit', '--nofile=200:200'] + super().command()


@SUITE.case('clients take no descriptors, and nothing is said of them')
def descriptors():
    with Limited('falconer') as server:
        crowd = [socket.create_connection(server.address, 10)
                 for _ in range(400)]
        wait_until('all are there', lambda: server.four_letter(
            'cons').count(b'\n') >= 400)
        expect('open files' in server.stderr(), False, server.stderr()[:500])
        for each in crowd:
            each.close()


def main():
    options = harness.options(__doc__.splitlines()[0])
    SUITE.run(options)
    return SUITE.finish()


if __name__ == '__main__':
    sys.exit(main())
