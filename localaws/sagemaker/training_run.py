"""What a training job does, as SageMaker does it around the container.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

from __future__ import annotations

import logging
import math
import tarfile
from collections.abc import Mapping
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from localaws.sagemaker.channels import Source, fetch
from localaws.sagemaker.failures import read_message
from localaws.sagemaker.job_runs import Document, FolderSync, JobRun, own_entry_point
from localaws.sagemaker.jobs import JobStoppedError, Stop
from localaws.sagemaker.metrics import Metrics
from localaws.sagemaker.operations import now
from localaws.sagemaker.transfers import Location, files_below, parse_uri

KIND = "TrainingJob"
log = logging.getLogger(__name__)

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
        document["BillableTimeInSeconds"] = seconds * len(_hosts(document))


def artifacts(document: Document) -> Location:
    """Where the model goes: one archive or, uncompressed, a prefix."""
    config = document["OutputDataConfig"]
    folder = parse_uri(config["S3OutputPath"]).join(document["TrainingJobName"], "output")
    return folder.join("model/" if config.get("CompressionType") == "NONE" else "model.tar.gz")


def _hosts(document: Document) -> list[tuple[str, str, str]]:
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


class TrainingRun(JobRun):
    kind = KIND
    log_group = "/aws/sagemaker/TrainingJobs"

    def hosts(self) -> list[str]:
        return [host for host, _, _ in _hosts(self.document)]

    def execute(self) -> None:
        specification = self.document["AlgorithmSpecification"]
        image = self.image(specification["TrainingImage"])
        command = [
            *own_entry_point(specification, image, "train"),
            *(specification.get("ContainerArguments") or []),
        ]
        self.metrics = Metrics(specification.get("MetricDefinitions") or [])
        self._enter("Pending")
        with self.service.jobs.slots(len(self.hosts()), self.job):
            self.update(lambda document: document.update(TrainingStartTime=now()))
            self._enter("Downloading")
            self._fetch_channels()
            self._write_configs()
            checkpoints = self._checkpoints()
            self._enter("Training")
            try:
                with checkpoints.running():
                    code = self.run_on_hosts(command, self._environment(image.environment), self._hear)
            except JobStoppedError:
                if self.job.stop is not Stop.CLOSING:
                    self._upload(model=True)
                raise
            finally:
                self._publish_metrics()
        if code:
            self._upload(model=False)
            raise self.algorithm_error(self._failure(), code)
        self._enter("Uploading")
        self._upload(model=True)

    def end(self, document: Document) -> None:
        end(document, timed_out=self.job.stop is Stop.TIMEOUT)

    def _enter(self, status: str) -> None:
        def change(document: Document) -> None:
            # Not over a stop that has come in between.
            if document["TrainingJobStatus"] == "InProgress":
                enter(document, status)

        self.update(change)

    def _hear(self, host: str, line: str) -> None:
        self.metrics.read(line, f"{self.name}/{host}")

    def _ml(self, host: str) -> Path:
        return self.host_folder(host) / "ml"

    def _fetch_channels(self) -> None:
        for channel in self.document.get("InputDataConfig") or []:
            given = channel["DataSource"]["S3DataSource"]
            groups = given.get("InstanceGroupNames")
            hosts = [host for host, group, _ in _hosts(self.document) if not groups or group in groups]
            source = Source(
                given["S3Uri"],
                given["S3DataType"],
                given.get("S3DataDistributionType") == "ShardedByS3Key",
            )
            folders = [self._ml(host) / "input" / "data" / channel["ChannelName"] for host in hosts]
            fetch(self.transfers, source, folders)

    def _write_configs(self) -> None:
        for host, group, instance_type in _hosts(self.document):
            self.write_config(
                host, "input/config/hyperparameters.json", self.document.get("HyperParameters", {})
            )
            self.write_config(host, "input/config/inputdataconfig.json", self._input_data_config())
            self.write_config(
                host, "input/config/resourceconfig.json", self._resources(host, group, instance_type)
            )
            output = {"S3OutputPath": self.document["OutputDataConfig"]["S3OutputPath"]}
            self.write_config(host, "input/config/upstreamoutputdataconfig.json", output)
            for folder in ("model", "output/data", "code", "input/data"):
                (self._ml(host) / folder).mkdir(parents=True, exist_ok=True)

    def _input_data_config(self) -> Document:
        default = self.document["AlgorithmSpecification"]["TrainingInputMode"]
        config = {}
        for channel in self.document.get("InputDataConfig") or []:
            given = channel["DataSource"]["S3DataSource"]
            entry = {
                "ContentType": channel.get("ContentType"),
                "TrainingInputMode": channel.get("InputMode", default),
                "S3DistributionType": given.get("S3DataDistributionType", "FullyReplicated"),
                "RecordWrapperType": channel.get("RecordWrapperType", "None"),
            }
            config[channel["ChannelName"]] = {key: value for key, value in entry.items() if value is not None}
        return config

    def _resources(self, host: str, group: str, instance_type: str) -> Document:
        hosts = _hosts(self.document)
        groups = {name: (kind, [h for h, g, _ in hosts if g == name]) for _, name, kind in hosts}
        return {
            "current_host": host,
            "current_instance_type": instance_type,
            "current_group_name": group,
            "hosts": [name for name, _, _ in hosts],
            "instance_groups": [
                {"instance_group_name": name, "instance_type": kind, "hosts": members}
                for name, (kind, members) in groups.items()
            ],
            # The hosts' names resolve to the loopback interface here.
            "network_interface_name": "lo",
        }

    def _environment(self, image: Mapping[str, str]) -> dict[str, str]:
        own = {"TRAINING_JOB_NAME": self.name, "TRAINING_JOB_ARN": self.arn}
        return {**image, **own, **(self.document.get("Environment") or {})}

    def _checkpoints(self) -> FolderSync:
        """Brings what an earlier job left, and has it kept up to date on S3."""
        config = self.document.get("CheckpointConfig")
        if not config:
            return FolderSync([], self.uploads)
        target = parse_uri(config["S3Uri"])
        inner = Path(config.get("LocalPath") or "/opt/ml/checkpoints").relative_to("/opt/ml")
        folders = [self._ml(host) / inner for host in self.hosts()]
        places = target.join("") if not target.key else Location(target.bucket, target.key.rstrip("/") + "/")
        keys = self.transfers.keys(places)
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            self.transfers.download(target.bucket, [(key, folder / key[len(places.key) :]) for key in keys])
        sync = FolderSync([(folder, target) for folder in folders], self.uploads)
        sync.note()
        return sync

    def _failure(self) -> str:
        paths = [self._ml(host) / "output" / "failure" for host in self.hosts()]
        return next((text for text in map(read_message, paths) if text), "")

    def _upload(self, model: bool) -> None:
        """Sends what the job made; several hosts' folders are laid over each other, the first on top."""
        place = artifacts(self.document)
        folders = [self._ml(host) / "model" for host in reversed(self.hosts())]
        if model and self.document["OutputDataConfig"].get("CompressionType") == "NONE":
            for folder in folders:
                self.uploads.upload_folder(folder, Location(place.bucket, place.key.rstrip("/")))
        elif model:
            self._upload_archive(folders, place)
        outputs = [self._ml(host) / "output" / "data" for host in reversed(self.hosts())]
        if any(True for folder in outputs for _ in files_below(folder)):
            root = parse_uri(self.document["OutputDataConfig"]["S3OutputPath"])
            self._upload_archive(outputs, root.join(self.name, "output", "output.tar.gz"))

    def _upload_archive(self, folders: list[Path], place: Location) -> None:
        path = self.folder / place.key.rpartition("/")[2]
        with tarfile.open(path, "w:gz", compresslevel=4) as archive:
            for folder in folders:
                for file in files_below(folder):
                    archive.add(file, file.relative_to(folder).as_posix(), recursive=False)
        self.uploads.upload([(path, place)])

    def _publish_metrics(self) -> None:
        if final := self.metrics.final():
            self.update(lambda document: document.update(FinalMetricDataList=final))
        try:
            self.metrics.publish(self.service.jobs.cloudwatch)
        except (ClientError, BotoCoreError) as error:
            log.warning("%s: metrics not sent to CloudWatch: %s", self.arn, error)
