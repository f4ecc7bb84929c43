"""Whether the tests hold the promises: the code is broken once for each, in a copy, and the tests named here must fail.

    .venv/bin/python -m scripts.mutations [WORD ...]

Runs those whose promise has one of the words in it, or all. One line of JSON each goes to standard output; ends with 1
where the tests of a promise still pass, or where the code that is to be broken is not there any more.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "airflow_provider_mps"


@dataclass(frozen=True)
class Mutation:
    """A way to break a promise.

    :param path: of the module, in the package.
    :param old: what stands there, once.
    :param new: what breaks the promise.
    :param tests: what must fail then, as pytest's command line has it.
    """

    promise: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS = (
    Mutation(
        "A create that may have run is not sent again",
        "api/codes.py",
        "        Repeat.NEVER,\n    )\n    UNKNOWN",
        "        Repeat.BACK_OFF,\n    )\n    UNKNOWN",
        ("tests/api/test_errors.py", "-k", "test_trouble_on_the_way_repeats_a_read"),
    ),
    Mutation(
        "A retry goes on with the task that is paid for",
        "api/paid_once.py",
        "        return AskAgain(task_id)",
        "        return Create(Because.FIRST)",
        ("tests/promises/test_memory.py", "-k", "test_what_fails_after_execute and Audio"),
    ),
    Mutation(
        "A create in doubt is reported before it is paid again",
        "api/paid_once.py",
        "    if reported and earlier.again is Again.CLEAR:",
        "    if earlier.again is Again.CLEAR:",
        ("tests/api/test_paid_once.py",),
    ),
    Mutation(
        "What is sent is remembered before it leaves",
        "execution/memory.py",
        "            self._repeatedly(self._place.begin, entry)",
        "            pass",
        ("tests/promises/test_memory.py", "-k", "test_where_the_sending_cannot_be_noted and Audio"),
    ),
    Mutation(
        "Polls stay below the account's limit",
        "api/waiting/pace.py",
        "    SHARE = 0.97",
        "    SHARE = 1.5",
        ("tests/api/test_polling.py", "-k", "test_calls_leave_evenly"),
    ),
    Mutation(
        "A create that is refused for want of room waits, and is no error",
        "api/codes.py",
        '    "RequestLimitExceeded": Code(Failure.THROTTLED),',
        '    "RequestLimitExceeded": Code(Failure.FINAL),',
        ("tests/promises/test_room.py", "-k", "test_refusals_are_waited_out and Audio"),
    ),
    Mutation(
        "A deadline fires in time in the triggerer, too",
        "triggers/mps.py",
        "                deadline=self.ends_at,\n",
        "                deadline=None,\n",
        ("tests/triggers/test_mps_task_trigger.py", "-k", "test_a_deadline"),
    ),
    Mutation(
        "Trouble is never silent",
        "api/failure_log.py",
        '        log.warning("%s%s", line',
        '        log.debug("%s%s", line',
        ("tests/promises/test_trouble.py", "-k", "test_a_read_by_the_hook"),
    ),
    Mutation(
        "No signature of a URL stands in a message",
        "api/redaction.py",
        "    return _shortened(text, limit) or",
        "    return _shortened(_one_line(str(value)), limit) or",
        ("tests/api/test_redaction.py", "-k", "test_texts_of_the_service"),
    ),
    Mutation(
        "A bad connection fails by the field's name, before anything is sent",
        "hooks/connection.py",
        '        raise InvalidConnectionError("must be a number", field=name)',
        "        return default",
        ("tests/hooks/test_connection.py", "-k", "cannot_be_used_is_named"),
    ),
    Mutation(
        "What no retry can help is not retried",
        "errors.py",
        "        forms = _RETRIED if error.retry_helps else _NOT_RETRIED",
        "        forms = _RETRIED",
        ("tests/promises/test_memory.py", "-k", "test_a_doubt_is_raised and Audio"),
    ),
    Mutation(
        "Nothing of an answer leads out of the folder that files are kept in",
        "transfers/sources.py",
        'c in "/\\\\" or not c.isprintable()',
        "not c.isprintable()",
        ("tests/transfers",),
    ),
    Mutation(
        "A trigger's event holds no URL",
        "triggers/mps.py",
        'f"{family.title} task {self.mps_task_id} is done"',
        'f"{family.title} task {self.mps_task_id} is done {status.urls}"',
        ("tests/triggers/test_mps_task_trigger.py", "-k", "no_url"),
    ),
    Mutation(
        "Parsing a DAG imports no SDK",
        "operators/mps.py",
        "from airflow_provider_mps.api.codes import is_read\n",
        "import tencentcloud.common.credential\nfrom airflow_provider_mps.api.codes import is_read\n",
        ("tests/test_imports.py",),
    ),
    Mutation(
        "The emulator takes the keys for what they are",
        "emulator/signature.py",
        "    if not hmac.compare_digest(credential.token.encode(), ",
        "    if not hmac.compare_digest(b'', b'') and (credential, ",
        ("tests/emulator/test_signature.py",),
    ),
)


def copied(folder: Path) -> Path:
    """A copy of what git knows of this repository, as it is now."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def passes(folder: Path, tests: tuple[str, ...]) -> bool:
    """Whether tests pass in a copy; RuntimeError where pytest ran none."""
    # From there, `python -m pytest` imports the copy.
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{' '.join(tests)} did not run: {(done.stdout + done.stderr)[-500:]}")
    return not done.returncode


def caught(mutation: Mutation, folder: Path) -> bool:
    """Whether its tests pass as the code is, and fail on the code that is broken.

    :raises RuntimeError: the code to break is not there, or its tests do not pass as it is.
    """
    module = folder / PACKAGE / mutation.path
    code = module.read_text()
    if code.count(mutation.old) != 1:
        raise RuntimeError(f"{mutation.path} has {code.count(mutation.old)} times what is to be broken")
    if not passes(folder, mutation.tests):
        raise RuntimeError("its tests fail on the code as it is")
    module.write_text(code.replace(mutation.old, mutation.new))
    try:
        return not passes(folder, mutation.tests)
    finally:
        module.write_text(code)


def main() -> int:
    """Break the promises that are named, or all."""
    words = sys.argv[1:]
    ended = 0
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        copy = copied(Path(folder))
        for mutation in MUTATIONS:
            if words and not any(word in mutation.promise for word in words):
                continue
            try:
                result = "caught" if caught(mutation, copy) else "SURVIVED"
            except RuntimeError as error:
                result = str(error)
            ended = ended or int(result != "caught")
            print(json.dumps({"promise": mutation.promise, "result": result}), flush=True)
    return ended


if __name__ == "__main__":
    sys.exit(main())
