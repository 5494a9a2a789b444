"""The themes. Their colours stay apart when a terminal has only 16 of them."""

from __future__ import annotations

from textual.theme import Theme

THEMES: tuple[Theme, ...] = (
    Theme(
        name="haruon-dark",
        primary="#5fafff",
        secondary="#5f87af",
        accent="#ffaf5f",
        warning="#ffd75f",
        error="#ff6b6b",
        success="#6fd08c",
        foreground="#e8eaed",
        background="#0f1216",
        surface="#14181d",
        panel="#20262e",
        dark=True,
    ),
    Theme(
        name="haruon-light",
        primary="#005faf",
        secondary="#37618e",
        accent="#8f4e00",
        warning="#7a5600",
        error="#b3261e",
        success="#14692f",
        foreground="#16191d",
        background="#ffffff",
        surface="#f7f8fa",
        panel="#e4e8ee",
        dark=False,
    ),
    Theme(
        name="high-contrast",
        primary="#ffff00",
        secondary="#00ffff",
        accent="#00ffff",
        warning="#ffff00",
        error="#ff8080",
        success="#80ff80",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#000000",
        boost="#202020",
        text_alpha=1.0,
        dark=True,
        variables={
            "footer-key-foreground": "#ffff00",
            "block-cursor-foreground": "#000000",
            "block-cursor-background": "#ffff00",
            "border": "#ffffff",
        },
    ),
)

NAMES: tuple[str, ...] = tuple(theme.name for theme in THEMES)


def after(name: str) -> str:
    """The theme that follows `name`; the first one after any other theme."""
    return NAMES[(NAMES.index(name) + 1) % len(NAMES)] if name in NAMES else NAMES[0]
