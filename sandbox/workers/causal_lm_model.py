"""Shared by the workers of causal language models: tokenizer, model, rows of tokens, loss."""

from __future__ import annotations

import math
import os
from pathlib import Path
from pickle import UnpicklingError
from typing import NamedTuple

import torch
from sample_files import texts
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from worker_start import InputError, safe_loading

END_OF_TEXT = "<|endoftext|>"
_HEAD_SIZE = 32
_EVAL_BATCH = 32
_SMALL = 256


class Blocks(NamedTuple):
    """Texts, joined and cut into rows.

    Args:
        rows: Tokens, (rows, ``sequence_length`` + 1). A row begins with the last token of the one
            before, so that every token but the first is predicted once.
        num_bytes: UTF-8 bytes of the tokens that are predicted.
        lengths: Tokens of each text with its end; the last texts may have no place in the rows.
    """

    rows: Tensor
    num_bytes: int
    lengths: Tensor


def byte_tokenizer() -> PreTrainedTokenizerBase:
    """Build a tokenizer of the 256 bytes and the end of a text, which no data set changes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {END_OF_TEXT: 0} | {
        symbol: number for number, symbol in enumerate(alphabet, start=1)
    }
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    # Inside a text, "<|endoftext|>" stays these 13 characters: only we mark ends.
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        split_special_tokens=True,
    )


def load(model_path: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load model and tokenizer of a checkpoint folder."""
    try:
        model = AutoModelForCausalLM.from_pretrained(
            model_path, local_files_only=True, dtype=torch.float32, **safe_loading(model_path)
        )
        tokenizer = AutoTokenizer.from_pretrained(
            model_path, local_files_only=True, trust_remote_code=False
        )
        return model, tokenizer
    except (OSError, ValueError, KeyError, RuntimeError, UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"{model_path} is not a checkpoint of a causal language model: {reason}"
        ) from None


def from_config(vocab_size: int, hidden_size: int, num_layers: int) -> PreTrainedModel:
    """Make a new Qwen2 model, with random weights from torch's current seed."""
    config = Qwen2Config(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=4 * hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=hidden_size // _HEAD_SIZE,
        num_key_value_heads=hidden_size // _HEAD_SIZE,
        tie_word_embeddings=True,
        initializer_range=0.06,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    return Qwen2ForCausalLM(config)


def blocks(
    path: str, text_key: str, tokenizer: PreTrainedTokenizerBase, sequence_length: int
) -> Blocks:
    """Join all texts of a pool and cut them into rows of ``sequence_length`` + 1 tokens.

    The end of every text is marked; the last tokens, too few for a row, are left out.
    """
    content = list(texts([Path(path)], text_key))
    end = tokenizer.eos_token_id
    if end is None:
        raise InputError(f"the tokenizer {tokenizer.name_or_path!r} has no end-of-text token")
    encoded = tokenizer(content, add_special_tokens=False, verbose=False)["input_ids"]
    tokens = torch.tensor([token for row in encoded for token in (*row, end)], dtype=torch.long)
    lengths = torch.tensor([len(row) + 1 for row in encoded])
    num_rows = (len(tokens) - 1) // sequence_length
    if num_rows == 0:
        raise InputError(
            f"{path} has {len(tokens)} tokens, fewer than one row of sequence_length "
            f"{sequence_length}"
        )
    rows = tokens[: num_rows * sequence_length + 1].unfold(0, sequence_length + 1, sequence_length)
    num_bytes = sum(len(text.encode()) for text in content)
    return Blocks(rows, round(num_bytes * num_rows * sequence_length / len(tokens)), lengths)


def token_loss(model: PreTrainedModel, rows: Tensor, *, reduction: str = "mean") -> Tensor:
    """Return the cross-entropy of every row's tokens but its first, in nats."""
    with torch.autocast(rows.device.type, torch.bfloat16, enabled=rows.device.type == "cuda"):
        logits = model(input_ids=rows[:, :-1], use_cache=False).logits
    return torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), rows[:, 1:].flatten(), reduction=reduction
    )


@torch.no_grad()
def token_losses(model: PreTrainedModel, rows: Tensor) -> Tensor:
    """Return the cross-entropy of every predicted token in nats, as one row of doubles."""
    model.train(False)
    parts = [
        token_loss(model, part.to(model.device), reduction="none").double().cpu()
        for part in torch.split(rows, _EVAL_BATCH)
    ]
    return torch.cat(parts)


def scores(losses: Tensor, num_bytes: int) -> dict[str, float]:
    """Return ``loss`` in nats a token, ``perplexity`` a token, and ``bits_per_byte``."""
    loss = losses.mean().item()
    return {
        "loss": loss,
        "perplexity": math.exp(min(loss, 700.0)),
        "bits_per_byte": losses.sum().item() / math.log(2) / num_bytes,
    }


def place(model: PreTrainedModel) -> PreTrainedModel:
    """Move a model to the first visible GPU, if any; on a CPU small models get one thread."""
    if model.config.hidden_size < _SMALL and "OMP_NUM_THREADS" not in os.environ:
        # More threads wait for each other: 7 times as slow on a busy machine.
        torch.set_num_threads(1)
    torch.nn.Module.to(model, "cuda" if torch.cuda.is_available() else "cpu")
    return model
