#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A dictionary of zoo.cfg for libFuzzer: config_dict.py KEYS.def OUT

Names of keys are too long to be found by chance, and nothing behind one is
looked at before it is right.
"""
import re
import sys

WORDS = ('server.1=', 'group.1=', 'weight.1=', 'zookeeper.', ':participant',
         ':observer', '|', ';', '[::1]', '127.0.0.1:2888:3888;2181', 'true',
         'false', 'yes', 'no', '-1', '2147483647', '2147483648', 'h', 'd',
         'dynamicConfigFile=', 'authProvider.1=', '\\x0a')


def main():
    with open(sys.argv[1], encoding='utf-8') as f:
        keys = re.findall(r'^[A-Z]+\(\w+,\s*"([^"]+)"', f.read(), re.M)
    with open(sys.argv[2], 'w', encoding='utf-8') as f:
        for key in sorted(keys):
            f.write('"\\x0a%s="\n' % key)
        for word in WORDS:
            f.write('"%s"\n' % word)


if __name__ == '__main__':
    main()
