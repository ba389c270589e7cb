"""Archives that mean harm, each written into a folder by one function below: what no publisher would make.

usage: archives.py FOLDER     writes all of them, for a look by hand
"""
import bz2
import gzip
import lzma
import os
import random
import struct
import subprocess
import sys

TAR_BLOCK = 512


def header(name, kind=b"0", size=0, link=b"", mode=0o644, prefix=b"", uid=0):
	"""A ustar header, byte by byte, since tarfile itself refuses some of this."""
	fields = [name.ljust(100, b"\0")[:100], b"%07o\0" % mode, b"%07o\0" % uid, b"%07o\0" % 0, b"%011o\0" % size,
		  b"%011o\0" % 1000000000, b" " * 8, kind, link.ljust(100, b"\0")[:100], b"ustar\0" b"00",
		  b"root".ljust(32, b"\0"), b"root".ljust(32, b"\0"), b"%07o\0" % 0, b"%07o\0" % 0,
		  prefix.ljust(155, b"\0"), b"\0" * 12]
	block = b"".join(fields)
	return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def entry(name, data=b"", **more):
	padding = -len(data) % TAR_BLOCK
	return header(name, size=len(data), **more) + data + b"\0" * padding


def pax(name, records, data=b"", **more):
	"""An entry with PAX records, which may say anything."""
	text = b""
	for key, value in records:
		body = b" " + key + b"=" + value + b"\n"
		length = len(body) + 1
		while len(str(length)) + len(body) != length:
			length += 1
		text += str(length).encode() + body
	return entry(b"PaxHeaders/x", text, kind=b"x") + entry(name, data, **more)


END = b"\0" * 2 * TAR_BLOCK
LINK, HARD, DIR, CHAR, BLOCK, FIFO = b"2", b"1", b"5", b"3", b"4", b"6"
HONEST = entry(b"honest", b"fine")

