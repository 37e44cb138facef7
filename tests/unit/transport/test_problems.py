import json

import pytest

from serai.errors import FAMILIES, Malformed, Misconfigured, Refused, Unavailable
from serai.transport.problems import error_of, problem_of
from serai.transport.wire import NewsReply


@pytest.mark.parametrize("family", FAMILIES)
def test_an_error_of_each_family_survives_the_wire(family):
    sent = family("some-code", "what was expected, what came")
    document = problem_of(sent)
    got = error_of(document.status, document.model_dump_json().encode())
    assert type(got) is family
    assert (got.code, got.message) == (sent.code, sent.message)


def test_a_refusal_keeps_its_article():
    document = problem_of(Refused("not-a-party", "bern is no party", "agreement 1234, clause 3"))
    assert document.status == 403
    got = error_of(403, document.model_dump_json().encode())
    assert isinstance(got, Refused)
    assert got.article == "agreement 1234, clause 3"


def test_a_document_has_the_members_of_rfc_9457():
    document = json.loads(problem_of(Malformed("json-float", "floats are not allowed")).model_dump_json())
    assert document == {
        "type": "urn:serai:problem:json-float",
        "title": "malformed: json float",
        "status": 400,
        "detail": "floats are not allowed",
        "code": "json-float",
        "family": "malformed",
        "article": "",
    }


@pytest.mark.parametrize(("code", "status"), [("body-too-large", 413), ("headers-too-large", 431), ("other", 403)])
def test_what_is_too_large_has_its_own_status(code, status):
    assert problem_of(Refused(code, "too large")).status == status


@pytest.mark.parametrize(
    ("status", "family", "advice"),
    [(502, Unavailable, "later"), (413, Malformed, "proxy"), (404, Misconfigured, "URL"), (200, Misconfigured, "URL")],
)
def test_an_answer_of_something_in_between_is_told_by_its_status(status, family, advice):
    got = error_of(status, b"<html>nginx</html>" * 100)
    assert type(got) is family
    assert advice in got.message
    assert len(got.message) < 400


@pytest.mark.parametrize("family", ["", "SeraiError", "unheard-of"])
def test_a_family_that_this_version_does_not_know_is_unavailable(family):
    document = problem_of(Malformed("x", "y")).model_dump() | {"family": family}
    assert isinstance(error_of(400, json.dumps(document).encode()), Unavailable)


def test_messages_with_unknown_or_coerced_fields_are_refused():
    good = {"first": 1, "entries": ["{}"], "checkpoint": "", "witnessed": None}
    assert NewsReply.model_validate_json(json.dumps(good)).entries == ("{}",)
    for bad in ({"more": 1}, {"first": "1"}, {"first": -1}, {"entries": [1]}, {"first": True}, {"entries": "ab"}):
        with pytest.raises(ValueError, match="validation error"):
            NewsReply.model_validate_json(json.dumps(good | bad))
