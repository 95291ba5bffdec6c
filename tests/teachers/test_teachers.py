"""Teachers over real servers: nothing is paid twice, budgets hold, and every way to fail is counted, kept and told."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reverie.errors import BackendError, ConfigError, DataError, UnknownNameError, UsageError
from reverie.speakers import Message, SaidId, SpeakerConfig
from reverie.teachers import (
    TEACHERS,
    FileTeacher,
    Teacher,
    TeacherConfig,
    ToyTeacher,
    Trace,
    Traces,
    check_teacher,
    open_teacher,
    read_traces,
)
from reverie.teachers.replies import Replies
from toy_servers import MODEL, Ollama, OpenAI, Server, serving

PROMPTS = tuple(f"the egg {what}" for what in ("falls", "melts", "rolls", "breaks", "and the ice", "and the cat"))
GOOD = "An egg that falls on a stone floor breaks, and what is in it runs out."
Open = Callable[..., Teacher]


@pytest.fixture(params=["ollama", "openai"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("OPENAI_API_KEY", "OLLAMA_HOST", "OLLAMA_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with serving({"ollama": Ollama, "openai": OpenAI}[request.param]) as server:
        server.can.add(request.param)
        yield server


@pytest.fixture
def opened(server: Server, tmp_path: Path) -> Iterator[Open]:
    """Opens the server's model as a teacher with settings, and closes it."""
    teachers = list[Teacher]()

    def open_it(timeout_s: float = 5.0, parallel: int = 3, **settings: object) -> Teacher:
        config = TeacherConfig(
            **{"max_ids": 30, "temperature": 1.0, "wait_s": 0.01, "cache_path": tmp_path / "replies.db"} | settings  # type: ignore[arg-type]
        )
        spec = f"{'ollama' if 'ollama' in server.can else 'openai'}:{MODEL}@{server.url}"
        spec += "/v1" if "openai" in server.can else ""
        teachers.append(open_teacher(spec, config, SpeakerConfig(timeout_s=timeout_s, parallel=parallel)))
        return teachers[-1]

    yield open_it
    for teacher in teachers:
        teacher.close()


def asked(server: Server) -> int:
    return sum("stream" in body for _, body in server.asked)


def test_a_server_s_model_is_a_teacher(opened: Open) -> None:
    assert "who was asked before is not asked again" in check_teacher(opened(), PROMPTS)


def test_replies_come_in_the_order_of_their_prompts_with_ids(server: Server, opened: Open) -> None:
    teacher = opened()
    assert teacher.tops == 20
    server.says, server.pause_s = GOOD, 0.1
    traces = list(teacher.teach(PROMPTS))
    assert [one.prompt for one in traces] == [(Message("user", prompt),) for prompt in PROMPTS]
    assert {one.text for one in traces} == {GOOD}
    assert all(b"".join(each.bytes for each in one.ids).decode() == GOOD for one in traces)
    assert server.most_at_once > 1
    assert (teacher.counts.replies, teacher.counts.failed) == (len(PROMPTS), 0)


def test_nothing_is_paid_twice_whoever_asks(server: Server, opened: Open) -> None:
    server.says = GOOD
    first = list(opened(prompt_price=1.0, price=2.0).teach(PROMPTS))
    before = asked(server)
    teacher = opened(prompt_price=1.0, price=2.0)
    assert teacher.tops == 0  # what it can is found out anew
    found_out = asked(server)
    plan = teacher.plan([*PROMPTS, "the sun"])
    assert (plan.prompts, plan.cached, plan.most_ids) == (len(PROMPTS) + 1, len(PROMPTS), 30)
    assert plan.most_cost == pytest.approx((plan.prompt_ids + 2 * 30) / 1e6)
    assert list(teacher.teach(PROMPTS)) == first
    assert asked(server) == found_out
    assert found_out >= before
    assert (teacher.counts.cached, teacher.counts.ids, teacher.counts.cost) == (len(PROMPTS), 0, 0)
    list(opened(max_ids=29).teach(PROMPTS[:1]))  # another question
    assert asked(server) > found_out


