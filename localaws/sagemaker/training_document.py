"""What a training job's document says: its states, its hosts, its channels, and the container's config files.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

from __future__ import annotations

import math

from localaws.documents import Document
from localaws.sagemaker.channels import Source
from localaws.sagemaker.operations import now
from localaws.sagemaker.transfers import Location, parse_uri

_MESSAGES = {
    "Starting": "Starting the training job",
    "Pending": "Waiting for capacity: other containers are running",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
}
_GROUP = "homogeneousCluster"


def enter(document: Document, status: str) -> None:
    """Begins a secondary status, and ends the one before it."""
    moment = now()
    transitions = document.setdefault("SecondaryStatusTransitions", [])
    if transitions:
        transitions[-1].setdefault("EndTime", moment)
    transitions.append({"Status": status, "StartTime": moment, "StatusMessage": _MESSAGES[status]})
    document["SecondaryStatus"] = status


def end(document: Document, timed_out: bool = False) -> None:
    """The last times and statuses, by the job's own status."""
    document["TrainingEndTime"] = now()
    status = document["TrainingJobStatus"]
    enter(document, "MaxRuntimeExceeded" if status == "Stopped" and timed_out else status)
    document["SecondaryStatusTransitions"][-1]["EndTime"] = document["TrainingEndTime"]
    if "TrainingStartTime" in document:
        seconds = math.ceil(document["TrainingEndTime"] - document["TrainingStartTime"])
        document["TrainingTimeInSeconds"] = seconds
        document["BillableTimeInSeconds"] = seconds * len(hosts_of(document))


def artifacts(document: Document) -> Location:
    """Where the model goes: one archive or, uncompressed, a prefix."""
    config = document["OutputDataConfig"]
    folder = parse_uri(config["S3OutputPath"]).join(document["TrainingJobName"], "output")
    return folder.join("model/" if config.get("CompressionType") == "NONE" else "model.tar.gz")


def hosts_of(document: Document) -> list[tuple[str, str, str]]:
    """(host, instance group, instance type) of each."""
    resources = document["ResourceConfig"]
    groups = resources.get("InstanceGroups") or [
        {
            "InstanceGroupName": _GROUP,
            "InstanceType": resources.get("InstanceType", "local"),
            "InstanceCount": resources.get("InstanceCount", 1),
        }
    ]
    kinds = [
        (group["InstanceGroupName"], group["InstanceType"])
        for group in groups
        for _ in range(group["InstanceCount"])
    ]
    return [(f"algo-{number}", *kind) for number, kind in enumerate(kinds, start=1)]


def source_of(channel: Document) -> Source:
    given = channel["DataSource"]["S3DataSource"]
    sharded = given.get("S3DataDistributionType") == "ShardedByS3Key"
    return Source(given["S3Uri"], given["S3DataType"], sharded)


def input_mode(document: Document, channel: Document) -> str:
    return channel.get("InputMode") or document["AlgorithmSpecification"]["TrainingInputMode"]


def channel_hosts(document: Document, channel: Document) -> list[str]:
    """The hosts that get the channel: those of the instance groups that it names, or all."""
    groups = channel["DataSource"]["S3DataSource"].get("InstanceGroupNames")
    return [host for host, group, _ in hosts_of(document) if not groups or group in groups]


def input_data_config(document: Document) -> Document:
    """inputdataconfig.json"""
    config = {}
    for channel in document.get("InputDataConfig") or []:
        given = channel["DataSource"]["S3DataSource"]
        entry = {
            "ContentType": channel.get("ContentType"),
            "TrainingInputMode": input_mode(document, channel),
            "S3DistributionType": given.get("S3DataDistributionType", "FullyReplicated"),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
        }
        config[channel["ChannelName"]] = {key: value for key, value in entry.items() if value is not None}
    return config


def resource_config(document: Document, host: str) -> Document:
    """resourceconfig.json, as one host sees it."""
    hosts = hosts_of(document)
    own_group, own_type = next((group, kind) for name, group, kind in hosts if name == host)
    groups = dict.fromkeys((group, kind) for _, group, kind in hosts)
    return {
        "current_host": host,
        "current_instance_type": own_type,
        "current_group_name": own_group,
        "hosts": [name for name, _, _ in hosts],
        "instance_groups": [
            {
                "instance_group_name": group,
                "instance_type": kind,
                "hosts": [name for name, other, _ in hosts if other == group],
            }
            for group, kind in groups
        ],
        # The hosts' names resolve to the loopback interface here.
        "network_interface_name": "lo",
    }
