"""Which handlers and jobs a package has: found wherever they stand in it, and every fault told in one line."""

from __future__ import annotations

import importlib
import sys
from time import process_time
from typing import TYPE_CHECKING

import pytest

from poller import PollerError, registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Writer = Callable[[dict[str, str]], None]

ABOUT_ORDERS = """
from poller import handler

@handler("orders", status="paid", to="shipped")
def ship(order): ...

@handler("orders", status="shipped", to="closed")
def close(order): ...
"""

ABOUT_USERS = """
from poller import handler

@handler("users", status="new", to="normal")
def greet(user): ...
"""

TIMED = """
from poller.jobs.job import fixed_delay

@fixed_delay("5m")
def sync(): ...
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Writer]:
    """Write modules into a folder that is the working directory; what is imported is forgotten after."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def write(modules: dict[str, str]) -> None:
        for name, code in modules.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code)

    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] == "tasks"]:
        del sys.modules[name]


@pytest.fixture
def shop(write: Writer) -> None:
    """A package with three handlers and a job, in three modules."""
    write(
        {
            "tasks/__init__.py": TIMED,
            "tasks/orders.py": ABOUT_ORDERS,
            "tasks/users.py": ABOUT_USERS,
        }
    )


def found(*only: str) -> list[str]:
    """Return the handlers and jobs of the package `tasks`, each in the order of their names."""
    handlers, jobs = registry.load("tasks", only)
    return sorted(map(str, handlers)) + sorted(map(str, jobs))


def refusal(*only: str) -> str:
    """Return the one line with which the package `tasks` is refused."""
    with pytest.raises(PollerError) as caught:
        registry.load("tasks", only)
    text = str(caught.value)
    assert "\n" not in text
    return text


# --- what is found ------------------------------------------------------------------------------------


def test_handlers_are_found_at_any_depth(write: Writer) -> None:
    """In the package itself, in its modules, and in the packages below."""
    write(
        {
            "tasks/__init__.py": ABOUT_USERS,
            "tasks/shop/__init__.py": "",
            "tasks/shop/deep/__init__.py": "",
            "tasks/shop/deep/orders.py": ABOUT_ORDERS,
        }
    )
    assert found() == ["orders:paid", "orders:shipped", "users:new"]


def test_a_folder_without_an_init_is_a_package_too(write: Writer) -> None:
    """At any depth; what holds no modules is none, whatever else it holds."""
    write(
        {
            "tasks/__init__.py": ABOUT_USERS,
            "tasks/shop/orders.py": ABOUT_ORDERS,
            "tasks/deep/er/timed.py": TIMED,
            "tasks/templates/mail.txt": "Hello",
            "tasks/not-a-name/broken.py": "1 / 0",
            "tasks/__pycache__/broken.py": "1 / 0",
        }
    )
    assert found() == ["orders:paid", "orders:shipped", "users:new", "sync"]


def test_a_folder_that_a_module_hides_is_told(write: Writer) -> None:
    """What is in it could not be imported."""
    write({"tasks/__init__.py": "", "tasks/shop.py": ABOUT_USERS, "tasks/shop/orders.py": ABOUT_ORDERS})
    assert "tasks/shop is hidden by the module shop.py beside it" in refusal()


