#!/usr/bin/env python3
"""Runs tests of a build folder through meson and says what each counted.

usage: run.py BUILD SUITE [--only NAME,...] [--alone [--beside NAME,...]] [--again] [--wrapper COMMAND]
              [--tally FILE] [--notes FILE] [--label WORD]
  --only     these tests of the suite
  --alone    one test at a time, and show each when it has ended
  --beside   but beside them these, one at a time too: they share nothing with the others
  --again    a failed assertion is tried once more: passed then, it is counted as passed and named unsteady
  --wrapper  run the test programs through a command
  --tally    add "PASSED FAILED" to this file, for a sum over several runs
  --notes    add a line to this file for each that failed or was unsteady

What surprises: a program's own counts are believed only if it also ended well. One that dies, hangs or
prints no counts adds one failure.
"""
import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import threading

CHECK = re.compile(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)", re.M)
PLAIN = re.compile(r"(?:^|\s)(\d+) passed, (\d+) failed$", re.M)
# How check, and our own suites, name what failed: an assertion (F), or a program that died or hung (E).
FAILED = re.compile(r"^(?:\S+:\d+:(?P<kind>[FE]):(?P<group>[^:]*):(?P<case>.*)|FAIL:? (?P<plain>.*))$", re.M)
UNSTEADY = re.compile(r"^(unsteady: .*)$", re.M)


def counts(text, is_good):
	"""What a program printed about itself, as (passed, failed)."""
	passed = failed = 0
	for checks, failures, errors in CHECK.findall(text):
		bad = int(failures) + int(errors)
		passed, failed = passed + int(checks) - bad, failed + bad
	for good, bad in PLAIN.findall(text):
		passed, failed = passed + int(good), failed + int(bad)
	if is_good and passed + failed == 0:
		passed = 1
	if not is_good and failed == 0:
		failed = 1
	return passed, failed


class Test:
	def __init__(self, row, files):
		self.name = row["name"]
		self.suites = [suite.split(":")[-1] for suite in row["suite"]]
		self.files = [file for target in row["depends"] for file in files[target]]


def introspect(build, what):
	return json.loads(subprocess.check_output(["meson", "introspect", "--" + what, build]))


def tests_of(build, suite, only):
	files = {row["id"]: [os.path.relpath(file, build) for file in row["filename"]]
		for row in introspect(build, "targets")}
	tests = [Test(row, files) for row in introspect(build, "tests")]
	tests = [test for test in tests if suite in test.suites and (not only or test.name in only)]
	missing = set(only) - {test.name for test in tests}
	if not tests or missing:
		sys.exit("run.py: no tests %s in suite '%s' of %s" % (", ".join(sorted(missing)) or "at all", suite, build))
	return tests


def compile_tests(build, tests):
	"""Only what these tests run: a build with sanitizers cannot link the static programs."""
	targets = sorted({file for test in tests for file in test.files})
	if not targets:
		return
	result = subprocess.run(["ninja", "-C", build] + targets, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
		text=True)
	if result.returncode != 0:
		sys.exit("run.py: cannot build %s:\n%s" % (build, result.stdout))


def run(build, suite, tests, options, **env):
	"""Runs meson once; returns its records by name."""
	base = os.path.join(build, "meson-logs", "run-%d-%s." % (os.getpid(), tests[0].name))
	command = ["meson", "test", "-C", build, "--no-rebuild", "--suite", suite, "--logbase",
		os.path.basename(base)]
	if options.wrapper:
		command += ["--wrapper", options.wrapper]
	result = subprocess.run(command + [test.name for test in tests], stdout=subprocess.PIPE,
		stderr=subprocess.STDOUT, text=True, env=dict(os.environ, **env))
	log = base + ("-" + os.path.basename(options.wrapper.split()[0]) if options.wrapper else "") + ".json"
	try:
		with open(log) as file:
			records = [json.loads(line) for line in file]
		for name in os.listdir(os.path.dirname(base)):
			if name.startswith(os.path.basename(base)):
				os.unlink(os.path.join(os.path.dirname(base), name))
	except FileNotFoundError:
		records = []
	found = {record["name"].split(" / ")[-1].split(":")[-1].strip(): record for record in records}
	for test in tests:
		found.setdefault(test.name, {"result": "NOT RUN", "duration": 0, "stdout": result.stdout})
	return found


