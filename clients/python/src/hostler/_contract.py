"""Whether an agent serves what this client needs."""

from __future__ import annotations

import grpc

from hostler import v1
from hostler.errors import ContractError, FeatureMissing, StatusError

#: The major version of the contract is that of its package, hostler.v1.
CONTRACT_MAJOR = int(v1.Operation.DESCRIPTOR.file.package.rpartition(".v")[2])


def unserved(error: StatusError) -> StatusError | ContractError:
    """Say what an error of GetHostInfo means: what lacks it serves another contract, or none."""
    if error.code is not grpc.StatusCode.UNIMPLEMENTED or error.details:
        return error
    return ContractError(
        f"what answers there does not serve version {CONTRACT_MAJOR} of the contract, which this "
        "client speaks: it is a daemon of another major version, or no hostlerd at all"
    )


def missing_of(host: v1.GetHostInfoResponse, features: tuple[str, ...]) -> None:
    """Raise ContractError or FeatureMissing unless the agent serves all of it."""
    served = host.contract_version
    if served.partition(".")[0] != str(CONTRACT_MAJOR):
        raise ContractError(
            f"the agent (version {host.agent_version}) serves version {served or 'unknown'} of the "
            f"contract, and this client speaks version {CONTRACT_MAJOR}: update the older of them"
        )
    missing = tuple(feature for feature in features if feature not in host.features)
    if missing:
        raise FeatureMissing(missing, host.agent_version)
