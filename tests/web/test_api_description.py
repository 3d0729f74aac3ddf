"""The description of the API is valid, and the API does what it says, whatever a program sends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from poller.web import desk
from poller.web.api import BASE as API
from poller.web.api_description import described
from poller.web.api_routes import CALLS
from poller.web.rights import ALL, Viewer
from tests.times import TIMES

if TYPE_CHECKING:
    from starlette.requests import Request

    from tests.command_line import InProcess

PEOPLED = True
EXAMPLES = 1 + TIMES // 5  # of each route, that are valid, and that are not
TOKEN = {"Authorization": "Bearer good"}


def test_the_description_is_valid_and_names_every_route() -> None:
    """OpenAPI 3.1; and no name of a class is used for two."""
    assert not list(OpenAPIV31SpecValidator(described()).iter_errors())
    named = {(method, path) for path, line in described()["paths"].items() for method in line}
    assert named == {(each.method.lower(), each.path.replace(":int", "")) for each in CALLS}
    told = {each["operationId"] for line in described()["paths"].values() for each in line.values()}
    assert len(told) == len(CALLS)


def test_the_description_is_printed_without_a_database(here: InProcess) -> None:
    """The same that a desk serves, with exit status 0."""
    ended = here.run("ui", "--openapi", "--database", "postgresql://127.0.0.1:1/nowhere")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout) == described()


def program(request: Request) -> Viewer | None:
    """Return who asks: a program with its token, who may all."""
    return Viewer("ci", ALL) if request.headers.get("authorization") == TOKEN["Authorization"] else None


@pytest.mark.filterwarnings("ignore")
def test_whatever_a_program_sends_is_answered_as_described(url: str) -> None:
    """Valid or not: no fault of the desk's, and each answer has the form that the description says."""
    app = desk(url, authorize=program, allowed_hosts=["testserver"], tables={"tenants": {"show": "*"}})
    schema = schemathesis.openapi.from_asgi(f"{API}/openapi.json", app, headers=TOKEN)
    asked = set[str]()
    for each in schema.get_all_operations():
        operation = each.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            _ask(operation.as_strategy(generation_mode=mode))
            asked.add(operation.label)
    assert len(asked) == len(CALLS)


def _ask(cases: Any) -> None:
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def ask(case: Any) -> None:
        answer = case.call(headers=TOKEN)
        # A schema cannot say which words are cursors; and what is too long may be wrong besides.
        unsaid = [positive_data_acceptance, *([negative_data_rejection] if answer.status_code == 413 else [])]
        case.validate_response(answer, headers=TOKEN, excluded_checks=unsaid)

    ask()
