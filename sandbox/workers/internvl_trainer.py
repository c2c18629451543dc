"""The training loop of InternVL: transformers' Trainer with a resume that restores the weights."""

from __future__ import annotations

import functools
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from internvl_conversations import read_conversations
from internvl_data import PairDataset, SimilarLengths, collate
from internvl_model import use_bf16
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from worker_start import report, safe_loading

_COMPLETE = "complete"
_REPORTED = ("loss", "learning_rate", "grad_norm", "eval_loss")


class InternVLTrainer(Trainer):
    """Trainer whose resume works for this model, and whose batches have little padding.

    transformers saves InternVL under the hub's older key names. On resume, and when it loads the
    best model, it fills the model from them with ``strict=False``: no key matches and nothing is
    restored (transformers issue 43701). ``from_pretrained`` translates the names back.
    """

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        args = self.args
        if args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        batch = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        pairs: Any = train_dataset or self.train_dataset
        return SimilarLengths(pairs.lengths(), batch, args.seed)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        target = self.accelerator.unwrap_model(self.model if model is None else model)
        if hasattr(target, "peft_config"):  # adapters are restored correctly as shipped
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        loaded = type(target).from_pretrained(
            resume_from_checkpoint, dtype=target.dtype, **safe_loading(resume_from_checkpoint)
        )
        target.load_state_dict(loaded.state_dict(), strict=True)

    def _load_best_model(self) -> None:
        if hasattr(self.accelerator.unwrap_model(self.model), "peft_config"):
            super()._load_best_model()
        elif self.state.best_model_checkpoint is not None:
            self._load_from_checkpoint(self.state.best_model_checkpoint)


class MetricLines(TrainerCallback):
    """Report losses and rates while training, and the speed at its end, from one process."""

    def __init__(self) -> None:
        self._begin = (0.0, 0)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock; a resumed training counts only its own steps."""
        self._begin = (time.perf_counter(), state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Report the numbers that Trainer logs."""
        logs = kwargs["logs"]
        metrics = {name: float(logs[name]) for name in _REPORTED if name in logs}
        if metrics and state.is_world_process_zero:
            report(metrics, state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Report the images per second of all processes together."""
        start, first_step = self._begin
        pairs_a_step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        seconds = time.perf_counter() - start
        if state.is_world_process_zero and state.global_step > first_step:
            speed = (state.global_step - first_step) * pairs_a_step / seconds
            report({"images_per_second": speed}, state.global_step)


class CompleteCheckpoints(TrainerCallback):
    """Mark a checkpoint once all of it is written, and only then remove the older ones."""

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Mark the newest checkpoint; keep it and the best one."""
        if torch.distributed.is_initialized():  # every process writes a part of the checkpoint
            torch.distributed.barrier()
        if not state.is_world_process_zero:
            return
        newest = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        (newest / _COMPLETE).touch()
        best = Path(state.best_model_checkpoint or newest).name
        for folder in Path(args.output_dir).glob("checkpoint-*"):
            if folder.name not in (newest.name, best):
                shutil.rmtree(folder)


def newest_complete(folder: Path) -> str | None:
    """Return the newest checkpoint in ``folder`` that was written to its end."""
    complete = [path.parent for path in folder.glob(f"checkpoint-*/{_COMPLETE}")]
    if not complete:
        return None
    return str(max(complete, key=lambda path: int(path.name.rsplit("-", 1)[1])))


def train(model: Any, processor: Any, request: Mapping[str, Any]) -> InternVLTrainer:
    """Train ``model`` as requested, starting from its newest complete checkpoint, if any."""
    folder = Path(request["checkpoints_dir"])
    datasets = _datasets(processor, request)
    callbacks: list[Any] = [MetricLines(), CompleteCheckpoints()]
    if request["early_stopping_patience"] is not None:
        callbacks.append(
            EarlyStoppingCallback(early_stopping_patience=request["early_stopping_patience"])
        )
    trainer = InternVLTrainer(
        model=model,
        args=_arguments(request, folder),
        train_dataset=datasets["train"],
        eval_dataset=datasets.get("eval"),
        data_collator=functools.partial(collate, pad_id=processor.tokenizer.pad_token_id),
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=newest_complete(folder))
    if "eval" in datasets and request["eval_steps"] is None:
        trainer.evaluate()
    return trainer


def _datasets(processor: Any, request: Mapping[str, Any]) -> dict[str, PairDataset]:
    paths = {"train": request["train_meta"], "eval": request["eval_meta"]}
    return {
        name: PairDataset(read_conversations(Path(path)), processor, request["max_tiles"])
        for name, path in paths.items()
        if path is not None
    }


def _arguments(request: Mapping[str, Any], folder: Path) -> TrainingArguments:
    stops_early = request["early_stopping_patience"] is not None
    save_steps = request["eval_steps"] if stops_early else request["save_steps"]
    has_gpu = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=request["max_steps"],
        per_device_train_batch_size=request["batch_size"],
        per_device_eval_batch_size=request["batch_size"],
        gradient_accumulation_steps=request["gradient_accumulation_steps"],
        learning_rate=request["learning_rate"],
        lr_scheduler_type=request["lr_scheduler"],
        warmup_steps=request["warmup_ratio"],  # below 1 it is a share of all steps
        weight_decay=request["weight_decay"],
        adam_beta2=request["adam_beta2"],
        optim="adamw_torch_fused",
        seed=request["seed"],
        data_seed=request["seed"],
        train_sampling_strategy="group_by_length" if request["group_by_length"] else "random",
        bf16=use_bf16(request["precision"]),
        use_cpu=not has_gpu,
        dataloader_pin_memory=has_gpu,
        dataloader_num_workers=request["num_data_workers"],
        activation_checkpointing=request["gradient_checkpointing"],
        activation_checkpointing_kwargs={"use_reentrant": False},
        ddp_find_unused_parameters=False,
        save_strategy="steps" if save_steps else "no",
        save_steps=save_steps or 1,
        eval_strategy="steps" if request["eval_steps"] else "no",
        eval_steps=request["eval_steps"],
        load_best_model_at_end=stops_early,
        metric_for_best_model="eval_loss" if stops_early else None,
        greater_is_better=False if stops_early else None,
        restore_callback_states_from_checkpoint=stops_early,
        logging_steps=request["logging_steps"],
        prediction_loss_only=True,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
    )
