"""What of the runtime's machine code comes from where: a measure of what compiling it costs.

    cargo rustc -p castnet --lib -- -C symbol-mangling-version=v0
    python benches/code_size.py target/debug/libcastnet.rlib

Symbols are those of the newer mangling, which names the types that a function is generic over: a kernel that was compiled for an
instruction set counts for the module that its type is of. Needs `nm` of binutils 2.37 or later.
"""

import collections
import re
import subprocess
import sys


def module(name, depth):
    """The first module of a symbol that is no part of the instruction sets."""
    for path in re.findall(r"castnet::((?:[a-z_0-9]+::)+)", name):
        parts = path.rstrip(":").split("::")
        if parts[0] != "simd":
            return "::".join(parts[:depth])
    return "other crates and the standard library"


def main():
    depth = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    lines = subprocess.run(["nm", "-S", "-C", sys.argv[1]], capture_output=True, text=True, check=True).stdout.splitlines()
    sizes, counts = collections.Counter(), collections.Counter()
    for line in lines:
        fields = line.split(" ", 3)
        # Address, size, kind, name: functions alone.
        if len(fields) == 4 and fields[2] in "tTwW":
            key = module(fields[3], depth)
            sizes[key] += int(fields[1], 16)
            counts[key] += 1
    total = sum(sizes.values())
    print(f"{total / 1024:8.0f} KiB {sum(counts.values()):6} functions")
    for key, size in sizes.most_common(30):
        print(f"{size / 1024:8.0f} KiB {counts[key]:6}  {100 * size / total:4.1f} %  {key}")


main()
