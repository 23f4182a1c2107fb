"""A tuning job's course, killed at any of its writes: the next start ends where it would have ended."""

import itertools

import pytest

from localaws.sagemaker import training_jobs
from localaws.sagemaker.errors import ValidationError
from localaws.sagemaker.job_runs import recover
from localaws.sagemaker.jobs import INTERRUPTED, Job
from localaws.sagemaker.service import SageMakerService
from localaws.sagemaker.store import Store
from localaws.sagemaker.training_document import end
from localaws.sagemaker.tuning import trials
from localaws.sagemaker.tuning.course import TuningRun
from localaws.sagemaker.tuning.definitions import KIND
from localaws.stack import Stack
from tests.unit.localaws.sagemaker.tuning.test_tuning_checks import GOOD


class KilledError(BaseException):
    """The process is gone: nothing catches it."""


class MortalStore(Store):
    """Dies before a write of the tests' choice."""

    writes_left = None

    def put(self, kind, name, document, parent=""):
        if self.writes_left is not None:
            self.writes_left -= 1
            if self.writes_left < 0:
                raise KilledError
        super().put(kind, name, document, parent)


class InstantJobs:
    """In the supervisor's place: a training job has ended as soon as it is launched."""

    def __init__(self, store):
        self.store = store

    def launch(self, key, _work):
        if ":training-job/" not in key:
            return  # the test runs the tuning job itself

        def finish(document):
            document["TrainingJobStatus"] = "Completed"
            rate = float(document["HyperParameters"]["rate"])
            document["FinalMetricDataList"] = [{"MetricName": "m", "Value": -((rate - 0.4) ** 2)}]
            end(document)

        self.store.update("TrainingJob", key.rpartition("/")[2], finish)


def begin(folder):
    """A service with a tuning job, one training job at a time, that nobody has run yet."""
    store = MortalStore(folder / "documents.sqlite")
    service = SageMakerService(Stack(folder, 1, store))
    service.jobs = InstantJobs(store)
    limits = {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 1}
    config = GOOD["HyperParameterTuningJobConfig"] | {"RandomSeed": 3, "ResourceLimits": limits}
    service.call("CreateHyperParameterTuningJob", GOOD | {"HyperParameterTuningJobConfig": config})
    return service


@pytest.fixture
def begun(tmp_path):
    service = begin(tmp_path)
    yield service
    service.store.close()


def run_until_killed(service, writes):
    """True if it came to its end before it had made so many writes."""
    service.store.writes_left = writes
    try:
        TuningRun(service, "tune", Job()).run()
    except KilledError:
        return False
    finally:
        service.store.writes_left = None
    return True


def tuned(service):
    document = service.store.get(KIND, "tune")
    return [trial["TunedHyperParameters"] for trial in trials.counted(document)]


def test_killed_at_any_write(begun, tmp_path):
    TuningRun(begun, "tune", Job()).run()
    for writes in itertools.count():
        service = begin(tmp_path / str(writes))
        whole = run_until_killed(service, writes)
        recover(service, "TrainingJob", end)
        TuningRun(service, "tune", Job()).run()
        document = service.store.get(KIND, "tune")
        assert document["HyperParameterTuningJobStatus"] == "Completed"
        assert tuned(service) == tuned(begun)
        names = [trial["TrainingJobName"] for trial in document["_Trials"]]
        assert sorted(names) == sorted(job["TrainingJobName"] for job in service.store.list("TrainingJob"))
        for trial in document["_Trials"]:
            assert bool(trial.get("_Repeated")) == (trial.get("FailureReason") == INTERRUPTED)
        service.store.close()
        if whole:
            break
    assert writes > 12


def with_image(image, metric):
    specification = {"TrainingImage": image, "TrainingInputMode": "File"}
    config = GOOD["HyperParameterTuningJobConfig"] | {
        "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": metric}
    }
    return GOOD | {
        "HyperParameterTuningJobName": "other",
        "HyperParameterTuningJobConfig": config,
        "TrainingJobDefinition": GOOD["TrainingJobDefinition"] | {"AlgorithmSpecification": specification},
    }


def test_built_in_algorithms_bring_their_metrics(begun):
    begun.call("CreateHyperParameterTuningJob", with_image("image-classification:1", "validation:accuracy"))
    with pytest.raises(ValidationError, match="none of train:accuracy, validation:accuracy"):
        begun.call("CreateHyperParameterTuningJob", with_image("image-classification:1", "test:accuracy"))


def test_image_that_nothing_stands_in_for(begun):
    with pytest.raises(ValidationError, match="No runner stands in for the image"):
        begun.call("CreateHyperParameterTuningJob", with_image("team/unknown:1", "m"))


def test_tells_of_its_states(begun):
    heard = []
    begun.listeners.append(heard.append)
    TuningRun(begun, "tune", Job()).run()
    told = [
        each for each in heard if each["detail-type"] == "SageMaker HyperParameter Tuning Job State Change"
    ]
    assert [each["detail"]["HyperParameterTuningJobStatus"] for each in told] == ["Completed"]
    assert told[0]["detail"]["BestTrainingJob"]["TrainingJobName"].startswith("tune-00")


def test_own_mistake_ends_it(begun, monkeypatch, caplog):
    monkeypatch.setattr(training_jobs, "create", lambda *_: 1 / 0)
    TuningRun(begun, "tune", Job()).run()
    document = begun.store.get(KIND, "tune")
    assert document["HyperParameterTuningJobStatus"] == "Failed"
    assert document["FailureReason"] == "InternalServerError: ZeroDivisionError: division by zero"


def test_stop_between_plan_and_creation_leaves_no_training_job(begun, monkeypatch):
    """What was written down only is forgotten."""
    run = TuningRun(begun, "tune", Job())
    run._observe()
    run._plan()
    begun.call("StopHyperParameterTuningJob", {"HyperParameterTuningJobName": "tune"})
    run.run()
    document = begun.store.get(KIND, "tune")
    assert (document["HyperParameterTuningJobStatus"], document["_Trials"]) == ("Stopped", [])
    assert begun.store.list("TrainingJob") == []
