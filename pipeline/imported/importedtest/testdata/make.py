# Makes the files beside it: models of LightGBM 4.7.0 and XGBoost 3.2.0, and for each a
# sample of rows with the sums of the trees, and what each column brought to those (SHAP). To make them again: pip install
# lightgbm==4.7.0 xgboost-cpu==3.2.0 pandas==3.1.1, and python make.py.
import json

import lightgbm
import numpy as np
import pandas as pd
import xgboost

ROWS, SAMPLE, EXPLAINED = 600, 60, 25


def table(seed):
    r = np.random.default_rng(seed)
    d = pd.DataFrame({
        "signed": r.normal(size=ROWS).round(3),
        "few": r.integers(-2, 4, ROWS).astype(float),
        "large": r.exponential(size=ROWS) * 1e6,
        "tiny": r.normal(size=ROWS) * 1e-3,
        "letter": pd.Categorical(r.choice(list("uvwxyz") + ["Zürich", ""], ROWS)),
        "month": pd.Categorical(r.integers(1, 13, ROWS)),
    })
    for name in ["signed", "few", "tiny"]:
        d.loc[r.random(ROWS) < 0.15, name] = np.nan
    d.loc[r.random(ROWS) < 0.3, "few"] = 0.0
    d.loc[r.random(ROWS) < 0.1, "signed"] = 0.0
    d.loc[r.random(ROWS) < 0.1, "letter"] = np.nan
    # float32 rounds some of these onto a threshold
    d.loc[r.random(ROWS) < 0.2, "tiny"] += np.float64(2) ** -60
    odd = ((d.signed.fillna(1) > 0).astype(int) + d.letter.isin(list("uxz")).astype(int) + (d.few > 1).astype(int)
           + d.month.isin([3, 5, 11]).astype(int)) % 2
    y = odd * 2.0 + np.log(d.large) / 4 + r.normal(size=ROWS) * 0.2
    return d, y - y.min()


def write(name, d, raw, shares):
    """What inputs brought to the sums of the first rows, and the base, is in order of d's columns."""
    names = list(d.columns) + ["base"]
    shares = {c: [float(x) for x in shares[:EXPLAINED, i]] for i, c in enumerate(names)}
    json.dump(shares, open(name + ".shares.json", "w"), ensure_ascii=False, separators=(",", ":"))
    d = d.iloc[:SAMPLE]
    columns = {}
    for c in d.columns:
        v = d[c]
        if v.dtype == "category":
            columns[c] = [None if pd.isna(x) else str(x) for x in v]
        else:
            columns[c] = [None if pd.isna(x) else float(x) for x in v]
    columns["raw"] = [float(x) for x in np.asarray(raw, dtype=np.float64)[:SAMPLE]]
    json.dump(columns, open(name + ".sample.json", "w"), ensure_ascii=False, separators=(",", ":"))


def lgb(name, d, y, rounds=6, integers=False, **options):
    if integers:  # categories that are integers, not pandas' own
        d = d.drop(columns=["letter"])
        d["month"] = d["month"].astype(int)
    p = {"objective": "binary", "num_leaves": 9, "min_data_in_leaf": 5, "learning_rate": 0.3, "verbose": -1, "num_threads": 1, "seed": 1,
         "cat_smooth": 1, "min_data_per_group": 5, "max_cat_to_onehot": 2} | options
    data = lightgbm.Dataset(d, y, categorical_feature=["month"] if integers else "auto", params=p)
    m = lightgbm.train(p, data, rounds)
    m.save_model(f"lightgbm-{name}.txt")
    write(f"lightgbm-{name}", d, m.predict(d, raw_score=True), m.predict(d, pred_contrib=True))


def xgb(name, d, y, rounds=6, **options):
    p = {"objective": "binary:logistic", "max_depth": 4, "eta": 0.3, "nthread": 1, "seed": 1, "max_cat_to_onehot": 1} | options
    d = d.assign(letter=d.letter.cat.rename_categories({"Zürich": "Zurich"}))  # XGBoost 3.2.0 cuts others than ASCII
    if p.get("tree_method") == "exact":
        d = d.drop(columns=["letter", "month"])
    data = xgboost.DMatrix(d, y, enable_categorical=True)
    m = xgboost.train(p, data, rounds)
    m.save_model(f"xgboost-{name}.json")
    write(f"xgboost-{name}", d, m.predict(data, output_margin=True), m.predict(data, pred_contribs=True))


d, y = table(7)
above = (y > y.median()).astype(int)
lgb("binary", d, above)
lgb("zero-missing", d, above, zero_as_missing=True)
lgb("no-missing", d, above, use_missing=False)
lgb("integers", d, above, integers=True)
lgb("regression", d, y, objective="regression")
lgb("forest", d, y, objective="regression", boosting="rf", bagging_freq=1, bagging_fraction=0.7)
lgb("dart", d, above, boosting="dart", drop_rate=0.5)
lgb("quantile", d, y, objective="quantile", alpha=0.9)
lgb("poisson", d, y.round(), objective="poisson")
lgb("slope", d, above, sigmoid=2.5)
lgb("fine", d, y, objective="regression", max_bin=5000, min_data_in_bin=1, num_leaves=60, min_data_in_leaf=1, rounds=8)
xgb("hist", d, above)
xgb("exact", d, y, objective="reg:squarederror", tree_method="exact", rounds=20, max_depth=6)
xgb("onehot", d, above, max_cat_to_onehot=100)
xgb("dart", d, above, booster="dart", rate_drop=0.5)
xgb("poisson", d, y.round(), objective="count:poisson")
xgb("forest", d, above, num_parallel_tree=3, subsample=0.7, rounds=2, base_score=0.3)
xgb("raw", d, above, objective="binary:logitraw")
