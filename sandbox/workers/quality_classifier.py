"""Worker: score texts with a quality classifier, a saved pyspark pipeline.

Request: ``texts_path`` (JSON Lines, ``{"row": 0, "text": …}``), ``model_path``, ``tokenizer_path``
or null, ``num_threads``, ``memory_gb``, ``scores_path`` (written, one score a line, in order).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from worker_start import InputError, start


def main(request: dict[str, Any]) -> None:
    """Write the scores."""
    scores_dir = Path(request["work_dir"], "scores")
    try:
        texts_path, columns = Path(request["texts_path"]), "row long, text string"
        if request["tokenizer_path"]:
            texts_path = _split(texts_path, request["tokenizer_path"], Path(request["work_dir"]))
            columns = "row long, words array<string>"
        _score(request, texts_path, columns, scores_dir)
    except Exception as error:  # Java's errors have hundreds of lines after the first
        cause = str(error).strip().splitlines() or [type(error).__name__]
        print(error, flush=True)
        raise InputError(
            f"{request['model_path']}: Spark cannot score with it: {cause[0]}"
        ) from None
    with Path(request["scores_path"]).open("w", encoding="utf-8") as out:
        for expected, (row, score) in enumerate(_rows(scores_dir)):
            if int(row) != expected:
                raise InputError(f"Spark gave row {row} in place of row {expected}")
            out.write(score + "\n")


def _split(texts_path: Path, tokenizer_path: str, work_dir: Path) -> Path:
    """Write the texts as the pieces of a sentencepiece model."""
    from sentencepiece import SentencePieceProcessor

    pieces_path = work_dir / "pieces.jsonl"
    tokenizer = SentencePieceProcessor(model_file=tokenizer_path)
    with texts_path.open(encoding="ascii") as lines, pieces_path.open("w", encoding="ascii") as out:
        for line in lines:
            sample = json.loads(line)
            words = tokenizer.encode(sample["text"], out_type=str)
            out.write(json.dumps({"row": sample["row"], "words": words}) + "\n")
    return pieces_path


def _score(request: dict[str, Any], texts_path: Path, columns: str, scores_dir: Path) -> None:
    from pyspark.ml import PipelineModel
    from pyspark.ml.functions import vector_to_array
    from pyspark.sql import SparkSession

    settings = {
        "spark.driver.memory": f"{request['memory_gb']}g",
        "spark.driver.host": "127.0.0.1",  # the machine's own name may not resolve
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": request["work_dir"],
        "spark.sql.warehouse.dir": str(Path(request["work_dir"], "warehouse")),
        "spark.sql.files.maxPartitionBytes": "16m",  # both cores from a few thousand texts on
        "spark.sql.files.openCostInBytes": "1m",
    }
    builder = SparkSession.builder.master(f"local[{request['num_threads']}]").appName(
        "quality_classifier"
    )
    for key, value in settings.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    try:
        model = PipelineModel.load(request["model_path"])
        scored = model.transform(spark.read.schema(columns).json(str(texts_path)))
        score = vector_to_array(scored["probability"])[1]
        # Output files are numbered by partition and partitions follow the file, so order is kept.
        scored.select("row", score.alias("score")).write.csv(str(scores_dir))
    finally:
        spark.stop()


def _rows(scores_dir: Path) -> Iterator[list[str]]:
    for part in sorted(scores_dir.glob("part-*.csv")):
        with part.open(encoding="utf-8", newline="") as lines:
            yield from csv.reader(lines)


if __name__ == "__main__":
    start(main)
