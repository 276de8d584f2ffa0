# SPDX-License-Identifier: Apache-2.0
"""Makes the image of the virtual hosts: packages of Debian in, a disk, a kernel and an initramfs out."""

from __future__ import annotations

import lzma
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tether_hw.lab.errors import LabError
from tether_hw.lab.image import bootstrap, cache_lock
from tether_hw.lab.tools import need_tools
from tether_hw.lab.vm import files, netdevsim
from tether_hw.lab.vm.archive import Archive
from tether_hw.lab.vm.packages import Packages, call, unpack
from tether_hw.lab.vm.recipe import DISK_MB, MASKED, MODULES, PACKAGES, ROOT_MODULES, Image, Series, recipe_digest

Say = Callable[[str], None]
PREFIX = "lab-vm-"
TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "qemu-img": "qemu-utils",
    "mkfs.ext4": "e2fsprogs",
    "depmod": "kmod",
    "tar": "tar",
    "xz": "xz-utils",
    "make": "make",
    "gcc-12": "gcc-12",
    "strip": "binutils",
}
KEPT_LISTS = ("modules.builtin", "modules.builtin.modinfo", "modules.order")


def image_of(cache: Path, kernel: Series) -> Image:
    return Image(cache / f"{PREFIX}{kernel.name}-{recipe_digest(kernel, files.texts())}")


def ensure(cache: Path, kernel: Series, say: Say) -> Image:
    """Returns the image; makes it first if need be (two minutes, 250 MB fetched)."""
    image = image_of(cache, kernel)
    if image.folder.is_dir():
        return image
    need_tools(TOOLS)
    with cache_lock(cache, say) as lock:
        if not image.folder.is_dir():
            say(f"making the image {image.folder} of Debian with kernel {kernel.name} (once, some minutes)")
            with partial_folder(image.folder) as partial:
                make(partial, kernel, lock)
                partial.rename(image.folder)
    return image


@contextmanager
def partial_folder(final: Path) -> Iterator[Path]:
    """A new folder beside the final one; what an earlier attempt left goes, and so does this one when it fails."""
    for stale in final.parent.glob(f"{PREFIX}*.partial"):
        shutil.rmtree(stale)
    partial = final.with_name(final.name + ".partial")
    partial.mkdir()
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def make(folder: Path, kernel: Series, lock: int) -> None:
    work = folder / "work"
    packages = Packages(work / "apt", kernel.backports).open()
    release = kernel_release(packages, kernel)
    tree = work / "kernel"
    unpack(packages.fetch(f"linux-image-{release}"), tree)
    shutil.copyfile(tree / "boot" / f"vmlinuz-{release}", folder / "vmlinuz")
    unpack(packages.fetch("busybox-static"), work / "busybox")
    modules = lib(tree) / "modules" / release
    sim = modules / "extra/netdevsim.ko"
    flower = work / "netdevsim-flower.ko"
    source = netdevsim.extract(packages.fetch(kernel.source)[0], kernel.name, work / "source")
    netdevsim.both(source, headers(packages, release, kernel, work / "headers"), sim, flower)
    call(["depmod", "-b", str(tree), release])
    root = work / "root"
    bootstrap(work, root, PACKAGES, lock)
    install_modules(modules, root / "usr/lib/modules" / release)
    call(["depmod", "-b", str(root), release])
    furnish(root, flower)
    boot_config(tree, root, release)
    (folder / "initrd").write_bytes(initramfs(root, release, work / "busybox").bytes())
    disk(root, work / "base.raw", folder / "base.qcow2")
    (folder / "release").write_text(f"{release}\n", encoding="ascii")
    shutil.rmtree(work)


def kernel_release(packages: Packages, kernel: Series) -> str:
    """The release that the series' newest image package has, such as 6.1.0-56-amd64."""
    for name in packages.depends(kernel.image):
        release = name.removeprefix("linux-image-")
        if release != name and release.startswith(kernel.name + "."):
            return release
    raise LabError(f"the machine's package sources have no kernel {kernel.name}")


def lib(tree: Path) -> Path:
    """Where a kernel package puts its modules: /lib, or since the merge of the folders /usr/lib."""
    return tree / "lib" if (tree / "lib/modules").is_dir() else tree / "usr/lib"


