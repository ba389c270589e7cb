"""One LAN on two hosts: two vnoded, each in a network namespace of its own, a third one is the wire between.

A kind of tunnel that this kernel lacks is said and not tried; vxlan must be there.
"""
import contextlib
import copy
import json
import os
import subprocess

from lab.world import BASE, Daemon, World, difference, fabric, inits_of, ping, run, things

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDERS = [os.path.join(HERE, way, "examples") for way in ("../../..", "..")]
HOSTS = {"west": "192.0.2.1", "east": "192.0.2.2"}


def example(name):
	for folder in FOLDERS:
		with contextlib.suppress(FileNotFoundError):
			with open(os.path.join(folder, f"two-hosts-{name}.json")) as file:
				return json.load(file)
	raise AssertionError(f"no example for {name}")


class Space:
	"""A network namespace with a pin; commands run inside."""

	def __init__(self, name):
		self.pin = os.path.join(BASE, f"net-{name}")
		open(self.pin, "w").close()
		run("unshare", f"--net={self.pin}", "true")
		self.run("ip", "link", "set", "lo", "up")

	def run(self, *command):
		return run(*self.command(*command))

	def command(self, *command):
		return ["nsenter", f"--net={self.pin}", *command]

	def links(self):
		"""Every device with what a loan may touch."""
		rows = json.loads(self.run("ip", "-d", "-j", "addr"))
		return {row["ifname"]: (sorted(row["flags"]), row["mtu"], row.get("promiscuity"), row.get("allmulti"),
					[a["local"] for a in row["addr_info"]]) for row in rows}

	def close(self):
		subprocess.run(["umount", self.pin], check=True)
		os.unlink(self.pin)


class HostDaemon(Daemon):
	def __init__(self, build, space, **settings):
		self.space = space
		super().__init__(build, **settings)

	def command(self):
		return self.space.command(*super().command())


class Host(World):
	"""A vnoded in a space of its own."""

	def __init__(self, build, name, space):
		self.space, self.before, self.links_before = space, things(), space.links()
		self.daemon = HostDaemon(build, space, name=name, fabric=f"fabric-{name}").start()
		self.client = self.daemon.client()
		self.daemon.add_image(self.client)

	def end(self):
		"""The machine as a whole is looked at when all hosts have ended, see Wire."""
		self.reconnect()
		self.client.change("host.teardown")
		self.client.close()
		self.daemon.stop()
		left = difference(self.links_before, self.space.links())
		assert not left, f"the host's devices are not as they were: {left}"


class Wire:
	"""Two spaces, each with a device `wire` into a third, where a bridge joins them."""

	def __enter__(self):
		self.middle = Space("middle")
		self.spaces = {}
		self.middle.run("ip", "link", "add", "b0", "type", "bridge")
		self.middle.run("ip", "link", "set", "b0", "up")
		for name, address in HOSTS.items():
			space = self.spaces[name] = Space(name)
			space.run("ip", "link", "add", "wire", "type", "veth", "peer", "name", name, "netns", self.middle.pin)
			space.run("ip", "addr", "add", f"{address}/24", "dev", "wire")
			space.run("ip", "link", "set", "wire", "addrgenmode", "none", "up")
			self.middle.run("ip", "link", "set", name, "master", "b0", "up")
		self.before = things()
		return self

	def __exit__(self, kind, *_):
		left = difference(self.before, things()) if kind is None else None
		assert not left, f"left behind: {left}"
		for space in [self.middle, *self.spaces.values()]:
			space.close()


@contextlib.contextmanager
def two_hosts(build):
	with Wire() as wire, Host(build, "west", wire.spaces["west"]) as west, Host(build, "east", wire.spaces["east"]) as east:
		yield wire, west, east


def lacks(host, *words):
	"""The first of the kinds of device that the kernel does not have, said aloud."""
	host.client.call("job.list")
	missing = host.client.call("host.info")["missing"]
	for word in words:
		if any(f"has no {word}," in sentence for sentence in missing):
			print(f"  NOT TRIED: this kernel lacks {word}")
			return word
	return None


