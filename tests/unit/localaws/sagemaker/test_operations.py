import pytest
from hypothesis import given
from hypothesis import strategies as st

from localaws.sagemaker.errors import ValidationError
from localaws.sagemaker.operations import page, public

JOBS = [
    {"Name": "Alpha", "CreationTime": 10.0, "JobStatus": "Completed", "_inner": 1},
    {"Name": "beta", "CreationTime": 20.0, "JobStatus": "Failed", "FailureReason": None},
    {"Name": "gamma", "CreationTime": 30.0, "JobStatus": "Completed"},
]


def names(request, jobs=JOBS):
    answer = page(
        jobs,
        request,
        member="Jobs",
        summary=lambda job: job,
        sort={"CreationTime": "CreationTime", "Name": "Name"},
        name="Name",
    )
    return [job["Name"] for job in answer["Jobs"]]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, ["gamma", "beta", "Alpha"]),
        ({"SortOrder": "Ascending"}, ["Alpha", "beta", "gamma"]),
        ({"SortBy": "Name"}, ["Alpha", "beta", "gamma"]),
        ({"NameContains": "A"}, ["gamma", "beta", "Alpha"]),
        ({"NameContains": "alp"}, ["Alpha"]),
        ({"StatusEquals": "Completed"}, ["gamma", "Alpha"]),
        ({"CreationTimeAfter": 15, "CreationTimeBefore": 25}, ["beta"]),
    ],
)
def test_filters_and_order(request_, expected):
    assert names(request_) == expected


@pytest.mark.parametrize(
    ("asked", "order", "first"),
    [({}, "Ascending", "Alpha"), ({}, None, "gamma"), ({"SortOrder": "Descending"}, "Ascending", "gamma")],
)
def test_each_operation_has_an_order_and_a_page_of_its_own(asked, order, first):
    answer = page(JOBS, asked, member="Jobs", summary=lambda job: job, order=order, default_limit=2)
    assert (answer["Jobs"][0]["Name"], len(answer["Jobs"]), "NextToken" in answer) == (first, 2, True)


@given(count=st.integers(0, 40), limit=st.integers(1, 15))
def test_pages_together_are_the_whole_list(count, limit):
    jobs = [{"Name": f"{number:02}", "CreationTime": float(number)} for number in range(count)]
    seen, request = [], {"MaxResults": limit, "SortOrder": "Ascending"}
    while True:
        answer = page(jobs, request, member="Jobs", summary=lambda job: job)
        assert len(answer["Jobs"]) <= limit
        seen += answer["Jobs"]
        if "NextToken" not in answer:
            break
        request["NextToken"] = answer["NextToken"]
    assert seen == jobs


@pytest.mark.parametrize("token", ["nonsense", "e30=", "bnVsbA=="])
def test_a_token_of_somebody_else(token):
    with pytest.raises(ValidationError, match="was not given out by this service"):
        names({"NextToken": token})


def test_what_is_not_shown():
    assert public({"_inner": 1, "a": None, "b": 0}) == {"b": 0}
