# SPDX-License-Identifier: Apache-2.0
"""Both bundles as `make bundle` left them: ELF files read, the same bytes again, damage seen, launchers started."""

from __future__ import annotations

import io
import json
import platform
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from elftools.elf.sections import SymbolTableSection

from tether_hw import __version__
from tether_hw.cli.main import main
from tether_hw.cli.read_facts import warn_of_stale_bundles
from tether_hw.fleet import bundle, bundle_sources
from tether_hw.plan.bundle import MANIFEST, content_digest
from tools import bundle as tool

# The oldest libc among the hosts: RHEL 9's.
GLIBC_MOST = (2, 34)
MACHINES = {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64"}
REAL = bundle.bundle_path("x86_64")
LIBC = re.compile(r"libc\.so\.6|libpthread\.so\.0|libdl\.so\.2|ld-linux-(x86-64|aarch64)\.so\.[12]")


def files(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def elf_files(arch: str) -> dict[str, ELFFile]:
    found = files(bundle.find(arch).path)
    return {name: ELFFile(io.BytesIO(data)) for name, data in found.items() if data.startswith(b"\x7fELF")}


def glibc_versions(elf: ELFFile) -> set[tuple[int, ...]]:
    needs = [section for section in elf.iter_sections() if isinstance(section, GNUVerNeedSection)]
    names = {str(version.name) for section in needs for _, versions in section.iter_versions() for version in versions}
    return {tuple(map(int, name[6:].split("."))) for name in names if name.startswith("GLIBC_")}


@pytest.mark.parametrize("arch", bundle.ARCHITECTURES)
def test_every_elf_file_fits_the_oldest_host(arch: str) -> None:
    found = elf_files(arch)
    assert "lib/libtether.so" in found
    for name, elf in found.items():
        assert elf["e_machine"] == MACHINES[arch], name
        versions = glibc_versions(elf)
        assert versions, f"{name} asks for no GLIBC version at all: the reader of this test is blind"
        assert max(versions) <= GLIBC_MOST, name
        dynamic = elf.get_section_by_name(".dynamic")
        assert isinstance(dynamic, DynamicSection)
        needed = [str(tag.needed) for tag in dynamic.iter_tags("DT_NEEDED")]  # type: ignore[attr-defined]
        assert [library for library in needed if not LIBC.fullmatch(library)] == [], name
        assert [tag.entry.d_tag for tag in dynamic.iter_tags() if tag.entry.d_tag in ("DT_RPATH", "DT_RUNPATH")] == []


@pytest.mark.parametrize("arch", bundle.ARCHITECTURES)
def test_the_library_shows_nothing_but_its_own_names(arch: str) -> None:
    table = elf_files(arch)["lib/libtether.so"].get_section_by_name(".dynsym")
    assert isinstance(table, SymbolTableSection)
    shown = {symbol.name for symbol in table.iter_symbols() if symbol["st_shndx"] != "SHN_UNDEF" and symbol.name}
    assert "tether_abi_version" in shown
    assert {name for name in shown if not name.startswith("tether_")} == set()


def test_no_path_of_the_building_machine_is_inside() -> None:
    here = str(Path(__file__).resolve().parents[2]).encode()
    for arch in bundle.ARCHITECTURES:
        assert [name for name, data in files(bundle.find(arch).path).items() if here in data] == []


def test_the_same_sources_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first.tar", tmp_path / "second.tar"
    for target in (first, second):
        monkeypatch.setattr(tool, "bundle_path", lambda _arch, target=target: target)
        tool.write("x86_64")
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == sorted(member.name for member in members)
    assert {(member.uid, member.gid, member.mtime) for member in members} == {(0, 0, tool.TIME_S)}


@pytest.mark.parametrize("arch", bundle.ARCHITECTURES)
def test_what_is_inside(arch: str) -> None:
    found = bundle.find(arch)
    content = files(found.path)
    assert found.version == __version__ == json.loads(content[MANIFEST])["version"]
    assert {"udp", "af_packet", "af_xdp"} == set(found.carriers)
    inside = set(content)
    assert {"bin/tether-agent", "bin/tether-engine", "licenses/LICENSE"} <= inside
    assert any(name.startswith("lib/python/pyroute2/") for name in inside)
    for room in ("cli", "lab", "fleet", "transport/protocol", "transport/core"):
        assert [name for name in inside if name.startswith(f"lib/python/tether_hw/{room}")] == []


def damaged(source: Path, target: Path, name: str, content: bytes) -> None:
    with tarfile.open(source) as old, tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as new:
        for member in old:
            data = content if member.name == name else old.extractfile(member).read()  # type: ignore[union-attr]
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))


def test_a_bundle_that_is_not_what_it_says_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = bundle.find("x86_64").path
    monkeypatch.setattr(bundle, "bundle_path", lambda _arch: tmp_path / "bundle.tar")
    target = tmp_path / "bundle.tar"

    with pytest.raises(bundle.BundleError, match="there is no bundle for x86_64"):
        bundle.find("x86_64")
    damaged(good, target, "lib/libtether.so", b"\x7fELF other")
    with pytest.raises(bundle.BundleError, match="its files are not those"):
        bundle.find("x86_64")
    damaged(good, target, MANIFEST, b"{}")
    with pytest.raises(bundle.BundleError, match="does not say"):
        bundle.find("x86_64")
    target.write_bytes(good.read_bytes()[:100_000])
    with pytest.raises(bundle.BundleError, match="cannot be read|does not say"):
        bundle.find("x86_64")
    shutil.copy(good, target)
    with pytest.raises(bundle.BundleError, match="for aarch64"):
        bundle.find("aarch64")
    assert bundle.find("x86_64").path == target


