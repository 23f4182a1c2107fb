"""From requests to the picture: an endpoint of the local AWS captures, monitoring reads and draws it."""

import contextlib
import io

import pytest
from PIL import Image

from monitoring.capture import CaptureError, read_captures
from monitoring.report import write_report
from tests.functional.endpoints import BUCKET, Endpoints

PROBABILITIES = """
import io, json
from PIL import Image

def model_fn(model_dir):
    return None

def input_fn(body, content_type):
    return Image.open(io.BytesIO(body)).convert("L").resize((1, 1)).getpixel((0, 0))

def predict_fn(brightness, model):
    return [brightness / 255, 1 - brightness / 255]

def output_fn(prediction, accept):
    return json.dumps(prediction)
"""


def png(brightness: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (brightness,) * 3).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def s3(client):
    with contextlib.suppress(client("s3").exceptions.BucketAlreadyOwnedByYou):
        client("s3").create_bucket(Bucket=BUCKET)
    return client("s3")


def test_what_an_endpoint_captured_is_drawn(client, s3, tmp_path):
    endpoints = Endpoints(client)
    name, _ = endpoints.create(
        endpoints.config(
            endpoints.model("grey", code=PROBABILITIES),
            DataCaptureConfig={
                "EnableCapture": True,
                "InitialSamplingPercentage": 100,
                "DestinationS3Uri": f"s3://{BUCKET}/capture",
                "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
                "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
            },
        )
    )
    for brightness in range(0, 250, 10):
        endpoints.invoke(name, png(brightness), InferenceId=f"grey-{brightness}")
    endpoints.delete(name)  # returns when all is written

    captures = read_captures(f"s3://{BUCKET}/capture/{name}", s3=s3, classes=("light", "dark"))
    report = write_report(captures, tmp_path / "monitoring.png", threshold=0.7)

    assert captures.malformed == ()
    table = captures.table.set_index("inference_id")
    assert len(table) == 25
    assert table.loc["grey-240", "predicted"] == "light"
    assert table.loc["grey-0", "confidence"] == 1.0
    assert set(table["variant"]) == {"AllTraffic"}
    assert report.predicted == {"light": 12, "dark": 13}
    assert report.mean_brightness == pytest.approx(120, abs=1)
    assert (tmp_path / "monitoring.png").stat().st_size > 10_000


def test_another_endpoints_files_are_not_read(s3):
    with pytest.raises(CaptureError, match="no capture files"):
        read_captures(f"s3://{BUCKET}/capture/nobody", s3=s3)
