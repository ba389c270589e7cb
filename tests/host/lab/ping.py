"""A ping in a vnode's namespaces that vnoded knows nothing of, to see that no packet is lost."""
import re
import signal
import subprocess


class Ping:
	def __init__(self, init, address, interval, busybox="/bin/busybox"):
		self.answered = []
		self.process = subprocess.Popen(["nsenter", "-t", str(init), "-U", "-n", busybox, "ping", "-i", str(interval), address],
						stdout=subprocess.PIPE, text=True)
		self.await_replies()

	def take(self, line):
		found = re.search(r" seq=(\d+) ", line)
		if found:
			self.answered.append(int(found[1]))

	def await_replies(self, n=3):
		most = len(self.answered) + n
		while len(self.answered) < most:
			line = self.process.stdout.readline()
			assert line, "the ping ended"
			self.take(line)

	def end(self):
		"""None was lost, nor came twice. What is sent just before the end may have its answer still on the way."""
		self.process.send_signal(signal.SIGINT)
		for line in self.process.communicate()[0].splitlines():
			self.take(line)
		missing = sorted(set(range(max(self.answered))) - set(self.answered))
		assert not missing, f"of {max(self.answered) + 1} packets these had no answer: {missing}"
		assert len(set(self.answered)) == len(self.answered), "answers came twice"
