# SPDX-License-Identifier: Apache-2.0
"""Running programs of a machine and writing its files, and what they are expected to answer."""

from __future__ import annotations

from tests.drivers.common.machine import Done, Host


def run(host: Host, line: str, stdin: str = "") -> Done:
    return host.run(line.split(), stdin)


def good(host: Host, *lines: str) -> None:
    for line in lines:
        done = run(host, line)
        assert done.code == 0, f"{line}: {done}"


def refused(host: Host, line: str, words: str = "", code: int | None = None) -> None:
    done = run(host, line)
    assert done.code != 0, line
    assert words in done.err, done.err
    assert code is None or done.code == code, done


def bad_write(host: Host, path: str, text: str, number: int) -> None:
    try:
        host.sysfs().write(path, text)
    except OSError as error:
        assert error.errno == number, error
    else:
        raise AssertionError(f"{text} was taken")


def flow_told(host: Host, line: str, words: str) -> None:
    """Refused on stderr; the exit code says nothing, so the table is asked."""
    before = run(host, "ethtool -n data0").out
    done = run(host, line)
    assert words in done.err, done
    assert run(host, "ethtool -n data0").out == before
