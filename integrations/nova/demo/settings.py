"""What stands in the configurations of the cloud's services."""

from __future__ import annotations

from pathlib import Path

PASSWORD = "not-secret"  # The cloud is in a network of its own.
KEYSTONE = "http://127.0.0.1:5000/v3"
GLANCE = "http://127.0.0.1:9292"
PLACEMENT = "http://127.0.0.1:8778"
NOVA = "http://127.0.0.1:8774/v2.1"
NETWORKS = "http://127.0.0.1:9696"
DATABASES = ("keystone", "glance", "placement", "nova_api", "nova_cell0", "nova_cell1")

LOGIN = f"""
auth_type = password
auth_url = {KEYSTONE}
username = admin
password = {PASSWORD}
project_name = admin
user_domain_id = default
project_domain_id = default
region_name = RegionOne
"""


def database(folder: Path, name: str) -> str:
    """The address of a database."""
    return f"mysql+pymysql://root@localhost/{name}?unix_socket={folder}/mariadb.sock&charset=utf8"


def keystone(folder: Path) -> str:
    """keystone.conf"""
    return f"""
[database]
connection = {database(folder, "keystone")}
[fernet_tokens]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
"""


def glance(folder: Path) -> str:
    """glance-api.conf"""
    return f"""
[DEFAULT]
bind_host = 127.0.0.1
workers = 0
enabled_backends = file:file
[database]
connection = {database(folder, "glance")}
[keystone_authtoken]
www_authenticate_uri = {KEYSTONE}
{LOGIN}
[paste_deploy]
flavor = keystone
config_file = /etc/glance/glance-api-paste.ini
[glance_store]
default_backend = file
[file]
filesystem_store_datadir = {folder}/glance
[os_glance_staging_store]
filesystem_store_datadir = {folder}/glance-staging
[os_glance_tasks_store]
filesystem_store_datadir = {folder}/glance-tasks
[oslo_concurrency]
lock_path = {folder}/locks
"""


def placement(folder: Path) -> str:
    """placement.conf"""
    return f"""
[placement_database]
connection = {database(folder, "placement")}
[keystone_authtoken]
www_authenticate_uri = {KEYSTONE}
{LOGIN}
"""


def nova(folder: Path) -> str:
    """nova.conf: what all of Nova's services have"""
    return f"""
[DEFAULT]
transport_url = rabbit://guest:guest@127.0.0.1:5672/
enabled_apis = osapi_compute
osapi_compute_listen = 127.0.0.1
osapi_compute_workers = 1
rpc_response_timeout = 300
shutdown_timeout = 0
allow_resize_to_same_host = true
force_config_drive = false
state_path = {folder}/nova
[api]
auth_strategy = keystone
[keystone_authtoken]
www_authenticate_uri = {KEYSTONE}
{LOGIN}
[placement]
{LOGIN}
[neutron]
endpoint_override = {NETWORKS}
{LOGIN}
[glance]
api_servers = {GLANCE}
[conductor]
workers = 1
[scheduler]
workers = 1
[vnc]
enabled = false
[oslo_concurrency]
lock_path = {folder}/locks
"""


def nova_databases(folder: Path) -> str:
    """What computes do not have"""
    return f"""
[api_database]
connection = {database(folder, "nova_api")}
[database]
connection = {database(folder, "nova_cell1")}
"""


def nova_compute(folder: Path, images: Path, files: str) -> str:
    """What a compute has in addition; files: the words that name its configuration"""
    helper = f"privsep-helper {files}"
    return f"""
[DEFAULT]
compute_driver = libvirt.LibvirtDriver
instances_path = {images}
[libvirt]
virt_type = qemu
connection_uri = qemu+unix:///system?socket={folder}/libvirt/run/libvirt-sock
sysinfo_serial = none
snapshot_image_format = qcow2
[nova_sys_admin]
helper_command = {helper}
[privsep_osbrick]
helper_command = {helper}
"""
