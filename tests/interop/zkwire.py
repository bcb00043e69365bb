# SPDX-License-Identifier: Apache-2.0
"""The ZooKeeper client protocol, spoken byte by byte.

Goal: a client that hides nothing.  Every test above this module sees the
reply header, the order of frames on the connection and the end of the
stream exactly as the server produced them, and can send frames no real
client library would send.

Method: `Writer` and `Reader` are the jute encoding; `REQUEST` and `REPLY`
hold one function per opcode; `Conn` is a TCP connection with framing and
nothing else; `Client` adds a session, xid numbering, a queue of requests in
flight and the list of notifications, interleaved with the replies in
arrival order.  Nothing runs in the background: bytes move only when a
method is called, so a test is as deterministic as the server it talks to.
"""
import collections
import socket
import struct
import time

# Opcodes.
NOTIFICATION, CREATE, DELETE, EXISTS, GETDATA, SETDATA = 0, 1, 2, 3, 4, 5
GETACL, SETACL, GETCHILDREN, SYNC, PING = 6, 7, 8, 9, 11
GETCHILDREN2, CHECK, MULTI, CREATE2, RECONFIG = 12, 13, 14, 15, 16
CHECKWATCHES, REMOVEWATCHES, CREATECONTAINER = 17, 18, 19
DELETECONTAINER, CREATETTL, MULTIREAD = 20, 21, 22
AUTH, SETWATCHES, SASL, GETEPHEMERALS = 100, 101, 102, 103
GETALLCHILDRENNUMBER, SETWATCHES2, ADDWATCH, WHOAMI = 104, 105, 106, 107
CREATESESSION, CLOSESESSION = -10, -11

OP_NAME = {
    CREATE: 'create', DELETE: 'delete', EXISTS: 'exists',
    GETDATA: 'getData', SETDATA: 'setData', GETACL: 'getACL',
    SETACL: 'setACL', GETCHILDREN: 'getChildren', SYNC: 'sync',
    PING: 'ping', GETCHILDREN2: 'getChildren2', CHECK: 'check',
    MULTI: 'multi', CREATE2: 'create2', RECONFIG: 'reconfig',
    CHECKWATCHES: 'checkWatches', REMOVEWATCHES: 'removeWatches',
    CREATECONTAINER: 'createContainer', DELETECONTAINER: 'deleteContainer',
    CREATETTL: 'createTTL', MULTIREAD: 'multiRead', AUTH: 'auth',
    SETWATCHES: 'setWatches', SASL: 'sasl', GETEPHEMERALS: 'getEphemerals',
    GETALLCHILDRENNUMBER: 'getAllChildrenNumber',
    SETWATCHES2: 'setWatches2', ADDWATCH: 'addWatch', WHOAMI: 'whoAmI',
    CREATESESSION: 'createSession', CLOSESESSION: 'closeSession',
}

# Error codes.
OK, RUNTIMEINCONSISTENCY, MARSHALLINGERROR = 0, -2, -5
UNIMPLEMENTED, BADARGUMENTS, UNKNOWNSESSION = -6, -8, -12
NONODE, NOAUTH, BADVERSION = -101, -102, -103
NOCHILDRENFOREPHEMERALS, NODEEXISTS, NOTEMPTY = -108, -110, -111
SESSIONEXPIRED, INVALIDACL, AUTHFAILED = -112, -114, -115
NOTREADONLY, NOWATCHER, RECONFIGDISABLED = -119, -121, -123
SESSIONCLOSEDREQUIRESASLAUTH, QUOTAEXCEEDED, THROTTLEDOP = -124, -125, -127

# Create flags.
PERSISTENT, EPHEMERAL, SEQUENTIAL, EPHEMERAL_SEQUENTIAL = 0, 1, 2, 3
CONTAINER, TTL, SEQUENTIAL_TTL = 4, 5, 6

# Event types.
CREATED, DELETED, CHANGED, CHILD = 1, 2, 3, 4

# Reserved xids.
XID_NOTIFICATION, XID_PING, XID_AUTH, XID_SETWATCHES = -1, -2, -4, -8

READ, WRITE, CREATEPERM, DELETEPERM, ADMIN, ALL = 1, 2, 4, 8, 16, 31
OPEN = [(ALL, 'world', 'anyone')]
CREATOR = [(ALL, 'auth', '')]

FRAME_MAX = 0xfffff

Stat = collections.namedtuple(
    'Stat', 'czxid mzxid ctime mtime version cversion aversion '
    'ephemeralOwner dataLength numChildren pzxid')
STAT = struct.Struct('>qqqqiiiqiiq')

