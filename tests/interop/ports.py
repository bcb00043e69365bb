# SPDX-License-Identifier: Apache-2.0
"""Other suites again, with the server's own TCP on a port of DPDK.

Goal: kazoo, the C client, zkCli, the recorded run and the comparison with
ZooKeeper find no difference when the server is reached through a tap device,
or through af_packet or af_xdp on a veth pair: Linux's TCP on one side, ours on
the other; or through vhost, with our TCP on both.  And ensembles hold together
whose members each have a port on one bridge.

Method: each suite runs in a network namespace of its own, so devices and
addresses are nobody else's and go with it.  Needs root (or user namespaces)
for the namespace, /dev/net/tun for tap; what is missing is said.

Usage: ports.py [--quick] [--only REGEX], or ports.py inside KIND PROGRAM...,
which is what runs in the namespace.
"""
import ctypes
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile

import harness
from harness import Suite, Skip

SUITE = Suite('ports')
HERE = os.path.dirname(os.path.abspath(__file__))
KERNEL, OURS = '10.99.0.1', '10.99.0.2'
KERNEL6, OURS6 = 'fd99::1', 'fd99::2'

# kind of port, device as DPDK names it, settings beside it
PORTS = {
    'tap': ('net_tap0,iface=fal0',
            'falconer.dpdk.kernelAddress=%s/24,%s/64' % (KERNEL, KERNEL6)),
    'tap_ipv6': ('net_tap0,iface=fal0',
                 'falconer.dpdk.kernelAddress=%s/24,%s/64'
                 % (KERNEL, KERNEL6)),
    'tap_cores': ('net_tap0,iface=fal0',
                  'falconer.dpdk.kernelAddress=%s/24,%s/64;falconer.cores=2'
                  % (KERNEL, KERNEL6)),
    # Small enough that its driver cuts long frames, see docs/tcp.md.
    'tap_cut': ('net_tap0,iface=fal0',
                'falconer.dpdk.kernelAddress=%s/24,%s/64;falconer.dpdk.mtu=1400'
                % (KERNEL, KERNEL6)),
    'af_packet': ('net_af_packet0,iface=fal1', None),
    'af_xdp': ('net_af_xdp0,iface=fal1', None),
    'af_xdp_cores': ('net_af_xdp0,iface=fal1', 'falconer.cores=2'),
    'vhost': ('net_vhost0,iface=%s,client=1', None),
    'vhost_cores': ('net_vhost0,iface=%s,client=1', 'falconer.cores=2'),
    'vhost_spin': ('net_vhost0,iface=%s,client=1',
                   'falconer.idle=spin;falconer.hugepages=no'),
    'vhost_alone': ('', None),
    'bridge': ('', None),
}

# What runs over which port.
COMPARE = 'differential.py --count 150 --only falconer.beside'
PLAN = (
    ('tap', ('replay.py', 'recipes.py', 'zkcli.py', 'c_client.py', COMPARE,
             'port_loss.py', 'port_inside.py', 'port_settings.py',
             'port_crowd.py --count 2000 --rounds 2')),
    ('tap_ipv6', ('recipes.py',)),
    ('tap_cores', ('interleaved.py',)),
    ('tap_cut', ('replay.py', 'recipes.py')),
    ('af_packet', ('replay.py', 'recipes.py', 'c_client.py')),
    ('af_xdp', ('replay.py', 'recipes.py', 'c_client.py')),
    ('af_xdp_cores', ('interleaved.py',)),
    ('vhost', ('replay.py', 'recipes.py', 'c_client.py', COMPARE)),
    ('vhost_cores', ('c_client.py',)),
    ('vhost_spin', ('port_inside.py',)),
    ('vhost_alone', ('port_loss.py', 'port_client.py')),
    ('bridge', ('port_members.py',)),
)


# -- inside the namespace ----------------------------------------------------

def without_offload(netdev):
    """The kernel leaves checksums and long segments to a veth's other end;
    ours is a wire, so they are made before (ethtool -K tx off gso off tso
    off)."""
    siocethtool, length = 0x8946, 8
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for command in (0x17, 0x1f, 0x24):  # STXCSUM, STSO, SGSO
            value = ctypes.create_string_buffer(
                struct.pack('II', command, 0), length)
            request = struct.pack('16sP8x', netdev.encode(),
                                  ctypes.addressof(value))
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.ioctl(s.fileno(), ctypes.c_ulong(siocethtool),
                          request) != 0 and command != 0x1f:
                sys.exit('cannot switch off offloads of %s: %s' % (
                    netdev, os.strerror(ctypes.get_errno())))


def ip(*words):
    subprocess.run(('ip',) + words, check=True)


