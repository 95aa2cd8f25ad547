"""``dj.cli()``: a Python prompt with ``dj`` and the schemas at hand."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def cli(args: Sequence[str] | None = None) -> None:
    """Runs the prompt.

    Options: ``-V``, ``-u USER``, ``-p PASSWORD``, ``--host HOST[:PORT]``, ``-s DB:ALIAS`` (repeatable).
    """
    import code

    import lodestore as dj

    parser = argparse.ArgumentParser(prog="lode shell", description="A Python prompt with lodestore as `dj`.")
    parser.add_argument("-V", "--version", action="version", version=f"lodestore {dj.__version__}")
    parser.add_argument("-u", "--user", help="user name")
    parser.add_argument("-p", "--password", help="password")
    parser.add_argument("--host", help="host, with a port if need be: HOST[:PORT]")
    parser.add_argument(
        "-s", "--schemas", nargs="+", action="extend", default=[], metavar="DB:ALIAS", help="schemas to open as modules"
    )
    options = parser.parse_args(args)
    aliases = []
    for item in options.schemas:
        name, colon, alias = item.partition(":")
        if not (name and colon and alias):
            parser.error(f"`{item}` is not of the form DB:ALIAS")
        aliases.append((name, alias))
    for key, value in {"database.user": options.user, "database.password": options.password}.items():
        if value is not None:
            dj.config[key] = value
    if options.host is not None:
        host, _, port = options.host.partition(":")
        dj.config["database.host"] = host
        if port:
            dj.config["database.port"] = int(port)
    modules = {alias: dj.VirtualModule(alias, name) for name, alias in aliases}
    shown = "".join(f"\n  {alias}: schema `{name}`" for name, alias in aliases)
    try:
        code.interact(banner=f"lodestore {dj.__version__} as dj{shown}", local={"dj": dj, **modules})
    except SystemExit as stop:
        if stop.code not in (None, 0):
            raise
