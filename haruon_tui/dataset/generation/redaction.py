"""Takes a secret out of a text by its value, however it got in."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

SHOWN = "[key]"


class Redaction:
    """Knows the secret of this process and hides it in what is written or shown."""

    def __init__(self, secret: str | None) -> None:
        """None where there is no secret. Spellings that a server or a library may give it are
        hidden as well: quoted, as JSON, in base64."""
        written = (
            {
                secret,
                quote(secret, safe=""),
                json.dumps(secret)[1:-1],
                json.dumps(secret, ensure_ascii=False)[1:-1],
                base64.b64encode(secret.encode()).decode(),
            }
            if secret
            else set()
        )
        self._forms = sorted(written, key=len, reverse=True)

    def text(self, text: str) -> str:
        """`text` without the secret."""
        for form in self._forms:
            text = text.replace(form, SHOWN)
        return text

    def value(self, value: Any) -> Any:
        """A JSON value with every text in it redacted, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value
