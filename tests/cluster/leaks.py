"""Looks for secrets and result URLs wherever a cluster writes, but where they belong."""

import re
from pathlib import Path

from cryptography.fernet import Fernet

from scripts.cluster import AirflowCluster

# XComs hold result URLs because the next task needs them, and Airflow shows the operator's argument that they become.
_THEIR_PLACE = ("xcom", "rendered_task_instance_fields")
_SIGNED = r"[?&]sign=|Signature=[0-9a-zA-Z]|AWS4-HMAC"
_ENCRYPTED = re.compile(r"gAAAA[\w-]{60,}={0,2}")
_BYTES = re.compile(r"\\\\x((?:[0-9a-f]{2})+)")


class Search:
    """A search for a secret key and for signed URLs.

    :param cluster: whose logs, metadata database and queue are searched.
    """

    def __init__(self, cluster: AirflowCluster, secret_key: str) -> None:
        self._cluster = cluster
        self._wanted = re.compile(f"{re.escape(secret_key)}|{_SIGNED}")

    def logs(self) -> list[str]:
        """Where something was found in a log, or in what Redis keeps: file, and what stands around it."""
        return [
            f"{path.name}: {found}"
            for path in self._cluster.files()
            for found in self._found(path.read_text(errors="replace"))
        ]

    def database(self) -> list[str]:
        """What was found in the metadata database: also in encrypted values and in binary ones."""
        text = self._cluster.dump(*_THEIR_PLACE)
        key = Fernet(self._cluster.fernet_key)
        inner = [key.decrypt(token.encode()).decode() for token in _ENCRYPTED.findall(text)]
        inner += [bytes.fromhex(digits).decode(errors="replace") for digits in _BYTES.findall(text)]
        return [found for each in (text, *inner) for found in self._found(each)]

    def _found(self, text: str) -> list[str]:
        return [text[max(0, match.start() - 60) : match.end() + 20] for match in self._wanted.finditer(text)]


def plant(cluster: AirflowCluster, log: Path, secret_key: str) -> None:
    """Write what must be found: the key into a log and, encrypted, into the database; there a signed URL, too."""
    log.write_text(f"a log of Airflow with {secret_key} in it\n")
    cluster.api("POST", "/variables", {"key": "planted", "value": secret_key})
    cluster.sql("insert into log (dttm, event, extra) values (now(), 'planted', 'http://127.0.0.1/files/a.wav?sign=a')")


def remove_planted(cluster: AirflowCluster, log: Path) -> None:
    """Take away what :func:`plant` wrote."""
    log.unlink()
    cluster.api("DELETE", "/variables/planted")
    cluster.sql("delete from log where event = 'planted'")
