# SPDX-License-Identifier: Apache-2.0
"""Tasks over an SQLite file: transfers, an analytical query, a prediction, a report two ways."""

import math
import random
import sqlite3
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from submeter.running.everyday.tasks import Batched

SEED: Final = 20260
CUSTOMERS: Final = 200
ORDERS: Final = 40_000
ACCOUNTS: Final = 10_000
TRANSFERS: Final = 50  # a batch
SCORED: Final = 5_000  # rows of a query with a prediction
BUSY_S: Final = 30.0
_LEARNT: Final = 1_500  # rows that the model is fitted to; as many judge it
_STEPS: Final = 60
_RATE: Final = 1.0
_REGIONS: Final = ("north", "south", "east", "west", "centre")

_ORDERS: Final = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, segment TEXT NOT NULL, since INTEGER NOT NULL);
CREATE TABLE orders (
  id INTEGER PRIMARY KEY, customer INTEGER NOT NULL, region TEXT NOT NULL, month INTEGER NOT NULL,
  amount REAL NOT NULL, items INTEGER NOT NULL, days INTEGER NOT NULL, distance REAL NOT NULL,
  late INTEGER NOT NULL
);
"""
_QUERY: Final = """
SELECT o.region, c.segment, o.month, count(*), sum(o.amount), avg(o.items)
FROM orders o JOIN customers c ON c.id = o.customer
WHERE o.amount > ? GROUP BY o.region, c.segment, o.month
HAVING count(*) > 10 ORDER BY sum(o.amount) DESC LIMIT 20
"""
_WITHOUT: Final = """
SELECT region, count(*), avg(amount) FROM orders WHERE id BETWEEN ? AND ? GROUP BY region
"""
_WITH: Final = """
SELECT region, count(*), avg(amount), sum(late_risk(amount, items, days, distance))
FROM orders WHERE id BETWEEN ? AND ? GROUP BY region
"""
_FEATURES: Final = """
SELECT amount, items, days, distance, late FROM orders WHERE id BETWEEN ? AND ?
"""

Row = tuple[int, int, str, int, float, int, int, float, int]


def orders(count: int) -> Iterator[Row]:
    """Yield made-up orders, always the same; whether one was late hangs on its other fields."""
    chance = random.Random(SEED)  # noqa: S311  # data, no secrets
    for number in range(1, count + 1):
        amount = chance.lognormvariate(4.0, 0.8)
        items = chance.randint(1, 20)
        days = chance.randint(1, 30)
        distance = chance.expovariate(1 / 300.0)
        risk = -1.6 + 0.12 * items - 0.09 * days + 0.004 * distance
        late = int(chance.random() < 1 / (1 + math.exp(-risk)))
        yield (
            number, chance.randint(1, CUSTOMERS), chance.choice(_REGIONS), chance.randint(1, 12),
            amount, items, days, distance, late,
        )  # fmt: skip


class _Orders(Batched):
    """A file with customers and their orders."""

    def __init__(self, folder: Path, workers: int) -> None:
        super().__init__(folder, workers)
        self.file = folder / "orders.db"
        self.db: sqlite3.Connection | None = None
        self.turn = 0

    def prepare(self) -> dict[str, object]:
        db = sqlite3.connect(self.file)
        chance = random.Random(SEED)  # noqa: S311
        with db:
            db.executescript(_ORDERS)
            people = [(i, chance.choice("ABC"), chance.randint(2000, 2026))
                      for i in range(1, CUSTOMERS + 1)]  # fmt: skip
            db.executemany("INSERT INTO customers VALUES (?, ?, ?)", people)
            db.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", orders(ORDERS))
        db.close()
        return {"sqlite": sqlite3.sqlite_version}

    def open(self, worker: int) -> None:
        self.db = sqlite3.connect(self.file)
        self.turn = worker

    @property
    def connection(self) -> sqlite3.Connection:
        """The open connection of this worker."""
        if self.db is None:
            msg = "the task is not open"
            raise RuntimeError(msg)
        return self.db

    def close(self) -> None:
        if self.db is not None:
            self.db.close()


class Query(_Orders):
    """An analytical query: join, group, order over 40 000 orders."""

    key, unit = "sql-query", "query"

    def batch(self, way: str) -> float:
        del way
        self.turn += 1
        rows = self.connection.execute(_QUERY, (10.0 + self.turn % 7,)).fetchall()
        return 1.0 if rows else 0.0


class Transactions(Batched):
    """Transfers between accounts, each a transaction of its own; all workers share the file."""

    key, unit = "sql-transactions", "transaction"

    def __init__(self, folder: Path, workers: int) -> None:
        super().__init__(folder, workers)
        self.file = folder / "bank.db"
        self.db: sqlite3.Connection | None = None
        self.chance = random.Random(SEED)  # noqa: S311

    def prepare(self) -> dict[str, object]:
        db = sqlite3.connect(self.file)
        db.execute("PRAGMA journal_mode=WAL")
        with db:
            db.execute("CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)")
            db.execute("CREATE TABLE history (a INTEGER, b INTEGER, amount INTEGER)")
            rows = [(i,) for i in range(ACCOUNTS)]
            db.executemany("INSERT INTO accounts VALUES (?, 1000)", rows)
        db.close()
        return {"sqlite": sqlite3.sqlite_version}

    def open(self, worker: int) -> None:
        self.db = sqlite3.connect(self.file, timeout=BUSY_S, isolation_level=None)
        self.db.execute("PRAGMA synchronous=NORMAL")
        self.chance.seed(SEED + worker)

    def batch(self, way: str) -> float:
        del way
        db, chance = self.db, self.chance
        if db is None:
            return 0.0
        for _ in range(TRANSFERS):
            a, b = chance.randrange(ACCOUNTS), chance.randrange(ACCOUNTS)
            amount = chance.randint(1, 9)
            db.execute("BEGIN IMMEDIATE")
            db.execute("UPDATE accounts SET balance = balance - ? WHERE id = ?", (amount, a))
            db.execute("UPDATE accounts SET balance = balance + ? WHERE id = ?", (amount, b))
            db.execute("INSERT INTO history VALUES (?, ?, ?)", (a, b, amount))
            db.execute("COMMIT")
        return float(TRANSFERS)

    def close(self) -> None:
        if self.db is not None:
            self.db.close()


class Model(NamedTuple):
    """A logistic regression over standardised features."""

    means: tuple[float, ...]
    sds: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    def chance(self, *features: float) -> float:
        """Probability that an order comes late."""
        score = self.bias
        for x, mean, sd, weight in zip(features, self.means, self.sds, self.weights, strict=True):
            score += weight * (x - mean) / sd
        return 1 / (1 + math.exp(-score))


def fitted(rows: Sequence[Sequence[float]]) -> Model:
    """Fit a logistic regression to *rows* of features and, last, whether it was late."""
    columns = list(zip(*rows, strict=True))
    means = tuple(statistics.fmean(c) for c in columns[:-1])
    sds = tuple(statistics.pstdev(c) or 1.0 for c in columns[:-1])
    scaled = [[(x - m) / s for x, m, s in zip(row[:-1], means, sds, strict=True)] for row in rows]
    late = [row[-1] for row in rows]
    weights, bias = [0.0] * len(means), 0.0
    for _ in range(_STEPS):
        slopes, slope = [0.0] * len(weights), 0.0
        for x, truth in zip(scaled, late, strict=True):
            score = bias + sum(w * v for w, v in zip(weights, x, strict=True))
            wrong = 1 / (1 + math.exp(-score)) - truth
            slope += wrong
            for i, v in enumerate(x):
                slopes[i] += wrong * v
        bias -= _RATE * slope / len(rows)
        weights = [w - _RATE * g / len(rows) for w, g in zip(weights, slopes, strict=True)]
    return Model(means, sds, tuple(weights), bias)


class Prediction(_Orders):
    """A query over 5 000 orders, without and with a model's prediction for each of them."""

    key, unit, ways = "prediction", "query", ("without", "with")

    def prepare(self) -> dict[str, object]:
        told = super().prepare()
        db = sqlite3.connect(self.file)
        model = fitted(db.execute(_FEATURES, (1, _LEARNT)).fetchall())
        held = db.execute(_FEATURES, (_LEARNT + 1, 2 * _LEARNT)).fetchall()
        db.close()
        hits = [(model.chance(*row[:-1]) > 0.5) == bool(row[-1]) for row in held]  # noqa: PLR2004
        late = statistics.fmean(row[-1] for row in held)
        return {
            **told,
            "rows": SCORED,
            "accuracy": statistics.fmean(hits),
            "accuracy_of_always_the_same": max(late, 1 - late),
        }

    def open(self, worker: int) -> None:
        super().open(worker)
        model = fitted(self.connection.execute(_FEATURES, (1, _LEARNT)).fetchall())
        self.connection.create_function("late_risk", 4, model.chance, deterministic=True)

    def batch(self, way: str) -> float:
        self.turn += 1
        first = 1 + (self.turn * SCORED) % (ORDERS - SCORED)
        query = _WITH if way == "with" else _WITHOUT
        rows = self.connection.execute(query, (first, first + SCORED - 1)).fetchall()
        return 1.0 if len(rows) == len(_REGIONS) else 0.0


class Report(_Orders):
    """Totals by customer: one query for each of 200 customers, or one query for all."""

    key, unit, ways = "report", "report", ("naive", "efficient")

    def prepare(self) -> dict[str, object]:
        told = super().prepare()
        self.open(0)
        same = self.totals("naive") == self.totals("efficient")
        self.close()
        if not same:
            msg = "both ways of the report must tell the same"
            raise RuntimeError(msg)
        return {**told, "customers": CUSTOMERS, "orders": ORDERS}

    def batch(self, way: str) -> float:
        return 1.0 if self.totals(way) else 0.0

    def totals(self, way: str) -> dict[int, int]:
        """Total of each customer in cents."""
        db = self.connection
        if way == "efficient":
            rows = db.execute("SELECT customer, sum(amount) FROM orders GROUP BY customer")
            return {customer: round(100 * total) for customer, total in rows}
        found = {}
        for (customer,) in db.execute("SELECT id FROM customers").fetchall():
            amounts = db.execute("SELECT amount FROM orders WHERE customer = ?", (customer,))
            found[customer] = round(100 * math.fsum(amount for (amount,) in amounts))
        return found
