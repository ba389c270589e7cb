#!/usr/bin/env python3
"""vnodectl and bootvnodes against vnoded itself, on its machine in memory: what they assume about each
other is true. usage: check_with_daemon.py VNODECTL BOOTVNODES VNODED
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback

VNODECTL, BOOTVNODES, VNODED = (os.path.abspath(path) for path in sys.argv[1:4])
TIME = 60
PAIR = {
	"topology": "pair",
	"vnodes": {"alice": {"image": "busybox", "memory": "64MiB",
			     "forwards": [{"host": 42201, "guest": 22}]},
		   "bob": {"image": "busybox"}},
	"lans": {"link0": {"members": {"alice": {"address": "10.1.0.1/24"},
				       "bob": {"address": ["10.1.0.2/24", "fd01::2/64"]}}}},
}


class Host:
	"""A daemon with folders of its own; ready when it says so, as systemd would hear it."""

	def __init__(self):
		self.folder = tempfile.mkdtemp(prefix="vnoded-with-")
		self.socket = self.folder + "/run/vnoded.sock"
		ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		ear.bind(self.folder + "/notify")
		ear.settimeout(TIME)
		self.log = open(self.folder + "/log", "w+")
		self.daemon = subprocess.Popen(
			[VNODED, "--fake", "--config", "/dev/null", "--set", "default_backend=fake",
			 "--set", "state_dir=%s/state" % self.folder, "--set", "run_dir=%s/run" % self.folder],
			stderr=self.log, env={**os.environ, "NOTIFY_SOCKET": self.folder + "/notify"})
		while b"READY=1" not in ear.recv(4096):
			pass
		ear.close()

	def run(self, *words, program=VNODECTL, input=None):
		done = subprocess.run([program, "--socket", self.socket, *words], input=input or "", text=True,
				      capture_output=True, timeout=TIME)
		return done.returncode, done.stdout, done.stderr

	def must(self, *words, **more):
		status, out, err = self.run(*words, **more)
		assert (status, err) == (0, ""), "%s: status %d, %s" % (words, status, err)
		return out

	def json(self, *words):
		return json.loads(self.must("-o", "json", *words))

	def refused(self, status, part, *words):
		got, out, err = self.run(*words)
		assert got == status and part in err, "%s: status %d, %s" % (words, got, err)
		assert err.count("\n") == 1, err

	def file(self, name, text):
		path = os.path.join(self.folder, name)
		with open(path, "w") as file:
			file.write(text)
		return path

	def states(self):
		return {row["name"]: (row["wanted"], row["observed"]) for row in self.json("list")["vnodes"]}

	def close(self):
		self.daemon.send_signal(signal.SIGTERM)
		status = self.daemon.wait(TIME)
		assert status == 0, "vnoded ended with status %d" % status
		self.log.close()
		shutil.rmtree(self.folder)

	def abandon(self):
		self.daemon.kill()
		self.daemon.wait()
		self.log.seek(0)
		print("what vnoded said:\n%s" % self.log.read())
		self.log.close()
		shutil.rmtree(self.folder)


def same(got, wanted):
	assert got == wanted, "got %r, wanted %r" % (got, wanted)


def with_lab(host):
	host.must("image", "add", "busybox", host.file("image", "an archive"), "--insecure-no-digest")
	path = host.file("pair.json", json.dumps(PAIR))
	host.must("apply", path)
	return path


def applies_only_the_difference(host):
	path = with_lab(host)
	same(host.states(), {"alice": ("running", "running"), "bob": ("running", "running")})
	same(host.json("plan", path)["actions"], [])
	smaller = dict(PAIR, vnodes={"alice": PAIR["vnodes"]["alice"]}, lans={})
	less = host.file("less.json", json.dumps(smaller))
	kept = {action["name"] for action in host.json("plan", less)["actions"] if action["action"] == "keep"}
	same(kept, {"bob", "link0"})
	host.must("apply", less, "--prune")
	same(list(host.states()), ["alice"])


def exports_what_it_applies(host):
	with_lab(host)
	exported = host.must("export", "pair")
	same(host.json("plan", host.file("again.json", exported))["actions"], [])
	host.must("delete", "pair")
	host.must("apply", "-", input=exported)
	same(len(host.states()), 2)


def changes_states(host):
	with_lab(host)
	host.must("halt", "alice", "pair/bob")
	same(host.states(), {"alice": ("stopped", "stopped"), "bob": ("stopped", "stopped")})
	assert host.must("mount", "alice").startswith("/")
	host.must("unmount", "alice")
	host.must("boot", "--all")
	host.must("wait-for", "alice", "running", "failed")
	host.must("reboot", "bob")
	host.must("set", "alice", "memory=128MiB", "restart=always")
	same(host.json("show", "alice")["memory_bytes"], 128 << 20)
	host.refused(1, "restart", "set", "alice", "vcpus=2")
	host.must("set", "alice", "vcpus=2", "--allow-restart")
	host.must("create", "carol", "--image", "busybox", "--memory", "32MiB", "--forwards", "42202:80/tcp")
	same(host.states()["carol"], ("stopped", "stopped"))
	host.must("destroy", "--all", "--force")
	same(host.states(), {})


def refuses_in_one_line(host):
	path = with_lab(host)
	host.refused(1, "no vnode 'x'", "show", "x")
	host.refused(1, "no vnode 'x'", "boot", "x")
	host.refused(125, "no vnode 'x'", "exec", "x", "--", "true")
	host.refused(1, "use image", "image", "rm", "busybox")
	host.refused(1, "no method", "raw", "a.b")
	host.refused(1, "/vnode", "raw", "vnode.get", "{}")
	bad = dict(PAIR, vnodes={"alice": {"memory": "64"}, "bob": {}})
	host.refused(1, "bad.json: /vnodes/alice/memory: ", "apply", host.file("bad.json", json.dumps(bad)))
	host.refused(1, "has ended", "cancel", "1")
	same(host.json("plan", path)["actions"], [])


def runs_commands(host):
	with_lab(host)
	same(host.run("exec", "alice", "--", "true")[0], 0)
	same(host.run("exec", "alice", "--", "false")[0], 1)


def steers_lans_and_tells_events(host):
	with_lab(host)
	host.must("lan", "down", "link0", "--member", "alice")
	same([member["up"] for member in host.json("lan", "show", "link0")["members"]], [False, True])
	host.must("lan", "up", "link0", "--member", "alice")
	host.must("lan", "set", "link0", "mtu=1400")
	same(host.json("lan", "list")["lans"][0]["mtu"], 1400)
	events = [json.loads(line) for line in host.must("-o", "json", "events").splitlines()]
	same([event["seq"] for event in events], list(range(1, len(events) + 1)))
	types = {event["type"] for event in events}
	assert {"vnode.state", "lan.change", "job.state", "image.state"} <= types, types
	for words in (["jobs", "--all"], ["job", "1"], ["topology", "list"], ["topology", "show", "pair"],
		      ["lan", "list"], ["image", "list"], ["image", "show", "busybox"], ["info"], ["show", "bob"],
		      ["list", "--fields", "exit,memory_bytes"]):
		assert host.must(*words), words


def schedules_changes(host):
	with_lab(host)
	path = host.file("schedule.json", json.dumps([
		{"after": "0s", "members": {"alice": {"shape": {"to": {"rate": "1Mbit"}}}}},
		{"after": "3600s", "shape": {"rate": "2Mbit", "loss": None}, "up": False}]))
	follow = subprocess.Popen([VNODECTL, "--socket", host.socket, "-o", "json", "events", "--follow", "--since", "0",
				   "--types", "job.state"], stdout=subprocess.PIPE, text=True)
	host.must("lan", "schedule", "link0", path)
	for line in follow.stdout:
		data = json.loads(line)["data"]
		if (data["method"], data["state"]) == ("lan.set", "done"):
			break
	follow.kill()
	follow.communicate()
	shown = host.json("lan", "show", "link0")
	same([(entry["entry"], entry["state"]) for entry in shown["schedule"]], [(0, "done"), (1, "pending")])
	same(shown["members"][0]["to"]["rate_bps"], 1000000)
	out = host.must("lan", "show", "link0")
	assert "alice to rate=1Mbit" in out and "down rate=2Mbit loss=-" in out and "pending" in out, out
	same(host.json("export", "pair")["lans"]["link0"]["schedule"][0]["after"], "0s")
	host.refused(1, "/schedule/0/at: 2020-01-01T00:00:00Z is over", "lan", "schedule", "link0",
		     host.file("past.json", '[{"at": "2020-01-01T00:00:00Z", "up": true}]'))
	host.refused(2, "either a file with the schedule, or --clear", "lan", "schedule", "link0")
	host.refused(2, "either a file with the schedule, or --clear", "lan", "schedule", "link0", path, "--clear")
	host.must("lan", "schedule", "link0", "--clear")
	same(host.json("lan", "show", "link0")["schedule"], [])
	host.must("lan", "schedule", "link0", "-", input='{"schedule": [{"after": "1s", "up": true}]}')
	same(len(host.json("lan", "show", "link0")["schedule"]), 1)


def verifies_and_repairs(host):
	with_lab(host)
	assert host.must("verify").startswith("all is as wanted: 4 ports"), host.must("verify")
	same(host.json("verify", "pair")["differences"], [])
	same(host.must("verify", "--repair"), "mended: 0\n")
	host.refused(1, "no topology 'nosuch'", "verify", "nosuch")


def takes_the_host_down_and_up(host):
	path = with_lab(host)
	os.mkdir(host.folder + "/topologies")
	shutil.copy(path, host.folder + "/topologies")
	host.must("halt", "bob")
	host.must("--halt", "--budget", "5", program=BOOTVNODES)
	same(host.states(), {"alice": ("running", "stopped"), "bob": ("stopped", "stopped")})
	out = host.must("--dir", host.folder + "/topologies", program=BOOTVNODES)
	assert "nothing to change" in out, out
	same(host.states(), {"alice": ("running", "running"), "bob": ("stopped", "stopped")})
	host.must("teardown", "--yes")


def main():
	tests = [applies_only_the_difference, exports_what_it_applies, changes_states, refuses_in_one_line,
		 runs_commands, steers_lans_and_tells_events, schedules_changes, verifies_and_repairs,
		 takes_the_host_down_and_up]
	failed = 0
	for test in tests:
		host = Host()
		try:
			test(host)
			host.close()
		except Exception:
			failed += 1
			print("FAILED %s" % test.__name__)
			traceback.print_exc(file=sys.stdout)
			host.abandon()
	print("client with daemon: %d passed, %d failed" % (len(tests) - failed, failed))
	return 1 if failed else 0


if __name__ == "__main__":
	sys.exit(main())
