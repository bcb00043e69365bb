# SPDX-License-Identifier: Apache-2.0
"""The failing disk of a member: control and the power cut.

Goal: one member's disk fills, breaks, slows down, or forgets what it had
not flushed, while the others' do not.

Method: disk_shim.c below the process by LD_PRELOAD; this side writes the
control file and, when the process is dead, takes back writes that no flush
covered: those behind a random point of what was written since, as a power
cut would.  Of a Java member only its logs: 3.8.0 does not flush snapshots,
and a power cut soon after its first start leaves a log without one, which
it refuses to open.
"""
import errno
import mmap
import os
import struct

import shims

RECORD = struct.Struct('<IIQQQQ')
WRITE, SYNC = 1, 2
FIELDS = {'write_error': 0, 'sync_error': 4, 'sync_delay_ms': 8,
          'must_record': 12, 'writes': 16, 'syncs': 20, 'failures': 24}


class Disk:
    """The disk under one member; attach before its start."""

    def __init__(self, member):
        self.member = member
        self.control = os.path.join(member.home, 'disk.control')
        self.undo = os.path.join(member.home, 'disk.undo')
        with open(self.control, 'wb') as f:
            f.write(bytes(4096))
        with open(self.control, 'r+b') as f:
            self.map = mmap.mmap(f.fileno(), 4096)
        shims.preload(member, 'disk_shim.c')
        member.environment.update({
            'FAULT_DISK_CONTROL': self.control,
            'FAULT_DISK_ROOT': member.data, 'FAULT_DISK_UNDO': self.undo})
        self.set(must_record=1)

    def set(self, **fields):
        for name, value in fields.items():
            struct.pack_into('<I', self.map, FIELDS[name], value)

    def get(self, name):
        return struct.unpack_from('<I', self.map, FIELDS[name])[0]

    def full(self):
        self.set(write_error=errno.ENOSPC)

    def broken(self):
        self.set(write_error=errno.EIO, sync_error=errno.EIO)

    def slow(self, milliseconds):
        self.set(sync_delay_ms=milliseconds)

    def heal(self):
        self.set(write_error=0, sync_error=0, sync_delay_ms=0)

    def records(self):
        """[(kind, inode, path, offset, old size, old bytes, place)]"""
        out = []
        try:
            with open(self.undo, 'rb') as f:
                data = f.read()
        except FileNotFoundError:
            return out
        at = 0
        while at + RECORD.size <= len(data):
            kind, n, inode, offset, size, old = RECORD.unpack_from(data, at)
            place = at
            at += RECORD.size
            if at + n + old > len(data):
                break               # killed while it wrote
            out.append((kind, inode, data[at:at + n].decode(), offset, size,
                        data[at + n:at + n + old], place))
            at += n + old
        return out

    def power_cut(self, rng):
        """Takes back unflushed writes of a dead process, from a random one
        on; returns how many there were and how many are lost."""
        durable = {}
        records = self.records()
        for kind, inode, _, offset, *_ in records:
            if kind == SYNC:
                durable[inode] = max(durable.get(inode, 0), offset)
        loose = [r for r in records if r[0] == WRITE and
                 r[6] >= durable.get(r[1], 0) and
                 (self.member.kind != 'java' or
                  os.path.basename(r[2]).startswith('log.'))]
        lost = loose[rng.randrange(len(loose) + 1):] if loose else []
        for _, inode, path, offset, size, old, _ in reversed(lost):
            try:
                if os.stat(path).st_ino != inode:
                    continue
                with open(path, 'r+b') as f:
                    f.seek(offset)
                    f.write(old)
                    f.truncate(size)
            except FileNotFoundError:
                continue
        if os.path.exists(self.undo):
            os.unlink(self.undo)
        return len(loose), len(lost)
