#!/usr/bin/env python3
"""vnodectl and bootvnodes against a fake daemon. usage: check_client.py VNODECTL BOOTVNODES [TEST...]

Each function whose name begins with a verb in the third person is a test.
"""
import fcntl
import json
import os
import pty
import queue
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import traceback
import tty

from fake_daemon import FakeDaemon, HANG_UP, NO_ANSWER, Refusal

VNODECTL, BOOTVNODES = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
TIME = 30				# seconds after which something hangs
tests = []


def test(function):
	tests.append(function)
	return function


class Env:
	def __init__(self):
		self.folder = tempfile.mkdtemp(prefix="vnoded-client-")
		self.daemon = None

	def serve(self, **handlers):
		named = {name.replace("_", ".", 1): handler for name, handler in handlers.items()}
		self.daemon = FakeDaemon(self.folder, named)
		return self.daemon

	def socket(self):
		return os.path.join(self.folder, "vnoded.sock")

	def command(self, *words):
		return [VNODECTL, "--socket", self.socket(), *words]

	def run(self, *words, input=None):
		done = subprocess.run(self.command(*words), input=input, capture_output=True, text=True,
				      timeout=TIME, stdin=None if input is not None else subprocess.DEVNULL)
		return done.returncode, done.stdout, done.stderr

	def start(self, *words, **more):
		return subprocess.Popen(self.command(*words), stdin=subprocess.DEVNULL, text=True,
					stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)

	def bootvnodes(self, *words):
		done = subprocess.run([BOOTVNODES, "--socket", self.socket(), "--patience", "0.2", *words],
				      capture_output=True, text=True, timeout=TIME)
		return done.returncode, done.stdout, done.stderr

	def write(self, name, text):
		path = os.path.join(self.folder, name)
		with open(path, "w") as file:
			file.write(text)
		return path

	def close(self):
		if self.daemon:
			try:
				self.daemon.stop()
			except OSError:
				pass
		shutil.rmtree(self.folder)


class Terminal:
	"""A program on a terminal of its own."""

	def __init__(self, command):
		self.pid, self.fd = pty.fork()
		if self.pid == 0:
			os.execv(command[0], command)
		self.seen = ""

	def expect(self, pattern):
		while not re.search(pattern, self.seen, re.S):
			ready, _, _ = select.select([self.fd], [], [], TIME)
			assert ready, "nothing more than %r" % self.seen
			try:
				got = os.read(self.fd, 4096)
			except OSError:
				got = b""
			assert got, "ended with %r" % self.seen
			self.seen += got.decode()

	def type(self, text):
		os.write(self.fd, text.encode())

	def end(self):
		while True:
			try:
				got = os.read(self.fd, 4096)
			except OSError:
				break
			if not got:
				break
			self.seen += got.decode()
		_, status = os.waitpid(self.pid, 0)
		os.close(self.fd)
		return os.waitstatus_to_exitcode(status)


def job(number, state="done", **more):
	return {"job": number, "parent": None, "method": "vnode.boot", "state": state, "step": None, "done": 3,
		"total": 3, "vnodes": [], "uid": 0, "created": None, "ended": None, "error": None,
		"result": None, "steps": [], **more}


def row(vmid, name, **more):
	return {"name": name, "topology": "pair", "vmid": vmid, "backend": "lxc", "wanted": "running",
		"observed": "running", "job": None, **more}


def same(got, wanted):
	assert got == wanted, "got %r, wanted %r" % (got, wanted)


def has(text, part):
	assert part in text, "%r is not in %r" % (part, text)


# ---- command line ----

@test
def names_what_is_wrong_before_the_verb(env):
	env.serve()
	for words, said in ((("-o", "xml", "list"), "-o takes table or json, not 'xml'"),
			    (("-o",), "-o takes table or json"),
			    (("--frob", "list"), "what is '--frob'?"),
			    (("frob",), "no verb 'frob'"),
			    (("image",), "image: say one of add, list, show, rm"),
			    (("image", "frob"), "image has no verb 'frob': say one of add, list, show, rm")):
		status, out, err = env.run(*words)
		assert (status, out) == (2, ""), (words, status, out)
		assert said in err and err.count("\n") == 1, (words, err)
	done = subprocess.run([VNODECTL, "--socket"], capture_output=True, text=True, timeout=TIME)
	assert done.returncode == 2 and "--socket needs the path" in done.stderr, done