# Name: the archive. Whatever becomes of it, nothing may be written outside the image.
PLAIN = {
	"absolute": entry(b"/outside/evil", b"x"),
	"parent": entry(b"../outside/evil", b"x"),
	"parent_inside": entry(b"a/b/../../../outside/evil", b"x"),
	"dots_only": entry(b"..", kind=DIR),
	"through_link": entry(b"l", kind=LINK, link=b"/outside") + entry(b"l/evil", b"x"),
	"through_parent_link": entry(b"l", kind=LINK, link=b"../../../outside") + entry(b"l/evil", b"x"),
	"through_two_links": entry(b"a", kind=LINK, link=b"b") + entry(b"b", kind=LINK, link=b"/outside")
		+ entry(b"a/evil", b"x"),
	"link_then_folder": entry(b"l", kind=LINK, link=b"/outside") + entry(b"l", kind=DIR) + entry(b"l/evil", b"x"),
	"folder_then_link": entry(b"l", kind=DIR) + entry(b"l", kind=LINK, link=b"/outside") + entry(b"l/evil", b"x"),
	"file_folder_link": entry(b"x", b"1") + entry(b"x", kind=DIR) + entry(b"x", kind=LINK, link=b"/outside")
		+ entry(b"x/evil", b"x"),
	"hard_outside": entry(b"h", kind=HARD, link=b"/outside/secret"),
	"hard_parent": entry(b"h", kind=HARD, link=b"../outside/secret"),
	"hard_through_link": entry(b"l", kind=LINK, link=b"/outside") + entry(b"h", kind=HARD, link=b"l/secret"),
	"hard_write": entry(b"l", kind=LINK, link=b"/outside/secret") + entry(b"h", kind=HARD, link=b"l")
		+ entry(b"h", b"overwritten"),
	"character_device": entry(b"mem", kind=CHAR),
	"block_device": entry(b"etc/disk", kind=BLOCK),
	"setuid_device": entry(b"sbin/x", kind=BLOCK, mode=0o4777),
	"foreign_owner": entry(b"o", b"x", uid=0o1777777),
	"no_name": entry(b"", b"x"),
	"slashes": entry(b"////outside///evil", b"x"),
	"prefix": entry(b"evil", b"x", prefix=b"/outside"),
	"pax_path": pax(b"harmless", [(b"path", b"/outside/evil")], b"x"),
	"pax_parent": pax(b"harmless", [(b"path", b"../../outside/evil")], b"x"),
	"pax_link": pax(b"l", [(b"linkpath", b"../../outside")], kind=LINK) + entry(b"l/evil", b"x"),
	"pax_nul": pax(b"harmless", [(b"path", b"a\0b/../../outside")], b"x"),
	"pax_long_number": pax(b"n", [(b"size", b"9" * 400)], b"x"),
	"pax_negative": pax(b"n", [(b"size", b"-5"), (b"uid", b"-1")], b"x"),
	"pax_length_lies": entry(b"PaxHeaders/x", b"999999999 path=/outside/evil\n", kind=b"x") + entry(b"a", b"x"),
	"pax_overlay": pax(b"d", [(b"SCHILY.xattr.trusted.overlay.redirect", b"/etc")], kind=DIR),
	"pax_huge": entry(b"PaxHeaders/x", b"x" * (3 << 20), kind=b"x") + entry(b"a", b"x"),
	"long_name": entry(b"././@LongLink", b"a/" * 3000 + b"\0", kind=b"L") + entry(b"a", b"x"),
	"long_component": entry(b"././@LongLink", b"a" * 300 + b"\0", kind=b"L") + entry(b"a", b"x"),
	"long_link": entry(b"././@LongLink", b"../" * 2000 + b"\0", kind=b"K") + entry(b"l", kind=LINK),
	"deep": b"".join(entry(b"././@LongLink", b"d/" * n + b"\0", kind=b"L") + entry(b"d", kind=DIR)
			 for n in range(100, 2040, 100)),
	"bad_utf8": pax(b"n", [(b"path", b"\xff\xfe\x80bad")], b"x"),
	"sparse_huge": pax(b"s", [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"),
				  (b"GNU.sparse.name", b"s"), (b"GNU.sparse.realsize", b"9223372036854775807")],
			   b"1\n9223372036854775000\n512\n".ljust(512, b"\0") + b"x" * 512),
	"sparse_backwards": pax(b"s", [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"),
				       (b"GNU.sparse.name", b"s"), (b"GNU.sparse.realsize", b"4096")],
				b"2\n2048\n512\n0\n512\n".ljust(512, b"\0") + b"x" * 1024),
	"sparse_name": pax(b"s", [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"),
				  (b"GNU.sparse.name", b"../../outside/evil"), (b"GNU.sparse.realsize", b"512")],
			   b"1\n0\n512\n".ljust(512, b"\0") + b"x" * 512),
	"sparse_many": pax(b"s", [(b"GNU.sparse.numblocks", b"4000000000")], b"x"),
	"size_lies": header(b"big", size=1 << 32) + b"x" * 512,
	"checksum": HONEST + entry(b"evil", b"x").replace(b"ustar", b"usTAR"),
	"whiteout_parent": entry(b"a/.wh..."),
	"whiteout_of_dot": entry(b".wh.."),
	"whiteout_of_nothing": entry(b".wh."),
	"whiteout_through_link": entry(b"l", kind=LINK, link=b"/outside") + entry(b"l/.wh.secret"),
	"opaque_through_link": entry(b"l", kind=LINK, link=b"/outside") + entry(b"l/.wh..wh..opq"),
	"below_whiteout": entry(b".wh.a/evil", b"x"),
	"unended": HONEST[:-1],
}

# These are odd, and lead nowhere: they may be taken.
MAY_PASS = {"file_folder_link", "link_then_folder", "folder_then_link", "whiteout_through_link", "opaque_through_link",
	    "long_link", "deep", "slashes", "sparse_backwards", "sparse_huge", "pax_negative", "hard_write",
	    "hard_through_link", "pax_huge", "prefix", "sparse_many", "pax_long_number", "pax_nul"}


def noise(size, seed):
	return random.Random(seed).randbytes(size)


