# SPDX-License-Identifier: Apache-2.0
"""What the numbered cases have in common.

Goal: a case of the protocol's section 15 is found by its number and runs on
a server of its own or on a shared one, as it asks for.

Method: a `Cases` object is filled by its decorator; run() gives each case a
server and the verdict to a harness.Suite.  `NUMBERS` collects which function
covers which number, over all modules, for the check that none is left out.
"""
import re

import harness
import zkwire

NUMBERS = {}


class Cases:
    """The cases of one module."""

    def __init__(self):
        self.list = []

    def numbered(self, *numbers, quick=True, conf=None):
        """Registers a function of one server.

        conf   settings of a server for this case alone; None shares one
        """
        def enter(function):
            for n in numbers:
                NUMBERS.setdefault(n, []).append(function)
            title = '%s%s' % (
                ', '.join(str(n) for n in numbers) + ': ' if numbers
                else '', function.__doc__.strip().splitlines()[0])
            self.list.append((title, function, quick, conf))
            return function
        return enter

    def run(self, suite, options):
        run_cases(suite, self.list, options)


def run_cases(suite, cases, options):
    """Runs cases; those with conf None share one server."""
    chosen = [c for c in cases
              if (c[2] or not options.quick) and
              (not options.only or re.search(options.only, c[0]))]
    shared = None
    try:
        for title, function, _, conf in chosen:
            def attempt(function=function, conf=conf):
                nonlocal shared
                if conf is not None:
                    with harness.Server(options.server, conf) as server:
                        function(server)
                    return
                if shared is None or not shared.alive():
                    if shared:
                        shared.close()
                    shared = harness.Server(options.server)
                    shared.start()
                function(shared)
                if not shared.alive():
                    raise AssertionError('the server is gone:\n%s' %
                                         shared.stderr()[-1500:])
            suite.attempt(title, attempt)
    finally:
        if shared:
            shared.close()


def paths_of(events):
    return [(e.type, e.path) for e in events]


def op(kind, *args):
    """An operation of a multi."""
    return kind, zkwire.REQUEST[kind](*args)
