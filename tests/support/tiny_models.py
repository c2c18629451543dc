"""Models that are small enough to be made for one test run, each by a program of its own."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from toy_project import ROOT

from sandbox.system.process import run

GOOD = [
    "the",
    "study",
    "of",
    "rivers",
    "shows",
    "that",
    "water",
    "moves",
    "slowly",
    "in",
    "old",
    "valleys",
]
BAD = ["buy", "cheap", "now", "click", "win", "free", "offer", "deal", "casino", "bonus"]

_BYTES = """
import json
import sys
sys.path.insert(0, sys.argv[1])
import causal_lm_model as lm
import torch
torch.manual_seed(0)
tokenizer = lm.byte_tokenizer()
model = lm.from_config(len(tokenizer), 32, 1)
model.config.max_position_embeddings = 512
model.save_pretrained(sys.argv[2])
tokenizer.save_pretrained(sys.argv[2])
for text in json.loads(sys.argv[3]):
    ids = torch.tensor([[tokenizer.eos_token_id, *tokenizer(text)["input_ids"]]])
    print("loss", model(input_ids=ids, labels=ids).loss.item() if text else "null")
"""

_CLASSIFIERS = """
import json, os, sys
from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import HashingTF, Tokenizer
from pyspark.sql import SparkSession
from data_juicer.tools.quality_classifier import qc_utils

given = json.loads(sys.argv[1])
os.environ["PYSPARK_PYTHON"] = sys.executable
builder = SparkSession.builder.master("local[1]").config("spark.driver.host", "127.0.0.1")
builder = builder.config("spark.ui.enabled", "false").config("spark.driver.memory", "1g")
spark = builder.config("spark.local.dir", given["folder"]).getOrCreate()
stages = [HashingTF(inputCol="words", outputCol="features"), LogisticRegression()]
whole = Pipeline(stages=[Tokenizer(inputCol="text", outputCol="words"), *stages])
model = whole.fit(spark.createDataFrame(given["samples"], ["text", "label"]))
model.write().save(given["folder"] + "/whole")
samples = [(["▁" + word for word in text.split()], label) for text, label in given["samples"]]
pieces = spark.createDataFrame(samples, ["words", "label"])
Pipeline(stages=stages).fit(pieces).write().save(given["folder"] + "/pieces")
scored = qc_utils.predict(model, spark.createDataFrame([(t,) for t in given["texts"]], ["text"]))
print("expected", json.dumps([row.doc_score for row in scored.select("doc_score").collect()]))
spark.stop()
"""

# The parser knows sentences of three shapes only: "write a story", "please write a story" and
# "she sleeps".
_SPACY = """
import random, sys
import spacy
from spacy.training import Example

nlp = spacy.blank("en")
for name in ("tok2vec", "morphologizer", "parser"):
    nlp.add_pipe(name)
nlp.get_pipe("morphologizer").add_label("POS=VERB")
rng = random.Random(0)
spacy.util.fix_random_seed(0)
verbs, nouns = ["write", "tell", "paint", "bake"], ["story", "joke", "picture", "cake"]
examples = []
for _ in range(80):
    verb, noun = rng.choice(verbs), rng.choice(nouns)
    words, pos = [verb, "a", noun, "."], ["VERB", "DET", "NOUN", "PUNCT"]
    heads, deps = [0, 2, 0, 0], ["ROOT", "det", "dobj", "punct"]
    if rng.random() < 0.3:
        words, pos = ["please", *words], ["INTJ", *pos]
        heads, deps = [1, *(head + 1 for head in heads)], ["intj", *deps]
    if rng.random() < 0.3:
        words, pos = ["she", "sleeps", "."], ["PRON", "VERB", "PUNCT"]
        heads, deps = [1, 1, 1], ["nsubj", "ROOT", "punct"]
    doc = spacy.tokens.Doc(nlp.vocab, words=words)
    starts = [True] + [False] * (len(words) - 1)
    annotation = {"heads": heads, "deps": deps, "pos": pos, "sent_starts": starts}
    examples.append(Example.from_dict(doc, annotation))
optimizer = nlp.initialize(lambda: examples)
for _ in range(12):
    rng.shuffle(examples)
    nlp.update(examples, sgd=optimizer)
nlp.to_disk(sys.argv[1] + "/parser")
nlp.remove_pipe("parser")
nlp.to_disk(sys.argv[1] + "/half")
"""


def byte_model(folder: Path, texts: Sequence[str] = ()) -> list[float | None]:
    """Make a causal language model with random weights that reads bytes.

    Returns the loss of transformers on each text, ``None`` for an empty one.
    """
    argv: list[str | Path] = [sys.executable, "-c", _BYTES, ROOT / "sandbox" / "workers", folder]
    run([*argv, json.dumps(texts)], log_path=folder / "log.txt")
    log = (folder / "log.txt").read_text().splitlines()
    return [json.loads(line.split()[1]) for line in log if line.startswith("loss ")]


def quality_classifiers(folder: Path, texts: Sequence[str] = ()) -> list[float]:
    """Train ``whole`` and ``pieces``, two classifiers of Data-Juicer's layout.

    Returns the scores that Data-Juicer itself gives the texts with ``whole``.
    """
    rng = random.Random(0)
    samples = [
        (" ".join(rng.choices(words, k=rng.randint(5, 20))), label)
        for _ in range(100)
        for label, words in ((1, GOOD), (0, BAD))
    ]
    request = {"folder": str(folder), "samples": samples, "texts": texts}
    argv = [sys.executable, "-c", _CLASSIFIERS, json.dumps(request)]
    run(argv, log_path=folder / "log.txt", variables={"SPARK_LOCAL_IP": "127.0.0.1"})
    prefix = "expected "
    log = (folder / "log.txt").read_text().splitlines()
    (expected,) = [json.loads(line.removeprefix(prefix)) for line in log if line.startswith(prefix)]
    scores: list[float] = expected
    return scores


def spacy_models(folder: Path) -> None:
    """Train ``parser``, a spaCy model, and ``half``, one without a parser."""
    run([sys.executable, "-c", _SPACY, folder], log_path=folder / "log.txt")
