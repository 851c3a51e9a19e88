"""sample, thought -> journal rows, and back: what the cycle records, complete enough to think it again."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from control.compiled import FUNCTIONS
from edge.record.canonical import decode, encode, encode_with, from_plain, pack_spectrum, to_plain, unpack_spectrum
from edge.record.checkpoint import Signer
from edge.record.journal import Journal, Row
from edge.record.readings import encode_readings
from edge.record.upkeep import Upkeep
from edge.signals import Acted, Licence, Request, Sample, Scan, Thought, Verification
from soft_sensors.bundle import HASHES, PARTS
from soft_sensors.signals import FloatArray, Quality, Spectrum

# What load_bundle and load_controller read.
LOADED = frozenset({*PARTS, HASHES, "card.toml", "golden.npz", *(f"{name}.casadi" for name in FUNCTIONS)})
LATER = ("told", "texts", "lims", "context")  # of a scan: what records of earlier releases do not hold
LOST_CYCLES = 2  # a service that is started again within so many has lost nothing worth telling
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # a fixed stamp, so that the same bundle is the same bytes


class JournalRecorder:
    """Records cycles, write outcomes and starts; reads people's requests. Raises edge.errors.RecorderError."""

    def __init__(
        self, journal: Journal, signer: Signer | None = None, sign_cycles: int = 600, sign_s: float = 3600.0,
        upkeep: Upkeep | None = None,
    ) -> None:  # fmt: skip
        """signer: signs the head at start, stop and every sign_cycles cycles or sign_s seconds; None: nobody does.

        upkeep: retires old records and keeps room for the last; None: the journal is left to itself.
        """
        self._journal, self._upkeep = journal, upkeep
        self._signer, self._sign_cycles, self._sign_s = signer, sign_cycles, sign_s
        self._unsigned, self._signed_s = 0, 0.0  # cycles since the last checkpoint, and when it was
        self._axis: FloatArray | None = None
        self._blob = b""  # of the newest spectrum: the next is packed in the same form
        newest = journal.last()
        self._read_to = newest.seq if newest else 0
        self._others: int | None = None  # what the journal said of other writers when it was read to there
        self._answered_to = self._read_to  # requests up to here were handed to a cycle that is recorded
        self._recorded_counter: tuple[int, float] | None = None

    def start(self, time_s: float, body: dict[str, Any], artefacts: dict[str, tuple[str, Path]]) -> Row:
        """Record a start; each artefact (name -> hash, folder) is stored once a journal, whole.

        Time that was lost before it, without an orderly stop, is recorded first, as a gap.
        """
        self._own_up(time_s, body)
        held = {decode(row.body)["hash"] for row in self._journal.rows(kind="artefact")}
        for name, (digest, folder) in artefacts.items():
            if digest not in held:
                self.artefact(time_s, name, digest, folder)
        row = self._journal.append("start", time_s, encode(body))
        self._sign(time_s)
        return row

    def artefact(self, time_s: float, name: str, digest: str, folder: Path) -> None:
        """Store a bundle whole, so that what is decided with it can be computed again."""
        self._journal.append("artefact", time_s, encode({"name": name, "hash": digest}), pack_folder(folder))

    def last_licence(self) -> tuple[Licence | None, float]:
        """The licence of the newest cycle on the record and that cycle's time; None and 0 where there is none."""
        row = self._journal.last("cycle")
        plain = None if row is None else decode(row.body)["sample"].get("licence")
        if row is None or plain is None:
            return None, 0.0
        return from_plain(Licence, plain), row.time_s

    def last_verification(self) -> Verification | None:
        """What the newest cycle on the record knew of the instrument; None where there is none."""
        row = self._journal.last("cycle")
        plain = None if row is None else decode(row.body)["sample"].get("verification")
        return None if plain is None else from_plain(Verification, plain)

    def last_interval_factor(self) -> float:
        """How many times the card's the interval of the newest cycle on the record was; 1 where there is none."""
        row = self._journal.last("cycle")
        return 1.0 if row is None else float(decode(row.body)["thought"].get("interval_factor", 1.0))

    def stop(self, time_s: float, reason: str) -> None:
        """Record an orderly end."""
        self._journal.append("stop", time_s, encode({"reason": reason}))
        self._sign(time_s)

    def tidy(self, now_s: float) -> None:
        """What the record needs between two cycles: the head is signed when that is due, old records are retired."""
        if self._unsigned >= self._sign_cycles or (self._unsigned and abs(now_s - self._signed_s) >= self._sign_s):
            self._sign(now_s)
            self._axis = None  # written again with the next spectrum: it must not be retired with the oldest cycles
        if self._upkeep is not None:
            self._upkeep.tidy(now_s)

    def refused(self, now_s: float) -> None:
        """A cycle could not be recorded: requests that were handed to it are handed out again, room is made."""
        self._read_to, self._others = self._answered_to, None
        if self._upkeep is not None:
            self._upkeep.refused(now_s)

    def cycle(self, sample: Sample, thought: Thought) -> None:
        """Record a cycle; durable when this returns."""
        if self._upkeep is not None:
            self._upkeep.admit(sample.scan.time_s)
        plain, blob = self._plain(sample)
        seen = encode_with(plain, "readings", encode_readings(sample.scan.readings))
        body = b'{"sample":%b,"thought":%b}' % (seen, encode(thought))
        self._ours(self._journal.append("cycle", sample.scan.time_s, body, blob))
        self._unsigned += 1
        self._answered_to = self._read_to
        spectrum = sample.scan.spectrum
        if spectrum is not None:
            self._axis = spectrum.axis
            self._recorded_counter = (spectrum.counter, spectrum.time_s)

    def acted(self, sample: Sample, acted: Acted) -> None:
        """Record what became of the cycle's writes."""
        body = {"cycle": sample.cycle, "result": acted.outcome, "codes": acted.codes, "step": acted.step}
        self._ours(self._journal.append("act", sample.scan.time_s, encode(body)))

    def requests(self) -> tuple[Request, ...]:
        """Requests appended since the last call."""
        others = self._journal.others_wrote()
        if others == self._others and self._journal.appended <= self._read_to:
            return ()
        found = []
        for row in self._journal.rows(after_seq=self._read_to):
            self._read_to = row.seq
            if row.kind == "request":
                asked = decode(row.body)
                texts = (str(asked.get(key) or "") for key in ("action", "value", "user", "reason"))
                found.append(Request(row.seq, *texts))
        self._others = others
        return tuple(found)

    def _ours(self, row: Row) -> None:
        """Our own record asks for nothing: it is not read again where it follows what was read already."""
        if row.seq == self._read_to + 1:
            self._read_to = row.seq

    def _sign(self, time_s: float) -> None:
        if self._signer is not None:
            self._signer.checkpoint(self._journal, time_s)
        self._unsigned, self._signed_s = 0, time_s

    def _own_up(self, time_s: float, body: dict[str, Any]) -> None:
        """Record a gap when the newest cycle is older than LOST_CYCLES cycles and nobody stopped the service."""
        cycle, stop = self._journal.last("cycle"), self._journal.last("stop")
        cycle_s = body.get("config", {}).get("line", {}).get("cycle_s")
        if cycle is None or cycle_s is None or (stop is not None and stop.seq > cycle.seq):
            return
        lost_s = time_s - cycle.time_s
        if lost_s > LOST_CYCLES * cycle_s:
            told = {"from_s": cycle.time_s, "to_s": time_s, "seconds": lost_s, "after": cycle.seq}
            self._journal.append("gap", time_s, encode({**told, "why": "no orderly stop"}))

    def _plain(self, sample: Sample) -> tuple[dict[str, Any], bytes | None]:
        scan = sample.scan
        plain: dict[str, Any] = {
            "cycle": sample.cycle,
            "time_s": scan.time_s,
            "link": scan.link,
            "epoch": scan.epoch,
            "session_id": scan.session_id,
            "reason": scan.reason,
            "lab": [] if scan.lab is None else [scan.lab],
            **{key: getattr(scan, key) for key in LATER},
            "requests": sample.requests,
            "acted": sample.acted,
            "licence": sample.licence,
            "verification": sample.verification,
        }
        spectrum = scan.spectrum
        if spectrum is None:
            return {**plain, "spectrum": None}, None
        new = self._recorded_counter != (spectrum.counter, spectrum.time_s)
        same_axis = self._axis is not None and np.array_equal(spectrum.axis, self._axis)
        plain["spectrum"] = {
            "counter": spectrum.counter,
            "time_s": spectrum.time_s,
            "quality": spectrum.quality,
            "reason": spectrum.reason,
            "axis_unit": spectrum.axis_unit,
            "axis": None if same_axis else np.asarray(spectrum.axis, dtype=np.float64),
            "new": new,
        }
        if new:
            self._blob = pack_spectrum(spectrum.values, self._blob if same_axis else b"")
        return plain, self._blob if new else None