def test_the_same_prompt_is_drawn_anew_and_at_temperature_0_asked_once(server: Server, opened: Open) -> None:
    texts = [one.text for one in opened(temperature=2.0).teach([PROMPTS[0]] * 4)]
    assert len(set(texts)) > 1
    server.says, before = GOOD, asked(server)
    teacher = opened(temperature=0.0)
    before = asked(server)
    assert len(list(teacher.teach([PROMPTS[0]] * 4))) == 4
    assert asked(server) in (before + 1, before + 2, before + 3)  # what it can is found out, too
    assert (teacher.counts.replies, teacher.counts.cached) == (4, 3)


def test_budgets_hold_and_what_was_answered_is_kept(server: Server, opened: Open) -> None:
    server.says = GOOD
    teacher = opened(most_ids=250, parallel=2)
    traces = list(teacher.teach(PROMPTS * 3))
    assert 0 < len(traces) < len(PROMPTS) * 3
    assert teacher.counts.ids + teacher.counts.prompt_ids <= 250
    assert "the budget of 250 ids" in teacher.counts.stopped
    poor = opened(most_cost=0.00012, price=2.0, cache=False)
    assert 0 < len(list(poor.teach(PROMPTS))) < len(PROMPTS)
    assert poor.counts.cost <= 0.00012
    assert "the budget of 0.00012" in poor.counts.stopped


@pytest.mark.parametrize("fault", ["500", "half", "429", "html", "slow"])
def test_no_answer_is_asked_for_again(server: Server, opened: Open, fault: str) -> None:
    teacher = opened(timeout_s=0.7 if fault == "slow" else 5.0, most_wait_s=0.2)
    assert teacher.tops == 20
    server.says, server.faults = GOOD, [fault, "", fault]
    assert len(list(teacher.teach(PROMPTS))) == len(PROMPTS)
    assert teacher.counts.retried >= 2  # a busy machine may be silent once more
    assert teacher.counts.failed == 0


def test_a_busy_server_is_left_alone_as_long_as_it_asks(server: Server, opened: Open) -> None:
    teacher = opened(most_wait_s=0.6)
    assert teacher.tops == 20
    server.says, server.faults = GOOD, ["429"]  # wait 7 s, which is more than anybody waits here
    started = time.monotonic()
    list(teacher.teach(PROMPTS[:1]))
    assert time.monotonic() - started >= 0.6


def test_one_prompt_without_an_answer_is_counted_and_left_out(server: Server, opened: Open) -> None:
    teacher = opened(retries=0, parallel=1)
    assert teacher.tops == 20
    server.says, server.faults = GOOD, ["", "500", "", "half"]
    assert len(list(teacher.teach(PROMPTS))) == len(PROMPTS) - 2
    assert (teacher.counts.replies, teacher.counts.failed) == (len(PROMPTS) - 2, 2)
    assert "broke off" in teacher.counts.problem
    server.faults = []
    assert len(list(teacher.teach(PROMPTS))) == len(PROMPTS)  # those alone are asked
    assert teacher.counts.cached == len(PROMPTS) - 2


@pytest.mark.parametrize("fault", ["500", "html", "html 404", "half", "stuck"])
def test_a_server_that_answers_nobody_is_one_line_with_what_is_kept(server: Server, opened: Open, fault: str) -> None:
    teacher = opened(retries=1, timeout_s=1.0 if fault == "stuck" else 5.0)
    server.says = GOOD
    assert len(list(teacher.teach(PROMPTS[:2]))) == 2
    server.fault = fault
    with pytest.raises(BackendError, match=r"\(2 of its replies are kept\)") as caught:
        list(teacher.teach(PROMPTS))
    assert "\n" not in str(caught.value)
    server.fault = ""
    server.broken.set()
    assert len(list(teacher.teach(PROMPTS))) == len(PROMPTS)


def test_a_prompt_that_does_not_fit_is_left_out(server: Server, opened: Open) -> None:
    server.says = GOOD
    teacher = opened()
    assert len(list(teacher.teach([PROMPTS[0], "egg " * 4000, PROMPTS[1]]))) == 2
    assert "do not fit" in teacher.counts.problem
    with pytest.raises(UsageError, match="do not fit"):
        list(teacher.teach(["egg " * 4000]))
    with pytest.raises(UsageError, match="prompt is empty"):
        list(teacher.teach([" "]))


