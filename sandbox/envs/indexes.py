"""Where packages are looked for, and a login that only the installer sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from sandbox.envs.dependencies import refuse_secrets
from sandbox.job import Secret


@dataclass(frozen=True)
class Indexes:
    """Package indexes, as pip and uv both understand them.

    Args:
        url: Index instead of the installer's own.
        extra_urls: Indexes besides.
        find_links: Folders or pages of packages besides.
        credentials: ``user:password`` for ``url``.
    """

    url: str | None
    extra_urls: Sequence[str]
    find_links: Sequence[str]
    credentials: Secret | None

    def check(self) -> None:
        """Raises ValueError: an address holds a password, or there is a login and nothing that it is for."""
        refuse_secrets("index_url", [self.url or ""])
        refuse_secrets("extra_index_urls", self.extra_urls)
        refuse_secrets("find_links", self.find_links)
        if self.credentials and not (self.url or "").startswith(("https://", "http://")):
            raise ValueError(
                f"index_credentials: are for an index_url of https://…, given {self.url}"
            )

    def identity(self) -> list[object]:
        """What tells one from another, without the login."""
        return [self.url, [*self.extra_urls], [*self.find_links]]

    def options(self) -> list[str]:
        """Options for the installer."""
        extra = [part for url in self.extra_urls for part in ("--extra-index-url", url)]
        return extra + [part for place in self.find_links for part in ("--find-links", place)]

    def variables(self) -> dict[str, str]:
        """Variables for the installer: the index with its login, because arguments stand in logs."""
        if self.url is None:
            return {}
        url = self.url
        if self.credentials:
            login = ":".join(quote(part, safe="") for part in self.credentials.split(":", 1))
            parts = urlsplit(url)
            url = parts._replace(netloc=f"{login}@{parts.netloc}").geturl()
        return {"PIP_INDEX_URL": url, "UV_DEFAULT_INDEX": url}

    def hidden(self, text: str) -> str:
        """The text with stars in place of the password: installers repeat an address that is malformed."""
        for secret in self._secrets():
            text = text.replace(secret, "*" * len(secret))
        return text

    def hide(self, log_path: Path, began: int) -> None:
        """Hide the password in a log from byte ``began`` on; whoever follows the log keeps their place."""
        if not self.credentials:
            return
        with log_path.open("r+b") as file:
            file.seek(began)
            text = file.read()
            for secret in self._secrets():
                text = text.replace(secret.encode(), b"*" * len(secret.encode()))
            file.seek(began)
            file.write(text)

    def _secrets(self) -> list[str]:
        credentials = self.credentials or ""
        password = credentials.partition(":")[2] or credentials
        return [password, quote(password, safe="")] if password else []