Reply = collections.namedtuple('Reply', 'op xid zxid err value body')
Event = collections.namedtuple('Event', 'zxid type state path')
Closed = type('Closed', (Exception,), {
    '__doc__': 'The server ended the stream.'})
ProtocolError = type('ProtocolError', (Exception,), {
    '__doc__': 'The server broke the protocol.'})


class Writer:
    """Appends jute fields; every method returns self."""

    def __init__(self):
        self.out = bytearray()

    def int(self, v):
        self.out += struct.pack('>i', v)
        return self

    def long(self, v):
        self.out += struct.pack('>q', v)
        return self

    def bool(self, v):
        self.out.append(v if isinstance(v, int) and v > 1 else bool(v))
        return self

    def buf(self, v):
        if v is None:
            return self.int(-1)
        self.int(len(v))
        self.out += v
        return self

    def str(self, v):
        return self.buf(v.encode('utf-8', 'surrogatepass')
                        if isinstance(v, str) else v)

    def strs(self, v):
        if v is None:
            return self.int(-1)
        self.int(len(v))
        for s in v:
            self.str(s)
        return self

    def acl(self, v):
        if v is None:
            return self.int(-1)
        self.int(len(v))
        for perms, scheme, ident in v:
            self.int(perms).str(scheme).str(ident)
        return self

    def raw(self, v):
        self.out += v
        return self

    def bytes(self):
        return bytes(self.out)


class Reader:
    """Takes jute fields off a byte string; ProtocolError on underflow."""

    def __init__(self, data, at=0):
        self.data = data
        self.at = at

    def take(self, n):
        if n < 0 or self.at + n > len(self.data):
            raise ProtocolError('record ends early at %d of %d, want %d'
                                % (self.at, len(self.data), n))
        piece = self.data[self.at:self.at + n]
        self.at += n
        return piece

    def left(self):
        return len(self.data) - self.at

    def int(self):
        return struct.unpack('>i', self.take(4))[0]

    def long(self):
        return struct.unpack('>q', self.take(8))[0]

    def bool(self):
        return self.take(1)[0] != 0

    def buf(self):
        n = self.int()
        if n == -1:
            return None
        return self.take(n)

    def str(self):
        raw = self.buf()
        if raw is None:
            return None
        # Supplementary characters arrive as two three-byte surrogates;
        # what is no text at all stays visible as escapes.
        try:
            return raw.decode('utf-8', 'surrogatepass')
        except UnicodeDecodeError:
            return raw.decode('utf-8', 'backslashreplace')

    def count(self):
        n = self.int()
        if n > self.left():
            raise ProtocolError('vector of %d in %d bytes'
                                % (n, self.left()))
        return n

    def strs(self):
        n = self.count()
        return None if n < 0 else [self.str() for _ in range(n)]

    def acl(self):
        n = self.count()
        return None if n < 0 else [(self.int(), self.str(), self.str())
                                   for _ in range(n)]

    def stat(self):
        return Stat(*STAT.unpack(self.take(STAT.size)))


# -- request bodies ---------------------------------------------------------

def w_create(path, data=b'', acl=OPEN, flags=0):
    return Writer().str(path).buf(data).acl(acl).int(flags).bytes()


def w_createttl(path, data=b'', acl=OPEN, flags=TTL, ttl=1000):
    return Writer().str(path).buf(data).acl(acl).int(flags).long(
        ttl).bytes()


def w_path_version(path, version=-1):
    return Writer().str(path).int(version).bytes()


def w_path_watch(path, watch=False):
    return Writer().str(path).bool(watch).bytes()


def w_path(path):
    return Writer().str(path).bytes()


def w_setdata(path, data=b'', version=-1):
    return Writer().str(path).buf(data).int(version).bytes()


def w_setacl(path, acl=OPEN, version=-1):
    return Writer().str(path).acl(acl).int(version).bytes()


def w_multi(ops):
    """ops: (opcode, body) pairs; body already encoded."""
    w = Writer()
    for op, body in ops:
        w.int(op).bool(False).int(-1).raw(body)
    return w.int(-1).bool(True).int(-1).bytes()


def w_setwatches(zxid, data=(), exist=(), child=()):
    return Writer().long(zxid).strs(data).strs(exist).strs(child).bytes()


def w_setwatches2(zxid, data=(), exist=(), child=(), persistent=(),
                  recursive=()):
    return Writer().long(zxid).strs(data).strs(exist).strs(child).strs(
        persistent).strs(recursive).bytes()


def w_auth(scheme, auth, kind=0):
    return Writer().int(kind).str(scheme).buf(auth).bytes()