@pytest.mark.parametrize("there", ["tasks/__init__.py", "tasks.py"])
def test_g10_a_folder_without_an_init_that_another_package_would_hide_is_refused(
    write: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    """One that is installed, say: nothing of it is run in the place of what is in the working directory."""
    write({"tasks/users.py": ABOUT_USERS, f"site/{there}": "1 / 0"})
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert refusal() == (
        f"{tmp_path}/tasks is hidden by {tmp_path}/site/{there}, which Python finds in its place;"
        " give it an __init__.py, or rename it"
    )
    write({"tasks/__init__.py": ""})
    importlib.invalidate_caches()
    assert found() == ["users:new"]


def test_g10_a_package_that_one_of_pythons_own_hides_is_refused(write: Writer, tmp_path: Path) -> None:
    """It said that there are no handlers in it."""
    write({"queue/__init__.py": ABOUT_USERS})
    with pytest.raises(
        PollerError, match=r"queue is hidden by .*queue\.py, which Python .*; rename it$"
    ) as refused:
        registry.load("queue")
    assert str(refused.value).startswith(f"{tmp_path}/queue is hidden by ")


IN_CONTAINERS = """
from poller import Row, fixed_rate, handler, shell

def step(row: Row): ...

_jobs = [shell(f"say-{name}", f"echo {name}", schedule=fixed_rate("1h")) for name in ("a", "b")]
by_status = {each: {"handlers": (handler("users", status=each, to="normal")(step),)} for each in ("new", "old")}
by_status["itself"] = by_status

class Orders:
    @handler("orders", status="paid", to="shipped")
    def ship(order): ...
"""


def test_what_stands_in_a_list_or_a_dict_or_a_class_is_found(write: Writer) -> None:
    """However deep; a circle is gone through once."""
    write({"tasks.py": IN_CONTAINERS})
    assert found() == ["orders:paid", "users:new", "users:old", "say-a", "say-b"]


STATIC = """
from poller import around, fixed_delay, handler, purge, cron

class Billing:
    @staticmethod
    @handler("orders", status="paid", to="shipped")
    def charge(order): ...

    @handler("orders", status="shipped", to="closed", executor="process")
    @staticmethod
    def close(order): ...

    class Nightly:
        @staticmethod
        @fixed_delay("5m")
        def sync(): ...

        @fixed_delay("5m")
        @staticmethod
        def again(): ...

        old = classmethod(purge("audit", column="at", older_than="1d", schedule=cron("0 3 * * *")))

    @staticmethod
    @around
    def outer(attempt):
        yield

    @around
    @staticmethod
    def within(attempt):
        yield
"""


def test_static_methods_of_classes_are_found(write: Writer) -> None:
    """Whichever of the two decorators is above the other: nothing that is registered is passed over in silence."""
    write({"tasks.py": STATIC})
    assert found() == ["orders:paid", "orders:shipped", "again", "purge audit", "sync"]
    assert list(map(str, registry.middleware("tasks"))) == ["tasks.Billing.outer", "tasks.Billing.within"]
    assert all(each.function is not None and each(None) is None for each in registry.load("tasks").handlers)


@pytest.mark.parametrize("path", ["tasks.py", "tasks/__init__.py", "tasks/users.py"])
def test_a_single_file_is_enough(write: Writer, path: str) -> None:
    """A module of the name, or a folder, with `__init__.py` or without."""
    write({path: ABOUT_USERS})
    assert found() == ["users:new"]


def test_what_another_module_imports_counts_once(write: Writer) -> None:
    """It is the same handler or job, whatever it is called there."""
    write(
        {
            "tasks/__init__.py": "from tasks.users import greet",
            "tasks/users.py": ABOUT_USERS + TIMED,
            "tasks/others.py": "from tasks.users import greet as welcome, greet, sync as again",
        }
    )
    assert found() == ["users:new", "sync"]


@pytest.mark.parametrize(("code", "names"), [(ABOUT_USERS, ["users:new"]), (TIMED, ["sync"])])
def test_handlers_alone_will_do_and_jobs_alone(write: Writer, code: str, names: list[str]) -> None:
    """A package need not have both."""
    write({"tasks/__init__.py": code})
    assert found() == names


def test_the_main_module_is_left_alone(write: Writer) -> None:
    """What `python -m tasks` would do is not done by looking for handlers."""
    write(
        {
            "tasks/__init__.py": ABOUT_USERS,
            "tasks/__main__.py": "raise AssertionError",
            "tasks/shop/__init__.py": "",
            "tasks/shop/__main__.py": "raise AssertionError",
        }
    )
    assert found() == ["users:new"]


# --- what is refused ----------------------------------------------------------------------------------


def test_g10_two_handlers_for_one_table_and_status_are_refused(write: Writer) -> None:
    """The line names both places, so that one can be taken out."""
    write({"tasks/__init__.py": "", "tasks/one.py": ABOUT_USERS, "tasks/two.py": "\n" + ABOUT_USERS})
    text = refusal()
    assert "two handlers for users:new" in text
    assert "one.py:4 (greet)" in text
    assert "two.py:5 (greet)" in text


def test_g10_a_status_that_another_handler_shows_meanwhile_is_refused(write: Writer) -> None:
    """It would take the rows that the other one is working on."""
    write(
        {
            "tasks/__init__.py": ABOUT_USERS,
            "tasks/more.py": ABOUT_USERS.replace('"new"', '"old", during="new"'),
        }
    )
    text = refusal()
    assert "two handlers for users:new" in text
    assert "__init__.py:4" in text
    assert "more.py:4" in text


@pytest.mark.parametrize("left", ['to="busy"', 'to="old", on_failure="busy"', 'to=("old", "busy")'])
def test_g10_a_status_that_another_handler_shows_meanwhile_is_no_end(write: Writer, left: str) -> None:
    """Rows that are done would look like those whose worker has lost them; in another column they do not."""
    code = ABOUT_USERS.replace('to="normal"', 'to="normal", during="busy"')
    more = ABOUT_USERS.replace('"new", to="normal"', f'"late", {left}')
    write({"tasks/__init__.py": code, "tasks/more.py": more})
    text = refusal()
    assert "moves rows of users to 'busy', the during of " in text
    assert "__init__.py:4" in text
    assert "more.py:4" in text
    for name in ("tasks.more", "tasks"):
        del sys.modules[name]
    write({"tasks/more.py": more.replace("to=", 'column="mail_status", to=', 1)})
    assert found() == ["users:late", "users:new"]


def test_g10_two_jobs_of_one_name_are_refused(write: Writer) -> None:
    """The line names both places."""
    write({"tasks/__init__.py": "", "tasks/one.py": TIMED, "tasks/two.py": TIMED})
    text = refusal()
    assert "two jobs named 'sync'" in text
    assert "one.py:4 (sync)" in text
    assert "two.py:4 (sync)" in text


WRAPPERS = {
    "a decorator above": "ship = logged(ship)",
    "two of them": "ship = logged(logged(ship))",
    "a cache": "ship = functools.cache(ship)",
    "a partial": "ship = functools.partial(ship)",
    "a partial of a wrapper, in a list": "ship = [functools.partial(logged(ship))]",
    "an object": "ship = Timed(ship)",
    "a property": "ship = type('Orders', (), {'ship': property(ship)})",
    "a static method": "ship = type('Orders', (), {'ship': staticmethod(logged(ship))})",
    "a handler above": "ship = handler('orders', status='late', to='shipped')(logged(ship))",
}


@pytest.mark.parametrize("wrapped", WRAPPERS.values(), ids=WRAPPERS.keys())
@pytest.mark.parametrize("what", ["handler('orders', status='paid', to='shipped')", "fixed_delay('5m')"])
def test_g10_what_a_wrapper_hides_is_refused(write: Writer, what: str, wrapped: str) -> None:
    """It would never run; the line says where it stands. A wrapper beside what it wraps hides nothing."""
    code = f"""
import functools
from poller import fixed_delay, handler

def logged(function):
    @functools.wraps(function)
    def wrapper(*arguments):
        return function(*arguments)
    return wrapper

class Timed:
    def __init__(self, function):
        functools.update_wrapper(self, function)

@{what}
def ship(order=1): ...

"""
    write({"tasks/__init__.py": ABOUT_USERS, "tasks/more.py": f"{code}{wrapped}"})
    text = refusal()
    assert "hidden by a wrapper" in text
    assert "more.py:15 (ship)" in text
    del sys.modules["tasks.more"], sys.modules["tasks"]
    write({"tasks/more.py": f"{code}\nthe_same = ship\n{wrapped}"})
    assert "users:new" in found()


def test_g10_middleware_that_a_wrapper_hides_is_refused(write: Writer) -> None:
    """It would run around nothing."""
    code = "import functools, poller\n@functools.cache\n@poller.around\ndef timed(attempt):\n    yield\n"
    write({"tasks.py": code})
    with pytest.raises(PollerError, match=r"tasks.py:2 \(timed\): tasks.timed is hidden by a wrapper"):
        registry.middleware("tasks")


FAULTS = {
    "a module of others that is missing": (
        "\nimport none.such",
        ["ModuleNotFoundError", "'none'", "{file}:2)"],
    ),
    "a module of its own that is missing": (
        "from tasks.nothing import work",
        ["'tasks.nothing'", "{file}:1)"],
    ),
    "a name that is missing": ("\n\nfrom tasks import nothing", ["ImportError", "'nothing'", "{file}:3)"]),
    "a fault of syntax": ("work = 1\n\ndef work(:\n", ["SyntaxError", "{file}:3)"]),
    "an encoding that there is not": ("# coding: none-such", ["SyntaxError", "none-such", "{file}:"]),
    "an error": ("x = 1\nassert x == 2, 'one\\n  two'", ["AssertionError: one two", "{file}:2)"]),
    "an option that cannot work": (
        ABOUT_USERS.replace('"normal"', '"normal", attempts=0'),
        ["attempts must be", "{file}:4 (greet)"],
    ),
}


def test_one_function_may_be_registered_for_several_statuses(write: Writer) -> None:
    """Decorators may be stacked: each makes a handler, and none is lost."""
    write(
        {
            "tasks/__init__.py": """
from poller import handler

@handler("orders", status="paid", to="shipped")
@handler("orders", status="late", to="shipped")
def ship(order): ...
"""
        }
    )
    assert sorted(map(str, registry.load("tasks").handlers)) == ["orders:late", "orders:paid"]


@pytest.mark.parametrize("what", ["SystemExit", "GeneratorExit", "BaseException"])
def test_g10_a_module_that_ends_the_program_is_refused(write: Writer, what: str) -> None:
    """It would end poller without a word, or with a traceback."""
    write({"tasks/__init__.py": f"raise {what}\n"})
    assert f"tasks cannot be imported: {what}" in refusal()
    assert "tasks/__init__.py:1)" in refusal()


def test_what_else_a_package_holds_costs_next_to_nothing_and_may_refuse_every_question(write: Writer) -> None:
    """Words by the hundred thousand, and proxies of what is there only during a request."""
    proxies = """
class Proxy:
    @property
    def __class__(self):
        raise RuntimeError("working outside of request context")

class Lazy(list):
    def __iter__(self):
        raise RuntimeError("not loaded")

request, rows = Proxy(), Lazy([1])
words = list(map(str, range(300_000)))
pairs = [(number,) for number in range(100_000)]
"""
    write({"tasks/__init__.py": ABOUT_ORDERS + proxies})
    began = process_time()

    assert len(registry.load("tasks").handlers) == 2
    assert not registry.middleware("tasks")
    assert process_time() - began < 10  # it was a minute and more


@pytest.mark.parametrize("file", ["tasks/broken.py", "tasks/broken/__init__.py"])
@pytest.mark.parametrize(("code", "said"), FAULTS.values(), ids=FAULTS.keys())
def test_g10_a_module_that_cannot_be_imported_is_named(
    write: Writer, file: str, code: str, said: list[str]
) -> None:
    """With what is wrong and where, also where all the others are well."""
    write({"tasks/__init__.py": ABOUT_ORDERS, file: code})
    text = refusal()
    for part in said:
        assert part.format(file=file, name=file.rpartition("/")[2]) in text


def test_g10_a_package_that_there_is_not_is_refused(write: Writer, tmp_path: Path) -> None:
    """The line says where it was looked for; the command line adds how to begin."""
    text = refusal()
    assert text == f"there is no package 'tasks' in {tmp_path}"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("", "'' is not the name of a package; write 'handlers'"),
        (".", "'.' is not the name of a package; write 'handlers'"),
        ("./tasks", "'./tasks' is not the name of a package; write 'tasks'"),
        (".tasks", "'.tasks' is not the name of a package; write 'tasks'"),
        ("tasks.", "'tasks.' is not the name of a package; write 'tasks'"),
        ("tasks/", "'tasks/' is not the name of a package; write 'tasks'"),
        ("tasks.py", "'tasks.py' is not the name of a package; write 'tasks'"),
        ("tasks/sub", "'tasks/sub' is not the name of a package; write 'tasks.sub'"),
        ("tasks\\sub.py", "'tasks\\\\sub.py' is not the name of a package; write 'tasks.sub'"),
        (
            "../tasks",
            "'../tasks' is a path; name the package, 'tasks', in the folder that holds it, not in {here}",
        ),
        (
            "/srv/tasks",
            "'/srv/tasks' is a path; name the package, 'tasks', in the folder that holds it, not in {here}",
        ),
        ("..", "'..' is a path; name the package, 'handlers', in the folder that holds it, not in {here}"),
    ],
)
def test_g10_what_is_no_name_of_a_package_is_refused_with_the_name(
    write: Writer, tmp_path: Path, given: str, says: str
) -> None:
    """A path that the shell completes, say."""
    write({"tasks/sub.py": ABOUT_USERS})
    with pytest.raises(PollerError) as refused:
        registry.load(given)
    assert str(refused.value) == says.format(here=tmp_path)


