# SPDX-License-Identifier: Apache-2.0
"""Reading the tree allocates nothing.

Follows the calls from the functions that readers use through the machine code
of the given archives, and fails if one of them can reach an allocator. Calls
through pointers are not seen; the read path has none.

Usage: read_path.py 'regex of starting functions' archive...
"""
import re
import subprocess
import sys

FORBIDDEN = re.compile(
    r'^(je_)?(malloc|calloc|realloc|reallocarray|free|aligned_alloc|'
    r'posix_memalign|strdup|mallocx|rallocx|xallocx|dallocx|sdallocx|mmap|'
    r'munmap|madvise)$')

FUNCTION = re.compile(r'^[0-9a-f]+ <([^>]+)>:$')
# Calls and jumps inside a section, or tail calls to another function.
DIRECT = re.compile(r'\b(?:call|jmp)\w*\s+[0-9a-f]+ <([^>+]+)(\+0x[0-9a-f]+)?>')
RELOCATION = re.compile(r'R_\w+(?:PLT32|PC32|GOTPCREL\w*|CALL26|JUMP26)\s+'
                        r'([A-Za-z_][\w.]*)')


def calls_of(archives):
    """Maps each function to what it calls or takes the address of."""
    calls = {}
    current = None
    text = subprocess.run(['objdump', '-d', '-r', '--no-show-raw-insn',
                           *archives], check=True, capture_output=True,
                          text=True).stdout
    for line in text.splitlines():
        head = FUNCTION.match(line)
        if head:
            # gcc splits functions: x.cold and x.part.0 belong to x.
            current = calls.setdefault(head.group(1), set())
            continue
        if current is None:
            continue
        direct = DIRECT.search(line)
        if direct:
            current.add(direct.group(1))
        reloc = RELOCATION.search(line)
        if reloc:
            current.add(reloc.group(1))
    return calls


def chain_to_allocator(start, calls):
    """The way from start to an allocator as a list of names; None: there is
    none. Breadth first, so it is a shortest one."""
    came_from = {start: None}
    queue = [start]
    while queue:
        name = queue.pop(0)
        if FORBIDDEN.match(name):
            way = []
            while name is not None:
                way.append(name)
                name = came_from[name]
            return way[::-1]
        for target in sorted(calls.get(name, ())):
            if target not in came_from:
                came_from[target] = name
                queue.append(target)
    return None


def main():
    calls = calls_of(sys.argv[2:])
    starts = [name for name in sorted(calls)
              if re.fullmatch(sys.argv[1], name)]
    if not starts:
        sys.exit(f'no function matches {sys.argv[1]}')
    failed = False
    for start in starts:
        way = chain_to_allocator(start, calls)
        if way:
            print(' -> '.join(way))
            failed = True
    print(f'{len(starts)} starting functions: {" ".join(starts)}')
    sys.exit(failed)


if __name__ == '__main__':
    main()