def with_kind(document, kind):
	document = copy.deepcopy(document)
	for lan in document["lans"].values():
		for tunnel in lan["tunnels"].values():
			tunnel["kind"] = kind
	return document


def largest(client, vnode, address, mtu):
	"""Whether a packet of that size passes."""
	return client.run(vnode, "ping", "-c", "1", "-W", "3", "-s", str(mtu - 28), address).status == 0


def apply_both(west, east, kind):
	documents = with_kind(example("west"), kind), with_kind(example("east"), kind)
	for host, document in zip((west, east), documents):
		host.client.change("topology.apply", document=document, prune=True)
		assert host.client.call("topology.plan", document=document)["empty"]
	return documents


def case_a_lan_on_two_hosts(build):
	"""Each kind: everyone reaches everyone, in the largest packets, while the daemons die and come back."""
	with two_hosts(build) as (wire, west, east):
		tried = []
		for kind, device in ("vxlan", "vxlan"), ("egre", "gretap"):
			if lacks(west, device):
				continue
			document, _ = apply_both(west, east, kind)
			mtu = west.client.call("lan.get", lan="wide")["mtu"]
			assert mtu == {"vxlan": 1450, "egre": 1458}[kind], mtu
			for address in "10.8.0.2", "10.8.0.3", "10.8.0.4":
				assert ping(west.client, "anna", address, 3), f"{kind}: anna does not reach {address}"
			assert ping(east.client, "bine", "10.8.0.1", 3)
			assert largest(west.client, "anna", "10.8.0.3", mtu) and largest(east.client, "bert", "10.8.0.1", mtu)
			for host in wire.spaces.values():
				created = host.run("awk", "/^Ip: [0-9]/ { print $18 }", "/proc/net/snmp").strip()
				assert created == "0", f"{kind}: packets were fragmented"
			inits = inits_of(west.client, ["anna"])
			index = device_of(west)
			west.restart()
			east.restart()
			assert inits_of(west.client, ["anna"]) == inits and device_of(west) == index, "made anew by a restart"
			assert ping(west.client, "anna", "10.8.0.4", 3)
			too_large = copy.deepcopy(document)
			too_large["lans"]["wide"]["mtu"] = mtu + 1
			assert west.client.refused("topology.plan", document=too_large).path == "/document/lans/wide/mtu"
			tried.append(kind)
		assert "vxlan" in tried, "no kind of tunnel was tried"


def device_of(host):
	tunnel = host.client.call("lan.get", lan="wide")["tunnels"][0]
	return json.loads(fabric(host.daemon, "ip", "-j", "link", "show", tunnel["device"]))[0]["ifindex"]


def case_tunnels_change_live(build):
	"""Another key at one end cuts the LAN, at both it is whole; the vnodes run on. A tunnel goes and comes."""
	with two_hosts(build) as (_, west, east):
		documents = apply_both(west, east, "vxlan")
		inits = inits_of(west.client, ["anna"]), inits_of(east.client, ["bert"])
		changed = [copy.deepcopy(document) for document in documents]
		for document in changed:
			for tunnel in document["lans"]["wide"]["tunnels"].values():
				tunnel["key"] = 8
		actions = west.client.call("topology.plan", document=changed[0])["actions"]
		assert {"action": "change", "kind": "tunnel", "name": "wide/east", "how": "live", "fields": ["key"]} in actions, actions
		west.client.change("topology.apply", document=changed[0])
		assert not ping(west.client, "anna", "10.8.0.3"), "another network's key"
		east.client.change("topology.apply", document=changed[1])
		assert ping(west.client, "anna", "10.8.0.3", 5)
		without = copy.deepcopy(changed[0])
		del without["lans"]["wide"]["tunnels"]
		west.client.change("topology.apply", document=without)
		assert not ping(west.client, "anna", "10.8.0.3") and ping(west.client, "anna", "10.8.0.2", 3)
		west.client.change("topology.apply", document=changed[0])
		assert ping(west.client, "anna", "10.8.0.4", 5)
		assert (inits_of(west.client, ["anna"]), inits_of(east.client, ["bert"])) == inits


def told(host):
	"""What verify tells, as "object field"."""
	found = host.client.call("host.verify")["differences"]
	return {f"{row['object']} {row['field']}" for row in found}


