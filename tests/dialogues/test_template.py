"""The chat templates against those who published them: Meta's own formatter, and transformers with jinja."""

import pyarrow as pa
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from mixer.dialogues.checks import checked
from mixer.dialogues.encode import encode
from mixer.dialogues.template import template_of
from mixer.dialogues.turns import Dialogue, Preference, SetAsideError, Turn
from mixer.errors import RecipeError
from mixer.tokenize.encode import Encoder
from mixer.tokenize.vocabulary import load_vocabulary
from tests.tokenize.conftest import train

LLAMA3_JINJA = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    "+ message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
)
"""The chat template of Meta-Llama-3-8B-Instruct, as its tokenizer_config.json has it."""
CHATML_JINJA = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}"
)
"""The chat template of Qwen2's base model, without its default system message."""

TEXTS = [
    "Hi!",
    "你好，世界",
    " \n trimmed \t",
    "x\n\ny",
    "Don't <|eot_id|> <|begin_of_text|>",
    "<|start_header_id|>user",
]


def dialogue(*contents, system=""):
    turns = [Turn("system", system, learned=False)] if system else []
    for place, content in enumerate(contents):
        turns.append(Turn("assistant", content) if place % 2 else Turn("user", content, learned=False))
    return Dialogue(tuple(turns))


def encoded(item, template, encoder, length=100_000, too_long="cut"):
    found = encode([checked(item)[0]], template, encoder, length, too_long)[0]
    if isinstance(found, SetAsideError):
        raise found
    return found


@pytest.fixture(scope="module")
def meta():
    """Meta's formatter of dialogues."""
    from llama_models.datatypes import RawMessage
    from llama_models.llama3.chat_format import ChatFormat
    from llama_models.llama3.tokenizer import Tokenizer

    made = ChatFormat(Tokenizer.get_instance())

    def ids(item):
        names = {"call": "assistant"}
        messages = [RawMessage(role=names.get(t.role, t.role), content=t.content.strip()) for t in item.turns]
        tokens = made.encode_dialog_prompt(messages).tokens
        return tokens[: -len(made._encode_header("assistant"))]

    return ids


@pytest.mark.parametrize("text", TEXTS)
def test_llama3_equals_metas_formatter(text, template, encoder, meta):
    item = dialogue("Q", text, text, "A", system=text)
    (found,) = encoded(item, template, encoder)
    assert found.tokens.tolist() == meta(item)


ASSIGNED = st.characters(exclude_categories=("Cs", "Cn"), exclude_characters="\x00")
"""What is a letter depends on the version of Unicode, but for characters that all versions know."""