def test_an_unknown_architecture_is_named() -> None:
    with pytest.raises(bundle.BundleError, match="'riscv64'.*x86_64, aarch64"):
        bundle.find("riscv64")


def test_the_digest_sees_content_mode_and_name_but_not_order() -> None:
    entries = [("bin/a", 0o755, "00"), ("lib/b", 0o644, "11")]
    same = content_digest(entries)
    assert same == content_digest(reversed(entries))
    others = [
        [("bin/a", 0o755, "01"), ("lib/b", 0o644, "11")],
        [("bin/a", 0o644, "00"), ("lib/b", 0o644, "11")],
        [("bin/c", 0o755, "00"), ("lib/b", 0o644, "11")],
        entries[:1],
    ]
    assert same not in {content_digest(other) for other in others}


HERE = platform.machine()
FITS = pytest.mark.skipif(HERE not in bundle.ARCHITECTURES, reason=f"there is no bundle for {HERE}")


def unpacked(folder: Path) -> Path:
    folder.mkdir()
    subprocess.run(["tar", "-xf", bundle.find(HERE).path, "-C", folder], check=True)
    return folder


@FITS
def test_the_engine_finds_the_library_of_its_bundle(tmp_path: Path) -> None:
    folder = unpacked(tmp_path / "bundle")
    program = f"import sys; sys.path.insert(0, {str(folder / 'lib' / 'python')!r})\n"
    program += "from tether_hw.transport import library; library.load(); print(library.find())"
    result = subprocess.run(
        ["/usr/bin/python3", "-I", "-B", "-S", "-c", program], env={}, capture_output=True, text=True, timeout=60
    )
    assert result.stdout.strip() == str(folder / "lib" / "libtether.so"), result.stderr


@FITS
@pytest.mark.parametrize(("launcher", "code"), [("tether-agent", 64), ("tether-engine", 0)])
def test_the_launchers_start_from_the_unpacked_bundle_alone(launcher: str, code: int, tmp_path: Path) -> None:
    folder = unpacked(tmp_path / "bundle")
    # A link to the launcher, an empty folder and no environment: nothing but the bundle and the standard library.
    (tmp_path / launcher).symlink_to(folder / "bin" / launcher)
    empty = tmp_path / "empty"
    empty.mkdir()
    result = subprocess.run(
        [tmp_path / launcher, "--help"],
        cwd=empty,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    # The agent is spoken to by the controller and knows only verbs; the engine's verbs are for people too.
    assert result.returncode == code, result.stderr
    assert f"usage: {launcher}" in result.stdout + result.stderr
    assert not list(folder.rglob("__pycache__")), "a run changed the bundle's folder"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of this checkout's sources whose bundle was just built, to be changed."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(tool.ROOT / "tether_hw", tmp_path / "tether_hw", ignore=ignore)
    monkeypatch.setattr(bundle_sources, "_ROOT", tmp_path)
    monkeypatch.setattr(bundle_sources, "_PACKAGE", tmp_path / "tether_hw")
    monkeypatch.setattr(bundle_sources, "_CORE", tmp_path / "tether_hw" / "transport" / "core")
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "LIBRARIES", {"x86_64": ("build/libtether.so", "strip")})
    monkeypatch.setattr(bundle, "data_path", lambda name: tmp_path / "build" / name)
    (tmp_path / "build").mkdir()
    (tmp_path / "LICENSE").write_text("licence")
    with tarfile.open(REAL) as tar:
        library = tar.extractfile("lib/libtether.so")
        assert library is not None
        (tmp_path / "build" / "libtether.so").write_bytes(library.read())
    tool.write("x86_64")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("agent/verify.py", "tether_hw/agent/verify.py"),
        ("plan/made_now.py", "tether_hw/plan/made_now.py"),
        ("transport/core/src/wire.h", "the C library"),
    ],
)
def test_a_stale_bundle_is_noticed(checkout: Path, name: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = bundle.find("x86_64")
    assert bundle_sources.stale(found) is None
    path = checkout / "tether_hw" / name
    text = path.read_bytes() if path.exists() else b""
    path.write_bytes(text + b"\n")
    assert bundle_sources.stale(found) == f"older than the sources: {told}"
    main(["doctor", "-i", str(checkout / "none.yaml")])
    doctor = capsys.readouterr().out
    assert f"older than the sources: {told}\n{'':<29} next: make bundle" in doctor
    warn_of_stale_bundles()
    assert capsys.readouterr().err == f"warning: bundle x86_64 is older than the sources: {told}; next: make bundle\n"
    if text:
        path.write_bytes(text)
        path.touch()  # the same content again, whatever its time
        assert bundle_sources.stale(found) is None


def test_a_wheel_is_never_stale(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = bundle.find("x86_64")
    (checkout / "tether_hw" / "agent" / "verify.py").write_text("")
    assert bundle_sources.stale(found) is not None
    monkeypatch.setattr(bundle_sources, "installed", lambda: True)
    assert bundle_sources.stale(found) is None
