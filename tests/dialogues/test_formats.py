"""Every format on hand-written records: turns, answers, and what is refused."""

import json

import pytest

from mixer.dialogues.checks import checked
from mixer.dialogues.formats.table import BY_NAME, TABLE, convert, detect, renamed
from mixer.dialogues.turns import REASONS, Preference, SetAsideError
from mixer.errors import RecipeError


def said(name, record, prefer=""):
    """Return role and text of each turn, learned ones with a star; of a preference the better and the worse answer."""
    form = BY_NAME[name]
    found = []
    for part in form.parts(record):
        item, _ = checked(convert(form, part, prefer or next(iter(form.prefer), "")))
        turns = item.prompt if isinstance(item, Preference) else item.turns
        shown = [f"{turn.role}{'*' if turn.learned else ''}: {turn.content}" for turn in turns]
        if isinstance(item, Preference):
            shown += [f"+ {item.chosen.content}", f"- {item.rejected.content}"]
        found.append(shown)
    return found


HISTORY = {
    "instruction": "C?",
    "input": "",
    "output": "c",
    "system": "Be brief.",
    "history": [["A?", "a"], ["B?", "b"]],
}
SHAREGPT = {
    "conversations": [
        {"from": "human", "value": " Weather? "},
        {"from": "function_call", "value": '{"name": "weather", "arguments": {}}'},
        {"from": "observation", "value": "sunny"},
        {"from": "gpt", "value": "Sunny.\n"},
    ],
    "tools": '[{"name": "weather"}]',
}
CALLS = {
    "messages": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": '{"at": "家"}'}}],
        },
        {"role": "tool", "content": "sunny"},
        {"role": "assistant", "content": [{"type": "text", "text": "Sun"}, {"type": "text", "text": "ny."}]},
    ]
}
WEIGHTS = {
    "messages": [
        {"role": "user", "content": [{"type": "text", "value": "A?"}], "loss_weight": 0.0},
        {"role": "assistant", "content": [{"type": "text", "value": "a"}], "loss_weight": 0.0},
        {"role": "user", "content": [{"type": "text", "value": "B?"}], "loss_weight": 0.0},
        {"role": "assistant", "content": [{"type": "text", "value": "b"}], "loss_weight": 1.0},
    ]
}
MUTUAL = {
    "article": "f : how much ? m : it 's $ 750 . f : oh",
    "options": ["m : yes .", "m : no .", "f : a", "f : b"],
    "answers": "B",
    "id": "train_1",
}
WOZ = {
    "messages": [{"role": "usr", "content": "你好"}, {"role": "sys", "content": "您好。", "dialog_act": []}],
    "goal": [],
}
KDCONV = {"messages": [{"message": "知道吗？"}, {"attrs": [{"name": "x"}], "message": "知道。"}, {"message": "好。"}]}
SEEDS = {"instruction": "Pair?", "instances": [{"input": "a", "output": "1"}, {"input": "", "output": "2"}]}
TIGER = {
    "instruction": "\n\n### Instruction:\n头痛？",
    "input": None,
    "output": "\n\n### Response:\n\n\n### Response:\n休息。",
}
SAFE = {"prompt": "P", "response_0": "zero", "response_1": "one", "better_response_id": 0, "safer_response_id": 1}
HC3 = {"question": "Q", "human_answers": ["h1", "h2"], "chatgpt_answers": ["c1", "c2"], "source": "open_qa"}
PAIR = ["user: P", "+ good", "- bad"]

