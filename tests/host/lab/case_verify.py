"""Truth: what a foreign hand does to a running lab is told as an event, found by name, and mended."""
import json
import os

from lab.world import World, fabric, ping, run, star


def inside(w, vnode, *command):
	vmid = w.client.call("vnode.get", vnode=vnode)["vmid"]
	run("nsenter", f"--net={os.path.join(w.daemon.run_dir, 'netns', f'vnoded-{vmid}')}", *command)


def lab(w):
	document = star(3)
	document["lans"]["campus"]["shape"] = {"rate": "20Mbit"}
	document["lans"]["campus"]["members"]["n1"]["shape"] = {"from": {"rate": "8Mbit"}}
	document["vnodes"]["n1"]["forwards"] = [{"host": 42201, "guest": 22}]
	document["vnodes"]["n2"]["routes"] = [{"to": "10.9.0.0/16", "via": "10.2.0.3"}]
	w.client.change("topology.apply", document=document)
	return {row["vnode"]: row["device"] for row in w.client.call("lan.get", lan="campus")["members"]}


def found(w):
	"""{(vnode, object, field): (wanted, found)} of what verify says."""
	answer = w.client.call("host.verify")
	assert answer["busy"] == [], answer
	return {(one.get("vnode"), one["object"], one["field"]): (one["wanted"], one["found"]) for one in answer["differences"]}


def case_foreign_changes_are_found_and_mended(build):
	with World(build) as w:
		ports = lab(w)
		assert found(w) == {}, found(w)
		status = w.daemon.vnodectl("verify")
		assert status.returncode == 0 and "all is as wanted" in status.stdout, status
		device, other = ports["n1"], ports["n2"]
		bridge = json.loads(fabric(w.daemon, "ip", "-j", "link", "show", device))[0]["master"]
		fabric(w.daemon, "tc", "qdisc", "change", "dev", device, "root", "handle", "3:", "tbf", "rate", "4Mbit",
		       "burst", "10000", "limit", "50000")
		fabric(w.daemon, "tc", "filter", "del", "dev", other, "ingress")
		fabric(w.daemon, "ip", "link", "set", bridge, "mtu", "1400")
		inside(w, "n3", "ip", "addr", "add", "10.7.7.7/24", "dev", "eth1")
		inside(w, "n2", "ip", "route", "del", "10.9.0.0/16")
		run("nft", "delete", "element", "inet", w.daemon.settings.get("nft_table", "vnoded"), "any4", "{ 6 . 42201 }")
		differences = found(w)
		assert differences[("star/n1", device, "rate_bps")] == (8_000_000, 4_000_000), differences
		assert differences[("star/n2", other, "redirection")] == ("i" + other[1:], None), differences
		assert differences[(None, bridge, "mtu")] == (1500, 1400), differences
		assert differences[("star/n3", ports["n3"], "address")] == (None, "10.7.7.7/24"), differences
		assert any(key[0] == "star/n2" and key[2] == "route" for key in differences), differences
		assert differences[("star/n1", "tcp 42201", "target")][1] is None, differences
		assert len(differences) == 6, differences
		status = w.daemon.vnodectl("verify")
		assert status.returncode == 1 and "star/n1 eth1: rate is 4 Mbit, wanted 8 Mbit\n" in status.stdout, status
		status = w.daemon.vnodectl("verify", "--repair")
		assert (status.returncode, status.stdout) == (0, "mended: 6\n"), status
		assert found(w) == {}, found(w)
		fabric(w.daemon, "ip", "link", "del", device)
		run("nft", "delete", "table", "inet", w.daemon.settings.get("nft_table", "vnoded"))
		assert found(w)
		assert w.client.change("host.repair")["left"] == []
		assert found(w) == {}, found(w)
		assert ping(w.client, "n1", "10.2.0.2", 3)


def case_foreign_changes_become_events(build):
	with World(build) as w:
		ports = lab(w)
		w.client.subscribe(types=["lan.change", "host.warning"])
		fabric(w.daemon, "tc", "qdisc", "del", "dev", ports["n1"], "root")
		event = w.client.event("lan.change", what="foreign")
		assert (event["vnode"], event["lan"]) == ("n1", "campus"), event
		assert [one["field"] for one in event["data"]["differences"]] == ["chain"], event
		fabric(w.daemon, "ip", "link", "del", ports["n2"])
		event = w.client.event("lan.change", what="foreign")
		assert (event["vnode"], event["data"]["object"]) == ("n2", ports["n2"]), event
		run("ip", "link", "set", "vnc" + w.client.call("host.info")["instance"][:8], "down")
		event = w.client.event("host.warning")
		assert "uplink" in event["data"]["text"], event
		assert w.client.change("host.repair")["left"] == []
		# Whatever vnoded does itself is no foreign change; the last one is, and comes first.
		w.client.change("lan.set", lan="campus", shape={"rate": "30Mbit"}, mtu=1400)
		w.client.change("lan.down", lan="campus", member="n3")
		w.client.change("vnode.reboot", vnode="n1")
		w.client.change("vnode.destroy", vnode="n3")
		assert found(w) == {}, found(w)
		fabric(w.daemon, "ip", "link", "set", ports["n2"], "down")
		event = w.client.event("lan.change", what="foreign")
		assert (event["vnode"], event["data"]["differences"][0]["field"]) == ("n2", "up"), event
		w.client.change("host.repair")


def case_what_cannot_be_mended_is_left(build):
	"""A domain that libvirt has lost while its processes live is told and left; so is a stranger in a LAN."""
	with World(build) as w:
		ports = lab(w)
		bridge = json.loads(fabric(w.daemon, "ip", "-j", "link", "show", ports["n1"]))[0]["master"]
		fabric(w.daemon, "ip", "link", "add", "stranger", "type", "veth", "peer", "name", "friend")
		fabric(w.daemon, "ip", "link", "set", "stranger", "master", bridge)
		left = w.client.change("host.repair")["left"]
		assert [(one["kind"], one["object"], one["found"]) for one in left] == [("foreign", "stranger", bridge)], left
		fabric(w.daemon, "ip", "link", "del", "stranger")
		assert found(w) == {}, found(w)
