"""Ask rows that stay at home: three hospitals as processes, a regression over all their patients, in a second."""

import tempfile
from pathlib import Path

import numpy as np

from serai.client.asking import Scope
from serai.client.joint_data import JointData
from serai.testing.processes import ProcessBloc

PATIENTS = {"almaty": 80, "bern": 400, "cusco": 30}
BOUNDS = {"x0": "18:110", "x1": "60:260", "label": "0:1"}


def table(seed: int, patients: int) -> list[list[float]]:
    """A hospital's patients: age, blood pressure, whether they came back within a year."""
    draw = np.random.default_rng(seed)
    age = np.clip(draw.normal(60 + 5 * seed, 12, patients), 18, 110).round()
    pressure = np.clip(100 + 0.6 * age + draw.normal(0, 15, patients), 60, 260).round()
    back = draw.random(patients) < 1 / (1 + np.exp(8 - 0.05 * age - 0.03 * pressure))
    rows: list[list[float]] = np.column_stack((age, pressure, back)).tolist()
    return rows


def main() -> None:
    """Ask as one of them, and compare with what their rows would say together."""
    tables = {name: table(seed, patients) for seed, (name, patients) in enumerate(PATIENTS.items())}
    with tempfile.TemporaryDirectory() as folder, ProcessBloc(Path(folder), tables) as bloc:
        scope = Scope(agreement=bloc.agree(), purpose="research")
        data = JointData(session=bloc.session("cusco"), scope=scope, bounds=BOUNDS)
        print(f"{data['x0'].count()} patients, mean age {data['x0'].mean():.2f}")
        fit = data.linear("x1", "x0")
        print(fit)
        again = data.linear("x1", "x0")
        plans = len(bloc.state().runs.plans)
    together = np.array([row for rows in tables.values() for row in rows])
    slope, intercept = np.polyfit(together[:, 0], together[:, 1], 1)
    found = dict(
        zip(fit.frame("coefficients").column("term"), fit.frame("coefficients").column("estimate"), strict=True)
    )
    apart = [np.polyfit(*np.array(rows).T[:2], 1)[0] for rows in tables.values()]
    print("each alone would say", ", ".join(f"{name} {alone:.3f}" for name, alone in zip(tables, apart, strict=True)))
    assert np.isclose(found["x0"], slope, rtol=1e-9)
    assert np.isclose(found["(intercept)"], intercept, rtol=1e-9)
    assert again.answer.is_repeated
    assert plans == 2  # one sum answers count and mean, and what was asked before is read from the log
    print(f"proved: the slope over all rows, {slope:.6f}, to nine digits; no row left its hospital")


if __name__ == "__main__":
    main()
