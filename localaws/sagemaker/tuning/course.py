"""The course of one tuning job: launches training jobs, takes in how they ended, and ends.

Everything is in its document before it is done, so a pass is the same whether this process or an earlier one
made the one before.
"""

from __future__ import annotations

import logging
import secrets
from typing import Any

from localaws.documents import Document
from localaws.sagemaker import training_jobs
from localaws.sagemaker.errors import SageMakerError
from localaws.sagemaker.job_documents import announce
from localaws.sagemaker.jobs import Job
from localaws.sagemaker.operations import now
from localaws.sagemaker.service import SageMakerService
from localaws.sagemaker.tags import get_tags
from localaws.sagemaker.training_run import KIND as TRAINING
from localaws.sagemaker.tuning import trials
from localaws.sagemaker.tuning.definitions import KIND, OBJECTIVE, search_of, training_request
from localaws.sagemaker.tuning.endings import ending, is_hopeless

log = logging.getLogger(__name__)


class TuningRun:
    """Runs a tuning job to its end in the calling thread, or until the local AWS closes."""

    def __init__(self, service: SageMakerService, name: str, job: Job) -> None:
        self.service = service
        self.store = service.store
        self.name = name
        self.job = job

    def run(self) -> None:
        try:
            self._run()
        except Exception as error:  # a mistake of ours; nobody else would end the tuning job
            log.exception("%s failed inside the local SageMaker", self.name)
            reason = f"InternalServerError: {type(error).__name__}: {error}"
            self._update(lambda document: _end(document, "Failed", reason))
            announce(self.service, KIND, self.document)

    def _run(self) -> None:
        while self.job.stop is None:
            seen = self._observe()
            if self._pass():
                continue
            if self.document["HyperParameterTuningJobStatus"] not in trials.ACTIVE:
                return
            self._wait(seen)

    def _wait(self, seen: tuple[Any, ...]) -> None:
        """Until something may call for a pass."""
        self.store.wait_for(lambda: self.job.stop or self._observe() != seen, self._seconds_left())

    # --- what is there ---

    def _observe(self) -> tuple[Any, ...]:
        """Reads the document and the training jobs under way: whatever may call for a pass."""
        self.document = self.store.get(KIND, self.name) or {}
        self.training = {
            trial["TrainingJobName"]: self.store.get(TRAINING, trial["TrainingJobName"])
            for trial in trials.active(self.document)
        }
        jobs = [
            (job or {}).get(member)
            for job in self.training.values()
            for member in ("TrainingJobStatus", "TrainingStartTime", "_Values")
        ]
        return self.document["HyperParameterTuningJobStatus"], jobs

    def _seconds(self) -> float:
        return now() - self.document["CreationTime"]

    def _seconds_left(self) -> float | None:
        limit = self.document["HyperParameterTuningJobConfig"]["ResourceLimits"].get("MaxRuntimeInSeconds")
        return None if limit is None else max(0.1, limit - self._seconds())

    # --- one pass ---

    def _pass(self) -> bool:
        """Takes in what has changed, ends, launches or stops what is to be. True: look again."""
        if self._take_in():
            return True
        if self._stopping():
            self._stop(trials.active(self.document))
            return self._finish()
        self._create_what_is_planned()
        self._stop([each for each in trials.active(self.document) if self._is_hopeless(each)])
        return self._plan()

    def _stopping(self) -> bool:
        """Is nothing new to begin? How it is to end is written down before anything is stopped."""
        if self.document["HyperParameterTuningJobStatus"] == "Stopping" or "_Ending" in self.document:
            return True
        found = ending(self.document, self._seconds())
        if found:
            self._update(lambda document: document.update(_Ending=found))
        return found is not None

    def _take_in(self) -> bool:
        """Brings the trials up to their training jobs."""
        before = self.document["_Trials"]

        def change(document: Document) -> None:
            for trial in trials.active(document):
                training = self.training.get(trial["TrainingJobName"])
                if training:
                    trials.take_in(document, trial, training)
            trials.summarise(document)

        fresh = {**self.document, "_Trials": [dict(trial) for trial in before]}
        change(fresh)
        if fresh["_Trials"] == before:
            return False
        self._update(change)
        return True

    def _create_what_is_planned(self) -> None:
        """Creates the training jobs that are written down: a moment ago, or before a kill."""
        watches = self.document["HyperParameterTuningJobConfig"].get("TrainingJobEarlyStoppingType") == "Auto"
        for trial in trials.active(self.document):
            name = trial["TrainingJobName"]
            if self.training.get(name):
                continue
            request = training_request(self.document, name, trial["TunedHyperParameters"])
            tags = get_tags(self.service, self.document["HyperParameterTuningJobArn"])
            more = {"TuningJobArn": self.document["HyperParameterTuningJobArn"]}
            if watches:
                more["_Watched"] = request["HyperParameters"][OBJECTIVE]
            training_jobs.create(self.service, request | {"Tags": tags}, more)

    def _plan(self) -> bool:
        """Writes down the next training job, if there is room for one."""
        document = self.document
        limits = document["HyperParameterTuningJobConfig"]["ResourceLimits"]
        repeated = trials.repeatable(document)
        index = len(trials.counted(document))
        if len(trials.active(document)) >= limits["MaxParallelTrainingJobs"]:
            return False
        if repeated is None and index >= document["_Budget"]:
            return False
        chosen = (
            repeated["TunedHyperParameters"]
            if repeated
            else search_of(document).next(trials.tried(document), index)
        )
        self._update(lambda current: self._write_down(current, chosen, repeated))
        return True

    def _write_down(self, document: Document, chosen: dict[str, str], repeated: Document | None) -> None:
        if document["HyperParameterTuningJobStatus"] == "Stopping":
            return
        for trial in document["_Trials"]:
            if repeated and trial["TrainingJobName"] == repeated["TrainingJobName"]:
                trial["_Repeated"] = True
        name = f"{self.name}-{len(document['_Trials']) + 1:03}-{secrets.token_hex(4)}"
        document["_Trials"].append(
            {
                "TrainingJobName": name,
                "TrainingJobArn": self.service.stack.arn(f"training-job/{name}"),
                "CreationTime": now(),
                "TrainingJobStatus": "InProgress",
                "TunedHyperParameters": chosen,
                "ObjectiveStatus": "Pending",
                "_Attempt": repeated["_Attempt"] + 1 if repeated else 1,
            }
        )
        trials.summarise(document)

    def _is_hopeless(self, trial: Document) -> bool:
        values = (self.training.get(trial["TrainingJobName"]) or {}).get("_Values")
        if not values:
            return False
        completed = [
            self.store.get(TRAINING, each["TrainingJobName"]) or {}
            for each in self.document["_Trials"]
            if each["TrainingJobStatus"] == "Completed"
        ]
        others = [job.get("_Values") or [] for job in completed]
        return is_hopeless(values, others, trials.maximizes(self.document))

    def _stop(self, unwanted: list[Document]) -> None:
        for trial in unwanted:
            training = self.training.get(trial["TrainingJobName"])
            if training is None:  # planned, and never to be created
                self._update(lambda document, name=trial["TrainingJobName"]: _forget(document, name))
            elif training["TrainingJobStatus"] == "InProgress":
                try:
                    self.service.call("StopTrainingJob", {"TrainingJobName": trial["TrainingJobName"]})
                except SageMakerError:  # it has ended in this moment: the next pass takes that in
                    continue

    def _finish(self) -> bool:
        """Writes the last state, once no training job is under way."""
        if trials.active(self.store.get(KIND, self.name) or {"_Trials": []}):
            return False

        def change(document: Document) -> None:
            status, reason = document.pop("_Ending", ("Stopped", ""))
            stopping = document["HyperParameterTuningJobStatus"] == "Stopping"
            _end(document, "Stopped" if stopping else status, "" if stopping else reason)

        self._update(change)
        announce(self.service, KIND, self.document)
        return False

    def _update(self, change: Any) -> None:
        def stamped(document: Document) -> None:
            change(document)
            document["LastModifiedTime"] = now()

        self.document = self.store.update(KIND, self.name, stamped)


def _end(document: Document, status: str, reason: str) -> None:
    document["HyperParameterTuningJobStatus"] = status
    if reason:
        document["FailureReason"] = reason[:1024]
    document["HyperParameterTuningEndTime"] = now()
    seconds = document["HyperParameterTuningEndTime"] - document["CreationTime"]
    document["ConsumedResources"] = {"RuntimeInSeconds": round(seconds)}


def _forget(document: Document, name: str) -> None:
    document["_Trials"] = [trial for trial in document["_Trials"] if trial["TrainingJobName"] != name]
    trials.summarise(document)
