# SPDX-License-Identifier: Apache-2.0
"""Commands and environments without their secrets; ordinary arguments stay as they are.

A value is hidden because of its *name* (``--api-key X``, ``HF_TOKEN=…``, ``Authorization: …``),
its *place* (``https://user:password@host``) or its *shape* (``hf_…``, ``AKIA…``, a private key).
In machine learning a token is mostly no secret: ``--max-tokens``, ``--eos-token``.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

MARK: Final = "***"
_SHORTEST_KNOWN: Final = 8  # characters of a secret of the environment that is looked for


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ALWAYS: Final = _words(
    """
    apikey authtoken authorization credential credentials passphrase passwd password pwd
    secret secrets accesskey secretkey accountkey privatekey sharedaccesskey
    sharedaccesssignature cookie pat pgpassword mysqlpwd sshpass
    """
)
_KEYS: Final = _words(
    """
    access account api app auth client encryption license master private project secret
    service shared signing ssh storage subscription user
    anthropic aws azure cohere comet datadog gcp gemini google groq hf huggingface mistral
    neptune ngc nvapi nvidia openai openrouter replicate stripe together wandb
    """
)
# Variables called so hold no secret; all others that end in _KEY do.
_PLAIN_KEYS: Final = _words(
    "cache column dict foreign group hash index lookup map merge partition primary public row sort"
)
# What stands before "token" when it is part of a vocabulary or a number of them.
_VOCABULARY: Final = _words(
    """
    audio blank bos class cls decoder encoder end eos eot fim first forced future generated
    image input last line mask max min modality new next no non num number out output pad
    patch per prefix prompt question register sep separator single special start stop suffix
    target trigger unk unknown video vision word
    """
)
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def secret_name(name: str) -> bool:
    """Whether a value under this *name* (flag, variable, header, field) is a secret."""
    words = [w.lower() for w in _WORDS.findall(name)]
    if not words:
        return False
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last in _ALWAYS or f"{before}{last}" in _ALWAYS:
        return True
    if last in {"key", "keys"}:
        return before in _KEYS or (name.endswith("_KEY") and before not in _PLAIN_KEYS)
    if last == "token":
        return before not in _VOCABULARY
    if last in {"pass", "auth", "sas", "sig", "signature"}:
        # --pass 2 counts passes, --signature names a function; variables are another matter
        return name.isupper() or before in {"db", "proxy", "smtp", "user", "basic", "http", "amz"}
    return last != "id" and ("password" in words or last == "pw")


_SHAPES: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.*?-----END [A-Z ]*PRIVATE KEY-----|.*)"
    r"|\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"
    r"|\bAIza[0-9A-Za-z_-]{35}"
    r"|\bya29\.[0-9A-Za-z_-]{20,}"
    r"|\b(?:hf|api_org)_[A-Za-z0-9]{20,}"
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}"
    r"|\bgithub_pat_[A-Za-z0-9_]{20,}"
    r"|\bgl(?:pat|dt|rt|cbt|ptt)-[A-Za-z0-9_-]{20,}"
    r"|\b[sr]k[-_](?=[A-Za-z0-9_-]*\d)[A-Za-z0-9_-]{20,}"
    r"|\bxox[abeoprs]-[A-Za-z0-9-]{10,}"
    r"|\bnpm_[A-Za-z0-9]{30,}"
    r"|\bpypi-[A-Za-z0-9_-]{30,}"
    r"|\bdop_v1_[a-f0-9]{30,}"
    r"|\br8_[A-Za-z0-9]{30,}"
    r"|\bnvapi-[A-Za-z0-9_-]{30,}"
    r"|\bwandb_v\d_[A-Za-z0-9_]{20,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*",
    re.DOTALL,
)
# Whole user part; with a colon that no port follows, also passwords with / ? # @ in them.
_USER_INFO: Final = re.compile(
    r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]{0,30}://)"
    r"""(?:[^\s/?#@:'"]{0,200}:(?!\d{1,5}(?:[/?#]|$))[^\s'"]{0,2000}@|[^\s/?#'"]{1,2000}@)"""
)
_HEADER: Final = re.compile(
    r"^(?P<name>[A-Za-z][A-Za-z0-9-]{1,60})(?P<to>:\s*)(?P<value>\S.*)$", re.DOTALL
)
_SCHEME: Final = re.compile(r"\b(?P<to>(?:Bearer|Basic|Token|Digest)\s+)(?P<value>[^\s'\",;]{8,})")
# name=value, name: value, "name": "value", --name value, within a longer text.
_NAMED: Final = re.compile(
    r"""(?P<quote>["']?)(?P<name>--?[A-Za-z][\w.-]{0,80}|[A-Za-z_][\w.-]{0,80}(?:[ ][Kk]ey\b)?)"""
    r"""(?P=quote)(?P<to>\s{0,9}=\s{0,9}|\s{0,9}:\s{0,9}(?!//)|\s{1,9})(?=\S)"""
)
_VALUE: Final = re.compile(
    r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|"[^"]*$|'[^']*$|[^\s'"&;,}\]]+|\S+""", re.DOTALL
)
_SWITCH: Final = re.compile(r"--?[A-Za-z]|[|&;<>]")
_CURL_USER: Final = re.compile(
    r"(?P<to>\b(?:curl|wget|http)\b[^|;&\n]{0,500}?\s(?:-u|--user|--proxy-user)[\s=]*)(?P<value>[^\s:]*:\S+)"
)
_PASSWORD_ARGUMENT: Final = re.compile(
    r"(?P<to>\bsshpass\s{1,9}-p\s{0,9}|\bmysql(?:dump)?\b[^|;&\n]{0,500}?\s-p)(?P<value>\S+)"
)


