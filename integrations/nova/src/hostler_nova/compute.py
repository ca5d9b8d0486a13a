"""The command hostler-nova-compute: Nova's compute service, whose disk work Hostler does."""

from __future__ import annotations

import os
import sys
from typing import Any


def main() -> None:
    """Put Hostler's functions in place and start `nova.cmd.compute`."""
    # Nova comes first, because it applies eventlet's monkey patching.
    from nova.cmd import compute  # isort: skip
    from nova import config

    from hostler_nova import place

    place.put_in_place()
    parse = config.parse_args

    def parse_and_check(*args: Any, **kwargs: Any) -> Any:
        parsed = parse(*args, **kwargs)
        check()
        return parsed

    config.parse_args = parse_and_check
    sys.exit(compute.main())


def check() -> None:
    """Ask hostlerd whether it fits to this Nova; ends the process if it does not.

    A daemon that does not answer may come later: that is only a warning.
    """
    import hostler

    from hostler_nova import agent, host

    try:
        agent.client().require()
        served = os.path.dirname(host.instance_path("00000000-0000-4000-8000-000000000000"))
    except hostler.NoAnswer as error:
        print(f"hostler-nova-compute: {error}", file=sys.stderr)
        return
    except hostler.HostlerError as error:
        sys.exit(f"hostler-nova-compute: {error}")
    expected = os.path.realpath(agent.CONF.instances_path)
    if os.path.realpath(served) != expected:
        sys.exit(
            f"hostler-nova-compute: instances_path of hostlerd is {served}, and that of Nova is "
            f"{expected}: both must be the same folder"
        )
