"""What a person may ask through the server: a method call becomes a request on the journal, as from the page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from asyncua import ua

from edge.errors import PatloopError
from edge.hmi.screen import MODES
from edge.people.accounts import Account, Accounts
from edge.publish.opcua_server_content import may_answer
from edge.publish.opcua_server_door import Brake
from edge.publish.opcua_server_look import View
from edge.record.canonical import encode
from edge.record.journal import Journal

LONGEST = 300  # characters of a text, as on the page
MOST_A_MINUTE = 30  # requests of one person
ACKNOWLEDGE = ua.NodeId(ua.ObjectIds.AcknowledgeableConditionType_Acknowledge)
STRING, UINT64 = ua.VariantType.String, ua.VariantType.UInt64
REASON = ("reason", STRING, "why, for the record")


class NotDone(Exception):  # noqa: N818 - a refusal with its status code
    """The call is refused; code: name of the status code, argument: index of the one that is to blame, -1 none."""

    def __init__(self, code: str, argument: int = -1) -> None:
        super().__init__(code)
        self.code, self.argument = code, argument


@dataclass(frozen=True)
class Verb:
    """A method: where it hangs, the action of the request, and its arguments (name, type, meaning)."""

    path: str
    action: str
    arguments: tuple[tuple[str, Any, str], ...]


def verbs(root: str, *, answers: bool = True) -> tuple[Verb, ...]:
    """The methods of a line; answers: it has recommendations that can be accepted or declined."""
    record = ("record", UINT64, "the cycle's record that was seen (State/CycleRecord); 0: not told")
    always = (
        Verb(f"{root}/State/RequestMode", "mode", (("mode", STRING, "one of State/ModesAllowed"), REASON)),
        Verb(f"{root}/Alarms/Acknowledge", "ack", (("name", STRING, "one of Alarms/Names"), REASON)),
    )
    if not answers:
        return always
    return (
        *always,
        Verb(f"{root}/Recommendation/Accept", "accept", (record, REASON)),
        Verb(f"{root}/Recommendation/Decline", "decline", (record, REASON)),
    )


class Asks:
    """The judge of method calls: who may ask, is it well formed, may it be asked now; then it goes on the journal."""

    def __init__(self, journal: Journal, accounts: Accounts, look: Callable[[], View]) -> None:
        self._journal, self._accounts, self._look = journal, accounts, look
        self._verbs: dict[Any, tuple[Verb, Any]] = {}
        self._brake = Brake(MOST_A_MINUTE, 60.0)
        self.event_ids: dict[Any, tuple[str, bytes]] = {}
        """The standing alarms as conditions: condition id -> name, and the id of its newest event."""

    def begin(self, offered: Iterable[Verb], id_of: Callable[[str], Any]) -> None:
        """Learn the ids of methods and their objects, once the tree is built."""
        self._verbs = {id_of(verb.path): (verb, id_of(verb.path.rpartition("/")[0])) for verb in offered}

    async def answer(self, name: str, asked: Any) -> Any:
        """The result of one call; never raises for what a client sends."""
        try:
            seq = self._done(name, asked)
        except NotDone as refusal:
            return _refused(asked, refusal)
        except PatloopError:  # the journal takes no records now: nothing was asked
            return _refused(asked, NotDone("BadResourceUnavailable"))
        out = [] if asked.MethodId == ACKNOWLEDGE else [ua.Variant(seq, UINT64)]
        fine = [ua.StatusCode() for _ in asked.InputArguments or ()]
        return ua.CallMethodResult(InputArgumentResults=fine, OutputArguments=out)

    def _done(self, name: str, asked: Any) -> int:
        account = self._who(name)
        if asked.MethodId == ACKNOWLEDGE:
            action, value, reason, seen = self._condition(asked)
        else:
            verb, owner = self._verbs.get(asked.MethodId, (None, None))
            if verb is None or asked.ObjectId != owner:
                raise NotDone("BadMethodInvalid")
            action, value, reason, seen = _read(verb, asked.InputArguments or [])
        self._check(action, value, reason)
        if self._brake.held(account.name):
            raise NotDone("BadTooManyOperations")
        self._brake.count(account.name)
        body = {"action": action, "value": value, "user": account.name, "reason": reason, "cycle_seq": seen}
        return self._journal.append("request", time.time(), encode({**body, "via": "opcua"})).seq

    def _who(self, name: str) -> Account:
        """The account as it is now: its role may have been taken since the log-in."""
        account = self._accounts.get(name)
        if account is None or account.disabled or account.must_change or not account.role.may_ask:
            raise NotDone("BadUserAccessDenied")
        return account

    def _condition(self, asked: Any) -> tuple[str, str, str, int | None]:
        """Acknowledge of Part 9: of a standing alarm, with the id of its newest event."""
        known = self.event_ids.get(asked.ObjectId)
        if known is None:
            raise NotDone("BadNodeIdUnknown")
        told = asked.InputArguments or []
        _count(told, 2)
        if told[0].VariantType is not ua.VariantType.ByteString or told[0].Value != known[1]:
            raise NotDone("BadEventIdUnknown", 0)
        comment = told[1].Value if told[1].VariantType is ua.VariantType.LocalizedText else None
        if comment is None or told[1].is_array:
            raise NotDone("BadTypeMismatch", 1)
        return "ack", known[0], _clean(comment.Text or "", 1), None

    def _check(self, action: str, value: str, reason: str) -> None:
        """May this be asked now? The same answers as the page's."""
        view = self._look()
        if action == "mode":
            self._check_mode(view, value, reason)
        elif action == "ack":
            if value not in [alarm["name"] for alarm in view.thought.get("alarms") or ()]:
                raise NotDone("BadNotFound", 0)
        elif not may_answer(view):
            raise NotDone("BadInvalidState")
        elif action == "decline" and not reason:
            raise NotDone("BadInvalidArgument", 1)

    def _check_mode(self, view: View, value: str, reason: str) -> None:
        ceiling = ((view.live.start.get("config") or {}).get("line") or {}).get("mode_ceiling", "monitor")
        allowed = MODES[: MODES.index(ceiling) + 1] if ceiling in MODES else MODES[:1]
        if value not in allowed:
            raise NotDone("BadOutOfRange", 0)
        if not reason:
            raise NotDone("BadInvalidArgument", 1)
        if value == "closed" and view.live.stale:
            raise NotDone("BadInvalidState")


