"""What guests do by themselves, and what is done inside them."""
import fcntl
import os
import select
import signal
import struct
import termios

from lab.client import PATIENCE
from lab.world import World, inits_of, ping, run, star


def kill_all(inits):
	handles = [os.pidfd_open(pid) for pid in inits.values()]
	for handle in handles:
		signal.pidfd_send_signal(handle, signal.SIGKILL)
	for handle in handles:
		os.close(handle)


def case_thirty_killed_at_once(build):
	with World(build) as w:
		names = [f"n{i}" for i in range(1, 31)]
		document = star(30)
		lucky = names[:15]
		for name in lucky:
			document["vnodes"][name]["restart"] = "on-failure"
		w.client.change("topology.apply", document=document)
		w.client.subscribe()
		before = inits_of(w.client, names)
		kill_all(before)
		causes = {}
		while len(causes) < 30:
			event = w.client.event("vnode.exit")
			assert event["vnode"] not in causes, f"{event['vnode']} ended twice"
			causes[event["vnode"]] = event["data"]["cause"]
		assert set(causes.values()) == {"killed"}, causes
		for name in lucky:
			w.client.call("vnode.wait", vnode=name, observed=["running"])
		for name in names[15:]:
			w.client.call("vnode.wait", vnode=name, observed=["stopped"])
		after = inits_of(w.client, lucky)
		assert not set(after.values()) & set(before.values())
		assert ping(w.client, "n1", "10.2.0.15", 3)


def put(client, vnode, path, host_path):
	"""Copies a program of the machine into a running vnode."""
	with open(host_path) as source, open(os.devnull, "w") as nothing:
		fds = [source.fileno(), nothing.fileno(), nothing.fileno()]
		done = client.call("vnode.exec", fds, vnode=vnode,
				   argv=["sh", "-c", f"cat > {path} && chmod 755 {path}"])
	assert done["exit_code"] == 0, done


def case_causes(build):
	"""The true cause of each end, by event and in the vnode."""
	with World(build) as w:
		c = w.client
		c.change("vnode.create", name="v", image="busybox", memory="32MiB")
		c.change("vnode.boot", vnode="v")
		for name in "crash", "eat":
			put(c, "v", f"/bin/{name}", os.path.join(build.folder, "tests/host", f"lab_{name}"))
		c.subscribe(types=["vnode.exit"])

		def ends(init, **want):
			if init:
				c.change("vnode.halt", vnode="v")
				c.change("vnode.set", vnode="v", set={"init": init})
				c.event("vnode.exit", cause="halted") if ends.runs else None
				c.begin("vnode.boot", vnode="v")
			event = c.event("vnode.exit")
			told = {key: event["data"].get(key) for key in want}
			assert told == want, event
			kept = c.call("vnode.wait", vnode="v", observed=["stopped"])["exit"]
			assert {key: kept.get(key) for key in want} == want, kept
			ends.runs = False

		ends.runs = True
		ends(["/bin/sh", "-c", "exit 3"], cause="exited", code=3)
		ends(["/bin/sh", "-c", "exit 0"], cause="exited", code=0)
		ends(["/bin/crash"], cause="signalled")
		ends(["/bin/eat"], cause="oom")
		c.change("vnode.set", vnode="v", set={"init": None})
		c.change("vnode.boot", vnode="v")
		c.run("v", "poweroff")
		ends(None, cause="poweroff")
		c.change("vnode.boot", vnode="v")
		first = inits_of(c, ["v"])["v"]
		c.run("v", "reboot")
		assert c.event("vnode.exit")["data"]["cause"] == "reboot"
		c.call("vnode.wait", vnode="v", observed=["running"])
		assert inits_of(c, ["v"])["v"] != first
		c.change("vnode.halt", vnode="v")
		assert c.event("vnode.exit")["data"]["cause"] == "halted"