@test
def refuses_a_folder_and_leaves_urls_to_the_daemon(env):
	def add(params, call):
		raise Refusal("invalid", "expected a URL such as https://example.org/x", path="/url")

	daemon = env.serve(image_add=add)
	status, out, err = env.run("apply", env.folder)
	assert status == 1 and err == f"vnodectl: {env.folder}: Is a directory\n", err
	status, out, err = env.run("image", "add", "x", "ftp://example.org/x", "--insecure-no-digest")
	assert status == 1 and "/url" in err, err
	os.mkfifo(os.path.join(env.folder, "fifo"))
	status, out, err = env.run("image", "add", "x", os.path.join(env.folder, "fifo"), "--insecure-no-digest")
	assert status == 1, err


@test
def says_that_no_daemon_answers(env):
	status, out, err = env.run("list")
	same((status, out), (3, ""))
	has(err, env.socket())
	has(err, "vnoded.service")


@test
def refuses_wrong_command_lines(env):
	for words in (["frob"], ["lan", "frob"], [], ["boot"], ["boot", "--frob", "a"], ["boot", "-Z", "a"],
		      ["boot", "a", "--all"], ["show"], ["show", "a", "b"], ["boot", "a", "--timeout"],
		      ["boot", "a", "--timeout", "soon"], ["boot", "a", "--no-wait=1"], ["set", "a", "b"],
		      ["image", "add", "a", "b"], ["raw", "a.b", "{"], ["wait", "x"], ["-o", "xml", "list"],
		      ["completion", "csh"], ["events", "--since", "-4"], ["create", "a", "--vcpus", "two"]):
		status, out, err = env.run(*words)
		same((words, status, out), (words, 2, ""))
		assert err, words
	same(env.run("exec", "a")[0], 125)


@test
def explains_every_verb(env):
	status, out, err = env.run("help", "--tables")
	tables = json.loads(out)
	for verb in tables["verbs"]:
		status, out, err = env.run("help", *verb["verb"].split())
		same((verb["verb"], status, err), (verb["verb"], 0, ""))
		has(out, verb["verb"])
		same(env.run(*verb["verb"].split(), "--help")[:2], (0, out))
	same(env.run("--help")[0], 0)
	has(env.run("--version")[1], "vnodectl ")


@test
def completes_in_bash(env):
	env.serve(vnode_list=lambda params, call: {"vnodes": [row(1, "alice"), row(2, "bob")]})
	script = env.run("completion", "bash")[1]
	path = env.write("complete", "vnodectl() { %s --socket %s \"$@\"; }\n%s" % (VNODECTL, env.socket(), script)
			 + "try() { COMP_WORDS=(vnodectl \"$@\") COMP_CWORD=$#; COMPREPLY=(); _vnodectl; "
			   "echo \"${COMPREPLY[*]}\"; }\n"
			   "try ex; try lan ''; try boot al; try boot --fo; try halt --fo; try exec b\n")
	done = subprocess.run(["bash", path], capture_output=True, text=True, timeout=TIME)
	same(done.stdout.splitlines(), ["export exec", "list show set schedule up down", "alice", "", "--force", "bob"])


# ---- reading ----

@test
def aligns_tables(env):
	env.serve(vnode_list=lambda params, call: {"vnodes": [row(7, "alice"), row(1234, "b", job=12)]})
	status, out, err = env.run("list")
	same((status, err), (0, ""))
	same(out.splitlines(), [
		"TOPOLOGY  NAME   VMID  BACKEND  WANTED   OBSERVED  JOB",
		"pair      alice     7  lxc      running  running     -",
		"pair      b      1234  lxc      running  running    12"])


@test
def prints_wire_objects(env):
	answer = {"vnodes": [row(7, "alice")]}
	env.serve(vnode_list=lambda params, call: answer)
	same(json.loads(env.run("-o", "json", "list")[1]), answer)


@test
def is_silent_about_nothing(env):
	env.serve(vnode_list=lambda params, call: {"vnodes": []}, lan_list=lambda params, call: {"lans": []})
	same(env.run("list"), (0, "", ""))
	same(env.run("lan", "list"), (0, "", ""))


@test
def lists_all_pages(env):
	def vnodes(params, call):
		first = params["after"] + 1
		return {"vnodes": [row(i, "n%d" % i) for i in range(first, min(first + params["limit"], 2501))]}
	env.serve(vnode_list=vnodes)
	same(len(env.run("list")[1].splitlines()), 2501)
	same(len(json.loads(env.run("-o", "json", "list")[1])["vnodes"]), 2500)