def test_g10_a_package_without_either_is_refused(write: Writer) -> None:
    """A function that lacks its decorator is none."""
    write({"tasks/__init__.py": "def work(row): ...", "tasks/more.py": "from poller import handler"})
    assert "'tasks' has no handlers" in refusal()


# --- --only -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("only", "chosen"),
    [
        (["orders"], ["orders:paid", "orders:shipped"]),
        (["orders:paid"], ["orders:paid"]),
        (["close"], ["orders:shipped"]),
        (["greet", "orders:paid"], ["orders:paid", "users:new"]),
        (["ship", "orders", "orders:paid"], ["orders:paid", "orders:shipped"]),
        (["sync"], ["sync"]),
        (["sync", "users", "greet"], ["users:new", "sync"]),
    ],
)
def test_only_takes_tables_statuses_functions_and_jobs(only: list[str], chosen: list[str]) -> None:
    """A handler has three names; several may be given, and what is named twice is taken once."""
    assert found(*only) == chosen


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("name", ["invoices", "orders:closed", "Orders", "order", "tasks.orders", "handler"])
def test_g10_only_refuses_what_is_nobodys_name(name: str) -> None:
    """Beside a name that is right, too; the line tells the names that there are."""
    text = refusal("users", name)
    assert repr(name) in text
    assert all(each in text for each in ["orders:paid", "orders:shipped", "users:new", "sync"])


