# SPDX-License-Identifier: Apache-2.0
"""A full disk, a directory in use, a directory that cannot be used.

Goal: running out of space refuses writes with an error and nothing else:
reads, pings and sessions go on, writing resumes by itself when there is
space again, and nothing acknowledged is lost.  A directory in use by
another server, or not usable at all, ends the start with a clear message.

Method: the data directory is a tmpfs of a few megabytes, mounted by the
test (root only; skipped with a notice otherwise).  A filler file takes the
space away and gives it back.  Java ends when its log cannot be written, so
for it only the survival of acknowledged writes is demanded.
"""
import os
import re
import subprocess
import sys
import tempfile
import time

import harness
import members
import zkwire
from harness import expect, ok, wait_until
from zkwire import EPHEMERAL, SETDATA

MIB = 1 << 20
VOLUME_MIB = 24
CONF = {'preAllocSize': 512, 'snapCount': 100000}

# Errors a refused write may carry: throttled, or an internal failure.
REFUSALS = (zkwire.THROTTLEDOP, zkwire.MARSHALLINGERROR)


class Volume:
    """A small tmpfs over a server's data directory."""

    def __init__(self, path):
        self.path = path
        self.filler = os.path.join(path, 'filler')

    def __enter__(self):
        if os.geteuid() != 0:
            raise harness.Skip('mounting a volume needs root')
        done = subprocess.run(
            ['mount', '-t', 'tmpfs', '-o', 'size=%dm' % VOLUME_MIB,
             'interop', self.path], capture_output=True, text=True)
        if done.returncode:
            raise harness.Skip('mount: ' + done.stderr.strip())
        return self

    def __exit__(self, *exc):
        subprocess.run(['umount', '-l', self.path], check=False)

    def free(self):
        s = os.statvfs(self.path)
        return s.f_bavail * s.f_frsize

    def fill(self, leave):
        """Takes all space but about leave bytes."""
        with open(self.filler, 'ab') as f:
            while self.free() > leave:
                f.write(b'\xff' * min(65536, self.free() - leave))
                f.flush()

    def give_back(self):
        os.unlink(self.filler)

    def grow(self):
        subprocess.run(['mount', '-o', 'remount,size=%dm' % (8 * VOLUME_MIB),
                        self.path], check=True)

    def read_only(self, on):
        subprocess.run(['mount', '-o', 'remount,' + ('ro' if on else 'rw'),
                        self.path], check=True)


def write_until_refused(c, acked, limit=4000):
    """Writes until an error; the error, or None if the server closed."""
    for i in range(limit):
        path = '/full/%d' % (len(acked) % 50)
        data = b'%d:' % i + os.urandom(8000)
        try:
            reply = c.set(path, data)
        except (zkwire.Closed, OSError, TimeoutError):
            return None
        if reply.err:
            return reply
        acked[path] = (data, reply.value.version)
    raise AssertionError('%d writes of 8 kB fit on a full volume' % limit)


def check_acked(c, acked, exact=True):
    for path, (data, version) in acked.items():
        got, stat = ok(c.get(path)).value
        if stat.version == version:
            expect(got == data, True, 'data of ' + path)
        elif exact or stat.version < version:
            raise AssertionError('%s has version %d, acknowledged %d' % (
                path, stat.version, version))


def prepare(server):
    c = server.client(timeout_ms=20000)
    ok(c.create('/full'))
    for i in range(50):
        ok(c.create('/full/%d' % i))
    ok(c.create('/full/eph', flags=EPHEMERAL))
    return c


def full_volume(kind):
    server = harness.Server(kind, CONF)
    try:
        with Volume(server.data) as volume:
            server.start()
            c = prepare(server)
            acked = {}
            volume.fill(600000)
            refusal = write_until_refused(c, acked)
            if server.is_java:
                volume.give_back()
                server.kill()
                server.start()
                with server.client() as again:
                    check_acked(again, acked, exact=False)
                server.kill()
                return
            if refusal is None:
                raise AssertionError('the connection ended: ' +
                                     server.stderr()[-500:])
            expect(refusal.err in REFUSALS, True,
                   'error %d of a refused write' % refusal.err)
            tells_of_the_disk(server)
            refused_but_alive(server, c, acked)
            volume.give_back()
            try:
                wait_until('writing again', lambda: writes_again(c), 60, 0.1)
            except AssertionError as failure:
                raise AssertionError('%s; %d bytes are free; the server: %s'
                                     % (failure, volume.free(),
                                        server.stderr()[-1500:])) from None
            # Room for the file behind the next one as well.
            volume.grow()
            wait_until('the metric says that it is over', lambda:
                       number(server, 'log_without_room') == 0)
            wait_until('and the log', lambda:
                       'has room again' in server.stderr())
            for i in range(20):
                path = '/full/%d' % i
                data = os.urandom(3000)
                acked[path] = (data, ok(c.set(path, data)).value.version)
            check_acked(c, acked)
            server.restart()
            with server.client(session=c.session, password=c.password,
                               timeout_ms=20000) as again:
                check_acked(again, acked)
                expect(ok(again.exists('/full/eph')).value.ephemeralOwner,
                       c.session, 'owner')
            server.stop()
    finally:
        server.close()


