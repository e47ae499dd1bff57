#!/usr/bin/env python3
"""Makes a random tree, and a random mutation of it: random_tree.py SEED A B

Root makes everything a layer can carry: modes with set-id bits, owners, xattrs, hardlinks, devices,
fifos, symlinks, odd names, sparse files, times with nanoseconds.
"""
import os
import random
import shutil
import stat
import subprocess
import sys

seed, first, second = int(sys.argv[1]), sys.argv[2], sys.argv[3]
rng = random.Random(seed)
NAMES = ["a", "b c", "ünï", "x" * 200, "-dash", "new\nline", "tab\t", "dot.", "%41", "\udcff\udcfe"]


def name():
    return rng.choice(NAMES) + str(rng.randrange(1000))


def directories(top):
    return [path for path, _, _ in os.walk(top)]


def dress(path):
    info = os.lstat(path)
    os.lchown(path, rng.choice([0, 0, 1000, 3_000_000]), rng.choice([0, 0, 100]))
    if not stat.S_ISLNK(info.st_mode):
        os.chmod(path, rng.choice([0o644, 0o755, 0o600, 0o4755, 0o2711, 0o1777, 0o400]))
        if rng.random() < 0.2 and (stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode)):
            os.setxattr(path, "user.note", rng.randbytes(rng.randrange(1, 40)))
    when = rng.randrange(10**9, 17 * 10**8) * 10**9 + rng.randrange(10**9)
    os.utime(path, ns=(when, when), follow_symlinks=False)


def add(top):
    path = os.path.join(rng.choice(directories(top)), name())
    if os.path.lexists(path):
        return
    kind = rng.choice(["file"] * 6 + ["dir"] * 3 + ["link", "symlink", "fifo", "device", "sparse"])
    if kind == "file":
        with open(path, "wb") as file:
            file.write(rng.randbytes(rng.choice([0, 1, 511, 512, 513, 5000, 70000])))
    elif kind == "sparse":
        with open(path, "wb") as file:
            file.truncate(3 << 20)
            file.seek(1 << 20)
            file.write(b"island")
    elif kind == "dir":
        os.mkdir(path)
    elif kind == "symlink":
        os.symlink(rng.choice(["../x", "/etc/passwd", "nowhere", "a" * 300]), path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        number = os.makedev(rng.randrange(1, 200), rng.randrange(1, 300))
        os.mknod(path, 0o600 | stat.S_IFCHR, number)
    else:
        files = [os.path.join(d, f) for d, _, fs in os.walk(top) for f in fs
                 if stat.S_ISREG(os.lstat(os.path.join(d, f)).st_mode)]
        if not files:
            return
        os.link(rng.choice(files), path)
        return
    dress(path)


def mutate(top):
    paths = [os.path.join(d, e) for d, ds, fs in os.walk(top) for e in ds + fs]
    if not paths:
        return add(top)
    path = rng.choice(paths)
    what = rng.choice(["add", "add", "remove", "dress", "write", "replace", "rename"])
    if what == "add":
        add(top)
    elif what == "dress":
        dress(path)
    elif what == "write" and stat.S_ISREG(os.lstat(path).st_mode):
        with open(path, "ab") as file:
            file.write(b"more")
    elif what == "rename":
        target = os.path.join(top, name())
        if not os.path.lexists(target):
            os.rename(path, target)
    elif what in ("remove", "replace"):
        shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
        if what == "replace":
            os.mkdir(path) if rng.random() < 0.5 else open(path, "w").close()


os.mkdir(first)
for _ in range(rng.randrange(20, 120)):
    add(first)
subprocess.run(["cp", "-a", first, second], check=True)
for _ in range(rng.randrange(1, 60)):
    mutate(second)
