"""Frames as root of a guest could make them, sent from inside its namespaces; and who sees them.

Each frame ends in its name in angle brackets: whatever became of its head, a receiver knows which it is.
"""
import ipaddress
import json
import socket
import struct
import subprocess

from lab.client import PATIENCE

EVERYONE = "ff:ff:ff:ff:ff:ff"
STRANGER = "02:66:66:66:66:66"

# Reads ["interface", [hex, …]] and sends each, from one processor: each has a queue of its own, and order is wanted.
SEND = """
import json, os, socket, sys
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
interface, frames = json.load(sys.stdin)
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((interface, 0))
for frame in frames:
	s.send(bytes.fromhex(frame))
"""

# Says when it listens, then which names came before <end>.
LISTEN = """
import json, re, socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
s.bind((sys.argv[1], 0))
s.settimeout(float(sys.argv[2]))
print("listening", flush=True)
seen = []
while "end" not in seen:
	found = re.search(rb"<([^<>]+)>$", s.recv(65536))
	if found:
		seen.append(found.group(1).decode())
print(json.dumps(seen))
"""


def enter(pid):
	"""What puts a program where a guest's root would run it; pid None: the host itself."""
	return ["nsenter", "-t", str(pid), "-U", "-n"] if pid else []


def send(pid, interface, frames):
	"""frames: {name: bytes without the name}."""
	whole = [(frame + f"<{name}>".encode()).hex() for name, frame in frames.items()]
	done = subprocess.run([*enter(pid), "python3", "-c", SEND], input=json.dumps([interface, whole]), text=True,
			      capture_output=True, timeout=PATIENCE)
	assert done.returncode == 0, done.stderr


class Listener:
	def __init__(self, pid, interface):
		self.process = subprocess.Popen([*enter(pid), "python3", "-c", LISTEN, interface, str(PATIENCE)], text=True,
						stdout=subprocess.PIPE)
		assert self.process.stdout.readline() == "listening\n"

	def seen(self):
		"""The names of all frames until <end>."""
		out = self.process.communicate(timeout=PATIENCE)[0]
		assert self.process.returncode == 0, "the last frame never came"
		return set(json.loads(out)) - {"end"}


# ---- making them ----

def mac(text):
	return bytes.fromhex(text.replace(":", ""))


def ether(source, kind, rest=b"", to=EVERYONE):
	return mac(to) + mac(source) + struct.pack("!H", kind) + rest


def tagged(frame, protocol, number):
	return frame[:12] + struct.pack("!HH", protocol, number) + frame[12:]


def arp(source, operation, sender_mac, sender, target):
	return ether(source, 0x0806, struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + mac(sender_mac) +
		     socket.inet_aton(sender) + bytes(6) + socket.inet_aton(target))


def ip4(source, sender, ports=(5000, 5001), to="255.255.255.255"):
	body = struct.pack("!HHHH", *ports, 8, 0)	# the name behind it counts as padding
	head = struct.pack("!BBHHHBBH", 0x45, 0, 28, 0, 0, 64, 17, 0) + socket.inet_aton(sender) + socket.inet_aton(to)
	total = sum(struct.unpack("!10H", head))
	total = (total & 0xffff) + (total >> 16)
	return ether(source, 0x0800, head[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xffff) + head[12:] + body)


def ip6(source, sender, following, body, to="ff02::1"):
	return ether(source, 0x86dd, struct.pack("!IHBB", 6 << 28, len(body), following, 255) +
		     ipaddress.ip_address(sender).packed + ipaddress.ip_address(to).packed + body)


def icmp6(source, sender, kind, about=None):
	return ip6(source, sender, 58, struct.pack("!BBHI", kind, 0, 0, 0) +
		   (ipaddress.ip_address(about).packed if about else b""))


def link_local(text):
	m = mac(text)
	return str(ipaddress.ip_address(bytes([0xfe, 0x80, 0, 0, 0, 0, 0, 0, m[0] ^ 2, m[1], m[2], 0xff, 0xfe, *m[3:]])))
