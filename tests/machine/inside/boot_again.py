"""The machine was switched off in good order with a lab running: without a hand the lab is there again."""
from lab.world import run
from machine import RING, boot_id, load, ping_all, show, states, verify, vnodectl


def case_it_is_another_boot(m):
	assert boot_id() != m.notes["boot_id"]
	assert m.client().call("host.info")["boot_id"] == boot_id()


def case_shutdown_halted_the_lab(m):
	"""bootvnodes did it, not systemd by killing, and nobody's wish changed."""
	said = run("journalctl", "-b", "-1", "-u", "bootvnodes.service", "-o", "cat")
	assert said.rstrip().splitlines() and "host: halt: done" in said, said[-600:]
	assert "timed out" not in said, said[-600:]
	events = m.client().call("event.list", types=["vnode.exit"], limit=1000)["events"]
	last = {event["vnode"]: event["data"]["cause"] for event in events}
	assert {last[f"r{i}"] for i in range(1, 7)} == {"halted"}, last


def case_the_lab_is_up(m):
	assert show("bootvnodes.service", "ActiveState") == "active"
	found = states(m.client())
	want = dict({f"r{i}": "running" for i in range(1, 7)}, r5="stopped")
	assert found == want, found
	return f"{ping_all(m.client(), load(RING), without=['r5'])} pings answered"


def case_boot_was_not_held_up(m):
	at = {unit: int(show(unit, "ActiveEnterTimestampMonotonic")) / 1e6
	      for unit in ("vnoded.service", "multi-user.target", "bootvnodes.service")}
	assert at["vnoded.service"] < at["multi-user.target"] < at["bootvnodes.service"], at
	return ", ".join(f"{unit} at {second:.1f} s" for unit, second in at.items())


def case_nothing_failed(m):
	assert not run("systemctl", "--failed", "--plain", "--no-legend").strip()


def case_the_halted_one_boots_with_its_links(m):
	vnodectl("boot", "r5")
	ping_all(m.client(), load(RING))


def case_verify_is_clean(m):
	return verify()
