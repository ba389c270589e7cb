#!/usr/bin/env python3
"""A stand-in for lvm on machines without a device mapper: volumes are files on loop devices.

usage: fake_lvm.py FOLDER COMMAND [ARGUMENT…]
Each call is recorded in FOLDER/log. FOLDER/fail holds a command and a number: that call of it fails; with a
"+" behind the number it does its work first. What is there is in FOLDER/volumes.
"""
import json
import os
import re
import subprocess
import sys

folder, command, arguments = sys.argv[1], sys.argv[2], sys.argv[3:]
state = os.path.join(folder, "volumes")


def run(*words):
	return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def value(*options):
	return next(arguments[i + 1] for i, word in enumerate(arguments) if word in options)


def load():
	with open(state) as file:
		return json.load(file)


def save(volumes):
	with open(state + ".new", "w") as file:
		json.dump(volumes, file)
	os.rename(state + ".new", state)


def attach(volumes, group, name):
	loop = run("losetup", "-f", "--show", volumes[name]["file"])
	volumes[name]["loop"] = loop
	os.makedirs(f"/dev/{group}", exist_ok=True)
	os.symlink(loop, f"/dev/{group}/{name}")


def create(volumes):
	name = value("-n")
	assert name not in volumes, f"{name} is there"
	path = os.path.join(folder, name + ".img")
	if "-s" in arguments:
		assert "-kn" in arguments and "-ay" in arguments, "a snapshot that would not be active"
		group, origin = arguments[-1].split("/")
		device = os.open(volumes[origin]["loop"], os.O_RDWR)
		os.fsync(device)
		os.close(device)
		run("cp", "--sparse=always", volumes[origin]["file"], path)
		size = volumes[origin]["size"]
	else:
		group, size = value("--thinpool").split("/")[0], int(value("-V").rstrip("b"))
		open(path, "w").close()
		os.truncate(path, size)
	volumes[name] = {"tags": [value("--addtag")], "size": size, "file": path}
	attach(volumes, group, name)


def extend(volumes):
	group, name = arguments[-1].split("/")
	volumes[name]["size"] = int(value("-L").rstrip("b"))
	os.truncate(volumes[name]["file"], volumes[name]["size"])
	run("losetup", "-c", volumes[name]["loop"])


def change(volumes):
	volumes[arguments[-1].split("/")[1]]["tags"].append(value("--addtag"))


def drop(volumes, group, name):
	gone = volumes.pop(name)
	os.unlink(f"/dev/{group}/{name}")
	run("losetup", "-d", gone["loop"])
	os.unlink(gone["file"])


def remove(volumes):
	if "-S" in arguments:
		name, tag = re.fullmatch(r'lv_name="(.*)" && lv_tags={"(.*)"}', value("-S")).groups()
		if name in volumes and tag in volumes[name]["tags"]:
			drop(volumes, arguments[-1], name)
		return
	for path in [word for word in arguments if "/" in word]:
		drop(volumes, *path.split("/"))


def report(volumes):
	what, columns = arguments[-1], value("-o").split(",")
	if "/" in what:
		rows = [{"lv_name": "pool", "segtype": "thin-pool" if what.endswith("/pool") else "linear"}]
	else:
		rows = [{"lv_name": name, "lv_tags": ",".join(v["tags"]), "lv_size": str(v["size"])}
			for name, v in volumes.items()]
	print(json.dumps({"report": [{"lv": [{key: row[key] for key in columns} for row in rows]}]}))


def fails():
	"""Whether this call is to fail, and whether after its work."""
	try:
		with open(os.path.join(folder, "fail")) as file:
			wanted, number = file.read().split()
	except FileNotFoundError:
		return False, False
	with open(os.path.join(folder, "log")) as file:
		count = sum(line.split()[0] == wanted for line in file)
	return command == wanted and count == int(number.rstrip("+")), number.endswith("+")


with open(os.path.join(folder, "log"), "a") as file:
	print(command, *arguments, file=file)
is_bad, is_late = fails()
if is_bad and not is_late:
	sys.exit("no luck")
volumes = load()
{"lvcreate": create, "lvextend": extend, "lvchange": change, "lvremove": remove,
 "lvs": report}[command](volumes)
if command != "lvs":
	save(volumes)
if is_bad:
	sys.exit("no luck afterwards")