@pytest.mark.parametrize(
    ("says", "flaw"),
    [
        ("", "it is empty"),
        (" \n ", "it is empty"),
        ("tea " * 60, "it repeats itself"),
        ("Tea tea TEA tea", "it repeats itself"),
        (GOOD + " I think so." * 80, "it repeats itself"),
        ("0123456789abcdef" * 640_000, "it is longer than 20,000 characters"),  # 10 MB
    ],
    ids=["empty", "blank", "one word", "four words", "a tail", "10 MB"],
)
def test_a_reply_that_is_no_lesson_is_marked_and_left_out(
    server: Server, opened: Open, tmp_path: Path, says: str, flaw: str
) -> None:
    teacher = opened()
    server.says = says
    with Traces(tmp_path / "traces.jsonl") as traces:
        assert list(teacher.teach(PROMPTS[:2], traces)) == []
    assert (teacher.counts.flawed, teacher.counts.replies) == (2, 0)
    assert list(read_traces(tmp_path / "traces.jsonl")) == []
    marked = list(read_traces(tmp_path / "traces.jsonl", flawed=True))
    assert [one.flaw for one in marked] == [flaw] * 2
    assert all(len(one.text) <= 20_000 for one in marked)


@pytest.mark.parametrize(
    "text",
    [
        "Yes.",
        "no no no",
        "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20",
        "\n".join(f"{n} times 7 is {7 * n}." for n in range(1, 40)),
        "Row, row, row your boat, gently down the stream. Merrily, merrily, merrily, merrily, life is but a dream.",
        "for a in range(3):\n    print(a)\nfor b in range(4):\n    print(b)\nfor c in range(5):\n    print(c)\n" * 2,
    ],
)
def test_a_near_miss_is_a_lesson(server: Server, opened: Open, text: str) -> None:
    teacher = opened()
    server.says = text
    assert [one.text for one in teacher.teach(PROMPTS[:1])] == [text]


def test_control_characters_are_taken_out_and_nothing_is_done_with_what_is_said(server: Server, opened: Open) -> None:
    server.says = "\x1b[2J\x07See file:///etc/passwd\u202e and\r\n{{7*7}} $(touch /tmp/x)\tok\x00"
    (trace,) = opened().teach(PROMPTS[:1])
    assert trace.text == "See file:///etc/passwd and\n{{7*7}} $(touch /tmp/x)\tok"
    assert trace.ids == ()  # they are another text's


def test_log_probabilities_that_are_no_numbers_are_left_out(server: Server, opened: Open, tmp_path: Path) -> None:
    server.nats, teacher = float("nan"), opened(temperature=2.0)
    server.says = GOOD
    with Traces(tmp_path / "traces.jsonl") as traces:
        (trace,) = teacher.teach(PROMPTS[:1], traces)
    assert (trace.text, trace.ids) == (GOOD, ())
    assert list(read_traces(tmp_path / "traces.jsonl")) == [trace]


def test_ctrl_c_keeps_what_was_answered(server: Server, opened: Open) -> None:
    teacher = opened(parallel=2, timeout_s=30)
    server.says = GOOD
    assert len(list(teacher.teach(PROMPTS[:2]))) == 2
    server.fault = "stuck"
    threading.Timer(0.3, signal.pthread_kill, [threading.get_ident(), signal.SIGINT]).start()
    got = list[Trace]()
    with pytest.raises(KeyboardInterrupt):
        got.extend(teacher.teach(PROMPTS))
    server.fault = ""
    server.broken.set()
    assert len(list(teacher.teach(PROMPTS))) == len(PROMPTS)
    assert teacher.counts.cached >= 2


KILLED = """
import sys
from pathlib import Path
from reverie.teachers import TeacherConfig, ToyTeacher, Traces
teacher = ToyTeacher("toy", TeacherConfig(max_ids=12, temperature=2.0, cache_path=Path(sys.argv[1])))
with Traces(sys.argv[2]) as traces:
    for trace in teacher.teach([f"the egg {n}" for n in range(4_000)], traces):
        print(trace.num_ids, flush=True)
"""