@test
def keeps_control_characters_from_the_terminal(env):
	env.serve(image_get=lambda params, call: {"name": "x", "error": "bad\x1b[2J"})
	has(env.run("image", "show", "x")[1], "bad?[2J")


@test
def shows_a_vnode(env):
	env.serve(vnode_get=lambda params, call: {
		**row(7, "alice"), "memory_bytes": 67108864, "since": "2026-01-02T03:04:05.678901Z",
		"exit": {"cause": "exited", "code": 3, "signal": 0, "at": None}, "error": None,
		"interfaces": [{"name": "eth1", "lan": "link0", "mac": "02:00:00:00:00:01",
				"addresses": ["10.0.0.1/24", "fd00::1/64"], "device": "v7e1"}],
		"forwards": [{"host": 2201, "guest": 22, "protocol": "tcp", "address": None}]})
	status, out, err = env.run("show", "alice")
	for part in ("memory:     64MiB", "2026-01-02T03:04:05Z", "exited 3", "10.0.0.1/24,fd00::1/64", "2201"):
		has(out, part)


DIFFERENCES = [
	({"kind": "qdisc", "object": "v1e1", "field": "delay_ns", "wanted": 5000000, "found": 3000000,
	  "direction": "received"}, "pair/alice eth1: delay is 3 ms, wanted 5 ms"),
	({"kind": "qdisc", "object": "i1e1", "field": "rate_bps", "wanted": 10000000, "found": 2500000,
	  "direction": "sent"}, "pair/alice eth1: rate of what it sends is 2500 kbit, wanted 10 Mbit"),
	({"kind": "qdisc", "object": "v1e1", "field": "loss", "wanted": 0.01, "found": 0.02,
	  "direction": "received"}, "pair/alice eth1: loss is 2%, wanted 1%"),
	({"kind": "qdisc", "object": "v1e1", "field": "chain", "wanted": "tbf bfifo", "found": None,
	  "direction": "received"}, "pair/alice eth1: chain tbf bfifo is missing"),
	({"kind": "port", "object": "v1e1", "field": "exists", "wanted": True, "found": False},
	 "pair/alice eth1: port v1e1 is missing"),
	({"kind": "port", "object": "v1e1", "field": "up", "wanted": True, "found": False},
	 "pair/alice eth1: up is no, wanted yes"),
	({"kind": "address", "object": "v1e1", "field": "address", "wanted": None, "found": "10.9.9.9/24"},
	 "pair/alice eth1: address 10.9.9.9/24 is there, and nobody wants it"),
	({"kind": "bridge", "object": "l9", "field": "exists", "wanted": False, "found": True, "vnode": "", "interface": ""},
	 "bridge l9: bridge l9 is there, and nobody wants it"),
	({"kind": "rule", "object": "chain guard", "field": "rule", "wanted": "drop\x1b", "found": None, "vnode": "",
	  "interface": ""}, "rule chain guard: rule drop? is missing"),
]


@test
def prints_each_difference_in_a_line(env):
	found = [{"vnode": "pair/alice", "interface": "eth1", **difference} for difference, line in DIFFERENCES]
	answer = {"differences": found, "checked": {}, "busy": ["pair/bob"], "ms": 3}
	env.serve(host_verify=lambda params, call: answer)
	status, out, err = env.run("verify", "pair")
	same((status, err), (1, ""))
	same(out.splitlines(), [line for difference, line in DIFFERENCES] +
	     ["pair/bob: not looked at, a job is at work on it"])
	same(env.daemon.calls("host.verify"), [{"topology": "pair"}])
	status, out, err = env.run("-o", "json", "verify")
	same((status, json.loads(out)), (1, answer))


@test
def says_that_all_is_as_wanted(env):
	env.serve(host_verify=lambda params, call: {"differences": [], "checked": {"ports": 4, "qdiscs": 0, "routes": 1},
						    "busy": [], "ms": 3})
	same(env.run("verify"), (0, "all is as wanted: 4 ports, 1 routes\n", ""))


@test
def repairs_and_says_what_is_left(env):
	left = []
	env.serve(host_repair=lambda params, call: {"job": 17},
		  job_wait=lambda params, call: job(17, result={"mended": 3, "left": left, "busy": []}))
	same(env.run("verify", "--repair"), (0, "mended: 3\n", ""))
	left.append({"kind": "domain", "object": "vnoded-1", "field": "state", "wanted": "running", "found": "absent",
		     "vnode": "pair/alice"})
	same(env.run("verify", "--repair"), (1, "mended: 3\npair/alice: state is absent, wanted running\n", ""))
	same(json.loads(env.run("-o", "json", "verify", "--repair")[1])["result"]["left"], left)
	same(env.daemon.calls("host.verify"), [])