def test_g10_only_hides_no_collision(write: Writer) -> None:
    """Two handlers of the same rows are refused, though neither is chosen: another worker would run them."""
    write({"tasks/__init__.py": ABOUT_ORDERS, "tasks/one.py": ABOUT_USERS, "tasks/two.py": ABOUT_USERS})
    assert "two handlers for users:new" in refusal("ship")


# --- --except -----------------------------------------------------------------------------------------


def left(*without: str, only: tuple[str, ...] = ()) -> list[str]:
    """Return what of the package `tasks` is left."""
    handlers, jobs = registry.load("tasks", only, without)
    return sorted(map(str, handlers)) + sorted(map(str, jobs))


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("without", "chosen"),
    [
        (["orders"], ["users:new", "sync"]),
        (["orders:paid"], ["orders:shipped", "users:new", "sync"]),
        (["close", "sync"], ["orders:paid", "users:new"]),
    ],
)
def test_except_leaves_out_what_only_would_name(without: list[str], chosen: list[str]) -> None:
    """All others run."""
    assert left(*without) == chosen


@pytest.mark.usefixtures("shop")
def test_except_leaves_out_of_what_only_has_chosen() -> None:
    """Both may be given."""
    assert left("orders:paid", only=("orders",)) == ["orders:shipped"]


@pytest.mark.usefixtures("shop")
def test_g10_except_refuses_what_is_nobodys_name_and_what_leaves_nothing() -> None:
    """A misspelt name would leave running what was to stand still."""
    with pytest.raises(PollerError, match="no handler or job is named 'order'; known: "):
        left("order")
    with pytest.raises(PollerError, match="nothing is left to run once these are left out: 'orders'"):
        left("orders", only=("orders:paid",))
