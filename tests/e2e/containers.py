"""xapsd in a container of runc's, from the image of `make oci`.

The network is the host's, since the stand-in for Apple is there; all else is
the container's own: PID 1, a root that cannot be written to, no right of
root's, no /tmp, no /dev/log."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import uuid

from xapsd import Failed, STOP_S, Xapsd

IMAGE_UID = 11619


def run(*args, **options):
    return subprocess.run(args, check=True, capture_output=True, text=True,
                          timeout=60, **options)


def unpack(archive, folder, platform):
    """The bundle of one machine's image: real tools, no engine."""
    arch, _, variant = platform.partition("/")
    run("skopeo", "copy", "--override-arch", arch,
        *(["--override-variant", variant] if variant else []),
        "oci-archive:%s" % archive, "oci:%s:x" % (folder / "layout"))
    run("umoci", "unpack", "--image", "%s:x" % (folder / "layout"),
        str(folder / "bundle"))
    return folder / "bundle"


class Container(Xapsd):
    """user: uid and gid, the image's if None.  Its folders are those of the
    host: etc, lib and run below folder."""

    def __init__(self, folder, certs, bundle, user=None, args=(),
                 owner=None, stdout=None, **options):
        super().__init__(folder, certs, args=args, **options)
        self.bundle, self.user = bundle, user
        self.runc = ["runc", "--root", str(self.folder / "runc")]
        self.stdout = stdout
        self.has_config = True
        self.name = "xapsd-" + uuid.uuid4().hex[:12]
        for name in "etc", "lib", "run":
            (self.folder / name).mkdir(exist_ok=True)
        shutil.copy(certs.p8, self.folder / "etc/key.p8")
        shutil.copy(certs.ca, self.folder / "etc/ca.pem")
        self.config_path = self.folder / "etc/xapsd.yaml"
        self.socket_path = str(self.folder / "run/xapsd.sock")
        self.database = self.folder / "lib/database.json"
        self.config.update({
            "databaseFile": None, "socketPath": None, "socketMode": None,
            "apnsHost": "127.0.0.1",
            "keyFileP8": "key.p8", "apnsCaFile": "ca.pem"})
        self.config.update({k: v for k, v in options.items()
                            if k in self.config})
        self.owner = owner or user or (IMAGE_UID, IMAGE_UID)
        self.uid = user[0] if user else IMAGE_UID
        self.forbidden = None   # a folder that is root's

    def pid(self):
        return int(self.wait_until(self.pid_written, "PID of the container"))

    def pid_written(self):
        path = self.folder / "pid"
        return path.exists() and path.read_text()

    def start(self):
        (self.folder / "pid").unlink(missing_ok=True)
        return super().start()

    def write_config(self):
        """And gives the folders to their owner, whose group may write if that
        is not the container's user."""
        super().write_config()
        if not self.has_config:
            self.config_path.unlink()
        own = self.owner[0] == self.uid
        for name, mode in ("etc", 0o750), ("lib", 0o770), ("run", 0o775):
            folder = self.folder / name
            folder.chmod(mode)
            os.chown(folder, *((0, 0) if name == self.forbidden
                               else self.owner))
        for path in (self.folder / "etc").iterdir():
            path.chmod(0o600 if own else 0o640)
            os.chown(path, *self.owner)

    def spec(self, args):
        spec = json.loads((self.bundle / "config.json").read_text())
        process = spec["process"]
        process["terminal"] = False
        process["args"] = process["args"][:1] + list(args)
        process["noNewPrivileges"] = True
        process["capabilities"] = {}
        if self.user:
            process["user"] = {"uid": self.user[0], "gid": self.user[1]}
        spec["root"] = {"path": str(self.bundle / "rootfs"), "readonly": True}
        spec["linux"]["namespaces"] = [
            n for n in spec["linux"]["namespaces"] if n["type"] != "network"]
        spec["linux"].pop("resources", None)
        spec["mounts"] = [
            m for m in spec["mounts"]
            if m["destination"] not in ("/sys/fs/cgroup", "/etc/resolv.conf")]
        spec["mounts"] += [
            {"destination": to, "source": str(self.folder / name),
             "type": "bind", "options": ["bind", mode]}
            for to, name, mode in (("/etc/xapsd", "etc", "ro"),
                                   ("/var/lib/xapsd", "lib", "rw"),
                                   ("/run/xapsd", "run", "rw"))
            if (self.folder / name).is_dir()]
        return spec

    def command(self, *args):
        # a folder for each run: `check` beside the daemon
        bundle = self.folder / ("b-" + uuid.uuid4().hex[:8])
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps(self.spec(args)))
        if self.process is None and args == tuple(self.args):
            command = [*self.runc, "run", "--pid-file", str(self.folder / "pid"),
                       "--bundle", str(bundle), self.name]
            return command if not self.stdout else [
                "sh", "-c", 'exec "$@" >"$0"', str(self.stdout), *command]
        return [*self.runc, "run", "--bundle", str(bundle),
                "xapsd-" + uuid.uuid4().hex[:12]]

    def exec(self, *args):
        """A command in the running container."""
        return subprocess.run(
            [*self.runc, "exec", self.name, "/xapsd", *args],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60)

    def send_signal(self, signo):
        os.kill(self.pid(), signo)

    def stop(self, signo=signal.SIGTERM):
        if self.process is None:
            return
        process, self.process = self.process, None
        self.drop_kept()
        if process.poll() is None:
            self.send_signal(signo)
        try:
            status = process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            subprocess.run([*self.runc, "delete", "-f", self.name], check=False)
            process.wait()
            raise Failed("PID 1 did not end on signal %d" % signo) from None
        if status != 0:
            raise Failed("ended with status %d:\n%s" % (status, self.log()))

    def kill(self):
        process, self.process = self.process, None
        if process:
            self.drop_kept()
            subprocess.run([*self.runc, "delete", "-f", self.name], check=False,
                           capture_output=True)
            process.wait()


def lacks():
    """Why no container can run here, or None."""
    if os.geteuid() != 0:
        return "only root may run containers"
    for tool in "runc", "skopeo", "umoci":
        if not shutil.which(tool):
            return "%s is missing" % tool
    return None


def image():
    path = os.environ.get("OCI")
    return pathlib.Path(path) if path else None
