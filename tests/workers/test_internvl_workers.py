"""Parts of InternVL's workers: labels on answers only, padding, adapters, checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

WORKERS_DIR = Path(__file__).resolve().parents[2] / "sandbox" / "workers"
SIZES = {
    "image_size": 32,
    "patch_size": 8,
    "vision_hidden_size": 32,
    "vision_num_layers": 1,
    "text_hidden_size": 32,
    "text_num_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 320,
}

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(autouse=True)
def workers_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(WORKERS_DIR))


@pytest.fixture
def processor() -> Any:
    from internvl_build import build_processor

    return build_processor(["A red square.", "A blue circle."], "What is it?", SIZES)


@pytest.fixture
def model(processor: Any) -> Any:
    from internvl_build import build_config
    from transformers import InternVLForConditionalGeneration, set_seed

    set_seed(0)
    model: Any = InternVLForConditionalGeneration(build_config(processor, SIZES))
    return model.eval()


@pytest.fixture
def dataset(processor: Any, tmp_path: Path) -> Callable[[list[str]], Any]:
    def build(answers: list[str]) -> Any:
        from internvl_conversations import CaptionedPicture
        from internvl_data import PairDataset

        path = tmp_path / "red.png"
        Image.new("RGB", (8, 8), "red").save(path)
        pairs = [
            CaptionedPicture(path, answer, "pool.jsonl:1", "What is it?") for answer in answers
        ]
        return PairDataset(pairs, processor, max_tiles=1)

    return build


def test_only_the_answer_and_its_end_are_learnt(
    processor: Any, dataset: Callable[[list[str]], Any]
) -> None:
    sample = dataset(["A red square."])[0]

    learnt = [label for label in sample["labels"] if label != -100]
    assert processor.decode(learnt) == "A red square.<|im_end|>"
    text = processor.decode(sample["input_ids"])
    image = "<img>" + "<IMG_CONTEXT>" * 4 + "</img>"
    question = f"<|im_start|>user\n{image}\nWhat is it?<|im_end|>\n"
    assert text == f"{question}<|im_start|>assistant\nA red square.<|im_end|>"


def test_the_loss_is_that_of_the_whole_sequence(
    model: Any, processor: Any, dataset: Callable[[list[str]], Any]
) -> None:
    """Scores are computed where labels are only; padding and prompt must not matter."""
    import torch
    from internvl_data import collate

    rows = [dataset(["A red square.", "A blue circle, or a red one."])[index] for index in range(2)]
    batch = collate(rows, processor.tokenizer.pad_token_id)
    whole = {name: batch[name] for name in ("input_ids", "attention_mask", "pixel_values")}
    width = batch["input_ids"].shape[1]
    whole["labels"] = torch.tensor(
        [row["labels"] + [-100] * (width - len(row["labels"])) for row in rows]
    )

    with torch.inference_mode():
        short, full = model(**batch), model(**whole)

    assert short.logits.shape[1] < full.logits.shape[1]
    torch.testing.assert_close(short.loss, full.loss)


def test_lengths_are_those_of_the_tokens_without_decoding(
    processor: Any, dataset: Callable[[list[str]], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = dataset(["A red square.", "A blue circle. A red square.", "A"])
    lengths = pairs.lengths()

    assert lengths == [len(pairs[number]["input_ids"]) for number in range(3)]
    monkeypatch.setattr("PIL.Image.Image.convert", None)
    assert pairs.lengths() == lengths


def test_tiles_count_in_the_lengths(processor: Any, tmp_path: Path) -> None:
    from internvl_conversations import CaptionedPicture
    from internvl_data import PairDataset

    paths = [tmp_path / "square.png", tmp_path / "wide.png"]
    Image.new("RGB", (16, 16)).save(paths[0])
    Image.new("RGB", (48, 16)).save(paths[1])
    pairs = PairDataset(
        [CaptionedPicture(path, "A", "pool.jsonl:1", "What is it?") for path in paths],
        processor,
        max_tiles=4,
    )

    assert pairs.lengths() == [len(pairs[number]["input_ids"]) for number in range(2)]
    assert pairs.lengths()[1] > pairs.lengths()[0]


def test_batches_hold_similar_lengths_in_random_order() -> None:
    from internvl_data import SimilarLengths

    lengths = [number * 7 % 50 for number in range(203)]
    sampler = SimilarLengths(lengths, 8, seed=3)

    order = list(sampler)

    assert sorted(order) == list(range(203))
    batches = [[lengths[index] for index in order[at : at + 8]] for at in range(0, 200, 8)]
    padding = sum(max(batch) * len(batch) - sum(batch) for batch in batches)
    assert padding < sum(lengths) / 5  # in any order: three quarters
    assert sorted(map(max, batches)) not in ([*map(max, batches)], [*map(max, batches)][::-1])
    assert list(sampler) == order
    sampler.set_epoch(1)
    assert list(sampler) != order


def test_generation_pads_on_the_left(processor: Any, dataset: Callable[[list[str]], Any]) -> None:
    from internvl_data import collate

    rows = [{"input_ids": [5, 6], "pixel_values": dataset(["A."])[0]["pixel_values"]}]
    rows.append({**rows[0], "input_ids": [7]})

    batch = collate(rows, 0, left=True)

    assert batch["input_ids"].tolist() == [[5, 6], [0, 7]]
    assert batch["attention_mask"].tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize(
    ("frozen", "whole"),
    [
        ({"freeze_mlp": True, "freeze_vision_tower": True}, set()),
        ({"freeze_mlp": False, "freeze_vision_tower": True}, {"multi_modal_projector"}),
        (
            {"freeze_mlp": False, "freeze_vision_tower": False},
            {"multi_modal_projector", "vision_tower"},
        ),
    ],
    ids=["all_frozen", "mlp_trains", "mlp_and_vision_train"],
)
def test_adapters_sit_on_the_language_model_only(
    frozen: dict[str, bool], whole: set[str], model: Any
) -> None:
    from internvl_train import prepare

    request = {**frozen, "freeze_language_model": True, "lora_rank": 4}
    adapted = prepare(model, request)

    trained = [name for name, weight in adapted.named_parameters() if weight.requires_grad]
    adapters = [name for name in trained if "lora_" in name]
    assert len(adapters) == 2 * 7
    assert all("language_model" in name for name in adapters)
    assert {
        name.split(".modules_to_save")[0].rsplit(".", 1)[1]
        for name in trained
        if "modules_to_save" in name
    } == whole


def test_the_saved_processor_names_the_librarys_class(processor: Any, tmp_path: Path) -> None:
    from internvl_model import load_processor, save_processor

    save_processor(processor, tmp_path)

    config = json.loads((tmp_path / "processor_config.json").read_text())
    assert config["processor_class"] == "InternVLProcessor"
    assert config["video_processor"]["video_processor_type"] == "InternVLVideoProcessor"
    assert load_processor(str(tmp_path)).tokenizer.get_vocab() == processor.tokenizer.get_vocab()


def test_a_half_written_checkpoint_is_not_resumed_from(tmp_path: Path) -> None:
    from internvl_trainer import newest_complete

    assert newest_complete(tmp_path) is None
    for step, is_complete in ((90, True), (100, True), (110, False)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if is_complete:
            (folder / "complete").touch()
    assert newest_complete(tmp_path) == str(tmp_path / "checkpoint-100")
