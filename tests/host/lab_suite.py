#!/usr/bin/env python3
"""The whole of vnoded on a real machine: tests/host/env python3 tests/host/lab_suite.py --build FOLDER [CASE…]

Each function of tests/host/lab/case_*.py whose name begins with case_ is a case; it gets the build. A case
that failed is tried once more at the end, since a real machine is beside it; passed then, it counts as passed
and is named unsteady. One whose vnoded has crashed is not. The last line tells how many passed; the exit status is 0 when all did.
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
from lab.world import BASE, Build, Crash  # noqa: E402


def find_cases(words):
    cases = []
    for path in sorted(glob.glob(os.path.join(here, "lab/case_*.py"))):
        module = importlib.import_module("lab." + os.path.basename(path)[:-3])
        cases += [function for name, function in vars(module).items()
                  if name.startswith("case_") and function.__module__ == module.__name__]
    return [case for case in cases if not words or any(word.replace(" ", "_") in case.__name__ for word in words)]


def name_of(case):
    return case.__name__[5:].replace("_", " ")


def run_case(case, build):
    """None, or what it failed by."""
    begin = time.monotonic()
    try:
        case(build)
    except Exception as error:
        traceback.print_exc(file=sys.stdout)
        print(f"bad  {name_of(case)}: {error}", flush=True)
        return error
    print(f"pass {name_of(case)} ({time.monotonic() - begin:.1f} s)", flush=True)
    return None


def why(error):
    """In one line."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(f"{type(error).__name__} {error}".split())
    return f"{os.path.basename(last.filename)}:{last.lineno}: {last.line}: {text}"


def run_cases(cases, build):
    """How many failed, twice."""
    failed = 0
    for case, error in [(case, error) for case in cases if (error := run_case(case, build))]:
        if isinstance(error, Crash) or run_case(case, build):
            print(f"FAIL {name_of(case)}: {why(error)}")
            failed += 1
        else:
            print(f"unsteady: {name_of(case)}: {why(error)}")
    return failed


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
    cases = find_cases(options.cases)[share - 1::shares]
    failed = run_cases(cases, build)
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 0 if cases and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
