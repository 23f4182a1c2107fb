"""Endpoints and their models by one call, for the tests of several modules."""

import io
import json
import operator
import tarfile
import uuid
from contextlib import contextmanager

from botocore.exceptions import ClientError

from tests.functional.jobs import ROLE
from tests.shapes import assert_answer
from tests.waiting import wait_for

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.6.0-cpu-py312"
BUCKET = "test-endpoints"

# A model that says who it is and how long the body was, fails and dies on demand.
INFERENCE = """
import json, os, pathlib, time

def model_fn(model_dir):
    return pathlib.Path(model_dir, "name.txt").read_text()

def input_fn(body, content_type):
    if content_type == "image/broken":
        raise ValueError("the body is no image")
    if content_type == "image/crash":
        os._exit(3)
    if content_type == "image/slow":
        time.sleep(float(body))
    return body

def predict_fn(data, model):
    if data == b"bug":
        raise RuntimeError("a bug in the model")
    return {"model": model, "bytes": len(data), "pid": os.getpid(), "colour": os.environ.get("COLOUR")}

def output_fn(prediction, accept):
    return json.dumps(prediction)
"""


def archive(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


class Endpoints:
    inference = INFERENCE

    def __init__(self, client):
        self.sagemaker = client("sagemaker")
        self.runtime = client("sagemaker-runtime", retries={"max_attempts": 0})
        self.s3 = client("s3")
        self.names = []

    def model(self, name="one", code=INFERENCE, environment=None):
        return self.model_of(archive({"code/inference.py": code, "name.txt": name}), name, environment)

    def model_of(self, body, name="model", environment=None):
        """A model of that model.tar.gz."""
        model = f"{name}-{uuid.uuid4().hex[:8]}"
        self.s3.put_object(Bucket=BUCKET, Key=f"{model}/model.tar.gz", Body=body)
        self.sagemaker.create_model(
            ModelName=model,
            ExecutionRoleArn=ROLE,
            PrimaryContainer={
                "Image": IMAGE,
                "ModelDataUrl": f"s3://{BUCKET}/{model}/model.tar.gz",
                "Environment": environment or {},
            },
        )
        return model

    def config(self, *variants, **members):
        """Each variant is a model's name or a whole variant."""
        name = f"config-{uuid.uuid4().hex[:8]}"
        instances = {"InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
        given = [variant if isinstance(variant, dict) else {"ModelName": variant} for variant in variants]
        whole = [
            {"VariantName": "AllTraffic"} | ({} if "ServerlessConfig" in each else instances) | each
            for each in given
        ]
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=whole, **members)
        return name

    def create(self, config, wait="InService"):
        name = f"endpoint-{uuid.uuid4().hex[:8]}"
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        self.names.append(name)
        return name, self.wait(name, wait)

    def describe(self, name):
        found = self.sagemaker.describe_endpoint(EndpointName=name)
        assert_answer("sagemaker", "DescribeEndpoint", found)
        return found

    def wait(self, name, status, seconds=60):
        def is_there(found):
            there = found["EndpointStatus"] == status
            assert there or found["EndpointStatus"] not in ("InService", "Failed"), found
            return there

        return self.wait_until(name, is_there, seconds)

    def wait_until(self, name, predicate, seconds=60):
        return wait_for(lambda: self.describe(name), f"what {name} should be", seconds, until=predicate)

    def invoke(self, name, body=b"12345", content_type="image/png", **members):
        return self.runtime.invoke_endpoint(EndpointName=name, Body=body, ContentType=content_type, **members)

    def ask(self, name, *arguments, **members):
        return json.loads(self.invoke(name, *arguments, **members)["Body"].read())

    def delete(self, name):
        try:
            self.sagemaker.delete_endpoint(EndpointName=name)
        except ClientError:
            return
        self.wait_until_gone(name, 20)

    def wait_until_gone(self, name, seconds):
        def look():
            try:
                return self.describe(name)
            except ClientError as error:
                if "Could not find endpoint" not in str(error):
                    raise

        wait_for(look, f"the end of {name}", seconds, until=operator.not_)

    def captured(self, name):
        """All captured records of an endpoint, in the order of their files."""
        found = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=f"capture/{name}/").get("Contents", [])
        bodies = (self.s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read() for item in found)
        return [json.loads(line) for body in bodies for line in body.splitlines()]


@contextmanager
def serving(client, bucket, name, code):
    """The name of an endpoint with a model of that code, until the end; makes `bucket` beside it."""
    for each in (bucket, BUCKET):
        client("s3").create_bucket(Bucket=each)
    endpoints = Endpoints(client)
    endpoint_name, _ = endpoints.create(endpoints.config(endpoints.model(name, code)))
    yield endpoint_name
    endpoints.delete(endpoint_name)
