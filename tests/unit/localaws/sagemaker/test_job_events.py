import pytest

from localaws.sagemaker.job_documents import announce
from localaws.sagemaker.job_runs import recover
from localaws.sagemaker.jobs import INTERRUPTED
from localaws.sagemaker.processing_run import end
from localaws.sagemaker.service import SageMakerService
from localaws.sagemaker.store import Store
from localaws.stack import Stack

ARN = "arn:aws:sagemaker:us-east-1:123456789012:processing-job/j"


@pytest.fixture
def service(tmp_path):
    store = Store(tmp_path / "documents.sqlite")
    yield SageMakerService(Stack(tmp_path, 1, store))
    store.close()


def document(**changes):
    return {
        "ProcessingJobName": "j",
        "ProcessingJobArn": ARN,
        "ProcessingJobStatus": "InProgress",
        "CreationTime": 1700000000.5,
        "_inner": 1,
        **changes,
    }


def test_a_state_change_is_told_as_eventbridge_has_it(service):
    heard = []
    service.listeners.append(heard.append)
    announce(service, "ProcessingJob", document())
    (event,) = heard
    assert event["detail-type"] == "SageMaker Processing Job State Change"
    assert event["source"] == "aws.sagemaker"
    assert event["resources"] == [ARN]
    assert event["detail"] == {
        "ProcessingJobName": "j",
        "ProcessingJobArn": ARN,
        "ProcessingJobStatus": "InProgress",
        "CreationTime": 1700000000500,
    }


def test_a_listener_that_fails_does_not_silence_the_others(service, caplog):
    heard = []
    service.listeners += [lambda _: 1 / 0, heard.append]
    announce(service, "ProcessingJob", document())
    assert len(heard) == 1
    assert "a listener failed" in caplog.text


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("InProgress", "Failed", INTERRUPTED),
        ("Stopping", "Stopped", None),
        ("Completed", "Completed", None),
    ],
)
def test_what_an_earlier_process_left_gets_its_last_state(service, before, after, reason):
    leftover = service.stack.folder("jobs", "ProcessingJob", "j", "algo-1", "ml")
    service.store.put("ProcessingJob", "j", document(ProcessingJobStatus=before))
    recover(service, "ProcessingJob", end)
    job = service.store.get("ProcessingJob", "j")
    assert (job["ProcessingJobStatus"], job.get("FailureReason")) == (after, reason)
    assert ("ProcessingEndTime" in job) == (before != after)
    assert not leftover.exists()