@test
def prints_the_daemons_sentence(env):
	def refuse(params, call):
		raise Refusal("not_found", "no vnode 'x'", "/vnode")
	env.serve(vnode_get=refuse)
	same(env.run("show", "x"), (1, "", "vnodectl: no vnode 'x'\n"))


@test
def reads_again_when_the_connection_breaks(env):
	answers = [HANG_UP, {"vnodes": [row(1, "a")]}]
	env.serve(vnode_list=lambda params, call: answers.pop(0))
	same(env.run("list")[0], 0)


@test
def calls_any_method(env):
	env.serve(host_info=lambda params, call: {"params": params})
	same(env.run("raw", "host.info", '{"a": 1}')[:2], (0, '{"params":{"a":1}}\n'))
	same(env.run("raw", "host.info", "-", input='{"b": 2}')[:2], (0, '{"params":{"b":2}}\n'))
	same(env.run("raw", "x.y")[0], 1)


# ---- changing ----

@test
def follows_a_job(env):
	env.serve(vnode_boot=lambda params, call: {"job": 17}, job_wait=lambda params, call: job(17))
	same(env.run("boot", "alice"), (0, "", ""))
	params = env.daemon.calls("vnode.boot")[0]
	same(params["vnode"], "alice")
	assert len(params["request_id"]) >= 16
	same(env.daemon.calls("job.wait"), [{"job": 17}])
	same(json.loads(env.run("-o", "json", "boot", "alice")[1])["job"], 17)


@test
def prints_the_job_without_waiting(env):
	env.serve(vnode_boot=lambda params, call: {"job": 17})
	same(env.run("boot", "--no-wait", "alice"), (0, "17\n", ""))
	same(env.run("-o", "json", "boot", "--no-wait", "alice"), (0, '{"job":17}\n', ""))


@test
def tells_each_failure_of_many(env):
	def boot(params, call):
		if params["vnode"] == "n3":
			raise Refusal("busy", "job 9 holds vnode 'n3'", "", 9)
		return {"job": int(params["vnode"][1:]) + 100}

	def wait(params, call):
		if params["job"] == 105:
			return job(105, "failed", error={"code": "backend", "text": "libvirt said no"})
		return job(params["job"])
	env.serve(vnode_boot=boot, job_wait=wait)
	status, out, err = env.run("boot", *["n%d" % i for i in range(200)])
	same((status, out), (1, ""))
	same(sorted(err.splitlines()), ["vnodectl: job 9 holds vnode 'n3'", "vnodectl: n5: libvirt said no"])
	same(len(env.daemon.calls("job.wait")), 199)


@test
def changes_all(env):
	env.serve(vnode_list=lambda params, call: {"vnodes": [row(1, "a"), row(2, "b")]},
		  vnode_halt=lambda params, call: {"job": 1}, job_wait=lambda params, call: job(1))
	same(env.run("halt", "--all", "--force", "--topology", "pair")[0], 0)
	same([(p["vnode"], p["force"]) for p in env.daemon.calls("vnode.halt")], [("pair/a", True), ("pair/b", True)])
	same(env.daemon.calls("vnode.list")[0]["topology"], "pair")


@test
def sends_again_under_the_same_request_id(env):
	answers = [HANG_UP, {"job": 5}]
	env.serve(vnode_boot=lambda params, call: answers.pop(0), job_wait=lambda params, call: job(5))
	same(env.run("boot", "a"), (0, "", ""))
	first, second = env.daemon.calls("vnode.boot")
	same(first, second)


@test
def waits_for_a_recovering_daemon(env):
	left = [True] * 5

	def boot(params, call):
		if left:
			left.pop()
			raise Refusal("busy", "still recovering")
		return {"job": 5}
	env.serve(vnode_boot=boot, job_wait=lambda params, call: job(5))
	same(env.run("boot", "a", "b", "c"), (0, "", ""))


@test
def survives_a_restart_of_the_daemon(env):
	env.serve(vnode_boot=lambda params, call: {"job": 5}, job_wait=lambda params, call: NO_ANSWER)
	client = env.start("boot", "a")
	env.daemon.wait_for("job.wait")
	env.daemon.stop()
	env.daemon.handlers["job.wait"] = lambda params, call: job(5)
	env.daemon.start()
	out, err = client.communicate(timeout=TIME)
	same((client.returncode, out, err), (0, "", ""))
	same(len(env.daemon.calls("vnode.boot")), 1)


