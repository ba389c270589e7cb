#!/usr/bin/env python3
"""Boots the machine's disk, again and again, and sums up what the tests inside say.

usage: boots.py FOLDER [BOOT…]     FOLDER has disk, vmlinuz and initrd; each boot leaves FOLDER/BOOT.log

Without names all are tried: those that follow each other on the one disk, and beside them those that need
nothing of another, each on a copy of it. One emulated machine does not fill two processors, so two run at a time.

What surprises: the tests speak through the second serial port, a line each, and may ask for a power cut,
which is a SIGKILL for QEMU: what the machine had not yet written to its disk is lost. (cache=unsafe changes
nothing of that: what QEMU has written, this machine keeps.)
"""
import os
import select
import signal
import subprocess
import sys
import threading
import time

PATIENCE = 1800			# seconds without a word after which a machine hangs: a net, no measure

# Each name is a boot; inside/machine.py knows what it tries.
BOOTS = ["first", "again", "cut-middle", "cut-committed", "cut-answered", "last"]
APART = ["networks", "guests"]
# And only when asked for: cut-early, the parts of those apart, and "accuracy", which leaves FOLDER/accuracy.md.
AT_A_TIME = 2


class Machine:
	def __init__(self, folder, disk, boot):
		def path(name):
			return os.path.join(folder, name)

		self.folder, self.boot, self.log, self.kept = folder, boot, path(f"{boot}.log"), set()
		self.process = subprocess.Popen(["qemu-system-x86_64",
			"-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2048", "-no-reboot",
			"-display", "none", "-monitor", "none", "-nic", "none", "-device", "virtio-rng-pci",
			"-serial", f"file:{self.log}", "-serial", "stdio",
			"-kernel", path("vmlinuz"), "-initrd", path("initrd"),
			"-drive", f"file={path(disk)},if=virtio,format=raw,cache=unsafe",
			"-append", "root=/dev/vda rw console=ttyS0 quiet panic=-1 mitigations=off nowatchdog "
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

	def keep(self, name, line=""):
		"""A line of a file that the tests have made."""
		with open(os.path.join(self.folder, name), "a" if name in self.kept else "w") as file:
			file.write(line + "\n")
		self.kept.add(name)

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
			if word == "keep":
				machine.keep(*line.split(" ", 2)[1:])
				continue
			if line in ("cut", "end"):
				is_complete = True
			if line == "cut":
				machine.cut_power()
			elif line != "end":
				print(f"  {machine.boot}: {line}", flush=True)
		machine.process.wait()
	except TimeoutError as error:
		print(f"  {machine.boot}: FAIL {error}")
	finally:
		machine.cut_power()
	if not is_complete:
		print(f"  {machine.boot}: FAIL: the machine ended before its tests; see {machine.log}")
		counts["FAIL"] += 1
	return counts["pass"], counts["FAIL"]


class Chain(threading.Thread):
	"""Boots of one disk, one after the other, each when it is its turn."""

	def __init__(self, folder, disk, names, turns):
		super().__init__()
		self.folder, self.disk, self.names, self.turns = folder, disk, names, turns
		self.machine, self.is_ended, self.passed, self.failed = None, False, 0, 0

	def run(self):
		for boot in self.names:
			with self.turns:
				if self.is_ended:
					return
				self.try_boot(boot)

	def try_boot(self, boot):
		begin = time.monotonic()
		print(f"machine: boot '{boot}'", flush=True)
		self.failed += 1		# until it is over: whatever ends this thread is no success
		self.machine = Machine(self.folder, self.disk, boot)
		good, bad = follow(self.machine)
		self.passed, self.failed = self.passed + good, self.failed - 1 + bad
		print(f"machine: boot '{boot}': {good} passed, {bad} bad, {time.monotonic() - begin:.0f} s", flush=True)

	def end(self):
		self.is_ended = True
		if self.machine:
			self.machine.cut_power()


def main():
	folder, names = sys.argv[1], sys.argv[2:]
	turns = threading.Semaphore(AT_A_TIME)
	chains = [Chain(folder, "disk", names or BOOTS, turns)]
	for boot in [] if names else APART:
		disk = os.path.join(folder, "disk")
		subprocess.run(["cp", "--sparse=always", "--reflink=auto", disk, f"{disk}-{boot}"], check=True)
		chains.append(Chain(folder, f"disk-{boot}", [boot], turns))
	signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
	try:
		for chain in chains:
			chain.start()
		for chain in chains:
			chain.join()
	finally:
		for chain in chains:		# nothing stays behind when this is ended early
			chain.end()
	passed, failed = sum(chain.passed for chain in chains), sum(chain.failed for chain in chains)
	print(f"{passed} passed, {failed} failed")
	return 1 if failed or not passed else 0


if __name__ == "__main__":
	sys.exit(main())
