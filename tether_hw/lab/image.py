# SPDX-License-Identifier: Apache-2.0
"""The root image that all hosts of all labs share: a minimal Debian, made once and never written again."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tether_hw.lab.errors import LabError

SUITE = "bookworm"
PACKAGES = (
    "openssh-server",
    "iproute2",
    "ethtool",
    "python3",
    "kmod",
    "procps",
    "sudo",
    "iputils-ping",
)
NOT_UNPACKED = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")
PRIVATE = ("etc", "opt", "var", "home", "root", "srv", "usr/local")  # each host has its own, which survives its reboot
OWN_FILES = ("etc/machine-id", "etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/ssh/sshd_config")
RECIPE_VERSION = 1
WAIT_S = 1800.0


def recipe_digest() -> str:
    """Names the image: another recipe or architecture is another image."""
    recipe = [RECIPE_VERSION, SUITE, PACKAGES, NOT_UNPACKED, PRIVATE, OWN_FILES, os.uname().machine]
    return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:16]


def image_path(cache: Path) -> Path:
    return cache / f"lab-root-{recipe_digest()}"


def apt_sources(apt: Path = Path("/etc/apt")) -> list[str]:
    """The machine's own sources of this suite, as they are; an empty list on another distribution."""
    found: list[str] = []
    listing = apt / "sources.list"
    folder = apt / "sources.list.d"
    files = [listing, *sorted(folder.glob("*.list"))] if folder.is_dir() else [listing]
    for file in files:
        if not file.is_file():
            continue
        for line in file.read_text(encoding="utf-8").splitlines():
            words = line.partition("#")[0].split()
            if words[:1] != ["deb"]:
                continue
            options = [i for i, word in enumerate(words) if word.endswith("]")]
            rest = words[(options[0] if words[1].startswith("[") and options else 0) + 1 :]
            if len(rest) >= 2 and is_suite(rest[1]):
                found.append(" ".join(words))
    for file in sorted(folder.glob("*.sources")) if folder.is_dir() else []:
        for stanza in file.read_text(encoding="utf-8").split("\n\n"):
            found += deb822_lines(stanza)
    return found


def is_suite(name: str) -> bool:
    return name == SUITE or name.startswith(SUITE + "-")


def deb822_lines(stanza: str) -> list[str]:
    """The one-line form of a stanza of a .sources file, as far as it names this suite."""
    fields: dict[str, str] = {}
    last = ""
    for line in stanza.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line[0] in " \t":
            fields[last] = (fields.get(last, "") + " " + line.strip()).strip()
            continue
        name, _, value = line.partition(":")
        last = name.strip().lower()
        fields[last] = value.strip()
    if fields.get("enabled", "yes").lower() in ("no", "false") or "deb" not in fields.get("types", "").split():
        return []
    signed = fields.get("signed-by", "")
    option = f"[signed-by={signed}] " if signed.startswith("/") else ""
    components = fields.get("components", "")
    return [
        f"deb {option}{uri} {suite} {components}".strip()
        for uri in fields.get("uris", "").split()
        for suite in fields.get("suites", "").split()
        if is_suite(suite)
    ]


@contextmanager
def cache_lock(cache: Path, say: Callable[[str], None]) -> Iterator[int]:
    """Holds the cache's lock; yields its descriptor, which a builder inherits so that it counts as long as it lives."""
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(cache / "lab.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + WAIT_S
        told = False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LabError(f"{cache}/lab.lock is held for more than {WAIT_S:.0f} s") from None
                if not told:
                    say("another lab makes the root image: waiting")
                    told = True
                time.sleep(0.1)
        yield descriptor
    finally:
        os.close(descriptor)


def ensure_image(cache: Path, say: Callable[[str], None]) -> Path:
    """Returns the image's folder; makes it first if need be (about a minute and 200 MB)."""
    image = image_path(cache)
    if image.is_dir():
        return image
    if shutil.which("mmdebstrap") is None:
        raise LabError(
            "the root image cannot be made: no mmdebstrap on this machine", hint="apt-get install mmdebstrap"
        )
    with cache_lock(cache, say) as lock:
        if not image.is_dir():
            build(cache, image, lock, say)
    return image


def build(cache: Path, image: Path, lock: int, say: Callable[[str], None]) -> None:
    for stale in cache.glob("lab-root-*.partial"):
        shutil.rmtree(stale)
    partial = image.with_name(image.name + ".partial")
    say(f"making the root image {image} with mmdebstrap (once, about a minute)")
    bootstrap(cache, partial, PACKAGES, lock)
    finish(partial)
    partial.rename(image)


def bootstrap(work: Path, target: Path, packages: Sequence[str], lock: int) -> None:
    """A minimal Debian with these packages in a new folder; whoever lives on as its maker holds the lock."""
    sources = work / "lab-root.sources.list"
    lines = apt_sources()
    sources.write_text("\n".join(lines) + "\n", encoding="utf-8")
    # Its own pid and mount namespaces, and a death signal: nothing of it outlives this process.
    command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child=KILL"]
    command += ["mmdebstrap", "--mode=root", "--variant=minbase", "--quiet", "--format=directory"]
    command += ["--aptopt=APT::Install-Recommends false"]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in NOT_UNPACKED]
    command += [f"--include={','.join(packages)}", SUITE, str(target)]
    command += [str(sources)] if lines else []
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, pass_fds=(lock,), check=False
    )
    sources.unlink()
    if done.returncode != 0:
        shutil.rmtree(target, ignore_errors=True)
        reason = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise LabError(f"mmdebstrap ended with {done.returncode}: {reason}")


def finish(root: Path) -> None:
    """What must not be shared by hosts, and places for what each of them mounts."""
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    for name in OWN_FILES:
        (root / name).unlink(missing_ok=True)
    for folder in (root / "var/lib/apt/lists", root / "var/cache/apt", root / "run"):
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    root.chmod(0o755)
