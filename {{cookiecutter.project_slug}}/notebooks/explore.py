"""Look at the data, request a prediction and see what contributes to it: a marimo notebook.

    .venv/bin/uv pip install --group notebook --constraints constraints.txt
    .venv/bin/marimo edit notebooks/explore.py

It needs a trained model: `make train`.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")


@app.cell
def _():
    import contextlib

    import marimo as mo
    import polars as pl

    from coldstart import BundlePredictor, Settings
    from coldstart.contract import register_derived
    from coldstart.data import load

    from {{cookiecutter.__package}}.__main__ import PROJECT
    from {{cookiecutter.__package}}.features import DERIVED

    root = mo.notebook_dir().parent
    return (
        BundlePredictor,
        DERIVED,
        PROJECT,
        Settings,
        contextlib,
        load,
        mo,
        pl,
        register_derived,
        root,
    )


@app.cell
def _(mo):
    mo.md("""
    # The data

    The typed rows, as `schema.yaml` describes them. Select some of them, or sort a column.
    """)
    return


@app.cell
def _(DERIVED, PROJECT, Settings, contextlib, load, mo, register_derived, root):
    register_derived(DERIVED)
    with contextlib.chdir(root):  # paths in config.yaml are relative to the project
        dataset = load(Settings.load(PROJECT))
    mo.ui.table(dataset.table.head(1000), selection=None)
    return (dataset,)


@app.cell
def _(dataset, mo):
    mo.ui.table(dataset.table.describe(), selection=None)
    return


@app.cell
def _(mo):
    mo.md("""
    # A prediction

    The champion predicts one of the test rows, which it was not fitted on. With few rows it was
    fitted on all of them.
    """)
    return


@app.cell
def _(dataset, mo):
    number = mo.ui.slider(0, len(dataset.test_rows) - 1, label="Test row")
    mo.hstack([number], justify="start")
    return (number,)


@app.cell
def _(BundlePredictor, dataset, mo, number, root):
    bundles = root / "bundles"
    champion = bundles / "champion"
    predictor = BundlePredictor(champion if champion.exists() else bundles / "challenger")
    features = dataset.table.select(list(predictor.contract.features))
    row = features[dataset.test_rows].row(number.value, named=True)
    answer = predictor.score([row])[0]
    mo.vstack([row, answer])
    return answer, features, predictor, row


@app.cell
def _(mo):
    mo.md("""
    # What contributes to it

    For each feature, how much the prediction is above the mean of those where the feature has the
    values of 40 rows that the model was fitted on (prediction difference, Robnik-Šikonja and
    Kononenko, 2008).
    """)
    return


@app.cell
def _(answer, dataset, features, mo, pl, predictor, row):
    def value(scored):
        """Return the probability of the predicted class, or the predicted number."""
        return scored["probabilities"][answer["label"]] if "label" in answer else scored["value"]

    others = features[dataset.fitting_rows].sample(40, with_replacement=True, seed=0)
    differences = {
        name: value(answer)
        - sum(map(value, predictor.score([{**row, name: one} for one in others[name]]))) / 40
        for name in row
    }
    contributions = pl.DataFrame(
        {"feature": list(differences), "contribution": list(differences.values())}
    ).sort(pl.col("contribution").abs(), descending=True)
    mo.ui.table(contributions, selection=None)
    return (contributions,)


if __name__ == "__main__":
    app.run()
