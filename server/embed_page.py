#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a C header of the page: its bytes, and the policy a browser gets.

The policy names the hashes of the page's own style and script; nothing else
may run, and nothing may be fetched but from the server itself.

Usage: embed_page.py page.html page.h
"""
import base64
import hashlib
import re
import sys


def hashes(page, tag):
    for body in re.findall(r'<%s>(.*?)</%s>' % (tag, tag), page, re.S):
        digest = hashlib.sha256(body.encode()).digest()
        yield "'sha256-%s'" % base64.b64encode(digest).decode()


def quoted(line):
    line = line.replace('\\', '\\\\').replace('"', '\\"').replace('?', '\\?')
    return '\t"%s\\n"' % line


def main():
    with open(sys.argv[1], encoding='ascii') as f:
        page = f.read()
    policy = ("default-src 'none'; connect-src 'self'; img-src data:; "
              "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
              'style-src %s; script-src %s' % (
                  ' '.join(hashes(page, 'style')),
                  ' '.join(hashes(page, 'script'))))
    with open(sys.argv[2], 'w', encoding='ascii') as f:
        f.write('/* Made by embed_page.py of page.html. */\n'
                'static const char page_html[] =\n%s;\n'
                '#define PAGE_POLICY "%s"\n' % (
                    '\n'.join(map(quoted, page.splitlines())), policy))


if __name__ == '__main__':
    main()
