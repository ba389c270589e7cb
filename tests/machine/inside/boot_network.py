"""Shapes on a kernel that has all of them: what tc says, and what datagrams meet on their way.

What is counted is judged by its binomial distribution, with five deviations on each side; of times only what the
kernel guarantees is asserted: nothing comes before its delay, nothing faster than its rate.
"""
import json
import os
import subprocess

import wire
from lab.world import run
from machine import add_image, load, ping_all, states, verify, vnodectl

SHAPED = {
	"topology": "shaped",
	"vnodes": {name: {"image": "busybox", "memory": "32MiB"} for name in ("a", "b", "c")},
	"lans": {
		"link": {"members": {"a": {"address": "10.9.1.1/24"}, "b": {"address": "10.9.1.2/24"}}},
		"hall": {"members": {name: {"address": f"10.9.2.{i}/24", "interface": "hall"}
				     for i, name in enumerate("abc", 1)}},
	},
}
ADDRESS = {"link": {"a": "10.9.1.1", "b": "10.9.1.2"}, "hall": {"a": "10.9.2.1", "b": "10.9.2.2", "c": "10.9.2.3"}}
COUNT = 600
FEW = .02			# overtake where the sender changes its processor
RUN = "/run/vnoded/netns"


def fabric(*command):
	return run("nsenter", f"--net={RUN}/vnoded", *command)


def chain(device):
	"""{kind: options} of the qdiscs of a port."""
	rows = json.loads(fabric("tc", "-j", "qdisc", "show", "dev", device))
	return {row["kind"] + row["handle"]: row["options"] for row in rows if row["kind"] not in ("noqueue", "ingress")}


def device(m, lan, vnode):
	return next(row["device"] for row in m.client().call("lan.get", lan=f"shaped/{lan}")["members"]
		    if row["vnode"] == vnode)


def send(m, lan, source, target, **more):
	pins = [f"{RUN}/vnoded-{m.client().call('vnode.get', vnode=f'shaped/{name}')['vmid']}" for name in (source, target)]
	return wire.send(*pins, ADDRESS[lan][target], count=COUNT, **more)


def clear(m, lan):
	own = {"to": None} if lan == "link" else {"to": None, "from": None}
	members = SHAPED["lans"][lan]["members"]
	m.client().change("lan.set", lan=f"shaped/{lan}", shape=None, members=dict.fromkeys(members, own))


def shape(m, lan, *fields, member=()):
	"""Nothing but these fields, by vnodectl as a person would."""
	clear(m, lan)
	vnodectl("lan", "set", f"shaped/{lan}", *fields, *member)


def is_share(found, wanted):
	return abs(found - wanted) <= 5 * (wanted * (1 - wanted) / COUNT) ** 0.5


def percent(share):
	return f"{100 * share:.1f} %"


def case_nothing_is_missing(m):
	info = m.client().call("host.info")
	assert not info["missing"], info["missing"]
	add_image(m.client())
	with open("/opt/machine/shaped.json", "w") as file:
		json.dump(SHAPED, file)
	vnodectl("apply", "/opt/machine/shaped.json")
	assert {states(m.client())[name] for name in "abc"} == {"running"}


def check_netem(options, **wanted):
	"""That tc tells these of it: {kind: {key: value}}."""
	for kind, values in wanted.items():
		for key, value in values.items():
			assert abs(options[kind.replace("_", "-")][key] - value) < 1e-6, (kind, key, options)


def case_every_field_is_in_the_kernel(m):
	"""As tc reads it: netem over the rate and its queue; with reordering under the rate too, which it would pass by."""
	shape(m, "link", "rate=8Mbit", "delay=30ms", "jitter=5ms", "distribution=normal", "loss=1%",
	      "duplicate=2%", "corrupt=3%", "limit_packets=77")
	for name in "a", "b":
		found = chain(device(m, "link", name))
		check_netem(found["netem2:"], delay={"delay": .03, "jitter": .005}, loss_random={"loss": .01},
			    duplicate={"duplicate": .02}, corrupt={"corrupt": .03})
		assert found["tbf3:"]["rate"] == 1_000_000 and found["pfifo5:"]["limit"] == 77, found
		assert set(found) == {"tbf1:", "netem2:", "tbf3:", "pfifo5:"}, found
	vnodectl("lan", "set", "shaped/link", "reorder=4%", "reorder_correlation=50%")
	found = chain(device(m, "link", "a"))
	check_netem(found["netem7:"], delay={"delay": .03, "jitter": .005}, loss_random={"loss": .01},
		    duplicate={"duplicate": .02}, corrupt={"corrupt": .03}, reorder={"reorder": .04, "correlation": .5})
	assert found["netem7:"]["gap"] == 1 and found["tbf6:"]["rate"] == 1_000_000, found
	assert found["tbf8:"]["rate"] == 1_000_000 and found["pfifoa:"]["limit"] == 77, found
	assert set(found) == {"tbf1:", "tbf6:", "netem7:", "tbf8:", "pfifoa:"}, found
	# Correlated losses are a chain of two states: it loses p / (p + r), with correlation 1 - p - r.
	shape(m, "link", "loss=1%", "loss_correlation=25%")
	check_netem(chain(device(m, "link", "a"))["netem2:"],
		    loss_gemodel={"p": .01 * .75, "r": .99 * .75, "1-h": 1, "1-k": 0})
	verify()
	shape(m, "link", "delay=250us")
	found = chain(device(m, "link", "a"))
	assert abs(found["netem2:"]["delay"]["delay"] - .00025) < 2e-6 and set(found) == {"tbf1:", "netem2:"}, found
	clear(m, "link")
	assert chain(device(m, "link", "a")) == {}