WRITTEN = [
    ("alpaca", {"instruction": "Add.", "input": "1 2", "output": "3"}, [["user: Add.\n1 2", "assistant*: 3"]]),
    ("alpaca", {"instruction": "Hi", "input": None, "output": " Hello \n"}, [["user: Hi", "assistant*: Hello"]]),
    (
        "alpaca",
        HISTORY,
        [["system: Be brief.", "user: A?", "assistant*: a", "user: B?", "assistant*: b", "user: C?", "assistant*: c"]],
    ),
    ("math_instruct", {"source": "s", "instruction": "1+1?", "output": 2}, [["user: 1+1?", "assistant*: 2"]]),
    ("stem_zh", {"instruction": "水？", "input": "", "output": "H2O"}, [["user: 水？", "assistant*: H2O"]]),
    (
        "coig_cqia",
        {"instruction": "问", "input": "", "output": "答", "task_type": {"major": ["x"]}, "domain": ["y"]},
        [["user: 问", "assistant*: 答"]],
    ),
    ("tigerbot", TIGER, [["user: 头痛？", "assistant*: 休息。"]]),
    ("seed_tasks", SEEDS, [["user: Pair?\na", "assistant*: 1"], ["user: Pair?", "assistant*: 2"]]),
    (
        "sharegpt",
        SHAREGPT,
        [["user: Weather?", 'call*: {"name": "weather", "arguments": {}}', "tool: sunny", "assistant*: Sunny."]],
    ),
    (
        "puffin",
        {"conversations": [{"from": "human", "value": "A"}, {"from": "gpt", "value": "B"}]},
        [["user: A", "assistant*: B"]],
    ),
    (
        "messages",
        CALLS,
        [
            [
                "system: Be brief.",
                "user: Weather?",
                'call*: {"name": "weather", "arguments": {"at": "家"}}',
                "tool: sunny",
                "assistant*: Sunny.",
            ]
        ],
    ),
    ("messages", WEIGHTS, [["user: A?", "assistant: a", "user: B?", "assistant*: b"]]),
    ("mutual", MUTUAL, [["user: how much ?", "assistant*: it 's $ 750 .", "user: oh", "assistant*: no ."]]),
    (
        "mutual",
        {**MUTUAL, "answers": "C"},
        [["assistant: how much ?", "user: it 's $ 750 .", "assistant*: oh\na"]],
    ),
    ("crosswoz", {"1": WOZ, "2": WOZ}, [["user: 你好", "assistant*: 您好。"]] * 2),
    ("crosswoz", WOZ, [["user: 你好", "assistant*: 您好。"]]),
    ("kdconv", KDCONV, [["user: 知道吗？", "assistant*: 知道。"]]),
    ("safe_rlhf", SAFE, [["user: P", "+ zero", "- one"]]),
    ("cvalues", {"prompt": "P", "pos_resp": "good", "neg_resp": " bad", "pos_type": "拒绝为主"}, [PAIR]),
    ("huozi", {"prompt": "P", "chosen": "good", "reject": "bad"}, [PAIR]),
    ("hc3", HC3, [["user: Q", "+ h1", "- c1"], ["user: Q", "+ h2", "- c2"]]),
    ("chosen", {"prompt": "P", "chosen": "good", "rejected": "bad"}, [PAIR]),
    ("chosen", {"instruction": "P", "input": "", "chosen": "good", "rejected": "bad"}, [PAIR]),
    (
        "chosen",
        {
            "conversations": [{"from": "system", "value": "S"}, {"from": "human", "value": "P"}],
            "chosen": {"from": "gpt", "value": "good"},
            "rejected": {"from": "gpt", "value": "bad"},
        },
        [["system: S", *PAIR]],
    ),
    (
        "chosen",
        {
            "prompt": [{"role": "user", "content": "P"}],
            "chosen": [{"role": "assistant", "content": "good"}],
            "rejected": [{"role": "assistant", "content": "bad"}],
        },
        [PAIR],
    ),
    (
        "chosen",
        {
            "chosen": [{"role": "user", "content": "P"}, {"role": "assistant", "content": "good"}],
            "rejected": [{"role": "user", "content": "P"}, {"role": "assistant", "content": "bad"}],
        },
        [PAIR],
    ),
]


@pytest.mark.parametrize(("name", "record", "expected"), WRITTEN)
def test_a_record_becomes_what_its_publisher_meant(name, record, expected):
    assert said(name, record) == expected


def test_every_format_has_a_hand_written_record():
    assert {name for name, *_ in WRITTEN} == set(BY_NAME)
    assert len(BY_NAME) == len(TABLE)


@pytest.mark.parametrize(("name", "record", "expected"), [each for each in WRITTEN if BY_NAME[each[0]].matches])
def test_the_fields_tell_the_format(name, record, expected):
    assert detect([record], "mine").name == name


