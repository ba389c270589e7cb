"""Shapes in the kernel: what tc, which vnoded does not use, says of the ports; which way; for every protocol."""
import ctypes
import json
import os
import re
import signal
import socket

from lab.client import PATIENCE
from lab.world import World, eventually, fabric, ping, star

RAW = 0x88B5			# an Ethernet type for experiments: neither IP nor ARP


def qdiscs(w, device):
	"""{kind + handle: row} of a device, with counters."""
	rows = json.loads(fabric(w.daemon, "tc", "-s", "-j", "qdisc", "show", "dev", device))
	return {f"{row['kind']} {row['handle']}": row for row in rows if row["kind"] != "noqueue"}


def ports(w, lan):
	return {row["vnode"]: row for row in w.client.call("lan.get", lan=lan)["members"]}


def enter(w, vnode):
	"""The network namespace of a running vnode, from a thread of its own in the caller."""
	vmid = w.client.call("vnode.get", vnode=vnode)["vmid"]
	return os.path.join(w.daemon.run_dir, "netns", f"vnoded-{vmid}")


def send_raw(pin, interface, to, count, size=1000):
	"""Sends frames that are no IP from inside a vnode's namespace; in a child, which may move."""
	child = os.fork()
	if child == 0:
		try:
			with open(pin) as file:
				if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), 0x40000000):
					os._exit(2)
			out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
			out.bind((interface, 0))
			source = out.getsockname()[4]
			for _ in range(count):
				out.send(bytes.fromhex(to.replace(":", "")) + source + RAW.to_bytes(2, "big") + bytes(size - 14))
		except BaseException:
			os._exit(1)
		os._exit(0)
	assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def case_shapes_sit_where_they_belong(build):
	"""A link has its shapes on egress only; a LAN what is sent on an IFB, what is received on egress."""
	with World(build) as w:
		document = star(3)
		document["vnodes"]["x"] = document["vnodes"]["y"] = {"image": "busybox", "memory": "32MiB"}
		document["lans"]["campus"]["shape"] = {"rate": "20Mbit"}
		document["lans"]["campus"]["members"]["n1"]["shape"] = {"to": {"rate": "4Mbit", "limit_packets": 50},
									"from": {"rate": "8Mbit"}}
		document["lans"]["link"] = {"shape": {"rate": "100Mbit", "limit": "64KiB"}, "members": {
			"x": {"address": "10.3.0.1/24", "shape": {"to": {"rate": "6Gbit"}}}, "y": {"address": "10.3.0.2/24"}}}
		w.client.change("topology.apply", document=document)
		campus, link = ports(w, "campus"), ports(w, "link")

		def ifb(row):
			return "i" + row["device"][1:]

		own = qdiscs(w, campus["n1"]["device"])
		assert own["tbf 3:"]["options"]["rate"] == 1_000_000 and "ingress ffff:" in own, own
		sent = qdiscs(w, ifb(campus["n1"]))
		assert sent["tbf 3:"]["options"]["rate"] == 500_000 and sent["pfifo 5:"]["options"]["limit"] == 50, sent
		assert qdiscs(w, ifb(campus["n2"]))["tbf 3:"]["options"]["rate"] == 2_500_000
		assert set(qdiscs(w, campus["n2"]["device"])) == {"ingress ffff:"}
		to_x, to_y = qdiscs(w, link["x"]["device"]), qdiscs(w, link["y"]["device"])
		assert to_y["tbf 3:"]["options"]["rate"] == 750_000_000, to_y
		assert to_x["tbf 3:"]["options"]["rate"] == 12_500_000 and to_x["bfifo 4:"]["options"]["limit"] == 65536, to_x
		links = {row["ifname"] for row in json.loads(fabric(w.daemon, "ip", "-j", "link"))}
		assert not links & {ifb(link["x"]), ifb(link["y"])}, "a link has an IFB"
		assert ping(w.client, "n1", "10.2.0.2", 3) and ping(w.client, "x", "10.3.0.2", 3)