@test
def detaches_on_interrupt(env):
	env.serve(vnode_boot=lambda params, call: {"job": 17}, job_wait=lambda params, call: NO_ANSWER)
	client = env.start("boot", "a")
	env.daemon.wait_for("job.wait")
	client.send_signal(signal.SIGINT)
	out, err = client.communicate(timeout=TIME)
	same((client.returncode, out), (130, ""))
	same(err, "job 17 goes on; follow it with: vnodectl wait 17; cancel it with: vnodectl cancel 17\n")


@test
def says_when_time_is_over(env):
	def wait(params, call):
		raise Refusal("timeout", "job 3 has not ended in 1500 ms")
	env.serve(vnode_boot=lambda params, call: {"job": 3}, job_wait=wait)
	same(env.run("boot", "--timeout", "1.5", "a")[0], 4)
	same(env.daemon.calls("vnode.boot")[0]["timeout_ms"], 1500)
	same(env.run("wait", "3", "--timeout=2")[0], 4)
	same(env.daemon.calls("job.wait")[-1], {"job": 3, "timeout_ms": 2000})


@test
def cancels_and_waits(env):
	env.serve(job_cancel=lambda params, call: job(3, "undoing"), job_wait=lambda params, call: job(3, "cancelled"))
	same(env.run("cancel", "3"), (0, "", ""))
	same(env.run("wait", "3"), (1, "", "vnodectl: 3: job 3 is cancelled\n"))


@test
def makes_json_of_fields(env):
	env.serve(vnode_create=lambda params, call: {"job": 1}, vnode_set=lambda params, call: {"job": 1},
		  job_wait=lambda params, call: job(1), lan_set=lambda params, call: {"job": 1})
	same(env.run("create", "a", "--memory", "64MiB", "--vcpus=2", "--no-control", "--init", "/bin/sh", "--init",
		     "-x", "--forwards", "2201:22", "--forwards", "53:53/udp", "--topology", "pair")[0], 0)
	params = env.daemon.calls("vnode.create")[0]
	del params["request_id"]
	same(params, {"name": "a", "topology": "pair", "memory": "64MiB", "vcpus": 2, "control": False,
		      "init": ["/bin/sh", "-x"],
		      "forwards": [{"host": 2201, "guest": 22, "protocol": "tcp"},
				   {"host": 53, "guest": 53, "protocol": "udp"}]})
	same(env.run("set", "a", "memory=1GiB", "vcpus=", "restart=always", "forwards=[]", "privileged=true")[0], 0)
	params = env.daemon.calls("vnode.set")[0]
	same(params["set"], {"memory": "1GiB", "vcpus": None, "restart": "always", "forwards": [],
			     "privileged": True})
	same(env.run("lan", "set", "l", "mtu=1400")[0], 0)
	same(env.daemon.calls("lan.set")[0]["mtu"], 1400)


def measured(verdict):
	"""What lan.probe says of a LAN whose one direction has this verdict on its rate."""
	delay = {"wanted": 5000000, "measured": 5020000, "low": 5010000, "high": 5030000, "median": 5040000, "p99": 5200000,
		 "bare_median": 20000, "bare_p99": 90000, "samples": 400, "verdict": "ok"}
	rate = {"wanted": 10000000, "measured": 9990000, "low": 9980000, "high": None, "offered": 12500000, "frames": 2400,
		"verdict": verdict}
	loss = {"wanted": 0.01, "measured": 0.0098, "low": 0.008, "high": 0.012, "sent": 10001, "verdict": "ok"}
	return {"lan": "l", "topology": "t", "verdict": verdict, "directions": [
		{"from": "a", "to": "b", "delay_ns": delay, "rate_bps": rate, "loss": loss, "verdict": verdict}]}