def w_reconfig(joining=None, leaving=None, members=None, config=-1):
    return Writer().str(joining).str(leaving).str(members).long(
        config).bytes()


def w_empty():
    return b''


REQUEST = {
    CREATE: w_create, CREATE2: w_create, CREATECONTAINER: w_create,
    CREATETTL: w_createttl, DELETE: w_path_version, CHECK: w_path_version,
    EXISTS: w_path_watch, GETDATA: w_path_watch, GETCHILDREN: w_path_watch,
    GETCHILDREN2: w_path_watch, SETDATA: w_setdata, GETACL: w_path,
    SETACL: w_setacl, SYNC: w_path, PING: w_empty, MULTI: w_multi,
    MULTIREAD: w_multi, RECONFIG: w_reconfig, CHECKWATCHES: w_path_version,
    REMOVEWATCHES: w_path_version, DELETECONTAINER: w_path, AUTH: w_auth,
    SETWATCHES: w_setwatches, SETWATCHES2: w_setwatches2, SASL: w_path,
    GETEPHEMERALS: w_path, GETALLCHILDRENNUMBER: w_path,
    ADDWATCH: w_path_version, WHOAMI: w_empty, CLOSESESSION: w_empty,
}


def connect_request(timeout=10000, session=0, password=b'\0' * 16,
                    last_zxid=0, read_only=False, protocol=0):
    """The body of a ConnectRequest; read_only None leaves the byte out."""
    w = Writer().int(protocol).long(last_zxid).int(timeout).long(
        session).buf(password)
    if read_only is not None:
        w.bool(read_only)
    return w.bytes()


# -- reply bodies -----------------------------------------------------------

def r_none(r):
    return None


def r_create2(r):
    return r.str(), r.stat()


def r_data(r):
    return r.buf(), r.stat()


def r_acl(r):
    return r.acl(), r.stat()


def r_children2(r):
    return r.strs(), r.stat()


def r_whoami(r):
    n = r.count()
    return [(r.str(), r.str()) for _ in range(n)]


def r_multi(r):
    """List of (type, value); an error result is (-1, code)."""
    out = []
    while True:
        kind, done, err = r.int(), r.bool(), r.int()
        if done:
            if kind != -1 or err != -1:
                raise ProtocolError('odd end marker %d %d' % (kind, err))
            return out
        if kind == -1:
            code = r.int()
            if code != err:
                raise ProtocolError('header %d, body %d' % (err, code))
            out.append((-1, code))
            continue
        if err != 0:
            raise ProtocolError('result %d with error %d' % (kind, err))
        if kind not in MULTI_RESULT:
            raise ProtocolError('result of type %d in a multi' % kind)
        out.append((kind, MULTI_RESULT[kind](r)))


MULTI_RESULT = {
    CREATE: Reader.str, CREATE2: r_create2, SETDATA: Reader.stat,
    DELETE: r_none, CHECK: r_none, GETDATA: r_data,
    GETCHILDREN: Reader.strs,
}

REPLY = {
    CREATE: Reader.str, CREATE2: r_create2, CREATECONTAINER: r_create2,
    CREATETTL: r_create2, DELETE: r_none, CHECK: r_none,
    EXISTS: Reader.stat, GETDATA: r_data, GETCHILDREN: Reader.strs,
    GETCHILDREN2: r_children2, SETDATA: Reader.stat, GETACL: r_acl,
    SETACL: Reader.stat, SYNC: Reader.str, PING: r_none, MULTI: r_multi,
    MULTIREAD: r_multi, RECONFIG: r_data, CHECKWATCHES: r_none,
    REMOVEWATCHES: r_none, AUTH: r_none, SETWATCHES: r_none,
    SETWATCHES2: r_none, SASL: Reader.buf, GETEPHEMERALS: Reader.strs,
    GETALLCHILDRENNUMBER: Reader.int, ADDWATCH: Reader.int,
    WHOAMI: r_whoami, CLOSESESSION: r_none,
}


def decode_reply(op, body):
    """A reply frame of a request of type op."""
    r = Reader(body)
    xid, zxid, err = r.int(), r.long(), r.int()
    value = None
    if err == 0 and op in REPLY:
        value = REPLY[op](r)
        if r.left():
            raise ProtocolError('%d bytes behind a %s reply'
                                % (r.left(), OP_NAME[op]))
    return Reply(op, xid, zxid, err, value, body)


def decode_event(body):
    r = Reader(body)
    r.int()
    zxid, err = r.long(), r.int()
    event = Event(zxid, r.int(), r.int(), r.str())
    if err != 0 or r.left():
        raise ProtocolError('malformed notification %r' % body)
    return event