def case_every_protocol_is_shaped(build):
	"""Frames that are no IP, IPv6 and ARP pass the queue of what a vnode sends, and reach the other."""
	with World(build) as w:
		document = star(2)
		document["lans"]["campus"]["members"]["n3"] = {"address": "10.2.0.3/24"}
		document["vnodes"]["n3"] = document["vnodes"]["n2"]
		for name, member in document["lans"]["campus"]["members"].items():
			member["address"] = [member["address"], f"fd02::{name[1:]}/64"]
		document["lans"]["campus"]["shape"] = {"rate": "100Mbit"}
		w.client.change("topology.apply", document=document)
		rows = ports(w, "campus")
		device = "i" + rows["n1"]["device"][1:]

		def passed():
			return qdiscs(w, device)["tbf 3:"]["packets"]

		before = passed()
		send_raw(enter(w, "n1"), rows["n1"]["interface"], rows["n2"]["mac"], 100)
		assert eventually(lambda: passed() >= before + 100), (before, passed())
		before = passed()
		assert ping(w.client, "n1", "10.2.0.2", 3)
		assert passed() >= before + 3, "IPv4 passes by"
		before = passed()
		assert ping(w.client, "n1", "fd02::2", 3)
		assert passed() >= before + 3, "IPv6 passes by"


def case_a_guest_cannot_undo_its_shape(build):
	"""Whatever root of a guest does to its own end, the queue stays where it is."""
	with World(build) as w:
		document = star(2)
		document["lans"]["campus"]["shape"] = {"rate": "1Mbit"}
		w.client.change("topology.apply", document=document)
		row = ports(w, "campus")["n2"]
		before = {name: found["options"] for name, found in qdiscs(w, row["device"]).items()}
		w.client.shell("n1", f"ip link set {row['interface']} down; ip link set {row['interface']} up; "
			       f"ip link set {row['interface']} mtu 9000; tc qdisc del dev {row['interface']} root")
		assert {name: found["options"] for name, found in qdiscs(w, row["device"]).items()} == before


def case_live_changes_rebuild_nothing(build):
	"""lan.set in both directions, bad ones refused, a killed daemon, a deleted qdisc mended at the next start."""
	with World(build) as w:
		w.client.change("topology.apply", document=star(3))
		rows = ports(w, "campus")
		device = rows["n1"]["device"]
		index = json.loads(fabric(w.daemon, "ip", "-j", "link", "show", device))[0]["ifindex"]
		assert not qdiscs(w, device)
		w.client.change("lan.set", lan="campus", shape={"rate": "50Mbit"},
				members={"n1": {"from": {"rate": "10Mbit"}}})
		assert qdiscs(w, device)["tbf 3:"]["options"]["rate"] == 1_250_000
		refusal = w.client.refused("lan.set", lan="campus", shape={"rate": "1Mbit", "delay": "-1ms"})
		assert refusal.path == "/shape/delay", refusal
		w.client.change("lan.set", lan="campus", members={"n1": {"from": {"rate": "20Mbit"}}})
		assert qdiscs(w, device)["tbf 3:"]["options"]["rate"] == 2_500_000
		w.daemon.kill()
		fabric(w.daemon, "tc", "qdisc", "del", "dev", device, "root")
		fabric(w.daemon, "tc", "qdisc", "del", "dev", rows["n2"]["device"], "ingress")
		w.restart()
		w.client.call("job.list")
		w.client.change("lan.set", lan="campus", mtu=1400)
		assert qdiscs(w, device)["tbf 3:"]["options"]["rate"] == 2_500_000
		assert "ingress ffff:" in qdiscs(w, rows["n2"]["device"])
		assert json.loads(fabric(w.daemon, "ip", "-j", "link", "show", device))[0]["ifindex"] == index
		w.client.change("lan.set", lan="campus", shape=None, members={"n1": {"from": None}})
		assert not [kind for kind in qdiscs(w, device) if "tbf" in kind]
		assert ping(w.client, "n1", "10.2.0.2", 3)


