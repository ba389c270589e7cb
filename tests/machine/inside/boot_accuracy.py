"""What shapes do to packets where the kernel has all of them: the second table of docs/accuracy.md, which is kept."""
import subprocess
import sys

from machine import add_image

PAGE = "/opt/machine/accuracy.md"


def case_accuracy(m):
	add_image(m.client())
	done = subprocess.Popen([sys.executable, "-u", "/opt/machine/accuracy.py", "--most", "20Mbit", "--write", PAGE],
				stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
	last = ""
	for last in done.stdout:
		m.say(last.rstrip())
	assert done.wait() == 0, last
	with open(PAGE) as file:
		for line in file:
			m.say(f"keep accuracy.md {line.rstrip()}")
	return last.strip()