def output(record):
	return record.get("stdout", "") + "\n" + record.get("stderr", "")


def show(label, record, passed, failed):
	print("  %-32s %5d passed, %d failed  (%.1f s)" % (label, passed, failed, record["duration"]))
	if record["result"] == "SKIP":
		print("    skipped: " + record.get("stdout", "").strip().split("\n")[-1])
	elif failed or UNSTEADY.search(output(record)):
		text = record.get("stdout", "") + record.get("stderr", "")
		print("    %s:" % record["result"])
		lines = text.strip().split("\n")
		if len(lines) > 120:
			lines[60:-60] = ["..."]
		print("\n".join("    | " + line for line in lines))
	sys.stdout.flush()


def is_good(record):
	return record["result"] in ("OK", "EXPECTEDFAIL")


def passes_again(build, test, record, options):
	"""Tries the groups of a check program once more in which only assertions failed."""
	found = list(FAILED.finditer(output(record)))
	groups = sorted({match["group"] for match in found if match["kind"] == "F"})
	if not groups or any(match["kind"] != "F" for match in found):
		return False
	return all(is_good(run(build, options.suite, [test], options, CK_RUN_CASE=group)[test.name]) for group in groups)


class Total:
	"""What all tests of a run counted, and a line for each that was not simply good."""

	def __init__(self, build, options):
		self.build, self.options = build, options
		self.passed = self.failed = 0
		self.notes = []

	def add(self, test, record):
		passed, failed = counts(output(record), is_good(record))
		if record["result"] == "SKIP":
			passed, failed = 0, 0
		show(test.name, record, passed, failed)
		notes = UNSTEADY.findall(output(record))
		if failed:
			what = [match["plain"] or match["case"] for match in FAILED.finditer(output(record))]
			is_unsteady = self.options.again and passes_again(self.build, test, record, self.options)
			word = "unsteady" if is_unsteady else "failed"
			notes += ["%s: %s" % (word, line[:400]) for line in what or [record["result"]]]
			if is_unsteady:
				print("    %s: passed when tried again" % test.name)
				passed, failed = passed + failed, 0
		self.notes += ["%s: %s: %s" % (self.options.label or self.options.suite, test.name, note) for note in notes]
		self.passed += passed
		self.failed += failed

	def tell(self):
		options = self.options
		print("%s: %d passed, %d failed" % (options.label or options.suite, self.passed, self.failed))
		if options.tally:
			with open(options.tally, "a") as file:
				file.write("%d %d\n" % (self.passed, self.failed))
		if options.notes:
			with open(options.notes, "a") as file:
				file.writelines(note + "\n" for note in self.notes)


def main():
	parser = argparse.ArgumentParser()
	parser.add_argument("build")
	parser.add_argument("suite")
	parser.add_argument("--only", default="")
	parser.add_argument("--alone", action="store_true")
	parser.add_argument("--beside", default="")
	parser.add_argument("--again", action="store_true")
	parser.add_argument("--wrapper", default="")
	parser.add_argument("--tally")
	parser.add_argument("--notes")
	parser.add_argument("--label", default="")
	options = parser.parse_args()
	build = os.path.realpath(options.build)
	tests = tests_of(build, options.suite, [name for name in options.only.split(",") if name])
	compile_tests(build, tests)
	total, lock = Total(build, options), threading.Lock()

	def work(batches):
		for batch in batches:
			records = run(build, options.suite, batch, options)
			with lock:
				for test in batch:
					total.add(test, records[test.name])

	beside = options.beside.split(",")
	rows = [[tests]]
	if options.alone:
		rows = [[[test] for test in tests if (test.name in beside) == is_beside] for is_beside in (False, True)]
	with concurrent.futures.ThreadPoolExecutor() as pool:
		list(pool.map(work, rows))
	total.tell()
	return 1 if total.failed else 0


if __name__ == "__main__":
	sys.exit(main())