class SampleReader:
    """Rebuilds samples from the cycle rows of one start, in order: axis and values are recorded when they change."""

    def __init__(self) -> None:
        self._axis: FloatArray = np.zeros(0)
        self._values: FloatArray = np.zeros(0)

    def sample(self, plain: dict[str, Any], blob: bytes | None) -> Sample:
        """The sample as it was handed to think. Raises ValueError when the row does not hold one."""
        spectrum = None
        if blob is not None:
            self._values = unpack_spectrum(blob)
        if plain["spectrum"] is not None:
            seen = plain["spectrum"]
            self._axis = self._axis if seen["axis"] is None else seen["axis"]
            spectrum = Spectrum(
                axis=self._axis,
                axis_unit=seen["axis_unit"],
                values=self._values,
                counter=seen["counter"],
                time_s=seen["time_s"],
                quality=Quality(seen["quality"]),
                reason=seen["reason"],
            )
        keys = ("time_s", "link", "epoch", "session_id", "readings", "reason", *(k for k in LATER if k in plain))
        scan = from_plain(Scan, {**{k: plain[k] for k in keys}, "lab": (plain["lab"] or [None])[0]})
        scan = Scan(**{**scan.__dict__, "spectrum": spectrum})
        requests = from_plain(tuple[Request, ...], plain["requests"])
        told = plain.get("licence")
        licence = None if told is None else from_plain(Licence, told)
        seen = plain.get("verification")
        verification = None if seen is None else from_plain(Verification, seen)
        return Sample(plain["cycle"], scan, requests, from_plain(Acted, plain["acted"]), licence, verification)


def pack_folder(folder: Path) -> bytes:
    """The files of a bundle that the service loads as one zip, the same bytes for the same files.

    Figures, reports and calibration spectra stay out: the record needs what decides, not what explains.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for file in sorted(folder.iterdir()):
            if file.name in LOADED:
                archive.writestr(zipfile.ZipInfo(file.name, ZIP_TIME), file.read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def unpack_folder(blob: bytes, folder: Path) -> None:
    """The files of a packed bundle into `folder`; only plain names are accepted."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(blob)) as archive:
        for name in archive.namelist():
            if Path(name).name != name:
                raise ValueError(f"a bundle holds the path {name!r}")
            (folder / name).write_bytes(archive.read(name))


__all__ = ["JournalRecorder", "SampleReader", "pack_folder", "to_plain", "unpack_folder"]