def make_veth():
    ip('link', 'add', 'fal0', 'numtxqueues', '1', 'numrxqueues', '1',
       'type', 'veth', 'peer', 'name', 'fal1', 'numtxqueues', '1',
       'numrxqueues', '1')
    # The kernel is to be deaf on our end.
    with open('/proc/sys/net/ipv6/conf/fal1/disable_ipv6', 'w') as f:
        f.write('1')
    without_offload('fal0')
    ip('addr', 'add', KERNEL + '/24', 'dev', 'fal0')
    ip('addr', 'add', KERNEL6 + '/64', 'dev', 'fal0', 'nodad')
    ip('link', 'set', 'fal0', 'up')
    ip('link', 'set', 'fal1', 'up')


def make_bridge():
    ip('link', 'add', 'br0', 'type', 'bridge')
    ip('addr', 'add', KERNEL + '/24', 'dev', 'br0')
    ip('link', 'set', 'br0', 'up')
    without_offload('br0')


def settings(kind):
    device, more = PORTS[kind]
    text = ('falconer.dataplane=dpdk;falconer.dpdk.port=%s;'
            'falconer.dpdk.address=%s/24,%s/64' % (device, OURS, OURS6))
    return text + (';' + more if more else '')


def run_behind_relay(kind, program):
    """Clients reach the server through a relay, which is what a program
    with virtio-user of its own is: no root, no huge pages, no kernel between.
    The relay owns the socket, so that the server may come and go."""
    path = os.path.join(tempfile.mkdtemp(prefix='ports-'), 'socket')
    port = harness.free_port()
    relay = subprocess.Popen(
        [os.path.join(harness.ROOT, 'build', 'tests', 'net', 'relay'),
         'net_virtio_user0,path=%s,server=1' % path,
         KERNEL + '/24', OURS, str(port)]
        + (['awake'] if kind == 'vhost_spin' else []), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    try:
        # It waits for the server, and the suite waits for both.
        env = dict(os.environ, FALCONER_CONF=settings(kind) % path,
                   FALCONER_PORT=str(port), FALCONER_BIND=OURS,
                   CLIENT_HOST=KERNEL, JAVA_HOST=KERNEL)
        sys.exit(subprocess.run(
            ['/usr/bin/python3', os.path.join(HERE, program[0])]
            + list(program[1:]), env=env).returncode)
    finally:
        relay.kill()
        relay.wait()
        shutil.rmtree(os.path.dirname(path), ignore_errors=True)


def inside(kind, program):
    ip('link', 'set', 'lo', 'up')
    if kind.startswith('af_'):
        make_veth()
    elif kind == 'bridge':
        make_bridge()
    else:
        # Java binds to the address of the kernel's end before there is one.
        ip('addr', 'add', KERNEL + '/32', 'dev', 'lo')
    if kind in ('vhost_alone', 'bridge'):
        os.execv('/usr/bin/python3', ['/usr/bin/python3', os.path.join(
            HERE, program[0])] + list(program[1:]))
    if kind.startswith('vhost'):
        run_behind_relay(kind, program)
    is_6 = kind.endswith('ipv6')
    env = dict(os.environ, FALCONER_CONF=settings(kind),
               FALCONER_HOST=OURS6 if is_6 else OURS,
               CLIENT_HOST=KERNEL6 if is_6 else KERNEL, JAVA_HOST=KERNEL)
    os.execve('/usr/bin/python3',
              ['/usr/bin/python3', os.path.join(HERE, program[0])]
              + list(program[1:]), env)


# -- outside -----------------------------------------------------------------

def namespace():
    """The command that makes one, or Skip."""
    if shutil.which('unshare') is None:
        raise Skip('no unshare')
    for words in (['unshare', '-n'], ['unshare', '-rn']):
        if subprocess.run(words + ['true'], capture_output=True) \
                .returncode == 0:
            return words
    raise Skip('no network namespace may be made here: run as root')


def over(kind, program):
    if kind.startswith('tap') and not os.path.exists('/dev/net/tun'):
        raise Skip('there is no /dev/net/tun')
    words = program.split()
    if '--count' not in words:
        words.append('--quick')
    done = subprocess.run(
        namespace() + ['/usr/bin/python3', os.path.abspath(__file__),
                       'inside', kind] + words,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if 'the driver refuses it' in done.stdout and kind.startswith('af_'):
        raise Skip('this kernel does not allow %s' % kind)
    if done.returncode or not re.search(r'[1-9]\d* passed', done.stdout):
        raise AssertionError('%s\n%s' % (program, done.stdout[-3000:]))


def main():
    if sys.argv[1:2] == ['inside']:
        inside(sys.argv[2], sys.argv[3:])
    options = harness.options(__doc__.splitlines()[0])
    for kind, programs in PLAN:
        for program in programs:
            name = '%s: %s' % (kind, program)
            if options.only and not re.search(options.only, name):
                continue
            if options.server != 'falconer':
                SUITE.attempt(name, lambda: (_ for _ in ()).throw(
                    Skip('ports are Falconer\'s')))
            else:
                SUITE.attempt(name, over, kind, program, seconds=900)
    return SUITE.finish()


if __name__ == '__main__':
    sys.exit(main())
