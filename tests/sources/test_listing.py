import zipfile

import fsspec
import pytest

from mixer.errors import InputError, RecipeError
from mixer.sources.listing import list_files
from mixer.sources.settings import SourceSettings


@pytest.fixture
def tree(tmp_path):
    for name in (
        "b.jsonl",
        "a.jsonl",
        "sub/a.jsonl",
        "sub/deep er/中文 名.jsonl",
        ".hidden",
        "sub/.git/x",
        "c.tmp",
        "_SUCCESS",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    return tmp_path


def listing(root, *paths, **environment):
    return list_files(SourceSettings(name="wiki", paths=list(paths)), root, environment)


def names(root, *paths, **environment):
    return [file.path for file in listing(root, *paths, **environment).files]


def test_files_folders_and_globs(tree):
    assert names(tree, "a.jsonl") == ["a.jsonl"]
    assert names(tree, "sub") == ["a.jsonl", "deep er/中文 名.jsonl"]
    assert names(tree, "sub/") == names(tree, "sub")
    assert names(tree, "*.jsonl") == ["a.jsonl", "b.jsonl"]
    assert names(tree, "**/*.jsonl") == ["a.jsonl", "b.jsonl", "sub/a.jsonl", "sub/deep er/中文 名.jsonl"]
    assert names(tree, "sub/deep er/中*.jsonl") == ["中文 名.jsonl"]
    assert names(tree, "${D}/*.jsonl", D=str(tree)) == ["a.jsonl", "b.jsonl"]


def test_relative_paths_start_at_the_recipe(tree):
    assert names(tree / "sub" / "deep er", "../a.jsonl") == ["a.jsonl"]
    assert names(tree / "sub", "../*.jsonl") == ["a.jsonl", "b.jsonl"]


def test_a_name_with_wildcard_characters_is_a_file_first(tree):
    (tree / "x[1].jsonl").write_text("{}")
    assert names(tree, "x[1].jsonl") == ["x[1].jsonl"]


def test_hidden_and_temporary_files_need_naming(tree):
    found = listing(tree, ".")
    assert found.left_out == (".hidden", "_SUCCESS", "c.tmp", "sub/.git/x")
    assert names(tree, ".hidden") == [".hidden"]
    assert names(tree, "sub/.git/*") == ["x"]
    with pytest.raises(RecipeError, match="hidden or temporary"):
        listing(tree, "*.tmp")


def test_a_file_found_twice_is_listed_once(tree):
    assert names(tree, "*.jsonl", "a.jsonl", str(tree / "a.jsonl"), f"file://{tree}/a.jsonl") == ["a.jsonl", "b.jsonl"]


def test_names_that_clash_get_as_many_folders_as_they_need(tree):
    assert names(tree, "a.jsonl", "sub/a.jsonl") == ["sub/a.jsonl", f"{tree.name}/a.jsonl"]
    for folder in ("x/one/data", "y/one/data"):
        (tree / folder).mkdir(parents=True)
        (tree / folder / "p.jsonl").write_text("{}")
    assert names(tree, "x/one/data", "y/one/data/*") == ["x/one/data/p.jsonl", "y/one/data/p.jsonl"]


def test_size_and_version_follow_the_content(tree):
    before = listing(tree, "a.jsonl").files[0]
    (tree / "a.jsonl").write_text("{ }")
    after = listing(tree, "a.jsonl").files[0]
    assert (before.size, after.size) == (2, 3)
    assert before.version != after.version
    assert str(tree) not in str(after.identity())


def test_links(tree):
    (tree / "link.jsonl").symlink_to(tree / "a.jsonl")
    (tree / "sub" / "up").symlink_to(tree)
    assert listing(tree, "link.jsonl").files[0].size == 2
    assert "link.jsonl" in names(tree, "*.jsonl")
    assert listing(tree, "sub").left_out == (".git/x", "up/")
    (tree / "broken.jsonl").symlink_to(tree / "nowhere")
    with pytest.raises(InputError, match=r"broken.jsonl is a link that leads nowhere"):
        listing(tree, "*.jsonl")
    with pytest.raises(RecipeError, match=r"'broken.jsonl', which matches no file: it is a link that leads nowhere"):
        listing(tree, "broken.jsonl")


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("*.json", "it holds"),
        ("a.json", "a.jsonl"),
        ("sup/*.jsonl", "it holds sub"),
        ("nowhere/else/**", "it holds"),
        ("empty", "it is empty"),
    ],
)
def test_a_pattern_without_files(tree, pattern, hint):
    (tree / "empty").mkdir()
    with pytest.raises(RecipeError) as caught:
        listing(tree, "a.jsonl", pattern)
    assert "'wiki'" in caught.value.message
    assert "`paths`" in caught.value.message
    assert repr(pattern) in caught.value.message
    assert str(tree) in caught.value.remedy
    assert hint in caught.value.remedy


def test_unset_variable(tree):
    with pytest.raises(RecipeError, match=r"\$\{NOWHERE\}, which is not set"):
        listing(tree, "${NOWHERE}/*.jsonl")


def test_urls(tree):
    memory = fsspec.filesystem("memory")
    memory.pipe("/listing/x/a b.jsonl", b"{}")
    memory.pipe("/listing/x/y/b.jsonl", b"{}")
    assert names(tree, "memory://listing/x/*.jsonl") == ["a b.jsonl"]
    assert names(tree, "memory://listing/x") == ["a b.jsonl", "y/b.jsonl"]
    assert names(tree, "memory://listing/x/y/b.jsonl") == ["b.jsonl"]
    with pytest.raises(RecipeError, match="it holds"):
        listing(tree, "memory://listing/x/c.jsonl")


def test_members_of_an_archive(tree):
    with zipfile.ZipFile(tree / "one.zip", "w") as archive:
        archive.writestr("in/a.jsonl", "{}")
        archive.writestr("in/b.jsonl", "{}")
    assert names(tree, "zip://in/*.jsonl::one.zip") == ["a.jsonl", "b.jsonl"]
    (tree / "two.zip").write_bytes((tree / "one.zip").read_bytes())
    found = names(tree, "zip://in/*.jsonl::one.zip", "zip://in/*.jsonl::two.zip")
    assert found == ["one.zip/in/a.jsonl", "one.zip/in/b.jsonl", "two.zip/in/a.jsonl", "two.zip/in/b.jsonl"]


def test_unknown_protocol(tree):
    with pytest.raises(RecipeError, match="did you mean 'memory'"):
        listing(tree, "memry://x")


def test_a_saved_dataset_with_splits_asks_for_one(tree):
    (tree / "saved").mkdir()
    (tree / "saved" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(RecipeError) as caught:
        listing(tree, "saved")
    assert "saved/train, saved/test" in caught.value.remedy
