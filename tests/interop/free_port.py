# SPDX-License-Identifier: Apache-2.0
"""Ports for servers under test.

Goal: a port that a suite took for a server is free when the server starts, a
second time after a restart too, whatever runs beside it.

Method: nobody's connection begins there (the kernel draws those from 32768
on), and of the others each process has blocks of its own, held by locks on
files, which end with the process.
"""
import fcntl
import os
import random
import socket
import tempfile

FIRST, PORTS, BLOCK = 10240, 21760, 32
LOCKS = os.path.join(tempfile.gettempdir(), 'falconer-test-ports')

_held = []  # open files
_ports = []  # to be given


def _take_block():
    """The ports of a block that no process had."""
    os.makedirs(LOCKS, exist_ok=True)
    blocks = list(range(PORTS // BLOCK))
    random.SystemRandom().shuffle(blocks)
    for block in blocks:
        lock = open(os.path.join(LOCKS, str(block)), 'w', encoding='ascii')
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        _held.append(lock)
        first = FIRST + block * BLOCK
        return list(range(first, first + BLOCK))
    raise RuntimeError('no ports left: see %s' % LOCKS)


def free_port():
    """A port of 127.0.0.1, given once."""
    while True:
        if not _ports:
            _ports.extend(_take_block())
        port = _ports.pop()
        with socket.socket() as probe:
            try:
                probe.bind(('127.0.0.1', port))
            except OSError:
                continue
            return port