@test
def prints_what_was_measured(env):
	env.serve(lan_probe=lambda params, call: {"job": 1}, job_wait=lambda params, call: job(1, result=measured("ok")))
	status, out, err = env.run("verify", "--probe", "t/l", "--between", "a,b", "--seconds", "5")
	same((status, err), (0, ""))
	params = env.daemon.calls("lan.probe")[0]
	same((params["lan"], params["members"], params["seconds"]), ("t/l", ["a", "b"], 5))
	lines = [re.split(r"  +", line) for line in out.splitlines()]
	same(lines[0], ["DIRECTION", "FIELD", "WANTED", "MEASURED", "99 % INTERVAL", "VERDICT", "SAMPLE"])
	same(lines[1], ["a -> b", "delay", "5.000 ms", "5.020 ms", "5.010 ms .. 5.030 ms", "ok",
			"400 probes, bare 0.020 ms, its 99 % 0.090 ms"])
	same(lines[2][:6], ["a -> b", "rate", "10.000 Mbit/s", "9.990 Mbit/s", "9.980 Mbit/s .. ?", "ok"])
	same(lines[3][1:5], ["loss", "1.000 %", "0.980 %", "0.800 % .. 1.200 %"])


@test
def fails_where_a_measure_differs(env):
	env.serve(lan_probe=lambda params, call: {"job": 1}, job_wait=lambda params, call: job(1, result=measured("differs")))
	same(env.run("verify", "--probe", "l")[0], 1)
	same(env.run("-o", "json", "verify", "--probe", "l")[0], 1)
	same(env.run("verify", "--probe", "l", "--between", "a")[0], 2)


@test
def shows_progress_on_a_terminal(env):
	waits = []

	def look(params, call):
		call.answer(job(17, "running", step="boot", done=2, total=5))
		waits[0].answer(job(17))
		return NO_ANSWER

	def wait(params, call):
		waits.append(call)
		call.notify("event", {"subscription": 1, "event": {"seq": 1, "type": "job.state"}})
		return NO_ANSWER
	env.serve(vnode_boot=lambda params, call: {"job": 17}, job_wait=wait, job_get=look,
		  event_subscribe=lambda params, call: {"subscription": 1, "seq": 0, "epoch": "e"})
	terminal = Terminal(env.command("boot", "alice"))
	same(terminal.end(), 0)
	has(terminal.seen, "boot alice: 2 of 5 boot")
	assert terminal.seen.endswith("\r\x1b[K"), terminal.seen


# ---- topologies and images ----

@test
def points_into_the_file(env):
	def plan(params, call):
		raise Refusal("invalid", "expected a size", "/document/vnodes/alice/memory")
	env.serve(topology_plan=plan)
	path = env.write("pair.json", '{"topology": "pair",\n "vnodes": {"alice": {"memory": "64"}}}')
	same(env.run("plan", path), (1, "", "vnodectl: %s: /vnodes/alice/memory: expected a size\n" % path))
	broken = env.write("broken.json", '{"topology": "pair",\n "vnodes": }')
	status, out, err = env.run("apply", broken)
	same(status, 1)
	has(err, broken + ":2:")
	same(env.run("apply", env.folder + "/none.json")[0], 1)


@test
def applies_standard_input(env):
	env.serve(topology_apply=lambda params, call: {"job": 1}, job_wait=lambda params, call: job(1))
	same(env.run("apply", "-", "--allow-recreate", input='{"topology": "t"}')[0], 0)
	params = env.daemon.calls("topology.apply")[0]
	same((params["document"], params["allow_recreate"], "prune" in params), ({"topology": "t"}, True, False))


@test
def asks_before_it_prunes(env):
	plan = {"actions": [{"action": "keep", "kind": "vnode", "name": "carol"}], "warnings": []}
	env.serve(topology_plan=lambda params, call: plan, topology_apply=lambda params, call: {"job": 1},
		  job_wait=lambda params, call: job(1),
		  event_subscribe=lambda params, call: {"subscription": 1, "seq": 0, "epoch": "e"})
	path = env.write("pair.json", '{"topology": "pair"}')
	for answer, prunes in (("y\n", True), ("n\n", False)):
		terminal = Terminal(env.command("apply", path))
		terminal.expect("no longer names carol")
		terminal.type(answer)
		same(terminal.end(), 0)
		same(env.daemon.calls("topology.apply")[-1].get("prune", False), prunes)


@test
def passes_an_image_as_a_descriptor(env):
	seen = []

	def add(params, call):
		seen.append(os.read(call.fds[params["fd"]], 100) if "fd" in params else params["url"])
		return {"job": 1}
	env.serve(image_add=add, job_wait=lambda params, call: job(1))
	path = env.write("image.tar", "bytes")
	same(env.run("image", "add", "busybox", path, "--sha256", "0" * 64)[0], 0)
	same(env.run("image", "add", "busybox", "http://127.0.0.1/x", "--insecure-no-digest")[0], 0)
	same(seen, [b"bytes", "http://127.0.0.1/x"])
	same(env.daemon.calls("image.add")[0]["sha256"], "0" * 64)
	same(env.run("image", "add", "busybox", path + "x", "--insecure-no-digest")[0], 1)


