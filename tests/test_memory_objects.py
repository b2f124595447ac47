import subprocess
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.objects import OBJECTS_FOLDER, ObjectStore
from harness.values import TrialError

BASE = {
    "train.py": b"import model\n",
    "model.py": b"width = 64\n",
    "lib/layers.py": b"x = 1\n",
    "lib.py": b"",
    "lib/deep/ops.py": b"y",
}
WIDER = {**BASE, "model.py": b"width = 128\n"}


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "safe.directory=*", "-C", str(folder / OBJECTS_FOLDER), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def test_git_finds_nothing_to_complain_about(tmp_path):
    store = ObjectStore(tmp_path)
    base = store.commit(BASE, None, "baseline")
    wider = store.commit(WIDER, base, "set-literal@model:width?to=128", time_s=1)
    store.mark_trial(1, wider)
    store.mark_best(wider)
    assert git(tmp_path, "fsck", "--strict", "--full") == ""
    assert git(tmp_path, "for-each-ref", "--format=%(refname) %(objectname)").split() == [
        *("refs/heads/best", wider),
        *("refs/trials/1", wider),
    ]


def test_git_log_shows_the_lineage_and_git_diff_the_edit(tmp_path):
    store = ObjectStore(tmp_path)
    base = store.commit(BASE, None, "baseline")
    wider = store.commit(WIDER, base, "set-literal@model:width?to=128", time_s=1)
    store.mark_best(wider)
    assert git(tmp_path, "log", "--format=%s|%an <%ae>|%at") == (
        "set-literal@model:width?to=128|codegraft <codegraft@localhost>|1\nbaseline|codegraft <codegraft@localhost>|0\n"
    )
    diff = git(tmp_path, "diff", base, wider)
    assert diff.startswith("diff --git a/model.py b/model.py")
    assert diff.endswith("-width = 64\n+width = 128\n")


def test_what_git_reads_is_what_was_committed(tmp_path):
    commit = ObjectStore(tmp_path).commit(BASE, None, "baseline")
    assert git(tmp_path, "ls-tree", "-r", "--name-only", commit).split() == sorted(BASE)
    assert all(git(tmp_path, "show", f"{commit}:{path}").encode() == data for path, data in BASE.items())


def test_housekeeping_by_git_leaves_the_store_readable(tmp_path):
    store = ObjectStore(tmp_path)
    commit = store.commit(BASE, None, "baseline")
    git(tmp_path, "gc", "--quiet", "--prune=now")
    assert store.files(commit) == BASE
    store.mark_best(store.commit(WIDER, commit, "wider"))
    assert git(tmp_path, "fsck", "--strict") == ""


def test_without_the_precious_flag_git_packs_the_objects_away(tmp_path):
    store = ObjectStore(tmp_path)
    commit = store.commit(BASE, None, "baseline")
    store.mark_best(commit)
    config = tmp_path / OBJECTS_FOLDER / "config"
    config.write_text(config.read_text().replace("preciousObjects = true", "preciousObjects = false"))
    git(tmp_path, "gc", "--quiet", "--prune=now")
    with pytest.raises(TrialError, match="cannot be read"):
        store.files(commit)


def test_files_and_parents_come_back(tmp_path):
    store = ObjectStore(tmp_path)
    base = store.commit(BASE, None, "baseline")
    wider = store.commit(WIDER, base, "wider")
    assert store.files(base) == BASE
    assert store.files(wider) == WIDER
    assert store.parent(wider) == base
    assert store.parent(base) is None
    assert ObjectStore(tmp_path).files(wider) == WIDER


def test_the_same_history_has_the_same_ids_everywhere(tmp_path):
    ids = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        store = ObjectStore(folder)
        base = store.commit(BASE, None, "baseline")
        ids.append((base, store.commit(dict(reversed(WIDER.items())), base, "wider", time_s=7)))
    assert ids[0] == ids[1]
    assert ids[0][1] != ObjectStore(tmp_path / "a").commit(WIDER, ids[0][0], "wider", time_s=8)