@pytest.mark.parametrize("name", ["safe_rlhf", "hc3"])
def test_the_other_answer_can_be_preferred(name):
    record = {"safe_rlhf": SAFE, "hc3": HC3}[name]
    prefer = BY_NAME[name].prefer[1]
    better = {"safe_rlhf": "one", "hc3": "c1"}[name]
    assert said(name, record, prefer)[0][1] == f"+ {better}"


@pytest.mark.parametrize(
    ("first", "field", "expected"),
    [(None, "F", "F"), ("M", "F", "M"), ("M", None, "M"), (None, " ", None), (" ", "F", None)],
)
def test_a_system_message_wins_over_the_field(first, field, expected):
    start = [] if first is None else [{"role": "system", "content": first}]
    record = {"messages": [*start, user("A?"), assistant("a")], "system": field}
    pair = {"messages": [*start, user("A?")], "system": field, "chosen": "a", "rejected": "b"}
    begin = [] if expected is None else [f"system: {expected}"]
    assert said("messages", record) == [[*begin, "user: A?", "assistant*: a"]]
    assert said("chosen", pair) == [[*begin, "user: A?", "+ a", "- b"]]


def test_tools_are_kept_as_json():
    item = convert(BY_NAME["sharegpt"], SHAREGPT, "")
    assert json.loads(item.tools) == [{"name": "weather"}]
    assert convert(BY_NAME["messages"], {**CALLS, "tools": [{"name": "天气"}]}, "").tools == '[{"name": "天气"}]'


def test_what_was_taken_out_of_tigerbot_is_counted():
    assert convert(BY_NAME["tigerbot"], TIGER, "").repairs == 3
    inside = {"instruction": "x", "output": "a ### Response: b"}
    assert said("tigerbot", inside) == [["user: x", "assistant*: a ### Response: b"]]


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


REFUSED = [
    ("messages", {"messages": [user("A?")]}, "no_answer"),
    ("messages", {"messages": [assistant("a")]}, "no_answer"),
    ("messages", {"messages": []}, "no_answer"),
    ("messages", {"messages": "A?"}, "format"),
    ("messages", {"messages": [{"role": "critic", "content": "hm"}]}, "format"),
    ("messages", {"messages": [{"role": "user"}]}, "format"),
    ("messages", {"messages": ["A?"]}, "format"),
    ("messages", {}, "format"),
    ("messages", {"messages": [user("A?"), assistant(" \n")]}, "empty_response"),
    ("messages", {"messages": [user(" "), assistant("a")]}, "empty_prompt"),
    ("messages", {"messages": [user("A?"), assistant("a\x00")]}, "nul_character"),
    ("messages", {"messages": [user([{"type": "image_url", "image_url": {}}]), assistant("a")]}, "not_text"),
    ("messages", {"messages": [user("A?"), assistant("a", weight=0.5)]}, "partial_weight"),
    ("messages", {"messages": [user("A?"), assistant("a", weight=0)]}, "no_answer"),
    ("messages", {"messages": [{**user("A?"), "loss_weight": 1}, assistant("a")]}, "partial_weight"),
    ("messages", {"messages": [user("A?"), assistant("a")], "label": False}, "bad_answer"),
    ("messages", {"messages": [user("A?"), assistant("", tool_calls=[{"function": {}}])]}, "format"),
    ("alpaca", {"instruction": "A?"}, "format"),
    ("alpaca", {"instruction": "A?", "output": {"a": 1}}, "format"),
    ("alpaca", {"instruction": "A?", "output": None}, "empty_response"),
    ("alpaca", {"instruction": "A?", "output": "a", "kto_tag": False}, "bad_answer"),
    ("alpaca", {"instruction": "A?", "output": "a", "history": [["q"]]}, "format"),
    ("seed_tasks", {"instruction": "A?", "instances": []}, "format"),
    ("mutual", {**MUTUAL, "answers": "E"}, "no_answer"),
    ("mutual", {**MUTUAL, "article": "hello there"}, "format"),
    ("mutual", {**MUTUAL, "options": "m : yes"}, "format"),
    ("crosswoz", {"1": {"goal": []}}, "format"),
    ("kdconv", {"messages": [{"text": "x"}]}, "format"),
    ("safe_rlhf", {**SAFE, "better_response_id": -1}, "tie"),
    ("safe_rlhf", {**SAFE, "better_response_id": None}, "tie"),
    ("safe_rlhf", {**SAFE, "response_1": "zero "}, "equal_answers"),
    ("cvalues", {"prompt": "P", "domain_zh": "x"}, "no_answer"),
    ("cvalues", {"prompt": "P", "pos_resp": "good", "neg_resp": ""}, "empty_response"),
    ("cvalues", {"prompt": "", "pos_resp": "good", "neg_resp": "bad"}, "empty_prompt"),
    ("hc3", {"question": "Q", "human_answers": [], "chatgpt_answers": ["c"]}, "no_answer"),
    ("hc3", {"question": "Q", "human_answers": [], "chatgpt_answers": []}, "no_answer"),
    ("chosen", {"prompt": "P", "chosen": "good", "rejected": None}, "no_answer"),
    ("chosen", {"prompt": "P", "chosen": "same", "rejected": "same"}, "equal_answers"),
    ("chosen", {"chosen": "good", "rejected": "bad"}, "format"),
    ("chosen", {"prompt": [assistant("a")], "chosen": "good", "rejected": "bad"}, "format"),
    ("chosen", {"prompt": "P", "chosen": [user("no answer")], "rejected": "bad"}, "format"),
]


