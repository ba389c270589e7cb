#!/usr/bin/env python3
"""The whole of vnoded on a real machine: tests/host/env python3 tests/host/lab_suite.py --build FOLDER [CASE…]

Each function of tests/host/lab/case_*.py whose name begins with case_ is a case; it gets the build.
The last line tells how many passed; the exit status is 0 when all did.
"""
import argparse
import glob
import importlib
import os
import subprocess
import sys
import time
import traceback

sys.dont_write_bytecode = True
here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
from lab.world import BASE, Build  # noqa: E402




def find_cases(words):
    cases = []
    for path in sorted(glob.glob(os.path.join(here, "lab/case_*.py"))):
        module = importlib.import_module("lab." + os.path.basename(path)[:-3])
        cases += [function for name, function in vars(module).items()
                  if name.startswith("case_") and function.__module__ == module.__name__]
    return [case for case in cases if not words or any(word.replace(" ", "_") in case.__name__ for word in words)]


def run_case(case, build):
    begin = time.monotonic()
    name = case.__name__[5:].replace("_", " ")
    try:
        case(build)
    except BaseException as error:
        traceback.print_exc(file=sys.stdout)
        print(f"FAIL {name}: {error}", flush=True)
        if isinstance(error, KeyboardInterrupt):
            raise
        return False
    print(f"pass {name} ({time.monotonic() - begin:.1f} s)", flush=True)
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, help="build folder of meson")
    parser.add_argument("--share", default="1/1", metavar="I/N", help="the Ith of N shares, for runs beside each other")
    parser.add_argument("cases", nargs="*", help="only cases whose name contains one of these words")
    options = parser.parse_args()
    os.makedirs(BASE)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", BASE], check=True)
    build = Build(os.path.abspath(options.build), os.path.dirname(os.path.dirname(here)))
    share, shares = map(int, options.share.split("/"))
    results = [run_case(case, build) for case in find_cases(options.cases)[share - 1::shares]]
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
