import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from headwater.config import PACKAGED, load, read_packaged
from headwater.errors import InvalidInput
from headwater.quota.tree import parse_tree


def a_file(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_the_packaged_file_names_every_key() -> None:
    settings = load(environment={})
    assert settings.http.port == 8000
    assert settings.leases.lease_lifetime_s == 60.0
    assert set(settings.origins().values()) == {"default"}
    assert set(settings.origins()) == set(settings.flat())


def test_a_later_source_wins_and_says_so(tmp_path: Path) -> None:
    file = a_file(tmp_path, "gpus = 2\n[http]\nport = 1111\n[serve]\nport = 2222\n[kafka]\nport = 3333\n")
    environment = {"HEADWATER_HTTP__PORT": "4444", "HEADWATER_SERVE__PORT": "5555"}
    settings = load(file, environment=environment, flags={"serve.port": 6666, "gpus": None})
    assert (settings.gpus, settings.http.port, settings.serve.port, settings.kafka.port) == (2, 4444, 6666, 3333)
    origins = settings.origins()
    assert origins["kafka.port"] == origins["gpus"] == str(file)
    assert origins["http.port"] == "environment HEADWATER_HTTP__PORT"
    assert origins["serve.port"] == "flag --port"
    assert origins["leases.lease_lifetime_s"] == "default"


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    file = a_file(tmp_path, "gpus = 3\n")
    assert load(environment={"HEADWATER_CONFIG": str(file)}).gpus == 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[http]\nprot = 1\n", r"mine\.toml sets http\.prot, which is not a setting\. Did you mean 'port'\?"),
        ("[htpp]\nport = 1\n", r"sets htpp, which is not a setting\. Did you mean 'http'\?"),
        ("http = 8000\n", r"sets http to 8000, but it is a section\. Write \[http\]"),
        ("[http]\nport = 'x'\n", r"http\.port = 'x' \(.*mine\.toml\) does not fit"),
        ("[leases]\nlease_lifetime_s = 0\n", r"leases\.lease_lifetime_s = 0 .* greater than 0"),
        ("gpus = \n", r"mine\.toml is not TOML"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_key_value_and_origin(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        load(a_file(tmp_path, text), environment={})


def test_an_unknown_variable_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"HEADWATER_GPU sets gpu, .* Did you mean 'gpus'\?"):
        load(environment={"HEADWATER_GPU": "1"})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"there is no configuration file .*none\.toml"):
        load(tmp_path / "none.toml", environment={})


def test_a_variable_that_is_no_toml_is_text() -> None:
    assert load(environment={"HEADWATER_KAFKA__BOOTSTRAP": "127.0.0.1:9092"}).kafka.bootstrap == "127.0.0.1:9092"


def test_a_quota_tree_replaces_the_packaged_one_whole(tmp_path: Path) -> None:
    settings = load(a_file(tmp_path, "[quota.cohort.mine.projects.only]\ngpu = 1\n"), environment={})
    assert settings.quota == {"cohort": {"mine": {"projects": {"only": {"gpu": 1}}}}}
    assert [key for key in settings.origins() if key.startswith("quota")] == ["quota.cohort.mine.projects.only.gpu"]


def test_the_seeded_cohort_holds_the_machines_gpus() -> None:
    seed = load(environment={}, flags={"gpus": 4}).quota_seed()
    assert seed["cohort"]["local"]["gpu"] == 4
    assert set(seed["cohort"]["local"]["projects"]) == {"flights", "eta"}


@pytest.mark.parametrize("gpus", [0, 1, 8])
def test_the_seed_is_a_tree_on_any_machine(gpus: int) -> None:
    assert set(parse_tree(load(environment={}, flags={"gpus": gpus}).quota_seed()).projects) == {"flights", "eta"}


def test_settings_cannot_be_changed() -> None:
    settings = load(environment={})
    with pytest.raises(ValidationError, match="frozen"):
        settings.gpus = 7


def test_the_cluster_file_sets_only_what_exists() -> None:
    assert (
        load(PACKAGED / "cluster.toml", environment={}).kafka.bootstrap
        == read_packaged("cluster")["kafka"]["bootstrap"]
    )


def test_every_key_is_read_by_code(repo_root: Path) -> None:
    code = "\n".join(path.read_text() for path in (repo_root / "platform").rglob("*.py") if path.name != "config.py")
    keys = [key for key in load(environment={}).flat() if not key.startswith("quota.")]
    assert [key for key in keys if not re.search(rf"\.{key.split('.')[-1]}\b", code)] == []


def test_topics_of_others_are_named_with_their_format_and_ours_are_none() -> None:
    name = "HEADWATER_EVENTS__FOREIGN_TOPICS"
    assert load(environment={name: '["shop.orders:json"]'}).events.foreign_topics == ("shop.orders:json",)
    for wrong in ("shop.orders", "shop.orders:avro", "shop.orders:xml", "headwater.events:json"):
        with pytest.raises(InvalidInput, match=r"foreign_topics"):
            load(environment={name: f'["{wrong}"]'})