def case_a_measure_tells_what_is_from_what_is_wanted(build):
	"""verify --probe over guests that run and one that is halted; a foreign qdisc differs; a cancel ends it at once."""
	with World(build) as w:
		document = star(3)
		document["lans"]["campus"]["shape"] = {"rate": "10Mbit"}
		document["lans"]["campus"]["members"]["n2"]["shape"] = {"from": {"rate": "4Mbit"}}
		w.client.change("topology.apply", document=document)
		w.client.change("vnode.halt", vnode="n3", force=True)

		def measure(*words, tries=5):
			"""What it finds; again where this machine was too busy to keep a rate."""
			for _ in range(tries):
				done = w.daemon.vnodectl("-o", "json", "verify", "--probe", "campus", "--seconds", "1", *words)
				found = json.loads(done.stdout)["result"]
				assert done.returncode == (found["verdict"] == "differs"), done
				if found["verdict"] == "ok":
					break
			return found, {(row["from"], row["to"]): row for row in found["directions"]}

		found, rows = measure()
		assert found["verdict"] == "ok", found
		assert {way: row["rate_bps"]["wanted"] for way, row in rows.items()} == {
			("n1", "n2"): 4_000_000, ("n2", "n3"): 10_000_000, ("n3", "n1"): 10_000_000}, rows
		fabric(w.daemon, "tc", "qdisc", "replace", "dev", ports(w, "campus")["n2"]["device"], "root", "handle", "3:",
		       "tbf", "rate", "2mbit", "burst", "3028", "limit", "30000")
		found, rows = measure("--between", "n1,n2", tries=1)
		assert rows["n1", "n2"]["rate_bps"]["verdict"] == "differs" and len(rows) == 2, found
		job = w.client.call("lan.probe", lan="campus", seconds=600)["job"]
		w.client.change("lan.set", lan="campus", mtu=1400)
		w.client.call("job.cancel", job=job)
		assert w.client.call("job.wait", job=job)["state"] == "cancelled"


def case_networking_starts_no_program(build):
	"""From the first LAN to the last namespace, followed by strace: nothing but vnode-helper is executed."""
	with World(build) as w:
		trace = os.path.join(w.daemon.folder, "trace")
		plain = w.daemon.command
		w.daemon.kill()
		w.daemon.command = lambda: ["strace", "-f", "-qq", "-o", trace, "-e", "trace=execve,execveat", *plain()]
		w.daemon.start()
		w.reconnect()
		document = star(4)
		document["lans"]["campus"]["shape"] = {"rate": "20Mbit"}
		document["lans"]["link"] = {"members": {"n1": {"address": "10.3.0.1/24"}, "n2": {"address": "10.3.0.2/24"}}}
		w.client.change("topology.apply", document=document)
		w.client.change("lan.set", lan="campus", shape={"rate": "10Mbit"})
		w.client.change("lan.down", lan="link")
		assert ping(w.client, "n1", "10.2.0.2", 3)
		w.client.change("topology.delete", topology=document["topology"])
		w.client.change("host.teardown")
		with open(trace) as file:
			found = re.findall(r'execve(?:at)?\((?:\d+, )?"([^"]*)".* = 0$', file.read(), re.M)
		names = [os.path.basename(path) for path in found]
		assert "vnoded" in names and "vnode-helper" in names, names	# else nothing was followed
		guests = {"busybox", "ping", "sh"}		# what this case itself runs inside, through vnode-helper
		assert set(names) <= {"vnoded", "vnode-helper"} | guests, names
		tracer = w.daemon.process.pid
		with open(f"/proc/{tracer}/task/{tracer}/children") as file:
			os.kill(int(file.read().split()[0]), signal.SIGTERM)	# vnoded: strace itself would wait for it
		w.daemon.process.wait(PATIENCE)
		w.daemon.command = plain
