"""A plugin of pytest: every blocking client uses the transport of this package.

With it the tests of the Python client run unchanged over that transport, and with EVENTLET=1 under
eventlet's monkey patching as well.
"""

from __future__ import annotations

import os

if os.environ.get("EVENTLET"):
    import eventlet

    eventlet.monkey_patch()

import hostler

from hostler_nova.h2channel import H2Channel

defaults = hostler.Client.__init__.__kwdefaults__
assert defaults is not None
assert "channel" in defaults
defaults["channel"] = H2Channel