def headers(packages: Packages, release: str, kernel: Series, into: Path) -> Path:
    """What modules are built against, unpacked beside the machine's own."""
    name = f"linux-headers-{release}"
    common = next(need for need in packages.depends(name) if need.endswith("-common"))
    unpack(packages.fetch(name, common, f"linux-kbuild-{kernel_tools(packages, name)}"), into)
    makefile = into / "usr/src" / name / "Makefile"
    text = makefile.read_text(encoding="utf-8")
    makefile.write_text(text.replace("/usr/src/", f"{into}/usr/src/"), encoding="utf-8")
    return makefile.parent


def kernel_tools(packages: Packages, headers_package: str) -> str:
    found = [need for need in packages.depends(headers_package) if need.startswith("linux-kbuild-")]
    if not found:
        raise LabError(f"{headers_package} names no build tools")
    return found[0].removeprefix("linux-kbuild-")


def install_modules(source: Path, target: Path) -> None:
    """What hosts may ask for, with all that it needs, unpacked; a name that this kernel has built in is none."""
    table: dict[str, str] = {}
    needs: dict[str, list[str]] = {}
    for line in (source / "modules.dep").read_text(encoding="utf-8").splitlines():
        path, _, rest = line.partition(":")
        table[module_name(path)] = path
        needs[path] = rest.split()
    chosen: set[str] = set()
    for name in (*MODULES, "netdevsim"):
        if module_name(name) in table:
            path = table[module_name(name)]
            chosen |= {path, *needs[path]}
    target.mkdir(parents=True)
    for path in chosen:
        to = target / path.removesuffix(".xz")
        to.parent.mkdir(parents=True, exist_ok=True)
        content = (source / path).read_bytes()
        to.write_bytes(lzma.decompress(content) if path.endswith(".xz") else content)
    for name in KEPT_LISTS:
        text = (source / name).read_bytes()
        (target / name).write_bytes(text.replace(b".ko.xz\n", b".ko\n"))


def module_name(path: str) -> str:
    return path.rpartition("/")[2].partition(".ko")[0].replace("-", "_")


def furnish(root: Path, flower: Path) -> None:
    """What every host of the lab has, and nothing that two must not share."""
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    for name in ("etc/hostname", "etc/resolv.conf"):
        (root / name).unlink(missing_ok=True)
    for name, text, mode in files.FILES:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)
    shutil.copyfile(flower, root / files.PROGRAMS / "netdevsim-flower.ko")
    for folder, name, target in files.LINKS:
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / name).symlink_to(target)
    for unit in MASKED:
        masked = root / "etc/systemd/system" / unit
        masked.unlink(missing_ok=True)
        masked.symlink_to("/dev/null")
    for folder in ("var/lib/apt/lists", "var/cache/apt"):
        shutil.rmtree(root / folder, ignore_errors=True)
        (root / folder).mkdir(parents=True)


def boot_config(tree: Path, root: Path, release: str) -> None:
    """What the kernel was built with, where Debian has it."""
    (root / "boot").mkdir(exist_ok=True)
    shutil.copyfile(tree / "boot" / f"config-{release}", root / "boot" / f"config-{release}")


def initramfs(root: Path, release: str, busybox: Path) -> Archive:
    """A shell and the modules up to the root file system, numbered in the order of their needs."""
    archive = Archive()
    archive.file("init", files.INIT.encode(), 0o755)
    archive.file("bin/busybox", (busybox / "bin/busybox").read_bytes(), 0o755)
    archive.folder("modules")
    shown = call(["modprobe", "-d", str(root), "-S", release, "-a", "--show-depends", *ROOT_MODULES])
    paths = list(dict.fromkeys(line.split()[1] for line in shown.splitlines() if line.startswith("insmod ")))
    for number, path in enumerate(paths):
        archive.file(f"modules/{number:02}-{Path(path).name}", Path(path).read_bytes())
    return archive


def disk(root: Path, raw: Path, target: Path) -> None:
    with open(raw, "wb") as out:
        os.truncate(out.fileno(), DISK_MB << 20)
    call(["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1", "-d", str(root), str(raw)])
    call(["qemu-img", "convert", "-O", "qcow2", str(raw), str(target)])
    target.chmod(0o444)
