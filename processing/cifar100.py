"""What CIFAR-100 is: its classes, its official archives, the shape of a record.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009;
https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import difflib

from processing.job import JobError

IMAGE_SIDE = 32
CHANNELS = 3
PIXEL_BYTES = CHANNELS * IMAGE_SIDE * IMAGE_SIDE  # planes: all of R, then G, then B, each row by row

# In the order of the fine labels 0..99.
FINE_LABEL_NAMES = tuple(
    """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
    camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile
    cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp
    lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
    oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
    possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
    spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
    train trout tulip turtle wardrobe whale willow_tree wolf woman worm
    """.split()  # noqa: SIM905 - a list of literals is 100 lines
)

# In the order of the coarse labels 0..19.
COARSE_LABEL_NAMES = tuple(
    """
    aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices
    household_furniture insects large_carnivores large_man-made_outdoor_things
    large_natural_outdoor_scenes large_omnivores_and_herbivores medium_mammals
    non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2
    """.split()  # noqa: SIM905 - a list of literals is 100 lines
)

# The coarse label of each fine label.
COARSE_OF_FINE = (
    *(4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7),
    *(6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5, 5, 19, 8, 8, 15, 13, 14, 17, 18, 10),
    *(16, 4, 17, 4, 2, 0, 17, 4, 18, 17, 10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16),
    *(12, 9, 13, 15, 13, 16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13),
)

# CIFAR-100's split on the left, the channel it becomes on the right.
CHANNEL_OF_SPLIT = {"train": "train", "test": "validation"}


# The python version on the data set's own page, which also gives its md5.
OFFICIAL_BASE = "https://www.cs.toronto.edu/~kriz/"
OFFICIAL_FILE = "cifar-100-python.tar.gz"
OFFICIAL_MD5 = "eb9058c3a382ffc7106e4002c42a8d85"


class UnknownClassError(JobError):
    """A class was asked for that CIFAR-100 does not have, or none, or one twice."""


def parse_classes(text: str) -> tuple[str, ...]:
    """The classes in a comma-separated list, checked, in the order given: it is the order of the labels.

    Raises `UnknownClassError` with the nearest names.
    """
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        fine_label(name)
    if len(set(names)) != len(names):
        raise UnknownClassError(f'a class is named twice in "{text}"')
    return names


def fine_label(name: str) -> int:
    """0..99. Raises `UnknownClassError` with the nearest names."""
    if name not in FINE_LABEL_NAMES:
        raise UnknownClassError(f'CIFAR-100 has no class "{name}"{_hint(name)}')
    return FINE_LABEL_NAMES.index(name)


def plain_name(text: str) -> str:
    """`Pickup Truck` as class names are written: `pickup_truck`."""
    return text.lower().replace(" ", "_").replace("-", "_")


def _hint(name: str) -> str:
    plain = plain_name(name)
    near = difflib.get_close_matches(plain, FINE_LABEL_NAMES, n=3)
    near += [known for known in FINE_LABEL_NAMES if plain and plain in known.split("_") and known not in near]
    if near:
        return f"; did you mean {' or '.join(near[:3])}?"
    return f": its 100 fine labels run from {FINE_LABEL_NAMES[0]} to {FINE_LABEL_NAMES[-1]}"
