# SPDX-License-Identifier: Apache-2.0
"""Ensembles whose members each have a port and a TCP of their own.

Goal: three servers on af_packet or tap elect, replicate, lose their leader by
kill and by partition and take it back, also with a Java ZooKeeper among them:
peers' connections are opened and accepted by our own TCP.

Method: run by ports.py in a namespace of its own.  A bridge there is the
network; each Falconer has a veth or a tap in it, whose other end the kernel is
deaf on; Java and the clients are at the bridge's own address.  A partition
takes a member's port out of the bridge: frames are lost without a word.
"""
import sys

import harness
import members
import ports
import zkwire
from harness import Suite, expect, ok, wait_until

SUITE = Suite('port_members')
NET = '10.99.0.'
SECONDS = 60


def plug(netdev):
    ports.ip('link', 'set', netdev, 'master', 'br0', 'up')


def unplug(netdev):
    ports.ip('link', 'set', netdev, 'nomaster')


def is_there(netdev):
    # /sys shows the devices of another namespace.
    with open('/proc/net/dev') as f:
        return netdev + ':' in f.read()


class Ensemble(members.Ensemble):
    """Falconers at 10.99.0.11 and up on ports of `driver`; Java at the
    bridge's address."""

    def __init__(self, kinds, driver):
        super().__init__(kinds)
        self.driver = driver
        hosts = [ports.KERNEL if m.is_java else NET + str(10 + m.sid)
                 for m in self.members]
        for member, host in zip(self.members, hosts):
            member.host = host
            for sid, other in enumerate(hosts, 1):
                key = 'server.%d' % sid
                member.conf[key] = member.conf[key].replace('127.0.0.1', other)
            if not member.is_java:
                self.give_port(member)

    def give_port(self, member):
        inside = 'm%d' % member.sid
        if self.driver == 'af_packet':
            member.cable = 'p%d' % member.sid
            ports.ip('link', 'add', member.cable, 'type', 'veth', 'peer',
                     'name', inside)
            with open('/proc/sys/net/ipv6/conf/%s/disable_ipv6' % inside,
                      'w') as f:
                f.write('1')
            ports.without_offload(member.cable)
            ports.ip('link', 'set', inside, 'up')
            plug(member.cable)
        else:
            member.cable = inside
        member.conf.update({
            'falconer.dataplane': 'dpdk',
            'falconer.dpdk.port': 'net_%s0,iface=%s' % (self.driver, inside),
            'falconer.dpdk.address': member.host + '/24'})

    def spawn(self, member):
        member.spawn()
        if self.driver == 'tap' and not member.is_java:
            wait_until('the tap is there', lambda: is_there(member.cable))
            plug(member.cable)

    def start(self, *sids):
        chosen = [self[s] for s in sids] or self.members
        for member in chosen:
            self.spawn(member)
        for member in chosen:
            member.wait_serving(SECONDS)

    def close(self):
        super().close()
        if self.driver == 'af_packet':
            for member in self.members:
                if not member.is_java:
                    ports.ip('link', 'del', member.cable)


def write(member, path, data):
    with member.client() as c:
        reply = c.create(path, data)
        if reply.err == zkwire.NODEEXISTS:
            ok(c.set(path, data))
        else:
            ok(reply)


def read_everywhere(ensemble, path, data):
    for member in ensemble.running():
        with member.client() as c:
            ok(c.sync(path))
            expect(ok(c.get(path)).value[0], data,
                   '%s on server %d' % (path, member.sid))


def kill_and_return(e):
    """The leader dies, the others go on, it comes back."""
    leader = e.settle(SECONDS)
    for member in e.members:
        write(member, '/by%d' % member.sid, b'x' * 3000)
    for member in e.members:
        read_everywhere(e, '/by%d' % member.sid, b'x' * 3000)
    leader.kill()
    second = e.settle(SECONDS)
    write(second, '/without', b'the first leader')
    e.spawn(leader)
    e.settle(SECONDS)
    read_everywhere(e, '/without', b'the first leader')
    e.same_data()
    expect(e.mismatches(), 0, 'digest mismatches')


@SUITE.case('af_packet: three elect, lose the leader by kill, by partition')
def three_on_af_packet():
    with Ensemble(['falconer'] * 3, 'af_packet') as e:
        e.start()
        kill_and_return(e)
        leader = e.settle(SECONDS)
        rest = [m for m in e.members if m is not leader]
        unplug(leader.cable)

        def another():
            return [m for m in rest if m.mode() == 'leader']
        second = wait_until('the others have a leader', another, SECONDS)[0]
        write(second, '/apart', b'while one was cut off')
        plug(leader.cable)
        wait_until('it follows', lambda: leader.mode() == 'follower', SECONDS)
        e.settle(SECONDS)
        read_everywhere(e, '/apart', b'while one was cut off')
        e.same_data()


@SUITE.case('tap and Java: two Falconers and a ZooKeeper on one bridge')
def with_java_on_tap():
    if not harness.available('java'):
        raise harness.Skip('no Java ZooKeeper here')
    with Ensemble(['falconer', 'falconer', 'java'], 'tap') as e:
        e.start()
        kill_and_return(e)


def main():
    options = harness.options(__doc__.splitlines()[0])
    SUITE.run(options)
    return SUITE.finish()


if __name__ == '__main__':
    sys.exit(main())
