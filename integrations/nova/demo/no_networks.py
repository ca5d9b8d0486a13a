"""Stands for Neutron in a cloud without networks: there are no ports, networks or extensions.

Nova asks for the ports of each server that it deletes or moves, also for those without any.
"""

from __future__ import annotations

from typing import Any

from werkzeug.serving import run_simple
from werkzeug.wrappers import Request, Response


@Request.application  # type: ignore[untyped-decorator]
def answer(request: Request) -> Any:
    """Give an empty list of whatever is asked for; nothing can be made."""
    if request.method != "GET":
        return Response(status=404)
    name = request.path.rstrip("/").rpartition("/")[2].removesuffix(".json").replace("-", "_")
    return Response(f'{{"{name}": []}}', content_type="application/json")


if __name__ == "__main__":
    run_simple("127.0.0.1", 9696, answer, threaded=True)