def case_foreign_hands_in_a_tunnel(build):
	"""A tunnel that someone deletes, takes from its LAN, or leads elsewhere is told and mended; a stray one goes."""
	with two_hosts(build) as (_, west, east):
		documents = [example("west"), example("east")]
		documents[0]["lans"]["wide"]["tunnels"]["east"]["shape"] = {"to": {"rate": "50Mbit"}, "from": {"rate": "60Mbit"}}
		for host, document in zip((west, east), documents):
			host.client.change("topology.apply", document=document)
		id = west.client.call("lan.get", lan="wide")["id"]
		port = f"t{id}n0"
		assert not told(west) and not told(east), (told(west), told(east))
		for command, wanted in (
				(("ip", "link", "del", port), f"{port} exists"),
				(("ip", "link", "set", port, "nomaster"), f"{port} bridge"),
				(("ip", "link", "set", port, "mtu", "1000"), f"{port} mtu"),
				(("tc", "qdisc", "del", "dev", port, "root"), f"{port} chain"),
				(("ip", "link", "set", port, "type", "vxlan", "id", "7", "remote", "192.0.2.9"),
				 f"{port} parameters")):
			fabric(west.daemon, *command)
			assert wanted in told(west), (command, told(west))
			assert west.client.change("host.repair")["left"] == []
			assert not told(west), told(west)
			assert ping(west.client, "anna", "10.8.0.3", 5), command
		fabric(west.daemon, "ip", "link", "add", f"t{id}n7", "type", "bridge")
		alias = json.loads(fabric(west.daemon, "ip", "-j", "link", "show", port))[0]["ifalias"]
		fabric(west.daemon, "ip", "link", "set", f"t{id}n7", "alias", alias)
		assert told(west) == {f"t{id}n7 exists"}, told(west)


def link(name, host, kind, vnode, address):
	other = next(key for key in HOSTS if key != host)
	return {"topology": name, "vnodes": {vnode: {"image": "busybox", "memory": "32MiB"}}, "lans": {"l": {
		"members": {vnode: {"address": [f"{address}/24", f"fd09::{address[-1]}/64"]}},
		"tunnels": {"far": {"kind": kind, "local": HOSTS[host], "remote": HOSTS[other], "key": 9}}}}}


def case_a_link_over_plain_gre(build):
	"""IP without Ethernet, both families, from a vnode to a vnode."""
	with two_hosts(build) as (_, west, east):
		if lacks(west, "gre", "push_eth"):
			refusal = west.client.refused("topology.plan", document=link("p", "west", "gre", "a", "10.9.0.1"))
			assert (refusal.code, refusal.path) == ("unsupported", "/document/lans/l/tunnels/far/kind"), refusal
			return
		west.client.change("topology.apply", document=link("p", "west", "gre", "a", "10.9.0.1"))
		east.client.change("topology.apply", document=link("p", "east", "gre", "b", "10.9.0.2"))
		assert west.client.call("lan.get", lan="l")["mtu"] == 1472
		assert ping(west.client, "a", "10.9.0.2", 3) and ping(east.client, "b", "10.9.0.1", 3)
		assert ping(west.client, "a", "fd09::2", 3), "IPv6 does not pass"
		assert largest(west.client, "a", "10.9.0.2", 1472)
		west.client.change("vnode.reboot", vnode="a")
		west.restart()
		assert ping(west.client, "a", "10.9.0.2", 5) and ping(east.client, "b", "10.9.0.1", 3)


