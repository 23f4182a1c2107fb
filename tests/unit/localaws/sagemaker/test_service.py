import json

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from localaws.sagemaker.operations import HANDLERS
from localaws.sagemaker.service import SageMakerService
from localaws.sagemaker.store import Store
from localaws.stack import Stack


@pytest.fixture
def ask(tmp_path):
    store = Store(tmp_path / "documents.sqlite")
    service = SageMakerService(Stack(tmp_path, 1, store))

    def ask(operation, body=b"{}"):
        headers = {"X-Amz-Target": f"SageMaker.{operation}"} if operation else {}
        environ = EnvironBuilder("/", method="POST", headers=headers, data=body).get_environ()
        response = service.handle(Request(environ))
        return response.status_code, json.loads(response.get_data())

    yield ask
    store.close()


@pytest.mark.parametrize(
    ("operation", "body", "code", "message"),
    [
        (
            "",
            b"{}",
            "UnknownOperationException",
            "A request without X-Amz-Target is no operation of SageMaker.",
        ),
        ("MakeCoffee", b"{}", "UnknownOperationException", "MakeCoffee is no operation of SageMaker."),
        (
            "CreateNotebookInstance",
            b"{}",
            "UnknownOperationException",
            "CreateNotebookInstance is not one that the local SageMaker has.",
        ),
        ("ListTags", b"{", "ValidationException", "body is not JSON"),
        ("ListTags", b"[]", "ValidationException", "body is not a JSON object"),
        ("ListTags", b"{}", "ValidationException", "Value null at 'resourceArn'"),
        ("ListTags", b'{"ResourceArn": 1}', "SerializationException", "resourceArn must be a JSON string"),
    ],
)
def test_errors_in_awss_shape(ask, operation, body, code, message):
    status, answer = ask(operation, body)
    assert (status, answer["__type"]) == (400, code)
    assert message in answer["message"]


def test_a_fault_of_ours_is_a_500_without_its_trace(ask, monkeypatch, caplog):
    monkeypatch.setitem(HANDLERS, "ListTags", lambda *_: {}["secret"])
    arn = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/p"
    status, answer = ask("ListTags", json.dumps({"ResourceArn": arn}).encode())
    assert (status, answer["__type"]) == (500, "InternalFailure")
    assert "secret" not in answer["message"]
    assert "KeyError: 'secret'" in caplog.text


def test_tags(ask):
    arn = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/p"

    def call(operation, **members):
        return ask(operation, json.dumps({"ResourceArn": arn, **members}).encode())[1]

    call("AddTags", Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    call("AddTags", Tags=[{"Key": "a", "Value": "3"}])
    assert call("ListTags")["Tags"] == [{"Key": "a", "Value": "3"}, {"Key": "b", "Value": "2"}]
    assert call("DeleteTags", TagKeys=["a", "unknown"]) == {}
    assert call("ListTags")["Tags"] == [{"Key": "b", "Value": "2"}]
