"""The services of a small cloud that all computes need: messages, identity, images, Nova's."""

from __future__ import annotations

import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Callable

import pymysql
import settings
from keystoneauth1.identity import v3
from keystoneauth1.session import Session
from services import Services

#: In the interpreter of Debian's packages.
PYTHON = "/usr/bin/python3"


def main_of(module: str) -> list[str | Path]:
    """Words that run the function `main` of a module, as the scripts of Debian's packages do."""
    code = f"import sys; from {module} import main; sys.exit(main())"
    return [PYTHON, "-W", "ignore", "-c", code]


def session() -> Session:
    """Log in as the administrator."""
    return Session(
        v3.Password(
            settings.KEYSTONE,
            username="admin",
            password=settings.PASSWORD,
            project_name="admin",
            user_domain_id="default",
            project_domain_id="default",
        )
    )


def together(*works: Callable[[], None]) -> None:
    """Do works at the same time; raises what one of them raises."""
    with ThreadPoolExecutor(len(works)) as pool:
        for future in [pool.submit(work) for work in works]:
            future.result()


def answers(port: int) -> bool:
    """Whether something listens at a port of the loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Controller:
    """Runs the services, with their files in one folder."""

    def __init__(self, folder: Path, services: Services) -> None:
        self.folder = folder
        self.services = services
        self.cloud = session()

    def file(self, name: str, text: str) -> Path:
        """Write a file of the folder."""
        path = self.folder / name
        path.write_text(text)
        return path

    def start(self) -> None:
        """Start all."""
        for name in ("glance", "glance-staging", "glance-tasks", "locks", "nova", "home"):
            (self.folder / name).mkdir()
        self.messages()
        self.databases()
        together(self.identity, self.images, self.placement, self.networks, self.compute_api)

    def databases(self) -> None:
        """Start MariaDB, which root reaches by a socket, and make the databases."""
        data, address = self.folder / "mariadb", self.folder / "mariadb.sock"
        options: list[str | Path] = ["--no-defaults", f"--datadir={data}", "--user=root"]
        install = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        self.services.run("mariadb-install", ["mariadb-install-db", *options, *install])
        more = [f"--socket={address}", "--skip-networking", "--max-connections=500"]
        more.append("--innodb-flush-log-at-trx-commit=0")
        self.services.start("mariadb", ["mariadbd", *options, *more])
        self.services.wait("MariaDB", address.exists)
        with pymysql.connect(user="root", unix_socket=str(address)) as connection:
            for name in settings.DATABASES:
                connection.cursor().execute(f"CREATE DATABASE {name} CHARACTER SET utf8")

    def messages(self) -> None:
        """Start RabbitMQ, with a node of its own."""
        folder = self.folder / "rabbitmq"
        folder.mkdir()
        self.services.start(
            "rabbitmq",
            ["/usr/lib/rabbitmq/bin/rabbitmq-server"],
            HOME=str(self.folder / "home"),
            ERL_EPMD_ADDRESS="127.0.0.1",
            RABBITMQ_NODENAME="demo@localhost",
            RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
            RABBITMQ_MNESIA_BASE=str(folder),
            RABBITMQ_LOG_BASE=str(folder),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(folder / "plugins"),
            RABBITMQ_CONFIG_FILE=str(folder / "rabbitmq"),
            RABBITMQ_CONF_ENV_FILE=str(folder / "none"),
        )

    def identity(self) -> None:
        """Start Keystone, and make the catalogue."""
        file = self.file("keystone.conf", settings.keystone(self.folder))
        user = ["--keystone-user", "root", "--keystone-group", "root"]
        manage: list[str | Path] = ["keystone-manage", "--config-file", file]
        address = settings.KEYSTONE
        kinds = ("admin", "internal", "public")
        bootstrap = [f"--bootstrap-{kind}-url={address}" for kind in kinds]
        more = ["--bootstrap-region-id", "RegionOne", "--bootstrap-password", settings.PASSWORD]
        first = (["db_sync"], ["fernet_setup", *user], ["credential_setup", *user])
        run = self.services.run
        together(*(partial(run, words[0], [*manage, *words]) for words in first))
        run("bootstrap", [*manage, "bootstrap", *bootstrap, *more])
        server = ["keystone-wsgi-public", "--host", "127.0.0.1", "--port", "5000"]
        self.services.start("keystone", server, OS_KEYSTONE_CONFIG_FILES=str(file))
        self.services.wait("Keystone", lambda: answers(5000))
        for kind, url in (
            ("image", settings.GLANCE),
            ("placement", settings.PLACEMENT),
            ("compute", settings.NOVA),
            ("network", settings.NETWORKS),
        ):
            service = self.keystone("services", "service", name=kind, type=kind)
            about = {"service_id": service["id"], "interface": "public", "url": url}
            self.keystone("endpoints", "endpoint", region_id="RegionOne", **about)

    def keystone(self, path: str, kind: str, **values: Any) -> Any:
        """Make something in Keystone."""
        answer = self.cloud.post(f"{settings.KEYSTONE}/{path}", json={kind: values})
        return answer.json()[kind]

    def images(self) -> None:
        """Start Glance."""
        file = self.file("glance-api.conf", settings.glance(self.folder))
        self.services.run("glance-manage", ["glance-manage", "--config-file", file, "db_sync"])
        self.services.start("glance", ["glance-api", "--config-file", file])
        self.services.wait("Glance", lambda: answers(9292))

    def placement(self) -> None:
        """Start Placement."""
        file = self.file("placement.conf", settings.placement(self.folder))
        place = {"OS_PLACEMENT_CONFIG_DIR": str(self.folder)}
        manage: list[str | Path] = ["placement-manage", "--config-file", file, "db", "sync"]
        self.services.run("placement-manage", manage, **place)
        server = ["placement-api", "--host", "127.0.0.1", "--port", "8778"]
        self.services.start("placement", server, **place)

        self.services.wait("Placement", lambda: answers(8778))

    def networks(self) -> None:
        """Start what stands for Neutron."""
        self.services.start(
            "networks", [sys.executable, Path(__file__).with_name("no_networks.py")]
        )
        self.services.wait("the networks", lambda: answers(9696))

    def compute_api(self) -> None:
        """Start Nova's services but the computes."""
        common = self.file("nova.conf", settings.nova(self.folder))
        databases = self.file("nova-databases.conf", settings.nova_databases(self.folder))
        self.files: list[str | Path] = ["--config-file", common, "--config-file", databases]
        cell0 = settings.database(self.folder, "nova_cell0")
        for words in (
            ["api_db", "sync"],
            ["cell_v2", "map_cell0", "--database_connection", cell0],
            ["db", "sync"],
            ["cell_v2", "create_cell", "--name", "cell1"],
        ):
            self.manage(*words)
        self.services.wait("RabbitMQ", lambda: answers(5672))
        for name in ("conductor", "scheduler", "api"):
            self.services.start(f"nova-{name}", [*main_of(f"nova.cmd.{name}"), *self.files])
        self.services.wait("Nova's API", lambda: answers(8774))

    def manage(self, *words: str) -> None:
        """Run nova-manage."""
        self.services.run("nova-manage", [*main_of("nova.cmd.manage"), *self.files, *words])
