#!/usr/bin/env python3
"""Holds the pages that are made from tables to those tables. usage: generated.py SOURCE VNODED"""
import os
import subprocess
import sys

PAGES = {"states.md": "states", "fields.md": "fields"}


def main():
	source, vnoded = sys.argv[1:]
	failed = 0
	for page, table in PAGES.items():
		made = subprocess.run([vnoded, "--print", table], stdout=subprocess.PIPE, check=True, text=True).stdout
		path = os.path.join(source, "docs", page)
		kept = open(path).read() if os.path.exists(path) else ""
		if kept != made:
			failed += 1
			print("FAILED docs/%s is not what the table says: vnoded --print %s >docs/%s" % (page, table, page))
	print("generated: %d passed, %d failed" % (len(PAGES) - failed, failed))
	return 1 if failed else 0


if __name__ == "__main__":
	sys.exit(main())
