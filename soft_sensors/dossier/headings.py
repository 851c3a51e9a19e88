"""The headings of a dossier, what each rests on, and what is missing.

After FDA, Development and Submission of Near Infrared Analytical Procedures (August 2021), ICH Q14 and ICH Q2(R2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from soft_sensors.calibrate.evidence import CALIBRATION
from soft_sensors.dossier.plan import Plan, unfilled
from soft_sensors.errors import SensorError


@dataclass(frozen=True)
class Heading:
    """A numbered heading and the tables of the plan that it rests on."""

    number: int
    title: str
    plan: tuple[str, ...] = ()


HEADINGS = (
    Heading(1, "Summary and decision", ("document",)),
    Heading(2, "Intended use and context of use", ("use",)),
    Heading(3, "Analytical target profile", ("target", "criteria")),
    Heading(4, "Instrument and sample presentation", ("instrument",)),
    Heading(5, "Reference method", ("reference",)),
    Heading(6, "Calibration set", ("calibration",)),
    Heading(7, "Pre-treatment and spectral region", ("pretreatment",)),
    Heading(8, "Model size", ("size",)),
    Heading(9, "Performance"),
    Heading(10, "Specificity", ("specificity",)),
    Heading(11, "Linearity, range, accuracy and precision", ("precision",)),
    Heading(12, "Robustness", ("robustness",)),
    Heading(13, "Outlier limits", ("limits",)),
    Heading(14, "Independence of the test set", ("test",)),
    Heading(15, "Running the model", ("running",)),
    Heading(16, "Maintenance and updates", ("maintenance",)),
    Heading(17, "Life and signatures", ("signatures",)),
    Heading(18, "Evidence index"),
)


@dataclass(frozen=True)
class Lack:
    """A heading without evidence, and how to mend it."""

    number: int
    mend: str

    def __str__(self) -> str:
        return f"{self.number} {HEADINGS[self.number - 1].title}: {self.mend}"


class UnsupportedError(SensorError):
    """Headings have no evidence, so there is no dossier: the answer is no. One line a lack."""

    def __init__(self, lacks: Sequence[Lack]) -> None:
        self.lacks = tuple(sorted(lacks, key=lambda lack: lack.number))
        super().__init__("\n".join(map(str, self.lacks)))


def lacks_of_plan(plan: Plan) -> list[Lack]:
    """Every statement that people still have to make."""
    owner = {table: heading.number for heading in HEADINGS for table in heading.plan}
    return [Lack(owner[key.partition(".")[0].partition("[")[0]], f"{plan.name}, {key}: give {mend}")
            for key, mend in unfilled(plan)]


def lacks_of_options(plan: Plan, bundle: Path, given: Mapping[str, bool]) -> list[Lack]:
    """Every measurement that is not there: neither as a file nor, where that is allowed, as a reason."""
    lacks = []
    if not (bundle / CALIBRATION).is_file():
        mend = f"{bundle} has no {CALIBRATION}: calibrate again with 'patloop sensor calibrate'"
        lacks += [Lack(number, mend) for number in (6, 7, 8, 13)]
    for option in ("spectra", "reference", "target"):
        if not given[option]:
            lacks += [Lack(number, f"give --{option} of the independent test set") for number in (9, 14)]
    if given["pure"] and not plan.has("specificity.analyte"):
        lacks.append(Lack(10, f"{plan.name}, specificity.analyte: name the analyte's row in the --pure spectra"))
    if not given["pure"] and not plan.has("specificity.without_pure_spectra"):
        lacks.append(Lack(10, f"give --pure, or the reason in {plan.name}, specificity.without_pure_spectra"))
    if not given["repeat"] and not plan.has("precision.without_repeat_scans"):
        lacks.append(Lack(11, f"give --repeat, or the reason in {plan.name}, precision.without_repeat_scans"))
    return lacks
