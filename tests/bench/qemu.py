"""Running static executables for other machines, and counting instructions."""

import os
import pathlib
import platform
import subprocess

QEMU = {"i386": "i386", "armv7": "arm", "armel": "arm", "aarch64": "aarch64",
        "mips": "mips -cpu 24Kc", "mipsel": "mipsel -cpu 24Kc",
        "riscv64": "riscv64", "x86_64": "x86_64"}


def machine(path):
    """Of dist/xapsd-VERSION-MACHINE, of build/static/MACHINE/xapsd, or this one's
    under any other name."""
    name = path.name.split("-")[-1] if "-" in path.name else path.parent.name
    return name if name in QEMU else platform.machine()


def runs_here(path):
    try:
        return subprocess.run([path, "--version"],
                              stdout=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def plugin(folder):
    """Has to be called once for this folder, before instructions()."""
    source = pathlib.Path(__file__).with_name("insns.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o",
                    str(folder / "insns.so"), str(source)], check=True)


def instructions(path, folder, run):
    """How many the executable needs from start to end.  run: a function that runs
    it, once, with what is to be put in front of it."""
    name, _, options = QEMU[machine(path)].partition(" ")
    out = folder / "insns"
    os.environ["XAPSD"] = str(path)
    os.environ["XAPSD_WRAP"] = "qemu-%s %s -plugin file=%s,out=%s" % (
        name, options, folder / "insns.so", out)
    try:
        run()
        return int(out.read_text())
    finally:
        del os.environ["XAPSD_WRAP"]