def case_bare(m):
	found = send(m, "link", "a", "b")
	assert (found.lost(), found.doubled(), found.altered) == (0, 0, 0), vars(found)
	assert found.overtakers() <= FEW, found.overtakers()
	m.bare = found
	return f"median {found.median():.2f} ms, deviation {found.deviation():.2f} ms"


def case_delay(m):
	"""Both ways of a link, and nothing but delay."""
	shape(m, "link", "delay=40ms")
	notes = []
	for way in ("a", "b"), ("b", "a"):
		found = send(m, "link", *way)
		assert min(found.delays) >= 40, min(found.delays)
		assert found.lost() == 0 and found.overtakers() <= FEW
		notes.append(f"{'→'.join(way)} {found.median() - m.bare.median():.2f} ms")
	return ", ".join(notes)


def case_one_way_only(m):
	"""What a sends, and not what it is sent."""
	shape(m, "link", "loss=30%", "delay=20ms", member=("--member", "a"))
	there, back = send(m, "link", "a", "b"), send(m, "link", "b", "a")
	assert is_share(there.lost(), .3) and min(there.delays) >= 20, there.lost()
	assert back.lost() == 0 and back.median() < there.median(), back.lost()
	return f"lost {percent(there.lost())} of 30 %"


def case_jitter(m):
	"""A distribution has its shape: uniform ends at the jitter, normal does not."""
	notes = []
	for distribution, outside in ("uniform", 0), ("normal", .317), ("pareto", .06):
		shape(m, "link", "delay=100ms", "jitter=20ms", f"distribution={distribution}")
		found = send(m, "link", "a", "b")
		# A slow processor makes all late: that the jitter's end is kept is told by the clock, a share by the median.
		end = found.median() - 20 if distribution == "normal" else 80
		early = sum(delay < end for delay in found.delays) / COUNT
		assert found.lost() == 0 and found.overtakers() > .1, found.overtakers()
		assert early == 0 if distribution != "normal" else is_share(early, outside / 2), (distribution, early)
		assert found.deviation() > .4 * 20, (distribution, found.deviation())
		notes.append(f"{distribution}: deviation {found.deviation():.1f} ms, {percent(early)} before {end:.0f} ms")
	return "; ".join(notes)


def case_duplicate(m):
	shape(m, "link", "duplicate=30%")
	found = send(m, "link", "a", "b")
	assert found.lost() == 0 and is_share(found.doubled(), .3), found.doubled()
	return f"doubled {percent(found.doubled())} of 30 %"


def case_corrupt(m):
	"""A bit of each is turned; where it hits the headers, the datagram does not come."""
	shape(m, "link", "corrupt=25%")
	found = send(m, "link", "a", "b", size=1200)
	share = found.altered / COUNT + found.lost()
	assert found.altered and is_share(share, .25), share
	return f"altered {percent(share)} of 25 %"


def case_reorder(m):
	"""Some overtake all that is delayed."""
	shape(m, "link", "delay=200ms", "reorder=25%")
	found = send(m, "link", "a", "b")
	assert found.lost() == 0 and is_share(found.overtakers(), .25), found.overtakers()
	return f"overtaking {percent(found.overtakers())} of 25 %"


def case_rate_holds_for_all(m):
	"""Whatever else is asked for, no more than the rate comes through: frames are counted with their headers."""
	notes = []
	for more in (), ("delay=20ms",), ("delay=20ms", "jitter=10ms"), ("delay=100ms", "reorder=25%"), ("duplicate=20%",):
		shape(m, "link", "rate=4Mbit", "limit_packets=2000", *more)
		found = send(m, "link", "a", "b", size=1000)
		rate = found.rate(1000 + wire.HEAD.size + 42)
		# What the burst lets through at once.
		assert rate <= 4e6 * (1 + 2 * 2 * 1514 / (1000 * len(found.times))) * 1.03, (more, rate)
		assert found.lost() == 0, (more, found.lost())
		notes.append(f"{' '.join(more) or 'alone'}: {rate / 1e6:.2f}")
	return "Mbit/s of 4, " + ", ".join(notes)


