"""The power goes in the middle of an apply; the next boot finds the topology whole or not at all.

Each of these boots looks at what the one before it left, then begins the same again and is cut at its own
moment: after so many events of the apply, at the first vnode that runs, or right after the answer.
"""
import os

from lab.world import domains, star
from machine import RING, STATE, load, ping_all, states, verify

WAVE = star(8, name="wave")


def wave_of(client):
	"""The vnodes and LANs of the topology; two empty sets when there is none."""
	vnodes = {row["name"]: row for row in client.list().values() if row["topology"] == "wave"}
	lans = {lan["name"] for lan in client.call("lan.list")["lans"] if lan["topology"] == "wave"}
	return vnodes, lans


def look(m):
	"""Whole or absent; returns which."""
	c = m.client()
	vnodes, lans = wave_of(c)
	assert (set(vnodes), lans) in ((set(), set()), (set(WAVE["vnodes"]), set(WAVE["lans"]))), (set(vnodes), lans)
	if vnodes:
		found = {name: (row["wanted"], row["observed"]) for name, row in vnodes.items()}
		assert set(found.values()) == {("running", "running")}, found
		ping_all(c, WAVE)
	if m.notes.get("moment") == "answer":
		assert vnodes, "what was answered as done is lost"
	return "whole" if vnodes else "absent"


def case_whole_or_absent(m):
	return f"after the cut at {m.notes['moment']}: {look(m)}" if "moment" in m.notes else "not cut yet"


def case_ring_came_back(m):
	c = m.client()
	found = {name: state for name, state in states(c).items() if name.startswith("r")}
	assert found == {f"r{i}": "running" for i in range(1, 7)}, found
	return f"{ping_all(c, load(RING))} pings answered"


def case_verify_is_clean(m):
	return verify()


def case_no_job_and_nothing_else_is_left(m):
	c = m.client()
	assert c.call("job.list")["jobs"] == []
	count = len(c.list())
	disks = os.listdir(f"{STATE}/disks")
	assert len(disks) == count, f"{count} vnodes, disks {disks}"
	assert len(domains()) == count, domains()


def case_it_can_be_removed(m):
	c = m.client()
	if wave_of(c)[0]:
		c.change("topology.delete", topology="wave")
	assert wave_of(c) == ({}, set())


def end(m):
	m.notes["moment"] = m.moment
	m.notes.save()
	os.sync()
	c = m.client()
	c.subscribe()
	id = c.send("topology.apply", {"document": WAVE, "wait": True})
	if m.moment == "answer":
		c.wait(id)
	elif m.moment == "running":
		c.event("vnode.state", topology="wave", to="running")
	else:
		for _ in range(m.moment):
			c.next_event()
	m.cut_power()