def case_two_lans_of_one_host(build):
	"""Each end in a topology of its own, in any order: a plain link."""
	def end(name, vnode, local, remote, address):
		return {"topology": name, "vnodes": {vnode: {"image": "busybox", "memory": "32MiB"}}, "lans": {"l": {
			"members": {vnode: {"address": address}},
			"tunnels": {"t": {"kind": "egre", "local": local, "remote": remote, "key": 5}}}}}

	with World(build) as w:
		first = end("one", "a", "127.0.0.1", "127.0.0.2", "10.9.0.1/24")
		second = end("two", "b", "127.0.0.2", "127.0.0.1", "10.9.0.2/24")
		w.client.change("topology.apply", document=first)
		assert not ping(w.client, "a", "10.9.0.2")
		w.client.change("topology.apply", document=second)
		assert ping(w.client, "a", "10.9.0.2", 5) and ping(w.client, "b", "10.9.0.1", 3)
		assert not told(w), told(w)
		w.restart()
		assert ping(w.client, "a", "10.9.0.2", 3)
		w.client.change("topology.delete", topology="one")
		w.client.change("topology.apply", document=first)
		assert ping(w.client, "a", "10.9.0.2", 5), "the other end does not wait"
		oneself = end("three", "c", "127.0.0.1", "127.0.0.1", "10.9.0.3/24")
		refusal = w.client.refused("topology.plan", document=oneself)
		assert refusal.path == "/document/lans/l/tunnels/t/remote" and "oneself" in refusal.text, refusal


def check_uplink(host, wire, vlan):
	"""From a vnode through the lent port to a machine on the wire that knows nothing of vnoded."""
	document = {"topology": "u", "vnodes": {"a": {"image": "busybox", "memory": "32MiB"}}, "lans": {"out": {
		"members": {"a": {"address": "10.7.0.1/24"}}, "uplink": {"device": "port"}}}}
	device = "other"
	if vlan:
		document["lans"]["out"]["uplink"]["vlan"] = vlan
		wire.middle.run("ip", "link", "add", "link", "other", "name", "other.v", "type", "vlan", "id", str(vlan))
		wire.middle.run("ip", "link", "set", "other.v", "up")
		device = "other.v"
	wire.middle.run("ip", "addr", "add", "10.7.0.99/24", "dev", device)
	before = host.space.links()
	host.client.change("topology.apply", document=document)
	assert not told(host), told(host)
	assert ping(host.client, "a", "10.7.0.99", 5), f"nothing passes the uplink (VLAN {vlan})"
	host.restart()
	assert ping(host.client, "a", "10.7.0.99", 3)
	assert host.client.call("lan.get", lan="out")["uplink"] == {"device": "port", "vlan": vlan or None, "default_route": False}
	del document["lans"]["out"]["uplink"]
	host.client.change("topology.apply", document=document)
	assert not ping(host.client, "a", "10.7.0.99")
	after = host.space.links()
	assert after == before, difference(before, after)
	host.client.change("topology.delete", topology="u")
	wire.middle.run("ip", "addr", "del", "10.7.0.99/24", "dev", device)


def case_ports_are_lent(build):
	"""A port as a whole and a VLAN of it, up or down before; given back as it was, by teardown as well."""
	with Wire() as wire:
		space = wire.spaces["west"]
		space.run("ip", "link", "add", "port", "type", "veth", "peer", "name", "other", "netns", wire.middle.pin)
		space.run("ip", "link", "set", "port", "addrgenmode", "none")
		wire.middle.run("ip", "link", "set", "other", "up")
		with Host(build, "west", space) as host:
			if not lacks(host, "macvlan"):
				check_uplink(host, wire, 0)
				space.run("ip", "link", "set", "port", "up")
				check_uplink(host, wire, 0)
				space.run("ip", "link", "set", "port", "down")
			if not lacks(host, "vlan"):
				check_uplink(host, wire, 100)
			refusals(host)
			if not lacks(host, "macvlan"):
				host.client.change("topology.apply", document={"topology": "t", "lans": {"l": {"uplink": {"device": "port"}}}})


def refusals(host):
	def refused(uplink):
		return host.client.refused("topology.plan", document={"topology": "r", "lans": {"l": {"uplink": uplink}}})

	assert refused({"device": "nothing0"}).path == "/document/lans/l/uplink/device"
	assert refused({"device": "port", "vlan": 5000}).path == "/document/lans/l/uplink/vlan"
	host.space.run("ip", "route", "add", "default", "via", "192.0.2.2")
	refusal = refused({"device": "wire"})
	assert (refusal.code, refusal.path) == ("denied", "/document/lans/l/uplink/default_route"), refusal
	host.space.run("ip", "route", "del", "default")