def case_the_daemons_own_measure(m):
	"""vnodectl verify --probe knows what is wanted and finds the loss; times and rates are told, not judged."""
	shape(m, "link", "rate=4Mbit", "delay=20ms")
	vnodectl("lan", "set", "shaped/link", "rate=4Mbit", "delay=20ms", "loss=10%", "--member", "a")
	for _ in range(4):			# each verdict of a good link is wrong once in a hundred times
		said = subprocess.run(["vnodectl", "-o", "json", "verify", "--probe", "shaped/link", "--seconds", "2"],
				      capture_output=True, text=True)
		assert said.returncode in (0, 1), said.stderr
		ways = {row["from"]: row for row in json.loads(said.stdout)["result"]["directions"]}
		if {row["loss"]["verdict"] for row in ways.values()} == {"ok"}:
			break
	else:
		raise AssertionError(ways)
	assert {name: row["loss"]["wanted"] for name, row in ways.items()} == {"a": .1, "b": 0}, ways
	assert ways["b"]["rate_bps"]["wanted"] == 4_000_000 and ways["b"]["delay_ns"]["wanted"] == 20_000_000, ways
	return "; ".join(f"{name}: {row['delay_ns']['measured'] / 1e6:.2f} ms of 20, {row['rate_bps']['measured'] / 1e6:.2f} "
			 f"Mbit/s of 4, lost {percent(row['loss']['measured'])}" for name, row in ways.items())


def case_lan_members_have_a_side_each(m):
	"""In a LAN: what a member sends is shaped at its IFB, what it is sent at its port; others stay as they are."""
	shape(m, "hall", "loss=40%", member=("--member", "a"))
	vnodectl("lan", "set", "shaped/hall", "delay=30ms", "--member", "b", "--from")
	assert set(chain("i" + device(m, "hall", "a")[1:])) == {"tbf1:", "netem2:"}
	assert set(chain(device(m, "hall", "b"))) == {"tbf1:", "netem2:"}
	verify()
	sent = {way: send(m, "hall", *way) for way in ("ab", "ac", "ba", "cb", "ca", "bc")}
	for way in "ab", "ac":
		assert is_share(sent[way].lost(), .4), (way, sent[way].lost())
	for way in "ba", "cb", "ca", "bc":
		assert sent[way].lost() == 0, way
	for way in "ab", "cb":
		assert min(sent[way].delays) >= 30, way
	assert sent["bc"].median() < sent["cb"].median()


def case_verify_sees_and_mends(m):
	"""What someone else does to netem and to a port is told by field, and mended."""
	port = device(m, "hall", "b")
	fabric("tc", "qdisc", "change", "dev", port, "parent", "1:1", "handle", "2:", "netem", "delay", "70ms")
	fabric("ip", "link", "set", device(m, "hall", "c"), "down")
	said = vnodectl("verify", status=1)
	assert "delay" in said and "shaped/b" in said and "shaped/c" in said, said
	vnodectl("verify", "--repair")
	verify()
	assert chain(port)["netem2:"]["delay"]["delay"] == .03
	return said.strip()


def case_shapes_go_without_a_trace(m):
	for lan in "link", "hall":
		clear(m, lan)
		for name in SHAPED["lans"][lan]["members"]:
			assert chain(device(m, lan, name)) == {}, (lan, name)
	verify()
	vnodectl("delete", "shaped")
	left = [row["ifname"] for row in json.loads(fabric("ip", "-d", "-j", "link"))
		if row.get("linkinfo", {}).get("info_kind") == "ifb"]
	assert not left, left


def case_examples(m):
	"""Each topology file of examples/, from the file to its pings and away again."""
	folder = "/opt/machine/examples"
	notes = []
	for name in sorted(os.listdir(folder)):
		document = load(f"{folder}/{name}")
		if document["topology"] == "ring" or any("tunnels" in lan for lan in document["lans"].values()):
			continue		# is there from the boot on, or needs another host: boot_lab.py has two
		if any(vnode.get("image") == "debian" for vnode in document["vnodes"].values()):
			continue		# boot_guest.py has that
		vnodectl("apply", f"{folder}/{name}")
		notes.append(f"{name}: {ping_all(m.client(), document)} pings")
		verify()
		vnodectl("delete", document["topology"])
	return ", ".join(notes)
