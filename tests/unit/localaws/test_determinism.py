"""Inside `reproducible`, chance and time come from the seed and the moment, in this thread only."""

import datetime
import threading
import time
import types

from localaws import determinism
from localaws.determinism import reproducible

MOMENT = 1_700_000_000.5


def moto_module():
    """A module as moto's are: it uses the clocks and chance in each way that moto does."""
    import os
    import sys
    import uuid

    module = types.ModuleType("moto.made_for_this_test")
    names = {"datetime": datetime, "time": time, "os": os, "uuid": uuid, "uuid4": uuid.uuid4}
    vars(module).update(names, Datetime=datetime.datetime, now=time.time, urandom=os.urandom)
    sys.modules[module.__name__] = module
    determinism._patched.discard(module.__name__)
    determinism.patch_modules()
    del sys.modules[module.__name__]
    return module


def drawn(module):
    return (
        module.os.urandom(8),
        module.urandom(8),
        module.uuid.uuid4(),
        module.uuid4(),
        module.datetime.datetime.now(datetime.UTC),
        module.Datetime.now(),
        module.Datetime.utcnow(),
        module.Datetime.today(),
        module.time.time(),
        module.now(),
    )


def test_the_same_seed_and_moment_give_the_same():
    module = moto_module()
    with reproducible(1, MOMENT):
        first = drawn(module)
    with reproducible(1, MOMENT):
        second = drawn(module)
    with reproducible(2, MOMENT):
        other = drawn(module)
    assert first == second
    assert first[:4] != other[:4]
    assert first[8] == MOMENT
    assert first[4] == datetime.datetime.fromtimestamp(MOMENT, datetime.UTC)


def test_outside_it_chance_and_time_are_real():
    module = moto_module()
    assert module.uuid4() != module.uuid4()
    before = time.time()
    assert before <= module.time.time() <= time.time()
    assert abs(module.Datetime.now().timestamp() - before) < 5


def test_other_threads_are_not_touched():
    module = moto_module()
    seen = []
    with reproducible(1, MOMENT):
        thread = threading.Thread(target=lambda: seen.append(module.time.time()))
        thread.start()
        thread.join()
    assert seen[0] > MOMENT + 1


def test_nesting_restores_what_was_before():
    module = moto_module()
    with reproducible(1, MOMENT):
        with reproducible(2, MOMENT + 1):
            assert module.now() == MOMENT + 1
        assert module.now() == MOMENT


def test_stand_ins_make_and_recognise_plain_datetimes():
    module = moto_module()
    made = module.datetime.datetime(2026, 1, 2, tzinfo=module.datetime.UTC)
    assert type(made) is datetime.datetime
    assert isinstance(made, module.Datetime)
    assert module.Datetime.strptime("2026", "%Y") == datetime.datetime(2026, 1, 1)
    assert module.Datetime.fromtimestamp(0, datetime.UTC).year == 1970
    assert module.time.sleep is time.sleep


def test_motos_own_generator_follows_the_seed():
    from moto.moto_api._internal import mock_random

    determinism.patch_random()
    with reproducible(7, MOMENT):
        first = mock_random.uuid4(), mock_random.get_random_hex(8), mock_random.choice(range(100))
    with reproducible(7, MOMENT):
        assert first == (mock_random.uuid4(), mock_random.get_random_hex(8), mock_random.choice(range(100)))
