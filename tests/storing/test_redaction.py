# SPDX-License-Identifier: Apache-2.0
"""Secrets of every listed shape go; ordinary arguments stay."""

import string
import time

import pytest
from hypothesis import assume, given
from hypothesis import settings as calmly
from hypothesis import strategies as st

from submeter.storing.redaction import (
    MARK,
    known_secrets,
    redact_command,
    redact_environment,
    redact_text,
    secret_name,
)

SECRET = "Sup3r-s3cret_Val.ue9"  # noqa: S105
ALNUM = string.ascii_letters + string.digits


def test_f19_secrets_behind_names_go() -> None:
    for argv in (
        ["--token", SECRET],
        [f"--token={SECRET}"],
        ["--api-key", SECRET],
        ["--api_key", SECRET],
        [f"--apikey={SECRET}"],
        ["--hf-token", SECRET],
        ["--password", SECRET],
        ["-password", SECRET],
        ["--wandb.api_key", SECRET],
        [f"logger.wandb.api_key={SECRET}"],
        [f"+trainer.hub_token={SECRET}"],
        ["--awsSecretAccessKey", SECRET],
        ["--client-secret", SECRET],
        ["env", f"HF_TOKEN={SECRET}", "python"],
        ["env", f"AWS_SECRET_ACCESS_KEY={SECRET}", "python"],
        ["env", f"PGPASSWORD={SECRET}"],
        ["curl", "-u", f"me:{SECRET}"],
        ["curl", "--user", f"me:{SECRET}"],
        ["curl", "-H", f"Authorization: Bearer {SECRET}"],
        ["curl", "-H", f"Authorization: Basic {SECRET}"],
        ["curl", "-H", f"X-Api-Key: {SECRET}"],
        ["curl", "-H", f"Cookie: a=b; session={SECRET}"],
        ["curl", f"https://me:{SECRET}@host/path"],
        ["curl", f"https://{SECRET}@host/path"],
        ["curl", f"https://me:p/a@{SECRET}@host/path"],
        ["curl", f"https://host/x?a=1&access_token={SECRET}&b=2"],
        ["curl", f"https://b.s3.amazonaws.com/k?X-Amz-Signature={SECRET}"],
        ["x", f"postgresql://me:{SECRET}@db:5432/runs"],
        ["x", f"host=db user=me password={SECRET} dbname=runs"],
        ["x", f"Server=db;User Id=sa;Password={SECRET};Encrypt=yes"],
        ["x", f"DefaultEndpointsProtocol=https;AccountName=n;AccountKey={SECRET}=="],
        ["x", f'{{"lr": 0.1, "api_key": "{SECRET}"}}'],
        ["x", f"{{'password': '{SECRET}'}}"],
        ["sh", "-c", f"export HF_TOKEN={SECRET}; python train.py"],
        ["sh", "-c", f"python train.py --token {SECRET} --lr 0.1"],
        ["sh", "-c", f"python train.py --password '{SECRET} two words'"],
        ["sh", "-c", f'curl -H "Authorization: Bearer {SECRET}" https://host'],
        ["x", f"sent Bearer {SECRET} to host"],
        ["sh", "-c", f"curl -u me:{SECRET} https://host"],
        ["sshpass", "-p", SECRET, "ssh", "host"],
        ["sshpass", f"-p{SECRET}", "ssh", "host"],
        ["mysql", f"-p{SECRET}"],
        ["sudo", "/usr/bin/mysql", "-u", "me", f"-p{SECRET}"],
        ["sudo", "curl", "-s", "-u", f"me:{SECRET}"],
        ["docker", "login", "-u", "me", "-p", SECRET, "registry"],
        ["redis-cli", "-h", "host", "-a", SECRET],
        ["env", f"STRIPE_KEY={SECRET}", "python"],
        ["env", f"MY_ODD_KEY={SECRET}", "python"],
        ["x", "--openai-key", SECRET],
        ["x", f"--api-keys={SECRET},b"],
    ):
        hidden = redact_command(argv)
        assert len(hidden) == len(argv)
        assert SECRET not in "\0".join(hidden), argv
        assert MARK in "\0".join(hidden)


