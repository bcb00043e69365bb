# SPDX-License-Identifier: Apache-2.0
"""One client, one server, one minute: does it work at all?

Goal    an ordinary client can do the ordinary things, and the server starts,
        says that it is ready, stops on SIGTERM, and finds its data again.
Method  starts falconerd on a free port with an empty data folder, walks
        through kazoo's everyday calls, restarts the server in between.

Usage: smoke.py <falconerd>. Prints a line per case and at the end
"N passed, M failed".
"""
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback

from kazoo.client import KazooClient
from kazoo.exceptions import (BadVersionError, NodeExistsError, NoNodeError,
                              NotEmptyError)

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'interop'))
from free_port import free_port

READY_SECONDS = 20
STOP_SECONDS = 10
EVENT_SECONDS = 10


class Server:
    """falconerd with a folder of its own."""

    def __init__(self, program, folder):
        self.port = free_port()
        self.program = program
        self.config = os.path.join(folder, 'zoo.cfg')
        self.process = None
        with open(self.config, 'w', encoding='ascii') as config:
            config.write(f'clientPort={self.port}\n'
                         'clientPortAddress=127.0.0.1\n'
                         'tickTime=500\ndataDir=data\n'
                         '4lw.commands.whitelist=ruok,mntr\n')

    def start(self):
        self.process = subprocess.Popen([self.program, self.config],
                                        stdout=subprocess.PIPE, text=True)
        timer = threading.Timer(READY_SECONDS, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if not line:
            raise RuntimeError('the server ended before it was ready, '
                               f'status {self.process.wait()}')
        return line

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise RuntimeError('SIGTERM did not stop the server') from None
        finally:
            self.process.stdout.close()

    def connect(self):
        client = KazooClient(hosts=f'127.0.0.1:{self.port}', timeout=5)
        client.start(timeout=10)
        return client

    def word(self, word):
        with socket.create_connection(('127.0.0.1', self.port), 10) as conn:
            conn.sendall(word)
            answer = b''
            while chunk := conn.recv(65536):
                answer += chunk
            return answer


def raises(error, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except error:
        return True
    return False


def nodes_are_created_read_changed_and_deleted(server, client):
    assert client.create('/a', b'one') == '/a'
    data, stat = client.get('/a')
    assert (data, stat.version, stat.numChildren) == (b'one', 0, 0)
    assert client.set('/a', b'two').version == 1
    assert client.get('/a')[0] == b'two'
    assert client.create('/a/b') == '/a/b'
    assert client.get_children('/a') == ['b']
    assert raises(NotEmptyError, client.delete, '/a')
    client.delete('/a/b')
    client.delete('/a')
    assert client.exists('/a') is None


def mistakes_are_answered_with_their_errors(server, client):
    client.create('/e')
    assert raises(NodeExistsError, client.create, '/e')
    assert raises(NoNodeError, client.get, '/nothing')
    assert raises(BadVersionError, client.set, '/e', b'x', version=7)
    client.delete('/e')


def sequential_names_count_up(server, client):
    client.create('/seq')
    names = [client.create('/seq/n-', sequence=True) for _ in range(3)]
    assert names == [f'/seq/n-{i:010d}' for i in range(3)]


def a_multi_is_all_or_nothing(server, client):
    work = client.transaction()
    work.create('/m1')
    work.create('/m2')
    assert work.commit() == ['/m1', '/m2']
    work = client.transaction()
    work.create('/m3')
    work.create('/m1')
    assert isinstance(work.commit()[1], NodeExistsError)
    assert client.exists('/m3') is None


def watches_fire_once(server, client):
    events = []
    fired = threading.Event()

    def on_event(event):
        events.append(event)
        fired.set()

    client.create('/w', b'1')
    client.get('/w', watch=on_event)
    client.set('/w', b'2')
    assert fired.wait(EVENT_SECONDS)
    client.set('/w', b'3')
    client.sync('/w')
    assert [(e.type, e.path) for e in events] == [('CHANGED', '/w')]


def ephemerals_go_with_their_session(server, client):
    gone = threading.Event()
    other = server.connect()
    other.create('/eph', ephemeral=True)
    assert client.exists('/eph', watch=lambda event: gone.set())
    other.stop()
    other.close()
    assert gone.wait(EVENT_SECONDS)
    assert client.exists('/eph') is None


def four_letter_words_answer(server, client):
    assert server.word(b'ruok') == b'imok'
    assert server.word(b'srvr').startswith(b'Zookeeper version: ')
    assert b'zk_znode_count\t' in server.word(b'mntr')
    assert b'not in the whitelist' in server.word(b'cons')


def data_and_session_survive_a_restart(server, client):
    client.create('/kept', b'x' * 1000)
    before = client.get('/kept')[1]
    assert server.stop() == 0
    server.start()
    data, after = client.retry(client.get, '/kept')
    assert data == b'x' * 1000 and after == before


CASES = [
    nodes_are_created_read_changed_and_deleted,
    mistakes_are_answered_with_their_errors,
    sequential_names_count_up,
    a_multi_is_all_or_nothing,
    watches_fire_once,
    ephemerals_go_with_their_session,
    four_letter_words_answer,
    data_and_session_survive_a_restart,
]


def main():
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix='falconer-smoke-') as folder:
        server = Server(sys.argv[1], folder)
        try:
            server.start()
            client = server.connect()
        except Exception:
            traceback.print_exc()
            print(f'0 passed, {len(CASES)} failed')
            if server.process is not None and server.process.poll() is None:
                server.stop()
            return 1
        for case in CASES:
            try:
                case(server, client)
                passed += 1
                print(f'ok      {case.__name__}')
            except Exception:
                failed += 1
                print(f'FAILED  {case.__name__}')
                traceback.print_exc()
        client.stop()
        client.close()
        status = server.stop()
        if status != 0:
            failed += 1
            print(f'FAILED  the server ended with status {status}')
    print(f'{passed} passed, {failed} failed')
    return failed != 0


if __name__ == '__main__':
    sys.exit(main())
