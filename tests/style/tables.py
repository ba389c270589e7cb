#!/usr/bin/env python3
"""Holds the man pages to the tables. usage: tables.py SOURCE VNODECTL VNODED

Every verb, option, method, parameter, field of an answer, error word, event type and configuration key
has its line in the right page, and nothing is documented there that does not exist. Tables come from
the programs themselves: `vnodectl help --tables` and `vnoded --print config`.
"""
import json
import os
import re
import subprocess
import sys

passed, failed = 0, 0


def check(is_true, sentence):
	global passed, failed
	if is_true:
		passed += 1
	else:
		failed += 1
		print("FAILED " + sentence)


def same(page, kind, documented, known):
	for name in sorted(known):
		check(name in documented, "%s: %s '%s' has no line" % (page, kind, name))
	for name in sorted(documented - known):
		check(False, "%s: there is no %s '%s'" % (page, kind, name))


class Page:
	def __init__(self, folder, name):
		self.name = name
		with open(os.path.join(folder, "docs", name)) as file:
			self.lines = file.read().splitlines()

	def section(self, title):
		"""The lines below a heading, up to the next one of the same or a higher kind."""
		found, level = [], None
		for number, line in enumerate(self.lines):
			after = self.lines[number + 1] if number + 1 < len(self.lines) else ""
			is_heading = line and re.fullmatch(r"([=\-~])\1+", after) and len(after) >= len(line)
			if is_heading and line == title:
				level = after[0]
			elif is_heading and level is not None and "=-~".index(after[0]) <= "=-~".index(level):
				break
			elif level is not None:
				found.append(line)
		check(level is not None, "%s has no section '%s'" % (self.name, title))
		return found

	def terms(self, title, pattern):
		"""First words of the terms (``word`` at the start of a line) in a section."""
		terms = set()
		for line in self.section(title):
			match = re.match(r"``(%s)" % pattern, line)
			if match:
				terms.add(match.group(1))
		return terms

	def description(self, title, term):
		"""The indented text below a term."""
		lines, inside = [], False
		for line in self.section(title):
			if re.match(r"``%s[ `]" % re.escape(term), line):
				inside = True
			elif inside and line and not line.startswith(" "):
				break
			elif inside:
				lines.append(line)
		return "\n".join(lines)


def run(*command):
	return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def check_verbs(folder, tables):
	page = Page(folder, "vnodectl.1.rst")
	verbs = {verb["verb"] for verb in tables["verbs"] if verb["help"]}
	lines = [line for line in page.section("VERBS") if line.startswith("``")]
	documented = set()
	for line in lines:
		found = [verb for verb in verbs if re.match(r"``%s[ `]" % re.escape(verb), line)]
		check(len(found) == 1, "%s: what is %s" % (page.name, line))
		documented.update(found)
	same(page.name, "verb", documented, verbs)
	for verb in tables["verbs"]:
		text = page.description("VERBS", verb["verb"]) if verb["verb"] in documented else ""
		common = {"no-wait", "timeout"} | ({"tables"} if verb["verb"] == "help" else set())
		for option in set(verb["options"]) - common:
			check("``--%s" % option in text, "%s: %s does not tell its option --%s"
			      % (page.name, verb["verb"], option))
		for option in re.findall(r"``--([a-z0-9-]+)", text):
			known = option in verb["options"] or verb["verb"] == "create"
			check(known, "%s: %s has no option --%s" % (page.name, verb["verb"], option))
	reached = {verb["method"] for verb in tables["verbs"]}
	text = page.description("VERBS", "raw")
	for method in tables["methods"]:
		check(method["method"] in reached or "``%s``" % method["method"] in text,
		      "%s: no verb calls %s, and raw does not name it" % (page.name, method["method"]))


def check_protocol(folder, tables):
	page = Page(folder, "vnoded-protocol.7.rst")
	methods = {method["method"] for method in tables["methods"]}
	same(page.name, "method", page.terms("METHODS", r"[a-z]+\.[a-z]+"), methods)
	same(page.name, "error", page.terms("ERRORS", "[a-z_]+"), {error["code"] for error in tables["errors"]})
	same(page.name, "event type", page.terms("EVENTS", "[a-z.]+"), set(tables["events"]))
	states = page.terms("STATES", "[a-z]+")
	same(page.name, "state", states, set(tables["states"]))
	common = {"wait", "timeout_ms", "request_id"}
	for method in tables["methods"]:
		text = page.description("METHODS", method["method"])
		for param in method["params"]:
			known = param in common and "Changes" in text or "``%s``" % param in text
			known = known or method["method"] == "vnode.create" and "fields of a vnode" in text
			check(known, "%s: %s does not tell its parameter '%s'" % (page.name, method["method"], param))
		check("*%s*" % method["role"] in text, "%s: %s does not tell its role" % (page.name, method["method"]))
	check_objects(page, tables)


def check_objects(page, tables):
	fields = {}
	for row in tables["objects"]:
		if row.get("field"):
			fields.setdefault(row["object"], set()).add(row["field"])
	shown = {"vnode": "vnode", "lan": "lan", "member": "member", "image": "image", "job_full": "job",
		 "event": "event", "host": "host", "interface": "interface", "exit": "exit", "topology": "topology",
		 "tunnel": "tunnel"}
	for name, term in shown.items():
		text = page.description("OBJECTS", term)
		for field in sorted(fields.get(name, ())):
			check("``%s``" % field in text, "%s: object %s does not tell '%s'" % (page.name, term, field))


def check_config(folder, vnoded):
	keys = run(vnoded, "--print", "config")
	page = Page(folder, "vnoded.conf.5.rst")
	same(page.name, "key", page.terms("KEYS", "[a-z0-9_]+"), {key["key"] for key in keys})
	for key in keys:
		text = page.description("KEYS", key["key"])
		check(("*(reload)*" in text) == key["reload"], "%s: '%s' says wrongly whether it may be reloaded"
		      % (page.name, key["key"]))
		line = "``%s`` =%s" % (key["key"], " " + key["preset"] if key["preset"] else "")
		check(line in page.lines or key["key"] == "libexec_dir", "%s: no line '%s'" % (page.name, line))


def main():
	folder, vnodectl = sys.argv[1], sys.argv[2]
	tables = run(vnodectl, "help", "--tables")
	check_verbs(folder, tables)
	check_protocol(folder, tables)
	check_config(folder, sys.argv[3])
	print("tables: %d passed, %d failed" % (passed, failed))
	return 1 if failed else 0


if __name__ == "__main__":
	sys.exit(main())
