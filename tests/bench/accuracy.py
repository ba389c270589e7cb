#!/usr/bin/env python3
"""What shapes do to packets, beside what they were asked to: rate, one-way delay and loss, each direction by itself.

usage: accuracy.py [--vnodectl PROGRAM] [--socket PATH] [--run-dir FOLDER] [--image NAME] [--most RATE] [--only WORD] [--write FILE]

Works on any running vnoded with an image, and needs nothing but python3 and vnodectl, so that it also runs inside the
emulated machine, whose kernel has netem. tests/bench/run accuracy runs it in the host suite's surroundings. Prints;
fails nothing. --write puts the table into FILE, in place of the one made on the same kind of kernel before.

What surprises: it shares no code with lan.probe, which it is meant to be a check on. Its frames are raw Ethernet (type
0x88B6) between two processes in the network namespaces of two vnodes; times are the receiving kernel's stamps.
"""
import argparse
import ctypes
import json
import math
import multiprocessing
import os
import re
import select
import socket
import statistics
import struct
import subprocess
import sys
import time

ETHERTYPE = 0x88B6
SO_TIMESTAMPNS, SO_RCVBUFFORCE, SO_SNDBUFFORCE, CLONE_NEWNET = 35, 33, 32, 0x40000000
HEAD = struct.Struct("!IIq")		# run, number, time of sending
Z = 2.5758				# of the two-sided 99 % interval
FULL, SMALL = 1514, 60			# bytes of a frame
RATE_SECONDS, RATE_FRAMES, PROBES, STEP = 10, 200, 320, 0.01
TOPOLOGY = "accuracy"
UNITS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}
TIMES = {"us": 1e-6, "ms": 1e-3, "s": 1}

# layout, shape from a to b, shape from b to a. On a link both sit on the ports' egress; in a LAN of three the first is
# a's "to", on an IFB, and the second a's "from", on its port's egress.
SHAPES = [
	("link", {"rate": "100kbit"}, {"rate": "250kbit"}),
	("link", {"rate": "1Mbit"}, {"rate": "2Mbit"}),
	("lan", {"rate": "500kbit"}, {"rate": "5Mbit"}),
	("link", {"rate": "10Mbit"}, {"rate": "20Mbit"}),
	("lan", {"rate": "20Mbit"}, {"rate": "8Mbit"}),
	("link", {"rate": "50Mbit"}, {"rate": "100Mbit"}),
	("lan", {"rate": "100Mbit"}, {"rate": "50Mbit"}),
	("link", {"rate": "200Mbit"}, {"rate": "150Mbit"}),
	("lan", {"rate": "150Mbit"}, {"rate": "200Mbit"}),
	("link", {"delay": "250us"}, {"delay": "1ms"}),
	("link", {"delay": "5ms"}, {"delay": "20ms"}),
	("lan", {"delay": "10ms"}, {"delay": "40ms"}),
	("link", {"delay": "100ms"}, {"delay": "20ms", "jitter": "5ms"}),
	("link", {"loss": "1%"}, {"loss": "5%"}),
	("lan", {"loss": "0.5%"}, {"loss": "10%"}),
	("link", {"loss": "2%", "loss_correlation": "50%"}, {"loss": "10%", "loss_correlation": "25%"}),
	("link", {"rate": "2Mbit", "delay": "10ms", "loss": "1%"}, {"rate": "10Mbit", "delay": "25ms"}),
	("lan", {"rate": "4Mbit", "delay": "5ms", "loss": "2%"}, {"rate": "1Mbit", "delay": "50ms"}),
]
IMPAIRMENTS = "delay", "jitter", "loss", "loss_correlation"


def bits(text):
	number, unit = re.fullmatch(r"([\d.]+)([kMG]?)bit", text).groups()
	return float(number) * UNITS[unit]


def seconds(text):
	number, unit = re.fullmatch(r"([\d.]+)([mu]?s)", text or "0s").groups()
	return float(number) * TIMES[unit]


def share(text):
	return float((text or "0%").rstrip("%")) / 100


# ---- frames ----

class Place:
	"""An interface inside a vnode's network namespace."""

	def __init__(self, pin, interface):
		self.pin, self.interface = pin, interface

	def enter(self):
		"""A raw socket on it; the calling process stays there."""
		with open(self.pin) as file:
			if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
				raise OSError(ctypes.get_errno(), "setns")
		raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE))
		raw.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
		raw.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
		raw.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 32 << 20)
		raw.bind((self.interface, ETHERTYPE))
		os.nice(-20)		# this bench is not about the processor
		return raw