@pytest.mark.parametrize(("name", "record", "reason"), REFUSED)
def test_what_must_not_be_trained_on_is_refused(name, record, reason):
    with pytest.raises(SetAsideError) as error:
        said(name, record)
    assert error.value.reason == reason
    assert str(error.value)
    assert reason in REASONS


def test_an_unpaired_answer_costs_itself_only():
    form = BY_NAME["hc3"]
    parts = form.parts({**HC3, "chatgpt_answers": ["c1"]})
    assert len(parts) == 2
    assert convert(form, parts[0], "human").chosen.content == "h1"
    with pytest.raises(SetAsideError, match="partner"):
        convert(form, parts[1], "human")


def test_neighbours_of_one_side_are_joined_and_the_rest_behind_the_last_answer_left_out():
    record = {"messages": [user("A"), user("B?"), assistant("a"), assistant("b"), user("C?"), user("D?")]}
    item, notes = checked(convert(BY_NAME["messages"], record, ""))
    assert [(turn.role, turn.content) for turn in item.turns] == [("user", "A\nB?"), ("assistant", "a\nb")]
    assert set(notes) == {"merged", "unanswered"}


def test_an_answer_that_is_learned_does_not_swallow_one_that_is_not():
    record = {"messages": [user("A?"), assistant("a", weight=0), assistant("b", weight=1)]}
    item, _ = checked(convert(BY_NAME["messages"], record, ""))
    assert [(turn.content, turn.learned) for turn in item.turns[1:]] == [("a", False), ("b", True)]


def test_an_unknown_format_names_the_fields():
    with pytest.raises(RecipeError, match=r"no known format; their fields are id_, prompt"):
        detect([{"id_": 1, "prompt": "x"}], "mine")
    with pytest.raises(RecipeError, match="fields are none"):
        detect([], "mine")


def test_records_of_two_formats_are_refused():
    with pytest.raises(RecipeError, match="look like alpaca or tigerbot"):
        detect([TIGER, {"instruction": "a", "output": "b"}], "mine")
    with pytest.raises(RecipeError, match="look like alpaca or sharegpt"):
        detect([{**SHAREGPT, "instruction": "a", "output": "b"}], "mine")


def test_fields_under_other_names():
    record = {"q": "A?", "deep": {"a": "b"}, "output": "old"}
    assert renamed(record, {"instruction": "q", "output": "deep.a"})["output"] == "b"
    assert said("alpaca", renamed(record, {"instruction": "q", "output": "deep.a"})) == [["user: A?", "assistant*: b"]]
    assert "instruction" not in renamed(record, {"instruction": "missing"})
