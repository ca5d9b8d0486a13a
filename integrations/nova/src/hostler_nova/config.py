"""The section `[hostler]` of nova.conf."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

GROUP = "hostler"
OPTIONS = [
    cfg.StrOpt(
        "address",
        default="unix:///run/hostler/hostler.sock",
        help="Where hostlerd of this host answers: unix:///PATH or tcp://HOST:PORT.",
    ),
    cfg.StrOpt("tls_ca", help="For tcp: the authorities that may sign hostlerd's certificate."),
    cfg.StrOpt("tls_cert", help="For tcp: the certificate of this host's Nova."),
    cfg.StrOpt("tls_key", help="With tcp: the key of tls_cert."),
    cfg.BoolOpt(
        "fallback",
        default=False,
        help="Use Nova's own code while hostlerd does not answer. Each such call is logged.",
    ),
    cfg.StrOpt(
        "transport",
        default="auto",
        choices=["auto", "h2", "grpc"],
        help="h2 works under eventlet, grpc does not. auto: h2 where eventlet is in force.",
    ),
    cfg.FloatOpt(
        "patience",
        default=300.0,
        min=0,
        help="For how many seconds calls are made again while hostlerd does not answer.",
    ),
    cfg.BoolOpt(
        "remote_agent",
        default=False,
        help="The other compute hosts run hostlerd, and images are copied between the two. "
        "False: they are copied by ssh.",
    ),
    cfg.StrOpt(
        "remote_address",
        help="Where hostlerd of another compute host answers, such as tcp://{host}:16520, with "
        "{host} for its address. It makes and removes files and folders there, with the "
        "certificate of tls_cert. Unset: that is done by ssh or rsync.",
    ),
]


def register(conf: Any) -> None:
    """Make the options known; a second time changes nothing."""
    conf.register_opts(OPTIONS, group=GROUP)
