"""What a training job does, as SageMaker does it around the container.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

from __future__ import annotations

import logging
import tarfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from localaws.documents import Document
from localaws.sagemaker.channels import NoDataError, fetch, list_objects
from localaws.sagemaker.failures import read_message
from localaws.sagemaker.folder_sync import FolderSync
from localaws.sagemaker.job_runs import AlgorithmError, JobRun, own_entry_point
from localaws.sagemaker.jobs import JobStoppedError, Stop
from localaws.sagemaker.metrics import Metrics
from localaws.sagemaker.operations import now
from localaws.sagemaker.pipe_mode import PipeChannel, feeding
from localaws.sagemaker.training_document import (
    artifacts,
    channel_hosts,
    end,
    enter,
    hosts_of,
    input_data_config,
    input_mode,
    resource_config,
    source_of,
)
from localaws.sagemaker.transfers import Location, files_below, parse_uri

KIND = "TrainingJob"
log = logging.getLogger(__name__)


class TrainingRun(JobRun):
    kind = KIND
    log_group = "/aws/sagemaker/TrainingJobs"

    def hosts(self) -> list[str]:
        return [host for host, _, _ in hosts_of(self.document)]

    def isolated(self) -> bool:
        return self.document["EnableNetworkIsolation"]

    def execute(self) -> None:
        specification = self.document["AlgorithmSpecification"]
        image = self.image(specification["TrainingImage"])
        command = [
            *own_entry_point(specification, image, "train"),
            *(specification.get("ContainerArguments") or []),
        ]
        self.metrics = Metrics([*(specification.get("MetricDefinitions") or []), *image.metrics])
        self._enter("Pending")
        with self.service.jobs.slots(len(self.hosts()), self.job):
            self.update(lambda document: document.update(TrainingStartTime=now()))
            self._enter("Downloading")
            self._fetch_channels()
            self._write_configs()
            checkpoints = self._checkpoints()
            self._enter("Training")
            try:
                no_data = partial(self.job.ask_to_stop, Stop.NO_DATA)
                with checkpoints.running(), feeding(self._pipe_channels(), no_data):
                    code = self.run_on_hosts(command, self._environment(image.environment), self._hear)
            except JobStoppedError:
                if self.job.stop is not Stop.CLOSING:
                    self._upload(model=True)
                raise
            finally:
                self._publish_metrics()
        if code:
            self._upload(model=False)
            if image.metrics and self._failure():  # AWS's own algorithms say themselves whose mistake it is
                raise AlgorithmError(self._failure())
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
        found = self.metrics.read(line, f"{self.name}/{host}")
        watched = self.document.get("_Watched")  # by a tuning job that stops early what is hopeless
        values = [value for name, value in found if name == watched]
        if values:
            self.service.store.update(
                KIND, self.name, lambda document: document.setdefault("_Values", []).extend(values)
            )

    def _ml(self, host: str) -> Path:
        return self.host_folder(host) / "ml"

    def _fetch_channels(self) -> None:
        for channel in self.document.get("InputDataConfig") or []:
            if input_mode(self.document, channel) != "Pipe":  # FastFile looks to the container as File does
                hosts = channel_hosts(self.document, channel)
                folders = [self._ml(host) / "input" / "data" / channel["ChannelName"] for host in hosts]
                fetch(self.transfers, source_of(channel), folders)

    def _pipe_channels(self) -> list[PipeChannel]:
        channels = []
        for channel in self.document.get("InputDataConfig") or []:
            if input_mode(self.document, channel) != "Pipe":
                continue
            source, hosts = source_of(channel), channel_hosts(self.document, channel)
            objects = [location for location, _ in list_objects(self.transfers, source)]
            if not objects:
                raise NoDataError(f"No S3 objects found under S3 URL {source.uri!r}")
            channels += [
                PipeChannel(
                    folder=self._ml(host) / "input" / "data",
                    name=channel["ChannelName"],
                    objects=objects[index :: len(hosts)] if source.sharded else objects,
                    read=self.uploads.stream,
                    gzip=channel.get("CompressionType") == "Gzip",
                    record_io=channel.get("RecordWrapperType") == "RecordIO",
                    seed=(channel.get("ShuffleConfig") or {}).get("Seed"),
                )
                for index, host in enumerate(hosts)
            ]
        return channels

    def _write_configs(self) -> None:
        for host in self.hosts():
            self.write_config(
                host, "input/config/hyperparameters.json", self.document.get("HyperParameters", {})
            )
            self.write_config(host, "input/config/inputdataconfig.json", input_data_config(self.document))
            self.write_config(host, "input/config/resourceconfig.json", resource_config(self.document, host))
            output = {"S3OutputPath": self.document["OutputDataConfig"]["S3OutputPath"]}
            self.write_config(host, "input/config/upstreamoutputdataconfig.json", output)
            for folder in ("model", "output/data", "code", "input/data"):
                (self._ml(host) / folder).mkdir(parents=True, exist_ok=True)

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
            self.metrics.publish(self.service.stack.client("cloudwatch", self.role))
        except (ClientError, BotoCoreError) as error:
            log.warning("%s: metrics not sent to CloudWatch: %s", self.arn, error)