def compressors():
	"""Each with its name; all of an archive in memory."""
	def zstd(data):
		return subprocess.run(["zstd", "-qc"], input=data, stdout=subprocess.PIPE, check=True).stdout
	return {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstd}


def broken_streams():
	"""(name, bytes): each compressor's stream cut, with a bit turned, and followed by what is none."""
	tar = HONEST + entry(b"blob", noise(200000, 1)) + END
	for name, compress in compressors().items():
		whole = compress(tar)
		for share in 0.01, 0.3, 0.7, 0.999:
			yield f"{name}_cut_{share}", whole[:int(len(whole) * share)]
		for share in 0.1, 0.5, 0.9:
			at = int(len(whole) * share)
			yield f"{name}_turned_{share}", whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1:]
		yield f"{name}_trailing", whole + noise(3000, 2)


def pour(path, blocks):
	"""Blocks through zstd into a file, never all in memory."""
	with open(path, "wb") as file:
		process = subprocess.Popen(["zstd", "-q", "-1", "-c"], stdin=subprocess.PIPE, stdout=file)
		for block in blocks:
			process.stdin.write(block)
		process.stdin.close()
		assert process.wait() == 0


def ten_million_entries(path):
	"""Empty files, made on the fly: 5 GB of headers in a megabyte."""
	block = b"".join(header(b"%d" % i) for i in range(2000))
	pour(path, (block for _ in range(5000)))


def gigabyte_of_zeros(path):
	"""One file of zeros, not sparse, in less than a megabyte."""
	def blocks():
		yield header(b"zeros", size=1 << 30)
		for _ in range(1 << 10):
			yield b"\0" * (1 << 20)
		yield END
	pour(path, blocks())


def endless_folders(path):
	"""Few entries, each with two thousand folders above it that nobody has mentioned."""
	def blocks():
		for i in range(200):
			name = b"%d/" % i + b"d/" * 2000 + b"f\0"
			yield entry(b"././@LongLink", name, kind=b"L") + entry(b"f")
		yield END
	pour(path, blocks())


BOMBS = {"ten_million_entries": ten_million_entries, "gigabyte_of_zeros": gigabyte_of_zeros,
	 "endless_folders": endless_folders}


def qcow2(version=3, backing=0, features=0, size=1 << 30, l1_at=1 << 16, l1=1, extension=b"", bits=16, crypt=0):
	head = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", version, backing, 9 if backing else 0, bits, size, crypt, l1,
			   l1_at, 2 << 16, 1, 0, 0)
	head += struct.pack(">QQQII", features, 0, 0, 4, 104) + extension
	return head.ljust(3 << 16, b"\0")


# Disks that a hypervisor would follow elsewhere, or stumble over; the error word.
DISKS = {
	"backing": (qcow2(backing=512), "unsupported"),
	"data_file": (qcow2(features=4), "unsupported"),
	"data_file_name": (qcow2(extension=struct.pack(">II", 0x44415441, 8) + b"/etc/abc"), "unsupported"),
	"encrypted": (qcow2(crypt=1), "unsupported"),
	"dirty": (qcow2(features=1), "invalid"),
	"unknown_feature": (qcow2(features=1 << 40), "unsupported"),
	"version": (qcow2(version=9), "unsupported"),
	"table_outside": (qcow2(l1_at=1 << 40), "invalid"),
	"table_unaligned": (qcow2(l1_at=5), "invalid"),
	"huge_table": (qcow2(l1=1 << 30), "invalid"),
	"clusters": (qcow2(bits=60), "invalid"),
	"too_large": (qcow2(size=1 << 62), "invalid"),
	"no_size": (qcow2(size=0), "invalid"),
	"cut": (qcow2()[:80], "invalid"),
}


def main():
	folder = sys.argv[1]
	for name, data in {**{name: HONEST + data + END for name, data in PLAIN.items()}, **dict(broken_streams()),
			   **{name: disk[0] for name, disk in DISKS.items()}}.items():
		with open(os.path.join(folder, name), "wb") as file:
			file.write(data)
	for name, make in BOMBS.items():
		make(os.path.join(folder, name))


if __name__ == "__main__":
	main()
