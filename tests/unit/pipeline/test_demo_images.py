"""Choosing the demo's images against a model whose answer is known: how bright an image is."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.demo import images as demo_images
from pipeline.demo.images import DemoImagesError, LabelledImage


def grey(level):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (level, level, level)).save(buffer, "PNG")
    return buffer.getvalue()


def brightness(png):
    bright = Image.open(io.BytesIO(png)).getpixel((0, 0))[0] / 255
    # As steep as a confident model: 0.99 a quarter away from the middle.
    bright = 1 / (1 + ((1 - bright) / max(bright, 1e-6)) ** 4)
    return [1 - bright, bright]


@given(dark=st.integers(0, 100), light=st.integers(155, 255))
@settings(max_examples=30, deadline=None)
def test_bisection_finds_where_the_model_cannot_decide(dark, light):
    for one, other in ((dark, light), (light, dark)):
        assert max(brightness(demo_images.bisect(grey(one), grey(other), brightness))) < 0.6


def test_pairs_are_of_different_answers():
    images = [LabelledImage(str(level), 0, grey(level)) for level in (0, 10, 250, 255)]
    undecided = demo_images.undecided_images(images, brightness, count=5)
    assert len(undecided) == 2
    assert all(max(brightness(png)) < 0.6 for png in undecided)


def test_model_that_calls_everything_the_same():
    with pytest.raises(DemoImagesError, match="every image the same"):
        demo_images.undecided_images(
            [LabelledImage("a", 0, grey(1)), LabelledImage("b", 1, grey(2))], brightness
        )


class Channel:
    """The objects of a channel on S3."""

    def __init__(self, objects):
        self.objects = objects

    def get_object(self, Bucket, Key):  # noqa: N803 - boto3's spelling
        return {"Body": io.BytesIO(self.objects[Bucket, Key])}


def test_takes_the_first_of_each_class():
    listing = "0\t0\ta.png\n1\t1\tb.png\n2\t0\tc.png\n3\t0\td.png\n"
    objects = {("bucket", "v/validation.lst"): listing.encode()}
    objects |= {("bucket", f"v/{name}.png"): name.encode() for name in "abcd"}
    found = demo_images.validation_images(Channel(objects), "s3://bucket/v", per_class=2)
    assert [(image.name, image.label) for image in found] == [("a.png", 0), ("c.png", 0), ("b.png", 1)]
    assert found[1].png == b"c"
