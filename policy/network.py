"""The network: a small transformer over what was observed, with a head for each part of an edit and one for the value.

Tokens are a set, so attention has no order and looks both ways: a token's type says what it is, and its position is the age of a trial
(0 for everything that is not a trial). The probability of an edit is that of its kind, times that of its site given the kind, times
that of its choice given both. Each upper head adds the log-sum-exp of what lies below it, so that a kind is as attractive as its
best site and a site as its best choice; with that, the product of the three softmaxes telescopes into one softmax over the sum of the
heads, which is how it is computed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import softplus
from torch.nn.utils.rnn import pad_sequence
from transformers import BertConfig, BertModel

from policy.memory import TRIAL_WIDTH
from policy.observe import KIND_WIDTH, MAX_TRIALS, OPTION_WIDTH, PLACE_WIDTH, SCENE_WIDTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from policy.observe import Observation

WIDTH = 48
IMPOSSIBLE = -1e9  # a logit whose probability is exactly 0.0 in float32, and whose gradient is no NaN


@dataclass(frozen=True, slots=True)
class Batch:
    """B observations, padded to the longest: see Observation for the shapes behind the first dimension."""

    scene: Tensor
    kinds: Tensor
    sites: Tensor
    trials: Tensor
    options: Tensor
    kind_of: Tensor
    site_of: Tensor
    log_prior: Tensor
    log_improvement: Tensor
    is_token: Tensor  # (B, 1 + K + S + H) bool, False where padded
    is_option: Tensor  # (B, M) bool


@dataclass(frozen=True, slots=True)
class Heads:
    """The logit of every option, by head: all (B, M)."""

    kind: Tensor
    site: Tensor
    choice: Tensor


def collate(observations: Sequence[Observation]) -> Batch:
    """Pad observations to one batch."""

    def pad(name: str) -> Tensor:
        return pad_sequence([getattr(observation, name) for observation in observations], batch_first=True)

    def mask(name: str) -> Tensor:
        lengths = torch.tensor([len(getattr(observation, name)) for observation in observations])
        return torch.arange(int(lengths.max()))[None] < lengths[:, None]

    return Batch(
        pad("scene"),
        pad("kinds"),
        pad("sites"),
        pad("trials"),
        pad("options"),
        pad("kind_of"),
        pad("site_of"),
        pad("log_prior"),
        pad("log_improvement"),
        is_token=torch.cat([mask(name) for name in ("scene", "kinds", "sites", "trials")], 1),
        is_option=mask("options"),
    )


class EditNetwork(nn.Module):  # type: ignore[misc]  # torch is read as Any (pyproject.toml)
    """Observations in; the log-probability of every option and the value of the campaign out."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.read_scene = nn.Linear(SCENE_WIDTH, WIDTH)
        self.read_kind = nn.Linear(KIND_WIDTH, WIDTH)
        self.read_site = nn.Linear(PLACE_WIDTH, WIDTH)
        self.read_trial = nn.Linear(TRIAL_WIDTH, WIDTH)
        self.read_option = nn.Linear(OPTION_WIDTH, WIDTH)
        self.encoder = BertModel(
            BertConfig(
                vocab_size=1,
                hidden_size=WIDTH,
                num_hidden_layers=2,
                num_attention_heads=4,
                intermediate_size=2 * WIDTH,
                max_position_embeddings=1 + MAX_TRIALS,
                type_vocab_size=4,
                hidden_dropout_prob=0.0,  # a log-probability must be the same when it is computed again
                attention_probs_dropout_prob=0.0,
            ),
            add_pooling_layer=False,
        )
        self.encoder.set_input_embeddings(nn.Identity())  # our tokens are no words: they are embedded above
        self.kind_head = _quiet(nn.Linear(WIDTH, 1))
        self.query = _quiet(nn.Linear(WIDTH, WIDTH))
        self.key = nn.Linear(WIDTH, WIDTH)
        self.choice_head = nn.Sequential(nn.Linear(3 * WIDTH, WIDTH), nn.GELU(), _quiet(nn.Linear(WIDTH, 1)))
        self.value_head = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), _quiet(nn.Linear(WIDTH, 1)))
        self.trust = nn.Parameter(torch.tensor(math.log(math.e - 1)))  # in the surrogate; its softplus is 1 at first

    def decide(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return log-probabilities (B, M), IMPOSSIBLE where padded, and values (B,)."""
        heads, values = self.heads(batch)
        logits = (heads.kind + heads.site + heads.choice) / self.temperature + batch.log_prior
        return torch.log_softmax(logits.masked_fill(~batch.is_option, IMPOSSIBLE), -1), values

    def heads(self, batch: Batch) -> tuple[Heads, Tensor]:
        """Return each head's own logits, without what lies below them, and the values (B,)."""
        tokens = self._encode(batch)  # (B, T, WIDTH)
        n_kinds, n_sites = batch.kinds.shape[1], batch.sites.shape[1]
        kinds = _pick(tokens[:, 1 : 1 + n_kinds], batch.kind_of)  # (B, M, WIDTH)
        sites = _pick(tokens[:, 1 + n_kinds : 1 + n_kinds + n_sites], batch.site_of)  # (B, M, WIDTH)
        pointer = (self.query(kinds) * self.key(sites)).sum(-1) / math.sqrt(WIDTH)
        choice = self.choice_head(torch.cat([self.read_option(batch.options), kinds, sites], -1))[..., 0]
        choice = choice + softplus(self.trust) * batch.log_improvement
        return Heads(self.kind_head(kinds)[..., 0], pointer, choice), self.value_head(tokens[:, 0])[..., 0]

    def _encode(self, batch: Batch) -> Tensor:
        groups = (
            self.read_scene(batch.scene),
            self.read_kind(batch.kinds),
            self.read_site(batch.sites),
            self.read_trial(batch.trials),
        )
        types = torch.cat([torch.full((group.shape[1],), i) for i, group in enumerate(groups)])  # (T,)
        n_trials = batch.trials.shape[1]
        ages = torch.cat([torch.zeros(len(types) - n_trials, dtype=torch.int64), 1 + torch.arange(n_trials)])  # (T,)
        shape = batch.is_token.shape
        encoded = self.encoder(
            inputs_embeds=torch.cat(groups, 1),
            attention_mask=batch.is_token.long(),
            token_type_ids=types.expand(shape),
            position_ids=ages.expand(shape),
        )
        return encoded.last_hidden_state


def _quiet(layer: nn.Linear) -> nn.Linear:
    """Start a head near zero: an untrained network adds nothing to prior and surrogate."""
    with torch.no_grad():
        layer.weight.mul_(0.1)
        layer.bias.zero_()
    return layer


def _pick(tokens: Tensor, rows: Tensor) -> Tensor:
    """Return tokens (B, N, D) at rows (B, M): (B, M, D). gather, because the gradient of indexing adds in no fixed order."""
    return tokens.gather(1, rows[..., None].expand(-1, -1, tokens.shape[-1]))
