"""Makes the container image: `make oci` calls it.

    oci.py OUT VERSION URL LICENSES ARCH ...

OUT is a tar in OCI image layout 1.0 with an index of one image for each ARCH, of
the static files build/static/ARCH/xapsd.  Nothing else is needed, neither an
engine nor root, and the same files make the same bytes.  SOURCE_DATE_EPOCH is
the date in it.  An older Docker finds what `docker load` wants there, too."""

import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
import time

UID = 11619     # the port's number: one that no other image has
# By our names: OCI's architecture and variant
PLATFORMS = {"x86_64": ("amd64",), "aarch64": ("arm64",),
             "armv7": ("arm", "v7"), "i386": ("386",), "armel": ("arm", "v5"),
             "riscv64": ("riscv64",), "mipsel": ("mipsle",),
             "mips": ("mips",)}
OCI = "application/vnd.oci.image."


def add(tar, name, data=None, mode=0o644, uid=0):
    """A file, or a folder if there is no data."""
    info = tarfile.TarInfo(name)
    info.mode, info.uid = mode, uid
    if data is None:
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    else:
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))


def make_tar(fill):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as t:
        fill(t)
    return out.getvalue()


def make_root(executable, licenses):
    """All that is in the image.  An empty volume takes over owner and mode of
    the folder that it is mounted on; group root is for platforms that choose a
    user and leave that group (OpenShift)."""
    def fill(tar):
        for name in "etc", "etc/xapsd", "run", "usr", "usr/share", \
                "usr/share/doc", "usr/share/doc/xapsd", "var", "var/lib":
            add(tar, name, mode=0o755)
        add(tar, "run/xapsd", mode=0o775, uid=UID)
        add(tar, "var/lib/xapsd", mode=0o770, uid=UID)
        add(tar, "etc/passwd",
            b"root:x:0:0:root:/:/xapsd\nxapsd:x:%d:%d:xapsd:/:/xapsd\n" %
            (UID, UID))
        add(tar, "etc/group", b"root:x:0:\nxapsd:x:%d:\n" % UID)
        add(tar, "usr/share/doc/xapsd/LICENSES", licenses)
        add(tar, "xapsd", executable, mode=0o755)
    return make_tar(fill)


def as_json(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


class Layout:
    """The blobs of the image layout."""

    def __init__(self, version, url):
        self.blobs = {}
        self.labels = {
            "org.opencontainers.image." + key: value for key, value in {
                "title": "xapsd", "version": version,
                "description": "Wakes iPhones for new mail in Dovecot",
                "licenses": "MIT AND Apache-2.0",
                "url": url, "source": url, "documentation": url}.items()}
        self.created = {}
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        if epoch:
            self.created["created"] = time.strftime(
                "%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(epoch)))
            self.labels["org.opencontainers.image.created"] = \
                self.created["created"]

    def put(self, kind, data):
        """Returns the descriptor."""
        digest = hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        return {"mediaType": OCI + kind, "digest": "sha256:" + digest,
                "size": len(data)}

    def config(self, platform, root):
        return {
            **platform, **self.created,
            "config": {
                # a number, so that Kubernetes sees that it is not root
                "User": str(UID),
                "Entrypoint": ["/xapsd"],
                "WorkingDir": "/",
                "StopSignal": "SIGTERM",
                "Volumes": {"/run/xapsd": {}, "/var/lib/xapsd": {}},
                "Labels": self.labels,
                # not OCI's, but Docker's and podman's; nanoseconds
                "Healthcheck": {
                    "Test": ["CMD", "/xapsd", "healthcheck"],
                    "Interval": 60 * 10**9, "Timeout": 10 * 10**9,
                    "StartPeriod": 30 * 10**9, "Retries": 3}},
            "rootfs": {"type": "layers", "diff_ids": [
                "sha256:" + hashlib.sha256(root).hexdigest()]},
            "history": [{**self.created, "created_by": "make oci",
                         "comment": "FROM scratch"}]}

    def add_image(self, arch, root):
        names = dict(zip(("architecture", "variant"), PLATFORMS[arch]))
        platform = {"os": "linux", **names}
        config = self.put("config.v1+json", as_json(
            self.config(platform, root)))
        layer = self.put("layer.v1.tar+gzip", gzip.compress(root, 9, mtime=0))
        manifest = self.put("manifest.v1+json", as_json({
            "schemaVersion": 2, "mediaType": OCI + "manifest.v1+json",
            "config": config, "layers": [layer],
            "annotations": self.labels}))
        return {**manifest, "platform": platform}, config, layer

    def write(self, out, version, images):
        index = self.put("index.v1+json", as_json({
            "schemaVersion": 2, "mediaType": OCI + "index.v1+json",
            "manifests": [image for image, _, _ in images],
            "annotations": self.labels}))
        index["annotations"] = {
            "org.opencontainers.image.ref.name": version,
            "io.containerd.image.name": "docker.io/library/xapsd:" + version}
        # For a Docker that keeps its images in the old way, a tag for each.
        old = [{
            "Config": "blobs/sha256/" + config["digest"][7:],
            "Layers": ["blobs/sha256/" + layer["digest"][7:]],
            "RepoTags": ["xapsd:%s-%s" % (version, "-".join(
                v for k, v in sorted(image["platform"].items())
                if k != "os"))]} for image, config, layer in images]

        def fill(tar):
            add(tar, "oci-layout", as_json({"imageLayoutVersion": "1.0.0"}))
            add(tar, "index.json", as_json({
                "schemaVersion": 2, "mediaType": OCI + "index.v1+json",
                "manifests": [index]}))
            add(tar, "manifest.json", as_json(old))
            add(tar, "blobs", mode=0o755)
            add(tar, "blobs/sha256", mode=0o755)
            for digest in sorted(self.blobs):
                add(tar, "blobs/sha256/" + digest, self.blobs[digest])
        with open(out + ".new", "wb") as f:
            f.write(make_tar(fill))
        os.rename(out + ".new", out)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def main(out, version, url, licenses, *arches):
    layout = Layout(version, url)
    images = []
    for arch in arches:
        root = make_root(read("build/static/%s/xapsd" % arch), read(licenses))
        images.append(layout.add_image(arch, root))
        print("%-8s %7d bytes of layer, %7d unpacked" % (
            "/".join(PLATFORMS[arch]), images[-1][2]["size"],
            os.path.getsize("build/static/%s/xapsd" % arch)))
    layout.write(out, version, images)
    print(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
