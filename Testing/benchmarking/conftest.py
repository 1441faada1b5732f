"""Fixtures that several files here share."""

from __future__ import annotations

from ball_head_rig import case, head, scans, template  # noqa: F401 - fixtures
