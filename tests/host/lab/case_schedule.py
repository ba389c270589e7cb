"""Schedules against the kernel: rates that change by the clock, carriers, a daemon that is killed in between."""
from lab.case_shape import ports, qdiscs
from lab.world import World, ping, star


def rate(w, device):
	"""Bits a second of a device's tbf; None: not shaped."""
	return next((8 * row["options"]["rate"] for name, row in qdiscs(w, device).items() if name.startswith("tbf")), None)


def states(w, lan="campus"):
	return [row["state"] for row in w.client.call("lan.get", lan=lan)["schedule"]]


def fired(w, entry):
	"""Waits until an entry has been begun, then for its job."""
	while True:
		data = w.client.event("lan.change")
		if data["data"].get("what") == "schedule" and data["data"]["entry"] == entry:
			assert data["data"]["late_ns"] >= 0 and data["data"]["state"] == "fired", data
			w.client.call("job.wait", job=data["job"])
			return data


def case_a_schedule_shapes_by_the_clock(build):
	"""What a document brings happens in order, in the kernel; another list and an empty one end what is pending."""
	with World(build) as w:
		document = star(3)
		lan = document["lans"]["campus"]
		lan["shape"] = {"rate": "10Mbit"}
		lan["schedule"] = [{"after": "3600s", "up": False}, {"after": "100ms", "shape": {"rate": "1Mbit"}},
				   {"after": "200ms", "shape": {"rate": "7Mbit"}}]
		w.client.subscribe()
		w.client.change("topology.apply", document=document)
		own = ports(w, "campus")
		ifb = {name: "i" + row["device"][1:] for name, row in own.items()}
		fired(w, 1)
		fired(w, 2)
		assert rate(w, ifb["n2"]) == 7_000_000 and states(w) == ["done", "done", "pending"]
		exported = w.client.call("topology.export", topology=document["topology"])
		assert exported["lans"]["campus"]["schedule"] == lan["schedule"]
		w.client.change("lan.schedule", lan="campus", schedule=[
			{"after": "50ms", "members": {"n1": {"shape": {"to": {"rate": "2Mbit"}, "from": {"rate": "3Mbit"}}},
						      "n2": {"up": False}}}])
		fired(w, 0)
		assert rate(w, ifb["n1"]) == 2_000_000 and rate(w, own["n1"]["device"]) == 3_000_000
		assert not ports(w, "campus")["n2"]["up"] and not ping(w.client, "n1", "10.2.0.2")
		w.client.change("lan.schedule", lan="campus", schedule=[
			{"after": "50ms", "shape": {"rate": "10Mbit"}, "up": True}, {"after": "3600s", "up": False}])
		fired(w, 0)
		assert rate(w, ifb["n3"]) == 10_000_000 and rate(w, ifb["n1"]) == 2_000_000
		assert ping(w.client, "n1", "10.2.0.2", 3) and states(w) == ["done", "pending"]
		w.client.change("lan.schedule", lan="campus", schedule=[])
		assert states(w) == []


def case_a_schedule_outlives_the_daemon(build):
	"""kill -9 with an entry due meanwhile and one still to come: each happens once."""
	with World(build) as w:
		w.client.change("topology.apply", document=star(3))
		w.client.change("lan.schedule", lan="campus", schedule=[
			{"after": "1ms", "members": {"n1": {"shape": {"to": {"rate": "4Mbit"}}}}},
			{"after": "100ms", "members": {"n1": {"shape": {"to": {"rate": "5Mbit"}}}}},
			{"after": "3600s", "up": False}])
		w.daemon.kill()
		w.restart()
		w.client.subscribe(since=0)
		fired(w, 0)
		fired(w, 1)
		assert states(w) == ["done", "done", "pending"]
		device = ports(w, "campus")["n1"]["device"]
		assert rate(w, "i" + device[1:]) == 5_000_000
		told = [event["data"]["entry"] for event in w.client.call("event.list", types=["lan.change"])["events"]
			if event["data"].get("what") == "schedule"]
		assert told == [0, 1], told
		refusal = w.client.refused("lan.schedule", lan="campus", schedule=[{"at": "2020-01-01T00:00:00Z", "up": True}])
		assert refusal.path == "/schedule/0/at", refusal