SHAPES = st.one_of(
    st.text(ALNUM, min_size=30, max_size=40).map("hf_{}".format),
    st.text(ALNUM, min_size=36, max_size=40).map("ghp_{}".format),
    st.text(ALNUM + "_", min_size=40, max_size=80).map("github_pat_{}".format),
    st.text(ALNUM + "-_", min_size=20, max_size=30).map("glpat-{}".format),
    st.text(ALNUM, min_size=40, max_size=60).map("sk-proj-1{}".format),
    st.text(ALNUM, min_size=40, max_size=60).map("sk-ant-api03-{}".format),
    st.text(string.ascii_uppercase + string.digits, min_size=16, max_size=16).map("AKIA{}".format),
    st.text(ALNUM + "-_", min_size=35, max_size=35).map("AIza{}".format),
    st.text(string.digits + "-", min_size=20, max_size=40).map("xoxb-{}".format),
    st.tuples(*[st.text(ALNUM + "-_", min_size=12, max_size=60)] * 3).map(
        lambda p: f"eyJ{p[0]}.eyJ{p[1]}.{p[2]}"
    ),
    st.text(ALNUM + "+/\n", min_size=40, max_size=200).map(
        lambda body: f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----"
    ),
)
FRAMES = st.sampled_from(
    ["{}", "--login {}", "x={}", '"{}"', "https://h/{}", "a,{},b", "key: {}", "({})", "run-{}"]
)


@calmly(deadline=None)
@given(secret=SHAPES, frame=FRAMES)
def test_f19_secrets_known_by_their_shape_never_survive(secret: str, frame: str) -> None:
    for said in (redact_text(frame.format(secret)), *redact_command([frame.format(secret)])):
        assert secret not in said
        longest = max(secret.replace("\n", "-").split("-"), key=len)
        assert longest not in said


VALUE = st.text(ALNUM + "!#$%^*()+/.:_~@-", min_size=8, max_size=40).filter(
    lambda v: not v.startswith("-") and any(c.isalnum() for c in v)
)
NAMES = st.sampled_from(
    ["--token", "--api-key", "--hf_token", "--password", "--auth-token", "--secret", "--passwd",
     "--access-key", "--secret-access-key", "--client_secret", "--db.password", "--bearer-token"]
)  # fmt: skip


@calmly(deadline=None)
@given(name=NAMES, value=VALUE, joined=st.booleans(), place=st.integers(0, 3))
def test_f19_named_secrets_never_survive(
    name: str,
    value: str,
    joined: bool,  # noqa: FBT001
    place: int,
) -> None:
    argv = ["python", "train.py", "--lr", "0.1"]
    argv[place:place] = [f"{name}={value}"] if joined else [name, value]
    assume(not any(value in word for word in ("python", "train.py", "0.1", name)))
    assert value not in "\0".join(redact_command(argv))


@calmly(deadline=None)
@given(
    scheme=st.sampled_from(["https", "postgresql+psycopg", "redis", "ftp", "mongodb+srv"]),
    user=st.text(ALNUM, max_size=8),
    password=st.text(ALNUM + "!$&()*+,;=~._%-", min_size=8, max_size=30),
)
def test_f19_credentials_in_addresses_never_survive(scheme: str, user: str, password: str) -> None:
    said = redact_text(f"see {scheme}://{user}:{password}@db.example:99/x?y=1 now")
    assert said == f"see {scheme}://{MARK}@db.example:99/x?y=1 now"


@calmly(deadline=None)
@given(
    value=st.text(ALNUM + " =;'\"/", min_size=8, max_size=30), prefix=st.text(ALNUM, max_size=5)
)
def test_f19_what_the_environment_calls_a_secret_goes_from_the_command(
    value: str, prefix: str
) -> None:
    assume(value not in prefix)
    env = {"WANDB_API_KEY": value, "PATH": "/bin", "HOME": "/root"}
    assert value not in redact_command([f"{prefix}{value}"], env=env)[0]
    assert redact_environment(env)["WANDB_API_KEY"] == MARK
    assert known_secrets({"TOKENIZERS_PARALLELISM": "false-false", "X_TOKEN": "short"}) == set()


