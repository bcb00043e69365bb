# SPDX-License-Identifier: Apache-2.0
"""A client that goes from server to server and knows what it was told.

Goal: one session that survives broken connections as a real client's does,
with nothing hidden: an answer, or the knowledge that there was none.

Method: zkwire's client on one connection at a time.  call() sends one
request and returns its reply; when the connection breaks first it raises
Unanswered.  The next call connects to another server with the session's id
and the highest zxid seen; zxids must go on from there.  A session that the
servers no longer know raises SessionGone.  Nothing runs in the background,
so a watch event is seen exactly where it lies between the replies.
"""
import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), 'interop'))

import zkwire  # noqa: E402

CONNECT_SECONDS = 0.7
ANSWER_SECONDS = 4.0
BROKEN = (OSError, zkwire.Closed, socket.timeout)


class Unanswered(Exception):
    """The connection broke before the answer; the request may take place."""


class SessionGone(Exception):
    """The session is not known any more."""


class Stopped(Exception):
    """The run ended while the client looked for a server."""


class Voyager:
    """addresses: of all servers; rng: chooses among them; stop: an Event;
    pause: (at least, and at random so much more) seconds before it tries
    again."""

    def __init__(self, addresses, rng, stop, timeout_ms=6000,
                 session=0, password=b'\0' * 16, zxid=0, pause=(0.02, 0.1)):
        self.addresses = list(addresses)
        self.rng = rng
        self.stop = stop
        self.timeout_ms = timeout_ms
        self.session = session
        self.password = password
        self.zxid = zxid
        self.pause = pause
        self.client = None
        self.connects = 0
        self.heard = time.monotonic()

    def connect(self):
        """To any server that takes us."""
        while self.client is None:
            if self.stop.is_set():
                raise Stopped()
            address = self.rng.choice(self.addresses)
            try:
                client = zkwire.Client(
                    address, self.timeout_ms, self.session, self.password,
                    self.zxid, timeout=CONNECT_SECONDS)
            except zkwire.Refused:
                raise SessionGone()
            except BROKEN:
                self.stop.wait(self.pause[0] +
                               self.rng.random() * self.pause[1])
                continue
            client.timeout = ANSWER_SECONDS
            client.zxid = self.zxid
            self.session, self.password = client.session, client.password
            self.client = client
            self.connects += 1
        return self.client

    def forget(self):
        """Drops the connection without a word."""
        if self.client is not None:
            self.zxid = max(self.zxid, self.client.zxid)
            self.client.abort()
            self.client = None

    def call(self, op, *args):
        client = self.connect()
        try:
            reply = client.call(op, *args)
        except BROKEN as e:
            self.forget()
            raise Unanswered(str(e))
        self.zxid = client.zxid
        self.heard = time.monotonic()
        if reply.err == zkwire.SESSIONEXPIRED or reply.err == -118:
            self.forget()
            if reply.err == zkwire.SESSIONEXPIRED:
                raise SessionGone()
            raise Unanswered('session moved')
        return reply

    def close(self):
        """Closes the session; False: there was no answer."""
        try:
            self.call(zkwire.CLOSESESSION)
        except (Unanswered, SessionGone, Stopped):
            return False
        finally:
            self.forget()
        return True
