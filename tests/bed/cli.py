"""`python -m tests.bed VERB`: arguments in, one call out."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bed import apiserver, bed, faults, load, shell
from tests.bed.config import BedError, Paths
from tests.bed.images import __main__ as images
from tests.bed.images.debian import ImageBuildError


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m tests.bed", description="A real Kubernetes on this machine.")
    verbs = top.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="bring everything up that is not")
    up.add_argument("--nodes", type=int, help="default: what is there, or 3")
    build = verbs.add_parser("build", help="build all that the bed and the tests run on, and start nothing")
    build.add_argument("--apiserver-only", action="store_true", help="only what tests of the API server run on")
    verbs.add_parser("down", help="end and remove everything but the logs")
    verbs.add_parser("status", help="a line per part; exit code 1 unless all is well")
    archives = verbs.add_parser("load", help="import OCI image archives into every node")
    archives.add_argument("image", type=Path, nargs="+")
    only = verbs.add_parser("apiserver-only", help="run etcd and kube-apiserver alone until interrupted")
    only.add_argument("--directory", type=Path, help="where its files go (default: a temporary folder)")
    node = verbs.add_parser("node", help="power, and the network, of a node")
    node.add_argument("what", choices=["stop", "start", "cut", "heal"])
    node.add_argument("number", type=int)
    pod = verbs.add_parser("pod", help="the network of a Pod")
    pod.add_argument("what", choices=["cut", "heal"])
    pod.add_argument("name", help="NAMESPACE/NAME, or NAME where it is unique")
    for each in (node, pod):
        each.add_argument("--apiserver-only", action="store_true", help="cut off from the API server alone")
    for part in ("apiserver", "controllers", "s3"):
        verb = verbs.add_parser(part)
        verb.add_argument("what", choices=[what for of, what in faults.VERBS if of == part])
    return top


def _build(*, apiserver_only: bool) -> None:
    """An API server alone needs no root; where the bed cannot run, the tests that need it say so themselves."""
    apiserver.build()
    if apiserver_only:
        return
    given = os.environ.get("CNMYSQL_TEST_KUBECONFIG")
    if reason := f"the tests use {given}" if given else bed.why_not():
        shell.say(f"only the API server is built: {reason}")
        return
    bed.build()
    images.build(list(images.BUILDERS), Paths.of_checkout().root)


def _apiserver_only(directory: Path | None) -> None:
    with contextlib.ExitStack() as stack:
        folder = directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bed-apiserver-")))
        kubeconfig = stack.enter_context(apiserver.run_only(folder))
        sys.stdout.write(f"{kubeconfig}\n")
        sys.stdout.flush()
        while True:
            signal.pause()


def _node(options: argparse.Namespace) -> None:
    match options.what:
        case "stop":
            faults.node_stop(options.number)
        case "start":
            faults.node_start(options.number)
        case "cut":
            faults.node_cut(options.number, apiserver_only=options.apiserver_only)
        case "heal":
            faults.node_heal(options.number)


def _run(options: argparse.Namespace) -> int:
    match options.verb:
        case "up":
            bed.up(options.nodes)
        case "build":
            _build(apiserver_only=options.apiserver_only)
        case "down":
            bed.down()
        case "status":
            text, well = bed.status()
            sys.stdout.write(text)
            return 0 if well else 1
        case "load":
            load.load_images(options.image)
        case "apiserver-only":
            _apiserver_only(options.directory)
        case "node":
            _node(options)
        case "pod" if options.what == "cut":
            faults.pod_cut(options.name, apiserver_only=options.apiserver_only)
        case "pod":
            faults.pod_heal(options.name)
        case part:
            faults.VERBS[part, options.what]()
    return 0


def main(arguments: Sequence[str]) -> int:
    """Exit code 0, or 1 with the reason on standard error."""
    options = parser().parse_args(arguments)
    # A terminated verb unwinds like an interrupted one: what it holds only for its own duration is ended.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    try:
        return _run(options)
    except KeyboardInterrupt:
        return 130
    except (BedError, ImageBuildError) as refusal:
        sys.stderr.write(f"bed: {refusal}\n")
        return 1