@given(texts=st.lists(st.text(ASSIGNED, min_size=1).filter(str.strip), min_size=2, max_size=6))
@settings(max_examples=50, deadline=None)
def test_llama3_equals_metas_formatter_on_any_text(texts, template, encoder, meta):
    item = dialogue(*texts[: len(texts) // 2 * 2])
    (found,) = encoded(item, template, encoder)
    assert found.tokens.tolist() == meta(item)


def test_tools_speak_as_meta_has_it(template, encoder, meta):
    item = Dialogue(
        (
            Turn("user", "Weather?", learned=False),
            Turn("call", '{"name": "weather"}'),
            Turn("tool", "sunny", learned=False),
            Turn("assistant", "Sunny."),
        )
    )
    (found,) = encoded(item, template, encoder)
    assert found.tokens.tolist() == meta(item)


def test_text_never_becomes_a_special_token(template, encoder, vocabulary, decode):
    text = "".join(vocabulary.specials)
    (found,) = encoded(dialogue("Q", text), template, encoder)
    specials = set(vocabulary.specials.values())
    (ends,) = [int(template.end[0])]
    assert [token for token in found.tokens[found.learned].tolist() if token in specials] == [ends]
    assert decode(found.tokens[found.learned].tolist()[:-1]) == text


@pytest.fixture
def chatml_vocabulary(tmp_path):
    """A small vocabulary with the special tokens of ChatML."""
    train(("<|endoftext|>", "<|im_start|>", "<|im_end|>")).save(str(tmp_path / "tokenizer.json"))
    return load_vocabulary(str(tmp_path / "tokenizer.json"))


@pytest.mark.parametrize(("name", "jinja"), [("llama3", LLAMA3_JINJA), ("chatml", CHATML_JINJA)])
def test_templates_equal_transformers(name, jinja, vocabulary, chatml_vocabulary):
    transformers = pytest.importorskip("transformers", reason="compares with transformers")
    vocabulary = vocabulary if name == "llama3" else chatml_vocabulary
    fast = tokenizers.Tokenizer.from_str(vocabulary.tokenizer.decode())
    fast.add_special_tokens([token for token, _ in sorted(vocabulary.specials.items(), key=lambda pair: pair[1])])
    published = transformers.PreTrainedTokenizerFast(
        tokenizer_object=fast, bos_token="<|begin_of_text|>" if name == "llama3" else None, chat_template=jinja
    )
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is 今天?"},
        {"role": "assistant", "content": "A day.\n\nIt is fine."},
        {"role": "user", "content": "def f(): pass"},
        {"role": "assistant", "content": "Yes"},
    ]
    ids = published.apply_chat_template(messages, tokenize=True, return_dict=False)
    encoder = Encoder(vocabulary)
    template = template_of(vocabulary, encoder)
    assert template.name == name
    item = Dialogue(tuple(Turn(m["role"], m["content"], m["role"] == "assistant") for m in messages))
    (found,) = encoded(item, template, encoder)
    assert found.tokens.tolist() == ids[: len(found.tokens)]
    assert ids[len(found.tokens) :] == template.after.tolist()


def test_a_vocabulary_without_a_template_needs_the_plain_one(small_tokenizer):
    vocabulary = load_vocabulary(str(small_tokenizer))
    encoder = Encoder(vocabulary)
    with pytest.raises(RecipeError, match="no chat template is known") as error:
        template_of(vocabulary, encoder)
    assert "template: plain" in error.value.remedy
    with pytest.raises(RecipeError, match=r"chatml needs <\|im_start\|> <\|im_end\|>"):
        template_of(vocabulary, encoder, "chatml")
    template = template_of(vocabulary, encoder, "plain")
    (found,) = encoded(dialogue("Hi", "Ho", system="S"), template, encoder)
    text = tokenizers.Tokenizer.from_str(vocabulary.tokenizer.decode()).decode(found.tokens.tolist())
    end = "<|endoftext|>"
    assert text == f"### system:\nS{end}\n### user:\nHi{end}\n### assistant:\nHo{end}"
    assert found.tokens[found.learned].tolist()[-1] == vocabulary.eod
    assert (found.tokens == vocabulary.eod).sum() == 3


def test_answers_are_learned_with_their_end_and_nothing_else_is(template, encoder, decode):
    item = Dialogue(
        (
            Turn("system", "S", learned=False),
            Turn("user", "A?", learned=False),
            Turn("assistant", "one"),
            Turn("user", "B?", learned=False),
            Turn("assistant", "context", learned=False),
            Turn("user", "C?", learned=False),
            Turn("call", "{}"),
        )
    )
    (found,) = encoded(item, template, encoder)
    assert decode(found.tokens[found.learned].tolist()) == "one<|eot_id|>{}<|eot_id|>"


def test_tools_stand_in_the_system_message(template, encoder, decode):
    plain = Dialogue((Turn("user", "Q", learned=False), Turn("assistant", "A")), tools='[{"name": "f"}]')
    (found,) = encoded(plain, template, encoder)
    text = decode(found.tokens.tolist())
    assert text.startswith("<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nThese functions")
    assert '[{"name": "f"}]<|eot_id|><|start_header_id|>user' in text
    own = Dialogue((Turn("system", "Be brief.", learned=False), *plain.turns), tools=plain.tools)
    (found,) = encoded(own, template, encoder)
    assert "Be brief.\n\nThese functions" in decode(found.tokens.tolist())


def test_both_answers_follow_the_same_prompt(template, encoder, decode):
    item = Preference(
        (Turn("user", "A?", learned=False), Turn("assistant", "a"), Turn("user", "B?", learned=False)),
        Turn("assistant", "good"),
        Turn("assistant", "very bad"),
    )
    chosen, rejected = encoded(item, template, encoder)
    prompt = int(chosen.learned.argmax())
    assert prompt == int(rejected.learned.argmax())
    assert chosen.tokens[:prompt].tolist() == rejected.tokens[:prompt].tolist()
    assert decode(chosen.tokens[chosen.learned].tolist()) == "good<|eot_id|>"
    assert decode(rejected.tokens[rejected.learned].tolist()) == "very bad<|eot_id|>"


def test_a_long_example_is_cut_behind_a_learned_token(template, encoder):
    item = dialogue("Q", "one two three four five six", "Q " * 40, "seven eight")
    (whole,) = encoded(item, template, encoder)
    first = int(whole.learned.argmax())
    answers = whole.learned.nonzero()[0]
    for length in range(1, len(whole.tokens) + 2):
        if length <= first:
            with pytest.raises(SetAsideError) as error:
                encoded(item, template, encoder, length)
            assert error.value.reason == "prompt_too_long"
            continue
        (cut,) = encoded(item, template, encoder, length)
        assert cut.cut == (length < len(whole.tokens))
        assert len(cut.tokens) == answers[answers < length][-1] + 1 <= length
        assert cut.tokens.tolist() == whole.tokens[: len(cut.tokens)].tolist()
        assert cut.learned[-1]
        if cut.cut:
            with pytest.raises(SetAsideError) as error:
                encoded(item, template, encoder, length, "set_aside")
            assert error.value.reason == "too_long"


def test_answers_that_cutting_makes_equal_are_set_aside(template, encoder):
    item = Preference((Turn("user", "Q", learned=False),), Turn("assistant", "a b c d"), Turn("assistant", "a b c e"))
    chosen, _ = encoded(item, template, encoder)
    with pytest.raises(SetAsideError) as error:
        encoded(item, template, encoder, len(chosen.tokens) - 2)
    assert error.value.reason == "equal_answers"


def slowly(item, template, encoder, vocabulary):
    """Build each example of a dialogue or a preference token by token: the slow twin of ``encode``."""

    def ids(text):
        found, _ = encoder.encode(pa.array([text], pa.large_string()))
        return found.tolist()

    def turn(each):
        names = {"call": "assistant", "tool": "ipython"}
        start, stop, end = (
            vocabulary.specials[f"<|{name}|>"] for name in ("start_header_id", "end_header_id", "eot_id")
        )
        head = [start, *ids(names.get(each.role, each.role)), stop, *ids("\n\n")]
        said = [*ids(each.content), end]
        return head + said, [False] * len(head) + [each.learned] * len(said)

    turns = item.prompt if isinstance(item, Preference) else item.turns
    found = []
    for last in (item.chosen, item.rejected) if isinstance(item, Preference) else (None,):
        tokens, learned = [vocabulary.specials["<|begin_of_text|>"]], [False]
        for each in (*turns, *([last] if last else [])):
            more, counts = turn(each)
            tokens, learned = tokens + more, learned + counts
        found.append((tokens, learned))
    return found


WORDS = st.sampled_from(["a", "Hello there.", "今天天气", "<|eot_id|>", "x = 1\n\ny", "1234567"])
ROUNDS = st.lists(
    st.tuples(WORDS, st.sampled_from(["user", "tool"]), WORDS, st.sampled_from(["assistant", "call"]), st.booleans()),
    min_size=1,
    max_size=4,
)


@given(
    drawn=st.lists(st.tuples(ROUNDS, WORDS, WORDS, st.booleans()), min_size=1, max_size=5), length=st.integers(5, 60)
)
@settings(max_examples=60, deadline=None)
def test_a_batch_equals_its_slow_twin(drawn, length, template, encoder, vocabulary):
    items = []
    for rounds, better, worse, ranked in drawn:
        turns = []
        for asked, asking, said, saying, learned in rounds:
            turns += [Turn(asking, asked, learned=False), Turn(saying, said, learned)]
        turns[-1] = Turn(turns[-1].role, turns[-1].content)
        ranked = ranked and better != worse
        prompt = (*(Turn(turn.role, turn.content, learned=False) for turn in turns[:-1]),)
        preference = Preference(prompt, Turn("assistant", better), Turn("assistant", worse))
        items.append(preference if ranked else Dialogue(tuple(turns)))
    for item, found in zip(items, encode(items, template, encoder, length, "cut"), strict=True):
        twins = slowly(item, template, encoder, vocabulary)
        cut = []
        for tokens, learned in twins:
            places = [place for place, counts in enumerate(learned) if counts and place < length]
            cut.append((tokens[: places[-1] + 1], learned[: places[-1] + 1]) if places else None)
        if isinstance(found, SetAsideError):
            assert found.reason == ("prompt_too_long" if None in cut else "equal_answers")
            assert None in cut or cut[0] == cut[1]
        else:
            assert [(each.tokens.tolist(), each.learned.tolist()) for each in found] == cut
