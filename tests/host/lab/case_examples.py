"""The examples do what they are there to show; on a kernel without netem without what needs it."""
import json
import os

from lab.case_schedule import fired, rate, states
from lab.case_shape import ports
from lab.world import World, ping

NEEDS_NETEM = {"delay", "jitter", "distribution", "loss", "loss_correlation", "duplicate", "corrupt", "reorder",
	       "reorder_correlation"}


EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../examples")


def has_netem(w):
	for job in w.client.call("job.list", all=True)["jobs"]:
		if job["method"] == "host.probe":
			w.client.call("job.wait", job=job["job"])
	return not any("netem" in sentence for sentence in w.client.call("host.info")["missing"])


def without_netem(value):
	"""Every shape in a document with its rate and queue only."""
	if isinstance(value, dict):
		return {key: without_netem(inner) for key, inner in value.items() if key not in NEEDS_NETEM}
	return [without_netem(inner) for inner in value] if isinstance(value, list) else value


def example(w, name):
	with open(os.path.join(EXAMPLES, name + ".json")) as file:
		document = json.load(file)
	if has_netem(w):
		return document
	print(f"  no netem in this kernel: {name} is applied with its rates only", flush=True)
	return without_netem(document)


def case_example_dumbbell(build):
	"""Both pairs reach each other over the bottleneck, which is as narrow as the file says."""
	with World(build) as w:
		w.client.change("topology.apply", document=example(w, "dumbbell"))
		assert ping(w.client, "left1", "10.20.1.2", 5) and ping(w.client, "left2", "10.20.2.2", 5)
		assert ping(w.client, "left1", "10.20.2.2", 5)
		both = ports(w, "bottleneck")
		assert rate(w, both["router1"]["device"]) == rate(w, both["router2"]["device"]) == 5_000_000
		assert w.client.call("topology.plan", document=example(w, "dumbbell"))["empty"]


def case_example_star_asymmetric(build):
	"""What each member sends and is sent has the shape of its own direction."""
	with World(build) as w:
		w.client.change("topology.apply", document=example(w, "star-asymmetric"))
		members = ports(w, "internet")
		assert members["home"]["to"]["rate_bps"] == 10_000_000 and members["home"]["from"]["rate_bps"] == 50_000_000
		device = members["satellite"]["device"]
		assert rate(w, device) == 10_000_000 and rate(w, "i" + device[1:]) == 1_000_000
		assert rate(w, "i" + members["server"]["device"][1:]) == 1_000_000_000
		assert ping(w.client, "home", "10.7.0.1", 5) and ping(w.client, "satellite", "fd07::1", 5)


def case_example_schedule(build):
	"""The link degrades, goes and comes back; here a hundred times as fast."""
	with World(build) as w:
		document = example(w, "schedule")
		schedule = document["lans"]["link0"]["schedule"]
		for entry in schedule:
			entry["after"] = entry["after"].removesuffix("s") + "0ms"
		w.client.subscribe()
		w.client.change("topology.apply", document=document)
		for number in range(len(schedule)):
			fired(w, number)
		assert states(w, "link0") == ["done"] * len(schedule)
		both = ports(w, "link0")
		assert rate(w, both["alice"]["device"]) == rate(w, both["bob"]["device"]) == 10_000_000
		assert ping(w.client, "alice", "10.8.0.2", 5)
