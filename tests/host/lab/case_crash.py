"""vnoded is killed: while nothing happens, and in the middle of each verb."""
import copy
import json
import os
import signal
import sqlite3

from lab.ping import Ping
from lab.world import (World, domains, fabric, inits_of, ping, ring, run, star, things, difference)


def rows(daemon, table="vnodes"):
	"""A table of the database, as it is on disk."""
	with sqlite3.connect(f"file:{daemon.state_dir}/vnoded.db?mode=ro", uri=True) as db:
		return db.execute(f"SELECT * FROM {table}").fetchall()


def picture(w, names):
	"""Everything a restart must leave as it is."""
	nft = run("nft", "list", "ruleset").splitlines()
	links = json.loads(fabric(w.daemon, "ip", "-j", "addr"))
	links = [{key: link.get(key) for key in ("ifname", "ifindex", "master", "mtu", "address", "operstate", "addr_info")}
		 for link in links]
	for link in links:
		for address in link["addr_info"]:
			address.pop("valid_life_time", None), address.pop("preferred_life_time", None)
	return {"inits": inits_of(w.client, names), "nft": sorted(nft), "links": links, "rows": rows(w.daemon),
		"lans": rows(w.daemon, "lans"), "things": things_but_vnoded(), "list": w.client.list()}


def things_but_vnoded():
	found = things()
	found["processes"] = {name for name in found["processes"] if name.startswith("libvirt_lxc")}
	return found


def case_kill_while_idle(build):
	"""Connections inside go on, the same guests run, and a second start changes nothing."""
	with World(build) as w:
		names = ["n1", "n2", "n3"]
		document = ring(3, forwards=[])
		document["vnodes"]["n1"]["forwards"] = [{"host": 2201, "guest": 80}]
		w.client.change("topology.apply", document=document)
		before = picture(w, names)
		pings = [Ping(before["inits"]["n1"], address, 0.05) for address in ("10.1.1.2", "fd02::3")]
		w.restart()
		for flow in pings:
			flow.await_replies()
		after = picture(w, names)
		assert after == before, difference(before, after)
		w.restart()
		again = picture(w, names)
		assert again == before, difference(before, again)
		w.daemon.stop()
		w.reconnect()
		assert picture(w, names) == before
		for flow in pings:
			flow.await_replies()
			flow.end()
		assert w.client.call("job.list")["jobs"] == []


def case_ended_while_away(build):
	"""What ended while vnoded was away is found, told with its cause, and restarted by its policy."""
	with World(build) as w:
		document = star(4)
		document["vnodes"]["n2"]["restart"] = "on-failure"
		w.client.change("topology.apply", document=document)
		inits = inits_of(w.client, ["n1", "n2", "n3", "n4"])
		w.client.subscribe()
		w.daemon.kill()
		handles = {name: os.pidfd_open(inits[name]) for name in ("n1", "n2")}
		for name in handles:
			signal.pidfd_send_signal(handles[name], signal.SIGKILL)
		w.reconnect()
		w.client.subscribe(since=w.client.last_seq, types=["vnode.exit", "vnode.state"])
		causes = {}
		while len(causes) < 2:
			event = w.client.event("vnode.exit")
			causes[event["vnode"]] = event["data"]["cause"]
		assert causes == {"n1": "killed", "n2": "killed"}, causes
		w.client.call("vnode.wait", vnode="n2", observed=["running"])
		assert w.client.call("vnode.wait", vnode="n1", observed=["stopped"])["exit"]["cause"] == "killed"
		assert ping(w.client, "n2", "10.2.0.3")
		after = inits_of(w.client, ["n3", "n4"])
		assert after["n3"] == inits["n3"] and after["n4"] == inits["n4"]


# ---- in the middle of a verb ----

def kill_after_events(w, method, params, n):
	"""Kills vnoded when the n-th event of a verb has come; False when the verb ended before."""
	w.client.subscribe()
	id = w.client.send(method, dict(params, wait=True))
	seen = 0
	while seen < n:
		if id in w.client.answers:
			w.client.answers.pop(id)
			return False
		if w.client.notifications:
			w.client.next_event()
			seen += 1
		else:
			w.client.receive()
	w.daemon.kill()
	return True


def settle(w):
	"""Starts vnoded again and waits until no job is left; the outcome of the topmost last one."""
	w.reconnect()
	while True:
		jobs = w.client.call("job.list")["jobs"]
		if not jobs:
			break
		for job in jobs:
			w.client.call("job.wait", job=job["job"])
	return w.client.call("job.list", all=True, limit=1000)["jobs"]


def outcome(jobs, method):
	found = [job for job in jobs if job["method"] == method and not job.get("parent")]
	return found[0]["state"] if found else None


def check_consistent(w, empty):
	"""libvirt, the fabric and the rows tell of the same vnodes; nothing is held by a job."""
	c = w.client
	listed = c.list(fields=["error", "since"])
	assert not [row for row in listed.values() if row["job"]], listed
	running = {f"-{row['vmid']}" for row in listed.values() if row["observed"] == "running"}
	found = {name[name.rindex("-"):] for name in domains()}
	assert found == running, (found, listed)
	assert not [row for row in listed.values() if row["observed"] not in ("running", "stopped")], listed
	left = difference(empty, things_but_vnoded()) if not listed else {}
	assert not left, f"left behind: {left}"


