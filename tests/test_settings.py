"""haruon.toml: what is wrong is named with its line, key and the nearest right one."""

from __future__ import annotations

import pytest

from haruon_tui.errors import ConfigurationError
from haruon_tui.profiles import PROFILES, RECIPES
from haruon_tui.settings import build, commented_toml, default_settings, load_settings


@pytest.mark.parametrize("profile", PROFILES)
def test_the_written_file_means_the_profile_with_every_key_uncommented(profile, tmp_path):
    text = commented_toml(profile)
    bare = tmp_path / "bare.toml"
    bare.write_text(text)
    full = tmp_path / "full.toml"
    full.write_text(
        "\n".join(
            line[1:] if line.startswith("#") and not line.startswith("# ") else line
            for line in text.splitlines()
        )
    )
    assert load_settings(bare) == load_settings(full) == default_settings(profile)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("profile", PROFILES)
def test_every_recipe_is_whole_in_every_profile(profile, recipe):
    settings = build({"profile": profile, "train": {"recipe": recipe}})
    assert settings.train.recipe == recipe


def test_a_key_overrides_its_recipe_and_the_recipe_its_profile():
    settings = build({"profile": "tiny", "train": {"recipe": "guide-lora", "epochs": 9}})
    assert settings.train.epochs == 9
    assert settings.train.learning_rate == 1e-4
    assert settings.train.max_length == PROFILES["tiny"]["train"]["max_length"]


@pytest.mark.parametrize(
    ("text", "where", "what", "do"),
    [
        ('profile = "tiny"\n[train]\nlerning_rate = 1\n', ":3 (train.lerning_rate)",
         "unknown key 'lerning_rate'", "did you mean 'learning_rate'?"),
        ("[trian]\nrank = 1\n", ":1 (trian)", "unknown key 'trian'", "did you mean 'train'?"),
        ('profile = "tinny"\n', ":1 (profile)", "there is no profile 'tinny'",
         "did you mean 'tiny'?"),
        ('[train]\n\nrecipe = "guide-lra"', ":3 (train.recipe)", "there is no recipe 'guide-lra'",
         "did you mean 'guide-lora'?"),
        ("[train]\nepochs = -1", ":2 (train.epochs)", "-1 is not allowed here", None),
        ('[gguf]\nquantize = ["Q9"]', ":2 (gguf.quantize", "'Q9' is not allowed here", None),
        ("train = 3", ":1 (train)", "must be a section", None),
        ("[train]\nrank = = 2", ":2", "is not valid TOML", None),
    ],
)  # fmt: skip
def test_a_wrong_file_names_line_key_and_nearest_name(tmp_path, text, where, what, do):
    file = tmp_path / "haruon.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(file)
    assert where in (caught.value.where or "")
    assert what in caught.value.what
    if do:
        assert caught.value.do == do


def test_a_file_that_is_no_text_is_named(tmp_path):
    file = tmp_path / "haruon.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="cannot be read") as caught:
        load_settings(file)
    assert caught.value.where == str(file)
