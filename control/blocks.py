"""card -> blocks: how moves, bounds and limits are laid out over the horizon; arrays made once for each problem."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from control.compiled import Card
from soft_sensors.signals import FloatArray


@dataclass(frozen=True)
class Bounds:
    """Hard and soft bounds of one step: inputs [n_u], largest change a step [n_u], soft limits [n_l]."""

    low: FloatArray
    high: FloatArray
    rate: FloatArray
    limit_low: FloatArray
    limit_high: FloatArray

    @staticmethod
    def of(card: Card) -> Bounds:
        """The card's own."""
        own = (card.input_low, card.input_high, card.input_rate, card.limit_low, card.limit_high)
        return Bounds(*(np.array(values, float) for values in own))


@dataclass(frozen=True)
class Blocks:
    """The move blocks of a card: a move is a block's change of every input, block by block."""

    card: Card

    def evened(self, U: FloatArray) -> FloatArray:
        """Inputs [n_u, N] with each block at its mean."""
        even: FloatArray = (np.add.reduceat(U, self.starts, axis=1) / self.length)[:, self.of_step]
        return even

    @cached_property
    def of_step(self) -> np.ndarray:
        """The block of each step [N]."""
        return np.repeat(np.arange(len(self.card.blocks)), self.card.blocks)

    @cached_property
    def starts(self) -> np.ndarray:
        """First step of each block."""
        return np.concatenate([[0], np.cumsum(self.card.blocks)[:-1]])

    @cached_property
    def ends(self) -> np.ndarray:
        """Last step of each block: where soft limits are looked at."""
        return np.cumsum(self.card.blocks) - 1

    @cached_property
    def length(self) -> FloatArray:
        """Steps of each block."""
        return np.array(self.card.blocks, float)

    @cached_property
    def scale(self) -> FloatArray:
        """Typical size of each move."""
        return np.tile(np.array(self.card.input_scale, float), len(self.card.blocks))

    @cached_property
    def scale_squared(self) -> FloatArray:
        """Of the Hessian."""
        return np.outer(self.scale, self.scale)

    @cached_property
    def diagonal(self) -> tuple[np.ndarray, ...]:
        """Where the Hessian's diagonal is."""
        return np.diag_indices(len(self.scale))

    @cached_property
    def limit_weight(self) -> FloatArray:
        """Cost of each unit beyond a soft limit."""
        return np.array(self.card.limit_weight, float)

    @cached_property
    def move_weight(self) -> FloatArray:
        """Cost of each squared change from block to block."""
        return np.tile(np.array(self.card.move_weight, float), len(self.card.blocks))

    @cached_property
    def difference(self) -> FloatArray:
        """Moves -> changes from block to block."""
        n, blocks = len(self.card.inputs), len(self.card.blocks)
        return np.eye(n * blocks) - np.eye(n * blocks, k=-n)

    @cached_property
    def travel(self) -> FloatArray:
        """The changes' part of the Hessian, halved."""
        weighed: FloatArray = self.difference.T @ (self.move_weight[:, None] * self.difference)
        return weighed
