# SPDX-License-Identifier: Apache-2.0
"""The shapes of the documents of `tether ddp`."""

from __future__ import annotations

from tether_hw.fleet.shape_words import anything, arr, document, flag, maybe, obj, table, text, whole

_FINDING = obj("what is wrong or odd", level=text("", "error", "warning", "note"), code=text(), message=text())
_AT = obj("a protocol and where its header begins", id=whole(), name=text(), offset=whole("bytes"))
_ROUND = obj(
    "one round of the parser",
    node=text(),
    program=text(),
    offset=whole("header offset in bytes when it began"),
    boost=maybe(text("boost entry that was hit")),
    next=whole("next protocol as it was compared"),
    table=maybe(text("", "cam", "cam_spill", "no_match", "no_match_spill")),
    entry=maybe(whole("its index there")),
    protocols=arr(_AT),
    markers=arr(text()),
)
_FRAME = obj(
    "what the parser says of a frame",
    ("trace",),
    frame=whole("from 1"),
    bytes=whole(),
    ptype=maybe(whole("null: no marker entry matches")),
    ptype_name=maybe(text()),
    protocols=arr(_AT, "by id"),
    flags=whole("the parser's 64"),
    packet_flags=whole("after redirection"),
    block_flags=table(whole(), "16 flags of a block's key builder"),
    stopped=text("", "last", "end", "no-match", "bound"),
    rounds=whole(),
    trace=arr(_ROUND),
)
_SEGMENT = obj(
    "one segment",
    ("signing", "devices"),
    index=whole(),
    type=whole(),
    kind=text(),
    format_version=text(),
    id=text(),
    bytes=whole(),
    buffers=whole(),
    downloaded_buffers=whole("those before the first that begins with metadata"),
    sections=arr(obj(type=whole(), name=text(), count=whole(), bytes=whole())),
    signing=anything("the fields of a signing segment"),
    devices=arr(obj(vendor=whole(), device=whole(), subdevice=whole())),
)

DDP_SHAPES = {
    "tether.ddp.build/1": document(
        "tether.ddp.build/1",
        "a package that was made",
        file=text(),
        bytes=whole(),
        sha256=text("64 hexadecimal digits"),
        findings=arr(_FINDING, "as of check"),
    ),
    "tether.ddp.info/1": document(
        "tether.ddp.info/1",
        "what a package file is",
        ("package_name", "version", "track_id", "tables", "labels", "tables_error"),
        bytes=whole(),
        sha256=text("64 hexadecimal digits"),
        format_version=text(),
        segments=arr(_SEGMENT),
        signed=flag("it has signing segments"),
        package_name=text("of the metadata section: what drivers tell"),
        version=text(),
        track_id=whole(),
        tables=table(whole(), "entries by table of the RX parser"),
        labels=table(whole(), "names by what they name"),
        tables_error=text("why its tables cannot be read"),
        drivers=arr(
            obj(
                "a gate of drivers or firmware",
                gate=text(),
                verdict=text("", "passed", "refused", "depends"),
                why=text(),
            )
        ),
    ),
    "tether.ddp.check/1": document(
        "tether.ddp.check/1", "what is wrong or odd in a package", file=text(), findings=arr(_FINDING, "errors first")
    ),
    "tether.ddp.diff/1": document(
        "tether.ddp.diff/1",
        "two packages compared by meaning",
        before=text("file"),
        after=text("file"),
        differences=arr(
            obj(
                "what is only in one, or differs",
                what=text(),
                name=text(),
                before=text("empty: only after"),
                after=text("empty: only before"),
            )
        ),
    ),
    "tether.ddp.simulate/1": document(
        "tether.ddp.simulate/1",
        "what the parser of a package says of frames",
        package=text(),
        vlan_mode=text("", "package", "svm", "dvm"),
        frames=arr(_FRAME),
    ),
}
