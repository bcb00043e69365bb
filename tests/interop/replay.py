# SPDX-License-Identifier: Apache-2.0
"""Replays whole recorded runs and compares every byte.

Goal: a recorded client that talked to Apache ZooKeeper cannot tell that it
talks to another server now.  222 frames on 19 connections, zxids included.

Method: the frames of a full-run file are sent in their recorded order to a
fresh server and exactly one frame is read per recorded answer.  Bytes not
marked as varying must be equal.  Session ids and passwords are learnt from
the answers and put in place of the recorded ones.  Times must be one value
per zxid and must not decrease with it.  Only where the recorded frame holds
a list without a promised order (children, ephemerals, identities) both
frames are decoded and compared with those lists sorted.

The run of 3.10 judges Falconer.  The run of 3.8 against Java 3.8 shows that
the replayer itself is sound; a copy of it with one changed byte shows that
it can fail.
"""
import os
import re
import struct
import sys

import harness
import zkwire
from harness import GOLDEN, Suite, expect

FIELD = re.compile(r'^([<>])(~?)\s*([0-9a-f]*)\s*(?:;\s*(.*?))?\s*$')
BLOCK = re.compile(r'^@(\d+) (open|send|recv|closed)$')


class Field:
    __slots__ = ('data', 'varies', 'label')

    def __init__(self, data, varies, label):
        self.data, self.varies, self.label = data, varies, label


def parse_run(path):
    """List of (connection, what, fields) in recorded order."""
    steps = []
    with open(path) as f:
        for line in f:
            line = line.rstrip('\n')
            if not line or line.startswith('#'):
                continue
            block = BLOCK.match(line)
            if block:
                steps.append((int(block.group(1)), block.group(2), []))
                continue
            m = FIELD.match(line)
            if not m:
                raise ValueError('%s: %r' % (path, line))
            data = bytes.fromhex(m.group(3))
            fields = steps[-1][2]
            if m.group(4) is None and fields:
                fields[-1].data += data
            else:
                label = re.split(r' = | \(| "|$', m.group(4))[0]
                fields.append(Field(data, bool(m.group(2)), label))
    return steps


def joined(fields):
    return b''.join(f.data for f in fields)


class Live:
    """What this run's server chose: ids, passwords, times."""

    def __init__(self):
        self.value = {}
        self.time_of = {}

    def substitute(self, fields):
        return b''.join(self.value.get(f.data, f.data) if f.varies
                        else f.data for f in fields)

    def learn(self, field, data):
        if field.data in self.value:
            expect(data.hex(), self.value[field.data].hex(), field.label)
        else:
            self.value[field.data] = data

    def note_time(self, zxid, ms):
        known = self.time_of.setdefault(zxid, ms)
        expect(ms, known, 'time of zxid %x' % zxid)

    def check_times(self):
        last = 0
        for zxid in sorted(self.time_of):
            if self.time_of[zxid] < last:
                raise AssertionError('time decreases at zxid %x' % zxid)
            last = self.time_of[zxid]


UNORDERED = re.compile(r'^(children|ephemerals|clientInfo)\[')


def sorted_view(op, body):
    reply = zkwire.decode_reply(op, body)
    value = reply.value
    if op == zkwire.WHOAMI:
        # Recorded on the loopback; ours may come by another way.
        value = sorted(('ip', '127.0.0.1')
                       if one == ('ip', harness.CLIENT_HOST) else one
                       for one in value)
    elif op in (zkwire.GETCHILDREN, zkwire.GETEPHEMERALS):
        value = sorted(value)
    elif op == zkwire.GETCHILDREN2:
        value = (sorted(value[0]),
                 value[1]._replace(ctime=0, mtime=0))
    elif op == zkwire.MULTIREAD:
        value = [(k, sorted(v)) if k == zkwire.GETCHILDREN
                 else (k, (v[0], v[1]._replace(ctime=0, mtime=0)))
                 if k == zkwire.GETDATA else (k, v) for k, v in value]
    else:
        raise AssertionError('op %d has no unordered list' % op)
    return reply._replace(value=value, body=None)