ORDINARY = [
    "python -u train.py --lr 3e-4 --batch-size=64",
    "python -m torch.distributed.run --nproc-per-node 8 train.py",
    "python train.py --max-tokens 512 --num_tokens=2T --tokens 7B --tokenizer bpe",
    "python train.py --eos-token </s> --pad_token=<pad> --mask-token [MASK] --bos-token-id 1",
    "python train.py --max-new-tokens=128 --tokens-per-step 4096 --token-limit 8 --per-token loss",
    "python train.py --key lr --keys a b --sort-key=loss --primary-key id --num-key-value-heads 8",
    "python train.py --passes 3 --pass 2 --signature sum --author ada --authors=x --bypass yes",
    "python train.py model.hidden_size=768 data.path=/data/secretariat optimizer=adamw key=value",
    "python train.py --url https://example.org:8080/path/@user?x=1#y --mail ada@example.org",
    "python train.py --commit 0123456789abcdef0123456789abcdef01234567 --uuid GPU-8a1b-22",
    "git clone git@github.com:org/repo.git",
    "docker run --user 1000:1000 -u 0 -p 8080:80 image:tag",
    "python train.py --config-name sk-learn --desk-id 12345678901234567890 --task-name risk-12",
    "mysql-bench --port 3306 -p 1",
    'python -c print(\'a:b\') --json {"lr":0.1,"n":[1,2]}',
    "torchrun --rdzv-endpoint=localhost:29400 --rdzv_id 7 train.py",
    "env CUDA_VISIBLE_DEVICES=0,1 OMP_NUM_THREADS=4 TOKENIZERS_PARALLELISM=false python t.py",
    "python train.py --use-auth-token --fp16",
    "env SORT_KEY=loss PRIMARY_KEY=id python -u t.py -p 1 -a 2 -w 3 --key name",
    "python train.py Basic usage of Token types in Bearer list",
]


@pytest.mark.parametrize("line", ORDINARY)
def test_ordinary_arguments_survive(line: str) -> None:
    argv = line.split(" ")
    assert redact_command(argv) == tuple(argv)
    assert redact_text(line) == line


@calmly(deadline=None)
@given(st.lists(st.text(string.ascii_lowercase + string.digits + "./,_", max_size=12), max_size=6))
def test_words_and_numbers_survive(argv: list[str]) -> None:
    assert redact_command(argv) == tuple(argv)


@calmly(deadline=None)
@given(st.lists(st.text(max_size=60), max_size=5))
def test_any_command_keeps_its_length_and_is_redacted_once(argv: list[str]) -> None:
    once = redact_command(argv)
    assert len(once) == len(argv)
    assert redact_command(once) == once


def test_a_name_is_a_secret_by_its_last_words() -> None:
    for name in (
        "HF_TOKEN",
        "apiKey",
        "X-API-Key",
        "--private-key",
        "DB_PASS",
        "GITHUB_PAT",
        "token",
    ):
        assert secret_name(name), name
    for name in (
        "max_tokens",
        "key",
        "public_key",
        "token_type_ids",
        "TOKENIZERS_PARALLELISM",
        "",
        "-",
    ):
        assert not secret_name(name), name


def test_a_hostile_argument_costs_no_time() -> None:
    start = time.process_time()
    hostile = (
        *("a" * 25_000, "https://" * 4_000, "-p" * 10_000, "x:" * 10_000, "eyJ" * 10_000),
        *("curl " * 5_000, "token=" * 5_000, "'" * 25_000, "--a " * 10_000, "Basic " * 4_500),
        *("-----BEGIN PRIVATE KEY-----" * 1_000, "a." * 15_000, "mysql -" * 4_500),
    )
    for text in hostile:
        redact_command([text, text])
    assert time.process_time() - start < 20  # seconds of the processor, not of the wall
