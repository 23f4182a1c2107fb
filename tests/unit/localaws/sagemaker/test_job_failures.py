import pytest

from localaws.sagemaker.failures import LIMIT, LastError, algorithm_error, read_message

TRACEBACK = """loading
Traceback (most recent call last):
  File "/opt/ml/code/train.py", line 3, in <module>
    main()
{}
after it"""

CHAINED = """Traceback (most recent call last):
  File "a.py", line 1, in f
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 3, in <module>
RuntimeError: no x in the table"""

WRAPPED = """Traceback (most recent call last):
File "/opt/ml/input/data/code/train.py", line 4, in <module>
raise ValueError('it broke')
ValueError: it broke
Command failed with exit code 1. Traceback: Traceback (most recent call last):
  File "/opt/ml/input/data/sm_drivers/common/utils.py", line 193, in execute_commands
subprocess.CalledProcessError: Command '['python3']' returned non-zero exit status 1.
An error occurred with exit code 1"""


def heard(text):
    error = LastError()
    for line in text.splitlines():
        error.read(line)
    return error


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("", ""),
        ("one\ntwo\n\n", "two"),
        ("epochs must be positive\nTerminated", "epochs must be positive"),
        (TRACEBACK.format("ValueError: no"), "ValueError: no"),
        (TRACEBACK.format("KeyboardInterrupt"), "KeyboardInterrupt"),
        (TRACEBACK.format("PIL.UnidentifiedImageError: x.png"), "PIL.UnidentifiedImageError: x.png"),
        (TRACEBACK.format("socket.timeout: slow"), "socket.timeout: slow"),
        (CHAINED, "RuntimeError: no x in the table"),
        (WRAPPED, "ValueError: it broke"),
    ],
)
def test_the_line_that_says_why(log, line):
    assert heard(log).line() == line


def test_a_long_log_keeps_its_end():
    error = LastError()
    for number in range(10_000):
        error.read(f"line {number}")
    assert error.line() == "line 9999"


@pytest.mark.parametrize(
    ("message", "log", "reason"),
    [
        ("", "", "AlgorithmError: See job logs for more information, exit code: 2"),
        ("", "a sentence", "AlgorithmError: a sentence, exit code: 2"),
        ("said so", "a sentence", "AlgorithmError: said so, exit code: 2"),
        ("ValueError: it broke", WRAPPED, "AlgorithmError: ValueError: it broke, exit code: 2"),
        (
            "it failed",
            WRAPPED,
            "AlgorithmError: it failed, exit code: 2 (last error in its log: ValueError: it broke)",
        ),
    ],
)
def test_the_reason_in_sagemakers_wording(message, log, reason):
    assert algorithm_error(message, 2, heard(log)) == reason


@pytest.mark.parametrize("log", ["", f"Traceback (most recent call last):\nValueError: {'y' * 2000}"])
def test_a_long_reason_keeps_its_exit_code(log):
    reason = algorithm_error("x" * 5000, 137, heard(log))
    assert len(reason) == LIMIT
    assert ", exit code: 137" in reason


def test_messages_of_a_job_are_read_with_care(tmp_path):
    assert read_message(tmp_path / "nothing") == ""
    (tmp_path / "folder").mkdir()
    assert read_message(tmp_path / "folder") == ""
    (tmp_path / "binary").write_bytes(b"\xff\xfe" + b"z" * 10_000)
    assert len(read_message(tmp_path / "binary")) == LIMIT