def number(server, name):
    found = re.search(r'^zk_falconer_%s\t(\d+)$' % name,
                      server.four_letter('mntr').decode(), re.M)
    return int(found.group(1)) if found else -1


def tells_of_the_disk(server):
    """Whoever looks at the log, or at metrics, finds the cause."""
    wait_until('the log says why', lambda:
               'Make room there' in server.stderr())
    expect(number(server, 'log_without_room'), 1, 'the metric')


def writes_again(c):
    """Whether more than what is left of a log file can be written."""
    for _ in range(200):
        if c.set('/full/0', os.urandom(8000)).err:
            return False
    return True


def refused_but_alive(server, c, acked):
    """What must go on while writes are refused."""
    for _ in range(20):
        reply = c.set('/full/1', os.urandom(8000))
        if reply.err == 0:
            acked['/full/1'] = (ok(c.get('/full/1')).value[0],
                                reply.value.version)
    began = time.monotonic()
    check_acked(c, acked)
    ok(c.ping())
    ok(c.children('/full', watch=True))
    ok(c.sync())
    if time.monotonic() - began > 60:
        raise AssertionError('reads took %.1f s' % (
            time.monotonic() - began))
    expect(server.four_letter('ruok'), b'imok', 'ruok')
    expect(b'Mode:' in server.four_letter('srvr'), True, 'srvr')
    # Pipelined writes are refused in their places.
    for i in range(30):
        c.post(SETDATA, '/full/2', os.urandom(8000), -1)
        c.post(zkwire.GETDATA, '/full/3', False)
    replies = c.drain()
    for reply in replies[1::2]:
        expect(reply.err, 0, 'read between refused writes')
    good = [r for r in replies[0::2] if r.err == 0]
    if good:
        acked['/full/2'] = (ok(c.get('/full/2')).value[0],
                            good[-1].value.version)
    expect(server.alive(), True, 'the server')


def snapshots_without_room(kind):
    """Only the folder of snapshots is full: writes go on, and it is told."""
    if kind == 'java':
        raise harness.Skip('Java ends')
    with tempfile.TemporaryDirectory() as logs:
        server = harness.Server(kind, dict(CONF, snapCount=200), log_dir=logs)
        try:
            with Volume(server.data) as volume:
                server.start()
                c = prepare(server)
                volume.fill(0)
                for i in range(600):
                    ok(c.set('/full/0', b'%d' % i))
                wait_until('it is told, with what to do', lambda:
                           'make room there or mend the disk' in
                           server.stderr())
                expect(number(server, 'snapshots_failed') > 0, True, 'metric')
                volume.give_back()
                for i in range(600):
                    ok(c.set('/full/0', b'%d' % i))
                wait_until('a snapshot', lambda:
                           re.search('snapshot of zxid .* written',
                                     server.stderr()))
                server.stop()
        finally:
            server.close()


def full_leader(kind):
    """A leader without room hands over to those who have some."""
    if kind == 'java' or harness.members() > 1:
        raise harness.Skip('of three Falconers of its own')
    with members.Ensemble(['falconer'] * 3, CONF) as e, \
            Volume(e[3].data) as volume:
        with open(os.path.join(e[3].data, 'myid'), 'w') as f:
            f.write('3\n')
        e.start()
        while e.settle() is not e[3]:
            leader = e.leader()
            leader.stop()
            e.settle()
            leader.start()
        volume.fill(600000)
        with e[1].client() as c:
            ok(c.create('/full'))
            try:
                while e[3].mode() == 'leader':
                    for _ in range(50):
                        ok(c.set('/full', os.urandom(8000)))
            except (zkwire.Closed, OSError) as end:
                if isinstance(end, TimeoutError):
                    raise
        wait_until('another one leads', lambda:
                   'leader' in (e[1].mode(), e[2].mode()))
        with e[1].client() as c:
            for _ in range(3000):
                ok(c.set('/full', os.urandom(8000)))


