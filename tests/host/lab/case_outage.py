"""libvirtd dies, and comes back; vnoded starts without it."""
import os
import signal

from lab.world import (World, inits_of, libvirtd_pid, ping, remove_libvirts_cgroups, star, start_libvirtd,
		       stop_libvirtd)


def ensure_libvirtd():
	if not libvirtd_pid():
		start_libvirtd()


def await_recovery(c):
	"""What clears up after an outage holds the vnodes that it looks at until it has ended."""
	c.event("host.warning")
	c.event("job.state", method="host.recover", state="done")


def case_libvirtd_killed(build):
	try:
		with World(build) as w:
			c = w.client
			c.change("topology.apply", document=star(3))
			before = inits_of(c, ["n1", "n2", "n3"])
			c.subscribe()
			stop_libvirtd()
			c.event("host.warning")
			assert ping(c, "n1", "10.2.0.2", 3)
			os.kill(before["n3"], signal.SIGKILL)
			assert c.event("vnode.exit", vnode="n3")["data"]["cause"] == "killed"
			c.change("vnode.create", name="late", image="busybox")
			refusal = c.refused("vnode.boot", vnode="late", wait=True)
			assert refusal.code == "backend" and "libvirt" in refusal.text, refusal
			start_libvirtd()
			await_recovery(c)
			c.change("vnode.boot", vnode="late")
			c.call("vnode.wait", vnode="n3", observed=["stopped", "failed"])
			c.change("vnode.boot", vnode="n3")
			assert ping(c, "n3", "10.2.0.1", 3)
			after = inits_of(c, ["n1", "n2"])
			assert after["n1"] == before["n1"] and after["n2"] == before["n2"]
			os.kill(after["n2"], signal.SIGKILL)
			assert c.event("vnode.exit", vnode="n2")["data"]["cause"] == "killed"
			stop_libvirtd()
			start_libvirtd()
			await_recovery(c)
			c.change("vnode.halt", vnode="n1")
			c.change("vnode.boot", vnode="n1")
			remove_libvirts_cgroups()
	finally:
		ensure_libvirtd()


def case_start_without_libvirtd(build):
	try:
		with World(build) as w:
			w.client.change("topology.apply", document=star(3))
			before = inits_of(w.client, ["n1", "n2", "n3"])
			w.client.subscribe()
			w.daemon.kill()
			stop_libvirtd()
			os.kill(before["n3"], signal.SIGKILL)
			w.reconnect()
			c = w.client
			assert inits_of(c, ["n1", "n2"]) == {name: before[name] for name in ("n1", "n2")}
			assert ping(c, "n1", "10.2.0.2", 3)
			missing = " ".join(c.call("host.info")["missing"])
			warned = [event for event in c.call("event.list", since=c.last_seq)["events"]
				  if event["type"] == "host.warning"]
			assert "libvirt" in missing or "libvirt" in str(warned), (missing, warned)
			assert c.refused("vnode.boot", vnode="n3", wait=True).code in ("backend", "busy", "state")
			c.subscribe()
			start_libvirtd()
			await_recovery(c)
			c.change("vnode.boot", vnode="n3")
			assert ping(c, "n3", "10.2.0.1", 3)
			remove_libvirts_cgroups()
	finally:
		ensure_libvirtd()
