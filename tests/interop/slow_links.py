# SPDX-License-Identifier: Apache-2.0
"""Slow links between the members of an ensemble on one machine.

Goal: on loopback a follower has a write before the client that made it at
another server can tell anyone. Over a network it has not, and a test that
forgets that passes here and fails elsewhere, some day.

Method: each member is told relays for the ports of the others. A relay holds
what it passes on for up to so many milliseconds, anew each time, and keeps its
order.
"""
import asyncio
import random
import threading

CHUNK = 1 << 16


class Links:
    """Relays that hold bytes for up to `seconds`, in a thread of their own."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def to(self, port):
        """A port that leads to that one of this machine."""
        async def listen():
            async def serve(reader, writer):
                await self.join(port, reader, writer)
            server = await asyncio.start_server(serve, '127.0.0.1', 0)
            return server.sockets[0].getsockname()[1]
        return asyncio.run_coroutine_threadsafe(listen(),
                                                self.loop).result()

    async def join(self, port, reader, writer):
        """One connection, until an end of it is gone."""
        try:
            there, back = await asyncio.open_connection('127.0.0.1', port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self.carry(reader, back),
                             self.carry(there, writer))

    async def carry(self, reader, writer):
        """One direction: what was read at a time leaves at a time."""
        queue = asyncio.Queue()

        async def leave():
            while True:
                due, chunk = await queue.get()
                await asyncio.sleep(due - self.loop.time())
                if not chunk:
                    return
                writer.write(chunk)
                await writer.drain()
        leaving = self.loop.create_task(leave())
        try:
            while not leaving.done():
                chunk = await reader.read(CHUNK)
                queue.put_nowait((self.loop.time() +
                                  random.uniform(0, self.seconds), chunk))
                if not chunk:
                    break
            await leaving
        except OSError:
            leaving.cancel()
        finally:
            writer.close()