def case_exec(build):
	with World(build) as w:
		c = w.client
		c.change("vnode.create", name="v", image="busybox")
		c.change("vnode.boot", vnode="v")
		assert c.shell("v", "exit 7").status == 7
		killed = c.shell("v", "kill -TERM $$")
		assert (killed.status, killed.signal) == (-1, 15), killed
		assert c.run("v", "no-such-program").status == 127
		assert c.run("v", "/etc/hostname").status == 126
		both = c.shell("v", "cat; echo wrong >&2", input="hello")
		assert (both.out, both.err, both.status) == ("hello", "wrong\n", 0), both
		assert c.run("v", "id", "-u", user="nobody").out == "65534\n"
		assert c.run("v", "pwd", cwd="/tmp").out == "/tmp\n"
		assert c.run("v", "sh", "-c", "echo $COLOUR", env=["COLOUR=blue"]).out == "blue\n"
		large = c.shell("v", "head -c 400000 /dev/zero")
		assert large.truncated and len(large.out) == 256 << 10, len(large.out)
		assert c.refused("vnode.exec", vnode="v", argv=["true"]).path == "/stdio"
		assert c.refused("vnode.exec", vnode="v", argv=["true"], stdio="capture", user="nobody-here").code
		exec_by_descriptors(c)
		exec_on_terminal(c)
		exec_hang_up(w)
		c.change("vnode.halt", vnode="v")
		assert c.refused("vnode.exec", vnode="v", argv=["true"], stdio="capture").code == "state"


def exec_by_descriptors(c):
	(in_read, in_write), (out_read, out_write) = os.pipe(), os.pipe()
	id = c.send("vnode.exec", {"vnode": "v", "argv": ["tr", "a-z", "A-Z"]}, [in_read, out_write, out_write])
	os.close(in_read), os.close(out_write)
	os.write(in_write, b"shout\n")
	os.close(in_write)
	assert c.wait(id) == {"exit_code": 0, "signal": 0}
	assert os.read(out_read, 99) == b"SHOUT\n"
	os.close(out_read)


def read_until(fd, text):
	said = b""
	while text not in said:
		assert select.select([fd], [], [], PATIENCE)[0], f"no {text} in {said[-300:]}"
		block = os.read(fd, 65536)
		assert block, f"the stream ended without {text}: {said[-300:]}"
		said += block
	return said


def exec_on_terminal(c):
	answer = c.call("vnode.exec", vnode="v", argv=["sh"], tty=True)
	master = c.fds.pop()
	fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
	os.write(master, b"stty size; tty; exit 5\n")
	said = read_until(master, b"33 77")
	end = c.notification("exec")
	os.close(master)
	assert end == {"exec": answer["exec"], "exit_code": 5, "signal": 0}, end


def exec_hang_up(w):
	"""A client that goes away hangs its command up."""
	w.client.output("v", "mkfifo /tmp/told")
	other = w.daemon.client()
	read, write = os.pipe()
	with open(os.devnull) as nothing:
		other.send("vnode.exec", {"vnode": "v", "argv": ["sh", "-c",
			   "trap 'echo hup >/tmp/told; exit' HUP; echo ready; while :; do sleep 1; done"]},
			   [nothing.fileno(), write, write])
	os.close(write)
	assert os.read(read, 99) == b"ready\n"
	other.close()
	assert w.client.run("v", "cat", "/tmp/told").out == "hup\n"
	os.close(read)


def case_console(build):
	with World(build, console_size="64KiB") as w:
		c = w.client
		c.change("vnode.create", name="v", image="busybox")
		c.change("vnode.boot", vnode="v")
		c.call("vnode.console", vnode="v")
		console = c.fds.pop()
		os.write(console, b"\necho hel''lo\n")
		read_until(console, b"hello")
		c.call("vnode.console", vnode="v")
		unread = c.fds.pop()
		assert c.shell("v", "head -c 3000000 /dev/zero | tr '\\0' x >/dev/console; echo the-last-line >/dev/console"
			       ).status == 0, "an unread console blocks the guest"
		os.close(console)
		c.call("vnode.console", vnode="v")
		again = c.fds.pop()
		read_until(again, b"the-last-line")
		w.restart()
		c = w.client
		c.call("vnode.console", vnode="v")
		kept = c.fds.pop()
		read_until(kept, b"the-last-line")
		os.write(kept, b"\necho on''ward\n")
		read_until(kept, b"onward")
		for fd in unread, again, kept:
			os.close(fd)