def _read(verb: Verb, told: list[Any]) -> tuple[str, str, str, int | None]:
    """action, value, reason and the record that was seen, out of the arguments of one of our methods."""
    _count(told, len(verb.arguments))
    for place, (_, kind, _) in enumerate(verb.arguments):
        if told[place].VariantType is not kind or told[place].is_array or told[place].Value is None:
            raise NotDone("BadTypeMismatch", place)
    reason = _clean(told[1].Value, 1)
    if verb.arguments[0][1] is UINT64:
        return verb.action, "", reason, int(told[0].Value) or None
    return verb.action, _clean(told[0].Value, 0), reason, None


def _count(told: list[Any], wanted: int) -> None:
    if len(told) != wanted:
        raise NotDone("BadArgumentsMissing" if len(told) < wanted else "BadTooManyArguments")


def _clean(text: str, place: int) -> str:
    """A text as it may stand on the record: not too long, one line, nothing that does not print."""
    text = text.strip()
    if len(text) > LONGEST or not text.isprintable():
        raise NotDone("BadOutOfRange", place)
    return text


def _refused(asked: Any, refusal: NotDone) -> Any:
    code = ua.StatusCode(ua.UInt32(getattr(ua.StatusCodes, refusal.code)))
    if refusal.argument < 0:
        return ua.CallMethodResult(StatusCode=code)
    each = [code if n == refusal.argument else ua.StatusCode() for n in range(len(asked.InputArguments))]
    whole = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadInvalidArgument))
    return ua.CallMethodResult(StatusCode=whole, InputArgumentResults=each)