def test_committing_again_writes_nothing(tmp_path):
    store = ObjectStore(tmp_path)
    commit = store.commit(BASE, None, "baseline")
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert store.commit(BASE, None, "baseline") == commit
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == written


def test_an_interrupted_commit_is_completed_by_the_next_one(tmp_path):
    store = ObjectStore(tmp_path)
    commit = store.commit(BASE, None, "baseline")
    objects = sorted(path for path in (tmp_path / OBJECTS_FOLDER / "objects").rglob("*") if path.is_file())
    for path in objects[::2]:
        path.rename(path.with_name(f"tmp_obj_{path.name}"))
    (tmp_path / OBJECTS_FOLDER / "HEAD").unlink()
    assert store.commit(BASE, None, "baseline") == commit
    assert store.files(commit) == BASE
    assert not list(tmp_path.rglob("tmp_obj_*"))
    store.mark_best(commit)
    assert git(tmp_path, "fsck", "--strict") == ""


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.lists(st.text("ab.é- ", min_size=1, max_size=3), min_size=1, max_size=3).map("/".join),
        st.binary(),
        max_size=6,
    )
)
def test_any_tree_of_files_is_refused_or_comes_back_through_git(tmp_path, files):
    store = ObjectStore(tmp_path)
    try:
        commit = store.commit(files, None, "any")
    except TrialError:
        return
    assert store.files(commit) == files
    listed = git(tmp_path, "ls-tree", "-r", "-z", "--name-only", commit).split("\0")
    assert sorted(listed[:-1]) == sorted(files)


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "../up.py", "a/../b", "a//b", "./a", ".git/config", "a/.GIT/hooks", "a/", "a\0b"]
)
def test_a_path_outside_the_root_is_refused(tmp_path, path):
    with pytest.raises(TrialError, match="cannot store"):
        ObjectStore(tmp_path).commit({path: b""}, None, "bad")


def test_a_file_that_is_also_a_folder_is_refused(tmp_path):
    with pytest.raises(TrialError, match="'lib' is a file and a folder"):
        ObjectStore(tmp_path).commit({"lib": b"", "lib/a.py": b""}, None, "bad")


def test_a_flipped_bit_is_found(tmp_path):
    store = ObjectStore(tmp_path)
    commit = store.commit({"a.py": b"x = 1\n"}, None, "baseline")
    blob = git(tmp_path, "rev-parse", f"{commit}:a.py").strip()
    path = tmp_path / OBJECTS_FOLDER / "objects" / blob[:2] / blob[2:]
    path.chmod(0o644)
    path.write_bytes(zlib.compress(b"blob 6\0x = 2\n"))
    with pytest.raises(TrialError, match=f"object {blob} is damaged"):
        store.files(commit)
    path.write_bytes(b"\0\0")
    with pytest.raises(TrialError, match=f"object {blob} cannot be read"):
        store.files(commit)


def test_an_id_that_is_no_commit_here_is_one_line(tmp_path):
    store = ObjectStore(tmp_path)
    commit = store.commit(BASE, None, "baseline")
    tree = git(tmp_path, "rev-parse", f"{commit}^{{tree}}").strip()
    for unknown, said in (("0" * 40, "cannot be read"), ("HEAD", "no object id"), (tree, "is damaged or no commit")):
        for ask in (store.files, store.parent, store.mark_best, lambda id_: store.commit(BASE, id_, "child")):
            with pytest.raises(TrialError, match=said) as caught:
                ask(unknown)
            assert "\n" not in str(caught.value)
    assert ObjectStore(tmp_path / "none").parent is not None
    with pytest.raises(TrialError, match="cannot be read"):
        ObjectStore(tmp_path / "none").files(commit)


def test_a_full_disk_is_one_line(tmp_path):
    (tmp_path / OBJECTS_FOLDER).write_bytes(b"")
    with pytest.raises(TrialError, match="cannot be written"):
        ObjectStore(tmp_path).commit(BASE, None, "baseline")
