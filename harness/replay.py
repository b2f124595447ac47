"""The replay: events of a ledger in, a Record out. What cannot follow from the events before it is refused.

Each event carries a digest of itself and of the one before it, so a flipped bit anywhere is found where it is, not only where JSON breaks.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields, is_dataclass, replace
from hashlib import blake2b
from typing import Any

from pydantic import BaseModel

from harness.record import Final, Proposal, Recheck, Record, Settings
from harness.values import Decision, Outcome, Reward, Scoring, Status, Trial, TrialError, Verdict
from harness.verdict import cost_of
from mutator.edit import Edit
from targets.wishes import Weights


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the ledger; the body is a JSON object."""

    seq: int
    ts: float
    type: str
    body: str
    chain: str  # digest of the event before and of this one

    @classmethod
    def after(cls, state: State, ts: float, type_: str, body: dict[str, object]) -> Event:
        """Make the event that follows a state."""
        text = json.dumps(plain(body), allow_nan=False)
        seq = state.n_events + 1
        return cls(seq, ts, type_, text, _link(state.chain, seq, ts, type_, text))


class State:
    """The replay in progress. Each event checks what it says against the events before it, then adds to them."""

    def __init__(self) -> None:
        self.n_events = 0
        self.chain = ""
        self.trials: dict[int, Trial] = {}
        self.proposals: dict[int, Proposal] = {}
        self._baseline: list[Outcome] = []
        self._rechecks: list[Recheck] = []
        self._finals: list[Final] = []
        self._settings: Settings | None = None
        self._stop_reason: str | None = None

    @property
    def record(self) -> Record:
        """The campaign so far."""
        assert self._settings is not None  # the first event says them
        proposals, trials = tuple(self.proposals.values()), tuple(self.trials.values())
        later = tuple(self._rechecks), tuple(self._finals)
        return Record(self._settings, tuple(self._baseline), proposals, trials, *later, self._stop_reason)

    def take(self, event: Event) -> None:
        """Check and apply one event.

        Raises: TrialError: it is damaged, or it cannot follow the events before it.
        """
        require(event.seq == self.n_events + 1, f"event {event.seq} follows event {self.n_events}; restore a copy")
        require((event.type == "campaign") == (event.seq == 1), f"event {event.seq} is {event.type!r}; restore a copy")
        kinds = tuple(type(value) for value in (event.ts, event.type, event.body))
        require(kinds == (float, str, str), f"event {event.seq} is not what was written; restore a copy")
        link = _link(self.chain, event.seq, event.ts, event.type, event.body)
        require(event.chain == link, f"event {event.seq} is not what was written; restore a copy")
        try:
            self._apply(event.type, json.loads(event.body))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise TrialError(f"event {event.seq} ({event.type}) cannot be read: {error!r}; restore a copy") from error
        self.n_events, self.chain = event.seq, event.chain
        self._stop_reason = self._stop_reason if event.type == "stopped" else None

    def _apply(self, type_: str, body: dict[str, Any]) -> None:
        match type_:
            case "campaign":
                self._settings = _settings(body["settings"])
            case "baseline":
                require(body["index"] == len(self._baseline), f"baseline run {body['index']} is out of order")
                self._baseline.append(_outcome(body["outcome"]))
            case "proposed":
                self._propose(_proposal(body["proposal"]))
            case "run":
                self._run(body["number"], body["index"], _outcome(body["outcome"]))
            case "judged":
                self._judge(body["number"], _verdict(body["verdict"]), _reward(body["reward"]))
            case "rechecked":
                runs = (_outcome(body[name]) for name in ("incumbent", "baseline"))
                self._rechecks.append(Recheck(self._judged(body["trial"]), *runs))
            case "final":
                about = self._judged(body["trial"]), body["role"], Scoring(body["scoring"])
                self._finals.append(Final(*about, _outcome(body["outcome"])))
            case "stopped":
                self._stop_reason = body["reason"]
            case _:
                raise TrialError(f"event type {type_!r} is unknown; read the campaign with a newer codegraft")

    def _propose(self, proposal: Proposal) -> None:
        last = next(reversed(self.proposals), 0)
        require(proposal.number > last, f"trial {proposal.number} is proposed after trial {last}")
        on = self.trials.get(proposal.parent)
        require(
            proposal.parent == 0 or (on is not None and on.ok),
            f"trial {proposal.number} is made on trial {proposal.parent}, which was not measured",
        )
        require(not proposal.outcomes, f"trial {proposal.number} is proposed with outcomes; add its runs one by one")
        self.proposals[proposal.number] = proposal

    def _run(self, number: int, index: int, outcome: Outcome) -> None:
        proposal = self._open_proposal(number)
        require(index == len(proposal.outcomes), f"run {index} of trial {number} is out of order")
        self.proposals[number] = replace(proposal, outcomes=(*proposal.outcomes, outcome))

    def _judge(self, number: int, verdict: Verdict, reward: Reward) -> None:
        proposal = self._open_proposal(number)
        require(bool(proposal.outcomes), f"trial {number} is judged before it ran")
        made = (proposal.parent, proposal.script, proposal.snapshot, proposal.commit, proposal.outcomes)
        self.trials[number] = Trial(number, *made, verdict, reward, cost_of(proposal.outcomes, self._baseline))

    def _judged(self, number: int) -> int:
        require(number in self.trials, f"trial {number} is evaluated again before it was judged")
        return number

    def _open_proposal(self, number: int) -> Proposal:
        require(number in self.proposals, f"trial {number} was never proposed")
        require(number not in self.trials, f"trial {number} is judged already; a verdict is final")
        return self.proposals[number]


