"""Package indexes, and a login that only the installer sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from sandbox.envs.operands import operand
from sandbox.job import Secret


@dataclass(frozen=True)
class Indexes:
    """Package indexes, in the terms that pip and uv share.

    Args:
        url: Index instead of the installer's own.
        extra_urls: Further indexes.
        find_links: Further folders or pages of packages.
        credentials: ``user:password`` for ``url``.
    """

    url: str | None
    extra_urls: Sequence[str]
    find_links: Sequence[str]
    credentials: Secret | None = field(repr=False)

    def identity(self) -> list[object]:
        """Return everything but the login, for the name of an env."""
        return [self.url, [*self.extra_urls], [*self.find_links]]

    def options(self) -> list[str]:
        """Return the installer's options for the indexes besides the first."""
        # Each with its value in one argument, so that no value is read as an option.
        extra = [f"--extra-index-url={operand('extra_index_urls', url)}" for url in self.extra_urls]
        return extra + [f"--find-links={operand('find_links', place)}" for place in self.find_links]

    def variables(self) -> dict[str, str]:
        """Return the installer's variables for the first index and its login.

        Variables, because arguments appear in logs and in the list of processes.
        """
        if self.url is None:
            return {}
        url = operand("index_url", self.url)
        if self.credentials:
            # A password may hold characters such as @ and /, which end a login.
            login = ":".join(quote(part, safe="") for part in self.credentials.split(":", 1))
            parts = urlsplit(url)
            url = parts._replace(netloc=f"{login}@{parts.netloc}").geturl()
        return {"PIP_INDEX_URL": url, "UV_DEFAULT_INDEX": url}

    def hide_in_text(self, text: str) -> str:
        """Replace the password by stars: installers print a malformed URL in full."""
        for secret in self._secrets():
            text = text.replace(secret, "*" * len(secret))
        return text

    def hide_in_log(self, log_path: Path, start: int) -> None:
        """Replace the password by stars in a log from byte ``start`` on.

        The length stays the same, so that a reader who follows the log keeps its position.
        """
        if not self.credentials:
            return
        with log_path.open("r+b") as file:
            file.seek(start)
            text = file.read()
            for secret in self._secrets():
                text = text.replace(secret.encode(), b"*" * len(secret.encode()))
            file.seek(start)
            file.write(text)

    def _secrets(self) -> list[str]:
        credentials = self.credentials or ""
        password = credentials.partition(":")[2] or credentials
        return [password, quote(password, safe="")] if password else []
