"""`dj.config`."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

import lodestore as dj
from lodestore import settings

# Settings have nothing to do with the database; what the test server needs would be in the way.
pytestmark = pytest.mark.sqlite


def reload():
    settings._global = None
    return dj.config


def test_item_attribute_and_get_are_one_setting():
    dj.config["display.limit"] = 5
    assert dj.config.display.limit == dj.config["display.limit"] == dj.config.get("display.limit") == 5
    dj.config.display.limit = 7
    assert dj.config["display.limit"] == 7
    dj.config.safemode = True
    assert dj.config["safemode"] is True


def test_values_are_coerced_on_assignment():
    dj.config["display.limit"] = "77"
    assert dj.config["display.limit"] == 77
    dj.config["safemode"] = "no"
    assert dj.config["safemode"] is False


def test_bad_values_are_value_errors():
    with pytest.raises(ValueError):
        dj.config["display.limit"] = "many"
    with pytest.raises(ValueError):
        dj.config.loglevel = "debug"
    assert dj.config["display.limit"] == 12


def test_unknown_keys():
    with pytest.raises(KeyError, match="safemode"):
        dj.config["safemod"]
    with pytest.raises(KeyError):
        dj.config["safemod"] = True
    with pytest.raises(ValueError):
        dj.config["display.limmit"] = 3
    with pytest.raises(AttributeError):
        dj.config.no_such_setting  # noqa: B018
    with pytest.raises(AttributeError):
        dj.config.display.no_such_setting  # noqa: B018
    assert dj.config.get("safemod") is None
    assert dj.config.get("safemod", 3) == 3
    assert "safemode" in dj.config and "safemod" not in dj.config


def test_delete_resets_to_the_default():
    dj.config["display.limit"] = 3
    del dj.config["display.limit"]
    assert dj.config["display.limit"] == 12


def test_passwords_are_masked():
    dj.config["database.password"] = "hunter2"
    assert dj.config["database.password"] == "hunter2"
    assert dj.config.database.password.get_secret_value() == "hunter2"
    for text in (repr(dj.config), repr(dj.config.database), str(dj.config.database.password), str(dj.config.items())):
        assert "hunter2" not in text


def test_override_restores_even_after_an_exception():
    with pytest.raises(RuntimeError), dj.config.override(safemode=True, display__limit=3, no_such=1):
        assert dj.config.safemode is True and dj.config.display.limit == 3
        raise RuntimeError
    assert dj.config.safemode is False and dj.config.display.limit == 12


def test_stores_are_a_live_mapping(tmp_path):
    dj.config.stores["main"] = {"protocol": "file", "location": str(tmp_path / "main")}
    dj.config.stores["default"] = "main"
    assert dj.config["stores.main.location"] == str(tmp_path / "main")
    assert dj.config["stores.default"] == dj.config.object_storage.default == "main"
    dj.config.stores["main"]["subfolding"] = [2, 2]
    assert dj.config.get_store_spec("main")["subfolding"] == [2, 2]
    assert dj.config.get_store_spec() == dj.config.get_object_store_spec() == dj.config.get_store_spec("main")
    del dj.config.stores["main"]
    assert "main" not in dj.config.stores


def test_both_spellings_of_stores_are_one_mapping(tmp_path):
    dj.config.object_storage.stores["mystore"] = {"protocol": "file", "location": str(tmp_path)}
    assert dj.config.stores["mystore"]["location"] == str(tmp_path)
    assert dj.config.get_object_store_spec("mystore")["protocol"] == "file"


def test_assigning_stores_replaces_them(tmp_path):
    dj.config.stores["a"] = {"protocol": "file", "location": str(tmp_path / "a")}
    dj.config.stores = {"default": "b", "b": {"protocol": "file", "location": str(tmp_path / "b")}}
    assert "a" not in dj.config.stores
    assert dj.config.stores["default"] == "b"


def test_store_secrets_are_masked(tmp_path):
    dj.config.stores["cloud"] = {
        "protocol": "s3",
        "endpoint": "e",
        "bucket": "b",
        "location": "l",
        "access_key": "AKIA",
        "secret_key": "swordfish",
    }
    assert "swordfish" not in repr(dj.config.stores) + repr(dj.config) + repr(dj.config.stores["cloud"])
    assert dj.config.stores["cloud"]["secret_key"] == "swordfish"


def test_wrong_store_specifications_are_refused(tmp_path):
    dj.config.stores["bad"] = {"protocol": "file"}
    with pytest.raises(dj.DataJointError, match="location"):
        dj.config.get_store_spec("bad")
    with pytest.raises(dj.DataJointError, match="nowhere"):
        dj.config.get_store_spec("nowhere")
    with pytest.raises(dj.DataJointError):
        dj.config.stores["worse"] = 3


def test_file_is_found_in_a_parent_directory(tmp_path, monkeypatch):
    (tmp_path / "datajoint.json").write_text(json.dumps({"display": {"limit": 4}, "database.name": "x.db"}))
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    config = reload()
    assert config["display.limit"] == 4
    assert config["database.name"] == "x.db"
    assert config.origin("display.limit").endswith("datajoint.json")
    assert settings.find_config_file() == tmp_path / "datajoint.json"


def test_object_storage_block_of_a_file_merges_into_stores(tmp_path):
    spec = {"protocol": "file", "location": str(tmp_path / "x")}
    (tmp_path / "datajoint.json").write_text(json.dumps({"object_storage": {"stores": {"mystore": spec}}}))
    assert reload().stores["mystore"]["location"] == str(tmp_path / "x")


def test_guarded_environment_beats_the_file_and_unguarded_does_not(tmp_path, monkeypatch):
    (tmp_path / "datajoint.json").write_text(json.dumps({"database.host": "file", "safemode": False}))
    monkeypatch.setenv("DJ_HOST", "env")
    monkeypatch.setenv("DJ_SAFEMODE", "true")
    config = reload()
    assert config["database.host"] == "env"
    assert config["safemode"] is False


def test_secrets_fill_gaps_only(tmp_path):
    (tmp_path / "datajoint.json").write_text(json.dumps({"database.user": "me"}))
    secrets = tmp_path / ".secrets"
    secrets.mkdir()
    (secrets / "database.user").write_text("someone\n")
    (secrets / "database.password").write_text("pw\n")
    config = reload()
    assert config["database.user"] == "me"
    assert config["database.password"] == "pw"
    assert settings.find_secrets_dir(tmp_path / "datajoint.json") == secrets
    assert settings.read_secret_file(secrets, "database.user") == "someone"
    assert settings.read_secret_file(secrets, "nothing") is None


def test_a_broken_file_warns_and_load_raises(tmp_path):
    (tmp_path / "datajoint.json").write_text("{nonsense")
    settings._global = None
    with pytest.warns(UserWarning):
        dj.config["safemode"]
    with pytest.raises(dj.DataJointError):
        dj.config.load(tmp_path / "datajoint.json")
    with pytest.raises(FileNotFoundError):
        dj.config.load(tmp_path / "missing.json")


def test_wrong_stores_in_the_environment_are_value_errors(monkeypatch):
    monkeypatch.setenv("DJ_STORES", "[1, 2]")
    settings._global = None
    with pytest.raises(ValueError):
        dj.config["safemode"]


def test_save_and_load_round_trip_without_secrets(tmp_path):
    dj.config["display.limit"] = 9
    dj.config["database.password"] = "hunter2"
    path = dj.config.save(tmp_path / "saved.json")
    assert "hunter2" not in path.read_text()
    dj.config["display.limit"] = 10
    dj.config.load(path)
    assert dj.config["display.limit"] == 9


def test_template_is_private_and_never_overwrites(tmp_path):
    path = dj.config.save_template(tmp_path / "datajoint.json", minimal=False)
    assert isinstance(path, Path)
    secrets = tmp_path / ".secrets"
    assert stat.S_IMODE(os.stat(secrets).st_mode) == 0o700
    assert (secrets / ".gitignore").read_text().strip() == "*"
    with pytest.raises(FileExistsError):
        dj.config.save_template(tmp_path / "datajoint.json")


def test_thread_safe_mode_refuses_process_wide_state(monkeypatch, tmp_path):
    monkeypatch.setenv("DJ_THREAD_SAFE", "Yes")
    for use in (
        lambda: dj.config.safemode,
        dj.conn,
        lambda: dj.Schema("x"),
        dj.list_schemas,
        lambda: dj.FreeTable("a.b"),
    ):
        with pytest.raises(dj.ThreadSafetyError):
            use()
    assert "thread-safe" in repr(dj.config)
    instance = dj.Instance(backend="sqlite", database__name=str(tmp_path / "i.db"))
    assert instance.Schema("own").exists


def test_instances_have_their_own_settings(tmp_path):
    instance = dj.Instance(display__limit=3, database__name=str(tmp_path / "i.db"))
    assert instance.config.display.limit == 3
    assert dj.config.display.limit == 12
    with pytest.raises(TypeError):
        dj.Instance(no_such_option=1)


def test_completion_lists_the_keys():
    assert "safemode" in dj.config._ipython_key_completions_()
    assert "display" in dir(dj.config)


def test_every_key_that_is_listed_has_a_value():
    assert "stores.local.location" in dj.config.keys()
    assert [key for key in dj.config.keys() if key not in dj.config] == []
    assert dj.config["stores.local.protocol"] == "file"