# ---- exec and console ----

@test
def lends_its_descriptors_to_a_command(env):
	def execute(params, call):
		same(params["argv"], ["cat", "-n"])
		same(params["env"], ["A=1"])
		os.write(call.fds[1], b"got " + os.read(call.fds[0], 100))
		os.write(call.fds[2], b"oops")
		return {"exit_code": 7, "signal": 0}
	env.serve(vnode_exec=execute)
	same(env.run("exec", "-e", "A=1", "alice", "--", "cat", "-n", input="words"), (7, "got words", "oops"))


@test
def passes_the_end_of_a_command(env):
	ends = [({"exit_code": -1, "signal": 9}, 137), ({"exit_code": 0, "signal": 0}, 0)]
	env.serve(vnode_exec=lambda params, call: ends[0][0])
	while ends:
		same(env.run("exec", "a", "--", "x")[0], ends[0][1])
		ends.pop(0)

	def refuse(params, call):
		raise Refusal("state", "vnode 'a' is stopped")
	env.daemon.handlers["vnode.exec"] = refuse
	same(env.run("exec", "a", "--", "x"), (125, "", "vnodectl: vnode 'a' is stopped\n"))
	env.daemon.handlers["vnode.exec"] = lambda params, call: HANG_UP
	same(env.run("exec", "a", "--", "x")[0], 125)
	env.daemon.stop()
	same(env.run("exec", "a", "--", "x")[0], 125)