def crash_at_each_event(build, method, prepare, params, check, step=1, limit=40):
	"""prepare → the verb, killed after 1, 2, … events → restart → check(outcome) → clean again."""
	points = 0
	with World(build) as w:
		empty = things_but_vnoded()
		n = 1
		while n < limit:
			prepare(w.client)
			killed = kill_after_events(w, method, params, n)
			outcomes = settle(w)
			state = outcome(outcomes, method)
			try:
				check(w, state)
				check_consistent(w, empty)
			except BaseException:
				print(f"{method} killed after event {n}, outcome {state}")
				raise
			for name in [row["name"] for row in w.client.call("topology.list")["topologies"]]:
				w.client.change("topology.delete", topology=name)
			check_consistent(w, empty)
			if not killed:
				break
			points += 1
			n += step
	print(f"  {method}: killed at {points} points")
	assert points > 0


def case_kill_during_apply(build):
	document = ring(3)

	def check(w, state):
		listed = w.client.list()
		if state == "done":
			assert len(listed) == 3 and all(row["observed"] == "running" for row in listed.values()), listed
			assert w.client.call("topology.plan", document=document)["actions"] == []
			for i in 1, 2, 3:
				assert ping(w.client, f"n{i}", f"10.1.{i}.2", 3), "the lab is not whole"
		else:
			assert not listed, (state, listed)
			assert not w.client.call("topology.list")["topologies"]

	crash_at_each_event(build, "topology.apply", lambda client: None, {"document": document}, check, step=3)


def case_kill_during_a_changing_apply(build):
	"""One vnode goes, one comes, one changes: all of it or nothing of it."""
	document = star(3)
	changed = copy.deepcopy(document)
	del changed["vnodes"]["n3"], changed["lans"]["campus"]["members"]["n3"]
	changed["vnodes"]["n4"] = {"image": "busybox"}
	changed["lans"]["campus"]["members"]["n4"] = {"address": "10.2.0.4/24"}
	changed["vnodes"]["n1"]["vcpus"] = 1

	def prepare(client):
		client.change("topology.apply", document=document)

	def check(w, state):
		want = changed if state == "done" else document
		assert w.client.call("topology.plan", document=want, prune=True)["actions"] == [], (state, w.client.list())
		names = list(want["vnodes"])
		assert all(row["observed"] == "running" for row in w.client.list().values()), w.client.list()
		assert ping(w.client, names[0], f"10.2.0.{names[-1][1:]}", 3)

	crash_at_each_event(build, "topology.apply", prepare, {"document": changed, "prune": True}, check, step=3)


def case_kill_during_halt(build):
	def prepare(client):
		client.change("topology.apply", document=star(2))

	def check(w, state):
		observed = w.client.call("vnode.get", vnode="n1")["observed"]
		assert observed == ("stopped" if state == "done" else "running"), (state, observed)
		w.client.change("vnode.boot", vnode="n1")
		assert ping(w.client, "n1", "10.2.0.2", 3)

	crash_at_each_event(build, "vnode.halt", prepare, {"vnode": "n1"}, check)


def case_kill_during_reload(build):
	def prepare(client):
		client.change("topology.apply", document=star(2))
		client.output("n1", "echo mine > /etc/mine")

	def check(w, state):
		w.client.change("vnode.boot", vnode="n1")
		is_old = w.client.shell("n1", "cat /etc/mine").status == 0
		assert is_old == (state != "done"), (state, is_old)
		assert ping(w.client, "n1", "10.2.0.2", 3)

	crash_at_each_event(build, "vnode.reload", prepare, {"vnode": "n1"}, check)


def case_kill_during_destroy(build):
	def prepare(client):
		client.change("topology.apply", document=star(2))

	def check(w, state):
		listed = w.client.list()
		assert ("star/n1" in listed) == (state != "done"), (state, listed)
		assert listed["star/n2"]["observed"] == "running"

	crash_at_each_event(build, "vnode.destroy", prepare, {"vnode": "n1"}, check)


def case_kill_during_image_add(build):
	points = 0
	with World(build, image=False) as w:
		for n in range(1, 12):
			killed = kill_after_events(w, "image.add", {"name": "busybox", "file": "busybox.tar.gz",
								   "sha256": build.sha256}, n)
			state = outcome(settle(w), "image.add")
			images = {row["name"]: row["state"] for row in w.client.call("image.list")["images"]}
			print(f"  image.add killed after event {n}: {state} {images}")
			assert images == ({"busybox": "ready"} if state == "done" else {}), (state, images)
			folders = os.listdir(os.path.join(w.daemon.state_dir, "images"))
			assert len([name for name in folders if len(name) == 64]) == len(images), folders
			if images:
				w.client.change("vnode.create", name="v", image="busybox")
				w.client.change("vnode.boot", vnode="v")
				w.client.change("vnode.destroy", vnode="v")
				w.client.change("image.remove", image="busybox")
			assert not [name for name in os.listdir(os.path.join(w.daemon.state_dir, "images"))
				    if len(name) == 64]
			points += killed
			if not killed:
				break
	assert points > 0
