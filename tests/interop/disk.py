# SPDX-License-Identifier: Apache-2.0
"""Transaction logs and snapshots, read and written without the server.

Goal: a second opinion on what a server put on disk, and a way to start a
server from a state no client could make (a counter just below its limit).

Method: a direct transcription of the disk format: logs are walked record
by record with their checksums, snapshots are parsed and built with their
running Adler-32.  `Tree` applies transactions and computes the tree digest
from its definition, so the digests a server logged can be recomputed.
"""
import os
import struct
import zlib

from zkwire import Reader, Writer

LOG_MAGIC, SNAP_MAGIC = 0x5A4B4C47, 0x5A4B534E
CONTAINER_OWNER = -2 ** 63
TTL_OWNER = 0xff << 56
OPEN_ACL_ID = -1


class Damage(Exception):
    """The bytes are not what the format allows."""


def version_dir(data_dir):
    return os.path.join(data_dir, 'version-2')


def data_files(data_dir, kind):
    """(zxid, path) of all log or snapshot files, oldest first."""
    out = []
    base = version_dir(data_dir)
    for name in os.listdir(base):
        parts = name.split('.')
        if len(parts) == 2 and parts[0] == kind:
            try:
                out.append((int(parts[1], 16), os.path.join(base, name)))
            except ValueError:
                continue
    return sorted(out)


class Record:
    """One transaction of a log."""

    def __init__(self, entry):
        r = Reader(entry)
        self.client, self.cxid = r.long(), r.int()
        self.zxid, self.time, self.type = r.long(), r.long(), r.int()
        self.entry = entry
        self.body = read_txn(self.type, r)
        self.digest = None
        if r.left():
            if r.left() != 12:
                raise Damage('%d bytes behind txn %x of type %d' % (
                    r.left(), self.zxid, self.type))
            if r.int() != 2:
                raise Damage('digest version')
            self.digest = r.long() & (1 << 64) - 1


def read_txn(kind, r):
    if kind in (1, 15):
        return ('create', r.str(), r.buf(), r.acl(), r.bool(), r.int())
    if kind == 21:
        return ('createTTL', r.str(), r.buf(), r.acl(), r.int(), r.long())
    if kind == 19:
        return ('createContainer', r.str(), r.buf(), r.acl(), r.int())
    if kind in (2, 20):
        return ('delete', r.str())
    if kind in (5, 16):
        return ('setData', r.str(), r.buf(), r.int())
    if kind == 7:
        return ('setACL', r.str(), r.acl(), r.int())
    if kind == 13:
        return ('check', r.str(), r.int())
    if kind == -10:
        return ('createSession', r.int())
    if kind == -11:
        return ('closeSession', r.strs() if r.left() > 12 or r.left() in (
            4,) else [])
    if kind == -1:
        return ('error', r.int())
    if kind == 14:
        ops = []
        for _ in range(r.int()):
            sub, data = r.int(), r.buf()
            ops.append(read_txn(sub, Reader(data)))
        return ('multi', ops)
    raise Damage('transaction type %d' % kind)


def read_log(path):
    """All records of one file up to its zero padding."""
    with open(path, 'rb') as f:
        raw = f.read()
    if len(raw) < 16:
        raise Damage('%s: %d bytes' % (path, len(raw)))
    magic, version, dbid = struct.unpack_from('>iiq', raw)
    if (magic, version, dbid) != (LOG_MAGIC, 2, 0):
        raise Damage('%s: header %x %d %d' % (path, magic, version, dbid))
    out = []
    at = 16
    while at + 12 <= len(raw):
        crc, size = struct.unpack_from('>qi', raw, at)
        if size == 0:
            break
        entry = raw[at + 12:at + 12 + size]
        if size < 0 or len(entry) != size:
            raise Damage('%s: record of %d bytes at %d' % (path, size, at))
        if raw[at + 12 + size:at + 13 + size] != b'B':
            raise Damage('%s: no end mark at %d' % (path, at))
        if zlib.adler32(entry) != crc:
            raise Damage('%s: checksum at %d' % (path, at))
        out.append(Record(entry))
        at += 13 + size
    if raw[at:].strip(b'\0'):
        raise Damage('%s: bytes behind the last record' % path)
    return out