@test
def relays_a_terminal(env):
	started = queue.Queue()

	def execute(params, call):
		assert params["tty"] and not call.fds
		master, slave = pty.openpty()
		tty.setraw(slave)
		call.answer({"exec": 4}, [master])
		os.close(master)
		started.put((call, slave))
		return NO_ANSWER
	env.serve(vnode_exec=execute)
	terminal = Terminal(env.command("exec", "-t", "alice", "--", "sh"))
	fcntl.ioctl(terminal.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
	before = termios.tcgetattr(terminal.fd)
	call, slave = started.get(timeout=TIME)
	os.write(slave, b"hello\n")
	terminal.expect("hello")
	assert termios.tcgetattr(terminal.fd) != before, "not raw"
	same(struct.unpack("HHHH", fcntl.ioctl(slave, termios.TIOCGWINSZ, b"\0" * 8))[:2], (33, 99))
	terminal.type("ls\r\x03")
	same(os.read(slave, 10), b"ls\r\x03")
	os.write(slave, b"last words\n")
	os.close(slave)
	call.notify("exec", {"exec": 4, "exit_code": 5, "signal": 0})
	terminal.expect("last words")
	same(terminal.end(), 5)


@test
def takes_an_end_that_comes_with_the_answer(env):
	def execute(params, call):
		master, slave = pty.openpty()
		os.write(slave, b"quick")
		call.answer({"exec": 4}, [master])
		call.notify("exec", {"exec": 4, "exit_code": 0, "signal": 15})
		env.slave = slave			# held open, as by a process left behind
		os.close(master)
		return NO_ANSWER
	env.serve(vnode_exec=execute)
	same(env.run("exec", "-t", "alice", "--", "true")[:2], (143, "quick"))
	os.close(env.slave)


@test
def connects_to_a_console(env):
	def console(params, call):
		ours, theirs = socket.socketpair()
		call.answer({"fds": 1}, [theirs.fileno()])
		theirs.close()
		env.ours = ours			# before the terminal can see the greeting
		ours.sendall(b"login: ")
		return NO_ANSWER
	env.serve(vnode_console=console)
	terminal = Terminal(env.command("console", "alice"))
	terminal.expect("login: ")
	terminal.type("root\r")
	same(env.ours.recv(10), b"root\r")
	terminal.type("x\x1d")
	same(terminal.end(), 0)


@test
def ends_with_the_console(env):
	def console(params, call):
		ours, theirs = socket.socketpair()
		ours.sendall(b"last line")
		ours.close()
		call.answer({"fds": 1}, [theirs.fileno()])
		theirs.close()
		return NO_ANSWER
	env.serve(vnode_console=console)
	same(env.run("console", "alice"), (0, "last line", ""))


# ---- events ----

def event(seq, **more):
	return {"seq": seq, "time": "2026-01-02T03:04:05.000001Z", "type": "vnode.state", "topology": "pair",
		"vnode": "alice", "vmid": 1, "lan": None, "job": None, "data": {"state": "running"}, **more}


@test
def lists_events(env):
	env.serve(event_list=lambda params, call: {"events": [event(i) for i in range(params["since"] + 1, 1201)]
						    [:params["limit"]]})
	status, out, err = env.run("events", "--types", "vnode.state,job.state")
	lines = out.splitlines()
	same((status, len(lines)), (0, 1200))
	same(lines[0], "1 2026-01-02T03:04:05.000001Z vnode.state pair/alice state=running")
	same(env.daemon.calls("event.list")[0]["types"], ["vnode.state", "job.state"])
	same(json.loads(env.run("-o", "json", "events", "--since", "1199")[1])["seq"], 1200)


@test
def follows_events_over_a_restart(env):
	def subscribe(params, call):
		call.answer({"subscription": 1, "epoch": "e", "seq": params["since"]})
		call.notify("event", {"subscription": 1, "event": event(params["since"] + 1)})
		return NO_ANSWER
	env.serve(event_subscribe=subscribe)
	client = env.start("events", "--follow", "--since", "4")
	has(client.stdout.readline(), "5 2026")
	env.daemon.stop()
	env.daemon.start()
	has(client.stdout.readline(), "6 2026")
	client.send_signal(signal.SIGINT)
	client.communicate(timeout=TIME)
	same(client.returncode, -signal.SIGINT)


# ---- bootvnodes ----

def write_topologies(env):
	os.mkdir(env.folder + "/topologies")
	env.write("topologies/20-b.json", '{"topology": "b"}')
	env.write("topologies/10-a.json", '{"topology": "a"}')
	env.write("topologies/30-broken.json", '{"topology": ')
	env.write("topologies/40-same.json", '{"topology": "same"}')
	env.write("topologies/readme.txt", "no")
	return env.folder + "/topologies"


@test
def brings_the_host_up(env):
	def plan(params, call):
		return {"actions": [{"action": "boot" if params["document"]["topology"] == "same" else "create"},
				    {"action": "keep"}],
			"warnings": []}
	env.serve(topology_plan=plan, topology_apply=lambda params, call: {"job": 1},
		  host_boot=lambda params, call: {"job": 2}, job_wait=lambda params, call: job(params["job"]))
	status, out, err = env.bootvnodes("--dir", write_topologies(env))
	same(status, 1)
	has(err, "30-broken.json:1:")
	same([p["document"]["topology"] for p in env.daemon.calls("topology.apply")], ["a", "b"])
	same(len(env.daemon.calls("host.boot")), 1)
	os.unlink(env.folder + "/topologies/30-broken.json")
	same(env.bootvnodes("--dir", env.folder + "/topologies")[0], 0)
	same(env.bootvnodes("--dir", env.folder + "/none")[0], 0)


@test
def tells_which_vnodes_did_not_boot(env):
	failed = job(2, "failed", error={"code": "backend", "text": "1 of 3 vnodes failed"},
		     failures=[{"about": ["pair/alice"], "job": 3, "code": "backend", "text": "no memory"}])
	env.serve(host_boot=lambda params, call: {"job": 2}, job_wait=lambda params, call: failed)
	status, out, err = env.bootvnodes("--dir", env.folder + "/none")
	same((status, out), (1, ""))
	has(err, "bootvnodes: host: pair/alice: no memory\n")


@test
def takes_the_host_down(env):
	env.serve(host_halt=lambda params, call: {"job": 2}, job_wait=lambda params, call: job(2))
	same(env.bootvnodes("--halt", "--budget", "7.5")[0], 0)
	same(env.daemon.calls("host.halt")[0]["budget_ms"], 7500)


@test
def fails_at_boot_without_a_daemon(env):
	same(env.bootvnodes()[0], 3)
	same(env.bootvnodes("--frob")[0], 2)
	same(env.bootvnodes("--budget", "x", "--halt")[0], 2)


def main():
	passed, failed = 0, 0
	for function in tests:
		if sys.argv[3:] and function.__name__ not in sys.argv[3:]:
			continue
		env = Env()
		try:
			function(env)
			passed += 1
		except Exception:
			failed += 1
			print("FAILED %s" % function.__name__)
			traceback.print_exc(file=sys.stdout)
		finally:
			env.close()
	print("client: %d passed, %d failed" % (passed, failed))
	return 1 if failed else 0


if __name__ == "__main__":
	sys.exit(main())
