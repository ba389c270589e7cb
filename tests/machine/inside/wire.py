"""Datagrams from one vnode to another, and what became of each: lost, doubled, altered, overtaken, how late.

What surprises: nothing runs inside the vnodes. A socket belongs to the namespace in which its thread was when
it made it, so both ends are sockets of this process, which share its clock.
"""
import ctypes
import os
import select
import socket
import struct
import threading
import time

CLONE_NEWNET = 0x40000000
SO_NO_CHECK, SO_TIMESTAMPNS, SO_SNDBUFFORCE, SO_RCVBUFFORCE = 11, 35, 32, 33
PORT = 9999
HEAD = struct.Struct("!IQ")		# number of the datagram, time of its sending
BEGIN, END = 0xfffffffe, 0xffffffff	# in the place of a number: marks, which carry nothing
SILENCE = 1.5				# seconds without a datagram after which no more is on its way


def socket_in(pin):
	"""A datagram socket in the namespace that is pinned at a path."""
	made = []

	def make():
		with open(pin) as file:
			if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET) == 0:
				made.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

	thread = threading.Thread(target=make)
	thread.start()
	thread.join()
	return made[0]


class Arrivals:
	"""What came of datagrams 0…sent-1, in the order of coming."""

	def __init__(self, sent):
		self.sent, self.numbers, self.delays, self.times, self.altered = sent, [], [], [], 0

	def take(self, data, at, filler):
		number, began = HEAD.unpack_from(data)
		if data[HEAD.size:] != filler or number >= self.sent:
			self.altered += 1
			return
		self.numbers.append(number)
		self.delays.append((at - began) / 1e6)
		self.times.append(at)

	def lost(self):
		return 1 - (len(set(self.numbers)) + self.altered) / self.sent

	def doubled(self):
		return (len(self.numbers) - len(set(self.numbers))) / self.sent

	def overtakers(self):
		"""The share that came before an earlier one."""
		least, found = END, 0
		for number in reversed(self.numbers):
			found += number > least
			least = min(least, number)
		return found / self.sent

	def median(self):
		return sorted(self.delays)[len(self.delays) // 2]

	def deviation(self):
		mean = sum(self.delays) / len(self.delays)
		return (sum((delay - mean) ** 2 for delay in self.delays) / len(self.delays)) ** 0.5

	def rate(self, frame):
		"""Bits a second of frames of so many bytes, from the first to the last arrival."""
		return 8e9 * frame * (len(self.times) - 1) / (self.times[-1] - self.times[0])


def take_one(receiver, found, filler):
	"""Returns the number of a mark; anything else goes to what is found."""
	data, ancillary, _, _ = receiver.recvmsg(65536, 64)
	at = next(struct.unpack("qq", block) for level, kind, block in ancillary if kind == SO_TIMESTAMPNS)
	if len(data) == HEAD.size:
		return HEAD.unpack(data)[0]
	found.take(data, at[0] * 10**9 + at[1], filler)
	return None


def send_mark(sender, receiver, mark, found, filler):
	"""Sends a mark until it has come: it may be lost too."""
	while True:
		sender.send(HEAD.pack(mark, 0))
		while select.select([receiver], [], [], 0.1)[0]:
			if take_one(receiver, found, filler) == mark:
				return


def send(source, target, address, count=600, size=200):
	"""Sends datagrams between two pinned namespaces to an address of the second. Returns the Arrivals."""
	found, filler = Arrivals(count), os.urandom(size)
	with socket_in(source) as sender, socket_in(target) as receiver:
		receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
		receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
		receiver.bind((address, PORT))
		sender.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
		sender.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 16 << 20)
		sender.connect((address, PORT))
		send_mark(sender, receiver, BEGIN, found, filler)	# the neighbour is known then
		processors = os.sched_getaffinity(0)
		os.sched_setaffinity(0, [min(processors)])	# each has a queue of its own: nothing is to overtake there
		for number in range(count):
			sender.send(HEAD.pack(number, time.time_ns()) + filler)
		os.sched_setaffinity(0, processors)
		send_mark(sender, receiver, END, found, filler)
		while select.select([receiver], [], [], SILENCE)[0]:	# what it has overtaken
			take_one(receiver, found, filler)
	return found
