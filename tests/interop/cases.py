# SPDX-License-Identifier: Apache-2.0
"""The test cases of the protocol's section 15, by number.

Goal: every numbered case is run and can be found by its number; those that
belong to other suites are listed with the reason.

77 and 78, SASL and TLS, are what a server does that has neither configured:
keys that would configure them stop the start by name (tests/unit/server/
test_config.c).

Method: the cases live in the cases_*.py modules and, for connecting,
sessions and robustness, in sessions.py.  They run on one shared server
unless they want settings of their own.  Where section 18 or 19 tells 3.8
from ours, `server.is_java` does too.  The last case checks that the modules
and the list of exceptions leave no number out.
"""
import re
import sys

import cases_access
import cases_admin
import cases_ensemble
import cases_multi
import cases_nodes
import cases_watch
import harness
import sessions
from caselib import NUMBERS
from harness import expect

MODULES = (cases_nodes, cases_multi, cases_watch, cases_access, cases_admin)

ELSEWHERE = {
    87: 'the admin server has a suite of its own, admin.py',
}


def every_number_is_here():
    # Importing sessions registered its numbers; its own suite runs them.
    expect(all(NUMBERS.get(n) for n in (1, 14, 66, 88, 92)), True,
           'numbers of ' + sessions.__name__)
    numbers = set(NUMBERS) | set(ELSEWHERE) | {83}
    expect(sorted(set(range(1, 93)) - numbers), [], 'numbers left out')
    expect(sorted(set(NUMBERS) & set(ELSEWHERE)), [], 'numbers twice')


def main():
    options = harness.options(__doc__.splitlines()[0])
    suite = harness.Suite('cases')
    for module in MODULES:
        module.CASES.run(suite, options)
    cases_ensemble.run(suite, options)
    no_quorum = cases_admin.case_83
    for number, reason in sorted(ELSEWHERE.items()):
        if not options.only and number != 87:
            suite.skip(str(number), reason)
    for title, function, args in (
            (no_quorum.__doc__, no_quorum, (options.server,)),
            ('every number is here or said to be elsewhere',
             every_number_is_here, ())):
        if not options.only or re.search(options.only, title):
            suite.attempt(title, function, *args)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())
