#!/usr/bin/env python3
"""Checks who includes whom: layers, and which folder or file may know which library.

usage: includes.py SOURCE_ROOT
"""

import pathlib
import re
import sys

# A folder, and what of ours its files may include: the first row that fits a file counts. A name that
# ends with a slash is everything below; "*.h" is the headers of that folder itself.
LAYERS = [
    ("proto/base/", ["proto/base/"]),
    ("proto/", ["proto/"]),
    ("backends/libvirt/vnode-init/", ["backends/libvirt/vnode-init/"]),
    ("backends/libvirt/", ["proto/base/", "backends/*.h", "backends/libvirt/"]),
    ("backends/netlink/", ["proto/base/", "backends/*.h", "backends/netlink/", "backends/nft/"]),
    ("backends/nft/", ["proto/base/", "backends/*.h", "backends/nft/"]),
    ("backends/disk/", ["proto/base/", "backends/*.h", "backends/disk/"]),
    ("backends/fake/", ["proto/base/", "backends/*.h", "backends/fake/"]),
    ("backends/", ["proto/base/", "backends/*.h"]),
    ("daemon/", ["proto/", "backends/*.h", "daemon/"]),
    ("client/", ["proto/", "client/"]),
    ("tests/", ["proto/", "backends/", "daemon/", "client/", "tests/"]),
]

# What a library's headers look like, and the folders or files that may include them.
LIBRARIES = [
    (r"jansson\.h", ["proto/", "backends/", "daemon/", "client/", "tests/"]),
    (r"libvirt/.*", ["backends/libvirt/", "tests/"]),
    (r"netlink/.*", ["backends/netlink/", "tests/"]),
    (r"nftables/.*", ["backends/nft/", "tests/"]),
    (r"curl/.*", ["backends/disk/fetch"]),
    (r"archive(_entry)?\.h", ["backends/disk/", "tests/"]),
    (r"zlib\.h", ["backends/disk/plain.c"]),
    (r"sqlite3\.h", ["daemon/store", "tests/"]),
    (r"event2/.*", ["daemon/loop.c"]),
    (r"systemd/.*", ["daemon/", "tests/"]),
    (r"libkmod\.h", ["backends/modules.c"]),
    (r"spawn\.h", ["backends/disk/", "backends/helper.c"]),
    (r"openssl/.*", ["backends/digest.c", "backends/host_key.c", "tests/"]),
    (r"check\.h", ["tests/"]),
]

# Every other <header> must be of the C library or the kernel.
LIBC = re.compile(
    r"(assert|ctype|dirent|elf|endian|errno|fcntl|fnmatch|getopt|glob|grp|inttypes|langinfo|limits|malloc|"
    r"locale|math|mntent|netdb|paths|poll|pthread|pty|pwd|regex|sched|search|semaphore|setjmp|signal|"
    r"stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|string|strings|syslog|termios|"
    r"threads|time|unistd|utmp|wchar|(sys|net|netinet|arpa|linux|asm|bits)/[a-z0-9_/-]+)\.h")

INCLUDE = re.compile(r'^\s*#\s*include\s*(<([^>]+)>|"([^"]+)")')


def fits(name, places):
    """Whether a path is one of the places of a table."""
    for place in places:
        if place.endswith("*.h"):
            folder = place[:-3]
            if name.startswith(folder) and "/" not in name[len(folder):]:
                return True
        elif name == place or (name.startswith(place) and not place.endswith((".c", ".h"))):
            return True
    return False


def fault(root, source, system, own):
    """What is wrong with one include; None for a good one."""
    if own is not None:
        if not (root / own).is_file():
            return f'"{own}" is no file below the root: includes of ours are rooted'
        allowed = next((row[1] for row in LAYERS if source.startswith(row[0])), None)
        if allowed is None:
            return None                     # programs that stand alone
        return None if fits(own, allowed) else f'"{own}" is of a layer that this one may not see'
    for pattern, places in LIBRARIES:
        if re.fullmatch(pattern, system):
            return None if fits(source, places) else f"<{system}> belongs to {' '.join(places)}"
    if source.startswith("tests/") or LIBC.fullmatch(system):
        return None
    return f"<{system}> is of a library that this test does not know: add a row to LIBRARIES"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    root = pathlib.Path(sys.argv[1]).resolve()
    passed = failed = 0
    for folder in ("proto", "backends", "daemon", "client", "tests"):
        for path in sorted((root / folder).rglob("*.[ch]")):
            source = path.relative_to(root).as_posix()
            for number, line in enumerate(path.read_text().splitlines(), 1):
                match = INCLUDE.match(line)
                if not match:
                    continue
                wrong = fault(root, source, match[2], match[3])
                passed += wrong is None
                failed += wrong is not None
                if wrong:
                    print(f"{source}:{number}: {wrong}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
