"""Runs the cases of this boot inside the machine and says what came of them on its second serial port.

The kernel's command line names the boot. Cases of a boot run in the order of its file; a later one may
build on what an earlier one left.
"""
import importlib
import inspect
import ipaddress
import json
import os
import re
import subprocess
import time
import traceback

from lab.client import Client
from lab.world import run

SOCKET = "/run/vnoded/vnoded.sock"
RING = "/etc/vnoded/topologies/ring.json"
STATE = "/var/lib/vnoded"
CONFIGURATION = "/etc/vnoded/vnoded.conf"
NOTES = "/opt/machine/notes.json"		# what one boot tells the next

# The files with the cases of each boot, and when the power goes in the end of its last one: after so many
# events of an apply, or at a moment that has a name.
BOOTS = {
	"first": (["boot_first"], None), "again": (["boot_again", "boot_cut_idle"], "idle"),
	"cut-early": (["boot_cut"], 1), "cut-middle": (["boot_cut"], 8),
	"cut-committed": (["boot_cut"], "running"), "cut-answered": (["boot_cut"], "answer"),
	"last": (["boot_last"], None),
	# What needs nothing of what another boot has left, at once or by parts.
	"networks": (["boot_network", "boot_lab"], None), "guests": (["boot_guest", "boot_thin"], None),
	"network": (["boot_network"], None), "lab": (["boot_lab"], None), "guest": (["boot_guest"], None),
	"thin": (["boot_thin"], None), "accuracy": (["boot_accuracy"], None),
}


def boot_name():
	with open("/proc/cmdline") as file:
		return re.search(r"vnoded\.boot=(\S+)", file.read()).group(1)


def boot_id():
	with open("/proc/sys/kernel/random/boot_id") as file:
		return file.read().strip()


class Notes(dict):
	def __init__(self):
		if os.path.exists(NOTES):
			with open(NOTES) as file:
				self.update(json.load(file))

	def save(self):
		with open(NOTES, "w") as file:
			json.dump(self, file)
			file.flush()
			os.fsync(file.fileno())


class Machine:
	"""What the cases of one boot share."""

	def __init__(self, port, moment):
		self.port, self.moment, self.notes = port, moment, Notes()

	def say(self, line):
		self.port.write(line.replace("\n", " / ") + "\n")
		self.port.flush()

	def client(self):
		return Client(SOCKET)

	def cut_power(self):
		self.say("cut")
		while True:
			time.sleep(1000)


def show(unit, *names):
	"""Properties of a unit; of one, only its value."""
	lines = run("systemctl", "show", unit, *(f"-p{name}" for name in names)).splitlines()
	values = dict(line.split("=", 1) for line in lines)
	return values[names[0]] if len(names) == 1 else values


def vnodectl(*words, user=None, status=0):
	"""What vnodectl says, as root or as another user."""
	command = ["vnodectl", *words]
	if user:
		command = ["setpriv", "--reuid", user, "--regid", user, "--init-groups", *command]
	done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
	assert done.returncode == status, f"{' '.join(command)}: status {done.returncode}: {done.stderr or done.stdout}"
	return done.stdout + done.stderr


def verify():
	"""The kernel, nftables, the mounts and libvirt have what vnoded wants, each port and parameter."""
	return vnodectl("verify").strip()


def states(client):
	return {row["name"]: row["observed"] for row in client.list().values()}


def addresses_of(member):
	addresses = member["address"] if isinstance(member["address"], list) else [member["address"]]
	return [ipaddress.ip_interface(address) for address in addresses]


def pairs(document):
	"""Each member of each LAN with those addresses of the next one that are in a network of its own."""
	for lan in document["lans"].values():
		members = list(lan["members"].items())
		for at, (name, member) in enumerate(members):
			other, target = members[(at + 1) % len(members)]
			for address in addresses_of(target):
				if any(address.ip in own.network for own in addresses_of(member)):
					yield name, other, str(address.ip)


def add_image(client):
	"""The image of the tests, where no other boot has added it."""
	if "busybox" not in [row["name"] for row in client.call("image.list")["images"]]:
		with open("/opt/machine/busybox.sha256") as file:
			vnodectl("image", "add", "busybox", "/opt/machine/busybox.tar.gz", "--sha256", file.read().split()[0])


def ping_all(client, document, without=()):
	"""Pings along every link, IPv4 and IPv6, all at once."""
	wanted = [pair for pair in pairs(document) if not set(pair[:2]) & set(without)]
	ids = [client.send("vnode.exec", {"vnode": f"{document['topology']}/{name}", "stdio": "capture",
					  "argv": ["ping", "-c", "1", "-W", "10", address]})
	       for name, _, address in wanted]
	lost = [pair for pair, id in zip(wanted, ids) if client.wait(id)["exit_code"] != 0]
	assert not lost, f"no answer: {lost}"
	return len(wanted)


def load(path):
	with open(path) as file:
		return json.load(file)


def run_case(machine, case):
	name = case.__name__[5:].replace("_", " ")
	begin = time.monotonic()
	try:
		note = case(machine)
	except Exception as error:
		traceback.print_exc()
		machine.say(f"FAIL {name}: {type(error).__name__}: {error}")
		for line in traceback.format_exc().splitlines()[-8:]:
			machine.say(f"     {line}")
		return
	machine.say(f"pass {name} ({time.monotonic() - begin:.1f} s){': ' + note if note else ''}")


def main():
	names, moment = BOOTS[boot_name()]
	modules = [importlib.import_module(name) for name in names]
	with open("/dev/ttyS1", "w") as port:
		machine = Machine(port, moment)
		for module in modules:
			for name, case in list(vars(module).items()):
				if inspect.isfunction(case) and name.startswith("case_") and \
						case.__module__ == module.__name__:
					run_case(machine, case)
		machine.notes["boot_id"] = boot_id()
		machine.notes.save()
		if hasattr(modules[-1], "end"):
			modules[-1].end(machine)
		machine.say("end")


if __name__ == "__main__":
	main()