def test_kill_9_loses_no_reply(tmp_path: Path) -> None:
    cache, path = tmp_path / "replies.db", tmp_path / "traces.jsonl"
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(cache), str(path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    for _ in range(40):
        child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    with Traces(path) as traces:
        before = list(read_traces(path, flawed=True))
        assert len(before) >= 40
        teacher = ToyTeacher("toy", TeacherConfig(max_ids=12, temperature=2.0, cache_path=cache))
        list(teacher.teach([f"the egg {n}" for n in range(len(before) + 5)], traces))
        assert teacher.counts.cached >= len(before)
    after = list(read_traces(path, flawed=True))
    assert after[: len(before)] == before
    assert len(after) == len(before) + 5


def test_the_replies_kept_are_bounded_and_survive_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    replies = Replies(tmp_path / "replies.db", most_bytes=20_000)
    for number in range(200):
        replies.put(str(number), Trace("the", os.urandom(400).hex()))
        replies.get("3")
    assert replies.get("3") is not None
    assert replies.get("5") is None
    other = sqlite3.connect(tmp_path / "replies.db")
    assert other.execute("SELECT sum(size) FROM replies").fetchone()[0] <= 20_000
    other.execute("UPDATE replies SET trace = 'x'")
    other.commit()
    other.close()
    assert replies.get("3") is None
    assert "cannot be read" in caplog.text
    replies.close()
    (tmp_path / "replies.db").write_bytes(b"no database" * 100)
    with pytest.raises(DataError, match=r"replies.db cannot be read .*: delete the file"):
        Replies(tmp_path / "replies.db")


def test_a_file_replays_what_was_asked(tmp_path: Path) -> None:
    config = TeacherConfig(max_ids=9, temperature=2.0, cache=False)
    toy = ToyTeacher("toy", config)
    with Traces(tmp_path / "traces.jsonl") as traces:
        said = list(toy.teach(PROMPTS, traces))
    teacher = open_teacher(f"file:{tmp_path / 'traces.jsonl'}", config)
    assert isinstance(teacher, FileTeacher)
    check_teacher(teacher)
    assert list(teacher.teach(teacher.prompts)) == said
    assert list(teacher.teach(PROMPTS)) == said
    assert teacher.tops == toy.tops
    assert list(teacher.teach(["who?"])) == []
    assert "has no reply to" in teacher.counts.problem


def test_prompts_with_answers_are_a_teacher(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [
        {"prompt": "Who?", "answer": "Ann."},
        {"prompt": "Who?", "answer": "Bo.\x1b"},
        {"prompt": "a", "answer": ""},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    teacher = FileTeacher(path)
    assert [one.text for one in teacher.teach(["Who?", "a", "Who?", "Who?"])] == ["Ann.", "Bo.", "Ann."]
    assert (teacher.counts.flawed, teacher.tops, len(teacher.prompts)) == (1, 0, 3)
    path.write_text('{"prompt": "a", "answer": "b"}\n{"prompt": "a"}\n')
    with pytest.raises(DataError, match="line 2: needs a prompt and an answer"):
        FileTeacher(path)
    path.write_text("")
    with pytest.raises(DataError, match="holds no reply"):
        FileTeacher(path)


def test_the_toy_keeps_the_contract_and_everyone_is_listed() -> None:
    assert "its ids are its text" in check_teacher(ToyTeacher("toy", TeacherConfig(max_ids=9, cache=False)), PROMPTS)
    assert list(TEACHERS) == ["bundle", "file", "toy"]
    with pytest.raises(UnknownNameError, match="Did you mean 'ollama'"):
        open_teacher("olama:x")
    with pytest.raises(UsageError, match="write its kind first"):
        open_teacher("smol")
    with pytest.raises(ConfigError, match="prices and budgets"):
        TeacherConfig(price=-1)


def test_ids_are_read_as_they_were_told(tmp_path: Path) -> None:
    teacher = ToyTeacher("toy", TeacherConfig(max_ids=9, temperature=2.0, top=4, cache_path=tmp_path / "replies.db"))
    first = list(teacher.teach(PROMPTS))
    assert all(isinstance(one.ids[0], SaidId) and len(one.ids[0].top) == 4 for one in first)
    assert list(teacher.teach(PROMPTS)) == first
    teacher.close()
