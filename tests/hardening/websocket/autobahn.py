"""Run Autobahn|Testsuite itself against the echo server, if it is installed.

    python -m tests.hardening.websocket.autobahn --wstest 'python2.7 -m autobahntestsuite.wstest'

It needs Python 2.7 (`pip install autobahntestsuite` there), so CI runs `test_autobahn.py` instead,
which has the same cases. Exits with 1 if a case is not OK; three cases are informational.
"""

import asyncio
import json
import shlex
import sys
import tempfile
from pathlib import Path

import click
import uvloop
from tests.hardening.websocket.echo_server import open_echo_site
from tests.helpers.site import mint

ACCEPTED = ("OK", "INFORMATIONAL")
_AGENT = "headrace"


@click.command(context_settings={"show_default": True})
@click.option("--wstest", default="wstest", help="The command that starts Autobahn|Testsuite.")
@click.option("--case", "cases", multiple=True, default=["*"], help="Cases to run, as in `6.*`.")
def main(wstest: str, cases: tuple[str, ...]) -> None:
    """Run the cases 1 to 10, and print those that are not OK."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        results = runner.run(run(shlex.split(wstest), cases))
    failed = 0
    for number, result in results.items():
        behavior, at_close = result["behavior"], result["behaviorClose"]
        failed += behavior not in ACCEPTED or at_close not in ACCEPTED
        if (behavior, at_close) != ("OK", "OK"):
            click.echo(f"{number}: {behavior}, at the close {at_close}")
    click.echo(f"{len(results)} cases, {failed} failed")
    sys.exit(1 if failed or not results else 0)


async def run(wstest: list[str], cases: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Return the result of each case."""
    with tempfile.TemporaryDirectory(prefix="headrace-autobahn-") as name:
        directory = Path(name)
        async with open_echo_site() as site:
            url = f"{site.ws_url}/v1/connect?token={mint()}"
            specification = {
                "outdir": str(directory / "reports"),
                "servers": [{"agent": _AGENT, "url": url}],
                "cases": list(cases),
                "exclude-cases": ["12.*", "13.*"],  # the server does not agree to compression
                "exclude-agent-cases": {},
            }
            (directory / "spec.json").write_text(json.dumps(specification))
            arguments = ("-m", "fuzzingclient", "-s", str(directory / "spec.json"))
            process = await asyncio.create_subprocess_exec(*wstest, *arguments, cwd=directory)
            if await process.wait():
                raise click.ClickException("Autobahn|Testsuite failed")
        results: dict[str, dict[str, str]] = json.loads(
            (directory / "reports" / "index.json").read_text()
        )[_AGENT]
        return results


if __name__ == "__main__":
    main()