def record_ends(path):
    """File offsets behind each whole record of one log."""
    with open(path, 'rb') as f:
        raw = f.read()
    out = []
    at = 16
    while at + 12 <= len(raw):
        crc, size = struct.unpack_from('>qi', raw, at)
        entry = raw[at + 12:at + 12 + size] if size > 0 else b''
        if not entry or zlib.adler32(entry) != crc:
            break
        at += 13 + size
        out.append(at)
    return out


def read_logs(data_dir):
    """All records of a directory; Damage unless zxids count up by one."""
    out = []
    for zxid, path in data_files(data_dir, 'log'):
        records = read_log(path)
        if records and records[0].zxid != zxid:
            raise Damage('%s starts with %x' % (path, records[0].zxid))
        out += records
    for a, b in zip(out, out[1:]):
        if b.zxid != a.zxid + 1 and b.zxid >> 32 == a.zxid >> 32:
            raise Damage('zxid %x behind %x' % (b.zxid, a.zxid))
    return out


class Node:
    """A znode with its stored (not shown) counters."""

    def __init__(self, data=b'', acl=OPEN_ACL_ID, czxid=0, mzxid=0, ctime=0,
                 mtime=0, version=0, cversion=0, aversion=0, owner=0,
                 pzxid=0):
        self.data, self.acl = data, acl
        self.czxid, self.mzxid, self.pzxid = czxid, mzxid, pzxid
        self.ctime, self.mtime = ctime, mtime
        self.version, self.cversion = version, cversion
        self.aversion, self.owner = aversion, owner

    def digest(self, path):
        if path.startswith('/zookeeper/'):
            return 0
        raw = b'' if path == '/' else path.encode()
        raw += self.data or b''
        raw += struct.pack('>qqqqqiiiq', self.czxid, self.mzxid, self.pzxid,
                           self.ctime, self.mtime, self.version,
                           self.cversion, self.aversion, self.owner)
        return zlib.crc32(raw)


def signed(value):
    return value - (1 << 64) if value >> 63 else value


