"""Blocks that the methods share: the training loop, checkpoints, devices, batched perceptrons."""

from skcausal.nn._alternating_attention import AlternatingAttention
from skcausal.nn._best_epoch import best_epoch
from skcausal.nn._checkpoint import load_checkpoint, save_checkpoint
from skcausal.nn._device import resolve_device, resolve_dtype
from skcausal.nn._distributed import join_processes, local_device
from skcausal.nn._member_mlp import ACTIVATIONS, MemberMLP
from skcausal.nn._training import train, warmup_cosine

__all__ = [
    "ACTIVATIONS",
    "AlternatingAttention",
    "MemberMLP",
    "best_epoch",
    "join_processes",
    "load_checkpoint",
    "local_device",
    "resolve_device",
    "resolve_dtype",
    "save_checkpoint",
    "train",
    "warmup_cosine",
]