def password_of(session):
    """The password that belongs to a session id (protocol, section 2.4)."""
    mask = (1 << 48) - 1
    session &= (1 << 64) - 1
    seed = ((session ^ 0xB3415C00) ^ 0x5DEECE66D) & mask
    out = bytearray()
    for _ in range(4):
        seed = (seed * 0x5DEECE66D + 0xB) & mask
        out += struct.pack('<I', (seed >> 16) & 0xffffffff)
    return bytes(out)


# -- connections ------------------------------------------------------------

class Conn:
    """A TCP connection that sends and receives bytes and frames."""

    def __init__(self, address, timeout=15.0, rcvbuf=None):
        self.address = tuple(address[:2])
        self.timeout = timeout
        self.inbox = bytearray()
        family = socket.AF_INET6 if ':' in address[0] else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.settimeout(timeout)
        try:
            self.sock.connect(address)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            self.sock.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.abort()

    def send(self, raw):
        try:
            self.sock.sendall(raw)
        except (BrokenPipeError, ConnectionResetError) as e:
            raise Closed(str(e))

    def send_frame(self, body):
        self.send(struct.pack('>i', len(body)) + body)

    def _fill(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError('no bytes from %s:%d' % self.address)
        self.sock.settimeout(left)
        try:
            piece = self.sock.recv(1 << 18)
        except ConnectionResetError as e:
            raise Closed(str(e))
        except socket.timeout:
            raise TimeoutError('no bytes from %s:%d' % self.address)
        if not piece:
            raise Closed('end of stream')
        self.inbox += piece

    def recv_frame(self, timeout=None):
        """The next frame's body. Closed at the end of the stream."""
        deadline = time.monotonic() + (self.timeout if timeout is None
                                       else timeout)
        while len(self.inbox) < 4:
            self._fill(deadline)
        size = struct.unpack_from('>i', self.inbox)[0]
        if size < 0:
            raise ProtocolError('frame of length %d' % size)
        while len(self.inbox) < 4 + size:
            self._fill(deadline)
        body = bytes(self.inbox[4:4 + size])
        del self.inbox[:4 + size]
        return body

    def recv_all(self, timeout=None):
        """Everything up to the end of the stream."""
        deadline = time.monotonic() + (self.timeout if timeout is None
                                       else timeout)
        try:
            while True:
                self._fill(deadline)
        except Closed:
            rest = bytes(self.inbox)
            self.inbox.clear()
            return rest

    def is_closed(self, timeout=5.0):
        """Whether the stream ends within timeout without another byte."""
        deadline = time.monotonic() + timeout
        try:
            while not self.inbox:
                self._fill(deadline)
        except Closed:
            return True
        except TimeoutError:
            return False
        return False

    def abort(self):
        self.sock.close()


class Refused(Exception):
    """The server refused the session (timeOut 0 in its response)."""


class Client(Conn):
    """A session on one connection.

    post() sends a request and returns its xid; take() reads the reply of
    the oldest request in flight; call() does both.  Notifications met on
    the way are appended to `events`; `trace` holds every frame in arrival
    order, ('event', Event) or ('reply', Reply).
    """

    def __init__(self, address, timeout_ms=10000, session=0,
                 password=b'\0' * 16, last_zxid=0, read_only=False,
                 timeout=15.0, strict=True):
        super().__init__(address, timeout)
        self.xid = 0
        self.pending = collections.deque()
        self.events = []
        self.trace = []
        self.zxid = 0
        self.strict = strict
        try:
            self.send_frame(connect_request(
                timeout_ms, session, password, last_zxid, read_only))
            self.handshake()
        except BaseException:
            self.abort()
            raise

    def handshake(self):
        body = self.recv_frame()
        r = Reader(body)
        self.protocol = r.int()
        self.timeout_ms = r.int()
        self.session = r.long()
        self.password = r.buf()
        self.read_only = r.bool() if r.left() else None
        self.response = body
        if self.timeout_ms <= 0 or self.session == 0:
            raise Refused()

    def post(self, op, *args, xid=None, **kwargs):
        body = REQUEST[op](*args, **kwargs)
        return self.post_raw(op, body, xid)

    def encode(self, op, body, xid=None):
        """A request as bytes with its length, registered as in flight."""
        if xid is None:
            if op in (SETWATCHES, SETWATCHES2):
                xid = XID_SETWATCHES
            elif op == AUTH:
                xid = XID_AUTH
            elif op == PING:
                xid = XID_PING
            else:
                self.xid += 1
                xid = self.xid
        frame = struct.pack('>ii', xid, op) + body
        self.pending.append((XID_PING if op == PING else xid, op))
        return xid, struct.pack('>i', len(frame)) + frame

    def post_raw(self, op, body, xid=None):
        xid, raw = self.encode(op, body, xid)
        self.send(raw)
        return xid

    def _match(self, xid):
        if self.pending and self.pending[0][0] == xid:
            return self.pending.popleft()[1]
        # The reference server may answer auth and ping out of turn.
        if not self.strict or xid in (XID_AUTH, XID_PING):
            for entry in self.pending:
                if entry[0] == xid:
                    self.pending.remove(entry)
                    return entry[1]
        raise ProtocolError('reply %d while %r are in flight'
                            % (xid, list(self.pending)[:4]))

    def take_frame(self, timeout=None):
        """Reads one frame: a Reply or an Event."""
        body = self.recv_frame(timeout)
        if len(body) < 16:
            raise ProtocolError('frame of %d bytes' % len(body))
        xid = struct.unpack_from('>i', body)[0]
        if xid == XID_NOTIFICATION:
            event = decode_event(body)
            self.events.append(event)
            self.trace.append(('event', event))
            return event
        reply = decode_reply(self._match(xid), body)
        self.trace.append(('reply', reply))
        if reply.zxid > 0:
            if xid not in (XID_PING, XID_AUTH) and reply.zxid < self.zxid:
                raise ProtocolError('zxid went back from %x to %x'
                                    % (self.zxid, reply.zxid))
            self.zxid = max(self.zxid, reply.zxid)
        return reply

    def take(self, timeout=None):
        """Reads up to and including the next reply."""
        while True:
            frame = self.take_frame(timeout)
            if isinstance(frame, Reply):
                return frame

    def take_event(self, timeout=None):
        """The next notification; a reply in between is an error."""
        frame = self.take_frame(timeout)
        if not isinstance(frame, Event):
            raise ProtocolError('expected an event, got %r' % (frame,))
        return frame

    def call(self, op, *args, xid=None, **kwargs):
        self.post(op, *args, xid=xid, **kwargs)
        return self.drain()[-1]

    def call_raw(self, op, body, xid=None):
        self.post_raw(op, body, xid)
        return self.drain()[-1]

    def drain(self):
        """Reads the replies of all requests in flight."""
        out = []
        while self.pending:
            out.append(self.take())
        return out

    # The usual requests, by name.

    def create(self, path, data=b'', acl=OPEN, flags=0):
        return self.call(CREATE, path, data, acl, flags)

    def create2(self, path, data=b'', acl=OPEN, flags=0):
        return self.call(CREATE2, path, data, acl, flags)

    def create_container(self, path, data=b'', acl=OPEN, flags=CONTAINER):
        return self.call(CREATECONTAINER, path, data, acl, flags)

    def create_ttl(self, path, data=b'', acl=OPEN, flags=TTL, ttl=1000):
        return self.call(CREATETTL, path, data, acl, flags, ttl)

    def delete(self, path, version=-1):
        return self.call(DELETE, path, version)

    def exists(self, path, watch=False):
        return self.call(EXISTS, path, watch)

    def get(self, path, watch=False):
        return self.call(GETDATA, path, watch)

    def set(self, path, data=b'', version=-1):
        return self.call(SETDATA, path, data, version)

    def children(self, path, watch=False):
        return self.call(GETCHILDREN, path, watch)

    def children2(self, path, watch=False):
        return self.call(GETCHILDREN2, path, watch)

    def get_acl(self, path):
        return self.call(GETACL, path)

    def set_acl(self, path, acl=OPEN, version=-1):
        return self.call(SETACL, path, acl, version)

    def sync(self, path='/'):
        return self.call(SYNC, path)

    def ping(self):
        return self.call(PING)

    def multi(self, *ops):
        return self.call(MULTI, ops)

    def auth(self, scheme, data, xid=None):
        return self.call(AUTH, scheme, data, xid=xid)

    def add_watch(self, path, mode):
        return self.call(ADDWATCH, path, mode)

    def barrier(self):
        """Waits until all events of transactions so far have arrived.

        Events of a transaction precede every reply that shows it, and a
        write takes its place behind all earlier transactions, so the reply
        to a (failing) write of this session closes the sequence.
        """
        self.call(DELETE, '/no such node for a barrier', -1)
        events, self.events = self.events, []
        return events

    def take_events(self):
        events, self.events = self.events, []
        return events

    def close(self):
        """Closes the session and waits for the end of the stream."""
        reply = self.call(CLOSESESSION)
        rest = self.recv_all()
        if rest:
            raise ProtocolError('%r behind the close reply' % rest)
        self.abort()
        return reply