def _link(before: str, seq: int, ts: float, type_: str, body: str) -> str:
    """Return the digest that ties an event to all before it."""
    return blake2b(json.dumps([before, seq, ts, type_, body]).encode(), digest_size=16).hexdigest()


def require(holds: bool, otherwise: str) -> None:
    """Refuse what cannot be.

    Raises: TrialError: it does not hold.
    """
    if not holds:
        raise TrialError(otherwise)


def plain(value: object) -> object:
    """Reduce a value to JSON: NaN is null, an infinity is {"float": "inf"}; every other float keeps its bits."""
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, BaseModel):
        return plain(value.model_dump())
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else {"float": str(value)}
    return value


def _scalar(value: Any) -> Any:  # noqa: ANN401 - the inverse of plain on a field that is no tuple
    return math.nan if value is None else float(value["float"]) if isinstance(value, dict) else value


def _pairs(items: list[list[Any]]) -> tuple[tuple[str, Any], ...]:
    return tuple((name, _scalar(value)) for name, value in items)


def _outcome(body: dict[str, Any]) -> Outcome:
    curve = tuple(_scalar(value) for value in body["curve"])
    scalars = {name: _scalar(value) for name, value in body.items() if name not in ("curve", "phases")}
    return Outcome(**{**scalars, "status": Status(body["status"]), "curve": curve, "phases": _pairs(body["phases"])})


def _settings(body: dict[str, Any]) -> Settings:
    """Read settings; a ledger from before weights could be chosen says none."""
    return Settings(**{**body, "weights": Weights(**body.get("weights", {}))})


def _proposal(body: dict[str, Any]) -> Proposal:
    script = tuple(Edit(**{**edit, "choice": _pairs(edit["choice"])}) for edit in body["script"])
    outcomes = tuple(_outcome(outcome) for outcome in body["outcomes"])
    return Proposal(**{**body, "script": script, "promises": tuple(body["promises"]), "outcomes": outcomes})


def _verdict(body: dict[str, Any]) -> Verdict:
    numbers = {name: _scalar(body[name]) for name in ("metric", "gain", "z", "lead")}
    return Verdict(Decision(body["decision"]), reason=body["reason"], **numbers)


def _reward(body: dict[str, Any]) -> Reward:
    return Reward(_pairs(body["terms"]))
