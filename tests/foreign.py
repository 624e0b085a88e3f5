#!/usr/bin/python3
"""Runs a command, as root, where programs for another machine run as if they were
this one's: foreign.py aarch64 COMMAND ...
By qemu's user emulation, told to the kernel in a user namespace that ends with the
command: nothing outside changes.  Needs Linux 6.7."""

import os
import subprocess
import sys

SETUP = """
set -e
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
cat /usr/lib/binfmt.d/qemu-%s.conf >/proc/sys/fs/binfmt_misc/register
exec "$@"
"""


def main():
    if len(sys.argv) < 3:
        sys.exit("usage: foreign.py MACHINE COMMAND ...")
    go, started = os.pipe(), os.pipe()
    # the namespace first, then who is who in it, then the rest
    child = subprocess.Popen(
        ["unshare", "--user", "sh", "-c", "echo >&%d; read -r _ <&%d; "
         'exec unshare --mount --pid --fork --kill-child --mount-proc "$@"' % (
             started[1], go[0]), "sh", "sh", "-c", SETUP % sys.argv[1], "sh",
         *sys.argv[2:]], pass_fds=(go[0], started[1]))
    os.close(started[1])
    os.read(started[0], 1)
    for name in "uid_map", "gid_map":
        with open("/proc/%d/%s" % (child.pid, name), "w") as ids:
            ids.write("0 0 65536\n")
    os.write(go[1], b"\n")
    return child.wait()


if __name__ == "__main__":
    sys.exit(main())