def compare_frame(fields, got, op, live):
    """One recorded answer against the live bytes (with length word)."""
    want = joined(fields)
    if any(UNORDERED.match(f.label) for f in fields):
        expect(sorted_view(op, got[4:]), sorted_view(op, want[4:]),
               'frame with lists')
        return
    if len(got) != len(want):
        raise AssertionError('%d bytes, want %d: %s, want %s' % (
            len(got), len(want), got.hex(), want.hex()))
    at = 0
    times = {}
    for f in fields:
        data = got[at:at + len(f.data)]
        at += len(f.data)
        name = f.label.rpartition('.')[2]
        prefix = f.label.rpartition('.')[0]
        if name in ('czxid', 'mzxid', 'ctime', 'mtime'):
            times[prefix, name] = struct.unpack('>q', data)[0]
        if not f.varies:
            expect(data.hex(), f.data.hex(), 'field "%s"' % f.label)
        elif name in ('sessionId', 'passwd', 'ephemeralOwner'):
            live.learn(f, data)
        elif name not in ('ctime', 'mtime'):
            raise AssertionError('unknown varying field ' + f.label)
    for prefix in {p for p, _ in times}:
        if times[prefix, 'czxid']:
            live.note_time(times[prefix, 'czxid'], times[prefix, 'ctime'])
        if times[prefix, 'mzxid']:
            live.note_time(times[prefix, 'mzxid'], times[prefix, 'mtime'])


def replay(server, steps):
    """Runs all steps; returns (frames compared, list of differences)."""
    live = Live()
    conns, ops, differences = {}, {}, []
    frames = 0
    for number, (conn, what, fields) in enumerate(steps):
        try:
            if what == 'open':
                conns[conn] = server.conn(timeout=10)
                ops[conn] = {}
            elif what == 'send':
                raw = live.substitute(fields)
                if len(raw) >= 12 and fields[1].label.endswith('xid'):
                    xid, op = struct.unpack_from('>ii', raw, 4)
                    ops[conn][xid] = op
                conns[conn].send(raw)
                frames += 1
            elif what == 'recv':
                body = conns[conn].recv_frame()
                got = struct.pack('>i', len(body)) + body
                xid = struct.unpack_from('>i', joined(fields), 4)[0]
                frames += 1
                compare_frame(fields, got, ops[conn].get(xid), live)
            else:
                rest = conns[conn].recv_all(5)
                expect(rest, b'', 'bytes before the close')
        except (AssertionError, OSError, zkwire.Closed,
                zkwire.ProtocolError) as e:
            differences.append('step %d (@%d %s): %s: %s' % (
                number, conn, what, type(e).__name__, e))
            if len(differences) > 20 or not isinstance(e, AssertionError):
                break
    try:
        live.check_times()
    except AssertionError as e:
        differences.append(str(e))
    for number, conn in conns.items():
        if conn.inbox:
            differences.append('@%d: %d bytes nobody recorded' % (
                number, len(conn.inbox)))
        conn.abort()
    return frames, differences


def damaged(steps):
    """The run with one fixed byte of one late answer changed."""
    out = [(c, w, [Field(f.data, f.varies, f.label) for f in fs])
           for c, w, fs in steps]
    for conn, what, fields in reversed(out):
        if what == 'recv' and len(fields) > 5:
            for f in reversed(fields):
                if not f.varies and f.data:
                    f.data = bytes([f.data[0] ^ 1]) + f.data[1:]
                    return out
    raise AssertionError('no frame to damage')


def run_file(kind):
    return os.path.join(GOLDEN, 'full-run-3.8.0.hex' if kind == 'java'
                        else 'full-run-3.10.0.hex')


def whole_run(kind):
    with harness.Server(kind) as server:
        steps = parse_run(run_file(kind))
        frames, differences = replay(server, steps)
    print('  %d frames compared' % frames)
    if differences:
        raise AssertionError('\n    '.join(differences))
    expect(frames, 222, 'frames in the run')


def can_fail(kind):
    with harness.Server(kind) as server:
        _, differences = replay(server, damaged(parse_run(run_file(kind))))
    if len(differences) != 1:
        raise AssertionError('damage at one place gives %d differences: %s'
                             % (len(differences), differences[:3]))


def enforced(kind):
    """enforce_auth_required.hex, which needs settings of its own."""
    conf = {'enforce.auth.enabled': 'true', 'enforce.auth.schemes': 'digest'}
    path = os.path.join(GOLDEN, 'enforce_auth_required.hex')
    sends, answers = b'', b''
    with open(path) as f:
        for line in f:
            m = FIELD.match(line.rstrip('\n'))
            if m and m.group(1) == '>':
                sends += bytes.fromhex(m.group(3))
            elif m:
                answers += bytes.fromhex(m.group(3))
    with harness.Server(kind, conf) as server:
        with server.client() as c:
            c.send(sends)
            expect(c.recv_all(5).hex(), answers.hex(), 'answer and close')
        with server.client() as c:
            harness.ok(c.auth('digest', b'bob:pw'))
            harness.ok(c.ping())
            harness.ok(c.close())


def main():
    options = harness.options(__doc__.splitlines()[0])
    suite = Suite('replay')
    kind = options.server
    suite.attempt('the whole recorded run, byte for byte', whole_run, kind)
    suite.attempt('a run damaged at one byte is found out', can_fail, kind)
    suite.attempt('enforced authentication as recorded', enforced, kind)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
