"""What a processing job does, as SageMaker does it around the container.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from localaws.documents import Document
from localaws.sagemaker.channels import Source, fetch
from localaws.sagemaker.failures import read_message
from localaws.sagemaker.folder_sync import FolderSync
from localaws.sagemaker.job_runs import JobRun, own_entry_point
from localaws.sagemaker.jobs import Stop
from localaws.sagemaker.operations import now, public
from localaws.sagemaker.transfers import Location, parse_uri

KIND = "ProcessingJob"


def end(document: Document) -> None:
    document["ProcessingEndTime"] = now()


class ProcessingRun(JobRun):
    kind = KIND
    log_group = "/aws/sagemaker/ProcessingJobs"
    message = ""

    def hosts(self) -> list[str]:
        count = self.document["ProcessingResources"]["ClusterConfig"]["InstanceCount"]
        return [f"algo-{number}" for number in range(1, count + 1)]

    def isolated(self) -> bool:
        return bool((self.document.get("NetworkConfig") or {}).get("EnableNetworkIsolation"))

    def execute(self) -> None:
        hosts = self.hosts()
        application = self.document["AppSpecification"]
        image = self.image(application["ImageUri"])
        command = [
            *own_entry_point(application, image, "process"),
            *(application.get("ContainerArguments") or []),
        ]
        with self.service.jobs.slots(len(hosts), self.job):
            self._fetch_inputs(hosts)
            self._write_configs(hosts)
            outputs = self._outputs(hosts)
            self.update(lambda document: document.update(ProcessingStartTime=now()))
            continuous = [(folder, place) for folder, place, mode in outputs if mode == "Continuous"]
            with FolderSync(continuous, self.uploads).running():
                try:
                    code = self.run_on_hosts(command, self._environment(image.environment), lambda *_: None)
                finally:
                    self.message = self._message()
        if code:
            raise self.algorithm_error(self.message, code)
        for folder, place, mode in outputs:
            if mode == "EndOfJob":
                self.transfers.upload_folder(folder, place)

    def end(self, document: Document) -> None:
        message = self.message
        if self.job.stop is Stop.TIMEOUT:
            limit = document["StoppingCondition"]["MaxRuntimeInSeconds"]
            message = message or f"MaxRuntimeExceeded: the job ran longer than {limit} seconds"
        if message:
            document["ExitMessage"] = message
        end(document)

    def _local(self, host: str, path: str) -> Path:
        """Where a path of the container's /opt/ml is on this machine."""
        return self.host_folder(host) / "ml" / Path(path).relative_to("/opt/ml")

    def _fetch_inputs(self, hosts: list[str]) -> None:
        for item in self.document.get("ProcessingInputs") or []:
            given = item.get("S3Input")
            if given and not item.get("AppManaged"):
                sharded = given.get("S3DataDistributionType") == "ShardedByS3Key"
                source = Source(given["S3Uri"], given["S3DataType"], sharded)
                fetch(self.transfers, source, [self._local(host, given["LocalPath"]) for host in hosts])

    def _outputs(self, hosts: list[str]) -> list[tuple[Path, Location, str]]:
        """Each output's folder on each host (made here), its place on S3, and its mode."""
        outputs = []
        for item in (self.document.get("ProcessingOutputConfig") or {}).get("Outputs", []):
            given = item.get("S3Output")
            if not given or item.get("AppManaged"):
                continue
            for host in hosts:
                folder = self._local(host, given["LocalPath"])
                folder.mkdir(parents=True, exist_ok=True)
                outputs.append((folder, parse_uri(given["S3Uri"]), given["S3UploadMode"]))
        return outputs

    def _write_configs(self, hosts: list[str]) -> None:
        shown = (
            "ProcessingJobArn",
            "ProcessingJobName",
            "AppSpecification",
            "ProcessingInputs",
            "ProcessingOutputConfig",
            "ProcessingResources",
            "Environment",
            "NetworkConfig",
            "RoleArn",
            "StoppingCondition",
            "ExperimentConfig",
        )
        config = {key: value for key, value in public(self.document).items() if key in shown}
        for host in hosts:
            self.write_config(host, "config/processingjobconfig.json", config)
            self.write_config(host, "config/resourceconfig.json", {"current_host": host, "hosts": hosts})
            (self.host_folder(host) / "ml" / "output").mkdir(parents=True, exist_ok=True)

    def _environment(self, image: Mapping[str, str]) -> dict[str, str]:
        own = {"PROCESSING_JOB_NAME": self.name, "PROCESSING_JOB_ARN": self.arn}
        return {**image, **own, **(self.document.get("Environment") or {})}

    def _message(self) -> str:
        """What the container left in /opt/ml/output/message, the first host's first."""
        paths = [self.host_folder(host) / "ml" / "output" / "message" for host in self.hosts()]
        return next((text for text in map(read_message, paths) if text), "")
