#!/usr/bin/env python3
"""Boots the machine's disk, again and again, and sums up what the tests inside say.

usage: boots.py FOLDER [BOOT…]     FOLDER has disk, vmlinuz and initrd; each boot leaves FOLDER/BOOT.log

What surprises: the tests speak through the second serial port, a line each, and may ask for a power cut,
which is a SIGKILL for QEMU: what the machine had not yet written to its disk is lost. (cache=unsafe changes
nothing of that: what QEMU has written, this machine keeps.)
"""
import os
import resource
import select
import signal
import subprocess
import sys
import time

PATIENCE = 1800			# seconds without a word after which a machine hangs: a net, no measure

# Each name is a boot of the one disk; inside/machine.py knows what it tries.
BOOTS = ["first", "again", "cut-middle", "cut-committed", "cut-answered", "last"]	# and, when asked for, cut-early


class Machine:
	def __init__(self, folder, boot):
		def path(name):
			return os.path.join(folder, name)

		self.boot, self.log = boot, path(f"{boot}.log")
		self.process = subprocess.Popen(["qemu-system-x86_64",
			"-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2048", "-no-reboot",
			"-display", "none", "-monitor", "none", "-nic", "none", "-device", "virtio-rng-pci",
			"-serial", f"file:{self.log}", "-serial", "stdio",
			"-kernel", path("vmlinuz"), "-initrd", path("initrd"),
			"-drive", f"file={path('disk')},if=virtio,format=raw,cache=unsafe",
			"-append", "root=/dev/vda rw console=ttyS0 quiet panic=-1 mitigations=off "
				   f"systemd.journald.forward_to_console=1 vnoded.boot={boot}"],
			stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
		self.data = b""

	def line(self):
		"""The next line of the tests, None when the machine is off."""
		while b"\n" not in self.data:
			if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
				raise TimeoutError(f"nothing is heard of the machine for {PATIENCE} s")
			block = os.read(self.process.stdout.fileno(), 4096)
			if not block:
				return None
			self.data += block
		line, self.data = self.data.split(b"\n", 1)
		return line.decode(errors="replace").rstrip("\r")

	def cut_power(self):
		self.process.kill()
		self.process.wait()


def follow(machine):
	"""Runs a machine to its end. Returns how many of its tests passed and failed."""
	counts, is_complete = {"pass": 0, "FAIL": 0}, False
	try:
		while (line := machine.line()) is not None:
			word = line.split(" ", 1)[0]
			if word in counts:
				counts[word] += 1
			if line in ("cut", "end"):
				is_complete = True
			if line == "cut":
				machine.cut_power()
			elif line != "end":
				print(f"  {line}", flush=True)
		machine.process.wait()
	except TimeoutError as error:
		print(f"  FAIL {machine.boot}: {error}")
	finally:
		machine.cut_power()
	if not is_complete:
		print(f"  FAIL {machine.boot}: the machine ended before its tests; see {machine.log}")
		counts["FAIL"] += 1
	return counts["pass"], counts["FAIL"]


def processor_seconds():
	used = resource.getrusage(resource.RUSAGE_CHILDREN)
	return used.ru_utime + used.ru_stime


def main():
	folder, names = sys.argv[1], sys.argv[2:] or BOOTS
	signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))	# not without the machine's end
	passed = failed = 0
	for boot in names:
		begin, used = time.monotonic(), processor_seconds()
		print(f"machine: boot '{boot}'", flush=True)
		good, bad = follow(Machine(folder, boot))
		passed, failed = passed + good, failed + bad
		print(f"machine: boot '{boot}': {good} passed, {bad} bad, {time.monotonic() - begin:.0f} s "
		      f"({processor_seconds() - used:.0f} s of processors)", flush=True)
	print(f"{passed} passed, {failed} failed")
	return 1 if failed or not passed else 0


if __name__ == "__main__":
	sys.exit(main())