# Short flags, and the programs that take a secret behind them.
_SHORT: Final = {
    "-u": frozenset({"curl", "http"}),
    "--user": frozenset({"curl", "wget"}),
    "--proxy-user": frozenset({"curl"}),
    "-p": frozenset({"sshpass", "login"}),  # docker login
    "-a": frozenset({"redis-cli"}),
    "-w": frozenset({"ldapsearch", "ldapmodify", "ldapadd"}),
}


def redact_command(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """*argv* with each secret replaced by ``***``.

    Parameters
    ----------
    argv
        The command as the system got it, one argument each.
    env
        Environment of the command: what stands there under a secret name is hidden in *argv* too,
        wherever it stands.
    """
    known = sorted(known_secrets(env or {}), key=len, reverse=True)
    out: list[str] = []
    hide_next = False
    for place, arg in enumerate(argv):
        if hide_next and not (arg.startswith("--") and len(arg) > 2):  # noqa: PLR2004
            out.append(MARK)
            hide_next = False
            continue
        for value in known:
            arg = arg.replace(value, MARK)  # noqa: PLW2901
        hide_next = _names_the_next(arg, argv[:place])
        out.append(arg if hide_next else _argument(arg, argv[:place]))
    return tuple(out)


def redact_text(text: str) -> str:
    """*text* (a line, an address, a script) with each secret replaced by ``***``."""
    text = _SHAPES.sub(MARK, text)
    text = _USER_INFO.sub(lambda m: f"{m['scheme']}{MARK}@", text)
    text = _SCHEME.sub(lambda m: m["to"] + MARK, text)
    text = _CURL_USER.sub(lambda m: m["to"] + MARK, text)
    text = _PASSWORD_ARGUMENT.sub(lambda m: m["to"] + MARK, text)
    return _named(text)


def redact_environment(env: Mapping[str, str]) -> dict[str, str]:
    """*env* with each secret value replaced by ``***``."""
    return {k: MARK if v and secret_name(k) else redact_text(v) for k, v in env.items()}


def known_secrets(env: Mapping[str, str]) -> set[str]:
    """Values that stand in *env* under a secret name and are long enough to be told apart."""
    return {v for k, v in env.items() if len(v) >= _SHORTEST_KNOWN and secret_name(k)}


def _names_the_next(arg: str, before: Sequence[str]) -> bool:
    """Whether *arg* is a flag whose value, the next argument, is a secret."""
    if not arg.startswith("-") or "=" in arg or " " in arg:
        return False
    if arg in _SHORT:
        return not _SHORT[arg].isdisjoint(word.rsplit("/", 1)[-1] for word in before)
    return len(arg) > 2 and secret_name(arg)  # noqa: PLR2004


def _argument(arg: str, before: Sequence[str]) -> str:
    """One argument: ``name=value`` and ``Header: value`` up to its end, else as text."""
    name, equals, value = arg.partition("=")
    if equals and value and " " not in name and ":" not in name and secret_name(name):
        return f"{name}={MARK}"
    header = _HEADER.match(arg)
    if header and (secret_name(header["name"]) or _secret_header(header["name"])):
        return f"{header['name']}{header['to']}{MARK}"
    programs = {word.rsplit("/", 1)[-1] for word in before}
    if arg.startswith("-p") and programs & {"mysql", "mysqldump", "sshpass"}:
        return f"-p{MARK}"
    return redact_text(arg)


def _secret_header(name: str) -> bool:
    return name.lower() in {"authorization", "proxy-authorization", "cookie", "set-cookie"}


def _named(text: str) -> str:
    """Hide values behind secret names; searched name by name, since values may hold names."""
    out: list[str] = []
    at = 0
    while (found := _NAMED.search(text, at)) is not None:
        name, to = found["name"], found["to"]
        spaced = not to.strip()
        value = _VALUE.match(text, found.end()) if secret_name(name) else None
        if value is None or (spaced and (not name.startswith("-") or _SWITCH.match(value[0]))):
            out.append(text[at : found.end("name")])
            at = found.end("name")
        else:
            quote = value[0][0] if value[0][0] in "\"'" and len(value[0]) > 1 else ""
            out += (text[at : value.start()], quote, MARK, quote)
            at = value.end()
    out.append(text[at:])
    return "".join(out)
