"""Routes and addresses of vnodes: through a router between two LANs, live, over restarts, and undone when they fail."""
import copy

from lab.world import World, ping


def routed(**more):
	"""a and b in LANs of their own, r in both; each knows the way to the other."""
	vnodes = {name: {"image": "busybox", "memory": "32MiB"} for name in "abr"}
	vnodes["a"]["routes"] = [{"to": "10.5.2.0/24", "via": "10.5.1.254"}, {"to": "fd52::/64", "via": "fd51::254"}]
	vnodes["b"]["routes"] = [{"to": "10.5.1.0/24", "via": "10.5.2.254"}, {"to": "fd51::/64", "via": "fd52::254"}]
	return {"topology": "routed", "vnodes": vnodes, "lans": {
		"left": {"members": {"a": {"address": ["10.5.1.1/24", "fd51::1/64"]},
				     "r": {"address": ["10.5.1.254/24", "fd51::254/64"]}}},
		"right": {"members": {"b": {"address": ["10.5.2.1/24", "fd52::1/64"]},
				      "r": {"address": ["10.5.2.254/24", "fd52::254/64"]}}}}}


def forward(c):
	c.output("r", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")


def routes(c, vnode):
	return sorted(line.strip() for line in c.output(vnode, "ip route; ip -6 route").splitlines()
		      if "scope link" not in line and "proto kernel" not in line and "fe80" not in line
		      and not line.startswith(("ff00", "unreachable", "anycast", "multicast")))


def addresses(c, vnode, interface):
	lines = c.output(vnode, f"ip -o addr show dev {interface}").splitlines()
	return [line.split()[3] for line in lines if "scope link" not in line.replace("global", "")]


def plan(c, document):
	actions = c.call("topology.plan", document=document)["actions"]
	return {(row["action"], row["name"]): (row.get("how"), row.get("fields")) for row in actions}


def case_routes_lead_through_a_router(build):
	"""Both families; kept over halt and boot, a killed daemon, and a guest that throws all away; changed live."""
	with World(build) as w:
		c, document = w.client, routed()
		c.change("topology.apply", document=document)
		forward(c)
		assert ping(c, "a", "10.5.2.1", 3) and ping(c, "b", "10.5.1.1", 3), "no way through the router"
		assert ping(c, "a", "fd52::1", 3), "no way through the router by IPv6"
		before = routes(c, "a")
		w.restart()
		c = w.client
		assert routes(c, "a") == before
		c.output("a", "ip route flush dev eth1; ip addr flush dev eth1; ip link set eth1 down")
		c.change("vnode.halt", vnode="a")
		c.change("vnode.boot", vnode="a")
		assert routes(c, "a") == before, (before, routes(c, "a"))
		assert ping(c, "a", "10.5.2.1", 3)
		assert plan(c, document) == {}

		init = c.call("vnode.get", vnode="a")["since"]
		document["vnodes"]["a"]["default_route"] = "none"
		document["vnodes"]["a"]["routes"] = [{"to": "default", "via": "10.5.1.254", "metric": 5}]
		assert plan(c, document)["change", "a"] == ("live", ["routes", "default_route"]), plan(c, document)
		c.change("topology.apply", document=document)
		assert [line for line in routes(c, "a") if "10.5.1.254" in line] == ["default via 10.5.1.254 dev eth1  metric 5"], \
			routes(c, "a")
		assert ping(c, "a", "10.5.2.1", 3)
		assert c.call("vnode.get", vnode="a")["since"] == init, "a change of routes is no restart"
		assert c.call("topology.export", topology="routed")["vnodes"]["a"]["routes"] == \
			document["vnodes"]["a"]["routes"]


def case_a_refused_route_undoes_the_whole_apply(build):
	"""The guest has such a route of its own: the kernel refuses, and everything is as before."""
	with World(build) as w:
		c, document = w.client, routed()
		c.change("topology.apply", document=document)
		forward(c)
		before = {name: routes(c, name) for name in "ab"}
		c.output("b", "ip route add 10.77.0.0/16 via 10.5.2.254")
		changed = copy.deepcopy(document)
		changed["vnodes"]["a"]["routes"] = [{"to": "10.88.0.0/16", "via": "10.5.1.254"}]
		changed["vnodes"]["b"]["routes"].append({"to": "10.77.0.0/16", "via": "10.5.2.254"})
		changed["lans"]["right"]["members"]["b"]["address"] = ["10.5.2.9/24"]
		changed["vnodes"]["b"]["routes"] = [changed["vnodes"]["b"]["routes"][0], changed["vnodes"]["b"]["routes"][2]]
		refusal = c.refused("topology.apply", document=changed, wait=True)
		assert refusal.code == "exists" and "of its own" in refusal.text, refusal
		c.output("b", "ip route del 10.77.0.0/16")
		assert {name: routes(c, name) for name in "ab"} == before
		assert addresses(c, "b", "eth1") == ["10.5.2.1/24", "fd52::1/64"], addresses(c, "b", "eth1")
		assert plan(c, document) == {}
		assert ping(c, "a", "10.5.2.1", 3)
		refusal = c.refused("topology.apply", document=dict(document, lans={"left": document["lans"]["left"],
			"right": {"members": {"b": {"address": "10.6.0.1/24"}}}}))
		assert refusal.path == "/document/vnodes/b/routes/0/via", refusal


def case_addresses_change_live(build):
	"""Aliases come and go in running guests, a route follows its network, and what others have is refused."""
	with World(build) as w:
		c, document = w.client, routed()
		c.change("topology.apply", document=document)
		forward(c)
		since = c.call("vnode.get", vnode="a")["since"]
		c.output("a", "ip route add 10.99.0.0/16 via 10.5.1.254")
		member = document["lans"]["left"]["members"]["a"]
		member["address"] = ["10.5.1.7/24", "10.5.1.1/24", "10.5.1.8/24", "192.0.2.7/24", "fd51::1/64", "fd51::7/64"]
		assert plan(c, document) == {("change", "a"): ("live", ["address"])}, plan(c, document)
		c.change("topology.apply", document=document)
		found = addresses(c, "a", "eth1")
		assert [one for one in found if one.startswith("10.5")] == ["10.5.1.7/24", "10.5.1.1/24", "10.5.1.8/24"], found
		assert set(found) == set(member["address"]), found
		for address in "10.5.1.1", "10.5.1.8", "fd51::7":
			assert ping(c, "r", address, 3), address
		assert "10.99.0.0/16" in c.output("a", "ip route"), "the guest's own route went"
		assert c.call("vnode.get", vnode="a")["since"] == since, "a change of addresses is no restart"
		seen = {row["lan"]: row["addresses"] for row in c.call("vnode.get", vnode="a")["interfaces"]}
		assert seen["left"] == member["address"], seen

		other = copy.deepcopy(document)
		other["lans"]["left"]["members"]["r"]["address"].append("10.5.1.8/24")
		refusal = c.refused("topology.apply", document=other)
		assert refusal.path == "/document/lans/left/members/r/address/2" and "used already" in refusal.text, refusal

		# the network that a route leads through is another now
		document["lans"]["left"]["members"]["a"]["address"] = "10.55.0.1/24"
		refusal = c.refused("topology.apply", document=document)
		assert refusal.path == "/document/vnodes/a/routes/0/via", refusal
		document["lans"]["left"]["members"]["r"]["address"] = "10.55.0.254/24"
		document["vnodes"]["a"]["routes"] = [{"to": "10.5.2.0/24", "via": "10.55.0.254"}]
		document["vnodes"]["b"]["routes"] = [{"to": "10.55.0.0/24", "via": "10.5.2.254"}]
		c.change("topology.apply", document=document)
		assert addresses(c, "a", "eth1") == ["10.55.0.1/24"], addresses(c, "a", "eth1")
		assert ping(c, "a", "10.5.2.1", 3)
		w.restart()
		assert plan(w.client, document) == {}
		assert addresses(w.client, "a", "eth1") == ["10.55.0.1/24"]
