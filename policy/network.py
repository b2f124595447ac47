"""The network: a small transformer over what was observed, with a head for each part of an edit and one for the value.

Tokens are a set, so attention has no order and looks both ways: a token's type says what it is, its position is the age of a trial
(0 for everything that is not a trial), and each head adds to the attention of two tokens what it learned of their relation.
The probability of an edit is that of its kind, times that of its site given the kind, times that of its choice given both. Each upper
head adds the log-sum-exp of what lies below it, so that a kind is as attractive as its best site and a site as its best choice; with
that, the product of the three softmaxes telescopes into one softmax over the sum of the heads, which is how it is computed.
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
from policy.observe import KIND_WIDTH, MAX_TRIALS, OPTION_WIDTH, PLACE_WIDTH, SCENE_WIDTH, Relation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from policy.observe import Observation

WIDTH = 48
N_HEADS = 4
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
    relations: Tensor  # (B, T, T) int64, T = 1 + K + S + H
    is_token: Tensor  # (B, T) bool, False where padded
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

    lengths = [[len(getattr(each, name)) for name in ("kinds", "sites", "trials")] for each in observations]
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
        _pad_relations([observation.relations for observation in observations], lengths),
        is_token=torch.cat([mask(name) for name in ("scene", "kinds", "sites", "trials")], 1),
        is_option=mask("options"),
    )


def _pad_relations(relations: Sequence[Tensor], lengths: Sequence[Sequence[int]]) -> Tensor:
    """Put relations where padding has moved their tokens: (B, T, T)."""
    longest = [max(each) for each in zip(*lengths, strict=True)]
    total = 1 + sum(longest)
    padded = torch.zeros(len(relations), total, total, dtype=torch.int64)
    for into, matrix, own in zip(padded, relations, lengths, strict=True):
        starts = [1, 1 + longest[0], 1 + longest[0] + longest[1]]
        places = torch.cat(
            [torch.zeros(1, dtype=torch.int64), *(s + torch.arange(n) for s, n in zip(starts, own, strict=True))]
        )
        into[places[:, None], places] = matrix
    return padded


class EditNetwork(nn.Module):  # type: ignore[misc]  # torch is read as Any (pyproject.toml)
    """Observations in; the log-probability of every option and the value of the campaign out.

    flat: one head for all options, in the place of those for kinds, sites and choices; for ablations.
    """

    def __init__(self, temperature: float, *, flat: bool = False) -> None:
        super().__init__()
        self.temperature, self.flat = temperature, flat
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
                num_attention_heads=N_HEADS,
                intermediate_size=2 * WIDTH,
                max_position_embeddings=1 + MAX_TRIALS,
                type_vocab_size=4,
                hidden_dropout_prob=0.0,  # a log-probability must be the same when it is computed again
                attention_probs_dropout_prob=0.0,
            ),
            add_pooling_layer=False,
        )
        self.encoder.set_input_embeddings(nn.Identity())  # our tokens are no words: they are embedded above
        self.relation = nn.Embedding(1 + len(Relation), N_HEADS)
        nn.init.zeros_(self.relation.weight)
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
        kind, above = self.kind_head(kinds)[..., 0], 0.0 if self.flat else 1.0
        return Heads(above * kind, above * pointer, choice), self.value_head(tokens[:, 0])[..., 0]

    def attend(self, batch: Batch) -> Tensor:
        """Return how much of the campaign's token is made of each token in the last layer, the mean over heads: (B, T), rows sum to 1.

        The attention of the encoder returns no weights, and one that does would not add in the same order: they are computed beside it.
        """
        inputs = self._embed(batch)
        below = self.encoder(**inputs, output_hidden_states=True).hidden_states[
            -2
        ]  # (B, T, WIDTH), what the last layer sees
        layer = self.encoder.encoder.layer[-1].attention.self
        query = layer.query(below[:, 0]).unflatten(-1, (N_HEADS, -1))  # (B, N_HEADS, WIDTH / N_HEADS)
        key = layer.key(below).unflatten(-1, (N_HEADS, -1))  # (B, T, N_HEADS, WIDTH / N_HEADS)
        logits = torch.einsum("bhd,bthd->bht", query, key) / math.sqrt(WIDTH / N_HEADS)
        return torch.softmax(logits + inputs["attention_mask"][:, :, 0], -1).mean(1)

    def _encode(self, batch: Batch) -> Tensor:
        return self.encoder(**self._embed(batch)).last_hidden_state

    def _embed(self, batch: Batch) -> dict[str, Tensor]:
        """Return what the encoder takes."""
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
        bias = self.relation(batch.relations).permute(0, 3, 1, 2)  # (B, N_HEADS, T, T)
        return {
            "inputs_embeds": torch.cat(groups, 1),
            "attention_mask": bias.masked_fill(~batch.is_token[:, None, None], IMPOSSIBLE),
            "token_type_ids": types.expand(shape),
            "position_ids": ages.expand(shape),
        }


def _quiet(layer: nn.Linear) -> nn.Linear:
    """Start a head near zero: an untrained network adds nothing to prior and surrogate."""
    with torch.no_grad():
        layer.weight.mul_(0.1)
        layer.bias.zero_()
    return layer


def _pick(tokens: Tensor, rows: Tensor) -> Tensor:
    """Return tokens (B, N, D) at rows (B, M): (B, M, D). gather, because the gradient of indexing adds in no fixed order."""
    return tokens.gather(1, rows[..., None].expand(-1, -1, tokens.shape[-1]))