def receive(place, run, pipe):
	"""In a process of its own: [(number, sent ns, arrived ns)] until told to end."""
	raw, found = place.enter(), []
	pipe.send(raw.getsockname()[4])
	while True:
		ready = select.select([raw, pipe], [], [])[0]
		if raw not in ready:
			break
		for _ in range(256):
			try:
				data, ancillary, _, _ = raw.recvmsg(64, 64, socket.MSG_DONTWAIT)
			except BlockingIOError:
				break
			its, number, sent = HEAD.unpack_from(data, 14)
			second, nano = struct.unpack("qq", ancillary[0][2])
			if its == run:
				found.append((number, sent, second * 10**9 + nano))
	pipe.send(found)


class Vector(ctypes.Structure):
	_fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]


class Header(ctypes.Structure):
	_fields_ = [("name", ctypes.c_void_p), ("name_size", ctypes.c_uint), ("vector", ctypes.POINTER(Vector)),
		    ("n_vectors", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_size", ctypes.c_size_t),
		    ("flags", ctypes.c_int)]


class Message(ctypes.Structure):
	"""struct mmsghdr: Python's own send() is too slow for 200 Mbit/s beside a receiver."""
	_fields_ = [("header", Header), ("sent", ctypes.c_uint)]


class Batch:
	"""Frames that differ in their numbers, sent with one system call."""

	def __init__(self, raw, head, size, most=64):
		self.raw, self.libc = raw, ctypes.CDLL(None, use_errno=True)
		self.buffers = [ctypes.create_string_buffer(head + bytes(size - len(head)), size) for _ in range(most)]
		self.vectors = [Vector(ctypes.addressof(buffer), size) for buffer in self.buffers]
		self.messages = (Message * most)(*(Message(Header(vector=ctypes.pointer(vector), n_vectors=1)) for vector in self.vectors))

	def send(self, run, first, count):
		"""How many of them left; fewer where a queue is full."""
		count = min(count, len(self.buffers))
		for i in range(count):
			HEAD.pack_into(self.buffers[i], 14, run, first + i, time.time_ns())
		return max(0, self.libc.sendmmsg(self.raw.fileno(), self.messages, count, socket.MSG_DONTWAIT))


def send(place, to, run, size, count, interval, lead, ends, pipe):
	"""In a process of its own: frames at a pace, the first `lead` at once. How many, in what time."""
	raw = place.enter()
	batch = Batch(raw, to + raw.getsockname()[4] + struct.pack("!H", ETHERTYPE), size)
	begin, sent = time.monotonic(), 0
	while sent < count and time.monotonic() - begin < ends:
		due = int((time.monotonic() - begin) / interval) + 1 + lead - sent
		if due > 0:
			sent += batch.send(run, sent, min(due, count - sent))
		else:
			time.sleep(max(begin + (sent - lead) * interval - time.monotonic(), 3e-4))
	pipe.send((sent, time.monotonic() - begin))


def exchange(source, sink, size, count, interval, lead=0, ends=600.0, linger=1.0):
	"""Frames sent, the time it took, and what arrived."""
	context, run = multiprocessing.get_context("fork"), int.from_bytes(os.urandom(4), "big")
	ours, theirs = context.Pipe()
	receiver = context.Process(target=receive, args=(sink, run, theirs))
	receiver.start()
	to = ours.recv()
	mine, its = context.Pipe()
	sender = context.Process(target=send, args=(source, to, run, size, count, interval, lead, ends, its))
	sender.start()
	sent, took = mine.recv()
	time.sleep(linger)
	ours.send("end")
	found = ours.recv()
	sender.join()
	receiver.join()
	return sent, took, found


# ---- quantities ----

def measure_rate(source, sink, shape):
	"""Layer-2 bits a second behind the bucket, over at least so many full frames and so long."""
	rate = bits(shape["rate"])
	gap = FULL * 8 / (1.25 * rate / (1 - share(shape.get("loss"))))
	lasts = max(1.05 * RATE_SECONDS, 1.1 * RATE_FRAMES * FULL * 8 / rate) + 0.5
	lead = 4 + int(0.02 * rate / 8 / FULL)
	sent, took, found = exchange(source, sink, FULL, 10**9, gap, lead, lasts, 0.2 + seconds(shape.get("delay")))
	times = sorted(arrived for _, _, arrived in found)[2 * lead:]
	if len(times) < 2:
		return {"measured": 0, "sample": f"{len(found)} frames"}
	span = (times[-1] - times[0]) / 1e9
	return {"measured": (len(times) - 1) * FULL * 8 / span, "offered": sent * FULL * 8 / took,
		"sample": f"{len(times):,} frames, {span:.1f} s"}


def delays(source, sink, wanted=0.0):
	_, _, found = exchange(source, sink, SMALL, PROBES, STEP, linger=0.3 + 2 * wanted)
	return sorted((arrived - sent) / 1e9 for _, sent, arrived in found)


def percentile(ordered, part):
	return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def measure_loss(source, sink, shape):
	pace = min(1000, bits(shape["rate"]) / (2 * SMALL * 8)) if shape.get("rate") else 1000
	sent, _, found = exchange(source, sink, SMALL, int(pace * RATE_SECONDS), 1 / pace,
				  linger=0.5 + 2 * seconds(shape.get("delay")))
	return sent, len({number for number, _, _ in found})


def wilson(hits, count, correlation=0.0):
	"""The 99 % interval of a share; a chain of correlated trials tells less."""
	n, part = count * (1 - correlation) / (1 + correlation), hits / count
	middle = (part + Z * Z / (2 * n)) / (1 + Z * Z / n)
	reach = Z * math.sqrt(part * (1 - part) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
	return max(0, middle - reach), min(1, middle + reach)


# ---- rows ----

def show_bits(value):
	return f"{value / 1e3:,.2f} kbit/s" if value < 1e6 else f"{value / 1e6:,.3f} Mbit/s"


def rate_row(source, sink, shape, bare):
	wanted, found = bits(shape["rate"]), measure_rate(source, sink, shape)
	off = found["measured"] / wanted - 1
	if found.get("offered", 0) < 1.02 * wanted:
		found["sample"] += f", only {show_bits(found.get('offered', 0))} offered"
	return {"quantity": "rate", "wanted": show_bits(wanted), "measured": show_bits(found["measured"]),
		"off": f"{100 * off:+.2f} %", "target": "±3 %", "met": abs(off) <= 0.03, "sample": found["sample"]}


def delay_row(source, sink, shape, bare):
	wanted = seconds(shape["delay"])
	found = delays(source, sink, wanted)
	if not found:
		return {"quantity": "delay", "wanted": f"{1e3 * wanted:.3f} ms", "measured": "nothing arrived", "off": "",
			"target": "", "met": False, "sample": "0 probes"}
	measured, target = statistics.median(found) - statistics.median(bare), 3e-4 + 0.01 * wanted
	return {"quantity": "delay", "wanted": f"{1e3 * wanted:.3f} ms", "measured": f"{1e3 * measured:.3f} ms",
		"off": f"{1e3 * (measured - wanted):+.3f} ms", "target": f"±{1e3 * target:.3f} ms",
		"met": abs(measured - wanted) <= target, "sample": f"{len(found)} probes, bare {1e3 * statistics.median(bare):.3f} ms, "
		f"its 99 % {1e3 * percentile(bare, 0.99):.3f} ms"}


def loss_row(source, sink, shape, bare):
	wanted = share(shape["loss"])
	sent, arrived = measure_loss(source, sink, shape)
	low, high = wilson(sent - arrived, sent, share(shape.get("loss_correlation")))
	return {"quantity": "loss", "wanted": f"{100 * wanted:.2f} %", "measured": f"{100 * (1 - arrived / sent):.2f} %",
		"off": "", "target": f"{100 * low:.2f} to {100 * high:.2f} %", "met": low <= wanted <= high,
		"sample": f"{sent:,} frames"}


ROWS = {"rate": rate_row, "delay": delay_row, "loss": loss_row}
COLUMNS = {"place": "where", "shape": "shape", "quantity": "quantity", "wanted": "wanted", "measured": "measured", "off": "off by",
	   "target": "allowed, or 99 % interval", "met": "met", "sample": "sample"}


class Bench:
	def __init__(self, vnodectl, run_dir, image, most=1e12, only=""):
		self.vnodectl, self.run_dir, self.most, self.only = vnodectl, run_dir, most, only
		self.vnodes = {name: {"image": image, "memory": "32MiB", "control": False} for name in "abc"}
		self.rows = []

	def ask(self, *words, fails=False):
		done = subprocess.run([*self.vnodectl, "-o", "json", *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
		if done.returncode and not fails:
			raise RuntimeError(f"{' '.join(words)}: {done.stderr}")
		return done

	def missing(self):
		return " ".join(json.loads(self.ask("info").stdout)["missing"])

	def apply(self):
		document = {"topology": TOPOLOGY, "vnodes": self.vnodes, "lans": {
			"link": {"members": {name: {"address": f"10.77.0.{i}/24"} for i, name in enumerate("ab", 1)}},
			"lan": {"members": {name: {"address": f"10.78.0.{i}/24"} for i, name in enumerate("abc", 1)}}}}
		path = f"/tmp/{TOPOLOGY}-{os.getpid()}.json"
		with open(path, "w") as file:
			json.dump(document, file)
		try:
			self.ask("apply", path)
		finally:
			os.unlink(path)

	def places(self, lan):
		members = json.loads(self.ask("lan", "show", f"{TOPOLOGY}/{lan}").stdout)["members"]
		return {row["vnode"]: Place(os.path.join(self.run_dir, "netns", f"vnoded-{row['vmid']}"), row["interface"])
			for row in members}

	def shape(self, lan, member, side, shape):
		words = [f"{key}={value}" for key, value in shape.items()] or ["shape="]
		more = ["--from"] if side == "from" else []
		self.ask("lan", "set", f"{TOPOLOGY}/{lan}", "--member", member, *more, "shape=")
		self.ask("lan", "set", f"{TOPOLOGY}/{lan}", "--member", member, *more, *words)

	def is_possible(self, *shapes):
		fast = any(bits(shape.get("rate", "0bit")) > self.most for shape in shapes)
		return not fast and not (self.no_netem and any(key in shape for shape in shapes for key in IMPAIRMENTS))

	def direction(self, place, source, sink, shape, bare):
		for quantity, function in ROWS.items():
			if quantity not in shape:
				continue
			row = {"place": place, "shape": " ".join(shape[key] if key in ("rate", "delay") else f"{key} {shape[key]}"
								 for key in shape), **function(source, sink, shape, bare)}
			self.rows.append(row)
			print(f"  {row['place']:<16}{row['shape']:<34}{quantity:<7}{row['measured']:>16} {row['off']:>10}"
			      f"  {'met' if row['met'] else 'MISSED'} ({row['target']}; {row['sample']})", flush=True)

	def run(self):
		self.no_netem = "netem" in self.missing()
		self.apply()
		try:
			for layout, there, back in SHAPES:
				if not self.is_possible(there, back) or self.only not in layout + str(there) + str(back):
					continue
				places, sides = self.places(layout), ("to", "to") if layout == "link" else ("to", "from")
				owners = "ab" if layout == "link" else "aa"
				for owner, side in zip(owners, sides):
					self.shape(layout, owner, side, {})
				a, b = places["a"], places["b"]
				bare = {way: delays(*pair) for way, pair in (("there", (a, b)), ("back", (b, a)))
					if "delay" in {**there, **back}}
				for owner, side, shape in zip(owners, sides, (there, back)):
					self.shape(layout, owner, side, shape)
				self.direction(f"{layout}, {owners[0]}.{sides[0]}", a, b, there, bare.get("there"))
				self.direction(f"{layout}, {owners[1]}.{sides[1]}", b, a, back, bare.get("back"))
				for owner, side in zip(owners, sides):
					self.shape(layout, owner, side, {})
		finally:
			self.ask("delete", TOPOLOGY, fails=True)
		met = sum(row["met"] for row in self.rows)
		print(f"  {met} of {len(self.rows)} rows within their targets")
		return self

	def table(self):
		lines = ["| " + " | ".join(COLUMNS.values()) + " |", "|" + "---|" * len(COLUMNS)]
		for row in self.rows:
			cells = {**row, "met": "yes" if row["met"] else "**no**"}
			lines.append("| " + " | ".join(cells[key] for key in COLUMNS) + " |")
		return "\n".join(lines)

	def write(self, path):
		"""Puts the table into its section: with netem or without."""
		release = ".".join(os.uname().release.split(".")[:2])
		name = "tbf" if self.no_netem else "netem"
		text = (f"<!-- {name} -->\nLinux {release}, {os.cpu_count()} processors"
			f"{', a kernel without netem' if self.no_netem else ''}.\n\n{self.table()}\n<!-- end of {name} -->")
		with open(path) as file:
			old = file.read()
		new, count = re.subn(rf"<!-- {name} -->.*<!-- end of {name} -->", lambda _: text, old, flags=re.S)
		if not count:
			raise RuntimeError(f"{path} has no section '{name}'")
		with open(path, "w") as file:
			file.write(new)


def main():
	parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	parser.add_argument("--vnodectl", default="vnodectl")
	parser.add_argument("--socket", default="/run/vnoded/vnoded.sock")
	parser.add_argument("--run-dir", default="/run/vnoded")
	parser.add_argument("--image", default="busybox")
	parser.add_argument("--most", type=bits, default=1e12, help="leave out higher rates, such as 20Mbit")
	parser.add_argument("--only", default="", help="only shapes in whose text this is")
	parser.add_argument("--write", help="the file whose table is replaced: docs/accuracy.md")
	options = parser.parse_args()
	bench = Bench([options.vnodectl, "--socket", options.socket], options.run_dir, options.image, options.most, options.only).run()
	if options.write:
		bench.write(options.write)


if __name__ == "__main__":
	sys.exit(main())