class Tree:
    """The tree of paths, and the effect of transactions on it."""

    def __init__(self):
        self.nodes = {'/': Node(), '/zookeeper': Node(),
                      '/zookeeper/quota': Node(),
                      '/zookeeper/config': Node(acl=1)}
        self.sessions = {}
        self.acls = {1: [(1, 'world', 'anyone')]}
        self.zxid = 0

    @staticmethod
    def parent(path):
        return path.rpartition('/')[0] or '/'

    def digest(self):
        total = 0
        for path, node in self.nodes.items():
            total += node.digest(path)
        return total & (1 << 64) - 1

    def acl_id(self, acl):
        if acl == [(31, 'world', 'anyone')]:
            return OPEN_ACL_ID
        for key, value in self.acls.items():
            if value == acl:
                return key
        key = max(self.acls, default=0) + 1
        self.acls[key] = acl
        return key

    def create(self, record, path, data, acl, owner, counter):
        parent = self.nodes.get(self.parent(path))
        if parent is None or path in self.nodes:
            return
        if counter == -1:
            counter = parent.cversion + 1
        if counter > parent.cversion:
            parent.cversion = counter
            parent.pzxid = record.zxid
        self.nodes[path] = Node(
            data, self.acl_id(acl), record.zxid, record.zxid, record.time,
            record.time, owner=owner, pzxid=record.zxid)

    def delete(self, record, path):
        parent = self.nodes.get(self.parent(path))
        if parent is not None:
            parent.pzxid = max(parent.pzxid, record.zxid)
        self.nodes.pop(path, None)

    def apply_body(self, record, body):
        what = body[0]
        if what == 'create':
            owner = record.client if body[4] else 0
            self.create(record, body[1], body[2], body[3], owner, body[5])
        elif what == 'createTTL':
            self.create(record, body[1], body[2], body[3],
                        signed(TTL_OWNER | body[5]), body[4])
        elif what == 'createContainer':
            self.create(record, body[1], body[2], body[3], CONTAINER_OWNER,
                        body[4])
        elif what == 'delete':
            self.delete(record, body[1])
        elif what == 'setData' and body[1] in self.nodes:
            node = self.nodes[body[1]]
            node.data, node.version = body[2], body[3]
            node.mzxid, node.mtime = record.zxid, record.time
        elif what == 'setACL' and body[1] in self.nodes:
            node = self.nodes[body[1]]
            node.acl, node.aversion = self.acl_id(body[2]), body[3]
        elif what == 'createSession':
            self.sessions[record.client] = body[1]
        elif what == 'closeSession':
            self.sessions.pop(record.client, None)
            own = [p for p, n in self.nodes.items()
                   if n.owner == record.client]
            for path in body[1] + [p for p in own if p not in body[1]]:
                if path in self.nodes:
                    self.delete(record, path)
        elif what == 'multi':
            if not any(op[0] == 'error' for op in body[1]):
                for op in body[1]:
                    self.apply_body(record, op)

    def apply(self, record):
        self.apply_body(record, record.body)
        self.zxid = max(self.zxid, record.zxid)

    # Snapshots.

    def write_snapshot(self, data_dir, zxid):
        """Writes snapshot.<zxid> in its oldest, shortest form."""
        w = Writer().int(SNAP_MAGIC).int(2).long(-1)
        w.int(len(self.sessions))
        for session, timeout in self.sessions.items():
            w.long(session).int(timeout)
        w.int(len(self.acls))
        for key, acl in self.acls.items():
            w.long(key).acl(acl)
        for path in sorted(self.nodes):
            n = self.nodes[path]
            w.str('' if path == '/' else path).buf(n.data).long(n.acl)
            w.long(n.czxid).long(n.mzxid).long(n.ctime).long(n.mtime)
            w.int(n.version).int(n.cversion).int(n.aversion)
            w.long(n.owner).long(n.pzxid)
        w.str('/')
        w.long(zlib.adler32(w.bytes())).str('/')
        os.makedirs(version_dir(data_dir), exist_ok=True)
        path = os.path.join(version_dir(data_dir), 'snapshot.%x' % zxid)
        with open(path, 'wb') as f:
            f.write(w.bytes())
        return path


def read_snapshot(path):
    """(Tree, sealed digest or None) of a plain snapshot file."""
    with open(path, 'rb') as f:
        raw = f.read()
    r = Reader(raw)
    if (r.int(), r.int(), r.long()) != (SNAP_MAGIC, 2, -1):
        raise Damage('%s: header' % path)
    tree = Tree()
    tree.nodes.clear()
    tree.sessions = {}
    for _ in range(r.int()):
        session = r.long()
        tree.sessions[session] = r.int()
    tree.acls = {}
    for _ in range(r.int()):
        key = r.long()
        tree.acls[key] = r.acl()
    while True:
        name = r.str()
        if name == '/':
            break
        node = Node(r.buf(), r.long())
        (node.czxid, node.mzxid, node.ctime, node.mtime, node.version,
         node.cversion, node.aversion, node.owner, node.pzxid) = \
            struct.unpack('>qqqqiiiqq', r.take(60))
        if name and Tree.parent(name) not in tree.nodes:
            raise Damage('%s before its parent' % name)
        if (name or '/') in tree.nodes:
            raise Damage('%s twice' % name)
        if node.acl != OPEN_ACL_ID and node.acl not in tree.acls:
            raise Damage('%s: ACL %d is not in the file' % (name, node.acl))
        tree.nodes[name or '/'] = node
    tree.zxid = int(path.rpartition('.')[2], 16)
    sealed = None
    for section in range(3):
        if section == 1 and r.left():
            sealed = r.long(), r.int(), r.long() & (1 << 64) - 1
        elif section == 2 and r.left():
            r.long()
        if section and not r.left():
            break
        want = zlib.adler32(raw[:r.at])
        if r.long() != want or r.str() != '/':
            raise Damage('%s: seal %d' % (path, section + 1))
    if r.left():
        raise Damage('%s: %d bytes too many' % (path, r.left()))
    return tree, sealed
