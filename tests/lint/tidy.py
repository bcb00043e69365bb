# SPDX-License-Identifier: Apache-2.0
"""What every file of the tree has in common.

    an SPDX line at the top           800 lines at most
    (2000 in tests, which are lists)  nothing marked as unfinished, no #if 0
    no trailing blanks, one newline   no path of somebody's machine
    at the end

and in C besides: an include guard that is made of the path, tabs before
spaces in the margin, functions of at most 70 lines.

Usage: tidy.py [root]
"""
import os
import re
import sys

import sources

LINES_MAX = 800
TEST_LINES_MAX = 2000
FUNCTION_LINES_MAX = 70

SPDX = 'SPDX-License-Identifier: Apache-2.0'
CODE = ('.c', '.h', '.def', '.cc', '.py', '.sh')
OTHER_TEXT = ('.md', '.cfg', '.in', '.txt', '.build')
# Split so that this file does not find itself.
UNFINISHED = re.compile(r'\b(FIX' r'ME|TO' r'DO|XX' r'X)\b')
DEAD_CODE = re.compile(r'^\s*#\s*if\s+0\b')
MACHINE_PATH = re.compile(r'(?<![\w/.])/wo' r'rk/|/ho' r'me/\w')
BAD_MARGIN = re.compile(r'^\t* +\t')


def is_script(path, text):
    return '.' not in os.path.basename(path) and text.startswith('#!')


def check_text(path, text):
    lines = text.split('\n')
    limit = TEST_LINES_MAX if path.startswith('tests/') else LINES_MAX
    if len(lines) - 1 > limit and not path.endswith(('.md', '.txt')):
        yield path, len(lines) - 1, f'more than {limit} lines'
    if text and not text.endswith('\n'):
        yield path, len(lines), 'no newline at the end'
    if text.endswith('\n\n'):
        yield path, len(lines) - 1, 'blank lines at the end'
    for number, line in enumerate(lines, 1):
        if line != line.rstrip() and not path.endswith('.txt'):
            yield path, number, 'trailing blanks'
        if UNFINISHED.search(line):
            yield path, number, 'unfinished: ' + line.strip()
        if MACHINE_PATH.search(line):
            yield path, number, 'a path of one machine'


def check_spdx(path, text):
    top = text.split('\n', 3)[:3]
    if not any(SPDX in line for line in top):
        yield path, 1, 'no line ' + SPDX


def guard_of(path):
    name = re.sub(r'[^A-Za-z0-9]', '_', path).upper()
    return 'FALCONER_' + name


def check_guard(path, text):
    guard = guard_of(path)
    if path.startswith('tests/'):
        # Nothing outside its folder includes it: the stem is enough.
        stem = guard_of(os.path.basename(path))[len('FALCONER'):]
        if re.search(rf'#ifndef (FALCONER_\w*{stem})\n#define \1\n', text):
            return
    if f'#ifndef {guard}\n#define {guard}\n' not in text:
        yield path, 1, f'the include guard is not {guard}'


def check_functions(path, lines):
    """A definition is a line at the margin with '(', later a '{' there."""
    start = name = None
    for number, line in enumerate(lines, 1):
        head = re.match(r'([a-z_]\w*)\(', line) or \
            re.match(r'[a-zA-Z_][\w\s*]*?\b(\w+)\(', line)
        if head and start is None and not line.endswith(';'):
            start, name = number, head.group(1)
        elif line == '}' and start is not None:
            if number - start + 1 > FUNCTION_LINES_MAX:
                yield (path, start, f'{name}() has {number - start + 1} '
                       f'lines, more than {FUNCTION_LINES_MAX}')
            start = None
        elif start is not None and line.endswith(';') \
                and not line.startswith(('\t', ' ', '{')):
            start = None  # it was a declaration over several lines


def check_c(path, text):
    lines = text.split('\n')
    for number, line in enumerate(lines, 1):
        if BAD_MARGIN.match(line):
            yield path, number, 'blanks before tabs in the margin'
        if DEAD_CODE.match(line):
            yield path, number, 'code that is switched off'
    yield from check_functions(path, lines)


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else '.'
    findings = []
    for path in sources.walk(root):
        is_text = path.endswith(CODE + OTHER_TEXT)
        if not is_text and '.' in os.path.basename(path):
            continue
        try:
            text = sources.read(root, path)
        except UnicodeDecodeError:
            if is_text:
                findings.append((path, 1, 'is not UTF-8'))
            continue
        is_code = path.endswith(CODE) or is_script(path, text)
        if not is_text and not is_code:
            continue
        findings += check_text(path, text)
        if is_code:
            findings += check_spdx(path, text)
        if path.endswith('.h'):
            findings += check_guard(path, text)
        if path.endswith(('.c', '.h')):
            findings += check_c(path, text)
    sources.finish(findings)


if __name__ == '__main__':
    main()
