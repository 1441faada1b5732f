"""The pictures of the panel's states: right size, small files, each state different from the others."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tools import panel_states


@pytest.fixture(scope="module")
def pictures():
    return {}


@pytest.mark.parametrize("name", ["empty", "running", "preprocessed", "failed", "not-installed"])
def test_state_is_drawn_into_a_small_file(host, tmp_path, pictures, name):
    picture = panel_states.draw(host, panel_states.STATES[name])
    assert picture.shape[1:] == (panel_states.PANEL_WIDTH, 3)
    panel_states.write(picture, tmp_path / "state.png")
    assert (tmp_path / "state.png").stat().st_size < 150_000
    with Image.open(tmp_path / "state.png") as written:
        difference = np.abs(np.asarray(written.convert("RGB"), int) - picture).mean()
    assert difference < 3  # the palette keeps the look
    assert all(picture.shape != other.shape or (picture != other).any() for other in pictures.values())
    pictures[name] = picture


def test_sheet_shows_all_states_at_half_size():
    one, two = np.zeros((200, 400, 3), np.uint8), np.full((300, 400, 3), 120, np.uint8)
    sheet = panel_states.contact_sheet({"one": one, "two": two})
    assert sheet.shape == (150 + panel_states.CAPTION, 2 * 208, 3)
    assert (sheet[panel_states.CAPTION :, 208:408] == 120).all()