def full_from_the_start(kind):
    """A server that starts on a full volume says so or serves reads."""
    server = harness.Server(kind, CONF)
    try:
        with Volume(server.data) as volume:
            server.start()
            c = prepare(server)
            c.abort()
            server.stop()
            volume.fill(0)
            try:
                server.start()
            except harness.ServerError as e:
                expect(bool(str(e).strip()), True, 'a message')
            else:
                with server.client_or_none() as again:
                    if again is not None:
                        ok(again.exists('/full'))
                server.kill()
            volume.give_back()
            server.start()
            with server.client() as again:
                expect(len(ok(again.children('/full')).value) >= 50, True,
                       'children')
                ok(again.create('/full/more'))
            server.stop()
    finally:
        server.close()


class Nothing:
    def __enter__(self):
        return None

    def __exit__(self, *exc):
        return False


def client_or_none(server):
    try:
        return server.client(timeout=5)
    except (OSError, zkwire.Closed, zkwire.Refused):
        return Nothing()


harness.Server.client_or_none = client_or_none


def in_use(kind):
    """A second server on a directory in use ends with a message."""
    if kind == 'java':
        raise harness.Skip('Java does not lock its directory')
    with harness.Server(kind) as first:
        with first.client() as c:
            ok(c.create('/mine'))
            second = harness.Server(kind, data=first.data)
            try:
                must_not_start(second, first.data)
            finally:
                second.close()
            ok(c.set('/mine', b'still'))
        first.kill()
        # The lock of a killed server does not stay behind.
        first.start()
        with first.client() as c:
            expect(ok(c.get('/mine')).value[0], b'still', 'data')


def must_not_start(server, *words):
    """The start ends by itself, non-zero, naming words on stderr."""
    try:
        server.start(10)
    except harness.ServerError as e:
        if 'did not serve' in str(e):
            raise AssertionError('it neither serves nor ends')
        text = server.stderr()
        for word in words:
            if word not in text:
                raise AssertionError('%r is not named in: %s' % (
                    word, text[-400:]))
        return
    raise AssertionError('it started')


def unusable(kind):
    """A directory that cannot be used ends the start with its name."""
    server = harness.Server(kind)
    try:
        bad = os.path.join(server.home, 'plain-file')
        with open(bad, 'w') as f:
            f.write('not a directory')
        server.data = bad
        must_not_start(server, *([] if kind == 'java' else [bad]))
    finally:
        server.close()
    server = harness.Server(kind)
    try:
        os.makedirs(os.path.join(server.data, 'version-2'))
        # Logs without any snapshot: what they continue is not known.
        lonely = os.path.join(server.data, 'version-2', 'log.9')
        with open(lonely, 'wb') as f:
            f.write(b'ZKLG\0\0\0\2' + bytes(8) + os.urandom(500))
        must_not_start(server, *([] if kind == 'java' else
                                 [server.data]))
    finally:
        server.close()


def read_only_volume(kind):
    """A read-only volume ends the start with a message."""
    server = harness.Server(kind)
    try:
        with Volume(server.data) as volume:
            volume.read_only(True)
            must_not_start(server, *([] if kind == 'java' else
                                     [server.data]))
    finally:
        server.close()


def bad_configuration(kind):
    """A configuration that cannot work ends the start with its key."""
    with harness.Server(kind) as other:
        for conf, word in (
                ({'clientPort': other.port}, str(other.port)),
                ({'dataDir': None}, 'dataDir'),
                ({'tickTime': 0}, 'tickTime'),
                ({'tickTime': 'x'}, 'tickTime'),
                ({'minSessionTimeout': 50000}, 'SessionTimeout')):
            server = harness.Server(kind, conf)
            try:
                if 'clientPort' in conf:
                    server.port = harness.free_port()
                must_not_start(server, *([] if kind == 'java' else [word]))
            finally:
                server.close()


def main():
    options = harness.options(__doc__.splitlines()[0])
    suite = harness.Suite('disk_full')
    for title, function, quick in (
            ('a full volume refuses writes only', full_volume, True),
            ('a full disk of the leader', full_leader, True),
            ('no room for snapshots', snapshots_without_room, True),
            ('a start on a full volume', full_from_the_start, False),
            ('a directory in use', in_use, True),
            ('a directory that cannot be used', unusable, True),
            ('a read-only volume', read_only_volume, True),
            ('a configuration that cannot work', bad_configuration, True)):
        if quick or not options.quick:
            if not options.only or options.only in title:
                suite.attempt(title, function, options.server)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
