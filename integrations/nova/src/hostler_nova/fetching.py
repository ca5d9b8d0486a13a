"""Images from Glance, which hostlerd fetches with the token of Nova's caller."""

from __future__ import annotations

import os
from typing import Any

from hostler import v1
from nova.image import glance

from hostler_nova.agent import CONF, client
from hostler_nova.errors import Work, as_nova


def source(context: Any, image_id: str) -> v1.ImageSource:
    """Say where an image is, and with which token it is asked for."""
    endpoint = next(glance.get_api_servers(context))
    token = getattr(context, "auth_token", None)
    return v1.ImageSource(
        glance=v1.GlanceSource(endpoint=endpoint, image_id=str(image_id), token=token or "")
    )


def fetch_image(context: Any, target: str, image_id: str, max_size: int = 0) -> None:
    """Fetch an image, and write it as raw if nova.conf says so (force_raw_images).

    It is judged before a tool opens it. max_size: the largest virtual size, 0: any.
    """
    request = v1.FetchImageRequest(
        source=source(context, image_id),
        target=os.path.abspath(target),
        target_format="raw" if CONF.force_raw_images else "",
        max_size_bytes=max_size or None,
        overwrite=True,
    )
    with as_nova(Work.FETCH, image_id):
        client().image.fetch_image(request).wait()


def fetch_raw_image(context: Any, target: str, image_id: str, max_size: int = 0) -> None:
    """Fetch the bytes of an image as they are, such as a kernel."""
    request = v1.FetchRawImageRequest(
        source=source(context, image_id),
        target=os.path.abspath(target),
        max_size_bytes=max_size or None,
        overwrite=True,
    )
    with as_nova(Work.FETCH, image_id):
        client().image.fetch_raw_image(request).wait()
